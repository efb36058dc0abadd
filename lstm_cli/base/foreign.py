"""Text that strangers wrote, and how it goes out: one escaper for each target.

Names, keys, types, labels and paths come from files of anyone. On a terminal they could move the
cursor or hide text, in a table be a formula, in a page markup, in a shell a command. The bottom
floor: it imports nothing of ours.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable


class Foreign(bytes):
    """Text of a stranger, not yet escaped for any target.

    It is no `str`, so that mypy finds where it is joined to one, put into an f-string or given to
    a writer; what it shows by accident is the repr of bytes, which steers nothing. The escapers
    below take it, and `text` is for comparing, looking up and JSON, which escapes by itself.
    """

    __slots__ = ()

    @classmethod
    def of(cls, text: str) -> Foreign:
        """Text as it was read; bytes that were no UTF-8 stay what they were."""
        return cls(text.encode("utf-8", "surrogatepass"))

    @property
    def text(self) -> str:
        """The text as it was read, with all that is in it."""
        return self.decode("utf-8", "surrogatepass")


def raw(text: object) -> str:
    """Return text as it was read, for an escaper."""
    return text.text if isinstance(text, Foreign) else str(text)


# Controls, C1, bidirectional, zero-width and invisible marks, surrogates and what is no character:
# what could move a cursor, hide text or break a decoder when it reaches a terminal.
_UNSAFE_SET = (
    "\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_UNSAFE = re.compile(f"[\x00-\x1f{_UNSAFE_SET}]")
_UNSAFE_BUT_LAYOUT = re.compile(f"[\x00-\x08\x0b\x0d-\x1f{_UNSAFE_SET}]")


def safe(text: object) -> str:
    """Return foreign text with every character that could steer a terminal shown as an escape."""
    return _UNSAFE.sub(_escape, raw(text))


def _escape(match: re.Match[str]) -> str:
    point = ord(match[0])
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def tame(text: str) -> str:
    """Return lines as a terminal may have them; newlines, tabs and page breaks are ours."""
    return _UNSAFE_BUT_LAYOUT.sub(_escape, text)


def say(*lines: str) -> None:
    """Print lines on stderr, whatever is in them."""
    print(*map(tame, lines), sep="\n", file=sys.stderr)


def indented(text: str) -> str:
    """Return safe text whose further lines stand under its first, so that a caret points right."""
    return "\n       ".join(safe(line) for line in text.split("\n"))


# ---- the shell


def shell_word(text: object, *, file: bool = False) -> str:
    """Return foreign text as one word of a command to paste: no shell finds more in it.

    What would steer the terminal stands as octal bytes in $'…', which bash and zsh turn back.

    Args:
        text: an option's value, or a file's name.
        file: whether it is the name of a file, which must not look like an option.
    """
    import shlex  # only where a command is proposed: a start should not pay for it

    word = raw(text)
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


# ---- Markdown

# What Markdown, or the HTML inside it, would take for its own.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~&$#!])")


def markdown(text: object) -> str:
    """Return foreign text that means nothing to Markdown, in a sentence or a cell of a table."""
    return _MARKDOWN.sub(r"\\\1", safe(text))


def markdown_code(text: object) -> str:
    """Return foreign text as code in running text, whatever backticks it has."""
    inner = safe(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", inner)), default=0))
    space = " " if inner[:1] == "`" or inner[-1:] == "`" else ""
    return f"{fence}{space}{inner}{space}{fence}"


# ---- CSV and TSV

_NUMBER = re.compile(r"[+-]?[0-9]{1,17}(?:[.,][0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?")
# What a spreadsheet takes for the start of a cell: also a separator, where it splits by another.
_CELL_START = re.compile(r"(^|[,;|])(\s*)(?=(\S))")


def sheet_cell(text: object) -> str:
    """Return foreign text for a cell of a spreadsheet: nothing that steers, and no formula.

    A cell that would start with = + - @ (full-width forms too) starts with an apostrophe, which
    spreadsheets take for "this is text"; a plain number stays one. It has no tab and no newline,
    and so is ready for TSV; `csv_line` quotes it for CSV.
    """
    shown = safe(text)
    return shown if _NUMBER.fullmatch(shown) else _CELL_START.sub(_as_text, shown)


def _as_text(match: re.Match[str]) -> str:
    import unicodedata  # as above

    before, space, first = match.groups()
    formula = unicodedata.normalize("NFKC", first)[:1] in ("=", "+", "-", "@")
    return f"{before}'{space}" if formula else match[0]


def csv_line(cells: Iterable[str]) -> str:
    """Return a line of CSV; foreign text in it has passed `sheet_cell`."""
    import csv
    import io

    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


# ---- LaTeX

_LETTERS = {chr(point) for point in range(0xC0, 0x100)} - set("ÐðÞþ×÷")
# Signs that texts of ours have too.
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
    """Return foreign text that means nothing to TeX, which could read files."""
    # TeX stops at a letter that its first fonts lack.
    shown = "".join(
        c if c.isascii() or c in _LETTERS or c in _SIGNS else f"U+{ord(c):04X}" for c in safe(text)
    )
    return shown.translate(_LATEX)


# ---- HTML


class Html(str):
    """Text that is HTML already; any other text is escaped where it joins one."""


def html(text: str | Foreign) -> Html:
    """Return foreign text as HTML that shows it, as it is where it is HTML already."""
    from html import escape  # a table of all its entities: only where a notebook asks

    return text if isinstance(text, Html) else Html(escape(safe(text), quote=True))


# ---- C


def c_comment(text: object) -> str:
    """Return a comment of one line that no text can close, continue or open anew.

    Foreign text is shown in ASCII: not every compiler for a small machine reads more.
    """
    inner = safe(text).encode("ascii", "backslashreplace").decode()
    # The blank keeps `*` and `/` apart; `??` would start a trigraph.
    inner = re.sub(r"\*(?=/)|/(?=\*)|\?(?=\?)", r"\g<0> ", inner)
    return f"/* {inner} */"
