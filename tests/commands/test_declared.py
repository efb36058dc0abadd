"""Options read without Typer: the values are Typer's own, and what is in doubt is left to it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from inspect import signature
from typing import Annotated, Any

import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_cli.base.errors import ExitCode
from lstm_cli.base.paste import command as command_line
from lstm_cli.base.paste import option_words
from lstm_cli.commands import _declared as declared
from lstm_cli.commands._app import SECTIONS
from lstm_cli.commands._front import COMMANDS
from lstm_cli.commands._options import Side
from lstm_cli.commands.run.command import run
from tests.tools import call

OPTIONS = list(declared.declared_options(run))
DEFAULTS = {each.name: each.option.default for each in OPTIONS}
NAMES = sorted(name for each in OPTIONS for name in each.option.names)
VALUES = ["", "0", "5", "-1", "0,0.5", "-0.1,0.3", "1e3", "inf", "1_0", " 7 ", "json", "float32",
          "FLOAT32", "auto", "forward", "run", "x y", "@x.npy", "½"]  # fmt: skip
ODD = ["-", "--", "-h", "--help", "--nonsense", "--json=1", "--steps=5", "-n=5", "-n5", "-fjson",
       "--x=-1", "--x=", "--dtype=float32", "--x=a=b", "--version", "-V", "---x", "=", "--ste"]  # fmt: skip


def typers(words: list[str]) -> dict[str, Any] | None:
    """Return what Typer calls `run` with; None where it does not call it."""
    calls: list[dict[str, Any]] = []
    command: Any = declared.for_typer(run)

    @wraps(command)
    def noted(**given: Any) -> None:
        calls.append(given)

    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command()(noted)
    failure: Any = typer.BadParameter.__base__
    try:
        typer.main.get_command(alone).main(list(words), standalone_mode=False)
    except failure:
        return None
    return calls[0] if calls else None


@given(st.lists(st.sampled_from([*NAMES, *NAMES, *VALUES, *VALUES, *ODD]), max_size=7))
@example(["--x", "1", "--steps", "0x10"])
@example(["--digits", "18"])
@example(["--seed", "-1"])
def test_what_is_read_is_what_typer_reads(words: list[str]) -> None:
    """Whatever stands in a command line: either Typer's own values come out, or none."""
    found = declared.read(run, words)
    if found is not None:
        assert repr(DEFAULTS | found) == repr(typers(words))


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--x", "-0.1,0.3", "--h", "1"], {"x": "-0.1,0.3", "h": "1"}),
        (["-x", "1", "-n", "5", "-d", "17"], {"x": "1", "steps": 5, "digits": 17}),
        (["--json", "--x=1", "--x", "2"], {"as_json": True, "x": "2"}),
        (["--dtype", "float32", "--direction=forward"],
         {"dtype": "float32", "direction": "forward"}),
        (["--clip", "-1e-3"], {"clip": -0.001}),
        ([], {}),
    ],
)  # fmt: skip
def test_plain_command_lines_need_no_typer(words: list[str], values: dict[str, Any]) -> None:
    """Names with values of their types are read, flags and the last of two values among them."""
    assert declared.read(run, words) == values
    assert typers(words) == DEFAULTS | values


@pytest.mark.parametrize(
    "words",
    [["--steps", "many"], ["--digits", "18"], ["--dtype", "float16"], ["--x"], ["1,2"], ["--"],
     ["-h"], ["-fjson"], ["-n=5"], ["--json=1"], ["--nonsense"]],
    ids=" ".join,
)  # fmt: skip
def test_the_rest_is_left_to_typer(words: list[str]) -> None:
    """A value of the wrong type, a word out of place or an unusual form is read by Typer alone."""
    assert declared.read(run, words) is None


@declared.options("Numbers")
class Numbers:
    """A group of two options."""

    level: int = declared.option("--level", "-l", default=3, min=1, help="How high.")
    kind: str = declared.option("--kind", default="", help=lambda own: f"At {own.level}.")


@declared.options("All")
class All:
    """A group with another within it, and what is no option."""

    place: str = "here"
    numbers: Numbers = Numbers()
    side: Side | None = declared.option("--side", default=None)


def test_groups_are_spread_out_and_filled() -> None:
    """`for_typer` makes each option of nested groups a parameter; `call` gives them back filled."""

    def command(
        path: Annotated[str, typer.Argument()],
        own: All = All("there", Numbers(level=5)),
        check: bool = declared.option("--check", default=False),
    ) -> tuple[Any, ...]:
        """Do it."""
        return path, own, check

    told: Callable[..., Any] = declared.for_typer(command)
    parameters = signature(told).parameters
    assert (told.__doc__, told.__name__) == ("Do it.", "command")
    assert list(parameters) == ["path", "level", "kind", "side", "check"]
    assert [parameters[name].default for name in list(parameters)[1:]] == [5, "", None, False]
    infos = {name: each.annotation.__metadata__[0] for name, each in parameters.items()}
    assert (infos["kind"].help, infos["level"].rich_help_panel) == ("At 5.", "Numbers")
    assert told(path="a", kind="x", check=True) == ("a", All("there", Numbers(5, "x")), True)
    assert declared.read(command, ["--side", "backward"]) == {"side": "backward"}


def test_options_that_differ_become_the_words_that_gave_them() -> None:
    """Only what is not at its default is named; flags stand alone, choices by their value."""
    group = All("there", Numbers(level=7), "backward")
    given = declared.differing(group)
    assert given == {"--level": 7, "--side": "backward"}
    line = command_line(*option_words(given | {"--check": True}))
    assert line == "lstm-step --level 7 --side backward --check"


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_is_declared_twice(name: str) -> None:
    """No two options of a command share a name or a parameter: each value has one place."""
    home = import_module(f"lstm_cli.commands.{name}.command")
    told = list(declared.declared_options(getattr(home, COMMANDS[name].function or name)))
    names = [each.name for each in told], [name for each in told for name in each.option.names]
    for each in names:
        assert len(set(each)) == len(each)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_options_in_groups(name: str) -> None:
    """The three that people need come first; every option has its place in one group, described."""
    page = call(name, "--help", env={"COLUMNS": "100"}).out
    home = import_module(f"lstm_cli.commands.{name}.command")
    sections = re.findall(r"^(\S[^\n]*):\n((?:  .*\n)+)", page, re.M)
    rows = {title: re.findall(r"^  (-.*?)(?:  |$)", body, re.M) for title, body in sections}
    told = list(declared.declared_options(getattr(home, COMMANDS[name].function or name)))
    first = getattr(home, "FIRST", ())
    most_used = [re.split(r"[ ,]+", row) for row in rows.get("Most used", [])]
    assert all(name in row for name, row in zip(first, most_used, strict=True))
    assert len(first) == 3 or len(told) < 5
    for each in told:
        if not each.option.settings.get("hidden"):
            assert each.option.names[0].split("/")[0] in " ".join(itertools.chain(*rows.values()))
            assert each.option.settings.get("help")
    titles = [title for title, _ in sections if title in SECTIONS]
    assert titles == [title for title in SECTIONS if title in titles]


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_its_terminal(name: str, columns: int) -> None:
    """Up to the examples, which are to be copied, no line is wider; nothing is an empty word."""
    page = call(name, "--help", env={"COLUMNS": str(columns)}).out
    before, _, examples = page.partition("\n  Examples:\n")
    assert examples
    assert max(map(len, before.splitlines())) <= min(columns, 100)
    assert not re.search(r"^Usage:.*[{}]|\[default: (True|None|0|)\]", before, re.M)


def test_help_has_no_json_where_the_answer_has_none() -> None:
    """An option that a command always refuses is not among those that it shows."""
    assert "--json" not in call("exercise", "--help").out
    assert call("exercise", "--json").code == ExitCode.USAGE
