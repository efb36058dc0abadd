"""A whole run on a terminal: a line a unit, a column a step, a number as a colour.

Where there are no colours, or too few to tell numbers apart, a number is a character: shares grow
from blank to full, and what has a sign leans up or down from a dot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from lstm_cli.base.arrays import Array
from lstm_cli.engine.run import Trace
from lstm_cli.show.colours import Scale
from lstm_cli.show.draw import Page
from lstm_cli.show.over_time import Course, binned, by_scale, courses, notes, short, ticks
from lstm_cli.show.rows import View

# So many units each have a line; of more, the few that move most.
MANY, FEW = 16, 8
# From here on two units share a line, one in the upper half of its blocks and one in the lower.
HALVES_FROM = 5
WIDEST_STEP = 6  # columns of a step in a short run
LEGEND = 17  # columns of a legend's ramp; odd, so that it has a middle
LEAST_ROOM = 16
UPPER_HALF = "▀"

# Lowest to highest; a row with a sign has its zero in the middle.
CHARACTERS: dict[tuple[str, bool], str] = {
    ("share", True): " ▁▂▃▄▅▆▇█",
    ("share", False): " .:-=+*#@",
    ("signed", True): "≡=-·▂▅█",
    ("signed", False): "Vv,.'^A",
}
NO_NUMBER = "!"


def print_strip(console: Console, trace: Trace, view: View) -> None:
    """Print the course of gates and states over the whole run.

    Raises:
        InputError: the run has batch axes.
        UsageError: no such unit or step.
    """
    page = Page(console)
    # --at chooses among the steps of the table; a strip is of all of them.
    drawn = courses(trace, replace(view, at=""), most=MANY, fewer=FEW)
    pen = _Pen.on(page)
    layout = _layout(page, drawn, pen)
    page.print()
    page.print(page.text(f"the whole run, steps 1 to {trace.steps}", "heading"))
    for said in notes(drawn, layout.bin, page.style):
        page.print(page.text(said, "note"))
    several = len({(each.layer, each.direction) for each in drawn}) > 1
    for (layer, direction), own in groupby(drawn, lambda each: (each.layer, each.direction)):
        page.print()
        if several:
            page.print(page.text(f"layer {layer} {direction}", "heading"))
        _print_courses(page, list(own), pen, layout)
    page.print()
    for line in _legend(page, drawn, pen):
        page.print(line)


@dataclass(frozen=True)
class _Layout:
    """How the width is shared out: the numbers of units, and columns for the steps."""

    margin: int
    room: int
    wide: int
    bin: int


def _layout(page: Page, drawn: Sequence[Course], pen: _Pen) -> _Layout:
    steps = len(drawn[0].steps)
    margin = 1 + max(cell_len(_units_text(units)) for each in drawn for units in pen.lines(each))
    room = max(LEAST_ROOM, page.console.width - margin - 2 * len(pen.edge))
    return _Layout(margin, room, max(1, min(WIDEST_STEP, room // steps)), -(-steps // room))


def _units_text(units: Sequence[int]) -> str:
    return ",".join(map(str, units))


@dataclass(frozen=True)
class _Pen:
    """How numbers are drawn: as colours, two units a line where blocks can be written, or not."""

    colours: bool
    pretty: bool

    @classmethod
    def on(cls, page: Page) -> _Pen:
        """Return the pen that a console can take; sixteen colours cannot tell numbers apart."""
        enough = page.console.color_system in ("256", "truecolor") and not page.console.no_color
        return cls(enough, page.pretty)

    @property
    def edge(self) -> str:
        """What encloses a line, so that its blanks can be seen."""
        return "" if self.colours else "│" if self.pretty else "|"

    def lines(self, course: Course) -> list[tuple[int, ...]]:
        """Return the units of each line."""
        halves = self.colours and self.pretty and len(course.units) >= HALVES_FROM
        each = 2 if halves else 1
        return [course.units[start : start + each] for start in range(0, len(course.units), each)]

    def draw(self, rows: Array, scale: Scale, wide: int) -> Text:
        """Return one line: `rows (1 or 2, columns)`, each column `wide` characters."""
        line = Text(self.edge)
        for mark, run in groupby(self._mark(column, scale) for column in rows.T):
            character, style = mark
            line.append(character * (wide * len(list(run))), style)
        return line.append(self.edge)

    def _mark(self, column: Array, scale: Scale) -> tuple[str, Style]:
        """Return the character and the colours of one column of a line."""
        if not self.colours:
            return self._character(float(column[0]), scale), Style()
        upper, *lower = (scale.colour(float(value)) for value in column)
        if not lower:
            return " ", Style(bgcolor=upper)
        return UPPER_HALF, Style(color=upper, bgcolor=lower[0])

    def _character(self, value: float, scale: Scale) -> str:
        if not np.isfinite(value):
            return NO_NUMBER
        characters = CHARACTERS[scale.ramp, self.pretty]
        return characters[round(scale.place(value) * (len(characters) - 1))]


def _print_courses(page: Page, own: Sequence[Course], pen: _Pen, layout: _Layout) -> None:
    """Print the symbols of one layer and direction, and the steps below them."""
    for each in own:
        name = page.text(page.style.name(each.symbol), "heading")
        label = page.text(f"  {each.label}" if each.label else "")
        page.print(Text.assemble(name, label), overflow="fold")
        values, _ = binned(each.values, layout.room)
        first = 0
        for units in pen.lines(each):
            numbers = _units_text(units).rjust(layout.margin - 1) + " "
            rows = values[:, first : first + len(units)].T
            first += len(units)
            # Assembled: a line must not hand its own style (dim) on to the colours of numbers.
            strip = pen.draw(rows, each.scale, layout.wide)
            line = Text.assemble(page.text(numbers, "note"), strip)
            page.print(line, no_wrap=True, overflow="ignore", crop=False)
    page.print(page.text(_steps_text(own[0].steps, layout, pen), "note"))


def _steps_text(steps: Sequence[int], layout: _Layout, pen: _Pen) -> str:
    """Return the line of step numbers, each under the column that holds it."""
    end = layout.margin + len(pen.edge) + layout.room
    text = "t".rjust(layout.margin - 1)
    for place in ticks(steps, max(2, layout.room // 10)):
        at = layout.margin + len(pen.edge) + place // layout.bin * layout.wide
        if at > len(text) and at + len(str(steps[place])) <= end:
            text = text.ljust(at) + str(steps[place])
    return text


def _legend(page: Page, drawn: Sequence[Course], pen: _Pen) -> Iterator[Text]:
    """Yield a line for each scale: its ramp between its ends, and the symbols that it holds for."""
    used = by_scale(drawn)
    left = max(len(short(scale.low)) for scale in used)
    for scale, symbols in used.items():
        share = np.linspace(0.0, 1.0, LEGEND)[None, :]
        ramp = pen.draw((1 - share) * scale.low + share * scale.high, scale, 1)
        low = page.text(f"{short(scale.low).rjust(left)} ", "note")
        names = ", ".join(page.style.name(each) for each in symbols)
        yield Text.assemble(low, ramp, page.text(f" {short(scale.high)}  {names}", "note"))
    if not all(np.isfinite(each.values).all() for each in drawn):
        mark = pen.draw(np.array([[np.nan]]), drawn[0].scale, 1)
        yield Text.assemble(" " * (left + 1), mark, page.text(" nan or inf", "note"))
