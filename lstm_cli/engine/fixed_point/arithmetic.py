"""Exact arithmetic on arrays of integers with fraction bits, like a port's accumulator.

Nothing here rounds. Integers are int64 as long as a bound on the result shows that they fit, and
Python's unlimited integers otherwise. A quotient is a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError
from lstm_cli.engine.fixed_point.formats import Rounding, round_quotient

_INT64 = 2**63


@dataclass(frozen=True, eq=False)
class Exact:
    """Exact numbers: `integers / 2**fraction_bits`.

    Attributes:
        integers: `(…)`, int64, or objects (int, or Fraction after a division).
    """

    integers: Array
    fraction_bits: int

    def to_float(self) -> Array:
        """Return the nearest doubles `(…)`, inf on overflow."""
        one = 2**self.fraction_bits
        ratios = np.frompyfunc(_ratio, 2, 1)(self.integers.astype(object), one)
        return np.asarray(ratios, dtype=np.float64)


def _ratio(number: Any, divisor: int) -> float:
    try:
        return float(Fraction(number) / divisor)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def constant(value: float) -> Exact:
    """Convert a constant of an equation exactly, with as many bits as the double has."""
    numerator, denominator = float(value).as_integer_ratio()
    return Exact(_array(numerator), denominator.bit_length() - 1)


def _array(value: Any) -> Array:
    """Turn a NumPy scalar back into an array of one of our two types."""
    if isinstance(value, int | Fraction):
        small = isinstance(value, int) and abs(value) < _INT64
        return np.array(value, dtype=np.int64 if small else object)
    return np.asarray(value)


def _peak(integers: Array) -> int:
    """Return an integer upper bound of the magnitudes."""
    if integers.size == 0:
        return 0
    return int(max(math.ceil(integers.max()), -math.floor(integers.min())))


def _room(integers: Array, bound: int) -> Array:
    """Convert the integers to a type that holds results up to `bound`."""
    fits = bound < _INT64 or integers.dtype == object
    return integers if fits else integers.astype(object)


def _times(integers: Array, factor: int) -> Array:
    """Multiply integers by a power of two."""
    return _array(_room(integers, max(_peak(integers), 1) * factor) * factor)


def _aligned(*numbers: Exact) -> tuple[int, list[Array]]:
    """Return the largest number of fraction bits, and all numbers converted to it."""
    bits = max(each.fraction_bits for each in numbers)
    return bits, [_times(each.integers, 2 ** (bits - each.fraction_bits)) for each in numbers]


def _add(left: Exact, right: Exact) -> Exact:
    bits, (one, other) = _aligned(left, right)
    bound = _peak(one) + _peak(other)
    return Exact(_array(_room(one, bound) + _room(other, bound)), bits)


def _negate(number: Exact) -> Exact:
    return Exact(_array(-number.integers), number.fraction_bits)


def _multiply(left: Exact, right: Exact) -> Exact:
    bound = _peak(left.integers) * _peak(right.integers)
    product = _room(left.integers, bound) * _room(right.integers, bound)
    return Exact(_array(product), left.fraction_bits + right.fraction_bits)


def _matmul(matrix: Exact, vector: Exact) -> Exact:
    # (rows, n) @ (n,); the bound also holds for every partial sum, in any order.
    bound = _peak(matrix.integers) * _peak(vector.integers) * max(vector.integers.shape[-1], 1)
    product = _room(vector.integers, bound) @ _room(matrix.integers, bound).T
    return Exact(_array(product), matrix.fraction_bits + vector.fraction_bits)


def _divide(left: Exact, right: Exact) -> Exact:
    if np.any(right.integers == 0):
        raise InputError(
            "division by zero", hint="the divisor is rounded to 0: give it more fraction bits"
        )
    _, (one, other) = _aligned(left, right)
    quotient = np.frompyfunc(Fraction, 2, 1)(one.astype(object), other.astype(object))
    return Exact(_array(quotient), 0)


def _concatenate(*numbers: Exact) -> Exact:
    bits, parts = _aligned(*numbers)
    return Exact(np.concatenate(parts, axis=-1), bits)


def _choose(pick: Callable[[Array, Array], Array]) -> Callable[[Exact, Exact], Exact]:
    def chosen(left: Exact, right: Exact) -> Exact:
        bits, (one, other) = _aligned(left, right)
        return Exact(_array(pick(one, other)), bits)

    return chosen


# The functions of the grammar defined on integers. `/` gives fractions.
OPERATIONS: Mapping[str, Callable[..., Exact]] = {
    "+": _add,
    "-": lambda left, right: _add(left, _negate(right)),
    "*": _multiply,
    "/": _divide,
    "@": _matmul,
    "neg": _negate,
    "concat": _concatenate,
    "abs": lambda number: Exact(_array(abs(number.integers)), number.fraction_bits),
    "min": _choose(np.minimum),
    "max": _choose(np.maximum),
    "heaviside": lambda number: Exact(_array((number.integers > 0) * 1), 0),
}


def rounded(number: Exact, fraction_bits: int, rounding: Rounding) -> Array:
    """Round once to integers `(…)` with `fraction_bits` fraction bits."""
    up = 2 ** max(0, fraction_bits - number.fraction_bits)
    down = 2 ** max(0, number.fraction_bits - fraction_bits)
    scaled = _times(number.integers, up)
    # Room for twice the remainder, and for a wrapped integer's 32 bits.
    scaled = _room(scaled, _peak(scaled) + 2 * down + 2**33)
    return _array(round_quotient(scaled, down, rounding))
