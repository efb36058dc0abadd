"""A Keras model's configuration, read as data: which LSTM layers there are, and how they compute.

Keras writes it to `config.json` (in `.keras`) or to the attribute `model_config` (in `.h5`). No
class that it names is ever looked up or made; what is not an LSTM is walked through or passed by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lstm_cli.base.errors import InputError, safe
from lstm_cli.cell.weights import Direction

MAX_DEPTH = 48

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """The weights of one direction of a layer, as a configuration describes them.

    Attributes:
        config: the arguments of the LSTM or LSTMCell.
        fused: whether it is a CuDNNLSTM.
        path: where Keras 2.12 and later keep its weights (`layers/lstm/cell/vars`).
        names: folders that tell its weights in older files (`forward_lstm_1`).
        top: the name of the layer of the outermost model that it lies in.
    """

    config: Config
    fused: bool
    path: str
    names: tuple[str, ...]
    top: str

    @property
    def units(self) -> int | None:
        """The hidden size, if the configuration says it."""
        units = self.config.get("units", self.config.get("output_dim"))
        return units if isinstance(units, int) else None


@dataclass(frozen=True)
class Layer:
    """One LSTM layer of a configuration: a cell for each direction, and what else is told."""

    name: str
    cells: Mapping[Direction, Cell]
    known: tuple[str, ...] = ()
    open: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Place:
    """Where the walk is: path in the file, names of the layers, the outermost, how deep."""

    path: str
    names: tuple[str, ...]
    top: str = ""
    depth: int = 0

    def into(self, step: str, name: str = "") -> _Place:
        return _Place(
            f"{self.path}/{step}" if self.path else step,
            (*self.names, name) if name else self.names,
            self.top or name,
            self.depth + 1,
        )


def layers_of(
    model: Any, place: str, masks: Mapping[int, tuple[str, ...]] | None = None
) -> Iterator[Layer]:
    """Yield the LSTM layers of a model's configuration, in its order.

    Args:
        model: `{"class_name": …, "config": …}`, as read from JSON.
        place: the file, for messages.
        masks: what is open of a layer because of masks, by the id of its configuration.

    Raises:
        InputError: models nested too deep.
    """
    for layer, node in _walk(model, _Place("", ()), place):
        yield replace(layer, open=(*layer.open, *(masks or {}).get(id(node), ())))


def _walk(node: Any, at: _Place, file: str) -> Iterator[tuple[Layer, Any]]:
    """Yield each layer with the part of the configuration that describes it."""
    if at.depth > MAX_DEPTH:
        raise InputError(
            f"layers are nested deeper than {MAX_DEPTH}", where=file, hint="save it with Keras"
        )
    config = config_of(node)
    inner = config.get("layers")
    match _own_class(node):
        case "Bidirectional":
            yield from ((layer, node) for layer in _bidirectional(config, at))
        case "LSTM" | "CuDNNLSTM" | "RNN":
            for cell in _cells(node, at, at.names[-1:]):
                yield _one_way(cell, at), node
        case _ if isinstance(inner, list):
            used: dict[str, int] = {}
            for child in inner:
                step = _unique(snake_case(str(_get(child, "class_name"))), used)
                yield from _walk(child, at.into(f"layers/{step}", name_of(child)), file)
        case wrapper if isinstance(config.get("layer"), dict):
            for layer, inside in _walk(config["layer"], at.into("layer"), file):
                opened = (*layer.open, f"it lies inside a {safe(wrapper)}")
                yield replace(layer, open=opened), inside


def _bidirectional(config: Config, at: _Place) -> Iterator[Layer]:
    """Yield one layer of two directions, or one a cell and direction where cells are stacked."""
    first = config.get("layer")
    second = config.get("backward_layer") or _reversed(first)
    ways: dict[str, list[Cell]] = {}
    for step, node in (("forward", first), ("backward", second)):
        plain = name_of(node).removeprefix("forward_").removeprefix("backward_")
        names = (name_of(node), f"{step}_{plain}")
        ways[step] = _cells(node, at.into(f"{step}_layer"), names)
    forward, backward = ways["forward"], ways["backward"]
    mode = config.get("merge_mode", "concat")
    known = (f"Bidirectional, merge_mode = {safe(mode)}",)
    merged: tuple[str, ...] = ()
    if mode != "concat":
        merged = (f"merge_mode = {safe(mode)}: here the two directions are joined, not merged",)
    if len(forward) == len(backward) == 1:
        if forward[0].config.get("go_backwards"):
            merged += ("Bidirectional around go_backwards = true: its directions stand exchanged",)
            forward, backward = backward, forward
        both: dict[Direction, Cell] = {"forward": forward[0], "backward": backward[0]}
        yield Layer("/".join(at.names), both, known, merged)
        return
    stacked = "cells are stacked in each direction before the two are joined: not one stack"
    for step, cells in ways.items():
        for cell in cells:
            layer = _one_way(cell, at.into("", step), backward=step == "backward")
            yield replace(layer, known=known, open=(*merged, stacked))


def _reversed(node: Any) -> Any:
    config = config_of(node)
    return {
        **(node if isinstance(node, dict) else {}),
        "config": {**config, "go_backwards": not config.get("go_backwards")},
    }


def _one_way(cell: Cell, at: _Place, *, backward: bool = False) -> Layer:
    direction: Direction = "forward"
    note: tuple[str, ...] = ()
    if cell.config.get("go_backwards"):
        direction = "backward"
        note = ("go_backwards = true: Keras leaves the output in reversed time; here it is in "
                "input time",)  # fmt: skip
    stacked = "/cells/" in cell.path
    name = "/".join((*at.names, cell.names[0]) if stacked else at.names)
    return Layer(name, {direction: cell}, open=() if backward else note)


def _cells(node: Any, at: _Place, names: tuple[str, ...]) -> list[Cell]:
    """Return the LSTM cells of a recurrent layer; none if it is of another kind."""
    config = config_of(node)
    if _own_class(node) in ("LSTM", "CuDNNLSTM"):
        fused = _own_class(node) == "CuDNNLSTM"
        return [Cell(config, fused, f"{at.path}/vars" if fused else f"{at.path}/cell/vars",
                     names, at.top)]  # fmt: skip
    cell = config.get("cell")
    if _own_class(node) != "RNN" or not isinstance(cell, dict):
        return []
    backwards = {"go_backwards": bool(config.get("go_backwards"))}
    if _own_class(cell) == "LSTMCell":
        inner = {**config_of(cell), **backwards}
        return [Cell(inner, False, f"{at.path}/cell/vars", names, at.top)]
    stacked = config_of(cell).get("cells")
    if _own_class(cell) != "StackedRNNCells" or not isinstance(stacked, list):
        return []
    used: dict[str, int] = {}
    steps = [_unique(snake_case(str(_get(each, "class_name"))), used) for each in stacked]
    return [
        Cell({**config_of(each), **backwards}, False, f"{at.path}/cell/cells/{step}/vars",
             (name_of(each),), at.top)
        for each, step in zip(stacked, steps, strict=True)
        if _own_class(each) == "LSTMCell"
    ]  # fmt: skip


def _own_class(node: Any) -> str:
    """Return the class of a layer if it is Keras' own, with its name in brackets otherwise."""
    module = _get(node, "module")
    name = str(_get(node, "class_name"))
    foreign = isinstance(module, str) and not re.match(r"(tf_)?keras\b|tensorflow\b", module)
    return f"({name})" if foreign else name


def config_of(node: Any) -> Config:
    """Return a layer's arguments; Sequential kept a bare list of layers before Keras 2.2.3."""
    config = _get(node, "config")
    if isinstance(config, list):
        return {"layers": config}
    return config if isinstance(config, dict) else {}


def _get(node: Any, key: str) -> Any:
    return node.get(key) if isinstance(node, dict) else None


def name_of(node: Any) -> str:
    """Return a layer's name; "?" where there is none."""
    return str(config_of(node).get("name") or _get(node, "name") or "?")


def _unique(name: str, used: dict[str, int]) -> str:
    """Return the name Keras gives a layer of a list: `lstm`, `lstm_1`, ….

    Source: `_get_unique_name`, keras/src/saving/saving_lib.py.
    """
    used[name] = used.get(name, -1) + 1
    return f"{name}_{used[name]}" if used[name] else name


def snake_case(name: str) -> str:
    """Return a class's name as Keras writes it in paths (keras/src/utils/naming.py)."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
