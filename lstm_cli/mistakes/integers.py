"""Integers of a fixed-point port as expected values: exact in its arithmetic, or further off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.engine.fixed_point import beside, compare_symbols
from lstm_cli.engine.fixed_settings import FixedFormat, FixedSettings
from lstm_cli.engine.run import Trace
from lstm_cli.mistakes.expected import Expected, place_of, read_expected


def read_integers(
    expected: Mapping[str, Array], trace: Trace, settings: FixedSettings, place: str = ""
) -> tuple[Trace, Expected]:
    """Read a port's integers: the run to compare them with, and the expected values.

    The run is in the port's own arithmetic if that gives exactly these integers; otherwise it is
    the float run, with a tolerance of twice the largest error of such arithmetic on this run.

    Args:
        expected: as for `read_expected`, in raw integers.

    Raises:
        InputError: a number is not an integer, or is out of range for its format.
    """
    formats = {name: _format(name, trace, settings, place) for name in expected}
    reals = {name: _real(values, name, formats[name], place) for name, values in expected.items()}
    fixed = beside(trace, settings)
    half = {name: 0.5 * own.lsb for name, own in formats.items()}
    exact = read_expected(reals, fixed.reals, atol=half, place=place)
    if _equal(exact, fixed.reals):
        return fixed.reals, exact
    errors = {report.symbol: report.worst.error for report in compare_symbols(fixed)}
    allowed = {
        name: 2 * errors.get(place_of(name, trace.model, place).symbol, 0.0) + own.lsb
        for name, own in formats.items()
    }
    return trace, read_expected(reals, trace, atol=allowed, place=place)


def _format(name: str, trace: Trace, settings: FixedSettings, place: str) -> FixedFormat:
    there = place_of(name, trace.model, place)
    layer = trace.layers[there.runs[0]]
    return settings.format_of(there.symbol, layer.cell, layer.layer)


def _real(values: Array, name: str, own: FixedFormat, place: str) -> Array:
    given = values[~np.isnan(values)]
    if (given != np.round(given)).any():
        raise InputError(
            f"{safe(name)} has numbers that are not integers", where=place,
            hint="--fixed reads raw integers; leave it out for real numbers",
        )  # fmt: skip
    if given.size and (given.min() < own.low or given.max() > own.high):
        raise InputError(
            f"{safe(name)} has integers outside {own}: {own.low} to {own.high}", where=place,
            hint="is it in another format, or an accumulator before its shift?",
        )  # fmt: skip
    return values * own.lsb


def _equal(expected: Expected, trace: Trace) -> bool:
    pairs = ((vector, vector.ours(trace)) for vector in expected.vectors)
    return all(
        bool(np.all(np.isnan(vector.values) | (np.abs(ours - vector.values) <= vector.tolerance)))
        for vector, ours in pairs
    )
