"""The first place that left the finite range: of a run, a batch, in every form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.cell.cells import LSTM, Settings, cell_named
from lstm_cli.cell.presets import preset_model
from lstm_cli.cell.weights import Layer, Model
from lstm_cli.engine.run import run
from tests.conftest import random_inputs, random_weights
from tests.tools import call

RELU = preset_model("identity", Settings(activations="relu,relu,relu").edit(LSTM),
                    sizes={"I": 2, "H": 2})  # fmt: skip
ENGINES = ("table", "numpy", "numba")
H, C = [0.25, -0.5], [0.75, 0.125]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_given_too_large_for_the_type_is_named(engine: str) -> None:
    """In float32 an x of 1e39 is the first place, and its step and unit are told."""
    trace = run(RELU, [[1.0, 2.0], [1e39, 1.0]], H, C, dtype="float32", engine=engine)
    (found,) = trace.warnings
    assert (found.symbol, found.unit, found.t) == ("x", 0, 2)
    assert found.text == "x[0] at t = 2 is beyond float32"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_row_that_overflows_is_named(engine: str) -> None:
    """Products of finite gates overflow in c; what follows from that is not told again."""
    trace = run(RELU, [[1.0, -2.0], [1e200, 1.0], [1e200, 1.0]], H, C, engine=engine)
    (found,) = trace.warnings
    assert found.text == "c[0] at t = 2 left the finite range of float64: it is inf"


def test_a_state_and_a_weight_beyond_the_type_are_named() -> None:
    """h0, c0 and weights are rounded as x is."""
    x = [[1.0, 2.0]]
    (state,) = run(RELU, x, [0.5, 1e300], C, dtype="float32").warnings
    assert state.text == "h_prev[1] at t = 1 is beyond float32"
    (state,) = run(RELU, x, H, [1e300, 2.0], dtype="float32").warnings
    assert state.text == "c_prev[0] at t = 1 is beyond float32"
    large = RELU.with_weights(
        lambda _, own: type(own)(own.cell, {**own.arrays, "b_i": np.array([0.5, -1e39])})
    )
    (weight,) = run(large, x, H, C, dtype="float32").warnings
    assert weight.text == "b_i[1] is beyond float32"


def test_what_is_given_infinite_is_no_surprise() -> None:
    """An infinite or nan input or state is the user's own; other samples are told of."""
    x = [[np.inf, 1.0]]
    for dtype in ("float64", "float32"):
        assert not run(RELU, x, H, C, dtype=dtype).warnings
        assert not run(RELU, [[1.0, 2.0]], H, [np.nan, 1.0], dtype=dtype).warnings
    both = run(RELU, [x, [[1e39, 1.0]]], [H, H], [C, C], dtype="float32")
    assert [(each.sample, each.symbol) for each in both.warnings] == [(1, "x")]


def test_a_finite_run_has_no_warnings() -> None:
    """Saturated gates are finite."""
    assert not run(RELU, [[1e3, -1e3]], H, C).warnings


def test_each_place_has_its_layer_and_direction() -> None:
    """The backward direction starts at the last step, and that is its first place."""
    cell = Settings(activations="relu,relu,relu").edit(cell_named("lstm"))
    relu, tanh = (random_weights(each, seed=k) for k, each in enumerate((cell, LSTM)))
    model = Model((Layer({"forward": tanh, "backward": relu}),))
    x, h, c = random_inputs(tanh, 5, seed=1)
    x[2:] = 1e300
    (found,) = run(model, x, [h, h], [c, c]).warnings
    assert (found.layer, found.direction, found.t) == (0, "backward", 5)
    assert found.text.startswith("layer 0 backward: ")


def test_the_place_is_an_input_time_whatever_is_run() -> None:
    """With a mask or calls t counts all steps, and first is what was computed first."""
    x = np.array([[1.0, 2.0], [1e200, 1.0], [1.0, -2.0], [1e200, 2.0]])
    (masked,) = run(RELU, x, H, C, mask=[1, 0, 1, 1]).warnings
    assert masked.t == 4
    back = Model((Layer({"backward": RELU.first}),))
    assert [each.t for each in run(back, x, H, C).warnings] == [4]
    assert [each.t for each in run(back, x, H, C, calls=[3, 1]).warnings] == [2]
    mixed = run(RELU, [x, x], [H, H], [C, C], dtype="float32", lengths=[1, 4])
    assert [(each.sample, each.symbol, each.t) for each in mixed.warnings] == [(1, "x", 2)]


def test_the_command_says_it_on_stderr_and_in_json(tmp_path: Path) -> None:
    """The answer is as before, the warning is on stderr, and JSON has its place."""
    line = ("--x", "1e39,1", "--dtype", "float32", "--activations", "relu,relu,relu")
    said = "warning: x[0] at t = 1 is beyond float32\n"
    for form in ("table", "plain", "csv", "markdown", "c", "json"):
        answer = call(*line, "-f", form)
        assert answer.code == 0
        assert said in answer.err
    place = {"layer": 0, "direction": "forward", "t": 1, "symbol": "x", "unit": 0,
             "message": "x[0] at t = 1 is beyond float32"}  # fmt: skip
    assert answer.json["warnings"] == [place]
    for command in ("grad", "explain"):
        answer = call(command, *line, "--json")
        assert said in answer.err
        assert answer.json["warnings"] == [place]
    assert "warnings" not in call("--x", "1,2", "--json").json


def test_strict_fails_a_run_that_left_the_finite_range() -> None:
    """With --strict the answer is whole, and the exit code 1."""
    line = ("--x", "1e200;2", "--activations", "relu,relu,relu")
    answer = call(*line, "-f", "csv", "--strict")
    assert answer.code == 1
    assert answer.out == call(*line, "-f", "csv").out
    assert call("--x", "1;2", "--strict").code == 0


def test_a_long_run_says_what_a_short_one_does(tmp_path: Path) -> None:
    """A run that is written as it goes has the same warnings, in its JSON too."""
    x = np.linspace(-0.5, 0.5, 80_000).reshape(-1, 2)
    x[30_000] = 1e200
    np.save(tmp_path / "x.npy", x)
    line = ("--x", f"@{tmp_path / 'x.npy'}", "--activations", "relu,relu,relu")
    answer = call(*line, "-f", "json", "--strict", "-o", tmp_path / "long.json")
    assert answer.code == 1
    text = "c[0] at t = 30001 left the finite range of float64: it is inf"
    assert f"warning: {text}" in answer.err
    (found,) = json.loads((tmp_path / "long.json").read_text())["warnings"]
    assert (found["t"], found["message"]) == (30_001, text)


def test_batch_says_it_in_the_record_and_counts_it() -> None:
    """Each sample's record has its own first place; stderr counts them; --strict is exit 1."""
    samples = [{"id": "a", "x": [1e200, 1]}, {"id": "b", "x": [1, 2]}, {"id": "c", "x": [1e200, 3]}]
    lines = "".join(json.dumps(each) + "\n" for each in samples)
    line = ("batch", "-", "--activations", "relu,relu,relu")
    answer = call(*line, stdin=lines)
    assert answer.code == 0
    text = "c[0] at t = 1 left the finite range of float64: it is inf"
    assert f"warning: {text} (2 samples)" in answer.err
    assert [each.get("warnings", [{}])[0].get("message") for each in answer.lines] == [
        text, None, text
    ]  # fmt: skip
    assert "sample" not in answer.lines[0]["warnings"][0]
    assert call(*line, "--strict", stdin=lines).code == 1
    rows = call(*line, "-f", "csv", stdin=lines).out.splitlines()
    assert "warnings" in rows[0].split(",")
    assert [text in row for row in rows[1:]] == [True, False, True]
    again = call("batch", "-", stdin=answer.out)
    assert "handed on" not in again.err
