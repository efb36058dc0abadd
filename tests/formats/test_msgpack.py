"""Flax parameters in msgpack that Flax wrote, read without it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.files.safe import read_npz
from lstm_cli.formats.flax import read
from tests.formats.tensors import FILES, assert_listed, assert_runs, golden, goldens


@pytest.mark.parametrize("name", goldens(".msgpack"))
def test_every_tensor_is_listed_and_the_cell_runs(name: str) -> None:
    """Linen's and nnx's two cells give the numbers that Flax computes, h0 and c0 included."""
    tensors = read(FILES / f"{name}.msgpack").tensors
    assert_listed(golden(name), tensors)
    assert_runs(golden(name), tensors)


@pytest.mark.parametrize("name", ["flax_nnx_lstm", "flax_nnx_optimized"])
def test_npz_and_msgpack_of_one_cell_are_equal(name: str) -> None:
    """The same nnx cell as npz has the same names and numbers, and its own golden run."""
    arrays = read_npz(FILES / f"{name}_arrays.npz")
    tensors = read(FILES / f"{name}.msgpack").tensors
    assert sorted(arrays) == sorted(tensors)
    assert all(np.array_equal(arrays[key], tensors[key]) for key in arrays)
    assert_runs(golden(f"{name}_arrays"), arrays)


def test_chunks_scalars_and_bfloat16() -> None:
    """An array that Flax cut into chunks is whole; what is no array is left out."""
    tensors = read(FILES / "flax_chunked.msgpack").tensors
    assert_listed(golden("flax_chunked"), tensors)
    assert np.array_equal(tensors["a"], np.arange(1.0, 25.0).reshape(4, 6))
    assert tensors["b.c"] == 2.5
    assert tensors.infos["half"].dtype.text == "bfloat16"
    assert tensors["half"].tolist() == [1.5, -2.0]


def test_every_kind_of_value_is_passed_over(tmp_path: Path) -> None:
    """Numbers, text, lists and unknown extensions of every width may stand beside an array."""
    packed = {
        "fix": b"\x05", "minus": b"\xff", "u8": b"\xcc\x80", "u16": b"\xcd\1\0",
        "u32": b"\xce" + b"\1" * 4, "u64": b"\xcf" + b"\1" * 8, "i8": b"\xd0\x80",
        "i16": b"\xd1\x80\0", "i32": b"\xd2" + b"\x80" * 4, "i64": b"\xd3" + b"\x80" * 8,
        "f32": b"\xca" + struct.pack(">f", 1.5), "f64": b"\xcb" + struct.pack(">d", 1.5),
        "nil": b"\xc0", "no": b"\xc2", "yes": b"\xc3", "s8": b"\xd9\1a", "s16": b"\xda\0\1a",
        "s32": b"\xdb\0\0\0\1a", "b8": b"\xc4\1a", "b16": b"\xc5\0\1a", "b32": b"\xc6\0\0\0\1a",
        "l16": b"\xdc\0\1\1", "l32": b"\xdd\0\0\0\1\1", "m16": b"\xde\0\1\xa1a\1",
        "m32": b"\xdf\0\0\0\1\xa1a\1", "e1": b"\xd4\7a", "e2": b"\xd5\7ab", "e4": b"\xd6\7abcd",
        "e8": b"\xd7\7abcdefgh", "e16": b"\xd8\7" + b"a" * 16, "x8": b"\xc7\1\7a",
        "x16": b"\xc8\0\1\7a", "x32": b"\xc9\0\0\0\1\7a", "long": b"\xda\xff\xff" + b"a" * 65535,
        "w": b"\xc7\x13\1" + b"\x93\x91\2\xa7float32" + b"\xc4\x08" + struct.pack("<2f", 1, 2),
    }  # fmt: skip
    packed["w"] = packed["w"].replace(b"\xc7\x13", b"\xc7" + bytes([len(packed["w"]) - 3]))
    body = b"".join(bytes([0xA0 + len(key)]) + key.encode() + v for key, v in packed.items())
    path = tmp_path / "all.msgpack"
    path.write_bytes(b"\xde" + struct.pack(">H", len(packed)) + body)
    assert {name: array.tolist() for name, array in read(path).tensors.items()} == {"w": [1, 2]}
