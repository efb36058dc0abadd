"""When two numbers agree: what the print of each says, and the rounding of its type in this run.

A printed number is known to half a unit of its last place. Honest arithmetic adds its own: the same
model run in float32, by the table, by the fast engine and with each weight nudged as another order
of adding would, strays from the exact run by so much; a small multiple of that is allowed, and at
least eight units of float32's last place. `diagnose`, `batch --check`, `vet` and grading ask here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.engine.run import LayerTrace, Trace, run

# The types that numbers can be of: bits of the significand, and the least exponent.
TYPES = {"float64": (53, -1022), "float32": (24, -126), "float16": (11, -14), "bfloat16": (8, -126)}
# These are told only where numbers would hardly fit them by chance: once in so many powers of ten.
NARROWEST, LEAST_EVIDENCE = ("bfloat16", "float16"), 6.0
# Bits that numbers of a type leave unused on average by chance: one, and hardly more than two.
UNUSED_BITS = 2.0
# Units of the type's last place that are allowed at least, and how many times what was measured.
LEAST_UNITS, TIMES_MEASURED = 8.0, 4.0
# Units of the narrowest types are so large that as many would hide mistakes.
LEAST_UNITS_NARROW, TIMES_MEASURED_NARROW = 2.0, 2.0
# Two double-precision programs agree at least so well over a sequence.
LEAST_ROOM = 1e-9
# A print of so many significant digits is a whole double.
FULL_DIGITS = 15
# More digits than a float32 needs to be told from all others.
FLOAT32_DIGITS = 9
# Of units and steps that stray so many times less than others, each is taken for itself.
TIMES_OWN = 8.0
# Nobody prints fewer significant digits and means it.
LEAST_DIGITS = 3
# 0 and 1 are whole whatever was meant: no number says how exactly.
WHOLE_DECIMALS = 2
# The comparison itself is in binary: a hair more than half a unit is half a unit.
HAIR = 1 + 1e-6
# Between readings of a print of which one needs so many more zeros left out, nobody can decide.
UNDECIDED = 2
# So many numbers of as many decimals that all end in a zero were filled up with zeros.
LEAST_PADDED = 3
# How many models with nudged weights are run beside the right one.
NUDGED = 3


@dataclass(frozen=True, eq=False)
class Precision:
    """How precisely numbers are given: by their print, and by the type that they can be of.

    Attributes:
        words: as a sentence has it: "4 decimals", "6 significant digits", "float32".
        kind: a name in `TYPES`: the narrowest that the numbers show, or float32 where they may be.
        units: one unit of each number's last printed place, the shape of the numbers.
        decimals: how many were printed; None where significant digits or a type tell.
        cut: whether digits are cut off, not rounded, as far as a comparison with ours tells.
        fitting: the narrow types that can print all numbers -> the evidence that they are of it.
    """

    words: str
    kind: str
    units: Array
    decimals: int | None = None
    cut: bool = False
    fitting: Mapping[str, float] = field(default_factory=dict)


def rounding_of(units: Array) -> Array:
    """Largest rounding error of a printed number: half a unit of its last place."""
    return 0.5 * HAIR * units


def spacing(values: Array, kind: str) -> Array:
    """Return one unit of the last place of each number in a type.

    Args:
        values: any shape.
        kind: a name in `TYPES`.
    """
    bits, least = TYPES[kind]
    exponents = np.frexp(np.where(np.isfinite(values), values, 0.0))[1] - 1
    return np.asarray(np.ldexp(1.0, np.maximum(exponents, least) - bits + 1))


def decimals_of(values: Array) -> Array:
    """Decimals of each number's shortest text, `(n,)`; below 0 for 1e20."""
    return np.array([_decimals(float(value)) for value in np.ravel(values)], dtype=int)


def _decimals(value: float) -> int:
    if not np.isfinite(value):
        return 0
    digits, _, exponent = repr(value).partition("e")
    part = digits.partition(".")[2].rstrip("0")
    return len(part) - int(exponent or 0)


def precision_of(values: Array, decimals: Array | None = None) -> Precision:
    """Precision with which numbers are given.

    They are taken for one print: `%f` has as many decimals in each, `%e` and `%g` as many
    significant digits; `%g` and most languages leave out zeros at the end. Of the two it is the one
    by which fewer zeros were left out, since each is one chance in ten; where both are as likely,
    a number is taken to be as coarse as either has it.

    Args:
        values: any shape; nan where nothing is claimed.
        decimals: of each number as it was written, where the text is known: 0.4750 has four.
    """
    known = np.isfinite(values)
    numbers = values[known]
    written = decimals_of(numbers)
    if decimals is not None:
        written = np.maximum(written, unpadded(decimals[known], written))
    # Whole numbers, such as the 1 of a gate that is open, are exact in any print.
    some, magnitudes = numbers != np.rint(numbers), _magnitudes(numbers)
    digits = written + magnitudes + 1
    places, count = (max(int(each[some].max(initial=0)), 0) for each in (written, digits))
    units = np.full(values.shape, 10.0 ** -(places or WHOLE_DECIMALS))
    left_out = (count - digits[some]).sum(), (places - written[some]).sum()
    possible = bool(places and count >= LEAST_DIGITS)
    by_digits = possible and bool(left_out[0] < left_out[1])
    # Text that leaves out no zero decides: it is how it was printed.
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
        words, whole = f"whole numbers, read as {WHOLE_DECIMALS} decimals", WHOLE_DECIMALS
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
    """Precision with which somebody's numbers are given, by name.

    A narrow type is one of the program that made them: what all names show together counts for each
    whose numbers it can print.

    Args:
        numbers: name -> values, as `precision_of` takes them.
        decimals: name -> decimals of each number as written, where the text is known.
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
    """Return decimals without the zeros that all numbers end in, where they can only be filling.

    Args:
        written: decimals of each number as written, `(n,)`.
        shortest: decimals of its shortest text, `(n,)`.
    """
    if len(written) < LEAST_PADDED:
        return written
    return np.asarray(written - max(0, int((written - np.maximum(shortest, 0)).min())))


def _magnitudes(numbers: Array) -> Array:
    """Return the power of ten of each number's first digit; 0 for 0."""
    size = np.abs(numbers)
    return np.floor(np.log10(np.where(size > 0, size, 1.0)) + 1e-12).astype(int)


def _kind_of(numbers: Array, units: Array, fitting: Mapping[str, float]) -> str:
    """Return the narrowest type that numbers show, float32 where they may be of it, or float64."""
    shown = [kind for kind, evidence in fitting.items() if evidence >= LEAST_EVIDENCE]
    if shown:
        return shown[0]
    return "float32" if can_print("float32", numbers, units) else "float64"


def can_print(kind: str, numbers: Array, units: Array) -> bool:
    """Return whether all numbers are prints of numbers of a type, all rounded or all cut off.

    Args:
        kind: a name in `TYPES`.
        numbers: `(n,)`, finite.
        units: one unit of each one's last printed place, `(n,)`.
    """
    gap, size = spacing(numbers, kind), np.abs(numbers)
    with np.errstate(over="ignore", invalid="ignore"):  # a double of 1e308 over its own last place
        if (np.ceil(size / gap) * gap - size <= HAIR * units).all():
            return True  # cut off
        off = np.abs(np.rint(size / gap) * gap - size)
        fine = off <= rounding_of(units)
        if kind in ("float16", "float32"):  # or as few digits as tell it from others, as NumPy has
            narrow = numbers[~fine].astype(kind)
            fine[~fine] = [float(str(each)) for each in narrow] == numbers[~fine]
    return bool(fine.all())


def _evidence(kind: str, numbers: Array, units: Array) -> float:
    """Return one in how many powers of ten any other numbers would print like this.

    Whole numbers say nothing; and the shorter numbers are in binary, the more likely they were
    chosen: 0.375 is of any type.
    """
    told = numbers != np.rint(numbers)
    gap = spacing(numbers, kind)[told]
    steps = np.rint(numbers[told] / gap).astype(int)
    chosen = (np.log2(np.maximum(steps & -steps, 1)) - UNUSED_BITS).sum() * np.log10(2)
    fit = -np.log10(np.minimum(1.0, units[told] / gap)).sum()
    return max(0.0, float(fit - max(0.0, chosen)))


def room_of(values: Array, kind: str, spread: Array | float = 0.0) -> Array:
    """Error that honest arithmetic of a type may have at each number.

    Args:
        values: the numbers, any shape; nan counts as 0.
        kind: a name in `TYPES`.
        spread: of float32 in this run, as `Float32Noise` measures it.
    """
    size = np.nan_to_num(np.abs(values), nan=0.0, posinf=0.0)
    coarser = 2.0 ** (TYPES["float32"][0] - TYPES[kind][0])
    narrow = kind in NARROWEST
    least = LEAST_UNITS_NARROW if narrow else LEAST_UNITS
    times = TIMES_MEASURED_NARROW if narrow else TIMES_MEASURED
    own = np.maximum(least * spacing(size, kind), times * coarser * spread)
    return np.asarray(np.maximum(own, LEAST_ROOM * np.maximum(1.0, size)))


class Float32Noise:
    """How far float32 arithmetic strays from a run: measured on that very run, once it is asked.

    Attributes:
        trace: the run, with any batch axes.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def spread(self, place: int, symbol: str) -> Array:
        """Return the largest distance of any unit so far, `(…, T, n)`.

        It is no more than some times that of the unit at any step and of the step in any unit: a
        unit of 1e5, or an outlier of the input, makes the others no less exact.

        Args:
            place: the number of the layer and direction, as in `Model.runs`.
            symbol: a row of the cell, or `x`, `h_prev`, `c_prev`.
        """
        if (place, symbol) not in self._known:
            steps, units = self._largest[place, symbol]
            backward = self.trace.layers[place].direction == "backward"
            order = slice(None, None, -1) if backward else slice(None)
            so_far = np.maximum.accumulate(steps[..., order, :], axis=-2)[..., order, :]
            own = TIMES_OWN * np.minimum(steps, units)
            self._known[place, symbol] = np.minimum(so_far, own)
        return self._known[place, symbol]

    @cached_property
    def _known(self) -> dict[tuple[int, str], Array]:
        return {}

    @cached_property
    def _largest(self) -> dict[tuple[int, str], tuple[Array, Array]]:
        """The largest distance of any run: of each step `(…, T, 1)`, of each unit `(…, 1, n)`."""
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
        """Yield the same run by other arithmetic, one after the other: each may be large."""
        model, x = self.trace.model, self.trace.layers[0].values["x"]
        h, c = ([_start(each, state) for each in self.trace.layers] for state in ("h", "c"))
        rng = np.random.default_rng(3)
        for each in (model, *(_nudged(model, rng) for _ in range(NUDGED))):
            yield run(each, x, h, c, dtype=np.float32, engine="numpy")
        for dtype in (np.float32, np.float64):  # a run of float32 strays from the one of float64
            if self.trace.dtype != dtype:
                yield run(model, x, h, c, dtype=dtype, engine="table")


def _distance(own: Array, theirs: Array) -> Array:
    """Return the distance of each number; none where both are not finite."""
    with np.errstate(invalid="ignore"):  # inf - inf
        off = np.abs(np.asarray(theirs, dtype=float) - own)
    return np.asarray(np.nan_to_num(off, nan=0.0, posinf=0.0))


def _rounded_up(distance: Array) -> Array:
    """Return the next power of two: machines add in different orders, and should say the same."""
    mantissa, exponent = np.frexp(distance)
    return np.asarray(np.ldexp(np.where(mantissa == 0.5, 0.5, np.sign(mantissa)), exponent))


def _start(layer: LayerTrace, state: str) -> Array:
    """Return the state before a layer's first step, `(…, n)`."""
    first = 0 if layer.direction == "forward" else -1
    return np.asarray(layer.values[f"{state}_prev"][..., first, :])


def _nudged(model: Model, rng: np.random.Generator) -> Model:
    """Return a model whose weights are off by what adding in another order comes to.

    A sum of n terms computed in any order is the exact sum of terms each off by at most n - 1
    roundings, by about √n of them as a rule (Higham 2002, sections 3.1 and 4.2).
    """

    def nudge(array: Array) -> Array:
        terms = array.shape[-1] if array.ndim > 1 else 1
        step = np.sqrt(terms) * 2.0 ** -TYPES["float32"][0]
        return np.asarray(array * (1 + step * rng.uniform(-1, 1, array.shape)))

    def changed(weights: LstmWeights) -> LstmWeights:
        return replace(weights, arrays={k: nudge(each) for k, each in weights.arrays.items()})

    layers = [
        Layer({direction: changed(weights) for direction, weights in layer.directions.items()})
        for layer in model.layers
    ]
    return replace(model, layers=tuple(layers))


def allowed(ours: Array, theirs: Array, units: Array, room: Array) -> tuple[Array, bool]:
    """Allowed difference of each of their numbers from ours, and whether digits were cut off.

    That is taken for granted only where rounding does not explain them all, and cutting does.

    Args:
        ours, theirs: any shape; nan in theirs claims nothing.
        units: one unit of each one's last printed place.
        room: for the arithmetic, as `room_of` gives it.
    """
    claimed, rounding = ~np.isnan(theirs), rounding_of(units) + room
    with np.errstate(invalid="ignore"):  # inf - inf
        lost = np.abs(ours) - np.abs(theirs)
        rounded = np.abs(ours - theirs) <= rounding
    cutting = HAIR * units + room
    cut = (lost >= -room) & (lost <= cutting) & ((np.sign(ours) == np.sign(theirs)) | (theirs == 0))
    if not rounded[claimed].all() and cut[claimed].all():
        return cutting, True
    return rounding, False
