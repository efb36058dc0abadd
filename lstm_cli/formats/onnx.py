"""ONNX models: every LSTM node with its weights, wherever in the graph it stands.

Nodes are found in the main graph, in the branches and bodies of If, Loop and Scan, and in local
functions. Of the `onnx` package only the format's definition is used: nothing is run, and no file
but the model is opened (`onnx_tensors.py`). The operator: github.com/onnx/onnx, docs/Operators.md,
LSTM: W, R in rows i o f g; B is the biases for x, then those for h; P is i o f.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.cell.weights import Direction
from lstm_cli.formats.contents import (
    NO_OPERATOR,
    Block,
    Budget,
    Contents,
    Info,
    Part,
    Tensors,
    Variant,
    read_whole,
)
from lstm_cli.formats.onnx_fold import NotConstant, Scope, fold
from lstm_cli.formats.onnx_tensors import Source, info_of

# Functions may call functions: a small file can describe a huge graph.
MAX_NODES = 500_000
MAX_CALLS = 5_000
MAX_DEPTH = 64
MAX_PATH = 1_000

_STANDARD = ("", "ai.onnx")
_GRAPH = 5  # AttributeProto.AttributeType: one graph
_GRAPHS = 10

# ONNX's name in lower case (as onnxruntime compares) -> ours, and the operators' own defaults for
# alpha and beta; docs/Operators.md.
_ACTIVATIONS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "sigmoid": ("sigmoid", ()),
    "tanh": ("tanh", ()),
    "relu": ("relu", ()),
    "softsign": ("softsign", ()),
    "softplus": ("softplus", ()),
    "affine": ("affine", (1.0, 0.0)),
    "leakyrelu": ("leaky_relu", (0.01,)),
    "thresholdedrelu": ("thresholded_relu", (1.0,)),
    "scaledtanh": ("scaled_tanh", (1.0, 1.0)),
    "hardsigmoid": ("hard_sigmoid", (0.2, 0.5)),
    "elu": ("elu", (1.0,)),
}
# Where onnxruntime 1.32 takes 0 for an alpha or beta that is absent.
_ZERO_IN_ONNXRUNTIME = ("affine", "scaled_tanh", "thresholded_relu")

_DIRECTIONS: Mapping[str, tuple[Direction, ...]] = {
    "forward": ("forward",),
    "reverse": ("backward",),
    "bidirectional": ("forward", "backward"),
}


def read(path: Path, *, allow_external_data: bool = False) -> Contents:
    """Return the LSTM nodes and the initializers of an ONNX model.

    Args:
        path: the model.
        allow_external_data: whether files beside the model may be read; without it an LSTM whose
            weights lie there is refused.

    Raises:
        InputError: the `onnx` package is missing, not a model, damaged, or external data that is
            not allowed or not safe.
    """
    place = safe(path)
    data = read_whole(path)
    source = Source(path.parent, place, allow_external_data, Budget(len(data), place))
    try:
        return _contents(_parse(data, place), source, len(data))
    except UnicodeDecodeError:  # other protobufs than upb, which hands out bytes
        raise _not_a_model("a name in it is not UTF-8", place) from None


def _parse(data: bytes, place: str) -> Any:
    try:
        onnx = import_module("onnx")
    except ImportError:
        raise InputError(
            "ONNX files need the onnx package", where=place, hint="pip install 'lstm-cli[onnx]'"
        ) from None
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # DecodeError is protobuf's, which is not imported here
        raise _not_a_model(str(error), place) from None
    if not model.HasField("graph") or not (model.graph.node or model.graph.initializer):
        raise _not_a_model("it has no graph", place)
    return model


def _not_a_model(reason: str, place: str) -> InputError:
    return InputError(
        f"not a readable ONNX model: {safe(reason)[:200]}", where=place,
        hint="the file is cut, damaged or of another kind; export it again",
    )  # fmt: skip


def _contents(model: Any, source: Source, size: int) -> Contents:
    walk = _Walk(model, source.place)
    blocks: list[Block] = []
    refused: dict[str, str] = {}
    taken = Counter[str]()
    for scope, node in walk.nodes():
        name = _numbered(scope.path + _own_name(node), taken)
        if node.op_type == "LSTM" and node.domain in _STANDARD:
            try:
                blocks.append(_Lstm(scope, node, source).block(name))
            except NotConstant as reason:
                refused[name] = f"LSTM '{safe(name)[:200]}' is not read: {reason}"
        else:
            kind = safe(f"{node.domain}.{node.op_type}".strip("."))[:80]
            title = f"{kind} '{safe(name)[:200]}'"
            refused[name] = f"{title} is not read: only ONNX's own LSTM is"
    return Contents(
        _tensors(walk.initializers, source, size),
        tuple(blocks),
        (_origin(model), *refused.values()),
        refused,
        NO_OPERATOR,
    )


def _origin(model: Any) -> str:
    versions = [str(each.version) for each in model.opset_import if each.domain in _STANDARD]
    maker = f"{model.producer_name} {model.producer_version}".strip() or "an unnamed program"
    opset = "/".join(versions) or "not given"
    return f"ONNX opset {opset}, IR {model.ir_version}, by {safe(maker)[:100]}"


def _numbered(name: str, taken: Counter[str]) -> str:
    """Return a name with #2, #3 … where it has been taken before (names need not be unique)."""
    taken[name] += 1
    return f"{name}#{taken[name]}" if taken[name] > 1 else name


def _own_name(node: Any) -> str:
    return str(node.name or next((each for each in node.output if each), "") or node.op_type)


def _tensors(initializers: Mapping[str, Any], source: Source, size: int) -> Tensors:
    def load(name: str) -> Array:
        return replace(source, budget=Budget(size, source.place)).numbers(initializers[name])

    infos: dict[str, Info] = {
        name: info_of(tensor, f"{source.place}, tensor {safe(name)[:200]}")
        for name, tensor in initializers.items()
    }
    return Tensors(infos, load)


@dataclass
class _Walk:
    """Goes through a model: its graph, the graphs in its nodes, the functions it calls."""

    model: Any
    place: str
    initializers: dict[str, Any] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)
    visited: int = 0
    calls: int = 0

    def nodes(self) -> Iterator[tuple[Scope, Any]]:
        """Yield every node of an LSTM operator with its scope, in order."""
        functions = {
            (each.domain, each.name, getattr(each, "overload", "")): each
            for each in self.model.functions
        }
        for (domain, name, overload), each in functions.items():
            self._check_names(domain, name, overload, *each.input)
            self._check_names(*(attribute.name for attribute in each.attribute_proto))
        yield from self._graph(self.model.graph, Scope(), functions, 0)

    def _graph(
        self, graph: Any, scope: Scope, functions: Mapping[Any, Any], depth: int
    ) -> Iterator[tuple[Scope, Any]]:
        self._check_names(*(each.name for each in (*graph.input, *graph.initializer)))
        scope.inputs.update({each.name: None for each in graph.input})
        for tensor in graph.initializer:
            self._count(1 + len(scope.path) // 50)
            scope.made[tensor.name] = tensor
            self.initializers[_numbered(scope.path + tensor.name, self.taken)] = tensor
        yield from self._body(graph.node, scope, functions, depth)

    def _body(
        self, nodes: Any, scope: Scope, functions: Mapping[Any, Any], depth: int
    ) -> Iterator[tuple[Scope, Any]]:
        if depth > MAX_DEPTH:
            raise _not_a_model(f"graphs and functions are {MAX_DEPTH} deep", self.place)
        self._count(len(nodes))
        for node in nodes:
            self._check_names(node.name, node.op_type, node.domain, *node.input, *node.output)
            for each in node.attribute:
                self._check_names(each.name, each.ref_attr_name)
            for which, name in enumerate(node.output):
                scope.made[name] = (node, which)
        for node in nodes:
            key = (node.domain, node.op_type, getattr(node, "overload", ""))
            if key in functions and not (node.op_type == "LSTM" and node.domain in _STANDARD):
                yield from self._call(node, functions[key], scope, functions, depth + 1)
                continue
            if "LSTM" in node.op_type:
                self._count(50)  # what is made of one is larger than a node
                yield scope, node
            for attribute in node.attribute:
                if attribute.type in (_GRAPH, _GRAPHS):
                    for number, graph in enumerate([attribute.g, *attribute.graphs]):
                        path = self._path(scope, node, f"{attribute.name}{number or ''}")
                        inner = Scope(path, parent=scope, attributes=scope.attributes)
                        yield from self._graph(graph, inner, functions, depth + 1)

    def _call(
        self, node: Any, function: Any, scope: Scope, functions: Mapping[Any, Any], depth: int
    ) -> Iterator[tuple[Scope, Any]]:
        self.calls += 1
        if self.calls > MAX_CALLS:
            raise _not_a_model(f"functions are called more than {MAX_CALLS:,} times", self.place)
        given = [name or None for name in node.input] + [None] * len(function.input)
        attributes = {each.name: each for each in function.attribute_proto}
        attributes |= {each.name: scope.attribute(node, each.name) for each in node.attribute}
        inner = Scope(
            self._path(scope, node),
            inputs=dict(zip(function.input, given, strict=False)),
            parent=scope,
            function=True,
            attributes=attributes,
        )
        yield from self._body(function.node, inner, functions, depth)

    def _path(self, scope: Scope, node: Any, *further: str) -> str:
        parts = (scope.path + _own_name(node), *further, "")
        if sum(map(len, parts)) > MAX_PATH:
            raise _not_a_model(f"names in it are {MAX_PATH:,} characters long", self.place)
        return "/".join(parts)

    def _check_names(self, *names: object) -> None:
        if not all(isinstance(name, str) for name in names):
            raise _not_a_model("a name in it is not UTF-8", self.place)

    def _count(self, nodes: int) -> None:
        self.visited += nodes
        if self.visited > MAX_NODES:
            raise _not_a_model(f"more than {MAX_NODES:,} nodes and tensors", self.place)


@dataclass(frozen=True)
class _Lstm:
    """One LSTM node in its scope."""

    scope: Scope
    node: Any
    source: Source

    def block(self, name: str) -> Block:
        """Return the node as a block.

        Raises:
            NotConstant: its weights are not in the file, or it is not a well-formed LSTM.
        """
        directions = self._directions()
        stacks = self._stacks(len(directions))
        variants, is_open = self._variants(len(directions))
        parts: dict[Direction, Part] = {
            direction: Part({key: stack[number] for key, stack in stacks.items()}, variant)
            for number, (direction, variant) in enumerate(zip(directions, variants, strict=True))
        }
        return Block(name, "onnx", parts, tuple(self._known_by()), (*is_open, *self._open()))

    def _directions(self) -> tuple[Direction, ...]:
        found = self.scope.attribute(self.node, "direction")
        word = found.s.decode("utf-8", "replace") if found is not None else "forward"
        if word not in _DIRECTIONS:
            raise NotConstant(f"its direction is '{safe(word)[:40]}'")
        return _DIRECTIONS[word]

    def _input(self, index: int) -> str:
        return str(self.node.input[index]) if index < len(self.node.input) else ""

    def _stacks(self, count: int) -> dict[str, Array]:
        """Return W (D, 4H, I), R (D, 4H, H), B (D, 8H) and P (D, 3H), those that are there."""
        stacks: dict[str, Array] = {}
        for key, index in (("W", 1), ("R", 2), ("B", 3), ("P", 7)):
            name = self._input(index)
            if not name:
                if key in "WR":
                    raise NotConstant(f"it has no {key}")
                continue
            try:
                stacks[key] = fold(self.scope, name, self.source)
            except NotConstant as reason:
                raise NotConstant(f"its {key} is not in the file: {reason}") from None
        hidden = self._hidden(stacks["R"])
        asked = {"W": (4 * hidden,), "R": (4 * hidden, hidden), "B": (8 * hidden,),
                 "P": (3 * hidden,)}  # fmt: skip
        for key, stack in stacks.items():
            wanted = (count, *asked[key])
            axes = 3 if key in "WR" else 2
            if stack.ndim != axes or stack.shape[: len(wanted)] != wanted:
                needed = ", ".join(map(str, wanted)) + (", I" if key == "W" else "")
                raise NotConstant(f"its {key} is {stack.shape}, H = {hidden} needs ({needed})")
            if stack.dtype.kind != "f":
                raise NotConstant(f"its {key} is of type {stack.dtype}, not of real numbers")
        return stacks

    def _hidden(self, recurrent: Array) -> int:
        found = self.scope.attribute(self.node, "hidden_size")
        hidden = int(found.i) if found is not None else int((0, *recurrent.shape)[-1])
        if hidden < 1:
            raise NotConstant(f"its hidden_size is {hidden}")
        return hidden

    def _number(self, name: str) -> float | None:
        found = self.scope.attribute(self.node, name)
        return None if found is None else float(found.f)

    def _flag(self, name: str) -> int:
        found = self.scope.attribute(self.node, name)
        return 0 if found is None else int(found.i)

    def _variants(self, count: int) -> tuple[list[Variant], list[str]]:
        """Return a variant for each direction, and what had to be assumed."""
        clip = self._number("clip")
        if clip is not None and not (math.isfinite(clip) and clip > 0):
            raise NotConstant(f"its clip is {clip}")
        coupled = ("coupled-forget",) if self._flag("input_forget") else ()
        texts, assumed = self._activations(count)
        plain = ("sigmoid", "tanh", "tanh")
        return [
            Variant(None if each == plain else each, clip=_shortest(clip or 0.0), cells=coupled)
            for each in texts
        ], assumed

    def _activations(self, count: int) -> tuple[list[tuple[str, str, str]], list[str]]:
        """Return gate, candidate and output activation for each direction.

        Alphas and betas are consumed in order, each by the next function that has one: so the
        operator says, and so onnxruntime 1.32 does.
        """
        found = self.scope.attribute(self.node, "activations")
        words = [each.decode("utf-8", "replace") for each in found.strings] if found else []
        words = words or ["Sigmoid", "Tanh", "Tanh"] * count
        if len(words) != 3 * count:
            raise NotConstant(f"it names {len(words)} activations, needs {3 * count}")
        alphas, betas = self._numbers("activation_alpha"), self._numbers("activation_beta")
        texts, assumed = [], list[str]()
        for word in words:
            if word.lower() not in _ACTIVATIONS:
                raise NotConstant(f"its activation '{safe(word)[:40]}' is not known")
            name, defaults = _ACTIVATIONS[word.lower()]
            lists = (alphas, betas)[: len(defaults)]
            values = [next(each, None) for each in lists]
            if name in _ZERO_IN_ONNXRUNTIME and None in values:
                assumed.append(
                    f"{name}: alpha or beta is not given; ONNX's defaults are read, onnxruntime "
                    "1.32 takes 0"
                )
            numbers = [d if v is None else v for v, d in zip(values, defaults, strict=True)]
            constants = ", ".join(f"{_shortest(each)!r}" for each in numbers)
            texts.append(f"{name}({constants})" if constants else name)
        if next(alphas, None) is not None or next(betas, None) is not None:
            assumed.append("more alphas or betas are given than the activations use; the first are")
        triples = [(texts[i], texts[i + 1], texts[i + 2]) for i in range(0, len(texts), 3)]
        return triples, list(dict.fromkeys(assumed))

    def _numbers(self, name: str) -> Iterator[float | None]:
        found = self.scope.attribute(self.node, name)
        values = [float(each) for each in found.floats] if found is not None else []
        if not all(math.isfinite(each) for each in values):
            raise NotConstant(f"its {name} is {values[:6]}")
        return iter(values)

    def _known_by(self) -> Iterator[str]:
        yield "the ONNX operator LSTM: gates i o f g in rows, biases for x and for h"
        for name in ("direction", "hidden_size", "activations", "clip", "input_forget", "layout"):
            found = self.scope.attribute(self.node, name)
            if found is not None:
                yield f"attribute {name} = {_shown(found)}"

    def _open(self) -> Iterator[str]:
        if self._number("clip") is not None:
            yield "clip: cuts the pre-activations, not c before its tanh, as onnxruntime 1.32"
        if self._flag("layout"):
            yield "layout = 1: x, output and states have the batch first"
        if self._input(4):
            yield "sequence_lens: steps past a sample's length are for you to leave out"
        for index, state in ((5, "initial_h"), (6, "initial_c")):
            if self._input(index):
                yield f"{state}: {self._initial(index)}"

    def _initial(self, index: int) -> str:
        try:
            values = fold(self.scope, self._input(index), self.source)
        except (NotConstant, InputError):
            return "given when the model runs; here by --h and --c"
        if not np.any(values):
            return "a constant of the file, all zeros"
        return f"a constant of the file {list(values.shape)}, not zeros; give it by --h or --c"


def _shortest(value: float) -> float:
    """Return a float32's shortest decimal, so that 0.2 does not read 0.20000000298."""
    return float(str(np.float32(value)))


def _shown(attribute: Any) -> str:
    """Return an attribute's value for a person."""
    if attribute.s:
        return safe(attribute.s.decode("utf-8", "replace"))[:80]
    if attribute.strings:
        return safe(" ".join(each.decode("utf-8", "replace") for each in attribute.strings))[:200]
    return repr(_shortest(attribute.f)) if attribute.f else str(attribute.i)
