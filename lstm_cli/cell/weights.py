"""Weights as read-only arrays: the parameters of one cell, a layer, a model of layers.

Sizes: input I, hidden (cell) H, output P (= H without a projection). `W_k (H, P + I)` joins the
columns that multiply `h_prev` (first P) and those that multiply `x` (last I); `b_k (H,)`,
`p_k (H,)`, `W_hr (P, H)`. No behaviour here beyond checking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from functools import cached_property
from itertools import count
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError, safe
from lstm_cli.base.records import record
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.shapes import describe, solve_sizes

Direction = Literal["forward", "backward"]
# How the directions of a layer make one output; the names are Keras' `merge_mode`.
Merge = Literal["concat", "sum", "mul", "ave"]
_MERGED = {
    merge: f"output is the {word} of the two directions; h and c are kept by direction"
    for merge, word in (("sum", "sum"), ("mul", "product"), ("ave", "average"))
}
# Most layers and directions shown in a notebook; a stack of hundreds would fill it.
MOST_SHOWN = 8


class OwnMask(NamedTuple):
    """What a file says of the steps that its LSTM runs.

    Attributes:
        value: steps of x whose numbers all equal it are left out, as by Keras' Masking.
        lengths: the steps of each sample that are run: a constant sequence_lens of ONNX.
        open: masks that x does not tell, a phrase each.
    """

    value: float | None = None
    lengths: tuple[int, ...] = ()
    open: tuple[str, ...] = ()


NO_MASK = OwnMask()


@record
class LstmWeights:
    """The parameters of one cell, checked against the shapes that its table requires.

    Args:
        arrays: mapping of parameter to array, with exactly the names of `cell.parameters`.
        source: where they come from, for messages.
        recurrent_biases: mapping of gate letter to the recurrent part of `b_k (H,)`, for files
            that store two biases; `arrays` has their sum.

    Raises:
        InputError: a parameter missing, unknown, or not finite.
        ShapeError: shapes that disagree with each other or with the table.
    """

    cell: Cell
    arrays: Mapping[str, Array]
    source: str = ""
    recurrent_biases: Mapping[str, Array] = field(default_factory=dict, repr=False)
    sizes: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        arrays = {name: _frozen(array) for name, array in self.arrays.items()}
        _check_names(self.cell, arrays, self.source)
        sizes = solve_sizes(self.cell.shapes, arrays, self.source)
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                where = tuple(int(axis) for axis in np.argwhere(~np.isfinite(array))[0])
                raise InputError(
                    f"{name}{list(where)} is {array[where]}",
                    where=self.source,
                    hint="weights must be finite numbers; check the program that wrote the file",
                )
        object.__setattr__(self, "arrays", MappingProxyType(arrays))
        object.__setattr__(self, "sizes", MappingProxyType(sizes))

    def size(self, symbol: str) -> int:
        """Size of `x`, `h` or `c`."""
        return sum(self.sizes[atom] for atom in self.cell.shapes[symbol][0])

    @cached_property
    def input_size(self) -> int:
        """I, the size of `x`."""
        return self.size("x")

    @cached_property
    def hidden_size(self) -> int:
        """H, the size of `c`."""
        return self.size("c")

    @cached_property
    def output_size(self) -> int:
        """P, the size of `h`; H without a projection."""
        return self.size("h")

    @property
    def described(self) -> str:
        """The cell and its sizes, on one line."""
        sizes = f"I = {self.input_size}, H = {self.hidden_size}"
        if self.output_size != self.hidden_size:
            sizes += f", P = {self.output_size}"
        return f"{self.cell.name}, {sizes}"

    def __repr__(self) -> str:
        return (
            f"LstmWeights({self.cell.name}, I={self.input_size}, H={self.hidden_size}, "
            f"P={self.output_size}, from {safe(self.source) or 'arrays'})"
        )


def _frozen(array: Array) -> Array:
    with np.errstate(invalid="ignore"):  # a signalling nan is rejected by name, like any nan
        copy = np.array(array, dtype=np.float64)
    copy.flags.writeable = False
    return copy


def _check_names(cell: Cell, arrays: Mapping[str, Array], source: str) -> None:
    missing = [name for name in cell.parameters if name not in arrays]
    if not any(name.startswith("b_") for name in arrays):  # then there need be none
        missing = [name for name in missing if not name.startswith("b_")] or missing
    if missing:
        shape = describe(cell.parameters[missing[0]])
        raise InputError(
            f"{', '.join(missing)} missing: cell {cell.name} needs {missing[0]} {shape}",
            where=f"{source}, which has {', '.join(map(safe, arrays)) or 'nothing'}",
            hint=f"add {', '.join(missing)}, or name the layout with --convention",
        )
    unknown = [name for name in arrays if name not in cell.parameters]
    if unknown:
        variant = "; for p_… try --cell peephole" if unknown[0].startswith("p_") else ""
        raise InputError(
            f"cell {cell.name} has no parameter '{safe(unknown[0])}'",
            where=source,
            hint=f"it uses {', '.join(cell.parameters)}{variant}",
        )


@record
class Layer:
    """One layer: one or two directions, each with its own weights (and hence its own cell).

    Raises:
        ShapeError: the two directions do not read the same input.
    """

    directions: Mapping[Direction, LstmWeights]

    def __post_init__(self) -> None:
        object.__setattr__(self, "directions", MappingProxyType(dict(self.directions)))
        sizes = {name: weights.input_size for name, weights in self.directions.items()}
        if len(set(sizes.values())) > 1:
            raise ShapeError(
                "directions read inputs of different sizes: "
                + ", ".join(f"{name} {size}" for name, size in sizes.items()),
                hint="both directions of a layer read the same x",
            )

    @cached_property
    def input_size(self) -> int:
        """I, the size of the layer's input."""
        return next(iter(self.directions.values())).input_size

    @cached_property
    def output_size(self) -> int:
        """Sum of P over the directions: the input size of the next layer."""
        return sum(weights.output_size for weights in self.directions.values())


@record
class Model:
    """A stack of layers, with its origin and the assumptions made in reading it.

    Attributes:
        layers: from input to output.
        source: `preset:identity`, a file, `arrays`.
        convention: the layout that the weights were read in; None if there is none.
        assumptions: sentences on choices made for what was not given, and on a merge.
        merge: how the directions of the last layer make the output; those below are concatenated.
        mask: what its file says of the steps that are run, where `run` is not told.

    Raises:
        InputError: a merge of one direction alone, or of directions of different sizes.
        ShapeError: a layer's input size differs from the output size of the one below.
    """

    layers: tuple[Layer, ...]
    source: str = "arrays"
    convention: str | None = None
    assumptions: tuple[str, ...] = ()
    mask: OwnMask = NO_MASK
    merge: Merge = "concat"

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("a model needs a layer", where=self.source, hint="give weights")
        for level, (below, above) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            if below.output_size != above.input_size:
                raise ShapeError(
                    f"layer {level + 1} reads {above.input_size} numbers, "
                    f"but layer {level} outputs {below.output_size}",
                    where=self.source,
                    hint="check the order of the layers and whether both directions are there",
                )
        self._check_merge()
        others = (each for each in self.assumptions if each not in _MERGED.values())
        told = (_MERGED[self.merge],) if self.merge != "concat" else ()
        object.__setattr__(self, "assumptions", (*others, *told))

    def _check_merge(self) -> None:
        sizes = [each.output_size for each in self.layers[-1].directions.values()]
        if self.merge not in ("concat", *_MERGED):
            raise InputError(f"unknown merge '{safe(self.merge)}'", where=self.source,
                             hint=f"concat, {', '.join(_MERGED)}")  # fmt: skip
        if self.merge != "concat" and (len(sizes) < 2 or len(set(sizes)) > 1):
            what = "one direction" if len(sizes) < 2 else f"directions of {sizes} units"
            raise InputError(
                f"merge {self.merge} needs two directions of one size, the last layer has {what}",
                where=self.source, hint="leave the merge out: concat joins whatever there is",
            )  # fmt: skip

    @classmethod
    def single(cls, weights: LstmWeights, source: str = "", **described: Any) -> Model:
        """Return a model of one forward layer."""
        source = source or weights.source or "arrays"
        return cls((Layer({"forward": weights}),), source=source, **described)

    def with_weights(self, change: Callable[[int, LstmWeights], LstmWeights]) -> Model:
        """Return a model with `change(place in runs, weights)` in the place of all weights."""
        places = count()
        layers = [
            Layer({name: change(next(places), each) for name, each in layer.directions.items()})
            for layer in self.layers
        ]
        return replace(self, layers=tuple(layers))

    def only(self, direction: Direction) -> Model:
        """Return a one-layer model with one direction of this one.

        Raises:
            InputError: there are several layers, and the upper ones need both directions, or there
                is no such direction.
        """
        there = self.layers[0].directions
        if direction not in there:
            raise InputError(
                f"there is no {direction} direction, only {' and '.join(there)}",
                where=self.source, hint=f"--direction {next(iter(there))}, or leave it out",
            )  # fmt: skip
        if len(self.layers) > 1:
            raise InputError(
                f"cannot take the {direction} direction alone: there are {len(self.layers)} layers",
                where=self.source,
                hint="the layer above reads both directions; only a single layer can be split",
            )
        return replace(self, layers=(Layer({direction: there[direction]}),), merge="concat")

    @cached_property
    def runs(self) -> tuple[tuple[int, Direction, LstmWeights], ...]:
        """Every (layer, direction, weights), in the order of the states and of execution."""
        return tuple(
            (level, name, weights)
            for level, layer in enumerate(self.layers)
            for name, weights in layer.directions.items()
        )

    @cached_property
    def units(self) -> int:
        """Sum of H over all layers and directions."""
        return sum(weights.hidden_size for _, _, weights in self.runs)

    @cached_property
    def numbers_a_step(self) -> int:
        """Approximate count of the numbers that one step computes."""
        return sum(
            len(weights.cell.symbols) * weights.hidden_size + weights.input_size
            for _, _, weights in self.runs
        )

    @property
    def first(self) -> LstmWeights:
        """Weights of the first direction of the first layer."""
        return self.runs[0][2]

    @property
    def cell(self) -> Cell:
        """Cell of the first layer."""
        return self.first.cell

    @cached_property
    def input_size(self) -> int:
        """I of the first layer."""
        return self.layers[0].input_size

    def __repr__(self) -> str:
        inner = "; ".join(f"{level} {name}: {weights!r}" for level, name, weights in self.runs)
        return f"Model({inner})"

    def _repr_html_(self) -> str:
        """HTML for a notebook: layers, sizes, source, each parameter's shape and range."""
        from lstm_cli.base import html as html_text  # only for notebooks

        convention = f" ({self.convention})" if self.convention else ""
        count = sum(array.size for _, _, each in self.runs for array in each.arrays.values())
        facts = f"{len(self.layers)} layer{'s' * (len(self.layers) > 1)} · {count:,} parameters"
        parts = [html_text.element("b", f"Model from {self.source}{convention} · {facts}")]
        parts += [html_text.note(f"assumed: {each}") for each in self.assumptions]
        for level, name, weights in self.runs[:MOST_SHOWN]:
            parts.append(html_text.element("div", f"layer {level} {name}: {weights.described}"))
            rows = ((parameter, " × ".join(map(str, array.shape)), html_text.range_text(array))
                    for parameter, array in weights.arrays.items())  # fmt: skip
            parts.append(html_text.table(("parameter", "shape", "range"), rows, 1))
        if len(self.runs) > MOST_SHOWN:
            parts.append(html_text.note(f"and {len(self.runs) - MOST_SHOWN} more"))
        return html_text.page(*parts)
