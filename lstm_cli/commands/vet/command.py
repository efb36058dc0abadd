"""`lstm-step vet`: which mistakes a test vector cannot see, and a vector that sees them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_cli.base.errors import ExitCode, InputError, LstmStepError, UsageError, safe
from lstm_cli.base.foreign import Foreign, indented, say
from lstm_cli.base.paste import FileName, command
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option

if TYPE_CHECKING:
    from lstm_cli.cell.weights import Model
    from lstm_cli.commands.vet.stronger import Stronger
    from lstm_cli.commands.vet.suites import Suite
    from lstm_cli.samples import Read
    from lstm_cli.samples.settings import SampleSettings

EXAMPLES = """\b
Every known mistake is made on purpose; those whose numbers still pass are what the vector cannot
see. A file of samples is a suite: a mistake passes where all its samples let it pass.
Exit codes: 0 done, 1 expected numbers do not match or a suite is too weak, 4 a sample failed.

\b
Examples:
  lstm-step vet samples/hand.json
  lstm-step vet samples/question.json -o /tmp/stronger.json
  lstm-step vet samples/*.json samples/streams.jsonl --json | jq '.suites[].strength'
  lstm-step vet samples/parity.json --min-strength 90
"""

FORMATS = ["table", "json", "jsonl", "markdown"]
SUFFIXES = (".json", ".jsonl", ".ndjson")
# So long nobody waits for a sign of life.
PATIENCE_SECONDS = 1.0


def vet(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES…", help="Sample files, folders, globs, - (stdin).")
    ],
    steps: o.Steps = 0,
    weights: o.Weights = "",
    layer: o.LayerName = "",
    preset: o.Preset = "",
    seed: o.Seed = 0,
    cell: o.CellName = "",
    convention: o.ConventionName = "",
    forget_bias: o.ForgetBias = None,
    clip: o.Clip = None,
    cell_clip: o.CellClip = None,
    activations: o.Activations = "",
    atol: Annotated[
        float | None, option("--atol", help="Tolerance, in place of the samples' own.")
    ] = None,
    every: Annotated[
        bool, option("--list", help="Show every mistake, also those that are seen.")
    ] = False,
    min_strength: Annotated[
        float,
        option("--min-strength", metavar="PERCENT", min=0, max=100,
               show_default=False, help="Exit with 1 where a suite is weaker."),
    ] = 0.0,
    format_: Annotated[
        str, option("--format", "-f", metavar="FORMAT", help=", ".join(FORMATS) + ".")
    ] = "",
    as_json: Annotated[bool, option("--json", help="The same as -f json.")] = False,
    output: Annotated[
        str,
        option("--output", "-o", metavar="FILE",
               help="Write a stronger vector here, .json or .jsonl; - is stdout, alone."),
    ] = "",
    quiet: Annotated[bool, option("--quiet", "-q", help="No notes, no progress.")] = False,
    color: o.ColorWhen = o.Color.AUTO,
) -> None:  # fmt: skip
    """Find the mistakes that a test vector cannot see.

    With -o write short numbers that see them all.
    """
    o.one_blas_thread()
    from lstm_cli.samples import find_files

    o.check_atol(atol)
    known = format_ or ("" if as_json else "table")
    chosen = o.pick_format(known, as_json, FORMATS, terminal=True)
    names = find_files(files)
    _check_output(output, names)
    _check_weights(weights, layer, preset, seed)
    table = o.CellOptions(cell, forget_bias, clip, cell_clip, activations)
    settings = _settings(table, weights, layer, convention, steps)
    explain = chosen == "json" or chosen == "jsonl" or len(names) == 1
    with _ticking(quiet) as tick:
        suites = [
            _vetted(name, settings, _naming(preset, seed), atol, explain, tick) for name in names
        ]
    if not quiet:
        _say_assumed(suites, settings.model)
    _refuse_alone(suites)
    if not quiet:
        _note(suites)
    made = _strengthened(suites[0], settings, output) if output else None
    if output != "-":
        _emit(suites, made, chosen, output, every, color)
    _leave(suites, min_strength)


def _check_output(output: str, names: Sequence[str]) -> None:
    if not output:
        return
    if len(names) > 1:
        raise UsageError(
            f"-o writes a vector for one file, and there are {len(names)}", where="-o",
            hint=command("vet", FileName(names[0]), "-o", "better.json"),
        )  # fmt: skip
    if output != "-" and not output.lower().endswith(SUFFIXES):
        raise UsageError(
            f"'{safe(Path(output).suffix)}' is no suffix of a sample file written here",
            where="-o", hint="-o better.json, or better.jsonl",
        )  # fmt: skip


def _check_weights(weights: str, layer: str, preset: str, seed: int) -> None:
    if not weights:
        i.refuse_idle({"--layer": layer}, "--weights", "lstm-step vet")
    if not preset:
        i.refuse_idle({"--seed": seed}, "--preset", "lstm-step vet")
    if weights and preset:
        raise UsageError("--weights and --preset are both given", where="lstm-step vet",
                         hint="keep one of them")  # fmt: skip


def _settings(
    table: o.CellOptions, weights: str, layer: str, convention: str, steps: int
) -> SampleSettings:
    from lstm_cli.formats.read import read_weights
    from lstm_cli.samples.settings import SampleSettings

    own = table.cell()
    model = (
        read_weights(weights, layer=layer, cell=own, convention=convention or None, edit=table.edit)
        if weights
        else None
    )
    return SampleSettings(model=model, weights=weights, layer=layer, cell=own, edit=table.edit,
                    convention=convention, steps=steps)  # fmt: skip


def _naming(preset: str, seed: int) -> Callable[[Read], Read]:
    """Return a function that gives samples without weights those of a preset."""
    from lstm_cli.samples import Sample

    named = {"preset": preset, **({"seed": seed} if seed else {})}

    def name(read: Read) -> Read:
        if preset and isinstance(read, Sample) and read.weights is None:
            return replace(read, weights=named)
        return read

    return name


def _vetted(
    name: str,
    settings: SampleSettings,
    named: Callable[[Read], Read],
    atol: float | None,
    explain: bool,
    tick: Callable[[], None],
) -> Suite:
    from lstm_cli.commands.vet.suites import vet_suite
    from lstm_cli.samples import BadSample, read_samples

    def reads() -> Iterator[Read]:
        try:
            yield from map(named, read_samples(name))
        except LstmStepError as error:
            yield BadSample(Foreign.of(name), error)

    shown = "stdin" if name == "-" else name
    return vet_suite(shown, reads(), settings, atol=atol, explain=explain, progress=tick)


def _refuse_alone(suites: Sequence[Suite]) -> None:
    """Raise what is wrong where there is nothing else to say.

    Raises:
        LstmStepError: the one sample could not be run, or does not match.
        InputError: no sample expects anything.
    """
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


def _say_assumed(suites: Sequence[Suite], model: Model | None) -> None:
    """Say on stderr what the weights leave open, once."""
    own = (each for suite in suites for each in suite.assumptions)
    i.say_assumed(dict.fromkeys((*(model.assumptions if model else ()), *own)))


def _note(suites: Sequence[Suite]) -> None:
    """Say on stderr what was left out, and why."""
    for suite in suites:
        for word, pairs in (("failed", suite.failed), ("left out", suite.mismatched)):
            for name, error in pairs:
                what, where, hint = map(indented, (error.what, error.where, error.hint))
                say(f"{word}: {safe(name)}: {what}\nwhere: {where}\ntry:   {hint}")
        count = len(suite.unchecked)
        if count:
            say(f"left out: {count} sample{'s' * (count != 1)} of {safe(suite.file)} "
                f"expect{'s' * (count == 1)} nothing")  # fmt: skip


def _strengthened(suite: Suite, settings: SampleSettings, output: str) -> Stronger | None:
    """Write a stronger vector; `-` is stdout, with paths relative to where we are."""
    from lstm_cli.commands.vet.documents import document_text
    from lstm_cli.commands.vet.stronger import strengthen
    from lstm_cli.files.output import write_out

    if not suite.subjects:
        return None  # what was wrong is said already
    target = Path("stdout.json" if output == "-" else output)
    made = strengthen(suite, settings, target)
    write_out(document_text(made.documents, target), output)
    return made


def _emit(
    suites: Sequence[Suite],
    made: Stronger | None,
    chosen: str,
    output: str,
    every: bool,
    color: o.Color,
) -> None:
    from lstm_cli.base.version import __version__
    from lstm_cli.commands.vet import show as shown
    from lstm_cli.files.output import json_text, write_out

    records = (shown.suite_record(suite, every=every) for suite in suites)
    there = [suite for suite in suites if suite.subjects]
    match chosen:
        case "json":
            document: dict[str, Any] = {
                "schema": "lstm-step/1", "command": "vet", "version": __version__,
                "suites": list(records),
                "stronger": None if made is None else shown.stronger_record(made, output),
            }  # fmt: skip
            write_out([json_text(document, indent=1) + "\n"])
        case "jsonl":
            write_out(json_text(record) + "\n" for record in records)
        case "markdown":
            write_out(shown.to_markdown(there))
        case _:
            o.show(lambda console: _draw(console, there, made, output, every), color)


def _draw(
    console: Any, suites: Sequence[Suite], made: Stronger | None, output: str, every: bool
) -> None:
    from lstm_cli.commands.vet import show as shown

    if len(suites) == 1:
        shown.print_suite(console, suites[0], every=every)
    elif suites:
        shown.print_suites(console, suites)
    if made is not None:
        shown.print_stronger(console, made, output)


def _leave(suites: Sequence[Suite], min_strength: float) -> None:
    if any(suite.failed for suite in suites):
        raise typer.Exit(ExitCode.SOME_SAMPLES_FAILED)
    weak = any(suite.strength < min_strength for suite in suites)
    if weak or any(suite.mismatched for suite in suites):
        raise typer.Exit(ExitCode.CHECK_FAILED)


@contextmanager
def _ticking(quiet: bool) -> Iterator[Callable[[], None]]:
    """Give a function to call after every sample; counts show on a terminal once it takes long."""
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
