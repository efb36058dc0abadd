"""A long run as text or bytes, as it goes: the same as the whole run's, format by format.

Steps stand in a file by layer, then in time, but come in blocks of all layers (`LongRun`).
The first layer goes straight out, and what stands behind it waits on disk: `pieces`. Many samples
go in blocks of steps to JSON, and one after another to npz, as they stand there. An archive is
filled at its places in the file: `fill`.
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from lstm_cli.base.address import choose
from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import ExitCode, safe
from lstm_cli.base.foreign import say
from lstm_cli.commands._inputs import Given, say_assumed, say_warned
from lstm_cli.commands._stopping import Stopping
from lstm_cli.commands.run import text
from lstm_cli.commands.run.long_run import LongRun
from lstm_cli.engine.finite import NotFinite
from lstm_cli.engine.run import Trace
from lstm_cli.files.output import is_device, json_text, plain_list, replacing, write_out
from lstm_cli.show.rows import View, shown_layers, widened

# So much of an archive goes out at a time.
CHUNK_BYTES = 2**20
# So much of one of its arrays is moved at a time.
MOVED_BYTES = 8 * 2**20


@dataclass
class RunProgress:
    """How far a run is; its driver looks at it, and may ask it to stop.

    Attributes:
        total: the steps to run, or the samples.
        done: those that are run and written.
        unit: what is counted: "steps" or "samples".
        assumptions, engine: what had to be assumed, and what computes, once the run has begun.
        stop: asked after each block; True ends the run there, with a valid file.
        tell: called after each block.
    """

    total: int = 0
    done: int = 0
    unit: str = "steps"
    assumptions: Sequence[str] = ()
    engine: str = "table"
    stop: Callable[[], bool] = lambda: False
    tell: Callable[[], None] = lambda: None
    _warned: dict[int, NotFinite] = field(default_factory=dict)

    @property
    def interrupted(self) -> bool:
        """Whether the run ended before its last step."""
        return self.done < self.total

    def goes_on(self, done: int) -> bool:
        """Note how far the run is; return whether it is to go on."""
        self.done = done
        self.tell()
        return not self.stop()

    def note_warnings(self, trace: Trace, before: int, samples: int = 0) -> None:
        """Note where a block left the finite range, if its samples did not do so before.

        "Before" is by layer, then in time, as in a run that is kept whole.

        Args:
            trace: of the block.
            before, samples: the steps and the samples that went before it.
        """
        for each in trace.warnings:
            t, sample = each.t and each.t + before, each.sample
            own = replace(each, t=t, sample=None if sample is None else sample + samples)
            known = self._warned.setdefault(own.sample or 0, own)
            if (own.layer, own.t or 0) < (known.layer, known.t or 0):
                self._warned[own.sample or 0] = own

    @property
    def warnings(self) -> list[NotFinite]:
        """The first place of each sample that left the finite range."""
        return [self._warned[sample] for sample in sorted(self._warned)]


def chosen_steps(view: View, steps: int) -> Array | None:
    """Return the steps that `--at` leaves, in order; None where that is all.

    Raises:
        UsageError: no such step.
    """
    if view.at in ("", "all"):
        return None
    return np.unique(np.array(choose(view.at, steps, "--at", first=1)))


def times_in(at: Array | None, before: int, trace: Trace) -> list[int]:
    """Return the chosen times in a block, counted from its own start."""
    if at is None:
        return list(range(1, trace.steps + 1))
    inside = at[(at > before) & (at <= before + trace.steps)]
    return [int(t) - before for t in inside]


@dataclass
class _Writing:
    """A long run on its way out.

    Attributes:
        chosen: the format.
        view: with its `widest`.
        at: the chosen steps in order; None is all.
        first: the trace of the first block, for what is said of the whole run.
        blocks: (steps before, trace), that of `first` too.
        spool: where the steps of all layers but the first wait; for JSON `output` too.
        counts: the steps of each block that is done.
        states: the last trace that is done.
    """

    chosen: str
    view: View
    at: Array | None
    first: Trace
    blocks: Iterable[tuple[int, Trace]]
    progress: RunProgress
    spool: Spool
    counts: list[int] = field(default_factory=list)
    states: Trace = field(init=False)

    def stepwise(self) -> Iterator[text.Piece]:
        """Yield the file up to its last step, the first layer's at once and the others' behind."""
        view, started, form = self.view, set[int](), text.STEPWISE[self.chosen]
        yield form.head(self.first, view)
        for before, trace in self.blocks:
            times = times_in(self.at, before, trace)
            for place, each in enumerate(shown_layers(trace, view)):
                some = text.SomeSteps(each, times, view, trace.dtype, before)
                made = form.separator.join(form.steps(some))
                if made and place in started:
                    made = form.separator + made
                if made:
                    started.add(place)
                if place:
                    self.spool.append(f"layer {place}", made.encode())
                else:
                    yield made
            if self.chosen == "json":
                self.spool.append("output", trace.output.tobytes())
            self.progress.note_warnings(trace, before)
            self.counts.append(trace.steps)
            self.states = trace
            if not self.progress.goes_on(before + trace.steps):
                break
        for place in range(1, len(shown_layers(self.first, view))):
            if place in started:
                yield form.separator
            yield from self.spool.read(f"layer {place}")

    def json_end(self) -> Iterator[text.Piece]:
        """Yield what follows the steps; a run that was stopped has `"interrupted": true`."""
        yield '\n ],\n "output": ['
        yield from self._output()
        yield "],\n " + text.json_states(self.states, self.progress.warnings)
        yield ',\n "interrupted": true' if self.progress.interrupted else ""
        yield "\n}\n"

    def _output(self) -> Iterator[str]:
        """Yield the numbers of `output`: in time, and where there are samples one by one."""
        first = self.first.output  # (…, T, D·P)
        width, lead = first.shape[-1], first.shape[:-2]
        for sample in range(lead[0] if lead else 1):
            yield (", " if sample else "") + ("[" if lead else "")
            for block, steps in enumerate(self.counts):
                size = steps * width * first.itemsize
                data = self.spool.part("output", block, sample * size, size)
                rows = np.frombuffer(data, first.dtype).reshape(steps, width)
                numbers = json_text(plain_list(rows, self.first.dtype))
                yield (", " if block else "") + numbers[1:-1]  # without this part's brackets
            yield "]" if lead else ""


def pieces(
    run: LongRun, view: View, chosen: str, progress: RunProgress, folder: Path | None
) -> Iterator[text.Piece]:
    """Yield the file of a run, computing it on the way.

    Args:
        run: what to run; samples `(N, T, I)` only to json, jsonl and npz.
        view: the units and steps to write.
        chosen: one of `text.FORMATS_OF_BLOCKS`.
        progress: is told how far the run is, and asked whether to stop.
        folder: where what must wait is kept; None is the system's own.

    Raises:
        UsageError: no such unit or step; before anything is yielded.
        LstmStepError: as `engine.run`, likewise.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        if chosen == "npz":
            fill(run, view, progress, file)
            file.seek(0)
            yield from iter(partial(file.read, CHUNK_BYTES), b"")
            return
        at = chosen_steps(view, run.steps)
        # Without a final state to tell, what follows the last chosen step need not run.
        progress.total = run.steps if at is None or chosen == "json" else int(at[-1])
        blocks = run.blocks(progress.total)
        begun = next(blocks)
        first = begun[1]
        view = widened(view, first)
        progress.assumptions, progress.engine = first.assumptions, first.engine
        every, spool = chain([begun], blocks), Spool(file)
        writing = _Writing(chosen, view, at, first, every, progress, spool)
        yield from writing.stepwise()
        if chosen == "json":
            yield from writing.json_end()


# ---- where streams wait


class Spool:
    """Several streams in one file: what comes early in a run and stands late in its answer.

    Args:
        file: an empty one, closed by whoever opened it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
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


# ---- an archive


def fill(run: LongRun, view: View, progress: RunProgress, stream: IO[bytes]) -> None:
    """Compute a run and write its archive.

    A run that is stopped leaves its first steps, or the samples that are done.

    Args:
        run: what to run.
        view: the units and steps to write.
        progress: is told how far the run is, and asked whether to stop.
        stream: an empty file in which any place can be written.

    Raises:
        UsageError: no such unit or step; before anything is written.
        LstmStepError: as `engine.run`, likewise.
    """
    at = chosen_steps(view, run.steps)
    # Without a final state to tell, what follows the last chosen step need not run.
    last = run.steps if at is None else int(at[-1])
    blocks = run.sample_blocks(last)
    begun = next(blocks)
    first = begun[-1]
    view = widened(view, first)
    progress.assumptions, progress.engine = first.assumptions, first.engine
    progress.total, progress.unit = (len(run.x), "samples") if run.lead else (last, "steps")
    count = run.steps if at is None else len(at)
    shapes = {
        name: (*run.lead, count, none.shape[-1])
        for name, none in text.npz_arrays(first, [], view).items()
    }
    archive, written = GrowingNpz(stream, shapes, first.dtype), 0
    for samples, before, trace in chain([begun], blocks):
        times = times_in(at, before, trace)
        for name, values in text.npz_arrays(trace, times, view).items():
            archive.append(name, values)
        progress.note_warnings(trace, before, samples)
        written += len(times)
        done = before + trace.steps
        if run.lead:
            done = samples + (len(trace.output) if done == last else 0)
        if not progress.goes_on(done):
            break
    archive.finish(progress.done if run.lead else written)


class _Member:
    """One array of the archive: its zip record, its header, and how much of it is written."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], start: int) -> None:
        self.shape, self.dtype = shape, dtype
        self.info = zipfile.ZipInfo(f"{name}.npy")
        self.place(start, shape[0])

    def place(self, start: int, count: int) -> None:
        """Let the member begin at `start` in the file and have `count` entries, still unwritten."""
        stream = io.BytesIO()
        described = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": described, "fortran_order": False, "shape": (count, *self.shape[1:])}
        np.lib.format.write_array_header_1_0(stream, header)
        self.header = stream.getvalue()
        self.written = 0
        self.info.CRC = zlib.crc32(self.header)
        self.info.header_offset = start
        self.info.file_size = self.info.compress_size = len(self.header) + count * self.entry
        self.data = start + len(self.record) + len(self.header)
        self.end = self.data + count * self.entry

    @property
    def entry(self) -> int:
        """The bytes of one entry of the first axis."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def record(self) -> bytes:
        """What a zip file has before a member; as long whatever the sizes are."""
        return self.info.FileHeader(zip64=True)


class GrowingNpz:
    """An npz archive whose members grow in turns, each at its own place in the file.

    A member that is not packed lies in a zip file as it is, so its place is known as soon as its
    shape is. Blocks of a run go straight there; what is written of all members is cut to one
    length when the run is stopped. Nothing waits elsewhere on disk.

    Args:
        stream: an empty file in which any place can be written; it is sparse until all is there.
        shapes: name -> shape; the first axis is what may end early, as long in all members.
        dtype: of all members.
    """

    def __init__(
        self, stream: IO[bytes], shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype[Any]
    ) -> None:
        self._stream = stream
        self._members: dict[str, _Member] = {}
        self._count = next(iter(shapes.values()))[0]
        end = 0
        for name, shape in shapes.items():
            self._members[name] = _Member(name, shape, dtype, end)
            end = self._members[name].end

    def append(self, name: str, values: np.ndarray[Any, Any]) -> None:
        """Write the next numbers of a member, in the order of its array."""
        self._write(self._members[name], values.tobytes())

    def finish(self, count: int) -> None:
        """Make the file an archive of the first `count` entries, which all members have."""
        if count < self._count:
            self._cut(count)
        members = list(self._members.values())
        for member in members:
            self._stream.seek(member.info.header_offset)
            self._stream.write(member.record + member.header)
        self._stream.truncate(members[-1].end)
        with zipfile.ZipFile(self._stream, "w") as archive:
            # Its table of contents is all that zipfile writes: of these members, and there.
            archive.infolist().extend(member.info for member in members)
            archive.start_dir = members[-1].end

    def _write(self, member: _Member, data: bytes) -> None:
        self._stream.seek(member.data + member.written)
        self._stream.write(data)
        member.written += len(data)
        member.info.CRC = zlib.crc32(data, member.info.CRC)

    def _cut(self, count: int) -> None:
        """Move all members together, each cut to `count` entries."""
        end = 0
        for member in self._members.values():
            old, length = member.data, count * member.entry
            member.place(end, count)
            end = member.end
            for offset in range(0, length, MOVED_BYTES):
                self._stream.seek(old + offset)
                self._write(member, self._stream.read(min(MOVED_BYTES, length - offset)))


# ---- the command


def write(
    given: Given, dtype: str, engine: str, view: View, chosen: str, output: str, *, strict: bool
) -> ExitCode:
    """Run in blocks and write each; what a stop leaves is a valid file of the steps done.

    Args:
        given: what is run.
        dtype, engine: as `engine.run` takes them.
        view, chosen, output: what is shown, in which format, where.
        strict: whether a run that left the finite range has failed.

    Returns:
        the exit code, which says whether somebody asked to stop, or a strict run failed.

    Raises:
        LstmStepError: as the engine, the choice of units and steps, and `write_out`.
    """
    run = LongRun(*given[:4], dtype=dtype, engine=engine)
    with Stopping() as stopping:
        progress = RunProgress(stop=lambda: stopping.asked)
        with _shown(progress, output):
            _write(run, view, chosen, output, progress)
    if chosen != "json":
        say_assumed(progress.assumptions, progress.engine)
    say_warned(progress.warnings)
    if progress.interrupted:
        place = "on stdout" if output == "-" else f"in {safe(output)}"
        done = f"{progress.unit} 1 to {progress.done:,}" if progress.done else f"no {progress.unit}"
        say(f"stopped: {done} of {progress.total:,} are done and {place}")
        return ExitCode.INTERRUPTED
    return ExitCode.CHECK_FAILED if strict and progress.warnings else ExitCode.DONE


def _write(run: LongRun, view: View, chosen: str, output: str, progress: RunProgress) -> None:
    """Write the answer: an archive at its places in the file, all else from start to end."""
    if chosen == "npz" and output != "-" and not is_device(Path(output)):
        with replacing(Path(output)) as stream:
            fill(run, view, progress, stream)
        return
    write_out(pieces(run, view, chosen, progress, _folder(output)), output)


def _folder(output: str) -> Path | None:
    """Return the folder in which there must be room for the file; None where it is no file."""
    path = Path(output)
    if output == "-" or (path.exists() and not path.is_file()):
        return None
    return path.resolve().parent


@contextmanager
def _shown(progress: RunProgress, output: str) -> Iterator[None]:
    """Show a bar on stderr, where that is a terminal and the answer goes elsewhere."""
    if not sys.stderr.isatty() or (output == "-" and sys.stdout.isatty()):
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        progress.tell = lambda: bar.update(
            task, completed=progress.done, total=progress.total, description=progress.unit
        )
        yield
