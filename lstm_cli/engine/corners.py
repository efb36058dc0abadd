"""Corners that a run stands on: relu at 0, a limit of clip, where there is no single derivative."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.equations import Apply, Node, bind_arguments, evaluate, function_named
from lstm_cli.cell.notation import write
from lstm_cli.cell.weights import Direction
from lstm_cli.engine.run import Trace

# As close to a corner as this, a number that is moved for a difference may cross it.
NEAR = 1e-6


@dataclass(frozen=True)
class Corner:
    """A value that stands on a corner of a function.

    Attributes:
        layer, direction, t, unit: where it is.
        argument: what stands there, as in the equation: "z_g".
        function: whose corner it is.
    """

    layer: int
    direction: Direction
    t: int
    unit: int
    argument: str
    function: str

    @property
    def place(self) -> str:
        """For a sentence: `z_g[0] at t = 1 stands on relu's corner`."""
        return f"{self.argument}[{self.unit}] at t = {self.t} stands on {self.function}'s corner"


def corners(trace: Trace) -> Iterator[Corner]:
    """Yield what stands on a corner, by layer, direction and row; of each row the first in time."""
    for each in trace.layers:
        values = {**each.weights.arrays, **each.values}
        for row in each.cell.equations:
            for argument, function, mask in _standing(row.expression, values, None):
                for *_, t, unit in np.argwhere(np.atleast_2d(mask))[:1].tolist():
                    yield Corner(
                        each.layer, each.direction, each.times[t], unit, argument, function
                    )


def _standing(
    node: Node, values: Mapping[str, Array], inside: tuple[str, str] | None
) -> Iterator[tuple[str, str, Array]]:
    """Yield (argument, function, mask of what stands on its corner) of an expression.

    Args:
        node: the expression.
        values: of its names.
        inside: the argument and function whose body this is.
    """
    if not isinstance(node, Apply):
        return
    for each in node.arguments:
        yield from _standing(each, values, inside)
    own = inside or (write(node.arguments[0]), node.function)
    body = function_named(node.function).body
    given = [evaluate(each, values) for each in node.arguments]
    if body is not None:
        yield from _standing(body, bind_arguments(node.function, given, np.asarray), own)
    elif node.function in ("min", "max", "abs", "heaviside"):
        distance = given[0] - (given[1] if len(given) > 1 else 0.0)
        yield *own, np.abs(distance) <= NEAR
