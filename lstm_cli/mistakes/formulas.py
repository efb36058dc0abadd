"""What a mistake computes, as text derived from its edit, so that it is written only once."""

from __future__ import annotations

import numpy as np

from lstm_cli.cell.cells import Cell, cell_named, with_clip, with_forget_bias
from lstm_cli.cell.notation import PLAIN, Style, write_equation
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.mistakes.row import Mistake
from lstm_cli.mistakes.variant_run import Cache, VariantRun, variant_of


def rows_changed(own: Cell, other: Cell, style: Style = PLAIN) -> list[tuple[str, str, str]]:
    """Return (symbol, own equation, other equation) for each row in which two cells differ."""
    return [
        (
            row.symbol,
            " = ".join(write_equation(row, style)),
            " = ".join(write_equation(other[row.symbol], style)),
        )
        for row in own.equations
        if row.symbol in other.symbols and other[row.symbol].expression != row.expression
    ]


def formula_of(row: Mistake) -> list[str]:
    """Describe what a mistake computes: the rows it changes, or its own formula."""
    if row.formula:
        return [row.formula]
    for cell in _bases():
        variant = _small(cell)
        changed = row.change(variant, Cache())
        if changed is not None and changed.cells[0] is not cell:
            return [theirs for _, _, theirs in rows_changed(cell, changed.cells[0])]
    return []


def _bases() -> list[Cell]:
    lstm = cell_named("lstm")
    names = ("peephole", "hard-sigmoid", "hard-sigmoid-6")
    return [lstm, *map(cell_named, names), with_forget_bias(lstm, 1), with_clip(lstm, 1)]


def _small(cell: Cell) -> VariantRun:
    """Build a run of two units, enough for a change to show in the table."""
    arrays = {
        name: np.zeros([2 * len(size) for size in shape]) for name, shape in cell.parameters.items()
    }
    return variant_of(Model.single(LstmWeights(cell, arrays)), np.zeros((1, 2)))
