"""A plan arranged into loops: what is computed together, and what is stored in memory in between.

A *group* is computed unit by unit between two products: one loop, whose values stay in registers
except those that a trace keeps or a later phase reads. A function of another function's result,
such as the tanh of c, which depends on the gates, gets a loop of its own, with everything that only
it and its successors need: a processor looks about two hundred instructions ahead, and so it
overlaps the tanh of several units.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from lstm_cli.engine.fast_math import MEASURED_ULP
from lstm_cli.engine.plan import Entry, Operation, Plan, Product, Stage

# Functions of many instructions: those based on exp.
_LONG = frozenset(MEASURED_ULP)


@dataclass(frozen=True)
class UnitLoop:
    """A loop over units.

    Attributes:
        operations: elementwise operations of one width, in executable order.
        loads: values read from memory.
        stores: values that a later phase of the step reads and the trace does not keep.
        rows: (value, slot) of what the trace keeps, where later phases read it.
    """

    width: int
    operations: tuple[Operation, ...]
    loads: tuple[int, ...]
    stores: tuple[int, ...]
    rows: tuple[tuple[int, int], ...]


# One part of a step; a bare Operation is a concatenation.
Phase = UnitLoop | Product | Operation


@dataclass(frozen=True, eq=False)
class Program:
    """A plan arranged into loops.

    Attributes:
        before: entries that depend on x but no state and that a product in `early` needs, computed
            for all steps before the first.
        early: products that depend on x but no state and that nothing in `before` needs, computed
            for many steps at once.
        given: x and values of `before` that `early` or the phases read.
        slots: the value of each array that a trace keeps; 0 is h, 1 is c.
        crossing: values passed from one phase to another, in memory private to the step.
    """

    plan: Plan
    before: tuple[Entry, ...]
    early: tuple[Product, ...]
    given: tuple[int, ...]
    phases: tuple[Phase, ...]
    slots: tuple[int, ...]
    crossing: tuple[int, ...]

    @property
    def groups(self) -> tuple[UnitLoop, ...]:
        """The phases that are loops over units."""
        return tuple(phase for phase in self.phases if isinstance(phase, UnitLoop))

    @property
    def products(self) -> tuple[Product, ...]:
        """The phases that are products with a state, or with a value derived from it."""
        return tuple(phase for phase in self.phases if isinstance(phase, Product))

    @property
    def states(self) -> tuple[int, int]:
        """The values `h_prev` and `c_prev`."""
        return self.plan.rows["h_prev"], self.plan.rows["c_prev"]


@lru_cache(maxsize=64)
def program_of(plan: Plan) -> Program:
    """Arrange a plan into loops."""
    projection, later = _split_inputs(plan)
    slots = [plan.rows["h"], plan.rows["c"]]
    inputs = {plan.rows[name] for name in ("x", "h_prev", "c_prev")}
    for value in plan.rows.values():
        kept = value not in slots and value not in inputs
        if kept and plan.values[value].stage != Stage.ONCE:
            slots.append(value)
    made = {out for entry in projection for out in outs(entry)} | {plan.rows["x"]}
    arranger = _Arranger(plan, [*later, *plan.steps], slots, known=made | inputs)
    phases = arranger.phases()
    before, early = _split_products(projection)
    read = {value for phase in (*early, *phases) for value in reads(phase)}
    given = tuple(sorted((made & read) - {out for product in early for out in outs(product)}))
    crossing = {
        out
        for each in phases
        for out in (each.stores if isinstance(each, UnitLoop) else outs(each))
    }
    return Program(plan, before, early, given, phases, tuple(slots), tuple(sorted(crossing)))


def outs(entry: Entry) -> tuple[int, ...]:
    """Return the values that an entry computes."""
    return (entry.out,) if isinstance(entry, Operation) else tuple(p.out for p in entry.pieces)


def _split_inputs(plan: Plan) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Split the entries into those that products with x need and those that can wait."""
    needed = set[int]()
    early: list[Entry] = []
    for entry in reversed(plan.inputs):
        if isinstance(entry, Product):
            needed.add(entry.vector)
            early.append(entry)
        elif entry.out in needed:
            needed |= set(entry.arguments)
            early.append(entry)
    early.reverse()
    return tuple(early), tuple(entry for entry in plan.inputs if entry not in early)


def _split_products(projection: tuple[Entry, ...]) -> tuple[tuple[Entry, ...], tuple[Product, ...]]:
    """Split the input projection into what its products need and the products nothing needs."""
    needed = {value for entry in projection for value in reads(entry)}
    early = tuple(
        entry
        for entry in projection
        if isinstance(entry, Product) and not needed & set(outs(entry))
    )
    return tuple(entry for entry in projection if entry not in early), early


def reads(phase: Phase) -> tuple[int, ...]:
    """Return the values that a phase reads from memory."""
    match phase:
        case UnitLoop():
            return phase.loads
        case Product():
            return (phase.vector,)
        case Operation():
            return phase.arguments


@dataclass
class _Arranger:
    """Orders entries into few, large groups, with products as early as possible."""

    plan: Plan
    waiting: list[Entry]
    slots: list[int]
    known: set[int]
    order: list[list[Entry]] = field(default_factory=list)

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases, with final copies of the rows that no group computes."""
        while self.waiting:
            ready = [entry for entry in self.waiting if self._is_ready(entry)]
            alone = [entry for entry in ready if not _is_elementwise(entry)]
            self._take([alone[0]] if alone else self._together(ready[0]))
        made = [self._phase(place) for place in range(len(self.order))]
        return (*made, *self._copies(made))

    def _is_ready(self, entry: Entry) -> bool:
        stages = self.plan.values
        return all(v in self.known or stages[v].stage == Stage.ONCE for v in reads(entry))

    def _take(self, entries: list[Entry]) -> None:
        self.order.append(entries)
        self.waiting = [entry for entry in self.waiting if entry not in entries]
        self.known |= {out for entry in entries for out in outs(entry)}

    def _together(self, first: Entry) -> list[Entry]:
        """Return the ready operations of one width that can be computed in the same loop."""
        width, before = self._width(first), set(self.known)
        taken: list[Operation] = []
        for entry in self.waiting:
            if _is_elementwise(entry) and self._width(entry) == width and self._is_ready(entry):
                assert isinstance(entry, Operation)
                taken.append(entry)
                self.known |= set(outs(entry))
        self.known = before
        ahead = _functions_ahead(taken)
        # Successors of the last function go with it.
        most = max(1, *ahead.values())
        return [entry for entry in taken if max(1, ahead[entry.out]) == most]

    def _width(self, entry: Entry) -> int:
        return self.plan.values[outs(entry)[0]].width

    def _phase(self, place: int) -> Phase:
        entries = self.order[place]
        if not _is_elementwise(entries[0]):
            return entries[0]
        operations = [entry for entry in entries if isinstance(entry, Operation)]
        made = {operation.out for operation in operations}
        given = (each for operation in operations for each in operation.arguments)
        loads = [v for v in dict.fromkeys(given) if v not in made and not self._is_number(v)]
        others = [e for each in (*self.order[:place], *self.order[place + 1 :]) for e in each]
        wanted = {value for entry in others for value in reads(entry)}
        rows = [(value, slot) for slot, value in enumerate(self.slots) if value in made]
        stores = tuple(sorted((made & wanted) - set(self.slots)))
        return UnitLoop(
            self._width(entries[0]), tuple(operations), tuple(loads), stores, tuple(rows)
        )

    def _is_number(self, value: int) -> bool:
        return self.plan.values[value].number is not None

    def _copies(self, made: Iterable[Phase]) -> Iterator[UnitLoop]:
        """Yield a group for each row that is just a product, an input or a parameter."""
        done = {slot for phase in made if isinstance(phase, UnitLoop) for _, slot in phase.rows}
        for slot, value in enumerate(self.slots):
            if slot not in done:
                width = self.plan.values[value].width
                yield UnitLoop(width, (), (value,), (), ((value, slot),))


def _functions_ahead(operations: Sequence[Operation]) -> dict[int, int]:
    """For each value, count the functions on the longest chain from it, including its own."""
    after = dict.fromkeys((operation.out for operation in operations), 0)
    ahead = dict[int, int]()
    for operation in reversed(operations):
        ahead[operation.out] = after[operation.out] + (operation.function in _LONG)
        for value in operation.arguments:
            after[value] = max(after.get(value, 0), ahead[operation.out])
    return ahead


def _is_elementwise(entry: Entry) -> bool:
    return isinstance(entry, Operation) and entry.function != "concat"
