"""Every known wrong LSTM in scalar loops: somebody's wrong numbers, for `diagnose` to name.

A witness against the package's own table of mistakes, so it is written from the definitions and
takes nothing of the package. A wrong program is the right one with a part or two replaced.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tests.witness import Matrix, Vector, clamp, dot, logistic

T = TypeVar("T")
Made = dict[str, Vector]
Pair = tuple[Vector, Vector]
Layer = dict[str, "Wrong"]
Directions = dict[str, list[Made]]


@dataclass
class Wrong:
    """One direction of one layer; the right answer uses b_x + b_h, and o sees the new c."""

    W: dict[str, Matrix]
    U: dict[str, Matrix]
    b_x: dict[str, Vector]
    b_h: dict[str, Vector]
    p: dict[str, Vector] = field(default_factory=dict)
    W_hr: Matrix | None = None


@dataclass(frozen=True)
class Needs:
    """What a case must have for a mistake to be possible and to show."""

    square: bool = False  # I == H
    peephole: bool = False
    min_steps: int = 1
    two_biases: bool = False  # b_x and b_h differ, and neither is zero
    unprojected: bool = False  # P == H
    min_units: int = 1
    min_inputs: int = 1
    bidirectional: bool = False
    min_layers: int = 1


@dataclass(frozen=True)
class Parts:
    """What one gate of one unit is made of, before anything is added up."""

    k: str
    wx: float
    uh: float
    b: float
    peep: float

    @property
    def z(self) -> float:
        return self.wx + self.uh + self.b + self.peep


def squash(k: str, z: float) -> float:
    return math.tanh(z) if k == "g" else logistic(z)


def right_gate(q: Parts) -> float:
    return squash(q.k, q.z)


def same(value: T) -> T:
    return value


@dataclass(frozen=True)
class Program:
    """An LSTM program by its parts; each part is right unless it is replaced."""

    needs: Needs = Needs()
    weights: Callable[[Wrong], Wrong] = same
    inputs: Callable[[Matrix], Matrix] = same
    start: Callable[[Vector, Vector], Pair] = lambda h0, c0: (h0, c0)
    carry: Callable[[Vector, Vector, Vector, Vector], Pair] = lambda h, c, h0, c0: (h, c)
    gate: Callable[[Parts], float] = right_gate
    couple: Callable[[float, float], tuple[float, float]] = lambda f, i: (f, i)
    cell: Callable[[float, float, float, float], float] = lambda f, i, g, old: f * old + i * g
    o_sees: Callable[[float, float], float] = lambda c, old: c
    show: Callable[[float, float, float], float] = lambda o, c, old: o * math.tanh(c)
    store_h: Callable[[float], float] = same
    report: Callable[[Vector], Vector] = same
    absent: str = ""  # the gate that the program does not have

    def run(self, given: Wrong, xs: Sequence[Vector], h0: Vector, c0: Vector) -> list[Made]:
        """Run a sequence; returns each step's gates and states."""
        weights, steps = self.weights(given), []
        h, c = self.start(h0, c0)
        for x in self.inputs(list(xs)):
            made = self.step(weights, x, h, c)
            h, c = self.carry(made["h"], made["c"], h0, c0)
            steps.append({k: self.report(v) for k, v in made.items() if k != self.absent})
        return steps

    def step(self, w: Wrong, x: Vector, h: Vector, old: Vector) -> Made:
        made: Made = {k: [] for k in "figoch"}
        shown = []
        for j in range(len(old)):
            f, i, g = (self.gate(parts(w, k, j, x, h, old[j])) for k in "fig")
            f, i = self.couple(f, i)
            c = self.cell(f, i, g, old[j])
            o = self.gate(parts(w, "o", j, x, h, self.o_sees(c, old[j])))
            for k, value in zip("figoc", (f, i, g, o, c), strict=True):
                made[k].append(value)
            shown.append(self.show(o, c, old[j]))
        projected = shown if w.W_hr is None else [dot(row, shown) for row in w.W_hr]
        made["h"] = [self.store_h(value) for value in projected]
        return made


def parts(w: Wrong, k: str, j: int, x: Vector, h: Vector, c: float) -> Parts:
    peep = w.p[k][j] * c if k in w.p else 0.0
    return Parts(k, dot(w.W[k][j], x), dot(w.U[k][j], h), w.b_x[k][j] + w.b_h[k][j], peep)


# Weights read wrongly


def by_gate(part: dict[str, T], change: Callable[[T], T]) -> dict[str, T]:
    return {k: change(value) for k, value in part.items()}


def scaled(factor: float) -> Callable[[Vector], Vector]:
    return lambda vector: [factor * value for value in vector]


def nothing(matrix: Matrix) -> Matrix:
    return [[0.0] * len(row) for row in matrix]


def transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def refilled(matrix: Matrix) -> Matrix:
    """The buffer of the transposed matrix, read row by row in the shape it had before."""
    buffer = [value for column in transposed(matrix) for value in column]
    width = len(matrix[0])
    return [buffer[start : start + width] for start in range(0, len(buffer), width)]


def diagonal(matrix: Matrix) -> Matrix:
    return [[v if i == j else 0.0 for j, v in enumerate(row)] for i, row in enumerate(matrix)]


def identity(matrix: Matrix) -> Matrix:
    return [[float(i == j) for j in range(len(row))] for i, row in enumerate(matrix)]


def matrices(
    on_x: Callable[[Matrix], Matrix] = same, on_h: Callable[[Matrix], Matrix] = same
) -> Callable[[Wrong], Wrong]:
    return lambda w: replace(w, W=by_gate(w.W, on_x), U=by_gate(w.U, on_h))


def biases(times_x: float, times_h: float) -> Callable[[Wrong], Wrong]:
    return lambda w: replace(
        w, b_x=by_gate(w.b_x, scaled(times_x)), b_h=by_gate(w.b_h, scaled(times_h))
    )


def forget_bias(added: float) -> Callable[[Wrong], Wrong]:
    return lambda w: replace(w, b_x={**w.b_x, "f": [v + added for v in w.b_x["f"]]})


def peepholes(a: str, b: str) -> Callable[[Wrong], Wrong]:
    return lambda w: replace(w, p={**w.p, a: w.p[b], b: w.p[a]})


def no_weights(w: Wrong) -> Wrong:
    return replace(matrices(identity, identity)(biases(0, 0)(w)), p={})


def swapped_concatenation(w: Wrong) -> Wrong:
    """The columns of [U | W], cut for [x, h'] instead of [h', x]."""
    W, U = {}, {}
    for k in w.W:
        inputs = len(w.W[k][0])
        joined = [on_h + on_x for on_h, on_x in zip(w.U[k], w.W[k], strict=True)]
        W[k], U[k] = [row[:inputs] for row in joined], [row[inputs:] for row in joined]
    return replace(w, W=W, U=U)


def regrouped(pick: Callable[[str, int, int], int]) -> Callable[[Wrong], Wrong]:
    """Unit u of gate k, of H units, is read from row pick(k, u, H) of the stack i f g o."""

    def read(part: dict[str, list[T]]) -> dict[str, list[T]]:
        stack = [row for k in "ifgo" for row in part[k]]
        units = len(part["i"])
        return {k: [stack[pick(k, u, units)] for u in range(units)] for k in "ifgo"}

    return lambda w: replace(w, W=read(w.W), U=read(w.U), b_x=read(w.b_x), b_h=read(w.b_h))


def in_order(order: str) -> Callable[[Wrong], Wrong]:
    return regrouped(lambda k, u, units: order.index(k) * units + u)


def interleaved(k: str, u: int, units: int) -> int:
    return 4 * u + "ifgo".index(k)


def deinterleaved(k: str, u: int, units: int) -> int:
    unit, gate = divmod("ifgo".index(k) * units + u, 4)
    return gate * units + unit


# Activations and gates


def gates_by(change: Callable[[float], float]) -> Callable[[Parts], float]:
    return lambda q: math.tanh(q.z) if q.k == "g" else change(q.z)


def candidate_by(change: Callable[[float], float]) -> Callable[[Parts], float]:
    return lambda q: change(q.z) if q.k == "g" else logistic(q.z)


def clipped(limit: float) -> Callable[[Parts], float]:
    return lambda q: squash(q.k, clamp(q.z, limit))


def cell_clipped(limit: float) -> Callable[[float, float, float, float], float]:
    return lambda f, i, g, old: clamp(f * old + i * g, limit)


def hard(slope: float) -> Callable[[float], float]:
    return lambda z: max(0.0, min(1.0, slope * z + 0.5))


def hard_tanh(z: float) -> float:
    return clamp(z, 1.0)


def relu(z: float) -> float:
    return max(0.0, z)


def relu_output(o: float, c: float, old: float) -> float:
    return o * relu(c)


def peephole_after(q: Parts) -> float:
    return logistic(q.wx + q.uh + q.b) + q.peep if q.k == "o" else right_gate(q)


# States and time


def zero(vector: Vector) -> Vector:
    return [0.0] * len(vector)


def previous(xs: Matrix) -> Matrix:
    return [zero(xs[0]), *xs[:-1]]


# Precision


def rounder(code: str) -> Callable[[float], float]:
    def rounded(value: float) -> float:
        try:
            return float(struct.unpack(f"<{code}", struct.pack(f"<{code}", value))[0])
        except OverflowError:
            return math.copysign(math.inf, value)

    return rounded


def in_precision(code: str) -> Program:
    """Sums in double of rounded numbers; each value that has a name is rounded."""
    r = rounder(code)

    def vector(v: Vector) -> Vector:
        return [r(value) for value in v]

    def matrix(m: Matrix) -> Matrix:
        return [vector(row) for row in m]

    def weights(w: Wrong) -> Wrong:
        b_x, b_h, p = (by_gate(part, vector) for part in (w.b_x, w.b_h, w.p))
        W_hr = None if w.W_hr is None else matrix(w.W_hr)
        return Wrong(by_gate(w.W, matrix), by_gate(w.U, matrix), b_x, b_h, p, W_hr)

    return Program(
        weights=weights,
        inputs=matrix,
        start=lambda h0, c0: (vector(h0), vector(c0)),
        gate=lambda q: r(squash(q.k, r(q.z))),
        cell=lambda f, i, g, old: r(f * old + i * g),
        store_h=r,
    )


# The tables

FULL = Needs(unprojected=True)
FULL_2 = Needs(unprojected=True, min_units=2)
SQUARE = Needs(square=True, unprojected=True, min_units=2, min_inputs=2)
SQUARE_W = Needs(square=True, min_units=2, min_inputs=2)
TWO_UNITS = Needs(min_units=2)
TWO_STEPS = Needs(min_steps=2)
TWO_BIASES = Needs(two_biases=True)
PEEPHOLE = Needs(peephole=True)

PROGRAMS: dict[str, Program] = {
    "bias-outside": Program(gate=lambda q: squash(q.k, q.wx + q.uh + q.peep) + q.b),
    "no-weights": Program(Needs(square=True, unprojected=True), no_weights),
    "elementwise-product": Program(SQUARE, matrices(diagonal, diagonal)),
    "product-of-projections": Program(gate=lambda q: squash(q.k, q.wx * q.uh + q.b + q.peep)),
    "swapped-concatenation": Program(weights=swapped_concatenation),
    **{
        f"gates-{order}": Program(weights=in_order(order))
        for order in map("".join, itertools.permutations("ifgo"))
        if order != "ifgo"
    },
    "u-transposed": Program(FULL_2, matrices(on_h=transposed)),
    "w-transposed": Program(SQUARE_W, matrices(on_x=transposed)),
    "both-transposed": Program(SQUARE, matrices(transposed, transposed)),
    "kernel-reshaped": Program(Needs(min_units=2, min_inputs=2), matrices(on_x=refilled)),
    "gates-interleaved": Program(TWO_UNITS, regrouped(interleaved)),
    "gates-deinterleaved": Program(TWO_UNITS, regrouped(deinterleaved)),
    "recurrent-bias-forgotten": Program(TWO_BIASES, biases(1, 0)),
    "input-bias-forgotten": Program(TWO_BIASES, biases(0, 1)),
    "bias-twice": Program(weights=biases(2, 2)),
    "input-bias-twice": Program(TWO_BIASES, biases(2, 0)),
    "recurrent-bias-twice": Program(TWO_BIASES, biases(0, 2)),
    "no-bias": Program(weights=biases(0, 0)),
    "forget-bias-added": Program(weights=forget_bias(1.0)),
    "forget-bias-omitted": Program(weights=forget_bias(-1.0)),
    "forget-bias-after-sigmoid": Program(gate=lambda q: right_gate(q) + (q.k == "f")),
    "hard-sigmoid": Program(gate=gates_by(hard(0.2))),
    "hard-sigmoid-6": Program(gate=gates_by(hard(1 / 6))),
    "hard-tanh": Program(gate=candidate_by(hard_tanh), show=lambda o, c, old: o * hard_tanh(c)),
    "sigmoid-candidate": Program(gate=candidate_by(logistic)),
    "linear-candidate": Program(gate=candidate_by(same)),
    "relu-candidate": Program(gate=candidate_by(relu)),
    "relu-output": Program(show=relu_output),
    "relu-both": Program(gate=candidate_by(relu), show=relu_output),
    "tanh-gates": Program(gate=gates_by(math.tanh)),
    "linear-gates": Program(gate=gates_by(same)),
    "sigmoid-2x": Program(gate=gates_by(lambda z: logistic(2 * z))),
    "no-tanh-on-c": Program(show=lambda o, c, old: o * c),
    "sigmoid-on-c": Program(show=lambda o, c, old: o * logistic(c)),
    "tanh-in-stored-c": Program(cell=lambda f, i, g, old: math.tanh(f * old + i * g)),
    "h-from-old-c": Program(show=lambda o, c, old: o * math.tanh(old)),
    "h-is-sum": Program(show=lambda o, c, old: o + math.tanh(c)),
    "no-output-gate": Program(show=lambda o, c, old: math.tanh(c), absent="o"),
    "no-input-gate": Program(cell=lambda f, i, g, old: f * old + g, absent="i"),
    "no-forget-gate": Program(cell=lambda f, i, g, old: old + i * g, absent="f"),
    "coupled-forget": Program(couple=lambda f, i: (1 - i, i)),
    "coupled-input": Program(couple=lambda f, i: (f, 1 - f)),
    "gru-like": Program(cell=lambda f, i, g, old: (1 - f) * old + i * g),
    "sum-for-product": Program(cell=lambda f, i, g, old: f * old + i + g),
    "forget-outside": Program(cell=lambda f, i, g, old: f * (old + i * g)),
    "c-for-h": Program(
        FULL, start=lambda h0, c0: (c0, c0), carry=lambda h, c, h0, c0: (c, c)
    ),  # h' is read by nothing but z
    "x-ignored": Program(weights=matrices(on_x=nothing)),
    "u-ignored": Program(weights=matrices(on_h=nothing)),
    "h-not-carried": Program(TWO_STEPS, carry=lambda h, c, h0, c0: (zero(h), c)),
    "c-not-carried": Program(TWO_STEPS, carry=lambda h, c, h0, c0: (h, zero(c))),
    "states-zeroed": Program(
        start=lambda h0, c0: (zero(h0), zero(c0)), carry=lambda h, c, h0, c0: (zero(h), zero(c))
    ),
    "states-restarted": Program(TWO_STEPS, carry=lambda h, c, h0, c0: (h0, c0)),
    "initial-state-ignored": Program(start=lambda h0, c0: (zero(h0), zero(c0))),
    "initial-h-ignored": Program(start=lambda h0, c0: (zero(h0), c0)),
    "initial-c-ignored": Program(start=lambda h0, c0: (h0, zero(c0))),
    "states-exchanged": Program(FULL, start=lambda h0, c0: (c0, h0)),
    "states-exchanged-each-step": Program(
        replace(FULL, min_steps=2), carry=lambda h, c, h0, c0: (c, h)
    ),
    "time-reversed": Program(TWO_STEPS, inputs=lambda xs: xs[::-1]),
    "first-input-skipped": Program(TWO_STEPS, inputs=lambda xs: [*xs[1:], xs[-1]]),
    "previous-input": Program(inputs=previous),
    "time-feature-axes": Program(Needs(min_steps=2, min_inputs=2), inputs=refilled),
    "peephole-o-old": Program(PEEPHOLE, o_sees=lambda c, old: old),
    "peephole-after-sigmoid": Program(PEEPHOLE, gate=peephole_after),
    "peepholes-ignored": Program(PEEPHOLE, lambda w: replace(w, p={})),
    "peepholes-fo-exchanged": Program(PEEPHOLE, peepholes("f", "o")),
    "peepholes-fi-exchanged": Program(PEEPHOLE, peepholes("f", "i")),
    "peepholes-io-exchanged": Program(PEEPHOLE, peepholes("i", "o")),
    "clip-1": Program(gate=clipped(1.0)),
    "clip-3": Program(gate=clipped(3.0)),
    "cell-clip-1": Program(cell=cell_clipped(1.0)),
    "cell-clip-3": Program(cell=cell_clipped(3.0)),
    "units-permuted": Program(FULL_2, report=lambda vector: vector[::-1]),
    "float16": in_precision("e"),
    "float32": in_precision("f"),
}

SLUGS: dict[str, Needs] = {slug: program.needs for slug, program in PROGRAMS.items()}

STACK_SLUGS: dict[str, Needs] = {
    "directions-exchanged": Needs(bidirectional=True),
    "backward-not-reversed-back": Needs(bidirectional=True, min_steps=2),
    "states-by-direction": Needs(bidirectional=True, min_layers=2),
}


def right_run(weights: Wrong, xs: Sequence[Vector], h0: Vector, c0: Vector) -> list[Made]:
    """Run a sequence as it should be; returns each step's gates and states."""
    return Program().run(weights, xs, h0, c0)


def wrong_run(
    slug: str, weights: Wrong, xs: Sequence[Vector], h0: Vector, c0: Vector
) -> list[Made]:
    """Run a sequence with one mistake; a gate that the program does not have is absent."""
    return PROGRAMS[slug].run(weights, xs, h0, c0)


# Several layers and directions


def right_stack(
    layers: Sequence[Layer],
    xs: Sequence[Vector],
    h0: Matrix,
    c0: Matrix,
    *,
    reversed_back: bool = True,
) -> list[Directions]:
    """Run a stack; returns each layer's directions, their steps in the order of input time."""
    answers = []
    rows = zip(h0, c0, strict=True)
    for layer in layers:
        done: Directions = {}
        for direction in ("forward", "backward"):
            if direction not in layer:
                continue
            order = 1 if direction == "forward" else -1
            steps = right_run(layer[direction], xs[::order], *next(rows))
            done[direction] = steps[::order] if reversed_back else steps
        xs = [[v for steps in done.values() for v in steps[t]["h"]] for t in range(len(xs))]
        answers.append(done)
    assert next(rows, None) is None, "more rows of states than runs"
    return answers


def wrong_stack(
    slug: str, layers: Sequence[Layer], xs: Sequence[Vector], h0: Matrix, c0: Matrix
) -> list[Directions]:
    """Run a bidirectional stack with one of the mistakes of STACK_SLUGS."""
    assert all(set(layer) == {"forward", "backward"} for layer in layers)
    if slug == "directions-exchanged":
        layers = [{"forward": a["backward"], "backward": a["forward"]} for a in layers]
        return right_stack(layers, xs, h0, c0)
    if slug == "backward-not-reversed-back":
        return right_stack(layers, xs, h0, c0, reversed_back=False)
    if slug == "states-by-direction":
        given = [2 * layer + direction for direction in (0, 1) for layer in range(len(layers))]
        return right_stack(layers, xs, [h0[r] for r in given], [c0[r] for r in given])
    raise KeyError(slug)
