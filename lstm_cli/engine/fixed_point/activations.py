"""σ, tanh and the like for exact numbers: correctly rounded, from a table, or piecewise linear."""

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

# Fraction bits of a value before it is rounded to a format with at most 31.
_BITS = 96
_CONTEXT = decimal.Context(prec=40)
_ONE = Decimal(2**_BITS)
# exp(-67) is below 2**-96: beyond that only the last bit changes, which is set anyway. Growing
# exponentials overflow a double at 709.
_FAR, _END = Decimal(67), Decimal(709)

# Substitutes for σ and tanh in a port with piecewise linear activations.
HARD: Mapping[str, Node] = {
    "sigmoid": Apply("hard_sigmoid", (Name("z"),)),
    "tanh": Apply("clip", (Name("z"), Number(-1.0), Number(1.0))),
}

# A table covers -2**k to 2**k: beyond, σ is within 0.0004 and tanh within 0.0007 of its limit.
_REACH = {"sigmoid": 3, "tanh": 2}
_MINUS = OPERATIONS["-"]


def _shrunk(z: Decimal) -> Decimal:
    """Return exp(-|z|)."""
    # copy_… because Decimal's sign operators round to the precision of the thread's context.
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
# For rational arguments, only the results at 0 are rational.
_AT_ZERO: Mapping[str, int] = {"sigmoid": 2 ** (_BITS - 1), "tanh": 0, "exp": 2**_BITS, "expm1": 0}


@lru_cache(maxsize=2**18)  # a 16-bit state has few values, which recur in a long run
def _bits_of(name: str, number: int | Fraction, fraction_bits: int) -> int:
    """Evaluate a function at `number / 2**fraction_bits`, rounded to odd at `_BITS` fraction bits.

    An irrational value is truncated and its last bit is set to stand for all that follow, so that
    rounding again, in any mode, gives the same result as rounding the exact value.
    """
    if number == 0 and name in _AT_ZERO:
        return _AT_ZERO[name]
    denominator = Decimal(number.denominator * 2**fraction_bits)
    value = _FUNCTIONS[name](_CONTEXT.divide(Decimal(number.numerator), denominator))
    return int(_CONTEXT.multiply(value, _ONE).to_integral_value(ROUND_FLOOR)) | 1


def transcendental(name: str, z: Exact) -> Exact:
    """Evaluate a function of `_FUNCTIONS` at numbers `(…)`, far more precisely than any format."""
    numbers = z.integers.astype(object)
    computed = np.frompyfunc(lambda each: _bits_of(name, each, z.fraction_bits), 1, 1)(numbers)
    return Exact(np.asarray(computed, dtype=object), _BITS)


class LookupTable:
    """A lookup table of σ or tanh: `entries` values in a format, at evenly spaced points with 0.

    Entry k is for the argument `-R + k · 2R / entries` with R = 8 for σ and 4 for tanh. Outside
    the table, its first or last entry is used.
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
        """Return the entries nearest to numbers `(…)`; halfway cases use the upper one."""
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
