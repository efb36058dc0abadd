"""Tasks that run on a worker, and what is sent to it: texts and numbers, no object out of a file.

A chunk goes as the text that its file has (`pack`), or by where it is (`Range`); answers come
back as text. Whoever unpacks a chunk reads the same samples as whoever packed it.

Workers write parts into a folder: answers in files that are whole or absent, a manifest, and
`_SUCCESS`. A part's name has its number and the key of its content. When its answers are there,
`_parts/KEY.json` says so, with their size and checksum: a part without it is not finished. When all
parts are, `manifest.json` lists them in order, and then there is `_SUCCESS`.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from lstm_cli.base.errors import ExitCode, InputError, LstmStepError, OutputError, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.base.version import __version__
from lstm_cli.commands.batch.runners import ChunkRunner, Processes, Serial
from lstm_cli.commands.batch.store import (
    Keeping,
    Kept,
    Store,
    parse_or_none,
    read_files,
    read_or_none,
)
from lstm_cli.commands.batch.work import ChunkAnswers, Work
from lstm_cli.files.inputs_read import check_unread, note_read
from lstm_cli.files.remote import is_remote, place_of
from lstm_cli.files.safe import content_of, open_checked
from lstm_cli.samples import BadSample
from lstm_cli.samples.chunks import Chunk, Columns, Lines, Objects, Origin, Rows
from lstm_cli.samples.files import Range, all_chunks, changed, line_ranges, read_range
from lstm_cli.samples.settings import COUNTED_TEXTS, SampleSettings, Tally

SCHEMA = "lstm-step/1"
SUCCESS, MANIFEST, FINISHED = "_SUCCESS", "manifest.json", "_parts"
# How many failures and differences of a part go to stderr; all are in the answers.
MAX_NOTES = 5
PIECE_BYTES = 2**20
_OURS = re.compile(r"part-\d{6,}-[0-9a-f]{16}\.jsonl(\.[0-9a-f]{32})?")


@dataclass(frozen=True)
class FinishedPart(Kept):
    """A finished part, by the name of its file."""

    name: str

    def as_dict(self) -> dict[str, Any]:
        """The part as a JSON object."""
        counts = asdict(self.tally)
        texts = {each: counts.pop(each) for each in COUNTED_TEXTS}
        return {"key": self.key, "name": self.name, "bytes": self.size, "crc32": self.crc,
                **counts, "files": dict(self.files), **texts}  # fmt: skip

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read a part from its JSON object, for `read_or_none`."""
        name = str(record["name"])
        if not _OURS.fullmatch(name):
            raise ValueError("a name that leads elsewhere")
        return cls(str(record["key"]), int(record["bytes"]), int(record["crc32"]),
                   Tally.read(record), read_files(record), name)  # fmt: skip


def part_name(number: int, key: str) -> str:
    """Name of a part's file; names sort in the order of parts."""
    return f"part-{number:06d}-{key[:16]}.jsonl"


class Folder(Store[FinishedPart]):
    """A folder of parts: a path, or a URL elsewhere."""

    refusals = (Exception,)  # each backend has exceptions of its own
    another = "-o"

    def __init__(self, name: str, root: str = "") -> None:
        super().__init__(name, root)
        self.name = name
        self.path = place_of(name, root)
        self.remote = is_remote(name)

    def begin(self) -> None:
        """Make the folder, and mark it as unfinished.

        Raises:
            OutputError: it cannot be made or written; one of its files is also read.
        """
        self.check_unread()
        with self.writing():
            (self.path / FINISHED).mkdir(parents=True, exist_ok=True)
            (self.path / SUCCESS).unlink(missing_ok=True)

    def finished(self) -> dict[str, FinishedPart]:
        """Find the parts that earlier runs finished, by key; damaged records are left out."""
        with self.writing():
            notes = (each for each in self._notes() if each.name.endswith(".json"))
            records = [parse_or_none(self._data(each)) for each in notes]
            manifest = parse_or_none(self._data(self.path / MANIFEST))
        listed = manifest.get("parts") if isinstance(manifest, dict) else None
        records += listed if isinstance(listed, list) else []
        parts = (read_or_none(FinishedPart.read, each) for each in records)
        self.known = {part.key: part for part in parts if part is not None}
        return self.known

    def _notes(self) -> list[Path]:
        inside = self.path / FINISHED
        return list(inside.iterdir()) if inside.is_dir() else []

    def _data(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""

    def pieces(self, entry: FinishedPart) -> Iterator[bytes]:
        """Yield the answers of a part."""
        path = self.path / entry.name
        if path.is_file():
            with path.open("rb") as stream:
                while piece := stream.read(PIECE_BYTES):
                    yield piece

    def keep(self, part: FinishedPart, name: str) -> FinishedPart | None:
        """Keep a finished part, under this name; return it, or None where it no longer holds."""
        if not self.holds(part):
            return None
        kept = replace(part, name=name)
        with self.writing():
            if part.name != name:
                (self.path / part.name).rename(self.path / name)
            self._note(kept)
        return kept

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a file that is whole or not there, also where two workers write it at once."""
        with self.writing():
            # A remote file appears when it is closed; a local one when it gets its name.
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

    def _note(self, part: FinishedPart) -> None:
        """Record that a part is finished."""
        self.write(f"{FINISHED}/{part.key}.json", [json.dumps(part.as_dict()).encode()])

    def check_seen(self, parts: Sequence[FinishedPart]) -> None:
        """Refuse parts that workers wrote where this process cannot see them.

        Raises:
            OutputError: one of them is missing here, or of another size.
        """
        with self.writing():
            sizes = self._sizes()
            missing = [each for each in parts if sizes.get(each.name) != each.size]
        if missing:
            hint = "the folder must be the same for all workers: a shared one, or s3://…"
            lost = f"{len(missing)} parts that are not there, {safe(missing[0].name)}"
            raise OutputError(f"workers wrote {lost}", where=safe(self.name), hint=hint)

    def check_unread(self) -> None:
        """Refuse to replace or remove a file that is read.

        Raises:
            OutputError: names it.
        """
        with self.writing():
            names = self._sizes() if self.path.is_dir() else {}
            notes = self._notes()
        ours = (name for name in names if name in (SUCCESS, MANIFEST) or _OURS.fullmatch(name))
        for path in (*(self.path / name for name in ours), *notes):
            check_unread(path)

    def _sizes(self) -> dict[str, int]:
        """Size of each file, from one listing."""
        if self.remote:
            place: Any = self.path
            place.fs.invalidate_cache()  # workers have written since
            entries = place.fs.ls(place.path, detail=True)
            return {each["name"].rsplit("/", 1)[-1]: each["size"] or 0 for each in entries}
        with os.scandir(self.path) as found:
            return {each.name: each.stat().st_size for each in found}

    def finish(self, run: str, parts: Sequence[FinishedPart]) -> None:
        """List the parts, remove what belongs to none of them, and mark the folder as finished."""
        total = Tally()
        for each in parts:
            total.add(each.tally)
            for file in each.files:
                note_read(file)
        self.check_unread()
        manifest = {"schema": SCHEMA, "version": __version__, "run": run, **asdict(total),
                    "parts": [each.as_dict() for each in parts]}  # fmt: skip
        self.write(MANIFEST, [json.dumps(manifest, indent=1).encode() + b"\n"])
        with self.writing():
            names = {each.name for each in parts}
            for name in self._sizes():
                if _OURS.fullmatch(name) and name not in names:
                    (self.path / name).unlink()
            for note in self._notes():
                note.unlink()
            # Where folders are only prefixes, it is gone with its files.
            with contextlib.suppress(OSError):
                (self.path / FINISHED).rmdir()
        self.write(SUCCESS, [])

    def write_part(
        self, name: str, key: str, answers: Iterable[ChunkAnswers]
    ) -> tuple[FinishedPart, list[str]]:
        """Write a part while its answers come; return it, and what is said of its samples.

        Raises:
            OutputError: it cannot be written.
        """
        keeping, notes = Keeping(), list[str]()

        def pieces() -> Iterator[bytes]:
            for answer in answers:
                notes.extend(note for _, note in answer.notes)
                yield keeping.data(answer)

        self.write(name, pieces())
        part = FinishedPart(key, **vars(keeping), name=name)
        self._note(part)
        more = len(notes) - MAX_NOTES
        return part, notes[:MAX_NOTES] + ([f"… and {more} more in {name}"] if more > 0 else [])


Message = dict[str, Any]


def pack_origin(origin: Origin) -> list[str]:
    """An origin as names."""
    return [origin.file, origin.stem, str(origin.folder), *origin.assumed]


def unpack_origin(names: Sequence[str]) -> Origin:
    """Unpack an origin."""
    file, stem, folder, *assumed = names
    return Origin(file, stem, place_of(folder), tuple(assumed))


def pack(chunk: Chunk) -> Message:
    """A chunk as texts and numbers."""
    body: Message
    match chunk:
        case Lines():
            body = {"text": b"\n".join(chunk.raw)}
        case Rows():
            body = {"text": _text([chunk.header, chunk.raw])}
        case Objects():
            errors = {n: (one.id.text, pack_error(one.error)) for n, one in enumerate(chunk.raw)
                      if isinstance(one, BadSample)}  # fmt: skip
            objects = [None if n in errors else one for n, one in enumerate(chunk.raw)]
            body = {"errors": errors, "text": _text(objects)}
        case Columns():
            arrays = {n: v for n, v in chunk.raw.items() if not isinstance(v, list)}
            lists = dict(chunk.raw) | dict.fromkeys(arrays)
            body = {"text": _text([lists, chunk.common]), "arrays": arrays}
        case _:
            raise TypeError(f"a chunk of another kind: {type(chunk).__name__}")
    return {"kind": type(chunk).__name__, "origin": pack_origin(chunk.origin),
            "numbers": list(chunk.numbers), **body}  # fmt: skip


def unpack(message: Message) -> Chunk:
    """Unpack a chunk."""
    origin, numbers = unpack_origin(message["origin"]), message["numbers"]
    text = message["text"]
    match message["kind"]:
        case "Lines":
            return Lines(origin, numbers, text.split(b"\n"))
        case "Rows":
            header, rows = json.loads(text)
            return Rows(origin, numbers, rows, header)
        case "Objects":
            objects = json.loads(text)
            for number, (name, record) in message["errors"].items():
                objects[number] = BadSample(Foreign.of(name), unpack_error(record))
            return Objects(origin, numbers, objects)
        case _:
            columns, common = json.loads(text)
            return Columns(origin, numbers, columns | message["arrays"], common)


def _text(value: Any) -> bytes:
    """JSON; what it cannot express (a date in Parquet) becomes the text that answers show."""
    return json.dumps(value, default=str).encode()


def pack_answer(answer: ChunkAnswers) -> Message:
    """A chunk's answers as text and numbers."""
    lines = "".join(answer.lines).encode()
    return {**vars(answer), "lines": lines, "tally": vars(answer.tally)}


def unpack_answer(message: Message) -> ChunkAnswers:
    """Unpack a chunk's answers."""
    lines = message["lines"].decode().splitlines(keepends=True)
    return ChunkAnswers(**{**message, "lines": lines, "tally": Tally(**message["tally"])})


def pack_error(error: LstmStepError) -> Message:
    """An error as texts and its exit code."""
    return {**error.as_record(), "exit_code": int(error.exit_code)}


def unpack_error(record: Message) -> LstmStepError:
    """Unpack an error, with its codes."""
    error = LstmStepError(record["message"], where=record["where"], hint=record["try"])
    error.code, error.exit_code = record["code"], ExitCode(record["exit_code"])
    return error


Task = Callable[[Work, Message, ChunkRunner], Message]

# A worker with several threads runs one task at a time: the work is mostly Python, and so memory is
# that of one task.
_turn = threading.Lock()


def do(name: str, packed: bytes, message: Message, careful: bool = False) -> Message:
    """Run a task on a message; return its result, or the refusal.

    The work is as the client pickled it. A careful run is in a process of its own, since a sample
    may kill it.
    """
    with _turn:
        return _in_child(name, packed, message) if careful else attempt(name, packed, message)


def attempt(name: str, packed: bytes, message: Message, apart: bool = False) -> Message:
    """Run a task in this process, or its samples `apart`, in one more."""
    try:
        if message["version"] != __version__:
            where, wanted = f"worker on {safe(os.uname().nodename)}", message["version"]
            what = f"a worker has lstm-cli {__version__}, this is {wanted}"
            hint = f"install lstm-cli {wanted} on all workers"
            raise InputError(what, where=where, hint=hint)
        work = unpacked_work(packed)
        runner = Processes(1, notes=work.notes) if apart else Serial()
        return TASKS[name](work, message, runner)
    except LstmStepError as error:
        return {"refused": pack_error(error)}


@lru_cache(maxsize=2)
def unpacked_work(packed: bytes) -> Work:
    """Unpack the work that the client pickled; the same object for the same bytes."""
    work: Work = pickle.loads(packed)  # the client's own, through a scheduler that is trusted
    return work


def evaluate(work: Work, message: Message, runner: ChunkRunner) -> Message:
    """Answer one chunk."""
    (answer,) = runner.map(work, [unpack(message["chunk"])])
    return pack_answer(answer)


def make_part(work: Work, message: Message, runner: ChunkRunner) -> Message:
    """Write the answers to some chunks as a part, unless it is there already; return its record."""
    folder = Folder(message["folder"], message["root"])
    name, known = message["name"], message["known"]
    kept = None if known is None else folder.keep(FinishedPart.read(known), name)
    if kept is not None:
        return {"record": kept.as_dict(), "reused": True, "notes": []}
    chunks = (c for unit in message["units"] for c in unit_chunks(unit, work.settings))
    part, notes = folder.write_part(name, message["key"], runner.map(work, chunks))
    return {"record": part.as_dict(), "reused": False, "notes": notes}


def unit_chunks(unit: Message, settings: SampleSettings) -> Iterator[Chunk]:
    """Yield the chunks of a piece of a part: a text, a range of a file, or a whole file."""
    root = settings.root
    if "chunk" in unit:
        yield unpack(unit["chunk"])
    elif "range" in unit:
        path = place_of(unit["file"], root)
        yield read_range(path, unpack_origin(unit["origin"]), Range(*unit["range"]))
    else:
        if content_of(place_of(unit["file"], root)) != unit["digest"]:
            raise changed(unit["file"])
        yield from all_chunks([unit["file"]], settings.root, settings.reading)


def look(work: Work, message: Message, runner: ChunkRunner) -> Message:
    """Find the ranges of lines of a file, or the digest of a file that is read whole.

    `{}` where it is not the client's own file: not here, or of another size.
    """
    path = place_of(message["file"], work.settings.root)
    try:
        if size_of(path) != message["size"]:
            return {}
        origin = unpack_origin(message["origin"])
        ranges = line_ranges(path, origin, work.settings.reading.form)
        if ranges is not None:
            return {"ranges": list(map(tuple, ranges))}
        return {"digest": content_of(path)}
    except (OSError, LstmStepError):
        return {}  # the client says what is wrong with it


def size_of(path: Path) -> int:
    """Size of a file in bytes.

    Raises:
        InputError: it cannot be opened.
        OSError: its size is not known.
    """
    with open_checked(path):  # a file that cannot be opened counts as missing
        return int(path.stat().st_size)


TASKS: dict[str, Task] = {"evaluate": evaluate, "make_part": make_part, "look": look}


def _in_child(name: str, packed: bytes, message: Message) -> Message:
    """Run a task in a process of its own, so that a sample that crashes it can be found.

    A worker is a daemon, and a daemon may start no processes but in this way.
    """
    paths = os.pathsep.join(each for each in sys.path if each)
    done = subprocess.run(
        [sys.executable, "-m", "lstm_cli.commands.batch.tasks"],
        input=pickle.dumps((name, packed, message)), stdout=subprocess.PIPE, check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    answer: Message = pickle.loads(done.stdout)  # what our own process wrote
    return answer


if __name__ == "__main__":
    name, packed, message = pickle.loads(sys.stdin.buffer.read())  # from the worker, our parent
    sys.stdout.buffer.write(pickle.dumps(attempt(name, packed, message, apart=True)))
