"""What a drawing is made of: boxes, lines and labels, each by the key of its value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lstm_cli.cell.equations import Node

# Units of the drawing: a printed column of 8.5 cm makes 26 of them, a letter, 6.5 points.
COLUMN = 124.0
LEFT, RIGHT = 162.0, 232.0
TOP, LEVEL = 92.0, 84.0
BOX_WIDTH, BOX_HEIGHT, RADIUS = 62.0, 34.0, 17.0
LETTER = 13.0  # the width of one, or so
LOWERED = 0.7 * LETTER  # and in a subscript
LONGEST = 24  # letters of a name; of a longer one the ends

Point = tuple[float, float]


def width_of(name: str) -> float:
    """Return about how wide a name is drawn, what follows its first `_` lowered."""
    stem, _, subscript = name.partition("_")
    return LETTER * len(stem) + LOWERED * len(subscript.strip("{}"))


def shortened(name: str, most: int = LONGEST) -> str:
    """Return a name of about so many letters: of a longer one, the two ends of each part."""
    if len(name) <= most:
        return name
    stem, mark, subscript = name.partition("_")
    if not mark:
        return _ends(name, most)
    stem = _ends(stem, most // 2)
    return f"{stem}_{{{_ends(subscript.strip('{}'), most - len(stem))}}}"


def _ends(text: str, most: int) -> str:
    tail = most // 2
    return text if len(text) <= most else f"{text[: most - tail - 1]}…{text[-tail:]}"


@dataclass(frozen=True)
class Box:
    """An operation: `text` in a frame around its middle; its value goes by `key`.

    `kind` is "layer" (a product with a matrix), "function" or "operator" (a circle).
    """

    key: str
    text: str
    kind: str
    middle: Point
    width: float = BOX_WIDTH


@dataclass(frozen=True)
class Wire:
    """A line that carries the value of `key`, through `points`; `end` is "arrow" or "".

    `kind` is "state", "bus", "gate" or "feed" (what a row reads beside the bus).
    """

    key: str
    points: tuple[Point, ...]
    kind: str = "gate"
    end: str = ""


@dataclass(frozen=True)
class Label:
    """Where the name and the number of `key` stand, side by side with its wire.

    `shown` is its name, or "" for an expression without one; `anchor` is "start", "middle" or
    "end"; `chips` says whether all units are shown beside the chosen one.
    """

    key: str
    shown: str
    place: Point
    anchor: str = "start"
    chips: bool = True


@dataclass(frozen=True)
class Drawing:
    """A circuit: everything that is drawn, and the expression behind each key."""

    width: float
    height: float
    wires: tuple[Wire, ...]
    boxes: tuple[Box, ...]
    labels: tuple[Label, ...]
    joints: tuple[Point, ...]
    frame: tuple[float, float, float, float]  # left, top, width, height of what is inside the cell
    nodes: Mapping[str, Node]
