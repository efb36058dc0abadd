"""A run as text for programs and papers: JSON, JSONL, plain, CSV, Markdown, LaTeX, npz, C.

Every format but the table shows every unit and every step unless some are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lstm_cli.engine import Trace
from lstm_cli.notation import LATEX, PLAIN, UNICODE
from lstm_cli.render.c_golden import to_c
from lstm_cli.render.rows import (
    Row,
    StepRows,
    View,
    chosen_steps,
    chosen_units,
    chosen_values,
    definitions,
    metadata,
    number,
    shown_steps,
    step_rows,
)
from lstm_cli.writers import json_text, npz_bytes, plain_list, step_record

Piece = str | bytes


def to_json(trace: Trace, view: View, version: str, more: Iterable[str] = ()) -> Iterator[str]:
    """Yield the document of `run --json`, one step a line, and `more` members at its end."""
    head = json_text(metadata(trace, view.notation, "run", version), indent=1)
    yield head.removesuffix("\n}") + ',\n "steps": [\n  '
    yield from between(",\n  ", _step_texts(trace, view))
    final = [
        {
            "layer": each.layer,
            "direction": each.direction,
            "h": plain_list(each.final("h"), trace.dtype),
            "c": plain_list(each.final("c"), trace.dtype),
        }
        for each in trace.layers
    ]
    tail = {
        "output": plain_list(trace.output, trace.dtype),
        "h": plain_list(trace.h, trace.dtype),
        "c": plain_list(trace.c, trace.dtype),
        "final": final,
    }
    members = ",\n ".join(f"{json_text(key)}: {json_text(value)}" for key, value in tail.items())
    yield f"\n ],\n {members}"
    yield from more
    yield "\n}\n"


def between(separator: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield texts with a separator between them."""
    for index, text in enumerate(texts):
        yield (separator if index else "") + text


def _step_texts(trace: Trace, view: View) -> Iterator[str]:
    for each, t in shown_steps(trace, view):
        values = {k: chosen_values(k, v, view) for k, v in each.at(t).items()}
        yield json_text(step_record(each.layer, each.direction, t, values, trace.dtype))


def to_jsonl(trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield one element of `steps` a line."""
    for text in _step_texts(trace, view):
        yield text + "\n"


def _steps(trace: Trace, view: View, **how: Any) -> Iterator[StepRows]:
    style = how.pop("style", PLAIN)
    for each, t in shown_steps(trace, view):
        yield step_rows(each, t, view, style, **how)


def _texts(row: Row, units: Iterable[int], trace: Trace) -> list[str]:
    """Return the shortest numbers of a row's units, "" for those that it does not have."""
    texts = [str(each).removesuffix(".0") for each in plain_list(row.values, trace.dtype)]
    return [texts[unit] if unit < len(texts) else "" for unit in units]


def to_plain(trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield tab-separated lines: layer, direction, t, symbol, name, equation, then the units."""
    units = chosen_units(view, view.widest)
    header = ["layer", "direction", "t", "symbol", "name", "equation", *map(str, units)]
    yield "\t".join(header) + "\n"
    for each in _steps(trace, view):
        for row in each.rows:
            cells = [str(each.layer), each.direction, str(each.t), row.symbol, row.label,
                     row.equation, *_texts(row, units, trace)]  # fmt: skip
            yield "\t".join(cells) + "\n"


def to_csv(trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield one number a line: layer, direction, t, symbol, unit, value."""
    yield "layer,direction,t,symbol,unit,value\n"
    for each in _steps(trace, view):
        for row in each.rows:
            units = chosen_units(view, len(row.values))
            for unit, value in zip(units, _texts(row, units, trace), strict=True):
                yield f"{each.layer},{each.direction},{each.t},{row.symbol},{unit},{value}\n"


def to_markdown(trace: Trace, view: View, version: str) -> Iterator[str]:
    """Yield a Markdown table a step."""
    for each in _steps(trace, view, style=UNICODE):
        units = chosen_units(view, max(len(row.values) for row in each.rows))
        yield f"**layer {each.layer}, {each.direction}, t = {each.t}**\n\n"
        yield "| symbol | name | equation | " + " | ".join(map(str, units)) + " |\n"
        yield "|---|---|---|" + "---:|" * len(units) + "\n"
        for row in each.rows:
            values = _rounded(row, units, lambda value: number(value, view.digits))
            label = row.label.replace("|", r"\|")
            yield f"| {row.shown} | {label} | {row.equation} | {' | '.join(values)} |\n"
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
            values = _rounded(row, units, lambda value: _latex_number(value, view.digits))
            yield " & ".join([_latex_text(row.label), equation, *values]) + r" \\" + "\n"
        yield "\\hline\n\\end{tabular}\n\n"
    for text in definitions(trace.model.cell, LATEX):
        yield f"% {text}\n"


# What means something to TeX: a label is a stranger's text, and \\input would read a file.
_LATEX = str.maketrans(
    {mark: f"\\{mark}" for mark in "{}$&#_%"}
    | {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}"}
)


def _latex_text(text: str) -> str:
    return text.translate(_LATEX)


def _latex_number(value: float, digits: int) -> str:
    mantissa, _, exponent = number(value, digits).partition("e")
    power = rf" \cdot 10^{{{int(exponent)}}}" if exponent else ""
    return f"${mantissa}{power}$"


def to_npz(trace: Trace, view: View, version: str) -> Iterator[bytes]:
    """Yield an npz archive: each symbol `(T, n)`, prefixed where there are several layers."""
    several = len(trace.layers) > 1
    times = [t - 1 for t in sorted(chosen_steps(view, trace))]
    arrays = {
        (f"layer{each.layer}_{each.direction}_" if several else "") + symbol: chosen_values(
            symbol, values[..., times, :], view
        ).astype(trace.dtype)
        for each in trace.layers
        for symbol, values in each.values.items()
    }
    if several:
        arrays["output"] = trace.output[..., times, :].astype(trace.dtype)
    yield npz_bytes(arrays)


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
