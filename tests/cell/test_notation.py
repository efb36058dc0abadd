"""Equations as people write them."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_cli.cell.cells import LSTM, VARIANTS, cell_named
from lstm_cli.cell.equations import evaluate, parse
from lstm_cli.cell.notation import LATEX, PLAIN, UNICODE, split, write, write_equation

EXPECTED = {
    "z_f": ("W_f · [h_{t−1}, x_t] + b_f", r"W_f \cdot [h_{t-1}, x_t] + b_f"),
    "f": ("σ(z_f)", r"\sigma\left(z_f\right)"),
    "g": ("tanh(z_g)", r"\tanh\left(z_g\right)"),
    "c": ("f_t ⊙ C_{t−1} + i_t ⊙ C̃_t", r"f_t \odot C_{t-1} + i_t \odot \tilde{C}_t"),
    "h": ("o_t ⊙ tanh(C_t)", r"o_t \odot \tanh\left(C_t\right)"),
}


@pytest.mark.parametrize("symbol", EXPECTED)
def test_the_lstm_as_the_literature_writes_it(symbol: str) -> None:
    """The rows in Unicode and LaTeX, character by character."""
    unicode, latex = EXPECTED[symbol]
    assert write_equation(LSTM[symbol], UNICODE)[1] == unicode
    assert write_equation(LSTM[symbol], LATEX)[1] == latex


def test_split_notation() -> None:
    """`--notation split` gives x and h_{t−1} a matrix each."""
    assert write_equation(LSTM["z_f"], UNICODE, "split") == (
        "z_f",
        "W_f x_t + U_f h_{t−1} + b_f",
    )
    assert write_equation(LSTM["z_f"], PLAIN, "split")[1] == "W_f @ x + U_f @ h_prev + b_f"


def test_split_notation_has_the_same_value() -> None:
    """The split form evaluates to what the joined form does, U being W's first columns."""
    generator = np.random.default_rng(0)
    W, h, x, b = (generator.normal(size=s) for s in ((4, 7), (4,), (3,), (4,)))
    joined = parse("W_f @ [h_prev, x] + b_f")
    names = {"h_prev": h, "x": x, "b_f": b}
    assert np.allclose(
        evaluate(joined, names | {"W_f": W}),
        evaluate(split(joined), names | {"U_f": W[:, :4], "W_f": W[:, 4:]}),
    )


@pytest.mark.parametrize("name", ["lstm", *VARIANTS])
def test_plain_text_is_the_program(name: str) -> None:
    """Every row's plain text parses back to the very tree that is computed."""
    for row in cell_named(name).equations:
        assert parse(write(row.expression)) == row.expression


@pytest.mark.parametrize(
    ("text", "pretty"),
    [
        ("0.2 * z_f + 0.5", "0.2·z_f + 0.5"),
        ("W_hr @ (o * tanh(c))", "W_hr (o_t ⊙ tanh(C_t))"),
        ("1 - i", "1 − i_t"),
        ("(f + i) * g", "(f_t + i_t) ⊙ C̃_t"),
        ("f - (i - g)", "f_t − (i_t − C̃_t)"),
        ("clip(c, -10, 10)", "clip(C_t, −10, 10)"),
        ("-(f + i)", "−(f_t + i_t)"),
        ("memory * f", "memory_t ⊙ f_t"),
    ],
)
def test_parentheses_and_signs(text: str, pretty: str) -> None:
    """Parentheses stand where they change the meaning and nowhere else."""
    assert write(parse(text), UNICODE) == pretty
