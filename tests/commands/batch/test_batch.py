"""Batches: the same numbers as single runs, in order, and checks that say where."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.foreign import Foreign
from lstm_cli.cell.cells import LSTM, cell_named
from lstm_cli.cell.presets import preset_model
from lstm_cli.cell.weights import Model
from lstm_cli.commands.batch.work import evaluate_samples
from lstm_cli.engine.run import Trace, run, trace_bytes
from lstm_cli.formats.read import read_weights
from lstm_cli.samples import Sample
from lstm_cli.samples.settings import SampleSettings
from tests.conftest import random_weights
from tests.tools import SAMPLES, Answer, assert_refused, call


@pytest.fixture
def model() -> Model:
    """A model of one layer with distinct weights, I = 3, H = 4."""
    return Model.single(random_weights(LSTM))


def sample(number: int, steps: int, model: Model, states: bool = True) -> Sample:
    """Return a sample of its own numbers."""
    generator = np.random.default_rng(number)
    x = generator.uniform(-1, 1, (steps, model.input_size))
    h, c = (generator.uniform(-1, 1, (len(model.runs), 4)) for _ in "hc")
    return Sample(Foreign.of(f"s{number}"), x, h if states else None, c if states else None)


def single(one: Sample, model: Model) -> Trace:
    """Run a sample alone."""
    state = [None if s is None else (s if len(model.runs) > 1 else s[0]) for s in (one.h, one.c)]
    return run(model, one.x, *state)


def assert_equal_alone(
    samples: Sequence[Sample], records: Sequence[dict[str, Any]], model: Model
) -> None:
    """Assert that records are in order and hold what each sample gives alone."""
    assert [each["id"] for each in records] == [each.id.text for each in samples]
    for one, record in zip(samples, records, strict=True):
        assert record["ok"], record
        alone = single(one, model)
        np.testing.assert_allclose(record["h"], alone.h, rtol=0, atol=1e-12)
        np.testing.assert_allclose(record["c"], alone.c, rtol=0, atol=1e-12)


def test_a_batch_gives_what_single_runs_give(model: Model) -> None:
    """Mixed lengths, with and without states, over more than one chunk: as each alone."""
    samples = [sample(n, 1 + n % 5, model, states=n % 3 > 0) for n in range(1100)]
    assert_equal_alone(samples, list(evaluate_samples(samples, SampleSettings(model))), model)


def test_large_samples_run_in_smaller_groups(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples whose traces do not fit together are run one after the other."""
    samples = [sample(n, 6, model) for n in range(9)]
    alone = trace_bytes(model, (6,))
    monkeypatch.setattr("lstm_cli.commands.batch.answers.MAX_GROUP_BYTES", 2 * alone)
    monkeypatch.setattr("lstm_cli.engine.run.MAX_TRACE_BYTES", 3 * alone)
    assert_equal_alone(samples, list(evaluate_samples(samples, SampleSettings(model))), model)


def test_a_sample_too_large_fails_alone(model: Model) -> None:
    """A sample that asks for too many steps is one failed record."""
    good, large = sample(1, 1, model), sample(2, 1, model)
    huge = Sample(Foreign.of("huge"), large.x, steps=10**9)
    records = list(evaluate_samples([good, huge, large], SampleSettings(model)))
    assert [each["ok"] for each in records] == [True, False, True]
    assert "would take" in records[1]["error"]["message"]


def test_stacks_take_a_row_for_each_layer_and_direction(tmp_path: Path) -> None:
    """States of a stack are rows by layer, then direction, in a batch as alone."""
    generator = np.random.default_rng(5)
    arrays = {
        f"weight_{kind}_l{layer}{end}": generator.uniform(-0.5, 0.5, (16, columns))
        for layer in (0, 1)
        for end in ("", "_reverse")
        for kind, columns in (("ih", 3 if layer == 0 else 8), ("hh", 4))
    }
    np.savez(tmp_path / "w.npz", **arrays)  # type: ignore[arg-type] # keys are names of arrays
    model = read_weights(tmp_path / "w.npz")
    samples = [sample(n, 1 + n % 3, model) for n in range(12)]
    assert_equal_alone(samples, list(evaluate_samples(samples, SampleSettings(model))), model)
    lines = [
        {
            "id": s.id.text,
            "x": s.x.tolist(),
            "h": s.h.tolist(),
            "c": s.c.tolist(),
            "weights": "w.npz",
        }
        for s in samples
        if s.h is not None and s.c is not None
    ]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, lines)))
    answer = call("batch", tmp_path / "s.jsonl")
    assert answer.code == 0, answer.err
    assert_equal_alone(samples, answer.lines, model)
    few = call("batch", "-", "--weights", tmp_path / "w.npz",
               stdin=json.dumps({"x": [1, 2, 3], "h": [[0, 0, 0, 0]]}))  # fmt: skip
    assert "layer 1 backward: 4" in few.lines[0]["error"]["message"]


# ---- the command


def batch(*documents: object, options: Sequence[object] = ()) -> Answer:
    """Run samples from stdin."""
    return call("batch", "-", *options, stdin="\n".join(map(json.dumps, documents)))


def test_a_record_has_the_members_of_the_contract() -> None:
    """A record has schema, id, ok, engine, assumptions, h and c; with --check and --trace theirs; else an error."""
    answer = batch({"id": "a", "x": [1, 2]}, {"id": "b"})
    good, bad = answer.lines
    assert set(good) == {"schema", "id", "ok", "engine", "assumptions", "h", "c"}
    assert good["assumptions"][0].startswith("no weights given: preset identity")
    assert good["assumptions"][1:] == ["h0 not given: zeros", "c0 not given: zeros"]
    assert good["engine"] in ("table", "numpy", "numba")
    assert set(bad) == {"schema", "id", "ok", "error"}
    assert set(bad["error"]) == {"code", "message", "where", "try"}
    assert bad["error"]["code"] == "unreadable_input"
    assert bad["error"]["where"] == "stdin, line 2"
    full = batch({"x": [1, 2], "expected": {"h": [0, 0]}}, {"x": [1]},
                 options=["--check", "--trace"])  # fmt: skip
    check = full.lines[0]["check"]
    assert set(check) == {"matched", "max_abs_diff", "tolerance", "worst"}
    assert set(check["worst"]) == {"symbol", "t", "unit", "got", "expected"}
    assert full.lines[0]["steps"][0]["f"]
    assert full.lines[1]["check"] is None


def test_exit_codes() -> None:
    """0 all fine, 1 a number differs, 4 a sample failed (also where one differs), 3 no file."""
    fine: dict[str, Any] = {"x": [1], "weights": {"preset": "zeros"}, "expected": {"f": [0.5]}}
    differs = fine | {"expected": {"f": [0.25]}}
    fails: dict[str, Any] = {"x": []}
    assert batch(fine, options=["--check"]).code == 0
    assert batch(fine, differs, options=["--check"]).code == 1
    assert batch(fine, differs).code == 0
    assert batch(fails, differs, fine, options=["--check"]).code == 4
    assert_refused(call("batch", "no*.json"), 3, "no sample files here")
    assert_refused(call("batch"), 2)


def test_the_samples_of_the_repository_hold() -> None:
    """Every sample that ships carries expected numbers, and they come out."""
    answer = call("batch", SAMPLES, "--check")
    assert answer.code == 0, answer.err
    assert all(each["check"]["matched"] for each in answer.lines)


def test_one_bad_sample_costs_only_its_record() -> None:
    """Whatever is wrong with a sample, all others are answered, in order."""
    wrong: list[Any] = [
        {"x": "?"}, {"x": [[1], [1, 2]]}, {"x": [1], "h": [1, 2], "c": [1]},
        {"x": [1], "weights": "missing.npz"}, {"x": [1], "weights": 3}, {"x": [1], "weights": []},
        {"x": [1], "weights": {"preset": "nope"}}, {"x": [1], "weights": {"preset": 1}},
        {"x": [1], "weights": {"preset": "identity", "seed": -1}},
        {"x": [1], "weights": {"preset": "identity", "hidden_size": 2000000}},
        {"x": [1], "weights": {"W_f": [[1]]}}, {"x": [1], "cell": "nope"},
        {"x": [1], "cell": "missing.toml"}, {"x": [1], "steps": 2**53},
        {"x": [[1], [2]], "steps": 5}, {"x": [1], "weights": {"preset": "random", "q": 1}},
        {"x": [1, 2], "weights": {f"W_{k}": [[1, 1]] for k in "figo"}},
        {"x": [1], "expected": {"q": [1]}}, {"x": [1], "expected": {"h": [1, 2]}},
        {"x": [1], "weights": {f"W_{k}": [[1, 1]] for k in "figo"}, "convention": "nope"}, 3, [1],
    ]  # fmt: skip
    documents = []
    for number, each in enumerate(wrong):
        documents += [each, {"id": f"good {number}", "x": [0.5]}]
    answer = batch(*documents, options=["--check"])
    assert answer.code == 4
    assert [each["ok"] for each in answer.lines] == [False, True] * len(wrong)
    assert [each["id"] for each in answer.lines[1::2]] == [f"good {n}" for n in range(len(wrong))]
    for record in answer.lines[::2]:
        error = record["error"]
        assert error["message"]
        assert error["try"]
        assert error["where"].startswith("stdin, line")
        assert "bug" not in error["message"]


def test_a_file_that_cannot_be_read_is_one_record(tmp_path: Path) -> None:
    """A missing file among others is one failed sample."""
    (tmp_path / "a.json").write_text('{"x": [1]}')
    answer = call("batch", tmp_path / "no.json", tmp_path / "a.json", tmp_path / "no.csv")
    assert answer.code == 4
    assert [each["ok"] for each in answer.lines] == [False, True, False]


def test_a_check_names_symbol_unit_and_time() -> None:
    """The largest difference is named by symbol, t from 1 and unit, in the record and in words."""
    document = {"id": "me", "x": [[1, 2], [3, 4]], "weights": {"preset": "zeros"}, "c": [8, 8],
                "expected": {"f": [[0.5, 0.5], [0.5, 0.5]], "c": [2, 2], "h": [[0, 0], [0, 9]],
                             "output": [[0, 0], [0, 0]]}}  # fmt: skip
    answer = batch(document, options=["--check"])
    worst = answer.lines[0]["check"]["worst"]
    assert (worst["symbol"], worst["t"], worst["unit"], worst["expected"]) == ("h", 2, 1, 9)
    assert "differs: me: h[1] at t = 2 is " in answer.err
    assert "1 sample: 0 match, 1 differ" in answer.err
    table = batch(document, options=["--check", "-f", "table"])
    assert "h[1], t = 2" in table.out


def test_one_expected_number_stands_for_one_unit() -> None:
    """`"f": 0.5` is the one unit's value; with more units the shapes disagree."""
    zeros = {"preset": "zeros"}
    good = batch({"x": [1], "weights": zeros, "expected": {"f": 0.5}}, options=["--check"])
    assert good.lines[0]["check"]["matched"]
    bad = batch({"x": [1, 1], "weights": zeros, "expected": {"f": 0.5}}, options=["--check"])
    assert bad.lines[0]["error"]["code"] == "shape_mismatch"


def test_atol_of_the_option_overrides_the_sample() -> None:
    """A sample's own atol counts unless --atol is given; it is finite and not below zero."""
    document = {"x": [1], "weights": {"preset": "zeros"}, "expected": {"f": [0.51]}, "atol": 0.1}
    assert batch(document, options=["--check"]).code == 0
    assert batch(document, options=["--check", "--atol", "1e-3"]).code == 1
    assert batch(document | {"atol": 0.0}, options=["--check", "--atol", "0.1"]).code == 0
    for value in ("nan", "inf", "-1"):
        assert_refused(batch(document, options=["--check", "--atol", value]), 2, "--atol is")


@pytest.mark.parametrize(
    ("key", "own", "options"),
    [
        ("forget_bias", 1.0, ["--forget-bias", "3"]), ("forget_bias", 0, ["--forget-bias", "3"]),
        ("clip", 0.4, ["--clip", "0.1"]), ("cell_clip", 0.2, ["--cell-clip", "0.05"]),
        ("activations", "tanh,relu,tanh", ["--activations", "relu,tanh,tanh"]),
        ("steps", 1, ["--steps", "2"]), ("calls", "1,1", ["--calls", "2"]),
    ],
)  # fmt: skip
def test_what_a_sample_says_itself_stands_in_place_of_the_option(
    key: str, own: object, options: list[str]
) -> None:
    """A sample's own forget bias is not added to the option's, and each record says whose holds."""
    document = {"x": [[0.5, -1.2], [0.3, 0.9]], "h": [0.2, -0.4], "c": [0.6, 0.7]}
    (alone,) = batch(document | {key: own}).lines
    (beside,) = batch(document | {key: own}, options=options).lines
    assert beside["h"] == alone["h"]
    told = f"the sample's own {key} holds, not the batch's"
    assert [each for each in beside["assumptions"] if each not in alone["assumptions"]] == [told]
    (other,) = batch(document, options=options).lines
    assert told not in other["assumptions"]
    assert key == "calls" or other["h"] != alone["h"]


@pytest.mark.parametrize("options", [["--atol", "1e300"], []], ids=["given", "printed"])
@pytest.mark.parametrize(("number", "text"), [(np.nan, "NaN"), (-np.inf, "-Infinity")])
def test_expected_nan_never_matches(
    number: float, text: str, options: list[str], tmp_path: Path
) -> None:
    """Nan or infinity among expected numbers is a difference, whatever the tolerance."""
    np.savez(tmp_path / "s.npz", x=np.ones((1, 1)), expected_h=np.full((1, 1), number))
    answer = call("batch", tmp_path / "s.npz", "--check", *options)
    assert answer.code == 1
    assert answer.lines[0]["check"]["max_abs_diff"] == "Infinity"
    assert answer.lines[0]["check"]["worst"]["expected"] == text


def test_weights_are_inline_a_preset_or_a_path_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inline arrays, a preset and a path relative to the sample's file give the same numbers."""
    (tmp_path / "in").mkdir()
    ones = {f"W_{k}": [[1.0, 1.0]] for k in "figo"}
    (tmp_path / "in" / "w.json").write_text(json.dumps(ones))
    np.savez(tmp_path / "in" / "w.npz", **ones)  # type: ignore[arg-type] # keys are names of arrays
    sources: list[Any] = ["w.json", "w.npz", str(tmp_path / "in" / "w.npz"), ones,
                          {"preset": "ones"}, {"preset": "identity", "hidden_size": 1}]  # fmt: skip
    documents = [{"x": [0.5], "weights": each} for each in sources]
    path = tmp_path / "in" / "s.jsonl"
    path.write_text("\n".join(map(json.dumps, documents)))
    (tmp_path / "in" / "t.jsonl").write_text(json.dumps(documents))  # an array all the same
    (tmp_path / "in" / "u.csv").write_text("x,weights\n0.5,w.json\n0.5,preset:ones\n")
    monkeypatch.chdir(tmp_path)
    for name in ("s.jsonl", "t.jsonl", "u.csv"):
        answer = call("batch", f"in/{name}")
        assert answer.code == 0, answer.err
        assert len({tuple(each["h"]) for each in answer.lines}) == 1
    want = run(preset_model("ones", LSTM, sizes={"I": 1}), np.array([[0.5]])).h
    assert answer.lines[0]["h"] == want.tolist()


def test_weights_of_the_command_hold_for_samples_without(tmp_path: Path) -> None:
    """--weights serves samples without weights, also those that name a cell or convention."""
    path = tmp_path / "w.json"
    biases = {f"b_{k}": [0.5] for k in "figo"}
    path.write_text(json.dumps({f"W_{k}": [[2.0, 3.0]] for k in "figo"} | biases))
    plain, own, cell, other = batch(
        {"x": [0.5], "h": [0.25]},
        {"x": [0.5], "h": [0.25], "weights": {"preset": "zeros"}},
        {"x": [0.5], "h": [0.25], "cell": "hard-sigmoid"},
        {"x": [0.5], "h": [0.25], "convention": "joined-xh"},
        options=["--weights", path, "--trace"],
    ).lines
    assert plain["steps"][0]["z_f"] == [2 * 0.25 + 3 * 0.5 + 0.5]
    assert own["steps"][0]["z_f"] == [0]
    assert cell["steps"][0]["z_f"] == plain["steps"][0]["z_f"]
    assert cell["steps"][0]["f"] == [0.2 * 2.5 + 0.5]
    assert other["steps"][0]["z_f"] == [3 * 0.25 + 2 * 0.5 + 0.5]


def test_a_cell_of_ones_own_is_found_beside_the_sample(tmp_path: Path) -> None:
    """A sample's FILE.toml is relative to the sample's file."""
    (tmp_path / "mine.toml").write_text('base = "lstm"\n[edit]\nf = "1 - i"\n')
    (tmp_path / "s.json").write_text('{"x": [0.5], "cell": "mine.toml"}')
    record = call("batch", tmp_path / "s.json").lines[0]
    coupled = preset_model("identity", cell_named("coupled-forget"), sizes={"I": 1})
    assert record["h"] == run(coupled, np.array([[0.5]])).h.tolist()


def test_steps_repeat_or_cut_as_for_run() -> None:
    """Steps in a sample, or --steps for those without, repeats a row or cuts a sequence."""
    one, two, cut = batch(
        {"x": [0.5], "steps": 3}, {"x": [0.5]}, {"x": [[0.5], [0.5], [0.5], [9]]},
        options=["--steps", "3"],
    ).lines  # fmt: skip
    assert one["h"] == two["h"] == cut["h"]


@pytest.mark.full
def test_float32_is_the_same_beside_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 a sample has the numbers and the engine alone that it has among others."""
    monkeypatch.delenv("LSTM_STEP_ENGINE", raising=False)
    generator = np.random.default_rng(4)
    samples = [{"id": str(n), "x": generator.normal(size=(20, 4)).tolist(),
                "h": generator.normal(size=32).tolist(), "c": generator.normal(size=32).tolist(),
                "weights": {"preset": "random", "hidden_size": 32}}
               for n in range(40)]  # fmt: skip
    options = ["--dtype", "float32", "--trace"]
    together = batch(*samples, options=options).lines
    (alone,) = batch(samples[7], options=options).lines
    assert together[7] == alone
    assert alone["engine"] == "table"
    # float64 leaves the table when there are many; a record says so.
    engines = [batch(*some, options=["--engine", each]).lines[-1]["engine"] for each in
               ("auto", "numpy") for some in (samples[:1], samples)]  # fmt: skip
    assert engines[0] == "table"
    assert engines[1] in ("numpy", "numba")
    assert engines[2:] == ["numpy", "numpy"]


def test_samples_that_run_together_have_one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `fast` it is found once which engine that is, not for each part of a block again."""
    found = ["numpy", "numba"]
    monkeypatch.setattr("lstm_cli.engine.choice._better", lambda *given: found.pop(0))
    monkeypatch.setattr("lstm_cli.commands.batch.answers.CACHED_BYTES", 1)
    monkeypatch.setattr("lstm_cli.commands.batch.answers.LEAST_TOGETHER", 3)
    records = batch(*({"x": [n, 0.5]} for n in range(8)), options=["--engine", "fast"]).lines
    assert [each["engine"] for each in records] == ["numpy"] * 8


def test_float32_and_output_file(tmp_path: Path) -> None:
    """--dtype rounds; -o gets the records, as JSONL or as a table, and stdout stays empty."""
    document = {"id": "a", "x": [0.1]}
    narrow = batch(document, options=["--dtype", "float32", "--trace"]).lines[0]
    assert narrow["steps"][0]["x"] == [0.1]
    assert narrow["h"][0] == float(str(np.float32(narrow["h"][0])))
    out = tmp_path / "out.jsonl"
    answer = batch(document, options=["-o", out, "-q"])
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert json.loads(out.read_text())["id"] == "a"
    batch(document, options=["-o", out.with_suffix(".txt")])
    assert "sample" in out.with_suffix(".txt").read_text()
    assert_refused(batch(document, options=["-f", "yaml"]), 2, "unknown format 'yaml'")


def test_weights_that_cannot_be_read_stop_the_command() -> None:
    """--weights is everyone's: if it cannot be read, nothing is run."""
    assert_refused(batch({"x": [1]}, options=["--weights", "missing.npz"]), 3, "cannot read")


def test_order_is_kept_over_files(tmp_path: Path) -> None:
    """Records come in the order of files, then of samples."""
    for name in ("b", "a"):
        text = "\n".join(json.dumps({"id": f"{name}{n}", "x": [[n]] * (n + 1)}) for n in range(3))
        (tmp_path / f"{name}.jsonl").write_text(text)
    shutil.copy(SAMPLES / "question.json", tmp_path / "c.json")
    answer = call("batch", tmp_path / "b.jsonl", tmp_path)
    assert [each["id"] for each in answer.lines] == [
        "b0", "b1", "b2", "a0", "a1", "a2", "question",
    ]  # fmt: skip


def test_a_batch_says_what_it_assumed_and_what_it_handed_on(tmp_path: Path) -> None:
    """The summary counts the samples that left something open and names keys that are not ours."""
    state = {"h": [0.5, 0.25], "c": [1, -2]}
    documents: list[dict[str, Any]] = [
        {"x": [1, 2], "label": "a", "\x1b[31m": 1},
        {"x": "1 2", "h": [0.5, 0.25], "label": "b"},
        {"x": [1, 2], "steps": 3, **state, "speaker": 1},
        {"x": [1, 2], **state, "weights": {"preset": "random"}},
        {"x": [1, 2], "hidden": [0.5, 0.25], "mine": 1},
    ]
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in documents))
    answer = call("batch", path)
    assert answer.err.splitlines()[3:] == [
        "5 samples, 1 failed",
        "assumed: c0 not given: zeros (2 samples)",
        "assumed: h0 not given: zeros (1 sample)",
        "assumed: no weights given: preset identity (W_k = [I | I], b = 0) (3 samples)",
        "assumed: one vector x: repeated for all steps (1 sample)",
        "handed on, and not used: \\x1b[31m, label, speaker",
    ]
    assert call("batch", path, "-q").err == ""


@pytest.mark.parametrize(("count", "more"), [(60, "52"), (150, "many")])
def test_many_keys_of_ones_own_fill_no_screen(count: int, more: str, tmp_path: Path) -> None:
    """Of a hundred keys the first few are named and the others counted, of long ones the start."""
    path = tmp_path / "s.jsonl"
    keys = [f"{number:03}{'a' * 3000}" for number in range(count)]
    path.write_text("".join(json.dumps({"x": [1], key: 1}) + "\n" for key in keys))
    (line,) = (each for each in call("batch", path).err.splitlines() if "handed on" in each)
    assert line.endswith(f" and {more} more")
    assert len(line) < 2000


def test_failures_that_are_alike_are_counted(tmp_path: Path) -> None:
    """Of samples that fail of the same, whatever their numbers, the first is said; jobs change nothing."""
    lines = ["no JSON"] * 3 + [
        '{"x": [1, 2], "h": [[1], [1, 2]]}',
        '{"x": "one"}',
        '{"x": "two"}',
        '{"x": [1]}',
    ]
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join(lines * 2))
    answer = call("batch", path)
    assert [each["ok"] for each in answer.lines] == ([False] * 6 + [True]) * 2
    said = answer.err.splitlines()
    assert [each.split(":")[1] for each in said if each.startswith("failed: ")] == [" s"] * 3
    counted = [each for each in said if " more failed like " in each]
    assert [each.split()[0] for each in counted] == ["5", "1", "3"]
    assert counted[0] == "5 more failed like s:1: not JSON: expecting value"
    places = said[said.index(counted[0]) + 1]
    assert places.endswith("s.jsonl, line 3, column 1 … and 3 more like this")
    assert places.startswith("where: ")
    assert said[said.index(counted[-1]) + 2] == "14 samples, 12 failed"
    assert call("batch", path, "--jobs", "2").err == answer.err
    assert call("batch", path, "-q").err == ""


def test_confined_samples_name_files_of_their_own_folder_only(tmp_path: Path) -> None:
    """With --confined neither .., an absolute path nor a link leads out; without, all do."""
    inside, table = tmp_path / "in" / "sub", 'base = "lstm"\n[edit]\nf = "1 - i"\n'
    inside.mkdir(parents=True)
    arrays = {f"W_{k}": np.full((1, 2), 0.5) for k in "figo"} | {
        f"b_{k}": np.full(1, 0.25) for k in "figo"
    }
    for folder in (tmp_path, inside):
        np.savez(folder / "w.npz", **arrays)
        (folder / "c.toml").write_text(table)
    (tmp_path / "in" / "link.npz").symlink_to("../w.npz")
    (tmp_path / "in" / "up").symlink_to("..")
    ways_out = ["../w.npz", str(tmp_path / "w.npz"), "link.npz", "up/w.npz", "sub/../../w.npz"]
    samples = [
        {"x": [0.5], "weights": name} for name in (*ways_out, "sub/w.npz", "up/in/sub/w.npz")
    ]
    samples += [{"x": [0.5], "cell": name} for name in ("../c.toml", "sub/c.toml")]
    path = tmp_path / "in" / "s.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in samples))
    assert all(each["ok"] for each in call("batch", path).lines)
    answer = call("batch", path, "--confined")
    assert answer.code == 4
    assert [each["ok"] for each in answer.lines] == [False] * 5 + [True, True, False, True]
    for each in answer.lines:
        if not each["ok"]:
            assert each["error"]["message"].endswith("is outside the sample's folder")
            assert "leave out --confined" in each["error"]["try"]


def test_answers_of_unconfined_samples_are_not_kept(tmp_path: Path) -> None:
    """--resume with --confined does not go on with what was answered without it."""
    path, out = tmp_path / "s.jsonl", tmp_path / "o.jsonl"
    path.write_text('{"x": [0.5]}\n{"x": ["a"]}\n')
    assert call("batch", path, "-o", out).code == 4
    again = call("batch", path, "-o", out, "--confined", "--retry-failed")
    assert "answered before" not in again.err
