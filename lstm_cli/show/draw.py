"""A document on a terminal: blocks in colour, at any width, nothing cut."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lstm_cli.show.document import (
    Block,
    Document,
    Facts,
    Gap,
    Grid,
    Heading,
    Paragraph,
    Words,
    spans,
)
from lstm_cli.show.rows import View
from lstm_cli.show.terminal import Page, new_table

# Tones that are not kinds of rows.
_STYLES = {"good": "bold green", "fair": "bold yellow", "bad": "bold red", "strong": "bold"}


def draw(console: Console, document: Document) -> None:
    """Print a document; a terminal without Unicode gets ASCII."""
    page = Page(console, View())
    for block in document.blocks:
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
        case Facts():
            page.print(_indented(_facts(page, block), block.indent))
        case Grid() if page.console.width < block.narrow and not _is_headed(block):
            _print_stacked(page, block)
        case Grid():
            page.print(_indented(_grid(page, block), block.indent))


def _indented(shown: Text | Table, by: int) -> RenderableType:
    return Padding(shown, (0, 0, 0, by)) if by else shown


def _text(page: Page, words: Words, tone: str = "") -> Text:
    """Words in their tones; a text of one tone has it in the blanks behind it too."""
    texts = [page.text(each.text, _style(page, each.tone or tone)) for each in spans(words)]
    return texts[0] if len(texts) == 1 else Text().join(texts)


def _paragraph(page: Page, block: Paragraph) -> Text | Table:
    text = _text(page, block.words, block.tone)
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
    before = ""
    for name, words in block.rows:
        table.add_row(page.text("" if block.once and name == before else name), _text(page, words))
        before = name
    return table


def _is_headed(block: Grid) -> bool:
    return any(column.above for column in block.columns)


def _grid(page: Page, block: Grid) -> Table:
    columns, rows = block.table()
    table = new_table(page, (), gap=block.gap) if _is_headed(block) else Table.grid()
    table.padding = (0, block.gap, 0, block.lead)
    for column in columns:
        fold = column.fold or page.console.width < block.narrow
        table.add_column(
            page.text(column.above), justify="right" if column.right else "left",
            no_wrap=not fold, overflow="fold" if fold else "ellipsis",
            max_width=column.widest or None,
        )  # fmt: skip
    before: list[Words] = [""] * len(columns)
    for row in rows:
        cells = zip(row, before, columns, strict=True)
        table.add_row(*(_text(page, "" if column.once and words == last else words, column.tone)
                        for words, last, column in cells))  # fmt: skip
        before = row
    return table


def _print_stacked(page: Page, block: Grid) -> None:
    """Print the cells of each row one under the other, all but the first indented."""
    for stack in block.stacks():
        for place, (words, column) in enumerate(stack):
            text = _text(page, words, column.tone)
            if place:
                page.print(_indented(text, 2))
            else:
                page.print(text, overflow="fold")
