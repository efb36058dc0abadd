"""What the screen shows, as rows of numbers, before anything is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import safe
from lstm_cli.base.numbers import decimals, shortest
from lstm_cli.base.paste import rows_text
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Apply, Name, Node, names_in, nodes_in
from lstm_cli.cell.notation import UNICODE, Notation, is_parameter, write
from lstm_cli.commands.explore.cursor import Cursor, lines_of, selected, symbols_of
from lstm_cli.engine.edits import (
    EditablePlace,
    EditedRun,
    RunDocument,
    changed,
    differences,
    first_step,
)
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace
from lstm_cli.files.output import plain_list
from lstm_cli.show.arithmetic import known_at
from lstm_cli.show.colours import Scale, scale_of
from lstm_cli.show.rows import INPUT_LABELS
from lstm_cli.show.sentences import Teller


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that decides what is on the screen.

    Attributes:
        session: the run and its edits.
        cursor: what is selected.
        notation: joined or split.
        digits: decimals in the table and in the worked equation.
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
        shown: what is printed before the numbers.
        label: what it is called.
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
    for place, line in enumerate(lines_of(now, cursor.symbol)):
        array, old = now.arrays[line.name], before.arrays[line.name]
        lead = () if line.row is None else (line.row,)
        shown = line.name if line.row is None else f"{line.name}[{line.row}]"
        rows.append(
            SceneRow(
                line.name, shown, "", "", array[lead], old[lead],
                _edited(scene, line.name, *lead), scale_of(array),
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
        back = scene.cursor.t + (-1 if each.direction == "forward" else 1)
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
    document, dtype = RunDocument.of(session.trace), session.trace.dtype
    rows = {"x": list(document.x), "h_prev": document.h, "c_prev": document.c}
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
