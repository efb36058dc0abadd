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
    from lstm_cli.base.errors import (
        ArgumentError,
        CellError,
        InputError,
        LstmStepError,
        OutputError,
        ShapeError,
        UsageError,
    )
    from lstm_cli.cell.cells import Cell
    from lstm_cli.cell.presets import preset_model
    from lstm_cli.cell.weights import Layer, LstmWeights, Model
    from lstm_cli.commands.batch.evaluate import batch
    from lstm_cli.commands.convert.conversion import Conversion, convert
    from lstm_cli.commands.explain.explanation import Explanation, explain
    from lstm_cli.commands.grade.gradebook import grade
    from lstm_cli.commands.grade.show import Gradebook
    from lstm_cli.commands.inspect.inspection import Inspection, inspect
    from lstm_cli.commands.report.making import report
    from lstm_cli.commands.vet.show import Suite
    from lstm_cli.commands.vet.vetting import vet
    from lstm_cli.engine.grad import Gradients, grad
    from lstm_cli.engine.run import LayerTrace, Trace, run, step
    from lstm_cli.files.cell_files import read_cell
    from lstm_cli.formats.read import model_from_arrays, read_weights
    from lstm_cli.mistakes.diagnosis import Diagnosis, diagnose

_HOME = {
    "ArgumentError": "base.errors",
    "Cell": "cell.cells",
    "CellError": "base.errors",
    "Conversion": "commands.convert.conversion",
    "Diagnosis": "mistakes.diagnosis",
    "Explanation": "commands.explain.explanation",
    "Gradebook": "commands.grade.show",
    "Gradients": "engine.grad",
    "InputError": "base.errors",
    "Inspection": "commands.inspect.inspection",
    "Layer": "cell.weights",
    "LayerTrace": "engine.run",
    "LstmStepError": "base.errors",
    "LstmWeights": "cell.weights",
    "Model": "cell.weights",
    "OutputError": "base.errors",
    "ShapeError": "base.errors",
    "Suite": "commands.vet.show",
    "Trace": "engine.run",
    "UsageError": "base.errors",
    "backward": "engine.grad",  # deprecated: the former name of `grad`
    "batch": "commands.batch.evaluate",
    "convert": "commands.convert.conversion",
    "diagnose": "mistakes.diagnosis",
    "explain": "commands.explain.explanation",
    "grad": "engine.grad",
    "grade": "commands.grade.gradebook",
    "inspect": "commands.inspect.inspection",
    "model_from_arrays": "formats.read",
    "preset_model": "cell.presets",
    "read_cell": "files.cell_files",
    "read_weights": "formats.read",
    "report": "commands.report.making",
    "run": "engine.run",
    "step": "engine.run",
    "vet": "commands.vet.vetting",
}

__all__ = [
    "ArgumentError",
    "Cell",
    "CellError",
    "Conversion",
    "Diagnosis",
    "Explanation",
    "Gradebook",
    "Gradients",
    "InputError",
    "Inspection",
    "Layer",
    "LayerTrace",
    "LstmStepError",
    "LstmWeights",
    "Model",
    "OutputError",
    "ShapeError",
    "Suite",
    "Trace",
    "UsageError",
    "__version__",
    "batch",
    "convert",
    "diagnose",
    "explain",
    "grad",
    "grade",
    "inspect",
    "model_from_arrays",
    "preset_model",
    "read_cell",
    "read_weights",
    "report",
    "run",
    "step",
    "vet",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lstm_cli' has no attribute '{name}'")
    return getattr(import_module(f"lstm_cli.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
