"""Lengths, masks and padding on the command line and in samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from tests.tools import call

X = "0.3,0.1;0.2,-0.5;0.7,0.4;-0.6,0.9"
ROWS = [[0.3, 0.1], [0.2, -0.5], [0.7, 0.4], [-0.6, 0.9]]
STATES = "--h", "0.2,-0.3", "--c", "-0.4,0.6"
RUN = "--preset", "random", "--x"


def alone(rows: str) -> Any:
    """Return the run of some steps alone."""
    return call(*RUN, rows, *STATES, "--json").json


@pytest.mark.parametrize(
    ("options", "times", "rows"),
    [
        (["--lengths", "2"], [1, 2], "0.3,0.1;0.2,-0.5"),
        (["--mask", "0,1,1,0"], [2, 3], "0.2,-0.5;0.7,0.4"),
        (["--mask", "1 0 0 1"], [1, 4], "0.3,0.1;-0.6,0.9"),
        (["--steps", "3", "--mask", "1,1,1"], [1, 2, 3], "0.3,0.1;0.2,-0.5;0.7,0.4"),
    ],
)
def test_a_run_holds_the_steps_that_were_run(
    options: list[str], times: list[int], rows: str
) -> None:
    """Each with its input time, in every format; the numbers are those of the steps alone."""
    answer, wanted = call(*RUN, X, *STATES, *options, "--json").json, alone(rows)
    assert [step.pop("t") for step in answer["steps"]] == times
    assert answer["steps"] == [
        {k: v for k, v in step.items() if k != "t"} for step in wanted["steps"]
    ]
    assert answer["output"] == wanted["output"]
    assert answer["h"] == wanted["h"]
    lines = call(*RUN, X, *STATES, *options, "-f", "jsonl").lines
    assert [line["t"] for line in lines] == times
    cells = [
        line.split(",")[2] for line in call(*RUN, X, *STATES, *options, "-f", "csv").out.split()
    ]
    assert list(dict.fromkeys(cells[1:])) == [str(t) for t in times]
    page = call(*RUN, X, *STATES, *options, "-f", "markdown").out
    assert all(f"t = {t}" in page for t in times)
    assert page.count("t = ") == len(times)


def test_steps_are_chosen_by_input_time() -> None:
    """`--at` and addresses count the steps of the input; one that was not run is refused."""
    masked = [*RUN, X, "--mask", "0,1,0,1"]
    for name in ("run", "explain"):
        answer = call(name, *masked, "--at", "4", "--json").json
        assert [step["t"] for step in answer["steps"]] == [4]
    title = "step 4 of 4"
    assert title in call(*masked, "--at", "2,4", "-f", "table").out
    assert title in call("explain", *masked, "--at", "4", "-f", "text").out
    assert "one of 2, 4" in call(*masked, "--at", "3").err


@pytest.mark.parametrize(
    ("padding", "rows"), [("zero", [0, 1, 0, 1]), ("keras", [0, 1, 1, 1]), ("stop", [1, 1])]
)
def test_padding_says_what_output_holds_at_the_rest(
    padding: str, rows: list[int], tmp_path: Path
) -> None:
    """In JSON and npz; the steps stay those that were run."""
    masked = [*RUN, X, *STATES, "--mask", "0,1,0,1", "--padding", padding]
    answer = call(*masked, "--json").json
    assert [int(any(row)) for row in answer["output"]] == rows
    if padding == "keras":
        assert answer["output"][2] == answer["output"][1]
    assert len(answer["steps"]) == 2
    call(*masked, "-o", tmp_path / "run.npz")
    arrays = np.load(tmp_path / "run.npz")
    output = arrays["output"] if padding != "stop" else arrays["h"]
    np.testing.assert_array_equal(output, answer["output"])


def batch_of_two(tmp_path: Path) -> list[object]:
    """Return the options of a run of two samples."""
    np.save(tmp_path / "x.npy", np.array([ROWS, ROWS[::-1]]))
    return ["--preset", "random", "--x", f"@{tmp_path / 'x.npy'}"]


def test_samples_of_one_array_have_a_length_each(tmp_path: Path) -> None:
    """What a sample does not run is null in JSON; `--sample` takes its own length."""
    mixed = [*batch_of_two(tmp_path), "--lengths", "2,4"]
    answer = call(*mixed, "--json").json
    assert answer["steps"][2]["f"][0] is None
    assert answer["output"][0][2:] == [None, None]
    single = [call(*mixed, "--sample", k, "--json").json for k in (0, 1)]
    for k, own in enumerate(single):
        np.testing.assert_allclose(answer["h"][k], own["h"], rtol=1e-14)
    assert len(single[0]["steps"]) == 2
    assert len(single[1]["steps"]) == 4


@pytest.mark.parametrize(
    ("command", "options", "what"),
    [
        ("run", ["--lengths", "2", "--fixed", "Q3.12"], "--fixed cannot show"),
        ("run", ["--lengths", "2", "-f", "c"], "-f c cannot show"),
        ("run", ["--padding", "zero"], "--padding has no effect without"),
        ("grad", ["--mask", "0,1,1,1"], "grad cannot show"),
        ("explain", ["--lengths", "2", "--padding", "zero"], "--padding has no effect on"),
        ("exercise", ["--lengths", "2"], "exercise cannot show"),
    ],
)
def test_what_they_cannot_be_combined_with_is_refused(
    command: str, options: list[str], what: str
) -> None:
    """In three lines, never passed over."""
    answer = call(command, *RUN, X, *options)
    assert answer.code == 2
    assert what in answer.err
    assert answer.err.count("\n") == 3


def test_commands_that_run_a_cell_take_lengths() -> None:
    """`grad` and `diagnose` of the first steps are those of the first steps alone."""
    cut, whole = [*RUN, X, "--lengths", "2"], [*RUN, "0.3,0.1;0.2,-0.5"]
    ours, theirs = (call("grad", *each, "--json").json for each in (cut, whole))
    assert ours["steps"] == theirs["steps"]
    output = ";".join(",".join(map(str, row)) for row in alone("0.3,0.1;0.2,-0.5")["output"])
    for rest in ("", ";0,0;0,0"):
        answer = call("diagnose", *cut, *STATES, "--expect", f"output={output}{rest}", "--json")
        assert ("not run: not compared" in answer.out) is bool(rest)
        assert answer.json["cases"][0]["verdict"] == "match" if "cases" in answer.json else (
            answer.json["verdict"] == "match"
        )  # fmt: skip


# ---- samples


def answers(tmp_path: Path, samples: list[dict[str, Any]], *options: object) -> list[Any]:
    """Run samples of the preset random; their records."""
    path = tmp_path / "in.jsonl"
    own = {"weights": {"preset": "random"}, "h": [[0.2, -0.3]], "c": [[-0.4, 0.6]]}
    path.write_text("\n".join(json.dumps({"x": ROWS, **own, **each}) for each in samples))
    return call("batch", path, *options).lines


def test_samples_have_lengths_and_masks(tmp_path: Path) -> None:
    """As many as differ, side by side; each record is that of the sample alone."""
    given = [{"length": 2}, {"mask": [0, 1, 1, 0]}, {"lengths": [2]}, {"mask": [True, True, False, False]},
             {}, {"length": 4}]  # fmt: skip
    records = answers(tmp_path, given, "--trace")
    first, middle = alone("0.3,0.1;0.2,-0.5")["h"], alone("0.2,-0.5;0.7,0.4")["h"]
    for record, h in zip(records, [first, middle, first, first], strict=False):
        np.testing.assert_allclose(record["h"], h, rtol=1e-14)
    assert [step["t"] for step in records[1]["steps"]] == [2, 3]
    np.testing.assert_allclose(records[4]["h"], records[5]["h"], rtol=1e-14)


@pytest.mark.parametrize(
    ("given", "rows", "matched"),
    [
        ({}, [0, 1, 2, 3], True),
        ({"padding": "zero"}, [0, 1, None, None], True),
        ({"padding": "zero"}, [0, 1, 1, 1], False),
        ({"padding": "keras"}, [0, 1, 1, 1], True),
        ({"padding": "keras"}, [0, 1, None, None], False),
        ({}, [0, 1], True),
        ({}, [0, 0], False),
    ],
)
def test_expected_rows_of_all_steps_are_compared_as_padding_says(
    given: dict[str, str], rows: list[int | None], matched: bool, tmp_path: Path
) -> None:
    """Those of the steps that were run, and with a padding the rest of h."""
    run: Array = np.array([*alone("0.3,0.1;0.2,-0.5")["output"], [5, 6], [7, 8]])
    expected = [[0.0, 0.0] if row is None else run[row].tolist() for row in rows]
    (record,) = answers(tmp_path, [{"length": 2, **given, "expected": {"h": expected}}], "--check")
    assert record["check"]["matched"] is matched
    if not matched and len(rows) == 4:
        assert record["check"]["worst"]["t"] in (3, 4)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"length": 5}, "lengths has 5, x has 4 steps"),
        ({"length": "2"}, "'length' is not a whole number"),
        ({"length": 2, "mask": [1, 0, 0, 0]}, "length and mask are both given"),
        ({"mask": [1, 0]}, "mask has shape (2,)"),
        ({"mask": [0, 0, 0, 0]}, "a sample has no step that is run"),
        ({"length": 2, "padding": "same"}, "padding is 'same'"),
        ({"padding": "zero"}, "padding has no effect without"),
    ],
)
def test_a_sample_that_cannot_be_fails_alone(
    given: dict[str, Any], what: str, tmp_path: Path
) -> None:
    """The others are answered."""
    wrong, right = answers(tmp_path, [given, {"length": 2}])
    assert what in wrong["error"]["message"]
    assert right["ok"]


def test_lengths_and_masks_of_tables_and_arrays(tmp_path: Path) -> None:
    """Columns of CSV and arrays of npz, a sample a row; an empty cell says nothing."""
    cell = X.replace(",", " ")
    table = f'x,mask,length\n"{cell}","1 1 0 0",\n"{cell}",,2\n"{cell}",,\n'
    (tmp_path / "s.csv").write_text(table)
    first, second, whole = call("batch", tmp_path / "s.csv").lines
    assert first["h"] == second["h"] != whole["h"]
    np.savez(tmp_path / "s.npz", x=np.array([ROWS] * 2), length=np.array([2, 4]))
    np.savez(tmp_path / "m.npz", x=np.array([ROWS] * 2), mask=np.array([[1, 1, 0, 0], [1] * 4]))
    for name in ("s.npz", "m.npz"):
        masked, all_of_it = call("batch", tmp_path / name).lines
        assert masked["h"] == first["h"]
        assert all_of_it["h"] == whole["h"]


@pytest.mark.parametrize("mask", ["True,False,True", "[True, False, True]", "tensor([1, 0, 1])"])
def test_a_mask_is_read_as_it_is_printed(mask: str) -> None:
    """True and False of Python are 1 and 0."""
    run = ("--x", "0.5,-1;0.2,0.9;-0.3,0.4", "--h", "0.1,-0.2", "--c", "0.3,0.4", "--json")
    assert call(*run, "--mask", mask).json["h"] == call(*run, "--mask", "1,0,1").json["h"]
    assert call(*run, "--mask", mask).json["h"] != call(*run).json["h"]


@pytest.mark.parametrize(
    ("option", "given", "hint"),
    [("--mask", "1,0.5,0", "--mask 1,1,0"), ("--lengths", "2.5", "--lengths 3")],
)
def test_what_is_no_mask_is_told_by_its_own_option(option: str, given: str, hint: str) -> None:
    """The hint for a mask is a mask, that for lengths are lengths."""
    answer = call("--x", "0.5,-1;0.2,0.9;-0.3,0.4", option, given)
    assert answer.code == 2
    assert f"try:   {hint}" in answer.err
