"""Output: numbers as text, JSON, and atomically written files.

A number in a data format is the shortest text that reads back as the same number in its type.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import OutputError, safe
from lstm_cli.base.foreign import tame
from lstm_cli.files.inputs_read import check_stdout_unread, check_unread


def plain_list(array: Array, dtype: Any = np.float64) -> Any:
    """Convert an array to nested lists of shortest round-trip numbers; nan and inf become text.

    A float32 such as 0.1 comes out as 0.1 rather than 0.10000000149011612, its value as a double.
    """
    values: Any
    if np.dtype(dtype) == np.float64:
        values = array.tolist()
    else:
        narrow = array.astype(dtype)
        flat = [float(text) for text in narrow.ravel().astype(str).tolist()]
        values = np.array(flat).reshape(array.shape).tolist()
    return values if np.isfinite(array).all() else _name_nonfinite(values)


def _name_nonfinite(value: Any) -> Any:
    """Replace nan and inf, which JSON lacks, by the texts NaN, Infinity and -Infinity."""
    if isinstance(value, list):
        return [_name_nonfinite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def step_record(
    layer: int,
    direction: str,
    t: int,
    values: Mapping[str, Array],
    dtype: Any,
    index: Any = ...,
) -> dict[str, Any]:
    """Build one element of `steps`: layer, direction, t, and every value as a list."""
    return {
        "layer": layer,
        "direction": direction,
        "t": t,
        **{symbol: plain_list(value[index], dtype) for symbol, value in values.items()},
    }


def json_text(document: Any, *, indent: int | None = None) -> str:
    """Serialize a JSON document, on one line unless `indent` is given."""
    return json.dumps(document, allow_nan=False, indent=indent)


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Serialize arrays as an npz archive."""
    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))  # type: ignore[arg-type] # names are symbols, never 'file'
    return buffer.getvalue()


def write_out(pieces: Iterable[str | bytes], output: str = "-") -> None:
    """Write an answer to stdout (`-`) or atomically to a file.

    Raises:
        OutputError: the disk is full, the folder is missing, permission is denied, or the file is
            also read.
    """
    if output == "-":
        _to_stdout(pieces)
    else:
        write_atomically(Path(output), pieces)


def _to_stdout(pieces: Iterable[str | bytes]) -> None:
    check_stdout_unread()
    # What is drawn in colour does not come this way: nothing here may steer a terminal.
    terminal = sys.stdout.isatty()
    try:
        for piece in pieces:
            if isinstance(piece, str):
                sys.stdout.write(tame(piece) if terminal else piece)
            else:
                sys.stdout.flush()
                sys.stdout.buffer.write(piece)
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # the reader has closed the pipe; `main` exits quietly
    except OSError as error:
        raise _cannot_write("stdout", error) from None


def write_atomically(path: Path, pieces: Iterable[str | bytes]) -> None:
    """Write a temporary file next to `path` and move it into place once it is complete.

    Raises:
        OutputError: as `write_out`; the old file, if there was one, is as before.
    """
    if is_device(path):
        _write_device(path, pieces)
        return
    with replacing(path) as stream:
        for piece in pieces:
            stream.write(piece.encode() if isinstance(piece, str) else piece)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file next to `path` that replaces it on success.

    Raises:
        OutputError: as `write_out`; the old file, if there was one, is as before.
    """
    check_unread(path)
    given, path = path, _target(path)
    # Named before it exists, so that it is removed after any interruption.
    temporary = path.with_name(f".{path.name[:80]}.{os.urandom(8).hex()}")
    try:
        with open(temporary, "x+b", opener=_private) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        check_unread(given)  # again: samples are read while their answers are written
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise _cannot_write(safe(path), error) from None
        raise


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def is_device(path: Path) -> bool:
    """Whether a path exists and is not a regular file, so that it must not be replaced.

    Raises:
        OutputError: the path cannot be examined.
    """
    # The link itself is not resolved by name: /dev/stdout leads to "pipe:[1234]".
    try:
        return path.exists() and not path.is_file()
    except OSError as error:
        raise _cannot_write(safe(path), error) from None


def _target(path: Path) -> Path:
    """Return the target of a link, so that the link is kept."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a cycle of links, a NUL
        raise _cannot_write(safe(path), error) from None


def _write_device(path: Path, pieces: Iterable[str | bytes]) -> None:
    """Write to something other than a regular file (/dev/null, a FIFO)."""
    try:
        with path.open("wb") as stream:
            for piece in pieces:
                stream.write(piece.encode() if isinstance(piece, str) else piece)
    except OSError as error:
        raise _cannot_write(safe(path), error) from None


def _mode(path: Path) -> int:
    """Return the old file's mode, or 0666 less the umask."""
    with contextlib.suppress(OSError):
        return path.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _cannot_write(place: str, error: Exception) -> OutputError:
    return OutputError(
        f"cannot write: {(getattr(error, 'strerror', None) or str(error)).lower()}",
        where=place,
        hint="check the folder, its permissions and the free space, or choose another -o FILE",
    )
