"""Serialization of a figure to a small, reproducible file."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lstm_cli.base.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["svg", "png", "pdf"]

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
