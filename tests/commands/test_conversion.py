"""Conversions: between any two rows, to every format, with what moves said and losses refused."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.base.errors import InputError, LstmStepError, UsageError
from lstm_cli.cell.cells import (
    LSTM,
    cell_named,
    with_activations,
    with_cell_clip,
    with_clip,
    with_forget_bias,
)
from lstm_cli.cell.traits import Traits, build_cell, traits_of
from lstm_cli.cell.weights import Layer, Model
from lstm_cli.commands.convert.conversion import convert
from lstm_cli.engine.run import run
from lstm_cli.formats.conventions import CONVENTIONS
from lstm_cli.formats.read import model_from_arrays, read_weights
from lstm_cli.formats.registry import READ, WRITTEN
from tests.cell.test_weights import as_pytorch, torch_case
from tests.conftest import random_inputs, random_weights
from tests.formats.graphs import FILES
from tests.formats.test_finding import named
from tests.tools import assert_refused, call

PLAIN = [row.name for row in CONVENTIONS.values()
         if row.activations is None and not row.clip and not row.cell_clip]  # fmt: skip


def plain_model(cell: str = "lstm") -> Model:
    return Model.single(random_weights(cell_named(cell)))


@pytest.mark.parametrize(("one", "other"), list(product(["pytorch", "tf1", "chainer"], PLAIN)))
@pytest.mark.few(20)
def test_any_row_to_any_other_and_back(tmp_path: Path, one: str, other: str) -> None:
    """Weights survive the way through two layouts, forget biases and all: the answer is equal."""
    model = plain_model()
    first = convert(model, tmp_path / "one.npz", one, dtype="float64")
    middle = read_weights(first.target, convention=one)
    second = convert(middle, tmp_path / "two.npz", other, dtype="float64")
    again = read_weights(second.target, convention=other)
    x, h, c = random_inputs(model.first)
    assert np.allclose(run(again, x, h, c).output, run(model, x, h, c).output, rtol=0, atol=1e-14)
    assert second.weight_difference is not None
    assert second.weight_difference <= 1e-15


@pytest.mark.parametrize("suffix", ["npz", "json", "safetensors", "weights.h5", "onnx"])
def test_every_format_reads_back(tmp_path: Path, suffix: str) -> None:
    """What is written is read again, and the margin that is reported is the true one."""
    needs = {"weights.h5": "h5py", "onnx": "onnx"}
    if suffix in needs:
        pytest.importorskip(needs[suffix])
    model = plain_model()
    to = "" if suffix in needs else "pytorch"
    done = convert(model, tmp_path / f"out.{suffix}", to)
    again = read_weights(done.target)
    x = np.random.default_rng(0).normal(size=(5, 3))
    true = float(np.max(np.abs(run(again, x).output - run(model, x).output)))
    assert done.output_difference == true
    assert true < 1e-6


@pytest.mark.parametrize("row", PLAIN)
def test_a_reader_is_told_what_it_needs(tmp_path: Path, row: str) -> None:
    """A converted file reads right without --convention, or the report says to give it."""
    model = plain_model()
    done = convert(model, tmp_path / "out.npz", row, dtype="float64")
    if done.read_with:
        assert done.read_with == f"--convention {row}"
        return
    x, h, c = random_inputs(model.first)
    again = read_weights(done.target)
    assert np.allclose(run(again, x, h, c).output, run(model, x, h, c).output, rtol=0, atol=1e-14)


def test_onnx_holds_both_hard_sigmoids(tmp_path: Path) -> None:
    """ONNX's HardSigmoid takes z / 6 + 0.5 by its alpha and beta."""
    pytest.importorskip("onnx")
    done = convert(plain_model("hard-sigmoid-6"), tmp_path / "out.onnx")
    assert done.output_difference is not None
    assert done.output_difference < 1e-6


def test_stacks_keep_layers_and_directions(tmp_path: Path) -> None:
    """Two layers and two directions go out under PyTorch's names or ours, and come back."""
    model = model_from_arrays(as_pytorch(torch_case("torch-2-layers-bidirectional")), source="t")
    for to in ("pytorch", "split", "keras"):
        done = convert(model, tmp_path / f"{to}.npz", to)
        assert done.weight_difference is not None
        assert done.weight_difference < 1e-12
    names = set(np.load(tmp_path / "pytorch.npz"))
    assert names == set(as_pytorch(torch_case("torch-2-layers-bidirectional")))
    assert "layer1_backward_W_f" in set(np.load(tmp_path / "split.npz"))


def test_onnx_holds_stacks_of_other_sizes_and_directions(tmp_path: Path) -> None:
    """A chain of Keras's goes out as nodes that the graph joins; names alone cannot hold it."""
    pytest.importorskip("h5py")
    pytest.importorskip("onnx")
    model = read_weights(FILES / "chain_keras3.keras")
    done = convert(model, tmp_path / "stack.onnx")
    assert done.output_difference is not None
    assert done.output_difference < 1e-6
    with pytest.raises(InputError, match="some layers have two directions and some one"):
        convert(model, tmp_path / "stack.npz", "pytorch")
    assert not (tmp_path / "stack.npz").exists()


def test_keras_files_of_stacks_read_back(tmp_path: Path) -> None:
    """A Bidirectional and a stack of them go out as Keras' own layers and come back whole."""
    pytest.importorskip("h5py")
    model = model_from_arrays(as_pytorch(torch_case("torch-2-layers-bidirectional")), source="t")
    done = convert(model, tmp_path / "stack.weights.h5")
    assert done.output_difference is not None
    assert done.output_difference < 1e-6


def test_a_forget_bias_is_folded_and_said(tmp_path: Path) -> None:
    """TF1's run-time 1 goes into b_f for PyTorch, and out of it on the way to TF1."""
    model = model_from_arrays(named("tf1-basic"), source="tf1")
    done = convert(model, tmp_path / "out.npz", "pytorch", dtype="float64")
    assert any(text.startswith("b_f + 1") for text in done.moved)
    again = read_weights(done.target)
    assert np.allclose(again.first.arrays["b_f"], model.first.arrays["b_f"] + 1, atol=1e-15)
    back = convert(again, tmp_path / "back.npz", "tf1-basic")
    assert any(text.startswith("b_f - 1") for text in back.moved)


@pytest.mark.parametrize(
    ("cell", "target", "to", "message"),
    [
        ("projection", "out.npz", "keras", "a projection"),
        ("hard-sigmoid", "out.safetensors", "pytorch", "activations"),
        ("peephole", "out.npz", "pytorch", "peepholes"),
        ("coupled-forget+peephole", "out.npz", "pytorch", "peepholes"),
        ("projection", "out.onnx", "", "a projection"),
    ],
)
def test_losses_are_refused(tmp_path: Path, cell: str, target: str, to: str, message: str) -> None:
    """What the target cannot hold is refused with its name, and no file is written."""
    if target.endswith("onnx"):
        pytest.importorskip("onnx")
    with pytest.raises(InputError, match=message) as caught:
        convert(plain_model(cell), tmp_path / target, to)
    assert "--force" in caught.value.lines.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cell", "target", "to"),
    [
        ("coupled-forget", "out.npz", "pytorch"),
        ("coupled-input", "out.npz", "tf1-basic"),
        ("coupled-input+peephole", "out.onnx", ""),
        ("coupled-input", "out.weights.h5", ""),
    ],
)
def test_a_coupled_gate_gets_weights_where_coupling_has_no_place(
    tmp_path: Path, cell: str, target: str, to: str
) -> None:
    """1 - σ(z) is σ(-z): a layout with four gates holds a coupled cell, and the report says how."""
    pytest.importorskip("onnx")
    pytest.importorskip("h5py")
    done = convert(plain_model(cell), tmp_path / target, to)
    assert any("negated" in text for text in done.moved)
    again = read_weights(done.target, convention=to or None).first
    free, tied = "if" if cell == "coupled-forget" else "fi"
    np.testing.assert_allclose(again.arrays[f"W_{tied}"], -again.arrays[f"W_{free}"])
    assert done.output_difference is not None
    assert done.output_difference < 1e-6


def test_a_coupling_without_weights_of_its_own_is_refused(tmp_path: Path) -> None:
    """1 less a softsign is no softsign: only a target that couples can hold such gates."""
    cell = with_activations(cell_named("coupled-input"), gate="softsign")
    with pytest.raises(InputError, match="coupled gates"):
        convert(Model.single(random_weights(cell)), tmp_path / "out.onnx")


def test_directions_that_couple_differently_are_refused(tmp_path: Path) -> None:
    """An ONNX node has one input_forget: it is not set for a direction that does not couple."""
    pytest.importorskip("onnx")
    ahead, back = (random_weights(cell_named(name)) for name in ("coupled-forget", "lstm"))
    with pytest.raises(InputError, match="one direction alone couples"):
        convert(Model((Layer({"forward": ahead, "backward": back}),)), tmp_path / "out.onnx")


def test_force_writes_and_says_what_is_lost(tmp_path: Path) -> None:
    """With `force` the weights go out without the activation, and the report says so."""
    done = convert(plain_model("hard-sigmoid"), tmp_path / "out.npz", "pytorch", force=True)
    assert done.lost == ("activations (hard_sigmoid, tanh, tanh)",)
    assert done.weight_difference is None


@pytest.mark.parametrize(
    ("target", "to", "message"),
    [("out.npz", "", "any convention"), ("out.doc", "keras", "no way to write"),
     ("out.npz", "kears", "unknown convention"), ("out.weights.h5", "pytorch", "keras, not")],
)  # fmt: skip
def test_bad_targets_are_refused(tmp_path: Path, target: str, to: str, message: str) -> None:
    """A format or layout that does not exist, or that do not go together, is a usage error."""
    with pytest.raises(UsageError, match=message):
        convert(plain_model(), tmp_path / target, to)


@pytest.mark.parametrize(
    ("target", "options"), [("m.onnx", []), ("m.npz", ["--dtype", "float32", "--to", "pytorch"])]
)
def test_a_number_too_large_for_the_type_is_refused(
    tmp_path: Path, target: str, options: list[str]
) -> None:
    """A weight beyond float32 is not written as infinity."""
    arrays = {f"W_{k}": np.full((1, 2), 0.5) for k in "figo"}
    arrays |= {f"b_{k}": np.full(1, 0.25) for k in "figo"}
    arrays["b_o"][0] = -1e39
    np.savez(tmp_path / "w.npz", **arrays)  # type: ignore[arg-type] # keys are names of arrays
    answer = call("convert", tmp_path / "w.npz", tmp_path / target, *options)
    assert_refused(answer, 3, "-1e+39", "float32 only goes up to 3.40282e+38")
    assert not (tmp_path / target).exists()


def test_onnx_keeps_settings(tmp_path: Path) -> None:
    """Clip, activations with alpha and beta, coupling and peepholes live on in the ONNX node."""
    pytest.importorskip("onnx")
    cell = with_clip(
        with_activations(cell_named("coupled-forget+peephole"), gate="hard_sigmoid(0.3, 0.4)",
                         candidate="scaled_tanh(1.5, 0.7)", output="leaky_relu(0.2)"), 0.8,
    )  # fmt: skip
    model = Model.single(random_weights(cell))
    done = convert(model, tmp_path / "out.onnx")
    again = read_weights(done.target)
    assert done.output_difference is not None
    assert done.output_difference < 1e-6
    again_traits, own = traits_of(again.cell), traits_of(cell)
    assert again_traits is not None
    assert own is not None
    assert again_traits.activations[0].startswith("hard_sigmoid(0.3")
    assert again_traits.coupled == own.coupled == "coupled-forget"


def test_c_header_compiles_to_the_same_numbers(tmp_path: Path) -> None:
    """The header holds every number, in C's syntax, as the shortest that reads back."""
    model = plain_model()
    done = convert(model, tmp_path / "out.h", "split", dtype="float64")
    assert done.weight_difference == 0
    text = (tmp_path / "out.h").read_text()
    assert "#define LSTM_0_FORWARD_HIDDEN_SIZE 4" in text
    line = next(row for row in text.splitlines() if row.startswith("static const double b_f[4]"))
    numbers = text[text.index(line) + len(line) :].split("}")[0].strip().split(", ")
    assert [float(n) for n in numbers] == model.first.arrays["b_f"].tolist()


def test_every_saver_has_a_reader() -> None:
    """Every format but C is read again by a reader of the same name."""
    readable = {suffix for each in READ for suffix in each.suffixes}
    for saver in WRITTEN:
        assert saver.reads == bool(set(saver.suffixes) & readable)


@pytest.mark.parametrize(
    "traits",
    [
        Traits(),
        Traits(peephole=True, clip=3.0),
        Traits(coupled="coupled-forget", peephole=True, cell_clip=2.0),
        Traits(coupled="coupled-input", projection=True, projection_bias=True),
        Traits(activations=("hard_sigmoid(0.1, 0.4)", "relu", "softsign"), forget_bias=-0.5),
        Traits(activations=("hard_sigmoid_6", "tanh", "tanh"), clip=1.0, cell_clip=2.0),
    ],
    ids=str,
)
def test_traits_are_read_off_the_table(traits: Traits) -> None:
    """A cell built from traits gives them back: what a cell is stands in its rows alone."""
    assert traits_of(build_cell(traits)) == traits


def test_a_strange_table_has_no_traits() -> None:
    """A table that the variants cannot make is not taken for one that they can."""
    assert traits_of(cell_named("lstm").edit({"c": "f * c_prev + g"}, name="odd", title="")) is None


def test_forget_biases_add_up() -> None:
    """A forget bias on top of another is one term, and one that cancels leaves none."""
    lstm = cell_named("lstm")
    twice = with_forget_bias(with_forget_bias(lstm, 1.0), 0.5)
    assert traits_of(twice) == Traits(forget_bias=1.5)
    assert traits_of(with_forget_bias(with_forget_bias(lstm, 1.0), -1.0)) == Traits()
    assert traits_of(with_cell_clip(lstm, 2.0)) == Traits(cell_clip=2.0)


def test_a_users_table_cannot_be_converted(tmp_path: Path) -> None:
    """A cell outside the family has no place in any framework's file."""
    odd = cell_named("lstm").edit({"c": "f * c_prev + g"}, name="odd", title="")
    with pytest.raises(LstmStepError, match="not in the LSTM family"):
        convert(Model.single(random_weights(odd)), tmp_path / "out.npz", "split")


@pytest.mark.parametrize("target", ["keras", "split", "onnx", "pytorch"])
def test_a_backward_layer_alone_stays_backward(target: str, tmp_path: Path) -> None:
    """A layout without a mark for the reverse direction says it in the names."""
    weights = random_weights(LSTM, seed=4)
    model = Model((Layer({"backward": weights}),), source="here")
    done = convert(model, tmp_path / "out.npz", target)
    assert done.output_difference is not None
    assert done.output_difference < 1e-12
    (run_of,) = read_weights(tmp_path / "out.npz", convention=target).runs
    assert run_of[1] == "backward"
