"""Long runs: what is written in blocks is what a whole run writes, whatever stops it."""

from __future__ import annotations

import contextlib
import csv
import gc
import io
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.errors import InputError, ShapeError, UsageError
from lstm_cli.cell.cells import LSTM
from lstm_cli.cell.weights import Layer, Model
from lstm_cli.commands._stopping import Stopping
from lstm_cli.commands.run import long_run, streaming
from lstm_cli.commands.run.long_run import LongRun
from lstm_cli.commands.run.streaming import GrowingNpz, RunProgress, Spool, pieces
from lstm_cli.commands.run.text import FORMATS as WHOLE
from lstm_cli.commands.run.text import FORMATS_OF_BLOCKS as FORMATS
from lstm_cli.engine.run import LayerTrace, run
from lstm_cli.files import safe as safe_files
from lstm_cli.files import vectors
from lstm_cli.show.rows import View, checked_view
from tests.cases import WITNESS_SPECS, spec_cell, witness_case
from tests.conftest import random_inputs, random_weights
from tests.tools import ROOT, call

STEPS = 11


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks of a few steps, so that eleven are several."""
    monkeypatch.setattr(long_run, "BLOCK_BYTES", 1200)


def stack(levels: int, cell: Any = LSTM) -> tuple[Model, Any, list[Any], list[Any]]:
    """Return a stack of forward layers of different sizes, x, and a state for each layer."""
    layers, inputs = [], 3
    for level in range(levels):
        weights = random_weights(cell, inputs, 4 + level, 2 + level, seed=level)
        layers.append(weights)
        inputs = weights.output_size
    x, _, _ = random_inputs(layers[0], STEPS)
    states = [random_inputs(each, 1, seed=7 + place)[1:] for place, each in enumerate(layers)]
    model = Model(tuple(Layer({"forward": each}) for each in layers))
    return model, x, [h for h, _ in states], [c for _, c in states]


def in_blocks(model: Model, x: Any, h: Any, c: Any, dtype: str = "float64") -> LongRun:
    return LongRun(model, x, h, c, dtype, "table")


def written(long: LongRun, view: View, chosen: str, progress: RunProgress | None = None) -> bytes:
    """Return the file of a run in blocks."""
    made = pieces(long, view, chosen, progress or RunProgress(), None)
    return b"".join(each.encode() if isinstance(each, str) else each for each in made)


def whole(long: LongRun, view: View, chosen: str) -> bytes:
    """Return the file of the same run, whole."""
    trace = run(long.model, long.x, long.h, long.c, dtype=long.dtype, engine="table")
    made = WHOLE[chosen](trace, checked_view(view, trace))
    return b"".join(each.encode() if isinstance(each, str) else each for each in made)


def arrays(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data)) as archive:
        return {name: archive[name] for name in archive.files}


def same_file(long: LongRun, view: View, chosen: str) -> None:
    """Assert that both files are the same: to the byte, or for npz array by array."""
    ours, theirs = written(long, view, chosen), whole(long, view, chosen)
    if chosen != "npz":
        assert ours == theirs
        return
    made, expected = arrays(ours), arrays(theirs)
    assert list(made) == list(expected)
    for name, array in expected.items():
        assert made[name].dtype == array.dtype
        np.testing.assert_array_equal(made[name], array)


# ---- the numbers


@pytest.mark.parametrize("name", WITNESS_SPECS)
def test_blocks_carry_the_state(name: str) -> None:
    """On every cell, blocks give the second witness's numbers, and a whole run's to the bit."""
    case = witness_case(name, steps=STEPS)
    model = case.model()
    found = list(in_blocks(model, case.x, case.h, case.c).blocks())
    assert len(found) > 2
    assert [before for before, _ in found] == list(
        np.cumsum([0, *(trace.steps for _, trace in found)])[:-1]
    )
    h = np.concatenate([trace.output for _, trace in found])
    np.testing.assert_allclose(h, case.expected["output"], rtol=0, atol=case.atol)
    trace = run(model, case.x, case.h, case.c, engine="table")
    for symbol in trace.layers[0].values:
        joined = np.concatenate([each.layers[0].values[symbol] for _, each in found])
        np.testing.assert_array_equal(joined, trace.layers[0].values[symbol])


@pytest.mark.parametrize(
    ("engine", "dtype", "steps", "numba", "first"),
    [
        ("auto", "float64", 11, True, "table"),
        ("auto", "float64", 10**5, False, "numpy"),
        ("auto", "float64", 10**5, True, "numpy"),
        ("auto", "float64", 10**8, True, "numba"),
        ("auto", "float64", 10**8, False, "numpy"),
        ("table", "float64", 10**8, True, "table"),
        ("auto", "float32", 10**8, True, "table"),
        ("fast", "float32", 10**8, True, "numba"),
        ("fast", "float32", 10**5, True, "numpy"),
    ],
)
def test_blocks_stay_with_one_engine(
    engine: str, dtype: str, steps: int, numba: bool, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is chosen by the length of the whole run, and no block takes another."""
    asked: list[str] = []

    def noted(*given: Any, engine: str, **how: Any) -> Any:
        asked.append(engine)
        return replace(run(*given, engine="table", **how), engine=engine)

    monkeypatch.delenv("LSTM_STEP_ENGINE", raising=False)
    monkeypatch.setattr(long_run, "run", noted)
    monkeypatch.setattr(long_run, "numba_available", lambda: numba)
    model, x, h, c = stack(1)
    long = LongRun(model, np.broadcast_to(x[:1], (steps, 3)), h, c, dtype, engine)
    list(long.blocks(last=11))
    assert len(asked) > 2
    assert set(asked) == {first}


# ---- the files


@pytest.mark.parametrize("chosen", FORMATS)
@pytest.mark.parametrize("name", ["lstm", "peephole+projection", "coupled-forget", "clip"])
def test_a_file_written_in_blocks_is_the_whole_runs(name: str, chosen: str) -> None:
    """Every format has the bytes that it has of a whole run, in both types."""
    weights = random_weights(spec_cell(name))
    x, h, c = random_inputs(weights, STEPS)
    for dtype in ("float64", "float32"):
        same_file(in_blocks(Model.single(weights), x, h, c, dtype), View(), chosen)


@pytest.mark.parametrize("chosen", FORMATS)
@pytest.mark.parametrize(
    "view",
    [View(), View(units="0,2"), View(at="last"), View(at="2:4,9,3"), View(at="all", units="1"),
     View(notation="split", at="-1,1")],
    ids=str,
)  # fmt: skip
def test_a_stack_stands_by_layer_then_time(view: View, chosen: str) -> None:
    """Layers of different sizes come in a whole run's order, whatever units and steps are chosen."""
    same_file(in_blocks(*stack(3)), view, chosen)


@pytest.mark.parametrize("chosen", FORMATS)
def test_what_overflows_is_written_as_ever(chosen: str) -> None:
    """nan and inf in a run, which may begin in a later block, are written as a whole run's."""
    model, x, h, c = stack(2)
    x[6:] = np.inf
    same_file(in_blocks(model, x, h, c), View(), chosen)


@pytest.mark.parametrize("chosen", ["plain", "csv", "jsonl", "npz"])
def test_what_follows_the_last_chosen_step_is_not_run(chosen: str) -> None:
    """A format without a final state runs only up to the last step that is shown."""
    progress = RunProgress()
    written(in_blocks(*stack(1)), View(at="2,4"), chosen, progress)
    assert (progress.done, progress.total, progress.interrupted) == (4, 4, False)


@pytest.mark.parametrize("view", [View(units="9"), View(at="12"), View(at="0"), View(units="x")])
def test_a_choice_that_is_not_there_is_refused_before_anything_is_written(view: View) -> None:
    """No such unit or step: an error at the first piece."""
    with pytest.raises(UsageError):
        next(pieces(in_blocks(*stack(1)), view, "csv", RunProgress(), None))


def test_a_misfit_is_refused_before_anything_is_written() -> None:
    """Shapes that disagree are an error at the first piece, as in a whole run."""
    model, x, h, c = stack(1)
    with pytest.raises(ShapeError, match="^x has 2 numbers"):
        next(pieces(in_blocks(model, x[:, :2], h, c), View(), "csv", RunProgress(), None))
    with pytest.raises(ShapeError, match="^h has"):
        next(pieces(in_blocks(model, x, [h[0][:1]], c), View(), "csv", RunProgress(), None))


# ---- samples


def samples(levels: int, count: int = 3) -> tuple[Model, Any, list[Any], list[Any]]:
    """Return a stack, x of some different samples, and each layer's states of every sample."""
    model, x, h, c = stack(levels)
    factors = np.linspace(1, -0.5, count)
    many = [np.stack([each * factor for factor in factors]) for each in (x, *h, *c)]
    return model, many[0], many[1 : 1 + levels], many[1 + levels :]


@pytest.mark.parametrize("chosen", ["json", "jsonl"])
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_samples_in_blocks_of_time_are_the_whole_runs(
    chosen: str, levels: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples to JSON, a step of all of them at a time, have the bytes of a whole run."""
    monkeypatch.setattr(long_run, "BLOCK_BYTES", 6000)
    long = in_blocks(*samples(levels), dtype)
    assert 1 < len(list(long.blocks())) <= STEPS
    for view in (View(), View(units="0,2", at="2:4,9")):
        same_file(long, view, chosen)


@pytest.mark.parametrize("size", [1200, 12_000, 60_000])
@pytest.mark.parametrize("levels", [1, 3])
def test_samples_in_an_archive_are_the_whole_runs(
    size: int, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples to npz, whether a block has some steps of one of them, one, or several."""
    monkeypatch.setattr(long_run, "BLOCK_BYTES", size)
    long = in_blocks(*samples(levels, count=7))
    for view in (View(), View(units="0,2", at="2:4,9")):
        made, expected = (arrays(each(long, view, "npz")) for each in (written, whole))
        assert list(made) == list(expected)
        for name, array in expected.items():
            # Another number of samples may go through another product of BLAS.
            np.testing.assert_allclose(made[name], array, rtol=1e-14, atol=1e-15)


def test_samples_give_the_witness_numbers() -> None:
    """Each sample of a run in blocks has the second witness's numbers, as if it ran alone."""
    case = witness_case("peephole", steps=STEPS)
    x, h, c = (np.stack([each * 0, each]) for each in (case.x, case.h, case.c))
    found = arrays(written(in_blocks(case.model(), x, [h], [c]), View(), "npz"))
    np.testing.assert_allclose(found["h"][1], case.expected["output"], rtol=0, atol=case.atol)


@pytest.mark.parametrize("state", [None, "one for all"])
def test_samples_may_share_their_states(state: str | None) -> None:
    """States that are not given, or given once, are those of every sample."""
    model, x, h, c = samples(1)
    states = (None, None) if state is None else (h[0][0], c[0][0])
    long = in_blocks(model, x, *states)
    made, expected = (arrays(each(long, View(), "npz")) for each in (written, whole))
    np.testing.assert_allclose(made["h"], expected["h"], rtol=1e-14, atol=1e-15)
    same_file(long, View(), "json")


def test_stopped_samples_are_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped archive has the samples that are done, and none of one that was begun."""
    model, x, h, c = samples(1, count=7)
    monkeypatch.setattr(long_run, "BLOCK_BYTES", 2500)  # less than two samples
    for block, done in ((1, 0), (2, 1), (5, 2)):
        calls: list[int] = []
        progress = RunProgress()
        progress.tell, progress.stop = lambda: calls.append(1), lambda: len(calls) == block  # noqa: B023
        found = arrays(written(in_blocks(model, x, h, c), View(), "npz", progress))
        assert (progress.done, progress.total, progress.unit) == (done, 7, "samples")
        assert found["x"].shape == (done, STEPS, 3)
        np.testing.assert_array_equal(found["x"], x[:done])
        trace = run(model, x, h, c, engine="table")
        np.testing.assert_allclose(found["h"], trace.output[:done], rtol=1e-14, atol=1e-15)


def test_stopped_samples_in_json_are_steps_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped JSON of samples has the steps that are done, of every sample."""
    monkeypatch.setattr(long_run, "BLOCK_BYTES", 6000)
    model, x, h, c = samples(2)
    progress = RunProgress(stop=lambda: True)
    document = json.loads(written(in_blocks(model, x, h, c), View(), "json", progress))
    assert document.pop("interrupted") is True
    shorter = in_blocks(model, x[:, : progress.done], h, c)
    assert document == json.loads(whole(shorter, View(), "json"))


# ---- stopping


def stopped(chosen: str, view: View, levels: int = 2) -> tuple[bytes, LongRun, int]:
    """Return what a run leaves that was stopped after its second block, the run, and its steps."""
    model, x, h, c = stack(levels)
    calls: list[int] = []
    progress = RunProgress(stop=lambda: len(calls) >= 2, tell=lambda: calls.append(progress.done))
    long = in_blocks(model, x, h, c)
    data = written(long, view, chosen, progress)
    assert progress.interrupted
    assert 1 < progress.done < STEPS
    return data, LongRun(model, x[: progress.done], h, c, "float64", "table"), progress.done


@pytest.mark.parametrize("chosen", [each for each in FORMATS if each != "json"])
def test_a_stopped_run_leaves_what_is_done(chosen: str) -> None:
    """What a stop leaves is the file of a run of so many steps."""
    data, shorter, _ = stopped(chosen, View())
    expected = whole(shorter, View(), chosen)
    if chosen == "npz":
        data, expected = (
            json.dumps({k: v.tolist() for k, v in arrays(each).items()}).encode()
            for each in (data, expected)
        )
    assert data == expected


def test_a_stopped_json_says_so() -> None:
    """JSON of a stopped run is closed, has the states after its last step, and `interrupted`."""
    data, shorter, done = stopped("json", View())
    document = json.loads(data)
    assert document.pop("interrupted") is True
    assert document == json.loads(whole(shorter, View(), "json"))
    assert len(document["output"]) == done


@pytest.mark.parametrize("chosen", FORMATS)
def test_a_run_stopped_before_its_chosen_steps_is_still_a_file(chosen: str) -> None:
    """With --at last, a stopped run has no step to show, and its file is valid all the same."""
    data, _, done = stopped(chosen, View(at="last"))
    if chosen == "json":
        document = json.loads(data)
        assert (document["steps"], len(document["output"])) == ([], done)
    elif chosen == "npz":
        assert {array.shape[0] for array in arrays(data).values()} == {0}
    else:
        assert len(data.splitlines()) == (0 if chosen == "jsonl" else 1)


def test_the_first_signal_is_heard_and_the_second_obeyed() -> None:
    """Ctrl-C asks at first; a second one interrupts; afterwards all is as before."""
    # A shell that starts the tests in the background has them ignore SIGINT.
    of_the_shell = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Stopping() as stopping:
        assert not stopping.asked
        signal.raise_signal(signal.SIGTERM)
        assert stopping.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    after = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, of_the_shell)
    assert before == after


def test_an_ignored_signal_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `nohup` or a background job ignores does not stop a run."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stopping() as stopping:
            signal.raise_signal(signal.SIGINT)
            assert not stopping.asked
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


LONG = ["--x", "0.5,-1,0.25", "--steps", "50000000"]
HOURS = ["-p", "random", "--hidden-size", "4", "--engine", "table"]


def stopped_by(number: int, folder: Path, chosen: str, *arguments: str) -> tuple[Path, str]:
    """Return the file that a run of hours leaves when it gets a signal, and what it says."""
    path = folder / "out" / f"trace.{chosen}"
    path.parent.mkdir()
    script = "from lstm_cli.commands.run import long_run; long_run.BLOCK_BYTES = 2**16; " \
             "from lstm_cli.commands._main import main; main()"  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments, *HOURS, "-f", chosen, "-o", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        # A shell that starts the tests in the background has them ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while not _begun(path.parent) and time.monotonic() < end:
            time.sleep(0.05)
        assert not path.exists()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()  # a run of hours must not outlive its test
    said = err.decode()
    assert process.returncode == 128 + number, said
    assert out == b""
    assert list(path.parent.iterdir()) == [path]
    return path, said


def _begun(folder: Path) -> bool:
    """Whether a run has written blocks to its temporary file."""
    return any(each.stat().st_size > 2**17 for each in folder.iterdir())


def _steps_in(path: Path) -> list[dict[str, Any]]:
    """Return `t` and `h` of each step in a file, once it is seen to be whole."""
    text = path.read_text() if path.suffix != ".npz" else ""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    if path.suffix == ".json":
        document = json.loads(text)
        assert document["interrupted"] is True
        assert document["h"] == document["output"][-1] == document["steps"][-1]["h"]
        return list(document["steps"])
    if path.suffix == ".npz":
        saved = arrays(path.read_bytes())
        np.testing.assert_array_equal(saved["h_prev"][1:], saved["h"][:-1])
        return [{"t": t, "h": h} for t, h in enumerate(saved["h"].tolist(), 1)]
    rows = list(csv.DictReader(io.StringIO(text), delimiter="," if path.suffix == ".csv" else "\t"))
    assert text.endswith("\n")
    return [{"t": int(row["t"])} for row in rows
            if row["symbol"] == "h" and row.get("unit", "0") == "0"]  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "number"),
    [("jsonl", signal.SIGINT), ("json", signal.SIGINT), ("csv", signal.SIGINT),
     ("plain", signal.SIGTERM), ("npz", signal.SIGINT), ("npz", signal.SIGTERM),
     ("csv", signal.SIGHUP)],
)  # fmt: skip
@pytest.mark.few(2)
def test_ctrl_c_leaves_a_valid_file(tmp_path: Path, chosen: str, number: int) -> None:
    """A signal in the middle of a run of hours: 128 and its number, a valid file, and which steps it has."""
    path, said = stopped_by(number, tmp_path, chosen, *LONG)
    done = int(said.split("steps 1 to ")[1].split()[0].replace(",", ""))
    assert f"of 50,000,000 are done and in {path}" in said
    assert [each["t"] for each in _steps_in(path)] == list(range(1, done + 1))
    assert done > 1


@pytest.mark.parametrize("chosen", ["jsonl", "json", "npz"])
@pytest.mark.few(1)
def test_ctrl_c_leaves_a_valid_file_of_samples(tmp_path: Path, chosen: str) -> None:
    """Stopped samples: to npz those that are done, to JSON the steps of all that are done."""
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, (400, 200_000, 3))
    x[0, :3] = 0.5
    del x  # a sparse file, which is not looked through for nan
    path, said = stopped_by(signal.SIGINT, tmp_path, chosen, "--allow-nonfinite",
        "--x", f"@{tmp_path}/x.npy")  # fmt: skip
    if chosen == "npz":
        done = int(said.split("samples 1 to ")[1].split()[0]) if "samples 1" in said else 0
        assert f"of 400 are done and in {path}" in said
        assert arrays(path.read_bytes())["h"].shape == (done, 200_000, 4)
        return
    done = int(said.split("steps 1 to ")[1].split()[0])
    steps = _steps_in(path) if chosen == "jsonl" else json.loads(path.read_text())["steps"]
    assert [each["t"] for each in steps] == list(range(1, done + 1))
    assert {len(each["h"]) for each in steps} == {400}


# ---- the command


@pytest.fixture
def long_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run be a long one."""
    monkeypatch.setattr(long_run, "LONG_BYTES", 0)


COMMANDS = [
    ["--x", "0.5,-1,0.25", "--steps", "23", "-p", "random", "--hidden-size", "4"],
    ["--x", "1;0;1;1;0;1", "-w", "samples/weights/parity.npz", "--at", "last", "--unit", "0"],
    ["--x", "1,2;3,4;5,6", "--cell", "peephole", "-p", "random", "--h", "0.1,0.2", "--dtype",
     "float32"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda each: " ".join(each)[:30])
@pytest.mark.parametrize("chosen", ["plain", "json", "jsonl", "csv"])
def test_the_command_writes_the_same_in_blocks(
    arguments: list[str], chosen: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`run` answers with the same bytes on stdout, in a file and on stderr, long or short."""
    monkeypatch.chdir(ROOT)
    short = call(*arguments, "--engine", "table", "-f", chosen)
    monkeypatch.setattr(long_run, "LONG_BYTES", 0)
    long = call(*arguments, "--engine", "table", "-f", chosen)
    assert (long.code, long.raw, long.err) == (0, short.raw, short.err)
    path = tmp_path / "trace"
    assert call(*arguments, "--engine", "table", "-f", chosen, "-o", path).code == 0
    assert path.read_bytes() == short.raw
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("long_at_once")
def test_a_long_run_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A folder that is not there, and a device, are treated as a short run treats them."""
    done = call("--x", "1", "-f", "csv", "-o", tmp_path / "no" / "trace.csv")
    assert done.code == 5
    assert "cannot write" in done.err
    assert call("--x", "1", "-f", "json", "-o", "/dev/null").code == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--x", "1", "--steps", "500000000", "-f", "markdown"], "markdown shows a whole run"),
        (["--x", "1,2,3", "--steps", "500000000", "-w", "samples/weights/bidirectional.npz",
          "-f", "csv"], "a backward direction starts at the last step"),
    ],
)  # fmt: skip
def test_a_run_that_must_be_whole_and_does_not_fit_says_why(
    arguments: list[str], reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Formats that show a whole run, and backward directions, say why they cannot go in blocks."""
    monkeypatch.chdir(ROOT)
    if "-w" in arguments:
        path = tmp_path / "both.json"
        path.write_text(json.dumps(_bidirectional()))
        arguments[arguments.index("-w") + 1] = str(path)
    done = call(*arguments)
    assert done.code == 3
    assert reason in done.err
    assert "GiB; the limit is 8 GiB" in done.err


def _bidirectional() -> dict[str, Any]:
    """Return the weights of one unit in both directions, as PyTorch names them."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    shapes = ((4, 3), (4, 1), (4,), (4,))
    return {
        name + suffix: np.full(shape, 0.1).tolist()
        for suffix in ("", "_reverse")
        for name, shape in zip(names, shapes, strict=True)
    }


def test_a_backward_direction_is_run_whole() -> None:
    """Blocks are for runs that need no more of the past than their states."""
    weights = random_weights(LSTM)
    both = Model((Layer({"forward": weights, "backward": weights}),))
    backward = Model((Layer({"backward": weights}),))
    assert long_run.runs_forward(Model.single(weights))
    assert not long_run.runs_forward(both)
    assert not long_run.runs_forward(backward)


# ---- archives


@pytest.mark.parametrize("count", [7, 6, 0])
def test_an_archive_that_grows_is_one_of_numpys(count: int, tmp_path: Path) -> None:
    """Members written in turns, all or cut short, are read by NumPy and pass zip's own check."""
    a = np.arange(14, dtype=np.float32).reshape(7, 2)
    b = np.arange(42, dtype=np.float32).reshape(7, 3, 2)
    with (tmp_path / "a.npz").open("w+b") as stream:
        growing = GrowingNpz(stream, {"a": a.shape, "b": b.shape}, a.dtype)
        for begin in range(0, count, 4):
            growing.append("a", a[begin : begin + 4])
            growing.append("b", b[begin : begin + 4])
        growing.finish(count)
        shorter = stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.npy", "b.npy"]
    found = arrays((tmp_path / "a.npz").read_bytes())
    np.testing.assert_array_equal(found["a"], a[:count])
    np.testing.assert_array_equal(found["b"], b[:count])
    assert shorter == 32 * count + 490  # nothing of what was cut off is left


def test_an_archive_larger_than_four_gigabytes_can_be_written(tmp_path: Path) -> None:
    """Sizes and places past 32 bits are right: a sparse file of which only the end is written."""
    shape = (3 * 2**30 // 8, 1)
    with (tmp_path / "a.npz").open("w+b") as stream:
        growing = GrowingNpz(stream, {"a": shape, "b": shape, "c": (shape[0], 1)}, np.dtype("f8"))
        for member in growing._members.values():  # as if all but the last number had been written
            member.written = 8 * (shape[0] - 1)
        for name, value in zip("abc", (1.5, 2.5, 3.5), strict=True):
            growing.append(name, np.array([value]))
        growing.finish(shape[0])
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert [each.file_size for each in archive.infolist()] == [3 * 2**30 + 128] * 3
        assert archive.getinfo("c.npy").header_offset > 2**32
    x = safe_files.map_npz(tmp_path / "a.npz", "c")
    assert x is not None
    assert (x.shape, float(x[-1, 0])) == (shape, 3.5)


@pytest.mark.usefixtures("long_at_once")
def test_an_archive_needs_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long run to npz is written to its own file alone: nothing waits elsewhere on disk."""

    def refuse(**how: Any) -> Any:
        raise AssertionError("a second file")

    path = tmp_path / "trace.npz"
    # numba has temporary files of its own while it compiles
    run = ("--x", "0.5,1", "--steps", "300", "--engine", "table", "-f", "npz")
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "TemporaryFile", refuse)
        done = call(*run, "-o", path)
    assert done.code == 0, done.err
    piped = call(*run)
    assert path.read_bytes() == piped.raw


# ---- mapped files


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Map every npy file, and look at a few rows at a time."""
    monkeypatch.setattr(vectors, "MAP_BYTES", 0)
    monkeypatch.setattr(vectors, "BLOCK_BYTES", 100)


@pytest.mark.usefixtures("mapped")
@pytest.mark.parametrize("dtype", ["<f8", "<f4", ">f8", "<i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_file_is_what_it_says(dtype: str, order: Any, tmp_path: Path) -> None:
    """A large npy of any number type and order is mapped, and runs as its numbers."""
    numbers = np.asarray(np.arange(-6, 15).reshape(7, 3) / (1 if "i" in dtype else 8), dtype=dtype)
    np.save(tmp_path / "x.npy", np.asarray(numbers, order=order))
    x = vectors.read_vector(f"@{tmp_path / 'x.npy'}", "--x")
    assert isinstance(x, np.memmap)
    np.testing.assert_array_equal(x, numbers)
    weights = random_weights(LSTM)
    same_file(in_blocks(Model.single(weights), x, None, None), View(), "csv")


@pytest.mark.usefixtures("mapped", "long_at_once")
def test_a_sample_of_a_mapped_file_runs_alone(tmp_path: Path) -> None:
    """--sample takes one sequence out of a mapped file of many."""
    x = np.random.default_rng(0).uniform(-1, 1, (3, 9, 2))
    np.save(tmp_path / "x.npy", x)
    done = call("--x", f"@{tmp_path / 'x.npy'}", "--sample", "2", "-f", "jsonl")
    assert [each["x"] for each in done.lines] == x[2].tolist()


@pytest.mark.usefixtures("mapped")
def test_a_mapped_file_is_looked_through(tmp_path: Path) -> None:
    """nan in a mapped file is refused with its row, unless it is let in."""
    x = np.zeros((50, 2))
    x[41, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(InputError, match="^x row 42, number 2 is nan"):
        vectors.read_vector(f"@{tmp_path / 'x.npy'}", "--x")
    assert vectors.read_vector(f"@{tmp_path / 'x.npy'}", "--x", allow_nonfinite=True).shape == (
        50,
        2,
    )


@pytest.mark.usefixtures("mapped")
@pytest.mark.parametrize("damage", ["cut", "object", "text", "empty", "header"])
def test_a_damaged_file_is_not_mapped(damage: str, tmp_path: Path) -> None:
    """A file with fewer numbers than it declares, objects or no numbers is an error, not a crash."""
    path = tmp_path / "x.npy"
    made: Any = {"object": np.array([{}, None]), "text": np.array(["a"]), "empty": np.empty((0, 3))}
    np.save(path, made.get(damage, np.ones((40, 3))), allow_pickle=damage == "object")
    if damage in ("cut", "header"):
        data = path.read_bytes()
        path.write_bytes(data[:-8] if damage == "cut" else b"\x93NUMPY\x01\x00\xff\xff")
    with pytest.raises((InputError, ShapeError)):
        vectors.read_vector(f"@{path}", "--x")


@pytest.mark.usefixtures("mapped", "long_at_once")
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".npz:x"])
@pytest.mark.parametrize("chosen", ["json", "jsonl", "npz"])
def test_samples_of_a_mapped_file_run_as_they_are_read(
    suffix: str, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N × T × I in a file is mapped, runs in blocks, and gives what the numbers give in memory."""
    x = np.random.default_rng(0).uniform(-1, 1, (3, 9, 2))
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    words = ["--x", f"@{tmp_path / 'x'}{suffix}", "-f", chosen, "--h", "0.1,0.2",
             "--engine", "table"]  # fmt: skip
    assert isinstance(vectors.read_vector(words[1], "--x", most_axes=3), np.memmap)
    long = call(*words)
    monkeypatch.setattr(long_run, "LONG_BYTES", 2**20)
    short = call(*words)
    assert (long.code, short.code) == (0, 0), long.err
    if chosen != "npz":
        assert long.raw == short.raw
        return
    for name, array in arrays(short.raw).items():
        np.testing.assert_allclose(arrays(long.raw)[name], array, rtol=1e-14, atol=1e-15)


@pytest.mark.usefixtures("mapped")
def test_what_cannot_be_mapped_is_read(tmp_path: Path) -> None:
    """A packed archive is read, and of one with several keys the error still names them."""
    x = np.random.default_rng(0).uniform(-1, 1, (4, 3))
    np.savez_compressed(tmp_path / "packed.npz", x=x)
    np.savez(tmp_path / "two.npz", x=x, y=x + 1)
    read = vectors.read_vector(f"@{tmp_path / 'packed.npz'}", "--x")
    assert not isinstance(read, np.memmap)
    np.testing.assert_array_equal(read, x)
    mapped_y = vectors.read_vector(f"@{tmp_path / 'two.npz'}:y", "--x")
    assert isinstance(mapped_y, np.memmap)
    np.testing.assert_array_equal(mapped_y, x + 1)
    with pytest.raises(InputError, match="several keys"):
        vectors.read_vector(f"@{tmp_path / 'two.npz'}", "--x")
    with pytest.raises(InputError, match="no key 'z'"):
        vectors.read_vector(f"@{tmp_path / 'two.npz'}:z", "--x")


@pytest.mark.usefixtures("mapped")
def test_a_damaged_archive_is_not_mapped(tmp_path: Path) -> None:
    """Each byte of an archive's structure may be wrong: an error or the numbers, never a crash."""
    x = np.random.default_rng(0).uniform(-1, 1, (4, 3))
    np.savez(tmp_path / "x.npz", x=x)
    whole_file = (tmp_path / "x.npz").read_bytes()
    for place in range(len(whole_file)):
        for value in (0, 0xFF):
            damaged = bytearray(whole_file)
            damaged[place] = value
            (tmp_path / "y.npz").write_bytes(damaged)
            with contextlib.suppress(InputError, ShapeError):
                assert vectors.read_vector(f"@{tmp_path / 'y.npz'}", "--x").ndim == 2


@pytest.mark.usefixtures("mapped")
def test_samples_in_fortran_order_are_looked_through(tmp_path: Path) -> None:
    """nan in a mapped file of samples is found whichever order its numbers stand in."""
    x = np.zeros((3, 5, 2))
    x[2, 3, 1] = np.nan
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    with pytest.raises(InputError, match="^x row 4, number 2 is nan"):
        vectors.read_vector(f"@{tmp_path / 'x.npy'}", "--x", most_axes=3)


# ---- parts


def test_a_spool_keeps_streams_apart(tmp_path: Path) -> None:
    """Streams that are added to in turns are read whole; the file has no name and leaves nothing."""
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        spool = Spool(file)
        for place in range(5):
            spool.append("a", bytes([place]))
            spool.append("b", bytes([place] * 3))
        assert b"".join(spool.read("b")) == b"\0\0\0\1\1\1\2\2\2\3\3\3\4\4\4"
        assert b"".join(spool.read("a")) == b"\0\1\2\3\4"
        assert b"".join(spool.read("none")) == b""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_a_repeated_row_is_not_copied() -> None:
    """--steps repeats one row by a view: a thousand million of them take no memory."""
    x = vectors.repeat_or_cut(np.array([[0.5, 1.0]]), 10**9, "--x")
    assert (x.shape, x.strides[0]) == ((10**9, 2), 0)
    first = next(LongRun(Model.single(random_weights(LSTM, inputs=2)), x).blocks())
    assert isinstance(first[1].layers[0], LayerTrace)


# ---- memory


def traced(chosen: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the most bytes that Python and NumPy held while a run was written, piece by piece."""
    monkeypatch.setattr(long_run, "BLOCK_BYTES", 2**14)
    monkeypatch.setattr(streaming, "CHUNK_BYTES", 2**14)
    model = Model.single(random_weights(LSTM, inputs=2))
    long = LongRun(model, np.broadcast_to([0.5, -1.0], (*shape, 2)), engine="table")
    tracemalloc.start()
    try:
        for number, _ in enumerate(pieces(long, View(), chosen, RunProgress(), None)):
            if number % 4 == 0:
                gc.collect()  # what waits for it is not held
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("chosen", "few", "many"),
    [(chosen, (200,), (1000,)) for chosen in FORMATS]
    + [("json", (6, 30), (6, 150)), ("jsonl", (6, 30), (6, 150)),
       ("npz", (20, 10), (100, 10)), ("npz", (2, 100), (2, 500))],
)  # fmt: skip
@pytest.mark.few(2)
def test_what_is_held_does_not_grow(
    chosen: str, few: tuple[int, ...], many: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five times the steps, or the samples to npz, hold no more at a time, in every format."""
    traced(chosen, few, monkeypatch)  # what is made once
    assert traced(chosen, many, monkeypatch) < 1.2 * traced(chosen, few, monkeypatch)


# VmHWM, not ru_maxrss: that of a child begins with what its parent had.
PEAK = """
import sys
from lstm_cli.commands._main import _guarded
code = _guarded(sys.argv[1:])
print(code, *[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])
"""


def peak_kib(*arguments: object) -> int:
    """Return the most memory that a run took, in KiB."""
    done = subprocess.run([sys.executable, "-c", PEAK, *map(str, arguments)],
                          capture_output=True, timeout=900, check=True, cwd=ROOT)  # fmt: skip
    code, peak = done.stdout.split()[-2:]
    assert int(code) == 0, done.stderr
    return int(peak)


@pytest.mark.full
@pytest.mark.parametrize(("chosen", "more"), [("npz", 10), ("jsonl", 3), ("csv", 3)])
def test_memory_is_flat(chosen: str, more: int, tmp_path: Path) -> None:
    """Many times the steps take no more memory, give or take a tenth."""
    common = ["--x", "0.5,-1", "-p", "random", "--hidden-size", 5, "--engine", "numpy", "--unit", 0]
    path = tmp_path / "trace"
    few, many = (
        peak_kib(*common, "--steps", steps, "-f", chosen, "-o", path)
        for steps in (100_000, more * 100_000)
    )
    assert many < 1.1 * few


@pytest.mark.usefixtures("mapped")
def test_pages_of_a_mapped_file_are_given_back(tmp_path: Path) -> None:
    """What was looked at of a mapped file is no memory of ours, and can be looked at again."""
    x = np.random.default_rng(0).uniform(-1, 1, (8, 1000, 50))
    np.save(tmp_path / "x.npy", x)
    mapped_x = vectors.read_vector(f"@{tmp_path / 'x.npy'}", "--x", most_axes=3)
    assert _resident(tmp_path) < 100
    long = LongRun(Model.single(random_weights(LSTM, inputs=50)), mapped_x[1:, :20], engine="table")
    for before, trace in long.blocks():
        assert _resident(tmp_path) < 1000
        np.testing.assert_array_equal(trace["x"], x[1:, before : before + trace.steps])
    assert float(mapped_x.sum()) == float(x.sum())
    assert _resident(tmp_path) > 3000  # it is there to be seen


def _resident(folder: Path) -> int:
    """Return the KiB that this process has of mapped files in a folder."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = str(folder) in line
        elif ours and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


@pytest.mark.full
@pytest.mark.parametrize("shape", [(1_000_000, 125), (1000, 1000, 125)])
@pytest.mark.parametrize("chosen", ["npz", "json"])
def test_a_gigabyte_of_x_takes_no_gigabyte(
    shape: tuple[int, ...], chosen: str, tmp_path: Path
) -> None:
    """An x of a gigabyte runs in what a hundredth of it takes, give or take a third."""
    peaks = []
    for part in (100, 1):
        x = np.lib.format.open_memmap(
            tmp_path / "x.npy", "w+", np.float64, (shape[0] // part, *shape[1:])
        )
        x[..., ::25] = 0.5
        del x
        few = ["--at", "1:1000" if len(shape) == 2 else "1:3"] if chosen == "json" else []
        peaks.append(peak_kib("--x", f"@{tmp_path / 'x.npy'}", "-p", "random", "--hidden-size", 2,
                              "--engine", "numpy", "-f", chosen, "-o", tmp_path / "out", *few))  # fmt: skip
    assert peaks[1] < 1.33 * peaks[0]
