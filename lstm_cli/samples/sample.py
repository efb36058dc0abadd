"""One sample: what it holds, and how a decoded JSON object becomes one or says why not."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.cells import Settings
from lstm_cli.equations import Array
from lstm_cli.errors import InputError, LstmStepError, ShapeError, safe
from lstm_cli.safe_files import to_array
from lstm_cli.vectors import parse_rows

KEYS = ("id", "x", "h", "c", "weights", "cell", "convention", "forget_bias", "clip", "cell_clip",
        "activations", "steps", "expected", "atol", "note")  # fmt: skip
# Members of an answer: a sample's own of these names would be taken for ours.
ANSWERED = ("schema", "ok", "engine", "check", "error")


@dataclass(frozen=True, eq=False)
class Sample:
    """One thing to evaluate.

    Attributes:
        id: its name in the answer.
        x: `(T, I)`.
        h, c: rows `(L·D, n)`, or None for zeros.
        weights: a path, `{"preset": name, …}`, arrays by name, or None for the batch's own.
        cell, convention: names, "" for the batch's own.
        settings: what is added to the cell, as the options of the same names do.
        steps: as `--steps`; 0 where not given.
        expected: symbol -> `(n,)` for the last step or `(T, n)` for all.
        atol: the largest difference that still counts as equal; None for the batch's own.
        extra: members that are none of ours: the user's own, handed on to the answer.
        folder: what paths in it are relative to.
        place: file and line, for messages.
    """

    id: str
    x: Array
    h: Array | None = None
    c: Array | None = None
    weights: Any = None
    cell: str = ""
    convention: str = ""
    settings: Settings = field(default_factory=Settings)
    steps: int = 0
    expected: Mapping[str, Array] = field(default_factory=dict)
    atol: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = field(default_factory=Path)
    place: str = ""


@dataclass(frozen=True, eq=False)
class BadSample:
    """A sample that could not be read, in the place where its answer would be."""

    id: str
    error: LstmStepError
    extra: Mapping[str, Any] = field(default_factory=dict)


Read = Sample | BadSample


def read_sample(document: Any, default_id: str, folder: Path, place: str) -> Read:
    """Return the sample a decoded JSON object describes, or the reason why it is none."""
    if not isinstance(document, dict):
        error = InputError("not an object", where=place, hint='{"x": […], "weights": …}')
        return BadSample(default_id, error)
    name = default_id if document.get("id") is None else str(document["id"])
    try:
        return _build(document, name, folder, place)
    except LstmStepError as error:
        return BadSample(name, error, extra_members(document))


def extra_members(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that are the user's own, and none that an answer has itself."""
    return {key: document[key] for key in extra_keys(tuple(document))}


@lru_cache(maxsize=256)
def extra_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the keys that are neither a sample's nor an answer's."""
    return tuple(key for key in keys if key not in KEYS and key not in ANSWERED)


def _build(document: Mapping[str, Any], name: str, folder: Path, place: str) -> Sample:
    check_keys(tuple(document), place)
    if "x" not in document:
        raise InputError("'x' is missing", where=place, hint="a sample needs at least x")
    expected = document.get("expected", {})
    if not isinstance(expected, dict):
        raise InputError("'expected' is not an object", where=place, hint='{"h": […], "f": […]}')
    return Sample(
        name,
        _rows(document["x"], "x", place),
        _optional_rows(document, "h", place),
        _optional_rows(document, "c", place),
        weights=document.get("weights"),
        cell=_text(document, "cell", place),
        convention=_text(document, "convention", place),
        settings=_settings(document, place),
        steps=_count(document.get("steps", 0), place),
        expected={
            key: np.atleast_1d(to_array(value, f"expected {key}", place, max_axes=2))
            for key, value in expected.items()
        },
        atol=_tolerance(document.get("atol"), place),
        extra=extra_members(document),
        folder=folder,
        place=place,
    )


def check_keys(keys: tuple[str, ...], place: str) -> None:
    """Refuse a key that looks like a misspelt one of ours; others are the user's own.

    Raises:
        InputError: with the key that may be meant.
    """
    wrong = _misspelt(keys)
    if wrong is not None:
        key, near = wrong
        raise InputError(f"unknown key '{safe(key)}'", where=place, hint=f"did you mean '{near}'?")


@lru_cache(maxsize=256)  # samples of a file mostly have the same keys
def _misspelt(keys: tuple[str, ...]) -> tuple[str, str] | None:
    for key in keys:
        near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.8) if len(key) > 3 else []
        if near and key not in KEYS and near[0] not in keys:
            return key, near[0]
    return None


def _rows(value: Any, key: str, place: str) -> Array:
    if isinstance(value, str):
        return parse_rows(value, key, place)
    array = to_array(value, key, place)
    if array.ndim == 0 or array.ndim > 2:
        raise ShapeError(
            f"{key} has shape {array.shape}, needs (n,) or (rows, n)",
            where=place,
            hint="one sample holds one sequence",
        )
    if not np.isfinite(array).all():
        raise InputError(f"{key} is not finite", where=place, hint="give finite numbers")
    return np.atleast_2d(array)


def _optional_rows(document: Mapping[str, Any], key: str, place: str) -> Array | None:
    return None if document.get(key) is None else _rows(document[key], key, place)


def _text(document: Mapping[str, Any], key: str, place: str) -> str:
    value = document.get(key) or ""
    if not isinstance(value, str):
        raise InputError(f"'{key}' is not text", where=place, hint=f'"{key}": "name"')
    return value


def _settings(document: Mapping[str, Any], place: str) -> Settings:
    numbers = {key: document.get(key) for key in ("forget_bias", "clip", "cell_clip")}
    for key, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InputError(f"'{key}' is not a number", where=place, hint=f'"{key}": 1')
    return Settings(**numbers, activations=_text(document, "activations", place))


def _count(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError("'steps' is not a whole number", where=place, hint='"steps": 3')
    return value


def _tolerance(value: Any, place: str) -> float | None:
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise InputError("'atol' is not a number from 0", where=place, hint='"atol": 1e-6')
    return abs(float(value))  # not -0.0
