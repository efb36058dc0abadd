"""One number of a step, worked out as on paper: the row, then its numbers, stage by stage.

At one unit, a row of the cell's table is a tree of scalars: a name is a single number, `W @ v` is
the dot product of one row of W, and `[a, b]` is the part that contains the unit. The tree is
written with names, then with numbers, and then reduced stage by stage until one number is left. No
equation is hard-coded: this works for any table in the grammar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import UsageError
from lstm_cli.base.numbers import decimals, latex_number, shortest, typeset
from lstm_cli.cell.equations import (
    Apply,
    Name,
    Node,
    Number,
    bind_arguments,
    evaluate,
    function_named,
)
from lstm_cli.cell.notation import (
    LATEX,
    PLAIN,
    UNICODE,
    Notation,
    Style,
    function_name,
    split,
    write_row,
)
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace, rounded
from lstm_cli.show.rows import unknown_symbol

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


# ---- writing a tree

_SUM, _NEGATIVE, _PRODUCT, _ATOM = 1, 2, 3, 4
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, eq=False)
class Hand:
    """Writes scalar trees; with `names`, every named number by its name."""

    style: Style
    digits: int
    names: bool = False

    def text(self, scalar: Scalar) -> str:
        """Return the text of a tree."""
        return self._write(scalar)[0]

    def number(self, value: float) -> tuple[str, int]:
        """Return a number's text and its precedence: −1 binds loosely, 2·10⁻⁵ like a product."""
        text = shortest(value) if self.names else decimals(value, self.digits)
        mantissa, _, power = text.partition("e")
        level = _NEGATIVE if text.startswith("-") else _PRODUCT if power else _ATOM
        if self.style is PLAIN:
            return text, level if level == _NEGATIVE else _ATOM
        if self.style is LATEX:
            return latex_number(text), level
        raised = f"·10{str(int(power)).translate(_RAISED)}" if power else ""
        return typeset(mantissa) + raised, level

    def _write(self, scalar: Scalar) -> tuple[str, int]:
        match scalar:
            case Known(value, shown):
                return (shown, _ATOM) if self.names and shown else self.number(value)
            case Textbook(tree):
                return self._write(tree)
            case Dot(shown=shown):
                return (shown, _PRODUCT) if self.names else self._dot(scalar)
            case Applied("+" | "-" as sign, (left, right)):
                return self._side(left, _SUM) + self._added(sign, right), _SUM
            case Applied("*", (left, right)):
                return self.style.scale.join(
                    (self._factor(left), self._side(right, _ATOM))
                ), _PRODUCT
            case Applied("/", (left, right)):
                return self._quotient(left, right)
            case Applied("neg", (Known(value),)) if value < 0 and not self.names:
                return self.number(-value)
            case Applied("neg", (operand,)):
                return self.style.operators["neg"] + self._side(operand, _ATOM), _NEGATIVE
            case Applied("exp", (operand,)) if self.style is not PLAIN:
                pair = "{}" if self.style is LATEX else "()"
                return f"e^{pair[0]}{self.text(operand)}{pair[1]}", _ATOM
            case Applied(function, arguments):
                inner = ", ".join(map(self.text, arguments))
                return f"{function_name(function, self.style)}({inner})", _ATOM

    def _side(self, scalar: Scalar, level: int) -> str:
        text, own = self._write(scalar)
        return text if own >= level else f"({text})"

    def _factor(self, scalar: Scalar) -> str:
        """Return a left factor: −1 and 2·10⁻⁵ are put in parentheses."""
        return self._side(scalar, _ATOM if isinstance(scalar, Known) else _PRODUCT)

    def _quotient(self, left: Scalar, right: Scalar) -> tuple[str, int]:
        if self.style is LATEX:
            return rf"\frac{{{self.text(left)}}}{{{self.text(right)}}}", _ATOM
        sign = self.style.operators["/"]
        return self._factor(left) + sign + self._side(right, _ATOM), _PRODUCT

    def _added(self, sign: str, scalar: Scalar) -> str:
        """Return a summand with its sign; adding a negative number becomes a subtraction."""
        text, level = self._write(scalar)
        minus = self.style.operators["neg"]
        if sign == "+" and text.startswith(minus) and isinstance(scalar, Known | Dot):
            return self.style.operators["-"] + text.removeprefix(minus)
        bare = (level == _SUM and sign == "+") or level >= _PRODUCT
        return self.style.operators[sign] + (text if bare else f"({text})")

    def _dot(self, dot: Dot) -> tuple[str, int]:
        sides = []
        if dot.terms:
            first, *others = dot.terms
            sides.append(self._side(first, _SUM) + "".join(self._added("+", e) for e in others))
        if dot.zeros:
            sides.append(f"0{self.style.scale}({self._words(f'{dot.zeros} numbers')})")
        if dot.idle:
            sides.append(f"({self._words(f'{dot.idle} weights')}){self.style.scale}0")
        if dot.more:
            sides.append(self._more(dot))
        level = _PRODUCT if len(sides) == 1 and len(dot.terms) < 2 else _SUM
        return self.style.operators["+"].join(sides), level

    def _words(self, text: str) -> str:
        return rf"\text{{{text}}}" if self.style is LATEX else text

    def _more(self, dot: Dot) -> str:
        rest = self.number(dot.rest)[0]
        what = f"{dot.more} more term{'s' * (dot.more > 1)}"
        if self.style is LATEX:
            # In braces, or TeX would set the operator after it as a sign.
            return rf"{{\underbrace{{{rest}}}_{{{self._words(what)}}}}}"
        return f"({what}: {rest})"


# ---- from one stage to the next: easy parts are computed, deepest first

_PICKS = ("min", "max")  # easy to evaluate, however deeply nested


def _value(scalar: Scalar) -> float:
    match scalar:
        case Known(value) | Textbook(_, value):
            return value
        case Dot(terms=terms, rest=rest):
            return float(np.sum([*map(_value, terms), rest]))
        case Applied(function, arguments):
            numbers = tuple(Number(_value(each)) for each in arguments)
            return float(evaluate(Apply(function, numbers), {}))


def reduced(scalar: Scalar) -> Scalar:
    """Return the next stage: parts that are easy to compute are, deepest first.

    Sums of several nontrivial products first get a stage in which only the products are computed.
    """
    match scalar:
        case Known():
            return scalar
        case Textbook(_, value):
            return Known(value)
        case Dot() | Applied("+" | "-" | "*" | "/" | "neg"):
            if not _is_plain(scalar):
                return _with_parts(scalar)
            several = sum(map(_is_product, _summands(scalar))) > 1
            return _multiplied(scalar) if several else Known(_value(scalar))
        case Applied(_, arguments) if all(isinstance(each, Known) for each in arguments):
            return _opened(scalar)
        case Applied(function, _) if function in _PICKS and _is_settled(scalar):
            return Known(_value(scalar))
        case Applied(function, arguments):
            return Applied(function, tuple(map(reduced, arguments)))


def _with_parts(scalar: Dot | Applied) -> Scalar:
    """Reduce those parts of an arithmetic expression that are not plain arithmetic."""
    parts = scalar.terms if isinstance(scalar, Dot) else scalar.arguments
    done = tuple(each if _is_plain(each) else reduced(each) for each in parts)
    if isinstance(scalar, Dot):
        return replace(scalar, terms=done)
    return Applied(scalar.function, done)


def _is_plain(scalar: Scalar) -> bool:
    """Whether a tree is only numbers and arithmetic, without functions."""
    match scalar:
        case Dot(terms=parts) | Applied("+" | "-" | "*" | "/" | "neg", parts):
            return all(map(_is_plain, parts))
    return isinstance(scalar, Known)


def _is_settled(scalar: Scalar) -> bool:
    match scalar:
        case Applied(function, parts) if function in _PICKS:
            return all(map(_is_settled, parts))
    return isinstance(scalar, Known)


def _summands(scalar: Scalar) -> Iterator[Scalar]:
    match scalar:
        case Applied("+" | "-", sides):
            for side in sides:
                yield from _summands(side)
        case Dot(terms=terms):
            yield from terms
        case _:
            yield scalar


def _is_product(scalar: Scalar) -> bool:
    """Whether a summand is a nontrivial product: 0.7·0.2 is, 1·0.2 and 0·0.2 are not."""
    match scalar:
        case Applied(function, parts) if function in ("*", "/"):
            return not any(isinstance(p, Known) and p.value in (0, 1, -1) for p in parts)
    return False


def _multiplied(scalar: Scalar) -> Scalar:
    """Return a sum with each of its products computed."""
    match scalar:
        case Applied("+" | "-" as sign, sides):
            return Applied(sign, tuple(map(_multiplied, sides)))
        case Dot(terms=terms) if terms:
            return replace(scalar, terms=tuple(map(_multiplied, terms)), zeros=0, idle=0)
    return Known(_value(scalar))


def _opened(scalar: Applied) -> Scalar:
    """Replace a function of numbers by its textbook form, its body, or its value."""
    function = function_named(scalar.function)
    form = function.textbook or function.body
    if form is None:
        return Known(_value(scalar))
    bound = bind_arguments(scalar.function, list(scalar.arguments), Known)
    tree = _filled(form, bound)
    return tree if function.textbook is None else Textbook(tree, _value(scalar))


def _filled(node: Node, bound: Mapping[str, Scalar]) -> Scalar:
    match node:
        case Number(value):
            return Known(value)
        case Name(name):
            return bound[name]
        case Apply(function, arguments):
            return Applied(function, tuple(_filled(each, bound) for each in arguments))


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
        raise unknown_symbol(symbol, values, "a symbol to work out")
    size = values[symbol].shape[-1]
    if not 0 <= unit < size:
        raise UsageError(
            f"{symbol} has no unit {unit}", where="a unit to work out", hint=f"0 to {size - 1}"
        )
    return values[symbol]
