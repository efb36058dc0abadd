"""Pattern-based rewriting: find a subexpression and replace it with another.

A pattern is an expression of the grammar with two wildcards: `any` matches any subexpression,
`act(…)` any activation with its constants. The replacement may reuse what a wildcard matched:
`o * act(c)` -> `o + act(c)` also fits a cell with another output activation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from lstm_cli.cell.equations import Apply, Name, Node, is_activation, parse, rebuild

ANY, ACT = "any", "act"


@dataclass
class _Bound:
    """What the wildcards of a pattern have matched."""

    part: Node | None = None
    activation: Apply | None = None


@lru_cache(maxsize=1024)
def _pattern(text: str) -> Node:
    # `act` is not a function of the grammar: softsign, which no pattern needs, stands in for it.
    return rebuild(parse(text.replace(f"{ACT}(", "softsign("), text), _as_wildcard)


def _as_wildcard(node: Node) -> Node:
    if isinstance(node, Apply) and node.function == "softsign":
        return Apply(ACT, node.arguments)
    return node


def rewrite(node: Node, find: str, put: str) -> Node | None:
    """Replace every subtree that matches `find` by `put`; return None if nothing matches.

    Outermost matches win, and replacements are not searched again.
    """
    pattern, replacement = _pattern(find), _pattern(put)
    found = False

    def walk(part: Node) -> Node:
        nonlocal found
        bound = _Bound()
        if _fits(part, pattern, bound):
            found = True
            return _filled(replacement, bound)
        if isinstance(part, Apply):
            return Apply(part.function, tuple(walk(each) for each in part.arguments))
        return part

    result = walk(node)
    return result if found else None


def _fits(node: Node, pattern: Node, bound: _Bound) -> bool:
    if pattern == Name(ANY):
        bound.part = node
        return True
    if not isinstance(pattern, Apply):
        return node == pattern
    if not isinstance(node, Apply):
        return False
    if pattern.function == ACT:
        bound.activation = node
        return is_activation(node.function) and _fits(
            node.arguments[0], pattern.arguments[0], bound
        )
    return (
        node.function == pattern.function
        and len(node.arguments) == len(pattern.arguments)
        and all(map(_fits, node.arguments, pattern.arguments, [bound] * len(node.arguments)))
    )


def _filled(replacement: Node, bound: _Bound) -> Node:
    def fill(node: Node) -> Node:
        if node == Name(ANY) and bound.part is not None:
            return bound.part
        if isinstance(node, Apply) and node.function == ACT and bound.activation is not None:
            constants = bound.activation.arguments[1:]
            return Apply(bound.activation.function, (*node.arguments, *constants))
        return node

    return rebuild(replacement, fill)
