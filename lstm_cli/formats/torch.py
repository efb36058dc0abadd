"""PyTorch files (.pt, .pth, .bin) without PyTorch, and without trusting the pickle inside.

`torch.save` writes an uncompressed zip: `<root>/data.pkl` (structure), `<root>/data/<key>` (one
storage each, aligned so that it could be mapped), `<root>/byteorder`. The pickle is read as data
(`_read_pickle`); a storage's bytes are read from the file when a tensor is asked for, and only the
stretch that the tensor covers. Source: `torch/serialization.py` 2.13 and files it wrote.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import open_checked
from lstm_cli.formats.contents import (
    CODES,
    Contents,
    Info,
    Tensors,
    check_readable,
    flatten,
    item_size,
    read_numbers,
    shaped,
)
from lstm_cli.formats.cursor import Span

# The magic number of files before PyTorch 1.6, pickled on its own (torch/serialization.py).
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_DAMAGED = "the file is cut or damaged; save it again with torch.save"


@dataclass(frozen=True)
class _Archive:
    """The parts of a zip that matter, each with its place in the file."""

    root: str
    members: Mapping[str, Span]
    size: int


def read(path: Path) -> Contents:
    """Return the tensors of a state dict or checkpoint, dicts flattened to dotted names.

    Raises:
        InputError: not such a zip, a pickle that asks for anything but tensors and plain values
            (names it), a tensor that its storage does not hold.
    """
    place = safe(path)
    with open_checked(path) as stream:
        archive = _open(stream, path)
        big = _is_big_endian(_member(archive, "byteorder", 64, stream, place))
        pickled = _member(archive, "data.pkl", MAX_PICKLE_BYTES, stream, place)
    try:
        tree = _read_pickle(pickled, f"{place}, {safe(archive.root)}data.pkl")
    except _RefusedName as refused:
        raise _refusal(refused.name, path) from None
    views = flatten(tree, _View, place)
    spans = {
        name: _span(view, archive, f"{place}, key {safe(name)}") for name, view in views.items()
    }

    def load(name: str) -> Array:
        where = f"{place}, key {safe(name)}"
        return _numbers(path, views[name], spans[name], where, big_endian=big)

    infos = {name: Info.of(view.shape, view.dtype) for name, view in views.items()}
    return Contents(Tensors(infos, load))


def _open(stream: IO[bytes], path: Path) -> _Archive:
    """Return the archive's members, all of them stored as they are and apart from each other."""
    place, size = safe(path), stream.seek(0, io.SEEK_END)
    stream.seek(0)
    _check_kind(stream.read(64), path)
    try:
        members = zipfile.ZipFile(stream).infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise InputError(
            f"not a readable zip: {safe(error)[:120]}", where=place, hint=_DAMAGED
        ) from None
    names = [each.filename for each in members]
    _check_names(names, path)
    spans = {each.filename: _stored(each, stream, size, place) for each in members}
    _check_apart(spans, place)
    return _Archive(next(n for n in names if _is_pickle(n)).removesuffix("data.pkl"), spans, size)


def _check_kind(start: bytes, path: Path) -> None:
    """Refuse what is no zip, with what to do for the two kinds that people have."""
    if start.startswith(b"PK"):
        return
    if start.startswith(_LEGACY):
        raise InputError(
            "a PyTorch file in the format before 1.6, which is all pickle", where=safe(path),
            hint=_lines(path, "torch.load(path, weights_only=True, map_location='cpu')",
                        "torch.save(data, path)"),
        )  # fmt: skip
    what = "a pickle, not a zip of torch.save" if start[:1] == b"\x80" else "not a zip"
    raise InputError(
        what, where=safe(path),
        hint="write it with torch.save(model.state_dict(), path), or as safetensors",
    )  # fmt: skip


def _lines(path: Path, load: str, save: str) -> str:
    """Return the Python lines that save what is in a file in a form that is read."""
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
        return InputError(
            f"a whole model was pickled ({shown}), not its weights", where=safe(path),
            hint=_lines(path, f"{load}.state_dict()", _TO_NPZ),
        )  # fmt: skip
    return InputError(
        f"the pickle asks for {shown}, which no weights need; nothing of it was run",
        where=safe(path),
        hint=_lines(path, load, "torch.save(data['state_dict'], path)  # or the key it has"),
    )


def _is_pickle(name: str) -> bool:
    return name == "data.pkl" or name.endswith("/data.pkl")


def _check_names(names: list[str], path: Path) -> None:
    """Refuse an archive with a name twice, TorchScript, and zips that are something else."""
    seen = set[str]()
    for name in names:
        if name in seen:
            raise InputError(
                f"'{safe(name)}' is there twice in the zip", where=safe(path), hint=_DAMAGED
            )
        seen.add(name)
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise InputError(
            "a TorchScript program (torch.jit.save), not weights", where=safe(path),
            hint=_lines(path, "torch.jit.load(path, map_location='cpu').state_dict()", _TO_NPZ),
        )  # fmt: skip
    if sum(map(_is_pickle, names)) != 1:
        shown = ", ".join(map(safe, names[:5])) or "nothing"
        raise InputError(
            f"a zip, but not of torch.save: it holds {shown}, no data.pkl", where=safe(path),
            hint="npz and Keras files are zips too; give the file the suffix of its format",
        )  # fmt: skip


def _stored(member: zipfile.ZipInfo, stream: IO[bytes], size: int, place: str) -> Span:
    """Return where an uncompressed member's bytes lie."""
    plain = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
    if not plain or member.compress_size != member.file_size:
        raise InputError(
            f"'{safe(member.filename)}' is compressed or encrypted", where=place,
            hint="torch.save stores plainly; the file was packed again: unpack it or save anew",
        )  # fmt: skip
    # A damaged table may point before the file (zipfile subtracts) or far behind it.
    stream.seek(min(max(0, member.header_offset), size))
    local = stream.read(30)
    start = member.header_offset + 30
    start += int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    if member.header_offset < 0 or local[:4] != b"PK\x03\x04" or start + member.file_size > size:
        raise InputError(
            f"'{safe(member.filename)}' is not where the zip's table says", where=place,
            hint=_DAMAGED,
        )  # fmt: skip
    return start, member.file_size


def _check_apart(spans: Mapping[str, Span], place: str) -> None:
    """Refuse members that share bytes, so that all of them are no larger than the file."""
    end = 0
    for name, (start, count) in sorted(spans.items(), key=lambda each: each[1]):
        if start < end:
            raise InputError(f"'{safe(name)}' overlaps another member", where=place, hint=_DAMAGED)
        end = start + count


def _member(archive: _Archive, name: str, limit: int, stream: IO[bytes], place: str) -> bytes:
    """Return a small member's bytes; empty where there is none."""
    start, count = archive.members.get(archive.root + name, (0, 0))
    if count > limit:
        raise InputError(
            f"{name} takes {count:,} bytes; the limit is {limit:,}", where=place,
            hint="save the weights alone: torch.save(model.state_dict(), path)",
        )  # fmt: skip
    stream.seek(start)
    return stream.read(count)


def _is_big_endian(record: bytes) -> bool:
    return record.strip() == b"big"


def _span(view: _View, archive: _Archive, place: str) -> Span:
    """Return the bytes that a tensor covers, from its first number to its last."""
    storage = view.storage
    member = archive.members.get(f"{archive.root}data/{storage.key}")
    if member is None:
        raise InputError(f"storage '{safe(storage.key)}' is missing", where=place, hint=_DAMAGED)
    if view.dtype not in CODES or 0 in view.shape:
        return member[0], 0
    reach = sum((n - 1) * step for n, step in zip(view.shape, view.strides, strict=True))
    item = item_size(view.dtype)
    start, stop = view.offset * item, (view.offset + reach + 1) * item
    declared = storage.count * item_size(storage.dtype) if storage.dtype in CODES else member[1]
    if stop > declared or declared > member[1]:
        raise InputError(
            f"the tensor ends at byte {stop:,} of its storage, which is said to have "
            f"{declared:,} and has {member[1]:,}",
            where=place,
            hint=_DAMAGED,
        )
    return member[0] + start, stop - start


def _numbers(path: Path, view: _View, span: Span, place: str, *, big_endian: bool) -> Array:
    """Return a tensor's numbers in its shape, gathered from its stretch of the storage."""
    count = math.prod(view.shape)
    check_readable(view.dtype, count * item_size(view.dtype) if view.dtype in CODES else 0, place)
    if count == 0:
        return shaped(read_numbers(path, [], view.dtype, place), view.shape, place)
    flat = read_numbers(path, [span], view.dtype, place, big_endian=big_endian)
    if count > flat.size:
        raise InputError(
            f"the tensor repeats its {flat.size:,} stored numbers to {count:,}", where=place,
            hint="save it as stored: tensor.contiguous()",
        )  # fmt: skip
    steps = [step * flat.itemsize for step in view.strides]
    return np.lib.stride_tricks.as_strided(flat, view.shape, steps, writeable=False).copy()


# --------------------------------------------------------------------------------------------------
# What PyTorch puts in a pickle, as inert values: tensors are places in a storage, the rest names.
#
# Source: `torch/_utils.py` and `torch/_weights_only_unpickler.py` 2.13: what a state dict or a
# checkpoint may name; `torch/serialization.py`: the persistent ids of storages.


@dataclass(frozen=True, eq=False)
class _Global:
    """A name that the pickle mentions; never what it names."""

    name: str


@dataclass(frozen=True, eq=False)
class _Storage:
    """Numbers in a file of the archive: their dtype, key, and how many they are."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True, eq=False)
class _View:
    """A tensor: part of a storage; all in numbers of `dtype`, strides too."""

    storage: _Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Inert:
    """Something harmless that is of no use here: a device, a set, a layout."""


class _RefusedName(Exception):
    """The pickle mentions a name that weights do not need; the caller words it.

    Args:
        name: module and name, joined by a dot.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


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
    """Raise the fault that the pickle's reader words."""
    raise ValueError(reason)


def _harmless(name: str) -> str:
    """Return a global's dotted name if it is harmless, or refuse it."""
    name = name.replace(" ", ".", 1)
    dtype = name.startswith("torch.") and name[6:] in _DTYPES
    if dtype or name in _CALLS or name in _STORAGES or name in _INERT:
        return name
    raise _RefusedName(name)


def _dict_of(items: list[Any]) -> dict[Any, Any]:
    """Return a dict of key, value, key, value …; keys that are hashed without depth only."""
    keys = items[::2]
    for key in keys:
        if key is not None and type(key) not in (str, int, float, bool, bytes):
            _fail("a key is neither text nor a number")
        if type(key) is int and abs(key) >= 2**64:
            _fail("a key is a very large number")
    return dict(zip(keys, items[1::2], strict=True))


def _storage_of(key: Any) -> _Storage:
    """Return the storage of a persistent id: ("storage", type, key, device, count)."""
    if type(key) is not tuple or len(key) != 5 or key[0] != "storage":
        _fail("a persistent id is not that of a storage")
    _, kind, name, _, count = key
    if not isinstance(kind, _Global) or kind.name not in _STORAGES or type(name) is not str:
        _fail("a storage of no known type")
    return _Storage(_STORAGES[kind.name], name, _whole(count))


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        _fail("a size, stride or offset is not a whole number from 0 on")
    return value


def _wholes(value: Any) -> tuple[int, ...]:
    if type(value) is not tuple or len(value) > 32:
        _fail("a shape that is no short tuple")
    return tuple(map(_whole, value))


def _rebuilt(
    storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any, dtype: str = ""
) -> _View:
    """Return what `torch._utils._rebuild_tensor_v2` makes: gradients and hooks are of no use."""
    sizes, steps = _wholes(shape), _wholes(strides)
    if not isinstance(storage, _Storage) or len(sizes) != len(steps):
        _fail("a tensor without storage, or with unequal shape and strides")
    return _View(storage, dtype or storage.dtype, _whole(offset), sizes, steps)


def _rebuilt_v3(*arguments: Any) -> _View:
    """Return a tensor whose dtype is named apart from its untyped storage."""
    dtype = arguments[6]
    if not isinstance(dtype, _Global):
        _fail("a tensor of no known dtype")
    return _rebuilt(*arguments[:4], dtype=dtype.name.removeprefix("torch."))


def _parameter(data: Any, *rest: Any) -> _View:
    return data if isinstance(data, _View) else _fail("a parameter that is no tensor")


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    if type(items) not in (list, tuple):
        _fail("an OrderedDict of what are no pairs")
    if not all(type(each) in (list, tuple) and len(each) == 2 for each in items):
        _fail("an OrderedDict of what are no pairs")
    return _dict_of([part for pair in items for part in pair])


def _torch_size(items: Any = ()) -> tuple[Any, ...]:
    return tuple(items) if type(items) in (list, tuple) else _fail("a Size of no sizes")


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
# A stack machine of our own rather than `pickle.Unpickler` with a `find_class` of ours: the opcodes
# that PyTorch writes are one-liners, while the C unpickler allocates what an opcode asks for before
# it looks at the file (a LONG_BINPUT of 2**32 takes 32 GiB of memo) and calls what `find_class`
# returns. Here a global is a name, and seven names make values of ours (`_CALLS`).
#
# Source: `pickletools.py` of CPython, which decodes opcodes and executes nothing.

MAX_PICKLE_BYTES = 64 * 2**20
MAX_OPERATIONS = 2_000_000


def _read_pickle(data: bytes, place: str) -> Any:
    """Return what a PyTorch pickle holds: dicts, lists, numbers, text, `_View`s; nothing else.

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
        reason = safe(error) if isinstance(error, ValueError) else "operations without operands"
        raise InputError(
            f"the pickle is not one that PyTorch writes: {reason[:120]}",
            where=f"{place}, byte {position:,}",
            hint="save it again: torch.save(model.state_dict(), path)",
        ) from None


class _Machine:
    """The stack, the marks and the memo of a pickle, with only the operations PyTorch needs."""

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
        elif not isinstance(target, _Inert):
            _fail("numbers are appended to what is no list")

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
        """Drop the state of a dict (`_metadata`) or of something inert: it is not weights."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict | _Inert | _View):
            _fail("a state is given to what has none")

    def push_global(self, name: str) -> None:
        self.stack.append(_Global(_harmless(name)))

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            _fail("a global's name is not text")
        self.push_global(f"{module} {name}")

    def reduce(self, _: Any) -> None:
        """Put our own value in place of a call; only names in `_harmless` come this far."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or type(arguments) is not tuple:
            _fail("a call of what is no function")
        # One long list may be passed by many calls: what they look at is counted.
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
    "PUT": _Machine.memoize,
    "BINPUT": _Machine.memoize,
    "LONG_BINPUT": _Machine.memoize,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.recall,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "MARK": _Machine.mark,
    "POP": _Machine.pop_top,
    "POP_MARK": lambda m, _: m.pop_mark(),
    "DUP": _Machine.dup,
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
