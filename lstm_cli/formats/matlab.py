"""MATLAB files before v7.3 (`save -v7`, `save -v6`, scipy.io.savemat): numbers, structs, cells.

Why not a package: mat4py (0.6.0, the last release, of 2023-10) reads everything at once into
nested lists of Python floats, scipy takes 140 MB, and neither limits what a compressed variable
unpacks to. Here numbers are read on demand. v7.3 is HDF5, and objects such as a `dlnetwork` are
stored in a form that MathWorks does not document: both errors say how to save the weights instead.
"""

from __future__ import annotations

import io
import itertools
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import open_checked
from lstm_cli.formats.contents import Contents, Info, Tensors, flatten
from lstm_cli.formats.registry import HDF5, format_named
from lstm_cli.formats.stored import (
    CODES,
    BoundedCursor,
    Order,
    ReadAt,
    checked_size,
    decoded,
    read_from,
    read_numbers,
    shape_from,
    shaped,
    size_of,
)

_SAVE_ARRAYS = (
    "in MATLAB, with the number of the LSTM layer:\n"
    "    layer = net.Layers(2); InputWeights = layer.InputWeights; "
    "RecurrentWeights = layer.RecurrentWeights; Bias = layer.Bias;\n"
    "    save('lstm.mat', 'InputWeights', 'RecurrentWeights', 'Bias', '-v7')"
)


def read(path: Path) -> Contents:
    """Read every array; fields of structs and members of cells (from 1) have dotted names.

    Raises:
        InputError: v7.3, v4 or not a MAT-file; damaged; only objects or text in it.
    """
    place = safe(path)
    with open_checked(path) as stream:
        head = stream.read(520)
        order = _byte_order(head, place)
        tree = _variables(stream, stream.seek(0, io.SEEK_END), order, place)
    arrays = flatten(tree, _MatArray, place)
    notes = tuple(
        f"{safe(name)} is a MATLAB {safe(each.info.dtype)}: its weights are not read"
        for name, each in arrays.items()
        if each.info.dtype.startswith(b"object")
    )
    if notes and not any(each.info.dtype.text in CODES for each in arrays.values()):
        raise InputError(notes[0], where=place, hint=_SAVE_ARRAYS)
    tensors = Tensors(
        {name: each.info for name, each in arrays.items()},
        lambda name: _numbers_of(path, arrays[name], order, f"{place}, key {safe(name)}"),
    )
    return Contents(tensors, notes=notes)


def _byte_order(head: bytes, place: str) -> Order:
    """Find the byte order; refuse a file of another version with a way out."""
    if HDF5 in (head[:8], head[512:520]) or head.startswith(b"MATLAB 7.3"):
        hint = "in MATLAB: load('old.mat'); save('lstm.mat', '-v7')"
        raise InputError("a MAT-file of version 7.3, which is HDF5", where=place, hint=hint)
    version = head[124:126]
    if (
        not format_named("matlab").begins(head)
        or version not in (b"\x00\x01", b"\x01\x00")
        or 0 in head[:4]
    ):
        what = "not a MAT-file of version 5 to 7 (version 4 has no header)"
        hint = "in MATLAB: save('lstm.mat', 'InputWeights', 'RecurrentWeights', 'Bias', '-v7')"
        raise InputError(what, where=place, hint=hint)
    return "little" if head[126:128] == b"IM" else "big"


def _numbers_of(path: Path, array: _MatArray, order: Order, place: str) -> Array:
    """Read an array's numbers in its class and shape."""
    if array.info.dtype.startswith(b"object"):
        raise InputError(f"a MATLAB {safe(array.info.dtype)}", where=place, hint=_SAVE_ARRAYS)
    checked_size(array.info, place)
    big = order == "big"
    if array.element[2] != _COMPRESSED:
        span = (array.start, array.count)
        row = read_numbers(path, [span], array.stored, place, big_endian=big)
    else:
        data = np.frombuffer(_unpacked(path, array, place), dtype=np.uint8)
        row = decoded(data, array.stored, big_endian=big)
    with np.errstate(all="ignore"):
        numbers = row.astype(CODES[array.info.dtype.text])
    # MATLAB stores a class in a smaller type only where that loses nothing.
    if not np.array_equal(numbers, row, equal_nan=numbers.dtype.kind == "f"):
        raise _damaged(f"numbers that are not of class {safe(array.info.dtype)}", place)
    return shaped(numbers, array.info.shape, place, by_columns=True)


def _unpacked(path: Path, array: _MatArray, place: str) -> bytes:
    """Unpack the bytes of an array in a compressed element."""
    if array.start + array.count > MAX_UNPACKED:
        what = f"{array.count:,} bytes; the limit for one compressed variable is {MAX_UNPACKED:,}"
        hint = "in MATLAB, save it uncompressed: save('lstm.mat', …, '-v6')"
        raise InputError(what, where=place, hint=hint)
    start, size, _ = array.element
    with open_checked(path) as stream:
        try:
            # A little more than the array, so that the checksum after it is reached and checked.
            data = _Inflated(read_from(stream), start, size, [0])(array.start, array.count + 16)
        except zlib.error as error:
            raise _damaged(str(error), place) from None
    if len(data) < array.count:
        raise _damaged("cut short", place)
    return data[: array.count]


def _damaged(reason: str, place: str) -> InputError:
    hint = "save it again, in MATLAB: save('lstm.mat', …, '-v7')"
    return InputError(f"a damaged MAT-file: {reason}", where=place, hint=hint)


# --------------------------------------------------------------------------------------------------
# The elements of a MAT-file of version 5 to 7 and the matrices they form, without their numbers.
#
# Source: "MAT-File Format" (MathWorks, matfile_format.pdf): after a header of 128 bytes, elements
# (type, number of bytes, data, padding to 8); a matrix (type 14) holds flags, dimensions, name and
# data in column order; a compressed element (type 15) is a zlib stream of one matrix.

# The limit for compressed variables: for each of them when it is read, and for all of them together
# when a file is listed (arrays are then unpacked as far as their headers, structs as a whole).
MAX_UNPACKED = 256 * 2**20
MAX_ELEMENTS = 200_000
MAX_LEVELS = 32
_CHUNK = 2**16

_STORED_TYPES = {
    1: "int8", 2: "uint8", 3: "int16", 4: "uint16", 5: "int32", 6: "uint32", 7: "float32",
    9: "float64", 12: "int64", 13: "uint64",
}  # fmt: skip
_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "float64", 7: "float32",
    8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64",
    15: "uint64", 16: "function",
}  # fmt: skip
_MATRIX, _COMPRESSED, _OPAQUE, _COMPLEX = 14, 15, 17, 0x800


@dataclass(frozen=True, eq=False)
class _MatArray:
    """A variable or field and the place of its numbers."""

    info: Info  # its shape and class, by our name where it is numeric
    stored: str = ""  # the type in which its numbers are stored, the smallest that holds them
    # place, size and type of the compressed element that it is in, or zeros
    element: tuple[int, int, int] = (0, 0, 0)
    start: int = 0
    count: int = 0


class _Inflated:
    """A source that unpacks a compressed element, no further than it is read.

    Args:
        start: the element's first byte.
        used: the number of bytes unpacked so far, which several elements may share.
    """

    def __init__(self, packed: ReadAt, start: int, count: int, used: list[int]) -> None:
        self._packed = packed
        self._at, self._end = start, start + count
        self._engine = zlib.decompressobj()
        self._data = bytearray()
        self._used = used

    def __call__(self, first: int, wanted: int) -> bytes:
        """Read unpacked bytes; fewer at the end, or past the limit."""
        while len(self._data) < first + wanted and not self._engine.eof:
            if not self._more(first + wanted - len(self._data)):
                break
        return bytes(memoryview(self._data)[first : first + wanted])

    def _more(self, wanted: int) -> bool:
        """Unpack part of what is wanted; False at the end."""
        chunk = self._engine.unconsumed_tail
        if not chunk:
            chunk = self._packed(self._at, min(_CHUNK, self._end - self._at))
            self._at += len(chunk)
        wanted = min(max(wanted, _CHUNK), MAX_UNPACKED - sum(self._used))
        data = self._engine.decompress(chunk, wanted) if wanted > 0 else b""
        self._data.extend(data)
        self._used[0] += len(data)
        return bool(data) or (bool(chunk) and wanted > 0)


def _variables(stream: IO[bytes], size: int, order: Order, place: str) -> dict[str, Any]:
    """List the variables by name, structs and cells as dicts."""
    found: dict[str, Any] = {}
    walker, at = _ElementWalker(read_from(stream), size, order, place), 128
    while at < size:
        kind, start, count, following = walker.element(at, size)
        if kind == _COMPRESSED:
            following = start + count
            inner = walker.inside((start, count, kind))
            name, value, _ = inner.child(0, inner.size, 0)
        elif kind == _MATRIX:
            name, value = walker.matrix(start, count, 0)
        else:
            walker.refuse(f"an element of type {kind}", at)
        at = following
        if not name:
            continue  # MATLAB's own, behind objects
        if name in found:
            walker.refuse(f"variable '{safe(name)}' is there twice", at)
        found[name] = value
    return found


class _ElementWalker(BoundedCursor):
    """Walks through elements and notes where numbers lie, without reading them."""

    cut = f"cut short, or more than {MAX_UNPACKED:,} bytes unpacked"

    def __init__(self, source: ReadAt, size: int, order: Order, place: str) -> None:
        super().__init__(source, size, place)
        self.origin = (0, 0, 0)
        self.order = order
        self._read_at = source
        self._seen: Iterator[int] = itertools.count()
        self._unpacked = [0]

    def inside(self, element: tuple[int, int, int]) -> _ElementWalker:
        """A walker through an unpacked element, which shares the limits of this one."""
        unpacked = _Inflated(self._read_at, *element[:2], self._unpacked)
        inner = _ElementWalker(unpacked, 2**33, self.order, self.place)
        inner.origin, inner._seen = element, self._seen
        return inner

    def refuse(self, reason: str, at: int | None = None) -> NoReturn:
        """Raise the error for a fault, at a byte of the file or of an unpacked element."""
        within = f" of what byte {self.origin[0]:,} unpacks to" if self.origin[2] else ""
        raise _damaged(reason, f"{self.place}, byte {at or 0:,}{within}")

    def element(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Read an element's tag: (type, first byte, size, position of the next element)."""
        if next(self._seen) > MAX_ELEMENTS:
            self.refuse(f"more than {MAX_ELEMENTS:,} elements", at)
        tag = self.peek(at, 8)
        kind, count = self.whole(tag[:4]), self.whole(tag[4:])
        start, following = at + 8, at + 8 + count + -count % 8
        if kind >> 16:
            # The small form: the tag itself holds up to 4 bytes of data.
            kind, count, start, following = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if start + count > end or (start == at + 4 and count > 4):
            self.refuse(f"an element of {count:,} bytes, where {end - start:,} are left", at)
        return kind, start, count, following

    def matrix(self, start: int, count: int, depth: int) -> tuple[str, Any]:
        """Read a matrix: its name, and an `_MatArray`, a dict, or None where it is empty."""
        if count == 0:
            return "", None
        if depth > MAX_LEVELS:
            self.refuse(f"nested more than {MAX_LEVELS} deep", start)
        end = start + count
        _, flags_at, flags_size, at = self.element(start, end)
        if flags_size != 8:
            self.refuse("no flags", start)
        flags = self.whole(self.peek(flags_at, 4))
        if flags & 0xFF == _OPAQUE:
            name, at = self._text(at, end)
            _, at = self._text(at, end)
            return name, _MatArray(Info.of((), f"object of class {self._text(at, end)[0]}"))
        shape, at = self._dimensions(at, end)
        name, at = self._text(at, end)
        return name, self._value(flags, shape, at, end, depth)

    def _value(self, flags: int, shape: tuple[int, ...], at: int, end: int, depth: int) -> Any:
        kind = _CLASSES.get(flags & 0xFF, "unknown")
        if kind == "struct":
            fields, at = self._fields(at, end)
            records = [dict[str, Any].fromkeys(fields) for _ in self._counted(math.prod(shape), at)]
            for record in records:
                for field in fields:
                    _, record[field], at = self.child(at, end, depth + 1)
            return records[0] if len(records) == 1 else _numbered(records)
        if kind == "cell":
            cells = []
            for _ in self._counted(math.prod(shape), at):
                _, value, at = self.child(at, end, depth + 1)
                cells.append(value)
            return _numbered(cells)
        if kind not in CODES or flags & _COMPLEX:
            return _MatArray(Info.of(shape, "complex " + kind if flags & _COMPLEX else kind))
        stored, start, count, _ = self.element(at, end)
        dtype = _STORED_TYPES.get(stored)
        if dtype is None or count != size_of(shape, dtype):
            self.refuse(f"shape {list(shape)} is not {count:,} bytes of type {stored}", at)
        return _MatArray(Info.of(shape, kind), dtype, self.origin, start, count)

    def child(self, at: int, end: int, depth: int) -> tuple[str, Any, int]:
        """Read the matrix at a byte: its name, its value and the position of the next element."""
        kind, start, count, following = self.element(at, end)
        if kind != _MATRIX:
            self.refuse(f"an element of type {kind} where a matrix is needed", at)
        return *self.matrix(start, count, depth), following

    def _dimensions(self, at: int, end: int) -> tuple[tuple[int, ...], int]:
        _, start, count, following = self.element(at, end)
        if count > 4 * 32:
            self.refuse("too many dimensions", at)
        data = self.peek(start, count)
        sizes = [self.whole(data[k : k + 4]) for k in range(0, count - count % 4, 4)]
        return shape_from(sizes, self.place), following

    def _text(self, at: int, end: int) -> tuple[str, int]:
        _, start, count, following = self.element(at, end)
        if count > 4096:
            self.refuse("a name of more than 4,096 letters", at)
        return self.peek(start, count).decode("latin-1"), following

    def _fields(self, at: int, end: int) -> tuple[list[str], int]:
        """Read a struct's field names, which are all padded to the same length."""
        _, start, count, at = self.element(at, end)
        width = self.whole(self.peek(start, count))
        _, start, count, at = self.element(at, end)
        if not 0 < width <= 4096 or count > MAX_ELEMENTS:
            self.refuse("field names without length", at)
        names = self.peek(start, count).decode("latin-1")
        fields = [names[k : k + width].split("\0")[0] for k in range(0, count, width)]
        if len(set(fields)) < len(fields):
            self.refuse("a struct with a field twice", at)
        return fields, at

    def _counted(self, count: int, at: int) -> range:
        if count > MAX_ELEMENTS:
            self.refuse(f"more than {MAX_ELEMENTS:,} elements", at)
        return range(count)

    def peek(self, start: int, count: int) -> bytes:
        """As `BoundedCursor.peek`; refuses also what does not unpack."""
        try:
            return super().peek(start, count)
        except zlib.error as error:
            self.refuse(f"it does not unpack: {error}", start)


def _numbered(values: list[Any]) -> dict[str, Any]:
    """Name the members of a cell or an array of structs by MATLAB's numbers, from 1."""
    return {str(number): value for number, value in enumerate(values, 1)}
