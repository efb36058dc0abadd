"""Suggested commands, quoted so that they can be pasted into a shell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from lstm_cli.base.foreign import shell_word

PROGRAM = "lstm-step"
# A word as `shell_word` writes it: quoted parts, which may contain spaces, and unquoted ones.
_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""")


class FileName(str):
    """A file name or URL, as it was given."""


class CommandLine(str):
    """A command line whose words are quoted."""


def command(*words: object) -> CommandLine:
    """Return a command line of `lstm-step`; files are `FileName`s or paths among the words."""
    quoted = (shell_word(each, file=isinstance(each, FileName | PurePath)) for each in words
              if each != "")  # fmt: skip
    return CommandLine(" ".join([PROGRAM, *quoted]))


def option_words(given: Mapping[str, object]) -> list[object]:
    """Return the words of options: `True` is a flag; "", None and `False` are left out."""
    words: list[object] = []
    for name, value in given.items():
        if value is True:
            words.append(name)
        elif value is not None and value is not False and value != "":
            words += [name, value]
    return words


def rows_text(rows: Iterable[Iterable[float]]) -> str:
    """Format rows of numbers as an option's value: `1,2;3,4`."""
    return ";".join(",".join(str(each).removesuffix(".0") for each in row) for row in rows)


def wrapped(line: CommandLine, width: int) -> list[str]:
    r"""Wrap a command into lines of at most `width` if possible, each but the last ending in `\`.

    Words are never broken, and an option stays on the line of its value if both fit.
    """
    lines = [""]
    for part in _parts(line, width):
        if lines[-1] and len(lines[-1]) + len(part) + 3 > width:
            lines[-1] += " \\"
            lines.append("  ")
        lines[-1] += part if not lines[-1].strip() else f" {part}"
    return lines if len(line) > width else [line]


def _parts(line: CommandLine, width: int) -> list[str]:
    """Return the words of a command, an option joined with its value if they fit on a line."""
    parts: list[str] = []
    for word in _WORD.findall(line):
        fits = parts and len(parts[-1]) + len(word) + 5 <= width
        if fits and parts[-1].startswith("-") and " " not in parts[-1] and word[:2] != "--":
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    return parts
