"""`batch` beside two floors: the same file read, and something written, with nothing done.

    python -m benchmarks.batch

Both read by the library of the file's kind (orjson for JSONL) and make each sample the objects that
Python has for it. One writes these again by orjson, the other an answer of our members and as many
numbers. All run in this process, without start-up. Peaks of memory are those of whole processes.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.common import (
    ROOT,
    Record,
    Settings,
    Work,
    environment,
    part,
    ratios_to,
    say,
    times_of,
    turns,
)
from lstm_cli.commands._main import program

OURS, COPY, ANSWERS = "batch", "copy", "answers"
SAMPLES, SMALL_SAMPLES = 100_000, 500
MEMORY_SAMPLES, SMALL_MEMORY_SAMPLES = (10_000, 1_000_000), (100, 1_000)
SCHEMA = "lstm-step/1"
# Each of these takes seconds.
ROUNDS_OF_MANY = 3
# How many rows of a table are made Python's objects at a time.
ROWS = 2048
# What `resource` tells is never less than what the process had that started this one.
PEAK = """
import sys
from lstm_cli.commands._main import program
code = program(["batch", *sys.argv[1:]])
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
sys.exit(code)
"""

Document = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: what its samples are.
        file: how it is called.
        make: number -> a sample.
        options: of `batch`.
    """

    name: str
    file: str
    make: Callable[[int], Document]
    options: tuple[str, ...] = ()


def numbers(count: int) -> list[float]:
    return [random.uniform(-1, 1) for _ in range(count)]


def step(number: int) -> Document:
    return {"id": f"s{number}", "x": numbers(5), "h": numbers(5), "c": numbers(5)}


def sequence(number: int, steps: int = 8) -> Document:
    return {"id": f"s{number}", "x": [numbers(16) for _ in range(steps)], "h": numbers(16),
            "c": numbers(16)}  # fmt: skip


def own_weights(number: int) -> Document:
    return step(number) | {"weights": {"preset": "random", "seed": number % 4}}


def any_length(number: int) -> Document:
    return sequence(number, random.randint(1, 8))


def labelled(number: int) -> Document:
    return step(number) | {"label": f"row {number}", "fold": number % 10}


def expecting(number: int) -> Document:
    return step(number) | {"expected": {"h": numbers(5)}, "atol": 10.0}


def table_row(number: int) -> Document:
    return {name: value for name, value in step(number).items() if name != "id"}


KINDS = (
    Kind("JSONL, 1 step of 5 units", "step.jsonl", step),
    Kind("JSONL, 8 steps of 16 units", "sequence.jsonl", sequence),
    Kind("JSONL, own weights of a preset", "weights.jsonl", own_weights),
    Kind("JSONL, 1 to 8 steps of 16 units, shuffled", "lengths.jsonl", any_length),
    Kind("JSONL, columns of one's own", "labelled.jsonl", labelled),
    Kind("JSONL, --check", "expecting.jsonl", expecting, ("--check",)),
    Kind("CSV, 1 step of 5 units", "step.csv", step),
    Kind("Parquet, 1 step of 5 units", "step.parquet", step),
    Kind("npz, 1 step of 5 units", "step.npz", table_row),
)


def measure(settings: Settings) -> Record:
    """Return each kind's seconds a sample, ours as a multiple of the floors', and peaks."""
    count = SMALL_SAMPLES if settings.small else SAMPLES
    chosen = tuple(KINDS[each] for each in settings.rows) or KINDS
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in chosen:
            say(kind.name)
            found.append(measure_kind(kind, folder, count, settings))
        found_peaks = peaks(folder, settings)
        return {"samples": count, "rows": found, "peak bytes": found_peaks,
                "processes": processes(folder, settings)}  # fmt: skip


def measure_kind(kind: Kind, folder: Path, count: int, settings: Settings) -> Record:
    random.seed(7)
    path = folder / kind.file
    write_file(path, map(kind.make, range(count)))
    files = {name: folder / f"{name}.jsonl" for name in (OURS, COPY, ANSWERS)}
    works: dict[str, Work] = {
        OURS: lambda: run_batch(path, files[OURS], kind.options),
        COPY: lambda: copy(path, files[COPY]),
        ANSWERS: lambda: write_answers(path, files[ANSWERS], answer_of(files[OURS])),
    }
    works[OURS]()  # whoever reads our answers finds them
    each = _a_sample(turns(works, settings.rounds, settings.clock), count)
    return {
        "file": kind.name,
        "read bytes": path.stat().st_size,
        "written bytes": {name: file.stat().st_size for name, file in files.items()},
        "seconds a sample": times_of(each),
        "times": times_floors(each),
    }


def _a_sample(rounds: list[dict[str, float]], count: int) -> list[dict[str, float]]:
    return [{name: took / count for name, took in turn.items()} for turn in rounds]


def times_floors(rounds: list[dict[str, float]]) -> Record:
    """Return our time as a multiple of each floor's."""
    return {
        floor: ratios_to(floor, rounds)[OURS] for floor in (COPY, ANSWERS) if floor in rounds[0]
    }


def run_batch(path: Path, output: Path, options: Sequence[str]) -> None:
    code = program(["batch", str(path), "-o", str(output), "-q", *options])
    if code:
        raise RuntimeError(f"batch {path} ends with {code}")


def answer_of(path: Path) -> Document:
    """Return one of our answers, whose members and numbers the floor writes each time."""
    with path.open("rb") as stream:
        return dict(orjson.loads(stream.readline()))


def copy(path: Path, output: Path) -> None:
    """Read all samples, and write them."""
    with output.open("wb") as stream:
        for document in objects(path):
            stream.write(orjson.dumps(document) + b"\n")


def write_answers(path: Path, output: Path, answer: Document) -> None:
    """Read all samples, and write the same answer to each."""
    with output.open("wb") as stream:
        for number, document in enumerate(objects(path)):
            name = document.get("id") or f"step:{number}"
            stream.write(orjson.dumps({**answer, "id": name}) + b"\n")


def objects(path: Path) -> Iterator[Document]:
    """Yield a file's samples as Python's objects, unchecked."""
    match path.suffix:
        case ".jsonl":
            with path.open("rb") as lines:
                yield from map(orjson.loads, lines)
        case ".csv":
            with path.open(newline="") as text:
                for row in csv.DictReader(text):
                    vectors = {key: list(map(float, row[key].split())) for key in "xhc"}
                    yield {"id": row["id"], **vectors}
        case ".parquet":
            from pyarrow.parquet import ParquetFile

            with ParquetFile(path) as file:
                for rows in file.iter_batches(batch_size=ROWS):
                    yield from rows.to_pylist()
        case ".npz":
            with np.load(path) as archive:
                arrays = {name: archive[name] for name in archive.files}
            for start in range(0, len(arrays["x"]), ROWS):
                columns = [each[start : start + ROWS].tolist() for each in arrays.values()]
                for values in zip(*columns, strict=True):
                    yield dict(zip(arrays, values, strict=True))


def write_file(path: Path, documents: Iterable[Document]) -> None:
    match path.suffix:
        case ".jsonl":
            with path.open("wb") as stream:
                stream.writelines(orjson.dumps(each) + b"\n" for each in documents)
        case ".csv":
            with path.open("w", newline="") as text:
                rows = csv.writer(text)
                rows.writerow(("id", *"xhc"))
                for each in documents:
                    rows.writerow((each["id"], *(" ".join(map(repr, each[k])) for k in "xhc")))
        case ".parquet":
            import pyarrow
            from pyarrow.parquet import write_table

            write_table(pyarrow.Table.from_pylist(list(documents)), path)
        case ".npz":
            held = list(documents)
            np.savez(path, **{key: np.array([each[key] for each in held]) for key in held[0]})


def peaks(folder: Path, settings: Settings) -> Record:
    """Return the peak memory of whole processes that answer few samples and many.

    Only Linux tells it.
    """
    found: Record = {}
    if not Path("/proc/self/status").exists():
        return found
    for count in SMALL_MEMORY_SAMPLES if settings.small else MEMORY_SAMPLES:
        say(f"peak memory, {count:,} samples")
        path = many_samples(folder, count)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path), "-o", str(folder / "answers.jsonl"), "-q"],
            check=True, capture_output=True, cwd=ROOT, env=environment(settings.threads),
        )  # fmt: skip
        found[str(count)] = int(done.stdout.split()[-1]) * 1024
    return found


def processes(folder: Path, settings: Settings) -> Record:
    """Return the seconds a sample, by the clock, of one process and of one for each core."""
    count = (SMALL_MEMORY_SAMPLES if settings.small else MEMORY_SAMPLES)[-1]
    jobs = os.cpu_count() or 1
    say(f"{jobs} processes, {count:,} samples")
    path, output = many_samples(folder, count), folder / "answers.jsonl"
    works: dict[str, Work] = {
        "one": lambda: run_batch(path, output, ()),
        OURS: lambda: run_batch(path, output, ("--jobs", str(jobs))),
        COPY: lambda: copy(path, folder / "copy.jsonl"),
    }
    each = _a_sample(turns(works, min(settings.rounds, ROUNDS_OF_MANY)), count)
    return {
        "jobs": jobs,
        "samples": count,
        "seconds a sample": times_of(each),
        "times one process": ratios_to("one", each)[OURS],
        "times": times_floors(each),
    }


def many_samples(folder: Path, count: int) -> Path:
    """Return a file of so many samples of one step."""
    random.seed(7)
    path = folder / "many.jsonl"
    write_file(path, map(step, range(count)))
    return path


if __name__ == "__main__":
    part(measure)
