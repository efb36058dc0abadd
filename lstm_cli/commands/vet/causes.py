"""Why mistakes pass: each weakness of a sample is imposed on strong numbers and tested there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from lstm_cli.base.numbers import significant
from lstm_cli.commands.vet.subjects import Subject
from lstm_cli.commands.vet.trials import kind_of, outcomes, own_expected, symbols_of
from lstm_cli.commands.vet.weak_biases import BIASES
from lstm_cli.commands.vet.weak_inputs import INPUTS
from lstm_cli.commands.vet.weak_values import VALUES
from lstm_cli.commands.vet.weak_weights import WEIGHTS
from lstm_cli.commands.vet.weakness import Weakness
from lstm_cli.mistakes.expected import Expected
from lstm_cli.mistakes.search import random_probe
from lstm_cli.mistakes.variant_run import Mistake, VariantRun

WEAKNESSES: tuple[Weakness, ...] = (*WEIGHTS, *BIASES, *VALUES, *INPUTS)

# Scales of strong numbers, moderate and large: a clip shows only if numbers are large.
SCALES = (0.8, 2.5, 8.0, 100.0)
MOST_SYMBOLS = 4


@dataclass(frozen=True)
class Blindness:
    """Why some mistakes pass in a sample.

    Attributes:
        id: id of the weakness.
        sentence: what is weak.
        change: what to do about it.
        hides: ids of the mistakes that pass because of it.
    """

    id: str
    sentence: str
    change: str
    hides: tuple[str, ...]


def profile(subject: Subject) -> object:
    """Key shared by samples whose mistakes pass for the same causes."""
    found = tuple((each.id, each.find(subject)) for each in WEAKNESSES)
    return kind_of(subject.right), found, _places(subject.expected)


def causes(subject: Subject, blind: Sequence[Mistake]) -> list[Blindness]:
    """Return the causes of mistakes passing in a sample, starting with the one that hides most.

    A cause is left out if earlier ones hide everything that it hides.
    """
    there = [row for row in WEAKNESSES if row.find(subject)]
    found = _needed([*_own_causes(subject, blind), *_tried(subject, there, blind)])
    for more in (_compared, _pairs, _all_at_once):
        told = {name for each in found for name in each.hides}
        rest = [row for row in blind if row.id not in told]
        if rest:
            found += _needed(more(subject, there, rest))
    return found


def _ids(rows: Iterable[Mistake], wanted: Iterable[str]) -> tuple[str, ...]:
    wanted = set(wanted)
    return tuple(row.id for row in rows if row.id in wanted)


def _needed(found: Sequence[Blindness]) -> list[Blindness]:
    """Return the causes that each hide something that none before them hides."""
    kept, told = list[Blindness](), set[str]()
    waiting = [each for each in found if each.hides]
    while waiting:
        best = max(waiting, key=lambda each: len(set(each.hides) - told))  # the first one on a tie
        waiting.remove(best)
        if set(best.hides) <= told:
            break
        kept.append(best)
        told |= set(best.hides)
    return kept


# ---- causes evident from the sample itself


def _own_causes(subject: Subject, blind: Sequence[Mistake]) -> list[Blindness]:
    """Causes that are evident without trying other numbers: tolerance, clips."""
    right, claimed = subject.right, subject.expected.symbols
    exact = own_expected(right, claimed, runs=_runs(subject.expected))
    exact = Expected(
        tuple(c for c in exact.vectors if (c.run, c.symbol, c.t) in _points(subject)), {}
    )
    coarse = {each.row.id for each in outcomes(right, exact, blind) if not each.passes}
    clips = [row for row in blind if row.kind == "numbers"]
    every = own_expected(right, symbols_of(right))
    idle = {each.row.id for each in outcomes(right, every, clips) if each.passes}
    limit = significant(subject.expected.tolerance, 2)
    return [
        Blindness("tolerance", f"the tolerance ({limit}) is larger than their effect",
              "give more digits, or larger numbers", _ids(blind, coarse)),
        Blindness("clip-unreached", "no value reaches the limit that they clip",
              "use numbers that exceed the clip", _ids(blind, idle)),
    ]  # fmt: skip


def _points(subject: Subject) -> set[tuple[int, str, int]]:
    return {(vector.run, vector.symbol, vector.t) for vector in subject.expected.vectors}


def _runs(expected: Expected) -> set[int]:
    return {vector.run for vector in expected.vectors}


# ---- causes tested on strong numbers


def _places(expected: Expected) -> tuple[frozenset[int], tuple[str, ...], bool]:
    """Return the runs and symbols that are compared, and whether at several steps."""
    every = len({vector.t for vector in expected.vectors}) > 1
    return frozenset(_runs(expected)), tuple(sorted(expected.symbols)), every


def _passing(variant: VariantRun, subject: Subject, rows: Iterable[Mistake]) -> set[str]:
    """Return ids of the mistakes that pass if the same values are compared as in the sample."""
    runs, symbols, every = _places(subject.expected)
    expected = own_expected(variant, symbols, every=every, runs=runs)
    return {each.row.id for each in outcomes(variant, expected, rows) if each.passes}


def _strong(subject: Subject) -> list[VariantRun]:
    return [random_probe(subject.right, scale) for scale in SCALES]


def _tried(
    subject: Subject, there: Sequence[Weakness], blind: Sequence[Mistake]
) -> list[Blindness]:
    """Return the mistakes that each weakness hides in otherwise strong numbers."""
    hidden: dict[str, set[str]] = {row.id: set() for row in there}
    waiting = list(blind)
    for strong in _strong(subject):
        still = _passing(strong, subject, waiting) if waiting else set()
        shown = [row for row in waiting if row.id not in still]
        waiting = [row for row in waiting if row.id in still]
        for weakness in there if shown else ():
            weak = weakness.impose(strong, subject)
            hidden[weakness.id] |= _passing(weak, subject, shown)
    return [
        Blindness(row.id, row.find(subject), row.change, _ids(blind, hidden[row.id]))
        for row in there
    ]


def _compared(
    subject: Subject, there: Sequence[Weakness], rest: Sequence[Mistake]
) -> list[Blindness]:
    """Attribute mistakes to comparing too little, if strong numbers also hide them."""
    hidden = set.intersection(*(_passing(each, subject, rest) for each in _strong(subject)))
    names = subject.expected.symbols
    listed = ", ".join(names[:MOST_SYMBOLS]) + ", …" * (len(names) > MOST_SYMBOLS)
    _, _, every = _places(subject.expected)
    sentence = f"only {listed} {'is' if len(names) == 1 else 'are'} compared"
    sentence += "" if every else ", at one step"
    change = "compare c and every gate as well, at every step"
    return [Blindness("compared", sentence, change, _ids(rest, hidden))]


def _pairs(subject: Subject, there: Sequence[Weakness], rest: Sequence[Mistake]) -> list[Blindness]:
    """Return mistakes that two weaknesses hide only together, with the first such pair for each."""
    found, waiting = list[Blindness](), list(rest)
    for pair in combinations(there, 2):
        if waiting:
            found += _tried(subject, [_both(*pair)], waiting)
            waiting = [row for row in waiting if row.id not in found[-1].hides]
    return found


def _both(one: Weakness, other: Weakness) -> Weakness:
    changes = dict.fromkeys((one.change, other.change))
    return Weakness(
        f"{one.id}+{other.id}",
        lambda subject: f"{one.find(subject)}; and {other.find(subject)}",
        lambda strong, subject: other.impose(one.impose(strong, subject), subject),
        "; or ".join(changes),
    )


def _all_at_once(
    subject: Subject, there: Sequence[Weakness], rest: Sequence[Mistake]
) -> list[Blindness]:
    """Return mistakes that all weaknesses together hide, and those that none of them explains."""
    together = set.intersection(
        *(_passing(_all_imposed(each, subject, there), subject, rest) for each in _strong(subject))
    )
    by_chance = {row.id for row in rest} - together
    change = "use a vector of short, distinct numbers: --stronger better.json"
    several = "several weaknesses hide them together"
    chance = "these numbers happen to give the same result"
    return [
        Blindness("together", several, change, _ids(rest, together)),
        Blindness("these-numbers", chance, change, _ids(rest, by_chance)),
    ]


def _all_imposed(strong: VariantRun, subject: Subject, there: Sequence[Weakness]) -> VariantRun:
    for weakness in there:
        strong = weakness.impose(strong, subject)
    return strong
