"""An output that is also an input is refused, whatever it is called, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.base.errors import OutputError
from lstm_cli.cell.cells import LSTM
from lstm_cli.commands.batch.tasks import Folder
from lstm_cli.commands.convert.conversion import convert
from lstm_cli.commands.run import long_run
from lstm_cli.files.inputs_read import note_read, noting_reads
from lstm_cli.files.output import write_out
from lstm_cli.formats.read import read_weights
from tests.conftest import random_weights
from tests.tools import ROOT, Answer, assert_refused, call, shell

CELL = 'name = "own"\nbase = "lstm"\n[edit]\ng = "sigmoid(z_g)"\n'
STATES = {"h": [0.3, -0.2], "c": [0.6, -0.7]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder, which is the current one, of weights, cells, vectors, samples, answers."""
    monkeypatch.chdir(tmp_path)
    arrays = random_weights(LSTM, 2, 2, 2, seed=5).arrays
    Path("w.json").write_text(json.dumps({name: a.tolist() for name, a in arrays.items()}))
    np.savez("w.npz", **arrays)  # type: ignore[arg-type] # names are symbols, never 'file'
    Path("own.toml").write_text(CELL)
    for name in ("x.csv", "x.txt"):
        Path(name).write_text("0.5,-1\n0.25,2\n")
    np.save("x.npy", np.array([[0.5, -1.0], [0.25, 2.0]]))
    sample = {"x": [0.5, -1], **STATES, "weights": "w.json", "cell": "own.toml",
              "expected": {"h": [0.1, 0.2]}}  # fmt: skip
    Path("s.jsonl").write_text((json.dumps(sample) + "\n") * 3)
    Path("s.json").write_text(json.dumps(sample))
    Path("s.csv").write_text("x\n0.5 -1\n")
    # One that vet finds nothing wrong with.
    right = json.loads(Path("s.json").read_text())
    right["expected"] = {"h": call("--x", "0.5,-1", "--h", "0.3,-0.2", "--c", "0.6,-0.7", "-w",
                                   "w.json", "--cell", "own.toml", "--json").json["h"]}  # fmt: skip
    Path("right.json").write_text(json.dumps(right))
    Path("answers.csv").write_text("name,h_0,h_1\nAda,0.1,0.2\nBen,0.2,0.1\n")
    run = call("--x", "0.5,-1", "--h", "0.3,-0.2", "--c", "0.6,-0.7", "-w", "w.json", "--json").json
    Path("ours.json").write_text(json.dumps(run))
    run["steps"][0]["h"][0] += 0.5
    Path("theirs.json").write_text(json.dumps(run))
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


RUN = ["--x", "@x.csv", "-w", "w.json", "--cell", "own.toml"]
# Each with what it reads, as far as it could be taken for what it writes.
COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "run": ([*RUN, "-o"], ["x.csv", "w.json"]),
    "run, npy": (["--x", "@x.npy", "-w", "w.npz", "-f", "json", "-o"], ["x.npy"]),
    "run, npz": (["--x", "@x.npy", "-w", "w.npz", "-o"], ["w.npz"]),
    "run, a table": (["--x", "@x.txt", *RUN[2:], "-f", "table", "-o"], ["x.txt", "own.toml"]),
    "run, c": ([*RUN, "-f", "c", "-o"], ["own.toml"]),
    "run, integers": ([*RUN[:4], "--fixed", "Q3.12", "-o"], ["x.csv", "w.json"]),
    "explain": (["explain", "--x", "@x.txt", *RUN[2:], "-f", "text", "-o"], ["x.txt", "own.toml"]),
    "explain, json": (["explain", *RUN, "--json", "-o"], ["w.json", "own.toml"]),
    "exercise": (["exercise", "--x", "@x.txt", *RUN[2:], "-o"], ["x.txt"]),
    "exercise, key": (["exercise", *RUN, "-o", "new.md", "--save", "new.json",
                       "--key"], ["x.csv", "w.json"]),
    "exercise, template": (["exercise", *RUN, "--template"], ["x.csv", "w.json"]),
    "exercise, save": (["exercise", *RUN, "--save"], ["x.csv", "w.json"]),
    "grad": (["grad", *RUN[:4], "-o"], ["x.csv", "w.json"]),
    "grad, a table": (["grad", *RUN, "-f", "table", "-o"], ["own.toml"]),
    "report": (["report", *RUN, "-f", "html", "-o"], ["own.toml"]),
    "report, a picture": (["report", *RUN, "-f", "svg", "-o"], ["own.toml"]),
    "convert": (["convert", "w.json", "--to", "split"], ["w.json"]),
    "inspect": (["inspect", "w.json", "-o"], ["w.json"]),
    "vet": (["vet", "right.json", "-q", "-o"], ["right.json", "w.json"]),
    "vet, a table": (["vet", "right.json", "-q", "-f", "table", "-o"], ["own.toml"]),
    "vet, stronger": (["vet", "right.json", "-q", "--stronger"], ["right.json", "w.json"]),
    "vet, both": (["vet", "right.json", "-q", "-o", "new.txt", "--stronger"], ["right.json"]),
    "vet, both the other way": (["vet", "right.json", "-q", "--stronger", "new.json", "-o"],
                                ["right.json"]),
    "diagnose": (["diagnose", "s.jsonl", "-o"], ["s.jsonl", "w.json"]),
    "diagnose, markdown": (["diagnose", "s.json", "-f", "markdown", "-o"], ["own.toml"]),
    "diagnose, traces": (["diagnose", "ours.json", "theirs.json", "-w", "w.json", "-o"],
                         ["ours.json", "theirs.json", "w.json"]),
    "diagnose, options": (["diagnose", *RUN, "--expect", "h=0.1,0.2", "-o"], ["w.json"]),
    "diagnose, expected": (["diagnose", *RUN, "-e", "h=@x.txt", "-f", "table", "-o"], ["x.txt"]),
    "grade": (["grade", "s.json", "answers.csv", "-o"], ["answers.csv", "s.json", "w.json"]),
    "grade, a table": (["grade", "s.json", "answers.csv", "-f", "table", "-o"], ["own.toml"]),
    "batch": (["batch", "s.jsonl", "-o"], ["s.jsonl", "w.json"]),
    "batch, options": (["batch", "s.jsonl", "-w", "w.npz", "-o"], ["w.npz"]),
    "batch, csv": (["batch", "s.csv", "-w", "w.npz", "-o"], ["s.csv"]),
    "batch, several": (["batch", "right.json", "s.json", "s.jsonl", "-o"], ["s.jsonl", "s.json"]),
    "batch, a table": (["batch", "s.jsonl", "-f", "table", "-o"], ["own.toml"]),
    "batch, resumed": (["batch", "s.jsonl", "--resume", "-f", "jsonl", "-o"],
                       ["s.jsonl", "own.toml"]),
    "batch, a folder": (["batch", ".", "-o"], ["s.jsonl"]),
    "batch, processes": (["batch", "s.jsonl", "-j", "2", "-o"], ["w.json"]),
    "batch, a table of processes": (["batch", "s.jsonl", "-j", "2", "-f", "table", "-o"],
                                    ["own.toml"]),
}  # fmt: skip


@pytest.mark.parametrize(("words", "read"), COMMANDS.values(), ids=COMMANDS)
@pytest.mark.few(5)
def test_an_output_that_is_read_is_refused(words: list[str], read: list[str], folder: Path) -> None:
    """Every command that writes refuses each file that it reads, and leaves all as it was."""
    before = content(folder)
    for name in read:
        said = call(*words, name)
        if said.err.startswith("{"):
            assert (said.code, said.raw) == (5, b"")
            assert json.loads(said.err)["error"]["where"] == name
        else:
            assert_refused(said, 5, f"cannot write: {name} is also read\nwhere: {name}\ntry:   ")
        assert content(folder) == before, name


LINKS: dict[str, Callable[[], str | os.PathLike[str]]] = {
    "spelt otherwise": lambda: "sub/.././s.jsonl",
    "absolute": lambda: Path("s.jsonl").absolute(),
    "symbolic link": lambda: os.symlink("s.jsonl", "link.jsonl") or "link.jsonl",
    "link to a link": lambda: os.symlink("s.jsonl", "a") or os.symlink("a", "b.jsonl") or "b.jsonl",
    "hard link": lambda: os.link("s.jsonl", "other.jsonl") or "other.jsonl",
    "through a folder": lambda: os.symlink(".", "here") or "here/s.jsonl",
}


@pytest.mark.parametrize("make", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("more", [[], ["--resume"]], ids=lambda each: "".join(each))
def test_another_name_of_an_input_is_refused(
    make: Callable[[], str | os.PathLike[str]], more: list[str], folder: Path
) -> None:
    """Links and other spellings are seen through, on either side, and both names are said."""
    (folder / "sub").mkdir()
    other = str(make())
    before = Path("s.jsonl").read_bytes()
    there = sorted(os.listdir())
    for read, written in (("s.jsonl", other), (other, "s.jsonl")):
        said = call("batch", read, "-o", written, *more)
        both = f"{Path(written)} is the same file as {Path(read)}, which is read"
        assert_refused(said, 5, both)
        assert Path("s.jsonl").read_bytes() == before
        assert sorted(os.listdir()) == there


@pytest.mark.parametrize("name", ["s.jsonl.partial", "s.jsonl.journal", "s.jsonl.whole"])
def test_what_stands_beside_an_output_is_not_lost_either(name: str, folder: Path) -> None:
    """An input that has a name which a batch needs beside its output is refused."""
    os.link("s.jsonl", name.replace("s.", "out."))
    before = content(folder)
    assert_refused(call("batch", "s.jsonl", "-o", "out.jsonl"), 5, name.replace("s.", "out."))
    assert content(folder) == before


@pytest.mark.parametrize("form", ["plain", "npz"])
def test_a_long_run_is_no_exception(
    form: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written as it goes is refused likewise."""
    monkeypatch.setattr(long_run, "LONG_BYTES", 0)
    before = content(folder)
    said = call(*RUN, "-f", form, "-o", "own.toml")
    assert_refused(said, 5, "cannot write: own.toml is also read")
    assert content(folder) == before


@pytest.mark.parametrize(
    "name", [f"part-000000-{'0a' * 8}.jsonl", "manifest.json", "_SUCCESS", "_parts/a.json"]
)
def test_a_folder_of_parts_drops_no_input(name: str, folder: Path) -> None:
    """What a folder of parts would replace or drop is refused where it is read, before and after."""
    path = folder / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("old")
    with noting_reads():
        parts = Folder(str(folder / "out"))
        note_read(folder / "s.jsonl")
        parts.check_unread()
        note_read(path)
        for act in (parts.begin, lambda: parts.finish("", [])):
            with pytest.raises(OutputError, match="is also read"):
                act()
    assert path.read_text() == "old"


def test_stdin_may_be_the_file(folder: Path) -> None:
    """A file that comes as stdin is an input too: of samples, of a vector, of answers."""
    for words, name in (
        (["batch", "-", "-o"], "s.jsonl"),
        (["--x", "-", "-w", "w.json", "-o"], "x.csv"),
        (["grade", "s.json", "-", "-o"], "answers.csv"),
    ):
        before = content(folder)
        with open(name, "rb") as stdin:
            done = shell(*words, name, stdin=stdin, env={"PYTHONPATH": str(ROOT)})
        assert done.returncode == 5, done.stderr
        assert f"{name} is the same file as stdin, which is read" in done.stderr.decode()
        assert content(folder) == before


def appended(name: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command as a shell does with `>> name`."""
    with open(name, "ab") as stdout:
        return subprocess.run(
            [sys.executable, "-m", "lstm_cli", *words], stdout=stdout, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip


@pytest.mark.parametrize("output", [[], ["-o", "/dev/stdout"], ["-o", "/proc/self/fd/1"]], ids=str)
@pytest.mark.few(1)
def test_stdout_may_be_the_file(output: list[str], folder: Path) -> None:
    """Answers that a shell appends to their own inputs are refused, whatever stdout is called."""
    for words, name in (
        (["batch", "s.jsonl"], "s.jsonl"),
        (["batch", "s.jsonl", "-j", "2", "-f", "csv"], "s.jsonl"),
        (["batch", "s.jsonl"], "w.json"),  # which is known from its samples alone
        ([*RUN, "-f", "csv"], "x.csv"),
    ):
        before = content(folder)
        done = appended(name, *words, *output)
        assert done.returncode == 5, done.stderr
        assert f"is the same file as {name}, which is read" in done.stderr.decode()
        assert content(folder) == before


def test_a_file_that_is_stdout_keeps_what_it_has(folder: Path) -> None:
    """-o /dev/stdout, and nothing, go on where a shell's redirection stands."""
    Path("log.txt").write_text("before\n")
    for output in ([], ["-o", "/dev/stdout"], ["-o", "/dev/fd/1"]):
        assert appended("log.txt", *RUN, "-f", "csv", *output).returncode == 0
    lines = Path("log.txt").read_text().splitlines()
    assert lines[0] == "before"
    assert len(lines) == 1 + 3 * len(call(*RUN, "-f", "csv").out.splitlines())


def test_nothing_is_written_where_stdout_is_read(folder: Path) -> None:
    """What a command writes beside its stdout is not written either."""
    before = content(folder)
    for name, *words in (
        ("right.json", "vet", "right.json", "-q", "--stronger", "new.json"),
        ("w.json", "convert", "w.json", "new.npz", "--to", "split"),
        ("x.csv", "exercise", *RUN, "--save", "new.json", "--key", "new.txt"),
    ):
        assert appended(name, *words).returncode == 5
        assert content(folder) == before


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "weights.h5", "onnx"])
def test_weights_of_all_formats_are_seen(suffix: str, folder: Path) -> None:
    """Whichever reader opens a weight file, it is known to have been read."""
    if suffix == "weights.h5":
        pytest.importorskip("h5py")
    if suffix == "onnx":
        pytest.importorskip("onnx")
    to = [] if suffix in ("weights.h5", "onnx") else ["--to", "pytorch"]
    assert call("convert", "w.json", f"m.{suffix}", *to).code == 0
    before = content(folder)
    said = call("--x", "@x.csv", "-w", f"m.{suffix}", "-o", f"m.{suffix}",
                *([] if suffix == "npz" else ["-f", "plain"]))  # fmt: skip
    assert_refused(said, 5, f"m.{suffix} is also read")
    assert content(folder) == before


def test_external_data_is_an_input(folder: Path) -> None:
    """The file in which an ONNX model has its numbers is not replaced either."""
    onnx = pytest.importorskip("onnx")
    assert call("convert", "w.json", "m.onnx").code == 0
    onnx.save(onnx.load("m.onnx"), "e.onnx", save_as_external_data=True, location="e.data",
              size_threshold=0)  # fmt: skip
    before = content(folder)
    said = call("--x", "@x.csv", "-w", "e.onnx", "--allow-external-data", "-f", "plain", "-o",
                "e.data")  # fmt: skip
    assert_refused(said, 5, "e.data is also read")
    assert content(folder) == before


@pytest.mark.parametrize("target", ["/dev/null", "/dev/stdout"])
@pytest.mark.few(1)
def test_devices_are_written(target: str, folder: Path) -> None:
    """/dev/null and /dev/stdout stay what they are."""
    for words in ([*RUN, "--json"], ["batch", "s.jsonl"], ["diagnose", "s.json"]):
        done = shell(*words, "-o", target, env={"PYTHONPATH": str(ROOT)})
        assert done.returncode in (0, 1), done.stderr
        assert bool(done.stdout) is (target == "/dev/stdout")


def test_a_pipe_is_written(folder: Path) -> None:
    """A FIFO gets the answers."""
    os.mkfifo("pipe.jsonl")
    words = ["batch", "s.jsonl", "-o", "pipe.jsonl", "-q"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_cli", *words], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        assert len(Path("pipe.jsonl").read_bytes().splitlines()) == 3
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()


def test_what_was_read_before_may_be_written(folder: Path) -> None:
    """A command knows nothing of the one before it, and the API forbids nothing."""
    assert call(*RUN).code == 0
    shutil.copy("w.json", "copy.json")
    assert call("convert", "copy.json", "x.npz", "--to", "split").code == 0
    assert call("convert", "x.npz", "w.json", "--to", "split").code == 0
    model = read_weights("w.json")
    assert convert(model, Path("w.json"), "split").weight_difference == 0
    write_out(["1,2\n"], "x.csv")
    assert Path("x.csv").read_text() == "1,2\n"


def test_resume_reads_its_own_files(folder: Path) -> None:
    """The answers and the journal that a batch goes on with are no inputs."""
    lines = Path("s.jsonl").read_text()
    Path("s.jsonl").write_text(lines + '{"x": "none"}\n')

    def run(*more: str) -> Answer:
        return call("batch", "s.jsonl", "-o", "out.jsonl", *more)

    assert run().code == 4
    assert run("--retry-failed").code == 4
    assert "answered before" in run("--resume").err
    assert len(Path("out.jsonl").read_text().splitlines()) == 4


SAME: dict[str, tuple[str, ...]] = {
    "-o and --key": ("exercise", "-o", "a.md", "--key", "./a.md"),
    "-o and --template": ("exercise", "-o", "a.txt", "--template", "sub/../a.txt"),
    "--template and --save": ("exercise", "--template", "a.json", "--save", "a.json"),
    "-o and --stronger": ("vet", "right.json", "-q", "-o", "a.json", "--stronger", "./a.json"),
}


@pytest.mark.parametrize(("both", "words"), SAME.items(), ids=SAME)
def test_two_outputs_are_two_files(both: str, words: tuple[str, ...], folder: Path) -> None:
    """No part is lost to another that goes to the same file by another name."""
    (folder / "sub").mkdir()
    assert_refused(call(*words), 2, f"{both} name the same file")
    assert not Path(words[-1]).exists()


def test_two_outputs_are_one_through_a_link(folder: Path) -> None:
    """Hard links, and the file that stdout is, are seen."""
    Path("a.txt").write_text("old\n")
    os.link("a.txt", "b.txt")
    assert_refused(call("exercise", "-o", "a.txt", "--key", "b.txt"), 2, "name the same file")
    done = appended("a.txt", "exercise", "--key", "a.txt")
    assert done.returncode == 2
    assert Path("a.txt").read_text() == "old\n"
