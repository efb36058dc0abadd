"""Options that several commands share, and what they mean."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from lstm_cli.base.errors import UsageError, suggest
from lstm_cli.base.records import record
from lstm_cli.commands._declared import option

if TYPE_CHECKING:
    from rich.console import Console

    from lstm_cli.cell.cells import Cell
    from lstm_cli.cell.weights import Model


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


Weights = Annotated[
    str,
    option(
        "--weights",
        "-w",
        metavar="FILE",
        help="Any framework's weights; see `list formats`.",
    ),
]
LayerName = Annotated[
    str,
    option(
        "--layer",
        "-l",
        metavar="NAME",
        help="Which LSTM of the file: its name or its number from 0; see `inspect`.",
    ),
]
External = Annotated[
    bool,
    option("--allow-external-data", help="Let an ONNX model read files beside it."),
]
DirectionName = Annotated[
    Side | None, option("--direction", help="One direction of a layer that has both.")
]
Preset = Annotated[
    str,
    option(
        "--preset",
        "-p",
        metavar="NAME",
        autocompletion=complete_preset,
        help="Weights by name: identity (the default), random, …; see `list presets`.",
    ),
]
Seed = Annotated[int, option("--seed", min=0, help="The seed of preset random.")]
HiddenSize = Annotated[
    int, option("--hidden-size", min=0, metavar="H", help="H, where a preset cannot tell it.")
]
OutputSize = Annotated[
    int, option("--output-size", min=0, metavar="P", help="P of a projection, for a preset.")
]
CellName = Annotated[
    str,
    option(
        "--cell",
        metavar="NAME",
        autocompletion=complete_cell,
        help="lstm, peephole, peephole+projection, …, or a table of your own in FILE.toml; see "
        "`list cells`.",
    ),
]
ConventionName = Annotated[
    str,
    option(
        "--convention",
        metavar="NAME",
        autocompletion=complete_convention,
        help="How the weights are laid out, where names do not tell; see `list conventions`.",
    ),
]
ForgetBias = Annotated[
    float | None,
    option(
        "--forget-bias",
        metavar="NUMBER",
        help="Add this to z_f at run time, as TF1, Haiku and DyNet do.",
    ),
]
Clip = Annotated[
    float | None,
    option("--clip", metavar="LIMIT", help="Cut pre-activations to ±LIMIT, as ONNX does."),
]
CellClip = Annotated[
    float | None,
    option(
        "--cell-clip", metavar="LIMIT", help="Cut the cell state to ±LIMIT, as TensorFlow does."
    ),
]
Activations = Annotated[
    str,
    option(
        "--activations",
        metavar="GATE,CANDIDATE,OUTPUT",
        help="For example 'hard_sigmoid(0.2,0.5),tanh,tanh'; see `list activations`.",
    ),
]
Steps = Annotated[
    int,
    option(
        "--steps",
        "-n",
        min=0,
        metavar="N",
        help="Repeat a single x N times, or cut a sequence to N steps.",
    ),
]
DtypeName = Annotated[
    Dtype,
    option("--dtype", help="float32: compute each row in float64 and round it."),
]
EngineName = Annotated[
    Engine,
    option(
        "--engine",
        help="table: row by row; numpy, numba: fast code made from the table, fast: the better "
        "one; auto: the table for small runs and float32.",
    ),
]
Output = Annotated[
    str, option("--output", "-o", metavar="FILE", help="Write here, whole or not at all.")
]
ColorWhen = Annotated[Color, option("--color", help="Colour; auto heeds NO_COLOR.")]


@record
class CellOptions:
    """What the command line says of the cell: its name, and edits on top of it or of a file's."""

    name: str
    forget_bias: float | None
    clip: float | None
    cell_clip: float | None
    activations: str

    def cell(self) -> Cell | None:
        """Return the cell that is named, without edits; None where none is."""
        if not self.name:
            return None
        from lstm_cli.files.cell_files import read_cell

        return read_cell(self.name)

    def options(self) -> dict[str, object]:
        """Return the options as they were given, for a command to paste."""
        from lstm_cli.base.paste import FileName

        cell = FileName(self.name) if self.name.lower().endswith(".toml") else self.name
        return {"--cell": cell, "--forget-bias": self.forget_bias, "--clip": self.clip,
                "--cell-clip": self.cell_clip, "--activations": self.activations}  # fmt: skip

    def edit(self, cell: Cell) -> Cell:
        """Return a cell with what the options add to it; errors as `cells.Settings.edit`."""
        from lstm_cli.cell.cells import Settings

        own = Settings(self.forget_bias, self.clip, self.cell_clip, self.activations)
        return own.edit(cell)

    def own_cell(self) -> Cell | None:
        """Return the named cell, or the LSTM, with the edits; None where nothing is said."""
        named = self.cell()
        edited = (self.forget_bias, self.clip, self.cell_clip) != (None, None, None)
        if named is None and not edited and not self.activations:
            return None
        from lstm_cli.cell.cells import LSTM

        return self.edit(named or LSTM)


def file_model(
    path: str,
    layer: str,
    direction: Side | None,
    convention: str,
    cell: CellOptions,
    external: bool,
) -> Model:
    """Return the model that the options choose in a weight file; errors as `read_weights`."""
    from lstm_cli.formats.read import read_weights

    model = read_weights(
        path,
        layer=layer,
        cell=cell.cell(),
        convention=convention or None,
        edit=cell.edit,
        external=external,
    )
    return model.only(direction.value) if direction else model


def check_atol(atol: float | None) -> None:
    """Refuse a tolerance that is no number from 0.

    Raises:
        UsageError: it is negative, nan or inf.
    """
    if atol is not None and not 0 <= atol < math.inf:
        raise UsageError(f"--atol is {atol}", where="--atol", hint="--atol 1e-6")


def one_blas_thread() -> None:
    """Keep NumPy's matrix products to a thread each, unless the environment says otherwise.

    A search has many small products at a time: they are shared out by readings, and threads inside
    a small product would only wait for each other. Must come before numpy is imported.
    """
    import os

    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def pick_format(chosen: str, as_json: bool, known: list[str], *, terminal: bool) -> str:
    """Return the output format: the one asked for, else a table on a terminal and text in a pipe.

    Raises:
        UsageError: unknown, or two that contradict each other.
    """
    if as_json and chosen not in ("", "json"):
        raise UsageError(
            f"--json and -f {chosen} contradict each other", where="-f", hint="keep one of them"
        )
    name = "json" if as_json else chosen
    if not name:
        return "table" if terminal else known[1]
    if name not in known:
        raise UsageError(f"unknown format '{name}'", where="-f", hint=suggest(name, known))
    return name


def show(draw: Callable[[Console], None], color: Color, output: str = "-") -> None:
    """Draw on the terminal; for a pipe or a file draw into memory first.

    A file is then written whole or not at all, and lines lose their padding.

    Raises:
        OutputError: stdout or the file cannot be written.
    """
    import io

    from lstm_cli.files.output import write_out

    if output == "-" and sys.stdout.isatty():
        draw(make_console(color, sys.stdout))
        return
    encoding = "utf-8" if output != "-" else sys.stdout.encoding
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    draw(make_console(color, buffer))
    buffer.seek(0)
    write_out([line.rstrip() + "\n" for line in buffer], output)


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
