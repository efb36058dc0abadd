"""What makes a cell what it is: its variants and settings, read off its table and back.

A file format or a convention can hold some of these and not others; whether two cells compute the
same is decided here, by building the table again from its traits and comparing the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Literal

from lstm_cli.cells import (
    Cell,
    cell_named,
    with_activations,
    with_cell_clip,
    with_clip,
    with_forget_bias,
)
from lstm_cli.equations import Apply, Name, Node, Number, is_activation, names_in
from lstm_cli.notation import number_text

PLAIN_ACTIVATIONS = ("sigmoid", "tanh", "tanh")


@dataclass(frozen=True)
class Traits:
    """A cell of the LSTM's family, described.

    Attributes:
        coupled: "coupled-forget" (f = 1 - i), "coupled-input" (i = 1 - f) or "".
        peephole: whether the gates see the cell state.
        projection: whether h is projected.
        projection_bias: whether the projection has a bias.
        activations: gate, candidate, output, as `--activations` takes them.
        forget_bias: what is added to z_f at run time.
        clip: the clip of pre-activations, 0 for none.
        cell_clip: the clip of the cell state, 0 for none.
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
        traits: what to build.
        base: a cell whose variants and activations hold in place of the traits' own; only forget
            bias, projection bias and clips are then added, where it has rows for them.

    Raises:
        CellError: traits that exclude each other (a forget bias without a forget gate).
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
    """Return a cell's traits; None for a table that is not of the LSTM's family."""
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
    """Return the outermost activation of a row as `--activations` takes it, "" for none."""
    found = _find(node)
    if found is None:
        return ""
    constants = [each for each in found.arguments[1:] if isinstance(each, Number)]
    inner = ", ".join(number_text(each.value) for each in constants)
    return f"{found.function}({inner})" if inner else found.function


def _find(node: Node) -> Apply | None:
    if not isinstance(node, Apply):
        return None
    if is_activation(node.function):
        return node
    return next((found for each in node.arguments if (found := _find(each))), None)


def _argument(node: Node) -> Node:
    found = _find(node)
    return found.arguments[0] if found else node


def _clip(node: Node) -> tuple[float, Node]:
    """Return the limit of a clip and what is clipped; 0 and the node itself where there is none."""
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


# ---- what the rows do to the states, whatever they are called

Deed = Literal["keep", "write", "propose", "show"]
DEEDS: tuple[Deed, ...] = ("keep", "write", "propose", "show")


@dataclass(frozen=True)
class Role:
    """What a row's value is multiplied with, where that says what it is for.

    Attributes:
        deed: "keep": it multiplies c_prev in c; "write": it is a gate on something new in c;
            "propose": it is that, by its own name; "show": it multiplies what h shows of c.
        partner: what it multiplies.
        rest: whether 1 less the value is the factor: `(1 - f) * c_prev` keeps what f does not drop.
        mixed: the matrix that then mixes the units, "" for none.
    """

    deed: Deed
    partner: Node
    rest: bool = False
    mixed: str = ""


def kept_factor(cell: Cell) -> Node | None:
    """Return what multiplies c_prev in c: `f`, `1 - u`, 1; None where c is not such a sum."""
    found = [_factors(term) for term, _ in _terms(cell["c"].expression) if _reads(term, "c_prev")]
    if len(found) != 1 or Name("c_prev") not in found[0]:
        return None
    (factors,) = found
    factors.remove(Name("c_prev"))
    if any(_reads(each, "c_prev") for each in factors):
        return None
    product, *more = factors or [Number(1.0)]
    for each in more:
        product = Apply("*", (product, each))
    return product


@lru_cache(maxsize=64)
def roles_of(cell: Cell) -> dict[str, Role]:
    """Return symbol -> role, of the rows whose role is plain from c and h; keepers first.

    Nothing here goes by a letter: in `c = i * c_prev + f * g` it is i that keeps.
    """
    found: list[tuple[str, Role]] = []
    kept = kept_factor(cell)
    if kept is not None:
        found += _as_factor(cell, kept, Role("keep", Name("c_prev")))
    for term, _ in _terms(cell["c"].expression):
        match _factors(term):
            case [one, other] if names_in(one) and names_in(other) and not _reads(term, "c_prev"):
                gate, new = (other, one) if _is_gate(cell, other, one) else (one, other)
                found += _as_factor(cell, gate, Role("write", new))
                if isinstance(new, Name):
                    found += _as_factor(cell, new, Role("propose", gate))
    for term, mixed in _terms(cell["h"].expression):
        match _factors(term):
            case [one, other]:
                gate, shown = (other, one) if names_in(one) == ["c"] else (one, other)
                if names_in(shown) == ["c"]:
                    found += _as_factor(cell, gate, Role("show", shown, mixed=mixed))
    # A row that does the same thing twice has no one partner to speak of.
    deeds = [(symbol, role.deed) for symbol, role in found]
    plain = [each for each in found if deeds.count((each[0], each[1].deed)) == 1]
    roles: dict[str, Role] = {}
    for symbol, role in sorted(plain, key=lambda each: DEEDS.index(each[1].deed)):
        roles.setdefault(symbol, role)
    return roles


def _terms(node: Node, mixed: str = "") -> Iterator[tuple[Node, str]]:
    """Yield what a state is the sum of, before any clip, with the matrix that it goes through."""
    match node:
        case Apply("+", (one, other)):
            yield from _terms(one, mixed)
            yield from _terms(other, mixed)
        case Apply("-", (one, other)):
            yield from _terms(one, mixed)
            yield Apply("neg", (other,)), mixed
        case Apply("clip", (inner, *_)):
            yield from _terms(inner, mixed)
        case Apply("@", (Name(matrix), vector)) if not mixed:
            yield from _terms(vector, matrix)
        case _:
            yield node, mixed


def _factors(node: Node) -> list[Node]:
    match node:
        case Apply("*", (one, other)):
            return _factors(one) + _factors(other)
    return [node]


def _reads(node: Node, name: str) -> bool:
    return name in names_in(node)


def _as_factor(cell: Cell, factor: Node, role: Role) -> list[tuple[str, Role]]:
    """Return the role with its symbol, where a factor is a row's value or 1 less that."""
    match factor:
        case Name(symbol) if symbol in cell.symbols:
            return [(symbol, role)]
        case Apply("-", (Number(1.0), Name(symbol))) if symbol in cell.symbols:
            return [(symbol, Role(role.deed, role.partner, True, role.mixed))]
    return []


def _is_gate(cell: Cell, one: Node, other: Node) -> bool:
    """Return whether of two factors it is the first that looks like the gate of the second."""
    return _is_share(cell, one) and not _is_share(cell, other)


def _is_share(cell: Cell, node: Node) -> bool:
    """Return whether an expression is made to lie between 0 and 1."""
    match node:
        case Name(symbol) if symbol in cell.symbols:
            return _is_share(cell, cell[symbol].expression)
        case Apply("-", (Number(1.0), share)):
            return _is_share(cell, share)
        case Apply(function, _):
            return function in ("sigmoid", "hard_sigmoid", "hard_sigmoid_6")
    return False
