"""Colours of numbers: the same in every picture, readable by anybody."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_cli.show.colours import NOT_FINITE, RAMPS, Scale, ink_on, mix, scale_of


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.1 of `#rrggbb`."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_a_share_grows_lighter_so_that_it_reads_in_grey() -> None:
    """The ramp of gates is one of growing luminance: it needs no colour vision at all."""
    lights = [luminance(colour) for colour in RAMPS["share"]]
    assert lights == sorted(lights)


def test_a_sign_is_blue_or_orange_and_its_size_darkness() -> None:
    """Zero is the lightest; both ends are dark; red never stands against green."""
    lights = [luminance(colour) for colour in RAMPS["signed"]]
    assert lights[:5] == sorted(lights[:5])
    assert lights[4:] == sorted(lights[4:], reverse=True)
    assert all(int(c[5:7], 16) >= int(c[1:3], 16) for c in RAMPS["signed"][:4])
    assert all(int(c[1:3], 16) >= int(c[5:7], 16) for c in RAMPS["signed"][5:])


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.0, 0.25, 1.0], Scale("share", 0.0, 1.0)),
        ([-0.5, 0.25], Scale("signed", -1.0, 1.0)),
        ([-3.5, 2.0], Scale("signed", -3.5, 3.5)),
        ([0.0, 7.0], Scale("signed", -7.0, 7.0)),
        ([float("nan"), 0.5], Scale("share", 0.0, 1.0)),
        ([float("inf")], Scale("share", 0.0, 1.0)),
    ],
)
def test_scales_are_the_same_for_gates_of_any_run(values: list[float], scale: Scale) -> None:
    """0 … 1 for shares, -1 … 1 for what has a sign, and the largest number beyond that."""
    assert scale_of(np.array(values)) == scale


def test_a_state_has_a_sign_also_where_it_is_positive() -> None:
    """Zero is white in every picture of x, c, h, the candidate and the pre-activations."""
    for symbol in ("x", "h_prev", "c_prev", "g", "c", "h", "z_f", "z_g"):
        assert scale_of(np.array([0.0, 0.5]), symbol) == Scale("signed", -1.0, 1.0)
    assert scale_of(np.array([0.0, 0.5]), "f") == Scale("share", 0.0, 1.0)


def test_ends_and_middle_are_the_ramps_own() -> None:
    """What lies outside a scale takes its end, what is no number a colour that no ramp has."""
    scale = Scale("signed", -2.0, 2.0)
    assert [scale.colour(v) for v in (-9, -2, 0, 2, 9)] == [
        "#08306b", "#08306b", "#f7f7f7", "#7f2704", "#7f2704"
    ]  # fmt: skip
    assert scale.colour(float("nan")) == NOT_FINITE
    assert Scale("signed", -1.7e308, 1.7e308).colour(0.0) == "#f7f7f7"
    assert mix(("#000000", "#0a0a0a"), 0.5) == (5, 5, 5)


@pytest.mark.parametrize("ramp", RAMPS)
def test_text_on_a_colour_can_be_read(ramp: str) -> None:
    """Ink on any colour has the contrast of 4.5 that WCAG 2.1 asks for."""
    for place in np.linspace(0, 1, 101):
        colour = "#{:02x}{:02x}{:02x}".format(*mix(RAMPS[ramp], float(place)))
        bright, dark = sorted((luminance(colour), luminance(ink_on(colour))), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5
