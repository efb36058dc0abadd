"""Batches at scale: quick ways give the same bytes as plain ones, whoever runs the chunks."""

from __future__ import annotations

import gzip
import json
import math
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_cli.base.errors import LstmStepError
from lstm_cli.cell.cells import LSTM, cell_named
from lstm_cli.cell.presets import preset_model
from lstm_cli.cell.weights import Model
from lstm_cli.commands.batch import work
from lstm_cli.commands.batch.runners import Processes
from lstm_cli.commands.batch.texts import _fast_dumps, number_texts, row_texts
from lstm_cli.commands.batch.work import ChunkAnswers, Work
from lstm_cli.files.output import plain_list
from lstm_cli.samples import chunks, files, read_samples
from lstm_cli.samples.chunks import Chunk, csv_document, csv_documents
from lstm_cli.samples.files import all_chunks, column_values
from lstm_cli.samples.settings import SampleSettings, Tally
from tests.conftest import random_weights
from tests.tools import ROOT, call, shell


@pytest.fixture(autouse=True)
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is no slow way to the right answer here, sample by sample."""
    monkeypatch.setenv("LSTM_STEP_DEBUG", "1")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what takes the extra `batch` away."""

    def take_away() -> None:
        monkeypatch.setitem(sys.modules, "orjson", None)
        monkeypatch.setitem(sys.modules, "simdjson", None)
        _fast_dumps.cache_clear()

    yield take_away
    _fast_dumps.cache_clear()


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return samples of mixed lengths, some without states, some with expected numbers."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(count):
        steps = 1 + number % 3
        x = generator.uniform(-1, 1, (steps, 2)).tolist()
        row: dict[str, Any] = {"id": f"s{number}", "x": x if steps > 1 else x[0]}
        if number % 4:
            row |= {"h": generator.uniform(-1, 1, 2).tolist(), "c": [0.25, -3.0]}
        if number % 5 == 0:
            row |= {"expected": {"f": [0.5, 0.5], "h": [0, 1]}, "atol": 0.5}
        if number % 7 == 0:
            row |= {"label": f"a:{number}", "weights": {"preset": "random", "seed": number % 2}}
        found.append(row)
    return found


def jsonl(path: Path, documents: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in documents))
    return path


# Lines that readers guess at, each beside good ones.
TRAPS = {
    "nan": b'{"x": [NaN]}',
    "overflow": b'{"x": [1e999]}',
    "key twice": b'{"x": [1], "x": [2]}',
    "key twice, escaped": b'{"x": [1], "\\u0078": [2]}',
    "key twice, with a colon in a text": b'{"x": [1], "x": [2], "a": ":"}',
    "key twice inside": b'{"x": [1], "expected": {"h": [1], "h": [2]}}',
    "not exact": b'{"x": [9007199254740993]}',
    "longer than 64 bits": b'{"x": [123456789012345678901234567890]}',
    "own number not exact": b'{"x": [1], "mine": 9007199254740993}',
    "own number not exact inside": b'{"x": [1], "mine": [{"a": [9007199254740993]}]}',
    "note not exact": b'{"x": [1], "note": 9007199254740993}',
    "weights not exact": b'{"x": [1], "weights": {"preset": "random", "seed": 9007199254740993}}',
    "key twice in weights": b'{"x": [1], "weights": {"preset": "random", "seed": 1, "seed": 2}, "a": "\\u003a"}',
    "key twice, with an escaped colon": b'{"x": [1], "x": [2], "a": "\\u003a"}',
    "key twice, in a list": b'{"x": [1], "a": [[{"b": 1, "b": 2}]]}',
    "true among numbers": b'{"x": [0.5, true]}',
    "false in a row": b'{"x": [[0.5], [false]]}',
    "id not exact": b'{"x": [1], "id": 9007199254740993}',
    "true": b'{"x": [true]}',
    "text": b'{"x": ["1"]}',
    "null": b'{"x": [null]}',
    "ragged": b'{"x": [[1, 2], [3]]}',
    "row and number": b'{"x": [[1], 2]}',
    "empty row": b'{"x": [[]]}',
    "deep": b'{"x": [[[1]]]}',
    "steps are true": b'{"x": [1], "steps": true}',
    "expected true": b'{"x": [1], "expected": {"h": [true]}}',
    "atol below zero": b'{"x": [1], "atol": -1.0}',
    "half an object": b'{"x": [1]},{"x": [2]',
    "misspelt": b'{"x": [1], "weigths": "w.npz"}',
    "a key that means ours": b'{"x": [1], "hidden": [2]}',
    "an answer of ours": b'{"schema": "lstm-step/1", "h": [1]}',
    "not UTF-8": b'{"x": [1], "id": "\xff"}',
    "note nested too deep": b'{"x": [1], "note": ' + b"[" * 80 + b"]" * 80 + b"}",
    "nested deeper than Python goes": b'{"x": [1], "mine": ' + b"[" * 999 + b"]" * 999 + b"}",
    "a list in a list among numbers": b'{"x": [1, [2, 3], []]}',
    "the same, behind a bracket that is escaped": b'{"x": [1, [2, 3], []], "a": ["\\u005b"], "id": "\\u005b"}',
    "rows in a row": b'{"x": [[1, [2, 3]], [4, []]]}',
    "rows of equal sum": b'{"x": [[1, 2], [3], [4, 5, 6]]}',
    "no number": b'{"x": [1], "h": []}',
    "no rows": b'{"x": [1], "h": [[], []]}',
    "a name with a zero byte": b'{"x\\u0000": [2], "a": [1]}',
    "two lines": b'{"x": [1]}{"x": [2]}',
    "no object": b"[[1, 2]]",
    "expected is none": b'{"x": [1], "expected": null}',
    "expected is a list": b'{"x": [1], "expected": [1]}',
    "expected is text": b'{"x": [1], "expected": {"h": "a"}}',
    "nested too deep": b'{"x": [1], "mine": ' + b"[" * 80 + b"]" * 80 + b"}",
}


# Good ones that look like them, so that they would be taken together.
LIKE_TRAPS = (
    b'{"x": [0.5], "id": "good"}', b'{"x": [0.5]}', b'{"x": [0.5], "id": 1}', b'{"x": [[0.5], [1]]}',
    b'{"x": [0.5], "mine": 1}', b'{"x": [0.5], "note": 1}', b'{"x": [0.5], "steps": 1}',
    b'{"x": [0.5], "atol": 1.0}', b'{"x": [0.5], "expected": {"h": [1]}}', b'{"x": [0.5, 1]}',
    b'{"x": [0.5], "weights": {"preset": "random", "seed": 1}}', b'{"x": [0.5], "a": ":"}',
    b'{"x": [0.5], "schema": "mine"}',
)  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS.values(), ids=TRAPS)
def test_a_trap_costs_only_itself(trap: bytes, tmp_path: Path, plain: Callable[[], None]) -> None:
    """What a fast parser would let in is refused, in its place, with the words of the strict one."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"\n".join([*LIKE_TRAPS, trap, trap, *LIKE_TRAPS, b""]))
    answer = call("batch", path, "--check")
    fine = [True] * len(LIKE_TRAPS)
    assert [each["ok"] for each in answer.lines] == [*fine, False, False, *fine]
    plain()
    assert call("batch", path, "--check").out == answer.out


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_lines_are_read_as_the_strict_parser_reads_them(data: st.DataObject) -> None:
    """Of lines with bytes changed, added and left out, simdjson makes what `json` does, or nothing."""
    pytest.importorskip("simdjson")
    lines = data.draw(
        st.lists(st.sampled_from([*LIKE_TRAPS, *TRAPS.values()]), min_size=1, max_size=6)
    )
    changed = []
    for line in lines:
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(line)))
            new = data.draw(st.sampled_from(PIECES))
            line = line[:at] + new + line[at + data.draw(st.integers(0, 3)) :]
        changed.append(line)
    chunk = chunks.Lines(chunks.Origin("s.jsonl", "s", Path()), range(len(changed)), changed)
    quick = Work(SampleSettings(check=True))(chunk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "simdjson", None)
        slow = Work(SampleSettings(check=True))(chunk)
    assert quick.lines == slow.lines


# What is put into lines.
PIECES = (
    b"", b"[", b"]", b"[[", b",", b", ", b'"', b"{", b"}", b":", b"1", b"-", b"0", b".", b"e9", b"null",
    b"true", b"\\", b"\\u005b", b"\\u0000", b"\\ud800", b"\xef\xbb\xbf", b"\xff", b"\0", b" ", b"\t",
    b"[1]", b"[]", b"{}", b'"x": [2], ', b'"h": null, ', b'"a": {"b": [1]}, ', b'"a": "[", ',
    b'"a": 1, "b": 2, ', b'"b": 2, "a": 1, ', b"9007199254740993", b"1e400", b"], [", b"]], [[",
    b"[2], [3]", b"}, {", b": ", b"\r", b'": "', b'\\"', b"[[1], [2, 3]]", b"[1, [2]]", b"[[[1]]]",
)  # fmt: skip


def test_a_profiler_that_keeps_frames_changes_nothing() -> None:
    """Lines are read quickly while somebody keeps what we hold, as a cluster's profiler does.

    simdjson's parser refuses the next line for as long as a value of the last one is alive.
    """
    pytest.importorskip("simdjson")
    lines = [json.dumps({"x": [0.5, n]} | ({"a": n} if n % 3 else {})).encode() for n in range(64)]
    chunk = chunks.Lines(chunks.Origin("s.jsonl", "s", Path()), range(64), lines)
    kept: list[Any] = []
    sys.setprofile(lambda frame, event, _: kept.append(frame) if event == "return" else None)
    try:
        found = chunk.tables()
    finally:
        sys.setprofile(None)
    assert not found.single
    assert sorted(p for each in found.tables.values() for p in each.positions) == list(range(64))


def test_lines_of_many_kinds_are_read_quickly() -> None:
    """Members that come and go, in any order, cost no line its place among the quick ones."""
    pytest.importorskip("simdjson")
    optional = {
        "h": [0.5],
        "c": [-1.0],
        "a": 'b\u00e9"',
        "n": None,
        "tags": [{"k": [1]}],
        "caf\u00e9": 2,
    }
    kinds = [
        {"x": [n], **{k: v for bit, (k, v) in enumerate(optional.items()) if n >> bit & 1}}
        for n in range(60)
    ]
    lines = [json.dumps(each, ensure_ascii=n % 2 == 0).encode() for n, each in enumerate(kinds)] * 3
    chunk = chunks.Lines(chunks.Origin("s.jsonl", "s", Path()), range(len(lines)), lines)
    found = chunk.tables()
    assert not found.single
    positions = [p for each in found.tables.values() for p in each.positions]
    assert sorted(positions) == list(range(len(lines)))
    wide = json.dumps({"x": [1]} | {f"m{n}": n for n in range(1000)}).encode()
    assert chunks.Lines(chunk.origin, [1], [wide]).tables().single == [0]


def test_own_members_of_any_kind_take_the_quick_way(
    tmp_path: Path, plain: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists, objects, colons and escapes in members of one's own are no reason to read one by one."""
    documents = [
        {"id": f"a:{n}", "x": [0.5], "at": "12:30", "name": "caf\u00e9 \u2028", "tags": [{"a:b": n}],
         "flag": n % 2 == 0, "mixed": [None, 1.5, "s", n][n % 4]} for n in range(64)
    ]  # fmt: skip
    path, read = jsonl(tmp_path / "s.jsonl", documents), []
    honest = chunks.Lines.read
    monkeypatch.setattr(chunks.Lines, "read", lambda *a: read.append(a) or honest(*a))
    answer = call("batch", path)
    assert len(read) == 1
    for document, record in zip(documents, answer.lines, strict=True):
        assert {key: record[key] for key in document if key not in ("x", "h")} == {
            key: value for key, value in document.items() if key != "x"
        }
    plain()
    assert call("batch", path).out == answer.out


def test_equal_values_that_are_written_differently_stay_apart(
    tmp_path: Path, plain: Callable[[], None]
) -> None:
    """1, 1.0, true and -0.0 of one's own come out as they went in; a tolerance of -0.0 is 0.0."""
    own = [1, 1.0, True, 0, 0.0, -0.0, False]
    lines = [
        f'{{"x": [0.5], "fold": {json.dumps(value)}, "expected": {{"h": [2.0]}}, '
        f'"atol": {atol}}}\n' for value in own for atol in ("0", "-0.0", "0.25", "0.0")
    ]  # fmt: skip
    path = tmp_path / "s.jsonl"
    path.write_text("".join(lines))
    answer = call("batch", path, "--check")
    told = [(repr(each["fold"]), repr(each["check"]["tolerance"])) for each in answer.lines]
    wanted = ["0.0", "0.0", "0.25", "0.0"]
    assert told == [(repr(value), atol) for value in own for atol in wanted]
    plain()
    assert call("batch", path, "--check").out == answer.out
    alone = [call("batch", "-", "--check", stdin=line).lines[0] for line in lines[:8]]
    assert [repr(each["check"]["tolerance"]) for each in alone] == wanted * 2


@pytest.mark.parametrize("given", [["1", "1.0"], ["1.0", "1"], ["2.0", "2.0"], ["3", "3"]])
def test_an_id_is_judged_as_it_is_alone(given: list[str], tmp_path: Path) -> None:
    """Beside an id of 1, an id of 1.0 is what it is in a file of its own."""
    lines = [f'{{"x": [0.5], "id": {each}}}\n' for each in given]
    path = tmp_path / "s.jsonl"
    path.write_text("".join(lines))
    together = [(each["id"], each["ok"]) for each in call("batch", path).lines]
    singles = []
    for number, line in enumerate(lines):
        alone = tmp_path / str(number) / "s.jsonl"
        alone.parent.mkdir()
        alone.write_text("\n" * number + line)
        singles += [(each["id"], each["ok"]) for each in call("batch", alone).lines]
    assert together == singles


@pytest.mark.parametrize(
    "options", [[], ["--check"], ["--trace"], ["--dtype", "float32", "--trace"]]
)
def test_answers_are_the_same_bytes_without_the_extra(
    options: list[str], tmp_path: Path, plain: Callable[[], None]
) -> None:
    """The extra `batch` makes it quicker and changes nothing."""
    path = jsonl(tmp_path / "s.jsonl", rows(90))
    quick = call("batch", path, *options)
    plain()
    slow = call("batch", path, *options)
    assert quick.out == slow.out
    assert len(quick.lines) == 90


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_numbers_are_written_as_json_writes_them(dtype: Any) -> None:
    """Rows of any size of numbers, nan and inf among them, have the text that Python gives them."""
    generator = np.random.default_rng(2)
    wild = 10.0 ** generator.uniform(-45, 38, 6000) * generator.choice([-1, 1], 6000)
    tame = generator.uniform(-1, 1, 6000)
    edges = [0.0, -0.0, 1e-4, 9.999e-5, 1e16, 9007199254740993.0, 1e13, 1e-7, 5e-324, 1.5,
             math.nan, math.inf, -math.inf, 0.1, 2.0, 1e22]  # fmt: skip
    numbers = np.concatenate([wild, tame, edges * 2]).astype(dtype).astype(float).reshape(-1, 4)
    wanted = [json.dumps(plain_list(row, dtype), separators=(",", ":"))[1:-1] for row in numbers]
    assert row_texts(numbers, dtype) == wanted
    assert row_texts(np.asfortranarray(numbers), dtype) == wanted
    assert row_texts(numbers[1500:3000], dtype) == wanted[1500:3000]
    assert row_texts(numbers[1500:1501], dtype) == wanted[1500:1501]
    if dtype is np.float64:
        assert number_texts(numbers.ravel()) == [
            json.dumps(plain_list(each, dtype))[1:-1] for each in numbers.reshape(-1, 1)
        ]


def test_samples_are_stacked_whatever_their_order(tmp_path: Path) -> None:
    """Mixed shapes, cells and weights in one file: each as in a file of its own, in order."""
    documents = rows(60)
    documents[7] |= {"cell": "peephole"}
    documents[8] |= {"clip": 0.25, "steps": 2, "x": [0.5, 1]}
    documents[9] |= {"h": None, "x": "0.5 1; 2 3"}
    together = call("batch", jsonl(tmp_path / "s.jsonl", documents), "--check").lines
    assert [each["id"] for each in together] == [each["id"] for each in documents]
    for document, record in zip(documents, together, strict=True):
        (alone,) = call("batch", "-", "--check", stdin=json.dumps(document)).lines
        assert alone["ok"]
        np.testing.assert_allclose(record["h"], alone["h"], rtol=0, atol=1e-14)
        np.testing.assert_allclose(record["c"], alone["c"], rtol=0, atol=1e-14)
        matched = [each["check"] and each["check"]["matched"] for each in (record, alone)]
        assert matched[0] == matched[1]


# ---- the user's own members


OWN = {"label": "cat", "count": 3, "share": 0.5, "flag": True, "none": None}


def test_own_members_are_handed_on(tmp_path: Path) -> None:
    """Members of the user's own come out under their names, ours stay ours, also in failures."""
    nested = {"x": [1], "tags": ["a", {"b": 1}]}
    taken = {"id": "t", "x": [1], "ok": "mine", "schema": 3, "error": "none", "h": [0.5]}
    path = jsonl(tmp_path / "s.jsonl", [{"x": [1]} | OWN, {"x": []} | OWN, nested, taken])
    good, bad, deep, ours = call("batch", path).lines
    for record in (good, bad):
        assert {key: record[key] for key in OWN} == OWN
    assert not bad["ok"]
    assert deep["tags"] == ["a", {"b": 1}]
    assert (ours["ok"], ours["schema"], "error" in ours) == (True, "lstm-step/1", False)
    assert ours["h"] != [0.5]


def test_own_columns_are_handed_on(tmp_path: Path) -> None:
    """Columns of CSV, arrays of npz and columns of Parquet that are none of ours come out."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "a.csv").write_text("x,label\n1,cat\n2,dog\n")
    np.savez(tmp_path / "b.npz", x=np.ones((2, 1)), label=np.array(["cat", "dog"]),
             grades=np.array([[1.0, np.nan], [2, 3]]))  # fmt: skip
    table = pyarrow.table({"x": [[1.0], [2.0]], "label": ["cat", "dog"], "number": [2**60, 1]})
    parquet.write_table(table, tmp_path / "c.parquet")
    records = call("batch", tmp_path).lines
    assert [each["label"] for each in records] == ["cat", "dog"] * 3
    assert [each["ok"] for each in records] == [True] * 6
    assert records[2]["grades"] == [1.0, "NaN"]
    assert records[4]["number"] == 2**60


# ---- files


def test_a_column_called_expected_is_refused(tmp_path: Path) -> None:
    """Beside columns of expected numbers it has no meaning; that is no bug of ours."""
    (tmp_path / "s.csv").write_text("x,expected,expected.h\n1,2,3\n")
    (record,) = call("batch", tmp_path).lines
    assert record["error"]["code"] != "bug"
    assert "expected.h" in record["error"]["try"]


CELLS = ["0.5", "-1e-3 2", "1,2", "1, 2", "1;2", "1 2; 3 4", "1;", "1,,2", "1,", "[1 2]", " 3 ", "+.5",
         "5.", "1e999", "1e", "1_0", "nan", "", " ", "0x1", "\u0663", "1 2,3", "9e15", "1e16", "-", "1\n2",
         "preset:random", "a", "1.0", "2"]  # fmt: skip


@pytest.mark.parametrize("column", ["x", "h", "x_0", "expected.h", "expected.h_1", "atol", "steps",
                                    "weights", "id", "mine", "clip"])  # fmt: skip
def test_columns_of_csv_hold_what_their_rows_do(column: str) -> None:
    """A column at a time, cells of every kind are what they are one by one, or left to that."""
    header, rest = [column, "c", "x_1" if column != "x" else "x_row"], ["1 2", "0.5"]
    taken = 0
    for cell in CELLS:
        found = csv_documents(header, [[cell, *rest], [cell, *rest]])
        try:
            wanted = csv_document(header, [cell, *rest], "")
        except LstmStepError:
            continue  # whatever is found is read again: `read` refuses it
        assert json.dumps(found, sort_keys=True) == json.dumps([wanted, wanted], sort_keys=True)
        taken += 1
    assert taken > 1


def as_parquet(path: Path, documents: Sequence[dict[str, Any]]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    keys = ("id", "x", "h", "c", "atol")
    columns = {key: [each[key] for each in documents] for key in keys}
    columns["expected.f"] = [each["expected"]["f"] for each in documents]
    columns["expected"] = [{"h": each["expected"]["h"]} for each in documents]
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)


LISTS = [
    [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0]], [[[1.0, 2.0]], [[3.0, 4.0]]], [[1.0, None], [3.0, 4.0]],
    [[1.0, 2.0], None], [[1, 2], [3, 4]], [1.0, 2.0], ["a", None], [[True], [False]], [[], []],
    [[[1.0, 2.0], [3.0]], [[4.0], [5.0, 6.0]]], [[[1.0], [2.0]], [[3.0]]], [{"h": [1.0]}], [],
]  # fmt: skip


@pytest.mark.parametrize("values", LISTS, ids=str)
def test_columns_of_parquet_are_what_pyarrow_makes_of_them(values: list[Any]) -> None:
    """A column that is taken as an array holds the numbers that it has as Python's lists."""
    pyarrow = pytest.importorskip("pyarrow")
    column = pyarrow.array([None, *values]).slice(1)
    kinds = {str(column.type)}
    if column.type in (pyarrow.list_(pyarrow.float64()), pyarrow.list_(pyarrow.int64())):
        kinds |= {pyarrow.list_(pyarrow.float32()), pyarrow.large_list(pyarrow.float64())}
    for kind in kinds:
        own = column if isinstance(kind, str) else column.cast(kind)
        found = column_values(own)
        assert (found if isinstance(found, list) else found.tolist()) == own.to_pylist()
    if values is LISTS[0]:
        assert isinstance(column_values(column), np.ndarray)


def packed(path: Path, data: bytes) -> bytes:
    if path.suffix == ".gz":
        return gzip.compress(data)
    pack = pytest.importorskip("zstandard").ZstdCompressor().compress
    half = len(data) // 2
    return bytes(pack(data[:half]) + pack(data[half:]))  # two frames, as `cat a.zst b.zst` makes


@pytest.mark.parametrize(
    "name", ["s.jsonl.gz", "s.jsonl.zst", "s.json.gz", "s.csv.zst", "s.parquet"]
)
def test_packed_files_hold_the_same_samples(name: str, tmp_path: Path) -> None:
    """Packed JSONL, JSON and CSV, and Parquet with list columns, give what JSONL gives."""
    documents = [
        {"id": f"s{n}", "x": [[0.5 * n, 1.0], [2.0, 3.0]], "h": [[0.25, 0.5]], "c": [[1.0, -1.0]],
         "atol": 0.5, "expected": {"f": [[0.5, n], [1.0, 2.0]], "h": [0.5, n]}} for n in range(5)
    ]  # fmt: skip
    path = tmp_path / "in" / name
    path.parent.mkdir()
    lines = "\n".join(map(json.dumps, documents))
    if name == "s.parquet":
        as_parquet(path, documents)
    elif "csv" in name:
        cells = [[d["id"], f"{d['x'][0]};{d['x'][1]}", f"{d['h'][0]}", f"{d['c'][0]}", "0.5",
                  f"{d['expected']['f'][0]};{d['expected']['f'][1]}", f"{d['expected']['h']}"]
                 for d in documents]  # fmt: skip
        head = "id,x,h,c,atol,expected.f,expected.h\n"
        text = head + "\n".join(",".join(f'"{c}"' for c in row) for row in cells)
        path.write_bytes(packed(path, text.encode()))
    else:
        text = json.dumps(documents) if "json." in name else lines
        path.write_bytes(packed(path, text.encode()))
    answer = call("batch", path.parent, "--check")
    wanted = call("batch", "-", "--check", stdin=lines)
    assert answer.lines == wanted.lines
    assert all(each["ok"] for each in answer.lines)


@pytest.mark.parametrize("name", ["s.jsonl.gz", "s.jsonl.zst"])
def test_a_packed_file_that_is_cut_keeps_what_came_before(name: str, tmp_path: Path) -> None:
    """A cut or damaged packed file costs one record after those that could be read."""
    lines = "".join(json.dumps({"id": n, "x": [n + 0.123]}) + "\n" for n in range(30000))
    path = tmp_path / name
    data = packed(path, lines.encode())
    path.write_bytes(data[: len(data) // 2])
    *good, last = call("batch", path).lines
    assert len(good) > 100
    assert [each["id"] for each in good if each["ok"]][:3] == ["0", "1", "2"]
    assert not last["ok"]
    assert "cut or damaged" in last["error"]["message"]
    path.write_bytes(b"no such thing")
    (only,) = call("batch", path).lines
    assert "cut or damaged" in only["error"]["message"]


def test_a_bomb_is_one_bad_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A packed line without end is never held: it is one record, and the next line is read."""
    monkeypatch.setattr("lstm_cli.samples.chunks.MAX_LINE_BYTES", 10_000)
    monkeypatch.setattr("lstm_cli.files.safe.MAX_TEXT_BYTES", 10_000)
    good = b'{"x": [1]}'
    data = gzip.compress(good + b"\n" + b"0" * 10**7 + b"\n" + good)
    (tmp_path / "a.jsonl.gz").write_bytes(data)
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b"[" + b" " * 10**7))
    answer = call("batch", tmp_path)
    assert [each["ok"] for each in answer.lines] == [True, False, True, False]
    assert "the limit is" in answer.lines[3]["error"]["message"]


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("s.jsonl.zst", "zstandard", "zstd"), ("s.parquet", "pyarrow.parquet", "parquet")],
)
def test_a_missing_extra_is_named(
    name: str, module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the package the error has the line that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"")
    (record,) = call("batch", tmp_path / name).lines
    assert record["error"]["try"] == f"pip install 'lstm-cli[{extra}]'"


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_parquet_that_is_none_is_refused(data: bytes, tmp_path: Path) -> None:
    """A file that only has the name is one failed sample."""
    pytest.importorskip("pyarrow")
    (tmp_path / "s.parquet").write_bytes(data)
    (record,) = call("batch", tmp_path / "s.parquet").lines
    assert "not a readable Parquet file" in record["error"]["message"]


# ---- who runs them


def test_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--jobs 2` gives what one process gives, failures and order included."""
    monkeypatch.setattr(files, "CHUNK", 40)
    documents = rows(200)
    documents[33] = {"x": "?"}
    documents[150] = {"x": [1, 2], "weights": "missing.npz"}
    path = jsonl(tmp_path / "s.jsonl", documents)
    one = call("batch", path, "--check", "--trace", "--forget-bias", "1")
    two = call("batch", path, "--check", "--trace", "--forget-bias", "1", "--jobs", "2")
    assert (two.code, two.out, two.err) == (one.code, one.out, one.err)
    assert one.code == 4


@pytest.mark.parametrize(
    ("dtype", "engines"), [("float64", {"numpy", "table"}), ("float32", {"table"})]
)
@pytest.mark.few(1)
def test_processes_take_the_same_engines(
    dtype: str, engines: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which engine runs a sample, and so its numbers, does not depend on how many processes run."""
    monkeypatch.delenv("LSTM_STEP_ENGINE", raising=False)
    # What numba has compiled by now is another matter: here none has it.
    monkeypatch.setattr("lstm_cli.engine.choice.numba_available", lambda: False)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    generator = np.random.default_rng(6)
    weights = {"preset": "random", "hidden_size": 16}
    few, some, many = ({"steps": steps, "weights": weights} for steps in (1, 2, 9))
    documents = [
        {"x": generator.normal(size=3).tolist(), "h": generator.normal(size=16).tolist()} | kind
        for kind in [*[few] * 90, *[some] * 1000, *[many] * 3000, *[few] * 4]
    ]
    path = jsonl(tmp_path / "s.jsonl", documents)
    one, two = (call("batch", path, "--dtype", dtype, "--jobs", jobs) for jobs in "12")
    assert (two.code, two.out) == (one.code, one.out)
    assert {each["engine"] for each in one.lines} == engines


@pytest.mark.parametrize(
    "cell", [LSTM, cell_named("peephole+projection"), cell_named("coupled-forget")]
)
def test_work_can_be_sent_away(cell: Any, tmp_path: Path) -> None:
    """A pickled copy of the work, with its weights, gives the same answers."""
    model = Model.single(random_weights(cell, inputs=2, hidden=2))
    here = Work(SampleSettings(model, trace=True), notes=True)
    (chunk,) = all_chunks([str(jsonl(tmp_path / "s.jsonl", [{"x": [1, 0.5]}, {"x": []}]))])
    there = pickle.loads(pickle.dumps(here))
    assert there(pickle.loads(pickle.dumps(chunk))) == here(chunk)
    assert here(chunk).failed == [1]


@dataclass(frozen=True)
class Counting:
    """Work that answers with how many threads its process may use and has, after a product."""

    def __call__(self, chunk: Chunk) -> ChunkAnswers:
        square = np.ones((512, 512))
        assert (square @ square)[0, 0] == 512
        asked = os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_NUM_THREADS"]
        return ChunkAnswers([*asked, str(len(os.listdir("/proc/self/task")))], Tally())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells the threads")
def test_processes_have_one_thread_each(tmp_path: Path) -> None:
    """Processes beside each other have one thread of BLAS each, whatever they compute."""
    chunk = next(all_chunks([str(jsonl(tmp_path / "s.jsonl", [{"x": [1]}]))]))
    answers = list(Processes(2).map(Counting(), [chunk] * 4))
    # The second thread waits for the end of this process.
    assert [list(each.lines) for each in answers] == [["1", "1", "2"]] * 4


@dataclass(frozen=True)
class Deadly:
    """Work whose process dies at a sample called poison: always, or the first time."""

    work: Work
    once: str = ""

    def __call__(self, chunk: Chunk) -> ChunkAnswers:
        first = self.once and not os.path.exists(self.once)
        if any("poison" in chunk.read(p).id.text for p in range(len(chunk))):
            if first:
                Path(self.once).touch()
            if first or not self.once:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.work(chunk)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.few(1)
def test_a_process_that_dies_costs_one_sample_at_most(once: bool, tmp_path: Path) -> None:
    """A sample that kills its process is one failed record; a process killed by others costs none."""
    documents = [{"id": "poison" if n == 5 else f"s{n}", "x": [n + 0.5]} for n in range(12)]
    path = str(jsonl(tmp_path / "s.jsonl", documents))
    chunks = [c.take(range(s, s + 4)) for c in all_chunks([path]) for s in (0, 4, 8)]
    evaluate = Work(SampleSettings())
    wanted = [line for chunk in chunks for line in evaluate(chunk).lines]
    deadly = Deadly(evaluate, str(tmp_path / "met") if once else "")
    answers = list(Processes(2).map(deadly, chunks))
    lines = [line for answer in answers for line in answer.lines]
    if once:
        assert lines == wanted
        return
    assert [*lines[:5], *lines[6:]] == [*wanted[:5], *wanted[6:]]
    record = json.loads(lines[5])
    assert (record["id"], record["ok"], record["error"]["code"]) == ("poison", False, "worker_died")
    assert sum(answer.tally.failed for answer in answers) == 1


def test_processes_that_cannot_start_are_an_error_of_the_batch(tmp_path: Path) -> None:
    """A script that starts itself again in each process is told so, not tried sample by sample."""
    path = jsonl(tmp_path / "s.jsonl", rows(40))
    script = tmp_path / "script.py"
    script.write_text(
        "from lstm_cli.commands._main import main\n"
        f"main(['batch', {str(path)!r}, '--jobs', '2', '-o', {str(tmp_path / 'o')!r}])\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 3
    said = done.stderr[done.stderr.rindex("error: ") :]
    assert said.startswith("error: no process can be started: each dies before its first sample\n")
    assert "where: --jobs\ntry:   leave --jobs out" in said
    assert "__main__" in said


def test_a_fault_of_ours_costs_one_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one sample brings up in our code is one failed record, called a bug."""
    honest = work.answer_block

    def faulty(block: Any, models: Any, beside: int) -> Any:
        if "bad" in block.ids:
            raise ZeroDivisionError("oh")
        return honest(block, models, beside)

    monkeypatch.setattr(work, "answer_block", faulty)
    monkeypatch.delenv("LSTM_STEP_DEBUG")
    documents = [{"id": name, "x": [1]} for name in ("a", "bad", "b")]
    answer = call("batch", jsonl(tmp_path / "s.jsonl", documents))
    assert answer.code == 4
    assert [each["ok"] for each in answer.lines] == [True, False, True]
    assert answer.lines[1]["error"]["code"] == "bug"


def test_a_stream_is_answered_while_it_comes() -> None:
    """Reading takes no more of stdin than a chunk: answers come before the end."""
    assert files.STDIN_CHUNK <= 600
    assert len(call("batch", "-", stdin='{"x": [1]}\n' * 1300).lines) == 1300


def test_answers_are_those_of_the_engine(tmp_path: Path) -> None:
    """One sample through the quick way equals the run that Python's own API gives."""
    path = jsonl(tmp_path / "s.jsonl", [{"x": [0.5, -1], "h": [0.1, 0.7], "c": [1, 2]}])
    (sample,) = read_samples(str(path))
    from lstm_cli.engine.run import run

    want = run(preset_model("identity", LSTM, sizes={"I": 2}), sample.x, [0.1, 0.7], [1, 2])
    assert call("batch", path).lines[0]["h"] == want.h.tolist()


# `resource` would tell at least what the process had that started this one: pytest's.
PEAK = """
import sys
from lstm_cli.commands._main import _guarded
code = _guarded(["batch", sys.argv[1], "-o", sys.argv[2], "-q"])
print(code, open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.full
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_memory_is_flat(tmp_path: Path) -> None:
    """A hundred times as many samples take hardly more memory."""
    import subprocess

    peaks = []
    for count in (10_000, 1_000_000):
        path = tmp_path / f"{count}.jsonl"
        with path.open("w") as stream:
            for number in range(count):
                stream.write(f'{{"id": "s{number}", "x": [{number / count}, 0.5]}}\n')
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path), str(tmp_path / "out")],
            capture_output=True, check=True, cwd=ROOT, timeout=600,
        )  # fmt: skip
        code, peak = map(int, done.stdout.split())
        assert code == 0
        peaks.append(peak)
    assert peaks[1] < 1.15 * peaks[0]


def test_help_names_the_new_options() -> None:
    """`batch --help` tells of jobs, resume and retry, in a process of its own."""
    said = shell("batch", "--help", env={"COLUMNS": "100"}).stdout.decode()
    assert all(option in said for option in ("--jobs", "--resume", "--retry-failed"))
