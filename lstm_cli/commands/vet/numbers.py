"""Short, distinct numbers that are easy to type."""

from __future__ import annotations

import numpy as np

from lstm_cli.base.arrays import Array

# Numbers below this fraction of the scale would hide what they are multiplied by.
LEAST = 0.05
# Candidates per number drawn; with fewer, draws would be much alike.
SPARE = 1.2


def short_numbers(
    rng: np.random.Generator, count: int, scale: float = 1.0, taken: Array | None = None
) -> Array:
    """Draw numbers `(count,)` within ±scale, distinct in magnitude, with the fewest decimals.

    Args:
        rng: the generator.
        count: how many; larger counts need more decimals, of which there are at least 2.
        scale: the largest magnitude.
        taken: numbers whose magnitudes must not occur again.
    """
    decimals = 2
    while len(_sizes(scale, decimals, taken)) < SPARE * count:
        decimals += 1
    sizes = rng.choice(_sizes(scale, decimals, taken), count, replace=False)
    signs = rng.choice([-1.0, 1.0], count)
    return np.asarray(np.round(signs * sizes / 10**decimals, decimals))


def _sizes(scale: float, decimals: int, taken: Array | None) -> Array:
    """Return the available magnitudes, in units of the last decimal."""
    unit = 10**decimals
    every = np.arange(max(1, int(LEAST * scale * unit)), int(scale * unit) + 1)
    return every if taken is None else np.setdiff1d(every, np.round(np.abs(taken) * unit))


def cut(numbers: Array, *shapes: tuple[int, ...]) -> list[Array]:
    """Split numbers, in order, into one array per shape."""
    arrays, start = list[Array](), 0
    for shape in shapes:
        size = int(np.prod(shape))
        arrays.append(numbers[start : start + size].reshape(shape))
        start += size
    return arrays
