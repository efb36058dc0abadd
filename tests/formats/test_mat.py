"""MATLAB files of version 5 to 7."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.formats.matlab import read
from tests.formats.build import mat_element, mat_file, mat_matrix
from tests.formats.tensors import FILES, assert_listed, assert_runs, golden, goldens, refusal


def saved(folder: Path, data: bytes) -> Path:
    """Return the path of a file of some bytes."""
    path = folder / "a.mat"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", goldens(".mat"))
def test_every_array_is_listed_and_the_layer_runs(name: str) -> None:
    """Plain, compressed and nested in structs: the layer gives PyTorch's numbers."""
    tensors = read(FILES / f"{name}.mat").tensors
    assert_listed(golden(name), tensors)
    assert_runs(golden(name), tensors)


def test_numbers_that_matlab_stored_small_come_in_their_class(tmp_path: Path) -> None:
    """A double array whose values fit in bytes is stored as bytes, and is still float64."""
    whole = mat_matrix("w", (2, 3), bytes([1, 2, 3, 4, 5, 6]), stored=2)
    tensors = read(saved(tmp_path, mat_file(whole))).tensors
    assert tensors["w"].dtype == np.float64
    assert tensors["w"].tolist() == [[1, 3, 5], [2, 4, 6]]


def test_cells_structs_and_integers() -> None:
    """Members of cells count from 1, as in MATLAB; integer classes keep theirs."""
    tensors = read(FILES / "matlab_struct.mat").tensors
    assert tensors["layers.2"].tolist() == [[2.5]]
    assert tensors["steps"].dtype == np.int16
    assert tensors["steps"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("name", "kind"), [("net.lstm.name", "char"), ("complex", "complex float64")]
)
def test_what_is_no_number_harms_only_itself(name: str, kind: str) -> None:
    """Text and complex numbers are listed, and named when they are asked for."""
    tensors = read(FILES / "matlab_struct.mat").tensors
    with pytest.raises(InputError, match=f"type {kind} are not read"):
        tensors[name]


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    """A file of an old SPARC or PowerPC says MI, and its numbers come out right."""
    data = np.array([1.5, -2.0], ">f8").tobytes()
    whole = mat_file(mat_matrix("w", (2, 1), data, order=">"), order=">")
    tensors = read(saved(tmp_path, whole)).tensors
    assert tensors["w"].tolist() == [[1.5], [-2.0]]


def test_an_object_is_answered_with_the_arrays_to_save(tmp_path: Path) -> None:
    """A saved dlnetwork is named, with the MATLAB lines that save its weights as arrays."""
    opaque = mat_element(14, mat_element(6, bytes([17, 0, 0, 0, 0, 0, 0, 0])) + b"".join(
        mat_element(1, text) for text in (b"net", b"MCOS", b"dlnetwork")))  # fmt: skip
    error = refusal(read, saved(tmp_path, mat_file(opaque)))
    assert "net is a MATLAB object of class dlnetwork" in error.what
    assert "layer.InputWeights" in error.hint
    assert "save(" in error.hint

    beside = read(saved(tmp_path, mat_file(opaque, mat_matrix("w", (1, 1), bytes(8)))))
    assert "dlnetwork" in beside.notes[0]
    assert beside.tensors["w"].tolist() == [[0.0]]
    with pytest.raises(InputError, match="object of class dlnetwork"):
        beside.tensors["net"]


@pytest.mark.parametrize(
    "head",
    [
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM",
        b"x".ljust(512) + b"\x89HDF\r\n\x1a\n",
        b"\x89HDF\r\n\x1a\n",
    ],
)
def test_v7_3_is_answered_with_v7(tmp_path: Path, head: bytes) -> None:
    """HDF5 inside is recognised, also without MATLAB's header, with the line that saves as v7."""
    (tmp_path / "a.mat").write_bytes(head.ljust(600, b"\0"))
    error = refusal(read, tmp_path / "a.mat")
    assert "version 7.3, which is HDF5" in error.what
    assert "save('lstm.mat', '-v7')" in error.hint


def test_v4_and_other_files_are_refused(tmp_path: Path) -> None:
    """A version 4 file (no header) or any other is not guessed at."""
    (tmp_path / "a.mat").write_bytes(bytes(20) + b"w\0" + bytes(8))
    assert "version 5 to 7" in refusal(read, tmp_path / "a.mat").what
