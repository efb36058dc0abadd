"""Samples of one shape and one model as arrays, whatever their order in a chunk.

Most samples of a chunk have the same members, with numbers in the same places. Their numbers are
stacked without an object for each sample, and one of them is read with all checks, for what they
share. Whatever is not certain (a text where numbers should be, a whole number that is not exact)
sends the samples concerned through `Chunk.read`, one by one, which says what is wrong.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from lstm_cli.equations import Array
from lstm_cli.safe_files import MAX_EXACT_INT
from lstm_cli.samples import KEYS, BadSample, Chunk, Sample, extra_keys

VECTORS = ("x", "h", "c")
# What samples of a block share; by value, so only if it is a text, a number or nothing.
_SHARED = tuple(key for key in KEYS if key not in (*VECTORS, "id", "expected", "atol", "note"))
_PLAIN = frozenset((str, int, float, bool, type(None)))


class _Uncertain(Exception):
    """What only `Chunk.read` can tell."""


@dataclass(frozen=True, eq=False)
class Block:
    """Samples that run together.

    Attributes:
        like: the first of them: all have its weights, cell, settings, steps and folder.
        positions: where they are in their chunk.
        ids: their names.
        x: `(N, T, I)`.
        h, c: `(N, L·D, n)`, or None.
        expected: symbol -> `(N, n)` or `(N, T, n)`.
        atols: the tolerance of each; None for the batch's own.
        extras: the user's own members of each, as JSON without its braces.
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

    def __len__(self) -> int:
        return len(self.positions)

    def part(self, start: int, stop: int) -> Block:
        """Return some of the samples."""
        here = slice(start, stop)
        h, c = (None if state is None else state[here] for state in (self.h, self.c))
        expected = {symbol: values[here] for symbol, values in self.expected.items()}
        return Block(self.like, self.positions[here], self.ids[here], self.x[here], h, c,
                     expected, self.atols[here], self.extras[here])  # fmt: skip


def blocks_of(chunk: Chunk) -> tuple[list[Block], dict[int, BadSample]]:
    """Return a chunk's samples as blocks, and those that are none by position."""
    documents = chunk.quick()
    groups, single = _groups(documents)
    blocks = []
    for positions in groups:
        try:
            blocks.append(_stack(chunk, documents, positions))
        except _Uncertain:
            single += positions
    reads = {position: chunk.read(position) for position in sorted(single)}
    samples = {p: each for p, each in reads.items() if isinstance(each, Sample)}
    bad = {p: each for p, each in reads.items() if isinstance(each, BadSample)}
    return blocks + stack_samples(samples), bad


def stack_samples(samples: Mapping[int, Sample]) -> list[Block]:
    """Return samples by position as blocks."""
    groups: dict[Any, list[int]] = {}
    for position, sample in samples.items():
        groups.setdefault(_sample_likeness(sample), []).append(position)
    return [_block([samples[p] for p in positions], positions) for positions in groups.values()]


def _sample_likeness(sample: Sample) -> Any:
    """Return what samples of a block have in common."""
    shapes = [None if s is None else s.shape for s in (sample.x, sample.h, sample.c)]
    expected = [(symbol, values.shape) for symbol, values in sample.expected.items()]
    own = json.dumps(sample.weights)
    return (*shapes, *expected, own, sample.cell, sample.convention, sample.settings,
            sample.steps, str(sample.folder))  # fmt: skip


def _block(samples: Sequence[Sample], positions: Sequence[int]) -> Block:
    like = samples[0]
    h, c = (
        None if getattr(like, state) is None else np.stack([getattr(s, state) for s in samples])
        for state in "hc"
    )
    expected = {each: np.stack([s.expected[each] for s in samples]) for each in like.expected}
    return Block(
        like, positions, [s.id for s in samples], np.stack([s.x for s in samples]), h, c, expected,
        [s.atol for s in samples], [members_text(s.extra) for s in samples],
    )  # fmt: skip


def members_text(members: Mapping[str, Any]) -> str:
    """Return members as JSON without the braces; what JSON does not have goes out as text."""
    return json.dumps(_jsonable(members), default=str)[1:-1] if members else ""


def _jsonable(value: Any) -> Any:
    """JSON has no nan and inf: they go out as texts, as in all answers."""
    if isinstance(value, dict):
        return {str(key): _jsonable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_jsonable(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


# ---- many at once


def _groups(documents: Sequence[Any]) -> tuple[list[Sequence[int]], list[int]]:
    """Return positions of objects that can be stacked, by groups, and those of all others."""
    by_keys: dict[Any, Sequence[int]] = {None: []}
    if set(map(type, documents)) == {dict} and len(set(map(tuple, documents))) == 1:
        by_keys[tuple(documents[0])] = range(len(documents))  # nearly always
    else:
        for position, document in enumerate(documents):
            keys = tuple(document) if type(document) is dict else None
            by_keys.setdefault(keys, []).append(position)  # type: ignore[attr-defined] # a list
    single = list(by_keys.pop(None))
    groups: list[Sequence[int]] = []
    for keys, positions in by_keys.items():
        likenesses = list(zip(*_likenesses(keys, _chosen(documents, positions)), strict=True))
        for likeness, alike in _alike(likenesses, positions).items():
            if _UNSURE in likeness:
                single += alike
            else:
                groups.append(alike)
    return groups, sorted(single)


def _chosen(documents: Sequence[Any], positions: Sequence[int]) -> Sequence[Any]:
    whole = len(positions) == len(documents)
    return documents if whole else [documents[position] for position in positions]


def _alike(likenesses: Sequence[Any], positions: Sequence[int]) -> dict[Any, Sequence[int]]:
    """Return likeness -> the positions that have it."""
    if len(set(likenesses)) == 1:
        return {likenesses[0]: positions}
    found: dict[Any, list[int]] = {}
    for likeness, position in zip(likenesses, positions, strict=True):
        found.setdefault(likeness, []).append(position)
    return dict(found)


# What stands in a likeness for something that only `read` can judge.
_UNSURE = object()


def _likenesses(keys: tuple[str, ...], documents: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield columns of what decides whether objects of the same keys can be stacked.

    A column is made by a few calls for all objects, not by a few for each.
    """
    if "x" not in keys:
        yield [_UNSURE] * len(documents)
    for key in VECTORS:
        if key in keys:
            yield _shapes(list(map(itemgetter(key), documents)), absent=key != "x")
    if "expected" in keys:
        yield from _expectations([each["expected"] for each in documents])
    for key in _SHARED:
        if key in keys:
            yield [_shared(each[key]) for each in documents]
    for key in extra_keys(keys):
        values = [each[key] for each in documents]
        if not _PLAIN.issuperset(map(type, values)):
            yield [None if type(value) in _PLAIN else _UNSURE for value in values]


def _shapes(values: Sequence[Any], *, absent: bool = False) -> Sequence[Any]:
    """Return the length of each list of numbers, (rows, numbers in the first) of nested ones."""
    if set(map(type, values)) == {list} and all(values):
        if list not in set(map(type, map(itemgetter(0), values))):
            return list(map(len, values))
        return list(map(_shape, values))
    return [
        _shape(value) if type(value) is list and value
        else (None if absent and value is None else _UNSURE)
        for value in values
    ]  # fmt: skip


def _shape(value: list[Any]) -> tuple[int, int] | int:
    """Return (rows, numbers in the first) of a list of lists, or the length of a plain list."""
    first = value[0]
    return (len(value), len(first)) if type(first) is list else len(value)


def _expectations(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield columns of the symbols that are expected and of the shapes of their numbers."""
    if set(map(type, values)) != {dict}:
        yield [_UNSURE] * len(values)
        return
    symbols = list(map(tuple, values))
    yield symbols
    if len(set(symbols)) == 1:
        for symbol in symbols[0]:
            yield _shapes([each[symbol] for each in values])
    else:
        yield [_shapes_of(each) for each in values]


def _shapes_of(expected: Mapping[str, Any]) -> Any:
    shapes = tuple(_shapes(list(expected.values())))
    return _UNSURE if _UNSURE in shapes else shapes


def _shared(value: Any) -> Any:
    """Return a value that samples of a block have in common, with its type: 1 is not True."""
    if type(value) is dict and _PLAIN.issuperset(map(type, value.values())):
        return tuple((name, type(each), each) for name, each in value.items())
    return (type(value), value) if type(value) in _PLAIN else _UNSURE


def _stack(chunk: Chunk, documents: Sequence[Any], positions: Sequence[int]) -> Block:
    """Return alike objects as a block.

    Raises:
        _Uncertain: one of them is not what it seems.
    """
    like = chunk.read(positions[0])
    if not isinstance(like, Sample):
        raise _Uncertain
    chosen = _chosen(documents, positions)
    states: dict[str, Array | None] = {}
    for name in VECTORS:
        given = getattr(like, name) is not None
        states[name] = _numbers(list(map(itemgetter(name), chosen)), finite=True) if given else None
        if given and states[name].ndim == 2:  # type: ignore[union-attr] # it is given
            states[name] = states[name][:, None, :]  # type: ignore[index] # likewise
    expected = {
        symbol: _numbers([each["expected"][symbol] for each in chosen]) for symbol in like.expected
    }
    x = states["x"]
    assert x is not None
    ids: list[Any] = [None] * len(chosen)
    if "id" in chosen[0]:
        ids = list(map(itemgetter("id"), chosen))
    if set(map(type, ids)) != {str}:
        ids = [_id(chunk, p, each) for p, each in zip(positions, ids, strict=True)]
    return Block(
        like, positions, ids, x, states["h"], states["c"], expected,
        _atols(chosen, like), _extras(chosen),
    )  # fmt: skip


def _numbers(values: Sequence[Any], *, finite: bool = False) -> Array:
    """Return lists of numbers, or of rows of them, stacked: `(N, n)` or `(N, rows, n)`.

    Raises:
        _Uncertain: another type or length among them, a whole number that may not be exact.
    """
    own = _shape(values[0])
    shape = (len(values), own) if isinstance(own, int) else (len(values), *own)
    flat: list[Any] = list(chain.from_iterable(values))
    if len(shape) == 3:
        if set(map(type, flat)) != {list} or set(map(len, flat)) != {shape[2]}:
            raise _Uncertain
        flat = list(chain.from_iterable(flat))
    types = set(map(type, flat))
    if not types <= {float, int} or len(flat) != math.prod(shape):
        raise _Uncertain
    try:
        numbers = np.frombuffer(array("d", flat)).reshape(shape)
    except OverflowError:
        raise _Uncertain from None
    # A whole number past the range of 64 bits comes out of a fast parser as a float.
    if np.abs(numbers).max() > MAX_EXACT_INT or (finite and not np.isfinite(numbers).all()):
        raise _Uncertain
    return numbers


def _id(chunk: Chunk, position: int, value: Any) -> str:
    if value is None:
        return chunk.name(position)
    if type(value) is str:
        return value
    if type(value) is int and abs(value) <= MAX_EXACT_INT:
        return str(value)
    raise _Uncertain


def _atols(documents: Sequence[Any], like: Sample) -> Sequence[float | None]:
    if like.atol is None and not any("atol" in each for each in documents[:1]):
        return [None] * len(documents)
    atols = [each["atol"] for each in documents]
    for each in atols:
        if each is not None and (type(each) is not float or not 0 <= each < math.inf):
            raise _Uncertain
    return atols


def _extras(documents: Sequence[Any]) -> Sequence[str]:
    keys = extra_keys(tuple(documents[0]))
    if not keys:
        return [""] * len(documents)
    values = [[each[key] for key in keys] for each in documents]
    if any(type(v) in (int, float) and not abs(v) <= MAX_EXACT_INT for row in values for v in row):
        raise _Uncertain
    return [json.dumps(dict(zip(keys, row, strict=True)))[1:-1] for row in values]
