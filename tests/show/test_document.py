"""Documents: one answer, whatever form it takes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lstm_cli.show.document import (
    Column,
    Document,
    Facts,
    Gap,
    Grid,
    Heading,
    Paragraph,
    Span,
    write,
)
from lstm_cli.show.draw import draw

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


def drawn(width: int, encoding: str = "utf-8", document: Document = DOCUMENT) -> str:
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
