"""Lines of JSON as columns: a pattern cuts lines into values, simdjson reads a column at a time.

Lines of a file are alike: the same members in the same order. The pattern of a kind of lines is
made from one that the strict parser has read, with a group for each value. A line that it matches
is the same object with other values, if each group is a value: the column as a list of JSON,
`[a, b, …]`, is then one with as many elements. So no member is given twice, and none is overlooked.
What is not matched, or not read, is a line that only `Chunk.read` can judge; whole numbers that are
not exact are seen when the columns are judged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_cli.base.errors import LstmStepError
from lstm_cli.files.safe import decode, parse_json
from lstm_cli.samples.tables import VECTORS, SampleTable, Tables, Uncertain, kind_of

_BRACKET = ord("[")
# At most so many kinds of lines in a chunk get a pattern, each of at most so many members.
MAX_KINDS, MAX_MEMBERS = 64, 256
# What simdjson and its proxies raise: for what is not JSON, not UTF-8 or too deep; for what is not
# a list, or a list that is empty or has anything but numbers.
_REFUSALS = (ValueError, RuntimeError, LookupError, TypeError, AttributeError, Uncertain)

# Separators of names and values, and of members: as `json.dumps` writes them, without spaces, or
# with any white space.
_SPACE = rb"[ \t\r]*"
_STYLES = ((rb": ", rb", "), (rb":", rb","), (_SPACE + rb":" + _SPACE, _SPACE + rb"," + _SPACE))
_TEXT = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
# A list of numbers has no text in it, so it ends before the next name.
_LIST_OF_NUMBERS = rb'(\[[^"]*\])'
_SCALAR = rb"(" + _TEXT + rb'|[^"\[\]{},]+)'
_MAX_DEPTH = 6


def strictly(line: bytes) -> Any:
    """Parse a line strictly; None if it is not valid."""
    try:
        return parse_json(decode(line, ""), "")
    except LstmStepError:
        return None


def quick_reader(tables: Tables) -> Reader | None:
    """Make a reader that fills tables with lines; None if simdjson is not installed."""
    try:
        import simdjson
    except ImportError:
        return None
    return Reader(tables, simdjson)


class Reader:
    """Fills tables with lines of JSON."""

    def __init__(self, tables: Tables, simdjson: Any) -> None:
        self.tables = tables
        self.columns = _Columns(simdjson)
        self.kinds: list[_Kind] = []

    def take(self, start: int, lines: Sequence[bytes]) -> None:
        """Add lines from a position on, few enough to stay in the processor's cache."""
        positions: Sequence[int] = range(start, start + len(lines))
        for kind in self.kinds:
            positions, lines = self._taken(kind, positions, lines)
        while lines:
            made = _kind_of(lines[0]) if len(self.kinds) < MAX_KINDS else None
            if made is None:
                self.tables.single.append(positions[0])
                positions, lines = positions[1:], lines[1:]
                continue
            self.kinds.append(made)
            positions, lines = self._taken(made, positions, lines)

    def _taken(
        self, kind: _Kind, positions: Sequence[int], lines: Sequence[bytes]
    ) -> tuple[Sequence[int], Sequence[bytes]]:
        """Add the lines of a kind; return the others."""
        matches = list(map(kind.fullmatch, lines))
        rows = [match.groups() for match in matches if match]
        if rows and len(rows) == len(lines):  # nearly always
            self._fill(kind, positions, rows)
            return [], []
        if rows:
            own = [p for p, match in zip(positions, matches, strict=True) if match]
            self._fill(kind, own, rows)
        left = [place for place, match in enumerate(matches) if not match]
        return [positions[place] for place in left], [lines[place] for place in left]

    def _fill(self, kind: _Kind, positions: Sequence[int], rows: Sequence[Any]) -> None:
        """Add lines that a kind matches: all at once or, where one is refused, one by one."""
        table = self.tables.table(kind.keys, kind.symbols)
        try:
            columns = [
                read(self.columns, texts)
                for read, texts in zip(kind.reading, zip(*rows, strict=True), strict=True)
            ]
        except _REFUSALS:
            if len(rows) == 1:
                self.tables.single += positions
                return
            for position, row in zip(positions, rows, strict=True):
                self._fill(kind, [position], [row])
            return
        kind.put(table, positions, iter(columns))


class _Columns:
    """Reads the texts of a column, by simdjson; what it cannot raises one of `_REFUSALS`."""

    def __init__(self, simdjson: Any) -> None:
        self.new_parser: Callable[[], Any] = simdjson.Parser
        self.list_type: type = simdjson.Array
        self.parser = self.new_parser()

    def vectors(self, texts: Sequence[bytes]) -> tuple[Sequence[Any], bytes]:
        """Read the shape of each list of numbers, or list of rows, and all of the numbers."""
        text = _listed(texts)
        document = self._parsed(text, len(texts))
        numbers = document.as_buffer(of_type="d")
        shapes: Sequence[Any]
        # NumPy counts many ten times as fast as `bytes.count`.
        brackets = int(np.count_nonzero(np.frombuffer(text, np.uint8) == _BRACKET))
        if brackets == 1 + len(texts):
            shapes = list(map(len, document))
            if 0 in shapes:
                raise Uncertain
            return shapes, numbers
        shapes = list(map(self._shape, document))
        # Lists nested three deep have more.
        if brackets != 1 + sum(1 if type(each) is int else 1 + each[0] for each in shapes):
            raise Uncertain
        return shapes, numbers

    def _shape(self, value: Any) -> Any:
        if type(value[0]) is not self.list_type:
            return len(value)
        widths = set(map(len, value))
        if len(widths) > 1 or 0 in widths:
            raise Uncertain
        return len(value), widths.pop()

    def scalars(self, texts: Sequence[bytes]) -> Sequence[Any]:
        """Read texts, numbers, true, false and null."""
        found: list[Any] = self._parsed(_listed(texts), len(texts)).as_list()
        return found

    def others(self, texts: Sequence[bytes]) -> Sequence[Any]:
        """Read lists and objects; those that many samples share are read once."""
        different = dict.fromkeys(texts)
        values = self._parsed(_listed(list(different)), len(different))
        read = {text: self._other(text, each) for text, each in zip(different, values, strict=True)}
        return [read[text] for text in texts]

    def _other(self, text: bytes, value: Any) -> Any:
        found: Any
        is_list = type(value) is self.list_type
        if text.count(b"{") > (0 if is_list else 1):
            found = strictly(text)
        else:  # it has no object with a member that could be there twice
            found = value.as_list() if is_list else value.as_dict()
        if found is None or len(found) != len(value):
            raise Uncertain
        return found

    def _parsed(self, text: bytes, count: int) -> Any:
        """Parse a JSON list of `count` elements.

        A parser takes no text while a value of the last one is alive, and whoever keeps a frame of
        ours, as a profiler of threads does for a moment, keeps these values: there is a new parser
        then, since which lines are read how must not depend on that.
        """
        try:
            document = self.parser.parse(text)
        except RuntimeError:  # or it is too deep, and will be so again
            self.parser = self.new_parser()
            document = self.parser.parse(text)
        if len(document) != count:
            raise Uncertain
        return document


def _listed(texts: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(texts) + b"]"


@dataclass(frozen=True)
class _Kind:
    """Lines that have the same members in the same order, with the same sort of value in each.

    Attributes:
        symbols: of what is expected.
        absent: vectors that are null.
        fullmatch: of the pattern.
        reading: for each group of the pattern what reads its column.
    """

    keys: tuple[str, ...]
    symbols: tuple[str, ...]
    absent: frozenset[str]
    fullmatch: Callable[[bytes], re.Match[bytes] | None]
    reading: Sequence[Callable[[_Columns, Sequence[bytes]], Any]]

    def put(self, table: SampleTable, positions: Sequence[int], columns: Iterator[Any]) -> None:
        """Add columns that were read to their table."""
        table.positions += positions
        for key in self.keys:
            if key in self.absent:
                table.vectors[key].shapes += [None] * len(positions)
            elif key == "expected":
                for symbol in self.symbols:
                    table.expected[symbol].put(*next(columns))
            elif key in table.members:
                table.members[key] += next(columns)
            else:
                table.vector(key).put(*next(columns))


def _kind_of(line: bytes) -> _Kind | None:
    """Make the kind of a line; None for one that only `Chunk.read` can judge."""
    document = strictly(line)
    kind = kind_of(document)
    if kind is None or sum(map(len, kind)) > MAX_MEMBERS:
        return None
    named = dict(zip(kind[0], document.values(), strict=True))
    absent = frozenset(key for key in VECTORS if key in named and named[key] is None)
    lists = [each for key, each in named.items() if _is_vector(key) and key not in absent]
    if not all(type(each) is list for each in (*lists, *named.get("expected", {}).values())):
        return None
    for style in _STYLES:
        members = _Members(*style)
        fullmatch = re.compile(members.pattern(document, named, absent) + _SPACE).fullmatch
        if fullmatch(line):
            return _Kind(*kind, absent, fullmatch, members.reading)
    return None


def _is_vector(member: str) -> bool:
    return member in VECTORS or member.startswith("expected.")


class _Members:
    """Makes the pattern of an object, and finds what reads the column of each of its groups."""

    def __init__(self, colon: bytes, comma: bytes) -> None:
        self.colon, self.comma = colon, comma
        self.reading: list[Callable[[_Columns, Sequence[bytes]], Any]] = []

    def pattern(self, keys: Iterable[str], named: dict[str, Any], absent: frozenset[str]) -> bytes:
        """The pattern of a sample: its keys, and its values by the members that these stand for."""
        return self._object(
            (key, self._value(member, value, member in absent))
            for key, (member, value) in zip(keys, named.items(), strict=True)
        )

    def _object(self, members: Iterator[tuple[str, bytes]]) -> bytes:
        inside = self.comma.join(_name(key) + self.colon + value for key, value in members)
        return rb"\{" + _SPACE + inside + _SPACE + rb"\}"

    def _value(self, key: str, value: Any, absent: bool) -> bytes:
        if absent:
            return b"null"
        if key == "expected":
            return self._object((symbol, self._vector()) for symbol in value)
        if _is_vector(key):
            return self._vector()
        if type(value) in (list, dict):
            self.reading.append(_Columns.others)
            return rb"(" + _NESTED + rb")"
        self.reading.append(_Columns.scalars)
        return _SCALAR

    def _vector(self) -> bytes:
        self.reading.append(_Columns.vectors)
        return _LIST_OF_NUMBERS


def _name(key: str) -> bytes:
    """Pattern of a member's name, in either of the ways `json.dumps` writes it."""
    texts = (json.dumps(key), json.dumps(key, ensure_ascii=False))
    # A lone surrogate has no UTF-8 bytes: only its escape can stand for it.
    ways = {re.escape(text.encode(errors="backslashreplace")) for text in texts}
    return rb"(?:" + rb"|".join(sorted(ways)) + rb")" if len(ways) > 1 else ways.pop()


def _nested(depth: int) -> bytes:
    """Pattern of a list or object, nested up to `depth`; it never backtracks."""
    inside = rb'[^"\[\]{}]++|' + _TEXT + (rb"|" + _nested(depth - 1) if depth else b"")
    return rb"[\[{](?:" + inside + rb")*+[\]}]"


_NESTED = _nested(_MAX_DEPTH)
