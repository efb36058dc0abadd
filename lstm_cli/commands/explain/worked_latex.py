"""Steps worked out, as a LaTeX document of its own: amsmath and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lstm_cli.cell.notation import LATEX
from lstm_cli.engine.run import Trace
from lstm_cli.show.arithmetic import Working
from lstm_cli.show.rows import View, definitions
from lstm_cli.show.sheets import WRITERS
from lstm_cli.show.terminal import place_of
from lstm_cli.show.worked import (
    JoinedVector,
    StepWork,
    WorkedGroup,
    as_sentence,
    called,
    worked,
)
from lstm_cli.show.worked_text import missing_lines, title
from lstm_cli.show.worked_vectors import VectorEntry, entries

# About so many letters fit in a line of the page.
LINE = 78


def to_latex(trace: Trace, view: View) -> Iterator[str]:
    """Yield the document."""
    writer = WRITERS["latex"]()
    steps = list(worked(trace, view, LATEX))
    yield writer.begin(title(trace, len(steps), writer.escape(trace.model.cell.name)))
    yield "\\allowdisplaybreaks\n\n"
    for step in steps:
        if trace.steps * len(trace.layers) > 1:
            yield writer.heading(place_of(step.trace, step.t, trace).capitalize())
        if step.chosen:
            shown = writer.escape(step.chosen).replace(r"\textbar{}h\textbar{}", "$|h|$")
            yield writer.paragraph(as_sentence(shown.replace("--", "-{}-")))
        yield from _step(step, view)
    for text in definitions(trace.model.cell, LATEX):
        yield writer.paragraph(writer.math(text))
    yield writer.end()


def _step(step: StepWork, view: View) -> Iterator[str]:
    writer = WRITERS["latex"]()
    for vector in step.vectors:
        yield from _vector(vector, view)
    for work in step.units:
        if not step.chosen:
            yield writer.heading(f"Unit {work.unit}")
        for group in work.groups:
            yield from _group(group, view)
        for symbol, line in zip(work.missing, missing_lines(work, LATEX), strict=True):
            name = LATEX.name(symbol[0])
            yield writer.paragraph(f"${name}${line.removeprefix(name)}.")


def _group(group: WorkedGroup, view: View) -> Iterator[str]:
    writer = WRITERS["latex"]()
    for vector in group.vectors:
        yield from _vector(vector, view)
    yield f"\\textbf{{{writer.escape(group.label)}}}\n"
    lines = [line for work in group.workings for line in _lines(work)]
    yield "\\begin{flalign*}\n" + " && \\\\\n".join(lines) + " &&\n\\end{flalign*}\n"
    if group.sentence:
        yield writer.paragraph(as_sentence(group.sentence))
    else:
        yield "\n"


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


def _vector(vector: JoinedVector, view: View) -> Iterator[str]:
    """Yield a drawn vector: names of its parts, places, numbers, a rule between the parts."""
    label = called(vector, LATEX)
    yield f"${vector.shown}$" + (f", {label}:" if label else ":") + "\n"
    columns = [
        VectorEntry(part, name, place, text)
        for part, (name, array) in enumerate(vector.parts)
        for place, text in entries(array, LATEX, view.digits)
    ]
    lines: list[list[VectorEntry]] = [[]]
    for column in columns:
        if sum(_width(own) for own in lines[-1]) + _width(column) > LINE:
            lines.append([])
        lines[-1].append(column)
    for line in lines:
        yield "\\[ " + _array(line) + " \\]\n"
    yield "\n"


def _width(column: VectorEntry) -> int:
    return max(_length(column.text), 2) + 2


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
