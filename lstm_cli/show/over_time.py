"""A run over time, before it is drawn: the symbols, units and steps, and the notes on them.

Shared by the picture (`pictures`) and the strip on a terminal (`strip`), so that both show the
same numbers in the same colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, UsageError
from lstm_cli.base.numbers import significant, typeset
from lstm_cli.cell.notation import UNICODE, Style
from lstm_cli.cell.roles import pre_activations
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace, Trace
from lstm_cli.show.colours import Scale, scale_of
from lstm_cli.show.rows import (
    INPUT_LABELS,
    View,
    check_symbols,
    checked_view,
    chosen_steps,
    chosen_units,
    shown_layers,
)

USUAL = ("f", "i", "g", "o", "c", "h")
# A custom table with at most this many rows is shown in full.
FEW_ROWS = 8


@dataclass(frozen=True, eq=False)
class Course:
    """One symbol of one layer and direction over time.

    Attributes:
        layer: its number, from 0.
        direction: "forward" or "backward".
        symbol: as in the table.
        label: its description; foreign text for a custom table.
        values: `(T, n)` at the chosen steps and units.
        units: numbers of the n units.
        steps: the T input times, counted from 1.
        scale: colour scale over all of the symbol's values in the run.
        of: total number of units.
        chosen_for: the symbol whose movement chose the units; "" if all are shown or the user
            chose.
    """

    layer: int
    direction: str
    symbol: str
    label: str
    values: Array
    units: tuple[int, ...]
    steps: tuple[int, ...]
    scale: Scale
    of: int
    chosen_for: str = ""


def courses(trace: Trace, view: View, *, most: int = 0, fewer: int = 0) -> list[Course]:
    """Courses of a run to draw, by layer, direction, then symbol.

    Args:
        trace: a run of one sequence.
        view: selects units, steps and symbols; () means the cell's gates and states.
        most: maximum number of units, 0 for no limit; if there are more, those that move most are
            taken.
        fewer: how many are then taken; 0 means `most`.

    Raises:
        InputError: the run has batch axes.
        UsageError: no layer has the symbol, or units or steps do not exist.
    """
    if trace.layers[0].values["h"].ndim != 2:
        raise InputError(
            "a run of many samples has no single course over time",
            where=f"{trace.layers[0].values['h'].shape[0]} samples",
            hint="draw one at a time: --sample 0, or run(model, x[0])",
        )
    view = checked_view(view, trace)
    wanted = shown_symbols(trace, view.symbols)
    scales = {symbol: _scale(trace, symbol) for symbol in wanted}
    steps = tuple(sorted(chosen_steps(view, trace)))
    every = [
        _course(trace, each, symbol, view, steps, scales[symbol], (most, fewer or most))
        for each in shown_layers(trace, view)
        for symbol in wanted
        if symbol in each.values
    ]
    drawn = [each for each in every if each.units]  # h has fewer units if it is projected
    if not drawn:
        raise UsageError(
            f"{', '.join(wanted)}: no such units", where="--unit", hint="use lower numbers, or all"
        )
    return drawn


def shown_symbols(trace: Trace, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the requested symbols, or the gates and states in table order.

    A table whose gates have other names is shown in full if it is small.

    Raises:
        UsageError: no layer has such a row or input.
    """
    rows = dict.fromkeys(s for each in trace.layers for s in each.cell.symbols)
    check_symbols(asked, trace)
    if asked:
        return tuple(dict.fromkeys(asked))
    sums = {symbol for each in trace.layers for symbol in pre_activations(each.cell)}
    named = [symbol for symbol in rows if symbol not in sums]
    if len(named) <= FEW_ROWS:
        return tuple(named)
    return tuple(symbol for symbol in rows if symbol in USUAL)


def _scale(trace: Trace, symbol: str) -> Scale:
    parts = [each.values[symbol].ravel() for each in trace.layers if symbol in each.values]
    return scale_of(np.concatenate(parts), symbol)


def _course(
    trace: Trace,
    each: LayerTrace,
    symbol: str,
    view: View,
    steps: tuple[int, ...],
    scale: Scale,
    limits: tuple[int, int],
) -> Course:
    whole = each.values[symbol]
    size, by = whole.shape[-1], ""
    # x has inputs, not units: --unit does not apply to it.
    given = bool(view.units) and symbol != "x"
    units = chosen_units(view, size) if given else list(range(size))
    if limits[0] and len(units) > limits[0] and not given:
        # The same units for all gates and layers, so that a unit can be followed through them.
        alike = [s for s in ("c", "h") if each.values[s].shape[-1] == size and symbol != "x"]
        by = (*alike, symbol)[0]
        there = [other.values[by] for other in trace.layers if by in other.values]
        units = busiest([values for values in there if values.shape[-1] == size], limits[1])
    values = whole[np.array(steps) - 1][:, units]
    label = INPUT_LABELS[symbol] if symbol in INPUT_SYMBOLS else each.cell[symbol].label
    times = tuple(each.times[t - 1] for t in steps)
    return Course(
        each.layer, each.direction, symbol, label, values, tuple(units), times, scale, size, by
    )


def busiest(runs: Iterable[Array], count: int) -> list[int]:
    """Return the `count` units that move most over time in any of `runs (T, n)`, in order.

    For a single step, the largest ones.
    """
    moved = np.max([_movement(values) for values in runs], axis=0)
    order = np.argsort(-moved, kind="stable")[:count]
    return sorted(int(unit) for unit in order)


def _movement(values: Array) -> Array:
    finite = np.where(np.isfinite(values), values, 0.0)
    with np.errstate(over="ignore"):
        return np.asarray(np.ptp(finite, axis=0) if len(finite) > 1 else np.abs(finite[0]))


def binned(values: Array, most: int) -> tuple[Array, int]:
    """Average `values (T, n)` into at most `most` bins of steps; also return the size of a bin."""
    size = -(-len(values) // most)
    if size == 1:
        return values, 1
    starts = np.arange(0, len(values), size)
    counts = np.diff([*starts, len(values)])
    with np.errstate(all="ignore"):  # non-finite values stay so, and have their own colour
        return np.add.reduceat(values, starts, axis=0) / counts[:, None], size


def notes(drawn: Iterable[Course], size: int, style: Style = UNICODE) -> list[str]:
    """Notes on a drawing: units left out, steps averaged.

    Args:
        drawn: the courses drawn.
        size: how many steps each column averages.
        style: how symbols are written.
    """
    said = [f"each column is the mean of {size} steps"] if size > 1 else []
    for each in drawn:
        if each.chosen_for:
            name = style.name(each.chosen_for)
            how = "moves most" if len(each.steps) > 1 else "is largest"
            what = "inputs" if each.symbol == "x" else "units"
            said.append(f"{len(each.units)} of {each.of} {what}, those whose {name} {how}")
    return list(dict.fromkeys(said))


def by_scale(drawn: Iterable[Course]) -> dict[Scale, list[str]]:
    """Return scale -> the symbols that use it."""
    used: dict[Scale, list[str]] = {}
    for each in drawn:
        if each.symbol not in used.setdefault(each.scale, []):
            used[each.scale].append(each.symbol)
    return used


def short(value: float) -> str:
    """Format a number to at most three digits, for the end of a scale."""
    return typeset(significant(value))


def ticks(labels: Sequence[int], most: int) -> list[int]:
    """Return the positions of about `most` ticks in `labels`, increasing integers.

    They are at the first label and round ones: 1, 50, 100, …; or all, if there are few.
    """
    if len(labels) <= most:
        return list(range(len(labels)))
    apart = _round_up(max(1, -(-(labels[-1] - labels[0]) // max(most, 1))))
    places = [0]
    for place, label in enumerate(labels):
        near = label - labels[places[-1]]
        if label % apart == 0 and near >= (apart / 2 if places == [0] else apart):
            places.append(place)
    return places


def _round_up(number: int) -> int:
    """Round a number up to the next of 1, 2, 5, 10, 20, 50 and so on."""
    tens = int(10 ** (len(str(number)) - 1))
    return next(f * tens for f in (1, 2, 5, 10) if f * tens >= number)
