"""A document on a terminal: blocks in colour, at any width, nothing cut."""

from __future__ import annotations

from rich.console import Console
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
    plain,
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
        case Heading(words=words):
            page.print(_text(page, words, "heading"))
        case Paragraph(words=words, tone=tone, indent=indent):
            page.print(Padding(_text(page, words, tone), (0, 0, 0, indent)))
        case Gap():
            page.print()
        case Facts():
            page.print(Padding(_facts(page, block), (0, 0, 0, block.indent)))
        case Grid() if page.console.width < block.narrow:
            _print_stacked(page, block)
        case Grid():
            page.print(Padding(_grid(page, block), (0, 0, 0, block.indent)))


def _text(page: Page, words: Words, tone: str = "") -> Text:
    line = Text()
    for each in spans(words):
        line.append_text(page.text(each.text, _style(page, each.tone or tone)))
    return line


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


def _grid(page: Page, block: Grid) -> Table:
    headed = any(column.head for column in block.columns)
    table = (
        new_table(page, (), gap=block.gap) if headed else Table.grid(padding=(0, block.gap, 0, 0))
    )
    for column in block.columns:
        table.add_column(
            page.text(column.head), justify="right" if column.right else "left",
            no_wrap=not column.fold, overflow="fold" if column.fold else "ellipsis",
            max_width=column.widest or None,
        )  # fmt: skip
    for row in block.rows:
        cells = zip(row, block.columns, strict=True)
        table.add_row(*(_text(page, words, column.tone) for words, column in cells))
    return table


def _print_stacked(page: Page, block: Grid) -> None:
    """Print the cells of each row one under the other, the last indented."""
    for row in block.rows:
        for words, column in zip(row[:-1], block.columns[:-1], strict=True):
            if plain(words):
                page.print(_text(page, words, column.tone), overflow="fold")
        page.print(Padding(_text(page, row[-1]), (0, 0, 0, 2)))
