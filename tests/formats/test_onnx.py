"""The ONNX reader: golden files of onnxruntime, every way weights reach a node, what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.cell.cells import LSTM, parse_activation
from lstm_cli.formats import onnx as onnx_
from lstm_cli.formats.contents import Contents, Variant
from lstm_cli.formats.detect import find_lstms
from lstm_cli.formats.read import model_from, read_weights
from tests.formats.graphs import FILES, assert_golden, golden, goldens

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT = onnx.TensorProto.FLOAT
H, I = 2, 3

Save = Callable[..., Contents]


def weights(dirs: int = 1, seed: int = 0) -> dict[str, Any]:
    """Return W, R, B, P as float32, all distinct."""
    generator = np.random.default_rng(seed)
    shapes = {"W": (4 * H, I), "R": (4 * H, H), "B": (8 * H,), "P": (3 * H,)}
    return {
        key: generator.uniform(-1, 1, (dirs, *shape)).astype(np.float32)
        for key, shape in shapes.items()
    }


def lstm(*names: str, **attributes: Any) -> Any:
    """Return an LSTM node, named "it" unless it is told otherwise."""
    inputs = list(names) or ["X", "W", "R", "B", "", "", "", "P"]
    told = {"hidden_size": H, "name": "it", "outputs": ["Y"]} | attributes
    return helper.make_node("LSTM", inputs, **told)


def tensors(arrays: dict[str, Any]) -> list[Any]:
    """Return arrays as initializers."""
    return [numpy_helper.from_array(np.asarray(value), key) for key, value in arrays.items()]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return a function that writes a graph of nodes and initializers, and reads it again."""

    def write(nodes: list[Any], initializers: list[Any], **options: Any) -> Contents:
        graph = helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("X", FLOAT, None)], [], initializers
        )
        model = helper.make_model(graph, functions=options.pop("functions", []))
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return onnx_.read(path, **options)

    return write


def only_note(contents: Contents) -> str:
    """Return the note on the one LSTM that was not read."""
    assert not contents.blocks
    (note,) = contents.notes[1:]
    return note


@pytest.mark.parametrize("name", goldens("onnx"))
def test_golden(name: str) -> None:
    """A layer of a file computes what onnxruntime computed from that file."""
    record = golden(name)
    contents = onnx_.read(FILES / record["file"])
    (block,) = [each for each in contents.blocks if each.name == record["layer"]]
    assert block.convention == record["convention"]
    assert_golden(block, record)


@pytest.mark.parametrize("name", goldens("onnx"))
def test_tensors(name: str) -> None:
    """Every initializer is listed with its shape and dtype, and read as that."""
    record = golden(name)
    contents = onnx_.read(FILES / record["file"])
    infos = {
        key: {"shape": list(info.shape), "dtype": info.dtype.text}
        for key, info in contents.tensors.infos.items()
    }
    assert infos == record["tensors"]
    for key, info in contents.tensors.infos.items():
        array = contents.tensors[key]
        expected = "float32" if info.dtype.text == "bfloat16" else info.dtype.text
        assert (array.shape, str(array.dtype)) == (info.shape, expected)


@pytest.mark.parametrize(
    ("attributes", "directions"),
    [
        ({}, ["forward"]),
        ({"direction": "reverse"}, ["backward"]),
        ({"direction": "bidirectional"}, ["forward", "backward"]),
    ],
)
def test_directions(save: Save, attributes: dict[str, Any], directions: list[str]) -> None:
    """A part a direction, each with its own slice of W, R, B and P."""
    arrays = weights(len(directions))
    (block,) = save([lstm(**attributes)], tensors(arrays)).blocks
    assert list(block.parts) == directions
    for number, part in enumerate(block.parts.values()):
        assert set(part.tensors) == {"W", "R", "B", "P"}
        for key, array in part.tensors.items():
            np.testing.assert_array_equal(array, arrays[key][number])


def test_optional_inputs(save: Save) -> None:
    """B and P are left out where the node has none."""
    (block,) = save([lstm("X", "W", "R")], tensors(weights())).blocks
    assert set(block.parts["forward"].tensors) == {"W", "R"}
    assert block.parts["forward"].variant == Variant()


def test_hidden_size_of_its_own_accord(save: Save) -> None:
    """Without hidden_size, R tells it."""
    node = helper.make_node("LSTM", ["X", "W", "R"], ["Y"])
    (block,) = save([node], tensors(weights())).blocks
    assert (block.name, block.parts["forward"].tensors["R"].shape) == ("Y", (4 * H, H))


def test_clip_and_input_forget(save: Save) -> None:
    """The attributes clip and input_forget become the variant, and clip's doubt is told."""
    (block,) = save([lstm(clip=0.3, input_forget=1)], tensors(weights())).blocks
    assert block.parts["forward"].variant == Variant(clip=0.3, cells=("coupled-forget",))
    assert any("clip" in each for each in block.open)
    assert "attribute clip = 0.3" in block.known_by


def test_activations_per_direction(save: Save) -> None:
    """Alphas and betas go, in order, to the functions that have them."""
    names = ["HardSigmoid", "tanh", "AFFINE", "Sigmoid", "LeakyRelu", "ScaledTanh"]
    node = lstm(
        direction="bidirectional", activations=names,
        activation_alpha=[0.25, 2.0, 0.125, -1.5], activation_beta=[0.5, -1.0, 0.75],
    )  # fmt: skip
    (block,) = save([node], tensors(weights(2))).blocks
    assert [part.variant.activations for part in block.parts.values()] == [
        ("hard_sigmoid(0.25, 0.5)", "tanh", "affine(2.0, -1.0)"),
        ("sigmoid", "leaky_relu(0.125)", "scaled_tanh(-1.5, 0.75)"),
    ]
    assert block.open == ()


def test_activation_defaults(save: Save) -> None:
    """Without alpha and beta ONNX's defaults hold, and where onnxruntime differs it is told."""
    names = ["HardSigmoid", "ThresholdedRelu", "Elu", "Sigmoid", "ScaledTanh", "Affine"]
    node = lstm(direction="bidirectional", activations=names)
    (block,) = save([node], tensors(weights(2))).blocks
    assert [part.variant.activations for part in block.parts.values()] == [
        ("hard_sigmoid(0.2, 0.5)", "thresholded_relu(1.0)", "elu(1.0)"),
        ("sigmoid", "scaled_tanh(1.0, 1.0)", "affine(1.0, 0.0)"),
    ]
    assert [each.split(":")[0] for each in block.open] == [
        "thresholded_relu", "scaled_tanh", "affine",
    ]  # fmt: skip
    assert all("onnxruntime" in each for each in block.open)


def test_activations_are_ours(save: Save) -> None:
    """Every activation that a block may name is one that our cells can take."""
    for name in onnx_._BY_ONNX_NAME:
        node = lstm(activations=[name] * 3, activation_alpha=[1e-7], activation_beta=[1e7])
        (block,) = save([node], tensors(weights())).blocks
        for text in block.parts["forward"].variant.activations or ():
            parse_activation(text)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"direction": "sideways"}, "direction is 'sideways'"),
        ({"hidden_size": 3}, "H = 3 needs (1, 12, I)"),
        ({"hidden_size": -1}, "hidden_size is -1"),
        ({"direction": "bidirectional"}, "needs (2, 8, I)"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"clip": float("nan")}, "clip is nan"),
        ({"activations": ["Tanh", "Tanh"]}, "2 activations, needs 3"),
        ({"activations": ["Sigmoid", "Tanh", "Gelu"]}, "'Gelu' is not known"),
        (
            {"activations": ["Elu"] * 3, "activation_alpha": [float("inf")]},
            "activation_alpha is [inf]",
        ),
    ],
)
def test_ill_formed(save: Save, attributes: dict[str, Any], reason: str) -> None:
    """An LSTM that contradicts itself is named in the notes with the reason."""
    note = only_note(save([lstm(**attributes)], tensors(weights())))
    assert note.startswith("LSTM 'it' is not read: ")
    assert reason in note


def test_a_node_that_is_not_read_is_not_read_by_the_names_of_its_weights(save: Save) -> None:
    """A backward LSTM with W of rank 2 is an error, with or without a convention or a cell."""
    arrays = {key: value[0] for key, value in weights().items() if key in "WRB"}
    contents = save([lstm("X", "W", "R", "B", direction="reverse")], tensors(arrays))
    assert find_lstms(contents, "test") == []
    for options in ({}, {"convention": "onnx"}, {"cell": LSTM}):
        with pytest.raises(InputError, match="LSTM 'it' is not read: its W is") as caught:
            model_from(contents, "model.onnx", **options)
        assert caught.value.where == "model.onnx"
    whole = {key: value for key, value in weights().items() if key in "WRB"}
    read = save([lstm("X", "W", "R", "B", direction="reverse")], tensors(whole))
    assert list(model_from(read, "model.onnx").layers[0].directions) == ["backward"]


def test_an_lstm_beside_one_that_is_not_read_is_read_by_its_name(save: Save) -> None:
    """The one that can be read is not taken unasked; the other, if it is asked for, is an error."""
    more = weights(seed=1)
    arrays = weights() | {"W2": more["W"][0], "R2": more["R"]}
    nodes = [
        lstm("X", "W", "R", name="good"),
        lstm("X", "W2", "R2", name="bad", outputs=["Z"]),
    ]
    contents = save(nodes, tensors(arrays))
    with pytest.raises(InputError, match="some LSTMs in the file cannot be read") as caught:
        model_from(contents, "test")
    assert "LSTM 'bad' is not read: its W is" in caught.value.where
    assert caught.value.lines.hint == "choose one: --lstm good"
    for layer in ("good", "0"):
        assert model_from(contents, "test", lstm=layer).first.hidden_size == H
    with pytest.raises(InputError, match="LSTM 'bad' is not read: its W is"):
        model_from(contents, "test", lstm="bad")
    with pytest.raises(InputError, match="no LSTM 'other' in the file"):
        model_from(contents, "test", lstm="other")


def test_names_alone_are_said_where_no_node_is_an_lstm(save: Save) -> None:
    """A graph that uses the weights in its own way is read by names, which is left open."""
    node = helper.make_node("MatMul", ["X", "W"], ["Y"])
    contents = save([node], tensors({key: weights()[key] for key in "WR"}))
    (found,) = find_lstms(contents, "test")
    assert found.open[-1].startswith("no operator of the graph is an LSTM")


def test_computed_weights(save: Save) -> None:
    """A weight that is computed when the model runs is named in the notes, never dropped."""
    node = helper.make_node("Mul", ["W", "X"], ["W2"])
    note = only_note(save([node, lstm("X", "W2", "R")], tensors(weights())))
    assert note == "LSTM 'it' is not read: its W is not in the file: it is computed by Mul, " \
        "which is not followed"  # fmt: skip
    note = only_note(save([lstm("X", "W", "X")], tensors(weights())))
    assert "its R is not in the file: it depends on the input 'X'" in note
    note = only_note(save([lstm("X", "W", "absent")], tensors(weights())))
    assert "nothing produces 'absent'" in note


def test_other_operators(save: Save) -> None:
    """An LSTM operator that is not ONNX's own is named in the notes."""
    node = helper.make_node("DynamicQuantizeLSTM", ["X"], ["Y"], domain="com.microsoft")
    note = only_note(save([node], tensors(weights())))
    assert note == "com.microsoft.DynamicQuantizeLSTM 'Y' is not read: only ONNX's own LSTM is"


def test_states_are_noted(save: Save) -> None:
    """A constant initial state is told, with whether it is zeros."""
    arrays = weights() | {"h": np.zeros((1, 1, H), "f4"), "c": np.ones((1, 1, H), "f4")}
    (block,) = save([lstm("X", "W", "R", "B", "X", "h", "c")], tensors(arrays)).blocks
    assert block.open == (
        "sequence_lens: given when the model runs; here by --lengths",
        "initial_h: a constant of the file, all zeros",
        "initial_c: a constant of the file [1, 1, 2], not zeros; give it by --h or --c",
    )


def test_typed_data(save: Save) -> None:
    """Numbers in typed fields read as those in raw data do, float16 and bfloat16 too."""
    arrays = weights()
    kinds = {"W": onnx.TensorProto.FLOAT16, "R": onnx.TensorProto.BFLOAT16,
             "B": onnx.TensorProto.DOUBLE, "P": onnx.TensorProto.FLOAT}  # fmt: skip
    made = [
        helper.make_tensor(key, kind, arrays[key].shape, arrays[key].ravel().tolist())
        for key, kind in kinds.items()
    ]
    assert not any(each.HasField("raw_data") for each in made)
    (block,) = save([lstm()], made).blocks
    for key, array in block.parts["forward"].tensors.items():
        expected = numpy_helper.to_array(next(each for each in made if each.name == key))
        np.testing.assert_array_equal(array, expected[0].astype(array.dtype))


@pytest.mark.parametrize("value", [[0.5, -2.0], 0.25])
def test_constant_nodes(save: Save, value: Any) -> None:
    """A Constant in any of its forms is a value that is known."""
    form = "value_floats" if isinstance(value, list) else "value_float"
    nodes = [
        helper.make_node("Constant", [], ["v"], **{form: value}),
        helper.make_node("Constant", [], ["shape"], value_ints=[1, -1]),
        helper.make_node("Reshape", ["v", "shape"], ["row"]),
        helper.make_node(
            "Concat", ["row"] * (32 if form == "value_float" else 16), ["B32"], axis=1
        ),
        helper.make_node("Constant", [], ["end"], value_int=8 * H),
        helper.make_node("Constant", [], ["start"], value_int=0),
        helper.make_node("Constant", [], ["axis"], value_int=1),
        helper.make_node("Slice", ["B32", "start", "end", "axis"], ["B"]),
        lstm("X", "W", "R", "B"),
    ]
    arrays = weights()
    (block,) = save(nodes, tensors({"W": arrays["W"], "R": arrays["R"]})).blocks
    expected = np.resize(np.array(value, dtype=np.float32), 8 * H)
    np.testing.assert_array_equal(block.parts["forward"].tensors["B"], expected)


def test_old_opsets(save: Save) -> None:
    """Axes, starts and ends as attributes are followed, as opsets before 13 have them."""
    arrays = weights()
    nodes = [
        helper.make_node("Unsqueeze", ["W0"], ["W"], axes=[0]),
        helper.make_node("Slice", ["R0"], ["R"], starts=[1], ends=[2], axes=[0]),
        helper.make_node("Squeeze", ["B0"], ["B"], axes=[1]),
        helper.make_node("Split", ["P0"], ["p", "P"], axis=0, split=[2, 1]),
        lstm(),
    ]
    made = tensors({
        "W0": arrays["W"][0], "R0": np.concatenate([arrays["R"] + 1, arrays["R"]]),
        "B0": arrays["B"][:, None],
        "P0": np.concatenate([arrays["P"] + 1, arrays["P"] + 2, arrays["P"]]),
    })  # fmt: skip
    (block,) = save(nodes, made).blocks
    for key, array in block.parts["forward"].tensors.items():
        np.testing.assert_array_equal(array, arrays[key][0])


def test_dequantised_by_row(save: Save) -> None:
    """DequantizeLinear with a scale a row gives scale · (q - zero point)."""
    arrays = weights()
    codes = np.arange(4 * H * I, dtype=np.uint8).reshape(1, 4 * H, I)
    scale = np.linspace(0.01, 0.2, 4 * H, dtype=np.float32)
    zero = np.arange(4 * H, dtype=np.uint8)
    made = tensors({"q": codes, "s": scale, "z": zero, "R": arrays["R"]})
    node = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["W"], axis=1)
    (block,) = save([node, lstm("X", "W", "R")], made).blocks
    expected = (codes[0].astype(float) - zero[:, None]) * scale[:, None]
    np.testing.assert_allclose(block.parts["forward"].tensors["W"], expected, rtol=1e-7)


def test_loop_body(save: Save) -> None:
    """An LSTM in a Loop's body is read where its weights lie outside, not where they go around."""
    state = [helper.make_tensor_value_info(name, FLOAT, None) for name in ("n", "go", "R_around")]
    nodes = [lstm("X", "W", "R"), helper.make_node("LSTM", ["X", "W", "R_around"], ["Z"])]
    body = helper.make_graph(nodes, "body", state, [])
    loop = helper.make_node("Loop", ["", "", "R"], ["out"], name="loop", body=body)
    contents = save([loop], tensors(weights()))
    assert [block.name for block in contents.blocks] == ["loop/body/it"]
    assert contents.notes[1] == (
        "LSTM 'loop/body/Z' is not read: its R is not in the file: it depends on the input "
        "'R_around'"
    )


def test_shadowed_names(save: Save) -> None:
    """A name in a branch hides the same name around it."""
    arrays = weights()
    inner = helper.make_graph([lstm("X", "W", "R")], "g", [], [], tensors({"W": arrays["W"] + 1}))
    node = helper.make_node("If", ["X"], ["out"], name="if", then_branch=inner, else_branch=inner)
    contents = save([node], tensors(arrays))
    assert [block.name for block in contents.blocks] == ["if/else_branch/it", "if/then_branch/it"]
    for block in contents.blocks:
        np.testing.assert_array_equal(block.parts["forward"].tensors["W"], arrays["W"][0] + 1)


def test_function_called_twice(save: Save) -> None:
    """A function that is called twice makes two layers, each with its own weights."""
    body = [helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="it")]
    opset = [helper.make_opsetid("", 17)]
    made = helper.make_function("own", "F", ["x", "w", "r"], ["y"], body, opset)
    arrays = weights() | {"W2": weights(seed=1)["W"]}
    calls = [
        helper.make_node("F", ["X", w, "R"], [out], name="f", domain="own")
        for w, out in (("W", "a"), ("W2", "b"))
    ]
    contents = save(calls, tensors(arrays), functions=[made])
    assert [block.name for block in contents.blocks] == ["f/it", "f/it#2"]
    for block, key in zip(contents.blocks, ("W", "W2"), strict=True):
        np.testing.assert_array_equal(block.parts["forward"].tensors["W"], arrays[key][0])


def test_function_sees_its_inputs_only(save: Save) -> None:
    """A function's body does not see the names of the graph that calls it."""
    body = [helper.make_node("LSTM", ["x", "W", "R"], ["y"], name="it")]
    made = helper.make_function("own", "F", ["x"], ["y"], body, [helper.make_opsetid("", 17)])
    call = helper.make_node("F", ["X"], ["a"], name="f", domain="own")
    note = only_note(save([call], tensors(weights()), functions=[made]))
    assert "nothing produces 'W'" in note


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the onnx package the error is the line that installs it."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError) as caught:
        read_weights(FILES / "onnx_forward.onnx")
    assert caught.value.hint == "pip install 'lstm-cli[onnx]'"


def test_reading_a_tensor_again_and_again() -> None:
    """A tensor can be asked for as often as one likes."""
    contents = onnx_.read(FILES / "onnx_forward.onnx")
    arrays = [contents.tensors["W"] for _ in range(200)]
    np.testing.assert_array_equal(arrays[0], arrays[-1])
