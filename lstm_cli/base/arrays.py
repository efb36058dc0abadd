"""The type of arrays in signatures, and arrays of other libraries as NumPy's.

Every shape stands in words, in the docstring.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


def to_numpy(value: Any) -> Array:
    """Convert to a NumPy array what is one in another library, or lists of numbers or of arrays.

    No library is imported: a tensor of PyTorch is detached and moved to the CPU by its own methods.

    Raises:
        TypeError, ValueError, RuntimeError: as its own library or NumPy raises.
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
