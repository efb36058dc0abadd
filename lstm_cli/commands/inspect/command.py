"""`lstm-step inspect`: what a weight file holds, and how that is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_cli.base.errors import ExitCode, safe
from lstm_cli.commands import _options as o

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLES = """\b
Examples:
  lstm-step inspect samples/weights/parity.npz
  lstm-step inspect samples/weights/hand.json --json
"""
FIRST = ("--layer", "--convention", "--json")
FORMATS = ("table", "json")
SHOWN_TENSORS = 12


def inspect_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A weight file; see `list formats`.")],
    layout: o.LayoutOptions = o.LayoutOptions(),
    form: o.FormatOptions = o.FormatOptions(FORMATS),
    color: o.ColorOptions = o.ColorOptions(),
) -> None:
    """Show the LSTMs in a weight file.

    Sizes, layout and how it is known, ranges of the weights, and what the file leaves open.
    """
    from lstm_cli.commands.inspect.inspection import inspect_file
    from lstm_cli.files.output import json_text, write_out

    chosen = form.pick()
    document = inspect_file(
        Path(file), layout.convention, layer=layout.layer, external=layout.external
    )
    if chosen == "json":
        write_out([json_text(document, indent=1) + "\n"], form.output)
    else:
        color.show(lambda console: _print(console, document), form.output)
    if any("error" in lstm for lstm in document["lstms"]):
        raise typer.Exit(ExitCode.INPUT)


def _print(console: Console, document: dict[str, Any]) -> None:
    from rich.text import Text

    count = len(document["tensors"])
    kind = f"{document['format']}, {document['bytes']:,} bytes, {count} tensors"
    console.print(Text(f"{safe(document['file'])} · {kind}", style="bold"))
    for note in document["notes"]:
        console.print(Text(f"note: {safe(note)}", style="dim"))
    if not document["lstms"]:
        console.print(Text("no LSTM is recognised; its tensors:"))
        for each in document["tensors"][:SHOWN_TENSORS]:
            console.print(Text(safe(f"  {each['name']} {tuple(each['shape'])} {each['dtype']}")))
        if count > SHOWN_TENSORS:
            console.print(Text(f"  and {count - SHOWN_TENSORS} more: --json", style="dim"))
    for lstm in document["lstms"]:
        _print_lstm(console, lstm)


def _print_lstm(console: Console, lstm: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    console.print()
    name = safe(lstm["name"]) or "(unnamed)"
    console.print(Text(f"LSTM {lstm['number']}: {name}", style="bold"))
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for key, value in _facts(lstm):
        facts.add_row(Text(key, style="dim"), Text(safe(value)))
    console.print(facts)
    if "ranges" in lstm:
        _print_ranges(console, lstm)


def _facts(lstm: dict[str, Any]) -> list[tuple[str, str]]:
    confirmed = lstm["confirmed_by"] or "nothing yet: a rumour"
    order = f", gates {' '.join(lstm['gate_order'])}" if lstm["gate_order"] else ""
    facts = [("convention", lstm["convention"] + order)]
    facts += [("known by", text) for text in lstm["known_by"]]
    facts += [("confirmed by", confirmed)]
    if "error" in lstm:
        error = lstm["error"]
        return [*facts, ("error", error["message"]), ("try", error["try"])]
    sizes = f"I = {lstm['input_size']}, H = {lstm['hidden_size']}"
    if lstm["output_size"] != lstm["hidden_size"]:
        sizes += f", P = {lstm['output_size']}"
    layers = f"{lstm['levels']} layer" + ("s" if lstm["levels"] > 1 else "")
    facts.insert(0, ("sizes", f"{sizes}, {layers}, {' and '.join(lstm['directions'])}"))
    facts.insert(1, ("numbers", f"{lstm['parameters']:,} as {', '.join(lstm['dtypes'])}"))
    facts += [("departs", text) for text in lstm["equations"]]
    return facts + [("open", text) for text in lstm["open"]]


def _print_ranges(console: Console, lstm: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    several = len({(each["layer"], each["direction"]) for each in lstm["ranges"]}) > 1
    for heading in (["layer"] if several else []) + ["weights", "shape"]:
        table.add_column(heading, no_wrap=True)
    for heading in ("min", "mean", "max"):
        table.add_column(heading, no_wrap=True, justify="right")
    for each in lstm["ranges"]:
        where = [f"{each['layer']} {each['direction']}"] if several else []
        shape = " × ".join(map(str, each["shape"]))
        numbers = [f"{each[key]:.4g}" for key in ("min", "mean", "max")]
        table.add_row(*(Text(text) for text in [*where, each["parameter"], shape, *numbers]))
    console.print(table)
