"""The backward step as a document: every gradient beside its equation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.version import __version__
from lstm_cli.cell.notation import UNICODE, Style, gradient_style
from lstm_cli.commands.grad.gradients import (
    DATA_FORMATS,
    Report,
    backward_definitions,
    flow_arrays,
    flow_name,
    margin_text,
    parameter_rows,
    value_rows,
)
from lstm_cli.engine.grad import GradientFlow, LayerGradient
from lstm_cli.show.answer import Answer
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
    write,
)
from lstm_cli.show.rows import (
    MANY_STEPS,
    Row,
    View,
    chosen_steps,
    chosen_units,
    last_steps,
    place_of,
    run_title,
    shown_of,
    shown_steps,
)

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
    blocks: list[Block] = [
        Heading(run_title(trace)),
        *(Paragraph(each, "note") for each in assumed),
    ]
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
        _step(each, t, view, f"layer {each.layer}, {each.direction}, t = {t}")
        for each, t in shown_steps(report.gradients.trace, view, layers)
    ]
    parameters = "parameters, summed over time"
    return steps + [
        _parameters(each, view, f"layer {each.layer}, {each.direction}, {parameters}")
        for each in shown_of(layers, view)
    ]


def _step(
    each: LayerGradient, t: int, view: View, heading: str = "", title: str = "",
    only: Sequence[str] = (),
) -> Values:  # fmt: skip
    """Return the gradients at a step; all, or only some."""

    def rows(style: Style) -> list[Row]:
        made = value_rows(each, t, view, style)
        return [row for row in made if not only or row.symbol in only]

    return Values(heading, rows, view, named=False, title=title)


def _parameters(each: LayerGradient, view: View, heading: str = "", title: str = "") -> Values:
    rows = partial(parameter_rows, each, view)
    return Values(heading, rows, view, named=False, title=title)


def _titled(text: str) -> list[Block]:
    return [Gap(), Heading(text)]


def _screen(report: Report, view: View) -> Iterator[Block]:
    gradients = report.gradients
    trace, layers = gradients.trace, gradients.layers
    every = trace.steps * len(layers)
    is_long = every > MANY_STEPS and not view.at
    shown = [*(last_steps if is_long else shown_steps)(trace, view, layers)]
    for each, t in shown:
        yield _step(each, t, view, title=f"gradients, {place_of(each.trace, t, trace)}")
    if len(shown) < every:
        yield Paragraph("every step as a table: --at all", "note")
    over_steps = f", summed over {trace.steps} steps" if trace.steps > 1 else ""
    for each in shown_of(layers, view):
        title = f"gradients of the parameters{_where(report, each)}{over_steps}"
        yield _parameters(each, view, title=title)
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
    yield from _titled("gradient of the input")
    yield _over_time(times, _input_name, gradients.x, range(gradients.x.shape[-1]), view)
    if len(times) < len(wanted):
        yield Paragraph("more steps: --at, -f csv", "note")
    for each in gradients.layers:
        title = f"gradient of the states before the first step{_where(report, each)}"
        first = 1 if each.direction == "forward" else each.trace.steps
        yield _step(each, first, view, title=title, only=("d_h_prev", "d_c_prev"))


def _input_name(style: Style) -> str:
    return gradient_style(style).name("d_x").removesuffix("_t")


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
    return [*_titled(title), Brief(short, [*_flow_series(flow, wanted, units, view)])]


def _flow_series(
    flow: GradientFlow, times: Sequence[int], units: Sequence[int], view: View
) -> Iterator[Block]:
    arrays = flow_arrays(flow)
    own = {} if flow.h.shape == flow.c.shape else {"h": arrays.pop("h")}
    rows = np.array(times) - 1
    for unit in units:
        yield Paragraph(f"unit {unit}", "note")
        columns = [[(partial(_flow_name, flow, name), array[rows, unit])]
                   for name, array in arrays.items()]  # fmt: skip
        yield Series("t", times, columns, view.digits)
    for name, array in own.items():  # a projected h has units of its own
        named = partial(_flow_name, flow, name)
        yield _over_time(times, named, array, chosen_units(view, array.shape[-1]), view)


def _flow_name(flow: GradientFlow, name: str, style: Style) -> str:
    words, heading = flow_name(flow, name)
    return heading if style is UNICODE else words


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
    data = {form: partial(made, report, view, __version__) for form, made in DATA_FORMATS.items()}
    parts = {form: partial(write, grad_tables(report, view), form) for form in PARTS}
    return Answer(lambda style: grad_document(report, view), {**data, **parts})
