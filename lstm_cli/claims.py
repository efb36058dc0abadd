"""What somebody says came out: numbers with a place in the run, and how precisely they are given.

Numbers given to k digits are compared to k digits. How many that is, the numbers tell: their
decimals, or that all of them are numbers of a narrower type.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from lstm_cli.engine import Trace
from lstm_cli.ensemble import Target, Targets
from lstm_cli.equations import Array
from lstm_cli.errors import InputError, ShapeError, safe, suggest
from lstm_cli.mistakes.states import round_bfloat16, round_float16, round_float32
from lstm_cli.trace_files import TraceFile
from lstm_cli.weights import Direction, Model

# What a symbol may be besides the rows of the cell: all of h, directions side by side.
OUTPUT = "output"
# A number of so many decimals was not rounded for a reader.
MANY_DECIMALS = 14
# So many decimals a float32 prints: the last of them are not to be trusted.
FLOAT32_DECIMALS = range(7, 10)
# Two double-precision programs agree at least so well over a sequence.
DOUBLE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Precision:
    """How precisely numbers are given.

    Attributes:
        words: as a sentence has it: "4 decimals", "float32", "full precision".
        tolerance: the largest difference that counts as equal, for numbers up to 1.
        relative: whether it grows with the numbers above 1.
        decimals: how many were written; None where a type tells.
    """

    words: str
    tolerance: float
    relative: bool
    decimals: int | None = None

    def tolerances(self, values: Array) -> Array:
        """Return the tolerance of each number."""
        scale = np.maximum(1.0, np.abs(values)) if self.relative else np.ones_like(values)
        return np.asarray(self.tolerance * np.nan_to_num(scale, nan=1.0, posinf=1.0))


_TYPES = (
    ("bfloat16", round_bfloat16, 2e-2),
    ("float16", round_float16, 4e-3),
    ("float32", round_float32, 2e-6),
)


def decimals_of(values: Array) -> int:
    """Return how many decimals the shortest texts of numbers need, 0 for none at all."""
    finite = values[np.isfinite(values)]
    places = (-Decimal(repr(float(v))).normalize().as_tuple().exponent for v in finite)  # type: ignore[operator] # finite: a number
    return max((int(each) for each in places), default=0)


def precision_of(values: Array, decimals: int | None = None) -> Precision:
    """Return how precisely numbers are given.

    Args:
        values: any shape; nan where nothing is claimed.
        decimals: as they were written, where the text is known (0.4750 has four).
    """
    finite = values[np.isfinite(values)]
    places = decimals_of(finite) if decimals is None else decimals
    if places > 5 and decimals is None and finite.size:
        for name, rounding, tolerance in _TYPES:
            with np.errstate(over="ignore"):
                if np.array_equal(rounding(finite), finite):
                    return Precision(name, tolerance, True)
    if places >= MANY_DECIMALS:
        return Precision("full precision", DOUBLE_TOLERANCE, True)
    if places == 0:  # 0 and 1 are whole whatever was meant: no number says how exactly
        return Precision("whole numbers, read as 2 decimals", 0.005, False, 2)
    # Half a unit of the last decimal is what rounding does; the hair more is for the comparison.
    half = 0.5 * 10.0**-places * (1 + 1e-6) + 1e-12
    words = f"{places} decimal" + "s" * (places != 1)
    if places in FLOAT32_DECIMALS:
        return Precision(words, max(half, 1e-6), True, places)
    return Precision(words, max(half, DOUBLE_TOLERANCE), places > 9, places)


@dataclass(frozen=True, eq=False)
class Claim:
    """Numbers of one symbol in one layer and direction at one input time.

    Attributes:
        run: the number of the run, as in `Model.runs`.
        symbol: a row of the cell, or `x`, `h_prev`, `c_prev`.
        t: input time, from 1.
        values: `(n,)`; nan where nothing is claimed.
        tolerance: `(n,)`.
        decimals: how many were written, None where a type tells.
    """

    run: int
    symbol: str
    t: int
    values: Array
    tolerance: Array
    decimals: int | None = None

    def ours(self, trace: Trace) -> Array:
        """Return our numbers `(n,)` in its place."""
        return np.asarray(trace.layers[self.run].values[self.symbol][self.t - 1])


@dataclass(frozen=True, eq=False)
class Claims:
    """All that somebody says.

    Attributes:
        claims: in the order of computation: by run, time as the run takes it, row of the table.
        precision: symbol -> how precisely it is given.
    """

    claims: tuple[Claim, ...]
    precision: Mapping[str, Precision]

    @property
    def targets(self) -> Targets:
        """The claims as an ensemble compares with them."""
        grouped: dict[tuple[int, int], list[Target]] = defaultdict(list)
        for claim in self.claims:
            target = Target(claim.symbol, claim.values, claim.tolerance)
            grouped[claim.run, claim.t].append(target)
        return grouped

    @property
    def symbols(self) -> list[str]:
        """The symbols claimed, each once."""
        return list(dict.fromkeys(claim.symbol for claim in self.claims))

    @property
    def tolerance(self) -> float:
        """The largest tolerance of a claim."""
        return max(float(np.max(claim.tolerance)) for claim in self.claims)

    @property
    def decimals(self) -> int | None:
        """The fewest decimals given; None where none were counted."""
        counted = [p.decimals for p in self.precision.values() if p.decimals is not None]
        return min(counted, default=None)


def read_claims(
    expected: Mapping[str, Array],
    trace: Trace,
    *,
    atol: float | Mapping[str, float] | None = None,
    decimals: Mapping[str, int] | None = None,
    place: str = "",
) -> Claims:
    """Return the claims that a sample's `expected` makes.

    Args:
        expected: symbol -> `(n,)` at the last step (for `h` and `c`, the final state) or `(T, n)`
            at all of them; directions of the last layer side by side. `output` is h at all steps.
            `layer0_forward_f` is a symbol of one layer and direction. nan claims nothing.
        trace: the right run, unbatched.
        atol: the tolerance, where it is given, for all or by name; numbers of few digits widen a
            single one.
        decimals: symbol -> decimals written, where the text is known.
        place: the file, for messages.

    Raises:
        InputError: nothing is claimed, or of a symbol that the cell does not compute.
        ShapeError: numbers that do not fit the run.
    """
    precision, claims = {}, list[Claim]()
    for name, values in expected.items():
        symbol, runs = runs_of(name, trace.model, place)
        own = precision_of(values, (decimals or {}).get(name))
        precision[name] = own
        given = own.tolerances(values)
        if isinstance(atol, Mapping):
            given = np.full_like(values, atol[name])
        elif atol is not None:
            few = 0.5 * 10.0**-own.decimals if own.decimals is not None else 0.0
            given = np.full_like(values, max(atol, few))
        placed = _placed(name, symbol, values, given, runs, trace, place)
        claims += [replace(claim, decimals=own.decimals) for claim in placed]
    claims = [claim for claim in claims if not np.isnan(claim.values).all()]
    if not claims:
        raise InputError(
            "there are no numbers to compare with", where=place,
            hint='"expected": {"h": […]}, or --expect h=0.1,0.2',
        )  # fmt: skip
    return Claims(tuple(in_order(claims, trace.model, trace.steps)), precision)


def in_order(claims: Iterable[Claim], model: Model, steps: int) -> list[Claim]:
    """Return claims in the order of computation."""

    def key(claim: Claim) -> tuple[int, int, int]:
        _, direction, weights = model.runs[claim.run]
        rows = ("x", "h_prev", "c_prev", *weights.cell.symbols)
        time = claim.t if direction == "forward" else steps - claim.t
        return claim.run, time, rows.index(claim.symbol)

    return sorted(claims, key=key)


def runs_of(name: str, model: Model, place: str) -> tuple[str, list[int]]:
    """Return the symbol and the runs that a name such as `h` or `layer0_forward_f` means.

    Raises:
        InputError: the cell computes nothing of that name.
    """
    last = model.runs[-1][0]
    runs = [n for n, (level, _, _) in enumerate(model.runs) if level == last]
    symbol = name
    for number, (level, direction, _) in enumerate(model.runs):
        prefix = f"layer{level}_{direction}_"
        if name.startswith(prefix):
            symbol, runs = name.removeprefix(prefix), [number]
    known = ["x", "h_prev", "c_prev", *model.runs[runs[0]][2].cell.symbols]
    if symbol != OUTPUT and symbol not in known:
        raise InputError(
            f"'{safe(name)}' is nothing that the cell computes", where=place,
            hint=suggest(symbol, [OUTPUT, *known]),
        )  # fmt: skip
    return "h" if symbol == OUTPUT else symbol, runs


def _placed(
    name: str,
    symbol: str,
    values: Array,
    tolerance: Array,
    runs: Sequence[int],
    trace: Trace,
    place: str,
) -> list[Claim]:
    """Cut numbers into one claim for each run and step."""
    steps = trace.steps
    widths = [trace.layers[n].values[symbol].shape[-1] for n in runs]
    rows, limits = np.atleast_2d(values), np.atleast_2d(tolerance)
    every = values.ndim == 2 or name == OUTPUT
    if rows.shape[1] != sum(widths) or (every and len(rows) != steps):
        wanted = f"({steps}, {sum(widths)})" if every else f"({sum(widths)},)"
        raise ShapeError(
            f"{safe(name)} has shape {values.shape}, the run gives {wanted}",
            where=place,
            hint="give (n,) for the last step or (T, n) for all of them",
        )
    claims, start = [], 0
    for number, width in zip(runs, widths, strict=True):
        direction = trace.layers[number].direction
        times = range(1, steps + 1) if every else [_final(symbol, direction, steps)]
        for row, limit, t in zip(rows, limits, times, strict=True):
            own = slice(start, start + width)
            claims.append(Claim(number, symbol, t, row[own], limit[own]))
        start += width
    return claims


def _final(symbol: str, direction: Direction, steps: int) -> int:
    """Return the time of a vector without one: the last step taken for a state, else T."""
    return 1 if direction == "backward" and symbol in ("h", "c") else steps


def claims_of_trace(theirs: TraceFile, trace: Trace, *, atol: float | None = None) -> Claims:
    """Return the claims that a whole trace makes: every value that our run has too.

    Raises:
        InputError: the traces have no value in common.
        ShapeError: a value of another size than ours.
    """
    every: dict[str, list[Array]] = defaultdict(list)
    found = []
    runs = {(own.layer, str(own.direction)): n for n, own in enumerate(trace.layers)}
    for step in theirs.steps:
        run = runs.get((step.layer, step.direction))
        if run is None or not 1 <= step.t <= trace.steps:
            continue
        for symbol, values in step.values.items():
            if symbol in trace.layers[run].values:
                size = trace.layers[run].values[symbol].shape[-1]
                if values.shape != (size,):
                    raise ShapeError(
                        f"{safe(symbol)} has {len(values)} numbers at t = {step.t}, ours {size}",
                        where=theirs.place, hint="compare runs of the same sizes",
                    )  # fmt: skip
                every[symbol].append(values)
                found.append((run, symbol, step.t, values))
    precision = {symbol: precision_of(np.concatenate(rows)) for symbol, rows in every.items()}
    claims = [
        Claim(run, symbol, t, values, precision[symbol].tolerances(values) if atol is None
              else np.full_like(values, atol))
        for run, symbol, t, values in found
    ]  # fmt: skip
    if not claims:
        raise InputError(
            "the traces have no value in common", where=theirs.place,
            hint="steps need layer, direction, t and symbols such as f, i, g, o, c, h",
        )  # fmt: skip
    return Claims(tuple(in_order(claims, trace.model, trace.steps)), precision)
