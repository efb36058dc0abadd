"""Samples that are at hand already, evaluated as a batch does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lstm_cli.commands.batch.work import Work
from lstm_cli.samples import CHUNK, Objects, Origin, Read
from lstm_cli.samples.settings import SampleSettings


def evaluate_samples(samples: Iterable[Read], settings: SampleSettings) -> Iterator[dict[str, Any]]:
    """Yield one record a sample, in their order.

    A record is `{"schema", "id", "ok": true, "engine", "assumptions", "h", "c", "check"}`, with
    `steps` where traces are asked for, or `{"schema", "id", "ok": false, "error"}` with an error of
    `{"code", "message", "where", "try"}`; then the user's own members.
    """
    work, source = Work(settings), iter(samples)
    while reads := list(islice(source, CHUNK)):
        chunk = Objects(Origin("", "", Path()), [0] * len(reads), reads)
        yield from map(json.loads, work(chunk).lines)
