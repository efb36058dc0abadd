"""Named tensors: npz, JSON, safetensors.

The safetensors layout: an 8-byte little-endian length, a JSON header of dtype, shape and offsets,
then the numbers, little-endian, without gaps (huggingface/safetensors, README).
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from lstm_cli.files.output import json_text, npz_bytes, plain_list
from lstm_cli.formats.save import Package

_DTYPES = {"float64": "F64", "float32": "F32"}


def write(package: Package, path: Path) -> bytes:
    """Return the file's bytes, in the format that its suffix names."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return npz_bytes(package.named)
    if suffix == ".json":
        lists = {name: plain_list(array, array.dtype) for name, array in package.named.items()}
        return (json_text(lists) + "\n").encode()
    return _safetensors(package)


def _safetensors(package: Package) -> bytes:
    header: dict[str, object] = {}
    chunks: list[bytes] = []
    offset = 0
    for name, array in package.named.items():
        data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        offset += len(data)
        chunks.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # numbers start at a multiple of 8
    return struct.pack("<Q", len(text)) + text + b"".join(chunks)
