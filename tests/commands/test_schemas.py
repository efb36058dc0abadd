"""What goes out as JSON is what the shipped schemas say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # it ships no types
import pytest

import lstm_cli
from tests.tools import SAMPLES, call

SCHEMAS = Path(lstm_cli.__file__).parent / "schemas"
NAMES = ("run", "grad", "batch", "manifest", "diagnose", "vet", "explain", "error")


def validator(name: str) -> Any:
    """Return the checker of a shipped schema."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_is_one(name: str) -> None:
    """Each schema is valid under draft 2020-12 and lets members be added."""
    schema = validator(name).schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert '"additionalProperties": false' not in json.dumps(schema)


RUNS = {
    "one step": ["--x", "1,2", "--h", "0.5,0.25", "--c", "1,-1"],
    "zeros": ["--x", "1"],
    "many steps": ["--x", "1;2;3"],
    "weights": ["--x", "1,2,3", "--weights", SAMPLES / "weights" / "hand.json"],
    "variant": ["--x", "1,2", "--cell", "peephole+projection", "--preset", "random",
                "--output-size", "1", "--forget-bias", "1", "--clip", "3"],
    "activations": ["--x", "1", "--activations", "hard_sigmoid(0.3,0.4),tanh,softsign"],
    "split": ["--x", "1", "--notation", "split"],
    "float32": ["--x", "0.1", "--dtype", "float32"],
    "not finite": ["--x", "nan,inf", "--allow-nonfinite"],
    "chosen": ["--x", "1,2;3,4", "--unit", "0", "--at", "last"],
}  # fmt: skip


@pytest.mark.parametrize("arguments", RUNS.values(), ids=RUNS)
def test_a_run_is_as_its_schema_says(arguments: list[object]) -> None:
    """`run --json` validates, and `-f jsonl` gives the same steps."""
    answer = call(*arguments, "--json")
    assert answer.err == ""
    validator("run").validate(answer.json)
    assert call(*arguments, "-f", "jsonl").lines == answer.json["steps"]


def test_a_batch_is_as_its_schema_says() -> None:
    """Every record validates: answered, checked, traced, failed."""
    answers = [call("batch", SAMPLES, *options) for options in ([], ["--check"], ["--trace"])]
    failing = '{"x": []}\n{"x": [1], "expected": {"h": [9]}}\n{"x": [1]}\n{\n'
    answers.append(call("batch", "-", "--check", "--trace", stdin=failing))
    check = validator("batch")
    for answer in answers:
        assert answer.lines
        for record in answer.lines:
            check.validate(record)
    assert [each["ok"] for each in answers[-1].lines] == [False, True, True, False]


ANSWER = {"schema": "lstm-step/1", "id": "a", "ok": True, "engine": "table",
          "assumptions": [], "h": [], "c": []}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("run", {"schema": "lstm-step/1"}),
        ("batch", {"schema": "lstm-step/1", "id": "a", "ok": True}),
        ("batch", {"schema": "lstm-step/1", "id": "a", "ok": False, "h": [], "c": []}),
        ("batch", {"schema": "lstm-step/1", "id": "a", "ok": True, "h": [], "c": []}),
        ("batch", ANSWER | {"engine": "abacus"}),
        ("batch", {key: ANSWER[key] for key in ANSWER if key != "assumptions"}),
        ("batch", ANSWER | {"h": ["one"]}),
        ("error", {"schema": "lstm-step/2", "error": {}}),
    ],
)
def test_a_schema_refuses_what_lacks_something(name: str, document: object) -> None:
    """The schemas are not so wide that anything passes."""
    assert validator("batch").is_valid(ANSWER)
    assert not validator(name).is_valid(document)


ERRORS: tuple[list[str], ...] = (
    ["--x", "a"], ["--x", "1", "--preset", "nope"], ["--x", "1", "--h", "1,2", "--c", "1,2,3"],
    ["--x", "1", "-o", "/no/such/folder/x"], ["--x", "1", "--cell", "no.toml"], ["--nope"], ["nope"],
    ["batch", "no*"], [],
)  # fmt: skip


@pytest.mark.parametrize("arguments", ERRORS, ids=" ".join)
def test_an_error_is_as_its_schema_says(arguments: list[str]) -> None:
    """With --json an error is one JSON object on one line of stderr, and stdout is empty."""
    answer = call(*arguments, "--json")
    assert answer.code in (2, 3, 5)
    assert answer.raw == b""
    assert answer.err.count("\n") == 1
    validator("error").validate(json.loads(answer.err))
