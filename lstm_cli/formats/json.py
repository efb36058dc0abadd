"""JSON weights: `{"W_f": [[…], …], "b_f": […], …}`, in a file or inline in a sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.output import json_text, plain_list
from lstm_cli.files.safe import parse_json, read_text, to_array
from lstm_cli.formats.contents import Contents, Package, in_memory


def read(path: Path) -> Contents:
    """Read every array by name.

    Raises:
        InputError: not JSON, or not an object of arrays.
        ShapeError: ragged rows.
    """
    place = safe(path)
    return in_memory(arrays_from(parse_json(read_text(path), place), place))


def arrays_from(document: Any, place: str) -> dict[str, Array]:
    """Convert a decoded JSON object of nested lists to arrays; errors as `read`."""
    if not isinstance(document, dict) or not document:
        what = "weights must be an object of arrays by name"
        raise InputError(what, where=place, hint='for example {"W_f": [[1, 0]], "b_f": [0], …}')
    return {name: to_array(value, name, place) for name, value in document.items()}


def write(package: Package, path: Path) -> bytes:
    """Make the file's bytes: every array as nested lists under its name."""
    lists = {name: plain_list(array, array.dtype) for name, array in package.named.items()}
    return (json_text(lists) + "\n").encode()
