"""One number of a step, worked out as on paper: the row, then its numbers, stage by stage.

At one unit, a row of the cell's table is a tree of scalars: a name is a single number, `W @ v` is
the dot product of one row of W, and `[a, b]` is the part that contains the unit. The tree is
written with names, then with numbers, and then reduced stage by stage until one number is left. No
equation is hard-coded: this works for any table in the grammar.
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
        shown: name of the number in the style: "f_t[2]".
        stages: the right-hand sides from the formula to the number, in the style:
            `("σ(z_f[2])", "σ(0.8)", "1 / (1 + e^(−0.8))", "0.689974")`; for an input, its number.
        value: the number as computed by the engine.
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
    """Work out one number of an unbatched trace.

    Args:
        each: the layer and direction, with values `(T, n)`.
        t: the input time, from 1.
        symbol: a row of the cell, or an input: `x`, `h_prev`, `c_prev`.
        unit: which of its numbers, from 0.
        style: PLAIN, UNICODE or LATEX.
        notation: joined or split; split writes the products of `W_f x` and `U_f h` separately.
        digits: decimals of every number.
        most_terms: in a longer sum of products, only this many, the largest, are shown one by one;
            the others are counted and summed.

    Raises:
        UsageError: no such symbol, or it has no such unit.
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
    """Return an expression at one unit: with names, with numbers, and each stage before the result.

    The page's `worked.js` produces the same text from the same trees.
    """
    with np.errstate(all="ignore"):  # overflow gives inf, as in the engine
        scalar = reader.at(node, unit)
        texts = [Hand(reader.style, digits, names=True).text(scalar)]
        while not isinstance(scalar, Known):
            texts.append(Hand(reader.style, digits).text(scalar))
            scalar = reduced(scalar)
    return texts


def known_at(each: LayerTrace, t: int) -> dict[str, Array]:
    """Return every name that a row may use -> its array at input time `t`, as in the engine."""
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
