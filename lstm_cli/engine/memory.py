"""Large memory that is used again: a new page of it costs as much as computing what goes there.

The system gives memory that a trace let go back to others, and hands out new pages one by one,
zeroed. A trace of a batch is rewritten from one group to the next; here its memory waits for the
next trace of about its size instead.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array

# Less than this is quick to get, and more than this is not kept waiting.
LEAST_BYTES, MOST_BYTES = 2**20, 2**29

_waiting: dict[int, Array] = {}


class _Lease:
    """A block of memory until the last array in it is gone; NumPy asks for its address."""

    def __init__(self, block: Array) -> None:
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self, waiting: dict[int, Array] = _waiting) -> None:
        # Each step of this is whole by itself: threads, or a collection in the middle, do no harm.
        if self.block.nbytes > MOST_BYTES:
            return
        waiting[id(self.block)] = self.block
        while sum(block.nbytes for block in list(waiting.values())) > MOST_BYTES:
            waiting.pop(next(iter(list(waiting)), 0), None)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array with any content, as `np.empty`, in memory that waited where some fits."""
    size = math.prod(shape) * dtype.itemsize
    if size < LEAST_BYTES:
        return np.empty(shape, dtype)
    lease = _Lease(_taken(size))
    return np.asarray(lease)[:size].view(dtype).reshape(shape)


def waiting_bytes() -> int:
    """Bytes of memory waiting to be reused."""
    return sum(block.nbytes for block in list(_waiting.values()))


def _taken(size: int) -> Array:
    """Return a block of memory, one that waits and is at most twice as large if there is any."""
    for key, block in list(_waiting.items()):
        if size <= block.nbytes <= 2 * size and _waiting.pop(key, None) is not None:
            return block
    return np.empty(size, np.uint8)
