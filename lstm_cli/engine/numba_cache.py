"""Compile a generated module once, and keep the machine code on disk where nobody else can write.

numba keeps compiled code in files that it unpickles, so whoever can write them can run code as
the user. They are used only below a folder that belongs to the user, in which, and above which,
nobody else may write; with any doubt everything is compiled again, in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lstm_cli.base.version import __version__
from lstm_cli.engine import fast_math, products
from lstm_cli.engine import numba_forms as compiled_forms
from lstm_cli.engine import numba_source as compiled_source

# Sums may be fused with products (FMA) and nothing else is loosened: nan and inf stay what they
# are; a division by zero is inf as in NumPy, no exception.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}


def cache_folder() -> Path | None:
    """Return the folder for compiled code, made if need be; None where it would not be safe.

    `NUMBA_CACHE_DIR` names it, else it stands in the user's own cache folder.
    """
    named = os.environ.get("NUMBA_CACHE_DIR", "")
    above = Path(named) if named else _user_cache() / "numba"
    folder = above.absolute() / "lstm-step"
    try:
        # mkdir's mode does not reach the parents it makes; those are checked like all others.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder if is_safe(folder) and is_safe(above) else None
    except OSError:
        return None


def _user_cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    if given and Path(given).is_absolute():
        return Path(given) / "lstm-step"
    return Path(os.path.expanduser("~")) / ".cache" / "lstm-step"


def is_safe(folder: Path) -> bool:
    """Return whether nobody but the user (and root) can put a file into a folder.

    The folder is no link, and it and what it holds are the user's; no folder above it can be
    exchanged by another: none is writable by others but sticky ones as /tmp. Where no folder on
    the way is closed to others altogether, what it holds must not be writable by them either.
    """
    if not hasattr(os, "getuid"):
        return True  # Windows keeps other users out of a profile by itself
    try:
        real = folder.resolve()
        held = [os.lstat(folder)]
        with os.scandir(folder) as entries:
            for each in entries:
                with contextlib.suppress(FileNotFoundError):  # another process has just renamed it
                    held.append(each.stat(follow_symlinks=False))
        way = [os.stat(above) for above in (real, *real.parents)]
    except OSError:
        return False
    closed = any(each.st_uid == os.getuid() and not each.st_mode & 0o077 for each in way)
    return (
        stat.S_ISDIR(held[0].st_mode)
        and not any(stat.S_ISLNK(each.st_mode) for each in held)
        and all(each.st_uid == os.getuid() for each in held)
        and (closed or not any(_others_write(each) for each in held))
        and all(_keeps_its_entries(each) for each in way[1:])
    )


def _others_write(found: os.stat_result) -> bool:
    return bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _keeps_its_entries(found: os.stat_result) -> bool:
    sticky = bool(found.st_mode & stat.S_ISVTX)
    return found.st_uid in (0, os.getuid()) and (sticky or not _others_write(found))


@lru_cache(maxsize=64)
def module_name(source: str) -> str:
    """Return the name of a generated module: its text and all that its code depends on, hashed."""
    import numba

    parts = [source, numba.__version__, np.__version__, __version__, sys.version]
    for module in (fast_math, compiled_source, compiled_forms, products):
        parts.append(inspect.getsource(module))
    return "lstm_step_" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def load(source: str, dtype: str) -> ModuleType:
    """Return a generated module; its functions are compiled, or read, when they are first called.

    Args:
        source: what `source_of` wrote.
        dtype: "float64" or "float32".
    """
    name, folder = module_name(source), cache_folder()
    if folder is not None:
        module = _executed(source, dtype, name, _placed(source, folder / f"{name}.py"), cached=True)
        if all(is_safe(Path(each)) for each in _cache_paths(module)):
            return module
    return _executed(source, dtype, name, f"<{name}>", cached=False)


def is_cached(source: str) -> bool:
    """Return whether the machine code of a generated module may be waiting on the disk."""
    folder, name = cache_folder(), module_name(source)
    if folder is None:
        return False
    # numba's own place beside the text, and the one it makes where NUMBA_CACHE_DIR is set
    beside, apart = folder / "__pycache__", folder.parent.glob("lstm-step_*")
    return any(any(each.glob(f"{name}.*.nbi")) for each in (beside, *apart))


def _placed(source: str, path: Path) -> str:
    """Write the text where numba looks for it beside its own files; return the path."""
    try:
        if path.read_text(encoding="utf-8") == source:
            return str(path)
    except (OSError, ValueError):
        pass  # not there, or not ours: it is written anew
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".py")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(source)
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C too: it is taken for no module's text
        os.unlink(temporary)
        raise
    return str(path)


def _executed(source: str, dtype: str, name: str, path: str, *, cached: bool) -> ModuleType:
    """Return the module that the text makes.

    This is the one place where text is executed. It is safe because the text is `source_of`'s: it
    is built from indices, numbers in hexadecimal and the names of our own functions; a file is
    never executed, it only gives numba a place to keep its own.
    """
    import numba

    module = ModuleType(name)
    form = fast_math.FORMATS[dtype]
    module.__dict__.update(
        inner=_inner,
        outer=numba.njit(cache=cached, **_OPTIONS),
        number=form.number,
        WIDTH=products.width(dtype),
        **products.tiles(dtype),
        unsigned=np.uint64,
        functions=fast_math.functions(dtype, numba.njit(forceinline=True, **_OPTIONS)),
    )
    sys.modules[name] = module  # numba looks there when it reads machine code back
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def _inner(function: Callable[..., Any]) -> Any:
    """Compile a function that is put into its caller whole, and whose arrays do not overlap."""
    import numba

    made = numba.njit(forceinline=True, **_OPTIONS)(function)

    def distinct(flags: Any) -> Any:
        flags.noalias = True
        return flags

    # numba says so to LLVM for its own loops but has no option for it. Where a version of numba
    # has no such hook, the loops are right as well, and several times slower.
    compiler: Any = getattr(made, "_compiler", None)
    if hasattr(compiler, "_customize_flags"):
        compiler._customize_flags = distinct
    return made


def _cache_paths(module: ModuleType) -> Iterable[str]:
    """Yield the folders in which numba keeps a module's functions; they must exist to be safe."""
    for each in vars(module).values():
        path = getattr(getattr(each, "stats", None), "cache_path", None)
        if path:
            yield path
