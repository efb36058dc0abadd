"""A step worked out, as Python asks for it: as a document and as a record."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstm_cli.cell.notation import LATEX, PLAIN, UNICODE, Notation, Style
from lstm_cli.engine.run import Trace, need_trace
from lstm_cli.files.output import plain_list
from lstm_cli.show.answer import Answer, one_record
from lstm_cli.show.arithmetic import Working
from lstm_cli.show.document import (
    Block,
    Document,
    Drawn,
    Gap,
    Heading,
    Paragraph,
    Span,
    Tone,
    Words,
    write,
)
from lstm_cli.show.rows import (
    Choice,
    View,
    definitions,
    equation_text,
    metadata,
    place_of,
    run_title,
    view_from,
)
from lstm_cli.show.sheets import WRITERS
from lstm_cli.show.worked import (
    JoinedVector,
    StepWork,
    UnitWork,
    VectorEntry,
    WorkedGroup,
    as_sentence,
    called,
    check,
    entries,
    equation_lines,
    vector_lines,
    vector_title,
    worked,
)

# Columns of the text.
WIDTH = 100
# About so many letters fit in a line of the page in LaTeX.
LINE = 78


@dataclass(frozen=True, eq=False)
class Explanation:
    """Steps of a run worked out with their numbers: `str` is the text, a notebook shows Markdown.

    Attributes:
        trace: the run.
        view: which layers, steps, units and symbols, and how.
    """

    trace: Trace
    view: View

    def __post_init__(self) -> None:
        check(self.trace, self.view)

    def document(self, style: Style = UNICODE) -> Document:
        """Return it as a document, for what shows that style."""
        return Document([*_blocks(self.trace, self.view, style)])

    @property
    def answer(self) -> Answer:
        """It in each form of `explain -f`; plain text is for lines of 80."""
        return Answer(self.document, one_record(self.record))

    def record(self) -> dict[str, Any]:
        """Return the document of `explain --json`: every row with its stages and value."""
        document = metadata(self.trace, self.view.notation, "explain")
        document["steps"] = [
            record
            for step in worked(self.trace, self.view, UNICODE)
            for record in _records(step, self.trace, self.view)
        ]
        return document

    def __str__(self) -> str:
        from rich.console import Console

        from lstm_cli.show.draw import draw

        page = io.StringIO()
        draw(Console(file=page, width=WIDTH, color_system=None), self.document)
        return "".join(line.rstrip() + "\n" for line in page.getvalue().splitlines())

    def _repr_markdown_(self) -> str:
        """Markdown for a notebook."""
        return "".join(write(self.document, "markdown"))


def explain(
    trace: Trace,
    *,
    unit: Choice = None,
    at: Choice = None,
    only: str | Sequence[str] = (),
    layer: int | None = None,
    direction: str = "",
    notation: Notation = "joined",
    digits: int = 6,
    terms: int = 8,
) -> Explanation:
    """Work steps of a run out: each row with its numbers put in, and what each gate does.

    Args:
        trace: a run of one sample.
        unit: the units, from 0: 2, [0, 3], "0:3", "all"; None is the one with the largest |h|.
        at: the steps, from 1, likewise; None is the one that is computed last.
        only: the symbols to show, () is all; or an address, "layer1.backward.f[3]@7".
        layer: the only layer to show, from 0.
        direction: the only direction to show.
        notation: "joined" or "split".
        digits: decimals.
        terms: how many products of a sum are shown one by one.

    Raises:
        ArgumentError: `trace` is no run; the error says what to call.
        InputError: a run of several samples.
        UsageError: no such layer, direction, unit, step or symbol.
    """
    need_trace(trace, "explain", single=True)
    view = view_from(unit, at, only, layer, direction, notation, digits)
    return Explanation(trace, replace(view, terms=terms))


# ---- the document


def _blocks(trace: Trace, view: View, style: Style) -> Iterator[Block]:
    steps = list(worked(trace, view, style))
    what = "One LSTM step, worked out" if len(steps) == 1 else "LSTM steps, worked out"
    name = trace.model.cell.name
    yield Heading(run_title(trace), said=what if name == "lstm" else f"{what} ({name})")
    for assumption in trace.assumptions:
        yield Paragraph(f"assumed: {assumption}", "note", said="")
    if style is LATEX:
        yield Drawn(latex="\\allowdisplaybreaks\n\n")
    for step in steps:
        if trace.steps * len(trace.layers) > 1:
            place = place_of(step.trace, step.t, trace)
            yield from (Gap(), Heading(place, said=place.capitalize()))
        yield from _step(step, view, style)
    for line in definitions(trace.model.cell, style):
        yield from (Gap(), Paragraph(line, "note", said=Span(line, math=True)))


def _step(step: StepWork, view: View, style: Style) -> Iterator[Block]:
    if step.chosen:
        yield Paragraph(step.chosen, "note", said=_chosen(step.chosen, style))
    for vector in step.vectors:
        yield from _vector(vector, view, style)
    for work in step.units:
        if not step.chosen:
            yield from (Gap(), Heading(f"unit {work.unit}", said=f"Unit {work.unit}"))
        for group in work.groups:
            yield from _group(group, view, style)
        yield from _missing(work, style)


def _chosen(text: str, style: Style) -> Words:
    if style is not LATEX:
        return as_sentence(text)
    shown = WRITERS["latex"]().escape(text).replace(r"\textbar{}h\textbar{}", "$|h|$")
    return Span(as_sentence(shown.replace("--", "-{}-")), ready=True)


def _missing(work: UnitWork, style: Style) -> Iterator[Block]:
    """Yield a line for each row that has no such unit."""
    for symbol, size in work.missing:
        name, units = style.name(symbol), f"units 0 to {size - 1}" if size > 1 else "unit 0"
        yield Paragraph(f"{name} has {units} only", "note",
                        said=(Span(name, math=style is LATEX), f" has {units} only."))  # fmt: skip


def _vector(vector: JoinedVector, view: View, style: Style) -> Iterator[Block]:
    title = vector_title(vector, style)
    said = "" if style is LATEX else Span(title, math=True)
    yield from (Gap(), Paragraph(title, "heading", said=said))
    yield Drawn(
        lambda width: vector_lines(vector, width, style, view.digits), "given",
        "".join(_vector_latex(vector, view)) if style is LATEX else "",
    )  # fmt: skip


def _group(group: WorkedGroup, view: View, style: Style) -> Iterator[Block]:
    for vector in group.vectors:
        yield from _vector(vector, view, style)
    yield from (Gap(), Heading(group.label, level=3))
    yield Drawn(
        lambda width: [line for each in group.workings for line in _toned(each, width)], "equation",
        _equations_latex(group) if style is LATEX else "",
    )  # fmt: skip
    if group.sentence:
        # A number stays before its sign.
        kept = group.sentence.replace(" %", "\xa0%")
        yield Drawn(
            lambda width: [line.replace("\xa0", " ")
                           for line in textwrap.wrap(kept, max(20, width))], "aside",
            said=Span(as_sentence(group.sentence), ready=style is LATEX),
        )  # fmt: skip


def _toned(work: Working, width: int) -> Iterator[Words]:
    """Yield the lines of an equation, its name as the table has it and its result apart."""
    lines = equation_lines(work, width)
    tone: Tone = "state" if work.symbol in ("c", "h") else "symbol"
    tone = "sum" if work.symbol.startswith("z_") else tone
    for place, line in enumerate(lines):
        start = 0 if place else len(work.shown)
        end = len(line) - (len(work.stages[-1]) if place == len(lines) - 1 else 0)
        parts = Span(line[:start], tone), Span(line[start:end]), Span(line[end:], "result")
        yield tuple(part for part in parts if part.text)


# ---- LaTeX


def _equations_latex(group: WorkedGroup) -> str:
    lines = [line for work in group.workings for line in _lines(work)]
    body = " && \\\\\n".join(lines)
    return f"\\begin{{flalign*}}\n{body} &&\n\\end{{flalign*}}\n" + "\n" * (not group.sentence)


def _lines(work: Working) -> list[str]:
    """Return the lines of an alignment at the first =, laid out as `equation_lines` does."""
    if _length(" = ".join(work.stages)) <= LINE:
        return [f"{work.shown} &= " + " = ".join(work.stages)]
    formula, *others = work.stages
    lines = [f"{work.shown} &= {formula}"]
    for place, stage in enumerate(others):
        if place and _length(lines[-1]) + _length(stage) + 3 <= LINE:
            lines[-1] += f" = {stage}"
        else:
            lines += _filled("&= ", _pieces(stage))
    return lines


def _filled(lead: str, pieces: Sequence[str]) -> list[str]:
    lines, used = [lead], 0
    for piece in pieces:
        if used and used + _length(piece) > LINE:
            lines.append(r"&\quad ")
            used = 0
        lines[-1] += piece
        used += _length(piece)
    return lines


def _pieces(text: str) -> list[str]:
    """Return a right side cut before the signs that stand in no braces."""
    cuts, depth = [0], 0
    for place, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if depth == 0 and re.match(r" [+-] ", text[place : place + 3]):
            cuts.append(place)
    return [text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _length(text: str) -> int:
    """Return about how many letters wide mathematics is."""
    plain = re.sub(r"\\(?:frac|text|underbrace|mathrm|operatorname|tilde)\b", "", text)
    return len(re.sub(r"[{}^_]", "", re.sub(r"\\[a-zA-Z]+ ?", "x", plain)))


def _vector_latex(vector: JoinedVector, view: View) -> Iterator[str]:
    """Yield a drawn vector: names of its parts, places, numbers, a rule between the parts."""
    label = called(vector, LATEX)
    yield f"${vector.shown}$" + (f", {label}:" if label else ":") + "\n"
    lines: list[list[VectorEntry]] = [[]]
    used = 0
    for part, (name, array) in enumerate(vector.parts):
        for place, text in entries(array, LATEX, view.digits):
            wide = max(_length(text), 2) + 2
            if used + wide > LINE:
                lines.append([])
                used = 0
            lines[-1].append(VectorEntry(part, name, place, text))
            used += wide
    for line in lines:
        yield "\\[ " + _array(line) + " \\]\n"
    yield "\n"


def _array(columns: Sequence[VectorEntry]) -> str:
    parts = {column.part: column.name for column in columns}
    counts = [sum(column.part == part for column in columns) for part in parts]
    heads = " & ".join(
        rf"\multicolumn{{{count}}}{{c{'|' * (part != columns[-1].part)}}}{{{name}}}"
        for count, (part, name) in zip(counts, parts.items(), strict=True)
    )
    places = " & ".join(rf"\scriptstyle {column.place}" for column in columns)
    numbers = " & ".join(column.text for column in columns)
    form = "|".join("r" * count for count in counts)
    return rf"\begin{{array}}{{{form}}} {heads} \\ {places} \\ {numbers} \end{{array}}"


# ---- the record


def _records(step: StepWork, trace: Trace, view: View) -> Iterator[dict[str, Any]]:
    written = equation_text(step.trace.cell, PLAIN, view.notation)
    for unit in step.units:
        rows = [
            {
                "symbol": work.symbol,
                "label": step.trace.cell[work.symbol].label,
                "equation": written[work.symbol][1],
                "shown": work.shown,
                "stages": list(work.stages),
                "value": plain_list(np.asarray(work.value), trace.dtype),
            }
            for group in unit.groups
            for work in group.workings
        ]
        yield {
            "layer": step.trace.layer,
            "direction": step.trace.direction,
            "t": step.trace.times[step.t - 1],
            "unit": unit.unit,
            "rows": rows,
            "sentences": [
                {"symbol": group.symbol, "text": group.sentence}
                for group in unit.groups
                if group.sentence
            ],
        }
