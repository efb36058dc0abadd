"""A plan run by loops that numba compiles: the engine of the `fast` extra.

Three ways over samples N, steps T and units n, each with the same loops over a cell's rows:

- `units`: few samples. One function runs all steps of a sample, its products too, units side by
  side in a register; nothing is called in between.
- `samples`: many samples, few units. Memory is `(T, n, N)`: a step is a product by BLAS, then one
  loop over all units of all samples.
- `blocks`: many samples and units. Memory is `(T, N, n)`: samples are cut into blocks whose
  pre-activations fit the cache; a step of a block is a product by BLAS, then one loop.

In all, the products with x are done beforehand for many steps at once. Functions are those of
`fast_math`, within 4 ULP, in the type asked for throughout. Values are computed where they are
used and written once: a trace gets views of that memory.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Literal

import numpy as np

from lstm_cli.equations import Array, function_named
from lstm_cli.errors import InputError
from lstm_cli.kernel import compiled_cache, memory
from lstm_cli.kernel.compiled_source import (
    Group,
    Program,
    group_arrays,
    joined_parts,
    parameters_read,
    program_of,
    source_of,
    units_arguments,
)
from lstm_cli.kernel.numpy_ import constant_values
from lstm_cli.kernel.plan import Operation, Plan, Product, Stage, stacked_matrix

Form = Literal["units", "samples", "blocks"]

# So many numbers a loop may read or write past a row's end: it runs over whole registers.
LANES = 8
# Sums of products come in whole turns of the compiler's widest loop.
SUMS = 32
# What the products with x of so many steps may take.
FED_BYTES = 2**21
# What the sums of a block of samples may take, to stay in the cache.
BLOCK_BYTES = 2**18
# Below so many samples, or so few multiplications a step, a call of BLAS does not pay.
FEW_SAMPLES = 8
# From here units fill a register by themselves.
MANY_UNITS = 24


def available() -> bool:
    """Return whether numba is installed."""
    return find_spec("numba") is not None


def is_ready(plan: Plan, dtype: np.dtype[Any]) -> bool:
    """Return whether a plan's code is compiled, here or on the disk, so that it starts quickly."""
    if not available():
        return False
    program = program_of(plan)
    return (plan, dtype.name) in _called or compiled_cache.is_cached(source_of(program, dtype.name))


def run_compiled(
    plan: Plan,
    arrays: Mapping[str, Array],
    x: Array,
    h: Array,
    c: Array,
    dtype: np.dtype[Any],
    form: Form | None = None,
) -> dict[str, Array]:
    """Run a cell forward over a sequence.

    Args:
        plan: the cell's plan.
        arrays: parameter -> array.
        x: `(N, T, I)`.
        h: `(N, P)`.
        c: `(N, H)`.
        dtype: float64 or float32; everything is computed in it.
        form: how to run; chosen by the sizes where it is not given.

    Returns:
        symbol -> `(N, T, n)` of that type, in the order of `plan.rows`: views of shared memory.

    Raises:
        InputError: numba is not installed.
    """
    if not available():
        raise InputError(
            "engine numba needs the numba package",
            where="--engine numba",
            hint="pip install 'lstm-cli[fast]'",
        )
    chosen = form or form_for(plan, len(x))
    narrow = {name: array.astype(dtype) for name, array in arrays.items()}
    with np.errstate(all="ignore"):
        x, h, c = (np.asarray(each).astype(dtype, copy=False) for each in (x, h, c))
        run = _FORMS[chosen](program_of(plan), narrow, x, h, c, dtype)
        run.run()
    return run.trace()


def form_for(plan: Plan, samples: int) -> Form:
    """Return how to run so many samples."""
    units = plan.values[plan.rows["c_prev"]].width
    if samples < FEW_SAMPLES:
        return "units"
    if units >= MANY_UNITS:
        return "blocks"
    return "samples" if samples * units >= 1024 else "units"


# What has been called, and so compiled, in this process.
_called: set[tuple[Plan, str]] = set()


@lru_cache(maxsize=32)
def _module(program: Program, dtype: str) -> ModuleType:
    source = source_of(program, dtype)
    if sys.stderr.isatty() and not compiled_cache.is_cached(source):
        print("compiling the cell for numba, once: some seconds", file=sys.stderr)
    return compiled_cache.load(source, dtype)


@dataclass
class _Run:
    """One run and its memory."""

    program: Program
    arrays: Mapping[str, Array]
    x: Array
    h: Array
    c: Array
    dtype: np.dtype[Any]
    memory: list[Array] = field(default_factory=list)
    scratch: dict[object, Array] = field(default_factory=dict)

    def run(self) -> None:
        """Fill the memory."""
        raise NotImplementedError

    def row(self, slot: int) -> Array:
        """Return what a slot holds as `(N, T, n)`, with a step more, the first, for h and c."""
        raise NotImplementedError

    @cached_property
    def plan(self) -> Plan:
        """What the program is made of."""
        return self.program.plan

    @cached_property
    def module(self) -> Any:
        """The compiled loops."""
        _called.add((self.plan, self.dtype.name))
        return _module(self.program, self.dtype.name)

    @cached_property
    def constants(self) -> dict[int, Array]:
        """Value -> `(n,)` of what needs parameters alone."""
        return constant_values(self.plan, self.arrays, self.dtype)

    @cached_property
    def matrices(self) -> list[Array]:
        """The matrix `(rows, columns)` of each product of a step."""
        return [stacked_matrix(each, self.arrays) for each in self.program.products]

    def width(self, value: int) -> int:
        """Return how many units a value has."""
        return self.plan.values[value].width

    def allocate(self, counts: Sequence[int]) -> None:
        """Take the memory of the slots, in one piece, which can be used again."""
        whole = memory.empty((sum(counts),), self.dtype)
        ends = np.cumsum(counts).tolist()
        for count, end in zip(counts, ends, strict=True):
            self.memory.append(whole[end - count : end])

    def reused(self, owner: object, count: int) -> Array:
        """Return memory as `allocated`, the same for every block: new pages cost time."""
        held = self.scratch.get(owner)
        if held is None or len(held) < count + LANES:
            held = self.scratch[owner] = self.allocated(count)
        return held

    def allocated(self, count: int) -> Array:
        """Return memory for so many numbers, and what a loop may read past them."""
        return np.empty(count + LANES, self.dtype)

    def steps_at_once(self, samples: int) -> int:
        """Return for how many steps the products with x fit their memory."""
        made: int = sum(p.width for p in _prelude_values(self.program))
        each = max(1, samples * made * self.dtype.itemsize)
        return max(1, min(int(self.x.shape[1]), FED_BYTES // each))

    def trace(self) -> dict[str, Array]:
        """Return symbol -> `(N, T, n)`."""
        lead = self.x.shape[:2]
        values = dict[str, Array]()
        slots = {value: slot for slot, value in reversed(list(enumerate(self.program.slots)))}
        inputs = {self.plan.rows[name]: name for name in ("x", "h_prev", "c_prev")}
        for symbol, value in self.plan.rows.items():
            if symbol == "x":
                array = self.x
            elif symbol in ("h_prev", "c_prev"):
                array = self.row(0 if symbol == "h_prev" else 1)[:, :-1]
            elif symbol in ("h", "c"):
                array = self.row(0 if symbol == "h" else 1)[:, 1:]
            elif self.plan.values[value].stage == Stage.ONCE:
                array = np.broadcast_to(self.constants[value], (*lead, self.width(value)))
            elif value in inputs:
                array = values[inputs[value]].view()
            else:
                array = self.row(slots[value])[:, slots[value] < 2 :]
            values[symbol] = array.view() if array is self.x else array
            values[symbol].flags.writeable = False  # symbols share memory
        return values


def _prelude_values(program: Program) -> Iterable[Any]:
    for entry in program.prelude:
        made = (entry.out,) if isinstance(entry, Operation) else [p.out for p in entry.pieces]
        for value in made:
            yield program.plan.values[value]


@dataclass(frozen=True)
class _Fed:
    """A value of the prelude: the flat memory from its first number on, and a step's stride."""

    array: Array
    stride: int


def _prelude(run: _Run, x: Array, *, transposed: bool) -> dict[int, _Fed]:
    """Return what x alone decides.

    Args:
        run: for the program and its parameters.
        x: `(…, I)`, or `(…, I, N)` where it is `transposed`.
        transposed: whether samples come last.
    """
    axis = -2 if transposed else -1
    known = {run.plan.rows["x"]: np.ascontiguousarray(x)}
    found: dict[int, _Fed] = {}
    for entry in run.program.prelude:
        if isinstance(entry, Operation):
            known[entry.out] = _operation(run, entry, known, transposed)
            continue
        matrix, vector = stacked_matrix(entry, run.arrays), known[entry.vector]
        flat = run.reused(entry, vector.size // vector.shape[axis] * len(matrix))
        shape = list(vector.shape)
        shape[axis] = len(matrix)
        product = flat[: math.prod(shape)].reshape(shape)
        if transposed:
            np.matmul(matrix, vector, out=product)
        else:
            np.matmul(vector.reshape(-1, vector.shape[-1]), matrix.T,
                      out=product.reshape(-1, len(matrix)))  # fmt: skip
        begin, tail = 0, (x.shape[-1] if transposed else 1)
        for piece in entry.pieces:
            width = run.width(piece.out)
            cut = slice(begin, begin + width)
            known[piece.out] = product[..., cut, :] if transposed else product[..., cut]
            found[piece.out] = _Fed(flat[begin * tail :], len(matrix) * tail)
            begin += width
    for value in run.program.fed:
        if value not in found:
            found[value] = _flattened(run, known[value], transposed)
    return found


def _operation(run: _Run, entry: Operation, known: Mapping[int, Array], transposed: bool) -> Array:
    def given(value: int) -> Array:
        if value in known:
            return known[value]
        array = run.constants[value]
        return array[:, None] if transposed and array.ndim else array

    parts = [given(value) for value in entry.arguments]
    if entry.function == "concat":
        lead = np.broadcast_shapes(*(part.shape[: -2 if transposed else -1] for part in parts))
        tail = (max(part.shape[-1] for part in parts),) if transposed else ()
        widths = [run.width(value) for value in entry.arguments]
        wide = [np.broadcast_to(p, (*lead, n, *tail)) for p, n in zip(parts, widths, strict=True)]
        return np.concatenate(wide, axis=-2 if transposed else -1)
    compute = function_named(entry.function).compute
    assert compute is not None
    return np.asarray(compute(*parts))


def _flattened(run: _Run, array: Array, transposed: bool) -> _Fed:
    flat = run.allocated(array.size)
    flat[: array.size] = array.ravel()
    tail = array.shape[-1] if transposed else 1
    return _Fed(flat, array.shape[-2 if transposed else -1] * tail)


class _Units(_Run):
    """Sample after sample, units side by side; rows are `(N, T · n)` with room behind each."""

    def run(self) -> None:
        """Fill the memory, block after block of steps."""
        samples, steps, _ = self.x.shape
        self.lengths = [self._length(k, value) for k, value in enumerate(self.program.slots)]
        self.allocate([samples * length for length in self.lengths])
        self.row(0)[:, 0], self.row(1)[:, 0] = self.h, self.c
        fixed = self._fixed()
        block = self.steps_at_once(samples)
        for begin in range(0, steps, block):
            end = min(begin + block, steps)
            given: dict[str, Any] = {"samples": samples, "begin": begin, "end": end}
            for value, fed in _prelude(self, self.x[:, begin:end], transposed=False).items():
                given |= {f"x{value}": fed.array, f"stride{value}": fed.stride}
            given |= fixed
            self.module.units(*(given[name] for name in units_arguments(self.program)))

    def _length(self, slot: int, value: int) -> int:
        return (int(self.x.shape[1]) + (slot < 2)) * self.width(value) + LANES

    def row(self, slot: int) -> Array:
        """Return what a slot holds as `(N, T, n)`."""
        rows = self.memory[slot].reshape(len(self.x), self.lengths[slot])[:, :-LANES]
        return rows.reshape(len(self.x), -1, self.width(self.program.slots[slot]))

    def _fixed(self) -> dict[str, Any]:
        """Return what `units` takes that is the same for all steps."""
        program = self.program
        given: dict[str, Any] = {
            f"n{k}": _padded(group.width) for k, group in enumerate(program.groups)
        }
        for value in parameters_read(program):
            given[f"p{value}"] = self._wide(self.constants[value])
        for k, (product, matrix) in enumerate(zip(program.products, self.matrices, strict=True)):
            given |= self._product(k, product, matrix)
        for value in program.crossing:
            given.setdefault(f"w{value}", self._wide(np.zeros(self.width(value))))
        for k, value in enumerate(program.states):
            given[f"state{k}"] = self._wide(np.zeros(self.width(value)))
        for slot, value in enumerate(program.slots):
            given[f"r{slot}"], given[f"width{slot}"] = self.memory[slot], self.width(value)
            given[f"length{slot}"] = self.lengths[slot]
        return given | {f"wide{value}": self.width(value) for value in joined_parts(program)}

    def _product(self, k: int, product: Product, matrix: Array) -> dict[str, Any]:
        """Return a product's matrix, transposed, its pieces each in whole registers."""
        starts, total = [], 0
        for piece in product.pieces:
            starts.append(total)
            total += _padded(self.width(piece.out))
        sums = np.zeros(_padded(total, SUMS), self.dtype)
        wide = np.zeros((matrix.shape[1], len(sums)), self.dtype)
        given: dict[str, Any] = {f"columns{k}": matrix.shape[1], f"sums{k}": sums}
        row = 0
        for piece, start in zip(product.pieces, starts, strict=True):
            width = self.width(piece.out)
            wide[:, start : start + width] = matrix[row : row + width].T
            given[f"w{piece.out}"] = sums[start : start + _padded(width)]
            row += width
        return given | {f"matrix{k}": wide.ravel()}

    def _wide(self, array: Array) -> Array:
        wide = np.zeros(_padded(len(array)), self.dtype)
        wide[: len(array)] = array
        return wide


def _padded(count: int, turn: int = LANES) -> int:
    return -(-count // turn) * turn


# Where an array's numbers begin, and how far apart steps and samples are.
Place = tuple[int, int, int]


class _Stepwise(_Run):
    """Step after step: products by BLAS, and one loop for everything between two of them.

    Rows are `(T, …)`, the rest of the axes in the order of the form.
    """

    transposed: bool

    def run(self) -> None:
        """Fill the memory, block after block of samples."""
        samples, steps, _ = self.x.shape
        self.allocate(
            [
                (steps + (slot < 2)) * samples * self.width(value)
                for slot, value in enumerate(self.program.slots)
            ]
        )
        self.row(0)[:, 0], self.row(1)[:, 0] = self.h, self.c
        size = self.block()
        self.buffers = self._buffers(size)
        for first in range(0, samples, size):
            self._run_block(slice(first, min(first + size, samples)))

    def block(self) -> int:
        """Return how many samples are run together."""
        raise NotImplementedError

    def _shape(self, samples: int, width: int) -> tuple[int, int]:
        return (width, samples) if self.transposed else (samples, width)

    def slab(self, slot: int) -> Array:
        """Return what a slot holds, `(T, N, n)` or `(T, n, N)`."""
        shape = self._shape(len(self.x), self.width(self.program.slots[slot]))
        return self.memory[slot].reshape(-1, *shape)

    def row(self, slot: int) -> Array:
        """Return what a slot holds as `(N, T, n)`."""
        return self.slab(slot).transpose((2, 0, 1) if self.transposed else (1, 0, 2))

    def _buffers(self, size: int) -> dict[int, tuple[Array, Array, int, int]]:
        """Return value -> its flat memory, a view `(block)`, where it begins, a sample's stride."""
        found: dict[int, tuple[Array, Array, int, int]] = {}
        self.sums = [np.empty(self._shape(size, len(m)), self.dtype) for m in self.matrices]
        for product, sums in zip(self.program.products, self.sums, strict=True):
            begin = 0
            for piece in product.pieces:
                width = self.width(piece.out)
                cut = slice(begin, begin + width)
                view = sums[cut] if self.transposed else sums[:, cut]
                first = begin * (size if self.transposed else 1)
                found[piece.out] = (sums.ravel(), view, first, sums.shape[1])
                begin += width
        for value in self.program.crossing:
            if value not in found:
                own = np.empty(self._shape(size, self.width(value)), self.dtype)
                found[value] = (own.ravel(), own, 0, own.shape[1])
        return found

    def _run_block(self, samples: slice) -> None:
        steps = self.x.shape[1]
        count = samples.stop - samples.start
        at_once = self.steps_at_once(count)
        for begin in range(0, steps, at_once):
            end = min(begin + at_once, steps)
            order = (1, 2, 0) if self.transposed else (0, 1, 2)
            fed = _prelude(
                self, self.x[samples, begin:end].transpose(order), transposed=self.transposed
            )
            calls = list(self._calls(samples, begin, end, fed))
            for t in range(begin, end):
                for call in calls:
                    call(t)

    def _calls(
        self, samples: slice, begin: int, end: int, fed: Mapping[int, _Fed]
    ) -> Iterable[Callable[[int], None]]:
        groups, products = 0, 0
        for phase in self.program.phases:
            match phase:
                case Group():
                    yield self._pass(groups, phase, samples, begin, end, fed)
                    groups += 1
                case Product():
                    yield self._multiply(products, phase, samples)
                    products += 1
                case Operation():
                    yield self._join(phase, samples, begin, fed)

    def _pass(
        self, k: int, group: Group, samples: slice, begin: int, end: int, fed: Mapping[int, _Fed]
    ) -> Callable[[int], None]:
        """Return the call of a group's loop for one step."""
        count = samples.stop - samples.start
        arrays, places = [], []
        for kind, each in group_arrays(group):
            array, place = (
                self._row_place(each, samples.start) if kind == "row"
                else self._place(each, samples, begin, end, fed)
            )  # fmt: skip
            arrays.append(array)
            places.append(place)
        # Unsigned, as the loop's own counts: a beginning may lie before an array, its places not.
        table = np.array(places, dtype=np.int64).T.copy().view(np.uint64)
        code = getattr(self.module, f"pass_{k}")
        rows, width = (1, group.width * count) if self.transposed else (count, group.width)

        def call(t: int) -> None:
            code(t, rows, width, table, *arrays)

        return call

    def _row_place(self, slot: int, first: int, after: int | None = None) -> tuple[Array, Place]:
        width = self.width(self.program.slots[slot])
        step, sample = len(self.x) * width, 0 if self.transposed else width
        later = (slot < 2) if after is None else after
        return self.memory[slot], (later * step + first * sample, step, sample)

    def _place(
        self, value: int, samples: slice, begin: int, end: int, fed: Mapping[int, _Fed]
    ) -> tuple[Array, Place]:
        count = samples.stop - samples.start
        if value in self.program.states:
            slot = self.program.states.index(value)
            return self._row_place(slot, samples.start, after=0)
        if value in fed:
            array, stride = fed[value].array, fed[value].stride
            if self.transposed:
                return array, (-begin * stride, stride, 0)
            return array, (-begin * stride, stride, (end - begin) * stride)
        if value in self.buffers:
            sums, _, first, stride = self.buffers[value]
            return sums, (first, 0, 0 if self.transposed else stride)
        constant = self.constants[value]
        return (np.repeat(constant, count) if self.transposed else constant), (0, 0, 0)

    def _multiply(self, k: int, product: Product, samples: slice) -> Callable[[int], None]:
        count = samples.stop - samples.start
        matrix, sums = self.matrices[k], self.sums[k]
        out = sums if self.transposed else sums[:count]
        vector = self._view(product.vector, samples)

        def call(t: int) -> None:
            if self.transposed:
                np.matmul(matrix, vector(t), out=out)
            else:
                np.matmul(vector(t), matrix.T, out=out)

        return call

    def _view(self, value: int, samples: slice) -> Callable[[int], Array]:
        """Return where a state or a value between phases stands at a step."""
        count = samples.stop - samples.start
        if value in self.program.states:
            slab = self.slab(self.program.states.index(value))
            block = slab if self.transposed else slab[:, samples]
            return lambda t: block[t]
        view = self.buffers[value][1]
        here = view if self.transposed else view[:count]
        return lambda t: here

    def _join(
        self, join: Operation, samples: slice, begin: int, fed: Mapping[int, _Fed]
    ) -> Callable[[int], None]:
        count = samples.stop - samples.start
        out = self._view(join.out, samples)(0)
        parts = [self._part(value, samples, begin, fed) for value in join.arguments]
        cuts, start = [], 0
        for value in join.arguments:
            cut = slice(start, start + self.width(value))
            cuts.append(out[cut] if self.transposed else out[:count, cut])
            start = cut.stop

        def call(t: int) -> None:
            for cut, part in zip(cuts, parts, strict=True):
                cut[...] = part(t)

        return call

    def _part(
        self, value: int, samples: slice, begin: int, fed: Mapping[int, _Fed]
    ) -> Callable[[int], Array]:
        """Return a part of a concatenation at a step; it may be of any stage."""
        if value in fed:
            return self._fed_view(fed[value], self.width(value), samples, begin)
        if self.plan.values[value].stage == Stage.ONCE:
            constant = self.constants[value]
            return lambda t: constant[:, None] if self.transposed else constant
        return self._view(value, samples)

    def _fed_view(
        self, fed: _Fed, width: int, samples: slice, begin: int
    ) -> Callable[[int], Array]:
        count = samples.stop - samples.start
        if self.transposed:
            return lambda t: fed.array[(t - begin) * fed.stride :][: width * count].reshape(
                width, count
            )
        span = min(self.steps_at_once(count), self.x.shape[1] - begin)
        item = self.dtype.itemsize
        return lambda t: np.lib.stride_tricks.as_strided(
            fed.array[(t - begin) * fed.stride :],
            (count, width), (span * fed.stride * item, item),
        )  # fmt: skip


class _Samples(_Stepwise):
    """All samples at once, side by side: `(T, n, N)`."""

    transposed = True

    def block(self) -> int:
        """Return how many samples are run together: all."""
        return len(self.x)


class _Blocks(_Stepwise):
    """Blocks of samples, units side by side: `(T, N, n)`."""

    transposed = False

    def block(self) -> int:
        """Return how many samples are run together: as many as fit the cache."""
        rows = max((len(matrix) for matrix in self.matrices), default=1)
        return max(1, min(len(self.x), BLOCK_BYTES // (rows * self.dtype.itemsize)))


_FORMS: Mapping[Form, type[_Run]] = {"units": _Units, "samples": _Samples, "blocks": _Blocks}
