"""Many people's answers, read so that no row can spoil another: CSV, JSONL or a JSON array.

Whatever stands in a row costs at most that row: bytes that are no text, quotes that never close,
cells too many or too few, lines without end.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lstm_cli.cells import LSTM
from lstm_cli.errors import InputError, safe
from lstm_cli.safe_files import open_checked

MAX_BYTES = 64 * 2**20
MAX_ANSWERS = 100_000
# What is longer is cut: a line, a cell, a name, a cell that is only passed on.
MAX_LINE = 100_000
MAX_CELL = 20_000
MAX_NAME = 200
MAX_OTHER = 500
MAX_COLUMNS = 5000
# A cell in quotes may run over so many lines; past them the quote was a slip.
MAX_QUOTED_LINES = 20

NAMES = ("name", "student", "id")
TIMES = ("t", "step")


class Column(NamedTuple):
    """What a column holds.

    Attributes:
        symbol: a row of the cell's table, or `layer0_forward_f`.
        unit: as it is numbered, or None for a whole vector.
        t: the step, or None for the last (for all, where the cell has a row for each).
    """

    symbol: str
    unit: int | None = None
    t: int | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What one person handed in.

    Attributes:
        name: who.
        cells: column -> text, only where something was written.
        columns: what there was to fill in: the file's header, or in JSON the answer's own members.
        other: what is passed on, by its heading.
        line: where it starts in the file, from 1.
        notes: what had to be put right to read it.
    """

    name: str
    cells: Mapping[Column, str]
    columns: tuple[Column, ...] = ()
    other: Mapping[str, str] = field(default_factory=dict)
    line: int = 0
    notes: tuple[str, ...] = ()


def read_answers(path: str, symbols: Sequence[str] = LSTM.symbols) -> Iterator[Answer]:
    """Yield the answers in a file, or on stdin for `-`.

    Args:
        path: CSV (commas, semicolons or tabs, as its header shows), JSONL, or a JSON array.
        symbols: what a column may hold; columns of other names are passed on.

    Raises:
        InputError: the file as a whole cannot be read, or no column holds what is asked.
    """
    text, place = _text(path), safe(path)
    start = text.lstrip()[:1]
    if not start:
        raise InputError("the file is empty", where=place, hint=_HINT)
    rows = _from_json(text, symbols, start) if start in "{[" else _from_csv(text, symbols, place)
    for number, answer in enumerate(rows):
        if number >= MAX_ANSWERS:
            raise InputError(
                f"more than {MAX_ANSWERS:,} answers", where=place, hint="split the file"
            )
        yield answer


_HINT = (
    "a header such as name,f_0,f_1,h_0,h_1 and a row for each answer; "
    "`lstm-step explain --exercise --template FILE` writes one"
)


def _text(path: str) -> str:
    """Return a file's text, whatever its bytes are."""
    if path == "-":
        if sys.stdin is None:
            raise InputError("stdin is closed", where="stdin", hint="name a file")
        if sys.stdin.isatty():
            print("reading answers from the terminal, Ctrl-D ends them", file=sys.stderr)
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        with open_checked(Path(path)) as stream:
            try:
                data = stream.read(MAX_BYTES + 1)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise InputError(
                    f"cannot read: {reason}", where=safe(path), hint="check the path"
                ) from None
    if len(data) > MAX_BYTES:
        raise InputError(
            f"more than {MAX_BYTES:,} bytes", where=safe(path), hint="split the file"
        )  # fmt: skip
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # what spreadsheets call Unicode text
        return data.decode("utf-16", errors="replace")
    data = data.removeprefix(b"\xef\xbb\xbf")
    return "".join(_line_text(line) for line in data.splitlines(keepends=True))


def _line_text(line: bytes) -> str:
    """Return a line as text: UTF-8, or else what an older spreadsheet writes."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")


# ---- CSV


@dataclass(frozen=True, eq=False)
class _Header:
    """What each cell of a row is: a column of numbers, the name, the step, or passed on."""

    cells: tuple[str, ...]
    columns: Mapping[int, Column]
    name: int | None
    time: int | None
    delimiter: str

    @property
    def other(self) -> dict[int, str]:
        """Place -> heading of what is passed on."""
        own = {self.name, self.time, *self.columns}
        return {n: text for n, text in enumerate(self.cells) if n not in own and text}


def _from_csv(text: str, symbols: Sequence[str], place: str) -> Iterator[Answer]:
    lines = [_cut(line) for line in io.StringIO(text, newline=None)]
    first = next(n for n, line in enumerate(lines) if line.strip())
    told = re.fullmatch(r"sep=(.)\s*", lines[first])
    first += bool(told)
    header = _header(lines[first] if first < len(lines) else "", symbols, told[1] if told else "")
    if not header.columns:
        raise InputError(
            "no column holds an answer", where=f"{place}, line {first + 1}", hint=_HINT
        )
    answers = (
        _row_answer(cells, header, number, notes)
        for number, cells, notes in _records(lines, first + 1, header)
    )
    yield from answers if header.time is None else _merged(answers)


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE else line[:MAX_LINE] + "\n"


def _header(line: str, symbols: Sequence[str], told: str) -> _Header:
    """Return the header read with the delimiter that gives it most columns."""
    read = [_header_with(mark, line, symbols) for mark in (told or ",;\t|")]
    return max(read, key=lambda each: (len(each.columns), each.name is not None))


def _header_with(delimiter: str, line: str, symbols: Sequence[str]) -> _Header:
    cells = tuple(cell.strip()[:MAX_NAME] for cell in _split(line, delimiter))[:MAX_COLUMNS]
    columns: dict[int, Column] = {}
    for place, cell in enumerate(cells):
        column = column_of(cell, symbols)
        if column is not None and column not in columns.values():
            columns[place] = column
    return _Header(cells, columns, _place_of(NAMES, cells, columns),
                   _place_of(TIMES, cells, columns), delimiter)  # fmt: skip


def _place_of(
    names: Sequence[str], cells: Sequence[str], columns: Mapping[int, Column]
) -> int | None:
    plain = [cell.casefold() for cell in cells]
    return next(
        (plain.index(each) for each in names if each in plain and plain.index(each) not in columns),
        None,
    )


_COLUMN = re.compile(
    r"(?P<symbol>.*?)(?:@(?P<t>[0-9]{1,6}))?"
    r"(?:_(?P<unit>[0-9]{1,6})|\[(?P<index>[0-9]{1,6})\])?(?:@(?P<late>[0-9]{1,6}))?"
)


def column_of(heading: str, symbols: Sequence[str]) -> Column | None:
    """Return what a heading such as `h`, `f_0`, `f[0]`, `h@2` or `h_0@2` says; None for another.

    `F`, `f_t` and `C̃_t` are f, f and g, where no other symbol is meant.
    """
    if heading in symbols:
        return Column(heading)
    match = _COLUMN.fullmatch(heading.strip())
    assert match is not None  # everything in it may be absent
    symbol = _symbol(match["symbol"], symbols)
    if symbol is None or (match["t"] and match["late"]):
        return None
    unit, t = match["unit"] or match["index"], match["t"] or match["late"]
    return Column(symbol, None if unit is None else int(unit), None if t is None else int(t))


def _symbol(text: str, symbols: Sequence[str]) -> str | None:
    if text in symbols:
        return text
    plain = unicodedata.normalize("NFD", text.strip()).casefold()
    plain = plain.removesuffix("_t")
    plain = "g" if plain in ("c\u0303", "c~", "c_tilde") else plain
    return plain if plain in symbols else None


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return line.rstrip("\n").split(delimiter)


def _records(
    lines: Sequence[str], start: int, header: _Header
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield (line number, cells, notes) of each row.

    A quote that is not closed would swallow all that follows: it is taken as one only where the
    row it makes has the right number of cells and no line in it is a row of its own.
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
    return Answer(_name(name, line), written, tuple(header.columns.values()), other, line,
                  tuple(notes))  # fmt: skip


def _name(text: str, line: int) -> str:
    return text[:MAX_NAME] + "…" * (len(text) > MAX_NAME) if text else f"line {line}"


def _fitted(cells: list[str], header: _Header) -> tuple[list[str], list[str]]:
    """Return as many cells as the header has, and what was done to get them."""
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
    return cells[:wanted], [f"{len(cells)} cells, the header has {wanted}: the rest is not read"]


def _halves_joined(cells: list[str], header: _Header) -> list[str] | None:
    """Return cells with numbers whole again that decimal commas had cut in two; None if not."""
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
    """Yield one answer for all rows of a name, where each row is a step."""
    grouped: dict[str, list[Answer]] = {}
    for answer in answers:
        grouped.setdefault(answer.name, []).append(answer)
    for name, rows in grouped.items():
        cells: dict[Column, str] = {}
        notes = [note for row in rows for note in row.notes]
        for row in rows:
            twice = [column for column in row.cells if column in cells]
            if twice:
                notes.append(f"t = {twice[0].t} is there twice: the first counts")
            cells = {**row.cells, **cells}
        yield Answer(name, cells, (), rows[0].other, rows[0].line, tuple(dict.fromkeys(notes)))


# ---- JSON


class _Literal(str):
    """A number of a JSON document as it is written, so that its digits can be counted."""

    __slots__ = ()


def _loads(text: str) -> Any:
    """Return a JSON document, numbers as they are written; None where it is none."""
    try:
        return json.loads(text, parse_float=_Literal, parse_int=_Literal, parse_constant=_Literal)
    except (ValueError, RecursionError):
        return None


def _from_json(text: str, symbols: Sequence[str], start: str) -> Iterator[Answer]:
    """Yield the answers of a JSON document, or else of one a line."""
    whole = _loads(text)
    if isinstance(whole, dict):
        inner = whole.get("answers")
        whole = inner if isinstance(inner, list) else [whole]
    if isinstance(whole, list):
        for number, document in enumerate(whole, 1):
            yield _document_answer(document, symbols, number)
        return
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if line.strip():
            too_long = len(line) > MAX_LINE
            yield _document_answer(None if too_long else _loads(line), symbols, number)


def _document_answer(document: Any, symbols: Sequence[str], line: int) -> Answer:
    if not isinstance(document, dict):
        return Answer(_name("", line), {}, line=line, notes=("not a JSON object: not read",))
    fields = dict(document)
    inner = fields.pop("answers", None)
    if isinstance(inner, dict):
        fields = {**fields, **inner}
    key = next((key for key in NAMES if _is_text(fields.get(key))), "")
    name = str(fields.pop(key, "")).strip()
    cells: dict[Column, str] = {}
    columns: list[Column] = []
    other: dict[str, str] = {}
    for heading, value in list(fields.items())[:MAX_COLUMNS]:
        column = column_of(heading, symbols)
        if column is not None:
            rows = len(value) if _nested(value) else 0
            columns += [column._replace(t=t + 1) for t in range(rows)] or [column]
            cells.update(_json_cells(column, value))
        elif _is_text(value) and len(other) < 50:
            other[heading[:MAX_NAME]] = str(value)[:MAX_OTHER]
    return Answer(_name(name, line), cells, tuple(columns), other, line)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, list) for each in value)


def _json_cells(column: Column, value: Any) -> Iterator[tuple[Column, str]]:
    """Yield what a member holds: a text, a number, a list of them, or one list for each step."""
    if not isinstance(value, list):
        if _is_text(value):
            yield column, value[:MAX_CELL]
        return
    nested = _nested(value)
    for t, row in enumerate(value if nested else [value], 1):
        for unit, each in enumerate(row if isinstance(row, list) else []):
            if _is_text(each):
                when = t if nested else column.t
                yield Column(column.symbol, unit, when), each[:MAX_CELL]
