"""Code shared by both compiled forms: prepared weights, memory, threads.

A run calls a compiled function once per thread, over a range of samples; its layout is computed
once for sizes N and T, and kept.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.engine import memory
from lstm_cli.engine.input_projection import input_projection
from lstm_cli.engine.numba_forms import Form
from lstm_cli.engine.plan import Plan, Product

# From this many steps × samples × units (some milliseconds), a second thread is worth starting.
THREADED = 2**17


@dataclass(frozen=True)
class Layout:
    """Memory layout of a run of N samples and T steps.

    Attributes:
        sizes: the form's integer arguments, beginning with `first` and `last` (0 and N, in whole
            lanes).
        block: number of samples that are run together.
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
        dtype: float64 or float32.
        code: the form's compiled function.
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
        """Run a cell forward over a sequence.

        Args:
            x, h, c: `(N, T, I)`, `(N, P)`, `(N, H)`, in the type used to compute.

        Returns:
            A function that returns a slot's `(N, T, n)` before or after each step.
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
        if not self.program.before:
            return {self.plan.rows["x"]: x}
        return input_projection(self.plan, self.program.before, x, self.arrays, self.constants)

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
