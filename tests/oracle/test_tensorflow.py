"""TensorFlow's own cells and operators and Sonnet, live; in an environment of their own.

pip install -r tests/oracle/requirements-tensorflow.txt && pip install -e .
pytest -m oracle tests/oracle/test_tensorflow.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.oracle
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow")

from lstm_cli.base.arrays import Array  # noqa: E402
from lstm_cli.cell.cells import with_cell_clip  # noqa: E402
from lstm_cli.formats.read import read_weights  # noqa: E402
from tests.oracle.compare import (  # noqa: E402
    Case,
    H,
    I,
    N,
    P,
    T,
    Theirs,
    assert_same,
    draw,
    named,
)  # fmt: skip

FLOAT64, ATOL = 1e-13, 2e-6
TENSORFLOW = "tensorflow-cpu"


def run_graph(make: Any, case: Case, seed: int) -> tuple[Theirs, dict[str, Array]]:
    """Run a TensorFlow 1 cell by dynamic_rnn; return what it gives and its variables by name."""
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        cell = make(v1.nn.rnn_cell)
        state = v1.nn.rnn_cell.LSTMStateTuple(*map(tf.constant, (case.c0[0], case.h0[0])))
        made = v1.nn.dynamic_rnn(cell, tf.constant(case.x), initial_state=state)
        arrays = {
            each.name: draw(seed + 10 * k, *each.shape)
            for k, each in enumerate(v1.global_variables())
        }
        for each in v1.global_variables():
            each.load(arrays[each.name], session)
        output, (c, h) = session.run(made)
    return Theirs(output, h[None], c[None]), arrays


def test_basic_lstm_cell(tmp_path: Path) -> None:
    """BasicLSTMCell in float64, with the 1 that it adds to the forget gate."""
    pytest.importorskip("tf_keras")
    case = Case.drawn(110)
    theirs, arrays = run_graph(lambda nn: nn.BasicLSTMCell(H, dtype=tf.float64), case, 100)
    np.savez(tmp_path / "cell.npz", **arrays)
    model = read_weights(tmp_path / "cell.npz")
    assert model.convention == "tf1-basic"
    assert_same(case.run(model), theirs, FLOAT64, f"{named(TENSORFLOW)} BasicLSTMCell")


@pytest.mark.parametrize("clip", [None, 0.6])
@pytest.mark.parametrize("proj", [None, P])
@pytest.mark.parametrize("peepholes", [False, True])
def test_lstm_cell(tmp_path: Path, peepholes: bool, proj: int | None, clip: float | None) -> None:
    """LSTMCell in float64 with and without peepholes, projection and cell clip."""
    pytest.importorskip("tf_keras")
    case = Case.drawn(210, output=proj or 0)
    theirs, arrays = run_graph(
        lambda nn: nn.LSTMCell(
            H, use_peepholes=peepholes, num_proj=proj, cell_clip=clip, dtype=tf.float64
        ),
        case, 200,
    )  # fmt: skip
    np.savez(tmp_path / "cell.npz", **arrays)
    model = read_weights(
        tmp_path / "cell.npz", edit=(lambda cell: with_cell_clip(cell, clip)) if clip else None
    )
    assert model.convention == "tf1"
    assert_same(case.run(model), theirs, FLOAT64, f"{named(TENSORFLOW)} LSTMCell")


OPERATORS = {"BlockLSTM": ("tf1-block", 1.0), "BlockLSTMV2": ("tf-block-v2", None)}


@pytest.mark.parametrize("peepholes", [False, True])
@pytest.mark.parametrize("kind", [*OPERATORS, "LSTMBlockCell"])
def test_block_operators(tmp_path: Path, kind: str, peepholes: bool) -> None:
    """The fused operators, which hand out every gate: i, f, o and the candidate."""
    row, forget_bias = OPERATORS.get(kind, ("tf1-block", 1.0))
    arrays = {"kernel": draw(300, I + H, 4 * H, dtype=np.float32),
              "bias": draw(310, 4 * H, dtype=np.float32)}  # fmt: skip
    diagonals = {f"w_{k}_diag": draw(320 + place, H, dtype=np.float32)
                 for place, k in enumerate("ifo")}  # fmt: skip
    case = Case.drawn(330, dtype=np.float32)
    given: dict[str, Any] = {
        "w": arrays["kernel"], "b": arrays["bias"], "wci": diagonals["w_i_diag"],
        "wcf": diagonals["w_f_diag"], "wco": diagonals["w_o_diag"], "use_peephole": peepholes,
        "cell_clip": -1.0,
    } | ({"forget_bias": forget_bias} if forget_bias is not None else {})  # fmt: skip
    if kind == "LSTMBlockCell":
        c, h = case.c0[0], case.h0[0]
        steps = []
        for x in case.x.transpose(1, 0, 2):
            steps.append(tf.raw_ops.LSTMBlockCell(x=x, cs_prev=c, h_prev=h, **given))
            c, h = steps[-1].cs, steps[-1].h
        made = {key: np.stack([getattr(step, key) for step in steps], 1)
                for key in ("i", "f", "o", "ci", "cs", "h")}  # fmt: skip
    else:
        result = getattr(tf.raw_ops, kind)(
            seq_len_max=np.int64(T), x=case.x.transpose(1, 0, 2), cs_prev=case.c0[0],
            h_prev=case.h0[0], **given,
        )  # fmt: skip
        made = {key: getattr(result, key).numpy().transpose(1, 0, 2)
                for key in ("i", "f", "o", "ci", "cs", "h")}  # fmt: skip
    gates = {"i": made["i"], "f": made["f"], "o": made["o"], "g": made["ci"], "c": made["cs"]}
    theirs = Theirs(made["h"], made["h"][None, :, -1], made["cs"][None, :, -1], gates)
    np.savez(tmp_path / "lstm.npz", **arrays, **(diagonals if peepholes else {}))
    model = read_weights(tmp_path / "lstm.npz", convention=row)
    assert case.x.shape == (N, T, I)
    assert_same(case.run(model), theirs, ATOL, f"{named(TENSORFLOW)} {kind}")


@pytest.mark.parametrize("proj", [None, P])
def test_sonnet(tmp_path: Path, proj: int | None) -> None:
    """Sonnet 2's snt.LSTM in float64 with and without projection, under its variables' names."""
    snt = pytest.importorskip("sonnet")
    layer = snt.LSTM(H, projection_size=proj, dtype=tf.float64)
    case = Case.drawn(410, output=proj or 0)
    state = snt.LSTMState(hidden=tf.constant(case.h0[0]), cell=tf.constant(case.c0[0]))
    layer(tf.constant(case.x[:, 0]), state)  # makes its variables
    arrays = {each.name: draw(400 + 10 * k, *each.shape) for k, each in enumerate(layer.variables)}
    for each in layer.variables:
        each.assign(arrays[each.name])
    outputs = []
    for t in range(T):
        output, state = layer(tf.constant(case.x[:, t]), state)
        outputs.append(output.numpy())
    theirs = Theirs(np.stack(outputs, axis=1), state.hidden.numpy()[None], state.cell.numpy()[None])
    np.savez(tmp_path / "lstm.npz", **arrays)
    model = read_weights(tmp_path / "lstm.npz")
    assert model.convention == "sonnet"
    assert_same(case.run(model), theirs, FLOAT64, named("dm-sonnet"))
