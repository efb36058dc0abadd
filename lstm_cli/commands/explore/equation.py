"""The worked equation on the screen, as much of it as fits."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from lstm_cli.base.errors import safe
from lstm_cli.cell.notation import UNICODE
from lstm_cli.commands.explore.pieces import page, wrapped
from lstm_cli.commands.explore.scene import Scene, rows_of
from lstm_cli.show.arithmetic import Working, work_out
from lstm_cli.show.rows import equation_text
from lstm_cli.show.worked import equation_lines

# Numbers of terms of a sum to write out, tried in order until everything fits.
TERMS = (12, 8, 5, 3, 2, 1)


def working(scene: Scene, width: int, height: int) -> Text:
    """Return the equation of the selected number with its numbers filled in, stage by stage."""
    if scene.cursor.symbol not in scene.each.cell.symbols:
        return _readers(scene, width, height)
    for terms in TERMS:
        worked = _worked(scene, terms)
        for write in (_stages, _run_on):
            lines = write(worked, width)
            if len(lines) <= height:
                return page(lines)
    # The result itself is never left out.
    lines = [*lines[: max(0, height - 2)], Text(" …", "dim"), lines[-1]][-height:]
    return page(lines)


def _worked(scene: Scene, terms: int) -> Working:
    cursor = scene.cursor
    return work_out(
        scene.each, cursor.t, cursor.symbol, cursor.unit,
        style=UNICODE, notation=scene.notation, digits=scene.digits, most_terms=terms,
    )  # fmt: skip


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
    for row in rows:
        equation = _formula(scene, row.symbol)
        lines += [
            Text(("   " if first else "     ") + part, "cyan")
            for first, part in wrapped(equation, width - 6)
        ]
    if len(lines) > height:
        lines[0].append(" " + ", ".join(row.shown for row in rows))
    return page(lines[:height])


def _formula(scene: Scene, symbol: str) -> str:
    left, right = equation_text(scene.each.cell, UNICODE, scene.notation)[symbol]
    return f"{left} = {right}"
