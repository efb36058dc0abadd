"""Keras 3 on torch, live: its three kinds of files read, and our weights files loaded by it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.oracle
os.environ["KERAS_BACKEND"] = "torch"
torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")

import lstm_cli  # noqa: E402
from lstm_cli.base.arrays import Array  # noqa: E402
from lstm_cli.base.errors import LstmStepError  # noqa: E402
from lstm_cli.cell.cells import cell_named  # noqa: E402
from lstm_cli.cell.weights import Model  # noqa: E402
from lstm_cli.commands.convert.conversion import convert  # noqa: E402
from lstm_cli.formats.read import model_from_arrays, read_weights  # noqa: E402
from tests.conftest import random_weights  # noqa: E402
from tests.oracle.compare import (  # noqa: E402
    Case,
    H,
    I,
    T,
    Theirs,
    assert_same,
    draw,
    named,
    rounded,
    stacked,
)  # fmt: skip

ATOL = 2e-6
KERAS = named("keras")
OURS = f"{KERAS}, our file"
SUFFIXES = [".keras", ".weights.h5", ".h5"]
KINDS = {
    "plain": {},
    "hard_sigmoid": {"recurrent_activation": "hard_sigmoid"},
    "activations": {"activation": "softsign", "recurrent_activation": "sigmoid"},
    "backwards": {"go_backwards": True},
    "no_bias": {"use_bias": False},
    "no_bias_hard_backwards": {
        "use_bias": False, "recurrent_activation": "hard_sigmoid", "go_backwards": True,
    },
}  # fmt: skip
# A weights file has no config, so what a layer's settings are only whole models tell.
TOLD = [
    pytest.param(kind, suffix, id=f"{kind}{suffix}")
    for kind in KINDS
    for suffix in SUFFIXES
    if suffix != ".weights.h5" or kind in ("plain", "no_bias")
]


@pytest.fixture(autouse=True)
def _names_from_one() -> None:
    """Number Keras's layers afresh."""
    keras.utils.clear_session()


def lstm(name: str, units: int = H, **arguments: Any) -> Any:
    """Return a layer that puts out every step and its states."""
    return keras.layers.LSTM(
        units, return_sequences=True, return_state=True, name=name, **arguments
    )


def bidirectional(name: str, units: int = H, merge_mode: str = "concat", **arguments: Any) -> Any:
    """Return a layer of two LSTMs that puts out every step and all states."""
    inner = keras.layers.LSTM(units, return_sequences=True, return_state=True, **arguments)
    return keras.layers.Bidirectional(inner, merge_mode=merge_mode, name=name)


def model_of(*layers: Any) -> Any:
    """Return a model of layers in which each reads the sequence of the one before."""
    start = keras.Input((T, I))
    sequence = start
    for layer in layers:
        sequence = layer(sequence)[0]
    return keras.Model(start, sequence)


def fill(layer: Any, seed: int) -> None:
    """Give every weight distinct numbers."""
    arrays = layer.get_weights()
    layer.set_weights([draw(seed + 10 * k, *each.shape) for k, each in enumerate(arrays)])


def save(model: Any, path: Path) -> Path:
    """Write a model, or its weights, as the suffix says."""
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


def run(layer: Any, case: Case) -> Theirs:
    """Run one layer from the case's states; its output is turned into input time."""
    places = len(case.h0)
    given = [state[k] for k in range(places) for state in (case.h0, case.c0)]
    output, *finals = (
        keras.ops.convert_to_numpy(each) for each in layer(case.x, initial_state=given)
    )
    if getattr(layer, "go_backwards", False):
        output = output[:, ::-1]
    return Theirs(output, np.stack(finals[0::2]), np.stack(finals[1::2]))


def gates_of(cell: Any, case: Case, *, backwards: bool = False) -> dict[str, Array]:
    """Step a cell by itself and keep what its activations are given and return, in input time."""
    kept: list[tuple[Array, Array]] = []

    def recording(activation: Any) -> Any:
        def activate(z: Any) -> Any:
            value = activation(z)
            kept.append((keras.ops.convert_to_numpy(z), keras.ops.convert_to_numpy(value)))
            return value

        return activate

    own = cell.activation, cell.recurrent_activation
    cell.activation, cell.recurrent_activation = map(recording, own)
    states = [case.h0[0], case.c0[0]]
    for t in range(T):
        _, states = cell(case.x[:, T - 1 - t if backwards else t], states)
    cell.activation, cell.recurrent_activation = own
    assert len(kept) == 5 * T  # in Keras's code: i, f, candidate, o; then tanh(c)
    order = slice(None, None, -1 if backwards else 1)
    return {
        symbol: np.stack([step[which] for step in kept[place::5]][order], axis=1)
        for place, gate in enumerate("ifgo")
        for which, symbol in enumerate((f"z_{gate}", gate))
    }


@pytest.mark.parametrize(("kind", "suffix"), TOLD)
def test_one_layer_with_its_gates(tmp_path: Path, kind: str, suffix: str) -> None:
    """An LSTM of each kind through each file: output, states, and z and value of every gate."""
    layer = lstm("the_lstm", **KINDS[kind])
    model = model_of(layer)
    fill(layer, 100)
    ours = read_weights(save(model, tmp_path / f"model{suffix}"))
    assert ours.convention == "keras"
    case = Case.drawn(150, dtype=np.float32)
    theirs = run(layer, case)
    gates = gates_of(layer.cell, case, backwards=layer.go_backwards)
    theirs = Theirs(theirs.output, theirs.h, theirs.c, gates)
    assert_same(case.run(ours), theirs, ATOL, KERAS)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_bidirectional_layer(tmp_path: Path, suffix: str) -> None:
    """Both directions of a Bidirectional from each file, each with its own states."""
    layer = bidirectional("both")
    model = model_of(layer)
    fill(layer, 200)
    ours = read_weights(save(model, tmp_path / f"model{suffix}"))
    case = Case.drawn(250, places=2, dtype=np.float32)
    assert_same(case.run(ours), run(layer, case), ATOL, KERAS)


@pytest.mark.parametrize("merge", ["sum", "mul", "ave"])
def test_a_bidirectional_layer_that_merges(tmp_path: Path, merge: str) -> None:
    """Merged outputs of each file that says how, and of its weights alone by `Model.merge`."""
    layer = bidirectional("both", merge_mode=merge)
    model = model_of(layer)
    fill(layer, 230)
    case = Case.drawn(280, places=2, dtype=np.float32)
    for suffix in SUFFIXES:
        ours = read_weights(save(model, tmp_path / f"model{suffix}"))
        if suffix == ".weights.h5":
            assert any("does not say the merge_mode" in each for each in ours.assumptions)
            ours = replace(ours, merge=merge)
        assert_same(case.run(ours), run(layer, case), ATOL, KERAS)


def test_a_bidirectional_layer_of_a_kind(tmp_path: Path) -> None:
    """A Bidirectional of hard sigmoids without biases, told by its config."""
    layer = bidirectional("both", use_bias=False, recurrent_activation="hard_sigmoid")
    model = model_of(layer)
    fill(layer, 220)
    ours = read_weights(save(model, tmp_path / "model.keras"))
    case = Case.drawn(270, places=2, dtype=np.float32)
    assert_same(case.run(ours), run(layer, case), ATOL, KERAS)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_of_several_layers(tmp_path: Path, suffix: str) -> None:
    """Three LSTM layers of a model, whose names are not in the order of their use, by name."""
    layers = [lstm("zulu"), bidirectional("middle", 2), lstm("alpha", 3)]
    model = model_of(*layers)
    for seed, layer in enumerate(layers):
        fill(layer, 300 + 100 * seed)
    path = save(model, tmp_path / f"model{suffix}")
    for layer, inputs, units in zip(layers, (I, H, 4), (H, 2, 3), strict=True):
        ours = read_weights(path, lstm=layer.name)
        places = len(ours.runs)
        case = Case.drawn(350, inputs=inputs, hidden=units, places=places, dtype=np.float32)
        assert_same(case.run(ours), run(layer, case), ATOL, KERAS)


def test_our_weights_in_an_lstm(tmp_path: Path) -> None:
    """A `.weights.h5` of ours loads into a model of one LSTM and gives the same numbers."""
    ours = Model.single(rounded(random_weights(cell_named("lstm"), I, H)))
    done = convert(ours, tmp_path / "ours.weights.h5")
    assert done.weight_difference == 0
    layer = lstm("lstm")
    model_of(layer).load_weights(tmp_path / "ours.weights.h5")
    case = Case.drawn(410, dtype=np.float32)
    theirs = run(layer, case)
    theirs = Theirs(theirs.output, theirs.h, theirs.c, gates_of(layer.cell, case))
    assert_same(case.run(ours), theirs, ATOL, OURS)


def test_our_weights_in_a_bidirectional(tmp_path: Path) -> None:
    """A `.weights.h5` of ours loads into a model of one Bidirectional, likewise."""
    cell = cell_named("lstm")
    ours = stacked({way: rounded(random_weights(cell, I, H, seed=place))
                    for place, way in enumerate(("forward", "backward"))})  # fmt: skip
    convert(ours, tmp_path / "ours.weights.h5")
    layer = bidirectional("bidirectional")
    model_of(layer).load_weights(tmp_path / "ours.weights.h5")
    case = Case.drawn(420, places=2, dtype=np.float32)
    assert_same(case.run(ours), run(layer, case), ATOL, OURS)


@pytest.mark.parametrize("both", [False, True])
def test_our_weights_in_a_stack(tmp_path: Path, both: bool) -> None:
    """Three layers of ours load into three layers of Keras, each into its own."""
    cell, ways = cell_named("lstm"), ("forward", "backward")[: 1 + both]
    ours = stacked(*(
        {way: rounded(random_weights(cell, inputs, H, seed=10 * level + place))
         for place, way in enumerate(ways)}
        for level, inputs in enumerate((I, len(ways) * H, len(ways) * H))
    ))  # fmt: skip
    convert(ours, tmp_path / "ours.weights.h5")
    name = "bidirectional" if both else "lstm"
    layers = [
        (bidirectional if both else lstm)(name + (f"_{level}" if level else ""))
        for level in range(3)
    ]
    model_of(*layers).load_weights(tmp_path / "ours.weights.h5")
    case = Case.drawn(430, places=3 * len(ways), dtype=np.float32)
    x, finals = case.x, []
    for level, layer in enumerate(layers):
        part = slice(level * len(ways), (level + 1) * len(ways))
        theirs = run(layer, Case(x, case.h0[part], case.c0[part]))
        finals.append(theirs)
        x = theirs.output
    joined = Theirs(x, *(np.concatenate([getattr(each, s) for each in finals]) for s in "hc"))
    assert_same(case.run(ours), joined, ATOL, OURS)


def test_there_and_back(tmp_path: Path) -> None:
    """A model of Keras, converted by us and loaded by Keras again, has the same weights."""
    layer = lstm("lstm")
    model = model_of(layer)
    fill(layer, 500)
    convert(read_weights(save(model, tmp_path / "theirs.keras")), tmp_path / "ours.weights.h5")
    kept = layer.get_weights()
    fill(layer, 600)
    model.load_weights(tmp_path / "ours.weights.h5")
    for one, other in zip(kept, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_arrays_in_memory() -> None:
    """`get_weights()` of a layer and its weights by path give Keras's numbers; a stack is asked of."""
    keras.utils.set_random_seed(90)
    x = draw(91, 3, T, I, dtype=np.float32)
    layer = keras.layers.LSTM(H, bias_initializer="random_normal")
    theirs = layer(x).detach().numpy()
    for arrays in (layer.get_weights(), {each.path: each for each in layer.weights}):
        assert np.max(np.abs(lstm_cli.run(model_from_arrays(arrays), x).h - theirs)) <= ATOL
    two = keras.layers.Bidirectional(keras.layers.LSTM(H))
    two(x)
    with pytest.raises(LstmStepError, match="does not say which weights they are"):
        model_from_arrays(two.get_weights())
    with pytest.raises(TypeError, match="each.path: each for each in layer.weights"):
        model_from_arrays(layer)


def joined(kind: str) -> list[Any]:
    """Layers that Keras joins directly, of several sizes and directions."""
    layers, told = keras.layers, {"return_sequences": True}
    both = layers.Bidirectional(layers.LSTM(H, **told))
    cells = [layers.LSTMCell(H), layers.LSTMCell(2)]
    return {
        "two": [layers.LSTM(H, **told), layers.Dropout(0.2), layers.LSTM(2, **told)],
        "both ways": [both, layers.LSTM(3, **told), layers.Bidirectional(layers.LSTM(2, **told))],
        "cells": [layers.RNN(cells, **told), layers.Activation("linear"), layers.LSTM(3, **told)],
        "back and back": [layers.LSTM(H, go_backwards=True, **told),
                          layers.LSTM(2, go_backwards=True, **told)],
        "nested": [layers.LSTM(H, **told), keras.Sequential([layers.LSTM(2, **told)])],
    }[kind]  # fmt: skip


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("kind", ["two", "both ways", "cells", "back and back", "nested"])
def test_layers_that_a_model_joins_are_one_stack(tmp_path: Path, kind: str, suffix: str) -> None:
    """A whole model of LSTM layers gives Keras' own numbers, from x to the last layer."""
    model = keras.Sequential([keras.Input((T, I)), *joined(kind)])
    shapes = [each.shape for each in model.get_weights()]
    model.set_weights([draw(900 + n, *shape) for n, shape in enumerate(shapes)])
    model.save(tmp_path / f"m{suffix}")
    x = draw(890, 2, T, I).astype(np.float32)
    theirs = model(x).detach().numpy()
    trace = lstm_cli.run(read_weights(tmp_path / f"m{suffix}"), x)
    np.testing.assert_allclose(trace.output, theirs, rtol=0, atol=ATOL)
