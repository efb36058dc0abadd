"""`lstm-step batch`: many samples from files or stdin, one answer each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_cli.base.errors import ExitCode, UsageError
from lstm_cli.base.foreign import safe, say
from lstm_cli.base.numbers import counted
from lstm_cli.base.paste import FileName, command, option_words
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option, options

if TYPE_CHECKING:
    from lstm_cli.samples.settings import Tally

# At most so many assumptions, and keys of the user's own, are listed.
MOST_SAID = 8
# Of more files than this no command names all.
MOST_NAMED = 8

EXAMPLES = """\b
A sample is {"id", "x", "h", "c", "weights", "cell", "convention", "steps", "length", "mask",
"calls", "expected", "atol"}: JSON (one, or an array), JSONL (one a line), CSV and TSV (columns of
these names, a vector a cell, or x0, x1, … a number a cell), each also .gz or .zst; npz (arrays over
samples), Parquet (list columns). Only x is needed; h_prev and h0 stand for h; beside h_prev, h and
c are what should come out. Paths are relative to the sample's file; members of your own are handed
on to the answers.
Answers are JSONL, or what the suffix of -o says: CSV, TSV, Parquet and npz have a row a sample.
Exit codes: 0 all fine, 1 an expected number differs, 4 a sample could not be run.

\b
Examples:
  lstm-step batch samples/ --check
  lstm-step batch 'data/*.jsonl' --weights model.npz > answers.jsonl
  lstm-step batch data.csv --weights model.npz -o answers.csv
  lstm-step batch big.jsonl.gz -o answers.jsonl --jobs 8 --resume
  lstm-step batch 's3://bucket/in/*.jsonl' -o s3://bucket/out/ --dask tcp://host:8786
  cat samples/question.json | lstm-step batch - --trace | jq '.steps[0].f'
"""
FIRST = ("--weights", "--check", "--output")


FORMATS = ("table", "jsonl", "json", "csv", "tsv", "parquet", "npz", *o.WRITTEN)


@options("Work")
class WorkOptions:
    """Where a batch is worked on, and what is kept of an earlier run."""

    jobs: int | None = option(
        "--jobs", "-j", default=None, min=0, metavar="N", help="Processes; 0: all cores."
    )
    dask: str = option(
        "--dask", default="", metavar="ADDRESS", help="A Dask scheduler, tcp://…, or local."
    )
    resume: bool = option(
        "--resume", default=False, help="With -o: keep what an interrupted run answered."
    )
    retry_failed: bool = option(
        "--retry-failed", default=False, help="With -o: keep all answers but failed ones."
    )


def batch(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES…", help="Sample files, folders, globs, - (stdin).")
    ],
    check: bool = option("--check", default=False, help="Compare with what samples expect."),
    tolerance: o.ToleranceOptions = o.ToleranceOptions(),
    trace: bool = option(
        "--trace", default=False, title="Output", help="Put every step in the answers."
    ),
    steps: i.StepOptions = i.StepOptions(),
    confined: bool = option(
        "--confined",
        default=False,
        title="Input",
        help="Samples may name files in their own folder only.",
    ),
    read: i.ReadingOptions = i.ReadingOptions(),
    file: o.WeightFile = o.WeightFile(),
    cell: o.CellOptions = o.CellOptions(),
    numbers: o.NumberOptions = o.NumberOptions(),
    engine: o.EngineOptions = o.EngineOptions(),
    strict: o.StrictOptions = o.StrictOptions(),
    form: o.FormatOptions = o.FormatOptions(FORMATS, "jsonl", "jsonl"),
    work: WorkOptions = WorkOptions(),
    quiet: bool = option(
        "--quiet", "-q", default=False, title="Output", help="No summary, no progress."
    ),
    color: o.ColorOptions = o.ColorOptions(),
) -> None:
    """Evaluate files of samples.

    One record a sample, in their order; none is ever dropped.
    """
    from lstm_cli.commands.batch import output as out
    from lstm_cli.commands.batch.columns import batch_answer, check_columns
    from lstm_cli.commands.batch.work import Work
    from lstm_cli.files.output import is_device, write_out
    from lstm_cli.samples import find_files
    from lstm_cli.samples.files import all_chunks
    from lstm_cli.samples.settings import Tally

    atol = tolerance.checked()
    chosen, output = form.pick(), form.output
    check_columns(chosen, output, trace=trace)
    out.check_cluster_options(work.dask, work.jobs, output, chosen)
    settings = file.sample_settings(
        cell, reading=read.reading(), steps=steps.steps, calls=steps.calls, atol=atol,
        dtype=numbers.dtype,
        engine=engine.engine, trace=trace, check=check, root=os.getcwd() if work.dask else "",
        confined=confined,
    )  # fmt: skip
    resume, retry_failed = work.resume, work.retry_failed
    if (resume or retry_failed) and (output == "-" or chosen != "jsonl"):
        option = "--retry-failed" if retry_failed else "--resume"
        raise UsageError(
            f"{option} needs a file of JSONL to go on with", where=option, hint="-o answers.jsonl"
        )
    shown = chosen in ("table", *o.WRITTEN)
    task = Work(settings, notes=not quiet)
    others: list[str] = []
    found = find_files(files, settings.reading, others.append)
    chunks = all_chunks(found, reading=settings.reading)
    parted = out.in_parts(output, work.dask)
    kept = parted or (output != "-" and chosen == "jsonl" and not is_device(Path(output)))
    with (
        out.make_runner(work.jobs, not quiet, work.dask) as runner,
        out.BatchProgress(quiet or output == "-") as progress,
    ):
        if parted:
            tally = out.run_in_parts(runner, task, found, output, retry_failed, progress)
        elif kept:
            resumable = out.ResumableOutput(
                Path(output), settings.digest(), resume or retry_failed, retry_failed
            )
            tally = resumable.run(runner, task, chunks, progress)
        else:
            tally = Tally()
            lines = out.answered_lines(out.answers_of(runner, task, chunks), tally, progress)
            if shown:
                records = [json.loads(line) for each in lines for line in each]
            else:
                pieces = out.file_pieces(lines, chosen, output, settings, piped="-" in found)
                write_out(pieces, output)
    if shown:
        o.emit(batch_answer(records, check), chosen, form, color)
    if not quiet:
        say(_summary(tally, check), *_left_open(tally, others))
        if kept and tally.failed:
            say("the failed ones once more: the same command with --retry-failed")
        if tally.mismatched and not tally.failed and "-" not in files and len(files) <= MOST_NAMED:
            given = o.pasteable(steps, read, file, cell, numbers, tolerance)
            line = command("diagnose", *map(FileName, files), *option_words(given))
            say(f"why they differ: {line}")
    if tally.failed:
        raise typer.Exit(ExitCode.SOME_SAMPLES_FAILED)
    if tally.mismatched or (check and not tally.matched) or (strict.strict and tally.warned):
        # A check that compared nothing has not passed.
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _left_open(tally: Tally, others: list[str]) -> Iterator[str]:
    """Yield what is to be said of samples that were run, and their keys that are not ours.

    `others` are files of folders that hold no samples.
    """
    from lstm_cli.samples.settings import MOST_OF_A_KEY, MOST_TEXTS

    if others:
        yield f"passed over, for they hold no samples: {_first(others)}"
    for word, texts in (("warning", tally.warned), ("assumed", tally.assumed)):
        for text, count in islice(sorted(texts.items()), MOST_SAID):
            yield f"{word}: {safe(text)} ({counted(count, 'sample')})"
        if len(texts) > MOST_SAID:
            yield f"{word}: … and {len(texts) - MOST_SAID} more"
    if names := sorted(tally.handed_on):
        many = len(names) == MOST_TEXTS  # others were not counted
        yield f"handed on, and not used: {_first([n[:MOST_OF_A_KEY] for n in names], many)}"


def _first(names: list[str], many: bool = False) -> str:
    """The first of names, and how many more there are."""
    more = len(names) - MOST_SAID
    rest = f" and {'many' if many else more} more" if more > 0 else ""
    return ", ".join(map(safe, names[:MOST_SAID])) + rest


def _summary(tally: Tally, check: bool) -> str:
    text = counted(tally.samples, "sample")
    if check:
        unchecked = tally.samples - tally.failed - tally.matched - tally.mismatched
        text += f": {tally.matched} match, {tally.mismatched} differ"
        text += f", {unchecked} with nothing expected" if unchecked else ""
    return text + (f", {tally.failed} failed" if tally.failed else "")
