"""The small runs behind the pages, computed on demand, and their command lines."""

from __future__ import annotations

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import shortest
from lstm_cli.cell.presets import preset_model, sizes_of
from lstm_cli.commands.explain.glossary.word import Example, Rows, Word
from lstm_cli.engine.run import Trace, run


def trace_of(word: Word) -> Trace:
    """Run the example of a word that has one."""
    example = _example_of(word)
    x, h, c = np.array(example.x), _state(example.h), _state(example.c)
    sizes = sizes_of(x, h, c)
    model = preset_model(example.preset, word.table, sizes=sizes, seed=example.seed)
    return run(model, x, h, c)


def command_of(word: Word) -> str:
    """Return the command line that shows the run of a word's example."""
    example = _example_of(word)
    options: dict[str, object] = {
        "--h": _row(example.h),
        "--c": _row(example.c),
        "--x": _rows(example.x),
        "--cell": word.cell,
        "--preset": example.preset if example.preset != "identity" else "",
        "--seed": example.seed or "",
        "--forget-bias": _number(word.settings.forget_bias),
        "--clip": _number(word.settings.clip),
        "--cell-clip": _number(word.settings.cell_clip),
        "--at": "all" if len(example.x) > 1 else "",
    }
    given = [f"{option} {value}" for option, value in options.items() if value != ""]
    return " ".join(["lstm-step", *given])


def _example_of(word: Word) -> Example:
    assert word.example is not None
    return word.example


def _state(numbers: tuple[float, ...]) -> Array | None:
    return np.array(numbers) if numbers else None


def _number(value: float | None) -> str:
    return "" if value is None else shortest(value)


def _row(numbers: tuple[float, ...]) -> str:
    return ",".join(shortest(each) for each in numbers)


def _rows(rows: Rows) -> str:
    text = ";".join(map(_row, rows))
    return f'"{text}"' if ";" in text else text
