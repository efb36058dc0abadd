"""A run in integers: how far each symbol is from the float run, as a page and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import safe
from lstm_cli.base.foreign import c_comment, sheet_cell
from lstm_cli.base.numbers import decimals, fixed, shortest, significant, with_sign
from lstm_cli.commands.run import text
from lstm_cli.commands.run.c_golden import Names, declared, described, to_c
from lstm_cli.commands.run.page import calls_shown, head
from lstm_cli.engine.fixed_point import (
    FixedLayer,
    FixedTrace,
    Overflow,
    ValueReport,
    compare_parameters,
    compare_symbols,
)
from lstm_cli.engine.fixed_settings import KINDS, FixedFormat, kind_of
from lstm_cli.engine.run import INPUT_SYMBOLS
from lstm_cli.files.output import json_text, plain_list
from lstm_cli.show.answer import Answer, Made
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
from lstm_cli.show.rows import (
    INPUT_LABELS,
    DataLine,
    View,
    chosen_steps,
    chosen_units,
    chosen_values,
    csv_head,
    csv_lines,
    last_steps,
    place_of,
    row_kind,
    shortest_texts,
    shown_steps,
)


def to_json(trace: FixedTrace, view: View) -> Iterator[str]:
    """Yield the document of the float run with a member `fixed`."""
    yield from text.to_json(trace.floats, view, _json_member(trace, view))


def _json_member(trace: FixedTrace, view: View) -> Iterator[str]:
    settings = trace.settings
    overflow = trace.first_overflow
    members = {
        "formats": {kind: str(format_) for kind, format_ in settings.formats.items()},
        "rounding": settings.rounding,
        "overflow": settings.overflow,
        "activation": str(settings.activation),
        "symbols": [_record(each) for each in compare_symbols(trace)],
        "parameters": [_record(each) for each in compare_parameters(trace)],
        "first_overflow": None if overflow is None else _overflow_record(overflow),
    }
    yield ',\n "fixed": {\n  '
    pairs = (f"{json_text(key)}: {json_text(value)}" for key, value in members.items())
    yield from text.between(",\n  ", pairs)
    yield ',\n  "steps": [\n   '
    yield from text.between(",\n   ", (json_text(each) for each in _step_records(trace, view)))
    yield "\n  ]\n }"


def _step_records(trace: FixedTrace, view: View) -> Iterator[dict[str, Any]]:
    for each, t in shown_steps(trace.floats, view, trace.layers):
        values = {k: chosen_values(k, v, view).tolist() for k, v in each.at(t).items()}
        yield {"layer": each.layer, "direction": each.direction, "t": t, **values}


def _place(layer: int, direction: str, t: int | None, index: tuple[int, ...]) -> dict[str, Any]:
    """Place of a number in a run, of a vector or a matrix, as members of JSON."""
    return {"layer": layer, "direction": direction, "t": t,
            **dict(zip(("unit", "column"), index, strict=False))}  # fmt: skip


def _record(each: ValueReport) -> dict[str, Any]:
    worst = each.worst
    return {
        "symbol": each.symbol,
        "format": str(each.format),
        "max_error": _plain(worst.error),
        "worst": {
            **_place(worst.layer, worst.direction, worst.t, worst.index),
            "got": _plain(worst.got),
            "expected": _plain(worst.expected),
        },
        "lsb_error": _plain(each.lsb_error),
        "range": [_plain(each.low), _plain(each.high)],
        "needs": None if each.needs is None else str(each.needs),
        "overflows": each.overflows,
    }


def _overflow_record(overflow: Overflow) -> dict[str, Any]:
    return {
        "symbol": overflow.symbol,
        "expression": overflow.expression,
        "format": str(overflow.format),
        **_place(overflow.layer, overflow.direction, overflow.t, overflow.index),
        "value": _plain(overflow.value),
    }


def _plain(value: float) -> Any:
    return plain_list(np.asarray(value))


def to_plain(trace: FixedTrace) -> Iterator[str]:
    """Yield one tab-separated line for each symbol and parameter: its format and its errors."""
    labels = names_of(trace)
    for number, each in enumerate((*compare_symbols(trace), *compare_parameters(trace))):
        worst = each.worst
        cells = {
            "symbol": each.symbol, "name": sheet_cell(labels.get(each.symbol, "")),
            "format": str(each.format), "max_error": shortest(worst.error),
            "lsb_error": shortest(each.lsb_error), "layer": str(worst.layer),
            "direction": worst.direction, "t": "" if worst.t is None else str(worst.t),
            "unit": ",".join(map(str, worst.index)), "got": shortest(worst.got),
            "expected": shortest(worst.expected), "min": shortest(each.low),
            "max": shortest(each.high), "needs": str(each.needs or ""),
            "overflows": str(each.overflows),
        }  # fmt: skip
        if number == 0:
            yield "\t".join(cells) + "\n"
        yield "\t".join(cells.values()) + "\n"


def names_of(trace: FixedTrace) -> dict[str, str]:
    """Return symbol -> what it is called; a parameter goes by its kind."""
    names = dict(INPUT_LABELS)
    for each in trace.layers:
        cell = each.floats.cell
        names |= {row.symbol: row.label for row in cell.equations}
        names |= {name: kind_of(name, cell) for name in cell.parameters}
    return names


def to_csv(trace: FixedTrace, view: View) -> Iterator[str]:
    """Yield one number a line: the float, its format, its integer and what that stands for."""
    yield csv_head("value", "format", "integer", "fixed")
    for each, t in shown_steps(trace.floats, view, trace.layers):
        for symbol, integers in each.at(t).items():
            floats = shortest_texts(plain_list(each.floats.at(t)[symbol], trace.floats.dtype))
            reals = shortest_texts(each.reals.at(t)[symbol].tolist())
            units = chosen_units(view, len(integers))
            format_ = each.formats[symbol]
            numbers = [f"{floats[u]},{format_},{integers[u]},{reals[u]}" for u in units]
            yield csv_lines(DataLine(each.layer, each.direction, t, symbol, "", "", units, numbers))


def to_c_header(trace: FixedTrace, view: View) -> Iterator[str]:
    """Yield the header of the float run with the integers of all symbols and parameters."""
    names = Names(len(trace.layers) > 1)
    yield from to_c(trace.floats, view, names, _c_lines(trace, view, names))


def _c_lines(trace: FixedTrace, view: View, names: Names) -> Iterator[str]:
    settings = trace.settings
    yield ""
    yield c_comment(
        f"The same in integers: rounding {settings.rounding}, overflow {settings.overflow}, "
        f"activation {settings.activation}."
    )
    yield c_comment("Qm.n is 1 sign bit, m integer bits, n fraction bits; 1.0 is 1 << n.")
    yield "#include <stdint.h>"
    for kind in KINDS:
        yield f"#define LSTM_FIXED_{kind.upper()}_BITS {settings.formats[kind].bits}"
        fraction = settings.formats[kind].fraction_bits
        yield f"#define LSTM_FIXED_{kind.upper()}_FRACTION_BITS {fraction}"
    times = [t - 1 for t in sorted(chosen_steps(view, trace.floats))]
    for each in trace.layers:
        shown = [(name, name, integers) for name, integers in each.parameters.items()]
        shown += [(symbol, words, chosen_values(symbol, each.values[symbol][times], view))
                  for symbol, words in described(each, view)]  # fmt: skip
        for symbol, words, integers in shown:
            format_ = each.formats[symbol]
            name = names.of(each, f"fixed_{symbol}")
            yield from declared(name, _narrow(integers, format_), f"{format_}, {words}")


def _narrow(integers: Array, format_: FixedFormat) -> Array:
    """Return integers in the narrowest type of C that holds the format."""
    width = next(size for size in (8, 16, 32) if format_.bits <= size)
    return integers.astype(f"int{width}")


def overflow_text(trace: FixedTrace) -> str:
    """Return a sentence on the first value that did not fit, "" where all did."""
    first = trace.first_overflow
    if first is None:
        return ""
    inner = ", ".join(map(str, first.index))
    at = f" at t = {first.t}" if first.t is not None else ""
    run = f" (layer {first.layer} {first.direction})" if len(trace.layers) > 1 else ""
    part = f"{first.expression} of " if first.expression != first.symbol else ""
    low, high = (first.format.to_real(n) for n in (first.format.low, first.format.high))
    return (
        f"{part}{safe(first.symbol)}[{inner}]{at}{run} is {significant(first.value, 6)}; "
        f"{first.format} goes from {significant(low, 6)} to {significant(high, 6)}"
    )


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
            calls_shown(trace.reals, view),
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
    for symbol, integers in each.at(t).items():
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
    data: dict[str, Made] = {
        "plain": lambda: to_plain(trace),
        "json": lambda: to_json(trace, view),
        "csv": lambda: to_csv(trace, view),
        "c": lambda: to_c_header(trace, view),
    }
    return Answer(lambda style: fixed_document(trace, view), data)
