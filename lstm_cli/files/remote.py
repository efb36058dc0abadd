"""Files that are elsewhere: by a URL (`s3://…`, `memory://…`), or below another folder than ours.

fsspec opens them, with whichever backend the user has for the scheme. A path in a file that
somebody else made stays in the file system of that file: it can name no URL of its own.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from lstm_cli.base.errors import InputError, LstmStepError, safe
from lstm_cli.files.inputs_read import note_read

# What is copied here to be read (weights, npz, Parquet) is at most so large.
MAX_COPY_BYTES = 8 * 2**30
PIECE_BYTES = 2**20


def is_remote(name: object) -> bool:
    """Whether this is a URL."""
    return "://" in str(name)


def place_of(name: str, root: str = "") -> Path:
    """Return the path of a name, or of a URL something that is used as a path is.

    Args:
        name: a path or a URL.
        root: what a path is relative to, where that is not this process's folder.

    Raises:
        InputError: fsspec or the backend of the scheme is missing.
    """
    if not is_remote(name):
        return Path(root, name) if root else Path(name)
    try:
        from upath import UPath
    except ImportError:
        raise InputError(
            "a URL needs the fsspec and universal-pathlib packages",
            where=safe(name),
            hint="pip install 'lstm-cli[dask]'",
        ) from None
    with _backend(name):
        path = UPath(name)
        _ = path.fs  # this is where a missing backend shows
    return cast(Path, path)


def beside(folder: Path, name: str) -> Path:
    """Resolve a name written in a file that lies in this folder.

    Raises:
        InputError: the file is elsewhere, and the name does not stay there.
    """
    if not is_remote(folder):
        return folder / name
    if is_remote(name) or name.startswith("/"):
        raise InputError(
            f"'{safe(name)}' is not relative to the sample's file",
            where=safe(folder),
            hint="name a file beside it, or below",
        )
    return (folder / name).resolve()


def find_remote(argument: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the files that a URL names: itself, those of a folder or of a glob, sorted.

    Raises:
        InputError: the backend is missing, or cannot list it.
    """
    place: Any = place_of(argument)
    with _backend(argument):
        if any(mark in argument for mark in "*?["):
            found = place.fs.glob(place.path)
            return sorted(str(place.with_segments(f"{place.protocol}://{_bare(each)}"))
                          for each in found)  # fmt: skip
        if place.is_dir():
            files = (p for p in place.iterdir() if p.name.lower().endswith(suffixes))
            return sorted(str(each) for each in files if each.is_file())
    return [argument]


def _bare(path: str) -> str:
    return path.lstrip("/")


def open_remote(path: Path) -> IO[bytes]:
    """Open a file that is elsewhere, so that whatever its backend raises is ours.

    Raises:
        InputError: it cannot be opened; while it is read: its backend fails.
    """
    note_read(path)
    with _backend(path):
        stream = path.open("rb")
    return io.BufferedReader(cast(io.RawIOBase, _Stream(stream, path)), PIECE_BYTES)


class _Stream(io.RawIOBase):
    """A stream of a backend, whose errors are ours."""

    def __init__(self, source: IO[bytes], path: Path) -> None:
        self.source = source
        self.path = path

    def readable(self) -> bool:
        """Return True: it is there to be read."""
        return True

    def seekable(self) -> bool:
        """Return whether a part in the middle can be read alone."""
        return self.source.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a byte."""
        with _backend(self.path):
            return self.source.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; 0 at the end."""
        with _backend(self.path):
            piece = self.source.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Let go of it."""
        if not self.closed:
            self.source.close()
        super().close()


@contextlib.contextmanager
def at_hand(place: Path, shown: Path) -> Iterator[Path]:
    """Give a file to readers that want one of this machine: itself, or a copy while it is read.

    Args:
        place: where it is.
        shown: what it is called in errors.

    Raises:
        InputError: it cannot be opened or copied.
    """
    with contextlib.ExitStack() as stack:
        near = stack.enter_context(_copy(place)) if is_remote(place) else place
        with called(near, shown):
            yield near


@contextlib.contextmanager
def called(place: Path, shown: Path) -> Iterator[None]:
    """Let errors call a file by the name it was given, wherever it is read."""
    try:
        yield
    except LstmStepError as error:
        if str(place) == str(shown):
            raise
        what, where, hint = (
            text.replace(safe(place), safe(shown)) for text in (error.what, error.where, error.hint)
        )
        raise type(error)(what, where=where, hint=hint) from None


@contextlib.contextmanager
def _copy(path: Path) -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="lstm-step-") as folder:
        copy = Path(folder) / path.name
        with open_remote(path) as source, copy.open("wb") as target:
            size = 0
            while piece := source.read(PIECE_BYTES):
                size += len(piece)
                if size > MAX_COPY_BYTES:
                    raise InputError(
                        f"the limit is {MAX_COPY_BYTES:,} bytes", where=safe(path),
                        hint="split it, or copy it here first",
                    )  # fmt: skip
                target.write(piece)
        yield copy


@contextlib.contextmanager
def _backend(name: object) -> Iterator[None]:
    """Say what a backend says; each raises exceptions of its own."""
    try:
        yield
    except (LstmStepError, MemoryError):
        raise
    except ImportError as error:
        raise InputError(
            f"this kind of URL needs another package: {safe(error)}"[:200],
            where=safe(name),
            hint="pip install the package of the scheme: s3fs, gcsfs, adlfs, …",
        ) from None
    except FileNotFoundError:
        raise InputError("no such file", where=safe(name), hint="check the URL") from None
    except Exception as error:
        reason = safe(error) or type(error).__name__
        raise InputError(
            f"cannot read: {reason}"[:200],
            where=safe(name),
            hint="check the URL, the credentials of its backend, and the network",
        ) from None
