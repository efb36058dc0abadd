"""Options that several commands share, and what they mean."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lstm_cli.base.address import EXAMPLE, Address, parse_addresses
from lstm_cli.base.errors import UsageError
from lstm_cli.base.foreign import shell_word
from lstm_cli.commands._declared import differing, option, options

if TYPE_CHECKING:
    from rich.console import Console

    from lstm_cli.cell.cells import Cell, Settings
    from lstm_cli.cell.weights import Model
    from lstm_cli.samples.settings import SampleSettings
    from lstm_cli.show.document import Document, Maker
    from lstm_cli.show.rows import View


class Dtype(StrEnum):
    """The type that every named value is rounded to."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"


class Engine(StrEnum):
    """What computes a run."""

    AUTO = "auto"
    TABLE = "table"
    NUMPY = "numpy"
    NUMBA = "numba"
    FAST = "fast"


class NotationName(StrEnum):
    """How equations are written."""

    JOINED = "joined"
    SPLIT = "split"


class Side(StrEnum):
    """Which way through time."""

    FORWARD = "forward"
    BACKWARD = "backward"


class Color(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def complete_cell() -> list[str]:
    """Return the names that --cell takes, for the shell."""
    from lstm_cli.cell.cells import VARIANTS

    return ["lstm", *VARIANTS]


def complete_preset() -> list[str]:
    """Return the names that --preset takes, for the shell."""
    from lstm_cli.cell.presets import PRESETS

    return list(PRESETS)


def complete_convention() -> list[str]:
    """Return the names that --convention takes, for the shell."""
    from lstm_cli.formats.conventions import CONVENTIONS

    return list(CONVENTIONS)


@options("Weights")
class LayoutOptions:
    """How a weight file is read: which LSTM of it, laid out how."""

    lstm: str = option(
        "--lstm",
        "-l",
        default="",
        metavar="NAME",
        help="Which LSTM of the file: its name or its number from 0; see `inspect`.",
    )
    convention: str = option(
        "--convention",
        default="",
        metavar="NAME",
        autocompletion=complete_convention,
        help="How the weights are laid out, where names do not tell; see `list conventions`.",
    )
    external: bool = option(
        "--allow-external-data", default=False, help="Let an ONNX model read files beside it."
    )

    def read(self, path: str, cell: CellOptions) -> Model:
        """Read the weights that the options choose in a file or URL; errors as `read_weights`."""
        from lstm_cli.files.remote import at_hand, place_of
        from lstm_cli.formats.read import read_weights

        place = place_of(path)
        with at_hand(place, place) as near:
            return read_weights(
                near, lstm=self.lstm, cell=cell.named(), convention=self.convention or None,
                edit=cell.edit, external=self.external,
            )  # fmt: skip


@options("Weights")
class WeightFile:
    """A file of weights and how it is read."""

    weights: str = option(
        "--weights",
        "-w",
        default="",
        metavar="FILE",
        help="Any framework's weights; see `list formats`.",
    )
    layout: LayoutOptions = LayoutOptions()

    def model(self, cell: CellOptions) -> Model | None:
        """Read the file; None where none is named; errors as `read_weights`."""
        return self.layout.read(self.weights, cell) if self.weights else None

    def sample_settings(self, cell: CellOptions, **others: Any) -> SampleSettings:
        """The settings of samples that do not say otherwise; `others` as SampleSettings has them.

        Raises:
            UsageError: `--allow-external-data` without `--weights`: it is not for samples' files.
            LstmStepError: as `read_weights`.
        """
        from lstm_cli.samples.settings import SampleSettings

        if self.layout.external and not self.weights:
            raise UsageError(
                "--allow-external-data has no effect without --weights",
                where="--allow-external-data", hint="give --weights, whose data it allows",
            )  # fmt: skip

        return SampleSettings(
            model=self.model(cell), weights=self.weights, lstm=self.layout.lstm,
            cell=cell.named(), edit=cell.edit, convention=self.layout.convention,
            external=self.layout.external, **others,
        )  # fmt: skip


@options("Weights")
class SideOptions:
    """Which direction of a layer is taken."""

    direction: Side | None = option(
        "--direction", default=None, help="One direction of a layer that has both."
    )

    def only(self, model: Model) -> Model:
        """Return the model, or its one direction; errors as `Model.only`."""
        return model.only(self.direction.value) if self.direction else model


@options("Weights")
class PresetOptions:
    """Weights by name, and what they are made of."""

    preset: str = option(
        "--preset",
        "-p",
        default="",
        metavar="NAME",
        autocompletion=complete_preset,
        help="Weights by name: identity (the default), random, …; see `list presets`.",
    )
    seed: int = option("--seed", default=0, min=0, metavar="N", help="The seed of preset random.")
    hidden_size: int = option(
        "--hidden-size", default=0, min=0, metavar="H", help="H, where a preset cannot tell it."
    )
    output_size: int = option(
        "--output-size", default=0, min=0, metavar="P", help="P of a projection, for a preset."
    )


@options("Cell")
class CellOptions:
    """The cell's name, and edits on top of it or of a file's."""

    cell: str = option(
        "--cell",
        default="",
        metavar="NAME",
        autocompletion=complete_cell,
        help="lstm, peephole, peephole+projection, …, or a table of your own in FILE.toml; see "
        "`list cells`.",
    )
    forget_bias: float | None = option(
        "--forget-bias",
        default=None,
        metavar="NUMBER",
        help="Add this to z_f at run time, as TF1, Haiku and DyNet do.",
    )
    clip: float | None = option(
        "--clip",
        default=None,
        metavar="LIMIT",
        help="Cut pre-activations to ±LIMIT, as ONNX does.",
    )
    cell_clip: float | None = option(
        "--cell-clip",
        default=None,
        metavar="LIMIT",
        help="Cut the cell state to ±LIMIT, as TensorFlow does.",
    )
    activations: str = option(
        "--activations",
        default="",
        metavar="GATE,CANDIDATE,OUTPUT",
        help="For example 'hard_sigmoid(0.2,0.5),tanh,tanh'; see `list activations`.",
    )

    def settings(self) -> Settings:
        """The edits, as settings of a cell."""
        from lstm_cli.cell.cells import Settings

        return Settings(self.forget_bias, self.clip, self.cell_clip, self.activations)

    def named(self) -> Cell | None:
        """Return the cell that is named, without edits; None where none is."""
        if not self.cell:
            return None
        from lstm_cli.files.cell_files import read_cell

        return read_cell(self.cell)

    def edit(self, cell: Cell) -> Cell:
        """Add to a cell what the options say; errors as `cells.Settings.edit`."""
        return self.settings().edit(cell)

    def own_cell(self) -> Cell | None:
        """Return the named cell, or the LSTM, with the edits; None where nothing is said."""
        if self == CellOptions():
            return None
        from lstm_cli.cell.cells import LSTM

        return self.edit(self.named() or LSTM)


@options("Numbers")
class NumberOptions:
    """The type of the numbers."""

    dtype: Dtype = option(
        "--dtype", default=Dtype.FLOAT64, help="float32: compute each row in float64 and round it."
    )


@options("Numbers")
class EngineOptions:
    """What computes the numbers."""

    engine: Engine = option(
        "--engine",
        default=Engine.AUTO,
        help="table: row by row; numpy, numba: fast code made from the table, fast: the better "
        "one; auto: the table for small runs and float32.",
    )


@options("Show")
class ChoiceOptions:
    """Which layers, steps, units and rows are shown; all of the run is computed."""

    layer: str = option(
        "--layer", default="", metavar="K", help="Only this layer of the run, from 0."
    )
    direction: Side | None = option("--direction", default=None, help="Only this direction.")
    unit: str = option(
        "--unit", "-u", default="", metavar="UNITS", help="Only these units: 3, 0:8, 0,2,5."
    )
    at: str = option(
        "--at", default="", metavar="STEPS", help="Only these steps: 3, 1:10, last, all."
    )
    only: str = option(
        "--only", default="", metavar="SYMBOLS",
        help=f"Only these rows: z_f,f,c; or an address: {EXAMPLE}.",
    )  # fmt: skip

    def selection(self) -> tuple[Address, tuple[str, ...]]:
        """Return the place that is chosen, and the symbols; () is all.

        Raises:
            UsageError: no number, no address, or a part that is said twice.
        """
        if (self.layer and not self.layer.isascii()) or not (self.layer or "0").isdecimal():
            raise UsageError(
                f"--layer is a number from 0, not '{self.layer}'", where="--layer",
                hint=f"--lstm {shell_word(self.layer)} loads the LSTM of that name; --layer 0 "
                "shows one layer of a stack",
            )  # fmt: skip
        own = Address(
            int(self.layer) if self.layer else None, self.direction.value if self.direction else "",
            units=self.unit, times=self.at,
        )  # fmt: skip
        place, symbols = parse_addresses(self.only, "--only")
        return own.joined(place, "--only"), symbols


@options("Show")
class NotationOptions:
    """How equations are written."""

    notation: NotationName = option(
        "--notation",
        default=NotationName.JOINED,
        help="joined: W_f · [h, x]; split: W_f x + U_f h.",
    )


@options("Show")
class DigitOptions:
    """How many digits are shown."""

    digits: int | None = option(
        "--digits", "-d", default=6, min=0, max=17, metavar="N", help="Decimals in tables, 0 to 17."
    )

    def number(self, usual: int = 6) -> int:
        """How many; `usual` where they are not given."""
        return usual if self.digits is None else self.digits


@options("Show")
class ViewOptions:
    """What is shown of a run, and how."""

    choice: ChoiceOptions = ChoiceOptions()
    notation: NotationOptions = NotationOptions()
    digits: DigitOptions = DigitOptions()

    def view(self, target: str = "-") -> View:
        """The choice, still to be checked against a run; `target` is where the answer goes."""
        from lstm_cli.show.rows import View

        place, symbols = self.choice.selection()
        return View(
            self.notation.notation.value, self.digits.number(), place.units, place.times,
            target="" if target == "-" else target, layer=place.layer,
            direction=place.direction, symbols=symbols,
        )  # fmt: skip


@options("Output")
class FormatOptions:
    """The answer's form and place.

    Attributes:
        formats: those of the command, its default first.
        piped: the default where the answer does not go to a terminal, if that is another.
        json_is: the one that --json means, where the file's suffix does not tell.
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
        "--json", default=False, help=lambda own: f"The same as -f {own.json_is}."
    )
    output: str = option(
        "--output", "-o", default="-", metavar="FILE", help="Write here, whole or not at all."
    )

    def pick(self) -> str:
        """Return the format of the answer; errors as `choose_format`."""
        from lstm_cli.files.output import choose_format

        first = self.formats[0]
        return choose_format(
            self.output, self.format_, self.as_json, self.formats, (first, self.piped or first),
            json_lines=self.json_is == "jsonl",
        )  # fmt: skip


@options("Output")
class ColorOptions:
    """When to colour."""

    color: Color = option("--color", default=Color.AUTO, help="Colour; auto heeds NO_COLOR.")

    def show(self, draw: Callable[[Console], None], output: str = "-") -> None:
        """Draw on the terminal; for a pipe or a file draw into memory first.

        A file is then written whole or not at all, and lines lose their padding.

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
        # What the environment says is of where people look, not of files.
        in_file = output != "-" and self.color is Color.AUTO
        draw(make_console(Color.NEVER if in_file else self.color, buffer))
        buffer.seek(0)
        write_out([line.rstrip() + "\n" for line in buffer], output)


# The written forms of a document; the others are for a terminal, or programs.
WRITTEN = ("text", "markdown", "latex", "html")


def emit(document: Document | Maker, chosen: str, form: FormatOptions, color: ColorOptions) -> None:
    """Write a document in the form chosen, or draw it; errors as `ColorOptions.show`."""
    if chosen in WRITTEN:
        from lstm_cli.files.output import write_out
        from lstm_cli.show.document import write

        write_out(write(document, chosen), form.output)
    else:
        from lstm_cli.show.draw import draw

        color.show(lambda console: draw(console, document), form.output)


@options("Check")
class ToleranceOptions:
    """How far numbers may lie apart."""

    atol: float | None = option(
        "--atol",
        default=None,
        metavar="NUMBER",
        help="Tolerance, in place of what the numbers' digits and types allow.",
    )

    def checked(self) -> float | None:
        """Return the tolerance.

        Raises:
            UsageError: it is negative, nan or inf.
        """
        if self.atol is not None and not 0 <= self.atol < math.inf:
            raise UsageError(f"--atol is {self.atol}", where="--atol", hint="--atol 1e-6")
        return self.atol


def pasteable(*groups: Any) -> dict[str, object]:
    """Return the options that are not at their default, their values as a command has them."""
    from lstm_cli.base.paste import FileName

    given = differing(*groups)
    table = given.get("--cell", "").lower().endswith(".toml")
    files = ("--weights", "--cell") if table else ("--weights",)
    return {name: FileName(value) if name in files else value for name, value in given.items()}


def names_in(text: str) -> tuple[str, ...]:
    """Split a list such as `f,c,h` at commas and spaces; each name once."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def one_blas_thread() -> None:
    """Keep NumPy's matrix products to a thread each, unless the environment says otherwise.

    A search has many small products at a time: they are shared out by readings, and threads inside
    a small product would only wait for each other. Must come before numpy is imported.
    """
    import os

    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def make_console(color: Color, stream: Any) -> Console:
    """Return a rich console on a stream that heeds --color before the environment."""
    import os

    from rich.console import Console

    force = None
    if color is Color.ALWAYS or (
        color is Color.AUTO and os.environ.get("CLICOLOR_FORCE", "0") not in ("", "0")
        and not os.environ.get("NO_COLOR")
    ):  # fmt: skip
        force = True
    environment = dict(os.environ)
    if color is Color.ALWAYS:
        environment.pop("NO_COLOR", None)
        if environment.get("TERM") in (None, "dumb", "unknown"):
            environment["TERM"] = "xterm-256color"
    return Console(
        file=stream,
        force_terminal=force,
        no_color=True if color is Color.NEVER else None,
        color_system=None if color is Color.NEVER else "auto",
        highlight=False,
        emoji=False,
        markup=False,
        _environ=environment,
    )
