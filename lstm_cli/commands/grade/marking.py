"""Marking: which numbers are right, follow from the answer's own earlier numbers, or are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.equations import Node, evaluate, names_in
from lstm_cli.cell.notation import is_parameter
from lstm_cli.commands.grade.sheet import ParsedVector, Sheet, SheetPlace, vector
from lstm_cli.engine.agreement import HAIR, agree, room_of
from lstm_cli.engine.run import LayerTrace, Trace

# With more units than this, the effect of rounding is followed for all of them at once.
MANY_UNITS = 64


class Mark(IntEnum):
    """Mark of one number."""

    BLANK = 0
    WRONG = 1
    FOLLOWS = 2  # wrong, but right for the answer's own earlier numbers
    RIGHT = 3


@dataclass(frozen=True, eq=False)
class Marked:
    """An answer's numbers at one place.

    Attributes:
        marks: `(n,)` of `Mark`.
        got: the answer's numbers `(n,)`, nan where blank.
        right: the right numbers.
        own: what follows from the answer's own earlier numbers.
        tolerance: `(n,)`, for rounding and truncation, and the effect of those on the way.
        decimals: how many decimals were compared, `(n,)`; -1 where blank.
    """

    marks: Array
    got: Array
    right: Array
    own: Array
    tolerance: Array
    decimals: Array


def mark(
    numbers: Mapping[SheetPlace, ParsedVector], sheet: Sheet, atol: float | None = None
) -> dict[SheetPlace, Marked]:
    """Return the marks of all places that are asked or answered, in order of computation.

    A number is right if it is the right one, rounded or truncated, with room for float32 in this
    run; or, if its row holds for the numbers written before it, within what their rounding
    explains. `atol` overrides all of this.
    """
    made = _OwnRun(sheet.trace, numbers).run()
    marked = {}
    for place, (own, spread) in made.items():
        if place in numbers or place in sheet.asked:
            right = sheet.trace.layers[place.run].values[place.symbol][place.t - 1]
            given = numbers.get(place) or vector([None] * len(right))
            if atol is None:
                strays = sheet.arithmetic.spread(place.run, place.symbol)[place.t - 1]
                units, room = given.units, room_of(right, "float32", strays)
            else:
                units, room = np.zeros_like(right), np.full_like(right, atol)
            # Earlier numbers are off by half a unit if they were rounded, by one if truncated.
            moved = room + spread / 2
            follows = agree(own, given.values, units, moved)
            correct = agree(right, given.values, units, room)
            if atol is None:
                with np.errstate(invalid="ignore"):  # inf - inf
                    correct |= follows & (np.abs(own - right) <= spread * HAIR)
            marks = np.where(correct, Mark.RIGHT, np.where(follows, Mark.FOLLOWS, Mark.WRONG))
            marks = np.where(given.there, marks, Mark.BLANK)
            tolerance = HAIR * units + moved
            marked[place] = Marked(marks, given.values, right, own, tolerance, given.decimals)
    return marked


class _OwnRun:
    """The run recomputed from an answer's own numbers, wherever they are written."""

    def __init__(self, trace: Trace, numbers: Mapping[SheetPlace, ParsedVector]) -> None:
        self.trace = trace
        self.numbers = numbers
        # place -> (the number that follows, how far rounding of earlier numbers may move it)
        self.made: dict[SheetPlace, tuple[Array, Array]] = {}

    def run(self) -> dict[SheetPlace, tuple[Array, Array]]:
        """Compute the numbers that follow at every place, in order of computation."""
        inputs = self.trace.layers[0].values["x"]
        known = inputs, np.zeros_like(inputs)
        for level in range(self.trace.layers[-1].layer + 1):
            outputs = [
                self._layer(run, each, *known)
                for run, each in enumerate(self.trace.layers)
                if each.layer == level
            ]
            h, h_spread = (np.concatenate(each, axis=-1) for each in zip(*outputs, strict=True))
            known = h, h_spread
        return self.made

    def _layer(self, run: int, layer: LayerTrace, x: Array, x_spread: Array) -> tuple[Array, Array]:
        """Run one layer and direction; return its h `(T, P)` and their spread."""
        known = {name: layer.values[name][layer.order[0]] for name in ("h_prev", "c_prev")}
        spread = {name: np.zeros_like(value) for name, value in known.items()}
        outputs = np.zeros_like(layer.values["h"]), np.zeros_like(layer.values["h"])
        for t in layer.order:
            self._step(run, layer, t, known | {"x": x[t]}, spread | {"x": x_spread[t]})
            ends = {name: self._carried(SheetPlace(run, name, t + 1)) for name in ("h", "c")}
            known = {f"{name}_prev": value for name, (value, _) in ends.items()}
            spread = {f"{name}_prev": value for name, (_, value) in ends.items()}
            outputs[0][t], outputs[1][t] = ends["h"]
        return outputs

    def _step(
        self, run: int, layer: LayerTrace, t: int, known: dict[str, Array], spread: dict[str, Array]
    ) -> None:
        for row in layer.cell.equations:
            place = SheetPlace(run, row.symbol, t + 1)
            self.made[place] = _follow(row.expression, layer, known, spread)
            known[row.symbol], spread[row.symbol] = self._carried(place)

    def _carried(self, place: SheetPlace) -> tuple[Array, Array]:
        """Return the numbers that later rows use: the written ones, if any."""
        value, spread = self.made[place]
        given = self.numbers.get(place)
        if given is None:
            return value, spread
        return (
            np.where(given.there, given.values, value),
            np.where(given.there, HAIR * given.units, spread),
        )


def _follow(
    node: Node, layer: LayerTrace, known: Mapping[str, Array], spread: Mapping[str, Array]
) -> tuple[Array, Array]:
    """Return a row's value, and how far it moves if its inputs move by their spread."""
    names = names_in(node)
    values: dict[str, Any] = {
        name: layer.weights.arrays[name] if is_parameter(name) else known[name] for name in names
    }
    with np.errstate(all="ignore"):
        value = np.asarray(evaluate(node, values))
        moved = np.zeros_like(value)
        for name in names:
            if not is_parameter(name) and spread[name].any():
                # Each unit alone, or all at once if there are many.
                own = spread[name]
                steps = np.diag(own) if len(own) <= MANY_UNITS else own[None, :]
                each = evaluate(node, values | {name: known[name] + steps})
                moved = moved + np.abs(each - value).sum(axis=0)
    return value, moved
