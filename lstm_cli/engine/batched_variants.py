"""Batched evaluation of many variants of one run, for the search for a mistake.

Each member has its own tables, parameters, inputs and states. Members mostly share their rows, so
each step evaluates every distinct row once, on all members that have it: a thousand variants of
one run cost about as much as a batch of a thousand samples.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.equations import Apply, Equation, Name, Node, evaluate, names_in, parse
from lstm_cli.cell.notation import is_parameter, write
from lstm_cli.cell.weights import Direction, Merge
from lstm_cli.engine.calls import Calls, order_of
from lstm_cli.engine.run import merged

Rounding = Callable[[Array], Array]

# The states of the first step in terms of h_0, c_0 (given), and of later steps in terms of h, c.
START: Mapping[str, Node] = {"h_prev": parse("h_0"), "c_prev": parse("c_0")}
CARRY: Mapping[str, Node] = {"h_prev": parse("h"), "c_prev": parse("c")}
# Members per chunk, so that their states fit in the cache.
CHUNK = 768


@dataclass(frozen=True, eq=False)
class MemberRun:
    """One layer in one direction of a member.

    Attributes:
        h, c: the states before the first step, `(P,)` and `(H,)`.
    """

    rows: tuple[Equation, ...]
    parameters: Mapping[str, Array]
    h: Array
    c: Array


@dataclass(frozen=True, eq=False)
class Member:
    """One way to compute a run.

    Attributes:
        runs: every layer and direction, in the order of `Model.runs`.
        x: the input, `(T, I)`.
        start, carry: `h_prev` and `c_prev` of the first step and of every later step.
        rounding: applied to every named value; None for no rounding.
        turned_back: whether a backward direction's outputs are reversed to input time.
        calls: the lengths of consecutive calls; () is a single one.
    """

    runs: tuple[MemberRun, ...]
    x: Array
    start: Mapping[str, Node] = field(default_factory=lambda: START)
    carry: Mapping[str, Node] = field(default_factory=lambda: CARRY)
    rounding: Rounding | None = None
    turned_back: bool = True
    calls: Calls = ()


class Other(NamedTuple):
    """The h of another direction that is merged with a run's own.

    Attributes:
        t: its input time, from 1.
    """

    merge: Merge
    run: int
    t: int


@dataclass(frozen=True, eq=False)
class Target:
    """Numbers to compare with: one symbol of one run at one time step.

    Attributes:
        symbol: that of a row, or `x`, `h_prev`, `c_prev`.
        values: `(n,)`; nan where nothing is claimed.
        tolerance: `(n,)`, the largest difference that counts as equal.
        other: the direction whose h is merged with that of the run, if any.
    """

    symbol: str
    values: Array
    tolerance: Array
    other: Other | None = None


# (index of the run, t from 1) -> what is known there
Targets = Mapping[tuple[int, int], Sequence[Target]]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Results of the comparison for each member.

    Attributes:
        excess: the largest ratio of a difference to its tolerance, `(K,)`; at most 1 is a fit. For
            a member dropped early, the excess at which it was dropped.
        difference: the largest difference, `(K,)`.
        values: (run, symbol) -> `(K, T, n)` in input time, if requested.
    """

    excess: Array
    difference: Array
    values: Mapping[tuple[int, str], Array]


def evaluate_members(
    members: Sequence[Member],
    layout: Sequence[tuple[int, Direction]],
    targets: Targets | None = None,
    *,
    give_up: float = np.inf,
    keep: Sequence[str] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> Verdicts:
    """Evaluate members and compare them with the targets.

    Args:
        members: members with the same number of runs, steps, calls and sizes.
        targets: what to compare with; None skips the comparison.
        give_up: members with a larger excess are dropped.
        keep: symbols to return (needs `give_up` to be inf).
        progress: called with the number of members done since the last call.
    """

    def evaluated(chunk: Sequence[Member]) -> Verdicts:
        return _Evaluation(chunk, layout, targets or {}, give_up, keep).verdicts()

    chunks = [members[start : start + CHUNK] for start in range(0, len(members), CHUNK)]
    parts = []
    for part in _mapped(evaluated, chunks):
        parts.append(part)
        progress(len(part.excess))
    return Verdicts(
        np.concatenate([part.excess for part in parts]),
        np.concatenate([part.difference for part in parts]),
        {key: np.concatenate([part.values[key] for part in parts]) for key in parts[0].values},
    )


def _arrays(node: Node, run: MemberRun) -> tuple[tuple[str, int], ...]:
    """Names and identities of the arrays that a node uses in a run."""
    used = (name for name in names_in(node) if is_parameter(name))
    return tuple((name, id(run.parameters[name])) for name in used)


@lru_cache(maxsize=4096)
def _products_lifted(node: Node) -> tuple[Node, tuple[tuple[str, Node], ...]]:
    """Replace each matrix product in a row by a name; return the row and the (name, product)s."""
    lifted: dict[str, Node] = {}

    def lift(part: Node) -> Node:
        if not isinstance(part, Apply):
            return part
        if part.function == "@":
            name = f"@{write(part)}"  # no parameter starts with @
            lifted[name] = part
            return Name(name)
        return Apply(part.function, tuple(lift(each) for each in part.arguments))

    return lift(node), tuple(lifted.items())


def _mapped(
    evaluated: Callable[[Sequence[Member]], Verdicts], chunks: Sequence[Sequence[Member]]
) -> Iterator[Verdicts]:
    """Yield the result of each chunk, using threads since NumPy releases the interpreter lock."""
    if len(chunks) == 1:
        yield evaluated(chunks[0])
        return
    with ThreadPoolExecutor(min(len(chunks), os.cpu_count() or 1)) as pool:
        yield from pool.map(evaluated, chunks)


@dataclass(eq=False)
class _Evaluation:
    """Evaluation of a chunk of members through layers and time."""

    members: Sequence[Member]
    layout: Sequence[tuple[int, Direction]]
    targets: Targets
    give_up: float
    keep: Sequence[str]
    kept: dict[tuple[int, str], Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.excess, self.difference = np.zeros((2, len(self.members)))

    def verdicts(self) -> Verdicts:
        alive = np.arange(len(self.members))
        inputs = np.stack([member.x for member in self.members])
        last_layer = max(level for level, _ in self.layout)
        merges = [(key, each) for key, found in self.targets.items()
                  for each in found if each.other]  # fmt: skip
        for level in range(last_layer + 1):
            outputs: dict[int, Array] = {}
            needed = level < last_layer or bool(merges)
            for number, (own, direction) in enumerate(self.layout):
                if own == level:
                    outputs[number] = self._run(number, direction, alive, inputs, needed)
            for (number, t), target in merges:
                if target.other and number in outputs:
                    parts = (
                        outputs[number][:, t - 1],
                        outputs[target.other.run][:, target.other.t - 1],
                    )
                    self._compare(alive, merged(parts, target.other.merge), target)
            still = self.excess[alive] <= self.give_up
            alive = alive[still]
            if not len(alive):
                break
            if level < last_layer:
                inputs = np.concatenate([each[still] for each in outputs.values()], axis=-1)
        return Verdicts(self.excess, self.difference, self.kept)

    def _run(
        self, number: int, direction: Direction, alive: Array, inputs: Array, needed: bool
    ) -> Array:
        """Run one layer and direction; return h `(alive, T, P)` in input time if it is needed."""
        members = [self.members[k] for k in alive]
        steps = inputs.shape[1]
        outputs = (
            np.zeros((len(alive), steps, len(members[0].runs[number].h))) if needed else inputs
        )
        batch = _Batch(members, number)
        places = np.arange(len(alive))  # indices of the remaining members in `alive`
        turned = np.array([member.turned_back for member in members])
        order = order_of(direction, members[0].calls, steps)
        for count, t in enumerate(order):
            values = batch.step(inputs[places, t])
            for back in {True} if direction == "forward" else set(turned[places].tolist()):
                own = turned[places] == back if direction == "backward" else slice(None)
                time = t if back else count
                mine = alive[places[own]]
                self._judge(number, time, mine, values, own)
                self._keep(number, time, steps, mine, values, own)
                if needed:
                    outputs[places[own], time] = values["h"][own]
            lost = self.excess[alive[places]] > self.give_up
            if lost.any():
                places = places[~lost]
                if not len(places):
                    break
                batch.restrict(~lost)
        return outputs

    def _judge(
        self, number: int, t: int, mine: Array, values: Mapping[str, Array], own: Any
    ) -> None:
        for target in self.targets.get((number, t + 1), ()):
            if target.symbol not in values:
                self.excess[mine] = self.difference[mine] = np.inf
            elif not target.other:
                self._compare(mine, values[target.symbol][own], target)

    def _compare(self, mine: Array, ours: Array, target: Target) -> None:
        """Compare the numbers `(mine, n)` of some members with a target."""
        with np.errstate(all="ignore"):  # a difference that overflows counts as infinite
            off = np.abs(ours - target.values)
            off[np.isnan(off) & ~np.isnan(target.values)] = np.inf
            off[:, np.isnan(target.values)] = 0.0
            excess = (off / target.tolerance).max(axis=1)
        self.difference[mine] = np.maximum(self.difference[mine], off.max(axis=1))
        self.excess[mine] = np.maximum(self.excess[mine], excess)

    def _keep(
        self, number: int, t: int, steps: int, mine: Array, values: Mapping[str, Array], own: Any
    ) -> None:
        for symbol in self.keep:
            if symbol in values:
                key = (number, symbol)
                if key not in self.kept:
                    width = values[symbol].shape[-1]
                    self.kept[key] = np.full((len(self.members), steps, width), np.nan)
                self.kept[key][mine, t] = values[symbol][own]


@dataclass(frozen=True, eq=False)
class _Task:
    """One distinct row, and the members that have it."""

    symbol: str
    node: Node
    names: tuple[str, ...]
    parameters: Mapping[str, Array]
    own: Any  # a slice, or the indices of the members
    rounding: Rounding | None = None


class _Batch:
    """The members of one run, their states, and the rows to evaluate at each step."""

    def __init__(self, members: list[Member], number: int) -> None:
        self.number = number
        runs = [member.runs[number] for member in members]
        self.given = {"h_0": np.stack([r.h for r in runs]), "c_0": np.stack([r.c for r in runs])}
        self.last: dict[str, Array] = {}
        self._plan(members)

    def restrict(self, keep: Array) -> None:
        """Keep only some of the members."""
        self.given = {name: array[keep] for name, array in self.given.items()}
        self.last = {name: array[keep] for name, array in self.last.items()}
        self._plan([member for member, kept in zip(self.members, keep, strict=True) if kept])

    def _plan(self, members: list[Member]) -> None:
        """Group equal rows, in table order and then by their expressions."""
        self.members = members
        self.tasks: list[_Task] = []
        orders: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for k, member in enumerate(self.members):
            orders[tuple(row.symbol for row in member.runs[self.number].rows)].append(k)
        for symbols, ks in orders.items():
            for place, symbol in enumerate(symbols):
                self.tasks += self._tasks(symbol, place, ks)
        self.start = self._carries("start")
        self.carry = self._carries("carry")

    def _tasks(self, symbol: str, place: int, ks: list[int]) -> list[_Task]:
        """Return the tasks of one row, first its matrix products, which most members share."""
        products: dict[str, dict[Any, list[int]]] = defaultdict(lambda: defaultdict(list))
        rows: dict[Any, list[int]] = defaultdict(list)
        for k in ks:
            member = self.members[k]
            run = member.runs[self.number]
            node, lifted = _products_lifted(run.rows[place].expression)
            for name, product in lifted:
                products[name][product, _arrays(product, run), None].append(k)
            rows[node, _arrays(node, run), member.rounding].append(k)
        tasks = []
        for name, groups in products.items():
            tasks += self._grouped(name, groups)
        return tasks + self._grouped(symbol, rows)

    def _grouped(self, symbol: str, groups: Mapping[Any, list[int]]) -> list[_Task]:
        tasks = []
        for (node, used, rounding), own in groups.items():
            parameters = self.members[own[0]].runs[self.number].parameters
            names = tuple(name for name in names_in(node) if not is_parameter(name))
            mine = {name: parameters[name] for name, _ in used}
            tasks.append(_Task(symbol, node, names, mine, self._own(own), rounding))
        return tasks

    def _carries(self, which: str) -> list[_Task]:
        tasks = []
        for state in ("h_prev", "c_prev"):
            groups: dict[Any, list[int]] = defaultdict(list)
            for k, member in enumerate(self.members):
                groups[getattr(member, which)[state], (), None].append(k)
            tasks += self._grouped(state, groups)
        return tasks

    def _own(self, ks: list[int]) -> Any:
        return slice(None) if len(ks) == len(self.members) else np.array(ks)

    def step(self, x: Array) -> dict[str, Array]:
        """Evaluate one step of every member on `x (K, I)`; return symbol -> `(K, n)`."""
        with np.errstate(all="ignore"):
            tasks = self.carry if self.last else self.start
            before = self._evaluate(tasks, {**self.given, **self.last})
            values = self._evaluate(self.tasks, {"x": x, **before})
        self.last = {"h": values["h"], "c": values["c"]}
        return {"x": x, **before, **values}

    def _evaluate(self, tasks: list[_Task], known: dict[str, Array]) -> dict[str, Array]:
        made: dict[str, Array] = {}
        for task in tasks:
            have = {name: known[name][task.own] for name in task.names}
            value = evaluate(task.node, {**have, **task.parameters})
            if value.ndim < 2:  # a row of parameters alone is the same for all members
                rows = self.members if isinstance(task.own, slice) else task.own
                value = np.broadcast_to(value, (len(rows), *value.shape))
            if task.rounding is not None:
                value = task.rounding(value)
            if isinstance(task.own, slice):
                known[task.symbol] = made[task.symbol] = value
                continue
            if task.symbol not in made:
                made[task.symbol] = np.empty((len(self.members), value.shape[-1]))
                known[task.symbol] = made[task.symbol]
            made[task.symbol][task.own] = value
        return made
