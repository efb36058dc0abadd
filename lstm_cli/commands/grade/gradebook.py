"""The grades of a class, as Python and the command ask for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, TypeAlias

from lstm_cli.base.arrays import to_numpy
from lstm_cli.base.errors import ArgumentError, InputError, kind_of, safe
from lstm_cli.cell.weights import Model
from lstm_cli.commands.grade.answers import Answer
from lstm_cli.commands.grade.grader import grade_sheet
from lstm_cli.commands.grade.json_rows import from_json
from lstm_cli.commands.grade.reading import read_answers
from lstm_cli.commands.grade.results import Grade, GradeSettings
from lstm_cli.commands.grade.sheet import sheet_of, symbols_of
from lstm_cli.commands.grade.summary import Gradebook
from lstm_cli.engine.run import Trace, need_trace
from lstm_cli.samples import BadSample, Sample
from lstm_cli.samples.models import sample_trace
from lstm_cli.samples.settings import GivenSamples, SampleSettings, samples_of

# A file of answers, or an answer as a dict: {"name": "Ann", "h": [0.1, 0.2]}.
GivenAnswer: TypeAlias = str | PathLike[str] | Mapping[str, Any] | Answer


def grade(
    exercise: Trace | GivenSamples,
    answers: GivenAnswer | Iterable[GivenAnswer],
    *,
    ask: Sequence[str] = (),
    atol: float | None = None,
    departures: int = 1,
    follow_through: bool = True,
    name: str = "exercise",
    progress: Callable[[Iterator[Grade], int], Iterator[Grade]] = lambda grades, total: grades,
) -> Gradebook:
    """Grade many answers to one exercise.

    Args:
        exercise: the right run, of one sample; or the exercise as a file of one sample or a dict.
        answers: files of answers (CSV, JSONL, JSON); dicts such as
            `{"name": "Ann", "f": [0.6, 0.4], "h": ["0.10", "0.20"]}`, where text keeps the zeros
            that were written; or several of these.
        ask: symbols that were asked for; () is what the answers have.
        atol: a tolerance in place of what the numbers' digits allow.
        departures: how many mistakes to look for at once, 1 or 2.
        follow_through: whether numbers that are right for the answer's own earlier ones count.
        name: the exercise's name, where it has none of its own.
        progress: is given the grades as they are made and their number, and yields them.

    Returns:
        A gradebook: `grades`, one per answer in order, and the `summary` of the class.

    Raises:
        ArgumentError: what is no exercise or no answer.
        UsageError: a symbol asked for that the cell does not compute.
        InputError: a file as a whole cannot be read, or no answer holds what can be asked.
    """
    if isinstance(exercise, Trace | Model):
        need_trace(exercise, "grade", single=True)
    trace, name = (exercise, name) if isinstance(exercise, Trace) else _exercise(exercise)
    several = isinstance(answers, Iterable) and not isinstance(answers, str | PathLike | Mapping)
    given = list(answers) if several else [answers]  # type: ignore[arg-type] # Answer
    read = list(_answers(given, tuple(symbols_of(trace))))
    files = [str(each) for each in given if isinstance(each, str | PathLike)]
    where = safe(", ".join(files)) or "answers"
    if not read:
        raise InputError(
            "there are no answers", where=where, hint="a row for each, below the header"
        )
    names = (ask,) if isinstance(ask, str) else tuple(ask)
    sheet = sheet_of(trace, read, names)
    if not sheet.asked:
        raise InputError(
            "no answer holds a number that the cell computes", where=where,
            hint='a column or a member for each symbol, as in {"name": "Ann", "h": [0.1, 0.2]}',
        )  # fmt: skip
    settings = GradeSettings(names, atol, departures, follow_through)
    graded = progress(grade_sheet(read, sheet, settings), len(read))
    return Gradebook(name, sheet, settings, tuple(graded))


def _exercise(given: GivenSamples) -> tuple[Trace, str]:
    """Return the right run of the one sample, and its name.

    Raises:
        InputError: there are several.
        LstmStepError: it cannot be read or run.
    """
    samples = list(samples_of(given))
    if len(samples) != 1:
        raise InputError(
            f"{len(samples)} exercises are given, but answers belong to one",
            where="exercise",
            hint="give one sample",
        )
    (sample,) = samples
    if isinstance(sample, BadSample):
        raise sample.error
    assert isinstance(sample, Sample)
    return sample_trace(sample, SampleSettings()), sample.id.text


def _answers(given: Sequence[Any], symbols: tuple[str, ...]) -> Iterator[Answer]:
    """Yield answers; those of files say under "file", if there are several, where they are from."""
    for number, each in enumerate(given, 1):
        match each:
            case Answer():
                yield each
            case Mapping():
                text = json.dumps([each], default=_as_lists)
                yield from (replace(answer, line=number) for answer in from_json(text, symbols))
            case str() | PathLike():
                for answer in read_answers(str(each), symbols):
                    alone = len(given) == 1
                    yield (
                        answer
                        if alone
                        else replace(answer, other={"file": str(each), **answer.other})
                    )
            case _:
                raise ArgumentError(
                    f"{kind_of(each)} in place of an answer", where=f"answer {number}",
                    hint='{"name": "Ann", "h": [0.1, 0.2]}, or a file of answers',
                )  # fmt: skip


def _as_lists(value: object) -> Any:
    """Return an array of any library as lists, for JSON."""
    if not hasattr(value, "__array__") and not hasattr(value, "detach"):
        raise ArgumentError(f"{kind_of(value)} in place of numbers", where="answers",
                            hint='{"name": "Ann", "h": [0.1, 0.2]}')  # fmt: skip
    return to_numpy(value).tolist()
