"""How a number is shown: digits, ties, signs, exponents. Every number that is read comes from here.

Python's own `format` is the rule for ties: the exact value of the double, a half to even. Zeros at
the end are left out where what is left is the number: 1 is 1, 0.99999996 is 1.000000.
`commands/report/page/numbers.js` writes the same texts.
"""

from __future__ import annotations

from array import array
from typing import SupportsFloat

# A double is off a decimal such as 0.3 by so much of its size for the sums that made it, no more.
_NOISE = 2.0**-48


def shortest(value: SupportsFloat) -> str:
    """Return the shortest text that reads back as the number: 6, 0.2, -1e-05."""
    return repr(float(value)).removesuffix(".0")


def counted(count: int, what: str) -> str:
    """Return how many there are of something: 1 sample, 2 samples."""
    return f"{count} {what}" + "s" * (count != 1)


def decimals(value: SupportsFloat, digits: int) -> str:
    """Return a number for a table: at most `digits` decimals, all of them where it has more.

    A number that would come out as 0 so, or be endless, is written with an exponent.
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
    """Return a number with at most so many digits, all of them where it has more: 0.25, 1e-05."""
    text = f"{float(value):.{digits}g}"
    if _is_exact(text, value):
        return text
    return f"{float(value):#.{digits}g}".replace(".e", "e").removesuffix(".")


def scientific(value: SupportsFloat, digits: int) -> str:
    """Return a number with an exponent and so many decimals: 1.2e-05."""
    return f"{float(value):.{digits}e}"


def fixed(value: SupportsFloat, digits: int) -> str:
    """Return a number with so many decimals, zeros and all: 0.250."""
    return f"{float(value):.{digits}f}"


def rounded_up(value: float, digits: int = 3) -> str:
    """Return a number to so many digits that is no smaller: 6.2e-07 to one digit is 7e-07."""
    from decimal import ROUND_CEILING, Context  # few outputs need it

    above = Context(digits, ROUND_CEILING).create_decimal(repr(float(value)))
    return significant(above, digits)


def with_sign(text: str) -> str:
    """Return a number's text with its sign, a plus too."""
    return text if text.startswith(("-", "+")) else f"+{text}"


def typeset(text: str) -> str:
    """Return a number's text with a true minus."""
    return text.replace("-", "−")


def latex_number(text: str) -> str:
    r"""Return a number's text as mathematics: `2 \cdot 10^{-5}`."""
    mantissa, _, exponent = text.partition("e")
    mantissa = mantissa.replace("inf", r"\infty").replace("nan", r"\mathrm{nan}")
    return mantissa + (rf" \cdot 10^{{{int(exponent)}}}" if exponent else "")


def _bare(text: str, value: SupportsFloat) -> str:
    """Return a number's text without the zeros that end its decimals, where it is that number."""
    mantissa, sign, power = text.partition("e")
    short = (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa) + sign + power
    return short if _is_exact(short, value) else text


def _is_exact(text: str, value: SupportsFloat) -> bool:
    """Return whether a text is the number: a float32 as it reads back, a double but for noise.

    A whole number is no other's text: 1 - 1e-16 is not 1.
    """
    shown, number = float(text), float(value)
    if shown == number or (not shown.is_integer() and abs(shown - number) <= _NOISE * abs(number)):
        return True
    return array("f", [shown])[0] == number  # without NumPy, which `--help` has no need of
