"""Answers in JSON: an array, or one per line, with numbers kept as text."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

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

# Maximum number of other members that are passed through.
MAX_OTHERS = 50


class _Literal(str):
    """A number in a JSON document as text, so that its digits can be counted."""

    __slots__ = ()


def _loads(text: str) -> Any:
    """Parse a JSON document, keeping numbers as text; None if it is not JSON."""
    try:
        return json.loads(text, parse_float=_Literal, parse_int=_Literal, parse_constant=_Literal)
    except (ValueError, RecursionError):
        return None


def from_json(text: str, symbols: Sequence[str]) -> Iterator[Answer]:
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


def _document_answer(document: Any, symbols: Sequence[str], line: int) -> Answer:
    if not isinstance(document, dict):
        return Answer(shown_name("", line), {}, line=line, notes=("not a JSON object: skipped",))
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
    return Answer(shown_name(name, line), cells, tuple(columns), other, line)


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
