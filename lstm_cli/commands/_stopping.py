"""Ctrl-C, SIGTERM and SIGHUP: work in progress is cleaned up, or finished and written.

By default SIGTERM and SIGHUP end a process on the spot and leave its temporary files behind.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

# SIGHUP, sent when the terminal goes away, does not exist on every system.
ENDING = (signal.SIGTERM, *(each for each in signal.Signals if each.name == "SIGHUP"))


class Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived; whatever cleans up after Ctrl-C also cleans up after these.

    Python remembers a plain KeyboardInterrupt that propagates out of exec(), which dataclasses
    use, and under `-m` then dies of SIGINT whatever the exit code; a subclass is not remembered.
    """


class Stopping:
    """Tells whether a stop was requested during `with Stopping() as stopping:`.

    A second request raises KeyboardInterrupt at once, as usual. A signal that is ignored
    (`nohup`, a background job) stays ignored.

    Args:
        at_once: handle SIGTERM and SIGHUP only, and raise at the first request.
    """

    # Per command, for `exit_code`: the last signal received, and whether it was acted on.
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
        if threading.current_thread() is threading.main_thread():  # only it may handle signals
            for each in self._signals:
                if signal.getsignal(each) is not signal.SIG_IGN:
                    self._before[each] = signal.signal(each, self._hear)
        return self

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if Stopping.ended:
            return  # repeated: do not interrupt the cleanup
        Stopping.last = number
        if self.asked or self._at_once:
            Stopping.ended = number in ENDING
            raise Ended if number in ENDING else KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)


def exit_code(code: int) -> int:
    """Return the exit code of a command, or 128 plus the signal that stopped it.

    Any other failure after SIGTERM or SIGHUP, such as a stderr that went away with its terminal,
    is a consequence of the signal.
    """
    stopped = Stopping.ended or (code and Stopping.last in ENDING)
    return 128 + Stopping.last if stopped else code
