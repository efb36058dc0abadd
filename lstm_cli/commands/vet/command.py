"""`lstm-step vet`: which mistakes a test vector misses, and a vector that catches them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_cli.base.errors import ExitCode, InputError, UsageError, safe
from lstm_cli.base.foreign import indented, say
from lstm_cli.base.numbers import counted
from lstm_cli.base.paste import FileName, command
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import differing, option

if TYPE_CHECKING:
    from lstm_cli.commands.vet.show import Stronger, Suite
    from lstm_cli.samples import Read
    from lstm_cli.samples.settings import SampleSettings

EXAMPLES = """\b
Every known mistake is made on purpose; those whose numbers still pass are what the vector misses.
A file of samples is a suite: a mistake passes if all its samples let it pass.
Exit codes: 0 done, 1 expected numbers do not match or a suite is too weak, 4 a sample failed.

\b
Examples:
  lstm-step vet samples/hand.json
  lstm-step vet samples/question.json --stronger /tmp/stronger.json
  lstm-step vet samples/*.json samples/streams.jsonl --json | jq '.suites[].strength'
  lstm-step vet samples/parity.json --min-strength 90
"""
FIRST = ("--weights", "--min-strength", "--stronger")

COMMAND = "lstm-step vet"
FORMATS = ("table", "json", "jsonl", *o.WRITTEN)
SUFFIXES = (".json", ".jsonl", ".ndjson")
# Seconds before progress is shown.
PATIENCE_SECONDS = 1.0


def vet(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES…", help="Sample files, folders, globs, - (stdin).")
    ],
    steps: i.StepOptions = i.StepOptions(),
    file: o.WeightFile = o.WeightFile(),
    preset: o.PresetOptions = o.PresetOptions(),
    cell: o.CellOptions = o.CellOptions(),
    tolerance: o.ToleranceOptions = o.ToleranceOptions(),
    every: bool = option(
        "--list",
        default=False,
        title="Show",
        help="List every mistake, including those that are caught.",
    ),
    min_strength: float = option(
        "--min-strength",
        default=0.0,
        metavar="PERCENT",
        min=0,
        max=100,
        help="Exit with code 1 if a suite is weaker.",
    ),
    stronger: str = option(
        "--stronger",
        metavar="FILE",
        help="Write a stronger vector to this file, .json or .jsonl; - is stdout.",
    ),
    form: o.FormatOptions = o.FormatOptions(FORMATS),
    quiet: bool = option(
        "--quiet", "-q", default=False, title="Output", help="No notes, no progress."
    ),
    color: o.ColorOptions = o.ColorOptions(),
) -> None:
    """Find the mistakes that a test vector misses.

    With --stronger, write a vector of short numbers that catches them all.
    """
    o.one_blas_thread()
    from lstm_cli.commands.vet.show import vet_answer
    from lstm_cli.commands.vet.suites import vet_suite
    from lstm_cli.files.output import check_targets
    from lstm_cli.samples import find_files
    from lstm_cli.samples.settings import samples_of

    atol = tolerance.checked()
    chosen, output = form.pick(), form.output
    names = find_files(files)
    _check_stronger(stronger, names)
    if file.weights and preset.preset:
        raise UsageError("--weights and --preset are both given", where=COMMAND,
                         hint="keep one of them")  # fmt: skip
    if not preset.preset:
        i.refuse_idle(differing(preset), "--preset", COMMAND)
    settings = file.sample_settings(cell, steps=steps.steps, calls=steps.calls)
    explain = chosen == "json" or chosen == "jsonl" or len(names) == 1
    with _ticking(quiet) as tick:
        suites = [
            vet_suite("stdin" if name == "-" else name, map(_naming(preset), samples_of(name)),
                      settings, atol=atol, explain=explain, progress=tick)
            for name in names
        ]  # fmt: skip
    if not quiet:
        of_all = settings.model.assumptions if settings.model else ()
        own = (each for suite in suites for each in suite.assumptions)
        i.say_assumed(dict.fromkeys((*of_all, *own)))
    _refuse_alone(suites)
    if not quiet:
        _note(suites)
    alone = stronger == output == "-"
    check_targets({"-o": "" if alone else output, "--stronger": stronger})
    made = _strengthened(suites[0], settings, stronger) if stronger else None
    if not alone:
        o.emit(vet_answer(suites, made, stronger, every=every), chosen, form, color)
    _exit_if_failed(suites, min_strength)


def _check_stronger(stronger: str, names: Sequence[str]) -> None:
    if not stronger:
        return
    if len(names) > 1:
        raise UsageError(
            f"--stronger writes a vector for one file, but there are {len(names)}",
            where="--stronger",
            hint=command("vet", FileName(names[0]), "--stronger", "better.json"),
        )
    if stronger != "-" and not stronger.lower().endswith(SUFFIXES):
        raise UsageError(
            f"'{safe(Path(stronger).suffix)}' is not a suffix for a sample file",
            where="--stronger", hint="--stronger better.json, or better.jsonl",
        )  # fmt: skip


def _naming(preset: o.PresetOptions) -> Callable[[Read], Read]:
    """Return a function that fills in a preset for samples without weights."""
    from lstm_cli.samples import Sample

    own = {name: getattr(preset, name) for name in ("seed", "hidden_size", "output_size")}
    named = {"preset": preset.preset, **{name: number for name, number in own.items() if number}}

    def name(read: Read) -> Read:
        if preset.preset and isinstance(read, Sample) and read.weights is None:
            return replace(read, weights=named)
        return read

    return name


def _refuse_alone(suites: Sequence[Suite]) -> None:
    """Raise the error if there is nothing else to report."""
    if any(suite.subjects for suite in suites):
        return
    errors = [error for suite in suites for _, error in (*suite.failed, *suite.mismatched)]
    if len(errors) == 1:
        raise errors[0]
    if not errors:
        raise InputError(
            "no sample expects numbers", where=", ".join(safe(suite.file) for suite in suites[:3]),
            hint='a test vector needs them: "expected": {"h": […]}',
        )  # fmt: skip


def _note(suites: Sequence[Suite]) -> None:
    """Report on stderr what was left out, and why."""
    for suite in suites:
        for word, pairs in (("failed", suite.failed), ("left out", suite.mismatched)):
            for name, error in pairs:
                what, where, hint = map(indented, error.lines)
                say(f"{word}: {safe(name)}: {what}\nwhere: {where}\ntry:   {hint}")
        count = len(suite.unchecked)
        if count:
            say(f"left out: {counted(count, 'sample')} of {safe(suite.file)} "
                f"expect{'s' * (count == 1)} nothing")  # fmt: skip


def _strengthened(suite: Suite, settings: SampleSettings, stronger: str) -> Stronger | None:
    """Write a stronger vector; `-` is stdout, with paths relative to the current folder."""
    from lstm_cli.commands.vet.vetting import document_text, strengthen
    from lstm_cli.files.output import write_out

    if not suite.subjects:
        return None  # the error has been reported already
    target = Path("stdout.json" if stronger == "-" else stronger)
    made = strengthen(suite, settings, target)
    write_out(document_text(made.documents, target), stronger)
    return made


def _exit_if_failed(suites: Sequence[Suite], min_strength: float) -> None:
    if any(suite.failed for suite in suites):
        raise typer.Exit(ExitCode.SOME_SAMPLES_FAILED)
    weak = any(suite.strength < min_strength for suite in suites)
    if weak or any(suite.mismatched for suite in suites):
        raise typer.Exit(ExitCode.CHECK_FAILED)


@contextmanager
def _ticking(quiet: bool) -> Iterator[Callable[[], None]]:
    """Yield a function to call after every sample; on a terminal it shows a count after a while."""
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.completed} samples"), TimeElapsedColumn()
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task("", total=None)
    start = time.monotonic()

    def tick() -> None:
        progress.advance(task)
        if not progress.live.is_started and time.monotonic() - start > PATIENCE_SECONDS:
            progress.start()

    try:
        yield tick
    finally:
        if progress.live.is_started:
            progress.stop()
