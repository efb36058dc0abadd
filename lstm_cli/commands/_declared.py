"""Options declared as data, for Typer, or parsed without it if the command line is unambiguous.

    @options("Cell")
    class CellOptions:
        cell: str = option("--cell", default="", metavar="NAME", help="…")

    def run(cell: CellOptions = CellOptions(), check: bool = option("--check", default=False)): ...

A command subscribes to groups through its parameters, and may have options of its own. A
parameter's default value supplies the defaults of that group for that command.

Importing Typer and building one command takes a third of the time it takes to import NumPy, and
most command lines of `run` are plain: option names, each followed by its value. `read` parses
those from the same declarations and leaves everything else to Typer, which alone handles help,
errors, hints and completion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from inspect import signature
from typing import (
    Annotated,
    Any,
    NamedTuple,
    TypeVar,
    dataclass_transform,
    get_args,
    get_type_hints,
)

from lstm_cli.base.records import value_record

Function = Callable[..., Any]
Class = TypeVar("Class", bound=type)


class Option(NamedTuple):
    """An option: its names, its default, and settings such as its help, as for `typer.Option`.

    Its help, and whether it is hidden, may be functions of the group's defaults, where each command
    has its own. `title` is the group that a command's own option stands in.
    """

    names: tuple[str, ...]
    default: Any
    settings: dict[str, Any]
    title: str = "Options"


def option(*names: str, default: Any = "", title: str = "Options", **settings: Any) -> Any:
    """Declare an option of a group or of a command; settings as for `typer.Option`.

    In a group the default is always given: mypy looks for it there.
    """
    return Option(names, default, settings, title)


@dataclass_transform(frozen_default=True, field_specifiers=(option, field))
def options(title: str) -> Callable[[Class], Class]:
    """Make a class a group of options: a frozen record of their values.

    Args:
        title: heading of the group in a command's help.
    """

    def make(made: Class) -> Class:
        declared = {name: each._replace(title=title) for name, each in vars(made).items()
                    if isinstance(each, Option)}  # fmt: skip
        for name, each in declared.items():
            setattr(made, name, each.default)
        made.__options__ = declared  # type: ignore[attr-defined]
        return value_record(made)

    return make


class Declared(NamedTuple):
    """An option of a command: the parameter name that Typer uses, and where it is declared."""

    name: str
    option: Option
    owner: Any

    @property
    def kind(self) -> Any:
        """The annotated type of its value."""
        return get_type_hints(self.owner)[self.name]


def declared_options(function: Function) -> Iterator[Declared]:
    """Yield the options of a command in the order of its parameters, with groups expanded."""
    for name, parameter in signature(function).parameters.items():
        if isinstance(parameter.default, Option):
            yield Declared(name, parameter.default, function)
        elif _is_group(parameter.default):
            yield from group_options(parameter.default)


def group_options(group: Any) -> Iterator[Declared]:
    """Yield the options of a group and its nested groups, with the group's values as defaults."""
    kind = type(group)
    for name, value in vars(group).items():
        if _is_group(value):
            yield from group_options(value)
        elif name in kind.__options__:
            yield Declared(name, _of(kind.__options__[name], group, value), kind)


def _of(declared: Option, group: Any, value: Any) -> Option:
    """Return an option with the default, and the help, that a command's group gives it."""
    settings = {
        name: told(group) if name in ("help", "hidden") and callable(told) else told
        for name, told in declared.settings.items()
    }
    return declared._replace(default=value, settings=settings)


def _is_group(value: object) -> bool:
    return hasattr(type(value), "__options__")


def call(function: Function, given: Mapping[str, Any]) -> Any:
    """Call a command with values by parameter name; those not given have their defaults."""
    arguments: dict[str, Any] = {}
    for name, parameter in signature(function).parameters.items():
        default = parameter.default
        if _is_group(default):
            arguments[name] = _filled(default, given)
        elif name in given or isinstance(default, Option):
            arguments[name] = given.get(name, getattr(default, "default", None))
    return function(**arguments)


def _filled(group: Any, given: Mapping[str, Any]) -> Any:
    changes = {
        name: _filled(value, given) if _is_group(value) else given.get(name, value)
        for name, value in vars(group).items()
    }
    return replace(group, **changes)


def differing(*groups: Any) -> dict[str, Any]:
    """Return option -> value for those options in the groups that differ from their defaults."""
    return {
        each.option.names[0]: each.option.default
        for group in groups
        for each in group_options(group)
        if each.option.default != each.owner.__options__[each.name].default
    }


def for_typer(function: Function) -> Function:
    """Convert a command's function for Typer: every option becomes a separate parameter."""
    from inspect import Parameter

    import typer

    def command(**given: Any) -> Any:
        return call(function, given)

    hints = get_type_hints(function, include_extras=True)
    taken = signature(function)
    parameters = [
        each.replace(annotation=hints[name])
        for name, each in taken.parameters.items()
        if not isinstance(each.default, Option) and not _is_group(each.default)
    ]
    for each in declared_options(function):
        names, default, settings, title = each.option
        made = typer.Option(*names, rich_help_panel=title, **settings)
        kind = each.kind
        parameters.append(
            Parameter(each.name, Parameter.KEYWORD_ONLY, default=default,
                      annotation=Annotated[kind, made])
        )  # fmt: skip
    command.__doc__, command.__name__ = function.__doc__, function.__name__
    vars(command)["__signature__"] = taken.replace(parameters=parameters)
    return command


def read(function: Function, words: Sequence[str]) -> dict[str, Any] | None:
    """Return parameter -> value as Typer would, or None if the words must be left to Typer."""
    known = {name: each for each in declared_options(function) for name in each.option.names}
    given: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name not in known or (equals and not name.startswith("--")):
            return None
        declared = known[name]
        kind = declared.kind
        if kind is bool:
            if equals:
                return None
            given[declared.name] = True
            continue
        text = value if equals else next(rest, None)
        converted = None if text is None else _converted(text, kind, declared.option.settings)
        if converted is None:
            return None
        given[declared.name] = converted
    return given


def _converted(text: str, kind: Any, settings: dict[str, Any]) -> Any:
    """Convert a value to its option's type; None if that is not straightforward."""
    if type(None) in get_args(kind):
        kind, _ = get_args(kind)
    if choices := get_args(kind):
        return text if text in choices else None
    if kind is str:
        return text
    try:
        value = kind(text)
    except ValueError:
        return None
    inside = settings.get("min", value) <= value <= settings.get("max", value)
    return value if inside else None
