"""Fixed-point formats: `Qm.n`, one sign bit, m integer bits, n fraction bits.

The sign bit is not counted in m, as Texas Instruments writes it: Q3.12 has 16 bits and goes from
-8 to 8 - 2**-12; Q0.15 is an int16 that is all fraction. (ARM counts it, and writes Q4.12.)
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
_HINT = "Qm.n is 1 sign bit, m integer bits and n fraction bits: Q3.12 and Q0.15 are int16"
# Past this an int64 could overflow on the way; Python's integers take over.
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
                f"{self} has {self.bits} bits; {LEAST_BITS} to {MOST_BITS} are possible",
                where=str(self),
                hint=_HINT,
            )

    @classmethod
    def parse(
        cls, text: str, place: str = "format", within: str = "", start: int = 0
    ) -> FixedFormat:
        """Return the format that a text names.

        Args:
            text: `Q3.12`.
            place: what the text is, for errors.
            within: the longer text that it stands in, "" for none.
            start: where in that it starts.

        Raises:
            UsageError: not a format, or not one of 2 to 32 bits; with a caret under it.
        """
        where = f"{place}\n{caret(within or text, start, len(text))}"
        match = _FORMAT.fullmatch(text)
        if match is None:
            raise UsageError(f"'{safe(text)}' is not a format Qm.n", where=where, hint=_HINT)
        try:
            return cls(int(match[1]), int(match[2]))
        except UsageError as error:
            raise UsageError(error.what, where=where, hint=error.hint) from None

    def __str__(self) -> str:
        return f"Q{self.integer_bits}.{self.fraction_bits}"

    @property
    def bits(self) -> int:
        """The width: 1 + m + n."""
        return 1 + self.integer_bits + self.fraction_bits

    @property
    def low(self) -> int:
        """The least integer."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """The greatest integer."""
        return (1 << (self.bits - 1)) - 1

    @property
    def lsb(self) -> float:
        """What the last bit is worth: 2**-n."""
        return 2.0**-self.fraction_bits

    def to_int(
        self, values: Any, rounding: Rounding = "nearest", overflow: OverflowMode = "saturate"
    ) -> Array:
        """Return the integers `(…)`, int64, that numbers `(…)` are stored as.

        Raises:
            InputError: nan or inf, which no integer stands for.
        """
        return self.quantise(values, rounding, overflow)[0]

    def to_real(self, integers: Any) -> Array:
        """Return the numbers `(…)`, float64, that integers `(…)` of up to 32 bits stand for."""
        return np.asarray(integers, dtype=np.float64) * self.lsb

    def quantise(
        self, values: Any, rounding: Rounding, overflow: OverflowMode
    ) -> tuple[Array, Array]:
        """Return the integers of `to_int`, and which of them `(…)` did not fit."""
        numbers = np.asarray(values, dtype=np.float64)
        if not np.isfinite(numbers).all():
            bad = numbers[~np.isfinite(numbers)].flat[0]
            raise InputError(f"{bad} has no integer in {self}", hint="give finite numbers")
        with np.errstate(over="ignore"):
            scaled = numbers * 2.0**self.fraction_bits  # exact: a power of two
        if not np.isfinite(scaled).all():
            scaled = np.clip(scaled, -1e308, 1e308)  # past any format, and no less so
        return self.store(_whole(round_quotient(scaled, 1, rounding)), overflow)

    def store(self, integers: Array, overflow: OverflowMode) -> tuple[Array, Array]:
        """Return integers `(…)` of any size as they are stored, and which did not fit."""
        outside = np.asarray((integers < self.low) | (integers > self.high), dtype=bool)
        if overflow == "saturate":
            kept = np.minimum(np.maximum(integers, self.low), self.high)
        else:
            kept = (integers - self.low) % (1 << self.bits) + self.low
        return np.asarray(kept).astype(np.int64), outside


def _whole(numbers: Array) -> Array:
    """Return whole floats as integers, Python's own where int64 could not hold them."""
    if np.max(np.abs(numbers), initial=0.0) < _LARGE:
        return numbers.astype(np.int64)
    return np.array([int(each) for each in numbers.flat], dtype=object).reshape(numbers.shape)


def round_quotient(values: Array, divisor: int, rounding: Rounding) -> Array:
    """Return `values / divisor` as whole numbers, in the type of `values`.

    `nearest` sends a half upwards, as `(v + half) >> n` does; `even` sends it to the even side;
    `floor` is `v >> n`; `zero` cuts off, as C's division does.

    Args:
        values: integers, fractions, or floats with divisor 1. (What is left of a float between
            -1 and 0 may be rounded, but never across one half.)
        divisor: above zero.
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
