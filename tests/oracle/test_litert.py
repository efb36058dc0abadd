"""LiteRT (TensorFlow Lite), live: the fused LSTMs of tests/files on new inputs and states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.oracle
interpreters = pytest.importorskip("ai_edge_litert.interpreter")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

from lstm_cli.base.arrays import Array  # noqa: E402
from lstm_cli.formats.read import read_weights  # noqa: E402
from tests.oracle.compare import Case, Theirs, assert_same, draw, named  # noqa: E402

ATOL = 2e-6
FILES = Path(__file__).parent.parent / "files"
ONE_WAY, BOTH_WAYS, ONE_STEP = 44, 52, 16
CASES = sorted(
    path for path in FILES.glob("*.json")
    if '"tflite"' in path.read_text() and json.loads(path.read_text()).get("expected")
)  # fmt: skip


class Fused:
    """A fused LSTM in a file: its operator's tensors, and an interpreter to run it."""

    def __init__(self, path: Path, layer: str) -> None:
        model = schema.ModelT.InitFromPackedBuf(bytearray(path.read_bytes()), 0)
        self.graph = model.subgraphs[0]
        codes = [max(each.builtinCode, each.deprecatedBuiltinCode) for each in model.operatorCodes]
        self.kind, self.operator = next(
            (codes[each.opcodeIndex], each)
            for each in self.graph.operators
            if codes[each.opcodeIndex] in (ONE_WAY, BOTH_WAYS, ONE_STEP)
            and (layer in ("lstm", self._name(each.outputs[0])))
        )
        self.interpreter = interpreters.Interpreter(
            str(path), experimental_preserve_all_tensors=True
        )
        self.interpreter.allocate_tensors()

    def _name(self, tensor: int) -> str:
        return str(self.graph.tensors[tensor].name.decode())

    @property
    def basic(self) -> bool:
        """Whether it is the operator of five inputs, which is handed h and c."""
        return self.kind == ONE_STEP and len(self.operator.inputs) == 5

    @property
    def states(self) -> list[int]:
        """The tensors of h and c, direction by direction."""
        if self.basic:
            return [self.operator.inputs[1], self.operator.inputs[4]]
        first = 35 if self.kind == BOTH_WAYS else 18
        count = 4 if self.kind == BOTH_WAYS else 2
        return [int(each) for each in self.operator.inputs[first : first + count]]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape."""
        return tuple(int(size) for size in self.graph.tensors[tensor].shape)

    def run(self, x: Array, states: list[Array]) -> list[Array]:
        """Return the values of every tensor after a run; a tensor of its own for each index."""
        self.interpreter.set_tensor(int(self.graph.inputs[0]), x)
        for where, value in zip(self.states, states, strict=True):
            self.interpreter.set_tensor(int(where), value)
        self.interpreter.invoke()
        return [self._value(index) for index in range(len(self.graph.tensors))]

    def _value(self, index: int) -> Array:
        try:
            return np.array(self.interpreter.get_tensor(index))
        except ValueError:  # a tensor that this operator leaves out
            return np.zeros(0)


@pytest.mark.parametrize("seed", [100, 200])
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_fused_lstm(path: Path, seed: int) -> None:
    """Each operator and variant (peepholes, projection, CIFG, clip, int8, …), from new numbers."""
    golden: dict[str, Any] = json.loads(path.read_text())
    fused = Fused(FILES / golden["file"], golden["layer"])
    x = draw(seed, *fused.shape(int(fused.graph.inputs[0])), dtype=np.float32)
    states = [
        draw(seed + 1 + k, *fused.shape(where), dtype=np.float32, scale=1.5 if k % 2 else 1.0)
        for k, where in enumerate(fused.states)
    ]
    values = fused.run(x, states)
    seen = values[fused.operator.inputs[0]]  # the operator's own input, in its own order of axes
    outputs = [values[each] for each in fused.operator.outputs[: 2 if len(states) == 4 else 1]]
    ends = (
        [values[each] for each in fused.operator.outputs[:2]] if fused.basic
        else [values[each] for each in fused.states]
    )  # fmt: skip
    gates: dict[str, Array] = {}
    if fused.kind == ONE_STEP:
        seen, outputs = seen[:, None], [each[:, None] for each in outputs]
    elif fused.operator.builtinOptions.timeMajor:
        seen, outputs = seen.transpose(1, 0, 2), [each.transpose(1, 0, 2) for each in outputs]
    if fused.basic:
        # The operator hands out the pre-activations of its gates: i, g, f, o.
        stacked = np.split(values[fused.operator.outputs[3]][:, None], 4, axis=-1)
        gates = {f"z_{k}": z for k, z in zip("igfo", stacked, strict=True)}
    model = read_weights(FILES / golden["file"], lstm=golden["layer"])
    assert model.convention == "tflite"
    if model.runs[0][1] == "backward":  # its x arrives reversed: our values are in input time
        seen, outputs = seen[:, ::-1], [each[:, ::-1] for each in outputs]
    case = Case(seen, np.stack(states[0::2]), np.stack(states[1::2]))
    theirs = Theirs(
        np.concatenate(outputs, axis=-1), np.stack(ends[0::2]), np.stack(ends[1::2]), gates
    )
    assert_same(case.run(model), theirs, ATOL, named("ai-edge-litert"))
