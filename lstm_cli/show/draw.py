"""A document on a terminal: blocks in colour, at any width, nothing cut."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lstm_cli.base.arrays import Array
from lstm_cli.base.foreign import Foreign, safe
from lstm_cli.base.numbers import decimals
from lstm_cli.base.paste import CommandLine, wrapped
from lstm_cli.cell.notation import PLAIN, UNICODE, Style
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
from lstm_cli.show.rows import Row, RowKind, View, chosen_units, row_kind

# More units than this are summed up unless --unit chooses.
MANY_UNITS = 12
SPREAD = "spread"
BARS = "▁▂▃▄▅▆▇█"
ASCII = str.maketrans({"→": "->", "−": "-", "·": "*", "…": "...", "≈": "~", "√": "sqrt ",
                        "≠": "!=", "×": "x", "σ": "sigma", "⊙": "*", "│": "|"})  # fmt: skip


# Of each tone, and of each kind of rows.
STYLES: dict[str, str] = {
    "": "", "heading": "bold", "note": "dim", "equation": "cyan", "pre_activation": "dim",
    "gate": "", "state": "bold green", "given": "blue", "good": "bold green",
    "fair": "bold yellow", "bad": "bold red", "strong": "bold", "aside": "italic",
    "result": "bold cyan", "sum": "dim cyan", "symbol": "cyan",
}  # fmt: skip
# Most terminal columns of a bar.
BAR_WIDTH = 20


class Page:
    """A console and how to write on it: Unicode where it can be encoded, plain text elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.pretty = "utf" in (console.encoding or "").lower()
        self.style: Style = UNICODE if self.pretty else PLAIN

    def text(self, text: str | Foreign, tone: str = "") -> Text:
        """Return foreign or our own text as cells that no markup or escape can steer."""
        shown = safe(text) if self.pretty else safe(text).translate(ASCII)
        return Text(shown, style=STYLES[tone])

    def print(self, renderable: RenderableType = "", **how: Any) -> None:
        """Print without highlighting or markup."""
        self.console.print(renderable, highlight=False, markup=False, emoji=False, **how)

    def print_first(self, grids: Iterable[Grid]) -> bool:
        """Print the first grid that fits the width; return whether there is one."""
        for grid in grids:
            table = _grid(self, grid)
            if fits(self.console, table):
                self.print(table)
                return True
        return False


def fits(console: Console, table: Table) -> bool:
    """Return whether a table needs no more columns than the terminal has."""
    return Measurement.get(console, console.options.update(width=10_000), table).maximum <= (
        console.width
    )


def draw(console: Console, document: Document | Maker) -> None:
    """Print a document; a terminal without Unicode gets ASCII."""
    page = Page(console)
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
            if not page.print_first(block.grids):
                _print_all(page, block.otherwise)
        case Values():
            _print_values(page, block)
        case Series():
            left_out = _print_series(page, block, block.groups)
            if left_out:
                page.print(page.text(block.more, "note"))
        case Definitions(texts=texts):
            for line in texts(page.style):
                page.print(page.text(line, "note"))
        case Sentences(rows=rows):
            _print_sentences(page, rows(page.style))
        case Brief(short=short):
            _print_all(page, short)


def _indented(shown: Text | Table, by: int) -> RenderableType:
    return Padding(shown, (0, 0, 0, by)) if by else shown


def _text(page: Page, words: Words, tone: str = "", before: int = 0) -> Text:
    """Words in their tones, `before` columns from the left; what has none has `tone`.

    A command line that stands alone is wrapped so that it can be pasted. A text of one tone has it
    in the blanks behind it too.
    """
    if isinstance(words, CommandLine):
        return Text("\n".join(map(safe, wrapped(words, page.console.width - before))))
    tones = groupby(spans(words), lambda each: (each is BREAK, each.tone or tone))
    texts = [Text("\n") if is_break else page.text(plain(tuple(parts)), own)
             for (is_break, own), parts in tones]  # fmt: skip
    return texts[0] if len(texts) == 1 else Text().join(texts)


def _paragraph(page: Page, block: Paragraph) -> Text | Table:
    text = _text(page, block.words, block.tone, block.indent)
    if not block.mark:
        return text
    table = Table.grid()
    table.add_row(page.text(block.mark), text)
    return table


def _facts(page: Page, block: Facts) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style=STYLES["note"])
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
    table = Table.grid()
    if _is_headed(block):  # a line below the headings, and no other
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        table.header_style = STYLES["note"]
    table.padding = (0, block.gap, 0, block.lead)
    heads = [_align(column, place, rows) for place, column in enumerate(columns)]
    for head, column in zip(heads, columns, strict=True):
        fold = column.fold or narrow
        table.add_column(
            _text(page, head), justify="right" if column.right else "left",
            no_wrap=not fold, overflow="fold" if fold else "ellipsis",
            max_width=column.widest or None, style=STYLES[column.tone],
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


def _print_series(page: Page, block: Series, groups: Sequence[Sequence[NumberColumn]]) -> bool:
    """Print as many columns as fit, in several tables if need be; return if some are left out."""
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
        line = page.text(name.ljust(indent), "heading")
        page.print(line.append_text(Text(text if page.pretty else text.translate(ASCII))))


def _print_values(page: Page, block: Values) -> None:
    """Print vectors side by side, small matrices whole, and what is told of large ones."""
    rows = block.rows(page.style)
    if rows and block.title:
        page.print()
        page.print(page.text(block.title, "heading"))
    vectors = [row for row in rows if row.values.ndim == 1]
    if vectors:
        print_rows(page, vectors, block.view)
    large = [
        row for row in rows if row.values.ndim == 2 and not _print_matrix(page, row, block.view)
    ]
    if large:
        page.print()
        _print(page, _summaries(large, block.view.digits))
        page.print(page.text("every number: -f csv, --json", "note"))


def _print_matrix(page: Page, row: Row, view: View) -> bool:
    """Print a small matrix, its rows by unit; False where it is large or too wide."""
    units = chosen_units(view, len(row.values))
    width = row.values.shape[1]
    if max(len(units), width) > MANY_UNITS:
        return False
    names = row.columns if len(row.columns) == width else [*map(str, range(width))]
    columns = [[(lambda _, name=name: name, row.values[units, place])]
               for place, name in enumerate(names)]  # fmt: skip
    series = Series("unit", units, columns, view.digits)
    table = _grid(page, series_grid(series, columns, page.style))
    if not fits(page.console, table):
        return False
    page.print()
    page.print(page.text(f"{row.shown} = {row.equation}", "equation"))
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


# ---- rows of a step: in the first of three layouts that fits, nothing cut


def print_rows(page: Page, rows: Sequence[Row], view: View) -> None:
    """Print rows of one step: in columns, or name over equation, or numbers in lines of their own.

    Where there are many units, and none are chosen, a few are shown beside what is told of all.
    """
    widest = max(len(row.values) for row in rows)
    many = widest > MANY_UNITS
    if view.units:
        units = chosen_units(view, widest)
        choices = [(units, many), (units, False)]
    elif many:
        choices = [([*range(count)], True) for count in (3, 2, 1, 0)]
    else:
        choices = [([*range(widest)], False)]

    def grids() -> Iterator[Grid]:
        for layout in (_in_columns, _name_over_equation):
            for units, summary in choices:
                yield layout(rows, _numbers(page, rows, units, summary, view.digits))

    if not page.print_first(grids()):
        units, summary = choices[0 if view.units else -1]
        numbers = _numbers(page, rows, units, summary or not units, view.digits)
        _print_narrow(page, rows, numbers)


def _numbers(
    page: Page, rows: Sequence[Row], units: Sequence[int], summary: bool, digits: int
) -> dict[str, list[str]]:
    """Return heading -> a text a row: the number of each unit, and what is told of all."""
    found = {
        str(unit): [
            decimals(row.values[unit], digits) if unit < len(row.values) else "" for row in rows
        ]
        for unit in units
    }
    if summary:
        for name, take in (("min", np.min), ("mean", np.mean), ("max", np.max)):
            found[name] = [decimals(take(row.values), digits) for row in rows]
        found[SPREAD] = [_spread(row.values, page.pretty) for row in rows]
    return found


def _in_columns(rows: Sequence[Row], numbers: dict[str, list[str]]) -> Grid:
    """Symbol, name and equation in columns of their own."""
    lead = [(_symbol(row), row.label, Span(_right_side(row), "equation")) for row in rows]
    return _row_grid([Column(), Column("name"), Column("equation")], lead, rows, numbers, 1)


def _name_over_equation(rows: Sequence[Row], numbers: dict[str, list[str]]) -> Grid:
    """Name over equation in one column, the numbers beside them."""
    lead: list[tuple[Cell]] = []
    for row in rows:
        below: list[Words] = [("  ", Span(_right_side(row), "equation"))] if row.equation else []
        lead.append(([f"{_symbol(row)} {safe(row.label)}", *below],))
    return _row_grid([Column()], lead, rows, numbers, 0)


def _row_grid(
    heads: list[Column], lead: Sequence[Sequence[Cell]], rows: Sequence[Row],
    numbers: dict[str, list[str]], gap: int,
) -> Grid:  # fmt: skip
    heads += [Column(name, point=name != SPREAD) for name in numbers]
    cells = [[*first, *(texts[k] for texts in numbers.values())] for k, first in enumerate(lead)]
    return Grid(heads, cells, gap=gap, tones=[*map(_tone, rows)])


def _tone(row: Row) -> RowKind:
    return row_kind(row.symbol, not row.equation)


def _right_side(row: Row) -> str:
    return f"= {row.equation}" if row.equation else "given"


def _symbol(row: Row) -> str:
    """Return the symbol as printed, with its letter where the two differ (g is C̃_t)."""
    letter = row.symbol.removesuffix("_prev")
    alike = row.shown.lower().startswith(letter) or "̃" not in row.shown
    return row.shown if alike else f"{row.shown} ({letter})"


def aligned(heading: str, texts: list[str]) -> list[str]:
    """Return a heading and numbers padded so that the points stand under each other."""
    heads = [len(text.split(".")[0].split("e")[0]) for text in texts]
    left = max(heads, default=0)
    lead = [" " * (left - head) + text for head, text in zip(heads, texts, strict=True)]
    return [" " * max(0, left - len(heading)) + heading, *lead]


def _spread(values: Array, pretty: bool) -> str:
    """Histogram of the units between their min and max, in eight bins."""
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() == finite.max():
        return "all equal" if len(finite) == len(values) else "not finite"
    counts, _ = np.histogram(finite, bins=8)
    marks = BARS if pretty else ".:-=+*#@"
    return "".join(
        " " if count == 0 else marks[int(np.ceil(count / counts.max() * 8)) - 1] for count in counts
    )


def _print_narrow(page: Page, rows: Sequence[Row], numbers: dict[str, list[str]]) -> None:
    """Print each row as a heading and lines of numbers, as many a line as the width takes."""
    columns = []
    for name, texts in numbers.items():
        label = f"[{name}] " if name.isdigit() else f"{name} "
        lined = texts if name == SPREAD else aligned("", texts)[1:]
        columns.append(
            [label + each if raw else "" for each, raw in zip(lined, texts, strict=True)]
        )
    width = max((len(text) for column in columns for text in column), default=1) + 1
    for index, row in enumerate(rows):
        heading, equation = f"{_symbol(row)}  {safe(row.label)}", _right_side(row)
        line = page.text(heading, _tone(row))
        one_line = cell_len(heading) + cell_len(equation) + 2 <= page.console.width
        line.append("  " if one_line else "\n  ")
        page.print(line.append_text(page.text(equation, "equation")), overflow="fold")
        there = [column[index] for column in columns if column[index]]
        each = max(1, (page.console.width - 2) // width)
        for start in range(0, len(there), each):
            text = "".join(entry.ljust(width) for entry in there[start : start + each])
            page.print(page.text(f"  {text.rstrip()}", _tone(row)), overflow="fold")
