"""How the two directions of the last layer make one output: concatenated, summed, multiplied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.cell.cells import LSTM
from lstm_cli.cell.weights import Layer, Model
from lstm_cli.commands.convert.conversion import convert
from lstm_cli.engine.grad import check, grad
from lstm_cli.engine.run import run
from lstm_cli.formats.read import model_from_arrays
from tests.conftest import random_weights

KERNEL = np.array([[0.5, -0.25, 0.125, 0.75, -0.5, 0.25, 1.0, -0.75],
                   [-0.375, 0.5, 0.25, -0.125, 0.625, -0.5, 0.125, 0.375]])  # fmt: skip
RECURRENT = np.array([[0.25, -0.5, 0.375, 0.125, -0.25, 0.75, -0.125, 0.5],
                      [0.125, 0.25, -0.375, 0.5, 0.75, -0.125, 0.25, -0.5]])  # fmt: skip
BIAS = np.array([0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 0.7, -0.8])
X = np.array([[0.5, -1], [0.25, 0.75], [-0.5, 1.0]])
STATES: dict[str, Any] = {"h": [[0.1, -0.2], [0.3, -0.4]], "c": [[0.5, -0.6], [0.7, -0.8]]}
# Made by keras 3.15.1 in float64: Bidirectional(LSTM(2, return_sequences=True), merge_mode=…) with
# these weights, and in the backward direction `-each[..., ::-1]` of them.
OUTPUTS = {
    "concat": [[-0.23864582640637083, -0.03313909485144526,
                0.12055993831417068, 0.042830792293462525],
               [-0.19071605004379097, -0.012572467663956383,
                0.19084134681033443, -0.08731363410187043],
               [-0.010183418439277355, -0.056680115532770865,
                0.19520189245150807, -0.21277461063802022]],
    "sum": [[-0.11808588809220015, 0.009691697442017262],
            [0.00012529676654346455, -0.09988610176582681],
            [0.1850184740122307, -0.2694547261707911]],
    "mul": [[-0.028771126110486354, -0.0014193736883756055],
            [-0.03639650784870421, 0.0010977478413682854],
            [-0.0019878225509725226, 0.012060089513403323]],
    "ave": [[-0.059042944046100075, 0.004845848721008631],
            [6.264838327173228e-05, -0.049943050882913405],
            [0.09250923700611535, -0.13472736308539554]],
}  # fmt: skip
FINAL = [-0.010183418439277355, -0.056680115532770865, 0.12055993831417068, 0.042830792293462525]


def keras_model(merge: Any) -> Model:
    """Return the model of the arrays above."""
    forward, backward = (
        model_from_arrays(
            dict(zip(("kernel", "recurrent_kernel", "bias"), arrays, strict=True)),
            convention="keras",
        )
        for arrays in ((KERNEL, RECURRENT, BIAS),
                       (-KERNEL[:, ::-1], -RECURRENT[:, ::-1], BIAS[::-1]))
    )  # fmt: skip
    layer = Layer({"forward": forward.first, "backward": backward.first})
    return Model((layer,), merge=merge)


@pytest.mark.parametrize("merge", OUTPUTS)
def test_a_merge_gives_the_numbers_of_keras(merge: str) -> None:
    """`output` is merged as Keras does it, and the states stay by direction."""
    trace = run(keras_model(merge), X, **STATES)
    assert np.allclose(trace.output, OUTPUTS[merge], rtol=0, atol=1e-15)
    assert np.allclose(trace.h, FINAL, rtol=0, atol=1e-15)
    assert trace["h"].shape == (3, 4)


def test_a_merge_is_told_once_among_the_assumptions() -> None:
    """A model and its run say what output is; a concatenation, the rule, is not mentioned."""
    told = "output is the average of the two directions; h and c are kept by direction"
    model = keras_model("ave")
    assert model.assumptions == (told,)
    assert run(model, X).assumptions == (told, "h0 not given: zeros", "c0 not given: zeros")
    assert replace(model, merge="sum").assumptions != model.assumptions
    assert len(replace(model, merge="sum").assumptions) == 1
    assert replace(model, merge="concat").assumptions == ()
    assert model.only("backward").assumptions == ()


def test_a_conversion_says_that_the_merge_is_not_stored(tmp_path: Path) -> None:
    """No file of weights alone holds it, so the option is named that does; h is compared whole."""
    done = convert(keras_model("mul"), tmp_path / "it.weights.h5")
    assert "the merge of the two directions: read it with --merge mul" in done.moved
    assert done.output_difference == 0


@pytest.mark.parametrize("merge", OUTPUTS)
def test_a_gradient_goes_through_a_merge(merge: str) -> None:
    """A loss on the output has the gradient that central differences measure."""
    trace = run(keras_model(merge), X, **STATES)
    weights = np.arange(1.0, 1 + trace.output.size).reshape(trace.output.shape)
    assert check(trace, grad(trace, d_output=weights)).passed


@pytest.mark.parametrize(
    ("layer", "merge", "said"),
    [({"forward": random_weights(LSTM)}, "sum", "one direction"),
     ({"forward": random_weights(LSTM), "backward": random_weights(LSTM, hidden=5)}, "mul",
      r"directions of \[4, 5\] units"),
     ({"forward": random_weights(LSTM)}, "max", "unknown merge 'max'")],
)  # fmt: skip
def test_a_merge_that_cannot_be_is_refused(layer: Any, merge: Any, said: str) -> None:
    """One direction, sizes that differ and an unknown name are refused, and the error says so."""
    with pytest.raises(InputError, match=said):
        Model((Layer(layer),), merge=merge)
