"""The structure of a circuit, from a cell's table: its columns, and the paths of its states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import (
    Apply,
    Equation,
    Name,
    Node,
    function_named,
    names_in,
    substitute,
)
from lstm_cli.cell.notation import UNICODE, function_name, is_parameter, write
from lstm_cli.cell.roles import is_layer


@dataclass(eq=False)
class GateColumn:
    """A chain of rows that each read only the previous one: a pre-activation and its gate."""

    rows: list[Equation]
    x: float = 0.0
    out: float = 0.0  # height of its output

    @property
    def layer(self) -> Node | None:
        """The result of the matrix at its base, biases included: a whole row, or part of one."""
        first = self.rows[0]
        if is_layer(first.expression):
            return Name(first.symbol)
        match first.expression:
            case Apply(_, (inner, *_)) if is_layer(inner):
                return inner
        return None

    @property
    def matrix(self) -> str:
        """The first parameter read by its layer."""
        return next(n for n in names_in(self.rows[0].expression) if is_parameter(n))

    @property
    def operations(self) -> list[Equation]:
        """The rows above the layer that have a box; an alias has none."""
        rows = self.rows[1:] if self.layer == Name(self.rows[0].symbol) else self.rows
        return [
            row for row in rows if not isinstance(row.expression, Name) or not flows(row.expression)
        ]


def _readers(rows: Iterable[Equation]) -> dict[str, list[str]]:
    readers: dict[str, list[str]] = {}
    for row in rows:
        for name in names_in(row.expression):
            readers.setdefault(name, []).append(row.symbol)
    return readers


def inlined_rows(cell: Cell) -> dict[str, Node]:
    """Return the rows that merely name a part of c or h, each as a tree over the other rows.

    Thus `kept = f * c_prev` and `c = kept + written` are drawn like `c = f * c_prev + …`.
    """
    readers = _readers(cell.equations)
    parts: dict[str, Node] = {}
    for row in reversed(cell.equations):
        (reader, *more) = readers.get(row.symbol, [""])
        reads = [name for name in names_in(row.expression) if not is_parameter(name)]
        of_state = len(reads) > 1 or bool({"c", "c_prev"} & set(reads))
        if (
            row.symbol not in ("c", "h")
            and not more
            and (reader in ("c", "h") or reader in parts)
            and of_state
            and isinstance(row.expression, Apply)  # an alias of a state is not a part of c
            and _elementwise(row.expression)
        ):
            parts[row.symbol] = row.expression
    trees: dict[str, Node] = {}
    for symbol, tree in reversed(parts.items()):
        trees[symbol] = substitute(tree, trees)
    return trees


def columns_of(cell: Cell, inlined: Mapping[str, Node]) -> list[GateColumn]:
    """Group the other rows into columns, chains of rows that each read only the previous one."""
    readers = _readers(cell.equations)
    columns: list[GateColumn] = []
    for row in cell.equations:
        if row.symbol in ("c", "h", *inlined):
            continue
        reads = [name for name in names_in(row.expression) if not is_parameter(name)]
        home = [c for c in columns if reads == [c.rows[-1].symbol]]
        if home and readers[reads[0]] == [row.symbol] and not is_layer(row.expression):
            home[0].rows.append(row)
        else:
            columns.append(GateColumn([row]))
    return columns


def rank(
    column: GateColumn, states: tuple[Node, Node], place: Mapping[str, int]
) -> tuple[int, int]:
    """Return the columns in the order in which c reads them, then h, then the others.

    A column read only by other columns precedes the first of them, in table order.
    """
    for rank, state in enumerate(states):
        reads = names_in(state)
        if column.rows[-1].symbol in reads:
            return rank, reads.index(column.rows[-1].symbol)
    return 0 if place[column.rows[-1].symbol] < place["c"] else 1, -1


def way_of(node: Node, name: str) -> list[tuple[Apply, int]]:
    """Return the operations from a name up to the root, each with the index of its argument.

    If the name does not occur, the path starts at the first leaf that is not a constant.
    """
    found = _path(node, Name(name))
    if found is None:
        leaf = next((Name(each) for each in names_in(node) if not is_parameter(each)), None)
        found = (_path(node, leaf) if leaf else None) or []
    return found[::-1]


def _path(node: Node, leaf: Node) -> list[tuple[Apply, int]] | None:
    if node == leaf:
        return []
    if isinstance(node, Apply):
        for index, argument in enumerate(node.arguments):
            below = _path(argument, leaf)
            if below is not None:
                return [(node, index), *below]
    return None


def leaf_of(node: Node, way: Sequence[tuple[Apply, int]]) -> Node:
    """Start of a path: the argument of its first operation that lies on it."""
    return way[0][0].arguments[way[0][1]] if way else node


def flows(node: Node) -> bool:
    """Whether an expression has a wire: constants and parameters are written inside a box."""
    return any(not is_parameter(name) for name in names_in(node))


def _elementwise(node: Node) -> bool:
    """Whether an expression does not read the bus and has no matrix product."""
    match node:
        case Name(name):
            return name not in ("x", "h_prev")
        case Apply(name, arguments):
            return name not in ("@", "concat") and all(_elementwise(each) for each in arguments)
    return True


def depth_of(node: Node) -> int:
    """Number of nested operations."""
    if isinstance(node, Apply):
        return 1 + max((depth_of(each) for each in node.arguments), default=0)
    return 0


_SIGNS = {"*": "×", "+": "+", "-": "−", "/": "÷", "neg": "−"}


def face_of(node: Node, spine: int) -> tuple[str, str]:
    """Label of an operation and the kind of its box."""
    if not isinstance(node, Apply):  # a parameter alone
        return write(node, UNICODE), "function"
    if node.function == "@":
        return UNICODE.name(names_in(node.arguments[0])[0]), "layer"
    if node.function in _SIGNS:
        sign = _SIGNS[node.function]
        constants = [each for each in node.arguments if not flows(each)]
        if not constants:
            return sign, "operator"
        text = write(constants[0], UNICODE)
        first = constants[0] is node.arguments[0]
        return (f"{text} {sign}" if first else f"{sign} {text}"), "function"
    if node.function == "concat":
        return "[ , ]", "function"
    inner = node.arguments[0]
    name = function_name(node.function, UNICODE)
    nested = isinstance(inner, Apply) and not function_named(inner.function).operator
    return (f"{name} {face_of(inner, 0)[0]}" if nested else name), "function"
