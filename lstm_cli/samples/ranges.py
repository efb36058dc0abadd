"""The chunks of a file of lines as ranges of its bytes, so that others can read each alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import open_checked
from lstm_cli.samples import chunks
from lstm_cli.samples.chunks import Chunk, Origin, key_of
from lstm_cli.samples.files import CHUNK, cut_lines, line_lists, numbered, opens_document

SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Range:
    """A chunk of lines, by where it is in its file.

    Attributes:
        start, stop: its bytes.
        first: the number of its first line, from 1.
        key: of its content.
    """

    start: int
    stop: int
    first: int
    key: str


def line_ranges(path: Path, origin: Origin) -> Iterator[Range] | None:
    """Ranges of the chunks of a file; None if it is not plain lines of JSON.

    Raises:
        InputError: it cannot be opened; while the ranges are taken: it cannot be read.
    """
    if path.suffix.lower() not in SUFFIXES or _is_document(path):
        return None
    return _ranges(path, origin)


def _is_document(path: Path) -> bool:
    """Whether the first line that is not blank only opens an object, or an array."""
    with open_checked(path) as stream:
        first = next((e for lines in line_lists(stream) for e in lines if e.strip()), b"")
    return opens_document(first)


def _ranges(path: Path, origin: Origin) -> Iterator[Range]:
    start = 0
    with open_checked(path) as stream:
        for first, lines in cut_lines(line_lists(stream), CHUNK):
            # A line that is too long arrives cut, so bytes cannot be counted.
            if any(len(line) > chunks.MAX_LINE_BYTES for line in lines):
                raise InputError(
                    "a line is too long", where=safe(path), hint="at most 16 MiB a line"
                )
            stop = start + sum(map(len, lines)) + len(lines)
            for chunk in numbered(lines, first, origin):
                yield Range(start, stop, first, key_of(chunk, b""))
            start = stop


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
        raise InputError(
            "the file was changed while it was read",
            where=safe(origin.file),
            hint="run the same command again: what is finished and unchanged stays",
        )
    return found
