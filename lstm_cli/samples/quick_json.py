"""Lines of JSON as columns, by simdjson: numbers go from the text to arrays, no object for each.

What is taken must be what the strict parser would make of the line. simdjson refuses what is not
JSON, NaN and numbers past a double's range; that no member is given twice, that lists hold numbers
only and rows of one width, is seen here, by counts; whole numbers that are not exact are seen when
the columns are judged. Whatever else there is (other members than the line before, a list in
a list in a list, one more bracket than accounted for) makes a line one that is looked at alone, and
then one that only `Chunk.read` can judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lstm_cli.errors import LstmStepError
from lstm_cli.safe_files import decode, parse_json
from lstm_cli.samples.sample import extra_keys
from lstm_cli.samples.tables import Table, Tables, Uncertain, Vectors

DOUBLE_BYTES = 8
_BRACKET = ord("[")
# Of so many different lists and objects it is remembered what they are.
MAX_MET = 256
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Brackets that a text writes as escapes cannot be counted.
_ESCAPED_BRACKET = b"\\u005"
# What simdjson and its proxies raise: not JSON, not UTF-8, too deep; no such member, no array (but
# a number, a text, None), an empty one, something else than numbers in it.
_REFUSALS = (ValueError, RuntimeError, LookupError, TypeError, AttributeError, Uncertain)


def strictly(line: bytes) -> Any:
    """Return what the strict parser makes of a line, or None."""
    try:
        return parse_json(decode(line, ""), "")
    except LstmStepError:
        return None


def quick_reader(tables: Tables) -> Reader | None:
    """Return what fills tables with lines, or None where simdjson is not installed."""
    try:
        import simdjson
    except ImportError:
        return None
    return Reader(tables, simdjson)


class Reader:
    """Fills tables with lines of JSON.

    Args:
        tables: to be filled.
        simdjson: the module.
    """

    def __init__(self, tables: Tables, simdjson: Any) -> None:
        self.tables = tables
        self.new_parser: Callable[[], Any] = simdjson.Parser
        self.parse: Callable[[bytes], Any] = self.new_parser().parse
        self.types = simdjson.Array, simdjson.Object
        # What took the last line, and what took others, by their members.
        self.like: _Like | None = None
        self.likes: dict[Any, _Like] = {}

    def take(self, start: int, lines: Sequence[bytes]) -> None:
        """Take the lines from a position on, few enough to stay next to the processor."""
        lengths = {key: len(each.positions) for key, each in self.tables.tables.items()}
        singles = len(self.tables.single)
        brackets = self._taken(start, lines)
        if not _certain(b"".join(lines), brackets):
            # A bracket in a text, or a list where none should be: which of them has it?
            for key, table in self.tables.tables.items():
                table.shorten(lengths.get(key, 0))
            del self.tables.single[singles:]
            for number, line in enumerate(lines):
                self._take_alone(start + number, line)
        for table in self.tables.tables.values():
            table.pack()

    def _take_alone(self, position: int, line: bytes) -> None:
        self._forget()  # what the lines before it are like may be why it was misread
        brackets = self._taken(position, [line])
        if self.like is None:
            return
        table = self.like.table
        last = (part for key, values in table.members.items() for part in (key, values[-1]))
        in_texts = sum(part.count("[") for part in last if isinstance(part, str))
        if not _certain(line, brackets + in_texts):
            table.shorten(len(table.positions) - 1)
            self.tables.single.append(position)

    def _forget(self) -> None:
        self.like = None
        self.likes.clear()

    def _taken(self, start: int, lines: Sequence[bytes]) -> int:
        """Take lines, or their positions as single ones; return how many brackets they have."""
        brackets, like = 0, self.like
        for position, line in enumerate(lines, start):
            if like is not None:
                try:
                    brackets += like.take(self.parse(line), position)
                    continue
                except _REFUSALS:
                    pass  # it is none, or it is not like the last one
            try:
                like = self._other(self._parsed(line), like)
                brackets += like.take(self._parsed(line), position)
            except _REFUSALS:
                like = None
                self.tables.single.append(position)
                brackets += line.count(b"[")
        self.like = like
        return brackets

    def _parsed(self, line: bytes) -> Any:
        """Return a line's document.

        A parser takes no line while a value of the last one is alive, and whoever keeps a frame of
        ours, as a profiler of threads does for a moment, keeps these values: there is a new parser
        then, since which lines are read how must not depend on that.
        """
        try:
            return self.parse(line)
        except RuntimeError:  # or it is too deep, and will be so again
            self.parse = self.new_parser().parse
            return self.parse(line)

    def _other(self, document: Any, refused: _Like | None) -> _Like:
        """Return what takes a document that the last one refused: one that was met, or a new one.

        Raises:
            one of `_REFUSALS`: it cannot be in a table.
        """
        keys = _names(document)
        if "x" not in keys:
            raise Uncertain
        symbols = _names(document["expected"]) if "expected" in keys else ()
        like = self.likes.get((keys, symbols))
        if like is None or like is refused:
            like = _Like(self.tables.table(keys, symbols), document, self.types)
            self.likes[keys, symbols] = like
        return like


def _names(document: Any) -> tuple[str, ...]:
    """Return the names of an object's members.

    Raises:
        Uncertain: one is there twice, or has a zero byte, where simdjson's look-up ends.
    """
    names = tuple(document.keys())
    if len(set(names)) < len(names) or "\0" in "".join(names):
        raise Uncertain
    return names


def _certain(text: bytes, brackets: int) -> bool:
    """Whether a text has just so many brackets, and begins no line with a byte-order mark."""
    # Of many, NumPy counts ten times as fast as `bytes.count`; and single bytes are found many
    # times as fast as several.
    found = int(np.count_nonzero(np.frombuffer(text, np.uint8) == _BRACKET))
    if found != brackets or (_BYTE_ORDER_MARK[:1] in text and _BYTE_ORDER_MARK in text):
        return False
    return b"\\" not in text or _ESCAPED_BRACKET not in text


class _Like:
    """Takes documents that have the members of one, with lists in the same places.

    Args:
        table: of documents with these members.
        document: one of them.
        types: simdjson's array and object.
    """

    def __init__(self, table: Table, document: Any, types: tuple[type, type]) -> None:
        self.table = table
        self.types = types
        self.met: dict[bytes, Any] = {}
        # Members of one's own are written in the order in which they came.
        self.ordered = len(extra_keys(table.keys)) > 1
        # simdjson looks up bytes: names are encoded once, not for each sample.
        self.vectors, self.absent = [], []
        for key, vectors in table.vectors.items():
            value = document[key]
            if value is None:
                self.absent.append((key.encode(), vectors))
            else:
                self.vectors.append(self._taking(key, vectors, value))
        self.expects = "expected" in table.keys
        self.expected = [
            self._taking(symbol, vectors, document["expected"][symbol])
            for symbol, vectors in table.expected.items()
        ]
        self.others = [(key.encode(), each.append) for key, each in table.members.items()]

    def _taking(self, key: str, vectors: Vectors, value: Any) -> Any:
        """Return what `_numbers` needs; the methods are looked up once, not for each sample."""
        nested = type(value[0]) is self.types[0]
        return key.encode(), nested, vectors.shapes.append, vectors.pieces.append

    def take(self, document: Any, position: int) -> int:
        """Take a document into the table, or nothing of it; return how many brackets it has.

        Raises:
            one of `_REFUSALS`: it is not like the first, or only `Chunk.read` can judge it.
        """
        table = self.table
        keys = table.keys
        # With as many members as names, of which each is found, it has these and no other.
        if len(document) != len(keys) or (self.ordered and tuple(document.keys()) != keys):
            raise Uncertain
        try:
            brackets = _numbers(document, self.vectors)
            for key, vectors in self.absent:
                if document[key] is not None:
                    raise Uncertain
                vectors.shapes.append(None)
                vectors.pieces.append(b"")
            if self.expects:
                brackets += self._expected(document["expected"])
            for key, append in self.others:
                value = document[key]
                if type(value) in self.types:
                    text = value.mini
                    brackets += text.count(b"[")
                    value = self._plain(text, value)
                append(value)
        except _REFUSALS:
            table.shorten(len(table.positions))
            raise
        table.positions.append(position)
        return brackets

    def _plain(self, text: bytes, value: Any) -> Any:
        """Return a list or an object as Python's: where many samples have the same, one for all."""
        if text not in self.met:
            if len(self.met) == MAX_MET:
                self.met.clear()
            self.met[text] = _plain(text, value, type(value) is self.types[0])
        return self.met[text]

    def _expected(self, expected: Any) -> int:
        symbols = self.table.symbols
        if len(expected) != len(symbols) or (
            len(symbols) > 1 and tuple(expected.keys()) != symbols
        ):
            raise Uncertain
        return _numbers(expected, self.expected)


def _numbers(document: Any, taking: Sequence[Any]) -> int:
    """Take the numbers of some members; return how many brackets they are in.

    Raises:
        Uncertain: an empty list, rows of unequal width.
        KeyError, AttributeError, TypeError: no such member, no list, no numbers in it.
    """
    brackets = len(taking)
    for key, nested, add_shape, add_piece in taking:
        array = document[key]
        numbers = array.as_buffer(of_type="d")
        count = numbers.size // DOUBLE_BYTES
        if not count:
            raise Uncertain
        if nested:
            rows = len(array)
            if len(set(map(len, array))) > 1:
                raise Uncertain
            brackets += rows
            add_shape((rows, count // rows))
        else:
            add_shape(count)
        add_piece(numbers)
    return brackets


def _plain(text: bytes, value: Any, is_list: bool) -> Any:
    """Return a member of another kind as Python's.

    Raises:
        Uncertain: it is not what the strict parser would make of it.
    """
    found: Any
    if text.count(b"{") > (0 if is_list else 1):
        found = strictly(text)
    else:  # no object in it, in which a member could be there twice
        found = value.as_list() if is_list else value.as_dict()
    if found is None or len(found) != len(value):
        raise Uncertain
    return found
