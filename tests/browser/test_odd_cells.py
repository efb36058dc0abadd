"""The page in a real browser on tables that nobody expects."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.errors import LstmStepError
from lstm_cli.cell.presets import preset_model
from lstm_cli.cell.weights import Model
from lstm_cli.commands.report.page import PageView
from lstm_cli.engine.run import run
from lstm_cli.files.cell_files import read_cell
from lstm_cli.show.circuit import draw
from tests.commands.test_odd_cells import FIXED, a_table, an_edit

pytestmark = pytest.mark.browser
Open = Callable[..., Any]

EDITS = ['base = "lstm"\n[edit]\n' + "".join(f'{symbol} = "{row}"\n' for symbol, row in rows.items())
         for rows in FIXED]  # fmt: skip


def model_of(text: str, tmp_path: Path) -> Model:
    file = tmp_path / "own.toml"
    file.write_text(text)
    return preset_model("random", read_cell(str(file)), sizes={"I": 2, "H": 2, "P": 2}, seed=3)


def assert_page(opened: Open, model: Model) -> None:
    """Compare every number of a page with the engine's, and point at every row and box."""
    cell = model.cell
    trace = run(model, [[0.1, 0.2], [-0.3, 0.4], [0.5, -0.1]], [0.3, -0.5], [0.2, 0.7])
    tab, each = opened(trace, PageView(unit=1, t=2)), trace.layers[0]
    for t in (1, 2, 3):
        shown = tab.evaluate(f"lstmStep.step(0, {t})")
        for symbol, values in each.at(t).items():
            np.testing.assert_allclose(shown[symbol], values, rtol=1e-9, atol=1e-12, err_msg=symbol)
    lines = tab.locator("#rows tbody tr")
    assert {line.get_attribute("data-symbol") for line in lines.all()} >= set(cell.symbols)
    for line in lines.all():
        line.hover()
        assert tab.locator("#worked h2").inner_text()
    boxes = tab.locator(".circuit .operation")
    assert boxes.count() == len(draw(cell).boxes)
    for box in boxes.all():
        box.focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#t-text").inner_text() == "3 of 3"


@pytest.mark.parametrize("text", EDITS)
def test_the_page_of_an_odd_cell(opened: Open, text: str, tmp_path: Path) -> None:
    """Numbers are the engine's, every row and box answers the pointer, and nothing complains."""
    assert_page(opened, model_of(text, tmp_path))


@pytest.mark.parametrize("seed", range(300, 340))
def test_the_page_of_a_random_table(opened: Open, seed: int, tmp_path: Path) -> None:
    """Whatever its rows are, a table that computes has a page that works."""
    try:
        model = model_of((a_table if seed % 2 else an_edit)(random.Random(seed)), tmp_path)
    except LstmStepError:
        pytest.skip("refused: sizes that cannot agree, or that nothing tells")
    assert_page(opened, model)
