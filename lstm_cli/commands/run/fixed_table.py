"""A run in integers on a terminal: how far each symbol is from the float run, then its numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_cli.base.numbers import decimals, fixed, significant, with_sign
from lstm_cli.commands.run.fixed import names_of, overflow_text
from lstm_cli.engine.fixed_point import (
    FixedLayer,
    FixedTrace,
    ValueReport,
    compare_parameters,
    compare_symbols,
)
from lstm_cli.engine.run import LayerTrace
from lstm_cli.show.rows import View, chosen_steps, chosen_units
from lstm_cli.show.terminal import Page, aligned, fits, last_step, new_table, place_of, print_head

# More units than this are cut to a few of a step's numbers, unless --unit chooses.
MANY_UNITS, FEW_UNITS = 8, 3


def print_fixed(console: Console, trace: FixedTrace, view: View) -> None:
    """Print formats, errors and ranges of every symbol, the first overflow, and the last step."""
    page = Page(console, view)
    print_head(page, trace.floats)
    _print_wrapped(page, _settings_text(trace), page.look.note)
    page.print()
    _print_reports(page, trace, [*compare_symbols(trace), *compare_parameters(trace)])
    page.print()
    said = overflow_text(trace)
    first = f"first overflow: {said}" if said else "every value fits its format"
    _print_wrapped(page, first, page.look.heading if said else "")
    for each, t in _shown_steps(trace, view):
        page.print()
        place = f"{place_of(each.floats, t, trace.floats)}, in integers"
        page.print(page.text(place, page.look.heading))
        _print_step(page, each, t)


def _shown_steps(trace: FixedTrace, view: View) -> list[tuple[FixedLayer, int]]:
    """Return the steps that `--at` chooses; otherwise the last of each direction on top."""
    if view.at:
        wanted = sorted(chosen_steps(view, trace.floats))
        return [(each, t) for each in trace.layers for t in wanted]
    top = trace.layers[-1].floats.layer
    return [(e, last_step(e.floats)) for e in trace.layers if e.floats.layer == top]


def _print_wrapped(page: Page, text: str, style: str = "") -> None:
    for line in textwrap.wrap(text, max(20, page.console.width)):
        page.print(page.text(line, style))


def _settings_text(trace: FixedTrace) -> str:
    settings = trace.settings
    kinds: dict[str, list[str]] = {}
    for kind, format_ in settings.formats.items():
        kinds.setdefault(str(format_), []).append(kind)
    formats = [f"{', '.join(names)} {text}" for text, names in kinds.items()]
    if len(kinds) == 1:
        formats = list(kinds)
    return (
        f"in integers: {'; '.join(formats)} · rounding {settings.rounding} · "
        f"overflow {settings.overflow} · activation {settings.activation} · Qm.n is 1 sign bit, "
        "m integer bits, n fraction bits; LSB its last bit · needs: the fewest integer bits that "
        "hold the float run's range"
    )


def _print_reports(page: Page, trace: FixedTrace, reports: Sequence[ValueReport]) -> None:
    several = len(trace.layers) > 1
    for build in (_named_table, _columns_table, _stacked_table):
        table = build(page, trace, reports, several)
        if fits(page.console, table):
            page.print(table)
            return
    for each in reports:
        _print_report(page, each, several)


def _where(each: ValueReport, several: bool) -> str:
    worst = each.worst
    inner = ", ".join(map(str, worst.index))
    run = f"{worst.layer} {worst.direction} " if several else ""
    return f"{run}[{inner}]" + (f" t = {worst.t}" if worst.t is not None else "")


def _range(each: ValueReport) -> str:
    return f"{significant(each.low, 4)} … {significant(each.high, 4)}"


def _error(each: ValueReport) -> tuple[str, str]:
    return significant(each.worst.error), significant(each.lsb_error)


def _columns(
    page: Page, headings: Sequence[str], rows: Sequence[list[str]], reports: Sequence[ValueReport]
) -> Table:
    """Return a table of texts of one or two lines; a symbol that overflows stands out."""
    table = new_table(page, headings, gap=1)
    for each, row in zip(reports, rows, strict=True):
        style = "bold red" if each.overflows else page.look.of(each.symbol, False)
        lines = [[page.text(line, style) for line in cell.split("\n")] for cell in row]
        table.add_row(*(Text("\n").join(texts) for texts in lines))
    return table


_HEADINGS = ("", "format", "error", "LSB", "at", "range", "needs", "overflows")


def _full_row(each: ValueReport, several: bool) -> list[str]:
    needs = str(each.needs or "none")
    error, lsb = _error(each)
    where = _where(each, several)
    return [each.symbol, str(each.format), error, lsb, where, _range(each), needs,
            str(each.overflows or "")]  # fmt: skip


def _named_table(
    page: Page, trace: FixedTrace, reports: Sequence[ValueReport], several: bool
) -> Table:
    """Everything in columns of its own, with names."""
    labels = names_of(trace)
    rows = [
        [each.symbol, labels.get(each.symbol, ""), *_full_row(each, several)[1:]]
        for each in reports
    ]
    return _columns(page, ("", "name", *_HEADINGS[1:]), rows, reports)


def _columns_table(
    page: Page, trace: FixedTrace, reports: Sequence[ValueReport], several: bool
) -> Table:
    """Everything in columns of its own."""
    return _columns(page, _HEADINGS, [_full_row(each, several) for each in reports], reports)


def _stacked_table(
    page: Page, trace: FixedTrace, reports: Sequence[ValueReport], several: bool
) -> Table:
    """Two lines a symbol."""
    headings = ("\n  format", "error\n  LSB", "at\n  overflows", "range\n  needs")
    rows = []
    for each in reports:
        symbol, format_, error, lsb, where, span, needs, overflows = _full_row(each, several)
        rows.append([f"{symbol}\n  {format_}", f"{error}\n  {lsb}", f"{where}\n  {overflows}",
                     f"{span}\n  {needs}"])  # fmt: skip
    return _columns(page, headings, rows, reports)


def _print_report(page: Page, each: ValueReport, several: bool) -> None:
    """One symbol as lines, for terminals that no table fits."""
    error, lsb = _error(each)
    page.print(page.text(f"{each.symbol} {each.format}", page.look.heading))
    lines = [
        f"worst error {error}, {lsb} LSB",
        f"at {_where(each, several)}",
        f"range {_range(each)}, needs {each.needs or 'none'}",
    ]
    lines += [f"overflows {each.overflows}"] if each.overflows else []
    for line in lines:
        page.print(page.text(f"  {line}"), overflow="fold")


def _print_step(page: Page, each: FixedLayer, t: int) -> None:
    """Print integers beside what they stand for and the float run's numbers, a line a unit."""
    rows: list[tuple[str, str, str, str, str]] = []
    cut = False
    for symbol, integers in each.integers.at(t).items():
        units = chosen_units(page.view, len(integers))
        if len(units) > MANY_UNITS and not page.view.units:
            units, cut = units[:FEW_UNITS], True
        real, float_ = (run.at(t)[symbol] for run in (each.reals, each.floats))
        for unit in units:
            got, expected = (decimals(v[unit], page.view.digits) for v in (real, float_))
            lsb = (float(real[unit]) - float(float_[unit])) / each.formats[symbol].lsb
            off = with_sign(fixed(lsb, 2))
            rows.append((f"{symbol}[{unit}]", str(integers[unit]), got, expected, off))
    _print_numbers(page, each.floats, rows)
    if cut:
        page.print(page.text("more units: --unit 0:8, -f csv", page.look.note))


def _print_numbers(
    page: Page, run: LayerTrace, rows: Sequence[tuple[str, str, str, str, str]]
) -> None:
    headings = ("integer", "stands for", "float run", "off by LSB")
    columns = [[row[place] for row in rows] for place in range(5)]
    table = new_table(page, ("",), gap=1)
    numbers = [aligned(head, column) for head, column in zip(headings, columns[1:], strict=True)]
    for heading, *_ in numbers:
        table.add_column(page.text(heading), no_wrap=True)
    for place, name in enumerate(columns[0]):
        symbol = name.partition("[")[0]
        style = page.look.of(symbol, symbol in ("x", "h_prev", "c_prev"))
        table.add_row(
            page.text(name, style), *(page.text(column[place + 1], style) for column in numbers)
        )
    page.print(table)
