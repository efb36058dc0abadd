"""The selected row over time: a line of colours, or of bars, for each unit."""

from __future__ import annotations

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from lstm_cli.cell.notation import UNICODE
from lstm_cli.commands.explore.pieces import SELECTED, padded, page, window
from lstm_cli.commands.explore.scene import Scene
from lstm_cli.show.colours import Scale, scale_of
from lstm_cli.show.draw import BARS
from lstm_cli.show.over_time import binned


@np.errstate(all="ignore")  # inf - inf is nan, and is shown so
def strip(scene: Scene, width: int, height: int) -> Text:
    """Return the selected symbol over all steps: a line per unit, and a mark under the step."""
    cursor = scene.cursor
    values = scene.each.values[cursor.symbol]
    scale = scale_of(values, cursor.symbol)
    units = window(cursor.unit, values.shape[-1], max(1, height - 1))
    lead = cell_len(f"▸ {UNICODE.name(cursor.symbol)}[{units[-1]}] ")
    room = max(1, width - lead - 1)
    means, size = binned(values, room)
    wide = max(1, min(8, room // len(means)))
    lines = []
    for unit in units:
        chosen = unit == cursor.unit
        mark, style = (SELECTED, "bold") if chosen else (" ", "")
        name = f"{mark} {UNICODE.name(cursor.symbol)}[{unit}] "
        line = padded(Text.assemble((name, style)), lead)
        for value in means[:, unit]:
            line.append_text(_heat(scale, float(value), wide, scene))
        lines.append(line)
    here = (cursor.t - 1) // size
    return page([*lines, _under(lead + here * wide, wide, size, cursor.t, width)])


def _heat(scale: Scale, value: float, wide: int, scene: Scene) -> Text:
    """Return a number as a coloured block, or as a bar without colour."""
    if scene.colour:
        return Text(" " * wide, f"on {scale.colour(value)}")
    bar = BARS[round(scale.place(value) * (len(BARS) - 1))] if np.isfinite(value) else "?"
    return Text(bar * wide)


def _under(at: int, wide: int, size: int, t: int, width: int) -> Text:
    """Return the line under the strip: where the step is, and how many steps share a column."""
    said = f"▲ t = {t}"
    if size > 1:
        said += f" · a column is the mean of {size} steps"
    middle = at + (wide - 1) // 2
    if middle + cell_len(said) >= width:  # put the words to the left of the mark
        said = f"{said[2:]} ▲"
        middle -= cell_len(said) - 1
    return Text(" " * max(0, middle) + said, "bold")
