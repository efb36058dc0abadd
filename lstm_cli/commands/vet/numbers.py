"""Short distinct numbers: easy to type, and no two alike."""

from __future__ import annotations

import numpy as np

from lstm_cli.base.arrays import Array

# Numbers nearer to 0 than this part of the scale would hide what multiplies them.
LEAST = 0.05
# So many times more sizes than are drawn: else they would be much the same in every draw.
SPARE = 1.2


def short_numbers(
    rng: np.random.Generator, count: int, scale: float = 1.0, taken: Array | None = None
) -> Array:
    """Return numbers `(count,)` within ±scale, no two of one size, with as few decimals as can be.

    Args:
        rng: where they come from.
        count: how many; more of them need more decimals, of which there are at least 2.
        scale: the largest.
        taken: numbers whose sizes are not to come again.
    """
    decimals = 2
    while len(_sizes(scale, decimals, taken)) < SPARE * count:
        decimals += 1
    sizes = rng.choice(_sizes(scale, decimals, taken), count, replace=False)
    signs = rng.choice([-1.0, 1.0], count)
    return np.asarray(np.round(signs * sizes / 10**decimals, decimals))


def _sizes(scale: float, decimals: int, taken: Array | None) -> Array:
    """Return the sizes there are to choose from, in units of the last decimal."""
    unit = 10**decimals
    every = np.arange(max(1, int(LEAST * scale * unit)), int(scale * unit) + 1)
    return every if taken is None else np.setdiff1d(every, np.round(np.abs(taken) * unit))


def cut(numbers: Array, *shapes: tuple[int, ...]) -> list[Array]:
    """Return one array a shape, filled with the numbers in their order."""
    arrays, start = list[Array](), 0
    for shape in shapes:
        size = int(np.prod(shape))
        arrays.append(numbers[start : start + size].reshape(shape))
        start += size
    return arrays
