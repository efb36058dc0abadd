"""Tasks that run on a worker. Everything comes and goes as plain values (`messages`)."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from lstm_cli.base.errors import InputError, LstmStepError, safe
from lstm_cli.base.version import __version__
from lstm_cli.commands.batch.cluster.folder import FinishedPart, Folder
from lstm_cli.commands.batch.cluster.messages import (
    Message,
    pack_answer,
    refused,
    unpack,
    unpack_origin,
)
from lstm_cli.commands.batch.runners import ChunkRunner, Serial
from lstm_cli.commands.batch.work import Work
from lstm_cli.files.remote import place_of
from lstm_cli.files.safe import content_of, open_checked
from lstm_cli.samples import Chunk, all_chunks
from lstm_cli.samples.ranges import Range, line_ranges, read_range

Task = Callable[[Work, Message, ChunkRunner], Message]

# A worker with several threads runs one task at a time: the work is mostly Python, and so memory is
# that of one task.
_turn = threading.Lock()


def do(name: str, packed: bytes, message: Message, careful: bool = False) -> Message:
    """Run a task on a message; return its result, or the refusal.

    Args:
        name: of the task.
        packed: the work, as the client pickled it.
        message: what to do.
        careful: whether samples are run in a process of their own, since one may kill it.
    """
    try:
        if message["version"] != __version__:
            raise _other_version(message["version"])
        with _turn:
            if careful:
                return _in_child(name, packed, message)
            return TASKS[name](unpacked_work(packed), message, Serial())
    except LstmStepError as error:
        return refused(error)


def _other_version(wanted: str) -> LstmStepError:
    return InputError(
        f"a worker has lstm-cli {__version__}, this is {wanted}",
        where=f"worker on {safe(os.uname().nodename)}",
        hint=f"install lstm-cli {wanted} on all workers",
    )


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
            raise InputError(
                "the file was changed while it was read", where=safe(unit["file"]),
                hint="run the same command again: what is finished and unchanged stays",
            )  # fmt: skip
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
            found = [(each.start, each.stop, each.first, each.key) for each in ranges]
            return {"ranges": found}
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


# ---- careful runs


def _in_child(name: str, packed: bytes, message: Message) -> Message:
    """Run a task in a process of its own, so that a sample that crashes it can be found.

    A worker is a daemon, and a daemon may start no processes but in this way.
    """
    paths = os.pathsep.join(each for each in sys.path if each)
    done = subprocess.run(
        [sys.executable, "-m", "lstm_cli.commands.batch.cluster.subprocess"],
        input=pickle.dumps((name, packed, message)), stdout=subprocess.PIPE, check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    answer: Message = pickle.loads(done.stdout)  # what `subprocess` wrote: our own process
    return answer
