"""FlatBuffers, read with every offset checked against the bytes that are there.

A table is a position; a vtable before it says where each field lies, 0 where it is absent. Offsets
may point anywhere and be shared, so a small file can describe an endless tree: what is looked at
is counted. Source: flatbuffers.dev/internals.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError

# The converter joins names with ";", so long ones are honest.
MAX_TEXT = 100_000


class Bytes:
    """A file in memory, read by position.

    Args:
        data: the whole file.
        place: the file, for messages.
    """

    def __init__(self, data: bytes, place: str) -> None:
        self.data = data
        self.place = place
        # Each byte is looked at once by honest files; a few are shared between tables.
        self._left = 10_000 + 4 * len(data)

    def root(self, identifier: bytes) -> Table:
        """Return the root table of a file with this identifier.

        Raises:
            InputError: another kind of file, or an offset that leads out of it.
        """
        if self.data[4:8] != identifier:
            self.refuse(f"the identifier is {self.data[4:8]!r}, not {identifier!r}")
        return Table(self, self.number(0, "<I"))

    def number(self, position: int, kind: str) -> Any:
        """Return one number of a `struct` kind."""
        if not 0 <= position <= len(self.data) - struct.calcsize(kind):
            self.refuse(f"byte {position:,} is asked for, there are {len(self.data):,}")
        return struct.unpack_from(kind, self.data, position)[0]

    def vector(self, position: int, item: int) -> tuple[int, int]:
        """Return the start and the number of entries, of `item` bytes each, of a vector."""
        count: int = self.number(position, "<I")
        start = position + 4
        if count * item > len(self.data) - start:
            self.refuse(f"a vector of {count:,} entries at byte {position:,} is cut short")
        return start, count

    def count(self, looked_at: int) -> None:
        """Count what is looked at.

        Raises:
            InputError: more than an honest file of this size holds.
        """
        self._left -= looked_at
        if self._left < 0:
            self.refuse("tables share their parts without end")

    def refuse(self, reason: str) -> NoReturn:
        """Raise an InputError with this reason."""
        raise InputError(
            f"not a readable TensorFlow Lite model: {reason}", where=self.place,
            hint="the file is cut, damaged or of another kind; convert the model again",
        )  # fmt: skip


class Table:
    """A table: fields by their number in the schema, with the schema's defaults."""

    def __init__(self, source: Bytes, position: int) -> None:
        source.count(1)
        self._source = source
        self._position = position
        self._vtable = position - source.number(position, "<i")
        self._length: int = source.number(self._vtable, "<H")

    def _field(self, number: int) -> int:
        """Return where a field lies; 0 where it is absent."""
        slot = 4 + 2 * number
        if slot + 2 > self._length:
            return 0
        offset: int = self._source.number(self._vtable + slot, "<H")
        return self._position + offset if offset else 0

    def _follow(self, number: int) -> int:
        """Return where the thing lies that a field points to; 0 where it is absent."""
        field = self._field(number)
        return field + int(self._source.number(field, "<I")) if field else 0

    def number(self, number: int, kind: str, default: Any = 0) -> Any:
        """Return a number of a `struct` kind."""
        field = self._field(number)
        return self._source.number(field, kind) if field else default

    def table(self, number: int) -> Table | None:
        """Return a table (or the value of a union); None where it is absent."""
        position = self._follow(number)
        return Table(self._source, position) if position else None

    def tables(self, number: int) -> list[Table]:
        """Return a vector of tables; [] where it is absent."""
        position = self._follow(number)
        if not position:
            return []
        start, count = self._source.vector(position, 4)
        self._source.count(count)
        places = range(start, start + 4 * count, 4)
        return [Table(self._source, at + self._source.number(at, "<I")) for at in places]

    def numbers(self, number: int, dtype: str, limit: int) -> list[Any]:
        """Return a vector of at most `limit` numbers; [] where it is absent."""
        array = self.array(number, dtype)
        if len(array) > limit:
            self._source.refuse(f"a list of {len(array):,} numbers, at most {limit:,} make sense")
        self._source.count(len(array))
        return list(array.tolist())

    def array(self, number: int, dtype: str) -> Array:
        """Return a vector of numbers as a view of the file; empty where it is absent."""
        position = self._follow(number)
        if not position:
            return np.zeros(0, dtype=dtype)
        start, count = self._source.vector(position, np.dtype(dtype).itemsize)
        return np.frombuffer(self._source.data, dtype=dtype, count=count, offset=start)

    def text(self, number: int) -> str:
        """Return a string, what is not UTF-8 in it replaced; "" where it is absent."""
        data = self.array(number, "u1")
        if len(data) > MAX_TEXT:
            self._source.refuse(f"a name of {len(data):,} bytes, at most {MAX_TEXT:,} make sense")
        self._source.count(len(data))
        return data.tobytes().decode("utf-8", "replace")
