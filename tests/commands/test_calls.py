"""Calls with states carried over, in every command: PyTorch's numbers come out, or it is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_cli
from lstm_cli.cell.cells import LSTM
from lstm_cli.cell.presets import preset_model
from lstm_cli.mistakes.fixes import own_run, run_of
from tests.commands.test_schemas import validator
from tests.tools import assert_refused, call

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "calls" / "torch_calls.json").read_text()
)
PLACES = [(level, side) for level in (0, 1) for side in ("forward", "backward")]
CALLS = "2,1,3"
SAMPLE = {key: GOLDEN[key] for key in ("x", "h", "c", "calls")}


def rows(numbers: list[list[float]]) -> str:
    return ";".join(",".join(map(str, row)) for row in numbers)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Two layers in both directions, as PyTorch names them."""
    path = tmp_path / "w.npz"
    np.savez(path, **{name: np.array(each) for name, each in GOLDEN["weights"].items()})  # type: ignore[arg-type] # names of arrays
    return path


@pytest.fixture
def given(weights: Path) -> list[str]:
    """The options that run what PyTorch ran, without the calls."""
    vectors = {"--x": GOLDEN["x"], "--h": GOLDEN["h"], "--c": GOLDEN["c"]}
    return [f"{name}={rows(numbers)}" for name, numbers in vectors.items()] + ["-w", str(weights)]


def assert_ends(calls: list[dict[str, Any]]) -> None:
    """Assert that each call says where it is, and hands on the states of PyTorch's."""
    assert [(each["start"], each["end"]) for each in calls] == [(1, 2), (3, 3), (4, 6)]
    for call_, ends in zip(calls, GOLDEN["ends"], strict=True):
        assert [(each["layer"], each["direction"]) for each in call_["final"]] == PLACES
        for state in "hc":
            got = [each[state] for each in call_["final"]]
            np.testing.assert_allclose(got, ends[state], rtol=0, atol=1e-13)


def test_a_run_says_what_each_call_hands_on(given: list[str]) -> None:
    """`run --calls` puts out PyTorch's numbers, and in JSON the states at each border."""
    document = call(*given, "--calls", CALLS, "--json").json
    validator("run").validate(document)
    np.testing.assert_allclose(document["output"], GOLDEN["output"], rtol=0, atol=1e-13)
    assert_ends(document["calls"])
    assert document["calls"][-1]["final"] == document["final"]
    assert "calls" not in call(*given, "--json").json


def test_a_table_shows_the_states_at_each_border(given: list[str]) -> None:
    """A table has a heading a call with the states handed on, of what is chosen."""
    answer = call(*given, "--calls", CALLS, "-f", "table", "--digits", "4")
    assert "call 2 of 3: t = 3, states handed on" in answer.out
    assert "call 3 of 3: t = 4 to 6, states handed on" in answer.out
    line = next(line for line in answer.out.splitlines() if "layer 1 backward, after" in line)
    h = " ".join(f"{number:.4f}" for number in GOLDEN["ends"][0]["h"][3])
    assert " ".join(line.split()) == f"h layer 1 backward, after t = 1 given {h}"
    chosen = call(
        *given, "--calls", CALLS, "-f", "table", "--at", "3", "--only", "layer0.forward.c"
    )
    assert re.findall("call . of", chosen.out) == ["call 2 of"]
    assert re.findall(r"^(\w) .*after", chosen.out, re.MULTILINE) == ["C"]
    fixed = call(*given, "--calls", CALLS, "-f", "table", "--fixed", "Q3.4").out
    handed_on = [line.split()[-2:] for line in fixed.splitlines() if ", after t = " in line]
    assert len(handed_on) == 16
    assert all(float(each) * 16 % 1 == 0 for pair in handed_on for each in pair)
    for form in ("markdown", "latex", "text", "html"):
        assert ("call 3 of 3" in call(*given, "--calls", CALLS, "-f", form).out) == (
            form in ("text", "html")
        )


def test_many_calls_are_counted(given: list[str]) -> None:
    """A terminal shows the first few of many calls and says how many more there are."""
    answer = call(*given, "--calls", "1x6", "-f", "table")
    assert re.findall("call . of 6", answer.out) == [f"call {n} of 6" for n in (2, 3, 4, 5)]
    assert "and 1 more: --at, --json" in answer.out
    assert "call 6 of 6" in call(*given, "--calls", "1x6", "-f", "html").out


def test_a_header_has_the_borders(given: list[str], tmp_path: Path) -> None:
    """`-f c` has the lengths of the calls and the states to hand on, for a compiler too."""
    path = tmp_path / "golden.h"
    assert call(*given, "--calls", CALLS, "-o", path).code == 0
    text = path.read_text()
    assert "#define LSTM_CALLS 3\n" in text
    assert "static const int32_t lstm_calls[3] = {\n  2, 1, 3\n};" in text
    assert "/* h at the end, which is step 4 */\nstatic const double lstm_layer0_backward" in text
    if (compiler := shutil.which("gcc")) is None:
        pytest.skip("there is no gcc")
    source = tmp_path / "print.c"
    names = [f"lstm_layer{n}_{side}_call_{state}" for n, side in PLACES for state in "hc"]
    prints = "".join(
        f'for (k = 0; k < 6; k++) printf("%.17g ", {name}[k / 2][k % 2]);' for name in names
    )
    source.write_text(
        f'#include <stdio.h>\n#include "golden.h"\nint main(void) {{ int k; {prints} return 0; }}'
    )
    strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    unused = ["-Wno-unused-variable", "-Wno-unused-const-variable"]
    program = tmp_path / "print"
    subprocess.run([compiler, *strict, *unused, source, "-o", program], check=True, timeout=60)
    done = subprocess.run([program], capture_output=True, check=True, timeout=60)
    got = np.array(done.stdout.split(), float).reshape(4, 2, 3, 2)
    for which, state in enumerate("hc"):
        expected = np.moveaxis([each[state] for each in GOLDEN["ends"]], 0, 1)
        np.testing.assert_allclose(got[:, which], expected, rtol=0, atol=1e-13)


def test_samples_have_calls(weights: Path, tmp_path: Path) -> None:
    """`calls` of a sample, as a list or as text, is honoured, checked and answered."""
    own = {**SAMPLE, "expected": {"output": GOLDEN["output"]}}
    texts = [own, {**own, "calls": "2 1x1 3"}, {k: v for k, v in own.items() if k != "calls"}]
    answer = call("batch", "-", "--check", "-w", weights, "--trace",
                  stdin="\n".join(map(json.dumps, texts)))  # fmt: skip
    for record in answer.lines:
        validator("batch").validate(record)
    assert [each["check"]["matched"] for each in answer.lines] == [True, True, False]
    assert_ends(answer.lines[0]["calls"])
    assert answer.lines[1]["calls"] == answer.lines[0]["calls"]
    assert "calls" not in answer.lines[2]
    assert "handed on" not in answer.err
    plain = json.dumps(texts[2])
    given = call("batch", "-", "--check", "-w", weights, "--calls", CALLS, stdin=plain)
    assert given.lines[0]["check"]["matched"]
    (record,) = lstm_cli.batch(own, weights=weights)
    assert record["check"]["matched"]


def test_samples_with_calls_in_other_files(weights: Path, tmp_path: Path) -> None:
    """Arrays of npz and cells of CSV have calls too, one for all or one a sample."""
    arrays = {key: np.array([SAMPLE[key], SAMPLE[key]]) for key in SAMPLE}
    np.savez(tmp_path / "s.npz", **arrays, expected_output=np.array([GOLDEN["output"]] * 2))  # type: ignore[arg-type] # names of arrays
    np.savez(tmp_path / "t.npz", **{**arrays, "calls": np.array(CALLS)},  # type: ignore[arg-type] # names of arrays
             expected_output=np.array([GOLDEN["output"]] * 2))  # fmt: skip
    cells = [rows(SAMPLE[key]) for key in "xhc"] + [CALLS, rows(GOLDEN["output"])]
    text = ",".join(f'"{cell}"' for cell in cells)
    (tmp_path / "s.csv").write_text(f"x,h,c,calls,expected.output\n{text}\n")
    for name, count in (("s.npz", 2), ("t.npz", 2), ("s.csv", 1)):
        answer = call("batch", tmp_path / name, "--check", "-w", weights)
        assert [each["check"]["matched"] for each in answer.lines] == [True] * count, answer.out
        assert_ends(answer.lines[-1]["calls"])


@pytest.mark.parametrize(
    ("calls", "words"),
    [([2, 3], "5 steps"), ("2,x", "not lengths"), ([2.5, 3.5], "not a list of whole numbers"),
     (6, "not a list"), ([], "not a list"), ({"a": 1}, "not a list")],
)  # fmt: skip
def test_a_sample_with_bad_calls_costs_itself(weights: Path, calls: Any, words: str) -> None:
    """What is no calls is the answer of that sample alone, with its line."""
    texts = [json.dumps({**SAMPLE, "calls": calls}), json.dumps(SAMPLE)]
    answer = call("batch", "-", "-w", weights, stdin="\n".join(texts))
    failed, fine = answer.lines
    assert answer.code == 4
    assert fine["ok"]
    assert words in failed["error"]["message"]
    assert "line 1" in failed["error"]["where"]


def test_diagnose_compares_with_calls(given: list[str], weights: Path, tmp_path: Path) -> None:
    """Right numbers match with the calls and only with them; a mistake beside them is found."""
    expected = f"output={rows(GOLDEN['output'])}"
    right = call("diagnose", *given, "--calls", CALLS, "--expect", expected, "--json")
    assert right.lines[0]["verdict"] == "match"
    without = call("diagnose", *given, "--expect", expected, "--json").lines[0]
    assert without["verdict"] != "match"
    assert without["first_difference"]["t"] <= 3
    # Without the bias of U, as PyTorch's own weights have it with that set to zero.
    arrays = {name: np.array(each) for name, each in GOLDEN["weights"].items()}
    wrong = {name: each * ("bias_hh" not in name) for name, each in arrays.items()}
    np.savez(tmp_path / "wrong.npz", **wrong)  # type: ignore[arg-type] # names of arrays
    theirs = call(*given[:3], "-w", tmp_path / "wrong.npz", "--calls", CALLS, "--json")
    (tmp_path / "theirs.json").write_text(theirs.out)
    output = rows(theirs.json["output"])
    found = call("diagnose", *given, "--calls", CALLS, "--expect", f"output={output}", "--json")
    assert found.lines[0]["verdict"] == "explained"
    assert [each["id"] for each in found.lines[0]["findings"]] == ["recurrent-bias-forgotten"]
    sample = {**SAMPLE, "weights": str(weights), "expected": {"output": theirs.json["output"]}}
    (tmp_path / "s.json").write_text(json.dumps(sample))
    again = call("diagnose", tmp_path / "s.json", "--json").lines[0]
    assert again["findings"][0]["id"] == "recurrent-bias-forgotten"
    (tmp_path / "ours.json").write_text(call(*given, "--calls", CALLS, "--json").out)
    traces = call("diagnose", tmp_path / "ours.json", tmp_path / "theirs.json", "--json").lines[0]
    assert traces["findings"][0]["id"] == "recurrent-bias-forgotten"


def test_lines_to_paste_have_the_calls() -> None:
    """A line that runs the right numbers again has the calls; one that runs others has none."""
    x, calls = np.array([[0.5, 1.0], [0.25, -1.0]]), (1, 1)
    trace = lstm_cli.run(preset_model("remember", LSTM, sizes={"I": 2, "H": 2}), x, calls=calls)
    of_python = lstm_cli.diagnose(trace, {"h": [0.1, 0.2]})
    assert own_run(of_python)["--calls"] == "1,1"
    of_options = replace(of_python, given={"--x": "0.5,1;0.25,-1", "--calls": "1,1"})
    assert own_run(of_options)["--calls"] == "1,1"
    for diagnosis in (of_python, of_options):
        assert "--calls" not in run_of(diagnosis, x[:1], x[:1], x[1:])


def test_other_commands_show_the_same_run(given: list[str], tmp_path: Path) -> None:
    """`grad`, `explain` and pictures are of the run in calls; the page knows which step was before."""
    calls = [*given, "--calls", CALLS]
    steps = call("grad", *calls, "--json", "--check").json
    assert steps["check"]["passed"]
    ours = [step["h"] for step in call(*calls, "--json").json["steps"] if step["layer"]][6:]
    shown = call("explain", *calls, "--only", "layer1.backward.h[1]@4", "--json").json["steps"]
    assert shown[0]["rows"][0]["value"] == ours[3][1]
    assert call("report", *calls, "-o", tmp_path / "strips.svg").code == 0
    page = call("report", *calls, "-o", "-", "-f", "html").out
    assert re.findall(r'"before": ?(\[[^]]*\])', page)[1] == "[2, 0, 1, 5, 6, 3]"
    assert "before" not in call("report", *given, "-o", "-", "-f", "html").out.split("<script")[1]


@pytest.mark.parametrize("command", [["exercise"], ["exercise", "--preset", "random"]])
def test_an_exercise_is_a_single_call(command: list[str]) -> None:
    """An exercise in calls is refused: its sheet has no words for them."""
    refused = call(*command, "--x", "1,2;3,4", "--calls", "1,1")
    assert_refused(refused, 2, "an exercise is of a single call", "--calls")


def test_a_vector_to_vet_is_a_single_call(tmp_path: Path) -> None:
    """A vector in calls is not vetted, and says so."""
    own = {"x": [[1, 2], [3, 4]], "expected": {"h": [0.1, 0.2]}}
    path = tmp_path / "s.json"
    path.write_text(json.dumps({**own, "calls": [1, 1]}))
    assert "single call" in call("vet", path).err
    path.write_text(json.dumps(own))
    assert "single call" in call("vet", path, "--calls", "1,1").err


def test_calls_that_do_not_fit() -> None:
    """Lengths that do not make the run, or are none, are three lines."""
    two = ["--x", "1,2;3,4"]
    assert_refused(call(*two, "--calls", "1,2"), 3, "--calls has 3 steps, the run has 2", "1x2")
    assert_refused(call(*two, "--calls", "one"), 2, "--calls has 'one'", "--calls 1x20")
    assert call("--x", "1,2", "--steps", "6", "--calls", "3x2", "--json").code == 0


def test_calls_beside_lengths_are_refused(given: list[str], weights: Path) -> None:
    """A run that leaves out steps has no calls: options and samples alike."""
    for masked in (["--lengths", "4"], ["--mask", "1,1,0,1,1,1"]):
        refused = call(*given, "--calls", CALLS, *masked)
        assert_refused(refused, 2, "a run that leaves out steps is of a single call")
    sample = json.dumps({**SAMPLE, "length": 4})
    (record,) = call("batch", "-", "-w", weights, stdin=sample).lines
    assert "of a single call" in record["error"]["message"]
