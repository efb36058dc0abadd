"""What a start of `lstm-step` costs, as a ratio to `python -c "import numpy"`, in one run.

    python benchmarks/startup.py [--runs 15]

Machines are noisy: commands take turns (A B C A B C …), and medians of the ratios within each
turn are printed, with their quartiles. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

STEP = ["--h", "0,0.5,0.1,0.2,0.6", "--x", "-0.1,0.3,0.1,-0.25,0.1"]
TOOL = [sys.executable, "-m", "lstm_cli"]
BASE = "import numpy"
COMMANDS: dict[str, tuple[list[str], float | None]] = {
    BASE: ([sys.executable, "-c", "import numpy"], None),
    "pass": ([sys.executable, "-c", "pass"], None),
    "--version": ([*TOOL, "--version"], None),
    "--help": ([*TOOL, "--help"], None),
    "one step, --json": ([*TOOL, *STEP, "--json"], 1.6),
    "one step, table": ([*TOOL, *STEP, "-f", "table"], 2.0),
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    turns = [{name: seconds(command) for name, (command, _) in COMMANDS.items()}
             for _ in range(runs + 1)][1:]  # fmt: skip
    base = statistics.median(turn[BASE] for turn in turns)
    print(f"{BASE}: median {1000 * base:.0f} ms over {runs} turns\n")
    print(f"{'command':20} {'ratio':>6} {'quartiles':>13}  goal")
    for name, (_, goal) in COMMANDS.items():
        ratios = [turn[name] / turn[BASE] for turn in turns]
        low, middle, high = statistics.quantiles(ratios, n=4)
        wanted = f"≤ {goal}" if goal else ""
        print(f"{name:20} {middle:6.2f} {low:6.2f}–{high:.2f}   {wanted}")


if __name__ == "__main__":
    main()
