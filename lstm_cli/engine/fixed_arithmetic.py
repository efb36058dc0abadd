"""Exact arithmetic on arrays of integers with fraction bits, like a port's accumulator.

Nothing here rounds but what is stored. Integers are int64 as long as a bound on the result shows
that they fit, and Python's unlimited integers otherwise. A quotient is a fraction. σ, tanh and the
like are correctly rounded, from a table, or piecewise linear.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError
from lstm_cli.cell.equations import (
    FUNCTIONS,
    Apply,
    Name,
    Node,
    Number,
    bind_arguments,
    is_activation,
    nodes_in,
)
from lstm_cli.engine.fixed_settings import (
    FixedSettings,
    Rounding,
    round_quotient,
)

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


# --------------------------------------------------------------------------------------------------
# σ, tanh and the like.

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
    """A lookup table of σ or tanh, in the gates' format, at evenly spaced points that include 0.

    Entry k is for the argument `-R + k · 2R / entries` with R = 8 for σ and 4 for tanh. Outside
    the table, its first or last entry is used.
    """

    def __init__(self, name: str, settings: FixedSettings) -> None:
        self.reach, self.entries = _REACH[name], settings.activation.entries
        self.format, width = settings.formats["gates"], 2**self.reach
        places = [Fraction(2 * width * k, self.entries) - width for k in range(self.entries)]
        exact = transcendental(name, Exact(np.array(places, dtype=object), 0))
        integers = rounded(exact, self.format.fraction_bits, settings.rounding)
        self.integers, _ = self.format.store(integers, settings.overflow)

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


# --------------------------------------------------------------------------------------------------
# One row of a table over integers, exact except for values stored along the way.

Known = Mapping[str, Exact]
# Rounds the value of a subexpression to its format and returns the stored value.
Keep = Callable[[Node, Exact], Exact]


class FixedEvaluator:
    """Evaluates expressions with the σ and tanh chosen in the settings."""

    def __init__(self, settings: FixedSettings) -> None:
        self.settings = settings
        self.activation = settings.activation

    def evaluate(self, expression: Node, known: Known, keep: Keep) -> Exact:
        """Evaluate a row `(n,)` without the final rounding.

        Args:
            keep: stores an activation within the row (the tanh(c) of h).
        """
        match expression:
            case Apply(name, arguments):
                return self._apply(name, [self._value(each, known, keep) for each in arguments])
        return self._value(expression, known, keep)

    def _value(self, node: Node, known: Known, keep: Keep | None) -> Exact:
        match node:
            case Number(value):
                return constant(value)
            case Name(name):
                return known[name]
            case Apply(name, arguments):
                number = self._apply(name, [self._value(each, known, keep) for each in arguments])
                stored = is_activation(name) and not self._is_exact(name)
                return keep(node, number) if keep is not None and stored else number

    def _apply(self, name: str, given: list[Exact]) -> Exact:
        if name in HARD and self.activation.mode == "hard":
            return self._value(HARD[name], {"z": given[0]}, None)
        if name in HARD and self.activation.mode == "table":
            table = self._tables[name]
            return table.between(given[0]) if self.activation.linear else table.nearest(given[0])
        if name in OPERATIONS:
            return OPERATIONS[name](*given)
        body = FUNCTIONS[name].body
        if body is None:
            return transcendental(name, given[0])
        # Nothing is stored within a body: only the function as a whole is rounded.
        return self._value(body, bind_arguments(name, given, constant), None)

    @cached_property
    def _tables(self) -> dict[str, LookupTable]:
        """Lookup tables of σ and tanh."""
        return {name: LookupTable(name, self.settings) for name in HARD}

    def _is_exact(self, name: str) -> bool:
        """Whether a function is exact on integers, being built from + - * min max abs."""
        if name in HARD and self.activation.mode == "hard":
            return True
        body = FUNCTIONS[name].body
        if body is None:
            return name in OPERATIONS and name != "/"
        applied = (each.function for each in nodes_in(body) if isinstance(each, Apply))
        return all(map(self._is_exact, applied))
