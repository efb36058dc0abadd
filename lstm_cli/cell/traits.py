"""Traits of a cell: its variants and settings, derived from its table and turned back into one.

A file format or a convention can express some of these and not others. Whether two cells compute
the same is decided here, by rebuilding the table from its traits and comparing the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from lstm_cli.base.numbers import shortest
from lstm_cli.cell.cells import (
    Cell,
    cell_named,
    with_activations,
    with_cell_clip,
    with_clip,
    with_forget_bias,
)
from lstm_cli.cell.equations import Apply, Node, Number, is_activation, nodes_in

PLAIN_ACTIVATIONS = ("sigmoid", "tanh", "tanh")


@dataclass(frozen=True)
class Traits:
    """Description of a cell of the LSTM family.

    Attributes:
        coupled: "coupled-forget" (f = 1 - i), "coupled-input" (i = 1 - f) or "".
        activations: gate, candidate, output, as `--activations` takes them.
        forget_bias: constant added to z_f at run time.
        clip: the limit on pre-activations, 0 for none.
        cell_clip: the limit on the cell state, 0 for none.
    """

    coupled: str = ""
    peephole: bool = False
    projection: bool = False
    projection_bias: bool = False
    activations: tuple[str, str, str] = PLAIN_ACTIVATIONS
    forget_bias: float = 0.0
    clip: float = 0.0
    cell_clip: float = 0.0

    def differences(self, other: Traits) -> list[str]:
        """Return the names of the attributes in which two cells differ."""
        return [
            each.name
            for each in fields(self)
            if getattr(self, each.name) != getattr(other, each.name)
        ]


def build_cell(traits: Traits, base: Cell | None = None) -> Cell:
    """Return the table of a cell with these traits.

    Args:
        base: a cell whose variants and activations override those of the traits; only forget
            bias, projection bias and clips are then added, if it has rows for them.

    Raises:
        CellError: incompatible traits (a forget bias without a forget gate).
    """
    there = (traits.coupled, "peephole" * traits.peephole, "projection" * traits.projection)
    cell = base or cell_named("+".join(name for name in there if name) or "lstm")
    if base is None and traits.activations != PLAIN_ACTIVATIONS:
        gate, candidate, output = traits.activations
        cell = with_activations(cell, gate=gate, candidate=candidate, output=output, name=cell.name)
    if traits.forget_bias and (base is None or "z_f" in cell.symbols):
        cell = with_forget_bias(cell, traits.forget_bias)
    if traits.projection_bias and "W_hr" in cell.parameters:
        cell = cell.edit({"h": "old + b_hr"}, name=cell.name, title=cell.title)
    if traits.clip:
        cell = with_clip(cell, traits.clip)
    if traits.cell_clip:
        cell = with_cell_clip(cell, traits.cell_clip)
    return cell


def traits_of(cell: Cell) -> Traits | None:
    """Return a cell's traits; None for a table outside the LSTM family."""
    if not {"f", "i", "g", "o", "c", "h"} <= set(cell.symbols):
        return None
    gate = _activation(cell["o"].expression)
    limit, stored = _clip(cell["c"].expression)
    traits = Traits(
        coupled="coupled-forget" * ("z_f" not in cell.symbols)
        or "coupled-input" * ("z_i" not in cell.symbols),
        peephole=any(name.startswith("p_") for name in cell.parameters),
        projection="W_hr" in cell.parameters,
        projection_bias="b_hr" in cell.parameters,
        activations=(gate, _activation(cell["g"].expression), _activation(cell["h"].expression)),
        forget_bias=_constant(cell["z_f"].expression) if "z_f" in cell.symbols else 0.0,
        clip=_clip(_argument(cell["o"].expression))[0],
        cell_clip=limit,
    )
    if "" in traits.activations or stored is None:
        return None
    same = _rows(build_cell(traits)) == _rows(cell)
    return traits if same else None


def _rows(cell: Cell) -> dict[str, Node]:
    return {row.symbol: row.expression for row in cell.equations}


def _activation(node: Node) -> str:
    """Return the outermost activation of a row in the syntax of `--activations`, "" for none."""
    found = _find(node)
    if found is None:
        return ""
    constants = [each for each in found.arguments[1:] if isinstance(each, Number)]
    inner = ", ".join(shortest(each.value) for each in constants)
    return f"{found.function}({inner})" if inner else found.function


def _find(node: Node) -> Apply | None:
    found = (each for each in nodes_in(node) if isinstance(each, Apply))
    return next((each for each in found if is_activation(each.function)), None)


def _argument(node: Node) -> Node:
    found = _find(node)
    return found.arguments[0] if found else node


def _clip(node: Node) -> tuple[float, Node]:
    """Return the limit of a clip and its argument; 0 and the node itself if there is no clip."""
    match node:
        case Apply("clip", (inner, Number(), Number(high))):
            return high, inner
    return 0.0, node


def _constant(node: Node) -> float:
    match node:
        case Apply("+", (_, Number(value))):
            return value
        case Apply("-", (_, Number(value))):
            return -value
    return 0.0
