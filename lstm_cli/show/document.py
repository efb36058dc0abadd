"""A command's answer as blocks, whatever form it takes: `terminal.draw`, or `write` for the rest.

    document = inspect_document(inspection)
    draw(console, document)                    # colour, and the width that there is
    "".join(write(document, "markdown"))       # text, markdown, latex or html

A public function of each command makes the document; what is in it is decided there, and how it
looks in the writers. Text may be foreign: each writer escapes it for its target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from lstm_cli.base.records import record
from lstm_cli.show.sheets import WRITERS, Writer

Tone = Literal["", "heading", "note", "given", "equation", "state", "good", "fair", "bad", "strong"]


class Span(NamedTuple):
    """Words of one tone; `code` stands as code where a form can show it."""

    text: str
    tone: Tone = ""
    code: bool = False


Words = str | Span | tuple[str | Span, ...]


@record
class Heading:
    """The title of what follows; a document begins with its own."""

    words: Words


@record
class Paragraph:
    """A sentence, or words on a line of their own."""

    words: Words
    tone: Tone = ""
    indent: int = 0


@record
class Gap:
    """An empty line on a terminal; other forms have their own distances."""


@record
class Facts:
    """What is said of each name, in two columns.

    Attributes:
        rows: name, words; a name may come again.
        indent: blank columns before them on a terminal.
        once: whether a name that comes again is shown the first time alone.
    """

    rows: Sequence[tuple[str, Words]]
    indent: int = 0
    once: bool = True


class Column(NamedTuple):
    """A column of a grid.

    Attributes:
        head: what stands above it.
        right: whether its cells stand to the right.
        fold: whether a cell that is too wide goes on below; else it is never cut or folded.
        tone: of its cells.
        widest: the most terminal columns that it takes; 0 is any.
    """

    head: str = ""
    right: bool = False
    fold: bool = False
    tone: Tone = ""
    widest: int = 0


@record
class Grid:
    """Cells in rows and columns.

    Attributes:
        columns: each with its heading, or none has one.
        rows: as many cells in each.
        gap: blank columns between two on a terminal.
        narrow: below this width a terminal stacks the cells of a row, the last indented.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Words]]
    gap: int = 2
    narrow: int = 0
    indent: int = 0


Block = Heading | Paragraph | Gap | Facts | Grid


@record
class Document:
    """An answer: its blocks in order, a heading first."""

    blocks: Sequence[Block]


def spans(words: Words) -> Iterator[Span]:
    """Yield words as spans."""
    several = words if isinstance(words, tuple) and not isinstance(words, Span) else (words,)
    for each in several:
        yield each if isinstance(each, Span) else Span(each)


def plain(words: Words) -> str:
    """Join words without their tones."""
    return "".join(each.text for each in spans(words))


def write(document: Document, form: str) -> Iterator[str]:
    """Yield a document as text, in the form of one of `WRITERS`."""
    writer = WRITERS[form]()
    title, *rest = document.blocks
    yield writer.begin(_said(title.words, writer) if isinstance(title, Heading) else "")
    for block in rest if isinstance(title, Heading) else document.blocks:
        yield from _written(block, writer)
    yield writer.end()


def _written(block: Block, writer: Writer) -> Iterator[str]:
    match block:
        case Heading(words=words):
            yield writer.heading(_said(words, writer))
        case Paragraph(words=words):
            yield writer.paragraph(_said(words, writer))
        case Facts(rows=rows):
            yield writer.items([(writer.escape(name), _said(words, writer))
                                for name, words in rows])  # fmt: skip
        case Grid(columns=columns, rows=rows):
            head = [writer.escape(column.head) for column in columns]
            cells = [[_said(cell, writer) for cell in row] for row in rows]
            yield writer.table(head, cells, [column.right for column in columns])


def _said(words: Words, writer: Writer) -> str:
    return "".join(
        writer.code(each.text) if each.code else writer.escape(each.text) for each in spans(words)
    )
