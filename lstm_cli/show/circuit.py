"""A cell as a circuit, in the form known from tutorials, laid out from its table of equations.

The cell state runs along the top and `[h_prev, x]`, the bus, along the bottom; between them each
gate is a column: its matrix, its pre-activation, its activation. The operations of the rows of `c`
and `h` are circles and boxes on the path of the state. No cell is special-cased by name: a peephole
is a wire because its row reads the state, and a custom table gets a column for each of its gates.

A drawing here consists of positions and keys; a key is the plain text of the expression whose
value is shown there. `svg` renders it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import (
    Apply,
    Equation,
    Name,
    Node,
    Number,
    function_named,
    names_in,
    substitute,
)
from lstm_cli.cell.notation import UNICODE, function_name, is_parameter, write
from lstm_cli.cell.roles import is_layer

# In drawing units: in a printed column of 8.5 cm, 26 of them, a letter, are 6.5 points.
COLUMN = 124.0
LEFT, RIGHT = 162.0, 232.0
TOP, LEVEL = 92.0, 84.0
BOX_WIDTH, BOX_HEIGHT, RADIUS = 62.0, 34.0, 17.0
LETTER = 13.0  # approximate width of a letter
LOWERED = 0.7 * LETTER  # of a letter in a subscript
LONGEST = 24  # letters of a name; a longer one is shortened to its ends

Point = tuple[float, float]


def width_of(name: str) -> float:
    """Estimate the drawn width of a name; what follows its first `_` is a subscript."""
    stem, _, subscript = name.partition("_")
    return LETTER * len(stem) + LOWERED * len(subscript.strip("{}"))


def shortened(name: str, most: int = LONGEST) -> str:
    """Shorten a name to about `most` letters by keeping both ends of each part."""
    if len(name) <= most:
        return name
    stem, mark, subscript = name.partition("_")
    if not mark:
        return _ends(name, most)
    stem = _ends(stem, most // 2)
    return f"{stem}_{{{_ends(subscript.strip('{}'), most - len(stem))}}}"


def _ends(text: str, most: int) -> str:
    tail = most // 2
    return text if len(text) <= most else f"{text[: most - tail - 1]}…{text[-tail:]}"


@dataclass(frozen=True)
class Box:
    """An operation: `text` in a frame around `middle`; `key` identifies its value.

    `kind` is "layer" (a product with a matrix), "function" or "operator" (a circle).
    """

    key: str
    text: str
    kind: str
    middle: Point
    width: float = BOX_WIDTH


@dataclass(frozen=True)
class Wire:
    """A line through `points` that carries the value of `key`; `end` is "arrow" or "".

    `kind` is "state", "bus", "gate" or "feed" (what a row reads besides the bus).
    """

    key: str
    points: tuple[Point, ...]
    kind: str = "gate"
    end: str = ""


@dataclass(frozen=True)
class Label:
    """The position of the name and number of `key`, beside its wire.

    `shown` is the name, or "" for an unnamed expression; `anchor` is "start", "middle" or "end";
    `chips` says whether all units are shown besides the chosen one.
    """

    key: str
    shown: str
    place: Point
    anchor: str = "start"
    chips: bool = True


@dataclass(frozen=True)
class Drawing:
    """A circuit: all its parts, and the expression behind each key."""

    width: float
    height: float
    wires: tuple[Wire, ...]
    boxes: tuple[Box, ...]
    labels: tuple[Label, ...]
    joints: tuple[Point, ...]
    frame: tuple[float, float, float, float]  # left, top, width, height of the cell's inside
    nodes: Mapping[str, Node]


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


# Offset of a name beside a state's line if the next operation is near.
FEW_LETTERS = 8


@lru_cache(maxsize=64)
def draw(cell: Cell) -> Drawing:
    """Lay out the circuit of a cell."""
    return _Builder(cell).drawing()


@dataclass(frozen=True)
class _Source:
    """A point from which a wire can take a value, with nothing above it."""

    key: str
    x: float
    y: float


@dataclass(eq=False)
class _Builder:
    cell: Cell
    wires: list[Wire] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    joints: list[Point] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    # How many feeds already come down to the left of a column: each gets its own lane.
    feeds: dict[float, int] = field(default_factory=dict)

    def drawing(self) -> Drawing:
        inlined = inlined_rows(self.cell)
        self.named = {write(tree): symbol for symbol, tree in inlined.items()}
        rows = {row.symbol: row for row in self.cell.equations if row.symbol not in inlined}
        self.columns = columns_of(self.cell, inlined)
        self.c, self.h = (substitute(rows[state].expression, inlined) for state in ("c", "h"))
        if "h" in names_in(self.c):  # a table may compute h first: then c is drawn through it
            self.c = substitute(self.c, {"h": self.h})
            if isinstance(self.h, Apply):
                self.named[write(self.h)] = "h"
        place = {symbol: index for index, symbol in enumerate(rows)}
        self.columns.sort(key=lambda column: rank(column, (self.c, self.h), place))
        self.cell_way, self.hidden_way = way_of(self.c, "c_prev"), way_of(self.h, "c")
        beside = [depth_of(each) for way in self.hidden_way for each in self._operands(*way)]
        deepest = max(depth_of(self.c) - 1, len(self.hidden_way) + max(beside, default=0), 2)
        self.box_y = TOP + LEVEL * deepest + 92
        self.bus_y = self.box_y + 158
        self._place_columns()
        state_end = self._cell_line()
        right = max(state_end + COLUMN, self.end)
        self._hidden(right)
        for column in self.columns:
            self._column(column)
        self._bus()
        frame = (LEFT - 52, 48.0, right + 118 - LEFT + 52, self.bus_y - 48 + 22)
        return Drawing(
            right + RIGHT, self.bus_y + 92, tuple(self.wires), tuple(self.boxes),
            tuple(self.labels), tuple(self.joints), frame, self.nodes,
        )  # fmt: skip

    # ---- columns

    def _place_columns(self) -> None:
        left, wide = LEFT - COLUMN / 2, COLUMN
        for column in self.columns:
            box = width_of(self._matrix(column)) + 14
            column.x = left + max(wide, COLUMN / 2 + box / 2 + 12)
            above = max(len(column.operations) - 1, 0)
            column.out = self.box_y - (BOX_HEIGHT + 12) * above - BOX_HEIGHT / 2
            labels = list(self._column_labels(column))
            self.labels += labels
            # A feed comes down between a name and the next column.
            name = max(width_of(label.shown) for label in labels)
            left, wide = column.x, max(COLUMN, name + 50, box / 2 + COLUMN / 2 + 12)
        self.end = left + wide

    def _matrix(self, column: GateColumn) -> str:
        """Return the label of a column's matrix product."""
        return self._name(column.matrix) if column.layer is not None else ""

    def _column_labels(self, column: GateColumn) -> Iterator[Label]:
        last = column.rows[-1].symbol
        yield Label(last, self._name(last), (column.x + 9, column.out - 34))
        if column.layer is not None and column.layer != Name(last):
            key = self._key(column.layer)
            shown = self._name(key) if isinstance(column.layer, Name) else ""
            yield Label(key, shown, (column.x + 9, self.box_y + 50), chips=False)

    def _column(self, column: GateColumn) -> None:
        """Draw a column from the bus up to its highest box."""
        foot = self.bus_y if self._reads_bus(column) else self.box_y + 44
        last = column.rows[-1].symbol
        below = self._key(column.layer or Name(last))
        self._key(Name(last))  # an alias of a value has no box of its own
        self.wires.append(Wire(below, ((column.x, foot), (column.x, self.box_y))))
        self.wires.append(Wire(last, ((column.x, self.box_y), (column.x, column.out - 14))))
        if foot == self.bus_y:
            self.joints.append((column.x, self.bus_y))
        if column.layer is not None:
            text, middle = self._matrix(column), (column.x, self.box_y + 102)
            width = max(BOX_WIDTH, width_of(text) + 14)
            self.boxes.append(Box(below, text, "layer", middle, width))
        for level, row in enumerate(column.operations):
            middle = (column.x, self.box_y - level * (BOX_HEIGHT + 12))
            self._operation(Name(row.symbol), row.expression, middle)
        self._feeds(column, foot)

    def _reads(self, column: GateColumn) -> set[str]:
        return {name for row in column.rows for name in names_in(row.expression)}

    def _reads_bus(self, column: GateColumn) -> bool:
        return bool(self._reads(column) & {"x", "h_prev"})

    def _feeds(self, column: GateColumn, foot: float) -> None:
        """Draw what a column's rows read besides the bus: states and other columns."""
        own = {row.symbol for row in column.rows}
        for row in column.rows:
            for name in names_in(row.expression):
                if name in own or is_parameter(name) or name in ("x", "h_prev"):
                    continue
                source = self._source(name)
                place = self.feeds.get(column.x, 0)
                self.feeds[column.x] = place + 1
                side = column.x - 40 - 9 * place
                arrival = min(foot, self.box_y + (68 if is_layer(row.expression) else 44))
                above = source.y - 52 - 7 * place  # its label
                start, over = (source.x, above), (side, above)
                if name in ("c", "c_prev"):  # tapped straight above, from the line of the state
                    start = over = (max(side, source.x), source.y)
                    self.joints.append(start)
                points = (start, over, (over[0], arrival), (column.x - 4, arrival))
                self.wires.append(Wire(self._key(Name(name)), _tidy(points), "feed", "arrow"))

    def _source(self, name: str) -> _Source:
        if name == "c_prev":
            return _Source(name, LEFT - 8, TOP)
        if name == "c":
            return _Source(name, self.state_x, TOP)
        if name in ("x", "h_prev"):
            return _Source(name, LEFT, self.bus_y)
        for column in self.columns:
            if name in {row.symbol for row in column.rows}:
                top = column.out - 14 if name == column.rows[-1].symbol else self.box_y + 56
                return _Source(name, column.x, top)
        return self.hidden  # h: c, drawn before it, reads h through its expression

    # ---- the line of the cell state

    def _cell_line(self) -> float:
        """Draw the path of the state from c_prev to c; return where its last operation is."""
        start = leaf_of(self.c, self.cell_way)
        key, x = self._key(start), 14.0
        if start != Name("c_prev"):
            if isinstance(start, Name) and flows(start):
                source = self._source(start.id)
            else:  # parameters alone
                source = _Source(key, LEFT, TOP)
                self._operation(Name("c"), start, (LEFT, TOP))
            x = max(x, source.x)
            self.wires.append(Wire(key, ((x, source.y), (x, TOP)), "gate"))
            taps = [each.x for each in self.columns if self._reads(each) & {"c_prev"}]
            self.wires.append(
                Wire("c_prev", ((14, TOP), (max(taps, default=LEFT) - 40, TOP)), "state")
            )
        self.labels.append(Label("c_prev", self._name("c_prev"), (12, TOP - 52)))
        self._key(Name("c_prev"))
        for apply, index in self.cell_way:
            operands = self._operands(apply, index)
            wanted = max([self._right_of(each) for each in operands], default=0.0)
            place = max(x + COLUMN * 0.6, wanted)
            self.wires.append(Wire(key, ((x, TOP), (place, TOP)), "state"))
            for operand in operands:
                self._join(self._expression(operand, TOP + LEVEL), (place, TOP))
            last = apply is self.cell_way[-1][0]
            node = Name("c") if last else apply
            self._operation(node, apply, (place, TOP), spine=index)
            if not last:
                self.labels.append(self._inner_label(apply, (place + 23, TOP - 46)))
            key, x = self._key(node), place
        self.last_x = x
        here = [box.width for box in self.boxes if box.middle == (x, TOP)]
        self.state_x = x + max(here, default=0.0) / 2 + 18
        return x

    def _hidden(self, right: float) -> None:
        """Draw the path from c down to h, and both ends on the right."""
        edge = right + RIGHT - 14
        self.wires.append(Wire("c", ((self.last_x, TOP), (edge, TOP)), "state", "arrow"))
        self.labels.append(Label("c", self._name("c"), (edge, TOP - 52), "end"))
        start = leaf_of(self.h, self.hidden_way)
        key, y = self._key(start), TOP
        if start == Name("c"):
            self.joints.append((right, TOP))
        elif isinstance(start, Name) and flows(start):
            source = self._source(start.id)
            y = source.y
            self.wires.append(Wire(key, ((source.x, y), (right, y))))
        else:  # parameters alone
            y = TOP + LEVEL - 6
            self._operation(Name("h"), start, (right, y))
        for level, (apply, index) in enumerate(self.hidden_way, 1):
            place = (right, TOP + LEVEL * level - 6)
            self.wires.append(Wire(key, ((right, y), place)))
            for operand in self._operands(apply, index):
                self._join(self._expression(operand, place[1]), place)
            last = apply is self.hidden_way[-1][0]
            node = Name("h") if last else apply
            self._operation(node, apply, place, spine=index)
            if not last:
                self.labels.append(self._inner_label(apply, (right + 9, place[1] + 38)))
            key, y = self._key(node), place[1]
        for state in ("c", "h"):  # a row may be just an alias
            self._key(Name(state))
        self.hidden = _Source("h", right, y + LEVEL)  # on the way down, below its last box
        end = self.bus_y
        self.wires.append(Wire("h", ((right, y), (right, end), (edge, end)), "state", "arrow"))
        up = right + 98
        self.wires.append(Wire("h", ((up, end), (up, 14)), "state", "arrow"))
        self.joints.append((up, end))
        self.labels.append(Label("h", self._name("h"), (edge, end - 52), "end"))

    def _operands(self, apply: Apply, index: int) -> list[Node]:
        """Side inputs of an operation: all drawn arguments except the one on the path."""
        others = [each for place, each in enumerate(apply.arguments) if place != index]
        return [each for each in others if flows(each)]

    def _right_of(self, node: Node) -> float:
        """Horizontal position of an expression: that of the rightmost column it reads."""
        return max((self._source(name).x for name in names_in(node) if not is_parameter(name)),
                   default=0.0)  # fmt: skip

    def _expression(self, node: Node, y: float) -> _Source:
        """Draw an expression beside the path of a state, at height `y`; return its output."""
        if isinstance(node, Name):
            return self._source(node.id)
        assert isinstance(node, Apply)
        sides = [self._expression(each, y + LEVEL * 0.7) for each in node.arguments if flows(each)]
        place = self._free((max(side.x for side in sides), y))
        for side in sides:
            self._join(side, place)
        self._operation(node, node, place)
        if not isinstance(node.arguments[0], Number):
            self.labels.append(self._inner_label(node, (place[0] + 9, y - 42)))
        return _Source(self._key(node), place[0], y)

    def _free(self, place: Point) -> Point:
        """Return the next free position to the left."""
        x, y = place
        while any(
            abs(x - box.middle[0]) < (box.width + BOX_WIDTH) / 2 + 8
            and abs(y - box.middle[1]) < BOX_HEIGHT + 8
            for box in self.boxes
        ):
            x -= BOX_WIDTH / 2
        return x, y

    def _join(self, source: _Source, place: Point) -> None:
        points = _tidy(((source.x, source.y), (source.x, place[1]), place))
        if source.x != place[0] and place[1] == TOP:
            turn = TOP + LEVEL * 0.55
            points = _tidy(((source.x, source.y), (source.x, turn), (place[0], turn), place))
        self.wires.append(Wire(source.key, points, "gate"))

    # ---- the bus, and shared helpers

    def _bus(self) -> None:
        """Draw the bus `[h_prev, x]`: h_prev comes from the left, x from below."""
        reads = [each.x for each in self.columns if self._reads_bus(each)]
        end = max(reads, default=LEFT)
        enter = LEFT - 22
        self.wires.insert(0, Wire("h_prev", ((14, self.bus_y), (enter, self.bus_y)), "bus"))
        self.wires.insert(1, Wire("x", ((enter, self.bus_y + 78), (enter, self.bus_y)), "bus"))
        self.wires.insert(2, Wire("x", ((enter, self.bus_y), (end, self.bus_y)), "bus"))
        self.joints.append((enter, self.bus_y))
        self.labels.append(Label("h_prev", self._name("h_prev"), (12, self.bus_y - 52)))
        self.labels.append(Label("x", self._name("x"), (enter + 12, self.bus_y + 52)))
        for name in ("h_prev", "x"):
            self._key(Name(name))

    def _operation(self, node: Node, apply: Node, middle: Point, spine: int = 0) -> None:
        """Add the box of one operation; `node` is its result."""
        text, kind = face_of(apply, spine)
        width = 2 * RADIUS if kind == "operator" else max(BOX_WIDTH, LETTER * len(text) + 14)
        width = min(width, COLUMN - 8)
        self.boxes.append(Box(self._key(node), text, kind, middle, width))

    def _inner_label(self, node: Node, place: Point) -> Label:
        """Return the label of a part of a row, with its name if the table gives it one."""
        symbol = self.named.get(write(node), "")
        shown = shortened(self._name(symbol), FEW_LETTERS) if symbol else ""
        return Label(self._key(node), shown, place, chips=False)

    def _name(self, symbol: str) -> str:
        return shortened(UNICODE.name(symbol))

    def _key(self, node: Node) -> str:
        key = self.named.get(write(node)) or write(node)
        self.nodes.setdefault(key, Name(key) if key in self.named.values() else node)
        return key


def _tidy(points: Sequence[Point]) -> tuple[Point, ...]:
    """Remove repeated points of a line and those that it passes straight through."""
    kept: list[Point] = []
    for point in points:
        if kept and kept[-1] == point:
            continue
        if len(kept) > 1 and (
            kept[-2][0] == kept[-1][0] == point[0] or kept[-2][1] == kept[-1][1] == point[1]
        ):
            kept.pop()
        kept.append(point)
    return tuple(kept)
