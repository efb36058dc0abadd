"""Every id that a diagnosis can print, with its rows, including those that a search generates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from lstm_cli.formats.conventions import CONVENTIONS
from lstm_cli.mistakes.catalogue import IN_ONE_GATE, MISTAKES, mistake_named
from lstm_cli.mistakes.misread_layouts import convention_mistakes
from lstm_cli.mistakes.row import Mistake
from lstm_cli.mistakes.states import rounding_to_decimals

_IN_ONE_RUN = re.compile(r"(?P<id>.+)-(?P<where>layer-\d{1,4}-(forward|backward))")


def rows_named(name: str) -> tuple[Mistake, ...]:
    """Return the row for an id as `diagnose` prints it, or two rows for a pair, `id+id`.

    Raises:
        UsageError: no mistake has that id; the hint suggests the closest one.
    """
    return tuple(_row_named(each) for each in name.split("+"))


def _row_named(name: str) -> Mistake:
    match = _IN_ONE_RUN.fullmatch(name)
    if match:
        row, where = mistake_named(match["id"]), match["where"].replace("-", " ")
        return replace(row, id=name, title=f"in {where} only: {row.title}", options="")
    if name in MISTAKES:
        return MISTAKES[name]
    return next((row for row in _made(name) if row.id == name), None) or mistake_named(name)


def _made(name: str) -> Iterator[Mistake]:
    """Yield the rows that a search generates on demand."""
    yield from IN_ONE_GATE
    yield replace(
        rounding_to_decimals(4), title="every intermediate number is rounded to a few decimals",
        formula="every value rounded to the number of decimals shown",
    )  # fmt: skip
    source = name.partition("-as-")[0]  # a convention's weights read as another's
    if source in CONVENTIONS:
        yield from convention_mistakes(source)
