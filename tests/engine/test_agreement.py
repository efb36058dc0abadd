"""When two numbers agree: by their print, their type, and the arithmetic of the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.cell.cells import LSTM
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.engine.agreement import Float32Noise, precision_of, room_of, rounding_of
from lstm_cli.engine.run import Trace, run
from lstm_cli.mistakes.diagnosis import diagnose
from lstm_cli.mistakes.expected import read_expected
from lstm_cli.mistakes.states import NARROW_TYPES
from tests.cases import Case, golden_cases
from tests.conftest import random_inputs, random_weights
from tests.tools import SAMPLES, call

# What ONNX Runtime computed in float32, on states that are not zero: variants, both directions.
LIVE = [case for case in golden_cases() if case.id.startswith("onnxruntime_live/")]
PRINTS: dict[str, Callable[[np.float32], str]] = {
    "%f": lambda v: f"{v:f}", "%e": lambda v: f"{v:e}", "%g": lambda v: f"{v:g}",
    "%.4g": lambda v: f"{v:.4g}", "%.3f": lambda v: f"{v:.3f}", "%.9g": lambda v: f"{v:.9g}",
    "%.12f": lambda v: f"{v:.12f}", "shortest": str,
}  # fmt: skip


def printed(values: Array, how: Callable[[np.float32], str]) -> Array:
    return np.vectorize(lambda value: float(how(value)))(values.astype(np.float32))


@pytest.mark.parametrize("how", PRINTS)
@pytest.mark.parametrize("case", LIVE, ids=lambda case: case.id)
def test_right_numbers_match_in_every_print(case: Case, how: str) -> None:
    """What ONNX Runtime computed in float32 is a match to `diagnose` however it is printed."""
    assert case.h is not None
    assert case.c is not None
    first = (..., 0, slice(None)) if case.h.ndim > 2 else 0  # (L·D, N, n) of several directions
    trace = run(case.model(), case.x[0], case.h[first], case.c[first])
    told = {name: printed(rows[0], PRINTS[how]) for name, rows in case.expected.items()}
    assert diagnose(trace, told).verdict == "match"


@pytest.mark.parametrize(("numbers", "words", "kind"), [
    ([0.4750, 0.68], "3 decimals", "float32"), ([0.4751], "4 decimals", "float32"),
    ([1e-7], "7 decimals", "float32"), ([0.12345678901234567], "full precision", "float64"),
    ([0.1234567891], "10 decimals", "float64"), ([0.5, 1.0, -9.0], "1 decimal", "float32"),
    ([0.0, 1.0, 9.0], "integers, read as 2 decimals", "float32"),
    ([0.0123, 0.123, 0.456, 0.00345], "3 significant digits", "float32"),
    ([1.0, 0.1234, 1.0, 0.5678, 1.0, -1.0], "4 decimals", "float32"),
    ([0.123456, 0.0234567, 1.23456, -0.00345678], "6 significant digits", "float32"),
    ([float(np.float32(0.1)), float(np.float32(0.7))], "float32", "float32"),
    ([float(np.float16(0.1)), float(np.float16(0.7))], "float16", "float16"),
    ([0.57471, 0.33252, 0.25098, 0.71484], "float16", "float16"),  # of five decimals each
    ([0.57471, 0.33252, 0.25098, 0.71487], "5 decimals", "float32"),  # the last is none
    ([0.0, 0.5, 1.0], "1 decimal", "float32"),  # bfloat16 too, which says nothing
    ([12.0, 7.0, 250.0, 100.0, 33.0, 21.0], "integers, read as 2 decimals", "float32"),
    ([0.125, 0.375, 0.625, 0.875] * 5, "3 decimals", "float32"),  # as people choose them
    ([10.375, 2.625, 0.125, 5.5, 0.875, 7.25], "3 decimals", "float32"),
    ([0.0625, 0.5, 0.75, 0.5, 0.625, 0.25] * 3, "3 significant digits", "float32"),
    ([0.0020751953125, -0.7275390625, 0.9345703125, -0.3203125], "float16", "float16"),
    ([-1.0441112, 0.3440911, 0.0865629], "7 decimals", "float32"),  # of which the first is cut off
    ([0.179457589, 0.049009956, 0.344000011], "9 decimals", "float32"),  # all are
    ([0.179457589, 0.049009955, 0.344000021], "9 decimals", "float64"),
])  # fmt: skip
def test_numbers_tell_their_precision(numbers: list[float], words: str, kind: str) -> None:
    """As many digits as were written are compared; a narrower type is told where it can be seen."""
    found = precision_of(np.array(numbers))
    assert (found.words, found.kind) == (words, kind)


@pytest.mark.parametrize(("text", "words"), [
    ("0.4750,0.6800", "4 decimals"),
    ("0.3700,0.5200,0.2000", "2 decimals"),  # zeros behind all of them are filling
    ("4.750e-1,6.80e-1", "4 decimals"),
    ("0.475,?,0.68", "3 decimals"),
])  # fmt: skip
@pytest.mark.few(2)
def test_zeros_at_the_end_count_as_written(text: str, words: str, tmp_path: Path) -> None:
    """On the command line and in text files 0.4750 has four decimals."""
    x = ",".join(["0.1"] * len(text.split(",")))
    (tmp_path / "f.csv").write_text(text.replace("?", "nan") + "\n")
    for given in (text, f"@{tmp_path / 'f.csv'}"):
        (record,) = call("diagnose", "--x", x, "--expect", f"f={given}", "--json").lines
        assert record["precision"] == {"f": words}


def test_a_tolerance_that_is_given_is_the_tolerance() -> None:
    """`--atol` stands in place of digits and arithmetic, in diagnose as in batch."""
    sample = {"x": [0.3], "weights": {"preset": "identity"}, "h": [0.2], "c": [0.1]}
    right = json.loads(call("batch", "-", "-q", stdin=json.dumps(sample)).out)["h"][0]
    told = json.dumps({**sample, "expected": {"h": [round(right, 4)]}})
    for options, code in (((), 0), (("--atol", "1e-4"), 0), (("--atol", "1e-7"), 1)):
        assert call("batch", "-", "-q", "--check", *options, stdin=told).code == code
        assert call("diagnose", "-", *options, stdin=told).code == code


def lab(steps: int = 6, seed: int = 4) -> tuple[Trace, LstmWeights, tuple[Array, Array, Array]]:
    """Return a run of some units, its weights and its inputs."""
    weights = random_weights(LSTM, 5, 4, seed=seed)
    inputs = random_inputs(weights, steps)
    return run(Model.single(weights), *inputs), weights, inputs


def told_of(trace: Trace, decimals: int, *symbols: str) -> dict[str, Array]:
    return {symbol: np.round(trace[symbol], decimals) for symbol in symbols}


@pytest.mark.parametrize("decimals", [3, 4, 5, 6])
@pytest.mark.parametrize("off", [1e-3, 3e-3, 1e-2, 3e-2])
@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.few(8)
def test_one_wrong_weight_is_no_type(decimals: int, off: float, steps: int) -> None:
    """Numbers off by a wrong weight are never told as computed in a narrow type."""
    trace, weights, inputs = lab(steps)
    W = weights.arrays["W_o"].copy()
    W[1, 2] += off
    wrong = LstmWeights(LSTM, {**weights.arrays, "W_o": W})
    theirs = run(Model.single(wrong), *inputs)
    found = diagnose(trace, told_of(theirs, decimals, "h"), departures=1)
    if found.verdict != "match":  # else all is below the digits
        assert not any(row.id in NARROW_TYPES for each in found.findings for row in each.departures)
        assert found.first is not None


def in_float16(trace: Trace, inputs: tuple[Array, ...], weights: LstmWeights) -> dict[str, Array]:
    """Return h and c of a run in which every number is a float16, by plain NumPy."""
    arrays = {name: array.astype(np.float16) for name, array in weights.arrays.items()}
    x, h, c = (np.asarray(each).astype(np.float16) for each in inputs)
    kept: dict[str, list[Array]] = {"h": [], "c": []}
    for row in x:
        joined = np.concatenate([h, row])
        z = {k: (arrays[f"W_{k}"] @ joined + arrays[f"b_{k}"]) for k in "figo"}
        f, i, o = (1 / (1 + np.exp(-z[k])) for k in "fio")
        c = f * c + i * np.tanh(z["g"])
        h = o * np.tanh(c)
        kept["h"].append(h)
        kept["c"].append(c)
    assert h.dtype == np.float16
    return {name: np.array(rows).astype(float) for name, rows in kept.items()}


def test_numbers_of_a_narrow_type_match_and_say_so() -> None:
    """A run in float16 matches, printed in full, to five decimals or as short as NumPy does."""
    trace, weights, inputs = lab()
    exact = in_float16(trace, inputs, weights)
    for told in (exact, {k: np.round(v, 5) for k, v in exact.items()},
                 {k: np.vectorize(lambda v: float(str(np.float16(v))))(v) for k, v in exact.items()}):  # fmt: skip
        found = diagnose(trace, told)
        assert (found.verdict, [each.id for each in found.findings]) == ("match", ["float16"])
        assert set(found.claims.precision) == {"h", "c"}
    other = {**exact, "c": exact["c"] * [1, 1, 1, 1.5]}
    assert diagnose(trace, other, departures=1).verdict != "match"


def test_numbers_only_stored_in_a_narrow_type_are_not_computed_in_it() -> None:
    """Right numbers rounded to float16 match, and no arithmetic is claimed."""
    trace, *_ = lab()
    found = diagnose(trace, {"h": trace.output.astype(np.float16).astype(float)})
    assert (found.verdict, found.findings) == ("match", ())


def test_cut_digits_are_told_only_where_rounding_does_not_explain_them() -> None:
    """Rounded float32 numbers are a plain match; cut ones say so; cut and rounded ones are wrong."""
    trace, *_ = lab()
    narrow = trace.output.astype(np.float32).astype(float)
    assert diagnose(trace, {"h": np.round(narrow, 6)}).findings == ()
    cut = np.trunc(narrow * 1e5) / 1e5
    assert [each.id for each in diagnose(trace, {"h": cut}).findings] == ["digits-cut"]
    up = cut.copy()
    up[0] = np.sign(cut[0]) * np.ceil(np.abs(narrow[0]) * 1e5) / 1e5  # the first row away from zero
    found = diagnose(trace, {"h": up}, departures=1)
    assert found.verdict != "match"


def test_the_answer_says_what_was_allowed(tmp_path: Path) -> None:
    """The print's share and the arithmetic's are in JSON and in the table, null where atol is given."""
    x = ["--x", "0.5,1", "--h", "0.1,0.2", "--c", "1,-1"]
    right = call(*x, "--json").json["h"]
    expect = ["--expect", "h=" + ",".join(f"{value:f}" for value in right)]
    (record,) = call("diagnose", *x, *expect, "--json").lines
    assert record["verdict"] == "match"
    assert record["allowed"]["print"] == pytest.approx(5e-7, rel=1e-5)
    assert 5e-8 < record["allowed"]["arithmetic"] < 1e-6
    assert record["allowed"]["types"] == ["float32"]
    assert record["tolerance"] <= sum(record["allowed"][key] for key in ("print", "arithmetic"))
    table = " ".join(call("diagnose", *x, *expect).out.split())
    assert "5.0e-07 for the digits printed" in table
    assert "for float32 arithmetic in this run" in table
    (record,) = call("diagnose", *x, *expect, "--atol", "1e-3", "--json").lines
    assert record["allowed"] is None


@pytest.mark.parametrize("how", PRINTS)
@pytest.mark.parametrize("wrong", [0.0, 2e-3], ids=["right", "wrong"])
@pytest.mark.few(6)
def test_batch_and_diagnose_give_one_verdict(how: str, wrong: float, tmp_path: Path) -> None:
    """Whatever the print, `batch --check` says of a sample what `diagnose` says."""
    _, weights, (x, h, c) = lab()
    samples, narrow = [], run(Model.single(weights), x, h, c, dtype=np.float32)
    for number, symbol in enumerate(("output", "c", "z_f")):
        values = narrow.output if symbol == "output" else narrow[symbol]
        values = values + wrong * np.eye(*values.shape)
        samples.append({
            "id": str(number), "x": x.tolist(), "h": h.tolist(), "c": c.tolist(),
            "convention": "joined", "weights": {k: v.tolist() for k, v in weights.arrays.items()},
            "expected": {symbol: printed(values, PRINTS[how]).tolist()},
        })  # fmt: skip
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in samples))
    checks = [record["check"] for record in call("batch", path, "--check", "-q").lines]
    verdicts = [
        record["verdict"] for record in call("diagnose", path, "--departures", "1", "--json").lines
    ]
    assert [check["matched"] for check in checks] == [each == "match" for each in verdicts]
    assert all(check["matched"] for check in checks) == (wrong == 0)
    for check in checks:
        worst = check["worst"]
        assert (abs(worst["got"] - worst["expected"]) <= check["tolerance"]) == check["matched"]


def test_a_print_that_may_be_two_is_held_to_the_coarser() -> None:
    """Without its zeros %.3e of few numbers looks like %.4f: each is as coarse as either has it."""
    exact = np.array([-1.0441113, -0.5196854, 0.6235923, -0.6799526, -0.0250033])
    told = np.array([float(f"{each:.3e}") for each in exact])
    assert (np.abs(told - exact) <= rounding_of(precision_of(told).units)).all()


def test_text_says_which_print_it_is() -> None:
    """Where zeros are written, %.3e is no %.4f; 100.0 is known to one decimal."""
    texts = ["-1.044", "0.9061", "0.0634"]
    values, places = np.array(list(map(float, texts))), np.array([3, 4, 5])
    assert precision_of(values, places).words == "4 significant digits"
    for decimals in (None, np.array([1, 1])):
        assert precision_of(np.array([100.0, 12.5]), decimals).units.max() < 0.11


@pytest.mark.parametrize("decimals", [4, 6, 7, 8, 9, 10])
def test_cut_float32_is_float32(decimals: int) -> None:
    """Numbers of a float32 program match with their digits cut off, wherever that is."""
    for seed in range(5):
        _, weights, inputs = lab(seed=seed)
        trace = run(Model.single(weights), *inputs)
        narrow = run(Model.single(weights), *inputs, dtype=np.float32)
        exact = narrow.output.astype(np.float32).astype(float)
        cut = [[float(f"{v:.30f}"[: decimals - 30]) for v in row] for row in exact]
        assert diagnose(trace, {"output": np.array(cut)}, departures=1).verdict == "match"


def test_one_large_number_hides_no_fault_in_others() -> None:
    """A unit or a step of large numbers, which stray more, makes no room for a fault elsewhere."""
    _, weights, (x, h, c) = lab(steps=8)
    model, large, outlier = Model.single(weights), c.copy(), x.copy()
    large[0], outlier[0] = 1e5, 1e6
    for start, inputs in ((large, x), (c, outlier)):
        trace = run(model, inputs, h, start)
        for symbol in ("z_f", "z_g", "c"):
            theirs = run(model, inputs, h, start, dtype=np.float32)[symbol].astype(float)
            assert diagnose(trace, {symbol: theirs}, departures=1).verdict == "match"
            theirs[-1, -1] = np.float32(theirs[-1, -1] + 1e-3)
            assert diagnose(trace, {symbol: theirs}, departures=1).verdict != "match"


def test_whole_numbers_are_no_narrow_type() -> None:
    """An integer that is off by one is wrong, although bfloat16 has no better ones."""
    ours = np.array([250.0, 131.0, 7.0, 12.0, 33.0, 100.0])
    found = precision_of(ours + np.eye(6)[0])
    assert (room_of(ours, found.kind) + found.units < 0.1).all()


def test_a_cut_print_is_one_verdict_too() -> None:
    """`batch --check` takes digits that are cut off as diagnose does."""
    trace, weights, (x, h, c) = lab()
    sample = {"x": x.tolist(), "h": h.tolist(), "c": c.tolist(), "convention": "joined",
              "weights": {k: v.tolist() for k, v in weights.arrays.items()},
              "expected": {"output": (np.trunc(trace.output * 1e4) / 1e4).tolist()}}  # fmt: skip
    assert call("batch", "-", "--check", "-q", stdin=json.dumps(sample)).code == 0
    assert call("diagnose", "-", stdin=json.dumps(sample)).code == 0


def test_a_chaotic_run_is_allowed_more() -> None:
    """Where float32 strays far, right float32 numbers match, and a short run is held to less."""
    weights = random_weights(LSTM, 4, 24, seed=2)
    large = LstmWeights(LSTM, {k: 8 * v for k, v in weights.arrays.items()})
    x, h, c = random_inputs(weights, 200)
    trace = run(Model.single(large), x, h, c)
    narrow = run(Model.single(large), x, h, c, dtype=np.float32)
    assert np.abs(narrow.output - trace.output).max() > 1e-5
    assert diagnose(trace, {"output": np.round(narrow.output.astype(float), 6)}).verdict == "match"
    expected = read_expected({"output": np.round(trace.output, 6)}, trace)
    assert expected.vectors[0].tolerance.max() < 1e-5 < expected.vectors[-1].tolerance.max()


def test_what_float32_strays_is_measured_alike_each_time() -> None:
    """The same run has the same tolerance; samples together have those that they have alone."""
    trace, weights, (x, h, c) = lab()
    first, again = (Float32Noise(trace).spread(0, "h") for _ in range(2))
    assert (first == again).all()
    together = run(Model.single(weights), np.stack([x, 2 * x]), np.stack([h, h]), np.stack([c, c]))
    both = Float32Noise(together).spread(0, "h")
    assert both.shape == (2, *first.shape)
    assert (both[0] <= 2 * first).all()
    assert (first <= 2 * both[0]).all()


def test_at_least_some_units_of_the_last_place() -> None:
    """A number has room for eight units of float32's last place, for two of a narrower type's."""
    for kind, room in (("float32", 8 * 2.0**-24), ("float16", 2 * 2.0**-11), ("bfloat16", 2.0**-7)):
        assert room_of(np.array([0.75]), kind)[0] == room
    assert room_of(np.array([0.75]), "float64")[0] == 1e-9


def test_grading_has_room_for_float32(tmp_path: Path) -> None:
    """A float32 program's answer to seven decimals is right, as batch and diagnose take it."""
    exercise = SAMPLES / "class" / "exercise.json"
    document = json.loads(exercise.read_text())
    model = LstmWeights(LSTM, {k: np.array(v) for k, v in document["weights"].items()})
    h, c = (np.array(document[state][0]) for state in ("h", "c"))
    made = run(Model.single(model), document["x"], h, c, dtype=np.float32)
    cells = [(f"{k}_{n}", f"{made[k][-1, n]:.7f}") for k in ("f", "c", "h") for n in range(2)]
    for shift, result in ((0.0, "right"), (3e-6, "unexplained")):
        row = [f"{float(text) + shift:.7f}" for _, text in cells]
        lines = [["name", *(name for name, _ in cells)], ["Ann", *row]]
        (tmp_path / "a.csv").write_text("".join(",".join(line) + "\n" for line in lines))
        answer = call("grade", exercise, tmp_path / "a.csv", "-f", "jsonl")
        graded = [each for each in answer.lines if each.get("name") == "Ann"]
        assert graded[0]["result"] in (result, "rounded" if shift else result)


@pytest.mark.parametrize("wrong", [0.0, 1e-2], ids=["right", "wrong"])
def test_layers_below_are_expected_by_name_in_both(wrong: float) -> None:
    """`layer0_forward_f` is a gate of that layer to batch as to diagnose."""
    below, above = (random_weights(LSTM, 5, 5, seed=seed).arrays for seed in (4, 6))
    stacked = Model(tuple(Layer({"forward": LstmWeights(LSTM, each)}) for each in (below, above)))
    x, h, c = random_inputs(stacked.first, 3)
    states = {"h": [h.tolist(), (h / 2).tolist()], "c": [c.tolist(), (c / 3).tolist()]}
    trace = run(stacked, x, np.array(states["h"]), np.array(states["c"]))
    weights = {
        f"{name}_l{layer}": np.concatenate([arrays[f"W_{k}"][:, cut] for k in "ifgo"]).tolist()
        for layer, arrays in enumerate((below, above))
        for name, cut in (("weight_hh", slice(0, 5)), ("weight_ih", slice(5, None)))
    }
    for layer, arrays in enumerate((below, above)):
        bias = np.concatenate([arrays[f"b_{k}"] for k in "ifgo"])
        weights |= {f"bias_ih_l{layer}": bias.tolist(), f"bias_hh_l{layer}": (0 * bias).tolist()}
    told = np.round(trace.layers[0].values["f"], 5) + wrong
    sample = {"x": x.tolist(), **states, "weights": weights,
              "expected": {"layer0_forward_f": told.tolist(), "c": np.round(trace.c, 5).tolist()}}  # fmt: skip
    code = 1 if wrong else 0
    answer = call("batch", "-", "--check", "-q", stdin=json.dumps(sample))
    assert answer.code == code, answer.out
    worst = answer.lines[0]["check"]["worst"]["symbol"]
    assert worst == "layer0_forward_f" or not wrong
    assert call("diagnose", "-", "--departures", "1", stdin=json.dumps(sample)).code == code
