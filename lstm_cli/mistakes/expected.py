"""Expected values: someone's numbers, their positions in the run, and the allowed differences.

`agreement` decides what is allowed, from the printed precision of the numbers and from this run.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError, safe
from lstm_cli.base.numbers import counted
from lstm_cli.engine.agreement import (
    Float32Noise,
    Precision,
    allowed,
    precisions_of,
    room_of,
    rounding_of,
)
from lstm_cli.engine.batched_variants import Other, Target, Targets
from lstm_cli.engine.run import Trace, merged
from lstm_cli.files.traces import TraceFile
from lstm_cli.mistakes.places import (
    CLOSE,
    OUTPUT,
    Reading,
    choose_reading,
    nearest,
    place_of,
    readings_of,
    told_of,
)

if TYPE_CHECKING:
    from lstm_cli.engine.fixed_settings import FixedFormat, FixedSettings


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
        other: the direction that is merged with this one, where the numbers are of both.
    """

    run: int
    symbol: str
    t: int
    values: Array
    tolerance: Array
    room: Array | None = None
    units: Array | None = None
    other: Other | None = None

    @property
    def name(self) -> str:
        """The symbol; `output` of merged directions."""
        return OUTPUT if self.other else self.symbol

    def ours(self, trace: Trace) -> Array:
        """Return our numbers `(n,)` for the same position."""
        own = np.asarray(trace.layers[self.run].values[self.symbol][self.t - 1])
        if self.other is None:
            return own
        merge, run, t = self.other
        beside: Array = trace.layers[run].values[self.symbol][t - 1]
        return merged([own, beside], merge)

    def spread(self, arithmetic: Float32Noise) -> Array:
        """How far arithmetic may stray here, `(n,)`: in a merge as in the sum."""
        own: Array = arithmetic.spread(self.run, self.symbol)[self.t - 1]
        if self.other is None:
            return own
        return np.asarray(own + arithmetic.spread(self.other.run, self.symbol)[self.other.t - 1])

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
        assumptions: sentences on numbers whose name or shape left open what they are.
    """

    vectors: tuple[ExpectedVector, ...]
    precision: Mapping[str, Precision]
    assumptions: tuple[str, ...] = ()

    @property
    def targets(self) -> Targets:
        """The vectors by run and time, as compared with batched variants."""
        grouped: dict[tuple[int, int], list[Target]] = defaultdict(list)
        for vector in self.vectors:
            target = Target(vector.symbol, vector.values, vector.tolerance, vector.other)
            grouped[vector.run, vector.t].append(target)
        return grouped

    @property
    def symbols(self) -> list[str]:
        """The symbols, without duplicates."""
        return list(dict.fromkeys(vector.symbol for vector in self.vectors))

    @property
    def merges(self) -> bool:
        """Whether numbers are of two directions merged."""
        return any(vector.other for vector in self.vectors)

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
    sample: tuple[int, int] | None = None,
) -> Expected:
    """Read a sample's `expected` as vectors, each with its position and tolerance.

    Args:
        expected: mapping of symbol to `(n,)` at the last step (the final state for `h` and `c`) or
            `(T, n)` at all steps, with the directions of the last layer side by side. `output` is
            h at all steps; an address such as `layer1.backward.f[3]@7` names one layer, direction,
            units or steps. nan means that nothing is expected. Numbers under "", and of other
            shapes that can be recognized, are read as `assumptions` says.
        atol: a tolerance for all symbols or by name, overriding the one derived from the printed
            precision and the arithmetic.
        decimals: mapping of symbol to the decimals of each number as written, if known.
        sample: which of how many samples is compared, for numbers of all of them.

    Raises:
        InputError: there are no numbers, or a symbol is not computed by the cell.
        ShapeError: the numbers do not fit the run.
    """
    precisions, vectors = precisions_of(expected, decimals), list[ExpectedVector]()
    named, told = _named(expected, trace)
    precision = dict(zip(named, precisions.values(), strict=True))
    arithmetic = Float32Noise(trace)
    for name, values in named.items():
        there = place_of(name, trace.model, place)
        own = precision[name]
        given = atol[name] if isinstance(atol, Mapping) else atol
        readings = readings_of(name, there, values.shape, trace, place, sample)
        chosen = int(choose_reading(values.ravel(), readings, trace))
        told.append(told_of(name, values.shape, readings, chosen))
        placed = _placed(readings[chosen], values, own.units, trace)
        compared, precision[name] = _compared(placed, own, arithmetic, given)
        vectors += compared
    vectors = [vector for vector in vectors if not np.isnan(vector.values).all()]
    if not vectors:
        raise InputError(
            "there are no numbers to compare with", where=place,
            hint='"expected": {"h": […]}, or --expect h=0.1,0.2',
        )  # fmt: skip
    found = _expected_of(vectors, precision, trace)
    return replace(found, assumptions=tuple(filter(None, told)))


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
    rooms = [room_of(each.values, precision.kind, each.spread(arithmetic)) for each in vectors]
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


def _named(expected: Mapping[str, Array], trace: Trace) -> tuple[dict[str, Array], list[str]]:
    """Name the numbers under "", with a sentence on it.

    They are `output`, or h of the last step, unless it is another row that they agree with.
    """
    if "" not in expected:
        return dict(expected), []
    values, rows = expected[""], trace.last_layer[0].cell.symbols
    usual = OUTPUT if values.ndim > 1 and len(values) > 1 else "h"
    off, plain = dict[str, float](), list[str]()
    for name in (usual, *(row for row in reversed(rows) if row not in (usual, *expected))):
        with contextlib.suppress(ShapeError):
            readings = readings_of(name, place_of(name, trace.model, ""), values.shape, trace, "")
            plain += [] if readings[0].words else [name]
            if name in (usual, "h", "c") or not readings[0].words:
                off[name] = float(nearest(values.ravel(), readings, trace).min())
    near = min(off, key=off.__getitem__, default=usual)
    chosen = near if off.get(near, 0.0) <= CLOSE or usual not in off else usual
    others = ", ".join(name for name in plain if name != chosen)
    told = f"numbers without a name are read as {chosen}"
    told += f"; {others} would fit, too" if others else ""
    return {name or chosen: numbers for name, numbers in expected.items()}, [told]


def _placed(reading: Reading, values: Array, digits: Array, trace: Trace) -> list[ExpectedVector]:
    """Split numbers into one vector per run and step, without tolerances yet."""
    there, order, _ = reading
    rows, places = values.ravel()[order], digits.ravel()[order]
    merges = there.merge != "concat"
    runs = there.runs[:1] if merges else there.runs
    widths = [trace.layers[run].values[there.symbol].shape[-1] for run in runs]
    whole = np.full((len(rows), sum(widths)), np.nan)
    own_digits = np.full_like(whole, np.max(places))
    units = there.chosen_units(trace)
    whole[:, units], own_digits[:, units] = rows, places
    vectors, start = [], 0
    for run, width in zip(runs, widths, strict=True):
        own = slice(start, start + width)
        times, beside = (there.times_of(each, trace) for each in (run, there.runs[-1]))
        for row, unit, t, u in zip(whole, own_digits, times, beside, strict=True):
            other = Other(there.merge, there.runs[-1], u) if merges else None
            vectors.append(ExpectedVector(run, there.symbol, t, row[own], unit[own],
                                          units=unit[own], other=other))  # fmt: skip
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
