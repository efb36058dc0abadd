"""The engines on the grid of sizes: µs a step, peers' time as a multiple of ours, and the floor.

The floor is the larger of three things measured alone: the matrix products, one call of BLAS a
step; NumPy's exp and tanh; writing the trace. Where a peer is ahead, these and two numbers more say
why: the products at the speed that BLAS reaches on a large one, and a call's own cost, which is
what a run of a single step takes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from benchmarks.common import (
    Record,
    Settings,
    Work,
    part,
    quartiles,
    ratios_to,
    say,
    seconds,
    times_of,
    turns,
)
from benchmarks.peers import (
    OURS,
    Case,
    Row,
    absent,
    contender,
    contenders,
    make_case,
    our_engine,
    present,
)

ROWS = (
    Row(1000, 1, 5, 5, "float32"),
    Row(1000, 1, 5, 5, "float64"),
    Row(1000, 1, 64, 64, "float32"),
    Row(200, 1, 256, 256, "float64"),
    Row(100, 32, 64, 128, "float32"),
    Row(100, 256, 128, 256, "float32"),
    Row(20, 4096, 5, 5, "float32"),
    Row(20, 4096, 64, 64, "float64"),
)
SMALL_ROWS = (Row(30, 1, 3, 4, "float32"), Row(5, 16, 3, 4, "float64"))
# The floor's parts, a step each.
PRODUCT, ACTIVATIONS, TRACE = "products", "exp and tanh", "writing"
FLOOR = (PRODUCT, ACTIVATIONS, TRACE)
# A product large enough for BLAS to be at its best.
LARGE = 1024


def measure(settings: Settings) -> Record:
    rows: tuple[Row, ...] = SMALL_ROWS if settings.small else ROWS
    rows = tuple(rows[each] for each in settings.rows) or rows
    found = []
    for row in rows:
        say(row)
        found.append(measure_row(row, settings))
    return {"absent": absent(), "rows": found}


def measure_row(row: Row, settings: Settings) -> Record:
    """Return everybody's seconds a step, and ratios to our fastest engine, in quartiles.

    Our engines take turns first. The fastest then takes turns with the others, alone, as a program
    runs one: the memory of a trace serves the next, which another engine's would take the place of.
    """
    case = make_case(row)
    works = contenders(case, present())
    own = {name: works.pop(name) for name in OURS if name in works}
    between = _a_step(turns(own, settings.rounds, settings.clock), row)
    best = min(own, key=lambda name: times_of(between)[name][1])
    among = _a_step(turns({best: own[best]} | works | floor(case), settings.rounds,
                          settings.clock), row)  # fmt: skip
    for each in among:
        each["floor"] = max(each[name] for name in FLOOR)
    return {
        "sizes": [row.steps, row.samples, row.inputs, row.hidden],
        "dtype": row.dtype,
        "auto": our_engine(case, "auto")().engine,  # type: ignore[attr-defined] # a Trace
        "best": best,
        "seconds a step": times_of(between) | times_of(among),
        "times ours": ratios_to(best, between) | ratios_to(best, among),
        "large product": large_product(row, settings),
        "seconds a call": one_call(case, list(own), settings),
    }


def _a_step(rounds: list[dict[str, float]], row: Row) -> list[dict[str, float]]:
    """Return seconds a step; the floor's first parts are of a step as they are."""
    return [
        {name: took / (1 if name in FLOOR[:2] else row.steps) for name, took in each.items()}
        for each in rounds
    ]


def floor(case: Case) -> dict[str, Work]:
    """Return what no engine that keeps every gate can do without: of one step; writing: of all."""
    row, dtype = case.row, case.x.dtype
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(4 * row.hidden, row.hidden + row.inputs)).astype(dtype)
    vectors = rng.normal(size=(row.hidden + row.inputs, row.samples)).astype(dtype)
    product = np.empty((4 * row.hidden, row.samples), dtype)
    z = rng.normal(size=(5 * row.hidden, row.samples)).astype(dtype)
    made, trace = np.empty_like(z), np.ones(row.trace_bytes // dtype.itemsize, dtype)
    gates = 3 * row.hidden

    def activations() -> None:
        np.exp(z[:gates], made[:gates])
        np.tanh(z[gates:], made[gates:])

    return {
        PRODUCT: lambda: np.matmul(matrix, vectors, product),
        ACTIVATIONS: activations,
        TRACE: lambda: trace.fill(1),
    }


def large_product(row: Row, settings: Settings) -> float:
    """Return the seconds of a step's products at the speed of a large one."""
    multiplications = 4 * row.hidden * (row.hidden + row.inputs) * row.samples
    return float(f"{multiplications * _large_speed(row.dtype, settings):.4g}")


@cache
def _large_speed(dtype: str, settings: Settings) -> float:
    """Return the seconds of one multiplication and addition in a large product."""
    one = np.random.default_rng(3).normal(size=(LARGE, LARGE)).astype(dtype)
    out = np.empty_like(one)
    work = {"": lambda: np.matmul(one, one, out)}
    took = [each[""] for each in turns(work, settings.rounds, settings.clock)]
    return quartiles(took)[1] / LARGE**3


def one_call(case: Case, ours: list[str], settings: Settings) -> Record:
    """Return the seconds of a run of one step: Python, copies of the weights, BLAS's packing."""
    single = replace(case, row=replace(case.row, steps=1), x=case.x[:1])
    found = {}
    for name in ours:
        work = contender(name, single)
        assert work is not None
        work()
        found[name] = quartiles(seconds(work, settings.clock) for _ in range(settings.rounds))[1]
    return found


if __name__ == "__main__":
    part(measure)
