"""ONNX Runtime, live: every attribute it honours, PyTorch's exports, and models that we write."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.oracle
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from lstm_cli.base.errors import InputError  # noqa: E402
from lstm_cli.cell.cells import cell_named, with_activations, with_clip  # noqa: E402
from lstm_cli.cell.weights import Layer, Model  # noqa: E402
from lstm_cli.commands.convert.conversion import convert  # noqa: E402
from lstm_cli.engine.run import run  # noqa: E402
from lstm_cli.formats.onnx import read as read_onnx  # noqa: E402
from lstm_cli.formats.read import model_from, read_weights  # noqa: E402
from tests.conftest import random_weights  # noqa: E402
from tests.oracle.compare import (  # noqa: E402
    Case,
    H,
    I,
    N,
    T,
    Theirs,
    assert_same,
    assert_same_layer,
    draw,
    named,
    rounded,
    stacked,
)  # fmt: skip

ATOL = 2e-6
ORT = named("onnxruntime")
OURS = f"{ORT}, our file"
WAYS = {"forward": ("forward",), "reverse": ("backward",), "bidirectional": ("forward", "backward")}
# ONNX's functions, with an alpha and a beta for those that take them.
FUNCTIONS: dict[str, tuple[float, ...]] = {
    "Sigmoid": (), "Tanh": (), "Relu": (), "Affine": (0.8, 0.15), "LeakyRelu": (0.1,),
    "ThresholdedRelu": (0.3,), "ScaledTanh": (1.7, 0.6), "HardSigmoid": (0.3, 0.4), "Elu": (0.7,),
    "Softsign": (), "Softplus": (),
}  # fmt: skip


def session(model: Any) -> Any:
    """Return a session on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    data = model.SerializeToString() if hasattr(model, "SerializeToString") else str(model)
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run_model(model: Any, case: Case) -> Theirs:
    """Run a model of one LSTM node: X (T, N, I), Y (T, D, N, H)."""
    x = case.x.transpose(1, 0, 2)
    feeds = {"X": x, "initial_h": case.h0, "initial_c": case.c0}
    feeds = {key: np.ascontiguousarray(value, dtype=np.float32) for key, value in feeds.items()}
    y, h, c = session(model).run(["Y", "Y_h", "Y_c"], feeds)
    return Theirs(y.transpose(2, 0, 1, 3).reshape(*case.x.shape[:2], -1), h, c)


def build(
    seed: int, direction: str, *, peephole: bool, biases: bool = True, scale: float = 1.0,
    **attributes: Any,
) -> Any:  # fmt: skip
    """Return a model of one LSTM node with distinct weights."""
    ways = len(WAYS[direction])
    shapes = {"W": (ways, 4 * H, I), "R": (ways, 4 * H, H)}
    shapes |= {"B": (ways, 8 * H)} if biases else {}
    shapes |= {"P": (ways, 3 * H)} if peephole else {}
    slots = ["X", "W", "R", "B" * biases, "", "initial_h", "initial_c", "P" * peephole]
    node = helper.make_node(
        "LSTM", slots[: 8 if peephole else 7], ["Y", "Y_h", "Y_c"], name="lstm", hidden_size=H,
        direction=direction, **attributes,
    )  # fmt: skip

    def info(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    state = (ways, N, H)
    graph = helper.make_graph(
        [node], "one",
        [info("X", T, N, I), info("initial_h", *state), info("initial_c", *state)],
        [info("Y", T, *state), info("Y_h", *state), info("Y_c", *state)],
        [numpy_helper.from_array(draw(seed + 10 * k, *shape, dtype=np.float32, scale=scale), key)
         for k, (key, shape) in enumerate(shapes.items())],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def activations(names: Sequence[str]) -> dict[str, Any]:
    """Return the attributes for functions with their constants, in the order of their use."""
    lists = {
        f"activation_{key}": [FUNCTIONS[n][place] for n in names if len(FUNCTIONS[n]) > place]
        for place, key in enumerate(("alpha", "beta"))
    }
    return {"activations": list(names)} | {key: value for key, value in lists.items() if value}


def compare(model: Any, path: Path, seed: int) -> None:
    """Save a model, read it by us, and hold our run against ONNX Runtime's."""
    onnx.save(model, path)
    ours = read_weights(path)
    case = Case.drawn(seed, places=len(ours.runs), dtype=np.float32)
    assert_same(case.run(ours), run_model(model, case), ATOL, ORT)


@pytest.mark.parametrize("direction", WAYS)
@pytest.mark.parametrize(
    ("peephole", "clip", "input_forget"), list(product((False, True), (None, 0.5), (0, 1)))
)
def test_attributes(
    tmp_path: Path, direction: str, peephole: bool, clip: float | None, input_forget: int
) -> None:
    """Every direction with and without P, clip and input_forget, from non-zero states."""
    more = ({"clip": clip} if clip else {}) | ({"input_forget": 1} if input_forget else {})
    model = build(100, direction, peephole=peephole, **more)
    compare(model, tmp_path / "one.onnx", 150)


def test_no_bias(tmp_path: Path) -> None:
    """A node without B has biases of zero."""
    compare(build(200, "forward", peephole=False, biases=False), tmp_path / "one.onnx", 250)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["gates", "candidate", "output"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_activation_in_each_place(tmp_path: Path, name: str, place: int) -> None:
    """Each function of the operator, with an alpha and a beta of its own, as f, g and h."""
    names = ["Sigmoid", "Tanh", "Tanh"]
    names[place] = name
    # Gates without bounds let the cell grow from step to step: smaller weights keep it near 1.
    scale = 1.0 if place else 0.5
    model = build(300, "forward", peephole=False, scale=scale, **activations(names))
    compare(model, tmp_path / "one.onnx", 350)


def test_activations_that_differ_by_direction(tmp_path: Path) -> None:
    """Two directions, six functions; alphas and betas go to those that take them."""
    names = ["HardSigmoid", "ScaledTanh", "Affine", "Sigmoid", "LeakyRelu", "Elu"]
    model = build(400, "bidirectional", peephole=True, clip=0.7, **activations(names))
    compare(model, tmp_path / "one.onnx", 450)


@pytest.mark.parametrize("name", ["HardSigmoid", "LeakyRelu", "Elu"])
def test_default_constants(tmp_path: Path, name: str) -> None:
    """A function whose alpha and beta are left out has those of its own operator."""
    names = [name if name == "HardSigmoid" else "Sigmoid", "Tanh", "Tanh"]
    names[1] = name if name != "HardSigmoid" else "Tanh"
    compare(build(500, "forward", peephole=False, activations=names), tmp_path / "one.onnx", 550)


OUR_CELLS = {
    "lstm": cell_named("lstm"),
    "peephole": cell_named("peephole"),
    "coupled-forget": cell_named("coupled-forget"),
    "coupled-forget+peephole": cell_named("coupled-forget+peephole"),
    "clip": with_clip(cell_named("lstm"), 0.5),
    "peephole, clip": with_clip(cell_named("peephole"), 0.4),
    "coupled-forget, clip": with_clip(cell_named("coupled-forget"), 0.5),
    "hard sigmoid": with_activations(cell_named("lstm"), gate="hard_sigmoid"),
    "functions": with_activations(
        cell_named("lstm"), gate="hard_sigmoid(0.3, 0.4)", candidate="scaled_tanh(1.7, 0.6)",
        output="leaky_relu(0.1)",
    ),
    "more functions": with_activations(
        cell_named("peephole"), gate="affine(0.25, 0.45)", candidate="elu(0.7)", output="softsign"
    ),
    "and more": with_activations(
        cell_named("lstm"), candidate="thresholded_relu(0.3)", output="softplus"
    ),
    "functions, clip": with_clip(
        with_activations(cell_named("lstm"), gate="hard_sigmoid", candidate="elu", output="relu"),
        0.6,
    ),
}  # fmt: skip


@pytest.mark.parametrize("direction", WAYS)
@pytest.mark.parametrize("kind", OUR_CELLS)
def test_our_models_in_onnx_runtime(tmp_path: Path, kind: str, direction: str) -> None:
    """A `.onnx` of ours runs to our numbers, for each variant that it can hold, in each direction."""
    ours = stacked({
        way: rounded(random_weights(OUR_CELLS[kind], I, H, seed=place))
        for place, way in enumerate(WAYS[direction])
    })  # fmt: skip
    path = tmp_path / "ours.onnx"
    done = convert(ours, path)
    assert (done.lost, done.weight_difference, done.output_difference) == ((), 0, 0)
    case = Case.drawn(600, places=len(ours.runs), dtype=np.float32)
    assert_same(case.run(ours), run_model(path, case), ATOL, OURS)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_exports_of_pytorch(tmp_path: Path, exporter: str, layers: int, both: bool) -> None:
    """What torch.onnx.export makes of an nn.LSTM is one stack, to PyTorch's and ORT's output."""
    torch = pytest.importorskip("torch")
    if exporter == "dynamo":
        pytest.importorskip("onnxscript")
    ways = 1 + both
    module = torch.nn.LSTM(I, H, num_layers=layers, bidirectional=both).eval()
    with torch.no_grad():
        for place, each in enumerate(module.parameters()):
            each.copy_(torch.from_numpy(draw(700 + 10 * place, *each.shape)))
    case = Case.drawn(750, places=layers * ways, dtype=np.float32)
    x = case.x.transpose(1, 0, 2).copy()
    given = (torch.from_numpy(x), (torch.from_numpy(case.h0), torch.from_numpy(case.c0)))
    path = tmp_path / "lstm.onnx"
    options = (
        {"dynamo": False} if exporter == "legacy" else {"dynamo": True, "external_data": False}
    )
    torch.onnx.export(
        module, given, path, input_names=["x", "h0", "c0"], output_names=["y", "hn", "cn"],
        **options,
    )  # fmt: skip
    with torch.no_grad():
        theirs = module(*given)[0].numpy().transpose(1, 0, 2)
    live = session(path).run(["y"], {"x": x, "h0": case.h0, "c0": case.c0})[0].transpose(1, 0, 2)
    trace = run(read_weights(path), case.x, case.h0, case.c0)
    assert len(trace.model.layers) == layers
    for name, expected in ((f"{named('torch')}, exported", theirs), (f"{ORT}, exported", live)):
        for place, each in enumerate(trace.last_layer):
            own = expected[..., place * H : (place + 1) * H]
            assert_same_layer(each, own, ATOL, name)


@pytest.mark.parametrize("free", [False, True], ids=["fixed sizes", "any sizes"])
@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_modules_that_pytorch_joins(tmp_path: Path, exporter: str, free: bool) -> None:
    """Two modules of other sizes and directions with a Dropout between are one stack."""
    torch = pytest.importorskip("torch")
    if exporter == "dynamo":
        pytest.importorskip("onnxscript")

    class Joined(torch.nn.Module):  # type: ignore[misc, name-defined] # torch is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.low = torch.nn.LSTM(I, H, batch_first=True, bidirectional=True)
            self.between = torch.nn.Dropout(0.3)
            self.high = torch.nn.LSTM(2 * H, H + 1, num_layers=2, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.high(self.between(self.low(x)[0]))[0]

    module = Joined().eval()
    with torch.no_grad():
        for place, each in enumerate(module.parameters()):
            each.copy_(torch.from_numpy(draw(820 + 10 * place, *each.shape)))
    x = draw(810, N, T, I).astype(np.float32)
    options: dict[str, Any] = {"dynamo": exporter == "dynamo", "input_names": ["x"]}
    if exporter == "dynamo":
        options |= {"external_data": False}
        sizes = {0: torch.export.Dim("n", min=2, max=9), 1: torch.export.Dim("t", min=2, max=99)}
        options |= {"dynamic_shapes": {"x": sizes}} if free else {}
    elif free:
        options |= {"dynamic_axes": {"x": {0: "n", 1: "t"}}}
    path = tmp_path / "joined.onnx"
    torch.onnx.export(module, (torch.from_numpy(x),), path, **options)
    (theirs,) = session(path).run(None, {"x": x})
    trace = run(read_weights(path), x)
    assert [len(layer.directions) for layer in trace.model.layers] == [2, 1, 1]
    np.testing.assert_allclose(trace.output, theirs, rtol=0, atol=ATOL)


def test_our_stacks_in_onnx_runtime(tmp_path: Path) -> None:
    """A `.onnx` of ours holds a stack of other sizes and directions, and runs to our numbers."""
    cell = cell_named("lstm")
    low = {"forward": rounded(random_weights(cell, I, H, seed=1)),
           "backward": rounded(random_weights(cell, I, H, seed=2))}  # fmt: skip
    high = {"backward": rounded(random_weights(cell, 2 * H, H + 1, seed=3))}
    ours = Model((Layer(low), Layer(high)))  # type: ignore[arg-type] # names of directions
    path = tmp_path / "stack.onnx"
    assert convert(ours, path).output_difference == 0
    x = draw(840, N, T, I).astype(np.float32)
    h = [draw(850 + n, N, w.hidden_size).astype(np.float32) for n, (*_, w) in enumerate(ours.runs)]
    states = {f"initial_{s}": np.stack(h[:2]) for s in "hc"}
    states |= {f"initial_{s}_1": np.stack(h[2:]) for s in "hc"}
    (theirs,) = session(path).run(["Y_1"], {"X": x.transpose(1, 0, 2).copy(), **states})
    np.testing.assert_allclose(
        run(ours, x, h, h).output, theirs[:, 0].transpose(1, 0, 2), rtol=0, atol=ATOL
    )


def test_an_export_in_two_files(tmp_path: Path) -> None:
    """PyTorch's default export keeps numbers in a file beside: refused unasked, read when allowed."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    module = torch.nn.LSTM(I, H, bidirectional=True).eval()
    case = Case.drawn(800, places=2, dtype=np.float32)
    x = case.x.transpose(1, 0, 2).copy()
    given = (torch.from_numpy(x), (torch.from_numpy(case.h0), torch.from_numpy(case.c0)))
    torch.onnx.export(module, given, tmp_path / "lstm.onnx", dynamo=True, external_data=True)
    assert (tmp_path / "lstm.onnx.data").exists()
    with pytest.raises(InputError, match="another file"):
        read_weights(tmp_path / "lstm.onnx")
    contents = read_onnx(tmp_path / "lstm.onnx", allow_external_data=True)
    with torch.no_grad():
        output, (h, c) = module(*given)
    theirs = Theirs(output.numpy().transpose(1, 0, 2), h.numpy(), c.numpy())
    ours = model_from(contents, "lstm.onnx")
    assert_same(case.run(ours), theirs, ATOL, f"{named('torch')}, exported")
