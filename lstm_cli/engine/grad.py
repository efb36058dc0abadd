"""Gradient of a run: the backward step evaluated through time, layers and both directions.

The loss is a weighted sum of the outputs of the last layer: its final h (weights `dh`), its final
c (`dc`) and its h at every step (`d_output`). Every `d_` value of every step is kept.

Backpropagation through time: Werbos 1990, doi 10.1109/5.58337; for the LSTM: Greff et al. 2017,
appendix A, doi 10.1109/TNNLS.2016.2582924. Vanishing gradients: Hochreiter & Schmidhuber 1997,
section 3; Bengio, Simard & Frasconi 1994, doi 10.1109/72.279181.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError, UsageError
from lstm_cli.base.records import record
from lstm_cli.cell.equations import Node, evaluate, names_in
from lstm_cli.cell.grad import GIVEN, grad_table, parameter_of
from lstm_cli.cell.roles import kept_factor
from lstm_cli.cell.weights import Direction
from lstm_cli.engine.corners import Corner, corners
from lstm_cli.engine.run import (
    LayerTrace,
    Trace,
    check_trace_size,
    evaluate_rows,
    need_trace,
    need_whole,
    rounded,
    run,
)


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss, Σ h·final h + Σ c·final c + Σ output·output, by its weights.

    Attributes:
        h: weights of the last layer's final h, `(…, D·P)`.
        c: weights of its final c, `(…, D·H)`.
        output: weights of its h at every step, `(…, T, D·P)`.
        given: which of `dh`, `dc`, `d_output` were given; empty for the default, h all ones.
    """

    h: Array
    c: Array
    output: Array
    given: tuple[str, ...]

    def describe(self) -> str:
        """Describe the loss in a sentence."""
        if not self.given:
            return "loss not given: the sum of the last layer's final h"
        return "the loss is weighted by " + ", ".join(self.given)


@record
class LayerGradient(LayerTrace):
    """Every gradient of one layer in one direction.

    Attributes:
        values: mapping of `d_symbol` to `(…, T, n)` in input time, for every row and input and for
            the incoming gradients (`d_output`, `d_h_next`, `d_c_next`).
        trace: the layer's run.
        parameters: the gradient of each parameter in its shape, summed over time and batch axes.
    """

    trace: LayerTrace
    parameters: Mapping[str, Array]

    @property
    def h0(self) -> Array:
        """Gradient with respect to h before the first step processed, `(…, P)`."""
        return self.initial("d_h")

    @property
    def c0(self) -> Array:
        """Gradient with respect to c before the first step processed, `(…, H)`."""
        return self.initial("d_c")


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of a loss with respect to every value and parameter of a run.

    Attributes:
        layers: one LayerGradient per layer and direction, in the order of `trace.layers`.
    """

    trace: Trace
    loss: Loss
    layers: tuple[LayerGradient, ...]

    @cached_property
    def x(self) -> Array:
        """Gradient with respect to the input, `(…, T, I)`, summed over both directions."""
        first = [each.values["d_x"] for each in self.layers if each.layer == 0]
        return np.asarray(sum(first[1:], start=first[0]))

    @property
    def h(self) -> tuple[Array, ...]:
        """Gradient with respect to the initial h of each layer and direction, `(…, P)`."""
        return tuple(each.h0 for each in self.layers)

    @property
    def c(self) -> tuple[Array, ...]:
        """Gradient with respect to the initial c of each layer and direction, `(…, H)`."""
        return tuple(each.c0 for each in self.layers)

    def __repr__(self) -> str:
        return f"Gradients({self.trace!r}, {self.loss.describe()})"


def grad(
    trace: Trace,
    dh: Array | Sequence[Any] | None = None,
    dc: Array | Sequence[Any] | None = None,
    d_output: Array | Sequence[Any] | None = None,
) -> Gradients:
    """Compute the gradient of a loss through a run; the default loss is the sum of `trace.h`.

    Args:
        dh: the loss's gradient with respect to `trace.h`, `(…, D·P)`.
        dc: with respect to `trace.c`, `(…, D·H)`.
        d_output: with respect to `trace.output`, of its shape.

    For a float32 trace each row is computed in float64 and rounded.

    Raises:
        ArgumentError: `trace` is no run; the error says what to call.
        ShapeError: a weight of the loss has the wrong shape.
        CellError: a row of a cell has a name that the backward step needs.
        InputError: values and gradients together would not fit.
        UsageError: steps before the last are masked out, or the output is padded.
    """
    need_trace(trace, "grad")
    need_whole(trace, "grad", gaps=True)
    if trace.padding != "stop":
        what = f"the gradient of an output padded as '{trace.padding}' is not computed"
        raise UsageError(what, where="--padding", hint="leave --padding out")
    check_trace_size(trace.model, (2, *trace.output.shape[:-1]))  # as many gradients as values
    loss = _loss(trace, dh, dc, d_output)
    done: dict[int, list[LayerGradient]] = {}
    above = _by_direction(trace, loss.output)
    top = trace.layers[-1].layer
    for level in range(top, -1, -1):
        own = [each for each in trace.layers if each.layer == level]
        sizes = [each.weights.output_size for each in own]
        units = [each.weights.hidden_size for each in own]
        # Only the final states of the last layer contribute to the loss.
        final_h = _cut(loss.h, sizes) if level == top else map(np.zeros, sizes)
        final_c = _cut(loss.c, units) if level == top else map(np.zeros, units)
        given = zip(own, _cut(above, sizes), final_h, final_c, strict=True)
        done[level] = [_through_layer(*each, trace.dtype) for each in given]
        inputs = [each.values["d_x"] for each in done[level]]
        above = np.asarray(sum(inputs[1:], start=inputs[0]))
    return Gradients(trace, loss, tuple(each for level in sorted(done) for each in done[level]))


def _loss(trace: Trace, dh: Any, dc: Any, d_output: Any) -> Loss:
    weights = {"dh": (dh, trace.h), "dc": (dc, trace.c), "d_output": (d_output, trace.output)}
    given = tuple(name for name, (value, _) in weights.items() if value is not None)
    if not given:
        weights["dh"] = (1.0, trace.h)
    h, c, output = (_weight(name, *pair) for name, pair in weights.items())
    return Loss(h, c, output, given)


def _weight(name: str, given: Any, like: Array) -> Array:
    """Return a weight of the loss in the shape of its target; zeros if none is given."""
    value = np.asarray(0.0 if given is None else given, dtype=np.float64)
    try:
        if value.ndim and value.shape[-1] != like.shape[-1]:
            raise ValueError
        return np.array(np.broadcast_to(value, like.shape))
    except ValueError:
        what = {"dh": "the final h", "dc": "the final c", "d_output": "the output"}[name]
        option = f"--{name.replace('_', '-')}"
        raise ShapeError(
            f"{option} has shape {value.shape}, {what} has {like.shape}",
            where=option,
            hint="one number per unit of the last layer, directions side by side",
        ) from None


def _by_direction(trace: Trace, d_output: Array) -> Array:
    """The gradient of the output as one of each direction's h, side by side."""
    match trace.model.merge:
        case "concat":
            return d_output
        case "mul":
            forward, backward = (each.values["h"] for each in trace.last_layer)
            return np.concatenate([d_output * backward, d_output * forward], axis=-1)
        case merge:
            return np.tile(d_output / 2 if merge == "ave" else d_output, 2)


def _cut(joined: Array, sizes: Sequence[int]) -> list[Array]:
    """Split a vector `(…, sum of sizes)` by direction."""
    return np.split(joined, np.cumsum(sizes)[:-1], axis=-1)


def _through_layer(
    each: LayerTrace, d_output: Array, dh: Array, dc: Array, dtype: np.dtype[Any]
) -> LayerGradient:
    """Compute the gradients of one layer in one direction."""
    kept: dict[str, Array] = {}
    for t, values in steps_back(each, d_output, dh, dc, dtype):
        for symbol, value in values.items():
            if symbol not in kept:
                like = each.values.get(symbol.removeprefix("d_"), value)
                kept[symbol] = np.empty((*d_output.shape[:-1], like.shape[-1]), dtype=dtype)
            kept[symbol][..., t, :] = value
    found = _parameter_gradients(each, kept)
    own = (each.layer, each.direction, each.weights, MappingProxyType(kept), each.ran, each.calls)
    return LayerGradient(*own, each, MappingProxyType(found))


def steps_back(
    each: LayerTrace, d_output: Array, dh: Array, dc: Array, dtype: np.dtype[Any]
) -> Iterator[tuple[int, dict[str, Array]]]:
    """Yield (t from 0, `d_symbol` -> `(…, n)`) from the last step processed to the first.

    Args:
        d_output: gradient that reaches h at each step from outside, `(…, T, P)`.
        dh, dc: gradients of the final h `(…, P)` and the final c `(…, H)`.
        dtype: the type that each value is rounded to.

    The gradients may have more leading axes than the trace.
    """
    rows = [row for row in grad_table(each.cell) if not parameter_of(row.symbol)]
    parameters = {name: rounded(a, dtype) for name, a in each.weights.arrays.items()}
    sizes = each.weights.output_size, each.weights.hidden_size
    for t in reversed(each.order):
        known = {k: np.asarray(value, np.float64) for k, value in each.at(t + 1).items()}
        # A bare 0 becomes a vector, for matrix products.
        given = zip((dh, dc), sizes, strict=True)
        dh, dc = (np.broadcast_to(d, n) if d.ndim == 0 else d for d, n in given)
        inputs = {"d_output": d_output[..., t, :], "d_h_next": dh, "d_c_next": dc}
        assert inputs.keys() == GIVEN.keys()
        values = evaluate_rows(rows, {**parameters, **known}, inputs, dtype)
        yield t, values
        dh, dc = values["d_h_prev"], values["d_c_prev"]


def _parameter_gradients(each: LayerTrace, d: Mapping[str, Array]) -> dict[str, Array]:
    """Compute the gradient of each parameter, summed over time and all batch axes.

    The rows are evaluated over all steps at once, with time as another batch axis.
    """
    known = {symbol: np.asarray(values, np.float64) for symbol, values in each.values.items()}
    dtype = next(iter(each.values.values())).dtype
    arrays = {name: rounded(array, dtype) for name, array in each.weights.arrays.items()}
    own = [row for row in grad_table(each.cell) if parameter_of(row.symbol)]
    inputs = {symbol: np.asarray(values, np.float64) for symbol, values in d.items()}
    made = evaluate_rows(own, {**arrays, **known, **inputs}, {}, np.dtype(np.float64))
    return {
        name: _summed(made[f"d_{name}"], array.shape).astype(dtype)
        for name, array in arrays.items()
    }


def _summed(value: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over leading axes to its parameter's shape."""
    lead = value.ndim - len(shape)
    return np.array(np.broadcast_to(value.sum(axis=tuple(range(max(lead, 0)))), shape))


backward = grad  # deprecated: its name in 0.1


# --------------------------------------------------------------------------------------------------
# Gradient flow: how gradients vanish or explode back through time, unit by unit.
#
# For a layer of T steps, the Jacobians ∂c_T/∂c_t and ∂h_T/∂h_t tell how much of a small change at
# step t is left at the end (Hochreiter & Schmidhuber 1997, section 3). The measure for a unit is
# the norm of its column, ‖∂c_T/∂c_t[k]‖₂: how much of a change in unit k at t is left over all
# units. It is shown with the diagonal ∂c_T[k]/∂c_t[k] and the product of the forget gates in
# between: if these two agree, the memory passes through the cell state alone and not through h.


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """How much of a change at each step is left at the end, for one layer in one direction.

    Attributes:
        c: ‖∂c_T/∂c_t[k]‖₂, `(…, T, H)` in input time; 1 at the last step processed. Includes the
            path from c_t to c_T through h_t.
        diagonal: ∂c_T[k]/∂c_t[k], `(…, T, H)`.
        h: ‖∂h_T/∂h_t[k]‖₂ with c_t held constant, `(…, T, P)`.
        forget: the factor of c_prev in c, i.e. the forget gate, `(…, T, H)`; None if there is none.
        kept: its product over the steps after t, `(…, T, H)`; None likewise.
        factor: the expression of `forget`: `f`, `1 - u`; None likewise.
    """

    layer: int
    direction: Direction
    c: Array
    diagonal: Array
    h: Array
    forget: Array | None
    kept: Array | None
    factor: Node | None = None


def through_time(trace: Trace) -> tuple[GradientFlow, ...]:
    """Gradient flow of every layer and direction, each through its own recurrence only.

    All H (and P) backward passes run at once: memory grows with H² per row.

    Raises:
        InputError: the Jacobians of one step would not fit.
    """
    for each in trace.layers:
        lead = trace.output.shape[:-2]
        check_trace_size(trace.model, (2, each.weights.hidden_size, *lead))
    return tuple(_gradient_flow(each) for each in trace.layers)


def _gradient_flow(each: LayerTrace) -> GradientFlow:
    c = _jacobian_columns(each, "c")
    h = _jacobian_columns(each, "h")
    factor = kept_factor(each.cell)
    if factor is None or not names_in(factor):
        return GradientFlow(each.layer, each.direction, *c, h[0], None, None)
    known = {**each.weights.arrays, **each.values}
    forget = np.broadcast_to(evaluate(factor, known), each.values["c"].shape)
    kept = _product_after(forget, each.order)
    return GradientFlow(each.layer, each.direction, *c, h[0], forget, kept, factor)


def _jacobian_columns(each: LayerTrace, state: str) -> tuple[Array, Array]:
    """Return the column norms of ∂s_T/∂s_t and its diagonal, both `(…, T, n)`.

    A single backward pass with a leading axis: row j of the Jacobian is the gradient of s_T[j].
    """
    shape = each.values[state].shape
    size, lead = shape[-1], shape[:-2]
    seeds = np.broadcast_to(
        np.eye(size).reshape(size, *(1 for _ in lead), size), (size, *lead, size)
    )
    nothing = np.zeros((*shape[:-1], each.weights.output_size))
    dh, dc = (seeds, np.zeros(())) if state == "h" else (np.zeros(()), seeds)
    lengths, diagonal = np.empty(shape), np.empty(shape)
    for t, values in steps_back(each, nothing, dh, dc, np.dtype(np.float64)):
        jacobian = np.broadcast_to(values[f"d_{state}"], seeds.shape)  # (size, …, size)
        lengths[..., t, :] = np.sqrt(np.sum(jacobian**2, axis=0))
        diagonal[..., t, :] = np.diagonal(jacobian, axis1=0, axis2=-1)
    return lengths, diagonal


def _product_after(gates: Array, order: Sequence[int]) -> Array:
    """Product of the gates over all steps computed later, `(…, T, n)`; 1 for the last."""
    products, back = np.ones(gates.shape), order[::-1]
    products[..., back[1:], :] = np.cumprod(gates[..., back[:-1], :], axis=-2)
    return products


# --------------------------------------------------------------------------------------------------
# Check by central differences: the same run with one number moved slightly.
#
# (L(v + s) - L(v - s)) / 2s has a truncation error of about s² L'''/6 and a rounding error of
# about 1e-16 L / s; s = 1e-5 balances the two for numbers around 1.

# How far a number is moved, relative to its size if that is above 1.
STEP = 1e-5
# Shorter steps for when the first disagrees: it may have crossed a corner or strong curvature.
SHORTER = (1.0, 0.1, 0.01)
TOLERANCE = 1e-6
# Numbers checked, chosen at random if there are more. Long runs check fewer, but at least LEAST.
MOST, LEAST = 400, 40
# Limit on the layer steps of all runs together.
MOST_STEPS = 40_000
# Derivatives from both sides that differ by this share are those of a corner, not of a curve.
APART = 1e-4
# A gradient far below the largest is compared relative to this share of it.
FLOOR = 1e-3


@dataclass(frozen=True)
class AtCorner:
    """Numbers whose derivative differs from side to side, since the run stands on a corner.

    Attributes:
        corner: the first that the run stands on.
        place: the first of the numbers, as `Margin.place`.
        derived: its value from the gradient table.
        below, above: its derivatives from both sides.
    """

    corner: Corner
    place: str
    derived: float
    below: float
    above: float


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
        corner: what the numbers have no single derivative for; they do not count as different.
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
    corner: AtCorner | None = None

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
        The largest disagreement. On a corner (relu at 0, a limit of clip) there is no derivative:
        numbers whose derivatives from both sides differ do not count.

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
    corner, apart = next(corners(trace), None), None
    worst = Margin(-1.0, "", 0, "forward", (), 0.0, 0.0, 0, 0)
    places = ((each, np.unravel_index(place, each.value.shape))
              for each, flat in zip(moved, chosen, strict=True) for place in flat)  # fmt: skip
    for each, axes in places:
        index = tuple(map(int, axes))
        largest, measured = _disagreement(gradients, each, index, floor)
        if largest <= worst.largest:
            continue
        own, derived = gradients.layers[each.run], float(each.gradient[index])
        found = Margin(
            largest, each.symbol, own.layer, own.direction, index, derived, measured,
            sum(map(len, chosen)), sum(each.value.size for each in moved),
        )  # fmt: skip
        sides = _sides(gradients, each, index, floor) if corner and not found.passed else None
        if corner and sides:
            apart = apart or AtCorner(corner, found.place, derived, *sides)
            continue
        worst = found
        if np.isnan(largest):  # nothing is worse
            break
    return replace(worst, corner=apart)


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
        measured = _slope(gradients, moved, index, -size, size)
        above = abs(derived - measured)
        found = (above and above / max(abs(derived), abs(measured), floor), measured)
        if np.isnan(found[0]) or found[0] <= TOLERANCE:
            return found
        best = min(best, found)
    return best


def _sides(
    gradients: Gradients, moved: _Moved, index: tuple[int, ...], floor: float
) -> tuple[float, float] | None:
    """Return the derivatives from below and from above; None if they are the same."""
    size = STEP * SHORTER[-1] * max(1.0, abs(float(moved.value[index])))
    below, above = (_slope(gradients, moved, index, *way) for way in ((-size, 0.0), (0.0, size)))
    differ = abs(above - below) > APART * max(abs(above), abs(below), floor)
    return (below, above) if differ else None


def _slope(
    gradients: Gradients, moved: _Moved, index: tuple[int, ...], low: float, high: float
) -> float:
    """Return (L(v + high) - L(v + low)) / (high - low), subtracting before summing."""
    loss = gradients.loss
    up, down = (_run_with(gradients.trace, moved, index, change) for change in (high, low))
    with np.errstate(all="ignore"):
        change = sum(
            float(np.sum(getattr(loss, part) * (getattr(up, part) - getattr(down, part))))
            for part in ("h", "c", "output")
        )
    return change / (high - low)


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
    return run(model, x, h, c, calls=trace.calls)
