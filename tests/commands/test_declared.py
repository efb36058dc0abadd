"""Options read without Typer: the values are Typer's own, and what is in doubt is left to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Annotated, Any

import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_cli.commands import _declared as declared
from lstm_cli.commands._options import Dtype, Side
from lstm_cli.commands.run.command import run

DEFAULTS = {name: each.default for name, each in signature(run).parameters.items()}
NAMES = sorted(declared._declared(run))
VALUES = ["", "0", "5", "-1", "0,0.5", "-0.1,0.3", "1e3", "inf", "1_0", " 7 ", "json", "float32",
          "FLOAT32", "auto", "forward", "run", "x y", "@x.npy", "½"]  # fmt: skip
ODD = ["-", "--", "-h", "--help", "--nonsense", "--json=1", "--steps=5", "-n=5", "-n5", "-fjson",
       "--x=-1", "--x=", "--dtype=float32", "--x=a=b", "--version", "-V", "---x", "=", "--ste"]  # fmt: skip


def typers(words: list[str]) -> dict[str, Any] | None:
    """Return what Typer calls `run` with; None where it does not call it."""
    calls: list[dict[str, Any]] = []

    @wraps(run)
    def noted(**given: Any) -> None:
        calls.append(given)

    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command()(declared.for_typer(noted))
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
         {"dtype": Dtype.FLOAT32, "direction": Side.FORWARD}),
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


def test_an_option_of_another_command_is_told_too() -> None:
    """`for_typer` keeps names, settings and defaults, and leaves other parameters as they are."""

    def command(
        path: Annotated[str, typer.Argument()],
        level: Annotated[int, declared.option("--level", "-l", min=1)] = 3,
    ) -> tuple[str, int]:
        """Do it."""
        return path, level

    told: Callable[..., Any] = declared.for_typer(command)
    parameters = signature(told).parameters
    assert (told.__doc__, told.__name__) == ("Do it.", "command")
    assert [each.default for each in parameters.values()] == [signature(command).empty, 3]
    assert isinstance(parameters["level"].annotation.__metadata__[0], typer.models.OptionInfo)
    assert told(path="a", level=1) == ("a", 1)
