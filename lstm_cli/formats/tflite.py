"""TensorFlow Lite models: every fused LSTM operator with its weights.

It has its own FlatBuffers reader (at the end) rather than the packages `flatbuffers` and `tflite`:
those check no offset, and the second (2.18, January 2025) lacks the later fields. Sources: field
numbers, tensorflow/compiler/mlir/lite/schema/schema.fbs; the inputs of an operator,
tensorflow/lite/kernels/lstm_shared.h and bidirectional_sequence_lstm.cc; their use, lstm_eval.cc.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.cell.weights import Direction
from lstm_cli.files.safe import MAX_AXES
from lstm_cli.formats.chains import Labels, Reads, joined
from lstm_cli.formats.contents import Block, Contents, Graph, Info, NotRead, Part, Variant
from lstm_cli.formats.registry import format_named
from lstm_cli.formats.stored import (
    BoundedCursor,
    Budget,
    checked_size,
    decoded,
    dequantized,
    read_whole,
    shape_from,
)

_TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8",
    10: "float64", 12: "uint64", 15: "uint32", 16: "uint16", 18: "bfloat16",
}  # fmt: skip
_DEQUANTIZE, _LSTM, _ONE_WAY, _BOTH_WAYS = 6, 16, 44, 52
_CONCATENATION, _RESHAPE, _TRANSPOSE, _SQUEEZE, _EXPAND_DIMS, _REVERSE = 2, 22, 39, 43, 70, 105
_OPERATORS = {
    _LSTM: "LSTM",
    _ONE_WAY: "UNIDIRECTIONAL_SEQUENCE_LSTM",
    _BOTH_WAYS: "BIDIRECTIONAL_SEQUENCE_LSTM",
}
# ActivationFunctionType -> ours; it replaces both tanh's of the cell (lstm_eval.cc).
_ACTIVATIONS = {0: "affine(1.0, 0.0)", 1: "relu", 4: "tanh"}

# The inputs of one direction, from its first weight on.
_KEYS = (
    "W_i", "W_f", "W_g", "W_o", "U_i", "U_f", "U_g", "U_o", "p_i", "p_f", "p_o",
    "b_i", "b_f", "b_g", "b_o", "W_hr", "b_hr",
)  # fmt: skip
_REQUIRED = ("W_f", "W_g", "W_o", "U_f", "U_g", "U_o")
# Inputs that are not read, of an operator of one direction and of both.
_FURTHER_INPUTS = (
    (slice(20, 24), "layer normalisation coefficients"),
    (slice(39, 48), "an auxiliary input"),
)
_MAX_INPUTS = 64


@dataclass(frozen=True)
class _SubgraphTensor:
    """A tensor of a subgraph: its name, and the tables that describe it."""

    name: str
    info: Info
    table: FlatTable
    quantization: FlatTable | None

    def __str__(self) -> str:
        return f"'{safe(self.name)[:80]}'"

    @property
    def scales(self) -> bool:
        """Whether it is quantised: integers that stand for real numbers."""
        return self.quantization is not None and len(self.quantization.array(2, "<f4")) > 0


def read(path: Path) -> Contents:
    """Read the LSTM operators and the constant tensors of a TensorFlow Lite model.

    Raises:
        InputError: not such a model, or a damaged one.
    """
    place = safe(path)
    return _Model(read_whole(path), place).contents()


class _Model:
    """A model: its buffers, operator codes and subgraphs."""

    def __init__(self, data: bytes, place: str) -> None:
        self.data = data
        self.place = place
        self.bytes = FlatBuffer(data, place)
        self.root = self.bytes.root()
        self.budget = Budget(len(data), place)
        self.codes = [
            max(code.number(0, "<b"), code.number(3, "<i")) for code in self.root.tables(1)
        ]
        self.buffers = self.root.tables(4)

    def contents(self) -> Contents:
        """Collect the constant tensors and the LSTM operators of all subgraphs."""
        found, graphs = Graph(), list[_Subgraph]()
        for number, table in enumerate(self.root.tables(2)):
            graph = _Subgraph(self, table, f"subgraph{number}/" if number else "")
            graphs.append(graph)
            for tensor in graph.tensors:
                if self.raw(tensor) is not None:
                    found.add_constant(tensor.name, tensor)
            for operator in graph.lstms():
                name = found.add(operator.name, operator.title, operator.block)
                if name not in found.refused:
                    graph.numbers[operator.outputs[0]] = len(found.blocks) - 1
        walk = _LabelWalk(found.blocks)
        for graph in graphs:
            if walk.labels.has_room():
                walk.run(graph)
        reads = [walk.reads.get(number, Reads()) for number in range(len(found.blocks))]
        found.blocks, found.stacks = joined(found.blocks, reads, walk.pairs)
        described = safe(self.root.text(3))[:100] or "no description"
        origin = f"TensorFlow Lite schema {self.root.number(0, '<I')}, {described}"
        return found.contents(origin, lambda _, tensor: tensor.info, self.numbers)

    def raw(self, tensor: _SubgraphTensor) -> Array | None:
        """A tensor's bytes; None where they are known only when the model runs."""
        index = tensor.table.number(2, "<I")
        if index >= len(self.buffers):
            self.bytes.refuse(f"tensor {tensor} is in buffer {index}, which does not exist")
        buffer = self.buffers[index]
        data = buffer.array(0, "u1")
        start, size = buffer.number(1, "<Q"), buffer.number(2, "<Q")
        if not len(data) and start > 1:  # models above 2 GB keep numbers after the tables
            if start + size > len(self.data):
                self.bytes.refuse(f"buffer {index} ends after the file")
            data = np.frombuffer(self.data, dtype=np.uint8, count=size, offset=start)
        return data if len(data) else None

    def numbers(self, tensor: _SubgraphTensor) -> Array:
        """Read a tensor's numbers as they are stored."""
        place = f"{self.place}, tensor {safe(tensor.name)[:200]}"
        size = checked_size(tensor.info, place)
        if tensor.table.table(6) is not None:
            raise InputError(
                "a sparse tensor is not read", where=place, hint="store it as a dense tensor"
            )
        data = self.raw(tensor)
        if data is None or len(data) != size:
            raise InputError(
                f"declared {safe(tensor.info.dtype)} {list(tensor.info.shape)}, {size:,} bytes; "
                f"there are {0 if data is None else len(data):,}",
                where=place, hint="the file is damaged; convert the model again",
            )  # fmt: skip
        return decoded(data, tensor.info.dtype.text).reshape(tensor.info.shape)

    def real(self, tensor: _SubgraphTensor) -> Array:
        """Read a tensor's real numbers, scale · (q - zero point) where it is quantised."""
        values = self.numbers(tensor)
        if values.dtype.kind == "f":
            return values
        table = tensor.quantization
        if table is None or not tensor.scales:
            raise NotRead(f"{tensor} is {safe(tensor.info.dtype)} without a scale")
        if table.number(4, "<B"):
            raise NotRead(f"{tensor} is quantised in a custom way")
        scale, zero, axis = table.array(2, "<f4"), table.array(3, "<i8"), table.number(6, "<i")
        if len(scale) > 1 and not (0 <= axis < values.ndim and values.shape[axis] == len(scale)):
            raise NotRead(f"{tensor} has {len(scale)} scales")
        if len(zero) not in (0, 1, len(scale)):
            raise NotRead(f"{tensor} has {len(zero)} zero points")
        self.budget.take(24 * values.size)
        return dequantized(values, scale, zero if len(zero) else None, axis)


class _Subgraph:
    """A subgraph: its tensors, its operators, and those that dequantise a tensor."""

    def __init__(self, model: _Model, table: FlatTable, path: str) -> None:
        self.model = model
        self.tensors = [
            self._tensor(each, f"{path}{each.text(3) or f'tensor{number}'}")
            for number, each in enumerate(table.tables(0))
        ]
        self.inputs = table.numbers(1, "<i4", _MAX_INPUTS)
        self.operators = table.tables(3)
        self.restored: dict[int, FlatTable] = {}
        self.numbers: dict[int, int] = {}  # the first output of an LSTM -> its block's number
        for operator in self.operators:
            if self.code(operator) == _DEQUANTIZE:
                self.restored.update(dict.fromkeys(operator.numbers(2, "<i4", 1), operator))

    def _tensor(self, table: FlatTable, name: str) -> _SubgraphTensor:
        place = f"{self.model.place}, tensor {safe(name)[:200]}"
        kind = table.number(1, "<b")
        shape = shape_from(table.numbers(0, "<i4", MAX_AXES), place)
        info = Info.of(shape, _TYPES.get(kind, f"TFLite type {kind}"))
        return _SubgraphTensor(name, info, table, table.table(4))

    def code(self, operator: FlatTable) -> int:
        """The number of an operator's builtin."""
        index = operator.number(0, "<I")
        if index >= len(self.model.codes):
            self.model.bytes.refuse(f"operator code {index} does not exist")
        return int(self.model.codes[index])

    def lstms(self) -> Iterator[_LstmOperator]:
        """Yield the LSTM operators in file order."""
        for table in self.operators:
            code = self.code(table)
            if code in _OPERATORS:
                inputs, outputs = (table.numbers(field, "<i4", _MAX_INPUTS) for field in (1, 2))
                yield _LstmOperator(self, code, inputs, outputs, table.table(4))

    def tensor(self, index: int) -> _SubgraphTensor | None:
        """The tensor of an index; None for -1, which stands for none."""
        if index == -1:
            return None
        if not 0 <= index < len(self.tensors):
            self.model.bytes.refuse(f"tensor {index} does not exist")
        return self.tensors[index]

    def constant(self, index: int) -> _SubgraphTensor | None:
        """The tensor of an index whose numbers are in the file, if need be before a DEQUANTIZE."""
        tensor = self.tensor(index)
        if tensor is None:
            return None
        if index in self.restored:
            inputs = self.restored[index].numbers(1, "<i4", _MAX_INPUTS)
            tensor = (self.tensor(inputs[0]) if inputs else None) or tensor
        if tensor.table.number(10, "<I"):
            raise NotRead(f"{tensor} is in another file")
        if self.model.raw(tensor) is None:
            raise NotRead(f"{tensor} is computed when the model runs")
        return tensor


@dataclass(frozen=True)
class _LstmOperator:
    """One LSTM operator."""

    graph: _Subgraph
    code: int
    inputs: list[int]
    outputs: list[int]
    options: FlatTable | None

    @property
    def title(self) -> str:
        """The operator's name."""
        return _OPERATORS[self.code]

    @property
    def name(self) -> str:
        """The name of its output, since operators have none."""
        output = self.graph.tensor(self.outputs[0]) if self.outputs else None
        return output.name if output else self.title

    def block(self, name: str) -> Block:
        """Describe the operator as a block; `NotRead` where our cells lack a feature of it."""
        self._refuse_others()
        starts: dict[Direction, int] = {"forward": 1}
        if self.code == _BOTH_WAYS:
            starts["backward"] = 18
        quantised = list[str]()
        basic = self.code == _LSTM and self._option(3, "<b") == 1
        parts = {
            direction: self._basic() if basic else self._part(start, quantised)
            for direction, start in starts.items()
        }
        known = f"the TensorFlow Lite operator {self.title}" + (", basic kernel" if basic else "")
        return Block(name, "tflite", parts, (known, *self._known_by()),
                     (*self._open(), *quantised[:1]))  # fmt: skip

    def _refuse_others(self) -> None:
        extra, what = _FURTHER_INPUTS[self.code == _BOTH_WAYS]
        if any(index != -1 for index in self.inputs[extra]):
            raise NotRead(f"it has {what}")
        if self.code == _ONE_WAY and self._option(5, "<?"):
            raise NotRead("its recurrent weights are diagonal")
        if self._option(0, "<b") not in _ACTIVATIONS:
            raise NotRead(f"its activation is number {self._option(0, '<b')} of the schema")
        for what, value in (("cell_clip", self._cell_clip), ("proj_clip", self._clip(2))):
            if not 0 <= value < math.inf:
                raise NotRead(f"its {what} is {value}")

    def _option(self, number: int, kind: str, default: float = 0) -> float:
        found = self.options.number(number, kind, default) if self.options else default
        return float(found)

    def _clip(self, number: int) -> float:
        return float(str(np.float32(self._option(number, "<f"))))

    @property
    def _cell_clip(self) -> float:
        return self._clip(1)

    def _tensors(self, start: int, keys: tuple[str, ...], quantised: list[str]) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for key, index in zip(keys, self.inputs[start : start + len(keys)], strict=False):
            tensor = self.graph.constant(index)
            if tensor is None:
                continue
            values = found[key] = self.graph.model.real(tensor)
            axes = 2 if key[0] in "WU" else 1
            if values.ndim != axes:
                raise NotRead(f"its {key} has the shape {values.shape}")
            if tensor.info.dtype.text not in ("float32", "float64"):
                quantised.append(self._quantised(tensor, index))
        return found

    def _quantised(self, tensor: _SubgraphTensor, index: int) -> str:
        note = f"{safe(tensor.info.dtype)} weights"
        if tensor.scales:
            note += " are read as scale · (q - zero point)"
            if index not in self.graph.restored:
                note += "; the model's own kernel also rounds its results"
        return note

    def _part(self, start: int, quantised: list[str]) -> Part:
        found = self._tensors(start, _KEYS, quantised)
        missing = [key for key in _REQUIRED if key not in found]
        if missing:
            raise NotRead(f"it has no {', '.join(missing)}")
        coupled = "W_i" not in found
        if coupled and any(key in found for key in ("U_i", "b_i", "p_i")):
            raise NotRead("it has no W_i, but other parts of an input gate")
        activation = _ACTIVATIONS[int(self._option(0, "<b"))]
        named = None if activation == "tanh" else ("sigmoid", activation, activation)
        cells = ("coupled-input",) if coupled else ()
        return Part(found, Variant(named, cell_clip=self._cell_clip, cells=cells))

    def _basic(self) -> Part:
        """Split the tensors of the basic kernel, which have rows i g f o and columns x, h."""
        found = self._tensors(2, ("W", "b"), [])
        weights, bias = found.get("W"), found.get("b")
        if weights is None or bias is None or len(weights) % 4 or bias.shape != weights.shape[:1]:
            raise NotRead("the weights of its basic kernel are not those of four gates")
        inputs = weights.shape[1] - len(weights) // 4
        if inputs < 1:
            raise NotRead(f"its weights are {weights.shape}, with no columns for x")
        tensors: dict[str, Array] = {}
        for k, rows, offset in zip("igfo", np.split(weights, 4), np.split(bias, 4), strict=True):
            tensors |= {f"W_{k}": rows[:, :inputs], f"U_{k}": rows[:, inputs:], f"b_{k}": offset}
        return Part(tensors, Variant())

    def _known_by(self) -> Iterator[str]:
        if self._cell_clip:
            yield f"option cell_clip = {self._cell_clip}"
        if self._option(0, "<b") != 4:
            yield f"option fused_activation_function = {int(self._option(0, '<b'))}"

    @property
    def major(self) -> bool:
        """Whether the time axis is the first."""
        time_major, default = {_ONE_WAY: (3, 0), _BOTH_WAYS: (4, 1)}.get(self.code, (99, 0))
        return bool(self._option(time_major, "<?", default))

    def _open(self) -> Iterator[str]:
        if self._cell_clip == 10.0:
            yield "cell_clip: the TensorFlow converter writes 10.0, whatever the layer was"
        if self._clip(2):
            yield f"proj_clip = {self._clip(2)}: not applied here"
        if self.major:
            yield "time_major: x and output have the time axis first"


# --------------------------------------------------------------------------------------------------
# What each LSTM operator reads (`chains`): a few operators are followed, which only rearrange.


@dataclass
class _LabelWalk:
    """Follows labels through subgraphs.

    Attributes:
        reads: number of a block -> what it reads.
        pairs: layers whose outputs are side by side.
    """

    blocks: list[Block]
    reads: dict[int, Reads] = field(default_factory=dict)
    pairs: list[tuple[int, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.labels = Labels([block.name for block in self.blocks])

    def run(self, graph: _Subgraph) -> None:
        """Follow a subgraph's inputs and the outputs of its LSTMs, in the order of operators."""
        known: dict[int, Array] = {}
        made: dict[int, str] = {}
        for index in graph.inputs:
            tensor = graph.tensor(index)
            if tensor is not None and self.labels.has_room(*tensor.info.shape):
                known[index] = self.labels.made(tensor.info.shape)
        lstms = {operator.outputs[0]: operator for operator in graph.lstms() if operator.outputs}
        for table in graph.operators:
            outputs = table.numbers(2, "<i4", _MAX_INPUTS)
            if outputs and outputs[0] in graph.numbers:
                known |= self._lstm(lstms[outputs[0]], graph.numbers[outputs[0]], known, made)
                continue
            code = graph.code(table)
            made |= dict.fromkeys(outputs, f"computed by {_NAMES.get(code, f'operator {code}')}")
            value = _rearranged(graph, table, code, known)
            if value is not None:
                known[outputs[0]] = value
                if code == _CONCATENATION and value.ndim == 3:
                    both = (value, value.swapaxes(0, 1))
                    self.pairs += [self.labels.read(each).layers for each in both]

    def _lstm(
        self, lstm: _LstmOperator, number: int, known: Mapping[int, Array], made: Mapping[int, str]
    ) -> dict[int, Array]:
        """Labels of an LSTM's outputs; what it reads is noted."""
        tensor = lstm.graph.tensor(lstm.inputs[0])
        x = known.get(lstm.inputs[0])
        shape = tensor.info.shape if tensor is not None else ()
        if lstm.code == _LSTM or len(shape) != 3:
            return {}
        swap = (0, 1, 2) if lstm.major else (1, 0, 2)
        read = Reads(other=made.get(lstm.inputs[0], "")) if x is None else (
            self.labels.read(x.transpose(swap)))  # fmt: skip
        self.reads[number] = read
        wide = [part.tensors["U_f"].shape[1] for part in self.blocks[number].parts.values()]
        steps, samples = (shape[swap[0]], shape[swap[1]])
        if not self.labels.has_room(steps, samples, sum(wide)):
            return {}
        y = self.labels.output(number, (steps, samples, sum(wide)), read.turned).transpose(swap)
        parts = [y] if len(lstm.outputs) == 1 else np.split(y, wide[:1], axis=2)
        return dict(zip(lstm.outputs, parts, strict=False))


_NAMES = {
    0: "ADD", 6: "DEQUANTIZE", 9: "FULLY_CONNECTED", 18: "MUL", 19: "RELU", 36: "GATHER",
    83: "PACK", 114: "QUANTIZE", _CONCATENATION: "CONCATENATION", _RESHAPE: "RESHAPE",
    _TRANSPOSE: "TRANSPOSE", _REVERSE: "REVERSE_V2", **_OPERATORS,
}  # fmt: skip


def _rearranged(
    graph: _Subgraph, table: FlatTable, code: int, known: Mapping[int, Array]
) -> Array | None:
    """What an operator makes of labels; None where it is not followed."""
    inputs, outputs = (table.numbers(number, "<i4", _MAX_INPUTS) for number in (1, 2))
    parts = [known[index] for index in inputs if index in known]
    tensor = graph.tensor(outputs[0]) if outputs else None
    if not parts or tensor is None:
        return None
    options = table.table(4)
    try:
        graph.model.budget.take(sum(part.nbytes for part in parts))
        if code == _CONCATENATION and len(parts) == len(inputs) and options is not None:
            axis = int(options.number(0, "<i"))
            return None if options.number(1, "<b") else np.concatenate(parts, axis)
        if code in (_RESHAPE, _SQUEEZE, _EXPAND_DIMS):
            return parts[0].reshape(tensor.info.shape)
        if code in (_TRANSPOSE, _REVERSE):
            given = graph.constant(inputs[1])
            axes = () if given is None else tuple(graph.model.numbers(given).ravel().tolist())
            return parts[0].transpose(axes) if code == _TRANSPOSE else np.flip(parts[0], axes)
    except (NotRead, InputError, ValueError, IndexError, TypeError):
        pass  # it is damaged, or known only when the model runs: not followed
    return None


# --------------------------------------------------------------------------------------------------
# FlatBuffers, read with every offset checked against the bytes that are there.
#
# A table is a position; a vtable gives the offset of each field, 0 where it is absent. Offsets may
# point anywhere and be shared, so a small file can describe an endless tree: visits are counted.
# Source: flatbuffers.dev/internals.

# The converter joins names with ";", so even honest ones are long.
MAX_TEXT = 100_000


class FlatBuffer(BoundedCursor):
    """A file in memory, read by position."""

    fault = "not a readable TensorFlow Lite model"
    hint = "the file is cut, damaged or of another kind; convert the model again"
    cut = "byte {at} is needed, of {size}"

    def __init__(self, data: bytes, place: str) -> None:
        super().__init__(data, len(data), place)
        self.data = data
        # An honest file needs each byte to be visited once; a few are shared between tables.
        self._left = 10_000 + 4 * len(data)

    def root(self) -> FlatTable:
        """Read the root table, if it is a file of this kind."""
        if not format_named("tflite").begins(self.data):
            self.refuse(f"the identifier is {self.data[4:8]!r}, not b'TFL3'")
        return FlatTable(self, self.number(0, "<I"))

    def number(self, position: int, kind: str) -> Any:
        """Read one number of a `struct` kind."""
        return struct.unpack(kind, self.peek(position, struct.calcsize(kind)))[0]

    def vector(self, position: int, item: int) -> tuple[int, int]:
        """The first byte and the length of a vector whose entries have `item` bytes each."""
        count: int = self.number(position, "<I")
        start = position + 4
        if count * item > len(self.data) - start:
            self.refuse(f"a vector of {count:,} entries at byte {position:,} is cut short")
        return start, count

    def count(self, looked_at: int) -> None:
        """Count a visit to something of this size; refuse more than an honest file needs."""
        self._left -= looked_at
        if self._left < 0:
            self.refuse("its tables share their parts endlessly")

    def refuse(self, reason: str, at: int | None = None) -> NoReturn:
        """Raise the error for a fault, without its byte, which helps nobody."""
        super().refuse(reason)


class FlatTable:
    """A table, whose fields are read by their number in the schema."""

    def __init__(self, source: FlatBuffer, position: int) -> None:
        source.count(1)
        self._source = source
        self._position = position
        self._vtable = position - source.number(position, "<i")
        self._length: int = source.number(self._vtable, "<H")

    def _field(self, number: int) -> int:
        """The position of a field; 0 where it is absent."""
        slot = 4 + 2 * number
        if slot + 2 > self._length:
            return 0
        offset: int = self._source.number(self._vtable + slot, "<H")
        return self._position + offset if offset else 0

    def _follow(self, number: int) -> int:
        """The position that a field points to; 0 where it is absent."""
        field = self._field(number)
        return field + int(self._source.number(field, "<I")) if field else 0

    def number(self, number: int, kind: str, default: Any = 0) -> Any:
        """Read a number of a `struct` kind."""
        field = self._field(number)
        return self._source.number(field, kind) if field else default

    def table(self, number: int) -> FlatTable | None:
        """Read a table (or the value of a union); None where it is absent."""
        position = self._follow(number)
        return FlatTable(self._source, position) if position else None

    def tables(self, number: int) -> list[FlatTable]:
        """Read a vector of tables; [] where it is absent."""
        position = self._follow(number)
        if not position:
            return []
        start, count = self._source.vector(position, 4)
        self._source.count(count)
        places = range(start, start + 4 * count, 4)
        return [FlatTable(self._source, at + self._source.number(at, "<I")) for at in places]

    def numbers(self, number: int, dtype: str, limit: int) -> list[Any]:
        """Read a vector of at most `limit` numbers; [] where it is absent."""
        array = self.array(number, dtype)
        if len(array) > limit:
            self._source.refuse(
                f"a list of {len(array):,} numbers, where at most {limit:,} are plausible"
            )
        self._source.count(len(array))
        return list(array.tolist())

    def array(self, number: int, dtype: str) -> Array:
        """Read a vector of numbers as a view of the file; empty where it is absent."""
        position = self._follow(number)
        if not position:
            return np.zeros(0, dtype=dtype)
        start, count = self._source.vector(position, np.dtype(dtype).itemsize)
        return np.frombuffer(self._source.data, dtype=dtype, count=count, offset=start)

    def text(self, number: int) -> str:
        """Read a string, replacing what is not UTF-8 in it; "" where it is absent."""
        data = self.array(number, "u1")
        if len(data) > MAX_TEXT:
            self._source.refuse(
                f"a name of {len(data):,} bytes, where at most {MAX_TEXT:,} are plausible"
            )
        self._source.count(len(data))
        return data.tobytes().decode("utf-8", "replace")
