"""Gradient flow: how gradients vanish or explode back through time, unit by unit.

For a layer of T steps, the Jacobians ∂c_T/∂c_t and ∂h_T/∂h_t tell how much of a small change at
step t is left at the end (Hochreiter & Schmidhuber 1997, section 3). The measure for a unit is the
norm of its column, ‖∂c_T/∂c_t[k]‖₂: how much of a change in unit k at t is left over all units.
It is shown with the diagonal ∂c_T[k]/∂c_t[k] and the product of the forget gates in between: if
these two agree, the memory passes through the cell state alone and not through h.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.equations import Node, evaluate, names_in
from lstm_cli.cell.roles import kept_factor
from lstm_cli.cell.weights import Direction
from lstm_cli.engine.grad.steps import steps_back
from lstm_cli.engine.run import LayerTrace, Trace, check_trace_size


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
        return GradientFlow(each.layer, each.direction, c[0], c[1], h[0], None, None)
    known = {**each.weights.arrays, **each.values}
    forget = np.broadcast_to(evaluate(factor, known), each.values["c"].shape)
    kept = _product_after(forget, each.direction)
    return GradientFlow(each.layer, each.direction, c[0], c[1], h[0], forget, kept, factor)


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


def _product_after(gates: Array, direction: Direction) -> Array:
    """Product of the gates over all later steps, `(…, T, n)`; 1 for the last."""
    ahead = gates if direction == "forward" else gates[..., ::-1, :]
    products = np.ones(ahead.shape)
    for t in range(ahead.shape[-2] - 2, -1, -1):
        products[..., t, :] = products[..., t + 1, :] * ahead[..., t + 1, :]
    return products if direction == "forward" else products[..., ::-1, :]
