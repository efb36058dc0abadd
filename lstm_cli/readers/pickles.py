"""Reads the pickle inside a PyTorch file as data: nothing is imported, called or executed.

A stack machine of our own rather than `pickle.Unpickler` with a `find_class` of ours, because
the opcodes that PyTorch needs are one-liners, and because the C unpickler allocates what an opcode
asks for before it looks at the file (a LONG_BINPUT of 2**32 takes 32 GiB of memo) and calls what
`find_class` returns. Here a global is a name, and four names make a value of ours.

Source: `pickletools.py` of CPython for the opcodes (it decodes them, and executes nothing);
`torch/_utils.py`, `torch/serialization.py` and `torch/_weights_only_unpickler.py` 2.13 for what
PyTorch puts in: `_rebuild_tensor_v2` and `_v3`, persistent ids of storages, harmless names.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from lstm_cli.errors import InputError, safe

MAX_PICKLE_BYTES = 64 * 2**20
MAX_OPERATIONS = 3_000_000


@dataclass(frozen=True, eq=False)
class Global:
    """A name that the pickle mentions; never what it names."""

    name: str


@dataclass(frozen=True, eq=False)
class Storage:
    """Numbers in a file of the archive: their dtype, key, and how many they are."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True, eq=False)
class View:
    """A tensor: part of a storage; all in numbers of `dtype`, strides too."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Inert:
    """Something harmless that is of no use here: a device, a set, a layout."""


class Refused(Exception):
    """The pickle mentions a name that weights do not need; the caller words it.

    Args:
        name: module and name, joined by a dot.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


STORAGES: Mapping[str, str] = {
    "torch.DoubleStorage": "float64", "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16", "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64", "torch.IntStorage": "int32", "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8", "torch.ByteStorage": "uint8", "torch.BoolStorage": "bool",
    "torch.ComplexFloatStorage": "complex64", "torch.ComplexDoubleStorage": "complex128",
    "torch.storage.UntypedStorage": "uint8", "torch.UntypedStorage": "uint8",
}  # fmt: skip

_DTYPES = frozenset(
    """float64 float32 float16 bfloat16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool complex32 complex64 complex128 float8_e4m3fn float8_e5m2
    float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2""".split()
)

_INERT = frozenset(
    """torch.device torch.serialization._get_layout torch.Tensor torch.nn.parameter.Parameter
    torch.per_tensor_affine torch.per_channel_affine collections.Counter _codecs.encode
    builtins.set builtins.bytearray builtins.complex __builtin__.set __builtin__.bytearray
    __builtin__.complex""".split()
)


def read_pickle(data: bytes, place: str) -> Any:
    """Return what a PyTorch pickle holds: dicts, lists, numbers, text, `View`s; nothing else.

    Raises:
        InputError: damaged, too large, an opcode or a structure that PyTorch does not write.
        Refused: it mentions a name that weights do not need.
    """
    if len(data) > MAX_PICKLE_BYTES:
        raise InputError(
            f"the pickle takes {len(data):,} bytes; the limit is {MAX_PICKLE_BYTES:,}",
            where=place, hint="save the weights alone: torch.save(model.state_dict(), path)",
        )  # fmt: skip
    machine, position = _Machine(), 0
    try:
        for count, (opcode, argument, at) in enumerate(pickletools.genops(data)):
            position = at or 0
            if count > MAX_OPERATIONS:
                _fail(f"more than {MAX_OPERATIONS:,} operations")
            machine.do(opcode.name, argument)
        return machine.stack.pop()
    except (ValueError, IndexError, TypeError) as error:
        raise InputError(
            f"the pickle is not one that PyTorch writes: {safe(error)[:120]}",
            where=f"{place}, byte {position:,}",
            hint="save it again: torch.save(model.state_dict(), path)",
        ) from None


def _fail(reason: str) -> NoReturn:
    raise ValueError(reason)


class _Machine:
    """The stack, the marks and the memo of a pickle, with only the operations PyTorch needs."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """Carry out one operation."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _MADE:
            self.stack.append(_MADE[name]())
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        elif name not in _NOTHING:
            _fail(f"{name} is not read")

    def mark(self, _: Any) -> None:
        self._marked.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        """Return what lies above the last mark, and drop the mark."""
        items, self.stack = self.stack, self._marked.pop()
        return items

    def push_marked(self, make: Callable[[list[Any]], Any]) -> None:
        items = self.pop_mark()
        self.stack.append(make(items))

    def recall(self, index: int) -> None:
        if index not in self._memo:
            _fail(f"memo {index} is used before it is set")
        self.stack.append(self._memo[index])

    def memoize(self, index: int | None) -> None:
        self._memo[len(self._memo) if index is None else index] = self.stack[-1]

    def pop_top(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            _fail("the stack is too short")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Inert):
            _fail("numbers are appended to what is no list")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2 or not isinstance(target, dict | Inert):
            _fail("keys and values do not make a dict")
        if isinstance(target, dict):
            target.update(_pairs(items))

    def push_dict(self, items: list[Any]) -> None:
        self.stack.append({})
        self.set_items(items)

    def build(self, _: Any) -> None:
        """Drop the state of a dict (`_metadata`) or of something inert: it is not weights."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict | Inert | View):
            _fail("a state is given to what has none")

    def push_global(self, name: str) -> None:
        self.stack.append(Global(_known(name)))

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            _fail("a global's name is not text")
        self.push_global(f"{module} {name}")

    def reduce(self, _: Any) -> None:
        """Put our own value in place of a call; only names in `_known` come this far."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or type(arguments) is not tuple:
            _fail("a call of what is no function")
        self.stack.append(_CALLS.get(function.name, _inert)(*arguments))

    def persistent(self, _: Any) -> None:
        self.stack.append(_storage(self.stack.pop()))


def _known(name: str) -> str:
    """Return a global's dotted name if it is harmless, or refuse it."""
    name = name.replace(" ", ".", 1)
    dtype = name.startswith("torch.") and name[6:] in _DTYPES
    if dtype or name in _CALLS or name in STORAGES or name in _INERT:
        return name
    raise Refused(name)


def _pairs(items: list[Any]) -> dict[Any, Any]:
    """Return a dict of key, value, key, value …; keys that are hashed without depth only."""
    keys = items[::2]
    for key in keys:
        if key is not None and type(key) not in (str, int, float, bool, bytes):
            _fail("a key is neither text nor a number")
        if type(key) is int and abs(key) >= 2**64:
            _fail("a key is a very large number")
    return dict(zip(keys, items[1::2], strict=True))


def _storage(key: Any) -> Storage:
    """Return the storage of a persistent id: ("storage", type, key, device, count)."""
    if type(key) is not tuple or len(key) != 5 or key[0] != "storage":
        _fail("a persistent id is not that of a storage")
    _, kind, name, _, count = key
    if not isinstance(kind, Global) or kind.name not in STORAGES or type(name) is not str:
        _fail("a storage of no known type")
    return Storage(STORAGES[kind.name], name, _whole(count))


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        _fail("a size, stride or offset is not a whole number from 0 on")
    return value


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any, dtype: str = ""
) -> View:
    """Return what `torch._utils._rebuild_tensor_v2` makes: gradients and hooks are of no use."""
    shape, strides = (
        tuple(map(_whole, each)) if type(each) is tuple else _fail("a shape that is no tuple")
        for each in (shape, strides)
    )
    if not isinstance(storage, Storage) or len(shape) != len(strides) or len(shape) > 32:
        _fail("a tensor without storage, or with unequal shape and strides")
    return View(storage, dtype or storage.dtype, _whole(offset), shape, strides)


def _tensor_v3(*arguments: Any) -> View:
    """Return a tensor whose dtype is named apart from its untyped storage."""
    dtype = arguments[6]
    if not isinstance(dtype, Global):
        _fail("a tensor of no known dtype")
    return _tensor(*arguments[:4], dtype=dtype.name.removeprefix("torch."))


def _parameter(data: Any, *rest: Any) -> View:
    return data if isinstance(data, View) else _fail("a parameter that is no tensor")


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    if type(items) not in (list, tuple):
        _fail("an OrderedDict of what are no pairs")
    pairs = [
        each if type(each) in (list, tuple) and len(each) == 2 else _fail("what is no pair")
        for each in items
    ]
    return _pairs([part for pair in pairs for part in pair])


def _size(items: Any = ()) -> tuple[Any, ...]:
    return tuple(items) if type(items) in (list, tuple) else _fail("a Size of no sizes")


def _inert(*_: Any) -> Inert:
    return Inert()


_CALLS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _size,
}

_LITERALS = frozenset(
    """INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING
    SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE
    BINUNICODE BINUNICODE8""".split()
)
_MADE: Mapping[str, Callable[[], Any]] = {
    "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": Inert,
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
}  # fmt: skip
_NOTHING = frozenset({"PROTO", "FRAME", "STOP"})
_OPERATIONS: Mapping[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.memoize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
    "MARK": _Machine.mark,
    "POP": _Machine.pop_top,
    "POP_MARK": lambda m, _: m.pop_mark(),
    "DUP": _Machine.dup,
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "TUPLE": lambda m, _: m.push_marked(tuple),
    "LIST": lambda m, _: m.push_marked(list),
    "FROZENSET": lambda m, _: m.push_marked(_inert),
    "DICT": lambda m, _: m.push_dict(m.pop_mark()),
    "APPEND": lambda m, _: m.append([m.stack.pop()]),
    "APPENDS": lambda m, _: m.append(m.pop_mark()),
    "ADDITEMS": lambda m, _: m.append(m.pop_mark()),
    "SETITEM": lambda m, _: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: m.set_items(m.pop_mark()),
    "BUILD": _Machine.build,
    "GLOBAL": _Machine.push_global,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.reduce,
    "BINPERSID": _Machine.persistent,
}
