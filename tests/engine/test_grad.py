"""Gradients of runs: layers, directions, batches, the check by differences, how they fade."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError
from lstm_cli.cell.cells import LSTM, Cell, cell_named, parse_table
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.engine.grad import Gradients, check, grad, through_time
from lstm_cli.engine.run import run
from tests.cases import OWN_TABLE
from tests.conftest import random_arrays, random_inputs, random_weights


def deep(lead: tuple[int, ...] = ()) -> tuple[Model, Array, Array, Array]:
    """Return two layers of both directions, with projection below, and inputs."""
    below, above = cell_named("projection"), cell_named("peephole")
    model = Model((
        Layer({"forward": random_weights(below, 2, 4, 3, 1), "backward": random_weights(below, 2, 4, 3, 2)}),
        Layer({"forward": random_weights(above, 6, 3, seed=3), "backward": random_weights(above, 6, 3, seed=4)}),
    ))  # fmt: skip
    x = np.random.default_rng(5).uniform(-1, 1, (*lead, 5, 2))
    return model, x, *random_states(model, lead)


def random_states(model: Model, lead: tuple[int, ...]) -> tuple[Any, Any]:
    generator = np.random.default_rng(6)
    h = [generator.uniform(-1, 1, (*lead, w.output_size)) for _, _, w in model.runs]
    c = [generator.uniform(-1, 1, (*lead, w.hidden_size)) for _, _, w in model.runs]
    return h, c


@pytest.mark.parametrize("lead", [(), (2,)])
def test_layers_directions_and_batches_agree_with_differences(lead: tuple[int, ...]) -> None:
    """Two layers, both ways, batched: every kind of gradient, through every path."""
    model, x, h, c = deep(lead)
    trace = run(model, x, h, c)
    generator = np.random.default_rng(8)
    by = [generator.normal(size=each.shape) for each in (trace.h, trace.c, trace.output)]
    margin = check(trace, grad(trace, *by), most=150)
    assert margin.largest < 1e-7, margin
    assert margin.checked < margin.total


def test_a_batch_is_the_sum_of_its_samples() -> None:
    """Parameters gather over samples; what belongs to a sample stays with it."""
    model, x, h, c = deep((2,))
    whole = grad(run(model, x, h, c))
    alone = [
        grad(run(model, x[n], [each[n] for each in h], [each[n] for each in c])) for n in range(2)
    ]
    for place, each in enumerate(whole.layers):
        for name, gradient in each.parameters.items():
            added = sum(one.layers[place].parameters[name] for one in alone)
            assert np.allclose(gradient, added, rtol=1e-12, atol=1e-14)
    assert np.allclose(whole.x, np.stack([one.x for one in alone]), rtol=1e-12, atol=1e-14)


def test_the_default_loss_is_the_sum_of_the_final_h() -> None:
    """Without weights the gradient is that of Σ h; with them, theirs alone."""
    model, x, h, c = deep()
    trace = run(model, x, h, c)
    ones = grad(trace, dh=np.ones(6))
    assert np.array_equal(grad(trace).x, ones.x)
    assert not np.any(grad(trace, dc=np.zeros(6)).x)


def test_wrong_shapes_are_refused() -> None:
    """A weight of the loss that does not fit is named with both shapes."""
    model, x, h, c = deep()
    with pytest.raises(ShapeError, match=r"dh has shape \(5,\)"):
        grad(run(model, x, h, c), dh=np.ones(5))
    with pytest.raises(ShapeError, match="d_output has shape"):
        grad(run(model, x, h, c), d_output=np.ones((4, 6)))


def test_a_cell_of_ones_own() -> None:
    """A user's table, with its own joins, divisions and shared vectors, is differentiated too."""
    cell = Cell("own", "", parse_table(OWN_TABLE))
    sizes = {"I": 2, "H": 3, "P": 3, "rows of U_x": 2}
    weights = LstmWeights(cell, random_arrays(cell, sizes, seed=9))
    x, h, c = random_inputs(weights, 4, (2,))
    trace = run(Model.single(weights), x, h, c)
    found = grad(trace, dc=[1.0, -2.0, 0.5], dh=[0.3, 0.2, 1.0])
    assert not np.any(found.layers[0].values["d_dead"])
    assert check(trace, found).largest < 1e-7


def test_a_cell_that_ignores_what_it_is_given() -> None:
    """What the cell does not use has a gradient of zeros, in the right shape."""
    cell = Cell("still", "", parse_table("c = W_c @ x\nh = c"))
    weights = LstmWeights(cell, {"W_c": np.ones((2, 3))})
    found = grad(run(Model.single(weights), np.ones((4, 3)), [1.0, 2.0], [3.0, 4.0]))
    assert found.layers[0].h0.tolist() == [0, 0]
    assert found.layers[0].values["d_c_prev"].shape == (4, 2)
    assert found.x.tolist() == [[0] * 3] * 3 + [[2] * 3]


@pytest.mark.parametrize("wrong", [1.001, np.nan])
def test_the_check_finds_a_wrong_gradient(wrong: float) -> None:
    """A number that is off, anywhere, is found, named, and fails the check; nan too."""
    weights = random_weights(cell_named("peephole"), 2, 3)
    model = Model((Layer({"backward": weights}),))
    trace = run(model, *random_inputs(weights, 2))
    found = grad(trace)
    (layer,) = found.layers
    arrays = dict(layer.parameters)
    arrays["p_o"] = arrays["p_o"] * np.array([1, wrong, 1])
    off = replace(layer, parameters=arrays)
    margin = check(trace, Gradients(trace, found.loss, (off,)), most=10_000)
    assert not margin.passed
    assert margin.place == "d_p_o[1] of layer 0 backward"
    assert check(trace, found, most=10_000).passed
    assert margin.checked == margin.total


def test_float32() -> None:
    """A float32 run has float32 gradients near the others; differences would drown in it."""
    weights = random_weights(LSTM)
    x, h, c = random_inputs(weights)
    exact = grad(run(Model.single(weights), x, h, c))
    trace = run(Model.single(weights), x, h, c, dtype=np.float32)
    found = grad(trace)
    assert found.x.dtype == found.layers[0].parameters["W_f"].dtype == np.float32
    assert np.allclose(found.x, exact.x, atol=1e-6)
    with pytest.raises(InputError, match="too coarse"):
        check(trace, found)


def test_gradient_flow_is_the_jacobian() -> None:
    """Lengths of columns and diagonals are those of Jacobians measured by differences."""
    weights = random_weights(cell_named("peephole+projection"), seed=21)
    x, h, c = random_inputs(weights, 4, seed=22)
    trace = run(Model.single(weights), x, h, c)
    flow = through_time(trace)[0]
    t = 2  # perturb the state after step 2, through the rest of the run
    values = trace.layers[0].at(t)
    jacobian_h = np.empty((2, 2))
    for unit in range(2):
        ends = []
        for way in (1, -1):
            moved = values["h"].copy()
            moved[unit] += way * 1e-6
            ends.append(run(Model.single(weights), x[t:], moved, values["c"]).h)
        jacobian_h[:, unit] = (ends[0] - ends[1]) / 2e-6
    assert np.allclose(flow.h[t - 1], np.linalg.norm(jacobian_h, axis=0), rtol=1e-6)
    assert np.array_equal(flow.c[-1], np.ones(4))
    assert np.allclose(flow.kept[1], trace["f"][2] * trace["f"][3])


def test_the_cell_alone_keeps_by_its_forget_gates() -> None:
    """Where gates do not see h, ∂c_T/∂c_t is the product of the forget gates, either way."""
    generator = np.random.default_rng(31)
    arrays = dict(random_weights(LSTM, seed=30).arrays)
    for k in "figo":
        arrays[f"W_{k}"] = np.hstack([np.zeros((4, 4)), generator.normal(size=(4, 3))])
    weights = LstmWeights(LSTM, arrays)
    model = Model((Layer({"forward": weights, "backward": weights}),))
    for each in through_time(run(model, generator.normal(size=(2, 6, 3)))):
        assert each.kept is not None
        assert np.allclose(each.diagonal, each.kept, rtol=1e-12)
        assert np.allclose(each.c, each.kept, rtol=1e-12)


def test_a_cell_without_forget_gate_row_fades_too() -> None:
    """A table with no row f has no forget gates to show, and its Jacobians none the less."""
    cell = Cell("own", "", parse_table("c = 0.5 * c_prev + W_c @ x\nh = c"))
    weights = LstmWeights(cell, {"W_c": np.ones((2, 1))})
    (each,) = through_time(run(Model.single(weights), np.ones((3, 1))))
    assert each.forget is None
    assert each.c.tolist() == [[0.25] * 2, [0.5] * 2, [1.0] * 2]
