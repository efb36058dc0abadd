"""The type of arrays in signatures: every shape stands in words, in the docstring."""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
