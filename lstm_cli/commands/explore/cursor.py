"""The cursor, on a number of a step or of the parameters that enter its row, and its moves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lstm_cli.base.errors import InputError
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import names_in
from lstm_cli.cell.notation import is_parameter
from lstm_cli.cell.weights import LstmWeights
from lstm_cli.engine.edits import EditablePlace, number_at, place_of
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace, Trace


@dataclass(frozen=True)
class Cursor:
    """What is selected.

    Attributes:
        run: the layer and direction, as a place in `model.runs`.
        t: the step, in input time from 1.
        symbol: the row.
        unit: the number of the row.
        weights: whether the parameters that enter the row are shown instead of the step.
        line, column: which of their numbers is selected.
    """

    run: int = 0
    t: int = 1
    symbol: str = "h"
    unit: int = 0
    weights: bool = False
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Line:
    """One line of parameters: a row of a matrix, or a whole vector."""

    name: str
    row: int | None

    def index(self, column: int) -> tuple[int, ...]:
        """Return the indices of a number in the parameter's array."""
        return (column,) if self.row is None else (self.row, column)


def symbols_of(cell: Cell) -> tuple[str, ...]:
    """Return every symbol of a step, in the order shown."""
    return (*INPUT_SYMBOLS, *cell.symbols)


def start(trace: Trace) -> Cursor:
    """Initial cursor: the first computed row, at the first step."""
    return Cursor(symbol=trace.layers[0].cell.symbols[0])


def parameters_entering(cell: Cell, symbol: str) -> tuple[str, ...]:
    """Return the parameters of a row, or if it has none, those of the rows that it reads."""
    if symbol not in cell.symbols:
        return ()
    names = names_in(cell[symbol].expression)
    own = [name for name in names if is_parameter(name)]
    below = [] if own else [p for name in names for p in parameters_entering(cell, name)]
    return tuple(dict.fromkeys(own + below))


def lines_of(weights: LstmWeights, symbol: str) -> tuple[Line, ...]:
    """Return the lines of the parameters that enter a row: each matrix's rows, each vector."""
    lines: list[Line] = []
    for name in parameters_entering(weights.cell, symbol):
        array = weights.arrays[name]
        lines += [Line(name, row) for row in range(len(array))] if array.ndim == 2 else [
            Line(name, None)
        ]  # fmt: skip
    return tuple(lines)


def size_of(each: LayerTrace, symbol: str) -> int:
    """Number of units of a row."""
    return int(each.values[symbol].shape[-1])


def by_row(trace: Trace, cursor: Cursor, by: int) -> Cursor:
    """Return the cursor moved down by so many rows (up if negative); it stops at the ends."""
    each = trace.layers[cursor.run]
    if cursor.weights:
        lines = lines_of(each.weights, cursor.symbol)
        return _at_line(each, cursor, _within(cursor.line + by, len(lines)), cursor.column)
    symbols = symbols_of(each.cell)
    symbol = symbols[_within(symbols.index(cursor.symbol) + by, len(symbols))]
    return replace(cursor, symbol=symbol, unit=_within(cursor.unit, size_of(each, symbol)))


def by_unit(trace: Trace, cursor: Cursor, by: int) -> Cursor:
    """Return the cursor moved right by so many units (left if negative); it stops at the ends."""
    each = trace.layers[cursor.run]
    if cursor.weights:
        return _at_line(each, cursor, cursor.line, cursor.column + by)
    return replace(cursor, unit=_within(cursor.unit + by, size_of(each, cursor.symbol)))


def to_step(trace: Trace, cursor: Cursor, t: int) -> Cursor:
    """Return the cursor at a step, or at the nearest existing one."""
    return replace(cursor, t=1 + _within(t - 1, trace.steps))


def next_run(trace: Trace, cursor: Cursor) -> Cursor:
    """Return the cursor in the next layer or direction, wrapping around after the last."""
    run = (cursor.run + 1) % len(trace.layers)
    each = trace.layers[run]
    there = cursor.symbol in each.values
    symbol = cursor.symbol if there else each.cell.symbols[0]
    unit = _within(cursor.unit, size_of(each, symbol))
    return replace(cursor, run=run, symbol=symbol, unit=unit, weights=False)


def to_weights(trace: Trace, cursor: Cursor) -> Cursor | None:
    """Return the cursor on the parameters of its row, at its unit; None if the row has none."""
    each = trace.layers[cursor.run]
    lines = lines_of(each.weights, cursor.symbol)
    if not lines:
        return None
    mine = (place for place, line in enumerate(lines) if line.row in (cursor.unit, None))
    shown = replace(cursor, weights=True)
    return _at_line(each, shown, next(mine, 0), 0 if lines[0].row is not None else cursor.unit)


def _at_line(each: LayerTrace, cursor: Cursor, place: int, column: int) -> Cursor:
    """Return the cursor at a number of the parameters, its unit following."""
    line = lines_of(each.weights, cursor.symbol)[place]
    column = _within(column, each.weights.arrays[line.name].shape[-1])
    unit = column if line.row is None else line.row
    unit = _within(unit, size_of(each, cursor.symbol))
    return replace(cursor, line=place, column=column, unit=unit)


def selected(trace: Trace, cursor: Cursor) -> tuple[str, tuple[int, ...]]:
    """Return the name and the indices of the number that the cursor is on (see `EditablePlace`)."""
    if not cursor.weights:
        return cursor.symbol, (cursor.t, cursor.unit)
    line = lines_of(trace.layers[cursor.run].weights, cursor.symbol)[cursor.line]
    return line.name, line.index(cursor.column)


def selected_place(trace: Trace, cursor: Cursor) -> EditablePlace:
    """Return the place of the number that the cursor is on, to edit it.

    Raises:
        InputError: the number is computed, or comes from the layer below.
    """
    name, index = selected(trace, cursor)
    if not (is_parameter(name) or name in INPUT_SYMBOLS):
        raise InputError(
            f"{name} is computed",
            hint="edit x, h_prev or c_prev, or press w for the weights that enter this row",
        )
    return place_of(trace, cursor.run, name, index)


def selected_number(trace: Trace, cursor: Cursor) -> float:
    """Return the number that the cursor is on."""
    return number_at(trace, EditablePlace(cursor.run, *selected(trace, cursor)))


def _within(place: int, count: int) -> int:
    return max(0, min(place, count - 1))
