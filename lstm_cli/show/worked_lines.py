"""Worked arithmetic as lines of a width: equations, vectors with their places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from lstm_cli.base.arrays import Array
from lstm_cli.cell.notation import LATEX, Style
from lstm_cli.show.arithmetic import Hand, Working
from lstm_cli.show.worked import JoinedVector, called

# How many numbers of a part are shown; those that matter appear in the sums.
MOST_DRAWN = 16
# Where a long right side may go on in the next line: before a sign, behind a comma; in a narrow
# terminal also before a factor.
_BREAKS = re.compile(r"(?<=\S)(?= [+−/-] )|(?<=,)(?= )")
_FACTORS = re.compile(r"(?=·\(| \* \()")


def vector_title(vector: JoinedVector, style: Style) -> str:
    """Title of a vector."""
    label = called(vector, style)
    return f"{vector.shown}, {label}" if label else vector.shown


def vector_lines(vector: JoinedVector, width: int, style: Style, digits: int) -> list[str]:
    """Write a vector as numbers below their indices, with a bar between its parts."""
    columns = [
        VectorEntry(part, name if len(vector.parts) > 1 else "", place, text)
        for part, (name, array) in enumerate(vector.parts)
        for place, text in entries(array, style, digits)
    ]
    lines: list[str] = []
    while columns:
        count = _fitting(columns, width)
        lines += _block(columns[:count])
        columns = columns[count:]
    return lines


@dataclass(frozen=True)
class VectorEntry:
    """One number of a vector: the index and name of its part, its own index, its text."""

    part: int
    name: str
    place: str
    text: str


def entries(array: Array, style: Style, digits: int) -> list[tuple[str, str]]:
    """Return the indices and numbers of a vector, or the first ones and how many more there are."""
    hand = Hand(style, digits)
    shown = array if len(array) <= MOST_DRAWN + 1 else array[:MOST_DRAWN]
    texts = [(str(j), hand.number(float(value))[0]) for j, value in enumerate(shown)]
    if len(shown) < len(array):
        more = f"{len(array) - len(shown)} more"
        texts.append((r"\ldots", rf"\text{{{more}}}") if style is LATEX else ("...", more))
    return texts


def _fitting(columns: Sequence[VectorEntry], width: int) -> int:
    """Number of columns that fit on a line, at least one; preferably up to the end of a part."""
    count = len(columns)
    while count > 1 and max(map(cell_len, _block(columns[:count]))) > width:
        count -= 1
    ends = [k for k in range(1, count) if columns[k - 1].part != columns[k].part]
    cut = count < len(columns) and columns[count - 1].part == columns[count].part
    return ends[-1] if cut and ends else count


def _block(columns: Sequence[VectorEntry]) -> list[str]:
    """Return the lines of some columns: names of parts, indices, numbers."""
    sides: dict[int, tuple[list[str], list[str]]] = {}
    names: dict[int, str] = {}
    for column in columns:
        wide = max(len(column.place), len(column.text))
        names[column.part] = column.name
        places, texts = sides.setdefault(column.part, ([], []))
        places.append(column.place.rjust(wide))
        texts.append(column.text.rjust(wide))
    joined = [["  ".join(row) for row in side] for side in sides.values()]
    widths = [
        max(len(side[0]), cell_len(name)) for name, side in zip(names.values(), joined, strict=True)
    ]
    rows = [
        "  │  ".join(side[place].rjust(wide) for side, wide in zip(joined, widths, strict=True))
        for place in (0, 1)
    ]
    over = "  │  ".join(
        _centred(name, wide) for name, wide in zip(names.values(), widths, strict=True)
    )
    return [line.rstrip() for line in ([over] if any(names.values()) else []) + rows]


def _centred(text: str, width: int) -> str:
    left = (width - cell_len(text)) // 2
    return " " * left + text + " " * (width - cell_len(text) - left)


def equation_lines(work: Working, width: int) -> list[str]:
    """Return `name = formula = … = number` in one line, or with the formula in a line of its own.

    Every further line starts under the first =, and holds as many stages as fit.
    """
    whole = " = ".join((work.shown, *work.stages))
    if cell_len(whole) <= width:
        return [whole]
    indent = " " * (cell_len(work.shown) + 1)
    formula, *others = work.stages
    lines = _broken(f"{work.shown} = {formula}", width, indent + "  ")
    alone = True  # the formula, and what takes several lines, but for the result behind it
    for stage in others:
        fits = cell_len(lines[-1]) + cell_len(stage) + 3 <= width
        if fits and (not alone or (stage == others[-1] and len(others) > 1)):
            lines[-1] += f" = {stage}"
            continue
        more = _broken(f"{indent}= {stage}", width, indent + "  ")
        alone = len(more) > 1
        lines += more
    return lines


def _broken(line: str, width: int, indent: str) -> list[str]:
    """Return a line as several where it is too long, broken before signs and behind commas."""
    if cell_len(line) <= width:
        return [line]
    pieces = _BREAKS.split(line)
    if max(map(cell_len, pieces)) + len(indent) > width:
        pieces = [part for piece in pieces for part in _FACTORS.split(piece)]
    lines = [""]
    for piece in pieces:
        if lines[-1].strip() and cell_len(lines[-1]) + cell_len(piece) > width:
            lines.append(indent + piece.lstrip())
        else:
            lines[-1] += piece
    return lines
