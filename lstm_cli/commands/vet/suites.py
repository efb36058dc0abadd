"""Suites: the samples of a file together, and the mistakes that pass in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lstm_cli.base.errors import LstmStepError
from lstm_cli.base.foreign import Foreign
from lstm_cli.commands.vet.causes import Blindness, causes, profile
from lstm_cli.commands.vet.subjects import MismatchError, Subject, read_subject
from lstm_cli.commands.vet.trials import (
    NO_PLACE,
    ROUNDING,
    SAME,
    UNREACHED,
    Applicability,
    Outcome,
    is_order,
    outcomes,
    rounding_mistakes,
    vetted_mistakes,
)
from lstm_cli.mistakes.row import Mistake
from lstm_cli.samples import BadSample, Read
from lstm_cli.samples.settings import SampleSettings

# What is said of a mistake that samples leave out for different reasons: the one nearest to them.
_NEAREST = (UNREACHED, SAME, NO_PLACE, ROUNDING)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a suite makes of a mistake.

    Attributes:
        row: the mistake.
        word: whether it is seen, passes unseen, or cannot be made here.
        difference: the largest difference from expected numbers, as far as it was computed; 0
            where it cannot be made.
        reason: why it cannot be made, "" where it can.
        detail: which units, for `units-permuted`.
    """

    row: Mistake
    word: Literal["seen", "blind", "not applicable"]
    difference: float = 0.0
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, eq=False)
class SuiteCause:
    """Why mistakes pass in a suite, and in how many of its samples."""

    cause: Blindness
    samples: int


@dataclass(frozen=True, eq=False)
class Suite:
    """A file of samples, vetted.

    Attributes:
        file: its name.
        subjects: the samples that were vetted.
        verdicts: every mistake of the catalogue, in its order.
        causes: why mistakes pass, what hides most first.
        failed: (id, error) of the samples that could not be run.
        mismatched: (id, error) of those whose numbers do not match the right run.
        unchecked: ids of those that expect nothing.
    """

    file: Foreign
    subjects: tuple[Subject, ...]
    verdicts: tuple[Verdict, ...]
    causes: tuple[SuiteCause, ...] = ()
    failed: tuple[tuple[str, LstmStepError], ...] = ()
    mismatched: tuple[tuple[str, LstmStepError], ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def assumptions(self) -> list[str]:
        """What the weights of its samples leave open, each once."""
        models = [subject.model for subject in self.subjects]
        return list(dict.fromkeys(each for model in models for each in model.assumptions))

    @property
    def blind(self) -> list[Verdict]:
        """The mistakes that pass in every sample where they can be made."""
        return [each for each in self.verdicts if each.word == "blind"]

    @property
    def applicable(self) -> int:
        """How many mistakes can be made."""
        return sum(each.word != "not applicable" for each in self.verdicts)

    @property
    def seen(self) -> int:
        """How many of them some sample tells from the right run."""
        return sum(each.word == "seen" for each in self.verdicts)

    @property
    def strength(self) -> float:
        """The share of mistakes that are seen, in percent."""
        return 100.0 * self.seen / self.applicable if self.applicable else 0.0

    @property
    def orders(self) -> tuple[int, int]:
        """How many wrong orders of gates pass, and of how many: 23, or 0 without such a stack."""
        words = [each.word for each in self.verdicts if is_order(each.row)]
        return words.count("blind"), len(words) - words.count("not applicable")

    def same(self) -> list[Verdict]:
        """Mistakes that no numbers of these sizes tell from the right run."""
        return [each for each in self.verdicts if each.reason == SAME]


@dataclass
class _Tally:
    """What is known of each mistake while samples pass."""

    waiting: dict[str, Mistake]  # not seen by any sample so far
    reasons: dict[str, set[str]] = field(default_factory=dict)
    best: dict[str, Outcome] = field(default_factory=dict)

    def count(self, subject: Subject, applicability: Applicability) -> None:
        """Run on a sample what no sample before it has seen."""
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
    """Run every mistake on samples, and tell which pass in all of them.

    Args:
        file: what the suite is called.
        samples: read; those that cannot be vetted are kept with their errors.
        settings: what holds where a sample says nothing.
        atol: a tolerance in place of the samples' own.
        explain: whether causes are looked for.
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
    """Return samples that can be vetted, those that cannot be run or do not match, and the rest."""
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
) -> list[SuiteCause]:
    """Return why mistakes pass, put together over the samples in which they can be made."""
    known: dict[object, list[Blindness]] = {}
    found: dict[str, Blindness] = {}
    counts: dict[str, int] = {}
    for subject in subjects:
        key = profile(subject)
        if key not in known:
            why = applicability.reasons(subject.right, blind)
            known[key] = causes(subject, [row for row in blind if row.id not in why])
        for each in known[key]:
            mine = (found[each.id].hides if each.id in found else ()) + each.hides
            hides = tuple(row.id for row in blind if row.id in mine)
            first = found.get(each.id, each)
            found[each.id] = Blindness(each.id, first.sentence, each.change, hides)
            counts[each.id] = counts.get(each.id, 0) + 1
    ordered = sorted(found.values(), key=lambda each: -len(each.hides))
    return [SuiteCause(each, counts[each.id]) for each in ordered]
