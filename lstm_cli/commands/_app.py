"""The commands, each built when it is needed, and the rule that options alone mean `run`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from lstm_cli.base.errors import UsageError
from lstm_cli.commands import _front as front
from lstm_cli.commands._declared import for_typer
from lstm_cli.commands._front import COMMANDS, MOVED

SETTINGS: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 100},
}


def build_command(name: str) -> Any:
    """Return one command, ready for the group."""
    home = import_module(f"lstm_cli.commands.{name}.command")
    alone = typer.Typer(add_completion=False, **SETTINGS)
    alone.command(name, cls=GroupedHelp, epilog=home.EXAMPLES)(
        for_typer(getattr(home, COMMANDS[name].function or name))
    )
    made: Any = typer.main.get_command(alone)
    made.first = getattr(home, "FIRST", ())  # shown first in its help
    return made


class GroupedHelp(TyperCommand):
    """A command whose help lists its options by group, the most used first.

    Attributes:
        first: names of the most used options.
    """

    first: Sequence[str] = ()

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group."""
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in SECTIONS}
        params = [*(each for name in self.first for each in self.params if name in each.opts)]
        params += [each for each in self.get_params(ctx) if each not in params]
        for place, each in enumerate(params):
            if getattr(each, "hidden", False):
                continue
            row = (_names(each, ctx), _help(each, ctx))
            if each.param_type_name == "argument":
                title = "Arguments"
            elif place < len(self.first):
                title = FIRST
            else:
                title = getattr(each, "rich_help_panel", None) or OTHERS
            sections.setdefault(title, []).append(row)
        sections[OTHERS] = sections.pop(OTHERS, [])  # --help comes last
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Write what a command takes, without Typer's braces."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write what stands below the options: prose as wide as the page, examples as they are."""
        for paragraph in (self.epilog or "").replace("\b\n", "").strip().split("\n\n"):
            formatter.write_paragraph()
            with formatter.indentation():
                if paragraph.startswith("Examples:"):
                    formatter.write_text(f"\b\n{paragraph}")
                    continue
                # A line that ends with a sentence ends there on every page.
                for lines in paragraph.replace(".\n", ".\n\n").split("\n\n"):
                    formatter.write_text(lines)


FIRST, OTHERS = "Most used", "Options"
SECTIONS = ("Arguments", FIRST, "Input", "Weights", "Cell", "Numbers", "Loss", "Check",
            "Fixed point", "Show", "Picture", "Output", "Work")  # fmt: skip


def _names(param: Any, ctx: Any) -> str:
    """Return an option's names, short ones first, followed by its metavar."""
    if param.param_type_name == "argument":
        return str(param.make_metavar(ctx=ctx))
    names = ", ".join(sorted(param.opts, key=lambda name: len(name) - len(name.lstrip("-"))))
    if param.secondary_opts:
        names += " / " + ", ".join(param.secondary_opts)
    return names if param.is_flag else f"{names} {param.make_metavar(ctx=ctx)}"


def _help(param: Any, ctx: Any) -> str:
    """Return an option's help, with its default if that is informative."""
    default = param.get_default(ctx, call=False)
    shown = getattr(default, "value", default)
    if shown is True and param.secondary_opts:
        shown = param.opts[0]
    if param.param_type_name == "argument" or shown in (None, "", 0, False, "-", ()):
        return param.help or ""
    return f"{param.help}  [default: {shown}]"


class RunByDefault(TyperGroup):
    """A command group that passes options other than its own to the command `run`.

    A command is built when it is first needed: building all of them takes longer than a step.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: dict[str, Any] = dict.fromkeys(COMMANDS)  # None until built

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, building it on first use."""
        if cmd_name in COMMANDS and self.commands[cmd_name] is None:
            self.commands[cmd_name] = build_command(cmd_name)
        return self.commands.get(cmd_name)

    def get_help(self, ctx: Any) -> str:
        """Return the front page."""
        return front.page()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert `run` before arguments that start with one of its options.

        Raises:
            UsageError: an option that is now a separate command.
        """
        if not ctx.resilient_parsing:
            _refuse_moved(args)
        own = {name for param in self.get_params(ctx) for name in param.opts}
        if args and args[0].startswith("-") and args[0].split("=")[0] not in own:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Complete the options of `run` as well as those of the group."""
        offered = super().shell_complete(ctx, incomplete)
        default = self.get_command(ctx, "run")
        if default is not None and incomplete.startswith("-"):
            offered += default.shell_complete(ctx, incomplete)
        return offered


def _refuse_moved(args: list[str]) -> None:
    """Reject an option that is now a command, suggesting the equivalent command line."""
    from lstm_cli.base.paste import FileName, command

    for place, word in enumerate(args[1:], 1):
        option, _, value = word.partition("=")
        name = MOVED.get((args[0], option))
        if name is None:
            continue
        rest = [*args[1:place], *args[place + 1 :]]
        if not value and name == "grade" and rest[place - 1 :]:
            value = rest.pop(place - 1)
        answers = [FileName(value)] if name == "grade" else []  # positional arguments come last
        raise UsageError(
            f"{args[0]} {option} is now a command: {name}",
            hint=command(name, *rest, *answers),
        )


app = typer.Typer(cls=RunByDefault, help=front.TITLE, **SETTINGS)


def _show_version(wanted: bool) -> None:
    if wanted:
        from lstm_cli.base.version import __version__

        print(f"lstm-step {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", "-V", help="Show the version.", callback=_show_version, is_eager=True
    ),
) -> None:
    """The reference calculator for the LSTM: every gate value beside its equation."""
