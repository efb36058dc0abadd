"""The test vectors that other projects ship, as samples: every one is met."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from lstm_cli.commands.batch.work import evaluate_samples
from lstm_cli.samples import read_sample, read_samples
from lstm_cli.samples.settings import SampleSettings
from tests.cases import GOLDEN
from tests.golden.vectors.make import CONVERTED, by_witness, converted

VECTORS = GOLDEN / "vectors"
FILES = sorted(VECTORS.glob("*.jsonl"))
# Where the gates stand in W, R and each half of B, and in P.
ORDER, PEEPHOLES = "iofg", "iof"


def documents(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (VECTORS / f"{name}.jsonl").read_text().splitlines()]


def matches(document: dict[str, Any]) -> bool:
    sample = read_sample(document, "", Path(), "")
    return bool(next(evaluate_samples([sample], SampleSettings()))["check"]["matched"])


def test_every_project_has_its_file() -> None:
    """No file of vectors is lost, and none is empty."""
    assert {path.stem for path in FILES} == {"distinct", "keras", "onnx-node", *CONVERTED}
    assert all(documents(path.stem) for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_line_matches(path: Path) -> None:
    """Each line says whose it is, is taken by `batch`, and comes out within its own tolerance."""
    lines = documents(path.stem)
    records = list(evaluate_samples(read_samples(str(path)), SampleSettings()))
    assert [each["id"] for each in records] == [each["id"] for each in lines]
    assert len({each["id"] for each in lines}) == len(lines)
    assert all(each["note"] and each["expected"] and "atol" in each for each in lines)
    for record in records:
        assert record["ok"], record
        assert record["check"]["matched"], record


@pytest.mark.parametrize("name", CONVERTED)
def test_converted_files_hold_the_golden_numbers(name: str) -> None:
    """A file made from a golden file is what its script makes of that file today."""
    assert documents(name) == converted(name)


def test_the_distinct_case_has_the_second_witness_behind_it() -> None:
    """Our own case is what the second witness gives today, and no number is in it twice."""
    case = documents("distinct")[0]
    theirs, ours = numbers(case["expected"]), numbers(by_witness(case))
    assert max(abs(a - b) for a, b in zip(theirs, ours, strict=True)) <= case["atol"]
    sizes = [abs(each) for key in ("x", "h", "c", "weights") for each in numbers(case[key])]
    assert len(sizes) == len(set(sizes)) > 100


def numbers(nested: Any) -> list[float]:
    """Return every number of nested lists and objects."""
    if isinstance(nested, dict):
        nested = list(nested.values())
    return [v for each in nested for v in numbers(each)] if isinstance(nested, list) else [nested]


def test_the_distinct_case_sees_every_gate_order() -> None:
    """Of the 24 orders in which its stacks could be read, only the right one matches."""
    case = documents("distinct")[0]
    orders = ["".join(order) for order in itertools.permutations(ORDER)]
    assert [order for order in orders if matches(reordered(case, order))] == [ORDER]


def reordered(case: dict[str, Any], order: str) -> dict[str, Any]:
    """Return a case as somebody has it who reads its stacks in another order."""
    size = len(case["h"])

    def stack(rows: list[Any]) -> list[Any]:
        blocks = {k: rows[n * size : (n + 1) * size] for n, k in enumerate(order)}
        return [row for k in ORDER for row in blocks[k]]

    W, R, B = (case["weights"][key][0] for key in "WRB")
    both = stack(B[: 4 * size]) + stack(B[4 * size :])
    return case | {"weights": case["weights"] | {"W": [stack(W)], "R": [stack(R)], "B": [both]}}


@pytest.mark.parametrize("key", ["h", "c", "clip"])
def test_the_distinct_case_sees_what_is_left_out(key: str) -> None:
    """Without one of the states or the clip its numbers are others."""
    case = documents("distinct")[0]
    del case[key]
    assert not matches(case)


@pytest.mark.parametrize("change", ["no R bias", "no peepholes", "R transposed", "io", "of", "fi"])
def test_the_distinct_case_sees_a_wrong_weight(change: str) -> None:
    """A bias or the peepholes forgotten, two peepholes exchanged, a transposed matrix all show."""
    case = documents("distinct")[0]
    size, weights = len(case["h"]), case["weights"]
    match change:
        case "no R bias":
            weights["B"][0][4 * size :] = [0.0] * 4 * size
        case "no peepholes":
            del weights["P"]
        case "R transposed":
            blocks = [weights["R"][0][n : n + size] for n in range(0, 4 * size, size)]
            weights["R"][0] = [list(row) for each in blocks for row in zip(*each, strict=True)]
        case _:
            blocks = {
                k: weights["P"][0][n * size : (n + 1) * size] for n, k in enumerate(PEEPHOLES)
            }
            a, b = change
            blocks[a], blocks[b] = blocks[b], blocks[a]
            weights["P"][0] = [value for block in blocks.values() for value in block]
    assert not matches(case)
