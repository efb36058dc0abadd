"""`lstm-step vet`: what it calls blind passes, what it calls seen fails, by the second witness."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.cell.cells import cell_named
from lstm_cli.cell.presets import preset_model
from lstm_cli.commands.vet import vetting
from lstm_cli.commands.vet.show import Stronger, Suite, percent
from lstm_cli.commands.vet.suites import vet_suite
from lstm_cli.commands.vet.trials import (
    EXACT,
    is_limit,
    is_order,
    outcomes,
    own_expected,
    symbols_of,
    vetted_mistakes,
)
from lstm_cli.commands.vet.vetting import short_numbers, strengthen
from lstm_cli.commands.vet.weaknesses import WEAKNESSES
from lstm_cli.mistakes.variant_run import variant_of
from lstm_cli.samples import read_sample
from lstm_cli.samples.settings import SampleSettings
from tests.cases import GOLDEN
from tests.commands.test_schemas import validator
from tests.tools import ROOT, SAMPLES, assert_refused, assert_tame, call
from tests.witness import Matrix, Vector
from tests.witness_mistakes import (
    PROGRAMS,
    STACK_SLUGS,
    Directions,
    Layer,
    Needs,
    Program,
    Wrong,
    right_stack,
    same,
    transposed,
    wrong_stack,
)

VECTORS = GOLDEN / "vectors"
Json = dict[str, Any]


# ---- a sample as the witness takes it; nothing of the package


@dataclass(frozen=True)
class Case:
    """One layer in one or two directions, and what a sample expects of it."""

    layer: Layer
    xs: Matrix
    h0: Matrix
    c0: Matrix
    expected: Json
    atol: float
    two_biases: bool

    @property
    def sizes(self) -> tuple[int, int]:
        w = next(iter(self.layer.values()))
        return len(w.W["f"][0]), len(w.W["f"])

    @property
    def peephole(self) -> bool:
        return all(w.p for w in self.layer.values())


ORDERS = {"onnx": "iofg", "pytorch": "ifgo", "candle": "ifgo", "keras": "ifgo"}
KEYS = {
    "onnx": ("W", "R"),
    "pytorch": ("weight_ih_l0", "weight_hh_l0"),
    "candle": ("weight_ih_l0", "weight_hh_l0"),
    "keras": ("kernel", "recurrent_kernel"),
}


def read(document: Json) -> Case:
    """A sample's JSON, cut into gates by hand."""
    convention = document.get("convention", "joined")
    layer = {
        side: cut(tensors, convention) for side, tensors in sides(document, convention).items()
    }
    units = len(next(iter(layer.values())).W["f"])
    zeros = [[0.0] * units for _ in layer]
    xs, h0, c0 = (rows(document.get(key, zeros)) for key in "xhc")
    two = convention in ("onnx", "pytorch", "candle")
    return Case(layer, xs, h0, c0, document["expected"], document["atol"], two)


def rows(value: Any) -> Matrix:
    return value if isinstance(value[0], list) else [value]


def sides(document: Json, convention: str) -> dict[str, Json]:
    """Direction -> tensors by their framework's names."""
    found: dict[str, Json] = {}
    for name, tensor in document["weights"].items():
        if name.startswith("layer0_"):
            _, side, key = name.split("_", 2)
            found.setdefault(side, {})[key] = tensor
        elif convention == "onnx":
            for side, part in zip(("forward", "backward"), tensor, strict=False):
                found.setdefault(side, {})[name] = part
        else:
            found.setdefault("forward", {})[name] = tensor
    if convention == "onnx" and "forward" in found and not is_matrix(found["forward"]["W"]):
        return {"forward": document["weights"]}  # tensors without an axis of directions
    return found


def is_matrix(value: Any) -> bool:
    return isinstance(value[0], list)


def cut(tensors: Json, convention: str) -> Wrong:
    if convention == "joined":
        units = len(tensors["W_f"])
        zeros = {k: [0.0] * units for k in "figo"}
        return Wrong(
            {k: [row[units:] for row in tensors[f"W_{k}"]] for k in "figo"},
            {k: [row[:units] for row in tensors[f"W_{k}"]] for k in "figo"},
            {k: tensors[f"b_{k}"] for k in "figo"}, zeros,
        )  # fmt: skip
    order, (w_key, u_key) = ORDERS[convention], KEYS[convention]
    turn: Callable[[Matrix], Matrix] = transposed if convention == "keras" else same
    w, u = turn(tensors[w_key]), turn(tensors[u_key])
    zero = [0.0] * len(w)
    match convention:
        case "onnx":
            both = tensors.get("B", zero + zero)
            b_x, b_h = both[: len(w)], both[len(w) :]
        case "keras":
            b_x, b_h = tensors.get("bias", zero), zero
        case _:
            b_x, b_h = tensors["bias_ih_l0"], tensors["bias_hh_l0"]
    p = blocks(tensors["P"], "iof") if "P" in tensors else {}
    return Wrong(
        blocks(w, order), blocks(u, order), blocks(b_x, order), blocks(b_h, order), p
    )  # fmt: skip


def blocks(stack: list[Any], order: str) -> dict[str, Any]:
    size = len(stack) // len(order)
    return {k: stack[n * size : (n + 1) * size] for n, k in enumerate(order)}


def run(case: Case, slug: str = "") -> Directions:
    """Each direction's steps in input time, with one mistake made in all of them."""
    if slug == "backward-not-reversed-back":
        return right_stack([case.layer], case.xs, case.h0, case.c0, reversed_back=False)[0]
    if slug in STACK_SLUGS:
        return wrong_stack(slug, [case.layer], case.xs, case.h0, case.c0)[0]
    program = PROGRAMS[slug] if slug else Program()
    xs, program = program.inputs(case.xs), replace(program, inputs=same)
    done = {}
    for (side, weights), h, c in zip(case.layer.items(), case.h0, case.c0, strict=True):
        order = 1 if side == "forward" else -1
        done[side] = program.run(weights, xs[::order], h, c)[::order]
    return done


def compared(answer: Directions, symbol: str, value: Any) -> Matrix | None:
    """What a sample's number is compared with; None where the program has no such gate."""
    key = "h" if symbol == "output" else symbol
    if any(key not in step for steps in answer.values() for step in steps):
        return None
    if symbol == "output" or is_matrix(value):
        return [[v for step in at for v in step[key]] for at in zip(*answer.values(), strict=True)]
    ends = {"forward": -1, "backward": 0 if key in "hc" else -1}
    return [[v for side, steps in answer.items() for v in steps[ends[side]][key]]]


def difference(case: Case, slug: str = "", symbols: Iterable[str] = ()) -> float:
    """The largest difference that a mistake leaves in what is expected."""
    answer, worst = run(case, slug), 0.0
    for symbol, value in case.expected.items():
        if symbols and symbol not in symbols:
            continue
        got = compared(answer, symbol, value)
        if got is None:
            return math.inf
        pairs = zip(got, value if is_matrix(value) else [value], strict=True)
        worst = max(worst, *(abs(a - b) for g, w in pairs for a, b in zip(g, w, strict=True)))
    return worst


def passes(case: Case, slug: str) -> bool:
    return exchange_passes(case) if slug == "units-permuted" else (
        difference(case, slug) <= case.atol
    )  # fmt: skip


def exchange_passes(case: Case) -> bool:
    """Whether two units of a direction can change places unseen."""
    _, units = case.sizes
    answer = run(case)
    for side in range(len(answer)):
        for j, k in itertools.combinations(range(side * units, (side + 1) * units), 2):
            worst = 0.0
            for symbol, value in case.expected.items():
                got = compared(answer, symbol, value)
                assert got is not None
                for g, w in zip(got, value if is_matrix(value) else [value], strict=True):
                    worst = max(worst, abs(g[j] - w[k]), abs(g[k] - w[j]))
            if worst <= case.atol:
                return True
    return False


NEEDS = {**{slug: program.needs for slug, program in PROGRAMS.items()}, **STACK_SLUGS}
OF_BACKWARD = "backward-not-reversed-back"


def applies(case: Case, slug: str) -> bool:
    """Whether a mistake can be made in a case, whatever its numbers are."""
    needs: Needs = NEEDS[slug]
    inputs, units = case.sizes
    if slug == OF_BACKWARD:
        return "backward" in case.layer
    return (
        (not needs.square or inputs == units)
        and (not needs.peephole or case.peephole)
        and (not needs.two_biases or case.two_biases)
        and (not needs.bidirectional or len(case.layer) == 2)
        and min(units - needs.min_units, inputs - needs.min_inputs, 1 - needs.min_layers) >= 0
    )


# ---- samples


def documents(name: str) -> list[Json]:
    return [json.loads(line) for line in (VECTORS / f"{name}.jsonl").read_text().splitlines()]


def strong(
    inputs: int = 3, units: int = 3, steps: int = 3, *, sides: int = 1, peephole: bool = False
) -> Json:
    """A sample of distinct numbers in ONNX's layout, without what to expect."""
    rng = random.Random(4)
    sizes = iter(rng.sample(range(15, 1000), 900))

    def draw(*shape: int) -> Any:
        if not shape:
            return rng.choice((-1, 1)) * next(sizes) / 1000
        return [draw(*shape[1:]) for _ in range(shape[0])]

    weights = {"W": draw(sides, 4 * units, inputs), "R": draw(sides, 4 * units, units),
               "B": draw(sides, 8 * units)}  # fmt: skip
    if peephole:
        weights["P"] = draw(sides, 3 * units)
    return {"id": "made", "convention": "onnx", "x": draw(steps, inputs), "h": draw(sides, units),
            "c": draw(sides, units), "weights": weights, "atol": 1e-9}  # fmt: skip


def answered(document: Json, symbols: Iterable[str] = ("output", "c")) -> Json:
    """A sample with what the witness expects of it."""
    case = read({**document, "expected": {}})
    answer = run(case)
    expected = {}
    for symbol in symbols:
        got = compared(answer, symbol, [[]] if symbol not in "hc" else [0.0])
        assert got is not None
        expected[symbol] = got if symbol not in "hc" else got[0]
    return {**document, "expected": expected}


def one_step_from_zero() -> Json:
    """The weakest start, of otherwise good numbers, and h alone."""
    document = strong(steps=1, units=2, inputs=2)
    del document["h"], document["c"]
    return answered(document, ["h"])


SUITES: dict[str, Callable[[], list[Json]]] = {
    "one step from zero": lambda: [one_step_from_zero()],
    "one step from zero, I ≠ H": lambda: [answered({**strong(2, 3, 1), "h": [0, 0, 0]}, ["h"])],
    "strong": lambda: [answered(strong(peephole=True))],
    "strong in both directions": lambda: [answered(strong(2, 3, sides=2))],
    "onnx": lambda: documents("onnx-node"),
    "keras": lambda: documents("keras"),
    "candle": lambda: documents("candle"),
    "pytorch-cpp": lambda: documents("pytorch-cpp"),
}


def vetted(given: list[Json], **how: Any) -> Suite:
    samples = [read_sample(each, f"{n}", Path(), f"{n}") for n, each in enumerate(given)]
    return vet_suite("given", samples, SampleSettings(), **how)


# ---- blind is blind, seen is seen


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.few(2)
def test_what_is_unseen_passes_and_what_is_seen_fails(name: str) -> None:
    """The verdict on every mistake that the witness can make is the witness's own."""
    given = SUITES[name]()
    suite, cases = vetted(given, explain=False), list(map(read, given))
    assert len(suite.subjects) == len(given)
    tried = 0
    for verdict in suite.verdicts:
        slug = verdict.row.id
        if slug not in NEEDS or slug in ("float16", "float32"):
            continue
        mine = [case for case in cases if applies(case, slug)]
        if is_limit(verdict.row):
            mine = [case for case in mine if difference(case, slug) != difference(case)]
        assert (verdict.word == "not applicable") == (not mine), slug
        if mine:
            assert (verdict.word == "blind") == all(passes(case, slug) for case in mine), slug
            tried += 1
    assert tried > 65


@pytest.mark.full
def test_a_sample_of_its_own_is_a_suite_of_one() -> None:
    """What a suite sees, one of its samples sees; what it does not, none does."""
    given = documents("onnx-node")
    whole = {each.row.id: each.word for each in vetted(given, explain=False).verdicts}
    alone = [vetted([each], explain=False) for each in given]
    for slug, word in whole.items():
        words = {v.word for suite in alone for v in suite.verdicts if v.row.id == slug}
        expected = "seen" if "seen" in words else "blind" if "blind" in words else "not applicable"
        assert word == expected, slug


def test_a_difference_is_that_of_the_witness() -> None:
    """The number beside a mistake is the largest difference from what is expected."""
    given = one_step_from_zero()
    case = read(given)
    for verdict in vetted([given], explain=False).verdicts:
        slug = verdict.row.id
        if slug in PROGRAMS and verdict.word != "not applicable" and slug != "units-permuted":
            assert verdict.difference == pytest.approx(difference(case, slug), rel=1e-6, abs=1e-12)


@pytest.mark.full
def test_the_yardstick() -> None:
    """ONNX's own tests pass all wrong gate orders, Keras's five, one gate pair of TFLM's is alike."""
    names = {path.stem for path in VECTORS.glob("*.jsonl")} - {"onnxruntime"}  # in docs/, slow
    orders = {name: vetted(documents(name), explain=False).orders for name in names}
    passing = {name: orders[name][0] for name in orders}
    assert {of for _, of in orders.values()} == {23}
    assert passing.pop("onnx-node") == 23
    assert passing.pop("keras") == 5
    assert passing.pop("tflite-micro") == 1
    assert set(passing.values()) == {0}


def test_the_distinct_case_sees_all() -> None:
    """Our own vector of distinct numbers lets nothing pass."""
    suite = vetted(documents("distinct"))
    assert (suite.strength, suite.blind, suite.causes) == (100.0, [], ())


def test_units_that_are_alike_are_named() -> None:
    """What units could change places is said."""
    document = weakened("units-alike")
    (verdict,) = [v for v in vetted([document]).blind if v.row.id == "units-permuted"]
    assert verdict.detail == "units 0 and 1 swapped"


# ---- the score


def test_the_score_is_a_share() -> None:
    """Strength is seen of applicable; everything is seen, blind or not applicable."""
    for name in ("onnx", "one step from zero"):
        suite = vetted(SUITES[name](), explain=False)
        assert suite.applicable == suite.seen + len(suite.blind)
        assert suite.strength == 100 * suite.seen / suite.applicable
        left_out = [v for v in suite.verdicts if v.reason]
        assert len(suite.verdicts) == suite.applicable + len(left_out)
        assert all(v.word == "not applicable" for v in left_out)
        assert suite.orders[0] == sum(is_order(v.row) for v in suite.blind)


@pytest.mark.parametrize(
    ("strength", "text"), [(100.0, "100 %"), (99.99, "99 %"), (0.0, "0 %"), (59.2, "59 %")]
)
def test_only_all_is_a_hundred(strength: float, text: str) -> None:
    """A strength is never rounded up."""
    assert percent(strength) == text


def test_types_that_only_round_are_not_counted() -> None:
    """float32 and its like are for the tolerance to say, and limits that nothing reaches say nothing."""
    reasons = {v.row.id: v.reason for v in vetted([one_step_from_zero()]).verdicts}
    assert {reasons[name] for name in ("float32", "float16", "bfloat16")} == {
        "a matter of the tolerance"
    }
    assert reasons["clip-50"] == "no value reaches the limit"
    assert "float32" not in {row.id for row in vetted_mistakes()}


@pytest.mark.parametrize(
    ("inputs", "units", "same_for_any"),
    [
        (2, 1, {"u-transposed", "gates-interleaved", "units-permuted", "kernel-reshaped"}),
        (1, 3, {"kernel-reshaped", "time-feature-axes", "stack-reshaped"}),
    ],
)
def test_what_sizes_make_the_same_is_no_mistake(
    inputs: int, units: int, same_for_any: set[str]
) -> None:
    """With one unit nothing can be transposed, with one input no kernel: not counted, and said."""
    suite = vetted([answered(strong(inputs, units))])
    told = {v.row.id for v in suite.same()}
    assert same_for_any <= told
    assert not told & {v.row.id for v in suite.blind}
    assert "equivalent for this cell and these sizes: " in shown(answered(strong(inputs, units)))


def shown(document: Json, *options: object) -> str:
    # A table is wrapped to the width of the terminal: one line is easier to search.
    answer = call("vet", "-", *options, stdin=json.dumps(document), env={"COLUMNS": "1000"})
    assert answer.err == ""
    return answer.out


# ---- why


def stacks(document: Json) -> Iterable[tuple[list[Any], list[Any], list[Any]]]:
    """W, R and B of each direction, to be changed in place."""
    weights = document["weights"]
    return zip(weights["W"], weights["R"], weights["B"], strict=True)


def fill(matrix: Matrix, number: float) -> None:
    for row in matrix:
        row[:] = [number] * len(row)


def each_block(document: Json, change: Callable[[Matrix, Matrix, int], None]) -> None:
    """Change each gate's W and R blocks, told the gate's number."""
    for w, r, _ in stacks(document):
        units = len(r[0])
        for n in range(4):
            block = slice(n * units, (n + 1) * units)
            change(w[block], r[block], n)


def all_weights(w_number: float | None, r_number: float | None) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        for w, r, _ in stacks(document):
            if w_number is not None:
                fill(w, w_number)
            if r_number is not None:
                fill(r, r_number)

    return change


def symmetrise(matrix: Matrix) -> None:
    for j, k in itertools.combinations(range(len(matrix)), 2):
        matrix[k][j] = matrix[j][k]


def keep_diagonal(matrix: Matrix) -> None:
    for j, row in enumerate(matrix):
        row[:] = [v if j == k else 0.0 for k, v in enumerate(row)]


def copy_rows(document: Json, source: int, target: int, sign: int = 1) -> None:
    """Give a gate the numbers of another, by their places in the stack i o f g."""
    for w, r, b in stacks(document):
        units = len(r[0])
        for u in range(units):
            into, from_ = target * units + u, source * units + u
            w[into] = [sign * v for v in w[from_]]
            r[into] = [sign * v for v in r[from_]]
            for half in (0, 4 * units):
                b[half + into] = sign * b[half + from_]


def clear_bias(document: Json, *halves: int) -> None:
    for _, r, b in stacks(document):
        size = 4 * len(r[0])
        for half in halves:
            b[half * size : (half + 1) * size] = [0.0] * size


def identity(document: Json) -> None:
    def change(w: Matrix, r: Matrix, n: int) -> None:
        for block in (w, r):
            for j, row in enumerate(block):
                row[:] = [float(j == k) for k in range(len(row))]

    each_block(document, change)
    clear_bias(document, 0, 1)


def flat_rows(w: Matrix, r: Matrix, n: int) -> None:
    for a, b in zip(w, r, strict=True):
        a[:], b[:] = [b[0]] * len(a), [b[0]] * len(b)


def flat_blocks(w: Matrix, r: Matrix, n: int) -> None:
    fill(w, w[0][0])
    fill(r, r[0][0])


def equal_blocks(w: Matrix, r: Matrix, n: int) -> None:
    for a, b in zip(w, r, strict=True):
        a[:] = b


def both(change: Callable[[Matrix], None]) -> Callable[[Matrix, Matrix, int], None]:
    def changed(w: Matrix, r: Matrix, n: int) -> None:
        change(w)
        change(r)

    return changed


def units_alike(document: Json) -> None:
    for w, r, b in stacks(document):
        units = len(r[0])
        for row in range(4 * units):
            first = row - row % units
            w[row], r[row] = list(w[first]), list(r[first])
            b[row], b[4 * units + row] = b[first], b[4 * units + first]
    document["c"] = [[0.7] * len(each) for each in document["c"]]


def same_biases(document: Json) -> None:
    for _, r, b in stacks(document):
        size = 4 * len(r[0])
        b[size:] = b[:size]


def peepholes(change: Callable[[Vector], Vector]) -> Callable[[Json], None]:
    def changed(document: Json) -> None:
        (p,) = document["weights"]["P"]
        units = len(p) // 3
        p[:] = change(p[:units]) * 3

    return changed


def open_forget_gate(document: Json) -> None:
    for _, r, b in stacks(document):
        units = len(r[0])
        b[2 * units : 3 * units] = [60.0] * units


def no_candidate(document: Json) -> None:
    for w, r, b in stacks(document):
        units = len(r[0])
        fill(w[3 * units :], 0.0)
        fill(r[3 * units :], 0.0)
        b[3 * units : 4 * units] = b[7 * units :] = [0.0] * units


def directions_alike(document: Json) -> None:
    document["weights"] = {key: [side[0], side[0]] for key, side in document["weights"].items()}


def states(*names: str) -> Callable[[Json], None]:
    return lambda document: document.update(
        {name: [[0.0] * len(row) for row in document[name]] for name in names}
    )


def first_step(*names: str) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        states(*names)(document)
        document["x"] = document["x"][:1]

    return change


def x_by(change: Callable[[Matrix], Matrix]) -> Callable[[Json], None]:
    return lambda document: document.update(x=change(document["x"]))


def by_block(change: Callable[[Matrix, Matrix, int], None]) -> Callable[[Json], None]:
    return lambda document: each_block(document, change)


# Weakness -> how it is made, and in what.
WEAK: dict[str, tuple[Callable[[Json], None], Json]] = {
    "one-weight": (all_weights(0.3, 0.3), {}),
    "one-weight-a-kernel": (all_weights(0.3, -0.4), {}),
    "one-input-weight": (all_weights(0.3, None), {}),
    "one-recurrent-weight": (all_weights(None, 0.3), {}),
    "gates-alike": (lambda d: copy_rows(d, 0, 1), {}),
    "gates-mirrored": (lambda d: copy_rows(d, 2, 0, -1), {}),
    "identity": (identity, {}),
    "flat-rows": (by_block(flat_rows), {}),
    "same-kernels": (by_block(equal_blocks), {}),
    "flat-kernels": (by_block(flat_blocks), {}),
    "diagonal": (by_block(both(keep_diagonal)), {}),
    "symmetric": (by_block(both(symmetrise)), {}),
    "u-symmetric": (by_block(lambda w, r, n: symmetrise(r)), {}),
    "w-symmetric": (by_block(lambda w, r, n: symmetrise(w)), {}),
    "zero-u": (all_weights(None, 0.0), {}),
    "zero-w": (all_weights(0.0, None), {}),
    "units-alike": (units_alike, {}),
    "directions-alike": (directions_alike, {"sides": 2}),
    "zero-biases": (lambda d: clear_bias(d, 0, 1), {}),
    "zero-second-bias": (lambda d: clear_bias(d, 1), {}),
    "zero-first-bias": (lambda d: clear_bias(d, 0), {}),
    "same-biases": (same_biases, {}),
    "zero-peepholes": (peepholes(lambda p: [0.0] * len(p)), {"peephole": True}),
    "same-peepholes": (peepholes(list), {"peephole": True}),
    "stuck-gates": (open_forget_gate, {}),
    "zero-candidate": (no_candidate, {}),
    "one-step-from-zero": (first_step("h", "c"), {}),
    "one-step-zero-c": (first_step("c"), {}),
    "one-step-zero-h": (first_step("h"), {}),
    "one-step": (first_step(), {}),
    "zero-states": (states("h", "c"), {}),
    "zero-h": (states("h"), {}),
    "zero-c": (states("c"), {}),
    "same-states": (lambda d: d.update(h=d["c"]), {}),
    "zero-x": (x_by(lambda x: [[0.0] * len(row) for row in x]), {}),
    "one-number-x": (x_by(lambda x: [[0.4] * len(row) for row in x]), {}),
    "still-x": (x_by(lambda x: [x[0]] * len(x)), {}),
    "palindrome-x": (x_by(lambda x: [*x[:2], x[0]]), {}),
}


def weakened(name: str) -> Json:
    change, how = WEAK[name]
    document = strong(**how)
    change(document)
    return answered(document)


def test_every_weakness_is_tried() -> None:
    """No row of the table of weaknesses is without a sample below."""
    assert set(WEAK) == {row.id for row in WEAKNESSES}
    assert all(row.change for row in WEAKNESSES)


@pytest.mark.parametrize("name", WEAK)
@pytest.mark.few(8)
def test_a_weakness_hides_what_it_is_said_to_hide(name: str) -> None:
    """Given to strong numbers it is found, named as the cause, and what it hides passes."""
    document = weakened(name)
    suite, case = vetted([document]), read(document)
    assert suite.blind
    (cause,) = [each for each in suite.causes if each.id == name]
    for slug in cause.hides:
        if slug in NEEDS:
            assert passes(case, slug), slug
    told = {slug for each in suite.causes for slug in each.hides}
    assert told == {verdict.row.id for verdict in suite.blind}


def test_strong_numbers_have_no_weakness() -> None:
    """What the weak samples are made of hides nothing."""
    for how in ({}, {"sides": 2}, {"peephole": True}):
        assert not vetted([answered(strong(**how))]).blind


def test_few_digits_are_a_cause() -> None:
    """McCaffrey's four digits hide what moves less: the tolerance is told, not blamed on weights."""
    answer = call("vet", SAMPLES / "hand.json", "--json").json
    (cause,) = [c for c in answer["suites"][0]["causes"] if c["id"] == "tolerance"]
    assert "gates-ifog" in cause["hides"]
    assert "5e-05" in cause["sentence"]


@pytest.mark.full
def test_a_clip_that_nothing_reaches_is_a_cause() -> None:
    """A model's own clip is untested by numbers below it."""
    for clip in (6, 40):  # at 40 a gate is 1 in any case, but a cell state can still be cut
        document = {**answered(strong()), "clip": clip}
        (cause,) = vetted([document]).causes
        assert cause.id == "clip-unreached"
        assert "cell-clip-for-clip" in cause.hides
        assert ("clips-ignored" in cause.hides) == (clip == 6)
    assert made_stronger([document]).suite.strength == 100.0


def test_what_is_compared_is_a_cause() -> None:
    """Behind a projection h alone does not show which unit is which."""
    document = {"x": [[0.5, 0.1], [0.2, 0.3]], "h": [0.3, 0.1], "c": [0.4, 0.3, 0.2],
                "cell": "projection", "weights": {"preset": "random", "hidden_size": 3}}  # fmt: skip
    answer = call("batch", "-", stdin=json.dumps(document)).lines[0]
    given = {**document, "expected": {"h": answer["h"]}}
    (found,) = vetted([given]).causes
    assert (found.id, found.hides) == ("compared", ("units-permuted",))


@pytest.mark.full
def test_two_weaknesses_can_hide_together() -> None:
    """In ONNX's tests gates and units are alike: only both together hide an interleaved stack."""
    suite = vetted(documents("onnx-node"))
    together = [each for each in suite.causes if "+" in each.id]
    assert {"gates-interleaved", "gates-deinterleaved"} == {
        slug for each in together for slug in each.hides
    }
    assert sum(each.samples for each in together) == len(suite.subjects)


# ---- a stronger vector


def made_stronger(given: list[Json]) -> Stronger:
    return strengthen(vetted(given, explain=False), SampleSettings(), Path("better.json"))


@cache
def strengthened(name: str) -> Stronger:
    return made_stronger(STRENGTHENED[name]())


STRENGTHENED = {
    "one step from zero": lambda: [one_step_from_zero()],
    "onnx": lambda: documents("onnx-node"),
    "keras": lambda: documents("keras"),
    "pytorch-cpp": lambda: documents("pytorch-cpp"),
    "candle": lambda: documents("candle"),
    "peepholes": lambda: [weakened("same-peepholes")],
    "directions": lambda: [weakened("directions-alike")],
    "I ≠ H": lambda: [answered(strong(2, 4, 1))],
}


@pytest.mark.parametrize("name", STRENGTHENED)
@pytest.mark.few(2)
def test_a_stronger_vector_tells_every_mistake(name: str) -> None:
    """Each mistake that can be made moves its numbers, by the witness; h and c alone are enough."""
    made = strengthened(name)
    cases = [read(each) for each in made.documents]
    assert all(difference(case) < 1e-12 for case in cases)
    tried = 0
    for verdict in made.suite.verdicts:
        slug = verdict.row.id
        mine = [case for case in cases if slug in NEEDS and applies(case, slug)]
        if mine and slug not in ("float16", "float32") and not verdict.reason:
            assert verdict.word == "seen", slug
            assert not all(passes(case, slug) for case in mine), slug
            if slug != "units-permuted":
                assert any(difference(case, slug, "hc") > 1e-6 for case in mine), slug
            tried += 1
    assert tried > 65
    assert made.suite.strength == 100.0
    assert made.by_h >= made.suite.seen - 2


@pytest.mark.parametrize("name", STRENGTHENED)
def test_a_stronger_vector_is_short(name: str) -> None:
    """Two steps, numbers of two decimals, no two alike, every gate at every step."""
    for document in strengthened(name).documents:
        assert len(document["x"]) == 2
        numbers = flat([document["x"], document["h"], document["c"]])
        assert all(round(v, 2) == v != 0 for v in numbers)
        assert len({abs(v) for v in numbers}) == len(numbers)
        assert set(document["expected"]) == set("figoch")
        assert all(len(value) == 2 for value in document["expected"].values())
        assert document["atol"] == 1e-6


def flat(value: Any) -> Vector:
    return [v for each in value for v in flat(each)] if isinstance(value, list) else [value]


def test_weights_that_can_tell_all_stay() -> None:
    """Good weights are kept as they were given, weak ones are replaced in the same layout."""
    good = one_step_from_zero()
    kept = made_stronger([good])
    assert (kept.new_weights, kept.old_weights_hide) == (False, ())
    assert kept.documents[0]["weights"] == good["weights"]
    weak = weakened("gates-alike")
    renewed = made_stronger([weak])
    assert renewed.new_weights
    assert renewed.old_weights_hide == ("gates-iogf",) or len(renewed.old_weights_hide) == 1
    weights = renewed.documents[0]["weights"]
    assert renewed.documents[0]["convention"] == "onnx"
    assert {k: np.shape(v) for k, v in weights.items()} == {
        k: np.shape(v)[1:] for k, v in weak["weights"].items()
    }
    numbers = flat(list(weights.values()))
    assert len({abs(v) for v in numbers}) == len(numbers)


def test_a_path_stays_valid_from_the_new_folder(tmp_path: Path) -> None:
    """Weights in a file are named as seen from where the new sample lies."""
    target = tmp_path / "deep" / "better.json"
    target.parent.mkdir()
    answer = call("vet", SAMPLES / "parity.json", "--stronger", target, "--json")
    assert answer.code == 0
    assert not Path(json.loads(target.read_text())["weights"]).is_absolute()
    assert call("batch", target, "--check").code == 0
    again = call("vet", target, "--json").json["suites"][0]
    assert (again["strength"], again["blind"]) == (100.0, [])
    told = answer.json["stronger"]
    assert (told["seen"], told["applicable"]) == (again["seen"], again["applicable"])


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ({"cell": "peephole+projection", "weights": {"preset": "random", "hidden_size": 3}}, []),
        ({"cell": "coupled-forget+peephole"}, []),
        ({"cell": "hard-sigmoid", "clip": 3, "cell_clip": 2, "forget_bias": 1}, []),
        ({"activations": "softsign,tanh,tanh"}, []),
        ({}, ["--preset", "random", "--seed", "3"]),
        ({}, ["--cell", "peephole", "--clip", "2"]),
        ({}, ["--weights", SAMPLES / "weights" / "parity.npz", "--forget-bias", "1"]),
        ({}, ["--weights", ROOT / "tests" / "files" / "keras3_hard_sigmoid.keras"]),
        ({}, ["--weights", ROOT / "tests" / "files" / "torch_projection.pth"]),
    ],
    ids=str,
)
@pytest.mark.few(1)
def test_a_stronger_vector_keeps_the_cell(
    keys: Json, options: list[object], tmp_path: Path
) -> None:
    """Whatever cell a sample and the command line ask for, the new sample has it by itself."""
    inputs = {"parity.npz": 1, "keras3_hard_sigmoid.keras": 3, "torch_projection.pth": 3}
    size = next((n for name, n in inputs.items() if name in map(file_name, options)), 2)
    states = {} if options else {"h": [0.1, 0.2], "c": [0.1, 0.2]}
    if "projection" in keys.get("cell", ""):
        states["c"] = [0.1, 0.2, 0.3]
    bare = {"x": [[0.3] * size], **states, **keys}
    shared = [each for each in options if each not in ("--preset", "random", "--seed", "3")]
    own = {"weights": {"preset": "random", "seed": 3}} if "--preset" in options else {}
    answer = call("batch", "-", *shared, stdin=json.dumps({**bare, **own})).lines[0]
    sample = tmp_path / "weak.json"
    sample.write_text(json.dumps({**bare, "expected": {"h": answer["h"]}}))
    better = tmp_path / "better.json"
    done = call("vet", sample, *options, "--stronger", better, "--json")
    assert done.code == 0, done.err
    stronger = done.json["stronger"]
    assert stronger["strength"] == 100.0, stronger["blind"]
    again = call("vet", better, "--json").json["suites"][0]
    assert (again["seen"], again["strength"]) == (stronger["seen"], 100.0)
    mine = {m["id"] for m in done.json["suites"][0]["not_applicable"] if "no place" in m["reason"]}
    theirs = {m["id"] for m in again["not_applicable"] if "no place" in m["reason"]}
    assert mine == theirs  # the same cell has no place for the same


def test_a_convention_of_the_command_line_is_kept(tmp_path: Path) -> None:
    """With I = H another order of columns fits too: what was asked for is written down."""
    rng = random.Random(2)
    weights: Json = {f"W_{k}": [[round(rng.uniform(-1, 1), 2) for _ in range(4)] for _ in range(2)]
                     for k in "figo"}  # fmt: skip
    weights |= {f"b_{k}": [round(rng.uniform(-1, 1), 2) for _ in range(2)] for k in "figo"}
    document = {"x": [[0.5, 0.25]], "weights": weights}
    option = ["--convention", "joined-xh"]
    (right,) = call("batch", "-", *option, stdin=json.dumps(document)).lines
    sample = tmp_path / "sample.json"
    sample.write_text(json.dumps({**document, "expected": {"h": right["h"]}}))
    assert call("vet", sample, *option, "--stronger", tmp_path / "better.json").code == 0
    better = json.loads((tmp_path / "better.json").read_text())
    assert (better["convention"], better["weights"]) == ("joined-xh", weights)
    assert call("vet", tmp_path / "better.json", "--min-strength", 100).code == 0


def file_name(option: object) -> str:
    return option.name if isinstance(option, Path) else ""


def test_weights_of_a_named_layer_are_replaced(tmp_path: Path) -> None:
    """A sample cannot say which LSTM of a file it means: then new weights stand in it."""
    path = tmp_path / "two.json"
    document = strong(2, 2)
    named = {f"{lead}.{key}": value for lead in ("a", "b")
             for key, value in document["weights"].items()}  # fmt: skip
    path.write_text(json.dumps(named))
    given = {"x": document["x"], "expected": answered(
        {**document, "h": [[0.0] * 2], "c": [[0.0] * 2]}, ["h"])["expected"]}  # fmt: skip
    sample = tmp_path / "sample.json"
    sample.write_text(json.dumps(given))
    options = ["--weights", path, "--lstm", "b", "--convention", "onnx"]
    done = call("vet", sample, *options, "--stronger", tmp_path / "better.json", "--json")
    assert done.json["stronger"]["new_weights"] is True
    assert done.json["stronger"]["old_weights_hide"] == []
    assert call("vet", tmp_path / "better.json", "--min-strength", 100).code == 0


def test_a_cell_of_one_s_own_can_be_vetted(tmp_path: Path) -> None:
    """A table in a file has no gates to mix up, yet states and sequences; its path stays valid."""
    table = 'name = "leaky"\nequations = """\nc = 0.9 * c_prev + W_c @ x + b_c\nh = tanh(c)\n"""\n'
    (tmp_path / "leaky.toml").write_text(table)
    document = {"x": [[0.5, 0.1]], "cell": "leaky.toml",
                "weights": {"W_c": [[0.3, 0.2], [0.1, 0.4]], "b_c": [0.1, 0.2]}}  # fmt: skip
    given = tmp_path / "own.json"
    given.write_text(json.dumps({**document, "expected": {"h": [0, 0]}}))
    (right,) = call("batch", given).lines
    given.write_text(json.dumps({**document, "expected": {"h": right["h"]}}))
    folder = tmp_path / "deeper"
    folder.mkdir()
    done = call("vet", given, "--stronger", folder / "better.json", "--json")
    suite = done.json["suites"][0]
    assert suite["orders_applicable"] == 0
    assert {each["kind"] for each in suite["blind"]} == {"states", "sequence"}
    assert done.json["stronger"]["strength"] == 100.0
    assert call("batch", folder / "better.json", "--check").code == 0


def test_too_many_new_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large model's weights are not written into a sample."""
    monkeypatch.setattr(vetting, "MOST_NUMBERS", 90)
    (tmp_path / "large.json").write_text(json.dumps(weakened("gates-alike")))
    answer = call("vet", tmp_path / "large.json", "--stronger", tmp_path / "better.json")
    assert_refused(answer, 3, "new weights would take 96 numbers", "at most 90")
    assert not (tmp_path / "better.json").exists()


@pytest.mark.parametrize("scale", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("count", [1, 60, 150, 2000])
def test_short_numbers_are_short_and_distinct(count: int, scale: float) -> None:
    """They keep within the scale, none is near 0, and decimals grow only where they must."""
    numbers = short_numbers(np.random.default_rng(1), count, scale)
    assert len(set(np.abs(numbers).tolist())) == count
    assert np.all(np.abs(numbers) <= scale)
    assert np.min(np.abs(numbers)) > 0
    assert np.array_equal(np.round(numbers, 4), numbers)
    if count * 1.2 < 90 * scale:
        assert np.array_equal(np.round(numbers, 2), numbers)
    more = short_numbers(np.random.default_rng(1), count, scale, numbers)
    assert not set(np.abs(more)) & set(np.abs(numbers))


# ---- the command


def few_of_onnx(folder: Path) -> Path:
    """A file of three of ONNX's tests: forward, with peepholes, in both directions."""
    wanted = ("defaults/0", "with_peepholes/0", "bidirectional")
    lines = [json.dumps(each) for each in documents("onnx-node") if each["id"] in wanted]
    path = folder / "onnx-few.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.full
def test_json_is_as_its_schema_says(tmp_path: Path) -> None:
    """One suite or many, explained, with all mistakes, stronger, with what was left out."""
    check = validator("vet")
    broken = tmp_path / "broken.jsonl"
    lines = ['{"x": [1]}', '{"x": [1], "expected": {"h": [9]}}',
             json.dumps(one_step_from_zero()), "{"]  # fmt: skip
    broken.write_text("\n".join(lines))
    runs: list[list[object]] = [
        [SAMPLES / "hand.json"],
        [SAMPLES / "hand.json", "--list"],
        [few_of_onnx(tmp_path), "--stronger", tmp_path / "better.jsonl"],
        [SAMPLES / "hand.json", SAMPLES / "question.json", broken],
    ]
    for arguments in runs:
        answer = call("vet", *arguments, "--json")
        check.validate(answer.json)
    assert call("vet", *runs[-1], "-f", "jsonl").lines == answer.json["suites"]
    assert len(answer.json["suites"]) == 3
    last = answer.json["suites"][-1]
    assert [len(last[key]) for key in ("failed", "mismatched", "unchecked")] == [1, 1, 1]
    assert answer.code == 4
    assert (tmp_path / "better.jsonl").read_text().count("\n") == 2


@pytest.mark.parametrize(
    "document", [{}, {"schema": "lstm-step/1", "command": "vet", "version": "1", "suites": [{}]}]
)
def test_the_schema_refuses_what_lacks_something(document: Json) -> None:
    """The schema is not so wide that anything passes."""
    assert not validator("vet").is_valid(document)


CODES: list[tuple[list[object], int]] = [
    ([SAMPLES / "hand.json"], 0),
    ([SAMPLES / "hand.json", "--min-strength", "93"], 0),
    ([SAMPLES / "hand.json", "--min-strength", "94"], 1),
    ([SAMPLES / "hand.json", SAMPLES / "question.json", "--min-strength", "50"], 1),
    ([VECTORS / "distinct.jsonl", "--min-strength", "100"], 0),
    ([SAMPLES / "threads", "-q"], 1),
    ([SAMPLES / "hand.json", "/no/such.json"], 4),
    ([SAMPLES / "hand.json", "--atol", "0.5", "--min-strength", "90"], 1),
]


@pytest.mark.parametrize(("arguments", "code"), CODES, ids=str)
def test_exit_codes(arguments: list[object], code: int) -> None:
    """0 done, 1 too weak or other numbers, 4 a sample failed."""
    assert call("vet", *arguments).code == code


REFUSED: list[tuple[list[object], int, str]] = [
    (["/no/such.json"], 3, "no such file"),
    ([SAMPLES / "threads" / "clip.json"], 1, "lstm-step diagnose"),
    ([SAMPLES / "weights" / "hand.json"], 3, "these are weights, not a sample"),
    ([SAMPLES / "hand.json", "-f", "csv"], 2, "unknown format 'csv'"),
    ([SAMPLES / "hand.json", "--atol", "-1"], 2, "--atol is -1"),
    ([SAMPLES / "hand.json", "--atol", "nan"], 2, "--atol is nan"),
    ([SAMPLES / "hand.json", "--min-strength", "101"], 2, "not in the range"),
    ([SAMPLES / "hand.json", "--stronger", "better.npz"], 2, "--stronger better.json"),
    (
        [SAMPLES / "hand.json", SAMPLES / "parity.json", "--stronger", "b.json"],
        2,
        "one file, but there are 2",
    ),
    ([SAMPLES / "hand.json", "--allow-external-data"], 2, "--weights"),
    ([SAMPLES / "hand.json", "--seed", "1"], 2, "--preset"),
    ([SAMPLES / "hand.json", "--preset", "ones", "--weights", "x.npz"], 2, "both given"),
    ([SAMPLES / "hand.json", "--stronger", "/no/such/folder/b.json"], 5, "cannot write"),
    (["nothing*.json"], 3, "no sample files"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED, ids=str)
def test_what_is_refused_is_said_in_three_lines(
    arguments: list[object], code: int, words: str
) -> None:
    """What, where, what to try; nothing on stdout."""
    assert_refused(call("vet", *arguments), code, words)


def test_a_vector_that_does_not_match_is_not_vetted() -> None:
    """Numbers that differ from the right run are for `diagnose` to explain first."""
    document = one_step_from_zero()
    document["expected"]["h"][1] += 0.1
    answer = call("vet", "-", stdin=json.dumps(document))
    assert_refused(answer, 1, "do not match: h[1] at t = 1", "diagnose")
    nothing = call("vet", "-", stdin='{"x": [1]}')
    assert_refused(nothing, 3, "no sample expects numbers")


def test_what_is_left_out_is_said() -> None:
    """A suite goes on without samples that fail or expect nothing, and says so on stderr."""
    good = json.dumps(one_step_from_zero())
    answer = call("vet", "-", stdin=f'{good}\n{{"x": [1]}}\n{{"x": "a"}}\n{good}')
    assert answer.code == 4
    assert "stdin · 2 samples" in answer.out
    assert "left out: 1 sample of stdin expects nothing" in answer.err
    assert "failed: stdin:3" in answer.err
    assert call("vet", "-", "-q", stdin=f'{good}\n{{"x": [1]}}').err == ""


def test_a_table_has_a_row_a_file() -> None:
    """Several files are compared: samples, orders, mistakes, strength."""
    answer = call("vet", SAMPLES / "hand.json", VECTORS / "onnx-node.jsonl",
                  env={"COLUMNS": "200"})  # fmt: skip
    assert answer.err == "assumed: no biases in the weights: zeros\n"
    (line,) = [line for line in answer.out.splitlines() if "onnx-node" in line]
    assert line.split()[1:] == ["13", "23", "of", "23", "40", "of", "98", "59", "%"]


@pytest.mark.parametrize("columns", [40, 60, 120])
@pytest.mark.few(1)
def test_no_line_is_wider_than_the_terminal(columns: int, tmp_path: Path) -> None:
    """At any width lines fit, and no id of what passes is cut in two."""
    few = few_of_onnx(tmp_path)
    for arguments in ([SAMPLES / "hand.json", "--list"], [few], [SAMPLES / "hand.json", few]):
        answer = call("vet", *arguments, env={"COLUMNS": str(columns)})
        assert max(map(len, answer.out.splitlines())) <= columns
        if arguments == [few]:
            assert "recurrent-bias-forgotten" in answer.out


def test_markdown_tells_one_suite_in_full() -> None:
    """A suite alone has its mistakes and causes below its row."""
    text = call("vet", SAMPLES / "hand.json", "-f", "markdown").out
    assert "| 1 | 1 of 23 | 6 of 89 | 93 % |" in text
    assert "| order | gates-ifog | " in text
    assert "- h and c are 0 at the start (hides initial-state-ignored," in text


def test_list_shows_what_is_seen_too() -> None:
    """With --list every mistake of the catalogue has its verdict."""
    answer = call("vet", SAMPLES / "hand.json", "--list", env={"COLUMNS": "120"})
    assert "bias-outside" in answer.out
    assert "only rounds" in answer.out
    told = call("vet", SAMPLES / "hand.json", "--list", "--json").json["suites"][0]["mistakes"]
    assert len(told) == len({each["id"] for each in told}) > 110


def test_a_vector_can_go_to_stdout() -> None:
    """With --stronger - the vector alone is on stdout, ready for `batch --check`."""
    answer = call("vet", "-", "--stronger", "-", stdin=json.dumps(one_step_from_zero()))
    assert (answer.code, answer.err) == (0, "")
    assert call("batch", "-", "--check", stdin=answer.raw).code == 0


HOSTILE = ["\x1b[2J.json", "a\nb.json", "pipe|`x`.json", "‮gpj.json", "[bold]x[bold].json"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.few(1)
def test_hostile_names_steer_nothing(name: str, tmp_path: Path) -> None:
    """A file's name, a sample's id and what is wrong in it reach the terminal as plain text."""
    good, bad = tmp_path / name, tmp_path / f"bad{name}"
    good.write_text(json.dumps({**one_step_from_zero(), "id": name}))
    bad.write_text(json.dumps({"id": name, "x": [1], "expected": {name: [1]}}))
    for arguments in ([good], [bad], [good, bad], [good, "-f", "markdown"],
                      [good, "--stronger", tmp_path / f"better{name}"], [good, "--json"]):  # fmt: skip
        answer = call("vet", *arguments, env={"COLUMNS": "200"})
        assert "this is a bug" not in answer.err
        assert_tame(answer)
    assert (tmp_path / f"better{name}").exists()
    rows = call("vet", good, "-f", "markdown").out.splitlines()[:3]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_a_tolerance_of_nothing_is_the_last_bits() -> None:
    """atol 0 is taken as the rounding of two ways to add, and whole numbers do not divide by 0."""
    document = {**answered(strong()), "atol": 0}
    assert vetted([document], explain=False).strength == 100.0


def test_every_mistake_can_be_made_in_every_cell() -> None:
    """No row of the catalogue needs what a variant has not: it applies there or it does not."""
    names = ["lstm", "peephole", "coupled-forget+peephole", "coupled-input+peephole",
             "peephole+projection", "hard-sigmoid", "hard-sigmoid-6+peephole"]  # fmt: skip
    for name in names:
        sizes = {"I": 2, "H": 3, "P": 2 if "projection" in name else 3}
        model = preset_model("random", cell_named(name), sizes=sizes)
        right = variant_of(model, np.array([[0.5, -0.25], [0.125, 1.0]]))
        claims = own_expected(right, symbols_of(right))
        made = outcomes(right, claims, vetted_mistakes())
        assert len(made) > 50
        assert all(each.excess * EXACT >= 0 for each in made)


def test_gates_go_by_their_parts(tmp_path: Path) -> None:
    """A candidate by the letter f is no gate that is shut, and none is told of by a bare letter."""
    cell = tmp_path / "own.toml"
    cell.write_text(
        'base = "lstm"\n[edit]\nf = "tanh(z_f)"\ng = "sigmoid(z_g)"\nc = "i * c_prev + g * f"\n'
    )
    sample = tmp_path / "sample.json"
    sample.write_text(json.dumps({
        "id": "a", "x": [[0.1, 0.2]], "cell": str(cell), "weights": {"preset": "zeros"},
        "expected": {"h": [0.0, 0.0], "c": [0.0, 0.0]},
    }))  # fmt: skip
    (suite,) = call("vet", sample, "--json").json["suites"]
    told = " ".join(each["sentence"] for each in suite["causes"])
    assert "the candidate is 0 at every step" in told
    assert "shut or wide open" not in told
