"""What a start of `lstm-step` costs, as a multiple of bare starts of Python and NumPy.

Each command is a whole process: wall time, and processor time (user and system), which other work
on the machine hardly changes. Commands take turns (A B C A B C …), and ratios are of the same turn.
Every Python finds its modules compiled, as an installed package's are: they are kept in a folder of
the benchmark's own. Both ways in are measured: the script that users run, and `python -m lstm_cli`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import Record, Settings, part, quartiles, say

STEP = ["--h", "0,0.5,0.1,0.2,0.6", "--x", "-0.1,0.3,0.1,-0.25,0.1"]
MODULE = [sys.executable, "-m", "lstm_cli"]
SCRIPT = [str(Path(sys.executable).with_name("lstm-step"))]
PASS, NUMPY, JSON, TABLE = "pass", "import numpy", "one step, --json", "one step, table"
TORCH, ONE_THREAD = "one step, PyTorch", "import numpy, one thread"
LONGEST = 26

ONE_THREAD_SCRIPT = "import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; import numpy"

# The step of STEP with the weights of preset identity: `W_ih` and `W_hh` are four unit matrices.
TORCH_SCRIPT = """
import torch
cell = torch.nn.LSTMCell(5, 5, bias=False)
with torch.no_grad():
    cell.weight_ih.copy_(torch.eye(5).repeat(4, 1))
    cell.weight_hh.copy_(torch.eye(5).repeat(4, 1))
    h, c = cell(torch.tensor([[-0.1, 0.3, 0.1, -0.25, 0.1]]),
                (torch.tensor([[0, 0.5, 0.1, 0.2, 0.6]]), torch.zeros(1, 5)))
print(h.tolist(), c.tolist())
"""


class Row(NamedTuple):
    """A command, and what its time is told as a multiple of: at most, or from, a goal."""

    command: list[str]
    base: str = NUMPY
    most: float | None = None
    least: float | None = None


def commands() -> dict[str, Row]:
    """Return every command that can be run here, by its name."""
    named = {
        PASS: Row([sys.executable, "-c", "pass"], PASS),
        NUMPY: Row([sys.executable, "-c", "import numpy"], PASS),
        # A step keeps BLAS to one thread, whose start is part of the import: so much is saved.
        ONE_THREAD: Row([sys.executable, "-c", ONE_THREAD_SCRIPT], NUMPY),
    }
    for way, said in ((SCRIPT, ""), (MODULE, "-m: ")):
        if way is SCRIPT and not os.path.exists(SCRIPT[0]):
            continue
        named |= {
            said + "--version": Row([*way, "--version"], PASS, most=6),
            said + "--help": Row([*way, "--help"], PASS, most=6),
            said + JSON: Row([*way, *STEP, "--json"], NUMPY, most=1.4),
            said + TABLE: Row([*way, *STEP, "-f", "table"], NUMPY, most=1.7),
        }
    if find_spec("torch"):
        ours = JSON if JSON in named else f"-m: {JSON}"
        named[TORCH] = Row([sys.executable, "-c", TORCH_SCRIPT], ours, least=8)
    return named


def cost(command: list[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Return what one process takes, in seconds: on the wall's clock, and of the processor."""
    start = time.perf_counter()
    silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    process = os.posix_spawn(command[0], command, environment, file_actions=silent)
    _, status, used = os.wait4(process, 0)
    if status:
        raise SystemExit(f"failed: {command}")
    return {"wall": time.perf_counter() - start, "cpu": used.ru_utime + used.ru_stime}


def measure(settings: Settings) -> Record:
    """Return for each command its goal, seconds and multiples of its base, in quartiles."""
    named = commands()
    if settings.small:
        named = {name: row for name, row in named.items() if name in (PASS, NUMPY, JSON)}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        rounds = [
            {name: cost(row.command, environment) for name, row in named.items()}
            for _ in range(settings.rounds + 1)
        ][1:]  # the first compiled the modules
    rows = [_row(name, row, rounds) for name, row in named.items()]
    for row in rows:
        say(_line(row))
    return {"absent": [] if TORCH in named else ["PyTorch"], "rows": rows}


def _row(name: str, row: Row, rounds: list[dict[str, dict[str, float]]]) -> Record:
    clocks = ("wall", "cpu")
    return {
        "command": name,
        "base": row.base,
        "most": row.most,
        "least": row.least,
        "seconds": {clock: quartiles(each[name][clock] for each in rounds) for clock in clocks},
        "times base": {
            clock: quartiles(each[name][clock] / each[row.base][clock] for each in rounds)
            for clock in clocks
        },
    }


def _line(row: Record) -> str:
    """Return a command's medians for a reader: time, and multiples with their quartiles."""
    goal = f"≤ {row['most']}" if row["most"] else f"≥ {row['least']}" if row["least"] else ""
    told = [f"{row['command']:{LONGEST}}"]
    for clock, (low, middle, high) in row["times base"].items():
        milliseconds = 1000 * row["seconds"][clock][1]
        told.append(f"{clock} {milliseconds:6.0f} ms {middle:6.2f} ({low:.2f}–{high:.2f})")
    return "  ".join([*told, f"× {row['base']:16}", goal]).rstrip()


if __name__ == "__main__":
    part(measure)
