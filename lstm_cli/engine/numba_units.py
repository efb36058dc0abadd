"""Compiled loops vectorized over units, with one call per block of samples.

The rows of a trace are `(T, N, n)`, with n rounded up to whole registers; with one sample they are
`(T, n)` with padding at the end, since what a loop writes past a row is overwritten by the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.engine import products
from lstm_cli.engine.numba_forms import parameters_read
from lstm_cli.engine.numba_run import Layout, NumbaRunner
from lstm_cli.engine.plan import Product, stacked_matrix
from lstm_cli.engine.products import rounded_up

# A loop runs over whole registers and may access this many numbers past the end of a row.
LANES = 8
# Size limits of the early products for the steps of one sample, and of all products for a block of
# samples, so that they stay in the cache.
CHUNK_BYTES, BLOCK_BYTES = 2**17, 2**18
# Smaller blocks of samples do not fill the tiles of a product.
LEAST_BLOCK = 6


class Units(NumbaRunner):
    """A cell with given weights, prepared for the form `units`."""

    def _parameters(self) -> dict[str, Array]:
        found = {}
        for value in parameters_read(self.program):
            wide = np.zeros(rounded_up(self.width(value), LANES), self.dtype)
            wide[: self.width(value)] = self.constants[value]
            found[f"p{value}"] = wide
        return found

    def _matrix(self, product: Product) -> Array:
        return products.packed(stacked_matrix(product, self.arrays), self.dtype.name)

    def _given(self, x: Array) -> dict[str, Array]:
        values, found = self._values(x), {}
        loaded = {value for group in self.program.groups for value in group.loads}
        for value in self.program.given:
            flat = np.ascontiguousarray(values[value], self.dtype).reshape(-1)
            if value in loaded:
                flat = np.concatenate([flat, np.zeros(LANES, self.dtype)])
            found[f"x{value}"] = flat
        return found

    def _new_layout(self, samples: int, steps: int) -> Layout:
        form, wide = self.form, products.width(self.dtype.name)
        rows, total = self._rows(samples, steps)
        lines = [rounded_up(self._rows_of(product), wide) for product in form.products]
        block, chunk = self._cut(samples, steps, lines)
        sizes = {"first": 0, "last": samples, "steps": steps, "block": block, "chunk": chunk}
        sizes |= self._common_sizes()
        sizes |= {f"n{k}": rounded_up(g.width, LANES) for k, g in enumerate(self.program.groups)}
        for k, line in enumerate(lines):
            sizes |= {f"panels{k}": line // wide, f"line{k}": line}
        for value in self.program.given:
            width = self.width(value)
            sizes |= {f"step{value}": width, f"sample{value}": steps * width}
        apart = "step" if block == 1 else "sample"
        for k, product in enumerate(self.program.early):
            sizes[f"apart{k}"] = sizes[f"{apart}{product.vector}"]
        for slot, places in enumerate(rows):
            names = (f"base_row{slot}", f"step_row{slot}", f"sample_row{slot}")
            sizes |= dict(zip(names, places, strict=True))
        sizes |= {f"length{value}": rounded_up(self.width(value), LANES) for value in form.kept}
        early = len(self.program.early)
        buffers = {
            f"out{k}": line * (block * chunk if k < early else block) + LANES
            for k, line in enumerate(lines)
        }
        buffers |= {f"w{value}": sizes[f"length{value}"] * block + LANES for value in form.kept}
        size = self.dtype.itemsize
        views = tuple(
            (base * size, self.width(value), (sample * size, step * size, size))
            for value, (base, step, sample) in zip(self.program.slots, rows, strict=True)
        )
        given = np.array([sizes[name] for name in form.sizes], np.uint64)
        return Layout(given, block, total, views, buffers)

    def _rows(self, samples: int, steps: int) -> tuple[tuple[tuple[int, int, int], ...], int]:
        """Offset and strides of each slot's rows, and the total length."""
        places, total = [], 0
        for slot, value in enumerate(self.program.slots):
            width = self.width(value)
            apart = width if samples == 1 else rounded_up(width, LANES)
            places.append((total, samples * apart, apart))
            total += rounded_up((steps + (slot < 2)) * samples * apart + LANES, LANES)
        return tuple(places), total

    def _cut(self, samples: int, steps: int, lines: Sequence[int]) -> tuple[int, int]:
        """Number of samples in a block, and of steps per chunk of early products."""
        if samples == 1:
            early = sum(lines[: len(self.program.early)]) * self.dtype.itemsize
            return 1, max(1, min(steps, CHUNK_BYTES // max(1, early)))
        fitting = BLOCK_BYTES // max(1, sum(lines) * self.dtype.itemsize)
        count = -(-samples // max(LEAST_BLOCK, fitting))
        return -(-samples // count), 1
