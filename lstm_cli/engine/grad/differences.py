"""Gradient check by central differences: the same run with one number moved slightly.

(L(v + s) - L(v - s)) / 2s has a truncation error of about s² L'''/6 and a rounding error of about
1e-16 L / s; s = 1e-5 balances the two for numbers around 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError
from lstm_cli.cell.weights import Direction
from lstm_cli.engine.grad.steps import Gradients
from lstm_cli.engine.run import Trace, run

# How far a number is moved, relative to its size if that is above 1.
STEP = 1e-5
# Shorter steps for when the first disagrees: it may have crossed a corner or strong curvature.
SHORTER = (1.0, 0.1, 0.01)
TOLERANCE = 1e-6
# Numbers checked, chosen at random if there are more. Long runs check fewer, but at least LEAST.
MOST, LEAST = 400, 40
# Limit on the layer steps of all runs together.
MOST_STEPS = 40_000
# A gradient far below the largest is compared relative to this share of it.
FLOOR = 1e-3


@dataclass(frozen=True)
class Margin:
    """The largest disagreement between a gradient and central differences, and its position.

    Attributes:
        largest: |derived - measured| relative to the larger of the two, or to a thousandth of the
            largest gradient or loss weight if both are smaller than that.
        symbol: `d_W_f`, `d_x`, `d_h0`, `d_c0`.
        layer, direction: the run; the first one for x.
        index: position in the array, t from 0 for x.
        derived: the value of the gradient table.
        measured: the value from the difference of two runs.
        checked, total: how many numbers were checked, and how many there are.
    """

    largest: float
    symbol: str
    layer: int
    direction: Direction
    index: tuple[int, ...]
    derived: float
    measured: float
    checked: int
    total: int
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether the gradient agrees; False for nan."""
        return self.largest <= self.tolerance

    @property
    def place(self) -> str:
        """Position of the largest disagreement: `d_W_f[0, 3] of layer 0 forward`."""
        inner = ", ".join(map(str, self.index))
        return f"{self.symbol}[{inner}] of layer {self.layer} {self.direction}"


@dataclass(frozen=True, eq=False)
class _Moved:
    """One array that a run depends on: an input, an initial state or a parameter."""

    symbol: str
    run: int
    value: Array
    gradient: Array


def check(trace: Trace, gradients: Gradients, *, most: int = 0) -> Margin:
    """Compare a gradient with central differences of runs.

    Args:
        trace: the run, in float64.
        most: how many numbers to check; 0 means 400, or fewer for a long run. If there are more, a
            random sample is checked, with at least two from each array.

    Returns:
        The largest disagreement. Near a corner (relu at 0, a limit of clip) there is no derivative,
        so that the two may legitimately differ.

    Raises:
        InputError: the trace is in float32, whose rounding would swamp the differences.
    """
    if trace.dtype != np.float64:
        raise InputError(
            f"a {trace.dtype.name} run is too coarse for central differences",
            where="check",
            hint="run in float64: leave out --dtype",
        )
    moved = list(_arrays(gradients))
    floor = FLOOR * _scale(gradients, moved)
    most = most or max(LEAST, min(MOST, MOST_STEPS // (2 * trace.steps * len(trace.layers))))
    chosen = _chosen([each.value.size for each in moved], most)
    worst = Margin(-1.0, "", 0, "forward", (), 0.0, 0.0, 0, 0)
    places = ((each, np.unravel_index(place, each.value.shape))
              for each, flat in zip(moved, chosen, strict=True) for place in flat)  # fmt: skip
    for each, axes in places:
        index = tuple(map(int, axes))
        largest, measured = _disagreement(gradients, each, index, floor)
        if largest <= worst.largest:
            continue
        own, derived = gradients.layers[each.run], float(each.gradient[index])
        worst = Margin(
            largest, each.symbol, own.layer, own.direction, index, derived, measured,
            sum(map(len, chosen)), sum(each.value.size for each in moved),
        )  # fmt: skip
        if np.isnan(largest):  # nothing is worse
            break
    return worst


def _scale(gradients: Gradients, moved: Sequence[_Moved]) -> float:
    """Largest magnitude of any gradient or loss weight."""
    loss = gradients.loss
    arrays = [loss.h, loss.c, loss.output, *(each.gradient for each in moved)]
    return max(float(np.max(np.abs(array), initial=0.0)) for array in arrays)


def _arrays(gradients: Gradients) -> Iterator[_Moved]:
    """Yield everything that a run depends on, with its gradient."""
    for place, each in enumerate(gradients.layers):
        for name, gradient in each.parameters.items():
            yield _Moved(f"d_{name}", place, each.weights.arrays[name], gradient)
    x, h, c = gradients.trace.inputs
    yield _Moved("d_x", 0, x, gradients.x)
    for symbol, states, given in (("d_h0", h, gradients.h), ("d_c0", c, gradients.c)):
        for place, (state, gradient) in enumerate(zip(states, given, strict=True)):
            yield _Moved(symbol, place, state, gradient)


def _chosen(sizes: list[int], most: int) -> list[list[int]]:
    """Choose the numbers to check in each array."""
    total = sum(sizes)
    if total <= most:
        return [list(range(size)) for size in sizes]
    generator = np.random.default_rng(0)
    counts = [min(size, max(2, most * size // total)) for size in sizes]
    return [
        sorted(generator.choice(size, count, replace=False).tolist())
        for size, count in zip(sizes, counts, strict=True)
    ]


def _disagreement(
    gradients: Gradients, moved: _Moved, index: tuple[int, ...], floor: float
) -> tuple[float, float]:
    """Return the relative difference for one number, and the measured value."""
    derived = float(moved.gradient[index])
    best = (np.inf, np.nan)
    for shorter in SHORTER:
        size = STEP * shorter * max(1.0, abs(float(moved.value[index])))
        measured = _slope(gradients, moved, index, size)
        above = abs(derived - measured)
        found = (above and above / max(abs(derived), abs(measured), floor), measured)
        if np.isnan(found[0]) or found[0] <= TOLERANCE:
            return found
        best = min(best, found)
    return best


def _slope(gradients: Gradients, moved: _Moved, index: tuple[int, ...], size: float) -> float:
    """Return (L(v + size) - L(v - size)) / (2 size), subtracting before summing."""
    loss = gradients.loss
    up, down = (_run_with(gradients.trace, moved, index, way * size) for way in (1, -1))
    with np.errstate(all="ignore"):
        change = sum(
            float(np.sum(getattr(loss, part) * (getattr(up, part) - getattr(down, part))))
            for part in ("h", "c", "output")
        )
    return change / (2 * size)


def _run_with(trace: Trace, moved: _Moved, index: tuple[int, ...], change: float) -> Trace:
    """Run again with one number changed."""
    value = np.array(moved.value)
    value[index] += change
    model, (x, h, c) = trace.model, trace.inputs
    match moved.symbol:
        case "d_x":
            x = value
        case "d_h0":
            h[moved.run] = value
        case "d_c0":
            c[moved.run] = value
        case symbol:
            new = {symbol.removeprefix("d_"): value}
            model = model.with_weights(
                lambda run, own: (
                    replace(own, arrays={**own.arrays, **new}) if run == moved.run else own
                )
            )
    return run(model, x, h, c)
