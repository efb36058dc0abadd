"""A run as a document: every chosen step; on a terminal the course of time and the last one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lstm_cli.cell.notation import Style
from lstm_cli.engine.run import LayerTrace, Trace
from lstm_cli.show.document import (
    Block,
    Brief,
    Definitions,
    Document,
    Gap,
    Heading,
    Paragraph,
    Sentences,
    Series,
    Values,
    over,
)
from lstm_cli.show.rows import (
    MANY_STEPS,
    View,
    chosen_units,
    definitions,
    last_steps,
    place_of,
    run_title,
    shown_layers,
    shown_steps,
    step_rows,
)
from lstm_cli.show.sentences import sentences

MOST_UNITS = 8


def run_document(trace: Trace, view: View) -> Document:
    """Describe a run to a reader: what went in, its steps, and a single one in words.

    Args:
        trace: the run, without batch axes.
        view: its units and steps, as `checked_view` returns it.
    """
    blocks = [*head(trace), Brief([*_screen(trace, view)], _tables(trace, view)), _defined(trace)]
    if trace.steps * len(trace.layers) == 1 and not view.symbols:
        first = trace.layers[0]
        blocks += [Gap(), Sentences(partial(sentences, first.cell, first.at(1)))]
    return Document(blocks)


def run_tables(trace: Trace, view: View) -> Document:
    """Return every chosen step as a table, to put into a page; arguments as `run_document`."""
    return Document([*_tables(trace, view), _defined(trace)], part=True)


def head(trace: Trace) -> list[Block]:
    """Return what is run, and what had to be assumed."""
    assumed = (Paragraph(f"assumed: {each}", "note") for each in trace.assumptions)
    return [Heading(run_title(trace)), *assumed]


def _defined(trace: Trace) -> Definitions:
    return Definitions(partial(definitions, trace.model.cell))


def _tables(trace: Trace, view: View) -> list[Block]:
    return [
        Values(f"layer {each.layer}, {each.direction}, t = {each.times[t - 1]}",
               partial(step_rows, each, t, view), view)
        for each, t in shown_steps(trace, view, trace.layers)
    ]  # fmt: skip


def _screen(trace: Trace, view: View) -> Iterator[Block]:
    total = trace.steps * len(shown_layers(trace, view))
    is_long = total > MANY_STEPS and not view.at
    steps = [*(last_steps if is_long else shown_steps)(trace, view, trace.layers)]
    for each, _ in steps if is_long else ():
        where = f" (layer {each.layer} {each.direction})" if len(trace.layers) > 1 else ""
        yield Gap()
        yield Heading(f"over time{where}")
        yield _course(each, view)
        yield Paragraph("every step as a table: --at all", "note")
    for each, t in steps:
        title = place_of(each, t, trace) if total > 1 else ""
        yield Values("", partial(step_rows, each, t, view), view, title=title)


def _course(each: LayerTrace, view: View) -> Series:
    """Return x, c and h over time."""
    groups = []
    for symbol in ("x", "c", "h"):
        values = each.values[symbol]
        count = values.shape[-1]
        units = range(count) if symbol == "x" else chosen_units(view, count)
        groups.append(over(partial(_untimed, symbol), values, units))
    more = "more units: --unit 0:8, -f plain"
    return Series("t", each.times, groups, view.digits, MOST_UNITS, more)


def _untimed(symbol: str, style: Style) -> str:
    return style.name(symbol).removesuffix("_t")
