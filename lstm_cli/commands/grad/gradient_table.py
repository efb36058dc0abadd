"""The backward step on a terminal: every gradient beside its equation, at any width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import decimals
from lstm_cli.cell.notation import gradient_style
from lstm_cli.commands.grad.gradients import (
    Report,
    backward_definitions,
    column_names,
    flow_arrays,
    flow_name,
    margin_text,
    parameter_rows,
    shown_of,
    value_rows,
)
from lstm_cli.engine.grad import GradientFlow, LayerGradient
from lstm_cli.show.rows import Row, View, chosen_steps, chosen_units
from lstm_cli.show.terminal import (
    MANY_STEPS,
    MANY_UNITS,
    Page,
    aligned,
    fits,
    last_step,
    new_table,
    place_of,
    print_head,
    print_rows,
)

# Of more steps only the last are listed, unless --at chooses.
MOST_LISTED = 40
MOST_UNITS = 8


def print_gradients(console: Console, report: Report, view: View) -> None:
    """Print the steps, then what is summed over them, and what was asked for beside."""
    page = Page(console, view)
    trace = report.gradients.trace
    print_head(page, trace)
    loss = report.gradients.loss
    said = loss.describe()
    page.print(page.text(said if loss.given else f"assumed: {said}", page.look.note))
    shown = _shown(report, view)
    for each, t in shown:
        _heading(page, f"gradients, {place_of(each.trace, t, trace)}")
        print_rows(page, value_rows(each, t, view, page.style))
    if len(shown) < trace.steps * len(trace.layers):
        page.print(page.text("every step as a table: --at all", page.look.note))
    for each in shown_of(report.gradients.layers, view):
        _print_parameters(page, report, each)
    if len(shown) < trace.steps * len(trace.layers) and not view.chooses:
        _print_ends(page, report)
    for line in backward_definitions(trace.model.cell, page.style):
        page.print(page.text(line, page.look.note))
    for flow in shown_of(report.flow, view):
        _print_flow(page, report, flow)
    if report.margin:
        page.print()
        page.print(page.text(margin_text(report.margin), page.look.heading))


def _heading(page: Page, text: str) -> None:
    page.print()
    page.print(page.text(text, page.look.heading))


def _shown(report: Report, view: View) -> list[tuple[LayerGradient, int]]:
    """Return the steps to show: those asked for, all of a few, or the last one taken."""
    trace = report.gradients.trace
    if trace.steps * len(trace.layers) > MANY_STEPS and not view.at:
        last = shown_of(report.gradients.layers, view)
        last = [each for each in last if each.layer == last[-1].layer]
        return [(each, last_step(each.trace)) for each in last]
    wanted = sorted(chosen_steps(view, trace))
    return [(each, t) for each in shown_of(report.gradients.layers, view) for t in wanted]


def _where(report: Report, each: LayerGradient | GradientFlow) -> str:
    several = len(report.gradients.layers) > 1
    return f" of layer {each.layer} {each.direction}" if several else ""


def _print_parameters(page: Page, report: Report, each: LayerGradient) -> None:
    """Print each parameter's gradient: vectors side by side, small matrices whole."""
    steps = report.gradients.trace.steps
    over = f", summed over {steps} steps" if steps > 1 else ""
    rows = parameter_rows(each, page.view, page.style)
    if not rows:
        return
    _heading(page, f"gradients of the parameters{_where(report, each)}{over}")
    vectors = [row for row in rows if row.values.ndim == 1]
    if vectors:
        print_rows(page, vectors)
    matrices = [row for row in rows if row.values.ndim == 2]
    large = [
        row for row in matrices
        if not _print_matrix(page, row, column_names(each, row.symbol, page.view))
    ]  # fmt: skip
    if large:
        _print_summaries(page, large)


def _print_matrix(page: Page, row: Row, names: Sequence[str]) -> bool:
    """Print a small matrix, its rows by unit; False where it is large or too wide."""
    units = chosen_units(page.view, len(row.values))
    width = row.values.shape[1]
    if max(len(units), width) > MANY_UNITS:
        return False
    table = new_table(page, ("unit",), gap=1)
    columns = [
        aligned(name, [decimals(v, page.view.digits) for v in row.values[units, place]])
        for place, name in enumerate(names if len(names) == width else map(str, range(width)))
    ]
    for heading, *_ in columns:
        table.add_column(page.text(heading), no_wrap=True)
    for line, unit in enumerate(units, 1):
        table.add_row(str(unit), *(page.text(column[line]) for column in columns))
    if not fits(page.console, table):
        return False
    page.print()
    page.print(page.text(f"{row.shown} = {row.equation}", page.look.equation))
    page.print(table)
    return True


def _print_summaries(page: Page, rows: Sequence[Row]) -> None:
    """Print large matrices as their shape, range and length."""
    digits = page.view.digits
    facts = {
        "shape": [" × ".join(map(str, row.values.shape)) for row in rows],
        "min": [decimals(row.values.min(), digits) for row in rows],
        "max": [decimals(row.values.max(), digits) for row in rows],
        "norm": [decimals(np.linalg.norm(row.values), digits) for row in rows],
    }
    columns = [[name, *texts] if name == "shape" else aligned(name, texts)
               for name, texts in facts.items()]  # fmt: skip
    table = new_table(page, ("",), gap=1)
    for heading, *_ in columns:
        table.add_column(page.text(heading), no_wrap=True)
    for place, row in enumerate(rows, 1):
        name = page.text(row.shown)
        name.append("\n  ").append_text(page.text(f"= {row.equation}", page.look.equation))
        table.add_row(name, *(page.text(column[place]) for column in columns))
    page.print()
    if fits(page.console, table):
        page.print(table)
    else:  # a line or more for each matrix
        for place, row in enumerate(rows, 1):
            page.print(page.text(f"{row.shown} = {row.equation}", page.look.equation))
            said = [f"{column[0].strip()} {column[place].strip()}" for column in columns]
            page.print(page.text("  " + ", ".join(said)))
    page.print(page.text("every number: -f csv, --json", page.look.note))


def _print_ends(page: Page, report: Report) -> None:
    """Print the gradients of the input over time and of the states before the first step."""
    gradients = report.gradients
    style = gradient_style(page.style)
    wanted = sorted(chosen_steps(page.view, gradients.trace))
    times = wanted[-MOST_LISTED:]
    _heading(page, "gradient of the input")
    _print_over_time(page, times, style.name("d_x").removesuffix("_t"), gradients.x)
    if len(times) < len(wanted):
        page.print(page.text("more steps: --at, -f csv", page.look.note))
    for each in gradients.layers:
        _heading(page, f"gradient of the states before the first step{_where(report, each)}")
        first = 1 if each.direction == "forward" else each.trace.steps
        rows = value_rows(each, first, page.view, page.style)
        print_rows(page, [row for row in rows if row.symbol in ("d_h_prev", "d_c_prev")])


def _print_flow(page: Page, report: Report, flow: GradientFlow) -> None:
    """Print for each unit how much of a change is left at the end, beside its forget gates."""
    _heading(page, f"left at the last step of a change at step t{_where(report, flow)}")
    wanted = sorted(chosen_steps(page.view, report.gradients.trace))
    # The steps next to the end, where most is left, are the most telling of many.
    times = wanted[-MOST_LISTED:] if flow.direction == "forward" else wanted[:MOST_LISTED]
    arrays = flow_arrays(flow)
    own = {} if flow.h.shape == flow.c.shape else {"h": arrays.pop("h")}
    units = chosen_units(page.view, flow.c.shape[-1])
    for unit in units[: None if page.view.units else MOST_UNITS]:
        page.print(page.text(f"unit {unit}", page.look.note))
        columns = [(_flow_name(page, flow, name), array[:, unit]) for name, array in arrays.items()]
        _print_columns(page, times, columns)
    for name, array in own.items():  # a projected h has units of its own
        _print_over_time(page, times, _flow_name(page, flow, name), array)
    if len(times) < len(wanted) or (len(units) > MOST_UNITS and not page.view.units):
        page.print(page.text("more steps: --at; more units: --unit; all: --json", page.look.note))


def _print_columns(page: Page, times: Sequence[int], columns: Sequence[tuple[str, Array]]) -> None:
    """Print columns `(T,)` beside each other, or in several tables where they do not fit."""
    table = new_table(page, ("t",), gap=1)
    _add_columns(page, table, times, columns)
    if fits(page.console, table) or len(columns) == 1:
        page.print(table)
        return
    half = len(columns) // 2
    _print_columns(page, times, columns[:half])
    _print_columns(page, times, columns[half:])


def _flow_name(page: Page, flow: GradientFlow, name: str) -> str:
    words, heading = flow_name(flow, name)
    return heading if page.pretty else words


def _print_over_time(page: Page, times: Sequence[int], name: str, array: Array) -> None:
    """Print an array `(T, n)`, a line a step, as many units as the width takes."""
    units = list(range(array.shape[-1]))
    if not name.startswith(("δx", "d_x")):  # the input has no units to choose
        units = chosen_units(page.view, array.shape[-1])
    for most in range(min(len(units), MANY_UNITS), 0, -1):
        table = new_table(page, ("t",), gap=1)
        columns = [(f"{name}[{unit}]", array[:, unit]) for unit in units[:most]]
        _add_columns(page, table, times, columns)
        if fits(page.console, table):
            break
    page.print(table)
    if most < len(units):
        page.print(page.text("more units: --unit, -f plain", page.look.note))


def _add_columns(
    page: Page, table: Table, times: Sequence[int], named: Sequence[tuple[str, Array]]
) -> None:
    """Fill a table with a line for each time and a column for each array `(T,)`."""
    columns = [
        aligned(name, [decimals(array[t - 1], page.view.digits) for t in times])
        for name, array in named
    ]
    for heading, *_ in columns:
        table.add_column(page.text(heading), no_wrap=True)
    for line, t in enumerate(times, 1):
        table.add_row(str(t), *(page.text(column[line]) for column in columns))
