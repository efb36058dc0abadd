"""The sentences under a step: what each gate did, from its own numbers."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_cli.cell.cells import LSTM
from lstm_cli.show.sentences import percent, sentences


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.00012, "0.012 %"),
        (0.69, "69 %"),
        (0.9949, "99 %"),
        (0.998765, "99.88 %"),
        (0.99992, "99.99 %"),
        (0.99996, "nearly 100 %"),
        (np.nextafter(1.0, 0.0), "nearly 100 %"),
        (1.0, "100 %"),
        (np.nextafter(1.0, 2.0), "nearly 100 %"),
        (1.003, "100.3 %"),
        (2.5, "250 %"),
    ],
)
def test_only_one_is_called_a_hundred_per_cent(share: float, text: str) -> None:
    """A share is rounded, but never to the whole of which it falls short."""
    assert percent(share) == text


def test_a_state_that_stays_infinite_has_not_changed() -> None:
    """Units that do change are told, not the one that is inf before and after."""
    nothing = dict.fromkeys("figoh", np.full(3, np.nan))
    values = {"c_prev": np.array([np.inf, 1.0, 3.0]), "c": np.array([np.inf, 1.5, 2.75])}
    said = [("cell state", "changes most in unit 1: 1 → 1.5")]
    assert sentences(LSTM, nothing | values) == said
    still = nothing | {"c_prev": values["c_prev"], "c": values["c_prev"]}
    assert sentences(LSTM, still) == [("cell state", "does not change")]


def test_units_without_a_number_are_not_the_most_of_anything() -> None:
    """Gates and states tell of their finite units, and say nothing where there is none."""
    values = {
        "c_prev": np.array([1.0, 2.0, 3.0]),
        "f": np.array([np.nan, 0.25, 0.5]),
        "i": np.array([np.nan, np.nan, np.nan]),
        "g": np.array([np.nan, -0.5, 0.25]),
        "o": np.array([np.nan, np.nan, np.nan]),
        "c": np.array([np.nan, 1.0, 1.5]),
        "h": np.array([np.inf, 0.5, -0.75]),
    }
    assert sentences(LSTM, values) == [
        (
            "forget gate",
            "of the old cell state, keeps most in unit 2 (50 %), least in unit 1 (25 %)",
        ),
        ("candidate", "pushes hardest on unit 1: down, by -0.5 before the input gate"),
        ("cell state", "changes most in unit 0: 1 → nan"),
        ("hidden state", "is strongest in unit 2: -0.75"),
    ]
