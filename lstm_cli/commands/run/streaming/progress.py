"""How far a long run is, and which of its steps and units are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_cli.base.address import choose
from lstm_cli.base.arrays import Array
from lstm_cli.engine.run import Trace
from lstm_cli.show.rows import View


@dataclass
class RunProgress:
    """How far a run is; its driver looks at it, and may ask it to stop.

    Attributes:
        total: the steps to run, or the samples.
        done: those that are run and written.
        unit: what is counted: "steps" or "samples".
        assumptions: what had to be assumed, once the run has begun.
        stop: asked after each block; True ends the run there, with a valid file.
        tell: called after each block.
    """

    total: int = 0
    done: int = 0
    unit: str = "steps"
    assumptions: Sequence[str] = ()
    stop: Callable[[], bool] = lambda: False
    tell: Callable[[], None] = lambda: None

    @property
    def interrupted(self) -> bool:
        """Whether the run ended before its last step."""
        return self.done < self.total

    def goes_on(self, done: int) -> bool:
        """Note how far the run is; return whether it is to go on."""
        self.done = done
        self.tell()
        return not self.stop()


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
