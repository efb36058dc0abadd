"""Layout of a picture over time: boxes in cm from the top left, without drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lstm_cli.show.over_time import Course

What = Literal["strips", "lines"]

LEFT, RIGHT = 0.95, 0.2  # margins for the unit numbers, and for the last step number
TITLE, STEPS, BETWEEN, HEADING = 0.42, 0.62, 0.14, 0.5
CELL_WIDE, CELL_HIGH = 0.9, 0.36  # the largest cell of a strip
PAGE_HIGH, LEAST_HIGH, MOST_HIGH, LINES_HIGH = 20.0, 0.7, 2.6, 1.5
LETTER = 0.125  # approximate width of a letter in a title


@dataclass(frozen=True, eq=False)
class PicturePanel:
    """A course, the box of its values, and the maximum width of its title."""

    course: Course
    left: float
    top: float
    width: float
    height: float
    title: float
    numbered: bool  # whether t is written below it


@dataclass(frozen=True, eq=False)
class PicturePlan:
    """Positions of the panels and headings, and where the panels end."""

    panels: tuple[PicturePanel, ...]
    headings: tuple[tuple[float, float, str], ...]
    bottom: float


def plan_page(drawn: Sequence[Course], what: What, width: float) -> PicturePlan:
    """Stack layers vertically, with directions side by side and as many panels as fit per row."""
    layers: dict[int, dict[str, list[Course]]] = {}
    for each in drawn:
        layers.setdefault(each.layer, {}).setdefault(each.direction, []).append(each)
    several = len({(each.layer, each.direction) for each in drawn}) > 1
    columns = max(len(directions) for directions in layers.values())
    column = width / columns
    across = _across(drawn, what, column)
    rows = sum(
        max(-(-len(own) // across) for own in directions.values()) for directions in layers.values()
    )
    high = min(MOST_HIGH, max(LEAST_HIGH, (PAGE_HIGH - rows * (TITLE + BETWEEN)) / rows))
    panels: list[PicturePanel] = []
    headings: list[tuple[float, float, str]] = []
    top = 0.15
    for layer, directions in layers.items():
        ends = []
        for place, (direction, own) in enumerate(directions.items()):
            down = top
            if several:
                headings.append((place * column + 0.1, down, f"layer {layer} {direction}"))
                down += HEADING
            made = _flow(own, what, place * column, down, column, across, high)
            panels += made
            ends.append(made[-1].top + max(each.height for each in made[-across:]) + STEPS)
        top = max(ends) + (BETWEEN if several else 0)
    return PicturePlan(tuple(panels), tuple(headings), top)


def _across(drawn: Sequence[Course], what: What, column: float) -> int:
    """Number of panels per row: several if a run has few steps."""
    if what == "lines":
        return 1
    wide = LEFT + RIGHT + min(column, CELL_WIDE * len(drawn[0].steps))
    titles = LEFT + 0.6 + LETTER * max(len(each.label) for each in drawn)
    fit = max(1, int(column / max(wide, min(titles, column))))
    alike = max(1, len({each.symbol for each in drawn}))
    return -(-alike // -(-alike // fit))  # rows of equal length


def _flow(
    own: Sequence[Course],
    what: What,
    left: float,
    top: float,
    column: float,
    across: int,
    most_high: float,
) -> list[PicturePanel]:
    """Return the panels of one layer and direction, row by row."""
    panels: list[PicturePanel] = []
    slot = column / across
    room = slot - LEFT - RIGHT
    width = room if what == "lines" else min(room, CELL_WIDE * len(own[0].steps))
    for start in range(0, len(own), across):
        row = own[start : start + across]
        # t is written below if panels are side by side or this is the last one.
        numbered = across > 1 or start + across >= len(own)
        heights = [
            min(LINES_HIGH, most_high) if what == "lines"
            else min(most_high, CELL_HIGH * len(each.units))
            for each in row
        ]  # fmt: skip
        panels += [
            PicturePanel(
                each, left + place * slot + LEFT, top + TITLE, width, height, slot - LEFT, numbered
            )
            for place, (each, height) in enumerate(zip(row, heights, strict=True))
        ]
        top += TITLE + max(heights) + BETWEEN + (STEPS if across > 1 else 0)
    return panels
