"""safetensors files that the library wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.formats.safetensors import read
from tests.formats.tensors import FILES, assert_listed, assert_runs, golden, goldens


@pytest.mark.parametrize("name", goldens(".safetensors"))
def test_every_tensor_is_listed_and_the_layer_runs(name: str) -> None:
    """float32, float16 and bfloat16 weights give the numbers that PyTorch gets from them."""
    tensors = read(FILES / f"{name}.safetensors").tensors
    assert_listed(golden(name), tensors)
    assert_runs(golden(name), tensors)


def test_the_dtype_of_the_file_is_told_and_bfloat16_comes_as_float32() -> None:
    """The list says what the file holds; numpy has no bfloat16, so its exact float32 is given."""
    tensors = read(FILES / "safetensors_bf16.safetensors").tensors
    assert tensors.infos["encoder.weight_ih_l0"].dtype.text == "bfloat16"
    values = tensors["encoder.weight_ih_l0"]
    assert values.dtype == np.float32
    assert not np.any(values.view(np.uint32) & 0xFFFF)


def test_a_dtype_that_is_not_read_harms_only_its_own_tensor() -> None:
    """A mask beside the weights is listed, and named by dtype when it is asked for."""
    tensors = read(FILES / "safetensors_f32.safetensors").tensors
    assert tensors.infos["encoder.mask"].dtype.text == "BOOL"
    with pytest.raises(InputError, match="type BOOL are not read"):
        tensors["encoder.mask"]


def test_a_name_that_is_not_there_is_a_key_error() -> None:
    """Tensors are a mapping: `name in tensors` and `tensors.get` work."""
    tensors = read(FILES / "safetensors_f32.safetensors").tensors
    assert "nothing" not in tensors
    assert tensors.get("nothing") is None


def test_only_the_header_is_read_before_a_tensor_is_asked_for(tmp_path: Path) -> None:
    """A file that is cut after it was listed still lists, and says so at the tensor."""
    path = tmp_path / "a.safetensors"
    path.write_bytes((FILES / "safetensors_f32.safetensors").read_bytes())
    tensors = read(path).tensors
    path.write_bytes(path.read_bytes()[:-500])
    assert len(tensors) == 5
    with pytest.raises(InputError, match="cut short"):
        dict(tensors)["encoder.weight_ih_l0"]
