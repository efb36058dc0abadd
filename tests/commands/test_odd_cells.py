"""Tables that nobody expects: rows that are a bare name, a constant, a product of products."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.cell.cells import LSTM, Cell, parse_table
from lstm_cli.cell.notation import UNICODE, write
from lstm_cli.cell.presets import preset_model
from lstm_cli.cell.roles import kept_factor
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.commands.explore import drawing, equation, grid
from lstm_cli.commands.explore.cursor import Cursor, symbols_of
from lstm_cli.commands.explore.scene import Scene
from lstm_cli.engine.edits import EditedRun
from lstm_cli.engine.grad import grad, through_time
from lstm_cli.engine.grad.differences import check as check_gradients
from lstm_cli.engine.run import run
from lstm_cli.files.cell_files import read_cell
from lstm_cli.show.circuit import draw
from lstm_cli.show.sentences import sentences
from lstm_cli.show.worked import known_at
from lstm_cli.show.worked_sentences import Teller
from tests.conftest import random_arrays, random_inputs
from tests.tools import Answer, assert_refused, call

STATES = ("--h", "0.3,-0.5", "--c", "0.2,0.7", "--x", "0.1,0.2;-0.3,0.4")
USUAL = LSTM.symbols
# One of each kind that a row can be; `{}` is a name that stands above it.
KINDS = (
    "{}",
    "0.5 + 0 * {}",
    "b_q",
    "{} * {}",
    "({} * {}) * ({} * {})",
    "{} + {}",
    "1 - {}",
    "-{}",
    "{} / (1 + abs({}))",
    "tanh({} * {})",
    "sigmoid({} + 0.25)",
    "W_p @ tanh(W_q @ {})",
    "W_j @ [{}, {}]",
    "tanh(W_r @ [h_prev, x] + b_r) * {}",
)


def an_edit(chance: random.Random) -> str:
    """Return the LSTM with one to four rows replaced."""
    rows = []
    for place, symbol in enumerate(USUAL):
        if chance.random() < 0.25:
            own = f"z_{symbol}" if symbol in "figo" and chance.random() < 0.5 else ""
            rows.append((symbol, own or _row(chance, ["h_prev", "c_prev", *USUAL[:place]])))
    rows = rows or [("g", "z_g")]
    return 'base = "lstm"\n[edit]\n' + "".join(f'{name} = "{text}"\n' for name, text in rows)


def a_table(chance: random.Random) -> str:
    """Return a table of up to seven gates by any names, of which any may be missing."""
    rows, names = ["z_f = W_f @ [h_prev, x] + b_f"], ["h_prev", "c_prev", "z_f"]
    gates = chance.sample(["f", "i", "g", "o", "q", "z_i", "keep"], chance.randint(0, 5))
    for symbol in (*gates, *chance.sample(["c", "h"], 2)):
        rows.append(f"{symbol} = {_row(chance, names)}")
        names.append(symbol)
    return "equations = '''\n" + "\n".join(rows) + "\n'''\n"


def _row(chance: random.Random, names: list[str]) -> str:
    kind = chance.choice(KINDS)
    return kind.format(*(chance.choice(names) for _ in range(kind.count("{}"))))


def answers(cell: Path) -> dict[str, Answer]:
    """Return what each command says of a cell."""
    own = (*STATES, "--cell", cell)
    return {
        "run": call("run", *own, "-f", "table"),
        "explain": call("explain", *own),
        "exercise": call("exercise", *own),
        "grad": call("grad", *own, "--check"),
        "diagnose": call("diagnose", *own, "--expect", "h=0.1,0.2"),
        "picture": call("report", *own, "--at", 2, "-o", cell.with_name("cell.svg")),
        "page": call("report", *own, "-o", cell.with_suffix(".html")),
    }


def explore(path: Path) -> None:
    """Draw every row of a cell as `explore` does when one moves over it."""
    model = preset_model("identity", read_cell(str(path)), sizes={"I": 2, "H": 2})
    trace = run(model, [[0.1, 0.2]], [0.3, -0.5], [0.2, 0.7])
    for symbol in symbols_of(trace.layers[0].cell):
        scene = Scene(EditedRun(trace), Cursor(symbol=symbol))
        for draw_ in (grid.table, equation.working, drawing.words):
            draw_(scene, 80, 20)


def check(tmp_path: Path, seeds: range) -> None:
    cell, computed = tmp_path / "cell.toml", 0
    for seed in seeds:
        text = (a_table if seed % 2 else an_edit)(random.Random(seed))
        cell.write_text(text)
        said = answers(cell)
        for command, answer in said.items():
            assert answer.code in (0, 1, 2, 3), (command, text, answer.err)
            assert answer.code != 1 or command == "diagnose", (command, text, answer.err)
        refused = {command: answer.err for command, answer in said.items() if answer.code > 1}
        # What computes at all can be explained, differentiated, drawn and diagnosed.
        assert len(refused) in (0, len(said)), (text, refused)
        computed += not refused
        if not refused:
            explore(cell)
    assert computed > len(seeds) / 2


def test_odd_tables_are_computed_explained_drawn_and_diagnosed(tmp_path: Path) -> None:
    """A table that computes works in every command, and one that does not is refused by all."""
    check(tmp_path, range(24))


@pytest.mark.full
def test_many_odd_tables_are_computed_explained_drawn_and_diagnosed(tmp_path: Path) -> None:
    """Hundreds of odd tables work in every command, or are refused by all."""
    check(tmp_path, range(24, 160))


# ---- single kinds


def own(table: str, **sizes: int) -> LstmWeights:
    cell = Cell("own", "", parse_table(table))
    return LstmWeights(cell, random_arrays(cell, {"I": 3, "H": 4, "P": 4, **sizes}, seed=3))


@pytest.mark.parametrize(
    "row",
    [
        "f = z_f",
        "i = z_i",
        "g = z_g",
        "o = z_o",
        "g = b_q",
        "h = c",
        "h = b_q",
        "c = b_q",
        "c = c_prev",
        "h = h_prev",
        "h = o * c",
    ],
)
def test_a_row_that_is_a_name_is_drawn(row: str) -> None:
    """Each row of the table is in the drawing, by its name and with its value's place."""
    symbol, text = row.split(" = ")
    drawn = draw(LSTM.edit({symbol: text}, name="own", title=""))
    for label in drawn.labels:
        assert label.key in drawn.nodes
    named = {label.key for label in drawn.labels}
    assert {"c", "h", "c_prev", "h_prev", "x"} <= named


def test_h_before_c_is_drawn() -> None:
    """A table whose c reads h has a wire for each, and h's own expression in c's way."""
    drawn = draw(Cell("own", "", parse_table("""
z_f = W_f @ [h_prev, x] + b_f
h = tanh(z_f) * c_prev
q = sigmoid(h)
c = q * h
""")))  # fmt: skip
    assert {"h", "q", "tanh(z_f)"} <= {box.key for box in drawn.boxes}


def test_a_gradient_of_nothing_is_a_vector() -> None:
    """Where c_prev has no part, the steps before get zeros, which a matrix may multiply."""
    weights = own("z = W_f @ [h_prev, x] + b_f\nh = tanh(z)\nc = W_p @ tanh(W_q @ z)",
                  **{"rows of W_q": 4})  # fmt: skip
    trace = run(Model.single(weights), *random_inputs(weights, 3))
    assert check_gradients(trace, grad(trace)).passed
    assert through_time(trace)[0].kept is None


@pytest.mark.parametrize(("c", "factor", "said"), [
    ("f * c_prev + i * g", "f", {"f": "keeps", "i": "writes", "g": "pushes"}),
    ("(1 - f) * c_prev + i * g", "1 - f", {"f": "drops", "i": "writes", "g": "pushes"}),
    ("i * c_prev + f * g", "i", {"i": "keeps", "f": "writes", "g": "pushes"}),
    ("g * i + c_prev * f", "f", {"f": "keeps", "i": "writes", "g": "pushes"}),
    ("f * c_prev + (1 - f) * g", "f", {"f": "keeps", "g": "pushes"}),
    ("f * (c_prev + i * g)", None, {}),
    ("tanh(f * c_prev + i * g)", None, {}),
    ("clip(f * c_prev + i * g, -3, 3)", "f", {"f": "keeps", "i": "writes", "g": "pushes"}),
    ("f * c_prev - i * g", "f", {"f": "keeps"}),
    ("f * i * c_prev + g", "f * i", {}),
    ("c_prev + i * g + 0 * f", "1", {"i": "writes", "g": "pushes"}),
    ("f * c_prev * c_prev + i * g", None, {"i": "writes", "g": "pushes"}),
])  # fmt: skip
def test_what_a_gate_does_is_read_off_the_row(c: str, factor: str | None, said: object) -> None:
    """What keeps, writes and pushes is told by the row of c, and not by a letter."""
    cell = LSTM.edit({"c": c}, name="own", title="")
    kept = kept_factor(cell)
    assert (kept and write(kept)) == factor
    weights = LstmWeights(cell, random_arrays(cell, {"I": 3, "H": 4, "P": 4}, seed=3))
    trace = run(Model.single(weights), *random_inputs(weights, 2))
    each = trace.layers[0]
    teller = Teller(cell, known_at(each, 1), 1, UNICODE)
    assert {s: teller.say(s).split()[0] for s in "fig" if teller.say(s)} == said


def test_what_is_dropped_is_told_in_numbers() -> None:
    """With 1 - f on the old state, f times the old state is what goes."""
    cell = LSTM.edit({"c": "(1 - f) * c_prev + i * g"}, name="own", title="")
    weights = LstmWeights(cell, random_arrays(cell, {"I": 3, "H": 4, "P": 4}, seed=3))
    trace = run(Model.single(weights), *random_inputs(weights, 3))
    each, unit = trace.layers[0], 2
    f, old = (float(each.at(1)[symbol][unit]) for symbol in ("f", "c_prev"))
    text = Teller(cell, known_at(each, 1), unit, UNICODE).say("f")
    assert text.startswith(f"drops {100 * f:.0f} % of the old")
    assert float(text.split("that is ")[1].replace("−", "-")) == pytest.approx(f * old, abs=1e-4)
    (name, told), *_ = sentences(cell, each.at(1))
    assert name == "forget gate"
    assert told.startswith("of the old cell state, drops most in unit ")
    flow = through_time(trace)[0]
    assert flow.kept is not None
    np.testing.assert_allclose(flow.kept[0], (1 - trace["f"][1]) * (1 - trace["f"][2]))


def test_a_table_without_labels_goes_by_its_symbols() -> None:
    """No row is called a forget gate because its letter is f."""
    weights = own("f = sigmoid(W_f @ [h_prev, x])\nn = tanh(W_n @ x)\n"
                  "c = (1 - f) * n + f * c_prev\nh = c")  # fmt: skip
    trace = run(Model.single(weights), *random_inputs(weights, 1))
    said = dict(sentences(weights.cell, trace.layers[0].at(1)))
    assert list(said) == ["f_t", "n_t", "C_t", "h_t"]
    assert said["f_t"].startswith("of the old cell state, keeps")
    assert said["n_t"].endswith("before 1 − f_t")


@pytest.mark.parametrize("rows", [
    {"c": "c_prev + i * g"}, {"c": "f * c_prev + g"}, {"h": "tanh(c)"}, {"c": "f * c_prev + i"},
    {"f": "1 + 0 * c_prev", "i": "z_f"}, {"z_i": "b_i", "z_f": "h_prev"}, {"f": "b_f + 0 * x"},
], ids=str)  # fmt: skip
def test_a_cell_that_lacks_a_gate_is_diagnosed(rows: dict[str, str], tmp_path: Path) -> None:
    """Mistakes that need what a table has not are passed over; those it can have are named."""
    cell = tmp_path / "own.toml"
    text = "".join(f'{symbol} = "{row}"\n' for symbol, row in rows.items())
    cell.write_text(f'base = "lstm"\n[edit]\n{text}')
    run_ = ("--h", "0.3,-0.5", "--c", "0.2,0.7", "--x", "0.1,0.2;-0.3,0.4", "--cell", cell)
    right = call("run", *run_, "--json").json
    assert call("diagnose", *run_, "--expect", "h=" + ",".join(map(str, right["h"]))).code == 0
    zeroed = call("run", "--x", "0.1,0.2;-0.3,0.4", "--cell", cell, "--json").json["h"]
    if zeroed != right["h"]:
        answer = call("diagnose", *run_, "--expect", "h=" + ",".join(map(str, zeroed)), "--json")
        assert any("initial" in finding["id"] for finding in answer.json["findings"])


def test_a_row_of_a_plain_number_is_refused(tmp_path: Path) -> None:
    """A constant row needs a size, and the error says how to give it one."""
    cell = tmp_path / "own.toml"
    cell.write_text('base = "lstm"\n[edit]\ni = "1"\n')
    for command in (["run"], ["explain"], ["report", "-o", tmp_path / "cell.svg"]):
        answer = call(*command, *STATES, "--cell", cell)
        assert_refused(answer, 3, "i is a plain number", "i = 1 + 0 * c_prev")
