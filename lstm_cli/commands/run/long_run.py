"""One long run as many short ones, each from the states in which the one before ended."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError
from lstm_cli.base.records import record
from lstm_cli.cell.weights import Model
from lstm_cli.commands._inputs import Given
from lstm_cli.engine.choice import (
    FAST,
    SECONDS_A_STEP,
    SECONDS_A_UNIT,
    SECONDS_TO_COMPILE,
    SMALL,
    choose_engine,
    numba_available,
)
from lstm_cli.engine.run import MAX_TRACE_BYTES, Trace, initial_states, run, trace_bytes

# A run whose values take more is not kept: as Python's numbers and text they take ten times that.
LONG_BYTES = 32 * 2**20
# So many bytes of values at a time: enough that a block's own cost is nothing beside its steps',
# few enough that Ctrl-C is answered in a second or so.
BLOCK_BYTES = 4 * 2**20
# So many samples of a mapped file are looked at in one go.
FEW = 16


@record
class LongRun:
    """What a run is given; nothing is computed yet.

    Attributes:
        model: its layers all run forward.
        x: the input `(T, I)`, or `(N, T, I)` of samples; it may be a file mapped into memory, or
            one row repeated by a view.
        h, c: the states before the first step, as `engine.run` takes them.
        dtype, engine: as `engine.run` takes them.
    """

    model: Model
    x: Array
    h: Array | Sequence[Any] | None = None
    c: Array | Sequence[Any] | None = None
    dtype: str = "float64"
    engine: str = "auto"

    @property
    def steps(self) -> int:
        """T."""
        return int(self.x.shape[-2])

    @property
    def lead(self) -> tuple[int, ...]:
        """`(N,)` where there are samples, else nothing."""
        return tuple(self.x.shape[:-2])

    def blocks(self, last: int = 0) -> Iterator[tuple[int, Trace]]:
        """Yield (how many steps went before, the trace of the next few steps of all samples).

        All blocks run on one engine. The table gives the numbers of a whole run, to the bit; the
        fast ones round in an order that may depend on the length of a block.

        Args:
            last: the step to end with; 0 is the last.

        Raises:
            LstmStepError: as `engine.run`, before the first block.
        """
        h, c = self.h, self.c
        end = last or self.steps
        size = max(1, BLOCK_BYTES // max(1, trace_bytes(self.model, (*self.lead, 1))))
        engine = self._engine(size * math.prod(self.lead))
        for begin in range(0, end, size):
            rows = self._rows(begin, min(begin + size, end))
            trace = run(self.model, rows, h, c, dtype=self.dtype, engine=engine)
            yield begin, trace
            # Copies: a view would keep the whole block.
            h, c = ([np.array(each.final(state)) for each in trace.layers] for state in "hc")
            engine = trace.engine

    def sample_blocks(self, last: int) -> Iterator[tuple[int, int, Trace]]:
        """Yield (how many samples went before, how many steps of theirs, the trace of the next).

        A trace has all steps of a few samples, or the next steps of one that is long: they come in
        the order in which they stand in an array `(N, T, n)`, or `(T, n)` of a single one.
        Otherwise as `blocks`.
        """
        if not self.lead:
            yield from ((0, before, trace) for before, trace in self.blocks(last))
            return
        size = max(1, BLOCK_BYTES // trace_bytes(self.model, (last,)))
        engine = self._engine(min(size, len(self.x)) * last)
        states = {
            state: given if given is None else initial_states(self.model, state, given, self.lead)
            for state, given in (("h", self.h), ("c", self.c))
        }
        for begin in range(0, len(self.x), size):
            place = slice(begin, begin + size)
            h, c = (given and [each[place] for each in given] for given in states.values())
            some = LongRun(self.model, self.x[place], h, c, self.dtype, engine)
            for before, trace in some.blocks(last):
                yield begin, before, trace
                engine = trace.engine

    def _rows(self, begin: int, end: int) -> Array:
        """Return some steps of x; of a mapped file a copy, so that its pages can be given back.

        A system may map a lot around what is looked at, so samples are looked at a few at a time.
        """
        if not isinstance(self.x, np.memmap):
            return self.x[..., begin:end, :]
        from lstm_cli.files.safe import let_go  # only here: each start imports this file

        rows = np.empty((*self.lead, end - begin, self.x.shape[-1]), self.x.dtype)
        parts = [slice(k, k + FEW) for k in range(0, len(rows), FEW)] if self.lead else [...]
        for part in parts:
            rows[part] = self.x[part][..., begin:end, :]
            let_go(self.x)
        return rows

    def _engine(self, size: int) -> str:
        """Return the first block's engine: alone, a block may seem too short for a fast one.

        Args:
            size: the steps of a block, of all its samples together.
        """
        units = sum(weights.hidden_size for _, _, weights in self.model.runs)
        samples = math.prod(self.lead)
        chosen = choose_engine(self.engine, units * self.steps * samples, self.dtype)
        if chosen != FAST:
            return chosen
        seconds = self.steps * (SECONDS_A_STEP + SECONDS_A_UNIT * units * samples)
        if seconds > SECONDS_TO_COMPILE and numba_available():
            return "numba"
        return FAST if units * size > SMALL else "numpy"


def runs_forward(model: Model) -> bool:
    """Return whether a run needs no more of the past than its states, and can go in blocks."""
    return all(direction == "forward" for _, direction, _ in model.runs)


def is_written_as_it_goes(given: Given, chosen: str) -> bool:
    """Return whether a run is long, and its format one that needs no whole run.

    Raises:
        InputError: the run must be kept whole, and would not fit: says why, and what would.
    """
    size = trace_bytes(given.model, given.x.shape[:-1])
    masked = given.masks or given.model.mask[:2] != (None, ())
    if size <= LONG_BYTES or masked:
        return False
    from lstm_cli.commands.run.text import FORMATS_OF_BLOCKS

    forward = runs_forward(given.model)
    if chosen in FORMATS_OF_BLOCKS and forward:
        return True
    if size <= MAX_TRACE_BYTES:
        return False
    if not forward:
        reason = "a backward direction starts at the last step"
        hint = "run fewer steps, or --direction forward where a layer has both"
    else:
        reason = f"{chosen} shows a whole run"
        hint = f"-f {', '.join(FORMATS_OF_BLOCKS)} are written as the run goes"
    raise InputError(
        f"{reason}, and this one takes {size / 2**30:.0f} GiB; the limit is "
        f"{MAX_TRACE_BYTES // 2**30} GiB",
        where=f"{' × '.join(f'{axis:,}' for axis in given.x.shape[:-1])} steps",
        hint=hint,
    )
