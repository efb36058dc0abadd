"""safetensors: a JSON header with a place for each tensor, then the numbers.

The format is so plain that its checks need no library. Source: "Format" in the README of
github.com/huggingface/safetensors: 8 bytes (little-endian) for the header's length, the header,
then one byte buffer without holes; the header begins with "{", may end in spaces, has no key
twice; offsets count from the buffer's start; numbers are little-endian, in C order. The library
itself (0.8.0) accepts duplicate keys and takes seconds over 200,000 empty tensors: refused here.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import decode, open_checked, parse_json
from lstm_cli.formats.contents import (
    Contents,
    Info,
    Package,
    Tensors,
    read_numbers,
    shape_from,
    shaped,
    size_of,
)
from lstm_cli.formats.cursor import Span

MAX_HEADER_BYTES = 10_000_000
MAX_TENSORS = 10_000

DTYPES: Mapping[str, str] = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
}  # fmt: skip

_DAMAGED = "the file is cut or damaged; write it again with safetensors"


@dataclass(frozen=True)
class _Entry:
    """One tensor: what it is, and where its bytes lie in the file."""

    info: Info
    span: Span


def read(path: Path) -> Contents:
    """Return a file's tensors; only the header is read until one is asked for.

    Raises:
        InputError: not safetensors; a header that is too large, not JSON, has a key twice, or
            does not describe the bytes that are there without hole and overlap.
    """
    place = safe(path)
    with open_checked(path) as stream:
        size = stream.seek(0, io.SEEK_END)
        header = _read_header(stream, size, place)
    start = 8 + len(header)
    document = parse_json(decode(header, f"{place}, header"), f"{place}, header")
    entries = _entries(document, start, place)
    _check_layout(entries, start, size, place)

    def load(name: str) -> Array:
        entry = entries[name]
        where = f"{place}, key {safe(name)}"
        row = read_numbers(path, [entry.span], entry.info.dtype.text, where)
        return shaped(row, entry.info.shape, where)

    return Contents(Tensors({name: entry.info for name, entry in entries.items()}, load))


def _read_header(stream: IO[bytes], size: int, place: str) -> bytes:
    stream.seek(0)
    start = stream.read(9)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:] != b"{":
        raise InputError(
            "not a safetensors file: its header does not begin with '{'", where=place,
            hint="write it with safetensors.numpy.save_file(tensors, path)",
        )  # fmt: skip
    if length > size - 8:
        raise InputError(
            f"the header is said to take {length:,} bytes, the file has {size - 8:,}",
            where=place, hint=_DAMAGED,
        )  # fmt: skip
    if length > MAX_HEADER_BYTES:
        raise InputError(
            f"the header takes {length:,} bytes; the limit is {MAX_HEADER_BYTES:,}",
            where=place, hint="save the LSTM's weights on their own",
        )  # fmt: skip
    stream.seek(8)
    return stream.read(length)


def _entries(document: Any, start: int, place: str) -> dict[str, _Entry]:
    """Return every tensor of the header by name."""
    if not isinstance(document, dict):
        raise InputError("the header is not a JSON object", where=place, hint=_DAMAGED)
    document.pop("__metadata__", None)
    if len(document) > MAX_TENSORS:
        raise InputError(
            f"{len(document):,} tensors; the limit is {MAX_TENSORS:,}", where=place,
            hint="save the LSTM's weights on their own",
        )  # fmt: skip
    return {
        name: _entry(value, start, f"{place}, key {safe(name)}") for name, value in document.items()
    }


def _entry(value: Any, start: int, place: str) -> _Entry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise InputError(
            "an entry needs dtype, shape and data_offsets, and nothing else", where=place,
            hint=_DAMAGED,
        )  # fmt: skip
    stored, shape = value["dtype"], shape_from(value["shape"], place)
    offsets = shape_from(value["data_offsets"], place)
    if not isinstance(stored, str) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise InputError(
            f"data_offsets {safe(list(offsets))[:60]} are not a first and a last byte",
            where=place, hint=_DAMAGED,
        )  # fmt: skip
    entry = _Entry(
        Info.of(shape, DTYPES.get(stored, stored)), (start + offsets[0], offsets[1] - offsets[0])
    )
    _check_size(entry, stored, place)
    return entry


def _check_size(entry: _Entry, stored: str, place: str) -> None:
    """Refuse a tensor whose bytes are not those of its shape (other dtypes: when asked for)."""
    if stored not in DTYPES:
        return
    needed = size_of(entry.info.shape, entry.info.dtype.text)
    if needed != entry.span[1]:
        raise InputError(
            f"shape {list(entry.info.shape)} of {stored} needs {needed:,} bytes, "
            f"data_offsets give {entry.span[1]:,}",
            where=place,
            hint=_DAMAGED,
        )


def _check_layout(entries: Mapping[str, _Entry], start: int, size: int, place: str) -> None:
    """Refuse overlaps, holes, and bytes before the file's end or past it that no tensor has."""
    end = start
    for name, entry in sorted(entries.items(), key=lambda each: each[1].span):
        first, count = entry.span
        if first != end:
            fault = "overlaps the tensor before it" if first < end else "leaves a hole before it"
            raise InputError(fault, where=f"{place}, key {safe(name)}", hint=_DAMAGED)
        end += count
    if end != size:
        raise InputError(
            f"the tensors end at byte {end:,}, the file at byte {size:,}",
            where=place, hint=_DAMAGED,
        )  # fmt: skip


_WRITTEN_DTYPES = {ours: stored for stored, ours in DTYPES.items()}


def write(package: Package, path: Path) -> bytes:
    """Return the file's bytes: the header, then the numbers without gaps."""
    header: dict[str, object] = {}
    chunks: list[bytes] = []
    offset = 0
    for name, array in package.named.items():
        data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": _WRITTEN_DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        offset += len(data)
        chunks.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # numbers start at a multiple of 8
    return struct.pack("<Q", len(text)) + text + b"".join(chunks)
