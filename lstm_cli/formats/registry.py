"""The formats of weight files, a row each: how it is recognised, and whether it is read or written.

`list formats`, the README's table and the errors on files that cannot be read or written are made
from these rows, and readers ask them for their format's first bytes. The file that reads and writes
a format is imported only when one of its files turns up. Rows that are neither read nor written say
what to do instead. Why they are not read: TensorFlow's and Orbax's files need their own libraries
(500 and 66 MB), a pickle runs what it says, a Darknet file does not describe itself, and GGUF's
tensors are mostly quantised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lstm_cli.base.errors import InputError, UsageError, safe, suggest
from lstm_cli.base.foreign import shell_word
from lstm_cli.formats.contents import Contents, Package

# The first bytes that two formats and their readers share.
ZIP = b"PK\x03\x04"
HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class Format:
    """A file format.

    Attributes:
        name: what it is called.
        title: what it is; for a format that is not read here, a noun with its article.
        suffixes: its file name suffixes.
        module: the file in this folder that reads and writes it; "" is the one of its name.
        reads: whether its files are read.
        writes: the suffixes that can be written, () for none.
        convention: the only layout that it is written in, "" for any.
        holds: the traits that a written file keeps besides the weights.
        extra, needs: the extra to install and the package it brings, "" for none.
        signatures: (offset, bytes) at which its files are recognised, any of them.
        fits: recognises a path and its first bytes (none for a folder) where no signature does.
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
    signatures: tuple[tuple[int, bytes], ...] = ()
    fits: Callable[[Path, bytes], bool] | None = None
    instead: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """The line that installs the package that the format needs, "" where it is there."""
        there = not self.needs or find_spec(self.needs) is not None
        return "" if there else f"pip install 'lstm-cli[{self.extra}]'"

    def begins(self, start: bytes) -> bool:
        """Whether a file's first bytes have a signature of this format."""
        return any(start[at : at + len(mark)] == mark for at, mark in self.signatures)

    def matches(self, path: Path, start: bytes) -> bool:
        """Whether a file or folder is of this format by what is in it, whatever its suffix."""
        return self.begins(start) or (self.fits is not None and self.fits(path, start))

    def read(self, path: Path, **options: bool) -> Contents:
        """Read a file of this format.

        Raises:
            InputError: the package it needs is missing; what its reader refuses, unless the first
                bytes are those of a format that is not read: then what to do with that one.
        """
        try:
            read: Callable[..., Contents] = self._module().read
            return read(path, **options)
        except ImportError:
            if not self.needs:
                raise
            raise self.lacks_package("reading", path) from None
        except InputError:
            start = _first_bytes(path)
            other = next((row for row in UNREAD if start and row.matches(path, start)), None)
            if other is None or self.begins(start):
                raise
            raise other.refusal(path) from None

    def write(self, package: Package, path: Path) -> bytes:
        """Make the bytes of a file of this format; errors are its writer's."""
        write: Callable[[Package, Path], bytes] = self._module().write
        return write(package, path)

    def _module(self) -> Any:
        return import_module(f"lstm_cli.formats.{self.module or self.name}")

    def lacks_package(self, doing: str, path: Path) -> InputError:
        """The error where the package that the format needs is not installed."""
        what = f"{doing} {self.name} needs the package {self.needs}"
        return InputError(what, where=safe(path), hint=f"pip install 'lstm-cli[{self.extra}]'")

    def refusal(self, path: Path) -> InputError:
        """The error for a file of a format that is not read, with the way out."""
        folder = path.parent if path.name == "saved_model.pb" else path
        known = {"name": path, "folder": folder, "stem": _stem(path), "absolute": path.absolute()}
        # As Python text that shows no control character.
        texts = {key: repr(safe(value)) for key, value in known.items()}
        lines = [line.format(**texts) for line in self.instead]
        hint = lines[0] if len(lines) == 1 else "in Python:\n    " + "\n    ".join(lines)
        return InputError(f"{self.title} is not read", where=safe(path), hint=hint)


_CHECKPOINT = (
    "import numpy, tensorflow as tf; r = tf.train.load_checkpoint({stem})",
    "numpy.savez('weights.npz', "
    "**{{k: r.get_tensor(k) for k in r.get_variable_to_shape_map() if 'OBJECT_GRAPH' not in k}})",
)

_IF_TRUSTED = "a pickle runs what it says: only if you trust its maker"

FORMATS: tuple[Format, ...] = (
    Format("npz", "NumPy arrays by name (never pickled objects)", (".npz",), writes=(".npz",),
           signatures=((0, ZIP),)),
    Format("json", "an object of nested lists by name", (".json",), writes=(".json",)),
    Format("safetensors", "tensors by name; float16, bfloat16", (".safetensors",),
           writes=(".safetensors",), signatures=((8, b"{"),)),
    Format("pytorch", "state dicts and checkpoints, without torch", (".pt", ".pth", ".bin"),
           "torch", signatures=((0, b"PK"),)),
    Format("keras", "Keras models and weights, with the activations their config tells",
           (".keras", ".weights.h5", ".h5", ".hdf5"), writes=(".weights.h5",),
           convention="keras", extra="keras", needs="h5py", signatures=((0, ZIP), (0, HDF5))),
    Format("onnx", "every LSTM node, nested branches included", (".onnx",), writes=(".onnx",),
           convention="onnx", holds=("activations", "clip", "coupled"), extra="onnx",
           needs="onnx"),
    Format("tflite", "TensorFlow Lite's LSTM operators", (".tflite",), signatures=((4, b"TFL3"),)),
    Format("flax", "Flax parameters", (".msgpack",)),
    Format("matlab", "MATLAB v5 arrays and structs", (".mat",),
           signatures=((126, b"IM"), (126, b"MI"))),
    Format("c", "a C header with one array a tensor", (".h",), "c_header", reads=False,
           writes=(".h",)),
    Format("git-lfs", "a Git LFS pointer (not the file itself)", reads=False,
           signatures=((0, b"version https://git-lfs"),), instead=("git lfs pull",)),
    Format("html", "a web page (not a weight file)", reads=False,
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
           signatures=((0, b"model_checkpoint_path:"),),
           fits=lambda path, _: ".data-0" in path.name, instead=_CHECKPOINT),
    Format("orbax", "an Orbax checkpoint (a folder)", reads=False,
           fits=lambda path, _: any(
               (path / name).exists()
               for name in ("_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt")),
           instead=(
        "import jax, numpy, orbax.checkpoint as ocp; "
        "t = ocp.PyTreeCheckpointer().restore({absolute})",
        "numpy.savez('weights.npz', **{{jax.tree_util.keystr(k, simple=True, separator='.'): v "
        "for k, v in jax.tree_util.tree_leaves_with_path(t)}})")),
    Format("gguf", "a GGUF file", reads=False, signatures=((0, b"GGUF"),), instead=(
        "import gguf, numpy; r = gguf.GGUFReader({name})",
        "numpy.savez('weights.npz', **{{t.name: gguf.dequantize(t.data, t.tensor_type) "
        "for t in r.tensors}})")),
    Format("darknet", "a Darknet weight file (numbers without names or sizes)",
           (".weights",), reads=False, instead=(
        "import numpy; a = numpy.fromfile({name}, numpy.float32, offset=20)  # 16 in old versions",
        "numpy.savez('weights.npz', W_i=…)  # cut `a` as the .cfg says; each gate: biases, then "
        "weights; the gates' order depends on the fork: i f o g, or f i g o")),
    Format("pickle", "a pickle (joblib or Python)", (".pkl", ".pickle", ".joblib", ".p"),
           reads=False, signatures=((0, b"\x80\x03"), (0, b"\x80\x04"), (0, b"\x80\x05")),
           instead=(
        f"import joblib, numpy; d = joblib.load({{name}})  # {_IF_TRUSTED}",
        "numpy.savez('weights.npz', **d)  # a dict of arrays by name")),
)  # fmt: skip

READ = tuple(row for row in FORMATS if row.reads)
WRITTEN = tuple(row for row in FORMATS if row.writes)
UNREAD = tuple(row for row in FORMATS if row.instead)


def format_named(name: str) -> Format:
    """The row of that name."""
    return next(row for row in FORMATS if row.name == name)


def format_of(path: Path) -> Format:
    """The format that reads a file, by its suffix.

    Raises:
        InputError: there is no reader; formats that are known and not read come with a way out.
    """
    name = path.name.lower()
    row = next((row for row in READ if name.endswith(row.suffixes)), None)
    if row is not None:
        return row
    from lstm_cli.cell.presets import PRESETS  # only needed for an error: keeps startup fast

    if name in PRESETS and not path.exists():
        raise InputError(
            f"'{name}' is a preset, not a file of weights", where=safe(path),
            hint=f"--preset {name}, without --weights",
        )  # fmt: skip
    known = [suffix for row in READ for suffix in row.suffixes]
    raise explain_unreadable(path) or InputError(
        f"no reader for '{safe(path.suffix)}' files", where=safe(path),
        hint=suggest(path.suffix, known) + "; save with numpy.savez(path, **arrays)",
    )  # fmt: skip


def format_to_write(path: Path) -> Format:
    """The format that a file is written in, by its suffix.

    Raises:
        UsageError: there is none.
        InputError: the package that it needs is missing.
    """
    name = path.name.lower()
    row = next((row for row in WRITTEN if name.endswith(row.writes)), None)
    if row is None:
        known = [suffix for row in WRITTEN for suffix in row.writes]
        longer = [each for each in known if path.suffix and each.endswith(path.suffix.lower())]
        hint = shell_word(path.with_suffix(longer[0]), file=True) if longer else ""
        what = f"no way to write '{safe(path.suffix)}' files"
        raise UsageError(what, where=safe(path), hint=hint or suggest(path.suffix, known))
    if row.missing:
        raise row.lacks_package("writing", path)
    return row


def explain_unreadable(path: Path) -> InputError | None:
    """The error for a file or folder of a format that is known and not read, or None.

    Its suffix and its first bytes decide; a file that cannot be opened is judged by its name.
    """
    start = _first_bytes(path)
    for row in UNREAD:
        if path.suffix in row.suffixes or row.matches(path, start):
            return row.refusal(path)
    return None


def _first_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(128)
    except (OSError, ValueError):
        return b""


def _stem(path: Path) -> Path:
    """A checkpoint's name without what TensorFlow appends to it."""
    if path.name == "checkpoint":
        return path.parent
    return path.with_name(
        path.name.split(".data-0")[0].removesuffix(".index").removesuffix(".meta")
    )
