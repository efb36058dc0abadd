"""Checks the heaps of an HDF5 file that hold texts of any length, before the library reads them.

A free block of size zero makes HDF5 2.0.0 loop for ever (`H5HG__cache_heap_deserialize` goes from
block to block by their sizes), and a loop in C cannot be interrupted. One changed byte of a Keras
file does it. Source of the layout: HDF5 File Format Specification, III.E, "Global Heap".
"""

from __future__ import annotations

import struct
from typing import IO

from lstm_cli.errors import InputError

_CHUNK = 16 * 2**20
_HEAD = struct.Struct("<4sB3xQ")
_BLOCK = struct.Struct("<HHIQ")


def check_heaps(stream: IO[bytes], place: str) -> None:
    """Go through every global heap of a file as the library would.

    Raises:
        InputError: a block that does not lead on to the next, or out of its heap.
    """
    start, kept = 0, b""
    while chunk := stream.read(_CHUNK):
        data = kept + chunk
        found = data.find(b"GCOL")
        while found >= 0:
            after = stream.tell()
            _check_heap(stream, start + found, place)
            stream.seek(after)
            found = data.find(b"GCOL", found + 1)
        # A signature may lie across two chunks.
        start, kept = start + len(data) - 3, data[-3:]


def _check_heap(stream: IO[bytes], at: int, place: str) -> None:
    stream.seek(at)
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return
    _, version, size = _HEAD.unpack(head)
    if version != 1:
        return  # four letters among the numbers of a weight, not a heap
    done = _HEAD.size
    while done + _BLOCK.size <= size:
        block = stream.read(_BLOCK.size)
        if len(block) < _BLOCK.size:
            return  # the library sees for itself that the file has ended
        index, _, _, length = _BLOCK.unpack(block)
        # The size of the free block counts its head, that of others does not.
        step = length if index == 0 else _BLOCK.size + (length + 7) // 8 * 8
        if step < _BLOCK.size or done + step > size:
            raise InputError(
                f"the heap of texts at byte {at:,} is damaged", where=place,
                hint="save the weights again with Keras: model.save('model.keras')",
            )  # fmt: skip
        done += step
        stream.seek(at + done)
