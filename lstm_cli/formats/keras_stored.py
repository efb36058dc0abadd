"""Finds LSTM weights among the datasets of a Keras file, by their places and shapes.

Three ways of keeping them were seen in files that Keras itself wrote:

- Keras 2.12 and later (`.keras`, `.weights.h5`): `layers/lstm/cell/vars/0`, `1`, `2` are kernel,
  recurrent kernel and bias; the folder's name is the class, the user's name an attribute of `vars`;
- `.h5` of Keras 2 and 3: `model_weights/one/one/lstm_cell/kernel:0` (before 2.3 no `lstm_cell`,
  on Theano and in Keras 3 no `:0`);
- `.h5` of Keras 1: `model_weights/one/one_W_i`, …, one array a gate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lstm_cli.base.arrays import Array
from lstm_cli.formats.contents import Info, Tensors
from lstm_cli.formats.hdf5 import Hdf5

_VARS = ("kernel", "recurrent_kernel", "bias")
_BY_NAME = re.compile(r"(?P<key>kernel|recurrent_kernel|bias)(?P<which>_\d+)?(:\d+)?")
_KERAS_1 = re.compile(r"(?P<which>.+)_(?P<kind>[WUb])(_(?P<gate>[icfo]))?(:\d+)?")
_FUSED_1 = {"W": "kernel", "U": "recurrent_kernel", "b": "bias"}
# What a recurrent layer may hold besides and is no LSTM of the plain kind.
_OTHER = re.compile(r".*peephole.*|gamma.*|beta.*|.*scale.*")


@dataclass(frozen=True)
class Stored:
    """The weights of one LSTM cell, as a file holds them.

    Attributes:
        path: the folder, with "/" and without `model_weights`.
        keys: key of the convention -> dataset.
        convention: a name from `conventions.CONVENTIONS`.
        units: H.
        address: where the kernel lies; the order of writing.
        label: what the file calls the layer, as far as it does.
    """

    path: str
    keys: Mapping[str, str]
    convention: str
    units: int
    address: int
    label: str

    def tensors(self, file: Hdf5) -> Tensors:
        """Return the tensors under the convention's keys, read when asked for."""

        def load(key: str) -> Array:
            return file.load(self.keys[key])

        return Tensors({key: file.infos[path] for key, path in self.keys.items()}, load)


def find(file: Hdf5) -> list[Stored]:
    """Return every LSTM cell's weights, in the order of the file."""
    found = [cell for folder in _folders(file).items() for cell in _cells(file, *folder)]
    return sorted(found, key=lambda each: each.address)


def passed_by(file: Hdf5) -> list[str]:
    """Return folders that hold an LSTM's weights and more, which are left alone."""
    return [path for path, names in _folders(file).items() if _has_more(names)]


def _has_more(names: Mapping[str, str]) -> bool:
    plain = {name.partition(":")[0] for name in names}
    return {"kernel", "recurrent_kernel"} <= plain and any(map(_OTHER.fullmatch, plain))


def _folders(file: Hdf5) -> dict[str, dict[str, str]]:
    """Return folder -> name -> dataset; an optimizer's arrays have the shapes of weights."""
    folders: dict[str, dict[str, str]] = {}
    for path in file.infos:
        # Keras 2.12 on Windows wrote backslashes into the names.
        folder, _, name = path.replace("\\", "/").rpartition("/")
        if not re.match(r"_?optimizer(_weights)?(/|$)", folder):
            folders.setdefault(folder, {})[name] = path
    return folders


def _cells(file: Hdf5, folder: str, names: Mapping[str, str]) -> Iterator[Stored]:
    if folder.rpartition("/")[2] == "vars":
        # Other layers may have weights of these shapes, but not under these names.
        if set(names) in ({"0", "1"}, {"0", "1", "2"}) and re.search("cell|lstm", folder):
            keys = {_VARS[int(name)]: path for name, path in names.items()}
            yield from _checked(file, folder, keys, "keras")
        return
    if _has_more(names):
        return
    yield from _named_cells(file, folder, names)


def _named_cells(file: Hdf5, folder: str, names: Mapping[str, str]) -> Iterator[Stored]:
    by_name: dict[str, dict[str, str]] = {}
    by_gate: dict[str, dict[str, str]] = {}
    for name, path in names.items():
        if match := _BY_NAME.fullmatch(name):
            by_name.setdefault(match["which"] or "", {})[match["key"]] = path
        elif match := _KERAS_1.fullmatch(name):
            gate = (match["gate"] or "").replace("c", "g")
            if gate:
                by_gate.setdefault(match["which"], {})[f"{match['kind']}_{gate}"] = path
            else:
                by_name.setdefault(match["which"], {})[_FUSED_1[match["kind"]]] = path
    for which, keys in by_name.items():
        inside = f"{folder}/{which}" if which and not which.startswith("_") else folder
        yield from _checked(file, inside, keys, "keras")
    for which, keys in by_gate.items():
        yield from _checked(file, f"{folder}/{which}", keys, "keras-1")


def _checked(file: Hdf5, path: str, keys: dict[str, str], convention: str) -> Iterator[Stored]:
    """Yield the cell if its shapes are an LSTM's: a GRU has 3·H columns, a simple RNN H."""
    infos = {key: file.infos[dataset] for key, dataset in keys.items()}
    units = _units_by_gate(infos) if convention == "keras-1" else _units(infos)
    if not units:
        return
    if infos.get("bias", Info((), "")).shape == (8 * units,):
        convention = "keras-cudnn"
    if convention != "keras-1":
        keys = {key: keys[key] for key in _VARS if key in keys}
    address = min(file.addresses[dataset] for dataset in keys.values())
    path = path.removeprefix("model_weights/")
    yield Stored(path, keys, convention, units, address, _label(file, path))


def _units(infos: Mapping[str, Info]) -> int:
    if not {"kernel", "recurrent_kernel"} <= set(infos):
        return 0
    kernel, recurrent = infos["kernel"].shape, infos["recurrent_kernel"].shape
    if len(kernel) != 2 or len(recurrent) != 2:
        return 0
    units = recurrent[0]
    bias = infos["bias"].shape if "bias" in infos else (4 * units,)
    fits = kernel[1] == recurrent[1] == 4 * units and bias in ((4 * units,), (8 * units,))
    return units if fits else 0


def _units_by_gate(infos: Mapping[str, Info]) -> int:
    if set(infos) != {f"{kind}_{gate}" for kind in "WUb" for gate in "figo"}:
        return 0
    units = infos["b_f"].shape[-1] if infos["b_f"].shape else 0
    fits = all(infos[f"U_{gate}"].shape == (units, units) for gate in "figo")
    return units if fits else 0


def _label(file: Hdf5, path: str) -> str:
    """Return what a file without a configuration calls a cell's layer.

    Newer files keep each layer's name at its `vars`; of older ones the folders are the names.
    """
    steps = path.split("/")
    if steps[-1] != "vars":
        return _old_label(steps)
    names: list[str] = []
    for place, step in enumerate(steps[:-1]):
        above = "/".join(steps[: place + 1])
        in_list = place and steps[place - 1] in ("layers", "cells")
        structural = _WITHIN.fullmatch(step) and not in_list
        if f"{above}/vars" in file.groups and not structural:
            names.append(file.text(f"{above}/vars", "name") or step)
    return "/".join(names) or path


def _old_label(steps: list[str]) -> str:
    """Return the folders without what Keras adds: one/one/lstm_cell, bi/bi/forward_one."""
    top, *inner = steps
    kept = [top]
    for step in inner:
        if step != kept[-1] and not _WITHIN.fullmatch(step):
            kept.append(step)
    return "/".join(kept)


# Folders that stand for no layer of the user's.
_WITHIN = re.compile(
    r"cells?|layers?|(forward|backward)_.+|lstm_cell(_\d+)?|stacked_rnn_cells(_\d+)?"
)
