"""OpenVINO, MLX, PaddlePaddle and tinygrad, live, where they are installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.oracle

from lstm_cli.base.arrays import Array  # noqa: E402
from lstm_cli.formats.read import read_weights  # noqa: E402
from tests.oracle.compare import (  # noqa: E402
    Case,
    H,
    I,
    N,
    T,
    Theirs,
    assert_same,
    draw,
    named,
)  # fmt: skip

FLOAT64, FLOAT32, ATOL = 1e-13, 1e-6, 2e-6


def test_mlx(tmp_path: Path) -> None:
    """nn.LSTM of MLX in float32, from its own safetensors and npz; it starts from given states."""
    mx = pytest.importorskip("mlx.core")
    nn = pytest.importorskip("mlx.nn")
    mx.set_default_device(mx.cpu)
    layer = nn.LSTM(I, H)
    shapes = {name: value.shape for name, value in layer.parameters().items()}
    layer.load_weights([
        (name, mx.array(draw(100 + 10 * k, *shape, dtype=np.float32)))
        for k, (name, shape) in enumerate(shapes.items())
    ])  # fmt: skip
    case = Case.drawn(110, dtype=np.float32)
    given = [mx.array(each) for each in (case.x, case.h0[0], case.c0[0])]
    output, cells = (np.array(each) for each in layer(*given))
    theirs = Theirs(output, output[None, :, -1], cells[None, :, -1], {"c": cells})
    for file in ("lstm.safetensors", "lstm.npz"):
        layer.save_weights(str(tmp_path / file))
        model = read_weights(tmp_path / file)
        assert model.convention == "mlx"
        assert_same(case.run(model, np.float32), theirs, FLOAT32, f"{named('mlx')}, float32")


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("kind", ["cell", "sequence"])
def test_openvino(tmp_path: Path, kind: str, direction: str) -> None:
    """OpenVINO's LSTMCell and LSTMSequence on the CPU, W, R and B in its order of gates."""
    ov = pytest.importorskip("openvino")
    ops = pytest.importorskip("openvino.opset13")
    if kind == "cell" and direction == "backward":
        pytest.skip("a cell has no direction")
    arrays = {
        key: draw(200 + 10 * k, *shape, dtype=np.float32)
        for k, (key, shape) in enumerate({"W": (4 * H, I), "R": (4 * H, H), "B": (4 * H,)}.items())
    }
    case = Case.drawn(210, dtype=np.float32)
    steps = case.x[:, :1] if kind == "cell" else case.x
    x, h, c = (ops.parameter(shape, ov.Type.f32) for shape in (
        (N, I) if kind == "cell" else (N, T, I), *[(N, H) if kind == "cell" else (N, 1, H)] * 2
    ))  # fmt: skip
    if kind == "cell":
        made = ops.lstm_cell(x, h, c, *map(ops.constant, arrays.values()), H)
        feeds = [steps[:, 0], case.h0[0], case.c0[0]]
    else:
        lengths = ops.constant(np.full(N, T, dtype=np.int64))
        given = [ops.constant(each[None]) for each in arrays.values()]
        way = "forward" if direction == "forward" else "reverse"
        made = ops.lstm_sequence(x, h, c, lengths, *given, H, way)
        feeds = [steps, case.h0[0][:, None], case.c0[0][:, None]]
    compiled = ov.compile_model(
        ov.Model(made.outputs(), [x, h, c], "one"), "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )  # fmt: skip
    results = [np.array(each) for each in compiled(feeds).values()]
    if kind == "cell":
        theirs = Theirs(results[0][:, None], results[0][None], results[1][None])
    else:
        output, last_h, last_c = results
        theirs = Theirs(output[:, 0], last_h.transpose(1, 0, 2), last_c.transpose(1, 0, 2))
    np.savez(tmp_path / "lstm.npz", **arrays)
    model = read_weights(tmp_path / "lstm.npz", convention="openvino")
    if direction == "backward":
        turned = Case(steps[:, ::-1], case.h0, case.c0)
        theirs = Theirs(theirs.output[:, ::-1], theirs.h, theirs.c)
        assert_same(turned.run(model), theirs, ATOL, named("openvino"))
    else:
        assert_same(Case(steps, case.h0, case.c0).run(model), theirs, ATOL, named("openvino"))


def _paddle_lstm(layers: int, direction: str) -> tuple[Any, dict[str, Array]]:
    paddle = pytest.importorskip("paddle")
    paddle.set_default_dtype("float64")
    module = paddle.nn.LSTM(I, H, num_layers=layers, direction=direction)
    state = {name: value for name, value in module.state_dict().items() if name.startswith(("weight", "bias"))}  # fmt: skip
    arrays = {
        name: draw(300 + 10 * k, *value.shape) for k, (name, value) in enumerate(state.items())
    }
    for name, value in state.items():
        value.set_value(arrays[name])
    return module, arrays


@pytest.mark.parametrize("direction", ["forward", "bidirect"])
@pytest.mark.parametrize("layers", [1, 2])
def test_paddle(tmp_path: Path, layers: int, direction: str) -> None:
    """PaddlePaddle's nn.LSTM in float64, one or two layers, one or both ways, from npz."""
    paddle = pytest.importorskip("paddle")
    module, arrays = _paddle_lstm(layers, direction)
    places = layers * (2 if direction == "bidirect" else 1)
    case = Case.drawn(310, places=places)
    given = [paddle.to_tensor(each) for each in (case.x, case.h0, case.c0)]
    with paddle.no_grad():
        output, (h, c) = module(given[0], (given[1], given[2]))
    np.savez(tmp_path / "lstm.npz", **arrays)
    model = read_weights(tmp_path / "lstm.npz", convention="paddle")
    theirs = Theirs(output.numpy(), h.numpy(), c.numpy())
    assert_same(case.run(model), theirs, FLOAT64, named("paddlepaddle"))


def test_tinygrad(tmp_path: Path) -> None:
    """tinygrad's LSTMCell, on its device that is written in Python, under its own names."""
    os.environ["DEV"] = "PYTHON"
    tinygrad = pytest.importorskip("tinygrad")
    from tinygrad.nn import LSTMCell
    from tinygrad.nn.state import get_state_dict

    cell = LSTMCell(I, H)
    for k, value in enumerate(get_state_dict(cell).values()):
        value.assign(tinygrad.Tensor(draw(400 + 10 * k, *value.shape, dtype=np.float32))).realize()
    case = Case.drawn(410, dtype=np.float32)
    h, c = tinygrad.Tensor(case.h0[0]), tinygrad.Tensor(case.c0[0])
    outputs = []
    for t in range(T):
        h, c = (each.realize() for each in cell(tinygrad.Tensor(case.x[:, t].copy()), (h, c)))
        outputs.append(h.numpy())
    theirs = Theirs(np.stack(outputs, axis=1), h.numpy()[None], c.numpy()[None])
    # Its own `safe_save` goes through a device that needs clang; the names are the same.
    arrays = {name: value.numpy() for name, value in get_state_dict(cell).items()}
    np.savez(tmp_path / "cell.npz", **arrays)
    model = read_weights(tmp_path / "cell.npz", convention="tinygrad")
    assert_same(case.run(model), theirs, ATOL, named("tinygrad"))
