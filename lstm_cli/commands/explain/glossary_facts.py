"""What glossary pages take from data and runs: frameworks' habits, gradient flow, rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import decimals, scientific
from lstm_cli.cell.cells import LSTM, Cell, cell_named
from lstm_cli.cell.equations import Apply, Name, evaluate
from lstm_cli.cell.grad import grad_table
from lstm_cli.cell.notation import Notation, Style, function_name, gradient_style
from lstm_cli.cell.presets import preset_model
from lstm_cli.commands.explain.glossary import Word
from lstm_cli.commands.explain.glossary.runs import trace_of
from lstm_cli.commands.explain.glossary_text import equations
from lstm_cli.engine.fixed_point import beside
from lstm_cli.engine.fixed_settings import FixedSettings
from lstm_cli.engine.grad import grad, through_time
from lstm_cli.engine.run import run
from lstm_cli.formats.conventions import CONVENTIONS, GATE_LETTERS, Convention
from lstm_cli.show.rows import equation_text
from lstm_cli.show.sheets import Writer

Fact: TypeAlias = Callable[[Writer, Word, Notation], Iterator[str]]

# Arguments at which functions are shown.
POINTS = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
# I and H of the layers whose parameters are counted.
SIZES = ((5, 5), (28, 128), (300, 256))
FORMAT = "Q3.12"


def cell_rows(
    cell: Cell, symbols: list[str], style: Style, notation: Notation
) -> list[tuple[str, str]]:
    """Return (label, equation) of some rows of a cell."""
    written = equation_text(cell, style, notation)
    return [(cell[symbol].label, " = ".join(written[symbol])) for symbol in symbols]


def given_text(values: Array, digits: int) -> str:
    """Format one number, or several as a vector in brackets."""
    numbers = [decimals(value, digits) for value in values]
    return numbers[0] if len(numbers) == 1 else f"[{', '.join(numbers)}]"


def value_table(writer: Writer, functions: tuple[str, ...]) -> str:
    """Return the values of functions of one argument, side by side."""
    points = np.array(POINTS)
    head = ["z", *(writer.math(function_name(name, writer.style)) for name in functions)]
    columns = [points] + [evaluate(Apply(name, (Name("z"),)), {"z": points}) for name in functions]
    rows = [[decimals(value, 6) for value in row] for row in zip(*columns, strict=True)]
    if len(head) == 2:  # a single function: its values across, not down
        return writer.table(("", "", *(decimals(each, 0) for each in POINTS)), _across(head, rows))
    return writer.table(head, rows)


def _across(head: list[str], rows: list[list[str]]) -> list[list[str]]:
    return [[head[1], "", *(row[1] for row in rows)]]


# ---- what frameworks do


RUMOUR = "* by its source or documents; not confirmed yet by numbers of its own."


def _named(writer: Writer, rows: list[tuple[str, list[Convention]]]) -> str:
    """List frameworks by what they do, unconfirmed ones marked with a star."""
    items = [
        (said, writer.escape(", ".join(row.name + "*" * (not row.confirmed_by) for row in those)))
        for said, those in rows
    ]
    starred = any(not row.confirmed_by for _, those in rows for row in those)
    remark = writer.paragraph(writer.escape(RUMOUR)) if starred else ""
    return writer.items(items) + remark


# What some frameworks do and others do not.
HABITS: Mapping[str, Callable[[Convention], object]] = {
    "the pair of states as (c, h)": lambda row: row.state_order != "h, c",
    "1 added to the forget gate at run time": lambda row: row.forget_bias,
    "two biases for a gate": lambda row: _biases_of_a_gate(row) > 1,
    "one matrix for both inputs, x first": lambda row: "xh" in row.holds,
    "clipped at run time": lambda row: row.clip or row.cell_clip,
    "gates by a hard sigmoid": lambda row: "hard" in (row.activations or ("",))[0],
}


def habits(writer: Writer, chosen: tuple[str, ...]) -> str:
    """List the frameworks that have each habit, by their names in `list conventions`."""
    every = list(CONVENTIONS.values())
    rows = [(said, [row for row in every if HABITS[said](row)]) for said in chosen]
    return writer.heading("Among frameworks") + _named(writer, rows)


def _orders(writer: Writer, word: Word, notation: Notation) -> Iterator[str]:
    yield writer.heading("Orders in use")
    orders: dict[str, list[Convention]] = {}
    for row in CONVENTIONS.values():
        if row.order:
            orders.setdefault(" ".join(row.order), []).append(row)
    yield _named(writer, list(orders.items()))


def _biases_of_a_gate(row: Convention) -> int:
    """Number of biases that a framework keeps for a gate."""
    held = [tensor.gates for tensor in row.tensors if tensor.holds == "b"]
    return max(sum(gates.count(gate) for gates in held) for gate in GATE_LETTERS)


# ---- other rows


def _split(writer: Writer, word: Word, notation: Notation) -> Iterator[str]:
    other: Notation = "split" if notation == "joined" else "joined"
    yield writer.paragraph(f"The same row in the other notation, {other}:")
    yield equations(writer, cell_rows(word.table, ["z_f"], writer.style, other))


def _coupled_input(writer: Writer, word: Word, notation: Notation) -> Iterator[str]:
    yield writer.paragraph("The other way, without weights for the input gate:")
    yield equations(writer, cell_rows(cell_named("coupled-input"), ["i"], writer.style, notation))


def _parameters(writer: Writer, word: Word, notation: Notation) -> Iterator[str]:
    yield writer.paragraph("How many numbers that is, weights and biases together:")
    rows = []
    for inputs, units in SIZES:
        model = preset_model("zeros", LSTM, sizes={"I": inputs, "H": units})
        arrays = model.first.arrays.values()
        rows.append((str(inputs), str(units), f"{sum(array.size for array in arrays)}"))
    yield writer.table(("inputs", "units", "numbers"), rows)


# ---- runs


def _gradients(writer: Writer, word: Word, notation: Notation) -> Iterator[str]:
    yield writer.paragraph("The gradient of h with respect to each of these numbers:")
    (layer,) = grad(trace_of(word)).layers
    values, style = layer.at(1), gradient_style(writer.style)
    rows = [
        (writer.math(style.name(row.symbol)), row.label,
         decimals(values[row.symbol][0], 4))
        for row in grad_table(layer.trace.cell)
        if row.symbol in word.symbols
    ]  # fmt: skip
    yield writer.table(("", "", "gradient"), rows)


def _gradient_flow(writer: Writer, word: Word, notation: Notation) -> Iterator[str]:
    yield writer.paragraph(
        "What is left, at the last step, of a small change of the cell state at step t: along the "
        "cell state alone (the product of the later forget gates), and by all ways together."
    )
    (flow,) = through_time(trace_of(word))
    assert flow.kept is not None
    rows = [
        ("along the cell state", "", *_numbers(flow.kept)),
        ("by all ways", "", *_numbers(flow.c)),
    ]
    yield writer.table(("", "", *(f"t = {t + 1}" for t in range(len(flow.c)))), rows)


def _numbers(values: Array) -> list[str]:
    return [decimals(value, 4) for value in values[:, 0]]


def _rounding(writer: Writer, word: Word, notation: Notation) -> Iterator[str]:
    yield writer.paragraph("The same run in float32, and how far it is off:")
    exact = trace_of(word)
    first = exact.layers[0]
    x, h, c = (first.values[symbol] for symbol in ("x", "h_prev", "c_prev"))
    single = run(exact.model, x, h[0], c[0], dtype=np.float32)
    rows = [
        (f"t = {t + 1}", "", decimals(own, 9), decimals(theirs, 9),
         scientific(abs(float(own) - float(theirs)), 1))
        for t, (own, theirs) in enumerate(zip(exact.output[:, 0], single.output[:, 0], strict=True))
    ]  # fmt: skip
    shown = writer.math(writer.style.name("h"))
    yield writer.table(("", "", f"{shown} float64", "float32", "difference"), rows)


def _fixed(writer: Writer, word: Word, notation: Notation) -> Iterator[str]:
    yield writer.paragraph(f"The same step in {FORMAT}:")
    (layer,) = beside(trace_of(word), FixedSettings.parse(FORMAT)).layers
    assert word.example is not None
    rows = [
        (writer.math(writer.style.name(symbol)), "",
         str(int(layer.values[symbol][0, 0])),
         decimals(layer.reals.values[symbol][0, 0], 9),
         decimals(layer.floats.values[symbol][0, 0], 9))
        for symbol in word.example.symbols
    ]  # fmt: skip
    yield writer.table(("", "", "integer", "stands for", "float64"), rows)


FACTS: Mapping[str, Fact] = {
    "orders": _orders,
    "split": _split,
    "coupled-input": _coupled_input,
    "parameters": _parameters,
    "gradients": _gradients,
    "fading": _gradient_flow,
    "rounding": _rounding,
    "fixed": _fixed,
}
