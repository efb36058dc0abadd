"""How frameworks lay out LSTM weights, as rows of data.

Our own layout has one matrix for each gate k, `W_k (H, P + I)`, with the columns for `h_prev` first
and those for `x` last. A row says which tensors a framework keeps, what each holds, in what order
the gates are stacked, and what its run time adds (a forget bias, clips, other activations).
`layouts` reads and writes them all by one rule. In every row with peepholes, f and i see the old
cell state and o the new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from lstm_cli.base.errors import UsageError, suggest

GATE_LETTERS = "figo"

# How gates are stacked in a tensor of n gates:
#   rows         (n·H, in)
#   columns      (in, n·H): transposed
#   interleaved  (H·n, in), the gates of a unit side by side
#   reread       (in, n·H) whose blocks (in, H) are buffers of (H, in), as cuDNN's in Keras
#   upright      (in, n·H) whose blocks are not transposed
Stacking = Literal["rows", "columns", "interleaved", "reread", "upright"]


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a layout.

    Attributes:
        key: its name, with the placeholders `{gate}`, `{layer}` and `{reverse}`.
        holds: "x" or "h" (a matrix for that input), "hx" or "xh" (one for both, in that order),
            "b" (a bias), "p" (peepholes) or "W_hr" (the projection).
        gates: the gates stacked in it, in order; "" where each gate has a tensor of its own.
        stacking: how they are stacked.
        optional: whether it may be missing.
    """

    key: str
    holds: str
    gates: str = ""
    stacking: Stacking = "rows"
    optional: bool = False


@dataclass(frozen=True)
class ByHand:
    """What a user says of a layout by hand; what is not said is as names and shapes tell.

    Attributes:
        gates: the order in which gates are stacked.
        transpose: whether matrices are the other way round.
        joined: "hx" or "xh", the order of the inputs that a joined matrix is for.
    """

    gates: str = ""
    transpose: bool = False
    joined: str = ""

    def named(self, convention: str) -> str:
        """The name of a convention changed by hand, as `convention_named` takes it."""
        said = [f"gates={self.gates}"] * bool(self.gates) + ["transpose"] * self.transpose
        return ",".join(filter(None, [convention, *said, self.joined and f"joined={self.joined}"]))


@dataclass(frozen=True, eq=False)
class Convention:
    """One framework's layout, and what its run time adds.

    Attributes:
        name: the value of `--convention`.
        title: the framework and class, in one line.
        source: the document or code that defines it.
        confirmed_by: the framework's own numbers that prove the row; "" is a rumour.
        leaves_open: what a file of this layout does not say, and how it is read.
        by_name: whether the names in a file are enough to choose it.
        directions_axis: whether tensors have a leading axis of directions.
        forget_bias: the bias that the run time adds to z_f.
        activations: gate, candidate and output, where they are not sigmoid, tanh, tanh.
        clip: the run time's clip of pre-activations, 0 for none.
        cell_clip: the run time's clip of the cell state, 0 for none.
        state_order: the framework's order of its two states.
        under: the end of a prefix that no other framework writes before these names, as a pattern.
        hand: what the user says by hand; without tensors, of the layout that names or shapes tell.
    """

    name: str
    title: str
    tensors: tuple[Tensor, ...]
    source: str
    confirmed_by: str = ""
    leaves_open: str = ""
    by_name: bool = True
    directions_axis: bool = False
    forget_bias: float = 0.0
    activations: tuple[str, str, str] | None = None
    clip: float = 0.0
    cell_clip: float = 0.0
    state_order: str = "h, c"
    under: str = ""
    hand: ByHand | None = None

    @property
    def base(self) -> str:
        """Its name without what is said by hand."""
        return self.name.removesuffix(self.hand.named("")).rstrip(",") if self.hand else self.name

    @property
    def options(self) -> str:
        """The options that choose it on a command line."""
        if self.base or self.hand is None:
            return f"--convention {self.name}"
        return " ".join(f"--{each.replace('=', ' ')}" for each in self.name.split(","))

    @property
    def order(self) -> str:
        """The order of the stacked gates, "" where each has a tensor of its own."""
        return next((t.gates[:4] for t in self.tensors if len(t.gates) >= 4), "")

    @property
    def holds(self) -> set[str]:
        """Everything that its tensors hold, as in `Tensor.holds`."""
        return {tensor.holds for tensor in self.tensors}


def _stack(
    order: str,
    keys: str,
    *,
    stacking: Stacking = "rows",
    needs_bias: bool = False,
    more: tuple[Tensor, ...] = (),
) -> tuple[Tensor, ...]:
    """The usual tensors of a stacked layout: one for x, one for h, and the biases."""
    inputs, recurrent, *biases = keys.split()
    return (
        Tensor(inputs, "x", order, stacking),
        Tensor(recurrent, "h", order, stacking),
        *(Tensor(key, "b", order, optional=not needs_bias) for key in biases),
        *more,
    )


def _each_gate(templates: Mapping[str, str], names: Mapping[str, str], stacking: Stacking = "rows"
               ) -> tuple[Tensor, ...]:  # fmt: skip
    """One tensor for each gate and template, in which `{}` is the framework's name of the gate."""
    return tuple(
        Tensor(
            template.replace("{}", name), holds.rstrip("0123456789"), gate,
            "rows" if holds[0] in "bp" else stacking, optional=holds[0] in "bp",
        )
        for template, holds in templates.items()
        for gate, name in names.items()
    )  # fmt: skip


_PLAIN_BIAS = Tensor("b_{gate}", "b", optional=True)
_PLAIN_EXTRAS = (Tensor("p_{gate}", "p", optional=True), Tensor("W_hr", "W_hr", optional=True))
_LETTERS = {"i": "i", "f": "f", "g": "g", "o": "o"}
_WORDS = {"i": "input", "f": "forget", "g": "cell", "o": "output"}
_DIAGONALS = tuple(Tensor(f"w_{gate}_diag", "p", gate, optional=True) for gate in "fio")
_PYTORCH = _stack(
    "ifgo",
    "weight_ih_l{layer}{reverse} weight_hh_l{layer}{reverse} "
    "bias_ih_l{layer}{reverse} bias_hh_l{layer}{reverse}",
    more=(Tensor("weight_hr_l{layer}{reverse}", "W_hr", optional=True),),
)
_PYTORCH_CELL = _stack("ifgo", "weight_ih weight_hh bias_ih bias_hh")
_KERAS = _stack("ifgo", "kernel recurrent_kernel bias", stacking="columns")
_ONNX_PEEPHOLE = (Tensor("P", "p", "iof", optional=True),)
_TF1_BIAS = "TF1 adds a forget bias of 1 at run time by default; for 0 give --forget-bias -1"
_DARKNET = (
    Tensor("w{gate}", "h"), Tensor("u{gate}", "x"),
    Tensor("bw{gate}", "b", optional=True), Tensor("bu{gate}", "b", optional=True),
)  # fmt: skip
_HARD = ("hard_sigmoid", "tanh", "tanh")

_ROWS = (
    Convention("joined", "W_f … b_o, each W_k on [h_prev, x] (also Wf, Wi, Wc, Wo)",
        (Tensor("W_{gate}", "hx"), _PLAIN_BIAS, *_PLAIN_EXTRAS),
        "the literature; Greff et al. 2017", "samples/question.json",
        "W_k are read as joined on [h_prev, x]; for [x, h_prev] give --convention joined-xh"),
    Convention("joined-xh", "as joined, with the columns for x first: [x, h_prev]",
        (Tensor("W_{gate}", "xh"), _PLAIN_BIAS, *_PLAIN_EXTRAS),
        "TensorFlow 1 joins in this order", "tests/golden/torch_live.json, columns exchanged",
        by_name=False),
    Convention("split", "W_f, U_f, b_f …: W_k on x, U_k on h_prev",
        (Tensor("W_{gate}", "x"), Tensor("U_{gate}", "h"), _PLAIN_BIAS, *_PLAIN_EXTRAS),
        "the literature; Wikipedia's notation", "tests/golden/*.json"),
    Convention("pytorch", "PyTorch nn.LSTM: layers, directions, proj_size", _PYTORCH,
        "docs.pytorch.org, torch.nn.LSTM", "torch 2.13.0: tests/golden/torch_live.json"),
    Convention("pytorch-cell", "PyTorch nn.LSTMCell", _PYTORCH_CELL,
        "docs.pytorch.org, torch.nn.LSTMCell", "torch 2.13.0: tests/golden/torch_live.json"),
    Convention("paddle", "PaddlePaddle nn.LSTM: PyTorch's names and order", _PYTORCH,
        "paddlepaddle.org.cn, paddle.nn.LSTM", by_name=False,
        confirmed_by="paddlepaddle 3.3.1, run live: tests/oracle/test_others.py"),
    Convention("candle", "candle (Rust): PyTorch's names and order", _PYTORCH,
        "huggingface/candle candle-nn/src/rnn.rs",
        "candle's own test: tests/golden/candle.json", by_name=False),
    Convention("tinygrad", "tinygrad nn.LSTMCell: PyTorch's names and order", _PYTORCH_CELL,
        "tinygrad/nn/__init__.py", by_name=False,
        confirmed_by="tinygrad 0.14.0, run live: tests/oracle/test_others.py"),
    Convention("keras", "Keras 3, Keras 2.3 and later", _KERAS, "keras/src/layers/rnn/lstm.py",
        leaves_open="the gates' activation is read as sigmoid, the default since Keras 2.3; "
        "before it was 0.2 z + 0.5: --convention keras-2.2", under=r"lstm_cell(_\d+)?",
        confirmed_by="keras 3.15.1, 2.15.0: tests/files/keras3_sequential.keras"),
    Convention("haste", "haste LSTM (PyTorch): Keras's names, i g f o",
        _stack("igfo", "kernel recurrent_kernel bias", stacking="columns", needs_bias=True),
        "lmnt-com/haste frameworks/pytorch/lstm.py",
        confirmed_by="torch 2.13.0 of reordered weights: tests/formats/test_two_readings.py"),
    Convention("keras-2.2", "Keras 2.0 to 2.2: gates by 0.2 z + 0.5", _KERAS,
        "keras-team/keras tags 2.0.0 and 2.2.5, recurrent.py", by_name=False, activations=_HARD,
        confirmed_by="keras 2.2.4: tests/files/keras224.h5"),
    Convention("keras-1", "Keras 1 and 0.3: an array a gate, gates by 0.2 z + 0.5",
        (Tensor("W_{gate}", "x", stacking="columns"), Tensor("U_{gate}", "h", stacking="columns"),
         _PLAIN_BIAS),
        "keras-team/keras tags 0.3.3 and 1.2.2, recurrent.py", by_name=False, activations=_HARD,
        confirmed_by="keras 1.2.2: tests/files/keras122.h5"),
    Convention("keras-cudnn", "Keras CuDNNLSTM: told by its bias of 8H",
        (Tensor("kernel", "x", "ifgo", "reread"),
         Tensor("recurrent_kernel", "h", "ifgo", "upright"),
         Tensor("bias", "b", "ifgoifgo")),
        "keras-team/keras 2.3.1, engine/saving.py, _convert_rnn_weights",
        confirmed_by="keras 2.15.0's own conversion: tests/files/keras_cudnn.h5"),
    Convention("tf1-basic", "TensorFlow 1 BasicLSTMCell",
        (Tensor("basic_lstm_cell.kernel", "xh", "igfo", "columns"),
         Tensor("basic_lstm_cell.bias", "b", "igfo", optional=True)),
        "tensorflow v1.15, rnn_cell_impl.py", leaves_open=_TF1_BIAS, forget_bias=1.0,
        state_order="c, h",
        confirmed_by="tensorflow-cpu 2.21.0, run live: tests/oracle/test_tensorflow.py"),
    Convention("tf1", "TensorFlow 1 LSTMCell: peepholes, projection",
        (Tensor("lstm_cell.kernel", "xh", "igfo", "columns"),
         Tensor("lstm_cell.bias", "b", "igfo", optional=True),
         *(Tensor(f"lstm_cell.{t.key}", t.holds, t.gates, optional=True) for t in _DIAGONALS),
         Tensor("lstm_cell.projection.kernel", "W_hr", stacking="columns", optional=True)),
        "tensorflow v1.15, rnn_cell_impl.py", leaves_open=_TF1_BIAS + "; a cell clip is not in "
        "the file: --cell-clip", forget_bias=1.0, state_order="c, h",
        confirmed_by="tensorflow-cpu 2.21.0, run live: tests/oracle/test_tensorflow.py"),
    Convention("tf1-block", "TensorFlow 1 LSTMBlockCell, BlockLSTM: ICFO",
        (Tensor("kernel", "xh", "igfo", "columns"), Tensor("bias", "b", "igfo", optional=True),
         *_DIAGONALS),
        "tensorflow v1.15, contrib/rnn lstm_ops.py", leaves_open=_TF1_BIAS, by_name=False,
        forget_bias=1.0, state_order="c, h",
        confirmed_by="tensorflow-cpu 2.21.0, run live: tests/oracle/test_tensorflow.py"),
    Convention("tf-block-v2", "TensorFlow BlockLSTMV2: IFCO, no forget bias",
        (Tensor("kernel", "xh", "ifgo", "columns"), Tensor("bias", "b", "ifgo", optional=True),
         *_DIAGONALS),
        "tensorflow API documentation of the op", by_name=False, state_order="c, h",
        confirmed_by="tensorflow-cpu 2.21.0, run live: tests/oracle/test_tensorflow.py"),
    Convention("onnx", "ONNX LSTM: W, R, B = Wb;Rb, P = i, o, f",
        (Tensor("W", "x", "iofg"), Tensor("R", "h", "iofg"),
         Tensor("B", "b", "iofgiofg", optional=True), *_ONNX_PEEPHOLE),
        "onnx.ai, operator LSTM-22",
        "onnxruntime 1.32.0: tests/golden/onnxruntime_live.json", directions_axis=True),
    Convention("openvino", "OpenVINO LSTMCell, LSTMSequence: FICO",
        (Tensor("W", "x", "figo"), Tensor("R", "h", "figo"), Tensor("B", "b", "figo")),
        "openvinotoolkit/openvino, rnn_cell_base.hpp",
        "OpenVINO's own test: tests/golden/openvino.json", by_name=False),
    Convention("flax-linen", "Flax linen LSTMCell, OptimizedLSTMCell: a kernel a gate",
        _each_gate({"i{}.kernel": "x", "h{}.kernel": "h", "h{}.bias": "b"}, _LETTERS, "columns"),
        "google/flax flax/linen/recurrent.py", state_order="c, h",
        confirmed_by="flax 0.12.8: tests/files/flax_linen_lstm.msgpack"),
    Convention("flax-nnx", "Flax nnx LSTMCell: as linen, with if_ since `if` is a keyword",
        (*_each_gate({"i{}.kernel": "x"}, _LETTERS | {"f": "f_"}, "columns"),
         *_each_gate({"h{}.kernel": "h", "h{}.bias": "b"}, _LETTERS, "columns")),
        "google/flax flax/nnx/nn/recurrent.py", state_order="c, h",
        confirmed_by="flax 0.12.8: tests/files/flax_nnx_lstm.msgpack"),
    Convention("flax-nnx-optimized", "Flax nnx OptimizedLSTMCell",
        _stack("ifgo", "dense_i.kernel dense_h.kernel dense_h.bias", stacking="columns"),
        "google/flax flax/nnx/nn/recurrent.py", state_order="c, h",
        confirmed_by="flax 0.12.8: tests/files/flax_nnx_optimized.msgpack"),
    Convention("haiku", "Haiku hk.LSTM: adds 1 to the forget gate at run time",
        (Tensor("linear.w", "xh", "igfo", "columns"),
         Tensor("linear.b", "b", "igfo", optional=True)),
        "google-deepmind/dm-haiku haiku/_src/recurrent.py", by_name=False, forget_bias=1.0,
        confirmed_by="dm-haiku 0.0.17, run live: tests/oracle/test_jax.py"),
    Convention("sonnet", "Sonnet 2 snt.LSTM",
        _stack("ifgo", "w_i w_h b", stacking="columns",
               more=(Tensor("projection", "W_hr", stacking="columns", optional=True),)),
        "google-deepmind/sonnet src/recurrent.py",
        confirmed_by="dm-sonnet 2.0.2, run live: tests/oracle/test_tensorflow.py"),
    Convention("equinox", "Equinox LSTMCell: one bias",
        _stack("ifgo", "weight_ih weight_hh bias", needs_bias=True),
        "patrick-kidger/equinox equinox/nn/_rnn.py",
        confirmed_by="equinox 0.13.8, run live: tests/oracle/test_jax.py"),
    Convention("mxnet", "MXNet gluon LSTMCell, LSTM",
        _stack("ifgo", "i2h_weight h2h_weight i2h_bias h2h_bias",
               more=(Tensor("h2r_weight", "W_hr", optional=True),)),
        "apache/mxnet gluon/rnn/rnn_cell.py"),
    Convention("cntk", "CNTK LSTM: i g f o in columns",
        _stack("igfo", "W H b", stacking="columns", needs_bias=True,
               more=(*(Tensor(f"C{gate}", "p", gate, optional=True) for gate in "ifo"),
                     Tensor("Wmr", "W_hr", stacking="columns", optional=True))),
        "microsoft/CNTK bindings/python/cntk/layers/blocks.py"),
    Convention("dynet", "DyNet VanillaLSTMBuilder: adds 1 to the forget gate at run time",
        _stack("ifog", "x2i h2i bi"), "clab/dynet dynet/lstm.cc", forget_bias=1.0,
        state_order="c, h"),
    Convention("chainer", "Chainer L.LSTM: the gates of a unit side by side",
        _stack("gifo", "upward.W lateral.W upward.b", stacking="interleaved"),
        "chainer/functions/rnn/lstm.py, _extract_gates", state_order="c, h"),
    Convention("caffe", "Caffe LSTM", _stack("ifog", "W_xc W_hc b_c"),
        "BVLC/caffe src/caffe/layers/lstm_layer.cpp"),
    Convention(
        "char-rnn", "Torch7 char-rnn", _stack("ifog", "i2h.weight h2h.weight i2h.bias h2h.bias"),
        "karpathy/char-rnn model/LSTM.lua"),
    Convention("theano", "Theano tutorial: its code adds the bias twice",
        _stack("ifog", "lstm_W lstm_U lstm_b", stacking="columns"),
        "lisa-lab/DeepLearningTutorials code/lstm.py",
        leaves_open="the tutorial's code adds lstm_b twice; here it is added once"),
    Convention("cs231n", "CS231n's rnn_layers.py: i f o g in columns",
        _stack("ifog", "Wx Wh b", stacking="columns", needs_bias=True),
        "cs231n.github.io, assignment 3, rnn_layers.py", by_name=False,
        confirmed_by="the assignment's own check: tests/formats/test_two_readings.py"),
    Convention("d2l", "Dive into Deep Learning: W_xi, W_hi, b_i …, an array a gate, X @ W",
        (Tensor("W_x{gate}", "x", stacking="columns"),
         Tensor("W_h{gate}", "h", stacking="columns"), _PLAIN_BIAS),
        "d2l.ai, chapter Long Short-Term Memory"),
    Convention("lasagne", "Lasagne LSTMLayer: an array a gate, peepholes",
        _each_gate({"W_in_to_{}": "x", "W_hid_to_{}": "h", "b_{}": "b", "W_cell_to_{}": "p"},
                   {"i": "ingate", "f": "forgetgate", "g": "cell", "o": "outgate"}, "columns"),
        "Lasagne/Lasagne lasagne/layers/recurrent.py"),
    Convention("tflite", "TensorFlow Lite LSTM: a tensor a gate",
        (Tensor("W_{gate}", "x"), Tensor("U_{gate}", "h"), _PLAIN_BIAS, *_PLAIN_EXTRAS,
         Tensor("b_hr", "b_hr", optional=True)),
        "tensorflow/lite/kernels/lstm_shared.h",
        "TFLite's own tests: tests/golden/tflite.json, tflite_micro.json", by_name=False),
    Convention("coreml", "Core ML NeuralNetwork: clips at ±50",
        _each_gate(
            {"{}WeightMatrix": "x", "{}RecursionMatrix": "h", "{}BiasVector": "b",
             "{}PeepholeVector": "p"},
            {"i": "inputGate", "f": "forgetGate", "g": "blockInput", "o": "outputGate"}),
        "apple/coremltools mlmodel/format/NeuralNetwork.proto", clip=50.0, cell_clip=50.0,
        leaves_open="the forgetBias flag adds 1 to b_f: --forget-bias 1 where it is set"),
    Convention("coreml-mil", "Core ML MIL lstm",
        _stack("ifog", "weight_ih weight_hh bias",
               more=(Tensor("peephole", "p", "ifo", optional=True),)),
        "apple/coremltools converters/mil/mil/ops/defs/iOS15/recurrent.py", by_name=False),
    Convention("mlx", "MLX nn.LSTM", _stack("ifgo", "Wx Wh bias"),
        "ml-explore/mlx python/mlx/nn/layers/recurrent.py",
        confirmed_by="mlx 0.32.4: tests/files/mlx_lstm.npz"),
    Convention("matlab", "MATLAB lstmLayer",
        _stack("ifgo", "InputWeights RecurrentWeights Bias"),
        "mathworks.com, lstmLayer properties",
        leaves_open="GateActivationFunction is read as sigmoid; for hard-sigmoid give --cell "
        "hard-sigmoid"),
    Convention("dl4j", "Deeplearning4j LSTM: g f o i in columns",
        _stack("gfoi", "W RW b", stacking="columns", needs_bias=True),
        "eclipse/deeplearning4j KerasLSTM.java"),
    Convention(
        "flux", "Flux.jl LSTMCell", _stack("ifgo", "Wi Wh bias"), "FluxML/Flux.jl recurrent.jl",
        leaves_open="arrays of Julia are read as (rows, columns)"),
    Convention("burn", "burn (Rust) Lstm: two linear layers a gate",
        _each_gate({"{}_gate.input_transform.weight": "x", "{}_gate.hidden_transform.weight": "h",
                    "{}_gate.input_transform.bias": "b1", "{}_gate.hidden_transform.bias": "b2"},
                   _WORDS, "columns"),
        "tracel-ai/burn crates/burn-nn lstm.rs", state_order="c, h"),
    Convention("webnn", "WebNN lstm, layout iofg",
        _stack("iofg", "weight recurrentWeight bias recurrentBias",
               more=(Tensor("peepholeWeight", "p", "iof", optional=True),)),
        "w3.org/TR/webnn, lstm", "webnn-baseline's own test: tests/golden/webnn.json (weak)"),
    Convention("webnn-ifgo", "WebNN lstm, layout ifgo",
        _stack("ifgo", "weight recurrentWeight bias recurrentBias",
               more=(Tensor("peepholeWeight", "p", "iof", optional=True),)),
        "w3.org/TR/webnn, lstm", by_name=False),
    Convention(
        "darknet", "Darknet (pjreddie): w recurrent, u input; stream order wi wf wo wg ui uf uo ug",
        _DARKNET,
        "pjreddie/darknet src/parser.c", by_name=False),
    Convention(
        "darknet-alexeyab", "Darknet (AlexeyAB): same names, stream order wf wi wg wo uf ui ug uo",
        _DARKNET,
        "AlexeyAB/darknet src/parser.c", by_name=False),
)  # fmt: skip

CONVENTIONS: Mapping[str, Convention] = {row.name: row for row in _ROWS}


def convention_named(name: str) -> Convention:
    """The row of a name, or a layout by hand: `gates=igfo`, `keras,transpose`, `joined=xh`.

    Raises:
        UsageError: there is none; the nearest is suggested. What is said by hand has no place.
    """
    base, _, rest = name.partition(",")
    if base.startswith(("gates=", "joined=")) or base == "transpose":
        base, rest = "", name
    if base and base not in CONVENTIONS:
        raise UsageError(f"unknown convention '{base}'", hint=suggest(base, CONVENTIONS))
    if not rest:
        return CONVENTIONS[base]
    hand = _hand_of(rest)
    if not base:
        return Convention(name, "by hand", (), "by hand", by_name=False, hand=hand)
    row = by_hand(CONVENTIONS[base], hand)
    if row is None:
        raise UsageError(
            f"convention {base} has no place for {hand.named('')}",
            hint="another convention, or only what is said by hand",
        )
    return row


def _hand_of(text: str) -> ByHand:
    """Parse what is said by hand: `gates=igfo,transpose,joined=xh`."""
    said = dict(each.partition("=")[::2] for each in text.split(","))
    gates = re.sub("[cj]", "g", said.pop("gates", "").lower())  # other names of the candidate
    joined = said.pop("joined", "")
    hand = ByHand(gates, said.pop("transpose", None) is not None, joined)
    if gates and sorted(gates) != sorted(GATE_LETTERS):
        what = f"gates are i, f, g and o in some order, not '{gates}'"
        hint = "--gates ifgo is PyTorch's"
    elif joined not in ("", "hx", "xh"):
        what, hint = f"joined is hx or xh, not '{joined}'", "--joined xh"
    elif said:
        what, hint = f"unknown part '{next(iter(said))}' of a layout", "gates=igfo,transpose"
    else:
        return hand
    raise UsageError(what, hint=hint)


_TURNED: Mapping[Stacking, Stacking] = {"rows": "columns", "columns": "rows"}
MATRICES = ("x", "h", "hx", "xh", "W_hr")


def by_hand(row: Convention, hand: ByHand) -> Convention | None:
    """Change a layout as a user says; None where it has no place for that."""
    tensors = tuple(_turned(tensor, hand) for tensor in row.tensors)
    joins = bool({"hx", "xh"} & row.holds)
    matrices = [tensor for tensor in row.tensors if tensor.holds in MATRICES]
    fixed = hand.transpose and any(tensor.stacking not in _TURNED for tensor in matrices)
    if fixed or (hand.gates and not row.order) or (hand.joined and not joins):
        return None
    # Our joined rows leave open only what is then said.
    answered = hand.joined and row.name.startswith("joined")
    return replace(
        row, name=hand.named(row.name), tensors=tensors, hand=hand, confirmed_by="",
        leaves_open="" if answered else row.leaves_open,
    )  # fmt: skip


def layouts_by_hand(hand: ByHand) -> list[Convention]:
    """Every layout that has a place for what a user says, changed so.

    With an order of gates it is another program's, whose habits at run time are not known.
    """
    changed = [row for each in CONVENTIONS.values() if (row := by_hand(each, hand)) is not None]
    if not hand.gates:
        return changed
    blocks = [r for r in changed if all(t.stacking != "interleaved" for t in r.tensors)]
    return [_without_habits(row) for row in blocks]


def _without_habits(row: Convention) -> Convention:
    return replace(
        row, forget_bias=0.0, activations=None, clip=0.0, cell_clip=0.0, leaves_open=BY_HAND
    )


BY_HAND = (
    "a layout given by hand: sigmoid and tanh, no forget bias, no clip; for others give "
    "--activations, --forget-bias, --clip, --cell-clip"
)


def _turned(tensor: Tensor, hand: ByHand) -> Tensor:
    order = "".join(k for k in hand.gates if k in tensor.gates) * max(1, len(tensor.gates) // 4)
    turned = hand.transpose and tensor.holds in MATRICES
    return replace(
        tensor, gates=order or tensor.gates,
        stacking=_TURNED.get(tensor.stacking, tensor.stacking) if turned else tensor.stacking,
        holds=hand.joined if hand.joined and tensor.holds in ("hx", "xh") else tensor.holds,
    )  # fmt: skip
