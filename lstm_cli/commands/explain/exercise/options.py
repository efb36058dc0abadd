"""What `explain --exercise` makes of its options: the run, what is asked, the files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_cli.base.errors import UsageError, safe, suggest
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.files.inputs_read import check_unread

if TYPE_CHECKING:
    from lstm_cli.cell.weights import Model
    from lstm_cli.commands.explain.exercise.show import Task
    from lstm_cli.engine.run import Trace

FORMATS = ["text", "markdown", "latex"]
COMMAND = "lstm-step explain"
MOST_STEPS = 100


@dataclass(frozen=True, eq=False)
class Exercise:
    """The options that only an exercise has.

    Attributes:
        input_size, round_, ask: of its numbers and questions.
        key, show_key, template, save: where its parts go.
    """

    input_size: int = 0
    round_: int | None = None
    ask: str = ""
    key: str = ""
    show_key: bool = False
    template: str = ""
    save: str = ""

    def named(self) -> dict[str, object]:
        """Return option -> whether it was given."""
        return {"--input-size": self.input_size, "--round": self.round_ is not None,
                "--ask": self.ask, "--key": self.key, "--show-key": self.show_key,
                "--template": self.template, "--save": self.save}  # fmt: skip

    def write(
        self, given: i.RunInputs, kind: str, digits: int, notation: o.NotationName, output: str
    ) -> None:
        """Write the exercise and its parts; errors as the readers, the engine and the writers."""
        trace = _trace(given, self.input_size)
        if self.round_ is not None:
            from lstm_cli.commands.explain.exercise.exercise import rounded

            trace = rounded(trace, self.round_)
        from lstm_cli.commands.explain.exercise.show import Task

        source = self.save or trace.model.source
        task = Task(_asked(self.ask, trace), kind, digits, notation.value, source)
        files = _Files(output, self.key, self.show_key, self.template, self.save)
        files.write(trace, task, given.cell)
        i.say_assumed(trace.assumptions)


def _trace(given: i.RunInputs, input_size: int) -> Trace:
    """Return the run of what is given, or of fresh random numbers where no --x is."""
    if given.x or given.h or given.c:
        i.refuse_idle({"--input-size": input_size}, "an exercise without --x", COMMAND)
        seeded = given.preset == "random"
        i.refuse_idle({"--seed": 0 if seeded else given.seed}, "--preset random", COMMAND)
        return given.trace()
    if given.steps > MOST_STEPS:
        raise UsageError(
            f"{given.steps} steps are too many for paper", where="--steps",
            hint=f"at most {MOST_STEPS} steps of fresh numbers",
        )  # fmt: skip
    from lstm_cli.commands.explain.exercise.exercise import fresh_vectors
    from lstm_cli.engine.run import run

    model = _model(given, input_size)
    return run(model, *fresh_vectors(model, given.steps or 1, given.seed))


def _model(given: i.RunInputs, input_size: int) -> Model:
    """Return the model of a fresh exercise: a file's, a preset's, or one of short numbers."""
    from lstm_cli.cell.cells import LSTM
    from lstm_cli.cell.presets import preset_model
    from lstm_cli.commands.explain.exercise.exercise import fresh_model

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
    from lstm_cli.commands.explain.exercise.show import askable, usually_asked

    names = tuple(dict.fromkeys(name for name in re.split(r"[\s,]+", ask) if name))
    known = askable(trace)
    for name in names:
        if name not in known:
            raise UsageError(
                f"the cell does not compute '{safe(name)}'", where="--ask",
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
            OutputError: a file cannot be written; before any is, one that is also read.
        """
        from lstm_cli.commands.explain.exercise import show as render
        from lstm_cli.files.output import write_out

        self._check()
        for name in (self.sample, self.template, self.key, self.sheet):
            if name not in ("", "-"):
                check_unread(Path(name))
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
            place = os.path.realpath(name) if name not in ("", "-") else name
            if place not in ("", "-") and place in seen:
                raise UsageError(
                    f"{seen[place]} and {option} name the same file", where=option,
                    hint="give each a file of its own",
                )  # fmt: skip
            seen[place] = option


def _sample_text(trace: Trace, cell: o.CellOptions, name: str) -> str:
    from pathlib import PurePath

    from lstm_cli.cell.cells import Settings
    from lstm_cli.commands.explain.exercise.exercise import as_sample
    from lstm_cli.files.output import json_text

    settings = Settings(cell.forget_bias, cell.clip, cell.cell_clip, cell.activations)
    document = as_sample(trace, PurePath(name).stem, cell.name, settings)
    members = ",\n ".join(
        f"{json_text(key)}: {json_text(value)}" for key, value in document.items()
    )
    return f"{{\n {members}\n}}\n"
