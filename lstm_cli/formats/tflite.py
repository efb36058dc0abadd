"""TensorFlow Lite models: every fused LSTM operator with its weights.

It has its own FlatBuffers reader (at the end) rather than the packages `flatbuffers` and `tflite`:
those check no offset, and the second (2.18, January 2025) lacks the later fields. Sources: field
numbers, tensorflow/compiler/mlir/lite/schema/schema.fbs; the inputs of an operator,
tensorflow/lite/kernels/lstm_shared.h and bidirectional_sequence_lstm.cc; their use, lstm_eval.cc.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.cell.weights import Direction
from lstm_cli.files.safe import MAX_AXES
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
_DEQUANTIZE, _LSTM, _ONE_WAY, _BOTH_WAYS, _REVERSE = 6, 16, 44, 52, 105
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
        found = Graph()
        for number, table in enumerate(self.root.tables(2)):
            graph = _Subgraph(self, table, f"subgraph{number}/" if number else "")
            for tensor in graph.tensors:
                if self.raw(tensor) is not None:
                    found.add_constant(tensor.name, tensor)
            for operator in graph.lstms():
                found.add(operator.name, operator.title, operator.block)
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
    """A subgraph: its tensors, its operators, and those that dequantise or reverse a tensor."""

    def __init__(self, model: _Model, table: FlatTable, path: str) -> None:
        self.model = model
        self.tensors = [
            self._tensor(each, f"{path}{each.text(3) or f'tensor{number}'}")
            for number, each in enumerate(table.tables(0))
        ]
        self.operators = table.tables(3)
        self.restored: dict[int, FlatTable] = {}
        self.reversed: dict[int, FlatTable] = {}
        for operator in self.operators:
            made = {_DEQUANTIZE: self.restored, _REVERSE: self.reversed}.get(self.code(operator))
            if made is not None:
                made.update(dict.fromkeys(operator.numbers(2, "<i4", 1), operator))

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

    def _open(self) -> Iterator[str]:
        if self._cell_clip == 10.0:
            yield "cell_clip: the TensorFlow converter writes 10.0, whatever the layer was"
        if self._clip(2):
            yield f"proj_clip = {self._clip(2)}: not applied here"
        if self.inputs and self.inputs[0] in self.graph.reversed:
            yield "x reaches it reversed in time, by REVERSE_V2"
        time_major, default = {_ONE_WAY: (3, 0), _BOTH_WAYS: (4, 1)}.get(self.code, (99, 0))
        if self._option(time_major, "<?", default):
            yield "time_major: x and output have the time axis first"


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
