"""Compiled loops with units side by side: everything of a block of samples in one call.

A trace's rows are `(T, N, n)`, each sample's n rounded up to whole registers; with one sample
`(T, n)` and some room at the end, since what a loop writes past a row is written over by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_cli.equations import Array
from lstm_cli.kernel import memory, products
from lstm_cli.kernel.compiled_source import (
    joined_parts,
    kept_between,
    multiplied,
    parameters_read,
    units_arrays,
    units_sizes,
)
from lstm_cli.kernel.plan import Plan, stacked_matrix
from lstm_cli.kernel.prelude import given_values
from lstm_cli.kernel.program import Program

# So many numbers a loop may read or write past a row's end: it runs over whole registers.
LANES = 8
# What early products of the steps of one sample may take, and all products of a block of samples:
# they stay in the cache.
CHUNK_BYTES, BLOCK_BYTES = 2**17, 2**18
# A block of fewer samples does not fill the tiles of a product.
LEAST_BLOCK = 6


@dataclass(frozen=True)
class Layout:
    """Where everything of a run of N samples and T steps stands.

    Attributes:
        sizes: what `units` takes, `first` and `last` before all others.
        total: how many numbers the rows of a trace are.
        rows: for each slot where it begins, in bytes, its n, and the strides of `(N, T, n)`.
        buffers: how many numbers `out` and `w` of `units` are, by name.
    """

    sizes: Array
    total: int
    rows: tuple[tuple[int, int, tuple[int, int, int]], ...]
    buffers: Mapping[str, int]


class Units:
    """A cell of given weights made ready to run, as often as wanted.

    Args:
        program: of the cell and its sizes.
        arrays: parameter -> array, of the type that is computed in.
        constants: value -> `(n,)` of what needs parameters alone.
        dtype: float64 or float32.
        code: the compiled function `units`.
    """

    def __init__(
        self,
        program: Program,
        arrays: Mapping[str, Array],
        constants: Mapping[int, Array],
        dtype: np.dtype[Any],
        code: Callable[..., None],
    ) -> None:
        self.program, self.arrays, self.constants = program, arrays, constants
        self.dtype, self.code = dtype, code
        self.fixed = {
            f"p{value}": self._wide(constants[value]) for value in parameters_read(program)
        }
        for k, product in enumerate(multiplied(program)):
            self.fixed[f"matrix{k}"] = products.packed(stacked_matrix(product, arrays), dtype.name)
        self.layouts: dict[tuple[int, int], Layout] = {}

    @property
    def plan(self) -> Plan:
        """What the program is made of."""
        return self.program.plan

    def run(self, x: Array, h: Array, c: Array) -> Callable[[int, bool], Array]:
        """Run a cell forward over a sequence.

        Args:
            x: `(N, T, I)`, of the type that is computed in.
            h: `(N, P)`.
            c: `(N, H)`.

        Returns:
            What gives a slot's `(N, T, n)`, before or after each step.
        """
        samples, steps = x.shape[:2]
        layout = self._layout(samples, steps)
        rows = memory.empty((layout.total,), self.dtype)
        dtype = self.dtype

        def row(slot: int, after: bool) -> Array:
            base, width, strides = layout.rows[slot]
            begin = base + strides[1] if after else base
            return np.ndarray((samples, steps, width), dtype, rows, begin, strides)

        row(0, False)[:, 0], row(1, False)[:, 0] = h, c
        arrays = self.fixed | self._given(x) | {"rows": rows}
        arrays |= {name: np.empty(count, self.dtype) for name, count in layout.buffers.items()}
        self.code(layout.sizes, *(arrays[name] for name in units_arrays(self.program)))
        return row

    def _width(self, value: int) -> int:
        return self.plan.values[value].width

    def _wide(self, array: Array) -> Array:
        wide = np.zeros(rounded_up(len(array)), self.dtype)
        wide[: len(array)] = array
        return wide

    def _given(self, x: Array) -> dict[str, Array]:
        """Return what is given for all steps, flat, with room for a loop to read past its end."""
        values = {self.plan.rows["x"]: x}
        if self.program.before:
            values = given_values(self.plan, self.program.before, x, self.arrays, self.constants)
        loaded = {value for group in self.program.groups for value in group.loads}
        found = {}
        for value in self.program.given:
            flat = np.ascontiguousarray(values[value], self.dtype).reshape(-1)
            if value in loaded:
                flat = np.concatenate([flat, np.zeros(LANES, self.dtype)])
            found[f"x{value}"] = flat
        return found

    def _layout(self, samples: int, steps: int) -> Layout:
        """Return the layout of a run; that of the last one is likely to be wanted again."""
        if (samples, steps) not in self.layouts:
            made = self._new_layout(samples, steps)
            self.layouts.clear()
            self.layouts[samples, steps] = made
        return self.layouts[samples, steps]

    def _new_layout(self, samples: int, steps: int) -> Layout:
        program, wide = self.program, products.width(self.dtype.name)
        rows, total = self._rows(samples, steps)
        lines = [
            rounded_up(sum(self._width(piece.out) for piece in product.pieces), wide)
            for product in multiplied(program)
        ]
        block, chunk = self._cut(samples, steps, lines)
        sizes = {"first": 0, "last": samples, "steps": steps, "block": block, "chunk": chunk}
        sizes |= {f"n{k}": rounded_up(group.width) for k, group in enumerate(program.groups)}
        for k, product in enumerate(multiplied(program)):
            sizes |= {f"inner{k}": self._width(product.vector), f"panels{k}": lines[k] // wide}
            begin, sizes[f"line{k}"] = 0, lines[k]
            for piece in product.pieces:
                sizes[f"begin{piece.out}"] = begin
                begin += self._width(piece.out)
        for value in program.given:
            width = self._width(value)
            sizes |= {f"step{value}": width, f"sample{value}": steps * width}
        for k, product in enumerate(program.early):
            apart = "step" if block == 1 else "sample"
            sizes[f"apart{k}"] = sizes[f"{apart}{product.vector}"]
        for slot, places in enumerate(rows):
            names = (f"base_row{slot}", f"step_row{slot}", f"sample_row{slot}")
            sizes |= dict(zip(names, places, strict=True))
        sizes |= {f"wide{value}": self._width(value) for value in joined_parts(program)}
        kept = kept_between(program)
        sizes |= {f"length{value}": rounded_up(self._width(value)) for value in kept}
        early = len(program.early)
        buffers = {
            f"out{k}": line * (block * chunk if k < early else block) + LANES
            for k, line in enumerate(lines)
        }
        buffers |= {f"w{value}": sizes[f"length{value}"] * block + LANES for value in kept}
        given = np.array([sizes[name] for name in units_sizes(program)], np.uint64)
        size = self.dtype.itemsize
        views = tuple(
            (base * size, self._width(value), (sample * size, step * size, size))
            for value, (base, step, sample) in zip(program.slots, rows, strict=True)
        )
        return Layout(given, total, views, buffers)

    def _rows(self, samples: int, steps: int) -> tuple[tuple[tuple[int, int, int], ...], int]:
        """Return where each slot's rows begin, their strides, and the length of all."""
        places, total = [], 0
        for slot, value in enumerate(self.program.slots):
            width = self._width(value)
            apart = width if samples == 1 else rounded_up(width)
            places.append((total, samples * apart, apart))
            total += rounded_up((steps + (slot < 2)) * samples * apart + LANES)
        return tuple(places), total

    def _cut(self, samples: int, steps: int, lines: Sequence[int]) -> tuple[int, int]:
        """Return how many samples are a block, and for how many steps early products are done."""
        if samples == 1:
            early = sum(lines[: len(self.program.early)]) * self.dtype.itemsize
            return 1, max(1, min(steps, CHUNK_BYTES // max(1, early)))
        fitting = BLOCK_BYTES // max(1, sum(lines) * self.dtype.itemsize)
        count = -(-samples // max(LEAST_BLOCK, fitting))
        return -(-samples // count), 1


def rounded_up(count: int, turn: int = LANES) -> int:
    """Return the next whole number of turns."""
    return -(-count // turn) * turn
