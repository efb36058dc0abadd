"""`lstm-step explain`: a step worked out, a word of the LSTM, or an exercise sheet."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_cli.base.errors import UsageError
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option
from lstm_cli.commands.explain.exercise.options import COMMAND, FORMATS, Exercise

if TYPE_CHECKING:
    from lstm_cli.engine.run import Trace
    from lstm_cli.show.worked import Ask

EXAMPLES = """\b
With --x: the step as arithmetic, every product and sum with its numbers, for the unit with the
largest |h| or those of --unit. With WORD: what the word means; `explain words` has them all.
With --exercise: a sheet with blanks. Without --x it gets short random numbers: --seed tells
which, --hidden-size and --input-size how many; `diagnose EXERCISE.json --grade ANSWERS.csv`
grades what comes back.

\b
Examples:
  lstm-step explain --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1
  lstm-step explain --x "1,2,3; 4,5,6" -w samples/weights/hand.json --unit 0:2 --only z_f,f,c
  lstm-step explain --x 0.5,1 --cell peephole --preset random --notation split -f latex
  lstm-step explain forget-gate
  lstm-step explain --exercise --seed 7 --hidden-size 2 --input-size 3 --steps 2 -f latex
  lstm-step explain --exercise --x 1,2,3 --weights samples/weights/hand.json --ask c,h
  lstm-step explain --exercise --seed 7 --save ex.json --template answers.csv --key key.txt
  lstm-step diagnose ex.json --grade answers.csv
"""

# A step is for reading, an exercise for paper and pencil.
DIGITS, EXERCISE_DIGITS = 6, 4
TERMS = 8
WIDEST_PAGE = 100  # longer lines of words are hard to read


def explain(
    word: Annotated[
        str, typer.Argument(metavar="[WORD]", help="A word of the LSTM; `words` lists them.")
    ] = "",
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
        int, option("--seed", min=0, help="The seed of the random numbers.")
    ] = 0,
    hidden_size: o.HiddenSize = 0,
    output_size: o.OutputSize = 0,
    cell: o.CellName = "",
    convention: o.ConventionName = "",
    forget_bias: o.ForgetBias = None,
    clip: o.Clip = None,
    cell_clip: o.CellClip = None,
    activations: o.Activations = "",
    dtype: o.DtypeName = o.Dtype.FLOAT64,
    allow_nonfinite: i.AllowNonfinite = False,
    sample: i.SampleNumber = None,
    unit: Annotated[
        str,
        option("--unit", "-u", metavar="UNITS", help="Work out these: 2, 0:3, 0,2,5, all."),
    ] = "",
    at: Annotated[
        str, option("--at", metavar="STEPS", help="Work out these: 3, 1:10, last, all.")
    ] = "",
    only: Annotated[
        str, option("--only", metavar="SYMBOLS", help="Only these rows: z_f,f,c.")
    ] = "",
    terms: Annotated[
        int,
        option("--terms", min=1, metavar="N",
               help="Products of a sum that are shown one by one, the largest."),
    ] = TERMS,
    exercise: Annotated[
        bool, option("--exercise", help="A sheet with blanks to fill in.")
    ] = False,
    input_size: Annotated[
        int,
        option("--input-size", min=0, metavar="I",
               help="I of an exercise, where no --x tells it."),
    ] = 0,
    round_: Annotated[
        int | None,
        option("--round", min=0, max=17, metavar="N",
               help="Round an exercise's weights and vectors to N decimals first."),
    ] = None,
    ask: Annotated[
        str,
        option("--ask", metavar="SYMBOLS",
               help="What an exercise asks; else f,i,g,o,c,h."),
    ] = "",
    key: Annotated[
        str,
        option("--key", metavar="FILE", help="Write the key here; - puts it behind."),
    ] = "",
    show_key: Annotated[
        bool, option("--show-key", help="Put the key behind the sheet, on a new page.")
    ] = False,
    template: Annotated[
        str,
        option("--template", metavar="FILE", help="Write a CSV to fill in here."),
    ] = "",
    save: Annotated[
        str,
        option("--save", metavar="FILE", help="Keep the exercise here, as a sample."),
    ] = "",
    notation: Annotated[
        o.NotationName | None,
        option("--notation",
               help="joined: W_f · [h, x] (the default); split: W_f x + U_f h."),
    ] = None,
    digits: Annotated[
        int | None,
        option("--digits", "-d", min=1, max=17,
               help=f"Decimals: {DIGITS}, of an exercise {EXERCISE_DIGITS}."),
    ] = None,
    format_: Annotated[
        str, option("--format", "-f", metavar="FORMAT", help="text, markdown, latex, json.")
    ] = "",
    as_json: Annotated[bool, option("--json", help="The same as -f json.")] = False,
    output: o.Output = "-",
    color: o.ColorWhen = o.Color.AUTO,
) -> None:  # fmt: skip
    """Work a step out with its numbers, or say what a word means.

    The row of each gate with its numbers put in, stage by stage, and a sentence on what the gate
    does; a page of the glossary; or an exercise with blanks, its key and a file to grade against.
    """
    given = i.RunInputs(
        x, h, c, o.CellOptions(cell, forget_bias, clip, cell_clip, activations),
        weights, layer, direction, convention, external, preset, seed, hidden_size, output_size,
        steps, sample, dtype, allow_nonfinite, COMMAND,
    )  # fmt: skip
    sheet = Exercise(input_size, round_, ask, key, show_key, template, save)
    of_a_step = {"--unit": unit, "--at": at, "--only": only, "--terms": terms != TERMS,
                 "--dtype": dtype is not o.Dtype.FLOAT64, "--allow-nonfinite": allow_nonfinite,
                 "--color": color is not o.Color.AUTO}  # fmt: skip
    known = FORMATS if word or exercise else [*FORMATS, "json"]
    if "json" not in known and (as_json or format_ == "json"):
        _refuse_json("--json" if as_json else "-f json", exercise)
    chosen = o.pick_format(format_ or "" if as_json else format_ or "text", as_json, known,
                           terminal=True)  # fmt: skip
    layout = notation or o.NotationName.JOINED
    if word:
        _refuse_beside(
            "the word", _run_options(given) | sheet.named() | {"--exercise": exercise} | of_a_step
            | {"--digits": digits},
        )  # fmt: skip
        _write_word(word, chosen, layout, output)
    elif exercise:
        _refuse_beside("--exercise", of_a_step)
        sheet.write(given, chosen, digits or EXERCISE_DIGITS, layout, output)
    else:
        i.refuse_idle(sheet.named(), "--exercise", COMMAND)
        _work_out(given, unit, at, only, layout, digits or DIGITS, terms, chosen, output, color)


def _run_options(given: i.RunInputs) -> dict[str, object]:
    own = given.cell
    return {
        "--x": given.x, "--h": given.h, "--c": given.c, "--steps": given.steps,
        "--weights": given.weights, "--layer": given.layer, "--direction": given.direction,
        "--convention": given.convention, "--allow-external-data": given.external,
        "--preset": given.preset, "--seed": given.seed, "--hidden-size": given.hidden_size,
        "--output-size": given.output_size, "--sample": given.sample is not None,
        "--cell": own.name, "--forget-bias": own.forget_bias is not None,
        "--clip": own.clip is not None, "--cell-clip": own.cell_clip is not None,
        "--activations": own.activations,
    }  # fmt: skip


def _refuse_beside(what: str, options: dict[str, object]) -> None:
    """Refuse options that belong to another use of the command.

    Raises:
        UsageError: names the first of them.
    """
    for name, value in options.items():
        if value:
            raise UsageError(
                f"{name} has no effect beside {what}", where=COMMAND,
                hint=f"leave {name} out, or leave {what} out",
            )  # fmt: skip


def _refuse_json(option: str, exercise: bool) -> None:
    """Refuse JSON of what is made for people to read.

    Raises:
        UsageError: says where its numbers are as JSON, if anywhere.
    """
    what = "an exercise's sheet" if exercise else "a page of the glossary"
    also = "; --save FILE keeps the exercise as a sample, in JSON" if exercise else ""
    raise UsageError(
        f"{what} is for people to read, and has no JSON", where=option,
        hint=f"one of: {', '.join(FORMATS)}{also}",
    )  # fmt: skip


def _write_word(word: str, kind: str, notation: o.NotationName, output: str) -> None:
    """Write the page of a word, or the list of all."""
    import shutil

    from lstm_cli.commands.explain.glossary import word_named
    from lstm_cli.commands.explain.glossary_page import index, page
    from lstm_cli.files.output import write_out
    from lstm_cli.show.sheets import in_ascii

    width = min(shutil.get_terminal_size((80, 24)).columns, WIDEST_PAGE)
    listed = word.strip().lower() == "words"
    pieces = index(kind) if listed else page(word_named(word), kind, notation.value, width)
    pretty = output != "-" or "utf" in (sys.stdout.encoding or "").lower()
    write_out(pieces if pretty else map(in_ascii, pieces), output)


def _work_out(
    given: i.RunInputs, unit: str, at: str, only: str, notation: o.NotationName, digits: int,
    terms: int, chosen: str, output: str, color: o.Color,
) -> None:  # fmt: skip
    """Write the worked arithmetic of the chosen steps and units."""
    if not given.x:
        raise UsageError(
            "--x is missing: there is no step to explain", where=COMMAND,
            hint=f"`{COMMAND} --h 0,0.5 --x 1,0.3`, `{COMMAND} forget-gate` "
            f"or `{COMMAND} --exercise --seed 7`",
        )  # fmt: skip
    trace = given.trace("text")  # also in JSON: one sample at a time

    from lstm_cli.show.worked import Ask, check

    symbols = tuple(dict.fromkeys(name for name in re.split(r"[\s,]+", only) if name))
    ask = Ask(unit, at, symbols, notation.value, digits, terms)
    check(trace, ask)
    _emit(trace, ask, chosen, output, color)


def _emit(trace: Trace, ask: Ask, chosen: str, output: str, color: o.Color) -> None:
    from lstm_cli.files.output import write_out

    if chosen == "text":
        from lstm_cli.show.worked_text import print_worked

        o.show(lambda console: print_worked(console, trace, ask), color, output)
        return
    if chosen == "json":
        from lstm_cli.base.version import __version__
        from lstm_cli.commands.explain.worked_json import to_json

        write_out(to_json(trace, ask, __version__), output)
        return
    from lstm_cli.commands.explain.worked_latex import to_latex
    from lstm_cli.show.worked_text import to_markdown

    write_out((to_latex if chosen == "latex" else to_markdown)(trace, ask), output)
    i.say_assumed(trace.assumptions)
