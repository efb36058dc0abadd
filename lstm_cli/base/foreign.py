"""Untrusted text, and one escaper for each output target.

Names, keys, types, labels and paths come from files that anyone may have written. On a terminal
they could move the cursor or hide text; in a spreadsheet they could be a formula, in a web page
markup, in a shell a command. This module imports nothing else from the package.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable


class Foreign(bytes):
    """Untrusted text, not yet escaped for any target.

    It is not a `str`, so that mypy reports where it is concatenated, formatted into an f-string or
    passed to a writer. If printed by accident it shows as the repr of bytes, which is harmless.
    The escapers below accept it; `text` is for comparison, lookup and JSON, which escapes anyway.
    """

    __slots__ = ()

    @classmethod
    def of(cls, text: str) -> Foreign:
        """Wrap text as it was read; bytes that are not UTF-8 are preserved."""
        return cls(text.encode("utf-8", "surrogatepass"))

    @property
    def text(self) -> str:
        """The text as it was read, unescaped."""
        return self.decode("utf-8", "surrogatepass")


def raw(text: object) -> str:
    """Return the unescaped text, for an escaper."""
    return text.text if isinstance(text, Foreign) else str(text)


# Control characters (C0 and C1), bidirectional, zero-width and invisible marks, surrogates and
# noncharacters: whatever could move the cursor, hide text or break a decoder on a terminal.
_UNSAFE_SET = (
    "\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
# Patterns are compiled at their first use, by `re` itself: a start should not pay for them.
_UNSAFE = f"[\x00-\x1f{_UNSAFE_SET}]"
_UNSAFE_BUT_LAYOUT = f"[\x00-\x08\x0b\x0d-\x1f{_UNSAFE_SET}]"


def safe(text: object) -> str:
    """Replace every character of foreign text that could control a terminal by a visible escape."""
    shown = raw(text)
    return shown if shown.isprintable() else re.sub(_UNSAFE, _escape, shown)


def _escape(match: re.Match[str]) -> str:
    point = ord(match[0])
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def tame(text: str) -> str:
    """Escape unsafe characters in lines of output; newlines, tabs and page breaks are kept."""
    return re.sub(_UNSAFE_BUT_LAYOUT, _escape, text)


def say(*lines: str) -> None:
    """Print lines on stderr, with control characters escaped."""
    print(*map(tame, lines), sep="\n", file=sys.stderr)


def indented(text: str) -> str:
    """Escape text and indent its continuation lines, so that a caret stays aligned."""
    return "\n       ".join(safe(line) for line in text.split("\n"))


# ---- the shell


def shell_word(text: object, *, file: bool = False) -> str:
    """Quote foreign text as a single word of a command to paste into a shell.

    Control characters become octal escapes in $'…', which bash and zsh decode.

    Args:
        text: an option's value, or a file name.
        file: whether it is a file name, which must not look like an option.
    """
    import shlex  # only needed when a command is suggested: keeps startup fast

    word = raw(text)
    if file and word.startswith("-") and word != "-":
        word = f"./{word}"
    if not re.search(_UNSAFE, word):
        return shlex.quote(word)
    return "$'" + "".join(map(_in_octal, word)) + "'"


def _in_octal(letter: str) -> str:
    if letter not in "\\'" and not re.match(_UNSAFE, letter):
        return letter
    # Python represents a byte that is not UTF-8 in a file name by one of these.
    byte = "\udc80" <= letter <= "\udcff"
    data = letter.encode(errors="surrogateescape" if byte else "surrogatepass")
    return "".join(f"\\{each:03o}" for each in data)


# ---- Markdown

# Characters with a meaning in Markdown, or in HTML inside it.
_MARKDOWN = r"([\\`*_\[\]<>|~&$#!])"


def markdown(text: object) -> str:
    """Escape foreign text for a Markdown sentence or table cell."""
    return re.sub(_MARKDOWN, r"\\\1", safe(text))


def markdown_code(text: object) -> str:
    """Format foreign text as inline Markdown code, even if it contains backticks."""
    inner = safe(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", inner)), default=0))
    space = " " if inner[:1] == "`" or inner[-1:] == "`" else ""
    return f"{fence}{space}{inner}{space}{fence}"


# ---- CSV and TSV

_NUMBER = r"[+-]?[0-9]{1,17}(?:[.,][0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?"
# Where a spreadsheet may see the start of a cell: also after a separator other than ours.
_CELL_START = r"(^|[,;|])(\s*)(?=(\S))"


def sheet_cell(text: object) -> str:
    """Escape foreign text for a spreadsheet cell: no control characters, and no formula.

    A cell that would start with = + - @ (or a full-width form) is prefixed with an apostrophe,
    which spreadsheets read as "this is text"; a plain number is left alone. The result has no tab
    and no newline, so it is ready for TSV; `csv_line` quotes it for CSV.
    """
    shown = safe(text)
    return shown if re.fullmatch(_NUMBER, shown) else re.sub(_CELL_START, _as_text, shown)


def _as_text(match: re.Match[str]) -> str:
    import unicodedata  # as above

    before, space, first = match.groups()
    formula = unicodedata.normalize("NFKC", first)[:1] in ("=", "+", "-", "@")
    return f"{before}'{space}" if formula else match[0]


def csv_line(cells: Iterable[str]) -> str:
    """Return a line of CSV; foreign text must have passed through `sheet_cell`."""
    import csv
    import io

    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


# ---- LaTeX

_LETTERS = {chr(point) for point in range(0xC0, 0x100)} - set("ÐðÞþ×÷")
# Characters that our own text contains, too.
_SIGNS = {"…": r"\ldots{}"} | {
    sign: f"${name}$" for sign, name in {
        "·": r"\cdot", "→": r"\rightarrow", "×": r"\times", "−": "-", "±": r"\pm", "≠": r"\neq",
        "≈": r"\approx", "√": r"\surd", "σ": r"\sigma", "⊙": r"\odot",
    }.items()
}  # fmt: skip
_LATEX = str.maketrans(
    _SIGNS
    | {mark: f"\\{mark}" for mark in "{}$&#_%"}
    | {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}", "<": r"\textless{}",
       ">": r"\textgreater{}", "|": r"\textbar{}"}
)  # fmt: skip


def latex(text: object) -> str:
    """Escape foreign text for TeX, whose commands could read files."""
    # TeX stops at a character that its default fonts lack.
    shown = "".join(
        c if c.isascii() or c in _LETTERS or c in _SIGNS else f"U+{ord(c):04X}" for c in safe(text)
    )
    return shown.translate(_LATEX)


# ---- HTML


class Html(str):
    """Text that is already HTML; any other text is escaped when joined to it."""


def html(text: str | Foreign) -> Html:
    """Escape foreign text for HTML; text that is already HTML is returned unchanged."""
    from html import escape  # loads a table of all entities: only for notebooks

    return text if isinstance(text, Html) else Html(escape(safe(text), quote=True))


# ---- C


def c_comment(text: object) -> str:
    """Return a one-line C comment that its text can neither close, continue nor reopen.

    Foreign text is shown in ASCII: some compilers for microcontrollers accept nothing else.
    """
    inner = safe(text).encode("ascii", "backslashreplace").decode()
    # The space keeps `*` and `/` apart; `??` would start a trigraph.
    inner = re.sub(r"\*(?=/)|/(?=\*)|\?(?=\?)", r"\g<0> ", inner)
    return f"/* {inner} */"
