"""PyTorch files (.pt, .pth, .bin) without PyTorch, and without trusting the pickle inside.

`torch.save` writes an uncompressed zip: `<root>/data.pkl` (the structure), `<root>/data/<key>` (one
storage each, aligned so that it can be mapped), `<root>/byteorder`. The pickle is read as data
(`_read_pickle`). When a tensor is asked for, only the stretch of its storage that it covers is
read. Source: `torch/serialization.py` 2.13 and files it wrote.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import open_checked
from lstm_cli.formats.contents import Contents, Info, Tensors, flatten
from lstm_cli.formats.registry import ZIP, format_named
from lstm_cli.formats.stored import (
    CODES,
    BoundedCursor,
    Span,
    checked_size,
    read_from,
    read_numbers,
    shaped,
    size_of,
)

# The magic number, itself a pickle, of files before PyTorch 1.6 (torch/serialization.py).
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_SAVE_WEIGHTS = "torch.save(model.state_dict(), path)"


def _damaged(what: str, place: str) -> InputError:
    hint = "the file is cut or damaged; save it again with torch.save"
    return InputError(what, where=place, hint=hint)


def read(path: Path) -> Contents:
    """Read the tensors of a state dict or checkpoint, dicts flattened to dotted names.

    Raises:
        InputError: not such a zip, a pickle that asks for anything but tensors and plain values
            (named in the message), or a tensor that is larger than its storage.
    """
    place = safe(path)
    with open_checked(path) as stream:
        archive = _Archive(stream, path)
        big = archive.read("byteorder", 64).strip() == b"big"
        pickled = archive.read("data.pkl", MAX_PICKLE_BYTES)
    try:
        tree = _read_pickle(pickled, f"{place}, {safe(archive.root)}data.pkl")
    except _RefusedName as refused:
        raise _refusal(str(refused), path) from None
    views = flatten(tree, _View, place)
    places = {name: f"{place}, key {safe(name)}" for name in views}
    spans = {name: _span(view, archive, places[name]) for name, view in views.items()}
    return Contents(Tensors(
        {name: Info.of(view.shape, view.dtype) for name, view in views.items()},
        lambda name: _numbers(path, views[name], spans[name], places[name], big_endian=big),
    ))  # fmt: skip


class _Archive(BoundedCursor):
    """A zip of torch.save, whose members must be uncompressed and must not overlap.

    Args:
        stream: the open file, used only while a method runs.

    Attributes:
        members: name -> its bytes in the file.
        root: the prefix of all names.
    """

    cut = "a member is not where the zip's table says"

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        super().__init__(read_from(stream), stream.seek(0, io.SEEK_END), safe(path))
        _check_kind(self.peek(0, min(64, self.size)), path)
        try:
            members = zipfile.ZipFile(stream).infolist()
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            self.refuse(f"not a readable zip: {safe(error)[:120]}")
        names = [each.filename for each in members]
        _check_names(names, path)
        self.members = {each.filename: self._span(each) for each in members}
        end = 0  # members that share bytes would together be larger than the file
        for name, (start, count) in sorted(self.members.items(), key=lambda each: each[1]):
            if start < end:
                self.refuse(f"'{safe(name)}' overlaps another member")
            end = start + count
        self.root = next(name for name in names if _is_pickle(name)).removesuffix("data.pkl")

    def refuse(self, reason: str, at: int | None = None) -> NoReturn:
        """Raise the error for a damaged file."""
        raise _damaged(reason, self.place) from None

    def _span(self, member: zipfile.ZipInfo) -> Span:
        plain = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
        if not plain or member.compress_size != member.file_size:
            what = f"'{safe(member.filename)}' is compressed or encrypted"
            hint = "torch.save does not compress; the file was repacked: save it again"
            raise InputError(what, where=self.place, hint=hint)
        # A damaged table may point before the file (zipfile subtracts) or far behind it.
        local = self.peek(member.header_offset, 30)
        start = member.header_offset + 30 + self.whole(local[26:28]) + self.whole(local[28:30])
        if local[:4] != ZIP or start + member.file_size > self.size:
            self.refuse(f"'{safe(member.filename)}' is not where the zip's table says")
        return start, member.file_size

    def read(self, name: str, limit: int) -> bytes:
        """Read a small member; empty where there is none."""
        start, count = self.members.get(self.root + name, (0, 0))
        if count > limit:
            what = f"{name} takes {count:,} bytes; the limit is {limit:,}"
            hint = f"save the weights alone: {_SAVE_WEIGHTS}"
            raise InputError(what, where=self.place, hint=hint)
        return self.peek(start, count)


def _check_kind(start: bytes, path: Path) -> None:
    """Refuse what is not a zip, with a way out for the two kinds that people have."""
    if format_named("pytorch").begins(start):
        return
    if start.startswith(_LEGACY):
        raise InputError(
            "a PyTorch file in the format before 1.6, which is all pickle", where=safe(path),
            hint=_lines(path, "torch.load(path, weights_only=True, map_location='cpu')",
                        "torch.save(data, path)"),
        )  # fmt: skip
    what = "a pickle, not a zip of torch.save" if start[:1] == b"\x80" else "not a zip"
    hint = f"write it with {_SAVE_WEIGHTS}, or as safetensors"
    raise InputError(what, where=safe(path), hint=hint)


def _lines(path: Path, load: str, save: str) -> str:
    """The Python lines that save the contents of a file in a form that is read."""
    name = repr(safe(path.name))
    return (
        "in Python with torch, if you trust the file's maker:\n"
        f"    data = {load.replace('path', name)}\n"
        f"    {save.replace('path', repr('weights' + safe(path.suffix)))}"
    )


_TO_NPZ = "numpy.savez('weights.npz', **{k: v.double().numpy() for k, v in data.items()})"


def _refusal(name: str, path: Path) -> InputError:
    load, shown = "torch.load(path, weights_only=False, map_location='cpu')", safe(name)[:120]
    if name.startswith(("torch.nn.modules.", "__main__.")):
        what = f"a whole model was pickled ({shown}), not its weights"
        hint = _lines(path, f"{load}.state_dict()", _TO_NPZ)
        return InputError(what, where=safe(path), hint=hint)
    what = f"the pickle asks for {shown}, which weights never need; none of it was run"
    hint = _lines(path, load, "torch.save(data['state_dict'], path)  # or the key it has")
    return InputError(what, where=safe(path), hint=hint)


def _is_pickle(name: str) -> bool:
    return name == "data.pkl" or name.endswith("/data.pkl")


def _check_names(names: list[str], path: Path) -> None:
    """Refuse an archive with a duplicate name, TorchScript, and zips of another kind."""
    for name, times in Counter(names).items():
        if times > 1:
            raise _damaged(f"'{safe(name)}' is there twice in the zip", safe(path))
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        what = "a TorchScript program (torch.jit.save), not weights"
        hint = _lines(path, "torch.jit.load(path, map_location='cpu').state_dict()", _TO_NPZ)
        raise InputError(what, where=safe(path), hint=hint)
    if sum(map(_is_pickle, names)) != 1:
        shown = ", ".join(map(safe, names[:5])) or "nothing"
        what = f"a zip, but not of torch.save: it holds {shown}, no data.pkl"
        hint = "npz and Keras files are zips too; give the file the suffix of its format"
        raise InputError(what, where=safe(path), hint=hint)


def _span(view: _View, archive: _Archive, place: str) -> Span:
    """The bytes that a tensor covers, from its first number to its last."""
    storage = view.storage
    member = archive.members.get(f"{archive.root}data/{storage.key}")
    if member is None:
        raise _damaged(f"storage '{safe(storage.key)}' is missing", place)
    if view.dtype not in CODES or 0 in view.shape:
        return member[0], 0
    reach = sum((n - 1) * step for n, step in zip(view.shape, view.strides, strict=True))
    start, stop = (size_of((n,), view.dtype) for n in (view.offset, view.offset + reach + 1))
    declared = size_of((storage.count,), storage.dtype) if storage.dtype in CODES else member[1]
    if stop > declared or declared > member[1]:
        there = f"its storage, which is said to have {declared:,} and has {member[1]:,}"
        raise _damaged(f"the tensor ends at byte {stop:,} of {there}", place)
    return member[0] + start, stop - start


def _numbers(path: Path, view: _View, span: Span, place: str, *, big_endian: bool) -> Array:
    """Read a tensor's numbers in its shape from its stretch of the storage."""
    count = math.prod(view.shape)
    checked_size(Info.of(view.shape, view.dtype), place)
    if count == 0:
        return shaped(read_numbers(path, [], view.dtype, place), view.shape, place)
    flat = read_numbers(path, [span], view.dtype, place, big_endian=big_endian)
    if count > flat.size:
        what = f"the tensor repeats its {flat.size:,} stored numbers to {count:,}"
        raise InputError(what, where=place, hint="save it as stored: tensor.contiguous()")
    steps = [step * flat.itemsize for step in view.strides]
    return np.lib.stride_tricks.as_strided(flat, view.shape, steps, writeable=False).copy()


# --------------------------------------------------------------------------------------------------
# The values in PyTorch's pickles, made inert: tensors are places in a storage, the rest are names.
#
# Source: `torch/_utils.py` and `torch/_weights_only_unpickler.py` 2.13 for the names that a state
# dict or a checkpoint may use; `torch/serialization.py` for the persistent ids of storages.


@dataclass(frozen=True, eq=False)
class _Global:
    """A name that the pickle mentions, never the object of that name."""

    name: str


@dataclass(frozen=True, eq=False)
class _Storage:
    """Numbers in a member of the archive: their dtype, key and count."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True, eq=False)
class _View:
    """A tensor: part of a storage, with offset and strides counted in numbers of `dtype`."""

    storage: _Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Inert:
    """A harmless value that is not used here: a device, a set, a layout."""


class _RefusedName(Exception):
    """A name (module and name, joined by a dot) that weights do not need."""


_STORAGES: Mapping[str, str] = {
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


def _fail(reason: str) -> NoReturn:
    """Raise the fault that `_read_pickle` reports."""
    raise ValueError(reason)


def _harmless(name: str) -> str:
    """Convert a global's name to its dotted form, or refuse it."""
    name = name.replace(" ", ".", 1)
    dtype = name.startswith("torch.") and name[6:] in _DTYPES
    if dtype or name in _CALLS or name in _STORAGES or name in _INERT:
        return name
    raise _RefusedName(name)


def _dict_of(items: list[Any]) -> dict[Any, Any]:
    """Make a dict of key, value, key, value …; only keys that are hashed in constant time."""
    keys = items[::2]
    for key in keys:
        if key is not None and type(key) not in (str, int, float, bool, bytes):
            _fail("a key is neither text nor a number")
        if type(key) is int and abs(key) >= 2**64:
            _fail("a key is a very large number")
    return dict(zip(keys, items[1::2], strict=True))


def _storage_of(key: Any) -> _Storage:
    """Decode a storage's persistent id: ("storage", type, key, device, count)."""
    if type(key) is not tuple or len(key) != 5 or key[0] != "storage":
        _fail("a persistent id is not that of a storage")
    _, kind, name, _, count = key
    if not isinstance(kind, _Global) or kind.name not in _STORAGES or type(name) is not str:
        _fail("a storage of an unknown type")
    return _Storage(_STORAGES[kind.name], name, _whole(count))


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        _fail("a size, stride or offset is not a non-negative integer")
    return value


def _wholes(value: Any) -> tuple[int, ...]:
    if type(value) is not tuple or len(value) > 32:
        _fail("a shape that is not a short tuple")
    return tuple(map(_whole, value))


def _rebuilt(
    storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any, dtype: str = ""
) -> _View:
    """Make the tensor of `torch._utils._rebuild_tensor_v2`, without gradients and hooks."""
    sizes, steps = _wholes(shape), _wholes(strides)
    if not isinstance(storage, _Storage) or len(sizes) != len(steps):
        _fail("a tensor without storage, or with unequal shape and strides")
    return _View(storage, dtype or storage.dtype, _whole(offset), sizes, steps)


def _rebuilt_v3(*arguments: Any) -> _View:
    """Make a tensor whose dtype is given apart from its untyped storage."""
    dtype = arguments[6]
    if not isinstance(dtype, _Global):
        _fail("a tensor of an unknown dtype")
    return _rebuilt(*arguments[:4], dtype=dtype.name.removeprefix("torch."))


def _parameter(data: Any, *rest: Any) -> _View:
    return data if isinstance(data, _View) else _fail("a parameter that is not a tensor")


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    pairs = type(items) in (list, tuple)
    if not pairs or not all(type(each) in (list, tuple) and len(each) == 2 for each in items):
        _fail("an OrderedDict of something other than pairs")
    return _dict_of([part for pair in items for part in pair])


def _torch_size(items: Any = ()) -> tuple[Any, ...]:
    return tuple(items) if type(items) in (list, tuple) else _fail("a Size without sizes")


_CALLS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _rebuilt,
    "torch._utils._rebuild_tensor": _rebuilt,
    "torch._utils._rebuild_tensor_v3": _rebuilt_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _torch_size,
}


# --------------------------------------------------------------------------------------------------
# The pickle read as data: nothing is imported, called or executed.
#
# A stack machine of its own rather than a `pickle.Unpickler` with a safe `find_class`: the opcodes
# that PyTorch writes are one-liners, while the C unpickler allocates what an opcode asks for before
# it looks at the file (a LONG_BINPUT of 2**32 takes 32 GiB of memo) and calls what `find_class`
# returns. Here a global is a name, and seven names make inert values (`_CALLS`).
#
# Source: `pickletools.py` of CPython, which decodes opcodes and executes nothing.

MAX_PICKLE_BYTES = 64 * 2**20
MAX_OPERATIONS = 2_000_000


def _read_pickle(data: bytes, place: str) -> Any:
    """Read a PyTorch pickle as dicts, lists, numbers, text and `_View`s, nothing else."""
    machine, position = _Machine(), 0
    try:
        for count, (opcode, argument, at) in enumerate(pickletools.genops(data)):
            position = at or 0
            if count > MAX_OPERATIONS:
                _fail(f"more than {MAX_OPERATIONS:,} operations")
            machine.do(opcode.name, argument)
        return machine.stack.pop()
    except (ValueError, IndexError, TypeError) as error:
        reason = safe(error) if isinstance(error, ValueError) else "operations without operands"
        what = f"the pickle is not one that PyTorch writes: {reason[:120]}"
        hint = f"save it again: {_SAVE_WEIGHTS}"
        raise InputError(what, where=f"{place}, byte {position:,}", hint=hint) from None


class _Machine:
    """A pickle's stack, marks and memo, with only the operations that PyTorch needs."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._passed = 0

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
        """Pop everything above the last mark, and the mark."""
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
        elif not isinstance(target, _Inert):
            _fail("an append to something that is not a list")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2 or not isinstance(target, dict | _Inert):
            _fail("keys and values do not make a dict")
        if isinstance(target, dict):
            target.update(_dict_of(items))

    def push_dict(self, items: list[Any]) -> None:
        self.stack.append({})
        self.set_items(items)

    def build(self, _: Any) -> None:
        """Drop the state of a dict (`_metadata`) or of an inert value, which is not weights."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict | _Inert | _View):
            _fail("a state for something that has none")

    def push_global(self, name: str) -> None:
        self.stack.append(_Global(_harmless(name)))

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            _fail("a global's name is not text")
        self.push_global(f"{module} {name}")

    def reduce(self, _: Any) -> None:
        """Replace a call with an inert value; only names that passed `_harmless` come this far."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or type(arguments) is not tuple:
            _fail("a call of something that is not a function")
        # Many calls may pass the same long list, so operands are counted.
        items = arguments[0] if len(arguments) == 1 else ()
        self._passed += len(arguments) + (len(items) if isinstance(items, list | tuple) else 0)
        if self._passed > MAX_OPERATIONS:
            _fail(f"more than {MAX_OPERATIONS:,} operands")
        make = _CALLS.get(function.name)
        self.stack.append(make(*arguments) if make else _Inert())

    def persistent(self, _: Any) -> None:
        self.stack.append(_storage_of(self.stack.pop()))


_LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
})  # fmt: skip
_MADE: Mapping[str, Callable[[], Any]] = {
    "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": _Inert,
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
}  # fmt: skip
_NOTHING = frozenset({"PROTO", "FRAME", "STOP"})
_OPERATIONS: Mapping[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.memoize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
    "MARK": _Machine.mark,
    "POP": _Machine.pop_top,
    "POP_MARK": lambda m, _: m.pop_mark(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "TUPLE": lambda m, _: m.push_marked(tuple),
    "LIST": lambda m, _: m.push_marked(list),
    "FROZENSET": lambda m, _: m.push_marked(lambda _: _Inert()),
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
