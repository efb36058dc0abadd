"""Frozen records: like `@dataclass(frozen=True)`, but without compiling code for each class.

    @record
    class Row:
        symbol: str
        label: str = ""

`dataclass` generates and compiles the methods of each class from source text; for the classes that
one step needs, that takes a seventh of the time it takes to import NumPy. Here all classes share
one set of methods. `dataclass` still collects the fields, so that `field`, `replace`, `fields`,
`__post_init__` and `match` work as usual.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, NoReturn, TypeVar, dataclass_transform

Class = TypeVar("Class", bound=type)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def record(made: Class) -> Class:
    """Make a class a frozen record compared by identity: `==` of arrays is not a single bool."""
    return _made(made, ("__init__", "__repr__", "__setattr__", "__delattr__"))


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_record(made: Class) -> Class:
    """Make a class a frozen record compared and hashed by its values."""
    shared = ("__init__", "__repr__", "__setattr__", "__delattr__", "__eq__", "__hash__")
    return _made(made, shared)


def _made(made: Class, shared: tuple[str, ...]) -> Class:
    own = set(vars(made)) - {"__hash__"}
    dataclass(init=False, repr=False, eq=False)(made)
    for name in shared:
        if name not in own:
            setattr(made, name, vars(_Shared)[name])
    given = [each for each in fields(made) if each.init]
    made.__record__ = _Plan(given)  # type: ignore[attr-defined]
    return made


class _Plan:
    """What `__init__` needs to know: the names of the fields in order, and their defaults."""

    def __init__(self, given: list[Any]) -> None:
        self.names = tuple(each.name for each in given)
        self.known = frozenset(self.names)
        self.defaults = {each.name: each.default for each in given if each.default is not MISSING}
        self.makers = {
            each.name: each.default_factory for each in given if each.default_factory is not MISSING
        }


class _Shared:
    """The methods copied into every record class; not a base class, so that `vars` has them."""

    __record__: _Plan

    def __init__(self, *values: Any, **named: Any) -> None:
        plan, kind = self.__record__, type(self).__name__
        held = dict(zip(plan.names, values, strict=False))
        if len(values) > len(plan.names):
            raise TypeError(f"{kind} takes {len(plan.names)} values, {len(values)} were given")
        if wrong := held.keys() & named.keys() or named.keys() - plan.known:
            raise TypeError(f"{kind}: {min(wrong)} is given twice or unknown")
        held = {**plan.defaults, **held, **named}
        for name, make in plan.makers.items():
            if name not in held:
                held[name] = make()
        if missing := plan.known - held.keys():
            raise TypeError(f"{kind}: {min(missing)} is missing")
        vars(self).update(held)
        if after := getattr(self, "__post_init__", None):
            after()

    def __repr__(self) -> str:
        shown = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)  # type: ignore[arg-type]
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to {name}: {type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete {name}: {type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash(_values(self))


def _values(one: Any) -> tuple[Any, ...]:
    held = vars(one)
    return tuple(held[name] for name in one.__record__.names)
