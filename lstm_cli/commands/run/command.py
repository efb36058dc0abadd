"""`lstm-step run`: one step or N, every value beside its equation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from lstm_cli.base.errors import ExitCode, UsageError
from lstm_cli.base.foreign import say
from lstm_cli.commands import _fixed_options as f
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option
from lstm_cli.commands.run import long_run

if TYPE_CHECKING:
    from rich.console import Console

    from lstm_cli.engine.fixed_point import FixedSettings
    from lstm_cli.engine.run import Trace
    from lstm_cli.show.rows import View

EXAMPLES = f"""\b
Vectors: 0,0.5,-1e-3 · [0 0.5] · a pasted np.array([...]) · rows by ; · @file.csv ·
@file.npz:key · - for stdin. A --h or --c that is not given is zeros.

{f.HELP}
\b
Examples:
  lstm-step --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1
  lstm-step --x "1,2,3; 4,5,6" --weights samples/weights/hand.json
  lstm-step --x 1,0 --preset count --steps 5 --at all
  lstm-step --x 0.5,1 --cell peephole --preset random --notation split
  lstm-step --x "1;0;1;1" -w samples/weights/parity.npz -f table --strip
  lstm-step --x @x.npy --weights model.npz -f csv -o trace.csv
  lstm-step --x 1,2 --json | jq '.steps[].f'
  lstm-step --x "1,2,3; 4,5,6" -w samples/weights/hand.json -f c -o golden.h
  lstm-step --x "1,2,3; 4,5,6" -w samples/weights/hand.json --fixed Q3.12,sum=Q7.24
"""


def run(
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
    engine: o.EngineName = o.Engine.AUTO,
    fixed: f.Spec = "",
    fixed_rounding: f.Rounding = None,
    fixed_overflow: f.Overflow = None,
    fixed_activation: f.Activation = "",
    allow_nonfinite: i.AllowNonfinite = False,
    unit: Annotated[
        str, option("--unit", "-u", metavar="UNITS", help="Show only these: 3, 0:8, 0,2,5.")
    ] = "",
    at: Annotated[
        str, option("--at", metavar="STEPS", help="Show only these: 3, 1:10, last, all.")
    ] = "",
    strip: Annotated[
        bool, option("--strip", help="Below the table, draw the whole run over time.")
    ] = False,
    sample: i.SampleNumber = None,
    notation: Annotated[
        o.NotationName,
        option("--notation", help="joined: W_f · [h, x]; split: W_f x + U_f h."),
    ] = o.NotationName.JOINED,
    digits: Annotated[
        int, option("--digits", "-d", min=0, max=17, help="Decimals in tables.")
    ] = 6,
    format_: Annotated[
        str,
        option("--format", "-f", metavar="FORMAT",
               help="table, plain, json, jsonl, csv, markdown, latex, npz, c (a header)."),
    ] = "",
    as_json: Annotated[bool, option("--json", help="The same as -f json.")] = False,
    output: o.Output = "-",
    color: o.ColorWhen = o.Color.AUTO,
) -> ExitCode:  # fmt: skip
    """Show every gate of one step or many.

    Each value stands beside the equation that made it.

    Options alone mean this command: `lstm-step --h … --x …`.
    """
    known = ["table", "plain", "json", "jsonl", "csv", "markdown", "latex", "npz", "c"]
    chosen = o.pick_format(format_, as_json, known, terminal=output == "-" and sys.stdout.isatty())
    if chosen == "npz" and output == "-" and sys.stdout.isatty():
        raise UsageError("npz cannot be shown on a terminal", where="-f npz", hint="-o trace.npz")
    if strip:
        _check_strip(chosen, fixed)
    integers = f.FixedOptions(fixed, fixed_rounding, fixed_overflow, fixed_activation)
    settings = integers.settings(chosen)
    if settings is None:
        i.refuse_idle(integers.named(), "--fixed", "lstm-step run")
    inputs = i.RunInputs(
        x, h, c, o.CellOptions(cell, forget_bias, clip, cell_clip, activations),
        weights, layer, direction, convention, external,
        preset, seed, hidden_size, output_size, steps, sample, dtype, allow_nonfinite,
        engine=engine,
    )  # fmt: skip
    given = inputs.given(chosen)

    from lstm_cli.engine.run import run as run_model
    from lstm_cli.show.rows import View, checked_view

    view = View(notation.value, digits, unit, at, target="" if output == "-" else output)
    if settings is None and long_run.is_written_as_it_goes(given, chosen):
        return long_run.write(given, inputs, view, chosen, output)
    trace = run_model(*given, dtype=dtype.value, engine=engine.value)
    view = checked_view(view, trace)
    if settings is None:
        _emit(trace, view, chosen, output, color, strip)
    else:
        _emit_fixed(trace, settings, view, chosen, output, color)
    return ExitCode.DONE


def _check_strip(chosen: str, fixed: str) -> None:
    """Refuse a strip where there is no table to stand under, or one of integers.

    Raises:
        UsageError: says which.
    """
    if chosen != "table":
        raise UsageError(
            f"--strip is drawn under a table, and the format is {chosen}",
            where="--strip",
            hint="-f table, also for a pipe or a file",
        )
    if fixed:
        raise UsageError(
            "--strip draws the run in floating point", where="--fixed", hint="leave one of them out"
        )


def _emit(trace: Trace, view: View, chosen: str, output: str, color: o.Color, strip: bool) -> None:
    from lstm_cli.base.version import __version__
    from lstm_cli.files.output import write_out

    if chosen != "table":
        from lstm_cli.commands.run.text import FORMATS

        write_out(FORMATS[chosen](trace, view, __version__), output)
        _say_assumptions(trace, chosen)
        return
    from lstm_cli.show.terminal import print_trace

    if not strip:
        o.show(lambda console: print_trace(console, trace, view), color, output)
        return
    from lstm_cli.commands.run.strip import print_strip

    def both(console: Console) -> None:
        print_trace(console, trace, view)
        print_strip(console, trace, view)

    o.show(both, color, output)


def _say_assumptions(trace: Trace, chosen: str) -> None:
    """Say on stderr what had to be assumed, where the format has no place for it."""
    if chosen != "json":
        i.say_assumed(trace.assumptions)


def _emit_fixed(
    trace: Trace, settings: FixedSettings, view: View, chosen: str, output: str, color: o.Color
) -> None:
    """Write the run in integers beside the float run."""
    from lstm_cli.base.version import __version__
    from lstm_cli.engine.fixed_point import beside
    from lstm_cli.files.output import write_out

    fixed = beside(trace, settings)
    if chosen != "table":
        from lstm_cli.commands.run.fixed import FORMATS, overflow_text

        write_out(FORMATS[chosen](fixed, view, __version__), output)
        _say_assumptions(trace, chosen)
        if chosen != "json" and (said := overflow_text(fixed)):
            say(f"overflow: {said}")
        return
    from lstm_cli.commands.run.fixed_table import print_fixed

    o.show(lambda console: print_fixed(console, fixed, view), color, output)
