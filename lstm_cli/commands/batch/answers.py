"""The answers of a block: one record a sample, as the line of JSON that is written.

A record may say how far the numbers that its sample expects are from ours, and where most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, ShapeError, safe
from lstm_cli.cell.weights import Model
from lstm_cli.commands.batch.blocks import SampleBlock
from lstm_cli.commands.batch.texts import (
    as_json,
    column_texts,
    joined_texts,
    number_texts,
    quoted,
    row_texts,
)
from lstm_cli.engine import agreement
from lstm_cli.engine.choice import choose_engine
from lstm_cli.engine.masks import steps_run, unmasked
from lstm_cli.engine.run import (  # fmt: skip
    STATES,
    LayerTrace,
    Trace,
    assumed_states,
    check_trace_size,
    run,
    trace_bytes,
    work_of,
)
from lstm_cli.files.vectors import repeat_or_cut
from lstm_cli.mistakes.places import (
    Values,
    choose_reading,
    place_of,
    readings_of,
    told_of,
    values_of,
)
from lstm_cli.samples.models import Models, assumed_of, check_own
from lstm_cli.samples.settings import SCHEMA, SampleSettings

# As many samples run together as keep their trace in the processor's cache, but enough for arrays
# to pay off, unless these would take too much memory.
CACHED_BYTES, LEAST_TOGETHER, MAX_GROUP_BYTES = 2**21, 64, 2**26
REPEATED = "one vector x: repeated for all steps"
_HEAD = f'{{"schema":{quoted(SCHEMA)},"id":'


@dataclass(frozen=True, eq=False)
class Answered:
    """The answers of a block: a line of JSON a sample, with its end, and what all left open."""

    lines: Sequence[str]
    matched: Sequence[bool]  # none where nothing is compared
    work: int  # steps × samples × units
    assumed: Mapping[str, int] = field(default_factory=dict)  # sentence -> how many samples
    warned: Mapping[str, int] = field(default_factory=dict)


def alike_in_steps(block: SampleBlock, models: Models) -> Iterator[SampleBlock]:
    """Split a block into samples that run the same steps, where their x decides."""
    try:
        model = models.of(block.like)
        value = model.mask.value if not block.like.masks.keys() & {"lengths", "mask"} else None
        if value is not None:
            yield from block.alike(unmasked(block.x, value))
            return
    except LstmStepError:
        pass  # `answer_block` says so
    yield block


def answer_block(block: SampleBlock, models: Models, beside: int = 0) -> Answered | LstmStepError:
    """Answer a block, or return the error that all of its samples meet.

    `beside` is the most work of a block before it.
    """
    try:
        model = models.of(block.like)
        check_own(block.like, model)
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
        # All run the same steps.
        _, told = steps_run(model, x[0], **block.like.masks)
        repeated = (REPEATED,) if x.shape[1] > block.x.shape[1] else ()
        states = assumed_states(block.h, block.c)
        assumed = (
            *model.assumptions,
            *assumed_of(block.like, models.settings),
            *told,
            *states,
            *repeated,
        )
        lines: list[str] = []
        matched: list[bool] = []
        warned = Counter[str]()
        counted = dict.fromkeys(assumed, len(block))
        for start in range(0, len(block), each):
            part = block.part(start, start + each)
            own = _answer(part, x[start : start + each], model, models.settings, engine, assumed)
            lines += own[0]
            matched += own[1]
            warned.update(own[4])
            for sentence in chain.from_iterable(own[3]):
                counted[sentence] = counted.get(sentence, 0) + 1
            engine = own[2]  # what "fast" stands for: one engine for the whole block
    except MemoryError:
        return InputError("not enough memory", hint="run fewer steps at a time")
    except LstmStepError as error:  # a sample has arguments, no options
        return type(error)(error.what, hint=error.lines.hint)
    return Answered(lines, matched, work, counted, warned)


def _answer(
    block: SampleBlock,
    x: Array,
    model: Model,
    settings: SampleSettings,
    engine: str,
    assumed: Sequence[str],
) -> tuple[list[str], Sequence[bool], str, Sequence[Sequence[str]], list[str]]:
    """Lines of a block, whether each is as expected, the engine, how numbers are read, warnings."""
    # States (N, L·D, n) in the engine's order, (L·D, N, n).
    states = (None if each is None else np.moveaxis(each, 0, 1) for each in (block.h, block.c))
    calls = block.like.calls or settings.calls
    trace = run(model, x, *states, dtype=settings.dtype, engine=engine, calls=calls,
                **block.like.masks)  # fmt: skip
    checks, matched, told = (
        check_block(block, trace, settings) if settings.check else ([], [], [()] * len(block))
    )
    parts: list[str | Sequence[str]] = [
        _HEAD, list(map(quoted, block.ids)),
        f',"ok":true,"engine":{quoted(trace.engine)},"assumptions":',
        [as_json([*assumed, *own]) for own in told] if any(told) else as_json(list(assumed)),
        ',"h":[', row_texts(trace.h, trace.dtype),
        '],"c":[', row_texts(trace.c, trace.dtype), "]",
    ]  # fmt: skip
    if trace.warnings:
        parts.append(_warnings_texts(trace, len(block)))
    if settings.check:
        parts += [',"check":', *checks]
    if trace.calls:
        parts += [',"calls":[', _calls_texts(trace), "]"]
    if settings.trace:
        parts += [',"steps":[', _steps_texts(trace), "]"]
    if any(block.extras):
        parts.append([extra and f",{extra}" for extra in block.extras])
    lines = joined_texts([*parts, "}\n"], len(block))
    return lines, matched, trace.engine, told, [each.text for each in trace.warnings]


def _warnings_texts(trace: Trace, count: int) -> list[str]:
    """Each sample's `warnings`, "" where its run stayed in the finite range."""
    texts = [""] * count
    for each in trace.warnings:
        record = {key: value for key, value in each.as_record().items() if key != "sample"}
        texts[each.sample or 0] = f',"warnings":[{as_json(record)}]'
    return texts


def failure(name: str, error: LstmStepError, extra: str = "") -> str:
    """The line of a sample that could not be read or run."""
    record, more = as_json(error.as_record()), f",{extra}" if extra else ""
    return f'{_HEAD}{quoted(name)},"ok":false,"error":{record}{more}}}\n'


def _steps_texts(trace: Trace) -> Sequence[str]:
    """Each sample's `steps`, without the brackets."""
    layers = [_layer_texts(layer, trace.dtype) for layer in trace.layers]
    return list(map(",".join, zip(*layers, strict=True)))


def _calls_texts(trace: Trace) -> Sequence[str]:
    """Each sample's `calls`, without the brackets: the states that each call hands on."""
    parts: list[str | Sequence[str]] = []
    for call, (start, end) in enumerate(trace.layers[0].spans):
        parts.append(f'{"," if call else ""}{{"start":{start},"end":{end},"final":[')
        for place, each in enumerate(trace.layers):
            head = f'{"," if place else ""}{{"layer":{each.layer},"direction":'
            h, c = (row_texts(each.final(state, call), trace.dtype) for state in STATES)
            parts += [f'{head}{quoted(each.direction)},"h":[', h, '],"c":[', c, "]}"]
        parts.append("]}")
    return joined_texts(parts, len(trace.h))


def _layer_texts(layer: LayerTrace, dtype: Any) -> list[str]:
    """Each sample's steps of one layer and direction."""
    times = layer.steps
    symbols = [quoted(symbol) for symbol in layer.values]
    rows = [row_texts(v.reshape(-1, v.shape[-1]), dtype) for v in layer.values.values()]
    heads = [
        f'{{"layer":{layer.layer},"direction":{quoted(layer.direction)},"t":{t}'
        for t in layer.times
    ]
    lines = []
    for number, values in enumerate(zip(*rows, strict=True)):
        pairs = zip(symbols, values, strict=True)
        members = "".join(f",{symbol}:[{row}]" for symbol, row in pairs)
        lines.append(f"{heads[number % times]}{members}}}")
    return [",".join(lines[start : start + times]) for start in range(0, len(lines), times)]


# ---- what samples expect


class _Claim:
    """What samples expect of a symbol, beside what their run gives: `(N, rows, n)` each.

    Args:
        symbol: a name, as `place_of` reads it.
        expected: `(N, …)`, in any shape that `readings_of` recognizes.
        trace: of the samples.

    Raises:
        InputError: a symbol that the cell does not compute.
        ShapeError: expected numbers of another shape than the run's.
    """

    def __init__(self, symbol: str, expected: Array, trace: Trace) -> None:
        self.symbol, shape, count = symbol, expected.shape[1:], len(expected)
        try:
            there = place_of(symbol, trace.model, "")
            over_input = shape[:1] == (trace.layers[0].input_steps,) and not there.times
            if trace.padding != "stop" and there.symbol == "h" and over_input:
                there = there._replace(every=True, padded=True)
            self.readings = readings_of(symbol, there, shape, trace, "")
            flat = expected.reshape(count, -1)
            self.chosen = choose_reading(flat, self.readings, trace)
        except ShapeError as error:
            raise ShapeError(f"expected {error.lines.what}", hint=error.lines.hint) from None
        except InputError as error:
            what = f"expected has '{safe(symbol)}': {error.lines.what}"
            raise InputError(what, hint=error.lines.hint) from None
        first = self.readings[0].place
        rows, self.units = first.times_of(first.runs[0], trace), first.chosen_units(trace)
        self.times = rows if first.padded else [trace.times[row - 1] for row in rows]
        self.got = self._of_each(
            [each.place.taken(trace, values_of(trace)) for each in self.readings]
        )
        self.expected = self._of_each([flat[:, each.order] for each in self.readings])
        told = [told_of(symbol, shape, self.readings, n) for n in range(len(self.readings))]
        self.told = [told[chosen] for chosen in self.chosen] if any(told) else []

    def strayed(self, trace: Trace, spread: Values, samples: Array) -> Array:
        """How far the values of some samples may stray, whose run is `trace`."""
        each = [reading.place.strayed(trace, spread) for reading in self.readings]
        return self._of_each(each, samples)

    def _of_each(self, values: Sequence[Array], samples: Any = slice(None)) -> Array:
        """Of values by reading, `(N, rows, n)` each, take those of each sample's own reading."""
        chosen = self.chosen[samples]
        return values[0] if len(values) == 1 else np.stack(values)[chosen, np.arange(len(chosen))]


# Parts of each sample's `check`, for `joined_texts`, whether each is as expected, and sentences on
# how each one's numbers are read.
Checks = tuple[Sequence[str | Sequence[str]], Sequence[bool], Sequence[Sequence[str]]]


def check_block(block: SampleBlock, trace: Trace, settings: SampleSettings) -> Checks:
    """Compare each sample with what it expects; its `check` is null if that is nothing.

    Numbers are compared to the tolerance given; or else, as `agreement` decides, to what their
    print and the arithmetic of this run allow. That is looked at only where numbers are not equal
    to almost all digits of a double, since it takes its time.

    Raises:
        InputError, ShapeError: as `_Claim`.
    """
    if not block.expected:
        return ["null"], [], [()] * len(block)
    claims = [_Claim(symbol, each, trace) for symbol, each in block.expected.items()]
    ours, theirs = _flat(each.got for each in claims), _flat(each.expected for each in claims)
    atols = block.atols if settings.atol is None else [settings.atol] * len(block)
    given = np.array([np.nan if each is None else each for each in atols], dtype=float)[:, None]
    sizes = np.nan_to_num(np.abs(theirs), nan=0.0, posinf=0.0)
    limits = np.where(np.isnan(given), agreement.LEAST_ROOM * np.maximum(1.0, sizes), given)
    with np.errstate(invalid="ignore"):  # inf - inf is nan, so no match
        off = np.abs(ours - theirs)
    off[~np.isfinite(off)] = np.inf

    @cache
    def precisions(place: int) -> Mapping[str, agreement.Precision]:
        return agreement.precisions_of({each.symbol: each.expected[place] for each in claims})

    for measured in (False, True):
        differs = np.isnan(given[:, 0]) & (_excess(off, limits).max(axis=1) > 1)
        if differs.any():
            apart = np.flatnonzero(differs)
            limits[apart] = _limits(claims, trace, apart, precisions, measured)
    worst = np.argmax(_excess(off, limits), axis=1)
    parts, matched = _written(claims, worst, off, limits, ours, theirs)
    told = [each.told for each in claims if each.told]
    return parts, matched, [*zip(*told, strict=True)] if told else [()] * len(block)


def _flat(parts: Iterable[Array]) -> Array:
    return np.concatenate([each.reshape(len(each), -1) for each in parts], axis=1)


def _excess(off: Array, limits: Array) -> Array:
    """How far numbers are off, in units of what is allowed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = off / limits
    excess[off == 0] = 0.0
    excess[off == np.inf] = np.inf
    return excess


def _limits(
    claims: Sequence[_Claim],
    trace: Trace,
    places: Array,
    precisions: Callable[[int], Mapping[str, agreement.Precision]],
    measured: bool,
) -> Array:
    """Tolerance of each number of some samples, from its printed digits and its arithmetic.

    What the arithmetic of a run strays at least needs no measuring of that run.
    """
    trace = _part(trace, places)
    arithmetic = agreement.Float32Noise(trace)

    def spread(place: int, name: str) -> Array:
        own = arithmetic.spread(place, name) if measured else 0.0
        return np.broadcast_to(own, trace.layers[place].values[name].shape)

    limits = []
    for claim in claims:
        rows, stray_of_each = [], claim.strayed(trace, spread, places)
        for place, stray in zip(places.tolist(), stray_of_each, strict=True):
            own, theirs = precisions(place)[claim.symbol], claim.expected[place]
            room = agreement.room_of(theirs, own.kind, stray)
            rows.append(agreement.allowed(claim.got[place], theirs, own.units, room)[0])
        limits.append(np.stack(rows))
    return _flat(limits)


def _part(trace: Trace, places: Array) -> Trace:
    """The trace of some samples."""
    layers = [
        replace(each, values={name: values[places] for name, values in each.values.items()})
        for each in trace.layers
    ]
    return replace(trace, layers=tuple(layers))


def _written(
    claims: Sequence[_Claim], worst: Array, off: Array, limits: Array, ours: Array, theirs: Array
) -> tuple[list[str | Sequence[str]], Sequence[bool]]:
    """Each sample's `check`, given the place of the number that departs most."""
    every = np.arange(len(worst))
    columns = (each[every, worst] for each in (limits, ours, theirs))
    numbers = number_texts(np.concatenate([off.max(axis=1), *columns]))
    difference, tolerance, got, expected = np.split(np.asarray(numbers, dtype=object), 4)
    places = [(each.symbol, t, unit) for each in claims for t in each.times for unit in each.units]
    symbols, times, units = zip(*map(places.__getitem__, worst.tolist()), strict=True)
    matched = (_excess(off, limits)[every, worst] <= 1).tolist()
    parts: list[str | Sequence[str]] = [
        '{"matched":', column_texts(matched), ',"max_abs_diff":', difference.tolist(),
        ',"tolerance":', tolerance.tolist(), ',"worst":{"symbol":', column_texts(symbols),
        ',"t":', column_texts(times), ',"unit":', column_texts(units),
        ',"got":', got.tolist(), ',"expected":', expected.tolist(), "}}",
    ]  # fmt: skip
    return parts, matched
