"""Vectors as lines of a data format: TSV, a vector a line, and CSV, a number a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

PLACE = ("layer", "direction", "t", "symbol")


class DataLine(NamedTuple):
    """One named vector of a run.

    Attributes:
        layer, direction, t: where it is; `t` is "" for what is summed over time.
        symbol: its name.
        label: ready for a cell of a spreadsheet.
        equation: "" for what is given.
        units: what each number is called in the columns of CSV.
        numbers: as text.
        row: the row of a matrix that it is.
    """

    layer: int
    direction: str
    t: int | str
    symbol: str
    label: str
    equation: str
    units: Sequence[Any]
    numbers: Sequence[str]
    row: int | None = None


def shortest_texts(numbers: Iterable[Any]) -> list[str]:
    """Return what `plain_list` gives as text: the shortest that reads back, NaN and Infinity."""
    return [str(number).removesuffix(".0") for number in numbers]


def plain_head(*numbers: str) -> str:
    """Return the heads of a TSV, those of numbers at its end."""
    return "\t".join((*PLACE, "name", "equation", *numbers)) + "\n"


def plain_line(line: DataLine) -> str:
    """Return a vector as a line of TSV."""
    layer, direction, t, symbol, label, equation, _, numbers, row = line
    if row is not None:
        symbol = f"{symbol}[{row}]"
    return "\t".join((str(layer), direction, str(t), symbol, label, equation, *numbers)) + "\n"


def csv_head(*numbers: str) -> str:
    """Return the heads of a CSV, those of numbers at its end."""
    return ",".join((*PLACE, "unit", *numbers)) + "\n"


def csv_lines(line: DataLine) -> str:
    """Return the numbers of a vector as lines of CSV."""
    layer, direction, t, symbol, _, _, units, numbers, _ = line
    start = f"{layer},{direction},{t},{symbol},"
    pairs = zip(units, numbers, strict=True)
    return "".join([f"{start}{unit},{number}\n" for unit, number in pairs])
