"""A program as the text of a few loops, for numba to compile.

Only indices of the plan become identifiers (`v3`, `out1`), and only its numbers, written by
`float.hex`, become literals: no text of a user's table reaches the source. The same groups, a loop
over units each, serve two ways of running over samples and steps; see `compiled`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from lstm_cli.kernel.plan import Operation, Product, Stage
from lstm_cli.kernel.products import MULTIPLY
from lstm_cli.kernel.program import Group, Program, reads

_OPERATORS = ("+", "-", "*", "/")


@lru_cache(maxsize=64)
def source_of(program: Program, dtype: str) -> str:
    """Return the text of the module: `units`, which does everything, and a `pass_k` for a group."""
    lines = [f"# {dtype}; made from a table of equations", *_HEAD.splitlines()]
    for place, value in enumerate(program.plan.values):
        if value.number is not None:
            lines.append(f'v{place} = number(float.fromhex("{value.number.hex()}"))')
    used = {each.function for group in program.groups for each in group.operations}
    functions = sorted(used - {*_OPERATORS, "neg"})
    lines += [f"f_{name} = functions[{name!r}]" for name in functions]
    for place, group in enumerate(program.groups):
        lines += ["", *_group(place, group, program)]
        lines += ["", *_pass(place, group)]
    lines += ["", *_units(program)]
    return "\n".join(lines) + "\n"


# `inner` compiles what is put into its caller whole and whose arrays do not overlap, `outer` what
# Python or another loop calls. Places are unsigned, as numba looks for negative indices in all
# others.
_HEAD = f"""
zero = number(0)
U = unsigned
U0, U1, U2, U3, U4, U5, U6 = U(0), U(1), U(2), U(3), U(4), U(5), U(6)


@inner
def copy(n, source, begin, out, start):
    for j in range(n):
        out[start + j] = source[begin + j]

{MULTIPLY}
"""


def group_arrays(group: Group) -> list[tuple[str, int]]:
    """Return what a group's function takes: ("load" | "store", value) and ("row", slot)."""
    given = [("load", value) for value in group.loads]
    given += [("store", value) for value in group.stores]
    return given + [("row", slot) for _, slot in group.rows]


def _group(place: int, group: Group, program: Program) -> Iterator[str]:
    arrays = group_arrays(group)
    names = ", ".join(f"a{k}, b{k}" for k in range(len(arrays)))
    yield "@inner"
    yield f"def group_{place}(n, {names}):"
    yield "    for j in range(n):"
    for k, value in enumerate(group.loads):
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


def _pass(place: int, group: Group) -> Iterator[str]:
    """Yield a group over samples; `places[:, k]` is begin, a step's and a sample's stride."""
    count = len(group_arrays(group))
    names = ", ".join(f"a{k}" for k in range(count))
    given = ", ".join(
        f"a{k}, places[0, {k}] + t * places[1, {k}] + s * places[2, {k}]" for k in range(count)
    )
    yield "@outer"
    yield f"def pass_{place}(step, samples, width, places, {names}):"
    yield "    t = U(step)"
    yield "    n = U(width)"
    yield "    for s in range(U(samples)):"
    yield f"        group_{place}(n, {given})"


@lru_cache(maxsize=64)
def units_arrays(program: Program) -> list[str]:
    """Return the names of the arrays that `units` takes, in order; `compiled_units` fills them in.

    `p` is a parameter, `x` a value given for all steps, `matrix` and `out` a product's, `w` what
    lives from one phase to another, `rows` what a trace keeps.
    """
    names = [f"p{value}" for value in parameters_read(program)]
    names += [f"x{value}" for value in program.given]
    for k in range(len(multiplied(program))):
        names += [f"matrix{k}", f"out{k}"]
    return [*names, *(f"w{value}" for value in kept_between(program)), "rows"]


@lru_cache(maxsize=64)
def units_sizes(program: Program) -> list[str]:
    """Return the names of the whole numbers that `units` takes, in order.

    `n` is a group's width; `inner`, `panels` and `line` are a product's columns, panels, and the
    length of a row of its answer; `apart` is how far apart the vectors of an early product are;
    `begin` is where a piece stands in its product's answer; `step` and `sample` are strides of what
    is given, `base_row`, `step_row` and `sample_row` places of what a trace keeps; `wide` is an
    exact and `length` a rounded width.
    """
    names = ["first", "last", "steps", "block", "chunk"]
    names += [f"n{k}" for k in range(len(program.groups))]
    for k, product in enumerate(multiplied(program)):
        names += [f"inner{k}", f"panels{k}", f"line{k}"]
        names += [f"begin{piece.out}" for piece in product.pieces]
    names += [f"apart{k}" for k in range(len(program.early))]
    for value in program.given:
        names += [f"step{value}", f"sample{value}"]
    for slot in range(len(program.slots)):
        names += [f"base_row{slot}", f"step_row{slot}", f"sample_row{slot}"]
    names += [f"wide{value}" for value in joined_parts(program)]
    return [*names, *(f"length{value}" for value in kept_between(program))]


@lru_cache(maxsize=64)
def multiplied(program: Program) -> tuple[Product, ...]:
    """Return all products that `units` does: early ones first, then those of a step."""
    return (*program.early, *program.products)


@lru_cache(maxsize=64)
def kept_between(program: Program) -> list[int]:
    """Return the values that live from one phase to another and are no product's."""
    pieces = {piece.out for product in multiplied(program) for piece in product.pieces}
    return [value for value in program.crossing if value not in pieces]


@lru_cache(maxsize=64)
def parameters_read(program: Program) -> list[int]:
    """Return the values known once that the phases read."""
    read = {value for phase in program.phases for value in reads(phase)}
    values = program.plan.values
    return sorted(v for v in read if values[v].stage == Stage.ONCE and values[v].number is None)


@lru_cache(maxsize=64)
def joined_parts(program: Program) -> list[int]:
    """Return the parts of concatenations, whose widths must be known exactly."""
    joins = [phase for phase in program.phases if isinstance(phase, Operation)]
    return sorted({part for join in joins for part in join.arguments})


def _units(program: Program) -> Iterator[str]:
    """Yield the function that runs blocks of samples, step after step, units side by side.

    Either a block is one sample, and early products are done for a chunk of steps, or a chunk is
    one step, and they are done for all samples of a block: one of `t - t0` and `s` is 0.
    """
    where = _unit_places(program)
    yield "@outer"
    yield f"def units(sizes, {', '.join(units_arrays(program))}):"
    for k, name in enumerate(units_sizes(program)):
        yield f"    {name} = sizes[{k}]"
    yield "    s0 = first"
    yield "    while s0 < last:"
    yield "        count = min(block, last - s0)"
    yield "        t0 = U0"
    yield "        while t0 < steps:"
    yield "            end = min(t0 + chunk, steps)"
    for k, product in enumerate(program.early):
        value = product.vector
        place = f"s0 * sample{value} + t0 * step{value}"
        vector = f"x{value}, {place}, apart{k}"
        yield f"            {_multiplication(k, 'count * (end - t0)', vector)}"
    yield "            for t in range(t0, end):"
    groups, products = 0, len(program.early)
    for phase in program.phases:
        match phase:
            case Group():
                yield "                for s in range(count):"
                yield f"                    {_group_call(groups, phase, where)}"
                groups += 1
            case Product():
                array, place, apart = where[phase.vector]
                vector = f"{array}, {place.format(s='U0')}, {apart}"
                yield f"                {_multiplication(products, 'count', vector)}"
                products += 1
            case Operation():
                yield "                for s in range(count):"
                for line in _join(phase, where):
                    yield f"                    {line}"
    yield "            t0 = end"
    yield "        s0 += count"


# Where a value of a sample `s` of the block stands at step t: an array, a place, and how far apart
# samples are.
Where = tuple[str, str, str]


def _multiplication(k: int, rows: str, vector: str) -> str:
    matrix = f"matrix{k}, U0, U(WIDTH), inner{k} * U(WIDTH)"
    return f"multiply({rows}, inner{k}, panels{k}, {vector}, {matrix}, out{k}, U0, line{k})"


def _group_call(k: int, group: Group, where: Mapping[int, Where]) -> str:
    places = []
    for kind, each in group_arrays(group):
        array, place, _ = _row_place(each, after=each < 2) if kind == "row" else where[each]
        places.append(f"{array}, {place.format(s='s')}")
    return f"group_{k}(n{k}, {', '.join(places)})"


def _join(join: Operation, where: Mapping[int, Where]) -> Iterator[str]:
    begin = f"s * length{join.out}"
    for part in join.arguments:
        array, place, _ = where[part]
        yield f"copy(wide{part}, {array}, {place.format(s='s')}, w{join.out}, {begin})"
        begin += f" + wide{part}"


def _row_place(slot: int, *, after: bool) -> Where:
    """Return where a step's row is kept; new states stand one step later, behind the given ones."""
    later = " + U1" if after else ""
    sample = f"sample_row{slot}"
    place = f"base_row{slot} + (t{later}) * step_row{slot} + (s0 + {{s}}) * {sample}"
    return "rows", place, sample


def _unit_places(program: Program) -> dict[int, Where]:
    """Return value -> where `units` finds it."""
    where = {value: (f"p{value}", "U0", "U0") for value in parameters_read(program)}
    for value in program.given:
        place = f"t * step{value} + (s0 + {{s}}) * sample{value}"
        where[value] = (f"x{value}", place, f"sample{value}")
    for k, product in enumerate(multiplied(program)):
        row = "(t - t0 + {s})" if k < len(program.early) else "{s}"
        for piece in product.pieces:
            where[piece.out] = f"out{k}", f"begin{piece.out} + {row} * line{k}", f"line{k}"
    for value in kept_between(program):
        where[value] = f"w{value}", f"{{s}} * length{value}", f"length{value}"
    states = {value: _row_place(k, after=False) for k, value in enumerate(program.states)}
    return where | states
