"""Write samples/class/answers.csv: nine people's answers to the exercise beside it.

    lstm-step exercise --seed 7 --save samples/class/exercise.json
    python samples/make/class_answers.py

Needs Python alone, and nothing of the package: right numbers and wrong ones are computed here, in
scalar loops. The people are made up; their mistakes are not.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

CLASS = Path(__file__).resolve().parents[1] / "class"
EXERCISE = json.loads((CLASS / "exercise.json").read_text())
X, H, C = EXERCISE["x"][0], EXERCISE["h"][0], EXERCISE["c"][0]
UNITS = range(len(C))
Made = dict[str, list[float]]


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def gate(k: str, joined: list[float], *, outside: bool = False) -> list[float]:
    """Return a gate on joined numbers; `outside` adds its bias after the activation."""
    squash = math.tanh if k == "g" else sigmoid
    W, b = EXERCISE["weights"][f"W_{k}"], EXERCISE["weights"][f"b_{k}"]
    z = [sum(w * v for w, v in zip(W[j], joined, strict=True)) for j in UNITS]
    return [squash(z[j]) + b[j] if outside else squash(z[j] + b[j]) for j in UNITS]


def step(
    joined: list[float], *, outside: bool = False, shown: Callable[[float], float] = math.tanh
) -> Made:
    return rest({k: gate(k, joined, outside=outside) for k in "figo"}, shown)


def rest(gates: Made, shown: Callable[[float], float] = math.tanh) -> Made:
    """Return gates with the c and h that follow from them."""
    f, i, g, o = (gates[k] for k in "figo")
    c = [f[j] * C[j] + i[j] * g[j] for j in UNITS]
    return {**gates, "c": c, "h": [o[j] * shown(c[j]) for j in UNITS]}


def row(name: str, made: Made, digits: int = 4, decimal: str = ".") -> list[str]:
    numbers = [f"{made[k][j]:.{digits}f}" if k in made else "" for k in "figoch" for j in UNITS]
    return [name, *(each.replace(".", decimal) for each in numbers)]


def main() -> None:
    right = step(H + X)
    slip = rest({**{k: right[k] for k in "igo"}, "f": [-right["f"][0], right["f"][1]]})
    rows = [
        row("Ada", right),
        row("Ben", right, 3, ","),
        row("Cleo", step(H + X, shown=lambda c: c)),
        row("Dan", step(H + X, outside=True)),
        row("Eva", slip),
        row("Finn", step(X + H), 3),
        row("Gia", {k: right[k] for k in "figo"}, 2),
        row("Hugo", {k: [0.5] * len(C) for k in "figoch"}, 1),
        row("Cem", step(H + X, shown=lambda c: c), 3),
    ]
    with (CLASS / "answers.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["name", *(f"{k}_{j}" for k in "figoch" for j in UNITS)])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
