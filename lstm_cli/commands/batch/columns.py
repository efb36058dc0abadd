"""Answers as columns, one row per sample: CSV, TSV, Parquet, npz.

The columns, their widths and types are known only after the last answer; until then the answers are
kept in an unnamed temporary file, so that memory use stays constant. CSV and TSV from stdin to
stdout, a stream that may never end, are written as answers arrive, with the first answers' columns.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_cli.base.errors import InputError, ShapeError, UsageError, safe
from lstm_cli.base.foreign import csv_line, sheet_cell
from lstm_cli.commands.batch.work import short
from lstm_cli.files.output import is_device, npz_bytes
from lstm_cli.show.answer import Answer
from lstm_cli.show.document import Column, Document, Grid

if TYPE_CHECKING:
    from lstm_cli.base.arrays import Array
    from lstm_cli.samples.settings import SampleSettings

TABLES = ("csv", "tsv", "parquet", "npz")
# Size of a Parquet row group.
GROUP_ROWS = 16_384
PIECE_BYTES = 2**20
VECTORS = ("h", "c")
_KINDS = {
    "id": "text", "ok": "truth", "h": "numbers", "c": "numbers", "engine": "text",
    "assumptions": "text", "warnings": "text", "check.matched": "truth",
    "check.max_abs_diff": "number", "check.tolerance": "number", "check.worst.symbol": "text",
    "check.worst.t": "count", "check.worst.unit": "count", "check.worst.got": "number",
    "check.worst.expected": "number", "error.code": "text", "error.message": "text",
    "error.where": "text", "error.try": "text",
}  # fmt: skip
_LEFT_OUT = ("schema", "assumptions", "warnings", "check", "error", "calls")
# A user column with one of these names comes from an earlier answer.
_OURS = ("check.", "error.")
_MOST_COUNT = 2**63

Row = Mapping[str, Any]


def check_columns(form: str, output: str, *, trace: bool) -> None:
    """Check, before anything is run, that the output can be written as columns.

    Raises:
        UsageError: `--trace` is given, but a row holds one sample.
        InputError: pyarrow is missing.
    """
    if trace and form in TABLES:
        what = f"--trace writes every step, but a row of {form} holds one sample"
        raise UsageError(what, where="--trace", hint="-o answers.jsonl, or answers.json")
    if form == "parquet" and find_spec("pyarrow") is None:
        what, hint = "Parquet files need the pyarrow package", "pip install 'lstm-cli[parquet]'"
        raise InputError(what, where=safe(output), hint=hint)


@dataclass
class AnswerColumns:
    """The columns of the answers seen so far.

    Attributes:
        checked: whether there are columns for a comparison.
        even: whether all vectors must have the same size.
        sizes: largest sizes of h and c.
        own: the user's own columns -> the kinds of their values.
    """

    checked: bool
    even: bool = False
    sizes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VECTORS, 0))
    own: dict[str, set[str]] = field(default_factory=dict)

    def take(self, row: Row) -> None:
        """Add the columns of an answer.

        Raises:
            ShapeError: its size differs from earlier ones, but all must be the same.
        """
        for name in VECTORS:
            size = len(row.get(name, ()))
            if size and self.even and self.sizes[name] not in (0, size):
                raise ShapeError(
                    f"sample '{safe(row['id'])}' has {size} numbers in {name}, earlier ones have "
                    f"{self.sizes[name]}: npz needs the same size for all", where="npz",
                    hint="-o answers.parquet, .csv or .jsonl",
                )  # fmt: skip
            self.sizes[name] = max(size, self.sizes[name])
        for name, value in row.items():
            if name not in _KINDS:
                self.own.setdefault(name, set()).add(_kind(value))

    def kinds(self) -> dict[str, str]:
        """Return column -> kind, in order."""
        kinds = {
            name: kind for name, kind in _KINDS.items()
            if (self.checked or not name.startswith("check.")) and self.sizes.get(name, 1)
        }  # fmt: skip
        return kinds | {name: _common(found) for name, found in self.own.items()}

    def widths(self) -> dict[str, int]:
        """Return column -> number of cells it takes in a row of text."""
        return {name: self.sizes.get(name, 1) for name in self.kinds()}


def column_pieces(
    chunks: Iterable[Sequence[str]], form: str, output: str, settings: SampleSettings, *,
    piped: bool,
) -> Iterator[str | bytes]:  # fmt: skip
    """Yield a file of answers.

    Args:
        chunks: lines of JSON, one per answer, as they arrive.
        form: one of `TABLES`.
        output: where the file goes.
        settings: of the batch.
        piped: whether samples come from stdin, so that a stream of answers may never end.

    Raises:
        ShapeError: samples have different sizes, but all must be the same.
        InputError: an answer has a column that the header already written lacks.
    """
    columns, dtype = AnswerColumns(settings.check), settings.dtype
    passing = output == "-" or is_device(Path(output))
    if passing and piped and form in ("csv", "tsv"):
        yield from _live(chunks, form, columns)
        return
    folder = None if passing else Path(output).resolve().parent
    columns.even = form == "npz"
    with tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder) as waiting:
        for lines in chunks:
            for line in lines:
                columns.take(_row(line))
            waiting.writelines(lines)
        waiting.seek(0)
        rows = map(_row, waiting)
        if form == "npz":
            yield npz_bytes(_arrays(list(rows), columns, dtype))
        elif form == "parquet":
            yield from _parquet(rows, columns, dtype, folder)
        else:
            widths = columns.widths()
            yield _line(_headings(widths), form)
            yield from (_line(_cells(row, widths), form) for row in rows)


def _row(line: str) -> Row:
    """Return an answer as column -> value; members of `check` and `error` become columns."""
    answer = json.loads(line)
    found = {k: v for k, v in answer.items() if k not in _LEFT_OUT and not k.startswith(_OURS)}
    if "assumptions" in answer:
        found["assumptions"] = "; ".join(answer["assumptions"])
    if "warnings" in answer:
        found["warnings"] = "; ".join(each["message"] for each in answer["warnings"])
    for group in ("check", "error"):
        for key, value in (answer.get(group) or {}).items():
            if key == "worst":
                found |= {f"check.worst.{inner}": each for inner, each in value.items()}
            else:
                found[f"{group}.{key}"] = value
    return found


def _kind(value: Any) -> str:
    """Return the kind of a value, or "" if it is missing."""
    match value:
        case None:
            return ""
        case bool():
            return "truth"
        case int():
            return "count" if abs(value) < _MOST_COUNT else "any"
        case float():
            return "number"
        case str():
            return "text"
        case [_, *_] if _numbers(value):
            return "numbers"
        case [[_, *_], *_] if all(isinstance(each, list) and _numbers(each) for each in value):
            return "rows"
    return "any"


def _numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)


def _common(kinds: set[str]) -> str:
    """Return the kind that fits values of several kinds."""
    found = kinds - {""}
    if found == {"count", "number"}:
        return "number"
    return found.pop() if len(found) == 1 else "any" if found else "text"


# ---- CSV and TSV


def _live(chunks: Iterable[Sequence[str]], form: str, columns: AnswerColumns) -> Iterator[str]:
    """Yield lines as answers arrive, with the columns of the first ones."""
    begun: list[Row] = []
    source = iter(chunks)
    for lines in source:
        for row in map(_row, lines):
            columns.take(row)
            begun.append(row)
        if any(row["ok"] for row in begun):
            break
    widths = columns.widths()
    yield _line(_headings(widths), form)
    for row in chain(begun, map(_row, chain.from_iterable(source))):
        _check_fits(row, widths)
        yield _line(_cells(row, widths), form)


def _check_fits(row: Row, widths: Mapping[str, int]) -> None:
    new = [name for name in row if name not in widths and name not in VECTORS]
    for name in VECTORS:
        if len(row.get(name, ())) > widths.get(name, 0):
            new.append(f"{name}_{widths.get(name, 0)}")
    if new:
        what = f"sample '{safe(row['id'])}' has {safe(new[0])}, which the header lacks"
        hint = "-o answers.csv, whose header is written at the end; or -f jsonl"
        raise InputError(what, where="stdout", hint=hint)


def _line(cells: Iterable[str], form: str) -> str:
    return csv_line(cells) if form == "csv" else "\t".join(cells) + "\n"


def _headings(widths: Mapping[str, int]) -> Iterator[str]:
    for name, width in widths.items():
        if name in VECTORS:
            yield from (f"{name}_{unit}" for unit in range(width))
        else:
            yield sheet_cell(name)


def _cells(row: Row, widths: Mapping[str, int]) -> Iterator[str]:
    for name, width in widths.items():
        if name in VECTORS:
            numbers = row.get(name, ())
            yield from map(_number, numbers)
            yield from [""] * (width - len(numbers))
        else:
            yield _cell(row.get(name))


def _cell(value: Any) -> str:
    """Format a cell as in sample files: numbers separated by spaces, rows by `;`."""
    match _kind(value):
        case "":
            return ""
        case "count" | "number":
            return _number(value)
        case "numbers":
            return " ".join(map(_number, value))
        case "rows":
            return "; ".join(" ".join(map(_number, row)) for row in value)
    return sheet_cell(value if isinstance(value, str) else json.dumps(value))


def _number(value: Any) -> str:
    return str(value).removesuffix(".0")


# ---- npz


def _arrays(rows: Sequence[Row], columns: AnswerColumns, dtype: str) -> dict[str, Array]:
    return {
        name: _array([row.get(name) for row in rows], kind, dtype if name in VECTORS else "float64")
        for name, kind in columns.kinds().items()
    }


def _array(values: Sequence[Any], kind: str, dtype: str) -> Array:
    """Return a column as `(N, …)`; missing values become nan or an empty string."""
    import numpy as np

    shapes = {_shape(each) for each in values if each is not None}
    shape = shapes.pop() if len(shapes) == 1 else None
    if kind in ("numbers", "rows") and shape is not None:
        none = np.full(shape, np.nan)
        return np.array([none if each is None else each for each in values], dtype)
    if kind in ("truth", "count", "number"):
        # Sample files have no boolean arrays.
        exact = {"truth": "uint8", "count": "int64"}.get(kind, dtype)
        numbers = np.array([np.nan if each is None else each for each in values])
        return numbers.astype(dtype if None in values else exact)
    return np.array([_text(each) or "" for each in values], str)


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of numbers or rows of numbers; None if rows differ in length."""
    if _kind(value) != "rows":
        return (len(value),) if isinstance(value, list) else ()
    return (len(value), len(value[0])) if len(set(map(len, value))) == 1 else None


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


# ---- Parquet


def _parquet(
    rows: Iterator[Row], columns: AnswerColumns, dtype: str, folder: Path | None
) -> Iterator[bytes]:
    pa, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    single = pa.float32() if dtype == "float32" else pa.float64()
    types = {
        "truth": pa.bool_(), "count": pa.int64(), "number": pa.float64(), "text": pa.string(),
        "any": pa.string(), "numbers": pa.list_(pa.float64()),
        "rows": pa.list_(pa.list_(pa.float64())),
    }  # fmt: skip
    kinds = columns.kinds()
    schema = pa.schema(
        (name, pa.list_(single) if name in VECTORS else types[kind]) for name, kind in kinds.items()
    )
    with (
        tempfile.TemporaryFile(dir=folder) as sink,
        parquet.ParquetWriter(sink, schema) as writer,
    ):
        while group := list(islice(rows, GROUP_ROWS)):
            arrays = [
                pa.array([_typed(row.get(each.name), kinds[each.name]) for row in group], each.type)
                for each in schema
            ]
            writer.write_table(pa.table(arrays, schema=schema))
        writer.close()
        sink.seek(0)
        while piece := sink.read(PIECE_BYTES):
            yield piece


def _typed(value: Any, kind: str) -> Any:
    """Convert a value for pyarrow; nan and inf are strings in JSON."""
    if value is None:
        return None
    if kind in ("any", "text"):
        return _text(value)
    return _floats(value) if kind in ("number", "numbers", "rows") else value


def _floats(value: Any) -> Any:
    return list(map(_floats, value)) if isinstance(value, list) else float(value)


def batch_answer(records: Iterable[Mapping[str, Any]], check: bool = False) -> Answer:
    """Return what `batch` shows; arguments as `batch_document`, data is written as it comes."""
    return Answer(lambda style: batch_document(records, check), {})


def batch_document(records: Iterable[Mapping[str, Any]], check: bool = False) -> Document:
    """Lay out results, one row per sample: its h, or how it compares with its expected numbers."""
    heads = ("largest difference", "tolerance", "where") if check else ("h",)
    columns = [Column("sample", fold=True), Column("result", "", fold=True),
               *(Column(head, fold=True) for head in heads)]  # fmt: skip
    cells = map(_compared if check else _answered, records)
    rows = [[*each, *[""] * (len(columns) - len(each))] for each in cells]
    return Document((Grid(columns, rows, gap=1, lead=1),))


def _answered(record: Mapping[str, Any]) -> list[str]:
    if not record["ok"]:
        return [record["id"], "failed", record["error"]["message"]]
    return [record["id"], "ok", ", ".join(map(short, record["h"]))]


def _compared(record: Mapping[str, Any]) -> list[str]:
    if not record["ok"]:
        return _answered(record)
    result = record["check"]
    if result is None:
        return [record["id"], "nothing expected"]
    worst = result["worst"]
    return [
        record["id"],
        "matches" if result["matched"] else "differs",
        short(result["max_abs_diff"]),
        short(result["tolerance"]),
        f"{worst['symbol']}[{worst['unit']}], t = {worst['t']}",
    ]
