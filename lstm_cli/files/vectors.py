"""Vectors as people type, paste, pipe and store them.

`0,0.5,-1e-3`; spaces and brackets, `[0 0.5]`, a pasted `np.array([...])`; rows separated by `;`;
`@file` (txt, csv, json, npy, npz with `@file.npz:key`); `-` for stdin. Numbers are plain ASCII.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError, caret, safe, suggest

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NONFINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
MAX_STEPS = 10**9
# A larger npy or npz file is not read but mapped; it is looked through in blocks.
MAP_BYTES = 64 * 2**20
BLOCK_BYTES = 8 * 2**20
_WORD = re.compile(r"[^\s,;\[\]()]+")
# np.array( … , dtype=float32) and its relatives: what is before and after the brackets.
_PASTED = re.compile(
    r"\s*(?:\w+\.)?(?:array|asarray|tensor|Tensor)\s*\((?P<inner>.*?)"
    r"(?:,\s*(?:dtype|device|requires_grad|grad_fn|shape)\s*=.*)?\)\s*",
    re.DOTALL,
)


def read_vector(
    text: str, name: str, *, allow_nonfinite: bool = False, most_axes: int = 2
) -> Array:
    """Parse a vector option into rows `(rows, n)`.

    Args:
        text: numbers, `@file`, `@file:key`, or `-` for stdin.
        name: the option, for messages: `--x`.
        allow_nonfinite: whether nan and inf are numbers.
        most_axes: 3 lets an array in a file be samples of rows, `(N, rows, n)`.

    Raises:
        InputError: with the caret under the bad token.
        ShapeError: rows of unequal length.
    """
    source = _source(text, name)
    if source is None:
        return _read_file(text[1:], name, allow_nonfinite, most_axes)
    return parse_rows(source[0], name, source[1], allow_nonfinite)


def read_printed(
    text: str, name: str, *, allow_nonfinite: bool = False
) -> tuple[Array, Array | None]:
    """Return rows `(rows, n)` as `read_vector` does, and the decimals of each number as written.

    The decimals are None where the numbers come from a file that is no text. 1.50e-3 has five.

    Raises:
        InputError, ShapeError: as `read_vector`.
    """
    source = _source(text, name)
    if source is None:
        return _read_file(text[1:], name, allow_nonfinite, 2), None
    parser = _RowParser(source[0], name, source[1], allow_nonfinite)
    rows = _even(parser.parse(), name, source[1])
    return rows, np.reshape(parser.decimals, rows.shape)


def _source(text: str, name: str) -> tuple[str, str] | None:
    """Return the text that a vector option stands for, and its place; None for a file of arrays."""
    if text == "-":
        from lstm_cli.files.safe import read_stdin  # typed numbers need no reader of files

        return _uncommented(read_stdin(name)), f"{name}, stdin"
    if not text.startswith("@"):
        return text, name
    path = _split_key(text[1:])[0]
    if path.suffix.lower() in (".npy", ".npz", ".json"):
        return None
    from lstm_cli.files.safe import read_text

    return _uncommented(read_text(path)), f"{name}, {safe(path)}"


def _read_file(text: str, name: str, allow_nonfinite: bool, most_axes: int) -> Array:
    from lstm_cli.files.safe import (
        map_npy,
        map_npz,
        parse_json,
        read_npy,
        read_npz,
        read_text,
        to_array,
    )

    path, key = _split_key(text)
    place = f"{name}, {safe(path)}" + (f", key {safe(key)}" if key else "")
    match path.suffix.lower():
        case ".npy":
            value: Any = map_npy(path) if _is_large(path) else read_npy(path)
        case ".npz":
            value = map_npz(path, key) if _is_large(path) else None
            value = _member(read_npz(path), key, place) if value is None else value
        case _:
            value = parse_json(read_text(path), place)
            value = _member(value, key, place) if isinstance(value, dict) else value
            value = to_array(value, key or name, place)
    return check_rows(np.asanyarray(value), name, place, allow_nonfinite, most_axes)


def _is_large(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > MAP_BYTES
    except (OSError, ValueError):
        return False  # whoever opens it says what is wrong


def _split_key(text: str) -> tuple[Path, str]:
    """Return path and key of `file.npz:key`; a colon belongs to the path where no key can be."""
    stem, colon, key = text.rpartition(":")
    if colon and stem.lower().endswith((".npz", ".json")):
        return Path(stem), key
    return Path(text), ""


def _member(members: dict[str, Any], key: str, place: str) -> Any:
    if not key and len(members) == 1:
        return next(iter(members.values()))
    if key in members:
        return members[key]
    what = f"no key '{safe(key)}' in the file" if key else "the file has several keys"
    hint = (
        suggest(key, members)
        if key
        else "name one: " + ", ".join(f"@file:{safe(each)}" for each in list(members)[:12])
    )
    raise InputError(what, where=place, hint=hint)


def check_rows(
    array: Array, name: str, place: str, allow_nonfinite: bool = False, most_axes: int = 2
) -> Array:
    """Return an array from a file as rows `(rows, n)` of float64, or with axes before them.

    Raises:
        ShapeError: more than `most_axes` axes, or nothing in it.
        InputError: not numbers, or not finite where finite is asked for.
    """
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} is text, not numbers", where=place, hint="store numbers")
    if array.ndim > most_axes or array.size == 0:
        wanted = "(n,), (steps, n)" + (" or (samples, steps, n)" if most_axes > 2 else "")
        raise ShapeError(
            f"{name} has shape {array.shape}, needs {wanted}",
            where=place,
            hint="many samples at once go through `lstm-step batch`",
        )
    rows = np.atleast_2d(array)
    if not isinstance(array, np.memmap):  # a large file stays one: what is run of it is converted
        rows = rows.astype(np.float64)
    if not allow_nonfinite:
        _check_finite(rows, name, place)
    return rows


def _check_finite(rows: Array, name: str, place: str) -> None:
    """Refuse nan and inf in `(…, rows, n)`, looking at some rows at a time.

    Raises:
        InputError: names the first.
    """
    if rows.ndim > 2 and not rows.flags.c_contiguous:  # to make it flat would copy it
        for sample in rows:
            _check_finite(sample, name, place)
        return
    flat = rows.reshape(-1, rows.shape[-1])
    size = max(1, BLOCK_BYTES // (8 * rows.shape[-1]))
    for begin in range(0, len(flat), size):
        finite = np.isfinite(flat[begin : begin + size])
        if isinstance(rows, np.memmap):
            from lstm_cli.files.safe import let_go  # as above

            let_go(rows)
        if not finite.all():
            row, column = (int(axis) for axis in np.argwhere(~finite)[0])
            raise InputError(
                f"{name} row {(begin + row) % rows.shape[-2] + 1}, number {column + 1} is "
                f"{float(flat[begin + row, column])}",
                where=place,
                hint="give finite numbers, or --allow-nonfinite",
            )


def repeat_or_cut(x: Array, steps: int, place: str) -> Array:
    """Return `x (…, T, I)`: one row repeated `steps` times, or a sequence cut to `steps`.

    Raises:
        ShapeError: a sequence shorter than `steps`.
        InputError: more steps than any machine could run.
    """
    if not steps:
        return x
    if steps > MAX_STEPS:
        raise InputError(f"{steps} steps are too many", where=place, hint=f"at most {MAX_STEPS:,}")
    there = x.shape[-2]
    if there == 1:
        return np.broadcast_to(x, (*x.shape[:-2], steps, x.shape[-1]))
    if steps > there:
        raise ShapeError(
            f"{steps} steps asked for, x has {there} rows",
            where=place,
            hint="leave --steps out to run all rows; only a single row is repeated",
        )
    return x[..., :steps, :]


def parse_text(text: str, name: str, place: str, allow_nonfinite: bool = False) -> Array:
    """Return the rows of a text file or stdin: one a line, `#` starts a comment, or JSON.

    Raises:
        InputError, ShapeError: as `parse_rows`.
    """
    return parse_rows(_uncommented(text), name, place, allow_nonfinite)


def _uncommented(text: str) -> str:
    """Return a text with blanks in place of its comments, so that columns stay where they are."""
    lines = [re.sub(r"#.*", lambda m: " " * len(m[0]), line) for line in text.splitlines()]
    return "\n".join(lines)


def parse_rows(text: str, name: str, place: str, allow_nonfinite: bool = False) -> Array:
    """Return typed or pasted numbers as rows `(rows, n)`.

    Raises:
        InputError: not numbers; line and column, with the caret under the token.
        ShapeError: rows of unequal length.
    """
    return _even(_RowParser(text, name, place, allow_nonfinite).parse(), name, place)


def _even(rows: list[list[float]], name: str, place: str) -> Array:
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ShapeError(
                f"{name} row {number} has {len(row)} numbers, row 1 has {len(rows[0])}",
                where=place,
                hint="rows are separated by ; or by lines, and need equal lengths",
            )
    return np.array(rows, dtype=np.float64)


def _decimals(word: str) -> int:
    """Decimals that a number is written to; 0 for nan and inf."""
    digits, _, exponent = word.lower().partition("e")
    part = digits.partition(".")[2]
    return len(part) - int(exponent) if exponent else len(part)


class _RowParser:
    """Reads numbers, separators and brackets from left to right, with the place of each."""

    def __init__(self, text: str, name: str, place: str, allow_nonfinite: bool) -> None:
        self.text = text
        self.name = name
        self.place = place
        self.allow_nonfinite = allow_nonfinite
        self.rows: list[list[float]] = []
        self.row: list[float] = []
        self.decimals: list[int] = []
        self.open: list[int] = []
        self.comma = -1  # where a comma waits for its number

    def parse(self) -> list[list[float]]:
        pasted = _PASTED.fullmatch(self.text)
        position, end = pasted.span("inner") if pasted else (0, len(self.text))
        while position < end:
            position = self._take(position, end)
        if self.open:
            raise self._error("this bracket is not closed", self.open[-1], 1, "add ] or )")
        if self.comma >= 0:
            raise self._error(
                "nothing follows this comma", self.comma, 1, "remove it or add a number"
            )
        self._end_row()
        if not self.rows:
            raise InputError(
                f"{self.name} has no numbers",
                where=self.place,
                hint=f"for example {self.name} 0,0.5,0.1",
            )
        return self.rows

    def _take(self, position: int, end: int) -> int:
        """Read what starts at `position`; return where the next token starts."""
        character = self.text[position]
        if character == ";" or (character == "\n" and not self.open):
            self._separate(position, character)
        elif character == ",":
            if self.comma >= 0 or not (self.row or self.rows):
                raise self._error(
                    "no number before this comma", position, 1, "remove it or add a number"
                )
            self.comma = position
        elif character in "[(":
            self._open(position)
        elif character in "])":
            self._close(position)
        elif not character.isspace():
            return self._number(position, end)
        return position + 1

    def _separate(self, position: int, character: str) -> None:
        if self.comma >= 0 and character == ";":
            raise self._error("no number before this semicolon", position, 1, "remove the comma")
        self.comma = -1
        self._end_row()

    def _open(self, position: int) -> None:
        if len(self.open) == 2:
            raise self._error(
                "a third level of brackets", position, 1, "many samples go through batch"
            )
        if self.row:
            raise self._error("a bracket in the middle of a row", position, 1, "put ; or , first")
        self.comma = -1
        self.open.append(position)

    def _close(self, position: int) -> None:
        if not self.open:
            raise self._error("no bracket is open here", position, 1, "remove it")
        if self.text[self.open.pop()] + self.text[position] not in ("[]", "()"):
            raise self._error("closes another kind of bracket", position, 1, "use [ with ]")
        self.comma = -1
        self._end_row()

    def _number(self, position: int, end: int) -> int:
        word = _WORD.match(self.text, position, end)
        assert word is not None
        value = self._value(word[0], position)
        self.row.append(value)
        self.decimals.append(_decimals(word[0]))
        self.comma = -1
        return word.end()

    def _value(self, word: str, position: int) -> float:
        if _NUMBER.fullmatch(word):
            value = float(word)
            if math.isinf(value):
                raise self._error("too large for a double", position, len(word), "at most 1.8e308")
            return value
        if self.allow_nonfinite and _NONFINITE.fullmatch(word):
            return float(word)
        raise self._error(
            f"'{safe(word[:40])}' is not a number", position, len(word), self._advice(word)
        )

    def _advice(self, word: str) -> str:
        if word.startswith("--"):
            return f"did you forget the value of {self.name}?"
        if _NONFINITE.fullmatch(word):
            return "--allow-nonfinite lets nan and inf in"
        if any(mark in word for mark in "\u2212\u2013\u2014"):
            return "that is a typographic minus; type the plain one: -"
        if "..." in word or "\u2026" in word:
            return "the array was abbreviated when printed; numpy.set_printoptions(threshold=10**9)"
        if re.fullmatch(r"np\.\w+", word):
            return "those are NumPy scalars as Python prints them; paste array.tolist()"
        if not word.isascii():
            return "use the plain digits 0-9"
        if Path(word).suffix.lower() in (".txt", ".csv", ".json", ".npy", ".npz"):
            return f"a file is given with @: {self.name} @{safe(word)}"
        return "numbers look like 0, -0.5, 1e-3; `@file` reads a file, `-` reads stdin"

    def _end_row(self) -> None:
        if self.row:
            self.rows.append(self.row)
            self.row = []

    def _error(self, what: str, position: int, length: int, hint: str) -> InputError:
        line = self.text.count("\n", 0, position)
        start = self.text.rfind("\n", 0, position) + 1
        shown = self.text[start:].split("\n", 1)[0]
        at = f"line {line + 1}, column" if "\n" in self.text else "column"
        return InputError(
            what,
            where=f"{self.place}, {at} {position - start + 1}\n"
            f"{caret(shown, position - start, length)}",
            hint=hint,
        )
