"""The backward step of a cell, derived from its equations as another table of equations.

`d_f` is the gradient of the loss with respect to `f`. Reverse-mode differentiation of the rows
(Griewank & Walther, "Evaluating Derivatives", 2008, chapter 3): from the last row to the first,
each passes its gradient on to its operands. No cell is special-cased by name; the backward step of
a variant follows from its edit.

It is the full gradient (Graves & Schmidhuber 2005, doi 10.1016/j.neunet.2005.06.042), not the
gradient truncated at the gates that the papers of 1997 and 2000 learn with.

At corners, where no derivative exists: min and max use the left derivative,
so that relu'(0) = 0, leaky_relu'(0) = alpha and elu'(0) = alpha as PyTorch has them; abs'(0) = 0;
heaviside' = 0 everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache

from lstm_cli.base.errors import CellError
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import (
    DERIVED,
    FUNCTIONS,
    Apply,
    Equation,
    Function,
    Name,
    Node,
    Number,
    bind_arguments,
    function_named,
    names_in,
    nodes_in,
    parse,
    substitute,
)
from lstm_cli.cell.notation import INPUT_LABELS, is_parameter, write

PREFIX = "d_"
# Names that a backward row may use besides the values of the forward step, with their labels.
GIVEN: Mapping[str, str] = {
    "d_output": "h, from the loss or the layer above",
    "d_h_next": "h, from the next step",
    "d_c_next": "c, from the next step",
}
_PARAMETERS = {"b": "bias", "p": "peephole"}

# The gradient of each argument (a, b) in terms of the gradient d of the result y.
_RULES: Mapping[str, tuple[Node, ...]] = {
    name: tuple(parse(text) for text in rules)
    for name, rules in {
        "+": ("d", "d"),
        "-": ("d", "-d"),
        "*": ("d * b", "d * a"),
        "/": ("d / b", "-(d * a / (b * b))"),
        "neg": ("-d",),
        "sigmoid": ("d * y * (1 - y)",),
        "tanh": ("d * (1 - y * y)",),
        "softplus": ("d * sigmoid(a)",),
        "exp": ("d * y",),
        "expm1": ("d * exp(a)",),
        "abs": ("d * (heaviside(a) - heaviside(-a))",),
        "min": ("d * (1 - heaviside(a - b))", "d * heaviside(a - b)"),
        "max": ("d * heaviside(a - b)", "d * (1 - heaviside(a - b))"),
        "heaviside": ("0",),
    }.items()
}


@lru_cache(maxsize=64)  # every layer and direction of a model asks for the same table
def grad_table(cell: Cell) -> tuple[Equation, ...]:
    """Return the rows of the backward step, in evaluation order.

    First `d_` of every row of the cell, last row first, and of each concatenation `[a, b]` in
    them; then of the parameters; then of `x`, `h_prev` and `c_prev`. They use the values of the
    forward step, `d_output (…, P)` (the gradient that reaches h in this step from outside), and
    `d_h_next (…, P)` and `d_c_next (…, H)`, which are `d_h_prev` and `d_c_prev` of the next step
    in time.

    The row of a vector has the vector's shape, `(…, n)`. The row of a parameter has the
    parameter's shape, summed over batch axes for a matrix; for a vector parameter the caller that
    evaluates the row does the sum.

    Raises:
        CellError: a row of the cell has a name that the backward step needs.
    """
    rows = _Backprop(cell).rows()
    taken = {*GIVEN, *(row.symbol for row in rows)} & {*cell.symbols}
    if taken:
        raise CellError(
            f"the backward step of {cell.name} needs the name '{min(taken)}'",
            where=f"{cell.name}, row {min(taken)}",
            hint="give that row of the cell another name",
        )
    return rows


def parameter_of(symbol: str) -> str:
    """Return the parameter that a symbol is the gradient of: "W_f" for "d_W_f", "" if none."""
    own = symbol.removeprefix(PREFIX)
    return own if own != symbol and is_parameter(own) else ""


class _Backprop:
    """Gradients accumulated for each name while walking the rows from last to first."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.grads: dict[str, list[Node]] = defaultdict(list)
        self.grads["h"] = [Name("d_output"), Name("d_h_next")]
        self.grads["c"] = [Name("d_c_next")]
        self.joined = _joined(cell)

    def rows(self) -> tuple[Equation, ...]:
        rows: list[Equation] = []
        for row in reversed(self.cell.equations):
            rows.append(self._row(row.symbol, row.label))
            if rows[-1].expression != Number(0.0):
                self.propagate(row.expression, Name(rows[-1].symbol), Name(row.symbol))
            rows += self._part_rows(row)
        rows += [self._row(p, _PARAMETERS.get(p[0], "weights")) for p in self.cell.parameters]
        return (*rows, *(self._row(name, label) for name, label in INPUT_LABELS.items()))

    def _row(self, name: str, label: str) -> Equation:
        grads = self.grads[name]
        if name in ("x", "h_prev"):  # sums over the gates, in the order of the cell's rows
            grads = grads[::-1]
        return Equation(PREFIX + name, total(grads), label)

    def _part_rows(self, row: Equation) -> list[Equation]:
        """Return the rows of the concatenations first used in `row`, which are now complete."""
        rows = []
        for vector in _concats(row.expression):
            name, first = self.joined[vector]
            grads = self.grads.pop(name, [])
            if first == row.symbol and grads:
                # The rows were walked from last to first; the sum is written first to last.
                rows.append(Equation(PREFIX + name, total(grads[::-1]), write(vector)))
                for place, part in enumerate(vector.arguments):
                    whole = (Name(PREFIX + name), Number(float(place)), *vector.arguments)
                    self.propagate(part, Apply("part", whole), part)
            elif grads:
                self.grads[name] = grads
        return rows

    def propagate(self, node: Node, d: Node, y: Node) -> None:
        """Propagate the gradient `d` of a node to every name in it; `y` is the node's value."""
        match node:
            case Name(name):
                self.grads[name].append(d)
            case Apply("concat"):
                self.grads[self.joined[node][0]].append(d)
            case Apply("@", (Name(matrix) as left, vector)):
                self.grads[matrix].append(Apply("outer", (d, vector)))
                back = Apply("@", (Apply("transpose", (left,)), d))
                self.propagate(vector, back, vector)
            case Apply(_, arguments):
                for argument, gradient in zip(arguments, local(node, d, y), strict=False):
                    if names_in(argument) and gradient != Number(0.0):
                        self.propagate(argument, gradient, argument)


def local(node: Apply, d: Node, y: Node) -> tuple[Node, ...]:
    """Return the gradient of each argument of a function, given that of its result.

    Args:
        node: a function applied to its arguments, neither `@` nor a concatenation.
        d: the gradient of its value.
        y: its value: the node itself, or the name of the row that equals it.
    """
    rules = _RULES.get(node.function) or (_body_rule(node),)
    names = dict(zip("ab", node.arguments, strict=False)) | {"d": d, "y": y}
    return tuple(simplified(rule, names) for rule in rules)


def _body_rule(node: Apply) -> Node:
    """Return `d * name'(z, …)`, with the number itself where the derivative is constant."""
    derivative = Apply(_define_derivative(node.function), node.arguments)
    body = function_named(derivative.function).body
    assert body is not None
    if "z" not in names_in(body):
        derivative_value = bind_arguments(node.function, list(node.arguments), Number)
        return Apply("*", (Name("d"), substitute(body, derivative_value)))
    return Apply("*", (Name("d"), derivative))


def _define_derivative(name: str) -> str:
    """Return the name of a function's derivative by its argument, defining it on first use."""
    own = FUNCTIONS[name]
    if name + "'" not in DERIVED:
        assert own.body is not None
        walk = _Backprop(Cell(name, "", ()))
        walk.propagate(own.body, Number(1.0), own.body)
        body = total(walk.grads[own.parameters[0]])
        DERIVED[name + "'"] = Function(own.parameters, own.defaults, body=body, activation=False)
    return name + "'"


def _concats(node: Node) -> list[Apply]:
    """Return the distinct concatenations in a tree, outermost first."""
    found = (each for each in nodes_in(node) if isinstance(each, Apply))
    return list(dict.fromkeys(each for each in found if each.function == "concat"))


def _joined(cell: Cell) -> dict[Node, tuple[str, str]]:
    """Map each concatenation to its name in the backward rows and the first row that uses it."""
    found: dict[Node, tuple[str, str]] = {}
    usual = Apply("concat", (Name("h_prev"), Name("x")))
    for row in cell.equations:
        for each in _concats(row.expression):
            name = "hx" if each == usual else f"joined{len(found) + 1}"
            found.setdefault(each, (name, row.symbol))
    return found


def total(terms: list[Node]) -> Node:
    """Return the simplified sum of terms, 0 if there are none."""
    result: Node = Number(0.0)
    for term in terms:
        result = _sum(result, term)
    return result


def simplified(rule: Node, names: Mapping[str, Node]) -> Node:
    """Substitute trees for the names of a rule and simplify 0 + a, 1 * a, 0 * a, --a and a + -b.

    The substituted trees are left alone: `0 * c_prev` in a cell turns a number into a vector.
    """
    match rule:
        case Name(name):
            return names.get(name, rule)
        case Apply(function, arguments):
            parts = tuple(simplified(each, names) for each in arguments)
            return _simpler(Apply(function, parts))
    return rule


_ZERO, _ONE = Number(0.0), Number(1.0)


def _simpler(node: Node) -> Node:
    match node:
        case Apply("+", (a, b)):
            return _sum(a, b)
        case Apply("-", (a, b)):
            return _sum(a, _negative(b))
        case Apply("*", (a, b)):
            return _product(a, b)
        case Apply("/", (a, b)):
            return a if b == _ONE or a == _ZERO else node
        case Apply("neg", (a,)):
            return _negative(a)
    return node


def _sum(a: Node, b: Node) -> Node:
    if a == _ZERO or b == _ZERO:
        return b if a == _ZERO else a
    return Apply("-", (a, _negative(b))) if _is_negative(b) else Apply("+", (a, b))


def _product(a: Node, b: Node) -> Node:
    if a == _ZERO or b == _ZERO:
        return _ZERO
    if a == _ONE or b == _ONE:
        return b if a == _ONE else a
    for one, other in ((a, b), (b, a)):
        if isinstance(one, Apply) and one.function == "neg":
            inner = one.arguments[0]
            return _negative(_product(inner, other) if one is a else _product(other, inner))
    return Apply("*", (a, b))


def _negative(a: Node) -> Node:
    match a:
        case Number(value):
            return Number(-value if value else 0.0)
        case Apply("neg", (inner,)):
            return inner
    return Apply("neg", (a,))


def _is_negative(a: Node) -> bool:
    return (isinstance(a, Apply) and a.function == "neg") or (isinstance(a, Number) and a.value < 0)
