"""Worked-out steps, independent of the output format: vectors, gates, sentences.

Rows are ordered gate by gate, each pre-activation right before its gate, whatever the table order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from lstm_cli.base.address import choose
from lstm_cli.base.arrays import Array
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Apply, Name, Node, evaluate, names_in
from lstm_cli.cell.notation import LATEX, Style, split, write
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace, Trace
from lstm_cli.show.arithmetic import Hand, Working, known_at, work_out
from lstm_cli.show.rows import (
    INPUT_LABELS,
    View,
    last_step,
    shown_layers,
    strongest_unit,
    unknown_symbol,
)
from lstm_cli.show.sentences import Teller


@dataclass(frozen=True, eq=False)
class JoinedVector:
    """A vector that a row multiplies by a matrix: its name, and the parts concatenated in it."""

    shown: str
    parts: tuple[tuple[str, Array], ...]


@dataclass(frozen=True, eq=False)
class WorkedGroup:
    """A gate or a state: its name, the vectors it needs, its rows, its sentence."""

    symbol: str
    label: str
    vectors: tuple[JoinedVector, ...]
    workings: tuple[Working, ...]
    sentence: str


@dataclass(frozen=True, eq=False)
class UnitWork:
    """One unit of one step; `missing` holds the rows without such a unit, and their sizes."""

    unit: int
    groups: tuple[WorkedGroup, ...]
    missing: tuple[tuple[str, int], ...]


@dataclass(frozen=True, eq=False)
class StepWork:
    """One step of one layer and direction, worked out."""

    trace: LayerTrace
    t: int
    vectors: tuple[JoinedVector, ...]
    chosen: str
    units: tuple[UnitWork, ...]


def worked(trace: Trace, view: View, style: Style) -> Iterator[StepWork]:
    """Work out the chosen steps, by layer, direction, then t.

    Raises:
        UsageError: no such unit, step or symbol; raised before the first step is yielded.
    """
    check(trace, view)
    for each in shown_layers(trace, view):
        for t in _steps(each, trace, view):
            yield _step(each, t, view, style, _units(each, t, trace, view))


def check(trace: Trace, view: View) -> None:
    """Check that the chosen units, steps and symbols exist in the run.

    Raises:
        UsageError: no such unit, step or symbol.
    """
    layers = shown_layers(trace, view)
    known = list(dict.fromkeys(s for each in layers for s in each.cell.symbols))
    for symbol in view.symbols:
        if symbol not in known:  # an input has no arithmetic of its own
            raise unknown_symbol(symbol, known, "--only")
    for each in layers:
        _steps(each, trace, view)
        _units(each, last_step(each), trace, view)


def _steps(each: LayerTrace, trace: Trace, view: View) -> list[int]:
    return sorted(trace.chosen_steps(view.at, "--at")) if view.at else [last_step(each)]


def _units(each: LayerTrace, t: int, trace: Trace, view: View) -> list[int]:
    if not view.units:
        return [strongest_unit(each, t)]
    widest = max(_widest(other) for other in trace.layers)
    return [unit for unit in choose(view.units, widest, "--unit") if unit < _widest(each)]


def _widest(each: LayerTrace) -> int:
    return max(int(each.values[symbol].shape[-1]) for symbol in each.cell.symbols)


def _step(each: LayerTrace, t: int, view: View, style: Style, units: list[int]) -> StepWork:
    known = known_at(each, t)
    vectors = list(_vectors(each.cell, view, style, known))
    seen = [v for v, names in vectors if names <= set(INPUT_SYMBOLS)]
    late = [(v, names) for v, names in vectors if not names <= set(INPUT_SYMBOLS)]
    chosen = ""
    if not view.units:
        size = len(each.values["h"][t - 1])
        chosen = f"unit {units[0]} of {size}, the one with the largest |h|; --unit chooses"
    works = tuple(_unit(each, t, unit, view, style, known, late) for unit in units)
    return StepWork(each, t, tuple(seen), chosen, works)


# ---- vectors


def _vectors(
    cell: Cell, view: View, style: Style, known: Mapping[str, Array]
) -> Iterator[tuple[JoinedVector, set[str]]]:
    """Yield each vector that a shown row multiplies by a matrix, once, with the names in it."""
    done: list[Node] = []
    for row in cell.equations:
        if view.symbols and row.symbol not in view.symbols:
            continue
        tree = split(row.expression) if view.notation == "split" else row.expression
        for node in _multiplied(tree):
            parts = node.arguments if isinstance(node, Apply) and node.function == "concat" else ()
            if node not in done and (parts or isinstance(node, Name)):
                done.append(node)
                shown = tuple((write(p, style), evaluate(p, known)) for p in parts or (node,))
                yield JoinedVector(write(node, style), shown), set(names_in(node))


def _multiplied(node: Node) -> Iterator[Node]:
    match node:
        case Apply("@", (_, vector)):
            yield vector
            yield from _multiplied(vector)
        case Apply(_, parts):
            for part in parts:
                yield from _multiplied(part)


# ---- groups


def _unit(
    each: LayerTrace, t: int, unit: int, view: View, style: Style, known: Mapping[str, Array],
    late: list[tuple[JoinedVector, set[str]]],
) -> UnitWork:  # fmt: skip
    teller = Teller(each.cell, known, unit, style)
    groups, missing, left = [], [], list(late)
    for symbols in grouped(each.cell):
        wanted = [s for s in symbols if not view.symbols or s in view.symbols]
        there = [s for s in wanted if unit < each.values[s].shape[-1]]
        missing += [(s, each.values[s].shape[-1]) for s in wanted if s not in there]
        if not there:
            continue
        used = {name for s in there for name in names_in(each.cell[s].expression)}
        own = [vector for vector, names in left if names <= used]
        left = [(vector, names) for vector, names in left if vector not in own]
        works = tuple(
            work_out(each, t, s, unit, style=style, notation=view.notation, digits=view.digits,
                     most_terms=view.terms)
            for s in there
        )  # fmt: skip
        last = each.cell[there[-1]]
        groups.append(
            WorkedGroup(
                last.symbol, last.label or last.symbol, tuple(own), works, teller.say(there[-1])
            )
        )
    return UnitWork(unit, tuple(groups), tuple(missing))


def grouped(cell: Cell) -> list[list[str]]:
    """Return the rows' symbols gate by gate, each after those that it depends on.

    A `z_k` comes right before its `k`, unless another row needs it earlier.
    """
    groups: list[list[str]] = []
    waiting: list[str] = []

    def first(symbol: str) -> None:
        for name in names_in(cell[symbol].expression):
            if name in waiting:
                waiting.remove(name)
                first(name)
                groups.append([name])

    for place, symbol in enumerate(cell.symbols):
        if symbol.startswith("z_") and symbol[2:] in cell.symbols[place:]:
            waiting.append(symbol)
            continue
        own = [f"z_{symbol}"] if f"z_{symbol}" in waiting else []
        waiting = [name for name in waiting if name not in own]
        for each in (*own, symbol):
            first(each)
        groups.append([*own, symbol])
    return groups


def called(vector: JoinedVector, style: Style) -> str:
    """Description of a vector: the label of an input, or the parts concatenated in it."""
    if len(vector.parts) > 1:
        return "one vector"
    labels = {style.name(name): label for name, label in INPUT_LABELS.items()}
    return labels.get(vector.shown, "")


def as_sentence(text: str) -> str:
    """Capitalize a text and end it with a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


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
