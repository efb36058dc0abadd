"""Ctrl-C, SIGTERM and SIGHUP: what is under way is cleaned up, or written to its end.

By themselves SIGTERM and SIGHUP end a process on the spot, and leave its temporary files behind.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

# SIGHUP, for a terminal that is gone, is not on every system.
ENDING = (signal.SIGTERM, *(each for each in signal.Signals if each.name == "SIGHUP"))


class Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP was heard; all that cleans up after Ctrl-C does so after these.

    A plain KeyboardInterrupt that leaves an exec(), as dataclasses use, is remembered by Python,
    which under `-m` then ends by SIGINT whatever exit code it is told; one of another class is not.
    """


class Stopping:
    """Whether somebody asked to stop, while `with Stopping() as stopping:` lasts.

    The second time is not waited for: it is a KeyboardInterrupt, as usual. A signal that is
    ignored (`nohup`, a background job) stays ignored.

    Args:
        at_once: hear SIGTERM and SIGHUP only, and do not wait for the second time.
    """

    # Of the command, for `exit_code`: which signal was heard last, and whether it was obeyed.
    last: int = signal.SIGINT
    ended = False

    def __init__(self, *, at_once: bool = False) -> None:
        self.asked = False
        self._at_once = at_once
        self._signals = ENDING if at_once else (signal.SIGINT, *ENDING)
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stopping:
        if self._at_once:
            Stopping.last, Stopping.ended = signal.SIGINT, False
        if threading.current_thread() is threading.main_thread():  # no other may hear signals
            for each in self._signals:
                if signal.getsignal(each) is not signal.SIG_IGN:
                    self._before[each] = signal.signal(each, self._hear)
        return self

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if Stopping.ended:
            return  # once more: what is being cleaned up is not to be interrupted
        Stopping.last = number
        if self.asked or self._at_once:
            Stopping.ended = number in ENDING
            raise Ended if number in ENDING else KeyboardInterrupt
        self.asked = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)


def exit_code(code: int) -> int:
    """Return the exit code of a command; of one that a signal stopped, 128 and the signal.

    Whatever else went wrong after SIGTERM or SIGHUP, such as a stderr that has gone with its
    terminal, came of it.
    """
    stopped = Stopping.ended or (code and Stopping.last in ENDING)
    return 128 + Stopping.last if stopped else code
