"""Evaluation of a table over time: steps, sequences, layers, both directions, batches.

A sequence is a fold over steps; a layer reads the output sequence of the layer below; the backward
direction reads it from the end. No equation is hard-coded here: each row of the cell's table is
evaluated in order and every named value is kept.
"""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from dataclasses import replace
from functools import cached_property
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_cli.base.arrays import Array, to_numpy
from lstm_cli.base.errors import (
    ArgumentError,
    InputError,
    ShapeError,
    UsageError,
    imported,
    kind_of,
    safe,
)
from lstm_cli.base.numbers import counted
from lstm_cli.base.records import record
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Equation, Selection, evaluate
from lstm_cli.cell.notation import UNICODE, write_equation
from lstm_cli.cell.weights import NO_MASK, Direction, LstmWeights, Merge, Model
from lstm_cli.engine.calls import Calls, Span, calls_of, need_single, order_of, spans_of
from lstm_cli.engine.choice import choose_engine, run_fast
from lstm_cli.engine.masks import padded, steps_run

# A start should not pay for notebooks and addresses.
if TYPE_CHECKING:
    from lstm_cli.base.address import Address
    from lstm_cli.base.foreign import Html
    from lstm_cli.engine.finite import NotFinite

STATES = ("h", "c")
INPUT_SYMBOLS = ("x", "h_prev", "c_prev")
# A trace keeps every value; a larger one would not fit in memory on a typical machine.
MAX_TRACE_BYTES = 8 * 2**30
# How much of a run a notebook shows; the rest is only counted.
SHOWN_RUNS, SHOWN_UNITS = 4, 12


class _BySymbol:
    """Makes a run a mapping from symbols to values.

    Not a `collections.abc.Mapping`, whose `==` would compare arrays.
    """

    def __getitem__(self, symbol: str) -> Array:
        raise NotImplementedError

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __contains__(self, symbol: object) -> bool:
        return any(symbol == each for each in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return True

    def keys(self) -> KeysView[str]:
        """Symbols: `x`, `h_prev`, `c_prev`, then the rows of the table."""
        return KeysView(self)

    def items(self) -> ItemsView[str, Array]:
        """Pairs of a symbol and its values."""
        return ItemsView(self)

    def get(self, symbol: str, default: Any = None) -> Any:
        """Return the values of a symbol, or `default` if there is no such symbol."""
        return next((self[each] for each in self if each == symbol), default)


@record
class LayerTrace(_BySymbol):
    """Every named value of one layer in one direction; `layer["f"]` is short for `values["f"]`.

    Attributes:
        layer: its index, from 0.
        values: symbol -> `(…, T, n)` for `x`, `h_prev`, `c_prev` and all rows, in input time, of
            the steps that were run.
        ran: which steps of the input those are, a bool each; None for all. `(…, T)` where samples
            differ: then values have all steps, nan at those not run.
        calls: the lengths of consecutive calls; () is a single one.
    """

    layer: int
    direction: Direction
    weights: LstmWeights
    values: Mapping[str, Array]
    ran: Array | None
    calls: Calls

    def __getitem__(self, symbol: str) -> Array:
        """Return a symbol's values `(…, T, n)`."""
        return self.values[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    @property
    def cell(self) -> Cell:
        """The table that was evaluated."""
        return self.weights.cell

    @property
    def steps(self) -> int:
        """T."""
        return int(next(iter(self.values.values())).shape[-2])

    @property
    def input_steps(self) -> int:
        """The steps of the input, run or not."""
        return self.steps if self.ran is None else self.ran.shape[-1]

    @property
    def times(self) -> Sequence[int]:
        """The input times of `values`, from 1."""
        if self.ran is None or self.ran.ndim > 1:
            return range(1, self.steps + 1)
        return [t + 1 for t in np.flatnonzero(self.ran).tolist()]

    def at(self, t: int) -> dict[str, Array]:
        """Return the values `(…, n)` of every symbol at the step `t` of `times`, from 1."""
        return {symbol: values[..., t - 1, :] for symbol, values in self.values.items()}

    @cached_property
    def order(self) -> Sequence[int]:
        """Places of the steps, from 0, in the order in which they are computed."""
        return order_of(self.direction, self.calls, self.steps)

    @cached_property
    def spans(self) -> list[Span]:
        """First and last input time of each call, from 1."""
        return spans_of(self.calls, self.steps)

    def final(self, symbol: str, call: int = -1) -> Array:
        """Return `h` or `c` `(…, n)` after the last step processed in a call, counted from 0.

        Without calls and backward that is the step at t = 1.
        """
        start, end = self.spans[call]
        if self.direction == "forward":
            return self._edge(symbol, -1, end - 1)
        return self._edge(symbol, 0, start - 1)

    def initial(self, symbol: str) -> Array:
        """Return `h` or `c` `(…, n)` before the first step processed."""
        return self._edge(f"{symbol}_prev", 0 if self.direction == "forward" else -1, self.order[0])

    def _edge(self, symbol: str, place: int, row: int) -> Array:
        """Values of a row; where samples differ, of the first (0) or last (-1) step of each."""
        values = self.values[symbol]
        if self.ran is None or self.ran.ndim == 1:
            return values[..., row, :]
        order = np.arange(self.steps)[:: 1 if place == 0 else -1]
        rows = order[self.ran[..., order].argmax(axis=-1)]
        return np.asarray(np.take_along_axis(values, rows[..., None, None], axis=-2)[..., 0, :])


@record
class Trace(_BySymbol):
    """A run: every value of every layer and direction, and the assumptions made.

    It is a mapping from the symbols of the last layer to their values: `trace["f"]`.

    Attributes:
        layers: one LayerTrace per layer and direction, in the order of `model.runs`.
        dtype: the type that every named value was rounded to.
        assumptions: sentences on choices made for what was not given.
        engine: the engine that computed it: table, numpy or numba.
        finite_inputs: whether x, h and c of each sample, `(…)`, were finite as they were given,
            before they were rounded to `dtype`; True if nothing is rounded.
        padding: what `output` holds at steps that were not run; see `run`.
    """

    model: Model
    layers: tuple[LayerTrace, ...]
    dtype: np.dtype[Any]
    assumptions: tuple[str, ...]
    engine: str = "table"
    finite_inputs: Array | bool = True
    padding: str = "stop"

    def __getitem__(self, symbol: str) -> Array:
        """Return a symbol `(…, T, n)` of the last layer, directions concatenated.

        An address names more: `trace["layer0.backward.f"]`, `trace["f[3]@7"]`. One unit or one
        input time alone leaves its axis out, as an integer index does.

        Raises:
            KeyError: the run has no such value.
        """
        if not isinstance(symbol, str):
            raise KeyError(symbol)
        layers = self.last_layer
        if symbol in layers[0].values:
            return np.concatenate([each.values[symbol] for each in layers], axis=-1)
        try:
            from lstm_cli.base.address import parse_address  # where an address is used

            return self._at(parse_address(symbol, "trace"))
        except UsageError as error:
            raise KeyError(f"{symbol}: {error.what}") from None

    def _at(self, address: Address) -> Array:
        """Values at an address.

        Raises:
            KeyError: no such layer, direction or symbol.
            UsageError: no such unit or time.
        """
        from lstm_cli.base.address import choose

        level = self.layers[-1].layer if address.layer is None else address.layer
        symbol = "h" if address.symbol in ("", "output") else address.symbol
        parts = [each.values[symbol] for each in self.layers
                 if each.layer == level and address.direction in ("", each.direction)]  # fmt: skip
        values = np.concatenate(parts, axis=-1) if parts else np.empty((0, 0))
        if not parts or not address.symbol:
            raise KeyError(str(address))
        if address.units:
            units = choose(address.units, values.shape[-1], "units")
            values = values[..., units[0] if address.units.isdecimal() else units]
        if address.times:
            times = [t - 1 for t in self.chosen_steps(address.times, "times")]
            axis = values.ndim - (1 if address.units.isdecimal() else 2)
            single = address.times.isdecimal() or address.times == "last"
            values = np.take(values, times[0] if single else times, axis=axis)
        return values

    def __iter__(self) -> Iterator[str]:
        first, *others = (each.values for each in self.last_layer)
        return (symbol for symbol in first if all(symbol in each for each in others))

    def values(self) -> ValuesView[Array]:
        """Values of each symbol, in the order of `keys`."""
        return ValuesView(self)

    @property
    def last_layer(self) -> tuple[LayerTrace, ...]:
        """The directions of the last layer."""
        return tuple(each for each in self.layers if each.layer == self.layers[-1].layer)

    @property
    def steps(self) -> int:
        """T."""
        return self.layers[0].steps

    @property
    def calls(self) -> Calls:
        """Lengths of consecutive calls; () is a single one."""
        return self.layers[0].calls

    @property
    def times(self) -> Sequence[int]:
        """The input times of the steps that were run, from 1."""
        return self.layers[0].times

    def chosen_steps(self, text: str, place: str) -> list[int]:
        """The steps, from 1 in `times`, that have the input times `text` names.

        Raises:
            UsageError: not a choice, or a step that was not run.
        """
        if text == "all":
            return list(range(1, self.steps + 1))
        if text == "last":
            return [self.steps]
        from lstm_cli.base.address import choose

        chosen = choose(text, self.layers[0].input_steps, place, first=1)
        times = list(self.times)
        if missing := [t for t in chosen if t not in times]:
            raise UsageError(
                f"step {missing[0]} is masked out and not run", where=place,
                hint=f"one of {', '.join(map(str, times))}",
            )  # fmt: skip
        return [times.index(t) + 1 for t in chosen]

    @property
    def inputs(self) -> tuple[Array, list[Array], list[Array]]:
        """What `run` was given: x `(…, T, I)`, and h and c for each layer and direction."""
        h, c = ([each.initial(state) for each in self.layers] for state in STATES)
        return self.layers[0].values["x"], h, c

    @cached_property
    def output(self) -> Array:
        """The last layer's h over input time, `(…, T, D·P)` or, merged, `(…, T, P)`.

        It is padded as `padding` says.
        """
        parts = [self.padded(each, each["h"]) for each in self.last_layer]
        return merged(parts, self.model.merge)

    def of_steps_run(self, rows: Array) -> Array:
        """Rows `(…, T, n)` at the steps that were run, if there is one for each of the input."""
        ran = self.layers[0].ran
        every = ran is not None and ran.ndim == 1 and rows.shape[-2:-1] == ran.shape
        return rows[..., ran, :] if every else rows

    def padded(self, each: LayerTrace, h: Array) -> Array:
        """The h of a layer, or what is like it, with what `padding` says at steps not run."""
        # Keras' Bidirectional gives its two layers zero_output_for_mask.
        both = sum(own.layer == each.layer for own in self.layers) > 1
        padding = "zero" if self.padding == "keras" and both else self.padding
        return padded(h, each.ran, padding, each.direction)

    @cached_property
    def h(self) -> Array:
        """The last layer's final hidden state, directions concatenated, `(…, D·P)`."""
        return np.concatenate([each.final("h") for each in self.last_layer], axis=-1)

    @cached_property
    def c(self) -> Array:
        """The last layer's final cell state, directions concatenated, `(…, D·H)`."""
        return np.concatenate([each.final("c") for each in self.last_layer], axis=-1)

    @cached_property
    def warnings(self) -> tuple[NotFinite, ...]:
        """The first place of each sample that is not finite, though it came of finite numbers."""
        from lstm_cli.engine.finite import not_finite

        return not_finite(self.layers, self.dtype, self.finite_inputs)

    def each_step(self) -> Iterator[tuple[LayerTrace, int, dict[str, Array]]]:
        """Yield (layer trace, t, symbol -> `(…, n)`) by layer, direction, then t from 1."""
        for each in self.layers:
            for place, t in enumerate(each.times, 1):
                yield each, t, each.at(place)

    def __repr__(self) -> str:
        return f"Trace({self.model!r}, T={self.steps}, {self.dtype.name})"

    def _repr_html_(self) -> str:
        """HTML for a notebook: a summary of the run, and the first and last steps as tables."""
        shown = self.layers[:SHOWN_RUNS]
        from lstm_cli.base import html as html_text

        parts = [html_text.element("b", _facts(self))]
        parts += [html_text.note(f"assumed: {each}") for each in self.assumptions]
        for each in shown:
            parts += _layer_html(each)
        if len(self.layers) > len(shown):
            parts.append(html_text.note(f"and {len(self.layers) - len(shown)} more layers"))
        return html_text.page(*parts)

    def to_dataframe(self) -> Any:
        """Convert to a pandas DataFrame with one row per step: `frame["f"]` is `(T, H)`.

        Its index is layer, direction, the sample if there are several, and t from 1; its columns
        are symbol and unit. Columns that a layer does not have are nan.

        Raises:
            InputError: pandas is missing, or there are several batch axes.
        """
        what = "a DataFrame needs pandas, which is not installed"
        pandas = imported("pandas", what, "pandas", "Trace.to_dataframe")
        if self.output.ndim > 3:
            raise InputError(
                f"a run with batch axes {self.output.shape[:-2]} does not have one row per step",
                where="Trace.to_dataframe",
                hint="run with one batch axis",
            )
        frames = [_layer_frame(pandas, each, self.dtype) for each in self.layers]
        frame = frames[0] if len(frames) == 1 else pandas.concat(frames)
        frame.index = _frame_index(pandas, self)
        return frame


def merged(parts: Sequence[Array], merge: Merge) -> Array:
    """Merge the values `(…, P)` of each direction, as Keras' `Bidirectional` does."""
    if merge == "concat" or len(parts) == 1:
        return np.concatenate(parts, axis=-1)
    with np.errstate(all="ignore"):  # an overflow is visible in the result
        if merge == "mul":
            return np.asarray(parts[0] * parts[1])
        total = parts[0] + parts[1]
        return np.asarray(total / 2 if merge == "ave" else total)


def _facts(trace: Trace) -> str:
    """Describe the run in one line."""
    lead = trace.output.shape[:-2]
    facts = [f"{len(trace.layers)} layers and directions"] if len(trace.layers) > 1 else []
    facts += [f"T = {trace.steps}", trace.dtype.name]
    facts += [f"{' × '.join(map(str, lead))} samples, of which the first"] if lead else []
    return f"{trace.model.first.described} · weights {trace.model.source} · {' · '.join(facts)}"


def _layer_html(each: LayerTrace) -> Iterator[Html]:
    """Yield the first and last steps of a layer as tables of equations and values."""
    from lstm_cli.base import html as html_text

    written = [(row, *write_equation(row, UNICODE)) for row in each.cell.equations]
    times = [t for t in range(1, each.steps + 1) if t <= 2 or t > each.steps - 2]
    for t in times:
        if t > 3 and t - 1 not in times:
            yield html_text.note(f"steps 3 to {t - 1} are in trace.to_dataframe() and trace['h']")
        values = {symbol: value[(0,) * (value.ndim - 1)] for symbol, value in each.at(t).items()}
        rows = [(UNICODE.name(symbol), "", "given", values[symbol]) for symbol in INPUT_SYMBOLS]
        rows += [(shown, row.label, right, values[row.symbol]) for row, shown, right in written]
        place = f"layer {each.layer} {each.direction}, step {each.times[t - 1]}"
        yield html_text.element("div", place)
        yield html_text.values_table(rows, SHOWN_UNITS)


def _layer_frame(pandas: Any, each: LayerTrace, dtype: np.dtype[Any]) -> Any:
    """Build the DataFrame of one layer and direction."""
    columns = [(symbol, unit) for symbol, values in each.values.items()
               for unit in range(values.shape[-1])]  # fmt: skip
    joined = np.concatenate(list(each.values.values()), axis=-1).astype(dtype)
    return pandas.DataFrame(
        joined.reshape(-1, len(columns)),
        columns=pandas.MultiIndex.from_tuples(columns, names=["symbol", "unit"]),
    )


def _frame_index(pandas: Any, trace: Trace) -> Any:
    """Build the index of layer, direction, sample and t for the rows of all layers."""
    lead = trace.output.shape[:-1]
    rows = [(each.layer, each.direction, *place) for each in trace.layers
            for place in np.ndindex(lead)]  # fmt: skip
    layers, directions, *samples, times = (list(level) for level in zip(*rows, strict=True))
    # Categories sort forward before backward: lookups in pandas are faster in sorted rows.
    known = [name for name in ("forward", "backward") if name in directions]
    levels = [layers, pandas.Categorical(directions, known), *samples,
              [trace.times[t] for t in times]]  # fmt: skip
    names = ["layer", "direction", *["sample"] * len(samples), "t"]
    return pandas.MultiIndex.from_arrays(levels, names=names)


def run(
    model: Model,
    x: Array | Sequence[Any],
    h: Array | Sequence[Any] | None = None,
    c: Array | Sequence[Any] | None = None,
    *,
    dtype: Any = np.float64,
    engine: str = "auto",
    calls: Sequence[int] | str | None = None,
    lengths: Array | Sequence[int] | int | None = None,
    mask: Array | Sequence[Any] | None = None,
    padding: str = "stop",
) -> Trace:
    """Run a model over a sequence and keep every named value.

    Args:
        x: the input, `(…, T, I)`.
            Like h and c an array, lists of numbers, or a tensor of any library.
        h: the hidden state before the first step: `(…, P)`, or for a stack one per layer and
            direction, `(L·D, …, P)` (layer 0 forward, layer 0 backward, layer 1 forward, …).
            None means zeros.
        c: the cell state before the first step, likewise `(…, H)` or `(L·D, …, H)`.
        dtype: float64 or float32. In float32 the table computes each row in float64 and rounds it;
            the fast engines compute in float32.
        engine: "table" evaluates row by row; "numpy" and "numba" run code generated from the table,
            with a different order of rounding; "fast" is the better of them; "auto" uses the table
            for small runs and for float32.
        lengths: how many steps of each sample are run, `(…,)`; a number for all.
        mask: which steps are run, `(…, T)` or `(T,)` of bools; the others leave the states as they
            were. Without lengths or a mask the model's own decides, if it has one.
        padding: what `output` holds at steps that are not run: "stop" leaves them out (nan where
            samples differ), "zero" is PyTorch's and Keras' zero_output_for_mask, "keras" repeats
            the previous output, "onnx" is zeros past the lengths.
        calls: the lengths of consecutive calls of which each starts from the states that the one
            before left: (10, 10), or "1x20" for twenty of one step; None is a single call. It
            makes a difference to backward directions, which start anew at the end of each call.

    Raises:
        ArgumentError: `model` is a file's name, a module, arrays; the error says what to call.
        ShapeError: x, h or c do not fit the model; lengths, mask or calls do not fit x.
        UsageError: an unknown engine or type; lengths, mask, padding or calls that cannot be.
        InputError: x, h or c hold no numbers, or an engine that is not installed.
    """
    if not isinstance(model, Model):
        raise _no_model(model)
    kind = float_type(dtype)
    sequence = _numbers(x, "x")
    if sequence.ndim < 2 or sequence.shape[-1] != model.input_size or sequence.shape[-2] == 0:
        raise _input_error(sequence, model)
    lead, steps = sequence.shape[:-2], sequence.shape[-2]
    parts = calls_of(calls, steps)
    check_trace_size(model, sequence.shape[:-1])
    ran, told = steps_run(model, sequence, lengths, mask, padding)
    if ran is not None:
        need_single(parts, "a run that leaves out steps")
    initial = initial_states(model, "h", h, lead), initial_states(model, "c", c, lead)
    chosen = choose_engine(engine, work_of(model, sequence.shape[:-1]), kind)
    finite: Array | bool = True
    if kind != np.float64:
        states = (np.isfinite(each).all(axis=-1) for each in (*initial[0], *initial[1]))
        finite = np.logical_and.reduce([np.isfinite(sequence).all(axis=(-2, -1)), *states])
    if ran is None or ran.ndim == 1:
        rows = sequence if ran is None else sequence[..., ran, :]
        traces, chosen = _run_layers(model, rows, initial, kind, chosen, parts)
    else:
        traces, chosen = _run_mixed(model, sequence, initial, kind, chosen, ran)
    if ran is not None:
        traces = [replace(each, ran=ran) for each in traces]
    assumed = (*model.assumptions, *told, *assumed_states(h, c))
    # What is computed from the trace again runs the steps that it has.
    model = replace(model, mask=NO_MASK) if model.mask != NO_MASK else model
    return Trace(model, tuple(traces), kind, assumed, chosen, finite, padding)


# One h and one c `(…, n)` per layer and direction.
_Initial = tuple[list[Array], list[Array]]


def _run_layers(
    model: Model,
    sequence: Array,
    initial: _Initial,
    kind: np.dtype[Any],
    engine: str,
    calls: Calls = (),
) -> tuple[list[LayerTrace], str]:
    """Run every step of a sequence; also the engine that "fast" stands for."""
    traces: list[LayerTrace] = []
    for level, layer in enumerate(model.layers):
        for direction, weights in layer.directions.items():
            order = _in_order(direction, calls, sequence.shape[-2])
            given = sequence[order], initial[0][len(traces)], initial[1][len(traces)], kind
            if engine == "table":
                values = _run_table(weights, *given)
            else:
                values, engine = run_fast(engine, weights, *given)
            if direction == "backward":
                values = {symbol: value[order] for symbol, value in values.items()}
            traces.append(
                LayerTrace(level, direction, weights, MappingProxyType(values), None, calls)
            )
        if level + 1 < len(model.layers):
            own = traces[-len(layer.directions) :]
            sequence = np.concatenate([each.values["h"] for each in own], axis=-1)
    return traces, engine


def _run_mixed(
    model: Model, sequence: Array, initial: _Initial, kind: np.dtype[Any], engine: str, ran: Array
) -> tuple[list[LayerTrace], str]:
    """Run samples that differ in the steps run, those together that do not; nan at the rest."""
    *lead, steps, _ = sequence.shape
    x, mask = sequence.reshape(-1, *sequence.shape[-2:]), ran.reshape(-1, steps)
    states = [[each.reshape(len(x), -1) for each in given] for given in initial]
    whole: list[dict[str, Array]] = [{} for _ in model.runs]
    layers: list[LayerTrace] = []
    for pattern in np.unique(mask, axis=0):
        own = np.flatnonzero((mask == pattern).all(axis=1))
        h, c = ([each[own] for each in given] for given in states)
        layers, engine = _run_layers(model, x[own][:, pattern], (h, c), kind, engine)
        for values, each in zip(whole, layers, strict=True):
            for symbol, rows in each.values.items():
                shape = len(x), steps, rows.shape[-1]
                to = values.setdefault(symbol, np.full(shape, np.nan, rows.dtype))
                to[np.ix_(own, np.flatnonzero(pattern))] = rows
    return [
        replace(each, values=MappingProxyType({
            symbol: rows.reshape(*lead, *rows.shape[-2:]) for symbol, rows in values.items()
        }))
        for each, values in zip(layers, whole, strict=True)
    ], engine  # fmt: skip


def _in_order(direction: Direction, calls: Calls, steps: int) -> Any:
    """Return the index that puts `(…, T, n)` in the order of computation, and back again."""
    if direction == "forward":
        return np.s_[..., :, :]
    order = np.s_[::-1] if len(calls) < 2 else order_of(direction, calls, steps)
    return np.s_[..., order, :]


def assumed_states(h: Any, c: Any) -> tuple[str, ...]:
    """Assumptions made for initial states that are None."""
    given = zip(STATES, (h, c), strict=True)
    return tuple(f"{state}0 not given: zeros" for state, value in given if value is None)


def step(
    model: Model,
    x: Array | Sequence[Any],
    h: Array | Sequence[Any] | None = None,
    c: Array | Sequence[Any] | None = None,
    *,
    dtype: Any = np.float64,
    engine: str = "auto",
) -> Trace:
    """Run one step on `x (…, I)`; otherwise like `run`.

    Raises:
        LstmStepError: as `run`.
    """
    single = np.atleast_1d(_numbers(x, "x").astype(np.float64, copy=False))
    return run(model, single[..., None, :], h, c, dtype=dtype, engine=engine)


def trace_bytes(model: Model, lead: tuple[int, ...]) -> int:
    """Approximate size in bytes of the trace of a run over `lead` (batch axes and steps)."""
    return 8 * model.numbers_a_step * math.prod(lead)


def work_of(model: Model, lead: tuple[int, ...]) -> int:
    """Steps × samples × units over all layers and directions, for `choose_engine`."""
    return math.prod(lead) * model.units


def check_trace_size(model: Model, lead: tuple[int, ...]) -> None:
    """Refuse a run whose trace would not fit, before allocating memory.

    Raises:
        InputError: more than `MAX_TRACE_BYTES`.
    """
    size = trace_bytes(model, lead)
    if size > MAX_TRACE_BYTES:
        raise InputError(
            f"a trace of every value would take {size / 2**30:.0f} GiB, the limit is "
            f"{MAX_TRACE_BYTES // 2**30} GiB",
            where=" × ".join(map(str, lead)) + " steps",
            hint="run fewer steps at a time and pass on h and c",
        )


def _run_table(
    weights: LstmWeights, x: Array, h: Array, c: Array, dtype: np.dtype[Any]
) -> dict[str, Array]:
    parameters = {name: rounded(array, dtype) for name, array in weights.arrays.items()}
    if weights.source == "preset:identity":  # a file's 0 · inf is nan, as in every framework
        parameters = {name: Selection.seen_in(array) for name, array in parameters.items()}
    x = x.astype(np.float64, copy=False)
    alone = dtype != np.float64
    if alone:
        # An extra axis makes each sample a product of its own. BLAS sums those of many samples in a
        # different order, and the last bit of a float64 may decide which float32 it rounds to.
        x, h, c = map(np.ascontiguousarray, (x[..., None, :, :], h[..., None, :], c[..., None, :]))
    x = rounded(x, dtype)
    states = {"h_prev": rounded(h, dtype), "c_prev": rounded(c, dtype)}
    kept: dict[str, Array] = {}
    for t in range(x.shape[-2]):
        inputs = {"x": x[..., t, :], **states}
        values = evaluate_rows(weights.cell.equations, parameters, inputs, dtype)
        for symbol, value in values.items():
            if symbol not in kept:
                kept[symbol] = np.empty((*x.shape[:-1], value.shape[-1]), dtype=dtype)
            kept[symbol][..., t, :] = value
        states = {f"{state}_prev": values[state] for state in STATES}
    return {symbol: v[..., 0, :, :] for symbol, v in kept.items()} if alone else kept


def evaluate_rows(
    rows: Iterable[Equation],
    known: Mapping[str, Array],
    inputs: Mapping[str, Array],
    dtype: np.dtype[Any],
) -> dict[str, Array]:
    """Evaluate rows in order: of a cell's table once, or of its gradient.

    Args:
        known: what the rows may read besides, such as the parameters, float64.
        inputs: `x (…, I)`, `h_prev (…, P)`, `c_prev (…, H)`, float64.
        dtype: the type that each named value is rounded to before the next row uses it.

    Returns:
        A mapping of symbol to `(…, n)`, float64: the inputs and every row, in table order.
    """
    known, values = {**known, **inputs}, dict(inputs)
    with np.errstate(all="ignore"):  # an overflow is visible in the result as inf
        for row in rows:
            value = rounded(evaluate(row.expression, known), dtype)
            known[row.symbol] = values[row.symbol] = value
    return values


def rounded(array: Array, dtype: np.dtype[Any]) -> Array:
    """Round an array to `dtype`, returned as float64, in which rows are computed."""
    if dtype == np.float64:
        return array
    with np.errstate(over="ignore"):
        return array.astype(dtype).astype(np.float64)


def initial_states(
    model: Model, symbol: str, given: Array | Sequence[Any] | None, lead: tuple[int, ...]
) -> list[Array]:
    """Return one initial state `(…, n)` per layer and direction.

    Args:
        given: as in `run`.
        lead: the batch axes.

    Raises:
        ShapeError: the given state does not fit the model.
    """
    sizes = [weights.size(symbol) for _, _, weights in model.runs]
    if given is None:
        return [np.zeros((*lead, size)) for size in sizes]
    rows = _state_rows(model, symbol, given, lead)
    if len(rows) != len(sizes):
        raise _state_error(model, symbol, counted(len(rows), "row"))
    for row, size in zip(rows, sizes, strict=True):
        if row.ndim == 0 or row.shape[-1] != size:
            raise _state_error(model, symbol, f"shape {row.shape}")
    try:
        shapes = [(*lead, size) for size in sizes]
        return [row if row.shape == shape else np.broadcast_to(row, shape)
                for row, shape in zip(rows, shapes, strict=True)]  # fmt: skip
    except ValueError:
        raise _state_error(model, symbol, f"shape {rows[0].shape}") from None


def _state_rows(
    model: Model, symbol: str, given: Array | Sequence[Any], lead: tuple[int, ...]
) -> list[Array]:
    """Split the given states into one array per layer and direction."""
    if not isinstance(given, list | tuple):
        given = _numbers(given, symbol)
    if len(model.runs) == 1 and isinstance(given, np.ndarray) and given.ndim == len(lead) + 1:
        return [given.astype(np.float64)]  # all at once: there may be many samples
    try:
        rows = [to_numpy(row).astype(np.float64, copy=False) for row in given]
    except (TypeError, ValueError):
        raise _state_error(model, symbol, "rows of unequal length") from None
    if len(model.runs) == 1 and not (rows and rows[0].ndim == len(lead) + 1):
        return [_numbers(given, symbol).astype(np.float64, copy=False)]
    return rows


def _state_error(model: Model, symbol: str, got: str) -> ShapeError:
    wanted = ", ".join(
        f"layer {level} {direction}: {weights.size(symbol)}"
        for level, direction, weights in model.runs
    )
    if len(model.runs) == 1:
        wanted = counted(model.first.size(symbol), "number")
    return ShapeError(
        f"--{symbol} has {got}, the model needs {wanted}",
        where=f"--{symbol}",
        hint=f"give {wanted}, separated by commas, or leave it out for zeros"
        if len(model.runs) == 1
        else "one row per layer and direction: layer 0 forward, layer 0 backward, layer 1 …",
    )


def float_type(given: Any) -> np.dtype[Any]:
    """Return the type of a run's values.

    Raises:
        UsageError: neither float64 nor float32.
    """
    try:
        kind: np.dtype[Any] = np.dtype(given)
    except TypeError:
        kind = np.dtype(object)
    if kind not in (np.float64, np.float32):
        raise UsageError(
            f"--dtype is {safe(given)}, not a type that runs have", where="--dtype",
            hint="--dtype float64 or --dtype float32",
        )  # fmt: skip
    return kind


def _numbers(given: Any, name: str) -> Array:
    """Convert an argument to an array of float32, if it is one, or float64.

    Raises:
        InputError: it does not hold numbers, or rows of unequal length.
    """
    try:
        found = to_numpy(given)
        if found.dtype.kind in "cSUmM":
            raise TypeError(f"it holds {found.dtype.name}")
        if found.dtype.kind == "O" and any(each is None for each in found.flat):
            raise TypeError("it holds None")
        return found if found.dtype == np.float32 else found.astype(np.float64, copy=False)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"--{name} is not an array of numbers: {safe(error)[:200]}",
            where=f"--{name}", hint="numpy.asarray of it should have numbers, rows all as long",
        ) from None  # fmt: skip


# What a thing that is no model has, and how a model is made of it.
_MODEL_FROM = {
    "get_weights": "model_from_arrays({each.path: each for each in layer.weights})",
    "state_dict": "model_from_arrays(module.state_dict())",
    "model": "trace.model",
    "weights": "Model.single(layer.weights)",
    "directions": "Model((layer,))",
    "arrays": "Model.single(weights)",
    "items": "model_from_arrays(arrays)",
}


def _no_model(given: object) -> ArgumentError:
    """Return the error for what is no model, with the call that makes one of it."""
    if isinstance(given, str | PathLike):
        made = f'read_weights("{safe(given)}")'
    else:
        made = next((each for name, each in _MODEL_FROM.items() if hasattr(given, name)),
                    'read_weights("weights.npz")')  # fmt: skip
    return ArgumentError(
        f"model is {kind_of(given)}, not a Model", where="run()", hint=f"run({made}, x)"
    )


def need_trace(trace: object, call: str, *, single: bool = False) -> None:
    """Refuse what is no run; `call` is the function that needs one.

    Raises:
        ArgumentError: with what to call.
        InputError: several samples where there should be a `single` one.
    """
    if not isinstance(trace, Trace):
        model = "model" if isinstance(trace, Model) else 'read_weights("weights.npz")'
        raise ArgumentError(
            f"trace is {kind_of(trace)}, not a Trace", where=f"{call}()",
            hint=f"{call}(run({model}, x))",
        )  # fmt: skip
    if single and trace.layers[0].values["h"].ndim != 2:
        raise InputError(
            f"the run has batch axes {trace.layers[0].values['h'].shape[:-2]}, "
            f"and {call} takes one sample", where=f"{call}()", hint="run(model, x[0])",
        )  # fmt: skip


def need_whole(trace: Trace, what: str, *, gaps: bool = False) -> None:
    """Refuse a run of which some steps are masked out.

    Args:
        trace: the run.
        what: what cannot show it.
        gaps: whether only the last steps may be left out.

    Raises:
        UsageError: with what to do.
    """
    times, ran = trace.times, trace.layers[0].ran
    only_cut = ran is not None and ran.ndim == 1 and times[-1] == len(times)
    if ran is None or (gaps and only_cut):
        return
    left = "steps before the last are" if gaps else "steps are"
    raise UsageError(
        f"{left} masked out, which {what} cannot show", where=what,
        hint="leave these steps out of --x, and with them the mask",
    )  # fmt: skip


def _input_error(x: Array, model: Model) -> InputError | ShapeError:
    if x.ndim < 2:
        return ShapeError(
            f"--x has shape {x.shape}, a sequence needs (T, {model.input_size})", where="--x",
            hint="step(model, x) runs one step",
        )  # fmt: skip
    if x.shape[-2] == 0:
        return InputError("x has no steps", where="--x", hint="give at least one row")
    parameter = next(iter(model.cell.parameters), "the cell")
    return ShapeError(
        f"--x has {counted(x.shape[-1], 'number')}, {parameter} needs {model.input_size}",
        where="--x",
        hint=_width_hint(x, model.input_size),
    )


def _width_hint(x: Array, inputs: int) -> str:
    """Say what to do about rows of a wrong width: columns as rows, an index, decimal commas."""
    steps, width = x.shape[-2:]
    some = x[..., :1000, :]
    first = some[..., 0]
    decimal = "commas and semicolons separate numbers: write decimals with a point, as in 0.5"
    pairs = width == 2 * inputs and (some == np.floor(some)).all()
    if (
        width == inputs + 1
        and steps > 1
        and (np.diff(first) == 1).all()
        and first.flat[0] in (0, 1)
    ):
        counts = f"the first column counts from {int(first.flat[0])}: leave it out, x[:, 1:]"
        return f"{decimal}; or {counts}" if pairs else counts
    if width in (2, 2 * inputs) and (some == np.floor(some)).all() and steps in (1, inputs):
        return decimal
    if steps == inputs and width == 1:
        return f"a row is a step: for one step transpose x, its {inputs} numbers between commas"
    if steps == inputs:
        return f"a row is a step: transpose x, of shape ({steps}, {width}); in NumPy x.T"
    return "separate numbers by commas and steps by semicolons; write decimals with a point"
