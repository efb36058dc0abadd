"""silero-vad's trained LSTM from each of its files, and at its node in ONNX Runtime on sound."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.oracle
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
FOUND = find_spec("silero_vad")  # not imported: that wants torchaudio
if FOUND is None or not FOUND.submodule_search_locations:
    pytest.skip("silero-vad is not installed: see requirements.txt", allow_module_level=True)

from onnx import TensorProto, helper  # noqa: E402

from lstm_cli.base.arrays import Array  # noqa: E402
from lstm_cli.cell.weights import Model  # noqa: E402
from lstm_cli.commands.convert.conversion import convert  # noqa: E402
from lstm_cli.engine.run import run  # noqa: E402
from lstm_cli.formats.read import read_weights  # noqa: E402
from tests.oracle.compare import Theirs, assert_same, draw, named  # noqa: E402

ATOL = 2e-6
SILERO = named("silero-vad")
DATA = Path(next(iter(FOUND.submodule_search_locations))) / "data"
SEQUENCE = "silero_vad_16k_sequence.onnx", "/recurrent/LSTM"
_BRANCH = "If_0/then_branch/If_0_then_branch__Inline_0__/decoder/If_1"
NESTED = "silero_vad.onnx", f"{_BRANCH}/then_branch/If_0_then_branch__Inline_0__/decoder/rnn/LSTM"
# Every ONNX file of the current model for 16 kHz, and what the LSTM is called there.
PLACES = [
    SEQUENCE,
    NESTED,
    ("silero_vad.onnx", f"{_BRANCH}/else_branch/If_0_then_branch__Inline_0__/decoder/rnn_1/LSTM"),
    ("silero_vad_16k_op15.onnx", "/model/decoder/If_1/then_branch//model/decoder/rnn/LSTM"),
    ("silero_vad_16k_op15.onnx", "/model/decoder/If_1/else_branch//model/decoder/rnn_1/LSTM"),
    ("silero_vad_op18_ifless.onnx", "model.decoder.rnn"),
    ("silero_vad_openvino_16k.onnx", "F2::If_0_then_branch__Inline_0__/decoder/rnn/LSTM"),
]
# Another training of the same net: in 6.2.3 its other layers' weights differ from theirs, too.
NAMED = "silero_vad_16k.safetensors", "lstm_cell"
STEPS, CHUNK, CONTEXT, UNITS = 24, 512, 64, 128


def read(place: tuple[str, str]) -> Model:
    """Return the LSTM of a file and a name in it."""
    return read_weights(DATA / place[0], lstm=place[1])


def chunks() -> Array:
    """Return sound as the model takes it, (T, 64 + 512): a voice that comes and goes, in noise."""
    rate, count = 16000, CONTEXT + STEPS * CHUNK
    time = np.arange(count) / rate
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 3 * time)) / rate
    voice = sum(np.sin(k * pitch + k) / k for k in range(1, 25))
    loudness = np.clip(np.sin(2 * np.pi * 2.5 * time), 0, None)
    noise = np.random.default_rng(7).normal(size=count)
    sound = 0.15 * loudness * voice + 0.004 * noise
    cut = [sound[t * CHUNK : t * CHUNK + CONTEXT + CHUNK] for t in range(STEPS)]
    return np.stack(cut).astype(np.float32)


def session(model: Any) -> Any:
    """Return a session of a model or a file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    data = model.SerializeToString() if hasattr(model, "SerializeToString") else str(model)
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def node() -> tuple[Array, Array, Array, Theirs]:
    """What goes into the LSTM's node of the sequence model and what comes out: x, h0, c0, theirs."""
    model = onnx.load(DATA / SEQUENCE[0])
    lstm = next(each for each in model.graph.node if each.op_type == "LSTM")
    for name in (lstm.input[0], lstm.output[0]):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    h0, c0 = (draw(seed, 1, 1, UNITS, dtype=np.float32) for seed in (1, 2))
    x, y, h, c = session(model).run(
        [lstm.input[0], lstm.output[0], "hn", "cn"], {"input": chunks(), "h": h0, "c": c0}
    )
    # X (T, 1, I) -> (1, T, I); Y (T, 1, 1, H) -> (1, T, H)
    return x.transpose(1, 0, 2), h0, c0, Theirs(y[:, 0].transpose(1, 0, 2), h, c)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place[0]}:{place[1]}")
def test_the_same_weights_from_every_onnx_file(place: tuple[str, str]) -> None:
    """One node, nested branches, an inlined function, named initializers: the same, to the bit."""
    first, other = read(SEQUENCE).first, read(place).first
    assert (other.input_size, other.hidden_size) == (UNITS, UNITS)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)


def test_gates_of_two_layouts_are_alike() -> None:
    """Two trainings of one net, in PyTorch's order and in ONNX's: each gate is most like its own."""
    ours, other = read(NAMED).first.arrays, read(SEQUENCE).first.arrays
    for kind in ("W", "b"):
        likeness = {
            (one, two): np.corrcoef(ours[f"{kind}_{one}"].ravel(), other[f"{kind}_{two}"].ravel())[0, 1]
            for one in "figo" for two in "figo"
        }  # fmt: skip
        assert all(likeness[gate, gate] > 0.8 for gate in "figo")
        assert all(
            value < 0.5 for (one, two), value in likeness.items() if kind == "W" and one != two
        )


def test_names_choose_the_rate() -> None:
    """The branch for 8 kHz holds weights of its own."""
    names = [f"If_0/{side}_branch/If_0_{side}_branch__Inline_0__/decoder/If_1/then_branch/"
             f"If_0_{side}_branch__Inline_0__/decoder/rnn/LSTM" for side in ("then", "else")]  # fmt: skip
    one, other = (read(("silero_vad.onnx", name)).first for name in names)
    assert np.max(np.abs(one.arrays["W_f"] - other.arrays["W_f"])) > 0.1


def test_the_safetensors_in_pytorch(node: Any) -> None:
    """The LSTM under PyTorch's names gives PyTorch's numbers on what the encoder hears in sound."""
    torch = pytest.importorskip("torch")
    load_file = pytest.importorskip("safetensors.torch").load_file
    x, h0, c0, _ = node
    state = {name.removeprefix("lstm_cell."): tensor.double()
             for name, tensor in load_file(DATA / NAMED[0]).items() if "lstm_cell." in name}  # fmt: skip
    cell = torch.nn.LSTMCell(UNITS, UNITS, dtype=torch.float64)
    cell.load_state_dict(state)
    h, c = (torch.from_numpy(each[0]).double() for each in (h0, c0))
    outputs = []
    with torch.no_grad():
        for step in torch.from_numpy(x).double().unbind(1):
            h, c = cell(step, (h, c))
            outputs.append(h.numpy())
    theirs = Theirs(np.stack(outputs, axis=1), h.numpy()[None], c.numpy()[None])
    assert_same(run(read(NAMED), x, h0, c0), theirs, 1e-12, f"{SILERO} in {named('torch')}")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place[0]}:{place[1]}")
def test_the_node_on_sound(node: Any, place: tuple[str, str]) -> None:
    """Our run of each file's LSTM meets the node's output and states on sound."""
    x, h0, c0, theirs = node
    assert np.ptp(theirs.output) > 0.5
    assert_same(run(read(place), x, h0, c0), theirs, ATOL, f"{SILERO} in {named('onnxruntime')}")


def test_the_whole_model_that_nests_it(node: Any) -> None:
    """The nested model's own states, chunk after chunk, are those of its LSTM as we run it."""
    x, h0, c0, _ = node
    state, theirs = np.concatenate([h0, c0]), session(DATA / NESTED[0])
    outputs = []
    for chunk in chunks():
        feeds = {"input": chunk[None], "state": state, "sr": np.array(16000, dtype=np.int64)}
        _, state = theirs.run(None, feeds)
        outputs.append(state[0])
    # Its encoder runs apart from the one that x is from: both round, and c adds that up.
    expected = Theirs(np.stack(outputs, axis=1), state[:1], state[1:])
    assert_same(run(read(NESTED), x, h0, c0), expected, 1e-5, f"{SILERO}, whole model")


@pytest.mark.parametrize("place", [SEQUENCE, NESTED], ids=lambda place: place[0])
def test_our_one_node_model(tmp_path: Path, node: Any, place: tuple[str, str]) -> None:
    """The LSTM cut out by `convert` into a model of one node computes what the package's does."""
    x, h0, c0, theirs = node
    done = convert(read(place), tmp_path / "silero.onnx")
    assert done.weight_difference is not None
    assert done.weight_difference < 1e-7  # B is float32, and its halves are added up
    feeds = {"X": x.transpose(1, 0, 2), "initial_h": h0, "initial_c": c0}
    y, h, c = session(tmp_path / "silero.onnx").run(["Y", "Y_h", "Y_c"], feeds)
    for ours, expected in (
        (y[:, 0].transpose(1, 0, 2), theirs.output),
        (h, theirs.h),
        (c, theirs.c),
    ):
        assert np.max(np.abs(ours - expected)) <= ATOL
