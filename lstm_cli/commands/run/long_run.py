"""`run` where it is too long to keep: written as it goes, with its progress, until Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_cli.base.errors import ExitCode, safe
from lstm_cli.base.foreign import say
from lstm_cli.commands import _inputs as i

if TYPE_CHECKING:
    from lstm_cli.commands.run.blocks import LongRun
    from lstm_cli.commands.run.streaming import RunProgress
    from lstm_cli.show.rows import View


def is_written_as_it_goes(given: i.Given, chosen: str) -> bool:
    """Return whether a run is long, and its format one that needs no whole run.

    Raises:
        InputError: the run must be kept whole, and would not fit.
    """
    from lstm_cli.commands.run.blocks import LONG_BYTES, check_whole, runs_forward
    from lstm_cli.engine.run import trace_bytes

    if trace_bytes(given.model, given.x.shape[:-1]) <= LONG_BYTES:
        return False
    from lstm_cli.commands.run.streaming import FORMATS

    if chosen in FORMATS and runs_forward(given.model):
        return True
    check_whole(given.model, given.x, chosen, list(FORMATS))
    return False


def write(
    given: i.Given, dtype: str, engine: str, view: View, chosen: str, output: str
) -> ExitCode:
    """Run in blocks and write each; what a stop leaves is a valid file of the steps done.

    Args:
        given: what is run.
        dtype, engine: as `engine.run` takes them.
        view, chosen, output: what is shown, in which format, where.

    Returns:
        the exit code, which says whether somebody asked to stop.

    Raises:
        LstmStepError: as the engine, the choice of units and steps, and `write_out`.
    """
    from lstm_cli.commands._stopping import Stopping
    from lstm_cli.commands.run.blocks import LongRun
    from lstm_cli.commands.run.streaming import RunProgress

    run = LongRun(*given, dtype=dtype, engine=engine)
    with Stopping() as stopping:
        progress = RunProgress(stop=lambda: stopping.asked)
        with _shown(progress, output):
            _write(run, view, chosen, output, progress)
    if chosen != "json":
        i.say_assumed(progress.assumptions)
    if progress.interrupted:
        place = "on stdout" if output == "-" else f"in {safe(output)}"
        done = f"{progress.unit} 1 to {progress.done:,}" if progress.done else f"no {progress.unit}"
        say(f"stopped: {done} of {progress.total:,} are done and {place}")
        return ExitCode.INTERRUPTED
    return ExitCode.DONE


def _write(run: LongRun, view: View, chosen: str, output: str, progress: RunProgress) -> None:
    """Write the answer: an archive at its places in the file, all else from start to end."""
    from lstm_cli.commands.run.streaming import fill, pieces
    from lstm_cli.files.output import is_device, replacing, write_out

    if chosen == "npz" and output != "-" and not is_device(Path(output)):
        with replacing(Path(output)) as stream:
            fill(run, view, progress, stream)
        return
    write_out(pieces(run, view, chosen, progress, _folder(output)), output)


def _folder(output: str) -> Path | None:
    """Return the folder in which there must be room for the file; None where it is no file."""
    path = Path(output)
    if output == "-" or (path.exists() and not path.is_file()):
        return None
    return path.resolve().parent


@contextmanager
def _shown(progress: RunProgress, output: str) -> Iterator[None]:
    """Show a bar on stderr, where that is a terminal and the answer goes elsewhere."""
    if not sys.stderr.isatty() or (output == "-" and sys.stdout.isatty()):
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        progress.tell = lambda: bar.update(
            task, completed=progress.done, total=progress.total, description=progress.unit
        )
        yield
