"""The work on a chunk: a function of the chunk alone, so that it can run anywhere.

`batch` does it here, as Python asks for samples.
"""

from __future__ import annotations

import copyreg
import gc
import io
import json
import os
import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import islice
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lstm_cli.base.errors import LstmStepError, record_in_arguments, safe
from lstm_cli.base.foreign import indented
from lstm_cli.base.numbers import significant
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.weights import Model
from lstm_cli.commands.batch.answers import Answered, alike_in_steps, answer_block, failure
from lstm_cli.commands.batch.blocks import SampleBlock, blocks_of, members_text
from lstm_cli.samples import Read
from lstm_cli.samples.chunks import Chunk, Objects, Origin
from lstm_cli.samples.files import CHUNK
from lstm_cli.samples.models import Models
from lstm_cli.samples.settings import GivenSamples, SampleSettings, Tally, samples_of, settings_of

# Several times the memory of a chunk; glibc's threshold follows up to 32 MB.
_KEPT_BYTES = 2**24
# The details in which similar errors differ: quoted text and numbers.
_DETAILS = re.compile(r"'[^']*'|\d+")


class InternalError(LstmStepError):
    """A bug of ours that one sample hits: it costs that sample's answer only."""

    code = "bug"


class WorkerError(LstmStepError):
    """The process that ran a sample died: killed, out of memory, a crash in a library."""

    code = "worker_died"


@dataclass(frozen=True)
class ChunkAnswers:
    """The answers of a chunk.

    Attributes:
        lines: one line of JSON a sample, in order, each with its end.
        tally: how many matched, differed, failed.
        failed: positions of those that could not be run.
        notes: messages for stderr on those that failed or differ, each with what similar failures
            have in common, or "".
        files: weights and cells that samples name: path -> digest of what was in them.
    """

    lines: Sequence[str]
    tally: Tally
    failed: Sequence[int] = ()
    notes: Sequence[tuple[str, str]] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Work:
    """Evaluates chunks; the same function in this process, in others and on other machines.

    With `notes`, answers come with messages for stderr.
    """

    settings: SampleSettings
    notes: bool = False

    @cached_property
    def models(self) -> Models:
        """The models met so far, kept from chunk to chunk."""
        return Models(self.settings)

    def __call__(self, chunk: Chunk) -> ChunkAnswers:
        """Answer a chunk; an error in one sample costs only its own answer."""
        _keep_memory()
        # A chunk makes many lists and dicts, none in a cycle: searching for cycles would take a
        # fifth of the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._evaluate(*blocks_of(chunk), chunk)
        except Exception as error:
            if os.environ.get("LSTM_STEP_DEBUG"):
                raise
            if len(chunk) > 1:
                alone = [self(chunk.take([position])) for position in range(len(chunk))]
                return joined(alone)
            what = f"this is a bug: {type(error).__name__}: {error}"
            hint = "LSTM_STEP_DEBUG=1 shows where; please report it"
            return lost(chunk, InternalError(what, where=chunk.place(0), hint=hint), self.notes)
        finally:
            if collecting:
                gc.enable()

    def _evaluate(self, blocks: Sequence[SampleBlock], bad: Any, chunk: Chunk) -> ChunkAnswers:
        filled = _Filling(len(chunk), self.notes)
        self.models.used.clear()
        for position, one in bad.items():
            filled.fail(position, failure(one.id.text, one.error, members_text(one.extra)))
        # The largest come first: the engine they are worth is then ready for the others.
        beside = 0
        alike = [each for block in blocks for each in alike_in_steps(block, self.models)]
        for block in sorted(alike, key=lambda each: each.x.size, reverse=True):
            found = answer_block(block, self.models, beside)
            if isinstance(found, LstmStepError):
                for position, name, extra in zip(
                    block.positions, block.ids, block.extras, strict=True
                ):
                    placed = found.within(chunk.place(position))
                    filled.fail(position, failure(name, placed, extra))
            else:
                beside = max(beside, found.work)
                filled.put(block, found)
        return replace(filled.answer(), files=dict(self.models.used))

    def __reduce__(self) -> tuple[Callable[[bytes], Work], tuple[bytes]]:
        buffer = io.BytesIO()
        _Pickler(buffer).dump((self.settings, self.notes))
        return _loaded, (buffer.getvalue(),)


class _Filling:
    """Answers of a chunk, filled in block by block."""

    def __init__(self, size: int, notes: bool) -> None:
        self.notes = notes
        self.lines = [""] * size
        self.tally = Tally(size)
        self.failed: list[int] = []
        self.said: dict[int, tuple[str, str]] = {}

    def put(self, block: SampleBlock, answered: Answered) -> None:
        """Add the answers of a block that was run."""
        positions = block.positions
        self.tally.add(Tally(
            assumed=answered.assumed, handed_on=block.own, warned=answered.warned
        ))  # fmt: skip
        if list(positions) == list(range(len(self.lines))):
            self.lines = list(answered.lines)
        else:
            for position, line in zip(positions, answered.lines, strict=True):
                self.lines[position] = line
        self.tally.matched += answered.matched.count(True)
        self.tally.mismatched += answered.matched.count(False)
        if self.notes:
            for position, matched in zip(positions, answered.matched, strict=False):
                if not matched:
                    record = json.loads(self.lines[position])
                    worst = _worst(record["check"])
                    self.said[position] = "", f"differs: {safe(record['id'])}: {worst}"

    def fail(self, position: int, line: str) -> None:
        """Add the answer of a sample that failed."""
        self.lines[position] = line
        self.tally.failed += 1
        self.failed.append(position)
        if self.notes:
            record = json.loads(line)
            error = record["error"]
            where, message, hint = (indented(error[key]) for key in ("where", "message", "try"))
            note = f"failed: {safe(record['id'])}: {message}\nwhere: {where}\ntry:   {hint}"
            self.said[position] = f"{_DETAILS.sub('', message)}\n{hint}", note

    def answer(self) -> ChunkAnswers:
        """All answers, in order."""
        said = [self.said[position] for position in sorted(self.said)]
        return ChunkAnswers(self.lines, self.tally, sorted(self.failed), said)


def _worst(check: dict[str, Any]) -> str:
    worst = check["worst"]
    got, expected = worst["got"], worst["expected"]
    numbers = isinstance(got, float) and isinstance(expected, float)
    off = abs(got - expected) if numbers else check["max_abs_diff"]
    return (
        f"{safe(worst['symbol'])}[{worst['unit']}] at t = {worst['t']} is {got}, "
        f"expected {expected}: off by {short(off)}, "
        f"tolerance {short(check['tolerance'])}"
    )


def short(value: Any) -> str:
    """A number with three significant digits."""
    return significant(value) if isinstance(value, float) else str(value)


def joined(answers: Sequence[ChunkAnswers]) -> ChunkAnswers:
    """Join the answers of the parts of a chunk."""
    lines: list[str] = []
    failed: list[int] = []
    notes: list[tuple[str, str]] = []
    files: dict[str, str] = {}
    tally = Tally()
    for each in answers:
        failed += [len(lines) + position for position in each.failed]
        lines += each.lines
        notes += each.notes
        files |= each.files
        tally.add(each.tally)
    return ChunkAnswers(lines, tally, failed, notes, files)


def lost(chunk: Chunk, error: LstmStepError, notes: bool) -> ChunkAnswers:
    """Answer a chunk of one sample that cannot be evaluated, with the reason."""
    filled = _Filling(1, notes)
    try:
        name = chunk.read(0).id.text
    except Exception:  # a bug of ours in reading it
        name = chunk.name(0)
    filled.fail(0, failure(name, error))
    return filled.answer()


@cache
def _keep_memory() -> None:
    """Have the C library keep, for the next chunk, the memory that a chunk gives back.

    By default glibc hands most of it back to the system each time, and each page of it that comes
    again costs a fault, together an eighth of the time. Once a block as large as this was freed,
    all that are smaller stay (mallopt(3), "dynamic mmap threshold"); other systems do not mind.
    """
    bytes(_KEPT_BYTES)


# ---- pickling, to another process


def _frozen(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    """Make a frozen mapping: its type has no name that pickle could look up."""
    return MappingProxyType(values)


class _Pickler(pickle.Pickler):
    """Pickles frozen mappings too, which weights have."""

    dispatch_table = copyreg.dispatch_table.copy()
    dispatch_table[MappingProxyType] = lambda each: (_frozen, (dict(each),))


def _loaded(data: bytes) -> Work:
    settings, notes = pickle.loads(data)  # what `Work` of this same run wrote
    return Work(settings, notes)


def batch(
    samples: GivenSamples,
    *,
    weights: Model | str | PathLike[str] | None = None,
    cell: Cell | None = None,
    convention: str = "",
    steps: int = 0,
    calls: str = "",
    dtype: str = "float64",
    engine: str = "auto",
    atol: float | None = None,
    trace: bool = False,
    check: bool = True,
) -> Iterator[dict[str, Any]]:
    """Evaluate samples, and yield one record each, in their order; none is ever dropped.

    A record is `{"schema", "id", "ok": true, "engine", "assumptions", "h", "c", "check"}`, with
    `warnings` where a run left the finite range, and `steps` where traces are asked for, or
    `{"schema", "id", "ok": false, "error"}` with an error of `{"code", "message", "where", "try"}`;
    then the sample's own members.

    Args:
        samples: files, folders or globs; dicts `{"x": (T, I), "h": (L·D, P), "c": (L·D, H), …}` of
            lists or of any library's arrays; or several of these.
        weights: of samples that name none: a model or a file; None is the preset identity.
        cell: of samples that name none; None lets the weights decide.
        convention: of samples that name none; "" lets the weights decide.
        steps: how many steps to run; 0 for all of x.
        calls: as `run`, of samples that have none.
        dtype: "float64" or "float32".
        engine: as `run`.
        atol: a tolerance in place of the samples' own.
        trace: whether records carry every step.
        check: whether expected numbers are compared.

    Raises:
        ArgumentError: what is no sample.
        LstmStepError: `weights` cannot be read. What is wrong with a sample is in its record.
    """
    settings = settings_of(
        weights, cell, convention, steps=steps, calls=calls, dtype=dtype, engine=engine, atol=atol,
        trace=trace, check=check,
    )  # fmt: skip
    return map(record_in_arguments, evaluate_samples(samples_of(samples), settings))


def evaluate_samples(samples: Iterable[Read], settings: SampleSettings) -> Iterator[dict[str, Any]]:
    """Yield the records of samples as the command line has them."""
    work, source = Work(settings), iter(samples)
    while reads := list(islice(source, CHUNK)):
        chunk = Objects(Origin("", "", Path()), [0] * len(reads), reads)
        yield from map(json.loads, work(chunk).lines)
