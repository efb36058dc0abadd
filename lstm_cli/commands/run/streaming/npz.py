"""A long run as an npz archive: each symbol `(T, n)`, or `(N, T, n)` of samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import IO

from lstm_cli.commands.run import text
from lstm_cli.commands.run.streaming.archive import GrowingNpz
from lstm_cli.commands.run.streaming.blocks import LongRun
from lstm_cli.commands.run.streaming.progress import RunProgress, chosen_steps, times_in
from lstm_cli.engine.run import Trace
from lstm_cli.show.rows import View, widened


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
    blocks = _blocks(run, last)
    begun = next(blocks)
    first = begun[-1]
    view, progress.assumptions = widened(view, first), first.assumptions
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
        written += len(times)
        done = before + trace.steps
        if run.lead:
            done = samples + (len(trace.output) if done == last else 0)
        if not progress.goes_on(done):
            break
    archive.finish(progress.done if run.lead else written)


def _blocks(run: LongRun, last: int) -> Iterator[tuple[int, int, Trace]]:
    """Yield (samples before, steps before, trace) in the order of the archive's arrays."""
    if run.lead:
        yield from run.sample_blocks(last)
    else:
        for before, trace in run.blocks(last):
            yield 0, before, trace
