"""A run as text for programs and papers: JSON, JSONL, plain, CSV, Markdown, LaTeX, npz, C.

Every format but the table shows every unit and every step unless some are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.foreign import latex, markdown, sheet_cell
from lstm_cli.base.numbers import decimals, latex_number
from lstm_cli.cell.notation import LATEX, PLAIN, UNICODE
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace, Trace
from lstm_cli.files.output import json_text, npz_bytes, plain_list
from lstm_cli.show.rows import (
    INPUT_LABELS,
    Row,
    StepRows,
    View,
    chosen_steps,
    chosen_units,
    chosen_values,
    definitions,
    equation_text,
    metadata,
    shown_layers,
    shown_steps,
    step_rows,
)

Piece = str | bytes


# What a line of steps is made by: layer trace, its times, view, dtype, how many steps went before.
Lines = Callable[[LayerTrace, Sequence[int], View, "np.dtype[Any]", int], Iterator[str]]
# So many steps are made Python numbers at once: one by one NumPy's calls take longer than the text.
STEPS_AT_ONCE = 256

STEP_SEPARATOR = ",\n  "
CSV_HEAD = "layer,direction,t,symbol,unit,value\n"


def to_json(trace: Trace, view: View, version: str, more: Iterable[str] = ()) -> Iterator[str]:
    """Yield the document of `run --json`, one step a line, and `more` members at its end."""
    yield json_head(trace, view, version)
    yield from between(STEP_SEPARATOR, _every(json_steps, trace, view))
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


def _every(lines: Lines, trace: Trace, view: View) -> Iterator[str]:
    """Yield the output of `lines` for the chosen steps, by layer, direction, then t."""
    wanted = sorted(chosen_steps(view, trace))
    for each in shown_layers(trace, view):
        yield from lines(each, wanted, view, trace.dtype, 0)


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


def to_jsonl(trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield one element of `steps` a line."""
    return _every(jsonl_lines, trace, view)


def jsonl_lines(
    each: LayerTrace, times: Sequence[int], view: View, dtype: np.dtype[Any], before: int = 0
) -> Iterator[str]:
    """Yield one element of `steps` a line; arguments as `json_steps`."""
    for record in json_steps(each, times, view, dtype, before):
        yield record + "\n"


def _steps(trace: Trace, view: View, **how: Any) -> Iterator[StepRows]:
    style = how.pop("style", PLAIN)
    for each, t in shown_steps(trace, view):
        yield step_rows(each, t, view, style, **how)


def _text_rows(
    each: LayerTrace, times: Sequence[int], view: View, dtype: np.dtype[Any]
) -> Iterator[tuple[int, dict[str, dict[int, str]]]]:
    """Yield (t, symbol -> unit -> the shortest text of its number), the inputs first."""
    order = tuple(filter(view.shows, (*INPUT_SYMBOLS, *each.cell.symbols)))
    units = {symbol: chosen_units(view, each.values[symbol].shape[-1]) for symbol in order}
    values = {
        symbol: each.values[symbol][..., units[symbol]] if view.units else each.values[symbol]
        for symbol in order
    }
    for t, lists in _lists(values, times, dtype):
        texts = {
            symbol: [str(value).removesuffix(".0") for value in lists[symbol]] for symbol in order
        }
        yield t, {symbol: dict(zip(units[symbol], texts[symbol], strict=True)) for symbol in order}


def to_plain(trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield tab-separated lines: layer, direction, t, symbol, name, equation, then the units."""
    yield plain_head(view)
    yield from _every(plain_lines, trace, view)


def plain_head(view: View) -> str:
    """Return the line of column names."""
    units = map(str, chosen_units(view, view.widest))
    return "\t".join(["layer", "direction", "t", "symbol", "name", "equation", *units]) + "\n"


def plain_lines(
    each: LayerTrace, times: Sequence[int], view: View, dtype: np.dtype[Any], before: int = 0
) -> Iterator[str]:
    """Yield a line for each row of the table; "" for units that a row does not have."""
    units = chosen_units(view, view.widest)
    written = equation_text(each.cell, PLAIN, view.notation)
    said = {symbol: (label, "") for symbol, label in INPUT_LABELS.items()}
    said |= {
        row.symbol: (sheet_cell(row.label), written[row.symbol][1]) for row in each.cell.equations
    }
    for t, rows in _text_rows(each, times, view, dtype):
        place = [str(each.layer), each.direction, str(before + t)]
        for symbol, texts in rows.items():
            numbers = [texts.get(unit, "") for unit in units]
            yield "\t".join([*place, symbol, *said[symbol], *numbers]) + "\n"


def to_csv(trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield one number a line: layer, direction, t, symbol, unit, value."""
    yield CSV_HEAD
    yield from _every(csv_lines, trace, view)


def csv_lines(
    each: LayerTrace, times: Sequence[int], view: View, dtype: np.dtype[Any], before: int = 0
) -> Iterator[str]:
    """Yield one number a line; arguments as `json_steps`."""
    for t, rows in _text_rows(each, times, view, dtype):
        place = f"{each.layer},{each.direction},{before + t}"
        for symbol, texts in rows.items():
            for unit, text in texts.items():
                yield f"{place},{symbol},{unit},{text}\n"


def to_markdown(trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield a Markdown table a step."""
    for each in _steps(trace, view, style=UNICODE):
        units = chosen_units(view, max(len(row.values) for row in each.rows))
        yield f"**layer {each.layer}, {each.direction}, t = {each.t}**\n\n"
        yield "| symbol | name | equation | " + " | ".join(map(str, units)) + " |\n"
        yield "|---|---|---|" + "---:|" * len(units) + "\n"
        for row in each.rows:
            values = _rounded(row, units, lambda value: decimals(value, view.digits))
            cells = [row.shown, markdown(row.label), row.equation, *values]
            yield f"| {' | '.join(cells)} |\n"
        yield "\n"
    for text in definitions(trace.model.cell, UNICODE):
        yield f"{text}\n\n"


def _rounded(row: Row, units: Iterable[int], text: Callable[[float], str]) -> list[str]:
    """Return a row's units for a reader, "" for those that it does not have."""
    return [text(float(row.values[u])) if u < len(row.values) else "" for u in units]


def to_latex(trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield a `tabular` a step (needs only amsmath), values beside the equation used."""
    for each in _steps(trace, view, style=LATEX):
        units = chosen_units(view, max(len(row.values) for row in each.rows))
        yield f"% layer {each.layer}, {each.direction}, t = {each.t}\n"
        yield r"\begin{tabular}{ll" + "r" * len(units) + "}\n\\hline\n"
        yield " & ".join(["name", "equation", *map(str, units)]) + r" \\ \hline" + "\n"
        for row in each.rows:
            equation = f"${row.shown} = {row.equation}$" if row.equation else f"${row.shown}$"
            values = _rounded(
                row, units, lambda value: f"${latex_number(decimals(value, view.digits))}$"
            )
            yield " & ".join([latex(row.label), equation, *values]) + r" \\" + "\n"
        yield "\\hline\n\\end{tabular}\n\n"
    for text in definitions(trace.model.cell, LATEX):
        yield f"% {text}\n"


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
    "plain": to_plain,
    "json": to_json,
    "jsonl": to_jsonl,
    "csv": to_csv,
    "markdown": to_markdown,
    "latex": to_latex,
    "npz": to_npz,
    "c": to_c,
}
