"""One number of a step, worked out as on paper: the row, its numbers put in, stage by stage.

A row of the cell's table is read at one unit. There it is a tree of scalars: a name is one number,
`W @ v` is the sum of the products of one row of W, `[a, b]` is the part that the unit falls in.
That tree is written with its names, then with its numbers, and then reduced a stage at a time until
one number is left. Nothing here knows an equation: any table of the grammar is worked out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import UsageError, safe, suggest
from lstm_cli.cell.equations import Node
from lstm_cli.cell.notation import UNICODE, Notation, Style
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace, rounded
from lstm_cli.show.hand import Hand
from lstm_cli.show.reducing import reduced
from lstm_cli.show.scalars import MOST_TERMS, Known, RowReader


@dataclass(frozen=True)
class Working:
    """One number of a step, worked out.

    Attributes:
        symbol: the row's symbol, or an input's: "f", "c_prev".
        unit: which of its numbers, from 0.
        shown: the number's name in the style: "f_t[2]".
        stages: the right sides from the formula to the number, in the style:
            `("σ(z_f[2])", "σ(0.8)", "1 / (1 + e^(−0.8))", "0.689974")`; of an input its number.
        value: the engine's number.
    """

    symbol: str
    unit: int
    shown: str
    stages: tuple[str, ...]
    value: float


def work_out(
    each: LayerTrace,
    t: int,
    symbol: str,
    unit: int,
    *,
    style: Style = UNICODE,
    notation: Notation = "joined",
    digits: int = 6,
    most_terms: int = MOST_TERMS,
) -> Working:
    """Work out how one number of an unbatched trace is computed.

    Args:
        each: the layer and direction, values `(T, n)`.
        t: the input time, from 1.
        symbol: a row of the cell, or `x`, `h_prev`, `c_prev`, which are given.
        unit: which number of it, from 0.
        style: PLAIN, UNICODE or LATEX.
        notation: joined or split; split dots `W_f x` and `U_f h` out one after the other.
        digits: decimals of every number.
        most_terms: of a longer sum of products only these, the largest, are shown one by one; the
            others are counted and added up.

    Raises:
        UsageError: no such symbol, or no such unit in it.
    """
    values = each.at(t)
    vector = _chosen(values, symbol, unit)
    shown, value = f"{style.name(symbol)}[{unit}]", float(vector[unit])
    last = Hand(style, digits).number(value)[0]
    if symbol in INPUT_SYMBOLS:
        return Working(symbol, unit, shown, (last,), value)
    reader = RowReader(known_at(each, t), style, notation, most_terms)
    texts = stages_of(each.cell[symbol].expression, unit, reader, digits)
    return Working(symbol, unit, shown, tuple(dict.fromkeys([*texts, last])), value)


def stages_of(node: Node, unit: int, reader: RowReader, digits: int) -> list[str]:
    """Return an expression at one unit: its names, its numbers, and each stage before the result.

    The page's `worked.js` makes the same texts of the same trees.
    """
    with np.errstate(all="ignore"):  # what overflows shows as inf, as in the engine
        scalar = reader.at(node, unit)
        texts = [Hand(reader.style, digits, names=True).text(scalar)]
        while not isinstance(scalar, Known):
            texts.append(Hand(reader.style, digits).text(scalar))
            scalar = reduced(scalar)
    return texts


def known_at(each: LayerTrace, t: int) -> dict[str, Array]:
    """Return every name that a row may use -> its array at input time `t`, as the engine had it."""
    dtype = each.values["h"].dtype
    parameters = {name: rounded(array, dtype) for name, array in each.weights.arrays.items()}
    return parameters | {symbol: array.astype(float) for symbol, array in each.at(t).items()}


def _chosen(values: Mapping[str, Array], symbol: str, unit: int) -> Array:
    if symbol not in values:
        raise UsageError(
            f"the cell does not compute '{safe(symbol)}'",
            where="a symbol to work out",
            hint=suggest(symbol, values),
        )
    size = values[symbol].shape[-1]
    if not 0 <= unit < size:
        raise UsageError(
            f"{symbol} has no unit {unit}", where="a unit to work out", hint=f"0 to {size - 1}"
        )
    return values[symbol]
