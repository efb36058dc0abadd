"""Compile a generated module once, and cache the machine code where nobody else can write.

numba unpickles its cache files, so anyone who can write to them can run code as the user. They
are used only in a folder that belongs to the user, if nobody else can write to it or to a folder
above it; in any doubt everything is compiled again, in memory.
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
from lstm_cli.engine import numba_source as compiled_source

# Only the fusion of sums and products (FMA) is relaxed: nan and inf are preserved, and a division
# by zero gives inf as in NumPy, not an exception.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}


def cache_folder() -> Path | None:
    """Return the folder for compiled code, creating it if needed; None if it is not safe.

    `NUMBA_CACHE_DIR` names it; by default it is in the user's cache folder.
    """
    named = os.environ.get("NUMBA_CACHE_DIR", "")
    above = Path(named) if named else _user_cache() / "numba"
    folder = above.absolute() / "lstm-step"
    try:
        # mkdir's mode does not apply to the parents it creates; they are checked like all others.
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
    """Whether only the user (and root) can put a file into a folder.

    The folder is not a link, and it and its content belong to the user; no folder above it can be
    replaced by others: none is writable by them except sticky ones such as /tmp. Unless a folder
    on the path is closed to others, the content must not be writable by them either.
    """
    if not hasattr(os, "getuid"):
        return True  # Windows protects user profiles itself
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
    """Name a generated module by a hash of its text and everything its code depends on."""
    import numba

    parts = [source, numba.__version__, np.__version__, __version__, sys.version]
    for module in (fast_math, compiled_source, products):
        parts.append(inspect.getsource(module))
    return "lstm_step_" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def load(source: str, dtype: str) -> ModuleType:
    """Load a generated module; its functions are compiled, or read from disk, on first call."""
    name, folder = module_name(source), cache_folder()
    if folder is not None:
        module = _executed(source, dtype, name, _placed(source, folder / f"{name}.py"), cached=True)
        if all(is_safe(Path(each)) for each in _cache_paths(module)):
            return module
    return _executed(source, dtype, name, f"<{name}>", cached=False)


def is_cached(source: str) -> bool:
    """Whether the machine code of a generated module may be cached on disk."""
    folder, name = cache_folder(), module_name(source)
    if folder is None:
        return False
    # numba's default location next to the text, and the one used if NUMBA_CACHE_DIR is set
    beside, apart = folder / "__pycache__", folder.parent.glob("lstm-step_*")
    return any(any(each.glob(f"{name}.*.nbi")) for each in (beside, *apart))


def _placed(source: str, path: Path) -> str:
    """Write the text where numba looks for it next to its cache files; return the path."""
    try:
        if path.read_text(encoding="utf-8") == source:
            return str(path)
    except (OSError, ValueError):
        pass  # missing, or not ours: it is written again
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".py")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(source)
        os.replace(temporary, path)
    except BaseException:  # including Ctrl-C: no partial text is left behind
        os.unlink(temporary)
        raise
    return str(path)


def _executed(source: str, dtype: str, name: str, path: str, *, cached: bool) -> ModuleType:
    """Execute the text of a module.

    This is the only place where text is executed. It is safe because the text comes from
    `source_of`: it is built from indices, hexadecimal numbers and names of our own functions. The
    file is never executed; it only tells numba where to keep its cache.
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
    sys.modules[name] = module  # where numba looks when it loads machine code
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def _inner(function: Callable[..., Any]) -> Any:
    """Compile a function that is always inlined and whose arrays do not overlap."""
    import numba

    made = numba.njit(forceinline=True, **_OPTIONS)(function)

    def distinct(flags: Any) -> Any:
        flags.noalias = True
        return flags

    # numba tells LLVM so for its own loops but has no option for it. If a version of numba lacks
    # this hook, the loops are still correct, but several times slower.
    compiler: Any = getattr(made, "_compiler", None)
    if hasattr(compiler, "_customize_flags"):
        compiler._customize_flags = distinct
    return made


def _cache_paths(module: ModuleType) -> Iterable[str]:
    """Yield the folders where numba caches a module's functions; they must exist to be safe."""
    for each in vars(module).values():
        path = getattr(getattr(each, "stats", None), "cache_path", None)
        if path:
            yield path
