"""Fault-tolerant reading of answers from a file: CSV, JSONL or a JSON array.

A fault in a row costs at most that row: bytes that are not text, unclosed quotes, too many or too
few cells, endless lines.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lstm_cli.base.errors import InputError, safe
from lstm_cli.cell.cells import LSTM
from lstm_cli.files.safe import open_checked, open_stdin

MAX_BYTES = 64 * 2**20
MAX_ANSWERS = 100_000
# Maximum lengths: of a line, a cell, a name, a cell that is only passed through.
MAX_LINE = 100_000
MAX_CELL = 20_000
MAX_NAME = 200
MAX_OTHER = 500
MAX_COLUMNS = 5000

NAMES = ("name", "student", "id")
# Maximum number of other members that are passed through.
MAX_OTHERS = 50
# Most lines that a quoted cell may span; beyond that the quote is taken as a typo.
MAX_QUOTED_LINES = 20
TIMES = ("t", "step")
HINT = (
    "a header such as name,f_0,f_1,h_0,h_1 and a row for each answer; "
    "`lstm-step exercise --template FILE` writes one"
)


class AnswerColumn(NamedTuple):
    """Meaning of a column.

    Attributes:
        symbol: a row of the cell's table, or `layer0_forward_f`.
        unit: the unit as numbered in the file, or None for a whole vector.
        t: the step, or None for the last (or for all, if the text has a row for each).
    """

    symbol: str
    unit: int | None = None
    t: int | None = None


@dataclass(frozen=True, eq=False)
class Submission:
    """One person's submission.

    Attributes:
        name: the person.
        cells: the text of each column that was filled in.
        columns: the columns to fill in: the file's header, or in JSON the answer's own members.
        other: data passed through, by heading.
        line: where it starts in the file, from 1.
        notes: what had to be corrected to read it.
    """

    name: str
    cells: Mapping[AnswerColumn, str]
    columns: tuple[AnswerColumn, ...] = ()
    other: Mapping[str, str] = field(default_factory=dict)
    line: int = 0
    notes: tuple[str, ...] = ()


_COLUMN = re.compile(
    r"(?P<symbol>.*?)(?:@(?P<t>[0-9]{1,6}))?"
    r"(?:_(?P<unit>[0-9]{1,6})|\[(?P<index>[0-9]{1,6})\])?(?:@(?P<late>[0-9]{1,6}))?",
    re.DOTALL,
)


def column_of(heading: str, symbols: Sequence[str]) -> AnswerColumn | None:
    """Parse a heading such as `h`, `f_0`, `f[0]`, `h@2` or `h_0@2`; None if it is not one.

    `F`, `f_t` and `C̃_t` mean f, f and g, unless they name another symbol.
    """
    if heading in symbols:
        return AnswerColumn(heading)
    match = _COLUMN.fullmatch(heading.strip())
    assert match is not None  # all parts are optional
    symbol = _symbol(match["symbol"], symbols)
    if symbol is None or (match["t"] and match["late"]):
        return None
    unit, t = match["unit"] or match["index"], match["t"] or match["late"]
    return AnswerColumn(symbol, None if unit is None else int(unit), None if t is None else int(t))


def _symbol(text: str, symbols: Sequence[str]) -> str | None:
    if text in symbols:
        return text
    plain = unicodedata.normalize("NFD", text.strip()).casefold()
    plain = plain.removesuffix("_t")
    plain = "g" if plain in ("c\u0303", "c~", "c_tilde") else plain
    return plain if plain in symbols else None


def _shown_name(text: str, line: int) -> str:
    """Return a name truncated to `MAX_NAME`, or the answer's line if it has none."""
    return text[:MAX_NAME] + "…" * (len(text) > MAX_NAME) if text else f"line {line}"


# ---- files


def read_answers(path: str, symbols: Sequence[str] = LSTM.symbols) -> Iterator[Submission]:
    """Yield the answers in a file, or on stdin for `-`.

    Args:
        path: CSV (with commas, semicolons or tabs, as in its header), JSONL, or a JSON array.
        symbols: the symbols that a column may have; other columns are passed through.

    Raises:
        InputError: the file as a whole cannot be read, or no column holds an answer.
    """
    text, place = _text(path), safe(path)
    start = text.lstrip()[:1]
    if not start:
        raise InputError("the file is empty", where=place, hint=HINT)
    rows = from_json(text, symbols) if start in "{[" else from_csv(text, symbols, place)
    for number, answer in enumerate(rows):
        if number >= MAX_ANSWERS:
            raise InputError(
                f"more than {MAX_ANSWERS:,} answers", where=place, hint="split the file"
            )
        yield answer


def _text(path: str) -> str:
    """Read a file as text, whatever its bytes are."""
    if path == "-":
        stdin = open_stdin("reading answers from the terminal; end with Ctrl-D")
        data = stdin.read(MAX_BYTES + 1)
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
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # "Unicode text" in spreadsheets
        return data.decode("utf-16", errors="replace")
    data = data.removeprefix(b"\xef\xbb\xbf")
    return "".join(_line_text(line) for line in data.splitlines(keepends=True))


def _line_text(line: bytes) -> str:
    """Decode a line as UTF-8, or else in the encoding of older spreadsheets."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")


# ---- CSV: each row is read independently, so that none can affect another


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


def from_csv(text: str, symbols: Sequence[str], place: str) -> Iterator[Submission]:
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


def _row_answer(cells: list[str], header: _Header, line: int, notes: list[str]) -> Submission:
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
    return Submission(_shown_name(name, line), written, tuple(header.columns.values()), other, line,
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


def _merged(answers: Iterable[Submission]) -> Iterator[Submission]:
    """Merge the rows of each name into one answer, if each row is a step."""
    grouped: dict[str, list[Submission]] = {}
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
        yield Submission(name, cells, (), rows[0].other, rows[0].line, tuple(dict.fromkeys(notes)))


# ---- JSON: an array, or one per line, with numbers kept as text


class _Literal(str):
    """A number in a JSON document as text, so that its digits can be counted."""

    __slots__ = ()


def _loads(text: str) -> Any:
    """Parse a JSON document, keeping numbers as text; None if it is not JSON."""
    try:
        return json.loads(text, parse_float=_Literal, parse_int=_Literal, parse_constant=_Literal)
    except (ValueError, RecursionError):
        return None


def from_json(text: str, symbols: Sequence[str]) -> Iterator[Submission]:
    """Yield the answers in a JSON document, or in one document per line."""
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


def _document_answer(document: Any, symbols: Sequence[str], line: int) -> Submission:
    if not isinstance(document, dict):
        return Submission(
            _shown_name("", line), {}, line=line, notes=("not a JSON object: skipped",)
        )
    fields = dict(document)
    inner = fields.pop("answers", None)
    if isinstance(inner, dict):
        fields = {**fields, **inner}
    key = next((key for key in NAMES if _is_text(fields.get(key))), "")
    name = str(fields.pop(key, "")).strip()
    cells: dict[AnswerColumn, str] = {}
    columns: list[AnswerColumn] = []
    other: dict[str, str] = {}
    for heading, value in list(fields.items())[:MAX_COLUMNS]:
        column = column_of(heading, symbols)
        if column is not None:
            rows = len(value) if _nested(value) else 0
            columns += [column._replace(t=t + 1) for t in range(rows)] or [column]
            cells.update(_json_cells(column, value))
        elif _is_text(value) and len(other) < MAX_OTHERS:
            other[heading[:MAX_NAME]] = str(value)[:MAX_OTHER]
    return Submission(_shown_name(name, line), cells, tuple(columns), other, line)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, list) for each in value)


def _json_cells(column: AnswerColumn, value: Any) -> Iterator[tuple[AnswerColumn, str]]:
    """Yield the cells of a member: a text, a number, a list of these, or a list per step."""
    if not isinstance(value, list):
        if _is_text(value):
            yield column, value[:MAX_CELL]
        return
    nested = _nested(value)
    for t, row in enumerate(value if nested else [value], 1):
        for unit, each in enumerate(row if isinstance(row, list) else []):
            if _is_text(each):
                when = t if nested else column.t
                yield AnswerColumn(column.symbol, unit, when), each[:MAX_CELL]
