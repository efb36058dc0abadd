"""Presets: small, instructive weights, each with a line on what it shows.

A preset fills the parameters of any cell according to the shapes in its table. Sizes: `W_k` is
(H, P + I); its first P columns multiply `h_prev`, its last I columns multiply `x`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, UsageError, suggest
from lstm_cli.base.records import record
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.notation import is_matrix
from lstm_cli.cell.weights import LstmWeights, Model

# Large enough for sigmoid to be exactly 0 or 1 in double precision, and tanh exactly 1.
FULL = 1000.0
MAX_BYTES = 2 * 2**30


@dataclass
class PresetArrays:
    """Parameters to be filled: zero arrays of the right shapes, with the underlying sizes."""

    cell: Cell
    arrays: dict[str, Array]
    sizes: Mapping[str, int]
    seed: int


def _identity(preset: PresetArrays) -> None:
    for name, array in preset.arrays.items():
        if is_matrix(name):
            column = 0
            for atom in preset.cell.shapes[name][1]:
                width = preset.sizes[atom]
                array[:, column : column + width] = np.eye(array.shape[0], width)
                column += width


def _ones(preset: PresetArrays) -> None:
    for name, array in preset.arrays.items():
        array[...] = 1.0 if is_matrix(name) else 0.0


def _random(preset: PresetArrays) -> None:
    generator = np.random.default_rng(preset.seed)
    bound = 1.0 / np.sqrt(preset.sizes[preset.cell.shapes["c"][0][0]])
    for array in preset.arrays.values():
        array[...] = generator.uniform(-bound, bound, array.shape)


@record
class Preset:
    """A named way to fill parameters, and what it demonstrates.

    Attributes:
        fill: fills the zero arrays first.
        biases: then, gate -> its bias.
        inputs: and gate -> the diagonal of the columns of its `W` that multiply `x`.
    """

    name: str
    shows: str
    fill: Callable[[PresetArrays], None] | None = None
    biases: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, float] = field(default_factory=dict)

    @property
    def needs(self) -> list[str]:
        """The parameters that a cell must have."""
        return [*(f"b_{gate}" for gate in self.biases), *(f"W_{gate}" for gate in self.inputs)]

    def apply(self, given: PresetArrays) -> None:
        """Fill the parameters."""
        if self.fill is not None:
            self.fill(given)
        for gate, bias in self.biases.items():
            given.arrays[f"b_{gate}"][...] = bias
        count = given.sizes[given.cell.shapes["x"][0][0]]
        for gate, weight in self.inputs.items():
            columns = given.arrays[f"W_{gate}"][:, -count:]
            columns[...] = weight * np.eye(*columns.shape)


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "identity",
            "W_k = [I | I], b = 0, so every z = h_prev + x; for I ≠ H unit j sees x_j if there "
            "is one, and inputs past the H-th are ignored",
            _identity,
        ),
        Preset("zeros", "every z is 0: gates half open, nothing written, c halves each step"),
        Preset("ones", "W_k all 1, b = 0: every unit sees the sum of all of h_prev and x", _ones),
        Preset("random", "uniform in ±1/√H, as PyTorch initializes; drawn from --seed", _random),
        Preset("forget", "b_f = -1000: f = 0, the old cell state is gone after one step", _identity,
               {"f": -FULL}),
        Preset("remember", "b_f = 1000, b_i = -1000: f = 1, i = 0, c keeps its value whatever x is",
               biases={"f": FULL, "i": -FULL}),
        Preset("count", "f = 1, g = 1, i = 1 where x_j = 1 and 0 where x_j = 0: c_j counts the "
               "ones seen", None, {"f": FULL, "i": -FULL, "g": FULL, "o": FULL}, {"i": 2 * FULL}),
        Preset("add", "f = i = 1, g = tanh(0.01 x) ≈ 0.01 x: c_j sums x_j in hundredths",
               None, {"f": FULL, "i": FULL, "o": FULL}, {"g": 0.01}),
    )
}  # fmt: skip


# The assumption made if neither weights nor a preset are given.
NO_WEIGHTS = "no weights given: preset identity (W_k = [I | I], b = 0)"


def preset_model(name: str, cell: Cell, *, sizes: Mapping[str, int], seed: int = 0) -> Model:
    """Build a one-layer model filled by a preset.

    Args:
        name: a row of `PRESETS`.
        cell: the table to fill.
        sizes: the known ones of "I", "H" and "P"; H defaults to I, P to H, I to P.
        seed: for `random`.

    Raises:
        UsageError: no such preset, a seed for one that draws nothing, or the cell lacks a parameter
            that it sets.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset '{name}'", hint=suggest(name, PRESETS))
    if seed and name != "random":
        raise UsageError(
            f"preset {name} draws nothing: a seed has no effect",
            hint="choose preset random, or leave the seed out",
        )  # fmt: skip
    preset = PRESETS[name]
    wide, hidden = sizes.get("P"), sizes.get("H")
    if wide and hidden and wide != hidden and cell.shapes["h"] == cell.shapes["c"]:
        raise UsageError(
            f"h has {wide} numbers and c {hidden}: without a projection they are as many",
            where=f"cell {cell.name}",
            hint="give h and c the same size, or --cell projection",
        )
    missing = [each for each in preset.needs if each not in cell.parameters]
    if missing:
        raise UsageError(
            f"preset {name} sets {missing[0]}, which cell {cell.name} does not have",
            hint="choose a preset that fits any cell: identity, zeros, ones, random",
        )
    known = _all_sizes(cell, sizes)
    shapes = {
        parameter: [sum(known[atom] for atom in size) for size in shape]
        for parameter, shape in cell.parameters.items()
    }
    needed = 8 * sum(map(math.prod, shapes.values()))
    if needed > MAX_BYTES:
        raise InputError(
            f"preset {name} would take {needed / 2**30:,.0f} GiB",
            where=f"H = {known[cell.shapes['c'][0][0]]}, I = {known[cell.shapes['x'][0][0]]}",
            hint="use smaller sizes; the limit is 2 GiB",
        )
    arrays = {parameter: np.zeros(shape) for parameter, shape in shapes.items()}
    preset.apply(PresetArrays(cell, arrays, known, seed))
    source = f"preset:{name}" + (f" (seed {seed})" if name == "random" else "")
    return Model.single(LstmWeights(cell, arrays, source), source=source)


def _all_sizes(cell: Cell, sizes: Mapping[str, int]) -> dict[str, int]:
    """Map every atom of the cell's shapes to a number."""
    given = {key: value for key, value in sizes.items() if value}
    output, hidden = given.get("P"), given.get("H")
    wide = hidden or output or given.get("I") or 1
    full = {"H": wide, "P": output or wide, "I": given.get("I") or output or wide}
    roots = {letter: cell.shapes[name][0][0] for letter, name in zip("HPI", "chx", strict=True)}
    atoms = {atom for shape in cell.shapes.values() for size in shape for atom in size}
    known = dict.fromkeys(atoms, wide)
    for letter in ("I", "P", "H"):
        known[roots[letter]] = full[letter]
    return known


def width(array: Array | None) -> int:
    """Size of a vector's last axis, 0 if there is no vector."""
    return 0 if array is None else int(array.shape[-1])


def sizes_of(
    x: Array, h: Array | None, c: Array | None, given: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Infer the sizes I, P, H of a preset from vectors; `given` may add the last two."""
    own = given or {}
    return {
        "I": width(x),
        "P": width(h) or own.get("output_size", 0),
        "H": width(c) or own.get("hidden_size", 0),
    }
