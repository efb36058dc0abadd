"""Tables that nobody expects: rows that are a bare name, a constant, a product of products."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.cell.cells import LSTM, Cell, parse_table
from lstm_cli.cell.notation import UNICODE, write
from lstm_cli.cell.presets import preset_model
from lstm_cli.cell.roles import kept_factor
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.commands.explore import drawing
from lstm_cli.commands.explore.scene import Cursor, Scene, symbols_of
from lstm_cli.engine.edits import EditedRun
from lstm_cli.engine.grad import grad, through_time
from lstm_cli.engine.grad.differences import check as check_gradients
from lstm_cli.engine.run import run
from lstm_cli.files.cell_files import read_cell
from lstm_cli.show.arithmetic import known_at
from lstm_cli.show.circuit import draw
from lstm_cli.show.sentences import Teller, sentences
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


# ---- every command, in every form


# A bare candidate, a gate that drops, swapped roles, no forget gate, a bare h, products in products,
# a constant row, names and order of one's own.
FIXED = (
    {"g": "z_g"}, {"c": "(1 - f) * c_prev + i * g"}, {"c": "i * c_prev + f * g"},
    {"c": "c_prev + i * g"}, {"h": "c"}, {"o": "(f * i) * (f * z_o)"},
    {"i": "1 + 0 * c_prev"}, {"f": "1 - i", "g": "f * z_g"},
)  # fmt: skip
OWN = """
a = sigmoid(b_q + W_q @ [x, h_prev])
u = sigmoid(U_u @ h_prev + W_u @ x + b_u)
k = tanh(W_k @ [h_prev, x] + b_k)
e = sigmoid(W_e @ [h_prev, x] + b_e)
c = u * k + c_prev * a
h = tanh(c) * e
"""
TARGETS = (("w.npz", "pytorch"), ("w.json", "split"), ("w.safetensors", "tf1-basic"),
           ("w.weights.h5", ""), ("w.onnx", ""), ("w.h", "keras"))  # fmt: skip


def every_answer(cell: Path, right: dict[str, list[float]]) -> dict[str, Answer]:
    """Return what each command says of a cell that computes `right`, in its other forms."""
    own = (*STATES, "--cell", cell)
    here = cell.parent
    said = {f"run {form}": call("run", *own, "-f", form)
            for form in ("plain", "csv", "jsonl", "markdown", "latex", "c")}  # fmt: skip
    said["run strip"] = call("run", *own, "-f", "table", "--strip", "--notation", "split")
    said["run npz"] = call("run", *own, "-f", "npz", "-o", here / "run.npz")
    said["run fixed"] = call("run", *own, "--fixed", "Q3.12")
    for form in ("markdown", "latex"):
        said[f"explain {form}"] = call("explain", *own, "-f", form)
        said[f"exercise {form}"] = call("exercise", *own, "-f", form)
        said[f"grad {form}"] = call("grad", *own, "-f", form)
    said["explain json"] = call("explain", *own, "-f", "json")
    exercise, template, answers_ = (here / name for name in ("ex.json", "blank.csv", "answers.csv"))
    said["exercise"] = call("exercise", *own, "--save", exercise, "--template", template)
    header = template.read_text().splitlines()[0]
    answers_.write_text(f"{header}\nAnn{',0.5' * header.count(',')}\n")
    said["grade"] = call("grade", exercise, answers_, "-f", "csv")
    sample = {"id": "a", "x": [[0.1, 0.2], [-0.3, 0.4]], "h": [0.3, -0.5], "c": [0.2, 0.7],
              "cell": str(cell), "expected": right}  # fmt: skip
    (here / "sample.json").write_text(json.dumps(sample))
    said["batch"] = call("batch", here / "sample.json", "--check")
    said["vet"] = call("vet", here / "sample.json", "--list")
    said["vet -o"] = call("vet", here / "sample.json", "-f", "json")
    said["diagnose right"] = call("diagnose", here / "sample.json")
    return said


def check_conversions(cell: Path) -> int:
    """Convert random weights to every target; return how many could hold the cell."""
    weights = preset_model("random", read_cell(str(cell)), sizes={"I": 2, "H": 2}, seed=3).first
    source, done = cell.with_name("own.npz"), 0
    np.savez(source, **weights.arrays)  # type: ignore[arg-type] # names of arrays
    right = call("run", *STATES, "-w", source, "--cell", cell, "--json").json["h"]
    for name, to in TARGETS:
        target = cell.with_name(f"out-{name}")
        answer = call("convert", source, target, "--cell", cell, *(("--to", to) if to else ()))
        if answer.code:
            assert_refused(answer, 3)
            assert "family: " in answer.err or "cannot hold" in answer.err, answer.err
            assert not target.exists()
            continue
        done += 1
        if not name.endswith(".h"):
            named = ("--convention", to) if to else ()
            again = call("run", *STATES, "-w", target, *named, "--json").json["h"]
            np.testing.assert_allclose(again, right, atol=1e-6, err_msg=name)
    return done


def check_every_command(cell: Path) -> None:
    """Check that a table which computes works in every form of every command."""
    ran = call("run", *STATES, "--cell", cell, "--json")
    if ran.code == 3:
        return
    right = {symbol: ran.json[symbol] for symbol in ("h", "c")}
    for command, answer in every_answer(cell, right).items():
        assert answer.code == 0, (command, cell.read_text(), answer.err, answer.out)
        assert "Traceback" not in answer.err
    check_conversions(cell)


@pytest.mark.parametrize("rows", FIXED, ids=str)
@pytest.mark.few(3)
def test_every_command_works_on_an_odd_cell(rows: dict[str, str], tmp_path: Path) -> None:
    """All forms of all commands work on it, and what is converted computes the same."""
    pytest.importorskip("onnx")
    pytest.importorskip("h5py")
    cell = tmp_path / "cell.toml"
    text = "".join(f'{symbol} = "{row}"\n' for symbol, row in rows.items())
    cell.write_text(f'base = "lstm"\n[edit]\n{text}')
    check_every_command(cell)


def test_a_cell_in_other_words_is_converted_to_every_target(tmp_path: Path) -> None:
    """Names, order and roles are read off the table, so that every format can have it."""
    pytest.importorskip("onnx")
    pytest.importorskip("h5py")
    cell = tmp_path / "cell.toml"
    for table in (OWN, OWN.replace("c_prev * a", "(1 - a) * c_prev"),
                  OWN.replace("u * k", "(1 - a) * k")):  # fmt: skip
        cell.write_text(f"equations = '''{table}'''\n")
        assert check_conversions(cell) == len(TARGETS)
    check_every_command(cell)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(200, 290))
def test_every_command_works_on_random_tables(seed: int, tmp_path: Path) -> None:
    """Whatever its rows are, a table that computes works in all forms of all commands."""
    pytest.importorskip("onnx")
    pytest.importorskip("h5py")
    cell = tmp_path / "cell.toml"
    cell.write_text((a_table if seed % 2 else an_edit)(random.Random(seed)))
    check_every_command(cell)


def explore(path: Path) -> None:
    """Draw every row of a cell as `explore` does when one moves over it."""
    model = preset_model("identity", read_cell(str(path)), sizes={"I": 2, "H": 2})
    trace = run(model, [[0.1, 0.2]], [0.3, -0.5], [0.2, 0.7])
    for symbol in symbols_of(trace.layers[0].cell):
        scene = Scene(EditedRun(trace), Cursor(symbol=symbol))
        for draw_ in (drawing.table, drawing.working, drawing.words):
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
    assert told.startswith("drops the largest share of the old cell state in unit ")
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
    assert said["f_t"].startswith("keeps the largest share of the old cell state")
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


def test_a_label_goes_with_its_part(tmp_path: Path) -> None:
    """Where f writes and i keeps, neither is called what it was in the table that was edited."""
    cell = tmp_path / "own.toml"
    cell.write_text('base = "lstm"\n[edit]\nc = "i * c_prev + f * g"\n')
    labels = {row.symbol: row.label for row in read_cell(str(cell)).equations}
    assert [labels[k] for k in ("f", "z_f", "i", "z_i")] == [""] * 4
    assert labels["o"] == "output gate"
    told = call("run", *STATES, "-n", 1, "--cell", cell, "-f", "table").out
    assert "i_t           keeps the largest share of the old cell state" in told
    cell.write_text('base = "lstm"\n[edit]\nc = "(1 - f) * c_prev + i * g"\n')
    told = call("run", *STATES, "-n", 1, "--cell", cell, "-f", "table").out
    assert "forget gate   drops the largest share of the old cell state" in told
