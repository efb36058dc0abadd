"""The LSTM in integers: against an integer port in plain Python, exact mathematics, properties."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import mpmath  # type: ignore[import-untyped] # it ships no types
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError
from lstm_cli.cell.cells import LSTM, Cell, cell_named, parse_table, with_activations, with_clip
from lstm_cli.cell.equations import FUNCTIONS
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.engine.fixed_point import FixedTrace, beside, compare_parameters, compare_symbols
from lstm_cli.engine.fixed_settings import KINDS, FixedFormat, FixedSettings, Rounding, kind_of
from lstm_cli.engine.run import run
from tests.cases import WITNESS_SPECS, spec_cell
from tests.conftest import random_inputs, random_weights
from tests.engine.test_fixed_formats import MATHEMATICS, formats, roundings


def run_fixed(
    model: Model, x: Any, h: Any, c: Any, settings: FixedSettings, dtype: Any = np.float64
) -> FixedTrace:
    """Run a model in floats and in integers."""
    return beside(run(model, x, h, c, dtype=dtype), settings)


seeds = st.integers(0, 10_000)


def model_of(cell: Cell, seed: int = 0, **sizes: int) -> Model:
    return Model.single(random_weights(cell, seed=seed, **sizes))


# ---- an integer port, written in plain Python: what the package must compute to the bit


Ints = list[int]


@dataclass
class Port:
    """An LSTM as a port in C would be written: shifts, sums and a clamp, one unit at a time."""

    W: Mapping[str, Sequence[Ints]]  # columns h, then x
    b: Mapping[str, Ints]
    bits: Mapping[str, int]  # the fraction bits of each kind
    width: int
    floor: bool = False
    wrap: bool = False

    def shifted(self, accumulator: int, down: int) -> int:
        if down <= 0:
            return accumulator << -down
        half = 0 if self.floor else 1 << (down - 1)
        return (accumulator + half) >> down

    def clamped(self, value: int) -> int:
        top = 1 << (self.width - 1)
        if self.wrap:
            value &= (1 << self.width) - 1
            return value - (1 << self.width) if value >= top else value
        return min(max(value, -top), top - 1)

    def function(self, name: str, value: int, from_bits: int) -> int:
        with mpmath.workdps(60):
            z = mpmath.mpf(value) / 2**from_bits
            exact = mpmath.tanh(z) if name == "tanh" else 1 / (1 + mpmath.exp(-z))
            scaled = exact * 2 ** self.bits["gates"]
            return self.clamped(int(mpmath.floor(scaled if self.floor else scaled + 0.5)))

    def step(self, x: Ints, h: Ints, c: Ints) -> dict[str, Ints]:
        n = self.bits
        wide = max(n["state"], n["input"])
        seen = [v << (wide - n["state"]) for v in h] + [v << (wide - n["input"]) for v in x]
        wide += n["weights"]
        z: dict[str, Ints] = {k: [] for k in "figo"}
        for k in "figo":
            for row, bias in zip(self.W[k], self.b[k], strict=True):
                accumulator = sum(w * v for w, v in zip(row, seen, strict=True))
                up = max(wide, n["bias"])
                accumulator = (accumulator << (up - wide)) + (bias << (up - n["bias"]))
                z[k].append(self.clamped(self.shifted(accumulator, up - n["sum"])))
        gate = {
            k: [self.function("tanh" if k == "g" else "sigmoid", v, n["sum"]) for v in z[k]]
            for k in "figo"
        }
        new, shown = [], []
        for j in range(len(c)):
            kept = gate["f"][j] * c[j]  # gates + cell fraction bits
            written = gate["i"][j] * gate["g"][j]  # twice the gates'
            up = n["gates"] + max(n["cell"], n["gates"])
            accumulator = (kept << (up - n["gates"] - n["cell"])) + (
                written << (up - 2 * n["gates"])
            )
            new.append(self.clamped(self.shifted(accumulator, up - n["cell"])))
            out = gate["o"][j] * self.function("tanh", new[j], n["cell"])
            shown.append(self.clamped(self.shifted(out, 2 * n["gates"] - n["state"])))
        return {**{f"z_{k}": z[k] for k in "figo"}, **gate, "c": new, "h": shown}


SPECS = {
    "all alike": ("Q3.12", 16),
    "by kind": ("Q3.12,weights=Q1.14,gates=Q0.15,sum=Q4.11,input=Q2.13,bias=Q2.13,cell=Q4.11,state=Q0.15", 16),
    "wide sums": ("Q7.24", 32),
    "int8": ("Q3.4,gates=Q0.7,weights=Q0.7,state=Q0.7", 8),
    "int32, past int64": ("Q0.31,sum=Q7.24,cell=Q3.28,input=Q1.30", 32),
}  # fmt: skip


@pytest.mark.parametrize("floor", [False, True], ids=["nearest", "floor"])
@pytest.mark.parametrize("wrap", [False, True], ids=["saturate", "wrap"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_integers_are_those_of_a_port_in_plain_python(
    spec: tuple[str, int], wrap: bool, floor: bool
) -> None:
    """Every integer of every row and step is that of shifts and sums written out by hand."""
    text, width = spec
    made = FixedSettings.parse(
        text, "floor" if floor else "nearest", "wrap" if wrap else "saturate"
    )
    bits = {kind: each.fraction_bits for kind, each in made.formats.items()}
    for seed, scale in ((0, 1.0), (1, 3.0)):
        model = model_of(LSTM, seed)
        x, h, c = (scale * array for array in random_inputs(model.first, 6, seed=seed + 5))
        trace = run_fixed(model, x, h, c, made)

        def given(kind: str, values: Array, bits: Mapping[str, int] = bits) -> list[Ints]:
            port = Port({}, {}, bits, width, floor, wrap)
            rows = np.atleast_2d(values).tolist()
            half = 0 if floor else Fraction(1, 2)
            return [
                [port.clamped(math.floor(Fraction(v) * 2 ** bits[kind] + half)) for v in row]
                for row in rows
            ]

        arrays = model.first.arrays
        port = Port(
            {k: given("weights", arrays[f"W_{k}"]) for k in "figo"},
            {k: given("bias", arrays[f"b_{k}"])[0] for k in "figo"},
            bits, width, floor, wrap,
        )  # fmt: skip
        (states,), (cells,) = given("state", h), given("cell", c)
        for t, inputs in enumerate(given("input", x)):
            values = port.step(inputs, states, cells)
            for symbol, expected in values.items():
                assert trace.layers[0].values[symbol][t].tolist() == expected, (symbol, t)
            states, cells = values["h"], values["c"]


# ---- runs


def errors(trace: FixedTrace) -> dict[str, float]:
    return {each.symbol: each.worst.error for each in compare_symbols(trace)}


@pytest.mark.parametrize("name", WITNESS_SPECS)
def test_a_fine_format_is_as_good_as_the_float_run(name: str) -> None:
    """With 24 fraction bits every cell there is comes within 1e-6 of its float run."""
    model = model_of(spec_cell(name), seed=2)
    x, h, c = random_inputs(model.first, 5, seed=3)
    trace = run_fixed(model, x, h, c, FixedSettings.parse("Q7.24"))
    assert trace.first_overflow is None
    assert max(errors(trace).values()) < 1e-6
    coarse = run_fixed(model, x, h, c, FixedSettings.parse("Q7.8"))
    assert max(errors(coarse).values()) > 100 * max(errors(trace).values())


@pytest.mark.parametrize("name", sorted(n for n in FUNCTIONS if FUNCTIONS[n].activation))
def test_a_gate_is_its_function_rounded_once(name: str) -> None:
    """f is the exact function of the stored z, rounded once into the gates' format."""
    cell = LSTM.edit({"f": f"{name}(z_f)"}, name="one", title="")
    model = model_of(cell, seed=4)
    x, h, c = random_inputs(model.first, 3)
    each = run_fixed(model, x, h, c, FixedSettings.parse("Q3.12,gates=Q1.20,sum=Q3.7")).layers[0]
    mine = {
        **MATHEMATICS,
        "elu": lambda z: z if z > 0 else mpmath.expm1(z), "relu": lambda z: max(z, 0),
        "affine": lambda z: z, "leaky_relu": lambda z: z if z > 0 else z * mpmath.mpf(0.01),
        "thresholded_relu": lambda z: z if z > 1 else 0, "scaled_tanh": mpmath.tanh,
        "softsign": lambda z: z / (1 + abs(z)),
        "hard_sigmoid": lambda z: min(max(mpmath.mpf(0.2) * z + 0.5, 0), 1),
        "hard_sigmoid_6": lambda z: min(max(z / 6 + mpmath.mpf(1) / 2, 0), 1),
    }  # fmt: skip
    with mpmath.workdps(60):
        for z, got in zip(each.values["z_f"].flat, each.values["f"].flat, strict=True):
            exact = mine[name](mpmath.mpf(int(z)) / 2**7) * 2**20
            assert int(got) == int(mpmath.floor(exact + mpmath.mpf(1) / 2)), name


def sums_and_gates(activation: str, seed: int = 1) -> tuple[list[int], list[int], list[int], Ints]:
    model = model_of(LSTM, seed)
    x, h, c = (4 * array for array in random_inputs(model.first, 20))
    spec = FixedSettings.parse("Q4.11,gates=Q0.15", activation=activation)
    values = run_fixed(model, x, h, c, spec).layers[0].values
    return tuple(values[k].ravel().tolist() for k in ("z_f", "f", "z_g", "g"))  # type: ignore[return-value] # four of them


@pytest.mark.parametrize("entries", [2, 3, 100, 256, 1024])
@pytest.mark.parametrize("linear", ["", ":linear"])
def test_tables_are_looked_up(entries: int, linear: str) -> None:
    """A table has its entries from -R on, 2R / N apart; it gives the nearest or the line between."""
    z_f, f, z_g, g = sums_and_gates(f"table:{entries}{linear}")
    for inputs, outputs, reach, name in ((z_f, f, 8, "sigmoid"), (z_g, g, 4, "tanh")):
        port = Port({}, {}, {"gates": 15}, 16)
        step = Fraction(2 * reach, entries)
        places = [k * step - reach for k in range(entries)]
        with mpmath.workdps(60):
            table = [
                port.clamped(int(mpmath.floor(MATHEMATICS[name](mpmath.mpf(p.numerator) / p.denominator)
                                              * 2**15 + 0.5)))
                for p in places
            ]  # fmt: skip
        for integer, got in zip(inputs, outputs, strict=True):
            z = Fraction(integer, 2**11)
            if linear:
                assert got == math.floor(on_the_line(z, places, table) + Fraction(1, 2))
            else:
                nearest = min(abs(z - place) for place in places)
                assert got in [
                    v for p, v in zip(places, table, strict=True) if abs(z - p) == nearest
                ]


def on_the_line(z: Fraction, places: list[Fraction], table: list[int]) -> Fraction:
    if z <= places[0] or z >= places[-1]:
        return Fraction(table[0] if z <= places[0] else table[-1])
    for (p, q), (v, w) in zip(pairwise(places), pairwise(table), strict=True):
        if p <= z <= q:
            return v + (z - p) / (q - p) * (w - v)
    raise AssertionError


def test_a_finer_table_is_nearer() -> None:
    """More entries come nearer to the exact values, and lines between them nearer still."""
    exact = np.array(sums_and_gates("exact")[1])
    off = [
        int(np.abs(np.array(sums_and_gates(kind)[1]) - exact).max())
        for kind in ("table:64", "table:1024", "table:256:linear")
    ]
    assert off[0] > off[1] > off[2]
    assert off[2] <= 6


def test_hard_activations_are_two_lines() -> None:
    """hard: f = 0.2 z + 0.5 cut to 0 … 1, g = z cut to ±1, in integers."""
    z_f, f, z_g, g = sums_and_gates("hard")
    for z, got in zip(z_f, f, strict=True):
        exact = min(
            max(Fraction(0.2) * Fraction(z, 2**11) + Fraction(1, 2), Fraction(0)), Fraction(1)
        )
        assert got == min(math.floor(exact * 2**15 + Fraction(1, 2)), 32767)
    for z, got in zip(z_g, g, strict=True):
        assert got == min(max(z << 4, -32768), 32767)


def test_layers_hand_integers_on() -> None:
    """The x of an upper layer is the h below, integer by integer, directions side by side."""

    def weights(inputs: int, seed: int) -> LstmWeights:
        return random_weights(LSTM, inputs=inputs, seed=seed)

    model = Model((
        Layer({"forward": weights(3, 0), "backward": weights(3, 1)}),
        Layer({"forward": weights(8, 2), "backward": weights(8, 3)}),
    ))  # fmt: skip
    x = np.random.default_rng(0).normal(size=(5, 3))
    h = np.random.default_rng(1).uniform(-1, 1, (4, 4))
    trace = run_fixed(model, x, h, 2 * h, FixedSettings.parse("Q7.24,state=Q3.12,input=Q5.10"))
    below = [each.values["h"] for each in trace.layers[:2]]
    assert str(trace.layers[2].formats["x"]) == "Q3.12"
    assert str(trace.layers[0].formats["x"]) == "Q5.10"
    for each in trace.layers[2:]:
        assert np.array_equal(each.values["x"], np.concatenate(below, axis=-1))
    for row, each in enumerate(trace.layers):
        first = 0 if each.direction == "forward" else -1
        assert np.allclose(each.reals.values["h_prev"][first], h[row], rtol=0, atol=2**-13)
    for name in ("h", "c"):
        assert np.allclose(getattr(trace.reals, name), getattr(trace.floats, name), atol=1e-3)


def test_the_input_is_compared_once() -> None:
    """x in a report is what was given: the x of an upper layer is the h below, told there."""
    model = Model(tuple(Layer({"forward": random_weights(LSTM, inputs=n, seed=n)}) for n in (3, 4)))
    x = np.array([[0.5, 0.25, -0.75], [1.0, -0.5, 0.0]])
    trace = run_fixed(model, x, None, None, FixedSettings.parse("Q3.12,state=Q3.4,weights=Q0.3"))
    (report,) = [each for each in compare_symbols(trace) if each.symbol == "x"]
    assert (report.worst.error, report.low, report.high) == (0, -0.75, 1)
    assert str(report.format) == "Q3.12"


def test_the_first_overflow_is_of_the_lowest_layer() -> None:
    """Where two layers overflow, the first overflow is that which was computed first."""
    model = Model(tuple(Layer({"forward": random_weights(LSTM, inputs=n, seed=n)}) for n in (3, 4)))
    x = 30 * np.ones((2, 3))
    trace = run_fixed(model, x, None, None, FixedSettings.parse("Q3.12,input=Q6.9,sum=Q0.3"))
    first = trace.first_overflow
    assert first is not None
    assert all(each.overflows for each in trace.layers)
    assert (first.layer, first.t, first.symbol) == (0, 1, "z_f")


@pytest.mark.parametrize("output", ["relu", "softsign"])
def test_only_what_integers_lack_is_stored_within_a_row(output: str) -> None:
    """relu(c) is exact within h; softsign(c) is a quotient, and stored as a gate first."""
    model = model_of(with_activations(LSTM, output=output))
    x, h, c = random_inputs(model.first, 6)
    spec = FixedSettings.parse("Q3.12,gates=Q1.6")
    values = run_fixed(model, x, h, c, spec).layers[0].values
    for o, cell, got in zip(
        *(values[k].ravel().tolist() for k in ("o", "c", "h")), strict=True
    ):  # fmt: skip
        real = Fraction(cell, 2**12)
        shown = max(real, Fraction(0))
        if output == "softsign":
            shown = Fraction(math.floor(real / (1 + abs(real)) * 2**6 + Fraction(1, 2)), 2**6)
        assert got == math.floor(Fraction(o, 2**6) * shown * 2**12 + Fraction(1, 2))


def test_backward_is_forward_on_the_reversed_input() -> None:
    """In integers too, the backward direction is the forward one on the reversed input."""
    weights = random_weights(LSTM)
    x, h, c = random_inputs(weights, 6)
    spec = FixedSettings.parse("Q3.12")
    backward = run_fixed(Model((Layer({"backward": weights}),)), x, h, c, spec)
    forward = run_fixed(Model.single(weights), x[::-1], h, c, spec)
    for symbol in ("x", "h_prev", "c_prev", *LSTM.symbols):
        there = backward.layers[0].values[symbol]
        assert np.array_equal(there, forward.layers[0].values[symbol][::-1])


@settings(max_examples=30)
@given(seeds, st.sampled_from(["lstm", "peephole", "coupled-forget", "projection"]), roundings)
def test_a_stored_row_is_within_its_rounding(seed: int, name: str, rounding: Rounding) -> None:
    """Each row, computed anew from the stored values it reads, is off by less than a bit."""
    model = model_of(cell_named(name), seed)
    x, h, c = random_inputs(model.first, 3, seed=seed)
    spec = FixedSettings.parse("Q5.10,gates=Q1.12,weights=Q1.12", rounding)
    trace = run_fixed(model, x, h, c, spec)
    each = trace.layers[0]
    real = {k: each.formats[k].to_real(v) for k, v in each.parameters.items()}
    again = run(Model.single(LstmWeights(model.cell, real)), x, h, c).layers[0]
    for symbol in ("c", "f"):
        if symbol == "c":
            v = each.reals.values
            exact = v["f"] * v["c_prev"] + v["i"] * v["g"]
        else:
            exact = again.values["f"] if "z_f" not in again.values else 1 / (
                1 + np.exp(-each.reals.values["z_f"])
            )  # fmt: skip
            exact = 1 - each.reals.values["i"] if name == "coupled-forget" else exact
        off = np.abs(each.reals.values[symbol] - exact).max() / each.formats[symbol].lsb
        assert off <= (0.5 if rounding in ("nearest", "even") else 1) + 1e-9


def test_coupled_gates_are_exact() -> None:
    """1 - i is 1 << n less the integer of i: a constant has no format that could miss it."""
    model = model_of(cell_named("coupled-forget"))
    x, h, c = random_inputs(model.first, 4)
    values = run_fixed(model, x, h, c, FixedSettings.parse("Q3.12")).layers[0].values
    assert np.array_equal(values["f"], 4096 - values["i"])


def test_float32_numbers_are_given_to_both_runs() -> None:
    """With dtype float32 the integers are those of the numbers as float32."""
    model = model_of(LSTM)
    x, h, c = random_inputs(model.first, 2)
    trace = run_fixed(model, x, h, c, FixedSettings.parse("Q1.30,sum=Q4.27"), dtype=np.float32)
    assert trace.floats.dtype == np.float32
    expected = FixedFormat(1, 30).quantise(model.first.arrays["W_f"].astype(np.float32))[0]
    assert np.array_equal(trace.layers[0].parameters["W_f"], expected)


# ---- what does not fit


def test_the_first_overflow_is_found() -> None:
    """The first value that does not fit is told with its symbol, time, unit and number."""
    cell = LSTM
    arrays = {name: np.zeros([len(s) for s in dims]) for name, dims in cell.parameters.items()}
    arrays = {f"W_{k}": np.zeros((2, 4)) for k in "figo"} | {f"b_{k}": np.zeros(2) for k in "figo"}
    arrays["W_g"][1, 3] = 3.0  # unit 1 sees x[1]
    x = np.array([[0, 1], [0, 2], [0, -2.75], [0, 2.75]])
    model = Model.single(LstmWeights(cell, arrays))
    for overflow, stored in (("saturate", -32768), ("wrap", 65536 - int(8.25 * 4096))):
        spec = FixedSettings.parse("Q3.12", overflow=overflow)  # type: ignore[arg-type] # one of both
        trace = run_fixed(model, x, None, None, spec)
        first = trace.first_overflow
        assert first is not None
        assert (first.symbol, first.expression, first.t, first.index) == ("z_g", "z_g", 3, (1,))
        assert (first.value, str(first.format)) == (-8.25, "Q3.12")
        assert trace.layers[0].values["z_g"][2, 1] == stored
        counts = {each.symbol: each.overflows for each in compare_symbols(trace)}
        assert counts == dict.fromkeys(counts, 0) | {"z_g": 2}
        (report,) = [each for each in compare_symbols(trace) if each.symbol == "z_g"]
        assert (report.low, report.high, str(report.needs)) == (-8.25, 8.25, "Q4.11")
        assert (report.worst.t, report.worst.index) in ((3, (1,)), (4, (1,)))
    assert run_fixed(model, x, None, None, FixedSettings.parse("Q4.11")).first_overflow is None
    backward = Model((Layer({"backward": model.first}),))
    first = run_fixed(backward, x, None, None, FixedSettings.parse("Q3.12")).first_overflow
    assert first is not None
    assert (first.t, first.value, first.direction) == (4, 8.25, "backward")


def test_a_weight_that_does_not_fit_is_told_first() -> None:
    """Weights are stored before anything is computed, and have no time."""
    model = model_of(LSTM)
    arrays = {**model.first.arrays, "W_i": model.first.arrays["W_i"] + 0.0}
    arrays["W_i"][2, 5] = -1.5
    trace = run_fixed(Model.single(LstmWeights(LSTM, arrays)), np.ones((2, 3)), None, None,
                      FixedSettings.parse("Q3.12,weights=Q0.15"))  # fmt: skip
    first = trace.first_overflow
    assert first is not None
    assert (first.symbol, first.t, first.index, first.value) == ("W_i", None, (2, 5), -1.5)
    (report,) = [each for each in compare_parameters(trace) if each.symbol == "W_i"]
    assert (report.overflows, report.worst.index, report.worst.error) == (1, (2, 5), 0.5)
    assert report.worst.t is None


def test_an_activation_within_a_row_is_named() -> None:
    """tanh(c) is stored as a gate before it is multiplied; where it does not fit it is named."""
    arrays = {f"W_{k}": np.zeros((1, 2)) for k in "figo"}
    arrays |= {"b_f": np.array([0.0]), "b_i": np.array([-9.0]), "b_g": np.array([0.0]),
               "b_o": np.array([0.0])}  # fmt: skip
    model = Model.single(LstmWeights(LSTM, arrays))
    spec = FixedSettings.parse("Q5.10,gates=Q0.7")
    trace = run_fixed(model, [[0.0]], None, [20.0], spec)
    first = trace.first_overflow
    assert first is not None
    assert (first.symbol, first.expression, first.t) == ("h", "tanh(c)", 1)
    assert trace.layers[0].values["h"][0, 0] == (64 * 127 * 1024 + 8192) // 16384


@settings(max_examples=50)
@given(seeds, formats, st.sampled_from(["saturate", "wrap"]))
def test_nothing_leaves_its_format(seed: int, each: FixedFormat, overflow: str) -> None:
    """Whatever the format, every integer of a run is within it."""
    model = model_of(cell_named("peephole"), seed)
    x, h, c = random_inputs(model.first, 2, seed=seed)
    spec = FixedSettings(dict.fromkeys(KINDS, each), "nearest", overflow)  # type: ignore[arg-type] # one of both
    run_ = run_fixed(model, x, h, c, spec).layers[0]
    for integers in (*run_.values.values(), *run_.parameters.values()):
        assert integers.min() >= each.low
        assert integers.max() <= each.high


def test_ranges_that_no_format_holds_need_none() -> None:
    """A range past all integer bits has no format of the same width."""
    cell = LSTM.edit({"g": "1000 * z_g"}, name="hot", title="")
    model = model_of(cell)
    trace = run_fixed(model, 100 * np.ones((1, 3)), None, None, FixedSettings.parse("Q3.4"))
    reports = {each.symbol: each for each in compare_symbols(trace)}
    assert reports["g"].needs is None
    assert str(reports["h_prev"].needs) == "Q0.7"
    for text in ("exp(1000 * z_g)", "exp(1000 * z_g) - exp(1000 * z_g)"):  # inf, and nan
        odd = model_of(LSTM.edit({"g": text}, name="hot", title=""))
        trace = run_fixed(odd, 100 * np.ones((1, 3)), None, None, FixedSettings.parse("Q3.4"))
        (report,) = [each for each in compare_symbols(trace) if each.symbol == "g"]
        assert report.worst.error == math.inf
        assert not math.isfinite(report.worst.expected)
        assert report.needs is None


# ---- a user's own table


OWN = """
s = W_s @ [h_prev, x] + b_s              # a sum without the name of one
r = exp(min(s, 0)) / (1 + abs(s))        # division and exp in one row
c = r * c_prev + (1 - r) * tanh(s) / 2   # cell state
h = softsign(c) * r                      # hidden state
"""


def test_a_users_table_runs_in_integers() -> None:
    """Division and exp have a meaning too: exact until the row is stored."""
    cell = Cell("own", "", parse_table(OWN))
    assert [kind_of(symbol, cell) for symbol in "srch"] == ["sum", "gates", "cell", "state"]
    model = model_of(cell)
    x, h, c = random_inputs(model.first, 4)
    trace = run_fixed(model, x, h, c, FixedSettings.parse("Q5.26"))
    assert max(errors(trace).values()) < 1e-6
    values = run_fixed(model, x, h, c, FixedSettings.parse("Q5.10")).layers[0].values
    with mpmath.workdps(50):
        for s, r in zip(values["s"].flat, values["r"].flat, strict=True):
            z = mpmath.mpf(int(s)) / 1024
            exact = mpmath.exp(min(z, 0)) / (1 + abs(z))
            assert int(r) == int(mpmath.floor(exact * 1024 + 0.5))
        for k, (s, r) in enumerate(zip(values["s"][0], values["r"][0], strict=True)):
            tanh = mpmath.floor(mpmath.tanh(mpmath.mpf(int(s)) / 1024) * 1024 + 0.5)  # a gate
            exact = int(r) * int(values["c_prev"][0, k]) + (1024 - int(r)) * tanh / 2
            assert int(values["c"][0, k]) == int(mpmath.floor(exact / 1024 + 0.5))


def test_a_division_by_zero_has_a_place() -> None:
    """A divisor that is rounded to zero is an error with row and time, not a crash."""
    cell = LSTM.edit({"g": "z_g / z_o"}, name="own", title="")
    arrays = {
        name: np.full_like(array, 1e-5) for name, array in model_of(cell).first.arrays.items()
    }
    model = Model.single(LstmWeights(cell, arrays))
    with pytest.raises(InputError, match="division by zero") as caught:
        run_fixed(model, [[1.0, 1, 1]], None, None, FixedSettings.parse("Q3.12"))
    assert caught.value.where == "g of layer 0, forward, t = 1, in integers"


def test_batches_and_strange_numbers_are_refused() -> None:
    """One sequence of finite numbers at a time."""
    model, spec = model_of(LSTM), FixedSettings.parse("Q3.12")
    with pytest.raises(ShapeError, match="one sequence"):
        run_fixed(model, np.zeros((2, 3, 3)), None, None, spec)
    with pytest.raises(InputError, match="nan has no integer") as caught:
        run_fixed(model, [[1, 2, math.nan]], None, None, spec)
    assert caught.value.where == "x of layer 0, forward, t = 1, in integers"


def test_clips_are_exact() -> None:
    """A clip at a number that the format holds is that number's integer."""
    model = model_of(with_clip(LSTM, 0.25))
    x, h, c = (9 * array for array in random_inputs(model.first, 3))
    values = run_fixed(model, x, h, c, FixedSettings.parse("Q7.24")).layers[0].values
    with mpmath.workdps(40):
        top = int(mpmath.floor(mpmath.tanh(mpmath.mpf(1) / 4) * 2**24 + 0.5))
    assert values["g"].max() == top
