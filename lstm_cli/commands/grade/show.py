"""The grades of a class, in words and as a document, CSV, JSONL and JSON.

Names and other foreign text are sanitized for their destination: no escape sequence reaches a
terminal, and no cell of the CSV is a formula.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions
from rich.text import Text

from lstm_cli.base.errors import safe
from lstm_cli.base.foreign import csv_line, sheet_cell
from lstm_cli.base.numbers import decimals, fixed, significant
from lstm_cli.base.version import __version__
from lstm_cli.cell.notation import UNICODE
from lstm_cli.commands.grade.results import (
    MOST_DIGITS,
    RESULTS,
    Grade,
    GradeSettings,
    Summary,
    SymbolMark,
    WrongNumber,
)
from lstm_cli.commands.grade.sheet import Sheet
from lstm_cli.engine.agreement import decimals_of
from lstm_cli.files.output import json_text, plain_list
from lstm_cli.show.answer import Answer
from lstm_cli.show.document import (
    Block,
    Cell,
    Column,
    Document,
    Gap,
    Grid,
    Heading,
    Paragraph,
    Span,
    Tone,
)
from lstm_cli.show.draw import drawn

# A name wider than this is wrapped.
NAME_WIDTH = 24
# Minimum width of the explanation next to the marks; if narrower, marks go below it.
LEAST_EXPLANATION = 30
# Most mistakes to name if several fit.
MOST_CAUSES = 3


@dataclass(frozen=True, eq=False, repr=False)
class Gradebook:
    """All grades of an exercise.

    Attributes:
        exercise: its name.
        sheet: what was asked.
        settings: how it was graded.
        grades: one per answer, in order.
    """

    exercise: str
    sheet: Sheet
    settings: GradeSettings
    grades: tuple[Grade, ...]

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {result}" for result, count in self.summary.counts.items())
        return f"Gradebook('{safe(self.exercise)}': {len(self.grades)} answers: {counts})"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield drawn(grade_answer(self).page, console, options)

    @cached_property
    def summary(self) -> Summary:
        """Summary of the class."""
        return Summary(self.grades)


# ---- in words


def explanation(grade: Grade, sheet: Sheet, digits: int) -> str:
    """Describe a grade's result for a teacher."""
    match grade.result:
        case "right":
            return "right" + _to_digits(grade)
        case "rounded":
            return f"right to {grade.digits} digits, but more are written"
        case "incomplete":
            return f"right{_to_digits(grade)} as far as it goes"
        case "mistake":
            return _causes(grade)
        case "slip":
            return f"one number is wrong: {wrong_words(grade.wrong[0], sheet, digits)}"
        case "unexplained":
            count, first = len(grade.wrong), wrong_words(grade.wrong[0], sheet, digits)
            many = f"{count} numbers are wrong; first " if count > 1 else ""
            return f"unexplained: {many}{first}"
    return "blank"


def _to_digits(grade: Grade) -> str:
    return "" if grade.digits in (None, MOST_DIGITS) else f" to {grade.digits} digits"


def _causes(grade: Grade) -> str:
    shown = [f"{each.title} [{each.id}]" for each in grade.causes[:MOST_CAUSES]]
    more = len(grade.causes) - len(shown)
    return "; or ".join(shown) + (f"; or {more} more" if more else "")


def wrong_words(each: WrongNumber, sheet: Sheet, digits: int) -> str:
    """Return `f[2] is 0.6, right is 0.549834`, with a guess at the slip behind it."""
    when = f" at t = {each.t}" if sheet.trace.steps > 1 else ""
    unit = each.unit + sheet.bases.get(each.name, 0)
    means = "right is" if math.isclose(each.own, each.right, abs_tol=1e-9) else "what follows is"
    guess = _guess(each)
    return (
        f"{each.name}[{unit}]{when} is {decimals(each.got, digits)}, {means} "
        f"{decimals(each.own, digits)}" + (f" ({guess})" if guess else "")
    )


def _guess(each: WrongNumber) -> str:
    """Guess the slip behind a single wrong number; "" if there is no sign of one.

    Swapped digits are reported only for three or more decimals, where chance is unlikely.
    """
    if not each.got or not each.own:
        return ""
    if _digits(each.got, each.got) == _digits(each.own, each.got):
        return "two digits swapped"
    ratio = each.got / each.own
    if math.isclose(ratio, -1, rel_tol=0.02):
        return "the sign"
    for power in (10.0, 100.0, 1000.0):
        if any(math.isclose(ratio, each, rel_tol=0.02) for each in (power, 1 / power)):
            return "the decimal point"
    return ""


def _digits(value: float, like: float) -> list[str]:
    """Return the sorted digits of a number to the decimals of `like`; none if there are few."""
    places = min(max(int(decimals_of(np.array([like]))[0]), 0), MOST_DIGITS)
    return sorted(fixed(value, places)) if places > 2 else [str(value)]


def mark_text(own: SymbolMark, pretty: bool) -> str:
    """Return a symbol's marks as a sign, or as `3/5` if some numbers are right."""
    if own.blank == own.count:
        return "·" if pretty else "-"
    good = own.right + own.follows
    if good == own.count:
        return ("→" if pretty else ">") if own.follows else ("✓" if pretty else "+")
    return f"{good}/{own.count}" if good else ("✗" if pretty else "x")


def count_words(book: Gradebook) -> str:
    """Return `12 answers, mean 78 %: 5 right, 4 with a known mistake, 3 blank`."""
    summary = book.summary
    parts = [_COUNTS[result].format(count) for result, count in summary.counts.items()]
    head = f"{summary.answers} answer{'s' * (summary.answers != 1)}"
    return f"{head}, mean {decimals(summary.mean, 1)} %: {', '.join(parts)}" if parts else head


_COUNTS = {
    "right": "{} right",
    "rounded": "{} right to fewer digits than written",
    "incomplete": "{} right but not complete",
    "mistake": "{} with a known mistake",
    "slip": "{} with one number wrong",
    "unexplained": "{} unexplained",
    "blank": "{} blank",
}


def often_wrong(book: Gradebook) -> Iterator[tuple[str, int, str]]:
    """Yield (name, how many got it wrong, which units), most frequent first."""
    summary = book.summary
    known = dict.fromkeys([*book.sheet.names, *sorted(summary.symbols)])
    for name in sorted(known, key=lambda name: -summary.symbols[name]):
        if not summary.symbols[name]:
            continue
        base = book.sheet.bases.get(name, 0)
        units = [(unit, n) for (own, unit), n in summary.wrong.items() if own == name]
        units.sort(key=lambda pair: (-pair[1], pair[0]))
        shown = ", ".join(f"{name}[{unit + base}] {n}" for unit, n in units[:4])
        yield name, summary.symbols[name], shown + ", …" * (len(units) > 4)


# ---- for people: a document


def grade_answer(book: Gradebook, digits: int = 6) -> Answer:
    """Return what `grade` answers: a row per answer and a summary, with some decimals."""
    return Answer(
        lambda style: Document([*_blocks(book, style is UNICODE, digits)]),
        {
            "csv": lambda: to_csv(book, digits),
            "jsonl": lambda: to_jsonl(book),
            "json": lambda: to_json(book),
        },
    )


def _blocks(book: Gradebook, pretty: bool, digits: int) -> Iterator[Block]:
    asked = " ".join(book.sheet.names)
    yield Heading(f"{book.exercise} · asked {asked} · {count_words(book)}")
    for line in (*map("assumed: {}".format, book.sheet.trace.assumptions), *_remarks(book)):
        yield Paragraph(line, "note")
    right, follows, wrong, blank = "✓→✗·" if pretty else "+>x-"
    legend = (f"{right} right  {follows} right for the answer's own earlier numbers  {wrong} wrong"
              f"  {blank} blank  3/5 right in 3 of 5")  # fmt: skip
    yield from (Gap(), _grades_grid(book, pretty, digits), Paragraph(legend, "note"))
    mistakes = [(count, name, title + (f" (perhaps {possible} more)" if possible else ""))
                for name, title, count, possible in book.summary.histogram]  # fmt: skip
    symbols = [(count, name, units) for name, count, units in often_wrong(book)]
    yield from _counts("mistakes made", ("mistake", "what was done"), mistakes)
    yield from _counts("wrong in itself, by symbol", ("symbol", "units"), symbols)


def _remarks(book: Gradebook) -> Iterator[str]:
    if any(book.sheet.bases.values()):
        yield "units are numbered from 1, as in the file"
    if book.settings.atol is not None:
        yield f"tolerance {significant(book.settings.atol, 6)}"
    if not book.settings.follow_through:
        yield "numbers that only follow from wrong ones do not count"


def _grades_grid(book: Gradebook, pretty: bool, digits: int) -> Grid:
    """Return a row per answer: marks in separate columns if there is room, and the explanation."""
    names = book.sheet.names
    marks = [[mark_text(g.symbols[name], pretty) for name in names] for g in book.grades]
    widths = [max(map(len, column)) for column in zip(names, *marks, strict=True)]
    columns = [
        Column("name", fold=True, widest=NAME_WIDTH), Column("%", right=True, led=True),
        *(Column(name, only="table") for name in names),
        Column("result", fold=True, only="table"), Column("result", fold=True, only="stack"),
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    for grade, own in zip(book.grades, marks, strict=True):
        tone: Tone = "state" if grade.result in ("right", "rounded") else ""
        result = Span(explanation(grade, book.sheet, digits), tone)
        pairs = "  ".join(map("{}:{}".format, names, own))
        notes = [Span("; ".join(grade.notes), "note")] if grade.notes else []
        rows.append([grade.name, decimals(grade.points, 0), *own, [result, *notes],
                     [result, Span(pairs, "note"), *notes]])  # fmt: skip
    narrow = NAME_WIDTH + 6 + sum(widths) + len(widths) + LEAST_EXPLANATION
    return Grid(columns, rows, gap=1, narrow=narrow)


def _counts(
    title: str, heads: tuple[str, str], rows: Sequence[tuple[int, str, str]]
) -> Iterator[Block]:
    """Yield how often each occurs, with bars."""
    columns = (Column("answers", "", right=True), Column(bar=True), Column(heads[0], ""),
               Column(heads[1], "", fold=True))  # fmt: skip
    if rows:
        cells = [(str(count), str(count), name, words) for count, name, words in rows]
        yield from (Gap(), Heading(title), Grid(columns, cells))


# ---- CSV


def to_csv(book: Gradebook, digits: int = 6) -> Iterator[str]:
    """Yield a header, then one row per answer; other columns of the file are passed through."""
    names = book.sheet.names
    other = list(dict.fromkeys(heading for g in book.grades for heading in g.answer.other))
    own = ["name", "points", "result", "digits", "mistakes", "explanation", *names, "follows",
           "notes"]  # fmt: skip
    headings = [f"{each} (given)" if each in own else each for each in other]
    yield csv_line([*own, *map(sheet_cell, headings)])
    for grade in book.grades:
        yield csv_line(
            [
                sheet_cell(grade.name),
                decimals(grade.points, 1),
                grade.result,
                "" if grade.digits is None else str(grade.digits),
                " or ".join(each.id for each in grade.causes),
                sheet_cell(explanation(grade, book.sheet, digits)),
                *(
                    decimals(100 * grade.symbols[name].share(book.settings.follow_through), 1)
                    for name in names
                ),
                " ".join(name for name in names if grade.symbols[name].follows),
                sheet_cell("; ".join(grade.notes)),
                *(sheet_cell(grade.answer.other.get(each, "")) for each in other),
            ]
        )


# ---- JSON


def to_jsonl(book: Gradebook) -> Iterator[str]:
    """Yield one grade per line."""
    for grade in book.grades:
        yield json_text({"schema": "lstm-step/1", **grade_record(grade, book)}) + "\n"


def to_json(book: Gradebook) -> Iterator[str]:
    """Yield one document: what was asked, the summary, and the grades, one per line."""
    head = json_text(
        {
            "schema": "lstm-step/1",
            "command": "grade",
            "version": __version__,
            "exercise": book.exercise,
            "assumptions": list(book.sheet.trace.assumptions),
            "asked": _asked(book),
            "settings": {
                "atol": book.settings.atol,
                "departures": book.settings.departures,
                "follow_through": book.settings.follow_through,
            },
            "summary": summary_record(book),
        },
        indent=1,
    )
    yield head.removesuffix("\n}") + ',\n "answers": [\n  '
    yield ",\n  ".join(json_text(grade_record(grade, book)) for grade in book.grades)
    yield "\n ]\n}\n"


def _asked(book: Gradebook) -> list[dict[str, Any]]:
    layers = book.sheet.trace.layers
    return [
        {
            "symbol": place.symbol,
            "layer": layers[place.run].layer,
            "direction": layers[place.run].direction,
            "t": place.t,
            "units": np.flatnonzero(asked.units).tolist(),
        }
        for place, asked in book.sheet.asked.items()
    ]


def grade_record(grade: Grade, book: Gradebook) -> dict[str, Any]:
    """Return the JSON form of a grade."""
    return {
        "name": grade.name,
        "line": grade.answer.line,
        "result": grade.result,
        "points": round(grade.points, 4),
        "digits": grade.digits,
        "mistakes": [
            {"id": each.id, "title": each.title, "departures": [n for n, _ in each.departures],
             "also": list(each.also)}
            for each in grade.causes
        ],
        "symbols": {
            name: {"status": own.status, "right": own.right, "follows": own.follows,
                   "wrong": own.wrong, "blank": own.blank}
            for name, own in grade.symbols.items()
        },
        "wrong": [_wrong_record(each) for each in grade.wrong],
        "notes": list(grade.notes),
        "other": dict(grade.answer.other),
    }  # fmt: skip


def _wrong_record(each: WrongNumber) -> dict[str, Any]:
    got, right, own = (plain_list(np.asarray(v)) for v in (each.got, each.right, each.own))
    return {"symbol": each.name, "layer": each.layer, "direction": each.direction, "t": each.t,
            "unit": each.unit, "got": got, "right": right, "follows": own}  # fmt: skip


def summary_record(book: Gradebook) -> dict[str, Any]:
    """Return the JSON form of the summary of the class."""
    summary = book.summary
    return {
        "answers": summary.answers,
        "mean": round(summary.mean, 4),
        "results": {result: summary.results[result] for result in RESULTS},
        "mistakes": [
            {"id": name, "title": title, "count": certain, "possible": possible}
            for name, title, certain, possible in summary.histogram
        ],
        "symbols": {
            name: {
                "wrong": summary.symbols[name],
                "follows": summary.follows[name],
                "blank": summary.blank[name],
                "units": {str(unit): n for (own, unit), n in sorted(summary.wrong.items())
                          if own == name},
            }
            for name in book.sheet.names
        },
    }  # fmt: skip
