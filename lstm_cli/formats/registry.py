"""Every format of weight files, one row each: what it is, and what of it is read and written here.

`list formats`, the README's table and the errors on files that cannot be read or written are made
from these rows; the file of the same name in this folder is imported when one of its files turns
up. Rows that are neither read nor written say what to do instead. Why not: TensorFlow's and Orbax's
need their own libraries (500 and 66 MB), a pickle runs what it says, a Darknet file says nothing
about itself, and GGUF's tensors are mostly quantised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lstm_cli.base.errors import InputError, UsageError, safe, suggest
from lstm_cli.base.foreign import shell_word
from lstm_cli.formats.contents import Contents, Package


@dataclass(frozen=True, eq=False)
class Format:
    """A kind of file.

    Attributes:
        name: what it is called.
        title: what it is; for a kind that nothing here reads, a noun with its article.
        suffixes: of its files.
        module: the file in this folder that reads and writes it; "" is the one of its name.
        reads: whether its files are read.
        writes: the suffixes of files that are written, () for none.
        convention: the only layout that it is written in, "" for any.
        holds: the traits that a written file keeps besides the weights.
        extra, needs: the extra and the package it needs, "" for none.
        signatures: first bytes, any of which tells it; looked at only if no reader takes the file.
        fits: tells it by a path and its first bytes (none for a folder), where they do not.
        instead: what to do with a file that is not read, with {name} for the file as Python text
            and {stem} without its suffix.
    """

    name: str
    title: str
    suffixes: tuple[str, ...] = ()
    module: str = ""
    reads: bool = True
    writes: tuple[str, ...] = ()
    convention: str = ""
    holds: tuple[str, ...] = ()
    extra: str = ""
    needs: str = ""
    signatures: tuple[bytes, ...] = ()
    fits: Callable[[Path, bytes], bool] | None = None
    instead: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """The line that installs what the format needs, "" where it is there."""
        from importlib.util import find_spec

        there = not self.needs or find_spec(self.needs) is not None
        return "" if there else f"pip install 'lstm-cli[{self.extra}]'"

    def read(self, path: Path, **options: bool) -> Contents:
        """Return what a file of this format holds; errors are its reader's."""
        read: Callable[..., Contents] = self._module().read
        return read(path, **options)

    def write(self, package: Package, path: Path) -> bytes:
        """Return the bytes of a file of this format; errors are its writer's."""
        write: Callable[[Package, Path], bytes] = self._module().write
        return write(package, path)

    def _module(self) -> Any:
        return import_module(f"lstm_cli.formats.{self.module or self.name}")

    def tells(self, path: Path, start: bytes) -> bool:
        """Whether a file or folder is of this kind, by its suffix or what it begins with."""
        told = path.suffix in self.suffixes or start.startswith(self.signatures)
        return told or (self.fits is not None and self.fits(path, start))


_CHECKPOINT = (
    "import numpy, tensorflow as tf; r = tf.train.load_checkpoint({stem})",
    "numpy.savez('weights.npz', "
    "**{{k: r.get_tensor(k) for k in r.get_variable_to_shape_map() if 'OBJECT_GRAPH' not in k}})",
)

_IF_TRUSTED = "a pickle runs what it says: only if you trust its maker"

FORMATS: tuple[Format, ...] = (
    Format("npz", "NumPy arrays by name (never pickled objects)", (".npz",), writes=(".npz",)),
    Format("json", "an object of nested lists by name", (".json",), writes=(".json",)),
    Format("safetensors", "tensors by name; float16, bfloat16", (".safetensors",),
           writes=(".safetensors",)),
    Format("pytorch", "state dicts and checkpoints, without torch", (".pt", ".pth", ".bin"),
           "torch"),
    Format("keras", "Keras models and weights, with the activations their config tells",
           (".keras", ".weights.h5", ".h5", ".hdf5"), writes=(".weights.h5",),
           convention="keras", extra="keras", needs="h5py"),
    Format("onnx", "every LSTM node, nested branches included", (".onnx",), writes=(".onnx",),
           convention="onnx", holds=("activations", "clip", "coupled"), extra="onnx",
           needs="onnx"),
    Format("tflite", "TensorFlow Lite's LSTM operators", (".tflite",)),
    Format("flax", "Flax parameters", (".msgpack",)),
    Format("matlab", "MATLAB v5 arrays and structs", (".mat",)),
    Format("c", "a C header with one array a tensor", (".h",), "c_header", reads=False,
           writes=(".h",)),
    Format("git-lfs", "a Git LFS pointer, not the file itself", reads=False,
           signatures=(b"version https://git-lfs",), instead=("git lfs pull",)),
    Format("html", "a web page, not a weight file", reads=False,
           fits=lambda _, start:
           start.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")),
           instead=("download the file itself (its raw link), not the page about it",)),
    Format("savedmodel", "a TensorFlow SavedModel", reads=False,
           fits=lambda path, _:
           (path / "saved_model.pb").is_file() or path.name == "saved_model.pb",
           instead=(_CHECKPOINT[0].replace("{stem}", "{folder} + '/variables/variables'"),
                    _CHECKPOINT[1])),
    Format("graphdef", "a frozen TensorFlow graph", (".pb",), reads=False, instead=(
        "import numpy, tensorflow as tf; "
        "g = tf.compat.v1.GraphDef.FromString(open({name}, 'rb').read())",
        "numpy.savez('weights.npz', **{{n.name: tf.make_ndarray(n.attr['value'].tensor) "
        "for n in g.node if n.op == 'Const'}})")),
    Format("checkpoint", "part of a TensorFlow checkpoint", (".index", ".meta"), reads=False,
           signatures=(b"model_checkpoint_path:",), fits=lambda path, _: ".data-0" in path.name,
           instead=_CHECKPOINT),
    Format("orbax", "an Orbax checkpoint (a folder)", reads=False,
           fits=lambda path, _: any(
               (path / name).exists()
               for name in ("_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt")),
           instead=(
        "import jax, numpy, orbax.checkpoint as ocp; "
        "t = ocp.PyTreeCheckpointer().restore({absolute})",
        "numpy.savez('weights.npz', **{{jax.tree_util.keystr(k, simple=True, separator='.'): v "
        "for k, v in jax.tree_util.tree_leaves_with_path(t)}})")),
    Format("gguf", "a GGUF file", reads=False, signatures=(b"GGUF",), instead=(
        "import gguf, numpy; r = gguf.GGUFReader({name})",
        "numpy.savez('weights.npz', **{{t.name: gguf.dequantize(t.data, t.tensor_type) "
        "for t in r.tensors}})")),
    Format("darknet", "a Darknet weight file, which holds numbers without names or sizes",
           (".weights",), reads=False, instead=(
        "import numpy; a = numpy.fromfile({name}, numpy.float32, offset=20)  # 16 in old versions",
        "numpy.savez('weights.npz', W_i=…)  # cut `a` as the .cfg says; each gate: biases, then "
        "weights; the gates' order depends on the fork: i f o g, or f i g o")),
    Format("pickle", "a pickle (joblib or Python)", (".pkl", ".pickle", ".joblib", ".p"),
           reads=False, signatures=(b"\x80\x03", b"\x80\x04", b"\x80\x05"), instead=(
        f"import joblib, numpy; d = joblib.load({{name}})  # {_IF_TRUSTED}",
        "numpy.savez('weights.npz', **d)  # a dict of arrays by name")),
)  # fmt: skip

READ = tuple(row for row in FORMATS if row.reads)
WRITTEN = tuple(row for row in FORMATS if row.writes)
UNREAD = tuple(row for row in FORMATS if row.instead)


def format_of(path: Path) -> Format:
    """Return the format that reads a file, by its suffix.

    Raises:
        InputError: there is no reader; formats that others read are answered with a way out.
    """
    name = path.name.lower()
    for row in READ:
        if name.endswith(row.suffixes):
            return row
    explained = explain_unreadable(path)
    if explained is not None:
        raise explained
    known = [suffix for row in READ for suffix in row.suffixes]
    raise InputError(
        f"no reader for '{safe(path.suffix)}' files",
        where=safe(path),
        hint=suggest(path.suffix, known) + "; save with numpy.savez(path, **arrays)",
    )


def format_to_write(path: Path) -> Format:
    """Return the format that a file is written in, by its suffix.

    Raises:
        UsageError: there is none.
        InputError: the package that it needs is missing.
    """
    name = path.name.lower()
    for row in WRITTEN:
        if name.endswith(row.writes):
            if row.missing:
                raise InputError(
                    f"writing {row.name} needs the package {row.needs}",
                    where=safe(path),
                    hint=row.missing,
                )
            return row
    known = [suffix for row in WRITTEN for suffix in row.writes]
    longer = [each for each in known if path.suffix and each.endswith(path.suffix.lower())]
    raise UsageError(
        f"no way to write '{safe(path.suffix)}' files",
        where=safe(path),
        hint=shell_word(path.with_suffix(longer[0]), file=True)
        if longer else suggest(path.suffix, known),
    )  # fmt: skip


def explain_unreadable(path: Path) -> InputError | None:
    """Return the error for a kind of file or folder that is known and not read, or None.

    The file's first bytes and its name decide; a file that cannot be opened is decided by name.
    """
    start = _first_bytes(path)
    for row in UNREAD:
        if row.tells(path, start):
            return InputError(f"{row.title} is not read", where=safe(path), hint=_hint(row, path))
    return None


def _first_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(64)
    except (OSError, ValueError):
        return b""


def _hint(kind: Format, path: Path) -> str:
    """Return the lines with the path in them, as Python text that shows no control character."""
    folder = path.parent if path.name == "saved_model.pb" else path
    known = {
        "name": path, "folder": folder, "stem": _stem(path), "absolute": path.absolute()
    }  # fmt: skip
    lines = [
        line.format(**{key: repr(safe(value)) for key, value in known.items()})
        for line in kind.instead
    ]
    return lines[0] if len(lines) == 1 else "in Python:\n    " + "\n    ".join(lines)


def _stem(path: Path) -> Path:
    """Return a checkpoint's name without what TensorFlow puts behind it."""
    if path.name == "checkpoint":
        return path.parent
    return path.with_name(
        path.name.split(".data-0")[0].removesuffix(".index").removesuffix(".meta")
    )
