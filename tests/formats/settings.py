"""What changes h in each format that is read, and what is done with it, a row each.

`test_settings.py` writes a file for each row and holds it to what the row says;
`python -m tests.formats.settings` prints the table of docs/what-changes-h.md.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

FILES = Path(__file__).parents[1] / "files"

# What is done with a setting.
DONE = {
    "honoured": "the numbers are those with it",
    "refused": "the file, or the stack, is not run; the reason is told",
    "named": "it is not computed here; a sentence under `open` and in `assumptions` says so",
    "no effect": "it changes nothing once training is over",
    "not in the file": "the file does not have it; an option gives it",
}
Make = Callable[[Path], Path]


@dataclass(frozen=True)
class Setting:
    """A row.

    Attributes:
        done: a key of `DONE`.
        how: what comes of it, for the page.
        make: writes a file with the setting into a folder.
        plain: writes the same file without it, for what is honoured or has no effect.
        said: what the assumptions or the refusal say of it.
    """

    format: str
    setting: str
    done: str
    how: str = ""
    make: Make | None = None
    plain: Make | None = None
    said: str = ""


# --- ONNX -----------------------------------------------------------------------------------------


def onnx_file(
    folder: Path, *, before: Any = (), after: Any = (), over: Any = None, inputs: Any = (),
    domain: str = "", computed: bool = False, **attributes: Any,
) -> Path:  # fmt: skip
    """A model of an LSTM node of I = 3 and H = 2.

    Args:
        before: operators between X and the node, as (name, further inputs, attributes).
        after: operators between it and a second node; none for no second node.
        over: replaces weights by name.
        inputs: names of the node's inputs from sequence_lens on.
        computed: whether R is made of the model's input.
    """
    import onnx
    from onnx import helper, numpy_helper

    ways = 2 if attributes.get("direction") == "bidirectional" else 1
    draw = np.random.default_rng(5).uniform(-1, 1, 400).astype(np.float32)
    shapes = {"W": (ways, 8, 3), "R": (ways, 8, 2), "B": (ways, 16), "P": (ways, 6)}
    weights: dict[str, Any] = {
        key: np.resize(draw[17 * n :], shape) for n, (key, shape) in enumerate(shapes.items())
    }
    weights |= {"lens": np.array([3], np.int32), "start": np.full((1, 2, 2), 0.3, np.float32)}
    weights |= {"axes": np.array([1]), "half": np.float32(0.5), "yes": np.array(True)}
    weights |= {f"{key}2": np.resize(draw[9:], shape) for key, shape in
                {"W": (1, 8, 2), "R": (1, 8, 2), "B": (1, 16)}.items()}  # fmt: skip
    weights |= {"from": np.array([-1]), "to": np.array([-(2**62)]), "time": np.array([0])}
    weights |= over or {}
    nodes = list(_chain("X", "x", before))
    if computed:
        nodes.append(helper.make_node("Mul", ["R", "X"], ["made"]))
    names = ["x", "W", "made" if computed else "R", "B", *inputs]
    outputs = ["Y", "Yh", "Yc"]
    nodes.append(helper.make_node("LSTM", names, outputs, name="l", domain=domain, **attributes))
    if after:
        nodes += _chain("Y", "x2", after)
        nodes.append(helper.make_node("LSTM", ["x2", "W2", "R2", "B2"], ["Z"], name="m"))
    told = helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, ("T", "N", 3))
    constants = [numpy_helper.from_array(np.asarray(a), key) for key, a in weights.items()]
    path = folder / "model.onnx"
    graph = helper.make_graph(nodes, "g", [told], [], constants)
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def _chain(start: str, end: str, operators: Any) -> Iterator[Any]:
    from onnx import helper

    operators = list(operators) or [("Identity", [], {})]
    for number, (kind, inputs, attributes) in enumerate(operators):
        made = end if number == len(operators) - 1 else f"{end}_{number}"
        yield helper.make_node(kind, [start, *inputs], [made], **attributes)
        start = made


SQUEEZE = ("Squeeze", ["axes"], {})
BACK = ("Slice", ["from", "to", "time", "from"], {})


def onnx_row(setting: str, done: str, how: str = "", said: str = "", **made: Any) -> Setting:
    plain = partial(onnx_file, after=[SQUEEZE]) if "after" in made else onnx_file
    return Setting("ONNX", setting, done, how, partial(onnx_file, **made), plain, said)


ONNX = [
    onnx_row("`activations`", "honoured", activations=["HardSigmoid", "Tanh", "Relu"]),
    onnx_row("an activation that ONNX does not have", "refused", said="is not known",
             activations=["Sigmoid", "Mish", "Tanh"]),
    onnx_row("`activation_alpha`, `activation_beta`", "honoured",
             activations=["HardSigmoid", "Tanh", "Tanh"], activation_alpha=[0.4],
             activation_beta=[0.3]),
    onnx_row("`clip`", "honoured", "on pre-activations, not on c before its tanh, as onnxruntime",
             clip=0.2),
    onnx_row("`direction`", "honoured", direction="reverse"),
    onnx_row("another `direction`", "refused", said="direction is", direction="sideways"),
    onnx_row("`hidden_size` that the weights do not have", "refused", said="H = 5 needs",
             hidden_size=5),
    onnx_row("`input_forget`", "honoured", input_forget=1),
    onnx_row("`layout`", "named", "the batch axis first: x is given as (T, I) in any case",
             "batch axis first", layout=1),
    onnx_row("an attribute that is not known", "named", said="not known here", output_sequence=1),
    onnx_row("`W`, `R`, `B`, `P` in other shapes or ranks", "refused", said="its W is",
             over={"W": np.ones((8, 3), np.float32)}),
    onnx_row("`W`, `R`, `B`, `P` computed from the model's input", "refused",
             said="is not in the file", computed=True),
    onnx_row("an LSTM of another domain", "refused", said="only ONNX's own LSTM",
             domain="com.microsoft"),
    onnx_row("`B`", "honoured", "without it the biases are zeros, which is told",
             over={"B": np.full((1, 16), 0.5, np.float32)}),
    onnx_row("`sequence_lens`, a constant", "honoured", inputs=["lens"]),
    onnx_row("`sequence_lens` that the model is given", "named", "`--lengths`", "sequence_lens",
             inputs=["given"]),
    onnx_row("`sequence_lens` of two nodes that differ", "refused", "", "other sequence_lens",
             inputs=["lens"], after=[SQUEEZE]),
    onnx_row("`initial_h`, `initial_c`", "named", "`--h`, `--c` give them", "initial_h",
             inputs=["", "start", "start"]),
    onnx_row("`P` (peepholes)", "honoured", inputs=["", "", "", "P"]),
    onnx_row("an operator before the node", "named", said="computed by Relu",
             before=[("Relu", [], {})]),
    onnx_row("x in reversed time (`Slice` by -1)", "honoured", "the node runs the other way",
             before=[BACK]),
    onnx_row("`Transpose`, `Reshape`, `Squeeze`, `Identity`, `Cast` between two nodes", "no effect",
             "followed: the nodes are one stack", after=[SQUEEZE, ("Identity", [], {})]),
    onnx_row("`Dropout` between two nodes", "no effect", after=[SQUEEZE, ("Dropout", [], {})]),
    onnx_row("`Dropout` in training mode", "refused", said="training mode",
             after=[SQUEEZE, ("Dropout", ["half", "yes"], {})]),
    onnx_row("any other operator between two nodes", "refused", "`--lstm` runs one of them alone",
             "computed by Relu", after=[SQUEEZE, ("Relu", [], {})]),
]  # fmt: skip


# --- Keras ----------------------------------------------------------------------------------------


def lstm(name: str = "a", kind: str = "LSTM", **config: Any) -> dict[str, Any]:
    """The configuration of a layer."""
    told = {"name": name, "units": 2, "activation": "tanh", "recurrent_activation": "sigmoid",
            "return_sequences": True}  # fmt: skip
    return {"class_name": kind, "config": told | config}


def other(kind: str, **config: Any) -> dict[str, Any]:
    """The configuration of a layer without weights."""
    return {"class_name": kind, "config": {"name": kind.lower(), **config}}


def both(**config: Any) -> dict[str, Any]:
    """Two directions of a layer."""
    return {"class_name": "Bidirectional", "config": {"name": "a", "layer": lstm(), **config}}


def keras_file(
    folder: Path, *layers: dict[str, Any], version: str = "3.15.0", bias: bool = True,
    calls: Any = None, extra: str = "",
) -> Path:  # fmt: skip
    """A .keras of layers, the LSTMs with weights of their own, wide enough for all cases.

    Args:
        calls: for a model of layers by name, what each is called with.
        extra: the name of a further weight of the first layer.
    """
    import h5py

    draw, used, wide = np.random.default_rng(7), Counter[str](), 3
    path = folder / "model.keras"
    with h5py.File(folder / "weights.h5", "w") as file:
        for layer in layers:
            kind = layer["class_name"]
            inside = {"LSTM": [""], "Bidirectional": ["/forward_layer", "/backward_layer"],
                      "TimeDistributed": ["/layer"]}.get(kind, [])  # fmt: skip
            step = {"LSTM": "lstm", "TimeDistributed": "time_distributed"}.get(kind, kind.lower())
            used[kind] += 1
            step += f"_{used[kind] - 1}" if used[kind] > 1 else ""
            for way in inside:
                shapes = ((wide, 8), (2, 8), (8,))[: 3 if bias else 2]
                for number, shape in enumerate(shapes):
                    file[f"layers/{step}{way}/cell/vars/{number}"] = draw.uniform(-1, 1, shape)
            if inside:
                wide = 2 * len(inside)
    if calls is not None:
        layers = tuple(each | {"name": each["config"]["name"], "inbound_nodes": calls[n]}
                       for n, each in enumerate(layers))  # fmt: skip
    ends = {"output_layers": [[layers[-1]["config"]["name"], 0, 0]]} if calls else {}
    model = {"class_name": "Functional" if calls else "Sequential",
             "config": {"name": "m", "layers": list(layers), **ends}}  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.write(folder / "weights.h5", "model.weights.h5")
    return path


def keras(*layers: dict[str, Any], **made: Any) -> Make:
    """What writes a .keras of layers."""
    return lambda folder: keras_file(folder, *layers, **made)


def keras_row(
    setting: str, done: str, how: str = "", said: str = "", *layers: dict[str, Any],
    plain: Make | None = None, **made: Any,
) -> Setting:  # fmt: skip
    plain = plain or keras(lstm())
    return Setting("Keras", setting, done, how, keras(*layers, **made), plain, said)


TWO = keras(lstm(), lstm("b"))
INPUT = other("InputLayer")

KERAS = [
    keras_row("`activation`, `recurrent_activation`", "honoured", "", "",
              lstm(recurrent_activation="hard_sigmoid", activation="relu")),
    keras_row("an activation that is not known", "refused", "", "is not one that is computed",
              lstm(activation="mish")),
    keras_row("`hard_sigmoid` by the version of Keras", "honoured",
              "0.2 z + 0.5 before Keras 3, z / 6 + 0.5 since", "",
              lstm(recurrent_activation="hard_sigmoid"), version="2.15.0",
              plain=keras(lstm(recurrent_activation="hard_sigmoid"))),
    keras_row("`use_bias = false`", "named", "zeros", "no biases", lstm(use_bias=False),
              bias=False),
    keras_row("`go_backwards`", "honoured", "its output is shown in input time, which is told", "",
              lstm(go_backwards=True)),
    keras_row("`stateful`", "named", "`--h`, `--c` carry the states on", "stateful = true",
              lstm(stateful=True)),
    keras_row("`time_major`", "named", "", "time axis first", lstm(time_major=True)),
    keras_row("`dtype` of fewer bits", "named", "", "mixed_float16",
              lstm(dtype={"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}})),
    keras_row("`dropout`, `recurrent_dropout`", "no effect", "", "",
              lstm(dropout=0.3, recurrent_dropout=0.2)),
    keras_row("`unroll`, `implementation`, `return_state`", "no effect", "", "",
              lstm(unroll=True, implementation=1, return_state=True)),
    keras_row("`unit_forget_bias`, initializers, regularizers, constraints", "no effect",
              "they are in the weights", "",
              lstm(unit_forget_bias=True, kernel_constraint={"class_name": "MaxNorm"})),
    keras_row("`return_sequences = false` in the last layer", "no effect", "`h` is the last state",
              "", lstm(return_sequences=False)),
    keras_row("an argument that is not known", "named", "", "not known here", lstm(gating="odd")),
    keras_row("a class of the user's own", "named", "read as a plain LSTM", "is taken to be",
              lstm(kind="LSTM") | {"module": "mine"}),
    keras_row("`Bidirectional`, `merge_mode = concat`", "honoured", "", "", both()),
    keras_row("`Bidirectional` around `go_backwards`", "named", "", "directions are swapped",
              both(layer=lstm(go_backwards=True))),
    keras_row("`Masking`", "honoured", "", "", other("Masking", mask_value=0.0), lstm()),
    keras_row("a mask that a layer is called with", "named", "`--mask`", "called with a mask",
              INPUT, lstm(), calls=[[], [{"args": [["inputlayer", 0, 0]],
                                          "kwargs": {"mask": ["odd", 0, 0]}}]]),
    keras_row("`Masking` before a stack", "honoured", "in every layer", "",
              other("Masking", mask_value=0.0), lstm(), lstm("b"), plain=TWO),
    keras_row("`Masking` between two LSTMs", "refused", "", "computed by Masking", lstm(),
              other("Masking"), lstm("b")),
    keras_row("`Embedding(mask_zero=True)`", "named", "", "steps of index 0",
              other("Embedding", mask_zero=True), lstm()),
    keras_row("a layer before the first LSTM", "named", "x is given as that layer leaves it",
              "computed by Dense 'dense'", other("Dense"), lstm()),
    keras_row("`TimeDistributed` around an LSTM", "named", "", "inside a TimeDistributed",
              other("TimeDistributed", layer=lstm())),
    keras_row("initial states that the model computes", "named", "`--h`, `--c` give them",
              "initial states are computed", INPUT, other("Dense"), lstm(),
              calls=[[], [[["inputlayer", 0, 0, {}]]],
                     [[["inputlayer", 0, 0, {}], ["dense", 0, 0, {}], ["dense", 0, 0, {}]]]]),
    keras_row("a layer that is called more than once", "named", "", "called 2 times", INPUT, lstm(),
              calls=[[], [[["inputlayer", 0, 0, {}]], [["a", 0, 0, {}]]]]),
    keras_row("`Dropout` and its kin, `Identity` between two LSTMs", "no effect",
              "the layers are one stack", "", lstm(), other("SpatialDropout1D"), lstm("b"),
              plain=TWO),
    keras_row("`return_sequences = false` between two LSTMs", "refused", "", "returns no sequence",
              lstm(return_sequences=False), lstm("b")),
    keras_row("`merge_mode` other than concat between two LSTMs", "refused", "", "merged by sum",
              both(merge_mode="sum"), lstm("b")),
    keras_row("any other layer between two LSTMs", "refused", "`--lstm` runs one of them alone",
              "computed by Dense 'dense'", lstm(), other("Dense"), lstm("b")),
]  # fmt: skip


# --- TensorFlow Lite ------------------------------------------------------------------------------


def tflite_file(folder: Path, name: str = "one_way", change: Callable[[bytes], dict[int, bytes]]
                | None = None) -> Path:  # fmt: skip
    """A golden file, some of its bytes changed."""
    data = bytearray((FILES / f"tflite_{name}.tflite").read_bytes())
    for at, new in (change(bytes(data)) if change else {}).items():
        data[at : at + len(new)] = new
    (folder / "model.tflite").write_bytes(data)
    return folder / "model.tflite"


def _operator(data: bytes) -> Any:
    from lstm_cli.formats.tflite import FlatBuffer

    (graph,) = FlatBuffer(data, "file").root().tables(2)
    return graph.tables(3)[-1]


def option(number: int, kind: str, value: Any, data: bytes) -> dict[int, bytes]:
    """Where an option of the operator lies, and its new value."""
    return {_operator(data).table(4)._field(number): struct.pack(kind, value)}


def input_is(number: int, value: int, data: bytes) -> dict[int, bytes]:
    """Where an input of the operator lies, and the tensor that it is from now on."""
    from lstm_cli.formats.tflite import FlatBuffer

    start, _ = FlatBuffer(data, "file").vector(_operator(data)._follow(1), 4)
    return {start + 4 * number: struct.pack("<i", value)}


def tflite_row(setting: str, done: str, how: str, said: str, name: str, change: Any = None,
               plain: str = "") -> Setting:  # fmt: skip
    make = partial(tflite_file, name=name, change=change)
    without = partial(tflite_file, name=plain) if plain else None
    return Setting("TensorFlow Lite", setting, done, how, make, without, said)


TFLITE = [
    tflite_row("`fused_activation_function`", "honoured", "in the place of both tanh", "", "relu",
               partial(option, 0, "<b", 4), "relu"),
    tflite_row("another activation", "refused", "", "activation is number 3", "cell_clip",
               partial(option, 0, "<b", 3)),
    tflite_row("`cell_clip`", "honoured", "", "", "cell_clip", partial(option, 1, "<f", 0.01),
               "cell_clip"),
    tflite_row("`cell_clip = 10`", "named", "honoured, and named as the converter's habit",
               "converter writes 10.0", "keras_one_way"),
    tflite_row("peepholes, a projection", "honoured", "", "", "peephole_projection",
               None, "one_way"),
    tflite_row("no input gate (CIFG)", "honoured", "i = 1 - f", "", "cifg", None, "one_way"),
    tflite_row("half an input gate", "refused", "", "other parts of an input gate", "one_way",
               partial(input_is, 1, -1)),
    tflite_row("layer normalisation", "refused", "", "layer normalisation", "keras_one_way",
               partial(input_is, 21, 1)),
    tflite_row("an auxiliary input", "refused", "", "auxiliary input", "both_ways",
               partial(input_is, 39, 0)),
    tflite_row("`proj_clip`", "named", "", "proj_clip = 0.25: not applied", "proj_clip"),
    tflite_row("`diagonal_recurrent_tensors`", "refused", "", "are diagonal", "diagonal"),
    tflite_row("weights that are computed", "refused", "", "computed when the model runs",
               "one_way", partial(input_is, 2, 0)),
    tflite_row("weights in float16, int8", "named", "read as scale · (q - zero point)",
               "int8 weights", "int8"),
    tflite_row("x in reversed time (`REVERSE_V2`)", "honoured", "it runs the other way, told",
               "reversed in time", "keras_both_ways"),
]  # fmt: skip

REST = [
    Setting(name, setting, "not in the file", how)
    for name, setting, how in [
        ("PyTorch, safetensors", "`num_layers`, `bidirectional`, `proj_size`, `bias`",
         "read off the names and shapes of the tensors"),
        ("PyTorch, safetensors", "`batch_first`", "x is given as (T, I) in any case"),
        ("PyTorch, safetensors", "`dropout`", "it changes nothing once training is over"),
        ("PyTorch, safetensors", "what stands between two modules",
         "modules of different names are different LSTMs: `--lstm`"),
        ("PyTorch, safetensors", "packed sequences", "`--lengths`"),
        ("Flax, MLX", "activations", "`--activations`"),
        ("Flax, MLX", "`reverse`, `keep_order`, `time_major`", "turn x and the output yourself"),
        ("MATLAB", "`StateActivationFunction`, `GateActivationFunction`", "`--activations`"),
        ("MATLAB", "`HiddenState`, `CellState`", "`--h`, `--c`"),
        ("npz, JSON, Keras weights alone", "activations, clips, a forget bias at run time",
         "`--activations`, `--clip`, `--cell-clip`, `--forget-bias`"),
        ("npz, JSON, Keras weights alone", "which layers are joined", "`--lstm`"),
    ]
]  # fmt: skip

SETTINGS = [*ONNX, *KERAS, *TFLITE, *REST]


def page() -> str:
    """The tables as Markdown."""
    parts = ["", *(f"- **{done}**: {meaning}." for done, meaning in DONE.items()), ""]
    for name in dict.fromkeys(each.format for each in SETTINGS):
        parts += [f"## {name}", "", "| what changes h | what is done |", "| --- | --- |"]
        for each in SETTINGS:
            if each.format == name:
                how = f"; {each.how}" if each.how else ""
                parts.append(f"| {each.setting} | {each.done}{how} |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page())
