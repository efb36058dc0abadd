"""One person's answer: a name, the text of each column, and the meaning of the columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Maximum lengths: of a line, a cell, a name, a cell that is only passed through.
MAX_LINE = 100_000
MAX_CELL = 20_000
MAX_NAME = 200
MAX_OTHER = 500
MAX_COLUMNS = 5000

NAMES = ("name", "student", "id")


class AnswerColumn(NamedTuple):
    """Meaning of a column.

    Attributes:
        symbol: a row of the cell's table, or `layer0_forward_f`.
        unit: the unit as numbered in the file, or None for a whole vector.
        t: the step, or None for the last (or for all, if the text has a row for each).
    """

    symbol: str
    unit: int | None = None
    t: int | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """One person's submission.

    Attributes:
        name: the person.
        cells: the text of each column that was filled in.
        columns: the columns to fill in: the file's header, or in JSON the answer's own members.
        other: data passed through, by heading.
        line: where it starts in the file, from 1.
        notes: what had to be corrected to read it.
    """

    name: str
    cells: Mapping[AnswerColumn, str]
    columns: tuple[AnswerColumn, ...] = ()
    other: Mapping[str, str] = field(default_factory=dict)
    line: int = 0
    notes: tuple[str, ...] = ()


_COLUMN = re.compile(
    r"(?P<symbol>.*?)(?:@(?P<t>[0-9]{1,6}))?"
    r"(?:_(?P<unit>[0-9]{1,6})|\[(?P<index>[0-9]{1,6})\])?(?:@(?P<late>[0-9]{1,6}))?",
    re.DOTALL,
)


def column_of(heading: str, symbols: Sequence[str]) -> AnswerColumn | None:
    """Parse a heading such as `h`, `f_0`, `f[0]`, `h@2` or `h_0@2`; None if it is not one.

    `F`, `f_t` and `C̃_t` mean f, f and g, unless they name another symbol.
    """
    if heading in symbols:
        return AnswerColumn(heading)
    match = _COLUMN.fullmatch(heading.strip())
    assert match is not None  # all parts are optional
    symbol = _symbol(match["symbol"], symbols)
    if symbol is None or (match["t"] and match["late"]):
        return None
    unit, t = match["unit"] or match["index"], match["t"] or match["late"]
    return AnswerColumn(symbol, None if unit is None else int(unit), None if t is None else int(t))


def _symbol(text: str, symbols: Sequence[str]) -> str | None:
    if text in symbols:
        return text
    plain = unicodedata.normalize("NFD", text.strip()).casefold()
    plain = plain.removesuffix("_t")
    plain = "g" if plain in ("c\u0303", "c~", "c_tilde") else plain
    return plain if plain in symbols else None


def shown_name(text: str, line: int) -> str:
    """Return a name truncated to `MAX_NAME`, or the answer's line if it has none."""
    return text[:MAX_NAME] + "…" * (len(text) > MAX_NAME) if text else f"line {line}"
