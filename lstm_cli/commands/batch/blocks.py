"""Samples of one shape and one model as arrays, whatever their order in a chunk.

Most samples of a chunk have the same members, with numbers in the same places. They are stacked
without an object for each sample, and one of them is read with all checks, for what they share.
Whatever is not certain (a text where numbers should be, a whole number that is not exact) sends the
samples concerned through `Chunk.read`, one by one, which says what is wrong.
"""

from __future__ import annotations

import json
import marshal
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.commands.batch.texts import as_json, joined_texts, quoted, value_texts
from lstm_cli.files.output import name_nonfinite
from lstm_cli.files.safe import MAX_EXACT_INT
from lstm_cli.samples import BadSample, Sample
from lstm_cli.samples.chunks import Chunk
from lstm_cli.samples.sample import KEYS, RESULTS, extra_keys, is_answer, shape_of_own
from lstm_cli.samples.tables import UNSURE, VECTORS, SampleTable

# Members that samples of a block share.
_SHARED = tuple(key for key in KEYS if key not in (*VECTORS, "id", "expected", "atol", "note"))
# The user's own lists and objects are handed on as they are, up to this depth.
_OWN_DEPTH = 8
_NUMBERS = ({int}, {float})


@dataclass(frozen=True, eq=False)
class SampleBlock:
    """Samples that run together.

    Attributes:
        like: the first of them: all have its weights, cell, settings, steps, masks, calls, folder.
        positions: where they are in their chunk.
        ids: their names.
        x: `(N, T, I)`.
        h, c: `(N, L·D, n)`, or None.
        expected: symbol -> `(N, n)` or `(N, T, n)`.
        atols: the tolerance of each; None for the batch's own.
        extras: the user's own members of each, as JSON without its braces.
        own: their names -> how many samples have them.
    """

    like: Sample
    positions: Sequence[int]
    ids: Sequence[str]
    x: Array
    h: Array | None
    c: Array | None
    expected: Mapping[str, Array]
    atols: Sequence[float | None]
    extras: Sequence[str]
    own: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positions)

    def alike(self, ran: Array) -> Iterator[SampleBlock]:
        """Split the samples by the steps that they run, `ran (N, T)`."""
        for pattern in np.unique(ran, axis=0):
            rows = np.flatnonzero((ran == pattern).all(axis=1))
            h, c = (None if state is None else state[rows] for state in (self.h, self.c))
            expected = {symbol: values[rows] for symbol, values in self.expected.items()}
            positions = _chosen(self.positions, rows)
            own = {name: min(count, len(rows)) for name, count in self.own.items()}
            ids, atols, extras = (
                _chosen(each, rows) for each in (self.ids, self.atols, self.extras)
            )
            yield SampleBlock(self.like, positions, ids, self.x[rows], h, c, expected, atols,
                        extras, own)  # fmt: skip

    def part(self, start: int, stop: int) -> SampleBlock:
        """A block of some of the samples."""
        here = slice(start, stop)
        h, c = (None if state is None else state[here] for state in (self.h, self.c))
        expected = {symbol: values[here] for symbol, values in self.expected.items()}
        return SampleBlock(self.like, self.positions[here], self.ids[here], self.x[here], h, c,
                     expected, self.atols[here], self.extras[here])  # fmt: skip


def blocks_of(chunk: Chunk) -> tuple[list[SampleBlock], dict[int, BadSample]]:
    """Split a chunk's samples into blocks; the bad ones come by position."""
    found = chunk.tables()
    single = list(found.single)
    blocks = [b for table in found.tables.values() for b in _table_blocks(table, chunk, single)]
    reads = {position: chunk.read(position) for position in sorted(single)}
    samples = {p: each for p, each in reads.items() if isinstance(each, Sample)}
    bad = {p: each for p, each in reads.items() if isinstance(each, BadSample)}
    groups: dict[Any, list[int]] = {}
    for position, sample in samples.items():
        groups.setdefault(_sample_likeness(sample), []).append(position)
    return blocks + [_block([samples[p] for p in own], own) for own in groups.values()], bad


def _sample_likeness(sample: Sample) -> Any:
    """Key that samples must share to run in one block."""
    shapes = [None if s is None else s.shape for s in (sample.x, sample.h, sample.c)]
    expected = [(symbol, values.shape) for symbol, values in sample.expected.items()]
    own = [(key, shape_of_own(value)) for key, value in sample.extra.items()]
    weights = json.dumps(sample.weights)
    return (*shapes, *expected, *own, weights, sample.cell, sample.convention, sample.settings,
            sample.steps, json.dumps(sample.masks), sample.calls, str(sample.folder),
            sample.assumed)  # fmt: skip


def _block(samples: Sequence[Sample], positions: Sequence[int]) -> SampleBlock:
    like = samples[0]
    h, c = (
        None if getattr(like, state) is None else np.stack([getattr(s, state) for s in samples])
        for state in "hc"
    )
    expected = {each: np.stack([s.expected[each] for s in samples]) for each in like.expected}
    return SampleBlock(
        like, positions, [s.id.text for s in samples], np.stack([s.x for s in samples]), h, c,
        expected,
        [s.atol for s in samples], [members_text(s.extra) for s in samples],
        Counter(key for s in samples for key in s.extra),
    )  # fmt: skip


def members_text(members: Mapping[str, Any]) -> str:
    """Members as JSON, without the braces."""
    return as_json(name_nonfinite(members))[1:-1] if members else ""

    # ---- many at once


def _table_blocks(table: SampleTable, chunk: Chunk, single: list[int]) -> Iterator[SampleBlock]:
    """Yield the blocks of a table; positions of samples that are not certain go to `single`."""
    for likeness, rows in _alike(list(_likenesses(table)), len(table.positions)).items():
        positions = _chosen(table.positions, rows)
        like = None if UNSURE in likeness else chunk.read(positions[0])
        if not isinstance(like, Sample):
            single += positions
            continue
        x, h, c = (
            None if getattr(like, name) is None else _sequences(table.vectors[name].stacked(rows))
            for name in VECTORS
        )
        assert x is not None
        expected = {symbol: each.stacked(rows) for symbol, each in table.expected.items()}
        own = {key: each for key, each in table.members.items() if key not in _SHARED}
        members = {key: _chosen(values, rows) for key, values in own.items()}
        yield SampleBlock(like, positions, _ids(members, chunk, positions), x, h, c, expected,
                    _atols(members, len(rows)), _extras(members, len(rows)),
                    dict.fromkeys(extra_keys(tuple(members)), len(rows)))  # fmt: skip


def _chosen(values: Sequence[Any], rows: Array) -> Sequence[Any]:
    return values if len(rows) == len(values) else list(map(values.__getitem__, rows.tolist()))


def _sequences(vectors: Array) -> Array:
    """View `(N, n)` as sequences of one step, `(N, 1, n)`; others as they are."""
    return vectors[:, None, :] if vectors.ndim == 2 else vectors


def _alike(columns: Sequence[Sequence[Any]], count: int) -> dict[Any, Array]:
    """Group rows by what their samples have in common, in order."""
    differ = [each.count(each[0]) < count for each in columns]
    common = tuple(each[0] for each, differs in zip(columns, differ, strict=True) if not differs)
    if UNSURE in common or not any(differ):
        return {common: np.arange(count)}
    keys = list(zip(*compress(columns, differ), strict=True))
    codes = {key: code for code, key in enumerate(dict.fromkeys(keys))}
    own = np.fromiter(map(codes.__getitem__, keys), np.intp, count)
    ends = np.cumsum(np.bincount(own))[:-1]
    return dict(zip(codes, np.split(np.argsort(own, kind="stable"), ends), strict=True))


def _likenesses(table: SampleTable) -> Iterator[Sequence[Any]]:
    """Yield columns of what decides whether samples of the same members can be stacked.

    A column is made by a few calls for all samples, not by a few for each.
    """
    for each in (*table.vectors.values(), *table.expected.values()):
        yield each.shapes
    states = [table.vectors[state].shapes for state in "hc" if state in table.vectors]
    whole = len(states) == 2 and not any(None in shapes for shapes in states)
    for key, values in table.members.items():
        if key in _SHARED:
            yield _shared_keys(values)
        elif key == "id":
            yield _judged(values, _is_id, {str})
        elif key == "atol":
            yield _judged(values, _is_tolerance, {type(None)})
        elif key == "schema":
            yield [UNSURE if is_answer(each) else None for each in values]
        else:
            judged = _judged(values, _is_exact, {str, bool, type(None)})
            alone = whole and (table.expected or not RESULTS.fullmatch(key))
            yield judged if alone else _own_shapes(values, judged)


def _shared_keys(values: Sequence[Any]) -> Sequence[Any]:
    """Keys that are equal for values which samples of a block may share: equal and of one type."""
    if {str} == set(map(type, values)):
        return values
    different = dict(zip(map(id, values), values, strict=True))
    keys = {number: _shared_key(each) for number, each in different.items()}
    return list(map(keys.__getitem__, map(id, values)))


def _shared_key(value: Any) -> Any:
    try:
        return marshal.dumps(value, 2)  # version 2 writes equal values as equal bytes
    except ValueError:  # nothing that JSON can express
        return UNSURE


def _judged(
    values: Sequence[Any], is_sure: Callable[[Any], bool], sure: set[type]
) -> Sequence[Any]:
    """Judge values: None for each that is sure, by type or by value; UNSURE for others."""
    types = set(map(type, values))
    # Equal numbers of one type are judged alike.
    if types <= sure or (types in _NUMBERS and all(map(is_sure, set(values)))):
        return [None] * len(values)
    return [None if is_sure(value) else UNSURE for value in values]


def _own_shapes(values: Sequence[Any], judged: Sequence[Any]) -> Sequence[Any]:
    """Shapes of the user's own vectors, which may be states by another name; None for others."""
    if {list, str}.isdisjoint(map(type, values)):
        return judged
    return [
        (each and UNSURE) or shape_of_own(value) for each, value in zip(judged, values, strict=True)
    ]


def _is_id(value: Any) -> bool:
    return (
        value is None or type(value) is str or (type(value) is int and abs(value) <= MAX_EXACT_INT)
    )


def _is_tolerance(value: Any) -> bool:
    return value is None or (type(value) in (float, int) and 0 <= value < math.inf)


def _is_exact(value: Any, depth: int = _OWN_DEPTH) -> bool:
    """Whether a value of the user's own is what was written, whoever parsed it."""
    kind = type(value)
    if kind in (int, float):
        return bool(abs(value) <= MAX_EXACT_INT)  # no nan either
    if kind is list:
        return depth > 0 and all(_is_exact(each, depth - 1) for each in value)
    if kind is dict:
        return depth > 0 and all(
            type(key) is str and _is_exact(each, depth - 1) for key, each in value.items()
        )
    return kind in (str, bool, type(None))


def _ids(
    members: Mapping[str, Sequence[Any]], chunk: Chunk, positions: Sequence[int]
) -> Sequence[str]:
    given = members.get("id")
    if given is None:
        return chunk.names(positions)
    if {str} == set(map(type, given)):
        return given
    return [
        chunk.name(position) if one is None else str(one)
        for position, one in zip(positions, given, strict=True)
    ]


def _atols(members: Mapping[str, Sequence[Any]], count: int) -> Sequence[float | None]:
    given = members.get("atol")
    if given is None:
        return [None] * count
    # It may be -0.0.
    values = {each: None if each is None else abs(float(each)) for each in set(given)}
    return list(map(values.__getitem__, given))


def _extras(members: Mapping[str, Sequence[Any]], count: int) -> Sequence[str]:
    keys = extra_keys(tuple(members))
    if not keys:
        return [""] * count
    parts: list[str | Sequence[str]] = []
    for key in keys:
        parts += [f"{',' if parts else ''}{quoted(key)}:", value_texts(members[key])]
    return joined_texts(parts, count)
