"""Running text of the glossary: expressions, commands and symbols in each format."""

from __future__ import annotations

import re
import textwrap

from rich.cells import cell_len

from lstm_cli.cell.equations import parse
from lstm_cli.cell.notation import LATEX, gradient_style, write
from lstm_cli.show.sheets import WRITERS, Writer

_MARK = re.compile(r"\$([^$]+)\$|`([^`]+)`")
_NO_BREAK = "\N{NO-BREAK SPACE}"


def paragraph(writer: Writer, text: str) -> str:
    """Return a paragraph in which no expression, command or percentage is broken over lines."""
    whole = _prose(writer, text).replace(" %", f"{_NO_BREAK}%")
    return writer.paragraph(whole).replace(_NO_BREAK, " ")


def _prose(writer: Writer, text: str) -> str:
    """Return text with its expressions in the writer's style and everything else escaped."""
    parts, last = [], 0
    style = gradient_style(writer.style)
    for match in _MARK.finditer(text):
        parts.append(words(writer, text[last : match.start()]))
        last = match.end()
        own = writer.math(write(parse(match[1]), style)) if match[1] else writer.code(match[2])
        parts.append(own.replace(" ", _NO_BREAK))
    return "".join(parts) + words(writer, text[last:])


# Characters that TeX's standard fonts lack.
_IN_TEX = {
    "σ": r"$\sigma$", "δ": r"$\delta$", "−": "$-$", "±": r"$\pm$", "×": r"$\times$",
    "→": r"$\rightarrow$", "…": r"\dots{}", "C̃": r"$\tilde{C}$", "∂": r"$\partial$",
    "‖": r"$\Vert$", "₂": "$_2$",
}  # fmt: skip


def words(writer: Writer, text: str) -> str:
    """Escape text of our own; in LaTeX, symbols become commands."""
    if writer.style is not LATEX:
        return writer.escape(text)
    pieces = re.split("(" + "|".join(map(re.escape, _IN_TEX)) + ")", text)
    return "".join(_IN_TEX.get(piece) or writer.escape(piece) for piece in pieces)


def equations(writer: Writer, rows: list[tuple[str, str]]) -> str:
    """Return equations as the writer sets them; in text, labels that do not fit are left out."""
    widest = max(cell_len(equation) for _, equation in rows) + max(len(name) for name, _ in rows)
    if not is_text(writer) or widest + 5 <= writer.width:
        lines = writer.equations(rows).split("\n")
        return "\n".join(line.rstrip().removesuffix(" ·") for line in lines)
    lines = [
        textwrap.fill(
            equation, writer.width, initial_indent="  ", subsequent_indent="      ",
            break_long_words=False, break_on_hyphens=False,
        )
        for _, equation in rows
    ]  # fmt: skip
    return "\n".join(lines) + "\n\n"


def is_text(writer: Writer) -> bool:
    """Whether a page is plain text, whose lines have a width."""
    return type(writer) is WRITERS["text"]


def folded(command: str, width: int) -> str:
    """Break a long command line before options, with the shell's backslashes."""
    lines = [""]
    for part in re.split(r" (?=--)", command):
        joined = f"{lines[-1]} {part}" if lines[-1] else part
        if len(joined) + 2 > width and lines[-1]:
            lines.append(f"    {part}")
        else:
            lines[-1] = joined
    return " \\\n".join(lines)
