"""Settings of a whole batch, and the tally of how it went."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from lstm_cli.base.arrays import to_numpy
from lstm_cli.base.errors import ArgumentError, LstmStepError, kind_of, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.base.version import __version__
from lstm_cli.cell.cells import Cell, Settings
from lstm_cli.cell.weights import Merge, Model
from lstm_cli.engine.run import float_type
from lstm_cli.formats.read import read_weights
from lstm_cli.samples import BadSample, Read, Sample, find_files, read_sample, read_samples
from lstm_cli.samples.columns import InputForm

SCHEMA = "lstm-step/1"
# Raised when samples get other answers than before: a batch begun by older code starts over.
ANSWERS = 4
# At most so many keys and assumptions are counted, by their first letters.
MOST_TEXTS, MOST_LETTERS, MOST_OF_A_KEY = 100, 1000, 200


@dataclass(frozen=True)
class SampleSettings:
    """Settings for samples that do not say otherwise.

    Attributes:
        model: the weights of samples that name none; None is the preset identity.
        weights: the file of `model`, read again for samples that name another cell or convention.
        cell: of samples that name none; None lets the weights decide.
        adjusted: what is added to every cell (a forget bias, a clip), but for what a sample says.
        convention: of samples that name none; "" lets the weights decide.
        merge: how two directions make the output; None leaves it to the weights.
        steps: as `--steps`, 0 for all of x.
        calls: as `--calls`, "" for a single one.
        atol: a tolerance in place of the samples' own; None where there is none.
        dtype: "float64" or "float32".
        engine: what computes runs, as `engine.run` takes it.
        trace: whether records carry every step.
        check: whether expected numbers are compared.
        reading: how files of samples are read.
        root: what paths are relative to, where that is not this process's folder.
        confined: whether samples may name files in their own folder only.
    """

    model: Model | None = None
    weights: str = ""
    lstm: str = ""
    external: bool = False
    cell: Cell | None = None
    adjusted: Settings = field(default_factory=Settings)
    convention: str = ""
    merge: Merge | None = None
    steps: int = 0
    calls: str = ""
    atol: float | None = None
    dtype: str = "float64"
    engine: str = "auto"
    trace: bool = False
    check: bool = True
    reading: InputForm = field(default_factory=InputForm)
    root: str = ""
    confined: bool = False

    def digest(self) -> bytes:
        """Digest of all settings that answers depend on, as 16 bytes.

        Weights count by their numbers, cells by their rows.
        """
        digest = hashlib.blake2b(f"{__version__} {ANSWERS}".encode(), digest_size=16)
        for each in fields(self):
            if each.name not in ("model", "cell", "root", "external", "reading"):
                digest.update(repr((each.name, getattr(self, each.name))).encode())
        digest.update(repr(self.cell and self.cell.equations).encode())
        if self.reading != InputForm():
            digest.update(repr(self.reading).encode())
        if self.model is not None:
            digest.update(repr((self.model.assumptions, self.model.mask)).encode())
            for level, direction, weights in self.model.runs:
                digest.update(repr((level, direction, weights.cell.equations)).encode())
                for name, array in weights.arrays.items():
                    digest.update(repr((name, array.shape)).encode())
                    digest.update(array.tobytes())
        return digest.digest()


# Members of a tally that count texts.
COUNTED_TEXTS = ("assumed", "handed_on", "warned")


@dataclass
class Tally:
    """How a batch went, counted while its answers pass.

    Attributes:
        assumed: what samples that were run left open -> how many did.
        handed_on: the users' own keys of those -> how many had them.
        warned: where those left the finite range first -> how many did.
    """

    samples: int = 0
    failed: int = 0
    matched: int = 0
    mismatched: int = 0
    assumed: Mapping[str, int] = field(default_factory=dict)
    handed_on: Mapping[str, int] = field(default_factory=dict)
    warned: Mapping[str, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.samples += other.samples
        self.failed += other.failed
        self.matched += other.matched
        self.mismatched += other.mismatched
        self.assumed = _together(self.assumed, other.assumed)
        self.handed_on = _together(self.handed_on, other.handed_on)
        self.warned = _together(self.warned, other.warned)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Tally:
        """Read a tally from its JSON object; what is none raises what Python raises."""
        samples, failed, matched, mismatched = (
            int(record[each]) for each in ("samples", "failed", "matched", "mismatched")
        )
        texts = (
            {str(text): int(count) for text, count in record.get(each, {}).items()}
            for each in COUNTED_TEXTS
        )
        return cls(samples, failed, matched, mismatched, *texts)


def _together(some: Mapping[str, int], more: Mapping[str, int]) -> Mapping[str, int]:
    """Add up counts, of the first texts only, so that no user's keys fill memory.

    Whatever is left out of a part is left out of the whole, too: the order of adding is the same.
    """
    if not more:
        return some
    found = Counter(some)
    for text, count in more.items():
        found[text[:MOST_LETTERS]] += count
    return dict(found) if len(found) <= MOST_TEXTS else {
        text: found[text] for text in sorted(found)[:MOST_TEXTS]
    }  # fmt: skip


# A file, folder or glob; a sample as a dict, with lists or any library's arrays; or several.
GivenSamples: TypeAlias = (
    str | PathLike[str] | Mapping[str, Any] | Read | Iterable["str | Mapping[str, Any] | Read"]
)


def samples_of(given: GivenSamples) -> Iterator[Read]:
    """Yield samples; a sample or file that cannot be read becomes a `BadSample`.

    Raises:
        ArgumentError: an argument is not a sample.
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
    """Convert a member of a sample to its JSON form: arrays become lists.

    Raises:
        ArgumentError: a value has no JSON form.
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
        hint = "pass a model for all samples as weights=model"
    return ArgumentError(f"{kind_of(given)} instead of a sample's data", where=safe(place),
                         hint=hint)  # fmt: skip


def settings_of(
    weights: Model | str | PathLike[str] | None, cell: Cell | None, convention: str, **others: Any
) -> SampleSettings:
    """Make the settings for samples without settings of their own.

    Args:
        weights: a model or a file name, for samples that name no weights.
        cell: for samples that name no cell.
        convention: for samples that name no convention.
        others: as for SampleSettings.

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
