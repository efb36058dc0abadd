"""Vectors as people type, paste, pipe and store them.

`0,0.5,-1e-3`; spaces and brackets, `[0 0.5]`, a pasted `np.array([...])`; rows separated by `;`;
`@file` (txt, csv, json, npy, npz with `@file.npz:key`); `-` for stdin. Numbers are plain ASCII.
What Python, NumPy and other libraries print around numbers is passed over (`files.pasted`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError, caret, safe, suggest
from lstm_cli.base.numbers import counted, decimals_in, shortest
from lstm_cli.files.pasted import (
    bare,
    counting_row,
    first_pair,
    one_sample,
    with_points,
    without_header,
)

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NONFINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
MAX_STEPS = 10**9
# A larger npy or npz file is memory-mapped instead of read, and checked in blocks.
MAP_BYTES = 64 * 2**20
BLOCK_BYTES = 8 * 2**20
_WORD = re.compile(r"[^\s,;\[\]()]+")


def read_vector(
    text: str,
    name: str,
    *,
    allow_nonfinite: bool = False,
    most_axes: int = 2,
    told: list[str] | None = None,
) -> Array:
    """Parse a vector option into rows `(rows, n)`.

    Args:
        text: numbers, `@file`, `@file:key`, or `-` for stdin.
        name: the option, for messages: `--x`.
        most_axes: 3 also accepts an array of samples in a file, `(N, rows, n)`.
        told: where to add sentences on what had to be understood, such as a header that was
            skipped; without it, that is refused.

    Raises:
        InputError: not numbers; with a caret under the bad token.
        ShapeError: rows of unequal length.
    """
    return read_printed(
        text, name, allow_nonfinite=allow_nonfinite, most_axes=most_axes, told=told
    )[0]


def read_printed(
    text: str,
    name: str,
    *,
    allow_nonfinite: bool = False,
    most_axes: int = 2,
    told: list[str] | None = None,
) -> tuple[Array, Array | None]:
    """Like `read_vector`, but also return the decimals of each number as written.

    The decimals are None if the numbers come from a binary file. 1.50e-3 has five.
    """
    source = _source(text, name)
    if source is None:
        return _read_file(text[1:], name, allow_nonfinite, most_axes, told), None
    content, place = source
    clean = bare(content)
    if told is not None:
        clean = _understood(clean, text, place, told)
    parser = _RowParser(clean, name, place, allow_nonfinite, content)
    rows = _even(parser.parse(), name, place)
    return rows, np.reshape(parser.decimals, rows.shape)


def _understood(content: str, text: str, place: str, told: list[str]) -> str:
    """Rewrite what may be read in two ways, or is no numbers, adding a sentence on each to told."""
    if text == "-" or text.startswith("@"):
        content, names = without_header(content)
        if names:
            told.append(f"{place}: the header {safe(', '.join(names))} is skipped")
        elif counts := counting_row(content):
            told.append(
                f"{place}: the first row, {counts[:80]}, is read as numbers, not as a header"
            )
        content, said = with_points(content, table=text.lower().endswith(".csv"))
    else:
        content, said = with_points(content, tabs_only=True)
    if said:
        told.append(f"{place}: {said}")
    elif pair := first_pair(content):
        one, two = pair.split(",")
        told.append(f"{place}: {pair} is two numbers, {one} and {two}; a decimal is {one}.{two}")
    return content


def _source(text: str, name: str) -> tuple[str, str] | None:
    """Return the text behind a vector option and its origin; None for a file of arrays."""
    if text == "-":
        from lstm_cli.files.safe import read_stdin  # not needed for typed numbers

        return _uncommented(read_stdin(name)), f"{name}, stdin"
    if not text.startswith("@"):
        return text, name
    path = _split_key(text[1:])[0]
    if path.suffix.lower() in (".npy", ".npz", ".json"):
        return None
    from lstm_cli.files.safe import read_text

    return _uncommented(read_text(path, table=True)), f"{name}, {safe(path)}"


def _read_file(
    text: str, name: str, allow_nonfinite: bool, most_axes: int, told: list[str] | None
) -> Array:
    from lstm_cli.files import safe as files

    path, key = _split_key(text)
    place = f"{name}, {safe(path)}" + (f", key {safe(key)}" if key else "")
    match path.suffix.lower():
        case ".npy":
            value: Any = files.map_npy(path) if _is_large(path) else files.read_npy(path)
        case ".npz":
            key = key or _own_key(files.npz_headers(path), name, place, told)
            value = files.map_npz(path, key) if _is_large(path) else None
            value = _member(files.read_npz(path), key, place) if value is None else value
        case _:
            value = files.parse_json(files.read_text(path), place)
            if isinstance(value, dict):
                key = key or _own_key(value, name, place, told)
                value = _member(value, key, place)
            value = files.to_array(value, key or name, place)
    return check_rows(np.asanyarray(value), name, place, allow_nonfinite, most_axes)


def _is_large(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > MAP_BYTES
    except (OSError, ValueError):
        return False  # opening it reports what is wrong


def _split_key(text: str) -> tuple[Path, str]:
    """Split `file.npz:key` into path and key; without a possible key, a colon is in the path."""
    stem, colon, key = text.rpartition(":")
    if colon and stem.lower().endswith((".npz", ".json")):
        return Path(stem), key
    return Path(text), ""


# What people call an option's array in a file of several.
_KEYS = {
    "x": ("x", "xt", "x_t", "input", "inputs"),
    "h": ("h", "h0", "h_0", "hx", "h_prev"),
    "c": ("c", "c0", "c_0", "cx", "c_prev"),
}


def _own_key(members: Mapping[str, object], name: str, place: str, told: list[str] | None) -> str:
    """Return the one of several keys that is called as the option is; else ""."""
    own = name.split()[-1].lstrip("-")  # h of --h and of --expect h
    named = [each for each in members if each in _KEYS.get(own, (own,))]
    if told is None or len(members) < 2 or len(named) != 1:
        return ""
    key = named[0]
    others = ", ".join(safe(each) for each in members if each != key)
    told.append(f"{place}: {key} is taken, and {others[:80]} left out")
    return key


def _member(members: dict[str, Any], key: str, place: str) -> Any:
    if not key and len(members) == 1:
        return next(iter(members.values()))
    if key in members:
        return members[key]
    if key:
        what = f"no key '{safe(key)}' in the file"
        raise InputError(what, where=place, hint=suggest(key, members))
    names = ", ".join(f"@file:{safe(each)}" for each in list(members)[:12])
    raise InputError("the file has several keys", where=place, hint=f"name one: {names}")


def check_rows(
    array: Array, name: str, place: str, allow_nonfinite: bool = False, most_axes: int = 2
) -> Array:
    """Convert an array from a file to float64 rows `(rows, n)`, possibly with leading axes.

    Raises:
        ShapeError: more than `most_axes` axes, or an empty array.
        InputError: not numbers, or not finite when finite numbers are required.
    """
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} is text, not numbers", where=place, hint="store numbers")
    if array.ndim > most_axes or array.size == 0:
        wanted = "(n,), (steps, n)" + (" or (samples, steps, n)" if most_axes > 2 else "")
        raise ShapeError(
            f"{name} has shape {array.shape}, needs {wanted}",
            where=place,
            hint="use `lstm-step batch` for many samples at once",
        )
    rows = np.atleast_2d(array)
    if not isinstance(array, np.memmap):  # a large file stays mapped; only what is run is converted
        rows = rows.astype(np.float64)
    if not allow_nonfinite:
        _check_finite(rows, name, place)
    return rows


def _check_finite(rows: Array, name: str, place: str) -> None:
    """Reject nan and inf in `(…, rows, n)`, checking a block of rows at a time."""
    if rows.ndim > 2 and not rows.flags.c_contiguous:  # flattening would copy it
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
    """Return `x (…, T, I)`: one row repeated `steps` times, or a sequence truncated to `steps`.

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
            f"{counted(steps, 'step')} requested, but x has {counted(there, 'row')}",
            where=place,
            hint="leave out --steps to run all rows; only a single row is repeated",
        )
    return x[..., :steps, :]


def _uncommented(text: str) -> str:
    """Replace `#` comments by spaces, so that columns in errors stay correct."""
    lines = [re.sub(r"#.*", lambda m: " " * len(m[0]), line) for line in text.splitlines()]
    return "\n".join(lines)


def parse_rows(text: str, name: str, place: str, allow_nonfinite: bool = False) -> Array:
    """Parse typed or pasted numbers as rows `(rows, n)`.

    Raises:
        InputError: not numbers; with line, column and a caret under the token.
        ShapeError: rows of unequal length.
    """
    return _even(_RowParser(bare(text), name, place, allow_nonfinite, text).parse(), name, place)


def _even(rows: list[list[float]], name: str, place: str) -> Array:
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ShapeError(
                f"{name} row {number} has {counted(len(row), 'number')}, row 1 has {len(rows[0])}",
                where=place,
                hint="separate rows by ; or newlines; they need equal lengths",
            )
    return np.array(rows, dtype=np.float64)


_ADD_OR_REMOVE = "remove it or add a number"
# A library breaks a row where the next number would make it longer than some 75 characters.
_WRAPPED = 50
_POINTS = "write decimals with a point, as in 0.5"
_SUFFIXES = (".txt", ".csv", ".tsv", ".dat", ".json", ".npy", ".npz")
# The start of a word that is not a number -> what to do.
_ADVICE = {
    r".*(\.\.\.|\u2026)|truncated": "the array was abbreviated when printed; "
    "numpy.set_printoptions(threshold=10**9), or the same of torch",
    r"[\u2013\u2014]": "that is a dash; use a minus: -",
    r"columns?$": "it was printed in blocks of columns; print it wider, or save it as a file",
    r"\*|\.?/": "nothing is computed here; MATLAB prints plain numbers with format long g",
    r"\.\w": "methods are not called; paste what they return",
    r"na$|n/a$|null$|none$|missing$|-$": "a number is missing; fill it in, or leave its row out",
    r".*[^\x00-\x7f]": "use the plain digits 0-9",
}


def _meant(word: str) -> str:
    """Return the number that a fraction, a percentage or a misread letter stands for, or ""."""
    if part := re.fullmatch(r"([+-]?[0-9.]{1,15})/([0-9.]{1,15})", word):
        pair = [float(each) if _NUMBER.fullmatch(each) else 0.0 for each in part.groups()]
        return shortest(pair[0] / pair[1]) if pair[1] else ""
    if word.endswith("%") and _NUMBER.fullmatch(word[:-1]):
        return shortest(float(f"{word[:-1]}e-2")) if "e" not in word.lower() else ""
    plain = word.translate(str.maketrans("OoIl", "0011"))
    return plain if _NUMBER.fullmatch(plain) else ""


class _RowParser:
    """Reads numbers, separators and brackets from left to right, keeping positions."""

    def __init__(self, text: str, name: str, place: str, allow_nonfinite: bool, shown: str) -> None:
        self.text = one_sample(text)
        self.shown = shown  # the text as it was given, of the same length
        self.name = name
        self.place = place
        self.allow_nonfinite = allow_nonfinite
        self.rows: list[list[float]] = []
        self.row: list[float] = []
        self.decimals: list[int] = []
        self.open: list[int] = []
        self.comma = -1  # position of a comma that still needs a number after it
        self.before = ""  # the mark before, other than a blank
        self.last = 0  # end of the number before
        self.between = ""  # what separates the numbers of the row: a comma, or a blank

    def parse(self) -> list[list[float]]:
        position = 0
        while position < len(self.text):
            position = self._take(position)
        if self.open:
            raise self._error("this bracket is not closed", "add ] or )", self.open[-1])
        if self.comma >= 0:
            raise self._error("nothing follows this comma", _ADD_OR_REMOVE, self.comma)
        self._end_row()
        if not self.rows:
            raise InputError(
                f"{self.name} has no numbers",
                where=self.place,
                hint=f"for example {self.name} 0,0.5,0.1",
            )
        return self.rows

    def _take(self, position: int) -> int:
        """Read the token at `position`; return where the next one starts."""
        character = self.text[position]
        if character == ";" or (character == "\n" and not self.open):
            if self.comma >= 0 and character == ";":
                raise self._error("no number before this semicolon", "remove the comma", position)
            self._end_row()
        elif character == ",":
            if self.comma >= 0 or not (self.row or self.rows):
                raise self._error(
                    "no number before this comma", "remove it, or fill in the blank cell", position
                )
            self.comma = position
        elif character in "[(":
            self._open(position)
        elif character in "])":
            self._close(position)
        elif not character.isspace():
            position = self._number(position) - 1
        if character == "\n" or not character.isspace():
            self.before = character
        return position + 1

    def _open(self, position: int) -> None:
        if len(self.open) == 2:
            raise self._error("a third level of brackets", "use batch for many samples", position)
        if self.row:
            raise self._error("a bracket in the middle of a row", "put ; or , first", position)
        self.comma = -1
        self.open.append(position)

    def _close(self, position: int) -> None:
        if not self.open:
            raise self._error("no bracket is open here", "remove it", position)
        if self.text[self.open.pop()] + self.text[position] not in ("[]", "()"):
            raise self._error("does not match the opening bracket", "use [ with ]", position)
        self._end_row()

    def _number(self, position: int) -> int:
        word = _WORD.match(self.text, position)
        assert word is not None
        value = self._value(word[0], position)
        if self.row:
            self._separated(word[0], position)
        elif self.before in ("]", ")"):
            raise self._error("a number right after a bracket", "put ; or , first", position)
        self.row.append(value)
        self.last = word.end()
        self.decimals.append(decimals_in(word[0]))
        self.comma = -1
        return word.end()

    def _separated(self, word: str, position: int) -> None:
        """Reject a number that a comma or a blank may make another one."""
        between = "," if self.comma >= 0 else " "
        tight = self.comma == position - 1
        if tight and re.fullmatch("0[0-9]+", word) and self.text[self.comma - 1].isdigit():
            raise self._error(
                f"'{word}' after a comma looks like decimals", _POINTS, position, len(word)
            )
        if self.between and between != self.between:
            what = "both commas and blanks separate the numbers of this row"
            hint = f"{_POINTS}; or put a comma between all numbers"
            raise self._error(what, hint, position, len(word))
        self.between = between
        if between == " " and "\n" in self.text[self.last : position]:
            line = self.last - self.text.rfind("\n", 0, self.last)
            if line + len(word) < _WRAPPED:
                what = "a row goes on in the next line, or ends there"
                hint = "separate rows by ; or give each its own brackets"
                raise self._error(what, hint, position, len(word))

    def _value(self, word: str, position: int) -> float:
        if _NUMBER.fullmatch(word):
            value = float(word)
            if math.isinf(value):
                raise self._error("too large for a double", "at most 1.8e308", position, len(word))
            return value
        if self.allow_nonfinite and _NONFINITE.fullmatch(word):
            return float(word)
        what = f"'{safe(self.shown[position : position + len(word)][:40])}' is not a number"
        raise self._error(what, self._advice(word), position, len(word))

    def _advice(self, word: str) -> str:
        if word.startswith("--"):
            return f"did you forget the value of {self.name}?"
        if _NONFINITE.fullmatch(word):
            return "--allow-nonfinite accepts nan and inf"
        if Path(word).suffix.lower() in _SUFFIXES:
            return f"use @ for a file: {self.name} @{safe(word)}"
        if meant := _meant(word):
            return f"did you mean {meant}?"
        for pattern, hint in _ADVICE.items():
            if re.match(pattern, word, re.IGNORECASE):
                return hint
        return "numbers look like 0, -0.5, 1e-3; `@file` reads a file, `-` reads stdin"

    def _end_row(self) -> None:
        self.comma, self.between = -1, ""
        if self.row:
            self.rows.append(self.row)
            self.row = []

    def _error(self, what: str, hint: str, position: int, length: int = 1) -> InputError:
        line = self.text.count("\n", 0, position)
        start = self.text.rfind("\n", 0, position) + 1
        shown = self.shown[start:].split("\n", 1)[0]
        at = f"line {line + 1}, column" if "\n" in self.text else "column"
        return InputError(
            what,
            where=f"{self.place}, {at} {position - start + 1}\n"
            f"{caret(shown, position - start, length)}",
            hint=hint,
        )
