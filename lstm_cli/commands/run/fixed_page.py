"""A run in integers as a document: how far each symbol is from the float run, then its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from lstm_cli.base.numbers import decimals, fixed, significant, with_sign
from lstm_cli.base.version import __version__
from lstm_cli.commands.run.fixed import DATA_FORMATS, names_of, overflow_text
from lstm_cli.commands.run.page import head
from lstm_cli.engine.fixed_point import (
    FixedLayer,
    FixedTrace,
    ValueReport,
    compare_parameters,
    compare_symbols,
)
from lstm_cli.engine.run import INPUT_SYMBOLS
from lstm_cli.show.answer import Answer
from lstm_cli.show.document import (
    BREAK,
    Block,
    Brief,
    Column,
    Document,
    Fitting,
    Gap,
    Grid,
    Heading,
    Paragraph,
    Tone,
    Words,
)
from lstm_cli.show.rows import View, chosen_units, last_steps, place_of, row_kind, shown_steps

# More units than this are cut to a few of a step's numbers, unless --unit chooses.
MANY_UNITS, FEW_UNITS = 8, 3


def fixed_document(trace: FixedTrace, view: View) -> Document:
    """Describe formats, errors and ranges of every symbol, the first overflow, and the last step.

    Args:
        trace: a run in integers beside the float run.
        view: the units and steps, as `checked_view` returns it.
    """
    said = overflow_text(trace)
    first = f"first overflow: {said}" if said else "every value fits its format"
    return Document(
        [
            *head(trace.floats),
            Paragraph(_settings_text(trace), "note"),
            Gap(),
            _reports(trace, [*compare_symbols(trace), *compare_parameters(trace)]),
            Gap(),
            Paragraph(first, "heading" if said else ""),
            *_steps(trace, view),
        ]
    )


def _steps(trace: FixedTrace, view: View) -> Iterator[Block]:
    """Yield the steps that `--at` chooses; otherwise the last of each direction on top."""
    floats, layers = trace.floats, trace.layers
    steps = (shown_steps if view.at else last_steps)(floats, view, layers)
    for each, t in steps:
        yield Gap()
        yield Heading(f"{place_of(each.floats, t, floats)}, in integers")
        grids = [_step(each, t, view, most) for most in (MANY_UNITS, 0)]
        if len(grids[0].rows) == len(grids[1].rows):
            yield grids[0]
            continue
        yield Brief([grids[0], Paragraph("more units: --unit 0:8, -f csv", "note")], grids[1:])


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


_HEADS = ("", "name", "format", "error", "LSB", "at", "range", "needs", "overflows")


def _reports(trace: FixedTrace, reports: Sequence[ValueReport]) -> Fitting:
    """Return a row a symbol: with names, without, two lines a symbol, or lines alone."""
    labels, several = names_of(trace), len(trace.layers) > 1
    named = [_report_row(each, labels.get(each.symbol, ""), several) for each in reports]
    tones: list[Tone] = ["bad" if each.overflows else row_kind(each.symbol, given=False)
                         for each in reports]  # fmt: skip
    shapes: list[tuple[Sequence[Words], list[Sequence[Words]]]] = [
        (_HEADS, [*named]),
        (_without_name(_HEADS), [_without_name(row) for row in named]),
        (_stacked(_HEADS), [_stacked(row) for row in named]),
    ]
    grids = [Grid([*map(Column, heads)], rows, gap=1, tones=tones) for heads, rows in shapes]
    return Fitting(grids, [line for row in named for line in _report_lines(row)])


def _report_row(each: ValueReport, label: str, several: bool) -> list[str]:
    worst = each.worst
    inner = ", ".join(map(str, worst.index))
    run = f"{worst.layer} {worst.direction} " if several else ""
    where = f"{run}[{inner}]" + (f" t = {worst.t}" if worst.t is not None else "")
    return [each.symbol, label, str(each.format), significant(worst.error),
            significant(each.lsb_error), where,
            f"{significant(each.low, 4)} … {significant(each.high, 4)}", str(each.needs or "none"),
            str(each.overflows or "")]  # fmt: skip


def _without_name(cells: Sequence[str]) -> list[str]:
    return [cells[0], *cells[2:]]


def _stacked(cells: Sequence[str]) -> list[Words]:
    symbol, _, format_, error, lsb, where, span, needs, overflows = cells
    pairs = ((symbol, format_), (error, lsb), (where, overflows), (span, needs))
    return [(above, BREAK, f"  {below}") for above, below in pairs]


def _report_lines(cells: Sequence[str]) -> Iterator[Paragraph]:
    symbol, _, format_, error, lsb, where, span, needs, overflows = cells
    yield Paragraph(f"{symbol} {format_}", "heading")
    yield Paragraph(f"  worst error {error}, {lsb} LSB")
    yield Paragraph(f"  at {where}")
    yield Paragraph(f"  range {span}, needs {needs}")
    if overflows:
        yield Paragraph(f"  overflows {overflows}")


def _step(each: FixedLayer, t: int, view: View, most: int) -> Grid:
    """Return integers beside what they stand for and the float run's numbers, a line a unit.

    Of more units than `most` there are a few, unless some are chosen; 0 is all.
    """
    rows: list[tuple[str, ...]] = []
    tones: list[Tone] = []
    for symbol, integers in each.integers.at(t).items():
        units = chosen_units(view, len(integers))
        if most and len(units) > most and not view.units:
            units = units[:FEW_UNITS]
        real, float_ = (run.at(t)[symbol] for run in (each.reals, each.floats))
        for unit in units:
            got, expected = (decimals(v[unit], view.digits) for v in (real, float_))
            lsb = (float(real[unit]) - float(float_[unit])) / each.formats[symbol].lsb
            off = with_sign(fixed(lsb, 2))
            rows.append((f"{symbol}[{unit}]", str(integers[unit]), got, expected, off))
            tones.append(row_kind(symbol, symbol in INPUT_SYMBOLS))
    heads = ("integer", "stands for", "float run", "off by LSB")
    return Grid([Column(), *(Column(each, point=True) for each in heads)], rows, gap=1, tones=tones)


def fixed_answer(trace: FixedTrace, view: View) -> Answer:
    """Return what `run --fixed` answers; arguments as `fixed_document`."""
    data = {form: partial(made, trace, view, __version__) for form, made in DATA_FORMATS.items()}
    return Answer(lambda style: fixed_document(trace, view), data)
