"""Untrusted HDF5 files: only hard links are followed, and sizes are checked before allocation.

An HDF5 file can point into other files (external links, external storage, virtual datasets), name
a plugin to load, contain itself, or declare gigabytes in 1,400 bytes. The last is refused when the
dataset is read, the others when the file is opened.
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import MAX_ARRAY_BYTES, MAX_TEXT_BYTES, open_checked
from lstm_cli.formats.contents import Info
from lstm_cli.formats.registry import HDF5
from lstm_cli.formats.stored import BoundedCursor, read_from

MAX_OBJECTS = 20_000
MAX_DEPTH = 64
# Declared bytes for each stored byte; a fill value or a deflate bomb has more than this.
MAX_RATIO = 1000
# A deflate stream grows at most 1032 times, and HDF5 inflates it before it looks at the size.
MAX_DEFLATED_BYTES = MAX_ARRAY_BYTES // 1032
PLAIN_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}
# The exceptions of h5py on damaged files, found by cutting files and flipping bytes.
_FAULTS = (
    OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError,
    OverflowError, struct.error,
)  # fmt: skip


class Hdf5:
    """A checked HDF5 file, open only while it is being read.

    (HDF5 shares files within a process: Keras cannot overwrite one that is open.)

    Attributes:
        infos: path -> shape and dtype of every dataset.
        addresses: path -> the address of its header, which grows in the order of writing.
        groups: the path of every group, "" for the root.
    """

    def __init__(self, source: Path | bytes, place: str) -> None:
        self._source = source
        self._place = place
        self._file: Any = None
        self.infos: dict[str, Info] = {}
        self.addresses: dict[str, int] = {}
        self.groups: dict[str, None] = {"": None}
        with self.opened() as file, faults(place):
            self._walk(file, "", (_address(file),))

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Open the file for a `with` block; nested blocks share it."""
        if self._file is not None:
            yield self._file
            return
        h5py = library()
        source = io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source
        with faults(self._place):
            self._file = h5py.File(source, "r", locking="best-effort")
        try:
            yield self._file
        finally:
            with faults(self._place):
                self._file.close()
            self._file = None

    def _walk(self, group: Any, path: str, above: tuple[int, ...]) -> None:
        for name in group:
            child = f"{path}/{name}" if path else name
            place = f"{self._place}, {safe(child)}"
            if len(self.infos) + len(self.groups) > MAX_OBJECTS or len(above) > MAX_DEPTH:
                raise _refused(
                    f"more than {MAX_OBJECTS:,} objects, or nested deeper than {MAX_DEPTH}", place
                )
            found = _member(group, name, place)
            match type(found).__name__:
                case "Dataset":
                    self.infos[child] = _info(found, place)
                    self.addresses[child] = _address(found)
                case "Group":
                    address = _address(found)
                    if address in above:
                        raise _refused(f"group '{safe(name)}' contains itself", place)
                    self.groups[child] = None
                    self._walk(found, child, (*above, address))

    def load(self, path: str) -> Array:
        """Read a dataset's numbers.

        Raises:
            InputError: not numbers, larger than the limit, many times larger than what is stored,
                packed by an unusual filter, damaged, or changed since it was listed.
        """
        place = f"{self._place}, {safe(path)}"
        with self.opened() as dataset, faults(place):
            for step in path.split("/"):
                dataset = _member(dataset, step, place)
            if _info(dataset, place) != self.infos[path]:
                raise InputError("the file has changed", where=place, hint="read it again")
            if dataset.shape is None or dataset.dtype.kind not in "fiu":
                what = f"the dataset is of type {safe(dataset.dtype)}; only plain numbers are read"
                raise InputError(what, where=place, hint="store weights as float32 or float64")
            _check_sizes(dataset, place)
            return np.asarray(dataset[()])

    def has(self, group: str, name: str) -> bool:
        """Whether a group is there and has an attribute."""
        with self.opened() as file, faults(self._place):
            return group in self.groups and name in file[group or "/"].attrs

    def text(self, group: str, name: str) -> str | None:
        """Read a text attribute of a group; None where there is none; errors as `texts`."""
        found = self.texts(group, name)
        return found[0] if found else None

    def texts(self, group: str, name: str) -> list[str] | None:
        """Read an attribute of several texts; long ones are stored as `name0`, `name1`, ….

        Raises:
            InputError: too large, or damaged.
        """
        place = f"{self._place}, attribute {safe(name)} of /{safe(group)}"
        with self.opened() as file, faults(place):
            owner = file[group or "/"]
            if name in owner.attrs:
                return self._strings(owner, name)
            pieces: list[str] = []
            for number in range(MAX_OBJECTS):
                if f"{name}{number}" not in owner.attrs:
                    break
                pieces += self._strings(owner, f"{name}{number}") or []
            return pieces or None

    def _strings(self, group: Any, name: str) -> list[str] | None:
        header = group.attrs.get_id(name)
        count = math.prod(header.shape)
        if count > MAX_OBJECTS or count * header.dtype.itemsize > MAX_TEXT_BYTES:
            raise ValueError(f"{count:,} texts are too many")
        if header.dtype.kind == "S":
            return [v.decode("utf-8", "replace") for v in np.ravel(np.asarray(group.attrs[name]))]
        if header.dtype.kind != "O":
            return None
        held = self._source
        with io.BytesIO(held) if isinstance(held, bytes) else open_checked(held) as stream:
            return Texts(stream).read(_address(group), name, count)


_LINKS = {"ExternalLink": "a link into another file", "SoftLink": "a soft link"}
_SAVE_AGAIN = "save the weights again with Keras: model.save('model.keras')"


def _refused(what: str, place: str) -> InputError:
    return InputError(what, where=place, hint=_SAVE_AGAIN)


def _member(group: Any, name: str, place: str) -> Any:
    """The member of a group, refused if it is a link to elsewhere."""
    kind = type(group.get(name, getlink=True)).__name__
    if kind != "HardLink":
        link = _LINKS.get(kind, kind)
        raise _refused(
            f"'{safe(name)}' is {link}; only what lies in the file itself is read", place
        )
    return group[name]


def _info(dataset: Any, place: str) -> Info:
    """A dataset's shape and dtype, refused if its numbers are in another file."""
    other = "virtual" if dataset.is_virtual else "external" if dataset.external else ""
    if other:
        raise _refused(f"the numbers of this {other} dataset lie in another file", place)
    return Info.of(tuple(dataset.shape or ()), str(dataset.dtype))


def library() -> Any:
    """Import h5py with HDF5's search for plugins (shared libraries) switched off."""
    before = os.environ.get("HDF5_PLUGIN_PRELOAD")
    os.environ["HDF5_PLUGIN_PRELOAD"] = "::"
    try:
        return import_module("h5py")
    finally:
        if before is None:
            del os.environ["HDF5_PLUGIN_PRELOAD"]
        else:
            os.environ["HDF5_PLUGIN_PRELOAD"] = before


@contextmanager
def faults(place: str) -> Iterator[None]:
    """Convert h5py's exceptions on a damaged file to an InputError; our own pass unchanged."""
    try:
        yield
    except InputError:
        raise
    except _FAULTS as error:
        large = isinstance(error, OverflowError)  # its text names types of C
        reason = "an address or a size in it is too large" if large else safe(error)
        hint = "the file may be cut or damaged; " + _SAVE_AGAIN
        raise InputError(f"not readable as HDF5: {reason}"[:300], where=place, hint=hint) from None


def _address(item: Any) -> int:
    return int(import_module("h5py").h5o.get_info(item.id).addr)


def _check_sizes(dataset: Any, place: str) -> None:
    stored = dataset.id.get_storage_size()
    cell = dataset.dtype.itemsize
    # A chunk is unpacked as a whole, and may be larger than its dataset.
    needed = cell * max(math.prod(dataset.shape), math.prod(dataset.chunks or (0,)))
    if needed > MAX_ARRAY_BYTES or needed > MAX_RATIO * max(stored, 1):
        raise _refused(
            f"the dataset declares {needed:,} bytes {dataset.shape}, {stored:,} are stored; "
            f"the limits are {MAX_ARRAY_BYTES:,} and {MAX_RATIO} for each stored byte",
            place,
        )
    plist = dataset.id.get_create_plist()
    codes = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
    filters = [PLAIN_FILTERS.get(code, f"filter {code}") for code in codes]
    plain = len(set(codes)) == len(codes) and set(codes) <= set(PLAIN_FILTERS)
    if filters and (not plain or stored > MAX_DEFLATED_BYTES):
        raise InputError(
            f"the dataset is packed by {', '.join(filters)} into {stored:,} bytes; only "
            f"{', '.join(sorted(PLAIN_FILTERS.values()))} are read, once each, up to "
            f"{MAX_DEFLATED_BYTES:,} bytes",
            where=place, hint="unpack it: h5repack -f NONE in.h5 out.h5",
        )  # fmt: skip


# --------------------------------------------------------------------------------------------------
# Attributes of variable-length text, read without the library.
#
# HDF5 2.0.0 trusts the file: a length of 4 GiB is allocated and cleared before it is compared with
# the text (19 s for a file of 16 kB), and a free block of size zero in a heap is an endless loop.
# One changed byte of a Keras file can cause either, so these few structures are read here.
#
# Source: HDF5 File Format Specification 3.0: II "Superblock", III.E "Global Heap", IV.A "Object
# Headers", IV.A.2.m "Attribute Message", IV.A.2.q "Object Header Continuation Message".

_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10
# Sizes in headers are 32 bits; no honest header of a Keras file comes near this.
_MAX_HEADER_BYTES = 16 * 2**20
_MAX_BLOCKS = 1000


class Texts(BoundedCursor):
    """The text attributes of one file; a ValueError means a damaged or unusual file.

    Args:
        stream: the open file, used only while a method runs.
    """

    cut = "the file ends too early"

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(read_from(stream), stream.seek(0, io.SEEK_END), "")
        self._heaps: dict[int, dict[int, bytes]] = {}
        head = self.peek(0, 16)
        sizes = head[13:15] if head[8] < 2 else head[9:11]
        if head[:8] != HDF5 or sizes != b"\x08\x08":
            self.refuse("texts are read where addresses have 8 bytes and no block is in front")

    def refuse(self, reason: str, at: int | None = None) -> NoReturn:
        """Raise the fault that `faults` converts."""
        raise ValueError(reason)

    def read(self, header: int, name: str, count: int) -> list[str]:
        """Read the texts of an attribute.

        Args:
            header: the address of the header of the object that has the attribute.

        Raises:
            ValueError: not found in the header itself, damaged, or too much text.
        """
        data = self._attribute(header, name.encode())
        if len(data) < 16 * count:
            self.refuse(f"attribute {name} is cut")
        left = MAX_TEXT_BYTES
        found: list[str] = []
        for length, heap, index in struct.iter_unpack("<IQI", data[: 16 * count]):
            text = self._heap(heap).get(index, b"") if length else b""
            left -= length
            if len(text) != length or left < 0:
                self.refuse(f"a text of {length:,} bytes, {len(text):,} are there")
            found.append(text.decode("utf-8", "surrogateescape"))
        return found

    def _attribute(self, header: int, name: bytes) -> bytes:
        """An attribute's data, which for variable-length text are references into a heap."""
        for kind, shared, message in self._messages(header):
            if kind == _ATTRIBUTE and not shared:
                version, _, *sizes = struct.unpack_from("<BBHHH", message)
                # Each part is padded to 8 bytes in version 1; version 3 also has an encoding.
                at = 9 if version == 3 else 8
                parts: list[bytes] = []
                for size in sizes:
                    parts.append(message[at : at + size])
                    at += _padded(size) if version == 1 else size
                if parts[0].rstrip(b"\0") == name:
                    return message[at:]
        self.refuse(f"attribute {name.decode()} is not in the header of its object")

    def _messages(self, header: int) -> Iterator[tuple[int, bool, bytes]]:
        """Yield (type, whether it is shared, data) of an object's messages."""
        start = self.peek(header, 16)
        if start[:4] == b"OHDR":
            flags = start[5]
            at = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            size = self.whole(self.peek(header + at, width))
            blocks = [(header + at + width, size)]
            layout = struct.Struct("<BHBxx" if flags & 0x04 else "<BHB")
        else:
            blocks = [(header + 16, struct.unpack_from("<I", start, 8)[0])]
            layout = struct.Struct("<HHBxxx")
        newer = start[:4] == b"OHDR"
        left = _MAX_HEADER_BYTES
        for place, size in blocks:  # which grows meanwhile
            left -= size
            if left < 0 or len(blocks) > _MAX_BLOCKS:
                self.refuse("the header of an object is too large")
            data, at = self.peek(place, size), 0
            while at + layout.size <= len(data):
                kind, length, shared = layout.unpack_from(data, at)
                message = data[at + layout.size : at + layout.size + length]
                at += layout.size + length
                if kind == _CONTINUATION and len(message) >= 16:
                    more, size = struct.unpack_from("<QQ", message)
                    # Newer blocks begin with a signature and end with a checksum.
                    blocks.append((more + 4, size - 8) if newer else (more, size))
                yield kind, bool(shared & 2), message

    def _heap(self, at: int) -> dict[int, bytes]:
        """Read a heap as index -> text."""
        if at in self._heaps:
            return self._heaps[at]
        signature, version, size = struct.unpack("<4sB3xQ", self.peek(at, 16))
        if signature != b"GCOL" or version != 1 or size > MAX_TEXT_BYTES:
            self.refuse(f"no heap of texts at byte {at:,}")
        data, place = self.peek(at, size), 16
        found: dict[int, bytes] = {}
        while place + 16 <= size:
            index, length = struct.unpack_from("<H6xQ", data, place)
            # The size of the free block, number 0, includes its head; other sizes do not.
            step = length if index == 0 else 16 + _padded(length)
            if step < 16 or place + step > size:
                self.refuse(f"the heap of texts at byte {at:,} is damaged")
            if index:
                found[index] = data[place + 16 : place + 16 + length]
            place += step
        self._heaps[at] = found
        return found


def _padded(size: int) -> int:
    return (size + 7) // 8 * 8
