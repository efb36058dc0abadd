"""Documents: one answer, whatever form it takes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from lstm_cli.base.foreign import Foreign
from lstm_cli.base.paste import command
from lstm_cli.cell.equations import parse
from lstm_cli.cell.notation import Style
from lstm_cli.cell.notation import write as write_equation
from lstm_cli.commands._options import WRITTEN
from lstm_cli.show.document import (
    ALWAYS,
    BREAK,
    Brief,
    Column,
    Definitions,
    Document,
    Drawn,
    Facts,
    Fitting,
    Gap,
    Grid,
    Heading,
    Maker,
    Paragraph,
    Sentences,
    Series,
    Span,
    Values,
    over,
    write,
)
from lstm_cli.show.draw import draw
from lstm_cli.show.rows import Row, View
from lstm_cli.show.sheets import WRITERS

HOSTILE = "a\x1b[2Jb|c<d>&e_f=1\u202e"
DOCUMENT = Document(
    (
        Heading(HOSTILE),
        Paragraph(("ran ", Span("ls", code=True), " here"), "good"),
        Gap(),
        Facts((("known by", "names"), ("known by", HOSTILE), ("sizes", "I = 2"))),
        Heading("numbers"),
        Grid(
            (Column("name"), Column("what", fold=True), Column("min", right=True)),
            (("W_f", "forget", "-0.25"), ("b_f", HOSTILE, "1.5")),
        ),
    )
)


def drawn(width: int, encoding: str = "utf-8", document: Document | Maker = DOCUMENT) -> str:
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    draw(Console(file=buffer, width=width), document)
    buffer.seek(0)
    return "".join(line.rstrip() + "\n" for line in buffer)


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "html"])
def test_every_form_says_all_and_steers_nothing(form: str) -> None:
    """Each writer puts out every block, with foreign text escaped for its target."""
    text = "".join(write(DOCUMENT, form))
    for word in ("ran", "ls", "known by", "sizes", "I = 2", "numbers", "forget", "-0.25", "1.5"):
        assert word in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    marks = {"markdown": "|c<d>", "latex": "&e_f", "html": "<d>"}
    assert form not in marks or marks[form] not in text


def test_a_terminal_of_any_width_cuts_nothing() -> None:
    """Wide, narrow and in ASCII: every number and word is there, a repeated name once."""
    for width in (40, 60, 120):
        for encoding in ("utf-8", "ascii"):
            text = drawn(width, encoding)
            assert "\x1b" not in text
            assert text.count("known by") == 1
            for word in ("sizes", "W_f", "forget", "-0.25", "1.5"):
                assert word in text


def test_a_grid_is_stacked_where_it_would_be_squeezed() -> None:
    """Below a grid's least width the cells of a row stand one under the other."""
    grid = Grid((Column(), Column(fold=True)), (("gates-figo", "a stack is misread"),), narrow=60)
    document = Document((grid,))
    assert drawn(80, document=document).splitlines() == ["gates-figo  a stack is misread"]
    assert drawn(40, document=document).split() == ["gates-figo", "a", "stack", "is", "misread"]
    assert drawn(40, document=document).splitlines()[1] == "  a stack is misread"


VECTOR = np.array([0.25, -1.5, 3.125])
ROWS = (
    Row("f", "f_t", Foreign.of(HOSTILE), "σ(z_f)", VECTOR),
    Row("x", "x_t", Foreign.of("input"), "", np.array([7.5, 8.5, 9.5, 6.5]), whole=True),
    Row(
        "W", "W", Foreign.of("weights"), "a ⊗ b", np.array([[0.5, 11.5], [12.5, 13.5]]), ("p", "q")
    ),
)
NUMBERS = Document(
    (
        Heading("numbers"),
        Values("t = 1", lambda style: ROWS, View(units="1", widest=3), title="step 1"),
        Series(
            "t",
            (1, 2),
            [over(lambda style: "c", np.array([[1.25, 2.25], [3.25, 4.25]]), [0, 1])],
            6,
        ),
        Definitions(lambda style: ["hard(z) = 0.2 z + 0.5"]),
        Sentences(lambda style: [("forget gate", "keeps 12 %")]),
        Brief((Paragraph("short"),), (Paragraph("whole"),)),
    )
)


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "html"])
def test_numbers_stand_in_every_form_under_their_own_unit(form: str) -> None:
    """Each writer gives chosen units, whole rows, matrices, series, definitions and sentences."""
    text = "".join(write(NUMBERS, form))
    for word in ("-1.5", "7.5", "6.5", "0.5", "13.5", "1.25", "4.25", "hard(z)", "keeps", "whole"):
        assert word in text
    assert "short" not in text
    assert "0.25" not in text.replace("1.25", "").replace("2.25", "").replace("4.25", "")
    assert "\x1b" not in text


def test_a_unit_stands_under_its_own_number() -> None:
    """Beside a row that has no units of the layer, a chosen unit keeps its column."""
    lines = "".join(write(NUMBERS, "markdown")).splitlines()
    head = next(line for line in lines if line.startswith("| symbol")).split(" | ")
    row = next(line for line in lines if line.startswith("| f_t")).split(" | ")
    assert row[head.index("1")] == "-1.5"
    assert [row[head.index(unit)] for unit in "02"] == ["", ""]


def test_a_part_is_no_page() -> None:
    """A part of a page has neither its beginning nor its end, in any form."""
    part = Document(NUMBERS.blocks[1:], part=True)
    assert "documentclass" not in "".join(write(part, "latex"))
    assert "<!doctype" not in "".join(write(part, "html"))
    assert "documentclass" in "".join(write(NUMBERS, "latex"))


@pytest.mark.parametrize("width", [24, 40, 120])
def test_a_terminal_shows_the_short_form_and_no_number_cut(width: int) -> None:
    """Vectors, matrices and series are whole at any width, and a page's long form is left out."""
    text = drawn(width, document=NUMBERS)
    for word in ("step 1", "-1.5", "1.25", "3.25", "0.5", "12.5", "short", "keeps"):
        assert word in text
    assert "whole" not in text
    assert "…" not in text


def test_a_series_that_does_not_fit_goes_on_in_several_tables() -> None:
    """Where one column of each group is too wide, the groups stand one under the other."""
    wide = [over(lambda style, each=each: each, np.array([[1 / 3]]), [0]) for each in "xch"]
    lines = drawn(24, document=Document((Series("t", (1,), wide, 15),))).splitlines()
    assert sum("0.333333333333333" in line for line in lines) == 3


def test_values_without_rows_are_nothing() -> None:
    """Where no row is chosen there is neither a heading nor a table."""
    nothing = Document((Values("t = 1", lambda style: (), View(), title="step 1"),))
    assert drawn(80, document=nothing) == ""
    assert "".join(write(nothing, "markdown")) == ""


def test_the_first_shape_that_fits_is_shown() -> None:
    """A terminal takes the widest grid that it has room for, then what stands for all of them."""
    wide = Grid((Column("name"), Column("value")), (("forget", "12345678901234567890"),))
    high = Grid((Column(("name", BREAK, "value")),), ((("forget", BREAK, "12345678"),),))
    fitting = Document((Fitting((wide, high), (Paragraph("forget"),)),))
    assert "name     value" in drawn(80, document=fitting)
    assert drawn(20, document=fitting).splitlines()[:2] == ["name", "value"]
    assert drawn(7, document=fitting).split() == ["forget"]
    assert "12345678901234567890" in "".join(write(fitting, "text"))


def test_options_name_every_writer() -> None:
    """The formats that commands take are those that there are writers for."""
    assert tuple(WRITERS) == WRITTEN


RECORDS = Grid(
    (
        Column("name", "", tone="strong"),
        Column("equations", "", fold=True),
        Column("source", "", led=True),
        Column("kind", "", only="table"),
        Column("missing", "", led=True, only="stack"),
    ),
    (("lstm", ["f = 1", "c = f"], "a book", "cell", "h5py"), ("gru", [], HOSTILE, "cell", "")),
    narrow=ALWAYS,
)


def test_stacked_cells_have_a_line_each_and_a_table_has_all_in_one() -> None:
    """A cell of several texts, one led by its heading, and those of one layout alone."""
    document = Document((RECORDS,))
    assert drawn(80, document=document).splitlines()[:5] == [
        "lstm", "  f = 1", "  c = f", "  source: a book", "  missing: h5py",
    ]  # fmt: skip
    table = "".join(write(document, "markdown")).splitlines()
    assert table[:3] == [
        "| name | equations | source | kind |", "| --- | --- | --- | --- |",
        "| lstm | f = 1; c = f | a book | cell |",
    ]  # fmt: skip
    for form in WRITERS:
        assert "\x1b" not in "".join(write(document, form))
    text = "".join(write(document, "text"))
    assert text.startswith(
        "lstm\n----\n\nf = 1\n\nc = f\n\nsource: a book\n\nmissing: h5py\n\ngru\n"
    )


def test_a_table_shows_what_comes_again_once_and_folds_where_it_is_narrow() -> None:
    """On a terminal; its headings may be shorter there than elsewhere."""
    columns = (Column("a long heading", "short", once=True), Column("word", fold=False))
    grid = Grid(columns, (("same", "one"), ("same", "anotherword")), narrow=20)
    document = Document((grid,))
    lines = drawn(40, document=document).splitlines()
    assert lines[0].split() == ["short", "word"]
    assert [line.split() for line in lines[2:]] == [["same", "one"], ["anotherword"]]
    assert max(map(len, drawn(12, document=document).splitlines())) <= 12
    assert "".join(write(document, "markdown")).count("same") == 2


def test_paragraphs_hang_behind_a_mark_or_stay_whole() -> None:
    """The lines of one with a mark begin behind it; one that is to be copied is not broken."""
    words = "some words that are many"
    document = Document((
        Heading(words, tone="", wrap=False),
        Paragraph(words, indent=2, mark="→ "),
        Paragraph(words, wrap=False),
    ))  # fmt: skip
    assert drawn(16, "ascii", document).splitlines() == [
        words, "  -> some words", "     that are", "     many", words,
    ]  # fmt: skip


@pytest.mark.parametrize("form", WRITERS)
def test_a_document_without_a_title_begins_with_what_it_has(form: str) -> None:
    """Nor is there an empty heading, and the last line is no blank one."""
    for document in (Document((Paragraph("words"),)), Document(())):
        text = "".join(write(document, form))
        assert not any(each in text for each in ("# ", "==", r"\section*{}", "<h1></h1>"))
        assert not text.endswith("\n\n")
    assert "".join(write(Document((Paragraph("words"),)), "text")) == "words\n"


def test_signs_of_ours_are_set_in_latex() -> None:
    """What our own words have is set, as TeX's first fonts lack the letters."""
    document = Document((Heading("a · b → c × d … e ≠ 中"),))
    title = r"\section*{a $\cdot$ b $\rightarrow$ c $\times$ d \ldots{} e $\neq$ U+4E2D}"
    assert title in "".join(write(document, "latex"))


def test_a_command_can_be_pasted_as_it_is_shown() -> None:
    """A terminal breaks it with backslashes; a written form leaves it on its line, as code."""
    line = command("run", "--x", "0.25,-0.5,0.75", "--h", "0.125,-0.25", "--dtype", "float32")
    document = Document((Paragraph(line, indent=2), Facts((("run", line),))))
    for text in (drawn(40, document=document), drawn(40, "ascii", document)):
        assert text.replace(" \\\n", "").split("run  ", 1)[0].split() == line.split()
    assert "".join(write(document, "text")) == f"{line}\n\n  run\n      {line}\n"
    assert f"`{line}`" in "".join(write(document, "markdown"))


def test_equations_are_written_in_the_style_of_the_form() -> None:
    """A document with equations is made for the style of what shows it."""

    def of(style: Style) -> Document:
        return Document(
            (Facts((("sum", Span(write_equation(parse("f * c"), style), math=True)),)),)
        )

    assert "f * c" in drawn(80, "ascii", of)
    assert "f_t ⊙ C_t" in drawn(80, document=of)
    assert "<code>f_t ⊙ C_t</code>" in "".join(write(of, "html"))
    assert r"$f_t \odot C_t$" in "".join(write(of, "latex"))


def test_counts_have_bars_on_a_terminal_alone() -> None:
    """As long as their share of the largest, at least one character; other forms have none."""
    grid = Grid((Column("", right=True), Column(bar=True)), (("40", "40"), ("1", "1"), ("0", "0")))
    document = Document((grid,))
    assert [line.split() for line in drawn(60, "ascii", document).splitlines()] == [
        ["40", "#" * 10], ["1", "#"], ["0"],
    ]  # fmt: skip
    assert "#" not in "".join(write(document, "text"))


def test_a_folded_table_has_columns_of_its_own() -> None:
    """What has a column where there is room stands below in another cell where there is none."""
    columns = (Column("who"), Column("mark", only="table"), Column("why", only="table"),
               Column("why", fold=True, only="stack"))  # fmt: skip
    document = Document((Grid(columns, (("Ann", "+", "fine", ["fine", "mark:+"]),), narrow=30),))
    assert [line.split() for line in drawn(40, document=document).splitlines()][::2] == [
        ["who", "mark", "why"], ["Ann", "+", "fine"],
    ]  # fmt: skip
    assert [line.split() for line in drawn(20, document=document).splitlines()][2:] == [
        ["Ann", "fine"], ["mark:+"],
    ]  # fmt: skip


def test_lines_are_laid_out_for_a_width() -> None:
    """On a terminal and in text and Markdown; LaTeX and what is said elsewhere have their own."""
    document = Document((
        Heading("on a terminal", said="elsewhere"),
        Heading(HOSTILE, level=3),
        Drawn(lambda width: [(Span("x", "gate"), " = ", Span("1" * width, "result"))], latex="L\n"),
        Drawn(lambda width: ["broken", "up"], "aside", said="Broken up."),
        Paragraph("not said", said=""),
    ))  # fmt: skip
    assert drawn(20, document=document).splitlines()[-5:] == [
        "  x =", "1" * 18, "  broken", "  up", "not said",
    ]  # fmt: skip
    forms = {form: "".join(write(document, form)) for form in WRITERS}
    for text in forms.values():
        assert "elsewhere" in text
        assert "Broken up." in text
        assert not any(each in text for each in ("on a terminal", "not said", "\x1b"))
    assert f"```text\nx = {'1' * 96}\n```\n" in forms["markdown"]
    assert "\n### " in forms["markdown"]
    assert f"\n  x = {'1' * 78}\n" in forms["text"]
    assert "\nL\nBroken" in forms["latex"]
    assert "<pre>x = 1" in forms["html"]
