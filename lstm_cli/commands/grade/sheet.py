"""What an exercise asks: places in the correct run, and where an answer has their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import UsageError, safe, suggest
from lstm_cli.commands.grade.parse_numbers import (
    ParsedNumber,
    ParsedVector,
    read_cell,
    read_number,
    vector,
)
from lstm_cli.commands.grade.reading import AnswerColumn, Submission
from lstm_cli.engine.agreement import Float32Noise
from lstm_cli.engine.run import Trace

# Maximum number of unreadable cells reported per answer.
MOST_NOTES = 3


class SheetPlace(NamedTuple):
    """Place in a run: index of layer and direction, symbol, input time from 1."""

    run: int
    symbol: str
    t: int


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked at a place: the name it goes by, and which units `(n,)`."""

    name: str
    units: Array


def symbols_of(trace: Trace) -> dict[str, list[int]]:
    """Return valid column names, such as `h` or `layer0_forward_h`, with the runs they refer to."""
    last = [n for n, each in enumerate(trace.layers) if each.layer == trace.layers[-1].layer]
    known = dict.fromkeys(trace.layers[last[0]].cell.symbols, last)
    if len(trace.layers) > 1:
        known |= {
            f"layer{each.layer}_{each.direction}_{symbol}": [n]
            for n, each in enumerate(trace.layers)
            for symbol in each.cell.symbols
        }
    return known


@dataclass(frozen=True, eq=False)
class Sheet:
    """What is asked for.

    Attributes:
        trace: the correct run.
        asked: what is asked at each place, in order of computation.
        bases: by name, the number of the first unit in the file, 0 or 1.
    """

    trace: Trace
    asked: Mapping[SheetPlace, Asked]
    bases: Mapping[str, int]

    @cached_property
    def arithmetic(self) -> Float32Noise:
        """Deviation of float32 arithmetic in the correct run."""
        return Float32Noise(self.trace)

    @property
    def names(self) -> list[str]:
        """Names of what is asked, without duplicates."""
        return list(dict.fromkeys(each.name for each in self.asked.values()))

    def numbers(self, answer: Submission) -> tuple[dict[SheetPlace, ParsedVector], list[str]]:
        """Return the numbers of an answer, asked or not, and notes on what was hard to read."""
        return _Placement(self.trace, self.bases).take(answer)


def sheet_of(trace: Trace, answers: Sequence[Submission], ask: Iterable[str] = ()) -> Sheet:
    """Infer what is asked: the columns that at least half of the answers have.

    Args:
        trace: the correct run, unbatched.
        answers: all answers.
        ask: names, if not everything in the file is asked; a name missing from the file is asked
            at the last step.

    Raises:
        UsageError: a name that the cell does not compute.
    """
    known = symbols_of(trace)
    for name in ask:
        if name not in known:
            raise UsageError(
                f"the cell does not compute '{safe(name)}'", where="--ask",
                hint=suggest(name, known),
            )  # fmt: skip
    bases = _bases(trace, answers)
    taking = _Placement(trace, bases)
    room = [taking.room(answer) for answer in answers]
    count = Counter(place for own in room for place in own)
    asked: dict[SheetPlace, Asked] = {}
    for own in room:
        for place, each in own.items():
            if 2 * count[place] >= len(answers) and (not ask or each.name in ask):
                units = each.units | asked[place].units if place in asked else each.units
                asked[place] = Asked(each.name, units)
    for name in ask:
        if all(each.name != name for each in asked.values()):
            asked |= taking.whole(AnswerColumn(name))
    order = sorted(asked, key=lambda place: _order(place, trace))
    return Sheet(trace, {place: asked[place] for place in order}, bases)


def _order(place: SheetPlace, trace: Trace) -> tuple[int, int, int]:
    layer = trace.layers[place.run]
    time = place.t if layer.direction == "forward" else -place.t
    return place.run, time, layer.cell.symbols.index(place.symbol)


def _bases(trace: Trace, answers: Sequence[Submission]) -> dict[str, int]:
    """Number of each name's first unit: 1 if units are numbered 1 to n, else 0."""
    known = symbols_of(trace)
    numbered: dict[str, set[int]] = {name: set() for name in known}
    for columns in {answer.columns or tuple(answer.cells) for answer in answers}:
        for column in columns:
            if column.unit is not None:
                numbered[column.symbol].add(column.unit)
    return {
        name: int(units == set(range(1, _width(trace, known[name], name) + 1)))
        for name, units in numbered.items()
    }


def _width(trace: Trace, runs: Sequence[int], name: str) -> int:
    return sum(_size(trace, run, name) for run in runs)


def _size(trace: Trace, run: int, name: str) -> int:
    return int(trace.layers[run].values[_symbol(trace, run, name)].shape[-1])


def _symbol(trace: Trace, run: int, name: str) -> str:
    layer = trace.layers[run]
    return name.removeprefix(f"layer{layer.layer}_{layer.direction}_")


@dataclass(frozen=True, eq=False)
class _Placement:
    """Maps the numbers in answers to their places in a run."""

    trace: Trace
    bases: Mapping[str, int]

    def places(self, name: str, t: int | None) -> list[tuple[SheetPlace, int]]:
        """Return the places that a name refers to at a step, with sizes; none past the end."""
        found = []
        for run in symbols_of(self.trace)[name]:
            symbol = _symbol(self.trace, run, name)
            when = self._last(run, symbol) if t is None else t
            if 1 <= when <= self.trace.steps:
                found.append((SheetPlace(run, symbol, when), _size(self.trace, run, name)))
        return found

    def _last(self, run: int, symbol: str) -> int:
        """Time of a vector given without one: the last step processed for a state, else T."""
        backward = self.trace.layers[run].direction == "backward"
        return 1 if backward and symbol in ("h", "c") else self.trace.steps

    def whole(self, column: AnswerColumn) -> dict[SheetPlace, Asked]:
        """Return the places and units of a column: a whole vector, or one number of it."""
        asked, start = {}, 0
        for place, size in self.places(column.symbol, column.t):
            units = np.arange(start, start + size)
            own = self._index(column)
            asked[place] = Asked(
                column.symbol, np.full(size, True) if own is None else units == own
            )
            start += size
        return {place: each for place, each in asked.items() if each.units.any()}

    def _index(self, column: AnswerColumn) -> int | None:
        return None if column.unit is None else column.unit - self.bases.get(column.symbol, 0)

    def room(self, answer: Submission) -> dict[SheetPlace, Asked]:
        """Return the places and units that an answer has columns for, filled in or not."""
        asked: dict[SheetPlace, Asked] = {}
        for column in answer.columns or answer.cells:
            for place, each in self.whole(column).items():
                known = asked[place].units if place in asked else False
                asked[place] = Asked(each.name, each.units | known)
        for column, text in answer.cells.items():
            if column.unit is None and column.t is None and self.trace.steps > 1:
                rows = self._rows(column, text) or []
                for t in range(1, len(rows) + 1 if len(rows) > 1 else 1):
                    asked |= self.whole(column._replace(t=t))
        return asked

    def _rows(self, column: AnswerColumn, text: str) -> list[list[ParsedNumber | None]] | None:
        runs = symbols_of(self.trace)[column.symbol]
        steps = self.trace.steps if column.t is None else 1
        return read_cell(text, _width(self.trace, runs, column.symbol), steps)

    def take(self, answer: Submission) -> tuple[dict[SheetPlace, ParsedVector], list[str]]:
        """Return the numbers by place, and notes."""
        filled: dict[SheetPlace, list[ParsedNumber | None]] = {}
        bad: list[str] = []
        for column, text in answer.cells.items():
            rows = [[read_number(text)]] if column.unit is not None else self._rows(column, text)
            if rows is None or any(number is None for row in rows for number in row):
                bad.append(f"{_heading(column)}: cannot read '{safe(text[:24])}'")
            if rows is not None and not self._fill(filled, column, rows):
                bad.append(f"{_heading(column)}: the run has no such place")
        notes = bad[:MOST_NOTES]
        if len(bad) > MOST_NOTES:
            notes.append(f"{len(bad) - MOST_NOTES} more cells cannot be read")
        if any(number and number.comma for row in filled.values() for number in row):
            notes.append("decimal commas")
        vectors = {place: vector(numbers) for place, numbers in filled.items()}
        return {place: own for place, own in vectors.items() if own.there.any()}, notes

    def _fill(
        self, filled: dict[SheetPlace, list[ParsedNumber | None]], column: AnswerColumn,
        rows: list[list[ParsedNumber | None]],
    ) -> bool:  # fmt: skip
        """Store numbers at their places; return whether these exist."""
        found = False
        for t, row in enumerate(rows, 1):
            when = t if len(rows) > 1 else column.t
            start, own = 0, self._index(column)
            for place, size in self.places(column.symbol, when):
                numbers = filled.setdefault(place, [None] * size)
                if own is None:
                    numbers[:] = row[start : start + size]
                    found = True
                elif start <= own < start + size:
                    numbers[own - start] = row[0]
                    found = True
                start += size
        return found


def _heading(column: AnswerColumn) -> str:
    unit = "" if column.unit is None else f"_{column.unit}"
    return column.symbol + unit + (f"@{column.t}" if column.t is not None else "")
