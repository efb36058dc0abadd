"""Formatting of all numbers that are shown: digits, ties, signs, exponents.

Ties are rounded as by Python's `format`: by the exact value of the double, halves to even.
Trailing zeros are dropped only if the remaining text is exact: 1 is 1, 0.99999996 is 1.000000.
`commands/report/page/numbers.js` produces the same text.
"""

from __future__ import annotations

from array import array
from typing import SupportsFloat

# Relative error up to which a double counts as a decimal such as 0.3 plus summation error.
_NOISE = 2.0**-48


def shortest(value: SupportsFloat) -> str:
    """Return the shortest text that reads back as the number: 6, 0.2, -1e-05."""
    return repr(float(value)).removesuffix(".0")


def counted(count: int, what: str) -> str:
    """Return a count with its noun: 1 sample, 2 samples."""
    return f"{count} {what}" + "s" * (count != 1)


def decimals(value: SupportsFloat, digits: int) -> str:
    """Format a number for a table: at most `digits` decimals, all of them if it is rounded.

    A number that would be shown as 0 this way, or is very large, is written with an exponent.
    """
    number = float(value)
    fixed = f"{number:.{digits}f}"
    if number and (abs(number) >= 1e9 or float(fixed) == 0):
        short, full = repr(number), scientific(number, max(digits - 1, 0))
        fits = len(short) <= min(len(full), digits + 2)
        return short.removesuffix(".0") if fits else _bare(full, value)
    text = _bare(fixed, value)
    return "0" if text == "-0" else text


def significant(value: SupportsFloat, digits: int = 3) -> str:
    """Format a number to at most `digits` digits, all of them if it is rounded: 0.25, 1e-05."""
    text = f"{float(value):.{digits}g}"
    if _is_exact(text, value):
        return text
    return f"{float(value):#.{digits}g}".replace(".e", "e").removesuffix(".")


def scientific(value: SupportsFloat, digits: int) -> str:
    """Format a number with an exponent and `digits` decimals: 1.2e-05."""
    return f"{float(value):.{digits}e}"


def fixed(value: SupportsFloat, digits: int) -> str:
    """Format a number with exactly `digits` decimals, trailing zeros included: 0.250."""
    return f"{float(value):.{digits}f}"


def rounded_up(value: float, digits: int = 3) -> str:
    """Round a number up to `digits` digits: 6.2e-07 to one digit is 7e-07."""
    from decimal import ROUND_CEILING, Context  # rarely needed

    above = Context(digits, ROUND_CEILING).create_decimal(repr(float(value)))
    return significant(above, digits)


def decimals_in(text: str) -> int:
    """Return the decimals that a number is written with: 3 of 1.50e-1, -20 of 1e20, 0 of nan."""
    digits, _, exponent = text.lower().partition("e")
    return len(digits.partition(".")[2]) - int(exponent or 0)


def with_sign(text: str) -> str:
    """Return a number's text with its sign, including a plus."""
    return text if text.startswith(("-", "+")) else f"+{text}"


def typeset(text: str) -> str:
    """Return a number's text with a typographic minus."""
    return text.replace("-", "−")


def latex_number(text: str) -> str:
    r"""Return a number's text as mathematics: `2 \cdot 10^{-5}`."""
    mantissa, _, exponent = text.partition("e")
    mantissa = mantissa.replace("inf", r"\infty").replace("nan", r"\mathrm{nan}")
    return mantissa + (rf" \cdot 10^{{{int(exponent)}}}" if exponent else "")


def _bare(text: str, value: SupportsFloat) -> str:
    """Strip trailing zeros from a number's decimals if the remaining text is exact."""
    mantissa, sign, power = text.partition("e")
    short = (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa) + sign + power
    return short if _is_exact(short, value) else text


def _is_exact(text: str, value: SupportsFloat) -> bool:
    """Whether a text is exact: a float32 must read back, a double may be off by rounding noise.

    A whole number must be exact: 1 - 1e-16 is not shown as 1.
    """
    shown, number = float(text), float(value)
    if shown == number or (not shown.is_integer() and abs(shown - number) <= _NOISE * abs(number)):
        return True
    return array("f", [shown])[0] == number  # without NumPy, which `--help` does not need
