"""Output of grades as a document, CSV, JSONL and JSON.

Names and other foreign text are sanitized for their destination: no escape sequence reaches a
terminal, and no cell of the CSV is a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from lstm_cli.base.foreign import csv_line, sheet_cell
from lstm_cli.base.numbers import decimals, significant
from lstm_cli.base.version import __version__
from lstm_cli.cell.notation import UNICODE, Style
from lstm_cli.commands.grade.results import RESULTS, Grade, WrongNumber
from lstm_cli.commands.grade.summary import Gradebook
from lstm_cli.commands.grade.words import count_words, explanation, mark_text, often_wrong
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

# A name wider than this is wrapped.
NAME_WIDTH = 24
# Minimum width of the explanation next to the marks; if narrower, marks go below it.
LEAST_EXPLANATION = 30


# ---- for people: a document


def grade_answer(book: Gradebook, digits: int = 6) -> Answer:
    """Return what `grade` answers."""
    return Answer(
        lambda style: grade_document(book, style=style, digits=digits),
        {form: partial(made, book, __version__, digits) for form, made in FORMATS.items()},
    )


def grade_document(book: Gradebook, *, style: Style = UNICODE, digits: int = 6) -> Document:
    """Show one row per answer, then a summary of the class.

    Args:
        book: the grades.
        style: Unicode, or another that has no signs for right and wrong.
        digits: decimals of numbers.
    """
    return Document([*_blocks(book, style is UNICODE, digits)])


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


def to_csv(book: Gradebook, version: str, digits: int = 6) -> Iterator[str]:
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
                *_shares(book, grade),
                " ".join(name for name in names if grade.symbols[name].follows),
                sheet_cell("; ".join(grade.notes)),
                *(sheet_cell(grade.answer.other.get(each, "")) for each in other),
            ]
        )


def _shares(book: Gradebook, grade: Grade) -> Iterator[str]:
    for name in book.sheet.names:
        share = grade.symbols[name].share(book.settings.follow_through)
        yield decimals(100 * share, 1)


# ---- JSON


def to_jsonl(book: Gradebook, version: str, digits: int = 6) -> Iterator[str]:
    """Yield one grade per line."""
    for grade in book.grades:
        yield json_text({"schema": "lstm-step/1", **grade_record(grade, book)}) + "\n"


def to_json(book: Gradebook, version: str, digits: int = 6) -> Iterator[str]:
    """Yield one document: what was asked, the summary, and the grades, one per line."""
    head = json_text(
        {
            "schema": "lstm-step/1",
            "command": "grade",
            "version": version,
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


FORMATS: dict[str, Callable[[Gradebook, str, int], Iterator[str]]] = {
    "csv": to_csv,
    "jsonl": to_jsonl,
    "json": to_json,
}
