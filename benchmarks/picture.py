"""How time grows, as a picture for the README: seconds a step against T, N and H, log axes.

Drawn from the stored record, so that it can be drawn again without measuring: the same record
gives the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import ROOT, Record
from benchmarks.peers import NEEDED, OURS
from benchmarks.tables import peers_in, step_of
from lstm_cli.commands.report.pictures import LARGE, MEDIUM, OKABE_ITO, SETTINGS, SMALL, saved

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = ROOT / "docs" / "pictures" / "growth.svg"
WIDTH, HEIGHT = 17.0, 7.4  # cm, of which the panels fill this share
BOX = {"left": 0.105, "right": 0.985, "top": 0.9, "bottom": 0.24, "wspace": 0.12}
# axis -> where it stands in a row's sizes, what it is called
AXES = {"T": (0, "steps T"), "N": (1, "samples N"), "H": (3, "units H")}
COLOURS = dict(zip((*OURS, *NEEDED), (OKABE_ITO[at] for at in (6, 1, 0, 2, 5, 4)), strict=True))
INK, FAINT = "#1a1a1a", "#d9d9d9"


def draw(record: Record) -> bytes:
    """Return the picture as SVG."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH / 2.54, HEIGHT / 2.54), facecolor="white")
        figure.subplots_adjust(**BOX)
        panels = figure.subplots(1, len(AXES), sharey=True)
        for panel, (axis, rows) in zip(panels, record["axes"].items(), strict=True):
            draw_panel(panel, axis, rows)
        panels[0].set_ylabel("µs a step", size=MEDIUM, color=INK)
        lines, names = panels[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="lower center", ncols=len(names), fontsize=SMALL,
                      frameon=False, labelcolor=INK, handlelength=2.4)  # fmt: skip
        return saved(figure, "svg")


def draw_panel(panel: Axes, axis: str, rows: Sequence[Record]) -> None:
    """Draw everybody's line against one size; ours are whole, the peers' broken."""
    place, words = AXES[axis]
    sizes = [row["sizes"][place] for row in rows]
    ours = [name for name in OURS if name in rows[0]["seconds a step"]]
    for name in (*ours, *peers_in(rows)):
        own = name in ours
        label = f"engine {name}" if own else name
        panel.plot(sizes, [1e6 * step_of(row, name) for row in rows], label=label, marker="o",
                   markersize=2.4, linewidth=1.4 if own else 0.9, color=COLOURS[name],
                   linestyle="-" if own else (0, (4, 1.5)))  # fmt: skip
    panel.set(xscale="log", yscale="log")
    panel.set_xticks(sizes, [f"{each:,}" for each in sizes])
    panel.minorticks_off()
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    panel.set_xlabel(words, size=MEDIUM, color=INK)
    panel.set_title(others(axis, rows[0]), size=LARGE, loc="left", color=INK)
    panel.tick_params(labelsize=SMALL, length=2, width=0.5, colors=INK)
    panel.grid(color=FAINT, linewidth=0.4)
    panel.spines[["top", "right"]].set_visible(False)


def others(axis: str, row: Record) -> str:
    """Return the sizes that a panel keeps; there are as many inputs as units."""
    kept = [f"{name} = {size}" for name, size in zip("TN", row["sizes"], strict=False)
            if name != axis]  # fmt: skip
    return ", ".join([*kept, "I = H" if axis == "H" else f"I = H = {row['sizes'][3]}"])


def write(record: Record, path: Path = PICTURE) -> None:
    """Draw the picture to its file."""
    path.write_bytes(draw(record))
