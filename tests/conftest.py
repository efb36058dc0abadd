"""What the tests share: seeded, distinct, non-zero weights and states; the golden cases."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from lstm_cli.cells import Cell
from lstm_cli.dimensions import Shape
from lstm_cli.equations import Array
from lstm_cli.weights import LstmWeights


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
