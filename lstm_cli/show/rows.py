"""What a reader is shown of a run, before it takes a form: rows, chosen units and steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import UsageError, caret
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
from lstm_cli.cell.notation import number as number  # tables ask for it here
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
    label: str
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
        Row(symbol, style.name(symbol), INPUT_LABELS[symbol], "", values[symbol])
        for symbol in INPUT_SYMBOLS
    ]
    rows += [
        Row(row.symbol, *written[row.symbol][:1], row.label, written[row.symbol][1],
            values[row.symbol])
        for row in each.cell.equations
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


def choice_text(given: int | str | Iterable[int] | None) -> str:
    """Return a choice of units or steps, as Python gives it, as `--unit` and `--at` do."""
    if given is None or isinstance(given, str):
        return given or ""
    return ",".join(map(str, given)) if isinstance(given, Iterable) else str(given)


def choose(text: str, count: int, option: str, *, first: int = 0) -> list[int]:
    """Return the numbers that `3`, `0:8`, `0,2,5:7`, `all` or `last` choose out of `count`.

    Args:
        text: the choice; `a:b` leaves out b as Python does where counting starts at 0, and
            includes it where it starts at 1.
        count: how many there are.
        option: its name, for messages.
        first: what the first one is called.

    Raises:
        UsageError: not a choice, or out of range; with the caret under it.
    """
    chosen: list[int] = []
    for match in re.finditer(r"[^,]+", text):
        word, last = match[0].strip(), first + count - 1
        span = re.fullmatch(r"(-?[0-9]{1,9})?(:)?(-?[0-9]{1,9})?", word)
        if word in ("all", "last"):
            chosen += range(first, last + 1) if word == "all" else [last]
            continue
        if not word or span is None or (span[1] and span[3] and not span[2]):
            raise _bad_choice(text, match, option, f"'{word}' is not a choice")
        begin = _bound(span[1], first, count, first)
        end = _bound(span[3], last, count, first) if span[2] else begin
        if span[2] and span[3] and first == 0:
            end -= 1
        if not (first <= begin <= last and first <= end <= last):
            raise _bad_choice(text, match, option, f"'{word}' is outside {first} to {last}")
        chosen += range(begin, end + 1)
    if not chosen:
        raise UsageError(f"{option} chooses nothing", where=option, hint=f"{option} 0:3")
    return list(dict.fromkeys(chosen))


def _bound(text: str | None, default: int, count: int, first: int) -> int:
    value = int(text) if text else default
    return value + count + first if value < 0 else value


def _bad_choice(text: str, match: re.Match[str], option: str, what: str) -> UsageError:
    return UsageError(
        f"{option}: {what}",
        where=f"{option}\n{caret(text, match.start(), len(match[0]))}",
        hint=(
            "--at 3, --at 1:8 (1 to 8), --at 1,5, --at last or --at all"
            if option == "--at"
            else f"{option} 3, {option} 0:8 (0 to 7), {option} 0,2,5 or {option} all"
        ),
    )


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
    return view


def chosen_steps(view: View, trace: Trace) -> set[int]:
    """Return the steps that `--at` leaves; all where it is not given."""
    every = set(range(1, trace.steps + 1))
    return set(choose(view.at, trace.steps, "--at", first=1)) if view.at else every


def shown_steps(trace: Trace, view: View) -> Iterator[tuple[LayerTrace, int]]:
    """Yield (layer trace, t) for the steps asked for, by layer, direction, then t."""
    wanted = sorted(chosen_steps(view, trace))
    for each in trace.layers:
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
