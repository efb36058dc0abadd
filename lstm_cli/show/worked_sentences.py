"""What each gate does to one unit, in a sentence made from its numbers.

Said only where the cell's own table has the product that the sentence is about (`roles`),
whatever the row's letter: what multiplies `c_prev` in c keeps, 1 less a value drops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Node, evaluate, names_in
from lstm_cli.cell.notation import LATEX, Style
from lstm_cli.cell.roles import Role, roles_of
from lstm_cli.show.hand import Hand
from lstm_cli.show.sentences import VERBS, in_words, percent

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
        if symbol not in self.cell.symbols or not self._has(symbol):
            return ""
        with np.errstate(all="ignore"):
            if symbol == "c":
                return self._moves()
            if symbol == "h":
                return self._leaves()
            role = roles_of(self.cell).get(symbol)
            if role is None:
                return ""
            return self._proposes(symbol) if role.deed == "propose" else self._scales(symbol, role)

    def _has(self, name: str) -> bool:
        vector = self.known[name]
        return self.unit < len(vector) and math.isfinite(vector[self.unit])

    def _scales(self, symbol: str, role: Role) -> str:
        """Say what a factor does to its partner; of 1 less a factor, what it takes away."""
        verb = (
            "writes" if (role.deed, role.rest) == ("write", False) else VERBS[role.deed][role.rest]
        )
        value, share = self._value(role.partner), self._at(symbol)
        if math.isnan(value) or (role.rest and not 0 <= share <= 1):
            return ""
        if role.deed == "keep" and value == 0:
            bare = verb.removesuffix("s")
            return (f"would {bare} {self._percent(share)}, but the old state is 0: "
                    f"nothing to {bare}")  # fmt: skip
        tail = f", before {self._math(self.style.name(role.mixed))} mixes the units"
        return self._part(verb, share, self._whole(role, value), value) + tail * bool(role.mixed)

    def _whole(self, role: Role, value: float) -> str:
        """Name what a share is taken of, with its number."""
        number = self._number(value)
        if role.deed == "keep":
            return f"the old {number}"
        words = in_words(self.cell, role.partner, self.style)
        if words.startswith("the "):
            return f"{words} {number}"
        return f"{self._math(words)} = {number}"

    def _proposes(self, symbol: str) -> str:
        value = self._at(symbol)
        if value == 0:
            return "proposes nothing: it is 0"
        way = "up" if value > 0 else "down"
        return f"pushes {way}, by {self._number(abs(value))} if all of it is let in"

    def _moves(self) -> str:
        if "c_prev" not in self.known or not self._has("c_prev"):
            return ""
        old, new = self._at("c_prev"), self._at("c")
        if old == new:
            return f"stays at {self._number(new)}"
        way = "rises" if new > old else "falls"
        return f"{way} from {self._number(old)} to {self._number(new)}"

    def _leaves(self) -> str:
        read = any("h_prev" in names_in(row.expression) for row in self.cell.equations)
        return f"{self._number(self._at('h'))} goes out" + ", and in again at the next step" * read

    def _part(self, verb: str, share: float, what: str, value: float) -> str:
        """Return `keeps 69 % of …, that is …`; a factor that is no share multiplies."""
        result = f", that is {self._number(share * value)}"
        if not 0 <= share <= 1:
            return f"{verb} {what} times {self._number(share)}{result}"
        return f"{verb} {self._percent(share)} of {what}{result}"

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
