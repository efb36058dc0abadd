"""Lines of JSON decoded by a fast parser, where it makes of them what the strict one makes.

What fast parsers guess at: of a key given twice they keep the last. NaN and numbers past a double's
range they refuse; whole numbers that are not exact are for the caller to see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np

from lstm_cli.errors import LstmStepError
from lstm_cli.safe_files import decode, parse_json

_COLON = ord(":")
_WITHOUT_COLONS = frozenset((float, int, bool, type(None)))


def fast_loads() -> Callable[[bytes], Any] | None:
    """Return orjson's parser, or None where it is not installed."""
    try:
        from orjson import loads
    except ImportError:
        return None
    return loads


def has_booleans(text: bytes) -> bool:
    """Whether true or false is in a text; single letters are found many times as fast as words."""
    return (b"u" in text and b"true" in text) or (b"l" in text and b"false" in text)


def strictly(line: bytes) -> Any:
    """Return what the strict parser makes of a line, or None."""
    try:
        return parse_json(decode(line, ""), "")
    except LstmStepError:
        return None


def quickly(loads: Callable[[bytes], Any], lines: Sequence[bytes], text: bytes) -> Sequence[Any]:
    """Return the object of each line; None where only the strict parser can tell.

    Args:
        loads: the fast parser.
        lines: of JSON.
        text: all of them, joined.
    """
    try:
        documents: list[Any] = list(map(loads, lines))
    except ValueError:
        if len(lines) == 1:
            return [None]
        return [quickly(loads, [line], line)[0] for line in lines]
    if _same_members(text, documents):
        return documents
    if len(lines) == 1:
        return [None]
    return [
        document if _same_members(line, [document]) else None
        for line, document in zip(lines, documents, strict=True)
    ]


def _same_members(text: bytes, documents: list[Any]) -> bool:
    """Whether every colon of a text is accounted for, so that no member of an object was dropped.

    A member that is dropped takes its colon with it, whatever is in the others: the sums of many
    objects agree only if those of each do.
    """
    # NumPy counts ten times as fast as `bytes.count`.
    colons = int(np.count_nonzero(np.frombuffer(text, np.uint8) == _COLON))
    if {dict} == set(map(type, documents)) and colons == _members(documents):
        return True  # each member has its colon, and no colon is left over
    # A colon in a text may also be written as \u003a.
    return b"\\u003" not in text and colons == _colons(documents)


def _members(documents: Sequence[dict[str, Any]]) -> int:
    """Return how many members objects have, with those of objects that all of them have."""
    found = sum(map(len, documents))
    for key, value in documents[0].items():
        if type(value) is dict:
            inner: list[Any] = list(map(dict.get, documents, repeat(key)))
            found += sum(map(len, inner)) if {dict} == set(map(type, inner)) else 0
    return found


def _colons(values: Sequence[Any]) -> int:
    """Return how many colons the JSON of values has: those of members and those in texts."""
    found = 0
    while values:
        objects = [each for each in values if type(each) is dict]
        texts = (each for each in values if type(each) is str)
        found += sum(map(len, objects)) + "".join(chain(texts, *objects)).count(":")
        lists = list(chain.from_iterable(each for each in values if type(each) is list))
        # Most are lists of numbers, which are left here at once.
        rest = [] if _WITHOUT_COLONS.issuperset(map(type, lists)) else lists
        values = [*chain.from_iterable(map(dict.values, objects)), *rest]
    return found
