"""The numba engine (extra `fast`): runs a plan in compiled loops.

There are two forms for samples N, steps T and units n, with the same loops over a cell's rows:

- `units`: vectorized over units. The memory layout is `(T, N, n)`.
- `samples`: vectorized over samples, for many samples and few units; the layout is `(T, n, N)`.

In both, one function, called once per thread, runs all steps of a range of samples, block by block,
including the products (`products`), without calls in between, and everything a step needs stays in
the cache. Functions are those of
`fast_math`, within 4 ULP, in the requested type throughout. Values are computed where they are
used and written once: a trace gets views of that memory. What depends on a cell's weights (packed
matrices, constants) is prepared on their first run and kept with them.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.version import __version__
from lstm_cli.cell.weights import LstmWeights
from lstm_cli.engine import fast_math, numba_source, products
from lstm_cli.engine.numba_source import LANES, Form, Layout, forms_of, parameters_read, source_of
from lstm_cli.engine.numpy_engine import computed, constant_values, empty
from lstm_cli.engine.plan import Plan, Program, plan_of, program_of, stacked_matrix

FormName = Literal["units", "samples"]

# From this many steps × samples × units (some milliseconds), a second thread is worth starting.
THREADED = 2**17

# With fewer samples, or fewer numbers per row, vectorizing over samples does not pay.
FEW_SAMPLES, FEW_NUMBERS = 8, 1024
# At least this many units fill a register.
MANY_UNITS = 24


def is_ready(plan: Plan, dtype: np.dtype[Any]) -> bool:
    """Whether a plan's code is compiled, in memory or on disk, so that numba starts quickly."""
    program = program_of(plan)
    return (plan, dtype.name) in _called or is_cached(source_of(program, dtype.name))


def run_compiled(
    weights: LstmWeights,
    x: Array,
    h: Array,
    c: Array,
    dtype: np.dtype[Any],
    form: FormName | None = None,
) -> dict[str, Array]:
    """Run a cell forward over a sequence, in the form given or chosen by the sizes.

    The other arguments, and what is returned, are those of `numpy_engine.run_numpy`.
    """
    with np.errstate(all="ignore"):
        runner = _runner(weights, dtype, form or form_for(weights.hidden_size, len(x)))
        x, h, c = (np.asarray(each).astype(dtype, copy=False) for each in (x, h, c))
        return runner.run(x, h, c)


def form_for(units: int, samples: int) -> FormName:
    """Choose the form for a number of units and samples."""
    few = samples < FEW_SAMPLES or samples * units < FEW_NUMBERS
    return "units" if few or units >= MANY_UNITS else "samples"


# What has been called, and hence compiled, in this process.
_called: set[tuple[Plan, str]] = set()
# Weights are immutable: what was prepared for them stays valid as long as they live.
_ready: WeakKeyDictionary[LstmWeights, dict[tuple[str, FormName], NumbaRunner]]
_ready = WeakKeyDictionary()


def _runner(weights: LstmWeights, dtype: np.dtype[Any], form: FormName) -> NumbaRunner:
    """Return the runner for a cell's weights in a form, created on the first call."""
    known = _ready.setdefault(weights, {})
    if (dtype.char, form) not in known:  # dtype.name would take microseconds
        known[dtype.char, form] = NumbaRunner(weights, dtype, form)
    return known[dtype.char, form]


@lru_cache(maxsize=32)
def _module(program: Program, dtype: str) -> ModuleType:
    source = source_of(program, dtype)
    if sys.stderr.isatty() and not is_cached(source):
        print("compiling the cell with numba (once; takes some seconds)", file=sys.stderr)
    return load(source, dtype)


@lru_cache(maxsize=64)
def _sources(program: Program) -> tuple[tuple[str, tuple[str, int]], ...]:
    """Return the source of each symbol: the input, a constant, or a slot before or after a step."""
    plan = program.plan
    known = {plan.rows["x"]: ("input", 0)}
    known |= {value: ("before", slot) for slot, value in enumerate(program.states)}
    for slot, value in enumerate(program.slots):
        known.setdefault(value, ("after" if slot < 2 else "before", slot))
    found = {symbol: known.get(value, ("constant", value)) for symbol, value in plan.rows.items()}
    return tuple((found | {"h": ("after", 0), "c": ("after", 1)}).items())


class NumbaRunner:
    """A cell with given weights, prepared for any number of runs of one type in one form."""

    def __init__(self, weights: LstmWeights, dtype: np.dtype[Any], name: FormName) -> None:
        plan = plan_of(weights)
        self.program, self.dtype = program_of(plan), dtype
        self.form: Form = forms_of(self.program, dtype.name)[name]
        self.code = getattr(_module(self.program, dtype.name), name)
        _called.add((plan, dtype.name))
        self.arrays = {name: array.astype(dtype) for name, array in weights.arrays.items()}
        self.constants = constant_values(plan, self.arrays, dtype)
        self.fixed = {}
        for value in parameters_read(self.program):
            width = self.form.width(value)
            padded = self.fixed[f"p{value}"] = np.zeros(products.rounded_up(width, LANES), dtype)
            padded[:width] = self.constants[value]
        for k, product in enumerate(self.form.products):
            self.fixed[f"matrix{k}"] = self.form.matrix(stacked_matrix(product, self.arrays))
        self.layouts: dict[tuple[int, int], Layout] = {}

    def run(self, x: Array, h: Array, c: Array) -> dict[str, Array]:
        """Run a cell forward on `x (N, T, I)`, `h (N, P)`, `c (N, H)` of the type used to compute.

        Returns a mapping of symbol to `(N, T, n)`.
        """
        samples, steps = x.shape[:2]
        layout = self.layouts.get((samples, steps))
        if layout is None:
            layout = self.form.layout(samples, steps)
            self.layouts = {(samples, steps): layout}  # the last one is likely to be used again
        rows, dtype = empty((layout.total,), self.dtype), self.dtype

        def row(slot: int, after: bool) -> Array:
            base, width, strides = layout.views[slot]
            begin = base + strides[1] if after else base
            return np.ndarray((samples, steps, width), dtype, rows, begin, strides)

        for slot, given in enumerate((h, c)):
            row(slot, False)[:, 0] = given
        self._run(layout, {**self.fixed, **self.form.given(self._values(x)), "rows": rows})
        return self._trace(x, row)

    def _trace(self, x: Array, row: Callable[[int, bool], Array]) -> dict[str, Array]:
        """Map symbols to `(N, T, n)`, given a slot's rows before or after each step."""
        values = dict[str, Array]()
        for symbol, (kind, place) in _sources(self.program):
            if kind == "input":
                array = x.view()
            elif kind == "constant":
                shape = (*x.shape[:2], self.form.width(place))
                array = np.broadcast_to(self.constants[place], shape)
            else:
                array = row(place, kind == "after")
            array.flags.writeable = False  # symbols share memory
            values[symbol] = array
        return values

    def _run(self, layout: Layout, arrays: Mapping[str, Array]) -> None:
        last, steps, block = (layout.sizes[name] for name in ("last", "steps", "block"))
        work = last * steps * self.form.width(self.program.slots[1])
        count = min(-(-last // block), threads()) if work >= THREADED else 1
        if count == 1:
            self._run_samples(0, last, layout, arrays)
            return
        share = -(-last // (count * block)) * block
        with ThreadPoolExecutor(count) as pool:
            parts = [
                pool.submit(self._run_samples, begin, min(begin + share, last), layout, arrays)
                for begin in range(0, last, share)
            ]
        for part in parts:
            part.result()

    def _run_samples(
        self, first: int, last: int, layout: Layout, arrays: Mapping[str, Array]
    ) -> None:
        """Run some samples, with separate memory for values that are not kept."""
        own = {name: np.empty(count, self.dtype) for name, count in layout.buffers.items()}
        sizes = layout.numbers.copy()
        sizes[:2] = first, last
        every = {**arrays, **own}
        self.code(sizes, *[every[name] for name in self.form.arrays])

    def _values(self, x: Array) -> dict[int, Array]:
        """Return `(N, T, n)` of x and of values that depend only on it, before the first step."""
        known = {**self.constants, self.program.plan.rows["x"]: x}
        for entry in self.program.before:
            known |= computed(entry, known, self.arrays)
        return known


def threads() -> int:
    """Number of threads to use: `OMP_NUM_THREADS`, as for BLAS, or else all processors."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isascii() and asked.isdigit():
        return max(1, int(asked))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --------------------------------------------------------------------------------------------------
# Compile a generated module once, and cache the machine code where nobody else can write.
#
# numba unpickles its cache files, so anyone who can write to them can run code as the user. They
# are used only in a folder that belongs to the user, if nobody else can write to it or to a folder
# above it; in any doubt everything is compiled again, in memory.

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
    for module in (fast_math, numba_source, products):
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
