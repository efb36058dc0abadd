"""The colours of numbers in every picture: page, circuit, heat strip, terminal.

Two colour ramps that work for all kinds of colour vision and in grey: one for fractions from 0
(dark) to 1 (light), and one for signed numbers, blue below zero and orange above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from lstm_cli.base.arrays import Array

# Cividis (Nuñez, Anderton & Renslow 2018, doi 10.1371/journal.pone.0199239), nine of its colours.
SHARE = ("#00224e", "#1a386f", "#434e6c", "#61656f", "#7d7c78", "#9b9476", "#bcae6c", "#dec958",
         "#fee838")  # fmt: skip
# From ColorBrewer's Blues to Oranges (colorbrewer2.org), both marked as colour-blind safe.
SIGNED = ("#08306b", "#2171b5", "#6baed6", "#c6dbef", "#f7f7f7", "#fdd0a2", "#fd8d3c", "#d94801",
          "#7f2704")  # fmt: skip
RAMPS: dict[str, tuple[str, ...]] = {"share": SHARE, "signed": SIGNED}
NOT_FINITE = "#ff00ff"

Rgb: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Scale:
    """The colour ramp of a symbol's numbers, and the numbers at its two ends."""

    ramp: str
    low: float
    high: float

    def place(self, value: float) -> float:
        """Position of a number on the colour ramp, from 0 to 1, clipped to the ends."""
        # Halved, since the width of a scale may exceed the largest float.
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return min(1.0, max(0.0, share))

    def colour(self, value: float) -> str:
        """Return a number's colour as `#rrggbb`."""
        if not np.isfinite(value):
            return NOT_FINITE
        return "#{:02x}{:02x}{:02x}".format(*mix(RAMPS[self.ramp], self.place(value)))


def mix(ramp: Sequence[str], place: float) -> Rgb:
    """Interpolate a ramp at a position from 0 to 1."""
    at = place * (len(ramp) - 1)
    left = min(int(at), len(ramp) - 2)
    one, other = rgb(ramp[left]), rgb(ramp[left + 1])
    red, green, blue = (round(a + (b - a) * (at - left)) for a, b in zip(one, other, strict=True))
    return red, green, blue


def rgb(colour: str) -> Rgb:
    """Return the three components of `#rrggbb`."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


# Signed by nature, even if a run happens to have no negative values.
_SIGNED = ("x", "h_prev", "c_prev", "g", "c", "h")


def scale_of(values: Array, symbol: str = "") -> Scale:
    """Return the scale of a symbol's numbers: 0 … 1 for fractions, -1 … 1 for signed numbers.

    Gates thus have the same colours in every run; if numbers go beyond, the largest sets the ends.
    """
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    signed = symbol in _SIGNED or symbol.startswith("z_")
    if low >= 0 and high <= 1 and not signed:
        return Scale("share", 0.0, 1.0)
    end = max(1.0, abs(low), abs(high))
    return Scale("signed", -end, end)


def ink_on(colour: str) -> str:
    """Return black or white, whichever is more legible on a colour (WCAG 2.1 luminance)."""
    linear = [
        c / 12.92 if (c := part / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for part in rgb(colour)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"
