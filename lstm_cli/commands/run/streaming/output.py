"""A long run as text or bytes, as it goes: the same as the whole run's, format by format.

Steps stand in a file by layer, then in time, but come in blocks of all layers. The first layer
goes straight out; what stands behind it waits on disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
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
        with_output: whether what the run puts out is told behind its steps.
    """

    view: View
    at: Array | None
    first: Trace
    blocks: Iterable[tuple[int, Trace]]
    progress: RunProgress
    spool: Spool
    version: str
    with_output: bool
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
        writing = _Writing(
            view, at, first, chain([begun], blocks), progress, spool, version, chosen == "json"
        )
        counts: list[int] = []
        yield from _stepwise(writing, text.STEPWISE[chosen], counts)
        if chosen == "json":
            yield from _json_end(writing, counts)


def _stepwise(writing: _Writing, form: text.StepFormat, counts: list[int]) -> Iterator[Piece]:
    """Yield the file up to its last step, the first layer's at once and the others' behind it.

    Args:
        writing: its spool takes the steps of the other layers, and `output`.
        form: how a step is written.
        counts: is filled with the steps of each block.
    """
    view, started = writing.view, set[int]()
    yield form.head(writing.first, view, writing.version)
    for before, trace, times in writing.parts():
        for place, each in enumerate(shown_layers(trace, view)):
            made = form.separator.join(form.steps(each, times, view, trace.dtype, before))
            if made and place in started:
                made = form.separator + made
            if made:
                started.add(place)
            if place:
                writing.spool.append(f"layer {place}", made.encode())
            else:
                yield made
        if writing.with_output:
            writing.spool.append("output", trace.output.tobytes())
        counts.append(trace.steps)
    for place in range(1, len(shown_layers(writing.first, view))):
        if place in started:
            yield form.separator
        yield from writing.spool.read(f"layer {place}")


def _json_end(writing: _Writing, counts: list[int]) -> Iterator[Piece]:
    """Yield what follows the steps; a run that was stopped has `"interrupted": true`."""
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


FORMATS = (*text.STEPWISE, "npz")
