"""Samples evaluated one after the other, as Python asks for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

from lstm_cli.base.errors import record_in_arguments
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.weights import Model
from lstm_cli.commands.batch.work import Work
from lstm_cli.samples import CHUNK, Objects, Origin, Read
from lstm_cli.samples.given import GivenSamples, samples_of, settings_of
from lstm_cli.samples.settings import SampleSettings


def batch(
    samples: GivenSamples,
    *,
    weights: Model | str | PathLike[str] | None = None,
    cell: Cell | None = None,
    convention: str = "",
    steps: int = 0,
    dtype: str = "float64",
    engine: str = "auto",
    atol: float | None = None,
    trace: bool = False,
    check: bool = True,
) -> Iterator[dict[str, Any]]:
    """Evaluate samples, and yield one record each, in their order; none is ever dropped.

    A record is `{"schema", "id", "ok": true, "engine", "assumptions", "h", "c", "check"}`, with
    `steps` where traces are asked for, or `{"schema", "id", "ok": false, "error"}` with an error of
    `{"code", "message", "where", "try"}`; then the sample's own members.

    Args:
        samples: files, folders or globs; dicts `{"x": (T, I), "h": (L·D, P), "c": (L·D, H), …}` of
            lists or of any library's arrays; or several of these.
        weights: of samples that name none: a model or a file; None is the preset identity.
        cell: of samples that name none; None lets the weights decide.
        convention: of samples that name none; "" lets the weights decide.
        steps: how many steps to run; 0 for all of x.
        dtype: "float64" or "float32".
        engine: as `run`.
        atol: a tolerance in place of the samples' own.
        trace: whether records carry every step.
        check: whether expected numbers are compared.

    Raises:
        ArgumentError: what is no sample.
        LstmStepError: `weights` cannot be read. What is wrong with a sample is in its record.
    """
    settings = settings_of(
        weights, cell, convention, steps=steps, dtype=dtype, engine=engine, atol=atol, trace=trace,
        check=check,
    )  # fmt: skip
    return map(record_in_arguments, evaluate_samples(samples_of(samples), settings))


def evaluate_samples(samples: Iterable[Read], settings: SampleSettings) -> Iterator[dict[str, Any]]:
    """Yield the records of samples as the command line has them."""
    work, source = Work(settings), iter(samples)
    while reads := list(islice(source, CHUNK)):
        chunk = Objects(Origin("", "", Path()), [0] * len(reads), reads)
        yield from map(json.loads, work(chunk).lines)
