"""Keras files: every kind that Keras 1 to 3 wrote, read without Keras.

The files and their numbers are Keras' own (tests/files/make_keras_files.py); a few oddities are
written here with h5py, in the layout that those files show.
"""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError
from lstm_cli.cell.cells import LSTM, Settings
from lstm_cli.cell.traits import traits_of
from lstm_cli.cell.weights import Model
from lstm_cli.commands.inspect.inspection import inspect_file
from lstm_cli.engine import run as engine
from lstm_cli.formats import hdf5
from lstm_cli.formats.contents import Block, Contents, Part
from lstm_cli.formats.conventions import convention_named
from lstm_cli.formats.keras import activation, layers_of, masks_of, read
from lstm_cli.formats.layouts import unpack
from lstm_cli.formats.read import read_weights
from tests.tools import call
from tests.witness import Witness

h5py = pytest.importorskip("h5py")

FILES = Path(__file__).parents[1] / "files"
GOLDENS = sorted(
    path.stem
    for path in FILES.glob("keras*.json")
    if json.loads(path.read_text())["file"].endswith((".keras", ".h5"))
)


def golden(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((FILES / f"{name}.json").read_text())
    return record


def block_of(contents: Contents, name: str) -> Block:
    return next(block for block in contents.blocks if block.name == name)


def names(file: str | Path) -> list[str]:
    return [block.name for block in read(FILES / file).blocks]


def witness(convention: str, part: Part) -> Witness:
    """Return the scalar LSTM of one direction of a block."""
    found = unpack(convention_named(convention), part.tensors, "test")
    units = len(found["W_f"])
    zeros = np.zeros(units)
    gate, candidate, output = part.variant.activations or ("sigmoid", "tanh", "tanh")
    return Witness(
        W={k: found[f"W_{k}"][:, units:].astype(float).tolist() for k in "figo"},
        U={k: found[f"W_{k}"][:, :units].astype(float).tolist() for k in "figo"},
        b={k: found.get(f"b_{k}", zeros).astype(float).tolist() for k in "figo"},
        gate=gate, candidate=candidate, output=output,
    )  # fmt: skip


def run(block: Block, record: dict[str, Any]) -> dict[str, Array]:
    """Return output (N, T, D·H), h and c (N, D·H), in input time, of a golden's inputs."""
    ways: list[dict[str, Array]] = []
    for (direction, part), h0, c0 in zip(
        block.parts.items(), record["h0"], record["c0"], strict=True
    ):
        cell = witness(block.convention, part)
        turn = -1 if direction == "backward" else 1
        runs = [cell.run(xs[::turn], h, c) for xs, h, c in zip(record["x"], h0, c0, strict=True)]
        ways.append({
            "output": np.array([[step["h"] for step in steps][::turn] for steps in runs]),
            "h": np.array([steps[-1]["h"] for steps in runs]),
            "c": np.array([steps[-1]["c"] for steps in runs]),
        })  # fmt: skip
    return {key: np.concatenate([way[key] for way in ways], axis=-1) for key in ways[0]}


@pytest.mark.parametrize("name", GOLDENS)
def test_a_layer_gives_the_numbers_that_keras_gave(name: str) -> None:
    """Output and both states, from states that are not zero, within float32's accuracy."""
    record = golden(name)
    contents = read(FILES / record["file"])
    block = block_of(contents, record["layer"])
    assert block.convention == record["convention"]
    for key, got in run(block, record).items():
        expected = np.array(record["expected"][key])
        np.testing.assert_allclose(got, expected, rtol=0, atol=record["atol"], err_msg=key)


@pytest.mark.parametrize("name", GOLDENS)
def test_every_dataset_is_listed_with_its_shape(name: str) -> None:
    """What HDF5 holds is what is listed, optimizers, embeddings and all."""
    record = golden(name)
    infos = read(FILES / record["file"]).tensors.infos
    assert {path: list(info.shape) for path, info in infos.items()} == record["tensors"]


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_layers_come_in_the_order_of_the_model(suffix: str) -> None:
    """zulu, middle, alpha: neither the alphabet's order nor that of the classes."""
    assert names(f"keras3_functional{suffix}") == ["zulu", "middle", "alpha"]


def test_nested_models_wrappers_and_stacked_cells_are_found_and_a_gru_is_not() -> None:
    """Names carry the path to a layer; TimeDistributed's is its own."""
    assert names("keras3_nested.keras") == ["inner/inside", "summed"]
    assert names("keras3_stack.keras") == ["stack/low", "stack/high", "timed"]
    timed = block_of(read(FILES / "keras3_stack.keras"), "timed")
    assert timed.open == ("it lies inside a TimeDistributed",)


def test_a_merge_is_that_of_the_configuration() -> None:
    """merge_mode is the merge of the layer's model, and known; None, two outputs, is open."""
    path = FILES / "keras3_nested.keras"
    summed = block_of(read(path), "summed")
    assert (summed.merge, summed.open) == ("sum", ())
    model = read_weights(path, lstm="summed")
    assert model.merge == "sum"
    assert any("sum of the two directions" in each for each in model.assumptions)
    config = {"name": "two", "merge_mode": None, "layer": IT}
    (layer,) = layers_of({"class_name": "Bidirectional", "config": config}, "a.keras")
    assert layer.merge == "concat"
    assert layer.open == ("merge_mode = None: here the two outputs stand side by side",)
    joined = block_of(read(FILES / "keras3_functional.keras"), "middle")
    assert "Bidirectional, merge_mode = concat" in joined.known_by
    assert joined.open == ()


def test_go_backwards_is_a_backward_direction_and_said() -> None:
    """The one direction there is is the backward one, and Keras' reversed output is noted."""
    (block,) = read(FILES / "keras3_backwards.keras").blocks
    assert list(block.parts) == ["backward"]
    assert "reversed time" in block.open[0]


@pytest.mark.parametrize(
    ("file", "layer", "activations", "phrase"),
    [
        ("keras3_sequential.keras", "the_lstm", None,
         "config.json: recurrent_activation = sigmoid"),
        ("keras3_hard_sigmoid.keras", "the_lstm", ("hard_sigmoid_6", "tanh", "tanh"),
         "keras_version 3.15.1"),
        ("keras3_activations.keras", "the_lstm", ("leaky_relu(0.25)", "softsign", "softsign"),
         "config.json: recurrent_activation = LeakyReLU"),
        ("keras215.keras", "hard", ("hard_sigmoid", "tanh", "tanh"), "keras_version 2.15.0"),
        ("keras224.h5", "one", ("hard_sigmoid", "tanh", "tanh"),
         "model_config: recurrent_activation = hard_sigmoid"),
        ("keras122.h5", "one", ("hard_sigmoid", "tanh", "tanh"),
         "model_config: inner_activation = hard_sigmoid"),
        ("keras_cudnn.h5", "fused", None,
         "bias has 8·4 numbers: CuDNNLSTM, which is sigmoid and tanh"),
    ],
)  # fmt: skip
def test_activations_are_told_with_their_source(
    file: str, layer: str, activations: tuple[str, str, str] | None, phrase: str
) -> None:
    """hard_sigmoid is z/6 + 0.5 in Keras 3 and 0.2 z + 0.5 before; None is sigmoid and tanh."""
    block = block_of(read(FILES / file), layer)
    assert block.parts["forward"].variant.activations == activations
    assert phrase in block.known_by
    assert block.open == ()


def test_weights_alone_leave_the_activations_open() -> None:
    """A .weights.h5 has no configuration, and says so; the layers' names are there."""
    (block,) = read(FILES / "keras3_sequential.weights.h5").blocks
    assert block.name == "the_lstm"
    assert "the file does not say the gates' activation: sigmoid" in block.open
    assert block.parts["forward"].variant.activations is None


def test_weights_alone_of_keras_2_2_have_the_default_of_that_time() -> None:
    """save_weights of 2.2.4 tells the version: hard_sigmoid was the default, and it is said."""
    for block in read(FILES / "keras224_weights.h5").blocks:
        assert block.parts["forward"].variant.activations == ("hard_sigmoid", "tanh", "tanh")
        assert "the file does not say the gates' activation: hard_sigmoid" in block.open


def edited(tmp_path: Path, file: str, change: Callable[[str], str]) -> Path:
    """Return a copy of a Keras file whose configuration is changed as text."""
    path = tmp_path / file
    if file.endswith(".h5"):
        shutil.copy(FILES / file, path)
        with h5py.File(path, "r+") as opened:
            opened.attrs["model_config"] = change(opened.attrs["model_config"])
        return path
    with zipfile.ZipFile(FILES / file) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data.decode()) if name == "config.json" else data)
    return path


def test_a_configuration_without_the_activation_takes_the_versions_default(tmp_path: Path) -> None:
    """Keras 2.2.4's LSTM without `recurrent_activation` is a hard sigmoid, and that is open."""
    without = '"recurrent_activation": "hard_sigmoid", '
    path = edited(tmp_path, "keras224.h5", lambda text: text.replace(without, ""))
    block = block_of(read(path), "one")
    assert block.parts["forward"].variant.activations == ("hard_sigmoid", "tanh", "tanh")
    assert block.open == ("model_config does not say the gates' activation: hard_sigmoid",)


def test_an_unknown_activation_is_refused_by_name(tmp_path: Path) -> None:
    """Gelu is not computed here: the error names it and the layer."""
    path = edited(tmp_path, "keras3_sequential.keras", lambda t: t.replace('"tanh"', '"gelu"'))
    with pytest.raises(InputError, match="activation 'gelu'") as caught:
        read(path)
    assert "layer the_lstm" in caught.value.where


@pytest.mark.parametrize(
    ("value", "version", "name"),
    [
        (None, (3, 0), "affine"), ("linear", (2, 0), "affine"), ("elu", (3, 0), "elu"),
        ("hard_sigmoid", (2, 15), "hard_sigmoid"), ("hard_sigmoid", (3, 0), "hard_sigmoid_6"),
        ("hard_sigmoid", None, "hard_sigmoid_6"), ("leaky_relu", (3, 0), "leaky_relu(0.2)"),
        ({"class_name": "function", "config": "softplus"}, (3, 0), "softplus"),
        ({"class_name": "LeakyReLU", "config": {"alpha": 0.1}}, (2, 4), "leaky_relu(0.1)"),
        ({"class_name": "LeakyReLU", "config": {}}, (3, 0), "leaky_relu(0.3)"),
        ({"class_name": "ELU", "config": {"alpha": 2}}, (3, 0), "elu(2.0)"),
    ],
)  # fmt: skip
def test_names_of_activations(value: Any, version: tuple[int, int] | None, name: str) -> None:
    """Each of Keras' ways to write an activation has one name here."""
    assert activation(value, version, "test") == name


@pytest.mark.parametrize(
    "value",
    ["selu", 7, [], {}, {"class_name": "function", "config": {"code": "…"}}, "LeakyReLU",
     {"class_name": "LeakyReLU", "config": {"alpha": "1); import os"}},
     {"class_name": "LeakyReLU", "config": {"alpha": float("nan")}}],
)  # fmt: skip
def test_an_activation_that_is_none_is_refused(value: Any) -> None:
    """Numbers, code, text where a constant should be: an error in three parts."""
    with pytest.raises(InputError, match="is not one that is computed here"):
        activation(value, (3, 0), "test")


def test_a_class_of_the_users_own_is_read_as_a_plain_lstm_and_said(tmp_path: Path) -> None:
    """A subclass may compute anything, so its weights come with a doubt."""

    def rename(text: str) -> str:
        return text.replace('"module": "keras.layers", "class_name": "LSTM"',
                            '"module": "my.code", "class_name": "LSTM"')  # fmt: skip

    (block,) = read(edited(tmp_path, "keras3_sequential.keras", rename)).blocks
    assert block.name == "the_lstm"
    assert "the configuration names no LSTM for these weights" in block.open[0]
    assert "the activation is taken to be tanh, the default" in block.open


def test_a_mask_beside_a_class_of_the_users_own_is_told(tmp_path: Path) -> None:
    """What lies in a wrapper that is not known is not followed: any mask of the model may reach it."""
    wrapped = {"class_name": "Mine>Wrapper", "config": {"name": "w", "inner": IT}}
    for mask, said in ((MASKING, ["a layer 'mask' is in the file: steps that it masks are run"]),
                       (EMBEDDING, ["a layer 'words' is in the file"]), (DENSE, [])):  # fmt: skip
        path = new_file(tmp_path, mask, wrapped, paths=["lstm/cell"])
        (block,) = read(path).blocks
        told = [each for each in block.open if "is in the file" in each]
        assert len(told) == len(said)
        assert all(each.startswith(start) for each, start in zip(told, said, strict=True))


def test_a_layer_without_weights_is_refused_and_so_are_weights_that_may_be_its(
    tmp_path: Path,
) -> None:
    """Units that the weights do not have: neither is read as a plain LSTM, and both are told."""
    path = edited(
        tmp_path, "keras3_sequential.keras", lambda t: t.replace('"units": 4', '"units": 5')
    )
    contents = read(path)
    assert "no weights are found for layer 'the_lstm' (config.json)" in contents.notes
    assert contents.blocks == ()
    assert list(contents.refused) == ["the_lstm", "layers/lstm/cell/vars"]
    assert "may be those of 'the_lstm'; left alone" in contents.notes[-1]
    with pytest.raises(InputError, match="no weights are found for layer 'the_lstm'"):
        read_weights(path)


def test_nothing_is_read_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing a file's layers takes none of its numbers."""
    loaded: list[str] = []
    load = hdf5.Hdf5.load

    def counted(self: hdf5.Hdf5, path: str) -> Array:
        loaded.append(path)
        return load(self, path)

    monkeypatch.setattr(hdf5.Hdf5, "load", counted)
    contents = read(FILES / "keras3_functional.keras")
    assert loaded == []
    assert contents.blocks[0].parts["forward"].tensors["kernel"].shape == (3, 16)
    assert loaded == ["layers/lstm/cell/vars/0"]


def test_without_h5py_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact line for pip is the hint."""
    monkeypatch.setitem(sys.modules, "h5py", None)
    for file in ("keras3_sequential.keras", "keras224.h5"):
        with pytest.raises(InputError, match="needs the package h5py") as caught:
            read_weights(FILES / file)
        assert caught.value.hint == "pip install 'lstm-cli[keras]'"


def weights(seed: int = 0, inputs: int = 3, units: int = 2) -> list[Array]:
    generator = np.random.default_rng(seed)
    shapes = ((inputs, 4 * units), (units, 4 * units), (4 * units,))
    return [generator.uniform(-1, 1, shape) for shape in shapes]


def test_paths_of_keras_2_12_on_windows(tmp_path: Path) -> None:
    """Backslashes and `_layer_checkpoint_dependencies` lead to the same layer."""
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        for number, array in enumerate(weights()):
            file[f"_layer_checkpoint_dependencies\\lstm\\cell\\vars/{number}"] = array
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        lstm = {"class_name": "LSTM", "config": {"name": "mine", "units": 2}}
        model = {"class_name": "Sequential", "config": {"layers": [lstm]}}
        archive.writestr("config.json", json.dumps(model))
        archive.write(tmp_path / "w.weights.h5", "model.weights.h5")
    (block,) = read(tmp_path / "w.keras").blocks
    assert block.name == "mine"
    assert block.parts["forward"].tensors["bias"].tolist() == weights()[2].tolist()


def old_file(path: Path, layers: dict[str, dict[str, Array]], pieces: int = 0) -> Path:
    """Write an .h5 of the old kind; `layer_names` in pieces as for very long lists."""
    with h5py.File(path, "w") as file:
        listed = np.array([name.encode() for name in layers])
        if pieces:
            for number, piece in enumerate(np.array_split(listed, pieces)):
                file.attrs[f"layer_names{number}"] = piece
        else:
            file.attrs["layer_names"] = listed
        for name, arrays in layers.items():
            group = file.create_group(name)
            for key, array in arrays.items():
                group[key] = array
    return path


def plain(seed: int = 0) -> dict[str, Array]:
    return dict(zip(("kernel:0", "recurrent_kernel:0", "bias:0"), weights(seed), strict=True))


@pytest.mark.parametrize("pieces", [0, 2, 4])
def test_layer_names_give_the_order_whole_or_in_pieces(tmp_path: Path, pieces: int) -> None:
    """Keras cuts a list that is too long for one attribute."""
    order = ["third", "first", "fourth", "second", "zeroth"]
    layers = {name: plain() for name in order}
    contents = read(old_file(tmp_path / "w.h5", layers, pieces))
    assert [block.name for block in contents.blocks] == order


def test_a_file_without_a_version_is_asked_about(tmp_path: Path) -> None:
    """Keras wrote its version beside these names; another program may have written them."""
    path = old_file(tmp_path / "w.h5", {"one": plain()})
    with pytest.raises(InputError, match="does not say which version of Keras") as caught:
        read_weights(path)
    for name in ("keras", "keras-2.2", "haste"):
        assert f"--convention {name}: h = " in caught.value.lines.hint
        assert read_weights(path, convention=name).first.hidden_size == 2


def test_peepholes_are_left_alone_and_noted(tmp_path: Path) -> None:
    """Weights beyond a plain LSTM's would change the numbers: they are not read without them."""
    more = plain() | {"input_gate_peephole_weights:0": np.ones(2)}
    path = old_file(tmp_path / "w.h5", {"one": more, "two": plain(1)})
    contents = read(path)
    assert [block.name for block in contents.blocks] == ["two"]
    assert "'one' has more weights than a plain LSTM; left alone" in contents.notes
    with pytest.raises(InputError, match="some LSTMs in the file cannot be read") as caught:
        read_weights(path)
    assert "'one' has more weights" in caught.value.where
    assert caught.value.lines.hint == "choose one: --lstm two"
    assert read_weights(path, lstm="two", convention="keras").first.hidden_size == 2
    with pytest.raises(InputError, match="'one' has more weights"):
        read_weights(path, lstm="one")
    with pytest.raises(InputError, match="'one' has more weights"):
        read_weights(old_file(tmp_path / "one.h5", {"one": more}))


def new_file(folder: Path, *layers: dict[str, Any], paths: list[str]) -> Path:
    """Write a .keras of layers in the layout of Keras 3, the weights told by their seed."""
    with h5py.File(folder / "w.weights.h5", "w") as file:
        for seed, path in enumerate(paths):
            for number, array in enumerate(weights(seed, 2)):
                file[f"layers/{path}/vars/{number}"] = array
    with zipfile.ZipFile(folder / "w.keras", "w") as archive:
        model = {"class_name": "Sequential", "config": {"layers": list(layers)}}
        archive.writestr("config.json", json.dumps(model))
        archive.write(folder / "w.weights.h5", "model.weights.h5")
    return folder / "w.keras"


def bidirectional(inner: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Bidirectional", "config": {"name": "both", "layer": inner}}


def test_cells_stacked_in_two_directions_are_kept_apart(tmp_path: Path) -> None:
    """Each direction is a stack of its own before the two are joined: four layers, and said."""
    cells = [{"class_name": "LSTMCell", "config": {"name": n, "units": 2}} for n in ("a", "b")]
    stack = {"class_name": "StackedRNNCells", "config": {"name": "cells", "cells": cells}}
    layer = bidirectional({"class_name": "RNN", "config": {"name": "rnn", "cell": stack}})
    inside = [f"{way}_layer/cell/cells/{cell}" for way in ("forward", "backward")
              for cell in ("lstm_cell", "lstm_cell_1")]  # fmt: skip
    path = new_file(tmp_path, layer, paths=[f"bidirectional/{each}" for each in inside])
    assert read(path).stacks == ()
    found = read(path).blocks
    assert [b.name for b in found] == [
        f"both/{w}/{c}" for w in ("forward", "backward") for c in "ab"
    ]
    assert [list(b.parts) for b in found] == [["forward"]] * 2 + [["backward"]] * 2
    assert all("not one stack" in block.open[0] for block in found)
    for seed, block in enumerate(found):
        (part,) = block.parts.values()
        assert part.tensors["kernel"].tolist() == weights(seed, 2)[0].tolist()
    alone = read(tmp_path / "w.weights.h5").blocks
    assert len({block.name for block in alone}) == 4


def test_bidirectional_around_go_backwards_is_exchanged_and_said(tmp_path: Path) -> None:
    """Its first layer runs backwards, so its weights are the backward direction's."""
    inner = {"class_name": "LSTM", "config": {"name": "x", "units": 2, "go_backwards": True}}
    paths = [f"bidirectional/{way}_layer/cell" for way in ("forward", "backward")]
    (block,) = read(new_file(tmp_path, bidirectional(inner), paths=paths)).blocks
    assert block.parts["backward"].tensors["bias"].tolist() == weights(0, 2)[2].tolist()
    assert "directions are swapped" in block.open[0]


def versioned(tmp_path: Path, version: str, source: str = "keras224_weights.h5") -> Path:
    """Return a copy of a file that tells another version of Keras."""
    path = tmp_path / source
    shutil.copy(FILES / source, path)
    with h5py.File(path, "r+") as file:
        group = file if "keras_version" in file.attrs else file["model_weights"]
        group.attrs["keras_version"] = version
    return path


def gate_activation(model: Model) -> str:
    """Return the gates' activation of a model."""
    traits = traits_of(model.cell)
    assert traits is not None
    return traits.activations[0]


def test_a_version_of_two_defaults_is_refused_with_the_choices(tmp_path: Path) -> None:
    """TensorFlow 1.15 and 2.0 both wrote 2.2.4-tf, with different defaults: the user decides."""
    path = versioned(tmp_path, "2.2.4-tf")
    with pytest.raises(InputError, match="had two defaults") as caught:
        read_weights(path, lstm="one", edit=Settings(clip=3.0).edit)
    assert "--convention keras-2.2" in caught.value.lines.hint
    assert "--convention keras: h = " in caught.value.lines.hint
    document = inspect_file(path)
    assert all("had two defaults" in lstm["open"][-1] for lstm in document["lstms"])
    assert "two defaults" not in repr(inspect_file(path, "keras"))


@pytest.mark.parametrize(
    ("options", "gate"),
    [
        ({"convention": "keras-2.2"}, "hard_sigmoid"),
        ({"convention": "keras"}, "sigmoid"),
        ({"cell": LSTM}, "sigmoid"),
        ({"edit": Settings(activations="sigmoid,tanh,tanh").edit}, "sigmoid"),
        ({"edit": Settings(activations="hard_sigmoid,tanh,tanh").edit}, "hard_sigmoid"),
    ],
)
def test_a_choice_between_two_defaults_is_heeded(
    tmp_path: Path, options: dict[str, Any], gate: str
) -> None:
    """A convention, a cell or activations decide, and nothing is left open about the gates."""
    model = read_weights(versioned(tmp_path, "2.2.4-tf"), lstm="one", **options)
    assert gate_activation(model) == gate
    assert not any("two defaults" in each for each in model.assumptions)
    if "hard" in gate:  # Keras 2.2.4 computed these
        record = golden("keras224_weights_one")
        trace = engine.run(model, np.array(record["x"][0]), np.array(record["h0"][0][0]),
                           np.array(record["c0"][0][0]))  # fmt: skip
        np.testing.assert_allclose(trace.h, record["expected"]["h"][0], rtol=0, atol=record["atol"])


@pytest.mark.parametrize(
    ("version", "gate"),
    [("2.1.6-tf", "hard_sigmoid"), ("2.2.4", "hard_sigmoid"), ("2.2.5", "hard_sigmoid"),
     ("2.3.0-tf", "sigmoid"), ("2.3.1", "sigmoid"), ("2.4.0", "sigmoid")],
)  # fmt: skip
def test_versions_of_one_default_are_read_and_said(tmp_path: Path, version: str, gate: str) -> None:
    """Before Keras 2.3 the hard sigmoid, since then the sigmoid; that it is a default is told."""
    model = read_weights(versioned(tmp_path, version), lstm="one")
    assert gate_activation(model) == gate
    assert f"the file does not say the gates' activation: {gate}" in model.assumptions


def test_a_whole_model_of_that_version_says_its_activations(tmp_path: Path) -> None:
    """With a configuration nothing is left to choose."""
    model = read_weights(versioned(tmp_path, "2.2.4-tf", "keras224.h5"), lstm="one")
    assert gate_activation(model) == "hard_sigmoid"


LSTM_2: dict[str, Any] = {"name": "it", "units": 2, "return_sequences": True}
MASKING = {"class_name": "Masking", "config": {"name": "mask", "mask_value": 2.0}}
EMBEDDING = {"class_name": "Embedding", "config": {"name": "words", "mask_zero": True}}
DENSE = {"class_name": "Dense", "config": {"name": "dense"}}
GRU = {"class_name": "GRU", "config": {"name": "gru", "return_sequences": False}}
REPEAT = {"class_name": "RepeatVector", "config": {"name": "again"}}
IT = {"class_name": "LSTM", "config": LSTM_2}
BOTH = {"class_name": "Bidirectional", "config": {"name": "it", "layer": IT}}


def sequential(*layers: dict[str, Any], name: str = "inner") -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def functional(
    layers: dict[str, tuple[dict[str, Any], list[Any]]], output: str = "it"
) -> dict[str, Any]:
    """Return a model of layers by name, each with what it is called with (Keras 2)."""
    listed = [
        {**layer, "name": name, "inbound_nodes": [calls] if calls else []}
        for name, (layer, calls) in layers.items()
    ]
    config = {"name": "model", "layers": listed, "output_layers": [[output, 0, 0]]}
    return {"class_name": "Functional", "config": config}


def keras_3(name: str, mask: Any = None) -> dict[str, Any]:
    """Return how Keras 3 writes a call with a layer's output."""
    history = {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}
    return {"args": [history], "kwargs": {"mask": mask}}


INPUT = {"class_name": "InputLayer", "config": {"name": "input"}}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (sequential(MASKING, IT), "Masking 'mask'"),
        (sequential(EMBEDDING, DENSE, BOTH), "Embedding 'words'"),
        (sequential(sequential(MASKING, DENSE), IT), "Masking 'mask'"),
        (sequential(MASKING, sequential(DENSE, IT)), "Masking 'mask'"),
        (sequential(MASKING, {"class_name": "TimeDistributed",
                              "config": {"name": "t", "layer": IT}}), "Masking 'mask'"),
        (sequential({"class_name": "TimeDistributed", "config": {"layer": EMBEDDING}}, IT),
         "Embedding 'words'"),
        (functional({"it": (IT, [["mask", 0, 0, {}]]), "mask": (MASKING, [["input", 0, 0, {}]]),
                     "input": (INPUT, [])}), "Masking 'mask'"),
        (functional({"input": (INPUT, []), "mask": (MASKING, [["input", 0, 0]]),
                     "sum": ({"class_name": "Add", "config": {}},
                             [["input", 0, 0], ["mask", 0, 0]]),
                     "it": (IT, keras_3("sum"))}), "Masking 'mask'"),
        (functional({"input": (INPUT, []),
                     "inside": (functional({"i": (INPUT, []), "it": (IT, [["i", 0, 0]])}),
                                [["mask", 0, 0]]),
                     "mask": (MASKING, [["input", 0, 0]])}, "inside"), "Masking 'mask'"),
        (functional({"input": (INPUT, []), "it": (IT, keras_3("input", ["any", 0, 0]))}),
         "called with a mask"),
        (sequential(IT), ""),
        (sequential(IT, MASKING), ""),
        (sequential(MASKING, GRU, REPEAT, IT), ""),
        (sequential({**EMBEDDING, "config": {"name": "words", "mask_zero": False}}, IT), ""),
        (functional({"input": (INPUT, []), "mask": (MASKING, [["input", 0, 0]]),
                     "it": (IT, keras_3("input"))}), ""),
    ],
)  # fmt: skip
def test_a_mask_before_an_lstm_is_told(model: dict[str, Any], said: str) -> None:
    """Through models in models, wrappers and graphs; not where no mask comes through."""
    (layer,) = layers_of(model, "test")
    computed = [each for each in layer.known if "are not run" in each]
    sentences = [*layer.mask.open, *computed]
    assert len(sentences) == (said != "")
    assert said in "".join(sentences)
    assert "steps that equal its mask_value 2.0" in "".join(sentences) or said != "Masking 'mask'"
    assert layer.mask.value == (2.0 if computed else None)


@pytest.mark.parametrize(
    ("between", "value"),
    [([], 2.0), ([{"class_name": "Dropout", "config": {}}], 2.0), ([DENSE], None), ([IT], None)],
)
def test_a_mask_is_computed_from_x_where_x_is_what_was_masked(
    between: list[Any], value: float | None
) -> None:
    """Behind a layer that changes its input a mask stays open, with what to give."""
    *_, layer = layers_of(sequential(MASKING, *between, IT), "test")
    assert layer.mask.value == value
    assert all("give --mask" in each for each in layer.mask.open)
    assert len(layer.mask.open) == (value is None)


def test_masks_of_a_model_that_refers_to_itself_come_to_an_end() -> None:
    """Layers that read each other, and models nested deeper than any, are walked once."""
    around = functional({"a": (DENSE, [["it", 0, 0]]), "it": (IT, [["a", 0, 0]])})
    (layer,) = layers_of(around, "test")
    assert layer.open == ()
    deep: dict[str, Any] = IT
    for _ in range(200):
        deep = functional({"input": (INPUT, []), "m": (deep, [["input", 0, 0]])}, "m")
    masks_of(deep)


def test_a_mask_reaches_whoever_uses_the_file(tmp_path: Path) -> None:
    """Named in the run's assumptions, and in what inspect says is open or known."""
    path = new_file(tmp_path, EMBEDDING, IT, paths=["lstm/cell"])
    (said,) = [each for each in read_weights(path).assumptions if "mask_zero" in each]
    assert said in inspect_file(path)["lstms"][0]["open"]
    path = new_file(tmp_path, MASKING, IT, paths=["lstm/cell"])
    known = inspect_file(path)["lstms"][0]["known_by"]
    assert any("its mask_value 2.0 are not run" in each for each in known)
    said = "1 of 2 steps equal the mask_value 2 of the model's Masking: not run; see --padding"
    x = ["--weights", path, "--x", "0.5,2;2,2"]
    assert said in call(*x, "--json").json["assumptions"]
    for command in ("run", "grad", "explain", ("diagnose", "--expect", "h=0,1")):
        name, *options = (command,) if isinstance(command, str) else command
        answer = call(name, *x, *options)
        assert said in " ".join((answer.out + answer.err).split())


def test_a_masking_layer_is_told_where_there_are_weights_only(tmp_path: Path) -> None:
    """Its group is empty, and its name is all that is there of it."""
    path = old_file(tmp_path / "w.h5", {"masking_1": {}, "one": plain()})
    (block,) = read(path).blocks
    assert "a layer 'masking_1' is in the file: steps that it masks are run here" in block.open[1]
    (other,) = read(old_file(tmp_path / "v.h5", {"unmasking": {}, "one": plain()})).blocks
    assert not any("masks" in each for each in other.open)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_batch_says_of_a_mask_once_and_in_each_record(tmp_path: Path, jobs: int) -> None:
    """Whether all samples have the weights or each names them, and in whichever process."""
    path = new_file(tmp_path, EMBEDDING, IT, paths=["lstm/cell"])
    (said,) = [each for each in read_weights(path).assumptions if "mask_zero" in each]
    for own, options in (({}, ["--weights", path]), ({"weights": path.name}, [])):
        lines = [json.dumps({"x": [[0.5, k]], "assumptions": "mine", **own}) for k in range(3)]
        samples = tmp_path / "samples.jsonl"
        samples.write_text("\n".join(lines))
        answer = call("batch", samples, *options, "--jobs", jobs, "--check" if own else "--trace")
        assert [record["assumptions"].count(said) for record in answer.lines] == [1, 1, 1]
        assert answer.err.count(said) == 1
        assert said not in call("batch", samples, *options, "--quiet").err


def test_a_conversion_says_that_the_mask_is_not_stored(tmp_path: Path) -> None:
    """A file of weights alone has no place for it, so the option is named that does it."""
    path = new_file(tmp_path, MASKING, IT, paths=["lstm/cell"])
    answer = call("convert", path, tmp_path / "out.npz", "--to", "pytorch")
    assert answer.code == 0
    assert "steps that equal Masking's 2 are not run: give --mask" in " ".join(answer.out.split())


def test_samples_of_a_batch_have_the_masks_that_their_x_makes(tmp_path: Path) -> None:
    """Each runs the steps that Masking leaves of it, as alone, and says so."""
    path = new_file(tmp_path, MASKING, IT, paths=["lstm/cell"])
    rows = [[[0.5, 2], [2, 2]], [[2, 2], [0.5, 2]], [[0.5, 1], [1, 2]], [[0.5, 2], [2, 2]]]
    samples = tmp_path / "samples.jsonl"
    samples.write_text(
        "\n".join(json.dumps({"x": x, "mine": 1}) for x in [*rows, [[2, 2], [2, 2]]])
    )
    answer = call("batch", samples, "--weights", path, "--trace")
    *records, failed = answer.lines
    assert "no step that is run: 2 of 2 steps equal the mask_value 2" in failed["error"]["message"]
    for x, record in zip(rows, records, strict=True):
        typed = ";".join(",".join(map(str, row)) for row in x)
        alone = call("--weights", path, "--x", typed, "--json").json
        assert record["h"] == pytest.approx(alone["h"], rel=1e-14)
        assert [step["t"] for step in record["steps"]] == [step["t"] for step in alone["steps"]]
        assert record["assumptions"] == alone["assumptions"]
    assert "handed on, and not used: mine" in answer.err


def test_vet_says_of_a_mask(tmp_path: Path) -> None:
    """On stderr and in JSON: numbers that do not match may be those of a run that heeds it."""
    path = new_file(tmp_path, EMBEDDING, IT, paths=["lstm/cell"])
    sample = tmp_path / "sample.json"
    sample.write_text(json.dumps({"x": [[2, 2]], "expected": {"h": [0, 0]}}))
    answer = call("vet", sample, "--weights", path)
    assert answer.code == 1
    assert answer.err.count("with mask_zero") == 1
    right = call("--x", "2,2", "--weights", path, "--json").json["h"]
    sample.write_text(json.dumps({"x": [[2, 2]], "expected": {"h": right}}))
    (suite,) = call("vet", sample, "--weights", path, "--json", "--quiet").json["suites"]
    assert sum("with mask_zero" in each for each in suite["assumptions"]) == 1


def test_two_directions_of_two_classes_are_refused(tmp_path: Path) -> None:
    """One direction of CuDNNLSTM and one of LSTM have no convention in common."""
    arrays = {f"both/forward_one/{key}": array for key, array in plain().items()}
    arrays |= {f"both/backward_one/{key}": array for key, array in plain(1).items()}
    arrays["both/backward_one/bias:0"] = np.ones(16)
    with pytest.raises(InputError, match="two directions are stored as keras and keras-cudnn"):
        read(old_file(tmp_path / "w.h5", {"both": arrays}))


@pytest.mark.parametrize(
    "change",
    [
        {"kernel:0": np.ones((3, 6)), "recurrent_kernel:0": np.ones((2, 6)), "bias:0": np.ones(6)},
        {"bias:0": np.ones(7)},
        {"kernel:0": np.ones((1, 3, 8))},
        {"recurrent_kernel:0": np.ones(())},
    ],
)
def test_other_shapes_are_no_lstm(tmp_path: Path, change: dict[str, Array]) -> None:
    """A GRU has 3·H columns; what fits nothing is listed as datasets only."""
    contents = read(old_file(tmp_path / "w.h5", {"one": plain() | change}))
    assert contents.blocks == ()
    assert len(contents.tensors) == 3


def test_a_mere_hdf5_file_is_its_datasets(tmp_path: Path) -> None:
    """A file that no Keras wrote has tensors, and no layers."""
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["a/b"] = np.arange(3.0)
        file["text"] = "words"
    contents = read(tmp_path / "w.h5")
    assert contents.blocks == ()
    assert contents.tensors["a/b"].tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="only plain numbers are read"):
        contents.tensors["text"]
