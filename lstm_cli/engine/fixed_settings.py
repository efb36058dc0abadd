"""Formats and settings of an integer port: Qm.n per kind of value, rounding, overflow, σ and tanh.

A format `Qm.n` has one sign bit, m integer bits and n fraction bits. The sign bit is not counted
in m, as in Texas Instruments' notation: Q3.12 has 16 bits and ranges from -8 to 8 - 2**-12; Q0.15
is a purely fractional int16. (ARM counts it and writes Q4.12.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, UsageError, caret, safe, suggest
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Apply, Node
from lstm_cli.cell.notation import is_parameter

Rounding = Literal["nearest", "even", "floor", "zero"]
OverflowMode = Literal["saturate", "wrap"]

LEAST_BITS, MOST_BITS = 2, 32
_FORMAT = re.compile(r"[Qq]([0-9]{1,2})\.([0-9]{1,2})")
_HINT = "Qm.n has 1 sign bit, m integer bits and n fraction bits: Q3.12 and Q0.15 are int16"
# Above this an int64 intermediate could overflow, so Python's integers are used.
_LARGE = 2.0**62


@dataclass(frozen=True)
class FixedFormat:
    """A format Qm.n.

    Attributes:
        integer_bits: m.
        fraction_bits: n.

    Raises:
        UsageError: fewer than 2 or more than 32 bits, or a negative number of them.
    """

    integer_bits: int
    fraction_bits: int

    def __post_init__(self) -> None:
        if min(self.integer_bits, self.fraction_bits) < 0:
            raise UsageError(f"{self} has a negative number of bits", where=str(self), hint=_HINT)
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            raise UsageError(
                f"{self} has {self.bits} bits; {LEAST_BITS} to {MOST_BITS} are supported",
                where=str(self),
                hint=_HINT,
            )

    @classmethod
    def parse(
        cls, text: str, place: str = "format", within: str = "", start: int = 0
    ) -> FixedFormat:
        """Parse a format such as `Q3.12`.

        Args:
            place: the origin of the text, for errors.
            within: a longer text that contains it, "" for none.
            start: its position in the longer text.

        Raises:
            UsageError: not a format, or not one of 2 to 32 bits; with a caret.
        """
        where = f"{place}\n{caret(within or text, start, len(text))}"
        match = _FORMAT.fullmatch(text)
        if match is None:
            raise UsageError(f"'{safe(text)}' is not a format Qm.n", where=where, hint=_HINT)
        try:
            return cls(int(match[1]), int(match[2]))
        except UsageError as error:
            raise UsageError(error.lines.what, where=where, hint=error.lines.hint) from None

    def __str__(self) -> str:
        return f"Q{self.integer_bits}.{self.fraction_bits}"

    @property
    def bits(self) -> int:
        """The width: 1 + m + n."""
        return 1 + self.integer_bits + self.fraction_bits

    @property
    def low(self) -> int:
        """The smallest integer."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """The largest integer."""
        return (1 << (self.bits - 1)) - 1

    @property
    def lsb(self) -> float:
        """Value of the last bit: 2**-n."""
        return 2.0**-self.fraction_bits

    def to_real(self, integers: Any) -> Array:
        """Return the float64 values `(…)` of integers `(…)` of up to 32 bits."""
        return np.asarray(integers, dtype=np.float64) * self.lsb

    def quantise(
        self, values: Any, rounding: Rounding = "nearest", overflow: OverflowMode = "saturate"
    ) -> tuple[Array, Array]:
        """Quantize numbers `(…)` to int64 integers `(…)`; also return which did not fit.

        Raises:
            InputError: nan or inf, which no integer can represent.
        """
        numbers = np.asarray(values, dtype=np.float64)
        if not np.isfinite(numbers).all():
            bad = numbers[~np.isfinite(numbers)].flat[0]
            raise InputError(f"{bad} has no integer in {self}", hint="give finite numbers")
        with np.errstate(over="ignore"):
            scaled = numbers * 2.0**self.fraction_bits  # exact: a power of two
        if not np.isfinite(scaled).all():
            scaled = np.clip(scaled, -1e308, 1e308)  # still beyond any format
        return self.store(_whole(round_quotient(scaled, 1, rounding)), overflow)

    def store(self, integers: Array, overflow: OverflowMode) -> tuple[Array, Array]:
        """Store integers `(…)` of any size; return the result and which did not fit."""
        outside = np.asarray((integers < self.low) | (integers > self.high), dtype=bool)
        if overflow == "saturate":
            kept = np.minimum(np.maximum(integers, self.low), self.high)
        else:
            kept = (integers - self.low) % (1 << self.bits) + self.low
        return np.asarray(kept).astype(np.int64), outside


def _whole(numbers: Array) -> Array:
    """Convert integral floats to integers, Python's own if int64 could not hold them."""
    if np.max(np.abs(numbers), initial=0.0) < _LARGE:
        return numbers.astype(np.int64)
    return np.array([int(each) for each in numbers.flat], dtype=object).reshape(numbers.shape)


def round_quotient(values: Array, divisor: int, rounding: Rounding) -> Array:
    """Return `values / divisor` rounded to integers, in the type of `values`.

    `nearest` rounds halves up, like `(v + half) >> n`; `even` rounds them to the even neighbour;
    `floor` is `v >> n`; `zero` truncates, like C's division.

    Args:
        values: integers, fractions, or floats with divisor 1. (The remainder of a float between -1
            and 0 may be rounded, but never across one half.)
        divisor: a positive number.
    """
    floor = values // divisor
    rest = values - floor * divisor
    if rounding == "floor":
        return floor
    if rounding == "zero":
        return np.asarray(floor + ((values < 0) & (rest != 0)))
    if rounding == "nearest":
        return np.asarray(floor + (2 * rest >= divisor))
    return np.asarray(floor + ((2 * rest > divisor) | ((2 * rest == divisor) & (floor % 2 != 0))))


# Kinds of values that can have a format of their own.
KINDS: Mapping[str, str] = {
    "weights": "W_…, U_…, p_… and W_hr",
    "bias": "b_…",
    "input": "x of the first layer (above it x is h, and in its format)",
    "sum": "pre-activations: z_…, and rows that sum up a matrix product",
    "gates": "f, i, g, o and other rows, and an activation within a row: the tanh(c) of h",
    "cell": "c",
    "state": "h",
}

MOST_ENTRIES = 2**16
_TABLE = re.compile(r"table:([0-9]{1,9})(:linear)?")


@dataclass(frozen=True)
class Activation:
    """How σ and tanh are computed.

    Attributes:
        mode: "exact" (correctly rounded), "table", or "hard" (0.2 z + 0.5 clipped to 0 … 1 for σ,
            z clipped to ±1 for tanh).
        linear: whether a table interpolates; otherwise the nearest entry is used.
    """

    mode: Literal["exact", "table", "hard"] = "exact"
    entries: int = 0
    linear: bool = False

    @classmethod
    def parse(cls, text: str, place: str = "--fixed-activation") -> Activation:
        """Parse `exact`, `hard`, `table:256` or `table:256:linear`.

        Raises:
            UsageError: none of these, or the table is too short or too long; with a caret.
        """
        if text in ("exact", "hard"):
            return cls("hard" if text == "hard" else "exact")
        match = _TABLE.fullmatch(text)
        hint = "exact, table:256, table:256:linear or hard"
        if match is None:
            raise _bad(text, 0, len(text), f"unknown activation '{safe(text)}'", hint, place)
        entries = int(match[1])
        if not 2 <= entries <= MOST_ENTRIES:
            what = f"a table of {entries} entries: 2 to {MOST_ENTRIES} are supported"
            raise _bad(text, match.start(1), len(match[1]), what, hint, place)
        return cls("table", entries, match[2] is not None)

    def __str__(self) -> str:
        if self.mode != "table":
            return self.mode
        return f"table:{self.entries}" + (":linear" if self.linear else "")


@dataclass(frozen=True, eq=False)
class FixedSettings:
    """How an integer port computes.

    Attributes:
        rounding: how values, including the given numbers, are rounded when stored.
        overflow: how a value that does not fit is stored: the nearest that fits, or its lowest
            bits.

    Raises:
        UsageError: an unknown mode, or a kind without a format.
    """

    formats: Mapping[str, FixedFormat]
    rounding: Rounding = "nearest"
    overflow: OverflowMode = "saturate"
    activation: Activation = Activation()

    def __post_init__(self) -> None:
        modes = {"rounding": (self.rounding, get_args(Rounding)),
                 "overflow": (self.overflow, get_args(OverflowMode))}  # fmt: skip
        for name, (given, known) in modes.items():
            if given not in known:
                raise UsageError(
                    f"unknown {name} '{safe(given)}'", where=name, hint=suggest(given, known)
                )
        if missing := [kind for kind in KINDS if kind not in self.formats]:
            raise UsageError(
                f"no format for {', '.join(missing)}",
                where="--fixed",
                hint="start with one for all: Q3.12,weights=Q1.14",
            )

    @classmethod
    def parse(
        cls,
        text: str,
        rounding: Rounding = "nearest",
        overflow: OverflowMode = "saturate",
        activation: str = "exact",
    ) -> FixedSettings:
        """Parse settings such as `Q3.12` or `Q3.12,weights=Q1.14,sum=Q7.24`.

        Raises:
            UsageError: a syntax error, with a caret, or a kind without a format.
        """
        return cls(_parse_formats(text), rounding, overflow, Activation.parse(activation))

    def format_of(self, symbol: str, cell: Cell, level: int = 0) -> FixedFormat:
        """Return the format of a symbol or parameter of a cell in layer `level` (from 0)."""
        if symbol == "x" and level > 0:
            return self.formats["state"]
        return self.formats[kind_of(symbol, cell)]


def kind_of(symbol: str, cell: Cell) -> str:
    """Return which of `KINDS` a symbol, input or parameter of a cell is."""
    state = {"x": "input", "h": "state", "h_prev": "state", "c": "cell", "c_prev": "cell"}
    if symbol in state:
        return state[symbol]
    if is_parameter(symbol):
        return "bias" if symbol.startswith("b_") else "weights"
    if symbol.startswith("z_") or _sums_a_product(cell[symbol].expression):
        return "sum"
    return "gates"


def _sums_a_product(node: Node) -> bool:
    match node:
        case Apply("@", _):
            return True
        case Apply("+" | "-" | "neg", arguments):
            return any(_sums_a_product(each) for each in arguments)
    return False


def _parse_formats(text: str) -> dict[str, FixedFormat]:
    """Parse `Q3.12,weights=Q1.14` into the format of each kind."""
    given: dict[str, FixedFormat] = {}
    for part in re.finditer(r"[^,]+|(?<=,)(?=,|$)|^$", text):
        kind, start = _kind_in(part, text)
        if kind in given:
            name = kind or "the format for all"
            raise _bad(text, part.start(), len(part[0]), f"{name} is given twice", "keep one")
        value = text[start : part.end()]
        lead = len(value) - len(value.lstrip())
        given[kind] = FixedFormat.parse(value.strip(), "--fixed", text, start + lead)
    base = given.pop("", None)
    return dict.fromkeys(KINDS, base) | given if base is not None else given


def _kind_in(part: re.Match[str], text: str) -> tuple[str, int]:
    """Return the kind named in a part, "" for none, and where its format starts."""
    name, sign, _ = part[0].partition("=")
    if not sign:
        return "", part.start()
    kind = name.strip()
    if kind not in KINDS:
        what = f"unknown kind of value '{safe(kind)}'"
        raise _bad(text, part.start(), len(name), what, suggest(kind, KINDS))
    return kind, part.start() + len(name) + 1


def _bad(
    text: str, start: int, length: int, what: str, hint: str, place: str = "--fixed"
) -> UsageError:
    return UsageError(what, where=f"{place}\n{caret(text, start, length)}", hint=hint)
