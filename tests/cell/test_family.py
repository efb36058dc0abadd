"""Tables that compute what an LSTM does in other words, and those that do not."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.cell.cells import LSTM, Cell, cell_named, parse_table
from lstm_cli.cell.traits import Traits, standard, traits_of, uncoupled
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.engine.run import run
from tests.cases import as_witness
from tests.conftest import random_arrays, random_inputs

# What the traits of a table are, and how the witness computes it.
TABLES: dict[str, tuple[str, Traits, dict[str, object]]] = {
    "other names and order": (
        """
a = sigmoid(b_q + W_q @ [x, h_prev] + c_prev * p_q)
u = sigmoid(U_u @ h_prev + W_u @ x + b_u - b_w + p_u * c_prev + 0.5)
k = tanh(W_k @ x + U_k @ h_prev)
s = k * u
c = s + c_prev * a
e = sigmoid(p_e * c + W_e @ [h_prev, x])
h = tanh(c) * e
""",
        Traits(peephole=True),
        {},
    ),
    "a gate that drops": (
        """
d = hard_sigmoid(W_d @ [h_prev, x] + b_d + 0.25)
i = hard_sigmoid(W_i @ [h_prev, x] + b_i)
g = softsign(W_g @ [h_prev, x])
o = hard_sigmoid(W_o @ [h_prev, x])
c = clip((1 - d) * c_prev + i * g, -0.5, 0.5)
h = o * relu(c)
""",
        Traits(activations=("hard_sigmoid", "softsign", "relu"), forget_bias=-0.25, cell_clip=0.5),
        {"gate": "hard_sigmoid", "candidate": "softsign", "output": "relu", "cell_clip": 0.5,
         "forget_bias": -0.25},
    ),
    "an update gate": (
        """
u = sigmoid(clip(W_u @ [h_prev, x] + b_u, -0.4, 0.4))
n = tanh(clip(W_n @ [h_prev, x] + b_n, -0.4, 0.4))
o = sigmoid(clip(W_o @ [h_prev, x] + b_o, -0.4, 0.4))
c = (1 - u) * c_prev + u * n
h = o * tanh(c)
""",
        Traits(coupled="coupled-forget", clip=0.4),
        {"coupled": "forget", "clip": 0.4},
    ),
    "swapped roles and a bare candidate": (
        """
f = sigmoid(W_f @ [h_prev, x] + b_f)
i = sigmoid(W_i @ [h_prev, x] + b_i)
o = sigmoid(W_o @ [h_prev, x] + b_o)
c = i * c_prev + f * (W_g @ [h_prev, x] + b_g)
h = o * c
""",
        Traits(activations=("sigmoid", "affine(1, 0)", "affine(1, 0)")),
        {"candidate": "affine(1, 0)", "output": "affine(1, 0)"},
    ),
}  # fmt: skip


def own(table: str) -> LstmWeights:
    cell = Cell("own", "", parse_table(table))
    return LstmWeights(cell, random_arrays(cell, {"I": 3, "H": 4, "P": 4}, seed=5))


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_other_words_is_the_lstm(name: str) -> None:
    """The witness computes with the standard weights what the table itself computes."""
    table, traits, spec = TABLES[name]
    weights = own(table)
    found = standard(weights)
    assert traits_of(found.cell) == traits
    x, h, c = random_inputs(weights)
    trace = run(Model.single(weights), x, h, c)
    made = as_witness(found, **spec).run(x.tolist(), h.tolist(), c.tolist())
    np.testing.assert_allclose(trace.output, [each["h"] for each in made], rtol=0, atol=1e-13)
    np.testing.assert_allclose(trace.c, made[-1]["c"], rtol=0, atol=1e-13)


def test_a_projection_with_a_bias_is_read() -> None:
    """W_hr and b_hr go by what they do in h."""
    cell = LSTM.edit({"h": "b_out + W_out @ (tanh(c) * o)"}, name="own", title="")
    weights = LstmWeights(cell, random_arrays(cell, {"I": 3, "H": 4, "P": 2}))
    found = standard(weights)
    assert traits_of(found.cell) == Traits(projection=True, projection_bias=True)
    np.testing.assert_array_equal(found.arrays["W_hr"], weights.arrays["W_out"])


@pytest.mark.parametrize(("rows", "reason"), [
    ({"c": "f * c_prev + g"}, "not have exactly one gate on the candidate"),
    ({"c": "c_prev + i * g"}, "no gate on c_prev"),
    ({"c": "f * c_prev - i * g"}, "not a gated c_prev plus"),
    ({"c": "f * i * c_prev + i * g"}, "more than one gate on c_prev"),
    ({"f": "z_f"}, "different activations: none, sigmoid"),
    ({"h": "c"}, "not a gate times c"),
    ({"h": "o * tanh(c_prev)"}, "not a gate times c"),
    ({"z_g": "old + p_g * c_prev"}, "candidate reads c_prev"),
    ({"z_o": "old + p_o * c_prev"}, r"adds p_o \* c_prev"),
    ({"f": "sigmoid(clip(z_f, -1, 1))"}, "clips some"),
    ({"z_f": "0.5 * old"}, "adds 0.5"),
    ({"z_i": "b_i + 0 * h_prev"}, "adds 0"),
    ({"z_f": "old + b_f"}, "the same twice"),
    ({"i": "1 - g"}, "candidate is 1 minus|different activations"),
], ids=str)  # fmt: skip
def test_what_is_no_lstm_is_refused_with_its_reason(rows: dict[str, str], reason: str) -> None:
    """What keeps a table out of the family is said."""
    cell = LSTM.edit(rows, name="own", title="")
    weights = LstmWeights(cell, random_arrays(cell, {"I": 3, "H": 4, "P": 4}))
    with pytest.raises(InputError, match=reason) as caught:
        standard(weights)
    assert "cell own is not in the LSTM family: " in str(caught.value)


def test_a_table_of_sums_of_sums_is_refused_at_once() -> None:
    """Rows that double thirty times over are not spelt out."""
    rows = "\n".join(f"q{n + 1} = q{n} + q{n}" for n in range(30))
    weights = own(f"q0 = W_q @ [h_prev, x]\n{rows}\nc = sigmoid(q30) * c_prev + q30\nh = c")
    with pytest.raises(InputError, match="more than 8 parts"):
        standard(weights)


@pytest.mark.parametrize("name", ["coupled-forget", "coupled-input"])
def test_a_coupled_gate_has_weights_of_its_own(name: str) -> None:
    """σ(-z) is 1 - σ(z), run-time forget bias included."""
    bias = 0.5 * (name == "coupled-input")
    cell = cell_named(f"{name}+peephole")
    arrays = random_arrays(cell, {"I": 3, "H": 4, "P": 4})
    own_, made = uncoupled(
        Traits(coupled=name, peephole=True, forget_bias=bias), arrays
    ) or (None, {})  # fmt: skip
    assert own_ == Traits(peephole=True, forget_bias=bias)
    free, tied = "if" if name == "coupled-forget" else "fi"
    np.testing.assert_array_equal(made[f"p_{tied}"], -arrays[f"p_{free}"])
    np.testing.assert_array_equal(made[f"b_{tied}"], -arrays[f"b_{free}"] - bias)
