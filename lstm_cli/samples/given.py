"""Samples and settings as Python gives them: files, dicts, arrays, a model at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from lstm_cli.base.arrays import to_numpy
from lstm_cli.base.errors import ArgumentError, LstmStepError, kind_of, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.weights import Model
from lstm_cli.engine.run import float_type
from lstm_cli.formats.read import read_weights
from lstm_cli.samples import BadSample, Read, Sample, find_files, read_sample, read_samples
from lstm_cli.samples.settings import SampleSettings

# A file, folder or glob; a sample as a dict, with lists or arrays of any library; or several.
GivenSamples: TypeAlias = (
    str | PathLike[str] | Mapping[str, Any] | Read | Iterable["str | Mapping[str, Any] | Read"]
)


def samples_of(given: GivenSamples) -> Iterator[Read]:
    """Yield samples; one that cannot be read is a `BadSample`, as is a file.

    Raises:
        ArgumentError: what is no sample.
    """
    if isinstance(given, str | PathLike | Mapping | Sample | BadSample):
        yield from _samples(given, "sample")
    elif isinstance(given, Iterable):
        for number, each in enumerate(given, 1):
            yield from _samples(each, f"sample {number}")
    else:
        raise _no_sample(given, "samples")


def _samples(given: Any, name: str) -> Iterator[Read]:
    match given:
        case Sample() | BadSample():
            yield given
        case Mapping():
            yield read_sample(_as_json(given, name), name, Path(), name)
        case str() | PathLike():
            for file in find_files([str(given)]):
                try:
                    yield from read_samples(file)
                except LstmStepError as error:
                    yield BadSample(Foreign.of(file), error)
        case _:
            raise _no_sample(given, name)


def _as_json(value: Any, place: str) -> Any:
    """Return a member of a sample as JSON would have it: arrays as lists.

    Raises:
        ArgumentError: what JSON has no form for.
    """
    if isinstance(value, Mapping):
        return {str(key): _as_json(each, f"{place}, {key}") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(each, place) for each in value]
    if hasattr(value, "__array__") or hasattr(value, "detach"):
        return to_numpy(value).tolist()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, PathLike):
        return str(value)
    raise _no_sample(value, place)


def _no_sample(given: object, place: str) -> ArgumentError:
    hint = 'a sample is {"x": [[0.5, 1]], "expected": {"h": […]}}, or a file of samples'
    if isinstance(given, Model):
        hint = "give a model for all samples: weights=model"
    return ArgumentError(f"{kind_of(given)} in place of a sample's data", where=safe(place),
                         hint=hint)  # fmt: skip


def settings_of(
    weights: Model | str | PathLike[str] | None, cell: Cell | None, convention: str, **others: Any
) -> SampleSettings:
    """Settings of samples that do not say otherwise.

    Args:
        weights: of samples that name none: a model, or a file's name.
        cell: of samples that name none.
        convention: of samples that name none.
        others: as SampleSettings has them.

    Raises:
        LstmStepError: as `read_weights`.
    """
    if "dtype" in others:
        others["dtype"] = float_type(others["dtype"]).name
    if weights is None or isinstance(weights, Model):
        return SampleSettings(model=weights, cell=cell, convention=convention, **others)
    model = read_weights(weights, cell=cell, convention=convention or None)
    return SampleSettings(
        model=model, weights=str(weights), cell=cell, convention=convention, **others
    )
