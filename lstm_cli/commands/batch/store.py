"""Answers kept under keys, so that a run goes on after a kill at any moment.

Each entry of a store has the key of what was answered, and the size and checksum of its answers.
An entry counts only if it is whole and its answers have its checksum, so neither a torn entry nor
a torn answer is taken for one. `journal` keeps all answers in one file; `cluster.folder` keeps a
file a part.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from lstm_cli.base.errors import LstmStepError, OutputError, safe
from lstm_cli.commands.batch.work import ChunkAnswers
from lstm_cli.files.safe import Digests
from lstm_cli.samples.settings import Tally


@dataclass(frozen=True)
class Kept:
    """Answers that a store keeps.

    Attributes:
        key: of their samples' content, and of the batch's settings.
        size, crc: their length in bytes, their checksum.
        tally: how many matched, differed, failed.
        files: weights and cells that the samples name: path -> digest of what was in them.
    """

    key: str
    size: int
    crc: int
    tally: Tally
    files: Mapping[str, str]


@dataclass
class Keeping:
    """Answers on their way into a store, counted; its members are those of their entry."""

    size: int = 0
    crc: int = 0
    tally: Tally = field(default_factory=Tally)
    files: dict[str, str] = field(default_factory=dict)

    def data(self, answer: ChunkAnswers) -> bytes:
        """Count a chunk's answers; return them as they are written."""
        data = "".join(answer.lines).encode()
        self.size += len(data)
        self.crc = zlib.crc32(data, self.crc)
        self.tally.add(answer.tally)
        self.files.update(answer.files)
        return data


KeptT = TypeVar("KeptT", bound=Kept)


class Store(ABC, Generic[KeptT]):
    """Keeps answers and finds them again.

    Args:
        name: of the file or folder, for messages.
        root: what paths are relative to, where that is not this process's folder.

    Attributes:
        known: key -> answers that an earlier run kept.
        refusals: exceptions that writing there may raise.
        another: what to name instead where nothing can be written.
    """

    refusals: ClassVar[tuple[type[Exception], ...]] = (OSError,)
    another: ClassVar[str] = "-o FILE"

    def __init__(self, name: str | Path, root: str = "") -> None:
        self.shown = safe(name)
        self.digests = Digests(root)
        self.known: dict[str, KeptT] = {}

    @abstractmethod
    def pieces(self, entry: KeptT) -> Iterable[bytes]:
        """Yield the answers of an entry; nothing where they are gone."""

    def find(self, key: str) -> KeptT | None:
        """Find the answers of a key, if they are there and still hold."""
        entry = self.known.get(key)
        if entry is not None and not self.holds(entry):
            del self.known[key]
            return None
        return entry

    def holds(self, entry: KeptT) -> bool:
        """Whether answers are undamaged and come from files that are as they were."""
        if not self.digests.unchanged(entry.files):
            return False
        size = crc = 0
        with self.writing():
            for piece in self.pieces(entry):
                size, crc = size + len(piece), zlib.crc32(piece, crc)
        return (size, crc) == (entry.size, entry.crc)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what the system or a backend raises into an error that says what to do.

        Raises:
            OutputError: with their reason.
        """
        try:
            yield
        except (LstmStepError, MemoryError):
            raise
        except self.refusals as error:
            reason = getattr(error, "strerror", None)
            said = reason.lower() if reason else str(error) or type(error).__name__
            raise OutputError(
                f"cannot write: {safe(said)}"[:200],
                where=self.shown,
                hint=f"check the folder, its permissions, the space left, or name another "
                f"{self.another}",
            ) from None


# What a damaged record raises: not JSON, nested without end, another form, an infinite number.
_NOT_OURS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
FoundT = TypeVar("FoundT")


def read_or_none(read: Callable[[Any], FoundT], record: Any) -> FoundT | None:
    """Read a record; None if it is damaged, or not one of ours."""
    try:
        return read(record)
    except _NOT_OURS:
        return None


def parse_or_none(data: bytes) -> Any:
    """Parse JSON; None if it is damaged."""
    return read_or_none(json.loads, data)


def read_files(record: Mapping[str, Any]) -> dict[str, str]:
    """Read which files samples named: path -> digest.

    Raises:
        AttributeError: it is no such record.
    """
    return {str(path): str(digest) for path, digest in record.get("files", {}).items()}
