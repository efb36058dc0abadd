"""Workers that die change nothing: a real cluster of two processes, killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client

from lstm_cli.commands.batch import cluster as clusters
from lstm_cli.commands.batch.cluster import Batch, Cluster, ClusterError, local_cluster
from lstm_cli.commands.batch.tasks import Folder
from lstm_cli.commands.batch.work import Work
from lstm_cli.samples import files
from lstm_cli.samples.files import all_chunks
from lstm_cli.samples.settings import SampleSettings
from tests.commands.batch.clusters import Deadly, Killer, pids
from tests.tools import ROOT, call

COUNT = 24_000
# The command, with parts of one chunk.
SMALL = """
import sys
from lstm_cli.commands.batch import cluster
cluster.PART_CHUNKS = 1
from lstm_cli.commands._main import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with local_cluster(2, allowed_failures=3) as running:
        yield running


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks: parts of one chunk, and twenty thousand samples are ten of these."""
    monkeypatch.setattr(clusters, "PART_CHUNKS", 1)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of samples of two lengths, now and then a bad one."""
    generator = np.random.default_rng(4)
    path = tmp_path_factory.mktemp("deaths") / "s.jsonl"
    with path.open("w") as stream:
        for number in range(COUNT):
            x = generator.uniform(-1, 1, (1 + number % 2, 6)).tolist()
            stream.write(json.dumps({"x": x} if number % 997 else {"x": []}) + "\n")
    return path


def joined(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(folder.glob("part-*")))


def ready(cluster: Any) -> None:
    """Wait until both workers are there again."""
    with Client(cluster.scheduler_address) as client:
        client.wait_for_workers(2, 60)


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.full)])
@pytest.mark.parametrize("gathered", [True, False], ids=["gathered", "parts"])
@pytest.mark.few(1)
def test_killed_workers_change_nothing(
    gathered: bool, count: int, cluster: Any, samples: Path, tmp_path: Path, small: None
) -> None:
    """One worker killed in the middle, or both at once: the bytes of the serial run."""
    serial, out = tmp_path / "serial.jsonl", tmp_path / "out"
    assert call("batch", samples, "-o", serial, "-q").code == 4
    journal, done = tmp_path / "out.journal", out / "_parts"

    def in_the_middle() -> bool:
        if gathered:
            return lines_in(journal) > 2
        return done.is_dir() and len(list(done.glob("*.json"))) > 1

    ready(cluster)
    target = str(out) if gathered else f"{out}/"
    with Killer(cluster, in_the_middle, count) as killer:
        answer = call("batch", samples, "-o", target, "--dask", cluster.scheduler_address, "-q")
    assert answer.code == 4, answer.err
    assert len(killer.killed) == count
    assert (out.read_bytes() if gathered else joined(out)) == serial.read_bytes()


def test_the_batch_is_killed_and_goes_on(cluster: Any, samples: Path, tmp_path: Path) -> None:
    """The client killed in the middle leaves no `_SUCCESS`; a rerun does only what is missing."""
    out, serial = tmp_path / "out", tmp_path / "serial.jsonl"
    call("batch", samples, "-o", serial, "-q")
    ready(cluster)
    command = ["batch", str(samples), "-o", f"{out}/", "--dask", cluster.scheduler_address]
    process = subprocess.Popen(
        [sys.executable, "-c", SMALL, *command], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 60
        while len(list(out.glob("_parts/*.json"))) < 4 and time.monotonic() < until:
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (out / "_SUCCESS").exists()
    assert len(list(out.glob("_parts/*.json"))) >= 4
    again = subprocess.run(
        [sys.executable, "-c", SMALL, *command], cwd=ROOT, capture_output=True, check=False
    )
    assert again.returncode == 4
    before = next(line for line in again.stderr.decode().splitlines() if "before" in line)
    reused = int(before.split()[0].replace(",", ""))
    assert 4 * files.CHUNK <= reused < COUNT
    assert (out / "_SUCCESS").exists()
    assert joined(out) == serial.read_bytes()
    assert not list(out.glob("*.jsonl.*"))


@pytest.mark.full
def test_a_scheduler_that_dies_is_an_error(samples: Path, tmp_path: Path) -> None:
    """Without its scheduler the client gives up, in three lines, and what is finished stays."""
    from benchmarks.cluster import scheduler

    out = tmp_path / "out"
    with scheduler() as (address, pid):
        process = subprocess.Popen(
            [sys.executable, "-c", SMALL, "batch", str(samples), "-o", f"{out}/", "--dask", address],
            cwd=ROOT, stderr=subprocess.PIPE,
            env={**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "10s"},
        )  # fmt: skip
        try:
            while not list(out.glob("_parts/*.json")) and process.poll() is None:
                time.sleep(0.005)
            os.kill(pid, signal.SIGKILL)
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 3
    assert said.decode().startswith("error: the scheduler no longer answers\n")
    assert len(said.decode().splitlines()) == 3
    assert not (out / "_SUCCESS").exists()


@pytest.mark.parametrize(
    "moment",
    ["done", *(pytest.param(each, marks=pytest.mark.full) for each in ("noticed", "closed"))],
)
@pytest.mark.full
def test_a_scheduler_may_die_at_any_moment(
    moment: str, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the client wants of it next, an answer that is done too, it says who is gone."""
    from benchmarks.cluster import scheduler

    monkeypatch.setattr(clusters, "LOOK_SECONDS", 0.0)
    with (
        scheduler() as (address, pid),
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        Client(address) as client,
    ):
        client.wait_for_workers(1)
        answers = Cluster(client, address).map(
            Work(SampleSettings(check=False)), all_chunks([str(samples)])
        )
        next(answers)
        while not all(each.done() for each in list(client.futures.values())):
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        # At once; when the client has seen it; when it has given up.
        states = {"done": "running", "noticed": "connecting", "closed": "closed"}
        while client.status != states[moment]:
            time.sleep(0.01)
        with pytest.raises(ClusterError, match=r"^the scheduler no longer answers\n"):
            list(answers)


@pytest.mark.parametrize(
    "gathered",
    [pytest.param(True, marks=pytest.mark.full, id="gathered"), pytest.param(False, id="parts")],
)
@pytest.mark.full
def test_a_poison_sample_costs_its_own_record(
    gathered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample that kills whichever worker runs it is one failed record; all others are answered."""
    monkeypatch.setattr(files, "CHUNK", 4)
    documents = [{"id": "poison" if n == 9 else f"s{n}", "x": [n + 0.5]} for n in range(24)]
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in documents))
    wanted = call("batch", path).out.splitlines()
    deadly: Any = Deadly(Work(SampleSettings(check=False)))
    with local_cluster(2) as cluster, Client(cluster) as client:
        machines = Cluster(client, cluster.scheduler_address)
        if gathered:
            answers = list(machines.map(deadly, all_chunks([str(path)])))
            lines = [line.rstrip("\n") for answer in answers for line in answer.lines]
            failed = sum(each.tally.failed for each in answers)
        else:
            batch = Batch(machines, deadly, Folder(str(tmp_path / "out")))
            failed = batch.run([str(path)], lambda tally, notes: None).failed
            lines = joined(tmp_path / "out").decode().splitlines()
        assert pids(cluster)
    assert [*lines[:9], *lines[10:]] == [*wanted[:9], *wanted[10:]]
    record = json.loads(lines[9])
    assert (record["id"], record["ok"], record["error"]["code"]) == ("poison", False, "worker_died")
    assert failed == 1
