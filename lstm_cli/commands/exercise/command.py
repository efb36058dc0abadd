"""`lstm-step exercise`: a sheet with blanks, its key, and a template for the answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lstm_cli.base.errors import UsageError, safe
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import differing, option
from lstm_cli.files.output import check_targets

if TYPE_CHECKING:
    from lstm_cli.cell.weights import Model
    from lstm_cli.commands.exercise.exercise import Task
    from lstm_cli.engine.run import Trace

EXAMPLES = """\b
Without --x the numbers are short and random: --seed chooses them, --hidden-size and --input-size
set the sizes. `lstm-step grade EXERCISE.json ANSWERS.csv` grades the answers.

\b
Examples:
  lstm-step exercise --seed 7
  lstm-step exercise --seed 7 --hidden-size 2 --input-size 3 --steps 2 -f latex
  lstm-step exercise --x 1,2,3 --weights samples/weights/hand.json --ask c,h
  lstm-step exercise --seed 7 --save ex.json --template answers.csv --key key.txt
  lstm-step grade ex.json answers.csv
"""
FIRST = ("--seed", "--save", "--key")

COMMAND = "lstm-step exercise"
FORMATS = ("text", "markdown", "latex", "html")
DIGITS = 4  # for paper and pencil
MOST_STEPS = 100


def exercise(
    given: i.RunOptions = i.RunOptions(COMMAND, numbers=o.NumberOptions(narrow=False)),
    input_size: int = option(
        "--input-size",
        default=0,
        title="Input",
        min=0,
        metavar="SIZE",
        help="Input size I, without --x.",
    ),
    round_: int | None = option(
        "--round",
        default=None,
        title="Input",
        min=0,
        max=17,
        metavar="N",
        help="Round weights and vectors to N decimals first.",
    ),
    ask: str = option(
        "--ask", title="Show", metavar="SYMBOLS", help="Symbols to ask for; default f,i,g,o,c,h."
    ),
    key: str = option(
        "--key", metavar="FILE", help="Write the key to FILE; - adds it to the sheet."
    ),
    show_key: bool = option(
        "--show-key", default=False, title="Output", help="Add the key to the sheet, on a new page."
    ),
    template: str = option(
        "--template", title="Output", metavar="FILE", help="Write a CSV for the answers to FILE."
    ),
    save: str = option("--save", metavar="FILE", help="Save the exercise to FILE, as a sample."),
    notation: o.NotationOptions = o.NotationOptions(),
    digits: o.DigitOptions = o.DigitOptions(DIGITS),
    form: o.FormatOptions = o.FormatOptions(FORMATS),
) -> None:
    """Make an exercise sheet, its key, and a file to grade against.

    The sheet has the given numbers, the equations, and blanks to fill in. The key has every row of
    the cell; the template is a CSV file for the answers; `grade` reads the saved exercise.
    """
    if form.as_json or form.format_ == "json":
        raise UsageError(
            "an exercise sheet has no JSON form",
            where="--json" if form.as_json else "-f json",
            hint=f"one of: {', '.join(FORMATS)}; "
            "--save FILE saves the exercise as a sample, in JSON",
        )  # fmt: skip
    if differing(given.numbers):
        raise UsageError(
            "an exercise is computed in float64", where="--dtype", hint="leave --dtype out"
        )
    kind, output = form.pick(), form.output
    trace = _trace(given, input_size)
    if round_ is not None:
        from lstm_cli.commands.exercise.exercise import rounded

        trace = rounded(trace, round_)
    from lstm_cli.commands.exercise.exercise import Task

    source = save or trace.model.source
    task = Task(_asked(ask, trace), kind, digits.number(), notation.notation, source)
    targets = {"-o": output, "--key": key, "--template": template, "--save": save}
    _write(trace, task, given.cell, targets, show_key)
    i.say_assumed(trace.assumptions)


def _trace(given: i.RunOptions, input_size: int) -> Trace:
    """Run the given input, or new random numbers without --x."""
    from lstm_cli.engine.run import need_whole, run

    vectors, sized = given.vectors, ["--input-size"] if input_size else []
    from lstm_cli.engine.calls import need_single

    need_single(vectors.length.calls, "an exercise")
    if vectors.x or vectors.h or vectors.c:
        i.refuse_idle(sized, "an exercise without --x", COMMAND)
        trace = given.trace()
        need_whole(trace, "exercise")
        return trace
    i.refuse_idle(differing(vectors.masks), "--x", COMMAND)
    steps, seed = vectors.length.steps, given.preset.seed
    if steps > MOST_STEPS:
        raise UsageError(
            f"{steps} steps are too many for a sheet", where="--steps",
            hint=f"use at most {MOST_STEPS} steps of random numbers",
        )  # fmt: skip
    from lstm_cli.commands.exercise.exercise import fresh_vectors

    model = _model(given, input_size)
    return run(model, *fresh_vectors(model, steps or 1, seed))


def _model(given: i.RunOptions, input_size: int) -> Model:
    """Return the model of a new exercise: from a file, a preset, or short random numbers."""
    from lstm_cli.cell.cells import LSTM
    from lstm_cli.cell.presets import preset_model
    from lstm_cli.commands.exercise.exercise import fresh_model

    own = given.preset
    if given.file.weights:
        idle = differing(own).keys() - {"--seed"} | ({"--input-size"} if input_size else set())
        i.refuse_idle(sorted(idle), "weights of its own", COMMAND)
        return given.file_model()
    cell = given.cell.own_cell() or LSTM
    sizes = {"I": input_size or 3, "H": own.hidden_size or 2, "P": own.output_size}
    if own.preset:
        seed = own.seed if own.preset == "random" else 0  # which also chooses the vectors
        return preset_model(own.preset, cell, sizes=sizes, seed=seed)
    return fresh_model(cell, sizes, own.seed)


def _asked(ask: str, trace: Trace) -> tuple[str, ...]:
    """Return the symbols to ask for, by default all but the pre-activations.

    Raises:
        UsageError: the cell does not compute one of them.
    """
    from lstm_cli.cell.notation import suggest_symbol
    from lstm_cli.commands.exercise.exercise import askable

    names = o.names_in(ask)
    known = askable(trace)
    for name in names:
        if name not in known:
            raise UsageError(
                f"the cell does not compute '{safe(name)}'", where="--ask",
                hint=suggest_symbol(name, known),
            )  # fmt: skip
    return names or tuple(name for name, symbol in known.items() if not symbol.startswith("z_"))


def _write(
    trace: Trace, task: Task, cell: o.CellOptions, targets: dict[str, str], show_key: bool
) -> None:
    """Write the parts of an exercise to their targets, "" for nowhere; the sheet last.

    Raises:
        UsageError: two parts go to the same file, a suffix means another format, or the run cannot
            be saved as a sample.
        OutputError: a file cannot be written, or is also an input (checked before writing any).
    """
    from lstm_cli.commands.exercise import exercise as made
    from lstm_cli.files.output import format_beside, write_out

    sheet, key, template, sample = targets.values()
    for flag in ("--template", "--save"):
        if targets[flag] == "-":
            raise UsageError(
                f"{flag} needs a file: stdout is for the sheet", where=flag, hint=f"{flag} FILE"
            )
    apart = "" if key == "-" else key
    check_targets({**targets, "--key": apart})
    format_beside("--save", sample, ("json",), "json")
    format_beside("--template", template, ("csv",), "csv")
    kind = format_beside("--key", apart, FORMATS, task.kind)
    if sample:
        write_out([_sample_text(trace, cell, sample)], sample)
    if template:
        write_out(made.template(trace, task.ask), template)
    if apart:
        write_out(made.key(trace, replace(task, kind=kind)), apart)
    write_out(made.sheet(trace, task, with_key=show_key or key == "-"), sheet)


def _sample_text(trace: Trace, cell: o.CellOptions, name: str) -> str:
    from pathlib import PurePath

    from lstm_cli.commands.exercise.exercise import as_sample
    from lstm_cli.files.output import json_text

    document = as_sample(trace, PurePath(name).stem, cell.cell, cell.settings())
    members = ",\n ".join(
        f"{json_text(key)}: {json_text(value)}" for key, value in document.items()
    )
    return f"{{\n {members}\n}}\n"
