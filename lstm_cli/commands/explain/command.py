"""`lstm-step explain`: a step worked out, or a word of the LSTM."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_cli.base.errors import UsageError
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option
from lstm_cli.files.output import choose_format

if TYPE_CHECKING:
    from lstm_cli.engine.run import Trace
    from lstm_cli.show.worked import Ask

EXAMPLES = """\b
With --x: the step as arithmetic, every product and sum with its numbers, for the unit with the
largest |h| or those of --unit. With WORD: what the word means; `explain words` has them all.

\b
Examples:
  lstm-step explain --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1
  lstm-step explain --x "1,2,3; 4,5,6" -w samples/weights/hand.json --unit 0:2 --only z_f,f,c
  lstm-step explain --x 0.5,1 --cell peephole --preset random --notation split -f latex
  lstm-step explain forget-gate
"""

COMMAND = "lstm-step explain"
FORMATS = ["text", "markdown", "latex"]
DIGITS = 6
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
    seed: o.Seed = 0,
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
    notation: Annotated[
        o.NotationName,
        option("--notation",
               help="joined: W_f · [h, x] (the default); split: W_f x + U_f h."),
    ] = o.NotationName.JOINED,
    digits: Annotated[
        int | None,
        option("--digits", "-d", min=1, max=17,
               help=f"Decimals; else {DIGITS}."),
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
    does; or a page of the glossary.
    """
    given = i.RunInputs(
        x, h, c, o.CellOptions(cell, forget_bias, clip, cell_clip, activations),
        weights, layer, direction, convention, external, preset, seed, hidden_size, output_size,
        steps, sample, dtype, allow_nonfinite, COMMAND,
    )  # fmt: skip
    if not word:
        known = [*FORMATS, "json"]
        chosen = choose_format(output, format_, as_json, known, ("text", "text"))
        _work_out(given, unit, at, only, notation, digits or DIGITS, terms, chosen, output, color)
        return
    if as_json or format_ == "json":
        raise UsageError(
            "a page of the glossary is for people to read, and has no JSON",
            where="--json" if as_json else "-f json", hint=f"one of: {', '.join(FORMATS)}",
        )  # fmt: skip
    chosen = choose_format(output, format_, False, FORMATS, ("text", "text"))
    of_a_step = {"--unit": unit, "--at": at, "--only": only, "--terms": terms != TERMS,
                 "--dtype": dtype is not o.Dtype.FLOAT64, "--allow-nonfinite": allow_nonfinite,
                 "--color": color is not o.Color.AUTO, "--digits": digits}  # fmt: skip
    i.refuse_beside("the word", _run_options(given) | of_a_step, COMMAND)
    _write_word(word, chosen, notation, output)


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
            hint=f"{COMMAND} --h 0,0.5 --x 1,0.3, or {COMMAND} forget-gate",
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
