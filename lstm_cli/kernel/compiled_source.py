"""A plan as the text of a few loops, for numba to compile.

Only indices of the plan become identifiers (`v3`, `r0`), and only its numbers, written by
`float.hex`, become literals: no text of a user's table reaches the source.

A *group* is all that can be computed unit by unit between two products: one loop, whose values stay
in registers but for those that a trace keeps or a later part reads. The same groups serve three
ways of running over samples and steps; see `compiled`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from lstm_cli.kernel.plan import Entry, Operation, Plan, Product, Stage

_OPERATORS = ("+", "-", "*", "/")


@dataclass(frozen=True)
class Group:
    """A loop over units.

    Attributes:
        operations: elementwise, of one width, in an order in which they can be computed.
        loads: values that come from memory.
        stores: values that go to memory that a later part of the step reads.
        rows: (value, slot) of what a trace keeps.
    """

    width: int
    operations: tuple[Operation, ...]
    loads: tuple[int, ...]
    stores: tuple[int, ...]
    rows: tuple[tuple[int, int], ...]


# What a step does one after another; an Operation alone is a concatenation.
Phase = Group | Product | Operation


@dataclass(frozen=True, eq=False)
class Program:
    """A plan arranged for loops.

    Attributes:
        plan: what it is made of.
        prelude: what needs x but no state, up to the last product: done for many steps at once.
        fed: the values of the prelude (and x) that the phases read.
        phases: what each step does.
        slots: the value of each array that a trace keeps; 0 is h, 1 is c.
        crossing: values that live from one phase to another, in memory of the step's own.
    """

    plan: Plan
    prelude: tuple[Entry, ...]
    fed: tuple[int, ...]
    phases: tuple[Phase, ...]
    slots: tuple[int, ...]
    crossing: tuple[int, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        """The phases that are loops over units."""
        return tuple(phase for phase in self.phases if isinstance(phase, Group))

    @property
    def products(self) -> tuple[Product, ...]:
        """The phases that are products with a state, or with what is made of it."""
        return tuple(phase for phase in self.phases if isinstance(phase, Product))

    @property
    def states(self) -> tuple[int, int]:
        """The values `h_prev` and `c_prev`."""
        return self.plan.rows["h_prev"], self.plan.rows["c_prev"]


@lru_cache(maxsize=64)
def program_of(plan: Plan) -> Program:
    """Return a plan arranged for loops."""
    prelude, later = _split_inputs(plan)
    slots = [plan.rows["h"], plan.rows["c"]]
    inputs = {plan.rows[name] for name in ("x", "h_prev", "c_prev")}
    for value in plan.rows.values():
        kept = value not in slots and value not in inputs
        if kept and plan.values[value].stage != Stage.ONCE:
            slots.append(value)
    made = {out for entry in prelude for out in outs(entry)} | {plan.rows["x"]}
    arranger = _Arranger(plan, [*later, *plan.steps], slots, known=made | inputs)
    phases = arranger.phases()
    read = {value for phase in phases for value in _reads(phase)}
    fed = tuple(sorted(made & read))
    crossing = {out for phase in phases for out in _memory(phase)}
    return Program(plan, prelude, fed, phases, tuple(slots), tuple(sorted(crossing)))


def outs(entry: Entry) -> tuple[int, ...]:
    """Return the values that an entry makes."""
    return (entry.out,) if isinstance(entry, Operation) else tuple(p.out for p in entry.pieces)


def _split_inputs(plan: Plan) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Return the entries that products with x need, and those that can wait for their step."""
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


def _reads(phase: Phase) -> tuple[int, ...]:
    match phase:
        case Group():
            return phase.loads
        case Product():
            return (phase.vector,)
        case Operation():
            return phase.arguments


def _memory(phase: Phase) -> tuple[int, ...]:
    return phase.stores if isinstance(phase, Group) else outs(phase)


@dataclass
class _Arranger:
    """Puts entries in an order with few and large groups: products as early as they can be."""

    plan: Plan
    waiting: list[Entry]
    slots: list[int]
    known: set[int]
    order: list[list[Entry]] = field(default_factory=list)

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases, with copies at the end of what no group has made."""
        while self.waiting:
            ready = [entry for entry in self.waiting if self._is_ready(entry)]
            alone = [entry for entry in ready if not _is_elementwise(entry)]
            self._take([alone[0]] if alone else self._together(ready[0]))
        made = [self._phase(place) for place in range(len(self.order))]
        return (*made, *self._copies(made))

    def _is_ready(self, entry: Entry) -> bool:
        needed = entry.arguments if isinstance(entry, Operation) else (entry.vector,)
        return all(
            value in self.known or self.plan.values[value].stage == Stage.ONCE for value in needed
        )

    def _take(self, entries: list[Entry]) -> None:
        self.order.append(entries)
        self.waiting = [entry for entry in self.waiting if entry not in entries]
        self.known |= {out for entry in entries for out in outs(entry)}

    def _together(self, first: Entry) -> list[Entry]:
        """Return all operations of one width that can be computed in one go."""
        width, before = self._width(first), set(self.known)
        taken: list[Entry] = []
        for entry in self.waiting:
            if _is_elementwise(entry) and self._width(entry) == width and self._is_ready(entry):
                taken.append(entry)
                self.known |= set(outs(entry))
        self.known = before
        return taken

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
        wanted = {
            value for entry in others
            for value in (entry.arguments if isinstance(entry, Operation) else (entry.vector,))
        }  # fmt: skip
        rows = [(value, slot) for slot, value in enumerate(self.slots) if value in made]
        stores = tuple(sorted(made & wanted))
        return Group(self._width(entries[0]), tuple(operations), tuple(loads), stores, tuple(rows))

    def _is_number(self, value: int) -> bool:
        return self.plan.values[value].number is not None

    def _copies(self, made: Iterable[Phase]) -> Iterator[Group]:
        """Yield a group for each row that is a product, an input or a parameter as it is."""
        done = {slot for phase in made if isinstance(phase, Group) for _, slot in phase.rows}
        for slot, value in enumerate(self.slots):
            if slot not in done:
                width = self.plan.values[value].width
                yield Group(width, (), (value,), (), ((value, slot),))


def _is_elementwise(entry: Entry) -> bool:
    return isinstance(entry, Operation) and entry.function != "concat"


@lru_cache(maxsize=64)
def source_of(program: Program, dtype: str) -> str:
    """Return the text of the module: `units`, which does everything, and a `pass_k` for a group."""
    lines = [f"# {dtype}; made from a table of equations", *_HEAD.splitlines()]
    for place, value in enumerate(program.plan.values):
        if value.number is not None:
            lines.append(f'v{place} = number(float.fromhex("{value.number.hex()}"))')
    used = {each.function for group in program.groups for each in group.operations}
    functions = sorted(used - {*_OPERATORS, "neg"})
    lines += [f"f_{name} = functions[{name!r}]" for name in functions]
    for place, group in enumerate(program.groups):
        lines += ["", *_group(place, group, program)]
        lines += ["", *_pass(place, group)]
    lines += ["", *_units(program)]
    return "\n".join(lines) + "\n"


# `inner` compiles what is put into its caller whole and whose arrays do not overlap, `outer` what
# Python calls. Places are unsigned, as numba looks for negative indices in all others.
_HEAD = """
zero = number(0)
U = unsigned
U0, U1, U2, U3, U4 = U(0), U(1), U(2), U(3), U(4)


@inner
def copy(n, source, begin, out, start):
    for j in range(n):
        out[start + j] = source[begin + j]


@inner
def product(columns, rows, matrix, vector, out):
    # out = matrix.T @ vector; a row of `matrix` is what one number of the vector meets
    for j in range(rows):
        out[j] = zero
    k = U0
    while k + U4 <= columns:
        a, b, c, d = vector[k], vector[k + U1], vector[k + U2], vector[k + U3]
        p = k * rows
        q = p + rows
        r = q + rows
        s = r + rows
        for j in range(rows):
            out[j] += a * matrix[p + j] + b * matrix[q + j] + c * matrix[r + j] + d * matrix[s + j]
        k += U4
    while k < columns:
        a = vector[k]
        p = k * rows
        for j in range(rows):
            out[j] += a * matrix[p + j]
        k += U1

"""


def group_arrays(group: Group) -> list[tuple[str, int]]:
    """Return what a group's function takes: ("load" | "store", value) and ("row", slot)."""
    given = [("load", value) for value in group.loads]
    given += [("store", value) for value in group.stores]
    return given + [("row", slot) for _, slot in group.rows]


def _group(place: int, group: Group, program: Program) -> Iterator[str]:
    arrays = group_arrays(group)
    names = ", ".join(f"a{k}, b{k}" for k in range(len(arrays)))
    yield "@inner"
    yield f"def group_{place}(n, {names}):"
    yield "    for j in range(n):"
    for k, value in enumerate(group.loads):
        yield f"        v{value} = a{k}[b{k} + j]"
    for operation in group.operations:
        yield f"        v{operation.out} = {_call(operation)}"
    for k, (kind, each) in enumerate(arrays):
        if kind != "load":
            value = each if kind == "store" else program.slots[each]
            yield f"        a{k}[b{k} + j] = v{value}"


def _call(operation: Operation) -> str:
    given = [f"v{each}" for each in operation.arguments]
    if operation.function in _OPERATORS:
        return f" {operation.function} ".join(given)
    return f"-{given[0]}" if operation.function == "neg" else (
        f"f_{operation.function}({', '.join(given)})"
    )  # fmt: skip


def _pass(place: int, group: Group) -> Iterator[str]:
    """Yield a group over samples; `places[:, k]` is begin, a step's and a sample's stride."""
    count = len(group_arrays(group))
    names = ", ".join(f"a{k}" for k in range(count))
    given = ", ".join(
        f"a{k}, places[0, {k}] + t * places[1, {k}] + s * places[2, {k}]" for k in range(count)
    )
    yield "@outer"
    yield f"def pass_{place}(step, samples, width, places, {names}):"
    yield "    t = U(step)"
    yield "    n = U(width)"
    yield "    for s in range(U(samples)):"
    yield f"        group_{place}(n, {given})"


@lru_cache(maxsize=64)
def units_arguments(program: Program) -> list[str]:
    """Return the names of what `units` takes, in order; `compiled` fills them in."""
    names = ["samples", "begin", "end"]
    names += [f"n{k}" for k in range(len(program.groups))]
    names += [f"p{value}" for value in parameters_read(program)]
    for value in program.fed:
        names += [f"x{value}", f"stride{value}"]
    for k in range(len(program.products)):
        names += [f"matrix{k}", f"columns{k}", f"sums{k}"]
    names += [f"w{value}" for value in program.crossing]
    names += ["state0", "state1"]
    for slot in range(len(program.slots)):
        names += [f"r{slot}", f"length{slot}", f"width{slot}"]
    return [*names, *(f"wide{value}" for value in joined_parts(program))]


@lru_cache(maxsize=64)
def parameters_read(program: Program) -> list[int]:
    """Return the values known once that the phases read."""
    read = {value for phase in program.phases for value in _reads(phase)}
    values = program.plan.values
    return sorted(v for v in read if values[v].stage == Stage.ONCE and values[v].number is None)


@lru_cache(maxsize=64)
def joined_parts(program: Program) -> list[int]:
    """Return the parts of concatenations, whose widths must be known exactly."""
    joins = [phase for phase in program.phases if isinstance(phase, Operation)]
    return sorted({part for join in joins for part in join.arguments})


def _units(program: Program) -> Iterator[str]:
    """Yield the function that runs samples and steps, units side by side."""
    where = _unit_places(program)
    yield "@outer"
    yield f"def units({', '.join(units_arguments(program))}):"
    yield "    first = U(begin)"
    yield "    count = U(end) - first"
    whole = ("n", "stride", "columns", "length", "width", "wide")
    for name in units_arguments(program):
        if name.rstrip("0123456789") in whole:
            yield f"    u_{name} = U({name})"
    yield "    for s in range(U(samples)):"
    for k in (0, 1):
        start = f"s * u_length{k} + first * u_width{k}"
        yield f"        copy(u_width{k}, r{k}, {start}, state{k}, U0)"
    yield "        for t in range(count):"
    counts = {"group": 0, "product": 0}
    for phase in program.phases:
        for line in _unit_phase(phase, counts, where):
            yield f"            {line}"
    for k in (0, 1):
        yield f"            copy(U(len(state{k})), r{k}, {_row_place(k)}, state{k}, U0)"


def _unit_phase(
    phase: Phase, counts: dict[str, int], where: Mapping[int, tuple[str, str]]
) -> Iterator[str]:
    match phase:
        case Group():
            k = counts["group"]
            counts["group"] += 1
            places = []
            for kind, each in group_arrays(phase):
                name, begin = (f"r{each}", _row_place(each)) if kind == "row" else where[each]
                places.append(f"{name}, {begin}")
            yield f"group_{k}(u_n{k}, {', '.join(places)})"
        case Product():
            k = counts["product"]
            counts["product"] += 1
            vector, _ = where[phase.vector]
            yield f"product(u_columns{k}, U(len(sums{k})), matrix{k}, {vector}, sums{k})"
        case Operation():
            begin = "U0"
            for part in phase.arguments:
                source, start = where[part]
                yield f"copy(u_wide{part}, {source}, {start}, w{phase.out}, {begin})"
                begin += f" + u_wide{part}"


def _row_place(slot: int) -> str:
    """Return where a step's row begins; new states stand one step later, behind the given ones."""
    after = " + U1" if slot < 2 else ""
    return f"s * u_length{slot} + (first + t{after}) * u_width{slot}"


def _unit_places(program: Program) -> dict[int, tuple[str, str]]:
    """Return value -> the array and the index where `units` finds it."""
    where = {value: (f"p{value}", "U0") for value in parameters_read(program)}
    where |= {value: (f"x{value}", f"(s * count + t) * u_stride{value}") for value in program.fed}
    where |= {value: (f"w{value}", "U0") for value in program.crossing}
    return where | {value: (f"state{k}", "U0") for k, value in enumerate(program.states)}
