"""Chunks: some hundreds of samples of one file, read together, in a form that can be sent away.

A chunk holds what its file holds (lines, rows, slices of arrays), so that whoever evaluates it
also parses it: another process, another machine. It reads each sample with all checks (`read`),
or all of them as columns (`tables`), where what is not certain is left to `read`.

A kind of file says how its samples are decoded (`documents`), and what answers to them depend on
(`content`).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, ShapeError, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.files.safe import decode, parse_json
from lstm_cli.files.vectors import parse_rows
from lstm_cli.samples.quick_json import quick_reader, strictly
from lstm_cli.samples.sample import BadSample, Read, Sample, read_sample
from lstm_cli.samples.tables import VECTORS, Tables, documents_of

# Longest line that counts as a sample.
MAX_LINE_BYTES = 16 * 2**20
KEY_DIGITS = 32
# How much is decoded at a time: its objects should stay in the processor's cache.
PIECE_BYTES = 2**16
PIECE_ROWS = 256


@dataclass(frozen=True, eq=False)
class Origin:
    """Where the samples of a chunk come from.

    Attributes:
        file: its name, as given.
        stem: what default ids start with.
        folder: what paths in its samples are relative to.
        assumed: what was assumed to read it.
    """

    file: str
    stem: str
    folder: Path
    assumed: tuple[str, ...] = ()

    def content(self) -> bytes:
        """Content that answers depend on: places and default ids show the file's name."""
        own = (self.file, self.stem, str(self.folder), *self.assumed)
        return repr(own).encode(errors="surrogateescape")


@dataclass(frozen=True, eq=False)
class Chunk(ABC):
    """Samples of one file, in order, by their positions from 0.

    Attributes:
        numbers: of each, its line or its place in the file, from 1; 0 where it is the whole file.
        raw: the samples as the file has them, one after the other, or in columns by name.
        counted: what the numbers count, for messages.
    """

    origin: Origin
    numbers: Sequence[int]
    raw: Any
    counted: ClassVar[str] = "sample"

    @abstractmethod
    def documents(self, start: int, stop: int) -> Sequence[Any]:
        """Decode some samples; None stands for one that only `read` can judge."""

    @abstractmethod
    def content(self) -> Iterable[bytes]:
        """Yield the content that answers depend on, for a key."""

    def __len__(self) -> int:
        return len(self.numbers)

    def places(self, positions: Sequence[int]) -> list[str]:
        """File and number of samples, for messages."""
        shown, counted = safe(self.origin.file), self.counted
        numbers = map(self.numbers.__getitem__, positions)
        return [f"{shown}, {counted} {number}" if number else shown for number in numbers]

    def names(self, positions: Sequence[int]) -> list[str]:
        """Names of samples that have no id: `file:number`."""
        stem = self.origin.stem
        numbers = map(self.numbers.__getitem__, positions)
        return [f"{stem}:{number}" if number else stem for number in numbers]

    def place(self, position: int) -> str:
        """File and number of a sample, for messages."""
        return self.places([position])[0]

    def name(self, position: int) -> str:
        """Name of a sample that has no id."""
        return self.names([position])[0]

    def document(self, position: int, place: str) -> Any:
        """Decode a sample with every check.

        Raises:
            LstmStepError: it cannot be decoded.
        """
        (found,) = self.documents(position, position + 1)
        return found

    def read(self, position: int) -> Read:
        """Read a sample with every check; a `BadSample` says why it cannot be."""
        place, name = self.place(position), self.name(position)
        try:
            document = self.document(position, place)
        except LstmStepError as error:
            return BadSample(Foreign.of(name), error)
        found = read_sample(document, name, self.origin.folder, place)
        assumed = self.origin.assumed
        return replace(found, assumed=assumed) if assumed and isinstance(found, Sample) else found

    def tables(self) -> Tables:
        """All samples as columns, but for those that only `read` can judge."""
        found, booleans = Tables(), self.booleans
        for start in range(0, len(self), self.piece):
            found.add(start, self.documents(start, start + self.piece), booleans)
        return found.judged()

    @property
    def booleans(self) -> bool:
        """Whether true and false may stand where numbers should be."""
        return True

    @property
    def piece(self) -> int:
        """Number of samples that are decoded at a time."""
        return PIECE_ROWS

    def take(self, positions: Sequence[int]) -> Self:
        """Make a chunk of some of the samples, each with the place and name it has here."""
        return replace(
            self, numbers=_taken(self.numbers, positions), raw=_taken(self.raw, positions)
        )


def _taken(values: Any, positions: Sequence[int]) -> Any:
    """Entries at these positions, of each column where there are several."""
    if isinstance(values, Mapping):
        return {name: _taken(column, positions) for name, column in values.items()}
    if isinstance(values, np.ndarray):
        return values[list(positions)]
    return [values[position] for position in positions]


def key_of(chunk: Chunk, run: bytes) -> str:
    """Key of a chunk's content and of the run (its settings) that it is evaluated in."""
    digest = hashlib.sha256(run)  # processors have instructions for it
    for piece in chain([chunk.origin.content()], chunk.content()):
        digest.update(len(piece).to_bytes(8, "big"))
        digest.update(piece)
    return digest.hexdigest()[:KEY_DIGITS]


def too_long(place: str) -> InputError:
    """The error of a line of more than `MAX_LINE_BYTES`."""
    return InputError("the line is too long", where=place, hint="at most 16 MiB a line")


class Lines(Chunk):
    """Lines of JSONL."""

    raw: Sequence[bytes]
    counted = "line"

    def document(self, position: int, place: str) -> Any:
        """Parse a line."""
        line = self.raw[position]
        if len(line) > MAX_LINE_BYTES:
            raise too_long(place)
        return parse_json(decode(line, place), place)

    def documents(self, start: int, stop: int) -> Sequence[Any]:
        """Parse some lines strictly."""
        return list(map(strictly, self.raw[start:stop]))

    def tables(self) -> Tables:
        """All samples as columns: by simdjson where it is installed."""
        found = Tables()
        reader = quick_reader(found)
        if reader is None:
            return super().tables()
        for start in range(0, len(self), self.piece):
            reader.take(start, self.raw[start : start + self.piece])
        return found.judged()

    @cached_property
    def piece(self) -> int:
        """Number of lines that are decoded at a time."""
        return max(1, len(self) * PIECE_BYTES // (1 + sum(map(len, self.raw))))

    def content(self) -> Iterator[bytes]:
        """Yield the lines' numbers and the lines."""
        yield repr((self.numbers[0], self.numbers[-1], len(self))).encode()
        for start in range(0, len(self), self.piece):
            yield b"\n".join(self.raw[start : start + self.piece])


class Objects(Chunk):
    """Objects of a JSON document, and samples that are read already, or could not be."""

    raw: Sequence[Any]

    def places(self, positions: Sequence[int]) -> list[str]:
        """File and number of samples, or the places that they have themselves."""
        return [
            one.place if isinstance(one := self.raw[position], Sample) else place
            for position, place in zip(positions, super().places(positions), strict=True)
        ]

    def read(self, position: int) -> Read:
        """Read a sample with every check; a `BadSample` says why it cannot be."""
        one = self.raw[position]
        return one if isinstance(one, Sample | BadSample) else super().read(position)

    def documents(self, start: int, stop: int) -> Sequence[Any]:
        """Some of the objects."""
        return self.raw[start:stop]

    def content(self) -> Iterator[bytes]:
        """Yield names, places and objects."""
        whole = range(len(self))
        for name, place, one in zip(
            self.names(whole), super().places(whole), self.raw, strict=True
        ):
            own = (one.id.text, place, one.error) if type(one) is BadSample else (name, place, one)
            yield repr(own).encode(errors="backslashreplace")


@dataclass(frozen=True, eq=False)
class Rows(Chunk):
    """Rows of CSV under a header; their numbers are those of the lines that they end on."""

    raw: Sequence[Sequence[str]]
    header: Sequence[str]
    counted = "line"
    booleans = False

    def names(self, positions: Sequence[int]) -> list[str]:
        """The rows' own ids, also where the rest of one is wrong, or `file:line`."""
        numbered = super().names(positions)
        if "id" not in self.header:
            return numbered
        at = self.header.index("id")
        own = (self.raw[position][at : at + 1] for position in positions)
        return [(cell[0] if cell else "") or name for cell, name in zip(own, numbered, strict=True)]

    def document(self, position: int, place: str) -> Any:
        """The object that a row stands for."""
        return csv_document(self.header, self.raw[position], place)

    def documents(self, start: int, stop: int) -> Sequence[Any]:
        """The objects that some rows stand for."""
        return csv_documents(self.header, self.raw[start:stop])

    def content(self) -> Iterator[bytes]:
        """Yield header, numbers and rows."""
        yield repr((self.header, self.numbers, self.raw)).encode(errors="backslashreplace")


@dataclass(frozen=True, eq=False)
class Columns(Chunk):
    """Samples as columns, of arrays or of a table.

    Attributes:
        raw: name -> a value for each sample; `expected_h`, `expected.h` are of `expected`.
        common: members that all samples have.
    """

    raw: Mapping[str, list[Any] | Array]
    common: Mapping[str, Any] = field(default_factory=dict)

    @property
    def booleans(self) -> bool:
        """Whether true and false may stand where numbers should be: no array has any."""
        return any(
            isinstance(values, list) and (name in VECTORS or name.startswith("expected"))
            for name, values in self.raw.items()
        )

    def documents(self, start: int, stop: int) -> Sequence[Any]:
        """Some samples as objects."""
        columns = {
            name: values if isinstance(values, list) else values.tolist()
            for name, each in self.raw.items()
            for values in (each[start:stop],)
        }
        return documents_of(columns, self.common)

    def content(self) -> Iterator[bytes]:
        """Yield numbers and columns."""
        yield repr((list(self.numbers), self.common)).encode(errors="backslashreplace")
        for name, values in self.raw.items():
            yield name.encode(errors="backslashreplace")
            if isinstance(values, list):
                yield repr(values).encode(errors="backslashreplace")
            else:
                yield repr((values.dtype.str, values.shape)).encode()
                yield values.tobytes()


# A vector's column: all of it (x, expected.h) or one number of it (x_0, expected.h_12).
_COLUMN = re.compile(r"(?P<vector>[xhc]|expected\.\w+?)(?:_(?P<number>[0-9]{1,6}))?")


_SCALARS = ("atol", "steps", "length", "lengths", "forget_bias", "clip", "cell_clip")
# Columns whose cells are numbers.
NUMBERS = re.compile(rf"{_COLUMN.pattern}|{'|'.join(_SCALARS)}")
# Characters of plain numbers: whatever `float` reads of them, `parse_rows` reads too.
_NUMERIC = b"0123456789.eE+-"
_VECTOR = _NUMERIC + b" ,;"


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
    return int(value) if column in ("steps", "length", "lengths") and value.is_integer() else value


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
        what = f"{len(row)} cells, the header has {len(header)}"
        raise ShapeError(what, where=where, hint="quote cells that hold commas")
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
            hint = "call the column expected.h, expected.f, …"
            raise InputError("what is expected has a column a symbol", where=where, hint=hint)
        elif column in _SCALARS:
            document[column] = _scalar(column, _one_number(cell, column, where))
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
    for number, cell in cells.items():
        if not cell:
            hint = f"fill all of {vector}_{min(cells)} … {vector}_{max(cells)}, or none"
            raise InputError(f"{vector}_{number} is empty", where=where, hint=hint)
    return [_one_number(cells[each], f"{vector}_{each}", where) for each in sorted(cells)]


def _one_number(cell: str, column: str, where: str) -> float:
    rows = parse_rows(cell, column, where)
    if rows.size != 1:
        what = f"{column} has {rows.size} numbers, needs 1"
        raise ShapeError(what, where=where, hint="write one, with a decimal point: 0.5")
    return float(rows[0, 0])
