"""The rows of a list as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lstm_cli.show.answer import Answer, one_record
from lstm_cli.show.document import ALWAYS, Cell, Column, Document, Grid, Tone

# Fields that are shown with their names.
_LED = ("source", "gates", "confirmed by", "read", "written", "missing", "cause", "fix", "options",
        "certain")  # fmt: skip
# Fields whose heading is not their name: "missing" refers to this machine.
_ONLY: dict[str, Literal["table", "stack"]] = {
    "numbers": "table", "kind": "table", "missing": "stack",
}  # fmt: skip


def list_answer(rows: Sequence[Mapping[str, Any]]) -> Answer:
    """Return what `list` answers; rows as `list_document`."""
    return Answer(lambda style: list_document(rows), one_record(lambda: rows))


def list_document(rows: Sequence[Mapping[str, Any]]) -> Document:
    """Lay out rows that all have the same fields, `name` first."""
    cells = [[_cell(value) for value in row.values()] for row in rows]
    return Document((Grid(list(map(_column, rows[0])), cells, narrow=ALWAYS),))


def _column(key: str) -> Column:
    tone: Tone = "strong" if key == "name" else "note" if key in _LED else ""
    return Column(key, "", tone=tone, led=key in _LED, only=_ONLY.get(key, ""))


def _cell(value: Any) -> Cell:
    return [str(each) for each in value] if isinstance(value, list) else str(value)
