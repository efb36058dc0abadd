"""The array type used in signatures, other libraries' arrays as NumPy's, and arrays as C source.

Shapes are given in docstrings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


def to_numpy(value: Any) -> Array:
    """Convert another library's array, or lists of numbers or arrays, to a NumPy array.

    No library is imported: a PyTorch tensor is detached and moved to the CPU by its own methods.

    Raises:
        TypeError, ValueError, RuntimeError: whatever the array's library or NumPy raises.
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list | tuple):
        return np.asarray([to_numpy(each) if hasattr(each, "__array__") or hasattr(each, "detach")
                           else each for each in value])  # fmt: skip
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        return np.asarray(value)
    except TypeError:
        if not hasattr(value, "float"):
            raise
        return np.asarray(value.float())  # PyTorch's bfloat16, which NumPy lacks: exact


# ---- C source that any C99 or C++ compiler accepts

# NumPy dtype -> the C type, and the suffix of its literals.
_TYPES = {
    "float32": ("float", "f"),
    "float64": ("double", ""),
    "int8": ("int8_t", ""),
    "int16": ("int16_t", ""),
    "int32": ("int32_t", ""),
}
# Macros of math.h; and C has no negative numbers, only a minus before one: -2147483648 starts with
# what is no int32_t.
_OWN = {"nan": "NAN", "inf": "INFINITY", "-inf": "-INFINITY", str(-(2**31)): "(-2147483647 - 1)"}


def guard(name: str) -> str:
    """Return the include guard for a file name."""
    return f"LSTM_{re.sub(r'[^A-Z0-9]', '_', name.upper())}_INCLUDED"


def identifier(name: str) -> str:
    """Turn a name into a C identifier."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def array_lines(name: str, array: Array) -> Iterator[str]:
    """Yield the lines of `static const … name[…] = {…};` for a 1-D or 2-D array."""
    kind, mark = _TYPES[array.dtype.name]
    sizes = "".join(f"[{size}]" for size in array.shape)
    yield f"static const {kind} {identifier(name)}{sizes} = {{"
    for row in np.atleast_2d(array):
        text = ", ".join(_OWN.get(each, each + mark) for each in _texts(row))
        yield f"  {{{text}}}," if array.ndim > 1 else f"  {text}"
    yield "};"


def _texts(row: Array) -> list[str]:
    """Return the shortest literals that read back as the same numbers."""
    return [str(each) for each in (row.astype(str) if row.dtype == np.float32 else row).tolist()]
