"""One sentence a gate on what it did in this step, from its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lstm_cli.equations import Array

Values = Mapping[str, Array]


def sentences(values: Values) -> list[tuple[str, str]]:
    """Return (name, sentence) for each of f, i, g, o, c, h that a cell has.

    Args:
        values: symbol -> `(n,)` of one step, inputs included.
    """
    return [(name, say(values)) for symbol, name, say in _SENTENCES if symbol in values]


def percent(share: float) -> str:
    """Return a share as `69 %`; near 0 and 100 with three digits."""
    return f"{100 * share:.0f} %" if 0.005 <= abs(share) < 0.995 else f"{100 * share:.3g} %"


def _extremes(array: Array) -> tuple[int, int]:
    return int(np.argmax(array)), int(np.argmin(array))


def _range(share: Array, most: str, least: str) -> str:
    high, low = _extremes(share)
    if share[high] == share[low]:
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
    unit = int(np.argmax(np.abs(g)))
    if not np.any(g):
        return "proposes nothing: it is zero in every unit"
    way = "up" if g[unit] > 0 else "down"
    return f"pushes hardest on unit {unit}: {way}, by {g[unit]:+.4g} before the input gate"


def _output(values: Values) -> str:
    return "of the new cell state, shows " + _range(values["o"], "most", "least")


def _cell(values: Values) -> str:
    change = values["c"] - values["c_prev"]
    unit = int(np.argmax(np.abs(change)))
    if not np.any(change):
        return "does not change"
    return f"changes most in unit {unit}: {values['c_prev'][unit]:.4g} → {values['c'][unit]:.4g}"


def _hidden(values: Values) -> str:
    unit = int(np.argmax(np.abs(values["h"])))
    return f"is strongest in unit {unit}: {values['h'][unit]:.4g}"


_SENTENCES: tuple[tuple[str, str, Callable[[Values], str]], ...] = (
    ("f", "forget gate", _forget),
    ("i", "input gate", _input),
    ("g", "candidate", _candidate),
    ("o", "output gate", _output),
    ("c", "cell state", _cell),
    ("h", "hidden state", _hidden),
)
