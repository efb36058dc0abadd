"""The backward table: its rules, its rows, and numbers of other hands."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import CellError
from lstm_cli.cell.cells import LSTM, Cell, cell_named, parse_table
from lstm_cli.cell.equations import DERIVED, FUNCTIONS, Apply, Name, Node, evaluate, parse
from lstm_cli.cell.grad import grad_table, local, simplified
from lstm_cli.cell.notation import LATEX, PLAIN, UNICODE, gradient_style, write, write_equation
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.engine.grad import grad
from lstm_cli.engine.run import run
from tests.cases import WITNESS_SPECS, as_witness, spec_cell
from tests.conftest import random_inputs, random_weights

PLAIN_BACKWARD = [
    "d_h = d_output + d_h_next",
    "d_c = d_c_next + d_h * o * (1 - tanh(c) * tanh(c))",
    "d_o = d_h * tanh(c)",
    "d_g = d_c * i",
    "d_i = d_c * g",
    "d_f = d_c * c_prev",
    "d_z_o = d_o * o * (1 - o)",
    "d_z_g = d_g * (1 - g * g)",
    "d_z_i = d_i * i * (1 - i)",
    "d_z_f = d_f * f * (1 - f)",
    "d_hx = W_f.T @ d_z_f + W_i.T @ d_z_i + W_g.T @ d_z_g + W_o.T @ d_z_o",
    *(f"d_{p}_{k} = {right}" for k in "figo" for p, right in
      (("W", f"outer(d_z_{k}, [h_prev, x])"), ("b", f"d_z_{k}"))),
    "d_x = d_hx[x]",
    "d_h_prev = d_hx[h_prev]",
    "d_c_prev = d_c * f",
]  # fmt: skip


def written(cell: Cell, style: Any = PLAIN) -> dict[str, str]:
    """Return `d_symbol` -> its row as text, by plain symbol."""
    style = gradient_style(style)
    return {row.symbol: " = ".join(write_equation(row, style)) for row in grad_table(cell)}


def test_the_backward_step_of_the_lstm() -> None:
    """The plain LSTM's backward table is the literature's, row by row."""
    assert list(written(LSTM).values()) == PLAIN_BACKWARD


def test_how_backward_rows_are_printed() -> None:
    """δ, ᵀ and ⊗ for people, `d_` and `.T` in plain text, and LaTeX that compiles as it stands."""
    pretty, latex = written(LSTM, UNICODE), written(LSTM, LATEX)
    assert pretty["d_z_f"] == "δz_f = δf_t ⊙ f_t ⊙ (1 − f_t)"
    assert pretty["d_W_f"] == "δW_f = δz_f ⊗ [h_{t−1}, x_t]"
    assert pretty["d_hx"] == "δhx = W_fᵀ δz_f + W_iᵀ δz_i + W_gᵀ δz_g + W_oᵀ δz_o"
    assert pretty["d_c_prev"] == "δC_{t−1} = δC_t ⊙ f_t"
    assert latex["d_z_f"] == (
        r"\delta z_f = \delta f_t \odot f_t \odot \left(1 - f_t\right)"
    )  # fmt: skip
    assert latex["d_W_f"] == r"\delta W_f = \delta z_f \otimes [h_{t-1}, x_t]"
    projected = cell_named("projection")
    assert written(projected, UNICODE)["d_W_hr"] == "δW_hr = δh_t ⊗ (o_t ⊙ tanh(C_t))"
    assert written(projected)["d_o"] == "d_o = W_hr.T @ d_h * tanh(c)"


@pytest.mark.parametrize(
    ("cell", "rows"),
    [
        ("peephole", ["d_c = d_c_next + d_h * o * (1 - tanh(c) * tanh(c)) + d_z_o * p_o",
                      "d_p_o = d_z_o * c", "d_p_f = d_z_f * c_prev",
                      "d_c_prev = d_c * f + d_z_i * p_i + d_z_f * p_f"]),
        ("coupled-forget", ["d_i = d_c * g - d_f"]),
        ("coupled-input", ["d_f = d_c * c_prev - d_i"]),
        ("hard-sigmoid", ["d_z_f = d_f * hard_sigmoid'(z_f)"]),
        ("projection", ["d_W_hr = outer(d_h, o * tanh(c))"]),
    ],
)  # fmt: skip
def test_a_variants_backward_step_follows_from_its_edit(cell: str, rows: list[str]) -> None:
    """Nothing is written for a variant: its edited rows are differentiated."""
    assert set(rows) <= set(written(cell_named(cell)).values())


# --- rules ------------------------------------------------------------------------------------

NUMBERS = st.floats(-3, 3).map(lambda value: round(value, 3))
# Two arguments each; the second is a constant in what has a body.
CALLS = [f"a {sign} b" for sign in "+-*/"] + ["-a", "min(a, b)", "max(a, b)"] + [
    f"{name}(a)" for name, each in FUNCTIONS.items()
    if not each.operator and len(each.parameters) - len(each.defaults) == 1
] + ["clip(a, -0.7, 0.9)", "elu(a, 0.7)", "hard_sigmoid(a, 0.3, 0.4)", "affine(a, 0.25, 0.45)",
     "scaled_tanh(a, 1.7, 0.6)", "leaky_relu(a, 0.2)", "thresholded_relu(a, 0.1)"]  # fmt: skip


def slope(value: Callable[[float], float], at: float, step: float = 1e-6) -> float:
    return (value(at + step) - value(at - step)) / (2 * step)


def derivative_of(node: Node, name: str, at: dict[str, float]) -> float:
    """Return the derivative by a name, by the rules, of an expression of two names."""
    values = {key: np.asarray(number) for key, number in at.items()}
    assert isinstance(node, Apply)
    total = 0.0
    for argument, gradient in zip(node.arguments, local(node, Name("d"), node), strict=False):
        if argument == Name(name):
            total += float(evaluate(gradient, {**values, "d": np.asarray(1.0)}))
    return total


@pytest.mark.parametrize("text", CALLS)
@given(a=NUMBERS, b=NUMBERS)
@pytest.mark.few(9)
def test_each_rule_agrees_with_differences(text: str, a: float, b: float) -> None:
    """Every operator and function, by each argument, away from its corners."""
    assume(text != "a / b" or abs(b) > 0.05)
    node = parse(text)

    def value(**at: float) -> float:
        return float(evaluate(node, {key: np.asarray(each) for key, each in at.items()}))

    for name, at in (("a", a), ("b", b)):
        if name not in text:
            continue
        others = {"a": a, "b": b}
        f = lambda v, o=others, n=name: value(**{**o, n: v})  # noqa: E731
        left, right = (f(at) - f(at - 1e-6)) / 1e-6, (f(at + 1e-6) - f(at)) / 1e-6
        assume(abs(left - right) < 1e-3 * max(1, abs(left)))  # a corner has no derivative
        derived = derivative_of(node, name, others)
        assert math.isclose(derived, slope(f, at), rel_tol=1e-5, abs_tol=1e-6)


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("relu(a)", 0.0, 0.0),
        ("leaky_relu(a, 0.2)", 0.0, 0.2),
        ("elu(a)", 0.0, 1.0),
        ("elu(a, 0.7)", 0.0, 0.7),
        ("abs(a)", 0.0, 0.0),
        ("softsign(a)", 0.0, 1.0),
        ("heaviside(a)", 0.0, 0.0),
        ("clip(a, -1, 1)", 1.0, 1.0),
        ("clip(a, -1, 1)", -1.0, 0.0),
        ("hard_sigmoid(a)", 2.5, 0.2),
        ("hard_sigmoid(a)", -2.5, 0.0),
    ],
)
def test_corners_take_the_derivative_from_the_left(text: str, at: float, expected: float) -> None:
    """The convention at corners, which PyTorch has for relu, leaky_relu and elu too."""
    assert derivative_of(parse(text), "a", {"a": at}) == expected


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("0 + a", "a"), ("a + 0", "a"), ("1 * a", "a"), ("a * 1", "a"), ("a * 0", "0"),
        ("--a", "a"), ("a + -b", "a - b"), ("a - -b", "a + b"), ("0 - a", "-a"), ("a / 1", "a"),
        ("a * -b", "-(a * b)"), ("-a * b", "-(a * b)"), ("a - 0", "a"), ("a + -2", "a - 2"),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_left_out(text: str, simple: str) -> None:
    """Backward rows have no zeros, ones or double minuses from the rules."""
    assert write(simplified(parse(text), {})) == simple


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "0", "1", "0.5"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda each: f"(-{each})"),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, NUMBERS, NUMBERS)
@example("(a - (-b))", 1.5, 2.5)
def test_simplifying_keeps_the_value(text: str, a: float, b: float) -> None:
    """The simpler tree computes the same."""
    values = {"a": np.asarray(a), "b": np.asarray(b)}
    node = parse(text)
    assert math.isclose(
        float(evaluate(simplified(node, {}), values)), float(evaluate(node, values)), abs_tol=1e-9
    )


# --- the grammar's new functions ---------------------------------------------------------------


def test_derived_functions_take_batch_axes() -> None:
    """Transposed products and parts keep leading axes; an outer product sums over them."""
    W, d = np.arange(6.0).reshape(2, 3), np.arange(16.0).reshape(4, 2, 2)
    v, w = np.arange(24.0).reshape(4, 2, 3), np.ones(2)
    back = Apply("@", (Apply("transpose", (Name("W"),)), Name("d")))
    assert np.allclose(evaluate(back, {"W": W, "d": d}), np.einsum("mn,abm->abn", W, d))
    outer = Apply("outer", (Name("d"), Name("v")))
    assert np.allclose(evaluate(outer, {"d": d, "v": v}), np.einsum("abm,abn->mn", d, v))
    assert np.allclose(
        evaluate(outer, {"d": w, "v": v}), np.einsum("m,abn->mn", w, v)
    )  # fmt: skip
    part = Apply("part", (Name("j"), parse("1"), Name("w"), Name("v")))
    joined = np.arange(40.0).reshape(4, 2, 5)
    assert np.array_equal(evaluate(part, {"j": joined, "w": w, "v": v}), joined[..., 2:])


@pytest.mark.parametrize(
    "text",
    ["outer(x, x)", "transpose(W_f) @ x", "part(x, 0, x)", "W_f.T @ x", "tanh'(x)", "clip'(x)"],
)
def test_a_users_cell_cannot_use_them(text: str) -> None:
    """What derived rows use is no part of the grammar of cell files."""
    grad_table(cell_named("hard-sigmoid"))  # defines some of them
    assert DERIVED.keys() >= {"outer", "transpose", "part"}
    with pytest.raises(CellError):
        parse_table(f"c = {text}\nh = c")


@pytest.mark.parametrize("symbol", ["d_h", "d_c_next", "d_output", "d_x", "d_hx"])
def test_names_that_the_backward_step_needs_are_refused(symbol: str) -> None:
    """A user's row of such a name is an error that says so, not a wrong number."""
    cell = Cell("own", "", parse_table(f"{symbol} = W_a @ [h_prev, x]\nc = {symbol}\nh = c"))
    with pytest.raises(CellError, match=f"needs the name '{symbol}'"):
        grad_table(cell)


# --- numbers of the second witness ---------------------------------------------------------------


def loss_weights(seed: int, steps: int, wide: int, hidden: int) -> tuple[Array, Array, Array]:
    generator = np.random.default_rng(seed)
    return (generator.normal(size=wide), generator.normal(size=hidden),
            generator.normal(size=(steps, wide)))  # fmt: skip


def witness_loss(name: str, weights: LstmWeights, x: Any, h: Any, c: Any, by: Any) -> float:
    """Return the weighted loss as the second witness computes it, in scalar loops."""
    dh, dc, d_output = by
    made = as_witness(weights, **WITNESS_SPECS[name]).run(x.tolist(), h.tolist(), c.tolist())
    loss = sum(a * b for a, b in zip(made[-1]["h"], dh, strict=True))
    loss += sum(a * b for a, b in zip(made[-1]["c"], dc, strict=True))
    return loss + sum(
        a * b for step, row in zip(made, d_output, strict=True)
        for a, b in zip(step["h"], row, strict=True)
    )  # fmt: skip


@pytest.mark.parametrize("name", WITNESS_SPECS)
def test_every_cell_against_the_witness(name: str) -> None:
    """Each parameter, x, h0 and c0 of each cell: central differences of another implementation."""
    weights = random_weights(spec_cell(name), inputs=2, hidden=3, output=2, seed=5)
    x, h, c = random_inputs(weights, 4, seed=6)
    by = loss_weights(7, 4, weights.output_size, 3)
    found = grad(run(Model.single(weights), x, h, c), *by)

    def with_(symbol: str, value: Array) -> float:
        if symbol in ("x", "h", "c"):
            given = {"x": x, "h": h, "c": c, symbol: value}
            return witness_loss(name, weights, given["x"], given["h"], given["c"], by)
        moved = LstmWeights(weights.cell, {**weights.arrays, symbol: value})
        return witness_loss(name, moved, x, h, c, by)

    own = found.layers[0]
    gradients = {**own.parameters, "x": found.x, "h": own.h0, "c": own.c0}
    arrays = {**weights.arrays, "x": x, "h": h, "c": c}
    for symbol, gradient in gradients.items():
        measured = np.empty(gradient.shape)
        for index in np.ndindex(gradient.shape):
            sides = []
            for way in (1, -1):
                value = np.array(arrays[symbol])
                value[index] += way * 1e-5
                sides.append(with_(symbol, value))
            measured[index] = (sides[0] - sides[1]) / 2e-5
        assert np.allclose(gradient, measured, rtol=1e-6, atol=1e-8), symbol


# --- equations of the literature -----------------------------------------------------------------


def greff(weights: LstmWeights, values: Any, delta: Array) -> dict[str, Array]:
    """Return the gradients by the equations of Greff et al. 2017, section II-B, peepholes and all.

    Written from the paper: W on x, R on y (our h), δy from above is Δ; every step by hand.
    """
    n, T = weights.output_size, len(delta)
    W = {k: weights.arrays[f"W_{k}"][:, n:] for k in "figo"}
    R = {k: weights.arrays[f"W_{k}"][:, :n] for k in "figo"}
    p = {k: weights.arrays.get(f"p_{k}", np.zeros(n)) for k in "fio"}
    c, x, h_prev, c_prev = (values[k] for k in ("c", "x", "h_prev", "c_prev"))
    f, i, g, o = (values[k] for k in "figo")
    slopes = {"f": f * (1 - f), "i": i * (1 - i), "g": 1 - g**2, "o": o * (1 - o)}
    d = {k: np.zeros((T + 1, n)) for k in "figocy"}
    f_next = np.vstack([f[1:], np.zeros((1, n))])
    for t in reversed(range(T)):
        d["y"][t] = delta[t] + sum(R[k].T @ d[k][t + 1] for k in "figo")
        d["o"][t] = d["y"][t] * np.tanh(c[t]) * slopes["o"][t]
        d["c"][t] = (d["y"][t] * o[t] * (1 - np.tanh(c[t]) ** 2) + p["o"] * d["o"][t]
                     + p["i"] * d["i"][t + 1] + p["f"] * d["f"][t + 1]
                     + d["c"][t + 1] * f_next[t])  # fmt: skip
        d["f"][t] = d["c"][t] * c_prev[t] * slopes["f"][t]
        d["i"][t] = d["c"][t] * g[t] * slopes["i"][t]
        d["g"][t] = d["c"][t] * i[t] * slopes["g"][t]
    found = {"x": sum(d[k][:T] @ W[k] for k in "figo")}
    for k in "figo":
        found[f"W_{k}"] = np.hstack([d[k][:T].T @ h_prev, d[k][:T].T @ x])
        found[f"b_{k}"] = d[k][:T].sum(axis=0)
        found[f"z_{k}"] = d[k][:T]
    return found | {"p_f": (d["f"][:T] * c_prev).sum(0), "p_i": (d["i"][:T] * c_prev).sum(0),
                    "p_o": (d["o"][:T] * c).sum(0)}  # fmt: skip


@pytest.mark.parametrize("name", ["lstm", "peephole"])
def test_the_equations_of_greff_and_others(name: str) -> None:
    """The numbers are those of the paper's own equations, written out by hand."""
    weights = random_weights(cell_named(name), seed=11)
    x, h, c = random_inputs(weights, 6, seed=12)
    delta = np.random.default_rng(13).normal(size=(6, 4))
    trace = run(Model.single(weights), x, h, c)
    found = grad(trace, d_output=delta).layers[0]
    for symbol, expected in greff(weights, trace.layers[0].values, delta).items():
        if symbol in found.parameters:
            assert np.allclose(found.parameters[symbol], expected, rtol=1e-12, atol=1e-14), symbol
        elif f"d_{symbol}" in found.values:
            assert np.allclose(found.values[f"d_{symbol}"], expected, rtol=1e-12, atol=1e-14)
