"""Cases with known answers: goldens of other projects, and runs of the second witness."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.cells import (
    Cell,
    cell_named,
    with_activations,
    with_cell_clip,
    with_clip,
    with_forget_bias,
)
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.engine.run import Trace, run
from tests.conftest import random_inputs, random_weights
from tests.witness import Witness

GOLDEN = Path(__file__).parent / "golden"
# A table of nobody's: joins in joins, divisions, a vector in two rows, a row that nothing reads.
OWN_TABLE = """
q = sigmoid(b_q)
n = W_n @ [tanh(U_x @ x), h_prev / (1 + abs(c_prev)), x]
m = max(n, q) * exp(-n) + p_m * min(c_prev, n)
dead = softplus(n)
c = q * c_prev + (1 - q) * m
k = tanh(W_k @ (0.5 + 0 * c))
h = tanh(W_c @ [c, [m, c]]) * k - 0.5 * softsign(c)
"""


@dataclass(frozen=True, eq=False)
class Case:
    """Weights of one or more layers, inputs, states, and what must come out."""

    id: str
    cell: Cell
    layers: tuple[Mapping[str, Mapping[str, Array]], ...]
    x: Array
    h: Array | None
    c: Array | None
    expected: Mapping[str, Array]
    atol: float

    def model(self, cell: Cell | None = None) -> Model:
        """Return the model, with another cell in place of the case's own if one is given."""
        stack = tuple(
            Layer(
                {d: LstmWeights(cell or self.cell, arrays, self.id) for d, arrays in each.items()}
            )
            for each in self.layers
        )
        return Model(stack)

    def run(self, cell: Cell | None = None) -> Trace:
        """Run the case."""
        return run(self.model(cell), self.x, self.h, self.c)

    def difference(self, trace: Trace) -> float:
        """Return the largest difference from what is expected; inf where shapes differ."""
        return max(
            float(np.max(np.abs(_got(trace, symbol) - value), initial=0.0))
            if _got(trace, symbol).shape == value.shape
            else np.inf
            for symbol, value in self.expected.items()
        )

    def with_arrays(self, change: Any) -> Case:
        """Return the case with each direction's arrays passed through `change`."""
        layers = tuple({d: change(dict(arrays)) for d, arrays in e.items()} for e in self.layers)
        return replace(self, layers=layers)


def _got(trace: Trace, symbol: str) -> Array:
    own = {"output": trace.output, "h": trace.h, "c": trace.c}
    return own[symbol] if symbol in own else trace[symbol]


def golden_cases() -> list[Case]:
    """Return every committed golden case; an empty folder is an error."""
    cases = []
    for path in sorted(GOLDEN.glob("*.json")):
        document = json.loads(path.read_text())
        cases += [_golden(case, f"{path.stem}/{case['id']}") for case in document["cases"]]
    assert len(cases) > 40, "the golden files are gone"
    return cases


def _golden(case: Mapping[str, Any], name: str) -> Case:
    cell = cell_named(case["cell"])
    if case["activations"]:
        gate, candidate, output = case["activations"]
        cell = with_activations(cell, gate=gate, candidate=candidate, output=output)
    if case["clip"]:
        cell = with_clip(cell, case["clip"])
    if case["cell_clip"]:
        cell = with_cell_clip(cell, case["cell_clip"])
    layers = tuple(
        {each["direction"]: _arrays(cell, each) for each in layer} for layer in case["layers"]
    )
    states = (None if case[key] is None else np.array(case[key]) for key in ("h0", "c0"))
    expected = {key: np.array(value) for key, value in case["expected"].items()}
    return Case(name, cell, layers, np.array(case["x"]), *states, expected, case["atol"])


def _arrays(cell: Cell, raw: Mapping[str, Any]) -> dict[str, Array]:
    """Cut the stacks of a golden file in its own order; apart from the package's `unpack`."""
    order, count = raw["order"], len(raw["order"])
    W, U, b = np.array(raw["W"]), np.array(raw["U"]), np.array(raw["b_W"])
    if raw["b_U"] is not None:
        b = b + np.array(raw["b_U"])
    size = len(W) // count
    arrays: dict[str, Array] = {}
    for place, k in enumerate(order):
        rows = slice(place * size, (place + 1) * size)
        arrays[f"W_{k}"] = np.hstack([U[rows], W[rows]])
        arrays[f"b_{k}"] = b[rows]
    for place, k in enumerate(raw["p_order"] or ""):
        arrays[f"p_{k}"] = np.array(raw["p"])[place * size : (place + 1) * size]
    if raw["W_hr"] is not None:
        arrays["W_hr"] = np.array(raw["W_hr"])
    # A coupled cell has no use for the rows of the gate that it lacks; a file may hold them.
    return {name: array for name, array in arrays.items() if name in cell.parameters}


WITNESS_SPECS: dict[str, dict[str, Any]] = {
    "lstm": {},
    "peephole": {},
    "coupled-forget": {"coupled": "forget"},
    "coupled-input": {"coupled": "input"},
    "projection": {},
    "hard-sigmoid": {"gate": "hard_sigmoid"},
    "hard-sigmoid-6": {"gate": "hard_sigmoid_6"},
    "peephole+projection": {},
    "coupled-forget+peephole": {"coupled": "forget"},
    "clip": {"clip": 0.6},
    "cell-clip": {"cell_clip": 0.5},
    "peephole+clip+cell-clip": {"clip": 0.7, "cell_clip": 0.4},
    "forget-bias": {"forget_bias": 1.0},
    "forget-bias-negative": {"forget_bias": -0.7},
    "activations": {
        "gate": "hard_sigmoid(0.3, 0.4)",
        "candidate": "scaled_tanh(1.7, 0.6)",
        "output": "softsign",
    },
    "activations-relu": {"gate": "sigmoid", "candidate": "leaky_relu(0.2)", "output": "elu(0.7)"},
    "activations-affine": {
        "gate": "affine(0.25, 0.45)", "candidate": "thresholded_relu(0.1)", "output": "softplus",
    },
    "activations-plain": {"gate": "relu", "candidate": "softplus", "output": "affine(0.8, 0.15)"},
    "activations-rest": {"gate": "softsign", "candidate": "tanh", "output": "relu"},
}  # fmt: skip


def spec_cell(name: str) -> Cell:
    """Return the cell of a witness spec."""
    spec = WITNESS_SPECS[name]
    base = "+".join(part for part in name.split("+") if part in _VARIANT_NAMES)
    cell = cell_named(base or "lstm")
    if name.startswith("activations"):
        cell = with_activations(cell, **{k: spec[k] for k in ("gate", "candidate", "output")})
    if "forget_bias" in spec:
        cell = with_forget_bias(cell, spec["forget_bias"])
    if "clip" in spec:
        cell = with_clip(cell, spec["clip"])
    if "cell_clip" in spec:
        cell = with_cell_clip(cell, spec["cell_clip"])
    return cell


_VARIANT_NAMES = (
    "peephole", "coupled-forget", "coupled-input", "projection", "hard-sigmoid", "hard-sigmoid-6",
)  # fmt: skip


def witness_case(name: str, steps: int = 12, seed: int = 3) -> Case:
    """Return a case whose answer the second witness gives, all values distinct and non-zero."""
    cell = spec_cell(name)
    weights = random_weights(cell, seed=seed)
    x, h, c = random_inputs(weights, steps, seed=seed + 1)
    witness = as_witness(weights, **WITNESS_SPECS[name])
    made = witness.run(x.tolist(), h.tolist(), c.tolist())
    expected = {k: np.array([each[k] for each in made]) for k in "figo"}
    expected["output"] = np.array([each["h"] for each in made])
    expected["c"] = np.array(made[-1]["c"])
    return Case(f"witness/{name}", cell, ({"forward": weights.arrays},), x, h, c, expected, 1e-13)


def as_witness(weights: LstmWeights, **spec: Any) -> Witness:
    """Return the same weights in the witness's own form."""
    wide = weights.output_size
    arrays = weights.arrays
    gates = [k for k in "figo" if f"W_{k}" in arrays]
    return Witness(
        W={k: arrays[f"W_{k}"][:, wide:].tolist() for k in gates},
        U={k: arrays[f"W_{k}"][:, :wide].tolist() for k in gates},
        b={k: arrays[f"b_{k}"].tolist() for k in gates},
        p={k: arrays[f"p_{k}"].tolist() for k in gates if f"p_{k}" in arrays},
        W_hr=arrays["W_hr"].tolist() if "W_hr" in arrays else None,
        **spec,
    )
