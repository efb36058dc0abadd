"""`lstm-step run`: one or more steps, every value beside its equation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lstm_cli.base.errors import ExitCode, UsageError
from lstm_cli.base.foreign import say
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import differing, option

if TYPE_CHECKING:
    from rich.console import Console

    from lstm_cli.engine.fixed_settings import FixedSettings
    from lstm_cli.engine.run import Trace
    from lstm_cli.show.rows import View

EXAMPLES = f"""\b
Vectors: 0,0.5,-1e-3 · [0 0.5] · a pasted np.array([...]) · rows by ; · @file.csv ·
@file.npz:key · - for stdin. --h and --c default to zeros.

{i.FIXED_HELP}
\b
Examples:
  lstm-step --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1
  lstm-step --x "1,2,3; 4,5,6" --weights samples/weights/hand.json
  lstm-step --x 1,0 --preset count --steps 5 --at all
  lstm-step --x 0.5,1 --cell peephole --preset random --notation split
  lstm-step --x "1;0;1;1" -w samples/weights/parity.npz -f table --strip
  lstm-step --x @x.npy --weights model.npz -o trace.csv
  lstm-step --x 1,2 --json | jq '.steps[].f'
  lstm-step --x "1,2,3; 4,5,6" -w samples/weights/hand.json -o golden.h
  lstm-step --x "1,2,3; 4,5,6" -w samples/weights/hand.json --fixed Q3.12,sum=Q7.24
"""
FIRST = ("--x", "--h", "--weights")


FORMATS = ("table", "plain", "json", "jsonl", "csv", "markdown", "latex", "text", "html", "npz",
           "c")  # fmt: skip


def run(
    given: i.RunOptions = i.RunOptions(),
    engine: o.EngineOptions = o.EngineOptions(),
    strict: o.StrictOptions = o.StrictOptions(),
    fixed: i.FixedOptions = i.FixedOptions(),
    view: o.ViewOptions = o.ViewOptions(),
    strip: bool = option(
        "--strip", default=False, help="Draw the whole run over time below the table."
    ),
    form: o.FormatOptions = o.FormatOptions(FORMATS, "plain"),
    color: o.ColorOptions = o.ColorOptions(),
) -> ExitCode:
    """Show every gate of one or more steps.

    Each value is shown beside the equation that produced it.

    Options without a command mean `run`: `lstm-step --h … --x …`.
    """
    chosen = form.pick()
    if strip:
        _check_strip(chosen, fixed.fixed)
    settings = fixed.settings(chosen, given.command)
    if settings is not None or chosen == "c":
        whole = "--fixed" if settings is not None else "-f c"
        parts = differing(view.choice).keys() & {"--layer", "--direction", "--only"}
        i.refuse_beside(f"{whole}, which shows all of the run", sorted(parts), given.command)
    inputs = given.given(chosen)

    from lstm_cli.commands.run.long_run import is_written_as_it_goes
    from lstm_cli.engine.run import need_whole
    from lstm_cli.show.rows import checked_view

    dtype, computed_by = given.numbers.dtype, engine.engine
    shown = view.view(form.output)
    if settings is None and is_written_as_it_goes(inputs, chosen):
        from lstm_cli.commands.run.streaming import write

        code = write(inputs, dtype, computed_by, shown, chosen, form.output, strict=strict.strict)
        form.say_written(chosen)
        return code
    trace = inputs.run(dtype, computed_by)
    if settings is not None or chosen == "c":
        need_whole(trace, "--fixed" if settings is not None else "-f c")
    shown = checked_view(shown, trace)
    if settings is None:
        _emit(trace, shown, chosen, form, color, strip)
    else:
        _emit_fixed(trace, settings, shown, chosen, form, color)
    i.say_warned(trace.warnings)
    return ExitCode.CHECK_FAILED if strict.strict and trace.warnings else ExitCode.DONE


def _check_strip(chosen: str, fixed: str) -> None:
    """Reject `--strip` without a table, or with a table of integers."""
    if chosen != "table":
        raise UsageError(
            f"--strip is drawn below a table, but the format is {chosen}",
            where="--strip",
            hint="-f table, also for a pipe or a file",
        )
    if fixed:
        raise UsageError(
            "--strip draws the run in floating point", where="--fixed", hint="leave one of them out"
        )


def _emit(
    trace: Trace, view: View, chosen: str, form: o.FormatOptions, color: o.ColorOptions, strip: bool
) -> None:
    from lstm_cli.commands.run.text import run_answer

    def below(console: Console) -> None:
        if strip:
            from lstm_cli.commands.run.strip import print_strip

            print_strip(console, trace, view)

    o.emit(run_answer(trace, view), chosen, form, color, below)
    _say_assumptions(trace, chosen)


def _say_assumptions(trace: Trace, chosen: str) -> None:
    """Print assumptions on stderr if the format does not include them."""
    if chosen not in ("table", "json", "text", "html"):
        i.say_assumed(trace.assumptions, trace.engine)


def _emit_fixed(
    trace: Trace,
    settings: FixedSettings,
    view: View,
    chosen: str,
    form: o.FormatOptions,
    color: o.ColorOptions,
) -> None:
    """Write the fixed-point run beside the floating-point run."""
    from lstm_cli.commands.run.fixed import fixed_answer, overflow_text
    from lstm_cli.engine.fixed_point import beside

    fixed = beside(trace, settings)
    o.emit(fixed_answer(fixed, view), chosen, form, color)
    _say_assumptions(trace, chosen)
    if chosen not in ("table", "json") and (said := overflow_text(fixed)):
        say(f"overflow: {said}")
