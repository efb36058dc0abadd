"""Answers of a batch as columns: CSV, TSV, Parquet and npz hold what JSONL says, a row a sample."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.samples.columns import InputForm, sample_columns
from tests.tools import ROOT, Answer, assert_refused, call

STATES = {"h": [0.3, -0.2], "c": [0.6, -0.7]}
SAMPLES: list[dict[str, Any]] = [
    {"id": "a", "x": [0.5, -1], **STATES, "who": "Ann, B", "n": 3, "good": True,
     "v": [1, 2.5], "m": [[1, 2], [3, 4.25]], "o": {"k": [1]}, "expected": {"h": [0.1, 0.2]}},
    {"id": "b", "x": [[0.25, 2], [1, -0.125]], **STATES, "n": 1.5, "late": 'say "no"'},
    {"id": "c", "x": []},
    {"x": [1e-3, 7], **STATES, "who": None, "expected": {"f": [0.9, 0.9], "h": [1, 1]}},
]  # fmt: skip
FORMS = ("csv", "tsv", "parquet", "npz")
Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder, which is the current one, with samples."""
    monkeypatch.chdir(tmp_path)
    save("s.jsonl", SAMPLES)
    return tmp_path


def save(name: str, samples: Rows) -> None:
    Path(name).write_text("".join(json.dumps(each) + "\n" for each in samples))


def rows_of(name: str) -> Rows:
    """Return a file's rows; what is missing is None, a text where the form has texts alone."""
    path = Path(name)
    if path.suffix in (".csv", ".tsv"):
        with path.open(newline="") as stream:
            if path.suffix == ".csv":
                return [{k: v or None for k, v in row.items()} for row in csv.DictReader(stream)]
            head, *lines = (line.split("\t") for line in stream.read().splitlines())
            return [dict(zip(head, (c or None for c in line), strict=True)) for line in lines]
    if path.suffix == ".parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        rows: Rows = table.to_pylist()
        return rows
    with np.load(path, allow_pickle=False) as arrays:
        columns = {name: arrays[name] for name in arrays}
    return [{k: present(v[i]) for k, v in columns.items()} for i in range(len(columns["id"]))]


def present(value: Any) -> Any:
    """Return a value of an array; None for nan and for no text."""
    if value.dtype.kind == "f":
        return None if np.isnan(value).all() else value.tolist()
    return value.tolist() if value.dtype.kind != "U" else str(value) or None


def flat(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an answer, by rules written here anew."""
    found: dict[str, Any] = {}
    for key, value in answer.items():
        match key:
            case "schema":
                pass
            case "assumptions":
                found[key] = "; ".join(value) or None
            case "check" | "error":
                for inner, one in (value or {}).items():
                    own = {f"worst.{k}": v for k, v in one.items()} if inner == "worst" else None
                    found |= {f"{key}.{k}": v for k, v in (own or {inner: one}).items()}
            case _:
                found[key] = value
    return found


def texts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns as CSV has them."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key in ("h", "c"):
            found |= {f"{key}_{unit}": one for unit, one in enumerate(value)}
        elif key == "m":
            found[key] = "1 2; 3 4.25"
        elif key == "v":
            found[key] = "1 2.5"
        else:
            found[key] = value
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("more", [[], ["--check"], ["--check", "-j", "2"]], ids=" ".join)
@pytest.mark.few(5)
def test_columns_say_what_lines_say(form: str, more: list[str]) -> None:
    """Every number, text and error of the JSONL answers is there, and nothing else is."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    answers = call("batch", "s.jsonl", "-q", *more)
    assert call("batch", "s.jsonl", "-q", *more, "-o", f"o.{form}").code == answers.code == 4
    rows = rows_of(f"o.{form}")
    assert len(rows) == len(SAMPLES)
    for row, answer in zip(rows, answers.lines, strict=True):
        wanted = flat(answer)
        got = {key: value for key, value in row.items() if value is not None}
        if form in ("csv", "tsv"):
            wanted = texts(wanted)
            got = {key: as_value(key, value) for key, value in got.items()}
        elif "o" in wanted:
            wanted["o"] = json.dumps(wanted["o"])
        assert got == {key: value for key, value in wanted.items() if value is not None}


def as_value(key: str, text: str) -> Any:
    """Return what a cell stands for."""
    try:
        return text if key in ("id", "v", "m") else json.loads(text)
    except json.JSONDecodeError:
        return text


@pytest.mark.parametrize("form", ["csv", "parquet", "npz"])
def test_answers_can_be_samples_again(form: str) -> None:
    """With x beside them, answers go on from their own h and c, as one longer run does."""
    x = [[[0.5, -1], [0.25, 2]], [[1, 0.75], [-0.5, 0.125]]]
    save(
        "first.jsonl",
        [{"id": n, "x": rows[:1], **STATES, "own": n} for n, rows in zip("ab", x, strict=True)],
    )
    save("both.jsonl", [{"id": n, "x": rows, **STATES} for n, rows in zip("ab", x, strict=True)])
    assert call("batch", "first.jsonl", "-q", "-o", f"o.{form}").code == 0
    add_x(f"o.{form}", [rows[1] for rows in x])
    again = call("batch", f"o.{form}", "-q")
    assert again.code == 0, again.err
    for own, whole in zip(again.lines, call("batch", "both.jsonl", "-q").lines, strict=True):
        assert (own["id"], own["h"], own["c"]) == (whole["id"], whole["h"], whole["c"])
        assert own["own"] == own["id"]


def add_x(name: str, x: list[list[float]]) -> None:
    """Add a column `x` to a file of answers."""
    path = Path(name)
    if path.suffix == ".csv":
        head, *lines = path.read_text().splitlines()
        cells = ["x", *(" ".join(map(str, row)) for row in x)]
        both = zip([head, *lines], cells, strict=True)
        path.write_text("".join(f"{line},{cell}\n" for line, cell in both))
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            own = dict(arrays)
        np.savez(path, x=np.array(x), **own)
    else:
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(parquet.read_table(path).append_column("x", pa.array(x)), path)


def test_no_column_is_taken_for_another() -> None:
    """None of our columns looks like a sample's own key, which would be refused."""
    call("batch", "s.jsonl", "-q", "--check", "-o", "o.csv")
    head = Path("o.csv").read_text().splitlines()[0].split(",")
    sample_columns([*head, "x"], InputForm(), "here")


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
def test_samples_of_several_sizes(form: str) -> None:
    """A narrow sample leaves cells blank, wherever it comes; a list is as long as it is."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    save("r.jsonl", [{"x": [0.5]}, {"x": [0.5, -1, 2]}, {"x": [1, 0.25]}])
    assert call("batch", "r.jsonl", "-q", "-o", f"o.{form}").code == 0
    rows = rows_of(f"o.{form}")
    if form == "parquet":
        assert [len(row["h"]) for row in rows] == [1, 3, 2]
    else:
        assert [[row[f"c_{n}"] is not None for n in range(3)] for row in rows] == [
            [True, False, False], [True, True, True], [True, True, False]]  # fmt: skip


def test_an_array_has_one_size() -> None:
    """npz refuses samples of several sizes by name, and leaves the old file."""
    save("r.jsonl", [{"x": [0.5]}, {"id": "wide", "x": [0.5, -1, 2]}])
    Path("o.npz").write_text("old")
    said = call("batch", "r.jsonl", "-q", "-o", "o.npz")
    assert_refused(said, 3, "sample 'wide' has 3 numbers in h, earlier ones have 1")
    assert Path("o.npz").read_text() == "old"
    assert sorted(each.name for each in Path().iterdir()) == ["o.npz", "r.jsonl", "s.jsonl"]


def test_types_of_columns() -> None:
    """Numbers are numbers and truths truths; a column of several kinds is text."""
    parquet = pytest.importorskip("pyarrow.parquet")
    save("t.jsonl", [{"x": [1], "i": 1, "f": 1, "b": True, "m": 1, "big": 2**53},
                     {"x": [2], "i": -2, "f": 0.5, "b": False, "m": "two"}])  # fmt: skip
    for form in ("parquet", "npz"):
        assert call("batch", "t.jsonl", "-q", "-o", f"o.{form}").code == 0
    kinds = {each.name: str(each.type) for each in parquet.read_schema("o.parquet")}
    assert [kinds[name] for name in ("i", "f", "b", "m", "big", "ok", "id")] == [
        "int64", "double", "bool", "string", "int64", "bool", "string"]  # fmt: skip
    with np.load("o.npz") as arrays:
        assert [arrays[name].dtype.kind for name in ("i", "f", "b", "m", "big", "ok")] == list(
            "ifuUfu"
        )
        assert arrays["m"].tolist() == ["1", "two"]


@pytest.mark.parametrize("form", ["parquet", "npz"])
def test_float32_stays_narrow(form: str) -> None:
    """h and c have the type of the run, and its very numbers."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    save("n.jsonl", [{"x": [0.1, 0.7], **STATES}])
    words = ["batch", "n.jsonl", "-q", "--dtype", "float32"]
    assert call(*words, "-o", f"o.{form}").code == 0
    wanted = np.array(call(*words).lines[0]["h"], np.float32)
    if form == "npz":
        with np.load("o.npz") as arrays:
            assert arrays["h"].dtype == np.float32
            assert arrays["h"][0].tolist() == wanted.tolist()
    else:
        table = pytest.importorskip("pyarrow.parquet").read_table("o.parquet")
        assert str(table.schema.field("h").type.value_type) == "float"
        assert table["h"][0].as_py() == wanted.tolist()


def test_no_cell_is_a_formula() -> None:
    """A stranger's id, name of a column or text starts no formula and steers no terminal."""
    save("f.jsonl", [{"id": "=1+1", "x": [1], "@SUM(A1)": "-2+3", "t": "a\tb\x1b[31m\nc"}])
    for form in ("csv", "tsv"):
        call("batch", "f.jsonl", "-q", "-o", f"o.{form}")
        (row,) = rows_of(f"o.{form}")
        assert (row["id"], row["'@SUM(A1)"]) == ("'=1+1", "'-2+3")
        assert row["t"] == r"a\x09b\x1b[31m\x0ac"


@pytest.mark.parametrize("form", FORMS)
def test_no_samples_are_a_table_too(form: str) -> None:
    """Without a sample, or with failed ones alone, there are still columns."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    save("n.jsonl", [])
    save("f.jsonl", [{"id": "a", "x": []}])
    assert call("batch", "n.jsonl", "-q", "-o", f"n.{form}").code == 0
    assert rows_of(f"n.{form}") == []
    assert call("batch", "f.jsonl", "-q", "-o", f"f.{form}").code == 4
    assert rows_of(f"f.{form}")[0]["error.message"] == "x is empty"


@pytest.mark.parametrize("form", ["parquet", "npz"])
def test_what_is_not_finite_is_a_number(form: str) -> None:
    """inf, a text in JSON, is a number where there are such; rows of several sizes are text."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    words = ["--activations", "relu,relu,relu", "--dtype", "float32", "--check"]
    save("i.jsonl", [{"x": [1e30], "c": [1e30], "m": [[1], [2, 3]], "expected": {"h": [1]}}])
    assert call("batch", "i.jsonl", "-q", *words, "-o", f"i.{form}").code == 1
    (row,) = rows_of(f"i.{form}")
    assert row["h"] == row["c"] == [np.inf]
    assert row["check.max_abs_diff"] == np.inf
    assert row["m"] == ([[1], [2, 3]] if form == "parquet" else "[[1], [2, 3]]")


@pytest.mark.parametrize("form", FORMS)
def test_what_a_row_cannot_hold_is_refused(form: str) -> None:
    """--trace has no place in a row, and --resume goes on with lines alone; before anything runs."""
    said = call("batch", "s.jsonl", "--trace", "-o", f"o.{form}")
    assert_refused(said, 2, f"--trace writes every step, but a row of {form} holds one sample")
    for option in ("--resume", "--retry-failed"):
        assert_refused(call("batch", "s.jsonl", option, "-o", f"o.{form}"), 2, "a file of JSONL")
    assert not Path(f"o.{form}").exists()


@pytest.mark.parametrize("form", FORMS)
def test_a_pipe_has_what_a_file_has(form: str) -> None:
    """stdout gets the same bytes, from files; from stdin too, where the first samples tell all."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    call("batch", "s.jsonl", "-q", "-o", f"o.{form}")
    whole = Path(f"o.{form}").read_bytes()
    assert call("batch", "s.jsonl", "-q", "-f", form).raw == whole
    piped = call("batch", "-", "-q", "-f", form, stdin=Path("s.jsonl").read_bytes())
    assert piped.code == 4
    assert len(piped.raw.replace(b"stdin", b"s.jsonl")) >= len(whole)


def test_a_stream_is_not_waited_for() -> None:
    """CSV from stdin to stdout comes while more samples may."""
    words = [sys.executable, "-m", "lstm_cli", "batch", "-", "-q", "-f", "csv"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=ROOT, stdin=pipe, stdout=pipe, bufsize=0) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b'{"x": [0.5, -1]}\n' * 2000)
            assert process.stdout.readline().startswith(
                b"id,ok,h_0,h_1,c_0,c_1,engine,assumptions,warnings,error.code"
            )
            assert process.stdout.readline().startswith(b"stdin:1,true,")
            process.stdin.close()
            assert len(process.stdout.read().splitlines()) == 1999
            assert process.wait() == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("late", "lacks"), [({"x": [1, 2, 3]}, "h_1"), ({"x": [1], "new": 1}, "new")], ids=str
)
def test_a_header_that_is_out_is_kept_to(late: dict[str, Any], lacks: str) -> None:
    """A stream's answer that has a column which the header has not is refused by name."""
    lines = [{"x": [0.5]}] * 600 + [{"id": "late", **late}]
    text = "".join(json.dumps(each) + "\n" for each in lines)
    said: Answer = call("batch", "-", "-q", "-f", "csv", stdin=text)
    assert said.code == 3
    assert f"sample 'late' has {lacks}, which the header lacks" in said.err
    assert len(said.out.splitlines()) == 601
    assert call("batch", "-", "-q", "-o", "o.csv", stdin=text).code == 0
    assert rows_of("o.csv")[-1][lacks] is not None


def test_nothing_is_lost_to_a_sample_that_is_met_late() -> None:
    """A file that only a later sample names is not replaced by a table either."""
    Path("w.json").write_text(json.dumps({"W_f": 1}))
    save("s.jsonl", [{"x": [1]}] * 5000 + [{"x": [1], "weights": "w.json"}])
    for option in ([], ["-j", "2"]):
        before = Path("w.json").read_bytes()
        assert call("batch", "s.jsonl", "-q", "-o", "w.json", *option).code == 5
        assert Path("w.json").read_bytes() == before
        assert sorted(each.name for each in Path().iterdir()) == ["s.jsonl", "w.json"]


@pytest.mark.full
def test_parquet_comes_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long batch is written a group of rows at a time."""
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("lstm_cli.commands.batch.columns.GROUP_ROWS", 1000)
    save("l.jsonl", [{"id": str(n), "x": [n / 7]} for n in range(2500)])
    assert call("batch", "l.jsonl", "-q", "-o", "o.parquet").code == 0
    file = parquet.ParquetFile("o.parquet")
    assert file.num_row_groups == 3
    assert file.read()["id"].to_pylist() == [str(n) for n in range(2500)]
