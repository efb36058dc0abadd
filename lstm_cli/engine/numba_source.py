"""Source text of a program for numba to compile: `units` and `samples`, which run all its steps.

Only indices of the plan become identifiers (`v3`, `out1`), and only its numbers, written by
`float.hex`, become literals: no text from a user's table reaches the source.

Both functions take integers (`sizes`, in the order of `Form.sizes`) and arrays (in the order of
`Form.arrays`), and run samples `first` to `last` (exclusive), one block at a time, step by step.
Names of arrays: `p` is a parameter, `x` a value given for all steps, `matrix` and `out` belong to a
product, `w` is kept from one phase to another, `rows` is kept by the trace. `base_row` is the
offset of a slot's rows and `step_row` the stride between steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Literal

from lstm_cli.engine.plan import Operation, Product, Stage
from lstm_cli.engine.products import MULTIPLY
from lstm_cli.engine.program import Phase, Program, UnitLoop, reads

# An array and the offset of a value in it.
Place = tuple[str, str]
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


class Form(ABC):
    """A way to run a program over samples and steps."""

    def __init__(self, program: Program) -> None:
        self.program = program
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

    @cached_property
    @abstractmethod
    def sizes(self) -> list[str]:
        """Names of the integer arguments, in order."""

    @abstractmethod
    def text(self) -> Iterator[str]:
        """Yield the function's lines."""

    def _common_sizes(self) -> list[str]:
        """Return the names that both forms have."""
        names = [f"n{k}" for k in range(len(self.program.groups))]
        for k, product in enumerate(self.products):
            names += [f"inner{k}", *(f"begin{piece.out}" for piece in product.pieces)]
        for slot in range(len(self.program.slots)):
            names += [f"base_row{slot}", f"step_row{slot}"]
        return [*names, *(f"wide{value}" for value in self.joined)]

    def _heading(self, name: str) -> Iterator[str]:
        yield "@outer"
        yield f"def {name}(sizes, {', '.join(self.arrays)}):"
        for k, each in enumerate(self.sizes):
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
                        yield self._loop(groups)
                    yield f"    {self._group(phase, groups)}"
                    groups += 1
                case Product(vector):
                    yield self._step_product(products, vector)
                    products += 1
                case Operation():
                    yield from self._concatenation(phase)
            before = phase

    @abstractmethod
    def _loop(self, number: int) -> str:
        """Return the header of the loop that contains group `number` and possibly others."""

    @abstractmethod
    def _group(self, group: UnitLoop, number: int) -> str:
        """Return the call of group `number`."""

    @abstractmethod
    def _step_product(self, k: int, vector: int) -> str:
        """Return the call of a product that is computed at each step."""

    @abstractmethod
    def _concatenation(self, operation: Operation) -> Iterator[str]:
        """Yield the lines of a concatenation."""

    def _place(self, value: int, index: str) -> Place:
        """Address of a value at step t, for sample or unit `index`."""
        match self.sources[value]:
            case "state", slot:
                return self._row(slot, index, after=False)
            case "row", slot:
                return self._row(slot, index, after=slot < 2)
        return self._place_beside(value, index)

    @abstractmethod
    def _place_beside(self, value: int, index: str) -> Place:
        """Address of a value that is not in a row of the trace."""

    @abstractmethod
    def _row(self, slot: int, index: str, *, after: bool) -> Place:
        """Address of a slot's row; new states are one step later, after the given ones."""

    def _group_places(self, group: UnitLoop, index: str) -> str:
        """Return the arrays and offsets that a group's function takes."""
        places = (
            self._row(each, index, after=each < 2) if kind == "row" else self._place(each, index)
            for kind, each in group_arrays(group)
        )
        return ", ".join(f"{array}, {place}" for array, place in places)


class UnitsForm(Form):
    """Vectorized over units, one sample after another.

    Either a block is one sample and early products are computed for a chunk of steps, or a chunk
    is one step and they are computed for all samples of a block: `t - t0` or the sample is 0.
    """

    @cached_property
    def sizes(self) -> list[str]:
        """Names of the integer arguments, in order.

        `n` is a group's width; `inner`, `panels` and `line` are a product's columns, panels, and
        the row length of its result; `apart` is the stride between the vectors of an early product;
        `begin` is the offset of a piece in the result of its product; `step` and `sample` are
        strides; `wide` is an exact and `length` a rounded width.
        """
        names = ["first", "last", "steps", "block", "chunk", *self._common_sizes()]
        names += [f"{name}{k}" for k in range(len(self.products)) for name in ("panels", "line")]
        names += [f"apart{k}" for k in range(len(self.program.early))]
        names += [f"{name}{v}" for v in self.program.given for name in ("step", "sample")]
        names += [f"sample_row{slot}" for slot in range(len(self.program.slots))]
        return [*names, *(f"length{value}" for value in self.kept)]

    def text(self) -> Iterator[str]:
        """Yield the function's lines."""
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

    def _loop(self, number: int) -> str:
        return "for s in range(count):"

    def _group(self, group: UnitLoop, number: int) -> str:
        return f"along_{number}(n{number}, {self._group_places(group, 's')})"

    def _step_product(self, k: int, vector: int) -> str:
        array, place = self._place(vector, "U0")
        return self._product(k, "count", f"{array}, {place}, {self._apart(vector)}")

    def _concatenation(self, operation: Operation) -> Iterator[str]:
        yield "for s in range(count):"
        begin = f"s * length{operation.out}"
        for part in operation.arguments:
            array, place = self._place(part, "s")
            yield f"    copy(wide{part}, {array}, {place}, w{operation.out}, {begin})"
            begin += f" + wide{part}"

    def _place_beside(self, value: int, index: str) -> Place:
        match self.sources[value]:
            case "given", _:
                return f"x{value}", f"t * step{value} + (s0 + {index}) * sample{value}"
            case "kept", _:
                return f"w{value}", f"{index} * length{value}"
            case "early", k:
                return f"out{k}", f"begin{value} + (t - t0 + {index}) * line{k}"
            case "product", k:
                return f"out{k}", f"begin{value} + {index} * line{k}"
        return f"p{value}", "U0"

    def _apart(self, value: int) -> str:
        """Stride between the samples of a product's vector."""
        kind, number = self.sources[value]
        names = {
            "state": "sample_row", "row": "sample_row", "given": "sample", "kept": "length",
        }  # fmt: skip
        return f"{names.get(kind, 'line')}{number}"

    def _row(self, slot: int, index: str, *, after: bool) -> Place:
        step = f"(t{' + U1' if after else ''}) * step_row{slot}"
        return "rows", f"base_row{slot} + {step} + (s0 + {index}) * sample_row{slot}"


class SamplesForm(Form):
    """Vectorized over samples, one unit after another; arrays over samples have rows of `lane`."""

    @cached_property
    def sizes(self) -> list[str]:
        """Names of the integer arguments, in order.

        `lane` is N rounded up to whole panels; `n` is a group's units; `units` and `inner` are a
        product's rows and columns; `begin` is a piece's first row in the result of its product;
        `step` is the stride between steps; `wide` is a width.
        """
        names = ["first", "last", "steps", "block", "lane", *self._common_sizes()]
        names += [f"units{k}" for k in range(len(self.products))]
        return [*names, *(f"step{value}" for value in self.program.given)]

    def text(self) -> Iterator[str]:
        """Yield the function's lines."""
        yield from self._heading("samples")
        yield "        panels = count // U(WIDTH)"
        yield "        for t in range(steps):"
        for k, product in enumerate(self.program.early):
            yield f"            {self._step_product(k, product.vector)}"
        for line in self._phases():
            yield f"            {line}"
        yield "        s0 += count"

    def _step_product(self, k: int, vector: int) -> str:
        array, place = self._place(vector, "U0")
        apart = "lane" if self.sources[vector][0] in ("state", "row", "given") else "block"
        matrix = f"units{k}, inner{k}, panels, matrix{k}, U0, inner{k}"
        return f"multiply({matrix}, {array}, {place}, {apart}, U(WIDTH), out{k}, U0, block)"

    def _loop(self, number: int) -> str:
        return f"for q in range(n{number}):"

    def _group(self, group: UnitLoop, number: int) -> str:
        return f"across_{number}(count, {self._group_places(group, 'q')})"

    def _concatenation(self, operation: Operation) -> Iterator[str]:
        begin = "q"
        for part in operation.arguments:
            array, place = self._place(part, "q")
            copied = "spread" if self.sources[part][0] == "parameter" else "copy"
            yield f"for q in range(wide{part}):"
            yield f"    {copied}(count, {array}, {place}, w{operation.out}, ({begin}) * block)"
            begin += f" + wide{part}"

    def _place_beside(self, value: int, index: str) -> Place:
        match self.sources[value]:
            case "given", _:
                return f"x{value}", f"t * step{value} + {index} * lane + s0"
            case "kept", _:
                return f"w{value}", f"{index} * block"
            case (("early" | "product"), k):
                return f"out{k}", f"(begin{value} + {index}) * block"
        return f"p{value}", index

    def _row(self, slot: int, index: str, *, after: bool) -> Place:
        step = f"(t{' + U1' if after else ''}) * step_row{slot}"
        return "rows", f"base_row{slot} + {step} + {index} * lane + s0"


@lru_cache(maxsize=64)
def forms_of(program: Program) -> tuple[UnitsForm, SamplesForm]:
    """Return the forms that are vectorized over units and over samples."""
    return UnitsForm(program), SamplesForm(program)


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
    for form in forms_of(program):
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

{MULTIPLY}
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
