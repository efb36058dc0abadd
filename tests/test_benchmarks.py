"""The benchmarks: one command that works, and README and picture that say what its record says."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks import picture, readme, words
from benchmarks.__main__ import as_text, main
from benchmarks.common import RESULTS
from benchmarks.peers import NEEDED, Row, make_case, present

ROOT = Path(__file__).parent.parent
PARTS = ("kernel", "batch", "memory", "growth")
SVG = "{http://www.w3.org/2000/svg}"
Record = dict[str, Any]


def stored() -> Record:
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def generated() -> str:
    (found,) = re.findall(
        rf"<!-- made by: {readme.COMMAND} -->\n(.*?)<!-- end -->",
        readme.README.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, str]:
    """The record and the tables of everything at tiny sizes, one round."""
    path = tmp_path_factory.mktemp("benchmarks") / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--small", "--rounds", "1", "--only", *PARTS,
         "--results", str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text(encoding="utf-8")), done.stdout


def quartiles(record: Any) -> list[list[float]]:
    """Every list of three numbers of a record, but for those of sizes."""
    if isinstance(record, dict):
        return [
            each for key, value in record.items() if key != "sizes" for each in quartiles(value)
        ]
    if isinstance(record, list) and record and isinstance(record[0], float):
        return [record]
    return (
        [each for value in record for each in quartiles(value)] if isinstance(record, list) else []
    )


@pytest.mark.full
def test_one_command_runs_all_parts(small: tuple[Record, str]) -> None:
    """Each part's record says with what it was made, and has quartiles in order for everybody."""
    record, shown = small
    assert set(record) == set(PARTS)
    for name in PARTS:
        about = record[name]["about"]
        assert about["rounds"] == about["threads"] == 1
        assert about["versions"]["numpy"]
        absent = {"numba", "numpy", "table", *NEEDED} - set(present())
        assert set(record[name].get("absent", absent)) == absent
        found = quartiles(record[name])
        assert found
        assert all(len(each) == 3 and each == sorted(each) for each in found)
    for row in record["batch"]["rows"]:
        written = row["written bytes"]
        assert 0.9 < written["batch"] / written["answers"] < 1.1
        if row["file"].startswith("JSONL"):
            assert written["copy"] == row["read bytes"]
    for row in record["kernel"]["rows"]:
        assert {"numpy", "table", "products", "exp and tanh", "writing", "floor"} <= set(
            row["seconds a step"]
        )
        assert {row["best"], *row["times ours"]} == set(row["seconds a step"])
        assert row["best"] in row["seconds a call"]
    assert [row["name"] for row in record["memory"]["rows"]][:-2] == list(present())
    assert list(record["growth"]["axes"]) == ["T", "N", "H"]
    for title in ("Every gate of every step", "Memory", "Growth"):
        assert title in shown


def test_all_of_a_record_can_be_told(small: tuple[Record, str]) -> None:
    """A record of another machine, with or without peers, becomes Markdown and a picture."""
    record, _ = small
    text = readme.markdown(record)
    assert "### Memory" in text
    assert ET.fromstring(picture.draw(record["growth"])).tag == f"{SVG}svg"
    assert json.loads(as_text(record)) == record


def test_readme_is_of_the_stored_record() -> None:
    """README's section is what the record says, and the record is of full size."""
    record = stored()
    assert generated() == readme.markdown(record)
    assert [row["sizes"] for row in record["kernel"]["rows"]] == [
        [1000, 1, 5, 5], [1000, 1, 5, 5], [1000, 1, 64, 64], [200, 1, 256, 256], [100, 32, 64, 128],
        [100, 256, 128, 256], [20, 4096, 5, 5], [20, 4096, 64, 64],
    ]  # fmt: skip
    assert record["kernel"]["absent"] == []


def test_every_row_that_a_peer_wins_is_named() -> None:
    """Where a peer's median is below ours, README's text names row and peer, and gives a reason."""
    lines = generated().splitlines()
    for row in stored()["kernel"]["rows"]:
        name = ", ".join([*map(str, row["sizes"]), row["dtype"]])
        ahead = [each for each in NEEDED if row["times ours"].get(each, [1, 1, 1])[1] < 1]
        told = [line for line in lines if line.startswith(f"- **{name}**: ")]
        assert len(told) == bool(ahead), name
        for peer in ahead:
            assert f"{peer.split(',')[0]} takes " in told[0]
            assert re.search(r" µs\. [A-Z].*\.$", told[0]), "no reason"


def test_picture_is_of_the_stored_record() -> None:
    """The picture of growth is drawn from the record: the same words, and lines in the same places."""
    made = ET.fromstring(picture.draw(stored()["growth"]))
    kept = ET.fromstring(picture.PICTURE.read_bytes())
    texts = [
        ["".join(each.itertext()) for each in root.iter(f"{SVG}text")] for root in (made, kept)
    ]
    assert texts[0] == texts[1]
    assert {"engine numpy", "µs a step", "samples N"} <= set(texts[0])
    lines = [
        [
            float(number)
            for each in root.iter(f"{SVG}path")
            for number in re.findall(r"-?\d+\.?\d*", each.get("d", ""))
        ]
        for root in (made, kept)
    ]
    assert len(lines[0]) > 100
    assert lines[0] == pytest.approx(lines[1], abs=0.01)


def row_of(own: float, peer: float, **parts: float) -> Record:
    """A row of one engine and PyTorch, in µs, ten steps."""
    alone = {"products": 1.0, "exp and tanh": 1.0, "writing": 0.0, "floor": 1.0} | parts
    times = {"numpy": own, "PyTorch": peer} | alone
    return {
        "sizes": [10, 2, 3, 4], "dtype": "float32", "auto": "numpy", "large product": 0.5e-6,
        "seconds a step": {name: [each * 1e-6] * 3 for name, each in times.items()},
        "best": "numpy",
        "times ours": {name: [each / own] * 3 for name, each in times.items()},
        "seconds a call": {"numpy": parts.get("call", own) * 1e-6},
    }  # fmt: skip


@pytest.mark.parametrize(("row", "told"), [
    (row_of(10, 8, call=60), "what a run costs whatever its length is 50 % of ours, without which a step takes 5 µs"),
    (row_of(10, 8, writing=3), "writing every gate, where others return h, is 30 % of ours"),
    (row_of(10, 4, products=5), "than the products alone by BLAS, one call a step: 5 µs (0.5 at the speed of a large one)"),
    (row_of(10, 4, products=3, **{"exp and tanh": 2}), "NumPy's exp and tanh alone: 3 and 2 µs"),
    (row_of(10, 8, products=5), "take 5, 1 and 0 µs, each alone; 40 % of ours is spent between them"),
    (row_of(10, 9, products=9), "no part that was measured alone is the cause"),
    (row_of(10, 5, call=30, products=20), "for 3 µs of the difference no part that was measured alone is the cause"),
], ids=lambda value: "" if isinstance(value, dict) else value)  # fmt: skip
def test_reasons_are_numbers_of_the_row(row: Record, told: str) -> None:
    """Each cause that can be measured is told with its share, and none is made up."""
    assert told.casefold() in words.losses([row]).casefold()
    assert "PyTorch takes" in words.losses([row])


def test_a_row_that_nobody_wins_is_not_told() -> None:
    """Where ours is ahead there is nothing to explain."""
    assert words.losses([row_of(10, 11)]) == ""
    assert (
        words.standing([row_of(10, 11), row_of(10, 9)])
        == "Ours is ahead of PyTorch on 1 of 2 rows."
    )


def test_a_missed_goal_is_named() -> None:
    """A start over or under its goal, and a batch over twice its floor, are told with their numbers."""
    start = {"command": "--help", "base": "pass", "most": 6, "least": None,
             "seconds": {"wall": [0.1, 0.1, 0.1]}, "times base": {"wall": [5.0, 5.5, 7.0], "cpu": [4.0, 4.0, 4.0]}}  # fmt: skip
    other = start | {"command": "PyTorch", "most": None, "least": 8}
    about = stored()["kernel"]["about"]
    record = {"startup": {"about": about, "rows": [start, other]}}
    assert "Short of its goal: PyTorch (5.5)." in readme.markdown(record)
    assert "| --help | 100 (100–100) | pass | 5.5 (5–7) | 4 (4–4) | ≤ 6 |" in readme.markdown(
        record
    )
    assert "Each is within its goal." in words.startup({"rows": [start]})[0]
    rows = [{"file": name, "seconds a sample": {"batch": [1e-5] * 3}, "times": times}
            for name, times in (("CSV", {"copy": [1, 1.9, 9], "answers": [1, 2.1, 9]}),
                                ("npz", {"copy": [1, 2.3, 9], "answers": [1, 2, 9]}))]  # fmt: skip
    batch = {
        "about": about,
        "samples": 5000,
        "rows": rows,
        "peak bytes": {"100": 4e7, "5000": 4.2e7},
        "processes": {"jobs": 3, "samples": 7000, "seconds a sample": {"batch": [1e-6, 2e-6, 3e-6]},
                      "times one process": [0.4, 0.5, 0.6], "times": {"copy": [1, 1.5, 2]}},
    }  # fmt: skip
    text = readme.markdown({"batch": batch})
    assert "ours takes more than twice that for: npz (2.3). " in text
    assert "our size instead: more than twice that for CSV (2.1). " in text
    assert "`--jobs 3` on 7,000 samples of one step of 5 units takes 2 µs a sample" in text
    assert "0.5 of what one process takes, and 1.5 times reading and writing the file." in text
    assert "is 40 MB for 100 samples and 42 MB for 5,000 samples." in text
    assert "ours nowhere takes more than twice that" in words.batch(batch | {"rows": rows[:1]})[0]


def test_a_changed_record_changes_the_section() -> None:
    """A table cannot go stale: another number in the record is another README."""
    record = stored()
    other = copy.deepcopy(record)
    row = other["kernel"]["rows"][-1]
    for three in row["seconds a step"].values():
        three[:] = [2 * each for each in three]
    assert readme.markdown(other) != readme.markdown(record)


def test_write_puts_the_section_in_its_place(tmp_path: Path) -> None:
    """Only what stands between the two marks is written; a file without them is refused."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n<!-- made by: {readme.COMMAND} -->\nold\n<!-- end -->\nafter\n")
    readme.write(stored(), page)
    assert page.read_text() == (
        f"before\n<!-- made by: {readme.COMMAND} -->\n{readme.markdown(stored())}<!-- end -->\nafter\n"
    )
    page.write_text("no place")
    with pytest.raises(ValueError, match="no block"):
        readme.write(stored(), page)


@pytest.mark.parametrize("asked", [
    ["--small", "--write"],
    ["--rows", "1"],
    ["--rows", "1", "--only", "kernel", "--write"],
    ["--rounds", "0"],
    ["--only", "speed"],
])  # fmt: skip
def test_parts_of_a_run_are_not_stored(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not whole never reaches the README, and nonsense is refused before anything runs."""
    with pytest.raises(SystemExit):
        main(asked)
    assert "error: " in capsys.readouterr().err


def test_a_part_that_fails_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A part that ends with an error is named, the command fails, and no record is made of it."""
    path = tmp_path / "results.json"
    assert main(["--only", "kernel", "--rows", "99", "--rounds", "1", "--results", str(path)]) == 1
    assert "part kernel failed" in capfd.readouterr().err
    assert not path.exists()


def test_everybody_runs_the_same_case() -> None:
    """A case has the sizes, type and stacked weights that its row asks for."""
    case = make_case(Row(3, 2, 4, 5, "float32"))
    assert case.x.shape == (3, 2, 4)
    assert case.h.shape == case.c.shape == (2, 5)
    assert case.x.dtype == "float32"
    given, recurrent, bias = case.stacked("ifgo")
    assert (given.shape, recurrent.shape, bias.shape) == ((20, 4), (20, 5), (20,))
