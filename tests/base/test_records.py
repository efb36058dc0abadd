"""Records: what a frozen dataclass does, a record does."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any

import pytest

from lstm_cli.base.records import record, value_record


@value_record
class Ours:
    """A record with every kind of field."""

    a: int
    b: str = "b"
    c: list[int] = field(default_factory=list)
    d: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "d", self.a + 1)


@dataclass(frozen=True)
class Theirs:
    """The same as a dataclass."""

    a: int
    b: str = "b"
    c: list[int] = field(default_factory=list)
    d: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "d", self.a + 1)


@record
class Alone:
    """A record that equals itself alone, with its own text."""

    a: Any

    def __repr__(self) -> str:
        return "alone"


GIVEN: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}), ((1, "x", [2]), {}), ((), {"a": 1, "c": [3]}), ((1,), {"b": "y"}),
]  # fmt: skip


@pytest.mark.parametrize(("values", "named"), GIVEN)
def test_a_record_is_a_frozen_dataclass(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Values, defaults, text, fields, copies with changes, pickles and matches are the same."""
    ours, theirs = Ours(*values, **named), Theirs(*values, **named)
    assert vars(ours) == vars(theirs)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert [each.name for each in fields(ours)] == [each.name for each in fields(theirs)]
    assert vars(replace(ours, a=7)) == vars(replace(theirs, a=7))
    assert pickle.loads(pickle.dumps(ours)) == ours == copy.deepcopy(ours)
    match ours:
        case Ours(a, b):
            assert (a, b) == (theirs.a, theirs.b)


WRONG: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "a is missing"), ((1, "x", [], 4), {}, "takes 3 values, 4 were given"),
    ((1,), {"a": 1}, "a is given twice"), ((1,), {"e": 1}, "e is given twice or unknown"),
    ((1,), {"d": 1}, "d is given twice or unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "named", "said"), WRONG)
def test_what_does_not_fit_is_a_type_error(
    values: tuple[Any, ...], named: dict[str, Any], said: str
) -> None:
    """Too few, too many and unknown values are refused, as a dataclass refuses them."""
    with pytest.raises(TypeError, match=said):
        Ours(*values, **named)
    with pytest.raises(TypeError):
        Theirs(*values, **named)


def test_nothing_can_be_changed() -> None:
    """Fields can be neither set nor deleted, and a default list is each record's own."""
    one, other = Ours(1), Ours(1)
    for change in (lambda: setattr(one, "a", 2), lambda: delattr(one, "a")):
        with pytest.raises(FrozenInstanceError):
            change()
    assert one.c is not other.c


def test_equality_is_of_values_only_where_asked_for() -> None:
    """A value record equals and hashes by its values; another equals itself alone."""
    assert Ours(1) == Ours(1) != Ours(2)
    assert Ours(1) != Theirs(1)
    assert Alone(1) != Alone(1)
    assert len({Alone(1), Alone(1)}) == 2
    assert repr(Alone(1)) == "alone"


def test_a_hash_is_of_the_values() -> None:
    """Two value records of the same values are one key; a list in one has no hash, as ever."""

    @value_record
    class Key:
        """A key."""

        a: int
        b: tuple[str, ...] = ()

    assert {Key(1, ("x",)): 5}[Key(1, ("x",))] == 5
    with pytest.raises(TypeError, match="unhashable"):
        hash(Ours(1))
