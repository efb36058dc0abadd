"""A cell's table as straight-line array operations, which the fast engines run.

The rows of the parsed table of any cell are lowered to three short programs over numbered values.
A user's names become indices, and functions with a body in the grammar (hard_sigmoid, elu, clip,
…) are expanded into primitives.

Guarantees to an engine:

- `plan.values[k]` describes value `k`: its width n, its stage, and where it comes from: a
  `number` (width 0, the only values of width 0), a `name` (a vector parameter, `x`, `h_prev`,
  `c_prev`), or, if it has neither, an operation. Every value is computed exactly once.
- `plan.once`, `plan.inputs` and `plan.steps` are run in this order: what depends only on
  parameters is computed once, what depends on x but no state is computed for all steps at once,
  and the rest step by step. Each program is in executable order; a value is read only by its own
  or a later stage.
- An entry is an `Operation` or a `Product`. The function of an operation is one of `ELEMENTWISE`
  or "concat"; elementwise arguments are values of the operation's own width, or numbers, and at
  least one is not a number. A product has one vector and all matrices that multiply it in that
  stage, stacked: `stacked_matrix` has the rows of all its pieces, in order. Pieces whose values
  reach the same activation are adjacent, in the same order for all products, so that `recurrent
  part + input part` and `sigmoid` run over contiguous memory.
- In a sum with a product, the terms that do not depend on the state are added first (`W_x @ x +
  b`, for all steps): rounding follows a different order than in the table. All else follows it.
- Matrices are not padded with zeros: 0 · inf would be nan where the table has none.
- `plan.rows` has the value of every symbol of a trace: `x`, `h_prev` and `c_prev`, then the rows in
  table order. Two rows may share a value, and the value of a row may be a parameter, an input or
  from any stage. The next step's `h_prev` and `c_prev` are `rows["h"]` and `rows["c"]`.

Here W is `(rows, columns)` and vectors are `(n,)`; engines add axes for samples and steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache, partial

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Apply, Name, Node, Number, bind_arguments, function_named
from lstm_cli.cell.notation import is_parameter
from lstm_cli.cell.shapes import Size
from lstm_cli.cell.weights import LstmWeights
from lstm_cli.engine.fast_math import MEASURED_ULP

# The functions that an engine implements, as defined by `equations.FUNCTIONS`.
ELEMENTWISE = ("+", "-", "*", "/", "neg", "sigmoid", "tanh", "softplus", "exp", "expm1", "abs",
               "min", "max", "heaviside")  # fmt: skip


class Stage(IntEnum):
    """When a value can be computed."""

    ONCE = 0
    INPUT = 1
    STEP = 2


@dataclass(frozen=True)
class Value:
    """A number, an input, a parameter, or the result of an operation.

    Attributes:
        width: n; 0 for a number.
        name: the name of a parameter or input, otherwise "".
    """

    width: int
    stage: Stage
    number: float | None = None
    name: str = ""


@dataclass(frozen=True)
class Operation:
    """`out = function(*arguments)`, elementwise or a concatenation."""

    function: str
    arguments: tuple[int, ...]
    out: int


@dataclass(frozen=True)
class Piece:
    """`out = parameter[:, begin:end] @ vector`, with the vector of its product."""

    parameter: str
    begin: int
    end: int
    out: int


@dataclass(frozen=True)
class Product:
    """All matrices that multiply one vector, stacked."""

    vector: int
    pieces: tuple[Piece, ...]


Entry = Operation | Product


def outs(entry: Entry) -> tuple[int, ...]:
    """Return the values that an entry computes."""
    return (entry.out,) if isinstance(entry, Operation) else tuple(p.out for p in entry.pieces)


@dataclass(frozen=True, eq=False)
class Plan:
    """A cell of given sizes as three programs; see the module docstring."""

    cell: Cell
    sizes: Mapping[str, int]
    values: tuple[Value, ...]
    once: tuple[Entry, ...]
    inputs: tuple[Entry, ...]
    steps: tuple[Entry, ...]
    rows: Mapping[str, int]


def plan_of(weights: LstmWeights) -> Plan:
    """Return the (cached) plan for a cell of these sizes."""
    return _plan(weights.cell, tuple(sorted(weights.sizes.items())))


def stacked_matrix(product: Product, arrays: Mapping[str, Array]) -> Array:
    """Stack the matrices of a product, `(rows of all pieces, n)`."""
    return np.concatenate([arrays[p.parameter][:, p.begin : p.end] for p in product.pieces])


@lru_cache(maxsize=64)
def _plan(cell: Cell, sizes: tuple[tuple[str, int], ...]) -> Plan:
    lowering = _Lowering(cell, dict(sizes))
    rows = lowering.rows()
    once, inputs, steps = (tuple(lowering.program(stage)) for stage in Stage)
    return Plan(cell, lowering.sizes, tuple(lowering.values), once, inputs, steps, rows)


# A term of a sum: its sign and its value.
Term = tuple[int, int]


@dataclass
class _Lowering:
    """Lowers the rows of a table to operations, without repeating common subexpressions."""

    cell: Cell
    sizes: Mapping[str, int]
    values: list[Value] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    known: dict[object, int] = field(default_factory=dict)

    def rows(self) -> dict[str, int]:
        """Lower every row; return the value of each symbol."""
        inputs = {"x": Stage.INPUT, "h": Stage.STEP, "c": Stage.STEP}
        rows = dict[str, int]()
        for symbol, stage in inputs.items():
            name = symbol if symbol == "x" else f"{symbol}_prev"
            rows[name] = self._named(name, self._width(self.cell.shapes[symbol][0]), stage)
        for equation in self.cell.equations:
            rows[equation.symbol] = self._lower(equation.expression, rows)
        return rows

    def program(self, stage: Stage) -> Iterator[Entry]:
        """Yield the entries of a stage, with products stacked at the position of the first."""
        own = [each for each in self.entries if self.values[outs(each)[0]].stage == stage]
        pieces: dict[int, list[Piece]] = {}
        for each in own:
            if isinstance(each, Product):
                pieces.setdefault(each.vector, []).extend(each.pieces)
        for each in own:
            if isinstance(each, Operation):
                yield each
            elif each.vector in pieces:
                yield Product(each.vector, self._neighbours(pieces.pop(each.vector)))

    def _neighbours(self, pieces: list[Piece]) -> tuple[Piece, ...]:
        """Reorder pieces so that those that reach the same function are adjacent."""
        reached = [self._reaches(piece.out) for piece in pieces]
        order = sorted(range(len(pieces)), key=lambda k: (reached.index(reached[k]), k))
        return tuple(pieces[k] for k in order)

    def _reaches(self, value: int) -> tuple[object, ...]:
        """Return the first function other than a sum that a value reaches, with its constants."""
        readers = [e for e in self.entries if isinstance(e, Operation) and value in e.arguments]
        for reader in readers:
            if reader.function not in ("+", "-"):
                numbers = (self.values[each].number for each in reader.arguments)
                return (reader.function, *numbers)
        return self._reaches(readers[0].out) if readers else ()

    def _lower(self, node: Node, names: Mapping[str, int]) -> int:
        """Lower a tree to a value."""
        match node:
            case Number(number):
                return self._number(number)
            case Name(name) if is_parameter(name) and name not in names:
                return self._named(name, self._width(self.cell.parameters[name][0]), Stage.ONCE)
            case Name(name):
                return names[name]
            case Apply() if _sums_a_product(node):
                return self._total(self._terms(node, names))
            case Apply(function, arguments):
                return self._apply(function, [self._lower(each, names) for each in arguments])

    def _apply(self, function: str, given: list[int]) -> int:
        definition = function_named(function)
        if definition.body is not None:
            body = definition.formula or definition.body
            return self._lower(body, bind_arguments(function, given, self._number))
        parts = [self.values[each] for each in given]
        if all(part.number is not None for part in parts):
            assert definition.compute is not None
            with np.errstate(all="ignore"):
                return self._number(float(definition.compute(*(part.number for part in parts))))
        widths = [part.width for part in parts]
        width = sum(widths) if function == "concat" else max(widths)
        value = Value(width, max(part.stage for part in parts))
        key = (function, *given)
        return self._made(key, value, lambda out: Operation(function, tuple(given), out))

    def _terms(self, node: Node, names: Mapping[str, int]) -> list[Term]:
        """Return the terms of a sum with a product; a product with a concatenation is a sum."""
        match node:
            case Apply("+" | "-" as sign, (left, right)):
                factor = 1 if sign == "+" else -1
                right_terms = self._terms(right, names)
                return self._terms(left, names) + [(factor * s, v) for s, v in right_terms]
            case Apply("@", (Name(matrix), vector)):
                return [(1, value) for value in self._products(matrix, vector, names)]
        return [(1, self._lower(node, names))]

    def _products(self, matrix: str, vector: Node, names: Mapping[str, int]) -> Iterator[int]:
        rows, begin = self._width(self.cell.parameters[matrix][0]), 0
        for part in _parts(vector):
            value = self._lower(part, names)
            end = begin + self.values[value].width
            made = partial(_product, value, matrix, begin, end)
            key = ("@", matrix, begin, end, value)
            yield self._made(key, Value(rows, self.values[value].stage), made)
            begin = end

    def _total(self, terms: list[Term]) -> int:
        """Return the sum of terms, adding those of an earlier stage first."""
        total: list[Term] = []
        for stage in Stage:
            own = [term for term in terms if self.values[term[1]].stage == stage]
            if own:
                # Products first: all gates then add their input parts in one call.
                own.sort(key=lambda term: not self._is_product(term[1]))
                count = sum(self._is_product(value) for _, value in own)
                total = [self._added(own[:count] + total + own[count:])]
        ((sign, value),) = total
        return value if sign > 0 else self._apply("neg", [value])

    def _added(self, terms: Sequence[Term]) -> Term:
        """Return a sum from left to right, starting with a term that is not subtracted if any."""
        first = next((k for k, (sign, _) in enumerate(terms) if sign > 0), 0)
        overall, value = terms[first]
        for sign, other in (*terms[:first], *terms[first + 1 :]):
            value = self._apply("+" if sign == overall else "-", [value, other])
        return overall, value

    def _is_product(self, value: int) -> bool:
        return any(isinstance(each, Product) and value in outs(each) for each in self.entries)

    def _number(self, number: float) -> int:
        # Keyed by sign as well: -0.0 == 0.0, and nan is not equal to itself.
        value = Value(0, Stage.ONCE, number=float(number))
        return self._made(("number", float(number).hex()), value)

    def _named(self, name: str, width: int, stage: Stage) -> int:
        return self._made(("name", name), Value(width, stage, name=name))

    def _made(self, key: object, value: Value, entry: object = None) -> int:
        if key not in self.known:
            self.known[key] = len(self.values)
            self.values.append(value)
            if callable(entry):
                self.entries.append(entry(self.known[key]))
        return self.known[key]

    def _width(self, size: Size) -> int:
        return sum(self.sizes[atom] for atom in size)


def _product(vector: int, matrix: str, begin: int, end: int, out: int) -> Product:
    return Product(vector, (Piece(matrix, begin, end, out),))


def _sums_a_product(node: Node) -> bool:
    match node:
        case Apply("@", _):
            return True
        case Apply("+" | "-", arguments):
            return any(_sums_a_product(each) for each in arguments)
    return False


def _parts(vector: Node) -> Iterable[Node]:
    """Yield the vectors that a tree concatenates."""
    if isinstance(vector, Apply) and vector.function == "concat":
        for each in vector.arguments:
            yield from _parts(each)
    else:
        yield vector


# --------------------------------------------------------------------------------------------------
# A plan arranged into loops, for numba: what is computed together, and what is stored in memory in
# between.
#
# A *group* is computed unit by unit between two products: one loop, whose values stay in registers
# except those that a trace keeps or a later phase reads. A function of another function's result,
# such as the tanh of c, which depends on the gates, gets a loop of its own, with everything that
# only it and its successors need: a processor looks about two hundred instructions ahead, and so it
# overlaps the tanh of several units.

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
