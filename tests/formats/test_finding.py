"""LSTMs among other tensors: found, named, assembled, and never guessed at."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError
from lstm_cli.formats.contents import in_memory
from lstm_cli.formats.conventions import CONVENTIONS
from lstm_cli.formats.detect import find_lstms
from lstm_cli.formats.layouts import pack
from lstm_cli.formats.read import model_from, model_from_arrays
from tests.cell.test_weights import as_pytorch, torch_case
from tests.formats.test_conventions import parameters_for

# Layouts that share their names and shapes, and give different numbers.
ASKED = [{"keras", "keras-2.2", "haste"}, {"equinox", "coreml-mil"}, {"webnn", "webnn-ifgo"}]
BY_NAME = [row for row in CONVENTIONS.values() if row.by_name]


def named(row_name: str, prefix: str = "", seed: int = 0) -> dict[str, Array]:
    """Return one layer's tensors as a file of that framework names them."""
    row = CONVENTIONS[row_name]
    packed = pack(row, parameters_for(row, 3, 4, seed))
    return {
        prefix + key.replace("{layer}", "0").replace("{reverse}", ""): array
        for key, array in packed.items()
    }


@pytest.mark.parametrize("row", BY_NAME, ids=lambda row: row.name)
@pytest.mark.parametrize("prefix", ["", "decoder.rnn.", "model/layer_2/"])
def test_names_choose_the_convention(row: object, prefix: str) -> None:
    """Each row chosen by name is found by its own keys, alone or among those to be asked about."""
    name = row.name  # type: ignore[attr-defined] # a Convention
    arrays = named(name, prefix) | {"head.weight": np.ones((2, 4)), "head.bias": np.ones(2)}
    (found,) = find_lstms(in_memory(arrays), "test")
    fitting = [each.convention.name for each in found.readings or (found,)]
    assert name in fitting
    assert len(fitting) == 1 or set(fitting) in ASKED
    assert found.name.text == prefix.rstrip("./")


def test_several_are_found_and_named() -> None:
    """A file with an encoder, a decoder and other things gives both, in the file's order."""
    torch = as_pytorch(torch_case("torch-2-layers-bidirectional"))
    arrays = {f"encoder.rnn.{key}": array for key, array in torch.items()}
    arrays["embed.weight"] = np.ones((9, 3))
    arrays |= named("keras", "decoder/lstm/lstm_cell/")
    contents = in_memory(arrays)
    found = find_lstms(contents, "test")
    assert [each.name.text for each in found] == ["encoder.rnn", "decoder/lstm/lstm_cell"]
    assert len(found[0].parts) == 4
    with pytest.raises(InputError, match="the file has 2 LSTMs") as caught:
        model_from(contents, "test")
    assert "--lstm encoder.rnn" in caught.value.lines.hint
    assert model_from(contents, "test", lstm="decoder/lstm/lstm_cell").convention == "keras"
    assert model_from(contents, "test", lstm="1").convention == "keras"
    assert model_from(contents, "test", lstm="rnn").convention == "pytorch"
    with pytest.raises(InputError, match="no LSTM 'head'"):
        model_from(contents, "test", lstm="head")


def test_shapes_choose_where_names_do_not() -> None:
    """Keras' names with a bias of 8H are CuDNNLSTM's: the shapes say so, and it is told."""
    found = find_lstms(in_memory(named("keras-cudnn")), "test")[0]
    assert found.convention.name == "keras-cudnn"
    assert found.known_by[0].startswith("names and shapes")


@pytest.mark.parametrize("inputs", [3, 4])
def test_generic_names_are_refused_with_the_choices(inputs: int) -> None:
    """W, U and b say nothing of the gate order, even less where I = H: the choices are listed."""
    arrays = {"W": np.ones((16, inputs)), "U": np.ones((16, 4)), "b": np.ones(16)}
    arrays = {name: array * np.arange(1, 17).reshape(-1, *[1] * (array.ndim - 1))
              for name, array in arrays.items()}  # fmt: skip
    with pytest.raises(InputError, match="fit several conventions") as caught:
        model_from_arrays(arrays, source="test")
    assert "--convention pytorch" in caught.value.lines.hint
    model = model_from_arrays(arrays, source="test", convention="pytorch")
    assert model.first.arrays["b_f"].tolist() == [5, 6, 7, 8]
    caffe = model_from_arrays(arrays, source="test", convention="caffe")
    assert caffe.first.arrays["b_o"].tolist() == [9, 10, 11, 12]


def test_the_run_times_habits_come_along() -> None:
    """TF1 adds 1 to the forget gate, Core ML clips at 50: the table says so."""
    tf1 = model_from_arrays(named("tf1-basic"), source="test")
    assert (
        tf1.cell["z_f"].expression
        == model_from_arrays(named("tf1-basic"), source="test").cell["z_f"].expression
    )
    from lstm_cli.cell.cells import describe_edit

    assert "z_f = W_f @ [h_prev, x] + b_f + 1" in describe_edit(tf1.cell)
    assert any("forget bias of 1" in text for text in tf1.assumptions)
    coreml = describe_edit(model_from_arrays(named("coreml"), source="test").cell)
    assert any("clip(z_g, -50, 50)" in text for text in coreml)


def test_old_keras_has_its_hard_sigmoid() -> None:
    """`--convention keras-2.2` reads the same arrays with gates by 0.2 z + 0.5."""
    from lstm_cli.cell.cells import describe_edit

    model = model_from_arrays(named("keras"), source="test", convention="keras-2.2")
    assert "f = hard_sigmoid(z_f)" in describe_edit(model.cell)


def test_float16_biases_are_added_in_float64() -> None:
    """Two biases stored in float16 lose nothing when they are added."""
    arrays = {
        name: array.astype(np.float16)
        for name, array in as_pytorch(torch_case("torch-1-layer")).items()
    }
    model = model_from_arrays(arrays, source="test")
    exact = arrays["bias_ih_l0"].astype(float) + arrays["bias_hh_l0"].astype(float)
    assert np.array_equal(model.first.arrays["b_i"], exact[:4])
