"""`inspect`, `convert` and `run --weights` as commands, on files that frameworks wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.tools import assert_refused, call, shell

FILES = Path(__file__).parents[1] / "files"


def inspected(*arguments: str) -> dict[str, object]:
    answer = call("inspect", *arguments, "--json")
    assert answer.code == 0, answer.err
    return dict(json.loads(answer.out))


def test_inspect_tells_sizes_and_convention() -> None:
    """A checkpoint's stack is found under its prefix, with sizes, layers and how it is known."""
    document = inspected(str(FILES / "torch_checkpoint.pt"))
    (lstm,) = document["lstms"]  # type: ignore[misc] # a list
    assert lstm["name"] == "model.decoder.rnn"
    assert (lstm["input_size"], lstm["hidden_size"], lstm["levels"]) == (3, 4, 2)
    assert lstm["directions"] == ["forward", "backward"]
    assert lstm["convention"] == "pytorch"
    assert lstm["known_by"][0].startswith("names: ")
    assert len(document["tensors"]) == 27  # type: ignore[arg-type] # a list


def test_inspect_tells_ranges() -> None:
    """Least, mean and greatest of each gate's W, U and b are those of the arrays."""
    document = inspected("samples/weights/parity.npz")
    ranges = {each["parameter"]: each for each in document["lstms"][0]["ranges"]}  # type: ignore[index] # JSON
    arrays = np.load("samples/weights/parity.npz")
    forget = arrays["weight_hh_l0"][2:4]
    assert ranges["U_f"]["min"] == forget.min()
    assert ranges["U_f"]["max"] == forget.max()
    assert ranges["U_f"]["mean"] == pytest.approx(forget.mean(), abs=1e-15)


def test_huge_weights_have_a_mean_and_no_warning(tmp_path: Path) -> None:
    """Numbers whose sum is beyond the largest float64 still have their mean."""
    arrays = {f"W_{k}": np.full((2, 3), 1.5e308) for k in "figo"}
    arrays |= {f"b_{k}": np.array([1.0e308, 1.2e308]) for k in "figo"}
    np.savez(tmp_path / "w.npz", **arrays)  # type: ignore[arg-type] # keys are names of arrays
    ranges = call("inspect", tmp_path / "w.npz", "--json").json["lstms"][0]["ranges"]
    means = {each["parameter"]: each["mean"] for each in ranges}
    assert means["W_f"] == pytest.approx(1.5e308)
    assert means["b_f"] == pytest.approx(1.1e308)


@pytest.mark.parametrize(("bits", "dtype"), [(0x7D00, "<u2"), (0x7FA00000, "<u4")])
def test_a_signalling_nan_is_refused_quietly(tmp_path: Path, bits: int, dtype: str) -> None:
    """A nan that NumPy warns of when it is widened is refused by name, as every nan."""
    kind = {"<u2": np.float16, "<u4": np.float32}[dtype]
    arrays = {f"W_{k}": np.full((1, 2), 0.5, dtype=kind) for k in "figo"}
    arrays |= {f"b_{k}": np.full(1, 0.25, dtype=kind) for k in "figo"}
    arrays["W_g"].view(dtype)[0, 1] = bits
    np.savez(tmp_path / "w.npz", **arrays)  # type: ignore[arg-type] # keys are names of arrays
    assert_refused(call("--x", "1", "--weights", tmp_path / "w.npz"), 3, "W_g[0, 1] is nan")
    done = shell("--x", "1", "--weights", tmp_path / "w.npz")
    assert b"Warning" not in done.stderr


def test_biases_that_add_up_to_no_number_are_refused(tmp_path: Path) -> None:
    """Two biases of opposite infinities, or past the largest number, are refused by name."""
    for one, other, sum_ in ((np.inf, -np.inf, "nan"), (1.5e308, 1.5e308, "inf")):
        np.savez(
            tmp_path / "w.npz", weight_ih_l0=np.full((4, 1), 0.5), weight_hh_l0=np.full((4, 1), 0.25),
            bias_ih_l0=np.full(4, one), bias_hh_l0=np.full(4, other),
        )  # fmt: skip
        answer = call("--x", "1", "--weights", tmp_path / "w.npz")
        assert_refused(answer, 3, f"is {sum_}")


def test_inspect_tells_what_a_file_leaves_open() -> None:
    """A Keras weights file does not say the activation: that is listed, with how it is read."""
    pytest.importorskip("h5py")
    document = inspected(str(FILES / "keras3_sequential.weights.h5"))
    assert any("activation" in text for text in document["lstms"][0]["open"])  # type: ignore[index] # JSON


def test_inspect_shows_the_tensors_of_a_file_without_lstms(tmp_path: Path) -> None:
    """A file without an LSTM is no error: its tensors are shown."""
    np.savez(tmp_path / "other.npz", dense=np.ones((3, 2)))
    answer = call("inspect", str(tmp_path / "other.npz"))
    assert answer.code == 0
    assert "no LSTM was recognised" in answer.out
    assert "dense (3, 2) float64" in answer.out


def test_old_kerass_hard_sigmoid_is_warned_about() -> None:
    """A Keras 2.2 file runs with 0.2 z + 0.5, says so in the equation and warns about Keras 3."""
    pytest.importorskip("h5py")
    file = str(FILES / "keras224.h5")
    answer = call("--weights", file, "--lstm", "one", "--x", "1,2,3", "--json")
    document = json.loads(answer.out)
    equations = {each["symbol"]: each["text"] for each in document["equations"]}
    assert equations["f"] == "hard_sigmoid(z_f)"
    assert any("z / 6 + 0.5" in text for text in document["assumptions"])


def test_several_lstms_need_a_name() -> None:
    """Without --lstm a file with several LSTMs is refused with their names."""
    pytest.importorskip("h5py")
    file = str(FILES / "keras3_functional.weights.h5")
    answer = call("--weights", file, "--x", "1,2,3")
    assert_refused(answer, 3, "LSTMs", "zulu", "--lstm")


def test_one_direction_of_a_bidirectional_layer() -> None:
    """--direction shows one direction; all of the run is computed as without it."""
    file = str(FILES / "onnx_bidirectional.onnx")
    pytest.importorskip("onnx")
    size = inspected(file)["lstms"][0]["input_size"]  # type: ignore[index] # JSON
    x = ["--x", ";".join(",".join(str(0.1 * k + t) for k in range(size)) for t in (1, 2))]
    both = json.loads(call("--weights", file, *x, "--json").out)
    back = json.loads(call("--weights", file, *x, "--direction", "backward", "--json").out)
    assert back["h"] == both["h"]
    assert back["steps"] == [each for each in both["steps"] if each["direction"] == "backward"]


def test_samples_times_steps_times_inputs(tmp_path: Path) -> None:
    """--x (N, T, I) from npy runs as a batch in JSON; a table asks which sample."""
    x = np.random.default_rng(0).normal(size=(3, 4, 1))
    np.save(tmp_path / "x.npy", x)
    weights = ["--weights", "samples/weights/parity.npz", "--x", f"@{tmp_path}/x.npy"]
    whole = json.loads(call(*weights, "--json").out)
    assert np.shape(whole["output"]) == (3, 4, 2)
    one = json.loads(call(*weights, "--sample", "1", "--json").out)
    assert np.allclose(one["output"], whole["output"][1], rtol=0, atol=1e-15)
    assert_refused(call(*weights, "-f", "table"), 2, "--x holds 3 samples", "--sample 0")


def test_convert_reports_and_refuses(tmp_path: Path) -> None:
    """convert tells the margin; what the target cannot hold is refused and nothing is written."""
    out = tmp_path / "out.npz"
    answer = call("convert", "samples/weights/parity.npz", str(out), "--to", "haiku")
    assert answer.code == 0
    assert "moved: b_f - 1" in answer.out
    assert "read back: weights differ by at most" in answer.out
    lossy = tmp_path / "lossy.npz"
    file = str(FILES / "torch_projection.pth")
    assert_refused(call("convert", file, str(lossy), "--to", "keras"), 3, "a projection")
    assert not lossy.exists()
    document = json.loads(
        call("convert", "samples/weights/parity.npz", str(out), "--to", "keras", "--json").out
    )
    assert document["weight_difference"] == 0
