"""The second witness: an LSTM in scalar loops, with no numpy and nothing of the package.

Written from the papers and the frameworks' documentation, independently of `lstm_cli.cell.cells`, so
that a wrong table cannot be wrong everywhere in agreement. Gates are told by letters, weights are
W[k] on x, U[k] on h_prev, b[k]; p[k] peepholes; W_hr a projection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Vector = list[float]
Matrix = list[list[float]]


def logistic(z: float) -> float:
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    grown = math.exp(z)
    return grown / (1.0 + grown)


def clamp(value: float, limit: float | None) -> float:
    return value if limit is None else max(-limit, min(limit, value))


ACTIVATIONS: dict[str, Callable[..., float]] = {
    "sigmoid": logistic,
    "tanh": math.tanh,
    "relu": lambda z: max(0.0, z),
    "affine": lambda z, a=1.0, b=0.0: a * z + b,
    "leaky_relu": lambda z, a=0.01: z if z >= 0 else a * z,
    "thresholded_relu": lambda z, a=1.0: z if z > a else 0.0,
    "scaled_tanh": lambda z, a=1.0, b=1.0: a * math.tanh(b * z),
    "hard_sigmoid": lambda z, a=0.2, b=0.5: max(0.0, min(1.0, a * z + b)),
    "hard_sigmoid_6": lambda z: max(0.0, min(6.0, z + 3.0)) / 6.0,
    "elu": lambda z, a=1.0: z if z >= 0 else a * (math.exp(z) - 1.0),
    "softsign": lambda z: z / (1.0 + abs(z)),
    "softplus": lambda z: math.log(1.0 + math.exp(z)),
}


def activation(text: str) -> Callable[[float], float]:
    name, _, rest = text.partition("(")
    constants = [float(part) for part in rest.rstrip(")").split(",")] if rest else []
    return lambda z: ACTIVATIONS[name](z, *constants)


@dataclass
class Witness:
    W: dict[str, Matrix]
    U: dict[str, Matrix]
    b: dict[str, Vector]
    p: dict[str, Vector] = field(default_factory=dict)
    W_hr: Matrix | None = None
    coupled: str = ""  # "forget": f = 1 - i; "input": i = 1 - f
    gate: str = "sigmoid"
    candidate: str = "tanh"
    output: str = "tanh"
    clip: float | None = None
    cell_clip: float | None = None
    forget_bias: float = 0.0

    def step(self, x: Vector, h: Vector, c: Vector) -> dict[str, Vector]:
        """One step; returns every gate and state."""
        units = range(len(c))
        gate, candidate, output = map(activation, (self.gate, self.candidate, self.output))
        made: dict[str, Vector] = {k: [] for k in "figoch"}
        for j in units:
            if self.coupled != "forget":
                z = self.pre("f", j, x, h, c) + self.forget_bias
                f = gate(clamp(z, self.clip))
            if self.coupled != "input":
                i = gate(clamp(self.pre("i", j, x, h, c), self.clip))
            if self.coupled == "forget":
                f = 1.0 - i
            if self.coupled == "input":
                i = 1.0 - f
            g = candidate(clamp(self.pre("g", j, x, h, None), self.clip))
            new = clamp(f * c[j] + i * g, self.cell_clip)
            made["f"].append(f)
            made["i"].append(i)
            made["g"].append(g)
            made["c"].append(new)
        for j in units:
            o = gate(clamp(self.pre("o", j, x, h, made["c"]), self.clip))
            made["o"].append(o)
        shown = [made["o"][j] * output(made["c"][j]) for j in units]
        made["h"] = shown if self.W_hr is None else [dot(row, shown) for row in self.W_hr]
        return made

    def pre(self, k: str, j: int, x: Vector, h: Vector, c: Vector | None) -> float:
        z = dot(self.W[k][j], x) + dot(self.U[k][j], h) + self.b[k][j]
        if k in self.p and c is not None:
            z += self.p[k][j] * c[j]
        return z

    def run(self, xs: Sequence[Vector], h: Vector, c: Vector) -> list[dict[str, Vector]]:
        """Run a sequence; returns each step's gates and states."""
        steps = []
        for x in xs:
            made = self.step(x, h, c)
            h, c = made["h"], made["c"]
            steps.append(made)
        return steps


def dot(row: Vector, column: Vector) -> float:
    assert len(row) == len(column)
    return math.fsum(a * b for a, b in zip(row, column, strict=True))
