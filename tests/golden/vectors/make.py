"""Make the sample files here: the test vectors that other projects ship, one file a project.

Run from the repository's root:

    python -m tests.golden.vectors.make          from ../*.json, and distinct.jsonl: Python alone
    python -m tests.golden.vectors.make onnx     needs onnx (made with 1.23.2)
    python -m tests.golden.vectors.make keras    needs Keras 3, a backend for it, absl-py and pytest
                                                 (made with 3.15.1 on torch: KERAS_BACKEND=torch)

What an ONNX node test or a Keras test compares is overheard while that project's own test file
runs, so no number is copied by hand. An element of a batch is a sample of its own. A direction
that runs backward alone has `layer0_backward_` before its framework's names, and x stays in order.
"""

from __future__ import annotations

import json
import random
import sys
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

from tests.witness import Witness

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent
Json = dict[str, Any]

# File here -> golden file, convention.
CONVERTED = {
    "candle": ("candle", "candle"),
    "onnxruntime": ("onnxruntime_tests", "onnx"),
    "openvino": ("openvino", "openvino"),
    "pytorch-cpp": ("pytorch_cpp", "pytorch"),
    "tflite": ("tflite", "tflite"),
    "tflite-micro": ("tflite_micro", "tflite"),
}
ORDERS = {"candle": "ifgo", "onnx": "iofg", "openvino": "figo", "pytorch": "ifgo"}
# How a golden file's keys are called where a stack is kept in two directions.
ONNX_KEYS = {"W": "W", "U": "R", "p": "P"}
PYTORCH_KEYS = {"W": "weight_ih_l0", "U": "weight_hh_l0", "b_W": "bias_ih_l0", "b_U": "bias_hh_l0"}


# ---- golden files


def converted(name: str) -> list[Json]:
    """Return the samples of a golden file: its numbers, under its framework's names."""
    golden, convention = CONVERTED[name]
    document = json.loads((GOLDEN / f"{golden}.json").read_text(encoding="utf-8"))
    project = document["source"].split(" (")[0].split(";")[0]
    source = f"{project} ({document['license']})"
    return [
        _element(case, number, source, convention)
        for case in document["cases"]
        for number in range(len(case["x"]))
    ]


def _element(case: Json, number: int, source: str, convention: str) -> Json:
    """Return one element of a case's batch."""
    convention = _convention(case, convention)
    note = f"{source}, {case['id']}"
    states = {key: case[f"{key}0"] for key in "hc" if case[f"{key}0"] is not None}
    sample = {
        "id": _name(case["id"], number, len(case["x"])),
        "note": "; ".join([note, case["note"]] if case.get("note") else [note]),
        "x": case["x"][number],
        **{key: _rows([run[number] for run in runs]) for key, runs in states.items()},
        "convention": convention,
        "weights": _weights(case["layers"][0], convention),
        "expected": {key: value[number] for key, value in case["expected"].items()},
        "atol": case["atol"],
    }
    if case["activations"]:
        sample["activations"] = ",".join(case["activations"])
    return sample | {key: case[key] for key in ("clip", "cell_clip") if case[key]}


def _convention(case: Json, convention: str) -> str:
    """Return what a case is stacked as: one of OpenVINO's is as ONNX; ONNX has no stack of three.

    `split` says by a gate's absence that it is coupled, which a sample with ONNX's names cannot.
    """
    order = case["layers"][0][0]["order"]
    if convention == "tflite" or order == ORDERS[convention]:
        return convention
    return "onnx" if order == ORDERS["onnx"] else "split"


def _name(name: str, number: int, count: int) -> str:
    return name if count == 1 else f"{name}/{number}"


def _rows(rows: list[Any]) -> list[Any]:
    """Return one row a run, or the row itself where there is one."""
    return rows if len(rows) > 1 else rows[0]


def _weights(parts: Sequence[Json], convention: str) -> Json:
    match convention:
        case "onnx":
            return _onnx_weights({part["direction"]: _as_onnx(part) for part in parts})
        case "openvino":
            return {"W": parts[0]["W"], "R": parts[0]["U"], "B": parts[0]["b_W"]}
        case "pytorch" | "candle":
            return {key: parts[0][ours] for ours, key in PYTORCH_KEYS.items()}
    lead = "layer0_{}_" if len(parts) > 1 else ""
    return {
        lead.format(part["direction"]) + key: value
        for part in parts
        for key, value in _cut(part).items()
    }


def _as_onnx(part: Json) -> Json:
    """Return ONNX's tensors of one direction, without their axis of directions."""
    tensors = {key: part[ours] for ours, key in ONNX_KEYS.items() if part[ours] is not None}
    if part["b_U"] is not None:
        tensors["B"] = part["b_W"] + part["b_U"]
    elif any(part["b_W"]):
        tensors["B"] = part["b_W"] + [0.0] * len(part["b_W"])
    return tensors


def _onnx_weights(parts: Mapping[str, Json]) -> Json:
    """Return ONNX's tensors with their axis of directions; a reverse LSTM has a name for it."""
    if list(parts) == ["backward"]:
        return {f"layer0_backward_{key}": value for key, value in parts["backward"].items()}
    return {key: [part[key] for part in parts.values()] for key in parts["forward"]}


def _cut(part: Json) -> Json:
    """Return a tensor a gate; a second bias is zero in every file that is cut."""
    assert not any(part["b_U"] or [])
    size = len(part["W"]) // len(part["order"])
    arrays = {
        f"{letter}_{gate}": part[key][place * size : (place + 1) * size]
        for letter, key in (("W", "W"), ("U", "U"), ("b", "b_W"))
        for place, gate in enumerate(part["order"])
    }
    for place, gate in enumerate(part["p_order"] or ""):
        arrays[f"p_{gate}"] = part["p"][place * size : (place + 1) * size]
    return arrays | ({} if part["W_hr"] is None else {"W_hr": part["W_hr"]})


# ---- one case that every mistake shows in


def distinct(inputs: int = 3, hidden: int = 4, steps: int = 3, clip: float = 1.2) -> list[Json]:
    """Return one random case of distinct numbers, its answer by the second witness."""
    chance = random.Random(20)
    sizes = iter(chance.sample(range(500, 10000), 1000))

    def draw(*shape: int) -> Any:
        if not shape:
            return next(sizes) * chance.choice((-1, 1)) / 10000
        return [draw(*shape[1:]) for _ in range(shape[0])]

    weights = {
        "W": draw(1, 4 * hidden, inputs),
        "R": draw(1, 4 * hidden, hidden),
        "B": draw(1, 8 * hidden),
        "P": draw(1, 3 * hidden),
    }
    x, h, c = draw(steps, inputs), draw(hidden), [2 * value for value in draw(hidden)]
    sample = {
        "id": "distinct",
        "note": "made for this file: random numbers, no two alike, two biases, peepholes, states "
        "and a clip that some pre-activations meet; expected by tests/witness.py",
        "x": x, "h": h, "c": c,
        "convention": "onnx", "clip": clip, "weights": weights,
    }  # fmt: skip
    return [sample | {"expected": by_witness(sample), "atol": 1e-13}]


def by_witness(sample: Json) -> Json:
    """Return h and c of each step of a sample with ONNX's tensors, by the second witness."""
    hidden = len(sample["h"])
    W, R, B, P = (sample["weights"][key][0] for key in "WRBP")

    def blocks(stack: Sequence[Any], order: str) -> dict[str, Any]:
        return {k: stack[n * hidden : (n + 1) * hidden] for n, k in enumerate(order)}

    biases = [a + b for a, b in zip(B[: 4 * hidden], B[4 * hidden :], strict=True)]
    stacks = (blocks(stack, ORDERS["onnx"]) for stack in (W, R, biases))
    witness = Witness(*stacks, p=blocks(P, "iof"), clip=sample["clip"])
    made = witness.run(sample["x"], sample["h"], sample["c"])
    return {key: [step[key] for step in made] for key in "hc"}


# ---- ONNX


def onnx_node() -> list[Json]:
    """Return what each of ONNX's LSTM node tests compares, by that file's own helper."""
    from onnx.backend.test.case.node import lstm as module

    heard: list[Json] = []
    with mock.patch.object(module, "expect", lambda node, **test: heard.append(test | {"n": node})):
        for name in vars(module.LSTM):
            if name.startswith("export"):
                getattr(module.LSTM, name)()
    return [sample for test in heard for sample in _node_test(**test)]


def _node_test(n: Any, inputs: list[Any], outputs: list[Any], name: str) -> Iterator[Json]:
    """Yield the elements of a node test's batch."""
    import onnx

    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in n.attribute}
    direction = attributes.get("direction", b"forward").decode()
    given = dict(zip(n.input, inputs, strict=True))
    wanted = dict(zip(filter(None, n.output), outputs, strict=True))
    first = 0 if attributes.get("layout") else 1  # the axis of the batch, but that of Y
    x = given["X"].swapaxes(0, first)
    assert all(length == x.shape[1] for length in given.get("sequence_lens", ()))
    for number in range(len(x)):
        states = {
            key: _rows(_decimals(given[f"initial_{key}"].swapaxes(0, first)[number]))
            for key in "hc"
            if f"initial_{key}" in given
        }
        yield {
            "id": _name(name.removeprefix("test_lstm_"), number, len(x)),
            "note": "onnx/onnx onnx/backend/test/case/node/lstm.py "
            f"({onnx.__version__}, Apache-2.0), {name}",
            "x": _decimals(x[number]), **states,
            "convention": "onnx",
            "weights": _node_weights(given, direction),
            "expected": dict(_compared(wanted, first, number)),
            "atol": 1e-6,
        }  # fmt: skip


def _node_weights(given: Json, direction: str) -> Json:
    tensors = {key: _decimals(given[key]) for key in ("W", "R", "B", "P") if key in given}
    sides = ["backward"] if direction == "reverse" else ["forward", "backward"]
    return _onnx_weights(
        {side: {key: tensors[key][run] for key in tensors}
         for run, side in zip(range(len(tensors["W"])), sides, strict=False)}
    )  # fmt: skip


def _compared(wanted: Json, first: int, number: int) -> Iterator[tuple[str, list[Any]]]:
    """Yield what a test compares, directions side by side: Y (T, D·H), Y_h and Y_c (D·H,)."""
    for name, value in wanted.items():
        if name == "Y":  # (N, T, D, H) or (T, D, N, H)
            element = value[number] if first == 0 else value[:, :, number]
            yield "output", _decimals(element.reshape(len(element), -1))
        else:  # (N, D, H) or (D, N, H)
            yield name.removeprefix("Y_"), _decimals(value.swapaxes(0, first)[number].ravel())


def _decimals(array: Any) -> Any:
    """Return an array of float32 as nested lists of the shortest decimals that mean the same."""
    if array.ndim:
        return [_decimals(each) for each in array]
    return float(str(array))


# ---- Keras


def keras() -> list[Json]:
    """Return what Keras' LSTM tests compare, each set of numbers once."""
    from keras.src.layers.rnn import lstm_test

    samples: list[Json] = []
    seen: set[str] = set()

    def hear(**comparison: Any) -> None:
        for sample in _keras_samples(**comparison):
            numbers = json.dumps({k: v for k, v in sample.items() if k not in ("id", "note")})
            if numbers not in seen:
                seen.add(numbers)
                samples.append(sample)

    layer_class, test_class = _listening(lstm_test, hear)
    with mock.patch.object(lstm_test.layers, "LSTM", layer_class):
        names = unittest.defaultTestLoader.getTestCaseNames(test_class)
        suite = unittest.TestSuite(test_class(name) for name in names if "basics" not in name)
        with redirect_stderr(StringIO()) as said:
            result = unittest.TextTestRunner().run(suite)
    assert result.wasSuccessful(), said.getvalue()
    return samples


def _listening(module: Any, hear: Callable[..., None]) -> tuple[type, type]:
    """Return Keras' layer and its test case, each telling what passes through it."""
    last: Json = {"layer": None}  # the layer called last, and each call since its last reset

    class Layer(module.layers.LSTM):  # type: ignore[misc] # only known when the module is
        def __call__(self, sequence: Any, **how: Any) -> Any:
            again = last["layer"] is self and self.stateful
            before = last["calls"] if again else []
            last.update(layer=self, calls=[*before, (sequence, how)], number=0)
            return super().__call__(sequence, **how)

        def reset_state(self) -> None:
            last["layer"] = None
            super().reset_state()

    class Test(module.LSTMTest):  # type: ignore[misc] # likewise
        def assertAllClose(self, got: Any, expected: Any, **how: Any) -> None:
            super().assertAllClose(got, expected, **how)
            hear(**last, expected=expected, test=self._testMethodName)
            last["number"] += 1

    return Layer, Test


def _keras_samples(
    layer: Any, calls: list[Any], number: int, expected: Any, test: str
) -> Iterator[Json]:
    """Yield the elements of a comparison; of sequences, each is an element's own, in order."""
    import keras as package

    test = test.rstrip("0123456789")
    elements = [number] if layer.return_sequences else range(len(expected))
    told = [key for key in ("go_backwards", "unroll") if getattr(layer, key)]
    told += [f"no {key}" for key in ("use_bias", "unit_forget_bias") if not getattr(layer, key)]
    for element in elements:
        x, there = _kept(calls, element)
        rows = expected[there] if layer.return_sequences else expected[element]
        remarks = [*told, *(["masked steps left out"] if not all(there) else [])]
        remarks += ["x twice, as it is called twice"] if len(calls) > 1 else []
        yield {
            "id": "-".join([test.removeprefix("test_"), *told]).replace(" ", "-") + f"/{element}",
            "note": "; ".join([
                f"keras-team/keras keras/src/layers/rnn/lstm_test.py ({package.__version__}, "
                f"Apache-2.0), {test}", *remarks,
            ]),
            "x": x, **_keras_states(calls, element),
            "convention": "keras",
            "weights": _keras_weights(layer),
            "expected": {"output" if layer.return_sequences else "h": rows.tolist()},
            "atol": 1e-6,
        }  # fmt: skip


def _kept(calls: list[Any], element: int) -> tuple[list[Any], list[bool]]:
    """Return the steps of an element that a mask leaves, and the mask of the last call."""
    rows: list[Any] = []
    for sequence, how in calls:
        mask = how.get("mask")
        there = [True] * sequence.shape[1] if mask is None else mask[element].tolist()
        rows += _decimals(sequence[element][there])
    return rows, there


def _keras_states(calls: list[Any], element: int) -> Json:
    states = calls[0][1].get("initial_state", ())
    return {key: _decimals(state[element]) for key, state in zip("hc", states, strict=False)}


def _keras_weights(layer: Any) -> Json:
    lead = "layer0_backward_" if layer.go_backwards else ""
    names = ("kernel", "recurrent_kernel", "bias")
    return {
        lead + name: _decimals(array)
        for name, array in zip(names, layer.get_weights(), strict=False)
    }


def write(name: str, samples: list[Json]) -> None:
    """Write one sample a line."""
    lines = [json.dumps(sample) + "\n" for sample in samples]
    (HERE / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"{name}.jsonl: {len(lines)} samples")


def main(part: str = "") -> None:
    """Write the files of one part."""
    match part:
        case "onnx":
            write("onnx-node", onnx_node())
        case "keras":
            write("keras", keras())
        case _:
            for name in CONVERTED:
                write(name, converted(name))
            write("distinct", distinct())


if __name__ == "__main__":
    main(*sys.argv[1:])
