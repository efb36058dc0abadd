"""What a weight file holds, in the one form that every reader returns.

A plain file (npz, safetensors, a PyTorch state dict) is named tensors, and names tell which are
an LSTM's. A file that knows its own layers (Keras, ONNX, TFLite) returns them as blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.cell.weights import Direction


@dataclass(frozen=True)
class Info:
    """A tensor's shape and dtype, known without its numbers."""

    shape: tuple[int, ...]
    dtype: str


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


# Of a graph: its nodes say how its tensors are used, and here that is not looked at.
NO_OPERATOR = (
    "no operator of the graph is an LSTM: tensors are read by their names alone, whatever the "
    "graph does with them"
)


def in_memory(arrays: Mapping[str, Any]) -> Contents:
    """Return arrays that are already there as the contents of a file.

    Raises:
        InputError: something that should be an array cannot be made one.
    """
    found = {name: _array(value, name) for name, value in arrays.items() if _is_array(value)}
    infos = {name: Info(array.shape, array.dtype.name) for name, array in found.items()}

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
