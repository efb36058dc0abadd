"""NumPy archives: `numpy.savez(path, W_f=…, b_f=…)`, any names; object arrays are refused."""

from __future__ import annotations

from pathlib import Path

from lstm_cli.equations import Array
from lstm_cli.errors import InputError, safe
from lstm_cli.safe_files import read_npz


def read(path: Path) -> dict[str, Array]:
    """Return every array by name.

    Raises:
        InputError: what `safe_files.read_npz` refuses, or text where numbers are needed.
    """
    arrays = read_npz(path)
    for name, array in arrays.items():
        if array.dtype.kind == "U":
            raise InputError(
                f"'{safe(name)}' is text", where=safe(path), hint="weights are numbers"
            )
    return arrays
