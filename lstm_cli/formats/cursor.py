"""A binary file read by position: the one place that finds bytes missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Literal, NoReturn

from lstm_cli.base.errors import InputError

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
