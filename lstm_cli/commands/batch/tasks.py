"""Tasks that run on a worker, and what is sent to it: texts and numbers, no object out of a file.

A chunk goes as the text that its file has (`pack`), or by where it is (`Range`); answers come
back as text. Whoever unpacks a chunk reads the same samples as whoever packed it.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from lstm_cli.base.errors import ExitCode, InputError, LstmStepError, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.base.version import __version__
from lstm_cli.commands.batch.folder import FinishedPart, Folder
from lstm_cli.commands.batch.runners import ChunkRunner, Processes, Serial
from lstm_cli.commands.batch.work import ChunkAnswers, Work
from lstm_cli.files.digests import content_of
from lstm_cli.files.remote import place_of
from lstm_cli.files.safe import open_checked
from lstm_cli.samples import BadSample
from lstm_cli.samples.chunks import Chunk, Columns, Lines, Objects, Origin, Rows
from lstm_cli.samples.files import Range, all_chunks, changed, line_ranges, read_range
from lstm_cli.samples.settings import Tally

Message = dict[str, Any]


def pack_origin(origin: Origin) -> list[str]:
    """An origin as names."""
    return [origin.file, origin.stem, str(origin.folder)]


def unpack_origin(names: Sequence[str]) -> Origin:
    """Unpack an origin."""
    file, stem, folder = names
    return Origin(file, stem, place_of(folder))


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
            raise InputError(
                f"a worker has lstm-cli {__version__}, this is {message['version']}",
                where=f"worker on {safe(os.uname().nodename)}",
                hint=f"install lstm-cli {message['version']} on all workers",
            )
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
    chunks = (c for unit in message["units"] for c in unit_chunks(unit, work.settings.root))
    part, notes = folder.write_part(name, message["key"], runner.map(work, chunks))
    return {"record": part.as_dict(), "reused": False, "notes": notes}


def unit_chunks(unit: Message, root: str) -> Iterator[Chunk]:
    """Yield the chunks of a piece of a part: a text, a range of a file, or a whole file."""
    if "chunk" in unit:
        yield unpack(unit["chunk"])
    elif "range" in unit:
        path = place_of(unit["file"], root)
        yield read_range(path, unpack_origin(unit["origin"]), Range(*unit["range"]))
    else:
        if content_of(place_of(unit["file"], root)) != unit["digest"]:
            raise changed(unit["file"])
        yield from all_chunks([unit["file"]], root)


def look(work: Work, message: Message, runner: ChunkRunner) -> Message:
    """Find the ranges of lines of a file, or the digest of a file that is read whole.

    `{}` where it is not the client's own file: not here, or of another size.
    """
    path = place_of(message["file"], work.settings.root)
    try:
        if size_of(path) != message["size"]:
            return {}
        ranges = line_ranges(path, unpack_origin(message["origin"]))
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
