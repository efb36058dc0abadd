"""Exercises: numbers short enough for paper, the sheet with its key, and a sample to grade against.

A sheet has what is given, each row's equation, and blanks for the answers. The equations come from
the cell's table, the numbers from the run; `grade` reads the template that goes with the sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import LstmStepError, UsageError
from lstm_cli.base.numbers import counted, fixed
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.cells import Settings as CellSettings
from lstm_cli.cell.notation import Notation, is_matrix
from lstm_cli.cell.presets import preset_model
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.engine.run import LayerTrace, Trace, run
from lstm_cli.samples import Sample, read_sample
from lstm_cli.samples.models import sample_trace
from lstm_cli.samples.settings import SampleSettings
from lstm_cli.show.rows import definitions, equation_text
from lstm_cli.show.sheets import WRITERS, Writer

# A wider or taller matrix is not printed.
MOST_COLUMNS = 14
MOST_ROWS = 12
# Units side by side in a table.
UNITS_A_TABLE = 5


@dataclass(frozen=True)
class Task:
    """What a sheet asks for, and how it looks.

    Attributes:
        ask: the names asked for: `f`, `h`, or `layer0_forward_f` in a stack.
        kind: "text", "markdown" or "latex".
        digits: decimals of the answers.
        notation: joined or split.
        source: where to find weights too large for the sheet.
    """

    ask: tuple[str, ...]
    kind: str = "text"
    digits: int = 4
    notation: Notation = "joined"
    source: str = ""


def askable(trace: Trace) -> dict[str, str]:
    """Names that can be asked for, as an answer's columns have them -> symbols."""
    return {name: symbol for each in trace.layers for symbol, name in _names(trace, each).items()}


def _names(trace: Trace, each: LayerTrace) -> dict[str, str]:
    """Return symbol -> the name of its columns."""
    place = f"layer{each.layer}_{each.direction}_" if len(trace.layers) > 1 else ""
    return {symbol: place + symbol for symbol in each.cell.symbols}


def sheet(trace: Trace, task: Task, *, with_key: bool = False) -> Iterator[str]:
    """Yield the sheet; `with_key` adds the key on a page of its own."""
    writer = WRITERS[task.kind]()
    yield writer.begin(_title(trace, writer))
    yield from _given(trace, task, writer)
    yield from _cells(trace, task, writer)
    yield writer.heading("To compute")
    yield writer.paragraph(
        f"Fill in each number to {task.digits} decimals; carry more on the way. "
        "Units are numbered from 0."
    )
    yield from _tables(trace, task, writer, filled=False)
    if with_key:
        yield writer.page_break()
        yield from _key(trace, task, writer)
    yield writer.end()


def key(trace: Trace, task: Task) -> Iterator[str]:
    """Yield the key as a document of its own."""
    writer = WRITERS[task.kind]()
    yield writer.begin(_title(trace, writer))
    yield from _key(trace, task, writer)
    yield writer.end()


def _key(trace: Trace, task: Task, writer: Writer) -> Iterator[str]:
    yield writer.heading("Key")
    yield writer.paragraph("Every row of the cell, also what is not asked for.")
    yield from _tables(trace, task, writer, filled=True)


def _title(trace: Trace, writer: Writer) -> str:
    steps = "One LSTM step" if trace.steps == 1 else f"{trace.steps} LSTM steps"
    name = trace.model.cell.name
    return steps if name == "lstm" else f"{steps} ({writer.escape(name)})"


# ---- what is given


def _given(trace: Trace, task: Task, writer: Writer) -> Iterator[str]:
    first = trace.model.first
    yield writer.heading("Given")
    sizes = f"{counted(first.input_size, 'input')}, {counted(first.hidden_size, 'unit')}"
    if first.output_size != first.hidden_size:
        sizes += f", {counted(first.output_size, 'output')}"
    yield writer.paragraph(f"{sizes}." if len(trace.layers) == 1 else f"In layer 0: {sizes}.")
    x, given_h, given_c = trace.inputs
    name = writer.style.name("x")
    several = trace.steps > 1
    inputs = [(_at_time(name, t) if several else name, row) for t, row in enumerate(x, 1)]
    if len(trace.layers) > 1:
        yield writer.arrays(inputs)
    for each, h, c in zip(trace.layers, given_h, given_c, strict=True):
        names = (_before(writer.style.name(f"{state}_prev"), several) for state in "hc")
        states = list(zip(names, (h, c), strict=True))
        if len(trace.layers) > 1:
            yield writer.heading(_place(each).capitalize())
            yield from _reads(trace, each, writer)
            yield writer.arrays(states)
        else:
            yield writer.arrays(inputs + states)
        yield from _weights(each, task, writer)


def _at_time(shown: str, t: int) -> str:
    """Return `x_3` for `x_t`."""
    return shown.replace("_t", f"_{t}" if t < 10 else f"_{{{t}}}")


def _before(shown: str, several: bool) -> str:
    """Return the name of the state before the first of several steps: `h_0` for `h_{t−1}`."""
    return shown.replace("{t−1}", "0").replace("{t-1}", "0") if several else shown


def _place(each: LayerTrace) -> str:
    return f"layer {each.layer}, {each.direction}"


def _reads(trace: Trace, each: LayerTrace, writer: Writer) -> Iterator[str]:
    """Say what the input of an upper layer is, and which way a backward layer goes."""
    h, x = (writer.math(writer.style.name(name)) for name in ("h", "x"))
    if each.layer:
        below = [own.direction for own in trace.layers if own.layer == each.layer - 1]
        joined = " (forward, then backward)" if len(below) > 1 else ""
        yield writer.paragraph(f"Here {x} is {h} of layer {each.layer - 1}{joined}.")
    if each.direction == "backward":
        yield writer.paragraph("This direction starts at the last step and goes back to the first.")


def _weights(each: LayerTrace, task: Task, writer: Writer) -> Iterator[str]:
    """Yield the parameters, grouped by gate."""
    arrays = _shown_parameters(each, task.notation)
    shapes = [np.atleast_2d(array).shape for array in arrays.values()]
    if any(rows > MOST_ROWS or columns > MOST_COLUMNS for rows, columns in shapes):
        yield writer.paragraph(f"The weights are in {writer.escape(task.source)}.")
        return
    groups: dict[str, list[tuple[str, Array]]] = {}
    for name, array in arrays.items():
        groups.setdefault(name.partition("_")[2], []).append((writer.style.name(name), array))
    for group in groups.values():
        yield writer.arrays(group)


def _shown_parameters(each: LayerTrace, notation: Notation) -> dict[str, Array]:
    """Return the parameters for a notation: `W_k` whole, or split into `U_k` and `W_k`."""
    arrays = dict(each.weights.arrays)
    if notation == "split":
        wide = each.weights.output_size
        for name in [name for name in arrays if is_matrix(name) and name != "W_hr"]:
            joined = arrays[name]
            if joined.shape[1] == wide + each.weights.input_size:
                arrays |= {name: joined[:, wide:], "U" + name[1:]: joined[:, :wide]}
    return arrays


# ---- the cell


def _cells(trace: Trace, task: Task, writer: Writer) -> Iterator[str]:
    cells = list(dict.fromkeys(each.cell for each in trace.layers))
    for cell in cells:
        where = [_place(each) for each in trace.layers if each.cell is cell]
        yield writer.heading("The cell" if len(cells) == 1 else f"The cell of {'; '.join(where)}")
        written = equation_text(cell, writer.style, task.notation)
        yield writer.equations(
            [(writer.escape(row.label or row.symbol), " = ".join(written[row.symbol]))
             for row in cell.equations]
        )  # fmt: skip
        yield writer.paragraph(" ".join(_reading(cell, task, writer)))
        for text in definitions(cell, writer.style):
            yield writer.paragraph(writer.math(text))


def _reading(cell: Cell, task: Task, writer: Writer) -> Iterator[str]:
    """Yield a sentence on each symbol that a beginner may not know."""
    style = writer.style
    if task.notation == "joined":
        h, x = (writer.math(style.name(name)) for name in ("h_prev", "x"))
        joined = writer.math(f"[{style.name('h_prev')}, {style.name('x')}]")
        yield f"{joined} is one vector: {h}, and {x} behind it."
    yield f"{writer.math(style.operators['*'].strip())} multiplies unit by unit."
    if "sigmoid" in cell.functions:
        yield f"{writer.math(style.functions['sigmoid'])} is the logistic function."


# ---- blanks and key


def _tables(trace: Trace, task: Task, writer: Writer, *, filled: bool) -> Iterator[str]:
    for each in trace.layers:
        names = _names(trace, each)
        symbols = [s for s in each.cell.symbols if filled or names[s] in task.ask]
        for t in each.order if symbols else ():
            if len(trace.layers) > 1 or trace.steps > 1:
                where = f"{_place(each)}, " if len(trace.layers) > 1 else ""
                yield writer.paragraph(f"{where}step {t + 1}:".capitalize())
            rows = {symbol: each.values[symbol][t] for symbol in symbols}
            yield from _step_tables(each.cell, rows, task, writer, filled)


def _step_tables(
    cell: Cell, rows: dict[str, Array], task: Task, writer: Writer, filled: bool
) -> Iterator[str]:
    widest = max(len(values) for values in rows.values())
    for start in range(0, widest, UNITS_A_TABLE):
        units = range(start, min(start + UNITS_A_TABLE, widest))
        yield writer.table(
            ["", "", *(f"unit {unit}" for unit in units)],
            [
                [
                    writer.math(writer.style.name(symbol)),
                    writer.escape(cell[symbol].label),
                    *(_cell(values, unit, task, writer, filled) for unit in units),
                ]
                for symbol, values in rows.items()
            ],
        )


def _cell(values: Array, unit: int, task: Task, writer: Writer, filled: bool) -> str:
    if unit >= len(values):
        return ""
    if not filled:
        return writer.blank
    text = fixed(values[unit], task.digits)
    return writer.math(text) if task.kind == "latex" else text


# ---- the template for answers


def template(trace: Trace, ask: Sequence[str]) -> Iterator[str]:
    """Yield the CSV for the answers: a header and one empty row."""
    columns = ["name", *_columns(trace, ask)]
    yield ",".join(columns) + "\n"
    yield "," * (len(columns) - 1) + "\n"


def _columns(trace: Trace, ask: Sequence[str]) -> Iterator[str]:
    """Yield `f_0`, `f_1`, …, each with `@t` where there are several steps, step by step."""
    for each in trace.layers:
        for t in each.order:
            when = f"@{t + 1}" if trace.steps > 1 else ""
            for symbol, name in _names(trace, each).items():
                size = each.values[symbol].shape[-1] if name in ask else 0
                yield from (f"{name}_{unit}{when}" for unit in range(size))


# ---- numbers short enough for paper


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

    def change(_: int, weights: LstmWeights) -> LstmWeights:
        arrays = {name: np.round(array, decimals) for name, array in weights.arrays.items()}
        return replace(weights, arrays=arrays)

    note = f"weights and vectors are rounded to {counted(decimals, 'decimal')}"
    model = trace.model.with_weights(change)
    model = replace(model, assumptions=(*model.assumptions, note))
    x, *given = trace.inputs
    h, c = ([np.round(state, decimals) for state in states] for states in given)
    return run(model, np.round(x, decimals), h, c)


# ---- the sample to grade against


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
