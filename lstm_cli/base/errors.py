"""What can go wrong, said in three lines: what, where, and what to try.

The bottom floor: every other file may import this one, and it imports only the escapers, so that
raising an error can never start an import loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from lstm_cli.base.foreign import safe as safe  # whoever raises an error writes it with this


class ExitCode(IntEnum):
    """What the process answers to the shell (clig.dev and jq are the models)."""

    DONE = 0
    CHECK_FAILED = 1
    USAGE = 2
    INPUT = 3
    SOME_SAMPLES_FAILED = 4
    CANNOT_WRITE = 5
    BUG = 70
    INTERRUPTED = 130  # Ctrl-C; SIGTERM is 143, SIGHUP 129: 128 and the signal


class LstmStepError(Exception):
    """An error a user can act on.

    Args:
        what: the fault, with both sides where two things disagree.
        where: file, key, line; may be several lines, the last with a caret under the token.
        hint: what to try next; never empty.
    """

    code = "error"
    exit_code = ExitCode.INPUT

    def __init__(self, what: str, *, where: str = "", hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"\nwhere: {self.where}" if self.where else ""
        return f"{self.what}{place}\ntry:   {self.hint}"

    def within(self, place: str) -> LstmStepError:
        """Return the same error with `place` (a file, a sample) put before its own `where`."""
        where = f"{place}, {self.where}" if self.where else place
        return type(self)(self.what, where=where, hint=self.hint)

    def as_record(self) -> dict[str, str]:
        """Return the JSON form: `{"code", "message", "where", "try"}`."""
        return {"code": self.code, "message": self.what, "where": self.where, "try": self.hint}


class UsageError(LstmStepError):
    """The command line contradicts itself or asks for something that does not exist."""

    code = "usage"
    exit_code = ExitCode.USAGE


class InputError(LstmStepError):
    """Something given cannot be read: text, a file, a sample."""

    code = "unreadable_input"


class ShapeError(LstmStepError):
    """Two shapes disagree; the message names both."""

    code = "shape_mismatch"


class CellError(LstmStepError):
    """A cell's table of equations is not in the grammar, or names what does not exist."""

    code = "bad_cell"


class OutputError(LstmStepError):
    """The answer is known but cannot be written."""

    code = "cannot_write"
    exit_code = ExitCode.CANNOT_WRITE


def imported(module: str, what: str, extra: str, where: str) -> Any:
    """Return a module of a package that an extra of ours brings.

    Raises:
        InputError: it is not installed, which `what` says.
    """
    from importlib import import_module  # as below

    try:
        return import_module(module)
    except ImportError:
        raise InputError(what, where=where, hint=f"pip install 'lstm-cli[{extra}]'") from None


def suggest(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" or the list of what there is."""
    import difflib  # only when something went wrong: a start should not pay for it

    names = list(known)
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    if close:
        return f"did you mean '{safe(by_lower[close[0]])}'?"
    return "one of: " + ", ".join(safe(name) for name in names) if names else "there is none"


def caret(text: str, start: int, length: int = 1, *, width: int = 68) -> str:
    """Return `text` with a line under it that points at `text[start : start + length]`.

    Long text is shown as the part around the token, so that the caret stays under it.
    """
    length = max(1, min(length, width))
    left = max(0, start - width + length + 8) if start + length > width else 0
    shown = text[left : left + width].replace("\n", " ").replace("\t", " ")
    before, token = safe(shown[: start - left]), safe(shown[start - left : start - left + length])
    rest = safe(shown[start - left + length :])
    lead, tail = ("… " if left else ""), (" …" if left + width < len(text) else "")
    under = " " * _columns(lead + before) + "^" * max(1, _columns(token))
    return f"{lead}{before}{token}{rest}{tail}\n{under}"


def _columns(text: str) -> int:
    """Width of a text in terminal columns: wide characters take two, accents none."""
    import unicodedata  # as above

    return sum(
        0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF")
        for each in text
    )
