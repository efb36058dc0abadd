"""The elements of a MAT-file of version 5 to 7, and the matrices they make; numbers wait.

Source: "MAT-File Format" (MathWorks, matfile_format.pdf): after a header of 128 bytes, elements
(type, number of bytes, data, padding to 8); a matrix (type 14) holds flags, dimensions, name and
data in column order; a compressed element (type 15) is a zlib stream of one matrix.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal, NoReturn

import numpy as np

from lstm_cli.base.errors import InputError, safe
from lstm_cli.formats.contents import CODES, Info, shape_from

# What compressed variables may unpack to: each of them when it is read, and all of them together
# when a file is listed (an array is unpacked as far as its header then, a struct whole).
MAX_UNPACKED = 256 * 2**20
MAX_ELEMENTS = 200_000
MAX_LEVELS = 32
_CHUNK = 2**16

_STORED = {
    1: "int8", 2: "uint8", 3: "int16", 4: "uint16", 5: "int32", 6: "uint32", 7: "float32",
    9: "float64", 12: "int64", 13: "uint64",
}  # fmt: skip
_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "float64", 7: "float32",
    8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64",
    15: "uint64", 16: "function",
}  # fmt: skip
_MATRIX, COMPRESSED, _OPAQUE, _COMPLEX = 14, 15, 17, 0x800

Order = Literal["little", "big"]
Source = Callable[[int, int], bytes]  # (first byte, number of bytes) -> them, or fewer at the end


@dataclass(frozen=True, eq=False)
class MatArray:
    """A variable or field: what it is, and where its numbers lie.

    Attributes:
        info: its class, by our name where it is numeric.
        stored: the type its numbers are stored in, which MATLAB makes as small as they allow.
        element: place, size and type of the element of the file that it is (in).
        start: its first byte, from the file's start, or in what a compressed element unpacks to.
        count: its bytes.
    """

    info: Info
    stored: str = ""
    element: tuple[int, int, int] = (0, 0, 0)
    start: int = 0
    count: int = 0


def source_of(stream: IO[bytes]) -> Source:
    """Return a source over a file."""

    def read(start: int, count: int) -> bytes:
        stream.seek(start)
        return stream.read(count)

    return read


class Unpacked:
    """A source over what a compressed element unpacks to, no further than is asked for.

    Args:
        packed: the file.
        start: the element's first byte.
        count: its bytes.
        used: how much has been unpacked, which several may share.
    """

    def __init__(self, packed: Source, start: int, count: int, used: list[int]) -> None:
        self._packed = packed
        self._at, self._end = start, start + count
        self._engine = zlib.decompressobj()
        self._data = bytearray()
        self._used = used

    def __call__(self, first: int, wanted: int) -> bytes:
        """Return bytes of what is unpacked, or fewer where it ends or is too much."""
        while len(self._data) < first + wanted and not self._engine.eof:
            if not self._more(first + wanted - len(self._data)):
                break
        return bytes(memoryview(self._data)[first : first + wanted])

    def _more(self, wanted: int) -> bool:
        """Unpack some of what is wanted; say whether there was any."""
        chunk = self._engine.unconsumed_tail
        if not chunk:
            chunk = self._packed(self._at, min(_CHUNK, self._end - self._at))
            self._at += len(chunk)
        wanted = min(max(wanted, _CHUNK), MAX_UNPACKED - sum(self._used))
        data = self._engine.decompress(chunk, wanted) if wanted > 0 else b""
        self._data.extend(data)
        self._used[0] += len(data)
        return bool(data) or (bool(chunk) and wanted > 0)


def variables(stream: IO[bytes], size: int, order: Order, place: str) -> dict[str, Any]:
    """Return the variables by name, structs and cells as dicts."""
    found: dict[str, Any] = {}
    walker, at = _Walker(source_of(stream), size, order, place), 128
    while at < size:
        kind, start, count, following = walker.element(at, size)
        if kind == COMPRESSED:
            following = start + count
            name, value = walker.inside((start, count, kind)).top()
        elif kind == _MATRIX:
            name, value = walker.matrix(start, count, 0)
        else:
            walker.fail(f"an element of type {kind}", at)
        at = following
        if not name:
            continue  # MATLAB's own, behind objects
        if name in found:
            walker.fail(f"variable '{safe(name)}' is there twice", at)
        found[name] = value
    return found


class _Walker:
    """Goes through elements, noting where numbers lie without reading them."""

    def __init__(self, source: Source, size: int, order: Order, place: str) -> None:
        self.origin = (0, 0, 0)
        self._source = source
        self._size = size
        self._order = order
        self._place = place
        self._seen: Iterator[int] = itertools.count()
        self._unpacked = [0]

    def inside(self, element: tuple[int, int, int]) -> _Walker:
        """Return a walker through what a compressed element unpacks to; limits are shared."""
        unpacked = Unpacked(self._source, *element[:2], self._unpacked)
        inner = _Walker(unpacked, 2**33, self._order, self._place)
        inner.origin, inner._seen = element, self._seen
        return inner

    def fail(self, reason: str, at: int) -> NoReturn:
        """Raise the error for a fault at a byte of the file or of an unpacked element."""
        within = f" of what byte {self.origin[0]:,} unpacks to" if self.origin[2] else ""
        raise InputError(
            f"a damaged MAT-file: {reason}", where=f"{self._place}, byte {at:,}{within}",
            hint="save it again, in MATLAB: save('lstm.mat', …, '-v7')",
        )  # fmt: skip

    def top(self) -> tuple[str, Any]:
        """Return the name and value of the one matrix in a compressed element."""
        kind, start, count, _ = self.element(0, self._size)
        if kind != _MATRIX:
            self.fail(f"an element of type {kind} where a matrix is needed", 0)
        return self.matrix(start, count, 0)

    def element(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Return (type, first byte, bytes, where the next begins) of the element at a byte."""
        if next(self._seen) > MAX_ELEMENTS:
            self.fail(f"more than {MAX_ELEMENTS:,} elements", at)
        tag = self._bytes(at, 8)
        kind, count = self._whole(tag[:4]), self._whole(tag[4:])
        start, following = at + 8, at + 8 + count + -count % 8
        if kind >> 16:
            # The small form: up to 4 bytes of data lie in the tag itself.
            kind, count, start, following = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if start + count > end or (start == at + 4 and count > 4):
            self.fail(f"an element of {count:,} bytes, where {end - start:,} are left", at)
        return kind, start, count, following

    def matrix(self, start: int, count: int, depth: int) -> tuple[str, Any]:
        """Return the name and value of a matrix: an `MatArray`, a dict, or None where empty."""
        if count == 0:
            return "", None
        if depth > MAX_LEVELS:
            self.fail(f"nested more than {MAX_LEVELS} deep", start)
        end = start + count
        _, flags_at, flags_size, at = self.element(start, end)
        if flags_size != 8:
            self.fail("no flags", start)
        flags = self._whole(self._bytes(flags_at, 4))
        if flags & 0xFF == _OPAQUE:
            return self._opaque(at, end)
        shape, at = self._dimensions(at, end)
        name, at = self._text(at, end)
        value = self._value(_CLASSES.get(flags & 0xFF, "unknown"), flags, shape, (at, end), depth)
        return name, value

    def _value(
        self, kind: str, flags: int, shape: tuple[int, ...], span: tuple[int, int], depth: int
    ) -> Any:
        at, end = span
        if kind == "struct":
            fields, at = self._fields(at, end)
            records = [dict[str, Any].fromkeys(fields) for _ in self._counted(math.prod(shape), at)]
            for record in records:
                for field in fields:
                    record[field], at = self._child(at, end, depth)
            return records[0] if len(records) == 1 else _numbered(records)
        if kind == "cell":
            cells = []
            for _ in self._counted(math.prod(shape), at):
                value, at = self._child(at, end, depth)
                cells.append(value)
            return _numbered(cells)
        if kind not in CODES or flags & 0x800:
            return MatArray(Info(shape, "complex " + kind if flags & 0x800 else kind))
        return self._array(kind, shape, at, end)

    def _array(self, kind: str, shape: tuple[int, ...], at: int, end: int) -> MatArray:
        stored, start, count, _ = self.element(at, end)
        dtype = _STORED.get(stored)
        if dtype is None or count != math.prod(shape) * np.dtype(CODES[dtype]).itemsize:
            self.fail(f"shape {list(shape)} is not {count:,} bytes of type {stored}", at)
        return MatArray(Info(shape, kind), dtype, self.origin, start, count)

    def _child(self, at: int, end: int, depth: int) -> tuple[Any, int]:
        kind, start, count, following = self.element(at, end)
        if kind != _MATRIX:
            self.fail(f"an element of type {kind} where a matrix is needed", at)
        return self.matrix(start, count, depth + 1)[1], following

    def _opaque(self, at: int, end: int) -> tuple[str, Any]:
        name, at = self._text(at, end)
        _, at = self._text(at, end)
        kind, _ = self._text(at, end)
        return name, MatArray(Info((), f"object of class {kind}"))

    def _dimensions(self, at: int, end: int) -> tuple[tuple[int, ...], int]:
        _, start, count, following = self.element(at, end)
        if count > 4 * 32:
            self.fail("too many dimensions", at)
        data = self._bytes(start, count)
        sizes = [self._whole(data[k : k + 4]) for k in range(0, count - count % 4, 4)]
        return shape_from(sizes, self._place), following

    def _text(self, at: int, end: int) -> tuple[str, int]:
        _, start, count, following = self.element(at, end)
        if count > 4096:
            self.fail("a name of more than 4,096 letters", at)
        return self._bytes(start, count).decode("latin-1"), following

    def _fields(self, at: int, end: int) -> tuple[list[str], int]:
        """Return a struct's field names, each in as many bytes as the longest."""
        _, start, count, at = self.element(at, end)
        width = self._whole(self._bytes(start, count))
        _, start, count, at = self.element(at, end)
        if not 0 < width <= 4096 or count > MAX_ELEMENTS:
            self.fail("field names without length", at)
        names = self._bytes(start, count).decode("latin-1")
        fields = [names[k : k + width].split("\0")[0] for k in range(0, count, width)]
        if len(set(fields)) < len(fields):
            self.fail("a struct with a field twice", at)
        return fields, at

    def _counted(self, count: int, at: int) -> range:
        if count > MAX_ELEMENTS:
            self.fail(f"more than {MAX_ELEMENTS:,} elements", at)
        return range(count)

    def _bytes(self, start: int, count: int) -> bytes:
        try:
            data = self._source(start, count)
        except zlib.error as error:
            self.fail(f"it does not unpack: {error}", start)
        if len(data) < count:
            self.fail(f"cut short, or more than {MAX_UNPACKED:,} bytes unpacked", start)
        return data

    def _whole(self, data: bytes) -> int:
        return int.from_bytes(data, self._order)


def _numbered(values: list[Any]) -> dict[str, Any]:
    """Return the members of a cell or an array of structs under MATLAB's numbers, from 1."""
    return {str(number): value for number, value in enumerate(values, 1)}
