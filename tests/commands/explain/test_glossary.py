"""The glossary: every word can be found, printed and believed."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from lstm_cli.base.errors import UsageError
from lstm_cli.base.numbers import decimals
from lstm_cli.cell.equations import FUNCTIONS
from lstm_cli.cell.grad import grad_table
from lstm_cli.cell.presets import PRESETS
from lstm_cli.commands.explain.glossary import WORDS, Word, word_named
from lstm_cli.commands.explain.glossary_page import FACTS, HABITS, command_of, index, page
from lstm_cli.mistakes.catalogue import MISTAKES
from lstm_cli.show.sheets import in_ascii
from tests.tools import ROOT, UNSAFE, call

ALL = list(WORDS.values())
EXAMPLES = [word for word in ALL if word.example is not None]
ASKED = (
    "forget-gate", "input-gate", "candidate", "output-gate", "cell-state", "hidden-state",
    "pre-activation", "concatenation", "weights", "bias", "sigmoid", "tanh", "step", "sequence",
    "initial-state", "peephole", "projection", "coupled-gates", "clip", "cell-clip", "forget-bias",
    "hard-sigmoid", "gate-order", "layers", "directions", "batch", "vanishing-gradient",
    "gradient", "convention", "precision", "fixed-point", "padding",
)  # fmt: skip


def text_of(name: str, **how: Any) -> str:
    return "".join(page(WORDS[name], **how))


def ids(word: Word) -> str:
    return word.name


# ---- finding a word


@pytest.mark.parametrize("name", ASKED)
def test_the_words_of_an_lstm_are_there(name: str) -> None:
    """Each word that a reader of an LSTM meets has a page."""
    assert word_named(name).name == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("forget gate", "forget-gate"), ("Forget_Gate", "forget-gate"), (" f ", "forget-gate"),
        ("f_t", "forget-gate"), ("z_f", "forget-gate"), ("C̃", "candidate"), ("C̃_t", "candidate"),
        ("g", "candidate"), ("memory", "cell-state"), ("C_t", "cell-state"), ("h", "hidden-state"),
        ("h_prev", "initial-state"), ("W_f", "weights"), ("b_o", "bias"), ("σ", "sigmoid"),
        ("CIFG", "coupled-gates"), ("Q3.12", "fixed-point"), ("BPTT", "gradient"),
        ("IFCO", "gate-order"), ("proj_size", "projection"), ("p_o", "peephole"),
    ],
)  # fmt: skip
def test_words_are_found_by_other_names(typed: str, name: str) -> None:
    """Symbols, frameworks' names, spaces and capitals lead to the page."""
    assert word_named(typed).name == name


def test_every_name_is_of_one_word() -> None:
    """No name or alias leads to two words, and each leads to its own."""
    names = [(name, word.name) for word in ALL for name in (word.name, *word.aliases)]
    assert len(names) == len({name for name, _ in names})
    assert all(word_named(name).name == owner for name, owner in names)
    assert "words" not in dict(names)  # `explain words` is the index


def test_an_unknown_word_gets_a_proposal() -> None:
    """What is misspelt is refused with the nearest word, what is hostile is shown harmless."""
    with pytest.raises(UsageError, match="no page on 'forgt-gate'") as caught:
        word_named("forgt-gate")
    assert caught.value.hint == "did you mean 'forget-gate'?"
    with pytest.raises(UsageError) as caught:
        word_named("\x1b[31m\u202eq")
    assert not UNSAFE.search(str(caught.value))


# ---- the rows of data


def test_every_file_is_a_word() -> None:
    """No page lies in the folder that the index does not list."""
    folder = ROOT / "lstm_cli" / "commands" / "explain" / "glossary" / "words"
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{w}.md" for w in WORDS)


@pytest.mark.parametrize("word", ALL, ids=ids)
def test_a_word_points_at_what_exists(word: Word) -> None:
    """Rows, functions, facts, presets, mistakes and other words that a page names are there."""
    cell = word.table
    backward = {row.symbol for row in grad_table(cell)}
    assert set(word.symbols) <= {*cell.symbols} | backward
    assert set(word.functions) <= set(FUNCTIONS)
    assert set(word.facts) <= set(FACTS)
    assert set(word.habits) <= set(HABITS)
    assert set(word.mistakes) <= set(MISTAKES)
    assert set(word.see) <= set(WORDS) - {word.name}
    assert word.example is None or word.example.preset in PRESETS
    assert word.mistakes
    assert word.see
    assert word.try_
    assert word.source
    assert 2 <= len(word.meaning) <= 4


def test_every_mistake_in_an_equation_is_on_a_page() -> None:
    """Who makes a known mistake in an equation finds it beside a word."""
    told = {name for word in ALL for name in word.mistakes}
    assert not {row.id for row in MISTAKES.values() if row.kind == "equation"} - told


def test_every_fact_is_on_a_page() -> None:
    """Nothing is told that no page shows."""
    assert {fact for word in ALL for fact in word.facts} == set(FACTS)
    assert {habit for word in ALL for habit in word.habits} == set(HABITS)


@pytest.mark.parametrize("word", ALL, ids=ids)
def test_no_row_of_a_cell_is_typed(word: Word) -> None:
    """Equations come from the table: no prose or drawing has one of its own."""
    for text in (word.gist, word.picture, *word.meaning):
        assert not re.search(r"[fighoc](_t)? = .*[*⊙·+(]", text, re.IGNORECASE), text
        assert not re.search(r"(sigmoid|σ|tanh)\([^)]*[a-z_]", re.sub(r"\$[^$]*\$", "", text)), text


@pytest.mark.parametrize("word", ALL, ids=ids)
def test_drawings_fit_a_slide_and_ascii(word: Word) -> None:
    """A drawing fits 60 columns with its margin, and has the same ones in ASCII."""
    for line in word.picture.splitlines():
        plain = in_ascii(line)
        assert cell_len(line) <= 60
        assert plain.isascii()
        assert "?" not in plain
        assert len(plain) == cell_len(line)


# ---- what is printed


@pytest.mark.parametrize("notation", ["joined", "split"])
@pytest.mark.parametrize("word", ALL, ids=ids)
def test_text_fits_80_columns(word: Word, notation: Any) -> None:
    """No line of a page is wider than 80 columns or ends in blanks, and none could steer."""
    text = text_of(word.name, notation=notation)
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert all(line == line.rstrip() for line in text.splitlines())
    assert not UNSAFE.search(text)
    assert "\N{NO-BREAK SPACE}" not in text


@pytest.mark.parametrize("word", ALL, ids=ids)
def test_text_gets_narrower(word: Word) -> None:
    """At 60 columns words, equations and commands are narrower too; drawings and tables stay."""
    wide = [
        line for line in text_of(word.name, width=60).splitlines()
        if cell_len(line) > 60 and not re.search(r"[─│▶]|t = |  -?\d", line)
        and "list mistakes" not in line
    ]  # fmt: skip
    drawn = {f"  {line.strip()}" for line in word.picture.splitlines()}
    assert [line for line in wide if f"  {line.strip()}" not in drawn] == []


@pytest.mark.parametrize(
    ("name", "equation"),
    [
        ("forget-gate", "f_t = σ(z_f)"),
        ("cell-state", "C_t = f_t ⊙ C_{t−1} + i_t ⊙ C̃_t"),
        ("peephole", "z_o = W_o · [h_{t−1}, x_t] + b_o + p_o ⊙ C_t"),
        ("peephole", "z_f = W_f · [h_{t−1}, x_t] + b_f + p_f ⊙ C_{t−1}"),
        ("projection", "h_t = W_hr (o_t ⊙ tanh(C_t))"),
        ("coupled-gates", "f_t = 1 − i_t"),
        ("coupled-gates", "i_t = 1 − f_t"),
        ("forget-bias", "z_f = W_f · [h_{t−1}, x_t] + b_f + 1"),
        ("clip", "f_t = σ(clip(z_f, −0.5, 0.5))"),
        ("cell-clip", "C_t = clip(f_t ⊙ C_{t−1} + i_t ⊙ C̃_t, −1, 1)"),
        ("hard-sigmoid", "f_t = hard-σ(z_f)"),
        ("gradient", "δf_t = δC_t ⊙ C_{t−1}"),
        ("sigmoid", "σ(z) = 1 / (1 + exp(−z))"),
        ("concatenation", "z_f = W_f x_t + U_f h_{t−1} + b_f"),
    ],
)
def test_a_page_has_its_equations(name: str, equation: str) -> None:
    """The equations of a page are those of the papers."""
    assert re.search(rf"^  {re.escape(equation)}( {{3}}|$)", text_of(name), re.MULTILINE)


def test_notation_is_heeded() -> None:
    """--notation split writes the rows of a page with W x + U h."""
    assert "  z_f = W_f x_t + U_f h_{t−1} + b_f   forget" in text_of(
        "forget-gate", notation="split"
    )
    assert "U_f" not in text_of("forget-gate")


def test_the_index_has_every_word() -> None:
    """Every word is listed once, in every kind, with half a line on what it is."""
    rows = {
        "text": "^{}  +(.*)$",
        "markdown": r"^\| `{}` \| (.*) \|$",
        "latex": r"^(?:\\rule.*)?\\texttt\{{{}\}} & (.*) \\\\",
    }
    for kind, row in rows.items():
        text = "".join(index(kind))
        for word in ALL:
            (gist,) = re.findall(row.format(re.escape(word.name)), text, re.MULTILINE)
            assert len(gist) > 15
    assert max(map(cell_len, "".join(index()).splitlines())) <= 80


@pytest.mark.parametrize("word", ALL, ids=ids)
def test_markdown_is_plain(word: Word) -> None:
    """Markdown has no HTML, every fence is closed, and no brace of a note is left."""
    text = text_of(word.name, kind="markdown")
    assert len(re.findall(r"^```", text, re.MULTILINE)) % 2 == 0
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    assert "`" not in prose
    assert not re.search(r"(?<!\\)[<>$]", prose)
    assert "{" not in prose


def test_latex_compiles(tmp_path: Path) -> None:
    """All pages and the index, one behind the other, are a LaTeX document; no letter is lost."""
    texts = [text_of(name, kind="latex") for name in WORDS] + ["".join(index("latex"))]
    assert not any("U+" in text for text in texts)
    head = texts[0].split(r"\begin{document}")[0]
    bodies = [re.search(r"\\begin\{document\}(.*)\\end\{document\}", t, re.DOTALL) for t in texts]
    whole = head + r"\begin{document}" + "".join(b[1] for b in bodies if b) + r"\end{document}"
    assert whole.count(r"\section*") == len(texts)
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex")
    (tmp_path / "words.tex").write_text(whole, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "words.tex"],
        cwd=tmp_path, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "words.pdf").stat().st_size > 10000


@pytest.mark.parametrize("word", ALL, ids=ids)
def test_ascii_loses_nothing(word: Word) -> None:
    """A terminal without Unicode gets the whole page, no sign of it unknown."""
    text = text_of(word.name)
    plain = in_ascii(text)
    assert plain.isascii()
    assert plain.count("?") == text.count("?")
    assert len(plain.splitlines()) == len(text.splitlines())


# ---- what is said is so


@pytest.mark.parametrize("line", sorted({line for word in ALL for line in word.try_}))
def test_what_is_to_try_runs(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command that a page proposes runs, and answers."""
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(line)
    assert program == "lstm-step"
    answer = call(*arguments)
    assert answer.code == 0, answer.err
    assert answer.out


@pytest.mark.parametrize("word", EXAMPLES, ids=ids)
def test_an_example_can_be_repeated(word: Word) -> None:
    """The command of an example gives the numbers that its page shows."""
    steps = call(*shlex.split(command_of(word))[1:], "--json").json["steps"]
    shown = text_of(word.name).split("With numbers")[1]
    assert word.example is not None
    for symbol in word.example.symbols:
        if symbol not in steps[0]:
            continue
        if len(steps) == 1:
            texts = [decimals(value, 6) for value in steps[0][symbol]]
            expected = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
            assert re.search(rf" = {re.escape(expected)}(  |\n)", shown), symbol
        else:
            texts = [decimals(step[symbol][0], 4) for step in steps]
            assert re.search(r"\s+".join(map(re.escape, texts)) + "\n", shown), symbol


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def course(steps: int) -> list[tuple[float, float, float]]:
    """The usual example by hand, with weights 1 and no bias: (f, c, h) of each step."""
    h, c, rows = 0.5, 0.2, []
    for _ in range(steps):
        share, candidate = sigmoid(h + 0.3), math.tanh(h + 0.3)
        c = share * c + share * candidate
        h = share * math.tanh(c)
        rows.append((share, c, h))
    return rows


def test_the_usual_example_is_right() -> None:
    """The numbers and the sentence on the forget gate's page come out by hand."""
    ((f, c, _),) = course(1)
    text = " ".join(text_of("forget-gate").split())
    assert f"f_t = σ(z_f) = {f:.6f} forget gate" in text
    assert f"i_t ⊙ C̃_t = {c:.6f} cell state" in text
    assert f"Of the old 0.2 the gate keeps {100 * f:.1f} %, that is {0.2 * f:.4f}." in text
    assert f"new cell state, {c - 0.2 * f:.4f}, is written" in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sequence", "after four steps the cell state has counted 3 ones."),
        ("cell-clip", "the clip holds it at 1."),
        ("initial-state", "whatever the forget gate is, it keeps 0."),
        ("pre-activation", "the sum is 0.5 + 0.3 = 0.8."),
        ("coupled-gates", f"{100 * sigmoid(0.8):.1f} % is written, so {100 * sigmoid(-0.8):.1f} %"),
        ("forget-bias", f"The gate keeps {100 * sigmoid(1.8):.1f} % of the old 0.2."),
    ],
)
def test_sentences_have_their_numbers(name: str, said: str) -> None:
    """What is said beside an example is so after its last step."""
    assert said in " ".join(text_of(name).split())


def test_gradient_flow_is_the_product_of_the_forget_gates() -> None:
    """What the page on vanishing gradients says is left of c_t is the product of the later f."""
    gates = [f for f, _, _ in course(6)]
    left = [math.prod(gates[t + 1 :]) for t in range(6)]
    line = re.search(r"^along the cell state +(\d.*)$", text_of("vanishing-gradient"), re.MULTILINE)
    assert line is not None
    assert [float(n) for n in line[1].split()] == pytest.approx(left, abs=5e-5)


def test_all_ways_back_are_counted() -> None:
    """By all ways, a change of c_t changes the last c as a difference of two runs says."""

    def last(c: float, h: float, steps: int) -> float:
        for _ in range(steps):
            share = sigmoid(h + 0.3)
            c = share * c + share * math.tanh(h + 0.3)
            h = share * math.tanh(c)
        return c

    expected = []
    for t, (f, c, _) in enumerate(course(6)):
        # h of step t follows c of step t, its output gate being the same number as f.
        up, down = (last(c + e, f * math.tanh(c + e), 5 - t) for e in (1e-5, -1e-5))
        expected.append((up - down) / 2e-5)
    line = re.search(r"^by all ways +(\d.*)$", text_of("vanishing-gradient"), re.MULTILINE)
    assert line is not None
    assert [float(n) for n in line[1].split()] == pytest.approx(expected, abs=6e-5)


def test_gradients_are_slopes() -> None:
    """The gradients on their page are by how much h changes with each number."""
    ((f, c, _),) = course(1)
    slope = 1 - math.tanh(c) ** 2
    expected = [1, f * slope, math.tanh(c), f * slope * f, f * slope * math.tanh(0.8),
                f * slope * 0.2, f * slope * 0.2 * f * (1 - f), f * slope * f]  # fmt: skip
    rows = text_of("gradient").split("these numbers:")[1].split("Common")[0]
    found = re.findall(r"^δ\S+ .* ([\d.]+)$", rows, re.MULTILINE)
    assert [float(n) for n in found] == pytest.approx(expected, abs=5e-5)


def test_integers_are_4096ths() -> None:
    """The integers on the page on fixed point stand for the step's numbers, to a few last bits."""
    ((f, c, h),) = course(1)
    rows = dict(re.findall(r"^(\S+) +(\d+) +[\d.]+ +[\d.]+$", text_of("fixed-point"), re.MULTILINE))
    assert set(rows) == {"f_t", "C̃_t", "C_t", "h_t"}
    for name, value in {"f_t": f, "C̃_t": math.tanh(0.8), "C_t": c, "h_t": h}.items():
        assert abs(int(rows[name]) - value * 4096) < 2


def test_float32_is_off_by_its_last_digits() -> None:
    """The page on precision shows differences of float32's size, of the right numbers."""
    rows = re.findall(r"^t = \d +(\S+) +(\S+) +(\S+)$", text_of("precision"), re.MULTILINE)
    assert [float(exact) for exact, _, _ in rows] == pytest.approx(
        [h for _, _, h in course(6)], abs=5e-10
    )
    for exact, single, difference in rows:
        assert abs(float(exact) - float(single)) == pytest.approx(float(difference), abs=2e-9)
        assert 0 < float(difference) < 1e-6


def test_functions_have_their_values() -> None:
    """The three sigmoids at 1 are those of the frameworks: 0.731, 0.7, 0.667."""
    text = text_of("hard-sigmoid")
    assert re.search(r"^1 +0\.731059 +0\.7 +0\.666667$", text, re.MULTILINE)
    assert re.search(r"^4 +0\.982014 +1 +1$", text, re.MULTILINE)
    assert "hard-σ₆(z) = min(max(z / 6 + 0.5, 0), 1)" in text


def test_weights_are_counted() -> None:
    """The numbers of an LSTM are as PyTorch counts them with one bias: 4 H (I + H + 1)."""
    rows = re.findall(r"^(\d+) +(\d+) +(\d+)$", text_of("weights"), re.MULTILINE)
    assert len(rows) == 3
    for row in rows:
        inputs, units, numbers = map(int, row)
        assert numbers == 4 * units * (inputs + units + 1)


def habit(name: str, said: str) -> set[str]:
    """Read the names that stand under a line of a page."""
    match = re.search(rf"^  {re.escape(said)}\n((?: {{6}}.*\n)+)", text_of(name), re.MULTILINE)
    assert match is not None
    return set(re.findall(r"[\w.-]+", match[1]))


@pytest.mark.parametrize(
    ("name", "said", "those", "not_those"),
    [
        ("gate-order", "i f g o", {"pytorch", "keras", "mlx"}, {"onnx", "tf1", "openvino"}),
        ("gate-order", "i o f g", {"onnx", "webnn"}, {"pytorch"}),
        ("gate-order", "i g f o", {"tf1", "haiku", "cntk"}, {"keras"}),
        ("gate-order", "f i g o", {"openvino"}, {"onnx"}),
        ("forget-bias", "1 added to the forget gate at run time", {"tf1", "haiku", "dynet"},
         {"keras", "pytorch", "sonnet"}),
        ("bias", "two biases for a gate", {"pytorch", "onnx", "mxnet", "keras-cudnn"},
         {"keras", "tf1", "keras-1", "flax-linen"}),
        ("initial-state", "the pair of states as (c, h)", {"tf1", "flax-linen", "dynet"},
         {"pytorch", "keras", "haiku"}),
        ("concatenation", "one matrix for both inputs, x first", {"tf1", "haiku"},
         {"pytorch", "joined"}),
        ("hard-sigmoid", "gates by a hard sigmoid", {"keras-1", "keras-2.2"}, {"keras"}),
        ("clip", "clipped at run time", {"coreml"}, {"pytorch"}),
    ],
)  # fmt: skip
def test_frameworks_are_where_they_belong(
    name: str, said: str, those: set[str], not_those: set[str]
) -> None:
    """What a page says of frameworks is what their own sources say."""
    found = habit(name, said)
    assert those <= found
    assert not not_those & found
