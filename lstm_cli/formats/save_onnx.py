"""An ONNX model of one LSTM node, with its settings as attributes; ONNX Runtime runs it.

Inputs X (T, N, I), initial_h and initial_c (D, N, H); outputs Y, Y_h, Y_c. Opset 14, IR 8, which
every ONNX Runtime since 1.10 reads.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.errors import InputError
from lstm_cli.cell.traits import PLAIN_ACTIVATIONS, Traits
from lstm_cli.cell.weights import Direction
from lstm_cli.formats.save import Package

# Ours -> ONNX's name, and how many of alpha and beta it takes.
ACTIVATIONS = {
    "sigmoid": ("Sigmoid", 0), "tanh": ("Tanh", 0), "relu": ("Relu", 0), "affine": ("Affine", 2),
    "leaky_relu": ("LeakyRelu", 1), "thresholded_relu": ("ThresholdedRelu", 1),
    "scaled_tanh": ("ScaledTanh", 2), "hard_sigmoid": ("HardSigmoid", 2), "elu": ("Elu", 1),
    "softsign": ("Softsign", 0), "softplus": ("Softplus", 0), "hard_sigmoid_6": ("HardSigmoid", 2),
}  # fmt: skip
_DEFAULTS = {"hard_sigmoid": (0.2, 0.5), "leaky_relu": (0.01,), "elu": (1.0,), "affine": (1.0, 0.0),
             "scaled_tanh": (1.0, 1.0), "thresholded_relu": (1.0,),
             "hard_sigmoid_6": (1 / 6, 0.5)}  # fmt: skip


def write(package: Package, path: Path) -> bytes:
    """Return the model's bytes.

    Raises:
        InputError: several layers, directions that differ, or an activation ONNX does not have.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    if {level for level, _ in package.parts} != {0}:
        raise InputError(
            "a model of one LSTM node holds one layer", hint="convert to npz or safetensors"
        )
    sides: list[Direction] = [direction for _, direction in package.parts]
    first = package.traits[(0, sides[0])]
    if any(package.traits[(0, side)].clip != first.clip for side in sides):
        raise InputError("the directions clip differently", hint="ONNX has one clip for both")
    inputs, hidden, _ = package.sizes[(0, sides[0])]
    count = len(sides)
    stacked = {
        key: np.stack([package.parts[(0, side)][key] for side in sides]).astype(np.float32)
        for key in package.parts[(0, sides[0])]
    }
    names = ["X", "W", "R", "B", "", "initial_h", "initial_c", "P" if "P" in stacked else ""]
    node = helper.make_node(
        "LSTM", names if names[-1] else names[:-1], ["Y", "Y_h", "Y_c"],
        name="lstm", hidden_size=hidden, **_attributes(package, sides),
    )  # fmt: skip

    def value(name: str, shape: list[int | str]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    state: list[int | str] = [count, "N", hidden]
    graph = helper.make_graph(
        [node], "lstm",
        [value("X", ["T", "N", inputs]), value("initial_h", state), value("initial_c", state)],
        [value("Y", ["T", count, "N", hidden]), value("Y_h", state), value("Y_c", state)],
        [numpy_helper.from_array(array, key) for key, array in stacked.items()],
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8, producer_name="lstm-step"
    )
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _attributes(package: Package, sides: list[Direction]) -> dict[str, Any]:
    traits = [package.traits[(0, side)] for side in sides]
    both = {1: {"forward": "forward", "backward": "reverse"}[sides[0]], 2: "bidirectional"}
    attributes: dict[str, Any] = {"direction": both[len(sides)]}
    if traits[0].clip:
        attributes["clip"] = traits[0].clip
    if traits[0].coupled:
        attributes["input_forget"] = 1
    if any(each.activations != PLAIN_ACTIVATIONS for each in traits):
        attributes |= _activation_attributes(traits)
    return attributes


def _activation_attributes(traits: list[Traits]) -> dict[str, Any]:
    names: list[str] = []
    alphas: list[float] = []
    betas: list[float] = []
    for text in (text for each in traits for text in each.activations):
        match = re.fullmatch(r"(\w+)(?:\((.*)\))?", text)
        assert match is not None
        if match[1] not in ACTIVATIONS:
            raise InputError(f"ONNX has no activation {text}", hint="`list activations` shows ours")
        name, takes = ACTIVATIONS[match[1]]
        given = tuple(float(part) for part in match[2].split(",")) if match[2] else ()
        constants = given + _DEFAULTS.get(match[1], ())[len(given) :]
        names.append(name)
        alphas += constants[:1] if takes >= 1 else ()
        betas += constants[1:2] if takes == 2 else ()
    lists = {"activation_alpha": alphas, "activation_beta": betas}
    return {"activations": names} | {key: value for key, value in lists.items() if value}
