"""Lengths, masks and padding on random mixed batches: PyTorch, Keras and ONNX Runtime, live."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.oracle
os.environ["KERAS_BACKEND"] = "torch"
torch = pytest.importorskip("torch")

from lstm_cli.base.arrays import Array  # noqa: E402
from lstm_cli.engine.run import run  # noqa: E402
from lstm_cli.formats.read import model_from_arrays, read_weights  # noqa: E402
from tests.oracle.compare import H, I, Theirs, assert_near, assert_same, draw, named  # noqa: E402

N, T = 6, 7
SEEDS = range(4)


def lengths_of(seed: int) -> Array:
    """Return a length a sample, one of them whole."""
    return np.r_[T, np.random.default_rng(seed).integers(1, T + 1, N - 1)]


def mask_of(seed: int) -> Array:
    """Return a mask with gaps anywhere, and a step in each sample."""
    mask = np.random.default_rng(seed).random((N, T)) < 0.6
    mask[np.arange(N), np.random.default_rng(seed + 1).integers(0, T, N)] = True
    mask[0] = True
    return mask


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("output", [0, 2])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("engine", ["table", "numpy", "numba"])
def test_packed_sequences(seed: int, output: int, both: bool, engine: str) -> None:
    """Two layers, with a projection too, not sorted by length."""
    theirs = torch.nn.LSTM(I, H, 2, batch_first=True, bidirectional=both, proj_size=output).double()
    with torch.no_grad():
        for k, each in enumerate(theirs.parameters()):
            each.copy_(torch.tensor(draw(seed + k, *each.shape)))
    places, lengths = 4 if both else 2, lengths_of(seed)
    x, h0, c0 = draw(seed, N, T, I), draw(1, places, N, output or H), draw(2, places, N, H)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(x), torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    got, (h, c) = theirs(packed, (torch.tensor(h0), torch.tensor(c0)))
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(got, batch_first=True)
    model = model_from_arrays({name: each.numpy() for name, each in theirs.state_dict().items()})
    trace = run(model, x, h0, c0, lengths=lengths, padding="zero", engine=engine)
    assert_same(trace, Theirs(*(each.detach().numpy() for each in (padded, h, c))), 1e-12,
                f"{named('torch')}, packed")  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_keras_masks(seed: int, zero: bool, both: bool, tmp_path: Path) -> None:
    """Gaps in the middle, before and after, of one layer and of two, output and final states."""
    keras = pytest.importorskip("keras")
    x, mask = draw(seed, N, T, I, dtype=np.float32), mask_of(seed)
    layer = keras.layers.LSTM(
        H, return_sequences=True, return_state=True, zero_output_for_mask=zero
    )
    layer = keras.layers.Bidirectional(layer) if both else layer
    output, *finals = (
        keras.ops.convert_to_numpy(each) for each in layer(x, mask=torch.tensor(mask))
    )
    start = keras.Input((T, I))
    keras.Model(start, layer(start)[0]).save(tmp_path / "m.keras")
    trace = run(
        read_weights(tmp_path / "m.keras"), x, mask=mask, padding="zero" if zero else "keras"
    )
    theirs = Theirs(output, np.stack(finals[0::2]), np.stack(finals[1::2]))
    assert_same(trace, theirs, 2e-6, f"{named('keras')}, masks")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("both", [False, True])
def test_keras_masking_in_a_file(seed: int, both: bool, tmp_path: Path) -> None:
    """The mask that Masking makes of x, here with a step whose numbers equal it in part."""
    keras = pytest.importorskip("keras")
    x, mask = draw(seed, N, T, I, dtype=np.float32), mask_of(seed)
    x[~mask] = 0.1
    x[0, 1, 0] = 0.1
    layer: Any = keras.layers.LSTM(H, return_sequences=True)
    layer = keras.layers.Bidirectional(layer) if both else layer
    model = keras.Sequential([keras.Input((T, I)), keras.layers.Masking(0.1), layer])
    model.save(tmp_path / "m.keras")
    trace = run(read_weights(tmp_path / "m.keras"), x, padding="keras")
    output = keras.ops.convert_to_numpy(model(x))
    assert_near("output", trace.output, output, 2e-6, f"{named('keras')}, Masking")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("way", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("constant", [False, True])
def test_onnx_sequence_lens(seed: int, way: str, constant: bool, tmp_path: Path) -> None:
    """Given when the model runs, and a constant of the file, which is heeded by itself."""
    onnx, ort = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    count, lengths = 2 if way == "bidirectional" else 1, lengths_of(seed).astype(np.int32)
    x, h0, c0 = draw(seed, N, T, I), draw(1, count, N, H), draw(2, count, N, H)
    given = {"X": np.moveaxis(x, 1, 0), "h": h0, "c": c0}
    held = {"W": draw(seed, count, 4 * H, I), "R": draw(seed, count, 4 * H, H),
            "B": draw(seed, count, 8 * H)}  # fmt: skip
    tensors = [numpy_helper.from_array(each.astype(np.float32), k) for k, each in held.items()]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, each.shape)
              for name, each in given.items()]  # fmt: skip
    feed: dict[str, Array] = {name: each.astype(np.float32) for name, each in given.items()}
    if constant:
        tensors.append(numpy_helper.from_array(lengths, "s"))
    else:
        inputs.append(helper.make_tensor_value_info("s", TensorProto.INT32, [N]))
        feed["s"] = lengths
    outputs = [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in ("Y", "H", "C")]
    node = helper.make_node("LSTM", ["X", "W", "R", "B", "s", "h", "c"], ["Y", "H", "C"],
                            hidden_size=H, direction=way)  # fmt: skip
    graph = helper.make_graph([node], "g", inputs, outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8),
              tmp_path / "m.onnx")  # fmt: skip
    y, h, c = ort.InferenceSession(tmp_path / "m.onnx").run(None, feed)
    theirs = Theirs(np.transpose(y, (2, 0, 1, 3)).reshape(N, T, -1), h, c)
    lens = {} if constant else {"lengths": lengths}
    trace = run(read_weights(tmp_path / "m.onnx"), x, h0, c0, padding="onnx", **lens)
    assert_same(trace, theirs, 2e-6, f"{named('onnxruntime')}, sequence_lens")
