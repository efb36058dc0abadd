"""How far the numbers that samples expect are from ours, and where most: a block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lstm_cli.batch.blocks import Block
from lstm_cli.batch.settings import Settings
from lstm_cli.engine import Trace
from lstm_cli.equations import Array
from lstm_cli.errors import InputError, ShapeError, safe, suggest
from lstm_cli.writers import plain_list


def check_block(block: Block, trace: Trace, settings: Settings) -> Sequence[dict[str, Any] | None]:
    """Return each sample's `check`; None where a sample expects nothing.

    Raises:
        InputError: a symbol that the cell does not compute.
        ShapeError: expected numbers of another shape than the run's.
    """
    if not block.expected:
        return [None] * len(block)
    largest = np.full(len(block), -1.0)
    worst: list[dict[str, Any]] = [{}] * len(block)
    for symbol, expected in block.expected.items():
        got, first = _comparable(symbol, expected, trace)
        wanted = expected.reshape(got.shape)
        with np.errstate(invalid="ignore"):  # inf - inf: no number, so no match
            difference = np.abs(got - wanted).reshape(len(block), -1)
        difference[~np.isfinite(difference)] = np.inf
        where = np.argmax(difference, axis=1)
        here = difference[np.arange(len(block)), where]
        for index in np.flatnonzero(here > largest).tolist():
            row, unit = divmod(int(where[index]), got.shape[-1])
            worst[index] = {
                "symbol": symbol,
                "t": first + row,
                "unit": unit,
                "got": plain_list(got[index, row, unit]),
                "expected": plain_list(wanted[index, row, unit]),
            }
        largest = np.maximum(largest, here)
    tolerances = [
        settings.atol if settings.force_atol or atol is None else atol for atol in block.atols
    ]
    return [
        {
            "matched": bool(most <= tolerance),
            "max_abs_diff": plain_list(np.asarray(most)),
            "tolerance": tolerance,
            "worst": where_,
        }
        for most, tolerance, where_ in zip(largest.tolist(), tolerances, worst, strict=True)
    ]


def _comparable(symbol: str, expected: Array, trace: Trace) -> tuple[Array, int]:
    """Return our numbers `(N, rows, n)` for an expected symbol, and the t of their first row."""
    each = expected.ndim - 1  # axes that one sample expects
    if symbol in ("h", "c") and each == 1:
        got, first = (trace.h if symbol == "h" else trace.c)[:, None, :], trace.steps
    else:
        known = ["output", *trace.last_layer[0].values]
        if symbol not in known:
            raise InputError(
                f"expected has '{safe(symbol)}', which the cell does not compute",
                hint=suggest(symbol, known),
            )
        every = trace.output if symbol == "output" else trace[symbol]
        got, first = (every, 1) if each == 2 else (every[:, -1:], trace.steps)
    own = got.shape[1:] if each == 2 else got.shape[2:]
    if own != expected.shape[1:]:
        raise ShapeError(
            f"expected {safe(symbol)} has shape {expected.shape[1:]}, the run gives {own}",
            hint="give (n,) for the last step or (T, n) for all of them",
        )
    return got, first
