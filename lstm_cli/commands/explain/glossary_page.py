"""Pages of the glossary, and its index, as text, Markdown or LaTeX.

A page's equations are rows of the word's own table; its numbers are computed as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import decimals
from lstm_cli.cell.equations import FUNCTIONS, evaluate, parse
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
from lstm_cli.commands.explain.glossary import WORDS, Example, Word
from lstm_cli.commands.explain.glossary.runs import command_of, trace_of
from lstm_cli.commands.explain.glossary_facts import (
    FACTS,
    cell_rows,
    given_text,
    habits,
    value_table,
)
from lstm_cli.commands.explain.glossary_text import equations, folded, paragraph, words
from lstm_cli.engine.run import Trace
from lstm_cli.mistakes.catalogue import MISTAKES
from lstm_cli.show.rows import INPUT_LABELS
from lstm_cli.show.sheets import WIDTH, WRITERS, Writer

DIGITS = 6
# Decimals within a sentence.
SHORT = 4


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
    groups = dict.fromkeys(word.group for word in WORDS.values())
    for group in groups:
        own = [word for word in WORDS.values() if word.group == group]
        yield writer.heading(group[0].upper() + group[1:])
        yield writer.table(
            ("word", "what it is"),
            [(writer.code(word.name), words(writer, word.gist)) for word in own],
        )
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
                shown = f"{function_name(name, style)}{_in_brackets('z', style)}"
                yield said, f"{shown} = {write(form, local)}"


def _in_brackets(text: str, style: Style) -> str:
    opening, closing = style.bracket
    return f"{opening}{text}{closing}"


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
        (label, f"{style.name(symbol)} = {given_text(values[symbol], DIGITS)}")
        for symbol, label in INPUT_LABELS.items()
    ]
    for symbol in example.symbols:
        if symbol not in cell.symbols:
            node = parse(symbol)
            value = given_text(evaluate(node, values), DIGITS)
            rows.append(("concatenated", f"{write(node, style)} = {value}"))
            continue
        ((label, equation),) = cell_rows(cell, [symbol], style, notation)
        rows.append((label, f"{equation} = {given_text(values[symbol], DIGITS)}"))
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
    parts: tuple[tuple[str, Callable[[Writer, Word], str]], ...] = (
        ("Common mistakes", _mistakes),
        ("To try", _commands),
        ("See also", _see),
        ("Source", _source),
    )
    for heading, part in parts:
        if text := part(writer, word):
            yield writer.heading(heading) + text


def _mistakes(writer: Writer, word: Word) -> str:
    rows = [
        (words(writer, MISTAKES[name].title), writer.code(f"lstm-step list mistakes {name}"))
        for name in word.mistakes
    ]
    return writer.items(rows) if rows else ""


def _commands(writer: Writer, word: Word) -> str:
    lines = [folded(line, writer.width - 2) for line in word.try_]
    return writer.verbatim("\n".join(lines)) if lines else ""


def _see(writer: Writer, word: Word) -> str:
    names = [f"`explain {name}`" for name in word.see]
    return paragraph(writer, ", ".join(names)) if names else ""


def _source(writer: Writer, word: Word) -> str:
    return writer.paragraph(words(writer, word.source))
