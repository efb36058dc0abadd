"""The front page, shown by `lstm-step` alone and by `lstm-step --help`.

It uses neither Typer, which takes four times as long to start as Python, nor any command, which
would bring its own imports. `app` shows the same page and builds the same commands.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Command(NamedTuple):
    """A command: its summary, its section, and its function in `commands/NAME/command.py`."""

    summary: str
    section: str
    function: str = ""  # if not the command's name


COMMANDS = {
    "run": Command("Show every gate of one or more steps.", "See"),
    "explain": Command("Work out a step with its numbers, or explain a word.", "See"),
    "grad": Command("Show the backward pass of a run: every gradient.", "See"),
    "report": Command("Make a page of a run, or a picture.", "See"),
    "explore": Command(
        "Explore a step in the terminal: move, edit a number, watch what follows.", "See"
    ),
    "diagnose": Command("Explain why two sets of numbers differ.", "Check"),
    "vet": Command("Find the mistakes that a test vector misses.", "Check"),
    "grade": Command("Grade many answers to one exercise.", "Check"),
    "batch": Command("Evaluate files of samples.", "Check"),
    "inspect": Command("Show the LSTMs in a weight file.", "Files", "inspect_"),
    "convert": Command("Write weights in another layout.", "Files"),
    "exercise": Command("Make an exercise sheet, its key, and a file to grade against.", "Look up"),
    "list": Command("List cells, presets and more.", "Look up", "list_"),
}

# Options that are now commands: (command, option) -> the command.
MOVED = {("diagnose", "--grade"): "grade", ("explain", "--exercise"): "exercise"}

TITLE = "The reference calculator for the LSTM: every gate value beside its equation."

OPTIONS = {
    "-V, --version": "Show the version.",
    "--install-completion": "Install tab completion for this shell.",
    "--show-completion": "Show the completion script, to copy or customize it.",
    "-h, --help": "Show this page, or after a command, the command's help.",
}

EXAMPLES = """\
  Examples:
    lstm-step --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1
    lstm-step --x 1,2,3 --weights model.npz --json | jq .h
    lstm-step --x "1;0;1;1" --weights samples/weights/parity.npz
    lstm-step batch samples/ --check
    lstm-step list presets

  `lstm-step` with options alone means `lstm-step run`."""

# Longer lines are hard to read, however wide the terminal is.
WIDEST = 100


def page() -> str:
    """Return the front page, wrapped to the width of the terminal."""
    width = min(_columns(), WIDEST)
    margin = max(map(len, COMMANDS)) + 4
    parts = ["Usage: lstm-step [OPTIONS] COMMAND [ARGS]...", _wrapped(TITLE, "  ", "  ", width)]
    for section in dict.fromkeys(command.section for command in COMMANDS.values()):
        summaries = {name: command.summary for name, command in COMMANDS.items()
                     if command.section == section}  # fmt: skip
        parts.append(f"{section}:\n" + _rows(summaries, margin, width))
    options = _rows(OPTIONS, max(map(len, OPTIONS)) + 4, width)
    return "\n\n".join([*parts, f"Options:\n{options}", EXAMPLES])


def _rows(words: dict[str, str], margin: int, width: int) -> str:
    """Lay out a word per line, with its text in a second column."""
    return "\n".join(
        _wrapped(text, f"  {word}".ljust(margin), " " * margin, width)
        for word, text in words.items()
    )


def _wrapped(text: str, first: str, other: str, width: int) -> str:
    import textwrap

    room = max(width - 1, len(other) + 20)
    return textwrap.fill(text, room, initial_indent=first, subsequent_indent=other)


def _columns() -> int:
    """Return the width of the terminal: COLUMNS if set, else that of stdout, else 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(1).columns or 80
    except (OSError, ValueError):
        return 80
