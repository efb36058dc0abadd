"""Read untrusted files: sizes are checked before memory is allocated, and nothing is unpickled.

JSON is rejected where the standard parser would guess (duplicate keys, NaN, numbers outside the
range of a double); npy and npz headers are checked against the bytes actually present.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import mmap
import os
import re
import stat
import struct
import sys
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, NoReturn, TypeVar

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, ShapeError, caret, safe
from lstm_cli.base.foreign import say
from lstm_cli.files.inputs_read import note_read, note_stdin
from lstm_cli.files.remote import is_remote, open_remote, place_of

Member = TypeVar("Member")

MAX_TEXT_BYTES = 256 * 2**20
MAX_ARRAY_BYTES = 2 * 2**30
# An integer above this may not be exact as a double.
MAX_EXACT_INT = 2**53
# A sample with inline weights is five levels deep; anything deeper is an attack on recursion.
MAX_JSON_DEPTH = 64
MAX_AXES = 32


def read_text(path: Path, *, table: bool = False) -> str:
    """Read a UTF-8 text file, dropping a byte-order mark; for `table`, see `decode`.

    Raises:
        InputError: missing, a folder, too large, or not UTF-8.
    """
    with open_checked(path) as stream:
        try:
            data = read_bounded(stream, safe(path))
        except OSError as error:  # opened, but cannot be read: a broken disk, /proc
            raise _cannot_read(path, error) from None
    return decode(data, safe(path), table=table)


def decode(data: bytes, place: str, *, table: bool = False) -> str:
    """Decode UTF-8 bytes; a table may be UTF-16 with a byte-order mark, as Windows writes it.

    Raises:
        InputError: not UTF-8; the message has the byte.
    """
    if table and data.startswith((b"\xff\xfe", b"\xfe\xff")):
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"not UTF-8 text: byte {error.start} is 0x{data[error.start]:02x}",
            where=place,
            hint="save the file as UTF-8; use .npy or .npz for arrays",
        ) from None


def read_stdin(place: str) -> str:
    """Read stdin, with a note on stderr if it is a terminal.

    Raises:
        InputError: too large, or not UTF-8.
    """
    note = f"reading {place} from the terminal; end with Ctrl-D"
    stream = open_stdin(note, place, "pipe the data in, or use @FILE")
    return decode(read_bounded(stream, "stdin"), f"{place}, stdin", table=True)


def open_stdin(note: str, place: str = "stdin", hint: str = "name a file") -> IO[bytes]:
    """Return stdin, with a note on stderr if it is a terminal.

    Raises:
        InputError: it is closed.
    """
    if sys.stdin is None:
        raise InputError("stdin is closed", where=place, hint=hint)
    if sys.stdin.isatty():
        say(note)
    note_stdin()
    return sys.stdin.buffer


_SPLIT = "split the file, or store numbers as .npy or .npz"


def read_bounded(stream: IO[bytes], place: str, hint: str = _SPLIT) -> bytes:
    """Read a whole stream in pieces: a single large `read` would allocate its memory up front.

    Raises:
        InputError: it is too large.
    """
    data = bytearray()
    while piece := stream.read(2**20):
        data += piece
        _check_size(len(data), MAX_TEXT_BYTES, place, hint)
    return bytes(data)


def open_checked(path: Path) -> io.BufferedReader:
    """Open a file for reading.

    Raises:
        InputError: it cannot be opened. The message does not list the folder: whoever named the
            file, in a sample or on a page, may not be allowed to see it.
    """
    if is_remote(path):
        return open_remote(path)
    note_read(path)
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from None


def _cannot_read(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(
        f"cannot read {safe(path)}: {reason.lower()}",
        where=safe(path),
        hint="check the path; in a sample, it is relative to the folder of the sample's file",
    )


def _check_size(size: int, limit: int, place: str, hint: str = _SPLIT) -> None:
    if size > limit:
        what = f"{size:,} bytes or more; the limit is {limit:,}"
        raise InputError(what, where=place, hint=hint)


def parse_json(text: str, place: str) -> Any:
    """Parse a JSON document strictly.

    Raises:
        InputError: malformed (with line and column), a duplicate key, NaN or Infinity, a number
            that overflows a double, an integer not exact as one, or nesting that is too deep.
    """

    def refuse(what: str, token: str, hint: str) -> NoReturn:
        raise InputError(what, where=_locate(text, token, place), hint=hint)

    def number(literal: str) -> float:
        value = float(literal)
        if math.isinf(value):
            refuse(f"{literal[:40]} is too large for a double", literal, "write a smaller number")
        return value

    def integer(literal: str) -> int:
        if len(literal) > 17 or abs(int(literal)) > MAX_EXACT_INT:
            refuse(f"{literal[:40]} is not exact as a double", literal, "write it as 1.0e20")
        return int(literal)

    def constant(literal: str) -> NoReturn:
        refuse(f"{literal} is not JSON", literal, _NO_NAN)

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(key for key, times in Counter(k for k, _ in pairs).items() if times > 1)
            refuse(f"key '{safe(twice)}' is given twice", json.dumps(twice), "keep one of them")
        return found

    try:
        document = json.loads(
            text, parse_float=number, parse_int=integer, parse_constant=constant,
            object_pairs_hook=members,
        )  # fmt: skip
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}",
            where=_pointed(text, error.pos, 1, place), hint=_slip(text, error.pos, error.msg),
        ) from None  # fmt: skip
    except RecursionError:
        raise _too_deep(place) from None
    _check_depth(document, place)
    return document


def _check_depth(document: Any, place: str) -> None:
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(MAX_JSON_DEPTH):
        inner = (each for one in level for each in (one.values() if isinstance(one, dict) else one))
        level = [each for each in inner if isinstance(each, dict | list)]
        if not level:
            return
    raise _too_deep(place)


def _too_deep(place: str) -> InputError:
    return InputError(
        f"nested deeper than {MAX_JSON_DEPTH}", where=place, hint="arrays have at most three levels"
    )


_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|-?Infinity|NaN|-?[0-9][0-9.eE+-]*')


def _locate(text: str, token: str, place: str) -> str:
    """Locate the last occurrence of a token that is not part of a longer one."""
    starts = [match.start() for match in _TOKEN.finditer(text) if match[0] == token]
    if not starts:
        return place
    start = starts[-1] if token.startswith('"') else starts[0]
    return _pointed(text, start, min(len(token), 40), place)


def _pointed(text: str, start: int, length: int, place: str) -> str:
    """A place in a text, with carets under it; a place that is a line already has one line."""
    line = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1)
    if not _A_LINE.search(place):
        place = f"{place}, line {line}"
    shown = caret(text.split("\n")[line - 1], column, length)
    return f"{place}, column {column + 1}\n{shown}"


_A_LINE = re.compile(r", line [0-9]+\Z")
_NO_NAN = "JSON has no nan and no inf: write a finite number"
# What stands where JSON is none -> what to write there.
_SLIPS = (
    (r"'", "JSON has double quotes: json.dumps(sample) writes them, print(sample) does not"),
    (r"(True|False|None)\b", "JSON writes true, false and null"),
    (r"[+-]?(nan|inf|infinity)\b", _NO_NAN),
    (r"#|//|/\*", "JSON has no comments"),
    (r"[A-Za-z_]\w*\s*:", "names stand in double quotes"),
    (r"[A-Za-z_]", "text stands in double quotes"),
)


def _slip(text: str, position: int, message: str) -> str:
    """What to write where a text is not JSON."""
    before, after = text[:position].rstrip(), text[position:].lstrip()
    between = before[-1:] + after[:1]
    if between in (",,", "[,", "{,", ",]", ",}") or re.match(r",\s*[]}]", after):
        return "a comma stands only between two values: remove this one"
    if before and not after:
        return "it ends too early: is it cut?"
    if message == "Extra data" and after.startswith("{"):
        return "one sample a line is JSON Lines: name it .jsonl, or --input-format jsonl"
    slips = (hint for slip, hint in _SLIPS if re.match(slip, after, re.IGNORECASE))
    return next(slips, "check the character under the caret")


def to_array(value: Any, name: str, place: str, *, max_axes: int = 3) -> Array:
    """Convert nested lists of numbers to a float64 array.

    Raises:
        InputError: an entry that is not a number, or lists nested too deeply.
        ShapeError: rows of unequal length; the message has both.
    """
    shape = _list_shape(value, name, place, max_axes, ())
    if 0 in shape:
        raise InputError(f"{safe(name)} is empty", where=place, hint="give at least one number")
    return np.asarray(value, dtype=np.float64)


def _list_shape(
    value: Any, name: str, place: str, axes: int, index: tuple[int, ...]
) -> tuple[int, ...]:
    if not isinstance(value, list):
        if isinstance(value, bool) or not isinstance(value, int | float):
            found = safe(json.dumps(value))[:40]
            at = "".join(f"[{i}]" for i in index)
            raise InputError(
                f"{safe(name)}{at} is {found}, not a number",
                where=place,
                hint="write numbers without quotes, in lists",
            )
        return ()
    if axes == 0:
        raise InputError(f"{safe(name)} is nested too deeply", where=place, hint="use fewer lists")
    # Fast path for a plain row, without a call per number.
    if value and all(type(each) is float or type(each) is int for each in value):
        return (len(value),)
    shapes = [_list_shape(v, name, place, axes - 1, (*index, i)) for i, v in enumerate(value)]
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            at = "".join(f"[{j}]" for j in index)
            raise ShapeError(
                f"{safe(name)} is ragged: {at}[{i}] has {_count(shape)}, "
                f"{at}[0] has {_count(shapes[0])}",
                where=place,
                hint="every row needs the same number of entries",
            )
    return (len(value), *(shapes[0] if shapes else ()))


def _count(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) + " numbers" if shape else "one number"


def read_npy(path: Path) -> Array:
    """Read the array in a .npy file.

    Raises:
        InputError: not an npy file, an object array, or fewer bytes than the header declares.
    """
    with open_checked(path) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise InputError("not a regular file", where=safe(path), hint="npy needs a real file")
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        return _read_array(stream, size, safe(path))


def map_npy(path: Path) -> Array:
    """Memory-map the array in a .npy file; errors as `read_npy`."""
    with open_checked(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        return _map(path, stream, 0, size, safe(path))


def map_npz(path: Path, key: str) -> Array | None:
    """Memory-map a member of a .npz file; "" means the only one.

    Returns None if it cannot be mapped because it is compressed or missing: `read_npz` then reads
    it or reports what is wrong.

    Raises:
        InputError: as `read_npz`, except that the checksum of a mapped member is not verified.
    """
    with open_checked(path) as stream:
        try:
            members = zipfile.ZipFile(stream).infolist()
            wanted = [each for each in members if each.filename == f"{key}.npy" or not key]
            if len(wanted) != 1 or wanted[0].compress_type or wanted[0].flag_bits & _ENCRYPTED:
                return None
            start = wanted[0].header_offset
            stream.seek(start)
            # The local header ends with the lengths of the member's name and extra field.
            signature, name, more = struct.unpack("<4s22xHH", stream.read(30))
        except _BAD_ZIP as error:
            raise _not_npz(path, str(error)) from None
        place = f"{safe(path)}, key {safe(wanted[0].filename.removesuffix('.npy'))}"
        start += 30 + name + more
        there = min(wanted[0].file_size, os.fstat(stream.fileno()).st_size - start)
        if signature != b"PK\x03\x04" or there <= 0:
            raise _not_npz(path, "its table of contents is damaged")
        return _map(path, stream, start, there, place)


def _map(path: Path, stream: IO[bytes], start: int, size: int, place: str) -> Array:
    """Memory-map the npy array in `size` bytes of an open file from `start`."""
    stream.seek(start)
    shape, fortran, dtype, data = _header(stream.read(min(size, 16_384)), place)
    if not size - data >= math.prod(shape) * dtype.itemsize > 0:
        raise _short(math.prod(shape) * dtype.itemsize, size - data, shape, place)
    order: Literal["F", "C"] = "F" if fortran else "C"
    return np.memmap(path, dtype=dtype, mode="r", offset=start + data, shape=shape, order=order)


def let_go(array: Array) -> None:
    """Release the resident pages of a memory-mapped array; does nothing for other arrays.

    They are loaded again on the next access and take no memory until then.
    """
    whole: Any = array
    while isinstance(whole, np.ndarray):
        whole = whole.base
    if isinstance(whole, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        whole.madvise(mmap.MADV_DONTNEED)


def npz_headers(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Map the names in a .npz file to (shape, dtype) by the headers; errors as `read_npz`."""

    def read_header(stream: IO[bytes], size: int, place: str) -> tuple[tuple[int, ...], str]:
        shape, _, dtype, _ = _header(stream.read(min(size, 16_384)), place)
        return shape, dtype.name

    return dict(_read_archive(path, None, read_header))


def read_npz(path: Path, only: str | None = None) -> dict[str, Array]:
    """Read every array in a .npz file, or only the one named `only`.

    Raises:
        InputError: not a zip, more than 2 GiB uncompressed, a duplicate key, an object array, or a
            header that declares more than the member holds.
    """
    return dict(_read_archive(path, only, _read_array))


def _read_archive(
    path: Path, only: str | None, read: Callable[[IO[bytes], int, str], Member]
) -> Iterator[tuple[str, Member]]:
    """Yield (name, result of `read`) for all members, or for the one named `only`."""
    with open_checked(path) as stream:
        try:
            archive = zipfile.ZipFile(stream)
            members = archive.infolist()
        except _BAD_ZIP as error:
            raise _not_npz(path, str(error)) from None
        _check_size(sum(each.file_size for each in members), MAX_ARRAY_BYTES, safe(path))
        seen = set[str]()
        for member in members:
            key = member.filename.removesuffix(".npy")
            place = f"{safe(path)}, key {safe(key)}"
            if key in seen:
                raise InputError(f"key '{safe(key)}' occurs twice", where=place, hint="keep one")
            seen.add(key)
            if only is not None and key != only:
                continue
            try:
                with archive.open(member) as opened:
                    yield key, read(opened, member.file_size, place)
            except _BAD_ZIP as error:
                raise _not_npz(path, str(error)) from None


# The flag bit of an encrypted member.
_ENCRYPTED = 1
# Exceptions of zipfile and its decompressors on damaged or hostile archives.
_BAD_ZIP = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError,
)  # fmt: skip


def _not_npz(path: Path, reason: str) -> InputError:
    return InputError(
        f"not a readable npz file: {safe(reason)}", where=safe(path),
        hint="write it with numpy.savez(path, W_f=…, b_f=…)",
    )  # fmt: skip


def _read_array(stream: IO[bytes], size: int, place: str) -> Array:
    """Read an npy array after checking its header against `size` bytes."""
    head = stream.read(min(size, 16_384))
    shape, fortran, dtype, start = _header(head, place)
    declared, there = math.prod(shape) * dtype.itemsize, size - start
    if declared > there or declared > MAX_ARRAY_BYTES:
        raise _short(declared, there, shape, place)
    data = head[start:] + stream.read(max(0, declared - (len(head) - start)))
    if len(data) < declared or (dtype.kind == "U" and not _is_text(data[:declared], dtype)):
        raise InputError("truncated or damaged", where=place, hint="write it again")
    if not declared:
        return np.empty(0, dtype)  # the caller reports that it is empty
    array = np.frombuffer(data[:declared], dtype=dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _short(declared: int, there: int, shape: tuple[int, ...], place: str) -> InputError:
    return InputError(
        f"the header declares {declared:,} bytes {shape}, but the file has {there:,}",
        where=place,
        hint="the file is truncated or damaged; write it again",
    )


def _header(head: bytes, place: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return the shape, whether the order is Fortran's, the dtype, and the offset of the data."""
    stream = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"format version {version}")
        form = np.lib.format
        read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 2's `3L` is accepted
            shape, fortran, dtype = read(stream)
        if len(shape) > MAX_AXES or any(type(axis) is not int or axis < 0 for axis in shape):
            raise ValueError(f"shape {shape}")
    except Exception as error:  # hostile headers make NumPy's parser raise almost anything
        raise InputError(
            f"not an npy array: {safe(error) or 'unreadable header'}"[:200],
            where=place,
            hint="write it with numpy.save",
        ) from None
    if dtype.kind not in "fiuU" or not dtype.itemsize:
        what = "an object array (a pickle)" if dtype.hasobject else f"of type {safe(dtype)}"
        raise InputError(
            f"the array is {what}; only plain numbers are read",
            where=place,
            hint="save it again as numbers: numpy.asarray(a, dtype=float)",
        )
    return shape, fortran, dtype, stream.tell()


def _is_text(data: bytes, dtype: np.dtype[Any]) -> bool:
    """Whether every code point is valid; NumPy does not check before Python fails on it."""
    points = np.frombuffer(data, dtype=np.dtype("u4").newbyteorder(dtype.byteorder))
    return not points.size or int(points.max()) <= sys.maxunicode


# ---- whether a file has changed

DIGEST_DIGITS = 32


class Digests:
    """Digests of files, each read again only if its metadata changes.

    Args:
        root: the folder that paths are relative to, if not the current one.
    """

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.known: dict[str, tuple[object, str]] = {}

    def of(self, name: str) -> str:
        """Return the digest of a file's content; "" if it cannot be read."""
        try:
            path = place_of(name, self.root)
            now = _fingerprint(path)
            before, digest = self.known.get(name, (None, ""))
            if now != before:
                digest = content_of(path)
                self.known[name] = now, digest
        except (OSError, ValueError, LstmStepError):  # opening it later reports why
            return ""
        return digest

    def unchanged(self, files: Mapping[str, str]) -> bool:
        """Whether the files still match their digests, given as name -> digest."""
        return all(self.of(name) == digest for name, digest in files.items())


def _fingerprint(path: Path) -> object:
    """Fingerprint that changes when a file does; a remote file is not checked again."""
    if is_remote(path):
        return "elsewhere"
    told = os.stat(path)
    if not stat.S_ISREG(told.st_mode):
        raise OSError("not a regular file")
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


def content_of(path: Path) -> str:
    """Return the digest of a file's content.

    Raises:
        InputError: it cannot be opened.
        OSError: it cannot be read.
    """
    from hashlib import file_digest  # brings OpenSSL, which readers have no use for

    with open_checked(path) as stream:
        return file_digest(stream, "sha256").hexdigest()[:DIGEST_DIGITS]
