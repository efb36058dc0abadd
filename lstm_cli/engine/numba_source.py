"""Source text and memory layout of a program for numba: `units` and `samples` run all its steps.

Only indices of the plan become identifiers (`v3`, `out1`), and only its numbers, written by
`float.hex`, become literals: no text from a user's table reaches the source.

Both functions take integers (`sizes`, in the order of `Layout.sizes`) and arrays (in the order of
`Form.arrays`), and run samples `first` to `last` (exclusive), one block at a time, step by step.
Names of arrays: `p` is a parameter, `x` a value given for all steps, `matrix` and `out` belong to a
product, `w` is kept from one phase to another, `rows` is kept by the trace. `base_row` is the
offset of a slot's rows and `step_row` the stride between steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.engine import products
from lstm_cli.engine.plan import Operation, Phase, Product, Program, Stage, UnitLoop, reads
from lstm_cli.engine.products import rounded_up

# An array, the offset of a value in it, and the stride between the samples of a product's vector.
Place = tuple[str, str, str]
# What provides a value, and its index there (slot or product), or the value itself.
Source = tuple[Literal["state", "given", "kept", "row", "early", "product", "parameter"], int]


def group_arrays(group: UnitLoop) -> list[tuple[str, int]]:
    """Array arguments of a loop's function: ("load" | "store", value) and ("row", slot)."""
    given = [("load", value) for value in group.loads]
    given += [("store", value) for value in group.stores]
    return given + [("row", slot) for _, slot in group.rows]


@lru_cache(maxsize=64)
def parameters_read(program: Program) -> tuple[int, ...]:
    """Return the constant values that the phases read."""
    read = {value for phase in program.phases for value in reads(phase)}
    values = program.plan.values
    known = (v for v in read if values[v].stage == Stage.ONCE and values[v].number is None)
    return tuple(sorted(known))


@dataclass(frozen=True)
class Layout:
    """Memory layout of a run of N samples and T steps.

    Attributes:
        sizes: the form's integer arguments by name, beginning with `first` and `last` (0 and N, in
            whole lanes).
        total: count of numbers in the rows of a trace.
        views: for each slot its offset in bytes, its n, and the strides of `(N, T, n)`.
        buffers: count of numbers in each `out` and `w`, by name.
    """

    sizes: Mapping[str, int]
    total: int
    views: Sequence[tuple[int, int, tuple[int, int, int]]]
    buffers: Mapping[str, int]

    @cached_property
    def numbers(self) -> Array:
        """The sizes as the compiled code takes them."""
        return np.array(list(self.sizes.values()), np.uint64)


class Form(ABC):
    """A way to run a program over samples and steps.

    Attributes:
        places: by what provides a value, its place at step `t`, for sample or unit `each`; `k` is
            its index there.
        each: the variable of the loop that contains groups.
        loop, call: the header of that loop, and the call of group `k`.
    """

    places: Mapping[str, Place]
    each: str
    loop: str
    call: str

    def __init__(self, program: Program, dtype: str) -> None:
        self.program, self.dtype = program, np.dtype(dtype)
        self.products = (*program.early, *program.products)
        pieces = {piece.out for product in self.products for piece in product.pieces}
        # Values kept from one phase to another that no product holds.
        self.kept = tuple(value for value in program.crossing if value not in pieces)
        self.sources = self._sources()
        joins = (phase for phase in program.phases if isinstance(phase, Operation))
        self.joined = tuple(sorted({part for join in joins for part in join.arguments}))

    def _sources(self) -> dict[int, Source]:
        """Map values to their sources."""
        found: dict[int, Source] = {}
        for value in parameters_read(self.program):
            found[value] = "parameter", value
        for k, product in enumerate(self.products):
            for piece in product.pieces:
                found[piece.out] = "early" if k < len(self.program.early) else "product", k
        for value in self.kept:
            found[value] = "kept", value
        for value in self.program.given:
            found[value] = "given", value
        for slot, value in enumerate(self.program.states):
            found[value] = "state", slot
        for slot, value in enumerate(self.program.slots):
            found.setdefault(value, ("row", slot))
        return found

    @cached_property
    def arrays(self) -> list[str]:
        """Names of the arrays, in order."""
        names = [f"p{value}" for value in parameters_read(self.program)]
        names += [f"x{value}" for value in self.program.given]
        for k in range(len(self.products)):
            names += [f"matrix{k}", f"out{k}"]
        return [*names, *(f"w{value}" for value in self.kept), "rows"]

    def width(self, value: int) -> int:
        """Number of units of a value."""
        return self.program.plan.values[value].width

    @abstractmethod
    def text(self) -> Iterator[str]:
        """Yield the function's lines."""

    @abstractmethod
    def layout(self, samples: int, steps: int) -> Layout:
        """Lay out all arrays."""

    @abstractmethod
    def matrix(self, stacked: Array) -> Array:
        """Return a product's matrix, flattened in the order in which it is read."""

    @abstractmethod
    def given(self, values: Mapping[int, Array]) -> dict[str, Array]:
        """Return the `x` arrays, flattened, of values `(N, T, n)`."""

    def _common_sizes(self) -> dict[str, int]:
        """Return the integer arguments that both forms have."""
        sizes = {f"n{k}": group.width for k, group in enumerate(self.program.groups)}
        for k, product in enumerate(self.products):
            begin, sizes[f"inner{k}"] = 0, self.width(product.vector)
            for piece in product.pieces:
                sizes[f"begin{piece.out}"] = begin
                begin += self.width(piece.out)
        return sizes | {f"wide{value}": self.width(value) for value in self.joined}

    def _lines(self) -> list[int]:
        """Return the number of rows of each product."""
        return [sum(self.width(each.out) for each in product.pieces) for product in self.products]

    def _heading(self, name: str) -> Iterator[str]:
        yield "@outer"
        yield f"def {name}(sizes, {', '.join(self.arrays)}):"
        for k, each in enumerate(self.layout(1, 1).sizes):
            yield f"    {each} = sizes[{k}]"
        yield "    s0 = first"
        yield "    while s0 < last:"
        yield "        count = min(block, last - s0)"

    def _phases(self) -> Iterator[str]:
        """Yield the lines of a step.

        Consecutive groups of the same width share a loop: what one writes for a sample, or a unit,
        is still in the L1 cache when the next reads it.
        """
        groups, products = 0, len(self.program.early)
        before: Phase | None = None
        for phase in self.program.phases:
            match phase:
                case UnitLoop(width):
                    if not isinstance(before, UnitLoop) or before.width != width:
                        yield self.loop.format(k=groups)
                    yield f"    {self.call.format(k=groups, places=self._group_places(phase))}"
                    groups += 1
                case Product(vector):
                    yield self._step_product(products, vector)
                    products += 1
                case Operation():
                    yield from self._concatenation(phase)
            before = phase

    @abstractmethod
    def _step_product(self, k: int, vector: int) -> str:
        """Return the call of a product that is computed at each step."""

    @abstractmethod
    def _concatenation(self, operation: Operation) -> Iterator[str]:
        """Yield the lines of a concatenation."""

    def _place(self, value: int, each: str) -> Place:
        """Place of a value at step t, for sample or unit `each`."""
        kind, k = self.sources[value]
        if kind in ("state", "row"):
            return self._row(k, each, after=kind == "row" and k < 2)
        return self._written(kind, k, each, value=value)

    def _row(self, slot: int, each: str, *, after: bool) -> Place:
        """Place of a slot's row; new states are one step later, after the given ones."""
        return self._written("row", slot, each, t="t + U1" if after else "t")

    def _written(self, kind: str, k: int, each: str, **named: object) -> Place:
        array, offset, apart = (text.format(k=k, each=each, **named) for text in self.places[kind])
        return array, offset, apart

    def _group_places(self, group: UnitLoop) -> str:
        """Return the arrays and offsets that a group's function takes."""
        places = (
            self._row(k, self.each, after=k < 2) if kind == "row" else self._place(k, self.each)
            for kind, k in group_arrays(group)
        )
        return ", ".join(f"{array}, {offset}" for array, offset, _ in places)


# A loop runs over whole registers and may access this many numbers past the end of a row.
LANES = 8
# Size limits of the early products for the steps of one sample, and of all products for a block of
# samples, so that they stay in the cache.
CHUNK_BYTES, UNITS_BLOCK_BYTES = 2**17, 2**18
# Smaller blocks of samples do not fill the tiles of a product.
LEAST_BLOCK = 6


class _Units(Form):
    """Vectorized over units, one sample after another.

    Either a block is one sample and early products are computed for a chunk of steps, or a chunk
    is one step and they are computed for all samples of a block: `t - t0` or the sample is 0. The
    rows of a trace are `(T, N, n)`, with n rounded up to whole registers; with one sample they are
    `(T, n)` with padding at the end, as what a loop writes past a row is overwritten by the next.
    """

    places: Mapping[str, Place] = {
        "row": (
            "rows",
            "base_row{k} + ({t}) * step_row{k} + (s0 + {each}) * sample_row{k}",
            "sample_row{k}",
        ),
        "given": ("x{k}", "t * step{k} + (s0 + {each}) * sample{k}", "sample{k}"),
        "kept": ("w{k}", "{each} * length{k}", "length{k}"),
        "early": ("out{k}", "begin{value} + (t - t0 + {each}) * line{k}", "line{k}"),
        "product": ("out{k}", "begin{value} + {each} * line{k}", "line{k}"),
        "parameter": ("p{k}", "U0", "U0"),
    }
    each, loop, call = "s", "for s in range(count):", "along_{k}(n{k}, {places})"

    def layout(self, samples: int, steps: int) -> Layout:
        """Lay out all arrays.

        Of the sizes, `n` is a group's width; `inner`, `panels` and `line` are a product's columns,
        panels, and the row length of its result; `apart` is the stride between the vectors of an
        early product; `begin` is the offset of a piece in the result of its product; `step` and
        `sample` are strides; `wide` is an exact and `length` a rounded width.
        """
        wide, size = products.width(self.dtype.name), self.dtype.itemsize
        lines = [rounded_up(line, wide) for line in self._lines()]
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
        sizes |= {f"length{value}": rounded_up(self.width(value), LANES) for value in self.kept}
        views, total = [], 0
        for slot, value in enumerate(self.program.slots):
            width = self.width(value)
            sample = width if samples == 1 else rounded_up(width, LANES)
            step = samples * sample
            row = f"row{slot}"
            sizes |= {f"base_{row}": total, f"step_{row}": step, f"sample_{row}": sample}
            views.append((total * size, width, (sample * size, step * size, size)))
            total += rounded_up((steps + (slot < 2)) * step + LANES, LANES)
        return Layout(sizes, total, views, self._buffers(sizes, lines))

    def _buffers(self, sizes: Mapping[str, int], lines: Sequence[int]) -> dict[str, int]:
        block, early = sizes["block"], len(self.program.early)
        found = {
            f"out{k}": line * (block * sizes["chunk"] if k < early else block) + LANES
            for k, line in enumerate(lines)
        }
        return found | {f"w{v}": sizes[f"length{v}"] * block + LANES for v in self.kept}

    def _cut(self, samples: int, steps: int, lines: Sequence[int]) -> tuple[int, int]:
        """Number of samples in a block, and of steps per chunk of early products."""
        if samples == 1:
            early = sum(lines[: len(self.program.early)]) * self.dtype.itemsize
            return 1, max(1, min(steps, CHUNK_BYTES // max(1, early)))
        fitting = UNITS_BLOCK_BYTES // max(1, sum(lines) * self.dtype.itemsize)
        count = -(-samples // max(LEAST_BLOCK, fitting))
        return -(-samples // count), 1

    def matrix(self, stacked: Array) -> Array:
        return products.packed(stacked, self.dtype.name)

    def given(self, values: Mapping[int, Array]) -> dict[str, Array]:
        found = {}
        loaded = {value for group in self.program.groups for value in group.loads}
        for value in self.program.given:
            flat = np.ascontiguousarray(values[value], self.dtype).reshape(-1)
            if value in loaded:
                flat = np.concatenate([flat, np.zeros(LANES, self.dtype)])
            found[f"x{value}"] = flat
        return found

    def text(self) -> Iterator[str]:
        yield from self._heading("units")
        yield "        t0 = U0"
        yield "        while t0 < steps:"
        yield "            end = min(t0 + chunk, steps)"
        for k, product in enumerate(self.program.early):
            value = product.vector
            vector = f"x{value}, s0 * sample{value} + t0 * step{value}, apart{k}"
            yield f"            {self._product(k, 'count * (end - t0)', vector)}"
        yield "            for t in range(t0, end):"
        for line in self._phases():
            yield f"                {line}"
        yield "            t0 = end"
        yield "        s0 += count"

    def _product(self, k: int, rows: str, vector: str) -> str:
        matrix = f"matrix{k}, U0, U(WIDTH), inner{k} * U(WIDTH)"
        return f"multiply({rows}, inner{k}, panels{k}, {vector}, {matrix}, out{k}, U0, line{k})"

    def _step_product(self, k: int, vector: int) -> str:
        return self._product(k, "count", ", ".join(self._place(vector, "U0")))

    def _concatenation(self, operation: Operation) -> Iterator[str]:
        yield "for s in range(count):"
        begin = f"s * length{operation.out}"
        for part in operation.arguments:
            array, place, _ = self._place(part, "s")
            yield f"    copy(wide{part}, {array}, {place}, w{operation.out}, {begin})"
            begin += f" + wide{part}"


# Size limit of the products of a block of samples, so that they stay in the cache.
SAMPLES_BLOCK_BYTES = 2**16


class _Samples(Form):
    """Vectorized over samples, one unit after another: for many samples and few units.

    Arrays over samples have rows of `lane`, which is N rounded up to whole panels of a product;
    the rows of a trace are `(T, n, N)`.
    """

    places: Mapping[str, Place] = {
        "row": ("rows", "base_row{k} + ({t}) * step_row{k} + {each} * lane + s0", "lane"),
        "given": ("x{k}", "t * step{k} + {each} * lane + s0", "lane"),
        "kept": ("w{k}", "{each} * block", "block"),
        "early": ("out{k}", "(begin{value} + {each}) * block", "block"),
        "product": ("out{k}", "(begin{value} + {each}) * block", "block"),
        "parameter": ("p{k}", "{each}", "block"),
    }
    each, loop, call = "q", "for q in range(n{k}):", "across_{k}(count, {places})"

    def layout(self, samples: int, steps: int) -> Layout:
        """Lay out all arrays.

        Of the sizes, `lane` is N rounded up to whole panels; `n` is a group's units; `units` and
        `inner` are a product's rows and columns; `begin` is a piece's first row in the result of
        its product; `step` is the stride between steps; `wide` is a width.
        """
        wide, size = products.width(self.dtype.name), self.dtype.itemsize
        lane, lines = rounded_up(samples, wide), self._lines()
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
        buffers |= {f"w{value}": self.width(value) * block for value in self.kept}
        return Layout(sizes, total, views, buffers)

    def matrix(self, stacked: Array) -> Array:
        return stacked.reshape(-1)

    def given(self, values: Mapping[int, Array]) -> dict[str, Array]:
        found = {}
        for value in self.program.given:
            over_samples = values[value].transpose(1, 2, 0)
            *rows, samples = over_samples.shape
            lane = rounded_up(samples, products.width(self.dtype.name))
            wide = np.zeros((*rows, lane), self.dtype)
            wide[..., :samples] = over_samples
            found[f"x{value}"] = wide.reshape(-1)
        return found

    def text(self) -> Iterator[str]:
        yield from self._heading("samples")
        yield "        panels = count // U(WIDTH)"
        yield "        for t in range(steps):"
        for k, product in enumerate(self.program.early):
            yield f"            {self._step_product(k, product.vector)}"
        for line in self._phases():
            yield f"            {line}"
        yield "        s0 += count"

    def _step_product(self, k: int, vector: int) -> str:
        array, place, apart = self._place(vector, "U0")
        matrix = f"units{k}, inner{k}, panels, matrix{k}, U0, inner{k}"
        return f"multiply({matrix}, {array}, {place}, {apart}, U(WIDTH), out{k}, U0, block)"

    def _concatenation(self, operation: Operation) -> Iterator[str]:
        begin = "q"
        for part in operation.arguments:
            array, place, _ = self._place(part, "q")
            copied = "spread" if self.sources[part][0] == "parameter" else "copy"
            yield f"for q in range(wide{part}):"
            yield f"    {copied}(count, {array}, {place}, w{operation.out}, ({begin}) * block)"
            begin += f" + wide{part}"


@lru_cache(maxsize=64)
def forms_of(program: Program, dtype: str) -> Mapping[str, Form]:
    """Return the forms that are vectorized over units and over samples, by their names."""
    return {"units": _Units(program, dtype), "samples": _Samples(program, dtype)}


# --------------------------------------------------------------------------------------------------
# The whole module: the loops over units, and the functions.

_OPERATORS = ("+", "-", "*", "/")


@lru_cache(maxsize=64)
def source_of(program: Program, dtype: str) -> str:
    """Return the text of the module: `units`, `samples` and the loops they consist of."""
    lines = [f"# {dtype}; made from a table of equations", *_HEAD.splitlines()]
    for place, value in enumerate(program.plan.values):
        if value.number is not None:
            lines.append(f'v{place} = number(float.fromhex("{value.number.hex()}"))')
    used = {each.function for group in program.groups for each in group.operations}
    functions = sorted(used - {*_OPERATORS, "neg"})
    lines += [f"f_{name} = functions[{name!r}]" for name in functions]
    for place, group in enumerate(program.groups):
        lines += ["", *_group(f"along_{place}", group, program, across=False)]
        lines += ["", *_group(f"across_{place}", group, program, across=True)]
    for form in forms_of(program, dtype).values():
        lines += ["", *form.text()]
    return "\n".join(lines) + "\n"


# `inner` compiles functions that are inlined and whose arrays do not overlap, `outer` those that
# Python or another loop calls. Offsets are unsigned, since numba checks all others for negative
# indices.
_HEAD = f"""
zero = number(0)
U = unsigned
U0, U1, U2, U3, U4, U5, U6 = U(0), U(1), U(2), U(3), U(4), U(5), U(6)


@inner
def copy(n, source, begin, out, start):
    for j in range(n):
        out[start + j] = source[begin + j]


@inner
def spread(n, source, begin, out, start):
    for j in range(n):
        out[start + j] = source[begin]

{products.MULTIPLY}
"""


def _group(name: str, group: UnitLoop, program: Program, *, across: bool) -> Iterator[str]:
    """Yield a group's loop over units, or `across` samples, where parameters are scalars."""
    arrays = group_arrays(group)
    alike = parameters_read(program) if across else ()
    yield "@inner"
    yield f"def {name}(n, {', '.join(f'a{k}, b{k}' for k in range(len(arrays)))}):"
    for k, value in enumerate(group.loads):
        if value in alike:
            yield f"    v{value} = a{k}[b{k}]"
    yield "    for j in range(n):"
    for k, value in enumerate(group.loads):
        if value not in alike:
            yield f"        v{value} = a{k}[b{k} + j]"
    for operation in group.operations:
        yield f"        v{operation.out} = {_call(operation)}"
    for k, (kind, each) in enumerate(arrays):
        if kind != "load":
            value = each if kind == "store" else program.slots[each]
            yield f"        a{k}[b{k} + j] = v{value}"


def _call(operation: Operation) -> str:
    given = [f"v{each}" for each in operation.arguments]
    if operation.function in _OPERATORS:
        return f" {operation.function} ".join(given)
    return f"-{given[0]}" if operation.function == "neg" else (
        f"f_{operation.function}({', '.join(given)})"
    )  # fmt: skip
