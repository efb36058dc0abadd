"""Keeps track of the files that a command reads, so that it overwrites none of them.

Code that opens a file records it, and code about to replace a file checks. Outside a command
nothing is recorded: a notebook may well write to a file that it has read.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from lstm_cli.base.errors import OutputError, safe

# File identity -> the name under which it was read; None outside a command.
_noted: dict[object, str] | None = None


@contextlib.contextmanager
def noting_reads() -> Iterator[None]:
    """Record the files that are read within this context, which spans one command."""
    global _noted
    before, _noted = _noted, {}
    try:
        yield
    finally:
        _noted = before


def note_read(file: str | Path | int, name: str = "") -> None:
    """Record a file that this command reads: a local or remote path, or an open descriptor."""
    if _noted is not None and (place := identity(file)) is not None:
        _noted.setdefault(place, safe(name or file))


def note_stdin() -> None:
    """Record the file that stdin is redirected from, if any."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or not a real file
        note_read(sys.stdin.fileno(), "stdin")


def noted_reads() -> int:
    """Number of files recorded so far."""
    return len(_noted or ())


def check_unread(target: Path | int | None, called: str = "") -> None:
    """Refuse to write to a file that this command reads, through any link or spelling.

    Args:
        target: a path, an open file, or None for what is none of the system's.
        called: its name in the message.

    Raises:
        OutputError: the file is also read; the message has both names.
    """
    name = _noted.get(identity(target)) if _noted else None
    if name is None:
        return
    shown = safe(called or target)
    also = "is also read" if name == shown else f"is the same file as {name}, which is read"
    raise OutputError(f"cannot write: {shown} {also}", where=shown, hint="name another file")


def identity(file: str | Path | int | None) -> object:
    """Identity shared by all names of a file; None if there is no file to lose."""
    if file is None:
        return None
    try:
        status = os.stat(file)
    except TypeError:
        return str(file)  # remote: identified by its URL alone
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
