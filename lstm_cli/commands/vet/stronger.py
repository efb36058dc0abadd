"""Stronger vectors: short, distinct numbers that distinguish every mistake from the correct run.

The weights are kept if possible; if they are the weakness, they are replaced by new ones with the
same layout, cell and sizes. The result is read back and vetted like any other sample.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.errors import InputError, LstmStepError, safe
from lstm_cli.commands.vet.documents import expected_numbers, fresh_documents, own_documents
from lstm_cli.commands.vet.numbers import cut, short_numbers
from lstm_cli.commands.vet.subjects import Subject, right_run
from lstm_cli.commands.vet.suites import Suite, vet_suite
from lstm_cli.commands.vet.trials import (
    Applicability,
    is_limit,
    kind_of,
    outcomes,
    own_expected,
    symbols_of,
    vetted_mistakes,
)
from lstm_cli.mistakes.variant_run import Cache, Mistake, VariantRun
from lstm_cli.samples import Sample, read_sample
from lstm_cli.samples.models import sample_trace
from lstm_cli.samples.settings import SampleSettings

Json = dict[str, Any]

ATOL = 1e-6
# A mistake with this excess is also clearly distinct from float32 rounding.
CLEAR = 1e-3
STEPS = (2, 3, 4, 6)
# Scales of x before the last step, of x at the last step, and of h and c; moderate ones first.
LOUDNESS = ((1.0, 1.0, 1.0), (1.0, 2.0, 2.0), (2.0, 2.0, 2.0), (1.0, 4.0, 4.0), (1.0, 8.0, 8.0),
            (4.0, 4.0, 4.0), (8.0, 8.0, 12.0), (4.0, 16.0, 100.0))  # fmt: skip
TRIALS = 4
# How many samples of one kind are searched for weights that can distinguish all mistakes.
MOST_SUBJECTS = 8
FRESH_SEEDS = range(4)
# Length and scale of the sequences on which weights are judged.
RICH_STEPS, RICH_SCALES = 6, (1.0, 4.0, 16.0, 100.0)


@dataclass(frozen=True, eq=False)
class Stronger:
    """A stronger vector.

    Attributes:
        documents: one sample each, ready for JSON.
        suite: the result of vetting them.
        by_h: how many mistakes show in h alone, at all steps.
        old_weights_hide: ids that the old weights hide for any x, h and c; () if they are kept.
        new_weights: whether any sample has new weights.
    """

    documents: tuple[Json, ...]
    suite: Suite
    by_h: int
    old_weights_hide: tuple[str, ...]
    new_weights: bool


def strengthen(suite: Suite, settings: SampleSettings, target: Path) -> Stronger:
    """Build a vector that catches what a suite should catch, with as few samples as possible.

    Args:
        suite: the suite that was vetted.
        settings: the settings used to read its samples.
        target: the file to write; paths in it are relative to its folder.

    Raises:
        InputError: nothing was vetted, or a sample cannot hold the weights of a cell.
    """
    if not suite.subjects:
        raise InputError("there is no sample to strengthen", where=safe(suite.file),
                         hint="give a sample whose 'expected' matches")  # fmt: skip
    documents, hidden, renewed = list[Json](), dict[str, None](), False
    for number, (subjects, rows) in enumerate(_kinds(suite)):
        made = _StrongerSearch(subjects, rows, settings, target).made()
        name = subjects[0].sample.id.text + "-strong" + f"-{number + 1}" * (number > 0)
        documents.append({"id": name, **made.document})
        hidden |= dict.fromkeys(made.hidden)
        renewed = renewed or made.new_weights
    again = [read_sample(each, "", target.parent, safe(target)) for each in _as_read(documents)]
    vetted = vet_suite(str(target), again, SampleSettings())
    return Stronger(tuple(documents), vetted, _count_seen_in_h(vetted), tuple(hidden), renewed)


def _as_read(documents: Sequence[Json]) -> list[Json]:
    """Return documents as they come back from a file."""
    return [json.loads(json.dumps(each)) for each in documents]


def _kinds(suite: Suite) -> Iterator[tuple[list[Subject], list[Mistake]]]:
    """Yield samples of one kind with the mistakes that apply to them, until all are covered.

    Kinds with most mistakes come first; a kind that adds none is left out.
    """
    applicability, rows = Applicability(), vetted_mistakes()
    kinds: dict[object, list[Subject]] = {}
    for subject in suite.subjects:
        kinds.setdefault(kind_of(subject.right), []).append(subject)
    found = []
    for subjects in kinds.values():
        why = applicability.by_kind(subjects[0].right, rows)
        found.append((subjects, [row for row in rows if row.id not in why]))
    told = set[str]()
    for subjects, mine in sorted(found, key=lambda each: -len(each[1])):
        if not {row.id for row in mine} <= told:
            told |= {row.id for row in mine}
            yield subjects, mine


def _count_seen_in_h(suite: Suite) -> int:
    told = set[str]()
    for subject in suite.subjects:
        told |= set(_seen(subject.right, [each.row for each in suite.verdicts], ["h"]))
    seen = {each.row.id for each in suite.verdicts if each.word == "seen"}
    return len(told & seen)


def _last_runs(right: VariantRun) -> list[int]:
    last = max(level for level, _ in right.layout)
    return [n for n, (level, _) in enumerate(right.layout) if level == last]


def _seen(
    right: VariantRun, rows: Sequence[Mistake], symbols: Sequence[str], cache: Cache | None = None
) -> dict[str, float]:
    """Map the ids of mistakes that show in some symbols of the last layer to their differences."""
    if not rows:
        return {}
    expected = own_expected(right, symbols, runs=_last_runs(right), tolerance=ATOL)
    made = outcomes(right, expected, rows, cache)
    return {each.row.id: each.difference for each in made if not each.passes}


@dataclass(frozen=True, eq=False)
class _Made:
    """A sample without its name, and the mistakes that the old weights hide."""

    document: Json
    hidden: tuple[str, ...]
    new_weights: bool


@dataclass(frozen=True, eq=False)
class _Grade:
    """Score of a candidate; larger is better."""

    order: tuple[int, int, int, float]
    variant: VariantRun

    @property
    def sees_all(self) -> bool:
        return self.order[0] == 0

    def is_enough(self, by_h: int) -> bool:
        """Whether the search can stop; `by_h` mistakes never show in h."""
        unseen, in_h, limits, clear = self.order
        return unseen == 0 and in_h >= -by_h and limits == 0 and clear >= CLEAR


class _StrongerSearch:
    """The search for one sample."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        rows: Sequence[Mistake],
        settings: SampleSettings,
        target: Path,
    ) -> None:
        self.subjects, self.settings, self.target = subjects[:MOST_SUBJECTS], settings, target
        self.rows = [row for row in rows if not is_limit(row)]
        limits = [row for row in rows if is_limit(row)]
        seen = {each.row.id for subject in self.subjects
                for each in outcomes(subject.right, subject.expected, limits)
                if not each.passes}  # fmt: skip
        self.limits = [row for row in limits if row.id in seen]
        self.rng = np.random.default_rng(2)
        self.cache = Cache()  # candidates differ only in x, h and c

    def made(self) -> _Made:
        """Return the best sample found."""
        hidden = [self._unseen(each.right) for each in self.subjects]
        fewest = min(range(len(hidden)), key=lambda n: len(hidden[n]))
        subject, lost = self.subjects[fewest], hidden[fewest]
        if not lost:
            for document in own_documents(subject, self.settings, self.target):
                right = self._right(document, subject)
                if right is not None and _same_weights(right, subject.right):
                    return _Made(self._with_inputs(document, right), (), False)
        return _Made(self._renewed(subject), tuple(row.id for row in lost), True)

    def _renewed(self, subject: Subject) -> Json:
        """Return a sample with new weights: the first that hide nothing, or the best ones."""
        best: tuple[int, Json, VariantRun] | None = None
        for document in fresh_documents(subject, self.target, FRESH_SEEDS):
            right = self._right(document, subject)
            unseen = len(self._unseen(right)) if right is not None else 0
            if right is not None and (best is None or unseen < best[0]):
                best = unseen, document, right
                if not unseen:
                    break
        if best is None:
            raise InputError(
                "a sample cannot hold these weights", where=subject.sample.place,
                hint="use a named layout (`lstm-step list conventions`) and a cell of `list cells`",
            )  # fmt: skip
        return self._with_inputs(*best[1:])

    def _unseen(self, right: VariantRun) -> list[Mistake]:
        """Return the mistakes that no input tried shows with these weights."""
        waiting = {row.id: row for row in self.rows}
        for scale in RICH_SCALES:
            for name in _seen(_rich(right, scale), list(waiting.values()), symbols_of(right)):
                del waiting[name]
        return list(waiting.values())

    def _right(self, document: Mapping[str, Any], subject: Subject) -> VariantRun | None:
        """Return the run of a document's weights; None if they differ from those required."""
        given = {**_inputs_of(subject.right), **document}
        sample = read_sample(given, "", self.target.parent, safe(self.target))
        if not isinstance(sample, Sample):
            return None
        try:
            _, right = right_run(sample, SampleSettings())
        except LstmStepError:
            return None
        same = kind_of(right) == kind_of(subject.right)
        return right if same else None

    def _with_inputs(self, document: Json, right: VariantRun) -> Json:
        """Return a document with x, h, c and the expected numbers."""
        chosen = self._inputs(right)
        made = {"note": _NOTE, **_inputs_of(chosen), **document}
        sample = read_sample(made, "", self.target.parent, safe(self.target))
        assert isinstance(sample, Sample)
        expected = expected_numbers(sample_trace(sample, SampleSettings()))
        return {**made, "expected": expected, "atol": ATOL}

    def _inputs(self, right: VariantRun) -> VariantRun:
        """Return the run with the fewest steps and the best numbers found."""
        never = len(self.rows) - len(_seen(_rich(right, 1.0), self.rows, ["h"]))
        best: _Grade | None = None
        for steps in STEPS:
            for loudness in LOUDNESS:
                for _ in range(TRIALS):
                    grade = self._grade(self._drawn(right, steps, loudness))
                    if best is None or grade.order > best.order:
                        best = grade
                    if best.is_enough(never):
                        return best.variant
            if best is not None and best.sees_all:
                break
        assert best is not None
        return best.variant

    def _drawn(
        self, right: VariantRun, steps: int, loudness: tuple[float, float, float]
    ) -> VariantRun:
        first, last, states = loudness
        inputs = right.x.shape[1]
        x = cut(short_numbers(self.rng, steps * inputs, first), (steps, inputs))[0]
        if last != first:
            x[-1] = short_numbers(self.rng, inputs, last, x)
        shapes = [each.shape for each in (*right.h, *right.c)]
        count = sum(shape[0] for shape in shapes)
        h_and_c = cut(short_numbers(self.rng, count, states, x), *shapes)
        half = len(right.h)
        return right.with_inputs(x, tuple(h_and_c[:half]), tuple(h_and_c[half:]))

    def _grade(self, variant: VariantRun) -> _Grade:
        in_h = _seen(variant, self.rows, ["h"], self.cache)
        rest = [row for row in self.rows if row.id not in in_h]
        seen = in_h | _seen(variant, rest, symbols_of(variant), self.cache)
        limits = _seen(variant, self.limits, symbols_of(variant), self.cache)
        order = (
            len(seen) - len(self.rows), len(in_h) - len(self.rows),
            len(limits) - len(self.limits), min([*seen.values(), CLEAR]),
        )  # fmt: skip
        return _Grade(order, variant)


def _inputs_of(right: VariantRun) -> Json:
    """Return x, h and c in sample form, with one row of states per layer and direction."""
    h, c = ([each.tolist() for each in states] for states in (right.h, right.c))
    return {"x": right.x.tolist(), "h": h if len(h) > 1 else h[0], "c": c if len(c) > 1 else c[0]}


def _same_weights(one: VariantRun, other: VariantRun) -> bool:
    return all(
        np.array_equal(a.arrays[name], b.arrays[name])
        for a, b in zip(one.weights, other.weights, strict=True)
        for name in a.arrays
    )


def _rich(right: VariantRun, scale: float) -> VariantRun:
    """Return the run on many steps of random numbers with all digits."""
    rng = np.random.default_rng(5)
    x = rng.uniform(-scale, scale, (RICH_STEPS, right.x.shape[1]))
    h, c = (tuple(rng.uniform(-scale, scale, each.shape) for each in states)
            for states in (right.h, right.c))  # fmt: skip
    return right.with_inputs(x, h, c)


_NOTE = "made by lstm-step vet: short, distinct numbers, so that known mistakes show"
