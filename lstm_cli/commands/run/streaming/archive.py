"""An npz archive whose members grow in turns, each at its own place in the file.

A member that is not packed lies in a zip file as it is, so its place is known as soon as its shape
is. Blocks of a run go straight there; what is written of all members is cut to one length when the
run is stopped. Nothing waits elsewhere on disk.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

# So much of a member is moved at a time.
CHUNK_BYTES = 8 * 2**20


class _Member:
    """One array of the archive: its zip record, its header, and how much of it is written."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], start: int) -> None:
        self.shape, self.dtype = shape, dtype
        self.info = zipfile.ZipInfo(f"{name}.npy")
        self.place(start, shape[0])

    def place(self, start: int, count: int) -> None:
        """Let the member begin at `start` in the file and have `count` entries, still unwritten."""
        stream = io.BytesIO()
        described = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": described, "fortran_order": False, "shape": (count, *self.shape[1:])}
        np.lib.format.write_array_header_1_0(stream, header)
        self.header = stream.getvalue()
        self.written = 0
        self.info.CRC = zlib.crc32(self.header)
        self.info.header_offset = start
        self.info.file_size = self.info.compress_size = len(self.header) + count * self.entry
        self.data = start + len(self.record) + len(self.header)
        self.end = self.data + count * self.entry

    @property
    def entry(self) -> int:
        """The bytes of one entry of the first axis."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def record(self) -> bytes:
        """What a zip file has before a member; as long whatever the sizes are."""
        return self.info.FileHeader(zip64=True)


class GrowingNpz:
    """An archive being written.

    Args:
        stream: an empty file in which any place can be written; it is sparse until all is there.
        shapes: name -> shape; the first axis is what may end early, as long in all members.
        dtype: of all members.
    """

    def __init__(
        self, stream: IO[bytes], shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype[Any]
    ) -> None:
        self._stream = stream
        self._members: dict[str, _Member] = {}
        self._count = next(iter(shapes.values()))[0]
        end = 0
        for name, shape in shapes.items():
            self._members[name] = _Member(name, shape, dtype, end)
            end = self._members[name].end

    def append(self, name: str, values: np.ndarray[Any, Any]) -> None:
        """Write the next numbers of a member, in the order of its array."""
        self._write(self._members[name], values.tobytes())

    def finish(self, count: int) -> None:
        """Make the file an archive of the first `count` entries, which all members have."""
        if count < self._count:
            self._cut(count)
        members = list(self._members.values())
        for member in members:
            self._stream.seek(member.info.header_offset)
            self._stream.write(member.record + member.header)
        self._stream.truncate(members[-1].end)
        with zipfile.ZipFile(self._stream, "w") as archive:
            # Its table of contents is all that zipfile writes: of these members, and there.
            archive.infolist().extend(member.info for member in members)
            archive.start_dir = members[-1].end

    def _write(self, member: _Member, data: bytes) -> None:
        self._stream.seek(member.data + member.written)
        self._stream.write(data)
        member.written += len(data)
        member.info.CRC = zlib.crc32(data, member.info.CRC)

    def _cut(self, count: int) -> None:
        """Move all members together, each cut to `count` entries."""
        end = 0
        for member in self._members.values():
            old, length = member.data, count * member.entry
            member.place(end, count)
            end = member.end
            for offset in range(0, length, CHUNK_BYTES):
                self._stream.seek(old + offset)
                self._write(member, self._stream.read(min(CHUNK_BYTES, length - offset)))
