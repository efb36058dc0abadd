"""`diagnose` as people use it: files, options, traces; verdicts, exit codes, and what is said."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.cell.cells import LSTM
from lstm_cli.cell.weights import Layer, Model
from lstm_cli.engine.run import run
from lstm_cli.formats.conventions import CONVENTIONS
from lstm_cli.mistakes import search
from lstm_cli.mistakes.catalogue import (
    IN_ONE_GATE,
    MISTAKES,
    formula_of,
    rows_named,
    secondary_mistakes,
)
from lstm_cli.mistakes.diagnosis import diagnose
from lstm_cli.mistakes.expected import read_expected
from lstm_cli.mistakes.states import rounding_to_decimals
from lstm_cli.mistakes.variant_run import variant_of
from lstm_cli.mistakes.weights import convention_mistakes
from tests.commands.test_schemas import validator
from tests.conftest import random_inputs, random_weights
from tests.mistakes.test_diagnose_witness import Laboratory, Setting, as_lists, permuted
from tests.tools import SAMPLES, assert_refused, call
from tests.witness_mistakes import wrong_run

THREADS = {
    "clip": ["clip-c-too"],
    "keras-hard-sigmoid": ["soft-for-hard-sigmoid"],
    "missing-tanh": ["no-tanh-on-c"],
    "onnx-order-as-pytorch": ["gates-igof"],
    "question-bias-outside": ["bias-outside"],
    "state-reset": ["states-zeroed", "states-restarted"],
    "sum-for-product": ["sum-for-product"],
    "theano-bias-twice": ["bias-twice"],
    "tvm-forget-bias": ["forget-bias-after-sigmoid"],
    "two-mistakes": ["gates-igof+recurrent-bias-forgotten"],
}


@pytest.mark.parametrize("name", THREADS)
def test_a_real_thread_is_explained(name: str) -> None:
    """Each thread's wrong numbers lead to its mistake, and the JSON is as its schema says."""
    answer = call("diagnose", SAMPLES / "threads" / f"{name}.json", "--json")
    assert answer.code == 1
    (record,) = answer.lines
    validator("diagnose").validate(record)
    assert [finding["id"] for finding in record["findings"]] == THREADS[name]


def test_the_threads_are_all_there() -> None:
    """No thread lies in the folder untested."""
    assert {path.stem for path in (SAMPLES / "threads").glob("*.json")} == set(THREADS)


def test_the_order_of_a_framework_is_said_by_name() -> None:
    """ONNX weights read as PyTorch's: both names, and the line that converts is not invented."""
    answer = call("diagnose", SAMPLES / "threads" / "onnx-order-as-pytorch.json")
    assert "onnx weights are read as pytorch's: gates i o f g as i f g o" in answer.out


def test_samples_that_match_exit_with_0() -> None:
    """The margin is said, with the tolerance that would still pass."""
    answer = call("diagnose", SAMPLES / "question.json", SAMPLES / "hand.json")
    assert answer.code == 0
    assert answer.out.count("match: the largest difference is ") == 2
    for name in ("question.json", "hand.json"):
        told = " ".join(call("diagnose", SAMPLES / name).out.split())
        (tolerance,) = re.findall(r"so a tolerance of (\S+) would still pass", told)
        assert call("diagnose", SAMPLES / name, "--atol", tolerance).code == 0


def mistaken(slug: str, setting: Setting, folder: Path, order: str = "") -> tuple[Path, Laboratory]:
    """Write a weight file of a random layer and a sample with the witness's wrong numbers."""
    lab = Laboratory(setting)
    tensors = {
        "weight_ih_l0": np.concatenate([np.array(lab.wrong.W[k]) for k in "ifgo"]),
        "weight_hh_l0": np.concatenate([np.array(lab.wrong.U[k]) for k in "ifgo"]),
        "bias_ih_l0": np.concatenate([np.array(lab.wrong.b_x[k]) for k in "ifgo"]),
        "bias_hh_l0": np.concatenate([np.array(lab.wrong.b_h[k]) for k in "ifgo"]),
    }
    np.savez(folder / "model.npz", **tensors)
    wrong = permuted(lab.wrong, order) if order else lab.wrong
    steps = wrong_run(slug, wrong, lab.x.tolist(), lab.h.tolist(), lab.c.tolist())
    sample = {"id": slug, "x": lab.x.tolist(), "h": lab.h.tolist(), "c": lab.c.tolist(),
              "weights": "model.npz", "expected": {"output": [s["h"] for s in steps]}}  # fmt: skip
    path = folder / "sample.json"
    path.write_text(json.dumps(sample))
    return path, lab


def test_a_file_is_mended_by_the_line_to_run(tmp_path: Path, monkeypatch: Any) -> None:
    """The convert line of a wrong order runs, and gives the reader the weights it needs."""
    monkeypatch.chdir(tmp_path)
    path, lab = mistaken("gates-iofg", Setting(3, 2, 4, False, "h"), tmp_path)
    (record,) = call("diagnose", path, "--json").lines
    (finding,) = record["findings"]
    assert finding["id"] == "gates-iofg"
    assert finding["frameworks"][0] == ["pytorch", "onnx"]
    assert finding["commands"][0]["does"] == "mends"
    words = finding["commands"][0]["run"].split()
    assert words[:2] == ["lstm-step", "convert"]
    assert call(*words[1:]).code == 0
    stacks = np.load(tmp_path / "fixed.npz")
    W = stacks["W"].reshape(4, 3, 2)
    # The reader takes the first block for i, the second for o, and so on: as ONNX does.
    np.testing.assert_array_equal(W[1], np.array(lab.wrong.W["o"]))
    np.testing.assert_array_equal(W[3], np.array(lab.wrong.W["g"]))


def test_keras_weights_read_as_pytorchs_are_said_to_be(tmp_path: Path) -> None:
    """A kernel (in, 4H) reshaped into (4H, in): the two frameworks' names come out."""
    lab = Laboratory(Setting(3, 2, 4, False, "h"))
    stack = {kind: np.concatenate([np.array(own[k]) for k in "ifgo"])
             for kind, own in (("W", lab.wrong.W), ("U", lab.wrong.U))}  # fmt: skip
    bias = np.concatenate([np.add(lab.wrong.b_x[k], lab.wrong.b_h[k]) for k in "ifgo"])
    keras = {"kernel": stack["W"].T, "recurrent_kernel": stack["U"].T, "bias": bias}
    np.savez(tmp_path / "keras.npz", **keras)
    # What PyTorch would hold if the buffers were only given its shapes.
    W, U = (np.ascontiguousarray(keras[name]).reshape(12, -1) for name in list(keras)[:2])
    blocks = {k: slice(3 * n, 3 * n + 3) for n, k in enumerate("ifgo")}
    lab.wrong.W = {k: W[rows].tolist() for k, rows in blocks.items()}
    lab.wrong.U = {k: U[rows].tolist() for k, rows in blocks.items()}
    steps = wrong_run("clip-3", lab.wrong, lab.x.tolist(), lab.h.tolist(), lab.c.tolist())
    path = tmp_path / "sample.json"
    path.write_text(json.dumps(
        {"x": lab.x.tolist(), "h": lab.h.tolist(), "c": lab.c.tolist(), "weights": "keras.npz", "convention": "keras",
         "expected": {"output": [s["h"] for s in steps]}}
    ))  # fmt: skip
    (record,) = call("diagnose", path, "--json").lines
    names = {record["findings"][0]["id"], *record["findings"][0]["also"]}
    assert "keras-as-pytorch-reshaped" in names


def test_tf1_weights_read_as_pytorchs_are_said_to_be(tmp_path: Path) -> None:
    """Another order and a forget bias left out are one mix-up of two frameworks, not two mistakes."""
    lab = Laboratory(Setting(4, 3, 4, False, "h"))
    stacked = np.concatenate([np.hstack([lab.wrong.W[k], lab.wrong.U[k]]) for k in "igfo"])
    bias = np.concatenate([np.add(lab.wrong.b_x[k], lab.wrong.b_h[k]) for k in "igfo"])
    np.savez(tmp_path / "tf1.npz", **{"basic_lstm_cell.kernel": stacked.T,
                                      "basic_lstm_cell.bias": bias})  # fmt: skip
    read = permuted(lab.wrong, "".join({"i": "i", "f": "g", "g": "f", "o": "o"}[k] for k in "ifgo"))
    steps = wrong_run("cell-clip-3", read, lab.x.tolist(), lab.h.tolist(), lab.c.tolist())
    path = tmp_path / "sample.json"
    path.write_text(json.dumps(
        {"x": lab.x.tolist(), "h": lab.h.tolist(), "c": lab.c.tolist(), "weights": "tf1.npz",
         "expected": {"output": [s["h"] for s in steps]}}
    ))  # fmt: skip
    (record,) = call("diagnose", path, "--json").lines
    assert record["findings"][0]["id"] == "tf1-basic-as-pytorch"


def test_numbers_on_the_command_line() -> None:
    """`--expect` takes symbols, rows and blanks; digits typed are digits compared."""
    given = ["--x", "0.5,1", "--h", "0.1,0.2", "--c", "1,-1"]
    right = call(*given, "--json").json
    h = ",".join(f"{v:.4f}" for v in right["h"])
    f = f"{right['steps'][0]['f'][0]:.4f},?"
    answer = call("diagnose", *given, "--expect", f"h={h}", "--expect", f"f={f}", "--json")
    assert answer.code == 0
    (record,) = answer.lines
    assert record["precision"] == {"h": "4 decimals", "f": "4 decimals"}
    assert record["max_abs_diff"] < 5.1e-5
    c = ",".join(f"{v + 0.1:.3f}" for v in right["c"])
    answer = call("diagnose", *given, "--expect", f"c={c}", "--json")
    assert answer.code == 1
    assert answer.lines[0]["first_difference"]["symbol"] == "c"


def test_the_first_value_that_departs_is_in_the_order_of_computation() -> None:
    """A wrong g at t = 3 is first, before the c and h that follow from it and larger ones later."""
    lab = Laboratory(Setting(3, 2, 5, False, "gates"))
    trace, told = lab.trace(), lab.right()
    for symbol, size in (("g", 0.01), ("c", 0.3), ("h", 0.9)):
        told[symbol][2:, 1] += size
    found = diagnose(trace, read_expected(told, trace))
    assert found.first is not None
    assert (found.first.symbol, found.first.t, found.first.unit) == ("g", 3, 1)
    assert found.verdict == "unexplained"
    assert found.agree == {"f": True, "i": True, "g": False, "o": True, "c": False, "h": False}
    assert "f, i and o agree, g, c and h differ: look at the candidate cell state" in " ".join(
        found.signature
    )


def test_rows_that_follow_from_their_own_numbers_are_told_from_the_broken_one() -> None:
    """A wrong c, from which h is right in itself: h follows, c does not."""
    lab = Laboratory(Setting(3, 2, 1, False, "gates"))
    trace, told = lab.trace(), lab.right()
    told["c"] = told["c"] + np.array([0.2, -0.1, 0.3])
    told["h"] = told["o"] * np.tanh(told["c"])
    found = diagnose(trace, read_expected(told, trace), departures=1)
    assert found.follows["h"]
    assert not found.follows["c"]
    assert found.follows["f"]


def test_equal_at_the_first_step_only_is_a_signature() -> None:
    """What departs from the second step on is said to be U, the forget gate or the carry."""
    lab = Laboratory(Setting(3, 2, 4, True, "h"))
    found = diagnose(lab.trace(), read_expected(lab.mistaken("u-transposed"), lab.trace()))
    assert "the first step is right and the second is not" in found.signature[0]


def test_inputs_that_tell_ties_apart_do_so() -> None:
    """The h, c and x given for an ambiguous case: the witness gives the answers foretold."""
    lab = Laboratory(Setting(4, 3, 1, True, "h"))
    trace = lab.trace()
    found = diagnose(trace, read_expected(lab.mistaken("x-ignored"), trace))
    assert found.verdict == "ambiguous"
    separation = found.separation
    assert separation is not None
    h, c = separation.h[0].tolist(), separation.c[0].tolist()
    answers = {}
    for slug in ("x-ignored", "previous-input", "product-of-projections"):
        made = wrong_run(slug, lab.wrong, separation.x.tolist(), h, c)[-1]["h"]
        np.testing.assert_allclose(separation.answers[slug], made, atol=1e-12)
        answers[slug] = np.array(made)
    gap = np.max(np.abs(answers["x-ignored"] - answers["product-of-projections"]))
    assert gap > 2e-3
    assert all(len(repr(float(v))) <= 5 for v in separation.x.ravel())


def test_units_in_another_order_are_found() -> None:
    """The order itself is said."""
    lab = Laboratory(Setting(5, 3, 4, False, "gates"))
    found = diagnose(lab.trace(), read_expected(lab.mistaken("units-permuted"), lab.trace()))
    assert [each.id for each in found.findings] == ["units-permuted"]
    assert "their unit 0 is 4, 1 is 3, 2 is 2, 3 is 1, 4 is 0" in found.findings[0].detail


def test_the_corrected_equation_stands_beside_the_mistaken_one() -> None:
    """Both are printed, and the corrected numbers."""
    answer = call("diagnose", SAMPLES / "threads" / "missing-tanh.json")
    assert "h_t = o_t ⊙ C_t" in answer.out
    assert "h_t = o_t ⊙ tanh(C_t)" in answer.out
    right = call("batch", SAMPLES / "threads" / "missing-tanh.json", "--quiet").lines[0]["h"]
    assert f"{right[0]:.6f}".rstrip("0") in answer.out


def test_the_line_that_gives_theirs_does() -> None:
    """The options said to make their numbers make them, run as they stand."""
    given = ["--x", "0.5,1;-1,2", "--h", "0.1,0.2", "--c", "1,-1", "--preset", "random"]
    options = ["--seed", "3", "--activations", "sigmoid,tanh,relu", "--json"]
    theirs = call(*given, *options).json["h"]
    told = "h=" + ",".join(map(repr, theirs))
    (record,) = call("diagnose", *given, "--seed", "3", "--expect", told, "--json").lines
    (command,) = record["findings"][0]["commands"]
    assert command["does"] == "reproduces"
    again = call(*shlex.split(command["run"])[1:], "--json").json["h"]
    np.testing.assert_allclose(again, theirs, atol=1e-12)


@pytest.mark.parametrize(("cell", "traced", "told"), [
    ("peephole", False, True), ("own", False, True), ("peephole", True, True), ("own", True, False),
])  # fmt: skip
def test_the_line_that_gives_theirs_names_the_cell(
    cell: str, traced: bool, told: bool, tmp_path: Path
) -> None:
    """The cell is in the line; for a trace of a table that no option names there is none."""
    own, mine, theirs = (str(tmp_path / name) for name in ("own.toml", "mine.json", "theirs.json"))
    Path(own).write_text('base = "lstm"\n[edit]\nc = "i * c_prev + f * g"\n')
    given = ["--x", "0.5,1;-1,2", "--h", "0.1,0.2", "--c", "1,-1", "--preset", "random",
             "--cell", own if cell == "own" else cell]  # fmt: skip
    call(*given, "--json", "-o", mine)
    call(*given, "--activations", "sigmoid,tanh,relu", "--json", "-o", theirs)
    wrong = json.loads(Path(theirs).read_text())["h"]
    asked = [mine, theirs, *given[-2:]] if traced else [
        *given, "--expect", "h=" + ",".join(map(repr, wrong))]  # fmt: skip
    (record,) = call("diagnose", *asked, "--json").lines
    finding = next(each for each in record["findings"] if each["id"] == "relu-output")
    lines = [each["run"] for each in finding["commands"] if each["does"] == "reproduces"]
    assert bool(lines) == told
    for line in lines:
        again = call(*shlex.split(line)[1:], "--json").json["h"]
        np.testing.assert_allclose(again, wrong, atol=1e-12)


TRACE = ["--x", "0.5,1;0.2,-1", "--h", "0.1,0.2", "--c", "1,-1", "--preset", "random"]


def test_two_traces(tmp_path: Path) -> None:
    """Ours and theirs: the preset of ours is found again, and the missing tanh in theirs."""
    mine, theirs = tmp_path / "mine.json", tmp_path / "theirs.json"
    assert call(*TRACE, "--json", "-o", mine).code == 0
    options = ["--activations", "sigmoid,tanh,affine(1,0)"]
    assert call(*TRACE, *options, "--json", "-o", theirs).code == 0
    answer = call("diagnose", mine, theirs, "--json")
    assert answer.code == 1
    (record,) = answer.lines
    assert record["findings"][0]["id"] == "no-tanh-on-c"
    assert record["first_difference"]["symbol"] == "h"
    assert call("diagnose", mine, mine).code == 0


def test_a_trace_as_jsonl_and_one_from_a_file_of_weights(tmp_path: Path) -> None:
    """Lines of steps are a trace too; weights named on the command line are used."""
    hand = SAMPLES / "weights" / "hand.json"
    given = ["--x", "1,2,3;4,5,6", "--weights", hand]
    mine, theirs = tmp_path / "mine.json", tmp_path / "theirs.jsonl"
    assert call(*given, "--json", "-o", mine).code == 0
    assert call(*given, "--forget-bias", "1", "-f", "jsonl", "-o", theirs).code == 0
    (record,) = call("diagnose", mine, theirs, "--weights", hand, "--json").lines
    assert record["findings"][0]["id"] == "forget-bias-added"
    assert record["first_difference"]["symbol"] == "z_f"


def test_a_first_trace_that_its_weights_do_not_give_is_refused(tmp_path: Path) -> None:
    """Another cell than the one named: said, not searched."""
    mine = tmp_path / "mine.json"
    assert call(*TRACE, "--forget-bias", "1", "--json", "-o", mine).code == 0
    answer = call("diagnose", mine, mine)
    assert_refused(answer, 3, "the first trace does not match its weights")
    assert call("diagnose", mine, mine, "--forget-bias", "1").code == 0


def test_integers_of_a_port_match_bit_for_bit(tmp_path: Path) -> None:
    """What `run --fixed` computes is recognised exactly, and a wrong port is still explained."""
    hand = str(SAMPLES / "weights" / "hand.json")
    given = ["--x", "0.1,0.2,0.3;0.4,0.5,0.6", "--h", "0.1,0.2,0.3,0.4,0.5", "--weights", hand]
    fixed = call(*given, "--fixed", "Q3.12", "--json").json["fixed"]
    integers = [step["h"] for step in fixed["steps"]]
    sample = {"x": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], "h": [0.1, 0.2, 0.3, 0.4, 0.5],
              "weights": hand, "expected": {"output": integers}}  # fmt: skip
    path = tmp_path / "port.json"
    path.write_text(json.dumps(sample))
    answer = call("diagnose", path, "--fixed", "Q3.12", "--json")
    assert answer.code == 0
    assert answer.lines[0]["max_abs_diff"] == 0
    options = ["--activations", "sigmoid,tanh,affine(1,0)"]
    wrong = call(*given, *options, "--fixed", "Q3.12", "--json").json["fixed"]
    sample["expected"] = {"output": [step["h"] for step in wrong["steps"]]}
    path.write_text(json.dumps(sample))
    (record,) = call("diagnose", path, "--fixed", "Q3.12", "--json").lines
    assert "no-tanh-on-c" in [finding["id"] for finding in record["findings"]]


REFUSED = {
    "nothing": ([], 2, "there are no numbers to explain"),
    "no symbol": (
        ["--x", "1", "--expect", "5", "--fixed", "Q3.12"], 2,
        "does not say which values the numbers are",
    ),
    "unknown symbol": (["--x", "1", "--expect", "q=0.5"], 3, "the cell does not compute 'q'"),
    "wrong size": (["--x", "1,2", "--expect", "h=0.5"], 3, "h has shape (1,), but the run gives (2,)"),
    "bad tolerance": (["--x", "1", "--expect", "h=1", "--atol", "-1"], 2, "--atol is -1"),
    "both": ([SAMPLES / "question.json", "--x", "1"], 2, "--x and a file are both given"),
    "nothing expected": (["-"], 3, "has no expected numbers"),
    "no file": (["nowhere.json"], 3, "nowhere.json"),
    "fraction as integer": (["--x", "1", "--expect", "h=0.5", "--fixed", "Q3.12"], 3, "not integers"),
    "out of format": (["--x", "1", "--expect", "h=99999", "--fixed", "Q3.12"], 3, "outside Q3.12"),
    "idle": (["--x", "1", "--expect", "h=1", "--fixed-rounding", "floor"], 2, "without --fixed"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_compared_is_refused(
    arguments: list[object], code: int, message: str
) -> None:
    """In three lines, with the exit code of its kind."""
    answer = call("diagnose", *arguments, stdin='{"x": [1]}')
    assert_refused(answer, code, message)


def test_foreign_text_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Ids, symbols and file names with escapes come out as text."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"id": "\x1b[2Jx\u202e", "x": [0.5], "expected": {"h": [9.5]}}))
    answer = call("diagnose", path)
    assert answer.code == 1
    assert "\x1b[2J" not in answer.out
    assert "\u202e" not in answer.out


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_is_cut_at_any_width(width: int) -> None:
    """Ids, equations and numbers are whole in narrow terminals."""
    answer = call("diagnose", SAMPLES / "threads", env={"COLUMNS": str(width)})
    joined = " ".join(answer.out.split())
    assert "…]" not in joined
    assert all(f"[{ids[0]}]" in joined for ids in THREADS.values())
    assert max(map(len, answer.out.splitlines())) <= width


# 63 (an index off by one) changes how many steps there are, 64 needs a batch: the rows that carry
# these numbers are what can be computed of them in one sequence.
def test_the_catalogue_is_whole() -> None:
    """All 73 mistakes of the catalogue have a row; each row says what, why, how and where."""
    numbered = {number for row in MISTAKES.values() for number in row.numbers}
    assert numbered == set(range(1, 74))
    for row in MISTAKES.values():
        assert row.id == row.id.lower()
        texts = (row.title, row.meaning, row.cause, row.fix, row.source)
        assert all(text.strip() for text in texts), row.id
        assert formula_of(row), row.id


def test_numbers_too_far_off_to_subtract_are_far_off() -> None:
    """A claim next to the largest number is a difference, and no warning."""
    for claim in ("1.7e308,-1.7e308", "1.5e308,1"):
        answer = call("diagnose", "--x", "1,2", "--expect", f"h={claim}", "--json")
        assert answer.code == 1
        assert answer.json["verdict"] == "unexplained"


def test_every_id_that_can_be_printed_has_a_page() -> None:
    """Rows made while searching too: in one gate, in one run, of two conventions, and pairs."""
    made = [row.id for row in IN_ONE_GATE]
    made += [row.id for name in (None, *CONVENTIONS) for row in convention_mistakes(name)]
    made += [rounding_to_decimals(3).id]
    stack = Model(tuple(Layer({d: random_weights(LSTM, i, 4, seed=i) for d in ("forward", "backward")})
                        for i in (3, 8)))  # fmt: skip
    variant = variant_of(stack, np.ones((2, 3)))
    made += [row.id for row in secondary_mistakes(variant)]
    for name in dict.fromkeys(made):
        assert [row.id for row in rows_named(name)] == [name]
    for name in (
        "no-bias-f",
        "no-bias-layer-1-backward",
        "rounded-on-the-way",
        made[len(IN_ONE_GATE)],
    ):
        (page,) = call("list", "mistakes", name, "--json").json
        assert page["name"] == name
        assert page["fix"]
        assert page["computes"]
    both = call("list", "mistakes", "no-bias+gates-figo", "--json").json
    assert [page["name"] for page in both] == ["no-bias", "gates-figo"]
    for name in ("no-such-layer-0-forward", "no-bias+nothing", "keras-as-nothing", "+"):
        assert_refused(call("list", "mistakes", name), 2, "no mistake")


def test_list_mistakes_has_a_page_for_each() -> None:
    """The list names all, a page has cause and fix, an unknown id the nearest."""
    listed = call("list", "mistakes", "--json").json
    assert [row["name"] for row in listed] == list(MISTAKES)
    page = call("list", "mistakes", "no-tanh-on-c").out
    assert "h = o * c" in page
    assert "fix: h = o * tanh(c)" in page
    assert_refused(call("list", "mistakes", "no-tnah-on-c"), 2, "no mistake 'no-tnah-on-c'")
    assert_refused(call("list", "cells", "lstm"), 2, "cells have no individual pages")


def test_a_large_search_asks_for_no_more_than_a_few_runs() -> None:
    """128 units over 50 steps: a mistake is found among all single ones, and its tensors shared."""
    weights = random_weights(LSTM, 128, 128, seed=3)
    x, h, c = random_inputs(weights, 50)
    trace = run(Model.single(weights), x, h, c)
    swapped = dict(zip("ifgo", "iofg", strict=True))
    arrays = {f"{kind}_{new}": weights.arrays[f"{kind}_{old}"]
              for old, new in swapped.items() for kind in "Wb"}  # fmt: skip
    other = run(Model.single(type(weights)(LSTM, arrays)), x, h, c)
    found = diagnose(trace, read_expected({"h": other.h}, trace), departures=1)
    assert found.findings[0].id == "gates-iofg"
    assert as_lists({"h": other.h})


def test_a_layer_too_large_for_all_pairs_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left out of a search is told."""
    monkeypatch.setattr(search, "MAX_SHARED_BYTES", 100)
    weights = random_weights(LSTM, seed=3)
    trace = run(Model.single(weights), *random_inputs(weights, 1))
    found = diagnose(trace, {"h": trace.h + 1.5})
    assert found.verdict == "unexplained"
    assert "pairs of changes to matrices were not tried" in found.signature[-1]


@pytest.mark.parametrize("digits", [2, 3, 5])
def test_digits_that_are_cut_are_right_digits(digits: int) -> None:
    """0.3696 written as 0.369 is a match, and it is said; one unit more is not."""
    lab = Laboratory(Setting(4, 3, 3, False, "gates"))
    trace = lab.trace()
    told = {k: np.trunc(v * 10**digits) / 10**digits for k, v in lab.right().items()}
    found = diagnose(trace, told)
    assert (found.verdict, [each.id for each in found.findings]) == ("match", ["digits-cut"])
    told["h"][1, 2] -= np.sign(told["h"][1, 2]) * 10.0**-digits
    assert diagnose(trace, told, departures=1).verdict != "match"


def test_numbers_too_large_for_a_type_warn_of_nothing() -> None:
    """x = 1e300 overflows float32 and bfloat16 without a word on stderr."""
    answer = call("diagnose", "--x", "1e300,-1e300", "--expect", "h=0.1,0.2")
    assert (answer.code, answer.err) == (1, "")


def test_a_right_number_that_is_nan_agrees_with_none() -> None:
    """Where our own run is nan no number of theirs matches, and the page shows both."""
    answer = call("diagnose", "--x", "nan,1", "--h", "0.5,-0.25", "--allow-nonfinite",
                  "--expect", "h=0.1,0.2")  # fmt: skip
    assert answer.code == 1
    assert "ours nan, theirs 0.1" in answer.out
    assert "right   nan, nan" in answer.out
