"""Exercises: numbers short enough for a sheet of paper, and runs as files to grade against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import LstmStepError, UsageError
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.cells import Settings as CellSettings
from lstm_cli.cell.presets import preset_model
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.engine.run import Trace, run
from lstm_cli.samples import Sample, read_sample
from lstm_cli.samples.models import sample_trace
from lstm_cli.samples.settings import SampleSettings


def _short(generator: np.random.Generator, shape: tuple[int, ...], most: float = 0.9) -> Array:
    """Return random numbers of one decimal up to `most`; a zero would hide mistakes."""
    sizes = generator.integers(1, round(10 * most) + 1, shape) / 10
    return np.asarray(sizes * generator.choice([-1.0, 1.0], shape))


def fresh_model(cell: Cell, sizes: Mapping[str, int], seed: int) -> Model:
    """Return a model of one layer with random weights of one decimal.

    Args:
        cell: the table.
        sizes: I and H, and P where the cell projects.
        seed: the same one gives the same exercise.
    """
    shapes = preset_model("zeros", cell, sizes=sizes).first.arrays
    generator = np.random.default_rng(seed)
    arrays = {name: _short(generator, array.shape) for name, array in shapes.items()}
    source = f"exercise (seed {seed})"
    return Model.single(LstmWeights(cell, arrays, source), source=source)


def fresh_vectors(model: Model, steps: int, seed: int) -> tuple[Array, Array, Array]:
    """Return x `(T, I)` and the states' rows h, c `(L·D, n)`, random with one decimal."""
    generator = np.random.default_rng([seed, 1])
    x = _short(generator, (steps, model.input_size))
    widths = [(w.output_size, w.hidden_size) for _, _, w in model.runs]
    h, c = (np.array([_short(generator, (each[k],), most) for each in widths])
            for k, most in enumerate((0.9, 1.5)))  # fmt: skip
    return x, h, c


def rounded(trace: Trace, decimals: int) -> Trace:
    """Return the run of the same model with all that is given rounded to so many decimals."""
    layers = tuple(
        Layer(
            {
                direction: LstmWeights(
                    weights.cell,
                    {name: np.round(array, decimals) for name, array in weights.arrays.items()},
                    weights.source,
                )
                for direction, weights in layer.directions.items()
            }
        )
        for layer in trace.model.layers
    )
    note = f"weights and vectors are rounded to {decimals} decimals"
    model = Model(layers, trace.model.source, trace.model.convention,
                  (*trace.model.assumptions, note))  # fmt: skip
    x, h, c = given(trace)
    return run(model, *(np.round(each, decimals) for each in (x, h, c)))


def given(trace: Trace) -> tuple[Array, Array, Array]:
    """Inputs of an unbatched run: x `(T, I)` and the rows of the states h and c."""
    starts = [
        [each.values[name][0 if each.direction == "forward" else -1] for each in trace.layers]
        for name in ("h_prev", "c_prev")
    ]
    return trace.layers[0].values["x"], np.array(starts[0]), np.array(starts[1])


def as_sample(trace: Trace, name: str, cell: str, settings: CellSettings) -> dict[str, Any]:
    """Return a run as a sample that stands alone: its weights are in it.

    Args:
        trace: the run, unbatched.
        name: its id.
        cell: as `--cell` names it; "" is the LSTM.
        settings: what was added to the cell.

    Raises:
        UsageError: a run that no such sample gives: several layers, a cell of a file's own.
    """
    x, h, c = given(trace)
    document: dict[str, Any] = {"id": name, "x": x.tolist(), "h": h.tolist(), "c": c.tolist()}
    if cell:
        document["cell"] = str(Path(cell).resolve()) if cell.lower().endswith(".toml") else cell
    if any("W_" + k in trace.model.first.arrays for k in "figo"):
        document["convention"] = "joined"
    extra = {key: getattr(settings, key) for key in ("forget_bias", "clip", "cell_clip")}
    extra["activations"] = settings.activations or None
    document |= {key: value for key, value in extra.items() if value is not None}
    document["weights"] = {k: array.tolist() for k, array in trace.model.first.arrays.items()}
    if not _gives(document, trace):
        raise UsageError(
            "this run cannot be kept as a sample of its own", where="--save",
            hint="grade with the same options and --grade: see `lstm-step diagnose --help`",
        )  # fmt: skip
    return document


def _gives(document: dict[str, Any], trace: Trace) -> bool:
    """Whether a sample, read again, gives the very same run."""
    try:
        sample = read_sample(document, "", Path(), "")
        if not isinstance(sample, Sample):
            return False
        again = sample_trace(sample, SampleSettings())
    except LstmStepError:
        return False
    return len(trace.layers) == 1 and all(
        symbol in again.layers[0].values and np.array_equal(values, again.layers[0].values[symbol])
        for symbol, values in trace.layers[0].values.items()
    )
