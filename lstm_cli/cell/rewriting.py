"""Pattern-based rewriting: find a subexpression and replace it with another.

A pattern is an expression of the grammar with two wildcards: `any` matches any subexpression,
`act(…)` any activation with its constants. The replacement may reuse what a wildcard matched:
`o * act(c)` -> `o + act(c)` also fits a cell with another output activation.
"""

from __future__ import annotations

from functools import lru_cache

from lstm_cli.cell.equations import Apply, Name, Node, is_activation, parse, rebuild

ANY, ACT = "any", "act"


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
        bound: dict[str, Node] = {}  # wildcard -> what it has matched
        if _fits(part, pattern, bound):
            found = True
            return _filled(replacement, bound)
        if isinstance(part, Apply):
            return Apply(part.function, tuple(walk(each) for each in part.arguments))
        return part

    result = walk(node)
    return result if found else None


def _fits(node: Node, pattern: Node, bound: dict[str, Node]) -> bool:
    if pattern == Name(ANY):
        bound[ANY] = node
        return True
    if not (isinstance(pattern, Apply) and isinstance(node, Apply)):
        return node == pattern
    parts = node.arguments
    if pattern.function == ACT:
        bound[ACT], parts = node, parts[:1]  # without its constants
        same = is_activation(node.function)
    else:
        same = node.function == pattern.function and len(parts) == len(pattern.arguments)
    return same and all(_fits(*pair, bound) for pair in zip(parts, pattern.arguments, strict=True))


def _filled(replacement: Node, bound: dict[str, Node]) -> Node:
    def fill(node: Node) -> Node:
        activation = bound.get(ACT)
        if isinstance(node, Apply) and node.function == ACT and isinstance(activation, Apply):
            return Apply(activation.function, (*node.arguments, *activation.arguments[1:]))
        return bound.get(ANY, node) if node == Name(ANY) else node

    return rebuild(replacement, fill)
