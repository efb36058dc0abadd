"""Lengths, masks and padding, against PyTorch 2.13 and Keras 3.15, and against shorter runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import LstmStepError, ShapeError, UsageError
from lstm_cli.cell.cells import cell_named
from lstm_cli.cell.weights import Layer, Model, OwnMask
from lstm_cli.engine.grad import grad
from lstm_cli.engine.run import run
from lstm_cli.formats.read import model_from_arrays
from tests.conftest import random_inputs, random_weights


def sines(start: float, *shape: int) -> Array:
    """Return numbers in ±0.9 that any program can make again."""
    return np.sin(start + 1.7 * np.arange(np.prod(shape))).reshape(shape) * 0.9


X = sines(1, 2, 4, 2)
# Two layers of two directions, torch.nn.LSTM(2, 2, 2, bidirectional=True).double(), its parameters
# sines(10 + k) in their order; lengths 2 and 4, enforce_sorted=False, pad_packed_sequence.
H0, C0 = sines(3, 4, 2, 2), sines(4, 4, 2, 2)
PARTS = [f"{kind}_l{level}{side}" for level in (0, 1) for side in ("", "_reverse")
         for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]  # fmt: skip
PACKED = [[[0.0825285, 0.2563026, -0.1392062, 0.1459790], [0.2491710, 0.0638846, -0.2187229,
    0.0856370], [0, 0, 0, 0], [0, 0, 0, 0]], [[0.3538456, -0.3752015, -0.0658483, 0.1392293],
    [0.3030103, -0.4756980, -0.0512081, 0.1158260], [0.2115304, -0.4945829, 0.0134030,
    0.1327329], [0.2358257, -0.5877855, 0.0043702, 0.1277733]]]  # fmt: skip
PACKED_H = [[[0.1661809, 0.0466879], [0.1975068, 0.0473490]], [[-0.6509294, -0.0932985],
    [-0.2886022, -0.0006965]], [[0.2491710, 0.0638846], [0.2358257, -0.5877855]], [[-0.1392062,
    0.1459790], [-0.0658483, 0.1392293]]]  # fmt: skip
PACKED_C = [[[0.3915742, 0.3103082], [0.4219453, 0.4915213]], [[-0.9941130, -0.2248184],
    [-0.3351378, -0.0019442]], [[0.9264551, 0.0801219], [0.7753502, -1.0555844]], [[-0.2355426,
    0.6176728], [-0.1250434, 0.7528349]]]  # fmt: skip
# keras.layers.LSTM(2, return_sequences=True), float64, weights sines(20 + k) in their order, called
# with MASK: as it is, with zero_output_for_mask, in a Bidirectional, with go_backwards (here in
# input time).
MASK = [[0, 1, 0, 1], [1, 0, 0, 0]]
KERAS_PLAIN = [[[0, 0], [-0.2032289, -0.0516500], [-0.2032289, -0.0516500], [-0.3465571,
    -0.1098930]], [[0.0223174, -0.1023388], [0.0223174, -0.1023388], [0.0223174, -0.1023388],
    [0.0223174, -0.1023388]]]  # fmt: skip
KERAS_ZERO = [[[0, 0], [-0.2032289, -0.0516500], [0, 0], [-0.3465571, -0.1098930]], [[0.0223174,
    -0.1023388], [0, 0], [0, 0], [0, 0]]]  # fmt: skip
KERAS_BI = [[[0, 0, 0, 0], [-0.2032289, -0.0516500, 0.1129720, 0.2307818], [0, 0, 0, 0],
    [-0.3465571, -0.1098930, 0.0928839, 0.1839421]], [[0.0223174, -0.1023388, -0.0290573,
    0.0923274], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]]  # fmt: skip
KERAS_BACK = [[[-0.3477157, -0.0587195], [-0.3477157, -0.0587195], [-0.2326406, -0.0854171],
    [-0.2326406, -0.0854171]], [[0.0223174, -0.1023388], [0, 0], [0, 0], [0, 0]]]  # fmt: skip


def torch_model() -> Model:
    """Return the stack of the packed sequences."""
    widths = [2, 2, 4, 4]
    arrays = {}
    for k, name in enumerate(PARTS):
        inputs = widths[k // 4] if "_ih" in name else 2
        arrays[name] = sines(10 + k, *((8, inputs) if "weight" in name else (8,)))
    return model_from_arrays(arrays)


def keras_model(*ways: str) -> Model:
    """Return the Keras layer, its second direction with weights of its own."""
    shapes = {"kernel": (2, 8), "recurrent_kernel": (2, 8), "bias": (8,)}
    sides: dict[Any, Any] = {}
    for way in ways:
        start = 20 + (3 if way == "backward" and len(ways) > 1 else 0)
        arrays = {name: sines(start + k, *shape) for k, (name, shape) in enumerate(shapes.items())}
        sides[way] = model_from_arrays(arrays, convention="keras").first
    return Model((Layer(sides),))


@pytest.mark.parametrize("engine", ["table", "numpy", "numba"])
@pytest.mark.parametrize("mask", [False, True])
def test_lengths_are_pytorchs_packed_sequences(engine: str, mask: bool) -> None:
    """Outputs and all final states of a mixed batch, two layers, both directions."""
    given: dict[str, Any] = {"mask": [[1, 1, 0, 0], [1] * 4]} if mask else {"lengths": [2, 4]}
    trace = run(torch_model(), X, H0, C0, padding="zero", engine=engine, **given)
    np.testing.assert_allclose(trace.output, PACKED, atol=1e-7)
    for each, h, c in zip(trace.layers, PACKED_H, PACKED_C, strict=True):
        np.testing.assert_allclose(each.final("h"), h, atol=1e-7)
        np.testing.assert_allclose(each.final("c"), c, atol=1e-7)


@pytest.mark.parametrize(
    ("ways", "padding", "theirs"),
    [
        (("forward",), "keras", KERAS_PLAIN),
        (("forward",), "zero", KERAS_ZERO),
        (("forward", "backward"), "keras", KERAS_BI),
        (("backward",), "keras", KERAS_BACK),
    ],
)
def test_masks_are_keras(ways: tuple[str, ...], padding: str, theirs: Any) -> None:
    """Gaps in the middle and before the first step, of a batch and of one sample alone."""
    model = keras_model(*ways)
    together = run(model, X, mask=MASK, padding=padding)
    np.testing.assert_allclose(together.output, theirs, atol=1e-7)
    for x, mask, output in zip(X, MASK, theirs, strict=True):
        np.testing.assert_allclose(run(model, x, mask=mask, padding=padding).output, output,
                                   atol=1e-7)  # fmt: skip


@pytest.mark.parametrize("cell", ["lstm", "peephole+projection", "coupled-forget"])
def test_a_masked_run_is_that_of_the_steps_left(cell: str) -> None:
    """Every value is that of the shorter run, at its own input time."""
    weights = random_weights(cell_named(cell))
    x, h, c = random_inputs(weights, steps=6)
    mask = np.array([0, 1, 1, 0, 1, 0], bool)
    trace, alone = (
        run(Model.single(weights), x, h, c, mask=mask),
        run(Model.single(weights), x[mask], h, c),
    )
    for symbol, values in alone.items():
        np.testing.assert_array_equal(trace[symbol], values)
    assert list(trace.times) == [2, 3, 5]
    np.testing.assert_array_equal(trace["h@5"], alone["h@3"])
    np.testing.assert_array_equal(trace.h, alone.h)
    with pytest.raises(KeyError, match="step 4 is masked out and not run"):
        trace["h@4"]
    assert [t for _, t, _ in trace.each_step()] == [2, 3, 5]


def test_what_is_not_run_is_nan_or_absent() -> None:
    """In a batch of samples that differ it is nan, unless a padding says otherwise."""
    trace = run(torch_model(), X, H0, C0, lengths=[2, 4])
    assert np.isnan(trace.output[0, 2:]).all()
    assert not np.isnan(trace.output[1]).any()
    assert np.isnan(trace["f"][0, 2:]).all()
    same = run(torch_model(), X, H0, C0, lengths=[2, 2])
    assert same.output.shape == (2, 2, 4)
    np.testing.assert_allclose(same.h[0], trace.h[0], rtol=1e-14)


@pytest.mark.parametrize(
    ("own", "given", "times"),
    [
        (OwnMask(2.0), {}, [1, 3]),
        (OwnMask(2.0), {"lengths": 3}, [1, 2, 3]),
        (OwnMask(lengths=(2,)), {}, [1, 2]),
        (OwnMask(0.1), {}, [1, 2, 3]),
        (OwnMask(7.0), {}, [1, 2, 3, 4]),
    ],
)
def test_a_files_mask_decides_where_none_is_given(
    own: OwnMask, given: dict[str, Any], times: list[int]
) -> None:
    """Steps whose numbers all equal its value, in float32, or past its lengths; and it is said."""
    x = np.array([[0.5, 2], [2, 2], [0.3, -1], [np.float64(np.float32(0.1)), 0.1]])
    if own.value == 2.0 and not given:
        x[3] = 2
    model = replace(torch_model(), mask=own)
    trace = run(model, x, **given)
    assert list(trace.times) == times
    said = [each for each in trace.assumptions if "not run" in each]
    assert len(said) == (not given and len(times) < 4)


@pytest.mark.parametrize(
    ("given", "kind", "what"),
    [
        ({"lengths": [2, 3, 4]}, ShapeError, "--lengths has 3 numbers, --x has 2 samples"),
        ({"lengths": [2, 5]}, ShapeError, "--lengths has 5, --x has 4 steps"),
        ({"lengths": [0, 4]}, ShapeError, "--lengths has 0, --x has 4 steps"),
        ({"lengths": [1.5, 4]}, UsageError, "--lengths is not whole numbers"),
        ({"lengths": "ab"}, UsageError, "--lengths is not whole numbers"),
        ({"mask": [1, 0]}, ShapeError, "--mask has shape (2,), --x has (2, 4) steps"),
        ({"mask": [0, 1, 2, 1]}, UsageError, "--mask holds 2"),
        ({"mask": [[0] * 4, [1] * 4]}, ShapeError, "a sample has no step that is run"),
        ({"lengths": [1, 2], "mask": MASK}, UsageError, "--lengths and --mask are both given"),
        ({"padding": "zero"}, UsageError, "--padding has no effect without"),
        ({"lengths": [1, 2], "padding": "none"}, UsageError, "--padding is 'none'"),
        ({"mask": MASK, "padding": "onnx"}, UsageError, "--padding onnx with steps left out"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(given: dict[str, Any], kind: type, what: str) -> None:
    """Numbers that do not fit x, samples without a step, what contradicts itself."""
    with pytest.raises(LstmStepError) as caught:
        run(torch_model(), X, **given)
    assert type(caught.value) is kind
    assert what in caught.value.lines.what


def test_gradients_are_those_of_the_steps_that_were_run() -> None:
    """With steps cut off at the end; gaps, mixed batches and paddings are refused."""
    weights = random_weights(cell_named("lstm"))
    model = Model.single(weights)
    x, h, c = random_inputs(weights, steps=5)
    cut = grad(run(model, x, h, c, lengths=3))
    alone = grad(run(model, x[:3], h, c))
    np.testing.assert_array_equal(cut.x, alone.x)
    for given in ({"mask": [0, 1, 1, 1, 1]}, {"lengths": 3, "padding": "zero"}):
        with pytest.raises(UsageError):
            grad(run(model, x, h, c, **given))
    with pytest.raises(UsageError):
        grad(run(model, np.stack([x, x]), lengths=[2, 3]))
