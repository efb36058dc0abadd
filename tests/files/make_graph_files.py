"""Make the ONNX and TensorFlow Lite files of this folder, each with what other software computes.

    pip install torch==2.13.0 onnx==1.23.2 onnxruntime==1.32.0 onnxscript
    python make_graph_files.py onnx
    pip install tensorflow-cpu==2.21.0 tf_keras==2.21.0 ai-edge-litert==2.3.0
    python make_graph_files.py tflite

Expected numbers are onnxruntime's and LiteRT's. Weights, biases, inputs and both initial states
are random, distinct and not zero. Nothing of lstm_cli is imported.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
N, T, INPUTS, HIDDEN = 2, 5, 2, 3


def numbers(array: Any) -> Any:
    """Nested lists with each float32's shortest decimal."""
    array = np.asarray(array)
    if array.ndim == 0:
        return float(str(array)) if array.dtype == np.float32 else float(array)
    return [numbers(each) for each in array]


def draw(seed: int, *shape: int, scale: float = 1.0) -> Any:
    generator = np.random.default_rng([seed, *shape])
    sign = generator.choice([-1.0, 1.0], shape)
    return (scale * sign * generator.uniform(0.1, 1.0, shape)).astype(np.float32)


def write(name: str, file: str, record: dict[str, Any]) -> None:
    text = json.dumps({"file": file} | record, allow_nan=False)
    (HERE / f"{name}.json").write_text(text + "\n")
    print(f"{name}: {(HERE / file).stat().st_size:,} bytes")


# --- ONNX ---------------------------------------------------------------------------------------


def make_onnx() -> None:
    import onnx
    import onnxruntime
    from onnx import TensorProto as tp
    from onnx import helper, numpy_helper

    onnxruntime.set_default_logger_severity(3)
    made_by = f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, make_graph_files.py"

    def info(name: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(name, tp.FLOAT, shape or None)

    def weights(seed: int, dirs: int, scale: float = 1.0, peephole: bool = False) -> dict[str, Any]:
        stacks = {
            "W": draw(seed, dirs, 4 * HIDDEN, INPUTS, scale=scale),
            "R": draw(seed + 1, dirs, 4 * HIDDEN, HIDDEN, scale=scale),
            "B": draw(seed + 2, dirs, 8 * HIDDEN, scale=scale),
        }
        if peephole:
            stacks["P"] = draw(seed + 3, dirs, 3 * HIDDEN, scale=scale)
        return stacks

    def states(seed: int, dirs: int, scale: float = 1.0) -> dict[str, Any]:
        return {
            "X": draw(seed + 4, T, N, INPUTS),
            "h0": draw(seed + 5, dirs, N, HIDDEN, scale=0.9),
            "c0": draw(seed + 6, dirs, N, HIDDEN, scale=1.5 * scale),
        }

    def lstm(dirs: int, names: list[str], **attributes: Any) -> Any:
        return helper.make_node(
            "LSTM", names, ["Y", "Y_h", "Y_c"], name="lstm", hidden_size=HIDDEN,
            direction=attributes.pop("direction", "forward"), **attributes,
        )  # fmt: skip

    def save(
        name: str, nodes: list[Any], initializers: list[Any], feeds: dict[str, Any], *,
        functions: Any = (), layer: str = "lstm", note: str = "", extra: Any = (),
    ) -> None:  # fmt: skip
        dirs = len(feeds["h0"])
        graph = helper.make_graph(
            nodes, name,
            [*[info(key, *value.shape) for key, value in feeds.items()], *extra],
            [info("Y", T, dirs, N, HIDDEN), info("Y_h", dirs, N, HIDDEN),
             info("Y_c", dirs, N, HIDDEN)],
            initializers,
        )  # fmt: skip
        opsets = [helper.make_opsetid("", 17)]
        if functions:
            opsets.append(helper.make_opsetid("own", 1))
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=8, functions=list(functions),
            producer_name="make_graph_files",
        )  # fmt: skip
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, HERE / f"{name}.onnx")
        session = onnxruntime.InferenceSession(HERE / f"{name}.onnx")
        feeds = feeds | ({"yes": np.array(True)} if extra else {})
        results = session.run(["Y", "Y_h", "Y_c"], feeds)
        golden(name, f"{name}.onnx", layer, feeds["X"], feeds["h0"], feeds["c0"], results,
               model, note)  # fmt: skip

    def golden(
        name: str, file: str, layer: str, x: Any, h0: Any, c0: Any, results: Any, model: Any,
        note: str = "",
    ) -> None:  # fmt: skip
        y, h, c = results  # (T, D, N, H), (D, N, H), (D, N, H)

        def joined(state: Any) -> Any:
            return np.concatenate(list(state), axis=-1)

        inner = [
            (f"{node.name}/{attribute.name}/{each.name}", each)
            for node in model.graph.node
            for attribute in node.attribute
            for each in attribute.g.initializer
        ]
        tensors = {
            key: {
                "shape": list(each.dims),
                "dtype": str(helper.tensor_dtype_to_np_dtype(each.data_type)),
            }
            for key, each in [*[(each.name, each) for each in model.graph.initializer], *inner]
        }
        write(name, file, {
            "made_by": made_by + (f", {note}" if note else ""), "layer": layer,
            "convention": "onnx", "x": numbers(x.transpose(1, 0, 2)),
            "h0": numbers(h0), "c0": numbers(c0),
            "expected": {
                "output": numbers(y.transpose(2, 0, 1, 3).reshape(x.shape[1], x.shape[0], -1)),
                "h": numbers(joined(h)), "c": numbers(joined(c)),
            },
            "atol": 2e-6, "tensors": tensors,
        })  # fmt: skip

    def plain(name: str, seed: int, dirs: int = 1, scale: float = 1.0, **attributes: Any) -> None:
        stacks = weights(seed, dirs, scale, peephole=attributes.pop("peephole", False))
        names = ["X", "W", "R", "B", "", "h0", "c0", *(["P"] if "P" in stacks else [])]
        initializers = [numpy_helper.from_array(value, key) for key, value in stacks.items()]
        save(name, [lstm(dirs, names, **attributes)], initializers, states(seed, dirs, scale))

    plain("onnx_forward", 100)
    plain("onnx_reverse", 110, direction="reverse")
    plain("onnx_bidirectional", 120, 2, direction="bidirectional")
    plain("onnx_peephole", 130, 2, direction="bidirectional", peephole=True)
    plain("onnx_clip", 140, scale=2.0, peephole=True, clip=0.7)
    plain("onnx_input_forget", 150, input_forget=1)
    # Alphas and betas are consumed by the functions that have them, in order.
    plain(
        "onnx_activations", 160, 2, direction="bidirectional",
        activations=["HardSigmoid", "ScaledTanh", "Affine", "Sigmoid", "LeakyRelu", "Softsign"],
        activation_alpha=[0.3, 1.7, 0.8, 0.25], activation_beta=[0.4, 0.6, 0.1],
    )  # fmt: skip
    plain(
        "onnx_activations_2", 170, 2, direction="bidirectional",
        activations=["HardSigmoid", "Elu", "Softplus", "Sigmoid", "ThresholdedRelu", "Relu"],
        activation_alpha=[0.15, 1.3, 0.2], activation_beta=[0.45],
    )  # fmt: skip
    plain(
        "onnx_activation_defaults", 175, 2, direction="bidirectional",
        activations=["HardSigmoid", "Elu", "Tanh", "Sigmoid", "LeakyRelu", "Tanh"],
    )  # fmt: skip

    def half(seed: int = 180) -> None:
        stacks = weights(seed, 1)
        bits = (stacks["R"].view(np.uint32) >> 16).astype(np.uint16)
        initializers = [
            numpy_helper.from_array(stacks["W"].astype(np.float16), "W16"),
            helper.make_tensor("Rb16", tp.BFLOAT16, bits.shape, bits.tobytes(), raw=True),
            helper.make_tensor("B64", tp.DOUBLE, stacks["B"].shape, stacks["B"].ravel().tolist()),
        ]
        casts = [
            helper.make_node("Cast", [old], [new], to=tp.FLOAT)
            for old, new in (("W16", "W"), ("Rb16", "R"), ("B64", "B"))
        ]
        node = lstm(1, ["X", "W", "R", "B", "", "h0", "c0"])
        save("onnx_float16", [*casts, node], initializers, states(seed, 1))

    half()

    def chain(seed: int = 190) -> None:
        """W, R and B in pieces, put together by every operator that is followed."""
        stacks = weights(seed, 1, peephole=True)
        scale = np.float32(0.01)
        codes = np.clip(np.round(stacks["W"][0] / scale), -127, 127).astype(np.int8)

        def ints(name: str, *values: int) -> Any:
            return numpy_helper.from_array(np.array(values, dtype=np.int64), name)

        gates = zip("iofg", np.split(stacks["R"][0], 4), strict=True)
        padded = np.concatenate([stacks["B"][0], draw(seed + 7, 4)])
        table = np.stack([draw(seed + 8, 3 * HIDDEN), stacks["P"][0]])
        initializers = [
            numpy_helper.from_array(codes.T.copy(), "W_t"),
            numpy_helper.from_array(scale, "scale"),
            numpy_helper.from_array(np.int8(3), "zero"),
            ints("first", 0), ints("shape_W", 1, 4 * HIDDEN, -1),
            *[numpy_helper.from_array(gate.T.copy(), f"R_{k}") for k, gate in gates],
            numpy_helper.from_array(padded[None, None], "B_padded"),
            ints("starts", 0), ints("ends", 8 * HIDDEN), ints("axes", 2), ints("one", 1),
            numpy_helper.from_array(table, "P_table"), ints("halves", 1, 1),
        ]  # fmt: skip
        make = helper.make_node
        nodes = [
            make("DequantizeLinear", ["W_t", "scale", "zero"], ["W_real"]),
            make("Transpose", ["W_real"], ["W_rows"], perm=[1, 0]),
            make("Reshape", ["W_rows", "shape_W"], ["W"]),
            *[make("Transpose", [f"R_{k}"], [f"R_{k}t"]) for k in "iofg"],
            make("Concat", [f"R_{k}t" for k in "iofg"], ["R_all"], axis=0),
            make("Identity", ["R_all"], ["R_same"]),
            make("Unsqueeze", ["R_same", "first"], ["R"]),
            make("Slice", ["B_padded", "starts", "ends", "axes", "one"], ["B_3d"]),
            make("Squeeze", ["B_3d", "first"], ["B"]),
            make("Split", ["P_table", "halves"], ["P_first", "P_second"], axis=0),
            make("Gather", ["P_second", "first"], ["P_again"], axis=0),
            lstm(1, ["X", "W", "R", "B", "", "h0", "c0", "P_again"]),
        ]
        save("onnx_chain", nodes, initializers, states(seed, 1))

    chain()

    def branch(seed: int = 200) -> None:
        """An LSTM in a branch of an If: W and R from around it, B its own."""
        stacks = weights(seed, 1)
        node = helper.make_node(
            "LSTM", ["X", "W", "R", "B", "", "h0", "c0"], ["Yi", "Yi_h", "Yi_c"],
            name="lstm", hidden_size=HIDDEN,
        )  # fmt: skip
        outputs = [info(key) for key in ("Yi", "Yi_h", "Yi_c")]
        inner = helper.make_graph(
            [node], "then", [], outputs, [numpy_helper.from_array(stacks["B"], "B")]
        )
        shapes = ((T, 1, N, HIDDEN), (1, N, HIDDEN), (1, N, HIDDEN))
        zeros = [
            helper.make_node(
                "Constant", [], [f"Z{i}"], value=numpy_helper.from_array(np.zeros(shape, "f4"))
            )
            for i, shape in enumerate(shapes)
        ]
        other = helper.make_graph(zeros, "else", [], [info(f"Z{i}") for i in range(3)])
        choose = helper.make_node(
            "If", ["yes"], ["Y", "Y_h", "Y_c"], name="if", then_branch=inner, else_branch=other
        )
        yes = helper.make_tensor_value_info("yes", tp.BOOL, [])
        initializers = [numpy_helper.from_array(stacks[key], key) for key in "WR"]
        save("onnx_if", [choose], initializers, states(seed, 1),
             layer="if/then_branch/lstm", extra=[yes])  # fmt: skip

    branch()

    def function(seed: int = 210) -> None:
        """An LSTM in a local function that is handed weights and size."""
        stacks = weights(seed, 1)
        node = helper.make_node(
            "LSTM", ["x", "w", "rt", "b", "", "h", "c"], ["y", "yh", "yc"], name="lstm"
        )
        size = onnx.AttributeProto(
            name="hidden_size", ref_attr_name="units", type=onnx.AttributeProto.INT
        )
        node.attribute.append(size)
        body = [helper.make_node("Transpose", ["r"], ["rt"], perm=[0, 2, 1]), node]
        made = helper.make_function(
            "own", "Layer", ["x", "w", "r", "b", "h", "c"], ["y", "yh", "yc"], body,
            [helper.make_opsetid("", 17)], ["units"],
        )  # fmt: skip
        call = helper.make_node(
            "Layer", ["X", "W", "R_t", "B", "h0", "c0"], ["Y", "Y_h", "Y_c"],
            name="call", domain="own", units=HIDDEN,
        )  # fmt: skip
        stacks["R_t"] = stacks.pop("R").transpose(0, 2, 1).copy()
        initializers = [numpy_helper.from_array(value, key) for key, value in stacks.items()]
        save("onnx_function", [call], initializers, states(seed, 1),
             layer="call/lstm", functions=[made])  # fmt: skip

    function()

    def exported(kind: str, seed: int = 220) -> None:
        """Two bidirectional layers of PyTorch, with every layer's own input and output."""
        import torch

        torch.manual_seed(seed)
        module = torch.nn.LSTM(INPUTS, HIDDEN, num_layers=2, bidirectional=True).eval()
        with torch.no_grad():
            for index, each in enumerate(module.parameters()):
                each.copy_(torch.from_numpy(draw(seed + index, *each.shape)))
        x = draw(seed + 40, T, N, INPUTS)
        h0, c0 = draw(seed + 41, 4, N, HIDDEN), draw(seed + 42, 4, N, HIDDEN, scale=1.5)
        path = HERE / f"torch_{kind}.onnx"
        states = (torch.from_numpy(h0), torch.from_numpy(c0))
        torch.onnx.export(
            module, (torch.from_numpy(x), states), path, dynamo=kind == "dynamo",
            input_names=["x", "h0", "c0"], **({"external_data": False} if kind == "dynamo" else {}),
        )  # fmt: skip
        model = onnx.load(path)
        if kind == "dynamo":
            # Stack traces of this machine are of no use to anyone.
            for each in [*model.graph.node, *model.graph.input, *model.graph.initializer]:
                del each.metadata_props[:]
            del model.metadata_props[:], model.graph.metadata_props[:]
            onnx.save(model, path)
        nodes = [node for node in model.graph.node if node.op_type == "LSTM"]
        wide = onnx.ModelProto()
        wide.CopyFrom(model)
        del wide.graph.output[:]
        for node in nodes:
            wide.graph.output.extend([info(each) for each in (*node.output, node.input[0])])
        session = onnxruntime.InferenceSession(wide.SerializeToString())
        values = session.run(None, {"x": x, "h0": h0, "c0": c0})
        with torch.no_grad():
            theirs = module(torch.from_numpy(x), states)[0].numpy()
        for level, node in enumerate(nodes):
            y, h, c, inner = values[4 * level : 4 * level + 4]
            if level == 1:
                again = y.transpose(0, 2, 1, 3).reshape(T, N, -1)
                assert np.abs(again - theirs).max() < 1e-6
            golden(
                f"torch_{kind}_l{level}", path.name, node.name or node.output[0], inner,
                h0[2 * level : 2 * level + 2], c0[2 * level : 2 * level + 2], (y, h, c), model,
                f"torch {torch.__version__.split('+')[0]} torch.onnx.export ({kind})",
            )  # fmt: skip

    exported("legacy")
    exported("dynamo")


# --- TensorFlow Lite ----------------------------------------------------------------------------

GATES = "ifgo"  # as the operators' inputs are ordered
ONE_WAY, BOTH_WAYS, LSTM, DEQUANTIZE = 44, 52, 16, 6


def make_tflite() -> None:
    from importlib.metadata import version

    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    made_by = f"ai-edge-litert {version('ai-edge-litert')}, make_graph_files.py"

    def cell(
        seed: int, inputs: int = INPUTS, units: int = HIDDEN, *, cifg: bool = False,
        peephole: bool = False, project: int = 0, scale: float = 1.0,
    ) -> list[Any]:  # fmt: skip
        """The 17 tensors of one direction, None where there is none."""
        width = project or units
        count = iter(range(seed, seed + 100))

        def gates(*shape: int, order: str = GATES) -> list[Any]:
            there = [k != "i" or not cifg for k in order]
            return [draw(next(count), *shape, scale=scale) if yes else None for yes in there]

        return [
            *gates(units, inputs), *gates(units, width),
            *(gates(units, order="ifo") if peephole else [None] * 3), *gates(units),
            draw(next(count), width, units) if project else None,
            draw(next(count), width) if project else None,
        ]  # fmt: skip

    class Builder:
        """A model of one LSTM operator."""

        def __init__(self) -> None:
            self.model = schema.ModelT()
            self.model.version, self.model.description = 3, "make_graph_files"
            self.model.operatorCodes, self.model.buffers = [], [schema.BufferT()]
            self.graph = schema.SubGraphT()
            self.graph.tensors, self.graph.operators = [], []
            self.model.subgraphs = [self.graph]

        def tensor(
            self, name: str, shape: Any, data: Any = None, *, kind: int = 0, variable: bool = False,
            scale: Any = None, zero: Any = (0,), axis: int = 0,
        ) -> int:  # fmt: skip
            tensor = schema.TensorT()
            tensor.name, tensor.shape, tensor.type = name, list(shape), kind
            tensor.isVariable, tensor.buffer = variable, 0
            if data is not None:
                buffer = schema.BufferT()
                buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), dtype=np.uint8)
                tensor.buffer = len(self.model.buffers)
                self.model.buffers.append(buffer)
            if scale is not None:
                tensor.quantization = schema.QuantizationParametersT()
                tensor.quantization.scale = np.array(scale, dtype=np.float32)
                tensor.quantization.zeroPoint = np.array(zero, dtype=np.int64)
                tensor.quantization.quantizedDimension = axis
            self.graph.tensors.append(tensor)
            return len(self.graph.tensors) - 1

        def operator(self, code: int, inputs: Any, outputs: Any, options: Any = None) -> None:
            kinds = [each.builtinCode for each in self.model.operatorCodes]
            if code not in kinds:
                made = schema.OperatorCodeT()
                made.builtinCode = made.deprecatedBuiltinCode = code
                made.version = 3 if code == DEQUANTIZE else 1
                if code == LSTM and options.kernelType:
                    made.version = 2
                self.model.operatorCodes.append(made)
                kinds.append(code)
            operator = schema.OperatorT()
            operator.opcodeIndex = kinds.index(code)
            operator.inputs, operator.outputs = list(inputs), list(outputs)
            if options is not None:
                operator.builtinOptions = options
                operator.builtinOptionsType = getattr(
                    schema.BuiltinOptions, type(options).__name__.removesuffix("T")
                )
            self.graph.operators.append(operator)

        def save(self, file: str, inputs: list[int], outputs: list[int]) -> None:
            self.graph.inputs, self.graph.outputs = inputs, outputs
            builder = flatbuffers.Builder(1024)
            builder.Finish(self.model.Pack(builder), b"TFL3")
            (HERE / file).write_bytes(builder.Output())

    def run(file: str, x: Any, states: dict[int, Any], outputs: list[int], index: int = 0) -> Any:
        """What LiteRT makes of x from given states: values of some tensors."""
        interpreter = Interpreter(str(HERE / file), experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        for where, value in states.items():
            interpreter.set_tensor(where, value)
        interpreter.invoke()
        return [interpreter.get_tensor(each).copy() for each in outputs]

    def tensors_of(file: str) -> dict[str, Any]:
        """The constant tensors, as another reader of the format tells."""
        model = schema.ModelT.InitFromPackedBuf(bytearray((HERE / file).read_bytes()), 0)
        kinds = {0: "float32", 1: "float16", 2: "int32", 7: "int16", 9: "int8"}
        return {
            each.name.decode(): {"shape": [int(n) for n in each.shape], "dtype": kinds[each.type]}
            for each in model.subgraphs[0].tensors
            if model.buffers[each.buffer].data is not None and len(model.buffers[each.buffer].data)
        }

    def record(
        name: str, file: str, layer: str, x: Any, h0: Any, c0: Any, results: Any, by: str = made_by
    ) -> None:
        output, h, c = results
        write(name, file, {
            "made_by": by, "layer": layer, "convention": "tflite", "x": numbers(x),
            "h0": numbers(h0), "c0": numbers(c0),
            "expected": {"output": numbers(output), "h": numbers(h), "c": numbers(c)},
            "atol": 2e-6, "tensors": tensors_of(file),
        })  # fmt: skip

    def sequence(
        name: str, seed: int, *, both: bool = False, store: str = "", major: bool = False,
        activation: int = 4, cell_clip: float = 0.0, **kind: Any,
    ) -> None:  # fmt: skip
        """One sequence operator; `store` says how its matrices are kept."""
        made = Builder()
        width = kind.get("project") or HIDDEN
        directions = 2 if both else 1
        order = (T, N, INPUTS) if major else (N, T, INPUTS)
        x_at = made.tensor("x", order)
        inputs = [x_at]
        for number in range(directions):
            for place, value in enumerate(cell(seed + 100 * number, **kind)):
                if value is None:
                    inputs.append(-1)
                    continue
                label = f"w{number}_{place}"
                if store and value.ndim == 2:
                    inputs.append(stored(made, label, value, store))
                else:
                    inputs.append(made.tensor(label, value.shape, value))
        states = {}
        for number in range(directions):
            for key, size, scale in (("h", width, 0.9), ("c", HIDDEN, 1.5)):
                at = made.tensor(f"{key}{number}", (N, size), variable=True)
                states[at] = draw(seed + 90 + number, N, size, scale=scale)
                inputs.append(at)
        outputs = [
            made.tensor(f"lstm{number or ''}", (*order[:2], width)) for number in range(directions)
        ]
        if both:
            options = schema.BidirectionalSequenceLSTMOptionsT()
            options.mergeOutputs = False
            inputs += [-1] * 9
        else:
            options = schema.UnidirectionalSequenceLSTMOptionsT()
        options.timeMajor, options.fusedActivationFunction = major, activation
        options.cellClip, options.projClip = cell_clip, 0.0
        made.operator(BOTH_WAYS if both else ONE_WAY, inputs, outputs, options)
        made.save(f"{name}.tflite", [x_at], outputs)
        x = draw(seed + 80, *order)
        values = run(f"{name}.tflite", x, states, [*outputs, *states])
        output = np.concatenate(values[:directions], axis=-1)
        finals = values[directions:]
        first = list(states.values())
        if major:
            x, output = x.transpose(1, 0, 2), output.transpose(1, 0, 2)
        record(
            name,
            f"{name}.tflite",
            "lstm",
            x,
            first[0::2],
            first[1::2],
            (output, np.concatenate(finals[0::2], -1), np.concatenate(finals[1::2], -1)),
        )

    def stored(made: Builder, label: str, value: Any, store: str) -> int:
        """A matrix kept in fewer bits, and the DEQUANTIZE that restores it."""
        real = made.tensor(f"{label}_real", value.shape)
        if store == "float16":
            at = made.tensor(label, value.shape, value.astype(np.float16), kind=1)
        elif store == "int8":
            codes = np.clip(np.round(value / 0.008) + 5, -128, 127).astype(np.int8)
            at = made.tensor(label, value.shape, codes, kind=9, scale=[0.008], zero=[5])
        else:
            scales = np.abs(value).max(axis=1) / 127
            codes = np.round(value / scales[:, None]).astype(np.int8)
            at = made.tensor(label, value.shape, codes, kind=9, scale=scales,
                             zero=[0] * len(scales))  # fmt: skip
        made.operator(DEQUANTIZE, [at], [real], schema.DequantizeOptionsT())
        return real

    sequence("tflite_one_way", 300)
    sequence("tflite_peephole_projection", 310, peephole=True, project=2, major=True)
    sequence("tflite_cifg", 330, cifg=True, peephole=True)
    sequence("tflite_cell_clip", 340, cell_clip=0.6)
    sequence("tflite_relu", 350, activation=1, scale=0.5)
    sequence("tflite_both_ways", 360, both=True, peephole=True)
    sequence("tflite_float16", 370, store="float16")
    sequence("tflite_int8", 380, store="int8")
    sequence("tflite_int8_rows", 390, store="rows")

    import flatbuffers

    for name, option, value in (
        ("tflite_proj_clip", "projClip", 0.25), ("tflite_diagonal", "diagonalRecurrentTensors", True),
    ):  # fmt: skip
        file = (HERE / "tflite_peephole_projection.tflite").read_bytes()
        read = schema.ModelT.InitFromPackedBuf(bytearray(file), 0)
        setattr(read.subgraphs[0].operators[-1].builtinOptions, option, value)
        builder = flatbuffers.Builder(0)
        builder.Finish(read.Pack(builder), b"TFL3")
        (HERE / f"{name}.tflite").write_bytes(bytes(builder.Output()))

    def one_step(name: str, seed: int, basic: bool) -> None:
        """The operator LSTM, which makes one step."""
        made = Builder()
        x, h0, c0 = draw(seed, N, INPUTS), draw(seed + 1, N, HIDDEN), draw(seed + 2, N, HIDDEN)
        options = schema.LSTMOptionsT()
        options.fusedActivationFunction, options.kernelType = 4, int(basic)
        options.cellClip = options.projClip = 0.0
        x_at = made.tensor("x", x.shape)
        if basic:
            weights = draw(seed + 3, 4 * HIDDEN, INPUTS + HIDDEN)
            bias = draw(seed + 4, 4 * HIDDEN)
            h_at, c_at = made.tensor("h", h0.shape), made.tensor("c", c0.shape)
            inputs = [x_at, h_at, made.tensor("w", weights.shape, weights),
                      made.tensor("b", bias.shape, bias), c_at]  # fmt: skip
            outputs = [made.tensor("lstm", h0.shape), made.tensor("c_new", c0.shape),
                       made.tensor("joined", (N, INPUTS + HIDDEN)),
                       made.tensor("z", (N, 4 * HIDDEN))]  # fmt: skip
            asked, graph_inputs = outputs[:2], [x_at, h_at, c_at]
        else:
            inputs = [x_at] + [
                -1 if value is None else made.tensor(f"w{place}", value.shape, value)
                for place, value in enumerate(cell(seed + 3, peephole=True))
            ]
            h_at = made.tensor("h", h0.shape, variable=True)
            c_at = made.tensor("c", c0.shape, variable=True)
            inputs += [h_at, c_at]
            outputs = [made.tensor("lstm", h0.shape)]
            asked, graph_inputs = [outputs[0], c_at], [x_at]
        made.operator(LSTM, inputs, outputs, options)
        made.save(f"{name}.tflite", graph_inputs, outputs[:1])
        h, c = run(f"{name}.tflite", x, {h_at: h0, c_at: c0}, asked)
        record(name, f"{name}.tflite", "lstm", x[:, None], [h0], [c0], (h[:, None], h, c))

    one_step("tflite_full_step", 400, basic=False)
    one_step("tflite_basic_step", 420, basic=True)

    def keras(name: str, seed: int, both: bool) -> None:
        """A Keras 2 layer through TensorFlow's own converter (Keras 3's come out unfused)."""
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
        import tensorflow as tf

        layer = tf.keras.layers.LSTM(HIDDEN, return_sequences=True)
        if both:
            layer = tf.keras.layers.Bidirectional(layer)
        model = tf.keras.Sequential([tf.keras.layers.InputLayer((T, INPUTS), N), layer])
        for number, each in enumerate(model.weights):
            each.assign(draw(seed + number, *each.shape))
        concrete = tf.function(model).get_concrete_function(
            tf.TensorSpec((N, T, INPUTS), tf.float32)
        )
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
        (HERE / f"{name}.tflite").write_bytes(converter.convert())
        read = schema.ModelT.InitFromPackedBuf(bytearray((HERE / f"{name}.tflite").read_bytes()), 0)
        graph = read.subgraphs[0]
        codes = [each.builtinCode for each in read.operatorCodes]
        print(name, [codes[each.opcodeIndex] for each in graph.operators])
        fused = [each for each in graph.operators if codes[each.opcodeIndex] == ONE_WAY]
        for number, operator in enumerate(fused):
            h_at, c_at = operator.inputs[18], operator.inputs[19]
            x_at, y_at = operator.inputs[0], operator.outputs[0]
            x = draw(seed + 20, N, T, INPUTS)
            first = {h_at: draw(seed + 21 + number, N, HIDDEN, scale=0.9),
                     c_at: draw(seed + 31 + number, N, HIDDEN, scale=1.5)}  # fmt: skip
            seen, y, h, c = run(f"{name}.tflite", x, first, [x_at, y_at, h_at, c_at])
            if operator.builtinOptions.timeMajor:
                seen, y = seen.transpose(1, 0, 2), y.transpose(1, 0, 2)
            if any(x_at in each.outputs for each in graph.operators):  # REVERSE_V2: in input time
                seen, y = seen[:, ::-1], y[:, ::-1]
            record(
                name + (f"_{number}" if len(fused) > 1 else ""), f"{name}.tflite",
                graph.tensors[y_at].name.decode(), seen, [first[h_at]], [first[c_at]], (y, h, c),
                f"tensorflow {tf.__version__}, tf_keras {version('tf_keras')}, {made_by}",
            )  # fmt: skip

    keras("tflite_keras_one_way", 500, both=False)
    keras("tflite_keras_both_ways", 510, both=True)

    def real(name: str) -> None:
        """A file of other people: tensorflow/tflite-micro, Apache-2.0, commit 90b983c2.

        tensorflow/lite/micro/examples/mnist_lstm/trained_lstm.tflite and trained_lstm_int8.tflite.
        """
        file = f"{name}.tflite"
        read = schema.ModelT.InitFromPackedBuf(bytearray((HERE / file).read_bytes()), 0)
        graph = read.subgraphs[0]
        codes = [each.builtinCode for each in read.operatorCodes]
        operator = next(each for each in graph.operators if codes[each.opcodeIndex] == ONE_WAY)
        x_at, y_at, h_at, c_at = (*operator.inputs[[0]], operator.outputs[0],
                                  *operator.inputs[[18, 19]])  # fmt: skip
        first = {h_at: draw(600, 1, 20, scale=0.9), c_at: draw(601, 1, 20, scale=1.5)}
        x = draw(602, 1, 28, 28)
        seen, y, h, c = run(file, x, first, [x_at, y_at, h_at, c_at])
        record(name, file, graph.tensors[y_at].name.decode(), seen, [first[h_at]], [first[c_at]],
               (y, h, c), f"tflite-micro (Apache-2.0), {made_by}")  # fmt: skip

    real("mnist_lstm")


if __name__ == "__main__":
    {"onnx": make_onnx, "tflite": make_tflite}[sys.argv[1]]()
