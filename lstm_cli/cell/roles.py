"""What the rows of a cell do to its states, inferred from the rows of c and h, not from letters.

In `c = i * c_prev + f * g` it is i that keeps and f that writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, Protocol

from lstm_cli.base.records import value_record
from lstm_cli.cell.equations import Apply, Equation, Name, Node, Number, names_in

Deed = Literal["keep", "write", "propose", "show"]
DEEDS: tuple[Deed, ...] = ("keep", "write", "propose", "show")
SUMS = ("+", "-", "neg")


class _Table(Protocol):
    """What of a cell, which imports this, is read here: its rows, by symbol and in order."""

    @property
    def equations(self) -> tuple[Equation, ...]: ...
    @property
    def symbols(self) -> tuple[str, ...]: ...
    def __getitem__(self, symbol: str) -> Equation: ...
    def __hash__(self) -> int: ...


@value_record
class Role:
    """What a row's value is multiplied by, if that tells what the row is for.

    Attributes:
        deed: "keep": it multiplies c_prev in c; "write": it is a gate on something new in c;
            "propose": it is that new value itself; "show": it multiplies what h shows of c.
        partner: what it multiplies.
        rest: whether the factor is 1 minus the value: `(1 - f) * c_prev` keeps what f leaves.
        mixed: the matrix that then mixes the units, "" if none.
    """

    deed: Deed
    partner: Node
    rest: bool = False
    mixed: str = ""


def kept_factor(cell: _Table) -> Node | None:
    """Factor of c_prev in c: `f`, `1 - u` or 1; None if c is not such a sum."""
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


@lru_cache(maxsize=1024)  # a diagnosis edits a cell in hundreds of ways
def roles_of(cell: _Table) -> dict[str, Role]:
    """Map symbols to roles for the rows whose role is clear from c and h; keepers first."""
    found: list[tuple[str, Role]] = []
    kept = kept_factor(cell)
    if kept is not None:
        found += _as_factor(cell, kept, Role("keep", Name("c_prev")))
    terms = [term for term, _ in _terms(cell["c"].expression)]
    for term in terms:
        match _factors(term):
            case [one, other] if names_in(one) and names_in(other) and not _reads(term, "c_prev"):
                swapped = _is_share(cell, other) and not _is_share(cell, one)
                gate, new = (other, one) if swapped else (one, other)
                if _read_by(terms, new) > 1:
                    continue
                found += _as_factor(cell, gate, Role("write", new))
                if isinstance(new, Name):
                    found += _as_factor(cell, new, Role("propose", gate))
    mixtures = list(_terms(cell["h"].expression))
    for term, mixed in mixtures:
        match _factors(term):
            case [one, other] if _read_by([each for each, _ in mixtures], Name("c")) == 1:
                gate, shown = (other, one) if names_in(one) == ["c"] else (one, other)
                if names_in(shown) == ["c"]:
                    found += _as_factor(cell, gate, Role("show", shown, mixed=mixed))
    # A row that does the same thing twice has no single partner.
    deeds = [(symbol, role.deed) for symbol, role in found]
    plain = [each for each in found if deeds.count((each[0], each[1].deed)) == 1]
    roles: dict[str, Role] = {}
    for symbol, role in sorted(plain, key=lambda each: DEEDS.index(each[1].deed)):
        roles.setdefault(symbol, role)
    return roles


def is_layer(node: Node) -> bool:
    """Whether an expression reads x or h_prev through a matrix, as a pre-activation does."""
    match node:
        case Apply("@", (_, vector)):
            return bool({"x", "h_prev"} & set(names_in(vector)))
        case Apply(name, arguments) if name in SUMS:
            return any(is_layer(each) for each in arguments)
    return False


def pre_activations(cell: _Table) -> set[str]:
    """Rows that are a layer, or add something to one; a state is none."""
    found = set[str]()
    for row in cell.equations:
        added = row.expression
        if is_layer(added) or (isinstance(added, Apply) and added.function in SUMS
                               and found & set(names_in(added))):  # fmt: skip
            found.add(row.symbol)
    return found - {"c", "h"}


def misnamed(cell: _Table, base: _Table) -> set[str]:
    """Rows that an edit gave another part in c and h than their labels say, and their sums."""
    roles = roles_of(cell)
    other = {k for k, was in roles_of(base).items() if k in roles and roles[k].deed != was.deed}
    sums = pre_activations(cell)
    return other | {z for k in other for z in names_in(cell[k].expression) if z in sums}


def _terms(node: Node, mixed: str = "") -> Iterator[tuple[Node, str]]:
    """Yield the terms that sum to a state, before any clip, and the matrix applied to it."""
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


def _read_by(terms: list[Node], part: Node) -> int:
    """Number of terms that read a part: a share of what another term adds too is no share."""
    return sum(bool(set(names_in(part)) & set(names_in(term))) for term in terms)


def _as_factor(cell: _Table, factor: Node, role: Role) -> list[tuple[str, Role]]:
    """Return the role with its symbol if a factor is a row's value or 1 minus that."""
    match factor:
        case Name(symbol) if symbol in cell.symbols:
            return [(symbol, role)]
        case Apply("-", (Number(1.0), Name(symbol))) if symbol in cell.symbols:
            return [(symbol, Role(role.deed, role.partner, True, role.mixed))]
    return []


def _is_share(cell: _Table, node: Node) -> bool:
    """Whether an expression always lies between 0 and 1 by construction."""
    match node:
        case Name(symbol) if symbol in cell.symbols:
            return _is_share(cell, cell[symbol].expression)
        case Apply("-", (Number(1.0), share)):
            return _is_share(cell, share)
        case Apply(function, _):
            return function in ("sigmoid", "hard_sigmoid", "hard_sigmoid_6")
    return False
