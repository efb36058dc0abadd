"""The bytes and numbers of binary files: a cursor, a limit on memory, and tensors read on demand.

A reader notes where a tensor's bytes lie in its file; they are read on demand. bfloat16, which
NumPy lacks, is the upper half of a float32 and is returned as float32.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NoReturn

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import MAX_ARRAY_BYTES, MAX_AXES, open_checked
from lstm_cli.formats.contents import Contents, Info, Tensors

Order = Literal["little", "big"]
Span = tuple[int, int]  # first byte, number of bytes
ReadAt = Callable[[int, int], bytes]  # (first byte, number of bytes) -> them, or fewer at the end


def read_from(stream: IO[bytes]) -> ReadAt:
    """Make a function that reads an open file at any position."""

    def read(start: int, count: int) -> bytes:
        stream.seek(start)
        return stream.read(count)

    return read


class BoundedCursor:
    """The bytes of a file, taken in turn or at a position, and never past their end.

    The reader of a format is a subclass, which words its own errors.

    Args:
        source: the bytes, or a function that reads them.
        place: the file, for messages.

    Attributes:
        fault: the beginning of each message.
        hint: the end of each message.
        cut: the reason where bytes are missing; {at} is the first wanted, {size} the file's size.
        order: the byte order of integers.
        at: the position of the next bytes to take.
    """

    fault = ""
    hint = ""
    cut = "cut short"
    order: Order = "little"

    def __init__(self, source: bytes | ReadAt, size: int, place: str) -> None:
        self._source = source
        self.size = size
        self.place = place
        self.at = 0

    def peek(self, start: int, count: int) -> bytes:
        """Read bytes at a position.

        Raises:
            InputError: some of them are missing.
        """
        data = b""
        if count > 0 and 0 <= start <= self.size - count:
            held = self._source
            data = held[start : start + count] if isinstance(held, bytes) else held(start, count)
        if len(data) < count:
            self.refuse(self.cut.format(at=f"{start:,}", size=f"{self.size:,}"), start)
        return data

    def take(self, count: int) -> bytes:
        """Read the next bytes and move past them; errors as `peek`."""
        data = self.peek(self.at, count)
        self.at += count
        return data

    def skip(self, count: int) -> Span:
        """Move past the next bytes without reading them; errors as `peek`."""
        if count > self.size - self.at:
            self.refuse(f"cut short: {count:,} bytes are said to follow", self.at)
        self.at += count
        return self.at - count, count

    def whole(self, data: bytes) -> int:
        """Decode bytes as an unsigned integer."""
        return int.from_bytes(data, self.order)

    def refuse(self, reason: str, at: int | None = None) -> NoReturn:
        """Raise the error for a fault, with its byte where one is known."""
        where = self.place if at is None else f"{self.place}, byte {at:,}"
        raise InputError(f"{self.fault}: {reason}", where=where, hint=self.hint)


# --------------------------------------------------------------------------------------------------
# A limit on the memory that a file may take, in proportion to its own size.
#
# Small files can describe huge arrays (a concatenation of concatenations, ten thousand tensors over
# the same bytes), so whatever is unpacked is counted before memory is allocated.

# A weight grows at most 8 times (int8 to float64) and is unpacked a few times at most.
_BUDGET_FACTOR = 24
_BUDGET_FLOOR = 16 * 2**20


class Budget:
    """The number of bytes that may still be unpacked.

    Args:
        size: the file's size in bytes.
    """

    def __init__(self, size: int, place: str) -> None:
        self.left = _BUDGET_FLOOR + _BUDGET_FACTOR * size
        self.place = place

    def grow(self, size: int) -> None:
        """Add the allowance for a second file that belongs to the first."""
        self.left += _BUDGET_FACTOR * size

    def take(self, size: int) -> None:
        """Subtract what is about to be allocated.

        Raises:
            InputError: it is more than an honest file can need.
        """
        if size > self.left:
            what = f"unpacking asks for {size:,} bytes more; {self.left:,} are left for this file"
            hint = "the file is damaged or hostile; write it again from its source"
            raise InputError(what, where=self.place, hint=hint)
        self.left -= size


def read_whole(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        InputError: it cannot be opened, is not a plain file, or is larger than 2 GiB.
    """
    with open_checked(path) as stream:
        try:
            # `read(n)` allocates n bytes whatever the file holds, so the size is found first.
            size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
        except OSError:
            raise InputError("not a plain file", where=safe(path), hint="save it first") from None
        if size > MAX_ARRAY_BYTES:
            what = f"{size:,} bytes; the limit is {MAX_ARRAY_BYTES:,}"
            hint = "save the LSTM's weights on their own, as .npz or .safetensors"
            raise InputError(what, where=safe(path), hint=hint)
        return stream.read(size)


# --------------------------------------------------------------------------------------------------
# Raw numbers.

# The dtypes that are read: our name -> NumPy's code.
CODES: Mapping[str, str] = {
    "float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "u2",
    "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1",
    "uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor and the spans of bytes in which its numbers lie, in C order, one after another."""

    info: Info
    spans: tuple[Span, ...]


def stored_contents(path: Path, tensors: Mapping[str, StoredTensor]) -> Contents:
    """The contents of a file of stored tensors, whose numbers are read on demand."""

    def load(name: str) -> Array:
        info, place = tensors[name].info, f"{safe(path)}, key {safe(name)}"
        row = read_numbers(path, tensors[name].spans, info.dtype.text, place)
        return shaped(row, info.shape, place)

    return Contents(Tensors({name: each.info for name, each in tensors.items()}, load))


def read_numbers(
    path: Path, spans: Sequence[Span], dtype: str, place: str, *, big_endian: bool = False
) -> Array:
    """Read the numbers in some spans of a file, one after another, as a flat array.

    Raises:
        InputError: a dtype that is not in `CODES`, more than 2 GiB, or a file that is too short.
    """
    size = sum(count for _, count in spans)
    check_readable(dtype, size, place)
    data = np.empty(size, dtype=np.uint8)
    done = 0
    with open_checked(path) as stream:
        there = stream.seek(0, io.SEEK_END)
        for start, count in spans:
            if start + count > there:
                what = f"cut short: bytes {start:,} to {start + count:,} of {there:,} are needed"
                hint = "the file is damaged or still being written"
                raise InputError(what, where=place, hint=hint)
            stream.seek(start)
            done += stream.readinto(data[done : done + count].data)
    if done < size:
        raise InputError("cut short while it was read", where=place, hint="try again")
    return decoded(data, dtype, big_endian=big_endian)


def check_readable(dtype: str, size: int, place: str) -> None:
    """Refuse a tensor of an unknown dtype or of more than 2 GiB."""
    if dtype not in CODES:
        hint = "convert it to float32 or float64; what is read: " + ", ".join(CODES)
        raise InputError(f"numbers of type {safe(dtype)[:60]} are not read", where=place, hint=hint)
    if size > MAX_ARRAY_BYTES:
        what = f"{size:,} bytes; the limit for one tensor is {MAX_ARRAY_BYTES:,}"
        raise InputError(what, where=place, hint="save the LSTM's weights on their own")


def checked_size(info: Info, place: str) -> int:
    """Size in bytes of a tensor's numbers; errors as `check_readable`."""
    dtype = info.dtype.text
    size = size_of(info.shape, dtype) if dtype in CODES else 0
    check_readable(dtype, size, place)
    return size


def decoded(data: Array, dtype: str, *, big_endian: bool = False) -> Array:
    """Decode bytes into a flat array of numbers in this machine's byte order."""
    stored = data.view(np.dtype(CODES[dtype]).newbyteorder(">" if big_endian else "<"))
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def dequantized(values: Array, scale: Array, zero: Array | None, axis: int) -> Array:
    """The real numbers scale · (q - zero point), with one scale in all or one a row of an axis."""
    along = [-1 if i == axis else 1 for i in range(values.ndim)] if scale.size > 1 else []
    start = np.zeros(()) if zero is None else zero.astype(np.float64)
    with np.errstate(all="ignore"):
        offset = start.reshape(along if start.size > 1 else ())
        return np.asarray(
            (values.astype(np.float64) - offset) * scale.astype(np.float64).reshape(along)
        )


def shaped(row: Array, shape: Sequence[int], place: str, *, by_columns: bool = False) -> Array:
    """Reshape a flat array (an empty one may have axes too large for NumPy)."""
    try:
        return row.reshape(shape, order="F" if by_columns else "C")
    except (ValueError, OverflowError):
        what = f"shape {list(shape)} is too large for an array"
        hint = "the tensor holds no numbers; leave it out of the file"
        raise InputError(what, where=place, hint=hint) from None


def shape_from(value: Any, place: str) -> tuple[int, ...]:
    """Check a shape that a file gives.

    Raises:
        InputError: not a list of non-negative integers, or too long.
    """
    good = isinstance(value, list | tuple) and len(value) <= MAX_AXES
    if not good or not all(type(n) is int and 0 <= n < 2**63 for n in value):
        what = "the shape is not a short list of sizes"
        raise InputError(what, where=place, hint="the file is damaged; write it again")
    return tuple(value)


def size_of(shape: Sequence[int], dtype: str) -> int:
    """Size in bytes of a tensor of a dtype in `CODES` (in Python's integers: no overflow)."""
    return math.prod(shape) * np.dtype(CODES[dtype]).itemsize
