"""Pictures of a run over time for papers and slides: heat strips or lines, as SVG, PNG or PDF.

Uses matplotlib's object API without pyplot: no window, and no state that outlives a call. The same
run gives the same bytes. Text stays text, and no label is parsed as mathematics.
"""

from __future__ import annotations

import base64
import io
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import UsageError, imported, safe
from lstm_cli.base.numbers import decimals, fixed, typeset
from lstm_cli.base.version import __version__
from lstm_cli.cell.notation import LATEX
from lstm_cli.commands.report.svg import check_width
from lstm_cli.engine.run import Trace
from lstm_cli.show.colours import NOT_FINITE, RAMPS, Scale, ink_on, mix, rgb
from lstm_cli.show.over_time import Course, binned, by_scale, courses, notes, short, ticks
from lstm_cli.show.rows import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["svg", "png", "pdf"]
What = Literal["strips", "lines"]

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
    width_cm: float = 8.5,
    dark: bool = False,
) -> bytes:
    """Draw a run over time.

    Args:
        trace: a run of one sequence.
        view: the units, steps and symbols to show; out of many units, lines show those that vary
            most, and without symbols all gates and states are shown.
        kind: svg, png or pdf.
        what: strips have a row per unit and a column per step; lines have one line per unit.
        width_cm: the width on paper; 8.5 is one of two columns.
        dark: for a dark slide.

    Raises:
        InputError: matplotlib is missing, or the run has batch axes.
        UsageError: no such symbol, unit or step; a width or height that fits no page; more lines
            than can be distinguished.
    """
    check_width(width_cm)
    missing = "drawing pictures needs matplotlib, which is not installed"
    style = imported("matplotlib.style", missing, "pictures", f"a picture as {kind}")
    drawn = courses(trace, view, most=FEW_LINES if what == "lines" else MOST_ROWS)
    if what == "lines" and max(len(each.units) for each in drawn) > MOST_LINES:
        raise UsageError(
            f"more than {MOST_LINES} lines cannot be distinguished",
            where="--unit",
            hint="choose fewer units, or draw strips",
        )
    # The user's matplotlibrc must not affect the layout.
    with style.context(["default", SETTINGS]):
        return _drawn(drawn, kind, what, width_cm, _DARK if dark else _LIGHT)


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
        middle, below = panel.left + panel.width / 2, panel.top + panel.height + 0.55
        page.write(middle, below, "step t", size=SMALL, ha="center")


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
        word = "input" if course.symbol == "x" else "unit"
        middle = panel.top + panel.height / 2
        page.write(
            panel.left - 0.72, middle, word, size=SMALL, rotation=90, va="center", ha="center"
        )
    if panel.width / columns >= 0.75 and panel.height / rows >= 0.3:
        for (row, column), value in np.ndenumerate(values):
            ink = ink_on(course.scale.colour(float(value)))
            text = typeset(decimals(value, 2))
            axes.text(column, row, text, size=SMALL, ha="center", va="center_baseline", color=ink)


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


# ---- the layout: boxes in cm from the top left, before anything is drawn

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


# ---- a small, reproducible file

# Neither a date nor a machine name, so that the output is reproducible.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": f"lstm-step {__version__}"},
    "pdf": {"CreationDate": None, "Creator": f"lstm-step {__version__}"},
    "png": {"Software": f"lstm-step {__version__}"},
}


def saved(figure: Figure, kind: Kind) -> bytes:
    """Serialize a figure to the bytes of a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, facecolor=figure.get_facecolor(), metadata=_METADATA[kind])
    made = buffer.getvalue()
    return _lean(made.decode()).encode() if kind == "svg" else made


# Each pattern matches only inside a tag, never in a label: in text `<` is `&lt;`.
_IMAGE = re.compile(r'(<image [^>]*?xlink:href="data:image/png;base64,)\s*([^"]*)')
_NEEDLESS = (
    re.compile(r"(<t(?:ext|span) [^>]*?); font-family: 'DejaVu Sans'"),  # stated once, at the top
    re.compile(r'(<text [^>]*?) transform="rotate\(-0 [^"]*"'),
    re.compile(r'(<g) id="[^"]*"'),
    re.compile(r"(\n) +(?=<)"),
    re.compile(r"(\n)<!--[^<]*-->\n"),
)


def _lean(svg: str) -> str:
    """Halve the size of an SVG: the font is stated once, and strips use a palette."""
    for pattern in _NEEDLESS:
        svg = pattern.sub(r"\1", svg)
    svg = svg.replace("<svg ", '<svg font-family="DejaVu Sans, Verdana, sans-serif" ', 1)
    return _IMAGE.sub(lambda match: match[1] + _with_palette(match[2]), svg)


def _with_palette(text: str) -> str:
    """Convert a base64 PNG with few colours to a palette; return any other unchanged."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))
    palette, places = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    if len(palette) > 256:
        return text
    image = Image.fromarray(places.reshape(pixels.shape[:2]).astype(np.uint8))
    image.putpalette(palette.ravel().tolist())
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
