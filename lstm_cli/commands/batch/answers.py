"""The answers of a block: one record a sample, as the line of JSON that is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError
from lstm_cli.cell.weights import Model
from lstm_cli.commands.batch.blocks import SampleBlock
from lstm_cli.commands.batch.checks import check_block
from lstm_cli.commands.batch.texts import as_json, joined_texts, quoted, row_texts
from lstm_cli.engine.choice import choose_engine
from lstm_cli.engine.run import (  # fmt: skip
    LayerTrace,
    Trace,
    assumed_states,
    check_trace_size,
    run,
    trace_bytes,
    work_of,
)
from lstm_cli.files.vectors import repeat_or_cut
from lstm_cli.samples.models import Models
from lstm_cli.samples.settings import SCHEMA, SampleSettings

# As many samples run together as keep their trace in the processor's cache, but enough for arrays
# to pay off, unless these would take too much memory.
CACHED_BYTES, LEAST_TOGETHER, MAX_GROUP_BYTES = 2**21, 64, 2**26
REPEATED = "one vector x: repeated for all steps"
_HEAD = f'{{"schema":{quoted(SCHEMA)},"id":'


@dataclass(frozen=True, eq=False)
class Answered:
    """The answers of a block.

    Attributes:
        lines: one line of JSON a sample, with its end.
        matched: whether each is as expected; none where nothing is compared.
        work: steps × samples × units.
        assumed: what all of them left open.
    """

    lines: Sequence[str]
    matched: Sequence[bool]
    work: int
    assumed: Sequence[str] = ()


def answer_block(block: SampleBlock, models: Models, beside: int = 0) -> Answered | LstmStepError:
    """Answer a block, or return the error that all of its samples meet.

    Args:
        block: the samples.
        models: of the batch.
        beside: the most work of a block before it.
    """
    try:
        model = models.of(block.like)
    except LstmStepError as error:
        return error
    try:
        x = repeat_or_cut(block.x, block.like.steps or models.settings.steps, "")
        check_trace_size(model, x.shape[1:2])
        size = trace_bytes(model, x.shape[1:2])
        # For the whole block: the last samples alone would be too few for a fast engine.
        work = work_of(model, x.shape[:2])
        engine = choose_engine(models.settings.engine, work, models.settings.dtype, beside)
        each = max(1, min(MAX_GROUP_BYTES // size, max(CACHED_BYTES // size, LEAST_TOGETHER)))
        repeated = (REPEATED,) if x.shape[1] > block.x.shape[1] else ()
        assumed = (*model.assumptions, *assumed_states(block.h, block.c), *repeated)
        lines: list[str] = []
        matched: list[bool] = []
        for start in range(0, len(block), each):
            part = block.part(start, start + each)
            own = _answer(part, x[start : start + each], model, models.settings, engine, assumed)
            lines += own[0]
            matched += own[1]
            engine = own[2]  # what "fast" stands for: one engine for the whole block
    except MemoryError:
        return InputError("not enough memory", hint="run fewer steps at a time")
    except LstmStepError as error:  # a sample has arguments, no options
        return type(error)(error.what, hint=error.lines.hint)
    return Answered(lines, matched, work, assumed)


def as_states(states: Array | None) -> Array | None:
    """States `(N, L·D, n)` in the engine's order, `(L·D, N, n)`."""
    return None if states is None else np.moveaxis(states, 0, 1)


def _answer(
    block: SampleBlock,
    x: Array,
    model: Model,
    settings: SampleSettings,
    engine: str,
    assumed: Sequence[str],
) -> tuple[list[str], Sequence[bool], str]:
    """Lines of a block, whether each is as expected, and the engine that ran it."""
    h_prev, c_prev = as_states(block.h), as_states(block.c)
    trace = run(model, x, h_prev, c_prev, dtype=settings.dtype, engine=engine)
    parts: list[str | Sequence[str]] = [
        _HEAD, list(map(quoted, block.ids)),
        f',"ok":true,"engine":{quoted(trace.engine)},"assumptions":{as_json(list(assumed))}',
        ',"h":[', row_texts(trace.h, trace.dtype),
        '],"c":[', row_texts(trace.c, trace.dtype), "]",
    ]  # fmt: skip
    matched: Sequence[bool] = []
    if settings.check:
        checks, matched = check_block(block, trace, settings)
        parts += [',"check":', *checks]
    if settings.trace:
        parts += [',"steps":[', _steps_texts(trace), "]"]
    if any(block.extras):
        parts.append([extra and f",{extra}" for extra in block.extras])
    return joined_texts([*parts, "}\n"], len(block)), matched, trace.engine


def _closed(text: str, extra: str) -> str:
    return f"{text},{extra}}}\n" if extra else f"{text}}}\n"


def failure(name: str, error: LstmStepError, extra: str = "") -> str:
    """The line of a sample that could not be read or run."""
    record = as_json(error.as_record())
    return _closed(f'{_HEAD}{quoted(name)},"ok":false,"error":{record}', extra)


def _steps_texts(trace: Trace) -> Sequence[str]:
    """Each sample's `steps`, without the brackets."""
    count = len(trace.h)
    steps: list[list[str]] = [[] for _ in range(count)]
    for layer in trace.layers:
        for index, own in enumerate(_layer_texts(layer, trace.dtype, count)):
            steps[index] += own
    return [",".join(own) for own in steps]


def _layer_texts(layer: LayerTrace, dtype: Any, count: int) -> list[list[str]]:
    """Each sample's steps of one layer and direction."""
    times = layer.steps
    symbols = [quoted(symbol) for symbol in layer.values]
    rows = [row_texts(v.reshape(-1, v.shape[-1]), dtype) for v in layer.values.values()]
    heads = [
        f'{{"layer":{layer.layer},"direction":{quoted(layer.direction)},"t":{t}'
        for t in range(1, times + 1)
    ]
    lines = []
    for number, values in enumerate(zip(*rows, strict=True)):
        pairs = zip(symbols, values, strict=True)
        members = "".join(f",{symbol}:[{row}]" for symbol, row in pairs)
        lines.append(f"{heads[number % times]}{members}}}")
    return [lines[start : start + times] for start in range(0, count * times, times)]
