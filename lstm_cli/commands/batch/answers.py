"""The answers of a block: one record a sample, as the line of JSON that is written.

A record may say how far the numbers that its sample expects are from ours, and where most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, ShapeError, UsageError, safe
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
from lstm_cli.engine.agreement import (
    LEAST_ROOM,
    Float32Noise,
    Precision,
    allowed,
    precisions_of,
    room_of,
)
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
from lstm_cli.mistakes.expected import place_of
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


# Parts of each sample's `check`, for `joined_texts`, and whether each is as expected.
Checks = tuple[Sequence[str | Sequence[str]], Sequence[bool]]


def check_block(block: SampleBlock, trace: Trace, settings: SampleSettings) -> Checks:
    """Compare each sample with what it expects; its `check` is null if that is nothing.

    Numbers are compared to the tolerance given; or else, as `agreement` decides, to what their
    print and the arithmetic of this run allow. That is looked at only where numbers are not equal
    to almost all digits of a double, since it takes its time.

    Raises:
        InputError: a symbol that the cell does not compute.
        ShapeError: expected numbers of another shape than the run's.
    """
    if not block.expected:
        return ["null"], []
    given = _given(block, settings)
    expected = {
        symbol: numbers.reshape(_ours(symbol, numbers, trace).shape)
        for symbol, numbers in block.expected.items()
    }
    own = given[:, None, None]
    found = _worst_of(block, expected, trace, {
        symbol: np.where(np.isnan(own), LEAST_ROOM * np.maximum(1.0, np.abs(numbers)), own)
        for symbol, numbers in expected.items()
    })  # fmt: skip
    precisions: dict[int, dict[str, Precision]] = {}
    for measured in (False, True):
        apart = np.flatnonzero(np.isnan(given) & ~(found.excess <= 1))
        if len(apart):
            part, numbers = _part(trace, apart), {k: each[apart] for k, each in expected.items()}
            precisions = {
                place: precisions.get(place)
                or precisions_of({symbol: each[place] for symbol, each in expected.items()})
                for place in apart.tolist()
            }
            limits = _limits(block, numbers, part, list(precisions.values()), measured)
            found.put(apart, _worst_of(block, numbers, part, limits))
    return _written(found, list(block.expected))


def _given(block: SampleBlock, settings: SampleSettings) -> Array:
    """Tolerance given for each sample `(N,)`; nan where there is none."""
    if settings.atol is not None:
        return np.full(len(block), settings.atol)
    return np.array([np.nan if each is None else each for each in block.atols], dtype=float)


def _limits(
    block: SampleBlock,
    expected: Mapping[str, Array],
    trace: Trace,
    samples: Sequence[Mapping[str, Precision]],
    measured: bool,
) -> dict[str, Array]:
    """Tolerance of each number, from its printed digits and the arithmetic of its run.

    What the arithmetic of a run strays at least needs no measuring of that run.
    """
    arithmetic, limits = Float32Noise(trace), {}

    def spread(place: int, name: str) -> Array:
        values = trace.layers[place].values[name]
        own = arithmetic.spread(place, name) if measured else np.zeros(1)
        return np.broadcast_to(own, values.shape)

    for symbol, numbers in expected.items():
        strays = _taken(symbol, block.expected[symbol].ndim - 1, trace, spread)
        got, rows = _ours(symbol, block.expected[symbol], trace), []
        for ours, own, stray, precisions in zip(got, numbers, strays, samples, strict=True):
            room = room_of(own, precisions[symbol].kind, stray)
            rows.append(allowed(ours, own, precisions[symbol].units, room)[0])
        limits[symbol] = np.stack(rows)
    return limits


def _worst_of(
    block: SampleBlock, expected: Mapping[str, Array], trace: Trace, limits: Mapping[str, Array]
) -> _Worst:
    """Largest deviation in each sample of a trace, in units of what is allowed."""
    found = _Worst.none_of(len(trace.h))
    for number, (symbol, numbers) in enumerate(expected.items()):
        got = _ours(symbol, block.expected[symbol], trace)
        times, units = _chosen(symbol, block.expected[symbol].ndim - 1, trace)
        found.take(number, got, numbers, limits[symbol], times, units)
    return found


def _written(found: _Worst, symbols: Sequence[str]) -> Checks:
    matched = (found.excess <= 1).tolist()
    numbers = number_texts(
        np.concatenate([found.difference, found.tolerance, found.got, found.expected])
    )
    difference, tolerance, got, expected = np.split(np.asarray(numbers, dtype=object), 4)
    parts: list[str | Sequence[str]] = [
        '{"matched":', column_texts(matched), ',"max_abs_diff":', difference.tolist(),
        ',"tolerance":', tolerance.tolist(),
        ',"worst":{"symbol":', column_texts([symbols[each] for each in found.symbol.tolist()]),
        ',"t":', column_texts(found.t.tolist()), ',"unit":', column_texts(found.unit.tolist()),
        ',"got":', got.tolist(), ',"expected":', expected.tolist(), "}}",
    ]  # fmt: skip
    return parts, matched


@dataclass(eq=False)
class _Worst:
    """Of each sample the number that departs most from what is expected, so far: `(N,)` each.

    `excess` is how far that is over what is allowed, `difference` the largest difference of all.
    """

    excess: Array
    difference: Array
    tolerance: Array
    symbol: Array
    t: Array
    unit: Array
    got: Array
    expected: Array

    @classmethod
    def none_of(cls, count: int) -> _Worst:
        """Start with nothing compared: any number is worse."""
        symbol, t, unit = np.zeros((3, count), int)
        difference, tolerance, got, expected = np.zeros((4, count))
        return cls(np.full(count, -1.0), difference, tolerance, symbol, t, unit, got, expected)

    def take(
        self,
        symbol: int,
        got: Array,
        expected: Array,
        limits: Array,
        times: list[int],
        units: list[int],
    ) -> None:
        """Compare numbers `(N, rows, n)` of these input times and units; [] is all units."""
        ours, theirs = (each.reshape(len(got), -1) for each in (got, expected))
        limit = np.broadcast_to(limits, got.shape).reshape(len(got), -1)
        with np.errstate(invalid="ignore"):  # inf - inf is nan, so no match
            off = np.abs(ours - theirs)
        off[~np.isfinite(off)] = np.inf
        np.maximum(self.difference, off.max(axis=1), out=self.difference)
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = off / limit
        excess[off == 0] = 0.0
        where = np.argmax(excess, axis=1)
        most = excess[np.arange(len(got)), where]
        worse = np.flatnonzero(most > self.excess)
        row, unit = np.divmod(where[worse], got.shape[-1])
        self.excess[worse], self.symbol[worse] = most[worse], symbol
        self.t[worse], self.unit[worse] = (
            np.array(times)[row],
            np.array(units)[unit] if units else unit,
        )
        for kept, values in ((self.got, ours), (self.expected, theirs), (self.tolerance, limit)):
            kept[worse] = values[worse, where[worse]]

    def put(self, places: Array, other: _Worst) -> None:
        """Replace what was found for some samples."""
        for name, values in vars(other).items():
            getattr(self, name)[places] = values


def _part(trace: Trace, places: Array) -> Trace:
    """The trace of some samples."""
    layers = [
        replace(each, values={name: values[places] for name, values in each.values.items()})
        for each in trace.layers
    ]
    return replace(trace, layers=tuple(layers))


def _taken(symbol: str, axes: int, trace: Trace, values: Callable[[int, str], Array]) -> Array:
    """Values `(N, rows, n)` of an expected symbol, directions side by side.

    Args:
        symbol: a row of the cell, `x`, `h_prev`, `c_prev` or `output`; of another layer or one
            direction alone with that before it, as `layer0_forward_f`.
        axes: 2 for all steps; 1 for the last one, which of h and c is the last one taken.
        trace: of the block.
        values: layer and direction by number, symbol -> `(N, T, n)`.
    """
    there = place_of(symbol, trace.model, "")
    times, _ = _chosen(symbol, axes, trace)
    parts = []
    for place in there.runs:
        rows, backward = values(place, there.symbol), trace.layers[place].direction == "backward"
        ends_first = backward and there.symbol in ("h", "c") and not there.times
        last = [1] if ends_first else [trace.steps]
        parts.append(rows[:, [t - 1 for t in (times if axes == 2 or there.times else last)]])
    joined = np.concatenate(parts, axis=-1)
    return joined[..., there.chosen_units(joined.shape[-1], symbol)] if there.units else joined


def _chosen(symbol: str, axes: int, trace: Trace) -> tuple[list[int], list[int]]:
    """The input times and units that an expected symbol speaks of; [] is all units."""
    there = place_of(symbol, trace.model, "")
    widths = [trace.layers[place].values[there.symbol].shape[-1] for place in there.runs]
    every = list(range(1, trace.steps + 1)) if axes == 2 else [trace.steps]
    units = there.chosen_units(sum(widths), symbol) if there.units else []
    return there.chosen_times(trace.steps, symbol) or every, units


def _ours(symbol: str, expected: Array, trace: Trace) -> Array:
    """Our numbers `(N, rows, n)` for what is expected, `(N, n)` or `(N, T, n)`."""
    try:
        place_of(symbol, trace.model, "")
        _chosen(symbol, expected.ndim - 1, trace)
    except (InputError, UsageError) as error:
        what = f"expected has '{safe(symbol)}': {error.lines.what}"
        raise InputError(what, hint=error.lines.hint) from None
    axes = expected.ndim - 1
    got = _taken(symbol, axes, trace, lambda place, name: trace.layers[place].values[name])
    own = got.shape[1:] if axes == 2 else got.shape[2:]
    if own != expected.shape[1:]:
        raise ShapeError(
            f"expected {safe(symbol)} has shape {expected.shape[1:]}, the run gives {own}",
            hint="give (n,) for the last step or (T, n) for all of them",
        )
    return got
