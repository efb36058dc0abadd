"""Fixed-point LSTM, as an integer port computes it: a table over integers, beside the float run.

    trace = beside(run(model, x), FixedSettings.parse("Q3.12,weights=Q1.14"))
    trace.layers[0]["f"], trace.layers[0].reals["f"]      # (T, n) each

Every named value is an integer of `m + n + 1` bits that represents itself times `2**-n`. The rows
are the cell's own. Each is computed exactly, as in an unlimited accumulator, and rounded once, when
it is stored in its format; an activation within a row, such as tanh(c) in h, is also stored, in the
gates' format. Operations defined on integers (+ - * @ min max abs, and functions built from them:
relu, clip, hard_sigmoid) are not rounded in between, and constants of the table are exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, ShapeError
from lstm_cli.base.records import record
from lstm_cli.cell.equations import (
    Equation,
    Name,
    Node,
)
from lstm_cli.cell.notation import is_parameter, write
from lstm_cli.cell.weights import Direction, Model
from lstm_cli.engine.fixed_arithmetic import Exact, FixedEvaluator, rounded
from lstm_cli.engine.fixed_settings import FixedFormat, FixedSettings, Rounding
from lstm_cli.engine.run import INPUT_SYMBOLS, STATES, LayerTrace, Trace

Parameters = Mapping[str, Array]


@dataclass(frozen=True)
class Overflow:
    """A value that did not fit into its format.

    Attributes:
        symbol: the row, input or parameter it belongs to.
        expression: the expression it is the value of: the symbol, or an activation within its row.
        t: the input time, from 1; None for a parameter.
        index: the unit, or row and column of a parameter.
        value: the number before saturation or wrapping.
    """

    symbol: str
    expression: str
    format: FixedFormat
    layer: int
    direction: Direction
    t: int | None
    index: tuple[int, ...]
    value: float


@record
class FixedLayer(LayerTrace):
    """One layer and direction in integers, together with its float run.

    Attributes:
        values: symbol -> `(T, n)`, int64.
        formats: mapping of symbol or parameter to its format.
        parameters: mapping of parameter to its integers, in the parameter's shape.
        overflows: mapping of symbol or parameter to the number of values that did not fit.
    """

    floats: LayerTrace
    formats: Mapping[str, FixedFormat]
    parameters: Parameters
    overflows: Mapping[str, int]

    @cached_property
    def reals(self) -> LayerTrace:
        """Values that the integers represent, `(T, n)`, float64."""
        values = {k: self.formats[k].to_real(v) for k, v in self.values.items()}
        return replace(self.floats, values=MappingProxyType(values))


@dataclass(frozen=True, eq=False)
class FixedTrace:
    """A run in integers, together with the float run.

    Attributes:
        layers: one per layer and direction, in the order of `floats.layers`.
        first_overflow: the first value, in order of computation, that did not fit.
    """

    settings: FixedSettings
    floats: Trace
    layers: tuple[FixedLayer, ...]
    first_overflow: Overflow | None

    @property
    def model(self) -> Model:
        """The model that was run."""
        return self.floats.model

    @cached_property
    def reals(self) -> Trace:
        """Values that the integers represent, as a trace."""
        return replace(
            self.floats,
            layers=tuple(each.reals for each in self.layers),
            dtype=np.dtype(np.float64),
            engine="fixed",
        )


def beside(trace: Trace, settings: FixedSettings) -> FixedTrace:
    """Repeat a float run in integers.

    Raises:
        ShapeError: the run has batch axes.
        InputError: nan or inf, or a division by zero in integers.
    """
    shape = trace.layers[0].values["x"].shape
    if len(shape) != 2:
        raise ShapeError(
            f"x has shape {shape}, but integers run one sequence (T, I)",
            where="--x",
            hint="run the samples one by one: --sample 0",
        )
    arithmetic = FixedEvaluator(settings)
    layers: list[FixedLayer] = []
    first: Overflow | None = None
    for each in trace.layers:
        below = [made for made in layers if made.layer == each.layer - 1]
        x = np.concatenate([b.values["h"] for b in below], axis=-1) if below else None
        runner = _Runner(each, arithmetic, trace.dtype)
        layers.append(runner.run(x))
        first = first or runner.first
    return FixedTrace(settings, trace, tuple(layers), first)


@dataclass
class _Runner:
    """Runs one layer in one direction and counts what does not fit."""

    floats: LayerTrace
    arithmetic: FixedEvaluator
    dtype: np.dtype[Any]
    counts: Counter[str] = field(default_factory=Counter)
    first: Overflow | None = None

    def __post_init__(self) -> None:
        self.settings, cell, level = self.arithmetic.settings, self.floats.cell, self.floats.layer
        names = (*cell.parameters, *INPUT_SYMBOLS, *cell.symbols)
        self.formats = {name: self.settings.format_of(name, cell, level) for name in names}

    def run(self, x: Array | None) -> FixedLayer:
        """Run the layer.

        Args:
            x: the output integers `(T, I)` of the layer below; None quantises the input.
        """
        each, kept = self.floats, dict[str, Array]()
        parameters = {
            # As in the float run: rounding to float32 comes first.
            name: self._quantised(name, array.astype(self.dtype), None)
            for name, array in each.weights.arrays.items()
        }
        known = {name: self._exact(name, value) for name, value in parameters.items()}
        times = [place + 1 for place in each.order]
        states = {f"{s}_prev": self._given(f"{s}_prev", times[0]) for s in STATES}
        for t in times:
            inputs = {"x": x[t - 1] if x is not None else self._given("x", t), **states}
            values = self._step(known, inputs, t)
            for symbol, value in values.items():
                kept.setdefault(symbol, np.empty((each.steps, len(value)), dtype=np.int64))
                kept[symbol][t - 1] = value
            states = {f"{state}_prev": values[state] for state in STATES}
        own = (
            each.layer,
            each.direction,
            each.weights,
            MappingProxyType(kept),
            each.ran,
            each.calls,
        )
        return FixedLayer(*own, each, self.formats, parameters, dict(self.counts))

    def _exact(self, name: str, integers: Array) -> Exact:
        return Exact(integers, self.formats[name].fraction_bits)

    def _given(self, symbol: str, t: int) -> Array:
        """Quantize a given vector, taken from the float run at time `t`."""
        return self._quantised(symbol, self.floats.values[symbol][t - 1], t)

    def _quantised(self, name: str, numbers: Array, t: int | None) -> Array:
        format_, settings = self.formats[name], self.settings
        try:
            integers, outside = format_.quantise(numbers, settings.rounding, settings.overflow)
        except InputError as error:
            raise error.within(self._place(name, t)) from None
        if outside.any():
            self._note(name, name, format_, outside, lambda: numbers, t)
        return integers

    def _step(
        self, parameters: Mapping[str, Exact], inputs: Mapping[str, Array], t: int
    ) -> dict[str, Array]:
        """Return the integers `(n,)` of the inputs and every row."""
        known = {**parameters, **{k: self._exact(k, v) for k, v in inputs.items()}}
        values = dict(inputs)
        for row in self.floats.cell.equations:
            values[row.symbol] = self._row(row, known, t)
            known[row.symbol] = self._exact(row.symbol, values[row.symbol])
        return values

    def _row(self, row: Equation, known: Mapping[str, Exact], t: int) -> Array:
        """Compute a row's integers `(n,)`."""
        gates = self.settings.formats["gates"]

        def keep(node: Node, number: Exact) -> Exact:
            return Exact(self._stored(row.symbol, node, number, gates, t), gates.fraction_bits)

        try:
            number = self.arithmetic.evaluate(row.expression, known, keep)
        except LstmStepError as error:
            raise error.within(self._place(row.symbol, t)) from None
        return self._stored(row.symbol, Name(row.symbol), number, self.formats[row.symbol], t)

    def _place(self, name: str, t: int | None) -> str:
        at = f", t = {t}" if t is not None else ""
        return f"{name} of layer {self.floats.layer}, {self.floats.direction}{at}, in integers"

    def _stored(
        self, symbol: str, node: Node, number: Exact, format_: FixedFormat, t: int
    ) -> Array:
        """Store a value `(n,)` in its format and record any overflow."""
        settings = self.settings
        integers = rounded(number, format_.fraction_bits, settings.rounding)
        kept, outside = format_.store(integers, settings.overflow)
        if outside.any():
            self._note(symbol, write(node), format_, outside, number.to_float, t)
        return kept

    def _note(
        self, symbol: str, text: str, format_: FixedFormat, outside: Array,
        numbers: Callable[[], Array], t: int | None,
    ) -> None:  # fmt: skip
        """Count the values that did not fit, and keep the first."""
        self.counts[symbol] += int(np.count_nonzero(outside))
        if self.first is None:
            index = tuple(int(axis) for axis in np.argwhere(outside)[0])
            where = (self.floats.layer, self.floats.direction, t, index)
            self.first = Overflow(symbol, text, format_, *where, float(numbers()[index]))


# --------------------------------------------------------------------------------------------------
# Error of the integers against the float run, by symbol, and the range they would need.


@dataclass(frozen=True)
class Worst:
    """The largest error against the float run.

    Attributes:
        t, index: as in `Overflow`.
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
    return [_report(trace, symbol) for symbol in dict.fromkeys((*INPUT_SYMBOLS, *rows))]


def compare_parameters(trace: FixedTrace) -> list[ValueReport]:
    """Report on each weight, bias and peephole."""
    names = dict.fromkeys(name for each in trace.layers for name in each.parameters)
    return [_report(trace, name) for name in names]


def _pairs(trace: FixedTrace, name: str) -> Iterator[Pair]:
    for each in trace.layers:
        run = each.floats
        if name in each.parameters:
            yield each, run.weights.arrays[name], each.formats[name].to_real(each.parameters[name])
        elif name in run.values and not (name == "x" and run.layer):
            yield each, run.values[name], each.reals.values[name]


def _report(trace: FixedTrace, name: str) -> ValueReport:
    pairs = list(_pairs(trace, name))
    worst = max((_worst(*pair, not is_parameter(name)) for pair in pairs), key=lambda w: w.error)
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
