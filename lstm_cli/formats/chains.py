"""Which LSTM layers of a file are joined directly, and so are one stack.

A graph is followed with labels in the place of numbers: each number that an LSTM outputs has a
label of its own, so that whatever the operators between do, the x of the next LSTM shows whether it
is those outputs, all of them, in their order. Nothing else is taken for a stack.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import safe
from lstm_cli.cell.weights import Direction
from lstm_cli.formats.contents import Block, Stack

# Constants of a graph are hardly ever so large, and float32 still holds what follows.
FIRST_LABEL = 2**20
# An input or output of more numbers, further ones, and further layers are not followed.
MAX_LABELS = 2**20
MAX_ALL_LABELS = 2**24
MAX_LAYERS = 256


@dataclass(frozen=True)
class Reads:
    """What a layer reads as its x.

    Attributes:
        layers: numbers of the layers whose outputs it reads, in the order of its columns.
        turned: whether it reads them, or the model's input, in reversed time.
        other: what it reads instead, to follow "its x is"; "" for outputs or the model's input.
    """

    layers: tuple[int, ...] = ()
    turned: bool = False
    other: str = ""


@dataclass(eq=False)
class Labels:
    """The labels of what LSTMs output, by which it is found again in the x of others.

    Attributes:
        names: each layer's name.
        outputs: number of a layer -> its labels `(T, N, D·P)` in input time.
    """

    names: Sequence[str]
    outputs: dict[int, Array] = field(default_factory=dict)
    _starts: list[int] = field(default_factory=lambda: [FIRST_LABEL])
    _owners: list[tuple[int, str]] = field(default_factory=list)

    def has_room(self, *shape: int) -> bool:
        """Whether so many labels can be followed."""
        left = MAX_ALL_LABELS - self._starts[-1]
        return len(self.names) <= MAX_LAYERS and math.prod(shape) <= min(MAX_LABELS, left)

    def made(self, shape: Sequence[int], what: str = "", owner: int = -1) -> Array:
        """Labels of a shape, for the model's input, or for what is told or the layer given."""
        first = self._starts[-1]
        labels = np.arange(first, first + math.prod(shape), dtype=np.int64).reshape(shape)
        self._starts.append(first + labels.size)
        self._owners.append((owner, what))
        return labels

    def output(self, number: int, shape: tuple[int, int, int], turned: bool) -> Array:
        """Labels `(T, N, D·P)` of what a layer outputs, in the time of its x."""
        self.outputs[number] = self.made(shape, owner=number)
        return self.outputs[number][:: -1 if turned else 1]

    def read(self, x: Array) -> Reads:
        """What an x `(T, N, I)` is."""
        owner, what = self._owner(x)
        if owner < 0:
            return _in_order(x, what)
        layers: list[int] = []
        turned: bool | None = None
        while x.shape[2]:
            owner, _ = self._owner(x)
            made = self.outputs.get(owner, x[..., :0])
            part = x[..., : made.shape[2]]
            back = not np.array_equal(part, made)
            if (
                not part.size
                or (back and not np.array_equal(part, made[::-1]))
                or (turned not in (None, back))
            ):
                name = safe(self.names[max(owner, 0)])[:80]
                return Reads(
                    other=f"made of the output of '{name}', but not all of it in its order"
                )
            layers, turned, x = [*layers, owner], back, x[..., part.shape[2] :]
        return Reads(tuple(layers), bool(turned))

    def _owner(self, x: Array) -> tuple[int, str]:
        """Whose label the first number is: a layer's, or -1 and what it is besides."""
        label = int(x.flat[0]) if x.size and x.dtype.kind in "iuf" else 0
        if not FIRST_LABEL <= label < self._starts[-1]:
            return -1, "made of constants"
        return self._owners[bisect_right(self._starts, label) - 1]


def _in_order(x: Array, what: str) -> Reads:
    """What an x of the model's input is: it may arrive in reversed time."""
    moves = np.diff(x, axis=0)
    if what or (moves != moves.flat[:1]).any():
        return Reads(other=what or "the model's input in another order of time")
    return Reads(turned=bool((moves < 0).any()))


def joined(
    blocks: Sequence[Block], reads: Sequence[Reads], pairs: Sequence[tuple[int, ...]] = ()
) -> tuple[list[Block], tuple[Stack, ...]]:
    """Blocks with what is known of their x, and the stacks that they are.

    Args:
        reads: what each block reads.
        pairs: layers whose outputs are side by side somewhere.
    """
    turned = [_turned(*each) for each in zip(blocks, reads, strict=True)]
    said = [block if not read.other else replace(block, x_is=read.other) for block, read in turned]
    reads = [read for _, read in turned]
    groups: dict[int, tuple[int, ...]] = {number: (number,) for number in range(len(blocks))}
    for pair in (*pairs, *(read.layers for read in reads)):
        if len(pair) == 2 and _is_layer([said[each] for each in pair], [reads[n] for n in pair]):
            groups |= dict.fromkeys(pair, pair)
    stacks = tuple(_stacks(said, reads, groups))
    return said, stacks


def _turned(block: Block, read: Reads) -> tuple[Block, Reads]:
    """A block whose x arrives in reversed time runs in the other direction of input time."""
    if not read.turned:
        return block, read
    if len(block.parts) > 1:
        return block, Reads(other="reversed in time, and it runs both ways")
    ((way, part),) = block.parts.items()
    other: Direction = "backward" if way == "forward" else "forward"
    told = f"x reaches it reversed in time: it runs {other}, and its values are in input time"
    return replace(block, parts={other: part}, open=(*block.open, told)), read


def _is_layer(blocks: Sequence[Block], reads: Sequence[Reads]) -> bool:
    """Whether two blocks are the directions of one layer: forward and backward over one x."""
    first, second = (list(each.parts) for each in blocks)
    return (first, second) == (["forward"], ["backward"]) and (
        reads[0].layers == reads[1].layers and not (reads[0].other or reads[1].other)
    )


def _stacks(
    blocks: Sequence[Block], reads: Sequence[Reads], groups: Mapping[int, tuple[int, ...]]
) -> Iterator[Stack]:
    """Yield the stack of each layer that no other reads, down to the first that it rests on."""
    read = {number for each in reads for number in each.layers}
    for group in dict.fromkeys(groups.values()):
        stack = [group] if read.isdisjoint(group) else []
        while stack and (below := reads[stack[0][0]].layers):
            if groups[below[0]] != below or below in stack:
                break
            stack.insert(0, below)
        members = [number for level in stack for number in level]
        if len(members) > 1 and len({blocks[number].convention for number in members}) == 1:
            yield tuple(stack)
