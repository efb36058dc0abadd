"""What can go wrong, said in three lines: what, where, and what to try.

The bottom floor: every other file may import this one, and it imports only the escapers, so that
raising an error can never start an import loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, NamedTuple

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


class ErrorLines(NamedTuple):
    """An error as the command line says it, in options."""

    what: str
    where: str
    hint: str


class LstmStepError(Exception):
    """An error a user can act on.

    It is written once, in options (`--x has 3 numbers`), as `lines` and `as_record` have it for the
    command line. In Python it speaks of arguments (`x has 3 numbers`): `str`, `what`, `where`,
    `hint`.

    Args:
        what: the fault, with both sides where two things disagree.
        where: file, key, line; may be several lines, the last with a caret under the token.
        hint: what to try next; never empty.
    """

    code = "error"
    exit_code = ExitCode.INPUT

    def __init__(self, what: str, *, where: str = "", hint: str) -> None:
        super().__init__(what)
        self.lines = ErrorLines(what, where, hint)

    @property
    def what(self) -> str:
        """The fault, in arguments."""
        return in_arguments(self.lines.what)

    @property
    def where(self) -> str:
        """Where it is, in arguments; a line with a caret under it stays as it was given."""
        first, *shown = self.lines.where.split("\n", 1)
        return "\n".join([re.sub(r"^lstm-step (\w+)$", r"\1()", in_arguments(first)), *shown])

    @property
    def hint(self) -> str:
        """What to try, in arguments; a whole command line to paste stays one."""
        return in_arguments(self.lines.hint)

    def __str__(self) -> str:
        place = f"\nwhere: {self.where}" if self.where else ""
        return f"{self.what}{place}\ntry:   {self.hint}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.what!r})"

    def within(self, place: str) -> LstmStepError:
        """Return the same error with `place` (a file, a sample) put before its own `where`."""
        what, where, hint = self.lines
        return type(self)(what, where=f"{place}, {where}" if where else place, hint=hint)

    def as_record(self) -> dict[str, str]:
        """Return the command line's JSON form: `{"code", "message", "where", "try"}`."""
        what, where, hint = self.lines
        return {"code": self.code, "message": what, "where": where, "try": hint}


# A command line to paste, or an option and its value, which is the word after it, quoted or not.
# A word of letters alone goes on with the sentence (`--x has`), except after what takes a name.
_OPTION = (  # compiled when there is an error to say: a start should not pay for it
    r"(?P<command>`lstm-step [^`]*`|lstm-step [^\n]*)"
    r"|(?<!\S)-(?:f |o (?P<file>[A-Z]+|\w+\.))(?P<kind>\w*)"
    r"|(?<![\w-])--(?P<name>[a-z]+(?:-[a-z]+)*)(?![\w-])"
    r"(?P<rest> (?!--)(?P<value>(?:'[^']*'|\"[^\"]*\"|[,.:](?=\S)|[^\s,.:;()'\"`])+))?"
)
_TAKE_NAMES = ("activations", "at", "cell", "convention", "direction", "dtype", "engine", "layer",
               "lstm", "picture", "preset", "theme", "to", "unit")  # fmt: skip
_NO_NAMES = ("and", "are", "chooses", "for", "has", "holds", "is", "or", "selects", "to", "where")
_PLAIN_VALUE = r"-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?|[A-Z]+|…"
# Options whose arguments have other names.
_ARGUMENTS = {
    "allow-external-data": "external=True",
    "allow-nonfinite": "allow_nonfinite=True",
    "force": "force=True",
    "sample": "x[{}]",
    "expect": "claims={{{}}}",
    "format": "kind",
    "output": "kind",
}


def in_arguments(text: str) -> str:
    """Return a message of the command line as Python says it: `--cell-clip 3` as `cell_clip=3`."""
    return re.sub(_OPTION, _as_argument, text) if "-" in text else text


def _as_argument(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"]
    if name is None:
        told = f"kind='{match['kind']}'" if match["kind"] else "target" if match["file"] else ""
        return told or match[0]
    form = _ARGUMENTS.get(name, name.replace("-", "_"))
    goes_on = value and re.fullmatch("[a-z]+", value) and (
        name not in _TAKE_NAMES or value in _NO_NAMES
    )  # fmt: skip
    if value is None or goes_on or form.endswith("True"):
        return form.split("{")[0].rstrip("[=") + (match["rest"] or "")
    if "{" in form:
        return form.format(re.sub("(.*)=(.*)", r"'\1': [\2]", value).replace(",", ", "))
    plain = value[0] in "'\"$" or re.fullmatch(_PLAIN_VALUE, value)
    return f"{form}={value}" if plain else f"{form}='{value}'"


def record_in_arguments(record: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON record of the command line with its error and remarks in arguments."""
    said: dict[str, Any] = {}
    if "error" in record:
        said["error"] = {key: in_arguments(text) for key, text in record["error"].items()}
    for key in {"open", "assumptions"} & record.keys():
        said[key] = [in_arguments(text) for text in record[key]]
    return record | said


class UsageError(LstmStepError):
    """The command line contradicts itself or asks for something that does not exist."""

    code = "usage"
    exit_code = ExitCode.USAGE


class ArgumentError(UsageError, TypeError):
    """A function was given a thing of another kind than it takes."""


def kind_of(given: object) -> str:
    """The class of an argument with its article, as a reader of Python names it."""
    if given is None:
        return "None"
    kind = type(given)
    home = kind.__module__.split(".")[0]
    name = safe(f"{home} {kind.__name__}").removeprefix("builtins ").removeprefix("lstm_cli ")
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


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
