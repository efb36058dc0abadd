"""Fusion of `U @ h_prev + (W @ x + b)` into one product with `[h_prev, x, 1]`.

This is the joined form of the literature: with many samples one large product is faster than two
and a sum, and its result goes straight into the trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.engine.plan import Entry, Operation, Piece, Plan, Product, Stage


@dataclass(frozen=True)
class ProductRow:
    """Some rows of a fused product: `out = state @ h_prev + given @ x + constant`."""

    state: Piece
    given: Piece
    constant: int | None
    out: int


@dataclass(frozen=True)
class FusedProduct:
    """A product with `[h_prev, x, 1]`, with all its rows stacked."""

    vector: int
    pieces: tuple[ProductRow, ...]


def fused_matrix(
    fused: FusedProduct, arrays: Mapping[str, Array], constants: Mapping[int, Array]
) -> Array:
    """Return `(rows, P + I + 1)`: columns that multiply h_prev, x, and 1."""
    return np.concatenate([_row(row, arrays, constants) for row in fused.pieces])


def _row(row: ProductRow, arrays: Mapping[str, Array], constants: Mapping[int, Array]) -> Array:
    state, given = (
        arrays[each.parameter][:, each.begin : each.end] for each in (row.state, row.given)
    )
    # These zeros multiply only the row of ones, never a user's number.
    added = np.zeros(len(state)) if row.constant is None else constants[row.constant]
    return np.concatenate([state, given, added[:, None]], axis=1)


def fused_entries(plan: Plan) -> tuple[Entry | FusedProduct, ...]:
    """Return the entries of inputs and steps in one program, fused where possible."""
    search = _SumSearch(plan, (*plan.inputs, *plan.steps))
    for entry in plan.steps:
        if isinstance(entry, Product) and entry.vector == plan.rows["h_prev"]:
            rows = [search.row(piece) for piece in entry.pieces]
            found = tuple(row for row in rows if row is not None)
            if len(found) == len(rows):
                return search.without(entry, FusedProduct(entry.vector, found))
    return search.entries


@dataclass
class _SumSearch:
    """Finds the sums that contain a product with h_prev."""

    plan: Plan
    entries: tuple[Entry, ...]
    gone: set[int] = field(default_factory=set)

    def row(self, piece: Piece) -> ProductRow | None:
        """Return the row that a piece becomes; None if its value is needed on its own."""
        first = total = self._only_reader(piece.out)
        if first is None or first.function != "+" or first.arguments[0] != piece.out:
            return None
        base, constant = first.arguments[1], None
        inner = self._maker(base)
        self.gone |= {piece.out, first.out}
        if isinstance(inner, Operation):
            if not self._adds_a_constant(inner) or self._only_reader(base) is not total:
                return None
            self.gone.add(inner.out)
            total, (base, constant) = inner, (inner.arguments[0], inner.arguments[1])
        given = self._given(base)
        if given is None or self._only_reader(base) is not total:
            return None
        self.gone.add(base)
        return ProductRow(piece, given, constant, first.out)

    def without(self, product: Product, fused: FusedProduct) -> tuple[Entry | FusedProduct, ...]:
        """Return the entries with the fused product replacing everything it computes."""
        return tuple(each for entry in self.entries for each in self._kept(entry, product, fused))

    def _kept(
        self, entry: Entry, product: Product, fused: FusedProduct
    ) -> tuple[Entry | FusedProduct, ...]:
        if entry is product:
            return (fused,)
        if isinstance(entry, Operation):
            return () if entry.out in self.gone else (entry,)
        pieces = tuple(piece for piece in entry.pieces if piece.out not in self.gone)
        return (Product(entry.vector, pieces),) if pieces else ()

    def _only_reader(self, value: int) -> Operation | None:
        """Return the only operation that reads a value; None if anything else needs it."""
        if value in self.plan.rows.values():
            return None
        readers = [
            each for each in self.entries
            if value in (each.arguments if isinstance(each, Operation) else (each.vector,))
        ]  # fmt: skip
        only = readers[0] if len(readers) == 1 else None
        return only if isinstance(only, Operation) else None

    def _maker(self, value: int) -> Entry | None:
        for each in self.entries:
            made = (each.out,) if isinstance(each, Operation) else [p.out for p in each.pieces]
            if value in made:
                return each
        return None

    def _adds_a_constant(self, operation: Operation) -> bool:
        added = self.plan.values[operation.arguments[-1]]
        return operation.function == "+" and added.stage == Stage.ONCE and added.number is None

    def _given(self, value: int) -> Piece | None:
        """Return the piece of a product with x that computes a value."""
        maker = self._maker(value)
        if not isinstance(maker, Product) or maker.vector != self.plan.rows["x"]:
            return None
        return next(piece for piece in maker.pieces if piece.out == value)
