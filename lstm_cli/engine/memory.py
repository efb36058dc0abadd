"""Reuse of large blocks of memory: touching a new page costs as much as computing its content.

Memory freed by a trace goes back to the system, which hands out new pages one by one, zeroed. A
batch produces one trace after another; here the memory of one waits for the next of about the
same size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array

# Smaller blocks are quick to allocate; no more than the second number is kept in reserve.
LEAST_BYTES, MOST_BYTES = 2**20, 2**29

_waiting: dict[int, Array] = {}


class _Lease:
    """A block of memory that lives until its last array is gone; gives NumPy its address."""

    def __init__(self, block: Array) -> None:
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self, waiting: dict[int, Array] = _waiting) -> None:
        # Each step is atomic: threads, or a garbage collection in the middle, do no harm.
        if self.block.nbytes > MOST_BYTES:
            return
        waiting[id(self.block)] = self.block
        while sum(block.nbytes for block in list(waiting.values())) > MOST_BYTES:
            waiting.pop(next(iter(list(waiting)), 0), None)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an uninitialized array, like `np.empty`, in reused memory if a block fits."""
    size = math.prod(shape) * dtype.itemsize
    if size < LEAST_BYTES:
        return np.empty(shape, dtype)
    lease = _Lease(_taken(size))
    return np.asarray(lease)[:size].view(dtype).reshape(shape)


def _taken(size: int) -> Array:
    """Return a block of memory, reusing one at most twice as large if there is any."""
    for key, block in list(_waiting.items()):
        if size <= block.nbytes <= 2 * size and _waiting.pop(key, None) is not None:
            return block
    return np.empty(size, np.uint8)
