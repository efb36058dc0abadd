"""A row of CSV as the object it stands for: a vector in a cell, or one number a column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lstm_cli.errors import InputError, ShapeError
from lstm_cli.vectors import parse_rows

# A vector's column: all of it (x, expected.h) or one number of it (x_0, expected.h_12).
_COLUMN = re.compile(r"(?P<vector>[xhc]|expected\.\w+?)(?:_(?P<number>[0-9]{1,6}))?")


def csv_document(header: Sequence[str], row: Sequence[str], where: str) -> dict[str, Any]:
    """Return the object of a row.

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
    document: dict[str, Any] = {"expected": {}}
    numbered: dict[str, dict[int, str]] = {}
    for column, cell in zip(header, row, strict=True):
        own = _COLUMN.fullmatch(column)
        if own and own["number"]:
            numbered.setdefault(own["vector"], {})[int(own["number"])] = cell.strip()
        elif not cell.strip():
            continue
        elif own:
            _put(document, own["vector"], parse_rows(cell, column, where).tolist())
        elif column == "weights" and cell.startswith("preset:"):
            document["weights"] = {"preset": cell.removeprefix("preset:")}
        elif column in ("atol", "steps", "forget_bias", "clip", "cell_clip"):
            value = float(parse_rows(cell, column, where)[0, 0])
            document[column] = int(value) if column == "steps" and value.is_integer() else value
        else:
            document[column] = cell
    for vector, cells in numbered.items():
        if any(cells.values()):
            _put(document, vector, [_joined(vector, cells, where)])
    return document


def _put(document: dict[str, Any], vector: str, rows: list[list[float]]) -> None:
    if vector.startswith("expected."):
        name = vector.removeprefix("expected.")
        document["expected"][name] = rows if len(rows) > 1 else rows[0]
    else:
        document[vector] = rows


def _joined(vector: str, cells: Mapping[int, str], where: str) -> list[float]:
    """Return the numbers of x_0, x_1, … in the order of their columns' numbers."""
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
