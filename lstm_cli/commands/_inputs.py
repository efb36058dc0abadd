"""The inputs of a run on the command line, and the run itself, for all commands that run a cell.

`RunOptions().trace()` reads vectors and weights and runs them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lstm_cli.base.errors import UsageError, safe
from lstm_cli.base.foreign import say
from lstm_cli.base.numbers import counted
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import differing, option, options

if TYPE_CHECKING:
    from lstm_cli.base.arrays import Array
    from lstm_cli.cell.weights import Model
    from lstm_cli.engine.finite import NotFinite
    from lstm_cli.engine.fixed_settings import FixedSettings
    from lstm_cli.engine.run import Trace
    from lstm_cli.samples import Sample
    from lstm_cli.samples.columns import InputForm

_VECTOR = "numbers, @file or -"
SampleFormat = Literal["auto", "json", "jsonl", "csv", "tsv", "npz", "parquet"]

# Up to this many units, or bytes of a file, no matrix is worth a second thread.
SMALL_UNITS = 64
SMALL_BYTES = 256 * 2**10
# Nobody types more numbers than this.
MOST_TYPED = 24
# Formats that can hold many samples at once.
_MANY = ("json", "jsonl", "npz")


# Output formats that can show integers.
FIXED_FORMATS = ("table", "plain", "json", "csv", "markdown", "latex", "text", "html", "c")

FIXED_HELP = """\b
Fixed point: `--fixed Q3.12` also runs the cell in integers. Qm.n is 1 sign bit, m integer bits,
n fraction bits, 2 to 32 in all: Q0.15 is int16. (ARM counts the sign in m: its Q4.12 is Q3.12.)
A kind of value may have its own format, as in `Q3.12,weights=Q1.14,sum=Q7.24`: weights (W, U,
p), bias, input (x), sum (the z), gates (f, i, g, o, tanh(c)), cell (c), state (h). A row is
computed exactly and rounded once, when it is stored.
"""


class Given(NamedTuple):
    """A model and its inputs, as `engine.run` takes them; `masks` has its further arguments."""

    model: Model
    x: Array
    h: Array | None
    c: Array | None
    masks: Mapping[str, Any] = {}

    def run(self, dtype: str, engine: str) -> Trace:
        """Run it; arguments and errors as `engine.run`."""
        from lstm_cli.engine.run import run

        return run(*self[:4], dtype=dtype, engine=engine, **self.masks)


@options("Input")
class StepOptions:
    """Number of steps of a run, and the calls that they come in."""

    steps: int = option(
        "--steps",
        "-n",
        default=0,
        min=0,
        metavar="N",
        help="Repeat a single x N times, or cut a sequence to N steps.",
    )
    calls: str = option(
        "--calls",
        default="",
        metavar="LENGTHS",
        help="The steps come in consecutive calls, states carried over: 10,10, or 1x20 for 20 "
        "calls of one step.",
    )


@options("Input")
class MaskOptions:
    """Which steps of the input are run, as typed; "" means not given."""

    lengths: str = option(
        "--lengths", default="", metavar="NUMBERS",
        help="How many steps of each sample are run: 6,5,3, or @file.",
    )  # fmt: skip
    mask: str = option(
        "--mask", default="", metavar="ROWS",
        help="1 for each step that is run, 0 for one that leaves the states as they were; a row a "
        "sample.",
    )  # fmt: skip
    padding: Literal["stop", "zero", "keras", "onnx"] = option(
        "--padding", default="stop",
        help="The output at steps not run: stop leaves them out; zero as PyTorch, keras, onnx as "
        "these do.",
    )  # fmt: skip

    def read(self, sample: int | None, samples: int) -> dict[str, Any]:
        """Arguments for `engine.run`; with `--sample` those of this one of the samples."""
        if not (self.lengths or self.mask or self.padding != "stop"):
            return {}
        from lstm_cli.files.vectors import read_vector

        found: dict[str, Any] = {"padding": self.padding}
        if self.lengths:
            found["lengths"] = read_vector(self.lengths, "--lengths").ravel()
        if self.mask:
            found["mask"] = read_vector(_with_numbers(self.mask), "--mask")
        if sample is not None:
            found |= {name: each[sample] for name, each in found.items()
                      if name != "padding" and samples > 1 and len(each) == samples}  # fmt: skip
        return found


def _with_numbers(mask: str) -> str:
    """Write 1 and 0 for True and False, as Python prints them; columns stay the same."""
    if mask.startswith(("@", "-")):
        return mask
    return re.sub(r"\b([Tt]rue)\b|\b[Ff]alse\b", lambda m: "1   " if m[1] else "0    ", mask)


@options("Input")
class ReadingOptions:
    """How files of samples are read that do not say it themselves."""

    form: SampleFormat = option(
        "--input-format", default="auto", help="Of sample files; auto: by content and suffix."
    )
    columns: str = option(
        "--columns", default="", metavar="NAMES", help="Of tables, as 'x=in*,h=h_prev*'."
    )

    def reading(self) -> InputForm:
        """Return them as `read_samples` takes them; errors as `InputForm.of`."""
        from lstm_cli.samples.columns import InputForm

        return InputForm.of("" if self.form == "auto" else self.form, self.columns)


@options("Input")
class VectorOptions:
    """The input and the states, as typed; "" means not given."""

    x: str = option("--x", "-x", default="", metavar="ROWS", help=f"The input: {_VECTOR}.")
    h: str = option(
        "--h", "--h-prev", default="", metavar="ROWS", help=f"The previous hidden state: {_VECTOR}."
    )
    c: str = option(
        "--c", "--c-prev", default="", metavar="ROWS", help=f"The previous cell state: {_VECTOR}."
    )
    length: StepOptions = StepOptions()
    masks: MaskOptions = MaskOptions()
    sample: int | None = option(
        "--sample", default=None, min=0, metavar="SAMPLE", help="Only this sample of --x, from 0."
    )
    allow_nonfinite: bool = option(
        "--allow-nonfinite", default=False, help="Accept nan and inf as numbers."
    )


@options("Run")
class RunOptions:
    """The options that determine a run, in groups.

    Attributes:
        command: name of the command, for messages.
    """

    command: str = "lstm-step run"
    vectors: VectorOptions = VectorOptions()
    file: o.WeightFile = o.WeightFile()
    preset: o.PresetOptions = o.PresetOptions()
    cell: o.CellOptions = o.CellOptions()
    numbers: o.NumberOptions = o.NumberOptions()

    def trace(self, chosen: str = "table", engine: str = "auto") -> Trace:
        """Read the vectors and weights, and run.

        Args:
            chosen: the output format; only json, jsonl and npz can hold many samples.
            engine: as `engine.run` takes it.

        Raises:
            UsageError: no x, an option without effect, or two that contradict each other.
            LstmStepError: as the readers of vectors and weights, and the engine.
        """
        return self.trace_of_samples(chosen, engine)[0]

    def trace_of_samples(self, chosen: str = "table", engine: str = "auto") -> tuple[Trace, int]:
        """As `trace`, with how many samples `--x` holds, of which `--sample` took one."""
        if self.vectors.masks.padding != "stop":
            raise UsageError(
                f"--padding has no effect on {self.command}", where="--padding",
                hint="leave it out; `lstm-step run` shows the output over all steps",
            )  # fmt: skip
        given, samples = self._given(chosen)
        trace = given.run(self.numbers.dtype, engine)
        say_warned(trace.warnings)
        return trace, samples

    def given(self, chosen: str = "table") -> Given:
        """Read the model and inputs without running; as `trace`, but without the engine's errors.

        x is `(T, I)`, or `(N, T, I)` for samples; `--steps` sets T.
        """
        return self._given(chosen)[0]

    def _given(self, chosen: str) -> tuple[Given, int]:
        if self._is_small():
            o.one_blas_thread()
        from lstm_cli.files.vectors import repeat_or_cut

        told: list[str] = []
        x, h, c = self._vectors(told)
        if x is None:
            raise UsageError(
                "--x is missing: there is no input",
                where=self.command,
                hint=self._example(c if h is None else h),
            )
        sample, samples = self.vectors.sample, len(x) if x.ndim > 2 else 1
        if x.ndim == 3 and x.shape[1] == 1 < len(x):
            told.append(f"--x of shape {x.shape} is {len(x)} samples of 1 step; x[:, 0] is one "
                        f"sample of {len(x)} steps")  # fmt: skip
        x = _chosen_sample(x, sample, chosen)
        masks = self.vectors.masks.read(sample, samples)
        if self.vectors.length.calls:
            masks["calls"] = self.vectors.length.calls
        model = self._model(x, h, c)
        model = replace(model, assumptions=(*model.assumptions, *told)) if told else model
        if x.ndim == 2:
            h, c = (_chosen_state(each, name, sample or 0, samples, len(model.runs))
                    for name, each in (("--h", h), ("--c", c)))  # fmt: skip
        x = repeat_or_cut(x, self.vectors.length.steps, "--x")
        return Given(model, x, h, c, masks), samples

    def _example(self, state: Array | None) -> str:
        """Return the command with a fitting input, and for `diagnose` with numbers to explain."""
        from lstm_cli.base.paste import command, option_words

        first = self.file_model().first if self.file.weights else None
        inputs = first.input_size if first else 2
        if inputs > MOST_TYPED:
            return f"give --x @FILE, {inputs} numbers a step"
        name = self.command.removeprefix("lstm-step ").removesuffix("run")
        size = self.preset.hidden_size or (inputs if state is None else state.shape[-1])
        own: dict[str, object] = {"--x": ",".join(["0.5"] * inputs)}
        if name == "diagnose":
            own["--expect"] = "h=" + ",".join(["0.1"] * (first.output_size if first else size))
        return command(name, *option_words({**own, **self.options()}))

    def file_model(self) -> Model:
        """Return the model selected in `--weights`; errors as `read_weights`."""
        return self.file.read(self.cell)

    def sample_runs(
        self, files: Iterable[str], reading: ReadingOptions = ReadingOptions()
    ) -> Iterator[tuple[Sample, Trace, str]]:
        """Yield the samples in files, each with its run and the name of its file.

        The options supply what the samples leave out, and files of folders that hold no samples
        are passed over and named.

        Raises:
            UsageError: an option that has no effect with a sample.
            LstmStepError: as the readers of samples and weights, and the engine.
        """
        from lstm_cli.samples import BadSample, find_files, read_samples
        from lstm_cli.samples.models import sample_trace

        others = differing(self.vectors, self.preset).keys() - {"--x", "--steps", "--calls"}
        refuse_beside("the file of samples", sorted(others), self.command)
        settings = self.file.sample_settings(
            self.cell, steps=self.vectors.length.steps, calls=self.vectors.length.calls,
            dtype=self.numbers.dtype,
        )  # fmt: skip
        how = reading.reading()
        for file in find_files(files, how, _say_passed_over):
            for sample in read_samples(file, how):
                if isinstance(sample, BadSample):
                    raise sample.error
                trace = sample_trace(sample, settings)
                say_warned(trace.warnings)
                yield sample, trace, file

    def options(self) -> dict[str, object]:
        """Return the options that determine the run as they were given, for a command to paste."""
        return o.pasteable(self)

    def _is_small(self) -> bool:
        """Whether no matrix product is worth a second thread.

        Starting one takes as long as a step. Typed vectors are small, and so are the layers of a
        small file or of a preset of normal size.
        """
        if self.vectors.x.startswith("@") or self.preset.hidden_size > SMALL_UNITS:
            return False
        try:
            return not self.file.weights or os.path.getsize(self.file.weights) <= SMALL_BYTES
        except (OSError, ValueError):
            return True  # reading it will report what is wrong

    def _vectors(self, told: list[str]) -> tuple[Array | None, ...]:
        """Read x, h and c, adding to `told` what had to be understood."""
        from lstm_cli.files.vectors import read_vector

        texts = {"--x": self.vectors.x, "--h": self.vectors.h, "--c": self.vectors.c}
        masks = self.vectors.masks
        refuse_two_pipes(texts | {"--lengths": masks.lengths, "--mask": masks.mask})
        return tuple(
            read_vector(
                text, name, allow_nonfinite=self.vectors.allow_nonfinite,
                most_axes=3, told=told,
            ) if text else None
            for name, text in texts.items()
        )  # fmt: skip

    def _model(self, x: Array, h: Array | None, c: Array | None) -> Model:
        own = self.preset
        if self.file.weights and own.preset:
            raise UsageError(
                "--weights and --preset are both given", where=self.command, hint="keep one of them"
            )
        if self.file.weights:
            refuse_idle(differing(own), "--preset", self.command, beside="--weights")
            return self.file_model()
        refuse_idle(differing(self.file), "--weights", self.command)
        from lstm_cli.cell.cells import LSTM
        from lstm_cli.cell.presets import NO_WEIGHTS, preset_model, sizes_of

        asked = {"H": own.hidden_size, "P": own.output_size}
        given = {letter: size for letter, size in asked.items() if size}
        model = preset_model(
            own.preset or "identity", self.cell.own_cell() or LSTM,
            sizes=sizes_of(x, h, c) | given, seed=own.seed,
        )  # fmt: skip
        return model if own.preset else replace(model, assumptions=(NO_WEIGHTS,))


@options("Fixed point")
class FixedOptions:
    """The fixed-point options."""

    fixed: str = option(
        "--fixed",
        default="",
        metavar="FORMATS",
        help="Also run in integers: Q3.12, or Q3.12,weights=Q1.14,…; see below.",
    )
    fixed_rounding: Literal["nearest", "even", "floor", "zero"] | None = option(
        "--fixed-rounding",
        default=None,
        help="nearest (the default: halves up), even (halves to even), floor (>>) or zero (cut).",
    )
    fixed_overflow: Literal["saturate", "wrap"] | None = option(
        "--fixed-overflow",
        default=None,
        help="saturate (the default), or keep the last bits: wrap.",
    )
    fixed_activation: str = option(
        "--fixed-activation",
        default="",
        metavar="KIND",
        help="σ and tanh: exact (the default: correctly rounded), table:256 (nearest entry, σ over "
        "±8, tanh over ±4), table:256:linear (between entries), or hard (0.2 z + 0.5; cut z).",
    )

    def settings(self, form: str, command: str) -> FixedSettings | None:
        """Return the settings for an output format; None if `--fixed` is not given.

        Raises:
            UsageError: a value that cannot be read, an output format that cannot show integers,
                or options that have no effect without `--fixed`.
        """
        if not self.fixed:
            refuse_idle(differing(self), "--fixed", command)
            return None
        from lstm_cli.engine.fixed_settings import FixedSettings

        if form not in FIXED_FORMATS:
            raise UsageError(
                f"{form} cannot show integers",
                where="--fixed",
                hint=f"-f {', '.join(FIXED_FORMATS[:-1])} or {FIXED_FORMATS[-1]}",
            )
        return FixedSettings.parse(
            self.fixed,
            self.fixed_rounding or "nearest",
            self.fixed_overflow or "saturate",
            self.fixed_activation or "exact",
        )


def _say_passed_over(file: str) -> None:
    say(f"passed over, for it holds no samples: {safe(file)}")


def say_assumed(assumptions: Iterable[str], engine: str = "table") -> None:
    """Print what had to be assumed on stderr, one per line, and the engine if it is not the table.

    For answers that do not say so themselves.
    """
    if engine != "table":
        say(f"engine: {engine}")
    for each in assumptions:
        say(f"assumed: {safe(each)}")


def say_warned(warnings: Sequence[NotFinite]) -> None:
    """Print on stderr where a run first left the finite range, if it did."""
    if warnings:
        first, *others = warnings
        sample = "" if first.sample is None else f"sample {first.sample}: "
        more = f" (and {counted(len(others), 'more sample')})" if others else ""
        say(f"warning: {sample}{first.text}{more}")


def refuse_two_pipes(texts: dict[str, str]) -> None:
    """Reject two options that would both read stdin.

    Raises:
        UsageError: names them.
    """
    piped = [name for name, text in texts.items() if text == "-"]
    if len(piped) > 1:
        raise UsageError(
            f"{' and '.join(piped)} both read stdin", where="-", hint="give one of them as @FILE"
        )


def refuse_idle(given: Iterable[str], owner: str, command: str, beside: str = "") -> None:
    """Reject options that have no effect without another option.

    Args:
        given: the options that are given.
        owner: the option that they need.
        command: the command, for the message.
        beside: what is given that takes the place of the option they need.

    Raises:
        UsageError: names the first of them.
    """
    for name in given:
        hint = f"give {owner} too, or leave {name} out"
        if beside:
            hint = f"leave {name} out, or give {owner} in place of {beside}"
        raise UsageError(f"{name} has no effect without {owner}", where=command, hint=hint)


def refuse_beside(what: str, given: Iterable[str], command: str) -> None:
    """Reject options that have no effect beside something else that is given.

    Raises:
        UsageError: names the first of them.
    """
    for name in given:
        raise UsageError(
            f"{name} has no effect with {what}", where=command,
            hint=f"leave {name} out, or leave {what} out",
        )  # fmt: skip


def _chosen_state(
    state: Array | None, name: str, number: int, samples: int, places: int
) -> Array | None:
    """Return one sample's rows of a state, if it has rows for all of them.

    Args:
        places: the layers and directions, each with a row of its own.

    Raises:
        UsageError: as many samples as layers and directions: either may be meant.
    """
    if state is None or (state.ndim == 2 and (places > 1 or len(state) != samples)):
        return state
    if state.ndim == 2:
        one: Array = state[number]
        return one
    axes = [axis for axis in (0, 1) if state.shape[axis] == samples
            and state.shape[1 - axis] == places]  # fmt: skip
    if not axes or (len(axes) > 1 and samples > 1):
        raise UsageError(
            f"{name} has shape {state.shape}, --x holds {samples} samples and the model needs "
            f"{places} rows", where=name, hint="give the rows of this sample alone",
        )  # fmt: skip
    rows: Array = state.take(number, axes[0])
    return rows


def _chosen_sample(x: Array, sample: int | None, chosen: str) -> Array:
    """Return x `(T, I)`, or `(N, T, I)` if the format can hold samples."""
    if x.ndim == 2:
        if sample not in (None, 0):
            raise UsageError("--x is one sequence", where="--sample", hint="leave out --sample")
        return x
    if sample is None and len(x) == 1 and chosen not in _MANY:
        sample = 0  # a batch of one, as PyTorch takes it
    if sample is not None:
        if sample >= len(x):
            raise UsageError(
                f"--sample {sample} is outside 0 to {len(x) - 1}", where="--sample",
                hint="samples are numbered from 0",
            )  # fmt: skip
        chosen_rows: Array = x[sample]
        return chosen_rows
    if chosen not in _MANY:
        raise UsageError(
            f"--x holds {len(x)} samples, and {chosen} shows one",
            where="--x",
            hint="--sample 0, or -f json, jsonl, npz, whose values are then (samples, units)"
            + (f"; for one sample of {len(x)} steps x[:, 0]" if x.shape[1] == 1 else ""),
        )
    return x
