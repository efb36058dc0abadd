"""The house: a room imports from rooms before it, and commands never from each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lstm_cli

ROOMS = ["base", "cell", "engine", "files", "formats", "samples", "mistakes", "show", "commands"]
ROOT = Path(lstm_cli.__file__).parent
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def imported(name: str) -> Iterator[str]:
    """Yield the files of the package that a file imports, at its head or later."""
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lstm_cli"):
            home = (node.module or "").removeprefix("lstm_cli").removeprefix(".")
            inner = (f"{home}.{each.name}".removeprefix(".") for each in node.names)
            yield from (each if each in FILES else home for each in inner)


IMPORTS = {name: set(imported(name)) - {name} for name in FILES}


def place(name: str) -> int | None:
    room = name.split(".")[0]
    return ROOMS.index(room) if room in ROOMS else None


def test_a_room_imports_from_rooms_before_it() -> None:
    """Every import inside the package goes to the same room or to one before it."""
    for name, there in IMPORTS.items():
        for each in there:
            here, other = place(name), place(each)
            if here is not None and other is not None:
                assert other <= here, f"{name} imports {each}"


def test_commands_never_import_each_other() -> None:
    """What two commands use stands in a room before them, or in a file that they share."""
    for name, there in IMPORTS.items():
        home, *inner = name.split(".")
        if home == "commands" and inner and not inner[0].startswith("_"):
            for each in there:
                room, *other = each.split(".")
                own = other[:1] == inner[:1] or other[0].startswith("_") if other else True
                assert room != "commands" or own, f"{name} imports {each}"


@pytest.mark.parametrize("room", ROOMS)
def test_no_circle_within_a_room(room: str) -> None:
    """Files of a room import each other in one direction."""
    seen: dict[str, bool] = {}  # file -> whether all that it imports is looked through

    def look(name: str, way: tuple[str, ...]) -> None:
        assert seen.get(name) is not False, " imports ".join((*way, name))
        if name not in seen:
            seen[name] = False
            for each in IMPORTS[name]:
                if place(each) == ROOMS.index(room):
                    look(each, (*way, name))
            seen[name] = True

    for name in FILES:
        if place(name) == ROOMS.index(room):
            look(name, ())


def test_every_file_has_a_room() -> None:
    """A new file must be given a place before it lands, and each room says what lives there."""
    assert {name.split(".")[0] for name in FILES} - {"lstm_cli", "__init__", "__main__"} == set(
        ROOMS
    )
    for room in ROOMS:
        assert len((ast.get_docstring(ast.parse(FILES[room].read_text())) or "").split()) > 15
