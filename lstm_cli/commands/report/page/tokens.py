"""An equation as tokens: text, and placeholders for numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from lstm_cli.cell.equations import FUNCTIONS, Apply, Name, Node, Number, rebuild, substitute
from lstm_cli.cell.notation import UNICODE, Notation, split, write

# Markers around a placeholder, which occur in no equation.
_OPEN, _CLOSE = "\x01", "\x02"
_NUMBERS = replace(
    UNICODE,
    operators={**UNICODE.operators, "*": " · "},
    name=lambda name: f"{_OPEN}{name}{_CLOSE}",
    functions={**UNICODE.functions},
)


def tree_json(node: Node) -> Any:
    """Convert a tree to JSON: a number, a name, or `[function, argument, …]`."""
    match node:
        case Number(value):
            return value
        case Name(name):
            return name
        case Apply(function, arguments):
            return [function, *map(tree_json, arguments)]


def tokens_of(node: Node, notation: Notation) -> list[list[Any]]:
    """Return an expression as tokens with placeholders: as written, and in textbook form.

    A token is a text; `{"name": …}` for a number; `{"product": [matrix, vector, columns]}` for the
    product of a matrix row, or of its "first" or "last" columns, with a vector, which the page
    writes out term by term; or `{"value": tree}` for the element of a concatenation at the unit.
    """
    lifting = _Lifting(notation)
    shown = lifting.lifted(node)
    books = _textbook(shown)
    return [lifting.pieces(each) for each in ([shown] if books == shown else [shown, books])]


def _textbook(node: Node) -> Node:
    """Replace each function in a tree by its textbook form."""

    def change(each: Node) -> Node:
        if isinstance(each, Apply) and each.function in FUNCTIONS:
            book = FUNCTIONS[each.function].textbook
            if book is not None:
                return substitute(book, {"z": each.arguments[0]})
        return each

    return rebuild(node, change)


class _Lifting:
    """Replaces matrix products and concatenations in a tree by placeholders."""

    def __init__(self, notation: Notation) -> None:
        self.notation = notation
        self.places: dict[str, dict[str, Any]] = {}

    def lifted(self, node: Node) -> Node:
        """Return the tree with a name for each outermost product or concatenation."""
        match node:
            case Apply("@", (Name(matrix), vector)):
                halves = split(node) if self.notation == "split" else node
                match halves:
                    # Both halves are columns of the same joined matrix.
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
        name = f"@{len(self.places)}"  # no row's name starts with @
        self.places[name] = piece
        return Name(name)

    def pieces(self, node: Node) -> list[Any]:
        """Split a lifted tree's text at its placeholders."""
        parts = re.split(f"{_OPEN}(.*?){_CLOSE}", write(node, _NUMBERS))
        return [
            self.places.get(part, {"name": part}) if index % 2 else part
            for index, part in enumerate(parts)
            if index % 2 or part
        ]
