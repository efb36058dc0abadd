"""How far the numbers that samples expect are from ours, and where most: a block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_cli.batch.blocks import Block
from lstm_cli.batch.settings import Settings
from lstm_cli.batch.texts import column_texts, number_texts
from lstm_cli.engine import Trace
from lstm_cli.equations import Array
from lstm_cli.errors import InputError, ShapeError, safe, suggest


@dataclass(frozen=True, eq=False)
class Checks:
    """What comparing a block comes to.

    Attributes:
        parts: of the JSON of each sample's `check`, for `joined_texts`.
        matched: whether each is as expected; none where nothing is.
    """

    parts: Sequence[str | Sequence[str]]
    matched: Sequence[bool]


def check_block(block: Block, trace: Trace, settings: Settings) -> Checks:
    """Return each sample's `check`; null where samples expect nothing.

    Raises:
        InputError: a symbol that the cell does not compute.
        ShapeError: expected numbers of another shape than the run's.
    """
    if not block.expected:
        return Checks(["null"], [])
    found = _Worst.none_of(len(block))
    for number, (symbol, expected) in enumerate(block.expected.items()):
        got, first = _comparable(symbol, expected, trace)
        found.take(number, got, expected.reshape(got.shape), first)
    tolerances = _tolerances(block, settings)
    matched = (found.difference <= tolerances).tolist()
    symbols = list(block.expected)
    numbers = number_texts(np.concatenate([found.difference, found.got, found.expected]))
    count = len(block)
    parts: list[str | Sequence[str]] = [
        '{"matched":', column_texts(matched), ',"max_abs_diff":', numbers[:count],
        ',"tolerance":', column_texts(tolerances),
        ',"worst":{"symbol":', column_texts([symbols[each] for each in found.symbol.tolist()]),
        ',"t":', column_texts(found.t.tolist()), ',"unit":', column_texts(found.unit.tolist()),
        ',"got":', numbers[count : 2 * count], ',"expected":', numbers[2 * count :], "}}",
    ]  # fmt: skip
    return Checks(parts, matched)


def _tolerances(block: Block, settings: Settings) -> Sequence[float]:
    if settings.force_atol:
        return [settings.atol] * len(block)
    values = {each: settings.atol if each is None else each for each in set(block.atols)}
    return list(map(values.__getitem__, block.atols))


@dataclass(eq=False)
class _Worst:
    """Of each sample the number that is farthest from what is expected, so far: `(N,)` each."""

    difference: Array
    symbol: Array
    t: Array
    unit: Array
    got: Array
    expected: Array

    @classmethod
    def none_of(cls, count: int) -> _Worst:
        """Return that nothing is compared yet: anything is worse."""
        symbol, t, unit = np.zeros((3, count), int)
        got, expected = np.zeros((2, count))
        return cls(np.full(count, -1.0), symbol, t, unit, got, expected)

    def take(self, symbol: int, got: Array, expected: Array, first: int) -> None:
        """Compare numbers `(N, rows, n)`, of which the first row is of step `first`."""
        with np.errstate(invalid="ignore"):  # inf - inf: no number, so no match
            difference = np.abs(got - expected).reshape(len(got), -1)
        difference[~np.isfinite(difference)] = np.inf
        where = np.argmax(difference, axis=1)
        worst = np.take_along_axis(difference, where[:, None], axis=1)[:, 0]
        worse = np.flatnonzero(worst > self.difference)
        row, unit = np.divmod(where[worse], got.shape[-1])
        self.difference[worse] = worst[worse]
        self.symbol[worse], self.t[worse], self.unit[worse] = symbol, first + row, unit
        self.got[worse], self.expected[worse] = got[worse, row, unit], expected[worse, row, unit]


def _comparable(symbol: str, expected: Array, trace: Trace) -> tuple[Array, int]:
    """Return our numbers `(N, rows, n)` for an expected symbol, and the t of their first row."""
    each = expected.ndim - 1  # axes that one sample expects
    if symbol in ("h", "c") and each == 1:
        got, first = (trace.h if symbol == "h" else trace.c)[:, None, :], trace.steps
    else:
        known = ["output", *trace.last_layer[0].values]
        if symbol not in known:
            raise InputError(
                f"expected has '{safe(symbol)}', which the cell does not compute",
                hint=suggest(symbol, known),
            )
        every = trace.output if symbol == "output" else trace[symbol]
        got, first = (every, 1) if each == 2 else (every[:, -1:], trace.steps)
    own = got.shape[1:] if each == 2 else got.shape[2:]
    if own != expected.shape[1:]:
        raise ShapeError(
            f"expected {safe(symbol)} has shape {expected.shape[1:]}, the run gives {own}",
            hint="give (n,) for the last step or (T, n) for all of them",
        )
    return got, first
