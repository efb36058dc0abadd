"""Equations as text: the grammar, the expression tree, and its evaluation.

A row such as `f = sigmoid(z_f)` is parsed once, by Python's own parser, into three kinds of node
(number, name, function applied to arguments). Anything outside the whitelist below is rejected
with its column, so a user-defined cell is data and never code.

    expression  := number | name | -e | e + e | e - e | e * e | e / e | e @ e | [e, e] | f(e, ...)

`@` is the matrix product, `*` elementwise, `[a, b]` concatenation. Shapes: every vector may carry
leading batch axes `(…, n)`; a matrix is `(rows, columns)` and multiplies from the left.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import CellError, caret, suggest
from lstm_cli.base.records import record, value_record

Value = TypeVar("Value")

# A row longer or more deeply nested than any LSTM's is an attack on the parser, not a cell.
MAX_LENGTH = 1000
MAX_DEPTH = 40


@value_record
class Number:
    """A constant."""

    value: float


@value_record
class Name:
    """An input, a parameter, or the symbol of a row above."""

    id: str


@value_record
class Apply:
    """An operator or function applied to its arguments; operators are named by their sign."""

    function: str
    arguments: tuple[Node, ...]


Node: TypeAlias = Number | Name | Apply


@value_record
class Equation:
    """One row of a cell, `symbol = expression`, with a label for the symbol."""

    symbol: str
    expression: Node
    label: str = ""


@record
class Function:
    """A function of the grammar: a primitive with NumPy code, or a body in the same grammar.

    `parameters[0]` is the argument; the others are constants with `defaults`. A primitive may also
    have its `compute` as a `formula` in the grammar, for code that cannot call NumPy, and its
    `textbook` form, which is meant for reading and is numerically less accurate. A body that is
    nan at ±inf has a `formula` too, which gives the same numbers, and its limits there.
    """

    parameters: tuple[str, ...]
    defaults: tuple[float, ...] = ()
    compute: Callable[..., Array] | None = None
    body: Node | None = None
    formula: Node | None = None
    textbook: Node | None = None
    activation: bool = True
    operator: bool = False


def sigmoid(z: Array) -> Array:
    """Logistic function of `z (…)`.

    Computed as `exp(min(z, 0)) / (1 + exp(-|z|))`, which is within 2.3 ULP over the whole range,
    whereas `1 / (1 + exp(-z))` is 0 below -709 and the tanh form is off by 750 ULP at -8.
    """
    return np.asarray(np.exp(np.minimum(z, 0.0)) / (1.0 + np.exp(-np.abs(z))))


def _softplus(z: Array) -> Array:
    return np.asarray(np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))))


def _matmul(matrix: Array, vector: Array) -> Array:
    # (rows, n) @ (…, n) -> (…, rows); transposed so that batch axes can lead.
    return np.asarray(vector @ matrix.T)


class Selection(np.ndarray[Any, Any]):
    """A matrix of zeros and ones: its product picks numbers, and 0 · inf is 0."""

    def __rmatmul__(self, vector: Array) -> Array:  # type: ignore[override]
        """Multiply from the left; only infinite sums differ from the usual product."""
        matrix = self.view(np.ndarray)
        product: Array = vector @ matrix
        if np.isnan(product).any():
            terms = vector[..., None, :] * matrix.T
            idle = np.isinf(vector)[..., None, :] & (matrix.T == 0)
            product = np.where(idle, 0.0, terms).sum(axis=-1)
        return product

    @classmethod
    def seen_in(cls, array: Array) -> Array:
        """Return a matrix as a selection if it is one, and any other array as it is."""
        selects = array.ndim == 2 and ((array == 0) | (array == 1)).all()
        return array.view(cls) if selects else array


def _concatenate(*parts: Array) -> Array:
    lead = parts[0].shape[:-1]
    if all(part.shape[:-1] == lead for part in parts):
        return np.concatenate(parts, axis=-1)
    lead = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return np.concatenate(
        [np.broadcast_to(part, (*lead, part.shape[-1])) for part in parts], axis=-1
    )


def _outer(column: Array, row: Array) -> Array:
    # (…, m), (…, n) -> (m, n), summed over batch axes: the gradient of one shared parameter.
    lead = np.broadcast_shapes(column.shape[:-1], row.shape[:-1])
    columns, rows = (
        np.broadcast_to(each, (*lead, each.shape[-1])).reshape(-1, each.shape[-1])
        for each in (column, row)
    )
    return np.asarray(columns.T @ rows)


def _part(joined: Array, place: Array, *parts: Array) -> Array:
    # (…, sum of n) -> (…, n of parts[place]): the slice that holds that part of a `concat`.
    begin = sum(part.shape[-1] for part in parts[: int(place)])
    return joined[..., begin : begin + parts[int(place)].shape[-1]]


def _operator(compute: Callable[..., Any], arity: int = 2) -> Function:
    return Function(("a", "b")[:arity], compute=compute, activation=False, operator=True)


FUNCTIONS: dict[str, Function] = {
    "+": _operator(np.add),
    "-": _operator(np.subtract),
    "*": _operator(np.multiply),
    "/": _operator(np.divide),
    "@": _operator(_matmul),
    "neg": _operator(np.negative, 1),
    "concat": _operator(_concatenate),
    "sigmoid": Function(("z",), compute=sigmoid),
    "tanh": Function(("z",), compute=np.tanh),
    "softplus": Function(("z",), compute=_softplus),
    "exp": Function(("z",), compute=np.exp, activation=False),
    "expm1": Function(("z",), compute=np.expm1, activation=False),
    "abs": Function(("z",), compute=np.abs, activation=False),
    "min": Function(("a", "b"), compute=np.minimum, activation=False),
    "max": Function(("a", "b"), compute=np.maximum, activation=False),
    # 1 where z > 0, else 0; 0 at 0 itself, as in ONNX's ThresholdedRelu.
    "heaviside": Function(("z",), compute=lambda z: np.heaviside(z, 0.0), activation=False),
}

# Functions for rows derived from a cell (`grad` adds to them) and for formulas of primitives;
# the parser accepts none of these in a user's row.
DERIVED: dict[str, Function] = {
    "transpose": _operator(np.transpose, 1),
    "outer": _operator(_outer),
    "part": _operator(_part),
    "log1p": Function(("z",), compute=np.log1p, activation=False),
}


def function_named(name: str) -> Function:
    """Look up a function of the grammar or one reserved for derived rows."""
    return FUNCTIONS.get(name) or DERIVED[name]


_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@"}
_LITERAL = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def parse(text: str, place: str = "") -> Node:
    """Parse one expression into a tree.

    Raises:
        CellError: text outside the grammar, an unknown function or a wrong number of arguments;
            the error has the column and a caret.
    """
    return _Parser(text, place).parse()


class _Parser:
    """Converts Python's syntax tree of an expression into ours, rejecting anything unknown."""

    def __init__(self, text: str, place: str) -> None:
        self.text = text
        self.place = place
        self.indent = len(text) - len(text.lstrip())

    def parse(self) -> Node:
        bad = re.search(r"[^\x20-\x7e]", self.text)
        if bad:
            raise self._error("only ASCII characters are allowed here", bad.start())
        if not self.text.strip():
            raise self._error("the expression is empty", 0)
        if len(self.text) > MAX_LENGTH:
            raise self._error(f"longer than {MAX_LENGTH} characters", MAX_LENGTH)
        try:
            tree = ast.parse(self.text.strip(), mode="eval").body
        except SyntaxError as error:
            # An offset of 0 means that the text ended too early.
            column = error.offset - 1 if error.offset else len(self.text.strip())
            raise self._error(f"not an equation: {error.msg}", self.indent + column) from None
        except (RecursionError, MemoryError):
            raise self._error(f"nested deeper than {MAX_DEPTH}", 0) from None
        return self._convert(tree, 0)

    def _convert(self, node: ast.expr, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._refuse(node, f"nested deeper than {MAX_DEPTH}")
        match node:
            case ast.Constant():
                return self._number(node)
            case ast.Name(id=name):
                return Name(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self._convert(operand, depth + 1)
                negative = Number(-inner.value) if isinstance(inner, Number) else None
                return negative or Apply("neg", (inner,))
            case ast.BinOp(op=op, left=left, right=right) if type(op) in _BINARY:
                sides = (self._convert(left, depth + 1), self._convert(right, depth + 1))
                return Apply(_BINARY[type(op)], sides)
            case ast.List(elts=items) if len(items) >= 2:
                return Apply("concat", tuple(self._convert(item, depth + 1) for item in items))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(node, name, args, depth)
        raise self._refuse(node, f"{_kind(node)} is not part of the grammar")

    def _number(self, node: ast.Constant) -> Number:
        literal = ast.get_source_segment(self.text.strip(), node) or ""
        if not _LITERAL.fullmatch(literal) or not np.isfinite(float(literal)):
            raise self._refuse(node, "not a plain finite number")
        return Number(float(literal))

    def _call(self, node: ast.Call, name: str, args: list[ast.expr], depth: int) -> Apply:
        named = {key: each for key, each in FUNCTIONS.items() if not each.operator}
        if name not in named:
            raise self._refuse(node, f"unknown function '{name}'", suggest(name, named))
        most = len(named[name].parameters)
        least = most - len(named[name].defaults)
        if not least <= len(args) <= most:
            wanted = str(most) if least == most else f"{least} to {most}"
            raise self._refuse(node, f"{name} takes {wanted} arguments, not {len(args)}")
        converted = tuple(self._convert(arg, depth + 1) for arg in args)
        constants = converted[1:] if named[name].body is not None else ()
        for given, constant in zip(args[1:], constants, strict=False):
            if not isinstance(constant, Number):
                raise self._refuse(given, f"{name} takes plain numbers after its first argument")
        return Apply(name, converted)

    def _refuse(self, node: ast.expr, what: str, hint: str = "") -> CellError:
        end = node.end_col_offset or node.col_offset + 1
        return self._error(what, self.indent + node.col_offset, end - node.col_offset, hint)

    def _error(self, what: str, column: int, length: int = 1, hint: str = "") -> CellError:
        place = f"{self.place}, column {column + 1}" if self.place else f"column {column + 1}"
        return CellError(
            what,
            where=f"{place}\n{caret(self.text, column, length)}",
            hint=hint
            or "use names, numbers, + - * / @, [a, b] and functions: `lstm-step list functions`",
        )


_OPERATORS = {ast.Pow: "**", ast.Mod: "%", ast.FloorDiv: "//", ast.BitXor: "^", ast.BitAnd: "&",
              ast.BitOr: "|", ast.LShift: "<<", ast.RShift: ">>"}  # fmt: skip


def _kind(node: ast.expr) -> str:
    """Describe a node: the sign of an operator, otherwise the name of its type."""
    if isinstance(node, ast.BinOp):
        return _OPERATORS.get(type(node.op), "this operator")
    return type(node).__name__


def _define(name: str, text: str, parameters: str = "z", *defaults: float) -> None:
    FUNCTIONS[name] = Function(tuple(parameters.split()), defaults, body=parse(text))


FUNCTIONS["sigmoid"] = replace(
    FUNCTIONS["sigmoid"],
    formula=parse("exp(min(z, 0)) / (1 + exp(-abs(z)))"),
    textbook=parse("1 / (1 + exp(-z))"),
)
FUNCTIONS["softplus"] = replace(
    FUNCTIONS["softplus"],
    formula=Apply("+", (parse("max(z, 0)"), Apply("log1p", (parse("exp(-abs(z))"),)))),
)

# Each of these is written in the same grammar, so whatever handles a cell (evaluation, gradient,
# compiler) handles them; only the primitives above need code of their own.
# Names and defaults of alpha and beta: ONNX operator LSTM, attribute `activations`.
_define("affine", "alpha * z + beta", "z alpha beta", 1.0, 0.0)
_define("relu", "max(z, 0)")
_define("leaky_relu", "max(z, 0) + alpha * min(z, 0)", "z alpha", 0.01)
_define("thresholded_relu", "z * heaviside(z - alpha)", "z alpha", 1.0)
_define("scaled_tanh", "alpha * tanh(beta * z)", "z alpha beta", 1.0, 1.0)
_define("elu", "max(z, 0) + alpha * expm1(min(z, 0))", "z alpha", 1.0)
_define("softsign", "z / (1 + abs(z))")
_define("clip", "min(max(z, low), high)", "z low high")
FUNCTIONS["clip"] = Function(("z", "low", "high"), body=FUNCTIONS["clip"].body, activation=False)
# Keras 1 and 2, ONNX HardSigmoid, Core ML: 0.2 z + 0.5.
_define("hard_sigmoid", "min(max(alpha * z + beta, 0), 1)", "z alpha beta", 0.2, 0.5)
# Keras 3 and PyTorch's hardsigmoid, relu6(z + 3) / 6: at z = 1 it gives 0.6667, not 0.7.
_define("hard_sigmoid_6", "min(max(z / 6 + 0.5, 0), 1)")


# The bounds are beyond where adding 1 matters, and within float32.
for _name, _formula in {
    "softsign": "max(min(z, 1e38), -1e38) / (1 + abs(max(min(z, 1e38), -1e38)))",
    "thresholded_relu": "max(z, alpha) * heaviside(z - alpha)",
}.items():
    FUNCTIONS[_name] = replace(FUNCTIONS[_name], formula=parse(_formula))


def is_activation(name: str) -> bool:
    """Whether `name` is a function that can replace a gate's σ or tanh."""
    return name in FUNCTIONS and FUNCTIONS[name].activation


def evaluate(node: Node, values: Mapping[str, Array]) -> Array:
    """Evaluate a tree, looking up every name in `values`.

    Args:
        values: mapping of name to array; vectors `(…, n)`, matrices `(rows, columns)`.
    """
    match node:
        case Number(value):
            return np.asarray(value)
        case Name(name):
            return values[name]
        case Apply(name, arguments):
            function = function_named(name)
            computed = [evaluate(argument, values) for argument in arguments]
            if function.body is None:
                assert function.compute is not None
                return np.asarray(function.compute(*computed))
            body = function.formula or function.body
            return evaluate(body, bind_arguments(name, computed, np.asarray))


def bind_arguments(
    name: str, given: list[Value], constant: Callable[[float], Value]
) -> dict[str, Value]:
    """Map a body's parameters to their values, filling in defaults by `constant`."""
    function = function_named(name)
    missing = len(function.parameters) - len(given)
    defaults = function.defaults[len(function.defaults) - missing :] if missing else ()
    return dict(zip(function.parameters, [*given, *(constant(d) for d in defaults)], strict=True))


def rebuild(node: Node, change: Callable[[Node], Node]) -> Node:
    """Apply `change` to every node of a tree, leaves first."""
    if isinstance(node, Apply):
        node = Apply(node.function, tuple(rebuild(each, change) for each in node.arguments))
    return change(node)


def substitute(node: Node, replacements: Mapping[str, Node]) -> Node:
    """Replace each name in `replacements` by its tree."""
    return rebuild(
        node, lambda each: replacements.get(each.id, each) if isinstance(each, Name) else each
    )


def nodes_in(node: Node) -> Iterator[Node]:
    """Yield every node of a tree, outermost first and from left to right."""
    waiting: list[Node] = [node]
    while waiting:
        each = waiting.pop()
        yield each
        if isinstance(each, Apply):
            waiting += each.arguments[::-1]


def names_in(node: Node) -> list[str]:
    """List the names used in a tree, in order of first use."""
    return list(dict.fromkeys(each.id for each in nodes_in(node) if isinstance(each, Name)))


def functions_in(node: Node) -> list[str]:
    """List the named functions used in a tree (not the operators), without duplicates."""
    used = dict.fromkeys(each.function for each in nodes_in(node) if isinstance(each, Apply))
    return [name for name in used if not function_named(name).operator]


# ---- rewriting by pattern

# Wildcards of a pattern: `any` matches any subexpression, `act(…)` any activation with its
# constants. The replacement may reuse what a wildcard matched: `o * act(c)` -> `o + act(c)` also
# fits a cell with another output activation.
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
