"""A circuit as SVG: the drawing from `circuit`, with the numbers of one unit in one step.

Every element is built by an XML library, so no text can become markup. Colours are CSS variables:
a page sets its own, a standalone picture includes `STYLE`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import UsageError, safe
from lstm_cli.base.numbers import decimals
from lstm_cli.cell.equations import evaluate
from lstm_cli.cell.notation import UNICODE
from lstm_cli.engine.run import LayerTrace
from lstm_cli.show.circuit import draw
from lstm_cli.show.circuit_parts import BOX_HEIGHT, RADIUS, Box, Drawing, Label, Wire, width_of
from lstm_cli.show.colours import scale_of
from lstm_cli.show.rows import equation_text

# Up to this many units are shown as coloured squares next to the number of the selected one.
MOST_CHIPS = 16
CHIP = 9.0
NARROWEST, WIDEST = 5.0, 60.0  # cm

LIGHT = {
    "ink": "#1b1b1f", "faint": "#6a6a75", "paper": "#ffffff", "wire": "#4a4a55",
    "state": "#1b1b1f", "layer": "#ffe9a8", "function": "#ffd97a", "operator": "#f7c9d4",
    "edge": "#8a6d1f", "value": "#0b4f9e", "chosen": "#d6336c", "cell": "#eef4ee",
}  # fmt: skip
DARK = {
    "ink": "#f2f2f5", "faint": "#a5a5b2", "paper": "#17181c", "wire": "#a9a9b8",
    "state": "#f2f2f5", "layer": "#5c4a12", "function": "#7a5f10", "operator": "#7c3548",
    "edge": "#d9b84a", "value": "#8ec5ff", "chosen": "#ff7aa8", "cell": "#20261f",
}  # fmt: skip

RULES = """
.circuit { font-family: "Helvetica Neue", Arial, "Liberation Sans", "DejaVu Sans", sans-serif; }
.circuit text { fill: var(--ink); font-size: var(--letters, 26px); }
.circuit .name { font-style: italic; }
.circuit .sub { font-size: 0.7em; }
.circuit .number { fill: var(--value); font-variant-numeric: tabular-nums; }
.circuit .face { text-anchor: middle; }
.circuit .wire { fill: none; stroke: var(--wire); stroke-width: 2.2; stroke-linejoin: round; }
.circuit .state { stroke: var(--state); stroke-width: 3.6; }
.circuit .bus { stroke-width: 3; }
.circuit .feed { stroke-dasharray: 5 4; stroke-width: 1.8; }
.circuit .head, .circuit .joint { fill: var(--wire); stroke: none; }
.circuit .head.state, .circuit .joint.state { fill: var(--state); }
.circuit .box { stroke: var(--edge); stroke-width: 1.4; fill: var(--function); }
.circuit .box.layer { fill: var(--layer); stroke-dasharray: none; }
.circuit .box.operator { fill: var(--operator); }
.circuit .chip { stroke: var(--faint); stroke-width: 0.6; }
.circuit .chip.chosen { stroke: var(--chosen); stroke-width: 2.4; }
.circuit .note { fill: var(--faint); font-size: calc(0.8 * var(--letters, 26px)); }
.circuit .back { fill: var(--paper); }
.circuit .frame { fill: var(--cell); stroke: var(--faint); stroke-width: 1; }
"""


@dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers in a circuit: `(n,)` by key for one step, the selected unit, and the format."""

    values: Mapping[str, Array]
    unit: int
    text: Callable[[float], str]
    note: str = ""

    def shown(self, key: str) -> str:
        """Return the number of the unit under a key."""
        values = self.values[key]
        if key == "x":  # an input belongs to no unit: show a short one in full
            texts = [self.text(float(each)) for each in values[:4]]
            return ", ".join(texts) if len(values) <= 3 else f"{len(values)} numbers"
        # A projected h has fewer units than c.
        return self.text(float(values[self.unit])) if self.unit < len(values) else "–"


def picture_of_step(
    each: LayerTrace,
    t: int,
    unit: int,
    *,
    note: str = "",
    digits: int = 3,
    theme: str = "light",
    width_cm: float = 8.5,
) -> str:
    """Draw the circuit of one step with the numbers of one unit, as a standalone SVG file.

    Args:
        each: one layer of a run in one direction, unbatched.
        t: the step, in input time from 1.
        unit: from 0.
        note: a line below the circuit.
        digits: decimals.
        theme: "light", "dark", or "auto", which follows the reader's system.
        width_cm: width on paper.

    Raises:
        UsageError: a width that fits no page.
    """
    check_width(width_cm)
    drawing, known = draw(each.cell), {**each.weights.arrays, **each.at(t)}
    # A plain number in the table applies to every unit.
    units = each.values["c"].shape[-1]
    found = {key: np.asarray(evaluate(node, known)) for key, node in drawing.nodes.items()}
    values = {key: value if value.ndim else np.full(units, value) for key, value in found.items()}
    written = equation_text(each.cell, UNICODE, "joined").items()
    titles = {symbol: " = ".join(sides) for symbol, sides in written}
    numbers = Numbers(values, unit, lambda value: decimals(value, digits), note)
    return circuit_svg(drawing, numbers, theme=theme, width_cm=width_cm, titles=titles)


def check_width(width_cm: float) -> None:
    """Check that a width fits a page.

    Raises:
        UsageError: it does not.
    """
    if not NARROWEST <= width_cm <= WIDEST:
        raise UsageError(
            f"a picture cannot be {width_cm:g} cm wide", where="--width",
            hint=f"{NARROWEST:g} to {WIDEST:g} cm; one column of a paper is 8.5",
        )  # fmt: skip


def variables(theme: str) -> str:
    """Return the CSS of the colours.

    Args:
        theme: "light", "dark", "auto", which follows the reader's system, or "page", whose reader
            can switch it by `data-theme` on the root.
    """
    light, dark = (
        " ".join(f"--{name}: {colour};" for name, colour in colours.items())
        for colours in (LIGHT, DARK)
    )
    if theme == "auto":
        return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    if theme != "page":
        return f":root {{ {dark if theme == 'dark' else light} }}"
    # Always light when printed.
    return (
        f":root {{ {light} }}\n"
        "@media screen and (prefers-color-scheme: dark) "
        f"{{ :root:not([data-theme=light]) {{ {dark} }} }}\n"
        f"@media screen {{ :root[data-theme=dark] {{ {dark} }} }}\n"
    )


def circuit_svg(
    drawing: Drawing,
    numbers: Numbers | None = None,
    *,
    theme: str = "",
    width_cm: float = 0.0,
    titles: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> str:
    """Render a circuit as SVG.

    Args:
        drawing: the circuit.
        numbers: the numbers in it; without them placeholders are left for a page to fill.
        theme: "light", "dark" or "auto" for a standalone picture; "" for a page, which has a style.
        width_cm: width on paper; 0 leaves it to the page.
        titles: tooltips by key.
        sizes: number of units by key, if there are no numbers.
    """
    width, height = drawing.width, drawing.height + (38 if numbers and numbers.note else 0)
    root = ElementTree.Element(
        "svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width:g} {height:g}",
                "class": "circuit", "role": "img"},
    )  # fmt: skip
    if width_cm:
        root.set("width", f"{width_cm:g}cm")
        root.set("height", f"{width_cm * height / width:.4g}cm")
    ElementTree.SubElement(root, "title").text = "The cell as a circuit"
    if theme:
        ElementTree.SubElement(root, "style").text = variables(theme) + RULES
        _add(root, "rect", "back", x=0, y=0, width=width, height=height)
    writer = _Writer(root, numbers, titles or {}, sizes or {})
    left, top, wide, high = drawing.frame
    _add(root, "rect", "frame", x=left, y=top, width=wide, height=high, rx=22)
    for wire in drawing.wires:
        writer.wire(wire)
    for x, y in drawing.joints:
        _add(root, "circle", "joint", cx=x, cy=y, r=4.2)
    for box in drawing.boxes:
        writer.box(box)
    for label in drawing.labels:
        writer.label(label)
    if numbers and numbers.note:
        _add(root, "text", "note", x=14, y=height - 14).text = safe(numbers.note)
    return ElementTree.tostring(root, encoding="unicode")


def _add(
    parent: ElementTree.Element, tag: str, kind: str, **attributes: float | str
) -> ElementTree.Element:
    texts = {
        name.replace("_", "-"): f"{value:g}" if isinstance(value, float | int) else value
        for name, value in attributes.items()
    }
    return ElementTree.SubElement(parent, tag, {"class": kind, **texts})


@dataclass(frozen=True, eq=False)
class _Writer:
    root: ElementTree.Element
    numbers: Numbers | None
    titles: Mapping[str, str]
    sizes: Mapping[str, int]

    def _part(self, key: str, kind: str) -> ElementTree.Element:
        """Add a group for the elements of a key, with its tooltip."""
        group = _add(self.root, "g", f"part {kind}", data_key=key)
        if title := self.titles.get(key):
            ElementTree.SubElement(group, "title").text = safe(title)
        return group

    def wire(self, wire: Wire) -> None:
        group = self._part(wire.key, "line")
        points = " ".join(f"{x:g},{y:g}" for x, y in wire.points)
        # A wider, invisible line is the target of the pointer.
        _add(group, "polyline", f"wire {wire.kind}", points=points)
        if wire.end:
            _add(group, "polygon", f"head {wire.kind}", points=_arrow(*wire.points[-2:]))

    def box(self, box: Box) -> None:
        group = self._part(box.key, "operation")
        x, y = box.middle
        if box.kind == "operator":
            _add(group, "circle", "box operator", cx=x, cy=y, r=RADIUS)
        else:
            _add(group, "rect", f"box {box.kind}", x=x - box.width / 2, y=y - BOX_HEIGHT / 2,
                 width=box.width, height=BOX_HEIGHT, rx=6)  # fmt: skip
        face = _add(group, "text", "face", x=x, y=y + 8)
        _named(face, box.text)
        if width_of(box.text) > box.width:  # a long name is condensed
            face.set("textLength", f"{box.width - 10:g}")
            face.set("lengthAdjust", "spacingAndGlyphs")

    def label(self, label: Label) -> None:
        group = self._part(label.key, "label")
        x, y = label.place
        if label.shown:
            text = _add(group, "text", "name", x=x, y=y - 11, text_anchor=label.anchor)
            _named(text, label.shown)
        number = _add(group, "text", "number", x=x, y=y + 19, text_anchor=label.anchor,
                      data_number=label.key)  # fmt: skip
        values = None
        if self.numbers:
            values, number.text = self.numbers.values[label.key], self.numbers.shown(label.key)
        count = self.sizes.get(label.key, 0) if values is None else len(values)
        if label.chips and 1 < count <= MOST_CHIPS:
            self._chips(group, label, count, values)

    def _chips(
        self, group: ElementTree.Element, label: Label, count: int, values: Array | None
    ) -> None:
        x, y = label.place
        left = x - count * CHIP if label.anchor == "end" else x
        scale = None if values is None else scale_of(values, label.key)
        chosen = self.numbers.unit if self.numbers and label.key != "x" else -1
        for unit in range(count):
            fill = "none" if scale is None or values is None else scale.colour(float(values[unit]))
            _add(group, "rect", "chip chosen" if unit == chosen else "chip",
                 x=left + unit * CHIP, y=y + 25, width=CHIP - 2, height=CHIP - 2, fill=fill,
                 data_unit=str(unit))  # fmt: skip


def _arrow(before: tuple[float, float], end: tuple[float, float]) -> str:
    """Return the points of an arrowhead at the end of an axis-parallel line."""
    (x0, y0), (x, y) = before, end
    dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
    size, half = 13.0, 6.5
    tip = (x + dx * 2, y + dy * 2)
    base = (tip[0] - dx * size, tip[1] - dy * size)
    corners = [tip, (base[0] - dy * half, base[1] + dx * half),
               (base[0] + dy * half, base[1] - dx * half)]  # fmt: skip
    return " ".join(f"{a:g},{b:g}" for a, b in corners)


def _named(text: ElementTree.Element, shown: str) -> None:
    """Write a name with subscripts: `C_{t−1}`, `W_f`."""
    for place, part in enumerate(re.split(r"_(\{[^}]*\}|\w+)", shown)):
        if place % 2:
            span = ElementTree.SubElement(text, "tspan", {"class": "sub", "dy": "5"})
            span.text = safe(part.strip("{}"))
        elif part and place:  # back up from the subscript
            ElementTree.SubElement(text, "tspan", {"dy": "-5"}).text = safe(part)
        elif part:
            text.text = safe(part)
