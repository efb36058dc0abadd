"""σ, tanh and their kin of exact numbers: correctly rounded, from a table, or piecewise linear."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Mapping
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from functools import lru_cache

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.equations import Apply, Name, Node, Number
from lstm_cli.engine.fixed_point.arithmetic import OPERATIONS, Exact, constant, rounded
from lstm_cli.engine.fixed_point.formats import FixedFormat, OverflowMode, Rounding

# A value is known to so many fraction bits before it is rounded into a format of 31 or fewer.
_BITS = 96
_CONTEXT = decimal.Context(prec=40)
_ONE = Decimal(2**_BITS)
# exp(-67) is below 2**-96: past that only the last bit kept changes, which is set anyway. Where
# exp grows, a double ends at 709.
_FAR, _END = Decimal(67), Decimal(709)

# What a port with piecewise linear activations puts in place of σ and tanh.
HARD: Mapping[str, Node] = {
    "sigmoid": Apply("hard_sigmoid", (Name("z"),)),
    "tanh": Apply("clip", (Name("z"), Number(-1.0), Number(1.0))),
}

# A table goes from -2**k to 2**k: outside, σ is within 0.0004 and tanh within 0.0007 of its end.
_REACH = {"sigmoid": 3, "tanh": 2}
_MINUS = OPERATIONS["-"]


def _shrunk(z: Decimal) -> Decimal:
    """Return exp(-|z|)."""
    # copy_… because Decimal's own signs round to the digits of the thread's context.
    return _CONTEXT.exp(min(z.copy_abs(), _FAR).copy_negate())


def _grown(z: Decimal) -> Decimal:
    """Return exp(z)."""
    return _CONTEXT.exp(max(min(z, _END), -_FAR))


def _sigmoid(z: Decimal) -> Decimal:
    small = _shrunk(z)
    return _CONTEXT.divide(small if z < 0 else Decimal(1), _CONTEXT.add(1, small))


def _tanh(z: Decimal) -> Decimal:
    small = _shrunk(_CONTEXT.multiply(2, z))
    size = _CONTEXT.divide(_CONTEXT.subtract(1, small), _CONTEXT.add(1, small))
    return size.copy_sign(z)


def _softplus(z: Decimal) -> Decimal:
    return _CONTEXT.add(max(z, Decimal(0)), _CONTEXT.ln(_CONTEXT.add(1, _shrunk(z))))


_FUNCTIONS: Mapping[str, Callable[[Decimal], Decimal]] = {
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "softplus": _softplus,
    "exp": _grown,
    "expm1": lambda z: _CONTEXT.subtract(_grown(z), 1),
}
# The only rational results at rational arguments are those at 0; all others are irrational.
_AT_ZERO: Mapping[str, int] = {"sigmoid": 2 ** (_BITS - 1), "tanh": 0, "exp": 2**_BITS, "expm1": 0}


@lru_cache(maxsize=2**18)  # a state of 16 bits has few values, and a long run meets them again
def _bits_of(name: str, number: int | Fraction, fraction_bits: int) -> int:
    """Return a function of `number / 2**fraction_bits`, with `_BITS` fraction bits, to odd.

    An irrational value is cut off, and its last bit set in place of all that follow: so rounding
    it once more, in whatever way, has the result of rounding the value itself.
    """
    if number == 0 and name in _AT_ZERO:
        return _AT_ZERO[name]
    denominator = Decimal(number.denominator * 2**fraction_bits)
    value = _FUNCTIONS[name](_CONTEXT.divide(Decimal(number.numerator), denominator))
    return int(_CONTEXT.multiply(value, _ONE).to_integral_value(ROUND_FLOOR)) | 1


def transcendental(name: str, z: Exact) -> Exact:
    """Return a function of `_FUNCTIONS` of numbers `(…)`, far more exact than any format."""
    numbers = z.integers.astype(object)
    computed = np.frompyfunc(lambda each: _bits_of(name, each, z.fraction_bits), 1, 1)(numbers)
    return Exact(np.asarray(computed, dtype=object), _BITS)


class LookupTable:
    """A look-up table of σ or tanh: `entries` values in a format, evenly spaced, 0 among them.

    Entry k stands for `-R + k · 2R / entries` with R = 8 for σ and 4 for tanh. Outside the table
    its first or last entry counts.
    """

    def __init__(
        self,
        name: str,
        entries: int,
        format_: FixedFormat,
        rounding: Rounding,
        overflow: OverflowMode,
    ) -> None:
        self.reach = _REACH[name]
        self.entries = entries
        self.format = format_
        width = 2**self.reach
        places = [Fraction(2 * width * k, entries) - width for k in range(entries)]
        exact = transcendental(name, Exact(np.array(places, dtype=object), 0))
        integers = rounded(exact, format_.fraction_bits, rounding)
        self.integers, _ = format_.store(integers, overflow)

    def nearest(self, z: Exact) -> Exact:
        """Return the entries nearest to numbers `(…)`, the upper one halfway between two."""
        return self._entry(rounded(self._place(z), 0, "nearest"))

    def between(self, z: Exact) -> Exact:
        """Interpolate linearly between the entries, exactly."""
        place = self._place(z)
        index = rounded(place, 0, "floor")
        first, rest = self._entry(index), _MINUS(place, Exact(index, 0))
        step = _MINUS(self._entry(np.minimum(index + 1, self.entries - 1)), first)
        return OPERATIONS["+"](first, OPERATIONS["*"](step, rest))

    def _entry(self, index: Array) -> Exact:
        return Exact(self.integers[index.astype(np.int64)], self.format.fraction_bits)

    def _place(self, z: Exact) -> Exact:
        """Positions of numbers `(…)` in the table, 0 to `entries - 1`."""
        shifted = OPERATIONS["+"](z, constant(2.0**self.reach))
        place = OPERATIONS["*"](shifted, constant(self.entries / 2.0 ** (self.reach + 1)))
        return OPERATIONS["min"](
            OPERATIONS["max"](place, constant(0.0)), constant(self.entries - 1.0)
        )
