"""Steps, sequences, stacks, directions and batches: properties that hold for all weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_cli.base.errors import InputError, LstmStepError, ShapeError
from lstm_cli.cell.cells import LSTM, VARIANTS, cell_named
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.engine.run import run, step
from tests.conftest import random_inputs, random_weights

CELLS = ["lstm", *VARIANTS, "peephole+projection", "coupled-input+peephole"]
cells = st.sampled_from(CELLS)
seeds = st.integers(0, 10_000)


def model_of(name: str, seed: int, **sizes: int) -> Model:
    return Model.single(random_weights(cell_named(name), seed=seed, **sizes))


@settings(max_examples=40)
@given(cells, seeds, st.integers(1, 6))
def test_a_sequence_is_the_fold_of_its_steps(name: str, seed: int, steps: int) -> None:
    """Running T steps at once equals handing h and c on by hand, step after step."""
    model = model_of(name, seed)
    x, h, c = random_inputs(model.first, steps, seed=seed)
    whole = run(model, x, h, c)
    for t in range(steps):
        single = step(model, x[t], h, c)
        h, c = single.h, single.c
        for symbol in model.cell.symbols:
            assert np.array_equal(single[symbol][0], whole[symbol][t])


@settings(max_examples=40)
@given(cells, seeds, st.integers(1, 4), st.integers(1, 5))
def test_a_batch_is_the_stack_of_singles(name: str, seed: int, steps: int, count: int) -> None:
    """A leading batch axis changes nothing but the rounding of sums."""
    model = model_of(name, seed)
    x, h, c = random_inputs(model.first, steps, (count,), seed=seed)
    batch = run(model, x, h, c)
    for n in range(count):
        single = run(model, x[n], h[n], c[n])
        assert np.allclose(batch.output[n], single.output, rtol=0, atol=1e-14)
        assert np.allclose(batch.c[n], single.c, rtol=0, atol=1e-14)


@settings(max_examples=30)
@given(st.sampled_from(["lstm", "peephole", "coupled-forget", "hard-sigmoid"]), seeds)
def test_permuting_units_permutes_the_answer(name: str, seed: int) -> None:
    """Units have no order: renaming them in weights and states renames them in h and c."""
    model = model_of(name, seed)
    x, h, c = random_inputs(model.first, 4, seed=seed)
    order = np.random.default_rng(seed).permutation(4)
    columns = np.concatenate([order, np.arange(4, 7)])
    arrays = {
        key: array[order][:, columns] if array.ndim == 2 else array[order]
        for key, array in model.first.arrays.items()
    }
    other = run(Model.single(LstmWeights(model.cell, arrays)), x, h[order], c[order])
    assert np.allclose(other.output, run(model, x, h, c).output[:, order], rtol=0, atol=1e-13)


@given(seeds)
def test_keeping_all_and_writing_nothing_leaves_c_alone(seed: int) -> None:
    """With f = 1 and i = 0 the cell state stays what it was, to the last bit."""
    weights = random_weights(LSTM, seed=seed)
    arrays = dict(weights.arrays)
    arrays["b_f"], arrays["b_i"] = np.full(4, 800.0), np.full(4, -800.0)
    x, h, c = random_inputs(weights, seed=seed)
    trace = run(Model.single(LstmWeights(LSTM, arrays)), x, h, c)
    assert np.all(trace["f"] == 1)
    assert np.all(trace["i"] == 0)
    assert np.array_equal(trace.c, c)


@given(seeds)
def test_forgetting_everything_leaves_only_the_new_input(seed: int) -> None:
    """With f = 0 the cell state is i * g, whatever it was before."""
    weights = random_weights(LSTM, seed=seed)
    arrays = dict(weights.arrays) | {"b_f": np.full(4, -800.0)}
    x, h, c = random_inputs(weights, seed=seed)
    trace = run(Model.single(LstmWeights(LSTM, arrays)), x, h, c)
    assert np.array_equal(trace["c"], trace["i"] * trace["g"])


@settings(max_examples=30)
@given(st.sampled_from(["lstm", "peephole", "coupled-input"]), seeds, st.floats(0.1, 50))
def test_h_is_a_share(name: str, seed: int, scale: float) -> None:
    """|h| never passes 1 without a projection, and gates lie between 0 and 1."""
    model = model_of(name, seed)
    x, h, c = random_inputs(model.first, 6, seed=seed)
    trace = run(model, scale * x, h, c)
    assert np.all(np.abs(trace.output) <= 1)
    for gate in "fio":
        assert np.all((trace[gate] >= 0) & (trace[gate] <= 1))


def two_layers(seed: int = 0) -> Model:
    def weights(inputs: int, part: int) -> LstmWeights:
        return random_weights(LSTM, inputs=inputs, hidden=4, seed=seed + part)

    below = Layer({"forward": weights(3, 0), "backward": weights(3, 1)})
    above = Layer({"forward": weights(8, 2), "backward": weights(8, 3)})
    return Model((below, above))


def test_backward_is_forward_on_the_reversed_input() -> None:
    """The backward direction run on x equals the forward one on x reversed, told in input time."""
    weights = random_weights(LSTM)
    x, h, c = random_inputs(weights, 6)
    backward = run(Model((Layer({"backward": weights}),)), x, h, c)
    forward = run(Model.single(weights), x[::-1], h, c)
    for symbol in ("x", "h_prev", "c_prev", *LSTM.symbols):
        assert np.array_equal(backward[symbol], forward[symbol][::-1])
    assert np.array_equal(backward.h, forward.h)
    assert np.array_equal(backward.h, backward.output[0])


def test_a_stack_reads_what_the_layer_below_puts_out() -> None:
    """Layer 1's x is layer 0's h, directions side by side; output is D·P wide."""
    model = two_layers()
    trace = run(model, np.random.default_rng(0).normal(size=(5, 3)))
    below = np.concatenate([each.values["h"] for each in trace.layers[:2]], axis=-1)
    assert np.array_equal(trace.layers[2].values["x"], below)
    assert trace.output.shape == (5, 8)
    assert [(each.layer, each.direction) for each in trace.layers] == [
        (0, "forward"), (0, "backward"), (1, "forward"), (1, "backward"),
    ]  # fmt: skip


def test_states_of_a_stack_come_as_rows() -> None:
    """Row k of h and c belongs to layer k // D, direction k % D, and to no other."""
    model = two_layers()
    x = np.random.default_rng(0).normal(size=(3, 3))
    h = np.random.default_rng(1).normal(size=(4, 4))
    trace = run(model, x, h, 2 * h)
    for row, each in enumerate(trace.layers):
        first = 0 if each.direction == "forward" else -1
        assert np.array_equal(each.values["h_prev"][first], h[row])
        assert np.array_equal(each.values["c_prev"][first], 2 * h[row])


def test_missing_states_are_zeros_and_said_to_be() -> None:
    """A state that is not given is zeros, and the run's assumptions say so."""
    model = model_of("lstm", 0)
    trace = step(model, [1.0, 2.0, 3.0], h=[0.1, 0.2, 0.3, 0.4])
    assert np.all(trace["c_prev"] == 0)
    assert trace.assumptions == ("c0 not given: zeros",)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float32_rounds_each_named_value(dtype: type) -> None:
    """With float32 every named value is one; it is the float64 value of its row, rounded once."""
    model = model_of("lstm", 3)
    x, h, c = (array.astype(np.float32) for array in random_inputs(model.first, 3))
    trace = run(model, x, h, c, dtype=dtype)
    f, i, g = (trace[k].astype(np.float64) for k in "fig")
    row = (f * trace["c_prev"].astype(np.float64) + i * g).astype(dtype)
    assert trace["c"].dtype == dtype
    assert np.array_equal(trace["c"], row)


@pytest.mark.parametrize("order", ["C", "F"])
def test_float32_samples_do_not_change_each_other(order: Literal["C", "F"]) -> None:
    """A sample alone has the bits that it has among others, where sums cancel and order shows."""
    weights = random_weights(LSTM, inputs=21, hidden=5)
    ones = {name: array if array.ndim == 1 else np.hstack([array[:, :5], np.ones((5, 21))])
            for name, array in weights.arrays.items()}  # fmt: skip
    model = Model.single(replace(weights, arrays=ones))
    generator = np.random.default_rng(3)
    large = generator.normal(size=(9, 4, 10)) * 2.0 ** generator.integers(0, 60, (9, 4, 10))
    x = np.concatenate([large, generator.normal(size=(9, 4, 1)), -large], axis=-1)
    x = np.asarray(generator.permuted(x, axis=-1), order=order)
    h, c = generator.normal(size=(2, 9, 5))
    together = run(model, x, h, c, dtype=np.float32, engine="table")
    for number in range(9):
        alone = run(model, x[number], h[number], c[number], dtype=np.float32, engine="table")
        for symbol in LSTM.symbols:
            np.testing.assert_array_equal(together[symbol][number], alone[symbol])


@pytest.mark.parametrize(
    ("x", "h", "c"),
    [
        ([1, 2], None, None),
        ([1, 2, 3], [1, 2], None),
        ([1, 2, 3], None, [[1, 2, 3]]),
        ([1, 2, 3], [[1, 2, 3, 4], [1, 2, 3, 4]], None),
        ([1, 2, 3], [[1, 2], [3]], None),
        (1.0, None, None),
    ],
)
def test_wrong_shapes_name_both_sides(x: object, h: object, c: object) -> None:
    """A vector of the wrong size is refused with its size and the one that is needed."""
    with pytest.raises(ShapeError) as caught:
        step(model_of("lstm", 0), x, h, c)  # type: ignore[arg-type] # wrong on purpose
    assert "needs" in caught.value.what
    assert any(word in caught.value.what for word in ("3", "4"))


def test_no_steps_is_refused() -> None:
    """An empty sequence has no answer."""
    with pytest.raises(InputError, match="no steps"):
        run(model_of("lstm", 0), np.empty((0, 3)))


def test_a_trace_too_large_is_refused_before_memory_is_taken() -> None:
    """A billion steps are refused with their size, at once."""
    with pytest.raises(InputError, match="GiB"):
        run(model_of("lstm", 0), np.broadcast_to(np.zeros(3), (10**9, 3)))


def test_layers_must_fit() -> None:
    """A stack whose layers do not fit is refused when it is built."""
    one = Layer({"forward": random_weights(LSTM)})
    with pytest.raises(ShapeError, match="layer 1 reads 3 numbers, but layer 0 outputs 4"):
        Model((one, one))
    with pytest.raises(LstmStepError):
        Model(())
    with pytest.raises(ShapeError, match="different sizes"):
        Layer({"forward": random_weights(LSTM), "backward": random_weights(LSTM, inputs=5)})


def test_overflow_shows_as_inf_without_a_warning() -> None:
    """A user's unbounded activation may overflow: the value says so under its name."""
    cell = LSTM.edit({"g": "exp(1000 * z_g)"}, name="hot", title="")
    model = Model.single(random_weights(cell))
    x, h, c = random_inputs(model.first)
    assert np.isinf(run(model, 100 * np.abs(x), h, c)["g"]).any()


def test_a_trace_is_a_mapping_from_symbols() -> None:
    """`in`, iteration, length and views say what `trace[symbol]` gives, in the table's order."""
    both = Layer(
        {"forward": random_weights(LSTM, seed=1), "backward": random_weights(LSTM, seed=2)}
    )
    x, _, _ = random_inputs(random_weights(LSTM), 5)
    trace = run(Model((both,)), x)
    for each in (trace, trace.layers[0]):
        assert list(each) == ["x", "h_prev", "c_prev", *LSTM.symbols] == list(each.keys())
        assert len(each) == len(each.keys()) == 3 + len(LSTM.symbols)
        assert "f" in each
        assert "q" not in each
        assert 0 not in each
        assert bool(each)
        assert all(np.array_equal(values, each[symbol]) for symbol, values in each.items())
        assert dict(each).keys() == set(each)
        with pytest.raises(KeyError):
            each["q"]
        assert each.get("q") is None
        assert np.array_equal(each.get("f"), each["f"])
    assert [v.shape for v in trace.values()] == [trace[symbol].shape for symbol in trace]
    assert trace["f"].shape == (5, 8)
    assert trace.layers[0]["f"] is trace.layers[0].values["f"]
