"""Weight files, one file a format: each reads arrays by name, and this registry joins them.

A reader returns what the file holds; which layout that is, names decide, then `--convention`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.cells import LSTM, Cell, cell_named
from lstm_cli.conventions import (
    convention_named,
    detect,
    literature_names,
    parts,
    unpack,
)
from lstm_cli.dimensions import solve_sizes
from lstm_cli.equations import Array
from lstm_cli.errors import InputError, LstmStepError, safe, suggest
from lstm_cli.weights import Direction, Layer, LstmWeights, Model


@dataclass(frozen=True)
class Format:
    """A kind of file: its suffixes, the module that reads it, and a line on what it may hold."""

    name: str
    suffixes: tuple[str, ...]
    module: str
    title: str


FORMATS: tuple[Format, ...] = (
    Format("npz", (".npz",), "npz", "NumPy arrays by name (never pickled objects)"),
    Format("json", (".json",), "json_", "an object of nested lists by name"),
)


def read_arrays(path: Path) -> dict[str, Array]:
    """Return every array of a weight file by name.

    Raises:
        InputError: an unknown format, or what its reader refuses.
    """
    for each in FORMATS:
        if path.suffix.lower() in each.suffixes:
            read: Callable[[Path], dict[str, Array]] = import_module(
                f"lstm_cli.readers.{each.module}"
            ).read
            return read(path)
    known = [suffix for each in FORMATS for suffix in each.suffixes]
    raise InputError(
        f"no reader for '{safe(path.suffix)}' files",
        where=safe(path),
        hint=suggest(path.suffix, known) + "; save with numpy.savez(path, **arrays)",
    )


def read_weights(
    path: str | Path, *, cell: Cell | None = None, convention: str | None = None
) -> Model:
    """Return the model that a weight file holds: all its layers and directions.

    Args:
        path: a file of a format in `FORMATS`.
        cell: the table; None takes the LSTM, with a projection or peepholes where the file has
            their weights.
        convention: the layout's name; None lets the names in the file decide.

    Raises:
        InputError: unreadable, not recognised, a parameter missing.
        ShapeError: shapes that disagree; both sides are named.
    """
    path = Path(path)
    return model_from_arrays(read_arrays(path), source=str(path), cell=cell, convention=convention)


def model_from_arrays(
    arrays: Mapping[str, Array],
    *,
    source: str,
    cell: Cell | None = None,
    convention: str | None = None,
) -> Model:
    """Return the model that named arrays make; arguments and errors as `read_weights`."""
    place = safe(source)
    if cell is not None and convention is None and set(arrays) == set(cell.parameters):
        # The cell's own names: nothing to decide (a user's cell may have any).
        weights = LstmWeights(cell, arrays, source)
        assumed = _single_matrix_assumption(cell)
        return Model.single(weights, source=source, assumptions=assumed)
    named = literature_names(arrays, place)
    row = convention_named(convention) if convention else detect(named, place)
    layers: dict[int, dict[Direction, LstmWeights]] = {}
    assumptions = [row.assumption] if row.assumption and not convention else []
    for (level, direction), tensors in parts(named, row):
        where = place if len(named) == len(tensors) else f"{place}, layer {level} {direction}"
        parameters = unpack(row, tensors, where)
        own = cell or _cell_for(parameters)
        parameters, note = _with_biases(own, parameters, where)
        assumptions += [each for each in note if each not in assumptions]
        layers.setdefault(level, {})[direction] = LstmWeights(own, parameters, where)
    _check_levels(layers, place)
    stack = tuple(Layer(layers[level]) for level in sorted(layers))
    return Model(stack, source=source, convention=row.name, assumptions=tuple(assumptions))


def _single_matrix_assumption(cell: Cell) -> tuple[str, ...]:
    return () if any(name.startswith("U_") for name in cell.parameters) else (
        "W_k are read as joined on [h_prev, x]",
    )  # fmt: skip


def _cell_for(parameters: Mapping[str, Array]) -> Cell:
    """Return the LSTM with the variants whose weights are there."""
    variants = [
        name
        for name, there in (
            ("peephole", any(name.startswith("p_") for name in parameters)),
            ("projection", "W_hr" in parameters),
        )
        if there
    ]
    return cell_named("+".join(variants)) if variants else LSTM


def _with_biases(
    cell: Cell, parameters: dict[str, Array], place: str
) -> tuple[dict[str, Array], list[str]]:
    """Return the parameters with zero biases where the file has none at all, and a word on it."""
    biases = [name for name in cell.parameters if name.startswith("b_")]
    if not biases or any(name in parameters for name in biases):
        return parameters, []
    shapes = {name: dims for name, dims in cell.shapes.items() if name not in biases}
    try:
        sizes = solve_sizes(shapes, parameters, place)
    except (LstmStepError, KeyError):
        return parameters, []  # LstmWeights says it better, with all of the cell at hand
    zeros = {name: np.zeros(sizes[cell.parameters[name][0][0]]) for name in biases}
    return parameters | zeros, ["no biases in the weights: zeros"]


def _check_levels(layers: Mapping[int, Any], place: str) -> None:
    missing = [level for level in range(max(layers)) if level not in layers]
    if missing:
        raise InputError(
            f"layer {missing[0]} is missing; the file has layers {sorted(layers)}",
            where=place,
            hint="layers count from 0 without gaps",
        )
    kinds = {tuple(directions) for directions in layers.values()}
    if len(kinds) > 1:
        raise InputError(
            "some layers have two directions, some one", where=place, hint="give all or none"
        )
