"""The search for the mistake that reproduces someone's numbers: single mistakes, then pairs.

Every candidate is a change of the correct run. Candidates are computed together, and each is
dropped at its first mismatch, so that a search costs little more than a few runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TypeVar

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.engine.batched_variants import evaluate_members
from lstm_cli.mistakes.catalogue import UNITS_PERMUTED, primary_mistakes, secondary_mistakes
from lstm_cli.mistakes.expected import Expected
from lstm_cli.mistakes.states import NARROW_TYPES, rounding_to_decimals
from lstm_cli.mistakes.variant_run import Cache, GateWeights, Mistake, VariantRun, in_turn
from lstm_cli.mistakes.weights import convention_mistakes

Item = TypeVar("Item")
# Called with the number of candidates done and the total.
Progress = Callable[[int, int], None]

# A fit this much worse than the best is not a tie, if the data can distinguish them.
WORSE = 100.0
# Below this, a remaining difference is rounding in the last bits.
NOISE = 1e-11
# Weights larger than this (512 units) are not changed by pairs of mistakes.
MAX_SHARED_BYTES = 2**24
# With more units than this, matching every unit with every other would take too long.
MAX_UNITS = 512


@dataclass(frozen=True, eq=False)
class Finding:
    """A set of mistakes that gives the claimed numbers, or comes close.

    Attributes:
        departures: the mistakes made, one or two.
        excess: that difference divided by its tolerance; it fits if at most 1.
        aliases: ids of other mistakes that always compute the same.
        detail: anything else that was found (which unit is which).
    """

    departures: tuple[Mistake, ...]
    difference: float
    excess: float
    aliases: tuple[str, ...] = ()
    detail: str = ""

    @property
    def id(self) -> str:
        """The ids of the departures, joined by `+`."""
        return "+".join(row.id for row in self.departures)

    def variant(self, right: VariantRun, cache: Cache) -> VariantRun | None:
        """Apply the departures to the correct run."""
        return in_turn((row.change for row in self.departures), right, cache)


# Evaluates candidates as `Search` does: those that apply; None leaves it to each search.
Judge = Callable[[Sequence[tuple[Mistake, ...]], Expected], list[Finding] | None]


@dataclass
class Search:
    """A search in progress.

    Attributes:
        convention: that of the weights, if known.
        progress: called with the number of candidates done.
        judge: compares candidates, if several searches of one run share them.
        singles: all single departures tried, fitting or not, after `one_departure`.
    """

    right: VariantRun
    expected: Expected
    convention: str | None = None
    progress: Progress = lambda done, total: None
    judge: Judge | None = None
    tried: int = 0
    singles: list[Finding] = field(default_factory=list)
    cache: Cache = field(default_factory=Cache)

    def one_departure(self) -> list[Finding]:
        """Return the single mistakes that fit, best first."""
        rows, decimals = self._primary(), self.expected.decimals
        if decimals is not None and decimals <= 6:  # of more, rounding at every step is not seen
            rows.append(rounding_to_decimals(decimals))
        self._try_singly([*rows, *convention_mistakes(self.convention)])
        fits = self.fitting(self.singles + self._permuted())
        if not fits:
            self._try_singly(secondary_mistakes(self.right))
            fits = self.fitting(self.singles)
        return fits

    def _try_singly(self, rows: Iterable[Mistake]) -> None:
        self.singles += self._evaluate([(row,) for row in rows])

    def _primary(self) -> list[Mistake]:
        """Return the catalogue without narrow types, except one that the numbers are evidently of.

        The rounding of a narrow type could otherwise account for a few wrong digits of any cause.
        """
        shown = {each.words for each in self.expected.precision.values()}
        return [row for row in primary_mistakes()
                if row.id not in NARROW_TYPES or shown == {row.id}]  # fmt: skip

    @property
    def is_large(self) -> bool:
        """Whether pairs of changes to matrices would take gigabytes, since each keeps copies."""
        sizes = (array.nbytes for own in self.right.weights for array in own.arrays.values())
        return sum(sizes) > MAX_SHARED_BYTES

    def two_departures(self) -> list[Finding]:
        """Return the pairs of mistakes that fit, best first."""
        rows = [row for row in self._primary() if not row.id.startswith(("clip-", "cell-clip-"))
                and row.id not in NARROW_TYPES]  # fmt: skip
        alone = [row for row in rows if row.change(self.right, self.cache) is not None]
        pairs = [
            pair for pair in combinations(alone, 2)
            if not all(row.id.startswith("gates-") for row in pair)
            and not (self.is_large and all(row.kind == "weights" for row in pair))
        ]  # fmt: skip
        return self.fitting(self._evaluate(pairs, give_up=1.0))

    def fitting(self, found: Iterable[Finding]) -> list[Finding]:
        """Return the findings within tolerance that are not clearly worse than the best."""
        fits = [each for each in found if each.excess <= 1.0]
        if not fits:
            return []
        best = min(each.difference for each in fits)
        precise = all(p.kind == "float64" for p in self.expected.precision.values())
        limit = max(WORSE * best, NOISE) if precise else np.inf
        return [each for each in fits if each.difference <= limit]

    def _evaluate(
        self, candidates: Sequence[tuple[Mistake, ...]], give_up: float = np.inf
    ) -> list[Finding]:
        judged = self.judge(candidates, self.expected) if self.judge else None
        if judged is not None:
            self.tried += len(judged)
            return judged
        findings, variants = [], []
        for departures in candidates:
            finding = Finding(departures, np.inf, np.inf)
            variant = finding.variant(self.right, self.cache)
            if variant is not None:
                findings.append(finding)
                variants.append(variant)
        if not variants:
            return []
        before = self.tried

        def told(done: int) -> None:
            self.tried += done
            self.progress(self.tried - before, len(variants))

        verdicts = evaluate_members(
            [variant.member() for variant in variants], self.right.layout, self.expected.targets,
            give_up=give_up, progress=told,
        )  # fmt: skip
        return [
            replace(finding, difference=float(difference), excess=float(excess))
            for finding, difference, excess in zip(
                findings, verdicts.difference, verdicts.excess, strict=True
            )
        ]

    def _permuted(self) -> list[Finding]:
        """Return the finding that the units are permuted, if one permutation fits all steps."""
        kept = evaluate_members(
            [self.right.member()], self.right.layout, keep=self.expected.symbols
        ).values
        details, worst = [], 0.0
        for run in sorted({vector.run for vector in self.expected.vectors}):
            mine = [
                vector for vector in self.expected.vectors
                if vector.run == run and len(vector.values) == len(self.right.c[run])
                and not vector.other
            ]  # fmt: skip
            if not mine:
                continue
            ours = np.stack([kept[run, vector.symbol][0, vector.t - 1] for vector in mine])
            order, off = matching(
                ours, np.stack([vector.values for vector in mine]),
                np.stack([vector.tolerance for vector in mine]),
            )  # fmt: skip
            if order is None:
                return []
            worst = max(worst, off)
            if (order != np.arange(len(order))).any():
                shown = ", ".join(f"{theirs} is {own}" for theirs, own in enumerate(order[:12]))
                details.append(f"their unit {shown}" + ", …" * (len(order) > 12))
        if not details:
            return []
        return [Finding((UNITS_PERMUTED,), worst, 0.0, detail="; ".join(details))]


@np.errstate(all="ignore")  # a difference that overflows counts as infinite
def matching(ours: Array, theirs: Array, tolerance: Array) -> tuple[Array | None, float]:
    """Find the permutation of our units that gives theirs, and the largest remaining difference.

    Args:
        ours, theirs, tolerance: `(rows, n)`; nan in theirs means that nothing is expected.

    Returns:
        `order` with `ours[:, order]` equal to `theirs`, or None if there is none.
    """
    size = ours.shape[1]
    if size > MAX_UNITS or np.isnan(theirs).any():
        return None, np.inf
    off = np.zeros((size, size))
    for own, other, limit in zip(ours, theirs, tolerance, strict=True):
        off = np.maximum(off, np.abs(other[:, None] - own[None, :]) / limit[:, None])
    order, free = np.full(size, -1), np.ones(size, dtype=bool)
    for unit in np.argsort(np.sum(off <= 1, axis=1), kind="stable"):  # fewest options first
        choices = np.where(free, off[unit], np.inf)
        best = int(unit) if choices[unit] <= 1 else int(np.argmin(choices))
        if choices[best] > 1:
            return None, np.inf
        order[unit], free[best] = best, False
    return order, float(np.max(np.abs(ours[:, order] - theirs)))


def merge_aliases(findings: list[Finding], right: VariantRun) -> list[Finding]:
    """Drop findings that compute the same as an earlier one for any weights.

    Equality is tested on two runs of the same sizes with random weights: one with moderate values,
    one that saturates gates and clips.
    """
    values = [_probe_values(findings, right, scale) for scale in (0.8, 8.0)]
    groups = grouped(
        range(len(findings)), lambda one, other: all(_same(of[one], of[other]) for of in values)
    )
    merged = [[findings[place] for place in group] for group in groups]
    return [replace(kept, aliases=(*kept.aliases, *(each.id for each in others)))
            for kept, *others in merged]  # fmt: skip


def grouped(items: Iterable[Item], same: Callable[[Item, Item], bool]) -> list[list[Item]]:
    """Put each item into the first group whose first member is the same."""
    groups: list[list[Item]] = []
    for item in items:
        own = next((group for group in groups if same(group[0], item)), None)
        if own is None:
            groups.append([item])
        else:
            own.append(item)
    return groups


def _same(one: Array | None, other: Array | None) -> bool:
    if one is None or other is None:
        return False
    return bool(np.allclose(one, other, rtol=1e-10, atol=1e-12, equal_nan=True))


def _probe_values(findings: list[Finding], right: VariantRun, scale: float) -> list[Array | None]:
    """Return h and c `(2, T·n)` of each finding on a random run; None if it does not apply."""
    probe, cache = random_probe(right, scale), Cache()
    variants = [finding.variant(probe, cache) for finding in findings]
    made = [variant.member() for variant in variants if variant is not None]
    if not made:
        return [None] * len(findings)
    kept = evaluate_members(made, probe.layout, keep=("h", "c")).values
    flat = iter(np.concatenate([v.reshape(len(made), -1) for v in kept.values()], axis=1))
    return [None if variant is None else next(flat) for variant in variants]


def random_probe(right: VariantRun, scale: float, steps: int = 4, seed: int = 20) -> VariantRun:
    """Return a variant with the same tables and sizes and random weights, inputs and states."""
    rng = np.random.default_rng(seed)

    def draw(array: Array) -> Array:
        return rng.uniform(-scale, scale, array.shape)

    weights = tuple(
        GateWeights({name: draw(array) for name, array in own.arrays.items()},
              {k: draw(array) for k, array in own.recurrent.items()}, own.wide, own.letters)
        for own in right.weights
    )  # fmt: skip
    x = rng.uniform(-scale, scale, (steps, right.x.shape[1]))
    h, c = tuple(map(draw, right.h)), tuple(2 * draw(each) for each in right.c)
    return replace(right.with_inputs(x, h, c), weights=weights)
