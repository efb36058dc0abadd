"""The parts of the screen as text: how its lines are divided among them, and what each shows.

No number is cut off: one that does not fit is written with fewer digits, and a vector longer than
the screen is shown around the selected unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from lstm_cli.base.errors import safe
from lstm_cli.base.numbers import counted, decimals, scientific
from lstm_cli.cell.notation import UNICODE
from lstm_cli.commands.explore.scene import (
    Scene,
    SceneRow,
    advice,
    origin,
    rows_of,
    sentence,
    signed,
)
from lstm_cli.engine.run import INPUT_SYMBOLS
from lstm_cli.show.arithmetic import Working, work_out
from lstm_cli.show.colours import Scale, ink_on, scale_of
from lstm_cli.show.over_time import binned
from lstm_cli.show.rows import equation_text
from lstm_cli.show.terminal import BARS, RowStyles, aligned
from lstm_cli.show.worked_lines import equation_lines

LOOK = RowStyles()
FLOW = {"in": "→", "out": "←", "": " "}
SELECTED, EDITED, CHANGED = "▸", "◆", "*"
# A green that is in neither colour ramp.
SELECTED_STYLE = "bold #000000 on #5fffaf"
# Labels are shown if so many units still fit beside them.
ENOUGH_UNITS = 6
MOST_OF_A_NAME = 26
# Numbers of terms of a sum to write out, tried in order until everything fits.
TERMS = (12, 8, 5, 3, 2, 1)
# Lines that an equation should have, and the most units that the strip shows.
ROOM_TO_WORK = 6
MOST_IN_STRIP = 6

KEYS = (
    ("↑↓", "row"), ("←→", "unit"), (", .", "step"), ("e", "edit"), ("w", "weights"),
    ("u", "undo"), ("r", "reset"), ("d", "differences"), ("l", "layer"), ("n", "notation"),
    ("space", "play"),
)  # fmt: skip
LAST_KEYS = (("?", "help"), ("q", "quit"))


@dataclass(frozen=True)
class ScreenPlan:
    """How many lines each part of the screen has, and how many are left empty above it."""

    table: int
    strip: int
    words: int
    working: int
    gap: int


def plan(scene: Scene, width: int, height: int) -> ScreenPlan:
    """Divide the lines of a screen among its parts, so that nothing moves when the row changes.

    The table and an equation come first, then space between the parts, then more of the strip.
    """
    rows = 1 + len(rows_of(scene))
    words = 2
    strip = 0 if scene.each.steps == 1 or height < 16 else 2
    spare = height - 2 - rows - strip - words - ROOM_TO_WORK
    gap = 1 if spare >= 4 else 0
    spare -= 4 * gap
    if gap and width < 100 and spare:
        words, spare = words + 1, spare - 1
    if strip:
        units = max(values.shape[-1] for values in scene.each.values.values())
        strip += max(0, min(units, MOST_IN_STRIP, 1 + spare) - 1)
    left = height - 2 - strip - words - (4 if strip else 3) * gap
    table = rows if rows <= left - 4 else left - (ROOM_TO_WORK if height >= 24 else 4)
    table = max(2, table)
    return ScreenPlan(table, strip, words, max(0, left - table), gap)


def head(scene: Scene, width: int) -> Text:
    """Return one line on the run and the step shown."""
    trace, each = scene.session.trace, scene.each
    first = each.weights
    facts = [f"step {scene.cursor.t} of {each.steps}"]
    if len(trace.layers) > 1:
        facts.append(f"layer {each.layer} {each.direction}")
    sizes = f"I {first.input_size}, H {first.hidden_size}"
    if first.output_size != first.hidden_size:
        sizes += f", P {first.output_size}"
    facts += [safe(each.cell.name), sizes]
    if scene.session.edits:
        facts.append(counted(len(scene.session.edits), "edit"))
    facts.append(f"weights {safe(trace.model.source)}")
    if trace.dtype.name != "float64":
        facts.append(trace.dtype.name)
    line = Text(" " + " · ".join(facts), style="bold reverse", no_wrap=True)
    line.truncate(width, overflow="ellipsis", pad=True)
    return line


def keys(width: int) -> Text:
    """Return as many keys as fit the width; help and quit are always among them."""
    line = Text(" ", no_wrap=True)
    room = width - 1 - sum(cell_len(f"{key} {word}  ") for key, word in LAST_KEYS)
    fitting = []
    for key, word in KEYS:
        room -= cell_len(f"{key} {word}  ")
        if room >= 0:
            fitting.append((key, word))
    for key, word in (*fitting, *LAST_KEYS):
        line.append(key, "bold").append(f" {word}  ", "dim")
    line.truncate(width)
    return line


@np.errstate(all="ignore")  # inf - inf is nan, and is shown so
def words(scene: Scene, width: int, height: int, message: str = "") -> Text:
    """Return the selected number and its origin, then a message or what the row does in words.

    If they do not both fit, the number of a computed row is left to the table and the equation.
    """
    cursor, cell = scene.cursor, scene.each.cell
    said = message or sentence(scene) or advice(scene)
    lines = _lines(said, width, "bold yellow" if message else "")
    where = _lines(origin(scene), width, "bold")
    if len(where) + len(lines) > height:
        computed = cursor.symbol in cell.symbols and not cursor.weights
        lines, where = (lines, []) if message or computed else ([], where)
    return page((where + lines)[:height])


def _lines(text: str, width: int, style: str) -> list[Text]:
    return [Text.assemble((f" {line}", style)) for _, line in wrapped(safe(text), width - 2)]


# ---- pieces that the parts are assembled from


def page(lines: Sequence[Text]) -> Text:
    """Join lines into one text that is never wrapped again."""
    text = Text("\n", no_wrap=True).join(lines)
    text.no_wrap = True
    return text


def padded(text: Text, width: int) -> Text:
    """Pad or truncate a text to exactly so many columns."""
    text.truncate(max(0, width), overflow="ellipsis", pad=True)
    return text


def window(chosen: int, count: int, room: int) -> range:
    """Return which of `count` places are visible: all, or `room` of them around the chosen one."""
    start = max(0, min(chosen - room // 2, count - room))
    return range(start, min(count, start + room))


def wrapped(text: str, width: int) -> Iterator[tuple[bool, str]]:
    """Yield (whether it is the first, line) of a text wrapped at spaces, or within a long word."""
    first, line = True, ""
    for word in text.split(" "):
        if line and cell_len(line) + 1 + cell_len(word) > width:
            yield first, line
            first, line = False, ""
        line = f"{line} {word}" if line else word
        while cell_len(line) > width > 0:
            yield first, line[:width]
            first, line = False, line[width:]
    yield first, line


# ---- the table: rows of numbers on their colours, with the selected one in sight


@np.errstate(all="ignore")  # inf - inf is nan, and is shown so
def table(scene: Scene, width: int, height: int) -> Text:
    """Return the table of the step or of the parameters, the selected number visible."""
    rows = rows_of(scene)
    chosen = next(place for place, row in enumerate(rows) if row.column is not None)
    column = rows[chosen].column or 0
    rows = [rows[place] for place in window(chosen, len(rows), max(1, height - 1))]
    shape = _shape(scene, rows, column, width)
    grid = [_texts(scene, rows, unit, shape.room) for unit in shape.units]
    units = shape.units
    said = "" if len(units) == shape.of else f"{units[0]}–{units[-1]} of {shape.of}"
    head = f" {'Δ ' * scene.differences}{said}"
    line = padded(Text.assemble((head, "dim")), shape.lead + shape.name)
    for unit, texts in zip(units, grid, strict=True):
        line.append(f" {texts[0].ljust(shape.room)}  ", "bold" if unit == column else "dim")
    lines = [line]
    for place, row in enumerate(rows, 1):
        line = _row_head(row, shape)
        for unit, texts in zip(units, grid, strict=True):
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


def _row_head(row: SceneRow, shape: _Shape) -> Text:
    """Return the head of a row: its place in the circuit, its symbol, its label."""
    style = "bold" if row.column is not None else LOOK.of(row.symbol, row.symbol in INPUT_SYMBOLS)
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
    ground = row.scale.colour(float(row.values[unit]))
    style = f"{ink_on(ground)} on {ground}" if scene.colour else ""
    if chosen:
        style = SELECTED_STYLE if scene.colour else "bold reverse"
    return Text.assemble(((SELECTED if chosen else " ") + text + mark, style), " ")


# ---- the selected row over time: a line of colours, or of bars, for each unit


@np.errstate(all="ignore")  # inf - inf is nan, and is shown so
def strip(scene: Scene, width: int, height: int) -> Text:
    """Return the selected symbol over all steps: a line per unit, and a mark under the step."""
    cursor = scene.cursor
    values = scene.each.values[cursor.symbol]
    scale = scale_of(values, cursor.symbol)
    units = window(cursor.unit, values.shape[-1], max(1, height - 1))
    lead = cell_len(f"▸ {UNICODE.name(cursor.symbol)}[{units[-1]}] ")
    room = max(1, width - lead - 1)
    means, size = binned(values, room)
    wide = max(1, min(8, room // len(means)))
    lines = []
    for unit in units:
        chosen = unit == cursor.unit
        mark, style = (SELECTED, "bold") if chosen else (" ", "")
        name = f"{mark} {UNICODE.name(cursor.symbol)}[{unit}] "
        line = padded(Text.assemble((name, style)), lead)
        for value in means[:, unit]:
            line.append_text(_heat(scale, float(value), wide, scene))
        lines.append(line)
    here = (cursor.t - 1) // size
    return page([*lines, _under(lead + here * wide, wide, size, cursor.t, width)])


def _heat(scale: Scale, value: float, wide: int, scene: Scene) -> Text:
    """Return a number as a coloured block, or as a bar without colour."""
    if scene.colour:
        return Text(" " * wide, f"on {scale.colour(value)}")
    bar = BARS[round(scale.place(value) * (len(BARS) - 1))] if np.isfinite(value) else "?"
    return Text(bar * wide)


def _under(at: int, wide: int, size: int, t: int, width: int) -> Text:
    """Return the line under the strip: where the step is, and how many steps share a column."""
    said = f"▲ t = {t}"
    if size > 1:
        said += f" · a column is the mean of {size} steps"
    middle = at + (wide - 1) // 2
    if middle + cell_len(said) >= width:  # put the words to the left of the mark
        said = f"{said[2:]} ▲"
        middle -= cell_len(said) - 1
    return Text(" " * max(0, middle) + said, "bold")


# ---- the worked equation, as much of it as fits


def working(scene: Scene, width: int, height: int) -> Text:
    """Return the equation of the selected number with its numbers filled in, stage by stage."""
    cursor = scene.cursor
    if cursor.symbol not in scene.each.cell.symbols:
        return _readers(scene, width, height)
    for terms in TERMS:
        worked = work_out(
            scene.each, cursor.t, cursor.symbol, cursor.unit,
            style=UNICODE, notation=scene.notation, digits=scene.digits, most_terms=terms,
        )  # fmt: skip
        for write in (_stages, _run_on):
            lines = write(worked, width)
            if len(lines) <= height:
                return page(lines)
    # The result itself is never left out.
    lines = [*lines[: max(0, height - 2)], Text(" …", "dim"), lines[-1]][-height:]
    return page(lines)


def _stages(worked: Working, width: int) -> list[Text]:
    """Return `f_t[2] = σ(z_f[2])`, the other stages below its right side."""
    left = f" {safe(worked.shown)} "
    indent = " " * cell_len(left)
    lines: list[Text] = []
    for place, stage in enumerate(worked.stages):
        start = left if place == 0 else indent
        style = "bold" if place == len(worked.stages) - 1 else "cyan" if place == 0 else ""
        for part in wrapped(safe(stage), max(20, width - len(indent) - 3)):
            sign = "= " if part[0] else "  "
            lines.append(Text.assemble((start + sign, "bold"), (part[1], style)))
            start = indent
    return lines


def _run_on(worked: Working, width: int) -> list[Text]:
    """Return the same with as many stages on a line as fit."""
    name = cell_len(safe(worked.shown)) + 1
    lines = []
    for line in equation_lines(worked, width - 2):
        text = Text.assemble(f" {safe(line)}")
        text.stylize("bold", 0, name)
        lines.append(text)
    return lines


def _readers(scene: Scene, width: int, height: int) -> Text:
    """Return the equations that an input enters; by name if they do not all fit."""
    own = UNICODE.name(scene.cursor.symbol)
    rows = [row for row in rows_of(scene) if row.flow == "out"]
    if not rows:
        return page([Text(f" {own} enters no row of this cell", "bold")])
    lines = [Text(f" {own} enters", "bold")]
    written = equation_text(scene.each.cell, UNICODE, scene.notation)
    for row in rows:
        equation = " = ".join(written[row.symbol])
        lines += [
            Text(("   " if first else "     ") + part, "cyan")
            for first, part in wrapped(equation, width - 6)
        ]
    if len(lines) > height:
        lines[0].append(" " + ", ".join(row.shown for row in rows))
    return page(lines[:height])
