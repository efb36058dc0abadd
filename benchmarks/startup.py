"""What a start of `lstm-step` costs, as a ratio to bare starts of Python and NumPy, in one run.

    python benchmarks/startup.py [--runs 15] [--torch /path/to/python]

`--torch` names a Python that has PyTorch: the same step as a script of PyTorch then takes part.
Machines are noisy: commands take turns (A B C A B C …), and medians of the ratios within each
turn are printed, with their quartiles. Every Python finds its modules compiled, as an installed
package's are: they are kept in a folder of the benchmark's own. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import NamedTuple

STEP = ["--h", "0,0.5,0.1,0.2,0.6", "--x", "-0.1,0.3,0.1,-0.25,0.1"]
TOOL = [sys.executable, "-m", "lstm_cli"]
PASS, NUMPY, JSON, TORCH = "pass", "import numpy", "one step, --json", "one step, PyTorch"

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
    """A command, and what it is to stay below: so many times another."""

    command: list[str]
    goal: float | None = None
    base: str = NUMPY


def rows(torch: str) -> dict[str, Row]:
    """Return every command by its name."""
    named = {
        PASS: Row([sys.executable, "-c", "pass"]),
        NUMPY: Row([sys.executable, "-c", "import numpy"]),
        "--version": Row([*TOOL, "--version"], 6, PASS),
        "--help": Row([*TOOL, "--help"], 6, PASS),
        JSON: Row([*TOOL, *STEP, "--json"], 1.4),
        "one step, table": Row([*TOOL, *STEP, "-f", "table"], 1.7),
    }
    if torch:
        named[TORCH] = Row([torch, "-c", TORCH_SCRIPT], None, JSON)
    return named


def seconds(command: list[str], environment: Mapping[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(
        command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--torch", metavar="PYTHON", default="")
    given = parser.parse_args()
    named = rows(given.torch)
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        turns = [{name: seconds(row.command, environment) for name, row in named.items()}
                 for _ in range(given.runs + 1)][1:]  # fmt: skip
    base = statistics.median(turn[NUMPY] for turn in turns)
    print(f"{NUMPY}: median {1000 * base:.0f} ms over {given.runs} turns\n")
    print(f"{'command':18} {'times':>6} {'quartiles':>12}  {'of':16}  goal")
    for name, row in named.items():
        ratios = [turn[name] / turn[row.base] for turn in turns]
        low, middle, high = statistics.quantiles(ratios, n=4)
        goal = "≥ 8" if name == TORCH else f"≤ {row.goal}" if row.goal else ""
        print(f"{name:18} {middle:6.2f} {low:6.2f}–{high:<5.2f}  {row.base:16}  {goal}".rstrip())


if __name__ == "__main__":
    main()
