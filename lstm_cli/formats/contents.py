"""The contents of a weight file, in the one form that readers return and writers take.

A plain file (npz, safetensors, a PyTorch state dict) is a set of named tensors, and the names tell
which belong to an LSTM. A file that describes its layers (Keras, ONNX, TFLite) returns them as
blocks. Below that: a limit on the memory that a file may take, and raw numbers in files.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lstm_cli.base.arrays import Array, to_numpy
from lstm_cli.base.errors import InputError, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.cell.traits import Traits
from lstm_cli.cell.weights import Direction
from lstm_cli.files.safe import MAX_ARRAY_BYTES, MAX_AXES, open_checked
from lstm_cli.formats.cursor import Span


@dataclass(frozen=True)
class Info:
    """A tensor's shape and dtype, known without its numbers."""

    shape: tuple[int, ...]
    dtype: Foreign

    @classmethod
    def of(cls, shape: tuple[int, ...], dtype: str) -> Info:
        """Info of a shape and of what the file calls its type."""
        return cls(shape, Foreign.of(dtype))


class Tensors(Mapping[str, Array]):
    """Named tensors of a file, whose numbers are read on demand.

    Args:
        infos: name -> shape and dtype, from headers.
        load: reads one tensor's numbers by name.
    """

    def __init__(self, infos: Mapping[str, Info], load: Callable[[str], Array]) -> None:
        self.infos = dict(infos)
        self._load = load

    def __getitem__(self, name: str) -> Array:
        if name not in self.infos:
            raise KeyError(name)
        return self._load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)


@dataclass(frozen=True)
class Variant:
    """How a layer differs from the plain LSTM beyond what its weights show.

    Attributes:
        activations: gate, candidate and output, as `--activations` takes them.
        clip: the limit of pre-activations, ± this; 0 for none.
        cell_clip: the limit of the cell state, ± this; 0 for none.
        forget_bias: added to z_f at run time.
        cells: names of variants that the weights cannot show: "coupled-forget", "coupled-input".
    """

    activations: tuple[str, str, str] | None = None
    clip: float = 0.0
    cell_clip: float = 0.0
    forget_bias: float = 0.0
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """One direction of a layer: tensors under the keys of its convention, and its variant."""

    tensors: Mapping[str, Array]
    variant: Variant = field(default_factory=Variant)


@dataclass(frozen=True)
class Undecided:
    """A question that changes the numbers, left open by the file: only the user can decide.

    Attributes:
        what: the possible readings.
        choices: the options that choose one, as typed.
    """

    what: str
    choices: str


@dataclass(frozen=True)
class Block:
    """One LSTM layer that the file itself describes.

    Attributes:
        name: its name in the file, with the path to it.
        convention: a name from `conventions.CONVENTIONS`.
        parts: by direction, one or both.
        known_by: the evidence for the convention and the variant, a phrase each.
        open: what the file does not say and how it is read, a phrase each.
        undecided: two readings that give different numbers, with the options that choose one.
    """

    name: str
    convention: str
    parts: Mapping[Direction, Part]
    known_by: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    undecided: Undecided | None = None


@dataclass(frozen=True)
class Contents:
    """The contents of a file: every tensor by name, and the LSTM layers that it describes.

    Attributes:
        blocks: layers in file order; empty where only names can tell.
        notes: facts worth a line in `inspect` (a Keras version, an opset).
        refused: layers that the file describes and that are not read: name -> why, as in `notes`.
            Their tensors must not be found by name, because the file says otherwise.
        by_name: the caveat where tensors of this file are found by their names alone.
    """

    tensors: Tensors
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    by_name: str = ""


Place = tuple[int, Direction]


@dataclass(frozen=True, eq=False)
class Package:
    """The input of a writer: each layer and direction's tensors under the convention's keys.

    Attributes:
        parts: (level, direction) -> key -> array, in the dtype to write.
        traits: (level, direction) -> the cell, for formats that hold its settings.
        sizes: (level, direction) -> I, H, P.
        named: every array under the name it has in a file of named tensors.
    """

    convention: str
    parts: Mapping[Place, Mapping[str, Array]]
    traits: Mapping[Place, Traits]
    sizes: Mapping[Place, tuple[int, int, int]]
    named: Mapping[str, Array]


# The caveat for a graph: its nodes say how its tensors are used, which is not looked at here.
NO_OPERATOR = (
    "no operator of the graph is an LSTM: tensors are read by their names alone, whatever the "
    "graph does with them"
)


def numbered(name: str, taken: Counter[str]) -> str:
    """Append #2, #3 … to a name that is already taken (names need not be unique)."""
    taken[name] += 1
    return f"{name}#{taken[name]}" if taken[name] > 1 else name


class NotRead(Exception):
    """Why something in a graph is not read, worded to end a sentence."""


@dataclass
class GraphLayers:
    """The LSTM operators of a graph as they are found: blocks, or the reasons against them."""

    blocks: list[Block] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, title: str, make: Callable[[str], Block]) -> None:
        """Add an operator by the block that `make` returns, or by the reason of its `NotRead`."""
        name = numbered(name, self.taken)
        try:
            self.blocks.append(make(name))
        except NotRead as reason:
            self.refused[name] = f"{title} '{safe(name)[:200]}' is not read: {reason}"

    def contents(self, tensors: Tensors, origin: str) -> Contents:
        """Combine the layers with the graph's constant tensors and a note on its origin."""
        notes = (origin, *self.refused.values())
        return Contents(tensors, tuple(self.blocks), notes, self.refused, NO_OPERATOR)


def in_memory(arrays: Mapping[str, Any]) -> Contents:
    """Wrap arrays in memory, by name or by name in groups, as the contents of a file.

    Raises:
        InputError: a value that should be an array cannot be converted to one, or groups nested
            too deep.
    """
    found = {name: _array(value, name) for name, value in _named(arrays) if _is_array(value)}
    infos = {name: Info.of(array.shape, array.dtype.name) for name, array in found.items()}

    def load(name: str) -> Array:
        if found[name].dtype.kind in _NOT_REAL:
            raise _no_array(name, f"it holds {found[name].dtype.name}, not real numbers")
        return found[name]

    return Contents(Tensors(infos, load))


def _named(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of nested mappings, in order."""
    if len(path) > MAX_DEPTH:
        raise _too_much(f"nested more than {MAX_DEPTH} deep", "arrays")
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _named(value, (*path, str(key)))
        else:
            yield ".".join((*path, str(key))), value


# NumPy's kinds of complex numbers, objects, texts and times; bfloat16, of JAX, is of kind V.
_NOT_REAL = "cOSUmM"


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or isinstance(value, list | tuple | int | float)


def _array(value: Any, name: str) -> Array:
    try:
        return to_numpy(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _no_array(name, str(error)) from None


def _no_array(name: str, why: str) -> InputError:
    return InputError(
        f"'{safe(name)}' is not an array: {safe(why)[:200]}",
        where=safe(name),
        hint="give arrays by name: numpy.asarray(value)",
    )


# --------------------------------------------------------------------------------------------------
# A limit on the memory that a file may take, in proportion to its own size.
#
# Small files can describe huge arrays (a concatenation of concatenations, ten thousand tensors over
# the same bytes), so whatever is unpacked is counted before memory is allocated.

# A weight grows at most 8 times (int8 to float64) and is unpacked a few times at most.
_BUDGET_FACTOR = 24
_BUDGET_FLOOR = 16 * 2**20


class Budget:
    """The number of bytes that may still be unpacked.

    Args:
        size: the file's size in bytes.
    """

    def __init__(self, size: int, place: str) -> None:
        self.left = _BUDGET_FLOOR + _BUDGET_FACTOR * size
        self.place = place

    def grow(self, size: int) -> None:
        """Add the allowance for a second file that belongs to the first."""
        self.left += _BUDGET_FACTOR * size

    def take(self, size: int) -> None:
        """Subtract what is about to be allocated.

        Raises:
            InputError: it is more than an honest file can need.
        """
        if size > self.left:
            raise InputError(
                f"unpacking asks for {size:,} bytes more; {self.left:,} are left for this file",
                where=self.place,
                hint="the file is damaged or hostile; write it again from its source",
            )
        self.left -= size


def read_whole(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        InputError: it cannot be opened, is not a plain file, or is larger than 2 GiB.
    """
    with open_checked(path) as stream:
        try:
            # `read(n)` allocates n bytes whatever the file holds, so the size is found first.
            size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
        except OSError:
            raise InputError("not a plain file", where=safe(path), hint="save it first") from None
        if size > MAX_ARRAY_BYTES:
            raise InputError(
                f"{size:,} bytes; the limit is {MAX_ARRAY_BYTES:,}", where=safe(path),
                hint="save the LSTM's weights on their own, as .npz or .safetensors",
            )  # fmt: skip
        return stream.read(size)


# --------------------------------------------------------------------------------------------------
# Raw numbers in files, and trees of them, for the readers of tensor files.
#
# A reader notes where a tensor's bytes lie in its file; they are read on demand. bfloat16, which
# NumPy lacks, is the upper half of a float32 and is returned as float32.

MAX_DEPTH = 64
MAX_NODES = 200_000
MAX_LOOKED_AT = 5_000_000
MAX_NAME = 1_000

_BRANCHES = (dict, list, tuple)

# The dtypes that are read: our name -> NumPy's code.
CODES: Mapping[str, str] = {
    "float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "u2",
    "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1",
    "uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1",
}  # fmt: skip

Leaf = TypeVar("Leaf")


def item_size(dtype: str) -> int:
    """Size in bytes of one number of a dtype in `CODES`."""
    return np.dtype(CODES[dtype]).itemsize


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor and the spans of bytes in which its numbers lie, in C order, one after another."""

    info: Info
    spans: tuple[Span, ...]


def stored_contents(path: Path, tensors: Mapping[str, StoredTensor]) -> Contents:
    """The contents of a file of stored tensors, whose numbers are read on demand."""

    def load(name: str) -> Array:
        info, place = tensors[name].info, f"{safe(path)}, key {safe(name)}"
        row = read_numbers(path, tensors[name].spans, info.dtype.text, place)
        return shaped(row, info.shape, place)

    return Contents(Tensors({name: each.info for name, each in tensors.items()}, load))


def read_numbers(
    path: Path, spans: Sequence[Span], dtype: str, place: str, *, big_endian: bool = False
) -> Array:
    """Read the numbers in some spans of a file, one after another, as a flat array.

    Raises:
        InputError: a dtype that is not in `CODES`, more than 2 GiB, or a file that is too short.
    """
    size = sum(count for _, count in spans)
    check_readable(dtype, size, place)
    data = np.empty(size, dtype=np.uint8)
    done = 0
    with open_checked(path) as stream:
        there = stream.seek(0, io.SEEK_END)
        for start, count in spans:
            if start + count > there:
                raise InputError(
                    f"cut short: bytes {start:,} to {start + count:,} of {there:,} are needed",
                    where=place, hint="the file is damaged or still being written",
                )  # fmt: skip
            stream.seek(start)
            done += stream.readinto(data[done : done + count].data)
    if done < size:
        raise InputError("cut short while it was read", where=place, hint="try again")
    return decoded(data, dtype, big_endian=big_endian)


def check_readable(dtype: str, size: int, place: str) -> None:
    """Refuse a tensor of an unknown dtype or of more than 2 GiB."""
    if dtype not in CODES:
        raise InputError(
            f"numbers of type {safe(dtype)[:60]} are not read", where=place,
            hint="convert it to float32 or float64; what is read: " + ", ".join(CODES),
        )  # fmt: skip
    if size > MAX_ARRAY_BYTES:
        raise InputError(
            f"{size:,} bytes; the limit for one tensor is {MAX_ARRAY_BYTES:,}", where=place,
            hint="save the LSTM's weights on their own",
        )  # fmt: skip


def checked_size(info: Info, place: str) -> int:
    """Size in bytes of a tensor's numbers; errors as `check_readable`."""
    dtype = info.dtype.text
    size = size_of(info.shape, dtype) if dtype in CODES else 0
    check_readable(dtype, size, place)
    return size


def decoded(data: Array, dtype: str, *, big_endian: bool = False) -> Array:
    """Decode bytes into a flat array of numbers in this machine's byte order."""
    stored = data.view(np.dtype(CODES[dtype]).newbyteorder(">" if big_endian else "<"))
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def dequantized(values: Array, scale: Array, zero: Array | None, axis: int) -> Array:
    """The real numbers scale · (q - zero point), with one scale in all or one a row of an axis."""
    along = [-1 if i == axis else 1 for i in range(values.ndim)] if scale.size > 1 else []
    start = np.zeros(()) if zero is None else zero.astype(np.float64)
    with np.errstate(all="ignore"):
        offset = start.reshape(along if start.size > 1 else ())
        return np.asarray(
            (values.astype(np.float64) - offset) * scale.astype(np.float64).reshape(along)
        )


def shaped(row: Array, shape: Sequence[int], place: str, *, by_columns: bool = False) -> Array:
    """Reshape a flat array (an empty one may have axes too large for NumPy)."""
    try:
        return row.reshape(shape, order="F" if by_columns else "C")
    except (ValueError, OverflowError):
        raise InputError(
            f"shape {list(shape)} is too large for an array", where=place,
            hint="the tensor holds no numbers; leave it out of the file",
        ) from None  # fmt: skip


def shape_from(value: Any, place: str) -> tuple[int, ...]:
    """Check a shape that a file gives.

    Raises:
        InputError: not a list of non-negative integers, or too long.
    """
    good = isinstance(value, list | tuple) and len(value) <= MAX_AXES
    if not good or not all(type(n) is int and 0 <= n < 2**63 for n in value):
        raise InputError(
            "the shape is not a short list of sizes", where=place,
            hint="the file is damaged; write it again",
        )  # fmt: skip
    return tuple(value)


def size_of(shape: Sequence[int], dtype: str) -> int:
    """Size in bytes of a tensor (in Python's integers, which do not overflow)."""
    return math.prod(shape) * item_size(dtype)


def flatten(tree: Any, leaf: type[Leaf], place: str) -> dict[str, Leaf]:
    """Collect the leaves of nested dicts, lists and tuples under dotted names, nothing else.

    Raises:
        InputError: nested too deep or too large (a list that holds itself is both), two leaves of
            the same name, or a name that is too long.
    """
    leaves: dict[str, Leaf] = {}
    for name, value in _leaves(tree, leaf, place):
        if name in leaves:
            raise InputError(
                f"two tensors are named '{safe(name)}'", where=place, hint="rename one of them"
            )
        leaves[name] = value
    return leaves


def _leaves(tree: Any, leaf: type[Leaf], place: str) -> Iterator[tuple[str, Leaf]]:
    """Yield (dotted name, leaf) in file order."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    looked_at = walked = 0
    while waiting:
        path, value = waiting.pop()
        walked += 1
        if len(path) > MAX_DEPTH or sum(map(len, path)) > MAX_NAME:
            raise _too_much(f"nested more than {MAX_DEPTH} deep, or a very long name", place)
        if isinstance(value, leaf):
            yield ".".join(path) or "tensor", value
        if isinstance(value, leaf) or not isinstance(value, _BRANCHES):
            continue
        looked_at += len(value)
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        members = [each for each in pairs if isinstance(each[1], (leaf, *_BRANCHES))]
        if looked_at > MAX_LOOKED_AT or walked + len(waiting) + len(members) > MAX_NODES:
            raise _too_much(f"more than {MAX_NODES:,} tensors and groups", place)
        waiting += [((*path, str(key)), each) for key, each in reversed(members)]


def _too_much(what: str, place: str) -> InputError:
    return InputError(
        what, where=place, hint="save the weights alone, as one dict of tensors by name"
    )
