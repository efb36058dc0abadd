"""`lstm-step explain`: a step for people to work through; so far as an exercise sheet."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_cli.cli import inputs as i
from lstm_cli.cli import options as o
from lstm_cli.errors import UsageError, safe, suggest

if TYPE_CHECKING:
    from lstm_cli.engine import Trace
    from lstm_cli.render.exercise import Task
    from lstm_cli.weights import Model

EXAMPLES = """\b
Without --x an exercise gets short random numbers: --seed tells which, --hidden-size and
--input-size how many. `diagnose EXERCISE.json --grade ANSWERS.csv` grades what comes back.

\b
Examples:
  lstm-step explain --exercise
  lstm-step explain --exercise --seed 7 --hidden-size 2 --input-size 3 --steps 2 -f latex
  lstm-step explain --exercise --x 1,2,3 --weights samples/weights/hand.json --ask c,h
  lstm-step explain --exercise --seed 7 --save ex.json --template answers.csv --key key.txt
  lstm-step diagnose ex.json --grade answers.csv
"""

FORMATS = ["text", "markdown", "latex"]
COMMAND = "lstm-step explain"
MOST_STEPS = 100


def explain(
    exercise: Annotated[
        bool, typer.Option("--exercise", help="A sheet with blanks to fill in.")
    ] = False,
    x: i.X = "",
    h: i.H = "",
    c: i.C = "",
    steps: o.Steps = 0,
    weights: o.Weights = "",
    layer: o.LayerName = "",
    direction: o.DirectionName = None,
    external: o.External = False,
    preset: o.Preset = "",
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Which random numbers.")
    ] = 0,
    hidden_size: o.HiddenSize = 0,
    input_size: Annotated[
        int,
        typer.Option("--input-size", min=0, metavar="I", help="I, where no --x tells it."),
    ] = 0,
    output_size: o.OutputSize = 0,
    cell: o.CellName = "",
    convention: o.ConventionName = "",
    forget_bias: o.ForgetBias = None,
    clip: o.Clip = None,
    cell_clip: o.CellClip = None,
    activations: o.Activations = "",
    sample: i.SampleNumber = None,
    round_: Annotated[
        int | None,
        typer.Option("--round", min=0, max=17, metavar="N",
                     help="Round weights and vectors to N decimals first."),
    ] = None,
    ask: Annotated[
        str,
        typer.Option("--ask", metavar="SYMBOLS", help="What is asked; else f,i,g,o,c,h."),
    ] = "",
    key: Annotated[
        str,
        typer.Option("--key", metavar="FILE", help="Write the key here; - puts it behind."),
    ] = "",
    show_key: Annotated[
        bool, typer.Option("--show-key", help="Put the key behind the sheet, on a new page.")
    ] = False,
    template: Annotated[
        str,
        typer.Option("--template", metavar="FILE", help="Write a CSV to fill in here."),
    ] = "",
    save: Annotated[
        str,
        typer.Option("--save", metavar="FILE", help="Keep the exercise here, as a sample."),
    ] = "",
    notation: Annotated[
        o.NotationName,
        typer.Option("--notation", help="joined: W_f · [h, x]; split: W_f x + U_f h."),
    ] = o.NotationName.JOINED,
    digits: Annotated[
        int, typer.Option("--digits", "-d", min=1, max=17, help="Decimals of the answers.")
    ] = 4,
    format_: Annotated[
        str, typer.Option("--format", "-f", metavar="FORMAT", help="text, markdown or latex.")
    ] = "",
    output: o.Output = "-",
) -> None:  # fmt: skip
    """Make an exercise: a step on paper, with blanks.

    The given numbers, every row's equation, what to fill in; with its key, a template for
    answers, and the exercise itself as a file to grade against.
    """
    if not exercise:
        raise UsageError(
            "nothing says what to make of the step: so far that is an exercise",
            where=COMMAND, hint=f"{COMMAND} --exercise --seed 7, or lstm-step run for the numbers",
        )  # fmt: skip
    chosen = o.pick_format(format_ or "text", False, FORMATS, terminal=True)
    given = i.RunInputs(
        x, h, c, o.CellOptions(cell, forget_bias, clip, cell_clip, activations),
        weights, layer, direction, convention, external,
        preset, seed, hidden_size, output_size, steps, sample, command=COMMAND,
    )  # fmt: skip
    trace = _trace(given, input_size)
    if round_ is not None:
        from lstm_cli.exercises import rounded

        trace = rounded(trace, round_)
    from lstm_cli.render.exercise import Task

    source = save or trace.model.source
    task = Task(_asked(ask, trace), chosen, digits, notation.value, source)
    files = _Files(output, key, show_key, template, save)
    files.write(trace, task, given.cell)
    for assumption in trace.assumptions:
        print(f"assumed: {safe(assumption)}", file=sys.stderr)


def _trace(given: i.RunInputs, input_size: int) -> Trace:
    """Return the run of what is given, or of fresh random numbers where no --x is."""
    if given.x or given.h or given.c:
        i.refuse_idle({"--input-size": input_size}, "an exercise without --x", COMMAND)
        seeded = given.preset == "random"
        i.refuse_idle({"--seed": 0 if seeded else given.seed}, "--preset random", COMMAND)
        return given.trace()
    if given.steps > MOST_STEPS:
        raise UsageError(
            f"{given.steps} steps are not for paper", where="--steps",
            hint=f"at most {MOST_STEPS} steps of fresh numbers",
        )  # fmt: skip
    from lstm_cli.engine import run
    from lstm_cli.exercises import fresh_vectors

    model = _model(given, input_size)
    return run(model, *fresh_vectors(model, given.steps or 1, given.seed))


def _model(given: i.RunInputs, input_size: int) -> Model:
    """Return the model of a fresh exercise: a file's, a preset's, or one of short numbers."""
    from lstm_cli.cells import LSTM
    from lstm_cli.exercises import fresh_model
    from lstm_cli.presets import preset_model

    if given.weights:
        idle = {"--hidden-size": given.hidden_size, "--input-size": input_size,
                "--output-size": given.output_size, "--preset": given.preset}  # fmt: skip
        i.refuse_idle(idle, "weights of its own", COMMAND)
        return o.file_model(given.weights, given.layer, given.direction, given.convention,
                            given.cell, given.external)  # fmt: skip
    cell = given.cell.own_cell() or LSTM
    sizes = {"I": input_size or 3, "H": given.hidden_size or 2, "P": given.output_size}
    if given.preset:
        return preset_model(given.preset, cell, sizes=sizes, seed=given.seed)
    return fresh_model(cell, sizes, given.seed)


def _asked(ask: str, trace: Trace) -> tuple[str, ...]:
    """Return the names that are asked.

    Raises:
        UsageError: one that the cell does not compute.
    """
    from lstm_cli.render.exercise import askable, usually_asked

    names = tuple(dict.fromkeys(name for name in re.split(r"[\s,]+", ask) if name))
    known = askable(trace)
    for name in names:
        if name not in known:
            raise UsageError(
                f"'{safe(name)}' is nothing that the cell computes", where="--ask",
                hint=suggest(name, known),
            )  # fmt: skip
    return names or tuple(usually_asked(trace))


@dataclass(frozen=True)
class _Files:
    """Where the parts of an exercise go; "" is nowhere."""

    sheet: str
    key: str
    show_key: bool
    template: str
    sample: str

    def write(self, trace: Trace, task: Task, cell: o.CellOptions) -> None:
        """Write the parts, the sheet last.

        Raises:
            UsageError: two parts go to one file, or the run cannot be kept as a sample.
            OutputError: a file cannot be written.
        """
        from lstm_cli.render import exercise as render
        from lstm_cli.writers import write_out

        self._check()
        if self.sample:
            write_out([_sample_text(trace, cell, self.sample)], self.sample)
        if self.template:
            write_out(render.template(trace, task.ask), self.template)
        if self.key not in ("", "-"):
            write_out(render.key(trace, task), self.key)
        behind = self.show_key or self.key == "-"
        write_out(render.sheet(trace, task, with_key=behind), self.sheet)

    def _check(self) -> None:
        """Refuse two parts of the same name: the second would take the first's place."""
        named = {"-o": self.sheet, "--key": self.key, "--template": self.template,
                 "--save": self.sample}  # fmt: skip
        seen: dict[str, str] = {}
        for option, name in named.items():
            if name == "-" and option in ("--template", "--save"):
                raise UsageError(
                    f"{option} needs a file: stdout has the sheet", where=option,
                    hint=f"{option} FILE",
                )  # fmt: skip
            if name not in ("", "-") and name in seen:
                raise UsageError(
                    f"{seen[name]} and {option} name the same file", where=option,
                    hint="give each a file of its own",
                )  # fmt: skip
            seen[name] = option


def _sample_text(trace: Trace, cell: o.CellOptions, name: str) -> str:
    from pathlib import PurePath

    from lstm_cli.cells import Settings
    from lstm_cli.exercises import as_sample
    from lstm_cli.writers import json_text

    settings = Settings(cell.forget_bias, cell.clip, cell.cell_clip, cell.activations)
    document = as_sample(trace, PurePath(name).stem, cell.name, settings)
    members = ",\n ".join(
        f"{json_text(key)}: {json_text(value)}" for key, value in document.items()
    )
    return f"{{\n {members}\n}}\n"
