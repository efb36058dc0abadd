"""The TensorFlow Lite reader: golden files of LiteRT, other people's files, what is refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.formats import tflite as tflite_
from lstm_cli.formats.contents import Variant
from lstm_cli.formats.read import model_from
from lstm_cli.formats.tflite import FlatBuffer, FlatTable
from tests.formats.graphs import FILES, assert_golden, golden, goldens

PEEPHOLES = {"p_i", "p_f", "p_o"}
PLAIN = {f"{kind}_{gate}" for kind in "WUb" for gate in "ifgo"}


def one_block(name: str) -> Any:
    """Return the only block of a file."""
    (block,) = tflite_.read(FILES / f"{name}.tflite").blocks
    return block


def operator(data: bytes) -> FlatTable:
    """Return the first LSTM operator of a file that has one."""
    (graph,) = FlatBuffer(data, "file").root().tables(2)
    return graph.tables(3)[-1]


def patched(tmp_path: Path, name: str, changes: dict[int, bytes]) -> Path:
    """Write a file again with some of its bytes changed."""
    data = bytearray((FILES / f"{name}.tflite").read_bytes())
    for place, new in changes.items():
        data[place : place + len(new)] = new
    path = tmp_path / "patched.tflite"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", goldens("tflite"))
def test_golden(name: str) -> None:
    """A layer of a file computes what LiteRT computed from that file."""
    record = golden(name)
    contents = tflite_.read(FILES / record["file"])
    (block,) = [each for each in contents.blocks if each.name == record["layer"]]
    assert block.convention == record["convention"]
    assert_golden(block, record)


@pytest.mark.parametrize("name", goldens("tflite"))
def test_tensors(name: str) -> None:
    """Every constant tensor is listed with its shape and dtype, and read as that."""
    record = golden(name)
    contents = tflite_.read(FILES / record["file"])
    infos = {
        key: {"shape": list(info.shape), "dtype": info.dtype.text}
        for key, info in contents.tensors.infos.items()
    }
    assert infos == record["tensors"]
    for key, info in contents.tensors.infos.items():
        array = contents.tensors[key]
        assert (array.shape, str(array.dtype)) == (info.shape, info.dtype.text)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("tflite_one_way", PLAIN),
        ("tflite_peephole_projection", PLAIN | PEEPHOLES | {"W_hr", "b_hr"}),
        ("tflite_cifg", (PLAIN | PEEPHOLES) - {"W_i", "U_i", "b_i", "p_i"}),
        ("tflite_full_step", PLAIN | PEEPHOLES),
        ("tflite_basic_step", PLAIN),
    ],
)
def test_keys(name: str, keys: set[str]) -> None:
    """A part holds just the tensors that the operator has."""
    assert set(one_block(name).parts["forward"].tensors) == keys


def test_variants() -> None:
    """Options become the variant: no input gate, another activation, a clipped cell."""
    variants = {
        name: one_block(f"tflite_{name}").parts["forward"].variant
        for name in ("one_way", "cifg", "relu", "cell_clip")
    }
    assert variants == {
        "one_way": Variant(),
        "cifg": Variant(cells=("coupled-input",)),
        "relu": Variant(activations=("sigmoid", "relu", "relu")),
        "cell_clip": Variant(cell_clip=0.6),
    }


def test_both_ways() -> None:
    """A bidirectional operator has two parts with weights of their own."""
    parts = one_block("tflite_both_ways").parts
    assert list(parts) == ["forward", "backward"]
    for key, array in parts["forward"].tensors.items():
        assert not np.array_equal(array, parts["backward"].tensors[key])


def test_converter_habits() -> None:
    """The cell clip of 10 that the converter writes is read, and said to be its habit."""
    contents = tflite_.read(FILES / "tflite_keras_both_ways.tflite")
    parts = [next(iter(block.parts.items())) for block in contents.blocks]
    assert [part.variant.cell_clip for _, part in parts] == [10.0, 10.0]
    for block in contents.blocks:
        assert any("converter writes 10.0" in each for each in block.open)
    assert [way for way, _ in parts] == ["backward", "forward"]
    assert contents.stacks == (((1, 0),),)


def test_quantised_file() -> None:
    """Weights in int8 are those of the float file within half a step of their scale."""
    real = one_block("mnist_lstm").parts["forward"].tensors
    quantised = one_block("mnist_lstm_int8")
    assert any("int8 weights" in each and "rounds" in each for each in quantised.open)
    for key, array in quantised.parts["forward"].tensors.items():
        step = np.abs(real[key]).max() / 127
        np.testing.assert_allclose(array, real[key], rtol=0, atol=0.501 * step)


def test_quantised_weights_are_noted() -> None:
    """Weights that are stored in fewer bits are told."""
    assert one_block("tflite_float16").open == ("float16 weights",)
    for name in ("tflite_int8", "tflite_int8_rows"):
        assert one_block(name).open == ("int8 weights are read as scale · (q - zero point)",)


def option_place(data: bytes, number: int) -> int:
    """Return where an option of the operator lies."""
    options = operator(data).table(4)
    assert options is not None
    return options._field(number)


@pytest.mark.parametrize(
    ("number", "new", "reason"),
    [
        (0, struct.pack("<b", 3), "activation is number 3"),
        (1, struct.pack("<f", float("nan")), "cell_clip is nan"),
        (1, struct.pack("<f", -1.0), "cell_clip is -1.0"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, number: int, new: bytes, reason: str) -> None:
    """An option that our cells do not have is named in the notes."""
    place = option_place((FILES / "tflite_cell_clip.tflite").read_bytes(), number)
    contents = tflite_.read(patched(tmp_path, "tflite_cell_clip", {place: new}))
    assert not contents.blocks
    assert contents.notes[1].startswith("UNIDIRECTIONAL_SEQUENCE_LSTM 'lstm' is not read: its ")
    assert reason in contents.notes[1]
    with pytest.raises(InputError, match=reason):
        model_from(contents, "patched.tflite")


def test_layer_normalisation_is_refused(tmp_path: Path) -> None:
    """An operator with layer normalisation is named in the notes, not read without it."""
    data = (FILES / "tflite_keras_one_way.tflite").read_bytes()
    start, count = FlatBuffer(data, "file").vector(operator(data)._follow(1), 4)
    assert count == 24
    weight = data[start + 4 * 12 : start + 4 * 13]
    contents = tflite_.read(patched(tmp_path, "tflite_keras_one_way", {start + 4 * 21: weight}))
    assert not contents.blocks
    assert contents.notes[1].endswith("it has layer normalisation coefficients")


def test_weights_that_are_computed(tmp_path: Path) -> None:
    """A weight that is no constant is named in the notes, and so is one that is missing."""
    data = (FILES / "tflite_one_way.tflite").read_bytes()
    start, _ = FlatBuffer(data, "file").vector(operator(data)._follow(1), 4)
    for new, reason in ((0, "'x' is computed when the model runs"), (-1, "it has no W_f")):
        path = patched(tmp_path, "tflite_one_way", {start + 4 * 2: struct.pack("<i", new)})
        assert tflite_.read(path).notes[1].endswith(reason)


def test_half_an_input_gate(tmp_path: Path) -> None:
    """An input gate of which only a part is there is not taken for a coupled one."""
    data = (FILES / "tflite_one_way.tflite").read_bytes()
    start, _ = FlatBuffer(data, "file").vector(operator(data)._follow(1), 4)
    path = patched(tmp_path, "tflite_one_way", {start + 4: struct.pack("<i", -1)})
    assert "it has no W_i, but other parts" in tflite_.read(path).notes[1]


def test_another_file(tmp_path: Path) -> None:
    """A file that is no TensorFlow Lite model is refused by its first bytes."""
    path = tmp_path / "a.tflite"
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(InputError, match="not a readable TensorFlow Lite model"):
        tflite_.read(path)
