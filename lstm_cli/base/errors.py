"""What can go wrong, said in three lines: what, where, and what to try.

The bottom floor: every other file may import this one, and it imports nothing of ours, so that
raising an error can never start an import loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum


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


# Controls, C1, bidirectional and zero-width marks, surrogates: what could move a cursor, hide
# text or break a decoder when a file name or a key from a file reaches a terminal.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)


def safe(text: object) -> str:
    """Return foreign text with every character that could steer a terminal shown as an escape."""
    return _UNSAFE.sub(_escape, str(text))


def _escape(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


def shell_word(text: object, *, file: bool = False) -> str:
    """Return foreign text as one word of a command to paste: no shell finds more in it.

    What would steer the terminal stands as octal bytes in $'…', which bash and zsh turn back.

    Args:
        text: an option's value, or a file's name.
        file: whether it is the name of a file, which must not look like an option.
    """
    import shlex  # only where a command is proposed: a start should not pay for it

    word = str(text)
    if file and word.startswith("-") and word != "-":
        word = f"./{word}"
    if not _UNSAFE.search(word):
        return shlex.quote(word)
    return "$'" + "".join(map(_in_octal, word)) + "'"


def _in_octal(letter: str) -> str:
    if letter not in "\\'" and not _UNSAFE.match(letter):
        return letter
    # A byte that is no UTF-8, in a file's name, comes from Python as one of these.
    byte = "\udc80" <= letter <= "\udcff"
    data = letter.encode(errors="surrogateescape" if byte else "surrogatepass")
    return "".join(f"\\{each:03o}" for each in data)


def indented(text: str) -> str:
    """Return safe text whose further lines stand under its first, so that a caret points right."""
    return "\n       ".join(safe(line) for line in text.split("\n"))


# What Markdown, or the HTML inside it, would take for its own.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~&$#!])")


def markdown(text: object) -> str:
    """Return foreign text that means nothing to Markdown, in a sentence or a cell of a table."""
    return _MARKDOWN.sub(r"\\\1", safe(text))


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
