"""The fast engines against the table and the second witness: every cell, size, shape and type."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, UsageError
from lstm_cli.cell.cells import LSTM, Cell, cell_named, parse_table
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.engine import choice
from lstm_cli.engine import numpy_engine as numpy_
from lstm_cli.engine.plan import ELEMENTWISE, Product, Stage, plan_of
from lstm_cli.engine.run import run, step
from lstm_cli.engine.schedule import schedule
from tests.cases import OWN_TABLE, WITNESS_SPECS, as_witness, golden_cases, spec_cell
from tests.conftest import random_arrays, random_inputs, random_weights
from tests.engine.test_grad import deep
from tests.tools import call

ENGINES = ["numpy"]
# A user's own tables: joins of all kinds, divisions, constants as rows, products of products.
ODD = {
    "joins": OWN_TABLE,
    "no state": "c = W_c @ x\nh = c",
    "no product of h": "c = 0.5 * c_prev + W_c @ x\nh = c",
    "one row for both": "a = tanh(W_a @ [h_prev, x])\nc = a\nh = a",
    "states as they were": """
        c = c_prev
        h = h_prev
        a = W_a @ x
        q = p_q * h
        r = p_r * c
        j = [x, h, c_prev]
        k = heaviside(W_k @ j)
    """,
    "inputs as states": """
        c = x
        h = x
        u = b_u
        v = W_v @ b_u - W_w @ [h_prev, c_prev]
        w = -v
        y = x * h_prev + b_y - (2 + 3) * elu(h_prev, 0.4)
    """,
    "subtracted": """
        z = b_z - W_z @ [x, h_prev] - p_z * c_prev - 0.25
        s = W_s @ h_prev + 0.5
        c = tanh(z) * hard_sigmoid_6(s) - c_prev
        h = clip(c, -0.4, 0.5)
    """,
    "parts that are rows": """
        r = W_r @ h_prev
        s = W_s @ x
        z = r + s
        c = sigmoid(z) + c_prev
        h = tanh(c)
    """,
    "named parts": """
        r = W_r @ h_prev
        s = W_s @ x
        z = r + s + b_z
        u = r - s
        c = sigmoid(z) + sigmoid(u) * c_prev
        h = tanh(c)
    """,
}


def odd_weights(name: str) -> LstmWeights:
    cell = Cell(name, "", parse_table(ODD[name]))
    sizes = {"I": 3, "H": 4, "P": 2, "rows of U_x": 2, "rows of W_k": 5, "size of b_u": 2}
    atoms = {atom for shape in cell.shapes.values() for size in shape for atom in size}
    return LstmWeights(cell, random_arrays(cell, {a: sizes.get(a, 4) for a in atoms}, seed=3))


def weights_of(name: str) -> LstmWeights:
    return odd_weights(name) if name in ODD else random_weights(spec_cell(name), seed=3)


def worst(got: Array, wanted: Array) -> float:
    """Return the largest difference, as a share of what a number is or of 1."""
    assert got.shape == wanted.shape
    return float(np.max(np.abs(got - wanted) / np.maximum(1, np.abs(wanted)), initial=0))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("lead", [(), (1,), (7,), (600,), (2, 3)])
@pytest.mark.parametrize("name", [*WITNESS_SPECS, *ODD])
def test_every_cell_is_the_tables(name: str, lead: tuple[int, ...], engine: str) -> None:
    """Every value of every row, at 1 and 20 steps, in batches of all shapes, is the table's."""
    weights = weights_of(name)
    for steps in (1, 20):
        x, h, c = random_inputs(weights, steps, lead)
        table = run(Model.single(weights), x, h, c, engine="table").layers[0].values
        fast = run(Model.single(weights), x, h, c, engine=engine)
        assert fast.engine == engine
        assert list(fast.layers[0].values) == list(table)
        for symbol, wanted in table.items():
            assert worst(fast.layers[0].values[symbol], wanted) < 1e-12, symbol


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("lead", [(), (7,)])
@pytest.mark.parametrize("name", [*WITNESS_SPECS, *ODD])
def test_float32_is_float32_throughout(name: str, lead: tuple[int, ...], engine: str) -> None:
    """In float32 every value is one, and a few of its roundings from the table's float64."""
    weights = weights_of(name)
    x, h, c = (each.astype(np.float32) for each in random_inputs(weights, 5, lead))
    table = run(Model.single(weights), x, h, c, engine="table").layers[0].values
    fast = run(Model.single(weights), x, h, c, engine=engine, dtype=np.float32).layers[0].values
    for symbol, wanted in table.items():
        assert fast[symbol].dtype == np.float32
        assert worst(fast[symbol], wanted) < 5e-6, symbol


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", WITNESS_SPECS)
def test_every_cell_is_the_witness(name: str, engine: str) -> None:
    """Each of three samples has the gates and states that the second witness computes for it."""
    weights = weights_of(name)
    x, h, c = random_inputs(weights, 12, (3,))
    fast = run(Model.single(weights), x, h, c, engine=engine)
    witness = as_witness(weights, **WITNESS_SPECS[name])
    for n in range(3):
        made = witness.run(x[n].tolist(), h[n].tolist(), c[n].tolist())
        for symbol in "figoch":
            wanted = np.array([each[symbol] for each in made])
            assert worst(fast[symbol][n], wanted) < 1e-12, symbol


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: case.id)
def test_numbers_of_other_projects_are_met(case: Any, engine: str) -> None:
    """Every golden of another framework, stacks and both directions among them, is met."""
    trace = run(case.model(), case.x, case.h, case.c, engine=engine)
    assert case.difference(trace) <= case.atol


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("lead", [(), (2,)])
def test_layers_and_directions(lead: tuple[int, ...], engine: str) -> None:
    """A stack of both directions, told in input time, is the table's."""
    model, x, h, c = deep(lead)
    table, fast = (run(model, x, h, c, engine=each) for each in ("table", engine))
    for one, other in zip(fast.layers, table.layers, strict=True):
        assert (one.layer, one.direction) == (other.layer, other.direction)
        for symbol, wanted in other.values.items():
            assert worst(one.values[symbol], wanted) < 1e-12
    for symbol in ("h", "c", "output"):
        assert worst(getattr(fast, symbol), getattr(table, symbol)) < 1e-12


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("name", ["lstm", "peephole+projection", "joins", "clip", "named parts"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_what_is_not_finite_spreads_as_in_the_table(
    name: str, lead: tuple[int, ...], engine: str, value: float
) -> None:
    """nan and inf, in x, h or c, reach the same values as in the table, and no others."""
    weights = weights_of(name)
    for place in range(3):
        given = [each.copy() for each in random_inputs(weights, 4, lead)]
        given[place].reshape(-1, given[place].shape[-1])[0, 1] = value
        table = run(Model.single(weights), *given, engine="table").layers[0].values
        fast = run(Model.single(weights), *given, engine=engine).layers[0].values
        for symbol, wanted in table.items():
            got = fast[symbol]
            assert np.array_equal(np.isnan(got), np.isnan(wanted)), symbol
            assert np.array_equal(got[np.isinf(got)], wanted[np.isinf(wanted)]), symbol


@pytest.mark.parametrize("samples", [1, 9])
def test_the_cuts_change_nothing_but_roundings(
    monkeypatch: pytest.MonkeyPatch, samples: int
) -> None:
    """However steps and units are cut to fit the cache, the answer is the same."""
    weights = random_weights(cell_named("peephole+projection"), 3, 11, 5)
    given = random_inputs(weights, 23, (samples,))
    whole = run(Model.single(weights), *given, engine="numpy").layers[0].values
    monkeypatch.setattr(numpy_, "CACHE_BYTES", 500)
    monkeypatch.setattr(numpy_, "MOST_EARLY", 5)
    cut = run(Model.single(weights), *given, engine="numpy").layers[0].values
    for symbol, wanted in whole.items():
        assert worst(cut[symbol], wanted) < 1e-14


def sigmoid_of(z: Array, dtype: type) -> Array:
    """Return σ(z) as the NumPy engine computes it, through a cell whose f is σ of its input."""
    cell = Cell("only", "", parse_table("f = sigmoid(W_f @ x)\nc = f\nh = tanh(c)"))
    weights = LstmWeights(cell, {"W_f": np.ones((1, 1))})
    one = run(Model.single(weights), z[:, None], dtype=dtype, engine="numpy")["f"][:, 0]
    many = run(Model.single(weights), z[:, None, None], dtype=dtype, engine="numpy")["f"][:, 0, 0]
    assert np.array_equal(one, many)
    return one


@pytest.mark.parametrize(
    ("low", "high"), [(-3, 3), (-17, -3), (-87, -17), (-88.7, -87), (-103, -88), (3, 100)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_within_four_ulp(dtype: type, low: float, high: float) -> None:
    """σ is within 4 units in the last place of the exact value, among subnormals too."""
    scale = 1.0 if dtype == np.float32 else 709.8 / 88.73
    z = np.random.default_rng(7).uniform(low * scale, high * scale, 400).astype(dtype)
    got = sigmoid_of(z, dtype)
    with mpmath.workdps(60):
        for number, value in zip(z.tolist(), got.tolist(), strict=True):
            exact = 1 / (1 + mpmath.exp(-mpmath.mpf(number)))
            unit = float(np.spacing(dtype(float(exact))))
            assert abs(mpmath.mpf(value) - exact) <= 4 * unit, number


def test_a_gate_that_is_shut_is_no_zero() -> None:
    """Where exp(-z) overflows, σ(z) is the small number that it is, beside gates as usual."""
    z = np.array([-720.0, 0.5, -709.9, 3.0])
    exact = [float(mpmath.exp(-720)), 1 / (1 + np.exp(-0.5)), float(mpmath.exp("-709.9")), 1 / (1 + np.exp(-3))]  # fmt: skip
    assert np.allclose(sigmoid_of(z, np.float64), exact, rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", [*WITNESS_SPECS, *ODD])
def test_a_plan_keeps_what_it_promises(name: str) -> None:
    """Each value is made once and before it is read; widths agree; functions are primitives."""
    plan = plan_of(weights_of(name))
    given = {k for k, value in enumerate(plan.values) if value.number is not None or value.name}
    made: list[int] = []
    for stage, program in zip(Stage, (plan.once, plan.inputs, plan.steps), strict=True):
        for entry in program:
            if isinstance(entry, Product):
                assert {entry.vector} <= given | set(made)
                own = [piece.out for piece in entry.pieces]
                for piece in entry.pieces:
                    assert piece.end - piece.begin == plan.values[entry.vector].width
            else:
                assert set(entry.arguments) <= given | set(made)
                own = [entry.out]
                widths = [plan.values[each].width for each in entry.arguments]
                if entry.function == "concat":
                    assert sum(widths) == plan.values[entry.out].width
                else:
                    assert entry.function in ELEMENTWISE
                    assert set(widths) <= {0, plan.values[entry.out].width}
            assert all(plan.values[out].stage == stage for out in own)
            made += own
    assert len(set(made)) == len(made)
    assert set(made) | given == set(range(len(plan.values)))
    assert list(plan.rows) == ["x", "h_prev", "c_prev", *plan.cell.symbols]


def test_a_users_names_are_no_part_of_a_plan() -> None:
    """Two tables that differ in the names of rows alone have the same programs."""
    text = "{z} = W_z @ [h_prev, x] + b_z\n{k} = tanh({z})\nc = {k} + c_prev\nh = {k} * c"
    names = [{"z": "z", "k": "k"}, {"z": "exec", "k": "v0"}]
    plain, hostile = (
        plan_of(random_weights(Cell("own", "", parse_table(text.format(**each))))) for each in names
    )
    assert list(hostile.rows)[3:5] == ["exec", "v0"]
    assert hostile.values == plain.values
    assert (hostile.inputs, hostile.steps) == (plain.inputs, plain.steps)
    assert list(hostile.rows.values()) == list(plain.rows.values())


def test_the_lstm_is_one_product_a_step() -> None:
    """With samples a step of the LSTM is one product, two calls for its gates, and what follows."""
    made = schedule(plan_of(random_weights(LSTM)), fused=True)
    assert made.early == ()
    assert [call.function for call in made.steps] == [
        "@", "sigmoid", "tanh", "*", "*", "+", "tanh", "*",
    ]  # fmt: skip
    assert made.steps[1].out.count == 3


def test_small_runs_are_the_tables_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` takes the table up to a size, and past it an engine that the trace names."""
    monkeypatch.delenv(choice.ENVIRONMENT, raising=False)
    weights = random_weights(LSTM)
    small, large = (random_inputs(weights, 3, (n,)) for n in (5, choice.SMALL // 12 + 1))
    model = Model.single(weights)
    auto, table = run(model, *small), run(model, *small, engine="table")
    assert auto.engine == "table"
    assert all(np.array_equal(auto[k], table[k]) for k in LSTM.symbols)
    assert run(model, *large).engine in ("numpy", "numba")
    assert run(model, *large, engine="table").engine == "table"


def test_of_many_runs_a_small_one_takes_the_engine_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside a large run small ones are fast, beside small ones NumPy's, tiny ones the table's."""
    monkeypatch.delenv(choice.ENVIRONMENT, raising=False)
    small, large = choice.LITTLE + 1, choice.SMALL + 1
    assert choice.choose_engine("auto", small, np.float64) == "table"
    assert choice.choose_engine("auto", small, np.float64, beside=small) == "numpy"
    assert choice.choose_engine("auto", small, np.float64, beside=large) == choice.FAST
    assert choice.choose_engine("auto", choice.LITTLE, np.float64, beside=large) == "table"
    assert choice.choose_engine("table", large, np.float64, beside=large) == "table"
    assert choice.choose_engine("auto", large, "float32", beside=large) == "table"
    assert choice.choose_engine("fast", large, "float32", beside=large) == choice.FAST


@pytest.mark.parametrize("lead", [(), (300,)])
def test_float32_is_the_tables_whatever_follows(
    lead: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 a step's numbers are the same whether few steps follow or many."""
    monkeypatch.delenv(choice.ENVIRONMENT, raising=False)
    size, steps = 64, choice.SMALL // 128 + 1
    weights = random_weights(LSTM, size, size)
    model = Model((
        Layer({"forward": weights}), Layer({"forward": random_weights(LSTM, size, size, seed=2)}),
    ))  # fmt: skip
    x, h, c = random_inputs(weights, steps, lead)
    states = [np.stack([each, each / 2]) for each in (h, c)]
    short = run(model, x[..., :3, :], *states, dtype="float32")
    long = run(model, x, *states, dtype=np.float32)
    assert (short.engine, long.engine) == ("table", "table")
    for few, many in zip(short.layers, long.layers, strict=True):
        for symbol, values in few.values.items():
            np.testing.assert_array_equal(values, many.values[symbol][..., :3, :])


@pytest.mark.parametrize("asked", ["numpy", "fast"])
def test_another_engine_is_asked_for_in_float32(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine named in the call, by the command or in the environment runs float32 as well."""
    monkeypatch.delenv(choice.ENVIRONMENT, raising=False)
    fast = {"numpy": {"numpy"}, "fast": {"numpy", "numba"}}[asked]
    model = Model.single(random_weights(LSTM))
    assert step(model, [1, 2, 3], dtype="float32", engine=asked).engine in fast
    options = ["--x", "1,2", "--dtype", "float32", "--json"]
    assert call(*options, "--engine", asked).json["engine"] in fast
    assert call(*options).json["engine"] == "table"
    monkeypatch.setenv(choice.ENVIRONMENT, asked)
    assert step(model, [1, 2, 3], dtype=np.float32).engine in fast
    assert call(*options).json["engine"] in fast


def test_the_environment_decides_for_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    """LSTM_STEP_ENGINE forces an engine where none is named, and is refused by its own name."""
    model = Model.single(random_weights(LSTM))
    monkeypatch.setenv(choice.ENVIRONMENT, "numpy")
    assert step(model, [1, 2, 3]).engine == "numpy"
    assert step(model, [1, 2, 3], engine="table").engine == "table"
    monkeypatch.setenv(choice.ENVIRONMENT, "numpie")
    with pytest.raises(UsageError, match="unknown engine 'numpie'") as caught:
        step(model, [1, 2, 3])
    assert choice.ENVIRONMENT in caught.value.where
    assert "did you mean 'numpy'?" in caught.value.hint


def test_numba_is_asked_for_by_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without numba its engine is refused with the line that installs it, and `auto` does well."""
    monkeypatch.setattr(choice, "numba_available", lambda: False)
    monkeypatch.delenv(choice.ENVIRONMENT, raising=False)
    weights = random_weights(LSTM)
    given = random_inputs(weights, 3, (choice.SMALL // 12 + 1,))
    with pytest.raises(InputError) as caught:
        run(Model.single(weights), *given, engine="numba")
    assert "pip install 'lstm-cli[fast]'" in caught.value.hint
    assert run(Model.single(weights), *given).engine == "numpy"


def test_a_batch_of_none_is_empty() -> None:
    """No samples give no answers, whatever the engine."""
    trace = run(Model.single(random_weights(LSTM)), np.empty((0, 4, 3)), engine="numpy")
    assert trace.output.shape == (0, 4, 4)


def test_a_trace_does_not_change_with_what_it_was_made_from() -> None:
    """Values that share memory cannot be written, and x is the trace's own."""
    x = np.ones((4, 3))
    trace = run(Model.single(random_weights(LSTM)), x, engine="numpy")
    x[:] = 7
    assert np.all(trace["x"] == 1)
    with pytest.raises(ValueError, match="read-only"):
        trace.layers[0].values["h"][0] = 0


def test_memory_is_used_again_only_when_nobody_has_it() -> None:
    """A run takes the memory of one that is gone, never that of one that is kept."""
    weights = random_weights(LSTM, 3, 64)
    given = random_inputs(weights, 30, (40,))
    model = Model.single(weights)
    kept = run(model, *given, engine="numpy")
    before = {symbol: kept[symbol].copy() for symbol in LSTM.symbols}
    last = run(model, *given, engine="numpy").layers[0].values["f"]
    wanted = last.copy()
    for _ in range(3):
        run(model, *(2 * each for each in given), engine="numpy")
    assert all(np.array_equal(kept[symbol], value) for symbol, value in before.items())
    assert np.array_equal(last, wanted)
    waiting = sum(block.nbytes for block in numpy_._waiting.values())
    assert waiting <= numpy_.MOST_BYTES


def test_the_command_names_its_engine() -> None:
    """`--engine` chooses; JSON has the name, and the table's head where it is not the table."""
    options = ["--x", "1,2", "--engine"]
    assert call(*options, "numpy", "--json").json["engine"] == "numpy"
    assert call(*options, "table", "--json").json["engine"] == "table"
    assert "engine numpy" in call(*options, "numpy", "-f", "table").out
    assert "engine" not in call(*options, "table", "-f", "table").out
    assert ", engine numpy */" in call(*options, "numpy", "-f", "c").out
    for form in ("csv", "plain", "jsonl", "markdown"):
        assert "engine: numpy\n" in call(*options, "numpy", "-f", form).err
        assert "engine" not in call(*options, "table", "-f", form).err


# How far the last bits of a step may follow what else is run: the README's numbers.
FOLLOWS = {("table", "float64"): 1e-14, ("table", "float32"): 0.0, ("numpy", "float64"): 1e-14,
           ("numpy", "float32"): 1e-5, ("numba", "float64"): 0.0, ("numba", "float32"): 0.0}  # fmt: skip


@pytest.mark.parametrize(("engine", "dtype"), FOLLOWS)
def test_what_a_step_is_hardly_depends_on_what_else_is_run(engine: str, dtype: str) -> None:
    """The first step is the same to the bit whatever follows, but for NumPy's sums of a few rows.

    Of many samples run together, each is what it is alone, to the last bits that the README says.
    """
    weights = random_weights(LSTM, 100, 33)
    model = Model.single(weights)
    x, h, c = random_inputs(weights, 300)
    whole = run(model, x, h, c, dtype=dtype, engine=engine)
    many, h0, c0 = random_inputs(weights, 20, (40,))
    together = run(model, many, h0, c0, dtype=dtype, engine=engine)
    room = FOLLOWS[engine, dtype]
    for steps in (1, 2, 7, 64, 257):
        part = run(model, x[:steps], h, c, dtype=dtype, engine=engine)
        for symbol, values in part.items():
            allowed = room if engine == "numpy" else 0.0
            assert np.abs(values[0] - whole[symbol][0]).max() <= allowed
    for k in (0, 7, 39):
        alone = run(model, many[k], h0[k], c0[k], dtype=dtype, engine=engine)
        for symbol, values in alone.items():
            assert np.abs(values - together[symbol][k]).max() <= room


def test_numba_is_taken_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` takes numba where its code is compiled or the run is long, else NumPy."""
    plan, asked = plan_of(random_weights(LSTM)), []

    class Compiled:
        ready = False

        def is_ready(self, plan: Any, dtype: Any) -> bool:
            asked.append(dtype)
            return self.ready

    compiled = Compiled()
    monkeypatch.setattr(choice, "numba_available", lambda: True)
    monkeypatch.setattr("lstm_cli.engine.numba_engine.is_ready", compiled.is_ready)
    assert choice._better(plan, 1, 1000, np.dtype(np.float32)) == "numpy"
    assert choice._better(plan, 1, 10**7, np.dtype(np.float32)) == "numba"
    assert choice._better(plan, 10**4, 10**4, np.dtype(np.float32)) == "numba"
    compiled.ready = True
    assert choice._better(plan, 1, 1000, np.dtype(np.float32)) == "numba"
    assert asked
