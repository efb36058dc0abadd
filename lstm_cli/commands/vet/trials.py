"""Mistakes made on purpose in the correct run of a sample, each compared with the same numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from lstm_cli.base.errors import ExitCode, InputError, LstmStepError, safe
from lstm_cli.base.numbers import significant
from lstm_cli.base.paste import FileName, command, option_words
from lstm_cli.cell.weights import Model
from lstm_cli.engine.batched_variants import evaluate_members
from lstm_cli.engine.calls import need_single
from lstm_cli.engine.run import Trace, need_whole
from lstm_cli.formats.conventions import CONVENTIONS
from lstm_cli.mistakes.catalogue import UNITS_PERMUTED, primary_mistakes
from lstm_cli.mistakes.diagnosis import right_variant
from lstm_cli.mistakes.expected import Expected, ExpectedVector, read_expected
from lstm_cli.mistakes.search import random_probe
from lstm_cli.mistakes.variant_run import Cache, Mistake, Rounded, VariantRun
from lstm_cli.samples import Sample
from lstm_cli.samples.models import sample_trace
from lstm_cli.samples.settings import SampleSettings

# Two orders of summation differ in the last bits, so no tolerance can be smaller.
LEAST_TOLERANCE = 1e-14
# Relative precision of the correct run's own numbers.
EXACT = 1e-9
# Reasons why a mistake does not apply.
NO_PLACE = "it does not apply to the cell or its sizes"
SAME = "it is equivalent for this cell and these sizes, whatever the numbers"
UNREACHED = "no value reaches the limit"
ROUNDING = "a matter of the tolerance"

# Scales of random numbers to test what a mistake changes: moderate, saturating the gates, and
# exceeding any clip.
_SCALES, _SEEDS = (0.8, 8.0, 100.0), range(20, 26)

_LIMIT = re.compile(r"(cell-)?clip-[0-9.]+")
_ORDER = re.compile(r"gates-[figo]{4}")


# ---- a sample


class MismatchError(LstmStepError):
    """The expected numbers do not match the correct run."""

    code = "mismatch"
    exit_code = ExitCode.CHECK_FAILED


@dataclass(frozen=True, eq=False)
class Subject:
    """A sample with its model, its expected numbers and its correct run, to make mistakes in."""

    sample: Sample
    model: Model
    expected: Expected
    right: VariantRun


def read_subject(sample: Sample, settings: SampleSettings, atol: float | None = None) -> Subject:
    """Run a sample and check its expected numbers, to a tolerance in place of its own if given.

    Raises:
        MismatchError: its numbers do not match the correct run.
        LstmStepError: it cannot be run, or expects what the cell does not compute.
    """
    trace, right = right_run(sample, settings)
    tolerance = sample.atol if atol is None else atol
    expected = read_expected(sample.expected, trace, atol=tolerance, place=sample.place)
    if expected.merges:
        raise InputError(
            "the expected output has its directions merged, which vet does not try",
            where=f"{sample.place}, sample {safe(sample.id)}",
            hint="expect h, or the rows of each direction: layer0.backward.h",
        )  # fmt: skip
    expected = replace(expected, vectors=tuple(map(_bounded, expected.vectors)))
    _check(sample, right, expected, settings)
    return Subject(sample, trace.model, expected, right)


def right_run(sample: Sample, settings: SampleSettings) -> tuple[Trace, VariantRun]:
    """Return a sample's run, also as a variant; raises the same errors as `read_subject`."""
    need_single(sample.calls or settings.calls, "a vector that is vetted")
    trace = sample_trace(sample, settings)
    need_whole(trace, "vet")
    return trace, _with_second_bias(right_variant(trace), trace.model)


def _bounded(vector: ExpectedVector) -> ExpectedVector:
    least = LEAST_TOLERANCE * np.maximum(1.0, np.abs(np.nan_to_num(vector.values)))
    return replace(vector, tolerance=np.maximum(vector.tolerance, least))


def _with_second_bias(right: VariantRun, model: Model) -> VariantRun:
    """Add a second bias of zeros to a run that lacks it, if its layout has two."""
    row = CONVENTIONS.get(model.convention or "")
    if row is None:
        return right
    # That of the output gate, which every cell has.
    held = (tensor.gates for tensor in row.tensors if tensor.holds == "b")
    if sum(gates.count("o") if gates else 1 for gates in held) < 2:
        return right
    weights = tuple(
        replace(own, recurrent={k: np.zeros_like(own.arrays[f"b_{k}"]) for k in own.letters})
        if own.letters and not own.recurrent else own
        for own in right.weights
    )  # fmt: skip
    return replace(right, weights=weights)


def _check(sample: Sample, right: VariantRun, expected: Expected, settings: SampleSettings) -> None:
    symbols = expected.symbols
    kept = evaluate_members([right.member()], right.layout, keep=symbols).values
    for vector in expected.vectors:
        ours = kept[vector.run, vector.symbol][0, vector.t - 1]
        off = np.abs(ours - vector.values)
        wrong = ~(off <= vector.tolerance) & ~np.isnan(vector.values)
        if wrong.any():
            unit = int(np.argmax(wrong))
            raise MismatchError(
                f"the expected numbers do not match: {vector.symbol}[{unit}] at t = {vector.t} is "
                f"{significant(ours[unit], 10)}, expected {significant(vector.values[unit], 10)}",
                where=f"{sample.place}, sample {safe(sample.id)}",
                hint=_diagnose(sample, settings),
            )


def _diagnose(sample: Sample, settings: SampleSettings) -> str:
    """Return the command that says why a sample does not match, with what it is vetted with."""
    name = sample.place.split(", line ")[0].split(", sample ")[0]
    if name in ("", "stdin"):
        return "diagnose the sample, then vet what matches"
    given: dict[str, object] = {}
    if sample.weights is None:
        given = {"--weights": FileName(settings.weights), "--lstm": settings.lstm}
    given |= {"--convention": settings.convention, "--steps": settings.steps or None}
    return command("diagnose", FileName(name), *option_words(given))


# ---- mistakes in its run


def vetted_mistakes() -> list[Mistake]:
    """Mistakes that a vector should catch: all except the types that only round."""
    rows = [row for row in primary_mistakes() if not isinstance(row.change, Rounded)]
    return [*rows, UNITS_PERMUTED]


def rounding_mistakes() -> list[Mistake]:
    """Types that only round: whether they show depends on the tolerance."""
    return [row for row in primary_mistakes() if isinstance(row.change, Rounded)]


def is_limit(row: Mistake) -> bool:
    """Whether a mistake is a limit that the cell does not have, such as `clip-3`."""
    return _LIMIT.fullmatch(row.id) is not None


def is_order(row: Mistake) -> bool:
    """Whether a mistake is one of the 23 wrong orders of a stack of gates."""
    return _ORDER.fullmatch(row.id) is not None


@dataclass(frozen=True, eq=False)
class Outcome:
    """Largest difference that a mistake makes, and that divided by its tolerance."""

    row: Mistake
    difference: float
    excess: float
    detail: str = ""

    @property
    def passes(self) -> bool:
        """Whether the wrong numbers pass as right."""
        return self.excess <= 1.0


def outcomes(
    right: VariantRun, expected: Expected, rows: Iterable[Mistake], cache: Cache | None = None
) -> list[Outcome]:
    """Compute the outcome of each mistake that applies to a run."""
    cache, found = cache or Cache(), list[Outcome]()
    variants = [(row, row.change(right, cache)) for row in rows if row is not UNITS_PERMUTED]
    made = [(row, variant.member()) for row, variant in variants if variant is not None]
    if made:
        members = [member for _, member in made]
        verdicts = evaluate_members(members, right.layout, expected.targets)
        found += [
            Outcome(row, float(difference), float(excess))
            for (row, _), difference, excess in zip(
                made, verdicts.difference, verdicts.excess, strict=True
            )
        ]
    if UNITS_PERMUTED in rows and can_permute(right):
        found.append(_nearest_exchange(right, expected))
    return found


def can_permute(right: VariantRun) -> bool:
    """Whether a run has units that could be permuted."""
    last = max(level for level, _ in right.layout)
    sizes = [len(c) for c, (level, _) in zip(right.c, right.layout, strict=True) if level == last]
    return max(sizes) > 1


def _nearest_exchange(right: VariantRun, expected: Expected) -> Outcome:
    """Outcome of swapping the two most similar units."""
    kept = evaluate_members([right.member()], right.layout, keep=expected.symbols).values
    best = Outcome(UNITS_PERMUTED, np.inf, np.inf)
    for run in sorted({vector.run for vector in expected.vectors}):
        size = len(right.c[run])
        off, excess = np.zeros((2, size, size))  # [place, unit that is put there]
        for vector in expected.vectors:
            if vector.run != run or vector.symbol == "x" or len(vector.values) != size:
                continue
            ours = kept[run, vector.symbol][0, vector.t - 1]
            away = np.abs(ours[None, :] - vector.values[:, None])
            away[np.isnan(vector.values)] = 0.0
            off = np.maximum(off, away)
            excess = np.maximum(excess, away / vector.tolerance[:, None])
        both = np.maximum(excess, excess.T) + np.diag(np.full(size, np.inf))
        one, other = divmod(int(np.argmin(both)), size)
        if size > 1 and both[one, other] < best.excess:
            most = float(max(off[one, other], off[other, one]))
            detail = f"units {min(one, other)} and {max(one, other)} swapped"
            best = Outcome(UNITS_PERMUTED, most, float(both[one, other]), detail)
    return best


def symbols_of(right: VariantRun) -> list[str]:
    """List every symbol that some run computes."""
    return list(dict.fromkeys(symbol for cell in right.cells for symbol in cell.symbols))


def own_expected(
    right: VariantRun,
    symbols: Sequence[str],
    *,
    every: bool = True,
    runs: Collection[int] | None = None,
    tolerance: float = EXACT,
) -> Expected:
    """Return a run's own numbers as expected values.

    Args:
        right: the run.
        symbols: the symbols to include; those that a run lacks are skipped.
        every: whether to include all steps or only the last.
        runs: indices of layers and directions; None means all.
        tolerance: absolute for numbers up to 1, relative above.
    """
    kept = evaluate_members([right.member()], right.layout, keep=symbols).values
    vectors = []
    for (run, symbol), values in sorted(kept.items()):
        if runs is not None and run not in runs:
            continue
        steps = values.shape[1]
        final = steps if right.layout[run][1] == "forward" else 1
        for t in range(1, steps + 1) if every else [final]:
            numbers = values[0, t - 1]
            numbers = np.where(np.isfinite(numbers), numbers, np.nan)
            limits = tolerance * np.maximum(1.0, np.abs(np.nan_to_num(numbers)))
            vectors.append(ExpectedVector(run, symbol, t, numbers, limits))
    return Expected(tuple(vectors), {})


class Applicability:
    """Which mistakes apply to a run, with a cache by cell and sizes."""

    def __init__(self) -> None:
        self._same: dict[object, dict[str, bool]] = {}

    def reasons(self, right: VariantRun, rows: Iterable[Mistake]) -> dict[str, str]:
        """Map the id of each mistake that does not apply to a run to the reason."""
        rows = list(rows)
        why = self.by_kind(right, rows)
        limits = [row for row in rows if is_limit(row) and row.id not in why]
        if limits:
            expected = own_expected(right, symbols_of(right))
            met = {each.row.id for each in outcomes(right, expected, limits) if not each.passes}
            why |= {row.id: UNREACHED for row in limits if row.id not in met}
        return why

    def by_kind(self, right: VariantRun, rows: Iterable[Mistake]) -> dict[str, str]:
        """Like `reasons`, as far as the cell and its sizes decide."""
        rows = list(rows)
        cache, why = Cache(), dict[str, str]()
        for row in rows:
            changed = row.change(right, cache) is not None
            if not changed and not (row is UNITS_PERMUTED and can_permute(right)):
                why[row.id] = SAME if row is UNITS_PERMUTED else NO_PLACE
        known = self._same.setdefault(kind_of(right), {})
        asked = [row for row in rows if row.id not in why and row.id not in known]
        known.update(_the_same(right, asked))
        return why | {row.id: SAME for row in rows if known.get(row.id) and row.id not in why}


def kind_of(right: VariantRun) -> object:
    """Key shared by runs with the same cells, sizes and separate biases."""
    return (
        tuple(cell.equations for cell in right.cells),
        right.layout,
        right.x.shape[1],
        tuple((len(h), len(c)) for h, c in zip(right.h, right.c, strict=True)),
        tuple((own.letters, frozenset(own.recurrent)) for own in right.weights),
    )


def _the_same(right: VariantRun, rows: Sequence[Mistake]) -> dict[str, bool]:
    """For each mistake, whether it changes nothing on any of the random numbers tried."""
    waiting = {row.id: row for row in rows if not is_limit(row)}
    for scale, seed in product(_SCALES, _SEEDS):
        if not waiting:
            break
        probe = random_probe(right, scale, seed=seed)
        expected = own_expected(probe, symbols_of(right))
        for each in outcomes(probe, expected, list(waiting.values())):
            if not each.passes:
                del waiting[each.row.id]
    return {row.id: row.id in waiting for row in rows}
