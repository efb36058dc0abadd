"""What the tests share: seeded, distinct, non-zero weights and states; the golden cases."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping

import hypothesis
import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.shapes import Shape
from lstm_cli.cell.weights import LstmWeights

# How long an example takes is a matter of the machine.
hypothesis.settings.register_profile("calm", deadline=None)
hypothesis.settings.load_profile("calm")


def random_arrays(cell: Cell, sizes: Mapping[str, int], seed: int = 0) -> dict[str, Array]:
    """Return distinct, non-zero parameters for a cell; the seed makes them repeatable."""
    generator = np.random.default_rng(seed)

    def draw(shape: Shape) -> Array:
        return generator.uniform(-0.9, 0.9, [sum(sizes[a] for a in size) for size in shape])

    return {name: draw(shape) for name, shape in cell.parameters.items()}


def random_weights(
    cell: Cell, inputs: int = 3, hidden: int = 4, output: int = 2, seed: int = 0
) -> LstmWeights:
    """Return random weights of a cell; `output` counts only where the cell projects."""
    sizes = {"I": inputs, "H": hidden, "P": output}
    return LstmWeights(cell, random_arrays(cell, sizes, seed), "random")


def random_inputs(
    weights: LstmWeights, steps: int = 5, lead: tuple[int, ...] = (), seed: int = 1
) -> tuple[Array, Array, Array]:
    """Return x `(…, T, I)`, h `(…, P)` and c `(…, H)`, all distinct and non-zero."""
    generator = np.random.default_rng(seed)
    shapes = (
        (*lead, steps, weights.input_size),
        (*lead, weights.output_size),
        (*lead, weights.hidden_size),
    )
    x, h, c = (generator.uniform(-1, 1, shape) for shape in shapes)
    return x, h, 1.5 * c


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a developer's colours and widths out of expected texts."""
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LSTM_STEP_DEBUG"):
        monkeypatch.delenv(name, raising=False)


_LOADED = "a forced engine is loaded where the table alone would do"
_NAMED = "a printed run names its engine, and the texts on file are the table's"
_EDITED = "an edit is recomputed by the table, and compared with the run to the bit"
# What `pytest --engine numpy` passes over: what compares bits or texts with the table's own.
BITS = {
    "test_engine.py::test_a_sequence_is_the_fold_of_its_steps":
        "a step alone and a step of many are different products, rounded differently",
    "test_engine.py::test_float32_rounds_each_named_value":
        "the fast engines compute in float32 throughout",
    "test_limits.py::test_the_preset_identity_adds_infinite_numbers_too":
        "the fast engines multiply by every weight, and 0 · inf is nan",
    "test_calls.py::test_runs_one_by_one": "a short call is another product than the whole run",
    "test_calls.py::test_an_edited_run_has_the_same_calls": _EDITED,
    "test_c_golden.py::test_a_run_that_amplifies_roundings_has_wider_tolerances":
        "in such a run each engine's numbers are its own; the tolerance is for the table's",
    "test_readme.py": _NAMED,
    "test_cli.py::test_output_is_as_on_file": _NAMED,
    "test_cli.py::test_numbers_in_data_formats_read_back": "the numbers are the table's own",
    "test_explain.py::test_the_page_as_it_stands": _NAMED,
    "test_edits.py": _EDITED,
    "test_explore.py::test_screens[edited]": _EDITED,
    "test_explore.py::test_screens[differences]": _EDITED,
    "test_explore.py::test_what_is_printed_runs_again": _EDITED,
    "test_startup.py::test_a_step_as_data": _LOADED,
    "test_startup.py::test_a_table_needs_rich": _LOADED,
    "test_startup.py::test_frozen_classes_of_a_step": _LOADED,
}  # fmt: skip

_DIGITS = "the screen shows a number to its last digit, which the table rounds otherwise"
_TABLES = "hundreds of tables, each of which would be compiled for seconds; numpy runs them"
# What `--engine numba` passes over besides.
COMPILES = {
    "test_mutation.py": _TABLES,
    "test_working.py::test_any_expression_is_worked_out": _TABLES,
    "test_explore.py::test_screens[cell-state]": _DIGITS,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine", default="", help="force an engine: table, numpy or numba")


def pytest_configure(config: pytest.Config) -> None:
    # An engine in the environment is somebody's own; the suite means `auto` unless it is asked.
    os.environ.pop("LSTM_STEP_ENGINE", None)
    if config.getoption("--engine"):
        os.environ["LSTM_STEP_ENGINE"] = config.getoption("--engine")


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _mark_all_but_few(items)
    if config.getoption("--engine") in ("", "table"):
        return
    passed_over = BITS | (COMPILES if config.getoption("--engine") == "numba" else {})
    for item in items:
        for start, reason in passed_over.items():
            if f"/{start}" in item.nodeid:
                item.add_marker(pytest.mark.bits)
                item.add_marker(pytest.mark.skip(reason=reason))


def _mark_all_but_few(items: list[pytest.Item]) -> None:
    """Give the cases of a test to the group `full`, but for as many as `few` says."""
    seen = Counter[str]()
    for item in items:
        few = item.get_closest_marker("few")
        if few is not None:
            test = item.nodeid.partition("[")[0]
            seen[test] += 1
            if seen[test] > few.args[0]:
                item.add_marker(pytest.mark.full)
