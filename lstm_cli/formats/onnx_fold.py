"""What a value in an ONNX graph is, where it can be known without running the graph.

Exporters hand weights to a node through chains of Transpose, Unsqueeze, Concat and the like. A
value is followed back through a short list of such operators to initializers and constants; what
depends on a graph's input, or on any other operator, is not known, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.formats.contents import CODES, MAX_AXES, Budget
from lstm_cli.formats.onnx_tensors import TYPES, Source

# Longer chains than this are not how weights reach a node.
MAX_CHAIN = 64


class NotConstant(Exception):
    """A value that cannot be known from the file; the message says why, within a sentence."""


@dataclass(eq=False)
class Scope:
    """The names of one graph, subgraph or called function.

    Attributes:
        path: how to get there, for names of layers: "" or "If_3/then_branch/".
        made: name -> initializer (a TensorProto), or (node, which of its outputs).
        inputs: names that the caller gives at run time, or the caller's own name for them.
        parent: the graph around a subgraph, or the caller of a function.
        function: whether this is a function's body, which sees its inputs only.
        attributes: of the calling node, for a function's body.
        known: values folded so far; None while one is being folded.
    """

    path: str = ""
    made: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str | None] = field(default_factory=dict)
    parent: Scope | None = None
    function: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    known: dict[str, tuple[Array, ...] | None] = field(default_factory=dict)

    def attribute(self, node: Any, name: str) -> Any:
        """Return a node's AttributeProto by name; None where it is absent."""
        for each in node.attribute:
            if each.name == name:
                return self.attributes.get(each.ref_attr_name) if each.ref_attr_name else each
        return None


def fold(scope: Scope, name: str, source: Source, depth: int = 0) -> Array:
    """Return the value of a name.

    Raises:
        NotConstant: it depends on an input, on an operator that is not followed, or on itself.
        InputError: a tensor that is damaged or in a file that may not be opened.
    """
    if depth > MAX_CHAIN:
        raise NotConstant(f"it is made by a chain of more than {MAX_CHAIN} operators")
    here: Scope | None = scope
    while here is not None:
        if name in here.made:
            return _made(here, name, source, depth)
        if name in here.inputs:
            outer = here.inputs[name]
            if outer is None or here.parent is None:
                raise NotConstant(f"it depends on the input '{safe(name)[:80]}'")
            return fold(here.parent, outer, source, depth + 1)
        here = None if here.function else here.parent
    raise NotConstant(f"nothing makes '{safe(name)[:80]}'")


def _made(scope: Scope, name: str, source: Source, depth: int) -> Array:
    maker = scope.made[name]
    node, which = maker if isinstance(maker, tuple) else (None, 0)
    key = name if node is None else str(node.output[0]) or name
    if key not in scope.known:
        scope.known[key] = None
        try:
            scope.known[key] = (
                (source.numbers(maker),) if node is None else _apply(scope, node, source, depth)
            )
        except (NotConstant, InputError):
            del scope.known[key]
            raise
    values = scope.known[key]
    if values is None:
        raise NotConstant(f"'{safe(name)[:80]}' is made from itself")
    if which >= len(values):
        raise NotConstant(f"{safe(node.op_type)[:40]} makes {len(values)} values here")
    return values[which]


def _apply(scope: Scope, node: Any, source: Source, depth: int) -> tuple[Array, ...]:
    operator = _OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    shown = safe(node.op_type)[:40]
    if operator is None:
        raise NotConstant(f"it is computed by {shown}, which is not followed")
    inputs = [fold(scope, each, source, depth + 1) if each else None for each in node.input]
    try:
        with np.errstate(all="ignore"):
            return tuple(operator(_Call(scope, node, inputs, source)))
    except (NotConstant, InputError):
        raise
    except (ValueError, IndexError, TypeError, OverflowError, KeyError, ZeroDivisionError) as error:
        reason = safe(error)[:120]
        raise NotConstant(f"its {shown} does not work out: {reason}") from None


@dataclass(frozen=True)
class _Call:
    """One operator with its inputs known."""

    scope: Scope
    node: Any
    inputs: Sequence[Array | None]
    source: Source

    @property
    def x(self) -> Array:
        """The first input."""
        return self.need(0)

    @property
    def budget(self) -> Budget:
        return self.source.budget

    def need(self, index: int) -> Array:
        """Return an input that must be there."""
        value = self.input(index)
        if value is None:
            raise ValueError(f"input {index} is missing")
        return value

    def input(self, index: int) -> Array | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def integer(self, name: str, default: int) -> int:
        found = self.scope.attribute(self.node, name)
        return default if found is None else int(found.i)

    def integers(self, name: str, index: int) -> list[int] | None:
        """Return whole numbers from an input, or (as older opsets have it) an attribute."""
        value = self.input(index)
        if value is not None:
            if value.dtype.kind not in "iu" or value.ndim > 1 or value.size > MAX_AXES:
                raise ValueError(f"{name} are not a few whole numbers")
            return [int(each) for each in np.atleast_1d(value)]
        found = self.scope.attribute(self.node, name)
        return None if found is None else [int(each) for each in found.ints]


def _axis(axis: int, axes: int) -> int:
    if not -axes <= axis < axes:
        raise IndexError(f"axis {axis} of {axes}")
    return axis % axes


def _constant(call: _Call) -> list[Array]:
    for each in call.node.attribute:
        found = call.scope.attribute(call.node, each.name)
        if found is None:
            continue
        if each.name == "value":
            return [call.source.numbers(found.t)]
        if each.name in ("value_float", "value_floats"):
            one = each.name == "value_float"
            return [np.array(found.f if one else list(found.floats), dtype=np.float32)]
        if each.name in ("value_int", "value_ints"):
            one = each.name == "value_int"
            return [np.array(found.i if one else list(found.ints), dtype=np.int64)]
    raise NotConstant("it is a Constant of a kind that is not read")


def _unsqueeze(call: _Call) -> list[Array]:
    axes = call.integers("axes", 1) or []
    return [np.expand_dims(call.x, tuple(axes))]


def _squeeze(call: _Call) -> list[Array]:
    axes = call.integers("axes", 1)
    return [np.squeeze(call.x, None if axes is None else tuple(axes))]


def _concat(call: _Call) -> list[Array]:
    parts = [call.need(index) for index in range(len(call.inputs))]
    if len({part.dtype for part in parts}) > 1:
        raise ValueError("its parts are of different types")
    call.budget.take(sum(part.nbytes for part in parts))
    return [np.concatenate(parts, axis=call.integer("axis", 0))]


def _slice(call: _Call) -> list[Array]:
    starts, ends = call.integers("starts", 1), call.integers("ends", 2)
    if starts is None or ends is None:
        raise ValueError("starts or ends are missing")
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    cuts = [slice(None)] * call.x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cuts[_axis(axis, call.x.ndim)] = slice(start, end, step)
    return [call.x[tuple(cuts)]]


def _split(call: _Call) -> list[Array]:
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


def _reshape(call: _Call) -> list[Array]:
    shape = call.integers("shape", 1)
    if shape is None:
        raise ValueError("the shape is missing")
    if not call.integer("allowzero", 0):
        shape = [call.x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    call.budget.take(call.x.nbytes)  # a transposed array is copied
    return [call.x.reshape(shape)]


def _transpose(call: _Call) -> list[Array]:
    return [np.transpose(call.x, call.integers("perm", len(call.inputs)))]


def _gather(call: _Call) -> list[Array]:
    axis = _axis(call.integer("axis", 0), call.x.ndim)
    indices = call.need(1)
    call.budget.take(indices.size * (call.x.nbytes // max(1, call.x.shape[axis]) + 1))
    return [np.take(call.x, indices, axis=axis)]


def _cast(call: _Call) -> list[Array]:
    dtype = TYPES.get(call.integer("to", 0), ("", ""))[0]
    if dtype not in CODES or dtype == "bfloat16":
        raise NotConstant(f"it is cast to {dtype or 'a type that is not read'}")
    call.budget.take(call.x.size * np.dtype(dtype).itemsize)
    return [call.x.astype(dtype)]


def _dequantize(call: _Call) -> list[Array]:
    if call.integer("block_size", 0):
        raise NotConstant("it is dequantised in blocks")
    scale, zero = call.need(1), call.input(2)
    zero = np.zeros((), dtype=np.int64) if zero is None else zero
    call.budget.take(16 * call.x.size)
    if scale.size > 1:
        axis = _axis(call.integer("axis", 1), call.x.ndim)
        along = [-1 if i == axis else 1 for i in range(call.x.ndim)]
        scale = scale.reshape(along)
        zero = zero.reshape(along) if zero.size > 1 else zero.reshape(())
    else:
        scale, zero = scale.reshape(()), zero.reshape(())
    values = (call.x.astype(np.float64) - zero.astype(np.float64)) * scale
    return [values.astype(np.float32)]


_OPERATORS: dict[str, Callable[[_Call], list[Array]]] = {
    "Identity": lambda call: [call.x],
    "Constant": _constant,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Cast": _cast,
    "DequantizeLinear": _dequantize,
}
