"""Chunks: some hundreds of samples of one file, read together, in a form that can be sent away.

A chunk holds what its file holds (lines, rows, slices of arrays), so that whoever evaluates it
also parses it: another process, another machine. It reads each sample with all checks (`read`),
or all of them as columns (`tables`), where what is not certain is left to `read`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.files.safe import decode, parse_json
from lstm_cli.samples.csv_rows import csv_document, csv_documents
from lstm_cli.samples.quick_json import quick_reader, strictly
from lstm_cli.samples.sample import BadSample, Read, read_sample
from lstm_cli.samples.tables import VECTORS, Tables

# One sample a line: a longer line is not a sample.
MAX_LINE_BYTES = 16 * 2**20
KEY_DIGITS = 32
# What is decoded at a time: its objects are to stay in the memory next to the processor.
PIECE_BYTES = 2**16
PIECE_ROWS = 256


class Chunk(Protocol):
    """Samples of one file, in order, by their positions from 0."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def place(self, position: int) -> str:
        """Return file and line of a sample, for messages."""
        ...

    def name(self, position: int) -> str:
        """Name of a sample that has no id."""
        ...

    def read(self, position: int) -> Read:
        """Return a sample, with everything checked, or why it is none."""
        ...

    def tables(self) -> Tables:
        """Return all samples as columns, but for those that only `read` can judge."""
        ...

    def take(self, positions: Sequence[int]) -> Chunk:
        """Return a chunk of some of the samples, each with the place and name it has here."""
        ...

    def content(self) -> Iterable[bytes]:
        """Yield the content that answers depend on, for a key."""
        ...


def key_of(chunk: Chunk, run: bytes) -> str:
    """Return a key of a chunk's content and of the run (its settings) that it is evaluated in."""
    digest = hashlib.sha256(run)  # for which processors have instructions
    for piece in chunk.content():
        digest.update(len(piece).to_bytes(8, "big"))
        digest.update(piece)
    return digest.hexdigest()[:KEY_DIGITS]


@dataclass(frozen=True, eq=False)
class Origin:
    """Where the samples of a chunk come from.

    Attributes:
        file: its name, as given.
        stem: what default ids start with.
        folder: what paths in its samples are relative to.
    """

    file: str
    stem: str
    folder: Path

    def content(self) -> bytes:
        """Content that answers depend on: places and default ids show the file's name."""
        return repr((self.file, self.stem, str(self.folder))).encode(errors="surrogateescape")


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines of JSONL, and their numbers from 1."""

    origin: Origin
    numbers: Sequence[int]
    lines: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, position: int) -> str:
        """Return file and line."""
        return f"{safe(self.origin.file)}, line {self.numbers[position]}"

    def name(self, position: int) -> str:
        """Return `file:line`."""
        return f"{self.origin.stem}:{self.numbers[position]}"

    def read(self, position: int) -> Read:
        """Return the sample of a line."""
        raw, place, name = self.lines[position], self.place(position), self.name(position)
        try:
            if len(raw) > MAX_LINE_BYTES:
                raise InputError("the line is too long", where=place, hint="at most 16 MiB a line")
            document = parse_json(decode(raw, place), place)
        except LstmStepError as error:
            return BadSample(Foreign.of(name), error)
        return read_sample(document, name, self.origin.folder, place)

    def tables(self) -> Tables:
        """Return the samples as columns: by simdjson, or as the strict parser reads them."""
        found = Tables()
        reader = quick_reader(found)
        start = 0
        for lines in self._pieces():
            if reader is None:
                found.add(start, list(map(strictly, lines)))
            else:
                reader.take(start, lines)
            start += len(lines)
        return found.judged()

    def _pieces(self) -> Iterator[Sequence[bytes]]:
        size = self._piece_lines
        return (self.lines[start : start + size] for start in range(0, len(self), size))

    @cached_property
    def _piece_lines(self) -> int:
        return max(1, len(self) * PIECE_BYTES // (1 + sum(map(len, self.lines))))

    def take(self, positions: Sequence[int]) -> Lines:
        """Return some of the lines."""
        chosen = [self.lines[each] for each in positions]
        return Lines(self.origin, [self.numbers[each] for each in positions], chosen)

    def content(self) -> Iterator[bytes]:
        """Yield the lines' numbers and the lines."""
        yield self.origin.content()
        yield repr((self.numbers[0], self.numbers[-1], len(self))).encode()
        yield from map(b"\n".join, self._pieces())


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects of a JSON document, or records of a table that were decoded with it."""

    origin: Origin
    names: Sequence[str]
    places: Sequence[str]
    objects: Sequence[Any]

    def __len__(self) -> int:
        return len(self.objects)

    def place(self, position: int) -> str:
        """Return file and number."""
        return self.places[position]

    def name(self, position: int) -> str:
        """Return the file's name, with a number where it has several samples."""
        return self.names[position]

    def read(self, position: int) -> Read:
        """Return the sample of an object; an error stands for a sample that could not be read."""
        one, name = self.objects[position], self.names[position]
        if isinstance(one, LstmStepError):
            return BadSample(Foreign.of(name), one)
        return read_sample(one, name, self.origin.folder, self.places[position])

    def tables(self) -> Tables:
        """Return the objects as columns."""
        found = Tables()
        found.add(0, self.objects)
        return found.judged()

    def take(self, positions: Sequence[int]) -> Objects:
        """Return some of the objects."""
        names, places, objects = (
            [each[p] for p in positions] for each in (self.names, self.places, self.objects)
        )
        return Objects(self.origin, names, places, objects)

    def content(self) -> Iterator[bytes]:
        """Yield places, names and objects."""
        yield self.origin.content()
        for one, name, place in zip(self.objects, self.names, self.places, strict=True):
            yield repr((name, place, one)).encode(errors="backslashreplace")


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of CSV, and the numbers of the lines that they end on."""

    origin: Origin
    header: Sequence[str]
    numbers: Sequence[int]
    rows: Sequence[Sequence[str]]

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, position: int) -> str:
        """Return file and line."""
        return f"{safe(self.origin.file)}, line {self.numbers[position]}"

    def name(self, position: int) -> str:
        """Return the row's own id, also where the rest of it is wrong, or `file:line`."""
        cells = zip(self.header, self.rows[position], strict=False)
        own = next((cell for column, cell in cells if column == "id" and cell), "")
        return own or f"{self.origin.stem}:{self.numbers[position]}"

    def read(self, position: int) -> Read:
        """Return the sample of a row."""
        place, name = self.place(position), self.name(position)
        try:
            document = csv_document(self.header, self.rows[position], place)
        except LstmStepError as error:
            return BadSample(Foreign.of(name), error)
        return read_sample(document, name, self.origin.folder, place)

    def tables(self) -> Tables:
        """Return the objects that the rows stand for, as columns."""
        found = Tables()
        for start in range(0, len(self), PIECE_ROWS):
            documents = csv_documents(self.header, self.rows[start : start + PIECE_ROWS])
            found.add(start, documents, booleans=False)
        return found.judged()

    def take(self, positions: Sequence[int]) -> Rows:
        """Return some of the rows."""
        rows = [self.rows[each] for each in positions]
        return Rows(self.origin, self.header, [self.numbers[each] for each in positions], rows)

    def content(self) -> Iterator[bytes]:
        """Yield header, numbers and rows."""
        yield self.origin.content()
        yield repr((self.header, self.numbers, self.rows)).encode(errors="backslashreplace")


@dataclass(frozen=True, eq=False)
class Columns:
    """Samples as columns, of arrays or of a table.

    Attributes:
        origin: where they come from.
        numbers: of the samples in the file, from 1.
        columns: name -> a value for each sample; `expected_h`, `expected.h` are of `expected`.
        common: members that all samples have.
    """

    origin: Origin
    numbers: Sequence[int]
    columns: Mapping[str, list[Any] | Array]
    common: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, position: int) -> str:
        """Return file and number."""
        return f"{safe(self.origin.file)}, sample {self.numbers[position]}"

    def name(self, position: int) -> str:
        """Return `file:number`."""
        return f"{self.origin.stem}:{self.numbers[position]}"

    def read(self, position: int) -> Read:
        """Return a sample."""
        (document,) = self._documents(position, position + 1)
        return read_sample(document, self.name(position), self.origin.folder, self.place(position))

    def tables(self) -> Tables:
        """Return the samples as columns."""
        booleans = any(
            isinstance(values, list) and (name in VECTORS or name.startswith("expected"))
            for name, values in self.columns.items()
        )
        found = Tables()
        for start in range(0, len(self), PIECE_ROWS):
            found.add(start, self._documents(start, start + PIECE_ROWS), booleans)
        return found.judged()

    def _documents(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Return some samples as objects."""
        columns = {
            name: values if isinstance(values, list) else values.tolist()
            for name, each in self.columns.items()
            for values in (each[start:stop],)
        }
        return _objects(columns, self.common)

    def take(self, positions: Sequence[int]) -> Columns:
        """Return some of the samples."""
        columns = {
            name: [values[p] for p in positions] if isinstance(values, list)
            else values[list(positions)]
            for name, values in self.columns.items()
        }  # fmt: skip
        return Columns(self.origin, [self.numbers[p] for p in positions], columns, self.common)

    def content(self) -> Iterator[bytes]:
        """Yield numbers and columns."""
        yield self.origin.content()
        yield repr((list(self.numbers), self.common)).encode(errors="backslashreplace")
        for name, values in self.columns.items():
            yield name.encode(errors="backslashreplace")
            if isinstance(values, list):
                yield repr(values).encode(errors="backslashreplace")
            else:
                yield repr((values.dtype.str, values.shape)).encode()
                yield values.tobytes()


def _objects(columns: Mapping[str, list[Any]], common: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return samples, of which each has its value of a column and all of `common`."""
    plain = [name for name in columns if not _expected(name)]
    rows = zip(*(columns[name] for name in plain), strict=True)
    documents = [dict(zip(plain, row, strict=True)) for row in rows]
    if common:
        documents = [{**common, **each} for each in documents]
    wanted = {_expected(name): columns[name] for name in columns if _expected(name)}
    for position, document in enumerate(documents if wanted else []):
        own = {symbol: values[position] for symbol, values in wanted.items()}
        document["expected"] = dict(document.get("expected") or {}) | {
            symbol: value for symbol, value in own.items() if value is not None
        }
    return documents


def column_members(columns: Iterable[str]) -> list[str]:
    """Return the members of a sample that columns of arrays or of a table hold."""
    return ["expected" if _expected(column) else column for column in columns]


def _expected(column: str) -> str:
    """Return the symbol of a column such as `expected_h` or `expected.h`, or ""."""
    start = column[: len("expected_")]
    return column[len(start) :] if start in ("expected_", "expected.") else ""
