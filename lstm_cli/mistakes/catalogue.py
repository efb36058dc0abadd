"""The catalogue of mistakes: rows of data, each with the change that reproduces its numbers.

They were found in published code, framework issues and questions. A row is an edit of the cell's
table, the weights, the states or the sequence; nothing here searches or prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from lstm_cli.base.errors import UsageError, suggest
from lstm_cli.cell.cells import Cell, cell_named, with_clip, with_forget_bias
from lstm_cli.cell.equations import Equation, Node
from lstm_cli.cell.notation import PLAIN, Style, write_equation
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.formats.conventions import CONVENTIONS
from lstm_cli.mistakes import equations as tables
from lstm_cli.mistakes import states
from lstm_cli.mistakes import weights as weights_
from lstm_cli.mistakes.variant_run import Cache, Change, Mistake, VariantRun, variant_of
from lstm_cli.mistakes.weights import convention_mistakes

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
    for row in (*weights_.ORDERS, *tables.ROWS, *weights_.ROWS, *states.ROWS, UNITS_PERMUTED,
                states.DIGITS_CUT)
}  # fmt: skip


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
            rows += [_only_in(where, row, partial(_only_run, row.change, number)) for row in local]
    return rows


def _only_in(where: str, row: Mistake, change: Change) -> Mistake:
    """Restrict a row to a gate, a layer or a direction."""
    part = where.removeprefix("gate ").replace(" ", "-")
    return replace(row, id=f"{row.id}-{part}", title=f"in {where} only: {row.title}",
                   change=change, tier=2, options="")  # fmt: skip


def _only_gate(change: Change, gate: str, variant: VariantRun, cache: Cache) -> VariantRun | None:
    """Change the rows and weights of one gate; None if the gate does not change."""
    changed = change(variant, cache)
    if changed is None or any(f"W_{gate}" not in own.arrays for own in variant.weights):
        return None
    cells = tuple(
        cache.get((change, gate), partial(_only_rows, (gate, f"z_{gate}")), *pair)
        for pair in zip(variant.cells, changed.cells, strict=True)
    )
    weights = tuple(
        before if before is after else before.with_arrays(
            {name: after.arrays[name] for name in (f"W_{gate}", f"b_{gate}")
             if name in after.arrays}
        )
        for before, after in zip(variant.weights, changed.weights, strict=True)
    )  # fmt: skip
    if cells == variant.cells and weights == variant.weights:  # the same objects
        return None
    return replace(variant, cells=cells, weights=weights)


def _only_rows(symbols: tuple[str, ...], before: Cell, after: Cell) -> Cell:
    rows: dict[str, str | Node] = {
        symbol: after[symbol].expression
        for symbol in symbols
        if symbol in before.symbols and before[symbol].expression != after[symbol].expression
    }
    if not rows:
        return before
    return before.edit(rows, name=before.name, title=before.title, keep_all=True)


def _only_run(change: Change, here: int, variant: VariantRun, cache: Cache) -> VariantRun | None:
    """Change one layer and direction."""
    changed = change(variant, cache)
    if changed is None or changed.rounding is not variant.rounding:
        return None
    cells, weights = list(variant.cells), list(variant.weights)
    cells[here], weights[here] = changed.cells[here], changed.weights[here]
    return replace(variant, cells=tuple(cells), weights=tuple(weights))


# Mistakes that are also tried in a single gate.
_ALSO_IN_ONE_GATE = (
    "bias-outside", "no-weights", "hard-sigmoid", "hard-sigmoid-6", "tanh-gates", "linear-gates",
    "swapped-concatenation", "product-of-projections", "u-ignored", "x-ignored", "no-bias",
    "bias-twice", "recurrent-bias-forgotten", "u-transposed", "w-transposed",
)  # fmt: skip
IN_ONE_GATE = tuple(
    _only_in(f"gate {k}", row, partial(_only_gate, row.change, k))
    for row in map(MISTAKES.__getitem__, _ALSO_IN_ONE_GATE)
    for k in "figo"
)

# ---- by id

_IN_ONE_RUN = re.compile(r"(?P<id>.+)-(?P<where>layer-\d{1,4}-(forward|backward))")


def rows_named(name: str) -> tuple[Mistake, ...]:
    """Return the row for an id as `diagnose` prints it, or two rows for a pair, `id+id`.

    Raises:
        UsageError: no mistake has that id; the hint suggests the closest one.
    """
    return tuple(map(_row_named, name.split("+")))


def _row_named(name: str) -> Mistake:
    match = _IN_ONE_RUN.fullmatch(name)
    whole = match["id"] if match else name
    made = () if match else _made(name)
    row = next((each for each in (*MISTAKES.values(), *made) if each.id == whole), None)
    if row is None:
        raise UsageError(f"no mistake '{whole}'", where="ID", hint=suggest(whole, MISTAKES))
    return _only_in(match["where"].replace("-", " "), row, row.change) if match else row


def _made(name: str) -> Iterator[Mistake]:
    """Yield the rows that a search generates on demand."""
    yield from IN_ONE_GATE
    yield replace(
        states.rounding_to_decimals(4),
        title="every intermediate number is rounded to a few decimals",
        formula="every value rounded to the number of decimals shown",
    )
    source = name.partition("-as-")[0]  # a convention's weights read as another's
    if source in CONVENTIONS:
        yield from convention_mistakes(source)


# ---- what a row computes, as text derived from its edit, so that it is written only once


class Correction(NamedTuple):
    """One row of the table as it should be, and as it was computed."""

    symbol: str
    right: str
    theirs: str


def rows_changed(own: Cell, other: Cell, style: Style = PLAIN) -> list[Correction]:
    """Return each row in which two cells differ, with both equations."""

    def written(row: Equation) -> str:
        return " = ".join(write_equation(row, style))

    pairs = [(row, other[row.symbol]) for row in own.equations if row.symbol in other.symbols]
    return [Correction(row.symbol, written(row), written(theirs)) for row, theirs in pairs
            if theirs.expression != row.expression]  # fmt: skip


def formula_of(row: Mistake) -> list[str]:
    """Describe what a mistake computes: the rows it changes, or its own formula."""
    if row.formula:
        return [row.formula]
    lstm = cell_named("lstm")
    variants = map(cell_named, ("peephole", "hard-sigmoid", "hard-sigmoid-6"))
    for cell in (lstm, *variants, with_forget_bias(lstm, 1), with_clip(lstm, 1)):
        changed = row.change(_small(cell), Cache())
        if changed is not None and changed.cells[0] is not cell:
            return [each.theirs for each in rows_changed(cell, changed.cells[0])]
    return []


def _small(cell: Cell) -> VariantRun:
    """Build a run of two units, enough for a change to show in the table."""
    arrays = {
        name: np.zeros([2 * len(size) for size in shape]) for name, shape in cell.parameters.items()
    }
    return variant_of(Model.single(LstmWeights(cell, arrays)), np.zeros((1, 2)))
