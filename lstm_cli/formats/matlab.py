"""MATLAB files before v7.3 (`save -v7`, `save -v6`, scipy.io.savemat): numbers, structs, cells.

A reader of our own: mat4py (0.6.0, its last release of 2023-10) makes nested lists of Python
floats of everything at once, scipy brings 140 MB, and neither bounds what a compressed variable
unpacks to. Here numbers wait until they are asked for. v7.3 is HDF5, and objects such as a
`dlnetwork` are stored in a way MathWorks does not document: both are answered with what to do.
"""

from __future__ import annotations

import io
import math
import zlib
from pathlib import Path

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import open_checked
from lstm_cli.formats.contents import (
    CODES,
    Contents,
    Tensors,
    check_readable,
    decoded,
    flatten,
    read_numbers,
    shaped,
)
from lstm_cli.formats.matlab_elements import (
    COMPRESSED,
    MAX_UNPACKED,
    MatArray,
    Order,
    Unpacked,
    source_of,
    variables,
)

_SAVE_ARRAYS = (
    "in MATLAB, with the number of the LSTM layer:\n"
    "    layer = net.Layers(2); InputWeights = layer.InputWeights; "
    "RecurrentWeights = layer.RecurrentWeights; Bias = layer.Bias;\n"
    "    save('lstm.mat', 'InputWeights', 'RecurrentWeights', 'Bias', '-v7')"
)


def read(path: Path) -> Contents:
    """Return every array; fields of structs and members of cells (from 1) by dotted names.

    Raises:
        InputError: v7.3, v4 or no MAT-file; damaged; nothing in it but objects or text.
    """
    place = safe(path)
    with open_checked(path) as stream:
        head = stream.read(520)
        order = _byte_order(head, place)
        tree = variables(stream, stream.seek(0, io.SEEK_END), order, place)
    arrays = flatten(tree, MatArray, place)
    notes = tuple(
        f"{safe(name)} is a MATLAB {safe(each.info.dtype)}: its weights are not read"
        for name, each in arrays.items()
        if each.info.dtype.startswith("object")
    )
    if notes and not any(each.info.dtype in CODES for each in arrays.values()):
        raise InputError(notes[0], where=place, hint=_SAVE_ARRAYS)

    def load(name: str) -> Array:
        return _numbers(path, arrays[name], order, f"{place}, key {safe(name)}")

    infos = {name: each.info for name, each in arrays.items()}
    return Contents(Tensors(infos, load), notes=notes)


def _byte_order(head: bytes, place: str) -> Order:
    """Return the byte order, or say what to do with a file of another version."""
    if b"\x89HDF\r\n\x1a\n" in (head[:8], head[512:520]) or head.startswith(b"MATLAB 7.3"):
        raise InputError(
            "a MAT-file of version 7.3, which is HDF5", where=place,
            hint="in MATLAB: load('old.mat'); save('lstm.mat', '-v7')",
        )  # fmt: skip
    mark, version = head[126:128], head[124:126]
    if mark not in (b"IM", b"MI") or version not in (b"\x00\x01", b"\x01\x00") or 0 in head[:4]:
        raise InputError(
            "not a MAT-file of version 5 to 7 (version 4 has no header)", where=place,
            hint="in MATLAB: save('lstm.mat', 'InputWeights', 'RecurrentWeights', 'Bias', '-v7')",
        )  # fmt: skip
    return "little" if mark == b"IM" else "big"


def _numbers(path: Path, array: MatArray, order: Order, place: str) -> Array:
    """Return an array's numbers in its class and shape."""
    size = math.prod(array.info.shape) * 8
    if array.info.dtype.startswith("object"):
        raise InputError(f"a MATLAB {safe(array.info.dtype)}", where=place, hint=_SAVE_ARRAYS)
    check_readable(array.info.dtype, size, place)
    if array.element[2] != COMPRESSED:
        spans = [(array.start, array.count)]
        row = read_numbers(path, spans, array.stored, place, big_endian=order == "big")
    else:
        data = _unpacked(path, array, place)
        row = decoded(np.frombuffer(data, dtype=np.uint8), array.stored, big_endian=order == "big")
    with np.errstate(all="ignore"):
        numbers = row.astype(CODES[array.info.dtype])
    # MATLAB stores a class in a smaller type only where that loses nothing.
    if not np.array_equal(numbers, row, equal_nan=numbers.dtype.kind == "f"):
        raise _damaged(f"numbers that are not of class {safe(array.info.dtype)}", place)
    return shaped(numbers, array.info.shape, place, by_columns=True)


def _unpacked(path: Path, array: MatArray, place: str) -> bytes:
    """Return the bytes of an array in a compressed element."""
    if array.start + array.count > MAX_UNPACKED:
        raise InputError(
            f"{array.count:,} bytes; the limit for one compressed variable is {MAX_UNPACKED:,}",
            where=place, hint="in MATLAB, save it uncompressed: save('lstm.mat', …, '-v6')",
        )  # fmt: skip
    start, size, _ = array.element
    with open_checked(path) as stream:
        try:
            # A little more than the array, so that the checksum behind it is reached and checked.
            data = Unpacked(source_of(stream), start, size, [0])(array.start, array.count + 16)
        except zlib.error as error:
            raise _damaged(str(error), place) from None
    if len(data) < array.count:
        raise _damaged("cut short", place)
    return data[: array.count]


def _damaged(reason: str, place: str) -> InputError:
    return InputError(
        f"a damaged MAT-file: {reason}", where=place,
        hint="save it again, in MATLAB: save('lstm.mat', …, '-v7')",
    )  # fmt: skip
