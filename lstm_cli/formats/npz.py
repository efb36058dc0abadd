"""NumPy archives: `numpy.savez(path, W_f=…, b_f=…)`; object arrays are refused."""

from __future__ import annotations

from pathlib import Path

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.output import npz_bytes
from lstm_cli.files.safe import npz_headers, read_npz
from lstm_cli.formats.contents import Contents, Info, Package, Tensors


def read(path: Path) -> Contents:
    """Read every array by name; numbers are read on demand.

    Raises:
        InputError: `read_npz` refuses it, or it holds text where numbers are needed.
    """

    def load(name: str) -> Array:
        array = read_npz(path, only=name)[name]
        if array.dtype.kind == "U":
            raise InputError(
                f"'{safe(name)}' is text", where=safe(path), hint="weights are numbers"
            )
        return array

    infos = {name: Info.of(shape, dtype) for name, (shape, dtype) in npz_headers(path).items()}
    return Contents(Tensors(infos, load))


def write(package: Package, path: Path) -> bytes:
    """Make the archive's bytes: every array under its name."""
    return npz_bytes(package.named)
