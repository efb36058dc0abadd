"""A command's answer as blocks, whatever form it takes: `draw.draw`, or `write` for the rest.

    document = inspect_document(inspection)
    draw(console, document)                    # colour, and the width that there is
    "".join(write(document, "markdown"))       # text, markdown, latex or html

A public function of each command makes the document; what is in it is decided there, and how it
looks in the writers. Text may be foreign: each writer escapes it for its target. A document without
a heading is no page of its own, but a part to put into one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import decimals
from lstm_cli.base.records import record
from lstm_cli.cell.notation import Style
from lstm_cli.show.rows import Row, RowKind, View, value_lines

if TYPE_CHECKING:
    from lstm_cli.show.sheets import Writer

Tone = RowKind | Literal["", "heading", "note", "equation", "good", "fair", "bad", "strong"]


class Span(NamedTuple):
    """Words of one tone; `code` stands as code where a form can show it."""

    text: str
    tone: Tone = ""
    code: bool = False


Words = str | Span | tuple[str | Span, ...]
# A new line within a cell of a terminal's table.
BREAK = Span("\n")
# Forms in which tables of values are parts of somebody's paper or page, not a page.
PARTS = ("markdown", "latex")


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
        point: whether it has numbers, whose points stand under each other.
    """

    head: Words = ""
    right: bool = False
    fold: bool = False
    tone: Tone = ""
    widest: int = 0
    point: bool = False


@record
class Grid:
    """Cells in rows and columns.

    Attributes:
        columns: each with its heading, or none has one.
        rows: as many cells in each.
        gap: blank columns between two on a terminal.
        narrow: below this width a terminal stacks the cells of a row, the last indented.
        tones: of each row, where its column has none.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Words]]
    gap: int = 2
    narrow: int = 0
    indent: int = 0
    tones: Sequence[Tone] = ()


@record
class Fitting:
    """One grid in several shapes: a terminal shows the first that fits, other forms the first.

    Attributes:
        grids: from wide to narrow.
        otherwise: what stands there where none fits.
    """

    grids: Sequence[Grid]
    otherwise: Sequence[Block]


@record
class Values:
    """Named vectors and matrices, each beside its equation; without any, there is nothing.

    Attributes:
        heading: the place that they belong to, on a page.
        rows: the rows, written in a style.
        view: the units to show, and the digits.
        named: whether a page has a column for what each is called; a terminal always has.
        title: what a terminal says above them.
    """

    heading: str
    rows: Callable[[Style], Sequence[Row]]
    view: View
    named: bool = True
    title: str = ""


# What a column of numbers is called in a style, and its numbers.
NumberColumn = tuple[Callable[[Style], str], Array]


@record
class Series:
    """Numbers over time, or over units: a line each.

    Attributes:
        corner: what the lines are.
        lines: what each is called.
        groups: columns that belong together; where the width is short, a terminal shows the first
            few of each group.
        digits: decimals.
        most: columns of a group on a terminal.
        more: said there of columns that are left out.
    """

    corner: str
    lines: Sequence[int]
    groups: Sequence[Sequence[NumberColumn]]
    digits: int
    most: int = 1
    more: str = ""


@record
class Definitions:
    """What the functions in equations mean, written in a style."""

    texts: Callable[[Style], Sequence[str]]


@record
class Sentences:
    """What is said of each name, at any width, written in a style."""

    rows: Callable[[Style], Sequence[tuple[str, str]]]


@record
class Brief:
    """Blocks of which a terminal shows the short form, and a page the whole."""

    short: Sequence[Block]
    whole: Sequence[Block]


Block = (
    Heading | Paragraph | Gap | Facts | Grid | Fitting | Values | Series | Definitions | Sentences
    | Brief
)  # fmt: skip


@record
class Document:
    """An answer: its blocks in order, a heading first where it is a page of its own."""

    blocks: Sequence[Block]


def spans(words: Words) -> Iterator[Span]:
    """Yield words as spans."""
    several = words if isinstance(words, tuple) and not isinstance(words, Span) else (words,)
    for each in several:
        yield each if isinstance(each, Span) else Span(each)


def plain(words: Words) -> str:
    """Join words without their tones."""
    return "".join(each.text for each in spans(words))


def over(name: Callable[[Style], str], values: Array, units: Sequence[int]) -> list[NumberColumn]:
    """Return a column for each of some units of `values (lines, n)`."""
    return [
        (lambda style, unit=unit: f"{name(style)}[{unit}]", values[:, unit])  # type: ignore[misc]
        for unit in units
    ]


def series_grid(
    block: Series, groups: Sequence[Sequence[NumberColumn]], style: Style, count: int = 0
) -> Grid:
    """Return the first `count` columns of each of some groups as a grid; 0 is all."""
    shown = [column for group in groups for column in group[: count or None]]
    texts = [[decimals(value, block.digits) for value in values] for _, values in shown]
    heads = [Column(name(style), point=True) for name, _ in shown]
    rows = [*zip(map(str, block.lines), *texts, strict=True)]
    return Grid((Column(block.corner), *heads), rows, gap=1)


def write(document: Document, form: str) -> Iterator[str]:
    """Yield a document as text, in the form of one of `WRITERS`."""
    from lstm_cli.show.sheets import WRITERS  # not where a terminal is drawn on

    writer = WRITERS[form]()
    title, *rest = document.blocks
    if not isinstance(title, Heading):
        for block in document.blocks:
            yield from _written(block, writer)
        return
    yield writer.begin(_said(title.words, writer))
    for block in rest:
        yield from _written(block, writer)
    yield writer.end()


def _written(block: Block, writer: Writer) -> Iterator[str]:
    match block:
        case Heading(words=words):
            yield writer.heading(_said(words, writer))
        case Paragraph(words=words):
            yield writer.paragraph(_said(words, writer))
        case Facts(rows=rows):
            yield _items(rows, writer)
        case Sentences(rows=said):
            yield _items(said(writer.style), writer)
        case Grid(columns=columns, rows=cells):
            head = [_said(column.head, writer) for column in columns]
            made = [[_said(cell, writer) for cell in row] for row in cells]
            yield writer.table(head, made, [column.right or column.point for column in columns])
        case Fitting(grids=(first, *_)):
            yield from _written(first, writer)
        case Values(heading=heading, rows=values, view=view, named=named):
            if own := values(writer.style):
                yield writer.values(heading, named, *value_lines(own, view))
        case Series():
            yield from _written(series_grid(block, block.groups, writer.style), writer)
        case Definitions(texts=texts):
            yield from map(writer.definition, texts(writer.style))
        case Brief(whole=whole):
            for each in whole:
                yield from _written(each, writer)


def _items(rows: Sequence[tuple[str, Words]], writer: Writer) -> str:
    return writer.items([(writer.escape(name), _said(words, writer)) for name, words in rows])


def _said(words: Words, writer: Writer) -> str:
    return "".join(
        writer.code(each.text) if each.code else writer.escape(each.text) for each in spans(words)
    )
