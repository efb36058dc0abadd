"""A run as a C header of golden vectors: what a port must compute, value by value.

A port's test includes it and asks for `fabs(c[j] - lstm_c[t][j]) <= LSTM_TOLERANCE`, which is that
of double or of float arithmetic; both are there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import PurePath

import numpy as np

from lstm_cli.base.arrays import Array, array_lines, guard, identifier
from lstm_cli.base.foreign import c_comment
from lstm_cli.base.numbers import rounded_up
from lstm_cli.base.version import __version__
from lstm_cli.cell.notation import PLAIN
from lstm_cli.engine.agreement import TIMES_MEASURED, Float32Noise, bare_room_of
from lstm_cli.engine.run import LayerTrace, Trace, run
from lstm_cli.show.rows import (
    INPUT_LABELS,
    View,
    chosen_steps,
    chosen_units,
    chosen_values,
    definitions,
    equation_text,
)

# No port is right only to so much.
COARSE = 0.01


class Names:
    """Hands out C names, each once: two symbols of a user's table may look alike in ASCII."""

    def __init__(self, several: bool) -> None:
        self.several = several
        self.given: set[str] = set()

    def of(self, each: LayerTrace, symbol: str) -> str:
        """Return the name of a symbol of a layer and direction."""
        return self.unique(f"lstm_{self._place(each)}{symbol}")

    def unique(self, name: str) -> str:
        """Return a name as C writes it that no other array has."""
        name = identifier(name)
        while name in self.given:
            name += "_"
        self.given.add(name)
        return name

    def macro(self, each: LayerTrace, name: str) -> str:
        """Return the name of a macro of a layer and direction."""
        return f"LSTM_{self._place(each).upper()}{name}"

    def _place(self, each: LayerTrace) -> str:
        return f"layer{each.layer}_{each.direction}_" if self.several else ""


def to_c(
    trace: Trace, view: View, names: Names | None = None, more: Iterable[str] = ()
) -> Iterator[str]:
    """Yield a header with every named value as an array `[T][n]`, and `more` lines at its end."""
    own = guard(PurePath(view.target).name or "golden.h")
    names = names or Names(len(trace.layers) > 1)
    lines = [
        *_head(trace, view),
        f"#ifndef {own}",
        f"#define {own}",
        "",
        *_macros(trace, view, names),
    ]
    for text in (*lines, *_arrays(trace, view, names), *more, "", f"#endif {c_comment(own)}"):
        yield text + "\n"


def _head(trace: Trace, view: View) -> Iterator[str]:
    model = trace.model
    convention = f" ({model.convention})" if model.convention else ""
    yield c_comment(
        f"Golden vectors of an LSTM, by lstm-step {__version__}: what a port must compute."
    )
    engine = "" if trace.engine == "table" else f", engine {trace.engine}"
    kind = f"{trace.dtype.name}{engine}"
    yield c_comment(f"{model.cell.name}, weights {model.source}{convention}, {kind}")
    for assumption in trace.assumptions:
        yield c_comment(f"assumed: {assumption}")
    for text in definitions(model.cell, PLAIN):
        yield c_comment(text)
    if view.at:
        chosen = ", ".join(map(str, sorted(chosen_steps(view, trace))))
        yield c_comment(f"steps {chosen} of {trace.steps}")
    if view.units:
        units = ", ".join(map(str, chosen_units(view, view.widest)))
        yield c_comment(f"units {units}; x, and h and c at the end, are whole")


def _macros(trace: Trace, view: View, names: Names) -> Iterator[str]:
    values = [array for each in trace.layers for array in each.values.values()]
    if not all(np.isfinite(array).all() for array in values):
        yield "#include <math.h>"
        yield ""
    yield from _tolerances(trace, values)
    yield f"#define LSTM_STEPS {len(chosen_steps(view, trace))}"
    if trace.calls:
        yield "#include <stdint.h>"
        yield f"#define LSTM_CALLS {len(trace.calls)}"
    for each in trace.layers:
        yield f"#define {names.macro(each, 'INPUT_SIZE')} {each.weights.input_size}"
        yield f"#define {names.macro(each, 'HIDDEN_SIZE')} {each.weights.hidden_size}"
        yield f"#define {names.macro(each, 'OUTPUT_SIZE')} {each.weights.output_size}"


def _tolerances(trace: Trace, values: list[Array]) -> Iterator[str]:
    """Yield the tolerances of a correct port in double and in float, and which of them is ours."""
    narrow = trace.dtype == np.float32
    arithmetic, power = Float32Noise(trace), 10.0 ** _power(trace, values)
    stray = _stray(trace, "float32", arithmetic)
    both = stray, max(power, _stray(trace, "float64", arithmetic), _other_double(trace))
    in_float, in_double = (rounded_up(each, 1) for each in both)
    in_float += ".0" * in_float.isdecimal()  # 7f is no number in C
    in_double = in_float if narrow else in_double
    ours, why = "DOUBLE", ""
    if narrow or _has_float32_weights(trace):
        ours, why = "FLOAT", "numbers" if narrow else "weights"
    end = "f" if narrow else ""
    yield c_comment(
        "Suggested for a port that computes in double: the rounding of its longest sum."
    )
    yield f"#define LSTM_TOLERANCE_DOUBLE {in_double}{end}"
    yield c_comment("Suggested for one that computes in float: from float32 runs beside this one.")
    yield f"#define LSTM_TOLERANCE_FLOAT {in_float}{end}"
    if stray > COARSE:
        yield c_comment(
            "This run amplifies every rounding: so wide a tolerance passes wrong ports. Run fewer "
            "steps."
        )
    if why:
        yield c_comment(f"The {why} are float32.")
    yield f"#define LSTM_TOLERANCE LSTM_TOLERANCE_{ours}"


def _power(trace: Trace, values: list[Array]) -> int:
    """Power of ten that two right answers in double stay within, adding in any order."""
    terms = 8 + max(each.weights.input_size + each.weights.output_size for each in trace.layers)
    largest = max(float(np.max(np.abs(v), where=np.isfinite(v), initial=1.0)) for v in values)
    return math.ceil(math.log10(float(np.finfo(np.float64).eps) * terms * largest))


def _stray(trace: Trace, kind: str, arithmetic: Float32Noise) -> float:
    """Largest error of a right answer in a type, over all numbers of a run."""
    return max(
        float(bare_room_of(values, kind, arithmetic.spread(place, symbol)).max())
        for place, each in enumerate(trace.layers)
        for symbol, values in each.values.items()
    )


def _other_double(trace: Trace) -> float:
    """Several times how far another double program is off: all that is left of a chaotic run."""
    other = run(trace.model, *trace.inputs, engine="numpy", calls=trace.calls)
    with np.errstate(invalid="ignore"):  # inf - inf
        off = [np.nan_to_num(np.abs(values - there.values[symbol]), posinf=0.0).max()
               for each, there in zip(trace.layers, other.layers, strict=True)
               for symbol, values in each.values.items()]  # fmt: skip
    return TIMES_MEASURED * float(max(off))


def _has_float32_weights(trace: Trace) -> bool:
    """Whether all matrices hold float32 numbers, and such as nobody types."""
    arrays = [a for each in trace.layers for a in each.weights.arrays.values() if a.ndim > 1]
    with np.errstate(over="ignore"):
        narrow = all((array.astype(np.float32) == array).all() for array in arrays)
    return narrow and any((np.round(array, 9) != array).any() for array in arrays)


def _arrays(trace: Trace, view: View, names: Names) -> Iterator[str]:
    times = [t - 1 for t in sorted(chosen_steps(view, trace))]
    if trace.calls:
        lengths = np.array(trace.calls, dtype=np.int32)
        yield from declared(names.unique("lstm_calls"), lengths, "how many steps each call has")
    for each in trace.layers:
        for symbol, text in described(each, view):
            values = chosen_values(symbol, each.values[symbol][times], view).astype(trace.dtype)
            yield from declared(names.of(each, symbol), values, text)
        for state in ("h", "c"):
            final = each.final(state).astype(trace.dtype)
            name = names.of(each, f"final_{state}")
            yield from declared(name, final, f"{state} at the end, which is {_end(each)}")
            if trace.calls:
                ends = [each.final(state, call) for call in range(len(trace.calls))]
                text = f"{state} at the end of each call, from which the next one starts"
                name = names.of(each, f"call_{state}")
                yield from declared(name, np.stack(ends).astype(trace.dtype), text)
    if len(trace.layers) > 1:
        output = trace.output[times].astype(trace.dtype)
        how = "side by side" if trace.model.merge == "concat" else f"merged: {trace.model.merge}"
        text = f"h of the last layer, directions {how}"
        yield from declared(names.unique("lstm_output"), output, text)


def _end(each: LayerTrace) -> str:
    """Name the step that is computed last."""
    if len(each.calls) > 1:
        return f"step {each.order[-1] + 1}"
    return f"the {'last' if each.direction == 'forward' else 'first'} step"


def described(each: LayerTrace, view: View) -> Iterator[tuple[str, str]]:
    """Yield (symbol, what it is and its equation) in the order of a step."""
    yield from INPUT_LABELS.items()
    written = equation_text(each.cell, PLAIN, view.notation)
    for row in each.cell.equations:
        label = f"{row.label}: " if row.label else ""
        yield row.symbol, label + " = ".join(written[row.symbol])


def declared(name: str, values: Array, text: str) -> Iterator[str]:
    """Yield an array under a comment; what has no units left is only mentioned."""
    yield ""
    yield c_comment(text)
    if values.size:
        yield from array_lines(name, values)
    else:
        yield c_comment(f"{name}: none of the chosen units")
