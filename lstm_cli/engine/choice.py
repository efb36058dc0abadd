"""Which engine runs: the table itself, NumPy in place, or code compiled by numba.

The table is evaluated for all that is small: a calculator's answers are then the rows' own values,
bit for bit, whatever is installed. Past `SMALL` the time is worth another order of rounding. Not in
float32: the fast engines round every operation to it, which shows, and what a step comes to must
not depend on how many others are run with it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, UsageError, suggest
from lstm_cli.cell.weights import LstmWeights

if TYPE_CHECKING:  # small runs need no more of the kernel than this file
    from lstm_cli.engine.plan import Plan

# The better one of numpy and numba, whichever that is when it runs.
FAST = "fast"
ENGINES = ("auto", "table", "numpy", "numba", FAST)
# Decides for `auto`; for trying an engine on a whole program.
ENVIRONMENT = "LSTM_STEP_ENGINE"
# Steps × samples × units of all layers: the table takes about a tenth of a second for this.
SMALL = 2**14
# From here on NumPy in place is quicker than the table.
LITTLE = 2**11
# About what the engine numpy takes for a step, and for each unit of each sample in it; and what a
# cell takes to be compiled, which is done once on a machine.
SECONDS_A_STEP, SECONDS_A_UNIT, SECONDS_TO_COMPILE = 1e-5, 5e-8, 10.0


def choose_engine(asked: str, work: int, dtype: Any, beside: int | None = None) -> str:
    """Return the engine to run: `table`, `numpy`, `numba`, or `fast` for one of the last two.

    Args:
        asked: one of `ENGINES`.
        work: steps × samples × units.
        dtype: float64 or float32; the table is all that `auto` takes for float32.
        beside: the most work of a run before it, of many; None of one alone. Of many, NumPy does
            small ones, too; or the fast engine, if a run before was worth it, so that it is there.

    Raises:
        UsageError: no such engine.
        InputError: numba is asked for and missing.
    """
    where = "--engine"
    if asked == "auto" and os.environ.get(ENVIRONMENT):
        asked, where = os.environ[ENVIRONMENT], f"the environment variable {ENVIRONMENT}"
    if asked not in ENGINES:
        raise UsageError(f"unknown engine '{asked}'", where=where, hint=suggest(asked, ENGINES))
    if asked == "auto":
        if np.dtype(dtype) != np.float64:
            return "table"
        if work > SMALL:
            return FAST
        if beside is None or work <= LITTLE:
            return "table"
        return FAST if beside > SMALL else "numpy"
    if asked == "numba" and not numba_available():
        raise InputError(
            "the engine numba needs numba, which is not installed",
            where=where,
            hint="pip install 'lstm-cli[fast]', or --engine numpy",
        )
    # Without a sample there is nothing to be fast at.
    return asked if work else "table"


def numba_available() -> bool:
    """Return whether the engine numba can be used here."""
    from lstm_cli.engine.numba_engine import available

    return available()


def run_fast(
    engine: str, weights: LstmWeights, x: Array, h: Array, c: Array, dtype: np.dtype[Any]
) -> tuple[dict[str, Array], str]:
    """Run one layer forward by a fast engine.

    Args:
        engine: `numpy`, `numba`, or `fast` for the better one.
        weights: of the layer.
        x: `(…, T, I)`.
        h: `(…, P)`.
        c: `(…, H)`.
        dtype: float64 or float32.

    Returns:
        symbol -> `(…, T, n)`, and the engine that ran.
    """
    from lstm_cli.engine.plan import plan_of

    lead = x.shape[:-2]
    x, h, c = (each.reshape(-1, *each.shape[len(lead) :]) for each in (x, h, c))
    if engine == FAST:
        engine = _better(plan_of(weights), len(x), x.shape[-2], dtype)
    if engine == "numba":
        from lstm_cli.engine.numba_engine import run_compiled

        values = run_compiled(weights, x, h, c, dtype)
    else:
        from lstm_cli.engine.numpy_engine import run_numpy

        values = run_numpy(plan_of(weights), weights.arrays, x, h, c, dtype)
    if not lead:
        values = {key: value[0] for key, value in values.items()}
    elif len(lead) > 1:
        values = {key: value.reshape(*lead, *value.shape[1:]) for key, value in values.items()}
    return values, engine


def _better(plan: Plan, samples: int, steps: int, dtype: np.dtype[Any]) -> str:
    """Return numba where it is there, and compiled already or worth the seconds that this takes."""
    if not numba_available():
        return "numpy"
    from lstm_cli.engine.numba_engine import is_ready

    units = plan.values[plan.rows["c_prev"]].width
    seconds = steps * (SECONDS_A_STEP + SECONDS_A_UNIT * samples * units)
    worth = seconds > SECONDS_TO_COMPILE or is_ready(plan, dtype)
    return "numba" if worth else "numpy"
