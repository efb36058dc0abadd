"""A document on a terminal: blocks in colour, at any width, nothing cut."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lstm_cli.base.foreign import safe
from lstm_cli.base.numbers import decimals
from lstm_cli.base.paste import CommandLine, wrapped
from lstm_cli.show.document import (
    BREAK,
    Block,
    Brief,
    Cell,
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
    NumberColumn,
    Paragraph,
    Sentences,
    Series,
    Span,
    Values,
    Words,
    behind_each_other,
    made,
    plain,
    series_grid,
    spans,
)
from lstm_cli.show.rows import Row, View, chosen_units
from lstm_cli.show.terminal import ASCII, MANY_UNITS, Page, aligned, fits, new_table, print_rows

# Tones that are not kinds of rows.
_STYLES = {"good": "bold green", "fair": "bold yellow", "bad": "bold red", "strong": "bold",
           "aside": "italic", "result": "bold cyan", "sum": "dim cyan",
           "symbol": "cyan"}  # fmt: skip


# Most terminal columns of a bar.
BAR_WIDTH = 20


def draw(console: Console, document: Document | Maker) -> None:
    """Print a document; a terminal without Unicode gets ASCII."""
    page = Page(console, View())
    _print_all(page, made(document, page.style).blocks)


def drawn(document: Document | Maker, console: Console, options: ConsoleOptions) -> Text:
    """Return a document as it is printed to a console, for an object's `__rich_console__`."""
    page = io.TextIOWrapper(io.BytesIO(), encoding=console.encoding, write_through=True)
    own = Console(
        file=page, width=options.max_width, force_terminal=console.is_terminal,
        color_system=console.color_system,  # type: ignore[arg-type] # as it is named by itself
        no_color=console.no_color, legacy_windows=False,
    )  # fmt: skip
    draw(own, document)
    page.seek(0)
    return Text.from_ansi(page.read().rstrip("\n"), no_wrap=True, overflow="ignore")


def _print_all(page: Page, blocks: Sequence[Block]) -> None:
    for block in blocks:
        _print(page, block)


def _print(page: Page, block: Block) -> None:
    match block:
        case Heading(wrap=False) | Paragraph(wrap=False):
            page.print(_text(page, block.words, block.tone), soft_wrap=True)
        case Heading():
            page.print(_text(page, block.words, block.tone))
        case Paragraph():
            page.print(_indented(_paragraph(page, block), block.indent))
        case Gap():
            page.print()
        case Drawn():
            for line in block.at(page.console.width - 2):
                page.print(_text(page, ("  ", *spans(line)), block.tone), overflow="fold")
        case Facts():
            page.print(_indented(_facts(page, block), block.indent))
        case Grid() if page.console.width < block.narrow and not _is_headed(block):
            _print_stacked(page, block)
        case Grid():
            page.print(_indented(_grid(page, block), block.indent))
        case Fitting():
            _print_fitting(page, block)
        case Values():
            _print_values(Page(page.console, block.view, page.look), block)
        case Series():
            left_out = _print_series(page, block, block.groups)
            if left_out:
                page.print(page.text(block.more, page.look.note))
        case Definitions(texts=texts):
            for line in texts(page.style):
                page.print(page.text(line, page.look.note))
        case Sentences(rows=rows):
            _print_sentences(page, rows(page.style))
        case Brief(short=short):
            _print_all(page, short)


def _indented(shown: Text | Table, by: int) -> RenderableType:
    return Padding(shown, (0, 0, 0, by)) if by else shown


def _text(page: Page, words: Words, tone: str = "", before: int = 0) -> Text:
    """Words in their tones; a text of one tone has it in the blanks behind it too.

    Args:
        page: what is written on.
        words: a command line that stands alone is wrapped so that it can be pasted.
        tone: of words that have none.
        before: the columns that stand before them.
    """
    if isinstance(words, CommandLine):
        return Text("\n".join(map(safe, wrapped(words, page.console.width - before))))
    tones = groupby(spans(words), lambda each: (each is BREAK, each.tone or tone))
    texts = [Text("\n") if is_break else page.text(plain(tuple(parts)), _style(page, own))
             for (is_break, own), parts in tones]  # fmt: skip
    return texts[0] if len(texts) == 1 else Text().join(texts)


def _paragraph(page: Page, block: Paragraph) -> Text | Table:
    text = _text(page, block.words, block.tone, block.indent)
    if not block.mark:
        return text
    table = Table.grid()
    table.add_row(page.text(block.mark), text)
    return table


def _style(page: Page, tone: str) -> str:
    return _STYLES.get(tone) or (getattr(page.look, tone) if tone else "")


def _facts(page: Page, block: Facts) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style=page.look.note)
    table.add_column(overflow="fold")
    wide = block.indent + 2 + max((len(name) for name, _ in block.rows), default=0)
    before = ""
    for name, words in block.rows:
        table.add_row(page.text("" if block.once and name == before else name),
                      _text(page, words, "", wide))  # fmt: skip
        before = name
    return table


def _is_headed(block: Grid) -> bool:
    return any(column.above for column in block.columns)


def _grid(page: Page, block: Grid) -> Table:
    narrow = page.console.width < block.narrow
    columns, rows = block.table("table" if narrow else "stack", bars=True)
    table = new_table(page, (), gap=block.gap) if _is_headed(block) else Table.grid()
    table.padding = (0, block.gap, 0, block.lead)
    heads = [_align(column, place, rows) for place, column in enumerate(columns)]
    for head, column in zip(heads, columns, strict=True):
        fold = column.fold or narrow
        table.add_column(
            _text(page, head), justify="right" if column.right else "left",
            no_wrap=not fold, overflow="fold" if fold else "ellipsis",
            max_width=column.widest or None, style=_style(page, column.tone),
        )  # fmt: skip
    before: list[Cell] = [""] * len(columns)
    most = max((_count(row, columns) for row in rows), default=0)
    for row, tone in zip(rows, block.tones or [""] * len(rows), strict=True):
        cells = zip(row, before, columns, strict=True)
        table.add_row(*(
            page.text(_bar(page, _count(row, columns), most)) if column.bar
            else _lines(page, cell, "" if column.tone else tone,
                        unsaid=column.once and cell == last)
            for cell, last, column in cells
        ))  # fmt: skip
        before = row
    return table


def _align(column: Column, place: int, rows: list[list[Cell]]) -> Words:
    """Return what stands above a column, its numbers' points set under each other."""
    if not column.point:
        return column.above
    numbers = [plain(behind_each_other(row[place])) for row in rows]
    head, *texts = aligned(plain(column.above), numbers)
    for row, text in zip(rows, texts, strict=True):
        row[place] = text
    return head


def _count(row: Sequence[Cell], columns: Sequence[Column]) -> int:
    return sum(int(str(cell)) for cell, column in zip(row, columns, strict=True) if column.bar)


def _bar(page: Page, count: int, most: int) -> str:
    """Return a bar of proportional length, of at least one character."""
    width = min(BAR_WIDTH, page.console.width // 6)
    return ("█" if page.pretty else "#") * (-(-count * width // max(most, 1)))


def _lines(page: Page, cell: Cell, tone: str, *, unsaid: bool) -> Text:
    """The texts of a cell one under the other, in the tone of the first; or blanks in it."""
    several = (cell or [""]) if isinstance(cell, list) else [cell]
    first, *others = (_text(page, each, tone) for each in several)
    for text in others:
        first.append("\n").append_text(text)
    return Text("", first.style) if unsaid else first


def _print_stacked(page: Page, block: Grid) -> None:
    """Print the cells of each row one under the other, all but the first indented."""
    for stack in block.stacks():
        for place, (words, column) in enumerate(stack):
            text = _text(page, words, column.tone)
            if place:
                page.print(_indented(text, 2))
            else:
                page.print(text, overflow="fold")


def _print_fitting(page: Page, block: Fitting) -> None:
    for grid in block.grids:
        table = _grid(page, grid)
        if fits(page.console, table):
            page.print(table)
            return
    _print_all(page, block.otherwise)


def _print_series(page: Page, block: Series, groups: Sequence[Sequence[NumberColumn]]) -> bool:
    """Print as many columns of each group as fit, in several tables where one of each does not.

    Returns:
        whether columns are left out.
    """
    longest = max(map(len, groups))
    for count in range(min(longest, block.most), 0, -1):
        table = _grid(page, series_grid(block, groups, page.style, count))
        if fits(page.console, table):
            break
    else:
        if len(groups) > 1:
            half = len(groups) // 2
            left_out = [_print_series(page, block, some) for some in (groups[:half], groups[half:])]
            return any(left_out)
    page.print(table)
    return count < longest


def _print_sentences(page: Page, rows: Sequence[tuple[str, str]]) -> None:
    indent = max((len(name) for name, _ in rows), default=0) + 2
    for name, sentence in rows:
        lines = textwrap.wrap(sentence.replace(" %", "\xa0%"), max(20, page.console.width - indent))
        text = ("\n" + " " * indent).join(lines).replace("\xa0", " ")
        line = page.text(name.ljust(indent), page.look.heading)
        page.print(line.append_text(Text(text if page.pretty else text.translate(ASCII))))


def _print_values(page: Page, block: Values) -> None:
    """Print vectors side by side, small matrices whole, and what is told of large ones."""
    rows = block.rows(page.style)
    if rows and block.title:
        page.print()
        page.print(page.text(block.title, page.look.heading))
    vectors = [row for row in rows if row.values.ndim == 1]
    if vectors:
        print_rows(page, vectors)
    large = [row for row in rows if row.values.ndim == 2 and not _print_matrix(page, row)]
    if large:
        page.print()
        _print_fitting(page, _summaries(large, page.view.digits))
        page.print(page.text("every number: -f csv, --json", page.look.note))


def _print_matrix(page: Page, row: Row) -> bool:
    """Print a small matrix, its rows by unit; False where it is large or too wide."""
    units = chosen_units(page.view, len(row.values))
    width = row.values.shape[1]
    if max(len(units), width) > MANY_UNITS:
        return False
    names = row.columns if len(row.columns) == width else [*map(str, range(width))]
    columns = [[(lambda _, name=name: name, row.values[units, place])]
               for place, name in enumerate(names)]  # fmt: skip
    series = Series("unit", units, columns, page.view.digits)
    table = _grid(page, series_grid(series, columns, page.style))
    if not fits(page.console, table):
        return False
    page.print()
    page.print(page.text(f"{row.shown} = {row.equation}", page.look.equation))
    page.print(table)
    return True


def _summaries(rows: Sequence[Row], digits: int) -> Fitting:
    """Return the shape, range and length of large matrices."""
    numbers = [Column(each, point=True) for each in ("min", "max", "norm")]
    heads = (Column(), Column("shape"), *numbers)
    grid: list[Sequence[Words]] = []
    lines = []
    for row in rows:
        shape = " × ".join(map(str, row.values.shape))
        found = (row.values.min(), row.values.max(), np.linalg.norm(row.values))
        texts = [shape, *(decimals(number, digits) for number in found)]
        equation = Span(f"= {row.equation}", "equation")
        grid.append(((row.shown, BREAK, "  ", equation), *texts))
        said = ", ".join(
            f"{plain(head.head)} {text}" for head, text in zip(heads[1:], texts, strict=True)
        )
        lines += [Paragraph(f"{row.shown} = {row.equation}", "equation"), Paragraph(f"  {said}")]
    return Fitting([Grid(heads, grid, gap=1)], lines)
