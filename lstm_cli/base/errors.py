"""Errors, reported in three lines: what is wrong, where, and what to try.

Every other file may import this one. It imports only the escapers, so that raising an error can
never cause an import cycle.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, NamedTuple

from lstm_cli.base.foreign import safe as safe  # for foreign text in error messages


class ExitCode(IntEnum):
    """Exit codes of the process (modelled on clig.dev and jq)."""

    DONE = 0
    CHECK_FAILED = 1
    USAGE = 2
    INPUT = 3
    SOME_SAMPLES_FAILED = 4
    CANNOT_WRITE = 5
    BUG = 70
    INTERRUPTED = 130  # Ctrl-C; SIGTERM is 143, SIGHUP 129: 128 plus the signal number


class ErrorLines(NamedTuple):
    """An error as the command line words it, in terms of options."""

    what: str
    where: str
    hint: str


class LstmStepError(Exception):
    """An error a user can act on.

    The message is written once, in terms of options (`--x has 3 numbers`), which `lines` and
    `as_record` return for the command line. In Python, `str`, `what`, `where` and `hint` reword it
    in terms of arguments (`x has 3 numbers`).

    Args:
        what: what is wrong; names both sides if two things disagree.
        where: file, key, line; may span several lines, the last with a caret under the token.
        hint: what to try next; never empty.
    """

    code = "error"
    exit_code = ExitCode.INPUT

    def __init__(self, what: str, *, where: str = "", hint: str) -> None:
        super().__init__(what)
        self.lines = ErrorLines(what, where, hint)

    @property
    def what(self) -> str:
        """What is wrong, in terms of arguments."""
        return in_arguments(self.lines.what)

    @property
    def where(self) -> str:
        """Where it is, in terms of arguments; a line with a caret under it is left unchanged."""
        first, *shown = self.lines.where.split("\n", 1)
        return "\n".join([re.sub(r"^lstm-step (\w+)$", r"\1()", in_arguments(first)), *shown])

    @property
    def hint(self) -> str:
        """What to try, in terms of arguments; a complete command line is left unchanged."""
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


# A command line to paste, or an option and its value: the next word, quoted or not. A word of
# letters alone continues the sentence (`--x has`), unless the option takes a name.
_OPTION = (  # compiled only when an error is reported, to keep startup fast
    r"(?P<command>`lstm-step [^`]*`|lstm-step [^\n]*)"
    r"|(?<!\S)-(?:f |o (?P<file>[A-Z]+|\w+\.))(?P<kind>\w*)"
    r"|(?<![\w-])--(?P<name>[a-z]+(?:-[a-z]+)*)(?![\w-])"
    r"(?P<rest> (?!--)(?P<value>(?:'[^']*'|\"[^\"]*\"|[,.:](?=\S)|[^\s,.:;()'\"`])+))?"
)
_TAKE_NAMES = ("activations", "at", "cell", "convention", "direction", "dtype", "engine", "gates",
               "joined", "layer", "lstm", "picture", "preset", "theme", "to", "unit")  # fmt: skip
_NO_NAMES = ("and", "are", "chooses", "for", "has", "holds", "is", "or", "selects", "to", "where")
_PLAIN_VALUE = r"-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?|[A-Z]+|…"
# Options whose arguments have other names.
_ARGUMENTS = {
    "allow-external-data": "external=True",
    "allow-nonfinite": "allow_nonfinite=True",
    "force": "force=True",
    "gates": "convention='gates={}'",
    "joined": "convention='joined={}'",
    "transpose": "convention='transpose'",
    "sample": "x[{}]",
    "expect": "claims={{{}}}",
    "format": "kind",
    "output": "kind",
}


def in_arguments(text: str) -> str:
    """Reword a command-line message for Python: `--cell-clip 3` becomes `cell_clip=3`."""
    if "-" not in text:
        return text
    return re.sub(_OPTION, _as_argument, text).replace("' convention='", ",")


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
    """Reword the error and remarks of a JSON record in terms of arguments."""
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
    """A function was given an argument of the wrong type."""


def kind_of(given: object) -> str:
    """Name the class of an argument, with its article: "a float", "a numpy ndarray"."""
    if given is None:
        return "None"
    kind = type(given)
    home = kind.__module__.split(".")[0]
    name = safe(f"{home} {kind.__name__}").removeprefix("builtins ").removeprefix("lstm_cli ")
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


class InputError(LstmStepError):
    """An input cannot be read: text, a file, a sample."""

    code = "unreadable_input"


class ShapeError(LstmStepError):
    """Two shapes disagree; the message names both."""

    code = "shape_mismatch"


class CellError(LstmStepError):
    """A cell's table of equations is not in the grammar, or refers to an unknown name."""

    code = "bad_cell"


class OutputError(LstmStepError):
    """The result was computed but cannot be written."""

    code = "cannot_write"
    exit_code = ExitCode.CANNOT_WRITE


def ignore_warnings() -> None:
    """Keep the warnings of libraries from users, unless Python was asked to show them.

    They name a library's own files and lines, which is of no use to users; we report what matters
    ourselves. The tests turn warnings into errors.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


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
    """Return "did you mean 'x'?", or a list of the known names."""
    import difflib  # only needed for errors: keeps startup fast

    names = list(known)
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    if close:
        return f"did you mean '{safe(by_lower[close[0]])}'?"
    return "one of: " + ", ".join(safe(name) for name in names) if names else "there is none"


def caret(text: str, start: int, length: int = 1, *, width: int = 68) -> str:
    """Return `text` with a line under it that points at `text[start : start + length]`.

    Long text is cut to the part around the token, so that the caret lines up with it.
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
    """Width of a text in terminal columns: wide characters take two, combining accents none."""
    import unicodedata  # as above

    return sum(
        0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF")
        for each in text
    )
