"""The NumPy engine: runs a schedule in place, without allocation in the loop over steps.

The memory layout is feature-major, `(T, units, N)` for N samples and `(T, units)` for one, so that
a call runs over contiguous memory; a trace gets views `(N, T, n)` of it and nothing is copied. In
float32 everything is computed in float32.

σ is computed in its textbook form, 1 / (1 + exp(-z)), which is within 4 ULP as long as exp(-z) does
not overflow (below -709; in float32 -88.7). If NumPy reports an overflow, the run is repeated with
the form that is accurate everywhere. Both forms are those of `equations.FUNCTIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, repeat
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.equations import FUNCTIONS, Apply, Name, Node, Number, function_named
from lstm_cli.engine.plan import Entry, Operation, Plan, Stage, stacked_matrix
from lstm_cli.engine.schedule import (
    C_SLAB,
    H_SLAB,
    X_SLAB,
    Call,
    FusedProduct,
    Schedule,
    Slab,
    SlabRun,
    Stack,
    fused_matrix,
    schedule,
)

# Size limit of the memory touched by the calls for one part of the units, to fit in the cache.
CACHE_BYTES = 2**19
# Limits on what is computed at once, in bytes and steps, if there is a single sample.
EARLY_BYTES = 2**22
MOST_EARLY = 4096

# An argument or a result, and whether its first axis is steps.
Operand = tuple[Array, bool]
# One NumPy call: the function, its arguments, its result.
Primitive = tuple[Callable[..., Any], tuple[Operand, ...]]


def run_numpy(
    plan: Plan, arrays: Mapping[str, Array], x: Array, h: Array, c: Array, dtype: np.dtype[Any]
) -> dict[str, Array]:
    """Run a cell forward over a sequence.

    Args:
        x, h, c: `(N, T, I)`, `(N, P)`, `(N, H)`.
        dtype: float64 or float32; everything is computed in it.

    Returns:
        A mapping of symbol to `(N, T, n)` of that type, in the order of `plan.rows`, as views of
        shared memory.
    """
    with np.errstate(over="ignore"):  # a weight beyond float32 is inf, and the trace names it
        narrow = {name: array.astype(dtype) for name, array in arrays.items()}
    constants = constant_values(plan, narrow, dtype)
    made = schedule(plan, fused=len(x) > 1)
    for exact in (False, True):
        engine = _Engine(plan, made, narrow, constants, x, h, c, dtype, exact)
        with np.errstate(all="ignore", over="ignore" if exact else "raise"):
            try:
                engine.run()
            except FloatingPointError:
                continue
        break
    return engine.trace()


def constant_values(
    plan: Plan, arrays: Mapping[str, Array], dtype: np.dtype[Any]
) -> dict[int, Array]:
    """Return `(n,)` (`()` for a number) for each value that depends only on parameters."""
    known = {
        place: arrays[value.name] if value.number is None else np.asarray(value.number, dtype)
        for place, value in enumerate(plan.values)
        if value.number is not None or value.name in arrays
    }
    with np.errstate(all="ignore"):
        for entry in plan.once:
            known |= computed(entry, known, arrays)
    return known


def computed(
    entry: Entry, known: Mapping[int, Array], arrays: Mapping[str, Array]
) -> dict[int, Array]:
    """Return what an entry computes from known values `(…, n)`."""
    if isinstance(entry, Operation):
        compute = function_named(entry.function).compute
        assert compute is not None
        return {entry.out: compute(*(known[each] for each in entry.arguments))}
    vector = known[entry.vector]
    return {p.out: vector @ arrays[p.parameter][:, p.begin : p.end].T for p in entry.pieces}


@dataclass
class _Engine:
    """A schedule with its memory, for a single run."""

    plan: Plan
    made: Schedule
    arrays: Mapping[str, Array]
    constants: Mapping[int, Array]
    x: Array
    h: Array
    c: Array
    dtype: np.dtype[Any]
    exact: bool
    memory: dict[int, Array] = field(default_factory=dict)
    scratch: list[Array] = field(default_factory=list)

    def run(self) -> None:
        """Fill the memory, one block of steps after another."""
        self.steps = self.x.shape[1]
        self.tail = (len(self.x),) if self.made.fused else ()
        self._allocate()
        for begin in range(0, self.steps, self.block):
            end = min(begin + self.block, self.steps)
            for call in self.made.early:
                for function, operands in self._lowered(call, begin, end):
                    function(*(array for array, _ in operands))
            self._run_steps(list(self._primitives(begin, end)))

    def _run_steps(self, calls: list[Primitive]) -> None:
        """Execute the calls of each step in turn."""
        functions = [function for function, _ in calls]
        each_step = zip(*(_arguments(operands) for _, operands in calls), strict=False)
        for step in each_step:
            for function, arguments in zip(functions, step, strict=True):
                function(*arguments)

    def _allocate(self) -> None:
        early = sum(slab.rows for slab in self.made.slabs if slab.early)
        fitting = EARLY_BYTES // max(1, early * self.dtype.itemsize)
        self.block = self.steps if self.made.fused else max(1, min(fitting, MOST_EARLY))
        used = {run.slab for call in (*self.made.early, *self.made.steps)
                for run in (*call.arguments, call.out) if isinstance(run, SlabRun)}  # fmt: skip
        for place, slab in enumerate(self.made.slabs):
            if place in used or place in (H_SLAB, C_SLAB, X_SLAB):
                self.memory[place] = empty(self._shape(place, slab), self.dtype)
        high, wide = self.h.shape[1], self.x.shape[2]
        if self.made.fused:
            self.memory[H_SLAB][:-1, high : high + wide] = self.x.transpose(1, 2, 0)
            self.memory[H_SLAB][:, high + wide :] = 1
        else:
            self.memory[X_SLAB][...] = self.x[0]
        self.memory[H_SLAB][0, :high] = self.h.T if self.tail else self.h[0]
        self.memory[C_SLAB][0] = self.c.T if self.tail else self.c[0]

    def _shape(self, place: int, slab: Slab) -> tuple[int, ...]:
        if place in (H_SLAB, C_SLAB):
            return (self.steps + 1, slab.rows, *self.tail)
        if place == X_SLAB and self.made.fused:
            return (0, slab.rows, *self.tail)
        if slab.kept:
            return (self.steps, slab.rows, *self.tail)
        return (self.block, slab.rows, *self.tail) if slab.early else (slab.rows, *self.tail)

    def _primitives(self, begin: int, end: int) -> Iterator[Primitive]:
        """Yield the calls of a step, one part of the units after another."""
        for calls in _segments(self.made.steps):
            width = calls[0].out.width
            for units in self._parts(calls, width):
                for call in calls:
                    yield from self._lowered(call, begin, end, units)

    def _parts(self, calls: Sequence[Call], width: int) -> Iterator[slice]:
        """Yield the parts of the units whose calls are made together, to fit in the cache."""
        if calls[0].function == "@":
            yield slice(0, width)
            return
        touched = sum(call.out.rows for call in calls) * math.prod(self.tail) * self.dtype.itemsize
        count = min(width, max(1, round(touched / CACHE_BYTES)))
        size = -(-width // count)
        for first in range(0, width, size):
            yield slice(first, min(first + size, width))

    def _lowered(
        self, call: Call, begin: int, end: int, units: slice | None = None
    ) -> Iterator[Primitive]:
        """Yield the primitives of a call for some units, or early, for all steps of a block."""
        early, cut = units is None, units if units != slice(0, call.out.width) else None
        if call.function == "@":
            yield self._product(call, begin, end, early)
            return
        out, *given = (
            self._array(each, begin, end, call.out.count, cut)
            for each in (call.out, *call.arguments)
        )
        shape = out[0].shape if early else out[0].shape[out[1] :]
        yield from self._function(call.function, given, out, shape)

    def _product(self, call: Call, begin: int, end: int, early: bool) -> Primitive:
        (vector,) = call.arguments
        assert isinstance(vector, SlabRun)
        given, out = (self._view(each, begin, end) for each in (vector, call.out))
        if early:
            return np.matmul, (given, (self._matrix(call).T, False), out)
        return np.matmul if self.tail else np.dot, ((self._matrix(call), False), given, out)

    def _matrix(self, call: Call) -> Array:
        if isinstance(call.matrix, FusedProduct):
            return fused_matrix(call.matrix, self.arrays, self.constants).astype(self.dtype)
        assert call.matrix is not None
        return stacked_matrix(call.matrix, self.arrays)

    def _function(
        self, name: str, given: Sequence[Operand], out: Operand, shape: tuple[int, ...]
    ) -> Iterator[Primitive]:
        """Yield the NumPy calls of a function of the grammar."""
        known = FUNCTIONS.get(name)
        tree = known and (known.formula if self.exact else known.textbook or known.formula)
        if tree:
            yield from self._tree(tree, given[0], out, shape, 0)
        else:
            # heaviside's second argument is its value at 0.
            last = [self._constant(0.0)] if name == "heaviside" else []
            yield _ufunc(name), (*given, *last, out)

    def _tree(
        self, node: Node, z: Operand, out: Operand, shape: tuple[int, ...], depth: int
    ) -> Iterator[Primitive]:
        """Yield the calls that evaluate a tree of one variable into `out`, with scratch memory."""
        assert isinstance(node, Apply)
        given: list[Operand] = []
        for argument in node.arguments:
            match argument:
                case Number(number):
                    given.append(self._constant(number))
                case Name():
                    given.append(z)
                case _:
                    taken = any(each is out for each in given)
                    place = (self._scratch(depth, shape), False) if taken else out
                    yield from self._tree(argument, z, place, shape, depth + taken)
                    given.append(place)
        yield _ufunc(node.function), (*given, out)

    def _constant(self, number: float) -> Operand:
        return np.asarray(number, self.dtype), False

    def _scratch(self, depth: int, shape: tuple[int, ...]) -> Array:
        size = math.prod(shape)
        while len(self.scratch) <= depth or self.scratch[depth].size < size:
            self.scratch[depth : depth + 1] = [np.empty(size, self.dtype)]
        return self.scratch[depth][:size].reshape(shape)

    def _array(
        self, each: SlabRun | Stack | float, begin: int, end: int, count: int, cut: slice | None
    ) -> Operand:
        """Return the array of an argument, in groups of `count` if it has as many."""
        if isinstance(each, float):
            return self._constant(each)
        if isinstance(each, Stack):
            array = np.stack([self.constants[value] for value in each.values])
            array = array[:, cut] if cut else array
            array = array[0] if len(array) == 1 else array
            return array[..., None] if self.tail else array, False
        array, kept = self._view(each, begin, end)
        lead = array.shape[: array.ndim - 1 - len(self.tail)]
        if count > 1 and each.count > 1:
            array = array.reshape(*lead, each.count, each.width, *self.tail)
        if cut:
            array = array[..., cut, :] if self.tail else array[..., cut]
        return array, kept

    def _view(self, run: SlabRun, begin: int, end: int) -> Operand:
        """Return a run `(steps, units, …)`, or `(units, …)` if it is not stored per step."""
        slab, array = self.made.slabs[run.slab], self.memory[run.slab]
        units = slice(run.begin, run.begin + run.rows)
        if slab.kept:
            return array[begin + run.after : end + run.after, units], True
        return (array[: end - begin, units], True) if slab.early else (array[units], False)

    def trace(self) -> dict[str, Array]:
        """Map symbols to `(N, T, n)`."""
        values = {}
        for symbol, value in self.plan.rows.items():
            width = self.plan.values[value].width
            if symbol in ("h", "c"):
                run = SlabRun(H_SLAB if symbol == "h" else C_SLAB, 0, width, after=1)
            elif self.plan.values[value].stage == Stage.ONCE:
                shape = (len(self.x), self.steps, width)
                values[symbol] = np.broadcast_to(self.constants[value], shape)
                continue
            else:
                run = self.made.places[value]
            array, _ = self._view(run, 0, self.steps)
            values[symbol] = array.transpose(2, 0, 1) if self.tail else array[None]
        for array in values.values():
            array.flags.writeable = False  # symbols share memory: h_prev is h, a step later
        return values


def _arguments(operands: Iterable[Operand]) -> Iterator[tuple[Array, ...]]:
    """Yield a call's arguments step by step; endlessly if none of them depends on the step."""
    arrays = (array if over_steps else repeat(array) for array, over_steps in operands)
    return zip(*arrays, strict=False)


def _segments(calls: Sequence[Call]) -> Iterator[list[Call]]:
    """Yield runs of consecutive calls of the same width; each product is on its own."""
    own = (k if call.function == "@" else -1 for k, call in enumerate(calls))
    keyed = zip(own, calls, strict=True)
    for _, segment in groupby(keyed, lambda each: (each[0], each[1].out.width)):
        yield [call for _, call in segment]


_OWN: dict[str, Callable[..., Any]] = {
    "copy": np.positive,
    "heaviside": np.heaviside,
    # By keyword: a third positional argument is deprecated.
    "min": lambda a, b, out: np.minimum(a, b, out=out),
    "max": lambda a, b, out: np.maximum(a, b, out=out),
}


def _ufunc(name: str) -> Callable[..., Any]:
    if name in _OWN:
        return _OWN[name]
    compute = function_named(name).compute
    assert isinstance(compute, np.ufunc)
    return compute


# --------------------------------------------------------------------------------------------------
# Reuse of large blocks of memory: touching a new page costs as much as computing its content.
#
# Memory freed by a trace goes back to the system, which hands out new pages one by one, zeroed. A
# batch produces one trace after another; here the memory of one waits for the next of about the
# same size.

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
