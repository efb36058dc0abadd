"""Where the answers of a batch go as they come: to a stream, or to a file that can be resumed."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lstm_cli.base.errors import UsageError, safe
from lstm_cli.base.foreign import say
from lstm_cli.commands.batch.columns import TABLES, column_pieces
from lstm_cli.commands.batch.runners import ChunkRunner, Processes, Serial
from lstm_cli.commands.batch.store import Entry, Journal
from lstm_cli.commands.batch.work import ChunkAnswers
from lstm_cli.files.inputs_read import note_read
from lstm_cli.files.output import json_array
from lstm_cli.files.remote import is_remote
from lstm_cli.samples.chunks import Chunk, key_of
from lstm_cli.samples.settings import SampleSettings, Tally

if TYPE_CHECKING:
    from lstm_cli.commands.batch.cluster import Batch
    from lstm_cli.commands.batch.work import Work

# At most so many kinds of failures are told apart; others are reported one by one.
MAX_KINDS = 100
# Of similar failures so many are told by their place.
MOST_PLACES = 3


@contextlib.contextmanager
def make_runner(jobs: int | None, notes: bool, dask: str) -> Iterator[ChunkRunner]:
    """Make what runs chunks: `jobs` processes (0 is one for each core), or a cluster."""
    if dask:
        from lstm_cli.commands.batch.cluster import connected

        with connected(dask, jobs or 0) as cluster:
            yield cluster
        return
    count = (1 if jobs is None else jobs) or os.cpu_count() or 1
    yield Serial() if count == 1 else Processes(count, notes=notes)


def in_parts(output: str, dask: str) -> bool:
    """Whether an output is a folder of parts: its name says so, or it is a folder already."""
    return output.endswith("/") or is_remote(output) or bool(dask and os.path.isdir(output))


def check_cluster_options(dask: str, jobs: int | None, output: str, form: str) -> None:
    """Refuse options that contradict each other.

    Raises:
        UsageError: with the ones that do.
    """
    if in_parts(output, dask) and not dask:
        hint = "--dask local, --dask tcp://host:8786, or -o answers.jsonl"
        what = "only a cluster writes a folder of parts"
        raise UsageError(what, where=f"-o {safe(output)}", hint=hint)
    if in_parts(output, dask) and form != "jsonl":
        raise UsageError("parts are JSONL", where=f"-f {safe(form)}", hint="leave -f out")
    if dask and dask != "local" and jobs is not None:
        what = "--jobs counts processes of this machine; a cluster counts its own"
        raise UsageError(what, where="--jobs", hint="--jobs N goes with --dask local")


def run_in_parts(
    cluster: Any, work: Work, files: list[str], output: str, retry: bool, progress: BatchProgress
) -> Tally:
    """Write a batch's answers as a folder of parts; return how it went."""
    from lstm_cli.commands.batch.cluster import Batch
    from lstm_cli.commands.batch.tasks import Folder

    def seen(tally: Tally, notes: Sequence[str]) -> None:
        progress.show(tally)
        for note in notes:
            say(note)

    batch = Batch(cluster, work, Folder(output, work.settings.root), retry)
    with _saying_what_stays(batch, progress, "the same command goes on from there"):
        batch.run(files, seen)
    return batch.tally


@contextlib.contextmanager
def _saying_what_stays(
    batch: Batch | ResumableOutput, progress: BatchProgress, then: str
) -> Iterator[None]:
    """Say how much is answered if Ctrl-C ends a batch, or how much was before it ran."""
    try:
        yield
    except KeyboardInterrupt:
        if not progress.quiet:
            say(f"{batch.tally.samples:,} samples are answered; {then}")
        raise
    if batch.reused and not progress.quiet:
        say(f"{batch.reused:,} samples were answered before")


class BatchProgress:
    """Messages on stderr while a batch runs: failures and, on a terminal, how many are done."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        # What similar failures have in common -> the first line on the first of each.
        self.first: dict[str, str] = {}
        self.alike: Counter[str] = Counter()
        # Where the first of the others are.
        self.places: dict[str, list[str]] = {}
        self.started = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar
            from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
            self.bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self.bar.start()
            self.task = self.bar.add_task("0 samples", total=None)
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()
        for kind, first in self.first.items():
            if more := self.alike[kind]:
                where, rest = "; ".join(self.places[kind]), more - len(self.places[kind])
                tail = f" … and {rest:,} more like this" if rest else ""
                say(f"{more:,} more failed like {first}", f"where: {where}{tail}")

    def say(self, notes: Iterable[tuple[str, str]]) -> None:
        """Say which samples failed or differ; of similar failures only the first."""
        for kind, note in notes:
            if kind in self.first:
                self.alike[kind] += 1
                if self.alike[kind] < MOST_PLACES:
                    where = note.split("\n")[1].removeprefix("where: ")
                    self.places.setdefault(kind, []).append(where)
                continue
            if kind and len(self.first) < MAX_KINDS:
                self.first[kind] = note.split("\n")[0].removeprefix("failed: ")
            say(note)

    def show(self, tally: Tally) -> None:
        """Show how many are done by now."""
        if self.bar is not None:
            rate = tally.samples / max(time.monotonic() - self.started, 1e-3)
            failed = f", {tally.failed:,} failed" if tally.failed else ""
            text = f"{tally.samples:,} samples{failed}, {rate:,.0f} a second"
            self.bar.update(self.task, description=text)


def answers_of(runner: ChunkRunner, work: Work, chunks: Iterable[Chunk]) -> Iterator[ChunkAnswers]:
    """Yield the answers to chunks; the files that samples name may be read by other processes."""
    for answer in runner.map(work, chunks):
        for name in answer.files:
            note_read(name)
        yield answer


def answered_lines(
    answers: Iterable[ChunkAnswers], tally: Tally, progress: BatchProgress
) -> Iterator[Sequence[str]]:
    """Yield the lines of each chunk's answers, counting them and saying what went wrong."""
    for answer in answers:
        tally.add(answer.tally)
        progress.show(tally)
        progress.say(answer.notes)
        yield answer.lines


def file_pieces(
    chunks: Iterable[Sequence[str]], form: str, output: str, settings: SampleSettings, *,
    piped: bool,
) -> Iterator[str | bytes]:  # fmt: skip
    """Yield the answers, lines of JSON, as a file of a format; errors as `column_pieces`.

    `piped` is whether samples come from stdin.
    """
    if form in TABLES:
        yield from column_pieces(chunks, form, output, settings, piped=piped)
    else:
        lines = chain.from_iterable(chunks)
        yield from json_array(lines) if form == "json" else lines


class ResumableOutput:
    """A batch whose answers are kept as they come, in a file that a later run can resume.

    `run` is the digest of the settings, which tells batches apart; `retry`, whether to try again
    what failed.
    """

    def __init__(self, output: Path, run: bytes, resume: bool, retry: bool) -> None:
        self.journal = Journal(output, resume=resume)
        self.output = output
        self.key = run
        self.retry = retry
        self.plan: list[Entry | None] = []
        self.tally = Tally()
        self.reused = 0
        # Chunks under way: their place in the plan, their key, and the entry that they amend.
        self.waiting: deque[tuple[int, str, Entry | None]] = deque()

    def run(
        self, runner: ChunkRunner, work: Work, chunks: Iterable[Chunk], progress: BatchProgress
    ) -> Tally:
        """Answer what is not answered yet, and write the file; return how it went."""
        if self.journal.discarded and not progress.quiet:
            say("starting over: --resume would keep what an interrupted run answered")
        then = f"the same command with --resume goes on from there ({safe(self.journal.partial)})"
        with contextlib.closing(self.journal), _saying_what_stays(self, progress, then):
            for answer in answers_of(runner, work, self._unanswered(chunks)):
                self._keep(answer)
                progress.show(self.tally)
                progress.say(answer.notes)
            self.journal.finish([entry for entry in self.plan if entry is not None])
        return self.tally

    def _unanswered(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Yield the chunks still to run: those without a known answer, or their failed samples."""
        for chunk in chunks:
            key = key_of(chunk, self.key)
            known = self.journal.find(key)
            if known is not None and not (self.retry and known.failed):
                for name in known.files:
                    note_read(name)
                self.plan.append(known)
                self.tally.add(known.tally)
                self.reused += known.tally.samples
                continue
            self.waiting.append((len(self.plan), key, known))
            self.plan.append(None)
            yield chunk if known is None else chunk.take(known.failed)

    def _keep(self, answer: ChunkAnswers) -> None:
        place, key, amended = self.waiting.popleft()
        if amended is not None:
            answer = self.journal.amended(amended, answer)
            self.reused += amended.tally.samples - len(amended.failed)
        entry = self.journal.append(key, answer)
        self.plan[place] = entry
        self.tally.add(entry.tally)
