"""Options as data, told to Typer, or read without it where nothing can be in doubt.

To import Typer and build one command takes a third of the time in which NumPy is imported, and most
command lines of `run` are plain: names of options, each followed by its value. `read` takes those
from the same declarations. Of anything else it makes nothing: help, errors, hints and completion
are Typer's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

Function = Callable[..., Any]


class Option(NamedTuple):
    """What `typer.Option` is to be given: the option's names, and settings such as its help."""

    names: tuple[str, ...]
    settings: dict[str, Any]


def option(*names: str, **settings: Any) -> Option:
    """Declare an option, as metadata of `Annotated`; arguments as `typer.Option`."""
    return Option(names, settings)


def for_typer(function: Function) -> Function:
    """Return a command's function with its options as Typer's own."""
    from inspect import signature

    import typer

    def command(**given: Any) -> Any:
        return function(**given)

    def told(hint: Any) -> Any:
        kind, declared = _parts(hint)
        if declared is None:
            return hint
        return Annotated[kind, typer.Option(*declared.names, **declared.settings)]

    hints = get_type_hints(function, include_extras=True)
    taken = signature(function)
    parameters = [
        each.replace(annotation=told(hints[name])) for name, each in taken.parameters.items()
    ]
    command.__doc__, command.__name__ = function.__doc__, function.__name__
    vars(command)["__signature__"] = taken.replace(parameters=parameters)
    return command


def read(function: Function, words: Sequence[str]) -> dict[str, Any] | None:
    """Return parameter -> value, as Typer would; None where Typer must look at the words itself."""
    declared = _declared(function)
    given: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name not in declared or (equals and not name.startswith("--")):
            return None
        parameter, kind, settings = declared[name]
        if kind is bool:
            if equals:
                return None
            given[parameter] = True
            continue
        text = value if equals else next(rest, None)
        converted = None if text is None else _converted(text, kind, settings)
        if converted is None:
            return None
        given[parameter] = converted
    return given


def _declared(function: Function) -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """Return an option's name -> parameter, type, settings."""
    hints = get_type_hints(function, include_extras=True)
    parts = {parameter: _parts(hint) for parameter, hint in hints.items()}
    return {
        name: (parameter, kind, option.settings)
        for parameter, (kind, option) in parts.items()
        if option is not None
        for name in option.names
    }


def _parts(hint: Any) -> tuple[Any, Option | None]:
    """Return the type of a parameter, and the option that is declared with it."""
    if get_origin(hint) is not Annotated:
        return hint, None
    kind, *notes = get_args(hint)
    return kind, next((note for note in notes if isinstance(note, Option)), None)


def _converted(text: str, kind: Any, settings: dict[str, Any]) -> Any:
    """Return a value as its option's type; None where it is not plainly one."""
    kind = next((each for each in get_args(kind) if each is not type(None)), kind)
    if kind is str:
        return text
    try:
        value = kind(text)
    except ValueError:
        return None
    if isinstance(value, Enum):
        return value
    inside = settings.get("min", value) <= value <= settings.get("max", value)
    return value if inside else None
