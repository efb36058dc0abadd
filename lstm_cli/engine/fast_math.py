"""Vectorizable exp, sigmoid, tanh and related functions.

A call to the C library's `exp` keeps a compiler from vectorizing, so these are plain sums and
products: no table, no branch, no loop. Arguments are reduced as in Cody & Waite, "Software Manual
for the Elementary Functions", 1980: `z = n ln 2 + r` with `|r| ≤ ln 2 / 2`, ln 2 subtracted in two
parts, and `exp(z) = 2ⁿ (1 + p)` with `p = expm1(r)` from a polynomial; 2ⁿ is formed by writing n
into the exponent bits (Cephes' exp.c and expf.c, S. Moshier, use ldexp). The coefficients are our
own minimax fits, made by `benchmarks/coefficients.py`.

Errors against mpmath, measured by `tests/engine/test_fast_math.py`, are below 4 ULP everywhere,
including subnormal results; `MEASURED_ULP` has each. Infinite arguments give the limits, nan gives
nan, and zeros keep their sign where the function does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

# A function of numbers of one type; the result of `compile_` has the same signature.
Scalar: TypeAlias = Callable[..., Any]
Compile: TypeAlias = Callable[[Scalar], Scalar]

# Upper bounds on the measured errors in ULP: (float64, float32).
MEASURED_ULP: Mapping[str, tuple[float, float]] = {
    "exp": (1.1, 1.1),
    "expm1": (2.4, 1.7),
    "sigmoid": (2.3, 2.4),
    "tanh": (2.7, 2.7),
    "softplus": (2.4, 2.7),
}


@dataclass(frozen=True)
class FloatFormat:
    """A binary floating-point format and the constants fitted to it.

    Attributes:
        number: NumPy's type.
        integer: the signed integer type of the same width.
        bits: mantissa bits without the hidden one.
        bias: the stored exponent of 1.0.
        low: exp is 0 at and below this.
        high: exp is infinite at and above this.
        lift: 2^lift times exp(low) is a normal number.
        flat: expm1(-z) is -1 and tanh(z / 2) is 1 at and above this.
        tiny: tanh(z), expm1(z) and z are equal up to this.
        ln2: ln 2 in two parts, the first short enough for `n` times it to be exact.
        expm1: q in `expm1(r) = r + r² q(r)`, `|r| ≤ ln 2 / 2`, the constant term first.
        log1p: q in `log1p(e) = t + t/2 u q(u)`, `t = 2e / (2 + e)`, `u = t² / 4`, `0 ≤ e ≤ 1`.
    """

    number: type[np.floating[Any]]
    integer: type[np.signedinteger[Any]]
    bits: int
    bias: int
    low: float
    high: float
    lift: int
    flat: float
    tiny: float
    ln2: tuple[float, float]
    expm1: tuple[float, ...]
    log1p: tuple[float, ...]


FORMATS: Mapping[str, FloatFormat] = {
    "float64": FloatFormat(
        np.float64, np.int64, bits=52, bias=1023, low=-746.0, high=710.0, lift=64, flat=40.0,
        tiny=2.0**-54,
        ln2=(0.693147180559890330, 5.4979230187083712e-14),
        expm1=(
            0.5000000000000001, 0.16666666666666674, 0.04166666666662412, 0.008333333333322207,
            0.0013888888917217457, 0.00019841269886591, 2.4801521290973345e-05,
            2.7557242336680357e-06, 2.7620090518499427e-07, 2.5110049895858716e-08,
        ),
        log1p=(
            0.6666666666666666, 0.40000000000015246, 0.2857142856694839, 0.22222222732285749,
            0.1818178874698978, 0.15385588012669138, 0.13313869718013366, 0.1200351898427581,
            0.0878898473594503, 0.1618757452483668,
        ),
    ),
    "float32": FloatFormat(
        np.float32, np.int32, bits=23, bias=127, low=-105.0, high=89.0, lift=32, flat=20.0,
        tiny=2.0**-25,
        ln2=(0.693359375, -2.12194440054690583e-4),
        expm1=(
            0.5000000026949889, 0.166665769723606, 0.04166637513196356, 0.008363181099303835,
            0.0013941124202678326,
        ),
        log1p=(
            0.6666666735512318, 0.39999696307472954, 0.2859281068640319, 0.2170004165619083,
            0.23253782684702398,
        ),
    ),
}  # fmt: skip


def functions(dtype: str, compile_: Compile) -> dict[str, Scalar]:
    """Return the code of every function of `plan.ELEMENTWISE` that is not an operator, by name.

    Args:
        dtype: "float64" or "float32".
        compile_: applied to each, such as `numba.njit`; the identity gives plain Python functions
            of NumPy scalars.
    """
    return _comparing(FORMATS[dtype], compile_) | _exponential(FORMATS[dtype], compile_)


def _comparing(form: FloatFormat, compile_: Compile) -> dict[str, Scalar]:
    """Functions that only compare; like NumPy's, they propagate nan."""
    zero, one = form.number(0), form.number(1)

    def minimum(a: Any, b: Any) -> Any:
        return a if (a < b) | (a != a) else b

    def maximum(a: Any, b: Any) -> Any:
        return a if (a > b) | (a != a) else b

    def heaviside(z: Any) -> Any:
        return z if z != z else (one if z > zero else zero)

    whole: dict[str, Scalar] = {
        "abs": lambda z: abs(z), "min": minimum, "max": maximum, "heaviside": heaviside,
    }  # fmt: skip
    return {name: compile_(code) for name, code in whole.items()}


def _exponential(form: FloatFormat, compile_: Compile) -> dict[str, Scalar]:
    """Functions based on exp, all built from `reduce` and powers of two."""
    number, integer = form.number, form.integer
    zero, half, one, two = (number(value) for value in (0, 0.5, 1, 2))
    low, high, flat, tiny = (number(value) for value in (form.low, form.high, form.flat, form.tiny))
    log2_e, ln2_high, ln2_low = number(1 / math.log(2)), number(form.ln2[0]), number(form.ln2[1])
    # Adding this rounds a number to an integer, which is then in the lowest bits.
    rounder = number(1.5 * 2.0**form.bits)
    shift, unit = integer(form.bits), integer(form.bias << form.bits)
    lifted_unit = integer((form.bias + form.lift) << form.bits)
    lowered = number(2.0**-form.lift)
    expm1_q = compile_(_polynomial(form.expm1, number))
    log1p_q = compile_(_polynomial(form.log1p, number))

    def reduce(z: Any) -> Any:
        # -> shifted, n, p with exp(z) = 2ⁿ (1 + p); n is in the lowest bits of shifted
        shifted = z * log2_e + rounder
        n = shifted - rounder
        r = (z - n * ln2_high) - n * ln2_low
        return shifted, n, r + r * r * expm1_q(r)

    def power(shifted: Any) -> Any:
        # 2ⁿ, for an integer n in the exponent range of normal numbers
        return integer((number(shifted).view(integer) << shift) + unit).view(number)

    def lifted(shifted: Any) -> Any:
        # 2ⁿ⁺ˡⁱᶠᵗ, likewise
        return integer((number(shifted).view(integer) << shift) + lifted_unit).view(number)

    reduce, power, lifted = compile_(reduce), compile_(power), compile_(lifted)

    def scaled(z: Any) -> Any:
        # exp(z) for low ≤ z ≤ high; 2ⁿ in two factors, since results may be subnormal
        _, n, p = reduce(z)
        first = n * half + rounder
        factor = power(first)
        return (p * factor + factor) * power(n - (first - rounder) + rounder)

    def falling(z: Any) -> Any:
        # exp(-|z|), nan for nan; scaled out of the subnormal range and scaled back at the end
        size = -abs(z)
        shifted, _, p = reduce(low if size < low else size)
        factor = lifted(shifted)
        return (p * factor + factor) * lowered

    scaled, falling = compile_(scaled), compile_(falling)

    def exp(z: Any) -> Any:
        cut = z if z > low else low
        cut = cut if cut < high else high
        return z if z != z else scaled(cut)

    def expm1(z: Any) -> Any:
        cut = z if z > -flat else -flat
        cut = cut if cut < high else high
        _, n, p = reduce(cut)
        first = n * half + rounder
        whole = first - rounder
        factor = power(n - whole + rounder)
        # 2ⁿ (1 + p) - 1, with the exact difference 2ⁿ - 1 taken before p is added
        less = (p * factor + (factor - power(rounder - whole))) * power(first)
        return less if abs(z) > tiny else z

    def tanh(z: Any) -> Any:
        cut = z + z if z + z > -flat else -flat
        cut = cut if cut < flat else flat
        shifted, _, p = reduce(cut)
        factor = power(shifted)
        less = p * factor + (factor - one)  # expm1(2z)
        return less / (less + two) if abs(z) > tiny else z

    def sigmoid(z: Any) -> Any:
        # equations.FUNCTIONS["sigmoid"].formula: exp(min(z, 0)) / (1 + exp(-|z|))
        e = falling(z)
        return (e if z < zero else one) / (one + e)

    def softplus(z: Any) -> Any:
        # equations.FUNCTIONS["softplus"].formula: max(z, 0) + log1p(exp(-|z|))
        e = falling(z)
        t = (e + e) / (two + e)
        u = t * t * half * half
        above = z if z > zero else zero
        return above + (t + half * t * u * log1p_q(u))

    whole = {"exp": exp, "expm1": expm1, "tanh": tanh, "sigmoid": sigmoid, "softplus": softplus}
    return {name: compile_(code) for name, code in whole.items()}


def _polynomial(coefficients: tuple[float, ...], number: type[np.floating[Any]]) -> Scalar:
    """Return code for a polynomial by Estrin's scheme: pairs of terms, then pairs of pairs.

    Horner's rule would wait for each product in turn; only lengths 5 and 10 occur.
    """
    c = tuple(number(each) for each in coefficients)
    if len(c) == 5:
        a0, a1, a2, a3, a4 = c

        def five(r: Any) -> Any:
            s = r * r
            return (a0 + a1 * r) + ((a2 + a3 * r) + a4 * s) * s

        return five
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = c

    def ten(r: Any) -> Any:
        s = r * r
        q = s * s
        low = (c0 + c1 * r) + (c2 + c3 * r) * s
        return low + (((c4 + c5 * r) + (c6 + c7 * r) * s) + (c8 + c9 * r) * q) * q

    return ten
