"""safetensors: a JSON header that places each tensor, then the numbers.

The format is simple enough to be checked without a library. Source: "Format" in the README of
github.com/huggingface/safetensors: 8 bytes (little-endian) for the header's length, the header,
then one byte buffer without gaps; the header begins with "{", may end in spaces, has no
duplicate key; offsets count from the buffer's start; numbers are little-endian, in C order. The
library (0.8.0) accepts duplicate keys and takes seconds over 200,000 empty tensors: refused here.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import decode, open_checked, parse_json
from lstm_cli.formats.contents import Contents, Info, Package
from lstm_cli.formats.registry import format_named
from lstm_cli.formats.stored import (
    BoundedCursor,
    StoredTensor,
    read_from,
    shape_from,
    size_of,
    stored_contents,
)

MAX_HEADER_BYTES = 10_000_000
MAX_TENSORS = 10_000

DTYPES: Mapping[str, str] = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
}  # fmt: skip

_DAMAGED = "the file is cut or damaged; write it again with safetensors"
_SAVE_ALONE = "save the LSTM's weights on their own"


def _damaged(what: str, place: str) -> InputError:
    return InputError(what, where=place, hint=_DAMAGED)


def read(path: Path) -> Contents:
    """Read a file's header; tensors are read on demand.

    Raises:
        InputError: not safetensors; a header that is too large, is not JSON, has a duplicate key
            or does not cover the bytes of the file without gaps and overlaps.
    """
    place = safe(path)
    with open_checked(path) as stream:
        size = stream.seek(0, io.SEEK_END)
        header = _read_header(stream, size, place)
    start = 8 + len(header)
    document = parse_json(decode(header, f"{place}, header"), f"{place}, header")
    tensors = _tensors(document, start, place)
    _check_layout(tensors, start, size, place)
    return stored_contents(path, tensors)


def _read_header(stream: IO[bytes], size: int, place: str) -> bytes:
    cursor = BoundedCursor(read_from(stream), size, place)
    start = cursor.peek(0, min(size, 9))
    length = cursor.whole(start[:8])
    if not format_named("safetensors").begins(start):
        what = "not a safetensors file: its header does not begin with '{'"
        hint = "write it with safetensors.numpy.save_file(tensors, path)"
        raise InputError(what, where=place, hint=hint)
    if length > size - 8:
        raise _damaged(
            f"the header is declared as {length:,} bytes, the file has {size - 8:,}", place
        )
    if length > MAX_HEADER_BYTES:
        what = f"the header takes {length:,} bytes; the limit is {MAX_HEADER_BYTES:,}"
        raise InputError(what, where=place, hint=_SAVE_ALONE)
    return cursor.peek(8, length)


def _tensors(document: Any, start: int, place: str) -> dict[str, StoredTensor]:
    if not isinstance(document, dict):
        raise _damaged("the header is not a JSON object", place)
    document.pop("__metadata__", None)
    if len(document) > MAX_TENSORS:
        what = f"{len(document):,} tensors; the limit is {MAX_TENSORS:,}"
        raise InputError(what, where=place, hint=_SAVE_ALONE)
    return {
        name: _tensor(value, start, f"{place}, key {safe(name)}")
        for name, value in document.items()
    }


def _tensor(value: Any, start: int, place: str) -> StoredTensor:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _damaged("an entry needs dtype, shape and data_offsets, and nothing else", place)
    stored, shape = value["dtype"], shape_from(value["shape"], place)
    offsets = shape_from(value["data_offsets"], place)
    if not isinstance(stored, str) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _damaged(
            f"data_offsets {safe(list(offsets))[:60]} are not a first and a last byte", place
        )
    count = offsets[1] - offsets[0]
    # A dtype that is not read is refused only when the tensor is asked for.
    needed = size_of(shape, DTYPES[stored]) if stored in DTYPES else count
    if needed != count:
        raise _damaged(
            f"shape {list(shape)} of {stored} needs {needed:,} bytes, data_offsets give {count:,}",
            place,
        )
    return StoredTensor(Info.of(shape, DTYPES.get(stored, stored)), ((start + offsets[0], count),))


def _check_layout(tensors: Mapping[str, StoredTensor], start: int, size: int, place: str) -> None:
    """Refuse overlaps, gaps, and an end that is not the file's."""
    end = start
    for name, tensor in sorted(tensors.items(), key=lambda each: each[1].spans):
        ((first, count),) = tensor.spans
        if first != end:
            fault = "overlaps the tensor before it" if first < end else "leaves a gap before it"
            raise _damaged(fault, f"{place}, key {safe(name)}")
        end += count
    if end != size:
        raise _damaged(f"the tensors end at byte {end:,}, the file at byte {size:,}", place)


_WRITTEN_DTYPES = {ours: stored for stored, ours in DTYPES.items()}


def write(package: Package, path: Path) -> bytes:
    """Make the file's bytes: the header, then the numbers without gaps."""
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
