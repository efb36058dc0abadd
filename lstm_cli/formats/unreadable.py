"""Files that hold weights but are not read: what each is, and the Python that makes an npz of it.

Why not: TensorFlow's and Orbax's need their own libraries (500 and 66 MB), a pickle runs what it
says, a Darknet file says nothing about itself, and GGUF's tensors are mostly quantised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lstm_cli.base.errors import InputError, safe


@dataclass(frozen=True)
class Unread:
    """A kind of file that is not read.

    Attributes:
        title: what it is, as a noun.
        fits: whether a path and its first bytes (none for a folder) are of this kind.
        lines: what to do, with {name} for the file as Python text and {stem} without its suffix.
    """

    title: str
    fits: Callable[[Path, bytes], bool]
    lines: tuple[str, ...]


_CHECKPOINT = (
    "import numpy, tensorflow as tf; r = tf.train.load_checkpoint({stem})",
    "numpy.savez('weights.npz', "
    "**{{k: r.get_tensor(k) for k in r.get_variable_to_shape_map() if 'OBJECT_GRAPH' not in k}})",
)

_IF_TRUSTED = "a pickle runs what it says: only if you trust its maker"

UNREAD: tuple[Unread, ...] = (
    Unread(
        "a Git LFS pointer, not the file itself",
        lambda _, start: start.startswith(b"version https://git-lfs"),
        ("git lfs pull",),
    ),
    Unread(
        "a web page, not a weight file",
        lambda _, start: start.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")),
        ("download the file itself (its raw link), not the page about it",),
    ),
    Unread(
        "a TensorFlow SavedModel",
        lambda path, _: (path / "saved_model.pb").is_file() or path.name == "saved_model.pb",
        (_CHECKPOINT[0].replace("{stem}", "{folder} + '/variables/variables'"), _CHECKPOINT[1]),
    ),
    Unread(
        "a frozen TensorFlow graph",
        lambda path, _: path.suffix == ".pb",
        ("import numpy, tensorflow as tf; "
         "g = tf.compat.v1.GraphDef.FromString(open({name}, 'rb').read())",
         "numpy.savez('weights.npz', **{{n.name: tf.make_ndarray(n.attr['value'].tensor) "
         "for n in g.node if n.op == 'Const'}})"),
    ),
    Unread(
        "part of a TensorFlow checkpoint",
        lambda path, start: path.suffix in (".index", ".meta") or ".data-0" in path.name
        or start.startswith(b"model_checkpoint_path:"),
        _CHECKPOINT,
    ),
    Unread(
        "an Orbax checkpoint (a folder)",
        lambda path, _: any(
            (path / name).exists()
            for name in ("_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt")
        ),
        ("import jax, numpy, orbax.checkpoint as ocp; "
         "t = ocp.PyTreeCheckpointer().restore({absolute})",
         "numpy.savez('weights.npz', **{{jax.tree_util.keystr(k, simple=True, separator='.'): v "
         "for k, v in jax.tree_util.tree_leaves_with_path(t)}})"),
    ),
    Unread(
        "a GGUF file",
        lambda _, start: start.startswith(b"GGUF"),
        ("import gguf, numpy; r = gguf.GGUFReader({name})",
         "numpy.savez('weights.npz', **{{t.name: gguf.dequantize(t.data, t.tensor_type) "
         "for t in r.tensors}})"),
    ),
    Unread(
        "a Darknet weight file, which holds numbers without names or sizes",
        lambda path, _: path.suffix == ".weights",
        ("import numpy; a = numpy.fromfile({name}, numpy.float32, offset=20)  # 16 in old versions",
         "numpy.savez('weights.npz', W_i=…)  # cut `a` as the .cfg says; each gate: biases, then "
         "weights; the gates' order depends on the fork: i f o g, or f i g o"),
    ),
    Unread(
        "a pickle (joblib or Python)",
        lambda path, start: path.suffix in (".pkl", ".pickle", ".joblib", ".p")
        or (start[:1] == b"\x80" and start[1:2] in (b"\x03", b"\x04", b"\x05")),
        (f"import joblib, numpy; d = joblib.load({{name}})  # {_IF_TRUSTED}",
         "numpy.savez('weights.npz', **d)  # a dict of arrays by name"),
    ),
)  # fmt: skip


def explain_unreadable(path: Path) -> InputError | None:
    """Return the error for a kind of file or folder that is known and not read, or None.

    The file's first bytes and its name decide; a file that cannot be opened is decided by name.
    """
    start = _first_bytes(path)
    for kind in UNREAD:
        if kind.fits(path, start):
            return InputError(f"{kind.title} is not read", where=safe(path), hint=_hint(kind, path))
    return None


def _first_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(64)
    except (OSError, ValueError):
        return b""


def _hint(kind: Unread, path: Path) -> str:
    """Return the lines with the path in them, as Python text that shows no control character."""
    folder = path.parent if path.name == "saved_model.pb" else path
    known = {
        "name": path, "folder": folder, "stem": _stem(path), "absolute": path.absolute()
    }  # fmt: skip
    lines = [
        line.format(**{key: repr(safe(value)) for key, value in known.items()})
        for line in kind.lines
    ]
    return lines[0] if len(lines) == 1 else "in Python:\n    " + "\n    ".join(lines)


def _stem(path: Path) -> Path:
    """Return a checkpoint's name without what TensorFlow puts behind it."""
    if path.name == "checkpoint":
        return path.parent
    return path.with_name(
        path.name.split(".data-0")[0].removesuffix(".index").removesuffix(".meta")
    )
