"""Edited runs: a plain run of the edited numbers, and the second witness, say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import LstmStepError
from lstm_cli.cell.cells import LSTM, cell_named
from lstm_cli.cell.equations import Equation
from lstm_cli.cell.weights import Layer, Model
from lstm_cli.engine.edits import (
    EditablePlace,
    EditedRun,
    EditHistory,
    NumberEdit,
    changed,
    differences,
    edited_trace,
    number_at,
    place_of,
)
from lstm_cli.engine.run import Trace, evaluate_rows, run
from tests.cases import WITNESS_SPECS, as_witness, spec_cell
from tests.conftest import random_inputs, random_weights
from tests.witness import Witness

SPECS = ["lstm", "peephole+projection", "coupled-forget", "hard-sigmoid", "clip", "forget-bias"]


def traced(name: str = "lstm", steps: int = 5, seed: int = 3, hidden: int = 4) -> Trace:
    """Return a run of a witness's cell, all numbers distinct and none zero."""
    weights = random_weights(spec_cell(name), hidden=hidden, seed=seed)
    return run(Model.single(weights), *random_inputs(weights, steps, seed=seed + 1))


def stacked(steps: int = 4) -> Trace:
    """Return a run of two layers, both with two directions."""
    layers = []
    for level, inputs in enumerate((3, 8)):
        pair = [random_weights(LSTM, inputs, 4, seed=10 * level + k) for k in (1, 2)]
        layers.append(Layer({"forward": pair[0], "backward": pair[1]}))
    generator = np.random.default_rng(5)
    x, h, c = (generator.uniform(-1, 1, shape) for shape in ((steps, 3), (4, 4), (4, 4)))
    return run(Model(tuple(layers)), x, h, c)


def same_as_witness(trace: Trace, steps: Sequence[dict[str, list[float]]]) -> None:
    for symbol in "figoch":
        got = trace.layers[0].values[symbol]
        assert np.allclose(got, [step[symbol] for step in steps], rtol=0, atol=1e-13), symbol


# ---- inputs, states and weights


@pytest.mark.parametrize("name", SPECS)
def test_an_edit_of_x_and_of_the_states_is_a_run_from_them(name: str) -> None:
    """Numbers edited in x, h0 and c0 give the witness's run of the edited vectors."""
    trace = traced(name)
    edited = EditedRun(trace)
    for place, value in [
        (EditablePlace(0, "x", (2, 1)), 0.77), (EditablePlace(0, "h_prev", (1, 0)), -0.31),
        (EditablePlace(0, "c_prev", (1, 3)), 1.9),
    ]:  # fmt: skip
        edited = edited.edited(place, value)
    x, h, c = (np.array(trace.layers[0].values[s]) for s in ("x", "h_prev", "c_prev"))
    x[1, 1], h[0, 0], c[0, 3] = 0.77, -0.31, 1.9
    witness = as_witness(trace.model.first, **WITNESS_SPECS[name])
    same_as_witness(edited.trace, witness.run(x.tolist(), h[0].tolist(), c[0].tolist()))


@pytest.mark.parametrize("name", ["lstm", "peephole+projection"])
def test_an_edit_of_a_weight_is_a_run_with_it(name: str) -> None:
    """A recurrent weight, an input weight and a bias, edited, give the witness's run with them."""
    trace = traced(name)
    wide = trace.model.first.output_size
    edited = EditedRun(trace).edited(EditablePlace(0, "W_i", (2, 1)), 0.6)
    edited = edited.edited(EditablePlace(0, "W_o", (0, wide + 2)), -0.8)
    edited = edited.edited(EditablePlace(0, "b_f", (3,)), 1.2)
    witness = as_witness(trace.model.first, **WITNESS_SPECS[name])
    witness.U["i"][2][1], witness.W["o"][0][2], witness.b["f"][3] = 0.6, -0.8, 1.2
    each = trace.layers[0]
    first = each.at(1)
    steps = witness.run(
        each.values["x"].tolist(), first["h_prev"].tolist(), first["c_prev"].tolist()
    )
    same_as_witness(edited.trace, steps)


@pytest.mark.parametrize("name", SPECS)
def test_a_state_overridden_in_the_middle_goes_on_from_there(name: str) -> None:
    """Steps before an override stay, and those from it on are the witness's from the new state."""
    trace = traced(name, steps=6)
    edited = EditedRun(trace).edited(EditablePlace(0, "c_prev", (4, 2)), -1.4)
    edited = edited.edited(EditablePlace(0, "h_prev", (4, 1)), 0.9)
    edited = edited.edited(EditablePlace(0, "c_prev", (6, 0)), 0.05)
    witness = as_witness(trace.model.first, **WITNESS_SPECS[name])
    each = trace.layers[0]
    x, first = each.values["x"].tolist(), each.at(1)
    made = witness.run(x[:3], first["h_prev"].tolist(), first["c_prev"].tolist())
    h, c = list(made[-1]["h"]), list(made[-1]["c"])
    h[1], c[2] = 0.9, -1.4
    made += witness.run(x[3:5], h, c)
    h, c = list(made[-1]["h"]), list(made[-1]["c"])
    c[0] = 0.05
    made += witness.run(x[5:], h, c)
    same_as_witness(edited.trace, made)
    now = edited.trace.layers[0]
    assert now.at(4)["c_prev"][2] == -1.4
    assert now.at(5)["c_prev"].tolist() == now.at(4)["c"].tolist()


def test_an_override_of_a_backward_direction_reaches_the_steps_before_it() -> None:
    """Backward, what follows from a state of step 3 are steps 3, 2 and 1, and step 4 stays."""
    weights = random_weights(LSTM, seed=8)
    x, h, c = random_inputs(weights, 4, seed=9)
    trace = run(Model((Layer({"backward": weights}),)), x, h, c)
    now = EditedRun(trace).edited(EditablePlace(0, "c_prev", (3, 1)), 2.5).trace.layers[0]
    witness = as_witness(weights)
    last = witness.run(x[3:].tolist(), h.tolist(), c.tolist())
    state = list(last[0]["c"])
    state[1] = 2.5
    rest = witness.run(x[:3][::-1].tolist(), last[0]["h"], state)
    expected = [*rest[::-1], last[0]]
    for symbol in "figoch":
        assert np.allclose(now.values[symbol], [e[symbol] for e in expected], rtol=0, atol=1e-13)


def test_an_edit_below_runs_every_layer_above() -> None:
    """In a stack, an edit of x gives the engine's run of the edited x, in all layers."""
    trace = stacked()
    x = np.array(trace.layers[0].values["x"])
    x[2, 0] = -3.0
    h, c = ([e.at(1 if e.direction == "forward" else 4)[s] for e in trace.layers]
            for s in ("h_prev", "c_prev"))  # fmt: skip
    expected = run(trace.model, x, h, c)
    now = EditedRun(trace).edited(EditablePlace(0, "x", (3, 0)), -3.0).trace
    for got, wanted in zip(now.layers, expected.layers, strict=True):
        assert (got.layer, got.direction) == (wanted.layer, wanted.direction)
        for symbol, values in wanted.values.items():
            assert np.array_equal(got.values[symbol], values), symbol
    assert not np.array_equal(now.layers[3].values["h"], trace.layers[3].values["h"])


def test_an_edit_above_leaves_the_layers_below() -> None:
    """An override in layer 1 backward changes that run alone."""
    trace = stacked()
    now = EditedRun(trace).edited(EditablePlace(3, "h_prev", (2, 1)), 0.4).trace
    for place in range(3):
        assert np.array_equal(now.layers[place].values["h"], trace.layers[place].values["h"])
    assert now.layers[3].at(2)["h_prev"][1] == 0.4
    assert not np.array_equal(now.layers[3].at(1)["h"], trace.layers[3].at(1)["h"])
    assert np.array_equal(now.layers[3].at(3)["h"], trace.layers[3].at(3)["h"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_run_that_is_cut_is_the_same_to_the_bit(dtype: str) -> None:
    """An edit that puts back what stood there, anywhere, gives the given run to the bit."""
    weights = random_weights(cell_named("peephole"), seed=4)
    trace = run(Model.single(weights), *random_inputs(weights, 5), dtype=dtype)
    again = EditedRun(trace).edited(EditablePlace(0, "x", (1, 0)), 9.0)
    again = again.edited(
        EditablePlace(0, "x", (1, 0)), number_at(trace, EditablePlace(0, "x", (1, 0)))
    )
    assert again.edits == ()
    edited = EditedRun(trace).edited(EditablePlace(0, "c_prev", (3, 1)), 7.0)
    edit = edited.edits[0]
    kept = type(edit)(edit.place, number_at(trace, edit.place))
    joined = edited_trace(trace, [kept])
    for symbol, values in trace.layers[0].values.items():
        assert joined.layers[0].values[symbol].dtype == values.dtype
        assert np.array_equal(joined.layers[0].values[symbol], values), symbol


def test_the_given_number_is_an_edit_where_another_would_follow() -> None:
    """A state set to what it was at first is held there, when an earlier edit has moved it."""
    trace = traced()
    place = EditablePlace(0, "c_prev", (3, 0))
    moved = EditedRun(trace).edited(EditablePlace(0, "x", (1, 0)), 5.0)
    held = moved.edited(place, number_at(trace, place))
    assert number_at(moved.trace, place) != number_at(trace, place)
    assert number_at(held.trace, place) == number_at(trace, place)
    assert len(held.edits) == 2


# ---- forced numbers, and everything at once


def by_hand(trace: Trace, edits: Sequence[NumberEdit]) -> list[list[dict[str, list[float]]]]:
    """Return each layer and direction's steps in input time, by the witness, edits put in by hand."""
    inside = {(e.place.run, e.place.name, e.place.index): e.value for e in edits}
    x = trace.layers[0].values["x"].tolist()
    for (_, name, index), value in inside.items():
        if name == "x":
            x[index[0] - 1][index[1]] = value
    made: list[list[dict[str, list[float]]]] = []
    for layer in trace.model.layers:
        for direction in layer.directions:
            run_ = len(made)
            made.append(_run_by_hand(trace, run_, x, {k[1:]: v for k, v in inside.items()
                                                      if k[0] == run_}))  # fmt: skip
            if direction == "backward":
                made[-1].reverse()
        own = made[-len(layer.directions) :]
        x = [[v for each in own for v in each[t]["h"]] for t in range(len(x))]
    return made


def _run_by_hand(
    trace: Trace, run_: int, x: list[list[float]], edits: dict[tuple[str, tuple[int, ...]], float]
) -> list[dict[str, list[float]]]:
    each = trace.layers[run_]
    arrays = {name: np.array(array) for name, array in each.weights.arrays.items()}
    for (name, index), value in edits.items():
        if name in arrays:
            arrays[name][index] = value
    witness = as_witness(replace(each.weights, arrays=arrays))
    times = list(range(1, len(x) + 1))
    if each.direction == "backward":
        times.reverse()
    h, c = (each.at(times[0])[s].tolist() for s in ("h_prev", "c_prev"))
    steps = []
    for t in times:
        h = [edits.get(("h_prev", (t, j)), v) for j, v in enumerate(h)]
        c = [edits.get(("c_prev", (t, j)), v) for j, v in enumerate(c)]
        steps.append(_step_by_hand(witness, x[t - 1], h, c, t, edits))
        h, c = steps[-1]["h"], steps[-1]["c"]
    return steps


def _step_by_hand(
    witness: Witness, x: list[float], h: list[float], c: list[float], t: int,
    edits: dict[tuple[str, tuple[int, ...]], float],
) -> dict[str, list[float]]:  # fmt: skip
    made = witness.step(x, h, c)
    for j in range(len(c)):
        for k in "figo":
            if (f"z_{k}", (t, j)) in edits:
                z = edits[f"z_{k}", (t, j)]
                made[k][j] = math.tanh(z) if k == "g" else 1 / (1 + math.exp(-z))
            made[k][j] = edits.get((k, (t, j)), made[k][j])
        new = made["f"][j] * c[j] + made["i"][j] * made["g"][j]
        made["c"][j] = edits.get(("c", (t, j)), new)
        made["h"][j] = edits.get(("h", (t, j)), made["o"][j] * math.tanh(made["c"][j]))
    return made


def assert_as_by_hand(edited: EditedRun) -> None:
    for each, steps in zip(edited.trace.layers, by_hand(edited.given, edited.edits), strict=True):
        for symbol in "figoch":
            expected = [step[symbol] for step in steps]
            assert np.allclose(each.values[symbol], expected, rtol=0, atol=1e-13), symbol


@pytest.mark.parametrize("symbol", ["z_f", "z_g", "f", "i", "g", "o", "c", "h"])
def test_a_forced_number_is_followed(symbol: str) -> None:
    """A row's number forced at a step is what the rows below it and the later steps read."""
    edited = EditedRun(traced()).edited(EditablePlace(0, symbol, (3, 2)), 0.375)
    assert edited.now(EditablePlace(0, symbol, (3, 2))) == 0.375
    assert_as_by_hand(edited)
    now, was = (each.layers[0].values for each in (edited.trace, edited.given))
    assert all(np.array_equal(now[s][:2], was[s][:2]) for s in was)
    assert changed(now["h"][3], was["h"][3]).all()


@pytest.mark.parametrize("seed", range(5))
def test_edits_of_every_kind_together(seed: int) -> None:
    """Random edits of a stack, both directions, are the witness's run with them put in by hand."""
    edited = EditedRun(stacked())
    generator = np.random.default_rng(seed)
    for _ in range(9):
        run_ = int(generator.integers(4))
        each = edited.given.layers[run_]
        names = ["h_prev", "c_prev", *each.cell.symbols, *each.weights.arrays] + ["x"] * (run_ < 2)
        name = str(generator.choice(names))
        array = each.weights.arrays.get(name, each.values.get(name))
        assert array is not None
        index = tuple(int(generator.integers(size)) for size in array.shape)
        if name in each.values:
            index = (index[0] + 1, *index[1:])
        place = place_of(edited.given, run_, name, index)
        edited = edited.edited(place, float(generator.uniform(-1, 1)))
    assert len(edited.edits) > 6
    assert_as_by_hand(edited)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_number_forced_to_what_it_is_changes_nothing(dtype: str) -> None:
    """A gate forced to its own number gives the given run to the bit."""
    weights = random_weights(cell_named("peephole+projection"), seed=4)
    trace = run(Model.single(weights), *random_inputs(weights, 5), dtype=dtype)
    place = EditablePlace(0, "i", (3, 1))
    again = edited_trace(trace, [NumberEdit(place, number_at(trace, place))])
    for symbol, values in trace.layers[0].values.items():
        assert again.layers[0].values[symbol].dtype == values.dtype
        assert np.array_equal(again.layers[0].values[symbol], values), symbol


def test_only_what_follows_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit at a step runs that step and those after it; a layer that it does not reach, none."""
    counts: list[int] = []

    def counted(rows: Sequence[Equation], *how: Any) -> dict[str, Array]:
        counts.append(len(rows))
        return evaluate_rows(rows, *how)

    trace = stacked(steps=6)
    monkeypatch.setattr("lstm_cli.engine.edits.evaluate_rows", counted)
    upper = EditedRun(trace).edited(EditablePlace(2, "c_prev", (5, 1)), 0.4).trace
    assert counts == [*[1] * 10, 10]  # step 5 row by row, and step 6
    assert all(upper.layers[k] is trace.layers[k] for k in (0, 1, 3))
    counts.clear()
    _ = EditedRun(trace).edited(EditablePlace(0, "x", (2, 1)), 0.4).trace
    # Forward 2 to 6, backward 2 to 1; above, all that they reach.
    assert counts == [10] * (5 + 2 + 6 + 6)


@pytest.mark.parametrize("name", SPECS)
def test_an_edited_run_is_the_run_of_its_inputs(name: str) -> None:
    """Edits of x, h0, c0 and weights give the plain run of the numbers that they leave."""
    trace = traced(name)
    edited = EditedRun(trace)
    for place, value in [
        (EditablePlace(0, "x", (3, 1)), 0.77), (EditablePlace(0, "h_prev", (1, 0)), -0.31),
        (EditablePlace(0, "c_prev", (1, 3)), 1.9), (EditablePlace(0, "b_o", (2,)), 0.45),
    ]:  # fmt: skip
        edited = edited.edited(place, value)
    fresh = run(edited.trace.model, *edited.trace.inputs)
    for symbol, values in fresh.layers[0].values.items():
        assert np.array_equal(edited.trace.layers[0].values[symbol], values), symbol


PLACES: dict[str, tuple[tuple[int, str, tuple[int, ...]], str]] = {
    "no such row": ((0, "q", (1, 1)), "no 'q'"),
    "past the end": ((0, "x", (5, 1)), r"x has no place \[5, 1\]"),
    "before the start": ((0, "x", (0, 1)), r"x has no place \[0, 1\]"),
    "no such unit": ((0, "x", (1, -1)), r"x has no place \[1, -1\]"),
    "a parameter over time": ((0, "b_f", (1, 1)), r"b_f has no place \[1, 1\]"),
    "x of an upper layer": ((2, "x", (1, 1)), "x of layer 1 is the output of layer 0"),
}


@pytest.mark.parametrize(("place", "words"), PLACES.values(), ids=PLACES)
def test_a_place_that_is_not_there_is_refused(
    place: tuple[int, str, tuple[int, ...]], words: str
) -> None:
    """An edit of a symbol, step or unit that the run does not have says what there is."""
    with pytest.raises(LstmStepError, match=words) as refused:
        place_of(stacked(), *place)
    assert refused.value.hint


# ---- undone and redone, and what changed


def test_edits_are_undone_and_redone() -> None:
    """Undo and redo go back and on among edits and resets; a new edit ends what could be redone."""
    trace = traced()
    history = EditHistory(trace)
    x, bias = EditablePlace(0, "x", (1, 2)), EditablePlace(0, "b_i", (1,))
    assert [history.undo(), history.redo(), history.reset()] == [False, False, False]
    assert [history.edit(x, 0.5), history.edit(bias, -0.25)] == [True, True]
    assert not history.edit(bias, -0.25)
    both = history.now
    assert [history.reset(), history.now.trace is trace] == [True, True]
    assert [history.undo(), history.now is both] == [True, True]
    assert [history.undo(), history.undo(), history.undo()] == [True, True, False]
    assert history.now.edits == ()
    assert [history.redo(), history.redo(), history.now is both] == [True, True, True]
    assert [history.redo(), history.now.edits] == [True, ()]
    assert [history.undo(), history.edit(x, 0.75), history.redo()] == [True, True, False]
    assert history.now.now(x) == 0.75
    assert history.now.was(x) == number_at(trace, x)


def test_an_edit_that_cannot_be_computed_changes_nothing() -> None:
    """A weight that is no finite number is refused, and the run stays as it was."""
    history = EditHistory(traced())
    before = history.now
    with pytest.raises(LstmStepError, match="finite"):
        history.edit(EditablePlace(0, "W_f", (0, 1)), math.inf)
    assert history.now is before
    assert not history.undo()


def test_differences_of_numbers_that_are_not_finite() -> None:
    """nan and inf that stay are no change; what becomes nan is one."""
    now, was = np.array([1.5, np.nan, np.inf, np.nan]), np.array([1.0, np.nan, np.inf, 2.0])
    assert changed(now, was).tolist() == [True, False, False, True]
    got = differences(now, was)
    assert got[:3].tolist() == [0.5, 0.0, 0.0]
    assert math.isnan(got[3])
