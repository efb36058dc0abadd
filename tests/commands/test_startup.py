"""What a start imports: nothing that the command at hand has no use for. Nothing is timed here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module

import pytest

from lstm_cli.commands import _front as front
from tests.tools import ROOT, call

STEP = ["--h", "0,0.5,0.1", "--x", "-0.1,0.3,0.1"]

# No start of a step needs these; most are extras that read or draw something.
NEVER = {
    "click", "pydantic", "textual", "matplotlib", "jinja2", "h5py", "onnx", "pandas", "pyarrow",
    "numba", "torch", "scipy", "distributed", "mpmath", "lstm_cli.formats.read", "lstm_cli.formats.registry",
    "lstm_cli.cell.grad", "lstm_cli.engine.grad", "lstm_cli.engine.fixed_point", "lstm_cli.engine.fixed_settings", "lstm_cli.commands.explore",
    "lstm_cli.mistakes.diagnosis", "lstm_cli.commands.batch", "lstm_cli.samples", "lstm_cli.files.safe",
    "lstm_cli.commands.run.streaming", "lstm_cli.engine.plan", "lstm_cli.engine.numpy_engine",
}  # fmt: skip


def imported(*arguments: str) -> set[str]:
    """Return every module that `lstm-step` with these arguments imports, by -X importtime."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lstm_cli", *arguments],
        capture_output=True, timeout=120, check=True, cwd=ROOT,
    )  # fmt: skip
    lines = re.findall(r"^import time: .*\| +(\S+)$", done.stderr.decode(), re.MULTILINE)
    assert "lstm_cli.commands._main" in lines
    return set(lines)


def those(names: set[str], loaded: set[str]) -> set[str]:
    """Return the modules that have one of these names, or stand in one of them."""
    return {each for each in loaded if any(f"{each}.".startswith(f"{name}.") for name in names)}


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["--help"], ["-h"], []])
def test_the_front_needs_nothing(arguments: list[str]) -> None:
    """--version and --help load neither NumPy nor rich nor Typer, nor a command."""
    loaded = imported(*arguments)
    assert not those(NEVER | {"numpy", "rich", "typer"}, loaded)
    ours = {
        "lstm_cli",
        "lstm_cli.commands",
        "lstm_cli.commands._main",
        "lstm_cli.commands._front",
        "lstm_cli.base",
        "lstm_cli.base.errors",
        "lstm_cli.base.foreign",
        "lstm_cli.base.version",
    }
    assert those({"lstm_cli"}, loaded) <= ours


@pytest.mark.parametrize("name", front.COMMANDS)
def test_the_help_of_a_command_needs_typer_alone(name: str) -> None:
    """The help of a command loads neither NumPy nor rich nor a table of equations."""
    loaded = imported(name, "--help")
    assert "typer" in loaded
    assert not those(NEVER | {"numpy", "rich", "lstm_cli.cell.equations"}, loaded)


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "plain", "npz"])
def test_a_step_as_data_needs_no_rich_and_no_reader(form: str) -> None:
    """One step to a data format loads NumPy, and no Typer, table, reader or search."""
    loaded = imported(*STEP, "-f", form)
    assert "numpy" in loaded
    assert not those(NEVER | {"typer", "rich", "html", "lstm_cli.show.draw"}, loaded)


def test_a_table_needs_rich_and_no_reader() -> None:
    """One step as a table loads rich, and no Typer, reader, search or circuit."""
    loaded = imported(*STEP, "-f", "table")
    assert {"numpy", "rich.table"} <= loaded
    assert not those(NEVER | {"typer", "rich.markdown", "rich.syntax", "rich.progress"}, loaded)


@pytest.mark.parametrize(("more", "typer"), [([], False), (["-d", "3"], False), (["-d3"], True)])
def test_typer_is_loaded_only_where_words_are_not_plain(more: list[str], typer: bool) -> None:
    """`run` may be named; a form that only Typer reads brings it in and gives the same answer."""
    words = ["run", *STEP, *more]
    assert bool(those({"typer"}, imported(*words))) is typer
    assert call(*words).raw == call(*STEP).raw


def test_frozen_classes_of_a_step_are_not_compiled() -> None:
    """What one step needs is made a frozen class by `record`, whose methods are not compiled."""
    from dataclasses import is_dataclass

    for module in those({"lstm_cli"}, imported(*STEP, "-f", "table")):
        for each in vars(sys.modules.get(module) or import_module(module)).values():
            own = isinstance(each, type) and each.__module__ == module and is_dataclass(each)
            if own and each.__dataclass_params__.frozen:
                pytest.fail(f"{module}.{each.__name__} is a frozen dataclass: make it a record")


def blas_threads(*arguments: str, **environment: str) -> str | None:
    """Return how many threads the environment allows BLAS when the run has ended."""
    script = "import atexit, os, sys; from lstm_cli.commands._main import main; " \
             "atexit.register(lambda: sys.stderr.write(os.environ.get('OPENBLAS_NUM_THREADS', '')));" \
             "main(sys.argv[1:])"  # fmt: skip
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments, "--json"],
        capture_output=True, timeout=120, check=True, cwd=ROOT, env=inherited | environment,
    )  # fmt: skip
    return done.stderr.decode() or None


def test_only_small_work_keeps_to_one_thread() -> None:
    """One step makes no second BLAS thread; files, wide layers and a user's wish keep theirs."""
    assert blas_threads(*STEP) == "1"
    assert blas_threads("--x", "1;0", "-w", "samples/weights/parity.npz") == "1"
    assert blas_threads(*STEP, OPENBLAS_NUM_THREADS="3") == "3"
    assert blas_threads("--x", "1", "-p", "random", "--hidden-size", "65") is None


@pytest.mark.parametrize("name", front.COMMANDS)
def test_the_front_page_says_what_a_command_says(name: str) -> None:
    """The line of a command on the front page is the first line of its own help."""
    text = call(name, "--help", env={"COLUMNS": "120"}).out
    assert front.COMMANDS[name].summary in text.split("\n\n")[1]


@pytest.mark.parametrize("columns", [50, 60, 80, 120])
def test_the_front_page_fits_its_terminal(columns: int) -> None:
    """Up to the examples, which are to be copied, no line is wider than the terminal."""
    text = call("--help", env={"COLUMNS": str(columns)}).out
    before = text.split("  Examples:")[0]
    assert max(map(len, before.splitlines())) < min(columns, 100)
    words = " ".join(before.split())
    for each in front.COMMANDS.values():
        assert each.summary in words


def test_the_front_page_names_the_options_that_there_are() -> None:
    """The page's options are those that the program itself takes."""
    import typer

    from lstm_cli.commands._app import app

    group = typer.main.get_command(app)
    taken = {name for each in group.params for name in each.opts} | {"-h", "--help"}
    assert {name for names in front.OPTIONS for name in names.split(", ")} == taken
