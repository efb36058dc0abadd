"""Samples to write, in short, distinct numbers: with the named weights, or with new ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.cell.traits import Traits, traits_of
from lstm_cli.cell.weights import Model
from lstm_cli.commands.vet.show import Json
from lstm_cli.commands.vet.trials import Subject
from lstm_cli.files.output import json_text
from lstm_cli.formats.contents import Variant
from lstm_cli.formats.conventions import CONVENTIONS, Convention
from lstm_cli.formats.layouts import named_tensors, pack
from lstm_cli.formats.read import file_traits
from lstm_cli.samples.settings import SampleSettings

# At most this many numbers are written into a sample; more belong in a weight file.
MOST_NUMBERS = 200_000
# Numbers below this fraction of the scale would hide what they are multiplied by.
LEAST = 0.05
# Candidates per number drawn; with fewer, draws would be much alike.
SPARE = 1.2


def short_numbers(
    rng: np.random.Generator, count: int, scale: float = 1.0, taken: Array | None = None
) -> Array:
    """Draw numbers `(count,)` within ±scale, distinct in magnitude, with the fewest decimals.

    Args:
        rng: the generator.
        count: how many; larger counts need more decimals, of which there are at least 2.
        scale: the largest magnitude.
        taken: numbers whose magnitudes must not occur again.
    """
    decimals = 2
    while len(_sizes(scale, decimals, taken)) < SPARE * count:
        decimals += 1
    sizes = rng.choice(_sizes(scale, decimals, taken), count, replace=False)
    signs = rng.choice([-1.0, 1.0], count)
    return np.asarray(np.round(signs * sizes / 10**decimals, decimals))


def _sizes(scale: float, decimals: int, taken: Array | None) -> Array:
    """Return the available magnitudes, in units of the last decimal."""
    unit = 10**decimals
    every = np.arange(max(1, int(LEAST * scale * unit)), int(scale * unit) + 1)
    return every if taken is None else np.setdiff1d(every, np.round(np.abs(taken) * unit))


def cut(numbers: Array, *shapes: tuple[int, ...]) -> list[Array]:
    """Split numbers, in order, into one array per shape."""
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
    parts = np.split(numbers, ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def own_documents(subject: Subject, settings: SampleSettings, target: Path) -> Iterator[Json]:
    """Yield the keys for a sample's own weights and cell: first as given, then in full.

    The first may lack what the command line specified.
    """
    sample = subject.sample
    weights = _named_weights(subject, settings, target)
    if weights is None:
        return
    told = _own_keys(subject, target)
    yield {"weights": weights, **told}
    convention = sample.convention or settings.convention
    yield {"weights": weights, **_keys(convention), **told}
    row = CONVENTIONS.get(subject.model.convention or "")
    for named in (subject.model.convention or "", ""):
        yield {"weights": weights, **_keys(named), **_trait_keys(subject.model, row)}


def _named_weights(subject: Subject, settings: SampleSettings, target: Path) -> Any:
    """Return a sample's `weights`, paths relative to the new file's folder."""
    weights = subject.sample.weights
    if isinstance(weights, str):
        return _from(target, subject.sample.folder / weights)
    if weights is None and settings.weights:
        return _from(target, Path(settings.weights))
    return {"preset": "identity"} if weights is None else weights


def _from(target: Path, path: Path) -> str:
    """Return a path relative to the folder of a file."""
    return os.path.relpath(path.absolute(), target.absolute().parent)


def _keys(convention: str) -> Json:
    return {"convention": convention} if convention else {}


def _own_keys(subject: Subject, target: Path) -> Json:
    """Keys with which the sample itself describes its cell."""
    sample, keys = subject.sample, Json()
    if sample.convention:
        keys["convention"] = sample.convention
    if sample.cell:
        own_file = sample.cell.lower().endswith(".toml")
        keys["cell"] = _from(target, sample.folder / sample.cell) if own_file else sample.cell
    for name in ("forget_bias", "clip", "cell_clip"):
        if getattr(sample.settings, name) is not None:
            keys[name] = getattr(sample.settings, name)
    if sample.settings.activations:
        keys["activations"] = sample.settings.activations
    return keys


def _trait_keys(model: Model, row: Convention | None) -> Json:
    """Keys that a sample needs for its cell beyond the assumptions of the layout's reader."""
    own = traits_of(model.cell)
    if own is None:
        return {}
    if row is None:
        base = Traits()
        named = [own.coupled, "peephole" * own.peephole, "projection" * own.projection]
        keys: Json = {"cell": "+".join(name for name in named if name) or "lstm"}
    else:
        base, keys = file_traits(row, Variant(), model.first.arrays), {}
    if own.activations != base.activations:
        keys["activations"] = ",".join(own.activations)
    if own.forget_bias != base.forget_bias:
        keys["forget_bias"] = own.forget_bias - base.forget_bias
    for name in ("clip", "cell_clip"):
        if getattr(own, name) != getattr(base, name):
            keys[name] = getattr(own, name)
    return keys


def fresh_documents(subject: Subject, target: Path, seeds: Iterable[int]) -> Iterator[Json]:
    """Yield documents with new weights in a sample's layout, or one that can hold them.

    Raises:
        InputError: there are too many numbers for a sample.
    """
    told = _own_keys(subject, target)
    own = CONVENTIONS.get(subject.model.convention or "")
    rows = [own, CONVENTIONS["split"]] if own is not None else [None]
    for seed in seeds:
        for row in rows:
            tensors = _tensors(subject.model, row)
            if tensors is None:
                continue
            named = _keys(row.name if row is not None else "")
            weights = _filled(tensors, subject, seed)
            yield {"weights": weights, **told, **named}
            yield {"weights": weights, **named, **_trait_keys(subject.model, row)}


def _tensors(model: Model, row: Convention | None) -> dict[str, tuple[int, ...]] | None:
    """Map the names of a model's weights in a layout to shapes; None if it cannot hold them."""
    if row is None:
        return {name: array.shape for name, array in model.first.arrays.items()}
    try:
        packed = {(level, direction): pack(row, weights.arrays)
                  for level, direction, weights in model.runs}  # fmt: skip
    except InputError:
        return None
    return {name: array.shape for name, array in named_tensors(row, packed).items()}


def _filled(tensors: Mapping[str, tuple[int, ...]], subject: Subject, seed: int) -> Json:
    """Fill tensors with short, distinct numbers, smaller if more of them are summed."""
    count = sum(int(np.prod(shape)) for shape in tensors.values())
    if count > MOST_NUMBERS:
        raise InputError(
            f"new weights would take {count:,} numbers", where=safe(subject.sample.place),
            hint=f"at most {MOST_NUMBERS:,}: vet a smaller model of the same cell",
        )  # fmt: skip
    joined = subject.model.first.input_size + subject.model.first.output_size
    scale = min(1.0, round(4.0 / float(np.sqrt(joined)), 1))
    numbers = short_numbers(np.random.default_rng(seed), count, scale)
    arrays: list[Array] = cut(numbers, *tensors.values())
    return {name: array.tolist() for name, array in zip(tensors, arrays, strict=True)}


def document_text(documents: Iterable[Json], target: Path) -> Iterator[str]:
    """Yield samples as JSON, with one matrix per line, or JSONL, with one sample per line."""
    listed = list(documents)
    if target.suffix.lower() in (".jsonl", ".ndjson"):
        yield from (json_text(each) + "\n" for each in listed)
        return
    texts = [_readable(each) for each in listed]
    yield (texts[0] if len(texts) == 1 else "[\n" + ",\n".join(texts) + "\n]") + "\n"


def _readable(document: Mapping[str, Any]) -> str:
    lines = []
    for key, value in document.items():
        if isinstance(value, dict) and key in ("weights", "expected"):
            inner = [f"  {json_text(name)}: {json_text(each)}" for name, each in value.items()]
            text = "{\n" + ",\n".join(inner) + "\n }"
        else:
            text = json_text(value)
        lines.append(f" {json_text(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}"
