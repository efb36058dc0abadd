"""Numbers that other people's software made, and those of the second witness."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cases import GOLDEN, WITNESS_SPECS, Case, golden_cases, witness_case

CASES = golden_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_golden_numbers_are_met(case: Case) -> None:
    """Every value another project published or its library computes comes out here too."""
    assert case.difference(case.run()) <= case.atol


@pytest.mark.parametrize("name", WITNESS_SPECS)
def test_witness_agrees(name: str) -> None:
    """Every gate and state equals that of scalar loops which share no code with the package."""
    case = witness_case(name)
    assert case.difference(case.run()) <= case.atol


@pytest.mark.parametrize("name", WITNESS_SPECS)
def test_witness_cases_exercise_what_they_name(name: str) -> None:
    """A clip clips, a hard sigmoid saturates: changing the spec's setting changes the numbers."""
    plain, own = witness_case("lstm"), witness_case(name)
    if name != "lstm" and own.cell.parameters == plain.cell.parameters:
        assert own.difference(own.run(plain.cell)) > 1e-3


def test_every_required_oracle_is_there() -> None:
    """The goldens of the projects that the README names are all committed, with their source."""
    for name in ("pytorch_cpp", "candle", "onnxruntime_tests", "tflite", "tflite_micro",
                 "openvino", "torch_live", "onnxruntime_live"):  # fmt: skip
        document = json.loads((GOLDEN / f"{name}.json").read_text())
        assert document["source"]
        assert document["cases"]


def test_live_goldens_are_distinct_and_non_zero() -> None:
    """Weights, both biases and states of the goldens made here hold no zero and no value twice."""
    for name in ("torch_live", "onnxruntime_live"):
        for case in json.loads((GOLDEN / f"{name}.json").read_text())["cases"]:
            for layer in case["layers"]:
                for part in layer:
                    stacks = [part[key] for key in ("W", "U", "b_W", "b_U")]
                    values = np.concatenate([np.ravel(stack) for stack in stacks])
                    assert np.all(values != 0)
                    assert len(set(np.round(values, 4))) > 0.95 * len(values)
            assert np.all(np.ravel(case["h0"]) != 0)
            assert np.all(np.ravel(case["c0"]) != 0)
