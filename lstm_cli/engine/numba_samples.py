"""Compiled loops vectorized over samples, for many samples and few units.

The rows of a trace are `(T, n, N)`, with N rounded up to whole panels of a product.
"""

from __future__ import annotations

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.engine import products
from lstm_cli.engine.numba_forms import parameters_read
from lstm_cli.engine.numba_run import Layout, NumbaRunner
from lstm_cli.engine.plan import Product, stacked_matrix
from lstm_cli.engine.products import rounded_up

# Size limit of the products of a block of samples, so that they stay in the cache.
BLOCK_BYTES = 2**16


class Samples(NumbaRunner):
    """A cell with given weights, prepared for the form `samples`."""

    def _parameters(self) -> dict[str, Array]:
        read = parameters_read(self.program)
        return {f"p{value}": self.constants[value].astype(self.dtype) for value in read}

    def _matrix(self, product: Product) -> Array:
        return stacked_matrix(product, self.arrays).reshape(-1)

    def _given(self, x: Array) -> dict[str, Array]:
        values, lane = self._values(x), rounded_up(len(x), products.width(self.dtype.name))
        found = {}
        for value in self.program.given:
            wide = np.zeros((x.shape[1], self.width(value), lane), self.dtype)
            wide[..., : len(x)] = values[value].transpose(1, 2, 0)
            found[f"x{value}"] = wide.reshape(-1)
        return found

    def _new_layout(self, samples: int, steps: int) -> Layout:
        form, wide = self.form, products.width(self.dtype.name)
        lane, size = rounded_up(samples, wide), self.dtype.itemsize
        lines = [self._rows_of(product) for product in form.products]
        fitting = BLOCK_BYTES // max(1, sum(lines) * size)
        block = min(lane, max(wide, fitting // wide * wide))
        sizes = {"first": 0, "last": lane, "steps": steps, "block": block, "lane": lane}
        sizes |= self._common_sizes() | {f"units{k}": line for k, line in enumerate(lines)}
        sizes |= {f"step{value}": self.width(value) * lane for value in self.program.given}
        views, total = [], 0
        for slot, value in enumerate(self.program.slots):
            step = self.width(value) * lane
            sizes |= {f"base_row{slot}": total, f"step_row{slot}": step}
            views.append((total * size, self.width(value), (size, step * size, lane * size)))
            total += (steps + (slot < 2)) * step
        buffers = {f"out{k}": line * block for k, line in enumerate(lines)}
        buffers |= {f"w{value}": self.width(value) * block for value in form.kept}
        given = np.array([sizes[name] for name in form.sizes], np.uint64)
        return Layout(given, block, total, tuple(views), buffers)
