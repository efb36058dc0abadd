"""Ports to C in float32: right ones match however they print, and faulty ones are told from them.

`pytest -m full tests/ports -rA` shows a line a port: what was said, and the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from lstm_cli.engine.batched_variants import evaluate_members
from lstm_cli.engine.run import run
from lstm_cli.formats.read import read_weights
from lstm_cli.mistakes.catalogue import MISTAKES, secondary_mistakes
from lstm_cli.mistakes.diagnosis import right_variant
from lstm_cli.mistakes.variant_run import Cache
from tests.ports.bench import CC, FAULTS, Bench, Fault, Score, numbers

pytestmark = pytest.mark.skipif(CC is None, reason="there is no C compiler")

PRINTS = ("%f", "%.9g", "%g", "%e", "%.4f", "%.3e")  # %g is also what C++ streams print
BUILDS = {
    "O0": ["-O0"],
    "O2": ["-O2"],
    "fast-math": ["-O3", "-ffast-math"],
    "this-machine": ["-O3", "-march=native", "-ffp-contract=fast"],  # products fused into sums
    "from-the-end": ["-O2", "-DORDER=1"],
    "four-sums": ["-O2", "-DORDER=2"],
    "biases-first": ["-O2", "-DORDER=3"],
}
# How large weights are: as PyTorch draws them for this size, as trained ones are, and beyond.
SIZES = (0.25, 0.5, 1.0, 2.0)
# A few of each for the plain group.
SOME = ("RECURRENT_BIAS_2_LOST", "WIPED_AFTER_10")


def some(fault: Fault) -> object:
    return pytest.param(fault, id=fault.name, marks=() if fault.name in SOME else pytest.mark.full)


every_fault = pytest.mark.parametrize("fault", [some(each) for each in FAULTS])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("ports"))


@pytest.fixture(scope="module")
def score(bench: Bench) -> Callable[[Fault], Score]:
    """Scores of faults, each made once."""
    return cache(bench.score)


@pytest.mark.parametrize("template", PRINTS)
def test_a_right_port_matches(bench: Bench, template: str) -> None:
    """A port without a fault is a match in whatever way its numbers are printed."""
    assert bench.diagnose(bench.printed(template, "-O2"))["verdict"] == "match"


@pytest.mark.full
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("build", BUILDS)
def test_every_right_port_matches(
    tmp_path_factory: pytest.TempPathFactory, build: str, seed: int, size: float
) -> None:
    """Right ports match whatever the compiler, the order of sums and the print make of them."""
    bench = Bench(tmp_path_factory.mktemp("right"), seed, size)
    for template in PRINTS:
        said = bench.diagnose(bench.printed(template, *BUILDS[build]))
        assert (template, said["verdict"]) == (template, "match")


@every_fault
def test_the_first_step_is_exact(score: Callable[[Fault], Score], fault: Fault) -> None:
    """The step named as the first that departs is the first whose print departs, in a unit of it."""
    got = score(fault)
    print(got)
    assert got.first == got.true_first
    assert got.unit in got.true_units


@every_fault
def test_no_other_fault_is_named(score: Callable[[Fault], Score], fault: Fault) -> None:
    """A faulty port is never called right, and never explained by a fault that it has not."""
    got = score(fault)
    assert not got.false_claim, str(got)


def test_a_port_of_a_narrower_type_is_said_to_be_one(bench: Bench) -> None:
    """A port that keeps h in half precision is right as such numbers are, and the type is told."""
    said = bench.diagnose(bench.faulty("HALF_H"))
    assert (said["verdict"], [each["id"] for each in said["findings"]]) == ("match", ["float16"])
    assert said["allowed"]["types"] == ["float16"]


@pytest.mark.full
def test_half_the_faults_are_named_first(score: Callable[[Fault], Score]) -> None:
    """Of the faults that people make, those in no catalogue too, at least half are named first."""
    scores = [score(fault) for fault in FAULTS]
    named = [got for got in scores if got.found]
    assert 2 * len(named) >= len(scores), "\n".join(map(str, scores))


@pytest.mark.full
@pytest.mark.parametrize("fault", [f for f in FAULTS if f.ids], ids=lambda f: f.name)
def test_the_names_are_of_what_the_ports_compute(bench: Bench, fault: Fault) -> None:
    """The rows that are taken for a fault's name compute what the port does, in double."""
    trace = run(read_weights(bench.folder / "model.npz"), bench.x, bench.h, bench.c)
    right, exact = right_variant(trace), numbers(bench.faulty(fault.name, "%.17g", "double"))
    rows = MISTAKES | {row.id: row for row in secondary_mistakes(right)}
    for name in fault.ids:
        variant = rows[name].change(right, Cache())
        assert variant is not None
        kept = evaluate_members([variant.member()], variant.layout, keep=("h",)).values
        np.testing.assert_allclose(kept[1, "h"][0], exact, rtol=0, atol=1e-12)
