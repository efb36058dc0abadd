"""One sentence a gate on what it did in this step, from its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lstm_cli.equations import Array

Values = Mapping[str, Array]


def sentences(values: Values) -> list[tuple[str, str]]:
    """Return (name, sentence) for each of f, i, g, o, c, h that a cell has.

    Args:
        values: symbol -> `(n,)` of one step, inputs included. Units that are not finite are the
            most of nothing; a gate of such units alone has no sentence. Only a cell state that
            becomes such is told of.
    """
    return [
        (name, say(values))
        for symbol, name, say in _SENTENCES
        if symbol in values and (symbol == "c" or np.isfinite(values[symbol]).any())
    ]


def percent(share: float) -> str:
    """Return a share as `69 %`, with more digits near 0 and 1; only 1 itself is `100 %`."""
    if 0.005 <= abs(share) < 0.995:
        return f"{100 * share:.0f} %"
    text = f"{100 * share:.4g} %" if 0.995 <= share < 1.005 else f"{100 * share:.3g} %"
    return f"nearly {text}" if text == "100 %" and share != 1 else text


def _extremes(array: Array) -> tuple[int, int]:
    finite = np.where(np.isfinite(array), array, np.nan)
    return int(np.nanargmax(finite)), int(np.nanargmin(finite))


def _range(share: Array, most: str, least: str) -> str:
    high, low = _extremes(share)
    if np.all(share == share[high]):
        return f"{percent(share[high])} in every unit" if len(share) > 1 else percent(share[high])
    return f"{most} in unit {high} ({percent(share[high])}), {least} in unit {low} " \
        f"({percent(share[low])})"  # fmt: skip


def _forget(values: Values) -> str:
    text = "of the old cell state, keeps " + _range(values["f"], "most", "least")
    empty = not np.any(values["c_prev"])
    return text + ("; but that state is zero: there is nothing to keep yet" if empty else "")


def _input(values: Values) -> str:
    return "of the candidate, lets in " + _range(values["i"], "most", "least")


def _candidate(values: Values) -> str:
    g = values["g"]
    unit, _ = _extremes(np.abs(g))
    if not np.any(g):
        return "proposes nothing: it is zero in every unit"
    way = "up" if g[unit] > 0 else "down"
    return f"pushes hardest on unit {unit}: {way}, by {g[unit]:+.4g} before the input gate"


def _output(values: Values) -> str:
    return "of the new cell state, shows " + _range(values["o"], "most", "least")


def _cell(values: Values) -> str:
    with np.errstate(invalid="ignore"):  # inf that stays inf has not changed
        change = np.where(values["c"] == values["c_prev"], 0.0, values["c"] - values["c_prev"])
    unit = int(np.argmax(np.abs(change)))
    if not np.any(change):
        return "does not change"
    return f"changes most in unit {unit}: {values['c_prev'][unit]:.4g} → {values['c'][unit]:.4g}"


def _hidden(values: Values) -> str:
    unit, _ = _extremes(np.abs(values["h"]))
    return f"is strongest in unit {unit}: {values['h'][unit]:.4g}"


_SENTENCES: tuple[tuple[str, str, Callable[[Values], str]], ...] = (
    ("f", "forget gate", _forget),
    ("i", "input gate", _input),
    ("g", "candidate", _candidate),
    ("o", "output gate", _output),
    ("c", "cell state", _cell),
    ("h", "hidden state", _hidden),
)
