"""What PyTorch puts in a pickle, as inert values: tensors are places in a storage, the rest names.

Source: `torch/_utils.py` and `torch/_weights_only_unpickler.py` 2.13: what a state dict or a
checkpoint may name; `torch/serialization.py`: the persistent ids of storages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn


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

_DTYPES = frozenset({
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64",
    "uint32", "uint16", "uint8", "bool", "complex32", "complex64", "complex128", "float8_e4m3fn",
    "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2",
})  # fmt: skip

_INERT = frozenset({
    "torch.device", "torch.serialization._get_layout", "torch.Tensor",
    "torch.nn.parameter.Parameter", "torch.per_tensor_affine", "torch.per_channel_affine",
    "collections.Counter", "_codecs.encode", "builtins.set", "builtins.bytearray",
    "builtins.complex", "__builtin__.set", "__builtin__.bytearray", "__builtin__.complex",
})  # fmt: skip


def fail(reason: str) -> NoReturn:
    """Raise the fault that the pickle's reader words."""
    raise ValueError(reason)


def known(name: str) -> str:
    """Return a global's dotted name if it is harmless, or refuse it."""
    name = name.replace(" ", ".", 1)
    dtype = name.startswith("torch.") and name[6:] in _DTYPES
    if dtype or name in CALLS or name in STORAGES or name in _INERT:
        return name
    raise Refused(name)


def pairs_of(items: list[Any]) -> dict[Any, Any]:
    """Return a dict of key, value, key, value …; keys that are hashed without depth only."""
    keys = items[::2]
    for key in keys:
        if key is not None and type(key) not in (str, int, float, bool, bytes):
            fail("a key is neither text nor a number")
        if type(key) is int and abs(key) >= 2**64:
            fail("a key is a very large number")
    return dict(zip(keys, items[1::2], strict=True))


def storage_of(key: Any) -> Storage:
    """Return the storage of a persistent id: ("storage", type, key, device, count)."""
    if type(key) is not tuple or len(key) != 5 or key[0] != "storage":
        fail("a persistent id is not that of a storage")
    _, kind, name, _, count = key
    if not isinstance(kind, Global) or kind.name not in STORAGES or type(name) is not str:
        fail("a storage of no known type")
    return Storage(STORAGES[kind.name], name, _whole(count))


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        fail("a size, stride or offset is not a whole number from 0 on")
    return value


def _wholes(value: Any) -> tuple[int, ...]:
    if type(value) is not tuple or len(value) > 32:
        fail("a shape that is no short tuple")
    return tuple(map(_whole, value))


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any, dtype: str = ""
) -> View:
    """Return what `torch._utils._rebuild_tensor_v2` makes: gradients and hooks are of no use."""
    sizes, steps = _wholes(shape), _wholes(strides)
    if not isinstance(storage, Storage) or len(sizes) != len(steps):
        fail("a tensor without storage, or with unequal shape and strides")
    return View(storage, dtype or storage.dtype, _whole(offset), sizes, steps)


def _tensor_v3(*arguments: Any) -> View:
    """Return a tensor whose dtype is named apart from its untyped storage."""
    dtype = arguments[6]
    if not isinstance(dtype, Global):
        fail("a tensor of no known dtype")
    return _tensor(*arguments[:4], dtype=dtype.name.removeprefix("torch."))


def _parameter(data: Any, *rest: Any) -> View:
    return data if isinstance(data, View) else fail("a parameter that is no tensor")


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    if type(items) not in (list, tuple):
        fail("an OrderedDict of what are no pairs")
    if not all(type(each) in (list, tuple) and len(each) == 2 for each in items):
        fail("an OrderedDict of what are no pairs")
    return pairs_of([part for pair in items for part in pair])


def _size(items: Any = ()) -> tuple[Any, ...]:
    return tuple(items) if type(items) in (list, tuple) else fail("a Size of no sizes")


CALLS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _size,
}
