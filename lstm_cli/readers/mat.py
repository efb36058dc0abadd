"""MATLAB files before v7.3 (`save -v7`, `save -v6`, scipy.io.savemat): numbers, structs, cells.

A reader of our own: mat4py (0.6.0, its last release of 2023-10) makes nested lists of Python
floats of everything at once, scipy brings 140 MB, and neither bounds what a compressed variable
unpacks to. Here numbers wait until they are asked for. v7.3 is HDF5, and objects such as a
`dlnetwork` are stored in a way MathWorks does not document: both are answered with what to do.

Source: "MAT-File Format" (MathWorks, matfile_format.pdf): a header of 128 bytes, then elements
(type, number of bytes, data, padding to 8); a matrix (type 14) holds flags, dimensions, name and
data in column order; a compressed element (type 15) is a zlib stream of one matrix.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from lstm_cli.equations import Array
from lstm_cli.errors import InputError, safe
from lstm_cli.readers.contents import Contents, Info, Tensors
from lstm_cli.readers.raw import CODES, check_readable, flatten, read_numbers, shape_from
from lstm_cli.safe_files import open_checked

# What a compressed variable may unpack to, and the largest that is unpacked only to be listed.
MAX_UNPACKED = 256 * 2**20
_HEAD = 2**16

_STORED = {
    1: "int8", 2: "uint8", 3: "int16", 4: "uint16", 5: "int32", 6: "uint32", 7: "float32",
    9: "float64", 12: "int64", 13: "uint64",
}  # fmt: skip
_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "float64", 7: "float32",
    8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64",
    15: "uint64", 16: "function", 17: "opaque",
}  # fmt: skip
_MATRIX, _COMPRESSED, _OPAQUE = 14, 15, 17
