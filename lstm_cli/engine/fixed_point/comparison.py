"""Error of the integers against the float run, by symbol, and the range they would need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.weights import Direction
from lstm_cli.engine.fixed_point.formats import FixedFormat, Rounding
from lstm_cli.engine.fixed_point.machine import FixedLayer, FixedTrace
from lstm_cli.engine.run import INPUT_SYMBOLS


@dataclass(frozen=True)
class Worst:
    """The largest error against the float run.

    Attributes:
        t: the input time, from 1; None for a parameter.
        index: the unit, or row and column of a parameter.
        got: the value that the integer represents.
        expected: the value in the float run.
    """

    layer: int
    direction: Direction
    t: int | None
    index: tuple[int, ...]
    got: float
    expected: float

    @property
    def error(self) -> float:
        """Absolute error; inf if either value is nan."""
        distance = abs(self.got - self.expected)
        return distance if distance == distance else float("inf")


@dataclass(frozen=True)
class ValueReport:
    """One symbol or parameter over all layers, directions and steps.

    Attributes:
        worst: the largest error against the float run.
        low, high: the range in the float run.
        needs: the format of the same width with the fewest integer bits that holds that range;
            None if there is none.
        overflows: number of values that did not fit.
    """

    symbol: str
    format: FixedFormat
    worst: Worst
    low: float
    high: float
    needs: FixedFormat | None
    overflows: int

    @property
    def lsb_error(self) -> float:
        """The largest error in units of the last bit."""
        return self.worst.error / self.format.lsb


# A layer with the float values of a symbol and the real values of its integers.
Pair = tuple[FixedLayer, Array, Array]


def compare_symbols(trace: FixedTrace) -> list[ValueReport]:
    """Report on each symbol: inputs, then rows; x is that of the first layer."""
    rows = [symbol for each in trace.layers for symbol in each.floats.cell.symbols]
    return [
        _report(trace, symbol, list(_pairs(trace, symbol)), over_time=True)
        for symbol in dict.fromkeys((*INPUT_SYMBOLS, *rows))
    ]


def compare_parameters(trace: FixedTrace) -> list[ValueReport]:
    """Report on each weight, bias and peephole."""
    names = dict.fromkeys(name for each in trace.layers for name in each.parameters)
    return [
        _report(trace, name, list(_parameter_pairs(trace, name)), over_time=False) for name in names
    ]


def _pairs(trace: FixedTrace, symbol: str) -> Iterator[Pair]:
    for each in trace.layers:
        if symbol in each.floats.values and not (symbol == "x" and each.floats.layer):
            yield each, each.floats.values[symbol], each.reals.values[symbol]


def _parameter_pairs(trace: FixedTrace, name: str) -> Iterator[Pair]:
    for each in trace.layers:
        if name in each.parameters:
            real = each.formats[name].to_real(each.parameters[name])
            yield each, each.floats.weights.arrays[name], real


def _report(trace: FixedTrace, name: str, pairs: list[Pair], *, over_time: bool) -> ValueReport:
    worst = max((_worst(*pair, over_time) for pair in pairs), key=lambda each: each.error)
    low = min(float(np.min(floats)) for _, floats, _ in pairs)
    high = max(float(np.max(floats)) for _, floats, _ in pairs)
    format_ = pairs[0][0].formats[name]
    needs = _needed(low, high, format_, trace.settings.rounding)
    overflows = sum(each.overflows.get(name, 0) for each, _, _ in pairs)
    return ValueReport(name, format_, worst, low, high, needs, overflows)


def _worst(each: FixedLayer, floats: Array, reals: Array, over_time: bool) -> Worst:
    with np.errstate(invalid="ignore"):
        distances = np.abs(reals - floats)
    # argmax treats nan as the maximum.
    place = tuple(int(axis) for axis in np.unravel_index(np.argmax(distances), distances.shape))
    t, index = (place[0] + 1, place[1:]) if over_time else (None, place)
    run = each.floats
    return Worst(run.layer, run.direction, t, index, float(reals[place]), float(floats[place]))


def _needed(
    low: float, high: float, format_: FixedFormat, rounding: Rounding
) -> FixedFormat | None:
    """Return the format of the same width with the fewest integer bits that holds a range."""
    if not np.isfinite([low, high]).all():
        return None
    for integer_bits in range(format_.bits):
        wider = FixedFormat(integer_bits, format_.bits - 1 - integer_bits)
        if not wider.quantise([low, high], rounding, "saturate")[1].any():
            return wider
    return None
