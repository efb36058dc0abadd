"""An edited run: a run with some numbers replaced, and everything that depends on them.

An edit replaces one number: of a parameter; or, at input time t from 1, of `x` of layer 0, of a
state that the step reads (`h_prev`, `c_prev`), or of a row of the cell's table. The meaning of
edits, here and on the page:

1. The last edit of a place wins.
2. Parameters and `x` are replaced before anything runs. Both directions of layer 0 read one `x`.
3. Each layer and direction runs its steps in its own order of time. A step reads `x` and the states
   left by the previous step, or edited states in their place. The rows are computed in order, and
   edited numbers of a row are set before the next row reads it. So h0 and c0 are `h_prev` and
   `c_prev` of the first step run, and an edited gate is forced at its step.
4. A layer above reads h of the layer below, as edited.
5. A number that depends on no edit is bit-for-bit that of the given run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe, suggest
from lstm_cli.cell.notation import is_parameter
from lstm_cli.cell.weights import LstmWeights
from lstm_cli.engine.run import STATES, LayerTrace, Trace, evaluate_rows, rounded


@dataclass(frozen=True)
class EditablePlace:
    """The place of a number that can be edited.

    Attributes:
        run: the layer and direction, as an index into `model.runs`; 0 for x of layer 0.
        name: `x`, `h_prev`, `c_prev`, a row of the cell, or a parameter.
        index: `(t, unit)` for a vector over time, t from 1; for a parameter, as in its array.
    """

    run: int
    name: str
    index: tuple[int, ...]


@dataclass(frozen=True)
class NumberEdit:
    """A place and its new number."""

    place: EditablePlace
    value: float


def place_of(trace: Trace, run: int, name: str, index: tuple[int, ...]) -> EditablePlace:
    """Return the place of a number of a run.

    Raises:
        InputError: the run has no such place, or the number comes from the layer below.
    """
    each = trace.layers[run]
    where = f"layer {each.layer} {each.direction}"
    array = each.weights.arrays.get(name, each.values.get(name))
    if array is None:
        raise InputError(
            f"the run has no '{safe(name)}'", where=where,
            hint=suggest(name, [*each.values, *each.weights.arrays]),
        )  # fmt: skip
    starts = [0] * array.ndim if is_parameter(name) else [1, 0]
    inside = len(index) == array.ndim and all(
        start <= place < start + size
        for place, start, size in zip(index, starts, array.shape, strict=True)
    )
    if not inside:
        ends = (f"{a} to {a + size - 1}" for a, size in zip(starts, array.shape, strict=True))
        raise InputError(
            f"{safe(name)} has no place {list(index)}", where=where,
            hint=f"{'' if is_parameter(name) else 'step, unit: '}{' and '.join(ends)}",
        )  # fmt: skip
    if name == "x" and each.layer > 0:
        raise InputError(
            f"x of layer {each.layer} is the output of layer {each.layer - 1}", where=where,
            hint="edit x of layer 0; the other layers follow",
        )  # fmt: skip
    return EditablePlace(0 if name == "x" else run, name, index)


def number_at(trace: Trace, place: EditablePlace) -> float:
    """Return the number at a place."""
    if is_parameter(place.name):
        return float(trace.model.runs[place.run][2].arrays[place.name][place.index])
    t, unit = place.index
    return float(trace.layers[place.run].values[place.name][t - 1, unit])


# ---- an edited run, and undo and redo of edits


@dataclass(frozen=True, eq=False)
class EditedRun:
    """A given run and the edits to it, one per place."""

    given: Trace
    edits: tuple[NumberEdit, ...] = ()

    @cached_property
    def trace(self) -> Trace:
        """The run with the edits."""
        return edited_trace(self.given, self.edits) if self.edits else self.given

    def now(self, place: EditablePlace) -> float:
        """Return the number at a place in the edited run."""
        return number_at(self.trace, place)

    def was(self, place: EditablePlace) -> float:
        """Return the number at a place in the given run."""
        return number_at(self.given, place)

    def edited(self, place: EditablePlace, value: float) -> EditedRun:
        """Return the run with one more edit, unless the number would have that value anyway.

        That value need not be the given one: a state depends on the edits before it.
        """
        if value == self.now(place):
            return self
        rest = tuple(each for each in self.edits if each.place != place)
        without = self if rest == self.edits else replace(self, edits=rest)
        if value == without.now(place):
            return without
        return replace(self, edits=(*rest, NumberEdit(place, value)))


class EditHistory:
    """The history of a run's edits, for undo and redo."""

    def __init__(self, given: Trace) -> None:
        self._runs = [EditedRun(given)]
        self._at = 0

    @property
    def now(self) -> EditedRun:
        """The current edited run."""
        return self._runs[self._at]

    def edit(self, place: EditablePlace, value: float) -> bool:
        """Set the number at a place; return whether anything changes. Errors as `engine.run`."""
        return self._add(self.now.edited(place, value))

    def reset(self) -> bool:
        """Drop all edits (this can be undone, too); return whether there were any."""
        return self._add(replace(self.now, edits=()) if self.now.edits else self.now)

    def undo(self) -> bool:
        """Undo the last edit or reset; return whether there was one."""
        return self._move(-1)

    def redo(self) -> bool:
        """Redo what was undone last; return whether there was anything."""
        return self._move(1)

    def _add(self, following: EditedRun) -> bool:
        if following is self.now:
            return False
        _ = following.trace  # if it cannot be computed, nothing changes
        self._runs[self._at + 1 :] = [following]
        return self._move(1)

    def _move(self, by: int) -> bool:
        possible = 0 <= self._at + by < len(self._runs)
        self._at += by * possible
        return possible


def changed(now: Array, was: Array) -> Array:
    """Whether each number differs from what it was; nan is equal to nan."""
    return np.asarray((now != was) & ~(np.isnan(now) & np.isnan(was)))


def differences(now: Array, was: Array) -> Array:
    """Return the change of each number; 0 if it is the same, even nan or inf."""
    with np.errstate(all="ignore"):  # inf - inf is nan, but not a difference
        return np.where(changed(now, was), now - was, 0.0)


# ---- recomputing what depends on edits


def edited_trace(given: Trace, edits: Sequence[NumberEdit]) -> Trace:
    """Return the run, by the table, that follows from edits of an unbatched one, in their order."""
    model = given.model.with_weights(lambda run, weights: _edited_weights(weights, edits, run))
    x = np.array(given.layers[0].values["x"], dtype=np.float64)
    reached = np.full(len(x), False)  # the steps whose input has changed
    for edit in edits:
        if edit.place.name == "x":
            t, unit = edit.place.index
            x[t - 1, unit] = edit.value
            reached[t - 1] = True
    traces: list[LayerTrace] = []
    for layer in model.layers:
        below, reached = reached, np.full(len(x), False)
        for weights in layer.directions.values():
            old = given.layers[len(traces)]
            own = [edit for edit in edits if edit.place.run == len(traces)]
            steps = _steps_to_run(old, below, own)
            again = _computed_again(old, weights, x, own, steps, given.dtype) if steps else old
            traces.append(again)
            reached[[t - 1 for t in steps]] = True
        outputs = [each.values["h"] for each in traces[-len(layer.directions) :]]
        x = np.concatenate(outputs, axis=-1)
    return replace(given, model=model, layers=tuple(traces))


def _edited_weights(weights: LstmWeights, edits: Sequence[NumberEdit], run: int) -> LstmWeights:
    """Return weights with their edited numbers; the same object without an edit."""
    arrays, own = weights.arrays, [each for each in edits if each.place.run == run]
    own = [each for each in own if each.place.name in arrays]
    new = {each.place.name: np.array(arrays[each.place.name]) for each in own}
    for each in own:
        new[each.place.name][each.place.index] = each.value
    return replace(weights, arrays={**arrays, **new}) if new else weights


def first_step(each: LayerTrace) -> int:
    """Return the input time of the step that is run first."""
    return each.order[0] + 1


def _steps_to_run(each: LayerTrace, below: Array, edits: Iterable[NumberEdit]) -> Sequence[int]:
    """Return the steps to recompute, in running order, from the first that is affected."""
    reached = below.copy()
    for edit in edits:
        if is_parameter(edit.place.name):
            reached[:] = True
        elif edit.place.name != "x":
            reached[edit.place.index[0] - 1] = True
    order = [place + 1 for place in each.order]
    first = next((place for place, t in enumerate(order) if reached[t - 1]), each.steps)
    return order[first:]


def _computed_again(
    old: LayerTrace,
    weights: LstmWeights,
    x: Array,
    edits: Iterable[NumberEdit],
    steps: Sequence[int],
    dtype: np.dtype[Any],
) -> LayerTrace:
    """Return one layer and direction with its last steps, in running order, recomputed."""
    values = {symbol: np.array(array) for symbol, array in old.values.items()}
    at: dict[int, list[NumberEdit]] = {}
    for edit in edits:
        if not is_parameter(edit.place.name) and edit.place.name != "x":
            at.setdefault(edit.place.index[0], []).append(edit)
    parameters = {name: rounded(array, dtype) for name, array in weights.arrays.items()}
    # One more axis in float32, as in the table engine, so that results are bit-for-bit the same.
    lead = np.s_[:] if dtype == np.float64 else np.s_[None]
    # The states that the first of these steps reads do not depend on any edit.
    states = {f"{state}_prev": values[f"{state}_prev"][steps[0] - 1] for state in STATES}
    for t in steps:
        own, rows = at.get(t, ()), weights.cell.equations
        inputs = {"x": x[t - 1], **states}
        made = {name: _replaced(name, array[lead], own, dtype) for name, array in inputs.items()}
        for part in [(row,) for row in rows] if own else [rows]:
            made = evaluate_rows(part, parameters, made, dtype)
            for row in part:
                made[row.symbol] = _replaced(row.symbol, made[row.symbol], own, dtype)
        for symbol, array in made.items():
            values[symbol][t - 1] = array
        states = {f"{state}_prev": values[state][t - 1] for state in STATES}
    return replace(old, weights=weights, values=MappingProxyType(values))


def _replaced(
    symbol: str, value: Array, edits: Iterable[NumberEdit], dtype: np.dtype[Any]
) -> Array:
    """Return a vector of one step with its edited numbers, rounded."""
    replaced = np.array(value, dtype=np.float64)
    for edit in edits:
        if edit.place.name == symbol:
            replaced[..., edit.place.index[1]] = edit.value
    return rounded(replaced, dtype)
