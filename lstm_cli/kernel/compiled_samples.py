"""Compiled loops with samples side by side: for many samples of few units.

A trace's rows are `(T, n, N)`: a step is a product by BLAS, then one loop over all units of all
samples. The products with x are done beforehand for many steps at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_cli.equations import Array
from lstm_cli.kernel import memory
from lstm_cli.kernel.compiled_source import group_arrays
from lstm_cli.kernel.compiled_units import LANES
from lstm_cli.kernel.plan import Entry, Operation, Plan, Product, Stage, stacked_matrix
from lstm_cli.kernel.prelude import given_values
from lstm_cli.kernel.program import Group, Program

# What the products with x of so many steps may take.
FED_BYTES = 2**21

# Where an array's numbers begin, and how far apart steps are.
Place = tuple[int, int, int]


@dataclass(frozen=True)
class _Fed:
    """A value that x alone decides: flat memory from its first number on, and a step's stride."""

    array: Array
    stride: int


class Samples:
    """A cell of given weights made ready to run, as often as wanted.

    Args:
        program: of the cell and its sizes.
        arrays: parameter -> array, of the type that is computed in.
        constants: value -> `(n,)` of what needs parameters alone.
        dtype: float64 or float32.
        passes: the compiled loop of each group.
    """

    def __init__(
        self,
        program: Program,
        arrays: Mapping[str, Array],
        constants: Mapping[int, Array],
        dtype: np.dtype[Any],
        passes: list[Callable[..., None]],
    ) -> None:
        self.program, self.arrays, self.constants = program, arrays, constants
        self.dtype, self.passes = dtype, passes
        self.matrices = [stacked_matrix(each, arrays) for each in program.products]

    def run(self, x: Array, h: Array, c: Array) -> Callable[[int, bool], Array]:
        """Run a cell forward over a sequence.

        Args:
            x: `(N, T, I)`, of the type that is computed in.
            h: `(N, P)`.
            c: `(N, H)`.

        Returns:
            What gives a slot's `(N, T, n)`, before or after each step.
        """
        run = _Run(self, x)
        run.slabs[0][0], run.slabs[1][0] = h.T, c.T
        run.run()
        steps = x.shape[1]

        def row(slot: int, after: bool) -> Array:
            return run.slabs[slot][after : after + steps].transpose(2, 0, 1)

        return row

    @property
    def plan(self) -> Plan:
        """What the program is made of."""
        return self.program.plan

    def width(self, value: int) -> int:
        """Return how many units a value has."""
        return self.plan.values[value].width


class _Run:
    """One run and its memory."""

    def __init__(self, made: Samples, x: Array) -> None:
        self.made, self.program, self.x = made, made.program, x
        self.samples, self.steps = x.shape[:2]
        self.scratch: dict[object, Array] = {}
        shapes = [
            (self.steps + (slot < 2), made.width(value), self.samples)
            for slot, value in enumerate(self.program.slots)
        ]
        whole = memory.empty((sum(map(math.prod, shapes)),), made.dtype)
        self.slabs: list[Array] = []
        begin = 0
        for shape in shapes:
            self.slabs.append(whole[begin : begin + math.prod(shape)].reshape(shape))
            begin += math.prod(shape)
        self.buffers = self._buffers()

    def _buffers(self) -> dict[int, Array]:
        """Return value -> `(n, N)` of what lives from one phase of a step to another."""
        found: dict[int, Array] = {}
        self.sums = [self._new(len(matrix)) for matrix in self.made.matrices]
        for product, sums in zip(self.program.products, self.sums, strict=True):
            begin = 0
            for piece in product.pieces:
                found[piece.out] = sums[begin : begin + self.made.width(piece.out)]
                begin += self.made.width(piece.out)
        for value in self.program.crossing:
            if value not in found:
                found[value] = self._new(self.made.width(value))
        return found

    def _new(self, width: int) -> Array:
        return np.empty((width, self.samples), self.made.dtype)

    def run(self) -> None:
        """Fill the memory, so many steps at a time."""
        early = sum(self.made.width(p.out) for each in self.program.early for p in each.pieces)
        each = max(1, self.samples * early * self.made.dtype.itemsize)
        at_once = max(1, min(self.steps, FED_BYTES // each))
        for begin in range(0, self.steps, at_once):
            end = min(begin + at_once, self.steps)
            calls = list(self._calls(begin, self._prelude(begin, end)))
            for t in range(begin, end):
                for call in calls:
                    call(t)

    def _prelude(self, begin: int, end: int) -> dict[int, _Fed]:
        """Return what x alone decides in some steps."""
        x = np.ascontiguousarray(self.x[:, begin:end].transpose(1, 2, 0))
        made, program = self.made, self.program
        values = given_values(
            made.plan, (*program.before, *program.early), x, made.arrays, made.constants,
            transposed=True, take=self._reused,
        )  # fmt: skip
        wanted = {*program.given, *(p.out for product in program.early for p in product.pieces)}
        return {value: self._fed(values[value]) for value in wanted}

    def _reused(self, entry: Entry, shape: tuple[int, ...]) -> Array:
        """Return memory for an entry's answer, the same each time: new pages cost time."""
        count = math.prod(shape)
        held = self.scratch.get(entry)
        if held is None or len(held) < count:
            held = self.scratch[entry] = np.empty(count + LANES, self.made.dtype)
        return held[:count].reshape(shape)

    def _fed(self, array: Array) -> _Fed:
        """Return a value `(steps, n, N)`, neighbours within a step, as flat memory."""
        step = array.shape[1] * self.samples
        if array.strides[1:] != (self.samples * array.itemsize, array.itemsize):
            array = np.ascontiguousarray(array)
        stride = array.strides[0] // array.itemsize
        flat = np.lib.stride_tricks.as_strided(
            array, (stride * (len(array) - 1) + step,), (array.itemsize,), writeable=False
        )
        return _Fed(flat, stride)

    def _calls(self, begin: int, fed: Mapping[int, _Fed]) -> Iterable[Callable[[int], None]]:
        groups, products = 0, 0
        for phase in self.program.phases:
            match phase:
                case Group():
                    yield self._pass(groups, phase, begin, fed)
                    groups += 1
                case Product():
                    yield self._multiply(products, phase)
                    products += 1
                case Operation():
                    yield self._join(phase, begin, fed)

    def _pass(
        self, k: int, group: Group, begin: int, fed: Mapping[int, _Fed]
    ) -> Callable[[int], None]:
        """Return the call of a group's loop for one step."""
        arrays, places = [], []
        for kind, each in group_arrays(group):
            array, place = (
                self._row_place(each, each < 2) if kind == "row" else self._place(each, begin, fed)
            )
            arrays.append(array)
            places.append(place)
        # Unsigned, as the loop's own counts: a beginning may lie before an array, its places not.
        table = np.array(places, dtype=np.int64).T.copy().view(np.uint64)
        code, width = self.made.passes[k], group.width * self.samples

        def call(t: int) -> None:
            code(t, 1, width, table, *arrays)

        return call

    def _row_place(self, slot: int, after: int) -> tuple[Array, Place]:
        step = self.slabs[slot][0].size
        return self.slabs[slot].reshape(-1), (after * step, step, 0)

    def _place(self, value: int, begin: int, fed: Mapping[int, _Fed]) -> tuple[Array, Place]:
        if value in self.program.states:
            return self._row_place(self.program.states.index(value), 0)
        if value in fed:
            return fed[value].array, (-begin * fed[value].stride, fed[value].stride, 0)
        if value in self.buffers:
            return self.buffers[value].reshape(-1), (0, 0, 0)
        return np.repeat(self.made.constants[value], self.samples), (0, 0, 0)

    def _multiply(self, k: int, product: Product) -> Callable[[int], None]:
        matrix, sums, vector = self.made.matrices[k], self.sums[k], self._view(product.vector)

        def call(t: int) -> None:
            np.matmul(matrix, vector(t), out=sums)

        return call

    def _view(self, value: int) -> Callable[[int], Array]:
        """Return where a state or a value between phases stands at a step."""
        if value in self.program.states:
            slab = self.slabs[self.program.states.index(value)]
            return lambda t: slab[t]
        here = self.buffers[value]
        return lambda t: here

    def _join(self, join: Operation, begin: int, fed: Mapping[int, _Fed]) -> Callable[[int], None]:
        out, cuts, start = self.buffers[join.out], [], 0
        parts = [self._part(value, begin, fed) for value in join.arguments]
        for value in join.arguments:
            cuts.append(out[start : start + self.made.width(value)])
            start += self.made.width(value)

        def call(t: int) -> None:
            for cut, part in zip(cuts, parts, strict=True):
                cut[...] = part(t)

        return call

    def _part(self, value: int, begin: int, fed: Mapping[int, _Fed]) -> Callable[[int], Array]:
        """Return a part of a concatenation at a step; it may be of any stage."""
        if value in fed:
            array, stride, width = fed[value].array, fed[value].stride, self.made.width(value)
            count = width * self.samples
            return lambda t: array[(t - begin) * stride :][:count].reshape(width, self.samples)
        if self.made.plan.values[value].stage == Stage.ONCE:
            constant = self.made.constants[value]
            return lambda t: constant[:, None]
        return self._view(value)
