"""Which files a command reads: none of them may be what it writes.

Whoever opens a file notes it, and whoever is about to replace a file asks. Outside a command
nothing is noted: a notebook may well write to the file that it has read.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from lstm_cli.base.errors import OutputError, safe

# What a file is, whatever it is called -> the name by which it is read; None outside a command.
_noted: dict[object, str] | None = None


@contextlib.contextmanager
def noting_reads() -> Iterator[None]:
    """Note the files that are read while this lasts, which is one command."""
    global _noted
    before, _noted = _noted, {}
    try:
        yield
    finally:
        _noted = before


def note_read(file: str | Path | int, name: str = "") -> None:
    """Note a file that this command reads: one here, elsewhere, or an open descriptor."""
    if _noted is not None and (place := identity(file)) is not None:
        _noted.setdefault(place, safe(name or file))


def note_stdin() -> None:
    """Note the file that stdin is, where it is one."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or not of the system
        note_read(sys.stdin.fileno(), "stdin")


def noted_reads() -> int:
    """Return how many files have been noted."""
    return len(_noted or ())


def check_unread(target: Path | int | None, called: str = "") -> None:
    """Refuse to write a file that this command reads, whatever links or spellings lead to it.

    Args:
        target: a path, an open file, or None for what is none of the system's.
        called: its name in the message.

    Raises:
        OutputError: names both.
    """
    name = _noted.get(identity(target)) if _noted else None
    if name is None:
        return
    shown = safe(called or target)
    also = "is also read" if name == shown else f"is the same file as {name}, which is read"
    raise OutputError(f"cannot write: {shown} {also}", where=shown, hint="name another file")


def identity(file: str | Path | int | None) -> object:
    """Identity that all names of a file share; None where there is no such file to lose."""
    if file is None:
        return None
    try:
        status = os.stat(file)
    except TypeError:
        return str(file)  # elsewhere: only its URL tells
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
