"""Keras files: `.keras`, `.weights.h5`, and the `.h5` / `.hdf5` of Keras 1 to 3.

Keras itself is never imported, and nothing that a configuration names is constructed: it is data.
The file's datasets (`_find_stored`) are matched with the layers of the configuration (`layers_of`),
its activations and its masks. `write` makes a `.weights.h5`.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import chain, groupby, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar, get_args

from lstm_cli.base.errors import InputError, safe, suggest
from lstm_cli.cell.traits import PLAIN_ACTIVATIONS
from lstm_cli.cell.weights import NO_MASK, Direction, Merge, OwnMask
from lstm_cli.files.safe import MAX_ARRAY_BYTES, MAX_TEXT_BYTES, open_checked
from lstm_cli.formats.chains import Reads, joined
from lstm_cli.formats.contents import (
    Block,
    Contents,
    Package,
    Part,
    Tensors,
    Undecided,
    Variant,
)
from lstm_cli.formats.hdf5 import Hdf5, library
from lstm_cli.formats.registry import ZIP

# A member that is packed more tightly than this and larger than any configuration is a bomb.
MAX_ZIP_RATIO = 200
FREE_ZIP_BYTES = 16 * 2**20

_SAVE_AGAIN = "the file is cut or damaged; save it again: model.save('model.keras')"
_WEIGHTS = "model.weights.h5"
# The second name is that of a list too long for one attribute.
_LAYER_NAMES = ("layer_names", "layer_names0")


def read(path: Path) -> Contents:
    """Read a file's datasets by path, and its LSTM layers in the model's order.

    Raises:
        InputError: neither a zip nor HDF5; `hdf5` refuses it; members of a zip that are too large,
            duplicate or missing; an activation that is not computed here.
    """
    place = safe(path)
    with open_checked(path) as stream:
        zipped = stream.read(4) == ZIP
        file, told = _open_zip(stream, place) if zipped else (Hdf5(path, place), None)
    with file.opened():
        return _contents_of(file, told or _told_by(file, place))


def _open_zip(stream: IO[bytes], place: str) -> tuple[Hdf5, _Told]:
    try:
        archive = zipfile.ZipFile(stream)
        names = archive.namelist()
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise _damaged(f"'{safe(twice)}' is there twice", place)
        if _WEIGHTS not in names:
            what = f"no {_WEIGHTS} among {', '.join(map(safe, names[:10])) or 'no members'}"
            raise InputError(what, where=place, hint="save it with model.save('model.keras')")
        weights = _zip_member(archive, _WEIGHTS, MAX_ARRAY_BYTES, place)
        texts = {}
        for name in ("config.json", "metadata.json"):
            if name in names:
                data = _zip_member(archive, name, MAX_TEXT_BYTES, place)
                texts[name] = _configuration(data, f"{place}, {name}")
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, OSError,
            ValueError) as error:  # fmt: skip
        raise _damaged(f"not a readable .keras file: {safe(error)}"[:300], place) from None
    text = _get(texts.get("metadata.json"), "keras_version")
    version = text if isinstance(text, str) else None
    told = _Told(place, texts.get("config.json"), version, "config.json")
    return Hdf5(weights, f"{place}, {_WEIGHTS}"), told


def _zip_member(archive: zipfile.ZipFile, name: str, limit: int, place: str) -> bytes:
    """Read a member, no further than its declared size, which is checked first."""
    info = archive.getinfo(name)
    size, packed = info.file_size, info.compress_size
    if size > limit or size > max(FREE_ZIP_BYTES, MAX_ZIP_RATIO * packed):
        what = f"{name} declares {size:,} bytes, {packed:,} are packed; the limits are {limit:,} "
        raise _damaged(f"{what}and {MAX_ZIP_RATIO} for each packed byte", place)
    with archive.open(info) as stream:
        return stream.read(size)


def _configuration(data: bytes, place: str) -> Any:
    """Parse a configuration: NaN and huge integers are harmless in it, duplicate keys are not."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key is given twice")
        return found

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=members)
    except (ValueError, RecursionError) as error:
        raise _damaged(f"the configuration is not JSON: {safe(error)}"[:300], place) from None


def _damaged(what: str, place: str) -> InputError:
    return InputError(what, where=place, hint=_SAVE_AGAIN)


def _told_by(file: Hdf5, place: str) -> _Told:
    """Read the attributes of an `.h5`."""
    version = file.text("", "keras_version")
    if version is None and "model_weights" in file.groups:
        version = file.text("model_weights", "keras_version")
    data = (file.text("", "model_config") or "").encode("utf-8", "surrogateescape")
    model = _configuration(data, f"{place}, model_config") if data else None
    old = any(file.has(group, key) for group in ("", "model_weights") for key in _LAYER_NAMES)
    return _Told(place, model, version, "model_config", old)


# --------------------------------------------------------------------------------------------------
# Matching a model's configuration with the weights in a file, layer by layer.

# Each layer is compared with all weights.
MAX_LAYERS = 1000


@dataclass(frozen=True)
class _Told:
    """What a file says besides the weights."""

    place: str
    model: Any = None
    version_text: str | None = None  # Keras' version as written
    source: str = ""  # the configuration's name in the file
    old: bool = False  # it has the layout of Keras 1 and 2, where no version means Keras 1

    @property
    def version(self) -> _Version | None:
        """The first two numbers of Keras' version (`2.2.4-tf`), if known."""
        if match := re.match(r"(\d{1,4})\.(\d{1,4})", self.version_text or ""):
            return int(match[1]), int(match[2])
        return (1, 0) if self.old else None

    @property
    def known(self) -> tuple[str, ...]:
        """The evidence for the version."""
        if self.version_text:
            return (f"keras_version {safe(self.version_text)}",)
        return ("no keras_version: Keras 1",) if self.old else ()


def _contents_of(file: Hdf5, told: _Told) -> Contents:
    """Combine the configuration's layers, then those that only the weights show, and notes."""
    stored = _find_stored(file)
    layers = list(islice(layers_of(told.model, told.place), MAX_LAYERS + 1)) if told.model else []
    if len(layers) > MAX_LAYERS:
        what = f"more than {MAX_LAYERS:,} LSTM layers in {told.source}"
        raise InputError(what, where=told.place, hint="give a file that Keras wrote")
    paired = _pair([cell for layer in layers for cell in layer.cells.values()], stored)
    blocks: list[Block] = []
    places: list[int] = []
    refused: dict[str, str] = {}
    used = set[int]()
    for layer in layers:
        if any(id(cell) not in paired for cell in layer.cells.values()):
            name = layer.name.strip("?/")
            refused[name] = f"no weights are found for layer '{safe(layer.name)}' ({told.source})"
            continue
        own = {way: _Way(paired[id(cell)], cell, told) for way, cell in layer.cells.items()}
        used |= {id(each.stored) for each in own.values()}
        blocks.append(_block_of(file, layer, own))
        places.append(layer.place)
    rest = [each for each in stored if id(each) not in used]
    if refused:  # the rest may be their weights, of which the configuration says more than names
        owners = " or ".join(f"'{safe(name)}'" for name in islice(refused, 3))
        refused |= {
            each.path: f"'{safe(each.path)}' has the weights of an LSTM of {each.units} units, "
            f"which may be those of {owners}; left alone"
            for each in rest
        }
    else:
        blocks += _untold_blocks(file, told, rest)
    for path in (path for path, names in _folders(file).items() if _has_more(names)):
        refused[path] = f"'{safe(path)}' has more weights than a plain LSTM; left alone"
    version = (f"Keras {safe(told.version_text)}",) if told.version_text else ()
    notes = (*version, *refused.values())
    reads = _reads_of(told.model, places) + [Reads()] * (len(blocks) - len(places))
    blocks, stacks = joined(blocks, reads)
    return Contents(Tensors(file.infos, file.load), tuple(blocks), notes, refused, stacks=stacks)


def _pair(cells: Sequence[_CellConfig], stored: Sequence[_Stored]) -> dict[int, _Stored]:
    """Map the id of a configuration's cell to its weights: by path, by names, then by order."""
    left = {id(each): each for each in stored}
    paired: dict[int, _Stored] = {}

    def take(cell: _CellConfig, fitting: Iterable[_Stored]) -> None:
        for each in fitting:
            if cell.units in (None, each.units):
                paired[id(cell)] = left.pop(id(each))
                return

    for cell in cells:
        old_path = cell.path.replace("layers/", "_layer_checkpoint_dependencies/")
        take(cell, [each for each in left.values() if each.path in (cell.path, old_path)])
    for cell in cells:
        if id(cell) not in paired:
            take(cell, [each for each in left.values() if cell.fits(each.path)])
    for top in {cell.top: None for cell in cells}:
        waiting = [cell for cell in cells if cell.top == top and id(cell) not in paired]
        inside = [each for each in left.values() if each.path.split("/")[0] == top]
        if len(waiting) == len(inside):
            for cell, each in zip(waiting, inside, strict=True):
                take(cell, [each])
    return paired


_GATE_KEYS = ("recurrent_activation", "inner_activation")
_OF_TENSORFLOW_1_AND_2 = re.compile(r"2\.2\.\d+-tf")


@dataclass(frozen=True)
class _Way:
    """One direction of a layer: its weights, its configuration, and what else the file says."""

    stored: _Stored
    cell: _CellConfig
    told: _Told

    @property
    def activations(self) -> tuple[tuple[str, Any], tuple[str, Any]]:
        """(key, value) of the gates' and of the other activation; an empty key means a default."""
        config = self.cell.config
        gate = next(((key, config[key]) for key in _GATE_KEYS if key in config), None)
        other = ("activation", config["activation"]) if "activation" in config else ("", "tanh")
        old = self.told.version is not None and self.told.version < (2, 3)
        return gate or ("", "hard_sigmoid" if old else "sigmoid"), other

    @property
    def undecided(self) -> Undecided | None:
        """The choice that is left where the file does not determine the gates' default.

        TensorFlow 1.13 to 1.15, whose LSTM is lstm_v1.py, and 2.0 and 2.1 all wrote 2.2.4-tf.
        """
        (key, _), _ = self.activations
        version, keys = self.told.version_text or "", self.stored.keys
        if key or self.stored.convention != "keras":
            return None
        if _OF_TENSORFLOW_1_AND_2.fullmatch(version):
            return Undecided(
                f"the file does not say the gates' activation, and keras_version {safe(version)} "
                "had two defaults: hard_sigmoid in TensorFlow 1, sigmoid in TensorFlow 2",
                ("keras", "keras-2.2"),
            )
        # Keras wrote a version beside these names; the layout of `vars` is of its later years.
        if version or self.told.model or not _BY_NAME.fullmatch(keys["kernel"].split("/")[-1]):
            return None
        what = "the file does not say which version of Keras, or which other program, wrote"
        return Undecided(f"{what} {', '.join(keys)}", ("keras", "keras-2.2", "haste"))

    def phrases(self) -> tuple[list[str], list[str]]:
        """The evidence for the layout and the activations, and the assumptions about them."""
        units, told = self.stored.units, self.told
        if self.stored.convention == "keras-cudnn":
            return [f"bias has 8·{units} numbers: CuDNNLSTM, which is sigmoid and tanh"], []
        first_version = self.stored.convention == "keras-1"
        shapes = f"kernel and recurrent kernel have 4·{units} columns"
        known = ["an array a gate (W_i … b_o): Keras 1" if first_version else shapes]
        opened: list[str] = []
        gate, other = self.activations
        named = [(gate, "the gates' activation"), (other, "the activation")]
        for (key, value), what in named[self.undecided is not None :]:
            shown = _shown_activation(value)
            if key:
                known.append(f"{told.source}: {key} = {shown}")
            elif told.model and not told.source:
                # The configuration may well give it, but in a class of the user's own.
                opened.append(f"{what} is taken to be {shown}, the default")
            else:
                opened.append(f"{told.source or 'the file'} does not say {what}: {shown}")
        return known, opened

    def variant(self, place: str) -> Variant:
        """The variant of its activations."""
        if self.stored.convention == "keras-cudnn":
            return Variant()
        (_, gate), (_, other) = self.activations
        if self.undecided:
            gate = "sigmoid"  # so that the convention that the user chooses decides
        candidate = activation(other, self.told.version, place)
        named = (activation(gate, self.told.version, place), candidate, candidate)
        # The convention of Keras 1 has another default, so there it is always given.
        plain = named == PLAIN_ACTIVATIONS and self.stored.convention == "keras"
        return Variant(None if plain else named)


def _block_of(file: Hdf5, layer: _LayerConfig, own: Mapping[Direction, _Way]) -> Block:
    first = own.get("forward") or own["backward"]
    place = f"{first.told.place}, layer {safe(layer.name)}"
    kinds = sorted({each.stored.convention for each in own.values()})
    if len(kinds) > 1:
        what = f"its two directions are stored as {' and '.join(kinds)}"
        raise InputError(what, where=place, hint="save it with two directions of one class")
    (shapes, *known), opened = first.phrases()
    return Block(
        layer.name.strip("?/") or first.stored.label,
        first.stored.convention,
        {way: Part(each.stored.tensors(file), each.variant(place)) for way, each in own.items()},
        (shapes, *layer.known, *known, *first.told.known),
        (*layer.open, *opened),
        first.undecided,
        layer.mask,
        layer.merge if len(own) == 2 else "concat",
    )


def _untold_blocks(file: Hdf5, told: _Told, rest: Sequence[_Stored]) -> Iterator[Block]:
    """Yield the layers that have only weights, two directions of one name as one layer."""
    layers: dict[str, dict[Direction, _Way]] = {}
    for each in _in_written_order(file, rest):
        way: Direction = "backward" if "/backward_" in each.path else "forward"
        # Cells stacked within each direction are not one layer of two directions.
        name = f"{each.label}/{way}" if _STACKED.search(each.path) else each.label
        # If two layers have the same name, the second is called by its path.
        if way in layers.get(name, {}):
            name = each.path
        unknown = _CellConfig({}, "", (), "")
        layers.setdefault(name, {})[way] = _Way(each, unknown, replace(told, source=""))
    opened = [
        "the configuration names no LSTM for these weights: read as a plain one"
        if told.model else
        "the file has no configuration: directions are taken from names, the order from the file"
    ]  # fmt: skip
    told_of = (_name_of(e) for e in _branches_in(told.model) if _leaving(e, (), {}, MAX_DEPTH))
    in_file = (path.rpartition("/")[2] for path in file.groups if _MASKING.search(path))
    if masking := next(chain(told_of, in_file), ""):
        opened.append(f"a layer '{safe(masking)[:80]}' is in the file: "
                      f"steps that it masks {_SKIPPED}")  # fmt: skip
    for name, found in layers.items():
        ways = {way: found[way] for way in sorted(found, reverse=True)}  # forward first
        merged = (_NO_MERGE_MODE,) if len(ways) > 1 else ()
        yield _block_of(file, _LayerConfig(name, {}, open=(*opened, *merged)), ways)


_NO_MERGE_MODE = "the file does not say the merge_mode of the two directions: concat; see --merge"
# Keras' own name for a layer of this class in a file that has no configuration.
_MASKING = re.compile(r"(^|/)masking(_\d+)?$")
_STACKED = re.compile("/(forward|backward)_.*cells/")


def _in_written_order(file: Hdf5, rest: Sequence[_Stored]) -> list[_Stored]:
    """Sort cells by `layer_names`, which older files have; others keep the order of writing."""
    group = "model_weights" if "model_weights" in file.groups else ""
    places = {name: place for place, name in enumerate(file.texts(group, "layer_names") or [])}
    return sorted(rest, key=lambda each: places.get(each.path.split("/")[0], len(places)))


# --------------------------------------------------------------------------------------------------
# The configuration, read as data: its LSTM layers and their arguments.
#
# Keras writes it to `config.json` (in `.keras`) or to the attribute `model_config` (in `.h5`). No
# class that it names is ever looked up or constructed; what is not an LSTM is walked through or
# skipped.

MAX_DEPTH = 48

_Config = Mapping[str, Any]


@dataclass(frozen=True)
class _CellConfig:
    """The weights of one direction of a layer, as a configuration describes them."""

    config: _Config
    path: str  # of its weights in Keras 2.12 and later (`layers/lstm/cell/vars`)
    names: tuple[str, ...]  # the folders of its weights in older files (`forward_lstm_1`)
    top: str  # the name of the outermost model's layer that contains it

    @property
    def units(self) -> int | None:
        """The hidden size, if the configuration has it."""
        units = self.config.get("units", self.config.get("output_dim"))
        return units if isinstance(units, int) else None

    def fits(self, path: str) -> bool:
        """Whether the folders of an older file are named for it."""
        top, *inner = path.split("/")
        return top == self.top and bool(set(self.names) & set(inner or [top]))


@dataclass(frozen=True)
class _LayerConfig:
    """One LSTM layer of a configuration: a cell for each direction, evidence and open questions."""

    name: str
    cells: Mapping[Direction, _CellConfig]
    known: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    mask: OwnMask = NO_MASK
    merge: Merge = "concat"
    place: int = 0  # the id of what describes it; cells stacked in one layer share it


@dataclass(frozen=True)
class _ConfigPath:
    """A place in a configuration: path in the file, layer names, the outermost of them, depth."""

    path: str
    names: tuple[str, ...]
    top: str = ""
    depth: int = 0

    def into(self, step: str, name: str = "") -> _ConfigPath:
        return _ConfigPath(
            f"{self.path}/{step}" if self.path else step,
            (*self.names, name) if name else self.names,
            self.top or name,
            self.depth + 1,
        )


def layers_of(model: Any, place: str) -> Iterator[_LayerConfig]:
    """Yield the LSTM layers of a model's configuration, with notes on the masks that reach them.

    Args:
        model: `{"class_name": …, "config": …}`, as read from JSON.

    Raises:
        InputError: models nested too deep.
    """
    masks = masks_of(model)
    for layer, node in _walk_layers(model, _ConfigPath("", ()), place):
        cell = layer.cells.get("forward") or layer.cells["backward"]
        # Cells stacked in each of two directions are not read one by another in the listed order.
        apart = _own_class(node) == "Bidirectional" and len(layer.cells) == 1
        described = id(cell.config) if apart else id(node)
        layer = replace(layer, open=(*layer.open, *_settings(cell.config)), place=described)
        sources = masks.get(id(node), ())
        if len(sources) == 1 and sources[0].value is not None:
            known = (*layer.known, f"{sources[0].told} are not run")
            yield replace(layer, known=known, mask=OwnMask(sources[0].value))
        else:
            yield replace(layer, mask=OwnMask(open=tuple(map(str, sources))))


def _walk_layers(node: Any, at: _ConfigPath, file: str) -> Iterator[tuple[_LayerConfig, Any]]:
    """Yield each layer with the part of the configuration that describes it."""
    if at.depth > MAX_DEPTH:
        raise InputError(
            f"layers are nested deeper than {MAX_DEPTH}", where=file, hint="save it with Keras"
        )
    config = _config_of(node)
    inner = config.get("layers")
    match _own_class(node):
        case "Bidirectional":
            yield from ((layer, node) for layer in _bidirectional(config, at))
        case "LSTM" | "CuDNNLSTM" | "RNN":
            for cell in _cells_of(node, at, at.names[-1:]):
                yield _one_way(cell, at), node
        case _ if isinstance(inner, list):
            for child, step in zip(inner, _steps(inner), strict=True):
                yield from _walk_layers(child, at.into(f"layers/{step}", _name_of(child)), file)
        case wrapper if isinstance(config.get("layer"), dict):
            for layer, inside in _walk_layers(config["layer"], at.into("layer"), file):
                opened = (*layer.open, f"it lies inside a {safe(wrapper)}")
                yield replace(layer, open=opened), inside


def _bidirectional(config: _Config, at: _ConfigPath) -> Iterator[_LayerConfig]:
    """Yield one layer of two directions or, of stacked cells, a layer for each one and way."""
    first = config.get("layer")
    arguments = _config_of(first)
    mirrored = {**arguments, "go_backwards": not arguments.get("go_backwards")}
    second = config.get("backward_layer") or {
        **(first if isinstance(first, dict) else {}),
        "config": mirrored,
    }
    ways: dict[str, list[_CellConfig]] = {}
    for step, node in (("forward", first), ("backward", second)):
        plain = _name_of(node).removeprefix("forward_").removeprefix("backward_")
        names = (_name_of(node), f"{step}_{plain}")
        ways[step] = _cells_of(node, at.into(f"{step}_layer"), names)
    forward, backward = ways["forward"], ways["backward"]
    mode = config.get("merge_mode", "concat")
    known = (f"Bidirectional, merge_mode = {safe(mode)}",)
    merge: Merge = mode if mode in get_args(Merge) else "concat"
    unlike = f"merge_mode = {safe(mode)}: here the two outputs stand side by side"
    opened: tuple[str, ...] = () if merge == mode else (unlike,)
    if len(forward) == len(backward) == 1:
        if forward[0].config.get("go_backwards"):
            opened += ("Bidirectional around go_backwards = true: its directions are swapped",)
            forward, backward = backward, forward
        both: dict[Direction, _CellConfig] = {"forward": forward[0], "backward": backward[0]}
        yield _LayerConfig("/".join(at.names), both, known, opened, merge=merge)
        return
    stacked = "cells are stacked in each direction before the two are joined: not one stack"
    for step, cells in ways.items():
        for cell in cells:
            layer = _one_way(cell, at.into("", step), backward=step == "backward")
            yield replace(layer, known=known, open=(*opened, stacked))


def _one_way(cell: _CellConfig, at: _ConfigPath, *, backward: bool = False) -> _LayerConfig:
    direction: Direction = "backward" if cell.config.get("go_backwards") else "forward"
    note = "go_backwards = true: Keras leaves the output in reversed time; here it is in input time"
    stacked = "/cells/" in cell.path
    name = "/".join((*at.names, cell.names[0]) if stacked else at.names)
    noted = direction == "backward" and not backward
    return _LayerConfig(name, {direction: cell}, open=(note,) if noted else ())


def _cells_of(node: Any, at: _ConfigPath, names: tuple[str, ...]) -> list[_CellConfig]:
    """List the LSTM cells of a recurrent layer; none if it is of another kind."""
    config, kind = _config_of(node), _own_class(node)
    if kind in ("LSTM", "CuDNNLSTM"):
        inside = "vars" if kind == "CuDNNLSTM" else "cell/vars"
        return [_CellConfig(config, f"{at.path}/{inside}", names, at.top)]
    cell = config.get("cell")
    if kind != "RNN" or not isinstance(cell, dict):
        return []
    backwards = {key: config.get(key) for key in ("go_backwards", "stateful", "time_major")}
    if _own_class(cell) == "LSTMCell":
        inner = {**_config_of(cell), **backwards}
        return [_CellConfig(inner, f"{at.path}/cell/vars", names, at.top)]
    stacked = _config_of(cell).get("cells")
    if _own_class(cell) != "StackedRNNCells" or not isinstance(stacked, list):
        return []
    return [
        _CellConfig({**_config_of(each), **backwards}, f"{at.path}/cell/cells/{step}/vars",
                    (_name_of(each),), at.top)
        for each, step in zip(stacked, _steps(stacked), strict=True)
        if _own_class(each) == "LSTMCell"
    ]  # fmt: skip


def _own_class(node: Any) -> str:
    """The class of a layer, in brackets if it is not Keras' own."""
    module = _get(node, "module")
    name = str(_get(node, "class_name"))
    foreign = isinstance(module, str) and not re.match(r"(tf_)?keras\b|tensorflow\b", module)
    return f"({name})" if foreign else name


def _config_of(node: Any) -> _Config:
    """A layer's arguments; before Keras 2.2.3, Sequential had a bare list of layers."""
    config = _get(node, "config")
    if isinstance(config, list):
        return {"layers": config}
    return config if isinstance(config, dict) else {}


def _get(node: Any, key: str) -> Any:
    return node.get(key) if isinstance(node, dict) else None


def _name_of(node: Any) -> str:
    """A layer's name; "?" where there is none."""
    return str(_config_of(node).get("name") or _get(node, "name") or "?")


def _steps(layers: Sequence[Any]) -> Iterator[str]:
    """Yield the names that Keras gives the layers of a list in paths: `lstm`, `lstm_1`, ….

    Sources: `_get_unique_name`, keras/src/saving/saving_lib.py; keras/src/utils/naming.py.
    """
    used = Counter[str]()
    for layer in layers:
        name = re.sub(r"\W+", "", str(_get(layer, "class_name")))
        name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
        name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
        yield f"{name}_{used[name]}" if used[name] else name
        used[name] += 1


# --------------------------------------------------------------------------------------------------
# Keras' names of activations, whose meaning depends on its version.
#
# `hard_sigmoid` is 0.2 z + 0.5 in Keras 1 and 2 and z / 6 + 0.5 in Keras 3 (keras/src/activations);
# the gates' default is hard_sigmoid before Keras 2.3 and sigmoid since (commit 5949aeede9).

_Version = tuple[int, int]

_FUNCTIONS: Mapping[str, str] = {
    name: name for name in ("sigmoid", "tanh", "relu", "softsign", "softplus", "elu")
} | {"linear": "affine", "leaky_relu": "leaky_relu(0.2)"}

# Layers that may be used as a function: the possible names of their constant, and its default.
_FUNCTION_LAYERS: Mapping[str, tuple[str, tuple[str, ...], float]] = {
    "LeakyReLU": ("leaky_relu", ("negative_slope", "alpha"), 0.3),
    "ELU": ("elu", ("alpha",), 1.0),
}


def _shown_activation(value: Any) -> str:
    """The name of an activation as a configuration writes it."""
    if isinstance(value, dict):
        inner = value.get("config")
        kind = value.get("class_name")
        return safe(inner if kind == "function" and isinstance(inner, str) else kind)[:80]
    return "linear" if value is None else safe(value)[:80]


def activation(value: Any, version: _Version | None, place: str) -> str:
    """Convert an activation of a configuration to the form of `--activations`.

    Args:
        value: a name, None, or `{"class_name", "config"}`.
        version: Keras' version; None is read as Keras 3.

    Raises:
        InputError: it is unknown; the message names it.
    """
    name = _shown_activation(value)
    if name == "hard_sigmoid":
        return "hard_sigmoid" if version and version < (3, 0) else "hard_sigmoid_6"
    if name in _FUNCTION_LAYERS and isinstance(value, dict):
        function, keys, default = _FUNCTION_LAYERS[name]
        config = value.get("config")
        given = [config[key] for key in keys if key in config] if isinstance(config, dict) else []
        alpha = given[0] if given else default
        if isinstance(alpha, int | float) and not isinstance(alpha, bool) and abs(alpha) < 1e6:
            return f"{function}({float(alpha)!r})"
    if name not in _FUNCTIONS:
        what = f"activation '{name}' is not one that is computed here"
        hint = suggest(name, [*_FUNCTIONS, "hard_sigmoid", *_FUNCTION_LAYERS])
        raise InputError(what, where=place, hint=hint)
    return _FUNCTIONS[name]


# --------------------------------------------------------------------------------------------------
# Finding LSTM weights among the datasets of a file, by their paths and shapes.
#
# Files that Keras itself wrote have one of three layouts:
#
# - Keras 2.12 and later (`.keras`, `.weights.h5`): `layers/lstm/cell/vars/0`, `1`, `2` are kernel,
#   recurrent kernel and bias; the folder's name is the class, the user's name an attribute of
#   `vars`;
# - `.h5` of Keras 2 and 3: `model_weights/one/one/lstm_cell/kernel:0` (before 2.3 no `lstm_cell`,
#   on Theano and in Keras 3 no `:0`);
# - `.h5` of Keras 1: `model_weights/one/one_W_i`, …, one array a gate.

_VARIABLES = ("kernel", "recurrent_kernel", "bias")
_BY_NAME = re.compile(r"(?P<key>kernel|recurrent_kernel|bias)(?P<which>_\d+)?(:\d+)?")
_KERAS_1 = re.compile(r"(?P<which>.+)_(?P<kind>[WUb])(_(?P<gate>[icfo]))?(:\d+)?")
_FUSED_1 = {"W": "kernel", "U": "recurrent_kernel", "b": "bias"}
# The further weights of recurrent layers that are not plain LSTMs.
_MORE_WEIGHTS = re.compile(r".*peephole.*|gamma.*|beta.*|.*scale.*")


@dataclass(frozen=True)
class _Stored:
    """The weights of one LSTM cell in a file."""

    path: str  # the folder, with "/" and without `model_weights`
    keys: Mapping[str, str]  # key of the convention -> dataset
    convention: str  # a name from `conventions.CONVENTIONS`
    units: int  # H
    address: int  # of the kernel, which gives the order of writing
    label: str  # the layer's name in the file, as far as it has one

    def tensors(self, file: Hdf5) -> Tensors:
        """The tensors under the convention's keys, read on demand."""
        infos = {key: file.infos[path] for key, path in self.keys.items()}
        return Tensors(infos, lambda key: file.load(self.keys[key]))


def _find_stored(file: Hdf5) -> list[_Stored]:
    """Find the weights of every LSTM cell, in file order."""
    found = [cell for folder in _folders(file).items() for cell in _cells_in(file, *folder)]
    return sorted(found, key=lambda each: each.address)


def _has_more(names: Mapping[str, str]) -> bool:
    """Whether a folder has an LSTM's weights and further ones, and so is left alone."""
    plain = {name.partition(":")[0] for name in names}
    return {"kernel", "recurrent_kernel"} <= plain and any(map(_MORE_WEIGHTS.fullmatch, plain))


def _folders(file: Hdf5) -> dict[str, dict[str, str]]:
    """Folder -> name -> dataset, without an optimizer's arrays, which look like weights."""
    folders: dict[str, dict[str, str]] = {}
    for path in file.infos:
        # Keras 2.12 on Windows wrote backslashes into the names.
        folder, _, name = path.replace("\\", "/").rpartition("/")
        if not re.match(r"_?optimizer(_weights)?(/|$)", folder):
            folders.setdefault(folder, {})[name] = path
    return folders


def _cells_in(file: Hdf5, folder: str, names: Mapping[str, str]) -> Iterator[_Stored]:
    if folder.rpartition("/")[2] == "vars":
        # Other layers may have weights of these shapes, but not in folders of these names.
        if set(names) in ({"0", "1"}, {"0", "1", "2"}) and re.search("cell|lstm", folder):
            keys = {_VARIABLES[int(name)]: path for name, path in names.items()}
            yield from _checked(file, folder, keys, "keras")
    elif not _has_more(names):
        yield from _named_cells(file, folder, names)


def _named_cells(file: Hdf5, folder: str, names: Mapping[str, str]) -> Iterator[_Stored]:
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


def _checked(file: Hdf5, path: str, keys: dict[str, str], convention: str) -> Iterator[_Stored]:
    """Yield the cell if its shapes are an LSTM's: a GRU has 3·H columns, a simple RNN H."""
    shapes = {key: file.infos[dataset].shape for key, dataset in keys.items()}
    units = _units_by_gate(shapes) if convention == "keras-1" else _units_of(shapes)
    if not units:
        return
    if shapes.get("bias") == (8 * units,):
        convention = "keras-cudnn"
    if convention != "keras-1":
        keys = {key: keys[key] for key in _VARIABLES if key in keys}
    address = min(file.addresses[dataset] for dataset in keys.values())
    path = path.removeprefix("model_weights/")
    yield _Stored(path, keys, convention, units, address, _label_of(file, path))


def _units_of(shapes: Mapping[str, tuple[int, ...]]) -> int:
    match shapes.get("kernel"), shapes.get("recurrent_kernel"):
        case (_, columns), (units, own_columns):
            bias = shapes.get("bias", (4 * units,))
            fits = columns == own_columns == 4 * units and bias in ((4 * units,), (8 * units,))
            return units if fits else 0
    return 0


def _units_by_gate(shapes: Mapping[str, tuple[int, ...]]) -> int:
    if set(shapes) != {f"{kind}_{gate}" for kind in "WUb" for gate in "figo"}:
        return 0
    units = (0, *shapes["b_f"])[-1]
    return units if all(shapes[f"U_{gate}"] == (units, units) for gate in "figo") else 0


def _label_of(file: Hdf5, path: str) -> str:
    """The name of a cell's layer in a file without a configuration.

    Newer files have each layer's name at its `vars`; in older ones the folders are the names.
    """
    top, *inner = steps = path.split("/")
    names: list[str] = []
    if steps[-1] != "vars":  # without what Keras adds: one/one/lstm_cell, bi/bi/forward_one
        kept = [step for step in inner if not _WITHIN.fullmatch(step)]
        return "/".join(step for step, _ in groupby([top, *kept]))
    for place, step in enumerate(steps[:-1]):
        above = "/".join(steps[: place + 1])
        in_list = place and steps[place - 1] in ("layers", "cells")
        structural = _WITHIN.fullmatch(step) and not in_list
        if f"{above}/vars" in file.groups and not structural:
            names.append(file.text(f"{above}/vars", "name") or step)
    return "/".join(names) or path


# Folders that are not layers of the user's.
_WITHIN = re.compile(
    r"cells?|layers?|(forward|backward)_.+|lstm_cell(_\d+)?|stacked_rnn_cells(_\d+)?"
)


# --------------------------------------------------------------------------------------------------
# The masks that reach LSTM layers, and their sources.
#
# Keras keeps the states of an LSTM unchanged at a masked step. `Masking` and
# `Embedding(mask_zero=True)` make masks, which travel from layer to layer: through nested models
# and wrappers, but not past a recurrent layer that returns only its last step. A mask that
# `Masking` makes of what is the LSTM's x is computed from it; of others a sentence tells.

# The notes on a layer name at most this many sources.
MAX_MASK_SOURCES = 3


class _MaskSource(NamedTuple):
    """What makes a mask: the steps it is about, and the value of x at them, if x tells."""

    told: str
    value: float | None = None

    def __str__(self) -> str:
        return f"{self.told} {_SKIPPED}"


_MaskSources = tuple[_MaskSource, ...]
# Layers that hand on their input as it is, when a model is not being trained.
_HANDS_ON = re.compile(
    "InputLayer|Identity|(Spatial|Gaussian|Alpha)?Dropout([123]D)?|GaussianNoise|"
    "ActivityRegularization"
)

_ENDS_HERE = re.compile("Flatten|RepeatVector|Dot|Global.*")
_RECURRENT = re.compile(r"(.*\.)?(Conv)?(CuDNN)?(Simple)?(RNN|LSTM|GRU)(\dD)?")
_SKIPPED = "are run here; Keras skips them, which leaves the states as they were: give --mask"


def masks_of(model: Any) -> Mapping[int, _MaskSources]:
    """Map the id of a recurrent layer's configuration to the masks that reach it."""
    reached: dict[int, _MaskSources] = {}
    _leaving(model, (), reached, 0)
    return reached


def _leaving(
    node: Any, arriving: _MaskSources, reached: dict[int, _MaskSources], depth: int
) -> _MaskSources:
    """Find the masks of a layer's output, and record those that reach the LSTMs in it."""
    if not isinstance(node, dict) or depth > MAX_DEPTH:
        return ()
    config, kind = _config_of(node), str(node.get("class_name"))
    inner = config.get("layer")
    before = f"{kind} '{safe(_name_of(node))[:80]}' stands before it"
    if kind == "Masking":
        value = config.get("mask_value", 0.0)
        steps = f"{before}: steps that equal its mask_value {safe(value)[:40]}"
        return (_MaskSource(steps, float(value) if isinstance(value, int | float) else None),)
    if kind == "Embedding":
        zero = config.get("mask_zero")
        return (_MaskSource(f"{before} with mask_zero: steps of index 0"),) if zero else ()
    if isinstance(config.get("layers"), list):
        return _through(
            config, arriving, lambda layer, sources: _leaving(layer, sources, reached, depth + 1),
            _masks_reaching, _masks_of_references,
        )  # fmt: skip
    if _RECURRENT.fullmatch(kind) or kind == "Bidirectional":
        reached[id(node)] = arriving
        told = config if kind != "Bidirectional" else _config_of(inner)
        return _no_value(arriving) if told.get("return_sequences") else ()
    if isinstance(inner, dict):
        return _no_value(_union_of(_leaving(inner, arriving, reached, depth + 1), arriving))
    if _ENDS_HERE.fullmatch(kind):
        return ()
    return arriving if _HANDS_ON.fullmatch(kind) else _no_value(arriving)


def _no_value(sources: _MaskSources) -> _MaskSources:
    """The sources behind a layer that changes x, from which the mask cannot be computed then."""
    return tuple(each._replace(value=None) for each in sources)


def _union_of(*several: _MaskSources) -> _MaskSources:
    return tuple(dict.fromkeys(each for sources in several for each in sources))[:MAX_MASK_SOURCES]


def _masks_of_references(calls: Any, left: Mapping[str, _MaskSources]) -> _MaskSources:
    return _union_of(*(left.get(name, ()) for name in _read_by(calls)))


def _masks_reaching(layer: _Config, left: Mapping[str, _MaskSources]) -> _MaskSources:
    """The masks of a layer's calls in a model: those of what it reads, or one that is given."""
    calls = layer["inbound_nodes"]
    sources = _masks_of_references(calls, left)
    if not sources and any(_get(each, "mask") is not None for each in _branches_in(calls)):
        return (_MaskSource("it is called with a mask: steps that are masked"),)
    return sources


_Carried = TypeVar("_Carried")


def _through(
    config: _Config,
    arriving: _Carried,
    leaving: Callable[[_Config, _Carried], _Carried],
    reaching: Callable[[_Config, Mapping[str, _Carried]], _Carried],
    referred: Callable[[Any, Mapping[str, _Carried]], _Carried],
) -> _Carried:
    """Carry something through a model's layers, which follow each other or name what they read.

    Args:
        arriving: what reaches the model.
        leaving: of a layer and what reaches it, what it hands on.
        reaching: of a layer that names what it reads, and what each hands on, what reaches it.
        referred: of the model's own references, and what each layer hands on, what it hands on.
    """
    layers = [each for each in config["layers"] if isinstance(each, dict)]
    if not any(each.get("inbound_nodes") for each in layers):
        for layer in layers:
            arriving = leaving(layer, arriving)
        return arriving
    left: dict[str, _Carried] = {}
    for layer in _in_order_of_reading(layers):
        reached = reaching(layer, left) if layer.get("inbound_nodes") else arriving
        left[_key_of(layer)] = leaving(layer, reached)
    return referred(config.get("output_layers"), left)


def _key_of(layer: Mapping[str, Any]) -> str:
    """The name by which other layers of a model refer to a layer."""
    return str(layer.get("name") or _name_of(layer))


def _in_order_of_reading(layers: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield layers after their inputs; layers in a circle come last, as they are listed."""
    by_name = {_key_of(layer): layer for layer in layers}
    sorter = TopologicalSorter[str]()
    for name, layer in by_name.items():
        inputs = {each for each in _read_by(layer.get("inbound_nodes")) if each in by_name}
        sorter.add(name, *(inputs - {name}))
    with suppress(CycleError):  # what is not in a circle is still sorted
        sorter.prepare()
    while ready := sorter.get_ready():
        sorter.done(*ready)
        yield from (by_name.pop(name) for name in ready)
    yield from by_name.values()


def _read_by(calls: Any) -> Iterator[str]:
    """Yield the names of layers whose first output a configuration refers to.

    A reference is `["name", 0, 0]`, in Keras 3 within `{"keras_history": …}`. Further outputs are
    states, which have no mask.
    """
    for each in _branches_in(calls):
        match each:
            case [str() as name, int(), 0, *_]:
                yield name


def _branches_in(value: Any) -> Iterator[Any]:
    """Yield every list and object in a value, at any depth."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list):
            yield each
            waiting += each.values() if isinstance(each, dict) else each


# --------------------------------------------------------------------------------------------------
# What each LSTM layer reads: the model's input, the outputs of other LSTM layers, or other things.

_LSTMS = ("LSTM", "CuDNNLSTM", "RNN", "Bidirectional")


@dataclass(frozen=True)
class _Flow:
    """What a layer hands on.

    Attributes:
        place: the id of the recurrent layer whose output it is; 0 for the model's input.
        turned: whether it is in reversed time.
        other: what it is instead, as in `Reads`.
    """

    place: int = 0
    turned: bool = False
    other: str = ""


def _reads_of(model: Any, places: Sequence[int]) -> list[Reads]:
    """What the layers at some places of a configuration read."""
    reached: dict[int, _Flow] = {}
    _flow_after(model, _Flow(), reached, 0)
    by_place: dict[int, list[int]] = {}
    reads = []
    for number, place in enumerate(places):
        flow, cells = reached.get(place, _Flow()), by_place.setdefault(place, [])
        below = (cells or by_place.get(flow.place, []))[-1:]
        lost = "" if below or not flow.place else "the output of a layer that is not read"
        cells.append(number)
        reads.append(Reads(tuple(below), flow.turned, "" if cells[1:] else flow.other or lost))
    return reads


def _flow_after(node: Any, arriving: _Flow, reached: dict[int, _Flow], depth: int) -> _Flow:
    """Find what a layer hands on, and record what reaches the LSTMs in it."""
    config, kind = _config_of(node), _own_class(node)
    shown = f"{safe(kind)} '{safe(_name_of(node))}'"[:100]
    if depth > MAX_DEPTH:
        return _Flow(other=f"computed by {shown}")
    if isinstance(config.get("layers"), list):
        return _through(
            config, arriving, lambda layer, flow: _flow_past(layer, flow, reached, depth + 1),
            _flow_reaching, _first_of,
        )  # fmt: skip
    if kind in _LSTMS:
        reached[id(node)] = arriving
        other = _not_a_sequence(config, kind, shown)
        inner = _config_of(config.get("layer")) if kind == "Bidirectional" else config
        turned = arriving.turned != bool(inner.get("go_backwards"))
        return _Flow(other=other) if other else _Flow(id(node), turned)
    linear = kind == "Activation" and _shown_activation(config.get("activation")) == "linear"
    first = kind == "Masking" and not arriving.place  # its masks are told or heeded elsewhere
    if _HANDS_ON.fullmatch(kind) or linear or first:
        return arriving
    return _Flow(other=f"computed by {shown}")


def _not_a_sequence(config: _Config, kind: str, shown: str) -> str:
    """What a recurrent layer hands on where it is not the outputs of its LSTM over time."""
    inner = _config_of(config.get("layer")) if kind == "Bidirectional" else config
    cell = inner.get("cell")
    cells = _config_of(cell).get("cells") or [cell]
    if not inner.get("return_sequences"):
        return f"the last state of {shown}, which returns no sequence"
    if "cell" in inner and any(_own_class(each) != "LSTMCell" for each in cells):
        return f"computed by {shown}, which has other cells than LSTMs"
    if kind != "Bidirectional":
        return ""
    if config.get("merge_mode", "concat") != "concat":
        return f"the directions of {shown} merged by {safe(config.get('merge_mode'))}"
    if inner.get("go_backwards") or len(cells) > 1:
        return f"computed by {shown}, which is no plain layer of two directions"
    return ""


def _flow_past(layer: _Config, arriving: _Flow, reached: dict[int, _Flow], depth: int) -> _Flow:
    """What a layer of a model hands on: nothing that can be followed if it is called again."""
    after = _flow_after(layer, arriving, reached, depth)
    times = len(layer.get("inbound_nodes") or [])
    if times < 2:
        return after
    return _Flow(other=f"computed by '{safe(_key_of(layer))[:80]}', which is called {times} times")


def _flow_reaching(layer: _Config, left: Mapping[str, _Flow]) -> _Flow:
    """What reaches a layer by its calls in a model."""
    calls, kind = layer["inbound_nodes"], _own_class(layer)
    if len(calls) > 1:
        return _Flow(other=f"not one: the layer is called {len(calls)} times")
    others = _references(calls)[1:]
    if not others or (kind in _LSTMS and all(left.get(name) == _Flow() for name, _ in others)):
        return _first_of(calls, left)
    if kind in _LSTMS:
        return _Flow(other="one of several inputs: its initial states are computed, too; give them "
                     "by --h and --c")  # fmt: skip
    return _Flow(other="made of several")


def _first_of(calls: Any, left: Mapping[str, _Flow]) -> _Flow:
    """What the first reference of a configuration refers to."""
    for name, output in _references(calls)[:1]:
        if output == 0:
            return left.get(name, _Flow(other=f"computed by '{safe(name)[:80]}'"))
        return _Flow(other=f"output {output} of '{safe(name)[:80]}'")
    return _Flow(other="not told")


def _references(calls: Any) -> list[tuple[str, int]]:
    """The layers and outputs that a configuration refers to, in order, besides masks."""
    found: list[tuple[str, int]] = []
    waiting = [calls]
    while waiting:
        match waiting.pop():
            case [str() as name, int(), int() as output, *_]:
                found.append((name, output))
            case list() as several:
                waiting += several
            case dict() as named:
                waiting += [each for key, each in named.items() if key != "mask"]
    return found[::-1]


# The arguments of a layer that do not change what it computes, or that are read elsewhere.
_HEEDED = re.compile(
    r"name|trainable|units|output_dim|activation|recurrent_activation|inner_activation|use_bias|"
    r".*(initializer|regularizer|constraint|dropout)|dropout_[WU]|init|inner_init|forget_bias_init|"
    r"unit_forget_bias|implementation|consume_less|unroll|return_sequences|return_state|seed|"
    r"go_backwards|batch_input_shape|batch_shape|input_(dim|length|shape|dtype)|weights|use_cudnn|"
    r"zero_output_for_mask|registered_name|sparse|ragged|build_config|dtype|stateful|time_major"
)


def _settings(config: _Config) -> Iterator[str]:
    """Yield a sentence on each argument of a layer that is not honoured here."""
    if config.get("stateful"):
        yield "stateful = true: Keras carries the states from call to call; here by --h and --c"
    if config.get("time_major"):
        yield "time_major = true: x and output have the time axis first"
    dtype = config.get("dtype")
    policy = dtype if isinstance(dtype, str) else _config_of(dtype).get("name")
    if policy not in (None, "float32", "float64"):
        yield f"dtype = {safe(policy)[:40]}: Keras rounds to it; here is float64 or --dtype"
    for key, value in config.items():
        if not _HEEDED.fullmatch(key) and value not in (None, False):
            yield f"{safe(key)[:40]} = {safe(value)[:40]}: not known here, and left out"


# --------------------------------------------------------------------------------------------------
# Writing: a `.weights.h5` of Keras 3: `layers/lstm/cell/vars/0…2`, or a Bidirectional's two cells.
#
# The layout is that of keras/src/saving/saving_lib.py: layers are named by class and numbered from
# the second on, variables are numbered: kernel, recurrent_kernel, bias.


def write(package: Package, path: Path) -> bytes:
    """Make the file's bytes.

    Raises:
        InputError: a layer is only backward, which Keras can express only as go_backwards.
    """
    buffer = io.BytesIO()
    with library().File(buffer, "w") as file:
        for level in sorted({level for level, _ in package.parts}):
            both = (level, "backward") in package.parts
            if both and (level, "forward") not in package.parts:
                what = "a layer that only runs backward has no place in a weights file of Keras"
                raise InputError(what, hint="give go_backwards to the layer and convert as forward")
            name = ("bidirectional" if both else "lstm") + (f"_{level}" if level else "")
            # As Keras does, so that a reader sees the two directions as one layer.
            file.create_group(f"layers/{name}/vars").attrs["name"] = name
            sides: tuple[Direction, ...] = ("forward", "backward") if both else ("forward",)
            for side in sides:
                cell = f"{side}_layer/cell" if both else "cell"
                group = file.create_group(f"layers/{name}/{cell}/vars")
                tensors = package.parts[(level, side)]
                for number, key in enumerate(_VARIABLES):
                    group.create_dataset(str(number), data=tensors[key])
    return buffer.getvalue()
