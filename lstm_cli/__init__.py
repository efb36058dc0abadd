"""lstm-step: the reference calculator for the LSTM.

    from lstm_cli import read_weights, run
    trace = run(read_weights("model.npz"), x)      # x (T, I)
    trace["f"], trace.h, trace.c                   # every named value is kept

The names below are the public API. They are loaded on first use, so that `lstm-step --help` does
not import NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lstm_cli.base.version import __version__

if TYPE_CHECKING:
    from lstm_cli.base.errors import LstmStepError
    from lstm_cli.cell.cells import Cell
    from lstm_cli.cell.presets import preset_model
    from lstm_cli.cell.weights import Layer, LstmWeights, Model
    from lstm_cli.engine.grad import Gradients, grad
    from lstm_cli.engine.run import Trace, run, step
    from lstm_cli.files.cell_files import read_cell
    from lstm_cli.formats.read import model_from_arrays, read_weights
    from lstm_cli.mistakes.diagnosis import Diagnosis, diagnose

_HOME = {
    "Cell": "cell.cells",
    "Diagnosis": "mistakes.diagnosis",
    "Gradients": "engine.grad",
    "Layer": "cell.weights",
    "LstmStepError": "base.errors",
    "LstmWeights": "cell.weights",
    "Model": "cell.weights",
    "Trace": "engine.run",
    "backward": "engine.grad",  # deprecated: the former name of `grad`
    "diagnose": "mistakes.diagnosis",
    "grad": "engine.grad",
    "model_from_arrays": "formats.read",
    "preset_model": "cell.presets",
    "read_cell": "files.cell_files",
    "read_weights": "formats.read",
    "run": "engine.run",
    "step": "engine.run",
}

__all__ = [
    "Cell",
    "Diagnosis",
    "Gradients",
    "Layer",
    "LstmStepError",
    "LstmWeights",
    "Model",
    "Trace",
    "__version__",
    "diagnose",
    "grad",
    "model_from_arrays",
    "preset_model",
    "read_cell",
    "read_weights",
    "run",
    "step",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lstm_cli' has no attribute '{name}'")
    return getattr(import_module(f"lstm_cli.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
