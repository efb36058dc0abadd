"""Output: which format, numbers as text, JSON, and atomically written files.

A number in a data format is the shortest text that reads back as the same number in its type.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lstm_cli.base.errors import OutputError, UsageError, safe, suggest
from lstm_cli.base.foreign import tame
from lstm_cli.files.inputs_read import check_unread, identity, noted_reads

# NumPy is imported where numbers are: a command sets the threads of its products before.
if TYPE_CHECKING:
    from lstm_cli.base.arrays import Array

# ---- which format

# Suffix of a file -> the formats that it may mean; a command takes the first that it has.
SUFFIXES = {
    ".txt": ("table", "text", "plain"), ".tsv": ("tsv", "plain"), ".csv": ("csv",),
    ".json": ("json",), ".jsonl": ("jsonl",), ".ndjson": ("jsonl",), ".md": ("markdown",),
    ".markdown": ("markdown",), ".tex": ("latex",), ".html": ("html",), ".htm": ("html",),
    ".svg": ("svg",), ".png": ("png",), ".pdf": ("pdf",), ".npz": ("npz",),
    ".parquet": ("parquet",), ".h": ("c",),
}  # fmt: skip
_BINARY = ("npz", "parquet", "png", "pdf")


def choose_format(
    target: str,
    asked: str,
    as_json: bool,
    known: Sequence[str],
    default: tuple[str, str] | None = None,
    *,
    json_lines: bool = False,
) -> str:
    """Choose the output format: from the file's suffix, from `-f` or `--json`, or the default.

    Args:
        target: `-o`; "-" is stdout.
        asked: `-f`, or "" if it is not given.
        as_json: `--json`.
        default: on a terminal, and elsewhere; None if there is no default.
        json_lines: whether `--json` also allows JSONL, and means it unless the suffix is `.json`.

    Raises:
        UsageError: an unknown format or suffix, or two that contradict each other.
    """
    if not target:
        raise UsageError("-o has no name", where="-o ''", hint="-o FILE, or - for stdout")
    by_json = (("jsonl", "json") if json_lines else ("json",)) if as_json else ()
    if by_json and asked not in ("", *by_json):
        raise UsageError(
            f"--json and -f {safe(asked)} contradict each other", where="-f",
            hint="keep one of them",
        )  # fmt: skip
    if asked and asked not in known:
        raise UsageError(f"unknown format '{safe(asked)}'", where="-f", hint=suggest(asked, known))
    wanted = (asked,) if asked else by_json
    suffix = _suffix(target)
    if suffix in SUFFIXES:
        said = f"-f {asked}" if asked else "--json"
        name = _by_suffix(target, suffix, wanted, said, known)
    elif wanted:
        name = wanted[0]
    elif suffix or default is None:
        what = f"unknown suffix '{safe(suffix)}'" if suffix else f"'{safe(target)}' has no suffix"
        raise UsageError(
            what, where=f"-o {safe(target)}",
            hint=f"-f {known[0]}, or a name that ends in {_suffixes(known)}",
        )  # fmt: skip
    else:
        name = default[not _on_terminal(target)]
    if name in _BINARY and _on_terminal(target):
        raise UsageError(
            f"{name} cannot be shown on a terminal", where=f"-f {name}", hint=f"-o answer.{name}"
        )
    return name


def _by_suffix(
    target: str, suffix: str, wanted: Sequence[str], said: str, known: Sequence[str]
) -> str:
    """Return the command's format for a known suffix; errors as `choose_format`."""
    fits = [each for each in SUFFIXES[suffix] if each in known]
    if not fits:
        raise UsageError(
            f"'{suffix}' means {SUFFIXES[suffix][0]}, but this command writes {', '.join(known)}",
            where=f"-o {safe(target)}", hint=f"a name that ends in {_suffixes(known)}",
        )  # fmt: skip
    if not wanted:
        return fits[0]
    name = next((each for each in wanted if each in fits), "")
    if not name:
        raise UsageError(
            f"-o {safe(target)} and {said} contradict each other: '{suffix}' means {fits[0]}",
            where=f"-o {safe(target)}",
            hint=f"leave {said} out, or a name that ends in {_suffixes(wanted)}",
        )
    return name


def format_beside(option: str, target: str, known: Sequence[str], default: str) -> str:
    """Choose the format of a file beside the answer: what its suffix means, else the default.

    Raises:
        UsageError: the suffix means a format that the option does not write.
    """
    suffix = _suffix(target)
    fits = [each for each in SUFFIXES.get(suffix, (default,)) if each in known]
    if not fits:
        raise UsageError(
            f"'{suffix}' means {SUFFIXES[suffix][0]}, but {option} writes {', '.join(known)}",
            where=f"{option} {safe(target)}", hint=f"a name that ends in {_suffixes(known)}",
        )  # fmt: skip
    return fits[0]


def _suffixes(formats: Sequence[str]) -> str:
    """List the suffixes for some formats in words."""
    first = {forms: suffix for suffix, forms in reversed(SUFFIXES.items()) if {*forms} & {*formats}}
    *found, last = reversed(first.values())
    return " or ".join(filter(None, [", ".join(found), last]))


def is_unnamed(target: str) -> bool:
    """Whether a target is a file whose name tells no format."""
    place = target == "-" or target.endswith("/") or "://" in target or os.path.isdir(target)
    return not (place or is_device(Path(target)) or _suffix(target))


def _suffix(target: str) -> str:
    """Lower-case suffix of a file name; "" for a folder, a device or a URL."""
    if target.endswith("/") or "://" in target or os.path.isdir(target):
        return ""
    return Path(target).suffix.lower()


def _on_terminal(target: str) -> bool:
    return target == "-" and sys.stdout.isatty()


# ---- numbers and JSON


def plain_list(array: Array, dtype: Any = float) -> Any:
    """Convert an array to nested lists of shortest round-trip numbers; nan and inf become text.

    A float32 such as 0.1 comes out as 0.1 rather than 0.10000000149011612, its value as a double.
    """
    import numpy as np

    values: Any
    if np.dtype(dtype) == np.float64:
        values = array.tolist()
    else:
        narrow = array.astype(dtype)
        flat = [float(text) for text in narrow.ravel().astype(str).tolist()]
        values = np.array(flat).reshape(array.shape).tolist()
    return values if np.isfinite(array).all() else name_nonfinite(values)


def name_nonfinite(value: Any) -> Any:
    """Replace nan and inf, which JSON lacks, by the texts NaN, Infinity and -Infinity."""
    if isinstance(value, dict):
        return {str(key): name_nonfinite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [name_nonfinite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def step_record(
    layer: int, direction: str, t: int, values: Mapping[str, Array], dtype: Any
) -> dict[str, Any]:
    """Build one element of `steps`: layer, direction, t, and every value as a list."""
    lists = {symbol: plain_list(value, dtype) for symbol, value in values.items()}
    return {"layer": layer, "direction": direction, "t": t, **lists}


def json_text(document: Any, *, indent: int | None = None) -> str:
    """Serialize a JSON document, on one line unless `indent` is given."""
    return json.dumps(document, allow_nan=False, indent=indent)


def json_array(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines of JSON as one array."""
    before = "[\n"
    for line in lines:
        yield before + line.rstrip("\n")
        before = ",\n"
    yield "\n]\n" if before[0] == "," else "[]\n"


def one_document(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines of JSON as one document: a single one as it is, several as an array."""
    rest = iter(lines)
    first = list(islice(rest, 2))
    yield from first if len(first) == 1 else json_array(chain(first, rest))


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Serialize arrays as an npz archive."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))  # type: ignore[arg-type] # names are symbols, never 'file'
    return buffer.getvalue()


# ---- to which place

# Name of an open file: it is written at its current position, never replaced.
_OPEN_FILE = r"/dev/std(out|err)|/(?:dev|proc/self)/fd/([0-9]{1,6})"


def check_targets(targets: Mapping[str, str]) -> None:
    """Check all outputs of a command before any of them is written.

    Args:
        targets: option -> file name; "" is none, "-" is stdout.

    Raises:
        UsageError: two options name the same file, so one output would replace the other.
        OutputError: one of the files is also read.
    """
    seen: dict[object, str] = {}
    for option, name in targets.items():
        place = _place(name)
        if place in seen:
            raise UsageError(
                f"{seen[place]} and {option} name the same file", where=option,
                hint="give each a file of its own",
            )  # fmt: skip
        if place is not None:
            seen[place] = option
    for name in filter(None, targets.values()):
        check_unread(*_checked(name))


def _place(name: str) -> object:
    """Identity shared by all names of an output; None if there is nothing to lose."""
    target, _ = _checked(name)
    there = identity(target)
    if there is None and isinstance(target, Path) and not is_device(target):
        return os.path.realpath(target)
    return there


def _checked(name: str) -> tuple[Path | int | None, str]:
    """Return the path or open file behind a target's name, and its name in messages."""
    match = re.fullmatch(_OPEN_FILE, name)
    if name == "-":
        with contextlib.suppress(AttributeError, OSError, ValueError):  # not of the system
            return sys.stdout.fileno(), "stdout"
        return None, "stdout"
    if match:
        return {"out": 1, "err": 2}.get(match[1]) or int(match[2]), name
    return Path(name), name


def write_out(pieces: Iterable[str | bytes], output: str = "-") -> None:
    """Write an answer to stdout (`-`) or atomically to a file.

    Raises:
        OutputError: the disk is full, the folder is missing, permission is denied, or the file is
            also read.
    """
    if output == "-":
        _to_stdout(_unread(pieces, output))
    elif output.endswith("/"):
        raise _cannot_write(safe(output), IsADirectoryError("it is the name of a folder"))
    else:
        write_atomically(Path(output), pieces)


def _to_stdout(pieces: Iterable[str | bytes]) -> None:
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


def _unread(pieces: Iterable[str | bytes], target: str) -> Iterator[str | bytes]:
    """Yield pieces for an open file, unless it is also read: `batch in.jsonl >> in.jsonl`.

    Samples may name further files while answers are written, so the check is repeated.
    """
    place, name = _checked(target)
    check_unread(place, name)
    known = noted_reads()
    for piece in pieces:
        if known != noted_reads():
            check_unread(place, name)
            known = noted_reads()
        yield piece


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
    given, path = path, link_target(path)
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
    """Whether a path is an open file, or exists and is not a regular one: it is not replaced.

    Raises:
        OutputError: the path cannot be examined.
    """
    # The link itself is not resolved by name: /dev/stdout leads to "pipe:[1234]".
    try:
        return bool(re.fullmatch(_OPEN_FILE, str(path))) or (path.exists() and not path.is_file())
    except OSError as error:
        raise _cannot_write(safe(path), error) from None


def link_target(path: Path) -> Path:
    """Follow a link to its target, so that the link is kept.

    Raises:
        OutputError: a cycle of links, or no name of a file.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise _cannot_write(safe(path), error) from None


def _write_device(path: Path, pieces: Iterable[str | bytes]) -> None:
    """Write to something other than a regular file (/dev/null, a FIFO), or to an open file."""
    place, _ = _checked(str(path))
    try:
        sys.stdout.flush()  # may be the same
        with open(os.dup(place) if isinstance(place, int) else path, "wb") as stream:
            for piece in _unread(pieces, str(path)):
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
