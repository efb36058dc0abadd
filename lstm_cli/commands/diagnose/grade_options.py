"""Grading on the command line: the options of `diagnose --grade`, and the one call behind them.

    run_grading(grade, trace, ask=ask, follow_through=follow_through, atol=atol,
                departures=departures, format_=format_, as_json=as_json, output=output,
                digits=digits, color=color, exercise=name)

`grade`: the option's path ("" is not given); `trace`: the right run, unbatched; `exercise`: what to
call it in the answer. `departures` None means 1. Formats: table (the default), csv, jsonl, json.
It writes everything itself and returns; answers that are wrong are no failure (exit code 0).
Declare in the command: `grade: g.Grade = "", ask: g.Ask = "", follow_through: g.FollowThrough =
True`, with this file as `g`; `g.refuse_idle_ask(ask, follow_through)` refuses them without --grade.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from lstm_cli.base.errors import InputError, safe
from lstm_cli.base.foreign import say
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option

if TYPE_CHECKING:
    from lstm_cli.commands.diagnose.grade import Grade as Graded
    from lstm_cli.commands.diagnose.grade import Gradebook
    from lstm_cli.engine.run import Trace

FORMATS = ["table", "csv", "jsonl", "json"]

Grade = Annotated[
    str,
    option("--grade", metavar="FILE", help="Grade many answers: CSV or JSONL; - is stdin."),
]
Ask = Annotated[
    str,
    option("--ask", metavar="SYMBOLS", help="What is asked: f,i,g,o,c,h."),
]
FollowThrough = Annotated[
    bool,
    option(
        "--follow-through/--no-follow-through",
        help="Whether a number counts that is right for the answer's own earlier numbers.",
    ),
]


def run_grading(
    grade: str,
    trace: Trace,
    *,
    ask: str = "",
    follow_through: bool = True,
    atol: float | None = None,
    departures: int | None = None,
    format_: str = "",
    as_json: bool = False,
    output: str = "-",
    digits: int = 6,
    color: o.Color = o.Color.AUTO,
    exercise: str = "exercise",
) -> None:
    """Grade the answers in a file and write the grades.

    Raises:
        UsageError: an unknown format, or a symbol asked for that the cell does not compute.
        InputError: the file as a whole cannot be read.
    """
    from lstm_cli.commands.diagnose.grade import (
        Gradebook,
        GradeSettings,
        grade_sheet,
        read_answers,
        sheet_of,
        symbols_of,
    )

    chosen = o.pick_format(format_ or ("" if as_json else "table"), as_json, FORMATS, terminal=True)
    names = tuple(name for name in re.split(r"[\s,]+", ask) if name)
    settings = GradeSettings(names, atol, departures or 1, follow_through)
    answers = list(read_answers(grade, tuple(symbols_of(trace))))
    if not answers:
        raise InputError(
            "there are no answers", where=safe(grade), hint="a row for each, below the header"
        )
    sheet = sheet_of(trace, answers, names)
    if not sheet.asked:
        raise InputError(
            "no answer holds a number that the cell computes", where=safe(grade),
            hint='a column or a member for each symbol, as in {"name": "Ann", "h": [0.1, 0.2]}',
        )  # fmt: skip
    graded = _with_progress(grade_sheet(answers, sheet, settings), len(answers))
    _emit(Gradebook(exercise, sheet, settings, tuple(graded)), chosen, output, digits, color)


def _emit(book: Gradebook, chosen: str, output: str, digits: int, color: o.Color) -> None:
    from lstm_cli.show.rows import View

    if chosen == "table":
        from lstm_cli.commands.diagnose.grade.show import print_grades

        o.show(lambda console: print_grades(console, book, View(digits=digits)), color, output)
        return
    from lstm_cli.base.version import __version__
    from lstm_cli.commands.diagnose.grade.show import FORMATS as WRITERS
    from lstm_cli.commands.diagnose.grade.words import count_words
    from lstm_cli.files.output import write_out

    write_out(WRITERS[chosen](book, __version__, digits), output)
    say(count_words(book))


def _with_progress(grades: Iterator[Graded], total: int) -> Iterator[Graded]:
    """Count answers on stderr while they are graded, only on a terminal."""
    if not sys.stderr.isatty():
        yield from grades
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(grades, total=total, description="answers graded")


def refuse_idle_ask(ask: str, follow_through: bool) -> None:
    """Refuse options of grading where nothing is graded.

    Raises:
        UsageError: names the first of them.
    """
    from lstm_cli.commands._inputs import refuse_idle

    idle = {"--ask": ask, "--no-follow-through": not follow_through}
    refuse_idle(idle, "--grade", "lstm-step diagnose")
