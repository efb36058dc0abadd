"""Expected values: someone's numbers, their positions in the run, and the allowed differences.

`agreement` decides what is allowed, from the printed precision of the numbers and from this run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lstm_cli.base.address import Address, choose, parse_address
from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError, UsageError, safe
from lstm_cli.base.numbers import counted
from lstm_cli.cell.notation import suggest_symbol
from lstm_cli.cell.weights import Model
from lstm_cli.engine.agreement import (
    Float32Noise,
    Precision,
    allowed,
    precisions_of,
    room_of,
    rounding_of,
)
from lstm_cli.engine.batched_variants import Target, Targets
from lstm_cli.engine.run import INPUT_SYMBOLS, Trace
from lstm_cli.files.traces import TraceFile

if TYPE_CHECKING:
    from lstm_cli.engine.fixed_settings import FixedFormat, FixedSettings

# The one symbol that is not a row of the cell: all of h, with the directions side by side.
OUTPUT = "output"


@dataclass(frozen=True, eq=False)
class ExpectedVector:
    """Expected values of one symbol in one layer and direction at one time step.

    Attributes:
        run: index of the run, as in `Model.runs`.
        symbol: a row of the cell, or `x`, `h_prev`, `c_prev`.
        t: input time, from 1.
        values: `(n,)`; nan where nothing is expected.
        tolerance: `(n,)`, the largest difference that counts as equal.
        room: the part of the tolerance that allows for arithmetic, `(n,)`; None if a tolerance
            was given.
        units: one unit in the last printed place, `(n,)`; None if a tolerance was given.
    """

    run: int
    symbol: str
    t: int
    values: Array
    tolerance: Array
    room: Array | None = None
    units: Array | None = None

    def ours(self, trace: Trace) -> Array:
        """Return our numbers `(n,)` for the same position."""
        return np.asarray(trace.layers[self.run].values[self.symbol][self.t - 1])

    def off(self, ours: Array) -> Array:
        """Return the differences `(n,)`: 0 where nothing is expected, inf where ours is nan."""
        with np.errstate(all="ignore"):  # a difference that overflows counts as infinite
            off = np.abs(ours - self.values)
        off[np.isnan(off)] = np.inf
        off[(ours == self.values) | np.isnan(self.values)] = 0.0
        return np.asarray(off)

    def excess(self, ours: Array) -> Array:
        """Return the ratios `(n,)` of differences to their tolerances; at most 1 agrees."""
        with np.errstate(over="ignore"):
            return np.asarray(self.off(ours) / self.tolerance)


@dataclass(frozen=True, eq=False)
class Expected:
    """All expected values.

    Attributes:
        vectors: in order of computation: by run, then processing step, then row of the table.
        precision: for each symbol, the precision of its numbers.
    """

    vectors: tuple[ExpectedVector, ...]
    precision: Mapping[str, Precision]

    @property
    def targets(self) -> Targets:
        """The vectors by run and time, as compared with batched variants."""
        grouped: dict[tuple[int, int], list[Target]] = defaultdict(list)
        for vector in self.vectors:
            target = Target(vector.symbol, vector.values, vector.tolerance)
            grouped[vector.run, vector.t].append(target)
        return grouped

    @property
    def symbols(self) -> list[str]:
        """The symbols, without duplicates."""
        return list(dict.fromkeys(vector.symbol for vector in self.vectors))

    @property
    def tolerance(self) -> float:
        """The largest tolerance of any vector."""
        return max(float(np.max(vector.tolerance)) for vector in self.vectors)

    def allowed(self) -> tuple[float, float] | None:
        """Return the largest allowances for printing and for arithmetic over all numbers.

        None if a tolerance was given instead.
        """
        rooms = [each.room for each in self.vectors if each.room is not None]
        if len(rooms) < len(self.vectors):
            return None
        prints = [each.tolerance - room for each, room in zip(self.vectors, rooms, strict=True)]
        return float(np.max(np.concatenate(prints))), float(np.max(np.concatenate(rooms)))

    @property
    def decimals(self) -> int | None:
        """The fewest decimals given; None if significant digits or a type set the precision."""
        counted = [p.decimals for p in self.precision.values() if p.decimals is not None]
        return min(counted, default=None)


def read_expected(
    expected: Mapping[str, Array],
    trace: Trace,
    *,
    atol: float | Mapping[str, float] | None = None,
    decimals: Mapping[str, Array] | None = None,
    place: str = "",
) -> Expected:
    """Read a sample's `expected` as vectors, each with its position and tolerance.

    Args:
        expected: mapping of symbol to `(n,)` at the last step (the final state for `h` and `c`) or
            `(T, n)` at all steps, with the directions of the last layer side by side. `output` is
            h at all steps; an address such as `layer1.backward.f[3]@7` names one layer, direction,
            units or steps. nan means that nothing is expected.
        atol: a tolerance for all symbols or by name, overriding the one derived from the printed
            precision and the arithmetic.
        decimals: mapping of symbol to the decimals of each number as written, if known.

    Raises:
        InputError: there are no numbers, or a symbol is not computed by the cell.
        ShapeError: the numbers do not fit the run.
    """
    precision, vectors = precisions_of(expected, decimals), list[ExpectedVector]()
    arithmetic = Float32Noise(trace)
    for name, values in expected.items():
        there = place_of(name, trace.model, place)
        own = precision[name]
        given = atol[name] if isinstance(atol, Mapping) else atol
        placed = _placed(name, there, values, own.units, trace, place)
        compared, precision[name] = _compared(placed, own, arithmetic, given)
        vectors += compared
    vectors = [vector for vector in vectors if not np.isnan(vector.values).all()]
    if not vectors:
        raise InputError(
            "there are no numbers to compare with", where=place,
            hint='"expected": {"h": […]}, or --expect h=0.1,0.2',
        )  # fmt: skip
    return _expected_of(vectors, precision, trace)


def _compared(
    vectors: Sequence[ExpectedVector],
    precision: Precision,
    arithmetic: Float32Noise,
    atol: float | None,
) -> tuple[list[ExpectedVector], Precision]:
    """Return vectors printed alike with their tolerances, and the precision of the print.

    The tolerance is the one given, or else follows from the printed precision and this run.
    """
    if atol is not None:
        limit = max(atol, np.finfo(float).tiny)  # avoids division by zero when atol is 0
        return [replace(each, tolerance=np.full_like(each.values, limit), units=None)
                for each in vectors], precision  # fmt: skip
    rooms = [
        room_of(each.values, precision.kind, arithmetic.spread(each.run, each.symbol)[each.t - 1])
        for each in vectors
    ]
    ours = np.concatenate([each.ours(arithmetic.trace) for each in vectors])
    theirs = np.concatenate([each.values for each in vectors])
    units = np.concatenate([each.tolerance for each in vectors])
    tolerance, cut = allowed(ours, theirs, units, np.concatenate(rooms))
    limits = np.split(tolerance, np.cumsum([len(room) for room in rooms])[:-1])
    found = [
        replace(each, tolerance=limit, room=room)
        for each, limit, room in zip(vectors, limits, rooms, strict=True)
    ]
    return found, replace(precision, cut=cut)


def _expected_of(
    vectors: Sequence[ExpectedVector], precision: Mapping[str, Precision], trace: Trace
) -> Expected:
    """Order the vectors; a symbol's digits count as truncated only if all others are right."""
    wrong = any((np.abs(each.ours(trace) - each.values) > each.tolerance).any() for each in vectors)
    if wrong and any(each.cut for each in precision.values()):
        vectors = [
            each if each.room is None or each.units is None
            else replace(each, tolerance=rounding_of(each.units) + each.room)
            for each in vectors
        ]  # fmt: skip
        precision = {name: replace(each, cut=False) for name, each in precision.items()}
    return Expected(tuple(in_order(vectors, trace)), precision)


def in_order(vectors: Iterable[ExpectedVector], trace: Trace) -> list[ExpectedVector]:
    """Sort vectors in order of computation."""

    def key(vector: ExpectedVector) -> tuple[int, int, int]:
        layer = trace.layers[vector.run]
        rows = ("x", "h_prev", "c_prev", *layer.cell.symbols)
        return vector.run, layer.order.index(vector.t - 1), rows.index(vector.symbol)

    return sorted(vectors, key=key)


class ExpectedPlace(NamedTuple):
    """Where in a run the numbers under a name belong.

    Attributes:
        symbol: the row or input; h for `output`.
        runs: the layers and directions, by number, side by side.
        units, times: as in an address; "" is all units, and the last step or all steps.
        every: whether one row of numbers a step is expected.
    """

    symbol: str
    runs: list[int]
    units: str = ""
    times: str = ""
    every: bool = False

    def chosen_units(self, count: int, place: str) -> list[int]:
        """The units among `count`; errors as `choose`."""
        return choose(self.units, count, place) if self.units else list(range(count))


def place_of(name: str, model: Model, place: str) -> ExpectedPlace:
    """Read a name such as `h`, `output`, `layer1.backward.f[3]@7` or `layer0_forward_f`.

    Raises:
        InputError: the cell computes nothing by that name, or the model has no such layer.
    """
    for number, (level, direction, weights) in enumerate(model.runs):
        symbol = name.removeprefix(f"layer{level}_{direction}_")
        if symbol != name and symbol in (OUTPUT, *INPUT_SYMBOLS, *weights.cell.symbols):
            every = symbol == OUTPUT
            return ExpectedPlace("h" if every else symbol, [number], every=every)
    try:
        address = parse_address(name, place)
    except UsageError as error:
        raise InputError(error.what, where=error.where, hint=error.hint) from None
    level = model.runs[-1][0] if address.layer is None else address.layer
    runs = [n for n, (own, direction, _) in enumerate(model.runs)
            if own == level and address.direction in ("", direction)]  # fmt: skip
    if not runs:
        raise InputError(
            f"the run has no {safe(Address(address.layer, address.direction))}", where=place,
            hint=f"one of: {', '.join(f'layer{own}.{side}' for own, side, _ in model.runs)}",
        )  # fmt: skip
    known = [*INPUT_SYMBOLS, *model.runs[runs[0]][2].cell.symbols]
    if address.symbol != OUTPUT and address.symbol not in known:
        raise InputError(
            f"the cell does not compute '{safe(address.symbol or name)}'", where=place,
            hint=suggest_symbol(address.symbol or name, [OUTPUT, *known]),
        )  # fmt: skip
    symbol = "h" if address.symbol == OUTPUT else address.symbol
    every = address.symbol == OUTPUT and not address.times
    return ExpectedPlace(symbol, runs, address.units, address.times, every)


def _placed(
    name: str, there: ExpectedPlace, values: Array, digits: Array, trace: Trace, place: str
) -> list[ExpectedVector]:
    """Split numbers into one vector per run and step, without tolerances yet.

    Raises:
        InputError: the name chooses units or steps that the run does not have.
        ShapeError: the numbers do not fit what it chooses.
    """
    steps, symbol = trace.steps, there.symbol
    widths = [trace.layers[n].values[symbol].shape[-1] for n in there.runs]
    try:
        units = there.chosen_units(sum(widths), name)
        times = trace.chosen_steps(there.times, name) if there.times else []
    except UsageError as error:
        raise InputError(error.what, where=place, hint=error.hint) from None
    every = there.every or (values.ndim == 2 and not times)
    rows, places = np.atleast_2d(values), np.atleast_2d(digits)
    if every:
        rows, places = trace.of_steps_run(rows), trace.of_steps_run(places)
    count = steps if every else len(times) or 1
    if rows.shape != (count, len(units)):
        wanted = f"({count}, {len(units)})" if every or count > 1 else f"({len(units)},)"
        raise ShapeError(
            f"{safe(name)} has shape {values.shape}, but the run gives {wanted}",
            where=place,
            hint="give (n,) for the last step or (T, n) for all of them",
        )
    whole = np.full((count, sum(widths)), np.nan)
    own_digits = np.full_like(whole, np.max(places))
    whole[:, units], own_digits[:, units] = rows, places
    vectors, start = [], 0
    for number, width in zip(there.runs, widths, strict=True):
        # Without a time: the last step processed for a state, else T.
        last = trace.layers[number].order[-1] + 1 if symbol in ("h", "c") else steps
        own_times = times or (range(1, steps + 1) if every else [last])
        for row, unit, t in zip(whole, own_digits, own_times, strict=True):
            own = slice(start, start + width)
            vectors.append(ExpectedVector(number, symbol, t, row[own], unit[own], units=unit[own]))
        start += width
    return vectors


def expected_of_trace(theirs: TraceFile, trace: Trace, *, atol: float | None = None) -> Expected:
    """Expected values from a whole trace: every value that our run also has.

    Raises:
        InputError: the traces have no value in common.
        ShapeError: a value differs in size from ours.
    """
    every: dict[str, list[Array]] = defaultdict(list)
    found = []
    runs = {(own.layer, str(own.direction)): n for n, own in enumerate(trace.layers)}
    places = {t: place for place, t in enumerate(trace.times, 1)}
    for step in theirs.steps:
        run = runs.get((step.layer, step.direction))
        if run is None or step.t not in places:
            continue
        t = places[step.t]
        for symbol, values in step.values.items():
            if symbol in trace.layers[run].values:
                size = trace.layers[run].values[symbol].shape[-1]
                if values.shape != (size,):
                    raise ShapeError(
                        f"{safe(symbol)} has {counted(len(values), 'number')} at t = {step.t}, "
                        f"ours {size}",
                        where=theirs.place, hint="compare runs of the same sizes",
                    )  # fmt: skip
                every[symbol].append(values)
                found.append(ExpectedVector(run, symbol, t, values, values))
    precision = precisions_of({symbol: np.concatenate(rows) for symbol, rows in every.items()})
    arithmetic, vectors = Float32Noise(trace), list[ExpectedVector]()
    for symbol, own in precision.items():
        rows = [each for each in found if each.symbol == symbol]
        units = np.split(own.units, np.cumsum([len(each.values) for each in rows])[:-1])
        placed = [replace(each, tolerance=u, units=u) for each, u in zip(rows, units, strict=True)]
        compared, precision[symbol] = _compared(placed, own, arithmetic, atol)
        vectors += compared
    if not vectors:
        raise InputError(
            "the traces have no value in common", where=theirs.place,
            hint="each step needs layer, direction, t and symbols such as f, i, g, o, c, h",
        )  # fmt: skip
    return _expected_of(vectors, precision, trace)


# ---- integers of a fixed-point port: exact in its arithmetic, or further off


def read_integers(
    expected: Mapping[str, Array], trace: Trace, settings: FixedSettings, place: str = ""
) -> tuple[Trace, Expected]:
    """Read a port's integers: the run to compare them with, and the expected values.

    The run is in the port's own arithmetic if that gives exactly these integers; otherwise it is
    the float run, with a tolerance of twice the largest error of such arithmetic on this run.

    Args:
        expected: as for `read_expected`, in raw integers.

    Raises:
        InputError: a number is not an integer, or is out of range for its format.
    """
    from lstm_cli.engine.fixed_point import beside, compare_symbols

    formats = {name: _format(name, trace, settings, place) for name in expected}
    reals = {name: _real(values, name, formats[name], place) for name, values in expected.items()}
    fixed = beside(trace, settings)
    half = {name: 0.5 * own.lsb for name, own in formats.items()}
    exact = read_expected(reals, fixed.reals, atol=half, place=place)
    if all((each.excess(each.ours(fixed.reals)) <= 1).all() for each in exact.vectors):
        return fixed.reals, exact
    errors = {report.symbol: report.worst.error for report in compare_symbols(fixed)}
    allowed = {
        name: 2 * errors.get(place_of(name, trace.model, place).symbol, 0.0) + own.lsb
        for name, own in formats.items()
    }
    return trace, read_expected(reals, trace, atol=allowed, place=place)


def _format(name: str, trace: Trace, settings: FixedSettings, place: str) -> FixedFormat:
    there = place_of(name, trace.model, place)
    layer = trace.layers[there.runs[0]]
    return settings.format_of(there.symbol, layer.cell, layer.layer)


def _real(values: Array, name: str, own: FixedFormat, place: str) -> Array:
    given = values[~np.isnan(values)]
    if (given != np.round(given)).any():
        raise InputError(
            f"{safe(name)} has numbers that are not integers", where=place,
            hint="--fixed reads raw integers; leave it out for real numbers",
        )  # fmt: skip
    if given.size and (given.min() < own.low or given.max() > own.high):
        raise InputError(
            f"{safe(name)} has integers outside {own}: {own.low} to {own.high}", where=place,
            hint="is it in another format, or an accumulator before its shift?",
        )  # fmt: skip
    return values * own.lsb
