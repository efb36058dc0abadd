"""Suites: the samples of a file together, the mistakes that pass in all of them, and why.

Each weakness of a sample is imposed on strong numbers and tested there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

from lstm_cli.base.errors import LstmStepError
from lstm_cli.base.foreign import Foreign
from lstm_cli.base.numbers import significant
from lstm_cli.commands.vet.show import Blindness, Suite, Verdict
from lstm_cli.commands.vet.trials import (
    NO_PLACE,
    ROUNDING,
    SAME,
    UNREACHED,
    Applicability,
    MismatchError,
    Outcome,
    Subject,
    kind_of,
    outcomes,
    own_expected,
    read_subject,
    rounding_mistakes,
    symbols_of,
    vetted_mistakes,
)
from lstm_cli.commands.vet.weaknesses import WEAKNESSES, Weakness
from lstm_cli.mistakes.expected import Expected
from lstm_cli.mistakes.search import random_probe
from lstm_cli.mistakes.variant_run import Mistake, VariantRun
from lstm_cli.samples import BadSample, Read
from lstm_cli.samples.settings import SampleSettings

# Which reason to give if samples leave out a mistake for different reasons, in order of preference.
_NEAREST = (UNREACHED, SAME, NO_PLACE, ROUNDING)
# Scales of strong numbers, moderate and large: a clip shows only if numbers are large.
SCALES = (0.8, 2.5, 8.0, 100.0)
MOST_SYMBOLS = 4


@dataclass
class _Tally:
    """Running tally of each mistake over the samples."""

    waiting: dict[str, Mistake]  # not seen by any sample so far
    reasons: dict[str, set[str]] = field(default_factory=dict)
    best: dict[str, Outcome] = field(default_factory=dict)

    def count(self, subject: Subject, applicability: Applicability) -> None:
        """Run the mistakes not yet seen on another sample."""
        why = applicability.reasons(subject.right, self.waiting.values())
        for name, reason in why.items():
            self.reasons.setdefault(name, set()).add(reason)
        rows = [row for row in self.waiting.values() if row.id not in why]
        for each in outcomes(subject.right, subject.expected, rows):
            before = self.best.get(each.row.id)
            if before is None or each.excess > before.excess:
                self.best[each.row.id] = each
            if not each.passes:
                del self.waiting[each.row.id]

    def verdict(self, row: Mistake) -> Verdict:
        found = self.best.get(row.id)
        if found is None:
            told = self.reasons.get(row.id, {NO_PLACE})
            return Verdict(row, "not applicable", reason=min(told, key=_NEAREST.index))
        word: Literal["seen", "blind"] = "blind" if found.passes else "seen"
        return Verdict(row, word, found.difference, detail=found.detail)


def vet_suite(
    file: str,
    samples: Iterable[Read],
    settings: SampleSettings,
    *,
    atol: float | None = None,
    explain: bool = True,
    progress: Callable[[], None] = lambda: None,
) -> Suite:
    """Run every mistake on samples, and find which pass in all of them.

    Args:
        file: the name of the suite.
        samples: samples as read; those that cannot be vetted are kept with their errors.
        settings: defaults for what a sample does not specify.
        atol: a tolerance overriding that of the samples.
        explain: whether to look for causes.
        progress: called after every sample.
    """
    subjects, failed, mismatched, unchecked = _sorted(samples, settings, atol)
    rows = vetted_mistakes() if subjects else []
    tally, applicability = _Tally({row.id: row for row in rows}), Applicability()
    for subject in subjects:
        tally.count(subject, applicability)
        progress()
    verdicts = [tally.verdict(row) for row in rows]
    verdicts += [
        Verdict(row, "not applicable", reason=ROUNDING) for row in rounding_mistakes() if subjects
    ]
    blind = [each.row for each in verdicts if each.word == "blind"]
    found = _suite_causes(subjects, blind, applicability) if explain and blind else []
    return Suite(
        Foreign.of(file), tuple(subjects), tuple(verdicts), tuple(found),
        tuple(failed), tuple(mismatched), tuple(unchecked),
    )  # fmt: skip


_Failures = list[tuple[str, LstmStepError]]


def _sorted(
    samples: Iterable[Read], settings: SampleSettings, atol: float | None
) -> tuple[list[Subject], _Failures, _Failures, list[str]]:
    """Sort samples into those that can be vetted, fail, do not match, or expect nothing."""
    subjects, failed, mismatched = list[Subject](), _Failures(), _Failures()
    unchecked = list[str]()
    for sample in samples:
        try:
            if isinstance(sample, BadSample):
                raise sample.error
            if sample.expected:
                subjects.append(read_subject(sample, settings, atol))
            else:
                unchecked.append(sample.id.text)
        except MismatchError as error:
            mismatched.append((sample.id.text, error))
        except LstmStepError as error:
            failed.append((sample.id.text, error))
    return subjects, failed, mismatched, unchecked


def _suite_causes(
    subjects: Sequence[Subject], blind: Sequence[Mistake], applicability: Applicability
) -> list[Blindness]:
    """Combine the causes of mistakes passing over the samples that they apply to."""
    known: dict[object, list[Blindness]] = {}
    found: dict[str, Blindness] = {}
    for subject in subjects:
        key = _profile(subject)
        if key not in known:
            why = applicability.reasons(subject.right, blind)
            known[key] = _causes(subject, [row for row in blind if row.id not in why])
        for each in known[key]:
            first = found.get(each.id, replace(each, hides=(), samples=0))
            hides = _ids(blind, (*first.hides, *each.hides))
            found[each.id] = replace(first, hides=hides, samples=first.samples + 1)
    return sorted(found.values(), key=lambda each: -len(each.hides))


# ---- why mistakes pass


def _profile(subject: Subject) -> object:
    """Key shared by samples whose mistakes pass for the same causes."""
    found = tuple((each.id, each.find(subject)) for each in WEAKNESSES)
    return kind_of(subject.right), found, _places(subject.expected)


def _causes(subject: Subject, blind: Sequence[Mistake]) -> list[Blindness]:
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
    right = subject.right
    places = {(vector.run, vector.symbol, vector.t) for vector in subject.expected.vectors}
    exact = own_expected(right, subject.expected.symbols)
    there = [each for each in exact.vectors if (each.run, each.symbol, each.t) in places]
    made = outcomes(right, Expected(tuple(there), {}), blind)
    coarse = {each.row.id for each in made if not each.passes}
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


# ---- causes tested on strong numbers


def _places(expected: Expected) -> tuple[frozenset[int], tuple[str, ...], bool]:
    """Return the runs and symbols that are compared, and whether at several steps."""
    every = len({vector.t for vector in expected.vectors}) > 1
    runs = frozenset(vector.run for vector in expected.vectors)
    return runs, tuple(sorted(expected.symbols)), every


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
    weak = _strong(subject)
    for weakness in there:
        weak = [weakness.impose(each, subject) for each in weak]
    together = set.intersection(*(_passing(each, subject, rest) for each in weak))
    by_chance = {row.id for row in rest} - together
    change = "use a vector of short, distinct numbers: --stronger better.json"
    return [
        Blindness("together", "several weaknesses hide them together", change,
                  _ids(rest, together)),
        Blindness("these-numbers", "these numbers happen to give the same result", change,
                  _ids(rest, by_chance)),
    ]  # fmt: skip
