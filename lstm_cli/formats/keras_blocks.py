"""Joins a Keras model's configuration with the weights that a file holds, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from lstm_cli.base.errors import InputError, safe
from lstm_cli.cell.weights import Direction
from lstm_cli.formats.contents import Block, Contents, Part, Tensors, Undecided, Variant
from lstm_cli.formats.hdf5 import Hdf5
from lstm_cli.formats.keras_activations import (
    PLAIN,
    Version,
    activation,
    default_gate,
    shown,
    version_of,
)
from lstm_cli.formats.keras_config import Cell, Layer, layers_of
from lstm_cli.formats.keras_masks import masking_beside, masking_layers, masks_of
from lstm_cli.formats.keras_stored import Stored, find, passed_by

# Layers are compared with weights one by one.
MAX_LAYERS = 1000


@dataclass(frozen=True)
class Told:
    """What a file tells besides the weights.

    Attributes:
        place: the file, for messages.
        model: the configuration, or None.
        version_text: Keras' version as written.
        source: what the configuration is called there.
        old: whether it is laid out as Keras 1 and 2 did; then no version means Keras 1.
    """

    place: str
    model: Any = None
    version_text: str | None = None
    source: str = ""
    old: bool = False

    @property
    def version(self) -> Version | None:
        """Keras' version, as far as it is told."""
        return version_of(self.version_text) or ((1, 0) if self.old else None)

    @property
    def known(self) -> tuple[str, ...]:
        """How the version is known."""
        if self.version_text:
            return (f"keras_version {safe(self.version_text)}",)
        return ("no keras_version: Keras 1",) if self.old else ()


def contents_of(file: Hdf5, told: Told) -> Contents:
    """Return the configuration's layers, then those that only the weights show; and notes.

    Raises:
        InputError: an activation that is not computed here; too many layers, or nested too deep.
    """
    stored = find(file)
    masks = masks_of(told.model)
    layers = (
        list(islice(layers_of(told.model, told.place, masks), MAX_LAYERS + 1)) if told.model else []
    )
    if len(layers) > MAX_LAYERS:
        raise InputError(
            f"more than {MAX_LAYERS:,} LSTM layers in {told.source}",
            where=told.place, hint="give a file that Keras wrote",
        )  # fmt: skip
    paired = _pair([cell for layer in layers for cell in layer.cells.values()], stored)
    blocks: list[Block] = []
    refused: dict[str, str] = {}
    used = set[int]()
    for layer in layers:
        if any(id(cell) not in paired for cell in layer.cells.values()):
            name = layer.name.strip("?/")
            refused[name] = f"no weights are found for layer '{safe(layer.name)}' ({told.source})"
            continue
        own = {way: (paired[id(cell)], cell) for way, cell in layer.cells.items()}
        used |= {id(each) for each, _ in own.values()}
        blocks.append(_told_block(file, told, layer, own))
    rest = [each for each in stored if id(each) not in used]
    if refused:  # what is left may be theirs: the configuration says more of it than its names
        refused |= {each.path: _left_alone(each, refused) for each in rest}
    else:
        blocks += _untold_blocks(file, told, rest)
    for path in passed_by(file):
        refused[path] = f"'{safe(path)}' has more weights than a plain LSTM; left alone"
    version = (f"Keras {safe(told.version_text)}",) if told.version_text else ()
    notes = (*version, *refused.values())
    return Contents(Tensors(file.infos, file.load), tuple(blocks), notes, refused)


def _left_alone(stored: Stored, refused: Iterable[str]) -> str:
    owners = " or ".join(f"'{safe(name)}'" for name in islice(refused, 3))
    return (
        f"'{safe(stored.path)}' has the weights of an LSTM of {stored.units} units, which may be "
        f"those of {owners}; left alone"
    )


def _pair(cells: Sequence[Cell], stored: Sequence[Stored]) -> dict[int, Stored]:
    """Return id of a configuration's cell -> its weights: by path, by names, at last by order."""
    left = {id(each): each for each in stored}
    paired: dict[int, Stored] = {}

    def take(cell: Cell, fitting: Iterable[Stored]) -> None:
        for each in fitting:
            if cell.units in (None, each.units):
                paired[id(cell)] = left.pop(id(each))
                return

    old_container = "_layer_checkpoint_dependencies/"
    for cell in cells:
        paths = (cell.path, cell.path.replace("layers/", old_container))
        take(cell, [each for each in left.values() if each.path in paths])
    for cell in cells:
        if id(cell) not in paired:
            take(cell, [each for each in left.values() if _named(cell, each)])
    for top in {cell.top: None for cell in cells}:
        waiting = [cell for cell in cells if cell.top == top and id(cell) not in paired]
        inside = [each for each in left.values() if each.path.split("/")[0] == top]
        if len(waiting) == len(inside):
            for cell, each in zip(waiting, inside, strict=True):
                take(cell, [each])
    return paired


def _named(cell: Cell, stored: Stored) -> bool:
    top, *inner = stored.path.split("/")
    return top == cell.top and bool(set(cell.names) & set(inner or [top]))


def _told_block(
    file: Hdf5, told: Told, layer: Layer, own: Mapping[Direction, tuple[Stored, Cell]]
) -> Block:
    place = f"{told.place}, layer {safe(layer.name)}"
    first, cell = own.get("forward") or own["backward"]
    kinds = sorted({each.convention for each, _ in own.values()})
    if len(kinds) > 1:
        raise InputError(
            f"its two directions are stored as {' and '.join(kinds)}",
            where=place, hint="save it with two directions of one class",
        )  # fmt: skip
    known, opened = _activation_phrases(cell, first, told)
    parts: dict[Direction, Part] = {
        way: Part(each.tensors(file), _variant(config, each, told, place))
        for way, (each, config) in own.items()
    }
    return Block(
        layer.name.strip("?/") or first.label,
        first.convention,
        parts,
        (*_shape_phrases(first), *layer.known, *known, *told.known),
        (*layer.open, *opened),
        _two_defaults(cell, first, told),
    )


def _shape_phrases(stored: Stored) -> tuple[str, ...]:
    if stored.convention == "keras-cudnn":
        return (f"bias has 8·{stored.units} numbers: CuDNNLSTM, which is sigmoid and tanh",)
    if stored.convention == "keras-1":
        return ("an array a gate (W_i … b_o): Keras 1",)
    return (f"kernel and recurrent kernel have 4·{stored.units} columns",)


_GATE_KEYS = ("recurrent_activation", "inner_activation")


def _activations(cell: Cell, told: Told) -> tuple[tuple[str, Any], tuple[str, Any]]:
    """Return (key, value) of the gates' and of the other activation; an empty key is a default."""
    config = cell.config
    gate = next(((key, config[key]) for key in _GATE_KEYS if key in config), None)
    other = ("activation", config["activation"]) if "activation" in config else ("", "tanh")
    return gate or ("", default_gate(told.version)), other


_OF_TENSORFLOW_1_AND_2 = re.compile(r"2\.2\.\d+-tf")


def _two_defaults(cell: Cell, stored: Stored, told: Told) -> Undecided | None:
    """Return the choice that is left where the version does not tell the gates' default.

    TensorFlow 1.13 to 1.15, whose LSTM is lstm_v1.py, and 2.0 and 2.1 all wrote 2.2.4-tf.
    """
    (key, _), _ = _activations(cell, told)
    version = told.version_text or ""
    if key or stored.convention != "keras" or not _OF_TENSORFLOW_1_AND_2.fullmatch(version):
        return None
    return Undecided(
        f"the file does not say the gates' activation, and keras_version {safe(version)} had two "
        "defaults: hard_sigmoid in TensorFlow 1, sigmoid in TensorFlow 2",
        "--convention keras-2.2 for TensorFlow 1 (0.2 z + 0.5), or --convention keras for "
        "TensorFlow 2 (sigmoid)",
    )


def _activation_phrases(
    cell: Cell, stored: Stored, told: Told
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return how the activations are known, and which of them is not."""
    if stored.convention == "keras-cudnn":
        return (), ()
    known: list[str] = []
    opened: list[str] = []
    gate, other = _activations(cell, told)
    phrases = [(gate, "the gates' activation"), (other, "the activation")]
    for (key, value), what in phrases[_two_defaults(cell, stored, told) is not None :]:
        if key:
            known.append(f"{told.source}: {key} = {shown(value)}")
        elif told.model and not told.source:
            # Of a class of the user's own, the configuration may well say it.
            opened.append(f"{what} is taken to be {shown(value)}, the default")
        else:
            opened.append(f"{told.source or 'the file'} does not say {what}: {shown(value)}")
    return tuple(known), tuple(opened)


def _variant(cell: Cell, stored: Stored, told: Told, place: str) -> Variant:
    if stored.convention == "keras-cudnn":
        return Variant()
    (_, gate), (_, other) = _activations(cell, told)
    if _two_defaults(cell, stored, told):
        gate = "sigmoid"  # which leaves it to the convention that the user chooses
    candidate = activation(other, told.version, place)
    named = (activation(gate, told.version, place), candidate, candidate)
    # The convention of Keras 1 has another default of its own, so there it is always said.
    return Variant(None if named == PLAIN and stored.convention == "keras" else named)


def _untold_blocks(file: Hdf5, told: Told, rest: Sequence[Stored]) -> Iterator[Block]:
    """Yield layers of which only weights are there, two directions of one name together."""
    layers: dict[str, dict[Direction, Stored]] = {}
    for each in _in_order(file, rest):
        way: Direction = "backward" if "/backward_" in each.path else "forward"
        name = each.label
        # Cells stacked within each direction are no layer of two directions.
        if _STACKED.search(each.path):
            name = f"{name}/{way}"
        # Should two layers have one name, the second is called by its path.
        if way in layers.get(name, {}):
            name = each.path
        layers.setdefault(name, {})[way] = each
    unknown = Cell({}, False, "", (), "")
    source = (
        "the configuration names no LSTM for these weights: read as a plain one"
        if told.model else
        "the file has no configuration: directions and order are those of names and of writing"
    )  # fmt: skip
    in_file = (path.rpartition("/")[2] for path in file.groups if _MASKING.search(path))
    masking = next(chain(masking_layers(told.model), in_file), "")
    masked = (masking_beside(masking),) if masking else ()
    for name, found in layers.items():
        ways = {way: (found[way], unknown) for way in _WAYS if way in found}
        layer = Layer(name, dict.fromkeys(ways, unknown), open=(source, *masked))
        yield _told_block(file, replace(told, source=""), layer, ways)


# What Keras itself calls a layer, or its class, in a file that has no configuration.
_MASKING = re.compile(r"(^|/)masking(_\d+)?$")
_STACKED = re.compile("/(forward|backward)_.*cells/")
_WAYS: tuple[Direction, ...] = ("forward", "backward")


def _in_order(file: Hdf5, rest: Sequence[Stored]) -> list[Stored]:
    """Return cells by `layer_names`, which older files keep, then as they were written."""
    group = "model_weights" if "model_weights" in file.groups else ""
    places = {name: place for place, name in enumerate(file.texts(group, "layer_names") or [])}
    return sorted(rest, key=lambda each: places.get(each.path.split("/")[0], len(places)))
