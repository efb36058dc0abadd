"""An equation in pieces: what is text, and where a number is put in its place."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from lstm_cli.cell.equations import FUNCTIONS, Apply, Name, Node, Number, rebuild, substitute
from lstm_cli.cell.notation import UNICODE, Notation, split, write

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

    A piece is a text; `{"name": …}` for a number; `{"product": [matrix, vector, columns]}` for the
    sum of a matrix's row, or of its "first" or "last" columns, with a vector, whose terms the page
    writes out; or `{"value": tree}` for what a joined vector has at the unit.
    """
    lifting = _Lifting(notation)
    shown = lifting.lifted(node)
    books = _textbook(shown)
    return [lifting.pieces(each) for each in ([shown] if books == shown else [shown, books])]


def _textbook(node: Node) -> Node:
    """Return the tree with each function written as textbooks write it."""

    def change(each: Node) -> Node:
        if isinstance(each, Apply) and each.function in FUNCTIONS:
            book = FUNCTIONS[each.function].textbook
            if book is not None:
                return substitute(book, {"z": each.arguments[0]})
        return each

    return rebuild(node, change)


class _Lifting:
    """Takes what is no number of one unit out of a tree: products of matrices, joined vectors."""

    def __init__(self, notation: Notation) -> None:
        self.notation = notation
        self.places: dict[str, dict[str, Any]] = {}

    def lifted(self, node: Node) -> Node:
        """Return the tree with a name for each of them, the outermost: what is inside is theirs."""
        match node:
            case Apply("@", (Name(matrix), vector)):
                halves = split(node) if self.notation == "split" else node
                match halves:
                    # Both halves are columns of the one matrix that there is.
                    case Apply("+", (Apply("@", (_, x)), Apply("@", (_, h)))):
                        return Apply("+", (self._product(matrix, x, "last"),
                                           self._product(matrix, h, "first")))  # fmt: skip
                return self._product(matrix, vector, "all")
            case Apply("concat"):
                return self._place({"value": tree_json(node)})
            case Apply(function, arguments):
                return Apply(function, tuple(map(self.lifted, arguments)))
        return node

    def _product(self, matrix: str, vector: Node, columns: str) -> Name:
        return self._place({"product": [matrix, tree_json(vector), columns]})

    def _place(self, piece: dict[str, Any]) -> Name:
        name = f"@{len(self.places)}"  # starts as no name of a row does
        self.places[name] = piece
        return Name(name)

    def pieces(self, node: Node) -> list[Any]:
        """Return a lifted tree's text, cut where its numbers stand."""
        parts = re.split(f"{_OPEN}(.*?){_CLOSE}", write(node, _NUMBERS))
        return [
            self.places.get(part, {"name": part}) if index % 2 else part
            for index, part in enumerate(parts)
            if index % 2 or part
        ]
