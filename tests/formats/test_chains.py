"""Layers that a file joins directly are one stack; whatever else stands between is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.engine.run import run
from lstm_cli.formats.read import read_contents, read_weights
from tests.formats.graphs import FILES, golden

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT = onnx.TensorProto.FLOAT


@pytest.mark.parametrize("name", ["torch_legacy", "torch_dynamo"])
def test_two_layers_that_pytorch_exported_give_the_numbers_of_onnxruntime(name: str) -> None:
    """The stack runs from x to the last layer's output, both ways, without being asked for."""
    low, high = golden(f"{name}_l0"), golden(f"{name}_l1")
    trace = run(
        read_weights(FILES / f"{name}.onnx"), low["x"],
        np.array(low["h0"] + high["h0"]), np.array(low["c0"] + high["c0"]),
    )  # fmt: skip
    assert [layer.layer for layer in trace.layers] == [0, 0, 1, 1]
    for symbol in ("output", "h", "c"):
        np.testing.assert_allclose(
            getattr(trace, symbol), high["expected"][symbol], rtol=0, atol=4e-6
        )


def test_layers_that_a_keras_model_joins_give_its_numbers() -> None:
    """Two directions, stacked cells and reversed time in one stack, as Keras itself runs them."""
    pytest.importorskip("h5py")
    record = golden("chain_keras3")
    model = read_weights(FILES / record["file"])
    sides = [["forward", "backward"], ["backward"], ["backward"], ["forward"]]
    assert [list(layer.directions) for layer in model.layers] == sides
    got = run(model, record["x"]).output
    np.testing.assert_allclose(got, record["output"], rtol=0, atol=2e-6)


def test_stacked_cells_are_one_stack_and_a_wrapped_layer_stays_apart() -> None:
    """What each cell of a stack hands on is what the next one read when Keras ran them."""
    pytest.importorskip("h5py")
    low, high = golden("keras3_stack_low"), golden("keras3_stack_high")
    model = read_weights(FILES / low["file"], lstm="stack/low..stack/high")
    h0 = [np.array(each["h0"][0]) for each in (low, high)]
    c0 = [np.array(each["c0"][0]) for each in (low, high)]
    got = run(model, low["x"], h0, c0).output
    np.testing.assert_allclose(got, high["expected"]["output"], rtol=0, atol=4e-6)
    with pytest.raises(InputError, match="the file has 2 LSTMs"):
        read_weights(FILES / low["file"])


def test_two_layers_of_old_keras_are_one_stack() -> None:
    """Keras 1 and 2 say in another way what a layer reads."""
    pytest.importorskip("h5py")
    for name in ("keras122", "keras224"):
        model = read_weights(FILES / f"{name}.h5")
        assert [len(layer.directions) for layer in model.layers] == [1, 2]


def test_both_directions_of_a_converted_keras_layer_are_one_layer() -> None:
    """TensorFlow Lite's two operators, one on x in reversed time, give the outputs side by side."""
    behind, ahead = golden("tflite_keras_both_ways_0"), golden("tflite_keras_both_ways_1")
    assert behind["x"] == ahead["x"]
    model = read_weights(FILES / ahead["file"])
    assert list(model.layers[0].directions) == ["forward", "backward"]
    h0, c0 = ([np.array(each[key][0]) for each in (ahead, behind)] for key in ("h0", "c0"))
    outputs = [np.array(each["expected"]["output"]) for each in (ahead, behind)]
    got = run(model, ahead["x"], h0, c0).output
    np.testing.assert_allclose(got, np.concatenate(outputs, axis=-1), rtol=0, atol=2e-6)


def node(number: int, x: str, inputs: int, hidden: int, **told: Any) -> tuple[Any, list[Any]]:
    """An LSTM node l0, l1, … with outputs Y0, h0, c0 and its weights."""
    ways = 2 if told.get("direction") == "bidirectional" else 1
    draw = np.random.default_rng(number).normal(size=(3, ways, 4 * hidden, inputs + hidden + 2))
    weights = {
        f"W{number}": draw[0, :, :, :inputs], f"R{number}": draw[1, :, :, :hidden],
        f"B{number}": draw[2, :, :, :2].reshape(ways, -1),
    }  # fmt: skip
    made = helper.make_node(
        "LSTM", [x, *weights], [f"Y{number}", f"h{number}", f"c{number}"],
        name=f"l{number}", hidden_size=hidden, **told,
    )  # fmt: skip
    return made, [numpy_helper.from_array(a.astype(np.float32), k) for k, a in weights.items()]


def saved(path: Path, nodes: list[Any], tensors: list[Any], shape: Any = ("T", "N", 3)) -> Path:
    """A model of an input X with some nodes."""
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("X", FLOAT, shape)], [], tensors
    )
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def between(
    *operators: tuple[str, dict[str, Any]], start: str = "Y0", end: str = "X1"
) -> list[Any]:
    """A chain of operators of one input, with further inputs under the key `more`."""
    names = [start, *(f"{end}_{number}" for number in range(len(operators) - 1)), end]
    return [
        helper.make_node(kind, [names[n], *told.pop("more", [])], [names[n + 1]], **told)
        for n, (kind, told) in enumerate((kind, dict(told)) for kind, told in operators)
    ]


CONSTANTS = [
    numpy_helper.from_array(np.array(value), name)
    for name, value in {
        "one": [1], "keep": [0, 0, -1], "yes": np.array(True), "half": np.float32(0.5),
        "first": 0, "back": [-1], "from": [-1], "to": [-(2**62)], "time": [0],
    }.items()
]  # fmt: skip
SQUEEZE = ("Squeeze", {"more": ["one"]})
BOTH = (("Transpose", {"perm": [0, 2, 1, 3]}), ("Reshape", {"more": ["keep"]}))
BACK = ("Slice", {"more": ["from", "to", "time", "back"]})


@pytest.mark.parametrize(
    ("first", "operators"),
    [
        ({}, [SQUEEZE]),
        ({}, [("Squeeze", {"more": ["one"]}), ("Dropout", {}), ("Identity", {})]),
        ({}, [("Gather", {"more": ["first"], "axis": 1})]),
        ({}, [SQUEEZE, ("Transpose", {"perm": [1, 0, 2]}), ("Transpose", {"perm": [1, 0, 2]})]),
        ({"direction": "reverse"}, [SQUEEZE]),
        ({"direction": "bidirectional"}, list(BOTH)),
    ],
)
def test_what_exporters_write_between_two_layers_is_followed(
    tmp_path: Path, first: dict[str, Any], operators: list[Any]
) -> None:
    """Layers of different sizes and directions are one stack, of which each can be run alone."""
    wide = 4 if first.get("direction") == "bidirectional" else 2
    low, some = node(0, "X", 3, 2, **first)
    high, more = node(1, "X1", wide, 5)
    path = saved(tmp_path / "m.onnx", [low, *between(*operators), high], some + more + CONSTANTS)
    model = read_weights(path)
    assert model.source.endswith("l0..l1")
    x = np.random.default_rng(9).normal(size=(4, 3))
    alone = [read_weights(path, lstm=name) for name in ("l0", "l1")]
    y = run(alone[1], run(alone[0], x).output).output
    np.testing.assert_array_equal(run(model, x).output, y)


def test_a_layer_after_one_in_reversed_time_runs_in_the_other_direction(tmp_path: Path) -> None:
    """An x that reaches a node reversed makes its forward node a backward one, and the reverse."""
    low, some = node(0, "X0", 3, 2)
    high, more = node(1, "X1", 2, 4)
    nodes = [*between(BACK, start="X", end="X0"), low, *between(SQUEEZE, BACK), high]
    contents = read_contents(saved(tmp_path / "m.onnx", nodes, some + more + CONSTANTS))
    assert [list(block.parts) for block in contents.blocks] == [["backward"], ["forward"]]
    assert contents.stacks == (((0,), (1,)),)
    nodes = [*between(BACK, start="X", end="X0"), low, *between(SQUEEZE), high]
    contents = read_contents(saved(tmp_path / "n.onnx", nodes, some + more + CONSTANTS))
    assert [list(block.parts) for block in contents.blocks] == [["backward"], ["backward"]]


@pytest.mark.parametrize(
    ("operators", "said"),
    [
        ([SQUEEZE, ("Relu", {})], "computed by Relu"),
        ([SQUEEZE, ("Mul", {"more": ["half"]})], "computed by Mul"),
        ([SQUEEZE, ("Transpose", {"perm": [1, 0, 2]})], "not all of it in its order"),
        ([SQUEEZE, ("Dropout", {"more": ["half", "yes"]})], "Dropout in training mode"),
        ([], "its shape has 4 axes"),
        ([("Identity", {"start": "h0"})], "the last state of 'l0'"),
    ],
)
def test_what_else_stands_between_is_named_and_the_layers_stay_apart(
    tmp_path: Path, operators: list[Any], said: str
) -> None:
    """Two layers that are not joined directly are refused with what stands between them."""
    start = "h0" if operators and operators[0][1].pop("start", "") else "Y0"
    low, some = node(0, "X", 3, 2)
    high, more = node(1, "X1" if operators else "Y0", 2, 4)
    nodes = [low, *(between(*operators, start=start) if operators else []), high]
    path = saved(tmp_path / "m.onnx", nodes, some + more + CONSTANTS)
    with pytest.raises(InputError, match="the file has 2 LSTMs") as caught:
        read_weights(path)
    assert said in caught.value.where
    assert any(said in each for each in read_weights(path, lstm="l1").assumptions)


def test_two_nodes_whose_outputs_are_joined_are_the_directions_of_one_layer(tmp_path: Path) -> None:
    """A forward and a reverse node side by side are one layer, alone and in a stack."""
    ahead, some = node(0, "X", 3, 2)
    behind, more = node(1, "X", 3, 4, direction="reverse")
    high, last = node(2, "X2", 6, 2)
    joined = [
        *between(SQUEEZE, end="A"), *between(SQUEEZE, start="Y1", end="B"),
        helper.make_node("Concat", ["A", "B"], ["X2"], axis=2),
    ]  # fmt: skip
    nodes = [ahead, behind, *joined]
    path = saved(tmp_path / "one.onnx", nodes, some + more + CONSTANTS)
    assert read_contents(path).stacks == (((0, 1),),)
    assert [way for _, way, _ in read_weights(path).runs] == ["forward", "backward"]
    path = saved(tmp_path / "two.onnx", [*nodes, high], some + more + last + CONSTANTS)
    assert read_contents(path).stacks == (((0, 1), (2,)),)
    swapped = [*joined[:2], helper.make_node("Concat", ["B", "A"], ["X2"], axis=2)]
    path = saved(
        tmp_path / "s.onnx", [ahead, behind, *swapped, high], some + more + last + CONSTANTS
    )
    assert read_contents(path).stacks == ()


def test_a_layer_that_two_others_read_is_in_two_stacks(tmp_path: Path) -> None:
    """Branches of a model are stacks to choose from."""
    (low, some), (left, more), (right, last) = (
        node(0, "X", 3, 2), node(1, "X1", 2, 4), node(2, "X1", 2, 4),
    )  # fmt: skip
    path = saved(
        tmp_path / "m.onnx", [low, *between(SQUEEZE), left, right], some + more + last + CONSTANTS
    )
    assert read_contents(path).stacks == (((0,), (1,)), ((0,), (2,)))
    with pytest.raises(InputError, match=r"the file has 2 LSTMs") as caught:
        read_weights(path)
    assert "l0..l2" in caught.value.where
    assert len(read_weights(path, lstm="l0..l2").layers) == 2


def test_sizes_that_a_graph_fixes_are_followed(tmp_path: Path) -> None:
    """A reshape to the exported sizes is followed where the input has them."""
    low, some = node(0, "X", 3, 2, direction="bidirectional")
    high, more = node(1, "X1", 4, 5)
    fixed = numpy_helper.from_array(np.array([7, 1, 4]), "fixed")
    operators = [BOTH[0], ("Reshape", {"more": ["fixed"]})]
    nodes = [low, *between(*operators), high]
    path = saved(tmp_path / "m.onnx", nodes, [*some, *more, fixed], (7, 1, 3))
    assert read_contents(path).stacks == (((0,), (1,)),)
    path = saved(tmp_path / "n.onnx", nodes, [*some, *more, fixed])
    assert read_contents(path).stacks == ()
