"""What the live comparisons share: seeded numbers, and one way to hold ours against theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.engine.run import LayerTrace, Trace, run

N, T, I, H, P = 2, 5, 3, 4, 2
FINALS = ("h", "c")
GATES = ("z_i", "z_f", "z_g", "z_o", "i", "f", "g", "o")

# (framework, allowed) -> how many arrays were compared, the largest difference, where it was
MARGINS: dict[tuple[str, float], tuple[int, float, str]] = {}


def draw(seed: int, *shape: int, dtype: Any = np.float64, scale: float = 1.0) -> Array:
    """Return distinct numbers of either sign, none near zero, in ±[0.05, 0.95] times `scale`."""
    generator = np.random.default_rng([seed, *shape])
    count = int(np.prod(shape))
    sizes = 0.05 + 0.9 * (generator.permutation(count) + generator.uniform(0.1, 0.9, count)) / count
    signs = generator.choice([-1.0, 1.0], count)
    return (scale * signs * sizes).reshape(shape).astype(dtype)


@dataclass(frozen=True, eq=False)
class Case:
    """An input and initial states: x (N, T, I), h0 (L·D, N, P), c0 (L·D, N, H)."""

    x: Array
    h0: Array
    c0: Array

    @classmethod
    def drawn(
        cls, seed: int, *, inputs: int = I, hidden: int = H, output: int = 0, places: int = 1,
        steps: int = T, dtype: Any = np.float64,
    ) -> Case:  # fmt: skip
        """Return random numbers for `places` layers and directions."""
        return cls(
            draw(seed, N, steps, inputs, dtype=dtype),
            draw(seed + 1, places, N, output or hidden, dtype=dtype),
            draw(seed + 2, places, N, hidden, dtype=dtype, scale=1.5),
        )

    def run(self, model: Model, dtype: Any = np.float64) -> Trace:
        """Return our run of it."""
        return run(model, self.x, self.h0, self.c0, dtype=dtype)


@dataclass(frozen=True, eq=False)
class Theirs:
    """What a framework computed.

    Attributes:
        output: the last layer's h over input time, (N, T, D·P).
        h, c: final states of every layer and direction, (L·D, N, ·), in the order of `Model.runs`.
        gates: symbol -> (N, T, H) of the first layer's first direction, where it tells.
    """

    output: Array
    h: Array
    c: Array
    gates: Mapping[str, Array] = field(default_factory=dict)


def assert_same(trace: Trace, theirs: Theirs, atol: float, framework: str) -> None:
    """Hold every number that a framework gave against ours, absolutely."""
    assert_near("output", trace.output, theirs.output, atol, framework)
    for symbol in FINALS:
        finals = getattr(theirs, symbol)
        assert len(finals) == len(trace.layers)
        for each, final in zip(trace.layers, finals, strict=True):
            place = f"{symbol} of layer {each.layer} {each.direction}"
            assert_near(place, each.final(symbol), final, atol, framework)
    for symbol, values in theirs.gates.items():
        assert_near(symbol, trace.layers[0].values[symbol], values, atol, framework)


def assert_same_layer(trace: LayerTrace, output: Array, atol: float, framework: str) -> None:
    """Hold one layer's h over input time against a framework's."""
    assert_near(f"output of layer {trace.layer}", trace.values["h"], output, atol, framework)


def assert_near(what: str, ours: Array, theirs: Any, atol: float, framework: str) -> None:
    """Hold numbers against a framework's: `atol` is for numbers up to 1, and in proportion above."""
    theirs = np.asarray(theirs, dtype=np.float64)
    assert ours.shape == theirs.shape, what
    worst = float(np.max(np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))))
    count, before, place = MARGINS.get((framework, atol), (0, 0.0, what))
    MARGINS[framework, atol] = (count + 1, max(before, worst), what if worst > before else place)
    assert worst <= atol, f"{what} differs by {worst:.2e}, allowed is {atol:.0e}"


def named(package: str) -> str:
    """Return a package and its version, as a margin is listed under."""
    return f"{package} {version(package).split('+')[0]}"


def stacked(*layers: Mapping[str, LstmWeights]) -> Model:
    """Return a model of layers, each direction -> weights."""
    return Model(tuple(Layer(layer) for layer in layers))  # type: ignore[arg-type] # keys are directions


def rounded(weights: LstmWeights) -> LstmWeights:
    """Return the same weights in numbers that float32 holds."""
    arrays = {name: array.astype(np.float32) for name, array in weights.arrays.items()}
    return LstmWeights(weights.cell, arrays, weights.source)
