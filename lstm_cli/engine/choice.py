"""Choice of the engine: the table itself, in-place NumPy, or code compiled by numba.

Small runs evaluate the table: the answers are then the values of the rows, bit for bit, whatever
is installed. Above `SMALL`, speed justifies a different order of rounding. Not in float32: there
the fast engines round every operation, which is visible, and the result of a step must not depend
on how many others are run with it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, UsageError, suggest
from lstm_cli.cell.weights import LstmWeights

if TYPE_CHECKING:  # small runs do not import the rest of the kernel
    from lstm_cli.engine.plan import Plan

# The better of numpy and numba, decided at run time.
FAST = "fast"
ENGINES = ("auto", "table", "numpy", "numba", FAST)
# Overrides `auto`, to try an engine on a whole program.
ENVIRONMENT = "LSTM_STEP_ENGINE"
# Steps × samples × units of all layers: the table takes about a tenth of a second for this much.
SMALL = 2**14
# Above this, in-place NumPy is faster than the table.
LITTLE = 2**11
# Approximate times of the numpy engine per step and per unit and sample, and to compile a cell,
# which is done once per machine.
SECONDS_A_STEP, SECONDS_A_UNIT, SECONDS_TO_COMPILE = 1e-5, 5e-8, 10.0


def choose_engine(asked: str, work: int, dtype: Any, beside: int | None = None) -> str:
    """Return the engine to run: `table`, `numpy`, `numba`, or `fast` for one of the last two.

    Args:
        asked: one of `ENGINES`.
        work: steps × samples × units.
        dtype: float64 or float32; `auto` always uses the table for float32.
        beside: in a series of runs, the most work of an earlier run; None for a single run. In a
            series NumPy also does small runs, or the fast engine if an earlier run has loaded it.

    Raises:
        UsageError: no such engine.
        InputError: numba is requested but missing.
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
    # Without a sample there is nothing to speed up.
    return asked if work else "table"


@lru_cache(maxsize=1)
def numba_available() -> bool:
    """Whether numba is installed and its compiler is not disabled."""
    from importlib.util import find_spec

    disabled = os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0")
    return find_spec("numba") is not None and not disabled


def run_fast(
    engine: str, weights: LstmWeights, x: Array, h: Array, c: Array, dtype: np.dtype[Any]
) -> tuple[dict[str, Array], str]:
    """Run one layer forward with a fast engine.

    Args:
        engine: `numpy`, `numba`, or `fast` for the better one.
        weights: those of the layer.
        x, h, c: `(…, T, I)`, `(…, P)`, `(…, H)`.
        dtype: float64 or float32.

    Returns:
        A mapping of symbol to `(…, T, n)`, and the engine that ran.
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
    """Return numba if it is available, and already compiled or worth the compile time."""
    if not numba_available():
        return "numpy"
    from lstm_cli.engine.numba_engine import is_ready

    units = plan.values[plan.rows["c_prev"]].width
    seconds = steps * (SECONDS_A_STEP + SECONDS_A_UNIT * samples * units)
    worth = seconds > SECONDS_TO_COMPILE or is_ready(plan, dtype)
    return "numba" if worth else "numpy"
