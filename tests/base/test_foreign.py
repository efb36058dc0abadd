"""Text of strangers: one escaper for each target, and a type that mypy finds where none is used."""

from __future__ import annotations

import csv
import io
import os
import pickle
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_cli.base.foreign import (
    Foreign,
    c_comment,
    csv_line,
    html,
    latex,
    markdown,
    markdown_code,
    safe,
    say,
    sheet_cell,
    tame,
)
from lstm_cli.files import output
from tests.tools import ROOT, UNSAFE

EVIL = "\x1b]0;owned\x07\x9b31m\x7f\u202e\u2066\u061c\u200f\u2028\u2029\r\n\t\ud800\U000e0041\ufffe"

# Each line with `# found` is one that mypy must refuse; it must let the others be.
SNIPPET = """\
from lstm_cli.base.foreign import Foreign, csv_line, html, latex, markdown, safe, say, sheet_cell

name = Foreign.of("a")


def write(text: str) -> None: ...


write(name)  # found
write(f"tensor {name}")  # found
write("tensor {}".format(name))  # found
write("tensor %s" % name)  # found
write("tensor " + name)  # found
write(", ".join([name]))  # found
say(name)  # found
csv_line([name])  # found
assert name == "a"  # found
write(safe(name))
write(f"tensor {safe(name)}")
write(markdown(name) + latex(name) + html(name))
csv_line([sheet_cell(name)])
assert name.text == "a"
"""


@pytest.mark.full
def test_mypy_finds_foreign_text_that_reaches_a_writer(tmp_path: Path) -> None:
    """Foreign text in an f-string, a join or a writer's argument is an error; escaped it is not."""
    pytest.importorskip("mypy")
    path = tmp_path / "snippet.py"
    path.write_text(SNIPPET)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary",
         "--cache-dir", tmp_path / "cache", path],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
    )  # fmt: skip
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line}
    lines = enumerate(SNIPPET.splitlines(), 1)
    assert found == {number for number, line in lines if line.endswith("# found")}, done.stdout


@given(st.text(st.characters()))
def test_foreign_text_comes_back_as_it_was(text: str) -> None:
    """What was read is what is looked up, halves of surrogate pairs included; its repr is ASCII."""
    foreign = Foreign.of(text)
    assert foreign.text == text
    assert pickle.loads(pickle.dumps(foreign)) == foreign
    assert repr(foreign).isascii()
    assert not UNSAFE.search(repr(foreign))


@pytest.mark.parametrize("escape", [safe, markdown, markdown_code, sheet_cell, latex, html, c_comment])  # fmt: skip
def test_no_target_gets_what_steers(escape: object) -> None:
    """Whatever the target, no control, no mark that turns text and no half of a pair goes out."""
    assert callable(escape)
    for text in (EVIL, Foreign.of(EVIL)):
        out = escape(text)
        assert not UNSAFE.search(out)
        assert not set(out) & set("\t\n\U000e0041\ufffe")
        assert "owned" in out


@given(st.text("`a* _", max_size=12))
def test_code_in_markdown_ends_where_its_text_ends(text: str) -> None:
    """No backtick in a name closes the code that it stands in."""
    out = markdown_code(text)
    fence = out[: len(out) - len(out.lstrip("`"))]
    inner = out[len(fence) : len(out) - len(fence)]
    assert out.endswith(fence)
    assert fence not in inner or not fence
    assert inner.strip(" ") == text.strip(" ")


@pytest.mark.parametrize("number", ["-0.5", "+1", "-1e-05", "-0,5", "3", "1E+22"])
def test_a_number_stays_a_number_in_a_spreadsheet(number: str) -> None:
    """A sign before a plain number makes no formula of it."""
    assert sheet_cell(number) == number


@pytest.mark.parametrize("text", [
    "=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "＝1", " =1", "x;=1", "-",
    "-1-1", "=-0.5",
])  # fmt: skip
def test_a_formula_is_text_in_a_spreadsheet(text: str) -> None:
    """What would be computed has an apostrophe before it, also behind a separator; CSV keeps it."""
    out = sheet_cell(text)
    assert "'" in out
    assert list(csv.reader(io.StringIO(csv_line([out, "-0.5"])))) == [[out, "-0.5"]]


def test_a_cell_is_one_cell_of_tsv() -> None:
    """A tab, a newline and a carriage return in a name start no other cell, and no formula."""
    assert sheet_cell("\t=1\r=2\n=3") == r"\x09=1\x0d=2\x0a=3"


def test_latex_reads_no_file() -> None:
    r"""A name can start no command, no mathematics and no comment, and has only letters TeX has."""
    assert latex(r"\input{/etc/passwd}") == r"\textbackslash{}input\{/etc/passwd\}"
    assert latex("50 % $x_1$ é 漢") == r"50 \% \$x\_1\$ é U+6F22"


def test_html_has_no_tag_of_a_stranger() -> None:
    """A name is text in a page, in an attribute too."""
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: seen.append(tag)  # type: ignore[method-assign]
    parser.feed(f'<p title="{html(chr(34) + "><script>")}">{html("<img src=x onerror=y>")}</p>')
    assert seen == ["p"]


@pytest.mark.parametrize("text", ["*/ x /*", "/*", "??/", "*" * 5 + "/", "a\\\nb"])
def test_a_comment_in_c_ends_where_it_ends(text: str) -> None:
    """No name closes, opens or continues a comment."""
    out = c_comment(text)
    assert out.startswith("/* ")
    assert out.index("*/", 2) == len(out) - 2
    assert "/*" not in out[1:]
    assert "??" not in out
    assert "\n" not in out


def test_what_is_said_steers_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doors to stderr and to a terminal let no control through that got past an escaper."""
    say(f"a {EVIL}", "b")
    output.write_out(["c \x1b[31m"])
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    output.write_out(["d \x1b[31m\u202e\n"])
    out, err = capsys.readouterr()
    assert not UNSAFE.search(err.replace("\r", ""))
    assert err.count("\n") == 3  # its own, and ours
    assert out == "c \x1b[31md \\x1b[31m\\u202e\n"
    assert tame("a\tb\n\f") == "a\tb\n\f"
