"""Traits of a cell: its variants and settings, read off its table and turned back into one.

A file format or a convention can express some of these and not others. Whether two cells compute
the same is decided here, by rebuilding the table from its traits and comparing the rows.

A custom table may reorder sums, use other names for rows and parameters, split `W @ [h_prev, x]`,
or swap the letters i and f. The role of each part is read off the rows of c and h; the weights can
then be rewritten in the terms of the traits, which every framework's layout understands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.base.numbers import shortest
from lstm_cli.cell.cells import Cell, Settings, cell_named
from lstm_cli.cell.equations import Apply, Name, Node, Number, is_activation
from lstm_cli.cell.notation import is_parameter, write
from lstm_cli.cell.roles import SUMS
from lstm_cli.cell.weights import LstmWeights

PLAIN_ACTIVATIONS = ("sigmoid", "tanh", "tanh")
# Limit on the parts of a sum or product once nested rows are expanded; no LSTM has more.
MOST_PARTS = 8
LINEAR = "affine(1, 0)"
PRODUCTS = ("*",)


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
        names = (each.name for each in fields(self))
        return [name for name in names if getattr(self, name) != getattr(other, name)]


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
    if traits.projection_bias and "W_hr" in cell.parameters:
        cell = cell.edit({"h": "old + b_hr"}, name=cell.name, title=cell.title)
    plain = base is not None or traits.activations == PLAIN_ACTIVATIONS
    bias = traits.forget_bias if base is None or "z_f" in cell.symbols else 0.0
    activations = "" if plain else ",".join(traits.activations)
    settings = Settings(bias or None, traits.clip or None, traits.cell_clip or None, activations)
    return settings.edit(cell)


def traits_of(cell: Cell) -> Traits | None:
    """Return a cell's traits; None for a table outside the LSTM family, or written otherwise."""
    try:
        traits = _TableReader(cell).traits()
    except _Other:
        return None
    return traits if _rows(build_cell(traits)) == _rows(cell) else None


def standard(weights: LstmWeights) -> LstmWeights:
    """Rewrite a cell and its weights in the terms of the standard LSTM table.

    Raises:
        InputError: the table is not in the LSTM family; says why.
    """
    reading = _TableReader(weights.cell)
    try:
        cell = build_cell(reading.traits())
        if _rows(cell) == reading.rows:
            return weights
        arrays = reading.arrays(weights)
    except _Other as reason:
        raise InputError(
            f"cell {safe(weights.cell.name)} is not in the LSTM family: {reason}",
            where=safe(weights.source),
            hint="only tables equivalent to one of `list cells` can be converted",
        ) from None
    for name in cell.parameters:  # a peephole that only some gates have
        if name.startswith("p_"):
            arrays.setdefault(name, np.zeros(weights.hidden_size))
    return LstmWeights(cell, arrays, weights.source)


def _rows(cell: Cell) -> dict[str, Node]:
    return {row.symbol: row.expression for row in cell.equations}


@dataclass(frozen=True)
class _Term:
    """One term of a pre-activation: `kind` is a value of `_PLACES`, "b", "p" or "constant"."""

    kind: str
    name: str
    sign: float


@dataclass(frozen=True)
class _Gate:
    """A gate or the candidate: an activation of a clipped sum, or 1 minus that (the rest)."""

    activation: str
    clip: float
    terms: frozenset[_Term]
    constant: float
    rest: bool = False


class _Other(Exception):
    """The table is not in the LSTM family."""


def uncoupled(own: Traits, arrays: Mapping[str, Array]) -> tuple[Traits, dict[str, Array]] | None:
    """Rewrite a coupled cell with separate weights for all gates; None if that is impossible.

    1 - σ(z) is σ(-z), so the coupled gate has the weights of the other with opposite sign.
    """
    if not own.coupled or not _is_symmetric(own.activations[0]):
        return None
    free, tied = ("i", "f") if own.coupled == "coupled-forget" else ("f", "i")
    made = dict(arrays) | {f"{kind}_{tied}": -arrays[f"{kind}_{free}"] for kind in "Wbp"
                           if f"{kind}_{free}" in arrays}  # fmt: skip
    if free == "f" and own.forget_bias:
        made["b_i"] = made["b_i"] - own.forget_bias
    return replace(own, coupled=""), made


def _is_symmetric(activation: str) -> bool:
    """Whether 1 - act(z) is act(-z)."""
    name, _, constants = activation.rstrip(")").partition("(")
    beta = [float(each) for each in constants.split(",")[1:]]
    return name in ("sigmoid", "hard_sigmoid_6") or (name == "hard_sigmoid" and beta in ([], [0.5]))


class _TableReader:
    """What a table computes, read from c and h down; `traits` comes first."""

    def __init__(self, cell: Cell) -> None:
        self.rows = _rows(cell)
        self.gates: dict[str, _Gate | None] = {}  # f, i, g, o; None for a coupled one
        self.projection = ""
        self.biases: list[tuple[str, float]] = []

    def traits(self) -> Traits:
        """Return the traits; raises _Other for a table outside the family."""
        cell_clip, output = self._cell_state(), self._hidden_state()
        own = {k: gate for k, gate in self.gates.items() if gate is not None}
        shares = {gate.activation for k, gate in own.items() if k != "g"}
        if len(shares) > 1:
            named = ("none" if each == LINEAR else each for each in sorted(shares))
            raise _Other(f"its gates have different activations: {', '.join(named)}")
        if len({gate.clip for gate in own.values()}) > 1:
            raise _Other("it clips some pre-activations and not others")
        if any(gate.rest for gate in own.values()) and not all(map(_is_symmetric, shares)):
            raise _Other(f"1 minus {', '.join(shares)} is not a gate")
        return Traits(
            coupled="coupled-forget" * ("f" not in own) or "coupled-input" * ("i" not in own),
            peephole=any(term.kind == "p" for gate in own.values() for term in gate.terms),
            projection=bool(self.projection),
            projection_bias=bool(self.biases),
            activations=(*shares, own["g"].activation, output),  # type: ignore[arg-type] # o's is there
            forget_bias=_signed(own["f"]) * own["f"].constant if "f" in own else 0.0,
            clip=own["g"].clip,
            cell_clip=cell_clip,
        )

    def arrays(self, weights: LstmWeights) -> dict[str, Array]:
        """Return the parameters in the terms of the standard table."""
        made: dict[str, Array] = {}
        if self.projection:
            made["W_hr"] = weights.arrays[self.projection]
        if self.biases:
            zeros = np.zeros(weights.output_size)
            made["b_hr"] = sum((sign * weights.arrays[name] for name, sign in self.biases), zeros)
        for k, gate in self.gates.items():
            if gate is not None:
                made |= _gate_arrays(k, gate, weights)
        return made

    # ---- states

    def _cell_state(self) -> float:
        """Read f, i and g; return the clip of c."""
        limit, inner = self._clipped(self.rows["c"])
        terms = self._parts(inner, SUMS)
        products = [[node for node, _ in self._parts(term, PRODUCTS)] for term, _ in terms]
        # The sum may be written in either order; the term with a factor c_prev is what is kept.
        products.sort(key=lambda factors: Name("c_prev") not in factors)
        shares = [Name("c_prev") in factors for factors in products]
        if shares != [True, False] or any(sign < 0 for _, sign in terms):
            raise _Other("its c is not a gated c_prev plus a gated candidate")
        old, factors = products
        old.remove(Name("c_prev"))
        if len(old) != 1:
            raise _Other(f"its c has {'more than one' if old else 'no'} gate on c_prev")
        if len(factors) != 2:
            raise _Other("its c does not have exactly one gate on the candidate")
        keep = self._gate(old[0])
        tied = replace(keep, rest=not keep.rest)
        # Of two factors, the gate is the one coupled to the other gate, or at least of its kind.
        gate, new_one = sorted(
            map(self._gate, factors),
            key=lambda each: (each != tied, each.activation != keep.activation),
        )
        if new_one.rest:
            raise _Other("its candidate is 1 minus an activation")
        self.gates = {"f": keep, "i": gate, "g": new_one}
        if gate == tied:
            self.gates["f" if keep.rest else "i"] = None
        return limit

    def _hidden_state(self) -> str:
        """Read o and a projection; return the activation of c."""
        rest = list[tuple[Node, float]]()
        for term, sign in self._parts(self.rows["h"], SUMS):
            if isinstance(term, Name) and is_parameter(term.id):
                self.biases.append((term.id, sign))
            else:
                rest.append((term, sign))
        if len(rest) != 1 or rest[0][1] < 0:
            raise _Other("its h is not a gate times c")
        shown = rest[0][0]
        match shown:
            case Apply("@", (Name(matrix), vector)):
                self.projection, shown = matrix, vector
        if self.biases and not self.projection:
            raise _Other("its h adds a bias")
        factors = [node for node, _ in self._parts(shown, PRODUCTS)]
        of_c = [each for each in factors if self._activation(each)[1] == Name("c")]
        if len(factors) != 2 or len(of_c) != 1:
            raise _Other("its h is not a gate times c")
        factors.remove(of_c[0])
        self.gates["o"] = self._gate(factors[0], "c")
        return self._activation(of_c[0])[0]

    # ---- gates

    def _gate(self, node: Node, state: str = "c_prev") -> _Gate:
        """Read a gate; `state` is the cell state that its peephole reads."""
        match self._row(node):
            case Apply("-", (Number(1.0), inner)):
                gate = self._gate(inner, state)
                return replace(gate, rest=not gate.rest)
            case found:
                activation, inner = self._activation(found)
        limit, inner = self._clipped(inner)
        constant, terms = 0.0, list[_Term]()
        for part, sign in self._parts(inner, SUMS):
            if isinstance(part, Number):
                constant += sign * part.value
            else:
                terms.append(self._term(part, sign, state))
        if not any(term.kind in _PLACES for term in terms):
            raise _Other(f"{write(node)} is not a gate: it has no weights on x or h_prev")
        if len(set(terms)) < len(terms):
            raise _Other(f"{write(node)} adds the same twice")
        return _Gate(activation, limit, frozenset(terms), constant)

    def _term(self, node: Node, sign: float, state: str) -> _Term:
        match node:
            case Name(name) if is_parameter(name):
                return _Term("b", name, sign)
            case Apply("@", (Name(matrix), vector)):
                read = tuple(self._inputs(vector))
                if read in _PLACES.values():
                    kind = next(kind for kind, inputs in _PLACES.items() if inputs == read)
                    return _Term(kind, matrix, sign)
            case Apply("*", (one, other)):
                pair = {self._row(one), self._row(other)} - {Name(state)}
                if len(pair) == 1:
                    (weight,) = pair
                    if isinstance(weight, Name) and is_parameter(weight.id):
                        return _Term("p", weight.id, sign)
        raise _Other(f"a pre-activation adds {write(node)}")

    def _inputs(self, vector: Node) -> list[str]:
        """Return the concatenated inputs, or [""] for anything else."""
        match self._row(vector):
            case Name(name):
                return [name]
            case Apply("concat", parts) if len(parts) <= MOST_PARTS:
                return [name for part in parts for name in self._inputs(part)]
        return [""]

    # ---- nodes

    def _row(self, node: Node) -> Node:
        """Follow names to the expression they stand for; c itself remains a name."""
        while isinstance(node, Name) and node.id in self.rows and node.id != "c":
            node = self.rows[node.id]
        return node

    def _parts(self, node: Node, signs: tuple[str, ...]) -> list[tuple[Node, float]]:
        """Return the terms of a sum (or factors of a product), fully expanded, with their signs."""
        found, queue = list[tuple[Node, float]](), [(node, 1.0)]
        while queue:
            part, sign = queue.pop(0)
            match self._row(part):
                case Apply(function, (one, *more)) if function in signs:
                    other = sign if function in ("+", "*") else -sign
                    first = other if function == "neg" else sign
                    queue = [(one, first), *((each, other) for each in more), *queue]
                case whole:
                    found.append((whole, sign))
            if len(found) + len(queue) > MOST_PARTS:
                raise _Other(f"{write(node)} has more than {MOST_PARTS} parts")
        return found

    def _clipped(self, node: Node) -> tuple[float, Node]:
        match self._row(node):
            case Apply("clip", (inner, Number(low), Number(high))) if low == -high:
                return high, self._row(inner)
            case Apply("clip", (inner, Apply("neg", (Number(low),)), Number(high))) if low == high:
                return high, self._row(inner)
            case found:
                return 0.0, found

    def _activation(self, node: Node) -> tuple[str, Node]:
        """Return the activation, in the syntax of `--activations`, and its argument."""
        match self._row(node):
            case Apply(function, (inner, *constants)) if is_activation(function):
                numbers = [shortest(each.value) for each in constants
                           if isinstance(each, Number)]  # fmt: skip
                if len(numbers) < len(constants):
                    raise _Other(f"{write(node)} has a constant that is not a number")
                name = f"{function}({', '.join(numbers)})" if numbers else function
                return name, self._row(inner)
            case found:
                return LINEAR, found


# What a matrix multiplies, by the position of its columns in our W.
_PLACES = {"hx": ("h_prev", "x"), "xh": ("x", "h_prev"), "h": ("h_prev",), "x": ("x",)}


def _gate_arrays(k: str, gate: _Gate, weights: LstmWeights) -> dict[str, Array]:
    """Return `W_k`, `b_k` and, if the gate has one, `p_k`."""
    wide, size = weights.output_size, weights.hidden_size
    made = {
        f"W_{k}": np.zeros((size, wide + weights.input_size)),
        f"b_{k}": np.zeros(size),
    }
    for term in gate.terms:
        array = _signed(gate) * term.sign * weights.arrays[term.name]
        match term.kind:
            case "x":
                made[f"W_{k}"][:, wide:] += array
            case "h":
                made[f"W_{k}"][:, :wide] += array
            case "xh":
                made[f"W_{k}"] += np.roll(array, wide, axis=1)
            case "hx":
                made[f"W_{k}"] += array
            case "b":
                made[f"b_{k}"] += array
            case "p":
                made[f"p_{k}"] = made.get(f"p_{k}", 0.0) + array
    if k != "f":
        made[f"b_{k}"] += _signed(gate) * gate.constant
    if k == "g" and "p_g" in made:
        raise _Other("its candidate reads c_prev")
    return made


def _signed(gate: _Gate) -> float:
    """Sign of a gate's weights: 1 - σ(z) is σ(-z)."""
    return -1.0 if gate.rest else 1.0
