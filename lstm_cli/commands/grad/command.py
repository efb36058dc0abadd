"""`lstm-step grad`: the backward pass, every gradient beside its equation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from lstm_cli.base.errors import ExitCode, UsageError
from lstm_cli.base.foreign import say
from lstm_cli.base.numbers import counted
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option

if TYPE_CHECKING:
    from lstm_cli.base.arrays import Array
    from lstm_cli.commands.grad.gradients import Report
    from lstm_cli.engine.grad import Gradients
    from lstm_cli.engine.run import Trace
    from lstm_cli.show.rows import View

EXAMPLES = """\b
d_f is the gradient of the loss with respect to f, shown as δf in tables. The loss is a weighted
sum of the last layer's outputs: --dh, --dc and --d-output are the weights (its gradients there).
By default it is the sum of the final h.
Exit codes: 0 done, 1 --check found a difference.

\b
Examples:
  lstm-step grad --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1
  lstm-step grad --x "1,2,3; 4,5,6" -w samples/weights/hand.json --check
  lstm-step grad --x 0.5,1 --cell peephole --preset random --dh 1,-1 -f latex
  lstm-step grad --x "1;0;1;1;0" -w samples/weights/parity.npz --through-time
  lstm-step grad --x 1,2 --json | jq '.parameters[0].d_W_f'
"""
FIRST = ("--x", "--weights", "--check")

COMMAND = "lstm-step grad"
FORMATS = ("table", "plain", "json", "csv", "markdown", "latex", "text", "html")


def _loss(name: str, metavar: str, words: str) -> Any:
    return option(name, default="", title="Loss", metavar=metavar, help=words)


def grad(
    given: i.RunOptions = i.RunOptions(COMMAND),
    dh: str = _loss("--dh", "NUMBERS", "Gradient of the loss at the final h."),
    dc: str = _loss("--dc", "NUMBERS", "Gradient of the loss at the final c."),
    d_output: str = _loss(
        "--d-output", "ROWS", "Gradient of the loss at h of every step, one row per step."
    ),
    check: bool = option("--check", default=False, help="Compare with central differences."),
    through_time: bool = option(
        "--through-time",
        default=False,
        title="Show",
        help="Show how gradients fade or grow backward in time.",
    ),
    view: o.ViewOptions = o.ViewOptions(),
    form: o.FormatOptions = o.FormatOptions(FORMATS, "plain"),
    color: o.ColorOptions = o.ColorOptions(),
) -> None:
    """Show the backward pass of a run: every gradient.

    The equations are derived from the cell's table, for every variant and for your own cells.
    """
    chosen = form.pick()
    vectors = given.vectors
    i.refuse_two_pipes({"--x": vectors.x, "--h": vectors.h, "--c": vectors.c, "--dh": dh,
                        "--dc": dc, "--d-output": d_output})  # fmt: skip
    trace = given.trace(chosen)

    from lstm_cli.show.rows import checked_view

    shown = checked_view(view.view(), trace, gradients=True)
    report = _report(_gradients(trace, dh, dc, d_output), check, through_time)
    _emit(report, shown, chosen, form, color)
    if report.margin and not report.margin.passed:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _gradients(trace: Trace, dh: str, dc: str, d_output: str) -> Gradients:
    """Compute the gradients of the loss that the options describe."""
    from lstm_cli.engine.grad import grad

    told: list[str] = []
    final_h, final_c = _rows(dh, "--dh", told), _rows(dc, "--dc", told)
    output = _rows(d_output, "--d-output", told, trace.steps)
    if told:
        trace = replace(trace, assumptions=(*trace.assumptions, *told))
    return grad(trace, final_h, final_c, output)


def _rows(text: str, name: str, told: list[str], steps: int = 0) -> Array | None:
    """Read one row per step, or the only one; another number of rows is a usage error."""
    if not text:
        return None
    from lstm_cli.files.vectors import read_vector

    rows = read_vector(text, name, told=told)
    if steps and len(rows) != steps:
        raise UsageError(
            f"{name} has {counted(len(rows), 'row')}, but the run has {counted(steps, 'step')}",
            where=name,
            hint="give one row per step, in the order of x",
        )
    if not steps and rows.ndim > 1 and len(rows) > 1:
        raise UsageError(
            f"{name} has {len(rows)} rows, but needs one",
            where=name,
            hint="give one number per unit of the last layer; --d-output takes one row per step",
        )
    return rows if steps else rows.reshape(-1)


def _report(gradients: Gradients, check: bool, through_time: bool) -> Report:
    from lstm_cli.commands.grad.gradients import Report
    from lstm_cli.engine import grad as b

    margin = b.check(gradients.trace, gradients) if check else None
    flow = b.through_time(gradients.trace) if through_time else ()
    return Report(gradients, margin, flow)


def _emit(
    report: Report, view: View, chosen: str, form: o.FormatOptions, color: o.ColorOptions
) -> None:
    from lstm_cli.commands.grad.gradients import grad_answer, margin_text

    o.emit(grad_answer(report, view), chosen, form, color)
    if chosen in ("table", "json", "text", "html"):  # they say it themselves
        return
    loss = report.gradients.loss
    assumed = (*report.gradients.trace.assumptions, *([] if loss.given else [loss.describe()]))
    i.say_assumed(assumed, report.gradients.trace.engine)
    if report.margin:
        say(margin_text(report.margin))
