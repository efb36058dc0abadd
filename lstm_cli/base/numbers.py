"""How a number is shown: digits, ties, signs, exponents. Every number that is read comes from here.

Python's own `format` is the rule for ties: the exact value of the double, a half to even.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Context
from typing import SupportsFloat


def shortest(value: SupportsFloat) -> str:
    """Return the shortest text that reads back as the number: 6, 0.2, -1e-05."""
    return repr(float(value)).removesuffix(".0")


def decimals(value: SupportsFloat, digits: int) -> str:
    """Return a number for a table: at most `digits` decimals, no zeros at the end.

    A number that would come out as 0 so, or be endless, is written with an exponent.
    """
    number = float(value)
    fixed = f"{number:.{digits}f}"
    if number and (abs(number) >= 1e9 or float(fixed) == 0):
        short, full = repr(number), scientific(number, max(digits - 1, 0))
        return short if len(short) <= min(len(full), digits + 2) else _bare(full)
    text = _bare(fixed)
    return "0" if text == "-0" else text


def significant(value: SupportsFloat, digits: int = 3) -> str:
    """Return a number with at most so many digits, no zeros at the end: 0.25, 1e-05."""
    return f"{float(value):.{digits}g}"


def scientific(value: SupportsFloat, digits: int) -> str:
    """Return a number with an exponent and so many decimals: 1.2e-05."""
    return f"{float(value):.{digits}e}"


def fixed(value: SupportsFloat, digits: int) -> str:
    """Return a number with so many decimals, zeros and all: 0.250."""
    return f"{float(value):.{digits}f}"


def rounded_up(value: float, digits: int = 3) -> str:
    """Return a number to so many digits that is no smaller: 6.2e-07 to one digit is 7e-07."""
    above = Context(digits, ROUND_CEILING).create_decimal(repr(float(value)))
    return significant(above, digits)


def with_sign(text: str) -> str:
    """Return a number's text with its sign, a plus too."""
    return text if text.startswith(("-", "+")) else f"+{text}"


def typeset(text: str) -> str:
    """Return a number's text with a true minus."""
    return text.replace("-", "−")


def latex(text: str) -> str:
    r"""Return a number's text as mathematics: `2 \cdot 10^{-5}`."""
    mantissa, _, exponent = text.partition("e")
    mantissa = mantissa.replace("inf", r"\infty").replace("nan", r"\mathrm{nan}")
    return mantissa + (rf" \cdot 10^{{{int(exponent)}}}" if exponent else "")


def _bare(text: str) -> str:
    """Return a number's text without the zeros that end its decimals."""
    mantissa, sign, power = text.partition("e")
    return (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa) + sign + power
