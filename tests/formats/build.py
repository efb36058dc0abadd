"""Builds tensor files byte by byte, whole or hostile."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from typing import Any


def safetensors(header: Any, body: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a safetensors file of any header (JSON, or text as it is)."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(shape: list[int], start: int, stop: int, dtype: str = "F32") -> dict[str, Any]:
    """Return a safetensors header's entry."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def torch_zip(pickled: bytes, storages: dict[str, bytes] | None = None, **more: bytes) -> bytes:
    """Return a zip as torch.save makes it, of any pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, data in more.items():
            archive.writestr(f"a/{name}", data)
        for key, data in (storages or {}).items():
            archive.writestr(f"a/data/{key}", data)
    return stream.getvalue()


def text(value: str) -> bytes:
    """Return a pickle's operation that pushes text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """Return a pickle's operation that pushes a whole number."""
    width = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([width]) + value.to_bytes(width, "little", signed=True)


def numbers(*values: int) -> bytes:
    """Return a pickle's operations that push a tuple."""
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str = "0", count: int = 4, kind: str = "torch\nFloatStorage") -> bytes:
    """Return a pickle's operations that push a storage."""
    return (
        b"(" + text("storage") + b"c" + kind.encode() + b"\n" + text(key) + text("cpu")
        + number(count) + b"tQ"
    )  # fmt: skip


def tensor(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *,
    offset: int = 0,
    store: bytes | None = None,
) -> bytes:
    """Return a pickle's operations that push a tensor of a storage of four float32."""
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + (store or storage()) + number(offset)
        + numbers(*shape) + numbers(*strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def pickled(*operations: bytes) -> bytes:
    """Return a pickle of operations."""
    return b"\x80\x02" + b"".join(operations) + b"."


def one_tensor(name: str, value: bytes) -> bytes:
    """Return a pickle of {name: value}."""
    return pickled(b"}", text(name), value, b"s")


def mat_element(kind: int, data: bytes, order: str = "<") -> bytes:
    """Return an element of a MAT-file, padded."""
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def mat_head(
    name: str, shape: tuple[int, ...], kind: int = 6, order: str = "<", flags: int = 0
) -> bytes:
    """Return a matrix's flags, dimensions and name."""
    return (
        mat_element(6, struct.pack(f"{order}II", kind | flags, 0), order)
        + mat_element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
        + mat_element(1, name.encode(), order)
    )


def mat_matrix(
    name: str,
    shape: tuple[int, ...],
    data: bytes,
    *,
    kind: int = 6,
    stored: int = 9,
    order: str = "<",
) -> bytes:
    """Return a numeric matrix (class 6, double; stored as type 9, double)."""
    inner = mat_head(name, shape, kind, order) + mat_element(stored, data, order)
    return mat_element(14, inner, order)


def mat_packed(data: bytes) -> bytes:
    """Return a compressed element, which is not padded."""
    packed = zlib.compress(data, 9)
    return struct.pack("<II", 15, len(packed)) + packed


def mat_file(*elements: bytes, order: str = "<") -> bytes:
    """Return a MAT-file of version 5."""
    mark = b"\0\1IM" if order == "<" else b"\1\0MI"
    return b"MATLAB 5.0 MAT-file".ljust(124) + mark + b"".join(elements)
