"""Source text of a program as a few loops, for numba to compile.

Only indices of the plan become identifiers (`v3`, `out1`), and only its numbers, written by
`float.hex`, become literals: no text from a user's table reaches the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from lstm_cli.engine.numba_forms import group_arrays, parameters_read, samples_form, units_form
from lstm_cli.engine.plan import Operation
from lstm_cli.engine.products import MULTIPLY
from lstm_cli.engine.program import Program, UnitLoop

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
    lines += ["", *units_form(program).text(), "", *samples_form(program).text()]
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
