"""PyTorch files (.pt, .pth, .bin) without PyTorch, and without trusting the pickle inside.

`torch.save` writes an uncompressed zip: `<root>/data.pkl` (structure), `<root>/data/<key>` (one
storage each, aligned so that it could be mapped), `<root>/byteorder`. The pickle is read as data
(`pickles.py`); a storage's bytes are read from the file when a tensor is asked for, and only the
stretch that the tensor covers. Source: `torch/serialization.py` 2.13 and files it wrote.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, safe
from lstm_cli.files.safe import open_checked
from lstm_cli.formats.contents import (
    CODES,
    Contents,
    Info,
    Span,
    Tensors,
    check_readable,
    flatten,
    item_size,
    read_numbers,
    shaped,
)
from lstm_cli.formats.pickled import Refused, View
from lstm_cli.formats.pickles import MAX_PICKLE_BYTES, read_pickle

# The magic number of files before PyTorch 1.6, pickled on its own (torch/serialization.py).
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_DAMAGED = "the file is cut or damaged; save it again with torch.save"


@dataclass(frozen=True)
class _Archive:
    """The parts of a zip that matter, each with its place in the file."""

    root: str
    members: Mapping[str, Span]
    size: int


def read(path: Path) -> Contents:
    """Return the tensors of a state dict or checkpoint, dicts flattened to dotted names.

    Raises:
        InputError: not such a zip, a pickle that asks for anything but tensors and plain values
            (names it), a tensor that its storage does not hold.
    """
    place = safe(path)
    with open_checked(path) as stream:
        archive = _open(stream, path)
        big = _is_big_endian(_member(archive, "byteorder", 64, stream, place))
        pickled = _member(archive, "data.pkl", MAX_PICKLE_BYTES, stream, place)
    try:
        tree = read_pickle(pickled, f"{place}, {safe(archive.root)}data.pkl")
    except Refused as refused:
        raise _refusal(refused.name, path) from None
    views = flatten(tree, View, place)
    spans = {
        name: _span(view, archive, f"{place}, key {safe(name)}") for name, view in views.items()
    }

    def load(name: str) -> Array:
        where = f"{place}, key {safe(name)}"
        return _numbers(path, views[name], spans[name], where, big_endian=big)

    infos = {name: Info(view.shape, view.dtype) for name, view in views.items()}
    return Contents(Tensors(infos, load))


def _open(stream: IO[bytes], path: Path) -> _Archive:
    """Return the archive's members, all of them stored as they are and apart from each other."""
    place, size = safe(path), stream.seek(0, io.SEEK_END)
    stream.seek(0)
    _check_kind(stream.read(64), path)
    try:
        members = zipfile.ZipFile(stream).infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise InputError(
            f"not a readable zip: {safe(error)[:120]}", where=place, hint=_DAMAGED
        ) from None
    names = [each.filename for each in members]
    _check_names(names, path)
    spans = {each.filename: _stored(each, stream, size, place) for each in members}
    _check_apart(spans, place)
    return _Archive(next(n for n in names if _is_pickle(n)).removesuffix("data.pkl"), spans, size)


def _check_kind(start: bytes, path: Path) -> None:
    """Refuse what is no zip, with what to do for the two kinds that people have."""
    if start.startswith(b"PK"):
        return
    if start.startswith(_LEGACY):
        raise InputError(
            "a PyTorch file in the format before 1.6, which is all pickle", where=safe(path),
            hint=_lines(path, "torch.load(path, weights_only=True, map_location='cpu')",
                        "torch.save(data, path)"),
        )  # fmt: skip
    what = "a pickle, not a zip of torch.save" if start[:1] == b"\x80" else "not a zip"
    raise InputError(
        what, where=safe(path),
        hint="write it with torch.save(model.state_dict(), path), or as safetensors",
    )  # fmt: skip


def _lines(path: Path, load: str, save: str) -> str:
    """Return the Python lines that save what is in a file in a form that is read."""
    name = repr(safe(path.name))
    return (
        "in Python with torch, if you trust the file's maker:\n"
        f"    data = {load.replace('path', name)}\n"
        f"    {save.replace('path', repr('weights' + safe(path.suffix)))}"
    )


_TO_NPZ = "numpy.savez('weights.npz', **{k: v.double().numpy() for k, v in data.items()})"


def _refusal(name: str, path: Path) -> InputError:
    load, shown = "torch.load(path, weights_only=False, map_location='cpu')", safe(name)[:120]
    if name.startswith(("torch.nn.modules.", "__main__.")):
        return InputError(
            f"a whole model was pickled ({shown}), not its weights", where=safe(path),
            hint=_lines(path, f"{load}.state_dict()", _TO_NPZ),
        )  # fmt: skip
    return InputError(
        f"the pickle asks for {shown}, which no weights need; nothing of it was run",
        where=safe(path),
        hint=_lines(path, load, "torch.save(data['state_dict'], path)  # or the key it has"),
    )


def _is_pickle(name: str) -> bool:
    return name == "data.pkl" or name.endswith("/data.pkl")


def _check_names(names: list[str], path: Path) -> None:
    """Refuse an archive with a name twice, TorchScript, and zips that are something else."""
    seen = set[str]()
    for name in names:
        if name in seen:
            raise InputError(
                f"'{safe(name)}' is there twice in the zip", where=safe(path), hint=_DAMAGED
            )
        seen.add(name)
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise InputError(
            "a TorchScript program (torch.jit.save), not weights", where=safe(path),
            hint=_lines(path, "torch.jit.load(path, map_location='cpu').state_dict()", _TO_NPZ),
        )  # fmt: skip
    if sum(map(_is_pickle, names)) != 1:
        shown = ", ".join(map(safe, names[:5])) or "nothing"
        raise InputError(
            f"a zip, but not of torch.save: it holds {shown}, no data.pkl", where=safe(path),
            hint="npz and Keras files are zips too; give the file the suffix of its format",
        )  # fmt: skip


def _stored(member: zipfile.ZipInfo, stream: IO[bytes], size: int, place: str) -> Span:
    """Return where an uncompressed member's bytes lie."""
    plain = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
    if not plain or member.compress_size != member.file_size:
        raise InputError(
            f"'{safe(member.filename)}' is compressed or encrypted", where=place,
            hint="torch.save stores plainly; the file was packed again: unpack it or save anew",
        )  # fmt: skip
    # A damaged table may point before the file (zipfile subtracts) or far behind it.
    stream.seek(min(max(0, member.header_offset), size))
    local = stream.read(30)
    start = member.header_offset + 30
    start += int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    if member.header_offset < 0 or local[:4] != b"PK\x03\x04" or start + member.file_size > size:
        raise InputError(
            f"'{safe(member.filename)}' is not where the zip's table says", where=place,
            hint=_DAMAGED,
        )  # fmt: skip
    return start, member.file_size


def _check_apart(spans: Mapping[str, Span], place: str) -> None:
    """Refuse members that share bytes, so that all of them are no larger than the file."""
    end = 0
    for name, (start, count) in sorted(spans.items(), key=lambda each: each[1]):
        if start < end:
            raise InputError(f"'{safe(name)}' overlaps another member", where=place, hint=_DAMAGED)
        end = start + count


def _member(archive: _Archive, name: str, limit: int, stream: IO[bytes], place: str) -> bytes:
    """Return a small member's bytes; empty where there is none."""
    start, count = archive.members.get(archive.root + name, (0, 0))
    if count > limit:
        raise InputError(
            f"{name} takes {count:,} bytes; the limit is {limit:,}", where=place,
            hint="save the weights alone: torch.save(model.state_dict(), path)",
        )  # fmt: skip
    stream.seek(start)
    return stream.read(count)


def _is_big_endian(record: bytes) -> bool:
    return record.strip() == b"big"


def _span(view: View, archive: _Archive, place: str) -> Span:
    """Return the bytes that a tensor covers, from its first number to its last."""
    storage = view.storage
    member = archive.members.get(f"{archive.root}data/{storage.key}")
    if member is None:
        raise InputError(f"storage '{safe(storage.key)}' is missing", where=place, hint=_DAMAGED)
    if view.dtype not in CODES or 0 in view.shape:
        return member[0], 0
    reach = sum((n - 1) * step for n, step in zip(view.shape, view.strides, strict=True))
    item = item_size(view.dtype)
    start, stop = view.offset * item, (view.offset + reach + 1) * item
    declared = storage.count * item_size(storage.dtype) if storage.dtype in CODES else member[1]
    if stop > declared or declared > member[1]:
        raise InputError(
            f"the tensor ends at byte {stop:,} of its storage, which is said to have "
            f"{declared:,} and has {member[1]:,}",
            where=place,
            hint=_DAMAGED,
        )
    return member[0] + start, stop - start


def _numbers(path: Path, view: View, span: Span, place: str, *, big_endian: bool) -> Array:
    """Return a tensor's numbers in its shape, gathered from its stretch of the storage."""
    count = math.prod(view.shape)
    check_readable(view.dtype, count * item_size(view.dtype) if view.dtype in CODES else 0, place)
    if count == 0:
        return shaped(read_numbers(path, [], view.dtype, place), view.shape, place)
    flat = read_numbers(path, [span], view.dtype, place, big_endian=big_endian)
    if count > flat.size:
        raise InputError(
            f"the tensor repeats its {flat.size:,} stored numbers to {count:,}", where=place,
            hint="save it as stored: tensor.contiguous()",
        )  # fmt: skip
    steps = [step * flat.itemsize for step in view.strides]
    return np.lib.stride_tricks.as_strided(flat, view.shape, steps, writeable=False).copy()
