"""Files of samples: find them, and read them chunk by chunk."""

from __future__ import annotations

import csv
import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import chain, zip_longest
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, ShapeError, imported, safe, suggest
from lstm_cli.base.foreign import Foreign
from lstm_cli.files.inputs_read import note_read, note_stdin
from lstm_cli.files.remote import at_hand, called, find_remote, is_remote, place_of
from lstm_cli.files.safe import (
    MAX_TEXT_BYTES,
    decode,
    open_checked,
    open_stdin,
    parse_json,
    read_bounded,
    read_npz,
)
from lstm_cli.samples import chunks
from lstm_cli.samples.chunks import NUMBERS, Chunk, Columns, Lines, Objects, Origin, Rows, key_of
from lstm_cli.samples.columns import InputForm, folded, sample_columns
from lstm_cli.samples.compressed import COMPRESSED, is_packed, open_plain, unpacked, without_suffix
from lstm_cli.samples.sample import BadSample, NoSample, Read

FORMATS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".npz", ".parquet")
TEXTS = FORMATS[:5]
SUFFIXES = (*FORMATS, *(text + packed for text in TEXTS for packed in COMPRESSED))
# Samples that are read, evaluated and written together: enough for arrays to pay off, and few
# enough to keep memory flat. Someone who types or pipes samples waits for fewer.
CHUNK = 2048
STDIN_CHUNK = 512
CHUNK_BYTES = 8 * 2**20
BLOCK_BYTES = 2**17
_BY_LINE = "write one sample a line (JSONL)"
DECIMAL_COMMAS = "cells are separated by semicolons, and commas are decimal"
AS_IT_IS = InputForm()


def find_files(
    arguments: Iterable[str],
    reading: InputForm = AS_IT_IS,
    passed_over: Callable[[str], object] = str,
) -> list[str]:
    """Find the sample files that arguments name: files, folders, globs, `-` for stdin.

    A folder gives its sample files, sorted, without those in folders below it, and without those
    that hold something else: weights, answers, tables without x.

    Args:
        arguments: as given.
        reading: how they are read.
        passed_over: called with the name of each file of a folder that holds something else.

    Raises:
        InputError: nothing matches.
    """
    found: list[str] = []
    for argument in arguments:
        try:
            inside = _inside(argument, reading, passed_over)
        except (OSError, ValueError):  # a name the system refuses, a folder we may not list
            inside = [argument]
        if not inside:
            hint = f"files end in {', '.join(FORMATS)}; texts also in {', '.join(COMPRESSED)}"
            raise InputError("no sample files here", where=safe(argument), hint=hint)
        found += inside
    found = list(dict.fromkeys(found))
    # Files that are read later: no answer to the first may replace the last.
    for name in found:
        if name == "-":
            note_stdin()
        else:
            note_read(place_of(name))
    return found


def _inside(argument: str, reading: InputForm, passed_over: Callable[[str], object]) -> list[str]:
    if is_remote(argument):
        return find_remote(argument, SUFFIXES)
    path = Path(argument)
    if path.is_dir():
        files = (p for p in path.iterdir() if p.name.lower().endswith(SUFFIXES) and p.is_file())
        found = []
        for name in sorted(map(str, files)):
            if _is_other(name, reading):
                passed_over(name)
            else:
                found.append(name)
        return found
    if any(mark in argument for mark in "*?[") and not path.exists():
        return sorted(glob.glob(argument, recursive=True))
    return [argument]


def _is_other(name: str, reading: InputForm) -> bool:
    """Whether a file holds something else, as its first samples show."""
    try:
        chunk = next(read_chunks(name, reading=reading), None)
    except NoSample:
        return True
    except LstmStepError:
        return False  # reading it again says why
    if not isinstance(chunk, Lines | Objects):
        return False  # its columns have x
    reads = map(chunk.read, range(len(chunk)))
    return all(isinstance(r, BadSample) and isinstance(r.error, NoSample) for r in reads)


def read_samples(argument: str, reading: InputForm = AS_IT_IS) -> Iterator[Read]:
    """Yield the samples of one file, or of stdin for `-`.

    Raises:
        InputError: the file as a whole cannot be read.
    """
    for chunk in read_chunks(argument, reading=reading):
        yield from (chunk.read(position) for position in range(len(chunk)))


def all_chunks(
    files: Iterable[str], root: str = "", reading: InputForm = AS_IT_IS
) -> Iterator[Chunk]:
    """Yield the chunks of all files; a file that cannot be read is one failed sample."""
    for name in files:
        try:
            yield from read_chunks(name, root, reading)
        except LstmStepError as error:
            yield Objects(Origin(name, name, Path()), [0], [BadSample(Foreign.of(name), error)])


def read_chunks(argument: str, root: str = "", reading: InputForm = AS_IT_IS) -> Iterator[Chunk]:
    """Yield the chunks of one file (a URL, or a path relative to `root`), or of stdin for `-`.

    Raises:
        InputError: the file as a whole cannot be read, or not from here on.
    """
    if argument == "-":
        stdin = open_stdin("reading samples from the terminal, Ctrl-D ends them")
        with unpacked(stdin, "stdin") as stream:
            origin = Origin("stdin", "stdin", Path())
            yield from _text_chunks(stream, origin, STDIN_CHUNK, reading.form, reading)
        return
    path, shown = place_of(argument, root), place_of(argument)
    with called(path, shown):
        yield from _file_chunks(path, shown, reading)


def _file_chunks(path: Path, shown: Path, reading: InputForm) -> Iterator[Chunk]:
    plain = without_suffix(path)
    origin = Origin(str(shown), plain.stem, shown.parent)
    open_checked(path).close()
    suffix = f".{reading.form}" if reading.form else plain.suffix.lower()
    if suffix not in (FORMATS if plain == path else TEXTS):
        name = "".join(path.suffixes[-2:])
        what = f"'{safe(name)}' is not a sample file"
        raise InputError(what, where=safe(path), hint=suggest(name, SUFFIXES))
    match suffix:
        case ".npz":
            with at_hand(path, shown) as near:
                yield from _npz_chunks(near, origin, reading)
        case ".parquet":
            with at_hand(path, shown) as near:
                yield from _parquet_chunks(near, origin, reading)
        case _:
            with open_plain(path) as stream:
                kind = suffix[1:] if reading.form or suffix in (".json", ".tsv") else ""
                yield from _text_chunks(stream, origin, CHUNK, kind, reading)


def _text_chunks(
    stream: IO[bytes], origin: Origin, size: int, kind: str, reading: InputForm
) -> Iterator[Chunk]:
    """Yield the chunks of a text: of the kind that is said, or that its first line shows.

    Raises:
        InputError: columns are chosen in what has none; a kind that is no text; it cannot be read.
    """
    place = safe(origin.file)
    if kind in ("npz", "parquet"):
        raise InputError(f"{kind} is not read from stdin", where=place, hint="name its file")
    if kind == "json":
        chunks_found: Iterator[Chunk] = _document_chunks(
            parse_json(decode(read_bounded(stream, place, _BY_LINE), place), place), origin
        )
        number, first = 1, b"{"
    else:
        number, first, lists = _begun(line_lists(stream))
        if kind in ("csv", "tsv") or (not kind and _is_table(first)):
            yield from _csv_chunks(lists, origin, size, kind, reading)
            return
        chunks_found = _line_chunks(number, first, lists, origin, size)
    if reading.columns and first:
        what = "JSON has keys, not columns"
        raise InputError(what, where=place, hint="--columns is for CSV, TSV and Parquet")
    yield from chunks_found


def _begun(lists: Iterator[list[bytes]]) -> tuple[int, bytes, Iterator[list[bytes]]]:
    """The first line that is not blank, with its number, and all lines."""
    before: list[bytes] = []
    for lines in lists:
        before += lines
        number, first = next(((n, e) for n, e in enumerate(before, 1) if e.strip()), (0, b""))
        if first:
            return number, first, chain([before], lists)
    return 0, b"", iter([before])


def _is_table(first: bytes) -> bool:
    """Whether a first line names columns: JSON begins with a bracket."""
    start = first.removeprefix(b"\xef\xbb\xbf").strip()
    columns = any(mark in start for mark in b",;\t") or start.strip(b'"') == b"x"
    return columns and start[:1] not in (b"{", b"[")


def line_lists(stream: IO[bytes]) -> Iterator[list[bytes]]:
    """Yield lists of lines, without their ends, as they come.

    A line that is too long is cut a little past `MAX_LINE_BYTES`, and the rest of it skipped.
    """
    limit, rest, skipping = chunks.MAX_LINE_BYTES, b"", False
    while block := stream.read1(BLOCK_BYTES):  # type: ignore[attr-defined] # all of ours are buffered
        *lines, rest = (rest + block).split(b"\n")
        if skipping and lines:
            lines, skipping = lines[1:], False
        if skipping:
            rest = b""
        elif len(rest) > limit:
            lines.append(rest[: limit + 1])
            rest, skipping = b"", True
        if lines:
            yield lines
    if rest:
        yield [rest]


def _line_chunks(
    number: int, first: bytes, lists: Iterator[list[bytes]], origin: Origin, size: int
) -> Iterator[Chunk]:
    """Yield chunks of lines; one document where the first that is not blank only opens it."""
    if not opens_document(first):
        for start, lines in cut_lines(lists, size):
            yield from numbered(lines, start, origin)
        return
    try:
        yield from _document_chunks(_whole(chain.from_iterable(lists), origin.file), origin)
    except LstmStepError as error:
        yield Objects(origin, [0], [BadSample(Foreign.of(f"{origin.stem}:{number}"), error)])


def cut_lines(lists: Iterable[list[bytes]], size: int) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the number of its first line, and the lines, of each chunk, blank ones too."""
    pending: list[bytes] = []
    first, held = 1, 0
    failed: LstmStepError | None = None
    try:
        for lines in lists:
            pending += lines
            held += sum(map(len, lines))
            while cut := _full(pending, held, size):
                yield first, pending[:cut]
                first += cut
                del pending[:cut]
                held = sum(map(len, pending))
    except LstmStepError as error:  # a truncated compressed file: what came before counts
        failed = error
    yield first, pending
    if failed is not None:
        raise failed


def _full(lines: list[bytes], held: int, size: int) -> int:
    """Number of the lines, `held` bytes in all, that fill a chunk; 0 while they do not."""
    total = 0
    if held >= CHUNK_BYTES:
        for number, line in enumerate(lines[:size], 1):
            total += len(line)
            if total >= CHUNK_BYTES:
                return number
    return size if len(lines) >= size else 0


def numbered(lines: list[bytes], first: int, origin: Origin) -> Iterator[Lines]:
    """Yield the chunk of these lines, if any is not blank."""
    numbers: Sequence[int] = range(first, first + len(lines))
    if not all(map(bytes.strip, lines)):
        numbers = [number for number, line in zip(numbers, lines, strict=True) if line.strip()]
        lines = [line for line in lines if line.strip()]
    if lines:
        yield Lines(origin, numbers, lines)


def opens_document(line: bytes) -> bool:
    """Whether a first line opens one document, and is not a sample by itself."""
    start = line.removeprefix(b"\xef\xbb\xbf").strip()
    return (start == b"{" or start.startswith(b"[")) and len(line) <= chunks.MAX_LINE_BYTES


def _whole(lines: Iterable[bytes], name: str) -> Any:
    data = bytearray()
    for line in lines:
        data += line + b"\n"
        if len(data) > MAX_TEXT_BYTES:
            raise InputError("too large", where=safe(name), hint=_BY_LINE)
    return parse_json(decode(bytes(data), safe(name)), safe(name))


def _document_chunks(document: Any, origin: Origin) -> Iterator[Objects]:
    """Yield the chunks of one object, or of an array of them."""
    if not isinstance(document, list):
        yield Objects(origin, [0], [document])
        return
    for start in range(0, len(document), CHUNK):
        objects = document[start : start + CHUNK]
        yield Objects(origin, range(start + 1, start + len(objects) + 1), objects)


def _csv_chunks(
    lists: Iterator[list[bytes]], origin: Origin, size: int, kind: str, reading: InputForm
) -> Iterator[Chunk]:
    """Yield chunks of rows.

    Columns: `id`, `x`, `h`, `c`, `expected.h` … with a vector in a cell (`0 0.5 0.1`, rows by
    `;`), or one number a column (`x_0`, `x_1`, …); `weights` a path or `preset:NAME`; others are
    the user's own. Cells are separated as the header shows; `;` leaves the comma to the decimals.
    """
    place = safe(origin.file)
    csv.field_size_limit(chunks.MAX_LINE_BYTES)  # 131,072 by default: a sequence of 10,000 numbers
    _, first, lists = _begun(lists)
    between = _separator(first.decode(errors="replace"), kind)
    reader = csv.reader(_text_lines(lists, place), strict=True, delimiter=between)
    rows: list[list[str]] = []
    numbers: list[int] = []
    failed: LstmStepError | None = None
    held = 0
    try:
        named = [column.strip() for column in next(filter(None, reader), [])]
        if not named:
            return
        header = sample_columns(named, reading, f"{place}, line {reader.line_num}")
        if between == ";":
            origin = replace(origin, assumed=(DECIMAL_COMMAS,))
        for row in reader:
            if row:
                rows.append(_with_points(row, header) if between == ";" else row)
                numbers.append(reader.line_num)
                held += sum(map(len, row))
            if len(rows) == size or held >= CHUNK_BYTES:
                yield Rows(origin, numbers, rows, header)
                rows, numbers, held = [], [], 0
    except LstmStepError as error:
        failed = error
    except csv.Error as error:
        where = f"{place}, line {reader.line_num}"
        failed = InputError(f"not CSV: {error}", where=where, hint="check the quotes")
    if rows:
        yield Rows(origin, numbers, rows, header)
    if failed is not None:
        raise failed


def _separator(header: str, kind: str) -> str:
    """What separates the cells of a table; a quoted name may hold anything."""
    outside = "".join(header.split('"')[::2])
    if kind == "tsv" or "\t" in outside:
        return "\t"
    return ";" if ";" in outside and "," not in outside else ","


def _with_points(row: list[str], header: Sequence[str]) -> list[str]:
    """A row whose numbers have decimal commas, with points."""
    return [
        cell.replace(",", ".") if NUMBERS.fullmatch(column) else cell
        for column, cell in zip_longest(header, row, fillvalue="")
    ][: len(row)]


def _text_lines(lists: Iterator[list[bytes]], place: str) -> Iterator[str]:
    """Yield lines of UTF-8, their ends kept, as csv wants them."""
    for number, line in enumerate(chain.from_iterable(lists), 1):
        if len(line) > chunks.MAX_LINE_BYTES:
            raise chunks.too_long(f"{place}, line {number}")
        # Only the file's first bytes can be a byte-order mark.
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        try:
            yield text.decode() + "\n"
        except UnicodeDecodeError:
            decode(text, f"{place}, line {number}")


def _npz_chunks(path: Path, origin: Origin, reading: InputForm) -> Iterator[Columns]:
    """Yield chunks of arrays: `x (N, T, I)` or `(N, I)`; `h`, `c`, `expected_h` … `(N, …)`.

    `id (N,)`, `weights`, `cell`, `convention` as text, `atol`, `steps`, `calls`: one for all, or N.
    """
    given = read_npz(path)
    place = safe(path)
    names = sample_columns(tuple(given), reading, place, "array", wide=False)
    arrays = dict(zip(names, given.values(), strict=True))
    if "x" not in arrays or arrays["x"].ndim not in (2, 3):
        found = f"x has shape {arrays['x'].shape}" if "x" in arrays else "x is in several arrays"
        raise ShapeError(found, where=place, hint="samples in npz need x (N, I) or (N, T, I)")
    count = len(arrays["x"])
    for name, array in arrays.items():
        if array.ndim and len(array) != count:
            found = f"{safe(name)} has {len(array)} entries, x has {count} samples"
            raise ShapeError(found, where=place, hint="every array runs over the samples first")
    common = {name: array.tolist() for name, array in arrays.items() if not array.ndim}
    for start in range(0, count, CHUNK):
        columns = {name: each[start : start + CHUNK] for name, each in arrays.items() if each.ndim}
        numbers = range(start + 1, start + len(columns["x"]) + 1)
        yield Columns(origin, numbers, columns, common)


class Range(NamedTuple):
    """A chunk of lines: its bytes in the file, its first line's number from 1, its key."""

    start: int
    stop: int
    first: int
    key: str


def line_ranges(path: Path, origin: Origin, form: str = "") -> Iterator[Range] | None:
    """Ranges of the chunks of a file; None if it is not plain lines of JSON, as `form` may say.

    Raises:
        InputError: it cannot be opened; while the ranges are taken: it cannot be read.
    """
    suffix = f".{form}" if form and path.suffix.lower() not in COMPRESSED else path.suffix.lower()
    if suffix not in (".jsonl", ".ndjson"):
        return None
    with open_checked(path) as stream:
        _, first, _ = _begun(line_lists(stream))
    other = opens_document(first) or _is_table(first) or is_packed(first)
    return None if other else _ranges(path, origin)


def _ranges(path: Path, origin: Origin) -> Iterator[Range]:
    start = 0
    with open_checked(path) as stream:
        for first, lines in cut_lines(line_lists(stream), CHUNK):
            # A line that is too long arrives cut, so bytes cannot be counted.
            if any(len(line) > chunks.MAX_LINE_BYTES for line in lines):
                raise chunks.too_long(safe(path))
            stop = start + sum(map(len, lines)) + len(lines)
            for chunk in numbered(lines, first, origin):
                yield Range(start, stop, first, key_of(chunk, b""))
            start = stop


def changed(file: str) -> InputError:
    """The error of a file whose content is not what it was when it was looked at."""
    hint = "run the same command again: what is finished and unchanged stays"
    return InputError("the file was changed while it was read", where=safe(file), hint=hint)


def read_range(path: Path, origin: Origin, where: Range) -> Chunk:
    """Read the chunk of a range.

    Raises:
        InputError: the file cannot be opened or read, or its lines are not what they were.
    """
    with open_checked(path) as stream:
        stream.seek(where.start)
        data = stream.read(where.stop - where.start)
    found = next(numbered(data.removesuffix(b"\n").split(b"\n"), where.first, origin), None)
    if found is None or key_of(found, b"") != where.key:
        raise changed(origin.file)
    return found


def _parquet_chunks(path: Path, origin: Origin, reading: InputForm) -> Iterator[Columns]:
    """Yield chunks of a file's rows.

    Columns: as the members of a sample: `x` a list of numbers or a list of lists, `h`, `c`,
    `expected` a struct, or `expected.h` … lists, `id`, `weights` …; others are the user's own.

    Raises:
        InputError: pyarrow is missing; the file is not Parquet, or damaged from here on.
    """
    place = safe(path)
    what = "Parquet files need the pyarrow package"
    parquet = imported("pyarrow.parquet", what, "parquet", place)
    try:
        with parquet.ParquetFile(path) as file:
            names = sample_columns(file.schema_arrow.names, reading, place)
            first = 1
            for batch in file.iter_batches(batch_size=CHUNK):
                columns = {n: column_values(batch.column(i)) for i, n in enumerate(names)}
                yield Columns(origin, range(first, first + len(batch)), folded(columns))
                first += len(batch)
    except (OSError, ValueError, TypeError, NotImplementedError, ArithmeticError) as error:
        hint = "write it with pandas.DataFrame.to_parquet or pyarrow.parquet.write_table"
        what = f"not a readable Parquet file: {safe(error)}"[:200]
        raise InputError(what, where=place, hint=hint) from None


def column_values(column: Any) -> list[Any] | Array:
    """Values of a column: floats of one shape as an array, which needs no object for each."""
    inner, shape = column, [len(column)]
    while _is_list(inner.type) and not inner.null_count and len(inner):
        lengths = np.asarray(inner.value_lengths())
        if (lengths != lengths[0]).any():
            break
        shape.append(int(lengths[0]))
        inner = inner.flatten()
    numbers = str(inner.type) in ("float", "double") and not inner.null_count
    if len(shape) == 1 or not numbers:
        return list(column.to_pylist())
    return np.asarray(inner.to_numpy()).reshape(shape)


def _is_list(kind: Any) -> bool:
    types = import_module("pyarrow").types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
