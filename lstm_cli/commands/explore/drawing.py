"""How the screen's lines are divided among its parts, and the parts that are a line or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from lstm_cli.base.errors import safe
from lstm_cli.commands.explore.pieces import page, wrapped
from lstm_cli.commands.explore.scene import Scene, advice, origin, rows_of, sentence

# Lines that an equation should have, and the most units that the strip shows.
ROOM_TO_WORK = 6
MOST_IN_STRIP = 6

KEYS = (
    ("↑↓", "row"), ("←→", "unit"), (", .", "step"), ("e", "edit"), ("w", "weights"),
    ("u", "undo"), ("r", "reset"), ("d", "differences"), ("l", "layer"), ("n", "notation"),
    ("space", "play"),
)  # fmt: skip
LAST_KEYS = (("?", "help"), ("q", "quit"))


@dataclass(frozen=True)
class ScreenPlan:
    """How many lines each part of the screen has, and how many are left empty above it."""

    table: int
    strip: int
    words: int
    working: int
    gap: int


def plan(scene: Scene, width: int, height: int) -> ScreenPlan:
    """Divide the lines of a screen among its parts, so that nothing moves when the row changes.

    The table and an equation come first, then space between the parts, then more of the strip.
    """
    rows = 1 + len(rows_of(scene))
    words = 2
    strip = 0 if scene.each.steps == 1 or height < 16 else 2
    spare = height - 2 - rows - strip - words - ROOM_TO_WORK
    gap = 1 if spare >= 4 else 0
    spare -= 4 * gap
    if gap and width < 100 and spare:
        words, spare = words + 1, spare - 1
    if strip:
        units = max(values.shape[-1] for values in scene.each.values.values())
        strip += max(0, min(units, MOST_IN_STRIP, 1 + spare) - 1)
    left = height - 2 - strip - words - (4 if strip else 3) * gap
    table = rows if rows <= left - 4 else left - (ROOM_TO_WORK if height >= 24 else 4)
    table = max(2, table)
    return ScreenPlan(table, strip, words, max(0, left - table), gap)


def head(scene: Scene, width: int) -> Text:
    """Return one line on the run and the step shown."""
    trace, each = scene.session.trace, scene.each
    first = each.weights
    facts = [f"step {scene.cursor.t} of {each.steps}"]
    if len(trace.layers) > 1:
        facts.append(f"layer {each.layer} {each.direction}")
    sizes = f"I {first.input_size}, H {first.hidden_size}"
    if first.output_size != first.hidden_size:
        sizes += f", P {first.output_size}"
    facts += [safe(each.cell.name), sizes]
    if edits := len(scene.session.edits):
        facts.append(f"{edits} edit" + "s" * (edits > 1))
    facts.append(f"weights {safe(trace.model.source)}")
    if trace.dtype.name != "float64":
        facts.append(trace.dtype.name)
    line = Text(" " + " · ".join(facts), style="bold reverse", no_wrap=True)
    line.truncate(width, overflow="ellipsis", pad=True)
    return line


def keys(width: int, pairs: Sequence[tuple[str, str]] = KEYS) -> Text:
    """Return as many keys as fit the width; help and quit are always among them."""
    line = Text(" ", no_wrap=True)
    room = width - 1 - sum(cell_len(f"{key} {word}  ") for key, word in LAST_KEYS)
    fitting = []
    for key, word in pairs:
        room -= cell_len(f"{key} {word}  ")
        if room >= 0:
            fitting.append((key, word))
    for key, word in (*fitting, *LAST_KEYS):
        line.append(key, "bold").append(f" {word}  ", "dim")
    line.truncate(width)
    return line


@np.errstate(all="ignore")  # inf - inf is nan, and is shown so
def words(scene: Scene, width: int, height: int, message: str = "") -> Text:
    """Return the selected number and its origin, then a message or what the row does in words.

    If they do not both fit, the number of a computed row is left to the table and the equation.
    """
    cursor, cell = scene.cursor, scene.each.cell
    said = message or sentence(scene) or advice(scene)
    lines = _lines(said, width, "bold yellow" if message else "")
    where = _lines(origin(scene), width, "bold")
    if len(where) + len(lines) > height:
        computed = cursor.symbol in cell.symbols and not cursor.weights
        lines, where = (lines, []) if message or computed else ([], where)
    return page((where + lines)[:height])


def _lines(text: str, width: int, style: str) -> list[Text]:
    return [Text.assemble((f" {line}", style)) for _, line in wrapped(safe(text), width - 2)]
