"""ONNX models: every LSTM node with its weights, wherever it is in the graph.

Nodes are found in the main graph, in the branches and bodies of If, Loop and Scan, and in local
functions. Of the `onnx` package only the format's definition is used: nothing is run, and no other
file is opened unless that is allowed (`_TensorSource`). Source of the operator LSTM:
github.com/onnx/onnx, docs/Operators.md: W and R have rows i o f g, B has the biases for x and then
those for h, P is i o f.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.cell.traits import PLAIN_ACTIVATIONS, Traits
from lstm_cli.cell.weights import Direction, OwnMask
from lstm_cli.files.inputs_read import note_read
from lstm_cli.files.safe import MAX_AXES
from lstm_cli.formats.chains import FIRST_LABEL, Labels, Reads, joined
from lstm_cli.formats.contents import Block, Contents, Graph, Info, NotRead, Package, Part, Variant
from lstm_cli.formats.stored import (
    CODES,
    Budget,
    checked_size,
    decoded,
    dequantized,
    read_whole,
    shape_from,
)

# Functions may call functions: a small file can describe a huge graph.
MAX_NODES = 500_000
MAX_CALLS = 5_000
MAX_DEPTH = 64
MAX_PATH = 1_000

_STANDARD = ("", "ai.onnx")
_GRAPH = 5  # AttributeProto.AttributeType: one graph
_GRAPHS = 10

# Our name -> ONNX's, and the operator's defaults for alpha and beta (docs/Operators.md).
_ACTIVATIONS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "sigmoid": ("Sigmoid", ()), "tanh": ("Tanh", ()), "relu": ("Relu", ()),
    "softsign": ("Softsign", ()), "softplus": ("Softplus", ()), "elu": ("Elu", (1.0,)),
    "affine": ("Affine", (1.0, 0.0)), "leaky_relu": ("LeakyRelu", (0.01,)),
    "thresholded_relu": ("ThresholdedRelu", (1.0,)), "scaled_tanh": ("ScaledTanh", (1.0, 1.0)),
    "hard_sigmoid": ("HardSigmoid", (0.2, 0.5)),
}  # fmt: skip
# Lower-case, as onnxruntime compares names.
_BY_ONNX_NAME = {name.lower(): ours for ours, (name, _) in _ACTIVATIONS.items()}
# Where onnxruntime 1.32 takes 0 for an alpha or beta that is absent.
_ZERO_IN_ONNXRUNTIME = ("affine", "scaled_tanh", "thresholded_relu")

_DIRECTIONS: Mapping[str, tuple[Direction, ...]] = {
    "forward": ("forward",), "reverse": ("backward",), "bidirectional": ("forward", "backward"),
}  # fmt: skip

_SHOWN = ("direction", "hidden_size", "activations", "clip", "input_forget", "layout")


def read(path: Path, *, allow_external_data: bool = False) -> Contents:
    """Read the LSTM nodes and the initializers of an ONNX model.

    Args:
        allow_external_data: whether files beside the model may be read; without it an LSTM whose
            weights lie there is refused.

    Raises:
        InputError: not a model, damaged, or external data that is not allowed or not safe.
    """
    place = safe(path)
    data = read_whole(path)
    source = _TensorSource(path.parent, place, allow_external_data, Budget(len(data), place))
    walk = _GraphWalk(_parse(data, place), source)
    try:
        walk.run()
        walk.join()
        return walk.found.contents(
            _origin(walk.model),
            lambda name, tensor: _info_of(tensor, f"{place}, tensor {safe(name)[:200]}"),
            lambda tensor: replace(source, budget=Budget(len(data), place)).numbers(tensor),
        )
    except UnicodeDecodeError:  # implementations of protobuf other than upb, which returns bytes
        raise _not_a_model("a name in it is not UTF-8", place) from None


def _parse(data: bytes, place: str) -> Any:
    import onnx

    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf's DecodeError, which is not imported here
        raise _not_a_model(str(error), place) from None
    if not model.HasField("graph") or not (model.graph.node or model.graph.initializer):
        raise _not_a_model("it has no graph", place)
    return model


def _not_a_model(reason: str, place: str) -> InputError:
    hint = "the file is cut, damaged or of another kind; export it again"
    return InputError(f"not a readable ONNX model: {safe(reason)[:200]}", where=place, hint=hint)


def _origin(model: Any) -> str:
    versions = [str(each.version) for each in model.opset_import if each.domain in _STANDARD]
    maker = f"{model.producer_name} {model.producer_version}".strip() or "an unnamed program"
    opset = "/".join(versions) or "not given"
    return f"ONNX opset {opset}, IR {model.ir_version}, by {safe(maker)[:100]}"


def _is_lstm(node: Any) -> bool:
    return bool(node.op_type == "LSTM" and node.domain in _STANDARD)


def _own_name(node: Any) -> str:
    return str(node.name or next((each for each in node.output if each), "") or node.op_type)


@dataclass
class _GraphWalk:
    """Walks through a model: its graph, the graphs in its nodes and the functions they call."""

    model: Any
    source: _TensorSource
    functions: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    found: Graph = field(default_factory=Graph)
    lstms: dict[str, _LstmNode] = field(default_factory=dict)
    visited: int = 0
    calls: int = 0

    def run(self) -> None:
        """Find every initializer and every node of an operator called LSTM, in order."""
        for each in self.model.functions:
            key = (each.domain, each.name, getattr(each, "overload", ""))
            self._check_names(*key, *each.input)
            self._check_names(*(attribute.name for attribute in each.attribute_proto))
            self.functions[key] = each
        self._graph(self.model.graph, _Scope(self.source), 0)

    def join(self) -> None:
        """Find out which of the LSTM nodes are joined directly."""
        blocks = self.found.blocks
        labels = Labels([block.name for block in blocks])
        nodes = [self.lstms[block.name] for block in blocks]
        if not labels.has_room():
            return
        for scope in dict.fromkeys(each for node in nodes for each in node.scope.around()):
            scope.label_inputs(labels)
        reads = [_follow(*each, labels) for each in zip(nodes, count(), blocks, strict=False)]
        for number, read in enumerate(reads):
            if any(nodes[each].input(4) != nodes[number].input(4) for each in read.layers):
                reads[number] = Reads(other="the output of a layer of other sequence_lens")
        scopes = dict.fromkeys(node.scope for node in nodes) if len(nodes) > 1 else ()
        pairs = [pair for scope in scopes for pair in scope.pairs(labels)]
        self.found.blocks, self.found.stacks = joined(blocks, reads, pairs)

    def _graph(self, graph: Any, scope: _Scope, depth: int) -> None:
        self._check_names(*(each.name for each in (*graph.input, *graph.initializer)))
        scope.inputs.update({each.name: None for each in graph.input})
        scope.shapes.update({each.name: _dims(each) for each in (*graph.input, *graph.value_info)})
        for tensor in graph.initializer:
            self._count(1 + len(scope.path) // 50)
            scope.made[tensor.name] = tensor
            self.found.add_constant(scope.path + tensor.name, tensor)
        self._body(graph.node, scope, depth)

    def _body(self, nodes: Any, scope: _Scope, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._refuse(f"graphs and functions are more than {MAX_DEPTH} deep")
        self._count(len(nodes))
        for node in nodes:
            self._check_names(node.name, node.op_type, node.domain, *node.input, *node.output)
            for each in node.attribute:
                self._check_names(each.name, each.ref_attr_name)
            for which, name in enumerate(node.output):
                scope.made[name] = (node, which)
        for node in nodes:
            key = (node.domain, node.op_type, getattr(node, "overload", ""))
            if key in self.functions and not _is_lstm(node):
                self._call(node, self.functions[key], scope, depth + 1)
                continue
            if "LSTM" in node.op_type:
                self._count(50)  # a block is larger than a node
                lstm = _LstmNode(scope, node)
                name = self.found.add(scope.path + _own_name(node), lstm.title, lstm.block)
                self.lstms[name] = lstm
            for attribute in node.attribute:
                if attribute.type in (_GRAPH, _GRAPHS):
                    for number, graph in enumerate([attribute.g, *attribute.graphs]):
                        path = self._path(scope, node, f"{attribute.name}{number or ''}")
                        inner = _Scope(self.source, path, parent=scope, attributes=scope.attributes)
                        self._graph(graph, inner, depth + 1)

    def _call(self, node: Any, function: Any, scope: _Scope, depth: int) -> None:
        self.calls += 1
        if self.calls > MAX_CALLS:
            self._refuse(f"functions are called more than {MAX_CALLS:,} times")
        given = [name or None for name in node.input] + [None] * len(function.input)
        attributes = {each.name: each for each in function.attribute_proto}
        attributes |= {each.name: scope.attribute(node, each.name) for each in node.attribute}
        inputs = dict(zip(function.input, given, strict=False))
        path = self._path(scope, node)
        inner = _Scope(self.source, path, {}, inputs, scope, True, attributes)
        self._body(function.node, inner, depth)

    def _path(self, scope: _Scope, node: Any, *further: str) -> str:
        parts = (scope.path + _own_name(node), *further, "")
        if sum(map(len, parts)) > MAX_PATH:
            self._refuse(f"names in it are longer than {MAX_PATH:,} characters")
        return "/".join(parts)

    def _check_names(self, *names: object) -> None:
        if not all(isinstance(name, str) for name in names):
            self._refuse("a name in it is not UTF-8")

    def _count(self, nodes: int) -> None:
        self.visited += nodes
        if self.visited > MAX_NODES:
            self._refuse(f"more than {MAX_NODES:,} nodes and tensors")

    def _refuse(self, reason: str) -> NoReturn:
        raise _not_a_model(reason, self.source.place)


@dataclass(frozen=True)
class _Node:
    """One node in its scope."""

    scope: _Scope
    node: Any

    def attribute(self, name: str) -> Any:
        return self.scope.attribute(self.node, name)

    def integer(self, name: str, default: int = 0) -> int:
        found = self.attribute(name)
        return default if found is None else int(found.i)


@dataclass(frozen=True)
class _LstmNode(_Node):
    """One node of an operator called LSTM."""

    @property
    def title(self) -> str:
        """The operator, with its domain unless it is ONNX's own LSTM."""
        if _is_lstm(self.node):
            return "LSTM"
        return safe(f"{self.node.domain}.{self.node.op_type}".strip("."))[:80]

    def block(self, name: str) -> Block:
        """Describe the node as a block; `NotRead` where it is malformed or lacks its weights."""
        if not _is_lstm(self.node):
            raise NotRead("only ONNX's own LSTM is")
        directions = self._directions()
        stacks = self._stacks(len(directions))
        variants, is_open = self._variants(len(directions))
        parts: dict[Direction, Part] = {
            direction: Part({key: stack[number] for key, stack in stacks.items()}, variant)
            for number, (direction, variant) in enumerate(zip(directions, variants, strict=True))
        }
        mask = OwnMask(lengths=tuple(self._lengths() or ()))
        return Block(name, "onnx", parts, tuple(self._known_by()), (*is_open, *self._open()),
                     mask=mask)  # fmt: skip

    def _directions(self) -> tuple[Direction, ...]:
        found = self.attribute("direction")
        word = found.s.decode("utf-8", "replace") if found is not None else "forward"
        if word not in _DIRECTIONS:
            raise NotRead(f"its direction is '{safe(word)[:40]}'")
        return _DIRECTIONS[word]

    def input(self, index: int) -> str:
        return str(self.node.input[index]) if index < len(self.node.input) else ""

    def _stacks(self, count: int) -> dict[str, Array]:
        """W (D, 4H, I), R (D, 4H, H), B (D, 8H) and P (D, 3H), as far as they are given."""
        stacks: dict[str, Array] = {}
        for key, index in (("W", 1), ("R", 2), ("B", 3), ("P", 7)):
            name = self.input(index)
            if not name:
                if key in "WR":
                    raise NotRead(f"it has no {key}")
                continue
            try:
                stacks[key] = _fold(self.scope, name)
            except NotRead as reason:
                raise NotRead(f"its {key} is not in the file: {reason}") from None
        hidden = self.integer("hidden_size", (0, *stacks["R"].shape)[-1])
        if hidden < 1:
            raise NotRead(f"its hidden_size is {hidden}")
        rows = {"W": 4, "R": 4, "B": 8, "P": 3}
        for key, stack in stacks.items():
            wanted = (count, rows[key] * hidden, *([hidden] if key == "R" else []))
            axes = 3 if key in "WR" else 2
            if stack.ndim != axes or stack.shape[: len(wanted)] != wanted:
                needed = ", ".join(map(str, wanted)) + (", I" if key == "W" else "")
                raise NotRead(f"its {key} is {stack.shape}, H = {hidden} needs ({needed})")
            if stack.dtype.kind != "f":
                raise NotRead(f"its {key} is of type {stack.dtype}, not of real numbers")
        return stacks

    def _variants(self, count: int) -> tuple[list[Variant], list[str]]:
        """The variant of each direction, and the assumptions that were made."""
        found = self.attribute("clip")
        clip = 0.0 if found is None else _shortest(found.f)
        if found is not None and not 0 < clip < math.inf:
            raise NotRead(f"its clip is {float(found.f)}")
        coupled = ("coupled-forget",) if self.integer("input_forget") else ()
        texts, assumed = self._activations(count)
        activations = [None if each == PLAIN_ACTIVATIONS else each for each in texts]
        return [Variant(each, clip=clip, cells=coupled) for each in activations], assumed

    def _activations(self, count: int) -> tuple[list[tuple[str, str, str]], list[str]]:
        """The gate, candidate and output activation of each direction, and what was assumed.

        Alphas and betas are consumed in order, each by the next function that takes one, as the
        operator's definition says and onnxruntime 1.32 does.
        """
        found = self.attribute("activations")
        words = [each.decode("utf-8", "replace") for each in found.strings] if found else []
        words = words or ["Sigmoid", "Tanh", "Tanh"] * count
        if len(words) != 3 * count:
            raise NotRead(f"it names {len(words)} activations, needs {3 * count}")
        alphas, betas = self._numbers("activation_alpha"), self._numbers("activation_beta")
        texts, assumed = [], list[str]()
        for word in words:
            if word.lower() not in _BY_ONNX_NAME:
                raise NotRead(f"its activation '{safe(word)[:40]}' is not known")
            name = _BY_ONNX_NAME[word.lower()]
            _, defaults = _ACTIVATIONS[name]
            lists = (alphas, betas)[: len(defaults)]
            values = [next(each, None) for each in lists]
            if name in _ZERO_IN_ONNXRUNTIME and None in values:
                assumed.append(f"{name}: alpha or beta is not given; ONNX's defaults are read, "
                               "onnxruntime 1.32 takes 0")  # fmt: skip
            numbers = [d if v is None else v for v, d in zip(values, defaults, strict=True)]
            constants = ", ".join(f"{_shortest(each)!r}" for each in numbers)
            texts.append(f"{name}({constants})" if constants else name)
        if next(alphas, None) is not None or next(betas, None) is not None:
            assumed.append("more alphas or betas are given than the activations use; the first are")
        triples = [(texts[i], texts[i + 1], texts[i + 2]) for i in range(0, len(texts), 3)]
        return triples, list(dict.fromkeys(assumed))

    def _numbers(self, name: str) -> Iterator[float | None]:
        found = self.attribute(name)
        values = [float(each) for each in found.floats] if found is not None else []
        if not all(math.isfinite(each) for each in values):
            raise NotRead(f"its {name} is {values[:6]}")
        return iter(values)

    def _known_by(self) -> Iterator[str]:
        yield "the ONNX operator LSTM: gates i o f g in rows, biases for x and for h"
        for name in _SHOWN:
            found = self.attribute(name)
            if found is not None:
                yield f"attribute {name} = {_shown(found)}"
        if lengths := self._lengths():
            yield f"sequence_lens, a constant: {', '.join(map(str, lengths[:8]))}"

    def _lengths(self) -> list[int] | None:
        """The constant sequence_lens; None where the model is given it, [] where it has none."""
        if not self.input(4):
            return []
        try:
            return [int(each) for each in _fold(self.scope, self.input(4)).ravel()]
        except (NotRead, InputError):
            return None

    def _open(self) -> Iterator[str]:
        for each in self.node.attribute:
            if each.name not in (*_SHOWN, "activation_alpha", "activation_beta"):
                yield f"attribute {safe(each.name)[:80]}: not known here, and left out"
        if self.attribute("clip") is not None:
            yield "clip: cuts the pre-activations, not c before its tanh, as onnxruntime 1.32"
        if self.integer("layout"):
            yield "layout = 1: x, output and states have the batch axis first"
        if self.input(4) and self._lengths() is None:
            yield "sequence_lens: given when the model runs; here by --lengths"
        for index, state in ((5, "initial_h"), (6, "initial_c")):
            if self.input(index):
                yield f"{state}: {self._initial(index)}"

    def _initial(self, index: int) -> str:
        try:
            values = _fold(self.scope, self.input(index))
        except (NotRead, InputError):
            return "given when the model runs; here by --h and --c"
        if not np.any(values):
            return "a constant of the file, all zeros"
        return f"a constant of the file {list(values.shape)}, not zeros; give it by --h or --c"


def _follow(lstm: _LstmNode, number: int, block: Block, labels: Labels) -> Reads:
    """What a node reads; its outputs are labelled for those after it."""
    first = bool(lstm.integer("layout"))  # batch first
    lead = (*lstm.scope.shapes.get(lstm.input(0), ()), 0, 0)[:2][:: -1 if first else 1]
    steps, samples = lead[0] or 3, lead[1] or 2
    try:
        x = _fold(lstm.scope, lstm.input(0))
        if x.ndim != 3:
            raise NotRead(f"not a sequence: its shape has {x.ndim} axes")
        x = x.swapaxes(0, 1) if first else x
        read = labels.read(x)
        steps, samples = x.shape[:2]
    except (NotRead, InputError) as reason:
        told = safe(reason).removeprefix("it is ").removesuffix(", which is not followed")
        read = Reads(other=told)
    hidden, ways = next(iter(block.parts.values())).tensors["R"].shape[1], len(block.parts)
    if labels.has_room(steps, samples, ways, hidden):
        y = labels.output(number, (steps, samples, ways * hidden), read.turned)
        y = y.reshape(steps, samples, ways, hidden)
        y = y.transpose((1, 0, 2, 3) if first else (0, 2, 1, 3))
        last = labels.made(y.shape[1:], what=f"the last state of '{safe(block.name)[:80]}'")
        lstm.scope.labels |= dict(zip(lstm.node.output, (y, last), strict=False))
    return read


def _dims(value: Any) -> tuple[int, ...]:
    """The shape of a graph's input or value, 0 for an axis of any size."""
    return tuple(max(0, each.dim_value) for each in value.type.tensor_type.shape.dim)[:4]


def _shortest(value: float) -> float:
    """The shortest decimal of a float32, so that 0.2 is not shown as 0.20000000298."""
    return float(str(np.float32(value)))


def _shown(attribute: Any) -> str:
    """An attribute's value, for display."""
    if attribute.s:
        return safe(attribute.s.decode("utf-8", "replace"))[:80]
    if attribute.strings:
        return safe(" ".join(each.decode("utf-8", "replace") for each in attribute.strings))[:200]
    return repr(_shortest(attribute.f)) if attribute.f else str(attribute.i)


# --------------------------------------------------------------------------------------------------
# Constant folding: the values in an ONNX graph that are known without running it.
#
# Exporters hand weights to a node through chains of Transpose, Unsqueeze, Concat and the like. A
# value is followed back through a short list of such operators to initializers and constants. One
# that depends on a graph's input, or on any other operator, is unknown: `NotRead` says why.

# Honest chains from weights to a node are shorter.
MAX_CHAIN = 64


@dataclass(eq=False)
class _Scope:
    """The names of one graph, subgraph or called function."""

    source: _TensorSource
    path: str = ""  # the prefix of layer names in it: "" or "If_3/then_branch/"
    # name -> initializer (a TensorProto), or (node, index of its output)
    made: dict[str, Any] = field(default_factory=dict)
    # name -> the caller's own name for it, or None where it is given at run time
    inputs: dict[str, str | None] = field(default_factory=dict)
    parent: _Scope | None = None  # the graph around a subgraph, or the caller of a function
    function: bool = False  # whether this is a function's body, which sees only its inputs
    attributes: Mapping[str, Any] = field(default_factory=dict)  # those of a function's caller
    # the values folded so far; None while one is being folded
    known: dict[str, tuple[Array, ...] | None] = field(default_factory=dict)
    # name -> shape, as far as the graph says it, 0 for an axis of any size
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    # what stands for numbers that are known only at run time (`chains`)
    labels: dict[str, Array] = field(default_factory=dict)

    def around(self) -> Iterator[_Scope]:
        """Yield this scope and those around it."""
        here: _Scope | None = self
        while here is not None:
            yield here
            here = here.parent

    def label_inputs(self, labels: Labels) -> None:
        """Label what a graph is given at run time, unless it is too much."""
        for name, outer in self.inputs.items():
            if outer is None and name not in self.made:
                shape = self.shapes.get(name) or (0, 0, 0)
                shape = tuple(each or free for each, free in zip(shape, (3, 2, 5, 7), strict=False))
                if labels.has_room(*shape):
                    self.labels[name] = labels.made(shape)

    def pairs(self, labels: Labels) -> Iterator[tuple[int, ...]]:
        """Yield the layers whose outputs a Concat puts side by side."""
        nodes = (made[0] for made in self.made.values() if isinstance(made, tuple))
        for node in nodes:
            if node.op_type == "Concat" and node.domain in _STANDARD:
                try:
                    value = _fold(self, str(node.output[0]))
                except (NotRead, InputError):
                    continue
                if value.ndim == 3:
                    yield from (labels.read(each).layers for each in (value, value.swapaxes(0, 1)))

    def attribute(self, node: Any, name: str) -> Any:
        """A node's AttributeProto by name; None where it is absent."""
        for each in node.attribute:
            if each.name == name:
                return self.attributes.get(each.ref_attr_name) if each.ref_attr_name else each
        return None


def _fold(scope: _Scope, name: str, depth: int = 0) -> Array:
    """Compute the value of a name; `NotRead` if it depends on what is not known, or on itself."""
    if depth > MAX_CHAIN:
        raise NotRead(f"it is the result of a chain of more than {MAX_CHAIN} operators")
    here: _Scope | None = scope
    while here is not None:
        if name in here.labels:
            return here.labels[name]
        if name in here.made:
            return _made(here, name, depth)
        if name in here.inputs:
            outer = here.inputs[name]
            if outer is None or here.parent is None:
                raise NotRead(f"it depends on the input '{safe(name)[:80]}'")
            return _fold(here.parent, outer, depth + 1)
        here = None if here.function else here.parent
    raise NotRead(f"nothing produces '{safe(name)[:80]}'")


def _made(scope: _Scope, name: str, depth: int) -> Array:
    maker = scope.made[name]
    node, which = maker if isinstance(maker, tuple) else (None, 0)
    key = name if node is None else str(node.output[0]) or name
    if key not in scope.known:
        scope.known[key] = None
        try:
            scope.known[key] = (
                (scope.source.numbers(maker),) if node is None else _applied(scope, node, depth)
            )
        except (NotRead, InputError):
            del scope.known[key]
            raise
    values = scope.known[key]
    if values is None:
        raise NotRead(f"'{safe(name)[:80]}' depends on itself")
    if which >= len(values):
        raise NotRead(f"{safe(node.op_type)[:40]} makes {len(values)} values here")
    return values[which]


def _applied(scope: _Scope, node: Any, depth: int) -> tuple[Array, ...]:
    operator = _OPERATORS.get(node.op_type) if node.domain in _STANDARD else None
    shown = safe(node.op_type)[:40]
    if operator is None:
        raise NotRead(f"it is computed by {shown}, which is not followed")
    try:
        inputs = [_fold(scope, each, depth + 1) if each else None for each in node.input]
    except NotRead:
        if node.op_type in _ARITHMETIC:
            raise NotRead(f"it is computed by {shown}, which is not followed") from None
        raise
    try:
        with np.errstate(all="ignore"):
            return tuple(operator(_OperatorCall(scope, node, inputs)))
    except (ValueError, IndexError, TypeError, OverflowError, KeyError, ZeroDivisionError) as error:
        raise NotRead(f"its {shown} fails: {safe(error)[:120]}") from None


@dataclass(frozen=True)
class _OperatorCall(_Node):
    """One operator whose inputs are known."""

    inputs: Sequence[Array | None]

    @property
    def x(self) -> Array:
        """The first input."""
        return self.need(0)

    @property
    def budget(self) -> Budget:
        return self.scope.source.budget

    @property
    def axes(self) -> tuple[int, ...] | None:
        axes = self.integers("axes", 1)
        return None if axes is None else tuple(axes)

    def need(self, index: int) -> Array:
        """A required input."""
        value = self.input(index)
        if value is None:
            raise ValueError(f"input {index} is missing")
        return value

    def input(self, index: int) -> Array | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def integers(self, name: str, index: int) -> list[int] | None:
        """Integers from an input or, in older opsets, from an attribute."""
        value = self.input(index)
        if value is not None:
            if value.dtype.kind not in "iu" or value.ndim > 1 or value.size > MAX_AXES:
                raise ValueError(f"{name} are not a short list of integers")
            return [int(each) for each in np.atleast_1d(value)]
        found = self.attribute(name)
        return None if found is None else [int(each) for each in found.ints]


def _axis(axis: int, axes: int) -> int:
    if not -axes <= axis < axes:
        raise IndexError(f"axis {axis} of {axes}")
    return axis % axes


def _constant(call: _OperatorCall) -> list[Array]:
    for each in call.node.attribute:
        found = call.attribute(each.name)
        if found is not None:
            match each.name:
                case "value":
                    return [call.scope.source.numbers(found.t)]
                case "value_float":
                    return [np.array(found.f, dtype=np.float32)]
                case "value_floats":
                    return [np.array(list(found.floats), dtype=np.float32)]
                case "value_int":
                    return [np.array(found.i, dtype=np.int64)]
                case "value_ints":
                    return [np.array(list(found.ints), dtype=np.int64)]
    raise NotRead("it is a Constant of a kind that is not read")


# Of the sizes in a shape, as exporters write them for axes of any size.
_ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.floor_divide}


def _of_sizes(function: Callable[[Array, Array], Array], call: _OperatorCall) -> list[Array]:
    sizes = [each for each in call.inputs if each is not None and each.dtype.kind == "i"]
    if len(sizes) < 2 or any(each.size > MAX_AXES or each.max() >= FIRST_LABEL for each in sizes):
        raise NotRead(f"it is computed by {safe(call.node.op_type)}, which is not followed")
    return [function(call.x, call.need(1))]


def _dropout(call: _OperatorCall) -> list[Array]:
    trains = call.input(2)
    if trains is not None and trains.any():
        raise NotRead("it is computed by Dropout in training mode, which is not followed")
    return [call.x]


def _concat(call: _OperatorCall) -> list[Array]:
    parts = [call.need(index) for index in range(len(call.inputs))]
    if len({part.dtype for part in parts}) > 1:
        raise ValueError("its parts are of different types")
    call.budget.take(sum(part.nbytes for part in parts))
    return [np.concatenate(parts, axis=call.integer("axis", 0))]


def _slice(call: _OperatorCall) -> list[Array]:
    starts, ends = call.integers("starts", 1), call.integers("ends", 2)
    if starts is None or ends is None:
        raise ValueError("starts or ends are missing")
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    cuts = [slice(None)] * call.x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cuts[_axis(axis, call.x.ndim)] = slice(start, end, step)
    return [call.x[tuple(cuts)]]


def _split(call: _OperatorCall) -> list[Array]:
    axis = _axis(call.integer("axis", 0), call.x.ndim)
    sizes = call.integers("split", 1)
    count = call.integer("num_outputs", len(call.node.output))
    length = call.x.shape[axis]
    if sizes is None:
        each = -(-length // count)
        sizes = [min(each, max(0, length - each * i)) for i in range(min(count, MAX_AXES))]
    if sum(sizes) != length or min(sizes) < 0:
        raise ValueError(f"sizes {sizes} of {length}")
    return np.split(call.x, np.cumsum(sizes)[:-1].tolist(), axis=axis)


def _reshape(call: _OperatorCall) -> list[Array]:
    shape = call.integers("shape", 1)
    if shape is None:
        raise ValueError("the shape is missing")
    if not call.integer("allowzero", 0):
        shape = [call.x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    call.budget.take(call.x.nbytes)  # a transposed array is copied
    return [call.x.reshape(shape)]


def _gather(call: _OperatorCall) -> list[Array]:
    axis = _axis(call.integer("axis", 0), call.x.ndim)
    indices = call.need(1)
    call.budget.take(indices.size * (call.x.nbytes // max(1, call.x.shape[axis]) + 1))
    return [np.take(call.x, indices, axis=axis)]


def _cast(call: _OperatorCall) -> list[Array]:
    dtype = _TYPES.get(call.integer("to", 0), ("", ""))[0]
    if dtype not in CODES or dtype == "bfloat16":
        raise NotRead(f"it is cast to {dtype or 'a type that is not read'}")
    call.budget.take(call.x.size * np.dtype(dtype).itemsize)
    return [call.x.astype(dtype)]


def _dequantize(call: _OperatorCall) -> list[Array]:
    if call.integer("block_size", 0):
        raise NotRead("it is dequantised in blocks")
    scale, zero = call.need(1), call.input(2)
    axis = _axis(call.integer("axis", 1), call.x.ndim) if scale.size > 1 else 0
    call.budget.take(16 * call.x.size)
    return [dequantized(call.x, scale, zero, axis).astype(np.float32)]


_OPERATORS: dict[str, Callable[[_OperatorCall], list[Array]]] = {
    "Identity": lambda call: [call.x],
    "Dropout": _dropout,
    "Shape": lambda call: [
        np.array(call.x.shape, dtype=np.int64)[
            call.integer("start") : call.integer("end", call.x.ndim)
        ]
    ],
    "Constant": _constant,
    "Unsqueeze": lambda call: [np.expand_dims(call.x, call.axes or ())],
    **{name: partial(_of_sizes, function) for name, function in _ARITHMETIC.items()},
    "Squeeze": lambda call: [np.squeeze(call.x, call.axes)],
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Reshape": _reshape,
    "Transpose": lambda call: [np.transpose(call.x, call.integers("perm", len(call.inputs)))],
    "Cast": _cast,
    "DequantizeLinear": _dequantize,
}


# --------------------------------------------------------------------------------------------------
# Numbers of an ONNX TensorProto, in the file or (only if allowed) in a file beside it.
#
# Written from the format's definition, onnx/onnx.proto: `raw_data` is little-endian; typed fields
# hold small types as int32, float16 and bfloat16 as their bits. External data is a known hole
# (CVE-2022-25882, 2024-27318, 2026-27489, 2026-34446, 2026-34447), so the `onnx` package opens no
# file here: a location is followed only on demand and only within the model's folder.

# TensorProto.DataType -> our name and the field of typed data ("" where only raw data is read).
_TYPES: dict[int, tuple[str, str]] = {
    1: ("float32", "float_data"), 2: ("uint8", "int32_data"), 3: ("int8", "int32_data"),
    4: ("uint16", "int32_data"), 5: ("int16", "int32_data"), 6: ("int32", "int32_data"),
    7: ("int64", "int64_data"), 8: ("string", ""), 9: ("bool", "int32_data"),
    10: ("float16", "int32_data"),
    11: ("float64", "double_data"), 12: ("uint32", "uint64_data"), 13: ("uint64", "uint64_data"),
    16: ("bfloat16", "int32_data"),
}  # fmt: skip
_BITS = ("float16", "bfloat16")
_BOOL = 9
_EXTERNAL = 1  # TensorProto.DataLocation


@dataclass(frozen=True)
class _TensorSource:
    """Where a model's tensors come from."""

    folder: Path  # the model's folder; no files outside it may be read
    place: str
    external: bool
    budget: Budget

    def numbers(self, tensor: Any) -> Array:
        """Read a tensor's numbers in its own dtype (bfloat16 as float32)."""
        place = f"{self.place}, tensor {safe(tensor.name)[:200] or '(unnamed)'}"
        info = _info_of(tensor, place)
        if tensor.data_type == _BOOL:
            info = Info.of(info.shape, "uint8")
        size = checked_size(info, place)
        if tensor.HasField("segment"):
            raise _damaged("segmented tensors are not read", place)
        if tensor.data_location == _EXTERNAL:
            data = self._external(tensor, size, place)
        elif tensor.HasField("raw_data"):
            raw = tensor.raw_data
            if len(raw) != size:
                raise _mismatch(info, f"{len(raw):,} bytes", place)
            self.budget.take(size)  # protobuf returns a copy
            data = np.frombuffer(raw, dtype=np.uint8)
        else:
            return self._typed(tensor, info, place).reshape(info.shape)
        return decoded(data, info.dtype.text).reshape(info.shape)

    def _typed(self, tensor: Any, info: Info, place: str) -> Array:
        """Read numbers from the field of their type, as a flat array."""
        field = getattr(tensor, _TYPES[tensor.data_type][1])
        if len(field) != math.prod(info.shape):
            raise _mismatch(info, f"{len(field):,} numbers", place)
        self.budget.take(8 * len(field))
        values = np.array(field)
        if info.dtype.text in _BITS:
            return decoded(values.astype(np.uint16).view(np.uint8), info.dtype.text)
        return values.astype(info.dtype.text)

    def _external(self, tensor: Any, size: int, place: str) -> Array:
        """Read the bytes of a tensor from a file beside the model."""
        entries = {str(entry.key): str(entry.value) for entry in tensor.external_data}
        shown = safe(entries.get("location", ""))[:200]
        if not self.external:
            raise InputError(
                f"the numbers are in another file, '{shown}', which is not opened unless allowed",
                where=place,
                hint="--allow-external-data reads it if it lies beside the model; or save the "
                "model as one file: onnx.save(onnx.load(path), new)",
            )
        offset = _count_from(entries.get("offset", "0"), "offset", place)
        with _open_beside(self.folder, entries.get("location", ""), place) as stream:
            there = os.fstat(stream.fileno()).st_size
            length = _count_from(entries.get("length", str(size)), "length", place)
            if length != size or offset + length > there:
                raise _mismatch(
                    _info_of(tensor, place),
                    f"{length:,} bytes from {offset:,} on of the {there:,} in '{shown}'",
                    place,
                )
            stream.seek(offset)
            data = np.frombuffer(stream.read(size), dtype=np.uint8)
        if data.size != size:
            raise _damaged(f"'{shown}' was cut while it was read", place)
        self.budget.grow(size)
        return data


def _info_of(tensor: Any, place: str) -> Info:
    """A tensor's shape and dtype; a type that is not read has its number for a name."""
    dtype = _TYPES.get(tensor.data_type, (f"ONNX type {tensor.data_type}", ""))[0]
    return Info.of(shape_from(list(tensor.dims), place), dtype)


def _count_from(text: str, what: str, place: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        _unsafe(f"the {what} of external data is '{safe(text)[:40]}'", place)
    return int(text)


@contextmanager
def _open_beside(folder: Path, location: str, place: str) -> Iterator[IO[bytes]]:
    """Open an external data file: a regular file without other links, in the model's folder."""
    shown = safe(location)[:200]
    parts = PurePosixPath(location).parts
    if not parts or ".." in parts or re.search(r"^/|[\\:\x00]", location):
        _unsafe(f"external data at '{shown}' is not a plain path below the model's folder", place)
    path = folder.joinpath(*parts)
    try:
        root, real = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
        if path.is_symlink() or not real.is_relative_to(root):
            _unsafe(f"external data '{shown}' is a link, or leads out of the model's folder", place)
        # A pipe would block on opening; a link put there meanwhile is not followed.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(real, flags | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _unsafe(f"external data '{shown}' cannot be read: {safe(reason).lower()}", place)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        _unsafe(f"external data '{shown}' is not a plain file of one name", place)
    note_read(descriptor, str(path))
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def _unsafe(what: str, place: str) -> NoReturn:
    hint = "put the data file itself beside the model, or save the model as one file"
    raise InputError(what, where=place, hint=hint)


def _mismatch(info: Info, there: str, place: str) -> InputError:
    return _damaged(
        f"the tensor is declared {safe(info.dtype)} {list(info.shape)}; it has {there}", place
    )


def _damaged(what: str, place: str) -> InputError:
    return InputError(what, where=place, hint="the file is cut or damaged; write it again")


# --------------------------------------------------------------------------------------------------
# Writing: a model of an LSTM node a layer, its settings as attributes, that ONNX Runtime can run.
#
# Inputs X (T, N, I), initial_h and initial_c (D, N, H); outputs Y, Y_h, Y_c; upper layers
# have _1, _2, … after their names. Opset 14 and IR 8 are read by every ONNX Runtime since 1.10.

_WRITTEN_ACTIVATIONS = {**_ACTIVATIONS, "hard_sigmoid_6": ("HardSigmoid", (1 / 6, 0.5))}


def write(package: Package, path: Path) -> bytes:
    """Make the model's bytes; `InputError` if directions differ or ONNX lacks an activation."""
    import onnx
    from onnx import helper, numpy_helper

    levels = sorted({level for level, _ in package.parts})
    nodes, arrays = list[Any](), dict[str, Array]()
    inputs, outputs = list[Any](), list[Any]()
    for level in levels:
        sides = [side for at, side in package.parts if at == level]
        size, hidden = _written_sizes(package, level, sides)
        own = f"_{level}" if level else ""
        stacked = {
            key: np.stack([package.parts[(level, side)][key] for side in sides]).astype(np.float32)
            for key in package.parts[(level, sides[0])]
        }
        arrays |= {key + own: array for key, array in stacked.items()}
        if level:
            nodes += _joint(f"_{level - 1}" if level > 1 else "", own)
        names = ["X", "W", "R", "B", "", "initial_h", "initial_c", "P" if "P" in stacked else ""]
        nodes.append(helper.make_node(
            "LSTM", [name and name + own for name in (names if names[-1] else names[:-1])],
            [f"Y{own}", f"Y_h{own}", f"Y_c{own}"], name=f"lstm{own}", hidden_size=hidden,
            **_written_attributes(package, level, sides),
        ))  # fmt: skip
        state: list[int | str] = [len(sides), "N", hidden]
        inputs += [] if level else [_value("X", ["T", "N", size])]
        inputs += [_value(f"initial_h{own}", state), _value(f"initial_c{own}", state)]
        if level == levels[-1]:
            outputs.insert(0, _value(f"Y{own}", ["T", len(sides), "N", hidden]))
        outputs += [_value(f"Y_h{own}", state), _value(f"Y_c{own}", state)]
    if levels[1:]:
        arrays["shape"] = np.array([0, 0, -1], dtype=np.int64)
    tensors = [numpy_helper.from_array(array, key) for key, array in arrays.items()]
    graph = helper.make_graph(nodes, "lstm", inputs, outputs, tensors)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8, producer_name="lstm-step"
    )
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _value(name: str, shape: list[int | str]) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _joint(below: str, own: str) -> list[Any]:
    """The nodes that make one layer's x of the outputs Y (T, D, N, H) of that below."""
    from onnx import helper

    turned = helper.make_node("Transpose", [f"Y{below}"], [f"Y_turned{own}"], perm=[0, 2, 1, 3])
    return [turned, helper.make_node("Reshape", [f"Y_turned{own}", "shape"], [f"X{own}"])]


def _written_sizes(package: Package, level: int, sides: Sequence[Direction]) -> tuple[int, int]:
    """I and H of a layer; `InputError` if its directions differ in what one node has once."""
    first = package.traits[(level, sides[0])]
    if any(package.traits[(level, side)].clip != first.clip for side in sides):
        raise InputError("the directions clip differently", hint="ONNX has one clip for both")
    if any(package.traits[(level, side)].coupled != first.coupled for side in sides):
        hint = "ONNX has one input_forget for both: --direction"
        raise InputError("one direction alone couples its gates", hint=hint)
    sizes = {package.sizes[(level, side)] for side in sides}
    if len(sizes) > 1:
        hint = "ONNX has one hidden_size for both: convert to npz or safetensors"
        raise InputError("the directions have different sizes", hint=hint)
    size, hidden, _ = sizes.pop()
    return size, hidden


def _written_attributes(package: Package, level: int, sides: Sequence[Direction]) -> dict[str, Any]:
    traits = [package.traits[(level, side)] for side in sides]
    words = {ways: word for word, ways in _DIRECTIONS.items()}
    attributes: dict[str, Any] = {"direction": words[tuple(sides)]}
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
        if match[1] not in _WRITTEN_ACTIVATIONS:
            raise InputError(f"ONNX has no activation {text}", hint="`list activations` shows ours")
        name, defaults = _WRITTEN_ACTIVATIONS[match[1]]
        given = tuple(float(part) for part in match[2].split(",")) if match[2] else ()
        constants = given + defaults[len(given) :]
        names.append(name)
        alphas += constants[:1]
        betas += constants[1:2]
    lists = {"activation_alpha": alphas, "activation_beta": betas}
    return {"activations": names} | {key: value for key, value in lists.items() if value}
