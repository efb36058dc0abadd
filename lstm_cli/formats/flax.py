"""Flax parameters in msgpack (`flax.serialization.to_bytes`), read without flax or msgpack.

The `msgpack` package would hold the whole file twice before the first tensor is known, so the
format, which has nine kinds of value, is parsed here and only the places of the numbers are kept.
Source: the
msgpack specification (github.com/msgpack/msgpack, spec.md) and `flax/serialization.py` 0.12:
extension 1 is an array and 3 a scalar, each in msgpack again: (shape, dtype's name, bytes in C
order); extension 2 is a complex number; an array above 1 GiB is a dict of chunks.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from lstm_cli.base.errors import safe
from lstm_cli.files.safe import open_checked
from lstm_cli.formats.contents import MAX_DEPTH, Contents, Info, flatten
from lstm_cli.formats.stored import (
    CODES,
    BoundedCursor,
    Span,
    StoredTensor,
    read_from,
    shape_from,
    size_of,
    stored_contents,
)

MAX_TEXT = 4096
MAX_VALUES = 1_000_000

_CHUNKED = "__msgpack_chunked_array__"
_ARRAY, _SCALAR = 1, 3


@dataclass(frozen=True, eq=False)
class _Bytes:
    """Bytes in the file, not read."""

    span: Span


def read(path: Path) -> Contents:
    """Read the arrays of a parameter tree, dicts flattened to dotted names.

    Raises:
        InputError: not msgpack, nested too deep, an array whose bytes are not those of its shape.
    """
    place = safe(path)
    with open_checked(path) as stream:
        walker = _MsgpackWalker(stream, place)
        tree = walker.value(0)
        if walker.at != walker.size:
            walker.fail(f"{walker.size - walker.at:,} bytes follow the end")
    return stored_contents(path, flatten(tree, StoredTensor, place))


class _MsgpackWalker(BoundedCursor):
    """Parses a file in one pass, value by value, and skips long ones unread."""

    fault = "not Flax's msgpack"
    hint = "write it with open(path, 'wb').write(flax.serialization.to_bytes(params))"
    order = "big"

    def __init__(self, stream: IO[bytes], place: str) -> None:
        super().__init__(read_from(stream), stream.seek(0, io.SEEK_END), place)
        self._count = 0

    def fail(self, reason: str) -> NoReturn:
        """Raise the error for a fault at this byte."""
        self.refuse(reason, self.at)

    def value(self, depth: int) -> Any:
        """Take the next value: dict, list, number, text, None, `_Bytes` or `StoredTensor`."""
        self._count += 1
        if depth > MAX_DEPTH:
            self.fail(f"nested more than {MAX_DEPTH} deep")
        if self._count > MAX_VALUES:
            self.fail(f"more than {MAX_VALUES:,} values")
        code = self.take(1)[0]
        if code <= 0x7F or code >= 0xE0:
            return code if code <= 0x7F else code - 256
        if code <= 0x8F:
            return self._map(code & 15, depth)
        if code <= 0x9F:
            return [self.value(depth + 1) for _ in range(code & 15)]
        if code <= 0xBF:
            return self._text(code & 31)
        return self._long(code, depth)

    def _long(self, code: int, depth: int) -> Any:
        """Take the rest of a value whose first byte is only its kind."""
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        if code in _PLAIN:
            return struct.unpack(_PLAIN[code], self.take(struct.calcsize(_PLAIN[code])))[0]
        if code in _FIXED_EXTENSIONS:
            return self._extension(_FIXED_EXTENSIONS[code], depth)
        if code not in _LENGTHS:
            self.fail(f"0x{code:02x} begins no value")
        kind, width = _LENGTHS[code]
        length = self.whole(self.take(width))
        if kind == "bytes":
            return _Bytes(self.skip(length))
        if kind == "text":
            return self._text(length)
        if kind == "extension":
            return self._extension(length, depth)
        if kind == "list":
            return [self.value(depth + 1) for _ in range(length)]
        return self._map(length, depth)

    def _text(self, length: int) -> str | _Bytes:
        """Take text, or skip what is too long for a name."""
        if length > MAX_TEXT:
            return _Bytes(self.skip(length))
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            self.fail("text that is not UTF-8")

    def _map(self, count: int, depth: int) -> Any:
        """Take a dict; a dict of chunks becomes the array that was cut into them."""
        members: dict[Any, Any] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, str | int):
                self.fail("a key is neither text nor a number")
            if key in members:
                self.fail(f"key '{safe(key)}' is there twice")
            members[key] = self.value(depth + 1)
        return self._joined(members) if _CHUNKED in members else members

    def _extension(self, length: int, depth: int) -> Any:
        kind = self.take(1)[0]
        if kind not in (_ARRAY, _SCALAR):
            return _Bytes(self.skip(length))
        end = self.at + length
        parts = self.value(depth + 1)
        match parts:
            case [shape, str() as dtype, _Bytes() as numbers] if self.at == end:
                return self._tensor(shape_from(shape, self.place), dtype, (numbers.span,))
        self.fail("an array is not (shape, dtype, bytes)")

    def _joined(self, chunked: dict[Any, Any]) -> StoredTensor:
        """Join an array of more than 1 GiB, which Flax cuts into chunks."""
        shape, chunks = (self._in_order(chunked.get(key)) for key in ("shape", "chunks"))
        if not chunks or not all(isinstance(chunk, StoredTensor) for chunk in chunks):
            self.fail("a chunked array has no chunks")
        dtypes = {chunk.info.dtype.text for chunk in chunks}
        if len(dtypes) > 1:
            self.fail("the chunks of an array differ in dtype")
        spans = tuple(span for chunk in chunks for span in chunk.spans)
        return self._tensor(shape_from(shape, self.place), dtypes.pop(), spans)

    def _in_order(self, numbered: Any) -> list[Any]:
        """List the values of {"0": …, "1": …}."""
        if not isinstance(numbered, dict) or set(numbered) != set(map(str, range(len(numbered)))):
            self.fail("a chunked array does not number its parts")
        return [numbered[str(n)] for n in range(len(numbered))]

    def _tensor(self, shape: tuple[int, ...], dtype: str, spans: tuple[Span, ...]) -> StoredTensor:
        there = sum(count for _, count in spans)
        if dtype in CODES and size_of(shape, dtype) != there:
            self.fail(f"shape {list(shape)} of {dtype} is not {there:,} bytes")
        return StoredTensor(Info.of(shape, dtype), spans)


_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_PLAIN = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_LENGTHS = {
    0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4),
    0xC7: ("extension", 1), 0xC8: ("extension", 2), 0xC9: ("extension", 4),
    0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4),
    0xDC: ("list", 2), 0xDD: ("list", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip
