"""Hostile cells: a TOML file is data, whatever is written in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools import Answer, assert_refused, assert_tame, call

TABLE = """\
f = sigmoid(W_f @ [h_prev, x] + b_f)  # forget
g = {g}
c = f * c_prev + g
h = tanh(c)
"""


def run(folder: Path, text: str, *arguments: str) -> Answer:
    """Run a step with the cell of a TOML file."""
    path = folder / "cell.toml"
    path.write_text(text)
    return call("--x", "1", "--cell", path, *arguments)


EXPRESSIONS = {
    "import": ("__import__('os')", "unknown function '__import__'"),
    "dunder": ("x.__class__", "Attribute"),
    "attribute": ("x.T", "Attribute"),
    "method": ("x.tofile('PWNED')", "Call"),
    "lambda": ("(lambda: 1)()", "Call"),
    "bare lambda": ("lambda: x", "Lambda"),
    "subscript": ("x[0]", "Subscript"),
    "slice": ("x[::-1]", "Subscript"),
    "comparison": ("x > 0", "Compare"),
    "condition": ("x if x else x", "IfExp"),
    "and": ("x and x", "BoolOp"),
    "not": ("not x", "UnaryOp"),
    "power": ("x ** x", "** is not part"),
    "modulo": ("x % 2", "% is not part"),
    "shift": ("1 << 99999999", "<< is not part"),
    "walrus": ("(x := 1)", "NamedExpr"),
    "text": ("'x'", "not a plain finite number"),
    "f-string": ("f'{x}'", "JoinedStr"),
    "none": ("None", "not a plain finite number"),
    "true": ("True", "not a plain finite number"),
    "tuple": ("(x, x)", "Tuple"),
    "list of one": ("[x]", "List"),
    "star": ("[*x, x]", "Starred"),
    "dict": ("{1: x}", "Dict"),
    "comprehension": ("[x for x in x]", "ListComp"),
    "generator": ("max((x for x in x), x)", "GeneratorExp"),
    "keyword": ("max(a=x, b=x)", "Call"),
    "await": ("await x", "Await"),
    "yield": ("(yield x)", "Yield"),
    "semicolon": ("x; import os", "not an equation"),
    "huge": ("1e999 * x", "not a plain finite number"),
    "underscore": ("1_000 * x", "not a plain finite number"),
    "hexadecimal": ("0x10 * x", "not a plain finite number"),
    "complex": ("1j * x", "not a plain finite number"),
    "digits": ("9" * 900 + " * x", "not a plain finite number"),
    "nan": ("nan * x", "used before it is defined"),
    "unknown": ("evil(x)", "unknown function 'evil'"),
    "too few": ("max(x)", "takes 2 arguments"),
    "long": ("x + " * 300 + "x", "longer than 1000 characters"),
    "deep sum": ("x + " * 60 + "x", "nested deeper than 40"),
    "deep brackets": ("(" * 150 + "x" + ")" * 150 + " + " + "-" * 60 + "x", "nested deeper"),
    "very deep brackets": ("(" * 400 + "x" + ")" * 400, "not an equation"),
    "very deep signs": ("-" * 900 + "x", "nested deeper"),
    "unicode name": ("σ(x)", "only ASCII characters"),
    "unicode minus": ("x − x", "only ASCII characters"),
    "wide letters": ("ｔａｎｈ(x)", "only ASCII characters"),
    "bidi": ("x \u202e+ x", "only ASCII characters"),
    "matrix alone": ("W_f", "is a matrix"),
    "sizes": ("[x, x, x] * c_prev", "sizes"),
    "a number": ("1 + 1", "plain number"),
    "itself": ("g", "used before it is defined"),
    "a later row": ("h", "used before it is defined"),
}


@pytest.mark.parametrize(("expression", "words"), EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_an_expression_outside_the_grammar_is_refused(
    expression: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the grammar of a cell is read; nothing in a table is ever run."""
    monkeypatch.chdir(tmp_path)
    answer = run(tmp_path, f"equations = '''\n{TABLE.format(g=expression)}'''\n")
    assert_refused(answer, 3, words, "cell.toml")
    assert_tame(answer)
    assert not Path("PWNED").exists()


@pytest.mark.parametrize("expression", ["x.T", "__import__('os')", "x ** x", "1e999 + x"])
def test_the_caret_stands_in_the_row_of_the_file(expression: str, tmp_path: Path) -> None:
    """An error in a table has row and column of the file, and a caret under the fault."""
    answer = run(tmp_path, f"name = 'mine'\nequations = '''\n{TABLE.format(g=expression)}'''\n")
    head, shown, under = answer.where.split("\n")
    assert head.endswith("cell.toml, row 4, column 5")
    assert under.index("^") == 4
    assert shown[4:] == expression


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = " + "9" * 5000, "not TOML"),
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("x = 1", "unknown key 'x'"),
        ('"\\u001b[31m" = 1', "unknown key '\\x1b[31m'"),
        ("equations = 3", "'equations' must be text"),
        ("name = 'a'", "either 'equations' or 'base'"),
        ("equations = ''\nbase = 'lstm'", "either 'equations' or 'base'"),
        ("equations = ''", "no row for 'c'"),
        ("base = 'lstm'\n[edit]\nf = 3", "[edit] needs one text per row"),
        ("base = 'lstm'\n[edit]\nq = '1'", "no row 'q'"),
        ('base = "lstm"\n[edit]\n"\\u001b[2J" = "1"', "no row"),
        ("base = 'lstm'\n[edit]\nf = 'x.T'", "Attribute"),
        ("base = 'lstm'\n[edit]\nf = '1 - i'\ni = '1 - f'", "in a cycle"),
        ("base = '../../etc/passwd'", "unknown cell"),
        ("base = \"\"\"\\u001b[31m\"\"\"", "unknown cell"),
        ("equations = '''" + "a = x\n" * 2 + "'''", "defined twice"),
        ("equations = '''\nx = h_prev\n'''", "names an input"),
        ("equations = '''\nimport os\n'''", "not a row of a cell table"),
        ("equations = '''" + "".join(f"r{i} = x\n" for i in range(5000)) + "'''", "more than 300"),
        ("not toml", "not TOML"),
        ("", "either 'equations' or 'base'"),
        ("\x00", "not TOML"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused(text: str, words: str, tmp_path: Path) -> None:
    """A file that is not a flat table of a cell is refused in three lines."""
    answer = run(tmp_path, text)
    assert_refused(answer, 2 if words == "unknown cell" else 3, words)
    assert_tame(answer)


def test_a_table_that_doubles_itself_is_refused(tmp_path: Path) -> None:
    """Thirty rows that join the one above with itself would take all memory."""
    rows = "r0 = [x, x]\n" + "".join(f"r{i} = [r{i - 1}, r{i - 1}]\n" for i in range(1, 40))
    assert_refused(
        run(tmp_path, f"equations = '''\n{rows}c = x\nh = x\n'''"), 3, "more than 256 vectors"
    )


HOSTILE = r"\u001b[31mred\u009b2J\u202e | & % $ \\input{/etc/passwd} \\write18{x} [red] =1+1"


@pytest.mark.parametrize("form", ["table", "plain", "csv", "markdown", "latex", "json"])
def test_a_hostile_label_is_only_text(form: str, tmp_path: Path) -> None:
    """A row's label, name and title cannot steer a terminal, TeX, a table or a spreadsheet."""
    table = TABLE.format(g="tanh(x)").replace("# forget", f"# {HOSTILE}")
    text = f'name = "{HOSTILE}"\ntitle = "{HOSTILE}"\nequations = """\n{table}"""\n'
    answer = run(tmp_path, text, "-f", form)
    assert answer.code == 0, answer.err
    assert_tame(answer)
    if form == "latex":
        assert r"\textbackslash{}input\{/etc/passwd\}" in answer.out
        assert r"\input{" not in answer.out
    if form == "markdown":
        rows = [line for line in answer.out.splitlines() if line.startswith("|")]
        assert len({line.replace(r"\|", "").count("|") for line in rows}) == 1
    if form == "plain":
        assert len({line.count("\t") for line in answer.out.splitlines()}) == 1
