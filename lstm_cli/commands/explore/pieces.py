"""Pieces of text that the parts of the screen are assembled from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

SELECTED = "▸"


def page(lines: Sequence[Text]) -> Text:
    """Join lines into one text that is never wrapped again."""
    text = Text("\n", no_wrap=True).join(lines)
    text.no_wrap = True
    return text


def padded(text: Text, width: int) -> Text:
    """Pad or truncate a text to exactly so many columns."""
    text.truncate(max(0, width), overflow="ellipsis", pad=True)
    return text


def window(chosen: int, count: int, room: int) -> range:
    """Return which of `count` places are visible: all, or `room` of them around the chosen one."""
    start = max(0, min(chosen - room // 2, count - room))
    return range(start, min(count, start + room))


def wrapped(text: str, width: int) -> Iterator[tuple[bool, str]]:
    """Yield (whether it is the first, line) of a text wrapped at spaces, or within a long word."""
    first, line = True, ""
    for word in text.split(" "):
        if line and cell_len(line) + 1 + cell_len(word) > width:
            yield first, line
            first, line = False, ""
        line = f"{line} {word}" if line else word
        while cell_len(line) > width > 0:
            yield first, line[:width]
            first, line = False, line[width:]
    yield first, line
