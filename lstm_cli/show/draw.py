"""A document on a terminal: blocks in colour, at any width, nothing cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lstm_cli.base.foreign import safe
from lstm_cli.base.paste import CommandLine, wrapped
from lstm_cli.show.document import (
    Block,
    Cell,
    Column,
    Document,
    Drawn,
    Facts,
    Gap,
    Grid,
    Heading,
    Maker,
    Paragraph,
    Words,
    made,
    plain,
    spans,
)
from lstm_cli.show.rows import View
from lstm_cli.show.terminal import Page, new_table

# Tones that are not kinds of rows.
_STYLES = {"good": "bold green", "fair": "bold yellow", "bad": "bold red", "strong": "bold",
           "aside": "italic", "result": "bold cyan", "pre_activation": "dim cyan",
           "gate": "cyan"}  # fmt: skip


# Most terminal columns of a bar.
BAR_WIDTH = 20


def draw(console: Console, document: Document | Maker) -> None:
    """Print a document; a terminal without Unicode gets ASCII."""
    page = Page(console, View())
    for block in made(document, page.style).blocks:
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


def _indented(shown: Text | Table, by: int) -> RenderableType:
    return Padding(shown, (0, 0, 0, by)) if by else shown


def _text(page: Page, words: Words, tone: str = "", before: int = 0) -> Text:
    """Words in their tones; a text of one tone has it in the blanks behind it too."""
    if isinstance(words, CommandLine):
        return Text("\n".join(map(safe, wrapped(words, page.console.width - before))))
    tones = groupby(spans(words), lambda each: each.tone or tone)
    texts = [page.text(plain(tuple(parts)), _style(page, own)) for own, parts in tones]
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
    for column in columns:
        fold = column.fold or narrow
        table.add_column(
            page.text(column.above), justify="right" if column.right else "left",
            no_wrap=not fold, overflow="fold" if fold else "ellipsis",
            max_width=column.widest or None, style=_style(page, column.tone),
        )  # fmt: skip
    before: list[Cell] = [""] * len(columns)
    most = max((_count(row, columns) for row in rows), default=0)
    for row in rows:
        cells = zip(row, before, columns, strict=True)
        table.add_row(*(
            page.text(_bar(page, _count(row, columns), most)) if column.bar
            else _lines(page, cell, unsaid=column.once and cell == last)
            for cell, last, column in cells
        ))  # fmt: skip
        before = row
    return table


def _count(row: Sequence[Cell], columns: Sequence[Column]) -> int:
    return sum(int(str(cell)) for cell, column in zip(row, columns, strict=True) if column.bar)


def _bar(page: Page, count: int, most: int) -> str:
    """Return a bar of proportional length, of at least one character."""
    width = min(BAR_WIDTH, page.console.width // 6)
    return ("█" if page.pretty else "#") * (-(-count * width // max(most, 1)))


def _lines(page: Page, cell: Cell, *, unsaid: bool) -> Text:
    """The texts of a cell one under the other, in the tone of the first; or blanks in it."""
    several = (cell or [""]) if isinstance(cell, list) else [cell]
    first, *others = (_text(page, each) for each in several)
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
