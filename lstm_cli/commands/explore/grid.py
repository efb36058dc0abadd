"""The table on the screen: rows of numbers on their colours, with the selected one in sight.

No number is cut off: one that does not fit is written with fewer digits, and a vector longer than
the screen is shown around the selected unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from lstm_cli.base.errors import safe
from lstm_cli.base.numbers import decimals, scientific
from lstm_cli.commands.explore.pieces import SELECTED, padded, page, window
from lstm_cli.commands.explore.scene import Scene, SceneRow, rows_of, signed
from lstm_cli.engine.run import INPUT_SYMBOLS
from lstm_cli.show.colours import Scale, ink_on
from lstm_cli.show.draw import STYLES, aligned
from lstm_cli.show.rows import row_kind

FLOW = {"in": "→", "out": "←", "": " "}
EDITED, CHANGED = "◆", "*"
# A green that is in neither colour ramp.
SELECTED_STYLE = "bold #000000 on #5fffaf"
# Labels are shown if so many units still fit beside them.
ENOUGH_UNITS = 6
MOST_OF_A_NAME = 26


@np.errstate(all="ignore")  # inf - inf is nan, and is shown so
def table(scene: Scene, width: int, height: int) -> Text:
    """Return the table of the step or of the parameters, the selected number visible."""
    rows = rows_of(scene)
    chosen = next(place for place, row in enumerate(rows) if row.column is not None)
    column = rows[chosen].column or 0
    rows = [rows[place] for place in window(chosen, len(rows), max(1, height - 1))]
    shape = _shape(scene, rows, column, width)
    grid = [_texts(scene, rows, unit, shape.room) for unit in shape.units]
    line = padded(Text.assemble((f" {_heading(scene, shape)}", "dim")), shape.lead + shape.name)
    for unit, texts in zip(shape.units, grid, strict=True):
        line.append(f" {texts[0].ljust(shape.room)}  ", "bold" if unit == column else "dim")
    lines = [line]
    for place, row in enumerate(rows, 1):
        line = _row_head(row, shape)
        for unit, texts in zip(shape.units, grid, strict=True):
            line.append_text(_cell(row, unit, texts[place].ljust(shape.room), scene))
        lines.append(line)
    return page(lines)


@dataclass(frozen=True)
class _Shape:
    """The columns of a table: what comes before the numbers, a number's room, the visible units."""

    lead: int
    name: int
    room: int
    units: range
    of: int


def _shape(scene: Scene, rows: Sequence[SceneRow], column: int, width: int) -> _Shape:
    widest = max(len(row.values) for row in rows)
    room = scene.digits + 4
    lead = max(cell_len(row.shown) for row in rows) + 3
    name = min(MOST_OF_A_NAME, max(cell_len(safe(row.label)) for row in rows)) + 2
    # Numbers matter more than labels: the line on the equation has the label, too.
    if name == 2 or (width - lead - name) // (room + 3) < min(widest, ENOUGH_UNITS):
        name = 0
    if widest > (width - lead - name) // (room + 3):  # the heading then says which are visible
        lead = max(lead, len(f" Δ {widest}–{widest} of {widest} ") - name)
    count = max(1, (width - lead - name) // (room + 3))
    return _Shape(lead, name, room, window(column, widest, count), widest)


def _heading(scene: Scene, shape: _Shape) -> str:
    units = shape.units
    said = "" if len(units) == shape.of else f"{units[0]}–{units[-1]} of {shape.of}"
    return ("Δ " if scene.differences else "") + said


def _row_head(row: SceneRow, shape: _Shape) -> Text:
    """Return the head of a row: its place in the circuit, its symbol, its label."""
    kind = row_kind(row.symbol, row.symbol in INPUT_SYMBOLS)
    style = "bold" if row.column is not None else STYLES[kind]
    mark = SELECTED if row.column is not None else FLOW[row.flow]
    line = padded(Text.assemble((mark, "bold"), (f" {row.shown}", style)), shape.lead)
    if shape.name:
        name = Text.assemble((safe(row.label), "dim"))
        name.truncate(shape.name - 1, overflow="ellipsis")
        line.append_text(padded(name, shape.name))
    return line


def _texts(scene: Scene, rows: Sequence[SceneRow], unit: int, room: int) -> list[str]:
    """Return a column's heading and its numbers, decimal points aligned if they fit."""
    texts = [_text(scene, row, unit, room) for row in rows]
    # "-0" keeps the decimal points of all columns in place while numbers are small.
    heading, _, *column = aligned(str(unit), ["-0", *texts])
    fits = max(map(len, [heading, *column])) <= room
    return [heading, *column] if fits else [str(unit), *texts]


def _text(scene: Scene, row: SceneRow, unit: int, room: int) -> str:
    if unit >= len(row.values):
        return ""
    if not scene.differences:
        return fitted(float(row.values[unit]), scene.digits, room)
    difference = float(row.differences[unit])
    return fitted(difference, scene.digits, room, plus=True) if row.changed[unit] else "·"


def fitted(value: float, digits: int, room: int, *, plus: bool = False) -> str:
    """Return a number in at most `room` characters, with as many digits as fit."""
    for fewer in range(digits, -1, -1):
        text = signed(value, fewer) if plus else decimals(value, fewer)
        if len(text) <= room and (fewer or "e" in text or value == round(value)):
            return text
    for fewer in range(digits, -1, -1):
        text = scientific(value, fewer)
        if len(text) <= room:
            break
    return text


def _cell(row: SceneRow, unit: int, text: str, scene: Scene) -> Text:
    """Return a number with its marks, on its background colour."""
    if unit >= len(row.values):
        return Text(f" {text}  ")
    chosen = unit == row.column
    mark = EDITED if unit in row.edited else CHANGED if row.changed[unit] else " "
    style = _colour(row.scale, float(row.values[unit]), scene.colour)
    if chosen:
        style = SELECTED_STYLE if scene.colour else "bold reverse"
    return Text.assemble(((SELECTED if chosen else " ") + text + mark, style), " ")


def _colour(scale: Scale, value: float, colour: bool) -> str:
    if not colour:
        return ""
    ground = scale.colour(value)
    return f"{ink_on(ground)} on {ground}"
