"""Why two sets of numbers differ: the first value that differs, and the mistake that explains it.

Verdicts: `match`; `explained` by one finding; `ambiguous` if several fit, with inputs that would
distinguish them; `unexplained`, with the closest findings and the rows that still agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np

from lstm_cli.base.arrays import Array, to_numpy
from lstm_cli.base.errors import ArgumentError, kind_of
from lstm_cli.cell.equations import evaluate, names_in
from lstm_cli.cell.roles import kept_factor
from lstm_cli.cell.weights import Merge
from lstm_cli.engine.agreement import spacing
from lstm_cli.engine.batched_variants import evaluate_members
from lstm_cli.engine.run import Trace, need_trace
from lstm_cli.mistakes.catalogue import MISTAKES
from lstm_cli.mistakes.expected import Expected, ExpectedVector, read_expected
from lstm_cli.mistakes.search import NOISE, Finding, Judge, Progress, Search, grouped, merge_aliases
from lstm_cli.mistakes.states import NARROW_TYPES
from lstm_cli.mistakes.variant_run import Cache, VariantRun, variant_of

Verdict = Literal["match", "explained", "ambiguous", "unexplained"]

# How many of the closest findings to show for an unexplained difference.
NEAREST = 3
# Rounding the inputs of a row moves its result by a few units in the last decimal.
FOLLOWS = 6.0
# Minimum count, and the share of numbers equal to ours rounded to a type above which that type
# was only used for storage.
STORED, ENOUGH = 0.9, 8
# Number of short inputs tried; the one that best distinguishes the findings is used.
TRIALS = 40


@dataclass(frozen=True)
class Difference:
    """One number on both sides: `got` is ours, `expected` is theirs."""

    symbol: str
    layer: int
    direction: str
    t: int
    unit: int
    got: float
    expected: float


@dataclass(frozen=True, eq=False)
class Separation:
    """Inputs on which the findings that fit give different numbers.

    Attributes:
        x, h, c: `(T, I)` and rows of states, in numbers with few digits.
        answers: mapping of finding id to the last layer's final h `(D·P,)`.
        right: the correct final h.
        groups: ids that these weights cannot distinguish.
    """

    x: Array
    h: Array
    c: Array
    answers: dict[str, Array]
    right: Array
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Result of a comparison.

    Attributes:
        verdict: see the module docstring.
        difference: the largest difference, which is also the smallest tolerance that would pass.
        excess: the largest ratio of a difference to its tolerance; a match is at most 1.
        first: the first value that differs, in order of computation; None for a match.
        agree: for each claimed symbol, whether all its numbers agree.
        follows: for each claimed symbol, whether its row holds for their own numbers.
        signature: sentences on the pattern of differences.
        findings: explanations that fit, best first; for `unexplained`, the closest ones.
        separation: inputs that would distinguish the findings; None if there are none.
        tried: number of candidates that were computed.
        given: the options that make our run, where options made it.
    """

    verdict: Verdict
    trace: Trace
    claims: Expected
    difference: float
    excess: float
    first: Difference | None
    worst: Difference
    agree: dict[str, bool]
    follows: dict[str, bool]
    signature: tuple[str, ...]
    right: VariantRun = field(repr=False)
    findings: tuple[Finding, ...] = ()
    separation: Separation | None = None
    tried: int = 0
    given: Mapping[str, object] | None = None


def diagnose(
    trace: Trace,
    claims: Expected | Mapping[str, Any],
    *,
    departures: int = 2,
    progress: Progress = lambda done, total: None,
    judge: Judge | None = None,
    separating: bool = True,
) -> Diagnosis:
    """Compare someone's numbers with a run and find what explains a difference.

    Args:
        trace: the correct run, unbatched.
        claims: the numbers to explain: `Expected`, or a mapping of symbol to `(n,)` at the last
            step (the final state for h and c) or `(T, n)` at all steps.
        departures: how many mistakes may occur together, 1 or 2.
        progress: called with the number of candidates done and the total.
        judge: see `Search`; lets several diagnoses of one run share their candidates.
        separating: whether to look for inputs that distinguish several findings.

    Raises:
        ArgumentError: `trace` is no run; the error says what to call.
        InputError: several samples at once, no numbers, or of what the cell does not compute.
        ShapeError: numbers of another shape than the run's.
    """
    need_trace(trace, "diagnose", single=True)
    if not isinstance(claims, Expected | Mapping):
        raise ArgumentError(
            f"claims is {kind_of(claims)}, not a mapping of symbols to numbers",
            where="diagnose()", hint='diagnose(trace, {"h": [0.1, 0.2]})',
        )  # fmt: skip
    if not isinstance(claims, Expected):
        numbers = {name: to_numpy(rows).astype(float) for name, rows in claims.items()}
        claims = read_expected(numbers, trace, place="claims")
    compared = _compare(trace, claims)
    right = compared.right
    search = Search(right, claims, trace.model.convention, progress, judge)
    if compared.verdict == "match":
        return replace(compared, findings=tuple(_of_a_match(compared)))
    found = search.one_departure()
    if not found and departures > 1:
        found = search.two_departures()
    if not found:
        if search.is_large and departures > 1:
            note = "the layer is large: pairs of changes to matrices were not tried"
            compared = replace(compared, signature=(*compared.signature, note))
        nearest = sorted(
            (each for each in search.singles if each.id not in NARROW_TYPES),
            key=lambda each: each.difference,
        )
        return replace(
            compared, verdict="unexplained", tried=search.tried,
            findings=tuple(each for each in nearest[:NEAREST] if np.isfinite(each.difference)),
        )  # fmt: skip
    found = merge_aliases(found, right)
    verdict: Verdict = "explained" if len(found) == 1 else "ambiguous"
    separation = separate(found, right) if separating and len(found) > 1 else None
    return replace(compared, verdict=verdict, findings=tuple(found), separation=separation,
                   tried=search.tried)  # fmt: skip


def right_variant(trace: Trace) -> VariantRun:
    """Convert the run of an unbatched trace to a variant."""
    x, h, c = trace.inputs
    return variant_of(trace.model, x).with_inputs(x, tuple(h), tuple(c), trace.calls)


def _compare(trace: Trace, expected: Expected) -> Diagnosis:
    """Compare before any search."""
    vectors = expected.vectors
    off = [vector.off(vector.ours(trace)) for vector in vectors]
    excess = [vector.excess(vector.ours(trace)) for vector in vectors]
    fine = [bool(each.max() <= 1) for each in excess]
    agree = {vector.name: True for vector in vectors}
    for vector, right in zip(vectors, fine, strict=True):
        agree[vector.name] &= right
    worst = int(np.argmax([each.max() for each in off]))
    compared = Diagnosis(
        "match" if all(fine) else "unexplained", trace, expected,
        difference=float(off[worst].max()), excess=max(float(each.max()) for each in excess),
        first=None, worst=_difference(trace, vectors[worst], off[worst]), agree=agree, follows={},
        signature=(), right=right_variant(trace),
    )  # fmt: skip
    if all(fine):
        return compared
    first = fine.index(False)
    return replace(
        compared, first=_difference(trace, vectors[first], excess[first] > 1),
        follows=_follows(trace, expected), signature=tuple(_signature(trace, vectors, fine)),
    )  # fmt: skip


def _difference(trace: Trace, vector: ExpectedVector, most: Array) -> Difference:
    """Return the number of a vector for which `most (n,)` is largest."""
    unit, layer = int(np.argmax(most)), trace.layers[vector.run]
    side, t = "both" if vector.other else layer.direction, layer.times[vector.t - 1]
    return Difference(vector.name, layer.layer, side, t, unit,
                      float(vector.ours(trace)[unit]), float(vector.values[unit]))  # fmt: skip


def _signature(
    trace: Trace, vectors: Sequence[ExpectedVector], fine: Sequence[bool]
) -> Iterator[str]:
    """Describe the pattern of differences: where it starts, and what agrees there."""
    wrong = [vector for vector, right in zip(vectors, fine, strict=True) if not right]
    first = wrong[0]
    layer = trace.layers[first.run]
    start, times = _processed(trace, first), trace.times
    before = [each for each in vectors
              if each.run == first.run and _processed(trace, each) < start]  # fmt: skip
    if before and _processed(trace, before[0]) == 1 and start == 2:
        kept = kept_factor(layer.cell)
        look = "look at U, the forget gate, its bias" if kept and names_in(kept) else "look at U"
        yield f"the first step is right and the second is not: {look} and the carried state"
    elif before:
        until, since = times[before[-1].t - 1], times[first.t - 1]
        yield f"right up to t = {until}, wrong from t = {since}"
    here = {right: [each.name for each, own in zip(vectors, fine, strict=True)
                    if own is right and (each.run, each.t) == (first.run, first.t)]
            for right in (True, False)}  # fmt: skip
    if here[True]:
        names = {row.symbol: row.label for row in layer.cell.equations}
        yield (
            f"at t = {times[first.t - 1]} {_they(here[True], 'agree')}, "
            f"{_they(here[False], 'differ')}: look at the {names.get(first.symbol) or first.symbol}"
        )
    yield from _other_merge(trace, vectors)
    clean = {vector.run for vector in vectors} - {vector.run for vector in wrong}
    if clean:
        places = [f"layer {trace.layers[n].layer} {trace.layers[n].direction}" for n in clean]
        yield _they(places, "agree")


def _other_merge(trace: Trace, vectors: Sequence[ExpectedVector]) -> Iterator[str]:
    """Say which other merge of the directions gives their numbers, if one does."""
    both = [(vector, vector.other) for vector in vectors if vector.other]
    for merge in get_args(Merge)[1:] if both else ():  # not concat, which is of another shape
        again = [replace(vector, other=other._replace(merge=merge)) for vector, other in both]
        if all((each.excess(each.ours(trace)) <= 1).all() for each in again):
            ours = both[0][1].merge
            yield f"merged by {merge} the directions agree: here they are merged by {ours}"


def _processed(trace: Trace, vector: ExpectedVector) -> int:
    """Step of a vector in the processing order of its direction, from 1."""
    return trace.layers[vector.run].order.index(vector.t - 1) + 1


def _they(words: Sequence[str], verb: str) -> str:
    """Join a subject of one or more words with its verb."""
    if len(words) == 1:
        return f"{words[0]} {verb}s"
    return f"{', '.join(words[:-1])} and {words[-1]} {verb}"


def _follows(trace: Trace, expected: Expected) -> dict[str, bool]:
    """Whether each row holds for their own numbers, with ours for any that are missing."""
    claimed = {(c.run, c.t, c.symbol): c for c in expected.vectors if not c.other}
    holds: dict[str, bool] = {}
    for vector in expected.vectors:
        layer = trace.layers[vector.run]
        if vector.other or vector.symbol not in layer.cell.symbols:
            continue
        known = {name: value[vector.t - 1] for name, value in layer.values.items()}
        place = layer.order.index(vector.t - 1)
        last = layer.order[place - 1] + 1 if place else 0
        for name in list(known):
            own = claimed.get((vector.run, vector.t, name))
            if own is None and name.endswith("_prev"):
                own = claimed.get((vector.run, last, name.removesuffix("_prev")))
            if own is not None:
                known[name] = np.where(np.isnan(own.values), known[name], own.values)
        with np.errstate(all="ignore"):
            row = layer.cell[vector.symbol].expression
            value = evaluate(row, known | dict(layer.weights.arrays))
        over = vector.excess(np.broadcast_to(value, vector.values.shape))
        fine = bool(over.max() <= FOLLOWS)
        holds[vector.symbol] = holds.get(vector.symbol, True) and fine
    return holds


def _of_a_match(compared: Diagnosis) -> list[Finding]:
    """Explain the differences left in a match: truncated digits, or the type used to compute.

    A type is reported if all numbers are representable in it and many are not our exact numbers
    rounded to it; otherwise they were computed in another type and only stored in this one.
    """
    if any(each.cut for each in compared.claims.precision.values()):
        return [Finding((MISTAKES["digits-cut"],), compared.difference, compared.excess)]
    (words, *more) = {p.words for p in compared.claims.precision.values()}
    if more or words not in NARROW_TYPES or compared.difference <= NOISE:
        return []
    pairs = [(vector, vector.ours(compared.trace)) for vector in compared.claims.vectors]
    rounded = np.concatenate(
        [vector.off(ours) <= 0.5 * spacing(ours, words) for vector, ours in pairs]
    )
    if len(rounded) >= ENOUGH and rounded.mean() > STORED:
        return []
    return [Finding((MISTAKES[words],), compared.difference, compared.excess)]


@np.errstate(all="ignore")  # two answers that are both inf are not distinguished
def separate(findings: Sequence[Finding], right: VariantRun) -> Separation | None:
    """Find short inputs on which as many findings differ as the weights of `right` allow."""
    rng, best, told = np.random.default_rng(7), None, -1.0
    for trial in range(TRIALS):
        steps = 1 + trial // 10
        x = np.round(rng.uniform(-1, 1, (steps, right.x.shape[1])), 1)
        h, c = (
            tuple(np.round(rng.uniform(-1.5, 1.5, state.shape), 1) for state in states)
            for states in (right.h, right.c)
        )
        probe = right.with_inputs(x, h, c)
        answers = _answers(findings, probe)
        apart = _apart(answers)
        if apart > told:
            best, told = _separation(probe, answers), apart
        pairs = len(answers) * (len(answers) - 1) / 2
        if told >= pairs and trial >= 4:
            break
    assert best is not None
    return best if len(best.groups) != 1 or len(best.groups[0]) < len(findings) else None


def _answers(findings: Sequence[Finding], probe: VariantRun) -> dict[str, Array]:
    """Map finding ids to the final h of the last layer `(D·P,)`; "" is the correct one."""
    cache = Cache()
    variants = {"": probe, **{each.id: each.variant(probe, cache) for each in findings}}
    made = {name: variant for name, variant in variants.items() if variant is not None}
    kept = evaluate_members([d.member() for d in made.values()], probe.layout, keep=("h",)).values
    last = max(level for level, _ in probe.layout)
    ends = [kept[n, "h"][:, -1 if direction == "forward" else 0]
            for n, (level, direction) in enumerate(probe.layout) if level == last]  # fmt: skip
    return dict(zip(made, np.concatenate(ends, axis=-1), strict=True))


# Answers this close look the same to someone reading four digits.
_APART = 2e-3


def _apart(answers: dict[str, Array]) -> float:
    """Number of pairs of answers that differ, plus a fraction for how clearly the closest do."""
    gaps = [float(np.max(np.abs(a - b))) for a, b in combinations(answers.values(), 2)]
    clear = [gap for gap in gaps if gap > _APART]
    return len(clear) + (min(1.0, min(clear)) * 0.5 if clear else 0.0)


def _separation(probe: VariantRun, answers: dict[str, Array]) -> Separation:
    answers, right = dict(answers), answers[""]
    del answers[""]
    groups = grouped(answers, lambda a, b: np.max(np.abs(answers[a] - answers[b])) <= _APART)
    together = tuple(tuple(group) for group in groups if len(group) > 1)
    return Separation(probe.x, np.array(probe.h), np.array(probe.c), answers, right, together)
