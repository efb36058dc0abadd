"""Parquet: samples as rows, vectors as list columns; read a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError, imported, safe
from lstm_cli.samples.chunks import Columns, Origin, column_members
from lstm_cli.samples.sample import check_keys


def parquet_chunks(path: Path, origin: Origin, size: int) -> Iterator[Columns]:
    """Yield chunks of a file's rows.

    Columns: as the members of a sample: `x` a list of numbers or a list of lists, `h`, `c`,
    `expected` a struct, or `expected.h` … lists, `id`, `weights` …; others are the user's own.

    Raises:
        InputError: pyarrow is missing; the file is not Parquet, or damaged from here on.
        ShapeError: a column is there twice.
    """
    place = safe(path)
    what = "Parquet files need the pyarrow package"
    parquet = imported("pyarrow.parquet", what, "parquet", place)
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_names(names, place)
            first = 1
            for batch in file.iter_batches(batch_size=size):
                columns = {n: column_values(batch.column(i)) for i, n in enumerate(names)}
                yield Columns(origin, range(first, first + len(batch)), columns)
                first += len(batch)
    except (OSError, ValueError, TypeError, NotImplementedError, ArithmeticError) as error:
        raise InputError(
            f"not a readable Parquet file: {safe(error)}"[:200],
            where=place,
            hint="write it with pandas.DataFrame.to_parquet or pyarrow.parquet.write_table",
        ) from None


def column_values(column: Any) -> list[Any] | Array:
    """Values of a column: floats of one shape as an array, which needs no object for each."""
    inner, shape = column, [len(column)]
    while _is_list(inner.type) and not inner.null_count and len(inner):
        lengths = np.asarray(inner.value_lengths())
        if (lengths != lengths[0]).any():
            break
        shape.append(int(lengths[0]))
        inner = inner.flatten()
    numbers = str(inner.type) in ("float", "double") and not inner.null_count
    if len(shape) == 1 or not numbers:
        return list(column.to_pylist())
    return np.asarray(inner.to_numpy()).reshape(shape)


def _is_list(kind: Any) -> bool:
    types = import_module("pyarrow").types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _check_names(names: list[str], place: str) -> None:
    twice = next((each for i, each in enumerate(names) if each in names[:i]), None)
    if twice is not None:
        raise ShapeError(f"column '{safe(twice)}' is there twice", where=place, hint="keep one")
    check_keys(column_members(names), place, "column")
