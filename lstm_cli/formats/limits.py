"""How much memory a file may make us take: in proportion to what the file itself holds.

Small files can describe huge arrays (a concatenation of concatenations, ten thousand tensors over
the same bytes), so whatever is unpacked is counted before it is made.
"""

from __future__ import annotations

import io
from pathlib import Path

from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import MAX_ARRAY_BYTES, open_checked

# A weight grows at most 8 times (int8 to float64); each is unpacked a few times at most.
FACTOR = 24
FLOOR = 16 * 2**20


class Budget:
    """Bytes left to unpack.

    Args:
        size: bytes of the file.
        place: the file, for messages.
    """

    def __init__(self, size: int, place: str) -> None:
        self.left = FLOOR + FACTOR * size
        self.place = place

    def grow(self, size: int) -> None:
        """Count bytes of a second file that belongs to the first."""
        self.left += FACTOR * size

    def take(self, size: int) -> None:
        """Count what is about to be made.

        Raises:
            InputError: more than the file can honestly need.
        """
        if size > self.left:
            raise InputError(
                f"unpacking asks for {size:,} bytes more; {self.left:,} are left for this file",
                where=self.place,
                hint="the file is damaged or hostile; write it again from its source",
            )
        self.left -= size


def read_whole(path: Path) -> bytes:
    """Return all of a file.

    Raises:
        InputError: it cannot be opened, is not a plain file, or has more than 2 GiB.
    """
    with open_checked(path) as stream:
        try:
            # A read of n bytes takes n bytes, whatever is there; so the size is asked first.
            size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
        except OSError:
            raise InputError("not a plain file", where=safe(path), hint="save it first") from None
        if size > MAX_ARRAY_BYTES:
            raise InputError(
                f"{size:,} bytes; the limit is {MAX_ARRAY_BYTES:,}", where=safe(path),
                hint="save the LSTM's weights on their own, as .npz or .safetensors",
            )  # fmt: skip
        return stream.read(size)
