"""Samples: an input, its states, its weights and what should come out, from files of many kinds.

JSON (one object, or an array of them), JSONL (one a line), npz (arrays over samples), CSV (a row
a sample). A sample that cannot be read becomes a `BadSample`; none is ever dropped.
"""

from __future__ import annotations

import csv
import difflib
import glob
import io
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.cells import Settings
from lstm_cli.equations import Array
from lstm_cli.errors import InputError, LstmStepError, ShapeError, safe, suggest
from lstm_cli.safe_files import (
    MAX_TEXT_BYTES,
    decode,
    open_checked,
    parse_json,
    read_npz,
    read_text,
    to_array,
)
from lstm_cli.vectors import parse_rows

KEYS = ("id", "x", "h", "c", "weights", "cell", "convention", "forget_bias", "clip", "cell_clip",
        "activations", "steps", "expected", "atol", "note")  # fmt: skip
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".npz")
# One sample a line: a longer line is not a sample.
MAX_LINE_BYTES = 16 * 2**20


@dataclass(frozen=True, eq=False)
class Sample:
    """One thing to evaluate.

    Attributes:
        id: its name in the answer.
        x: `(T, I)`.
        h, c: rows `(L·D, n)`, or None for zeros.
        weights: a path, `{"preset": name, …}`, arrays by name, or None for the batch's own.
        cell, convention: names, "" for the batch's own.
        settings: what is added to the cell, as the options of the same names do.
        steps: as `--steps`; 0 where not given.
        expected: symbol -> `(n,)` for the last step or `(T, n)` for all.
        atol: the largest difference that still counts as equal; None for the batch's own.
        folder: what paths in it are relative to.
        place: file and line, for messages.
    """

    id: str
    x: Array
    h: Array | None = None
    c: Array | None = None
    weights: Any = None
    cell: str = ""
    convention: str = ""
    settings: Settings = field(default_factory=Settings)
    steps: int = 0
    expected: Mapping[str, Array] = field(default_factory=dict)
    atol: float | None = None
    folder: Path = field(default_factory=Path)
    place: str = ""


@dataclass(frozen=True, eq=False)
class BadSample:
    """A sample that could not be read, in the place where its answer would be."""

    id: str
    error: LstmStepError


Read = Sample | BadSample


def find_files(arguments: Iterable[str]) -> list[str]:
    """Return the sample files that arguments name: files, folders, globs, `-` for stdin.

    A folder gives its sample files, sorted, without those in folders below it.

    Raises:
        InputError: nothing matches.
    """
    found: list[str] = []
    for argument in arguments:
        try:
            inside = _inside(argument)
        except (OSError, ValueError):  # a name that no system takes, a folder we may not list
            inside = [argument]
        if not inside:
            raise InputError(
                "no sample files here", where=safe(argument), hint="files end in "
                + ", ".join(SUFFIXES),
            )  # fmt: skip
        found += inside
    return list(dict.fromkeys(found))


def _inside(argument: str) -> list[str]:
    path = Path(argument)
    if path.is_dir():
        files = (p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        return sorted(map(str, files))
    if any(mark in argument for mark in "*?[") and not path.exists():
        return sorted(glob.glob(argument, recursive=True))
    return [argument]


def read_samples(argument: str) -> Iterator[Read]:
    """Yield the samples of one file, or of stdin for `-`.

    Raises:
        InputError: the file as a whole cannot be read.
    """
    if argument == "-":
        yield from _from_lines(_stdin_lines(), "stdin", Path())
        return
    path = Path(argument)
    open_checked(path).close()
    match path.suffix.lower():
        case ".json":
            yield from _from_document(parse_json(read_text(path), safe(path)), path)
        case ".jsonl" | ".ndjson":
            with open_checked(path) as stream:
                yield from _from_lines(_bounded(stream), str(path), path.parent)
        case ".npz":
            yield from _from_npz(path)
        case ".csv":
            yield from _from_csv(path)
        case _:
            raise InputError(
                f"'{safe(path.suffix)}' is not a sample file",
                where=safe(path),
                hint=suggest(path.suffix, SUFFIXES),
            )


def _stdin_lines() -> Iterator[bytes]:
    if sys.stdin is None:
        raise InputError("stdin is closed", where="stdin", hint="name a file")
    if sys.stdin.isatty():
        print("reading samples from the terminal, Ctrl-D ends them", file=sys.stderr)
    return _bounded(sys.stdin.buffer)


def _bounded(stream: Any) -> Iterator[bytes]:
    """Yield lines, each at most a little longer than `MAX_LINE_BYTES`."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line
        rest = line if len(line) > MAX_LINE_BYTES else b""
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE_BYTES)


def _from_lines(lines: Iterator[bytes], name: str, folder: Path) -> Iterator[Read]:
    """Yield a sample a line; a stream whose first line only opens an object is one document."""
    first = True
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        place = f"{safe(name)}, line {number}"
        try:
            if len(raw) > MAX_LINE_BYTES:
                raise InputError("the line is too long", where=place, hint="at most 16 MiB a line")
            if first and _opens_document(raw):
                yield from _from_document(_whole(raw, lines, name), folder / Path(name).name)
                return
            document = parse_json(decode(raw, place), place)
        except LstmStepError as error:
            yield BadSample(f"{Path(name).stem}:{number}", error)
        else:
            yield read_sample(document, f"{Path(name).stem}:{number}", folder, place)
        first = False


def _opens_document(line: bytes) -> bool:
    start = line.removeprefix(b"\xef\xbb\xbf").strip()
    return start == b"{" or start.startswith(b"[")


def _whole(first: bytes, rest: Iterator[bytes], name: str) -> Any:
    data = bytearray(first)
    for line in rest:
        data += line
        if len(data) > MAX_TEXT_BYTES:
            raise InputError("too large", where=safe(name), hint="write one sample a line (JSONL)")
    return parse_json(decode(bytes(data), safe(name)), safe(name))


def _from_document(document: Any, path: Path) -> Iterator[Read]:
    if not isinstance(document, list):
        yield read_sample(document, path.stem, path.parent, safe(path))
        return
    for number, each in enumerate(document):
        yield read_sample(
            each, f"{path.stem}:{number + 1}", path.parent, f"{safe(path)}, sample {number + 1}"
        )


def read_sample(document: Any, default_id: str, folder: Path, place: str) -> Read:
    """Return the sample a decoded JSON object describes, or the reason why it is none."""
    name = default_id
    try:
        if not isinstance(document, dict):
            raise InputError("not an object", where=place, hint='{"x": […], "weights": …}')
        if document.get("id") is not None:
            name = str(document["id"])
        return _build(document, name, folder, place)
    except LstmStepError as error:
        return BadSample(name, error)


def _build(document: Mapping[str, Any], name: str, folder: Path, place: str) -> Sample:
    _check_keys(document, place)
    if "x" not in document:
        raise InputError("'x' is missing", where=place, hint="a sample needs at least x")
    expected = document.get("expected", {})
    if not isinstance(expected, dict):
        raise InputError("'expected' is not an object", where=place, hint='{"h": […], "f": […]}')
    return Sample(
        name,
        _rows(document["x"], "x", place),
        _optional_rows(document, "h", place),
        _optional_rows(document, "c", place),
        weights=document.get("weights"),
        cell=_text(document, "cell", place),
        convention=_text(document, "convention", place),
        settings=_settings(document, place),
        steps=_count(document.get("steps", 0), place),
        expected={
            key: np.atleast_1d(to_array(value, f"expected {key}", place, max_axes=2))
            for key, value in expected.items()
        },
        atol=_tolerance(document.get("atol"), place),
        folder=folder,
        place=place,
    )


def _check_keys(document: Mapping[str, Any], place: str) -> None:
    """Refuse a key that looks like a misspelt one of ours; others are the user's own."""
    for key in document:
        near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.8) if len(key) > 3 else []
        if near and key not in KEYS and near[0] not in document:
            raise InputError(
                f"unknown key '{safe(key)}'", where=place, hint=f"did you mean '{near[0]}'?"
            )


def _rows(value: Any, key: str, place: str) -> Array:
    if isinstance(value, str):
        return parse_rows(value, key, place)
    array = to_array(value, key, place)
    if array.ndim == 0 or array.ndim > 2:
        raise ShapeError(
            f"{key} has shape {array.shape}, needs (n,) or (rows, n)",
            where=place,
            hint="one sample holds one sequence",
        )
    if not np.isfinite(array).all():
        raise InputError(f"{key} is not finite", where=place, hint="give finite numbers")
    return np.atleast_2d(array)


def _optional_rows(document: Mapping[str, Any], key: str, place: str) -> Array | None:
    return None if document.get(key) is None else _rows(document[key], key, place)


def _text(document: Mapping[str, Any], key: str, place: str) -> str:
    value = document.get(key) or ""
    if not isinstance(value, str):
        raise InputError(f"'{key}' is not text", where=place, hint=f'"{key}": "name"')
    return value


def _settings(document: Mapping[str, Any], place: str) -> Settings:
    numbers = {key: document.get(key) for key in ("forget_bias", "clip", "cell_clip")}
    for key, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InputError(f"'{key}' is not a number", where=place, hint=f'"{key}": 1')
    return Settings(**numbers, activations=_text(document, "activations", place))


def _count(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError("'steps' is not a whole number", where=place, hint='"steps": 3')
    return value


def _tolerance(value: Any, place: str) -> float | None:
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise InputError("'atol' is not a number from 0", where=place, hint='"atol": 1e-6')
    return float(value)


def _from_npz(path: Path) -> Iterator[Read]:
    """Yield samples from arrays: `x (N, T, I)` or `(N, I)`; `h`, `c`, `expected_h` … `(N, …)`.

    `id (N,)`, `weights`, `cell`, `convention` as text, `atol`, `steps`: one for all, or N.
    """
    arrays = read_npz(path)
    place = safe(path)
    if "x" not in arrays or arrays["x"].ndim not in (2, 3):
        found = f"x has shape {arrays['x'].shape}" if "x" in arrays else "x is missing"
        raise ShapeError(found, where=place, hint="samples in npz need x (N, I) or (N, T, I)")
    count = len(arrays["x"])
    for name, array in arrays.items():
        if array.ndim and len(array) != count:
            raise ShapeError(
                f"{safe(name)} has {len(array)} entries, x has {count} samples",
                where=place,
                hint="every array runs over the samples first",
            )
    for number in range(count):
        document: dict[str, Any] = {"expected": {}}
        for name, array in arrays.items():
            value = (array[number] if array.ndim else array).tolist()
            if name.startswith("expected_"):
                document["expected"][name.removeprefix("expected_")] = value
            else:
                document[name] = value
        yield read_sample(
            document, f"{path.stem}:{number + 1}", path.parent, f"{place}, sample {number + 1}"
        )


def _from_csv(path: Path) -> Iterator[Read]:
    """Yield a sample a row.

    Columns: `id`, `x`, `h`, `c`, `expected.h` … with a vector in a cell (`0 0.5 0.1`, rows by
    `;`), or one number a column (`x_0`, `x_1`, …); `weights` a path or `preset:NAME`.
    """
    place = safe(path)
    csv.field_size_limit(MAX_LINE_BYTES)  # 131,072 by default: a sequence of 10,000 numbers
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        _check_header(header, place)
        for row in reader:
            if row:
                where = f"{place}, line {reader.line_num}"
                name = f"{path.stem}:{reader.line_num}"
                yield _csv_sample(header, row, name, path.parent, where)
    except csv.Error as error:
        raise InputError(
            f"not CSV: {error}", where=f"{place}, line {reader.line_num}", hint="check the quotes"
        ) from None


def _check_header(header: list[str], place: str) -> None:
    twice = next((each for i, each in enumerate(header) if each in header[:i]), None)
    if twice is not None:
        raise InputError(
            f"column '{safe(twice)}' is there twice", where=f"{place}, line 1", hint="keep one"
        )


def _csv_sample(header: list[str], row: list[str], name: str, folder: Path, where: str) -> Read:
    name = next((c for h, c in zip(header, row, strict=False) if h == "id" and c), name)
    try:
        if len(row) != len(header):
            raise ShapeError(
                f"{len(row)} cells, the header has {len(header)}",
                where=where,
                hint="quote cells that hold commas",
            )
        document = _csv_document(header, row, where)
    except LstmStepError as error:
        return BadSample(name, error)
    return read_sample(document, name, folder, where)


def _csv_document(header: list[str], row: list[str], where: str) -> dict[str, Any]:
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


# A vector's column: all of it (x, expected.h) or one number of it (x_0, expected.h_12).
_COLUMN = re.compile(r"(?P<vector>[xhc]|expected\.\w+?)(?:_(?P<number>[0-9]{1,6}))?")


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
