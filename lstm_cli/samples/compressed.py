"""Compressed texts, `.gz` and `.zst`: unpacked while they are read, so none can fill memory."""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from lstm_cli.base.errors import InputError, imported, safe
from lstm_cli.files.safe import open_checked

COMPRESSED = (".gz", ".zst")
# What they start with.
_STARTS = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
# The largest window that a frame may ask for: the zstd command's default.
MAX_WINDOW_BYTES = 2**27
# How much is unpacked at a time: 4 bytes of zstd can expand to a block of 128 KiB.
PIECE_BYTES = 1024


def without_suffix(path: Path) -> Path:
    """A path without `.gz` or `.zst`."""
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED else path


def is_packed(first: bytes) -> str:
    """What packed the bytes that begin so, ".gz" or ".zst"; "" if they are plain."""
    return next((kind for start, kind in _STARTS.items() if first.startswith(start)), "")


@contextlib.contextmanager
def open_plain(path: Path) -> Iterator[IO[bytes]]:
    """Open a file whose bytes come unpacked.

    Raises:
        InputError: it cannot be opened, is not what its suffix says, or zstandard is missing;
            while it is read: it is cut or damaged.
    """
    with open_checked(path) as stream, unpacked(stream, safe(path), path.suffix) as plain:
        yield plain


@contextlib.contextmanager
def unpacked(stream: IO[bytes], place: str, suffix: str = "") -> Iterator[IO[bytes]]:
    """Unpack a stream if its suffix or first bytes call it compressed; errors as `open_plain`."""
    if not hasattr(stream, "peek"):
        stream = io.BufferedReader(cast(io.RawIOBase, stream))
    match suffix.lower() if suffix.lower() in COMPRESSED else is_packed(stream.peek(4)):
        case ".gz":
            import gzip

            source: Any = gzip.GzipFile(fileobj=stream)
        case ".zst":
            what = ".zst needs the zstandard package"
            source = _Frames(imported("zstandard", what, "zstd", place), stream)
        case _:
            yield stream
            return
    with io.BufferedReader(cast(io.RawIOBase, _Unpacked(source, place)), 2**18) as reader:
        yield reader


class _Unpacked(io.RawIOBase):
    """A decompressor as a stream, whose errors are ours."""

    def __init__(self, source: Any, place: str) -> None:
        self.source = source
        self.place = place

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; 0 at the end."""
        try:
            piece = self.source.read(len(buffer))
        except MemoryError:
            raise
        except Exception as error:  # zstandard has an exception of its own, gzip several
            ours = isinstance(error, EOFError | OSError | zlib.error)
            if not ours and type(error).__name__ != "ZstdError":
                raise
            what, hint = (
                f"cut or damaged: {safe(error)}",
                "pack it again; what came before is answered",
            )
            raise InputError(what[:200], where=self.place, hint=hint) from None
        buffer[: len(piece)] = piece
        return len(piece)


class _Frames:
    """Frames of zstd, one after the other; the package's own reader takes a cut one for whole."""

    def __init__(self, zstandard: Any, stream: IO[bytes]) -> None:
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        self.stream = stream
        self.frame = self.decompressor.decompressobj()
        self.inside = True  # a file without any frame is truncated, too
        self.left = b""
        self.ready = io.BytesIO()

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; none at the end.

        Raises:
            EOFError: the file ends inside a frame.
        """
        while not (piece := self.ready.read(size)):
            packed = self.left or self.stream.read(PIECE_BYTES)
            if not packed:
                if self.inside:
                    raise EOFError("the file ends too early")
                return b""
            self.inside = True
            self.ready, self.left = io.BytesIO(self.frame.decompress(packed)), b""
            if self.frame.eof:
                self.left = self.frame.unused_data
                self.frame, self.inside = self.decompressor.decompressobj(), False
        return piece
