"""Answers in CSV, with each row read independently, so that none can affect another."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lstm_cli.base.errors import InputError, safe
from lstm_cli.commands.grade.answers import (
    MAX_CELL,
    MAX_COLUMNS,
    MAX_LINE,
    MAX_NAME,
    MAX_OTHER,
    NAMES,
    Answer,
    AnswerColumn,
    column_of,
    shown_name,
)

# Most lines that a quoted cell may span; beyond that the quote is taken as a typo.
MAX_QUOTED_LINES = 20
TIMES = ("t", "step")
HINT = (
    "a header such as name,f_0,f_1,h_0,h_1 and a row for each answer; "
    "`lstm-step exercise --template FILE` writes one"
)


@dataclass(frozen=True, eq=False)
class _Header:
    """Meaning of each cell in a row: a column of numbers, the name, the step, or passed through."""

    cells: tuple[str, ...]
    columns: Mapping[int, AnswerColumn]
    name: int | None
    time: int | None
    delimiter: str

    @property
    def other(self) -> dict[int, str]:
        """Headings of the columns that are passed through, by index."""
        own = {self.name, self.time, *self.columns}
        return {n: text for n, text in enumerate(self.cells) if n not in own and text}


def from_csv(text: str, symbols: Sequence[str], place: str) -> Iterator[Answer]:
    """Yield the answers in a CSV; arguments and errors as for `read_answers`."""
    lines = [_cut(line) for line in io.StringIO(text, newline=None)]
    first = next(n for n, line in enumerate(lines) if line.strip())
    told = re.fullmatch(r"sep=(.)\s*", lines[first])
    first += bool(told)
    header = _header(lines[first] if first < len(lines) else "", symbols, told[1] if told else "")
    if not header.columns:
        raise InputError("no column holds an answer", where=f"{place}, line {first + 1}", hint=HINT)
    answers = (
        _row_answer(cells, header, number, notes)
        for number, cells, notes in _records(lines, first + 1, header)
    )
    yield from answers if header.time is None else _merged(answers)


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE else line[:MAX_LINE] + "\n"


def _header(line: str, symbols: Sequence[str], told: str) -> _Header:
    """Parse the header with the delimiter that gives the most columns."""
    read = [_header_with(mark, line, symbols) for mark in (told or ",;\t|")]
    return max(read, key=lambda each: (len(each.columns), each.name is not None))


def _header_with(delimiter: str, line: str, symbols: Sequence[str]) -> _Header:
    cells = tuple(cell.strip()[:MAX_NAME] for cell in _split(line, delimiter))[:MAX_COLUMNS]
    found: dict[AnswerColumn, int] = {}
    for place, cell in enumerate(cells):
        column = column_of(cell, symbols)
        if column is not None:
            found.setdefault(column, place)
    columns = {place: column for column, place in found.items()}
    free = {n: cell.casefold() for n, cell in enumerate(cells) if n not in columns}
    name = _place_of(NAMES, free)
    if name is None:  # "First name", "Student number": as written by learning platforms
        name = next(
            (n for n, cell in free.items() if any(each in cell for each in NAMES[:2])), None
        )
    return _Header(cells, columns, name, _place_of(TIMES, free), delimiter)


def _place_of(names: Sequence[str], free: Mapping[int, str]) -> int | None:
    """Return the first column that has one of the names, in order of preference."""
    return next((n for each in names for n, cell in free.items() if cell == each), None)


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return line.rstrip("\n").split(delimiter)


def _records(
    lines: Sequence[str], start: int, header: _Header
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield (line number, cells, notes) of each row.

    An unclosed quote would swallow everything that follows: a quote is honoured only if the
    resulting row has the right number of cells and no line in it is a row of its own.
    """
    place = start
    while place < len(lines):
        number, cells, used, notes = place + 1, *_record(lines, place, header)
        place += used
        if any(cell.strip() for cell in cells):
            yield number, cells, notes


def _record(lines: Sequence[str], place: int, header: _Header) -> tuple[list[str], int, list[str]]:
    line, mark = lines[place], header.delimiter
    if '"' not in line:
        return line.rstrip("\n").split(mark), 1, []
    ahead = lines[place : place + MAX_QUOTED_LINES]
    reader = csv.reader(ahead, delimiter=mark)
    try:
        cells = next(reader)
    except csv.Error:
        cells = []
    used = reader.line_num
    whole = used == 1 and bool(cells) and not _open(line, mark)
    joined = len(cells) == len(header.cells) and not any(
        each.count('"') % 2 == 0 and len(_split(each, mark)) == len(cells) for each in ahead[1:used]
    )
    if whole or (used > 1 and joined):
        return cells, used, []
    return line.rstrip("\n").split(mark), 1, ["a quote is not closed"]


def _open(line: str, delimiter: str) -> bool:
    """Whether a line ends inside quotes."""
    reader = csv.reader([line, "x"], delimiter=delimiter)
    try:
        next(reader)
    except csv.Error:
        return True
    return reader.line_num > 1


def _row_answer(cells: list[str], header: _Header, line: int, notes: list[str]) -> Answer:
    cells, more = _fitted(cells, header)
    notes = notes + more
    name = cells[header.name].strip() if header.name is not None else ""
    written = {}
    for place, column in header.columns.items():
        if text := cells[place].strip():
            written[column] = text[:MAX_CELL]
    if header.time is not None:
        t = cells[header.time].strip()
        if not re.fullmatch(r"[0-9]{1,6}", t):
            notes.append(f"'{safe(t[:20])}' is not a step")
            written = {}
        else:
            written = {column._replace(t=int(t)): text for column, text in written.items()}
    other = {heading: cells[place].strip()[:MAX_OTHER] for place, heading in header.other.items()}
    return Answer(shown_name(name, line), written, tuple(header.columns.values()), other, line,
                  tuple(notes))  # fmt: skip


def _fitted(cells: list[str], header: _Header) -> tuple[list[str], list[str]]:
    """Fit the cells to the header; return them with notes on what was done."""
    wanted = len(header.cells)
    while len(cells) > wanted and not cells[-1].strip():
        cells = cells[:-1]
    if len(cells) == wanted:
        return cells, []
    if len(cells) < wanted:
        lack = wanted - len(cells)
        return cells + [""] * lack, [f"{lack} cell{'s' * (lack != 1)} missing"]
    halves = _halves_joined(cells, header)
    if halves is not None:
        return halves, ["decimal commas"]
    return cells[:wanted], [f"{len(cells)} cells, the header has {wanted}: the rest is ignored"]


def _halves_joined(cells: list[str], header: _Header) -> list[str] | None:
    """Rejoin numbers that were split at decimal commas; None if that does not fit."""
    numbers = [place for place, column in header.columns.items() if column.unit is not None]
    if header.delimiter != "," or len(cells) != len(header.cells) + len(numbers):
        return None
    rest, joined = iter(cells), []
    for place in range(len(header.cells)):
        cell = next(rest)
        if place in numbers:
            half = next(rest)
            if not re.fullmatch(r"\s*[+-]?[0-9]+", cell) or not re.fullmatch(r"[0-9]+\s*", half):
                return None
            cell = f"{cell},{half}"
        joined.append(cell)
    return joined


def _merged(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Merge the rows of each name into one answer, if each row is a step."""
    grouped: dict[str, list[Answer]] = {}
    for answer in answers:
        grouped.setdefault(answer.name, []).append(answer)
    for name, rows in grouped.items():
        cells: dict[AnswerColumn, str] = {}
        notes = [note for row in rows for note in row.notes]
        for row in rows:
            twice = [column for column in row.cells if column in cells]
            if twice:
                notes.append(f"t = {twice[0].t} occurs twice: the first counts")
            cells = {**row.cells, **cells}
        yield Answer(name, cells, (), rows[0].other, rows[0].line, tuple(dict.fromkeys(notes)))
