"""Fixed-point formats, exact arithmetic and correctly rounded functions: facts and properties."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath  # type: ignore[import-untyped] # it ships no types
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lstm_cli.base.errors import InputError, UsageError
from lstm_cli.engine.fixed_arithmetic import OPERATIONS, Exact, constant, rounded, transcendental
from lstm_cli.engine.fixed_settings import FixedFormat, Rounding, round_quotient

Ints = list[int]
ROUNDINGS: tuple[Rounding, ...] = ("nearest", "even", "floor", "zero")
roundings = st.sampled_from(ROUNDINGS)
formats = st.integers(2, 32).flatmap(
    lambda bits: st.integers(0, bits - 1).map(lambda m: FixedFormat(m, bits - 1 - m))
)


# ---- formats


PUBLISHED = [
    ("Q0.15", 0.5, 16384),  # CMSIS-DSP, arm_float_to_q15: x * 32768
    ("Q0.15", -1.0, -32768),
    ("Q0.15", 1.0, 32767),  # does not fit, saturates
    ("Q0.7", 0.5, 64),  # arm_float_to_q7: x * 128
    ("Q0.31", 0.5, 1073741824),  # arm_float_to_q31
    ("Q3.12", 1.0, 4096),
    ("Q3.12", -8.0, -32768),
    ("Q7.24", 0.1, 1677722),
]


@pytest.mark.parametrize(("text", "number", "integer"), PUBLISHED)
def test_known_integers(text: str, number: float, integer: int) -> None:
    """Numbers become the integers that DSP libraries document."""
    assert FixedFormat.parse(text).quantise([number])[0].tolist() == [integer]


def test_a_format_is_told_by_its_text() -> None:
    """m does not count the sign: Q3.12 is 16 bits from -8 to 8 - 2**-12."""
    each = FixedFormat.parse("Q3.12")
    assert (each.bits, each.low, each.high) == (16, -32768, 32767)
    assert each.to_real([each.low, each.high]).tolist() == [-8.0, 8 - 2**-12]
    assert FixedFormat.parse("q0.1") == FixedFormat(0, 1)


@given(formats)
def test_formats_print_and_parse(each: FixedFormat) -> None:
    """The text of a format parses to the same format."""
    assert FixedFormat.parse(str(each)) == each


@given(formats, st.integers(-(2**31), 2**31 - 1))
def test_integers_survive_the_way_to_numbers_and_back(each: FixedFormat, integer: int) -> None:
    """What an integer stands for is stored as that integer, whatever the rounding."""
    integer = max(each.low, min(each.high, integer))
    for rounding in ROUNDINGS:
        assert each.quantise(each.to_real([integer]), rounding)[0].tolist() == [integer]


@given(formats, st.floats(allow_nan=False, allow_infinity=False), roundings)
def test_saturation_stays_in_range(each: FixedFormat, number: float, rounding: Rounding) -> None:
    """Saturated integers never leave the range, and end at the side where the number is."""
    integers, outside = each.quantise([number], rounding, "saturate")
    assert each.low <= integers[0] <= each.high
    if outside[0]:
        assert integers[0] == (each.high if number > 0 else each.low)


@given(formats, st.floats(allow_nan=False, allow_infinity=False), roundings)
def test_wrapping_is_the_remainder(each: FixedFormat, number: float, rounding: Rounding) -> None:
    """A wrapped integer is the rounded one modulo 2**bits, for numbers of any size."""
    (wrapped,) = each.quantise([number], rounding, "wrap")[0].tolist()
    exact = rounded_by_hand(Fraction(number) * 2**each.fraction_bits, rounding)
    assert (wrapped - exact) % 2**each.bits == 0
    assert each.low <= wrapped <= each.high


def rounded_by_hand(value: Fraction, rounding: str) -> int:
    return {
        "nearest": lambda: math.floor(value + Fraction(1, 2)),
        "even": lambda: round(value),
        "floor": lambda: math.floor(value),
        "zero": lambda: math.trunc(value),
    }[rounding]()


near_halves = st.builds(
    lambda whole, part, tiny: (whole + part) + tiny,
    st.integers(-1000, 1000), st.sampled_from([0.0, 0.5, 0.25]),
    st.sampled_from([0.0, 1e-20, -1e-20, 2.0**-54, -(2.0**-54), 1e-13, -1e-13]),
)  # fmt: skip


@given(st.one_of(st.floats(-1e6, 1e6), near_halves), roundings)
def test_floats_are_rounded_as_exact_numbers(number: float, rounding: Rounding) -> None:
    """Rounding a double gives what rounding the exact number gives, next to a half too."""
    each = FixedFormat(31, 0)
    assert each.quantise([number], rounding)[0][0] == rounded_by_hand(Fraction(number), rounding)


@given(st.integers(-(2**80), 2**80), st.integers(0, 70), roundings)
def test_quotients_are_rounded_once(number: int, shift: int, rounding: Rounding) -> None:
    """Integers of any size are rounded as fractions are."""
    expected = rounded_by_hand(Fraction(number, 2**shift), rounding)
    small = np.array([number], dtype=np.int64 if abs(number) < 2**60 else object)
    assert int(rounded(Exact(small, shift), 0, rounding)[0]) == expected
    ratio = np.array([Fraction(number, 3)], dtype=object)
    assert int(round_quotient(ratio, 2**shift, rounding)[0]) == rounded_by_hand(
        Fraction(number, 3 * 2**shift), rounding
    )


@given(formats, st.floats(-1.0, 1.0), st.sampled_from(["nearest", "even"]))
def test_nearest_is_within_half_a_bit(each: FixedFormat, share: float, rounding: Rounding) -> None:
    """A number within range is off by at most half of the last bit."""
    number = share * each.high * each.lsb
    real = Fraction(float(each.to_real(each.quantise(number, rounding)[0])))
    assert abs(real - Fraction(number)) <= Fraction(each.lsb) / 2


def test_numbers_that_are_none_are_refused() -> None:
    """nan and inf have no integer."""
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(InputError, match="has no integer in Q3.12"):
            FixedFormat(3, 12).quantise([0.0, bad])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Q16.16", "has 33 bits"), ("Q0.0", "has 1 bits"), ("Q3", "not a format"),
        ("3.12", "not a format"), ("Q3.-1", "not a format"), ("Q 3.12", "not a format"),
        ("Q3.12.1", "not a format"), ("", "not a format"), ("Q٣.١٢", "not a format"),
    ],
)  # fmt: skip
def test_what_is_no_format_is_refused(text: str, what: str) -> None:
    """A bad format is a usage error with a caret."""
    with pytest.raises(UsageError, match=what) as caught:
        FixedFormat.parse(text)
    assert "^" in caught.value.where


def test_a_format_of_negative_bits_is_refused() -> None:
    """Numbers of bits are not negative."""
    with pytest.raises(UsageError, match="negative"):
        FixedFormat(20, -3)


# ---- exact arithmetic


numbers = st.lists(st.integers(-(2**62), 2**62), min_size=3, max_size=3)


@example([2**62] * 3, [2**62] * 3, 0, 0)
@example([-(2**62)] * 3, [2**62] * 3, 7, 7)
@given(numbers, numbers, st.integers(0, 40), st.integers(0, 40))
def test_operations_are_exact(left: Ints, right: Ints, a: int, b: int) -> None:
    """Sums, differences, products, quotients and choices are those of fractions, at any size."""
    one, other = Exact(np.array(left), a), Exact(np.array(right), b)
    exact = [[Fraction(v, 2**n) for v in each] for each, n in ((left, a), (right, b))]

    def value(number: Exact) -> list[Fraction]:
        return [Fraction(v) / 2**number.fraction_bits for v in number.integers.tolist()]

    by_hand = {
        "+": lambda p, q: p + q, "-": lambda p, q: p - q, "*": lambda p, q: p * q,
        "/": lambda p, q: p / q, "min": min, "max": max,
    }  # fmt: skip
    for name, compute in by_hand.items():
        if name == "/" and 0 in right:
            continue
        expected = [compute(p, q) for p, q in zip(*exact, strict=True)]
        assert value(OPERATIONS[name](one, other)) == expected
    assert value(OPERATIONS["abs"](one)) == [abs(p) for p in exact[0]]
    assert value(OPERATIONS["neg"](one)) == [-p for p in exact[0]]
    assert value(OPERATIONS["heaviside"](one)) == [int(p > 0) for p in exact[0]]
    assert value(OPERATIONS["concat"](one, other)) == [*exact[0], *exact[1]]
    matrix = Exact(np.array([left, right]), a)
    dot = [
        sum(Fraction(w, 2**a) * q for w, q in zip(row, exact[1], strict=True))
        for row in (left, right)
    ]
    assert value(OPERATIONS["@"](matrix, other)) == dot


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_constants_are_exact(value: float) -> None:
    """A constant of an equation is the double it is written as."""
    number = constant(value)
    assert Fraction(int(number.integers)) / 2**number.fraction_bits == Fraction(value)


MATHEMATICS = {
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "tanh": mpmath.tanh,
    "softplus": lambda z: mpmath.log(1 + mpmath.exp(z)),
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
}


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(MATHEMATICS)), st.integers(-(2**18), 2**18), st.integers(8, 28),
    st.integers(0, 31), roundings,
)  # fmt: skip
def test_activations_are_correctly_rounded(
    name: str, number: int, bits: int, target: int, rounding: Rounding
) -> None:
    """σ, tanh and the others are their exact value rounded once, in every mode of rounding."""
    exact = transcendental(name, Exact(np.array([number]), bits))
    with mpmath.workdps(1000):
        value = MATHEMATICS[name](mpmath.mpf(number) / 2**bits) * 2**target
        expected = {
            "nearest": lambda: mpmath.floor(value + mpmath.mpf(1) / 2),
            "even": lambda: mpmath.nint(value),
            "floor": lambda: mpmath.floor(value),
            "zero": lambda: mpmath.sign(value) * mpmath.floor(abs(value)),
        }[rounding]()
        got = int(rounded(exact, target, rounding)[0])
        if expected < 2**60:
            assert got == int(expected)
        else:  # past any format: only that it is as large matters
            assert got >= 2**60


@pytest.mark.parametrize("far", [40.0, 90.0, 1000.0, 2.0**31])
def test_far_out_activations_stay_below_their_limit(far: float) -> None:
    """Rounded down, σ and tanh never reach the 1 that they only approach."""
    z = constant(far)
    for name in ("sigmoid", "tanh"):
        assert int(rounded(transcendental(name, z), 15, "floor")) == 32767
        assert int(rounded(transcendental(name, z), 15, "nearest")) == 32768
    minus = OPERATIONS["neg"](z)
    assert int(rounded(transcendental("sigmoid", minus), 15, "floor")) == 0
    assert int(rounded(transcendental("tanh", minus), 15, "zero")) == -32767
