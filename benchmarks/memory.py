"""Peak memory of whole processes that make the same run, once each: ours, and the peers'.

What a run itself takes is the growth over a process that makes one step and is the same otherwise;
it is given as a multiple of the trace: the ten rows of the table over all steps and samples. The
last two are the command, which streams a run to a file: five times as long, and no larger.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, Record, Settings, environment, part, quartiles, say
from benchmarks.peers import Row, absent, make_case, present

WHOLE, SMALL_WHOLE = Row(1000, 64, 64, 128, "float32"), Row(20, 4, 3, 4, "float32")
LONG, SMALL_LONG = Row(20_000, 1, 8, 64, "float64"), Row(200, 1, 3, 4, "float64")
LONGER = 5
STREAM = "lstm-step, streaming"
# Peaks hardly vary.
MOST_ROUNDS = 3
Command = list[str]


def rounds_of(settings: Settings) -> int:
    return min(settings.rounds, MOST_ROUNDS)


def measure(settings: Settings) -> Record:
    whole, long = (SMALL_WHOLE, SMALL_LONG) if settings.small else (WHOLE, LONG)
    found = []
    for name in present():
        say(name)
        found.append(measure_one(name, whole, lambda row, n=name: one_run(n, row), settings))  # type: ignore[misc] # the loop's own value
    with tempfile.TemporaryDirectory() as folder:
        for row in (long, replace(long, steps=LONGER * long.steps)):
            say(STREAM)
            found.append(measure_one(STREAM, row, lambda row: streaming(row, folder), settings))
    return {"absent": absent(), "rounds": rounds_of(settings), "rows": found}


def measure_one(
    name: str, row: Row, command: Callable[[Row], Command], settings: Settings
) -> Record:
    """Return the peaks of all steps and of one, in turns, and the growth over the trace's size."""
    commands = [command(replace(row, steps=1)), command(row)]
    variables = environment(settings.threads)
    peak(commands[0], variables)  # what is compiled is kept on disk
    rounds = [[peak(each, variables) for each in commands] for _ in range(rounds_of(settings))]
    return {
        "name": name,
        "sizes": [row.steps, row.samples, row.inputs, row.hidden],
        "dtype": row.dtype,
        "trace bytes": row.trace_bytes,
        "bytes, one step": quartiles(one for one, _ in rounds),
        "bytes": quartiles(all_ for _, all_ in rounds),
        "growth of the trace": quartiles((all_ - one) / row.trace_bytes for one, all_ in rounds),
    }


def one_run(name: str, row: Row) -> Command:
    return [sys.executable, "-m", "benchmarks.one_run", name, *map(str, astuple(row))]


def streaming(row: Row, folder: str) -> Command:
    """Return the command that makes a run from files to a file."""
    case = make_case(row)
    x, weights = Path(folder) / f"x{row.steps}.npy", Path(folder) / "weights.npz"
    np.save(x, case.x[:, 0])
    np.savez(weights, **case.weights.arrays)  # type: ignore[arg-type] # names are symbols
    return [sys.executable, "-m", "lstm_cli", "--x", f"@{x}", "-w", str(weights), "-f", "npz",
            "-o", f"{folder}/trace.npz"]  # fmt: skip


def peak(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Return the most bytes that a process had at once.

    It is never less than what this process had, which every contender has too: NumPy and ours.

    Raises:
        CalledProcessError: the command failed.
    """
    process = subprocess.Popen(
        command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        say(said.decode(errors="replace"))
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    part(measure)
