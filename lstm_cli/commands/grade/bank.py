"""Candidate mistakes of one run, computed once and compared with everyone's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.engine.batched_variants import evaluate_members
from lstm_cli.engine.run import Trace
from lstm_cli.mistakes.diagnosis import right_variant
from lstm_cli.mistakes.expected import Expected, ExpectedVector
from lstm_cli.mistakes.search import Finding
from lstm_cli.mistakes.variant_run import Cache, Mistake

# Limit on the cached values of a list of candidates; beyond it each diagnosis computes its own.
MAX_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class _Block:
    """Candidates that apply, and their values: (run, symbol) -> `(K, T, n)`."""

    findings: Sequence[Finding]
    values: Mapping[tuple[int, str], Array]


class Bank:
    """Judges candidates like `Search`, from values cached between searches."""

    def __init__(self, trace: Trace) -> None:
        self.right = right_variant(trace)
        self.symbols = list(dict.fromkeys(s for each in trace.layers for s in each.cell.symbols))
        self.size = 8 * sum(v.size for each in trace.layers for v in each.values.values())
        self.blocks: dict[tuple[str, ...], _Block] = {}

    def __call__(
        self, candidates: Sequence[tuple[Mistake, ...]], expected: Expected
    ) -> list[Finding] | None:
        """Return the candidates that apply with their differences; None if there are too many."""
        if len(candidates) * self.size > MAX_BYTES:
            return None
        # The number of decimals of a rounding row is only in its title.
        key = tuple(row.id + row.formula for departures in candidates for row in departures)
        if key not in self.blocks:
            self.blocks[key] = self._compute(candidates)
        block = self.blocks[key]
        excess, difference = np.zeros((2, len(block.findings)))
        for vector in expected.vectors:
            off = self._off(vector, block)
            difference = np.maximum(difference, off.max(axis=1))
            excess = np.maximum(excess, (off / vector.tolerance).max(axis=1))
        return [
            replace(finding, difference=float(far), excess=float(over))
            for finding, far, over in zip(block.findings, difference, excess, strict=True)
        ]

    def numbers(self, finding: Finding, expected: Expected) -> Array | None:
        """Flat numbers of a finding at the positions of the expected; None if not cached."""
        for block in self.blocks.values():
            for place, each in enumerate(block.findings):
                if each.id == finding.id:
                    rows = (block.values[c.run, c.symbol][place, c.t - 1] for c in expected.vectors)
                    return np.concatenate(list(rows))
        return None

    def _off(self, vector: ExpectedVector, block: _Block) -> Array:
        """Absolute difference of each candidate from a vector, `(K, n)`."""
        if (vector.run, vector.symbol) not in block.values:
            return np.full((len(block.findings), len(vector.values)), np.inf)
        off = np.abs(block.values[vector.run, vector.symbol][:, vector.t - 1] - vector.values)
        off[np.isnan(off)] = np.inf
        off[:, np.isnan(vector.values)] = 0.0
        return np.asarray(off)

    def _compute(self, candidates: Sequence[tuple[Mistake, ...]]) -> _Block:
        cache, findings, members = Cache(), [], []
        for departures in candidates:
            finding = Finding(departures, np.inf, np.inf)
            variant = finding.variant(self.right, cache)
            if variant is not None:
                findings.append(finding)
                members.append(variant.member())
        if not members:
            return _Block((), {})
        kept = evaluate_members(members, self.right.layout, keep=self.symbols).values
        return _Block(findings, kept)
