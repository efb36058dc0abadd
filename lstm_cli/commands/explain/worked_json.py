"""Steps worked out, as the document of `explain --json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lstm_cli.cell.notation import PLAIN, UNICODE
from lstm_cli.engine.run import Trace
from lstm_cli.files.output import plain_list
from lstm_cli.show.rows import View, equation_text, metadata
from lstm_cli.show.worked import StepWork, worked


def record_of(trace: Trace, view: View, version: str) -> dict[str, Any]:
    """Return the document of `explain --json`."""
    document = metadata(trace, view.notation, "explain", version)
    document["steps"] = [
        record for step in worked(trace, view, UNICODE) for record in _records(step, trace, view)
    ]
    return document


def _records(step: StepWork, trace: Trace, view: View) -> Iterator[dict[str, Any]]:
    written = equation_text(step.trace.cell, PLAIN, view.notation)
    for unit in step.units:
        rows = [
            {
                "symbol": work.symbol,
                "label": step.trace.cell[work.symbol].label,
                "equation": written[work.symbol][1],
                "shown": work.shown,
                "stages": list(work.stages),
                "value": plain_list(np.asarray(work.value), trace.dtype),
            }
            for group in unit.groups
            for work in group.workings
        ]
        yield {
            "layer": step.trace.layer,
            "direction": step.trace.direction,
            "t": step.t,
            "unit": unit.unit,
            "rows": rows,
            "sentences": [
                {"symbol": group.symbol, "text": group.sentence}
                for group in unit.groups
                if group.sentence
            ],
        }
