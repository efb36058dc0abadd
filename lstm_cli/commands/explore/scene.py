"""What is selected and what the screen shows, as rows of numbers, before anything is drawn.

The cursor is on a number of a step, or of the parameters that enter its row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.base.numbers import decimals, shortest
from lstm_cli.base.paste import rows_text
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Apply, Name, Node, names_in, nodes_in
from lstm_cli.cell.notation import UNICODE, Notation, is_parameter, write
from lstm_cli.cell.weights import LstmWeights
from lstm_cli.engine.edits import (
    EditablePlace,
    EditedRun,
    changed,
    differences,
    first_step,
    place_of,
)
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace, Trace
from lstm_cli.files.output import plain_list
from lstm_cli.show.arithmetic import known_at
from lstm_cli.show.colours import Scale, scale_of
from lstm_cli.show.rows import INPUT_LABELS
from lstm_cli.show.sentences import Teller


@dataclass(frozen=True)
class Cursor:
    """What is selected.

    Attributes:
        run: the layer and direction, as a place in `model.runs`.
        t: the step, in input time from 1.
        symbol, unit: the row, and the number in it.
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


def lines_of(weights: LstmWeights, symbol: str) -> list[tuple[str, tuple[int, ...]]]:
    """Return the lines of the parameters that enter a row: each row of a matrix, each vector.

    A line is a parameter and the indices that lead to it: (3,) in a matrix, () for a vector.
    """
    return [
        (name, lead)
        for name in parameters_entering(weights.cell, symbol)
        for lead in np.ndindex(weights.arrays[name].shape[:-1])
    ]


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
    mine = (place for place, (_, lead) in enumerate(lines) if lead in ((cursor.unit,), ()))
    shown = replace(cursor, weights=True)
    return _at_line(each, shown, next(mine, 0), 0 if lines[0][1] else cursor.unit)


def _at_line(each: LayerTrace, cursor: Cursor, place: int, column: int) -> Cursor:
    """Return the cursor at a number of the parameters, its unit following."""
    name, lead = lines_of(each.weights, cursor.symbol)[place]
    column = _within(column, each.weights.arrays[name].shape[-1])
    unit = _within(lead[0] if lead else column, size_of(each, cursor.symbol))
    return replace(cursor, line=place, column=column, unit=unit)


def selected(trace: Trace, cursor: Cursor) -> tuple[str, tuple[int, ...]]:
    """Return the name and the indices of the number that the cursor is on (see `EditablePlace`)."""
    if not cursor.weights:
        return cursor.symbol, (cursor.t, cursor.unit)
    name, lead = lines_of(trace.layers[cursor.run].weights, cursor.symbol)[cursor.line]
    return name, (*lead, cursor.column)


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


def _within(place: int, count: int) -> int:
    return max(0, min(place, count - 1))


# ---- what is shown


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that decides what is on the screen: the run with its edits, the cursor, the style.

    Attributes:
        differences: whether the table shows what the edits changed instead of the values.
        colour: whether numbers are coloured; else heat strips are drawn as bars.
    """

    session: EditedRun
    cursor: Cursor
    notation: Notation = "joined"
    digits: int = 6
    differences: bool = False
    colour: bool = True

    @property
    def each(self) -> LayerTrace:
        """The selected layer and direction."""
        return self.session.trace.layers[self.cursor.run]

    @property
    def given(self) -> LayerTrace:
        """The selected layer and direction of the run as it was given."""
        return self.session.given.layers[self.cursor.run]

    @cached_property
    def values(self) -> dict[str, Array]:
        """Symbol -> `(n,)` at the selected step."""
        return self.each.at(self.cursor.t)


@dataclass(frozen=True, eq=False)
class SceneRow:
    """One row of numbers on the screen.

    Attributes:
        symbol: the symbol or parameter, for its colours.
        shown, label: what is printed before the numbers.
        flow: "in" if the selected row reads it, "out" if it reads the selected row.
        values, before: the numbers, and those of the run as it was given, `(n,)`.
        edited: the columns that hold an edit.
        scale: how the numbers are coloured.
        column: the selected one; None in all other rows.
    """

    symbol: str
    shown: str
    label: str
    flow: str
    values: Array
    before: Array
    edited: frozenset[int]
    scale: Scale
    column: int | None = None

    @property
    def changed(self) -> Array:
        """Whether each number differs from the run as it was given; nan is equal to nan."""
        return changed(self.values, self.before)

    @property
    def differences(self) -> Array:
        """How far each number is from the run as it was given."""
        return differences(self.values, self.before)


def rows_of(scene: Scene) -> list[SceneRow]:
    """Return the rows to show: those of the step, or those of the parameters."""
    return _weight_rows(scene) if scene.cursor.weights else _step_rows(scene)


def label_of(cell: Cell, symbol: str) -> str:
    """Label of a symbol."""
    return INPUT_LABELS[symbol] if symbol in INPUT_SYMBOLS else cell[symbol].label


def _step_rows(scene: Scene) -> list[SceneRow]:
    each, cursor = scene.each, scene.cursor
    before = scene.given.at(cursor.t)
    return [
        SceneRow(
            symbol,
            _with_letter(symbol),
            label_of(each.cell, symbol),
            _flow(each.cell, symbol, cursor.symbol),
            scene.values[symbol],
            before[symbol],
            _edited(scene, symbol, cursor.t),
            scale_of(each.values[symbol], symbol),
            cursor.unit if symbol == cursor.symbol else None,
        )
        for symbol in symbols_of(each.cell)
    ]


def _weight_rows(scene: Scene) -> list[SceneRow]:
    cursor, now, before = scene.cursor, scene.each.weights, scene.given.weights
    rows = []
    for place, (name, lead) in enumerate(lines_of(now, cursor.symbol)):
        array, old = now.arrays[name], before.arrays[name]
        shown = f"{name}[{lead[0]}]" if lead else name
        rows.append(
            SceneRow(
                name, shown, "", "", array[lead], old[lead],
                _edited(scene, name, *lead), scale_of(array),
                cursor.column if place == cursor.line else None,
            )
        )  # fmt: skip
    return rows


def _with_letter(symbol: str) -> str:
    """Return a symbol as printed, followed by its letter if they differ: `C̃_t (g)`."""
    shown = UNICODE.name(symbol)
    return f"{shown} ({symbol})" if "̃" in shown else shown


def _flow(cell: Cell, symbol: str, chosen: str) -> str:
    """Position of a row in the circuit relative to the chosen one."""
    if chosen in cell.symbols and symbol in names_in(cell[chosen].expression):
        return "in"
    if symbol in cell.symbols and chosen in names_in(cell[symbol].expression):
        return "out"
    return ""


def _edited(scene: Scene, name: str, *lead: int) -> frozenset[int]:
    """Return the columns of a row that hold an edit."""
    run = 0 if name == "x" and scene.each.layer == 0 else scene.cursor.run
    return frozenset(
        edit.place.index[-1]
        for edit in scene.session.edits
        if (edit.place.run, edit.place.name, edit.place.index[:-1]) == (run, name, lead)
    )


def sentence(scene: Scene) -> str:
    """Describe in words what the selected gate or state does to its unit; "" if it does nothing.

    A pre-activation has the sentence of its gate.
    """
    cursor, cell = scene.cursor, scene.each.cell
    symbol = cursor.symbol.removeprefix("z_")
    said = Teller(cell, known_at(scene.each, cursor.t), cursor.unit, UNICODE).say(symbol)
    return f"{cell[symbol].label or symbol}: {said}" if said else ""


def selected_name(scene: Scene) -> str:
    """Return the name of the selected number: `x_t[2]`, `W_f[2, 0]`."""
    return _element_name(*selected(scene.session.trace, scene.cursor))


def _element_name(name: str, index: Sequence[int]) -> str:
    """Return the name of a number; the step in its index is left out."""
    inside = index if is_parameter(name) else index[1:]
    return f"{UNICODE.name(name)}[{', '.join(map(str, inside))}]"


def origin(scene: Scene) -> str:
    """Return a line on the selected number: where it comes from, and what it was."""
    name, index = selected(scene.session.trace, scene.cursor)
    place = EditablePlace(scene.cursor.run, name, index)
    now, before = scene.session.now(place), scene.session.was(place)
    parts = [f"{selected_name(scene)} = {shortest(now)}", _from(scene, name, index)]
    if now != before and not (np.isnan(now) and np.isnan(before)):
        was = decimals(before, scene.digits)
        parts.append(f"was {was}, Δ {signed(now - before, scene.digits)}")
    return " · ".join(part for part in parts if part)


def advice(scene: Scene) -> str:
    """Return what to show for a row without a sentence: its label, or what can be done with it."""
    cursor, each = scene.cursor, scene.each
    if cursor.symbol in each.cell.symbols:
        return label_of(each.cell, cursor.symbol)
    if cursor.symbol == "x" and each.layer > 0:
        return "edit x of layer 0, and every layer follows: l goes through the layers"
    return f"{INPUT_LABELS[cursor.symbol]}: e edits it, and what follows from it is recomputed"


def signed(difference: float, digits: int) -> str:
    """Return a difference with its sign, plus included."""
    return ("+" if difference > 0 else "") + decimals(difference, digits)


def _from(scene: Scene, name: str, index: Sequence[int]) -> str:
    """Origin of a number that no row computes."""
    if scene.cursor.weights:
        return meets(scene, name, index)
    each = scene.each
    if name in ("h_prev", "c_prev"):
        if index[1] in _edited(scene, name, scene.cursor.t):
            return "set by you"
        if scene.cursor.t == first_step(each):
            return "the initial state"
        back = each.order[each.order.index(scene.cursor.t - 1) - 1] + 1
        return f"{UNICODE.name(name[0])} of step {back}"
    if name == "x" and each.layer > 0:
        return f"what layer {each.layer - 1} puts out"
    return label_of(each.cell, name)


def meets(scene: Scene, name: str, index: Sequence[int]) -> str:
    """Name the number that a weight multiplies, such as `meets x_t[1] = 0.5`."""
    if len(index) < 2:
        return f"the bias of unit {index[0]}" if name.startswith("b_") else ""
    for row in scene.each.cell.equations:
        for node in nodes_in(row.expression):
            match node:
                case Apply("@", (Name(matrix), vector)) if matrix == name:
                    return "meets " + _element(scene, vector, index[1])
    return ""


def _element(scene: Scene, vector: Node, place: int) -> str:
    """Return an element of a vector by name, looked up in a concatenation: `h_{t−1}[2] = 0.5`."""
    parts = vector.arguments if isinstance(vector, Apply) and vector.function == "concat" else ()
    before = 0
    for part in parts or (vector,):
        if not isinstance(part, Name):
            break
        values = scene.values[part.id]
        if place - before < len(values):
            value = decimals(values[place - before], scene.digits)
            return f"{UNICODE.name(part.id)}[{place - before}] = {value}"
        before += len(values)
    return f"number {place} of {write(vector, UNICODE)}"


# ---- what was edited, in words, and the vectors that repeat the run

# Nobody reads or pastes a longer command.
MAX_COMMAND = 4000


def edit_lines(session: EditedRun) -> Iterator[str]:
    """Yield a line for each edit: `edited: x_t[2] of step 1: 0.25 → 0.5`."""
    several = len(session.given.layers) > 1
    for edit in session.edits:
        name, index = edit.place.name, edit.place.index
        each = session.given.layers[edit.place.run]
        step = "" if is_parameter(name) else f" of step {index[0]}"
        where = f" (layer {each.layer} {each.direction})" if several and name != "x" else ""
        shown = f"{_element_name(safe(name), index)}{step}{where}"
        before = session.was(edit.place)
        yield f"edited: {shown}: {shortest(before)} → {shortest(edit.value)}"


def repeated_vectors(session: EditedRun) -> dict[str, str] | None:
    """Return `--x`, `--h`, `--c` of the edited run, those that were edited.

    None if options cannot express the edits: a weight, a state in the middle of the sequence,
    states of layers that differ in size, or vectors too long for a line.
    """
    (x, h, c), dtype = session.trace.inputs, session.trace.dtype
    rows: dict[str, Sequence[Array]] = {"x": list(x), "h_prev": h, "c_prev": c}
    vectors: dict[str, str] = {}
    for edit in session.edits:
        name, run = edit.place.name, edit.place.run
        in_the_middle = edit.place.index[0] != first_step(session.given.layers[run])
        if name not in rows or (name != "x" and in_the_middle):
            return None
        if len(set(map(len, rows[name]))) > 1:
            return None
        vectors[f"--{name[0]}"] = rows_text([plain_list(row, dtype) for row in rows[name]])
    return vectors if sum(map(len, vectors.values())) <= MAX_COMMAND else None
