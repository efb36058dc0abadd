"""Cells: the table, its edits, and tables of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lstm_cli.base.errors import CellError, InputError, LstmStepError, UsageError
from lstm_cli.cell.cells import (
    LSTM,
    VARIANTS,
    Cell,
    Settings,
    cell_named,
    describe_edit,
    parse_activation,
    parse_table,
    with_activations,
    with_cell_clip,
    with_clip,
    with_forget_bias,
)
from lstm_cli.cell.notation import write
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.engine.run import run
from lstm_cli.files.cell_files import read_cell
from tests.conftest import random_inputs, random_weights

EDITS = {
    "peephole": [
        "z_f = W_f @ [h_prev, x] + b_f + p_f * c_prev",
        "z_i = W_i @ [h_prev, x] + b_i + p_i * c_prev",
        "z_o = W_o @ [h_prev, x] + b_o + p_o * c",
    ],
    "coupled-forget": ["f = 1 - i", "no z_f"],
    "coupled-input": ["i = 1 - f", "no z_i"],
    "projection": ["h = W_hr @ (o * tanh(c))"],
    "hard-sigmoid": [
        "f = hard_sigmoid(z_f)",
        "i = hard_sigmoid(z_i)",
        "o = hard_sigmoid(z_o)",
    ],
    "hard-sigmoid-6": [
        "f = hard_sigmoid_6(z_f)",
        "i = hard_sigmoid_6(z_i)",
        "o = hard_sigmoid_6(z_o)",
    ],
}


def test_every_variant_has_its_edit_stated() -> None:
    """No variant goes untested: the table below names them all."""
    assert set(EDITS) == set(VARIANTS)


@pytest.mark.parametrize("name", EDITS)
def test_a_variant_is_an_edit(name: str) -> None:
    """A variant differs from the LSTM in just the rows that its paper changes."""
    assert describe_edit(cell_named(name)) == EDITS[name]


def test_rows_follow_what_they_use() -> None:
    """A peephole's z_o moves behind c, since it looks at the new cell state."""
    symbols = cell_named("peephole").symbols
    assert symbols.index("z_o") > symbols.index("c")


def test_variants_combine() -> None:
    """`peephole+projection` has both edits, in whichever order they are named."""
    one, other = cell_named("peephole+projection"), cell_named("projection+peephole")
    assert set(describe_edit(one)) == set(describe_edit(other))
    assert set(one.parameters) == {*LSTM.parameters, "p_f", "p_i", "p_o", "W_hr"}


@pytest.mark.parametrize(
    "name",
    [
        "pephole",
        "lsmt",
        "",
        "peephole+",
        "coupled",
        "peephole+peephole",
        "coupled-forget+coupled-input",
    ],
)
def test_unknown_cells_are_refused_with_a_suggestion(name: str) -> None:
    """A name that does not exist is never guessed at."""
    with pytest.raises(UsageError) as caught:
        cell_named(name)
    assert caught.value.hint


def test_clip_bias_and_activations_are_visible_terms() -> None:
    """Every option that changes the numbers stands in the printed equation."""
    cell = with_cell_clip(with_clip(with_forget_bias(LSTM, 1.0), 3.0), 10.0)
    cell = with_activations(cell, gate="hard_sigmoid(0.1, 0.4)", output="softsign")
    assert describe_edit(cell) == [
        "z_f = W_f @ [h_prev, x] + b_f + 1",
        "f = hard_sigmoid(clip(z_f, -3, 3), 0.1, 0.4)",
        "i = hard_sigmoid(clip(z_i, -3, 3), 0.1, 0.4)",
        "g = tanh(clip(z_g, -3, 3))",
        "o = hard_sigmoid(clip(z_o, -3, 3), 0.1, 0.4)",
        "c = clip(f * c_prev + i * g, -10, 10)",
        "h = o * softsign(c)",
    ]


@pytest.mark.parametrize("text", ["sigmod", "clip(0, 1)", "exp", "tanh(1)", "hard_sigmoid(a)", "("])
def test_bad_activations_are_refused(text: str) -> None:
    """An activation is a known function with plain numbers, and nothing else."""
    with pytest.raises(LstmStepError):
        parse_activation(text)


@pytest.mark.parametrize(
    ("table", "row", "column", "message"),
    [
        ("f = sigmoid(z_f)\n", 1, 13, "'z_f' is used before it is defined"),
        ("\n# note\nz = x +\n", 3, 8, "not an equation"),
        ("c = c_prev + foo(x)", 1, 14, "unknown function 'foo'"),
        ("c = c_prev\nc = c_prev", 2, 1, "'c' is defined twice"),
        ("x = c_prev", 1, 1, "names an input"),
        ("W_f = c_prev", 1, 1, "names an input or a parameter"),
        ("c = os.system", 1, 5, "Attribute"),
        ("  hello", 1, 1, "not a row"),
    ],
)
def test_bad_tables_name_row_and_column(table: str, row: int, column: int, message: str) -> None:
    """A user's table is refused with the row and column of the fault."""
    with pytest.raises(CellError, match=message) as caught:
        parse_table(table)
    assert caught.value.where.startswith(f"row {row}, column {column}")


def test_a_table_needs_c_and_h() -> None:
    """A cell must define both states."""
    with pytest.raises(CellError, match="no row for 'h'"):
        parse_table("c = c_prev + x")


@pytest.mark.parametrize(
    "table",
    [
        "c = [h_prev, x] + c_prev\nh = c",
        "c = W_c + c_prev\nh = c",
        "c = 1 + 2\nh = c",
        "c = c_prev @ x\nh = c",
        "c = W_a @ 2\nh = c",
    ],
)
def test_sizes_that_cannot_agree_are_refused(table: str) -> None:
    """The table alone tells that two sizes cannot be one, before any number is there."""
    from lstm_cli.cell.cells import Cell

    with pytest.raises(CellError):
        _ = Cell("own", "", parse_table(table)).shapes


@pytest.mark.parametrize("number", ["0", "0.5", "1 + 2"])
def test_a_plain_number_becomes_a_row_as_the_hint_says(number: str) -> None:
    """The row that is proposed has the number's own value, and is taken."""
    from lstm_cli.cell.cells import Cell

    with pytest.raises(CellError) as caught:
        _ = Cell("own", "", parse_table(f"c = {number}\nh = tanh(c)")).shapes
    row = caught.value.hint.removeprefix("give it a size: ")
    assert row == f"c = {number} + 0 * c_prev"
    assert Cell("own", "", parse_table(f"{row}\nh = tanh(c)")).shapes["c"] == (("H",),)


OWN = """
name = "no-output-gate"
title = "shows all of its memory"
equations = '''
z_f = W_f @ x + U_f @ h_prev + b_f   # forget gate, pre-activation
f = sigmoid(z_f)                     # forget gate
n = tanh(W_n @ [h_prev, x])          # news
c = f * c_prev + (1 - f) * n         # cell state
h = tanh(c)                          # hidden state
'''
"""


def test_a_users_own_cell_runs(tmp_path: Path) -> None:
    """A table from a TOML file is computed as it stands, with its own parameters."""
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    cell = read_cell(str(path))
    assert list(cell.parameters) == ["W_f", "U_f", "b_f", "W_n"]
    weights = random_weights(cell)
    x, h, c = random_inputs(weights, steps=1)
    trace = run(Model.single(weights), x, h, c)
    W, U, b, N = (weights.arrays[name] for name in cell.parameters)
    f = 1 / (1 + np.exp(-(W @ x[0] + U @ h + b)))
    n = np.tanh(N @ np.concatenate([h, x[0]]))
    assert np.allclose(trace.h, np.tanh(f * c + (1 - f) * n), atol=1e-14)


def test_an_edit_from_a_file(tmp_path: Path) -> None:
    """`base` and `[edit]` change rows of a cell there is; `old` is the row replaced."""
    path = tmp_path / "mine.toml"
    path.write_text('base = "peephole"\n[edit]\nc = "clip(old, -1, 1)"\nf = "1 - i"\n')
    cell = read_cell(str(path))
    assert cell.name == "mine"
    assert "c = clip(f * c_prev + i * g, -1, 1)" in describe_edit(cell)
    assert "z_f" not in cell.symbols


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 3\nequations = ''", "must be text"),
        ("title = 'x'", "either 'equations' or 'base'"),
        ("base = 'lstm'\n[edit]\nq = '1'", "no row 'q'"),
        ("base = 'lstm'\n[edit]\nf = 'i + zz'", "'zz' is used before it is defined"),
        ("base = 'lstm'\n[edit]\nf = 'h'", "cycle"),
        ("base = 'lstm'\nedits = 3", "unknown key"),
        ("= 3", "not TOML"),
        ("equations = '''\nc = c_prev + [x, x]\nh = c\n'''", "sizes"),
    ],
)
def test_bad_cell_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """A faulty file is an error that names it, never a traceback."""
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises((CellError, InputError), match=message) as caught:
        read_cell(str(path))
    assert "bad.toml" in str(caught.value)


def test_errors_count_rows_of_the_file(tmp_path: Path) -> None:
    """The row in the message is the line of the TOML file, so an editor can jump to it."""
    path = tmp_path / "bad.toml"
    path.write_text("name = 'bad'\n\nequations = '''\nc = c_prev + x\nh = tanh(d)\n'''\n")
    with pytest.raises(CellError) as caught:
        read_cell(str(path))
    assert "row 5, column 10" in caught.value.where


def test_a_cell_without_forget_gate_takes_no_forget_bias() -> None:
    """An option that has nothing to act on is refused, not ignored."""
    with pytest.raises(CellError, match="no separate forget gate"):
        with_forget_bias(cell_named("coupled-forget"), 1.0)


def test_weights_must_be_the_cells(tmp_path: Path) -> None:
    """Parameters that the cell does not use are refused by name."""
    weights = random_weights(cell_named("peephole"))
    with pytest.raises(InputError, match="no parameter 'p_f'") as caught:
        LstmWeights(LSTM, weights.arrays)
    assert "--cell peephole" in caught.value.lines.hint


# ---- settings on a table of one's own


UNUSUAL = """
z_r = W_r @ [h_prev, x] + b_r
z_u = z_r + b_u
r = sigmoid(z_u)
u = sigmoid(W_v @ x)
n = tanh(W_n @ [h_prev, x] + b_n)
c = r * c_prev + u * n
q = sigmoid(W_q @ x + p_q * c)
h = q * tanh(c)
"""


def rows_of(cell: Cell) -> dict[str, str]:
    return {row.symbol: write(row.expression) for row in cell.equations}


def test_activations_go_by_what_a_row_does() -> None:
    """Gates, candidate and output are found by their parts in c and h, whatever their letters."""
    cell = Cell("own", "", parse_table(UNUSUAL))
    rows = rows_of(with_activations(cell, gate="hard_sigmoid", candidate="relu", output="softsign"))
    assert (rows["r"], rows["u"]) == ("hard_sigmoid(z_u)", "hard_sigmoid(W_v @ x)")
    assert rows["n"] == "relu(W_n @ [h_prev, x] + b_n)"
    assert rows["q"] == "hard_sigmoid(W_q @ x + p_q * c)"
    assert rows["h"] == "q * softsign(c)"
    swapped = LSTM.edit({"c": "f * c_prev + g * i", "i": "tanh(z_i)", "g": "sigmoid(z_g)"},
                        name="own", title="")  # fmt: skip
    rows = rows_of(with_activations(swapped, gate="hard_sigmoid", candidate="relu"))
    assert (rows["g"], rows["i"]) == ("hard_sigmoid(z_g)", "relu(z_i)")


def test_a_clip_cuts_every_pre_activation() -> None:
    """A sum is cut where it is whole, in a row of its own or inside one."""
    rows = rows_of(with_clip(Cell("own", "", parse_table(UNUSUAL)), 0.5))
    assert rows["z_u"] == "z_r + b_u"
    assert rows["r"] == "sigmoid(clip(z_u, -0.5, 0.5))"
    assert rows["u"] == "sigmoid(clip(W_v @ x, -0.5, 0.5))"
    assert rows["q"] == "sigmoid(clip(W_q @ x + p_q * c, -0.5, 0.5))"
    assert rows["h"] == "q * tanh(c)"


@pytest.mark.parametrize(("rows", "settings", "message"), [
    ({"h": "c"}, Settings(activations="sigmoid,tanh,relu"), "no activation between c and h"),
    ({"g": "z_g"}, Settings(activations="sigmoid,relu,tanh"), "no activation on the candidate"),
    ({"c": "i * c_prev + f * g"}, Settings(forget_bias=1.0), "f of cell own is no forget gate"),
    ({"f": "b_f", "i": "b_i", "g": "b_g", "o": "b_o"}, Settings(clip=1.0), "no pre-activation"),
], ids=str)  # fmt: skip
def test_a_setting_without_a_place_is_refused(
    rows: dict[str, str], settings: Settings, message: str
) -> None:
    """What the table has nothing for is not passed over in silence."""
    with pytest.raises(LstmStepError, match=message):
        settings.edit(LSTM.edit(rows, name="own", title=""))
