"""A long run as text or bytes, as it goes: the same as the whole run's, format by format.

Steps stand in a file by layer, then in time, but come in blocks of all layers. The first layer
goes straight out; what stands behind it waits on disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.commands.run import text
from lstm_cli.commands.run.streaming import npz
from lstm_cli.commands.run.streaming.blocks import LongRun
from lstm_cli.commands.run.streaming.progress import RunProgress, chosen_steps, times_in
from lstm_cli.commands.run.streaming.spool import Spool
from lstm_cli.engine.run import Trace
from lstm_cli.files.output import json_text, plain_list
from lstm_cli.show.rows import View, shown_layers, widened

Piece = str | bytes
# So much of an archive goes out at a time.
CHUNK_BYTES = 2**20


@dataclass
class _Writing:
    """A long run on its way out.

    Attributes:
        view: with its `widest`.
        at: the chosen steps in order; None is all.
        blocks: (steps before, trace), the first of which `first` has seen.
        first: the trace of the first block, for what is said of the whole run.
        spool: where streams wait.
    """

    view: View
    at: Array | None
    first: Trace
    blocks: Iterable[tuple[int, Trace]]
    progress: RunProgress
    spool: Spool
    version: str
    states: Trace = field(init=False)

    def parts(self) -> Iterator[tuple[int, Trace, list[int]]]:
        """Yield (steps before, trace, chosen times in it) until the run ends or is stopped."""
        for before, trace in self.blocks:
            yield before, trace, times_in(self.at, before, trace)
            self.states = trace
            if not self.progress.goes_on(before + trace.steps):
                return


def pieces(
    run: LongRun, view: View, chosen: str, version: str, progress: RunProgress, folder: Path | None
) -> Iterator[Piece]:
    """Yield the file of a run, computing it on the way.

    Args:
        run: what to run; samples `(N, T, I)` only to json, jsonl and npz.
        view: the units and steps to write.
        chosen: one of `FORMATS`.
        version: of the program, for the file.
        progress: is told how far the run is, and asked whether to stop.
        folder: where what must wait is kept; None is the system's own.

    Raises:
        UsageError: no such unit or step; before anything is yielded.
        LstmStepError: as `engine.run`, likewise.
    """
    if chosen == "npz":
        with tempfile.TemporaryFile(dir=folder) as stream:
            npz.fill(run, view, progress, stream)
            stream.seek(0)
            yield from iter(partial(stream.read, CHUNK_BYTES), b"")
        return
    at = chosen_steps(view, run.steps)
    # Without a final state to tell, what follows the last chosen step need not run.
    progress.total = run.steps if at is None or chosen == "json" else int(at[-1])
    blocks = run.blocks(progress.total)
    begun = next(blocks)
    first = begun[1]
    view, progress.assumptions = widened(view, first), first.assumptions
    with Spool(folder) as spool:
        yield from _TEXTS[chosen](
            _Writing(view, at, first, chain([begun], blocks), progress, spool, version)
        )


def _lines(writing: _Writing, head: str, lines: text.Lines) -> Iterator[Piece]:
    """Yield lines of steps, the first layer's at once and the others' behind it."""
    yield head
    for before, trace, times in writing.parts():
        for place, each in enumerate(shown_layers(trace, writing.view)):
            made = "".join(lines(each, times, writing.view, trace.dtype, before))
            if place:
                writing.spool.append(f"layer {place}", made.encode())
            else:
                yield made
    for place in range(1, len(shown_layers(writing.first, writing.view))):
        yield from writing.spool.read(f"layer {place}")


def _plain(writing: _Writing) -> Iterator[Piece]:
    return _lines(writing, text.plain_head(writing.view), text.plain_lines)


def _csv(writing: _Writing) -> Iterator[Piece]:
    return _lines(writing, text.CSV_HEAD, text.csv_lines)


def _jsonl(writing: _Writing) -> Iterator[Piece]:
    return _lines(writing, "", text.jsonl_lines)


def _json(writing: _Writing) -> Iterator[Piece]:
    """Yield the document of `run --json`; a run that was stopped has `"interrupted": true`."""
    separator = text.STEP_SEPARATOR
    yield text.json_head(writing.first, writing.view, writing.version)
    started = set[int]()
    counts: list[int] = []

    def joined(place: int, records: Iterable[str]) -> str:
        """Return records with a separator before each that is not its layer's first."""
        made = "".join(separator + record for record in records)
        if made and place not in started:
            started.add(place)
            made = made[len(separator) :]
        return made

    for before, trace, times in writing.parts():
        for place, each in enumerate(shown_layers(trace, writing.view)):
            records = text.json_steps(each, times, writing.view, trace.dtype, before)
            made = joined(place, records)
            if place:
                writing.spool.append(f"layer {place}", made.encode())
            else:
                yield made
        writing.spool.append("output", trace.output.tobytes())
        counts.append(trace.steps)
    for place in range(1, len(shown_layers(writing.first, writing.view))):
        if place in started:
            yield separator
        yield from writing.spool.read(f"layer {place}")
    yield '\n ],\n "output": ['
    yield from _output(writing, counts)
    yield "],\n " + text.json_states(writing.states)
    yield ',\n "interrupted": true' if writing.progress.interrupted else ""
    yield "\n}\n"


def _output(writing: _Writing, counts: list[int]) -> Iterator[str]:
    """Yield the numbers of `output`: in time, and where there are samples one by one.

    Args:
        writing: its spool has the output of each block, `(…, T, D·P)`.
        counts: the steps of each block.
    """
    first = writing.first.output
    width, lead = first.shape[-1], first.shape[:-2]
    for sample in range(lead[0] if lead else 1):
        yield (", " if sample else "") + ("[" if lead else "")
        for block, steps in enumerate(counts):
            size = steps * width * first.itemsize
            data = writing.spool.part("output", block, sample * size, size)
            rows = np.frombuffer(data, first.dtype).reshape(steps, width)
            numbers = json_text(plain_list(rows, writing.first.dtype))
            yield (", " if block else "") + numbers[1:-1]  # without the brackets of this part
        yield "]" if lead else ""


_TEXTS: dict[str, Callable[[_Writing], Iterator[Piece]]] = {
    "plain": _plain,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
}
FORMATS = (*_TEXTS, "npz")
