"""HTML output: text that cannot become markup, and tables that fit into any page.

No scripts, no links, no external resources and no fixed colours: it works in a notebook's light
and dark themes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.foreign import Html, html
from lstm_cli.base.numbers import significant

# Half-transparent grey is visible on both white and black.
_LINE = "1px solid rgba(128, 128, 128, 0.5)"
_NUMBER = "text-align: right; font-variant-numeric: tabular-nums; padding: 1px 8px"
_WORD = "text-align: left; padding: 1px 8px"
_HEAD = f"border-bottom: {_LINE}; font-weight: 600"
_TABLE = "border-collapse: collapse; margin: 4px 0 12px 0; white-space: nowrap"


def element(tag: str, *inner: str, style: str = "") -> Html:
    """Return an element; `tag` and `style` are trusted, `inner` need not be."""
    opening = f'{tag} style="{style}"' if style else tag
    return Html(f"<{opening}>{''.join(map(html, inner))}</{tag}>")


def page(*parts: Html) -> Html:
    """Return the HTML that a notebook shows for one object."""
    return element("div", *parts, style="overflow-x: auto")


def note(text: str) -> Html:
    """Return a line of small print."""
    return element("div", text, style="font-size: 90%; opacity: 0.75")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> Html:
    """Return a table whose first `words` columns are words and the others numbers."""
    styles = [_WORD if place < words else _NUMBER for place in range(len(head))]
    cells = zip(head, styles, strict=True)
    lines = [element("tr", *(element("th", t, style=f"{s}; {_HEAD}") for t, s in cells))]
    for row in rows:
        cells = zip(row, styles, strict=True)
        lines.append(element("tr", *(element("td", text, style=s) for text, s in cells)))
    return element("table", element("tbody", *lines), style=_TABLE)


def values_table(rows: Iterable[tuple[str, str, str, Array]], most: int) -> Html:
    """Return a table of named vectors.

    Args:
        rows: symbol, label, equation, values `(n,)`.
        most: how many units to show; a column says how many more there are.
    """
    given = list(rows)
    widest = max(len(values) for *_, values in given)
    shown = min(widest, most)
    head = ["", "name", "equation", *map(str, range(shown))]
    body = []
    for symbol, label, equation, values in given:
        numbers = [significant(value, 6) for value in values[:shown]]
        body.append([symbol, label, equation, *numbers, *[""] * (shown - len(numbers))])
        if widest > shown:
            body[-1].append(f"+ {len(values) - shown} more" if len(values) > shown else "")
    return table(head + ["…"] * (widest > shown), body, 3)


def range_text(values: Array) -> str:
    """Return the range of an array: "-0.5 … 0.7", or "" if it is empty."""
    if not values.size:
        return ""
    return f"{significant(np.min(values), 6)} … {significant(np.max(values), 6)}"
