"""Numbers as people write them: their value and the digits to compare."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.engine import agreement
from lstm_cli.engine.agreement import HAIR

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
    def tolerance(self) -> float:
        """One unit in the last digit written, or in the last that counts."""
        size = abs(self.value)
        # Two decimals of a small number, two digits of a large one.
        least = 0 if size < 1 else math.floor(math.log10(size)) + 1
        decimals = max(self.decimals, LEAST_DECIMALS - least)
        return float(10.0**-decimals * HAIR)


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
        tolerance: `(n,)`; 1 where nothing was written.
        decimals: `(n,)`; -1 where nothing was written.
    """

    values: Array
    tolerance: Array
    decimals: Array

    @property
    def there(self) -> Array:
        """Where a number was written, `(n,)`."""
        return ~np.isnan(self.values)


def vector(numbers: list[ParsedNumber | None]) -> ParsedVector:
    """Convert numbers, with None for missing ones, to arrays."""
    return ParsedVector(
        np.array([np.nan if each is None else each.value for each in numbers]),
        np.array([1.0 if each is None else each.tolerance for each in numbers]),
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
