"""Where in a run someone's numbers belong: by their name, and by a shape that is not the run's."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lstm_cli.base.address import Address, choose, parse_address
from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError, UsageError, safe
from lstm_cli.cell.notation import suggest_symbol
from lstm_cli.cell.weights import Merge, Model
from lstm_cli.engine.run import INPUT_SYMBOLS, Trace, merged

# The one symbol that is not a row of the cell: all of h, with the directions merged.
OUTPUT = "output"
_MERGES: tuple[Merge, ...] = ("sum", "mul", "ave")
# A largest difference at which numbers agree well enough to tell what they are.
CLOSE = 1e-4
# Values of a layer and direction by name: those of a trace, or how far each may stray.
Values = Callable[[int, str], Array]


class ExpectedPlace(NamedTuple):
    """Where in a run the numbers under a name belong.

    Attributes:
        symbol: the row or input; h for `output`.
        runs: the layers and directions, by number, side by side.
        units, times: as in an address; "" is all units, and the last step or all steps.
        every: whether one row of numbers a step is expected.
        merge: how the directions make the numbers.
        padded: whether they are over all steps of the input, padded where one is not run.
    """

    symbol: str
    runs: tuple[int, ...]
    units: str = ""
    times: str = ""
    every: bool = False
    merge: Merge = "concat"
    padded: bool = False

    def chosen_units(self, trace: Trace) -> list[int]:
        """The units, out of those of all its runs; errors as `choose`."""
        widths = [trace.layers[n].values[self.symbol].shape[-1] for n in self.runs]
        count = sum(widths) if self.merge == "concat" else widths[0]
        return choose(self.units, count, "units") if self.units else list(range(count))

    def times_of(self, run: int, trace: Trace) -> list[int]:
        """The steps run, from 1, in one of its runs: of a state alone, the last one processed."""
        if self.times:
            return trace.chosen_steps(self.times, "steps")
        layer = trace.layers[run]
        if self.every:
            return list(range(1, (layer.input_steps if self.padded else trace.steps) + 1))
        return [layer.order[-1] + 1 if self.symbol in ("h", "c") else trace.steps]

    def shape(self, trace: Trace) -> tuple[int, int]:
        """Rows and numbers a row."""
        return len(self.times_of(self.runs[0], trace)), len(self.chosen_units(trace))

    def taken(self, trace: Trace, values: Values) -> Array:
        """Return what is in this place, `(…, rows, n)`."""
        parts = []
        for run in self.runs:
            own = values(run, self.symbol)
            own = trace.padded(trace.layers[run], own) if self.padded else own
            parts.append(own[..., [t - 1 for t in self.times_of(run, trace)], :])
        joined = merged(parts, self.merge)
        return joined[..., self.chosen_units(trace)] if self.units else joined

    def strayed(self, trace: Trace, spread: Values) -> Array:
        """As `taken`, of how far each value may stray: in a merge no further than in the sum."""
        bound: Merge = "concat" if self.merge == "concat" else "sum"
        return self._replace(merge=bound).taken(trace, spread)


def place_of(name: str, model: Model, place: str) -> ExpectedPlace:
    """Read a name such as `h`, `output`, `layer1.backward.f[3]@7` or `layer0_forward_f`.

    Raises:
        InputError: the cell computes nothing by that name, or the model has no such layer.
    """
    for number, (level, direction, weights) in enumerate(model.runs):
        symbol = name.removeprefix(f"layer{level}_{direction}_")
        if symbol != name and symbol in (OUTPUT, *INPUT_SYMBOLS, *weights.cell.symbols):
            every = symbol == OUTPUT
            return ExpectedPlace("h" if every else symbol, (number,), every=every)
    try:
        address = parse_address(name, place)
    except UsageError as error:
        raise InputError(error.what, where=error.where, hint=error.hint) from None
    level = model.runs[-1][0] if address.layer is None else address.layer
    runs = tuple(n for n, (own, direction, _) in enumerate(model.runs)
                 if own == level and address.direction in ("", direction))  # fmt: skip
    if not runs:
        there = ", ".join(f"layer{own}.{side}" for own, side, _ in model.runs)
        raise InputError(
            f"the run has no {safe(Address(address.layer, address.direction))}, it has {there}",
            where=place, hint=f"one of: {there}",
        )  # fmt: skip
    known = [*INPUT_SYMBOLS, *model.runs[runs[0]][2].cell.symbols]
    if address.symbol != OUTPUT and address.symbol not in known:
        raise InputError(
            f"the cell does not compute '{safe(address.symbol or name)}'", where=place,
            hint=suggest_symbol(address.symbol or name, [OUTPUT, *known]),
        )  # fmt: skip
    if address.symbol != OUTPUT:
        return ExpectedPlace(address.symbol, runs, address.units, address.times)
    merge = model.merge if len(runs) > 1 and level == model.runs[-1][0] else "concat"
    return ExpectedPlace("h", runs, address.units, address.times, not address.times, merge)


# ---- shapes that are not the run's


class Reading(NamedTuple):
    """One way to read numbers.

    Attributes:
        place: where they belong.
        order: which of the numbers, flat, belongs to each value of the place.
        words: how they are read, "" where the shape is the place's own.
    """

    place: ExpectedPlace
    order: Array
    words: str = ""


def nearest(values: Array, readings: Sequence[Reading], trace: Trace) -> Array:
    """Return the largest difference of this run from each reading, `(readings, …)`.

    Args:
        values: the numbers, flat, `(…, count)`; nan where nothing is expected.
    """
    found = []
    for place, order, _ in readings:
        ours, theirs = place.taken(trace, values_of(trace)), values[..., order]
        with np.errstate(all="ignore"):
            off = np.where(np.isnan(theirs), 0.0, np.abs(ours - theirs))
        found.append(np.nan_to_num(off, nan=np.inf, posinf=np.inf).max(axis=(-2, -1)))
    return np.stack(found)


def choose_reading(values: Array, readings: Sequence[Reading], trace: Trace) -> Array:
    """Return which reading is meant, `(…)`: the nearest, or the run's own shape unless one agrees.

    Args:
        values: as in `nearest`.
    """
    if len(readings) == 1:
        return np.zeros(values.shape[:-1], dtype=int)
    off = nearest(values, readings, trace)
    best = np.argmin(off, axis=0)
    if readings[0].words:
        return np.asarray(best)
    return np.where(np.min(off, axis=0) <= CLOSE, best, 0)


def values_of(trace: Trace) -> Values:
    """The values of a run."""
    return lambda run, symbol: trace.layers[run].values[symbol]


def told_of(name: str, shape: Sequence[int], readings: Sequence[Reading], chosen: int) -> str:
    """Return the sentence on how numbers are read; "" where name and shape tell all."""
    if not readings[chosen].words:
        return ""
    others = f", the nearest of {len(readings)} readings" if len(readings) > 1 else ""
    return f"{safe(name)} of shape {tuple(shape)} is read as {readings[chosen].words}{others}"


def readings_of(
    name: str,
    there: ExpectedPlace,
    shape: Sequence[int],
    trace: Trace,
    where: str,
    sample: tuple[int, int] | None = None,
) -> list[Reading]:
    """Return the ways to read numbers of a shape under a name; several if only numbers can tell.

    Args:
        there: the place by the name.
        shape: of the numbers.
        sample: which of how many samples is compared, for numbers of all of them.

    Raises:
        InputError: the name chooses units or steps that the run does not have.
        ShapeError: no reading has this shape.
    """
    try:
        places = [(words, each, each.shape(trace)) for words, each in _places(there, trace)]
    except UsageError as error:
        raise InputError(f"{safe(name)}: {error.what}", where=where, hint=error.hint) from None
    plain, found = list[Reading](), dict[object, tuple[Reading, bool]]()
    for how, rows, given in _arrangements(shape, {len(there.runs), len(trace.layers)}, sample):
        for words, place, wanted in places:
            order = given if given.shape == wanted else trace.of_steps_run(given)
            if order.shape == wanted and rows in (0, len(place.runs)):
                own = Reading(place, order, ", ".join(filter(None, (how, words))))
                if not own.words:
                    plain.append(own)
                else:
                    found.setdefault((place, order.tobytes()), (own, bool(rows) or not words))
    if not plain and not found:
        raise _shape_error(name, there, tuple(shape), trace, where)
    # Beside the run's own shape only another order of the same numbers may be meant.
    others = (each for each, reordered in found.values() if not plain or (
        reordered and not np.array_equal(each.order, plain[0].order)))  # fmt: skip
    return [*plain[:1], *others]


def _places(there: ExpectedPlace, trace: Trace) -> Iterator[tuple[str, ExpectedPlace]]:
    """Yield the places that a name may mean, each in words, the first of them to the letter."""
    for words, place in _at_times(there, trace):
        yield words, place
        if len(place.runs) == 2 and not place.units:
            yield from ((", ".join(filter(None, (words, how))), each)
                        for how, each in _of_directions(place, trace))  # fmt: skip
    every = tuple(range(len(trace.layers)))
    if there.symbol in ("h", "c") and len(every) > len(there.runs) and not there.times:
        yield "one row per layer and direction", there._replace(runs=every, every=False)


def _at_times(there: ExpectedPlace, trace: Trace) -> Iterator[tuple[str, ExpectedPlace]]:
    yield "", there
    if there.every:
        yield "the last step alone", there._replace(every=False, padded=False, times="last")
        if any(trace.layers[run].direction == "backward" for run in there.runs):
            yield "the final state alone", there._replace(every=False, padded=False)
    elif not there.times:
        yield "", there._replace(every=True)


def _of_directions(place: ExpectedPlace, trace: Trace) -> Iterator[tuple[str, ExpectedPlace]]:
    """Yield the other ways to make one vector of two directions."""
    widths = {trace.layers[run].values[place.symbol].shape[-1] for run in place.runs}
    if place.symbol == "h" and len(widths) == 1:
        others: tuple[Merge, ...] = ("concat", *_MERGES)
        for merge in others:
            if merge != place.merge:
                how = "side by side" if merge == "concat" else f"merged by {merge}"
                yield f"the directions {how}", place._replace(merge=merge)
    for run in place.runs:
        alone = place._replace(runs=(run,), merge="concat")
        yield f"the {trace.layers[run].direction} direction alone", alone


def _arrangements(
    shape: Sequence[int], counts: Collection[int], sample: tuple[int, int] | None
) -> Iterator[tuple[str, int, Array]]:
    """Yield ways to arrange numbers in rows: in words, of how many layers and directions, places.

    The places are those of the numbers, flat. The count is 0 where the numbers do not have an axis
    of layers and directions.

    Args:
        counts: the lengths that such an axis may have.
        sample: as in `readings_of`.
    """
    given = np.arange(math.prod(shape)).reshape(shape)
    if given.ndim < 3:
        yield "", 0, np.atleast_2d(given)
    parts = [("", given)]
    if sample is not None:
        number, count = sample
        parts += [(f"sample {number} of {count}", np.take(given, number, axis))
                  for axis in (0, 1) if given.ndim > axis + 1 and shape[axis] == count]  # fmt: skip
    for which, own in parts:
        slim = np.atleast_1d(np.squeeze(own))
        start = f"{which}, " if which else ""
        if slim.ndim < 3:
            yield which or "one sample", 0, np.atleast_2d(slim)
        if slim.ndim == 2:
            if len(slim) in counts:
                yield f"{start}a row a direction", len(slim), slim.reshape(1, -1)
            yield f"{start}transposed", 0, slim.T
        for axis in (1, 0) if slim.ndim == 3 else ():
            if (sides := slim.shape[axis]) in counts:
                rows = np.moveaxis(slim, axis, 1)
                how = f"{start}directions on an axis of their own"
                yield how, sides, rows.reshape(len(rows), -1)


def _shape_error(
    name: str, there: ExpectedPlace, shape: tuple[int, ...], trace: Trace, where: str
) -> ShapeError:
    """Return the error for numbers that fit nowhere, with the rows that have as many."""
    if len(shape) > 1 and not there.times:
        there = there._replace(every=True)
    rows, width = there.shape(trace)
    wanted = f"({rows}, {width})" if there.every or rows > 1 else f"({width},)"
    hint = "give (n,) for the last step or (T, n) for all of them"
    if len(shape) > 2:
        hint = "give the numbers of the one sample that is run"
    elif shape[-1] != width:
        alike = [symbol for symbol, values in trace.layers[there.runs[0]].values.items()
                 if values.shape[-1] == shape[-1]]  # fmt: skip
        if alike:
            hint = f"name the row that they are of: {', '.join(alike)} would fit"
    elif len(shape) == 2 and not there.times:
        hint = f"the run has {trace.steps} steps: give a row for each, or the last one alone"
    return ShapeError(
        f"{safe(name)} has shape {shape}, but the run gives {wanted}", where=where, hint=hint
    )
