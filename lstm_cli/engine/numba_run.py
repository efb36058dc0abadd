"""The two compiled forms with prepared weights: memory, threads, and what is given to their code.

A run calls a compiled function once per thread, over a range of samples; its layout is computed
once for sizes N and T, and kept.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.equations import function_named
from lstm_cli.engine import memory, products
from lstm_cli.engine.numba_source import Form, parameters_read
from lstm_cli.engine.plan import Operation, Plan, Product, stacked_matrix
from lstm_cli.engine.products import rounded_up

# From this many steps × samples × units (some milliseconds), a second thread is worth starting.
THREADED = 2**17


@dataclass(frozen=True)
class Layout:
    """Memory layout of a run of N samples and T steps.

    Attributes:
        sizes: the form's integer arguments, beginning with `first` and `last` (0 and N, in whole
            lanes).
        total: count of numbers in the rows of a trace.
        views: for each slot its offset in bytes, its n, and the strides of `(N, T, n)`.
        buffers: count of numbers in each `out` and `w`, by name.
    """

    sizes: Array
    block: int
    total: int
    views: tuple[tuple[int, int, tuple[int, int, int]], ...]
    buffers: Mapping[str, int]


class NumbaRunner(ABC):
    """A cell with given weights, prepared for any number of runs.

    Args:
        arrays: mapping of parameter to array, in the type used to compute.
        constants: values `(n,)` that depend only on parameters.
    """

    def __init__(
        self,
        form: Form,
        arrays: Mapping[str, Array],
        constants: Mapping[int, Array],
        dtype: np.dtype[Any],
        code: Callable[..., None],
    ) -> None:
        self.form, self.program, self.code = form, form.program, code
        self.arrays, self.constants, self.dtype = arrays, constants, dtype
        self.fixed = self._parameters()
        for k, product in enumerate(form.products):
            self.fixed[f"matrix{k}"] = self._matrix(product)
        self.layouts: dict[tuple[int, int], Layout] = {}

    @property
    def plan(self) -> Plan:
        """The plan of the program."""
        return self.program.plan

    def run(self, x: Array, h: Array, c: Array) -> Callable[[int, bool], Array]:
        """Run a cell forward on `x (N, T, I)`, `h (N, P)`, `c (N, H)` of the type used to compute.

        Returns a function that returns a slot's `(N, T, n)` before or after each step.
        """
        samples, steps = x.shape[:2]
        layout = self._layout(samples, steps)
        rows, dtype = memory.empty((layout.total,), self.dtype), self.dtype

        def row(slot: int, after: bool) -> Array:
            base, width, strides = layout.views[slot]
            begin = base + strides[1] if after else base
            return np.ndarray((samples, steps, width), dtype, rows, begin, strides)

        for slot, given in enumerate((h, c)):
            row(slot, False)[:, 0] = given
        self._run(layout, {**self.fixed, **self._given(x), "rows": rows})
        return row

    def _run(self, layout: Layout, arrays: Mapping[str, Array]) -> None:
        _, last, steps = layout.sizes[:3].tolist()
        work = last * steps * self.width(self.program.slots[1])
        count = min(-(-last // layout.block), threads()) if work >= THREADED else 1
        if count == 1:
            self._run_samples(0, last, layout, arrays)
            return
        share = -(-last // (count * layout.block)) * layout.block
        with ThreadPoolExecutor(count) as pool:
            parts = [
                pool.submit(self._run_samples, begin, min(begin + share, last), layout, arrays)
                for begin in range(0, last, share)
            ]
        for part in parts:
            part.result()

    def _run_samples(
        self, first: int, last: int, layout: Layout, arrays: Mapping[str, Array]
    ) -> None:
        """Run some samples, with separate memory for values that are not kept."""
        own = {name: np.empty(count, self.dtype) for name, count in layout.buffers.items()}
        sizes = layout.sizes.copy()
        sizes[:2] = first, last
        every = {**arrays, **own}
        self.code(sizes, *[every[name] for name in self.form.arrays])

    def width(self, value: int) -> int:
        """Number of units of a value."""
        return self.plan.values[value].width

    def _layout(self, samples: int, steps: int) -> Layout:
        """Return the layout of a run, reusing the last one if the sizes are the same."""
        found = self.layouts.get((samples, steps))
        if found is None:
            found = self._new_layout(samples, steps)
            self.layouts = {(samples, steps): found}
        return found

    def _common_sizes(self) -> dict[str, int]:
        """Return the integer arguments common to both forms."""
        sizes = {f"n{k}": group.width for k, group in enumerate(self.program.groups)}
        for k, product in enumerate(self.form.products):
            begin, sizes[f"inner{k}"] = 0, self.width(product.vector)
            for piece in product.pieces:
                sizes[f"begin{piece.out}"] = begin
                begin += self.width(piece.out)
        return sizes | {f"wide{value}": self.width(value) for value in self.form.joined}

    def _rows_of(self, product: Product) -> int:
        return sum(self.width(piece.out) for piece in product.pieces)

    def _values(self, x: Array) -> dict[int, Array]:
        """Return `(N, T, n)` of x and of values that depend only on it, before the first step."""
        known = {self.plan.rows["x"]: x}
        for entry in self.program.before:
            if isinstance(entry, Operation):
                parts = [known[v] if v in known else self.constants[v] for v in entry.arguments]
                compute = function_named(entry.function).compute
                assert compute is not None
                known[entry.out] = np.asarray(compute(*parts))
                continue
            product, begin = known[entry.vector] @ stacked_matrix(entry, self.arrays).T, 0
            for piece in entry.pieces:
                end = begin + self.width(piece.out)
                known[piece.out], begin = product[..., begin:end], end
        return known

    @abstractmethod
    def _parameters(self) -> dict[str, Array]:
        """Return the `p` arrays."""

    @abstractmethod
    def _matrix(self, product: Product) -> Array:
        """Return a product's matrix, flattened in the order in which it is read."""

    @abstractmethod
    def _given(self, x: Array) -> dict[str, Array]:
        """Return the `x` arrays, flattened."""

    @abstractmethod
    def _new_layout(self, samples: int, steps: int) -> Layout:
        """Lay out all arrays."""


def threads() -> int:
    """Number of threads to use: `OMP_NUM_THREADS`, as for BLAS, or else all processors."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isascii() and asked.isdigit():
        return max(1, int(asked))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --------------------------------------------------------------------------------------------------
# Vectorized over samples, for many samples and few units. The rows of a trace are `(T, n, N)`, with
# N rounded up to whole panels of a product.

# Size limit of the products of a block of samples, so that they stay in the cache.
SAMPLES_BLOCK_BYTES = 2**16


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
        fitting = SAMPLES_BLOCK_BYTES // max(1, sum(lines) * size)
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


# --------------------------------------------------------------------------------------------------
# Vectorized over units, with one call per block of samples. The rows of a trace are `(T, N, n)`,
# with n rounded up to whole registers; with one sample they are `(T, n)` with padding at the end,
# since what a loop writes past a row is overwritten by the next.

# A loop runs over whole registers and may access this many numbers past the end of a row.
LANES = 8
# Size limits of the early products for the steps of one sample, and of all products for a block of
# samples, so that they stay in the cache.
CHUNK_BYTES, UNITS_BLOCK_BYTES = 2**17, 2**18
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
        fitting = UNITS_BLOCK_BYTES // max(1, sum(lines) * self.dtype.itemsize)
        count = -(-samples // max(LEAST_BLOCK, fitting))
        return -(-samples // count), 1
