"""Batches that go on: nothing answered is lost or repeated, whenever they are killed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.commands.batch.store import Entry
from lstm_cli.commands.batch.work import ChunkAnswers, Work
from lstm_cli.files import safe as safe_files
from lstm_cli.samples import files, settings
from lstm_cli.samples.chunks import Chunk
from tests.tools import ROOT, assert_refused, call
from tests.tools import Answer as Said


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Chunks of five samples; return how many samples each chunk that is evaluated has."""
    monkeypatch.setattr(files, "CHUNK", 5)
    sizes: list[int] = []
    honest = Work.__call__

    def counted(self: Work, chunk: Chunk) -> ChunkAnswers:
        sizes.append(len(chunk))
        return honest(self, chunk)

    monkeypatch.setattr(Work, "__call__", counted)
    return sizes


def samples(path: Path, count: int = 23) -> Path:
    path.write_text("".join(json.dumps({"x": [n + 0.5, 1]}) + "\n" for n in range(count)))
    return path


def batch(path: Path, out: Path, *options: object) -> Said:
    return call("batch", path, "-o", out, *options)


def cut_off(path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> Said:
    """Interrupt a batch after so many chunks."""
    honest, done = Work.__call__, [0]

    def interrupted(self: Work, chunk: Chunk) -> ChunkAnswers:
        if done[0] == after:
            raise KeyboardInterrupt
        done[0] += 1
        return honest(self, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(Work, "__call__", interrupted)
        return batch(path, out)


def left(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_an_interrupted_batch_goes_on(
    tmp_path: Path, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C keeps what is answered, says how to go on, and --resume answers only the rest."""
    path, out = samples(tmp_path / "s.jsonl"), tmp_path / "out.jsonl"
    batch(path, tmp_path / "whole.jsonl")
    out.write_text("old")
    said = cut_off(path, out, monkeypatch, 3)
    assert said.code == 130
    assert "15 samples are answered" in said.err
    assert "--resume" in said.err
    assert out.read_text() == "old"
    seen.clear()
    again = batch(path, out, "--resume")
    assert again.code == 0
    assert "15 samples were answered before" in again.err
    assert sum(seen) == 8
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert left(tmp_path) == ["out.jsonl", "s.jsonl", "whole.jsonl"]


def test_without_resume_it_starts_over(
    tmp_path: Path, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an interrupted run left is not taken up unasked, and that is said."""
    path, out = samples(tmp_path / "s.jsonl"), tmp_path / "out.jsonl"
    cut_off(path, out, monkeypatch, 3)
    seen.clear()
    assert "starting over: --resume would keep" in batch(path, out).err
    assert sum(seen) == 23


def test_what_is_changed_is_answered_again(
    tmp_path: Path, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed line costs its chunk, added lines cost theirs, another setting costs all."""
    path, out = samples(tmp_path / "s.jsonl"), tmp_path / "out.jsonl"
    cut_off(path, out, monkeypatch, 4)
    lines = path.read_text().splitlines(keepends=True)
    lines[7] = '{"x": [9, 9]}\n'
    path.write_text("".join([*lines, '{"x": [8, 8]}\n']))
    seen.clear()
    assert batch(path, out, "--resume").code == 0
    assert seen == [5, 4]
    batch(path, tmp_path / "fresh.jsonl")
    assert out.read_bytes() == (tmp_path / "fresh.jsonl").read_bytes()
    cut_off(path, out, monkeypatch, 2)
    seen.clear()
    batch(path, out, "--resume", "--forget-bias", "1")
    assert sum(seen) == 24
    batch(path, tmp_path / "fresh.jsonl", "--forget-bias", "1")
    assert out.read_bytes() == (tmp_path / "fresh.jsonl").read_bytes()


def test_answers_of_older_code_are_answered_again(
    tmp_path: Path, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun when records had other members is not mixed with what they are now."""
    path, out = samples(tmp_path / "s.jsonl"), tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(settings, "ANSWERS", settings.ANSWERS - 1)
        cut_off(path, out, monkeypatch, 3)
    seen.clear()
    assert batch(path, out, "--resume").code == 0
    assert sum(seen) == 23


DAMAGE = {
    "torn answer": ("out.jsonl.partial", lambda data: data + b'{"schema": "lst'),
    "answers cut": ("out.jsonl.partial", lambda data: data[:-40]),
    "answers changed": ("out.jsonl.partial", lambda data: data.replace(b"true", b"TRUE", 1)),
    "answers of zeros": ("out.jsonl.partial", lambda data: b"\0" * len(data)),
    "torn line": ("out.jsonl.journal", lambda data: data[:-30]),
    "half a line more": ("out.jsonl.journal", lambda data: data + b'{"key": "ab", "st'),
    "line of another kind": ("out.jsonl.journal", lambda data: data + b'[1]\n{"key": 1}\n'),
    "a line of 1e999": (
        "out.jsonl.journal",
        lambda data: data + data.splitlines()[-1].replace(b"0", b"1e999") + b"\n",
    ),
    "a number of no place": (
        "out.jsonl.journal",
        lambda data: re.sub(rb'"start": \d+', b'"start": 1e999', data),
    ),
    "nested without end": ("out.jsonl.journal", lambda data: data + b"[" * 100_000 + b"\n"),
    "no sample of the chunk": (
        "out.jsonl.journal",
        lambda data: data.replace(b'"failed": []', b'"failed": [999]'),
    ),
    "no head": ("out.jsonl.journal", lambda data: data[10:]),
    "empty journal": ("out.jsonl.journal", lambda data: b""),
    "no answers": ("out.jsonl.partial", lambda data: b""),
}


@pytest.mark.parametrize(("name", "change"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_answered_again(
    name: str, change: Any, tmp_path: Path, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torn, cut and changed answers or journals are never taken for answers."""
    path, out = samples(tmp_path / "s.jsonl"), tmp_path / "out.jsonl"
    batch(path, tmp_path / "whole.jsonl")
    cut_off(path, out, monkeypatch, 3)
    file = tmp_path / name
    file.write_bytes(change(file.read_bytes()))
    assert batch(path, out, "--resume").code == 0
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert left(tmp_path) == ["out.jsonl", "s.jsonl", "whole.jsonl"]


def test_only_failed_samples_are_tried_again(tmp_path: Path, seen: list[int]) -> None:
    """--retry-failed runs those that failed, puts their answers in place, and counts all."""
    documents: list[dict[str, Any]] = [{"x": [n + 0.5]} for n in range(17)]
    for number in (1, 3, 12):
        documents[number] |= {"weights": "late.json", "mine": number}
    documents[16] = {"x": []}
    path, out = tmp_path / "s.jsonl", tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in documents))
    first = batch(path, out)
    assert first.code == 4
    assert "--retry-failed" in first.err
    assert left(tmp_path) == ["out.jsonl", "out.jsonl.journal", "s.jsonl"]
    seen.clear()
    assert batch(path, out, "--resume").code == 4
    assert seen == []
    weights = {f"W_{gate}": [[0.5, 0.25]] for gate in "figo"}
    (tmp_path / "late.json").write_text(json.dumps(weights))
    second = batch(path, out, "--retry-failed")
    assert second.code == 4
    assert seen == [2, 1, 1]
    assert "17 samples, 1 failed" in second.err
    assert "assumed: h0 not given: zeros (16 samples)" in second.err
    assert "handed on, and not used: mine\n" in second.err
    batch(path, tmp_path / "fresh.jsonl", "-q")
    assert out.read_bytes() == (tmp_path / "fresh.jsonl").read_bytes()
    seen.clear()
    assert batch(path, out, "--retry-failed").code == 4
    assert seen == [1]


def test_resume_needs_a_file_of_jsonl(tmp_path: Path) -> None:
    """--resume and --retry-failed say what they lack."""
    path = samples(tmp_path / "s.jsonl", 1)
    assert_refused(call("batch", path, "--resume"), 2, "--resume needs a file of JSONL")
    table = ("-f", "table", "-o", tmp_path / "t")
    assert_refused(call("batch", path, "--retry-failed", *table), 2, "--retry-failed needs")
    nowhere = tmp_path / "no" / "out.jsonl"
    assert_refused(call("batch", path, "-o", nowhere), 5, "cannot write: no such file")
    assert_refused(call("batch", path, "-o", "a" * 300), 5, "cannot write")


def test_modes_links_and_devices_stay(tmp_path: Path) -> None:
    """-o keeps a file's mode, writes through a link, and does not replace a device."""
    path, out = samples(tmp_path / "s.jsonl", 3), tmp_path / "out.jsonl"
    out.write_text("old")
    out.chmod(0o640)
    (tmp_path / "link").symlink_to(out)
    assert batch(path, tmp_path / "link").code == 0
    assert (tmp_path / "link").is_symlink()
    assert len(out.read_text().splitlines()) == 3
    assert out.stat().st_mode & 0o777 == 0o640
    assert batch(path, Path("/dev/null")).code == 0
    assert left(tmp_path) == ["link", "out.jsonl", "s.jsonl"]


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    """A file that another run is writing is refused, and nothing of it is touched."""
    path, out = samples(tmp_path / "s.jsonl", 3), tmp_path / "out.jsonl"
    journal = tmp_path / "out.jsonl.journal"
    with journal.open("w") as other:
        other.write("theirs")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        assert_refused(batch(path, out, "--resume"), 5, "another run is writing this file")
        assert_refused(batch(path, out), 5, "another run is writing this file")
    assert journal.read_text() == "theirs"


def processor_seconds(group: int) -> float:
    """Return the processor time that the living processes of a group have taken."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processor_time_is_read() -> None:
    """The time of this process's own group is some."""
    assert processor_seconds(os.getpgrp()) > 0


def kill_and_resume(tmp_path: Path, moments: Sequence[float], jobs: int) -> int:
    """Kill a batch at each moment of its processor time; return how often it was killed.

    Moments are parts of what it usually takes: of the clock's time a busy machine leaves it less.
    """
    generator = np.random.default_rng(3)
    path, out = tmp_path / "s.jsonl", tmp_path / "out.jsonl"
    with path.open("w") as stream:
        for number in range(24_000):
            x = generator.uniform(-1, 1, (1 + number % 2, 6)).tolist()
            stream.write(json.dumps({"x": x} if number % 997 else {"x": []}) + "\n")
    whole = [sys.executable, "-m", "lstm_cli", "batch", str(path), "-q", "--jobs", str(jobs), "-o"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*whole, str(tmp_path / "whole.jsonl")], cwd=ROOT, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    usual = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    killed = 0
    for moment in moments:
        process = subprocess.Popen([*whole, str(out), "--resume"], cwd=ROOT, start_new_session=True)
        while process.poll() is None and processor_seconds(process.pid) < moment * usual:
            time.sleep(0.005)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        else:  # it came to its end: start from nothing again
            assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
            for name in ("out.jsonl", "out.jsonl.journal"):
                (tmp_path / name).unlink()
    done = subprocess.run([*whole, str(out), "--resume"], cwd=ROOT, check=False)
    assert done.returncode == 4
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not (tmp_path / "out.jsonl.partial").exists()
    return killed


def test_a_kill_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """Killed four times on its way, a batch ends with the bytes of one that was not."""
    assert kill_and_resume(tmp_path, [0.3, 0.5, 0.6, 0.7], 1) > 0


@pytest.mark.full
@pytest.mark.parametrize("jobs", [1, 2])
def test_fifty_kills_lose_and_repeat_nothing(jobs: int, tmp_path: Path) -> None:
    """Killed at 50 random moments, its processes too, a batch ends with the right bytes."""
    moments = random.Random(jobs)
    assert kill_and_resume(tmp_path, [moments.uniform(0.02, 1) for _ in range(50)], jobs) > 15


WEIGHTS = {f"W_{gate}": [[0.5, 0.25, 1.0, 0.5], [0.25, 0.5, -1.0, 0.75]] for gate in "figo"}
CELLS = {
    bias: f"name = 'own'\nbase = 'lstm'\n[edit]\nf = 'sigmoid(z_f + {bias})'\n" for bias in (0, 1)
}


def naming(tmp_path: Path, member: str, name: str) -> Path:
    """Write 20 samples, of which those of the second chunk name a file."""
    path = tmp_path / "s.jsonl"
    documents = [
        {"x": [n + 0.5, 1], "c": [0.5, -1]} | ({member: name} if 5 <= n < 10 else {})
        for n in range(20)
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in documents))
    return path


@pytest.mark.parametrize(
    ("member", "name", "before", "after"),
    [
        ("weights", "w.json", json.dumps(WEIGHTS), json.dumps(WEIGHTS | {"W_f": [[1] * 4] * 2})),
        ("cell", "own.toml", CELLS[0], CELLS[1]),
    ],
)
@pytest.mark.parametrize("broken", [False, True])
def test_a_changed_file_that_samples_name_is_run_again(
    member: str, name: str, before: str, after: str, broken: bool, tmp_path: Path, seen: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """--resume keeps answers, and failures, only while the files that they came from are the same."""
    file, out = tmp_path / name, tmp_path / "out.jsonl"
    path = naming(tmp_path, member, name)
    file.write_text("[" if broken else before)
    cut_off(path, out, monkeypatch, 3)
    seen.clear()
    os.utime(file)  # touched, not changed
    assert batch(path, out, "--resume").code == (4 if broken else 0)
    assert seen == [5]
    old = out.read_bytes()
    cut_off(path, out, monkeypatch, 3)
    seen.clear()
    file.write_text(after)
    assert batch(path, out, "--resume").code == 0
    assert seen == [5, 5]
    batch(path, tmp_path / "fresh.jsonl")
    assert out.read_bytes() == (tmp_path / "fresh.jsonl").read_bytes()
    assert out.read_bytes() != old


def test_a_file_that_many_samples_name_is_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content of a weight file is looked at once in a run, and again when it is another."""
    (tmp_path / "w.json").write_text(json.dumps(WEIGHTS))
    read: list[Path] = []
    honest = safe_files.content_of

    def counted(path: Path) -> str:
        read.append(path)
        return honest(path)

    monkeypatch.setattr(safe_files, "content_of", counted)
    known = safe_files.Digests()
    name = str(tmp_path / "w.json")
    first = known.of(name)
    assert first == known.of(name) == safe_files.Digests(str(tmp_path)).of("w.json")
    assert len(read) == 2
    (tmp_path / "w.json").write_text(json.dumps(WEIGHTS) + " ")
    assert known.of(name) != first
    assert len(read) == 3
    assert known.of(str(tmp_path / "missing")) == known.of(str(tmp_path)) == ""


def test_an_entry_keeps_its_form() -> None:
    """The lines of journals that unfinished runs have left are read, and written alike."""
    line = (
        b'{"key": "5c", "start": 7, "size": 90, "crc": 12, "tally": {"samples": 3, "failed": 1, '
        b'"matched": 1, "mismatched": 0, "assumed": {"h0": 2}, "handed_on": {}, "warned": {}}, "failed": [1], '
        b'"files": {"w.npz": "ab"}}\n'
    )
    assert Entry.read(json.loads(line)).line() == line
