"""A run that is edited: numbers put in the place of others, and the run that follows from them.

Nothing here knows a terminal. Every number after an edit comes from `engine.run`; where a state is
overridden in the middle of a sequence, the run is cut there and goes on from the new state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError
from lstm_cli.cell.notation import is_parameter
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.engine.run import STATES, LayerTrace, Trace, run
from lstm_cli.files.vectors import parse_rows


@dataclass(frozen=True)
class EditablePlace:
    """Where a number stands that can be edited.

    Attributes:
        run: the layer and direction, as a place in `model.runs`; x of layer 0 goes by 0.
        name: `x`, `h_prev`, `c_prev`, or a parameter.
        index: `(t, unit)` of a vector over time, t from 1; of a parameter as in its array.
    """

    run: int
    name: str
    index: tuple[int, ...]


@dataclass(frozen=True)
class NumberEdit:
    """A number put in the place of another."""

    place: EditablePlace
    value: float


@dataclass(frozen=True, eq=False)
class Session:
    """A run as it was given, and the edits on top of it, the last of one place in force."""

    given: Trace
    edits: tuple[NumberEdit, ...] = ()

    @cached_property
    def trace(self) -> Trace:
        """The run with the edits."""
        return edited_run(self.given, self.edits) if self.edits else self.given

    def edited(self, place: EditablePlace, value: float) -> Session:
        """Return the session with one more edit; a number that would stand there anyway is none.

        That number need not be the given one: a state follows from the edits before it.
        """
        if value == number_at(self.trace, place):
            return self
        rest = tuple(each for each in self.edits if each.place != place)
        without = self if rest == self.edits else replace(self, edits=rest)
        if value == number_at(without.trace, place):
            return without
        return replace(self, edits=(*rest, NumberEdit(place, value)))


def number_at(trace: Trace, place: EditablePlace) -> float:
    """Return the number that stands in a place."""
    if is_parameter(place.name):
        return float(trace.model.runs[place.run][2].arrays[place.name][place.index])
    t, unit = place.index
    return float(trace.layers[place.run].values[place.name][t - 1, unit])


def place_of(trace: Trace, run: int, name: str, index: tuple[int, ...]) -> EditablePlace:
    """Return the place of a number of a run.

    Raises:
        InputError: the number is computed, or comes from the layer below.
    """
    layer = trace.layers[run].layer
    if name == "x" and layer > 0:
        raise InputError(
            f"x of layer {layer} is what layer {layer - 1} puts out",
            hint="edit x of layer 0: every layer follows (l goes through the layers)",
        )
    if not (is_parameter(name) or name in ("x", "h_prev", "c_prev")):
        raise InputError(
            f"{name} is computed",
            hint="edit x, h_prev or c_prev, or press w for the weights that enter this row",
        )
    # Both directions of layer 0 read one x.
    return EditablePlace(0 if name == "x" else run, name, index)


def read_number(text: str, name: str) -> float:
    """Return the one number that was typed for `name`.

    Raises:
        InputError: not a plain finite number, or more than one.
    """
    rows = parse_rows(text, name, name)
    if rows.size != 1:
        raise InputError(f"{rows.size} numbers for one place", where=name, hint="type one number")
    return float(rows[0, 0])


def edited_run(given: Trace, edits: Sequence[NumberEdit]) -> Trace:
    """Return the run that follows from edits of one that was given.

    Args:
        given: an unbatched run, `(T, n)` a symbol.
        edits: in the order in which they were made.
    """
    model = _edited_model(given.model, edits)
    sequence = np.array(given.layers[0].values["x"], dtype=np.float64)
    for edit in edits:
        if edit.place.name == "x":
            t, unit = edit.place.index
            sequence[t - 1, unit] = edit.value
    traces: list[LayerTrace] = []
    for layer in model.layers:
        for weights in layer.directions.values():
            own = [edit for edit in edits if edit.place.run == len(traces)]
            old = given.layers[len(traces)]
            traces.append(_run_direction(old, weights, sequence, own, given.dtype))
        outputs = [each.values["h"] for each in traces[-len(layer.directions) :]]
        sequence = np.concatenate(outputs, axis=-1)
    return replace(given, model=model, layers=tuple(traces))


def _edited_model(model: Model, edits: Sequence[NumberEdit]) -> Model:
    """Return the model with its edited parameters; weights without an edit are the same object."""
    changed = [edit for edit in edits if is_parameter(edit.place.name)]
    places = iter(range(len(model.runs)))
    layers = tuple(
        Layer(
            {
                direction: _edited_weights(weights, changed, next(places))
                for direction, weights in layer.directions.items()
            }
        )
        for layer in model.layers
    )
    return replace(model, layers=layers)


def _edited_weights(weights: LstmWeights, edits: Sequence[NumberEdit], run: int) -> LstmWeights:
    own = [edit for edit in edits if edit.place.run == run]
    if not own:
        return weights
    arrays = {name: np.array(array) for name, array in weights.arrays.items()}
    for edit in own:
        arrays[edit.place.name][edit.place.index] = edit.value
    return replace(weights, arrays=arrays)


def _run_direction(
    given: LayerTrace,
    weights: LstmWeights,
    x: Array,
    edits: Sequence[NumberEdit],
    dtype: np.dtype[Any],
) -> LayerTrace:
    """Return one layer and direction run from its states, cut where an edit overrides one."""
    alone = Model((Layer({given.direction: weights}),))
    overrides = [edit for edit in edits if edit.place.name in ("h_prev", "c_prev")]
    first = first_step(given)
    states = {state: given.at(first)[f"{state}_prev"] for state in STATES}
    parts: list[LayerTrace] = []
    for t, part in _parts(given, {edit.place.index[0] for edit in overrides}):
        states = {name: _overridden(name, array, t, overrides) for name, array in states.items()}
        parts.append(run(alone, x[part], states["h"], states["c"], dtype=dtype).layers[0])
        states = {state: parts[-1].final(state) for state in STATES}
    in_time = parts if given.direction == "forward" else parts[::-1]
    values = {
        symbol: np.concatenate([each.values[symbol] for each in in_time])
        for symbol in parts[0].values
    }
    return LayerTrace(given.layer, given.direction, weights, MappingProxyType(values))


def first_step(each: LayerTrace) -> int:
    """Return the input time of the step that is computed first."""
    return 1 if each.direction == "forward" else each.steps


def _parts(each: LayerTrace, cuts: set[int]) -> Iterator[tuple[int, slice]]:
    """Yield (first t, its times as a slice) of each part to run in one go, in running order."""
    starts = sorted(cuts | {first_step(each)})
    if each.direction == "forward":
        for t, following in zip(starts, [*starts[1:], each.steps + 1], strict=True):
            yield t, slice(t - 1, following - 1)
        return
    starts.reverse()
    for t, following in zip(starts, [*starts[1:], 0], strict=True):
        yield t, slice(following, t)


def _overridden(state: str, values: Array, t: int, edits: Sequence[NumberEdit]) -> Array:
    changed = np.array(values, dtype=np.float64)
    for edit in edits:
        if edit.place.name == f"{state}_prev" and edit.place.index[0] == t:
            changed[edit.place.index[1]] = edit.value
    return changed
