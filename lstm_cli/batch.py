"""Many samples at once: read, grouped by model and length, run together, answered in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli import cells
from lstm_cli.cell_files import read_cell
from lstm_cli.cells import LSTM, Cell
from lstm_cli.engine import Trace, check_trace_size, run, trace_bytes
from lstm_cli.equations import Array
from lstm_cli.errors import InputError, LstmStepError, ShapeError, safe, suggest
from lstm_cli.presets import preset_model, sizes_of, width
from lstm_cli.readers import model_from_arrays, read_weights
from lstm_cli.readers.json_ import arrays_from
from lstm_cli.samples import BadSample, Read, Sample
from lstm_cli.vectors import repeat_or_cut
from lstm_cli.weights import Model
from lstm_cli.writers import plain_list, step_record

SCHEMA = "lstm-step/1"
DEFAULT_ATOL = 1e-6
CHUNK = 512
# Samples run together share a trace of at most this size, unless one alone is larger.
MAX_GROUP_BYTES = 2**28
MAX_MODELS = 64


@dataclass(frozen=True)
class Settings:
    """What holds for samples that do not say otherwise.

    Attributes:
        model: the weights of samples that name none; None is the preset identity.
        weights: the file of `model`, read again for samples that name another cell or convention.
        layer: which LSTM of a weight file, where it has several.
        cell: of samples that name none; None lets the weights decide.
        edit: a last edit of every table (a forget bias, a clip).
        convention: of samples that name none; "" lets the weights decide.
        steps: as `--steps`, 0 for all of x.
        atol: the tolerance of samples without one.
        force_atol: whether `atol` overrides the samples' own.
        dtype: "float64" or "float32".
        trace: whether records carry every step.
        check: whether expected numbers are compared.
    """

    model: Model | None = None
    weights: str = ""
    layer: str = ""
    cell: Cell | None = None
    edit: Callable[[Cell], Cell] = field(default=lambda cell: cell)
    convention: str = ""
    steps: int = 0
    atol: float = DEFAULT_ATOL
    force_atol: bool = False
    dtype: str = "float64"
    trace: bool = False
    check: bool = True


@dataclass
class Tally:
    """How a batch went, counted while its records pass."""

    samples: int = 0
    failed: int = 0
    matched: int = 0
    mismatched: int = 0

    def count(self, record: dict[str, Any]) -> dict[str, Any]:
        """Count a record and hand it on."""
        self.samples += 1
        check = record.get("check")
        if not record["ok"]:
            self.failed += 1
        elif check and check["matched"]:
            self.matched += 1
        elif check:
            self.mismatched += 1
        return record


def evaluate_samples(samples: Iterable[Read], settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield one record a sample, in their order.

    A record is `{"schema", "id", "ok": true, "h", "c", "check"}`, with `steps` where traces are
    asked for, or `{"schema", "id", "ok": false, "error": {"code", "message", "where", "try"}}`.
    """
    models = _Models(settings)
    source = iter(samples)
    while chunk := list(islice(source, CHUNK)):
        records: dict[int, dict[str, Any]] = {}
        for (model, *_), positions in _groups(chunk, models, records).items():
            each = models.per_run(model, chunk[positions[0]])
            for start in range(0, len(positions), each):
                together = positions[start : start + each]
                _run_group(model, together, chunk, models, settings, records)
        yield from (records[position] for position in range(len(chunk)))


def sample_trace(sample: Sample, settings: Settings) -> Trace:
    """Return the run of one sample; errors as those of a record."""
    models = _Models(settings)
    model, x = models.of(sample), models.steps(sample)
    states = (_stacked([getattr(sample, state)], model) for state in "hc")
    h, c = (None if state is None else state[..., 0, :] for state in states)
    try:
        return run(model, x, h, c, dtype=settings.dtype)
    except LstmStepError as error:
        raise type(error)(
            error.what.replace("--", ""), where=sample.place, hint=error.hint
        ) from None


def _groups(
    chunk: list[Read], models: _Models, records: dict[int, dict[str, Any]]
) -> dict[tuple[Any, ...], list[int]]:
    """Return positions of samples that can be run as one array; failures go to `records`."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for position, sample in enumerate(chunk):
        try:
            if isinstance(sample, BadSample):
                raise sample.error
            key = (
                models.of(sample),
                models.steps(sample).shape,
                *(None if s is None else s.shape for s in (sample.h, sample.c)),
            )
            groups.setdefault(key, []).append(position)
        except LstmStepError as error:
            records[position] = _failure(sample.id, error)
    return groups


def _run_group(
    model: Model,
    positions: list[int],
    chunk: list[Read],
    models: _Models,
    settings: Settings,
    records: dict[int, dict[str, Any]],
) -> None:
    samples = [each for each in (chunk[p] for p in positions) if isinstance(each, Sample)]
    try:
        check_trace_size(model, (len(models.steps(samples[0])),))
        trace = run(
            model,
            np.stack([models.steps(sample) for sample in samples]),
            *(_stacked([getattr(sample, state) for sample in samples], model) for state in "hc"),
            dtype=settings.dtype,
        )
    except MemoryError:
        too_large = InputError("not enough memory", where="", hint="run fewer steps at a time")
        for position, sample in zip(positions, samples, strict=True):
            records[position] = _failure(sample.id, too_large.within(sample.place))
        return
    except LstmStepError as error:
        for position, sample in zip(positions, samples, strict=True):
            placed = type(error)(error.what.replace("--", ""), where=sample.place, hint=error.hint)
            records[position] = _failure(sample.id, placed)
        return
    for index, (position, sample) in enumerate(zip(positions, samples, strict=True)):
        try:
            records[position] = _record(sample, trace, index, settings)
        except LstmStepError as error:
            records[position] = _failure(sample.id, error)


def _stacked(states: list[Array | None], model: Model) -> Array | None:
    """Return states `(N, L·D, n)` as the engine takes them: `(L·D, N, n)`, or `(N, n)` for one."""
    if states[0] is None:
        return None
    stacked = np.stack([each for each in states if each is not None], axis=1)
    return stacked[0] if len(model.runs) == 1 and len(stacked) == 1 else stacked


def _failure(name: str, error: LstmStepError) -> dict[str, Any]:
    return {"schema": SCHEMA, "id": name, "ok": False, "error": error.as_record()}


def _record(sample: Sample, trace: Trace, index: int, settings: Settings) -> dict[str, Any]:
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "id": sample.id,
        "ok": True,
        "h": plain_list(trace.h[index], trace.dtype),
        "c": plain_list(trace.c[index], trace.dtype),
    }
    if settings.check:
        record["check"] = _check(sample, trace, index, settings) if sample.expected else None
    if settings.trace:
        record["steps"] = [
            step_record(each.layer, each.direction, t, values, trace.dtype, index)
            for each, t, values in trace.each_step()
        ]
    return record


def _check(sample: Sample, trace: Trace, index: int, settings: Settings) -> dict[str, Any]:
    """Return how far the sample's expected numbers are from ours, and where most."""
    atol = settings.atol if settings.force_atol or sample.atol is None else sample.atol
    worst: dict[str, Any] = {}
    largest = -1.0
    for symbol, expected in sample.expected.items():
        got, first = _comparable(symbol, expected, trace, index, sample.place)
        difference = np.abs(got - expected)
        difference[~np.isfinite(difference)] = np.inf
        row, unit = np.unravel_index(int(np.argmax(difference)), difference.shape)
        if difference[row, unit] > largest:
            largest = float(difference[row, unit])
            worst = {
                "symbol": symbol,
                "t": first + int(row),
                "unit": int(unit),
                "got": plain_list(got[row, unit]),
                "expected": plain_list(
                    expected[row, unit] if expected.ndim > 1 else expected[unit]
                ),
            }
    return {
        "matched": largest <= atol,
        "max_abs_diff": plain_list(np.asarray(largest)),
        "tolerance": atol,
        "worst": worst,
    }


def _comparable(
    symbol: str, expected: Array, trace: Trace, index: int, place: str
) -> tuple[Array, int]:
    """Return our numbers `(rows, n)` for an expected symbol, and the t of their first row."""
    if symbol in ("h", "c") and expected.ndim == 1:
        final = trace.h if symbol == "h" else trace.c
        got, first = final[index][None, :], trace.steps
    else:
        known = ["output", *trace.last_layer[0].values]
        if symbol not in known:
            raise InputError(
                f"expected has '{safe(symbol)}', which the cell does not compute",
                where=place,
                hint=suggest(symbol, known),
            )
        every = trace.output if symbol == "output" else trace[symbol]
        got = every[index] if expected.ndim == 2 else every[index][-1:]
        first = 1 if expected.ndim == 2 else trace.steps
    if got.shape != np.atleast_2d(expected).shape:
        raise ShapeError(
            f"expected {safe(symbol)} has shape {expected.shape}, the run gives "
            f"{got.shape if expected.ndim == 2 else got.shape[1:]}",
            where=place,
            hint="give (n,) for the last step or (T, n) for all of them",
        )
    return got, first


class _Models:
    """The models of a batch, each built once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.built: dict[str, Model] = {}

    def steps(self, sample: Sample) -> Array:
        """Return the sample's x after `steps` has repeated or cut it."""
        return repeat_or_cut(sample.x, sample.steps or self.settings.steps, sample.place)

    def of(self, sample: Sample) -> Model:
        """Return the sample's model.

        Raises:
            LstmStepError: its weights, cell or convention are refused.
        """
        settings = self.settings
        own = (
            sample.weights is not None or sample.cell or sample.convention
            or sample.settings != cells.Settings()
        )  # fmt: skip
        if settings.model is not None and not own:
            return settings.model
        description = [sample.weights, sample.cell, sample.convention, str(sample.folder),
                       astuple(sample.settings)]  # fmt: skip
        if sample.weights is None or isinstance(sample.weights, dict):
            description.append([width(each) for each in (sample.x, sample.h, sample.c)])
        key = json.dumps(description)
        if key not in self.built:
            if len(self.built) >= MAX_MODELS:
                self.built.pop(next(iter(self.built)))
            try:
                self.built[key] = self._build(sample)
            except LstmStepError as error:
                raise error.within(sample.place) from None
            except MemoryError:
                raise InputError(
                    "not enough memory for the weights", where=sample.place, hint="smaller sizes"
                ) from None
        return self.built[key]

    def per_run(self, model: Model, sample: Read) -> int:
        """Return how many samples such as this one are run together."""
        assert isinstance(sample, Sample)
        size = trace_bytes(model, (len(self.steps(sample)),))
        return max(1, min(CHUNK, MAX_GROUP_BYTES // size))

    def _build(self, sample: Sample) -> Model:
        cell = _sample_cell(sample) or self.settings.cell
        convention = sample.convention or self.settings.convention or None
        layer = self.settings.layer

        def edit(cell: Cell) -> Cell:
            return sample.settings.edit(self.settings.edit(cell))

        match sample.weights:
            case str() as path:
                place = sample.folder / path
                _check_regular(place)
                return read_weights(place, layer=layer, cell=cell, convention=convention, edit=edit)
            case {"preset": str() as name, **rest}:
                return preset_model(
                    name,
                    edit(cell or LSTM),
                    sizes=sizes_of(sample.x, sample.h, sample.c, _whole_numbers(rest)),
                    seed=_whole_numbers(rest).get("seed", 0),
                )
            case None if self.settings.weights:
                return read_weights(
                    self.settings.weights, layer=layer, cell=cell, convention=convention, edit=edit
                )
            case None:
                sizes = sizes_of(sample.x, sample.h, sample.c)
                return preset_model("identity", edit(cell or LSTM), sizes=sizes)
            case dict() as document:
                arrays = arrays_from(document, "weights")
                return model_from_arrays(
                    arrays, source="inline", cell=cell, convention=convention, edit=edit
                )
        raise InputError(
            "'weights' is neither a path, a preset nor arrays",
            hint='"weights": "file.npz", {"preset": "identity"} or {"W_f": […], …}',
        )


def _check_regular(path: Path) -> None:
    """Refuse a device or FIFO: waiting for one would stop all other samples."""
    try:
        irregular = path.exists() and not path.is_file() and not path.is_dir()
    except (OSError, ValueError):
        return  # whoever opens it says why not
    if irregular:
        raise InputError("not a regular file", where=safe(path), hint="name a weight file")


def _sample_cell(sample: Sample) -> Cell | None:
    if not sample.cell:
        return None
    own_file = sample.cell.lower().endswith(".toml")
    return read_cell(str(sample.folder / sample.cell) if own_file else sample.cell)


def _whole_numbers(options: Mapping[Any, Any]) -> dict[str, int]:
    """Return the options of an inline preset, each of which is a whole number."""
    for key, value in options.items():
        if key not in ("seed", "hidden_size", "output_size"):
            raise InputError(
                f"a preset has no '{safe(key)}'", hint="seed, hidden_size or output_size"
            )
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise InputError(f"'{key}' is not a whole number", hint=f'"{key}": 5')
    return dict(options)
