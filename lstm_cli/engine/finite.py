"""Where a run left the finite range.

That is the first value that is infinite or nan, though all that it was computed from is finite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.records import record
from lstm_cli.cell.equations import names_in
from lstm_cli.cell.weights import Direction, LstmWeights


class RunLayer(Protocol):
    """What a layer and direction of a trace has; `run` itself imports this file."""

    @property
    def layer(self) -> int: ...  # noqa: D102
    @property
    def direction(self) -> Direction: ...  # noqa: D102
    @property
    def weights(self) -> LstmWeights: ...  # noqa: D102
    @property
    def values(self) -> Mapping[str, Array]: ...  # noqa: D102
    @property
    def order(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def times(self) -> Sequence[int]: ...  # noqa: D102


@record
class NotFinite:
    """The first place of a sample's run that is not finite.

    Attributes:
        layer, direction: where it is.
        t: the input time, from 1; None for a parameter.
        symbol: a row of the cell, an input or a parameter.
        unit: from 0; the row of a matrix.
        value: what stands there: inf, -inf or nan.
        given: whether it is a number that was given and is too large for the type of the run.
        dtype: that type.
        sample: from 0; None if the run is not one of several samples.
        several: whether the run has more than one layer or direction.
    """

    layer: int
    direction: str
    t: int | None
    symbol: str
    unit: int
    value: float
    given: bool
    dtype: str
    sample: int | None
    several: bool

    @property
    def text(self) -> str:
        """A sentence, without the sample."""
        place = f"layer {self.layer} {self.direction}: " if self.several else ""
        place += f"{self.symbol}[{self.unit}]" + (f" at t = {self.t}" if self.t else "")
        if self.given:
            return f"{place} is beyond {self.dtype}"
        return f"{place} left the finite range of {self.dtype}: it is {self.value}"

    def as_record(self) -> dict[str, Any]:
        """The members of an element of `warnings` in JSON."""
        own = {} if self.sample is None else {"sample": self.sample}
        return own | {"layer": self.layer, "direction": self.direction, "t": self.t,
                      "symbol": self.symbol, "unit": self.unit, "message": self.text}  # fmt: skip


def not_finite(
    layers: Sequence[RunLayer], dtype: np.dtype[Any], given: Array | bool
) -> tuple[NotFinite, ...]:
    """The first place of each sample that is not finite, though what it came from is.

    "First" is by layer, direction, step as it was run, and row of the table.

    Args:
        layers: those of a trace.
        dtype: that of the run.
        given: `Trace.finite_inputs`.
    """
    if all(np.isfinite(each).all() for layer in layers for each in layer.values.values()):
        return ()
    found: dict[int, NotFinite] = {}
    lead = layers[0].values["h"].shape[:-2]
    # What is given is only ever lost by rounding it to a narrower type.
    narrow = (dtype != np.float64) & np.reshape(given, (-1, 1))
    for layer in layers:
        for sample, place in _of_layer(layer, dtype, narrow):
            if sample not in found:
                at = {} if lead else {"sample": None}
                found[sample] = NotFinite(
                    layer.layer, layer.direction, **{"sample": sample, **place, **at},
                    dtype=dtype.name, several=len(layers) > 1,
                )  # fmt: skip
    return tuple(found[sample] for sample in sorted(found))


def _of_layer(
    layer: RunLayer, dtype: np.dtype[Any], narrow: Array
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (sample, place) of the first that is not finite in each sample of a layer."""
    values = {
        symbol: array.reshape(-1, *array.shape[-2:])[:, list(layer.order)]
        for symbol, array in layer.values.items()
    }
    samples = len(values["h"])
    if lost := _lost_parameter(layer, dtype):
        yield from ((sample, lost) for sample in range(samples))
        return
    left = list(_masks(layer, values, narrow))
    places = np.stack([mask for _, _, mask in left], axis=-1).reshape(samples, -1)
    for sample in np.flatnonzero(places.any(axis=1)).tolist():
        step, row = divmod(int(places[sample].argmax()), len(left))
        symbol, given, _ = left[row]
        numbers = values[symbol][sample, step]
        unit = int(np.isfinite(numbers).argmin())
        yield sample, {
            "t": layer.times[layer.order[step]], "symbol": symbol, "unit": unit,
            "value": float(numbers[unit]), "given": given,
        }  # fmt: skip


def _masks(
    layer: RunLayer, values: Mapping[str, Array], narrow: Array
) -> Iterator[tuple[str, bool, Array]]:
    """Yield (symbol, whether it is given, `(N, T)`: whether it left the range), as in a step."""
    fine = {symbol: np.isfinite(each).all(axis=-1) for symbol, each in values.items()}
    # Rounding gives inf and never nan. An infinite state of a later step has its place before it.
    for symbol in ("x", "h_prev", "c_prev"):
        yield symbol, True, np.isinf(values[symbol]).any(axis=-1) & narrow
    for row in layer.weights.cell.equations:
        operands = [fine[name] for name in names_in(row.expression) if name in fine]
        known = np.all(operands or [fine["x"]], axis=0)
        yield row.symbol, False, ~fine[row.symbol] & known


def _lost_parameter(layer: RunLayer, dtype: np.dtype[Any]) -> dict[str, Any] | None:
    """A finite parameter that the type of the run cannot hold, as a place."""
    if dtype == np.float64:
        return None
    largest = float(np.finfo(dtype).max)
    for name, array in layer.weights.arrays.items():
        beyond = np.isfinite(array) & (np.abs(array) > largest)
        if beyond.any():
            unit = int(np.argwhere(beyond)[0][0])
            return {"t": None, "symbol": name, "unit": unit, "value": float("inf"), "given": True}
    return None
