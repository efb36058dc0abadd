"""Remote files, given by a URL (`s3://…`, `memory://…`), and paths relative to another folder.

fsspec opens them, with whichever backend the user has installed for the scheme. A path inside an
untrusted file stays within the file system of that file: it cannot be a URL.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from lstm_cli.base.errors import InputError, LstmStepError, imported, safe
from lstm_cli.files.inputs_read import note_read

# Size limit of files copied here to be read (weights, npz, Parquet).
MAX_COPY_BYTES = 8 * 2**30
PIECE_BYTES = 2**20


def is_remote(name: object) -> bool:
    """Whether a name is a URL."""
    return "://" in str(name)


def place_of(name: str, root: str = "") -> Path:
    """Return the path for a name, or a path-like object for a URL.

    Args:
        root: the folder that a path is relative to, if not the current one.

    Raises:
        InputError: fsspec or the backend for the scheme is missing.
    """
    if not is_remote(name):
        return Path(root, name) if root else Path(name)
    what = "a URL needs the fsspec and universal-pathlib packages"
    upath = imported("upath", what, "dask", safe(name))
    with _backend(name):
        path = upath.UPath(name)
        _ = path.fs  # fails if a backend is missing
    return cast(Path, path)


def beside(folder: Path, name: str) -> Path:
    """Resolve a name found in a file in this folder.

    Raises:
        InputError: the file is remote, and the name leads out of its file system.
    """
    if not is_remote(folder):
        return folder / name
    if is_remote(name) or name.startswith("/"):
        raise InputError(
            f"'{safe(name)}' is not relative to the sample's file",
            where=safe(folder),
            hint="name a file in its folder or below",
        )
    return (folder / name).resolve()


def find_remote(argument: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the files that a URL names, sorted: itself, or those of a folder or glob.

    Raises:
        InputError: the backend is missing or cannot list the URL.
    """
    place: Any = place_of(argument)
    with _backend(argument):
        if any(mark in argument for mark in "*?["):
            found = place.fs.glob(place.path)
            return sorted(str(place.with_segments(f"{place.protocol}://{each.lstrip('/')}"))
                          for each in found)  # fmt: skip
        if place.is_dir():
            files = (p for p in place.iterdir() if p.name.lower().endswith(suffixes))
            return sorted(str(each) for each in files if each.is_file())
    return [argument]


def open_remote(path: Path) -> io.BufferedReader:
    """Open a remote file, translating any exception of its backend to ours.

    Raises:
        InputError: it cannot be opened, or the backend fails while it is read.
    """
    note_read(path)
    with _backend(path):
        stream = path.open("rb")
    return io.BufferedReader(cast(io.RawIOBase, _Stream(stream, path)), PIECE_BYTES)


class _Stream(io.RawIOBase):
    """A backend's stream with its errors translated to ours."""

    def __init__(self, source: IO[bytes], path: Path) -> None:
        self.source = source
        self.path = path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.source.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        with _backend(self.path):
            return self.source.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        with _backend(self.path):
            piece = self.source.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self.source.close()
        super().close()


@contextlib.contextmanager
def at_hand(place: Path, shown: Path) -> Iterator[Path]:
    """Yield a local path: the file itself, or a temporary copy of a remote one.

    Raises:
        InputError: it cannot be opened or copied.
    """
    local = _copy(place) if is_remote(place) else contextlib.nullcontext(place)
    with local as near, called(near, shown):
        yield near


@contextlib.contextmanager
def called(place: Path, shown: Path) -> Iterator[None]:
    """Make errors refer to a file by the name it was given, wherever it is read."""
    try:
        yield
    except LstmStepError as error:
        if str(place) == str(shown):
            raise
        what, where, hint = (text.replace(safe(place), safe(shown)) for text in error.lines)
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
    """Translate a backend's exceptions, which differ between backends."""
    try:
        yield
    except (LstmStepError, MemoryError):
        raise
    except ImportError as error:
        raise InputError(
            f"this kind of URL needs another package: {safe(error)}"[:200],
            where=safe(name),
            hint="pip install the package for the scheme: s3fs, gcsfs, adlfs, …",
        ) from None
    except FileNotFoundError:
        raise InputError("no such file", where=safe(name), hint="check the URL") from None
    except Exception as error:
        reason = safe(error) or type(error).__name__
        raise InputError(
            f"cannot read: {reason}"[:200],
            where=safe(name),
            hint="check the URL, the credentials and the network",
        ) from None
