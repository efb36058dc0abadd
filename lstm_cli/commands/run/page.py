"""A run as a document: every chosen step; on a terminal the course of time and the last one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lstm_cli.base.foreign import Foreign
from lstm_cli.cell.notation import Style
from lstm_cli.engine.run import STATES, LayerTrace, Trace
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
    Row,
    View,
    chosen_steps,
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
    steps = Brief([*_screen(trace, view)], _tables(trace, view))
    blocks = [*head(trace), calls_shown(trace, view), steps, _defined(trace)]
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


def calls_shown(trace: Trace, view: View) -> Brief:
    """Return the states that each call hands on; a terminal shows the first few calls."""
    calls = [*_calls(trace, view)]
    short = [each for call in calls[:MANY_STEPS] for each in call]
    if len(calls) > MANY_STEPS:
        more = f"and {len(calls) - MANY_STEPS} more: --at, --json"
        short += [Gap(), Paragraph(more, "note")]
    return Brief(short, [each for call in calls for each in call])


def _calls(trace: Trace, view: View) -> Iterator[list[Block]]:
    """Yield, for each call that has chosen steps and goes on from another, the states handed on."""
    spans, wanted = trace.layers[0].spans, chosen_steps(view, trace)
    for call, (start, end) in enumerate(spans):
        if call and not wanted.isdisjoint(range(start, end + 1)):
            times = f"t = {start} to {end}" if end > start else f"t = {start}"
            title = f"call {call + 1} of {len(spans)}: {times}, states handed on"
            yield [Gap(), Heading(title), Values("", partial(_handed_on, trace, call, view), view)]


def _handed_on(trace: Trace, call: int, view: View, style: Style) -> list[Row]:
    """Return the states in which the call before ended."""
    rows = []
    for each in shown_layers(trace, view):
        start, end = each.spans[call - 1]
        label = f"after t = {end if each.direction == 'forward' else start}"
        if len(trace.layers) > 1:
            label = f"layer {each.layer} {each.direction}, {label}"
        rows += [
            Row(state, _untimed(state, style), Foreign.of(label), "", each.final(state, call - 1))
            for state in STATES if view.shows(state)
        ]  # fmt: skip
    return rows


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
