"""What a sample and a task cost on a cluster: `python -m benchmarks.cluster`.

Everything is processor time, which a busy machine does not change much: of a worker for a sample
(one process, no cluster), of the scheduler for a task (a scheduler in a process of its own, whose
tasks do nothing, with the message that a part has), of the client for a sample of a gathered batch.
Then what 10⁹ samples come to.
"""

from __future__ import annotations

import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.commands.batch.cluster import PART_CHUNKS, Batch, Cluster, _units_of, parts_of
from lstm_cli.commands.batch.runners import Serial
from lstm_cli.commands.batch.tasks import (
    Folder,
    evaluate,
    look,
    make_part,
    pack,
    part_name,
    unpack_answer,
)
from lstm_cli.commands.batch.work import Work
from lstm_cli.samples.files import CHUNK, all_chunks
from lstm_cli.samples.settings import SampleSettings

SAMPLES = 2 * PART_CHUNKS * CHUNK
TASKS = 2000
THREADS = 32
TURNS = 3
ALL = 10**9


def write_samples(path: Path, steps: int, width: int) -> None:
    """Write a file of samples: an id, a sequence, states."""
    generator = np.random.default_rng(5)
    with path.open("w") as stream:
        for number in range(SAMPLES):
            x = generator.uniform(-1, 1, (steps, width)).round(6).tolist()
            h, c = generator.uniform(-1, 1, (2, width)).round(6).tolist()
            stream.write(json.dumps({"id": f"s{number:08d}", "x": x, "h": h, "c": c}) + "\n")


def seconds(function: Callable[[], Any]) -> tuple[float, float]:
    """Return the median and the spread of the processor time that a call takes."""
    times = []
    for _ in range(TURNS):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times), max(times) - min(times)


def measure_samples(folder: Path, steps: int, width: int) -> dict[str, float]:
    """Return what a sample costs a worker and the client, in µs and bytes."""
    path = folder / "s.jsonl"
    write_samples(path, steps, width)
    work = Work(SampleSettings(check=False))
    question = Batch(None, work, Folder(str(folder)))._question(str(path))  # type: ignore[arg-type]
    assert question is not None
    found = look(work, question, Serial())
    part, *_ = parts_of(_units_of(str(path), question, found))
    key = "0" * 32
    message = {"folder": str(folder / "out"), "root": "", "name": part_name(0, key), "key": key,
               "known": None, "units": [each.message for each in part]}  # fmt: skip
    Folder(message["folder"]).begin()
    chunks = list(all_chunks([str(path)]))
    asked = [{"chunk": pack(each)} for each in chunks]
    answers = [evaluate(work, each, Serial()) for each in asked]
    looked, _ = seconds(lambda: look(work, question, Serial()))
    made, spread = seconds(lambda: make_part(work, message, Serial()))
    part_samples = PART_CHUNKS * CHUNK

    def as_client() -> None:
        for chunk in all_chunks([str(path)]):
            pickle.dumps({"chunk": pack(chunk)})
        for each in answers:
            "".join(unpack_answer(pickle.loads(pickle.dumps(each))).lines).encode()

    gathered, _ = seconds(as_client)
    return {
        "bytes in": path.stat().st_size / SAMPLES,
        "bytes out": sum(len(each["lines"]) for each in answers) / SAMPLES,
        "look": 1e6 * looked / SAMPLES,
        "part": 1e6 * made / part_samples,
        "part spread": 1e6 * spread / part_samples,
        "client": 1e6 * gathered / SAMPLES,
        "message": len(pickle.dumps(message)),
    }


@contextmanager
def scheduler() -> Iterator[tuple[str, int]]:
    """Start a scheduler with one worker, each a process; give its address and its id."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scheduler.json"
        options = ["--scheduler-file", str(file), "--dashboard-address", "127.0.0.1:0"]
        started = []
        try:
            for name, more in (("scheduler", ["--port", "0", "--host", "127.0.0.1"]),
                               ("worker", ["--nthreads", str(THREADS), "--no-nanny"])):  # fmt: skip
                command = [sys.executable, "-m", f"distributed.cli.dask_{name}", *options, *more]
                started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            while not file.exists():
                time.sleep(0.1)
            time.sleep(1)
            yield json.loads(file.read_text())["address"], started[0].pid
        finally:
            for each in reversed(started):
                each.terminate()
                each.wait()


def processor_time(pid: int) -> float:
    """Return the processor time that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Return the memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure_tasks(size: int) -> dict[str, float]:
    """Return what a task costs the scheduler, with a message of such a size."""
    from distributed import Client

    times, walls, memory = [], [], 0.0
    with scheduler() as (address, pid), Client(address) as client:
        client.wait_for_workers(1)
        cluster = Cluster(client, address)
        work = Work(SampleSettings())
        # A look at a file that is not there is over at once.
        message = {"file": "/none", "origin": ["", "", ""], "size": 0, "filling": os.urandom(size)}
        for _ in range(TURNS):
            start, wall = processor_time(pid), time.monotonic()
            for _ in cluster.run("look", work, [message] * TASKS):
                pass
            times.append((processor_time(pid) - start) / TASKS)
            walls.append((time.monotonic() - wall) / TASKS)
            memory = max(memory, resident(pid))
    return {"scheduler": 1e6 * statistics.median(times), "wall": 1e6 * statistics.median(walls),
            "spread": 1e6 * (max(times) - min(times)), "memory": memory}  # fmt: skip


def report(name: str, one: dict[str, float], task: float) -> None:
    """Print what was measured of a kind of samples, and what 10⁹ of them come to."""
    size = CHUNK * PART_CHUNKS
    core = one["look"] + one["part"]
    rows = {
        "a sample": f"{one['bytes in']:.0f} bytes in, {one['bytes out']:.0f} out",
        "worker, a sample": f"{one['look']:.1f} µs to look, {one['part']:.1f} µs to answer and "
        f"write (spread {one['part spread']:.1f})",
        "client, a sample": f"{one['client']:.1f} µs where answers are gathered",
        "a part": f"{size:,} samples, {size * core / 1e6:.2f} s, {one['message']:,.0f} bytes sent",
        "10⁹ samples": f"{one['bytes in']:.0f} GB in, {one['bytes out']:.0f} GB out, "
        f"{ALL * core / 3.6e9:.1f} core hours, {ALL / size:,.0f} parts",
        "  the scheduler": f"{ALL / size * task / 1e6:.0f} s; it keeps {size * core / task:,.0f} "
        "threads busy",
        "  gathered": f"{ALL * one['client'] / 3.6e9:.1f} hours of the client, and "
        f"{ALL / CHUNK * task / 3.6e9:.2f} of the scheduler",
    }
    print(f"\n{name}")
    for what, text in rows.items():
        print(f"  {what:18} {text}")


def main() -> None:
    """Measure, and print."""
    task = measure_tasks(1500)
    print(f"scheduler, a task    {task['scheduler']:.0f} µs of processor time (spread "
          f"{task['spread']:.0f}); {task['wall']:.0f} µs from end to end, scheduler, client and "
          f"worker on this machine; {task['memory'] / 2**20:.0f} MiB of memory")  # fmt: skip
    for steps, width in ((1, 5), (20, 16)):
        with tempfile.TemporaryDirectory() as folder:
            measured = measure_samples(Path(folder), steps, width)
        report(f"{steps} steps of {width} numbers", measured, task["scheduler"])


if __name__ == "__main__":
    main()
