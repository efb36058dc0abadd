"""`lstm-step batch`: many samples from files or stdin, one answer each."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_cli.cli import options as o
from lstm_cli.errors import ExitCode, LstmStepError, indented, safe

if TYPE_CHECKING:
    from rich.console import Console

    from lstm_cli.batch import Tally

EXAMPLES = """\b
A sample is {"id", "x", "h", "c", "weights", "cell", "convention", "steps", "expected", "atol"}:
JSON (one, or an array), JSONL (one a line), npz (arrays over samples), CSV (columns of these
names, a vector a cell). Only x is needed; paths are relative to the sample's file.
Exit codes: 0 all fine, 1 an expected number differs, 4 a sample could not be run.

\b
Examples:
  lstm-step batch samples/ --check
  lstm-step batch 'data/*.jsonl' --weights model.npz > answers.jsonl
  cat samples/question.json | lstm-step batch - --trace | jq '.steps[0].f'
"""


def batch(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES…", help="Sample files, folders, globs, - (stdin).")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Compare with what samples expect.")
    ] = False,
    atol: Annotated[
        float | None, typer.Option("--atol", help="Tolerance, in place of the samples' own.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Put every step in the answers.")] = False,
    steps: o.Steps = 0,
    weights: o.Weights = "",
    layer: o.LayerName = "",
    cell: o.CellName = "",
    convention: o.ConventionName = "",
    forget_bias: o.ForgetBias = None,
    clip: o.Clip = None,
    cell_clip: o.CellClip = None,
    activations: o.Activations = "",
    dtype: o.DtypeName = o.Dtype.FLOAT64,
    format_: Annotated[
        str, typer.Option("--format", "-f", metavar="FORMAT", help="table or jsonl.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The same as -f jsonl.")] = False,
    output: o.Output = "-",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No summary, no progress.")] = False,
    color: o.ColorWhen = o.Color.AUTO,
) -> None:  # fmt: skip
    """Evaluate files of samples.

    One record a sample, in their order; none is ever dropped.
    """
    from lstm_cli.batch import DEFAULT_ATOL, Settings, Tally, evaluate_samples
    from lstm_cli.readers import read_weights
    from lstm_cli.samples import find_files
    from lstm_cli.writers import json_text, write_out

    o.check_atol(atol)
    chosen = o.pick_format(
        "jsonl" if as_json and not format_ else format_, False, ["table", "jsonl"],
        terminal=output == "-" and sys.stdout.isatty(),
    )  # fmt: skip
    table = o.CellOptions(cell, forget_bias, clip, cell_clip, activations)
    own = table.cell()
    model = (
        read_weights(weights, layer=layer, cell=own, convention=convention or None, edit=table.edit)
        if weights
        else None
    )
    settings = Settings(
        model=model,
        weights=weights,
        layer=layer,
        cell=own,
        edit=table.edit,
        convention=convention,
        steps=steps,
        atol=DEFAULT_ATOL if atol is None else atol,
        force_atol=atol is not None,
        dtype=dtype.value,
        trace=trace,
        check=check,
    )
    tally = Tally()
    records = (
        tally.count(record)
        for record in evaluate_samples(_all_samples(find_files(files)), settings)
    )
    shown = _with_progress(_noted(records, quiet), tally, quiet or output == "-")
    if chosen == "table":
        listed = list(shown)
        o.show(lambda console: _print_table(console, listed, check), color, output)
    else:
        write_out((json_text(record) + "\n" for record in shown), output)
    if not quiet:
        print(_summary(tally, check), file=sys.stderr)
        if tally.mismatched:
            named = " ".join(shlex.quote(safe(each)) for each in files[:3])
            print(f"why they differ: lstm-step diagnose {named}", file=sys.stderr)
    if tally.failed:
        raise typer.Exit(ExitCode.SOME_SAMPLES_FAILED)
    if tally.mismatched or (check and not tally.matched):
        # A check that compared nothing has not said yes.
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _all_samples(files: Iterable[str]) -> Iterator[Any]:
    """Yield the samples of all files; a file that cannot be read is one failed sample."""
    from lstm_cli.samples import BadSample, read_samples

    for name in files:
        try:
            yield from read_samples(name)
        except LstmStepError as error:
            yield BadSample(name, error)


def _noted(records: Iterable[dict[str, Any]], quiet: bool) -> Iterator[dict[str, Any]]:
    """Pass records on, with a line on stderr for each that failed or differs."""
    for record in records:
        if not quiet:
            if not record["ok"]:
                error = record["error"]
                where, message, hint = (indented(error[key]) for key in ("where", "message", "try"))
                print(
                    f"failed: {safe(record['id'])}: {message}\nwhere: {where}\ntry:   {hint}",
                    file=sys.stderr,
                )
            elif record.get("check") and not record["check"]["matched"]:
                print(f"differs: {safe(record['id'])}: {_worst(record)}", file=sys.stderr)
        yield record


def _worst(record: dict[str, Any]) -> str:
    check = record["check"]
    worst = check["worst"]
    return (
        f"{safe(worst['symbol'])}[{worst['unit']}] at t = {worst['t']} is {worst['got']}, "
        f"expected {worst['expected']}: off by {_short(check['max_abs_diff'])}, "
        f"tolerance {_short(check['tolerance'])}"
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _with_progress(
    records: Iterator[dict[str, Any]], tally: Tally, off: bool
) -> Iterator[dict[str, Any]]:
    """Count samples on stderr while they pass, only on a terminal and only for a file output."""
    if off or not sys.stderr.isatty():
        yield from records
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.completed} samples"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        for record in records:
            progress.update(task, completed=tally.samples)
            yield record


def _print_table(console: Console, records: list[dict[str, Any]], check: bool) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    headings = ["sample", "", "largest difference", "tolerance", "where"] if check else [
        "sample", "", "h"
    ]  # fmt: skip
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for record in records:
        table.add_row(*(Text(safe(cell)) for cell in _cells(record, check)))
    console.print(table)


def _cells(record: dict[str, Any], check: bool) -> list[str]:
    name = record["id"]
    if not record["ok"]:
        return [name, "failed", record["error"]["message"]]
    if not check:
        return [name, "ok", ", ".join(_short(value) for value in record["h"])]
    result = record["check"]
    if result is None:
        return [name, "nothing expected"]
    worst = result["worst"]
    return [
        name,
        "matches" if result["matched"] else "differs",
        _short(result["max_abs_diff"]),
        _short(result["tolerance"]),
        f"{worst['symbol']}[{worst['unit']}], t = {worst['t']}",
    ]


def _summary(tally: Tally, check: bool) -> str:
    text = f"{tally.samples} sample" + ("" if tally.samples == 1 else "s")
    if check:
        unchecked = tally.samples - tally.failed - tally.matched - tally.mismatched
        text += f": {tally.matched} match, {tally.mismatched} differ"
        text += f", {unchecked} with nothing expected" if unchecked else ""
    return text + (f", {tally.failed} failed" if tally.failed else "")
