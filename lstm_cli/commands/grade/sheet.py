"""What an exercise asks: places in the correct run, and the numbers that an answer has there."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import UsageError, safe
from lstm_cli.cell.notation import suggest_symbol
from lstm_cli.commands.grade.reading import AnswerColumn, Submission
from lstm_cli.engine import agreement
from lstm_cli.engine.agreement import Float32Noise
from lstm_cli.engine.run import Trace

# Maximum number of unreadable cells reported per answer.
MOST_NOTES = 3
# A number longer than this was not written by hand, and is ignored.
MAX_NUMBER = 100
# Minimum number of decimals compared: "0.5" is not right for 0.475.
LEAST_DECIMALS = 2

_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:(?P<point>[.,])(?P<part>[0-9]*))?"
    r"(?:[eE](?P<exponent>[+-]?[0-9]{1,4}))?"
)
_MINUS = str.maketrans(dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014", "-"))
# Removed: a spreadsheet's mark for text, signs for "about", dots for further digits.
_AROUND = re.compile(r"^['≈~]\s*|\s*\.\.\.$")


# ---- places


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


def symbols_of(trace: Trace) -> dict[str, list[tuple[int, str, int]]]:
    """Return valid column names, such as `h` or `layer0_forward_h`, with what they refer to.

    That is the run, the symbol and the size of each vector; of the directions, side by side.
    """
    short, full = defaultdict(list), {}
    for n, each in enumerate(trace.layers):
        for symbol in each.cell.symbols:
            vector = n, symbol, int(each.values[symbol].shape[-1])
            full[f"layer{each.layer}_{each.direction}_{symbol}"] = [vector]
            if each.layer == trace.layers[-1].layer:
                short[symbol].append(vector)
    return {**short, **full} if len(trace.layers) > 1 else dict(short)


@dataclass(frozen=True, eq=False)
class Sheet:
    """What is asked for.

    Attributes:
        trace: the correct run.
        bases: by name, the number of the first unit in the file, 0 or 1.
        asked: what is asked at each place, in order of computation.
    """

    trace: Trace
    bases: Mapping[str, int]
    asked: Mapping[SheetPlace, Asked] = field(default_factory=dict)

    @cached_property
    def arithmetic(self) -> Float32Noise:
        """Deviation of float32 arithmetic in the correct run."""
        return Float32Noise(self.trace)

    @cached_property
    def known(self) -> dict[str, list[tuple[int, str, int]]]:
        """The vectors that each column name refers to."""
        return symbols_of(self.trace)

    @property
    def names(self) -> list[str]:
        """Names of what is asked, without duplicates."""
        return list(dict.fromkeys(each.name for each in self.asked.values()))

    def _places(self, name: str, t: int | None) -> Iterator[tuple[SheetPlace, range]]:
        """Yield the places that a name refers to at a step, with their units; none past the end."""
        start = 0
        for run, symbol, size in self.known[name]:
            # Without a time: the last step processed for a state, else T.
            state = symbol in ("h", "c")
            last = self.trace.layers[run].order[-1] + 1 if state else self.trace.steps
            when = last if t is None else t
            if 1 <= when <= self.trace.steps:
                yield SheetPlace(run, symbol, when), range(start, start + size)
            start += size

    def whole(self, column: AnswerColumn) -> dict[SheetPlace, Asked]:
        """Return the places and units of a column: a whole vector, or one number of it."""
        own = self._index(column)
        asked = {
            place: Asked(column.symbol, np.array([own in (None, unit) for unit in units]))
            for place, units in self._places(column.symbol, column.t)
        }
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
        width = sum(size for _, _, size in self.known[column.symbol])
        return read_cell(text, width, self.trace.steps if column.t is None else 1)

    def numbers(self, answer: Submission) -> tuple[dict[SheetPlace, ParsedVector], list[str]]:
        """Return the numbers of an answer, asked or not, and notes on what was hard to read."""
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
        found, own = False, self._index(column)
        for t, row in enumerate(rows, 1):
            when = t if len(rows) > 1 else column.t
            for place, units in self._places(column.symbol, when):
                numbers = filled.setdefault(place, [None] * len(units))
                for n, unit in enumerate(units):
                    if own in (None, unit):
                        numbers[n] = row[unit if own is None else 0]
                        found = True
        return found


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
                hint=suggest_symbol(name, known),
            )  # fmt: skip
    sheet = Sheet(trace, _bases(trace, answers))
    room = [sheet.room(answer) for answer in answers]
    count = Counter(place for own in room for place in own)
    asked: dict[SheetPlace, Asked] = {}
    for own in room:
        for place, each in own.items():
            if 2 * count[place] >= len(answers) and (not ask or each.name in ask):
                units = each.units | asked[place].units if place in asked else each.units
                asked[place] = Asked(each.name, units)
    for name in ask:
        if all(each.name != name for each in asked.values()):
            asked |= sheet.whole(AnswerColumn(name))

    def order(place: SheetPlace) -> tuple[int, int, int]:
        layer = trace.layers[place.run]
        time = layer.order.index(place.t - 1)
        return place.run, time, layer.cell.symbols.index(place.symbol)

    return replace(sheet, asked={place: asked[place] for place in sorted(asked, key=order)})


def _bases(trace: Trace, answers: Sequence[Submission]) -> dict[str, int]:
    """Number of each name's first unit: 1 if units are numbered 1 to n, else 0."""
    known = symbols_of(trace)
    numbered: dict[str, set[int]] = {name: set() for name in known}
    for columns in {answer.columns or tuple(answer.cells) for answer in answers}:
        for column in columns:
            if column.unit is not None:
                numbered[column.symbol].add(column.unit)
    return {
        name: int(units == set(range(1, sum(size for _, _, size in known[name]) + 1)))
        for name, units in numbered.items()
    }


def _heading(column: AnswerColumn) -> str:
    unit = "" if column.unit is None else f"_{column.unit}"
    return column.symbol + unit + (f"@{column.t}" if column.t is not None else "")


# ---- numbers as people write them: their value and the digits to compare


@dataclass(frozen=True)
class ParsedNumber:
    """A number as written.

    Attributes:
        value: its value.
        decimals: number of digits after the point; negative if it ends before it (3e2).
        comma: whether it was written with a decimal comma.
    """

    value: float
    decimals: int
    comma: bool = False

    @property
    def unit(self) -> float:
        """One unit in the last digit written, or in the last that counts."""
        size = abs(self.value)
        # Two decimals of a small number, two digits of a large one.
        least = 0 if size < 1 else math.floor(math.log10(size)) + 1
        decimals = max(self.decimals, LEAST_DECIMALS - least)
        return float(10.0**-decimals)


def read_number(text: str, *, comma: bool = True) -> ParsedNumber | None:
    """Parse a number; None if the text is not one.

    Args:
        text: a cell or a word in one.
        comma: whether `0,475` is 0.475.
    """
    match = _NUMBER.fullmatch(tidied(text))
    if match is None or not (match["whole"] or match["part"]):
        return None
    if match["point"] == "," and not (comma and match["whole"] and match["part"]):
        return None
    part, exponent = match["part"] or "", int(match["exponent"] or 0)
    value = float(f"{match['sign']}{match['whole'] or 0}.{part or 0}e{exponent}")
    if not math.isfinite(value):
        return None
    return ParsedNumber(value, min(len(part) - exponent, 300), match["point"] == ",")


def tidied(text: str) -> str:
    """Strip what surrounds a number and convert it to plain digits and signs.

    Full-width digits and typographic signs become plain ones; an overlong text becomes "".
    """
    if len(text) > MAX_NUMBER:
        return ""
    plain = unicodedata.normalize("NFKC", text.strip()).translate(_MINUS)
    return _AROUND.sub("", plain.strip()).strip()


@dataclass(frozen=True, eq=False)
class ParsedVector:
    """The numbers of one symbol at one step.

    Attributes:
        values: `(n,)`; nan where nothing, or not a number, was written.
        units: one unit in the last digit that counts, `(n,)`; 1 where nothing was written.
        decimals: `(n,)`; -1 where nothing was written.
    """

    values: Array
    units: Array
    decimals: Array

    @property
    def there(self) -> Array:
        """Where a number was written, `(n,)`."""
        return ~np.isnan(self.values)


def vector(numbers: list[ParsedNumber | None]) -> ParsedVector:
    """Convert numbers, with None for missing ones, to arrays."""
    return ParsedVector(
        np.array([np.nan if each is None else each.value for each in numbers]),
        np.array([1.0 if each is None else each.unit for each in numbers]),
        np.array([-1 if each is None else max(each.decimals, 0) for each in numbers]),
    )


Key = TypeVar("Key")


def unpadded(vectors: Mapping[Key, ParsedVector]) -> dict[Key, ParsedVector] | None:
    """Drop the trailing zeros common to all of an answer's numbers; None if there are none."""
    values = np.concatenate([each.values[each.there] for each in vectors.values()])
    written = np.concatenate([each.decimals[each.there] for each in vectors.values()])
    shortest = agreement.decimals_of(values)
    filling = int((written - agreement.unpadded(written, shortest)).max(initial=0))
    if not filling:
        return None
    return {
        key: vector([ParsedNumber(value, count - filling) if there else None
                     for value, count, there in zip(each.values, each.decimals, each.there,
                                                    strict=True)])
        for key, each in vectors.items()
    }  # fmt: skip


_OUTSIDE = re.compile(r"(?:\w+\.)?(?:array|asarray|tensor)\s*\(|[\[\]()]", re.IGNORECASE)
# Separators of the rows and words in a cell: with decimal points, then with decimal commas.
_READINGS = (
    (r"[;\n]", r"[\s,]+", False),
    (r"[;\n]", r"\s+", True),
    (r"(?!)", r"[\s;]+", True),
)


def read_cell(text: str, width: int, steps: int) -> list[list[ParsedNumber | None]] | None:
    """Parse the rows of a vector in a cell: one row, or one per step; None if it is neither.

    Args:
        text: `0.1 0.2`, `[0.1, 0.2]`, `0,1; 0,2`, with `;` between rows. Non-numbers become None.
        width: numbers per row.
        steps: number of rows if there are several.
    """
    if width == 1 and steps == 1:
        return [[read_number(text)]]
    inner = _OUTSIDE.sub(" ", text)
    for between_rows, between_words, comma in _READINGS:
        rows = [_words(row, between_words) for row in re.split(between_rows, inner)]
        rows = [row for row in rows if row]
        if len(rows) in (1, steps) and all(len(row) == width for row in rows):
            return [[read_number(word, comma=comma) for word in row] for row in rows]
    return None


def _words(row: str, between: str) -> list[str]:
    return [word for word in re.split(between, row.strip()) if word]
