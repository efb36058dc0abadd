"""A binary file read by position: the one place where bytes are asked for and found missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Literal, NoReturn

from lstm_cli.base.errors import InputError

Order = Literal["little", "big"]
Span = tuple[int, int]  # first byte, number of bytes
ReadAt = Callable[[int, int], bytes]  # (first byte, number of bytes) -> them, or fewer at the end


def read_from(stream: IO[bytes]) -> ReadAt:
    """Return a function that reads a file at any place."""

    def read(start: int, count: int) -> bytes:
        stream.seek(start)
        return stream.read(count)

    return read


class BoundedCursor:
    """Bytes of a file, taken in turn or at a place, and never past their end.

    A format's reader is a kind of cursor, which says how its faults are told.

    Args:
        source: the bytes, or what reads them.
        size: how many there are at most.
        place: the file, for messages.

    Attributes:
        fault: what is said before each reason.
        hint: what to do.
        cut: the reason where bytes are missing; {at} is the first asked for, {size} what is there.
        order: of the bytes of whole numbers.
        at: where the next bytes are taken.
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
        """Return bytes at a place.

        Raises:
            InputError: they are not all there.
        """
        data = b""
        if count > 0 and 0 <= start <= self.size - count:
            held = self._source
            data = held[start : start + count] if isinstance(held, bytes) else held(start, count)
        if len(data) < count:
            self.refuse(self.cut.format(at=f"{start:,}", size=f"{self.size:,}"), start)
        return data

    def take(self, count: int) -> bytes:
        """Return the next bytes and go past them; errors as `peek`."""
        data = self.peek(self.at, count)
        self.at += count
        return data

    def skip(self, count: int) -> Span:
        """Go past the next bytes unread, and return where they lie; errors as `peek`."""
        if count > self.size - self.at:
            self.refuse(f"cut short: {count:,} bytes are said to follow", self.at)
        self.at += count
        return self.at - count, count

    def whole(self, data: bytes) -> int:
        """Return the whole number that some bytes are."""
        return int.from_bytes(data, self.order)

    def refuse(self, reason: str, at: int | None = None) -> NoReturn:
        """Raise the error for a fault, at a byte where one is to blame."""
        where = self.place if at is None else f"{self.place}, byte {at:,}"
        raise InputError(f"{self.fault}: {reason}", where=where, hint=self.hint)
