"""Saved traces: the output of `run --json` or JSONL, ours or any other of the same form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import parse_json, read_text, to_array


@dataclass(frozen=True, eq=False)
class Step:
    """One element of `steps`: its position, and a mapping of symbol to `(n,)`."""

    layer: int
    direction: str
    t: int
    values: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class TraceFile:
    """A trace read back.

    Attributes:
        steps: in file order.
        source, convention, cell: what the file says about its weights; "" if nothing.
        calls: the lengths of consecutive calls; () is a single one.
    """

    steps: Sequence[Step]
    source: str
    convention: str
    cell: str
    place: str
    calls: tuple[int, ...] = ()

    def over_time(self, layer: int, direction: str, symbol: str) -> Array | None:
        """Return a symbol `(T, n)` by input time, or None if a step lacks it."""
        mine = [s for s in self.steps if (s.layer, s.direction) == (layer, direction)]
        rows = [step.values.get(symbol) for step in sorted(mine, key=lambda step: step.t)]
        known = [row for row in rows if row is not None]
        if len(known) != len(rows) or not rows or len({len(row) for row in known}) > 1:
            return None
        return np.array(known)

    @property
    def runs(self) -> list[tuple[int, str]]:
        """Distinct (layer, direction) pairs, in file order."""
        return list(dict.fromkeys((step.layer, step.direction) for step in self.steps))


def is_trace(document: Any) -> bool:
    """Whether a decoded JSON document is a trace rather than a sample."""
    return isinstance(document, dict) and isinstance(document.get("steps"), list)


def read_document(path: Path) -> Any:
    """Read a JSON document, or the lines of a JSONL file as a list.

    Raises:
        InputError: unreadable, or not JSON.
    """
    text, place = read_text(path), safe(path)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        lines = enumerate(text.splitlines(), 1)
        return [parse_json(line, f"{place}, line {n}") for n, line in lines if line.strip()]
    return parse_json(text, place)


def read_trace(path: Path) -> TraceFile:
    """Read a trace from a file.

    Raises:
        InputError: unreadable, not a trace, or a step without a position or with non-numbers.
    """
    document, place = read_document(path), safe(path)
    if isinstance(document, list):
        document = {"steps": document}
    if not is_trace(document) or not document["steps"]:
        raise InputError(
            "not a trace: there is no list of steps", where=place,
            hint="`lstm-step … --json` writes one; a step is "
            '{"layer": 0, "direction": "forward", "t": 1, "f": […], "h": […]}',
        )  # fmt: skip
    weights = document.get("weights")
    said = weights if isinstance(weights, dict) else {}
    return TraceFile(
        [_step(each, f"{place}, step {n}") for n, each in enumerate(document["steps"], 1)],
        str(said.get("source") or ""),
        str(said.get("convention") or ""),
        str(document.get("cell") or ""),
        place,
        _calls(document.get("calls"), place),
    )


def _calls(given: Any, place: str) -> tuple[int, ...]:
    try:
        return tuple(int(call["end"]) - int(call["start"]) + 1 for call in given or ())
    except (TypeError, KeyError, ValueError):
        hint = '"calls": [{"start": 1, "end": 10}, …]'
        raise InputError("a call has no start or end", where=place, hint=hint) from None


def _step(each: Any, place: str) -> Step:
    if not isinstance(each, dict):
        raise InputError("a step is not an object", where=place, hint='{"t": 1, "h": […]}')
    layer, direction, t = each.get("layer", 0), each.get("direction", "forward"), each.get("t")
    # `type`, as True is an int too.
    if type(layer) is not int or type(t) is not int or direction not in ("forward", "backward"):
        raise InputError(
            "a step has no layer, direction or t", where=place,
            hint='"layer": 0, "direction": "forward", "t": 1',
        )  # fmt: skip
    values = {
        str(name): np.atleast_1d(to_array(value, safe(name), place, max_axes=1))
        for name, value in each.items()
        if isinstance(value, list)
    }
    return Step(layer, str(direction), t, values)
