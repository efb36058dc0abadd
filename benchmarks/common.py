"""What the parts share: settings, turns, quartiles, and a word on the machine.

Nothing here imports NumPy: BLAS reads the number of its threads when it is first loaded, and the
parts that measure whole commands must be small themselves (a child's peak of memory starts at that
of the process that made it).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Work = Callable[[], object]
Record = dict[str, Any]

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results.json"
# A turn lasts at least this long: calls of a microsecond are made as often as that needs.
LEAST_SECONDS = 0.02
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
                    "NUMBA_NUM_THREADS")  # fmt: skip
PACKAGES = ("lstm-cli", "numpy", "numba", "torch", "onnxruntime", "jax", "orjson", "pysimdjson")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Settings:
    """What a part is asked for.

    Attributes:
        rounds: how often everything takes its turn.
        threads: of everybody, ours and the peers'.
        clock: "wall", or "cpu" for the process's own time where the machine has other work.
        rows: which rows of the grid; none: all.
        small: sizes that are over in seconds, to try the tool itself.
    """

    rounds: int = 9
    threads: int = 1
    clock: str = "wall"
    rows: tuple[int, ...] = ()
    small: bool = False

    def as_text(self) -> str:
        """Return what `settings_from` reads."""
        return json.dumps(asdict(self))


def settings_from(text: str) -> Settings:
    given = json.loads(text)
    return Settings(**(given | {"rows": tuple(given["rows"])}))


def part(measure: Callable[[Settings], Record]) -> None:
    """Be the process of one part: settings are the argument, the record goes to stdout as JSON."""
    settings = settings_from(sys.argv[1] if len(sys.argv) > 1 else Settings().as_text())
    record = {"about": about(settings)} | measure(settings)
    print(json.dumps(record))


def say(*words: object) -> None:
    """Say how far a part is; answers alone go to stdout."""
    print("  ", *words, file=sys.stderr, flush=True)


def seconds(work: Work, clock: str = "wall") -> float:
    """Return what one call takes, of as many as last `LEAST_SECONDS`."""
    now, count = CLOCKS[clock], 0
    start = now()
    while not count or now() - start < LEAST_SECONDS:
        work()
        count += 1
    return (now() - start) / count


def turns(works: Mapping[str, Work], rounds: int, clock: str = "wall") -> list[dict[str, float]]:
    """Return what each takes, round by round: they take turns (A B C A B C …)."""
    return [
        {name: seconds(work, clock) for name, work in works.items()} for _ in range(max(1, rounds))
    ]


def quartiles(values: Iterable[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile, in four digits."""
    found = list(values)
    three = statistics.quantiles(found, n=4, method="inclusive") if len(found) > 1 else found * 3
    return [float(f"{each:.4g}") for each in three]


def times_of(rounds: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return the quartiles of everybody's seconds."""
    return {name: quartiles(each[name] for each in rounds) for name in rounds[0]}


def ratios_to(base: str, rounds: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return the quartiles of everybody's time as a multiple of `base` in the same round."""
    return {
        name: quartiles(each[name] / each[base] for each in rounds)
        for name in rounds[0]
        if name != base
    }


def about(settings: Settings) -> Record:
    """Return where, when and with what a part was measured."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
        "threads": settings.threads,
        "rounds": settings.rounds,
        "clock": settings.clock,
    }


def _processor() -> str:
    """Return the processor's name, and its widest registers where that is told."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    named = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in named.items()}
    flags = facts.get("flags", "").split()
    wide = " with AVX-512" if "avx512f" in flags else " with AVX2" if "avx2" in flags else ""
    return facts.get("model name", platform.machine()) + wide


def environment(threads: int) -> dict[str, str]:
    """Return the environment in which libraries use so many threads."""
    return {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)),
            "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'false' if threads == 1 else 'true'} "
                         f"intra_op_parallelism_threads={threads}"}  # fmt: skip
