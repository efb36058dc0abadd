"""Memory layout of a plan's values, and the grouping of operations into calls.

Values are stored in slabs of `rows` units, one row per unit, so that the gates with the same
activation are adjacent and are computed by one call. What a trace records is in slabs that keep
every step; the rest is in a few temporaries that are reused.

With samples (`fused`), `h_prev`, `x` and a row of ones share a slab, so that a cell's `W @
[h_prev, x] + b` is a single product that writes the pre-activations straight into the trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.engine.plan import Entry, Operation, Piece, Plan, Product, Stage, outs

# Slabs in every schedule: h and c, before the first step and after each one, and x.
H_SLAB, C_SLAB, X_SLAB = 0, 1, 2


@dataclass(frozen=True)
class Slab:
    """Memory for some rows of units.

    Attributes:
        kept: whether it keeps every step.
        early: whether it is filled for many steps at once, before they run.
    """

    rows: int
    kept: bool = False
    early: bool = False


@dataclass(frozen=True)
class SlabRun:
    """`count` consecutive values of one width in a slab.

    `after` is 1 if the position is that of the next step, for the states that a step computes.
    """

    slab: int
    begin: int
    width: int
    count: int = 1
    after: int = 0

    @property
    def rows(self) -> int:
        """Number of units."""
        return self.width * self.count


@dataclass(frozen=True)
class Stack:
    """Constants `(n,)` that one call reads consecutively."""

    values: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One call over the units of a run.

    Attributes:
        function: one of `plan.ELEMENTWISE`, "copy", or "@".
        arguments: runs, stacks of constants, or numbers; the vector of a product.
    """

    function: str
    arguments: tuple[SlabRun | Stack | float, ...]
    out: SlabRun
    matrix: Product | FusedProduct | None = None


@dataclass(frozen=True)
class Schedule:
    """The calls of a plan, and the memory they need.

    Attributes:
        fused: whether `h_prev`, x and a row of ones share one slab.
        early: calls for many steps at once.
        places: where a trace finds the values of rows.
    """

    slabs: tuple[Slab, ...]
    early: tuple[Call, ...]
    steps: tuple[Call, ...]
    places: Mapping[int, SlabRun]
    fused: bool


@lru_cache(maxsize=128)
def schedule(plan: Plan, *, fused: bool) -> Schedule:
    """Return the (cached) calls of a plan.

    Args:
        fused: whether there are samples; if so, what depends on x is computed with its step,
            otherwise for many steps at once.
    """
    return _Scheduler(plan, fused).schedule()


@dataclass
class _Scheduler:
    """Places values and groups operations, greedily, in executable order."""

    plan: Plan
    fused: bool
    slabs: list[Slab] = field(default_factory=list)
    places: dict[int, SlabRun] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def schedule(self) -> Schedule:
        """Return the finished schedule."""
        self.state_values = {name: self.plan.rows[name] for name in ("h", "c")}
        self.recorded = set(self.plan.rows.values())
        self._place_inputs()
        early = () if self.fused else self._gathered(self.plan.inputs, early=True)
        steps = fused_entries(self.plan) if self.fused else self.plan.steps
        calls = self._gathered(steps, early=False)
        calls = _sharing_memory(self.slabs, (*calls, *self._state_copies()))
        return Schedule(tuple(self.slabs), early, calls, self.places, self.fused)

    def _place_inputs(self) -> None:
        h, c, x = (self.plan.rows[name] for name in ("h_prev", "c_prev", "x"))
        high, deep, wide = (self.plan.values[value].width for value in (h, c, x))
        joined = high + wide + 1 if self.fused else high  # with x and the ones
        self.slabs = [Slab(joined, True), Slab(deep, True), Slab(wide, True)]
        self.places[h], self.places[c] = SlabRun(H_SLAB, 0, high), SlabRun(C_SLAB, 0, deep)
        self.places[x] = SlabRun(H_SLAB, high, wide) if self.fused else SlabRun(X_SLAB, 0, wide)

    def _gathered(
        self, entries: Sequence[Entry | FusedProduct], *, early: bool
    ) -> tuple[Call, ...]:
        """Return the calls of a program, merging operations that can run together."""
        self.calls, waiting = [], list(entries)
        while waiting:
            ready = [each for each in waiting if self._is_ready(each)]
            products = [each for each in ready if isinstance(each, Product | FusedProduct)]
            if products:
                self._product(products[0], early)
                waiting.remove(products[0])
                continue
            together = self._largest_kind(ready)
            for run in self._runs(together):
                self._elementwise(run, early)
            waiting = [each for each in waiting if each not in together]
        return tuple(self.calls)

    def _is_ready(self, entry: Entry | FusedProduct) -> bool:
        needed = entry.arguments if isinstance(entry, Operation) else (entry.vector,)
        return all(self._is_constant(each) or each in self.places for each in needed)

    def _is_constant(self, value: int) -> bool:
        return self.plan.values[value].stage == Stage.ONCE

    def _largest_kind(self, ready: Iterable[Entry | FusedProduct]) -> list[Operation]:
        """Return the largest set of ready operations that differ only in their values."""
        kinds: dict[object, list[Operation]] = {}
        for each in ready:
            assert isinstance(each, Operation)
            numbers = tuple(self.plan.values[argument].number for argument in each.arguments)
            width = self.plan.values[each.out].width
            kind = (each.function, numbers, width, each.out in self.recorded)
            kinds.setdefault(kind, []).append(each)
        return max(kinds.values(), key=len)

    def _runs(self, together: list[Operation]) -> Iterator[list[Operation]]:
        """Yield operations whose arguments are consecutive in memory, or the same."""
        run: list[Operation] = []
        for each in sorted(together, key=self._order):
            if run and not self._continues([*run, each]):
                yield run
                run = []
            run.append(each)
        if run:
            yield run

    def _order(self, operation: Operation) -> tuple[int, ...]:
        placed = [self.places[a] for a in operation.arguments if a in self.places]
        return tuple(number for place in placed for number in (place.slab, place.begin))

    def _continues(self, run: list[Operation]) -> bool:
        if run[0].function == "concat" or self._is_state(run[0].out) or self._is_state(run[-1].out):
            return False
        columns = list(zip(*(each.arguments for each in run), strict=True))
        return all(self._argument(column) is not None for column in columns)

    def _is_state(self, value: int) -> bool:
        return value in self.state_values.values()

    def _argument(self, column: Sequence[int]) -> SlabRun | Stack | float | None:
        """Source of one argument for all operations of a call; None if there is no single one."""
        first = self.plan.values[column[0]]
        if first.number is not None:
            return first.number
        if all(self._is_constant(each) for each in column):
            return Stack((column[0],) if len(set(column)) == 1 else tuple(column))
        if any(each not in self.places for each in column):
            return None
        place = self.places[column[0]]
        if len(set(column)) == 1:
            return place
        ends = [
            (place.slab, place.begin + k * place.width, place.after) for k in range(len(column))
        ]
        found = [(p.slab, p.begin, p.after) for p in (self.places[each] for each in column)]
        return replace(place, count=len(column)) if ends == found else None

    def _elementwise(self, run: list[Operation], early: bool) -> None:
        out = self._new([each.out for each in run], early)
        if run[0].function == "concat":
            begin = out.begin
            for part in run[0].arguments:
                width = self.plan.values[part].width
                given = self._argument([part])
                assert given is not None
                self.calls.append(Call("copy", (given,), replace(out, begin=begin, width=width)))
                begin += width
            return
        columns = zip(*(each.arguments for each in run), strict=True)
        given_all = tuple(each for each in map(self._argument, columns) if each is not None)
        self.calls.append(Call(run[0].function, given_all, out))

    def _product(self, product: Product | FusedProduct, early: bool) -> None:
        out = self._new([piece.out for piece in product.pieces], early)
        vector = self.places[product.vector]
        if isinstance(product, FusedProduct):
            vector = SlabRun(H_SLAB, 0, self.slabs[H_SLAB].rows)
        self.calls.append(Call("@", (vector,), out, product))

    def _new(self, outs: list[int], early: bool) -> SlabRun:
        """Place values consecutively in new memory, or new states in their slab."""
        widths = [self.plan.values[out].width for out in outs]
        if len(outs) == 1 and self._is_state(outs[0]) and not early:
            state = H_SLAB if outs[0] == self.state_values["h"] else C_SLAB
            self.places[outs[0]] = SlabRun(state, 0, widths[0], after=1)
            return self.places[outs[0]]
        self.slabs.append(Slab(sum(widths), any(out in self.recorded for out in outs), early))
        slab, begin = len(self.slabs) - 1, 0
        for out, width in zip(outs, widths, strict=True):
            self.places[out] = SlabRun(slab, begin, width)
            begin += width
        alike = len(set(widths)) == 1
        return SlabRun(slab, 0, widths[0] if alike else begin, len(outs) if alike else 1)

    def _state_copies(self) -> Iterator[Call]:
        """Yield copies of new states that were not computed in place."""
        for slab, name in ((H_SLAB, "h"), (C_SLAB, "c")):
            value = self.state_values[name]
            own = SlabRun(slab, 0, self.plan.values[self.plan.rows[f"{name}_prev"]].width, after=1)
            if self.places.get(value) != own:
                given = self._argument([value])
                assert given is not None
                yield Call("copy", (given,), own)


# Functions that NumPy computes in one pass, so that the result may overwrite an argument.
_ONE_PASS = ("+", "-", "*", "/", "neg", "tanh", "exp", "expm1", "abs", "min", "max")


def _sharing_memory(slabs: Sequence[Slab], calls: Sequence[Call]) -> tuple[Call, ...]:
    """Return the calls with dead temporaries reused."""
    last = {run.slab: place for place, call in enumerate(calls) for run in _runs_of(call)}
    taken: dict[int, int] = {}
    free: dict[int, list[int]] = {}
    shared = []
    for place, call in enumerate(calls):
        done = {run.slab: run for run in _runs_of(call) if last[run.slab] == place}
        done = {slab: run for slab, run in done.items() if not slabs[slab].kept
                and not slabs[slab].early and slab != call.out.slab}  # fmt: skip
        in_place = [slab for slab, run in done.items() if call.function in _ONE_PASS
                    and run.rows == call.out.rows == slabs[slab].rows]  # fmt: skip
        for slab in in_place:
            free.setdefault(slabs[slab].rows, []).append(taken[slab])
        own = slabs[call.out.slab]
        if not own.kept and not own.early and call.out.slab not in taken:
            waiting = free.get(own.rows)
            taken[call.out.slab] = waiting.pop() if waiting else call.out.slab
        for slab in done.keys() - set(in_place):
            free.setdefault(slabs[slab].rows, []).append(taken[slab])
        shared.append(_moved(call, taken))
    return tuple(shared)


def _runs_of(call: Call) -> list[SlabRun]:
    return [each for each in (*call.arguments, call.out) if isinstance(each, SlabRun)]


def _moved(call: Call, taken: Mapping[int, int]) -> Call:
    def moved(run: SlabRun) -> SlabRun:
        return replace(run, slab=taken.get(run.slab, run.slab))

    given = tuple(moved(each) if isinstance(each, SlabRun) else each for each in call.arguments)
    return replace(call, arguments=given, out=moved(call.out))


# --------------------------------------------------------------------------------------------------
# Fusion of `U @ h_prev + (W @ x + b)` into one product with `[h_prev, x, 1]`: the joined form of
# the literature. With many samples one large product is faster than two and a sum, and its result
# goes straight into the trace.


@dataclass(frozen=True)
class ProductRow:
    """Some rows of a fused product: `out = state @ h_prev + given @ x + constant`."""

    state: Piece
    given: Piece
    constant: int | None
    out: int


@dataclass(frozen=True)
class FusedProduct:
    """A product with `[h_prev, x, 1]`, with all its rows stacked."""

    vector: int
    pieces: tuple[ProductRow, ...]


def fused_matrix(
    fused: FusedProduct, arrays: Mapping[str, Array], constants: Mapping[int, Array]
) -> Array:
    """Return `(rows, P + I + 1)`: columns that multiply h_prev, x, and 1."""
    rows = []
    for row in fused.pieces:
        both = (arrays[p.parameter][:, p.begin : p.end] for p in (row.state, row.given))
        # These zeros multiply only the row of ones, never a user's number.
        height = len(arrays[row.state.parameter])
        added = np.zeros(height) if row.constant is None else constants[row.constant]
        rows.append(np.concatenate([*both, added[:, None]], axis=1))
    return np.concatenate(rows)


def fused_entries(plan: Plan) -> tuple[Entry | FusedProduct, ...]:
    """Return the entries of inputs and steps in one program, fused where possible."""
    search = _SumSearch(plan, (*plan.inputs, *plan.steps))
    for entry in plan.steps:
        if isinstance(entry, Product) and entry.vector == plan.rows["h_prev"]:
            rows = [search.row(piece) for piece in entry.pieces]
            found = tuple(row for row in rows if row is not None)
            if len(found) == len(rows):
                return search.without(entry, FusedProduct(entry.vector, found))
    return search.entries


@dataclass
class _SumSearch:
    """Finds the sums that contain a product with h_prev."""

    plan: Plan
    entries: tuple[Entry, ...]
    gone: set[int] = field(default_factory=set)

    def row(self, piece: Piece) -> ProductRow | None:
        """Return the row that a piece becomes; None if its value is needed on its own."""
        first = total = self._only_reader(piece.out)
        if first is None or first.function != "+" or first.arguments[0] != piece.out:
            return None
        base, constant = first.arguments[1], None
        inner = self._maker(base)
        self.gone |= {piece.out, first.out}
        if isinstance(inner, Operation):
            if not self._adds_a_constant(inner) or self._only_reader(base) is not total:
                return None
            self.gone.add(inner.out)
            total, (base, constant) = inner, (inner.arguments[0], inner.arguments[1])
        given = self._given(base)
        if given is None or self._only_reader(base) is not total:
            return None
        self.gone.add(base)
        return ProductRow(piece, given, constant, first.out)

    def without(self, product: Product, fused: FusedProduct) -> tuple[Entry | FusedProduct, ...]:
        """Return the entries with the fused product replacing everything it computes."""
        kept: list[Entry | FusedProduct] = []
        for entry in self.entries:
            if entry is product:
                kept.append(fused)
            elif isinstance(entry, Operation):
                kept += [entry] if entry.out not in self.gone else []
            elif pieces := tuple(each for each in entry.pieces if each.out not in self.gone):
                kept.append(Product(entry.vector, pieces))
        return tuple(kept)

    def _only_reader(self, value: int) -> Operation | None:
        """Return the only operation that reads a value; None if anything else needs it."""
        if value in self.plan.rows.values():
            return None
        readers = [
            each for each in self.entries
            if value in (each.arguments if isinstance(each, Operation) else (each.vector,))
        ]  # fmt: skip
        only = readers[0] if len(readers) == 1 else None
        return only if isinstance(only, Operation) else None

    def _maker(self, value: int) -> Entry | None:
        for each in self.entries:
            if value in outs(each):
                return each
        return None

    def _adds_a_constant(self, operation: Operation) -> bool:
        added = self.plan.values[operation.arguments[-1]]
        return operation.function == "+" and added.stage == Stage.ONCE and added.number is None

    def _given(self, value: int) -> Piece | None:
        """Return the piece of a product with x that computes a value."""
        maker = self._maker(value)
        if not isinstance(maker, Product) or maker.vector != self.plan.rows["x"]:
            return None
        return next(piece for piece in maker.pieces if piece.out == value)
