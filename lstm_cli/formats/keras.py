"""Keras files: `.keras`, `.weights.h5`, and the `.h5` / `.hdf5` of Keras 1 to 3.

Keras itself is never imported, and nothing that a configuration names is made: it is data.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import IO, Any

from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import MAX_ARRAY_BYTES, MAX_TEXT_BYTES, open_checked
from lstm_cli.formats.contents import Contents
from lstm_cli.formats.hdf5 import Hdf5
from lstm_cli.formats.keras_blocks import Told, contents_of

# A member that packs better than this and is larger than a model's configuration is a bomb.
MAX_ZIP_RATIO = 200
FREE_ZIP_BYTES = 16 * 2**20

_DAMAGED = "the file is cut or damaged; save it again: model.save('model.keras')"
_WEIGHTS = "model.weights.h5"
# The second where a list is too long for one attribute.
_LAYER_NAMES = ("layer_names", "layer_names0")


def read(path: Path) -> Contents:
    """Return a file's datasets by path, and its LSTM layers in the model's order.

    Raises:
        InputError: h5py is missing; neither a zip nor HDF5; what `hdf5` refuses; members of a
            zip that are too large, doubled or missing; an activation that is not computed here.
    """
    place = safe(path)
    with open_checked(path) as stream:
        zipped = stream.read(4) == b"PK\x03\x04"
        file, told = _open_zip(stream, place) if zipped else (Hdf5(path, place), None)
    with file.opened():
        return contents_of(file, told or _told_by(file, place))


def _open_zip(stream: IO[bytes], place: str) -> tuple[Hdf5, Told]:
    try:
        archive = zipfile.ZipFile(stream)
        names = archive.namelist()
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise InputError(f"'{safe(twice)}' is there twice", where=place, hint=_DAMAGED)
        if _WEIGHTS not in names:
            raise InputError(
                f"no {_WEIGHTS} among {', '.join(map(safe, names[:10])) or 'no members'}",
                where=place, hint="save it with model.save('model.keras')",
            )  # fmt: skip
        weights = _member(archive, _WEIGHTS, MAX_ARRAY_BYTES, place)
        texts = {
            name: _json(_member(archive, name, MAX_TEXT_BYTES, place), f"{place}, {name}")
            for name in ("config.json", "metadata.json")
            if name in names
        }
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, OSError,
            ValueError) as error:  # fmt: skip
        raise InputError(
            f"not a readable .keras file: {safe(error)}"[:300], where=place, hint=_DAMAGED
        ) from None
    version = texts.get("metadata.json")
    text = version.get("keras_version") if isinstance(version, dict) else None
    told = Told(
        place, texts.get("config.json"), text if isinstance(text, str) else None, "config.json"
    )
    return Hdf5(weights, f"{place}, {_WEIGHTS}"), told


def _member(archive: zipfile.ZipFile, name: str, limit: int, place: str) -> bytes:
    """Return a member's bytes; its declared size is checked first and holds while it is read."""
    info = archive.getinfo(name)
    size = info.file_size
    if size > limit or size > max(FREE_ZIP_BYTES, MAX_ZIP_RATIO * info.compress_size):
        raise InputError(
            f"{name} declares {size:,} bytes, {info.compress_size:,} are packed; the limits are "
            f"{limit:,} and {MAX_ZIP_RATIO} for each packed byte",
            where=place, hint=_DAMAGED,
        )  # fmt: skip
    with archive.open(info) as stream:
        return stream.read(size)


def _json(data: bytes, place: str) -> Any:
    """Return a configuration; NaN and great whole numbers are harmless in it, double keys not."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key is given twice")
        return found

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=members)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"the configuration is not JSON: {safe(error)}"[:300], where=place, hint=_DAMAGED
        ) from None


def _told_by(file: Hdf5, place: str) -> Told:
    """Return what the attributes of an `.h5` tell."""
    version = file.text("", "keras_version")
    if version is None and "model_weights" in file.groups:
        version = file.text("model_weights", "keras_version")
    text = file.text("", "model_config")
    data = (text or "").encode("utf-8", "surrogateescape")
    model = _json(data, f"{place}, model_config") if data else None
    old = any(file.has(group, key) for group in ("", "model_weights") for key in _LAYER_NAMES)
    return Told(place, model, version, "model_config", old)
