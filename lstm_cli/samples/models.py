"""The models of a batch, built once each from a sample's weights, cell and convention."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Any

from lstm_cli.base.errors import InputError, LstmStepError, safe
from lstm_cli.cell import cells
from lstm_cli.cell.cells import LSTM, Cell
from lstm_cli.cell.presets import NO_WEIGHTS, preset_model, sizes_of, width
from lstm_cli.cell.weights import Model
from lstm_cli.engine.run import STATES, Trace, run
from lstm_cli.files.cell_files import read_cell
from lstm_cli.files.remote import at_hand, beside, is_remote, place_of
from lstm_cli.files.safe import Digests
from lstm_cli.files.vectors import repeat_or_cut
from lstm_cli.formats.json import arrays_from
from lstm_cli.formats.read import model_from_arrays, read_weights
from lstm_cli.samples import Sample
from lstm_cli.samples.sample import RESULTS, shape_of_own
from lstm_cli.samples.settings import SampleSettings

MAX_MODELS = 64


class Models:
    """The models of a batch, each built once.

    Attributes:
        built: each with the files that it was read from.
        used: the files of the models asked for since this was emptied, and of those that could not
            be built: path -> digest.
    """

    def __init__(self, settings: SampleSettings) -> None:
        self.settings = settings
        self.built: dict[str, tuple[Model, dict[str, str]]] = {}
        self.used: dict[str, str] = {}
        self.digests = Digests(settings.root)

    def of(self, sample: Sample) -> Model:
        """The sample's model.

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
        files = self._files(sample)
        self.used |= files
        model, read_from = self.built.get(key, (None, None))
        if model is None or read_from != files:
            if len(self.built) >= MAX_MODELS:
                self.built.pop(next(iter(self.built)))
            try:
                model = self._build(sample)
                model = replace(model, merge=self.settings.merge or model.merge)
            except MemoryError:
                hint = "smaller sizes"
                raise InputError("not enough memory for the weights", hint=hint) from None
            self.built[key] = model, files
        return model

    def _files(self, sample: Sample) -> dict[str, str]:
        """Digests of the files that a sample names, those that exist.

        Taken before they are read: a file that changes in between has another digest later.
        """
        names = [sample.cell] if _names_file(sample.cell) else []
        names += [sample.weights] if isinstance(sample.weights, str) else []
        paths = [str(self._named(sample, name)) for name in names]
        digests = {path: self.digests.of(path) for path in paths}
        return {path: digest for path, digest in digests.items() if digest}

    def _build(self, sample: Sample) -> Model:
        cell = self._cell(sample) or self.settings.cell
        convention = sample.convention or self.settings.convention or None

        edit = sample.settings.over(self.settings.adjusted).edit
        given: dict[str, Any] = {"cell": cell, "convention": convention, "edit": edit}
        named = {**given, "lstm": self.settings.lstm}
        match sample.weights:
            case str() as path:
                with self._at_hand(self._named(sample, path)) as place:
                    return read_weights(place, **named)
            case {"preset": str() as name, **rest}:
                options = _whole_numbers(rest)
                sizes = sizes_of(sample.x, sample.h, sample.c, options)
                seed = options.get("seed", 0)
                return preset_model(name, edit(cell or LSTM), sizes=sizes, seed=seed)
            case None if self.settings.weights:
                with self._at_hand(place_of(self.settings.weights)) as place:
                    return read_weights(place, external=self.settings.external, **named)
            case None if self.settings.model is not None:
                raise InputError(
                    "the sample has a cell, a convention or an edit of its own, and the weights "
                    "for all are a model", hint="give the sample's own weights, or a file for all",
                )  # fmt: skip
            case None:
                sizes = sizes_of(sample.x, sample.h, sample.c)
                model = preset_model("identity", edit(cell or LSTM), sizes=sizes)
                return replace(model, assumptions=(NO_WEIGHTS,))
            case dict() as document:
                return model_from_arrays(arrays_from(document, "weights"), source="inline", **given)
        hint = '"weights": "file.npz", {"preset": "identity"} or {"W_f": […], …}'
        raise InputError("'weights' is neither a path, a preset nor arrays", hint=hint)

    def _cell(self, sample: Sample) -> Cell | None:
        if not _names_file(sample.cell):
            return read_cell(sample.cell) if sample.cell else None
        with self._at_hand(self._named(sample, sample.cell)) as place:
            return read_cell(str(place))

    def _named(self, sample: Sample, name: str) -> Path:
        """Return the file that a sample names.

        Raises:
            InputError: it is outside the sample's folder, also by a link, and must not be.
        """
        path, root = beside(sample.folder, name), self.settings.root
        if self.settings.confined:
            folder, real = (place_of(str(p), root).resolve() for p in (sample.folder, path))
            if not real.is_relative_to(folder):
                raise InputError(
                    f"'{safe(name)}' is outside the sample's folder",
                    hint="name a file in its folder or below, or leave out --confined",
                )  # fmt: skip
        return path

    @contextlib.contextmanager
    def _at_hand(self, shown: Path) -> Iterator[Path]:
        """Make a file that a sample or the batch names one that readers can open."""
        place = place_of(str(shown), self.settings.root)
        _check_regular(place)
        with at_hand(place, shown) as near:
            yield near


def _check_regular(path: Path) -> None:
    """Refuse a device or FIFO: waiting for one would stop all other samples."""
    if is_remote(path):
        return  # remote files are never devices
    try:
        irregular = path.exists() and not path.is_file() and not path.is_dir()
    except (OSError, ValueError):
        return  # opening it says why
    if irregular:
        raise InputError("not a regular file", where=safe(path), hint="name a weight file")


def _names_file(cell: str) -> bool:
    return cell.lower().endswith(".toml")


def _whole_numbers(options: Mapping[Any, Any]) -> dict[str, int]:
    """Check that the options of an inline preset are whole numbers."""
    for key, value in options.items():
        if key not in ("seed", "hidden_size", "output_size"):
            what = f"a preset has no '{safe(key)}'"
            raise InputError(what, hint="seed, hidden_size or output_size")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise InputError(f"'{key}' is not a whole number", hint=f'"{key}": 5')
    return dict(options)


def check_own(sample: Sample, model: Model) -> None:
    """Refuse a member of the user's own that has the size of something which is not given.

    Raises:
        InputError: with what it may be.
    """
    widths = {model.layers[-1].output_size, model.first.output_size}
    for key, value in sample.extra.items():
        shape = shape_of_own(value)
        meant = _state_like(shape, sample, model) if shape else ""
        if shape and not sample.expected and RESULTS.fullmatch(key) and shape[-1] in widths:
            meant = meant or "what should come out, 'expected'"
        if shape and meant:
            hint = 'call it "h", "c" or "expected": {"h": …}; what is your own goes under "note"'
            what = f"'{safe(key)}' has {' × '.join(map(str, shape))} numbers, as {meant}"
            raise InputError(what, hint=hint)


def _state_like(shape: tuple[int, ...], sample: Sample, model: Model) -> str:
    """A state of this shape that the sample does not give, or ""."""
    runs = len(model.runs)
    for state in STATES:
        size = model.first.size(state)
        fits = shape == (runs, size) or (runs == 1 and shape == (size,))
        if fits and getattr(sample, state) is None:
            return f"'{state}', which is not given"
    return ""


def assumed_of(sample: Sample, settings: SampleSettings) -> tuple[str, ...]:
    """What was assumed to read a sample, and which of its own members stand against the batch's."""
    both = [(key, getattr(sample, key), getattr(settings, key)) for key in ("steps", "calls")]
    both = [(key, own or None, other or None) for key, own, other in both]
    both += [
        (each.name, getattr(sample.settings, each.name), getattr(settings.adjusted, each.name))
        for each in fields(sample.settings)
    ]
    told = (
        f"the sample's own {key} holds, not the batch's"
        for key, own, other in both
        if own != other and not {None, ""} & {own, other}
    )
    return (*sample.assumed, *told)


def sample_trace(sample: Sample, settings: SampleSettings) -> Trace:
    """Run one sample; errors are those of its record."""
    try:
        model = Models(settings).of(sample)
        check_own(sample, model)
    except LstmStepError as error:
        raise error.within(sample.place) from None
    x = repeat_or_cut(sample.x, sample.steps or settings.steps, sample.place)
    h, c = sample.h, sample.c
    if len(model.runs) == 1:
        h, c = (s[0] if s is not None and len(s) == 1 else s for s in (h, c))
    try:
        trace = run(
            model, x, h, c, dtype=settings.dtype, engine=settings.engine,
            calls=sample.calls or settings.calls, **sample.masks,
        )  # fmt: skip
    except LstmStepError as error:
        raise type(error)(error.what, where=sample.place, hint=error.lines.hint) from None
    return replace(trace, assumptions=(*trace.assumptions, *assumed_of(sample, settings)))
