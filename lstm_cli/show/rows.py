"""The parts of a run to show, independent of the output format: rows, chosen units and steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import UsageError, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.base.records import record
from lstm_cli.base.version import __version__
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Equation
from lstm_cli.cell.notation import INPUT_LABELS as INPUT_LABELS  # writers ask for it here
from lstm_cli.cell.notation import (
    LATEX,
    PLAIN,
    UNICODE,
    Notation,
    Style,
    suggest_symbol,
    write_definition,
    write_equation,
)
from lstm_cli.engine.run import INPUT_SYMBOLS, LayerTrace, Trace

# More steps than this are shown over time on a terminal, and the last one whole.
MANY_STEPS = 4
RowKind = Literal["given", "pre_activation", "state", "gate"]


if TYPE_CHECKING:
    from typing import Protocol, TypeVar

    from lstm_cli.engine.finite import NotFinite

    class Placed(Protocol):
        """What belongs to one layer and direction of a run."""

        @property
        def layer(self) -> int: ...  # noqa: D102
        @property
        def direction(self) -> str: ...  # noqa: D102

    Each = TypeVar("Each", bound=Placed)


@record
class Row:
    """One named value of one step: symbol, label, equation, numbers.

    `shown` and `equation` are in the style asked for; `equation` is "" for an input. `values`
    may be a matrix, which has names of its columns. What has no units of the layer stays whole.
    """

    symbol: str
    shown: str
    label: Foreign
    equation: str
    values: Array
    columns: Sequence[str] = ()
    whole: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether `--unit` leaves every number."""
        return self.whole or self.values.ndim > 1


@record
class View:
    """What to show and how.

    Attributes:
        notation: joined or split.
        digits: decimals in tables.
        units: the chosen units as text, "" for all (or a summary if there are many).
        at: the chosen steps as text, "" for those that fit.
        layer: the chosen layer, from 0; None for all.
        direction: the chosen direction, "" for both.
        symbols: the chosen rows and inputs, () for all.
        terms: how many products of a sum are worked out one by one.
        widest: the size of the longest vector, which bounds the choice of units; shorter vectors
            show those units that they have.
        target: the name of the output file, "" for stdout.
    """

    notation: Notation = "joined"
    digits: int = 6
    units: str = ""
    at: str = ""
    widest: int = 0
    target: str = ""
    layer: int | None = None
    direction: str = ""
    symbols: tuple[str, ...] = ()
    terms: int = 8

    @property
    def chooses(self) -> bool:
        """Whether the view is limited to some layers, directions or rows."""
        return self.layer is not None or bool(self.direction or self.symbols)

    def covers(self, layer: int, direction: str) -> bool:
        """Whether a layer and direction are among those chosen."""
        return self.layer in (None, layer) and self.direction in ("", direction)

    def shows(self, symbol: str) -> bool:
        """Whether a row or input, or the gradient of one, is among those chosen."""
        return not self.symbols or symbol in self.symbols or (
            symbol.removeprefix("d_") in self.symbols
        )  # fmt: skip


@lru_cache(maxsize=64)  # a long run needs the same rows at every step
def equation_text(cell: Cell, style: Style, notation: Notation) -> dict[str, tuple[str, str]]:
    """Return symbol -> (symbol, right-hand side) in a style, for every row of a cell."""
    return {row.symbol: write_equation(row, style, notation) for row in cell.equations}


def step_rows(each: LayerTrace, t: int, view: View, style: Style) -> list[Row]:
    """Return the rows of input time `t` (from 1) of an unbatched trace, inputs first."""
    values = each.at(t)
    told = {symbol: (style.name(symbol), label, "") for symbol, label in INPUT_LABELS.items()}
    for row in each.cell.equations:
        shown, right = equation_text(each.cell, style, view.notation)[row.symbol]
        told[row.symbol] = (shown, row.label, right)
    return [
        Row(symbol, shown, Foreign.of(label), right, values[symbol])
        for symbol, (shown, label, right) in told.items()
        if view.shows(symbol)
    ]


def row_kind(symbol: str, given: bool) -> RowKind:
    """Return what kind of a row a symbol names, which has a colour of its own."""
    if given:
        return "given"
    if symbol.startswith("z_"):
        return "pre_activation"
    return "state" if symbol in ("c", "h") else "gate"


def run_title(trace: Trace) -> str:
    """Return what is run, in one line."""
    facts = [trace.model.cell.name, *run_facts(trace)]
    if trace.engine != "table":
        facts.append(f"engine {trace.engine}")
    return " · ".join(facts)


def run_facts(trace: Trace) -> list[str]:
    """Return the sizes of a run, where its weights are from, and its dtype."""
    first = trace.model.first
    sizes = f"I = {first.input_size}, H = {first.hidden_size}"
    if first.output_size != first.hidden_size:
        sizes += f", P = {first.output_size}"
    convention = f" ({trace.model.convention})" if trace.model.convention else ""
    facts = [sizes, f"weights {trace.model.source}{convention}", trace.dtype.name]
    if len(trace.layers) > 1:
        facts.insert(0, f"{len(trace.model.layers)} layers, {len(trace.layers)} runs")
    return facts


def last_step(each: LayerTrace) -> int:
    """Return the input time of the step that is computed last."""
    return each.order[-1] + 1


def place_of(each: LayerTrace, t: int, trace: Trace) -> str:
    """Return `step 3 of 5`, with layer and direction where there are several."""
    where = f"layer {each.layer} {each.direction}, " if len(trace.layers) > 1 else ""
    return f"{where}step {each.times[t - 1]} of {each.input_steps}"


def definitions(cell: Cell, style: Style = PLAIN) -> list[str]:
    """Definitions of the cell's functions, except well-known ones."""
    return [text for name in cell.functions if (text := write_definition(name, style))]


def equation_records(
    rows: Iterable[Equation], written: Callable[[Style], Mapping[str, tuple[str, str]]]
) -> list[dict[str, str]]:
    """Return the JSON form of equations, given both sides of each symbol's in a style."""
    plain, pretty, latex = map(written, (PLAIN, UNICODE, LATEX))
    return [
        {
            "symbol": row.symbol,
            "label": row.label,
            "text": plain[row.symbol][1],
            "unicode": " = ".join(pretty[row.symbol]),
            "latex": " = ".join(latex[row.symbol]),
        }
        for row in rows
    ]


# Units or steps as Python arguments.
Choice: TypeAlias = int | str | Iterable[int] | None


def view_from(
    unit: Choice, at: Choice, only: str | Iterable[str], layer: int | None, direction: str,
    notation: Notation, digits: int,
) -> View:  # fmt: skip
    """Make a view, not yet checked, from Python arguments named like the options.

    Raises:
        UsageError: not an address, or a part given twice.
    """
    from lstm_cli.base.address import Address, parse_addresses

    own = Address(layer, direction, units=_choice_text(unit), times=_choice_text(at))
    text = only if isinstance(only, str) else ",".join(only)
    place, symbols = parse_addresses(text, "--only")
    place = own.joined(place, "--only")
    return View(
        notation, digits, place.units, place.times, layer=place.layer, direction=place.direction,
        symbols=symbols,
    )  # fmt: skip


def _choice_text(given: Choice) -> str:
    """Return a choice in the syntax of `--unit` and `--at`."""
    if given is None or isinstance(given, str):
        return given or ""
    return ",".join(map(str, given)) if isinstance(given, Iterable) else str(given)


def chosen_units(view: View, size: int) -> list[int]:
    """Return the units of a vector of `size` that `--unit` selects."""
    if not view.units:
        return list(range(size))
    from lstm_cli.base.address import choose  # where a choice is made

    units = choose(view.units, view.widest or size, "--unit")
    return [unit for unit in units if unit < size]


class ValueLine(NamedTuple):
    """A vector, or a row of a matrix, with its numbers as text under the columns."""

    shown: str
    label: Foreign
    equation: str
    numbers: Sequence[str]


def value_lines(rows: Sequence[Row], view: View) -> tuple[Sequence[int], list[ValueLine]]:
    """Return the columns' units, and a line a vector; a matrix has its equation on a line first."""
    widest = max(row.values.shape[-1] for row in rows)
    whole = any(row.is_whole for row in rows)
    units = range(widest) if whole else chosen_units(view, widest)
    lines = []
    for row in rows:
        if row.values.ndim == 1:
            numbers = _numbers(row, row.values, units, view)
            lines.append(ValueLine(row.shown, row.label, row.equation, numbers))
            continue
        lines.append(ValueLine(row.shown, row.label, row.equation, [""] * len(units)))
        lines += [ValueLine(f"{row.shown}[{place}]", row.label, "", _numbers(row, v, units, view))
                  for place, v in enumerate(row.values)]  # fmt: skip
    return units, lines


def _numbers(row: Row, values: Array, units: Sequence[int], view: View) -> list[str]:
    """Return the numbers of some units as text, "" for those that are not there or not chosen."""
    there = set(range(len(values)) if row.is_whole else chosen_units(view, len(values)))
    from lstm_cli.base.numbers import decimals  # JSON needs none

    return [decimals(values[unit], view.digits) if unit in there else "" for unit in units]


def strongest_unit(each: LayerTrace, t: int) -> int:
    """Return the unit with the largest |h| at input time `t`, shown if none is chosen."""
    return int(np.argmax(np.abs(each.values["h"][t - 1])))


def chosen_values(symbol: str, values: Array, view: View) -> Array:
    """Return the values of the selected units; x has inputs, not units, and is kept whole."""
    return values if symbol == "x" else values[..., chosen_units(view, values.shape[-1])]


def checked_view(view: View, trace: Trace, *, gradients: bool = False) -> View:
    """Check a view's choices against a run and return it with `widest` set.

    Args:
        view: the choices.
        trace: the run.
        gradients: whether gradients are shown, of parameters too.

    Raises:
        UsageError: no such layer, direction, symbol, unit or step; before anything is written.
    """
    chosen_steps(view, trace)
    return widened(view, trace, gradients=gradients)


def widened(view: View, trace: Trace, *, gradients: bool = False) -> View:
    """Return the view with its `widest`, which any block of a run tells.

    Raises:
        UsageError: as `checked_view`, but for steps.
    """
    layers = shown_layers(trace, view)
    check_symbols(view.symbols, trace, layers, gradients=gradients)
    widths = [(v.shape[-1], view.shows(symbol) or view.shows(f"d_{symbol}"))
              for each in layers for symbol, v in each.values.items()]  # fmt: skip
    widest = max((width for width, shown in widths if shown), default=max(widths)[0])
    view = replace(view, widest=int(widest))
    chosen_units(view, view.widest)
    return view


def shown_layers(trace: Trace, view: View) -> list[LayerTrace]:
    """Return the chosen layers and directions, in the order of the run.

    Raises:
        UsageError: the run has no such layer or direction.
    """
    count = len(trace.model.layers)
    if view.layer is not None and view.layer >= count:
        raise UsageError(
            f"--layer {view.layer} is outside 0 to {count - 1}: the run has "
            f"{count} layer{'s' * (count != 1)}", where="--layer",
            hint=f"--layer {count - 1}; --lstm {view.layer} loads another LSTM of a file",
        )  # fmt: skip
    chosen = shown_of(trace.layers, view)
    if not chosen:
        there = dict.fromkeys(each.direction for each in trace.layers)
        raise UsageError(
            f"the run has no {view.direction} direction", where="--direction",
            hint=f"--direction {' or '.join(there)}",
        )  # fmt: skip
    return chosen


def check_symbols(
    symbols: Iterable[str], trace: Trace, layers: Iterable[LayerTrace] = (), where: str = "--only",
    *, gradients: bool = False,
) -> None:  # fmt: skip
    """Check that the cell has or computes each of the symbols.

    Args:
        symbols: rows or inputs.
        trace: the run.
        layers: the layers to look in; () means all.
        where: the option that names them, for the message.
        gradients: whether gradients of them and of parameters are meant, `d_` before or not.

    Raises:
        UsageError: names the first unknown one, and the known symbols.
    """
    rows = dict.fromkeys(s for each in layers or trace.layers for s in each.cell.symbols)
    parameters = dict.fromkeys(p for each in trace.layers for p in each.weights.arrays)
    known = [*rows, *INPUT_SYMBOLS]
    split = [f"U_{name.removeprefix('W_')}" for name in parameters if name.startswith("W_")]
    others = [*parameters, *split, "output", "h_next", "c_next"] if gradients else []
    for symbol in symbols:
        if (symbol.removeprefix("d_") if gradients else symbol) not in (*known, *others):
            raise unknown_symbol(symbol, known, where)


def unknown_symbol(symbol: str, known: Iterable[str], where: str) -> UsageError:
    """The refusal of a symbol that is not among those known."""
    return UsageError(
        f"the cell does not compute '{safe(symbol)}'",
        where=where,
        hint=suggest_symbol(symbol, known),
    )


def chosen_steps(view: View, trace: Trace) -> set[int]:
    """Return the steps, from 1 in `trace.times`, that `--at` selects; all if it is not given."""
    return set(trace.chosen_steps(view.at or "all", "--at"))


def shown_of(layers: Iterable[Each], view: View) -> list[Each]:
    """The layers and directions that are chosen."""
    return [each for each in layers if view.covers(each.layer, each.direction)]


def shown_steps(trace: Trace, view: View, layers: Sequence[Each]) -> Iterator[tuple[Each, int]]:
    """Yield (layer, t) for the steps asked for, by layer, direction, then t.

    Args:
        trace: the run.
        view: which of its steps.
        layers: the trace's layers, or what stands for each of them.
    """
    wanted = sorted(chosen_steps(view, trace))
    for each in shown_of(layers, view):
        for t in wanted:
            yield each, t


def last_steps(trace: Trace, view: View, layers: Sequence[Each]) -> Iterator[tuple[Each, int]]:
    """Yield (layer, t) for the last step of each direction on top; arguments as `shown_steps`."""
    shown = shown_of(layers, view)
    ends = {(own.layer, str(own.direction)): last_step(own) for own in trace.layers}
    for each in shown:
        if each.layer == shown[-1].layer:
            yield each, ends[each.layer, each.direction]


def metadata(trace: Trace, notation: Notation, command: str) -> dict[str, Any]:
    """Return the JSON members that come before `steps`."""
    first, cell = trace.model.first, trace.model.cell
    document: dict[str, Any] = {
        "schema": "lstm-step/1",
        "command": command,
        "version": __version__,
        "cell": cell.name,
        "dtype": trace.dtype.name,
        "engine": trace.engine,
        "input_size": first.input_size,
        "hidden_size": first.hidden_size,
        "output_size": first.output_size,
        "weights": {"source": trace.model.source, "convention": trace.model.convention},
        "assumptions": list(trace.assumptions),
        # A run's stand at its end: of a long one the head is written first.
        **(warned(trace.warnings) if command != "run" else {}),
        "equations": equation_records(
            cell.equations, lambda style: equation_text(cell, style, notation)
        ),
    }
    if words := definitions(cell):
        document["definitions"] = words
    return document


def warned(warnings: Iterable[NotFinite]) -> dict[str, Any]:
    """Return the JSON member for a run that left the finite range; nothing for others."""
    records = [each.as_record() for each in warnings]
    return {"warnings": records} if records else {}


PLACE = ("layer", "direction", "t", "symbol")


class DataLine(NamedTuple):
    """One named vector of a run.

    Attributes:
        layer, direction, t: where it is; `t` is "" for what is summed over time.
        symbol: its name.
        label: ready for a cell of a spreadsheet.
        equation: "" for what is given.
        units: what each number is called in the columns of CSV.
        numbers: as text.
        row: the row of a matrix that it is.
    """

    layer: int
    direction: str
    t: int | str
    symbol: str
    label: str
    equation: str
    units: Sequence[Any]
    numbers: Sequence[str]
    row: int | None = None


def shortest_texts(numbers: Iterable[Any]) -> list[str]:
    """Return what `plain_list` gives as text: the shortest that reads back, NaN and Infinity."""
    return [str(number).removesuffix(".0") for number in numbers]


def plain_head(*numbers: str) -> str:
    """Return the heads of a TSV, those of numbers at its end."""
    return "\t".join((*PLACE, "name", "equation", *numbers)) + "\n"


def plain_line(line: DataLine) -> str:
    """Return a vector as a line of TSV."""
    layer, direction, t, symbol, label, equation, _, numbers, row = line
    if row is not None:
        symbol = f"{symbol}[{row}]"
    return "\t".join((str(layer), direction, str(t), symbol, label, equation, *numbers)) + "\n"


def csv_head(*numbers: str) -> str:
    """Return the heads of a CSV, those of numbers at its end."""
    return ",".join((*PLACE, "unit", *numbers)) + "\n"


def csv_lines(line: DataLine) -> str:
    """Return the numbers of a vector as lines of CSV."""
    layer, direction, t, symbol, _, _, units, numbers, _ = line
    start = f"{layer},{direction},{t},{symbol},"
    pairs = zip(units, numbers, strict=True)
    return "".join([f"{start}{unit},{number}\n" for unit, number in pairs])
