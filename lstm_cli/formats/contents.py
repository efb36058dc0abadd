"""What a weight file holds, in the one form that every reader returns and every writer takes.

A plain file (npz, safetensors, a PyTorch state dict) is named tensors, and names tell which are
an LSTM's. A file that knows its own layers (Keras, ONNX, TFLite) returns them as blocks. Behind
that: how much memory a file may take, and raw numbers in files.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.cell.traits import Traits
from lstm_cli.cell.weights import Direction
from lstm_cli.files.safe import MAX_ARRAY_BYTES, open_checked
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
    """Named tensors of a file; numbers are read when one is asked for.

    Args:
        infos: name -> shape and dtype, from headers.
        load: returns one tensor's numbers by name.
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
    """How a layer of a file departs from the plain LSTM, beyond what its weights show.

    Attributes:
        activations: gate, candidate and output, as `--activations` takes them.
        clip: pre-activations are cut to ± this; 0 is none.
        cell_clip: the cell state is cut to ± this; 0 is none.
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
    """What a file does not say and what changes the numbers: only the user can decide it.

    Attributes:
        what: the readings that are possible.
        choices: the options that choose one, as they are typed.
    """

    what: str
    choices: str


@dataclass(frozen=True)
class Block:
    """One LSTM layer that a file names itself.

    Attributes:
        name: what the file calls it, with the path to it.
        convention: a name from `conventions.CONVENTIONS`.
        parts: by direction, one or both.
        known_by: how the convention and the variant are known, a phrase each.
        open: what the file does not say, a phrase each, with how it is read.
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
    """All of a file: every tensor by name, and the LSTM layers it names itself.

    Attributes:
        tensors: everything that is there.
        blocks: layers in their order in the file; empty where only names can tell.
        notes: facts worth a line in `inspect` (a Keras version, an opset).
        refused: layers that the file describes and that are not read: name -> why, as in `notes`.
            Their tensors are not to be taken by name: the file says something else of them.
        by_name: what to say where tensors of this file are found by their names alone.
    """

    tensors: Tensors
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    by_name: str = ""


Place = tuple[int, Direction]


@dataclass(frozen=True, eq=False)
class Package:
    """What a writer gets: tensors of each layer and direction under the convention's keys.

    Attributes:
        convention: the layout's name.
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


# Of a graph: its nodes say how its tensors are used, and here that is not looked at.
NO_OPERATOR = (
    "no operator of the graph is an LSTM: tensors are read by their names alone, whatever the "
    "graph does with them"
)


def numbered(name: str, taken: Counter[str]) -> str:
    """Return a name with #2, #3 … where it has been taken before (names need not be unique)."""
    taken[name] += 1
    return f"{name}#{taken[name]}" if taken[name] > 1 else name


def in_memory(arrays: Mapping[str, Any]) -> Contents:
    """Return arrays that are already there as the contents of a file.

    Raises:
        InputError: something that should be an array cannot be made one.
    """
    found = {name: _array(value, name) for name, value in arrays.items() if _is_array(value)}
    infos = {name: Info.of(array.shape, array.dtype.name) for name, array in found.items()}

    def load(name: str) -> Array:
        if found[name].dtype.kind in _NOT_REAL:
            raise _no_array(name, f"it holds {found[name].dtype.name}, not real numbers")
        return found[name]

    return Contents(Tensors(infos, load))


# NumPy's kinds of complex numbers, objects, texts and times; bfloat16, of JAX, is of kind V.
_NOT_REAL = "cOSUmM"


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or isinstance(value, list | tuple | int | float)


def _array(value: Any, name: str) -> Array:
    """Return an array of NumPy; a tensor of PyTorch leaves its graph and its device for it."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
        return _numpy(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _no_array(name, str(error)) from None


def _numpy(value: Any) -> Array:
    try:
        return np.asarray(value)
    except TypeError:
        if not hasattr(value, "float"):
            raise
        return np.asarray(value.float())  # of PyTorch's bfloat16, which NumPy has not: exact


def _no_array(name: str, why: str) -> InputError:
    return InputError(
        f"'{safe(name)}' is not an array: {safe(why)[:200]}",
        where=safe(name),
        hint="give arrays by name: numpy.asarray(value)",
    )


# --------------------------------------------------------------------------------------------------
# How much memory a file may make us take: in proportion to what the file itself holds.
#
# Small files can describe huge arrays (a concatenation of concatenations, ten thousand tensors over
# the same bytes), so whatever is unpacked is counted before it is made.

# A weight grows at most 8 times (int8 to float64); each is unpacked a few times at most.
_BUDGET_FACTOR = 24
_BUDGET_FLOOR = 16 * 2**20


class Budget:
    """Bytes left to unpack.

    Args:
        size: bytes of the file.
        place: the file, for messages.
    """

    def __init__(self, size: int, place: str) -> None:
        self.left = _BUDGET_FLOOR + _BUDGET_FACTOR * size
        self.place = place

    def grow(self, size: int) -> None:
        """Count bytes of a second file that belongs to the first."""
        self.left += _BUDGET_FACTOR * size

    def take(self, size: int) -> None:
        """Count what is about to be made.

        Raises:
            InputError: more than the file can honestly need.
        """
        if size > self.left:
            raise InputError(
                f"unpacking asks for {size:,} bytes more; {self.left:,} are left for this file",
                where=self.place,
                hint="the file is damaged or hostile; write it again from its source",
            )
        self.left -= size


def read_whole(path: Path) -> bytes:
    """Return all of a file.

    Raises:
        InputError: it cannot be opened, is not a plain file, or has more than 2 GiB.
    """
    with open_checked(path) as stream:
        try:
            # A read of n bytes takes n bytes, whatever is there; so the size is asked first.
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
# Raw numbers in files, and trees of them: what the readers of tensor files share.
#
# A reader notes where in its file a tensor's bytes lie; they are read when the tensor is asked for.
# bfloat16, which numpy lacks, is the upper half of a float32, and is returned as float32.

MAX_AXES = 32
MAX_DEPTH = 64
MAX_NODES = 200_000
MAX_LOOKED_AT = 5_000_000
MAX_NAME = 1_000

_BRANCHES = (dict, list, tuple)

# What is read: our name -> numpy's code.
CODES: Mapping[str, str] = {
    "float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "u2",
    "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1",
    "uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1",
}  # fmt: skip

Leaf = TypeVar("Leaf")


def item_size(dtype: str) -> int:
    """Return the bytes of one number of a dtype in `CODES`."""
    return np.dtype(CODES[dtype]).itemsize


def file_size(path: Path) -> int:
    """Return a file's size; errors as `open_checked`."""
    with open_checked(path) as stream:
        return stream.seek(0, io.SEEK_END)


def read_numbers(
    path: Path, spans: Sequence[Span], dtype: str, place: str, *, big_endian: bool = False
) -> Array:
    """Return the numbers that lie in some spans of a file, one after another, as one row.

    Raises:
        InputError: a dtype that is not in `CODES`, more than 2 GiB, or a file that is shorter.
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
            done += stream.readinto(data[done : done + count].data)  # type: ignore[attr-defined]
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


def decoded(data: Array, dtype: str, *, big_endian: bool = False) -> Array:
    """Return bytes as a row of numbers in this machine's byte order."""
    stored = data.view(np.dtype(CODES[dtype]).newbyteorder(">" if big_endian else "<"))
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def shaped(row: Array, shape: Sequence[int], place: str, *, by_columns: bool = False) -> Array:
    """Return a row of numbers in a shape (an empty one may have axes that numpy cannot make)."""
    try:
        return row.reshape(shape, order="F" if by_columns else "C")
    except (ValueError, OverflowError):
        raise InputError(
            f"shape {list(shape)} is too large for an array", where=place,
            hint="the tensor holds no numbers; leave it out of the file",
        ) from None  # fmt: skip


def shape_from(value: Any, place: str) -> tuple[int, ...]:
    """Return a shape that a file gives.

    Raises:
        InputError: not whole numbers from 0 on, or too many of them.
    """
    good = isinstance(value, list | tuple) and len(value) <= MAX_AXES
    if not good or not all(type(n) is int and 0 <= n < 2**63 for n in value):
        raise InputError(
            "the shape is not a short list of sizes", where=place,
            hint="the file is damaged; write it again",
        )  # fmt: skip
    return tuple(value)


def size_of(shape: Sequence[int], dtype: str) -> int:
    """Return the bytes that a tensor takes (Python's integers: nothing overflows)."""
    return math.prod(shape) * item_size(dtype)


def flatten(tree: Any, leaf: type[Leaf], place: str) -> dict[str, Leaf]:
    """Return the leaves of nested dicts, lists and tuples under dotted names; the rest is left out.

    Raises:
        InputError: nested too deep or too much to look at (a list that holds itself is both), two
            leaves of one name, a name that is too long.
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
    """Yield (dotted name, leaf) in the order of the file."""
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
        members = [each for each in _branches_of(value) if isinstance(each[1], (leaf, *_BRANCHES))]
        if looked_at > MAX_LOOKED_AT or walked + len(waiting) + len(members) > MAX_NODES:
            raise _too_much(f"more than {MAX_NODES:,} tensors and groups", place)
        waiting += [((*path, str(key)), each) for key, each in reversed(members)]


def _branches_of(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, dict) else enumerate(value)


def _too_much(what: str, place: str) -> InputError:
    return InputError(
        what, where=place, hint="save the weights alone, as one dict of tensors by name"
    )
