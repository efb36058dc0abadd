"""One sentence a gate on what it did in this step, from its own numbers.

What a row does is read off the table (`roles`), never off its letter; a row whose part
is not plain has no sentence.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import fixed, significant, with_sign
from lstm_cli.cell.cells import LSTM, Cell
from lstm_cli.cell.equations import Name, Node
from lstm_cli.cell.notation import UNICODE, Style, write
from lstm_cli.cell.roles import Role, roles_of

Values = Mapping[str, Array]
LONGEST_NAME = 24  # a label that is a sentence is no name

# What a value does with its share of the partner, and what 1 less the value leaves undone.
VERBS: Mapping[str, tuple[str, str]] = {
    "keep": ("keeps", "drops"),
    "write": ("lets in", "keeps out"),
    "show": ("shows", "holds back"),
}


def sentences(cell: Cell, values: Values, style: Style = UNICODE) -> list[tuple[str, str]]:
    """Return (name, sentence) for each row of a cell that has a part in c or h, then for c and h.

    Args:
        cell: the table.
        values: symbol -> `(n,)` of one step, inputs included. Units that are not finite are the
            most of nothing; a gate of such units alone has no sentence. Only a cell state that
            becomes such is told of.
        style: how a row without a label is named.
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
    """Name of a row: its label where that is short, else its symbol."""
    label = cell[symbol].label
    if label == LSTM["g"].label:
        return "candidate"
    return label if 0 < len(label) <= LONGEST_NAME else style.name(symbol)


def percent(share: float) -> str:
    """Return a share as `69 %`, with more digits near 0 and 1; only 1 itself is `100 %`."""
    if 0.005 <= abs(share) < 0.995:
        return f"{fixed(100 * share, 0)} %"
    text = significant(100 * share, 4 if 0.995 <= share < 1.005 else 3)
    return "nearly 100 %" if float(text) == 100 and share != 1 else f"{text} %"


def _extremes(array: Array) -> tuple[int, int]:
    finite = np.where(np.isfinite(array), array, np.nan)
    return int(np.nanargmax(finite)), int(np.nanargmin(finite))


def _range(share: Array, most: str, least: str) -> str:
    high, low = _extremes(share)
    if np.all(share == share[high]):
        return f"{percent(share[high])} in every unit" if len(share) > 1 else percent(share[high])
    return f"{most} in unit {high} ({percent(share[high])}), {least} in unit {low} " \
        f"({percent(share[low])})"  # fmt: skip


def _told(cell: Cell, role: Role, own: Array, values: Values, style: Style) -> str:
    if role.deed == "propose":
        return _proposes(own, in_words(cell, role.partner, style))
    whole = {"keep": "the old cell state", "show": "the new cell state"}
    of = whole.get(role.deed) or in_words(cell, role.partner, style)
    verb = VERBS[role.deed][role.rest]
    text = f"of {of}, {verb} " + _range(own, "most", "least")
    if role.deed == "keep" and not np.any(values["c_prev"]):
        text += f"; but that state is zero: there is nothing to {verb.removesuffix('s')} yet"
    return text


def in_words(cell: Cell, node: Node, style: Style) -> str:
    """Return an expression as a sentence has it: "the candidate", "tanh(f_t)"."""
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
    with np.errstate(invalid="ignore"):  # inf that stays inf has not changed
        change = np.where(values["c"] == values["c_prev"], 0.0, values["c"] - values["c_prev"])
    unit = int(np.argmax(np.abs(change)))
    if not np.any(change):
        return "does not change"
    old, new = (significant(values[name][unit], 4) for name in ("c_prev", "c"))
    return f"changes most in unit {unit}: {old} → {new}"


def _hidden(values: Values) -> str:
    unit, _ = _extremes(np.abs(values["h"]))
    return f"is strongest in unit {unit}: {significant(values['h'][unit], 4)}"
