"""Grades in words, without colours or columns."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from lstm_cli.base.numbers import decimals, fixed
from lstm_cli.commands.grade.results import MOST_DIGITS, Grade, SymbolMark, WrongNumber
from lstm_cli.commands.grade.sheet import Sheet
from lstm_cli.commands.grade.summary import Gradebook
from lstm_cli.engine.agreement import decimals_of

# Most mistakes to name if several fit.
MOST_CAUSES = 3


def explanation(grade: Grade, sheet: Sheet, digits: int) -> str:
    """Describe a grade's result for a teacher."""
    match grade.result:
        case "right":
            return "right" + _to_digits(grade)
        case "rounded":
            return f"right to {grade.digits} digits, but more are written"
        case "incomplete":
            return f"right{_to_digits(grade)} as far as it goes"
        case "mistake":
            return _causes(grade)
        case "slip":
            return f"one number is wrong: {wrong_words(grade.wrong[0], sheet, digits)}"
        case "unexplained":
            count, first = len(grade.wrong), wrong_words(grade.wrong[0], sheet, digits)
            many = f"{count} numbers are wrong; first " if count > 1 else ""
            return f"unexplained: {many}{first}"
    return "blank"


def _to_digits(grade: Grade) -> str:
    return "" if grade.digits in (None, MOST_DIGITS) else f" to {grade.digits} digits"


def _causes(grade: Grade) -> str:
    shown = [f"{each.title} [{each.id}]" for each in grade.causes[:MOST_CAUSES]]
    more = len(grade.causes) - len(shown)
    return "; or ".join(shown) + (f"; or {more} more" if more else "")


def wrong_words(each: WrongNumber, sheet: Sheet, digits: int) -> str:
    """Return `f[2] is 0.6, right is 0.549834`, with a guess at the slip behind it."""
    when = f" at t = {each.t}" if sheet.trace.steps > 1 else ""
    unit = each.unit + sheet.bases.get(each.name, 0)
    means = "right is" if math.isclose(each.own, each.right, abs_tol=1e-9) else "what follows is"
    guess = _guess(each)
    return (
        f"{each.name}[{unit}]{when} is {decimals(each.got, digits)}, {means} "
        f"{decimals(each.own, digits)}" + (f" ({guess})" if guess else "")
    )


def _guess(each: WrongNumber) -> str:
    """Guess the slip behind a single wrong number; "" if there is no sign of one.

    Swapped digits are reported only for three or more decimals, where chance is unlikely.
    """
    if not each.got or not each.own:
        return ""
    if _digits(each.got, each.got) == _digits(each.own, each.got):
        return "two digits swapped"
    ratio = each.got / each.own
    if math.isclose(ratio, -1, rel_tol=0.02):
        return "the sign"
    for power in (10.0, 100.0, 1000.0):
        if any(math.isclose(ratio, each, rel_tol=0.02) for each in (power, 1 / power)):
            return "the decimal point"
    return ""


def _digits(value: float, like: float) -> list[str]:
    """Return the sorted digits of a number to the decimals of `like`; none if there are few."""
    places = min(max(int(decimals_of(np.array([like]))[0]), 0), MOST_DIGITS)
    return sorted(fixed(value, places)) if places > 2 else [str(value)]


def mark_text(own: SymbolMark, pretty: bool) -> str:
    """Return a symbol's marks as a sign, or as `3/5` if some numbers are right."""
    if own.blank == own.count:
        return "·" if pretty else "-"
    good = own.right + own.follows
    if good == own.count:
        return ("→" if pretty else ">") if own.follows else ("✓" if pretty else "+")
    return f"{good}/{own.count}" if good else ("✗" if pretty else "x")


def count_words(book: Gradebook) -> str:
    """Return `12 answers, mean 78 %: 5 right, 4 with a known mistake, 3 blank`."""
    summary = book.summary
    parts = [_COUNTS[result].format(count) for result, count in summary.counts.items()]
    head = f"{summary.answers} answer{'s' * (summary.answers != 1)}"
    return f"{head}, mean {decimals(summary.mean, 1)} %: {', '.join(parts)}" if parts else head


_COUNTS = {
    "right": "{} right",
    "rounded": "{} right to fewer digits than written",
    "incomplete": "{} right but not complete",
    "mistake": "{} with a known mistake",
    "slip": "{} with one number wrong",
    "unexplained": "{} unexplained",
    "blank": "{} blank",
}


def often_wrong(book: Gradebook) -> Iterator[tuple[str, int, str]]:
    """Yield (name, how many got it wrong, which units), most frequent first."""
    summary = book.summary
    known = dict.fromkeys([*book.sheet.names, *sorted(summary.symbols)])
    for name in sorted(known, key=lambda name: -summary.symbols[name]):
        if not summary.symbols[name]:
            continue
        base = book.sheet.bases.get(name, 0)
        units = [(unit, n) for (own, unit), n in summary.wrong.items() if own == name]
        units.sort(key=lambda pair: (-pair[1], pair[0]))
        shown = ", ".join(f"{name}[{unit + base}] {n}" for unit, n in units[:4])
        yield name, summary.symbols[name], shown + ", …" * (len(units) > 4)
