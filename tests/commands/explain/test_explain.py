"""`lstm-step explain` with --x: the page of worked arithmetic, its formats, its sentences."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from lstm_cli.cell.cells import VARIANTS, Cell, cell_named, parse_table
from lstm_cli.cell.notation import UNICODE
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.engine.run import run
from lstm_cli.show.arithmetic import known_at
from lstm_cli.show.sentences import Teller
from lstm_cli.show.worked import grouped
from tests.commands.exercise.test_exercise import EVIL, assert_balanced, evil_cell
from tests.commands.test_schemas import validator
from tests.conftest import random_arrays, random_inputs
from tests.show.test_working import FUNCTIONS, read
from tests.tools import ROOT, assert_refused, assert_tame, call, shell

QUESTION = ["--h", "0,0.5,0.1,0.2,0.6", "--x", "-0.1,0.3,0.1,-0.25,0.1"]
OWN_C = ["--c", "0.1,0.2,-0.3,0.4,0.5"]
HAND = ["--x", "1,2,3; 4,5,6", "-w", str(ROOT / "samples" / "weights" / "hand.json")]
STACK = ["--x", "0.5,-0.2,0.1; 0.3,0.9,-0.4", "-w", str(ROOT / "tests/files/torch_checkpoint.pt")]
RANDOM = ["--x", "1,-0.5", "--h", "0.3,-0.2", "--c", "0.2,-0.7", "--preset", "random"]


def page(*options: object, columns: int = 80, **env: str) -> str:
    answer = call("explain", *options, env={"COLUMNS": str(columns), **env})
    assert answer.code == 0, answer.err
    assert_tame(answer)
    return answer.out


def equations(text: str) -> dict[str, list[str]]:
    """Return name -> its stages, continued lines put together."""
    joined = re.sub(r"\n {4,}(?=[=+−-] )", " ", re.sub(r"\n {4,}(?=·)", "", text))
    lines = [line.strip() for line in joined.splitlines()]
    parts = [re.split(r" = ", line) for line in lines if re.match(r"[^ ]+\[\d+\] = ", line)]
    return {name: stages for name, *stages in parts}


# ---- the page


SCREEN = """\
lstm · I = 5, H = 5 · weights preset:identity · float64
assumed: no weights given: preset identity (W_k = [I | I], b = 0)
unit 1 of 5, the one with the largest |h|; --unit chooses

[h_{t−1}, x_t], one vector
         h_{t−1}         │             x_t
  0    1    2    3    4  │     0    1    2      3    4
  0  0.5  0.1  0.2  0.6  │  −0.1  0.3  0.1  −0.25  0.1

forget gate
  z_f[1] = W_f[1] · [h_{t−1}, x_t] + b_f[1]
         = 1·0.5 + 1·0.3 + 0·(8 numbers) + 0 = 0.8
  f_t[1] = σ(z_f[1]) = σ(0.8) = 1 / (1 + e^(−0.8)) = 0.689974
  keeps 69 % of the old 0.2, that is 0.1380

cell state
  C_t[1] = f_t[1]·C_{t−1}[1] + i_t[1]·C̃_t[1]
         = 0.689974·0.2 + 0.689974·0.664037 = 0.137995 + 0.458168 = 0.596163
  rises from 0.2 to 0.5962
"""


def test_the_page_as_it_stands() -> None:
    """The page of the question, as a reader sees it."""
    assert page(*QUESTION, "--c", "0.1,0.2,-0.3,0.4,0.1", "--only", "z_f,f,c") == SCREEN


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize(
    "options",
    [QUESTION, [*HAND, "--unit", "all"], STACK, [*RANDOM, "--cell", "peephole+projection"]],
    ids=["question", "hand", "stack", "variant"],
)
def test_every_width_holds_the_same(options: list[str], columns: int) -> None:
    """No line is wider than the terminal, and what is cut into lines goes together again."""
    text = page(*options, columns=columns)
    assert max(map(cell_len, text.splitlines())) <= columns
    wide = equations(page(*options, columns=2000))
    assert equations(text) == wide
    assert wide


def test_continued_lines_stand_under_the_first_equals() -> None:
    """In a narrow terminal each further = stands in the column of the first."""
    lines = page(*HAND, "--only", "z_f", columns=60).splitlines()
    (first,) = [line for line in lines if line.startswith("  z_f")]
    column = first.index("=")
    further = lines[lines.index(first) + 1 :]
    assert len(further) > 3
    for line in filter(None, further):
        assert line[column] == "=" or re.match(r" +[+−] ", line)


@pytest.mark.parametrize("cell", ["lstm", *VARIANTS, "peephole+projection"])
def test_gates_come_one_by_one_with_all_their_rows(cell: str) -> None:
    """Every row stands on the page once, each pre-activation right before its gate."""
    found = equations(page(*RANDOM, "--cell", cell, "--unit", "0"))
    symbols = cell_named(cell).symbols
    assert list(found) == [
        f"{UNICODE.name(s)}[0]" for group in grouped(cell_named(cell)) for s in group
    ]
    assert len(found) == len(symbols)
    names = list(found)
    for symbol in symbols:
        if f"z_{symbol}" in symbols:
            own = names.index(f"{UNICODE.name(symbol)}[0]")
            assert names[own - 1] == f"z_{symbol}[0]"


def test_groups_can_be_computed_in_their_order() -> None:
    """No group of a table of one's own needs a later one, a gate that uses another's z included."""
    cell = Cell("own", "", parse_table("""
z_a = W_a @ x
b = tanh(z_a)
z_b = W_b @ [b, x]
z_c = W_c @ x + z_b
c = sigmoid(z_c) * c_prev + z_a
a = sigmoid(z_a)
h = a * tanh(c)
"""))  # fmt: skip
    flat = [symbol for group in grouped(cell) for symbol in group]
    assert sorted(flat) == sorted(cell.symbols)
    done: set[str] = set()
    for symbol in flat:
        used = set(re.findall(r"'(\w+)'", repr(cell[symbol].expression))) & set(cell.symbols)
        assert used <= done, symbol
        done.add(symbol)


# ---- which step, which unit


def largest(numbers: list[float]) -> int:
    return max(range(len(numbers)), key=lambda j: abs(numbers[j]))


def test_the_unit_with_the_largest_h_is_the_default() -> None:
    """Without --unit each layer and direction shows its own strongest unit at its last step."""
    steps = call("explain", *STACK, "--json").json["steps"]
    told = call(*STACK, "--json").json["steps"]
    assert [(s["layer"], s["direction"], s["t"]) for s in steps] == [
        (0, "forward", 2), (0, "backward", 1), (1, "forward", 2), (1, "backward", 1),
    ]  # fmt: skip
    for step in steps:
        (own,) = [s for s in told
                  if all(s[k] == step[k] for k in ("layer", "direction", "t"))]  # fmt: skip
        assert step["unit"] == largest(own["h"])
    text = page(*STACK)
    assert text.count("the one with the largest |h|; --unit chooses") == 4
    assert "layer 1 backward, step 1 of 2" in text


def test_units_and_steps_are_chosen() -> None:
    """--unit and --at choose as they do for run, and every choice is said."""
    steps = call("explain", *HAND, "--unit", "0:2,4", "--at", "all", "--json").json["steps"]
    assert [(s["t"], s["unit"]) for s in steps] == [(t, u) for t in (1, 2) for u in (0, 1, 4)]
    text = page(*HAND, "--unit", "0:2,4", "--at", "1")
    assert re.findall(r"^unit (\d)$", text, re.MULTILINE) == ["0", "1", "4"]
    assert "step 1 of 2" in text
    assert "largest" not in text


def test_a_projection_has_fewer_outputs_than_units() -> None:
    """A unit that h lacks shows its gates, and that h has no such unit."""
    options = ["--x", "1,-0.5", "--preset", "random", "--cell", "projection", "--hidden-size", "3",
               "--output-size", "1", "--unit", "2"]  # fmt: skip
    for kind in ("text", "markdown"):
        text = page(*options, "-f", kind)
        assert re.search(r"h\\?_t has unit 0 only", text)
        assert "C_t[2] = " in text
        assert "h_t[2]" not in text
    assert "$h_t$ has unit 0 only." in page(*options, "-f", "latex")


# ---- vectors


def test_the_concatenation_is_drawn_once() -> None:
    """The joined vector stands once, h before the bar and x behind it, each under its place."""
    text = page(*QUESTION)
    (names,) = re.findall(r"^ +h_\{t−1\} +│ +x_t$", text, re.MULTILINE)
    places, numbers = text.splitlines()[text.splitlines().index(names) + 1 :][:2]
    assert [part.split() for part in places.split("│")] == [list("01234")] * 2
    left, right = (re.sub("−", "-", part).split() for part in numbers.split("│"))
    assert [left, right] == [each.split(",") for each in QUESTION[1::2]]
    assert names.index("│") == places.index("│") == numbers.index("│")


def test_split_vectors_stand_alone() -> None:
    """In the split notation x and h are drawn by themselves, and U and W have lines of theirs."""
    text = page(*QUESTION, "--notation", "split")
    assert "│" not in text
    assert "x_t, input\n" in text
    assert "h_{t−1}, previous hidden state\n" in text
    found = equations(text)["z_f[1]"]
    assert found[:2] == [
        "W_f[1] x_t + U_f[1] h_{t−1} + b_f[1]",
        "1·0.3 + 0·(4 numbers) + 1·0.5 + 0·(4 numbers) + 0",
    ]


def test_a_long_vector_is_cut_and_says_so() -> None:
    """Of 64 numbers the first are drawn, and how many more there are is told."""
    text = page("--x", "1,0.5", "--preset", "random", "--hidden-size", "64", columns=60)
    assert "48 more" in text
    assert "(64 weights)·0" in text


# ---- formats


@pytest.mark.parametrize("options", [QUESTION, HAND, STACK, [*RANDOM, "--cell", "peephole"]])
def test_json_is_as_its_schema_says(options: list[str]) -> None:
    """The document validates, has the engine's numbers in full, and stages that read back."""
    document = call("explain", *options, "--json", "--digits", "17", "--unit", "all").json
    validator("explain").validate(document)
    told = {(s["layer"], s["direction"], s["t"]): s for s in call(*options, "--json").json["steps"]}
    for step in document["steps"]:
        own = told[step["layer"], step["direction"], step["t"]]
        for row in step["rows"]:
            assert row["value"] == own[row["symbol"]][step["unit"]]
            for stage in row["stages"][1:]:
                assert read(stage, UNICODE, FUNCTIONS) == pytest.approx(row["value"], abs=1e-12)


@pytest.mark.parametrize(
    "options", [[], ["--cell", "peephole+projection"], ["--notation", "split"]]
)
def test_markdown_has_the_same_equations(options: list[str]) -> None:
    """Markdown holds what the text holds, every equation in a block of code that is closed."""
    text = page(*RANDOM, *options, "-f", "markdown", "--unit", "0")
    blocks = text.split("```")
    assert len(blocks) % 2 == 1
    assert equations("\n".join(blocks[1::2])) == equations(page(*RANDOM, *options, "--unit", "0"))
    assert not re.search(r"\w\[\d\] = ", "".join(blocks[::2]))


def test_html_has_the_same_equations_and_sentences() -> None:
    """HTML holds what Markdown holds: lines of code as they are, a heading for each gate."""
    html = unescape(page(*RANDOM, "-f", "html", "--unit", "0"))
    markdown = page(*RANDOM, "-f", "markdown", "--unit", "0")
    assert equations("\n".join(re.findall(r"<pre>(.*?)</pre>", html, re.DOTALL))) == equations(
        "\n".join(markdown.split("```")[1::2])
    )
    assert re.findall(r"<h3>(.*)</h3>", html) == re.findall(r"^### (.*)$", markdown, re.MULTILINE)
    assert html.startswith("<!doctype html>")
    assert "<h1>One LSTM step, worked out</h1>" in html


LATEX_OPTIONS: dict[str, list[str]] = {
    "question": QUESTION, "hand": [*HAND, "--unit", "0:2", "--at", "all"], "stack": STACK,
    "wide": ["--x", "1,2", "--h", ",".join(["0.1"] * 40), "--preset", "random", "--hidden-size", "40",
             "--activations", "hard_sigmoid,elu(0.7),softsign"],
    "split": [*RANDOM, "--cell", "peephole+projection", "--notation", "split", "--clip", "0.5"],
    "not finite": ["--x", "nan,inf,1", "--allow-nonfinite"],
    "small": ["--x", "1e-9,-2e-12", "--h", "1e300,1", "--digits", "3"],
}  # fmt: skip


def assert_compiles(text: str, folder: Path) -> None:
    """Assert that a document is balanced and, where there is a TeX, compiles with nothing wide."""
    assert_balanced(text)
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex")
    (folder / "step.tex").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "step.tex"],
        cwd=folder, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    wide = [float(w) for w in re.findall(rb"Overfull \\hbox \(([\d.]+)pt", done.stdout)]
    assert max(wide, default=0) < 5


@pytest.mark.parametrize("options", LATEX_OPTIONS.values(), ids=LATEX_OPTIONS)
def test_latex_compiles_as_it_stands(options: list[str], tmp_path: Path) -> None:
    """The document needs nothing but amsmath, and every line fits the page."""
    assert_compiles(page(*options, "-f", "latex"), tmp_path)


def test_foreign_text_is_only_text(tmp_path: Path) -> None:
    """Labels and names from a file reach no terminal, no command of LaTeX, no Markdown."""
    options = ["--x", "1", "--cell", evil_cell(tmp_path), "--preset", "random"]
    assert EVIL.split()[0] in page(*options)
    markdown = page(*options, "-f", "markdown")
    assert "<b>" not in markdown
    assert not re.search(r"(?<!\\)\]\(", markdown)
    html = page(*options, "-f", "html")
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    latex = page(*options, "-f", "latex")
    assert r"\input" not in latex
    assert "/etc/passwd" in latex
    assert_compiles(latex, tmp_path)


def test_a_terminal_without_unicode_gets_ascii() -> None:
    """Where the encoding has no σ, equations are in plain text and nothing is lost."""
    answer = call("explain", *QUESTION, encoding="ascii")
    assert answer.raw.isascii()
    assert b"\\u" not in answer.raw
    assert "f[1] = sigmoid(z_f[1]) = sigmoid(0.8) = 1 / (1 + exp(-0.8)) = 0.689974" in answer.out


def test_colour_is_for_those_who_want_it() -> None:
    """Escapes come only with --color always, and change no letter."""
    plain, coloured = (call("explain", *QUESTION, "--color", c).out for c in ("auto", "always"))
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


def test_it_goes_to_a_file(tmp_path: Path) -> None:
    """-o writes what stdout would show."""
    for kind in ("text", "markdown", "latex", "html", "json"):
        path = tmp_path / kind
        assert page(*QUESTION, "-f", kind, "-o", path) == ""
        assert path.read_text(encoding="utf-8") == page(*QUESTION, "-f", kind)


# ---- sentences


def sentences(*options: object) -> dict[str, str]:
    (step,) = call("explain", *options, "--json").json["steps"]
    return {each["symbol"]: each["text"] for each in step["sentences"]}


def test_sentences_are_made_of_the_numbers() -> None:
    """Each gate says its share, of what, and what that comes to."""
    assert sentences(*QUESTION, "--c", "0.1,0.2,-0.3,0.4,0.1") == {
        "f": "keeps 69 % of the old 0.2, that is 0.1380",
        "i": "writes 69 % of the candidate 0.6640, that is 0.4582",
        "g": "pushes up, by 0.6640 if all of it is let in",
        "o": "shows 69 % of tanh(C_t) = 0.5343, that is 0.3687",
        "c": "rises from 0.2 to 0.5962",
        "h": "0.3687 goes out, and in again at the next step",
    }


SAID: dict[str, tuple[list[str], str, str]] = {
    "nothing to keep": ([], "f", "would keep 69 %, but the old state is 0: nothing to keep"),
    "stays": (["--preset", "zeros", "--c", "0,0,0,0,0"], "c", "stays at 0"),
    "falls": (["--preset", "zeros", "--c", "1,0,0,0,0", "--unit", "0"], "c", "falls from 1 to 0.5"),
    "no candidate": (["--preset", "zeros"], "g", "proposes nothing: it is 0"),
    "nearly all": (["--forget-bias", "20", "--c", "1,1,1,1,1"], "f",
                   "keeps nearly 100 % of the old 1, that is 1.0000"),
    "no share": (["--activations", "affine(2,1),tanh,tanh", "--c", "1,1,1,1,1", "--unit", "1"], "f",
                 "keeps the old 1 times 2.6, that is 2.6"),
    "another activation": (["--activations", "sigmoid,tanh,softsign"], "o",
                           "shows 69 % of softsign(C_t) = 0.3142, that is 0.2168"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "symbol", "sentence"), SAID.values(), ids=SAID)
def test_what_is_special_is_said(options: list[str], symbol: str, sentence: str) -> None:
    """Zeros, ones, and gates that are no shares have words of their own."""
    assert sentences(*QUESTION, *options)[symbol] == sentence


def test_only_what_the_cell_does_is_said() -> None:
    """A table whose f does not multiply the old state is not said to keep any of it."""
    cell = Cell("own", "", parse_table("""
f = sigmoid(W_f @ x)
i = sigmoid(W_i @ x)
c = c_prev + i * tanh(f)
h = W_hr @ (i * c)
"""))  # fmt: skip
    weights = LstmWeights(cell, random_arrays(cell, {"I": 2, "H": 3, "P": 2}, seed=1))
    trace = run(Model.single(weights), *random_inputs(weights, 1))
    each = trace.layers[0]
    teller = Teller(cell, known_at(each, 1), 1, UNICODE)
    assert teller.say("f") == teller.say("o") == teller.say("g") == ""
    candidate = np.tanh(each.values["f"][0, 1])
    assert teller.say("i").startswith("writes ")
    assert f"tanh(f_t) = {candidate:.4f}".rstrip("0") in teller.say("i")


def test_a_projection_mixes_what_is_shown() -> None:
    """With W_hr the output gate's product is not yet the hidden state, and that is said."""
    text = sentences(*RANDOM, "--cell", "projection", "--unit", "0")["o"]
    assert text.endswith("before W_hr mixes the units")


# ---- what cannot be


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "nothing": ([], 2, "--x is missing"),
    "unknown row": (["--x", "1", "--only", "f,q"], 2, "the cell does not compute 'q'"),
    "unknown unit": (["--x", "1,2", "--unit", "2"], 2, "'2' is outside 0 to 1"),
    "unknown step": (["--x", "1;2", "--at", "3"], 2, "'3' is outside 1 to 2"),
    "an exercise's option": (["--x", "1", "--show-key"], 2, "No such option: --show-key"),
    "unknown format": (["--x", "1", "-f", "csv"], 2, "unknown format 'csv'"),
    "a word and x": (["forget-gate", "--x", "1"], 2, "--x has no effect with the word"),
    "a word and an exercise": (["forget-gate", "--exercise"], 2, "lstm-step exercise forget-gate"),
    "an unknown word": (["forgte-gate"], 2, "did you mean 'forget-gate'?"),
    "no terms": (["--x", "1", "--terms", "0"], 2, "--terms"),
    "shapes": ([*HAND, "--h", "1,2"], 3, "--h has"),
    "no such folder": (["--x", "1", "-o", "/no/such/page"], 5, "cannot write"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(arguments: list[str], code: int, words: str) -> None:
    """Each error is three lines, says what is wrong, and writes nothing."""
    assert_refused(call("explain", *arguments), code, words)


def test_many_samples_are_refused(tmp_path: Path) -> None:
    """A file of several samples needs --sample, in JSON too."""
    np.save(tmp_path / "x.npy", np.ones((2, 3, 2)))
    for more in ([], ["--json"]):
        answer = call("explain", "--x", f"@{tmp_path / 'x.npy'}", *more)
        assert answer.code == 2
        assert "--sample" in answer.err
    assert "C_t[0]" in page("--x", f"@{tmp_path / 'x.npy'}", "--sample", "1")


# ---- words


@pytest.mark.parametrize("arguments", [["--json"], ["-f", "json"]], ids=" ".join)
def test_a_page_of_the_glossary_has_no_json(arguments: list[str]) -> None:
    """A page of the glossary says that it has no JSON, in JSON as it was asked for."""
    answer = call("explain", "forget-gate", *arguments)
    assert answer.code == 2
    error = json.loads(answer.err)["error"]
    assert "has no JSON" in error["message"]
    assert error["where"] in ("--json", "-f json")
    assert "text, markdown, latex" in error["try"]


def test_a_word_has_its_page() -> None:
    """`explain forget-gate` prints its page in each format, `explain words` lists it."""
    assert "f_t = σ(z_f)" in page("forget-gate")
    assert r"\sigma" in page("forget-gate", "-f", "latex")
    assert "W_f x_t + U_f h_{t−1}" in page("forget-gate", "--notation", "split")
    assert "forget-gate" in page("words")
    answer = call("explain", "forget-gate", encoding="ascii")
    assert answer.raw.isascii()
    assert b"\\u" not in answer.raw


def test_help_shows_the_examples_and_loads_nothing_heavy() -> None:
    """`explain --help` names both uses without numpy or rich."""
    done = shell("explain", "--help")
    assert done.returncode == 0
    for word in (b"--unit", b"forget-gate", b"[WORD]"):
        assert word in done.stdout
    code = ("import sys; from lstm_cli.commands._main import program; program(['explain', '--help']); "
            "print([m for m in ('numpy', 'rich.console', 'lstm_cli.engine.run') if m in sys.modules])")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    loaded = done.stdout.decode().splitlines()[-1]
    assert json.loads(loaded.replace("'", '"')) == []
