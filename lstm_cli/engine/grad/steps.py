"""Gradient of a run: the backward step evaluated through time, layers and both directions.

The loss is a weighted sum of the outputs of the last layer: its final h (weights `dh`), its final
c (`dc`) and its h at every step (`d_output`). Every `d_` value of every step is kept.

Backpropagation through time: Werbos 1990, doi 10.1109/5.58337; for the LSTM: Greff et al. 2017,
appendix A, doi 10.1109/TNNLS.2016.2582924. Vanishing gradients: Hochreiter & Schmidhuber 1997,
section 3; Bengio, Simard & Frasconi 1994, doi 10.1109/72.279181.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import ShapeError
from lstm_cli.cell.equations import Equation
from lstm_cli.cell.grad import GIVEN, grad_table, parameter_of
from lstm_cli.cell.weights import Direction, LstmWeights
from lstm_cli.engine.run import (
    LayerTrace,
    Trace,
    check_trace_size,
    evaluate_rows,
    need_trace,
    rounded,
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


@dataclass(frozen=True, eq=False)
class LayerGradient:
    """Every gradient of one layer in one direction.

    Attributes:
        values: mapping of `d_symbol` to `(…, T, n)` in input time, for every row and input and for
            the incoming gradients (`d_output`, `d_h_next`, `d_c_next`).
        parameters: the gradient of each parameter in its shape, summed over time and batch axes.
    """

    trace: LayerTrace
    rows: tuple[Equation, ...]
    values: Mapping[str, Array]
    parameters: Mapping[str, Array]

    @property
    def layer(self) -> int:
        """The layer's index, from 0."""
        return self.trace.layer

    @property
    def direction(self) -> Direction:
        """Direction in time of the forward run."""
        return self.trace.direction

    @property
    def weights(self) -> LstmWeights:
        """Weights that the layer was run with."""
        return self.trace.weights

    def at(self, t: int) -> dict[str, Array]:
        """Return the gradients `(…, n)` of every symbol at input time `t`, counted from 1."""
        return {symbol: values[..., t - 1, :] for symbol, values in self.values.items()}

    @property
    def h0(self) -> Array:
        """Gradient with respect to h before the first step processed, `(…, P)`."""
        return self._first("d_h_prev")

    @property
    def c0(self) -> Array:
        """Gradient with respect to c before the first step processed, `(…, H)`."""
        return self._first("d_c_prev")

    def _first(self, symbol: str) -> Array:
        return self.values[symbol][..., 0 if self.direction == "forward" else -1, :]


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
        d_output: with respect to `trace.output`, `(…, T, D·P)`.

    For a float32 trace each row is computed in float64 and rounded.

    Raises:
        ArgumentError: `trace` is no run; the error says what to call.
        ShapeError: a weight of the loss has the wrong shape.
        CellError: a row of a cell has a name that the backward step needs.
        InputError: values and gradients together would not fit.
    """
    need_trace(trace, "grad")
    check_trace_size(trace.model, (2, *trace.output.shape[:-1]))  # as many gradients as values
    loss = _loss(trace, dh, dc, d_output)
    done: dict[int, list[LayerGradient]] = {}
    above = loss.output
    top = trace.layers[-1].layer
    for level in range(top, -1, -1):
        own = [each for each in trace.layers if each.layer == level]
        outputs = _cut(above, [each.weights.output_size for each in own])
        final_h = _cut(loss.h, [each.weights.output_size for each in own])
        final_c = _cut(loss.c, [each.weights.hidden_size for each in own])
        if level < top:  # only the final states of the last layer contribute to the loss
            final_h, final_c = ([np.zeros(())] * len(own) for _ in range(2))
        done[level] = [
            _through_layer(each, outputs[place], final_h[place], final_c[place], trace.dtype)
            for place, each in enumerate(own)
        ]
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


def _cut(joined: Array, sizes: Sequence[int]) -> list[Array]:
    """Split a vector `(…, sum of sizes)` by direction."""
    return np.split(joined, np.cumsum(sizes)[:-1], axis=-1)


def _through_layer(
    each: LayerTrace, d_output: Array, dh: Array, dc: Array, dtype: np.dtype[Any]
) -> LayerGradient:
    """Compute the gradients of one layer in one direction."""
    rows = grad_table(each.cell)
    kept: dict[str, Array] = {}
    for t, values in steps_back(each, d_output, dh, dc, dtype):
        for symbol, value in values.items():
            if symbol not in kept:
                like = each.values.get(_forward_name(symbol), value)
                kept[symbol] = np.empty((*d_output.shape[:-1], like.shape[-1]), dtype=dtype)
            kept[symbol][..., t, :] = value
    found = _parameter_gradients(each, rows, kept)
    return LayerGradient(each, rows, MappingProxyType(kept), MappingProxyType(found))


def _forward_name(symbol: str) -> str:
    """Return the symbol whose shape a gradient has."""
    given = {"d_output": "h", "d_h_next": "h", "d_c_next": "c"}
    return given.get(symbol, symbol.removeprefix("d_"))


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
    following = _vectors(each, dh, dc)
    times = range(each.steps)
    for t in reversed(times) if each.direction == "forward" else times:
        known = {symbol: _double(values[..., t, :]) for symbol, values in each.values.items()}
        inputs = {"d_output": d_output[..., t, :], **following}
        assert inputs.keys() == GIVEN.keys()
        values = evaluate_rows(rows, {**parameters, **known}, inputs, dtype)
        yield t, values
        following = _vectors(each, values["d_h_prev"], values["d_c_prev"])


def _vectors(each: LayerTrace, dh: Array, dc: Array) -> dict[str, Array]:
    """Gradients passed to the previous step, with a bare 0 as a vector for matrix products."""
    sizes = each.weights.output_size, each.weights.hidden_size
    dh, dc = (
        np.broadcast_to(d, (size,)) if d.ndim == 0 else d
        for d, size in zip((dh, dc), sizes, strict=True)
    )
    return {"d_h_next": dh, "d_c_next": dc}


def _double(array: Array) -> Array:
    return np.asarray(array, dtype=np.float64)


def _parameter_gradients(
    each: LayerTrace, rows: Sequence[Equation], d: Mapping[str, Array]
) -> dict[str, Array]:
    """Compute the gradient of each parameter, summed over time and all batch axes.

    The rows are evaluated over all steps at once, with time as another batch axis.
    """
    known = {symbol: _double(values) for symbol, values in each.values.items()}
    dtype = next(iter(each.values.values())).dtype
    arrays = {name: rounded(array, dtype) for name, array in each.weights.arrays.items()}
    own = [row for row in rows if parameter_of(row.symbol)]
    inputs = {symbol: _double(values) for symbol, values in d.items()}
    made = evaluate_rows(own, {**arrays, **known, **inputs}, {}, np.dtype(np.float64))
    return {
        name: _summed(made[f"d_{name}"], array.shape).astype(dtype)
        for name, array in arrays.items()
    }


def _summed(value: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over leading axes to its parameter's shape."""
    lead = value.ndim - len(shape)
    return np.array(np.broadcast_to(value.sum(axis=tuple(range(max(lead, 0)))), shape))
