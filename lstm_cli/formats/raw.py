"""Raw numbers in files, and trees of them: what the readers of tensor files share.

A reader notes where in its file a tensor's bytes lie; they are read when the tensor is asked for.
bfloat16, which numpy lacks, is the upper half of a float32, and is returned as float32.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import MAX_ARRAY_BYTES, open_checked

MAX_AXES = 32
MAX_DEPTH = 64
MAX_NODES = 200_000
MAX_LOOKED_AT = 5_000_000
MAX_NAME = 1_000

_BRANCHES = (dict, list, tuple)

# What is read: our name -> numpy's code.
CODES: Mapping[str, str] = {
    "float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "u2",
    "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1",
    "uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1",
}  # fmt: skip

Leaf = TypeVar("Leaf")
Span = tuple[int, int]  # first byte, number of bytes


def item_size(dtype: str) -> int:
    """Return the bytes of one number of a dtype in `CODES`."""
    return np.dtype(CODES[dtype]).itemsize


def file_size(path: Path) -> int:
    """Return a file's size; errors as `open_checked`."""
    with open_checked(path) as stream:
        return stream.seek(0, io.SEEK_END)


def read_numbers(
    path: Path, spans: Sequence[Span], dtype: str, place: str, *, big_endian: bool = False
) -> Array:
    """Return the numbers that lie in some spans of a file, one after another, as one row.

    Raises:
        InputError: a dtype that is not in `CODES`, more than 2 GiB, or a file that is shorter.
    """
    size = sum(count for _, count in spans)
    check_readable(dtype, size, place)
    data = np.empty(size, dtype=np.uint8)
    done = 0
    with open_checked(path) as stream:
        there = stream.seek(0, io.SEEK_END)
        for start, count in spans:
            if start + count > there:
                raise InputError(
                    f"cut short: bytes {start:,} to {start + count:,} of {there:,} are needed",
                    where=place, hint="the file is damaged or still being written",
                )  # fmt: skip
            stream.seek(start)
            done += stream.readinto(data[done : done + count].data)  # type: ignore[attr-defined]
    if done < size:
        raise InputError("cut short while it was read", where=place, hint="try again")
    return decoded(data, dtype, big_endian=big_endian)


def check_readable(dtype: str, size: int, place: str) -> None:
    """Refuse a tensor of an unknown dtype or of more than 2 GiB."""
    if dtype not in CODES:
        raise InputError(
            f"numbers of type {safe(dtype)[:60]} are not read", where=place,
            hint="convert it to float32 or float64; what is read: " + ", ".join(CODES),
        )  # fmt: skip
    if size > MAX_ARRAY_BYTES:
        raise InputError(
            f"{size:,} bytes; the limit for one tensor is {MAX_ARRAY_BYTES:,}", where=place,
            hint="save the LSTM's weights on their own",
        )  # fmt: skip


def decoded(data: Array, dtype: str, *, big_endian: bool = False) -> Array:
    """Return bytes as a row of numbers in this machine's byte order."""
    stored = data.view(np.dtype(CODES[dtype]).newbyteorder(">" if big_endian else "<"))
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def shaped(row: Array, shape: Sequence[int], place: str, *, by_columns: bool = False) -> Array:
    """Return a row of numbers in a shape (an empty one may have axes that numpy cannot make)."""
    try:
        return row.reshape(shape, order="F" if by_columns else "C")
    except (ValueError, OverflowError):
        raise InputError(
            f"shape {list(shape)} is too large for an array", where=place,
            hint="the tensor holds no numbers; leave it out of the file",
        ) from None  # fmt: skip


def shape_from(value: Any, place: str) -> tuple[int, ...]:
    """Return a shape that a file gives.

    Raises:
        InputError: not whole numbers from 0 on, or too many of them.
    """
    good = isinstance(value, list | tuple) and len(value) <= MAX_AXES
    if not good or not all(type(n) is int and 0 <= n < 2**63 for n in value):
        raise InputError(
            "the shape is not a short list of sizes", where=place,
            hint="the file is damaged; write it again",
        )  # fmt: skip
    return tuple(value)


def size_of(shape: Sequence[int], dtype: str) -> int:
    """Return the bytes that a tensor takes (Python's integers: nothing overflows)."""
    return math.prod(shape) * item_size(dtype)


def flatten(tree: Any, leaf: type[Leaf], place: str) -> dict[str, Leaf]:
    """Return the leaves of nested dicts, lists and tuples under dotted names; the rest is left out.

    Raises:
        InputError: nested too deep or too much to look at (a list that holds itself is both), two
            leaves of one name, a name that is too long.
    """
    leaves: dict[str, Leaf] = {}
    for name, value in _walk(tree, leaf, place):
        if name in leaves:
            raise InputError(
                f"two tensors are named '{safe(name)}'", where=place, hint="rename one of them"
            )
        leaves[name] = value
    return leaves


def _walk(tree: Any, leaf: type[Leaf], place: str) -> Iterator[tuple[str, Leaf]]:
    """Yield (dotted name, leaf) in the order of the file."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    looked_at = walked = 0
    while waiting:
        path, value = waiting.pop()
        walked += 1
        if len(path) > MAX_DEPTH or sum(map(len, path)) > MAX_NAME:
            raise _too_much(f"nested more than {MAX_DEPTH} deep, or a very long name", place)
        if isinstance(value, leaf):
            yield ".".join(path) or "tensor", value
        if isinstance(value, leaf) or not isinstance(value, _BRANCHES):
            continue
        looked_at += len(value)
        members = [each for each in _members(value) if isinstance(each[1], (leaf, *_BRANCHES))]
        if looked_at > MAX_LOOKED_AT or walked + len(waiting) + len(members) > MAX_NODES:
            raise _too_much(f"more than {MAX_NODES:,} tensors and groups", place)
        waiting += [((*path, str(key)), each) for key, each in reversed(members)]


def _members(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, dict) else enumerate(value)


def _too_much(what: str, place: str) -> InputError:
    return InputError(
        what, where=place, hint="save the weights alone, as one dict of tensors by name"
    )
