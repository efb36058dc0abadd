"""A place on disk for what comes early in a run and stands late in its file."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType


class Spool:
    """Several streams in one temporary file without a name: it is gone when it is closed.

    Args:
        folder: where there is room, the folder of the answer; None is the system's own.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._end = 0

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a stream."""
        self._file.seek(self._end)
        self._file.write(data)
        self._places[name].append((self._end, len(data)))
        self._end += len(data)

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a stream from its start, as it was added."""
        for start, length in self._places[name]:
            self._file.seek(start)
            yield self._file.read(length)

    def part(self, name: str, piece: int, begin: int, length: int) -> bytes:
        """Return some bytes of what was added to a stream at once, counted from 0."""
        start, _ = self._places[name][piece]
        self._file.seek(start + begin)
        return self._file.read(length)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
