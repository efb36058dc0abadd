"""Addresses: one way to name a place in a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_cli.base.address import DIRECTIONS, EXAMPLE, Address, choose, parse_address
from lstm_cli.base.errors import UsageError
from lstm_cli.commands._options import ChoiceOptions


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("layer1.backward.f[3]@7", Address(1, "backward", "f", "3", "7")),
        ("layer0", Address(layer=0)),
        ("backward", Address(direction="backward")),
        ("h", Address(symbol="h")),
        ("layer2.c_prev", Address(2, symbol="c_prev")),
        ("forward.z_f@last", Address(direction="forward", symbol="z_f", times="last")),
        ("[0:3]", Address(units="0:3")),
        ("@1,4:6", Address(times="1,4:6")),
        ("output[0,2]@2", Address(symbol="output", units="0,2", times="2")),
        ("layered", Address(symbol="layered")),
    ],
)
def test_any_part_may_be_left_out(text: str, address: Address) -> None:
    """Each part is known by its form, and the address is written as it was read."""
    assert parse_address(text, "--only") == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", ".", "f.", "f.h", "backward.layer1", "layer1.backward.f.", "f[", "f]", "f[3", "f[]", "f@",
     "@", "f@7[3]", "f [3]", "layer-1", "1", "f[3]x", "layer1..f", "forward.forward", "f=3"],
)  # fmt: skip
def test_what_is_no_address_is_pointed_at(text: str) -> None:
    """A wrong address is refused, with a caret and the form of a right one."""
    with pytest.raises(UsageError) as refused:
        parse_address(text, "--only")
    assert "layer1.backward.f[3]@7" in refused.value.hint
    assert "^" in refused.value.where


@given(
    st.builds(
        Address,
        st.none() | st.integers(0, 99),
        st.sampled_from(["", *DIRECTIONS]),
        st.sampled_from(["", "h", "z_f", "u2", "h_prev"]),
        st.sampled_from(["", "0", "1:4", "all"]),
        st.sampled_from(["", "1", "last", "2:3,5"]),
    ).filter(lambda each: each != Address())
)
def test_what_is_written_is_read_again(address: Address) -> None:
    """Every address reads back as itself."""
    assert parse_address(str(address), "--only") == address


def test_advice_on_a_choice_lies_inside_the_range() -> None:
    """What is proposed for a number out of range exists."""
    with pytest.raises(UsageError) as refused:
        choose("9", 2, "--unit")
    assert refused.value.lines.what == "--unit: '9' is outside 0 to 1"
    assert refused.value.lines.hint.startswith("--unit 1,")
    with pytest.raises(UsageError) as refused:
        choose("5", 3, "--at", first=1)
    assert refused.value.lines.hint.startswith("--at 3,")


def test_help_shows_the_example_of_an_address() -> None:
    """The help of --only, written out so that a start needs no addresses, has the one example."""
    declared: object = vars(ChoiceOptions)["__options__"]["only"].settings["help"]
    assert EXAMPLE in str(declared)
