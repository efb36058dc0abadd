"""One row of a cell's table over integers, exact except for values stored along the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from lstm_cli.cell.equations import (
    FUNCTIONS,
    Apply,
    Name,
    Node,
    Number,
    bind_arguments,
    is_activation,
    nodes_in,
)
from lstm_cli.engine.fixed_point.activations import HARD, LookupTable, transcendental
from lstm_cli.engine.fixed_point.arithmetic import OPERATIONS, Exact, constant
from lstm_cli.engine.fixed_point.settings import FixedSettings

Known = Mapping[str, Exact]
# Rounds the value of a subexpression to its format and returns the stored value.
Keep = Callable[[Node, Exact], Exact]


class FixedEvaluator:
    """Evaluates expressions with the σ and tanh chosen in the settings."""

    def __init__(self, settings: FixedSettings) -> None:
        self.settings = settings
        self.activation = settings.activation

    def evaluate(self, expression: Node, known: Known, keep: Keep) -> Exact:
        """Evaluate a row `(n,)` without the final rounding.

        Args:
            keep: stores an activation within the row (the tanh(c) of h).
        """
        match expression:
            case Apply(name, arguments):
                return self._apply(name, [self._value(each, known, keep) for each in arguments])
        return self._value(expression, known, keep)

    def _value(self, node: Node, known: Known, keep: Keep | None) -> Exact:
        match node:
            case Number(value):
                return constant(value)
            case Name(name):
                return known[name]
            case Apply(name, arguments):
                number = self._apply(name, [self._value(each, known, keep) for each in arguments])
                stored = is_activation(name) and not self._is_exact(name)
                return keep(node, number) if keep is not None and stored else number

    def _apply(self, name: str, given: list[Exact]) -> Exact:
        if name in HARD and self.activation.mode == "hard":
            return self._value(HARD[name], {"z": given[0]}, None)
        if name in HARD and self.activation.mode == "table":
            table = self._tables[name]
            return table.between(given[0]) if self.activation.linear else table.nearest(given[0])
        if name in OPERATIONS:
            return OPERATIONS[name](*given)
        body = FUNCTIONS[name].body
        if body is None:
            return transcendental(name, given[0])
        # Nothing is stored within a body: only the function as a whole is rounded.
        return self._value(body, bind_arguments(name, given, constant), None)

    @cached_property
    def _tables(self) -> dict[str, LookupTable]:
        """Lookup tables of σ and tanh, in the gates' format."""
        settings, entries = self.settings, self.activation.entries
        gates = settings.formats["gates"]
        return {
            name: LookupTable(name, entries, gates, settings.rounding, settings.overflow)
            for name in HARD
        }

    def _is_exact(self, name: str) -> bool:
        """Whether a function is exact on integers, being built from + - * min max abs."""
        if name in HARD and self.activation.mode == "hard":
            return True
        body = FUNCTIONS[name].body
        if body is None:
            return name in OPERATIONS and name != "/"
        applied = (each.function for each in nodes_in(body) if isinstance(each, Apply))
        return all(map(self._is_exact, applied))
