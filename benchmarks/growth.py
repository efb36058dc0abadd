"""How time grows: everybody's seconds a step against steps T, samples N and units H; I = H."""

from __future__ import annotations

from benchmarks.common import Record, Settings, part, say, times_of, turns
from benchmarks.peers import Row, absent, contenders, make_case, present

AXES = {
    "T": tuple(Row(steps, 1, 64, 64, "float32") for steps in (1, 10, 100, 1000, 10_000)),
    "N": tuple(Row(10, samples, 64, 64, "float32") for samples in (1, 8, 64, 512, 4096)),
    "H": tuple(Row(50, 1, units, units, "float32") for units in (4, 16, 64, 256, 1024)),
}
SMALL_AXES = {
    "T": tuple(Row(steps, 1, 4, 4, "float32") for steps in (1, 10)),
    "N": tuple(Row(3, samples, 4, 4, "float32") for samples in (1, 8)),
    "H": tuple(Row(3, 1, units, units, "float32") for units in (3, 6)),
}
# A line needs fewer than a ratio.
MOST_ROUNDS = 5


def rounds_of(settings: Settings) -> int:
    return min(settings.rounds, MOST_ROUNDS)


def measure(settings: Settings) -> Record:
    axes = SMALL_AXES if settings.small else AXES
    found = {}
    for axis, rows in axes.items():
        say(f"time against {axis}")
        found[axis] = [measure_row(row, settings) for row in rows]
    return {"absent": absent(), "rounds": rounds_of(settings), "axes": found}


def measure_row(row: Row, settings: Settings) -> Record:
    works = contenders(make_case(row), present())
    rounds = turns(works, rounds_of(settings), settings.clock)
    each = [{name: took / row.steps for name, took in turn.items()} for turn in rounds]
    return {
        "sizes": [row.steps, row.samples, row.inputs, row.hidden],
        "dtype": row.dtype,
        "seconds a step": times_of(each),
    }


if __name__ == "__main__":
    part(measure)
