"""Answers kept under keys, so that a run goes on after a kill at any moment.

Each entry of a store has the key of what was answered, and the size and checksum of its answers.
An entry counts only if it is whole and its answers have its checksum, so neither a torn entry nor
a torn answer is taken for one. `journal` keeps all answers in one file; `cluster.folder` keeps a
file a part.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, Self, TypeVar

from lstm_cli.base.errors import LstmStepError, OutputError, safe
from lstm_cli.commands.batch.work import ChunkAnswers
from lstm_cli.files.inputs_read import check_unread
from lstm_cli.files.output import link_target
from lstm_cli.files.safe import Digests
from lstm_cli.samples.settings import Tally


@dataclass(frozen=True)
class Kept:
    """Answers that a store keeps, by the key of their samples' content and the batch's settings.

    `files` are the weights and cells that the samples name: path -> digest of what was in them.
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
    """Read which files samples named, for `read_or_none`: path -> digest."""
    return {str(path): str(digest) for path, digest in record.get("files", {}).items()}


FORM = "lstm-step/1"


@dataclass(frozen=True)
class Entry(Kept):
    """The answers of a chunk, in the file that the journal is of."""

    start: int
    failed: tuple[int, ...]  # positions in the chunk

    @property
    def end(self) -> int:
        """Where the next one starts."""
        return self.start + self.size

    def line(self) -> bytes:
        """The entry's line of the journal."""
        record = {"key": self.key, "start": self.start, "size": self.size, "crc": self.crc,
                  "tally": asdict(self.tally), "failed": self.failed,
                  "files": self.files}  # fmt: skip
        return json.dumps(record).encode() + b"\n"

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read the entry of a line, for `read_or_none`."""
        start, size, crc = (int(record[name]) for name in ("start", "size", "crc"))
        if start < 0 or size < 0:
            raise ValueError("not a place in a file")
        failed = tuple(int(each) for each in record["failed"])
        tally = Tally.read(record["tally"])
        if any(not 0 <= each < tally.samples for each in failed):
            raise ValueError("not a sample of the chunk")
        return cls(str(record["key"]), size, crc, tally, read_files(record), start, failed)


class Journal(Store[Entry]):
    """The answers of a batch on their way into a file; to `resume` keeps those of an earlier run.

    Raises:
        OutputError: it cannot be written, it is also read, or another run is writing it.
    """

    def __init__(self, output: Path, *, resume: bool) -> None:
        self.given, self.output = output, link_target(output)
        super().__init__(self.output)
        check_unread(output)
        for end in (".partial", ".journal", ".whole", ".partial.new", ".journal.new"):
            check_unread(self._beside(end))
        self.partial, self.path = self._beside(".partial"), self._beside(".journal")
        with self.writing():
            # Whether an interrupted run is thrown away, which the user is told.
            self.discarded = not resume and self.partial.exists()
            # Opened without truncation: another run may hold it.
            self.lines = _unbuffered(self.path, "a+b")
        try:
            with self.writing():
                _lock(self.lines, self.output)
                if not (resume and self._recover()):
                    self.partial.write_bytes(b"")
                    self._write_journal("partial", [])
                self.texts = _unbuffered(self.partial, "r+b")
                self.end = self.texts.seek(0, io.SEEK_END)
        except BaseException:
            self.lines.close()
            raise

    def _beside(self, end: str) -> Path:
        return self.output.with_name(self.output.name + end)

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """Yield the lines of a chunk's answers."""
        yield self.read(entry)

    def read(self, entry: Entry) -> bytes:
        """The lines of a chunk's answers."""
        with self.writing():
            self.texts.seek(entry.start)
            return self.texts.read(entry.size)

    def append(self, key: str, answer: ChunkAnswers) -> Entry:
        """Append a chunk's answers.

        Raises:
            OutputError: one of its samples names the file that is written; or it cannot be.
        """
        self._check_unread()
        keeping = Keeping()
        data = keeping.data(answer)
        entry = Entry(key, **vars(keeping), start=self.end, failed=tuple(answer.failed))
        with self.writing():
            self.texts.seek(self.end)
            _write_all(self.texts, data)
            # Only now: a line in the journal promises that its answers are there.
            _write_all(self.lines, entry.line())
        self.end = entry.end
        return entry

    def amended(self, entry: Entry, answer: ChunkAnswers) -> ChunkAnswers:
        """A chunk's answers, with those to its failed samples replaced."""
        lines = self.read(entry).decode().splitlines(keepends=True)
        for position, line in zip(entry.failed, answer.lines, strict=True):
            lines[position] = line
        failed = [entry.failed[each] for each in answer.failed]
        tally = replace(entry.tally, failed=0)
        tally.add(replace(answer.tally, samples=0))
        return ChunkAnswers(lines, tally, failed, answer.notes, {**entry.files, **answer.files})

    def finish(self, plan: Sequence[Entry]) -> None:
        """Make the file from these answers, in this order, and leave nothing else behind.

        The journal stays where samples failed.
        """
        self._check_unread()
        moved = _moved(plan)
        with self.writing(), self._removed(".whole") as assembled:
            whole = self.partial
            if list(plan) != moved or (plan and plan[-1].end != self.end) or not plan:
                whole = assembled
                with open(whole, "wb") as stream:
                    stream.writelines(map(self.read, plan))
            with open(whole, "rb") as stream:
                os.fsync(stream.fileno())
            if self.output.exists():
                shutil.copymode(self.output, whole)
            os.replace(whole, self.output)
            # From here on the journal describes the file itself.
            if any(entry.failed for entry in plan):
                self._write_journal("final", moved)
            else:
                self.path.unlink(missing_ok=True)
            self.partial.unlink(missing_ok=True)
        self.close()

    def _check_unread(self) -> None:
        """Refuse to go on where the file is read, with nothing left of this run.

        Raises:
            OutputError: a sample names it.
        """
        try:
            check_unread(self.given)
        except OutputError:
            if not self.known:
                with self.writing():
                    self.partial.unlink(missing_ok=True)
                    self.path.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Close the files; what is answered so far stays for a later run."""
        self.lines.close()
        self.texts.close()

    def _recover(self) -> bool:
        """Take over what an earlier run left; return whether there was anything."""
        of, entries = _entries(self.path)
        if of == "final" or not self.partial.exists():
            if not entries or not self.output.is_file():
                return False
            with self._removed(".partial.new") as temporary:
                shutil.copyfile(self.output, temporary)
                os.replace(temporary, self.partial)
            self._write_journal("partial", entries)
        size = self.partial.stat().st_size
        kept = [entry for entry in entries if entry.end <= size]
        # What a kill cut short, in either file, counts as absent.
        with open(self.partial, "r+b") as stream:
            stream.truncate(max((entry.end for entry in kept), default=0))
        self._write_journal("partial", kept)
        self.known = {entry.key: entry for entry in kept}
        return bool(kept)

    def _write_journal(self, of: str, entries: Sequence[Entry]) -> None:
        """Replace the journal in one move, and go on writing it."""
        with self._removed(".journal.new") as temporary:
            head = json.dumps({"schema": FORM, "journal": of}).encode() + b"\n"
            temporary.write_bytes(head + b"".join(entry.line() for entry in entries))
            lines = _unbuffered(temporary, "a+b")
            _lock(lines, self.output)
            os.replace(temporary, self.path)
        self.lines.close()
        self.lines = lines

    @contextlib.contextmanager
    def _removed(self, end: str) -> Iterator[Path]:
        """Name a file that is written beside its place; what is not moved there goes."""
        temporary = self._beside(end)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _moved(plan: Sequence[Entry]) -> list[Entry]:
    """The entries with their answers moved together, one after the other."""
    start, moved = 0, []
    for entry in plan:
        moved.append(replace(entry, start=start))
        start += entry.size
    return moved


def _unbuffered(path: Path, mode: str) -> IO[bytes]:
    """Open a file that `Journal.close` closes; what is written is with the system at once."""
    stream: IO[bytes] = open(path, mode, buffering=0)  # noqa: SIM115 - see above
    return stream


def _write_all(stream: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def _entries(path: Path) -> tuple[str, list[Entry]]:
    """The run that a journal belongs to ("" if it is not ours) and its complete lines."""
    head, *lines = path.read_bytes().split(b"\n")[:-1] or [b""]
    found = parse_or_none(head)
    if not isinstance(found, dict) or found.get("schema") != FORM:
        return "", []
    # A damaged line counts as absent: its chunk is computed again.
    entries = (read_or_none(Entry.read, parse_or_none(line)) for line in lines)
    return found.get("journal", ""), [entry for entry in entries if entry is not None]


def _lock(stream: IO[bytes], output: Path) -> None:
    """Refuse to write what another run is writing."""
    try:
        import fcntl
    except ImportError:  # Windows, where an open file cannot be replaced
        return
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        what, hint = "another run is writing this file", "wait for it, or name another -o FILE"
        raise OutputError(what, where=safe(output), hint=hint) from None
