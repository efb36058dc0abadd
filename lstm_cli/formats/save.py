"""Weight files on their way out, one file a format; each writes the tensors of a convention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from lstm_cli.base.errors import InputError, UsageError, safe, suggest
from lstm_cli.formats.contents import Package


@dataclass(frozen=True, eq=False)
class Saver:
    """A kind of file that can be written.

    Attributes:
        name: the format.
        suffixes: that choose it.
        module: the file in this folder that writes it.
        title: one line on it.
        convention: the only layout it takes, "" for any.
        holds: the traits that it keeps besides the weights.
        extra, needs: the extra and the package it needs, "" for none.
        reads_back: whether a reader of ours takes the file again.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    title: str
    convention: str = ""
    holds: tuple[str, ...] = ()
    extra: str = ""
    needs: str = ""
    reads_back: bool = True


SAVERS: tuple[Saver, ...] = (
    Saver("npz", (".npz",), "npz", "NumPy arrays by name"),
    Saver("json", (".json",), "json", "an object of nested lists by name"),
    Saver("safetensors", (".safetensors",), "safetensors", "tensors by name"),
    Saver("keras", (".weights.h5",), "keras", "weights that Keras 3 loads by layer", "keras",
          extra="keras", needs="h5py"),
    Saver("onnx", (".onnx",), "onnx", "a model of one LSTM node", "onnx",
          ("activations", "clip", "coupled"), extra="onnx", needs="onnx"),
    Saver("c", (".h",), "c_header", "a C header with one array a tensor", reads_back=False),
)  # fmt: skip


def saver_for(path: Path) -> Saver:
    """Return the saver of a file by its suffix.

    Raises:
        UsageError: there is none.
        InputError: the package that it needs is missing.
    """
    from importlib.util import find_spec

    name = path.name.lower()
    for saver in SAVERS:
        if name.endswith(saver.suffixes):
            if saver.needs and find_spec(saver.needs) is None:
                raise InputError(
                    f"writing {saver.name} needs the package {saver.needs}",
                    where=safe(path),
                    hint=f"pip install 'lstm-cli[{saver.extra}]'",
                )
            return saver
    known = [suffix for saver in SAVERS for suffix in saver.suffixes]
    raise UsageError(
        f"no way to write '{safe(path.suffix)}' files",
        where=safe(path),
        hint=suggest(path.suffix, known),
    )


def save(saver: Saver, package: Package, path: Path) -> bytes:
    """Return the bytes of a file in the saver's format."""
    module = import_module(f"lstm_cli.formats.{saver.module}")
    write: Callable[[Package, Path], bytes] = module.write
    return write(package, path)
