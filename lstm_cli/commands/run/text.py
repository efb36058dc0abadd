"""A run as text for programs and papers: JSON, JSONL, plain, CSV, Markdown, LaTeX, npz, C.

Every format but the table shows every unit and every step unless some are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.foreign import sheet_cell
from lstm_cli.base.records import record
from lstm_cli.cell.notation import PLAIN
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace, Trace
from lstm_cli.files.output import json_text, npz_bytes, plain_list
from lstm_cli.show.answer import Answer
from lstm_cli.show.rows import (
    INPUT_LABELS,
    DataLine,
    View,
    chosen_steps,
    chosen_units,
    chosen_values,
    csv_head,
    csv_lines,
    equation_text,
    metadata,
    plain_head,
    plain_line,
    shortest_texts,
    shown_layers,
    warned,
)

if TYPE_CHECKING:
    from lstm_cli.cell.notation import Style
    from lstm_cli.engine.finite import NotFinite
    from lstm_cli.show.document import Document

Piece = str | bytes
# So many steps are made Python numbers at once: one by one NumPy's calls take longer than the text.
STEPS_AT_ONCE = 256


class SomeSteps(NamedTuple):
    """Steps of a layer that are written one after the other.

    Attributes:
        each: the layer; its values may have batch axes.
        times: counted from 1, in the trace.
        view: the units to show.
        dtype: of the run.
        before: the steps of the run that went before the trace.
    """

    each: LayerTrace
    times: Sequence[int]
    view: View
    dtype: np.dtype[Any]
    before: int = 0


@record
class StepFormat:
    """A data format that goes out step by step, of a whole run and of one in blocks alike.

    Attributes:
        head: what stands before the first step.
        steps: texts of some steps of a layer.
        separator: what stands between two texts.
    """

    head: Callable[[Trace, View], str]
    steps: Callable[[SomeSteps], Iterator[str]]
    separator: str = ""


def _stepwise(form: str, trace: Trace, view: View) -> Iterator[str]:
    """Yield the chosen steps, by layer, direction, then t."""
    made = STEPWISE[form]
    yield made.head(trace, view)
    wanted = sorted(chosen_steps(view, trace))
    some = (SomeSteps(each, wanted, view, trace.dtype) for each in shown_layers(trace, view))
    yield from between(made.separator, chain.from_iterable(map(made.steps, some)))


def to_json(trace: Trace, view: View, more: Iterable[str] = ()) -> Iterator[str]:
    """Yield the document of `run --json`, one step a line, and `more` members at its end."""
    yield from _stepwise("json", trace, view)
    output, ran = plain_list(trace.output, trace.dtype), trace.layers[0].ran
    if ran is not None and ran.ndim > 1 and trace.padding == "stop":
        output = [_or_null(*each) for each in zip(output, ran, strict=True)]
    yield f'\n ],\n "output": {json_text(output)},\n '
    yield json_states(trace, trace.warnings)
    if trace.calls:
        spans = enumerate(trace.layers[0].spans)
        calls = (json_text({"start": start, "end": end, "final": _final(trace, call)})
                 for call, (start, end) in spans)  # fmt: skip
        yield from (',\n "calls": [\n  ', *between(",\n  ", calls), "\n ]")
    yield from more
    yield "\n}\n"


def json_head(trace: Trace, view: View) -> str:
    """Return the document up to its first step."""
    head = json_text(metadata(trace, view.notation, "run"), indent=1)
    return head.removesuffix("\n}") + ',\n "steps": [\n  '


def json_states(trace: Trace, warnings: Iterable[NotFinite]) -> str:
    """Return the members behind `output`: the states after the last step, and any warnings."""
    h, c = (plain_list(state, trace.dtype) for state in (trace.h, trace.c))
    states = {"h": h, "c": c, "final": _final(trace), **warned(warnings)}
    return ",\n ".join(f"{json_text(key)}: {json_text(value)}" for key, value in states.items())


def _final(trace: Trace, call: int = -1) -> list[dict[str, Any]]:
    """Return the states of each layer and direction at the end of a call, by default the last."""
    return [
        {"layer": each.layer, "direction": each.direction}
        | {state: plain_list(each.final(state, call), trace.dtype) for state in ("h", "c")}
        for each in trace.layers
    ]


def between(separator: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield texts with a separator between them."""
    for index, text in enumerate(texts):
        yield (separator if index else "") + text


def _lists(some: SomeSteps, values: Mapping[str, Array]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (t, symbol -> nested list of numbers) for some steps of `values (…, T, n)`."""
    named, ran = some.each.times, some.each.ran
    for begin in range(0, len(some.times), STEPS_AT_ONCE):
        times = some.times[begin : begin + STEPS_AT_ONCE]
        rows = [t - 1 for t in times]
        lists = {symbol: plain_list(np.moveaxis(array[..., rows, :], -2, 0), some.dtype)
                 for symbol, array in values.items()}  # fmt: skip
        for place, t in enumerate(times):
            step = {symbol: each[place] for symbol, each in lists.items()}
            if ran is not None and ran.ndim > 1:
                step = {symbol: _or_null(each, ran[..., t - 1]) for symbol, each in step.items()}
            yield some.before + named[t - 1], step


def _or_null(rows: list[Any], ran: Array) -> list[Any]:
    """Samples' rows, null where a sample's step was not run."""
    return [row if own else None for row, own in zip(rows, ran, strict=True)]


def json_steps(some: SomeSteps) -> Iterator[str]:
    """Yield an element of `steps` for each."""
    each, view = some.each, some.view
    values = {
        symbol: chosen_values(symbol, v, view)
        for symbol, v in each.values.items()
        if view.shows(symbol)
    }
    for t, lists in _lists(some, values):
        yield json_text({"layer": each.layer, "direction": each.direction, "t": t} | lists)


def _data_lines(some: SomeSteps) -> Iterator[DataLine]:
    """Yield a vector at a time, the inputs first."""
    each, view = some.each, some.view
    order = tuple(filter(view.shows, (*INPUT_SYMBOLS, *each.cell.symbols)))
    units = {symbol: chosen_units(view, each.values[symbol].shape[-1]) for symbol in order}
    values = {
        symbol: each.values[symbol][..., units[symbol]] if view.units else each.values[symbol]
        for symbol in order
    }
    written = equation_text(each.cell, PLAIN, view.notation)
    said = {symbol: (label, "") for symbol, label in INPUT_LABELS.items()}
    said |= {
        row.symbol: (sheet_cell(row.label), written[row.symbol][1]) for row in each.cell.equations
    }
    for t, lists in _lists(some, values):
        for symbol in order:
            numbers = shortest_texts(lists[symbol])
            yield DataLine(each.layer, each.direction, t, symbol, *said[symbol],
                           units[symbol], numbers)  # fmt: skip


def plain_steps(some: SomeSteps) -> Iterator[str]:
    """Yield a line for each row of the table; "" for units that a row does not have."""
    units = chosen_units(some.view, some.view.widest)
    for line in _data_lines(some):
        if len(line.units) < len(units):
            there = dict(zip(line.units, line.numbers, strict=True))
            line = line._replace(numbers=[there.get(unit, "") for unit in units])
        yield plain_line(line)


STEPWISE: dict[str, StepFormat] = {
    "plain": StepFormat(
        lambda _, view: plain_head(*map(str, chosen_units(view, view.widest))), plain_steps
    ),
    "json": StepFormat(json_head, json_steps, ",\n  "),
    "jsonl": StepFormat(lambda *_: "", lambda some: (f"{each}\n" for each in json_steps(some))),
    "csv": StepFormat(lambda *_: csv_head("value"), lambda some: map(csv_lines, _data_lines(some))),
}


FORMATS_OF_BLOCKS = (*STEPWISE, "npz")


def run_answer(trace: Trace, view: View) -> Answer:
    """Return what `run` answers; arguments as `run_document`."""

    def page(style: Style) -> Document:
        from lstm_cli.commands.run.page import run_document

        return run_document(trace, view)

    data = {form: partial(made, trace, view) for form, made in FORMATS.items()}
    return Answer(page, data)


def _tables(form: str, trace: Trace, view: View) -> Iterator[str]:
    """Yield the tables of a run, to put into somebody's page."""
    from lstm_cli.commands.run.page import run_tables
    from lstm_cli.show.document import write

    return write(run_tables(trace, view), form)


def npz_arrays(trace: Trace, times: Sequence[int], view: View) -> dict[str, Array]:
    """Return name -> `(…, T, n)` of some input times, counted from 1 in the trace.

    Names have layer and direction before them where there are several.
    """
    several, rows = len(trace.layers) > 1, [t - 1 for t in times]
    arrays = {
        (f"layer{each.layer}_{each.direction}_" if several else "") + symbol: chosen_values(
            symbol, values[..., rows, :], view
        ).astype(trace.dtype)
        for each in shown_layers(trace, view)
        for symbol, values in each.values.items()
        if view.shows(symbol)
    }
    if (several or trace.padding != "stop") and view.shows("output"):
        # Padded, it has the steps that were not run too.
        shown = rows if trace.padding == "stop" else [trace.times[row] - 1 for row in rows]
        whole = trace.padding != "stop" and not view.at
        arrays["output"] = trace.output[..., slice(None) if whole else shown, :].astype(trace.dtype)
    return arrays


def to_c(trace: Trace, view: View) -> Iterator[str]:
    """Yield a header of C with the run's numbers: see `c_golden`."""
    from lstm_cli.commands.run import c_golden

    return c_golden.to_c(trace, view)


FORMATS: dict[str, Callable[[Trace, View], Iterator[Piece]]] = {
    **{form: partial(_stepwise, form) for form in STEPWISE},
    "json": to_json,
    "markdown": partial(_tables, "markdown"),
    "latex": partial(_tables, "latex"),
    "npz": lambda trace, view: iter(
        [npz_bytes(npz_arrays(trace, sorted(chosen_steps(view, trace)), view))]
    ),
    "c": to_c,
}
