"""User-defined cells in TOML files: a table of equations, which is data and never code.

    name = "my-cell"
    title = "a one-line description"
    equations = '''
    z_f = W_f @ [h_prev, x] + b_f    # forget gate, pre-activation
    …
    '''

or an edit of an existing cell: `base = "lstm"` with `[edit]` and `f = "1 - i"`, where `old` stands
for the replaced row.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from lstm_cli.base.errors import CellError, InputError, safe, suggest
from lstm_cli.cell.cells import Cell, cell_named, parse_table
from lstm_cli.cell.notation import write
from lstm_cli.cell.roles import misnamed
from lstm_cli.files.safe import read_text

_KEYS = ("name", "title", "source", "equations", "base", "edit")

# A table of hundreds of rows; the largest cell in the literature needs a thirtieth of that.
MAX_CHARACTERS = 2**16
# Python's parser needs time and memory quadratic in the parts of a key: a.a.a.a.a.a… Ours have two,
# and no text or comment in a cell has this many words separated by nothing but dots.
_LONG_KEY = re.compile(
    r"""(?<![A-Za-z0-9_\\-])(?:(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
    r"[ \t]*\.[ \t]*){16}"
)


def read_cell(name: str) -> Cell:
    """Return a cell by name, or from a file if `name` ends in `.toml`.

    Raises:
        UsageError: no such cell.
        InputError: the file cannot be read or is not TOML.
        CellError: the table is invalid; row and column are those of the file.
    """
    if not name.lower().endswith(".toml"):
        return cell_named(name)
    path = Path(name)
    text, place = read_text(path), safe(path)
    document = _parse_toml(text, place)
    title, own = _text(document, "title", place), _text(document, "name", place)
    if ("equations" in document) == ("base" in document):
        raise CellError(
            "the file needs either 'equations' or 'base' with [edit]",
            where=place,
            hint="`lstm-step list cells` prints a table to start from",
        )
    if "base" in document:
        cell = _edited(document, own or path.stem, title, place)
    else:
        table = _text(document, "equations", place)
        rows = parse_table(table, place, _first_line(text, table))
        source = _text(document, "source", place)
        cell = Cell(own or path.stem, title, rows, (source,) if source else ())
    try:
        _ = cell.shapes  # conflicting sizes are rejected here, where the file is known
    except CellError as error:
        raise error.within(place) from None
    return cell


def _edited(document: dict[str, Any], name: str, title: str, place: str) -> Cell:
    edit = document.get("edit", {})
    if not isinstance(edit, dict) or not all(isinstance(each, str) for each in edit.values()):
        raise CellError("[edit] needs one text per row", where=place, hint='f = "1 - i"')
    base = cell_named(_text(document, "base", place))
    try:
        cell = base.edit(edit, name=name, title=title, source=_text(document, "source", place))
        # Parsing the whole table again checks every name against the rows above it.
        rows = (f"{row.symbol} = {write(row.expression)}" for row in cell.equations)
        parse_table("\n".join(rows), f"{place}, edited table")
    except CellError as error:
        raise error if place in error.where else error.within(place) from None
    # In `c = i * c_prev + f * g` f is no forget gate, whatever it was called before.
    other = misnamed(cell, base)
    named = (replace(row, label="") if row.symbol in other else row for row in cell.equations)
    return replace(cell, equations=tuple(named)) if other else cell


def _parse_toml(text: str, place: str) -> dict[str, Any]:
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"{len(text):,} characters; the limit for a cell is {MAX_CHARACTERS:,}", where=place,
            hint="a cell file holds the table of one cell",
        )  # fmt: skip
    if _LONG_KEY.search(text):
        raise InputError("nested too deeply", where=place, hint="a cell file is flat")
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and int() on thousands of digits
        raise InputError(
            f"not TOML: {safe(error)[:200]}", where=place, hint="put texts in quotes, tables in '''"
        ) from None
    except RecursionError:
        raise InputError("nested too deeply", where=place, hint="a cell file is flat") from None
    for key in document:
        if key not in _KEYS:
            raise CellError(f"unknown key '{safe(key)}'", where=place, hint=suggest(key, _KEYS))
    return document


def _text(document: dict[str, Any], key: str, place: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise CellError(f"'{key}' must be text", where=place, hint=f'{key} = "…"')
    return value


def _first_line(text: str, table: str) -> int:
    """Return the line number of the table's first line, so that errors point into the file."""
    at = text.find(table) if table else -1
    return text.count("\n", 0, at) + 1 if at >= 0 else 1
