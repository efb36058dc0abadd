"""Samples that are at hand already, evaluated as a batch does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lstm_cli.commands.batch.work import Work
from lstm_cli.samples import CHUNK, Read, Sample, Tables
from lstm_cli.samples.settings import SampleSettings


def evaluate_samples(samples: Iterable[Read], settings: SampleSettings) -> Iterator[dict[str, Any]]:
    """Yield one record a sample, in their order.

    A record is `{"schema", "id", "ok": true, "engine", "assumptions", "h", "c", "check"}`, with
    `steps` where traces are asked for, or `{"schema", "id", "ok": false, "error"}` with an error of
    `{"code", "message", "where", "try"}`; then the user's own members.
    """
    work, source = Work(settings), iter(samples)
    while reads := list(islice(source, CHUNK)):
        yield from map(json.loads, work(_Reads(reads)).lines)


@dataclass(frozen=True, eq=False)
class _Reads:
    """Samples that are read already, as a chunk."""

    reads: Sequence[Read]

    def __len__(self) -> int:
        return len(self.reads)

    def place(self, position: int) -> str:
        """Return the sample's own place."""
        one = self.reads[position]
        return one.place if isinstance(one, Sample) else one.error.where

    def name(self, position: int) -> str:
        """Return the sample's id."""
        return self.reads[position].id.text

    def read(self, position: int) -> Read:
        """Return the sample that was read."""
        return self.reads[position]

    def tables(self) -> Tables:
        """Leave every sample to `read`."""
        return Tables(single=list(range(len(self))))

    def take(self, positions: Sequence[int]) -> _Reads:
        """Return some of the samples."""
        return _Reads([self.reads[each] for each in positions])

    def content(self) -> Iterator[bytes]:
        """Yield nothing: these come from no file, and no journal keeps them."""
        return iter(())
