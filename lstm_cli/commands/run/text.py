"""A run as text for programs and papers: JSON, JSONL, plain, CSV, Markdown, LaTeX, npz, C.

Every format but the table shows every unit and every step unless some are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.foreign import sheet_cell
from lstm_cli.base.records import record
from lstm_cli.cell.notation import PLAIN
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace, Trace
from lstm_cli.files.output import json_text, npz_bytes, plain_list
from lstm_cli.show.answer import Answer
from lstm_cli.show.lines import (
    DataLine,
    csv_head,
    csv_lines,
    plain_head,
    plain_line,
    shortest_texts,
)
from lstm_cli.show.rows import (
    INPUT_LABELS,
    View,
    chosen_steps,
    chosen_units,
    chosen_values,
    equation_text,
    metadata,
    shown_layers,
)

if TYPE_CHECKING:
    from lstm_cli.cell.notation import Style
    from lstm_cli.show.document import Document

Piece = str | bytes


# What a line of steps is made by: layer trace, its times, view, dtype, how many steps went before.
Lines = Callable[[LayerTrace, Sequence[int], View, "np.dtype[Any]", int], Iterator[str]]
# So many steps are made Python numbers at once: one by one NumPy's calls take longer than the text.
STEPS_AT_ONCE = 256


@record
class StepFormat:
    """A data format that goes out step by step, of a whole run and of one in blocks alike.

    Attributes:
        head: what stands before the first step.
        steps: texts of some steps of a layer.
        separator: what stands between two texts.
    """

    head: Callable[[Trace, View, str], str]
    steps: Lines
    separator: str = ""


def _stepwise(form: str, trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield the chosen steps, by layer, direction, then t."""
    made = STEPWISE[form]
    yield made.head(trace, view, version)
    wanted = sorted(chosen_steps(view, trace))
    texts = (made.steps(each, wanted, view, trace.dtype, 0) for each in shown_layers(trace, view))
    yield from between(made.separator, chain.from_iterable(texts))


def to_json(trace: Trace, view: View, version: str, more: Iterable[str] = ()) -> Iterator[str]:
    """Yield the document of `run --json`, one step a line, and `more` members at its end."""
    yield from _stepwise("json", trace, view, version)
    yield f'\n ],\n "output": {json_text(plain_list(trace.output, trace.dtype))},\n '
    yield json_states(trace)
    yield from more
    yield "\n}\n"


def json_head(trace: Trace, view: View, version: str) -> str:
    """Return the document up to its first step."""
    head = json_text(metadata(trace, view.notation, "run", version), indent=1)
    return head.removesuffix("\n}") + ',\n "steps": [\n  '


def json_states(trace: Trace) -> str:
    """Return the members behind `output`: the states after the last step."""
    final = [
        {
            "layer": each.layer,
            "direction": each.direction,
            "h": plain_list(each.final("h"), trace.dtype),
            "c": plain_list(each.final("c"), trace.dtype),
        }
        for each in trace.layers
    ]
    states = {
        "h": plain_list(trace.h, trace.dtype),
        "c": plain_list(trace.c, trace.dtype),
        "final": final,
    }
    return ",\n ".join(f"{json_text(key)}: {json_text(value)}" for key, value in states.items())


def between(separator: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield texts with a separator between them."""
    for index, text in enumerate(texts):
        yield (separator if index else "") + text


def _lists(
    values: Mapping[str, Array], times: Sequence[int], dtype: np.dtype[Any]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (t, symbol -> nested list of numbers) for some input times of `values (…, T, n)`."""
    for begin in range(0, len(times), STEPS_AT_ONCE):
        some = times[begin : begin + STEPS_AT_ONCE]
        rows = [t - 1 for t in some]
        lists = {symbol: plain_list(np.moveaxis(array[..., rows, :], -2, 0), dtype)
                 for symbol, array in values.items()}  # fmt: skip
        for place, t in enumerate(some):
            yield t, {symbol: each[place] for symbol, each in lists.items()}


def json_steps(
    each: LayerTrace, times: Sequence[int], view: View, dtype: np.dtype[Any], before: int = 0
) -> Iterator[str]:
    """Yield an element of `steps` for each of some input times of a layer.

    Args:
        each: the layer; its values may have batch axes.
        times: counted from 1, in the trace.
        view: the units to show.
        dtype: of the run.
        before: the steps of the run that went before the trace.
    """
    values = {
        symbol: chosen_values(symbol, v, view)
        for symbol, v in each.values.items()
        if view.shows(symbol)
    }
    for t, lists in _lists(values, times, dtype):
        place = {"layer": each.layer, "direction": each.direction, "t": before + t}
        yield json_text(place | lists)


def jsonl_lines(
    each: LayerTrace, times: Sequence[int], view: View, dtype: np.dtype[Any], before: int = 0
) -> Iterator[str]:
    """Yield one element of `steps` a line; arguments as `json_steps`."""
    for element in json_steps(each, times, view, dtype, before):
        yield element + "\n"


def _data_lines(
    each: LayerTrace, times: Sequence[int], view: View, dtype: np.dtype[Any], before: int
) -> Iterator[DataLine]:
    """Yield a vector at a time, the inputs first; arguments as `json_steps`."""
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
    for t, lists in _lists(values, times, dtype):
        for symbol in order:
            numbers = shortest_texts(lists[symbol])
            yield DataLine(each.layer, each.direction, before + t, symbol, *said[symbol],
                           units[symbol], numbers)  # fmt: skip


def plain_steps(
    each: LayerTrace, times: Sequence[int], view: View, dtype: np.dtype[Any], before: int = 0
) -> Iterator[str]:
    """Yield a line for each row of the table; "" for units that a row does not have."""
    units = chosen_units(view, view.widest)
    for line in _data_lines(each, times, view, dtype, before):
        if len(line.units) < len(units):
            there = dict(zip(line.units, line.numbers, strict=True))
            line = line._replace(numbers=[there.get(unit, "") for unit in units])
        yield plain_line(line)


def csv_steps(
    each: LayerTrace, times: Sequence[int], view: View, dtype: np.dtype[Any], before: int = 0
) -> Iterator[str]:
    """Yield one number a line; arguments as `json_steps`."""
    return map(csv_lines, _data_lines(each, times, view, dtype, before))


STEPWISE: dict[str, StepFormat] = {
    "plain": StepFormat(
        lambda _, view, __: plain_head(*map(str, chosen_units(view, view.widest))), plain_steps
    ),
    "json": StepFormat(json_head, json_steps, ",\n  "),
    "jsonl": StepFormat(lambda *_: "", jsonl_lines),
    "csv": StepFormat(lambda *_: csv_head("value"), csv_steps),
}


def run_answer(trace: Trace, view: View) -> Answer:
    """Return what `run` answers; arguments as `run_document`."""
    from lstm_cli.base.version import __version__

    def page(style: Style) -> Document:
        from lstm_cli.commands.run.page import run_document

        return run_document(trace, view)

    data = {form: partial(made, trace, view, __version__) for form, made in FORMATS.items()}
    return Answer(page, data)


def _tables(form: str, trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield the tables of a run, to put into somebody's page."""
    from lstm_cli.commands.run.page import run_tables
    from lstm_cli.show.document import write

    return write(run_tables(trace, view), form)


def to_npz(trace: Trace, view: View, version: str) -> Iterator[bytes]:
    """Yield an npz archive: each symbol `(T, n)`, prefixed where there are several layers."""
    yield npz_bytes(npz_arrays(trace, sorted(chosen_steps(view, trace)), view))


def npz_arrays(trace: Trace, times: Sequence[int], view: View) -> dict[str, Array]:
    """Return name -> `(…, T, n)` of some input times, counted from 1 in the trace."""
    several, rows = len(trace.layers) > 1, [t - 1 for t in times]
    arrays = {
        (f"layer{each.layer}_{each.direction}_" if several else "") + symbol: chosen_values(
            symbol, values[..., rows, :], view
        ).astype(trace.dtype)
        for each in shown_layers(trace, view)
        for symbol, values in each.values.items()
        if view.shows(symbol)
    }
    if several and view.shows("output"):
        arrays["output"] = trace.output[..., rows, :].astype(trace.dtype)
    return arrays


def to_c(trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield a header of C with the run's numbers: see `c_golden`."""
    from lstm_cli.commands.run import c_golden

    return c_golden.to_c(trace, view, version)


FORMATS: dict[str, Callable[[Trace, View, str], Iterator[Piece]]] = {
    **{form: partial(_stepwise, form) for form in STEPWISE},
    "json": to_json,
    "markdown": partial(_tables, "markdown"),
    "latex": partial(_tables, "latex"),
    "npz": to_npz,
    "c": to_c,
}
