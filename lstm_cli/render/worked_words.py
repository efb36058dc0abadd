"""What each gate does to one unit, in a sentence made from its numbers.

Said only where the cell's own table has the product that the sentence is about: `f * c_prev` for
"keeps", `i * …` in c for "writes", `o * …` in h for "shows".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lstm_cli.cells import Cell
from lstm_cli.equations import Apply, Array, Name, Node, evaluate
from lstm_cli.notation import LATEX, Style, write
from lstm_cli.render.words import percent
from lstm_cli.working.hand import Hand

DIGITS = 4  # a sentence rounds more than the arithmetic above it


@dataclass(frozen=True, eq=False)
class Teller:
    """Makes the sentences on one unit of one step.

    Attributes:
        cell: the table.
        known: every name that a row may use -> its array; vectors `(n,)`.
        unit: the unit, from 0.
        style: how numbers and names are written; in LaTeX they stand between dollar signs.
    """

    cell: Cell
    known: Mapping[str, Array]
    unit: int
    style: Style

    def say(self, symbol: str) -> str:
        """Return the sentence on a row, "" where there is none or a number is not finite."""
        makers = {"f": self._keeps, "i": self._writes, "g": self._pushes, "o": self._shows,
                  "c": self._moves, "h": self._leaves}  # fmt: skip
        maker = makers.get(symbol)
        if maker is None or symbol not in self.cell.symbols or not self._has(symbol):
            return ""
        with np.errstate(all="ignore"):
            return maker() or ""

    def _has(self, name: str) -> bool:
        vector = self.known[name]
        return self.unit < len(vector) and math.isfinite(vector[self.unit])

    def _keeps(self) -> str | None:
        partner, _ = self._partner("f", "c")
        if partner != Name("c_prev") or not self._has("c_prev"):
            return None
        old, share = self._at("c_prev"), self._at("f")
        if old == 0:
            return f"would keep {self._percent(share)}, but the old state is 0: nothing to keep"
        return self._part("keeps", share, f"the old {self._number(old)}", old)

    def _writes(self) -> str | None:
        partner, _ = self._partner("i", "c")
        if partner is None:
            return None
        value = self._value(partner)
        what = f"{self._math(write(partner, self.style))} = {self._number(value)}"
        if partner == Name("g"):
            what = f"the candidate {self._number(value)}"
        return self._part("writes", self._at("i"), what, value)

    def _pushes(self) -> str | None:
        partner, _ = self._partner("g", "c")
        value = self._at("g")
        if partner is None:
            return None
        if value == 0:
            return "proposes nothing: it is 0"
        way = "up" if value > 0 else "down"
        return f"pushes {way}, by {self._number(abs(value))} if all of it is let in"

    def _shows(self) -> str | None:
        partner, mixed = self._partner("o", "h")
        if partner is None:
            return None
        value = self._value(partner)
        what = f"{self._math(write(partner, self.style))} = {self._number(value)}"
        tail = f", before {self._math(self.style.name(mixed))} mixes the units" if mixed else ""
        return self._part("shows", self._at("o"), what, value) + tail

    def _moves(self) -> str | None:
        if "c_prev" not in self.known or not self._has("c_prev"):
            return None
        old, new = self._at("c_prev"), self._at("c")
        if old == new:
            return f"stays at {self._number(new)}"
        way = "rises" if new > old else "falls"
        return f"{way} from {self._number(old)} to {self._number(new)}"

    def _leaves(self) -> str:
        return f"{self._number(self._at('h'))} goes out, and in again at the next step"

    def _part(self, verb: str, share: float, what: str, value: float) -> str:
        """Return `keeps 69 % of …, that is …`; a factor that is no share multiplies."""
        if math.isnan(value):
            return ""
        result = f", that is {self._number(share * value)}"
        if not 0 <= share <= 1:
            return f"{verb} {what} times {self._number(share)}{result}"
        return f"{verb} {self._percent(share)} of {what}{result}"

    def _partner(self, symbol: str, row: str) -> tuple[Node | None, str]:
        """Return what a row multiplies a symbol with, and the matrix that then mixes the units."""
        pairs = list(_partners(self.cell[row].expression, Name(symbol), ""))
        return pairs[0] if len(pairs) == 1 else (None, "")

    def _value(self, node: Node) -> float:
        vector = np.atleast_1d(evaluate(node, self.known))
        return float(vector[self.unit if len(vector) > 1 else 0])

    def _at(self, name: str) -> float:
        return float(self.known[name][self.unit])

    def _number(self, value: float) -> str:
        return self._math(Hand(self.style, DIGITS).number(value)[0])

    def _percent(self, share: float) -> str:
        return percent(share).replace("%", r"\%" if self.style is LATEX else "%")

    def _math(self, text: str) -> str:
        return f"${text}$" if self.style is LATEX else text


def _partners(node: Node, wanted: Name, mixed: str) -> Iterator[tuple[Node, str]]:
    match node:
        case Apply("*", (one, other)) if wanted in (one, other):
            yield (other if one == wanted else one), mixed
        case Apply("@", (Name(matrix), vector)):
            yield from _partners(vector, wanted, matrix)
        case Apply(_, parts):
            for part in parts:
                yield from _partners(part, wanted, mixed)
