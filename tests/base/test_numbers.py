"""How a number is shown, in one place: by a table of cases, and nowhere else in the package."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import lstm_cli
from lstm_cli.base.numbers import (
    decimals,
    latex_number,
    rounded_up,
    shortest,
    significant,
    typeset,
    with_sign,
)
from tests.base.numbers import CASES

ROOT = Path(lstm_cli.__file__).parent


def test_a_number_is_shown_as_the_table_of_cases_has_it() -> None:
    """Ties to even, -0, subnormals, large ones, near-ones: each has the text of the table."""
    wrong = [(value, digits, decimals(value, digits), text) for value, digits, text in CASES
             if decimals(value, digits) != text]  # fmt: skip
    assert len(CASES) > 100
    assert wrong == []


@pytest.mark.parametrize("value", [0.1, 1.0, 0.99999994, 1 / 3])
def test_a_numpy_number_is_shown_as_the_python_one(value: float) -> None:
    """A float32 that is handed over as it is has the text of the same number as a double."""
    single = np.float32(value)
    assert decimals(single, 6) == decimals(float(single), 6)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.99999996, 6, "1.00000"), (1.0, 6, "1"), (0.99999996, 1, "1"), (0.3, 3, "0.3"),
     (0.1 + 0.2, 3, "0.3"), (0.30000001, 3, "0.300"), (1.0000001e-05, 3, "1.00e-05"),
     (1e-05, 3, "1e-05"), (123456.7, 6, "123457"), (1.00000001e10, 1, "1e+10"), (-0.0, 3, "-0"),
     (float("nan"), 6, "nan"), (float("-inf"), 6, "-inf")],
)  # fmt: skip
def test_so_many_digits(value: float, digits: int, text: str) -> None:
    """A number of so many digits keeps its zeros where it is not exactly what is shown."""
    assert significant(value, digits) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(6.2e-07, 1, "7e-07"), (9.1e-07, 1, "1e-06"), (1e-06, 1, "1e-06"), (0.12345, 3, "0.124"),
     (0.123, 3, "0.123"), (0.9999, 3, "1")],
)  # fmt: skip
def test_rounded_up(value: float, digits: int, text: str) -> None:
    """A limit that is told is no smaller than the one that is meant."""
    assert rounded_up(value, digits) == text
    assert float(text) >= value


def test_the_shortest_text_reads_back() -> None:
    """Constants and data have the fewest digits that are the number."""
    for value in (6.0, 0.2, -1e-05, -0.0, 1e22, 5e-324, 0.1 + 0.2):
        assert float(shortest(value)) == value
    assert [shortest(value) for value in (6.0, -1e-05, 1e15)] == ["6", "-1e-05", "1000000000000000"]


def test_dress() -> None:
    """One sign, one minus, one power of ten, whatever the number is for."""
    assert [with_sign(text) for text in ("0.5", "-0.5")] == ["+0.5", "-0.5"]
    assert typeset("-1e-05") == "−1e−05"
    assert latex_number("-2.5e-07") == r"-2.5 \cdot 10^{-7}"
    assert latex_number("-inf") == r"-\infty"


def test_no_other_place_formats_numbers() -> None:
    """No other file of the package rounds a number for a reader; a drawing has its coordinates."""
    spec = re.compile(
        r":[-+,>]?\d*(\.([1-9]|\{)[^}]*\}?[fge]|\.?[ge]|[+]?g)\}|toFixed|toExponential"
    )
    known = {"base/numbers.py", "commands/report/page/numbers.js", "commands/report/svg.py"}
    found = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.*")
        if path.suffix in (".py", ".js") and spec.search(path.read_text(encoding="utf-8"))
    }
    assert found <= known
