"""How long a search for mistakes takes: 128 units, 50 steps, one and two departures.

    python benchmarks/diagnose.py

Prints seconds, and the ratio to one plain run of the same layer; numbers that no reading fits, so
that all of them are tried. Set OPENBLAS_NUM_THREADS=1, as the command does for itself.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402 - after the number of its threads is set

from lstm_cli import LstmWeights, Model, diagnose, read_cell, run  # noqa: E402

HIDDEN, STEPS = 128, 50


def model() -> Model:
    rng = np.random.default_rng(1)
    bound = HIDDEN**-0.5
    cell = read_cell("lstm")
    arrays = {f"W_{k}": rng.uniform(-bound, bound, (HIDDEN, 2 * HIDDEN)) for k in "figo"}
    second = {k: rng.uniform(-bound, bound, HIDDEN) for k in "figo"}
    arrays |= {f"b_{k}": rng.uniform(-bound, bound, HIDDEN) + second[k] for k in "figo"}
    return Model.single(LstmWeights(cell, arrays, "random", second))


def seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    rng = np.random.default_rng(2)
    layer, x = model(), rng.uniform(-1, 1, (STEPS, HIDDEN))
    trace = run(layer, x)
    plain = seconds(lambda: run(layer, x), 5)
    print(f"one run: {plain * 1e3:.0f} ms")
    told = {"the last h": {"h": rng.normal(size=HIDDEN)},
            "every h": {"output": rng.normal(size=(STEPS, HIDDEN))}}  # fmt: skip
    for what, numbers in told.items():
        for departures in (1, 2):
            found = diagnose(trace, numbers, departures=departures)
            took = seconds(lambda n=numbers, d=departures: diagnose(trace, n, departures=d), 3)  # type: ignore[misc] # the loop's own values
            print(
                f"{what}, {departures} departure{'s' * (departures > 1)}: {found.tried} readings, "
                f"{took:.2f} s, {took / plain:.0f} runs' time"
            )


if __name__ == "__main__":
    main()
