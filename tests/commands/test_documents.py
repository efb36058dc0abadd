"""Answers of commands as documents: every form of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lstm_cli.base.foreign import csv_line
from lstm_cli.show.sheets import WRITERS
from tests.tools import SAMPLES, call

SAMPLE = {"x": [0.5, -1], "h": [0.3, -0.2], "c": [0.6, -0.7]}


def test_a_terminal_without_unicode_gets_ascii(tmp_path: Path) -> None:
    """Signs of equations and ids are written in ASCII, not as escapes."""
    path = tmp_path / "samples.json"
    path.write_text(json.dumps({"id": "2 × 3", **SAMPLE}))
    for arguments, words in ((["batch", path, "-f", "table"], "2 x 3"),
                             (["list", "conventions"], "W_f ... b_o")):  # fmt: skip
        assert words in call(*arguments, encoding="ascii").out


# A command -> its words beside a hostile file of samples, and what every form of its answer says.
ANSWERS: dict[str, tuple[list[object], tuple[str, ...]]] = {
    "batch": (["batch", "HOSTILE", "-q"], ("ok", "0.4")),
    "batch, compared": (["batch", "HOSTILE", "-q", "--check"], ("largest difference", "matches")),
    "inspect": (["inspect", "WEIGHTS"], ("pytorch-cell", "3.52")),
    "convert": (
        ["convert", "WEIGHTS", "TARGET", "--to", "haiku"],
        ("weights differ by at most", "(haiku)", "moved: b"),
    ),
    "list": (["list", "cells"], ("peephole", "Schraudolph", "1 - f")),
    "list, a page": (["list", "mistakes", "forget-bias-omitted"], ("forget-bias-omitted", "Haiku")),
    "vet, one suite": (["vet", "HOSTILE", "-q"], ("mistake that passes", "forget-bias-")),
    "vet, every mistake": (["vet", "HOSTILE", "-q", "--list"], ("strength", "forget-bias-")),
    "vet, several suites": (["vet", "HOSTILE", SAMPLES / "hand.json", "-q"], ("hand.json", "93")),
    "diagnose": (
        ["diagnose", "WRONG"], ("no-tanh-on-c", "explained", "the tanh between c and h is missing"),
    ),
    "diagnose, several": (
        ["diagnose", "WRONG", "HOSTILE"], ("Element-Research", "explained", "match"),
    ),
    "grade": (
        ["grade", SAMPLES / "class/exercise.json", "ANSWERS"],
        ("answers, mean 50", "2 answers", "right to 4 digits", "3 numbers are wrong"),
    ),
}  # fmt: skip
NAME = "a\x1b[2Jb|c<d>&e_f$(x)\u202e"
# What must not stand unescaped in a form.
LIVE = {"markdown": "|c<d>", "latex": "&e_f$", "html": "<d>"}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A file of samples whose name and ids would steer what shows them."""
    path = tmp_path / f"{NAME}.json"
    path.write_text(json.dumps({"id": NAME, "expected": {"h": [0.1, 1]}, "atol": 2, **SAMPLE}))
    return path


@pytest.fixture
def files(hostile: Path) -> dict[str, Path]:
    """Files of a hostile name or hostile names, by their word in `ANSWERS`."""
    weights, wrong, answers = (
        hostile.with_name(f"{stem} {NAME}{suffix}")
        for stem, suffix in (("weights", ".json"), ("wrong", ".json"), ("answers", ".csv"))
    )
    weights.write_bytes((SAMPLES / "weights/hand.json").read_bytes())
    sample = json.loads((SAMPLES / "threads/missing-tanh.json").read_text(encoding="utf-8"))
    wrong.write_text(json.dumps(sample | {"id": NAME}))
    rows = [[NAME, 0.3659, 0.1708, 0.3498], [f"2 {NAME}", 0.1, 0.2, 0.3]]
    lines = [["name", "f_0", "h_0", "h_1"], *rows]
    answers.write_text("".join(csv_line(map(str, row)) for row in lines))
    return {"HOSTILE": hostile, "WEIGHTS": weights, "WRONG": wrong, "ANSWERS": answers,
            "TARGET": hostile.with_suffix(".npz")}  # fmt: skip


@pytest.mark.parametrize("form", ["table", *WRITERS])
@pytest.mark.parametrize("command", ANSWERS)
def test_every_form_says_all_and_steers_nothing(
    command: str, form: str, files: dict[str, Path]
) -> None:
    """Each answer in each form: its words are there, and foreign text is escaped."""
    words, said = ANSWERS[command]
    given = [files.get(str(each), each) for each in words]
    answer = call(*given, "-f", form, env={"COLUMNS": "200"})
    for word in said if form != "table" else said[1:]:
        assert word in answer.out
    assert not {"\x1b", "\u202e"} & {*answer.out}
    assert LIVE.get(form, "\x1b") not in answer.out
    assert answer.out.endswith("\n")
    assert not answer.out.endswith("\n\n")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_of_files_stay_whole(encoding: str, tmp_path: Path) -> None:
    """What `convert` says of a file is on one line at any width, so that it can be copied."""
    target = tmp_path / f"{'long name ' * 9}.npz"
    given = ("convert", SAMPLES / "weights/hand.json", target, "--to", "split")
    answer = call(*given, env={"COLUMNS": "40"}, encoding=encoding)
    arrow = "→" if encoding == "utf-8" else "->"
    assert f" (pytorch-cell) {arrow} {target} (split)\n" in answer.raw.decode(encoding)
