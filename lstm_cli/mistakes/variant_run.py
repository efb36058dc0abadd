"""Variants of a run, the changes that turn one into another, and mistakes: changes with words.

A `VariantRun` holds everything that determines a run's numbers; a change returns a new one, or
None if it does not apply (no peepholes to swap, no square matrix to transpose). Changes share
the arrays that they do not touch, so that batched variants share their matrix products.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import CellError
from lstm_cli.cell.cells import LSTM, Cell
from lstm_cli.cell.equations import Apply, Name, Node, Number, parse, rewrite
from lstm_cli.cell.roles import Role, roles_of
from lstm_cli.cell.weights import Direction, Model
from lstm_cli.engine.batched_variants import CARRY, START, Member, MemberRun, Rounding
from lstm_cli.engine.calls import Calls

Made = TypeVar("Made")
# The part of each letter in the LSTM, which the rows of the catalogue speak of.
USUAL = {k: role.deed for k, role in roles_of(LSTM).items()}

# Names and shapes, in hashable form.
Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class Cache:
    """Memo of derived arrays, keyed by their sources: the same request gives the same array."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], tuple[object, tuple[object, ...]]] = {}

    def get(self, how: object, make: Callable[..., Made], *sources: Any) -> Made:
        """Return `make(*sources)`, computed once for each `how` and its sources."""
        key = (how, *map(id, sources))
        if key not in self._made:
            # The sources are kept alive so that their ids are not reused.
            self._made[key] = (make(*sources), sources)
        made: Made = self._made[key][0]  # type: ignore[assignment] # the key determines its type
        return made


@dataclass(frozen=True, eq=False)
class GateWeights:
    """The weights of one layer in one direction.

    Attributes:
        arrays: the cell's parameters: `W_k (H, P + I)`, `b_k (H,)`, `p_k (H,)`, `W_hr (P, H)`.
        recurrent: mapping of gate letter to the recurrent part of `b_k`, if known.
        wide: P, the number of columns of `W_k` that multiply `h_prev`.
        letters: the gates that have a `W_k`; "" for a table outside the LSTM family.
    """

    arrays: Mapping[str, Array]
    recurrent: Mapping[str, Array]
    wide: int
    letters: str

    def with_arrays(self, arrays: Mapping[str, Array]) -> GateWeights:
        """Return a copy with some arrays replaced."""
        return replace(self, arrays={**self.arrays, **arrays})


@dataclass(frozen=True, eq=False)
class VariantRun:
    """Everything that determines the numbers of a run.

    Attributes:
        cells, weights, h, c: one per layer and direction, in the order of `Model.runs`.
        x: the input, `(T, I)`.
        start, carry, rounding, turned_back, calls: see `batched_variants.Member`.
    """

    cells: tuple[Cell, ...]
    weights: tuple[GateWeights, ...]
    layout: tuple[tuple[int, Direction], ...]
    x: Array
    h: tuple[Array, ...]
    c: tuple[Array, ...]
    start: Mapping[str, Node] = field(default_factory=lambda: START)
    carry: Mapping[str, Node] = field(default_factory=lambda: CARRY)
    rounding: Rounding | None = None
    turned_back: bool = True
    calls: Calls = ()

    @property
    def shapes(self) -> list[Shapes]:
        """Shapes of what the rows of each run can use: parameters, x and states."""
        return [
            (
                *((name, array.shape) for name, array in own.arrays.items()),
                ("x", (self.x.shape[-1] if not level else self._wide(level - 1),)),
                ("h_prev", h.shape),
                ("c_prev", c.shape),
            )
            for own, (level, _), h, c in zip(self.weights, self.layout, self.h, self.c, strict=True)
        ]

    def _wide(self, level: int) -> int:
        """Output size of a layer over all its directions."""
        return sum(len(h) for h, (own, _) in zip(self.h, self.layout, strict=True) if own == level)

    def member(self) -> Member:
        """Convert the variant to a member of a batch of variants."""
        runs = tuple(
            MemberRun(cell.equations, weights.arrays, h, c)
            for cell, weights, h, c in zip(self.cells, self.weights, self.h, self.c, strict=True)
        )
        return Member(
            runs, self.x, self.start, self.carry, self.rounding, self.turned_back, self.calls
        )

    def with_inputs(
        self, x: Array, h: tuple[Array, ...], c: tuple[Array, ...], calls: Calls = ()
    ) -> VariantRun:
        """Return a copy with other inputs and states of the same sizes."""
        return replace(self, x=x, h=h, c=c, calls=calls)


def variant_of(model: Model, x: Array) -> VariantRun:
    """Return the correct run on `x (T, I)`, from zero states, as a variant without changes."""
    runs = [weights for _, _, weights in model.runs]
    found = []
    for weights in runs:
        letters = "".join(k for k in "ifgo" if f"W_{k}" in weights.arrays)
        wide = weights.output_size + weights.input_size
        joined = all(
            weights.arrays[f"W_{k}"].shape == (weights.hidden_size, wide)
            and f"b_{k}" in weights.arrays
            for k in letters
        )
        own = GateWeights(
            dict(weights.arrays), weights.recurrent_biases, weights.output_size,
            letters * (joined and len(letters) >= 3),
        )  # fmt: skip
        found.append(own)
    return VariantRun(
        tuple(weights.cell for weights in runs),
        tuple(found),
        tuple((level, direction) for level, direction, _ in model.runs),
        np.asarray(x, dtype=np.float64),
        tuple(np.zeros(weights.output_size) for weights in runs),
        tuple(np.zeros(weights.hidden_size) for weights in runs),
    )


# Turns a variant into another; None if it does not apply.
Change = Callable[[VariantRun, Cache], VariantRun | None]
# The same of the weights of each layer and direction.
WeightsChange = Callable[[GateWeights, Cache], GateWeights | None]


@dataclass(frozen=True, eq=False)
class Mistake:
    """One way to get the wrong numbers.

    Attributes:
        id: a short slug.
        title: one line on what was done.
        change: an edit of the table, the weights, the states or the sequence that reproduces it.
        meaning: what it does to the numbers, and when it shows.
        cause: how it comes about.
        source: a thread, file or paper where it was seen.
        formula: what it computes, as text; "" if the edit of the table says it.
        certain: whether the fix is certain once the mistake is; otherwise the cause is a guess.
        numbers: entries in the project's catalogue of mistakes; empty if it is not listed there.
        options: options of `run` that compute the same, "" if there are none.
        kind: "equation", "weights", "order", "bias", "states", "sequence", "numbers",
            "convention".
        tier: 1 if tried first and in pairs, 2 if tried only alone.
    """

    id: str
    title: str
    change: Change
    meaning: str
    cause: str
    fix: str
    source: str = "the project's catalogue"
    formula: str = ""
    certain: bool = True
    numbers: tuple[int, ...] = ()
    options: str = ""
    kind: str = "equation"
    tier: int = 1


class RowEdit(NamedTuple):
    """Rewriting of table rows: in each of `rows`, matches of `find` become `put`.

    `{k}` in the texts is the letter of the row's gate; for wildcards see `equations.rewrite`.
    """

    rows: str
    find: str
    put: str

    def on(self, cell: Cell) -> dict[str, Node]:
        """Return the changed rows of a cell."""
        changed = {}
        for symbol in self.rows.split():
            if symbol in cell.symbols:
                k = symbol.removeprefix("z_")
                texts = (text.replace("{k}", k) for text in (self.find, self.put))
                new = rewrite(cell[symbol].expression, *texts)
                if new not in (None, cell[symbol].expression):
                    changed[symbol] = new
        return changed

    def speaks_of(self, roles: Mapping[str, Role]) -> bool:
        """Whether the letters that the edit names have the LSTM's parts, as far as is plain."""
        own = {symbol.removeprefix("z_") for symbol in self.rows.split()}
        groups = [own & USUAL.keys()]
        if self.rows in ("c", "h") or self.rows in USUAL:  # the texts name single gates
            groups += [{k} for k in re.findall(r"\b[figo]\b", f"{self.find} {self.put}")]
        return all(
            role.deed in {USUAL[other] for other in group}
            and not (role.rest and self.rows in USUAL and self.find == "any")
            for group in groups
            for k in group
            if (role := roles.get(k))
        )


def edits(*changes: tuple[str, str, str], of_family: bool = False) -> Change:
    """Return a change to the table, in every layer and direction.

    Args:
        changes: (rows, find, put), applied in sequence; each must match something.
        of_family: whether only cells of the LSTM family are meant.
    """
    rows = tuple(RowEdit(*each) for each in changes)

    def changed(variant: VariantRun, cache: Cache) -> VariantRun | None:
        if of_family and not all(own.letters for own in variant.weights):
            return None
        cells = tuple(_edited(rows, cell) for cell in variant.cells)
        kept = tuple(cell for cell, shapes in zip(cells, variant.shapes, strict=True)
                     if cell is not None and _computes(cell, shapes))  # fmt: skip
        return replace(variant, cells=kept) if len(kept) == len(cells) else None

    return changed


@lru_cache(maxsize=16384)  # a class of students makes the same mistakes on the same cell
def _edited(edits: tuple[RowEdit, ...], cell: Cell) -> Cell | None:
    """Return the edited cell; None where an edit finds nothing, or makes a circle.

    None too where a letter has another part in c and h than in the LSTM: in
    `c = i * c_prev + f * g` no forget bias is added to z_f.
    """
    roles = roles_of(cell)
    if not all(edit.speaks_of(roles) for edit in edits):
        return None
    for edit in edits:
        rows = edit.on(cell)
        if not rows:
            return None
        try:
            cell = cell.edit(rows, name=cell.name, title=cell.title, keep_all=True)
        except CellError:
            return None
    return cell


@lru_cache(maxsize=16384)
def _computes(cell: Cell, shapes: Shapes) -> bool:
    """Whether an edited table can be computed, since the edited cell may be user-defined.

    The names that the edit inserts must exist (a table may have no `i`), in matching sizes.
    """
    known = dict(shapes)
    try:
        for row in cell.equations:
            known[row.symbol] = (_width(row.expression, known),)
    except (KeyError, ValueError):
        return False
    return (known["h"], known["c"]) == (known["h_prev"], known["c_prev"])


def _width(node: Node, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Size of an expression's value; 0 for a plain number, which fits any size.

    Raises:
        KeyError: a name does not exist.
        ValueError: two sizes that cannot be equal meet.
    """
    match node:
        case Number():
            return 0
        case Name(name):
            return shapes[name][0]
        case Apply("@", (Name(matrix), vector)):
            rows, columns = shapes[matrix]
            if _width(vector, shapes) != columns:
                raise ValueError(matrix)
            return rows
        case Apply("concat", parts):
            return sum(_width(part, shapes) for part in parts)
        case Apply(_, arguments):
            (width,) = {_width(each, shapes) for each in arguments} - {0} or {0}
            return width
    raise AssertionError(node)


def in_turn(changes: Iterable[Change], variant: VariantRun, cache: Cache) -> VariantRun | None:
    """Return the variant with changes made one after the other; None if one does not apply."""
    made: VariantRun | None = variant
    for change in changes:
        made = made and change(made, cache)
    return made


def first_of(changes: Iterable[Change], variant: VariantRun, cache: Cache) -> VariantRun | None:
    """Return the variant with the first change made that applies."""
    made = (change(variant, cache) for change in changes)
    return next((each for each in made if each is not None), None)


def reweighed(change: WeightsChange) -> Change:
    """Return a change to the weights, the same in every layer and direction."""

    def changed(variant: VariantRun, cache: Cache) -> VariantRun | None:
        made = [cache.get(changed, lambda each: change(each, cache), own)
                for own in variant.weights if own.letters]  # fmt: skip
        kept = tuple(own for own in made if own is not None)
        return replace(variant, weights=kept) if len(kept) == len(variant.weights) else None

    return changed


def restated(start: Mapping[str, str], carry: Mapping[str, str]) -> Change:
    """Return a change to the carried states, in terms of h, c (last step) and h_0, c_0 (given)."""
    texts = [*start.items(), *carry.items()]
    crossed = any(("c" in text) != (state == "c_prev") for state, text in texts)
    first, later = ({name: parse(text) for name, text in each.items()} for each in (start, carry))

    def changed(variant: VariantRun, cache: Cache) -> VariantRun | None:
        if crossed and any(h.shape != c.shape for h, c in zip(variant.h, variant.c, strict=True)):
            return None
        return replace(variant, start={**variant.start, **first}, carry={**variant.carry, **later})

    return changed


def resequenced(
    change: Callable[[Array], Array], variant: VariantRun, cache: Cache
) -> VariantRun | None:
    """Return the variant with a change to its input sequence `(T, I)`."""
    return replace(variant, x=cache.get(change, change, variant.x))


@dataclass(frozen=True, eq=False)
class Rounded:
    """Rounding of every named value, and of the inputs as well if `inputs` is set."""

    rounding: Rounding
    inputs: bool = True

    def __call__(self, variant: VariantRun, cache: Cache) -> VariantRun | None:
        """Return the variant in that arithmetic."""
        if variant.rounding is not None:
            return None
        how = self.rounding
        if not self.inputs:
            return replace(variant, rounding=how)

        def rounded(own: GateWeights) -> GateWeights:
            return own.with_arrays({name: how(array) for name, array in own.arrays.items()})

        weights = tuple(cache.get(self, rounded, own) for own in variant.weights)
        return replace(
            variant, weights=weights, x=how(variant.x), h=tuple(map(how, variant.h)),
            c=tuple(map(how, variant.c)), rounding=how,
        )  # fmt: skip
