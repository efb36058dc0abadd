"""Output of grades as a table, CSV, JSONL and JSON.

Names and other foreign text are sanitized for their destination: no escape sequence reaches a
terminal, and no cell of the CSV is a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lstm_cli.base.foreign import csv_line, sheet_cell
from lstm_cli.base.numbers import decimals, significant
from lstm_cli.commands.grade.results import RESULTS, Grade, WrongNumber
from lstm_cli.commands.grade.summary import Gradebook
from lstm_cli.commands.grade.words import count_words, explanation, mark_text, often_wrong
from lstm_cli.files.output import json_text, plain_list
from lstm_cli.show.rows import View
from lstm_cli.show.terminal import Page, new_table

# A name wider than this is wrapped.
NAME_WIDTH = 24
BAR_WIDTH = 20
# Minimum width of the explanation next to the marks; if narrower, marks go below it.
LEAST_EXPLANATION = 30


# ---- the table


def print_grades(console: Console, book: Gradebook, view: View) -> None:
    """Print one row per answer, then a summary of the class."""
    page = Page(console, view)
    trace = book.sheet.trace
    asked = " ".join(book.sheet.names)
    page.print(page.text(f"{book.exercise} · asked {asked} · {count_words(book)}",
                         page.look.heading))  # fmt: skip
    for line in (*map("assumed: {}".format, trace.assumptions), *_remarks(book)):
        page.print(page.text(line, page.look.note))
    page.print()
    page.print(_grades_table(page, book))
    page.print(page.text(_legend(page.pretty), page.look.note))
    _print_mistakes(page, book)
    _print_often_wrong(page, book)


def _remarks(book: Gradebook) -> Iterator[str]:
    if any(book.sheet.bases.values()):
        yield "units are numbered from 1, as in the file"
    if book.settings.atol is not None:
        yield f"tolerance {significant(book.settings.atol, 6)}"
    if not book.settings.follow_through:
        yield "numbers that only follow from wrong ones do not count"


def _legend(pretty: bool) -> str:
    right, follows, wrong, blank = "✓→✗·" if pretty else "+>x-"
    return (
        f"{right} right  {follows} right for the answer's own earlier numbers  {wrong} wrong  "
        f"{blank} blank  3/5 right in 3 of 5"
    )


def _grades_table(page: Page, book: Gradebook) -> Table:
    names = book.sheet.names
    rows = [[mark_text(g.symbols[name], page.pretty) for name in names] for g in book.grades]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    left = page.console.width - NAME_WIDTH - 6 - sum(widths) - len(widths)
    apart = left >= LEAST_EXPLANATION
    table = new_table(page, (), gap=1)
    table.add_column(page.text("name"), max_width=NAME_WIDTH, overflow="fold")
    table.add_column("%", justify="right", no_wrap=True)
    for name in names if apart else ():
        table.add_column(page.text(name), no_wrap=True)
    table.add_column("result", overflow="fold")
    for grade, marks in zip(book.grades, rows, strict=True):
        table.add_row(page.text(grade.name), decimals(grade.points, 0), *_cells(
            page, book, grade, marks, apart))  # fmt: skip
    return table


def _cells(
    page: Page, book: Gradebook, grade: Grade, marks: Sequence[str], apart: bool
) -> Iterator[Any]:
    """Yield the marks, in separate columns if there is room, and the explanation."""
    style = page.look.state if grade.result in ("right", "rounded") else ""
    text = page.text(explanation(grade, book.sheet, page.view.digits), style)
    if apart:
        yield from (page.text(each) for each in marks)
    else:
        pairs = (f"{name}:{own}" for name, own in zip(book.sheet.names, marks, strict=True))
        text.append("\n").append_text(page.text("  ".join(pairs), page.look.note))
    if grade.notes:
        text.append("\n").append_text(page.text("; ".join(grade.notes), page.look.note))
    yield text


def _print_mistakes(page: Page, book: Gradebook) -> None:
    rows = book.summary.histogram
    if not rows:
        return
    page.print()
    page.print(page.text("mistakes made", page.look.heading))
    most = max(certain for _, _, certain, _ in rows)
    table = Table.grid(padding=(0, 2, 0, 0))
    for justify in ("right", "left", "left"):
        table.add_column(justify=justify, no_wrap=True)
    table.add_column(overflow="fold")
    for name, title, certain, possible in rows:
        perhaps = f" (perhaps {possible} more)" if possible else ""
        table.add_row(str(certain), _bar(page, certain, most), page.text(name),
                      page.text(title + perhaps))  # fmt: skip
    page.print(table)


def _print_often_wrong(page: Page, book: Gradebook) -> None:
    rows = list(often_wrong(book))
    if not rows:
        return
    page.print()
    page.print(page.text("wrong in itself, by symbol", page.look.heading))
    table = Table.grid(padding=(0, 2, 0, 0))
    for justify in ("right", "left", "left"):
        table.add_column(justify=justify, no_wrap=True)
    table.add_column(overflow="fold")
    most = max(count for _, count, _ in rows)
    for name, count, units in rows:
        table.add_row(str(count), _bar(page, count, most), page.text(name), page.text(units))
    page.print(table)


def _bar(page: Page, count: int, most: int) -> str:
    """Return a bar of proportional length, of at least one character."""
    width = min(BAR_WIDTH, page.console.width // 6)
    return ("█" if page.pretty else "#") * (-(-count * width // max(most, 1)))


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
