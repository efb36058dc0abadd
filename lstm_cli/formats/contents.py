"""The contents of a weight file, in the one form that readers return and writers take.

A plain file (npz, safetensors, a PyTorch state dict) is a set of named tensors, and the names tell
which belong to an LSTM. A file that describes its layers (Keras, ONNX, TFLite) returns them as
blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lstm_cli.base.arrays import Array, to_numpy
from lstm_cli.base.errors import InputError, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.cell.traits import Traits
from lstm_cli.cell.weights import NO_MASK, Direction, Merge, OwnMask


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
        conventions: the layouts that choose one, by name.
    """

    what: str
    conventions: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """One LSTM layer that the file itself describes.

    Attributes:
        name: its name in the file, with the path to it.
        convention: a name from `conventions.CONVENTIONS`.
        parts: by direction, one or both.
        known_by: the evidence for the convention and the variant, a phrase each.
        open: what the file does not say and how it is read, a phrase each.
        undecided: readings that give different numbers, of which only the user can choose.
        mask: which steps are run.
        merge: how two directions make one output.
        x_is: what its x is, where it is neither the model's input nor the output of other layers.
    """

    name: str
    convention: str
    parts: Mapping[Direction, Part]
    known_by: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    undecided: Undecided | None = None
    mask: OwnMask = NO_MASK
    merge: Merge = "concat"
    x_is: str = ""


# Levels from input to output, each the numbers of its blocks: one, or two of one direction each.
Stack = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Contents:
    """The contents of a file: every tensor by name, and the LSTM layers that it describes.

    Attributes:
        blocks: layers in file order; empty where only names can tell.
        stacks: those of the blocks that the file joins directly.
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
    stacks: tuple[Stack, ...] = ()


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


class NotRead(Exception):
    """Why something in a graph is not read, worded to end a sentence."""


@dataclass
class Graph:
    """What is found in a graph: its constants, and its LSTM operators as blocks or refusals."""

    constants: dict[str, Any] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    stacks: tuple[Stack, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add_constant(self, name: str, tensor: Any) -> None:
        """Add a tensor in the reader's own form."""
        self.constants[self._numbered(name, "constant")] = tensor

    def add(self, name: str, title: str, make: Callable[[str], Block]) -> str:
        """Add an operator by the block that `make` returns, or by the reason of its `NotRead`.

        Returns:
            Its name in this file, the only one of that name.
        """
        name = self._numbered(name, "operator")
        try:
            self.blocks.append(make(name))
        except NotRead as reason:
            self.refused[name] = f"{title} '{safe(name)[:200]}' is not read: {reason}"
        return name

    def _numbered(self, name: str, kind: str) -> str:
        """Append #2, #3 … to a name that is already taken (names need not be unique)."""
        self.taken[kind, name] += 1
        count = self.taken[kind, name]
        return f"{name}#{count}" if count > 1 else name

    def contents(
        self, origin: str, info: Callable[[str, Any], Info], load: Callable[[Any], Array]
    ) -> Contents:
        """Combine layers and constants, with the functions that read one, and a note on origin."""
        tensors = Tensors(
            {name: info(name, each) for name, each in self.constants.items()},
            lambda name: load(self.constants[name]),
        )
        notes = (origin, *self.refused.values())
        return Contents(tensors, tuple(self.blocks), notes, self.refused, NO_OPERATOR, self.stacks)


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
    what = f"'{safe(name)}' is not an array: {safe(why)[:200]}"
    return InputError(what, where=safe(name), hint="give arrays by name: numpy.asarray(value)")


MAX_DEPTH = 64
MAX_NODES = 200_000
MAX_LOOKED_AT = 5_000_000
MAX_NAME = 1_000

_BRANCHES = (dict, list, tuple)

Leaf = TypeVar("Leaf")


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
