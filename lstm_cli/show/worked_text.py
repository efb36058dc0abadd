"""Steps worked out, as lines: on a terminal in colour, and as Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from lstm_cli.cell.notation import UNICODE, Style
from lstm_cli.engine.run import Trace
from lstm_cli.show.arithmetic import Working
from lstm_cli.show.rows import View, definitions
from lstm_cli.show.sheets import WRITERS
from lstm_cli.show.terminal import Page, RowStyles, place_of, print_head
from lstm_cli.show.worked import (
    JoinedVector,
    StepWork,
    UnitWork,
    WorkedGroup,
    as_sentence,
    worked,
)
from lstm_cli.show.worked_vectors import vector_lines, vector_title

MARKDOWN_WIDTH = 96
# Where a long right side may go on in the next line: before a sign, behind a comma; in a narrow
# terminal also before a factor.
_BREAKS = re.compile(r"(?<=\S)(?= [+−/-] )|(?<=,)(?= )")
_FACTORS = re.compile(r"(?=·\(| \* \()")


def print_worked(console: Console, trace: Trace, view: View) -> None:
    """Print what is asked for, at any width.

    Raises:
        UsageError: as `worked`.
    """
    page = Page(console, view)
    steps = list(worked(trace, view, page.style))
    print_head(page, trace)
    for step in steps:
        _print_step(page, trace, step, view)
    for line in definitions(trace.model.cell, page.style):
        page.print()
        page.print(page.text(line, page.look.note))


def _print_step(page: Page, trace: Trace, step: StepWork, view: View) -> None:
    if trace.steps * len(trace.layers) > 1:
        page.print()
        page.print(page.text(place_of(step.trace, step.t, trace), page.look.heading))
    if step.chosen:
        page.print(page.text(step.chosen, page.look.note))
    for vector in step.vectors:
        _print_vector(page, vector, view)
    for work in step.units:
        if not step.chosen:
            page.print()
            page.print(page.text(f"unit {work.unit}", page.look.heading))
        for group in work.groups:
            _print_group(page, group, view)
        for line in missing_lines(work, page.style):
            page.print(page.text(line, page.look.note))


def _print_vector(page: Page, vector: JoinedVector, view: View) -> None:
    page.print()
    page.print(page.text(vector_title(vector, page.style), page.look.heading))
    for line in vector_lines(vector, page.console.width - 2, page.style, view.digits):
        page.print(page.text(f"  {line}" if page.pretty else f"  {line}".replace("│", "|"),
                             page.look.given))  # fmt: skip


def _print_group(page: Page, group: WorkedGroup, view: View) -> None:
    for vector in group.vectors:
        _print_vector(page, vector, view)
    page.print()
    page.print(page.text(group.label, page.look.heading))
    for work in group.workings:
        lines = equation_lines(work, page.console.width - 2)
        style = page.look.of(work.symbol, inputs=False)
        for place, line in enumerate(lines):
            page.print(_coloured(page, work, line, style, place == 0, line is lines[-1]),
                       overflow="fold")  # fmt: skip
    for line in textwrap.wrap(
        group.sentence.replace(" %", "\xa0%"), max(20, page.console.width - 2)
    ):
        page.print(page.text("  " + line.replace("\xa0", " "), "italic"))


def _coloured(page: Page, work: Working, line: str, style: str, first: bool, last: bool) -> Text:
    """Return a line with its name as the table has it and its result in bold."""
    text = page.text(f"  {line}", RowStyles.equation)
    if first:
        text.stylize(style or "not dim", 2, 2 + len(page.text(work.shown)))
    if last:
        text.stylize("bold", len(text) - len(page.text(work.stages[-1])))
    return text


def missing_lines(work: UnitWork, style: Style) -> Iterator[str]:
    """Yield a line for each row that has no such unit."""
    for symbol, size in work.missing:
        units = f"units 0 to {size - 1}" if size > 1 else "unit 0"
        yield f"{style.name(symbol)} has {units} only"


# ---- equations


def equation_lines(work: Working, width: int) -> list[str]:
    """Return `name = formula = … = number` in one line, or with the formula in a line of its own.

    Every further line starts under the first =, and holds as many stages as fit.
    """
    whole = " = ".join((work.shown, *work.stages))
    if cell_len(whole) <= width:
        return [whole]
    indent = " " * (cell_len(work.shown) + 1)
    formula, *others = work.stages
    lines = _broken(f"{work.shown} = {formula}", width, indent + "  ")
    alone = True  # the formula, and what takes several lines, but for the result behind it
    for stage in others:
        fits = cell_len(lines[-1]) + cell_len(stage) + 3 <= width
        if fits and (not alone or (stage == others[-1] and len(others) > 1)):
            lines[-1] += f" = {stage}"
            continue
        more = _broken(f"{indent}= {stage}", width, indent + "  ")
        alone = len(more) > 1
        lines += more
    return lines


def _broken(line: str, width: int, indent: str) -> list[str]:
    """Return a line as several where it is too long, broken before signs and behind commas."""
    if cell_len(line) <= width:
        return [line]
    pieces = _BREAKS.split(line)
    if max(map(cell_len, pieces)) + len(indent) > width:
        pieces = [part for piece in pieces for part in _FACTORS.split(piece)]
    lines = [""]
    for piece in pieces:
        if lines[-1].strip() and cell_len(lines[-1]) + cell_len(piece) > width:
            lines.append(indent + piece.lstrip())
        else:
            lines[-1] += piece
    return lines


# ---- Markdown


def to_markdown(trace: Trace, view: View) -> Iterator[str]:
    """Yield a page whose equations are code, the same with and without a renderer."""
    writer = WRITERS["markdown"]()
    steps = list(worked(trace, view, UNICODE))
    yield writer.begin(title(trace, len(steps), writer.escape(trace.model.cell.name)))
    for step in steps:
        if trace.steps * len(trace.layers) > 1:
            yield writer.heading(place_of(step.trace, step.t, trace).capitalize())
        if step.chosen:
            yield writer.paragraph(as_sentence(writer.escape(step.chosen)))
        yield from _vector_blocks(step.vectors, view)
        for work in step.units:
            if not step.chosen:
                yield writer.heading(f"Unit {work.unit}")
            for group in work.groups:
                yield from _vector_blocks(group.vectors, view)
                yield f"### {writer.escape(group.label)}\n\n"
                lines = [x for each in group.workings for x in equation_lines(each, MARKDOWN_WIDTH)]
                yield _code(lines)
                if group.sentence:
                    yield writer.paragraph(as_sentence(writer.escape(group.sentence)))
            for line in missing_lines(work, UNICODE):
                yield writer.paragraph(f"{writer.escape(line)}.")
    for text in definitions(trace.model.cell, UNICODE):
        yield writer.paragraph(writer.math(text))


def title(trace: Trace, count: int, name: str) -> str:
    """Return the title of a page on so many steps; `name` is ready for its format."""
    what = "One LSTM step, worked out" if count == 1 else "LSTM steps, worked out"
    return what if trace.model.cell.name == "lstm" else f"{what} ({name})"


def _vector_blocks(vectors: Sequence[JoinedVector], view: View) -> Iterator[str]:
    for vector in vectors:
        lines = vector_lines(vector, MARKDOWN_WIDTH, UNICODE, view.digits)
        yield f"`{vector_title(vector, UNICODE)}`\n\n"
        yield _code(lines)


def _code(lines: Sequence[str]) -> str:
    return "```text\n" + "".join(f"{line}\n" for line in lines) + "```\n\n"
