"""Pages of the glossary, and its index, as text, Markdown or LaTeX.

A page's equations are rows of the word's own table; its numbers are computed as it is written.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from rich.cells import cell_len

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import decimals, scientific, shortest
from lstm_cli.base.paste import PROGRAM, option_words, rows_text
from lstm_cli.cell.cells import LSTM, Cell, cell_named
from lstm_cli.cell.equations import FUNCTIONS, Apply, Name, evaluate, parse
from lstm_cli.cell.grad import grad_table
from lstm_cli.cell.notation import (
    LATEX,
    Notation,
    Style,
    function_name,
    gradient_style,
    write,
    write_definition,
    write_equation,
)
from lstm_cli.cell.presets import preset_model, sizes_of
from lstm_cli.commands.explain.glossary import GROUPS, WORDS, Example, Word
from lstm_cli.engine.fixed_point import FixedSettings, beside
from lstm_cli.engine.grad import grad, through_time
from lstm_cli.engine.run import Trace, run
from lstm_cli.formats.conventions import CONVENTIONS, GATE_LETTERS, Convention
from lstm_cli.mistakes.catalogue import MISTAKES
from lstm_cli.show.rows import INPUT_LABELS, equation_text
from lstm_cli.show.sheets import WIDTH, WRITERS, Writer

DIGITS = 6
# Decimals within a sentence, and over time.
SHORT = 4
# Arguments at which functions are shown.
POINTS = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
# I and H of the layers whose parameters are counted.
SIZES = ((5, 5), (28, 128), (300, 256))
FORMAT = "Q3.12"

Fact: TypeAlias = Callable[[Writer, Word, Notation], Iterator[str]]


def page(
    word: Word, kind: str = "text", notation: Notation = "joined", width: int = WIDTH
) -> Iterator[str]:
    """Yield the page of a word: equations, meaning, drawing, numbers, mistakes, commands to try.

    Args:
        word: a row of `glossary.WORDS`.
        kind: text, markdown or latex.
        notation: joined or split.
        width: of lines of text.
    """
    writer = _writer(kind, width)
    yield writer.begin(words(writer, word.title))
    rows = _own_rows(word, writer.style, notation)
    if rows:
        yield equations(writer, rows)
    if definitions := list(_definitions(word, writer.style)):
        yield equations(writer, definitions)
    for part in word.meaning:
        yield paragraph(writer, part)
    if word.picture:
        yield writer.verbatim(word.picture)
    if word.functions and word.functions != ("clip",):
        yield writer.heading("Its values")
        yield value_table(writer, word.functions)
    if word.example is not None:
        yield from _example(writer, word, word.example, notation)
    for fact in word.facts:
        yield from FACTS[fact](writer, word, notation)
    if word.habits:
        yield habits(writer, word.habits)
    yield from _endings(writer, word)
    yield writer.end()


def index(kind: str = "text") -> Iterator[str]:
    """Yield every word with its title, by group."""
    writer = _writer(kind, WIDTH)
    yield writer.begin("Words of the LSTM")
    for group, names in GROUPS.items():
        yield writer.heading(group[0].upper() + group[1:])
        rows = [(writer.code(name), words(writer, WORDS[name].gist)) for name in names]
        yield writer.table(("word", "what it is"), rows)
    yield writer.paragraph(
        f"A page on each: {writer.code('lstm-step explain WORD')}, for example "
        f"{writer.code('lstm-step explain forget-gate')}. Symbols and other names do too: "
        f"{writer.code('f')}, {writer.code('memory')}, {writer.code('kernel')}."
    )
    yield writer.end()


def _writer(kind: str, width: int) -> Writer:
    writer = WRITERS[kind]()
    writer.width = min(width, WIDTH)
    return writer


# ---- equations


def _own_rows(word: Word, style: Style, notation: Notation) -> list[tuple[str, str]]:
    """Return (label, equation) of the rows that a word is about."""
    cell = word.table
    forward = [symbol for symbol in word.symbols if symbol in cell.symbols]
    rows = cell_rows(cell, forward, style, notation)
    delta = gradient_style(style)
    for row in grad_table(cell):
        if row.symbol in word.symbols:
            left, right = write_equation(row, delta, notation)
            rows.append((f"gradient: {row.label}", f"{left} = {right}"))
    return rows


def _definitions(word: Word, style: Style) -> Iterator[tuple[str, str]]:
    """Yield (label, definition) of a word's functions, from textbooks and as computed."""
    forms = {"as in textbooks": "textbook"}
    if len(word.functions) == 1:
        forms["as it is computed"] = "formula"
    local = replace(style, name=str)
    for name in word.functions:
        function = FUNCTIONS[name]
        if body := write_definition(name, style):
            yield _remark_apart(body, style)
        for said, attribute in forms.items():
            if (form := getattr(function, attribute)) is not None:
                shown = f"{function_name(name, style)}{'z'.join(style.bracket)}"
                yield said, f"{shown} = {write(form, local)}"


def _remark_apart(definition: str, style: Style) -> tuple[str, str]:
    """Split a definition into (remark, equation); only LaTeX needs the remark separately."""
    equation, _, remark = definition.partition("   (")
    if style is not LATEX or not remark:
        return "", definition
    constants = remark.removesuffix(" unless given)")
    return f"${constants}$ unless given", equation


# ---- numbers

_NUMBER = re.compile(r"\{([^{}]+)\}")


def _example(writer: Writer, word: Word, example: Example, notation: Notation) -> Iterator[str]:
    """Yield the run of an example: how to repeat it, its numbers, what to notice."""
    trace = trace_of(word)
    yield writer.heading("With numbers")
    yield writer.verbatim(folded(command_of(word), writer.width - 2))
    if trace.steps == 1:
        yield equations(writer, _one_step(trace, example, writer.style, notation))
    else:
        yield _over_time(writer, trace, example)
    if example.note:
        yield paragraph(writer, _filled(example.note, trace))


def _one_step(
    trace: Trace, example: Example, style: Style, notation: Notation
) -> list[tuple[str, str]]:
    """Return each chosen row as `symbol = equation = number`, after the inputs."""
    each = trace.layers[0]
    values, cell = each.at(1), each.cell
    rows = [
        (label, f"{style.name(symbol)} = {given_text(values[symbol])}")
        for symbol, label in INPUT_LABELS.items()
    ]
    for symbol in example.symbols:
        if symbol not in cell.symbols:
            node = parse(symbol)
            value = given_text(evaluate(node, values))
            rows.append(("concatenated", f"{write(node, style)} = {value}"))
            continue
        ((label, equation),) = cell_rows(cell, [symbol], style, notation)
        rows.append((label, f"{equation} = {given_text(values[symbol])}"))
    return rows


def _over_time(writer: Writer, trace: Trace, example: Example) -> str:
    """Return the chosen rows of a run as a table, a column per step."""
    each, style = trace.layers[0], writer.style
    labels = {row.symbol: row.label for row in each.cell.equations} | INPUT_LABELS
    rows = [
        (writer.math(style.name(symbol)), labels[symbol],
         *(decimals(value, SHORT) for value in each.values[symbol][:, 0]))
        for symbol in ("x", "c_prev", *example.symbols)
    ]  # fmt: skip
    return writer.table(("", "", *(f"t = {t}" for t in range(1, trace.steps + 1))), rows)


def _filled(note: str, trace: Trace) -> str:
    """Return a note with its numbers filled in, those of the first unit after the last step."""
    each = trace.layers[0]
    values: Mapping[str, Array] = {k: v[..., :1] for k, v in each.at(trace.steps).items()}

    def computed(match: re.Match[str]) -> str:
        value = float(evaluate(parse(match[1]), values).flat[0])
        return decimals(value, 1 if match[1].startswith("100 ") else SHORT)

    return _NUMBER.sub(computed, note)


# ---- the end of a page


def _endings(writer: Writer, word: Word) -> Iterator[str]:
    if word.mistakes:
        rows = [
            (words(writer, MISTAKES[name].title), writer.code(f"lstm-step list mistakes {name}"))
            for name in word.mistakes
        ]
        yield writer.heading("Common mistakes") + writer.items(rows)
    if word.try_:
        lines = [folded(line, writer.width - 2) for line in word.try_]
        yield writer.heading("To try") + writer.verbatim("\n".join(lines))
    if word.see:
        names = ", ".join(f"`explain {name}`" for name in word.see)
        yield writer.heading("See also") + paragraph(writer, names)
    yield writer.heading("Source") + writer.paragraph(words(writer, word.source))


# ---- tables that pages share


def cell_rows(
    cell: Cell, symbols: list[str], style: Style, notation: Notation
) -> list[tuple[str, str]]:
    """Return (label, equation) of some rows of a cell."""
    written = equation_text(cell, style, notation)
    return [(cell[symbol].label, " = ".join(written[symbol])) for symbol in symbols]


def given_text(values: Array) -> str:
    """Format one number, or several as a vector in brackets."""
    numbers = [decimals(value, DIGITS) for value in values]
    return numbers[0] if len(numbers) == 1 else f"[{', '.join(numbers)}]"


def value_table(writer: Writer, functions: tuple[str, ...]) -> str:
    """Return the values of functions of one argument, side by side."""
    points = np.array(POINTS)
    head = ["z", *(writer.math(function_name(name, writer.style)) for name in functions)]
    columns = [points] + [evaluate(Apply(name, (Name("z"),)), {"z": points}) for name in functions]
    rows = [[decimals(value, 6) for value in row] for row in zip(*columns, strict=True)]
    if len(head) == 2:  # a single function: its values across, not down
        across = [[head[1], "", *(row[1] for row in rows)]]
        return writer.table(("", "", *(decimals(each, 0) for each in POINTS)), across)
    return writer.table(head, rows)


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
         decimals(values[row.symbol][0], SHORT))
        for row in layer.rows
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
        (said, "", *(decimals(value, SHORT) for value in values[:, 0]))
        for said, values in (("along the cell state", flow.kept), ("by all ways", flow.c))
    ]
    yield writer.table(("", "", *(f"t = {t + 1}" for t in range(len(flow.c)))), rows)


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
         str(int(layer.integers.values[symbol][0, 0])),
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


# ---- the small runs behind the pages, computed on demand, and their command lines


def trace_of(word: Word) -> Trace:
    """Run the example of a word that has one."""
    example = word.example
    assert example is not None
    x = np.array(example.x)
    h, c = (np.array(state) if state else None for state in (example.h, example.c))
    sizes = sizes_of(x, h, c)
    model = preset_model(example.preset, word.table, sizes=sizes, seed=example.seed)
    return run(model, x, h, c)


def command_of(word: Word) -> str:
    """Return the command line that shows the run of a word's example."""
    example, added = word.example, word.settings
    assert example is not None
    limits = {"--forget-bias": added.forget_bias, "--clip": added.clip,
              "--cell-clip": added.cell_clip}  # fmt: skip
    x = rows_text(example.x)
    options: dict[str, object] = {
        "--h": rows_text([example.h]),
        "--c": rows_text([example.c]),
        "--x": f'"{x}"' if ";" in x else x,
        "--cell": word.cell,
        "--preset": example.preset if example.preset != "identity" else "",
        "--seed": example.seed or "",
        **{name: shortest(limit) for name, limit in limits.items() if limit is not None},
        "--at": "all" if len(example.x) > 1 else "",
    }
    return " ".join([PROGRAM, *map(str, option_words(options))])


# ---- running text: expressions, commands and symbols in each format

_MARK = re.compile(r"\$([^$]+)\$|`([^`]+)`")
_NO_BREAK = "\N{NO-BREAK SPACE}"


def paragraph(writer: Writer, text: str) -> str:
    """Return a paragraph in which no expression, command or percentage is broken over lines."""
    whole = _prose(writer, text).replace(" %", f"{_NO_BREAK}%")
    return writer.paragraph(whole).replace(_NO_BREAK, " ")


def _prose(writer: Writer, text: str) -> str:
    """Return text with its expressions in the writer's style and everything else escaped."""
    parts, last = [], 0
    style = gradient_style(writer.style)
    for match in _MARK.finditer(text):
        parts.append(words(writer, text[last : match.start()]))
        last = match.end()
        own = writer.math(write(parse(match[1]), style)) if match[1] else writer.code(match[2])
        parts.append(own.replace(" ", _NO_BREAK))
    return "".join(parts) + words(writer, text[last:])


# Characters that TeX's standard fonts lack.
_IN_TEX = {
    "σ": r"$\sigma$", "δ": r"$\delta$", "−": "$-$", "±": r"$\pm$", "×": r"$\times$",
    "→": r"$\rightarrow$", "…": r"\dots{}", "C̃": r"$\tilde{C}$", "∂": r"$\partial$",
    "‖": r"$\Vert$", "₂": "$_2$",
}  # fmt: skip


def words(writer: Writer, text: str) -> str:
    """Escape text of our own; in LaTeX, symbols become commands."""
    if writer.style is not LATEX:
        return writer.escape(text)
    pieces = re.split("(" + "|".join(map(re.escape, _IN_TEX)) + ")", text)
    return "".join(_IN_TEX.get(piece) or writer.escape(piece) for piece in pieces)


def equations(writer: Writer, rows: list[tuple[str, str]]) -> str:
    """Return equations as the writer sets them; in text, labels that do not fit are left out."""
    widest = max(cell_len(equation) for _, equation in rows) + max(len(name) for name, _ in rows)
    in_lines = type(writer) is WRITERS["text"]
    if not in_lines or widest + 5 <= writer.width:
        lines = writer.equations(rows).split("\n")
        return "\n".join(line.rstrip().removesuffix(" ·") for line in lines)
    lines = [
        textwrap.fill(
            equation, writer.width, initial_indent="  ", subsequent_indent="      ",
            break_long_words=False, break_on_hyphens=False,
        )
        for _, equation in rows
    ]  # fmt: skip
    return "\n".join(lines) + "\n\n"


def folded(command: str, width: int) -> str:
    """Break a long command line before options, with the shell's backslashes."""
    lines = [""]
    for part in re.split(r" (?=--)", command):
        joined = f"{lines[-1]} {part}" if lines[-1] else part
        if len(joined) + 2 > width and lines[-1]:
            lines.append(f"    {part}")
        else:
            lines[-1] = joined
    return " \\\n".join(lines)
