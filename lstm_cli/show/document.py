"""A command's answer as blocks, whatever form it takes: `draw.draw`, or `write` for the rest.

    document = inspect_document(inspection)
    draw(console, document)                    # colour, and the width that there is
    "".join(write(document, "markdown"))       # text, markdown, latex or html

A public function of each command makes the document; what is in it is decided there, and how it
looks in the writers. Text may be foreign: each writer escapes it for its target.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from lstm_cli.base.arrays import Array
from lstm_cli.base.foreign import Foreign, raw
from lstm_cli.base.numbers import decimals
from lstm_cli.base.paste import CommandLine
from lstm_cli.base.records import record
from lstm_cli.cell.notation import LATEX, Style
from lstm_cli.show.rows import Row, RowKind, View, value_lines

if TYPE_CHECKING:
    from lstm_cli.show.sheets import Writer

Tone = RowKind | Literal["", "heading", "note", "aside", "equation", "sum", "symbol", "result",
                         "good", "fair", "bad", "strong"]  # fmt: skip


class Span(NamedTuple):
    """Words of one tone.

    Attributes:
        text: the words.
        tone: on a terminal.
        code: whether they stand as code where a form can show it.
        math: whether they are mathematics, in the style of the form.
        ready: whether they are written for the form already, and not to be escaped.
    """

    text: str | Foreign
    tone: Tone = ""
    code: bool = False
    math: bool = False
    ready: bool = False


# A `CommandLine` that stands alone can be pasted as it is shown.
Words = str | Foreign | Span | tuple[str | Foreign | Span, ...]
# A cell may have several texts: a terminal's table shows them one under the other.
Cell = Words | list[Words]
# A grid that a terminal stacks at any width.
ALWAYS = sys.maxsize
# A new line within a cell of a terminal's table.
BREAK = Span("\n")
# Forms in which tables of values are parts of somebody's paper or page, not a page.
PARTS = ("markdown", "latex")


@record
class Heading:
    """The title of what follows; a document may begin with its own.

    Attributes:
        words: what it says.
        tone: on a terminal.
        wrap: as for a paragraph.
        said: as for a paragraph.
        level: 3 below another heading.
    """

    words: Words
    tone: Tone = "heading"
    wrap: bool = True
    said: Words | None = None
    level: int = 2


@record
class Paragraph:
    """A sentence, or words on a line of their own.

    Attributes:
        words: what it says.
        tone: of the words that have none.
        indent: blank columns before it on a terminal.
        mark: what stands before it; on a terminal all its lines begin behind that.
        wrap: whether a terminal breaks it between words; else it can be copied whole.
        said: what it says elsewhere than on a terminal, if that is another; "" is nothing.
    """

    words: Words
    tone: Tone = ""
    indent: int = 0
    mark: str = ""
    wrap: bool = True
    said: Words | None = None


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
        short: what stands above it on a terminal, if that is another; "" is nothing.
        right: whether its cells stand to the right.
        fold: whether a cell that is too wide goes on below; else it is never cut or folded.
        tone: of its cells.
        widest: the most terminal columns that it takes; 0 is any.
        once: whether a terminal shows a cell that comes again the first time alone.
        led: whether its heading stands before each of its cells where they are stacked.
        only: where it is, if not everywhere: in tables, or where cells are stacked or folded.
        bar: whether its cells are counts that a terminal draws as bars, and nothing else shows.
        point: whether it has numbers, whose points stand under each other.
    """

    head: Words = ""
    short: str | None = None
    right: bool = False
    fold: bool = False
    tone: Tone = ""
    widest: int = 0
    once: bool = False
    led: bool = False
    only: Literal["", "table", "stack"] = ""
    bar: bool = False
    point: bool = False

    @property
    def above(self) -> Words:
        """What stands above it on a terminal."""
        return self.head if self.short is None else self.short


@record
class Grid:
    """Cells in rows and columns.

    Attributes:
        columns: each with its heading, or none has one.
        rows: as many cells in each.
        gap: blank columns behind each on a terminal, but for the last.
        lead: blank columns before each, but for the first.
        narrow: below this width a terminal stacks the cells of a row, all but the first indented,
            or folds them if there are headings.
        tones: of each row, where its column has none.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    gap: int = 2
    lead: int = 0
    narrow: int = 0
    indent: int = 0
    tones: Sequence[Tone] = ()

    def table(
        self, without: str = "stack", *, bars: bool = False
    ) -> tuple[list[Column], list[list[Cell]]]:
        """The columns and cells of a table, but for those that are only elsewhere."""
        there = [each.only != without and (bars or not each.bar) for each in self.columns]
        return [*compress(self.columns, there)], [[*compress(row, there)] for row in self.rows]

    def stacks(self) -> Iterator[list[tuple[Words, Column]]]:
        """Yield the words of each row that are stacked, with their columns."""
        for row in self.rows:
            stack = [
                (f"{plain(column.head)}: {plain(words)}" if column.led else words, column)
                for cell, column in zip(row, self.columns, strict=True)
                if column.only != "table" and not column.bar
                for words in (cell if isinstance(cell, list) else [cell]) if plain(words)
            ]  # fmt: skip
            if stack:
                yield stack


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


@record
class Drawn:
    """Lines that are laid out for a width, indented on a terminal: a drawing, worked arithmetic.

    Attributes:
        at: those of so many columns.
        tone: of the words that have none.
        latex: what stands there in LaTeX.
        said: the words of a paragraph that stands there in every written form.
    """

    at: Callable[[int], Sequence[Words]] = lambda width: ()
    tone: Tone = ""
    latex: str = ""
    said: Words | None = None


Block = (
    Heading | Paragraph | Gap | Facts | Grid | Fitting | Values | Series | Definitions | Sentences
    | Brief | Drawn
)  # fmt: skip


@record
class Document:
    """An answer: its blocks in order; a heading that comes first is the title.

    Attributes:
        blocks: what it says.
        part: whether it is no page of its own, but to be put into one.
    """

    blocks: Sequence[Block]
    part: bool = False


# One that has equations is made for the style in which they are written.
Maker: TypeAlias = Callable[[Style], Document]


def made(document: Document | Maker, style: Style) -> Document:
    """Return a document as it is in a style."""
    return document if isinstance(document, Document) else document(style)


def in_order(documents: Iterable[Document]) -> Document:
    """Return documents as one, with a gap between each and the next."""
    return Document([block for each in documents for block in (Gap(), *each.blocks)][1:])


def spans(words: Words) -> Iterator[Span]:
    """Yield words as spans."""
    several = words if isinstance(words, tuple) and not isinstance(words, Span) else (words,)
    for each in several:
        yield each if isinstance(each, Span) else Span(each, code=isinstance(each, CommandLine))


def plain(words: Words) -> str:
    """Join words without their tones."""
    return "".join(raw(each.text) for each in spans(words))


def behind_each_other(cell: Cell) -> Words:
    """What a cell has, on one line."""
    return joined(cell, "; ") if isinstance(cell, list) else cell


def joined(several: Sequence[Words], between: str) -> Words:
    """Join words, with a text between each and the next."""
    parts = [part for words in several for part in (Span(between), *spans(words))]
    return tuple(parts[1:])


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


def write(document: Document | Maker, form: str) -> Iterator[str]:
    """Yield a document as text, in the form of one of `WRITERS`."""
    from lstm_cli.show.sheets import WRITERS  # not where a terminal is drawn on

    writer = WRITERS[form]()
    own = made(document, writer.style)
    if own.part:
        for block in own.blocks:
            yield from _written(block, writer)
        return
    pieces = [piece for piece in _pieces(own, writer) if piece]
    yield from pieces[:-1]
    yield from (piece.rstrip("\n") + "\n" for piece in pieces[-1:])


def _pieces(document: Document, writer: Writer) -> Iterator[str]:
    match document.blocks:
        case [Heading() as title, *rest]:
            yield writer.begin(_told(title, writer))
        case rest:
            yield writer.begin("")
    for block in rest:
        yield from _written(block, writer)
    yield writer.end()


def _written(block: Block, writer: Writer) -> Iterator[str]:
    match block:
        case Heading(level=level):
            yield writer.heading(_told(block, writer), level)
        case Paragraph(said=""):
            pass
        case Paragraph(mark=mark):
            yield writer.paragraph(writer.escape(mark.lstrip()) + _told(block, writer))
        case Drawn(said=words) if words is not None:
            yield writer.paragraph(_said(words, writer))
        case Drawn(latex=latex) if writer.style is LATEX:
            yield latex
        case Drawn(at=at):
            yield writer.verbatim("\n".join(map(plain, at(writer.width - 2))))
        case Facts(rows=rows):
            yield _items(rows, writer)
        case Sentences(rows=told):
            yield _items(told(writer.style), writer)
        case Brief(whole=whole):
            for each in whole:
                yield from _written(each, writer)
        case _:
            yield from _tables(block, writer)


def _tables(block: Block, writer: Writer) -> Iterator[str]:
    match block:
        case Grid(narrow=narrow) if narrow > writer.width and not writer.wraps_cells:
            for (first, _), *rest in block.stacks():
                yield writer.heading(_said(first, writer))
                yield from (writer.paragraph(_said(words, writer)) for words, _ in rest)
        case Grid():
            columns, cells = block.table()
            head = [_said(column.head, writer) for column in columns]
            said = [[_said(behind_each_other(cell), writer) for cell in row] for row in cells]
            yield writer.table(head, said, [column.right or column.point for column in columns])
        case Fitting(grids=(first, *_)):
            yield from _written(first, writer)
        case Values(heading=heading, rows=values, view=view, named=named):
            if own := values(writer.style):
                yield writer.values(heading, named, *value_lines(own, view))
        case Series():
            yield from _written(series_grid(block, block.groups, writer.style), writer)
        case Definitions(texts=texts):
            yield from map(writer.definition, texts(writer.style))


def _items(rows: Sequence[tuple[str, Words]], writer: Writer) -> str:
    return writer.items([(writer.escape(name), _said(words, writer)) for name, words in rows])


def _told(block: Heading | Paragraph, writer: Writer) -> str:
    return _said(block.words if block.said is None else block.said, writer)


def _said(words: Words, writer: Writer) -> str:
    return "".join(
        raw(each.text) if each.ready
        else writer.math(raw(each.text)) if each.math
        else writer.code(each.text) if each.code else writer.escape(each.text)
        for each in spans(words)
    )  # fmt: skip
