"""The table on a terminal: every row of a step beside its equation, at any width, nothing cut.

Three layouts, the first that fits: symbol, name and equation in columns of their own; name and
equation one over the other; or, where even that is too wide, the numbers in lines of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from lstm_cli.base.arrays import Array
from lstm_cli.base.foreign import Foreign, safe
from lstm_cli.base.numbers import decimals
from lstm_cli.base.records import record
from lstm_cli.cell.notation import PLAIN, UNICODE, Style
from lstm_cli.show.rows import Row, View, chosen_units, row_kind

# More units than this are summed up unless --unit chooses.
MANY_UNITS = 12
BARS = "▁▂▃▄▅▆▇█"
ASCII = str.maketrans({"→": "->", "−": "-", "·": "*", "…": "...", "≈": "~", "√": "sqrt ",
                        "≠": "!=", "×": "x", "σ": "sigma", "⊙": "*", "│": "|"})  # fmt: skip


@record
class RowStyles:
    """Colours by the kind of row, as data: one for colour and the same shape without."""

    heading: str = "bold"
    note: str = "dim"
    equation: str = "cyan"
    pre_activation: str = "dim"
    gate: str = ""
    state: str = "bold green"
    given: str = "blue"

    def of(self, symbol: str, inputs: bool) -> str:
        """Return the style of a row."""
        style: str = getattr(self, row_kind(symbol, inputs))
        return style


class Page:
    """A console and how to write on it: Unicode where it can be encoded, plain text elsewhere."""

    def __init__(self, console: Console, view: View, look: RowStyles | None = None) -> None:
        self.console = console
        self.view = view
        self.look = look or RowStyles()
        self.pretty = "utf" in (console.encoding or "").lower()
        self.style: Style = UNICODE if self.pretty else PLAIN

    def text(self, text: str | Foreign, style: str = "") -> Text:
        """Return foreign or our own text as cells that no markup or escape can steer."""
        return Text(safe(text) if self.pretty else safe(text).translate(ASCII), style=style)

    def print(self, renderable: RenderableType = "", **how: Any) -> None:
        """Print without highlighting or markup."""
        self.console.print(renderable, highlight=False, markup=False, emoji=False, **how)


def print_rows(page: Page, rows: Sequence[Row]) -> None:
    """Print rows of one step in the first layout that fits the width."""
    widest = max(len(row.values) for row in rows)
    if page.view.units:
        candidates = [(chosen_units(page.view, widest), widest > MANY_UNITS)]
        candidates += [(candidates[0][0], False)]
    elif widest > MANY_UNITS:
        candidates = [(list(range(count)), True) for count in (3, 2, 1, 0)]
    else:
        candidates = [(list(range(widest)), False)]
    for build in (_columns_table, _stacked_table):
        for units, summary in candidates:
            table = build(page, rows, units, summary)
            if fits(page.console, table):
                page.print(table)
                return
    units, summary = candidates[0] if page.view.units else (candidates[-1][0], candidates[-1][1])
    _print_narrow(page, rows, units, summary or not units)


def fits(console: Console, table: Table) -> bool:
    """Return whether a table needs no more columns than the terminal has."""
    return Measurement.get(console, console.options.update(width=10_000), table).maximum <= (
        console.width
    )


def _columns_table(page: Page, rows: Sequence[Row], units: list[int], summary: bool) -> Table:
    """Symbol, name and equation in columns of their own."""
    table = new_table(page, ("", "name", "equation"), gap=1)
    for row, numbers in _with_numbers(page, rows, units, summary, table):
        equation = f"= {row.equation}" if row.equation else "given"
        style = page.look.of(row.symbol, not row.equation)
        table.add_row(
            page.text(_symbol(row), style), page.text(row.label, style),
            page.text(equation, page.look.equation), *(page.text(n, style) for n in numbers),
        )  # fmt: skip
    return table


def _stacked_table(page: Page, rows: Sequence[Row], units: list[int], summary: bool) -> Table:
    """Name over equation in one column, the numbers beside them."""
    table = new_table(page, ("",), gap=0)
    for row, numbers in _with_numbers(page, rows, units, summary, table):
        style = page.look.of(row.symbol, not row.equation)
        name = page.text(f"{_symbol(row)} {safe(row.label)}", style)
        if row.equation:
            name.append("\n  ").append_text(page.text(f"= {row.equation}", page.look.equation))
        table.add_row(name, *(page.text(n, style) for n in numbers))
    return table


def _symbol(row: Row) -> str:
    """Return the symbol as printed, with its letter where the two differ (g is C̃_t)."""
    letter = row.symbol.removesuffix("_prev")
    alike = row.shown.lower().startswith(letter) or "̃" not in row.shown
    return row.shown if alike else f"{row.shown} ({letter})"


def new_table(page: Page, headings: Iterable[str], gap: int) -> Table:
    """Return a table with these columns, none of which is ever cut."""
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0),
        header_style=page.look.note,
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def _with_numbers(
    page: Page, rows: Sequence[Row], units: list[int], summary: bool, table: Table
) -> Iterator[tuple[Row, list[str]]]:
    """Add a column for each unit (and the summary) and yield each row with its numbers."""
    digits = page.view.digits
    columns = [
        aligned(str(unit), [_at(row.values, unit, digits) for row in rows]) for unit in units
    ]
    if summary:
        columns += [
            aligned(name, [decimals(take(row.values), digits) for row in rows])
            for name, take in _SUMMARY.items()
        ]
        columns.append(["spread", *(_bar(row.values, page.pretty) for row in rows)])
    for heading, *_ in columns:
        table.add_column(page.text(heading), no_wrap=True)
    for index, row in enumerate(rows, 1):
        yield row, [column[index] for column in columns]


_SUMMARY: dict[str, Callable[[Array], Any]] = {"min": np.min, "mean": np.mean, "max": np.max}


def _at(values: Array, unit: int, digits: int) -> str:
    return decimals(values[unit], digits) if unit < len(values) else ""


def aligned(heading: str, texts: list[str]) -> list[str]:
    """Return a heading and numbers padded so that the points stand under each other."""
    heads = [len(text.split(".")[0].split("e")[0]) for text in texts]
    left = max(heads, default=0)
    lead = [" " * (left - head) + text for head, text in zip(heads, texts, strict=True)]
    return [" " * max(0, left - len(heading)) + heading, *lead]


def _bar(values: Array, pretty: bool) -> str:
    """Histogram of the units between their min and max, in eight bins."""
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() == finite.max():
        return "all equal" if len(finite) == len(values) else "not finite"
    counts, _ = np.histogram(finite, bins=8)
    marks = BARS if pretty else ".:-=+*#@"
    return "".join(
        " " if count == 0 else marks[int(np.ceil(count / counts.max() * 8)) - 1] for count in counts
    )


def _print_narrow(page: Page, rows: Sequence[Row], units: list[int], summary: bool) -> None:
    """Each row as a heading and lines of numbers, as many a line as the width takes."""
    digits = page.view.digits
    grid = [[_at(row.values, unit, digits) for row in rows] for unit in units]
    labels = [f"[{unit}] " for unit in units]
    if summary:
        grid += [[decimals(take(r.values), digits) for r in rows] for take in _SUMMARY.values()]
        grid.append([_bar(row.values, page.pretty) for row in rows])
        labels += [f"{name} " for name in (*_SUMMARY, "spread")]
    columns = [
        [label + text for text in (aligned("", cells)[1:] if label != "spread " else cells)]
        for label, cells in zip(labels, grid, strict=True)
    ]
    width = max((len(text) for column in columns for text in column), default=1) + 1
    for index, row in enumerate(rows):
        style = page.look.of(row.symbol, not row.equation)
        heading = f"{_symbol(row)}  {safe(row.label)}"
        equation = f"= {row.equation}" if row.equation else "given"
        line = page.text(heading, style)
        one_line = cell_len(heading) + cell_len(equation) + 2 <= page.console.width
        line.append("  " if one_line else "\n  ")
        line.append_text(page.text(equation, page.look.equation))
        page.print(line, overflow="fold")
        there = [c[index] for c, raw in zip(columns, grid, strict=True) if raw[index]]
        each = max(1, (page.console.width - 2) // width)
        for start in range(0, len(there), each):
            text = "".join(entry.ljust(width) for entry in there[start : start + each])
            page.print(page.text(f"  {text.rstrip()}", style), overflow="fold")
