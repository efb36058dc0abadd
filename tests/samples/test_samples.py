"""Samples: every format says the same, order is kept, a bad one costs only itself."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.errors import InputError, LstmStepError
from lstm_cli.cell.cells import LSTM, with_activations, with_cell_clip, with_clip, with_forget_bias
from lstm_cli.cell.presets import preset_model
from lstm_cli.commands.batch.work import evaluate_samples
from lstm_cli.engine.run import run
from lstm_cli.samples import BadSample, Read, Sample, find_files, read_samples
from lstm_cli.samples.chunks import key_of
from lstm_cli.samples.files import all_chunks
from lstm_cli.samples.settings import SampleSettings as BatchSettings
from tests.tools import call

ROWS: list[dict[str, Any]] = [
    {"id": "a", "x": [[0.5, -1.0], [2.0, 0.25]], "h": [[0.1, 0.2]], "c": [[-0.3, 0.4]],
     "expected": {"h": [0.5, 0.6], "f": [[0.1, 0.2], [0.3, 0.4]]}, "atol": 0.01},
    {"id": "b", "x": [[1.5, 3.0], [-2.0, 1.0]], "h": [[0.7, 0.8]], "c": [[0.9, -1.0]],
     "expected": {"h": [0.7, 0.8], "f": [[0.5, 0.6], [0.7, 0.8]]}, "atol": 0.02},
]  # fmt: skip


def as_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS, indent=1))


def as_jsonl(path: Path) -> None:
    path.write_text("\n\n".join(map(json.dumps, ROWS)) + "\n")


def as_npz(path: Path) -> None:
    arrays = {key: np.array([row[key] for row in ROWS]) for key in ("id", "x", "h", "c", "atol")}
    for key in ("h", "f"):
        arrays[f"expected_{key}"] = np.array([row["expected"][key] for row in ROWS])
    np.savez(path, **arrays)  # type: ignore[arg-type] # keys are names of arrays


def vector(rows: list[Any]) -> str:
    nested = rows if isinstance(rows[0], list) else [rows]
    return "; ".join(" ".join(map(str, row)) for row in nested)


def as_csv(path: Path) -> None:
    lines = ["id,x, h ,c,expected.h,expected.f,atol"]
    for row in ROWS:
        cells = [vector(row[key]) for key in ("x", "h", "c")]
        cells += [vector(row["expected"][key]) for key in ("h", "f")]
        lines.append(",".join([row["id"], *cells, str(row["atol"])]))
    path.write_text("\r\n".join(lines) + "\r\n")


WRITERS = {".json": as_json, ".jsonl": as_jsonl, ".ndjson": as_jsonl, ".npz": as_npz,
           ".csv": as_csv}  # fmt: skip


def read(path: Path) -> list[Read]:
    return list(read_samples(str(path)))


def good(read: Read) -> Sample:
    assert isinstance(read, Sample), read
    return read


def bad(read: Read) -> LstmStepError:
    assert isinstance(read, BadSample), read
    return read.error


@pytest.mark.parametrize(("suffix", "write"), WRITERS.items(), ids=WRITERS)
def test_each_format_holds_the_same_samples(
    suffix: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    """JSON, JSONL, npz and CSV hold the same numbers, in order."""
    path = tmp_path / f"s{suffix}"
    write(path)
    samples = [good(each) for each in read(path)]
    assert [each.id.text for each in samples] == ["a", "b"]
    for sample, row in zip(samples, ROWS, strict=True):
        for key in "xhc":
            assert np.asarray(getattr(sample, key)).tolist() == row[key]
        assert {key: value.tolist() for key, value in sample.expected.items()} == row["expected"]
        assert sample.atol == row["atol"]
        assert sample.folder == tmp_path


def test_csv_with_a_number_a_column(tmp_path: Path) -> None:
    """x_0, x_1, … are one vector in the order of their numbers, wherever they stand."""
    path = tmp_path / "s.csv"
    path.write_text("x_1,id,x_10,x_2,x_0,x_3,x_4,x_5,x_6,x_7,x_8,x_9,expected.h_0,expected.h_1,h_0\n"
                    "1,a,10,2,0,3,4,5,6,7,8,9,0.5,0.25,\n")  # fmt: skip
    sample = good(read(path)[0])
    assert sample.x.tolist() == [[float(n) for n in range(11)]]
    assert sample.expected["h"].tolist() == [0.5, 0.25]
    assert sample.h is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,x_0,x_1\na,1,\n", "x_1 is empty"),
        ("id,x\na,1 two\n", "'two' is not a number"),
        ("id,x\na,1,2\n", "3 cells, the header has 2"),
        ("id,x\na\n", "1 cells, the header has 2"),
        ("id,x,steps\na,1,1.5\n", "'steps' is not a whole number"),
        ("id,x,atol\na,1,-1\n", "'atol' is not a number"),
        ("id,x,atol\na,1,1 2\n", "atol has 2 numbers, needs 1"),
        ("id,x_0,x_1\na,1,2 3\n", "x_1 has 2 numbers, needs 1"),
        ("id,x\na,\n", "'x' is missing"),
    ],
)
def test_a_bad_row_of_csv_keeps_its_id_and_line(text: str, words: str, tmp_path: Path) -> None:
    """A bad row is one bad sample with its own id, file and line; the next row is read."""
    path = tmp_path / "s.csv"
    path.write_text(text + "b" + "," * text.split("\n")[0].count(",") + "\n")
    first, second = read(path)
    assert first.id.text == "a"
    assert words in bad(first).what
    assert "s.csv, line 2" in bad(first).where
    assert second.id.text == "b"


HEADERS = [
    ("x0,x1,h0,h1,c0,c1", "1,-1,0.5,0.25,1,-2"),
    ("x1,x2,h_1,h_2,c[1],c[2]", "1,-1,0.5,0.25,1,-2"),
    ("x[1],x[0],h_prev,cx", "-1,1,0.5 0.25,1 -2"),
    ("x_0,x_1,h_prev_0,h_prev_1,c_prev0,c_prev1,h_0,h_1", "1,-1,0.5,0.25,1,-2,9,8"),
    ("x;h;c", "1,0 -1,0;0,5 0,25;1 -2"),
    ("x0;x1;h0;c0", "1,0;-1,0;0,5 0,25;1 -2"),
    ("x0\tx1\th0\tc0", "1\t-1\t0.5,0.25\t1 -2"),
    ("x,h,c", '"1,-1","[0.5, 0.25]","1 -2"'),
]


@pytest.mark.parametrize(("header", "row"), HEADERS)
def test_headers_that_people_write(header: str, row: str) -> None:
    """Columns of one number each, states by other names, TSV and `;` hold the same sample on stdin."""
    answer = call("batch", "-", stdin=f"{header}\n{row}\n")
    wanted = run(preset_model("identity", LSTM, sizes={"I": 2}), [[1, -1]], *STATES.values())
    (record,) = answer.lines
    assert record["h"] == wanted.h.tolist()
    assert record["c"] == wanted.c.tolist()
    assert ("commas are decimal" in str(record["assumptions"])) == (";" in header)
    assert ("commas are decimal" in answer.err) == (";" in header)


@pytest.mark.parametrize(
    ("header", "words", "hint"),
    [
        ("x_0,x_2", "x_1 has no column, and x_2 has one", "without gaps"),
        ("x3,x4", "x_1 has no column, and x_4 has one", "from 0 or 1"),
        ("x0,x_0", "columns 'x0' and 'x_0' hold the same", "keep one"),
        ("x,x1", "columns 'x' and 'x1' hold the same", "keep one"),
        ("x,h0,h", "'h0' looks like 'h', which is there too", "under 'expected'"),
        ("id,temp,wind", "'x' is missing: there are id, temp, wind", "--columns 'x=in*'"),
        ("0.5,0.25", "the first line holds numbers", "x_0,x_1"),
        ("W_f,W_i", "these are weights, not a sample: W_f, W_i", "--weights takes the file"),
        ("X0,X1", "unknown column 'X0'", "did you mean 'x0'?"),
    ],
)
def test_a_header_without_one_reading_is_refused(
    header: str, words: str, hint: str, tmp_path: Path
) -> None:
    """Gaps, the same thing twice and a header without x refuse a table at its first line."""
    (tmp_path / "s.csv").write_text(f"{header}\n1,2,3\n")
    with pytest.raises(InputError) as caught:
        read(tmp_path / "s.csv")
    assert words in caught.value.what
    assert hint in caught.value.lines.hint
    assert caught.value.where.endswith("line 1")


def test_columns_are_chosen_by_pattern(tmp_path: Path) -> None:
    """`--columns` takes columns by their numbers; beside h_prev, h is what should come out."""
    wanted = run(preset_model("identity", LSTM, sizes={"I": 2}), [[1, -1]], *STATES.values())
    path = tmp_path / "s.txt"
    h = wanted.h.tolist()
    path.write_text(
        f"in2,in1,h_prev0,h_prev1,cell_a,cell_b,h_0,h_1\n-1,1,0.5,0.25,1,-2,{h[0]},{h[1]}\n"
    )
    chosen = "--columns", "x=in*,h=h_prev*,c=cell_?", "--input-format", "csv"
    answer = call("batch", path, *chosen, "--check")
    assert (answer.code, answer.lines[0]["h"]) == (0, h)
    for columns, words in {
        "x=on*": "no column is like 'on*'",
        "x=in*,h=in*": "column 'in1' is chosen twice",
        "x=in*,id=h_*": "'id' has 4 columns like 'h_*'",
    }.items():
        refused = call("batch", path, "--input-format", "csv", "--columns", columns)
        assert words in refused.lines[0]["error"]["message"]
    for columns in ("x", "y=in*", "x=in*,x=on*"):
        assert call("batch", path, "--columns", columns).code == 2
    refused = call("batch", "-", "--columns", "x=in*", stdin='{"x": [1]}')
    assert "JSON has keys, not columns" in refused.lines[0]["error"]["message"]


@pytest.mark.parametrize("pack", [gzip.compress, None])
@pytest.mark.parametrize("write", [as_jsonl, as_csv, as_json])
def test_stdin_is_known_by_its_content(
    write: Callable[[Path], None], pack: Callable[[bytes], bytes] | None, tmp_path: Path
) -> None:
    """JSON, JSON Lines and CSV, also packed, are read from stdin as from files."""
    write(tmp_path / "s")
    data = (tmp_path / "s").read_bytes()
    answer = call("batch", "-", "--check", stdin=pack(data) if pack else data)
    assert [each["id"] for each in answer.lines] == ["a", "b"]
    assert all(each["check"]["worst"]["symbol"] in "fh" for each in answer.lines)


def test_a_format_that_is_said_is_taken(tmp_path: Path) -> None:
    """`--input-format` reads any file, and stdin, as what it says."""
    (tmp_path / "s.dat").write_text('{"x": [1]}')
    assert call("batch", tmp_path / "s.dat").code == 4
    for form in ("json", "jsonl"):
        assert call("batch", tmp_path / "s.dat", "--input-format", form).code == 0
        assert call("batch", "-", "--input-format", form, stdin='{"x": [1]}').code == 0
    assert call("batch", "-", "--input-format", "csv", stdin="x\n1\n").lines[0]["ok"]
    refused = call("batch", "-", "--input-format", "npz", stdin="x\n1\n").lines[0]["error"]
    assert refused["message"] == "npz is not read from stdin"


def test_parquet_has_columns_of_one_number_each(tmp_path: Path) -> None:
    """x0, x1 and h_prev of a Parquet table are the vectors of its samples."""
    table, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "x0": [1.0, 2.0],
        "x1": [-1.0, 0.5],
        "h_prev": [[0.5, 0.25]] * 2,
        "h": [[1.0, 2.0]] * 2,
    }
    parquet.write_table(table.table(columns), tmp_path / "s.parquet")
    first, second = map(good, read(tmp_path / "s.parquet"))
    assert (first.x.tolist(), second.x.tolist()) == ([[1, -1]], [[2, 0.5]])
    assert np.asarray(first.h).tolist() == [[0.5, 0.25]]
    assert second.expected["h"].tolist() == [1, 2]


def test_of_a_folder_only_samples_are_taken(tmp_path: Path) -> None:
    """Weights, answers and other tables in a folder are passed over and named; mistakes are not."""
    (tmp_path / "a.jsonl").write_text('{"id": "a", "x": [1]}\n{"id": "b"}\n')
    (tmp_path / "b.json").write_text('{"inputs": [1]}')
    (tmp_path / "c.csv").write_text("id,x\nc,\n")
    (tmp_path / "weights.json").write_text('{"W_f": [[1]], "b_f": [0]}')
    (tmp_path / "table.csv").write_text("day,rain\n1,2\n")
    (tmp_path / "answers.jsonl").write_text(call("batch", "-", stdin='{"x": [1]}').out)
    (tmp_path / "list.json").write_text("[1, 2]")
    np.savez(tmp_path / "other.npz", W_f=np.ones((2, 3)))
    answer = call("batch", tmp_path)
    assert [each["ok"] for each in answer.lines] == [True, False, False, False]
    (line,) = (each for each in answer.err.splitlines() if each.startswith("passed over"))
    names = ["answers.jsonl", "list.json", "other.npz", "table.csv", "weights.json"]
    assert [Path(each).name for each in line.split(": ", 1)[1].split(", ")] == names
    alone = call("batch", tmp_path / "weights.json").lines[0]
    assert alone["error"]["message"] == "these are weights, not a sample: W_f, b_f"
    assert "W_f" not in alone


SLIPS = {
    '{"x": [1, 2],}': "remove this one",
    '{"x": [1, 2,]}': "remove this one",
    '{"x": [1,, 2]}': "remove this one",
    "{'x': [1, 2]}": "double quotes",
    '{"x": [1], "b": True}': "true, false and null",
    '{"x": [1, nan]}': "write a finite number",
    '{"x": [1, NaN]}': "write a finite number",
    '{"x": [1]} # one': "no comments",
    "{x: [1]}": "names stand in double quotes",
    '{"x": [1], "id": a}': "text stands in double quotes",
    '{"x": [1': "is it cut?",
    '{"x": [1]} {"x": [2]}': "one sample a line",
}


@pytest.mark.parametrize(("line", "hint"), SLIPS.items())
def test_a_slip_in_json_says_what_to_write(line: str, hint: str, tmp_path: Path) -> None:
    """What people write in place of JSON is refused with what JSON has there, and its column."""
    (tmp_path / "s.jsonl").write_text('{"x": [1]}\n' + line + "\n")
    error = bad(read(tmp_path / "s.jsonl")[1])
    assert hint in error.hint
    assert "s.jsonl, line 2, column" in error.where


def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    """CSV with a column twice is refused, as JSON with a key twice is."""
    path = tmp_path / "s.csv"
    path.write_text("x,x\n1,2\n")
    with pytest.raises(InputError, match="column 'x' is there twice"):
        read(path)


def test_a_long_cell_of_csv_is_read(tmp_path: Path) -> None:
    """A vector of a hundred thousand numbers fits a cell."""
    path = tmp_path / "s.csv"
    path.write_text("x\n" + " ".join(["0.25"] * 100_000) + "\n")
    assert good(read(path)[0]).x.shape == (1, 100_000)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"h": [1]}, "'x' is missing"),
        ({"x": []}, "x is empty"),
        ({"x": "one"}, "'one' is not a number"),
        ({"x": [[[1]]]}, "shape (1, 1, 1)"),
        ({"x": 1}, "shape ()"),
        ({"x": [1], "h": [[1], [1, 2]]}, "h is ragged"),
        ({"x": [1], "expected": [1]}, "'expected' is not an object"),
        ({"x": [1], "expected": {"h": [[[[[1]]]]]}}, "nested too deeply"),
        ({"x": [1], "steps": -1}, "'steps' is not a whole number"),
        ({"x": [1], "steps": True}, "'steps' is not a whole number"),
        ({"x": [1], "atol": "big"}, "'atol' is not a number"),
        ({"x": [1], "cell": 3}, "'cell' is not text"),
        ({"x": [1], "weigths": "w.npz"}, "unknown key 'weigths'"),
        ([1], "not an object"),
        (None, "not an object"),
    ],
)
def test_a_bad_sample_says_why(document: Any, words: str, tmp_path: Path) -> None:
    """A sample that makes no sense is a bad one in its own place, among good ones."""
    path = tmp_path / "s.json"
    path.write_text(json.dumps([{"x": [1]}, document, {"x": [2]}]))
    before, middle, after = read(path)
    assert words in bad(middle).what
    assert "s.json, sample 2" in bad(middle).where
    assert tuple(each.id.text for each in (good(before), middle, good(after))) == (
        "s:1",
        "s:2",
        "s:3",
    )


def test_keys_of_ones_own_are_let_be(tmp_path: Path) -> None:
    """A key that is nothing like ours is the user's own; text rows and null states are read."""
    path = tmp_path / "s.json"
    path.write_text('{"x": "1 2; 3 4", "h": null, "label": "cat", "note": "n", "source": 1}')
    sample = good(read(path)[0])
    assert sample.x.tolist() == [[1, 2], [3, 4]]
    assert sample.h is None
    assert sample.id.text == "s"


MEANT = {
    "x": "X inputs input x_t Input-Sequence",
    "h": "H H_PREV h-prev hPrev H0 h_0 h_{t-1} h₀ h[0] h1 hidden hiden hidden_state initial_h "
    "hₜ₋₁ h^0 h_old h_prev_state h_prev_0 hidden_sate prev_state initial_carry",
    "c": "C c_0 CX c.prev cell_state initial-c cₜ₋₁ cell_state_prev",
    "weights": "Weights weigths weight model Model state_dict W_f preset hidden-size w_hh "
    "checkpoint_path",
    "cell": "Cell CELL cell_type cells",
    "convention": "Convention gate_order convetion",
    "steps": "Steps step n_steps timeSteps",
    "expected": "expect Expected target targets tragets expected_h z_f y_true h_n h_last",
    "cell_clip": "cell-clip CellClip clip_cell_state",
    "forget_bias": "forgetBias forget-bias forget_gate_bias",
    "activations": "activation Activations",
    "atol": "ATOL tol rtol tolerance",
    "length": "Length lenght seq_len seqLen sequence-length n_valid",
    "mask": "Mask attention_mask padding_mask src_key_padding_mask",
}
INSTEAD = {
    "--dtype": "dtype DType", "--gates": "gates Gates", "--joined": "joined", "--lstm": "lstm LSTM",
    "--merge": "merge merge_mode", "--transpose": "transpose",
    "the weights say": "go_backwards goBackwards",
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "meant"), [(key, meant) for meant, keys in MEANT.items() for key in keys.split()]
)
def test_a_key_that_means_ours_is_refused(key: str, meant: str, tmp_path: Path) -> None:
    """A name of one of our keys in other words, another case or misspelt is refused with it."""
    document = {"x": [0.5, -1], "h": [0.3, 0.2], "c": [1, -2], "weights": {"preset": "random"}}
    document.pop(meant, None)
    (tmp_path / "s.json").write_text(json.dumps(document | {key: [0.25, -0.75]}))
    error = bad(read(tmp_path / "s.json")[0])
    assert error.what == f"unknown key '{key}'"
    assert f"did you mean '{meant}'?" in error.hint
    assert "of your own" in error.hint


@pytest.mark.parametrize(
    ("key", "word"), [(key, word) for word, keys in INSTEAD.items() for key in keys.split()]
)
def test_a_key_that_is_not_supported_yet_is_refused(key: str, word: str, tmp_path: Path) -> None:
    """A type changes the numbers: it is refused with what does the same."""
    (tmp_path / "s.json").write_text(json.dumps({"x": [[0.5], [1]], key: 1}))
    error = bad(read(tmp_path / "s.json")[0])
    assert error.what == f"key '{key}' is not supported"
    assert word in error.lines.hint


OWN = (
    "label speaker split name date hour temperature category cost height heights weekday humidity "
    "t T N y f g i o layer direction group source class ID ids notes state states initials final "
    "mode mass task conversion expert timestamp run_type HT CN x1 call price value feature "
    "seed epoch country state_of_health url channel character chapter labels length_unit the_mask "
    "weight_kg weight_g length_m length_s h2o hr co2 c_reactive cellar chip model_year clip_id"
)


@pytest.mark.parametrize("key", OWN.split())
def test_a_key_that_only_sounds_like_ours_is_handed_on(key: str, tmp_path: Path) -> None:
    """Words of other people are theirs, however near they are to ours."""
    (tmp_path / "s.json").write_text(json.dumps({"x": [0.5, -1], key: 3}))
    assert good(read(tmp_path / "s.json")[0]).extra == {key: 3}


@pytest.mark.parametrize("key", ["hx", "H", "c0", "Cell"])
def test_what_is_given_in_two_names_is_refused(key: str, tmp_path: Path) -> None:
    """Beside our own key, another name for it is refused: one of the two would be passed over."""
    document = {"x": [1], "h": [0.5], "c": [0.25], "cell": "peephole", key: [0.75]}
    (tmp_path / "s.json").write_text(json.dumps(document))
    assert f"key '{key}' looks like '{key[0].lower()}" in bad(read(tmp_path / "s.json")[0]).what


STATES = {"h": [0.5, 0.25], "c": [1, -2]}


def test_steps_of_ours_go_back_in() -> None:
    """A step of `run -f jsonl` is a sample: h_prev is the state before, its values should come out."""
    run = "--x", "1,-1;2,0.5", "--h", "0.5,0.25", "--c", "1,-2", "--preset", "random"
    random = '"weights": {"preset": "random"}, "t"'
    steps = call(*run, "-f", "jsonl").out.replace('"t"', random)
    again = call("batch", "-", "--check", "--atol", "1e-15", stdin=steps)
    assert (again.code, [each["check"]["matched"] for each in again.lines]) == (0, [True, True])
    wrong = steps.replace('"f": [0.', '"f": [0.9').splitlines()[0]
    assert call("batch", "-", "--check", stdin=wrong).lines[0]["check"]["worst"]["symbol"] == "f"


def test_in_an_answer_of_ours_h_is_what_should_come_out() -> None:
    """An answer of `batch` with its x is a sample that expects h and c; without x it is none."""
    answer = call("batch", "-", stdin='{"x": [1, -1]}').lines[0]
    again = call("batch", "-", "--check", stdin=json.dumps(answer | {"x": [1, -1]}))
    assert again.lines[0]["check"]["matched"]
    assert again.lines[0]["h"] == answer["h"]
    (alone,) = call("batch", "-", stdin=json.dumps(answer)).lines
    assert alone["error"]["message"] == "this is an answer of lstm-step, not a sample"
    whole = call("--x", "1,-1", "--json").out.replace('"h"', '"x": [1, -1], "h"', 1)
    assert call("batch", "-", stdin=whole).code == 4


@pytest.mark.parametrize("rest", [{"mine": 1}, {}])
@pytest.mark.parametrize(("h", "c"), [("h0", "c0"), ("hx", "cx"), ("h_prev", "c_prev")])
def test_states_have_other_names(h: str, c: str, rest: Any, tmp_path: Path) -> None:
    """`h0`, `hx`, `h_prev` and `c0`, `cx`, `c_prev` are the states before, in lines and alone."""
    document = {"id": "a", "x": [1, -1], h: STATES["h"], c: STATES["c"]} | rest
    (tmp_path / "s.jsonl").write_text(f"{json.dumps(document)}\n" * 3)
    (tmp_path / "s.json").write_text(json.dumps(document))
    wanted = run(preset_model("identity", LSTM, sizes={"I": 2}), [[1, -1]], *STATES.values())
    lines = call("batch", tmp_path).lines
    assert [each["h"] for each in lines] == [wanted.h.tolist()] * 4
    assert [each["c"] for each in lines] == [wanted.c.tolist()] * 4
    assert lines[0].keys() == {"schema", "id", "ok", "engine", "assumptions", "h", "c", *rest}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"h_prev": [0.5, 0.25], "c": [1, -2]}, "'c' beside 'h_prev' may be the state before, or"),
        ({"h_prev": [0.5, 0.25], "h0": [1, -2]}, "key 'h_prev' looks like 'h0', which is there"),
        ({"h0": [0.5, 0.25], "h": [1, -2]}, "key 'h0' looks like 'h', which is there too"),
        (
            {"h_prev": [0.5, 0.25], "h": [1, -2], "expected": {"h": [1, -2]}},
            "'h' should come out, and is under 'expected' too",
        ),
    ],
)
def test_two_readings_of_states_are_refused(
    members: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """What may be the state before or what comes out, or is given twice, is refused."""
    (tmp_path / "s.jsonl").write_text(json.dumps({"x": [1, -1]} | members) + "\n" + '{"x": [1]}')
    first, second = read(tmp_path / "s.jsonl")
    assert words in bad(first).what
    assert good(second).h is None
    assert [each["ok"] for each in call("batch", tmp_path / "s.jsonl").lines] == [False, True]


OWN_SIZES: list[tuple[dict[str, Any], str]] = [
    ({"stuff": [0.5, 0.25]}, "'stuff' has 2 numbers, as 'h', which is not given"),
    ({"stuff": [[0.5, 0.25]]}, "'stuff' has 1 × 2 numbers, as 'h', which is not given"),
    ({"stuff": "0.5 0.25"}, "'stuff' has 2 numbers, as 'h', which is not given"),
    ({"stuff": [0.5, 0.25], "h": [1, 2]}, "'stuff' has 2 numbers, as 'c', which is not given"),
    ({"label": [0.5, 0.25], **STATES}, "'label' has 2 numbers, as what should come out"),
    ({"y": [[0.5, 0.25], [1, 2]], **STATES}, "'y' has 2 × 2 numbers, as what should come out"),
    ({"stuff": [0.5, 0.25], **STATES}, ""),
    ({"label": [0.5, 0.25], "expected": {"h": [1, 2]}, **STATES}, ""),
    ({"stuff": [0.5, 0.25, 1], "label": [1]}, ""),
    ({"stuff": ["a", "b"], "label": "2024-01-05"}, ""),
    ({"note": [0.5, 0.25]}, ""),
]


@pytest.mark.parametrize(("members", "words"), OWN_SIZES)
def test_an_own_member_of_the_size_of_a_state_is_refused(
    members: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """Beside a state that is not given, as many numbers by another name are refused, in any order."""
    document = {"x": [[1, -1], [2, 0.5]]} | members
    lines = [{"x": [[1, -1]] * 2, **members, next(iter(members)): [3]}, document]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, lines * 2)))
    answers = call("batch", tmp_path / "s.jsonl").lines
    for answer in answers[1::2]:
        assert answer["ok"] is not bool(words)
        assert words in answer.get("error", {}).get("message", "")
        assert answer["ok"] or 'under "note"' in answer["error"]["try"]
    assert answers[0]["ok"] or "stuff" not in members
    (tmp_path / "s.json").write_text(json.dumps(document))
    alone = call("diagnose", tmp_path / "s.json")
    assert (words in alone.err) if words else ("stuff" not in alone.err)


@pytest.mark.parametrize("column", ["H_0", "X_0", "Weights", "Mask", "hidden"])
def test_a_column_that_means_ours_is_refused_at_once(column: str, tmp_path: Path) -> None:
    """CSV is refused as a whole, with its first line, before any row is read."""
    (tmp_path / "s.csv").write_text(f"id,x_0,x_1,c_0,label,{column}\na,1,2,3,b,0.5\n")
    with pytest.raises(InputError, match=f"column '{column}'") as caught:
        read(tmp_path / "s.csv")
    assert caught.value.where.endswith("s.csv, line 1")


def test_arrays_and_tables_that_mean_ours_are_refused_at_once(tmp_path: Path) -> None:
    """So are npz and Parquet; `expected_h` is ours there, and others' own columns are let be."""
    arrays = {"x": np.ones((2, 3)), "expected_h": np.ones((2, 3)), "label": np.ones(2)}
    np.savez(tmp_path / "s.npz", **arrays)
    assert good(read(tmp_path / "s.npz")[0]).extra == {"label": 1.0}
    np.savez(tmp_path / "s.npz", **arrays, h0=np.ones((2, 3)), c1=np.ones((2, 3)))
    with pytest.raises(InputError, match="unknown array 'c1'") as caught:
        read(tmp_path / "s.npz")
    assert caught.value.hint == "did you mean 'c'? an array of your own needs another name"
    table, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"x": [[1.0]], "expected_h": [[1.0]], "label": ["a"]}
    parquet.write_table(table.table(columns), tmp_path / "s.parquet")
    assert good(read(tmp_path / "s.parquet")[0]).extra == {"label": "a"}
    parquet.write_table(table.table(columns | {"dtype": ["float32"]}), tmp_path / "s.parquet")
    with pytest.raises(InputError, match="column 'dtype' is not supported"):
        read(tmp_path / "s.parquet")


def test_a_table_that_means_ours_is_one_failed_sample(tmp_path: Path) -> None:
    """In a batch a file that is refused is one failed sample, as ever; alone it is exit 3."""
    (tmp_path / "s.csv").write_text("x,hidden\n" + "1,2\n" * 50)
    answer = call("batch", tmp_path / "s.csv")
    assert (answer.code, len(answer.lines)) == (4, 1)
    assert answer.lines[0]["error"]["message"] == "unknown column 'hidden'"
    assert call("diagnose", tmp_path / "s.csv").code == 3


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"h": np.ones((2, 1))}, "'x' is missing"),
        ({"x": np.ones(2)}, r"x has shape \(2,\)"),
        ({"x": np.ones((2, 1)), "h": np.ones((3, 1))}, "h has 3 entries, x has 2 samples"),
    ],
)
def test_npz_that_is_no_samples_is_refused(
    arrays: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """Npz needs x over the samples, and every array as many as x."""
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(LstmStepError, match=words):
        read(tmp_path / "s.npz")


def test_npz_takes_one_value_for_all(tmp_path: Path) -> None:
    """Scalars in an npz hold for every sample."""
    np.savez(tmp_path / "s.npz", x=np.ones((2, 3)), steps=2, atol=0.5, cell="peephole",
             weights="w.npz")  # fmt: skip
    for sample in map(good, read(tmp_path / "s.npz")):
        assert (sample.steps, sample.atol, sample.cell) == (2, 0.5, "peephole")
        assert sample.weights == "w.npz"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_are_finite(value: float, tmp_path: Path) -> None:
    """Nan and inf in arrays make a bad sample; they cost only theirs."""
    np.savez(tmp_path / "s.npz", x=np.array([[1.0], [value], [2.0]]))
    kinds = [isinstance(each, Sample) for each in read(tmp_path / "s.npz")]
    assert kinds == [True, False, True]


def test_folders_globs_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder gives its sample files sorted, a glob what it matches; each file once."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.json", "a.jsonl", "c.npz", "d.CSV", "notes.txt", "[1].json"):
        Path(name).write_text("")
    Path("inner").mkdir()
    Path("inner/e.json").write_text("")
    assert find_files(["."]) == ["[1].json", "a.jsonl", "b.json", "c.npz", "d.CSV"]
    assert find_files(["*.json*"]) == ["[1].json", "a.jsonl", "b.json"]
    assert find_files(["**/*.json"]) == ["[1].json", "b.json", "inner/e.json"]
    assert find_files(["b.json", "[1].json", "b.json", "-"]) == ["b.json", "[1].json", "-"]
    for nothing in ("zz*", "empty"):
        Path("empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="no sample files here"):
            find_files([nothing])


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    """A file that is none of the formats is refused with those there are."""
    (tmp_path / "s.jsom").write_text("{}")
    with pytest.raises(InputError, match="'.jsom' is not a sample file") as caught:
        read(tmp_path / "s.jsom")
    assert "did you mean '.json'?" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "a", "x": [1]}\n{"id": "b", "x": [2]}\n',
        '[{"id": "a", "x": [1]}, {"id": "b", "x": [2]}]',
        json.dumps([{"id": "a", "x": [1]}, {"id": "b", "x": [2]}], indent=2),
        '\n\n{"id": "a", "x": [1]}\n\n{"id": "b", "x": [2]}',
    ],
    ids=["lines", "array", "array over lines", "blank lines"],
)
def test_stdin_holds_lines_or_an_array(text: str) -> None:
    """Stdin is JSONL or one JSON document."""
    answer = call("batch", "-", stdin=text)
    assert answer.code == 0, answer.err
    assert [each["id"] for each in answer.lines] == ["a", "b"]


def test_stdin_holds_one_object_over_lines() -> None:
    """A sample as jq prints it is read from stdin."""
    answer = call("batch", "-", stdin=json.dumps({"id": "a", "x": [1]}, indent=2))
    assert [each["id"] for each in answer.lines] == ["a"]


def test_a_line_that_is_too_long_is_one_bad_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line past the limit costs one record, and the next line is read whole."""
    monkeypatch.setattr("lstm_cli.samples.chunks.MAX_LINE_BYTES", 100)
    long = json.dumps({"x": [0.25] * 200})
    answer = call("batch", "-", stdin=f'{{"x": [1]}}\n{long}\n{{"x": [2]}}\n')
    assert [each["ok"] for each in answer.lines] == [True, False, True]
    assert answer.lines[1]["id"] == "stdin:2"


def test_closed_stdin_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stdin is closed, reading it is an error and not a crash."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="stdin is closed"):
        list(read_samples("-"))


def test_a_samples_own_settings_are_options_of_the_same_names(tmp_path: Path) -> None:
    """`clip`, `cell_clip`, `forget_bias` and `activations` of a sample equal the cell edited so."""
    settings = {"clip": 0.4, "cell_clip": 0.3, "forget_bias": -1, "activations": "tanh,relu,tanh"}
    path = tmp_path / "one.json"
    path.write_text(
        json.dumps({"x": [[0.5, -1], [1, 2]], "h": [0.3, 0.9], "c": [1, -2]} | settings)
    )
    (sample,) = read_samples(str(path))
    (record,) = evaluate_samples([sample], BatchSettings())
    cell = with_activations(LSTM, gate="tanh", candidate="relu", output="tanh")
    cell = with_cell_clip(with_clip(with_forget_bias(cell, -1), 0.4), 0.3)
    model = preset_model("identity", cell, sizes={"I": 2})
    assert record["h"] == run(model, [[0.5, -1], [1, 2]], [0.3, 0.9], [1, -2]).h.tolist()


def test_a_setting_that_is_no_number_costs_its_sample_only(tmp_path: Path) -> None:
    """`"clip": "3"` is refused with the key's name."""
    path = tmp_path / "one.jsonl"
    path.write_text('{"x": [1], "clip": "3"}\n{"x": [1], "clip": -3}\n{"x": [1]}\n')
    records = list(evaluate_samples(read_samples(str(path)), BatchSettings()))
    assert [each["ok"] for each in records] == [False, False, True]
    assert "'clip' is not a number" in records[0]["error"]["message"]


# Name -> text of a file, and the key of its chunk, by which unfinished runs find it.
KEYS = {
    "s.jsonl": (
        '{"x": [0.5, 1]}\n\n{"id": "b", "x": [2, 3]}\n',
        "04b98338286f5c04509aa6b784c021c4",
    ),
    "s.json": ('[{"x": [0.5, 1]}, {"id": "b", "x": [2, 3]}]', "af7d7a4906bfcc434c19d30ad5b9d8f3"),
    "one.json": ('{"x": [0.5, 1]}', "57d5ffc48a9dfd73f03a35f7f63e654f"),
    "bad.json": ('{"x": [0.5, 1', "867385a9f0bf41ee77d097e8293a1193"),
    "late.jsonl": ('\n[{"x": [0.5, 1]},', "808dc5c55d2dcb0628f7247001fbb315"),
    "s.csv": ("id,x\n,0.5 1\nb,2 3\n", "d9e570eec4637e2bacae2cb0dd891c09"),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_chunks_stay(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of each kind keeps its key, by which a run that was cut off finds its answers."""
    monkeypatch.chdir(tmp_path)
    text, key = KEYS[name]
    Path(name).write_text(text)
    (chunk,) = all_chunks([name])
    assert key_of(chunk, b"settings") == key
