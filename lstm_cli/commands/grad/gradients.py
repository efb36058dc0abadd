"""The backward step as rows, and as text for programs and papers: JSON, plain, CSV and others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.foreign import Foreign, sheet_cell
from lstm_cli.base.numbers import scientific, significant
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Apply, Equation, Name, functions_in
from lstm_cli.cell.grad import GIVEN, grad_table, parameter_of
from lstm_cli.cell.notation import (
    PLAIN,
    UNICODE,
    Notation,
    Style,
    gradient_style,
    split,
    write,
    write_definition,
    write_equation,
)
from lstm_cli.engine.grad import AtCorner, GradientFlow, Gradients, LayerGradient, Margin
from lstm_cli.files.output import json_text, plain_list, step_record
from lstm_cli.show.answer import Answer, Made
from lstm_cli.show.document import (
    PARTS,
    Block,
    Brief,
    Definitions,
    Document,
    Gap,
    Heading,
    Paragraph,
    Series,
    Values,
    over,
)
from lstm_cli.show.document import write as write_document
from lstm_cli.show.rows import (
    MANY_STEPS,
    DataLine,
    Row,
    View,
    chosen_steps,
    chosen_units,
    chosen_values,
    csv_head,
    csv_lines,
    equation_records,
    last_steps,
    metadata,
    place_of,
    plain_head,
    plain_line,
    run_title,
    shortest_texts,
    shown_of,
    shown_steps,
)

# Vectors that have no units of the layer: `--unit` leaves them whole.
_WHOLE = ("d_x", "d_hx", "d_joined")


@dataclass(frozen=True, eq=False)
class Report:
    """What `grad` has to tell: the gradients, and what was asked for beside them."""

    gradients: Gradients
    margin: Margin | None = None
    flow: tuple[GradientFlow, ...] = ()


@lru_cache(maxsize=64)
def backward_rows(cell: Cell, notation: Notation) -> tuple[Equation, ...]:
    """Return a cell's backward table; in split notation that of the split cell."""
    if notation == "joined":
        return grad_table(cell)
    rows = tuple(Equation(r.symbol, split(r.expression), r.label) for r in cell.equations)
    return grad_table(Cell(cell.name, cell.title, rows, cell.sources))


def value_rows(each: LayerGradient, t: int, view: View, style: Style) -> list[Row]:
    """Rows of input time `t` (from 1), unbatched: gradients from outside, then every `d_` row."""
    values = each.at(t)
    told = _told(each.trace.cell, view.notation, style)
    return [
        Row(name, *told[name], values[name], whole=name.startswith(_WHOLE))
        for name in told
        if not parameter_of(name) and view.shows(name)
    ]


@lru_cache(maxsize=64)  # a long run asks for the same rows at every step
def _told(cell: Cell, notation: Notation, style: Style) -> dict[str, tuple[str, Foreign, str]]:
    """Return symbol -> (shown, label, right side), what comes from outside first."""
    style = gradient_style(style)
    told = {name: (style.name(name), Foreign.of(label), "") for name, label in GIVEN.items()}
    for row in backward_rows(cell, notation):
        shown, right = write_equation(row, style)
        told[row.symbol] = (shown, Foreign.of(row.label), right)
    return told


def parameter_rows(each: LayerGradient, view: View, style: Style) -> list[Row]:
    """Return the gradient of every parameter, summed over time; matrices are `(rows, columns)`."""
    found = _parameters(each, view.notation)
    told = _told(each.trace.cell, view.notation, style)
    return [
        Row(name, *told[name], found[name], column_names(each, name, view))
        for name in told
        if name in found and view.shows(name)
    ]


def _parameters(each: LayerGradient, notation: Notation) -> dict[str, Array]:
    """Return `d_parameter` -> gradient; split, `d_U_k` are the columns that meet `h_prev`."""
    joined = {f"d_{name}": array for name, array in each.parameters.items()}
    made = dict(joined)
    for row in backward_rows(each.trace.cell, notation):
        if parameter_of(row.symbol) and row.symbol not in joined:
            whole = "d_W" + row.symbol.removeprefix("d_U")
            wide = each.weights.output_size
            made[row.symbol], made[whole] = joined[whole][:, :wide], joined[whole][:, wide:]
    return made


def column_names(each: LayerGradient, symbol: str, view: View) -> list[str]:
    """Name the input of each column of a matrix: `h[0]`, `x[2]`; [] where it is a sum."""
    rows = {row.symbol: row.expression for row in backward_rows(each.trace.cell, view.notation)}
    match rows[symbol]:
        case Apply("outer", (_, Apply("concat", parts))):
            met = [part.id for part in parts if isinstance(part, Name)]
        case Apply("outer", (_, Name(name))):
            met = [name]
        case _:
            return []
    return [
        f"{name.removesuffix('_prev')}[{unit}]"
        for name in met
        for unit in range(each.trace.values[name].shape[-1])
    ]


def backward_definitions(cell: Cell, style: Style = PLAIN) -> list[str]:
    """Definitions of the functions that the backward rows use."""
    used = [name for row in grad_table(cell) for name in functions_in(row.expression)]
    return [text for name in dict.fromkeys(used) if (text := write_definition(name, style))]


def to_json(report: Report, view: View) -> Iterator[str]:
    """Yield the document of `grad --json`."""
    gradients = report.gradients
    trace, dtype = gradients.trace, gradients.trace.dtype
    document = metadata(trace, view.notation, "grad")
    loss = {"given": list(gradients.loss.given)} | {
        name: plain_list(array)
        for name, array in (("dh", gradients.loss.h), ("dc", gradients.loss.c),
                            ("d_output", gradients.loss.output))
    }  # fmt: skip
    rows = backward_rows(trace.model.cell, view.notation)
    document["loss"] = loss
    document["backward"] = equation_records(
        rows, lambda style: {row.symbol: write_equation(row, gradient_style(style)) for row in rows}
    )
    if words := backward_definitions(trace.model.cell):
        document["definitions"] = list(dict.fromkeys(document.get("definitions", []) + words))
    document["steps"] = [
        step_record(
            each.layer, each.direction, t,
            {row.symbol: row.values if row.whole else chosen_values(row.symbol, row.values, view)
             for row in value_rows(each, t, view, PLAIN)},
            dtype,
        )
        for each, t in shown_steps(gradients.trace, view, gradients.layers)
    ]  # fmt: skip
    document["parameters"] = [
        {"layer": each.layer, "direction": each.direction}
        | {row.symbol: plain_list(row.values, dtype) for row in parameter_rows(each, view, PLAIN)}
        for each in shown_of(gradients.layers, view)
    ]
    document["d_x"] = plain_list(gradients.x, dtype)
    document["initial"] = [
        {"layer": each.layer, "direction": each.direction,
         "d_h": plain_list(each.h0, dtype), "d_c": plain_list(each.c0, dtype)}
        for each in gradients.layers
    ]  # fmt: skip
    if report.margin:
        document["check"] = margin_record(report.margin)
    if report.flow:
        document["through_time"] = list(_flow_records(report, view))
    yield json_text(document, indent=1) + "\n"


def margin_record(margin: Margin) -> dict[str, Any]:
    """Return the JSON form of a check."""
    numbers = np.array([margin.largest, margin.derived, margin.measured])
    largest, derived, measured = plain_list(numbers)
    return {
        "passed": margin.passed,
        "margin": largest,
        "tolerance": margin.tolerance,
        "checked": margin.checked,
        "total": margin.total,
        "worst": {"symbol": margin.symbol, "layer": margin.layer, "direction": margin.direction,
                  "index": list(margin.index), "derived": derived, "measured": measured},
        **({"corner": _corner_record(margin.corner)} if margin.corner else {}),
    }  # fmt: skip


def _corner_record(at: AtCorner) -> dict[str, Any]:
    """Return the JSON form of a corner."""
    own = asdict(at.corner)
    numbers = {"derived": at.derived, "below": at.below, "above": at.above}
    return {**own, **numbers, "message": _corner_text(at)}


def margin_text(margin: Margin) -> str:
    """Return a check in one sentence."""
    word = "agrees with" if margin.passed else "DIFFERS from"
    part = f"{margin.checked:,}"
    if margin.checked < margin.total:
        part += f" of {margin.total:,}"
    text = (
        f"{word} central differences: largest relative difference {scientific(margin.largest, 1)} "
        f"(allowed {scientific(margin.tolerance, 0)}) in {part} numbers, at {margin.place}"
    )
    if not margin.passed:
        derived, measured = (significant(each, 10) for each in (margin.derived, margin.measured))
        text += f": derived {derived}, measured {measured}"
    return text + (f"; {_corner_text(margin.corner)}" if margin.corner else "")


def _corner_text(at: AtCorner) -> str:
    """Return where the run has no single derivative, and which it has from both sides."""
    below, above, derived = (significant(each, 6) for each in (at.below, at.above, at.derived))
    return (
        f"{at.corner.place}, where {at.place} is {below} from below and {above} from above "
        f"(shown: {derived})"
    )


# What `through_time` gives: its name in data formats, in words, and as a heading.
FLOW_LABELS = {
    "forget": ("forget gate", "f_t"),
    "kept": ("product of the forget gates after t", "Π f after t"),
    "diagonal": ("diagonal of dc_T/dc_t", "∂c_T/∂c_t"),
    "c": ("length of the columns of dc_T/dc_t", "‖∂c_T/∂c_t‖"),
    "h": ("length of the columns of dh_T/dh_t", "‖∂h_T/∂h_t‖"),
}


def flow_name(flow: GradientFlow, name: str, style: Style = PLAIN) -> str:
    """Name of an array of the gradient flow: a heading in Unicode, else words."""
    heading = style is UNICODE
    if name not in ("forget", "kept") or flow.factor is None or flow.factor == Name("f"):
        return FLOW_LABELS[name][heading]
    factor = write(flow.factor, UNICODE if heading else PLAIN)
    if name == "forget":
        return factor
    return f"Π ({factor}) after t" if heading else f"product of {factor} after t"


def _flow_records(report: Report, view: View) -> Iterator[dict[str, Any]]:
    dtype = report.gradients.trace.dtype
    for each, t in shown_steps(report.gradients.trace, view, report.flow):
        values = {name: chosen_values(name, array[..., t - 1, :], view)
                  for name, array in flow_arrays(each).items()}  # fmt: skip
        yield step_record(each.layer, each.direction, t, values, dtype)


def flow_arrays(each: GradientFlow) -> dict[str, Array]:
    """Return name -> `(…, T, n)`, what the cell has of it."""
    found = {name: getattr(each, name) for name in FLOW_LABELS}
    return {name: array for name, array in found.items() if array is not None}


def _rows(
    report: Report, view: View
) -> Iterator[tuple[LayerGradient | GradientFlow, int | str, Row]]:
    """Yield (layer, t, row); what is summed over time has no t."""
    gradients = report.gradients
    for each, t in shown_steps(gradients.trace, view, gradients.layers):
        for row in value_rows(each, t, view, PLAIN):
            yield each, t, row
    for each in shown_of(gradients.layers, view):
        for row in parameter_rows(each, view, PLAIN):
            yield each, "", row
    for flow, t in shown_steps(gradients.trace, view, report.flow):
        for name, array in flow_arrays(flow).items():
            label, shown = Foreign.of(flow_name(flow, name)), flow_name(flow, name, UNICODE)
            yield flow, t, Row(f"through_time_{name}", shown, label, "", array[t - 1])


def _lines(report: Report, view: View) -> Iterator[DataLine]:
    """Yield each vector, and each row of a matrix, whose units are its row and column."""
    dtype = report.gradients.trace.dtype
    for each, t, row in _rows(report, view):
        for place, values in enumerate(row.values) if row.values.ndim > 1 else [(None, row.values)]:
            texts = shortest_texts(plain_list(values, dtype))
            count = len(values)
            units = range(count) if row.is_whole else chosen_units(view, count)
            names = [f"{unit}," if place is None else f"{place},{unit}" for unit in units]
            yield DataLine(each.layer, each.direction, t, row.symbol, sheet_cell(row.label),
                           row.equation, names, [texts[unit] for unit in units], place)  # fmt: skip


def to_plain(report: Report, view: View) -> Iterator[str]:
    """Yield tab-separated lines: layer, direction, t, symbol, name, equation, then the numbers.

    A matrix takes a line a row, `d_W_f[0]`; what is summed over time has no t.
    """
    yield plain_head("values")
    yield from map(plain_line, _lines(report, view))


def to_csv(report: Report, view: View) -> Iterator[str]:
    """Yield one number a line: layer, direction, t, symbol, unit, column, value.

    `column` is that of a matrix, `unit` its row; what is summed over time has no t.
    """
    yield csv_head("column", "value")
    yield from map(csv_lines, _lines(report, view))


# Of more steps only the last are listed on a terminal, unless --at chooses.
MOST_LISTED = 40
MOST_UNITS = 8
MOST_COLUMNS = 12


def grad_document(report: Report, view: View) -> Document:
    """Describe the gradients of a run to a reader: its steps, then what is summed over them.

    Args:
        report: the gradients, without batch axes, and what was asked for beside them.
        view: the units and steps, as `checked_view` returns it.
    """
    trace, loss = report.gradients.trace, report.gradients.loss
    said = loss.describe() if loss.given else f"assumed: {loss.describe()}"
    assumed = [*(f"assumed: {each}" for each in trace.assumptions), said]
    blocks: list[Block] = [Heading(run_title(trace))]
    blocks += [Paragraph(each, "note") for each in assumed]
    blocks += [Brief([*_screen(report, view)], _tables(report, view)), _defined(report)]
    for flow in shown_of(report.flow, view):
        blocks += _flow(report, flow, view)
    if report.margin:
        blocks += [Gap(), Paragraph(margin_text(report.margin), "heading")]
    return Document(blocks)


def grad_tables(report: Report, view: View) -> Document:
    """Return the chosen steps and the parameters as tables, to put into a page."""
    return Document([*_tables(report, view), _defined(report)], part=True)


def _defined(report: Report) -> Definitions:
    return Definitions(partial(backward_definitions, report.gradients.trace.model.cell))


def _tables(report: Report, view: View) -> list[Block]:
    layers = report.gradients.layers
    steps: list[Block] = [
        Values(f"layer {each.layer}, {each.direction}, t = {t}",
               partial(value_rows, each, t, view), view, named=False)
        for each, t in shown_steps(report.gradients.trace, view, layers)
    ]  # fmt: skip
    return steps + [
        Values(f"layer {each.layer}, {each.direction}, parameters, summed over time",
               partial(parameter_rows, each, view), view, named=False)
        for each in shown_of(layers, view)
    ]  # fmt: skip


def _screen(report: Report, view: View) -> Iterator[Block]:
    gradients = report.gradients
    trace, layers = gradients.trace, gradients.layers
    every = trace.steps * len(layers)
    is_long = every > MANY_STEPS and not view.at
    shown = [*(last_steps if is_long else shown_steps)(trace, view, layers)]
    for each, t in shown:
        title = f"gradients, {place_of(each.trace, t, trace)}"
        yield Values("", partial(value_rows, each, t, view), view, title=title)
    if len(shown) < every:
        yield Paragraph("every step as a table: --at all", "note")
    over_steps = f", summed over {trace.steps} steps" if trace.steps > 1 else ""
    for each in shown_of(layers, view):
        title = f"gradients of the parameters{_where(report, each)}{over_steps}"
        yield Values("", partial(parameter_rows, each, view), view, title=title)
    if len(shown) < every and not view.chooses:
        yield from _ends(report, view)


def _where(report: Report, each: LayerGradient | GradientFlow) -> str:
    several = len(report.gradients.layers) > 1
    return f" of layer {each.layer} {each.direction}" if several else ""


def _ends(report: Report, view: View) -> Iterator[Block]:
    """Yield the gradients of the input over time and of the states before the first step."""
    gradients = report.gradients
    wanted = sorted(chosen_steps(view, gradients.trace))
    times = wanted[-MOST_LISTED:]
    yield Gap()
    yield Heading("gradient of the input")
    units = range(gradients.x.shape[-1])
    yield _over_time(times, lambda s: gradient_style(s).name("d_x").removesuffix("_t"),
                     gradients.x, units, view)  # fmt: skip
    if len(times) < len(wanted):
        yield Paragraph("more steps: --at, -f csv", "note")
    for each in gradients.layers:
        title = f"gradient of the states before the first step{_where(report, each)}"
        first = each.order[0] + 1
        states = replace(view, symbols=("d_h_prev", "d_c_prev"))
        yield Values("", partial(value_rows, each, first, states), view, title=title)


def _flow(report: Report, flow: GradientFlow, view: View) -> list[Block]:
    """Return for each unit how much of a change is left at the end, beside its forget gates."""
    wanted = sorted(chosen_steps(view, report.gradients.trace))
    units = chosen_units(view, flow.c.shape[-1])
    # The steps next to the end, where most is left, are the most telling of many.
    times = wanted[-MOST_LISTED:] if flow.direction == "forward" else wanted[:MOST_LISTED]
    few = units if view.units else units[:MOST_UNITS]
    short = [*_flow_series(flow, times, few, view)]
    if len(times) < len(wanted) or len(few) < len(units):
        more = "more steps: --at; more units: --unit; all: --json"
        short.append(Paragraph(more, "note"))
    title = f"left at the last step of a change at step t{_where(report, flow)}"
    return [Gap(), Heading(title), Brief(short, [*_flow_series(flow, wanted, units, view)])]


def _flow_series(
    flow: GradientFlow, times: Sequence[int], units: Sequence[int], view: View
) -> Iterator[Block]:
    arrays = flow_arrays(flow)
    own = {} if flow.h.shape == flow.c.shape else {"h": arrays.pop("h")}
    rows = np.array(times) - 1
    for unit in units:
        yield Paragraph(f"unit {unit}", "note")
        columns = [[(partial(flow_name, flow, name), array[rows, unit])]
                   for name, array in arrays.items()]  # fmt: skip
        yield Series("t", times, columns, view.digits)
    for name, array in own.items():  # a projected h has units of its own
        named = partial(flow_name, flow, name)
        yield _over_time(times, named, array, chosen_units(view, array.shape[-1]), view)


def _over_time(
    times: Sequence[int],
    name: Callable[[Style], str],
    array: Array,
    units: Sequence[int],
    view: View,
) -> Series:
    """Return an array `(T, n)`, a line a step."""
    columns = over(name, array[np.array(times) - 1], units)
    more = "more units: --unit, -f plain"
    return Series("t", times, [columns], view.digits, MOST_COLUMNS, more)


def grad_answer(report: Report, view: View) -> Answer:
    """Return what `grad` answers; in Markdown and LaTeX its tables, to put into a page."""
    data: dict[str, Made] = {
        "plain": lambda: to_plain(report, view),
        "json": lambda: to_json(report, view),
        "csv": lambda: to_csv(report, view),
    }
    for form in PARTS:
        data[form] = partial(write_document, grad_tables(report, view), form)
    return Answer(lambda style: grad_document(report, view), data)
