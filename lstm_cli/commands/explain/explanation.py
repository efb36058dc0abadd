"""A step worked out, as Python asks for it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lstm_cli.base.version import __version__
from lstm_cli.cell.notation import UNICODE, Notation, Style
from lstm_cli.commands.explain.page import explain_document
from lstm_cli.commands.explain.worked_json import record_of
from lstm_cli.engine.run import Trace, need_trace
from lstm_cli.show.answer import Answer, one_record
from lstm_cli.show.document import Document, write
from lstm_cli.show.rows import Choice, View, view_from
from lstm_cli.show.worked import check

# Columns of the text.
WIDTH = 100


@dataclass(frozen=True, eq=False)
class Explanation:
    """Steps of a run worked out with their numbers: `str` is the text, a notebook shows Markdown.

    Attributes:
        trace: the run.
        view: which layers, steps, units and symbols, and how.
    """

    trace: Trace
    view: View

    def __post_init__(self) -> None:
        check(self.trace, self.view)

    def document(self, style: Style = UNICODE) -> Document:
        """Return it as a document, for what shows that style."""
        return explain_document(self.trace, self.view, style=style)

    @property
    def answer(self) -> Answer:
        """It in each form of `explain -f`; plain text is for lines of 80."""
        return Answer(self.document, one_record(self.record))

    def record(self) -> dict[str, Any]:
        """Return the document of `explain --json`: every row with its stages and value."""
        return record_of(self.trace, self.view, __version__)

    def __str__(self) -> str:
        from rich.console import Console

        from lstm_cli.show.draw import draw

        page = io.StringIO()
        draw(Console(file=page, width=WIDTH, color_system=None), self.document)
        return "".join(line.rstrip() + "\n" for line in page.getvalue().splitlines())

    def _repr_markdown_(self) -> str:
        """Markdown for a notebook."""
        return "".join(write(self.document, "markdown"))


def explain(
    trace: Trace,
    *,
    unit: Choice = None,
    at: Choice = None,
    only: str | Sequence[str] = (),
    layer: int | None = None,
    direction: str = "",
    notation: Notation = "joined",
    digits: int = 6,
    terms: int = 8,
) -> Explanation:
    """Work steps of a run out: each row with its numbers put in, and what each gate does.

    Args:
        trace: a run of one sample.
        unit: the units, from 0: 2, [0, 3], "0:3", "all"; None is the one with the largest |h|.
        at: the steps, from 1, likewise; None is the one that is computed last.
        only: the symbols to show, () is all; or an address, "layer1.backward.f[3]@7".
        layer: the only layer to show, from 0.
        direction: the only direction to show.
        notation: "joined" or "split".
        digits: decimals.
        terms: how many products of a sum are shown one by one.

    Raises:
        ArgumentError: `trace` is no run; the error says what to call.
        InputError: a run of several samples.
        UsageError: no such layer, direction, unit, step or symbol.
    """
    need_trace(trace, "explain", single=True)
    view = view_from(unit, at, only, layer, direction, notation, digits)
    return Explanation(trace, replace(view, terms=terms))
