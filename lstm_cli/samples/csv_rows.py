"""A row of CSV as the object it stands for: a vector in a cell, or one number a column."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lstm_cli.base.errors import InputError, LstmStepError, ShapeError
from lstm_cli.files.vectors import parse_rows
from lstm_cli.samples.tables import documents_of

# A vector's column: all of it (x, expected.h) or one number of it (x_0, expected.h_12).
_COLUMN = re.compile(r"(?P<vector>[xhc]|expected\.\w+?)(?:_(?P<number>[0-9]{1,6}))?")


# Characters of plain numbers: whatever `float` reads of them, `parse_rows` reads too.
_NUMERIC = b"0123456789.eE+-"
_VECTOR = _NUMERIC + b" ,;"
_SCALARS = ("atol", "steps", "forget_bias", "clip", "cell_clip")


def members_of(header: Sequence[str]) -> list[str]:
    """Members of a sample that columns hold; `x_0`, `x_1` … all belong to `x`."""
    matches = [(column, _COLUMN.fullmatch(column)) for column in header]
    return [own["vector"].split(".")[0] if own else column for column, own in matches]


def csv_documents(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Any]:
    """Decode rows a column at a time; None for a row that cannot be decoded."""
    if {len(header)} == set(map(len, rows)) and all(map(all, rows)):
        with contextlib.suppress(ValueError):
            return _by_columns(header, list(zip(*rows, strict=True)))
    return [_document_or_none(header, row) for row in rows]


def _document_or_none(header: Sequence[str], row: Sequence[str]) -> Any:
    try:
        return csv_document(header, row, "")
    except LstmStepError:
        return None


def _by_columns(header: Sequence[str], columns: Sequence[Sequence[str]]) -> list[Any]:
    """Decode rows whose cells are all filled.

    Raises:
        ValueError: a cell that takes `csv_document` to judge.
    """
    found: dict[str, Sequence[Any]] = {}
    numbered: dict[str, dict[int, Sequence[str]]] = {}
    for column, cells in zip(header, columns, strict=True):
        own = _COLUMN.fullmatch(column)
        if column == "expected" or not all(map(str.strip, cells)):
            raise ValueError("a blank cell, for one")
        if own and own["number"]:
            numbered.setdefault(own["vector"], {})[int(own["number"])] = cells
        elif own:
            found[column] = _vectors(cells)
        elif column in _SCALARS:
            found[column] = [_scalar(column, value) for value in _numbers(cells)]
        elif column == "weights":
            found[column] = list(map(_weights, cells))
        else:
            found[column] = cells
    for vector, parts in numbered.items():
        if sorted(parts) != list(range(min(parts), min(parts) + len(parts))):
            raise ValueError("a gap")
        own_rows = zip(*(_numbers(parts[number]) for number in sorted(parts)), strict=True)
        found[vector] = [[list(row)] for row in own_rows]
    return documents_of({
        name: list(map(_single, values)) if name.startswith("expected.") else values
        for name, values in found.items()
    }, {})  # fmt: skip


def _vectors(cells: Sequence[str]) -> list[list[list[float]]]:
    """Parse the vector, or rows of vectors, in each cell."""
    text = "".join(cells)
    if text.encode().translate(None, _VECTOR):
        raise ValueError("brackets or a word, for one")
    between = "," if "," in text else None
    if ";" not in text:
        found = [[list(map(float, cell.split(between)))] for cell in cells]
    else:
        found = [
            [list(map(float, row.split(between))) for row in cell.split(";")] for cell in cells
        ]
    if not all(map(all, found)):
        raise ValueError("an empty row")
    return found


def _numbers(cells: Sequence[str]) -> list[float]:
    if "".join(cells).encode().translate(None, _NUMERIC):
        raise ValueError("several numbers or a word, for one")
    return list(map(float, cells))


def _scalar(column: str, value: float) -> float:
    return int(value) if column == "steps" and value.is_integer() else value


def _weights(cell: str) -> Any:
    if cell.startswith("preset:"):
        return {"preset": cell.removeprefix("preset:")}
    return cell


def csv_document(header: Sequence[str], row: Sequence[str], where: str) -> dict[str, Any]:
    """Decode a row into the object it stands for.

    Raises:
        ShapeError: not as many cells as the header has, vectors of unequal rows.
        InputError: a cell that is not what its column holds, a vector with a gap.
    """
    if len(row) != len(header):
        raise ShapeError(
            f"{len(row)} cells, the header has {len(header)}",
            where=where,
            hint="quote cells that hold commas",
        )
    document: dict[str, Any] = {}
    numbered: dict[str, dict[int, str]] = {}
    for column, cell in zip(header, row, strict=True):
        own = _COLUMN.fullmatch(column)
        if own and own["number"]:
            numbered.setdefault(own["vector"], {})[int(own["number"])] = cell.strip()
        elif not cell.strip():
            continue
        elif own:
            _put(document, own["vector"], parse_rows(cell, column, where).tolist())
        elif column == "weights":
            document["weights"] = _weights(cell)
        elif column == "expected":
            raise InputError(
                "what is expected has a column a symbol",
                where=where,
                hint="call the column expected.h, expected.f, …",
            )
        elif column in _SCALARS:
            document[column] = _scalar(column, float(parse_rows(cell, column, where)[0, 0]))
        else:
            document[column] = cell
    for vector, cells in numbered.items():
        if any(cells.values()):
            _put(document, vector, [_joined(vector, cells, where)])
    return document


def _put(document: dict[str, Any], vector: str, rows: list[list[float]]) -> None:
    if vector.startswith("expected."):
        expected = document.setdefault("expected", {})
        expected[vector.removeprefix("expected.")] = _single(rows)
    else:
        document[vector] = rows


def _single(rows: list[list[float]]) -> list[Any]:
    """What is expected: the numbers of a single row, or rows."""
    return rows if len(rows) > 1 else rows[0]


def _joined(vector: str, cells: Mapping[int, str], where: str) -> list[float]:
    """The numbers of x_0, x_1, … in order of their columns' numbers."""
    first = min(cells)
    values = []
    for number in range(first, first + len(cells)):
        if not cells.get(number):
            lack = "is empty" if number in cells else "has no column"
            raise InputError(
                f"{vector}_{number} {lack}",
                where=where,
                hint=f"fill all of {vector}_{first} … {vector}_{max(cells)}, or none",
            )
        values += parse_rows(cells[number], f"{vector}_{number}", where)[0].tolist()
    return values
