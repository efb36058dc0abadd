"""`lstm-step inspect`: what a weight file holds, and the evidence for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_cli.base.errors import ExitCode
from lstm_cli.commands import _options as o

EXAMPLES = """\b
Examples:
  lstm-step inspect samples/weights/parity.npz
  lstm-step inspect samples/weights/hand.json --json
"""
FIRST = ("--lstm", "--convention", "--json")
FORMATS = ("table", "json", *o.WRITTEN)


def inspect_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A weight file; see `list formats`.")],
    layout: o.LayoutOptions = o.LayoutOptions(),
    form: o.FormatOptions = o.FormatOptions(FORMATS),
    color: o.ColorOptions = o.ColorOptions(),
) -> None:
    """Show the LSTMs in a weight file.

    Shows sizes, the layout and the evidence for it, ranges of the weights, and assumptions.
    """
    from lstm_cli.commands.inspect.inspection import inspect_answer, inspect_file

    chosen = form.pick()
    found = inspect_file(Path(file), layout.layout, lstm=layout.lstm, external=layout.external)
    o.emit(inspect_answer(found), chosen, form, color)
    if any("error" in lstm for lstm in found["lstms"]):
        raise typer.Exit(ExitCode.INPUT)
