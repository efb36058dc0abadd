"""Options shared by several commands, and what they mean."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from lstm_cli.base.errors import UsageError
from lstm_cli.base.foreign import safe, say, shell_word
from lstm_cli.commands._declared import differing, option, options

if TYPE_CHECKING:
    from rich.console import Console

    from lstm_cli.base.address import Address
    from lstm_cli.cell.cells import Cell, Settings
    from lstm_cli.cell.weights import Model
    from lstm_cli.samples.settings import SampleSettings
    from lstm_cli.show.answer import Answer
    from lstm_cli.show.rows import View

# Choices, which Typer lists in the help of an option.
Dtype = Literal["float64", "float32"]
Engine = Literal["auto", "table", "numpy", "numba", "fast"]
NotationName = Literal["joined", "split"]
Side = Literal["forward", "backward"]
Color = Literal["auto", "always", "never"]
Merge = Literal["concat", "sum", "mul", "ave"]


def complete_cell() -> list[str]:
    """Complete the values of --cell."""
    from lstm_cli.cell.cells import VARIANTS

    return ["lstm", *VARIANTS]


def complete_preset() -> list[str]:
    """Complete the values of --preset."""
    from lstm_cli.cell.presets import PRESETS

    return list(PRESETS)


def complete_convention() -> list[str]:
    """Complete the values of --convention."""
    from lstm_cli.formats.conventions import CONVENTIONS

    return list(CONVENTIONS)


@options("Weights")
class LayoutOptions:
    """How a weight file is read: which LSTM in it, and its layout."""

    lstm: str = option(
        "--lstm",
        "-l",
        default="",
        metavar="NAME",
        help="The LSTM in the file, by name or number from 0; see `inspect`.",
    )
    convention: str = option(
        "--convention",
        default="",
        metavar="NAME",
        autocompletion=complete_convention,
        help="The weights' layout, if their names do not tell; see `list conventions`.",
    )
    gates: str = option(
        "--gates", default="", metavar="ORDER",
        help="The order in which gates are stacked, such as igfo, in any layout.",
    )  # fmt: skip
    transpose: bool = option(
        "--transpose",
        default=False,
        help="Matrices are the other way round than the layout has them.",
    )
    joined: Literal["hx", "xh"] | None = option(
        "--joined", default=None, help="The order of inputs in joined matrices: [h, x] or [x, h]."
    )
    external: bool = option(
        "--allow-external-data", default=False, help="Let an ONNX model read files next to it."
    )

    @property
    def layout(self) -> str:
        """The layout that is named or described by hand, "" for what the file tells."""
        from lstm_cli.formats.conventions import ByHand

        gates = self.gates.replace(",", "").replace(" ", "")
        return ByHand(gates, self.transpose, self.joined or "").named(self.convention)

    def read(self, path: str, cell: CellOptions) -> Model:
        """Read the selected weights from a file or URL; errors as `read_weights`."""
        from lstm_cli.files.remote import at_hand, place_of
        from lstm_cli.formats.read import read_weights

        place = place_of(path)
        with at_hand(place, place) as near:
            return read_weights(
                near, lstm=self.lstm, cell=cell.named(), convention=self.layout or None,
                edit=cell.edit, external=self.external,
            )  # fmt: skip


@options("Weights")
class WeightFile:
    """A weight file and how it is read."""

    weights: str = option(
        "--weights",
        "-w",
        default="",
        metavar="FILE",
        help="Weights from any framework; see `list formats`.",
    )
    layout: LayoutOptions = LayoutOptions()
    merge: Merge | None = option(
        "--merge",
        default=None,
        help="How two directions make the output, where not as the file says: concat, sum, mul, "
        "ave.",
    )

    def read(self, cell: CellOptions) -> Model:
        """Return the model; errors as `LayoutOptions.read`, and as `Model` where it merges."""
        model = self.layout.read(self.weights, cell)
        return replace(model, merge=self.merge or model.merge)

    def sample_settings(self, cell: CellOptions, **others: Any) -> SampleSettings:
        """Settings for samples without settings of their own; `others` as for SampleSettings.

        Raises:
            UsageError: `--allow-external-data` without `--weights`: it does not apply to the
                weight files of samples.
            LstmStepError: as `read_weights`.
        """
        from lstm_cli.samples.settings import SampleSettings

        if self.layout.external and not self.weights:
            raise UsageError(
                "--allow-external-data has no effect without --weights",
                where="--allow-external-data", hint="give --weights, the only file it applies to",
            )  # fmt: skip

        model = self.read(cell) if self.weights else None
        return SampleSettings(
            model=model, weights=self.weights, lstm=self.layout.lstm, merge=self.merge,
            cell=cell.named(), adjusted=cell.settings(), convention=self.layout.layout,
            external=self.layout.external, **others,
        )  # fmt: skip


@options("Weights")
class PresetOptions:
    """Weights by name, and their sizes and seed."""

    preset: str = option(
        "--preset",
        "-p",
        default="",
        metavar="NAME",
        autocompletion=complete_preset,
        help="Preset weights: identity (the default), random, …; see `list presets`.",
    )
    seed: int = option("--seed", default=0, min=0, metavar="N", help="The seed of preset random.")
    hidden_size: int = option(
        "--hidden-size", default=0, min=0, metavar="SIZE", help="Hidden size H, if not implied."
    )
    output_size: int = option(
        "--output-size", default=0, min=0, metavar="SIZE", help="Output size P of a projection."
    )


@options("Cell")
class CellOptions:
    """The cell, and edits to it or to the cell of a weight file."""

    cell: str = option(
        "--cell",
        default="",
        metavar="NAME",
        autocompletion=complete_cell,
        help="lstm, peephole, peephole+projection, …, or your own table in FILE.toml; see "
        "`list cells`.",
    )
    forget_bias: float | None = option(
        "--forget-bias",
        default=None,
        metavar="NUMBER",
        help="Added to z_f at run time, as in TF1, Haiku and DyNet.",
    )
    clip: float | None = option(
        "--clip",
        default=None,
        metavar="LIMIT",
        help="Clip pre-activations to ±LIMIT, as in ONNX.",
    )
    cell_clip: float | None = option(
        "--cell-clip",
        default=None,
        metavar="LIMIT",
        help="Clip the cell state to ±LIMIT, as in TensorFlow.",
    )
    activations: str = option(
        "--activations",
        default="",
        metavar="GATE,CANDIDATE,OUTPUT",
        help="For example, 'hard_sigmoid(0.2,0.5),tanh,tanh'; see `list activations`.",
    )

    def settings(self) -> Settings:
        """The edits, as a cell's settings."""
        from lstm_cli.cell.cells import Settings

        return Settings(self.forget_bias, self.clip, self.cell_clip, self.activations)

    def named(self) -> Cell | None:
        """Return the named cell without edits; None if no cell is named."""
        if not self.cell:
            return None
        from lstm_cli.files.cell_files import read_cell

        return read_cell(self.cell)

    def edit(self, cell: Cell) -> Cell:
        """Apply the options to a cell; errors as `cells.Settings.edit`."""
        return self.settings().edit(cell)

    def own_cell(self) -> Cell | None:
        """Return the named cell, or the LSTM, with the edits; None without a name or an edit."""
        if self == CellOptions():
            return None
        from lstm_cli.cell.cells import LSTM

        return self.edit(self.named() or LSTM)


@options("Numbers")
class NumberOptions:
    """Number type of a run.

    Attributes:
        narrow: whether the command runs in float32 too.
    """

    narrow: bool = True
    dtype: Dtype = option(
        "--dtype",
        default="float64",
        help="float32 computes each row in float64 and rounds it.",
        hidden=lambda own: not own.narrow,
    )


@options("Numbers")
class EngineOptions:
    """The engine that computes the numbers."""

    engine: Engine = option(
        "--engine",
        default="auto",
        help="table: row by row; numpy, numba: fast code made from the table; fast: the faster "
        "of the two; auto: table for small runs and float32.",
    )


@options("Numbers")
class StrictOptions:
    """Whether a run that leaves the finite range has failed."""

    strict: bool = option(
        "--strict", default=False, help="Exit with 1 if finite numbers gave inf or nan."
    )


@options("Show")
class ChoiceOptions:
    """Which layers, steps, units and rows are shown; the whole run is computed."""

    layer: str = option("--layer", default="", metavar="LAYER", help="Only this layer, from 0.")
    direction: Side | None = option("--direction", default=None, help="Only this direction.")
    unit: str = option(
        "--unit", "-u", default="", metavar="UNITS", help="Only these units: 3, 0:8, 0,2,5."
    )
    at: str = option(
        "--at", default="", metavar="STEPS", help="Only these steps: 3, 1:10, last, all."
    )
    only: str = option(
        "--only", default="", metavar="SYMBOLS",
        help="Only these rows: z_f,f,c; or an address: layer1.backward.f[3]@7.",
    )  # fmt: skip

    def selection(self) -> tuple[Address, tuple[str, ...]]:
        """Return the chosen place and the symbols; () means all.

        Raises:
            UsageError: not a number, not an address, or a part given twice.
        """
        if (self.layer and not self.layer.isascii()) or not (self.layer or "0").isdecimal():
            raise UsageError(
                f"--layer is a number from 0, not '{self.layer}'", where="--layer",
                hint=f"--lstm {shell_word(self.layer)} loads the LSTM of that name; --layer 0 "
                "shows one layer of a stack",
            )  # fmt: skip
        from lstm_cli.base.address import Address, parse_addresses

        own = Address(
            int(self.layer) if self.layer else None, self.direction or "",
            units=self.unit, times=self.at,
        )  # fmt: skip
        place, symbols = parse_addresses(self.only, "--only")
        return own.joined(place, "--only"), symbols


@options("Show")
class NotationOptions:
    """How equations are written."""

    notation: NotationName = option(
        "--notation",
        default="joined",
        help="joined is W_f · [h, x]; split is W_f x + U_f h.",
    )


@options("Show")
class DigitOptions:
    """How many digits are shown."""

    digits: int | None = option(
        "--digits", "-d", default=6, min=0, max=17, metavar="N", help="Decimals in tables, 0 to 17."
    )

    def number(self, usual: int = 6) -> int:
        """Number of digits; `usual` if not given."""
        return usual if self.digits is None else self.digits


@options("Show")
class ViewOptions:
    """What part of a run is shown, and how."""

    choice: ChoiceOptions = ChoiceOptions()
    notation: NotationOptions = NotationOptions()
    digits: DigitOptions = DigitOptions()

    def view(self, target: str = "-") -> View:
        """The view, not yet checked against a run; `target` is where the output goes."""
        from lstm_cli.show.rows import View

        own = View(self.notation.notation, self.digits.number(),
                   target="" if target == "-" else target)  # fmt: skip
        if self.choice == ChoiceOptions():
            return own
        place, symbols = self.choice.selection()
        return replace(own, units=place.units, at=place.times, layer=place.layer,
                       direction=place.direction, symbols=symbols)  # fmt: skip


@options("Output")
class FormatOptions:
    """The format and destination of the output.

    Attributes:
        formats: those of the command, the default first.
        piped: the default if the output does not go to a terminal, if different.
        json_is: what --json means, unless the file's suffix decides.
    """

    formats: tuple[str, ...] = ()
    piped: str = ""
    json_is: str = "json"
    format_: str = option(
        "--format",
        "-f",
        default="",
        metavar="FORMAT",
        help=lambda own: f"{', '.join(own.formats)}.",
    )
    as_json: bool = option(
        "--json",
        default=False,
        help=lambda own: f"Same as -f {own.json_is}.",
        hidden=lambda own: own.json_is not in own.formats,
    )
    output: str = option(
        "--output", "-o", default="-", metavar="FILE", help="Write to FILE, whole or not at all."
    )

    def pick(self) -> str:
        """Return the output format; errors as `choose_format`."""
        from lstm_cli.files.output import choose_format

        first = self.formats[0]
        return choose_format(
            self.output, self.format_, self.as_json, self.formats, (first, self.piped or first),
            json_lines=self.json_is == "jsonl",
        )  # fmt: skip

    def say_written(self, chosen: str) -> None:
        """Print on stderr which format a file has if neither its name nor an option says so."""
        from lstm_cli.files.output import is_unnamed

        if not (self.format_ or self.as_json) and is_unnamed(self.output):
            say(f"{safe(self.output)}: written as {chosen}; -f or a suffix chooses another format")


@options("Output")
class ColorOptions:
    """When to use colour."""

    color: Color = option(
        "--color", default="auto", help="When to use colour; auto respects NO_COLOR."
    )

    def show(self, draw: Callable[[Console], None], output: str = "-") -> None:
        """Draw on the terminal; for a pipe or a file, draw into memory first.

        A file is then written completely or not at all, and lines lose their padding.

        Raises:
            OutputError: stdout or the file cannot be written.
        """
        import io

        from lstm_cli.files.output import write_out

        if output == "-" and sys.stdout.isatty():
            draw(make_console(self.color, sys.stdout))
            return
        encoding = "utf-8" if output != "-" else sys.stdout.encoding
        buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
        # The environment's settings are for terminals, not for files.
        in_file = output != "-" and self.color == "auto"
        draw(make_console("never" if in_file else self.color, buffer))
        buffer.seek(0)
        write_out([line.rstrip() + "\n" for line in buffer], output)


# The written forms of a document; the others are for terminals or programs.
WRITTEN = ("text", "markdown", "latex", "html")


def emit(
    answer: Answer,
    chosen: str,
    form: FormatOptions,
    color: ColorOptions,
    below: Callable[[Console], None] = lambda console: None,
) -> None:
    """Write an answer in the chosen form, or draw its page; errors as `ColorOptions.show`.

    Args:
        answer: what to write.
        chosen: the form; one that is neither data nor a written one is for terminals.
        form: where it goes.
        color: of what is drawn.
        below: what else is drawn, below the page.
    """
    if chosen in answer.data or chosen in WRITTEN:
        from lstm_cli.files.output import write_out

        write_out(answer.pieces(chosen), form.output)
        form.say_written(chosen)
        return
    from lstm_cli.show.draw import draw

    def show(console: Console) -> None:
        draw(console, answer.page)
        below(console)

    color.show(show, form.output)
    form.say_written(chosen)


@options("Check")
class ToleranceOptions:
    """How much numbers may differ."""

    atol: float | None = option(
        "--atol",
        default=None,
        metavar="NUMBER",
        help="Absolute tolerance, instead of the one implied by the numbers' digits and types.",
    )

    def checked(self) -> float | None:
        """Return the tolerance.

        Raises:
            UsageError: it is negative, nan or inf.
        """
        if self.atol is not None and not 0 <= self.atol < math.inf:
            raise UsageError(f"--atol is {self.atol}", where="--atol", hint="--atol 1e-6")
        return self.atol


@options("Check")
class SearchOptions:
    """How far a search for mistakes goes."""

    departures: int = option(
        "--departures", default=2, min=1, max=2, metavar="N",
        help="How many simultaneous mistakes to look for: 1 or 2.",
    )  # fmt: skip


def pasteable(*groups: Any) -> dict[str, object]:
    """Return the options that differ from their defaults, with values as on a command line."""
    from lstm_cli.base.paste import FileName

    given = differing(*groups)
    table = given.get("--cell", "").lower().endswith(".toml")
    files = ("--weights", "--cell") if table else ("--weights",)
    return {name: FileName(value) if name in files else value for name, value in given.items()}


def names_in(text: str) -> tuple[str, ...]:
    """Split a list such as `f,c,h` at commas and spaces, dropping duplicates."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def one_blas_thread() -> None:
    """Limit NumPy's matrix products to one thread each, unless the environment sets a number.

    A search runs many small products at a time: its work is divided among threads by reading, and
    threads inside a small product would only wait for each other. Call before importing numpy.
    """
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def make_console(color: Color, stream: Any) -> Console:
    """Return a rich console on a stream; --color takes precedence over the environment."""
    from rich.console import Console

    wanted = os.environ.get("CLICOLOR_FORCE", "0") not in ("", "0")
    wanted = wanted and color == "auto" and not os.environ.get("NO_COLOR")
    environment = dict(os.environ)
    if color == "always":
        environment.pop("NO_COLOR", None)
        if environment.get("TERM") in (None, "dumb", "unknown"):
            environment["TERM"] = "xterm-256color"
    return Console(
        file=stream,
        force_terminal=True if wanted or color == "always" else None,
        no_color=True if color == "never" else None,
        color_system=None if color == "never" else "auto",
        highlight=False,
        emoji=False,
        markup=False,
        _environ=environment,
    )
