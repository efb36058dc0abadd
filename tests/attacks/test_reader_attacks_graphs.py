"""Hostile ONNX and TensorFlow Lite files: each is refused in words, quickly, in little memory."""

from __future__ import annotations

import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm_cli.base.errors import LstmStepError
from lstm_cli.formats import onnx as onnx_
from lstm_cli.formats import tflite as tflite_
from lstm_cli.formats.contents import Contents
from tests.formats.graphs import FILES

CALM = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
SMALL = 64 * 2**20


def read_all(contents: Contents) -> None:
    """Read every tensor of a file; what is refused is refused in words."""
    for name in contents.tensors:
        try:
            contents.tensors[name]
        except LstmStepError:
            continue


@pytest.fixture
def onnx() -> Any:
    """Return the onnx package."""
    return pytest.importorskip("onnx")


@pytest.fixture
def save(onnx: Any, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes nodes and initializers as a model."""

    def write(nodes: list[Any], initializers: list[Any], functions: Any = ()) -> Path:
        graph = onnx.helper.make_graph(nodes, "g", [], [], initializers)
        model = onnx.helper.make_model(graph, functions=list(functions))
        path = tmp_path / "models" / "model.onnx"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture
def outside(onnx: Any, save: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes a model whose R (float32, 1 x 8 x 2) lies in another file."""

    def write(location: str, **entries: str) -> Path:
        tensor = onnx.TensorProto(name="R", data_type=1, dims=[1, 8, 2], data_location=1)
        for key, value in {"location": location, **entries}.items():
            tensor.external_data.add(key=key, value=value)
        inputs = onnx.numpy_helper.from_array(np.ones((1, 8, 3), "f4"), "W")
        node = onnx.helper.make_node("LSTM", ["X", "W", "R"], ["Y"], hidden_size=2)
        return save([node], [inputs, tensor])

    return write


def refused(path: Path, *, match: str, allow: bool = True) -> None:
    """Check that a model is refused with these words, in little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(LstmStepError, match=match):
            onnx_.read(path, allow_external_data=allow)
        assert tracemalloc.get_traced_memory()[1] < SMALL
    finally:
        tracemalloc.stop()


def test_external_data_is_off_by_default(outside: Callable[..., Path]) -> None:
    """A weight in another file is not read unasked, even where it is harmless."""
    path = outside("data.bin")
    (path.parent / "data.bin").write_bytes(bytes(64))
    refused(
        path, match=r"another file, 'data\.bin', which is not opened unless allowed", allow=False
    )


def test_external_data_when_allowed(outside: Callable[..., Path]) -> None:
    """A plain file beside the model is read from its offset on, when allowed."""
    values = np.arange(20, dtype="<f4")
    path = outside("sub/data.bin", offset="16", length="64")
    (path.parent / "sub").mkdir()
    (path.parent / "sub" / "data.bin").write_bytes(values.tobytes())
    (block,) = onnx_.read(path, allow_external_data=True).blocks
    np.testing.assert_array_equal(block.parts["forward"].tensors["R"].ravel(), values[4:])


@pytest.mark.parametrize(
    "location", ["../secret", "a/../../secret", "a/../secret", "/etc/passwd", "//etc/passwd", "",
                 "..\\secret", "C:\\secret", "C:secret", "a\x00b", "."],
)  # fmt: skip
def test_external_paths(outside: Callable[..., Path], location: str) -> None:
    """A location that is not a plain path below the model's folder is refused."""
    path = outside(location)
    (path.parent / "a").mkdir()
    (path.parent / "secret").write_bytes(bytes(64))
    (path.parent.parent / "secret").write_bytes(bytes(64))
    refused(path, match="is not a plain path below")


@pytest.mark.parametrize("target", ["secret", "models/inside"])
def test_external_symlink(outside: Callable[..., Path], target: str) -> None:
    """A symbolic link is refused, wherever it leads."""
    path = outside("data.bin")
    there = path.parent.parent / target
    there.write_bytes(bytes(64))
    (path.parent / "data.bin").symlink_to(there)
    refused(path, match="is a link, or leads out")


def test_external_folder_link(outside: Callable[..., Path]) -> None:
    """A linked folder that leads out of the model's folder is refused."""
    path = outside("sub/data.bin")
    elsewhere = path.parent.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "data.bin").write_bytes(bytes(64))
    (path.parent / "sub").symlink_to(elsewhere)
    refused(path, match="is a link, or leads out")


def test_external_hardlink(outside: Callable[..., Path]) -> None:
    """A file with a second name, which may be anyone's, is refused."""
    path = outside("data.bin")
    secret = path.parent.parent / "secret"
    secret.write_bytes(bytes(64))
    os.link(secret, path.parent / "data.bin")
    refused(path, match="not a plain file of one name")


def test_external_pipe_and_folder(outside: Callable[..., Path]) -> None:
    """A pipe, which would block, and a folder are refused."""
    path = outside("data.bin")
    os.mkfifo(path.parent / "data.bin")
    refused(path, match="not a plain file of one name")
    (path.parent / "data.bin").unlink()
    (path.parent / "data.bin").mkdir()
    refused(path, match="not a plain file of one name")


def test_external_absent(outside: Callable[..., Path]) -> None:
    """A data file that is not there is named."""
    refused(outside("data.bin"), match=r"'data\.bin' cannot be read: no such file")


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"length": "-1"}, "length of external data is '-1'"),
        ({"offset": "-64"}, "offset of external data is '-64'"),
        ({"offset": "1e3"}, "offset"),
        ({"length": "63"}, "63 bytes from 0 on"),
        ({"length": "65"}, "65 bytes from 0 on"),
        ({"offset": "1"}, "64 bytes from 1 on of the 64"),
        ({"offset": "999999999999999", "length": "64"}, "from 999,999,999,999,999 on"),
        ({"length": "9" * 400}, "length of external data"),
    ],
)
def test_external_ranges(outside: Callable[..., Path], entries: dict[str, str], match: str) -> None:
    """A range that is not the tensor's, or not in the file, is refused."""
    path = outside("data.bin", **entries)
    (path.parent / "data.bin").write_bytes(bytes(64))
    refused(path, match=match)


@pytest.mark.parametrize(
    ("dims", "match"),
    [
        ([1, 8, 2**40], "declared float32"),
        ([2**62, 2**62, 2**62], "the limit"),
        ([1, -8, -2], "not a short list of sizes"),
        ([1] * 1000, "not a short list of sizes"),
        ([1, 8, 3], "declared float32"),
    ],
)
@pytest.mark.parametrize("raw", [True, False])
def test_lying_shapes(
    onnx: Any, save: Callable[..., Path], dims: list[int], match: str, raw: bool
) -> None:
    """A shape that its data does not fill is refused before memory is taken."""
    tensor = onnx.TensorProto(name="W", data_type=1, dims=dims)
    if raw:
        tensor.raw_data = bytes(64)
    else:
        tensor.float_data.extend([0.5] * 16)
    node = onnx.helper.make_node("LSTM", ["X", "W", "W"], ["Y"], hidden_size=2)
    refused(save([node], [tensor]), match=match + "|the limit")


def not_read(path: Path) -> str:
    """Return why the only LSTM of a model is not read; checks that it takes little memory."""
    tracemalloc.start()
    try:
        contents = onnx_.read(path)
        assert tracemalloc.get_traced_memory()[1] < SMALL
    finally:
        tracemalloc.stop()
    assert not contents.blocks
    return contents.notes[-1]


def test_giant_reshape(onnx: Any, save: Callable[..., Path]) -> None:
    """A Reshape to a giant shape fails, and takes no memory."""
    make, array = onnx.helper.make_node, onnx.numpy_helper.from_array
    nodes = [make("Reshape", ["a", "s"], ["W"]), make("LSTM", ["X", "W", "W"], ["Y"])]
    made = [array(np.ones(4, "f4"), "a"), array(np.array([2**40, 2**20, -1]), "s")]
    assert "its Reshape fails" in not_read(save(nodes, made))


def test_doubling_concat(onnx: Any, save: Callable[..., Path]) -> None:
    """A chain of concatenations that doubles each time is stopped by what the file can hold."""
    make = onnx.helper.make_node
    nodes = [make("Concat", [f"a{n}", f"a{n}"], [f"a{n + 1}"], axis=0) for n in range(60)]
    nodes.append(make("LSTM", ["X", "a60", "a60"], ["Y"]))
    path = save(nodes, [onnx.numpy_helper.from_array(np.ones(64, "f4"), "a0")])
    refused(path, match="unpacking asks for")


def test_many_nodes_over_one_tensor(onnx: Any, save: Callable[..., Path]) -> None:
    """A thousand casts of one tensor are stopped by what the file can hold."""
    make = onnx.helper.make_node
    nodes = []
    for n in range(1000):
        nodes.append(make("Cast", ["a"], [f"w{n}"], to=11))
        nodes.append(make("LSTM", ["X", f"w{n}", f"w{n}"], [f"y{n}"]))
    path = save(nodes, [onnx.numpy_helper.from_array(np.ones(2**18, "f4"), "a")])
    refused(path, match="unpacking asks for")


def test_cycles_and_long_chains(onnx: Any, save: Callable[..., Path]) -> None:
    """A value that depends on itself, or by a very long chain, is not followed for ever."""
    make = onnx.helper.make_node
    last = make("LSTM", ["X", "W", "W"], ["Y"])
    circle = [make("Identity", ["W"], ["V"]), make("Identity", ["V"], ["W"])]
    assert "depends on itself" in not_read(save([*circle, last], []))
    chain = [make("Identity", [f"v{n}"], [f"v{n + 1}"]) for n in range(5000)]
    end = make("LSTM", ["X", "v5000", "v5000"], ["Y"])
    assert "a chain of more than 64" in not_read(save([*chain, end], []))


def test_functions_without_end(onnx: Any, save: Callable[..., Path]) -> None:
    """Functions that call themselves, or each other ten times over, are stopped."""
    helper = onnx.helper
    opset = [helper.make_opsetid("", 17)]

    def function(name: str, calls: list[str]) -> Any:
        body = [
            helper.make_node(each, ["x"], [f"y{n}"], domain="d") for n, each in enumerate(calls)
        ]
        return helper.make_function("d", name, ["x"], ["y0"], body, opset)

    call = helper.make_node("F0", ["X"], ["Y"], domain="d")
    refused(save([call], [], [function("F0", ["F0"])]), match="64 deep")
    laughs = [function(f"F{n}", [f"F{n + 1}"] * 10) for n in range(30)]
    with pytest.raises(LstmStepError, match=r"called more than 5,000 times"):
        onnx_.read(save([call], [], laughs))
    call.name = "n" * 100
    again = function("F0", ["F0"])
    again.node[0].name = "n" * 100
    refused(save([call], [], [again]), match="names in it are longer than 1,000 characters")


@pytest.mark.parametrize("depth", [30, 200, 2000])
def test_nested_branches(onnx: Any, tmp_path: Path, depth: int) -> None:
    """Branches within branches are read, or beyond all use refused."""

    def field(number: int, data: bytes) -> bytes:
        size, count = b"", len(data)
        while count > 127:
            size += bytes([count & 127 | 128])
            count >>= 7
        return bytes([number << 3 | 2]) + size + bytes([count]) + data

    graph = field(1, field(4, b"LSTM"))
    for _ in range(depth):  # a node, its attribute of type GRAPH, the graph in that
        graph = field(1, field(4, b"If") + field(5, b"\xa0\x01\x05" + field(6, graph)))
    path = tmp_path / "deep.onnx"
    path.write_bytes(field(7, graph))
    if depth < 33:
        assert "is not read: it has no W" in not_read(path)
    else:
        refused(path, match="not a readable ONNX model")


def test_strange_types(onnx: Any, save: Callable[..., Path]) -> None:
    """A tensor of text or of an unknown type is listed, and refused when it is asked for."""
    text = onnx.TensorProto(name="t", data_type=8, dims=[1], string_data=[b"\x1b[31m"])
    odd = onnx.TensorProto(name="\x1b]0;x\x07", data_type=22, dims=[2], raw_data=b"\x00")
    contents = onnx_.read(save([], [text, odd]))
    assert [info.dtype.text for info in contents.tensors.infos.values()] == [
        "string",
        "ONNX type 22",
    ]
    for name in contents.tensors:
        with pytest.raises(LstmStepError) as caught:
            contents.tensors[name]
        assert "\x1b" not in str(caught.value)


def test_names_are_made_safe(onnx: Any, save: Callable[..., Path]) -> None:
    """What a file calls its nodes cannot steer a terminal by way of a note."""
    node = onnx.helper.make_node(
        "LSTM", ["\x1b[2J", "\x9b1m", "\u202e"], ["Y"], name="\x1b]0;x\x07"
    )
    note = not_read(save([node], []))
    assert "\\x1b]0;x\\x07" in note
    assert not any(ord(each) < 32 or 0x7F <= ord(each) < 0xA0 or each == "\u202e" for each in note)


def test_names_that_are_not_text(onnx: Any, tmp_path: Path) -> None:
    """A name that is not UTF-8, which protobuf hands out as bytes, is refused."""
    data = (FILES / "onnx_if.onnx").read_bytes()
    path = tmp_path / "m.onnx"
    for name in (b"lstm", b"then_branch", b"LSTM", b"Yi_h"):
        path.write_bytes(data.replace(name, b"\xff" + name[1:]))
        refused(path, match="a name in it is not UTF-8")


@pytest.mark.parametrize("name", ["onnx_chain", "onnx_if", "torch_dynamo"])
def test_truncated_models(onnx: Any, tmp_path: Path, name: str) -> None:
    """A model that is cut anywhere is read as far as it makes sense, or refused in words."""
    data = (FILES / f"{name}.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for end in range(0, len(data), 1 + len(data) // 400):
        path.write_bytes(data[:end])
        try:
            read_all(onnx_.read(path))
        except LstmStepError:
            continue


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """Return a file with a few of its bytes replaced, or a stretch cut out or put in twice."""
    places = st.integers(0, len(data) - 1)
    words = st.one_of(
        st.binary(min_size=1, max_size=8),
        st.sampled_from([b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", bytes(8)]),
    )

    def change(edits: list[tuple[int, bytes]], cut: tuple[int, int] | None) -> bytes:
        made = bytearray(data)
        for place, word in edits:
            made[place : place + len(word)] = word
        if cut:
            del made[min(cut) : max(cut)]
        return bytes(made)

    edits = st.lists(st.tuples(places, words), max_size=4)
    return st.builds(change, edits, st.one_of(st.none(), st.tuples(places, places)))


ONNX_FILE = (FILES / "onnx_chain.onnx").read_bytes()
TFLITE_FILE = (FILES / "tflite_int8_rows.tflite").read_bytes()
PEEPHOLE_FILE = (FILES / "tflite_both_ways.tflite").read_bytes()


@CALM
@given(st.one_of(mutated(ONNX_FILE), st.binary(max_size=200)))
def test_mutated_onnx(onnx: Any, tmp_path: Path, data: bytes) -> None:
    """A damaged ONNX model never ends in anything but our own error."""
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    try:
        read_all(onnx_.read(path))
    except LstmStepError:
        return


@CALM
@given(
    st.one_of(
        mutated(TFLITE_FILE),
        mutated(PEEPHOLE_FILE),
        st.binary(max_size=200).map(lambda data: data[:4] + b"TFL3" + data[4:]),
    )
)
def test_mutated_tflite(tmp_path: Path, data: bytes) -> None:
    """A damaged TensorFlow Lite model never ends in anything but our own error."""
    path = tmp_path / "m.tflite"
    path.write_bytes(data)
    try:
        read_all(tflite_.read(path))
    except LstmStepError:
        return


@pytest.mark.parametrize("data", [TFLITE_FILE, PEEPHOLE_FILE])
def test_every_word_of_a_flatbuffer(tmp_path: Path, data: bytes) -> None:
    """Each 32-bit word in turn set to -1, its largest or 0: always read or refused in words."""
    path = tmp_path / "m.tflite"
    words = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4))
    for place in range(0, len(data) - 4, 4):
        path.write_bytes(data[:place] + words[place // 4 % 3] + data[place + 4 :])
        try:
            read_all(tflite_.read(path))
        except LstmStepError:
            continue


def test_truncated_flatbuffers(tmp_path: Path) -> None:
    """A flatbuffer that is cut anywhere is read as far as it makes sense, or refused in words."""
    path = tmp_path / "cut.tflite"
    for end in range(0, len(PEEPHOLE_FILE), 7):
        path.write_bytes(PEEPHOLE_FILE[:end])
        try:
            read_all(tflite_.read(path))
        except LstmStepError:
            continue


def test_shared_tables(tmp_path: Path) -> None:
    """A flatbuffer whose subgraphs are all one table, with ever more in it, is stopped."""
    many = 20_000
    data = bytearray(struct.pack("<I4s", 20, b"TFL3"))
    data += struct.pack("<HHHHHH", 10, 12, 0, 4, 8, 0)  # vtable: operator codes, subgraphs
    data += struct.pack("<iII", 12, 8, 12)  # the model
    codes = len(data)
    data += struct.pack("<II", 1, 0)
    graphs = len(data)
    data += struct.pack("<I", many) + bytes(4 * many)
    data += struct.pack("<HHHHHH", 12, 8, 0, 0, 0, 4)  # vtable: operators
    graph = len(data)
    data += struct.pack("<iI", 12, 4)  # the one subgraph
    operators = len(data)
    data += struct.pack("<I", many) + bytes(4 * many)
    empty = len(data) + 4
    data += struct.pack("<HHi", 4, 4, 4)  # an empty table: operator code, operator
    places = {codes + 4: empty}
    places |= {graphs + 4 * n: graph for n in range(1, many + 1)}
    places |= {operators + 4 * n: empty for n in range(1, many + 1)}
    for place, target in places.items():
        struct.pack_into("<I", data, place, target - place)
    path = tmp_path / "shared.tflite"
    path.write_bytes(data)
    with pytest.raises(LstmStepError, match="share their parts endlessly"):
        tflite_.read(path)
