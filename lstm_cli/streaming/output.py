"""A long run as text or bytes, as it goes: the same as the whole run's, format by format.

Steps stand in a file by layer, then in time, but come in blocks of all layers. The first layer
goes straight out; what stands behind it waits on disk.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lstm_cli.engine import Trace
from lstm_cli.equations import Array
from lstm_cli.render import text
from lstm_cli.render.rows import View, choose, chosen_units
from lstm_cli.streaming.blocks import LongRun
from lstm_cli.streaming.spool import Spool
from lstm_cli.writers import json_text, plain_list

Piece = str | bytes


@dataclass
class Progress:
    """How far a run is; its driver looks at it, and may ask it to stop.

    Attributes:
        total: the steps to run.
        done: those that are run and written.
        assumptions: what had to be assumed, once the run has begun.
        stop: asked before each block; True ends the run there, with a valid file.
        tell: called after each block.
    """

    total: int = 0
    done: int = 0
    assumptions: Sequence[str] = ()
    stop: Callable[[], bool] = lambda: False
    tell: Callable[[], None] = lambda: None

    @property
    def interrupted(self) -> bool:
        """Whether the run ended before its last step."""
        return self.done < self.total


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
    progress: Progress
    spool: Spool
    version: str
    states: Trace = field(init=False)

    def parts(self) -> Iterator[tuple[int, Trace, list[int]]]:
        """Yield (steps before, trace, chosen times in it) until the run ends or is stopped."""
        for before, trace in self.blocks:
            yield before, trace, self._times(before, trace)
            self.states = trace
            self.progress.done = before + trace.steps
            self.progress.tell()
            if self.progress.stop():
                return

    def _times(self, before: int, trace: Trace) -> list[int]:
        """Return the chosen times in a block, counted from its own start."""
        if self.at is None:
            return list(range(1, trace.steps + 1))
        inside = self.at[(self.at > before) & (self.at <= before + trace.steps)]
        return [int(t) - before for t in inside]


def pieces(
    run: LongRun, view: View, chosen: str, version: str, progress: Progress, folder: Path | None
) -> Iterator[Piece]:
    """Yield the file of a run, computing it on the way.

    Args:
        run: what to run.
        view: the units and steps to write.
        chosen: a key of `FORMATS`.
        version: of the program, for the file.
        progress: is told how far the run is, and asked whether to stop.
        folder: where what must wait is kept; None is the system's own.

    Raises:
        UsageError: no such unit or step; before anything is yielded.
        LstmStepError: as `engine.run`, likewise.
    """
    at = _chosen_steps(view, run.steps)
    # Without a final state to tell, what follows the last chosen step need not run.
    progress.total = run.steps if at is None or chosen == "json" else int(at[-1])
    blocks = run.blocks(progress.total)
    begun = next(blocks)
    progress.assumptions = begun[1].assumptions
    widest = max(v.shape[-1] for each in begun[1].layers for v in each.values.values())
    view = replace(view, widest=int(widest))
    chosen_units(view, view.widest)
    with Spool(folder) as spool:
        writing = _Writing(view, at, begun[1], _chain(begun, blocks), progress, spool, version)
        yield from FORMATS[chosen](writing)


def _chain(
    first: tuple[int, Trace], rest: Iterator[tuple[int, Trace]]
) -> Iterator[tuple[int, Trace]]:
    yield first
    yield from rest


def _chosen_steps(view: View, steps: int) -> Array | None:
    """Return the steps that `--at` leaves, in order; None where that is all."""
    if view.at in ("", "all"):
        return None
    return np.unique(np.array(choose(view.at, steps, "--at", first=1)))


def _lines(writing: _Writing, head: str, lines: text.Lines) -> Iterator[Piece]:
    """Yield lines of steps, the first layer's at once and the others' behind it."""
    yield head
    for before, trace, times in writing.parts():
        for place, each in enumerate(trace.layers):
            made = "".join(lines(each, times, writing.view, trace.dtype, before))
            if place:
                writing.spool.append(f"layer {place}", made.encode())
            else:
                yield made
    for place in range(1, len(writing.first.layers)):
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
    started = set[str]()

    def joined(stream: str, records: Iterable[str], between: str) -> str:
        """Return records with `between` before each that is not the stream's first."""
        made = "".join(between + record for record in records)
        if made and stream not in started:
            started.add(stream)
            made = made[len(between) :]
        return made

    for before, trace, times in writing.parts():
        for place, each in enumerate(trace.layers):
            records = text.json_steps(each, times, writing.view, trace.dtype, before)
            if place:
                writing.spool.append(
                    f"layer {place}", joined(f"{place}", records, separator).encode()
                )
            else:
                yield joined("0", records, separator)
        rows = (json_text(row) for row in plain_list(trace.output, trace.dtype))
        writing.spool.append("output", joined("output", rows, ", ").encode())
    for place in range(1, len(writing.first.layers)):
        if str(place) in started:
            yield separator
        yield from writing.spool.read(f"layer {place}")
    yield '\n ],\n "output": ['
    yield from writing.spool.read("output")
    yield "],\n " + text.json_states(writing.states)
    yield ',\n "interrupted": true' if writing.progress.interrupted else ""
    yield "\n}\n"


def _npz(writing: _Writing) -> Iterator[Piece]:
    """Yield an archive of each symbol `(T, n)`; symbols wait on disk until T is known."""
    count, widths = 0, dict[str, int]()
    for _, trace, times in writing.parts():
        for name, values in text.npz_arrays(trace, times, writing.view).items():
            widths[name] = values.shape[-1]
            writing.spool.append(name, values.tobytes())
        count += len(times)
    out = _Sink()
    with zipfile.ZipFile(out, "w") as archive:
        for name, width in widths.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(
                    member, _header((count, width), writing.first.dtype)
                )
                for data in writing.spool.read(name):
                    member.write(data)
                    yield out.take()
    yield out.take()


def _header(shape: tuple[int, ...], dtype: np.dtype) -> dict[str, object]:
    described = np.lib.format.dtype_to_descr(dtype)
    return {"descr": described, "fortran_order": False, "shape": shape}


class _Sink(io.RawIOBase):
    """What a zip archive is written into: it is taken out again as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override] # any buffer
        self._taken += data
        return len(data)

    def take(self) -> bytes:
        taken, self._taken = bytes(self._taken), bytearray()
        return taken


FORMATS: dict[str, Callable[[_Writing], Iterator[Piece]]] = {
    "plain": _plain,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "npz": _npz,
}
