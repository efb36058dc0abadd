"""Hostile safetensors, PyTorch, msgpack and MAT files: refused for the reason, and cheaply."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm_cli.base.errors import InputError
from lstm_cli.formats import flax as msgpack_
from lstm_cli.formats import matlab as mat
from lstm_cli.formats import safetensors as safetensors_
from lstm_cli.formats import torch as torch_
from lstm_cli.formats.contents import Contents
from lstm_cli.formats.registry import UNREAD, explain_unreadable
from tests.formats.build import (
    entry,
    mat_element,
    mat_file,
    mat_head,
    mat_matrix,
    mat_packed,
    number,
    numbers,
    one_tensor,
    pickled,
    safetensors,
    storage,
    tensor,
    text,
    torch_zip,
)
from tests.formats.tensors import FILES, refusal

Read = Callable[[Path], Contents]
MAX_CALLS = 40_000_000


def refused(read: Read, folder: Path, data: bytes, *, ask: bool = False) -> InputError:
    """Return how a file is refused; reading must be quick and must not take memory."""
    path = folder / "a.bin"
    path.write_bytes(data)
    if not ask:
        return refusal(read, path)
    contents = read(path)
    with pytest.raises(InputError) as caught:
        dict(contents.tensors)
    return caught.value


SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "does not begin with '{'"),
    "no header": (bytes(8), "does not begin with '{'"),
    "header of 2**62": (safetensors({}, length=2**62), "is declared as 4,611,686"),
    "header past the end": (safetensors({}, length=3), "is declared as 3 bytes"),
    "header over 10 MB": (safetensors(b"{" + b" " * 10_000_000 + b"}"), "limit is 10,000,000"),
    "a list": (safetensors(b"{}"[:1] + b"]"), "not JSON"),
    "not UTF-8": (safetensors(b'{"\xff": 1}'), "not UTF-8"),
    "NaN": (safetensors(b'{"w": NaN}'), "NaN is not JSON"),
    "deep": (
        safetensors(b'{"w":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested deeper than 64",
    ),
    "a key twice": (
        safetensors(b'{"w": {"dtype": "F32"}, "w": {"dtype": "F32"}}'), "'w' is given twice",
    ),
    "overlap": (
        safetensors({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)), "overlaps",
    ),
    "hole": (safetensors({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)), "a gap"),
    "hole before": (safetensors({"a": entry([1], 4, 8)}, bytes(8)), "leaves a gap"),
    "bytes after": (safetensors({"a": entry([1], 0, 4)}, bytes(5)), "the tensors end at byte"),
    "past the end": (safetensors({"a": entry([9], 0, 36)}, bytes(4)), "the tensors end at byte"),
    "wrong size": (safetensors({"a": entry([3], 0, 4)}, bytes(4)), "needs 12 bytes"),
    "size overflows 64 bits": (
        safetensors({"a": entry([2**32, 2**32, 4], 0, 0)}), "needs 295,147,905,179,352,825,856",
    ),
    "backwards": (safetensors({"a": entry([1], 4, 0)}, bytes(4)), "not a first and a last"),
    "negative": (safetensors({"a": entry([-1], 0, 4)}, bytes(4)), "not a short list of sizes"),
    "boolean size": (
        safetensors(b'{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}', bytes(4)),
        "not a short list of sizes",
    ),
    "a thousand axes": (safetensors({"a": entry([1] * 1000, 0, 4)}, bytes(4)), "not a short list"),
    "an entry short": (safetensors({"a": {"dtype": "F32"}}), "an entry needs dtype"),
    "dtype no text": (
        safetensors({"a": entry([1], 0, 4) | {"dtype": ["F32"]}}, bytes(4)), "data_offsets",
    ),
    "10,001 tensors": (
        safetensors({str(n): entry([0], 0, 0) for n in range(10_001)}), "limit is 10,000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors_attack(tmp_path: Path, name: str) -> None:
    """Each lie of a safetensors header is refused for its own reason."""
    data, reason = SAFETENSORS[name]
    error = refused(safetensors_.read, tmp_path, data)
    assert reason in str(error)


class Evil:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch PWNED",)


def evil(protocol: int) -> bytes:
    """Return a pickle that would write a file when it is loaded."""
    return pickle.dumps({"w": Evil()}, protocol=protocol)


def global_(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


PICKLES: dict[str, tuple[bytes, str]] = {
    **{f"os.system, protocol {n}": (evil(n), "asks for posix.system") for n in range(6)},
    "eval": (
        pickled(global_("builtins", "eval"), b"(" + text("1") + b"tR"), "asks for builtins.eval",
    ),
    "eval by INST": (pickled(b"(" + text("1") + b"ibuiltins\neval\n"), "INST is not read"),
    "eval by OBJ": (pickled(b"(" + global_("builtins", "eval") + b"o"), "builtins.eval"),
    "EXT1": (pickled(b"\x82\x01"), "EXT1 is not read"),
    "a name alone": (pickled(global_("os", "system")), "asks for os.system"),
    "a name of ours by attribute": (
        pickled(b"\x8c\x05torch\x8c\x10_utils.os.system\x93"), "torch._utils.os.system",
    ),
    "numpy scalar": (
        pickled(global_("numpy.core.multiarray", "scalar")), "numpy.core.multiarray.scalar",
    ),
    "a whole model": (
        pickled(global_("__main__", "Net"), b")\x81}b"), "a whole model was pickled (__main__.Net)",
    ),
    "terminal codes in a name": (pickled(global_("a\x1b[31m", "b")), "asks for a\\x1b[31m.b"),
    "NEWOBJ of what is known": (
        pickled(global_("collections", "OrderedDict"), b")\x81"), "NEWOBJ is not read",
    ),
    "a call of text": (pickled(text("eval"), b")R"), "a call of something that is not a function"),
    "a state for a list": (pickled(b"]}b"), "a state for something that has none"),
    "empty": (b"", "pickle exhausted"),
    "no STOP": (b"\x80\x02}", "pickle exhausted"),
    "nothing on the stack": (b"\x80\x02.", "operations without operands"),
    "no mark": (pickled(b"t"), "operations without operands"),
    "memo never set": (pickled(b"h\x05"), "memo 5 is used before"),
    "LONG_BINPUT of 2**32": (pickled(b"}r\xff\xff\xff\xff", b"h\x05"), "memo 5 is used before"),
    "text of 4 GB": (pickled(b"X\xff\xff\xff\xff"), "expected 4294967295 bytes"),
    "bytes of 2**63": (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.", "not one that PyTorch writes"),
    "a number of 5,000 digits": (pickled(b"L" + b"9" * 5000 + b"L\n"), "not one that PyTorch"),
    "unknown opcode": (pickled(b"\xff"), "at position 2, opcode"),
    "2,000,001 operations": (pickled(b"N0" * 1_000_001, b"N"), "more than 2,000,000 operations"),
    "one list to many calls": (
        pickled(b"](", b"N" * 100_000, b"eq\x00", (b"0ctorch\nSize\nh\x00\x85R") * 50, b"0}"),
        "more than 2,000,000 operands",
    ),
    "an unhashable key": (pickled(b"}](s"[:2], b"Ns"), "neither text nor a number"),
    "a key of nested tuples": (pickled(b"})", b"\x85" * 100_000, b"Ns"), "neither text nor"),
    "a storage of another kind": (
        pickled(storage(kind="torch\ndevice")), "a storage of an unknown type",
    ),
    "a persistent id of text": (pickled(text("x"), b"Q"), "not that of a storage"),
    "a negative size": (
        one_tensor("w", tensor((-1,), (1,))), "not a non-negative integer",
    ),
    "shape and strides differ": (one_tensor("w", tensor((2, 2), (1,))), "unequal shape"),
    "33 axes": (one_tensor("w", tensor((1,) * 33, (1,) * 33)), "not a short tuple"),
    "two names alike": (
        pickled(b"}(", text("a.b"), tensor((1,), (1,)), text("a"), b"}", text("b"),
                tensor((1,), (1,)), b"su"),
        "two tensors are named 'a.b'",
    ),
    "nested 100 deep": (
        pickled(b"".join(b"}" + text("a") for _ in range(100)), tensor((1,), (1,)), b"s" * 100),
        "nested more than 64 deep",
    ),
    "a list that holds itself": (pickled(b"]q\x00h\x00a"), "nested more than 64 deep"),
    "laughs": (
        pickled(b"]", tensor((1,), (1,)), b"a", *(
            b"q" + bytes([n]) + b"0](" + (b"h" + bytes([n])) * 10 + b"e" for n in range(12))),
        "more than 200,000 tensors and groups",
    ),
    "a name of 2,000 letters": (one_tensor("a" * 2000, tensor((1,), (1,))), "a very long name"),
    "a storage that is missing": (
        one_tensor("w", tensor((1,), (1,), store=storage(key="9"))), "storage '9' is missing",
    ),
    "a storage outside": (
        one_tensor("w", tensor((1,), (1,), store=storage(key="../../data/0"))),
        "storage '../../data/0' is missing",
    ),
    "past the storage": (one_tensor("w", tensor((5,), (1,))), "ends at byte 20 of its storage"),
    "strides past the storage": (one_tensor("w", tensor((2, 2), (4, 1))), "ends at byte 24"),
    "an offset past the storage": (one_tensor("w", tensor((1,), (1,), offset=4)), "byte 20"),
    "a stride of 2**62": (one_tensor("w", tensor((2,), (2**62,))), "of its storage"),
    "a storage that declares more": (
        one_tensor("w", tensor((1,), (1,), store=storage(count=2**40))), "is said to have",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PICKLES)
def test_pickle_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each hostile pickle is refused for its own reason, and runs nothing."""
    monkeypatch.chdir(tmp_path)
    data, reason = PICKLES[name]
    error = refused(torch_.read, tmp_path, torch_zip(data, {"0": bytes(16)}))
    assert reason in str(error)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_the_evil_pickle_would_have_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The payload of these tests is real: Python's own unpickler writes the file."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(evil(2))
    assert (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("raw", [evil(2), evil(5)])
def test_a_bare_pickle_is_no_torch_file(tmp_path: Path, raw: bytes) -> None:
    """A pickle outside a zip is not even looked into."""
    assert "a pickle, not a zip" in refused(torch_.read, tmp_path, raw).what


def test_a_tensor_that_repeats_its_storage_is_not_blown_up(tmp_path: Path) -> None:
    """Sixteen bytes expanded by a stride of 0 to 2**40 numbers are refused when asked for."""
    for shape in ((2**40,), (5,)):
        data = torch_zip(one_tensor("w", tensor(shape, (0,))), {"0": bytes(16)})
        error = refused(torch_.read, tmp_path, data, ask=True)
        assert "the limit for one tensor" in error.what or "repeats its 1 stored" in error.what


def test_an_empty_tensor_of_huge_axes_is_harmless(tmp_path: Path) -> None:
    """A size of 0 beside one of 2**62, which numpy cannot make, is an error for that tensor."""
    shape = b"\x92\0\xcf\x40" + bytes(7)
    for read, data in (
        (torch_.read, torch_zip(one_tensor("w", tensor((0, 2**62), (1, 1))), {"0": bytes(16)})),
        (safetensors_.read, safetensors({"w": entry([0, 2**52, 2**52], 0, 0, "F64")})),
        (msgpack_.read, b"\x81\xa1w" + packed_array(shape, F32, b"")),
    ):
        assert "is too large for an array" in refused(read, tmp_path, data, ask=True).what


def zipped(*members: tuple[str, bytes], deflate: bool = False) -> bytes:
    """Return a zip of members."""
    stream = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


GOOD = one_tensor("w", tensor((4,), (1,)))


def test_the_good_file_of_these_tests_is_read(tmp_path: Path) -> None:
    """What the attacks change is readable as it stands."""
    (tmp_path / "a.pt").write_bytes(torch_zip(GOOD, {"0": struct.pack("<4f", 1, 2, 3, 4)}))
    assert torch_.read(tmp_path / "a.pt").tensors["w"].tolist() == [1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_attacks(tmp_path: Path) -> None:
    """Members twice, compressed, overlapping, cut, or of another kind of file are refused."""
    whole = torch_zip(GOOD, {"0": bytes(16)})
    overlap = bytearray(whole)
    # Both entries of the zip's table point at the first member.
    second = whole.rindex(b"PK\x01\x02")
    overlap[second + 42 : second + 46] = bytes(4)
    cases = {
        "there twice": zipped(("a/data.pkl", GOOD), ("a/data/0", b""), ("a/data/0", bytes(16))),
        "compressed or encrypted": zipped(("a/data.pkl", GOOD * 9), deflate=True),
        "overlaps another member": bytes(overlap),
        "not a readable zip": whole[:-30],
        "no data.pkl": zipped(("w.npy", b"")),
        "not of torch.save": zipped(("a/data.pkl", GOOD), ("b/data.pkl", GOOD)),
        "a TorchScript program": zipped(("a/data.pkl", GOOD), ("a/code/x.py", b"")),
        "not a zip": b"hello",
    }
    for reason, data in cases.items():
        assert reason in str(refused(torch_.read, tmp_path, data)), reason


def test_a_pickle_of_more_than_64_mb_is_not_read(tmp_path: Path) -> None:
    """The structure of a checkpoint is small; a huge one is refused by its size."""
    big = torch_zip(pickled(b"}", text("x" * (64 * 2**20)), b"Ns"))
    assert "the limit is 67,108,864" in refused(torch_.read, tmp_path, big).what


def packed_array(shape: bytes, dtype: bytes, data: bytes) -> bytes:
    """Return a Flax array in msgpack."""
    inner = b"\x93" + shape + dtype + b"\xc4" + bytes([len(data)]) + data
    return b"\xc7" + bytes([len(inner)]) + b"\x01" + inner


F32 = b"\xa7float32"
MSGPACK: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "cut short"),
    "cut": (b"\x81\xa1w", "cut short"),
    "unused byte": (b"\x81\xa1w\xc1", "0xc1 begins no value"),
    "bytes after": (b"\x80\x80", "1 bytes follow the end"),
    "map of 2**32": (b"\xdf\xff\xff\xff\xff", "cut short"),
    "list of 2**32": (b"\xdd\xff\xff\xff\xff", "cut short"),
    "a million numbers": (
        b"\xdd\x00\x1f\xff\xff" + b"\1" * 2_097_151, "more than 1,000,000 values",
    ),
    "bytes of 4 GB": (b"\xc6\xff\xff\xff\xff", "4,294,967,295 bytes are said to follow"),
    "extension of 4 GB": (b"\xc9\xff\xff\xff\xff\x07", "4,294,967,295 bytes are said"),
    "deep": (b"\x91" * 100_000, "nested more than 64 deep"),
    "deep in extensions": (b"\xc7\xff\x01" * 1000, "nested more than 64 deep"),
    "a key twice": (b"\x82\xa1w\1\xa1w\2", "'w' is there twice"),
    "a key that is a list": (b"\x81\x90\1", "a key is neither"),
    "text that is not UTF-8": (b"\xa1\xff", "not UTF-8"),
    "shape too large": (
        b"\x81\xa1w" + packed_array(b"\x91\x09", F32, bytes(8)), "shape [9] of float32 is not 8",
    ),
    "shape of 2**63": (
        b"\x81\xa1w" + packed_array(b"\x91\xcf" + b"\xff" * 8, F32, b""), "short list of sizes",
    ),
    "shape negative": (
        b"\x81\xa1w" + packed_array(b"\x91\xff", F32, b""), "not a short list of sizes",
    ),
    "shape no list": (b"\x81\xa1w" + packed_array(b"\x05", F32, b""), "not a short list"),
    "an array of two parts": (b"\xc7\x03\1\x92\x90\xa0", "is not (shape, dtype, bytes)"),
    "an array's dtype is a number": (
        b"\x81\xa1w" + packed_array(b"\x90", b"\x05", b""), "not (shape, dtype, bytes)",
    ),
    "an array longer than it says": (
        b"\xc7\x02\1\x93\x90\xa0\xc4\0", "not (shape, dtype, bytes)",
    ),
    "chunks that are none": (
        b"\x83\xb9__msgpack_chunked_array__\xc3\xa5shape\x80\xa6chunks\x80", "has no chunks",
    ),
    "chunks without numbers": (
        b"\x83\xb9__msgpack_chunked_array__\xc3\xa5shape\x80\xa6chunks\x81\xa1a\1",
        "does not number its parts",
    ),
    "chunks of no array": (
        b"\x83\xb9__msgpack_chunked_array__\xc3\xa5shape\x80\xa6chunks\x81\xa10\1",
        "has no chunks",
    ),
    "names alike": (
        b"\x82\xa3a.b" + packed_array(b"\x90", F32, bytes(4)) + b"\xa1a\x81\xa1b"
        + packed_array(b"\x90", F32, bytes(4)),
        "two tensors are named 'a.b'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MSGPACK)
def test_msgpack_attack(tmp_path: Path, name: str) -> None:
    """Each hostile msgpack file is refused for its own reason."""
    data, reason = MSGPACK[name]
    assert reason in str(refused(msgpack_.read, tmp_path, data))


def test_msgpack_dtype_that_is_not_read(tmp_path: Path) -> None:
    """A dtype of objects, which numpy would unpickle, is only ever a name."""
    data = b"\x81\xa1w" + packed_array(b"\x90", b"\xa1O", bytes(8))
    assert "type O are not read" in str(refused(msgpack_.read, tmp_path, data, ask=True))


def struct_of(fields: bytes, width: int, *members: bytes, shape: tuple[int, int] = (1, 1)) -> bytes:
    """Return a struct matrix."""
    names = mat_element(5, struct.pack("<i", width)) + mat_element(1, fields)
    return mat_element(14, mat_head("s", shape, 2) + names + b"".join(members))


def deep_cells(depth: int) -> bytes:
    """Return cells in cells."""
    inner = mat_matrix("", (1, 1), bytes(8))
    for _ in range(depth):
        inner = mat_element(14, mat_head("c", (1, 1), 1) + inner)
    return inner


MAT: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a MAT-file"),
    "cut in a tag": (mat_file(b"\x0e\0\0\0"), "cut short"),
    "cut in a matrix": (mat_file(mat_matrix("w", (2, 1), bytes(16))[:-8]), "are left"),
    "longer than the file": (mat_file(struct.pack("<II", 14, 2**32 - 1)), "4,294,967,295 bytes"),
    "shape of more than the data": (
        mat_file(mat_matrix("w", (2**30, 2**30), bytes(16))), "is not 16 bytes",
    ),
    "negative shape": (mat_file(mat_matrix("w", (-1, 2), bytes(16))), "is not 16 bytes"),
    "numbers of type text": (mat_file(mat_matrix("w", (2, 1), bytes(2), stored=16)), "of type 16"),
    "an element of type 99": (mat_file(mat_element(99, bytes(8))), "an element of type 99"),
    "a name twice": (
        mat_file(*[mat_matrix("w", (1, 1), bytes(8))] * 2), "'w' is there twice",
    ),
    "a long name": (mat_file(mat_matrix("w" * 5000, (1, 1), bytes(8))), "more than 4,096 letters"),
    "40 axes": (mat_file(mat_matrix("w", (1,) * 40, bytes(8))), "too many dimensions"),
    "no flags": (mat_file(mat_element(14, mat_element(5, bytes(4)) + bytes(64))), "no flags"),
    "deep": (mat_file(deep_cells(100)), "nested more than 32 deep"),
    "fields without length": (mat_file(struct_of(b"a", 0)), "field names without length"),
    "a field twice": (mat_file(struct_of(b"a\0a\0", 2)), "a field twice"),
    "a field that is no matrix": (
        mat_file(struct_of(b"a\0", 2, mat_element(1, b"x"))), "where a matrix is needed",
    ),
    "2**31 structs": (
        mat_file(struct_of(b"a\0", 2, shape=(2**16, 2**15))), "more than 200,000 elements",
    ),
    "2**31 cells": (
        mat_file(mat_element(14, mat_head("c", (2**16, 2**15), 1))), "more than 200,000",
    ),
    "not zlib": (mat_file(mat_element(15, b"hello")), "does not unpack"),
    "cut zlib": (
        mat_file(mat_element(15, mat_packed(mat_matrix("w", (1, 1), bytes(8)))[8:20])), "cut short",
    ),
    "zlib of no matrix": (mat_file(mat_packed(bytes(64))), "where a matrix is needed"),
    "zlib bomb of cells": (
        mat_file(mat_packed(mat_element(
            14, mat_head("c", (1, 199_999), 1) + mat_element(14, b"") * 300_000))),
        "more than 200,000 elements",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MAT)
def test_mat_attack(tmp_path: Path, name: str) -> None:
    """Each hostile MAT-file is refused for its own reason."""
    data, reason = MAT[name]
    assert reason in str(refused(mat.read, tmp_path, data))


def test_zlib_bomb(tmp_path: Path) -> None:
    """A small file that unpacks to 320 MiB is listed for nothing, and refused when asked for."""
    packer = zlib.compressobj(9)
    size = 320 * 2**20
    head = mat_head("w", (size // 8, 1))
    tag = struct.pack("<II", 14, len(head) + 8 + size) + head + struct.pack("<II", 9, size)
    parts = [packer.compress(tag)]
    parts += [packer.compress(bytes(2**20)) for _ in range(320)]
    packed = b"".join([*parts, packer.flush()])
    assert len(packed) < 2**20
    data = mat_file(struct.pack("<II", 15, len(packed)) + packed)
    tracemalloc.start()
    (tmp_path / "a.mat").write_bytes(data)
    tensors = mat.read(tmp_path / "a.mat").tensors
    assert tensors.infos["w"].shape == (size // 8, 1)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    with pytest.raises(InputError, match="limit for one compressed variable is 268,435,456"):
        tensors["w"]
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


READERS: dict[str, tuple[Read, bytes]] = {
    "safetensors": (
        safetensors_.read, (FILES / "safetensors_bf16.safetensors").read_bytes(),
    ),
    "torch": (torch_.read, (FILES / "torch_float16.bin").read_bytes()),
    "msgpack": (msgpack_.read, (FILES / "flax_chunked.msgpack").read_bytes()),
    "mat": (mat.read, (FILES / "matlab_plain.mat").read_bytes()),
    "mat packed": (mat.read, (FILES / "matlab_struct.mat").read_bytes()),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.few(1)
def test_damaged_files_are_refused_or_read_but_never_crash(
    name: str, tmp_path: Path, data: Any
) -> None:
    """Bytes changed, cut or doubled anywhere: an InputError or an answer, nothing else."""
    read, whole = READERS[name]
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    stop = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    path = tmp_path / "damaged.bin"
    path.write_bytes(bytes(damaged[:stop]))
    try:
        contents = read(path)
        names = list(contents.tensors)
    except InputError:
        return
    for each in names:
        try:
            assert contents.tensors[each].shape == contents.tensors.infos[each].shape
        except InputError:
            continue


@pytest.mark.parametrize("read", [safetensors_.read, torch_.read, msgpack_.read, mat.read])
def test_folders_and_missing_files(tmp_path: Path, read: Read) -> None:
    """A folder or a missing file is an error like any other."""
    assert "cannot read" in refusal(read, tmp_path).what
    assert "cannot read" in refusal(read, tmp_path / "none.pt").what


MANY_KEYS = b",".join(b'"%d":0' % number for number in range(500_000))


@pytest.mark.full
def calls_of(action: Callable[[], object]) -> int:
    """How many functions an action calls, Python's and C's: its cost on any machine."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def test_the_slowest_attacks_are_quick(tmp_path: Path) -> None:
    """The costliest refusals take some calls for each byte or operation, never their square."""
    costly: list[tuple[Read, bytes]] = [
        (torch_.read, torch_zip(PICKLES["2,000,001 operations"][0])),
        (torch_.read, torch_zip(PICKLES["laughs"][0], {"0": bytes(16)})),
        (torch_.read, torch_zip(PICKLES["a key of nested tuples"][0])),
        (msgpack_.read, MSGPACK["a million numbers"][0]),
        (mat.read, MAT["zlib bomb of cells"][0]),
        (safetensors_.read, SAFETENSORS["header over 10 MB"][0]),
        (safetensors_.read, safetensors(b"{" + MANY_KEYS + b',"0":0}')),
    ]
    for read, data in costly:
        assert calls_of(lambda: refused(read, tmp_path, data)) < MAX_CALLS  # noqa: B023 - called at once


def test_numbers_in_a_pickle_do_not_overflow(tmp_path: Path) -> None:
    """Sizes of many digits are refused as such, before anything is multiplied."""
    for value in (2**63, 2**500):
        operations = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage() + number(value)
        data = pickled(operations + numbers(1) + numbers(1) + b"tR")
        error = refused(torch_.read, tmp_path, torch_zip(data, {"0": bytes(16)}))
        assert "not a non-negative integer" in error.what


UNREADABLE: dict[str, tuple[str, bytes, str, str]] = {
    "a TensorFlow checkpoint's index": ("m.ckpt.index", b"", "TensorFlow checkpoint", "m.ckpt'"),
    "its data": ("m.data-00000-of-00001", b"", "TensorFlow checkpoint", "load_checkpoint('"),
    "its list": ("checkpoint", b'model_checkpoint_path: "m"', "TensorFlow", "load_checkpoint("),
    "a SavedModel's graph": ("saved_model.pb", b"", "SavedModel", "/variables/variables'"),
    "a frozen graph": ("graph.pb", b"", "frozen TensorFlow graph", "GraphDef.FromString"),
    "GGUF": ("m.gguf", b"GGUF\3\0\0\0", "GGUF", "gguf.GGUFReader"),
    "Darknet": ("yolo.weights", bytes(20), "Darknet", "numpy.fromfile"),
    "joblib": ("m.joblib", b"\x80\4", "pickle", "only if you trust"),
    "a pickle": ("m.pkl", b"\x80\5", "pickle", "numpy.savez"),
    "Git LFS": ("m.pt", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
    "a web page": ("m.pt", b"<!DOCTYPE html>", "a web page", "raw link"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_formats_that_are_not_read_are_known(tmp_path: Path, name: str) -> None:
    """Each is named, with the lines of Python that make an npz of it."""
    file, data, what, line = UNREADABLE[name]
    (tmp_path / file).write_bytes(data)
    error = explain_unreadable(tmp_path / file)
    assert error is not None
    assert what in error.what
    assert line in error.hint


@pytest.mark.parametrize(
    ("member", "what"),
    [("saved_model.pb", "SavedModel"), ("_METADATA", "Orbax"), ("manifest.ocdbt", "Orbax")],
)
def test_folders_that_are_not_read_are_known(tmp_path: Path, member: str, what: str) -> None:
    """A SavedModel or Orbax folder is told by what is in it."""
    (tmp_path / member).write_bytes(b"")
    error = explain_unreadable(tmp_path)
    assert error is not None
    assert what in error.what
    assert repr(str(tmp_path))[:-1] in error.hint


def test_every_hint_is_python(tmp_path: Path) -> None:
    """The lines that are shown can be pasted: they parse, with any file name in them."""
    import ast

    for file, data, _, _ in UNREADABLE.values():
        path = tmp_path / file.replace("m.", "it's {0} ")
        path.write_bytes(data)
        error = explain_unreadable(path)
        if error is not None and error.hint.startswith("in Python:\n"):
            lines = [line.strip() for line in error.hint.splitlines()[1:]]
            assert len(lines) == 2
            ast.parse("\n".join(lines).replace("…", "..."))


def test_what_is_not_known_is_not_explained(tmp_path: Path) -> None:
    """Other files, missing files and plain folders get no such answer."""
    (tmp_path / "a.bin").write_bytes(b"hello")
    assert explain_unreadable(tmp_path / "a.bin") is None
    assert explain_unreadable(tmp_path / "none.bin") is None
    assert explain_unreadable(tmp_path) is None
    assert len(UNREAD) == 9
