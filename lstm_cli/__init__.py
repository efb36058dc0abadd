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

from lstm_cli.base.version import __version__ as __version__

if TYPE_CHECKING:  # `as` says that the name is public
    from lstm_cli.base.errors import ArgumentError as ArgumentError
    from lstm_cli.base.errors import CellError as CellError
    from lstm_cli.base.errors import InputError as InputError
    from lstm_cli.base.errors import LstmStepError as LstmStepError
    from lstm_cli.base.errors import OutputError as OutputError
    from lstm_cli.base.errors import ShapeError as ShapeError
    from lstm_cli.base.errors import UsageError as UsageError
    from lstm_cli.cell.cells import Cell as Cell
    from lstm_cli.cell.presets import preset_model as preset_model
    from lstm_cli.cell.weights import Layer as Layer
    from lstm_cli.cell.weights import LstmWeights as LstmWeights
    from lstm_cli.cell.weights import Model as Model
    from lstm_cli.commands.batch.work import batch as batch
    from lstm_cli.commands.convert.conversion import Conversion as Conversion
    from lstm_cli.commands.convert.conversion import convert as convert
    from lstm_cli.commands.explain.explanation import Explanation as Explanation
    from lstm_cli.commands.explain.explanation import explain as explain
    from lstm_cli.commands.grade.gradebook import grade as grade
    from lstm_cli.commands.grade.show import Gradebook as Gradebook
    from lstm_cli.commands.inspect.inspection import Inspection as Inspection
    from lstm_cli.commands.inspect.inspection import inspect as inspect
    from lstm_cli.commands.report.making import report as report
    from lstm_cli.commands.vet.show import Suite as Suite
    from lstm_cli.commands.vet.vetting import vet as vet
    from lstm_cli.engine.grad import Gradients as Gradients
    from lstm_cli.engine.grad import grad as grad
    from lstm_cli.engine.run import LayerTrace as LayerTrace
    from lstm_cli.engine.run import Trace as Trace
    from lstm_cli.engine.run import run as run
    from lstm_cli.engine.run import step as step
    from lstm_cli.files.cell_files import read_cell as read_cell
    from lstm_cli.formats.read import model_from_arrays as model_from_arrays
    from lstm_cli.formats.read import read_weights as read_weights
    from lstm_cli.mistakes.diagnosis import Diagnosis as Diagnosis
    from lstm_cli.mistakes.diagnosis import diagnose as diagnose

# Module -> the public names that it defines.
_NAMES = {
    "base.errors": (
        "ArgumentError CellError InputError LstmStepError OutputError ShapeError UsageError"
    ),
    "cell.cells": "Cell",
    "cell.presets": "preset_model",
    "cell.weights": "Layer LstmWeights Model",
    "commands.batch.work": "batch",
    "commands.convert.conversion": "Conversion convert",
    "commands.explain.explanation": "Explanation explain",
    "commands.grade.gradebook": "grade",
    "commands.grade.show": "Gradebook",
    "commands.inspect.inspection": "Inspection inspect",
    "commands.report.making": "report",
    "commands.vet.show": "Suite",
    "commands.vet.vetting": "vet",
    "engine.grad": "Gradients grad",
    "engine.run": "LayerTrace Trace run step",
    "files.cell_files": "read_cell",
    "formats.read": "model_from_arrays read_weights",
    "mistakes.diagnosis": "Diagnosis diagnose",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted([*_HOME, "__version__"])
_HOME["backward"] = "engine.grad"  # deprecated: the former name of `grad`


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lstm_cli' has no attribute '{name}'")
    return getattr(import_module(f"lstm_cli.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
