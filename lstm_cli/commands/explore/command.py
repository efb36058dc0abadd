"""`lstm-step explore`: a run in the terminal, to navigate and edit."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from lstm_cli.base.errors import ExitCode, UsageError, imported
from lstm_cli.base.paste import command, option_words
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o

if TYPE_CHECKING:
    from lstm_cli.engine.edits import EditedRun

EXAMPLES = """\b
Keys: arrows move to another row or unit, comma and full stop to another step, e edits x, h_prev,
c_prev or a weight, w shows the weights, d what changed, u undoes, ? lists all keys, q quits.
Edits are printed at the end, with a command that repeats the run if options can express them.

\b
Examples:
  lstm-step explore --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1
  lstm-step explore --x "1,2,3; 4,5,6" --weights samples/weights/hand.json
  lstm-step explore --x "1;0;1;1" --weights samples/weights/parity.npz --notation split
  lstm-step explore --x 0.5,1 --steps 20 --cell peephole --preset random --seed 3
"""
FIRST = ("--x", "--weights", "--notation")

COMMAND = "lstm-step explore"


def explore(
    given: i.RunOptions = i.RunOptions(COMMAND),
    notation: o.NotationOptions = o.NotationOptions(),
    digits: o.DigitOptions = o.DigitOptions(),
) -> None:
    """Explore a step in the terminal: move, edit a number, watch what follows.

    Shows every row with its numbers, the equation of the selected row worked out, and the row over
    time. Takes the inputs of `run`; needs the extra `explore`.
    """
    _need_terminal()
    imported("textual", "explore needs the textual package", "explore", COMMAND)
    # Edits are recomputed by the table: no last digit may differ where nothing was edited.
    trace = given.trace(engine="table")
    from lstm_cli.engine.run import need_whole

    need_whole(trace, "explore")
    from lstm_cli.commands.explore.app import ExploreApp

    app = ExploreApp(trace, notation.notation, digits.number())
    session = app.run()
    if app.return_code:  # it crashed and printed the reason
        raise typer.Exit(ExitCode.BUG)
    if session is not None and session.edits:
        _say_edits(session, given)


def _need_terminal() -> None:
    """Refuse to start without a terminal to draw on and read keys from.

    Raises:
        UsageError: stdin, stdout or stderr (on which the screen is drawn) is not a terminal.
    """
    hint = "lstm-step run, with the same options, prints every value"
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or not stream.isatty():
            raise UsageError(
                f"explore needs a terminal, and {name} is not one", where=name, hint=hint
            )
    if os.environ.get("TERM") == "dumb":
        raise UsageError("explore needs a terminal that can draw", where="TERM=dumb", hint=hint)


def _say_edits(session: EditedRun, given: i.RunOptions) -> None:
    """Print what was edited, and the command that repeats it if options can express it."""
    from lstm_cli.commands.explore.scene import edit_lines, repeated_vectors

    for line in edit_lines(session):
        print(line)
    vectors = repeated_vectors(session)
    if vectors is not None:
        # Once edited, x has a row for every step; each sample is a separate sequence.
        own = {"--steps": None, "--sample": None} if "--x" in vectors else {}
        print("again: " + command("run", *option_words(given.options() | vectors | own)))
