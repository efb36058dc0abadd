"""Write samples/threads/: real threads about numbers that were wrong, each with the right model.

    python samples/make/threads.py

Needs Python alone, and nothing of the package. `expected` is what the person in the thread had, or
would have had with these weights, to 6 decimals; weights, convention and states are the right
model's, so `lstm-step batch samples/threads/ --check` finds all of them to differ. The threads
give the mistakes; the weights are made up here, but for the numbers of the question.
"""

from __future__ import annotations

import json
import math
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

THREADS = Path(__file__).resolve().parents[1] / "threads"
DIGITS, ATOL = 6, 1e-6

Vector = list[float]
Matrix = list[Vector]


@dataclass(frozen=True)
class Gate:
    """One gate: W meets x, U meets h; of two biases the first stands beside W."""

    W: Matrix
    U: Matrix
    b_x: Vector
    b_h: Vector


Gates = dict[str, Gate]  # by letter: i, f, g, o


# ---- the LSTM, and the ways in which it was wrong


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def hard_sigmoid(z: float) -> float:
    return max(0.0, min(1.0, 0.2 * z + 0.5))


def cut(limit: float, z: float) -> float:
    return max(-limit, min(limit, z))


def unchanged(z: float) -> float:
    return z


@dataclass(frozen=True)
class Program:
    """An LSTM program by its parts; `Program()` is right for a model without settings."""

    squash: Callable[[float], float] = sigmoid
    show: Callable[[float], float] = math.tanh  # between c and h
    write: Callable[[float, float], float] = operator.mul  # of i and g
    clip: float = math.inf
    forget_bias: float = 0.0
    after_sigmoid: float = 0.0
    biases: tuple[float, float] = (1, 1)  # how often the one beside W and the one beside U count
    bias_outside: bool = False
    keeps_state: bool = True

    def run(self, gates: Gates, xs: Matrix, h: Vector, c: Vector) -> list[dict[str, Vector]]:
        """Return the gates and states of each step."""
        steps = []
        for x in xs:
            steps.append(self.step(gates, x, h, c))
            h, c = (steps[-1][key] if self.keeps_state else [0.0] * len(c) for key in "hc")
        return steps

    def step(self, gates: Gates, x: Vector, h: Vector, c: Vector) -> dict[str, Vector]:
        """Return the gates and states of one step."""
        units = range(len(c))
        made = {k: [self.unit(k, gates[k], j, x, h) for j in units] for k in "figo"}
        f, i, g, o = made.values()
        made["c"] = [f[j] * c[j] + self.write(i[j], g[j]) for j in units]
        made["h"] = [o[j] * self.show(made["c"][j]) for j in units]
        return made

    def unit(self, k: str, gate: Gate, j: int, x: Vector, h: Vector) -> float:
        """Return one unit of one gate."""
        bias = self.biases[0] * gate.b_x[j] + self.biases[1] * gate.b_h[j]
        z = dot(gate.W[j], x) + dot(gate.U[j], h) + (0.0 if self.bias_outside else bias)
        z = cut(self.clip, z + (self.forget_bias if k == "f" else 0.0))
        value = math.tanh(z) if k == "g" else self.squash(z)
        value += bias if self.bias_outside else 0.0
        return value + (self.after_sigmoid if k == "f" else 0.0)


def dot(row: Vector, column: Vector) -> float:
    return sum(a * b for a, b in zip(row, column, strict=True))


# ---- numbers


class Draw:
    """Hands out numbers of two digits, none of them zero, a vector's all different."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def vector(self, size: int, largest: float = 0.95) -> Vector:
        """Return numbers of either sign, from 0.05 to the largest in size."""
        top = round(100 * largest)
        sizes = self.chance.sample(range(5, top + 1), size)
        return [self.chance.choice((-1, 1)) * each / 100 for each in sizes]

    def matrix(self, rows: int, columns: int, largest: float = 0.95) -> Matrix:
        """Return rows of numbers."""
        return [self.vector(columns, largest) for _ in range(rows)]

    def gates(self, inputs: int, hidden: int, biases: int = 1) -> Gates:
        """Return four gates with one bias each, or with two."""
        return {
            k: Gate(
                self.matrix(hidden, inputs), self.matrix(hidden, hidden), self.vector(hidden),
                self.vector(hidden) if biases == 2 else [0.0] * hidden,
            )
            for k in "ifgo"
        }  # fmt: skip


# ---- layouts


def joined(gates: Gates, order: str) -> dict[str, Any]:
    """A matrix a gate on [h, x] or [x, h]."""

    def rows(gate: Gate) -> Matrix:
        pairs = zip(gate.W, gate.U, strict=True)
        return [u + w if order == "hx" else w + u for w, u in pairs]

    return {f"W_{k}": rows(gate) for k, gate in gates.items()} | {
        f"b_{k}": gate.b_x for k, gate in gates.items()
    }


def rows_of(gates: Gates, order: str) -> tuple[Matrix, Matrix, Vector, Vector]:
    """Stacks of rows: W, U and the two biases, the gates in an order."""
    stacks: tuple[list[Any], ...] = ([], [], [], [])
    for k in order:
        parts = (gates[k].W, gates[k].U, gates[k].b_x, gates[k].b_h)
        for stack, part in zip(stacks, parts, strict=True):
            stack += part
    return stacks  # type: ignore[return-value] # four, as written


def onnx(gates: Gates) -> dict[str, Any]:
    W, R, b_x, b_h = rows_of(gates, "iofg")
    return {"W": [W], "R": [R], "B": [b_x + b_h]}


def pytorch_cell(gates: Gates) -> dict[str, Any]:
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return dict(zip(names, rows_of(gates, "ifgo"), strict=True))


def columns(gates: Gates, order: str, names: tuple[str, str, str]) -> dict[str, Any]:
    """Stacks of columns for x and for h, and a bias."""
    W, U, bias, _ = rows_of(gates, order)
    return dict(zip(names, (turned(W), turned(U), bias), strict=True))


def turned(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def tf1_block(gates: Gates) -> dict[str, Any]:
    """One matrix of columns on [x, h]."""
    W, U, bias, _ = rows_of(gates, "igfo")
    return {"kernel": turned(W) + turned(U), "bias": bias}


def onnx_as_pytorch(gates: Gates) -> Gates:
    """Each gate from the place in ONNX's stacks where PyTorch has it."""
    return {theirs: gates[k] for theirs, k in zip("ifgo", "iofg", strict=True)}


# ---- the threads


@dataclass(frozen=True)
class Thread:
    """A thread: the model as it should be, and what was computed.

    Attributes:
        id: the file's name.
        note: what happened, and where.
        gates: the model's own.
        weights: the same in the layout of the thread's framework.
        convention: that layout's name.
        x, h, c: input and states.
        shows: what the person had: symbols of the last step, or "output" for h of all.
        wrong: the program that gave it.
        misread: the gates that it used, where they are not the model's.
        right: the program as it should be.
        settings: what a sample must say besides.
    """

    id: str
    note: str
    gates: Gates
    weights: dict[str, Any]
    convention: str
    x: Matrix
    h: Vector
    c: Vector
    shows: str
    wrong: Program
    misread: Gates | None = None
    right: Program = Program()
    settings: tuple[tuple[str, float], ...] = ()

    def answer(self, right: bool) -> dict[str, Any]:
        """Return what comes out of the right program, or of the wrong one."""
        gates = self.gates if right or self.misread is None else self.misread
        steps = (self.right if right else self.wrong).run(gates, self.x, self.h, self.c)
        return {
            symbol: [step["h"] for step in steps] if symbol == "output" else steps[-1][symbol]
            for symbol in self.shows.split()
        }

    def sample(self) -> dict[str, Any]:
        """Return the thread as a sample, with the wrong numbers as expected."""
        return {
            "id": self.id,
            "note": self.note,
            "x": self.x if len(self.x) > 1 else self.x[0],
            "h": self.h,
            "c": self.c,
            "weights": self.weights,
            "convention": self.convention,
            **dict(self.settings),
            "expected": rounded(self.answer(right=False)),
            "atol": ATOL,
        }


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else round(value, DIGITS)


def question_bias_outside() -> Thread:
    draw, h = Draw(14), [0, 0.5, 0.1, 0.2, 0.6]
    eye = [[int(row == column) for column in range(5)] for row in range(5)]
    gates = {k: Gate(eye, eye, draw.vector(5, 0.5), [0.0] * 5) for k in "figo"}
    return Thread(
        "question-bias-outside",
        "Stack Overflow, 'Understanding LSTM through example': the answer writes every bias "
        "outside its function, as in f = sigmoid(W_f [h, x]) + b_f. The question's biases are "
        "zero, so it does not show there. Here are the question's h, x and identity weights with "
        "biases that are not zero, a cell state, and numbers by the answer's equations: two of the "
        "forget gates are above 1.",
        gates, joined(gates, "hx"), "joined",
        [[-0.1, 0.3, 0.1, -0.25, 0.1]], h, draw.vector(5), "f h", Program(bias_outside=True),
    )  # fmt: skip


def tvm_forget_bias() -> Thread:
    draw = Draw(2)
    gates = draw.gates(3, 2)
    return Thread(
        "tvm-forget-bias",
        "apache/tvm pull 3410: TVM's converter of TensorFlow's LSTMBlockCell added the forget bias "
        "after the sigmoid, f = sigmoid(z_f) + 1. TVM's own tests had a forget bias of 0 and could "
        "not see it; a user's trained model showed it.",
        gates, tf1_block(gates), "tf1-block",
        draw.matrix(2, 3), draw.vector(2), draw.vector(2), "c h",
        Program(after_sigmoid=1.0), right=Program(forget_bias=1.0),
    )  # fmt: skip


def missing_tanh() -> Thread:
    draw = Draw(3)
    gates = draw.gates(2, 3)
    return Thread(
        "missing-tanh",
        "nicodjimenez/lstm issues 7, 9, 42 and 47: the LSTM in NumPy there has h = o * c, without "
        "the tanh. It learns all the same, but its numbers are not an LSTM's. It joins [x, h].",
        gates, joined(gates, "xh"), "joined-xh",
        draw.matrix(2, 2), draw.vector(3), draw.vector(3), "h", Program(show=unchanged),
    )  # fmt: skip


def onnx_order_as_pytorch() -> Thread:
    draw = Draw(4)
    gates = draw.gates(2, 3, biases=2)
    return Thread(
        "onnx-order-as-pytorch",
        "CrispStrobe/CrispASR pull 106: weights taken from an ONNX model, whose stacks hold the "
        "gates as i o f c, were read as PyTorch's i f g o. Shapes fit, nothing failed, and a "
        "recording of two people came out as one speaker.",
        gates, onnx(gates), "onnx",
        draw.matrix(3, 2), draw.vector(3), draw.vector(3), "output",
        Program(), misread=onnx_as_pytorch(gates),
    )  # fmt: skip


def state_reset() -> Thread:
    draw = Draw(5)
    gates = draw.gates(2, 3, biases=2)
    return Thread(
        "state-reset",
        "microsoft/onnxruntime issue 1659: an LSTM exported from MATLAB was scored value by value "
        "on a sensor's stream, and only the first prediction was right. ONNX Runtime keeps no "
        "state between calls (issue 11085), so here each step begins at zero again.",
        gates, onnx(gates), "onnx",
        draw.matrix(4, 2), [0.0] * 3, [0.0] * 3, "output", Program(keeps_state=False),
    )  # fmt: skip


def keras_hard_sigmoid() -> Thread:
    draw = Draw(6)
    gates = draw.gates(3, 5)
    names = ("kernel", "recurrent_kernel", "bias")
    return Thread(
        "keras-hard-sigmoid",
        "Stack Overflow 49759614: an LSTM of 5 units computed in NumPy with Keras' weights came "
        "out some 10 % off. The NumPy had the sigmoid; the gates of Keras before 2.3 were "
        "0.2 z + 0.5, cut to 0 ... 1. The model is Keras', the numbers are the NumPy's.",
        gates, columns(gates, "ifgo", names), "keras-2.2",
        draw.matrix(3, 3), draw.vector(5), draw.vector(5), "h",
        Program(), right=Program(squash=hard_sigmoid),
    )  # fmt: skip


def theano_bias_twice() -> Thread:
    draw = Draw(7)
    gates = draw.gates(3, 3)
    names = ("lstm_W", "lstm_U", "lstm_b")
    return Thread(
        "theano-bias-twice",
        "lisa-lab/DeepLearningTutorials issue 81: the Theano tutorial added lstm_b where it "
        "multiplies x by lstm_W, and again in each step. A model trained that way is none the "
        "worse, but the equations, which have the bias once, give other numbers.",
        gates, columns(gates, "ifog", names), "theano",
        draw.matrix(2, 3), draw.vector(3), draw.vector(3), "h", Program(biases=(2, 0)),
    )  # fmt: skip


def two_mistakes() -> Thread:
    draw = Draw(8)
    gates = draw.gates(2, 3, biases=2)
    return Thread(
        "two-mistakes",
        "Two mistakes together, not one thread's: ONNX's gates read in PyTorch's order, as in "
        "CrispStrobe/CrispASR pull 106, and the second half of B, the recurrent bias, forgotten.",
        gates, onnx(gates), "onnx",
        draw.matrix(3, 2), draw.vector(3), draw.vector(3), "output",
        Program(biases=(1, 0)), misread=onnx_as_pytorch(gates),
    )  # fmt: skip


def sum_for_product() -> Thread:
    draw = Draw(9)
    gates = draw.gates(2, 3, biases=2)
    open_gate = Gate([[0.0] * 2] * 3, [[0.0] * 3] * 3, [40.0] * 3, [0.0] * 3)
    gates = gates | {"f": open_gate}
    return Thread(
        "sum-for-product",
        "MartinuzziFrancesco/torchrecurrent issue 22: OriginalLSTMCell had "
        "sigmoid(z_i) + tanh(z_g) where the new cell state takes their product. That cell, of "
        "1997, has no forget gate; here it is the usual one with the gate held open (W_f = 0, "
        "b_f = 40, so f = 1).",
        gates, pytorch_cell(gates), "pytorch-cell",
        draw.matrix(2, 2), draw.vector(3), draw.vector(3), "c h", Program(write=operator.add),
    )  # fmt: skip


def clip() -> Thread:
    draw, limit = Draw(10), 0.5
    gates = draw.gates(2, 3, biases=2)
    right = Program(clip=limit)
    return Thread(
        "clip",
        "microsoft/onnxruntime issue 27224: ONNX says that clip bounds the input of the "
        "activations; ONNX Runtime bounds what enters sigmoid and tanh of the gates, but not c "
        "before its tanh. The model is ONNX Runtime's, the numbers are by the letter of ONNX: the "
        "two disagree, and either may be called the wrong one.",
        gates, onnx(gates), "onnx",
        draw.matrix(2, 2), draw.vector(3), draw.vector(3, 1.8), "output",
        replace(right, show=lambda c: math.tanh(cut(limit, c))),
        right=right, settings=(("clip", limit),),
    )  # fmt: skip


STORIES = (
    question_bias_outside, tvm_forget_bias, missing_tanh, onnx_order_as_pytorch, state_reset,
    keras_hard_sigmoid, theano_bias_twice, two_mistakes, sum_for_product, clip,
)  # fmt: skip


def write(thread: Thread) -> None:
    """Write a sample with one key a line, and a line for each array of weights."""
    document = thread.sample()
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items()]
    arrays = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in thread.weights.items())
    lines[list(document).index("weights")] = '  "weights": {\n' + arrays + "\n  }"
    path = THREADS / f"{thread.id}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def gap(a: Any, b: Any) -> float:
    """Return the largest difference between two nested lists."""
    if isinstance(a, list):
        return max(gap(*pair) for pair in zip(a, b, strict=True))
    return abs(a - b)


def main() -> None:
    """Write every thread, and say how far its numbers are from the right ones."""
    THREADS.mkdir(exist_ok=True)
    for story in STORIES:
        thread = story()
        write(thread)
        right, wrong = thread.answer(right=True), thread.answer(right=False)
        gaps = [f"{symbol} off by {gap(right[symbol], wrong[symbol]):.2g}" for symbol in wrong]
        print(f"{thread.id}: {', '.join(gaps)}")


if __name__ == "__main__":
    main()
