"""What Keras' names of activations mean, which depends on its version.

`hard_sigmoid` is 0.2 z + 0.5 in Keras 1 and 2 and z / 6 + 0.5 in Keras 3 (keras/src/activations);
the gates' default is hard_sigmoid before Keras 2.3 and sigmoid since (commit 5949aeede9).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lstm_cli.base.errors import InputError, safe, suggest

Version = tuple[int, int]

PLAIN = ("sigmoid", "tanh", "tanh")

_SAME: Mapping[str, str] = {
    name: name for name in ("sigmoid", "tanh", "relu", "softsign", "softplus", "elu")
} | {"linear": "affine", "leaky_relu": "leaky_relu(0.2)"}

# Layers that may stand for a function: the names of their constant, and its default.
_LAYERS: Mapping[str, tuple[str, tuple[str, ...], float]] = {
    "LeakyReLU": ("leaky_relu", ("negative_slope", "alpha"), 0.3),
    "ELU": ("elu", ("alpha",), 1.0),
}


def version_of(text: str | None) -> Version | None:
    """Return the first two numbers of a Keras version (`2.2.4-tf`), or None."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})", text or "")
    return (int(match[1]), int(match[2])) if match else None


def default_gate(version: Version | None) -> str:
    """Return the gates' activation where nothing is said."""
    return "hard_sigmoid" if version and version < (2, 3) else "sigmoid"


def shown(value: Any) -> str:
    """Return the name of an activation as a configuration writes it."""
    if isinstance(value, dict):
        inner = value.get("config")
        kind = value.get("class_name")
        return safe(inner if kind == "function" and isinstance(inner, str) else kind)[:80]
    return "linear" if value is None else safe(value)[:80]


def activation(value: Any, version: Version | None, place: str) -> str:
    """Return an activation of a configuration as `--activations` takes it.

    Args:
        value: a name, None, or `{"class_name", "config"}`.
        version: of Keras; None is read as Keras 3.
        place: the layer, for messages.

    Raises:
        InputError: not known; names it.
    """
    name = shown(value)
    if name == "hard_sigmoid":
        return "hard_sigmoid" if version and version < (3, 0) else "hard_sigmoid_6"
    if name in _LAYERS and isinstance(value, dict):
        function, keys, default = _LAYERS[name]
        config = value.get("config")
        given = [config[key] for key in keys if key in config] if isinstance(config, dict) else []
        alpha = given[0] if given else default
        if isinstance(alpha, int | float) and not isinstance(alpha, bool) and abs(alpha) < 1e6:
            return f"{function}({float(alpha)!r})"
    if name not in _SAME:
        raise InputError(
            f"activation '{name}' is not one that is computed here",
            where=place,
            hint=suggest(name, [*_SAME, "hard_sigmoid", *_LAYERS]),
        )
    return _SAME[name]
