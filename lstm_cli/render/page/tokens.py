"""An equation in pieces: what is text, and where a number is put in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lstm_cli.equations import FUNCTIONS, Apply, Name, Node, Number, rebuild, substitute
from lstm_cli.notation import UNICODE, Notation, split, write

# Marks that no equation has around what stands for a number.
_OPEN, _CLOSE = "\x01", "\x02"
_NUMBERS = replace(
    UNICODE,
    operators={**UNICODE.operators, "*": " · "},
    name=lambda name: f"{_OPEN}{name}{_CLOSE}",
    functions={**UNICODE.functions},
)


def tree_json(node: Node) -> Any:
    """Return a tree as JSON: a number, a name, or `[function, argument, …]`."""
    match node:
        case Number(value):
            return value
        case Name(name):
            return name
        case Apply(function, arguments):
            return [function, *map(tree_json, arguments)]


def tokens_of(node: Node, notation: Notation) -> list[list[Any]]:
    """Return an expression's stages with places for numbers: as written, and as textbooks have it.

    A piece is a text, `{"name": …}` for a number, or `{"product": [matrix, vector]}` for the sum
    of a matrix's row with a vector, whose terms the page writes out.
    """
    shown = split(node) if notation == "split" else node
    books = _textbook(shown)
    return [_pieces(each) for each in ([shown] if books == shown else [shown, books])]


def _textbook(node: Node) -> Node:
    """Return the tree with each function written as textbooks write it."""

    def change(each: Node) -> Node:
        if isinstance(each, Apply) and each.function in FUNCTIONS:
            book = FUNCTIONS[each.function].textbook
            if book is not None:
                return substitute(book, {"z": each.arguments[0]})
        return each

    return rebuild(node, change)


def _pieces(node: Node) -> list[Any]:
    products: dict[str, Apply] = {}

    def lift(each: Node) -> Node:
        if isinstance(each, Apply) and each.function == "@":
            products[f"@{len(products)}"] = each
            return Name(f"@{len(products) - 1}")
        return each

    text = write(rebuild(node, lift), _NUMBERS)
    parts = re.split(f"{_OPEN}(.*?){_CLOSE}", text)
    pieces: list[Any] = []
    for index, part in enumerate(parts):
        if index % 2:
            pieces.append(_place(part, products))
        elif part:
            pieces.append(part)
    return pieces


def _place(name: str, products: Mapping[str, Apply]) -> dict[str, Any]:
    if name in products:
        return {"product": [tree_json(each) for each in products[name].arguments]}
    return {"name": name}
