"""`lstm-step diagnose`: which mistake produces someone's numbers from these weights and inputs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_cli.base.errors import ExitCode, InputError, UsageError, safe
from lstm_cli.base.foreign import say
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import differing, option

if TYPE_CHECKING:
    from lstm_cli.engine.fixed_settings import FixedSettings
    from lstm_cli.engine.run import Trace
    from lstm_cli.mistakes.diagnosis import Diagnosis
    from lstm_cli.mistakes.expected import Expected
    from lstm_cli.samples.sample import Sample

EXAMPLES = """\b
FILES: samples whose `expected` values are the numbers in question, or two traces written by
`lstm-step … --json`: ours, then theirs. Without FILES: the options of `run`, and --expect.
Exit codes: 0 all match, 1 some differ (explained or not), 3 a file cannot be read.

\b
Examples:
  lstm-step diagnose samples/threads/missing-tanh.json
  lstm-step diagnose samples/threads/ --json | jq -r '.id + ": " + .findings[0].id'
  lstm-step diagnose --x 0.5,1 --h 0.1,0.2 --c 1,-1 --expect h=0.4337,-0.4882
  lstm-step diagnose --x 1,2 --weights model.npz --expect f=0.7,0.2 --expect h=0.1,0.3
  lstm-step diagnose mine.json theirs.json --weights model.npz
  lstm-step diagnose port.json --fixed Q3.12
"""
FIRST = ("--x", "--expect", "--weights")

COMMAND = "lstm-step diagnose"
FORMATS = ("table", "jsonl", "json", *o.WRITTEN)


def diagnose(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILES…]", help="Samples, or two traces."),
    ] = None,
    given: i.RunOptions = i.RunOptions(COMMAND),
    how: i.ReadingOptions = i.ReadingOptions(),
    expect: list[str] = option(
        "--expect",
        "-e",
        default=(),
        metavar="[SYMBOL=]ROWS",
        help="Their numbers: h=0.1,0.2; f=…; output=ROWS. Empty positions are not compared.",
    ),
    tolerance: o.ToleranceOptions = o.ToleranceOptions(),
    search: o.SearchOptions = o.SearchOptions(),
    fixed: i.FixedOptions = i.FixedOptions(),
    digits: o.DigitOptions = o.DigitOptions(),
    form: o.FormatOptions = o.FormatOptions(FORMATS, json_is="jsonl"),
    color: o.ColorOptions = o.ColorOptions(),
) -> None:
    """Explain why two sets of numbers differ.

    Finds the first value that differs, and the mistake or convention that gives exactly these
    numbers.
    """
    o.one_blas_thread()
    chosen = form.pick()
    reading = _Reading(tolerance.checked(), fixed.settings("table", COMMAND))
    cases = _cases(files or [], given, how, expect, reading)
    diagnosed = ((name, replace(_with_progress(trace, expected, search.departures), given=own))
                 for name, trace, expected, own in cases)  # fmt: skip
    from lstm_cli.commands.diagnose.show import diagnose_answer

    verdicts: list[str] = []

    def noted() -> Iterator[tuple[str, Diagnosis]]:
        for name, each in diagnosed:
            verdicts.append(each.verdict)
            yield name, each

    o.emit(diagnose_answer(noted(), digits.number()), chosen, form, color)
    if any(verdict != "match" for verdict in verdicts):
        raise typer.Exit(ExitCode.CHECK_FAILED)


Given = Mapping[str, object]
Case = tuple[str, "Trace", "Expected", Given | None]


@dataclass(frozen=True, eq=False)
class _Reading:
    """How the numbers in question are read: the tolerance, and the fixed-point format, if any."""

    atol: float | None
    integers: FixedSettings | None

    def read(
        self, expected: dict[str, Any], trace: Trace, place: str, *,
        atol: float | None = None, decimals: dict[str, Any] | None = None,
        sample: tuple[int, int] | None = None,
    ) -> tuple[Trace, Expected]:  # fmt: skip
        """Return the run to compare with, and the expected numbers."""
        import numpy as np

        from lstm_cli.mistakes.expected import read_expected, read_integers

        if any(np.ndim(each) == 2 and len(trace.of_steps_run(each)) < len(each)
               for each in map(np.asarray, expected.values())):  # fmt: skip
            told = "expected rows of steps that are not run: not compared"
            trace = replace(trace, assumptions=(*trace.assumptions, told))
        if self.integers is not None:
            return read_integers(expected, trace, self.integers, place)
        limit = atol if self.atol is None else self.atol
        return trace, read_expected(
            expected, trace, atol=limit, decimals=decimals, place=place, sample=sample
        )


def _cases(
    files: list[str], inputs: i.RunOptions, how: i.ReadingOptions, expect: list[str],
    reading: _Reading,
) -> Iterator[Case]:  # fmt: skip
    """Yield (name, our run, their numbers) for everything given."""
    if not files:
        i.refuse_idle(differing(how), "a file of samples", COMMAND)
        if not expect:
            raise UsageError(
                "there are no numbers to explain", where=inputs.command,
                hint="give a sample with 'expected', or --x … --expect h=0.1,0.2",
            )  # fmt: skip
        yield _from_options(inputs, expect, reading)
    elif len(files) == 2 and any(map(_holds_trace, files)):
        yield _from_traces(Path(files[0]), Path(files[1]), inputs, reading)
    else:
        if expect or inputs.vectors.x:
            given = "--expect" if expect else "--x"
            raise UsageError(
                f"{given} and a file are both given", where=inputs.command,
                hint="a sample has its own x and 'expected'",
            )  # fmt: skip
        silent: list[Sample] = []
        count = 0
        for sample, trace, file in inputs.sample_runs(files, how):
            count += 1
            if not sample.expected:
                silent.append(sample)
                continue
            read = reading.read(dict(sample.expected), trace, sample.place, atol=sample.atol)
            yield sample.id.text, *read, _sample_options(sample, file, inputs)
        if silent and len(silent) == count:
            raise InputError(
                f"sample '{safe(silent[0].id)}' has no expected numbers", where=silent[0].place,
                hint='give their numbers: "expected": {"h": […]}',
            )  # fmt: skip
        if silent:
            say(f"skipped: {len(silent)} of {count} samples, which have no expected numbers")


def _sample_options(sample: Sample, file: str, inputs: i.RunOptions) -> Given:
    """Return the options that run a sample, or its file if options cannot express it."""
    from lstm_cli.base.paste import FileName, rows_text
    from lstm_cli.files.remote import beside, is_remote
    from lstm_cli.mistakes.fixes import FEW, SAMPLE_FILE

    edits = {f"--{name.replace('_', '-')}": value
             for name, value in asdict(sample.settings).items() if value}  # fmt: skip
    cell = beside(sample.folder, sample.cell) if ".toml" in sample.cell else sample.cell
    named = {"--cell": cell, "--convention": sample.convention}
    own = {name: value for name, value in named.items() if value} | edits
    options = inputs.options() | own
    vectors = {"--x": sample.x, "--h": sample.h, "--c": sample.c}
    preset = isinstance(sample.weights, dict) or not (sample.weights or inputs.file.weights)
    given = {name: rows for name, rows in vectors.items() if rows is not None
             and (rows.any() or (preset and rows.shape[-1] != sample.x.shape[-1]))}  # fmt: skip
    given["--x"] = sample.x
    weights: dict[str, object] | None = {}
    if isinstance(sample.weights, dict):
        of_preset = {f"--{key.replace('_', '-')}": value for key, value in sample.weights.items()}
        weights = of_preset if "preset" in sample.weights else None
    elif isinstance(sample.weights, str):
        weights = {"--weights": beside(sample.folder, sample.weights)}
    if is_remote(file) or file == "-":
        return {}
    if weights is None or sum(rows.size for rows in given.values()) > FEW:
        alone = sample.place == safe(file) and not (edits or sample.cell)
        of_batch = o.pasteable(inputs.vectors.length, inputs.file, inputs.cell, inputs.numbers)
        shared = {name: options[name] for name in of_batch}
        return shared | {SAMPLE_FILE: FileName(file)} if alone else {}
    typed = {name: rows_text(rows.tolist()) for name, rows in given.items()}
    length = inputs.vectors.length
    calls = ",".join(map(str, sample.calls)) if isinstance(sample.calls, tuple) else sample.calls
    steps = {"--steps": sample.steps or length.steps, "--calls": calls or length.calls}
    return options | typed | weights | steps


def _holds_trace(name: str) -> bool:
    from lstm_cli.files.traces import is_trace, read_document

    path = Path(name)
    if name == "-" or path.suffix.lower() not in (".json", ".jsonl"):
        return False
    document = read_document(path)
    if isinstance(document, list):
        first = document[0] if document else None
        return isinstance(first, dict) and {"x", "t"} <= first.keys()
    return is_trace(document)


def _from_options(inputs: i.RunOptions, expect: list[str], reading: _Reading) -> Case:
    trace, samples = inputs.trace_of_samples()
    expected, decimals, told = dict[str, Any](), dict[str, Any](), list[str]()
    for text in expect:
        name, sign, numbers = text.partition("=")
        if not sign and not reading.integers:  # the numbers tell which values they are
            name, numbers = "", text
        elif not sign or not name.strip():
            raise UsageError(
                f"'{text}' does not say which values the numbers are", where="--expect",
                hint="--expect h=0.1,0.2",
            )  # fmt: skip
        name = name.strip()
        if name in expected:
            raise UsageError(
                f"--expect gives {name or 'numbers without a name'} twice", where="--expect",
                hint="--expect h=0.1,0.2 --expect c=0.3,0.4",
            )  # fmt: skip
        expected[name], written = _expected_rows(numbers, name, told)
        if written is not None:
            decimals[name] = written
    if told:
        trace = replace(trace, assumptions=(*trace.assumptions, *told))
    number = inputs.vectors.sample
    sample = None if number is None else (number, samples)
    read = reading.read(expected, trace, "--expect", decimals=decimals, sample=sample)
    piped = "-" in differing(inputs.vectors).values()
    return "the numbers given", *read, None if piped else inputs.options()


def _expected_rows(text: str, name: str, told: list[str]) -> tuple[Any, Any]:
    """Return `(n,)`, or `(T, n)` for rows, and the decimals of each typed number.

    There may be more axes in a file. A `?` or an empty position between commas is not compared.
    """
    from lstm_cli.files.vectors import read_printed

    blank = re.sub(r"(?<=,)\s*\??\s*(?=,|;|$)|^\s*\??\s*(?=,)", "nan", text)
    given = f"--expect {name}".rstrip()
    rows, decimals = read_printed(blank, given, allow_nonfinite=True, most_axes=4, told=told)
    if len(rows) == 1 and rows.ndim == 2 and name != "output":
        return rows[0], None if decimals is None else decimals[0]
    return rows, decimals


def _from_traces(ours: Path, theirs: Path, inputs: i.RunOptions, reading: _Reading) -> Case:
    from lstm_cli.files.traces import read_trace
    from lstm_cli.mistakes.expected import expected_of_trace

    mine, other = read_trace(ours), read_trace(theirs)
    trace = _rebuilt(mine, inputs)
    _check_same(mine, trace)
    return theirs.name, trace, expected_of_trace(other, trace, atol=reading.atol), None


def _rebuilt(mine: Any, inputs: i.RunOptions) -> Trace:
    """Rerun the inputs and weights of a trace file."""
    import numpy as np

    from lstm_cli.cell.cells import LSTM
    from lstm_cli.cell.presets import preset_model
    from lstm_cli.engine.run import run
    from lstm_cli.files.cell_files import read_cell

    first = mine.runs[0]
    x = mine.over_time(*first, "x")
    calls = mine.calls or inputs.vectors.length.calls
    h, c = ([_start(mine, place, state, calls) for place in mine.runs] for state in ("h", "c"))
    if x is None or any(row is None for row in h + c):
        raise InputError(
            "the trace lacks x, h_prev or c_prev", where=mine.place,
            hint="`lstm-step … --json` writes them; or use --x, --h, --c and --expect",
        )  # fmt: skip
    name, _, rest = mine.source.removeprefix("preset:").partition(" (seed ")
    if inputs.file.weights:
        model = inputs.file_model()
    elif inputs.preset.preset or mine.source.startswith("preset:"):
        base = inputs.cell.own_cell() or (read_cell(mine.cell) if mine.cell else LSTM)
        sizes = {"I": x.shape[1], "P": len(h[0]), "H": len(c[0])}
        seed = inputs.preset.seed or int(re.sub(r"\D", "", rest) or 0)
        model = preset_model(inputs.preset.preset or name, base, sizes=sizes, seed=seed)
    else:
        path = mine.source.split(", ")[0]
        if not Path(path).is_file():
            raise InputError(
                f"cannot find the weights of {mine.place}: {safe(mine.source) or 'not named'}",
                where=mine.place, hint="--weights FILE",
            )  # fmt: skip
        layout = inputs.file.layout
        chosen = o.LayoutOptions(layout.lstm, layout.layout or mine.convention,
                                 external=layout.external)  # fmt: skip
        model = chosen.read(path, inputs.cell)
    single = len(model.runs) == 1
    states = [np.array(rows[0]) if single else rows for rows in (h, c)]
    return run(model, x, *states, dtype=inputs.numbers.dtype, calls=calls)


def _start(mine: Any, place: tuple[int, Any], state: str, calls: tuple[int, ...] | str) -> Any:
    from lstm_cli.engine.calls import calls_of, order_of

    rows = mine.over_time(*place, f"{state}_prev")
    if rows is None:
        return None
    return rows[order_of(place[1], calls_of(calls, len(rows)), len(rows))[0]]


def _check_same(mine: Any, trace: Trace) -> None:
    """Reject a first trace that its own weights and inputs do not reproduce."""
    import numpy as np

    for layer in trace.layers:
        rows = mine.over_time(layer.layer, layer.direction, "h")
        again = layer.values["h"]
        if rows is None or rows.shape != again.shape or np.max(np.abs(rows - again)) > 1e-5:
            raise InputError(
                "the first trace does not match its weights", where=mine.place,
                hint="give its --weights, --cell and other options; theirs comes second",
            )  # fmt: skip


def _with_progress(trace: Trace, expected: Expected, departures: int) -> Diagnosis:
    """Diagnose, with a progress bar if stderr is a terminal."""
    from lstm_cli.mistakes.diagnosis import diagnose as explain

    if not sys.stderr.isatty():
        return explain(trace, expected, departures=departures)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("readings tried"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        return explain(
            trace, expected, departures=departures,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )  # fmt: skip
