"""Reads the pickle inside a PyTorch file as data: nothing is imported, called or executed.

A stack machine of our own rather than `pickle.Unpickler` with a `find_class` of ours: the opcodes
that PyTorch writes are one-liners, while the C unpickler allocates what an opcode asks for before
it looks at the file (a LONG_BINPUT of 2**32 takes 32 GiB of memo) and calls what `find_class`
returns. Here a global is a name, and seven names make values of ours (`pickled.py`).

Source: `pickletools.py` of CPython, which decodes opcodes and executes nothing.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from lstm_cli.base.errors import InputError, safe
from lstm_cli.formats.pickled import CALLS, Global, Inert, View, fail, known, pairs_of, storage_of

MAX_PICKLE_BYTES = 64 * 2**20
MAX_OPERATIONS = 2_000_000


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
                fail(f"more than {MAX_OPERATIONS:,} operations")
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
            fail(f"{name} is not read")

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
            fail(f"memo {index} is used before it is set")
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
            fail("the stack is too short")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Inert):
            fail("numbers are appended to what is no list")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2 or not isinstance(target, dict | Inert):
            fail("keys and values do not make a dict")
        if isinstance(target, dict):
            target.update(pairs_of(items))

    def push_dict(self, items: list[Any]) -> None:
        self.stack.append({})
        self.set_items(items)

    def build(self, _: Any) -> None:
        """Drop the state of a dict (`_metadata`) or of something inert: it is not weights."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict | Inert | View):
            fail("a state is given to what has none")

    def push_global(self, name: str) -> None:
        self.stack.append(Global(known(name)))

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            fail("a global's name is not text")
        self.push_global(f"{module} {name}")

    def reduce(self, _: Any) -> None:
        """Put our own value in place of a call; only names in `known` come this far."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or type(arguments) is not tuple:
            fail("a call of what is no function")
        # One long list may be passed by many calls: what they look at is counted.
        items = arguments[0] if len(arguments) == 1 else ()
        self._passed += len(arguments) + (len(items) if isinstance(items, list | tuple) else 0)
        if self._passed > MAX_OPERATIONS:
            fail(f"more than {MAX_OPERATIONS:,} operands")
        make = CALLS.get(function.name)
        self.stack.append(make(*arguments) if make else Inert())

    def persistent(self, _: Any) -> None:
        self.stack.append(storage_of(self.stack.pop()))


_LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
})  # fmt: skip
_MADE: Mapping[str, Callable[[], Any]] = {
    "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": Inert,
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
    "FROZENSET": lambda m, _: m.push_marked(lambda _: Inert()),
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
