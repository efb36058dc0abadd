"""The grammar: what it takes, what it refuses and where, and what it computes."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_cli.base.errors import CellError
from lstm_cli.cell.equations import (
    FUNCTIONS,
    Apply,
    Name,
    Node,
    Number,
    evaluate,
    is_activation,
    names_in,
    parse,
    sigmoid,
    substitute,
)
from lstm_cli.cell.notation import write
from tests.witness import ACTIVATIONS


def value(text: str, **names: object) -> list[float]:
    result = evaluate(parse(text), {k: np.asarray(v, dtype=float) for k, v in names.items()})
    return np.asarray(result).tolist()


def test_operators_compute_what_they_say() -> None:
    """Each operator by hand: sums, products, matrix product, concatenation, sign."""
    a, b = [1.0, 2.0], [10.0, 20.0]
    assert value("a + b * a - b / a", a=a, b=b) == [1 + 10 * 1 - 10 / 1, 2 + 20 * 2 - 20 / 2]
    assert value("W @ [a, b]", W=[[1, 2, 3, 4]], a=a, b=b) == [1 * 1 + 2 * 2 + 3 * 10 + 4 * 20]
    assert value("-a * b", a=a, b=b) == [-10, -40]
    assert value("1 - a", a=a) == [0, -1]


def test_batch_axes_lead() -> None:
    """Vectors may carry batch axes; a matrix meets the last one, and concatenation broadcasts."""
    W, x, h = np.arange(12.0).reshape(2, 6), np.ones((7, 3, 4)), np.array([5.0, 6.0])
    got = evaluate(parse("W @ [h, x]"), {"W": W, "x": x, "h": h})
    assert got.shape == (7, 3, 2)
    assert np.allclose(got, W @ np.array([5, 6, 1, 1, 1, 1]))


@pytest.mark.parametrize(
    ("text", "column", "word"),
    [
        ("x ** 2", 1, r"\*\* is not part"),
        ("foo(x)", 1, "unknown function 'foo'"),
        ("x[0]", 1, "Subscript"),
        ("a + x.real", 5, "Attribute"),
        ("__import__('os')", 1, "unknown function"),
        ("sigmoid(x, 1)", 1, "takes 1"),
        ("a + sigmoid()", 5, "takes 1"),
        ("clip(x, 1)", 1, "takes 3"),
        ("clip(x, a, 2)", 9, "plain numbers"),
        ("a + 1_000", 5, "plain finite number"),
        ("a + 0x10", 5, "plain finite number"),
        ("1e999 * a", 1, "plain finite number"),
        ("a + True", 5, "plain finite number"),
        ("a + 'b'", 5, "plain finite number"),
        ("(lambda: 1)()", 1, "Call"),
        ("a if b else c", 1, "IfExp"),
        ("a < b", 1, "Compare"),
        ("[a]", 1, "List"),
        ("a and b", 1, "BoolOp"),
        ("f(x=1)", 1, "Call"),
        ("a +", 4, "not an equation"),
        ("a := b", 3, "not an equation"),
        ("a + é", 5, "ASCII"),
        ("", 1, "empty"),
        ("+a", 1, "UnaryOp"),
        ("sigmoid(*a)", 9, "Starred"),
    ],
)
def test_everything_else_is_refused_at_its_column(text: str, column: int, word: str) -> None:
    """What is outside the grammar is refused, with the column and a caret right under it."""
    with pytest.raises(CellError, match=word) as caught:
        parse(text)
    lines = caught.value.where.split("\n")
    assert lines[0] == f"column {column}"
    assert lines[2].index("^") == column - 1


@pytest.mark.parametrize(
    "text", ["(" * 300 + "a" + ")" * 300, "-" * 200 + "a", "a" * 1001, "[" * 500, "a+" * 499 + "a"]
)
def test_deep_and_long_rows_are_refused(text: str) -> None:
    """Depth and length are bounded: an error of ours, never a crash of the parser."""
    with pytest.raises(CellError):
        parse(text)


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Whatever a file holds, the answer is a tree or a CellError."""
    try:
        parse(text)
    except CellError as error:
        assert error.hint


def trees() -> st.SearchStrategy[Node]:
    leaves: st.SearchStrategy[Node] = st.one_of(
        st.sampled_from(["x", "h_prev", "W_f", "b_i", "f"]).map(Name),
        st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: Number(v + 0.0)),
    )

    def grow(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        pairs = st.tuples(inner, inner)
        return st.one_of(
            st.tuples(st.sampled_from(["+", "-", "*", "/", "@"]), pairs).map(lambda t: Apply(*t)),
            inner.filter(lambda n: not isinstance(n, Number)).map(lambda n: Apply("neg", (n,))),
            pairs.map(lambda p: Apply("concat", p)),
            inner.map(lambda n: Apply("sigmoid", (n,))),
            pairs.map(lambda p: Apply("min", p)),
        )

    return st.recursive(leaves, grow, max_leaves=12)


@given(trees())
def test_plain_text_parses_back_to_the_same_tree(tree: Node) -> None:
    """Writing a tree and parsing it gives the tree again: parentheses are where they must be."""
    assert parse(write(tree)) == tree


def test_substitution_and_names() -> None:
    """`old` in an edit is replaced as a whole, whatever stands around it."""
    node = substitute(parse("2 * old"), {"old": parse("a + b")})
    assert write(node) == "2 * (a + b)"
    assert names_in(node) == ["a", "b"]


ACTIVATION_NAMES = [name for name in FUNCTIONS if is_activation(name)]


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_activations_agree_with_the_witness(name: str) -> None:
    """Every activation, at its default constants, equals an independent definition."""
    points = np.array([-30.0, -3.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.5, 3.0, 20.0])
    got = evaluate(parse(f"{name}(z)"), {"z": points})
    assert np.allclose(got, [ACTIVATIONS[name](z) for z in points], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "name", [name for name, function in FUNCTIONS.items() if function.formula is not None]
)
def test_a_formula_is_what_the_function_computes(name: str) -> None:
    """What code is generated from gives the numbers of the NumPy code or the body, bit for bit."""
    function = FUNCTIONS[name]
    z = np.concatenate([np.linspace(-40, 40, 4001), [-745.2, -709.9, -1e-300, 0.0, 709.9, 1e4]])
    known = {"z": z, "alpha": np.asarray(0.3)}
    assert function.formula is not None
    with np.errstate(all="ignore"):
        own = (
            evaluate(function.body, known)
            if function.body
            else evaluate(parse(f"{name}(z)"), known)
        )
        assert np.array_equal(own, evaluate(function.formula, known))


def test_the_sigmoid_of_textbooks_is_the_sigmoid() -> None:
    """1 / (1 + exp(-z)), which worked arithmetic prints, is the value that it stands beside."""
    textbook = FUNCTIONS["sigmoid"].textbook
    assert textbook is not None
    z = np.linspace(-30, 30, 601)
    np.testing.assert_allclose(evaluate(textbook, {"z": z}), sigmoid(z), rtol=1e-14)


def test_the_two_hard_sigmoids_differ_at_one() -> None:
    """Keras 2's hard sigmoid gives 0.7 at 1, Keras 3's and PyTorch's 0.6667."""
    assert value("hard_sigmoid(z)", z=[1.0]) == pytest.approx([0.7])
    assert value("hard_sigmoid_6(z)", z=[1.0]) == pytest.approx([2 / 3])


def ulps(got: float, exact: mpmath.mpf) -> float:
    """Return the distance in units of the last place of the exact value, subnormals included."""
    spacing = math.ulp(float(exact))
    return float(abs(mpmath.mpf(got) - exact) / mpmath.mpf(spacing))


REGIONS = [(-1, 1), (-8, 8), (-40, -8), (8, 40), (-708, -40), (-745, -708), (-1e-8, 1e-8)]


@pytest.mark.parametrize("region", REGIONS)
def test_sigmoid_is_within_three_ulps(region: tuple[float, float]) -> None:
    """σ is at most 3 ULP from the exact value everywhere, down to subnormal results."""
    points = np.random.default_rng(5).uniform(*region, 2000)
    with mpmath.workprec(300):
        exact = [1 / (1 + mpmath.exp(-mpmath.mpf(z))) for z in points.tolist()]
        worst = max(ulps(y, e) for y, e in zip(sigmoid(points).tolist(), exact, strict=True))
    assert worst <= 3.0


@pytest.mark.parametrize("region", [(-1, 1), (-8, 8), (8, 30), (-1e-8, 1e-8)])
def test_tanh_is_within_three_ulps(region: tuple[float, float]) -> None:
    """Tanh is at most 3 ULP from the exact value."""
    points = np.random.default_rng(6).uniform(*region, 2000)
    got = evaluate(parse("tanh(z)"), {"z": points})
    with mpmath.workprec(300):
        exact = [mpmath.tanh(mpmath.mpf(z)) for z in points.tolist()]
        worst = max(ulps(y, e) for y, e in zip(got.tolist(), exact, strict=True))
    assert worst <= 3.0


def test_sigmoid_where_the_usual_forms_lose_everything() -> None:
    """Below -709 the exact value is subnormal, not 0; no warning of overflow is raised."""
    got = sigmoid(np.array([-740.0, -1000.0, 0.0, 1000.0, -np.inf, np.inf]))
    assert got[0] == pytest.approx(float(mpmath.exp(-740)), rel=1e-2)
    assert got.tolist()[1:] == [0.0, 0.5, 1.0, 0.0, 1.0]
    assert np.isnan(sigmoid(np.array([np.nan]))[0])


@given(st.floats(-700, 700))
def test_sigmoid_is_symmetric_and_a_share(z: float) -> None:
    """σ(z) + σ(-z) = 1 and 0 ≤ σ ≤ 1."""
    here, there = sigmoid(np.array([z, -z])).tolist()
    assert 0 <= here <= 1
    assert abs(Fraction(here) + Fraction(there) - 1) <= Fraction(2) ** -51
