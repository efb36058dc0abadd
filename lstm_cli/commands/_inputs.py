"""What a run is given on the command line, and the run that it makes: for all commands that step.

`RunInputs(...).trace()` reads vectors and weights and runs them; `X`, `H`, `C` are the options.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import field, replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

from lstm_cli.base.errors import UsageError, safe
from lstm_cli.base.foreign import say
from lstm_cli.base.records import record
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option

if TYPE_CHECKING:
    from lstm_cli.base.arrays import Array
    from lstm_cli.cell.weights import Model
    from lstm_cli.engine.run import Trace

_VECTOR = "numbers, @file or -"

X = Annotated[str, option("--x", "-x", metavar="ROWS", help=f"The input: {_VECTOR}.")]
H = Annotated[
    str,
    option("--h", "--h-prev", metavar="ROWS", help=f"The hidden state before: {_VECTOR}."),
]
C = Annotated[
    str, option("--c", "--c-prev", metavar="ROWS", help=f"The cell state before: {_VECTOR}.")
]
AllowNonfinite = Annotated[bool, option("--allow-nonfinite", help="Accept nan and inf as numbers.")]
SampleNumber = Annotated[
    int | None, option("--sample", min=0, metavar="K", help="Which sample, where --x has many.")
]

# A layer of so many units, or a file of so many bytes, has no matrix that is worth two threads.
SMALL_UNITS = 64
SMALL_BYTES = 256 * 2**10
# More numbers than this are not typed.
MOST_TYPED = 24
# Formats that can hold many samples at once.
_MANY = ("json", "jsonl", "npz")


class Given(NamedTuple):
    """A model and what it is run on, as `engine.run` takes them."""

    model: Model
    x: Array
    h: Array | None
    c: Array | None


@record
class RunInputs:
    """The options that decide a run.

    Attributes:
        x, h, c: as typed; "" is not given.
        cell: the cell and its edits.
        weights, layer, direction, convention, external: of a weight file.
        preset, seed, hidden_size, output_size: of a preset.
        steps, sample, dtype, allow_nonfinite: as the options of these names.
        command: the command line's own name, for messages.
        engine: what computes the run.
    """

    x: str = ""
    h: str = ""
    c: str = ""
    cell: o.CellOptions = field(default_factory=lambda: o.CellOptions("", None, None, None, ""))
    weights: str = ""
    layer: str = ""
    direction: o.Side | None = None
    convention: str = ""
    external: bool = False
    preset: str = ""
    seed: int = 0
    hidden_size: int = 0
    output_size: int = 0
    steps: int = 0
    sample: int | None = None
    dtype: o.Dtype = o.Dtype.FLOAT64
    allow_nonfinite: bool = False
    command: str = "lstm-step run"
    engine: o.Engine = o.Engine.AUTO

    def trace(self, chosen: str = "table") -> Trace:
        """Read vectors and weights, and run.

        Args:
            chosen: the output format; only json, jsonl and npz hold many samples.

        Raises:
            UsageError: no x, options without effect, or two that contradict each other.
            LstmStepError: as the readers of vectors and weights, and the engine.
        """
        from lstm_cli.engine.run import run as run_model

        model, x, h, c = self.given(chosen)
        return run_model(model, x, h, c, dtype=self.dtype.value, engine=self.engine.value)

    def given(self, chosen: str = "table") -> Given:
        """Read what is run, without running it; arguments and errors as `trace`, but the engine's.

        x is `(T, I)`, or `(N, T, I)` where there are samples; T is as `--steps` asks.
        """
        if self._is_small():
            o.one_blas_thread()
        from lstm_cli.files.vectors import repeat_or_cut

        x, h, c = self._vectors()
        if x is None:
            raise UsageError(
                "--x is missing: there is no input",
                where=self.command,
                hint=self._example(c if h is None else h),
            )
        x = _chosen_sample(x, self.sample, chosen)
        model = self._model(x, h, c)
        return Given(model, repeat_or_cut(x, self.steps, "--x"), h, c)

    def _example(self, state: Array | None) -> str:
        """Return the command with an input that fits, and for `diagnose` with numbers to explain.

        Raises:
            LstmStepError: the weights that say how many numbers it takes cannot be read.
        """
        from lstm_cli.base.paste import command, option_words

        first = self.file_model().first if self.weights else None
        inputs = first.input_size if first else 2
        if inputs > MOST_TYPED:
            return f"give --x @FILE, {inputs} numbers a step"
        name = self.command.removeprefix("lstm-step ").removesuffix("run")
        size = self.hidden_size or (inputs if state is None else state.shape[-1])
        own: dict[str, object] = {"--x": ",".join(["0.5"] * inputs)}
        if name == "diagnose":
            own["--expect"] = "h=" + ",".join(["0.1"] * (first.output_size if first else size))
        return command(name, *option_words({**self.options(), **own}))

    def file_model(self) -> Model:
        """Return the model that the options choose in `--weights`; errors as `read_weights`."""
        return o.file_model(
            self.weights, self.layer, self.direction, self.convention, self.cell, self.external
        )

    def options(self) -> dict[str, object]:
        """Return the options that decide the run as they were given, for a command to paste."""
        from lstm_cli.base.paste import FileName

        cell, path = self.cell, FileName(self.weights)
        return {
            "--x": self.x, "--h": self.h, "--c": self.c, "--steps": self.steps or None,
            "--sample": self.sample, "--weights": path, "--layer": self.layer,
            "--direction": self.direction.value if self.direction else "",
            "--convention": self.convention, "--preset": self.preset, "--seed": self.seed or None,
            "--hidden-size": self.hidden_size or None, "--output-size": self.output_size or None,
            **cell.options(), "--dtype": "" if self.dtype is o.Dtype.FLOAT64 else self.dtype.value,
            "--allow-external-data": self.external, "--allow-nonfinite": self.allow_nonfinite,
        }  # fmt: skip

    def _is_small(self) -> bool:
        """Whether no matrix product can be worth a second thread.

        To make one costs as much time as a step. What is typed is small, and so are the layers of
        a small file or of a preset of usual size.
        """
        if self.x.startswith("@") or self.hidden_size > SMALL_UNITS:
            return False
        try:
            return not self.weights or os.path.getsize(self.weights) <= SMALL_BYTES
        except (OSError, ValueError):
            return True  # whoever reads it says what is wrong

    def _vectors(self) -> tuple[Array | None, ...]:
        from lstm_cli.files.vectors import read_vector

        texts = {"--x": self.x, "--h": self.h, "--c": self.c}
        refuse_two_pipes(texts)
        return tuple(
            read_vector(
                text, name, allow_nonfinite=self.allow_nonfinite,
                most_axes=3 if name == "--x" else 2,
            ) if text else None
            for name, text in texts.items()
        )  # fmt: skip

    def _model(self, x: Array, h: Array | None, c: Array | None) -> Model:
        if self.weights and self.preset:
            raise UsageError(
                "--weights and --preset are both given",
                where=self.command,
                hint="keep one of them",
            )
        file_only: dict[str, object] = {
            "--layer": self.layer,
            "--direction": self.direction,
            "--convention": self.convention,
            "--allow-external-data": self.external,
        }
        preset_only: dict[str, object] = {
            "--seed": self.seed,
            "--hidden-size": self.hidden_size,
            "--output-size": self.output_size,
        }
        if self.weights:
            refuse_idle(preset_only, "--preset", self.command)
            return self.file_model()
        refuse_idle(file_only, "--weights", self.command)
        return self._preset_model(x, h, c)

    def _preset_model(self, x: Array, h: Array | None, c: Array | None) -> Model:
        from lstm_cli.cell.cells import LSTM
        from lstm_cli.cell.presets import NO_WEIGHTS, preset_model, sizes_of

        asked = {letter: size for letter, size in
                 (("H", self.hidden_size), ("P", self.output_size)) if size}  # fmt: skip
        model = preset_model(
            self.preset or "identity", self.cell.own_cell() or LSTM,
            sizes=sizes_of(x, h, c) | asked, seed=self.seed,
        )  # fmt: skip
        return model if self.preset else replace(model, assumptions=(NO_WEIGHTS,))


def say_assumed(assumptions: Iterable[str]) -> None:
    """Say on stderr what was not given or left open, a line each, and how it was taken."""
    for each in assumptions:
        say(f"assumed: {safe(each)}")


def refuse_two_pipes(texts: dict[str, str]) -> None:
    """Refuse two options that would both read stdin.

    Raises:
        UsageError: names them.
    """
    piped = [name for name, text in texts.items() if text == "-"]
    if len(piped) > 1:
        raise UsageError(
            f"{' and '.join(piped)} both read stdin", where="-", hint="give one of them as @FILE"
        )


def refuse_idle(options: dict[str, object], owner: str, command: str) -> None:
    """Refuse options that would have no effect without another.

    Raises:
        UsageError: names the first of them.
    """
    for name, value in options.items():
        if value:
            raise UsageError(
                f"{name} has no effect without {owner}",
                where=command,
                hint=f"give {owner} too, or leave {name} out",
            )


def _chosen_sample(x: Array, sample: int | None, chosen: str) -> Array:
    """Return x `(T, I)`, or `(N, T, I)` where the format can show samples.

    Raises:
        UsageError: `--sample` is out of range, or needed.
    """
    if x.ndim == 2:
        if sample not in (None, 0):
            raise UsageError("--x is one sequence", where="--sample", hint="leave --sample out")
        return x
    if sample is not None:
        if sample >= len(x):
            raise UsageError(
                f"--sample {sample} is outside 0 to {len(x) - 1}", where="--sample",
                hint="samples count from 0",
            )  # fmt: skip
        chosen_rows: Array = x[sample]
        return chosen_rows
    if chosen not in _MANY:
        raise UsageError(
            f"--x holds {len(x)} samples, and {chosen} shows one",
            where="--x",
            hint="--sample 0, or -f json, jsonl, npz, whose values are then (samples, units)",
        )
    return x
