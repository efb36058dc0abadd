"""Pictures of a run over time for papers and slides: heat strips or lines, as SVG, PNG or PDF.

Uses matplotlib's object API without pyplot: no window, and no state that outlives a call. The same
run gives the same bytes. Text stays text, and no label is parsed as mathematics.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, UsageError, safe, suggest
from lstm_cli.base.numbers import decimals, fixed, typeset
from lstm_cli.cell.notation import LATEX
from lstm_cli.commands.report.picture_files import Kind, saved
from lstm_cli.commands.report.picture_plan import LETTER, PicturePanel, What, plan_page
from lstm_cli.commands.report.svg import check_width
from lstm_cli.engine.run import Trace
from lstm_cli.show.colours import NOT_FINITE, RAMPS, Scale, ink_on, mix, rgb
from lstm_cli.show.over_time import Course, binned, by_scale, courses, notes, short, ticks
from lstm_cli.show.rows import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS: tuple[Kind, ...] = ("svg", "png", "pdf")
HIGHEST = 200.0  # cm
DPI = 300
SMALL, MEDIUM, LARGE = 6.5, 7.0, 7.5  # points
LONGEST_SYMBOL = 20
# Colours in a strip: few enough for a small file, enough for the steps to be invisible.
LEVELS = 64
# Limit on the columns and rows of a strip, about what print resolves, unless the user chose them.
MOST_COLUMNS, MOST_ROWS = 600, 400
# A strip of few cells is stored enlarged, so that viewers that smooth images do not blur edges.
PIXELS = 8000

# Okabe & Ito, "Color Universal Design" (jfly.uni-koeln.de/color, 2008); black is white on dark.
OKABE_ITO = ("#000000", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
             "#f0e442")  # fmt: skip
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1, 1, 1)))
FEW_LINES = len(OKABE_ITO)
MOST_LINES = FEW_LINES * len(DASHES)


@dataclass(frozen=True)
class _Paper:
    """Colours of everything other than values."""

    back: str
    ink: str
    faint: str
    lines: tuple[str, ...]


_LIGHT = _Paper("#ffffff", "#1a1a1a", "#8c8c8c", OKABE_ITO)
_DARK = _Paper("#16181c", "#ececec", "#8c8c8c", ("#ffffff", *OKABE_ITO[1:]))

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # bundled with matplotlib: the same widths everywhere
    "mathtext.fontset": "dejavusans",
    "text.usetex": False,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "lstm-step",
    "svg.image_inline": True,
    "pdf.fonttype": 42,
    "axes.linewidth": 0.5,
    "axes.unicode_minus": True,
}


def draw_over_time(
    trace: Trace,
    view: View,
    kind: Kind,
    *,
    what: What = "strips",
    symbols: Sequence[str] = (),
    width_cm: float = 8.5,
    dark: bool = False,
) -> bytes:
    """Draw a run over time.

    Args:
        trace: a run of one sequence.
        view: the units and steps to show; out of many units, lines show those that vary most.
        kind: svg, png or pdf.
        what: strips have a row per unit and a column per step; lines have one line per unit.
        symbols: rows of the table, or x, h_prev, c_prev; () means all gates and states.
        width_cm: the width on paper; 8.5 is one of two columns.
        dark: for a dark slide.

    Raises:
        InputError: matplotlib is missing, or the run has batch axes.
        UsageError: no such kind, form, symbol, unit or step; a width or height that fits no page;
            more lines than can be distinguished.
    """
    _check(kind, what, width_cm)
    drawn = courses(trace, view, symbols, most=FEW_LINES if what == "lines" else MOST_ROWS)
    if what == "lines" and max(len(each.units) for each in drawn) > MOST_LINES:
        raise UsageError(
            f"more than {MOST_LINES} lines cannot be distinguished",
            where="--unit",
            hint="choose fewer units, or draw strips",
        )
    from matplotlib import style

    # The user's matplotlibrc must not affect the layout.
    with style.context(["default", SETTINGS]):
        return _drawn(drawn, kind, what, width_cm, _DARK if dark else _LIGHT)


def _check(kind: str, what: str, width_cm: float) -> None:
    """Reject invalid arguments before drawing anything."""
    for name, given, known in (("kind", kind, KINDS), ("form", what, ("strips", "lines"))):
        if given not in known:
            raise UsageError(
                f"unknown picture {name} '{safe(given)}'",
                where="report",
                hint=suggest(given, known),
            )
    check_width(width_cm)
    if find_spec("matplotlib") is None:
        raise InputError(
            "drawing pictures needs matplotlib, which is not installed",
            where=f"a picture as {kind}",
            hint="pip install 'lstm-cli[pictures]'",
        )


# ---- drawing


def _drawn(drawn: Sequence[Course], kind: Kind, what: What, width: float, paper: _Paper) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = 1
    if what == "strips":
        drawn, size = _narrowed(drawn)
    plan = plan_page(drawn, what, width)
    said = textwrap.wrap("; ".join(notes(drawn, size)), int(width / 0.115))
    legend = _legend_height(drawn, what, width)
    high = plan.bottom + legend + 0.3 * len(said) + 0.15
    if high > HIGHEST:
        raise UsageError(
            f"{len(plan.panels)} panels would make a picture {fixed(high / 100, 1)} m high",
            where="report",
            hint="choose fewer symbols, or draw a model of fewer layers",
        )
    figure = Figure(figsize=(width / 2.54, high / 2.54), dpi=DPI, facecolor=paper.back)
    FigureCanvasAgg(figure)  # needed to measure text
    page = _Page(figure, width, high, paper)
    for left, top, text in plan.headings:
        page.write(left, top + 0.3, text, size=LARGE, weight="bold")
    for panel in plan.panels:
        axes = page.axes(panel.left, panel.top, panel.width, panel.height)
        (_strip if what == "strips" else _lines)(page, axes, panel)
        _title(page, panel)
        _steps(page, axes, panel)
    if what == "strips":
        _scales(page, drawn, plan.bottom)
    else:
        _names(page, drawn, plan.bottom)
    for line, text in enumerate(said):
        page.write(0.15, plan.bottom + legend + 0.3 * line + 0.2, text, size=SMALL)
    return saved(figure, kind)


def _narrowed(drawn: Sequence[Course]) -> tuple[list[Course], int]:
    """Reduce courses to at most the columns that a page can show; return the steps per column."""
    made, size = [], 1
    for each in drawn:
        values, size = binned(each.values, MOST_COLUMNS)
        made.append(replace(each, values=values, steps=each.steps[::size]))
    return made, size


@dataclass(frozen=True, eq=False)
class _Page:
    """A figure with coordinates in cm from the top left."""

    figure: Figure
    width: float
    height: float
    paper: _Paper

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes in a box, with nothing but a thin frame."""
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width,
               height / self.height)  # fmt: skip
        axes = self.figure.add_axes(box, facecolor=self.paper.back)
        axes.tick_params(
            labelsize=SMALL, length=1.5, width=0.5, pad=1.5, colors=self.paper.ink, which="both"
        )
        axes.spines[:].set_visible(False)  # four paths, where one box is enough
        axes.patch.set(edgecolor=self.paper.faint, linewidth=1)
        return axes

    def write(
        self, left: float, base: float, text: str, *, math: bool = False, **how: Any
    ) -> float:
        """Write a text with its baseline `base` below the top; return its width."""
        how = {"size": MEDIUM, "color": self.paper.ink, "va": "baseline", **how}
        place = (left / self.width, 1 - base / self.height)
        shown = text if math else printable(text)
        made = self.figure.text(*place, shown, parse_math=math, **how)
        return float(made.get_window_extent().width / self.figure.dpi * 2.54)

    def write_symbol(self, left: float, base: float, symbol: str, **how: Any) -> float:
        """Write a symbol, as mathematics if possible; return its width."""
        # A user-defined row may have letters that a formula cannot have, or be a line long.
        if symbol.isascii() and len(symbol) <= LONGEST_SYMBOL:
            return self.write(left, base, f"${LATEX.name(symbol)}$", math=True, **how)
        cut = symbol if len(symbol) <= LONGEST_SYMBOL else symbol[: LONGEST_SYMBOL - 1] + "…"
        return self.write(left, base, cut, **how)


def printable(text: str) -> str:
    """Replace each character that the font lacks by U+0000."""
    known = _characters()
    return "".join(c if ord(c) in known else f"U+{ord(c):04X}" for c in safe(text))


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def _title(page: _Page, panel: PicturePanel) -> None:
    """Write the symbol and its label above a panel."""
    base = panel.top - 0.1
    used = page.write_symbol(panel.left, base, panel.course.symbol) + 0.15
    room = int((panel.title - used) / LETTER)
    label = panel.course.label
    if len(label) > room:
        label = label[: max(room - 1, 0)].rstrip() + "…" if room > 6 else ""
    if label:
        page.write(panel.left + used, base, label, color=page.paper.ink)


def _steps(page: _Page, axes: Axes, panel: PicturePanel) -> None:
    """Write input times below the last of the panels stacked vertically."""
    steps = panel.course.steps
    axes.set_xlim(-0.5, len(steps) - 0.5)
    places = ticks(steps, max(2, int(panel.width / 0.9))) if panel.numbered else []
    axes.set_xticks(places, [str(steps[each]) for each in places])
    if panel.numbered:
        page.write(
            panel.left + panel.width / 2,
            panel.top + panel.height + 0.55,
            "step t",
            size=SMALL,
            ha="center",
        )


def _strip(page: _Page, axes: Axes, panel: PicturePanel) -> None:
    """Draw values as colours, with a row per unit and a column per step."""
    course = panel.course
    values, units = course.values.T, course.units
    rows, columns = values.shape
    axes.imshow(
        _enlarged(coloured(values, course.scale)), interpolation="none", aspect="auto",
        extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
    )  # fmt: skip
    places = ticks(units, max(1, int(panel.height / 0.4)))
    axes.set_yticks(places, [str(units[each]) for each in places])
    axes.tick_params(axis="y", left=False)
    if panel.height >= 0.7:
        page.write(
            panel.left - 0.72, panel.top + panel.height / 2, _unit_word(course),
            size=SMALL, rotation=90, va="center", ha="center",
        )  # fmt: skip
    if panel.width / columns >= 0.75 and panel.height / rows >= 0.3:
        for (row, column), value in np.ndenumerate(values):
            axes.text(
                column,
                row,
                typeset(decimals(value, 2)),
                size=SMALL,
                ha="center",
                va="center_baseline",
                color=ink_on(course.scale.colour(float(value))),
            )


def _unit_word(course: Course) -> str:
    return "input" if course.symbol == "x" else "unit"


def coloured(values: Array, scale: Scale) -> Array:
    """Map `values (rows, columns)` to colours `(rows, columns, 3)`, in `LEVELS` steps."""
    ramp = [mix(RAMPS[scale.ramp], float(end)) for end in np.linspace(0.0, 1.0, LEVELS)]
    table = np.array([*ramp, rgb(NOT_FINITE)], dtype=np.uint8)
    finite = np.isfinite(values)
    half = np.where(finite, values, 0.0) / 2  # avoids overflow between extreme ends
    share = (half - scale.low / 2) / (scale.high / 2 - scale.low / 2)
    places = np.where(finite, np.rint(np.clip(share, 0, 1) * (LEVELS - 1)), LEVELS)
    return np.asarray(table[places.astype(int)])


def _enlarged(image: Array) -> Array:
    """Enlarge an image of few pixels by repeating each of them."""
    times = max(1, min(16, int(math.sqrt(PIXELS / (image.shape[0] * image.shape[1])))))
    return np.asarray(image.repeat(times, axis=0).repeat(times, axis=1))


def _lines(page: _Page, axes: Axes, panel: PicturePanel) -> None:
    """Draw one line per unit, with markers if there are few steps."""
    course = panel.course
    axes.patch.set_linewidth(0.5)  # unlike a strip, lines do not cover its inner half
    axes.axhline(0, color=page.paper.faint, linewidth=0.4)
    for place, line in enumerate(course.values.T):
        axes.plot(
            _drawable(line), linewidth=0.9, markersize=2,
            marker="o" if len(line) <= 12 else "", **_line_style(page.paper, place),
        )  # fmt: skip
    low, high = _limits(course)
    axes.set_ylim(low, high)
    axes.set_yticks(_value_ticks(course.scale, low, high))
    axes.yaxis.set_major_formatter(lambda value, _: short(value))


def _line_style(paper: _Paper, place: int) -> dict[str, Any]:
    return {
        "color": paper.lines[place % FEW_LINES],
        "linestyle": DASHES[place // FEW_LINES % len(DASHES)],
    }


def _limits(course: Course) -> tuple[float, float]:
    """Return the limits of an axis: those of the scale, or of the data."""
    if course.scale.ramp == "share":
        return -0.04, 1.04
    finite = _drawable(course.values[np.isfinite(course.values)])
    low, high = float(finite.min(initial=0)), float(finite.max(initial=0))
    edge = 0.06 * (high - low)
    return (low - edge, high + edge) if edge > _NEAREST else (-1.0, 1.0)


def _drawable(values: Array) -> Array:
    """Limit values to a range in which matplotlib's arithmetic does not overflow."""
    return np.clip(np.where(np.isfinite(values), values, np.nan), -_FARTHEST, _FARTHEST)


_FARTHEST, _NEAREST = 1e300, 1e-290


def _value_ticks(scale: Scale, low: float, high: float) -> list[float]:
    if scale.ramp == "share":
        return [0.0, 0.5, 1.0]
    ends = [_neat(low), _neat(high)]
    near = 0.15 * (high - low)  # closer numbers would overlap
    return sorted([0.0, *(each for each in ends if abs(each) > near)])


def _neat(value: float) -> float:
    """Truncate a number to one significant digit."""
    if not value:
        return 0.0
    power = math.floor(math.log10(abs(value)))
    return float(f"{math.trunc(value / 10.0**power)}e{power}")


# ---- the legend, below the panels

BAR_WIDE = 2.5  # including the numbers at its ends
_SIDES: tuple[Literal["left", "center", "right"], ...] = ("left", "center", "right")
BAR_ROW, BAR_HIGH = 1.0, 0.2
NAMES_ROW = 0.42


def _legend_height(drawn: Sequence[Course], what: What, width: float) -> float:
    if what == "strips":
        return BAR_ROW * -(-len(by_scale(drawn)) // _bars_a_row(width))
    return NAMES_ROW * len(_name_rows(drawn, width))


def _bars_a_row(width: float) -> int:
    return min(3, max(1, int(width / BAR_WIDE)))


def _scales(page: _Page, drawn: Sequence[Course], top: float) -> None:
    """Draw a colour bar for each scale, with the symbols that it applies to."""
    used = by_scale(drawn)
    row = min(_bars_a_row(page.width), len(used))
    slot = (page.width - 0.3) / row
    wide = min(slot - 0.5, 4.0)
    for place, (scale, symbols) in enumerate(used.items()):
        left = 0.4 + place % row * slot
        down = top + place // row * BAR_ROW + 0.4
        at = left
        for each in symbols:
            if at + 0.6 > left + slot:
                page.write(at, down - 0.1, "…", size=SMALL)
                break
            at += page.write_symbol(at, down - 0.1, each, size=SMALL) + 0.15
        axes = page.axes(left, down, wide, BAR_HIGH)
        ramp = np.linspace(0.0, 1.0, LEVELS)[None, :]
        axes.imshow(
            coloured((1 - ramp) * scale.low + ramp * scale.high, scale), interpolation="none",
            aspect="auto", extent=(0, 1, 0, 1),
        )  # fmt: skip
        middle = scale.low / 2 + scale.high / 2
        labels = [short(each) for each in (scale.low, middle, scale.high)]
        axes.set_xticks([0, 0.5, 1], labels)
        for label, side in zip(axes.get_xticklabels(), _SIDES, strict=True):
            label.set_horizontalalignment(side)
        axes.set_yticks([])


def _name_rows(drawn: Sequence[Course], width: float) -> list[list[tuple[int, str]]]:
    """Split the indices and names of the lines into rows that fit the width."""
    named: dict[int, dict[str, None]] = {}
    for each in drawn:
        for place, unit in enumerate(each.units):
            named.setdefault(place, {}).setdefault(str(unit))
    # A line of x or of a projected h may be a different unit in the same colour.
    names = [(place, "/".join(list(units)[:3])) for place, units in sorted(named.items())]
    fit = max(1, int((width - 1.2) / (0.75 + 0.13 * max(len(name) for _, name in names))))
    fit = -(-len(names) // -(-len(names) // fit))  # rows of equal length
    return [names[start : start + fit] for start in range(0, len(names), fit)]


def _names(page: _Page, drawn: Sequence[Course], top: float) -> None:
    """Write the legend that identifies the units of the lines."""
    page.write(0.15, top + 0.3, "unit", size=SMALL)
    rows = _name_rows(drawn, page.width)
    slot = (page.width - 1.0) / max(len(row) for row in rows)
    for line, row in enumerate(rows):
        for column, (place, name) in enumerate(row):
            left, down = 0.9 + column * slot, top + 0.3 + line * NAMES_ROW
            axes = page.axes(left, down - 0.2, 0.4, 0.2)
            axes.set_axis_off()
            axes.plot([0, 1], [0, 0], linewidth=1.2, **_line_style(page.paper, place))
            page.write(left + 0.48, down, name, size=SMALL)
