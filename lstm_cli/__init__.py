"""lstm-step: the reference calculator for the LSTM.

    from lstm_cli import read_weights, run
    trace = run(read_weights("model.npz"), x)      # x (T, I)
    trace["f"], trace.h, trace.c                   # every named value is kept

The names below are the public API; they load when first used, so that `lstm-step --help` starts
without numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lstm_cli.version import __version__

if TYPE_CHECKING:
    from lstm_cli.backpropagation import Gradients, backward
    from lstm_cli.cell_files import read_cell
    from lstm_cli.cells import Cell
    from lstm_cli.diagnosis import Diagnosis, diagnose
    from lstm_cli.engine import Trace, run, step
    from lstm_cli.errors import LstmStepError
    from lstm_cli.presets import preset_model
    from lstm_cli.readers import model_from_arrays, read_weights
    from lstm_cli.weights import Layer, LstmWeights, Model

_HOME = {
    "Cell": "cells",
    "Diagnosis": "diagnosis",
    "Gradients": "backpropagation",
    "Layer": "weights",
    "LstmStepError": "errors",
    "LstmWeights": "weights",
    "Model": "weights",
    "Trace": "engine",
    "backward": "backpropagation",
    "diagnose": "diagnosis",
    "model_from_arrays": "readers",
    "preset_model": "presets",
    "read_cell": "cell_files",
    "read_weights": "readers",
    "run": "engine",
    "step": "engine",
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
    "backward",
    "diagnose",
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
