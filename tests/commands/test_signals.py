"""SIGTERM and SIGHUP end a command as Ctrl-C does, and its processes end with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tools import ROOT, call

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
# For whatever comes in a moment on a machine that is idle.
PATIENCE = 120
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Hear signals here, and so in every process started; in the background they are ignored."""
    heard = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, how) for number, how in heard.items()}
    yield
    for number, how in before.items():
        signal.signal(number, how)


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@contextmanager
def running(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a folder, in a session of its own, which is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_cli", *words], cwd=folder, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # A shell that starts the tests in the background has them ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        yield process
    finally:
        if any(map(alive, children(process.pid))) or process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def stat(pid: int) -> list[str]:
    """Return what the system says of a process after its name: its state, its parent, …"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["gone", "0"]


def alive(pid: int) -> bool:
    return stat(pid)[0] not in ("gone", "Z", "X")


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    every = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
    return [each for each in every if int(stat(each)[1]) == pid]


def samples(count: int) -> bytes:
    lines = (
        json.dumps({"x": [n * 1e-4 + 0.25, -0.5], "h": [0.1, 0.2], "c": [0.3, -0.4],
                    "expected": {"h": [0.7, -0.9]}})
        for n in range(count)
    )  # fmt: skip
    return "".join(line + "\n" for line in lines).encode()


def left(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def has_content(folder: Path, mark: str) -> bool:
    return any(mark in each.name and each.stat().st_size for each in folder.iterdir())


@pytest.mark.parametrize("number", ENDING, ids=lambda each: each.name)
@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_batch_keeps_what_is_answered(number: int, jobs: str, tmp_path: Path) -> None:
    """Whatever the signal: its exit code, the answers so far, no process, and --resume goes on."""
    text = samples(6144)
    with running(tmp_path, "batch", "-", "-o", "out.jsonl", "-j", jobs) as process:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.flush()  # and stays open: there is no end that it could come to
        until(lambda: has_content(tmp_path, ".partial"))
        workers = children(process.pid)
        assert (jobs == "1") is not workers
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 128 + number, said
        assert b"samples are answered; the same command with --resume goes on from there" in said
        assert said.endswith(b"interrupted\n")
        assert b"Traceback" not in said
        until(lambda: not any(map(alive, workers)))
    assert left(tmp_path) == ["out.jsonl.journal", "out.jsonl.partial"]
    again = call("batch", "-", "-o", tmp_path / "out.jsonl", "--resume", stdin=text)
    assert again.code == 0
    assert "samples were answered before" in again.err
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 6144
    assert left(tmp_path) == ["out.jsonl"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
@pytest.mark.few(1)
def test_processes_at_work_end_at_once(number: int, tmp_path: Path) -> None:
    """A sample of hours is not waited for: its process ends with the command, however that ends."""
    hours = {"x": [[0.5, -1]], "h": [0.1, 0.2], "c": [0.3, -0.4], "steps": 400_000}
    (tmp_path / "s.jsonl").write_text((json.dumps(hours) + "\n") * 5000)
    words = ["batch", "s.jsonl", "-o", "out.jsonl", "--jobs", "2", "--engine", "table"]
    with running(tmp_path, *words) as process:
        until(lambda: sum(map(busy, children(process.pid))) >= 2)
        workers = children(process.pid)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == (143 if number == signal.SIGTERM else -number)
        until(lambda: not any(map(alive, workers)))


def busy(pid: int) -> bool:
    """Whether a process has computed for longer than a start takes."""
    told = stat(pid)
    return len(told) > 12 and int(told[11]) / os.sysconf("SC_CLK_TCK") > 3


def test_processes_that_wait_do_not_outlive_the_command(tmp_path: Path) -> None:
    """Processes without work end with a command that is killed while it waits for stdin."""
    with running(tmp_path, "batch", "-", "--jobs", "2") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(samples(4096))
        process.stdin.flush()
        assert process.stdout.read(1) == b"{"
        workers = children(process.pid)
        assert len(workers) >= 2
        process.kill()
        process.wait()
        until(lambda: not any(map(alive, workers)))


@pytest.mark.parametrize("number", ENDING, ids=lambda each: each.name)
def test_no_temporary_file_stays(number: int, tmp_path: Path) -> None:
    """A command that is stopped while it writes leaves the old file, and nothing beside it."""
    (tmp_path / "s.jsonl").write_bytes(samples(20_000))
    (tmp_path / "out.jsonl").write_text("old\n")
    words = ["diagnose", "s.jsonl", "-f", "jsonl", "-o", "out.jsonl"]
    with running(tmp_path, *words) as process:
        until(lambda: len(left(tmp_path)) == 3)
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 128 + number, said
        assert said.endswith(b"interrupted\n")
        assert b"Traceback" not in said
    assert left(tmp_path) == ["out.jsonl", "s.jsonl"]
    assert (tmp_path / "out.jsonl").read_text() == "old\n"


# The signal comes when a file is whole, and not yet in its place.
AT_THE_END = (
    "import os, signal, sys\n"
    "number_of_signal = int(sys.argv.pop(1))\n"
    "def fsync(number):\n"
    "    os.kill(os.getpid(), number_of_signal)\n"
    "    [None for _ in range(99)]\n"
    "os.fsync = fsync\n"
    "from lstm_cli.commands._main import main\n"
    "main(sys.argv[1:])\n"
)
STEP = ["--x", "0.5,-1", "--h", "0.3,-0.2", "--c", "0.6,-0.7"]
WRITERS: dict[str, list[str]] = {
    "run": [*STEP, "-o", "o.npz"], "run, a table": [*STEP, "-o", "o.txt"],
    "explain": ["explain", *STEP, "-o", "o.tex"], "grad": ["grad", *STEP, "-o", "o.csv"],
    "exercise": ["exercise", *STEP, "--key", "k.txt", "--template", "t.csv", "--save", "s.json"],
    "report": ["report", *STEP, "-o", "o.html"],
    "report, a picture": ["report", *STEP, "--picture", "strips", "-o", "o.png"],
    "diagnose": ["diagnose", "s.jsonl", "-o", "o.json"], "list": ["list", "cells", "-o", "o.md"],
    "vet": ["vet", "s.jsonl", "-q", "-o", "o.json"],
    "vet, stronger": ["vet", "s.jsonl", "-q", "--atol", "9", "--stronger", "o.json"],
    "batch": ["batch", "s.jsonl", "-o", "o.json"], "batch, csv": ["batch", "s.jsonl", "-o", "o.csv"],
    "batch, processes": ["batch", "s.jsonl", "-o", "o.npz", "-j", "2"],
    "batch, a table": ["batch", "s.jsonl", "-o", "o.txt"],
    "inspect": ["inspect", f"{ROOT}/samples/weights/hand.json", "-o", "o.json"],
    "convert": ["convert", f"{ROOT}/samples/weights/hand.json", "o.npz", "--to", "split"],
}  # fmt: skip


@pytest.mark.parametrize("words", WRITERS.values(), ids=WRITERS)
@pytest.mark.few(3)
def test_nothing_stays_of_a_file_that_is_not_in_its_place(words: list[str], tmp_path: Path) -> None:
    """Whatever a command writes: stopped at the last moment, it leaves neither file nor part."""
    need = {"o.html": "jinja2", "o.png": "matplotlib"}.get(words[-1])
    if need:
        pytest.importorskip(need)
    (tmp_path / "s.jsonl").write_bytes(samples(3))
    for number in (signal.SIGTERM, signal.SIGHUP):
        done = subprocess.run(
            [sys.executable, "-c", AT_THE_END, str(int(number)), *words], cwd=tmp_path,
            capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 128 + number, done.stderr
        assert left(tmp_path) == ["s.jsonl"]


@pytest.mark.parametrize("word", ["vet", "batch", "run"])
def test_each_command_hears(word: str, tmp_path: Path) -> None:
    """A command that waits for stdin is ended by SIGTERM with 143, and no trace of it."""
    words = {
        "vet": ["vet", "-", "--stronger", "out.json"],
        "batch": ["batch", "-", "-f", "table", "-o", "out.txt"],
        "run": ["--x", "-", "-o", "out.txt"],
    }[word]
    with running(tmp_path, *words) as process:
        assert process.stdin is not None
        process.stdin.write(b" \n" * 2**20)  # more than fits into a pipe: it is being read
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 143
        assert said.endswith(b"interrupted\n")
    assert left(tmp_path) == []


def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    """`nohup` goes on through SIGHUP."""
    code = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); " \
           "from lstm_cli.commands._main import main; main(['batch', '-'])"  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"x": [1]}\n' * 600)
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert len(out.splitlines()) == 599
    finally:
        process.kill()


@pytest.mark.parametrize("number", ENDING, ids=lambda each: each.name)
def test_a_signal_in_the_middle_of_an_exec_is_heard(number: int, tmp_path: Path) -> None:
    """Python remembers such an interrupt, and under -m would end by SIGINT whatever it is told."""
    send = f"import os; os.kill(os.getpid(), {int(number)}); [None for _ in range(9)]"
    (tmp_path / "prog.py").write_text(
        "from lstm_cli.commands import _main\n"
        f"_main.program = lambda words: exec({send!r})\n"
        "_main.main(['batch', '-'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "prog"], cwd=tmp_path, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (128 + number, b"interrupted\n")
