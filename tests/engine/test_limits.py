"""Activations at ±inf: their limits, in every engine and type."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lstm_cli.cell.cells import LSTM, Settings
from lstm_cli.cell.equations import FUNCTIONS, is_activation
from lstm_cli.cell.presets import preset_model
from lstm_cli.engine.run import run
from tests.tools import call

INF = math.inf
# At -inf and at +inf, by calculus.
LIMITS = {
    "sigmoid": (0, 1), "tanh": (-1, 1), "softplus": (0, INF), "affine": (-INF, INF),
    "relu": (0, INF), "leaky_relu": (-INF, INF), "thresholded_relu": (0, INF),
    "scaled_tanh": (-1, 1), "elu": (-1, INF), "softsign": (-1, 1), "hard_sigmoid": (0, 1),
    "hard_sigmoid_6": (0, 1),
}  # fmt: skip


def test_each_activation_has_its_limits_below() -> None:
    """No activation is missing from the table."""
    assert set(LIMITS) == {name for name in FUNCTIONS if is_activation(name)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("engine", ["table", "numpy", "numba"])
@pytest.mark.parametrize("name", LIMITS)
def test_an_activation_has_its_limits_at_infinity(name: str, engine: str, dtype: str) -> None:
    """An infinite pre-activation gives the limit, not nan."""
    cell = Settings(activations=f"sigmoid,{name},tanh").edit(LSTM)
    model = preset_model("identity", cell, sizes={"I": 1, "H": 1})
    for x, limit in zip((-INF, INF), LIMITS[name], strict=True):
        trace = run(model, [[x]], [0.25], [0.5], dtype=dtype, engine=engine)
        assert trace["g"][0, 0] == limit


@pytest.mark.parametrize("engine", ["table", "numpy", "numba"])
@pytest.mark.parametrize("name", ["softsign", "thresholded_relu(0.3)"])
def test_finite_numbers_are_those_of_the_definition(name: str, engine: str) -> None:
    """What is computed for the sake of the limits changes no finite number."""
    cell = Settings(activations=f"sigmoid,{name},tanh").edit(LSTM)
    model = preset_model("identity", cell, sizes={"I": 1, "H": 1})
    for z in (1e308, 1e39, 2.5, 0.3, 0.1, -0.4, -3.0, -1e39, -1e308):
        got = run(model, [[z]], [0.0], [0.5], engine=engine)["g"][0, 0]
        assert got == (z / (1 + abs(z)) if name == "softsign" else z * (z > 0.3))


def test_the_command_shows_the_limit() -> None:
    """softsign of -inf is -1 in the answer."""
    answer = call("--x=-inf", "--h", "0", "--c", "0", "--activations", "sigmoid,softsign,tanh",
                  "--allow-nonfinite", "-f", "csv", "--only", "g")  # fmt: skip
    assert answer.out.splitlines()[-1] == "0,forward,1,g,0,-1"


def test_the_preset_identity_adds_infinite_numbers_too() -> None:
    """z is x + h for each unit: a zero weight takes nothing of an infinite neighbour, only of a nan."""
    model = preset_model("identity", LSTM, sizes={"I": 2, "H": 2})
    x, h = np.array([[INF, 1.5], [0.5, -INF]]), [[0.25, -0.5], [0.75, 2.0]]
    trace = run(model, x[:, None], h, [[0.5, 1.0], [-1.0, 0.25]])
    assert trace["z_f"][:, 0].tolist() == [[INF, 1.0], [1.25, -INF]]
    assert np.isnan(run(model, [[np.nan, 1.5]], h[0])["z_f"]).all()
