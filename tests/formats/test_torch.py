"""PyTorch files that PyTorch wrote, read without it."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.formats.torch import read
from tests.formats.tensors import FILES, assert_listed, assert_runs, golden, goldens, refusal

LSTMS = [(name, suffix) for suffix in (".pt", ".pth", ".bin") for name in goldens(suffix)]


@pytest.mark.parametrize(("name", "suffix"), LSTMS)
def test_every_tensor_is_listed_and_the_layer_runs(name: str, suffix: str) -> None:
    """State dicts and checkpoints of five dtypes and shapes give PyTorch's own numbers."""
    tensors = read(FILES / f"{name}{suffix}").tensors
    assert_listed(golden(name), tensors)
    assert_runs(golden(name), tensors)


def test_all_cases_are_there() -> None:
    """One layer, a two-layer bidirectional checkpoint, a projection, two half types, a cell."""
    assert len(LSTMS) == 6


def test_no_torch_is_imported() -> None:
    """Reading a .pt file needs neither torch nor pickle."""
    read(FILES / "torch_checkpoint.pt")
    assert "torch" not in sys.modules
    source = Path(sys.modules[read.__module__].__file__ or "").parent
    for module in ("torch",):
        text = (source / f"{module}.py").read_text()
        assert "import pickle\n" not in text
        assert "eval(" not in text


def test_views_of_one_storage_are_what_they_were() -> None:
    """Transposed, cut, tied and empty tensors, other integers and a parameter come out equal."""
    record = golden("torch_views")
    tensors = read(FILES / "torch_views.pt").tensors
    assert_listed(record, tensors)
    for name, values in record["values"].items():
        if name != "flag":
            assert np.array_equal(tensors[name], np.array(values).reshape(tensors[name].shape)), (
                name
            )
    assert tensors["new"].dtype == np.uint16


def test_a_dtype_that_is_not_read_harms_only_its_own_tensor() -> None:
    """A mask of booleans is listed, and named by dtype when it is asked for."""
    tensors = read(FILES / "torch_views.pt").tensors
    assert tensors.infos["flag"].dtype.text == "bool"
    with pytest.raises(InputError, match="type bool are not read"):
        tensors["flag"]


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_later_pickle_protocols_are_read(protocol: int) -> None:
    """A user's pickle_protocol makes no difference (torch.load itself refuses protocol 4)."""
    tensors = read(FILES / f"torch_protocol{protocol}.pt").tensors
    assert np.array_equal(tensors["w"], golden("torch_views")["values"]["whole"])


def test_a_big_endian_file_is_read_as_one(tmp_path: Path) -> None:
    """The byteorder record of an s390x file is honoured."""
    path = tmp_path / "big.pt"
    with (
        zipfile.ZipFile(FILES / "torch_lstm.pt") as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new,
    ):
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("/byteorder"):
                data = b"big"
            elif "/data/" in name:
                data = np.frombuffer(data, "<f8").astype(">f8").tobytes()
            new.writestr(name, data)
    assert_runs(golden("torch_lstm"), read(path).tensors)


@pytest.mark.parametrize(
    ("name", "what", "line"),
    [
        ("torch_before_1_6", "the format before 1.6", "torch.load('torch_before_1_6.pt', weights"),
        ("torch_script", "a TorchScript program", "torch.jit.load('torch_script.pt'"),
        ("torch_model", "a whole model was pickled (torch.nn.modules.rnn.LSTM)", ".state_dict()"),
        ("torch_numpy", "asks for numpy._core.multiarray.scalar", "torch.save(data['state_dict']"),
    ],
)
def test_other_files_of_torch_are_refused_with_the_way_out(name: str, what: str, line: str) -> None:
    """What is not a state dict is named, with the two lines of Python that make one."""
    error = refusal(read, FILES / f"{name}.pt")
    assert what in error.what
    assert line in error.hint
    assert "numpy.savez" in error.hint or "torch.save" in error.hint
