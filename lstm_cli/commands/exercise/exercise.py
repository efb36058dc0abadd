"""Exercises: numbers short enough for paper, and runs as files to grade against."""

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
    """Return random numbers with one decimal up to `most`; a zero would hide mistakes."""
    sizes = generator.integers(1, round(10 * most) + 1, shape) / 10
    return np.asarray(sizes * generator.choice([-1.0, 1.0], shape))


def fresh_model(cell: Cell, sizes: Mapping[str, int], seed: int) -> Model:
    """Return a model of one layer whose random weights have one decimal.

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
    """Run the same model with its weights and inputs rounded to so many decimals."""
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
    note = f"weights and vectors are rounded to {decimals} decimal{'s' * (decimals != 1)}"
    model = Model(layers, trace.model.source, trace.model.convention,
                  (*trace.model.assumptions, note))  # fmt: skip
    x, *given = trace.inputs
    h, c = ([np.round(state, decimals) for state in states] for states in given)
    return run(model, np.round(x, decimals), h, c)


def as_sample(trace: Trace, name: str, cell: str, settings: CellSettings) -> dict[str, Any]:
    """Return a run as a self-contained sample, weights included.

    Args:
        trace: the run, unbatched.
        name: its id.
        cell: as `--cell` names it; "" is the LSTM.
        settings: additions to the cell.

    Raises:
        UsageError: no such sample can give this run: several layers, or a file's own cell.
    """
    x, h, c = trace.inputs
    document: dict[str, Any] = {"id": name, "x": x.tolist()}
    document |= {"h": [each.tolist() for each in h], "c": [each.tolist() for each in c]}
    if cell:
        document["cell"] = str(Path(cell).resolve()) if cell.lower().endswith(".toml") else cell
    document["convention"] = "joined"
    extra = {key: getattr(settings, key) for key in ("forget_bias", "clip", "cell_clip")}
    extra["activations"] = settings.activations or None
    document |= {key: value for key, value in extra.items() if value is not None}
    document["weights"] = {k: array.tolist() for k, array in trace.model.first.arrays.items()}
    if not _gives(document, trace):
        del document["convention"]  # anybody's table has its own names, which are no layout
    if "convention" not in document and not _gives(document, trace):
        raise UsageError(
            "this run cannot be kept as a sample of its own", where="--save",
            hint="grade with the same options: lstm-step grade --x … --weights … ANSWERS.csv",
        )  # fmt: skip
    return document


def _gives(document: dict[str, Any], trace: Trace) -> bool:
    """Whether a sample, read back, gives exactly the same run."""
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
