"""Numbers whose name or shape leaves open what they are: recognized, and said, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError
from lstm_cli.cell.cells import LSTM, cell_named
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.commands.convert.conversion import convert
from lstm_cli.engine.run import Trace, run
from lstm_cli.mistakes.diagnosis import diagnose
from lstm_cli.mistakes.expected import read_expected
from tests.commands.test_schemas import validator
from tests.conftest import random_inputs, random_weights
from tests.engine.test_merges import FINAL, OUTPUTS, STATES, X, keras_model
from tests.tools import assert_refused, call


def stack() -> Trace:
    """Return a run of two layers of both directions: T = 3, H = 4 and 2·4 units side by side."""
    layers = [
        Layer({"forward": random_weights(LSTM, inputs, seed=seed),
               "backward": random_weights(LSTM, inputs, seed=seed + 1)})
        for inputs, seed in ((3, 1), (8, 3))
    ]  # fmt: skip
    x, _, _ = random_inputs(layers[0].directions["forward"], 3)
    states = np.random.default_rng(6).uniform(-1, 1, (2, 4, 4))
    return run(Model(tuple(layers)), x, *states)


def told(numbers: Array, name: str = "output", trace: Trace | None = None, **options: Any) -> str:
    """Return how numbers that match are read."""
    diagnosis = diagnose(
        trace or stack(), read_expected({name: numbers}, trace or stack(), **options)
    )
    assert diagnosis.verdict == "match"
    return "; ".join(diagnosis.claims.assumptions)


@pytest.mark.parametrize("merge", ["sum", "mul", "ave"])
def test_a_merge_by_hand_is_recognized_by_its_numbers(merge: str) -> None:
    """Keras' merged outputs match the run of a model that does not merge, and it is said."""
    trace = run(keras_model("concat"), X, **STATES)
    said = told(np.array(OUTPUTS[merge]), trace=trace)
    assert said == (
        f"output of shape (3, 2) is read as the directions merged by {merge}, the nearest of 5 "
        "readings"
    )


def test_the_merge_of_the_model_needs_no_word() -> None:
    """Where the model says how it merges, its output is compared with nothing else."""
    trace = run(keras_model("ave"), X, **STATES)
    assert told(np.array(OUTPUTS["ave"]), trace=trace) == ""
    summed = diagnose(trace, {"output": np.array(OUTPUTS["sum"])}, departures=1)
    assert summed.verdict == "unexplained"
    assert "merged by sum the directions agree: here they are merged by ave" in summed.signature
    assert "the directions side by side" in told(np.array(OUTPUTS["concat"]), trace=trace)


def test_the_final_state_alone_may_be_merged() -> None:
    """What Keras gives without return_sequences: h merged, each direction after its last step."""
    merged_final = np.array(FINAL[:2]) * np.array(FINAL[2:])
    said = told(merged_final, "h", run(keras_model("concat"), X, **STATES))
    assert "merged by mul" in said


def test_a_mistake_is_found_in_a_merged_output() -> None:
    """Weights of f and i exchanged in both directions are found in the sum of their outputs."""
    swapped = keras_model("sum").with_weights(
        lambda _, own: LstmWeights(own.cell, {
            f"{kind}_{k}": own.arrays[f"{kind}_{other}"]
            for kind in "Wb" for k, other in zip("figo", "ifgo", strict=True)
        })
    )  # fmt: skip
    theirs = run(swapped, X, **STATES).output
    diagnosis = diagnose(run(keras_model("sum"), X, **STATES), {"output": theirs})
    assert diagnosis.verdict == "explained"
    assert diagnosis.findings[0].id == "gates-figo"
    assert diagnosis.first is not None
    assert (diagnosis.first.symbol, diagnosis.first.direction) == ("output", "both")


SHAPES: dict[str, tuple[Any, str, str]] = {
    "batch-first": (lambda t: t.output[None], "output", "one sample"),
    "time-first": (lambda t: t.output[:, None], "output", "one sample"),
    "transposed": (lambda t: t.output.T, "output", "transposed"),
    "onnx": (lambda t: t.output.reshape(3, 2, 1, 4), "output", "directions on an axis of their own"),
    "last-step": (lambda t: t.output[-1], "output", "the last step alone"),
    "final": (lambda t: t.h, "output", "the final state alone"),
    "one-direction": (lambda t: t["layer1.backward.h"], "output", "the backward direction alone"),
    "a-row-a-direction": (lambda t: t.h.reshape(2, 1, 4), "h", "a row a direction"),
    "h_n": (
        lambda t: np.stack([each.final("h") for each in t.layers])[:, None], "h",
        "a row a direction, one row per layer and direction",
    ),
    "c_n": (
        lambda t: np.stack([each.final("c") for each in t.layers]), "c",
        "a row a direction, one row per layer and direction",
    ),
    "one-gate": (lambda t: t["layer1.forward.f"][-1], "f", "the forward direction alone"),
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPES)
def test_a_shape_is_recognized(case: str) -> None:
    """Axes of 1, of directions and of layers, and a part of the output match, and it is said."""
    made, name, words = SHAPES[case]
    numbers = np.asarray(made(stack()))
    assert f"of shape {numbers.shape} is read as {words}" in told(numbers, name)


def test_numbers_of_the_runs_own_shape_are_reordered_only_if_they_agree() -> None:
    """h_n of as many layers as there are steps, a transposed square; mistakes keep their place."""
    low, high = (random_weights(LSTM, inputs, seed=inputs) for inputs in (3, 4))
    x, h, c = random_inputs(low, 4)
    deep = run(Model((Layer({"forward": low}), Layer({"forward": high}))), x[:2], [h, c], [c, h])
    final = np.stack([each.final("h") for each in deep.layers])
    assert "one row per layer and direction" in told(final, "h", deep)
    assert told(deep.output, "h", deep) == ""
    square = run(Model.single(low), x, h, c)
    assert "transposed" in told(square.output.T, "output", square)
    assert told(square.output, "output", square) == ""
    wrong = read_expected({"output": square.output.T + 0.01}, square)
    assert wrong.assumptions == ()


@pytest.mark.parametrize("axis", [0, 1])
def test_one_sample_of_a_batch_is_taken(axis: int) -> None:
    """Of outputs of several samples the one that ran is compared, with or without steps."""
    trace = stack()
    others = np.zeros_like(trace.output)
    several = np.stack([others, others + 1, trace.output, others], axis=axis)
    assert "sample 2 of 4" in told(several, sample=(2, 4))
    assert "sample 1 of 2" in told(np.stack([trace.h - 1, trace.h]), "h", sample=(1, 2))
    with pytest.raises(ShapeError) as caught:
        read_expected({"output": several}, trace)
    assert "of the one sample that is run" in str(caught.value.lines.hint)


def test_states_of_all_layers_need_no_name() -> None:
    """c_n of PyTorch is told from h_n by its numbers."""
    trace = stack()
    said = told(np.stack([each.final("c") for each in trace.layers])[:, None], "", trace)
    assert said.startswith("numbers without a name are read as c; ")


@pytest.mark.parametrize(("name", "steps"), [("c", 1), ("output", 3), ("z_o", 3)])
def test_numbers_without_a_name_are_those_that_they_agree_with(name: str, steps: int) -> None:
    """The row whose shape and numbers fit is taken; the others that fit are said."""
    weights = random_weights(LSTM)
    trace = run(Model.single(weights), *random_inputs(weights, 3))
    numbers = trace["h" if name == "output" else name]
    said = told(numbers if steps > 1 else numbers[-1], "", trace)
    assert said.startswith(f"numbers without a name are read as {name}; ")
    assert " f, " in said


def test_numbers_without_a_name_that_agree_with_nothing_are_h() -> None:
    """Wrong numbers without a name are compared with h, or with the only row of their size."""
    weights = random_weights(cell_named("projection"))
    trace = run(Model.single(weights), *random_inputs(weights, 3))
    wrong = read_expected({"": np.array([0.5, 0.25])}, trace)
    assert [each.symbol for each in wrong.vectors] == ["h"]
    assert "numbers without a name are read as h" in wrong.assumptions
    with pytest.raises(ShapeError, match=r"h has shape \(5,\), but the run gives \(2,\)"):
        read_expected({"": np.zeros(5)}, trace)


@pytest.mark.parametrize(
    ("name", "shape", "what", "hint"),
    [("layer0.h", (3,), r"h has shape \(3,\), but the run gives \(8,\)", "x would fit"),
     ("layer0.forward.h", (4, 5, 6), r"\(4, 5, 6\), but the run gives \(3, 4\)", "give"),
     ("output", (4, 8), r"\(4, 8\), but the run gives \(3, 8\)", "the run has 3 steps"),
     ("h@4", (8,), "'4' is outside 1 to 3", "1:3"),
     ("h[8]", (1,), "'8' is outside 0 to 7", "0 to 7"),
     ("layer2.f", (4,), "no layer2, it has layer0.forward, layer0.backward", "layer1.backward")],
)  # fmt: skip
def test_what_fits_nowhere_is_refused(name: str, shape: Any, what: str, hint: str) -> None:
    """The error names both sides, and what there is."""
    with pytest.raises((InputError, ShapeError), match=what) as caught:
        read_expected({name: np.full(shape, 0.1)}, stack())
    if name != "layer0.forward.h":
        assert hint in str(caught.value.lines.hint)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of the weights whose outputs Keras made, without a word on how they are merged."""
    convert(keras_model("concat"), tmp_path / "both.safetensors", "pytorch")
    return tmp_path / "both.safetensors"


def rows(array: Any) -> str:
    """Write rows as they are typed."""
    return ";".join(",".join(map(repr, row)) for row in np.atleast_2d(array).tolist())


def test_diagnose_takes_numbers_without_a_name(file: Path) -> None:
    """`--expect ROWS` is read by its numbers; JSON has it among the assumptions."""
    own = ["-w", file, f"--x={rows(X)}", f"--h={rows(STATES['h'])}", f"--c={rows(STATES['c'])}"]
    answer = call("diagnose", *own, "--expect", " " + rows(OUTPUTS["sum"]), "--json")
    assert answer.code == 0, answer.err
    (record,) = answer.lines
    validator("diagnose").validate(record)
    assert record["assumptions"] == [
        "numbers without a name are read as output",
        "output of shape (3, 2) is read as the directions merged by sum, the nearest of 5 readings",
    ]
    merging = call("diagnose", *own, "--merge", "sum", "-e", f"output={rows(OUTPUTS['sum'])}")
    assert "output is the sum of the two directions" in merging.out
    twice = call("diagnose", *own, "--expect", "h=1,2,3,4", "--expect", "h=1,2,3,5")
    assert_refused(twice, 2, "--expect gives h twice")


def test_a_sample_takes_its_rows_of_the_states_and_of_what_is_expected(
    file: Path, tmp_path: Path
) -> None:
    """`--sample 1` of x (3, T, I) takes h and c in either order of axes, and output."""
    x = np.stack([X + 1, X, X - 1])
    h, c = (np.stack([np.add(state, 1), state, np.subtract(state, 1)]) for state in STATES.values())
    y = np.stack([np.zeros((3, 4)), OUTPUTS["concat"], np.ones((3, 4))])
    for axes in ((0, 1, 2), (1, 0, 2)):
        for name, array in (("x", x), ("h", h.transpose(axes)), ("c", c.transpose(axes)), ("y", y)):
            np.save(tmp_path / f"{name}.npy", array)
        given = [f"--{name}=@{tmp_path / name}.npy" for name in "xhc"]
        answer = call("diagnose", "-w", file, *given, "--sample", 1,
                      "--expect", f"output=@{tmp_path / 'y'}.npy", "--json")  # fmt: skip
        assert answer.code == 0, answer.err
        assert answer.lines[0]["verdict"] == "match"
        assert "sample 1 of 3" in answer.lines[0]["assumptions"][0]


def test_states_may_have_pytorchs_axis_of_one_sample(file: Path, tmp_path: Path) -> None:
    """h0 and c0 of shape (L·D, 1, P) are those of the one sample, with x as (T, I) or (1, T, I)."""
    for name in "hc":
        np.save(tmp_path / f"{name}.npy", np.array(STATES[name])[:, None])
    for x in (X, X[None]):
        np.save(tmp_path / "x.npy", x)
        given = [f"--{name}=@{tmp_path / name}.npy" for name in "xhc"]
        answer = call("-w", file, *given, "--json")
        assert np.allclose(np.squeeze(answer.json["h"]), FINAL, rtol=0, atol=1e-7)


def test_rows_of_a_state_that_may_be_samples_or_layers_are_refused(
    file: Path, tmp_path: Path
) -> None:
    """Two samples of a model of two rows: nothing tells which axis is which."""
    np.save(tmp_path / "x.npy", np.stack([X, X - 1]))
    np.save(tmp_path / "h.npy", np.stack([STATES["h"], STATES["h"]]))
    given = ["-w", file, "--x", f"@{tmp_path / 'x.npy'}", "--h", f"@{tmp_path / 'h.npy'}"]
    assert_refused(call(*given, "--sample", 1), 2, "--h has shape (2, 2, 2)", "2 samples")


def test_batch_recognizes_the_same_shapes_for_each_sample(file: Path, tmp_path: Path) -> None:
    """Samples of one shape may be merged differently; each record says how it is read."""
    own = {"x": X.tolist(), **STATES, "weights": str(file)}
    expected: list[Any] = [{"output": OUTPUTS[merge]} for merge in ("sum", "ave", "mul")]
    expected += [{"output": [OUTPUTS["concat"]]}, {"h": [FINAL[:2], FINAL[2:]]}, {"h": FINAL}]
    samples = tmp_path / "samples.jsonl"
    samples.write_text("".join(json.dumps({**own, "expected": e}) + "\n" for e in expected))
    answer = call("batch", samples, "--check", "--atol", "1e-12")
    assert answer.code == 0, answer.err
    said = [record["assumptions"] for record in answer.lines]
    assert [len(each) for each in said] == [1, 1, 1, 1, 1, 0]
    for one, words in zip(
        said, ("by sum", "by ave", "by mul", "one sample", "a row a d"), strict=False
    ):
        assert words in one[0]
    validator("batch").validate(answer.lines[0])
    assert "merged by ave" in answer.err
    merging = call("batch", samples, "--check", "--merge", "sum")
    assert merging.lines[0]["check"]["matched"]
    assert not merging.lines[1]["check"]["matched"]


def test_vet_refuses_a_merged_output(file: Path, tmp_path: Path) -> None:
    """What it cannot try is said, with what to expect in its place."""
    sample = {
        "x": X.tolist(),
        **STATES,
        "weights": str(file),
        "expected": {"output": OUTPUTS["ave"]},
    }
    (tmp_path / "one.json").write_text(json.dumps(sample))
    answer = call("vet", tmp_path / "one.json")
    assert "has its directions merged, which vet does not try" in answer.out + answer.err
