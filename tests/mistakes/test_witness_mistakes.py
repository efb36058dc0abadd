"""The witness of mistakes: right when it should be, and wrong in as many ways as it names."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.witness import Matrix, Vector, Witness
from tests.witness_mistakes import (
    SLUGS,
    STACK_SLUGS,
    Directions,
    Layer,
    Made,
    Needs,
    Wrong,
    right_run,
    right_stack,
    wrong_run,
    wrong_stack,
)

Case = tuple[Wrong, Matrix, Vector, Vector]
UNITS = 3


def vector(rng: random.Random, size: int, scale: float = 1.0) -> Vector:
    """Distinct numbers, none near zero, of both signs."""
    return [scale * rng.choice((-1, 1)) * rng.uniform(0.2, 1.0) for _ in range(size)]


def matrix(rng: random.Random, rows: int, columns: int, scale: float = 1.0) -> Matrix:
    return [vector(rng, columns, scale) for _ in range(rows)]


def weights(rng: random.Random, inputs: int, peephole: bool, projected: int | None) -> Wrong:
    return Wrong(
        W={k: matrix(rng, UNITS, inputs, 1.5) for k in "figo"},
        U={k: matrix(rng, UNITS, projected or UNITS) for k in "figo"},
        b_x={k: vector(rng, UNITS) for k in "figo"},
        b_h={k: vector(rng, UNITS) for k in "figo"},
        p={k: vector(rng, UNITS) for k in "fio"} if peephole else {},
        W_hr=matrix(rng, projected, UNITS) if projected else None,
    )


def case(
    seed: int, inputs: int, steps: int, *, peephole: bool = False, projected: int | None = None
) -> Case:
    """A case with z and c beyond 3, so that every clip shows."""
    rng = random.Random(seed)
    made = weights(rng, inputs, peephole, projected)
    states = vector(rng, projected or UNITS), vector(rng, UNITS, 8.0)
    return made, matrix(rng, steps, inputs, 2.0), *states


def case_for(needs: Needs, steps: int, *, projected: int | None = None) -> Case:
    inputs = UNITS if needs.square else 2
    return case(7, inputs, steps, peephole=needs.peephole, projected=projected)


def distance(a: list[Made], b: list[Made], keys: str = "figoch") -> float:
    """The greatest difference in what both have."""
    return max(
        abs(v - w)
        for one, other in zip(a, b, strict=True)
        for k in keys
        if k in one and k in other
        for v, w in zip(one[k], other[k], strict=True)
    )


def threshold(slug: str) -> float:
    return 1e-12 if slug == "float32" else 1e-6


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("peephole", [False, True])
@pytest.mark.parametrize("projected", [None, 2])
def test_right_run_is_the_second_witness(seed: int, peephole: bool, projected: int | None) -> None:
    """Without a mistake the numbers are those of tests/witness.py."""
    w, xs, h0, c0 = case(seed, 2, 4, peephole=peephole, projected=projected)
    b = {k: [v + u for v, u in zip(w.b_x[k], w.b_h[k], strict=True)] for k in "figo"}
    expected = Witness(w.W, w.U, b, w.p, w.W_hr).run(xs, h0, c0)
    assert distance(right_run(w, xs, h0, c0), expected) <= 1e-15


@pytest.mark.parametrize("slug", SLUGS)
def test_a_mistake_shows(slug: str) -> None:
    """Each mistake moves a number, in the fewest steps it needs and in more."""
    for steps in (SLUGS[slug].min_steps, 3, 4):
        given = case_for(SLUGS[slug], steps)
        assert distance(wrong_run(slug, *given), right_run(*given)) > threshold(slug)


@pytest.mark.parametrize("slug", [slug for slug, needs in SLUGS.items() if not needs.unprojected])
def test_a_mistake_shows_behind_a_projection(slug: str) -> None:
    """A mistake that can be made with P != H moves a number there too."""
    given = case_for(SLUGS[slug], 3, projected=2)
    assert distance(wrong_run(slug, *given), right_run(*given)) > threshold(slug)


@pytest.mark.parametrize("slug", [slug for slug, needs in SLUGS.items() if needs.min_steps > 1])
def test_one_step_hides_what_needs_two(slug: str) -> None:
    """A mistake said to need two steps gives the right answer in one."""
    given = case_for(SLUGS[slug], 1)
    assert wrong_run(slug, *given) == right_run(*given)


def test_no_two_mistakes_are_one() -> None:
    """Each slug has h and c of its own; on a square W, reshaping it is transposing it."""
    given = case(7, UNITS, 4, peephole=True)
    runs = {slug: wrong_run(slug, *given) for slug in SLUGS}
    pairs = itertools.combinations(runs, 2)
    alike = [(a, b) for a, b in pairs if distance(runs[a], runs[b], "ch") < 1e-9]
    assert alike == [("w-transposed", "kernel-reshaped")]


def test_gates_are_read_in_the_order_named() -> None:
    """Reading i f g o as f i g o exchanges the two gates of a cell without peepholes."""
    given = case(7, 2, 1)
    wrong, right = wrong_run("gates-figo", *given)[0], right_run(*given)[0]
    assert (wrong["f"], wrong["i"]) == (right["i"], right["f"])


def test_a_missing_gate_is_absent() -> None:
    """A program without a gate has no values of it."""
    for slug in ("no-forget-gate", "no-input-gate", "no-output-gate"):
        made = wrong_run(slug, *case(7, 2, 3))
        assert all(set(step) == set("figoch") - {slug[3]} for step in made)


def stack(layers: int) -> tuple[list[Layer], Matrix, Matrix, Matrix]:
    rng = random.Random(layers)
    made = [
        {d: weights(rng, 2 * UNITS if n else 2, False, None) for d in ("forward", "backward")}
        for n in range(layers)
    ]
    h0, c0 = matrix(rng, 2 * layers, UNITS), matrix(rng, 2 * layers, UNITS, 3.0)
    return made, matrix(rng, 4, 2), h0, c0


def stack_distance(a: list[Directions], b: list[Directions]) -> float:
    return max(distance(one[d], other[d]) for one, other in zip(a, b, strict=True) for d in other)


def test_right_stack_is_runs_joined_by_hand() -> None:
    """Two layers of two directions, written out."""
    layers, xs, h0, c0 = stack(2)
    low, high = right_stack(layers, xs, h0, c0)
    assert low["forward"] == right_run(layers[0]["forward"], xs, h0[0], c0[0])
    back = right_run(layers[0]["backward"], xs[::-1], h0[1], c0[1])[::-1]
    assert low["backward"] == back
    read = [f["h"] + b["h"] for f, b in zip(low["forward"], back, strict=True)]
    assert high["forward"] == right_run(layers[1]["forward"], read, h0[2], c0[2])
    assert high["backward"] == right_run(layers[1]["backward"], read[::-1], h0[3], c0[3])[::-1]


@pytest.mark.parametrize("slug", STACK_SLUGS)
def test_a_mistake_of_a_stack_shows(slug: str) -> None:
    """Each mistake moves a number, in the fewest layers it needs and in more."""
    for layers in range(STACK_SLUGS[slug].min_layers, 4):
        given = stack(layers)
        assert stack_distance(wrong_stack(slug, *given), right_stack(*given)) > 1e-6


def test_states_by_direction_uses_the_rows_named() -> None:
    """With 2 layers of 2 directions, runs 0 1 2 3 use rows 0 2 1 3."""
    layers, xs, h0, c0 = stack(2)
    h, c = ([rows[r] for r in (0, 2, 1, 3)] for rows in (h0, c0))
    assert wrong_stack("states-by-direction", layers, xs, h0, c0) == right_stack(layers, xs, h, c)


def test_one_direction_needs_no_backward() -> None:
    """A stack of one direction reads h of the layer below."""
    rng = random.Random(3)
    low, high = weights(rng, 2, False, None), weights(rng, UNITS, False, None)
    xs, h0, c0 = matrix(rng, 3, 2), matrix(rng, 2, UNITS), matrix(rng, 2, UNITS)
    answer = right_stack([{"forward": low}, {"forward": high}], xs, h0, c0)
    read = [step["h"] for step in answer[0]["forward"]]
    assert answer[1] == {"forward": right_run(high, read, h0[1], c0[1])}
