"""The samples of a chunk as columns: their numbers end to end in arrays, no object for each.

A chunk decodes some samples at a time, and their numbers are taken out of the decoded lists before
the next ones come: lists of numbers are many times as large as the numbers, and memory that the
processor has at hand is many times as fast.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, repeat
from operator import mul
from typing import Any

import numpy as np

from lstm_cli.equations import Array
from lstm_cli.safe_files import MAX_EXACT_INT
from lstm_cli.samples import Chunk

VECTORS = ("x", "h", "c")
# Stands for a value that only `Chunk.read` can judge: a text where numbers should be, …
UNSURE = object()
_NUMBERS = frozenset((float, int))


class _Uncertain(Exception):
    """Among these values is one that only `Chunk.read` can judge."""


@dataclass
class Vectors:
    """One vector of many samples.

    Attributes:
        needed: whether a sample without it is none.
        shapes: of each: n of a plain list, (rows, n) of nested ones, None where it is absent, or
            `UNSURE`.
        sizes: how many numbers each has.
        pieces: all numbers as doubles, end to end.
    """

    needed: bool
    shapes: list[Any] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)

    def add(self, values: Sequence[Any], booleans: bool) -> None:
        """Take the decoded values of some more samples.

        Args:
            values: lists of numbers, lists of such lists, None, or anything else.
            booleans: whether true and false may be among the numbers.
        """
        try:
            shapes, sizes, numbers = _packed(values, booleans)
        except (_Uncertain, TypeError, IndexError, struct.error):
            if len(values) > 1:  # whichever it is, it costs the others nothing but time
                for value in values:
                    self.add([value], booleans)
                return
            shapes, sizes, numbers = [None if values[0] is None else UNSURE], [0], b""
        self.shapes += shapes
        self.sizes += sizes
        self.pieces.append(numbers)

    def judge(self, *, finite: bool) -> None:
        """Make samples UNSURE whose numbers may not be what was written.

        A whole number past 2^53 is another, of 2^53 or more, when it is rounded to a double.
        """
        if self.needed:
            self.shapes = [UNSURE if each is None else each for each in self.shapes]
        flat = self.flat
        if not flat.size or (flat.min() > -MAX_EXACT_INT and flat.max() < MAX_EXACT_INT):
            return
        wrong = np.abs(flat) >= MAX_EXACT_INT
        if finite:
            wrong |= ~np.isfinite(flat)
        ends = self.starts[1:]
        for place in np.unique(np.searchsorted(ends, np.flatnonzero(wrong), "right")).tolist():
            self.shapes[place] = UNSURE

    @cached_property
    def flat(self) -> Array:
        """All numbers, end to end."""
        return np.frombuffer(b"".join(self.pieces))

    @cached_property
    def starts(self) -> Array:
        """Where those of each sample start."""
        return np.cumsum([0, *self.sizes])

    def stacked(self, rows: Sequence[int]) -> Array:
        """Return `(N, n)` or `(N, rows, n)` of samples of one shape."""
        shape, size = self.shapes[rows[0]], self.sizes[rows[0]]
        if len(rows) == len(self.sizes):
            numbers = self.flat
        else:
            numbers = self.flat[self.starts[rows][:, None] + np.arange(size)]
        return numbers.reshape(len(rows), *(shape if isinstance(shape, tuple) else (shape,)))


def _packed(values: Sequence[Any], booleans: bool) -> tuple[Sequence[Any], Sequence[int], bytes]:
    """Return shapes, sizes and numbers of lists that are all plain, or all nested.

    What else there may be (texts, objects, nothing) has no length, or nothing that can be packed.

    Raises:
        _Uncertain: an empty list, rows of unequal length.
        TypeError, IndexError, struct.error: something else.
    """
    counts = list(map(len, values))
    flat: list[Any] = list(chain.from_iterable(values))
    shapes: Sequence[Any] = counts
    sizes = counts
    if type(flat[0]) is list:
        widths = list(map(len, flat))
        own = _widths(counts, widths)
        shapes, sizes = list(zip(counts, own, strict=True)), list(map(mul, counts, own))
        flat = list(chain.from_iterable(flat))
    if 0 in sizes or (booleans and not _NUMBERS.issuperset(map(type, flat))):
        raise _Uncertain
    return shapes, sizes, struct.pack(f"{len(flat)}d", *flat)


def _widths(counts: list[int], widths: list[int]) -> list[int]:
    """Return the one width of each sample's rows; all rows stand one after the other."""
    if widths.count(widths[0]) == len(widths):
        return widths[:1] * len(counts)
    rows = iter(widths)
    own = [{next(rows) for _ in range(count)} for count in counts]
    if set(map(len, own)) != {1}:
        raise _Uncertain
    return [each.pop() for each in own]


@dataclass
class Table:
    """Samples that have the same members.

    Attributes:
        keys: their names.
        positions: where the samples are in their chunk.
        vectors: x, h, c that are there.
        expected: symbol -> what is expected of it.
        members: all other members, by name.
    """

    keys: tuple[str, ...]
    positions: list[int] = field(default_factory=list)
    vectors: dict[str, Vectors] = field(default_factory=dict)
    expected: dict[str, Vectors] = field(default_factory=dict)
    members: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, positions: Iterable[int], documents: Sequence[Any], booleans: bool) -> None:
        """Take some more decoded samples."""
        self.positions += positions
        # Each object is looked at once for all of its members.
        for key, values in zip(self.keys, _transposed(documents), strict=True):
            if key in VECTORS:
                self.vectors.setdefault(key, Vectors(key == "x")).add(values, booleans)
            elif key == "expected":
                for symbol, own in zip(values[0], _transposed(values), strict=True):
                    self.expected.setdefault(symbol, Vectors(True)).add(own, booleans)
            else:
                self.members.setdefault(key, []).extend(values)


def _transposed(objects: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Return the values of each member of objects that have the same, in the same order."""
    return zip(*map(tuple, map(dict.values, objects)), strict=True)


def tables_of(chunk: Chunk) -> tuple[list[Table], list[int]]:
    """Return a chunk's samples as tables, and the positions of those that only `read` can judge."""
    tables: dict[Any, Table] = {}
    single: list[int] = []
    start = 0
    for documents, booleans in chunk.quick():
        for kind, places in _kinds(documents).items():
            positions = [start + place for place in places]
            if kind is None:
                single += positions
                continue
            whole = len(places) == len(documents)
            chosen = documents if whole else [documents[place] for place in places]
            tables.setdefault(kind, Table(kind[0])).add(positions, chosen, booleans)
        start += len(documents)
    for table in tables.values():
        for each in table.vectors.values():
            each.judge(finite=True)
        for each in table.expected.values():
            each.judge(finite=False)
    return list(tables.values()), single


def _kinds(documents: Sequence[Any]) -> dict[Any, Sequence[int]]:
    """Return (members, expected symbols) -> places; None for what cannot be in a table."""
    if set(map(type, documents)) == {dict} and len(set(map(tuple, documents))) == 1:
        expected = documents if "expected" not in documents[0] else [
            each["expected"] for each in documents
        ]  # fmt: skip
        if set(map(type, expected)) == {dict} and len(set(map(tuple, expected))) == 1:
            return {_kind(documents[0]): range(len(documents))}  # nearly always
    found: dict[Any, list[int]] = {}
    for place, document in enumerate(documents):
        found.setdefault(_kind(document), []).append(place)
    return dict(found)


def _kind(document: Any) -> Any:
    if type(document) is not dict or "x" not in document:
        return None
    if "expected" not in document:
        return tuple(document), None
    expected = document["expected"]
    return (tuple(document), tuple(expected)) if type(expected) is dict else None


def shared_keys(values: Sequence[Any]) -> Sequence[Any]:
    """Return what is equal for values that samples of a block may share: the same, of one type."""
    if {str} == set(map(type, values)):
        return values
    try:  # version 2 writes equal values as equal bytes
        return list(map(marshal.dumps, values, repeat(2)))
    except ValueError:  # one of them is nothing that JSON has
        return list(map(_shared_key, values))


def _shared_key(value: Any) -> Any:
    try:
        return marshal.dumps(value, 2)
    except ValueError:
        return UNSURE
