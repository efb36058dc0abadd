"""Exercise sheets: the numbers on the paper are enough, and what comes back can be graded."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from lstm_cli.cell.cells import VARIANTS, cell_named
from lstm_cli.cell.notation import LATEX, UNICODE, Notation, write_equation
from lstm_cli.commands.exercise.exercise import fresh_model, fresh_vectors
from lstm_cli.engine.run import Trace
from lstm_cli.samples import read_samples
from lstm_cli.samples.models import sample_trace
from lstm_cli.samples.settings import SampleSettings
from lstm_cli.show.sheets import WRITERS
from tests.tools import ROOT, Answer, assert_refused, assert_tame, call
from tests.witness import Witness

FILES = ROOT / "tests" / "files"
CELLS = ["", *VARIANTS, "peephole+projection"]


def sheet(*options: object, kind: str = "text") -> str:
    answer = call("exercise", "-f", kind, *options)
    assert answer.code == 0, answer.err
    assert_tame_but_for_pages(answer)
    return answer.out


def assert_tame_but_for_pages(answer: Answer) -> None:
    """A form feed starts a new page of plain text, and nothing else steers anything."""
    assert_tame(Answer(answer.code, answer.raw.replace(b"\f", b""), answer.err))


def saved(path: Path) -> Trace:
    (sample,) = read_samples(str(path))
    return sample_trace(sample, SampleSettings())  # type: ignore[arg-type] # it is a good one


# ---- what is on the sheet


def given(text: str) -> dict[str, list[list[float]]]:
    """Read `name = [numbers]` and matrices back from a sheet in plain text."""
    found: dict[str, list[list[float]]] = {}
    name = ""
    for line in text.split("To compute")[0].splitlines():
        match = re.fullmatch(r"(?:(\S+) = | +)\[(.*)\]", line)
        if match:
            name = match[1] or name
            numbers = [float(n) for n in match[2].replace(",", " ").split()]
            found.setdefault(name, []).append(numbers)
    return found


def key_numbers(text: str) -> dict[str, list[float]]:
    """Read the rows of the key's table, by symbol."""
    rows = re.findall(r"^(\S+) .*?((?:\s+-?\d+\.\d+)+)$", text.split("Key\n")[1], re.MULTILINE)
    return {symbol: [float(n) for n in numbers.split()] for symbol, numbers in rows}


@pytest.mark.parametrize("seed", range(8))
def test_the_paper_is_enough(seed: int) -> None:
    """The second witness computes the key from nothing but the numbers on the sheet."""
    text = sheet("--seed", seed, "--show-key", "--digits", 9, "--hidden-size", 3)
    read = given(text)
    weights = {k: np.array(read[f"W_{k}"]) for k in "figo"}
    witness = Witness(
        W={k: w[:, 3:].tolist() for k, w in weights.items()},
        U={k: w[:, :3].tolist() for k, w in weights.items()},
        b={k: read[f"b_{k}"][0] for k in "figo"},
    )
    (made,) = witness.run(read["x_t"], read["h_{t−1}"][0], read["C_{t−1}"][0])
    key = key_numbers(text)
    for k, shown in {
        "f": "f_t",
        "i": "i_t",
        "g": "C̃_t",
        "o": "o_t",
        "c": "C_t",
        "h": "h_t",
    }.items():
        assert key[shown] == pytest.approx(made[k], abs=1e-9)


@pytest.mark.parametrize("notation", ["joined", "split"])
@pytest.mark.parametrize("cell", CELLS)
def test_equations_are_those_of_the_table(cell: str, notation: Notation) -> None:
    """Every row of the cell stands on the sheet as the notation writes it, in each format."""
    options = ["--cell", cell or "lstm", "--notation", notation]
    for kind, style in (("text", UNICODE), ("markdown", UNICODE), ("latex", LATEX)):
        text = sheet(*options, kind=kind)
        for row in cell_named(cell or "lstm").equations:
            assert " = ".join(write_equation(row, style, notation)) in text
            assert row.label in text


def test_split_weights_are_cut_as_the_equations_say() -> None:
    """In the split notation W_k meets x and U_k meets h."""
    joined, split = (given(sheet("--notation", n)) for n in ("joined", "split"))
    for k in "figo":
        both = np.hstack([split[f"U_{k}"], split[f"W_{k}"]])
        assert np.array_equal(both, joined[f"W_{k}"])


def test_only_what_is_asked_has_blanks() -> None:
    """--ask chooses the rows to fill in; the key has all of them."""
    text = sheet("--ask", "c,h", "--show-key")
    asked, key = text.split("Key\n")
    assert asked.count("____") > 0
    assert len(re.findall(r"^[Ch]_t  .*____", asked, re.MULTILINE)) == 2
    assert not re.search(r"^f_t  ", asked, re.MULTILINE)
    assert set(key_numbers(text)) >= {"z_f", "f_t", "C_t", "h_t"}
    assert "____" not in key
    assert "Key" not in sheet()


def test_a_seed_is_an_exercise() -> None:
    """The same seed gives the same sheet, another another; numbers are short and never zero."""
    assert sheet("--seed", 3) == sheet("--seed", 3)
    assert len({sheet("--seed", seed) for seed in range(20)}) == 20
    model = fresh_model(cell_named("peephole+projection"), {"I": 4, "H": 5, "P": 2}, 1)
    arrays = [*model.first.arrays.values(), *fresh_vectors(model, 3, 1)]
    for array in arrays:
        assert np.array_equal(array, np.round(array, 1))
        assert np.all(array != 0)
    assert fresh_vectors(model, 3, 1)[0].shape == (3, 4)


def test_sizes_and_steps() -> None:
    """--hidden-size, --input-size and --steps shape a fresh exercise; x_1, x_2 are its inputs."""
    text = sheet("--hidden-size", 4, "--input-size", 5, "--steps", 12)
    read = given(text)
    names = [f"x_{t}" if t < 10 else f"x_{{{t}}}" for t in range(1, 13)]
    assert {len(read[name][0]) for name in names} == {5}
    assert (len(read["W_f"]), len(read["W_f"][0]), len(read["h_0"][0])) == (4, 9, 4)
    assert text.count("Step ") == 12
    assert sheet("--preset", "ones", "--hidden-size", 2).count("[ 1  1  1  1  1 ]") == 8


def test_given_numbers_are_kept() -> None:
    """Vectors and weights from options stand on the sheet, a sum without its binary tail."""
    read = given(sheet("--x", "1,2,3", "--weights", ROOT / "samples/weights/hand.json"))
    assert read["x_t"] == [[1, 2, 3]]
    assert read["b_f"] == [[3.52, 3.54, 3.56, 3.58, 3.6]]
    assert read["h_{t−1}"] == [[0] * 5]


def test_long_weights_can_be_rounded() -> None:
    """--round makes the sheet exact: its key is that of the rounded numbers."""
    text = sheet("--weights", FILES / "torch_lstm.pt", "--round", 1, "--show-key", "-d", 8)
    read = given(text)
    assert all(round(n, 1) == n for rows in read.values() for row in rows for n in row)
    W = np.array(read["W_f"])
    z = W @ [*read["h_{t−1}"][0], *read["x_t"][0]] + np.array(read["b_f"][0])
    assert key_numbers(text)["z_f"] == pytest.approx(z.tolist(), abs=1e-8)


def test_weights_too_large_for_paper() -> None:
    """A matrix of twenty columns is not printed; the sheet says where it is."""
    text = sheet("--hidden-size", 10, "--input-size", 10)
    assert "The weights are in exercise (seed 0)." in text
    assert "W_f = [" not in text
    assert max(map(len, text.splitlines())) < 110


# ---- three formats


@pytest.mark.parametrize("options", [[], ["--steps", "2"], ["--cell", "peephole+projection"]])
def test_markdown_stands_as_it_is(options: list[str]) -> None:
    """Tables have as many cells in each line, code is closed, no line is HTML but the page."""
    text = sheet(*options, "--show-key", kind="markdown")
    outside = text.split("```")[::2]
    assert len(text.split("```")) % 2 == 1
    for block in outside:
        for lines in re.findall(r"((?:^\|.*\n)+)", block, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines.splitlines()}) == 1
    assert re.findall("<.*>", text) == ['<div style="page-break-after: always"></div>']


EVIL = r"""50% of $x$ & \input{/etc/passwd} {#1} ~ ^ _ éß 中 <b>|*`[x](y)"""


def evil_cell(folder: Path) -> Path:
    """A user's table whose name and labels mean something to every format."""
    path = folder / "evil.toml"
    rows = "\n".join(f"z_{k} = W_{k} @ [h_prev, x] + b_{k}   # {EVIL}" for k in "fg")
    path.write_text(
        f"name = '''{EVIL}'''\ntitle = 'x'\nequations = '''\n{rows}\nf = hard_sigmoid(z_f, 0.3, 0.4)\n"
        "gate_xy = leaky_relu(z_g, 0.02)\nc = f * c_prev + (1 - f) * gate_xy\nh = tanh(c)  # \u202ex\n'''\n",
        encoding="utf-8",
    )
    return path


def test_foreign_text_is_only_text(tmp_path: Path) -> None:
    """Labels and names from a file reach no command of LaTeX, no markup of Markdown."""
    path = evil_cell(tmp_path)
    latex = sheet("--cell", path, kind="latex")
    assert r"\input" not in latex
    assert "/etc/passwd" in latex
    assert "中" not in latex
    markdown = sheet("--cell", path, kind="markdown")
    assert "<b>" not in markdown
    assert not re.search(r"(?<!\\)\]\(", markdown)
    for kind in WRITERS:
        assert "\u202e" not in sheet("--cell", path, kind=kind)


def assert_balanced(text: str) -> None:
    """Braces, environments and the two kinds of mathematics close where they open."""
    plain = re.sub(r"\\[\\{}$&#_%]", "", text)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert text.count(r"\[ ") == text.count(r" \]")
    open_ = re.findall(r"\\begin\{(\w+)\}", text)
    assert sorted(open_) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    assert open_[0] == "document"
    assert text.endswith("\\end{document}\n")


LATEX_OPTIONS: list[list[str]] = [
    [], ["--steps", "3", "--cell", "peephole+projection", "--output-size", "1", "--notation", "split"],
    ["--weights", str(FILES / "torch_lstm.pt"), "--activations", "hard_sigmoid,tanh,tanh"],
    ["--hidden-size", "7", "--input-size", "7"], ["EVIL"],
]  # fmt: skip


@pytest.mark.parametrize("options", LATEX_OPTIONS, ids=" ".join)
def test_latex_is_a_document(options: list[str], tmp_path: Path) -> None:
    """The document is balanced and, where there is a TeX, compiles."""
    if options == ["EVIL"]:
        options = ["--cell", str(evil_cell(tmp_path))]
    text = sheet(*options, "--show-key", kind="latex")
    assert_balanced(text)
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex")
    (tmp_path / "sheet.tex").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "sheet.tex"],
        cwd=tmp_path, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "sheet.pdf").stat().st_size > 1000


def test_text_is_aligned() -> None:
    """Columns of the plain table stand under each other, accents and all."""
    lines = sheet("--show-key").split("Key\n")[1].splitlines()
    ends = {cell_len(line) for line in lines if re.search(r"\d\.\d+$", line)}
    assert len(ends) == 1


# ---- key, template, sample: what comes back is graded


def filled(template: str, numbers: dict[str, Any], digits: int) -> str:
    """Return a template with one answer: `numbers` by column."""
    header, _ = csv.reader(io.StringIO(template))
    row = ["Ann", *(f"{numbers[column]:.{digits}f}" for column in header[1:])]
    return ",".join(header) + "\n" + ",".join(row) + "\n"


def by_column(trace: Trace) -> dict[str, float]:
    """All right numbers by the name of their column."""
    found: dict[str, float] = {}
    for each, t, values in trace.each_step():
        place = f"layer{each.layer}_{each.direction}_" if len(trace.layers) > 1 else ""
        when = f"@{t}" if trace.steps > 1 else ""
        found |= {f"{place}{symbol}_{unit}{when}": value
                  for symbol, row in values.items() for unit, value in enumerate(row.tolist())}  # fmt: skip
    return found


ROUND_TRIPS: list[list[str]] = [
    ["--seed", "5"], ["--steps", "3"], ["--ask", "z_f,h"], ["--hidden-size", "1", "--input-size", "1"],
    ["--forget-bias", "1", "--clip", "2"], ["--activations", "hard_sigmoid,tanh,tanh"],
    *(["--cell", cell] for cell in CELLS[1:]),
]  # fmt: skip


@pytest.mark.parametrize("options", ROUND_TRIPS, ids=" ".join)
@pytest.mark.parametrize("digits", [2, 6])
def test_the_right_answer_comes_back_as_right(
    tmp_path: Path, options: list[str], digits: int
) -> None:
    """The template filled with the right numbers is graded 100 % against the saved exercise."""
    exercise, template = tmp_path / "exercise.json", tmp_path / "template.csv"
    sheet(*options, "--save", exercise, "--template", template)
    answers = tmp_path / "answers.csv"
    answers.write_text(filled(template.read_text(), by_column(saved(exercise)), digits))
    (own,) = call("grade", exercise, answers, "-f", "jsonl").lines
    assert (own["name"], own["result"], own["points"]) == ("Ann", "right", 100)
    assert own["notes"] == []


def test_a_stack_is_graded_from_its_options(tmp_path: Path) -> None:
    """Two layers, both directions: columns name them, and the options stand for the exercise."""
    weights = FILES / "torch_checkpoint.pt"
    options = ["--x", "0.5,-0.2,0.1; 0.3,0.9,-0.4", "--weights", weights]
    template = tmp_path / "template.csv"
    text = sheet(*options, "--template", template)
    assert "Layer 1, backward" in text
    assert "Here x_t is h_t of layer 0 (forward, then backward)." in text
    document = call(*options, "--json").json
    numbers = {
        f"layer{s['layer']}_{s['direction']}_{k}_{j}@{s['t']}": v
        for s in document["steps"] for k in s if isinstance(s[k], list) for j, v in enumerate(s[k])
    }  # fmt: skip
    answers = tmp_path / "answers.csv"
    answers.write_text(filled(template.read_text(), numbers, 5))
    (own,) = call("grade", *options, answers, "-f", "jsonl").lines
    assert (own["result"], own["points"], len(own["symbols"])) == ("right", 100, 24)
    refused = call("exercise", *options, "--save", tmp_path / "x.json")
    assert_refused(refused, 2, "cannot be kept as a sample")
    assert not (tmp_path / "x.json").exists()


def test_a_cell_of_ones_own_is_saved(tmp_path: Path) -> None:
    """A sample of a user's table names its file from wherever it is read."""
    path, exercise = evil_cell(tmp_path), tmp_path / "deep" / "exercise.json"
    exercise.parent.mkdir()
    sheet("--cell", path, "--save", exercise)
    assert "gate_xy" in saved(exercise).model.cell.symbols


@pytest.mark.parametrize("kind", list(WRITERS))
def test_the_key_is_a_file_or_a_page(tmp_path: Path, kind: str) -> None:
    """--key FILE writes a document of its own, --key - and --show-key a page behind the sheet."""
    path = tmp_path / "key"
    alone = sheet("--key", path, kind=kind)
    assert alone == sheet(kind=kind)
    key = path.read_text(encoding="utf-8")
    behind = sheet("--key", "-", kind=kind)
    assert behind == sheet("--show-key", kind=kind) != alone
    page = WRITERS[kind]().page_break()
    assert behind.count(page) == 1
    assert behind.split(page)[1].strip() in key


@pytest.mark.parametrize(
    ("option", "name", "what"),
    [("--save", "ex.csv", "csv"), ("--template", "a.JSON", "json"), ("--key", "k.pdf", "pdf")],
)
def test_a_suffix_of_another_format_is_refused(
    tmp_path: Path, option: str, name: str, what: str
) -> None:
    """No sample is written under .csv, no template under .json; and no other file before."""
    answer = call("exercise", "--seed", 7, option, tmp_path / name, "-o", tmp_path / "sheet.txt")
    assert_refused(answer, 2, f"means {what}, but {option} writes")
    assert list(tmp_path.iterdir()) == []


def test_the_key_is_in_the_format_of_its_suffix(tmp_path: Path) -> None:
    """A key of its own is HTML under .html, whatever the sheet is; else it is as the sheet."""
    for name, start in (("k.html", "<!doctype html>"), ("k.tex", "\\documentclass"), ("k", "# ")):
        call("exercise", "--seed", 7, "--key", tmp_path / name, "-f", "markdown")
        assert (tmp_path / name).read_text().startswith(start)


def test_the_saved_exercise_is_the_one_on_the_sheet(tmp_path: Path) -> None:
    """`run` on the saved sample's numbers gives the key."""
    path = tmp_path / "exercise.json"
    text = sheet("--seed", 4, "--save", path, "--show-key", "-d", 6)
    document = json.loads(path.read_text())
    assert given(text)["x_t"] == document["x"]
    assert key_numbers(text)["h_t"] == pytest.approx(saved(path).h.tolist(), abs=1e-6)


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "no x": (["--h", "1"], 2, "--x is missing"),
    "seed with x": (["--x", "1", "--seed", "3"], 2, "a seed has no effect"),
    "size with x": (["--x", "1", "--input-size", "3"], 2, "--input-size has no effect"),
    "size of a file": (
        ["--weights", "samples/weights/hand.json", "--hidden-size", "3"], 2, "no effect",
    ),
    "unknown symbol": (["--ask", "f,q"], 2, "the cell does not compute 'q'"),
    "unknown format": (["-f", "docx"], 2, "unknown format"),
    "template on stdout": (["--template", "-"], 2, "--template needs a file"),
    "one file for two": (["--key", "a", "--save", "a"], 2, "name the same file"),
    "no such folder": (["--key", "/no/such/key"], 5, "cannot write"),
    "too many steps": (["--steps", "1000000000"], 2, "too many for a sheet"),
    "too large": (["--hidden-size", "100000"], 3, "GiB"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(
    arguments: list[str], code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each error is three lines, says what is wrong, and writes no sheet."""
    monkeypatch.chdir(ROOT)
    assert_refused(call("exercise", *arguments), code, words)


@pytest.mark.parametrize("arguments", [["--json"], ["-f", "json"]], ids=" ".join)
def test_what_is_for_people_has_no_json(arguments: list[str]) -> None:
    """A sheet says that it has no JSON, in JSON as it was asked for."""
    answer = call("exercise", *arguments)
    assert answer.code == 2
    error = json.loads(answer.err)["error"]
    assert "has no JSON" in error["message"]
    assert error["where"] in ("--json", "-f json")
    assert "text, markdown, latex" in error["try"]
