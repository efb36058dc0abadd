"""Equations in plain text, Unicode and LaTeX, in joined or split notation.

The only file that knows how a symbol looks. Plain text is the grammar itself and parses back to
the same tree, except for syntax found only in derived rows (`W.T`, `outer`, `f'`, a part `v[x]`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

from lstm_cli.base.errors import suggest
from lstm_cli.base.numbers import shortest, typeset
from lstm_cli.base.records import record
from lstm_cli.cell.equations import (
    FUNCTIONS,
    Apply,
    Equation,
    Name,
    Node,
    Number,
    function_named,
    rebuild,
)

Notation = Literal["joined", "split"]

# What the inputs of a step are called; a row brings its own label.
INPUT_LABELS = {
    "x": "input",
    "h_prev": "previous hidden state",
    "c_prev": "previous cell state",
}

# What people call a row, without its time.
_SPOKEN = {
    "forget": "f", "input_gate": "i", "candidate": "g", "c_tilde": "g", "output_gate": "o",
    "cell": "c", "hidden": "h", "input": "x",
}  # fmt: skip

# Parameter names: a matrix starts with a capital (W_f, U_f, W_hr), a vector with b or p.
_PARAMETER = re.compile(r"[A-Z]\w*|[bp]_\w+")


def is_parameter(name: str) -> bool:
    """Whether a name is a weight, a bias or a peephole rather than a row or an input."""
    return _PARAMETER.fullmatch(name) is not None


def is_matrix(name: str) -> bool:
    """Whether a parameter is a matrix, judging by its name."""
    return is_parameter(name) and name[0].isupper()


@record
class Style:
    """How one kind of output writes operators, functions, names and numbers."""

    operators: dict[str, str]
    functions: dict[str, str]
    name: Callable[[str], str]
    number: Callable[[float], str]
    scale: str  # `*` next to a plain number
    apply: str  # `@` before a plain name
    transposed: str = ".T"
    prime: str = "'"  # after a function's name: its derivative
    bracket: tuple[str, str] = ("(", ")")


def _unicode_name(name: str) -> str:
    known = {"g": "C̃_t", "c": "C_t", "c_prev": "C_{t−1}", "h_prev": "h_{t−1}", "x": "x_t"}
    if name in known or is_parameter(name) or "_" in name:
        return known.get(name, name)
    return f"{name}_t"


def _latex_name(name: str) -> str:
    known = {"g": r"\tilde{C}_t", "c": "C_t", "c_prev": "C_{t-1}", "h_prev": "h_{t-1}"}
    if name in known:
        return known[name]
    stem, _, subscript = name.partition("_")
    subscript = subscript.replace("_", r"\_")
    letter = stem if len(stem) == 1 else rf"\mathrm{{{stem}}}"
    if not subscript:
        return letter if is_parameter(name) else f"{letter}_t"
    return f"{letter}_{subscript}" if len(subscript) == 1 else f"{letter}_{{{subscript}}}"


def gradient_style(style: Style) -> Style:
    """Return a style that writes `d_f`, the gradient of f, as δf (as in Greff et al. 2017).

    Plain text keeps `d_f`.
    """
    if style is PLAIN:
        return style
    delta, word = ("δ", "{}") if style is UNICODE else (r"\delta ", r"\mathrm{{{}}}")

    def name(symbol: str) -> str:
        own = symbol.removeprefix("d_")
        if own == symbol:
            return style.name(symbol)
        if own in ("h_next", "c_next"):
            stem = style.name(own[0]).removesuffix("_t")
            return f"{delta}{stem}_{{{word.format('next')}}}"
        return delta + (word.format(own) if own in ("hx", "output") else style.name(own))

    return replace(style, name=name)


PLAIN = Style(
    operators={"+": " + ", "-": " - ", "*": " * ", "/": " / ", "@": " @ ", "neg": "-"},
    functions={},
    name=str,
    number=shortest,
    scale=" * ",
    apply=" @ ",
)
UNICODE = Style(
    operators=PLAIN.operators | {"-": " − ", "*": " ⊙ ", "@": " · ", "neg": "−", "outer": " ⊗ "},
    functions={"sigmoid": "σ", "hard_sigmoid": "hard-σ", "hard_sigmoid_6": "hard-σ₆"},
    name=_unicode_name,
    number=lambda value: typeset(shortest(value)),
    scale="·",
    apply=" ",
    transposed="ᵀ",
    prime="′",
)
LATEX = Style(
    operators=PLAIN.operators | {"*": r" \odot ", "@": r" \cdot ", "outer": r" \otimes "},
    functions={name: rf"\operatorname{{{name}}}".replace("_", r"\_") for name in FUNCTIONS}
    | {"sigmoid": r"\sigma"} | {name: rf"\{name}" for name in ("tanh", "exp", "min", "max")},
    name=_latex_name,
    number=shortest,
    scale=r" \cdot ",
    apply=r"\, ",
    transposed=r"^{\top}",
    bracket=(r"\left(", r"\right)"),
)  # fmt: skip

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "@": 2, "outer": 2, "neg": 3}
_ATOM = 4


def write(node: Node, style: Style = PLAIN) -> str:
    """Write an expression as text in a style."""
    return _write(node, style)[0]


def _write(node: Node, style: Style) -> tuple[str, int]:
    """Return the text of a node and the precedence of its outermost operator."""
    match node:
        case Number(value):
            return style.number(value), _PRECEDENCE["neg"] if value < 0 else _ATOM
        case Name(name):
            return style.name(name), _ATOM
        case Apply("concat", arguments):
            return "[" + ", ".join(write(each, style) for each in arguments) + "]", _ATOM
        case Apply("neg", (operand,)):
            return style.operators["neg"] + _side(operand, style, 3), 3
        case Apply("transpose", (matrix,)):
            return _side(matrix, style, _ATOM) + style.transposed, _ATOM
        case Apply("part", (joined, Number(place), *parts)):
            return f"{_side(joined, style, _ATOM)}[{write(parts[int(place)], style)}]", _ATOM
        case Apply(sign, (left, right)) if sign in style.operators:
            level = _PRECEDENCE[sign]
            # Left-associative, so equal precedence on the right keeps its parentheses.
            sides = _side(left, style, level), _side(right, style, level + 1)
            return _between(sign, left, right, style).join(sides), level
        case Apply(name, arguments):
            inner = ", ".join(write(each, style) for each in arguments)
            opening, closing = style.bracket
            return function_name(name, style) + opening + inner + closing, _ATOM
    raise AssertionError(node)


def function_name(name: str, style: Style) -> str:
    """Return a function's name as printed; `tanh'` is the derivative of tanh."""
    own = name.removesuffix("'")
    return style.functions.get(own, own) + style.prime * (own != name)


def _between(sign: str, left: Node, right: Node, style: Style) -> str:
    if sign == "*" and (isinstance(left, Number) or isinstance(right, Number)):
        return style.scale
    if sign == "@" and not (isinstance(right, Apply) and right.function == "concat"):
        return style.apply
    return style.operators[sign]


def _side(node: Node, style: Style, level: int) -> str:
    text, own = _write(node, style)
    opening, closing = style.bracket
    return text if own >= level else f"{opening}{text}{closing}"


def write_row(matrix: str, row: int, vector: Node, style: Style = PLAIN) -> str:
    """Write the product of one row of a matrix with a vector: `W_f[2] · [h_{t−1}, x_t]`."""
    place = f"[{row}]"  # no name in the grammar contains a bracket
    marked = replace(
        style,
        name=lambda name: style.name(name.removesuffix(place)) + place * name.endswith(place),
        bracket=("(", ")"),
    )
    return write(Apply("@", (Name(matrix + place), vector)), marked)


def split(node: Node) -> Node:
    """Rewrite each `W_k @ [h_prev, x]` in a tree as `W_k @ x + U_k @ h_prev`.

    This is the same value in the notation that gives each input its own matrix; `U_k` is the
    leading columns of the joined `W_k`, those that multiply `h_prev`.
    """
    return rebuild(node, _split_product)


def _split_product(node: Node) -> Node:
    match node:
        case Apply("@", (Name(name), Apply("concat", (Name("h_prev") as h, Name("x") as x)))):
            recurrent = Name("U" + name[1:])
            return Apply("+", (Apply("@", (Name(name), x)), Apply("@", (recurrent, h))))
    return node


def write_equation(
    equation: Equation, style: Style = PLAIN, notation: Notation = "joined"
) -> tuple[str, str]:
    """Write the two sides of a row, `("f_t", "σ(z_f)")`, in a style and notation."""
    expression = split(equation.expression) if notation == "split" else equation.expression
    return style.name(equation.symbol), write(expression, style)


def write_definition(name: str, style: Style = PLAIN) -> str:
    """Write out a function that has a body, with constants at their defaults.

    For example `hard_sigmoid(z) = min(max(0.2 * z + 0.5, 0), 1)`; "" for a primitive.
    """
    function = function_named(name)
    if function.body is None:
        return ""
    shown = f"{function_name(name, style)}({', '.join(function.parameters)})"
    local = replace(style, name=str)
    first = len(function.parameters) - len(function.defaults)
    named = zip(function.parameters[first:], function.defaults, strict=True)
    constants = ", ".join(f"{key} = {style.number(value)}" for key, value in named)
    tail = f"   ({constants} unless given)" if constants else ""
    return f"{shown} = {write(function.body, local)}{tail}"


def suggest_symbol(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'f'?" for `forget`, `forget_gate`, `f_t` or `ft`; else as `suggest`."""
    names = list(known)
    plain = word.lower().replace("-", "_")
    short = re.sub("_(?:gate|state)$", "", plain)
    timeless = re.sub("_?t$", "", plain)
    for each in (plain, short, timeless):
        if (symbol := _SPOKEN.get(each, each)) in names:
            return f"did you mean '{symbol}'?"
    return suggest(word, names)
