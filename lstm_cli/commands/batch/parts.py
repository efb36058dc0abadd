"""A batch in parts: cut into them, and those that are finished skipped.

Where workers see the same files as the client, a part tells them where its samples are: ranges of
lines of JSON, or a whole file of another kind. What they do not see goes as text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from lstm_cli.base.errors import LstmStepError
from lstm_cli.commands.batch.folder import FinishedPart, Folder, part_name
from lstm_cli.commands.batch.tasks import Message, pack, pack_origin, size_of
from lstm_cli.files.remote import place_of
from lstm_cli.samples.chunks import Origin, key_of
from lstm_cli.samples.compressed import without_suffix
from lstm_cli.samples.files import all_chunks
from lstm_cli.samples.settings import Tally

if TYPE_CHECKING:
    from lstm_cli.commands.batch.cluster import Cluster
    from lstm_cli.commands.batch.work import Work

# A part is about a second of work: the scheduler is rarely asked, and little is done twice. So many
# chunks fill it, or so much text in its message, or whole files of such a size.
PART_CHUNKS = 16
PART_TEXT_BYTES = 4 * 2**20
PART_FILE_BYTES = 16 * 2**20
PART_FILES = 256


class Unit(NamedTuple):
    """A piece of a part: its message for a worker, the key of its content, its share of a part."""

    message: Message
    key: str
    share: float


@dataclass
class Batch:
    """A batch that is written in parts; to `retry` is to do those with failed samples again."""

    cluster: Cluster
    work: Work
    folder: Folder
    retry: bool = False
    tally: Tally = field(default_factory=Tally)
    reused: int = 0

    def run(self, files: Sequence[str], seen: Callable[[Tally, Sequence[str]], None]) -> Tally:
        """Run what is not finished; return how it went.

        Args:
            files: of samples.
            seen: called after each part, with the tally so far and the messages on that part.

        Raises:
            OutputError: the folder cannot be written, or workers write another one.
            ClusterError: the cluster fails.
        """
        self.folder.begin()
        parts: list[FinishedPart] = []
        for answer in self.cluster.run("make_part", self.work, self._messages(files)):
            part = FinishedPart.read(answer["record"])
            if not parts:
                self.folder.check_seen([part])
            parts.append(part)
            self.tally.add(part.tally)
            self.reused += part.tally.samples if answer["reused"] else 0
            seen(self.tally, answer["notes"])
        self.folder.check_seen(parts)
        self.folder.finish(self.work.settings.digest().hex(), parts)
        return self.tally

    def _messages(self, files: Sequence[str]) -> Iterator[Message]:
        known, run = self.folder.finished(), self.work.settings.digest()
        for number, units in enumerate(parts_of(self._units(files))):
            digest = hashlib.blake2b(run, digest_size=16)
            for unit in units:
                digest.update(unit.key.encode())
            key = digest.hexdigest()
            part = known.get(key)
            again = part is None or (self.retry and part.tally.failed)
            yield {
                "folder": self.folder.name, "root": self.work.settings.root,
                "name": part_name(number, key), "key": key,
                "known": None if again or part is None else part.as_dict(),
                "units": [unit.message for unit in units],
            }  # fmt: skip

    def _units(self, files: Sequence[str]) -> Iterator[Unit]:
        asked = [self._question(file) for file in files]
        ours = (each for each in asked if each is not None)
        answers = self.cluster.run("look", self.work, ours)
        for file, question in zip(files, asked, strict=True):
            yield from _units_of(file, question, {} if question is None else next(answers))

    def _question(self, file: str) -> Message | None:
        """Question for workers about a file; None if only this process can read it."""
        if file == "-":
            return None
        try:
            path = place_of(file)
            origin = Origin(str(path), without_suffix(path).stem, path.parent)
            return {"file": file, "size": size_of(path), "origin": pack_origin(origin)}
        except (OSError, LstmStepError):
            return None  # reading it says why


def _units_of(file: str, question: Message | None, found: Message) -> Iterator[Unit]:
    if question is not None and "ranges" in found:
        for each in found["ranges"]:
            told = {"file": file, "origin": question["origin"], "range": each}
            yield Unit(told, each[-1], 1 / PART_CHUNKS)
    elif question is not None and "digest" in found:
        key = f"{file}:{found['digest']}"
        share = max(1 / PART_FILES, question["size"] / PART_FILE_BYTES)
        yield Unit({"file": file, "digest": found["digest"]}, key, share)
    else:
        for chunk in all_chunks([file]):
            told = {"chunk": pack(chunk)}
            share = max(1 / PART_CHUNKS, len(told["chunk"]["text"]) / PART_TEXT_BYTES)
            yield Unit(told, key_of(chunk, b""), share)


def parts_of(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Yield the units of each part, in order."""
    part: list[Unit] = []
    for unit in units:
        part.append(unit)
        if sum(each.share for each in part) >= 1:
            yield part
            part = []
    if part:
        yield part
