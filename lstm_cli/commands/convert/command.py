"""`lstm-step convert`: weights from any readable layout to another, read back and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option

EXAMPLES = """\b
Formats by suffix: .npz, .json, .safetensors, .weights.h5 (Keras 3), .onnx (one node), .h (C).
A conversion that would lose something is refused; the error says what.

\b
Examples:
  lstm-step convert samples/weights/parity.npz /tmp/parity.json --to split
  lstm-step convert samples/weights/hand.json /tmp/hand.safetensors --to pytorch
  lstm-step convert samples/weights/parity.npz /tmp/parity.h --to keras
"""
FIRST = ("--to", "--dtype", "--convention")
FORMATS = ("table", "json", *o.WRITTEN)


def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="A weight file.")],
    target: Annotated[str, typer.Argument(metavar="OUT", help="The file to write.")],
    to: str = option(
        "--to",
        "-t",
        metavar="NAME",
        autocompletion=o.complete_convention,
        help="The convention to write; see `list conventions`.",
    ),
    layout: o.LayoutOptions = o.LayoutOptions(),
    direction: o.Side | None = option(
        "--direction",
        default=None,
        title="Weights",
        help="Only this direction of a bidirectional layer.",
    ),
    cell: o.CellOptions = o.CellOptions(),
    dtype: o.Dtype | None = option(
        "--dtype", default=None, help="Default: float32 if it is exact."
    ),
    force: bool = option(
        "--force", default=False, help="Write even if the target cannot hold everything."
    ),
    form: o.FormatOptions = o.FormatOptions(FORMATS),
    color: o.ColorOptions = o.ColorOptions(),
) -> None:
    """Write weights in another layout.

    They are read back, and the largest difference is reported.
    """
    from lstm_cli.commands.convert.conversion import convert as convert_model
    from lstm_cli.commands.convert.conversion import convert_answer
    from lstm_cli.files.output import check_targets

    chosen = form.pick()
    model = layout.read(source, cell)
    model = model.only(direction) if direction else model
    check_targets({"OUT": target, "stdout" if form.output == "-" else "-o": form.output})
    done = convert_model(model, Path(target), to, dtype=dtype or "", force=force)
    o.emit(convert_answer(done, model), chosen, form, color)
