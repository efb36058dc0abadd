"""Rows of numbers as JSON, many at once: the same bytes with orjson, which is fast, or without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.files.output import plain_list

# Between these (and at 0) orjson writes a number as Python does; beyond, one of the two uses an
# exponent, or another form of it. Measured with orjson 3.13 over 100,000 powers of ten.
_LEAST = 1e-4
_LIMITS = {np.dtype(np.float64): 1e16, np.dtype(np.float32): 1e13}

# JSON without spaces, as orjson writes it; what JSON lacks is written as text.
as_json: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), default=str).encode
# Quotes a text as JSON, with the function that `json.dumps` itself uses.
quoted: Callable[[str], str] = json.encoder.encode_basestring_ascii
_WRITERS: dict[type, Callable[[Any], str]] = {
    str: quoted, int: repr, float: repr, bool: {True: "true", False: "false"}.__getitem__,
}  # fmt: skip


def joined_texts(parts: Iterable[str | Sequence[str]], count: int) -> list[str]:
    """Join parts into `count` texts: a column has an entry for each, a text is for all."""
    columns = (repeat(part, count) if isinstance(part, str) else part for part in _merged(parts))
    return list(map("".join, zip(*columns, strict=True)))


def _merged(parts: Iterable[str | Sequence[str]]) -> list[str | Sequence[str]]:
    """Merge shared texts that follow each other."""
    found: list[str | Sequence[str]] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return found


def value_texts(values: Sequence[Any]) -> list[str]:
    """Each value as JSON; floats must be finite."""
    types = set(map(type, values))
    writer = _WRITERS.get(types.pop(), as_json) if len(types) == 1 else as_json
    return list(map(writer, values))


def column_texts(values: Sequence[Any]) -> str | list[str]:
    """As `value_texts`, but a single text where all values are equal.

    Values that are equal must have one text: 0.0 and -0.0, 1 and true have two.
    """
    alike = len(values) > 0 and values.count(values[0]) == len(values)
    return value_texts(values[:1])[0] if alike else value_texts(values)


def number_texts(numbers: Array) -> list[str]:
    """Each number of `(N,)`, in double precision, as `row_texts` writes it."""
    return row_texts(numbers[:, None], np.float64)


def row_texts(rows: Array, dtype: Any) -> list[str]:
    """Each row of `(N, n)` as `0.5,0.25,…`: shortest numbers; nan and inf as strings."""
    dumps = _fast_dumps()
    if dumps is None:
        return [_row_text(row, dtype) for row in rows]
    narrow = np.ascontiguousarray(rows, dtype)
    texts = _cut_rows(dumps(narrow.ravel()), narrow.shape[1])
    alike = _alike(narrow)
    for number in [] if alike.all() else np.flatnonzero(~alike.all(axis=1)).tolist():
        texts[number] = _row_text(rows[number], dtype)
    return texts


def _cut_rows(text: bytes, width: int) -> list[str]:
    """Cut `[0.5,0.25,1.0,2.0]` into rows of `width` numbers.

    A comma is found and replaced several times as fast as `],[` is.
    """
    marked = bytearray(text)
    marks = np.frombuffer(marked, np.uint8)
    marks[np.flatnonzero(marks == ord(","))[width - 1 :: width]] = ord("\n")
    return marked[1:-1].decode().split("\n")


def _alike(numbers: Array) -> Array:
    """Mask of the numbers that orjson writes as Python does."""
    sizes = np.abs(numbers)
    found: Array = (sizes >= _LEAST) & (sizes < _LIMITS[numbers.dtype]) | (sizes == 0)
    return found


def _row_text(row: Array, dtype: Any) -> str:
    return as_json(plain_list(row, dtype))[1:-1]


@cache
def _fast_dumps() -> Callable[[Array], bytes] | None:
    try:
        import orjson
    except ImportError:
        return None
    return lambda array: orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
