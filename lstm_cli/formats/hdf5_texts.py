"""Reads the texts of any length that an HDF5 object keeps as attributes, without the library.

HDF5 2.0.0 trusts what stands there: a length of 4 GiB is allocated and cleared before it is
compared with the text (19 s for a file of 16 kB), and a free block of size zero in a heap makes it
loop for ever. One changed byte of a Keras file does either, so these few structures are read here.

Source: HDF5 File Format Specification 3.0: II "Superblock", III.E "Global Heap", IV.A "Object
Headers", IV.A.2.m "Attribute Message", IV.A.2.q "Object Header Continuation Message".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

from lstm_cli.files.safe import MAX_TEXT_BYTES

_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10
# Sizes in headers are 32 bits; no honest header of a Keras file comes near this.
_MAX_HEADER_BYTES = 16 * 2**20
_MAX_BLOCKS = 1000


class Texts:
    """The texts of one file; every ValueError it raises is a damaged or unusual file.

    Args:
        stream: the file, open; only used while a method runs.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._heaps: dict[int, dict[int, bytes]] = {}
        head = self._read(0, 16)
        sizes = head[13:15] if head[8] < 2 else head[9:11]
        if head[:8] != b"\x89HDF\r\n\x1a\n" or sizes != b"\x08\x08":
            raise ValueError("texts are read where addresses have 8 bytes and no block is in front")

    def read(self, header: int, name: str, count: int) -> list[str]:
        """Return the texts of an attribute.

        Args:
            header: the address of the header of the object that has the attribute.
            name: of the attribute.
            count: how many texts it has.

        Raises:
            ValueError: not found in the header itself, damaged, or too much text.
        """
        data = self._attribute(header, name.encode())
        if len(data) < 16 * count:
            raise ValueError(f"attribute {name} is cut")
        left = MAX_TEXT_BYTES
        found: list[str] = []
        for length, heap, index in struct.iter_unpack("<IQI", data[: 16 * count]):
            text = self._heap(heap).get(index, b"") if length else b""
            left -= length
            if len(text) != length or left < 0:
                raise ValueError(f"a text of {length:,} bytes, {len(text):,} are there")
            found.append(text.decode("utf-8", "surrogateescape"))
        return found

    def _read(self, at: int, size: int) -> bytes:
        self._stream.seek(at)
        data = self._stream.read(size)
        if len(data) < size:
            raise ValueError("the file ends too early")
        return data

    def _attribute(self, header: int, name: bytes) -> bytes:
        """Return an attribute's data: for texts of any length, references into a heap."""
        for kind, shared, message in self._messages(header):
            if kind == _ATTRIBUTE and not shared:
                version, _, *sizes = struct.unpack_from("<BBHHH", message)
                # Each part is padded to 8 bytes in version 1; version 3 tells the encoding.
                at = 9 if version == 3 else 8
                parts: list[bytes] = []
                for size in sizes:
                    parts.append(message[at : at + size])
                    at += _padded(size) if version == 1 else size
                if parts[0].rstrip(b"\0") == name:
                    return message[at:]
        raise ValueError(f"attribute {name.decode()} is not in the header of its object")

    def _messages(self, header: int) -> Iterator[tuple[int, bool, bytes]]:
        """Yield (type, whether it is shared, data) of an object's messages."""
        start = self._read(header, 16)
        if start[:4] == b"OHDR":
            flags = start[5]
            at = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            size = int.from_bytes(self._read(header + at, width), "little")
            blocks = [(header + at + width, size)]
            layout = struct.Struct("<BHBxx" if flags & 0x04 else "<BHB")
        else:
            blocks = [(header + 16, struct.unpack_from("<I", start, 8)[0])]
            layout = struct.Struct("<HHBxxx")
        newer = start[:4] == b"OHDR"
        left = _MAX_HEADER_BYTES
        for place, size in blocks:  # grows while it is gone through
            left -= size
            if left < 0 or len(blocks) > _MAX_BLOCKS:
                raise ValueError("the header of an object is too large")
            data, at = self._read(place, size), 0
            while at + layout.size <= len(data):
                kind, length, shared = layout.unpack_from(data, at)
                message = data[at + layout.size : at + layout.size + length]
                at += layout.size + length
                if kind == _CONTINUATION and len(message) >= 16:
                    more, size = struct.unpack_from("<QQ", message)
                    # Newer blocks have a signature in front and a checksum behind.
                    blocks.append((more + 4, size - 8) if newer else (more, size))
                yield kind, bool(shared & 2), message

    def _heap(self, at: int) -> dict[int, bytes]:
        """Return index -> text of a heap."""
        if at in self._heaps:
            return self._heaps[at]
        signature, version, size = struct.unpack("<4sB3xQ", self._read(at, 16))
        if signature != b"GCOL" or version != 1 or size > MAX_TEXT_BYTES:
            raise ValueError(f"no heap of texts at byte {at:,}")
        data, place = self._read(at, size), 16
        found: dict[int, bytes] = {}
        while place + 16 <= size:
            index, length = struct.unpack_from("<H6xQ", data, place)
            # The size of the free block, 0, counts its head; that of others does not.
            step = length if index == 0 else 16 + _padded(length)
            if step < 16 or place + step > size:
                raise ValueError(f"the heap of texts at byte {at:,} is damaged")
            if index:
                found[index] = data[place + 16 : place + 16 + length]
            place += step
        self._heaps[at] = found
        return found


def _padded(size: int) -> int:
    return (size + 7) // 8 * 8
