"""Suites: the samples of a file together, and the mistakes that pass in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lstm_cli.base.errors import LstmStepError, safe
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
from lstm_cli.mistakes.variant_run import Mistake
from lstm_cli.samples import BadSample, Read
from lstm_cli.samples.settings import SampleSettings

# Which reason to give if samples leave out a mistake for different reasons, in order of preference.
_NEAREST = (UNREACHED, SAME, NO_PLACE, ROUNDING)


@dataclass(frozen=True, eq=False)
class Verdict:
    """Verdict of a suite on a mistake.

    Attributes:
        row: the mistake.
        word: whether it is seen, passes unseen, or does not apply.
        difference: the largest difference from expected numbers that was computed; 0 if it does
            not apply.
        reason: why it does not apply, "" if it does.
        detail: which units, for `units-permuted`.
    """

    row: Mistake
    word: Literal["seen", "blind", "not applicable"]
    difference: float = 0.0
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, eq=False)
class SuiteCause:
    """A cause of mistakes passing in a suite, and the number of samples that have it."""

    cause: Blindness
    samples: int


@dataclass(frozen=True, eq=False, repr=False)
class Suite:
    """A vetted file of samples.

    Attributes:
        file: its name.
        subjects: the samples that were vetted.
        verdicts: every mistake of the catalogue, in its order.
        causes: why mistakes pass, starting with the cause that hides most.
        failed: (id, error) of the samples that could not be run.
        mismatched: (id, error) of those whose numbers do not match the correct run.
        unchecked: ids of those without expected numbers.
    """

    file: Foreign
    subjects: tuple[Subject, ...]
    verdicts: tuple[Verdict, ...]
    causes: tuple[SuiteCause, ...] = ()
    failed: tuple[tuple[str, LstmStepError], ...] = ()
    mismatched: tuple[tuple[str, LstmStepError], ...] = ()
    unchecked: tuple[str, ...] = ()

    def __repr__(self) -> str:
        passing = "".join(f" {each.row.id}" for each in self.blind)
        bad = len(self.failed) + len(self.mismatched)
        return (
            f"Suite('{safe(self.file)}': {len(self.subjects)} samples vetted, {bad} not; "
            f"{self.seen} of {self.applicable} mistakes are seen, pass unseen:{passing or ' none'})"
        )

    @property
    def assumptions(self) -> list[str]:
        """Assumptions about the weights of its samples, without duplicates."""
        models = [subject.model for subject in self.subjects]
        return list(dict.fromkeys(each for model in models for each in model.assumptions))

    @property
    def blind(self) -> list[Verdict]:
        """Mistakes that pass in every sample they apply to."""
        return [each for each in self.verdicts if each.word == "blind"]

    @property
    def applicable(self) -> int:
        """Number of mistakes that apply."""
        return sum(each.word != "not applicable" for each in self.verdicts)

    @property
    def seen(self) -> int:
        """Number of them that some sample distinguishes from the correct run."""
        return sum(each.word == "seen" for each in self.verdicts)

    @property
    def strength(self) -> float:
        """Percentage of mistakes that are seen."""
        return 100.0 * self.seen / self.applicable if self.applicable else 0.0

    @property
    def orders(self) -> tuple[int, int]:
        """Number of wrong gate orders that pass, and the total: 23, or 0 without such a stack."""
        words = [each.word for each in self.verdicts if is_order(each.row)]
        return words.count("blind"), len(words) - words.count("not applicable")

    def same(self) -> list[Verdict]:
        """Mistakes equivalent to the correct run for any numbers of these sizes."""
        return [each for each in self.verdicts if each.reason == SAME]


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
) -> list[SuiteCause]:
    """Combine the causes of mistakes passing over the samples that they apply to."""
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
