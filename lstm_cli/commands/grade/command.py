"""`lstm-step grade`: the grades of a class, each answer compared with the correct run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_cli.base.errors import UsageError, safe
from lstm_cli.base.foreign import say
from lstm_cli.base.paste import FileName, command
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option

if TYPE_CHECKING:
    from lstm_cli.commands.grade.results import Grade
    from lstm_cli.engine.run import Trace

EXAMPLES = """\b
FILES: the exercise, a file with one sample as `exercise --save` writes it, then the answers: CSV,
JSONL or JSON, - for stdin. With --x the options define the exercise, and all FILES are answers.
Numbers are compared to as many digits as were written. Wrong answers do not affect the exit code.

\b
Examples:
  lstm-step grade samples/class/exercise.json samples/class/answers.csv
  lstm-step grade samples/class/exercise.json samples/class/answers.csv -o grades.csv
  lstm-step grade exercise.json monday.csv tuesday.csv --ask c,h
  lstm-step grade --x 0.5,1 --h 0.1,0.2 --c 1,-1 answers.csv --no-follow-through
"""
FIRST = ("--ask", "--departures", "--output")

COMMAND = "lstm-step grade"
FORMATS = ("table", "csv", "jsonl", "json", *o.WRITTEN)


def grade(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXERCISE] ANSWERS…", help="The exercise, then the answers."),
    ] = None,
    given: i.RunOptions = i.RunOptions(COMMAND),
    ask: str = option(
        "--ask",
        title="Check",
        metavar="SYMBOLS",
        help="Symbols that were asked for; by default those in the answers.",
    ),
    follow_through: bool = option(
        "--follow-through/--no-follow-through",
        default=True,
        title="Check",
        help="Accept numbers that follow correctly from the answer's own earlier ones.",
    ),
    tolerance: o.ToleranceOptions = o.ToleranceOptions(),
    search: o.SearchOptions = o.SearchOptions(1),
    digits: o.DigitOptions = o.DigitOptions(),
    form: o.FormatOptions = o.FormatOptions(FORMATS),
    color: o.ColorOptions = o.ColorOptions(),
) -> None:
    """Grade many answers to one exercise.

    Shows points for each answer and symbol, the known mistake behind wrong numbers, and a summary
    of the class. A wrong number costs its own points, not those of what follows from it.
    """
    o.one_blas_thread()
    atol, chosen = tolerance.checked(), form.pick()
    from lstm_cli.commands.grade.gradebook import grade as grade_run
    from lstm_cli.commands.grade.show import count_words, grade_answer

    name, trace, answers = _exercise(files or [], given)
    book = grade_run(
        trace, answers, ask=o.names_in(ask), atol=atol, departures=search.departures,
        follow_through=follow_through, name=name, progress=_with_progress,
    )  # fmt: skip
    o.emit(grade_answer(book, digits.number()), chosen, form, color)
    if chosen not in ("table", *o.WRITTEN):
        say(count_words(book))


def _exercise(files: list[str], given: i.RunOptions) -> tuple[str, Trace, list[str]]:
    """Return the exercise's name, its correct run, and the files of answers."""
    vectors = given.vectors
    in_options = bool(vectors.x or vectors.h or vectors.c)
    named, answers = ([], files) if in_options else (files[:1], files[1:])
    if in_options and not vectors.x:
        raise UsageError(
            "--x is missing: there is no exercise", where=COMMAND,
            hint=f"{COMMAND} --x 0.5,1 ANSWERS.csv, or {COMMAND} EXERCISE.json ANSWERS.csv",
        )  # fmt: skip
    if not answers:
        words = ["--x", "0.5,1"] if in_options else [FileName(each) for each in named]
        raise UsageError(
            "there are no answers to grade" if files or in_options else "there is no exercise",
            where=COMMAND,
            hint=command("grade", *(words or ["EXERCISE.json"]), "ANSWERS.csv"),
        )  # fmt: skip
    if files.count("-") > 1:
        raise UsageError("- is given twice", where=COMMAND, hint="stdin is read once; name a file")
    if in_options:
        return "exercise", given.trace(), answers
    samples = list(given.sample_runs(named))
    if len(samples) != 1:
        raise UsageError(
            f"{len(samples)} exercises are given, but answers belong to one",
            where=safe(named[0]), hint="name a file with one sample",
        )  # fmt: skip
    (sample, trace, _), *_ = samples
    return sample.id.text, trace, answers


def _with_progress(grades: Iterator[Grade], total: int) -> Iterator[Grade]:
    """Show progress on stderr while answers are graded, if it is a terminal."""
    if not sys.stderr.isatty():
        yield from grades
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(grades, total=total, description="answers graded")
