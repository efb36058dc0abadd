"""Make torch_live.json and onnxruntime_live.json by running the two frameworks.

Run `python tests/golden/make_frameworks.py` with torch, onnx, onnxruntime and numpy
installed; the files land beside this script.  The tests only read the JSON, so none of
the frameworks is needed to run them.

Every number a case feeds in is drawn from a fixed seed as a multiple of 0.0001, and no
two numbers of a case are equal or zero, so a swapped or forgotten tensor always shows.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

HERE = Path(__file__).resolve().parent
OPSET = 14
DIRECTIONS = ("forward", "backward")

# What ONNX calls an activation -> our name and how many of (alpha, beta) it takes.
ONNX_ACTIVATIONS = {
    "Sigmoid": ("sigmoid", ()),
    "Tanh": ("tanh", ()),
    "Relu": ("relu", ()),
    "Affine": ("affine", ("alpha", "beta")),
    "LeakyRelu": ("leaky_relu", ("alpha",)),
    "ThresholdedRelu": ("thresholded_relu", ("alpha",)),
    "ScaledTanh": ("scaled_tanh", ("alpha", "beta")),
    "HardSigmoid": ("hard_sigmoid", ("alpha", "beta")),
    "Elu": ("elu", ("alpha",)),
    "Softsign": ("softsign", ()),
    "Softplus": ("softplus", ()),
}

Activation = tuple[Any, ...]  # an ONNX name followed by its parameters


class Numbers:
    """Hands out arrays of distinct, non-zero multiples of 0.0001 in [-1, 1]."""

    def __init__(self, seed: int) -> None:
        """Shuffle the whole pool once."""
        pool = np.concatenate([np.arange(-10000, 0), np.arange(1, 10001)])
        self._pool = np.random.default_rng(seed).permutation(pool)
        self._used = 0

    def take(self, *shape: int) -> np.ndarray:
        """Return the next unused numbers in the given shape."""
        count = int(np.prod(shape))
        chunk = self._pool[self._used : self._used + count]
        if len(chunk) < count:
            raise ValueError("the case needs more numbers than the pool holds")
        self._used += count
        # Dividing integers gives exactly the double that the decimal text reads back as.
        return (chunk / 10000).reshape(shape)


def as_lists(array: np.ndarray) -> list:
    """Turn an array into nested lists, float32 values by their shortest decimal text."""
    if array.dtype == np.float32:
        return np.vectorize(lambda v: float(str(v)), otypes=[float])(array).tolist()
    return array.tolist()


def plain_case(case_id: str, cell: str, layers: list, x: np.ndarray, **more: Any) -> dict:
    """Put a case together with the keys in their fixed order."""
    return {
        "id": case_id,
        "cell": cell,
        "activations": more.get("activations"),
        "clip": more.get("clip"),
        "cell_clip": None,
        "layers": layers,
        "x": as_lists(x),
        "h0": as_lists(more["h0"]),
        "c0": as_lists(more["c0"]),
        "expected": {key: as_lists(value) for key, value in more["expected"].items()},
        "atol": more["atol"],
    }


def direction_entry(
    direction: str, order: str, tensors: dict[str, np.ndarray], p_order: str | None = None
) -> dict:
    """Describe one direction of one layer."""
    entry: dict[str, Any] = {"direction": direction, "order": order}
    entry.update({key: as_lists(tensors[key]) for key in ("W", "U", "b_W", "b_U")})
    entry["p_order"] = p_order
    entry["p"] = as_lists(tensors["p"]) if p_order else None
    entry["W_hr"] = as_lists(tensors["W_hr"]) if "W_hr" in tensors else None
    return entry


# ---------------------------------------------------------------- PyTorch, float64


def torch_cell_case(seed: int) -> dict:
    """Run one step of torch.nn.LSTMCell(3, 4) on two rows."""
    size_in, hidden, batch = 3, 4, 2
    numbers = Numbers(seed)
    cell = torch.nn.LSTMCell(size_in, hidden, dtype=torch.float64)
    tensors = {name: numbers.take(*value.shape) for name, value in cell.state_dict().items()}
    cell.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    x, h0, c0 = (numbers.take(batch, size) for size in (size_in, hidden, hidden))
    with torch.no_grad():
        h, c = cell(torch.from_numpy(x), (torch.from_numpy(h0), torch.from_numpy(c0)))
    entry = direction_entry(
        "forward",
        "ifgo",
        {
            "W": tensors["weight_ih"],
            "U": tensors["weight_hh"],
            "b_W": tensors["bias_ih"],
            "b_U": tensors["bias_hh"],
        },
    )
    return plain_case(
        "torch-lstmcell-one-step",
        "lstm",
        [[entry]],
        x[:, None, :],
        h0=h0[None],
        c0=c0[None],
        expected={"output": h.numpy()[:, None, :], "h": h.numpy(), "c": c.numpy()},
        atol=1e-12,
    )


def torch_lstm_case(
    case_id: str, seed: int, *, layers: int = 1, bidirectional: bool = False, proj: int = 0
) -> dict:
    """Run torch.nn.LSTM(3, 4) over six steps of two streams."""
    size_in, hidden, steps, batch = 3, 4, 6, 2
    ways = 2 if bidirectional else 1
    numbers = Numbers(seed)
    model = torch.nn.LSTM(
        size_in,
        hidden,
        num_layers=layers,
        bidirectional=bidirectional,
        proj_size=proj,
        batch_first=True,
        dtype=torch.float64,
    )
    tensors = {name: numbers.take(*value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    x = numbers.take(batch, steps, size_in)
    h0 = numbers.take(layers * ways, batch, proj or hidden)
    c0 = numbers.take(layers * ways, batch, hidden)
    with torch.no_grad():
        state = (torch.from_numpy(h0), torch.from_numpy(c0))
        output, (h, c) = model(torch.from_numpy(x), state)

    described = []
    for layer in range(layers):
        entries = []
        for way in range(ways):
            tail = f"_l{layer}" + ("_reverse" if way else "")
            names = {"W": "weight_ih", "U": "weight_hh", "b_W": "bias_ih", "b_U": "bias_hh"}
            if proj:
                names["W_hr"] = "weight_hr"
            part = {key: tensors[name + tail] for key, name in names.items()}
            entries.append(direction_entry(DIRECTIONS[way], "ifgo", part))
        described.append(entries)
    return plain_case(
        case_id,
        "projection" if proj else "lstm",
        described,
        x,
        h0=h0,
        c0=c0,
        expected={
            "output": output.numpy(),
            "h": np.concatenate(list(h.numpy()[-ways:]), axis=-1),
            "c": np.concatenate(list(c.numpy()[-ways:]), axis=-1),
        },
        atol=1e-12,
    )


def torch_cases() -> list[dict]:
    """Run every PyTorch case."""
    return [
        torch_cell_case(101),
        torch_lstm_case("torch-1-layer", 102),
        torch_lstm_case("torch-2-layers-bidirectional", 103, layers=2, bidirectional=True),
        torch_lstm_case("torch-1-layer-projection", 104, proj=2),
        torch_lstm_case(
            "torch-2-layers-bidirectional-projection", 105, layers=2, bidirectional=True, proj=2
        ),
    ]


# ---------------------------------------------------------- ONNX Runtime, float32


def activation_text(activation: Activation) -> str:
    """Write an ONNX activation in our own notation, such as "elu(0.7)"."""
    name, needed = ONNX_ACTIVATIONS[activation[0]]
    values = activation[1:]
    if len(values) != len(needed):
        raise ValueError(f"{activation[0]} takes {len(needed)} parameters")
    return f"{name}({', '.join(map(str, values))})" if values else name


def activation_attributes(activations: Sequence[Activation], ways: int) -> dict[str, list]:
    """Give the operator's activation attributes, repeated for each direction."""
    attributes: dict[str, list] = {"activations": []}
    for activation in list(activations) * ways:
        attributes["activations"].append(activation[0])
        needed = ONNX_ACTIVATIONS[activation[0]][1]
        for key, value in zip(needed, activation[1:], strict=True):
            attributes.setdefault(f"activation_{key}", []).append(value)
    return attributes


def run_onnx(feeds: dict[str, np.ndarray], attributes: dict[str, Any]) -> list[np.ndarray]:
    """Run a model that is one LSTM node; return Y, Y_h and Y_c."""
    slots = ["X", "W", "R", "B", "", "initial_h", "initial_c", "P"]
    slots = [name if name in feeds else "" for name in slots]
    while not slots[-1]:
        slots.pop()
    outputs = {"Y": 4, "Y_h": 3, "Y_c": 3}  # name -> number of axes
    node = helper.make_node("LSTM", slots, list(outputs), **attributes)
    graph = helper.make_graph(
        [node],
        "one_lstm",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in feeds.items()],
        [
            helper.make_tensor_value_info(k, TensorProto.FLOAT, [None] * n)
            for k, n in outputs.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(
        list(outputs), {key: value.astype(np.float32) for key, value in feeds.items()}
    )


def onnx_case(
    case_id: str,
    seed: int,
    *,
    direction: str = "forward",
    peephole: bool = False,
    clip: float | None = None,
    input_forget: bool = False,
    activations: Sequence[Activation] | None = None,
) -> dict:
    """Run the ONNX LSTM operator over five steps of two streams, 3 inputs and 4 cells."""
    size_in, hidden, steps, batch = 3, 4, 5, 2
    names = {"forward": ("forward",), "reverse": ("backward",), "bidirectional": DIRECTIONS}[
        direction
    ]
    ways = len(names)
    numbers = Numbers(seed)
    feeds = {
        "X": numbers.take(steps, batch, size_in),
        "W": numbers.take(ways, 4 * hidden, size_in),
        "R": numbers.take(ways, 4 * hidden, hidden),
        "B": numbers.take(ways, 8 * hidden),
        "initial_h": numbers.take(ways, batch, hidden),
        "initial_c": numbers.take(ways, batch, hidden),
    }
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if peephole:
        feeds["P"] = numbers.take(ways, 3 * hidden)
    if clip is not None:
        attributes["clip"] = clip
    if input_forget:
        attributes["input_forget"] = 1
    if activations is not None:
        attributes.update(activation_attributes(activations, ways))
    output, last_h, last_c = run_onnx(feeds, attributes)

    entries = []
    for way, name in enumerate(names):
        part = {
            "W": feeds["W"][way],
            "U": feeds["R"][way],
            "b_W": feeds["B"][way, : 4 * hidden],
            "b_U": feeds["B"][way, 4 * hidden :],
        }
        if peephole:
            part["p"] = feeds["P"][way]
        entries.append(direction_entry(name, "iofg", part, "iof" if peephole else None))
    kinds = ["peephole"] * peephole + ["coupled-forget"] * input_forget
    return plain_case(
        case_id,
        "+".join(kinds) or "lstm",
        [entries],
        feeds["X"].transpose(1, 0, 2),
        activations=None if activations is None else [activation_text(a) for a in activations],
        clip=clip,
        h0=feeds["initial_h"],
        c0=feeds["initial_c"],
        expected={
            # Y is T x directions x N x H
            "output": output.transpose(2, 0, 1, 3).reshape(batch, steps, ways * hidden),
            "h": last_h.transpose(1, 0, 2).reshape(batch, ways * hidden),
            "c": last_c.transpose(1, 0, 2).reshape(batch, ways * hidden),
        },
        atol=2e-6,
    )


def onnx_cases() -> list[dict]:
    """Run every ONNX Runtime case."""
    hard, scaled = ("HardSigmoid", 0.2, 0.5), ("ScaledTanh", 1.7, 0.6)
    leaky = ("LeakyRelu", 0.1)
    return [
        onnx_case("ort-forward", 201),
        onnx_case("ort-reverse", 202, direction="reverse"),
        onnx_case("ort-bidirectional", 203, direction="bidirectional"),
        onnx_case("ort-peephole", 204, peephole=True),
        onnx_case("ort-peephole-bidirectional", 205, peephole=True, direction="bidirectional"),
        onnx_case("ort-clip", 206, clip=0.4),
        onnx_case("ort-clip-peephole", 207, clip=0.5, peephole=True),
        onnx_case("ort-input-forget", 208, input_forget=True),
        onnx_case("ort-input-forget-peephole", 209, input_forget=True, peephole=True),
        onnx_case("ort-hardsigmoid-scaledtanh-leakyrelu", 210, activations=[hard, scaled, leaky]),
        onnx_case(
            "ort-sigmoid-elu-softsign", 211, activations=[("Sigmoid",), ("Elu", 0.7), ("Softsign",)]
        ),
        onnx_case(
            "ort-hardsigmoid-relu-softplus",
            212,
            activations=[("HardSigmoid", 0.3, 0.4), ("Relu",), ("Softplus",)],
        ),
        onnx_case(
            "ort-affine-thresholdedrelu-tanh",
            213,
            activations=[("Affine", 0.25, 0.45), ("ThresholdedRelu", 0.3), ("Tanh",)],
        ),
        onnx_case(
            "ort-sigmoid-leakyrelu-elu",
            214,
            activations=[("Sigmoid",), ("LeakyRelu", 0.2), ("Elu", 0.6)],
        ),
        onnx_case(
            "ort-softplus-softsign-affine",
            215,
            activations=[("Softplus",), ("Softsign",), ("Affine", 0.8, 0.15)],
        ),
        onnx_case(
            "ort-scaledtanh-softplus-thresholdedrelu",
            216,
            activations=[("ScaledTanh", 0.9, 1.2), ("Softplus",), ("ThresholdedRelu", 0.25)],
        ),
        onnx_case(
            "ort-bidirectional-hardsigmoid-scaledtanh-leakyrelu",
            217,
            direction="bidirectional",
            activations=[hard, scaled, leaky],
        ),
    ]


# ------------------------------------------------------------------------- writing


def write(path: Path, source: str, note: str, versions: dict[str, str], cases: list[dict]) -> None:
    """Write one file, a key a line."""
    head = {
        "source": source,
        "license": "numbers made here by running the framework",
        "note": note,
        "versions": {"python": platform.python_version(), "numpy": np.__version__, **versions},
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    blocks = [
        "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in case.items()) + "\n}"
        for case in cases
    ]
    body = "{\n" + "\n".join(lines) + '\n"cases": [\n' + ",\n".join(blocks) + "\n]\n}\n"
    path.write_text(body, encoding="utf-8")
    print(f"{path.name}: {len(cases)} cases, {len(body)} bytes")


def main() -> None:
    """Write both files."""
    torch.set_num_threads(1)
    torch_version = torch.__version__.split("+")[0]
    write(
        HERE / "torch_live.json",
        f"PyTorch {torch_version}, run by make_frameworks.py",
        "float64 throughout; inputs are multiples of 0.0001, distinct and non-zero in each case",
        {"torch": torch.__version__},
        torch_cases(),
    )
    write(
        HERE / "onnxruntime_live.json",
        f"ONNX Runtime {onnxruntime.__version__}, run by make_frameworks.py",
        "float32 on the CPU, inputs rounded to float32 on the way in; expected values are the "
        "shortest decimals of the float32 results. Inputs are multiples of 0.0001, distinct and "
        "non-zero in each case. clip bounds what enters the gate and candidate activations (with "
        "peepholes included), not the cell before the output activation",
        {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "opset": str(OPSET)},
        onnx_cases(),
    )


if __name__ == "__main__":
    main()
