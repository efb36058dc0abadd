"""What the tests of the ONNX and TensorFlow Lite readers share: golden files, and a second opinion.

A block is turned into the scalar witness of `tests/witness.py`, so that the numbers of a file are
checked without the package's own engine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.formats.contents import Block, Part
from tests.witness import Witness

FILES = Path(__file__).parents[1] / "files"


def golden(name: str) -> dict[str, Any]:
    """Return what another program computed from a file."""
    record: dict[str, Any] = json.loads((FILES / f"{name}.json").read_text())
    return record


def goldens(convention: str) -> list[str]:
    """Return the names of all golden files of a convention."""
    records = {path.stem: golden(path.stem) for path in sorted(FILES.glob("*.json"))}
    return [name for name, record in records.items() if record.get("convention") == convention]


def gate_arrays(convention: str, part: Part) -> dict[str, Any]:
    """Return W, U, b, p by gate letter, from the keys of a part."""
    t = part.tensors
    if convention == "tflite":
        made: dict[str, Any] = {
            kind: {key[-1]: t[key] for key in t if key[0] == kind and len(key) == 3}
            for kind in ("W", "U", "b", "p")
        }
        return made
    zeros = np.zeros(2 * len(t["W"]))
    x_bias, h_bias = np.split(np.asarray(t.get("B", zeros), dtype=float), 2)

    def cut(stack: Array, gates: str) -> dict[str, Array]:
        return dict(zip(gates, np.split(stack, len(gates)), strict=True))

    return {
        "W": cut(t["W"], "iofg"),
        "U": cut(t["R"], "iofg"),
        "b": cut(x_bias + h_bias, "iofg"),
        "p": cut(t["P"], "iof") if "P" in t else {},
    }


@dataclass
class Projected(Witness):
    """The witness with a bias on its projection, which only TensorFlow Lite has."""

    b_hr: list[float] = field(default_factory=list)

    def step(self, x: list[float], h: list[float], c: list[float]) -> dict[str, list[float]]:
        """One step, the bias added to h."""
        made = super().step(x, h, c)
        biases = self.b_hr or [0.0] * len(made["h"])
        return made | {"h": [a + b for a, b in zip(made["h"], biases, strict=True)]}


def witness(convention: str, part: Part) -> Witness:
    """Return the scalar LSTM of one direction of a block."""
    arrays = {
        kind: {gate: np.asarray(each, dtype=float).tolist() for gate, each in gates.items()}
        for kind, gates in gate_arrays(convention, part).items()
    }
    gate, candidate, output = part.variant.activations or ("sigmoid", "tanh", "tanh")
    projected = part.tensors.get("W_hr")
    return Projected(
        arrays["W"], arrays["U"], arrays["b"], arrays["p"],
        W_hr=None if projected is None else np.asarray(projected, dtype=float).tolist(),
        coupled=part.variant.cells[0].removeprefix("coupled-") if part.variant.cells else "",
        gate=gate, candidate=candidate, output=output,
        clip=part.variant.clip or None, cell_clip=part.variant.cell_clip or None,
        b_hr=np.asarray(part.tensors.get("b_hr", []), dtype=float).tolist(),
    )  # fmt: skip


def run(block: Block, record: dict[str, Any]) -> dict[str, Array]:
    """Return output (N, T, D·P), h (N, D·P) and c (N, D·H) of a block on a golden file's inputs."""
    made: dict[str, list[Array]] = {"output": [], "h": [], "c": []}
    for number, (direction, part) in enumerate(block.parts.items()):
        cell = witness(block.convention, part)
        rows: dict[str, list[Any]] = {"output": [], "h": [], "c": []}
        for sample, xs in enumerate(record["x"]):
            steps = cell.run(
                xs[::-1] if direction == "backward" else xs,
                record["h0"][number][sample],
                record["c0"][number][sample],
            )
            outputs = [step["h"] for step in steps]
            rows["output"].append(outputs[::-1] if direction == "backward" else outputs)
            rows["h"].append(outputs[-1])
            rows["c"].append(steps[-1]["c"])
        for key, each in rows.items():
            made[key].append(np.array(each))
    return {key: np.concatenate(each, axis=-1) for key, each in made.items()}


def assert_golden(block: Block, record: dict[str, Any]) -> None:
    """Check a block's output and final states against another program's."""
    for key, got in run(block, record).items():
        np.testing.assert_allclose(
            got, np.array(record["expected"][key]), rtol=0, atol=record["atol"], err_msg=key
        )
