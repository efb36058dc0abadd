"""Runs in several calls, states carried over: PyTorch's numbers, and those of runs one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.errors import LstmStepError, ShapeError, UsageError
from lstm_cli.cell.cells import LSTM
from lstm_cli.cell.weights import Layer, Model
from lstm_cli.engine.calls import calls_of
from lstm_cli.engine.edits import EditablePlace, NumberEdit, edited_trace
from lstm_cli.engine.fixed_point import beside
from lstm_cli.engine.fixed_settings import FixedSettings
from lstm_cli.engine.grad import check, grad, through_time
from lstm_cli.engine.run import Trace, run
from lstm_cli.formats.read import model_from_arrays
from tests.conftest import random_weights

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "calls" / "torch_calls.json").read_text()
)
STEPS = len(GOLDEN["x"])


def golden_run(calls: Any = tuple(GOLDEN["calls"]), **options: Any) -> Trace:
    """Run what PyTorch ran: two layers in both directions."""
    arrays = {name: np.array(array) for name, array in GOLDEN["weights"].items()}
    inputs = GOLDEN["x"], GOLDEN["h"], GOLDEN["c"]
    return run(model_from_arrays(arrays), *inputs, calls=calls, **options)


def one_layer(direction: Any, calls: Any = (), steps: int = 4) -> Trace:
    """Run one layer in one direction, always with the same numbers."""
    generator = np.random.default_rng(3)
    model = Model((Layer({direction: random_weights(LSTM, 3, 4, seed=2)}),))
    return run(model, *(generator.uniform(-1, 1, n) for n in ((steps, 3), 4, 4)), calls=calls)


def values_of(trace: Any) -> list[dict[str, list[list[float]]]]:
    """Return every number of a run."""
    return [{k: v.tolist() for k, v in each.values.items()} for each in trace.layers]


@pytest.mark.parametrize("engine", ["table", "numpy", "numba"])
def test_pytorch_called_several_times(engine: str) -> None:
    """All outputs and the states at the end of each call are PyTorch's, on every engine."""
    if engine == "numba":
        pytest.importorskip("numba")
    trace = golden_run(engine=engine)
    np.testing.assert_allclose(trace.output, GOLDEN["output"], rtol=0, atol=1e-13)
    for number, ends in enumerate(GOLDEN["ends"]):
        for place, each in enumerate(trace.layers):
            for state in "hc":
                got = each.final(state, number)
                np.testing.assert_allclose(got, ends[state][place], rtol=0, atol=1e-13)
    assert np.abs(golden_run(calls=()).output - trace.output).max() > 1e-2


@pytest.mark.parametrize("calls", [(6,), np.array([2, 4]), "1x6", "3,1x3"])
def test_runs_one_by_one(calls: Any) -> None:
    """A run in calls is, bit by bit, runs of which each starts where the one before ended."""
    whole, start = golden_run(calls), 0
    h, c, parts = GOLDEN["h"], GOLDEN["c"], []
    for length in calls_of(calls, STEPS):
        part = run(whole.model, GOLDEN["x"][start : start + length], h, c)
        h, c = ([each.final(state) for each in part.layers] for state in "hc")
        parts.append(part)
        start += length
    for place, each in enumerate(whole.layers):
        for symbol, values in each.values.items():
            joined = np.concatenate([part.layers[place].values[symbol] for part in parts])
            assert np.array_equal(values, joined)
    assert whole.h.tolist() == parts[-1].h.tolist()
    assert [x.tolist() for x in whole.inputs[1]] == GOLDEN["h"]


def test_a_forward_direction_does_not_notice() -> None:
    """Forward alone, calls change no number and show the states in between."""
    whole, parted = one_layer("forward"), one_layer("forward", (1, 3))
    assert values_of(whole) == values_of(parted)
    assert parted.layers[0].final("c", 0).tolist() == whole["c"][0].tolist()


def test_backward_in_calls_of_one_step_is_forward() -> None:
    """With calls of one step a backward direction has the order, and all numbers, of a forward one.

    So have its integers, its gradients and how these flow.
    """
    forward, backward = one_layer("forward"), one_layer("backward", "1x4")
    assert values_of(forward) == values_of(backward)
    settings = FixedSettings.parse("Q3.12")
    assert values_of(beside(forward, settings)) == values_of(beside(backward, settings))
    assert values_of(grad(forward)) == values_of(grad(backward))
    (one,), (other,) = through_time(forward), through_time(backward)
    assert one.c.tolist() == other.c.tolist()
    assert one.kept is not None
    assert other.kept is not None
    assert one.kept.tolist() == other.kept.tolist()


def test_the_gradient_goes_through_all_calls() -> None:
    """The gradient of a run in calls is the one that central differences measure."""
    trace = golden_run()
    assert check(trace, grad(trace)).passed


def test_an_edited_run_has_the_same_calls() -> None:
    """What follows from an edit, before a border of calls too, is a fresh run's."""
    trace = golden_run()
    x = np.array(GOLDEN["x"])
    x[1, 0] = 0.75
    again = run(trace.model, x, GOLDEN["h"], GOLDEN["c"], calls=GOLDEN["calls"])
    edited = edited_trace(trace, [NumberEdit(EditablePlace(0, "x", (2, 0)), 0.75)])
    assert values_of(edited) == values_of(again)


def test_samples_share_their_calls() -> None:
    """Each of several samples has the numbers that it has alone."""
    model = golden_run().model
    x = np.random.default_rng(1).uniform(-1, 1, (3, 6, 2))
    together = run(model, x, calls=[4, 2])
    for sample, rows in enumerate(x):
        alone = run(model, rows, calls=[4, 2])
        np.testing.assert_allclose(together.output[sample], alone.output, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("calls", "kind", "words"),
    [
        ((2, 3), ShapeError, "calls has 5 steps, the run has 6"),
        ("1x7", ShapeError, "calls has 7 steps"),
        ("1x999999999", ShapeError, "999999999 steps"),
        ((3, 0, 3), UsageError, "not lengths from 1"),
        ("6x0", UsageError, "not lengths from 1"),
        ((-6, 12), UsageError, "-6, 12"),
        ((3.0, 3.0), UsageError, "not lengths"),
        ("3+3", UsageError, "3+3"),
        (" , ", UsageError, "not lengths"),
    ],
)
def test_what_is_no_calls(calls: Any, kind: type[LstmStepError], words: str) -> None:
    """Lengths that are none, or do not add up to the run, are refused with both sides."""
    with pytest.raises(kind) as caught:
        golden_run(calls)
    assert words in caught.value.what


@pytest.mark.parametrize(("calls", "hint"), [("3", "3x2"), ("4", "1x6")])
def test_one_length_for_all_is_proposed(calls: str, hint: str) -> None:
    """Who gives the length of one call is told how to give that of all."""
    with pytest.raises(ShapeError) as caught:
        golden_run(calls)
    assert caught.value.hint == f"calls='{hint}'"
