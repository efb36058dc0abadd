"""Worked arithmetic: whatever is printed, read back by other code, is the engine's number."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import UsageError
from lstm_cli.cell.cells import LSTM, Cell, parse_table
from lstm_cli.cell.notation import LATEX, PLAIN, UNICODE, Notation, Style
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.engine.run import Trace, run
from lstm_cli.show.arithmetic import Working, work_out
from tests.cases import WITNESS_SPECS, as_witness, spec_cell
from tests.conftest import random_arrays, random_inputs, random_weights
from tests.witness import ACTIVATIONS

# ---- a reader of printed arithmetic that knows nothing of the package


class Row:
    """A row of a matrix, which multiplies a vector or a list of vectors to be joined."""

    def __init__(self, numbers: Array) -> None:
        self.numbers = numbers.tolist()

    def __mul__(self, vector: Any) -> float:
        joined = np.concatenate(vector) if isinstance(vector, list) else vector
        return math.fsum(a * b for a, b in zip(self.numbers, joined.tolist(), strict=True))

    __matmul__ = __mul__


class Matrix:
    def __init__(self, rows: Array) -> None:
        self.rows = rows

    def __getitem__(self, row: int) -> Row:
        return Row(self.rows[row])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: np.vectorize(function, otypes=[float]) for name, function in ACTIVATIONS.items()
} | {
    "exp": np.exp,
    "expm1": np.expm1,
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
    "heaviside": np.vectorize(lambda z: 1.0 if z > 0 else 0.0),
    "clip": np.vectorize(lambda z, low, high: min(max(z, low), high)),
    "frac": lambda a: lambda b: a / b,
    "inf": math.inf,
    "nan": math.nan,
}
NAMES = {"C̃_t": "g", "C_{t−1}": "c_prev", "C_t": "c", "h_{t−1}": "h_prev", "x_t": "x"}
SMALL = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def as_python(text: str, style: Style) -> str:
    """Return printed arithmetic as a Python expression."""
    if style is LATEX:
        text = from_latex(text)
    for shown, name in NAMES.items():
        text = text.replace(shown, name)
    text = re.sub(r"·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda m: "e" + m[1].translate(SMALL), text)
    text = re.sub(r"\(\d+ more terms?: ([^)]*)\)", r"(\1)", text)
    text = re.sub(r"\(\d+ (numbers|weights)\)", "1", text)
    text = text.replace("hard-σ₆(", "hard_sigmoid_6(").replace("hard-σ(", "hard_sigmoid(")
    text = text.replace("σ(", "sigmoid(").replace("e^(", "exp(").replace("−", "-")
    text = text.replace("·", "*").replace("⊙", "*")
    text = re.sub(r"(\b[A-Z]\w*\[\d+\]) (?=[\w(])", r"\1 * ", text)
    return re.sub(r"\b([a-z]\w*)_t\b", r"\1", text)


def from_latex(text: str) -> str:
    """Return LaTeX as the Unicode that says the same."""
    text = text.replace(r"\tilde{C}_t", "C̃_t").replace("_{t-1}", "_{t−1}")
    text = re.sub(r"\\operatorname\{(.*?)\}", lambda m: m[1].replace(r"\_", "_"), text)
    text = re.sub(r"\\mathrm\{(.*?)\}", r"\1", text)
    text = re.sub(r"([A-Za-z])_\{(?!t)(\w+)\}", r"\1_\2", text)
    text = re.sub(r"\\underbrace\{(.*?)\}_\{\\text\{(.*?)\}\}", r"(\2: \1)", text)
    text = re.sub(r"\\text\{(.*?)\}", r"\1", text)
    text = re.sub(r" \\cdot 10\^\{(-?\d+)\}", r"e\1", text)
    for sign, own in ((r" \cdot ", " · "), (r" \odot ", " ⊙ "), (r"\, ", " "), (r"\infty", "inf")):
        text = text.replace(sign, own)
    text = re.sub(r"\\(frac|tanh|exp|min|max)", r"\1", text).replace(r"\sigma", "σ")
    kept = text.replace("_{t−1}", "\0")
    return kept.replace("{", "(").replace("}", ")").replace("\0", "_{t−1}")


def read(text: str, style: Style, names: Mapping[str, Any]) -> float:
    """Return the value of printed arithmetic."""
    expression = as_python(text, style)
    with np.errstate(all="ignore"):
        return float(eval(expression, {"__builtins__": {}}, {**FUNCTIONS, **names}))


def names_of(trace: Trace, t: int, notation: Notation) -> dict[str, Any]:
    """Return what the names in a formula stand for."""
    (each,) = trace.layers
    names: dict[str, Any] = {symbol: array[t - 1] for symbol, array in each.values.items()}
    wide = names["h"].size
    for name, array in each.weights.arrays.items():
        names[name] = Matrix(array) if array.ndim == 2 else array
        if notation == "split" and array.shape[1:] == (wide + names["x"].size,):
            names[name] = Matrix(array[:, wide:])
            names["U" + name[1:]] = Matrix(array[:, :wide])
    return names


def assert_true(work: Working, style: Style, names: Mapping[str, Any]) -> None:
    """Assert that each stage, read back, is the value."""
    for stage in work.stages:
        assert read(stage, style, names) == pytest.approx(work.value, rel=1e-11, abs=1e-13), stage


def worked(trace: Trace, t: int, **how: Any) -> list[Working]:
    """Return every number of a step of one layer, worked out."""
    (each,) = trace.layers
    return [
        work_out(each, t, symbol, unit, digits=17, **how)
        for symbol in each.cell.symbols
        for unit in range(each.values[symbol].shape[-1])
    ]


# ---- what is printed is true


@pytest.mark.parametrize("most", [2, 8])
@pytest.mark.parametrize("notation", ["joined", "split"])
@pytest.mark.parametrize("name", WITNESS_SPECS)
@pytest.mark.few(20)
def test_every_stage_is_the_number(name: str, notation: Notation, most: int) -> None:
    """For every cell, row and unit each stage reads back as the number of the second witness."""
    weights = random_weights(spec_cell(name), seed=5)
    x, h, c = random_inputs(weights, 2, seed=6)
    trace = run(Model.single(weights), x, h, c)
    told = as_witness(weights, **WITNESS_SPECS[name]).run(x.tolist(), h.tolist(), c.tolist())[1]
    names = names_of(trace, 2, notation)
    for work in worked(trace, 2, notation=notation, most_terms=most):
        assert_true(work, UNICODE, names)
        if work.symbol in told:
            assert work.value == pytest.approx(told[work.symbol][work.unit], abs=1e-13)


@pytest.mark.parametrize("style", [PLAIN, LATEX], ids=["plain", "latex"])
@pytest.mark.parametrize("name", WITNESS_SPECS)
def test_every_style_says_the_same(name: str, style: Style) -> None:
    """Plain text and LaTeX read back as the number too."""
    weights = random_weights(spec_cell(name), seed=7)
    trace = run(Model.single(weights), *random_inputs(weights, 1, seed=8))
    names = names_of(trace, 1, "joined")
    for work in worked(trace, 1, style=style, most_terms=3):
        assert_true(work, style, names)


OWN = """
q = sigmoid(b_q)
n = W_n @ [tanh(U_x @ x), h_prev / (1 + abs(c_prev)), x]
m = max(n, q) * exp(-n) + p_m * min(c_prev, n)
dead = softplus(n)
c = q * c_prev + (1 - q) * m - (n - m) - -0.25
both = [c, [m, c]]
k = tanh(W_k @ (0.5 + 0 * c))
h = tanh(W_c @ both) * k - 0.5 * softsign(c)
"""


@pytest.mark.parametrize("style", [UNICODE, PLAIN, LATEX], ids=["unicode", "plain", "latex"])
def test_a_cell_of_ones_own(style: Style) -> None:
    """A user's table, with products in products and joins in joins, is worked out like any."""
    cell = Cell("own", "", parse_table(OWN))
    sizes = {"I": 2, "H": 3, "P": 3, "rows of U_x": 2}
    weights = LstmWeights(cell, random_arrays(cell, sizes, seed=9))
    trace = run(Model.single(weights), *random_inputs(weights, 2))
    names = names_of(trace, 2, "joined")
    for work in worked(trace, 2, style=style):
        stages = work.stages[1:] if "[" in work.stages[0].replace(f"[{work.unit}]", "") else ()
        assert_true(Working(work.symbol, work.unit, "", stages or work.stages, work.value),
                    style, names)  # fmt: skip


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return expressions made of smaller ones."""
    one = ("-({0})", "tanh({0})", "sigmoid(-({0}))", "hard_sigmoid({0}, 0.3)", "clip({0}, -0.5, 0.5)",
           "elu({0}, 0.7)", "exp(min({0}, 1))", "W_c @ [{0}, x]", "2 - ({0})", "({0}) * -0.25")  # fmt: skip
    two = ("({0}) + ({1})", "({0}) - ({1})", "({0}) * ({1})", "({0}) / (1 + abs({1}))",
           "min({0}, {1})", "max({0}, {1})")  # fmt: skip
    return st.builds(str.format, st.sampled_from(one), inner) | st.builds(
        str.format, st.sampled_from(two), inner, inner
    )


@given(st.recursive(st.sampled_from(["c_prev", "b_c", "p_c"]), larger, max_leaves=6))
@settings(max_examples=150, deadline=None)
def test_any_expression_is_worked_out(text: str) -> None:
    """Whatever the grammar can say in a row, each stage of it reads back as its value."""
    cell = Cell("own", "", parse_table(f"c = {text} + 0 * (W_c @ [c_prev, x] + b_c + p_c)\nh = c"))
    weights = LstmWeights(cell, random_arrays(cell, {"I": 2, "H": 3, "P": 3}, seed=3))
    trace = run(Model.single(weights), *random_inputs(weights, 1, seed=4))
    for work in worked(trace, 1, most_terms=2):
        for stage in work.stages[1:]:
            assert read(stage, UNICODE, {}) == pytest.approx(work.value, rel=1e-9, abs=1e-9), stage


# ---- how it is printed


def question() -> Trace:
    """The step that a student once asked about, under identity weights."""
    arrays: dict[str, Array] = {f"W_{k}": np.hstack([np.eye(5), np.eye(5)]) for k in "figo"}
    arrays |= {f"b_{k}": np.zeros(5) for k in "figo"}
    model = Model.single(LstmWeights(LSTM, arrays))
    return run(model, [[-0.1, 0.3, 0.1, -0.25, 0.1]], [0, 0.5, 0.1, 0.2, 0.6], np.zeros(5))


EXPECTED = {
    "z_f": "z_f[1] = W_f[1] · [h_{t−1}, x_t] + b_f[1] = 1·0.5 + 1·0.3 + 0·(8 numbers) + 0 = 0.8",
    "f": "f_t[1] = σ(z_f[1]) = σ(0.8) = 1 / (1 + e^(−0.8)) = 0.689974",
    "g": "C̃_t[1] = tanh(z_g[1]) = tanh(0.8) = 0.664037",
    "c": "C_t[1] = f_t[1]·C_{t−1}[1] + i_t[1]·C̃_t[1] = 0.689974·0 + 0.689974·0.664037 = 0.458168",
    "h": "h_t[1] = o_t[1]·tanh(C_t[1]) = 0.689974·tanh(0.458168) = 0.689974·0.428590 = 0.295716",
    "x": "x_t[1] = 0.3",
}


@pytest.mark.parametrize("symbol", EXPECTED)
def test_it_is_written_as_by_hand(symbol: str) -> None:
    """Each row goes from the formula over its numbers to the value, as in a lecture."""
    work = work_out(question().layers[0], 1, symbol, 1)
    assert " = ".join((work.shown, *work.stages)) == EXPECTED[symbol]


def single(rows: str, arrays: Mapping[str, Any], x: list[float], c: list[float], **how: Any) -> str:
    """Return the stages of c[0] in a table of one's own."""
    cell = Cell("own", "", parse_table(f"{rows}\nh = c"))
    weights = LstmWeights(cell, {k: np.array(v, dtype=float) for k, v in arrays.items()})
    trace = run(Model.single(weights), [x], [0.0] * len(c), c, dtype=how.pop("dtype", np.float64))
    return " = ".join(work_out(trace.layers[0], 1, "c", 0, **how).stages)


SINGLE: dict[str, tuple[Any, ...]] = {
    "negative factors": ("c = W_c @ x - c_prev", {"W_c": [[2, -3]]}, [-0.5, -1.5], [-4.0],
        "W_c[0] x_t − C_{t−1}[0] = 2·(−0.5) + (−3)·(−1.5) − (−4) = −1 + 4.5 − (−4) = 7.5"),
    "small numbers": ("c = W_c @ x + c_prev", {"W_c": [[2e-7]]}, [0.5], [1.0],
        "W_c[0] x_t + C_{t−1}[0] = (2·10⁻⁷)·0.5 + 1 = 1.000000"),
    "a small sum": ("c = W_c @ x", {"W_c": [[2e-7]]}, [0.5], [1.0],
        "W_c[0] x_t = (2·10⁻⁷)·0.5 = 1·10⁻⁷"),
    "nothing to weigh": ("c = W_c @ x + c_prev", {"W_c": [[1, 2, 3, 4]]}, [0, 0, 0, 2], [1.0],
        "W_c[0] x_t + C_{t−1}[0] = 4·2 + (3 weights)·0 + 1 = 9"),
    "zeros that meet": ("c = W_c @ x + c_prev", {"W_c": [[0, 0, 0, 4]]}, [0, 0, 0, 2], [1.0],
        "W_c[0] x_t + C_{t−1}[0] = 4·2 + 0·(3 numbers) + 1 = 9"),
    "a sign before a name": ("c = 1 + 0 * (W_c @ x) * -c_prev", {"W_c": [[1]]}, [1], [-2.0],
        "1 + 0·(W_c[0] x_t)·(−C_{t−1}[0]) = 1 + 0·(1·1)·2 = 1"),
    "only zeros": ("c = W_c @ x + c_prev", {"W_c": [[0, 0, 0]]}, [1, 2, 3], [1.0],
        "W_c[0] x_t + C_{t−1}[0] = 0·(3 numbers) + 1 = 1"),
    "the negative of a negative": ("c = sigmoid(c_prev) + 0 * (W_c @ x)", {"W_c": [[1]]}, [1], [-2.0],
        "σ(C_{t−1}[0]) + 0·(W_c[0] x_t) = σ(−2) + 0·(1·1) = 1 / (1 + e^(2)) + 0·(1·1) = "
        "0.119203 + 0·(1·1) = 0.119203"),
    "the form of a function": ("c = hard_sigmoid(c_prev + W_c @ x)", {"W_c": [[1]]}, [1], [0.5],
        "hard-σ(C_{t−1}[0] + W_c[0] x_t) = hard-σ(0.5 + 1·1) = hard-σ(1.5) = "
        "min(max(0.2·1.5 + 0.5, 0), 1) = min(max(0.8, 0), 1) = 0.8"),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "arrays", "x", "c", "expected"), SINGLE.values(), ids=SINGLE)
def test_signs_powers_and_forms(
    rows: str, arrays: dict[str, Any], x: list[float], c: list[float], expected: str
) -> None:
    """Parentheses stand where a sign or a power needs them, zeros are told by their count."""
    assert single(rows, arrays, x, c) == expected


def test_latex_has_fractions_powers_and_braces() -> None:
    """LaTeX sets a quotient as a fraction, e and 10 with exponents, the rest under a brace."""
    each = question().layers[0]
    assert work_out(each, 1, "f", 1, style=LATEX).stages[2] == r"\frac{1}{1 + e^{-0.8}}"
    arrays = {"W_c": [[2e-7, 1, 3]]}
    stages = single("c = W_c @ x", arrays, [0.5, 2, 1], [1.0], style=LATEX, most_terms=1)
    assert r"3 \cdot 1 + {\underbrace{2.000000}_{\text{2 more terms}}} = 5.000000" in stages
    stages = single("c = W_c @ x", {"W_c": [[2e-7]]}, [0.5], [1.0], style=LATEX)
    assert r"(2 \cdot 10^{-7}) \cdot 0.5 = 1 \cdot 10^{-7}" in stages


def test_long_sums_show_the_largest_terms() -> None:
    """Of 70 products the eight largest stand in order; the rest is counted and added up right."""
    weights = random_weights(LSTM, inputs=6, hidden=64, seed=2)
    x, h, c = random_inputs(weights, 1, seed=3)
    each = run(Model.single(weights), x, h, c).layers[0]
    text = work_out(each, 1, "z_o", 40, digits=12).stages[1]
    products = [w * v for w, v in zip(weights.arrays["W_o"][40], [*h, *x[0]], strict=True)]
    order = sorted(range(70), key=lambda j: -abs(products[j]))
    terms, count, rest = re.fullmatch(
        r"(.*) \+ \((\d+) more terms: (\S+)\) [+−] \S+", text
    ).groups()  # type: ignore[union-attr]
    shown = [read(term, UNICODE, {}) for term in terms.split(" + ")]
    assert shown == pytest.approx([products[j] for j in sorted(order[:8])], abs=1e-11)
    assert count == "62"
    assert read(rest, UNICODE, {}) == pytest.approx(
        math.fsum(products[j] for j in order[8:]), abs=1e-11
    )


@pytest.mark.parametrize("digits", [1, 3, 6])
def test_numbers_are_rounded_alike(digits: int) -> None:
    """No number is written with more decimals than asked for."""
    weights = random_weights(spec_cell("peephole"), seed=4)
    trace = run(Model.single(weights), *random_inputs(weights, 1))
    for symbol in trace.model.cell.symbols:
        work = work_out(trace.layers[0], 1, symbol, 2, digits=digits)
        decimals = re.findall(r"\.(\d+)(?!\d*·10)", " ".join(work.stages))
        assert max(map(len, decimals), default=0) <= digits
        assert read(work.stages[-1], UNICODE, {}) == pytest.approx(
            work.value, abs=0.51 * 10**-digits
        )


def test_float32_shows_the_rounded_weights() -> None:
    """A float32 run is worked out with the weights as the engine rounded them."""
    text = single("c = W_c @ x", {"W_c": [[0.1]]}, [1], [1.0], dtype=np.float32, digits=12)
    assert text == "W_c[0] x_t = 0.100000001490·1 = 0.100000001490".replace("490", "49")


def test_what_overflows_is_shown() -> None:
    """inf and nan come out under their names and hide nothing."""
    text = single("c = exp(W_c @ x) - exp(c_prev)", {"W_c": [[1000]]}, [1], [1000.0])
    assert text.endswith("= inf − inf = nan")
    arrays = {"W_c": [[0, 0, 0, 1]]}
    text = single("c = W_c @ x", arrays, [1, 2, np.inf, 4], [1.0])
    assert text == "W_c[0] x_t = 0·1 + 0·2 + 0·inf + 1·4 = nan"


@pytest.mark.parametrize(
    ("symbol", "unit", "words"),
    [("q", 0, "the cell does not compute 'q'"), ("f", 5, "f has no unit 5"), ("x", -1, "0 to 4")],
)  # fmt: skip
def test_what_is_not_there_is_refused(symbol: str, unit: int, words: str) -> None:
    """An unknown symbol and a unit outside its vector are usage errors."""
    with pytest.raises(UsageError) as caught:
        work_out(question().layers[0], 1, symbol, unit)
    assert words in str(caught.value)
