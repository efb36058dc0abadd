"""Steps worked out, as the document of `explain --json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lstm_cli.cell.notation import PLAIN, UNICODE
from lstm_cli.engine.run import Trace
from lstm_cli.files.output import json_text, plain_list
from lstm_cli.show.rows import equation_text, metadata
from lstm_cli.show.worked import Ask, StepWork, worked


def to_json(trace: Trace, ask: Ask, version: str) -> Iterator[str]:
    """Yield the document of `explain --json`."""
    document = metadata(trace, ask.notation, "explain", version)
    document["steps"] = [
        record for step in worked(trace, ask, UNICODE) for record in _records(step, trace, ask)
    ]
    yield json_text(document, indent=1) + "\n"


def _records(step: StepWork, trace: Trace, ask: Ask) -> Iterator[dict[str, Any]]:
    written = equation_text(step.trace.cell, PLAIN, ask.notation)
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
