"""A row of the cell's table at one unit, as a tree of scalars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.equations import Apply, Name, Node, Number, evaluate
from lstm_cli.cell.notation import Notation, Style, split, write_row

# If at least this many products have a weight of zero, or a factor of zero, they are just counted.
GATHERED = 3
# How many products of a sum, the largest, are shown one by one; the others are counted and summed.
MOST_TERMS = 8


@dataclass(frozen=True)
class Known:
    """A number; `shown` is its name, "" for a constant or a computed number."""

    value: float
    shown: str = ""


@dataclass(frozen=True)
class Applied:
    """An operator or function applied to numbers."""

    function: str
    arguments: tuple[Scalar, ...]


@dataclass(frozen=True)
class Dot:
    """A row of a matrix times a vector.

    Attributes:
        shown: the product as written in the row: "W_f[2] · [h_{t−1}, x_t]".
        terms: the products that are shown, in order.
        zeros: how many products have a weight of zero.
        idle: how many nonzero weights multiply a zero.
        more: how many other products are not shown.
        rest: the sum of these others.
    """

    shown: str
    terms: tuple[Scalar, ...]
    zeros: int = 0
    idle: int = 0
    more: int = 0
    rest: float = 0.0


@dataclass(frozen=True)
class Textbook:
    """A function's value in textbook form, for display only."""

    tree: Scalar
    value: float


Scalar: TypeAlias = Known | Applied | Dot | Textbook


@dataclass(frozen=True, eq=False)
class RowReader:
    """Reads rows of the table at one unit."""

    known: Mapping[str, Array]
    style: Style
    notation: Notation
    most_terms: int

    def at(self, node: Node, unit: int) -> Scalar:
        """Return the tree of a vector expression at one unit."""
        match node:
            case Number(value):
                return Known(value)
            case Name(name):
                return Known(float(self.known[name][unit]), f"{self.style.name(name)}[{unit}]")
            case Apply("@", (Name(matrix), vector)):
                return self._product(node, self.known[matrix][unit], unit, matrix, vector)
            case Apply("concat", parts):
                return self._part(parts, unit)
            case Apply(function, arguments):
                return Applied(function, tuple(self.at(each, unit) for each in arguments))

    def _part(self, parts: tuple[Node, ...], unit: int) -> Scalar:
        for part in parts:
            size = evaluate(part, self.known).shape[-1]
            if unit < size:
                return self.at(part, unit)
            unit -= size
        raise AssertionError(unit)

    def _product(self, node: Node, row: Array, unit: int, matrix: str, vector: Node) -> Scalar:
        """Return one dot product, or two if the notation gives `h_prev` a separate matrix."""
        halves = split(node) if self.notation == "split" else node
        match halves:
            case Apply("+", (Apply("@", (Name(w), x)), Apply("@", (Name(u), h)))):
                wide = len(row) - self.known["x"].shape[-1]
                return Applied(
                    "+", (self._dot(row[wide:], unit, w, x), self._dot(row[:wide], unit, u, h))
                )
        return self._dot(row, unit, matrix, vector)

    def _dot(self, row: Array, unit: int, matrix: str, vector: Node) -> Dot:
        numbers = evaluate(vector, self.known)
        products = row * numbers
        zero = _gathered((row == 0) & np.isfinite(numbers))
        idle = _gathered((numbers == 0) & np.isfinite(row) & (row != 0))
        places = np.flatnonzero(~(zero | idle))
        # A nan hides every other term, so it counts as the largest.
        size = np.nan_to_num(np.abs(products[places]), nan=np.inf, posinf=np.inf)
        largest = np.sort(places[np.argsort(-size, kind="stable")[: self.most_terms]])
        left = np.setdiff1d(places, largest)
        return Dot(
            write_row(matrix, unit, vector, self.style),
            tuple(Applied("*", (Known(float(row[j])), self.at(vector, int(j)))) for j in largest),
            zeros=int(zero.sum()),
            idle=int(idle.sum()),
            more=len(left),
            rest=float(products[left].sum()),
        )


def _gathered(places: Array) -> Array:
    """Return the places if they are enough to be just counted, else none."""
    return places if places.sum() >= GATHERED else np.zeros_like(places)
