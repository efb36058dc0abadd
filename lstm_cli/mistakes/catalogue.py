"""The catalogue of mistakes: rows of data, each with the change that reproduces its numbers.

They were found in published code, framework issues and questions. A row is an edit of the cell's
table, the weights, the states or the sequence; nothing here searches or prints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lstm_cli.base.errors import UsageError, suggest
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Node
from lstm_cli.mistakes import equations as tables
from lstm_cli.mistakes import states
from lstm_cli.mistakes import weights as weights_
from lstm_cli.mistakes.row import Mistake
from lstm_cli.mistakes.variant_run import Cache, Change, VariantRun

UNITS_PERMUTED = Mistake(
    "units-permuted", "the hidden units are in a different order",
    lambda variant, cache: None,
    "Every number is present, but under another unit; the network computes the same.",
    "Units have no inherent order: a converter, a sort or pruning moved them.",
    "put both sides in the same order before comparing",
    "permutation of hidden units", formula="h[j] = h[π(j)] for one π at every step",
    kind="order", tier=2,
)  # fmt: skip

# In order of preference, for when several explain the same numbers.
MISTAKES: dict[str, Mistake] = {
    row.id: row
    for row in (
        *weights_.ORDERS,
        *tables.ROWS,
        *weights_.ROWS,
        *states.ROWS,
        UNITS_PERMUTED,
        states.DIGITS_CUT,
    )
}


def mistake_named(name: str) -> Mistake:
    """Look up a mistake by its id.

    Raises:
        UsageError: no mistake has that id; the hint suggests the closest one.
    """
    if name not in MISTAKES:
        raise UsageError(f"no mistake '{name}'", where="ID", hint=suggest(name, MISTAKES))
    return MISTAKES[name]


def primary_mistakes() -> list[Mistake]:
    """Mistakes that are tried first, alone and in pairs."""
    return [row for row in MISTAKES.values() if row.tier == 1]


def secondary_mistakes(variant: VariantRun) -> list[Mistake]:
    """Mistakes that are tried if nothing else fits: those in a single gate or a single layer."""
    rows = list(IN_ONE_GATE)
    if len(variant.layout) > 1:
        local = [row for row in primary_mistakes() if row.kind not in ("states", "sequence")]
        for number, (level, direction) in enumerate(variant.layout):
            where = f"layer {level} {direction}"
            rows += [_in_run(row, number, where) for row in local]
    return rows


def _in_gate(row: Mistake, k: str) -> Mistake:
    return replace(row, id=f"{row.id}-{k}", title=f"in gate {k} only: {row.title}",
                   change=OnlyGate(row.change, k), tier=2, options="")  # fmt: skip


def _in_run(row: Mistake, number: int, where: str) -> Mistake:
    return replace(row, id=f"{row.id}-{where.replace(' ', '-')}",
                   title=f"in {where} only: {row.title}",
                   change=OnlyRun(row.change, number), tier=2, options="")  # fmt: skip


@dataclass(frozen=True, eq=False)
class OnlyGate:
    """A change restricted to the rows and weights of one gate."""

    change: Change
    gate: str

    def __call__(self, variant: VariantRun, cache: Cache) -> VariantRun | None:
        """Return the variant changed in that gate; None if the gate does not change."""
        changed = self.change(variant, cache)
        if changed is None or any(f"W_{self.gate}" not in own.arrays for own in variant.weights):
            return None
        cells = tuple(
            cache.get(self, self._cell, a, b)
            for a, b in zip(variant.cells, changed.cells, strict=True)
        )
        weights = tuple(
            before if before is after else before.with_arrays(
                {name: after.arrays[name] for name in (f"W_{self.gate}", f"b_{self.gate}")
                 if name in after.arrays}
            )
            for before, after in zip(variant.weights, changed.weights, strict=True)
        )  # fmt: skip
        if cells == variant.cells and weights == variant.weights:  # the same objects
            return None
        return replace(variant, cells=cells, weights=weights)

    def _cell(self, before: Cell, after: Cell) -> Cell:
        rows: dict[str, str | Node] = {
            symbol: after[symbol].expression
            for symbol in (self.gate, f"z_{self.gate}")
            if symbol in before.symbols and before[symbol].expression != after[symbol].expression
        }
        if not rows:
            return before
        return before.edit(rows, name=before.name, title=before.title, keep_all=True)


@dataclass(frozen=True, eq=False)
class OnlyRun:
    """A change restricted to one layer and direction."""

    change: Change
    number: int

    def __call__(self, variant: VariantRun, cache: Cache) -> VariantRun | None:
        """Return the variant changed there."""
        changed = self.change(variant, cache)
        if changed is None or changed.rounding is not variant.rounding:
            return None
        here = self.number
        cells, weights = list(variant.cells), list(variant.weights)
        cells[here], weights[here] = changed.cells[here], changed.weights[here]
        return replace(variant, cells=tuple(cells), weights=tuple(weights))


# Mistakes that are also tried in a single gate.
_ALSO_IN_ONE_GATE = (
    "bias-outside", "no-weights", "hard-sigmoid", "hard-sigmoid-6", "tanh-gates", "linear-gates",
    "swapped-concatenation", "product-of-projections", "u-ignored", "x-ignored", "no-bias",
    "bias-twice", "recurrent-bias-forgotten", "u-transposed", "w-transposed",
)  # fmt: skip
IN_ONE_GATE = tuple(_in_gate(MISTAKES[name], k) for name in _ALSO_IN_ONE_GATE for k in "figo")
