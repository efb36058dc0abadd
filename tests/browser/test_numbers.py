"""The page writes a number as every other output does, in a real browser."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.numbers import decimals
from lstm_cli.commands.report import page
from tests.base.numbers import CASES

pytestmark = pytest.mark.browser


def shown(browser: Any, cases: list[tuple[float, int]]) -> list[str]:
    """Return what the page's script makes of numbers, handed over as bytes."""
    tab = browser.new_page()
    script = resources.files(page).joinpath("numbers.js").read_text(encoding="utf-8")
    bits = np.array([value for value, _ in cases]).view(np.uint64)
    texts: list[str] = tab.evaluate(
        f"""([bits, digits]) => {{
          {script}
          const numbers = new Float64Array(BigUint64Array.from(bits, BigInt).buffer);
          return digits.map((each, i) => number(numbers[i], each));
        }}""",
        [[str(each) for each in bits], [digits for _, digits in cases]],
    )
    tab.close()
    return texts


def test_the_page_has_the_texts_of_the_table_of_cases(browser: Any) -> None:
    """Ties, -0, subnormals, large ones, near-ones: each has the text of the table."""
    texts = shown(browser, [(value, digits) for value, digits, _ in CASES])
    assert texts == [text for *_, text in CASES]


def test_the_page_rounds_as_python_does(browser: Any) -> None:
    """Numbers of every size, exact halves among them, have one text at 0 to 17 digits."""
    rng = np.random.default_rng(11)
    sizes = rng.uniform(-1, 1, 4000) * 10.0 ** rng.integers(-20, 20, 4000)
    halves = (rng.integers(-4000, 4000, 2000) + 0.5) / 2.0 ** rng.integers(0, 12, 2000)
    places = (rng.integers(-4000, 4000, 2000) + 0.5) / 10.0 ** rng.integers(0, 9, 2000)
    numbers = np.concatenate([sizes, halves, places, sizes.astype(np.float32)]).tolist()
    cases = list(zip(numbers, rng.integers(0, 18, len(numbers)).tolist(), strict=True))
    assert shown(browser, cases) == [decimals(value, digits) for value, digits in cases]
