"""Parts of a drawing: boxes, lines and labels, each with the key of its value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lstm_cli.cell.equations import Node

# In drawing units: in a printed column of 8.5 cm, 26 of them, a letter, are 6.5 points.
COLUMN = 124.0
LEFT, RIGHT = 162.0, 232.0
TOP, LEVEL = 92.0, 84.0
BOX_WIDTH, BOX_HEIGHT, RADIUS = 62.0, 34.0, 17.0
LETTER = 13.0  # approximate width of a letter
LOWERED = 0.7 * LETTER  # of a letter in a subscript
LONGEST = 24  # letters of a name; a longer one is shortened to its ends

Point = tuple[float, float]


def width_of(name: str) -> float:
    """Estimate the drawn width of a name; what follows its first `_` is a subscript."""
    stem, _, subscript = name.partition("_")
    return LETTER * len(stem) + LOWERED * len(subscript.strip("{}"))


def shortened(name: str, most: int = LONGEST) -> str:
    """Shorten a name to about `most` letters by keeping both ends of each part."""
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
    """An operation: `text` in a frame around `middle`; `key` identifies its value.

    `kind` is "layer" (a product with a matrix), "function" or "operator" (a circle).
    """

    key: str
    text: str
    kind: str
    middle: Point
    width: float = BOX_WIDTH


@dataclass(frozen=True)
class Wire:
    """A line through `points` that carries the value of `key`; `end` is "arrow" or "".

    `kind` is "state", "bus", "gate" or "feed" (what a row reads besides the bus).
    """

    key: str
    points: tuple[Point, ...]
    kind: str = "gate"
    end: str = ""


@dataclass(frozen=True)
class Label:
    """The position of the name and number of `key`, beside its wire.

    `shown` is the name, or "" for an unnamed expression; `anchor` is "start", "middle" or "end";
    `chips` says whether all units are shown besides the chosen one.
    """

    key: str
    shown: str
    place: Point
    anchor: str = "start"
    chips: bool = True


@dataclass(frozen=True)
class Drawing:
    """A circuit: all its parts, and the expression behind each key."""

    width: float
    height: float
    wires: tuple[Wire, ...]
    boxes: tuple[Box, ...]
    labels: tuple[Label, ...]
    joints: tuple[Point, ...]
    frame: tuple[float, float, float, float]  # left, top, width, height of the cell's inside
    nodes: Mapping[str, Node]
