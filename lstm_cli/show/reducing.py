"""From one stage of the worked arithmetic to the next: easy parts are computed, deepest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from lstm_cli.cell.equations import (
    Apply,
    Name,
    Node,
    Number,
    bind_arguments,
    evaluate,
    function_named,
)
from lstm_cli.show.scalars import Applied, Dot, Known, Scalar, Textbook

_ARITHMETIC = ("+", "-", "*", "/", "neg")
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
        case Known():
            return True
        case Dot(terms=parts):
            return all(map(_is_plain, parts))
        case Applied(function, parts) if function in _ARITHMETIC:
            return all(map(_is_plain, parts))
    return False


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
