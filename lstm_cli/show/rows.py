"""What a reader is shown of a run, before it takes a form: rows, chosen units and steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from lstm_cli.base.address import Address, choose, parse_addresses
from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import UsageError, safe, suggest
from lstm_cli.base.foreign import Foreign
from lstm_cli.base.records import record
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.notation import (
    LATEX,
    PLAIN,
    UNICODE,
    Notation,
    Style,
    write_definition,
    write_equation,
)
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace, Trace

INPUT_LABELS = {
    "x": "input",
    "h_prev": "hidden state before",
    "c_prev": "cell state before",
}


@record
class Row:
    """One named value of one step: symbol, what it is called, its equation, its numbers.

    `shown` and `equation` are in the style asked for; `equation` is "" for an input.
    """

    symbol: str
    shown: str
    label: Foreign
    equation: str
    values: Array


@record
class View:
    """What to show and how.

    Attributes:
        notation: joined or split.
        digits: decimals in tables.
        units: the chosen units as text, "" for all (or a summary where they are many).
        at: the chosen steps as text, "" for what fits.
        layer: the chosen layer, from 0; None for all.
        direction: the chosen direction, "" for both.
        symbols: the chosen rows and inputs, () for all.
        terms: how many products of a sum are worked out one by one.
        widest: the size of the longest vector, out of which units are chosen; shorter ones show
            those that they have.
        target: the name of the file that it goes to, "" for stdout.
    """

    notation: Notation = "joined"
    digits: int = 6
    units: str = ""
    at: str = ""
    widest: int = 0
    target: str = ""
    layer: int | None = None
    direction: str = ""
    symbols: tuple[str, ...] = ()
    terms: int = 8

    @property
    def chooses(self) -> bool:
        """Whether only some layers, directions or rows are shown."""
        return self.layer is not None or bool(self.direction or self.symbols)

    def covers(self, layer: int, direction: str) -> bool:
        """Whether a layer and direction are among those chosen."""
        return self.layer in (None, layer) and self.direction in ("", direction)

    def shows(self, symbol: str) -> bool:
        """Whether a row or input, or the gradient of one, is among those chosen."""
        return not self.symbols or symbol in self.symbols or (
            symbol.removeprefix("d_") in self.symbols
        )  # fmt: skip


@record
class StepRows:
    """One step of one layer and direction, as rows."""

    layer: int
    direction: str
    t: int
    rows: tuple[Row, ...]


@lru_cache(maxsize=64)  # a long run asks for the same rows at every step
def equation_text(cell: Cell, style: Style, notation: Notation) -> dict[str, tuple[str, str]]:
    """Return symbol -> (symbol, right side) as written in a style, for every row of a cell."""
    return {row.symbol: write_equation(row, style, notation) for row in cell.equations}


def step_rows(each: LayerTrace, t: int, view: View, style: Style) -> StepRows:
    """Return the rows of input time `t` (from 1) of an unbatched trace."""
    values = each.at(t)
    written = equation_text(each.cell, style, view.notation)
    rows = [
        Row(symbol, style.name(symbol), Foreign.of(INPUT_LABELS[symbol]), "", values[symbol])
        for symbol in INPUT_SYMBOLS
        if view.shows(symbol)
    ]
    rows += [
        Row(row.symbol, *written[row.symbol][:1], Foreign.of(row.label), written[row.symbol][1],
            values[row.symbol])
        for row in each.cell.equations
        if view.shows(row.symbol)
    ]  # fmt: skip
    return StepRows(each.layer, each.direction, t, tuple(rows))


def definitions(cell: Cell, style: Style = PLAIN) -> list[str]:
    """Definitions of the cell's functions that a reader may not know."""
    return [text for name in cell.functions if (text := write_definition(name, style))]


def equation_records(cell: Cell, notation: Notation) -> list[dict[str, str]]:
    """Return the JSON form of a cell's equations."""
    plain, pretty, latex = (
        equation_text(cell, style, notation) for style in (PLAIN, UNICODE, LATEX)
    )
    return [
        {
            "symbol": row.symbol,
            "label": row.label,
            "text": plain[row.symbol][1],
            "unicode": " = ".join(pretty[row.symbol]),
            "latex": " = ".join(latex[row.symbol]),
        }
        for row in cell.equations
    ]


# Units or steps as Python gives them.
Choice: TypeAlias = int | str | Iterable[int] | None


def view_from(
    unit: Choice, at: Choice, only: str | Iterable[str], layer: int | None, direction: str,
    notation: Notation, digits: int,
) -> View:  # fmt: skip
    """Return the view that arguments of the names of the options describe, still to be checked.

    Raises:
        UsageError: no address, or a part that is said twice.
    """
    own = Address(layer, direction, units=_choice_text(unit), times=_choice_text(at))
    text = only if isinstance(only, str) else ",".join(only)
    place, symbols = parse_addresses(text, "--only")
    place = own.joined(place, "--only")
    return View(
        notation, digits, place.units, place.times, layer=place.layer, direction=place.direction,
        symbols=symbols,
    )  # fmt: skip


def _choice_text(given: Choice) -> str:
    """Return a choice as `--unit` and `--at` take it."""
    if given is None or isinstance(given, str):
        return given or ""
    return ",".join(map(str, given)) if isinstance(given, Iterable) else str(given)


def chosen_units(view: View, size: int) -> list[int]:
    """Return the units of a vector of `size` that `--unit` leaves."""
    if not view.units:
        return list(range(size))
    units = choose(view.units, view.widest or size, "--unit")
    return [unit for unit in units if unit < size]


def strongest_unit(each: LayerTrace, t: int) -> int:
    """Return the unit with the largest |h| at input time `t`: shown where none is chosen."""
    return int(np.argmax(np.abs(each.values["h"][t - 1])))


def chosen_values(symbol: str, values: Array, view: View) -> Array:
    """Return the units that `--unit` leaves; x has inputs, not units, and stays whole."""
    return values if symbol == "x" else values[..., chosen_units(view, values.shape[-1])]


def checked_view(view: View, trace: Trace) -> View:
    """Return the view with its `widest`, once its choices are seen to fit the run.

    Raises:
        UsageError: no such unit or step; before anything is written.
    """
    widest = max(v.shape[-1] for each in trace.layers for v in each.values.values())
    view = replace(view, widest=int(widest))
    chosen_units(view, view.widest)
    chosen_steps(view, trace)
    each = shown_layers(trace, view)
    check_symbols(view.symbols, trace, each)
    return view


def shown_layers(trace: Trace, view: View) -> list[LayerTrace]:
    """The layers and directions that are chosen, in the order of the run.

    Raises:
        UsageError: the run has no such layer or direction.
    """
    count = len(trace.model.layers)
    if view.layer is not None and view.layer >= count:
        raise UsageError(
            f"--layer {view.layer} is outside 0 to {count - 1}: the run has "
            f"{count} layer{'s' * (count != 1)}", where="--layer",
            hint=f"--layer {count - 1}; --lstm {view.layer} loads another LSTM of a file",
        )  # fmt: skip
    chosen = [each for each in trace.layers if view.covers(each.layer, each.direction)]
    if not chosen:
        there = dict.fromkeys(each.direction for each in trace.layers)
        raise UsageError(
            f"the run has no {view.direction} direction", where="--direction",
            hint=f"--direction {' or '.join(there)}",
        )  # fmt: skip
    return chosen


def check_symbols(
    symbols: Iterable[str], trace: Trace, layers: Iterable[LayerTrace] = (), where: str = "--only"
) -> None:
    """Refuse symbols that the cell neither has nor computes.

    Args:
        symbols: rows, inputs, or gradients of them.
        trace: the run.
        layers: those of the run in which they may be; () is all.
        where: the option that names them, for the message.

    Raises:
        UsageError: names the first, and what there is.
    """
    rows = dict.fromkeys(s for each in layers or trace.layers for s in each.cell.symbols)
    parameters = dict.fromkeys(p for each in trace.layers for p in each.weights.arrays)
    known = [*rows, *INPUT_SYMBOLS]
    for symbol in symbols:
        if symbol.removeprefix("d_") not in (*known, *parameters, "output"):
            raise UsageError(
                f"the cell does not compute '{safe(symbol)}'",
                where=where,
                hint=suggest(symbol, known),
            )


def chosen_steps(view: View, trace: Trace) -> set[int]:
    """Return the steps that `--at` leaves; all where it is not given."""
    every = set(range(1, trace.steps + 1))
    return set(choose(view.at, trace.steps, "--at", first=1)) if view.at else every


def shown_steps(trace: Trace, view: View) -> Iterator[tuple[LayerTrace, int]]:
    """Yield (layer trace, t) for the steps asked for, by layer, direction, then t."""
    wanted = sorted(chosen_steps(view, trace))
    for each in shown_layers(trace, view):
        for t in wanted:
            yield each, t


def metadata(trace: Trace, notation: Notation, command: str, version: str) -> dict[str, Any]:
    """Return the JSON members that stand before `steps`."""
    first = trace.model.first
    document: dict[str, Any] = {
        "schema": "lstm-step/1",
        "command": command,
        "version": version,
        "cell": trace.model.cell.name,
        "dtype": trace.dtype.name,
        "engine": trace.engine,
        "input_size": first.input_size,
        "hidden_size": first.hidden_size,
        "output_size": first.output_size,
        "weights": {"source": trace.model.source, "convention": trace.model.convention},
        "assumptions": list(trace.assumptions),
        "equations": equation_records(trace.model.cell, notation),
    }
    if words := definitions(trace.model.cell):
        document["definitions"] = words
    return document
