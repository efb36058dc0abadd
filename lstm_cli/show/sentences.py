"""Sentences about what each gate did in a step, from its numbers: in all units, or in one.

What a row does follows from the table (`roles`), never from its letter: what multiplies c_prev in
c keeps it, and 1 minus a value drops it. A row without a clear role has no sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import fixed, significant, with_sign
from lstm_cli.base.records import record
from lstm_cli.cell.cells import LSTM, Cell
from lstm_cli.cell.equations import Name, Node, evaluate, names_in
from lstm_cli.cell.notation import LATEX, UNICODE, Style, write
from lstm_cli.cell.roles import Role, roles_of

Values = Mapping[str, Array]
LONGEST_NAME = 24  # a longer label is a sentence, not a name
DIGITS = 4  # a sentence rounds more than the arithmetic above it

# What a value does with its share of the partner, and what it does as 1 minus the value.
VERBS: Mapping[str, tuple[str, str]] = {
    "keep": ("keeps", "drops"),
    "write": ("lets in", "keeps out"),
    "show": ("shows", "holds back"),
}


def sentences(cell: Cell, values: Values, style: Style = UNICODE) -> list[tuple[str, str]]:
    """Return (name, sentence) for each row of a cell with a role in c or h, then for c and h.

    Args:
        cell: the table.
        values: symbol -> `(n,)` of one step, inputs included. Non-finite units are never named as
            extremes, and a gate without finite units has no sentence. Only a cell state that
            becomes non-finite is reported.
        style: how to write the name of a row without a label.
    """
    said = [
        (name_of(cell, symbol, style), _told(cell, role, values[symbol], values, style))
        for symbol, role in roles_of(cell).items()
        if np.isfinite(values[symbol]).any()
    ]
    said.append((name_of(cell, "c", style), _cell(values)))
    if np.isfinite(values["h"]).any():
        said.append((name_of(cell, "h", style), _hidden(values)))
    return said


def name_of(cell: Cell, symbol: str, style: Style) -> str:
    """Name of a row: its label if short, else its symbol."""
    label = cell[symbol].label
    if label == LSTM["g"].label:
        return "candidate"
    return label if 0 < len(label) <= LONGEST_NAME else style.name(symbol)


def percent(share: float) -> str:
    """Format a fraction as `69 %`, with more digits near 0 and 1; only 1 itself is `100 %`."""
    if 0.005 <= abs(share) < 0.995:
        return f"{fixed(100 * share, 0)} %"
    text = significant(100 * share, 4 if 0.995 <= share < 1.005 else 3)
    return "nearly 100 %" if float(text) == 100 and share != 1 else f"{text} %"


def _extremes(array: Array) -> tuple[int, int]:
    finite = np.where(np.isfinite(array), array, np.nan)
    return int(np.nanargmax(finite)), int(np.nanargmin(finite))


def _shares(verb: str, share: Array, of: str) -> str:
    high, low = _extremes(share)
    if np.all(share == share[high]):
        everywhere = " in every unit" if len(share) > 1 else ""
        return f"{verb} {percent(share[high])} of {of}{everywhere}"
    return f"{verb} the largest share of {of} in unit {high} ({percent(share[high])}), " \
        f"the smallest in unit {low} ({percent(share[low])})"  # fmt: skip


def _told(cell: Cell, role: Role, own: Array, values: Values, style: Style) -> str:
    if role.deed == "propose":
        return _proposes(own, in_words(cell, role.partner, style))
    whole = {"keep": "the old cell state", "show": "the new cell state"}
    of = whole.get(role.deed) or in_words(cell, role.partner, style)
    finite = own[np.isfinite(own)]
    if finite.min() < 0 or finite.max() > 1:
        return _multiplies(1 - own if role.rest else own, of)
    verb = VERBS[role.deed][role.rest]
    text = _shares(verb, own, of)
    if role.deed == "keep" and not np.any(values["c_prev"]):
        text += f"; but that state is zero: there is nothing to {verb.removesuffix('s')} yet"
    return text


def _multiplies(factor: Array, of: str) -> str:
    """Describe a factor outside 0 to 1: a gate without a sigmoid."""
    high, low = _extremes(factor)
    text = f"multiplies {of} by {significant(factor[high], 4)} in unit {high}"
    return text if high == low else f"{text}, by {significant(factor[low], 4)} in unit {low}"


def in_words(cell: Cell, node: Node, style: Style) -> str:
    """Return an expression as it appears in a sentence: "the candidate", "tanh(f_t)"."""
    if isinstance(node, Name) and node.id in cell.symbols:
        name = name_of(cell, node.id, style)
        return name if name == style.name(node.id) else f"the {name}"
    return write(node, style)


def _proposes(own: Array, gate: str) -> str:
    unit, _ = _extremes(np.abs(own))
    if not np.any(own):
        return "proposes nothing: it is zero in every unit"
    way = "up" if own[unit] > 0 else "down"
    by = with_sign(significant(own[unit], 4))
    return f"pushes hardest on unit {unit}: {way}, by {by} before {gate}"


def _cell(values: Values) -> str:
    with np.errstate(invalid="ignore"):  # inf that remains inf has not changed
        change = np.where(values["c"] == values["c_prev"], 0.0, values["c"] - values["c_prev"])
    unit = int(np.argmax(np.abs(change)))
    if not np.any(change):
        return "does not change"
    old, new = (significant(values[name][unit], 4) for name in ("c_prev", "c"))
    return f"changes most in unit {unit}: {old} → {new}"


def _hidden(values: Values) -> str:
    unit, _ = _extremes(np.abs(values["h"]))
    return f"is strongest in unit {unit}: {significant(values['h'][unit], 4)}"


@record
class Teller:
    """Makes the sentences about one unit of one step.

    Attributes:
        cell: the table.
        known: every name that a row may use -> its array; vectors are `(n,)`.
        unit: the unit, from 0.
        style: how numbers and names are written; in LaTeX they are put between dollar signs.
    """

    cell: Cell
    known: Mapping[str, Array]
    unit: int
    style: Style

    def say(self, symbol: str) -> str:
        """Return the sentence about a row; "" if there is none or a number is not finite."""
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
        """Say what a factor does to its partner or, for 1 minus a factor, what it takes away."""
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
        """Name the value of which a share is taken, with its number."""
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
        """Return `keeps 69 % of …, that is …`, or a product if the factor is outside 0 to 1."""
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
        from lstm_cli.show.arithmetic import Hand  # not needed for a plain table

        return self._math(Hand(self.style, DIGITS).number(value)[0])

    def _percent(self, share: float) -> str:
        return percent(share).replace("%", r"\%" if self.style is LATEX else "%")

    def _math(self, text: str) -> str:
        return f"${text}$" if self.style is LATEX else text
