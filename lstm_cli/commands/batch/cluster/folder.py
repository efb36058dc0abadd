"""A folder of parts: answers in files that are whole or not there, a manifest, and `_SUCCESS`.

A part's name has its number and the key of its content. When its answers are there,
`_parts/KEY.json` says so, with their size and checksum: a part without it is not finished. When all
parts are, `manifest.json` lists them in order, and then there is `_SUCCESS`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lstm_cli.base.errors import LstmStepError, OutputError, safe
from lstm_cli.base.version import __version__
from lstm_cli.commands.batch.work import ChunkAnswers
from lstm_cli.files.inputs_read import check_unread, note_read
from lstm_cli.files.remote import is_remote, place_of
from lstm_cli.samples.settings import Tally

SCHEMA = "lstm-step/1"
SUCCESS, MANIFEST, FINISHED = "_SUCCESS", "manifest.json", "_parts"
# Of each part, so many samples that failed or differ are said on stderr; all are in the answers.
MAX_NOTES = 5
PIECE_BYTES = 2**20
_OURS = re.compile(r"part-\d{6,}-[0-9a-f]{16}\.jsonl(\.[0-9a-f]{32})?")


@dataclass(frozen=True)
class Record:
    """A finished part.

    Attributes:
        key: of its content, and of the batch's settings.
        name: of its file.
        bytes, crc32: of its answers.
        samples, failed, matched, mismatched, assumed, handed_on: how they went.
        files: weights and cells that its samples name: path -> digest of what was in them.
    """

    key: str
    name: str
    bytes: int
    crc32: int
    samples: int
    failed: int
    matched: int
    mismatched: int
    files: Mapping[str, str]
    assumed: Mapping[str, int] = field(default_factory=dict)
    handed_on: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        return asdict(self)

    @property
    def tally(self) -> Tally:
        """How its samples went."""
        return Tally(self.samples, self.failed, self.matched, self.mismatched, self.assumed,
                     self.handed_on)  # fmt: skip


def part_name(number: int, key: str) -> str:
    """Return the name of a part's file; names sort as parts do."""
    return f"part-{number:06d}-{key[:16]}.jsonl"


class Folder:
    """A folder of parts, here or elsewhere.

    Args:
        name: a path or a URL.
        root: what a path is relative to, where that is not this process's folder.
    """

    def __init__(self, name: str, root: str = "") -> None:
        self.name = name
        self.path = place_of(name, root)
        self.remote = is_remote(name)

    def begin(self) -> None:
        """Make the folder; from here on it is not finished.

        Raises:
            OutputError: it cannot be made or written; one of its files is also read.
        """
        self.check_unread()
        with self._writing():
            (self.path / FINISHED).mkdir(parents=True, exist_ok=True)
            (self.path / SUCCESS).unlink(missing_ok=True)

    def finished(self) -> dict[str, Record]:
        """Return the parts that earlier runs finished, by key; damaged ones are left out."""
        with self._writing():
            records = [_record(text) for text in self._texts()]
            manifest = _json(self._text(self.path / MANIFEST))
        parts = manifest.get("parts") if isinstance(manifest, dict) else None
        records += [_record(json.dumps(each)) for each in parts or []]
        return {each.key: each for each in records if each is not None}

    def _texts(self) -> Iterator[str]:
        if not (self.path / FINISHED).is_dir():
            return
        for each in (self.path / FINISHED).iterdir():
            if each.name.endswith(".json"):
                yield self._text(each)

    def _text(self, path: Path) -> str:
        try:
            return path.read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def keep(self, record: Record, name: str) -> Record | None:
        """Return the record of a finished part, under its name now; None where it is damaged."""
        path = self.path / record.name
        with self._writing():
            if not path.is_file() or _checksum(path) != (record.bytes, record.crc32):
                return None
            kept = replace(record, name=name)
            if record.name != name:
                path.rename(self.path / name)
            self._note(kept)
        return kept

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a file that is whole or not there, also where two workers write it at once."""
        with self._writing():
            # Elsewhere, a file is there when it is closed; here, when it has its name.
            path = self.path / name
            temporary = path if self.remote else path.with_name(f"{path.name}.{uuid.uuid4().hex}")
            try:
                with temporary.open("wb") as stream:
                    for piece in pieces:
                        stream.write(piece)
                    if not self.remote:
                        stream.flush()
                        os.fsync(stream.fileno())
                if temporary is not path:
                    temporary.replace(path)
            except BaseException:
                if temporary is not path:
                    temporary.unlink(missing_ok=True)
                raise

    def finish_part(self, record: Record) -> None:
        """Say that a part is there."""
        with self._writing():
            self._note(record)

    def _note(self, record: Record) -> None:
        self.write(f"{FINISHED}/{record.key}.json", [json.dumps(record.as_dict()).encode()])

    def check_seen(self, records: Sequence[Record]) -> None:
        """Refuse parts that workers wrote where this process cannot see them.

        Raises:
            OutputError: one of them is missing here, or of another size.
        """
        with self._writing():
            sizes = self._sizes()
            missing = [each for each in records if sizes.get(each.name) != each.bytes]
        if missing:
            raise OutputError(
                f"workers wrote {len(missing)} parts that are not there, {safe(missing[0].name)}",
                where=safe(self.name),
                hint="the folder must be the same for all workers: a shared one, or s3://…",
            )

    def check_unread(self) -> None:
        """Refuse to replace or to drop a file that is read.

        Raises:
            OutputError: names it.
        """
        with self._writing():
            names = self._sizes() if self.path.is_dir() else {}
            inside = self.path / FINISHED
            notes = list(inside.iterdir()) if inside.is_dir() else []
        ours = (name for name in names if name in (SUCCESS, MANIFEST) or _OURS.fullmatch(name))
        for path in (*(self.path / name for name in ours), *notes):
            check_unread(path)

    def _sizes(self) -> dict[str, int]:
        """Return the size of each file, by one listing."""
        if self.remote:
            place: Any = self.path
            place.fs.invalidate_cache()  # others have written since
            entries = place.fs.ls(place.path, detail=True)
            return {each["name"].rsplit("/", 1)[-1]: each["size"] or 0 for each in entries}
        with os.scandir(self.path) as found:
            return {each.name: each.stat().st_size for each in found}

    def finish(self, run: str, records: Sequence[Record]) -> None:
        """List the parts, drop what belongs to none of them, and say that all is there."""
        total = Tally()
        for each in records:
            total.add(each.tally)
            for file in each.files:
                note_read(file)
        self.check_unread()
        manifest = {"schema": SCHEMA, "version": __version__, "run": run, **asdict(total),
                    "parts": [each.as_dict() for each in records]}  # fmt: skip
        self.write(MANIFEST, [json.dumps(manifest, indent=1).encode() + b"\n"])
        with self._writing():
            names = {each.name for each in records}
            for name in self._sizes():
                if _OURS.fullmatch(name) and name not in names:
                    (self.path / name).unlink()
            if (self.path / FINISHED).is_dir():
                for path in list((self.path / FINISHED).iterdir()):
                    path.unlink()
                # Where folders are only names, it has gone with its files.
                with contextlib.suppress(OSError):
                    (self.path / FINISHED).rmdir()
        self.write(SUCCESS, [])

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (LstmStepError, MemoryError):
            raise
        except Exception as error:  # each backend has exceptions of its own
            reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
            raise OutputError(
                f"cannot write: {safe(reason or type(error).__name__)}"[:200],
                where=safe(self.name),
                hint="check the folder, its permissions, the space left, or name another -o",
            ) from None


def write_part(
    folder: Folder, name: str, key: str, answers: Iterable[ChunkAnswers]
) -> tuple[Record, list[str]]:
    """Write a part while its answers come; return its record and what is said of them.

    Raises:
        OutputError: it cannot be written.
    """
    tally, notes, size, crc = Tally(), list[str](), 0, 0
    files: dict[str, str] = {}

    def pieces() -> Iterator[bytes]:
        nonlocal size, crc
        for answer in answers:
            data = "".join(answer.lines).encode()
            size, crc = size + len(data), zlib.crc32(data, crc)
            tally.add(answer.tally)
            notes.extend(note for _, note in answer.notes)
            files.update(answer.files)
            yield data

    folder.write(name, pieces())
    record = Record(key, name, size, crc, **asdict(tally), files=files)
    folder.finish_part(record)
    more = len(notes) - MAX_NOTES
    return record, notes[:MAX_NOTES] + ([f"… and {more} more in {name}"] if more > 0 else [])


def _checksum(path: Path) -> tuple[int, int]:
    size = crc = 0
    with path.open("rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            size, crc = size + len(piece), zlib.crc32(piece, crc)
    return size, crc


def _record(text: str) -> Record | None:
    """Return the record that a text is, or None."""
    found = _json(text)
    try:
        size, crc = int(found["bytes"]), int(found["crc32"])
        tally = Tally.read(found)
        key, name = str(found["key"]), str(found["name"])
        files = {str(path): str(digest) for path, digest in found.get("files", {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    record = Record(key, name, size, crc, **asdict(tally), files=files)
    # A name that leads elsewhere is none of ours.
    return record if _OURS.fullmatch(name) else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
