"""The samples of a chunk as columns: their numbers end to end in arrays, no object for each.

Samples that have the same members make a table. Whoever fills it checks no more than that each
number is one; what is not certain is left out of it, or `UNSURE`, and only `Chunk.read` can judge
it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.files.safe import MAX_EXACT_INT
from lstm_cli.samples.sample import members_of, symbol_of

VECTORS = ("x", "h", "c")
# Stands for a value that only `Chunk.read` can judge, such as a text where numbers should be.
UNSURE = object()
_NUMBERS = frozenset((float, int))


class Uncertain(Exception):
    """Among these values is one that only `Chunk.read` can judge."""


@dataclass
class Vectors:
    """One vector of many samples.

    Attributes:
        needed: whether every sample must have it.
        shapes: of each: n of a plain list, (rows, n) of nested ones, None where it is absent, or
            `UNSURE`.
        packed: the numbers as doubles, end to end, in pieces.
    """

    needed: bool
    shapes: list[Any] = field(default_factory=list)
    packed: list[bytes] = field(default_factory=list)

    def add(self, values: Sequence[Any], booleans: bool) -> None:
        """Add the decoded values of more samples.

        Args:
            values: lists of numbers, lists of such lists, None, or anything else.
            booleans: whether true and false may be among the numbers.
        """
        try:
            shapes, numbers = _packed(values, booleans)
        except (Uncertain, TypeError, IndexError, struct.error):
            if len(values) > 1:  # whichever it is, the others lose nothing but time
                for value in values:
                    self.add([value], booleans)
                return
            shapes, numbers = [None if values[0] is None else UNSURE], b""
        self.put(shapes, numbers)

    def put(self, shapes: Sequence[Any], numbers: bytes) -> None:
        """Add the shapes and numbers of more samples."""
        self.shapes += shapes
        self.packed.append(numbers)

    def judge(self, *, finite: bool) -> None:
        """Mark as UNSURE the samples whose numbers may not be what was written.

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
        return np.frombuffer(b"".join(self.packed))

    @cached_property
    def starts(self) -> Array:
        """Offset of each sample's numbers; first read before any sample is UNSURE."""
        shapes = self.shapes
        if shapes.count(shapes[0]) == len(shapes):  # nearly always
            return np.arange(len(shapes) + 1) * _size(shapes[0])
        sizes = {each: _size(each) for each in set(shapes)}
        return np.cumsum([0, *map(sizes.__getitem__, shapes)])

    @cached_property
    def piece(self) -> int:
        """Greatest common divisor of the samples' sizes."""
        return int(np.gcd.reduce(self.starts)) or 1

    def stacked(self, rows: Array) -> Array:
        """Stack the samples at these places, all of one shape, as `(N, n)` or `(N, rows, n)`."""
        shape = self.shapes[rows[0]]
        if len(rows) == len(self.shapes):
            numbers = self.flat
        else:
            # Rows mostly have one width: one index then takes that many numbers.
            piece = self.piece
            indices = self.starts[rows][:, None] // piece + np.arange(_size(shape) // piece)
            numbers = self.flat.reshape(-1, piece)[indices]
        return numbers.reshape(len(rows), *(shape if isinstance(shape, tuple) else (shape,)))


def _size(shape: Any) -> int:
    """Size of a vector of this shape."""
    if isinstance(shape, tuple):
        return int(shape[0] * shape[1])
    return shape if isinstance(shape, int) else 0


def _packed(values: Sequence[Any], booleans: bool) -> tuple[Sequence[Any], bytes]:
    """Shapes and numbers of lists that are all plain, or all nested.

    What else there may be (texts, objects, nothing) has no length, or nothing that can be packed.

    Raises:
        Uncertain: an empty list, rows of unequal length.
        TypeError, IndexError, struct.error: something else.
    """
    counts = list(map(len, values))
    flat: list[Any] = list(chain.from_iterable(values))
    shapes: Sequence[Any] = counts
    empty = 0 in counts
    if type(flat[0]) is list:
        widths = _widths(counts, list(map(len, flat)))
        shapes = list(zip(counts, widths, strict=True))
        empty = empty or 0 in widths
        flat = list(chain.from_iterable(flat))
    if empty or (booleans and not _NUMBERS.issuperset(map(type, flat))):
        raise Uncertain
    return shapes, struct.pack(f"{len(flat)}d", *flat)


def _widths(counts: list[int], widths: list[int]) -> list[int]:
    """Width of each sample's rows, given the widths of all rows one after the other."""
    if widths.count(widths[0]) == len(widths):
        return widths[:1] * len(counts)
    rows = iter(widths)
    own = [{next(rows) for _ in range(count)} for count in counts]
    if set(map(len, own)) != {1}:
        raise Uncertain
    return [each.pop() for each in own]


@dataclass
class SampleTable:
    """Samples that have the same members: vectors, expected ones by symbol, others by name."""

    keys: tuple[str, ...]
    symbols: tuple[str, ...]
    positions: list[int] = field(default_factory=list)
    vectors: dict[str, Vectors] = field(init=False)
    expected: dict[str, Vectors] = field(init=False)
    members: dict[str, list[Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.vectors = {key: Vectors(key == "x") for key in self.keys if key in VECTORS}
        own = (symbol_of(key) for key in self.keys if key.startswith("expected."))
        self.expected = {symbol: Vectors(True) for symbol in (*self.symbols, *own)}
        others = (k for k in self.keys if k not in VECTORS and not k.startswith("expected."))
        self.members = {key: [] for key in others if key != "expected"}

    def add(self, positions: Iterable[int], documents: Sequence[Any], booleans: bool) -> None:
        """Add more decoded samples, by their positions in their chunk."""
        self.positions += positions
        # Each object is visited once, for all of its members.
        for key, values in zip(self.keys, _transposed(documents), strict=True):
            if key == "expected":
                for symbol, own in zip(self.symbols, _transposed(values), strict=True):
                    self.expected[symbol].add(own, booleans)
            elif key in self.members:
                self.members[key].extend(values)
            else:
                self.vector(key).add(values, booleans)

    def vector(self, key: str) -> Vectors:
        """The numbers of a member: `x`, `h`, `c` or `expected.h`."""
        return self.vectors[key] if key in VECTORS else self.expected[symbol_of(key)]


def _transposed(objects: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of each member, of objects with the same members in the same order."""
    return zip(*map(tuple, map(dict.values, objects)), strict=True)


@dataclass
class Tables:
    """The samples of a chunk, by their members and the symbols of what is expected.

    `single` are the positions of samples that only `Chunk.read` can judge.
    """

    tables: dict[Any, SampleTable] = field(default_factory=dict)
    single: list[int] = field(default_factory=list)

    def table(self, keys: tuple[str, ...], symbols: tuple[str, ...]) -> SampleTable:
        """The table of samples with these members."""
        if (keys, symbols) not in self.tables:
            self.tables[keys, symbols] = SampleTable(keys, symbols)
        return self.tables[keys, symbols]

    def add(self, start: int, documents: Sequence[Any], booleans: bool = True) -> None:
        """Add decoded samples from a position on; None stands for one only `read` can judge."""
        for kind, places in _kinds(documents).items():
            positions = [start + place for place in places]
            if kind is None:
                self.single += positions
                continue
            whole = len(places) == len(documents)
            chosen = documents if whole else [documents[place] for place in places]
            self.table(*kind).add(positions, chosen, booleans)

    def judged(self) -> Tables:
        """Mark every value that is UNSURE, and drop tables without samples."""
        self.tables = {kind: table for kind, table in self.tables.items() if table.positions}
        for table in self.tables.values():
            for each in table.vectors.values():
                each.judge(finite=True)
            for each in table.expected.values():
                each.judge(finite=False)
        return self


def _kinds(documents: Sequence[Any]) -> dict[Any, Sequence[int]]:
    """Map (members, expected symbols) to places; None is the key of what fits no table."""
    if set(map(type, documents)) == {dict} and len(set(map(tuple, documents))) == 1:
        expected = documents if "expected" not in documents[0] else [
            each["expected"] for each in documents
        ]  # fmt: skip
        if set(map(type, expected)) == {dict} and len(set(map(tuple, expected))) == 1:
            return {kind_of(documents[0]): range(len(documents))}  # nearly always
    found: dict[Any, list[int]] = {}
    for place, document in enumerate(documents):
        found.setdefault(kind_of(document), []).append(place)
    return dict(found)


def kind_of(document: Any) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The members of a sample and the symbols under `expected`; None if only `read` can judge."""
    if type(document) is not dict or "x" not in document:
        return None
    members, expected = members_of(tuple(document)), document.get("expected", {})
    if type(expected) is not dict or len(set(members)) < len(members):
        return None
    twice = any(f"expected.{symbol}" in members for symbol in expected)
    return None if twice else (members, tuple(expected))


# ---- columns of files


def documents_of(
    columns: Mapping[str, Sequence[Any]], common: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Samples, of which each has its value of a column and all of `common`."""
    plain = [name for name in columns if not symbol_of(name)]
    rows = zip(*(columns[name] for name in plain), strict=True)
    documents = [dict(zip(plain, row, strict=True)) for row in rows]
    if common:
        documents = [{**common, **each} for each in documents]
    wanted = {symbol_of(name): columns[name] for name in columns if symbol_of(name)}
    for position, document in enumerate(documents if wanted else []):
        own = {symbol: values[position] for symbol, values in wanted.items()}
        document["expected"] = dict(document.get("expected") or {}) | {
            symbol: value for symbol, value in own.items() if value is not None
        }
    return documents


def column_members(columns: Iterable[str]) -> list[str]:
    """Members of a sample that columns of arrays or of a table hold."""
    return ["expected" if symbol_of(column) else column for column in columns]
