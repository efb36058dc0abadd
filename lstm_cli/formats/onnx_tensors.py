"""Numbers of an ONNX TensorProto, in the file or (only if allowed) in a file beside it.

Written from the format's definition, onnx/onnx.proto: `raw_data` is little-endian; typed fields
hold small types as int32, float16 and bfloat16 as their bits. External data is a known hole
(CVE-2022-25882, 2024-27318, 2026-27489, 2026-34446, 2026-34447), so nothing of the `onnx` package
opens a file here: a location is followed only on demand and only within the model's folder.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NoReturn

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.inputs_read import note_read
from lstm_cli.formats.contents import Budget, Info, check_readable, decoded, shape_from, size_of

# TensorProto.DataType -> our name and the field of typed data ("" where only raw data is read).
TYPES: dict[int, tuple[str, str]] = {
    1: ("float32", "float_data"), 2: ("uint8", "int32_data"), 3: ("int8", "int32_data"),
    4: ("uint16", "int32_data"), 5: ("int16", "int32_data"), 6: ("int32", "int32_data"),
    7: ("int64", "int64_data"), 9: ("bool", ""), 8: ("string", ""), 10: ("float16", "int32_data"),
    11: ("float64", "double_data"), 12: ("uint32", "uint64_data"), 13: ("uint64", "uint64_data"),
    16: ("bfloat16", "int32_data"),
}  # fmt: skip
_BITS = ("float16", "bfloat16")
_EXTERNAL = 1  # TensorProto.DataLocation


@dataclass(frozen=True)
class Source:
    """Where a model's tensors come from.

    Attributes:
        folder: that of the model; the only one whose files may be read.
        place: the model's file, for messages.
        external: whether files beside the model may be read.
        budget: what may be unpacked.
    """

    folder: Path
    place: str
    external: bool
    budget: Budget

    def numbers(self, tensor: Any) -> Array:
        """Return a tensor's numbers in its own dtype (bfloat16 as float32).

        Raises:
            InputError: a type that is not read, data that does not fit the shape, external data
                that is not allowed or not safe.
        """
        place = f"{self.place}, tensor {safe(tensor.name)[:200] or '(unnamed)'}"
        info = info_of(tensor, place)
        size = _size(info, place)
        if tensor.HasField("segment"):
            raise _damaged("segmented tensors are not read", place)
        if tensor.data_location == _EXTERNAL:
            data = self._external(tensor, size, place)
            return decoded(data, info.dtype).reshape(info.shape)
        if tensor.HasField("raw_data"):
            raw = tensor.raw_data
            if len(raw) != size:
                raise _mismatch(info, f"{len(raw):,} bytes", place)
            self.budget.take(size)  # protobuf hands out a copy
            data = np.frombuffer(raw, dtype=np.uint8)
            return decoded(data, info.dtype).reshape(info.shape)
        return self._typed(tensor, info, place)

    def _typed(self, tensor: Any, info: Info, place: str) -> Array:
        field = getattr(tensor, TYPES[tensor.data_type][1])
        if len(field) != math.prod(info.shape):
            raise _mismatch(info, f"{len(field):,} numbers", place)
        self.budget.take(8 * len(field))
        values = np.array(field)
        if info.dtype in _BITS:
            bits = values.astype(np.uint16).view(np.uint8)
            return decoded(bits, info.dtype).reshape(info.shape)
        return values.astype(info.dtype).reshape(info.shape)

    def _external(self, tensor: Any, size: int, place: str) -> Array:
        """Return the bytes of a tensor that lie in a file beside the model."""
        entries = {str(entry.key): str(entry.value) for entry in tensor.external_data}
        shown = safe(entries.get("location", ""))[:200]
        if not self.external:
            raise InputError(
                f"the numbers are in another file, '{shown}', which is not opened unasked",
                where=place,
                hint="--allow-external-data reads it if it lies beside the model; or save the "
                "model as one file: onnx.save(onnx.load(path), new)",
            )
        offset = _count(entries.get("offset", "0"), "offset", place)
        with _open_beside(self.folder, entries.get("location", ""), place) as stream:
            there = os.fstat(stream.fileno()).st_size
            length = _count(entries["length"], "length", place) if "length" in entries else size
            if length != size or offset + length > there:
                raise _mismatch(
                    info_of(tensor, place),
                    f"{length:,} bytes from {offset:,} on of the {there:,} in '{shown}'",
                    place,
                )
            stream.seek(offset)
            data = np.frombuffer(stream.read(size), dtype=np.uint8)
        if data.size != size:
            raise _damaged(f"'{shown}' was cut while it was read", place)
        self.budget.grow(size)
        return data


def info_of(tensor: Any, place: str) -> Info:
    """Return a tensor's shape and dtype; types that are not read have a number for a name.

    Raises:
        InputError: a shape that is none.
    """
    dtype = TYPES.get(tensor.data_type, (f"ONNX type {tensor.data_type}", ""))[0]
    return Info(shape_from(list(tensor.dims), place), dtype)


def _size(info: Info, place: str) -> int:
    """Return the bytes that a tensor takes; a dtype that is not read is refused, and too many."""
    check_readable(info.dtype, 0, place)
    size = size_of(info.shape, info.dtype)
    check_readable(info.dtype, size, place)
    return size


def _count(text: str, what: str, place: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        _unsafe(f"the {what} of external data is '{safe(text)[:40]}'", place)
    return int(text)


@contextmanager
def _open_beside(folder: Path, location: str, place: str) -> Iterator[IO[bytes]]:
    """Open an external data file: a plain file of one name, inside the model's folder."""
    shown = safe(location)[:200]
    parts = PurePosixPath(location).parts
    if (
        not parts
        or re.search(r"[\\:\x00]", location)
        or PurePosixPath(location).is_absolute()
        or PureWindowsPath(location).anchor
        or ".." in parts
    ):
        _unsafe(f"external data at '{shown}' is not a plain path below the model's folder", place)
    path = folder.joinpath(*parts)
    try:
        root, real = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
        if path.is_symlink() or not real.is_relative_to(root):
            _unsafe(f"external data '{shown}' is a link, or leads out of the model's folder", place)
        # A pipe would block on opening; a link put there meanwhile is not followed.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(real, flags | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _unsafe(f"external data '{shown}' cannot be read: {safe(reason).lower()}", place)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        _unsafe(f"external data '{shown}' is not a plain file of one name", place)
    note_read(descriptor, str(path))
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def _unsafe(what: str, place: str) -> NoReturn:
    raise InputError(
        what, where=place,
        hint="put the data file itself beside the model, or save the model as one file",
    )  # fmt: skip


def _mismatch(info: Info, there: str, place: str) -> InputError:
    return _damaged(
        f"the tensor is declared {info.dtype} {list(info.shape)}; it has {there}", place
    )


def _damaged(what: str, place: str) -> InputError:
    return InputError(what, where=place, hint="the file is cut or damaged; write it again")
