"""When two numbers agree, given their printed precision and the rounding of their type.

A printed number is known to half a unit in its last place. Rounding during the computation adds to
that: it is measured by running the same model in float32 with the table, with the fast engine, and
with weights perturbed as much as another order of summation would; a small multiple of the spread
is allowed, and at least eight units in the last place of float32. Used by `diagnose`,
`batch --check`, `vet` and grading.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import decimals_in, shortest
from lstm_cli.cell.weights import Model
from lstm_cli.engine.run import Trace, run

# Supported types: significand bits and minimum exponent.
TYPES = {"float64": (53, -1022), "float32": (24, -126), "float16": (11, -14), "bfloat16": (8, -126)}
# Detected only if a chance fit is unlikely: at most one in this power of ten.
NARROWEST, LEAST_EVIDENCE = ("bfloat16", "float16"), 6.0
# Trailing zero bits per number that occur by chance: one on average, rarely more than two.
UNUSED_BITS = 2.0
# Minimum allowance in units in the last place, and the multiple of the measured spread allowed.
LEAST_UNITS, TIMES_MEASURED = 8.0, 4.0
# For the narrowest types, such large units would hide mistakes.
LEAST_UNITS_NARROW, TIMES_MEASURED_NARROW = 2.0, 2.0
# Two double-precision programs always agree this well over a sequence.
LEAST_ROOM = 1e-9
# This many significant digits represent a full double.
FULL_DIGITS = 15
# Digits that always identify a float32.
FLOAT32_DIGITS = 9
# Units and steps whose spread is this many times smaller than that of others are judged separately.
TIMES_OWN = 8.0
# Fewer significant digits than this are never intended.
LEAST_DIGITS = 3
# Assumed if all numbers are integers such as 0 and 1, which say nothing about precision.
WHOLE_DECIMALS = 2
# Slack for the binary comparison with half a decimal unit.
HAIR = 1 + 1e-6
# Two interpretations of a print whose dropped zeros differ by at most this are equally likely.
UNDECIDED = 2
# At least this many numbers with equal decimals, all ending in zero, count as zero-padded.
LEAST_PADDED = 3
# Number of runs with perturbed weights.
PERTURBED_RUNS = 3


@dataclass(frozen=True, eq=False)
class Precision:
    """Precision of given numbers: that of their text, and the type they may come from.

    Attributes:
        words: for use in a sentence: "4 decimals", "6 significant digits", "float32".
        kind: a name in `TYPES`: the narrowest type in evidence, or float32 if possible.
        units: one unit in the last printed place of each number, in the shape of the numbers.
        decimals: how many were printed; None if significant digits or a type set the precision.
        cut: whether digits are truncated instead of rounded, judging by a comparison with ours.
        fitting: for each narrow type that could print as these numbers, the evidence for it.
    """

    words: str
    kind: str
    units: Array
    decimals: int | None = None
    cut: bool = False
    fitting: Mapping[str, float] = field(default_factory=dict)


def rounding_of(units: Array) -> Array:
    """Largest rounding error of a printed number: half a unit in its last place."""
    return 0.5 * HAIR * units


def spacing(values: Array, kind: str) -> Array:
    """One unit in the last place of each number in a type of `TYPES`."""
    bits, least = TYPES[kind]
    exponents = np.frexp(np.where(np.isfinite(values), values, 0.0))[1] - 1
    return np.asarray(np.ldexp(1.0, np.maximum(exponents, least) - bits + 1))


def decimals_of(values: Array) -> Array:
    """Decimals of each number's shortest text, `(n,)`; negative for 1e20."""
    return np.array([decimals_in(shortest(value)) for value in np.ravel(values)], dtype=int)


def precision_of(values: Array, decimals: Array | None = None) -> Precision:
    """Infer the precision with which numbers are given.

    All are assumed to use one format: `%f` prints the same number of decimals, `%e` and `%g` the
    same number of significant digits; `%g` and most languages drop trailing zeros. The format with
    fewer dropped zeros is chosen, since each has a chance of one in ten; if both are equally
    likely, each number gets the coarser of the two precisions.

    Args:
        values: any shape; nan where nothing is claimed.
        decimals: the decimals of each number as written, if known: 0.4750 has four.
    """
    known = np.isfinite(values)
    numbers = values[known]
    written = decimals_of(numbers)
    if decimals is not None:
        written = np.maximum(written, unpadded(decimals[known], written))
    # Integers, such as the 1 of an open gate, are exact in any format.
    some, magnitudes = numbers != np.rint(numbers), _magnitudes(numbers)
    digits = written + magnitudes + 1
    places, count = (max(int(each[some].max(initial=0)), 0) for each in (written, digits))
    units = np.full(values.shape, 10.0 ** -(places or WHOLE_DECIMALS))
    left_out = (count - digits[some]).sum(), (places - written[some]).sum()
    possible = bool(places and count >= LEAST_DIGITS)
    by_digits = possible and bool(left_out[0] < left_out[1])
    # A format that drops no zeros is decisive.
    open_ = np.ptp(left_out) <= UNDECIDED and (decimals is None or min(left_out) > 0)
    if by_digits or (possible and open_):
        own = np.where(numbers != 0, 10.0 ** (magnitudes + 1.0 - count), 10.0**-places)
        if open_:
            own[some] = np.maximum(own[some], 10.0**-places)
            own[~some] = own[~some] if by_digits else 10.0**-places
        # No number is coarser than its own text: 100.0 is not 1e2.
        units[known] = own if decimals is None else np.minimum(own, 10.0**-written)
    fitting = {
        narrow: _evidence(narrow, numbers, units[known])
        for narrow in NARROWEST
        if can_print(narrow, numbers, units[known])
    }
    kind = _kind_of(numbers, units[known], fitting)
    words, whole = f"{places} decimal" + "s" * (places != 1), None if by_digits else places
    if places == 0:
        words, whole = f"integers, read as {WHOLE_DECIMALS} decimals", WHOLE_DECIMALS
    elif kind in NARROWEST or (kind == "float32" and count > FLOAT32_DIGITS):
        words, whole = kind, None
    elif count >= FULL_DIGITS:
        words, whole = "full precision", None
    elif by_digits:
        words = f"{count} significant digits"
    return Precision(words, kind, units, whole, fitting=fitting)


def precisions_of(
    numbers: Mapping[str, Array], decimals: Mapping[str, Array] | None = None
) -> dict[str, Precision]:
    """Infer the precision of someone's numbers by name, each as `precision_of`.

    A narrow type is a property of the program that made them: the combined evidence of all names
    counts for each name whose numbers the type could print as.
    """
    found = {
        name: precision_of(values, (decimals or {}).get(name)) for name, values in numbers.items()
    }
    for kind in NARROWEST:
        if sum(each.fitting.get(kind, 0.0) for each in found.values()) < LEAST_EVIDENCE:
            continue
        for name, each in found.items():
            if each.kind not in NARROWEST and each.fitting.get(kind, 0.0) > 0:
                found[name] = replace(each, kind=kind, words=kind, decimals=None)
    return found


def unpadded(written: Array, shortest: Array) -> Array:
    """Return decimals without the trailing zeros common to all numbers, if they must be padding.

    Args:
        written: decimals of each number as written, `(n,)`.
        shortest: decimals of its shortest text, `(n,)`.
    """
    if len(written) < LEAST_PADDED:
        return written
    return np.asarray(written - max(0, int((written - np.maximum(shortest, 0)).min())))


def _magnitudes(numbers: Array) -> Array:
    """Power of ten of each number's leading digit; 0 for 0."""
    size = np.abs(numbers)
    return np.floor(np.log10(np.where(size > 0, size, 1.0)) + 1e-12).astype(int)


def _kind_of(numbers: Array, units: Array, fitting: Mapping[str, float]) -> str:
    """Return the narrowest type in evidence, else float32 if possible, else float64."""
    shown = [kind for kind, evidence in fitting.items() if evidence >= LEAST_EVIDENCE]
    if shown:
        return shown[0]
    return "float32" if can_print("float32", numbers, units) else "float64"


def can_print(kind: str, numbers: Array, units: Array) -> bool:
    """Whether numbers of a type could print as these, with all rounded or all truncated.

    Args:
        numbers: `(n,)`, finite.
        units: one unit in the last printed place of each, `(n,)`.
    """
    gap, size = spacing(numbers, kind), np.abs(numbers)
    with np.errstate(over="ignore", invalid="ignore"):  # 1e308 divided by its last place
        if (np.ceil(size / gap) * gap - size <= HAIR * units).all():
            return True  # truncated
        off = np.abs(np.rint(size / gap) * gap - size)
        fine = off <= rounding_of(units)
        if kind in ("float16", "float32"):  # or its shortest digits, as NumPy prints
            narrow = numbers[~fine].astype(kind)
            fine[~fine] = [float(str(each)) for each in narrow] == numbers[~fine]
    return bool(fine.all())


def _evidence(kind: str, numbers: Array, units: Array) -> float:
    """Return the improbability, as a power of ten, that other numbers would print like this.

    Integers carry no evidence, and numbers that are short in binary were probably chosen: 0.375 is
    exact in any type.
    """
    told = numbers != np.rint(numbers)
    gap = spacing(numbers, kind)[told]
    steps = np.rint(numbers[told] / gap).astype(int)
    chosen = (np.log2(np.maximum(steps & -steps, 1)) - UNUSED_BITS).sum() * np.log10(2)
    fit = -np.log10(np.minimum(1.0, units[told] / gap)).sum()
    return max(0.0, float(fit - max(0.0, chosen)))


def room_of(values: Array, kind: str, spread: Array | float = 0.0) -> Array:
    """Error that correct arithmetic in a type may have at each number.

    Args:
        values: the numbers, any shape; nan counts as 0.
        spread: the spread of float32 in this run, as measured by `Float32Noise`.
    """
    least = LEAST_ROOM * np.maximum(1.0, _sizes(values))
    return np.asarray(np.maximum(bare_room_of(values, kind, spread), least))


def bare_room_of(values: Array, kind: str, spread: Array | float = 0.0) -> Array:
    """Error of correct arithmetic, as `room_of`, without the least that is always allowed."""
    coarser = 2.0 ** (TYPES["float32"][0] - TYPES[kind][0])
    narrow = kind in NARROWEST
    least = LEAST_UNITS_NARROW if narrow else LEAST_UNITS
    times = TIMES_MEASURED_NARROW if narrow else TIMES_MEASURED
    return np.asarray(np.maximum(least * spacing(_sizes(values), kind), times * coarser * spread))


def _sizes(values: Array) -> Array:
    """Sizes of numbers; what is not finite counts as 0."""
    return np.where(np.isfinite(values), np.abs(values), 0.0)


class Float32Noise:
    """Deviation of float32 arithmetic from a run, measured lazily on that run."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._known: dict[tuple[int, str], Array] = {}

    def spread(self, place: int, symbol: str) -> Array:
        """Return the largest deviation of any unit up to each step, `(…, T, n)`.

        It is limited to a multiple of that of the same unit at any step and of the same step in
        any unit, so that a unit of 1e5 or an outlier in the input does not loosen the others.

        Args:
            place: index of the layer and direction, as in `Model.runs`.
            symbol: a row of the cell, or `x`, `h_prev`, `c_prev`.
        """
        if (place, symbol) not in self._known:
            steps, units = self._largest[place, symbol]
            order = self.trace.layers[place].order
            so_far = np.maximum.accumulate(steps[..., order, :], axis=-2)[..., order, :]
            own = TIMES_OWN * np.minimum(steps, units)
            self._known[place, symbol] = np.minimum(so_far, own)
        return self._known[place, symbol]

    @cached_property
    def _largest(self) -> dict[tuple[int, str], tuple[Array, Array]]:
        """Largest deviation over all runs, per step `(…, T, 1)` and per unit `(…, 1, n)`."""
        found: dict[tuple[int, str], tuple[Array, Array]] = {}
        for other in self._runs():
            for place, own in enumerate(self.trace.layers):
                for symbol, values in own.values.items():
                    off = _distance(values, other.layers[place].values[symbol])
                    largest = off.max(axis=-1, keepdims=True), off.max(axis=-2, keepdims=True)
                    before = found.get((place, symbol), largest)
                    found[place, symbol] = (
                        np.maximum(before[0], largest[0]), np.maximum(before[1], largest[1])
                    )  # fmt: skip
        return {key: (_rounded_up(steps), _rounded_up(units))
                for key, (steps, units) in found.items()}  # fmt: skip

    def _runs(self) -> Iterator[Trace]:
        """Yield the same run in other arithmetic, one at a time since each may be large."""
        model, (x, h, c), calls = self.trace.model, self.trace.inputs, self.trace.calls
        rng = np.random.default_rng(3)
        for each in (model, *(_perturbed(model, rng) for _ in range(PERTURBED_RUNS))):
            yield run(each, x, h, c, dtype=np.float32, engine="numpy", calls=calls)
        for dtype in (np.float32, np.float64):  # a float32 run deviates from the float64 one
            if self.trace.dtype != dtype:
                yield run(model, x, h, c, dtype=dtype, engine="table", calls=calls)


def _distance(own: Array, theirs: Array) -> Array:
    """Absolute difference of each pair of numbers, 0 where both are not finite."""
    with np.errstate(invalid="ignore"):  # inf - inf
        off = np.abs(np.asarray(theirs, dtype=float) - own)
    return np.asarray(np.nan_to_num(off, nan=0.0, posinf=0.0))


def _rounded_up(distance: Array) -> Array:
    """Round up to a power of two, so that the order of summation on a machine does not matter."""
    mantissa, exponent = np.frexp(distance)
    return np.asarray(np.ldexp(np.where(mantissa == 0.5, 0.5, np.sign(mantissa)), exponent))


def _perturbed(model: Model, rng: np.random.Generator) -> Model:
    """Perturb the weights of a model as much as another order of summation would.

    A sum of n terms computed in any order is the exact sum of terms each perturbed by at most n - 1
    roundings, and by about √n of them as a rule (Higham 2002, sections 3.1 and 4.2).
    """

    def perturb(array: Array) -> Array:
        terms = array.shape[-1] if array.ndim > 1 else 1
        step = np.sqrt(terms) * 2.0 ** -TYPES["float32"][0]
        return np.asarray(array * (1 + step * rng.uniform(-1, 1, array.shape)))

    return model.with_weights(
        lambda _, own: replace(own, arrays={k: perturb(each) for k, each in own.arrays.items()})
    )


def allowed(ours: Array, theirs: Array, units: Array, room: Array) -> tuple[Array, bool]:
    """Allowed difference of each of their numbers from ours, and whether digits were truncated.

    Truncation is assumed only if it explains all the numbers and rounding does not.

    Args:
        ours, theirs: any shape; nan in theirs claims nothing.
        units: one unit in the last printed place of each.
        room: the allowance for arithmetic, from `room_of`.
    """
    claimed = ~np.isnan(theirs)
    rounded, cut = _as_printed(ours, theirs, units, room)
    if not rounded[claimed].all() and cut[claimed].all():
        return HAIR * units + room, True
    return rounding_of(units) + room, False


def agree(ours: Array, theirs: Array, units: Array, room: Array) -> Array:
    """Whether each of their numbers by itself is ours, rounded or truncated; as for `allowed`."""
    rounded, cut = _as_printed(ours, theirs, units, room)
    return np.asarray(rounded | cut)


def _as_printed(ours: Array, theirs: Array, units: Array, room: Array) -> tuple[Array, Array]:
    """Whether each of their numbers is ours rounded, and whether it is ours truncated."""
    with np.errstate(invalid="ignore"):  # inf - inf
        lost = np.abs(ours) - np.abs(theirs)
        rounded = np.abs(ours - theirs) <= rounding_of(units) + room
    cut = (lost >= -room) & (lost <= HAIR * units + room)
    return rounded, cut & ((np.sign(ours) == np.sign(theirs)) | (theirs == 0))


def decimals_within(off: float) -> int:
    """Most decimals to which numbers this far apart agree if one is the other rounded."""
    return math.floor(-math.log10(2 * off / HAIR))
