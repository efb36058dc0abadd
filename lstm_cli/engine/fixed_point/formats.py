"""Fixed-point formats: `Qm.n`, one sign bit, m integer bits, n fraction bits.

The sign bit is not counted in m, as in Texas Instruments' notation: Q3.12 has 16 bits and ranges
from -8 to 8 - 2**-12; Q0.15 is a purely fractional int16. (ARM counts it and writes Q4.12.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, UsageError, caret, safe

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
            text: `Q3.12`.
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

    def to_int(
        self, values: Any, rounding: Rounding = "nearest", overflow: OverflowMode = "saturate"
    ) -> Array:
        """Quantize numbers `(…)` to int64 integers `(…)`.

        Raises:
            InputError: nan or inf, which no integer can represent.
        """
        return self.quantise(values, rounding, overflow)[0]

    def to_real(self, integers: Any) -> Array:
        """Return the float64 values `(…)` of integers `(…)` of up to 32 bits."""
        return np.asarray(integers, dtype=np.float64) * self.lsb

    def quantise(
        self, values: Any, rounding: Rounding, overflow: OverflowMode
    ) -> tuple[Array, Array]:
        """Like `to_int`, but also return which numbers `(…)` did not fit."""
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
        rounding: the mode.
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
