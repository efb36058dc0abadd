"""Which LSTM layers of a Keras model a mask reaches, and where it comes from.

Keras leaves the states of an LSTM as they were at a step that is masked; here every step is run.
`Masking` and `Embedding(mask_zero=True)` make masks, which travel from layer to layer: through
models in models and through wrappers, but not past a recurrent layer that gives its last step only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lstm_cli.base.errors import safe
from lstm_cli.formats.keras_config import MAX_DEPTH, config_of, name_of

# What is said of a layer names so many sources.
MAX_SOURCES = 3

Sources = tuple[str, ...]

_ENDS_HERE = re.compile("Flatten|RepeatVector|Dot|Global.*")
_RECURRENT = re.compile(r"(.*\.)?(Conv)?(CuDNN)?(Simple)?(RNN|LSTM|GRU)(\dD)?")
_SKIPPED = "are run here; Keras skips them, which leaves the states as they were"


def masks_of(model: Any) -> Mapping[int, Sources]:
    """Return id of a recurrent layer's configuration -> a sentence on each mask that reaches it.

    Args:
        model: `{"class_name": …, "config": …}`, as read from JSON.
    """
    reached: dict[int, Sources] = {}
    _leaving(model, (), reached, 0)
    return reached


def masking_layers(model: Any) -> Iterator[str]:
    """Yield the names of all layers of a configuration that make masks."""
    for each in _parts(model):
        if isinstance(each, dict) and _leaving(each, (), {}, MAX_DEPTH):
            yield name_of(each)


def masking_beside(name: str) -> str:
    """Return the sentence on a layer that makes masks, where it is not known whom they reach."""
    return f"a layer '{safe(name)[:80]}' is in the file: steps that it masks {_SKIPPED}"


def _leaving(node: Any, arriving: Sources, reached: dict[int, Sources], depth: int) -> Sources:
    """Return the masks of a layer's output, and note those that reach the LSTMs in it."""
    if not isinstance(node, dict) or depth > MAX_DEPTH:
        return ()
    config, kind = config_of(node), str(node.get("class_name"))
    inner = config.get("layer")
    if kind == "Masking":
        value = safe(config.get("mask_value", 0.0))[:40]
        return (f"{_before(node)}: steps that equal its mask_value {value} {_SKIPPED}",)
    if kind == "Embedding":
        zero = config.get("mask_zero")
        return (f"{_before(node)} with mask_zero: steps of index 0 {_SKIPPED}",) if zero else ()
    if isinstance(config.get("layers"), list):
        return _through_model(config, arriving, reached, depth)
    if _RECURRENT.fullmatch(kind) or kind == "Bidirectional":
        reached[id(node)] = arriving
        told = config if kind != "Bidirectional" else config_of(inner)
        return arriving if told.get("return_sequences") else ()
    if isinstance(inner, dict):
        return _union(_leaving(inner, arriving, reached, depth + 1), arriving)
    return () if _ENDS_HERE.fullmatch(kind) else arriving


def _before(node: Any) -> str:
    return f"{node['class_name']} '{safe(name_of(node))[:80]}' stands before it"


def _union(*several: Sources) -> Sources:
    return tuple(dict.fromkeys(each for sources in several for each in sources))[:MAX_SOURCES]


def _through_model(
    config: Mapping[str, Any], arriving: Sources, reached: dict[int, Sources], depth: int
) -> Sources:
    layers = [each for each in config["layers"] if isinstance(each, dict)]
    if not any(each.get("inbound_nodes") for each in layers):
        for layer in layers:
            arriving = _leaving(layer, arriving, reached, depth + 1)
        return arriving
    left: dict[str, Sources] = {}
    for layer in _in_order(layers):
        calls = layer.get("inbound_nodes")
        sources = _union(*(left.get(name, ()) for name in _read_by(calls))) if calls else arriving
        if not sources and _is_called_with_mask(calls):
            sources = (f"it is called with a mask: steps that are masked {_SKIPPED}",)
        left[_key(layer)] = _leaving(layer, sources, reached, depth + 1)
    return _union(*(left.get(name, ()) for name in _read_by(config.get("output_layers"))))


def _key(layer: Mapping[str, Any]) -> str:
    """Return the name by which other layers of a model refer to a layer."""
    return str(layer.get("name") or name_of(layer))


def _in_order(layers: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield layers after those that they read; those that read each other, as they are listed."""
    by_name = {_key(layer): layer for layer in layers}
    waiting = {
        name: {each for each in _read_by(layer.get("inbound_nodes")) if each in by_name} - {name}
        for name, layer in by_name.items()
    }
    readers: dict[str, list[str]] = {}
    for name, read in waiting.items():
        for each in read:
            readers.setdefault(each, []).append(name)
    ready = [name for name, read in waiting.items() if not read]
    for name in ready:  # which grows meanwhile
        yield by_name[name]
        for reader in readers.get(name, ()):
            waiting[reader].discard(name)
            if not waiting[reader]:
                ready.append(reader)
    done = set(ready)
    yield from (layer for name, layer in by_name.items() if name not in done)


def _read_by(calls: Any) -> Iterator[str]:
    """Yield the names of layers whose first output a configuration refers to.

    A reference is `["name", 0, 0]`, in Keras 3 inside of `{"keras_history": …}`. Further outputs
    are states, which have no mask.
    """
    for each in _parts(calls):
        match each:
            case [str() as name, int(), 0, *_]:
                yield name


def _is_called_with_mask(calls: Any) -> bool:
    return any(isinstance(each, dict) and each.get("mask") is not None for each in _parts(calls))


def _parts(value: Any) -> Iterator[Any]:
    """Yield every list and object in a value, however deep."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list):
            yield each
            waiting += each.values() if isinstance(each, dict) else each
