"""The page in a real browser: its numbers are the engine's, and it answers what one does to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.numbers import decimals, typeset
from lstm_cli.cell.cells import LSTM, Cell, parse_table
from lstm_cli.cell.equations import evaluate
from lstm_cli.cell.notation import UNICODE
from lstm_cli.cell.presets import preset_model
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.commands.report.page import PageView
from lstm_cli.engine.run import LayerTrace, Trace, run
from lstm_cli.formats.read import read_weights
from lstm_cli.show.arithmetic import MOST_TERMS, RowReader, known_at, stages_of, work_out
from lstm_cli.show.circuit import draw
from tests.cases import WITNESS_SPECS, as_witness, spec_cell
from tests.conftest import random_arrays, random_inputs, random_weights

pytestmark = pytest.mark.browser
Open = Callable[..., Any]

# A table of nobody's: joins, divisions, a state that is read in many places.
OWN = """
q = sigmoid(b_q)
n = W_n @ [tanh(U_x @ x), h_prev / (1 + abs(c_prev)), x]
m = max(n, q) * exp(-n) + p_m * min(c_prev, n)
k = tanh(W_k @ (0.5 + 0 * c_prev))
c = q * c_prev + (1 - q) * m
h = tanh(W_c @ [c, [m, c]]) * k - 0.5 * softsign(c)
"""


def own_weights() -> LstmWeights:
    sizes = {"I": 2, "H": 3, "P": 3, "rows of U_x": 2}
    cell = Cell("own", "", parse_table(OWN))
    return LstmWeights(cell, random_arrays(cell, sizes, seed=9))


def trace_of(weights: LstmWeights, steps: int = 4, **how: Any) -> Trace:
    return run(Model.single(weights), *random_inputs(weights, steps), **how)


def question() -> Trace:
    """Return the five-unit step of the README."""
    model = preset_model("identity", LSTM, sizes={"I": 5, "H": 5})
    return run(model, [[-0.1, 0.3, 0.1, -0.25, 0.1]], [0, 0.5, 0.1, 0.2, 0.6])


def two_layers_both_ways() -> Trace:
    weights = [random_weights(spec_cell(name), inputs, seed=seed)
               for name, inputs, seed in (("lstm", 3, 1), ("lstm", 3, 2), ("peephole", 8, 3),
                                          ("peephole", 8, 4))]  # fmt: skip
    layers = tuple(
        Layer({"forward": one, "backward": other}) for one, other in (weights[:2], weights[2:])
    )
    rng = np.random.default_rng(6)
    states = rng.uniform(-0.8, 0.8, (2, 4, weights[0].hidden_size))
    return run(Model(layers), rng.uniform(-1, 1, (6, 3)), *states)


def assert_same(
    shown: Mapping[str, list[float]], expected: Mapping[str, Any], symbols: Any = None
) -> None:
    for symbol in symbols or expected:
        np.testing.assert_allclose(
            shown[symbol], expected[symbol], rtol=1e-12, atol=1e-12, err_msg=symbol
        )


def assert_every_step(tab: Any, trace: Trace) -> None:
    """Read every number out of the running page."""
    assert tab.evaluate("lstmStep.runs") == len(trace.layers)
    for place, each in enumerate(trace.layers):
        for t in range(1, each.steps + 1):
            assert_same(tab.evaluate(f"lstmStep.step({place}, {t})"), each.at(t))


# ---- the numbers


@pytest.mark.parametrize("name", WITNESS_SPECS)
def test_every_cells_numbers_are_the_engines(opened: Open, name: str) -> None:
    """The page computes each variant's rows from its table, to 1e-12, at every step."""
    trace = trace_of(random_weights(spec_cell(name), seed=3))
    assert_every_step(opened(trace), trace)


def test_the_numbers_are_the_second_witnesses(opened: Open) -> None:
    """What the page computes is what scalar loops that share no code compute."""
    weights = random_weights(spec_cell("peephole"), seed=8)
    x, h, c = random_inputs(weights, 5)
    tab = opened(run(Model.single(weights), x, h, c))
    made = as_witness(weights).run(x.tolist(), h.tolist(), c.tolist())
    for t, step in enumerate(made, 1):
        assert_same(tab.evaluate(f"lstmStep.step(0, {t})"), step, "figohc")


def test_a_table_of_ones_own(opened: Open) -> None:
    """A user's table is drawn and computed as any other."""
    trace = trace_of(own_weights())
    tab = opened(trace)
    assert_every_step(tab, trace)
    assert tab.locator(".circuit [data-key=m]").count()


def test_layers_and_directions_are_tabs(opened: Open) -> None:
    """Each layer and direction has a tab with its own numbers; a layer reads the one below."""
    trace = two_layers_both_ways()
    tab = opened(trace)
    assert_every_step(tab, trace)
    titles = tab.locator("#tabs button").all_inner_texts()
    assert titles == ["layer 0 forward", "layer 0 backward", "layer 1 forward", "layer 1 backward"]
    tab.locator("#tabs button").nth(3).click()
    assert (
        tab.locator(".drawing svg:visible polyline.feed").count() == 3
    )  # the peepholes of layer 1
    assert_circuit(tab, trace.layers[3], 1, 0)
    tab.keyboard.press("]")
    assert tab.locator("#tabs [aria-selected=true]").inner_text() == "layer 0 forward"


def test_layers_of_other_sizes_have_drawings_of_their_own(opened: Open) -> None:
    """Each layer has a small square a number, no more and no fewer than it has numbers."""
    weights = [random_weights(LSTM, inputs, units, seed=units)
               for inputs, units in ((7, 5), (5, 2), (2, 4))]  # fmt: skip
    model = Model(tuple(Layer({"forward": each}) for each in weights))
    rng = np.random.default_rng(2)
    trace = run(model, rng.uniform(-1, 1, (3, 7)))
    tab = opened(trace)
    for place, each in enumerate(trace.layers):
        tab.locator("#tabs button").nth(place).click()
        for symbol in ("x", "f", "c", "h"):
            squares = tab.locator(f".drawing svg:visible .label[data-key={symbol}] [data-unit]")
            fills = [square.get_attribute("fill") for square in squares.all()]
            assert len(fills) == each.values[symbol].shape[-1]
            assert "rgb(255 0 255)" not in fills  # the colour of what is no number


def test_a_projection_to_one_number_is_unit_0s_alone(opened: Open) -> None:
    """Where h has one number and c has many, the other units have no h to show."""
    cell = spec_cell("projection")
    weights = LstmWeights(cell, random_arrays(cell, {"I": 2, "H": 4, "P": 1}, seed=3))
    tab = opened(trace_of(weights), PageView(unit=3))
    assert tab.locator("#rows tr[data-symbol=h] .value").inner_text() == "–"
    assert tab.locator(".circuit [data-number=h]").text_content() == "–"
    assert tab.locator("#worked li").all_inner_texts() == ["no such unit: the last is 0"]
    assert tab.locator("#rows tr[data-symbol=c] .value").inner_text() != "–"


def test_single_precision_is_rounded_row_by_row(opened: Open) -> None:
    """A run in float32 has each named value rounded, as the engine does it."""
    weights = random_weights(spec_cell("lstm"), seed=4)
    trace = trace_of(weights, dtype=np.float32)
    shown = opened(trace).evaluate("lstmStep.step(0, 2)")
    for symbol, values in trace.layers[0].at(2).items():
        np.testing.assert_allclose(shown[symbol], values, rtol=2.0**-23, atol=1e-30)
        assert np.array_equal(np.float32(shown[symbol]), np.array(shown[symbol]))


def assert_circuit(tab: Any, each: LayerTrace, t: int, unit: int) -> None:
    """Every number that stands in the drawing is that of the engine, of this step and unit."""
    drawing = draw(each.cell)
    known = {**each.weights.arrays, **each.at(t)}
    texts = tab.locator(".drawing svg:visible [data-number]")
    assert texts.count() == len(drawing.labels)
    for text in texts.all():
        key = text.get_attribute("data-number")
        if key == "x":
            continue
        value = np.atleast_1d(evaluate(drawing.nodes[key], known))
        if unit < len(value):
            assert text.text_content() == decimals(float(value[unit]), 4), key


def test_the_drawing_shows_this_runs_values(opened: Open) -> None:
    """Each label of the circuit, and each row of the table, has the number of unit and step."""
    trace = trace_of(random_weights(spec_cell("peephole"), seed=5))
    tab = opened(trace, PageView(unit=2, t=3))
    each = trace.layers[0]
    assert_circuit(tab, each, 3, 2)
    for line in tab.locator("#rows tbody tr").all():
        symbol = line.get_attribute("data-symbol")
        assert line.locator(".value").inner_text() == decimals(each.at(3)[symbol][2], 6)


# ---- what one does to it


def test_time_and_unit_move_by_slider_key_and_strip(opened: Open) -> None:
    """The scrubber, the keys and a click into a strip go to a step and a unit."""
    model = read_weights("samples/weights/parity.npz")
    bits = np.random.default_rng(1).integers(0, 2, (50, 1)).astype(float)
    trace = run(model, bits)
    tab = opened(trace)
    tab.locator("#t").fill("17")
    assert_circuit(tab, trace.layers[0], 17, 0)
    for key in ("ArrowRight", "ArrowDown"):
        tab.keyboard.press(key)
    assert_circuit(tab, trace.layers[0], 18, 1)
    tab.keyboard.press("End")
    assert tab.locator("#t-text").inner_text() == "50 of 50"
    tab.locator("#unit").select_option("0")
    strip = tab.locator(".strip[data-symbol=f] canvas")
    box = strip.bounding_box()
    strip.click(position={"x": box["width"] * 9.5 / 50, "y": box["height"] * 0.75})
    assert_circuit(tab, trace.layers[0], 10, 1)


def test_play_goes_on_and_stops(opened: Open) -> None:
    """The space bar plays the run from the step in view, and stops it."""
    tab = opened(trace_of(random_weights(spec_cell("lstm")), steps=3), PageView(t=2))
    tab.keyboard.press("Space")
    tab.get_by_text("3 of 3").wait_for()
    tab.locator("#play[aria-label=play]").wait_for()


@pytest.mark.parametrize("name", ["x", "h_prev", "c_prev", "W_f", "b_o", "p_i", "W_hr"])
def test_sliders_recompute_the_step(opened: Open, name: str) -> None:
    """Moving an input, a state, a weight or a bias gives what the engine gives for it."""
    weights = random_weights(spec_cell("peephole+projection"), seed=7)
    trace = trace_of(weights)
    unit, t = 1, 3
    tab = opened(trace, PageView(unit=unit, t=t))
    tab.locator(f"#sliders [data-moves={name}]").click()
    box = tab.locator("#sliders input[type=number]").nth(
        1 if name != "b_o" and name != "p_i" else 0
    )
    place = int(box.get_attribute("data-edits").split(":")[1])
    box.fill("0.625")

    now = trace.layers[0].at(t)
    inputs = {symbol: now[symbol].copy() for symbol in ("x", "h_prev", "c_prev")}
    arrays = {key: array.copy() for key, array in weights.arrays.items()}
    (inputs if name in inputs else arrays)[name].reshape(-1)[place] = 0.625
    changed = Model.single(LstmWeights(weights.cell, arrays))
    expected = run(changed, inputs["x"][None], inputs["h_prev"], inputs["c_prev"]).layers[0].at(1)
    assert_same(tab.evaluate("lstmStep.now()"), expected)
    assert not np.array_equal(expected["h"], now["h"])

    moved = tab.locator("#rows tr[data-symbol=h]")
    if expected["h"][unit] != now["h"][unit]:
        assert moved.locator(".value").inner_text() == decimals(expected["h"][unit], 6)
        assert moved.locator(".was").inner_text() == decimals(now["h"][unit], 6)
    assert tab.locator("#edited").is_visible()
    tab.locator("#reset").click()
    assert_same(tab.evaluate("lstmStep.now()"), now)
    assert not tab.locator("#edited").is_visible()


def test_a_slider_that_is_dragged_is_a_number_too(opened: Open) -> None:
    """The range and the box beside it say the same, and the keyboard moves the range."""
    tab = opened(question(), PageView(unit=1))
    ranged = tab.locator("#sliders input[type=range]").nth(1)
    ranged.fill("1.5")
    assert tab.locator("#sliders input[type=number]").nth(1).input_value() == "1.5"
    x = [-0.1, 1.5, 0.1, -0.25, 0.1]
    expected = run(question().model, [x], [0, 0.5, 0.1, 0.2, 0.6]).layers[0].at(1)
    assert_same(tab.evaluate("lstmStep.now()"), expected)


def test_what_was_moved_stays_on_its_slider(opened: Open) -> None:
    """Another unit, or other sliders in between: an edit in force is the number that is shown."""
    tab = opened(question(), PageView(unit=1))
    tab.locator("#sliders input[type=number]").nth(2).fill("0.75")
    tab.locator("#sliders [data-moves=h_prev]").click()
    tab.locator("#sliders [data-moves=x]").click()
    tab.locator("#unit").select_option("3")
    assert tab.evaluate("lstmStep.now().x") == [-0.1, 0.3, 0.75, -0.25, 0.1]
    for kind in ("number", "range"):
        moved = tab.locator(f"#sliders input[type={kind}]")
        assert [each.input_value() for each in moved.all()] == [
            "-0.1",
            "0.3",
            "0.75",
            "-0.25",
            "0.1",
        ]
    assert tab.locator("#sliders .edited").count() == 1
    tab.locator("#reset").click()
    assert tab.locator("#sliders input[type=number]").nth(2).input_value() == "0.1"
    assert tab.locator("#sliders .edited").count() == 0


def test_the_pointer_shows_an_equation_with_its_numbers(opened: Open) -> None:
    """What is under the pointer is worked out: the row, its numbers put in, the textbook's σ."""
    tab = opened(question(), PageView(unit=1))
    tab.locator("#rows tr[data-symbol=f]").hover()
    panel = tab.locator("#worked")
    assert panel.locator("h2").inner_text() == "ft[1] · forget gate"
    assert panel.locator("li").all_inner_texts() == [
        "σ(0.8)", "1 / (1 + e^(−0.8))", "0.689974"
    ]  # fmt: skip
    tab.locator(".circuit .operation[data-key=c]").hover()
    assert panel.locator("li").all_inner_texts() == [
        "0.689974·0 + 0.689974·0.664037", "0.458168"
    ]  # fmt: skip
    tab.locator(".circuit .operation[data-key='i * g']").hover()
    assert panel.locator("li").all_inner_texts()[-1] == "0.458168"
    tab.locator("#rows tr[data-symbol=z_f]").hover()
    stages = panel.locator("li").all_inner_texts()
    assert stages[-1] == "0.8"
    assert "1·0.5" in stages[0]
    assert "1·0.3" in stages[0]
    assert "0·(8 numbers)" in stages[0]


# Products inside products, a joined vector that meets no matrix, gates that only have a name.
DEEP = """
z_f = W_f @ [h_prev, x] + b_f
z_i = W_i @ [h_prev, x] + U_i @ h_prev
g = W_g @ [tanh(U_g @ x), h_prev]
f = sigmoid(z_f)
i = z_i
m = W_m @ sigmoid([f, x])
c = f * c_prev + (i * g) * (i * m)
h = tanh(W_p @ tanh(W_q @ (c * f)))
"""


def deep_weights() -> LstmWeights:
    cell = Cell("deep", "", parse_table(DEEP))
    sizes = {"I": 2, "H": 3, "P": 3, "rows of U_g": 2, "rows of W_q": 4}
    return LstmWeights(cell, random_arrays(cell, sizes, seed=4))


@pytest.mark.parametrize("notation", ["joined", "split"])
@pytest.mark.parametrize("table", ["lstm", "peephole+projection", "hard-sigmoid", "own", "deep"])
def test_every_row_is_worked_out(opened: Open, table: str, notation: Any) -> None:
    """Each row and box has the stages that `explain` prints, and ends with the row's own number."""
    made = {"own": own_weights, "deep": deep_weights}
    weights = made[table]() if table in made else random_weights(spec_cell(table), seed=6)
    trace = trace_of(weights)
    tab, unit, t = opened(trace, PageView(unit=1, t=2, notation=notation)), 1, 2
    each, panel = trace.layers[0], tab.locator("#worked")
    reader = RowReader(known_at(each, t), UNICODE, notation, MOST_TERMS)
    assert_worked(tab, each, t, notation)
    nodes = draw(weights.cell).nodes
    for box in tab.locator(".circuit .operation").all():
        box.focus()
        key = box.get_attribute("data-key")
        node = weights.cell[key].expression if key in weights.cell.symbols else nodes[key]
        value = np.atleast_1d(evaluate(node, reader.known))[unit]
        *before, last = panel.locator("li").all_inner_texts()
        assert last == decimals(value, 6)
        texts = dict.fromkeys(stages_of(node, unit, reader, 6)[1:])
        assert before == [text for text in texts if text != typeset(last)]


# What rows are made of at random: names, constants, products, products in products.
LEAVES = ["c_prev", "b_c", "p_c", "h_prev", "0.5", "W_u @ [h_prev, x]", "U_v @ x"]
FORMS = ["-({0})", "tanh({0})", "sigmoid({0})", "hard_sigmoid({0}, 0.3)", "elu({0}, 0.7)",
         "clip({0}, -0.5, 0.5)", "exp(min({0}, 1))", "W_m @ ({0})", "W_n @ [{0}, x]", "2 - ({0})",
         "({0}) * -0.25", "1e-7 * ({0})", "({0}) + ({1})", "({0}) - ({1})", "({0}) * ({1})",
         "({0}) / (1 + abs({1}))", "max({0}, {1})", "1 / (1 + ({0}) * ({1}))"]  # fmt: skip


def random_table(rng: np.random.Generator, rows: int) -> str:
    """Return a table whose rows are expressions of all shapes, each used by the last two."""

    def expression(depth: int) -> str:
        if depth == 0 or rng.random() < 0.15:
            return str(rng.choice([each for each in LEAVES if each != "0.5"]))
        form = str(rng.choice(FORMS))
        return form.format(expression(depth - 1), str(rng.choice([*LEAVES, expression(depth - 1)])))

    lines = [f"r{k} = {expression(k % 4)}" for k in range(rows)]
    anchor = "0 * (W_u @ [h_prev, x] + U_v @ x + W_m @ c_prev + W_n @ [c_prev, x] + b_c + p_c)"
    total = " + ".join(f"r{k}" for k in range(rows))
    return "\n".join([*lines, f"c = c_prev + {anchor}", f"h = tanh({total}) * c"])


@pytest.mark.parametrize("seed", range(6))
def test_any_row_is_worked_out_as_explain_does(opened: Open, seed: int) -> None:
    """Rows of all shapes have the stages that `explain` prints, before and after an edit."""
    rng = np.random.default_rng(seed)
    cell = Cell("random", "", parse_table(random_table(rng, 16)))
    arrays = random_arrays(cell, {"I": 2, "H": 3, "P": 3}, seed=seed)
    arrays["W_n"] = arrays["W_n"] * [1, 0, 0, 0, 1]  # weights of zero are told by their count
    weights = LstmWeights(cell, arrays)
    how: dict[str, Any] = {"dtype": np.float32} if seed % 3 == 2 else {}
    notation: Any = ("joined", "split")[seed % 2]
    trace = trace_of(weights, 2, **how)
    tab = opened(trace, PageView(unit=1, t=2, notation=notation))
    assert_worked(tab, trace.layers[0], 2, notation)
    now = trace.layers[0].at(2)
    tab.locator("#sliders input[type=number]").first.fill("0")
    x = np.array([0, now["x"][1]])
    edited = run(trace.model, x[None], now["h_prev"], now["c_prev"], **how)
    assert_worked(tab, edited.layers[0], 1, notation)


def assert_worked(tab: Any, each: LayerTrace, t: int, notation: Any) -> None:
    """Compare every panel, of unit 1, with what `explain` makes of the row."""
    panel = tab.locator("#worked")
    for line in tab.locator("#rows tbody tr").all():
        line.hover()
        symbol = line.get_attribute("data-symbol")
        *before, last = panel.locator("li").all_inner_texts()
        assert last == line.locator(".value").inner_text()
        work = work_out(each, t, symbol, 1, notation=notation)
        assert tuple(before) == work.stages[1:-1], (symbol, work)


def test_a_part_that_fails_stops_no_other(opened: Open) -> None:
    """Where one expression cannot be worked out, that is said, and the page goes on."""
    tab = opened(question(), PageView(unit=1))
    tab.evaluate("console.error = () => {}")  # the fault below is ours
    tab.evaluate("lstmStep.parts()['i * g'].tree = ['@', 'none', 'x']")
    tab.locator("#rows tr[data-symbol=f]").hover()
    tab.locator(".circuit .operation[data-key='i * g']").focus()
    assert "cannot be shown" in tab.locator("#worked .trouble").inner_text()
    assert tab.locator("#worked li").count() == 0  # nothing of the row before
    tab.locator("#rows tr[data-symbol=i]").hover()
    assert tab.locator("#worked .trouble").count() == 0
    assert tab.locator("#worked li").last.inner_text() == "0.689974"


def test_the_keyboard_reaches_every_box(opened: Open) -> None:
    """Tab goes through the circuit, and what has the focus is worked out."""
    tab = opened(question())
    tab.locator(".circuit .operation[data-key=g]").focus()
    assert "candidate" in tab.locator("#worked h2").inner_text()
    tab.keyboard.press("?")
    assert tab.locator("#keys").is_visible()


def test_the_focus_stays_where_the_keyboard_left_it(opened: Open) -> None:
    """Choosing what to move, and another unit then, leaves the focus on the choice."""
    tab = opened(question())
    tab.locator("#sliders [data-moves=h_prev]").focus()
    for key in ("Enter", "ArrowDown", "Space"):
        tab.keyboard.press(key)
        assert tab.evaluate("document.activeElement.dataset.moves") == "h_prev"
    assert tab.locator("#sliders [data-moves=h_prev]").get_attribute("aria-checked") == "true"


# ---- looks


def test_light_dark_and_the_readers_choice(opened: Open) -> None:
    """The page follows the system, and a button overrules it."""

    def paper(tab: Any) -> str:
        return tab.evaluate("getComputedStyle(document.body).backgroundColor")

    tab = opened(question(), scheme="dark")
    dark = paper(tab)
    assert dark != paper(opened(question()))
    tab.locator("#theme").click()
    assert paper(tab) != dark
    tab.locator("#theme").click()
    assert paper(tab) == dark


@pytest.mark.parametrize("width", [400, 768, 1280, 1920])
def test_nothing_runs_out_of_the_window(opened: Open, width: int) -> None:
    """From a telephone to a projector the page scrolls down and never sideways."""
    tab = opened(trace_of(random_weights(spec_cell("peephole"), seed=5)))
    tab.set_viewport_size({"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_long_name_leaves_the_buttons_free(opened: Open) -> None:
    """The heading breaks before the buttons beside it, on any window."""
    cell = Cell("x" * 60, "", parse_table(OWN))
    tab = opened(trace_of(LstmWeights(cell, own_weights().arrays)))
    for width in (320, 400, 1280):
        tab.set_viewport_size({"width": width, "height": 800})
        buttons = tab.locator(".buttons").bounding_box()
        letters = tab.evaluate("""() => {
          const range = document.createRange();
          range.selectNodeContents(document.querySelector("h1"));
          const { right, top, bottom } = range.getBoundingClientRect();
          return { right, top, bottom };
        }""")
        beside = letters["right"] <= buttons["x"]
        assert (
            beside
            or letters["bottom"] <= buttons["y"]
            or (letters["top"] >= buttons["y"] + buttons["height"])
        )
        box = tab.locator("#sliders input[type=number]").first.bounding_box()
        assert box["x"] + box["width"] <= width - 20  # the page's margin
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


# Names that a table of many gates has, and one that nobody can read.
LONG = """
z_forget_gate_slow = W_forget_gate_slow @ [h_prev, x] + b_forget_gate_slow
z_forget_gate_fast = W_forget_gate_fast @ [h_prev, x] + p_forget_gate_fast * c_prev
forgetting_factor = sigmoid(z_forget_gate_slow)
ff = hard_sigmoid(z_forget_gate_fast)
attention_over_everything_that_was_ever_seen_here = sigmoid(W_a @ [h_prev, x])
candidatememorycontent = tanh(W_g @ [h_prev, x] + b_g)
c = forgetting_factor * ff * c_prev + attention_over_everything_that_was_ever_seen_here * candidatememorycontent
h = ff * tanh(c)
"""
OVERPRINTED = """() => {
  const texts = [...document.querySelectorAll(".circuit text")];
  const boxes = texts.map((each) => each.getBoundingClientRect()).filter(({ width }) => width);
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => meet(a, b)).map(
    (b) => [a, b].map((box) => texts.find((t) => t.getBoundingClientRect().x === box.x).textContent),
  ));
}"""


def test_long_names_do_not_overprint(opened: Open) -> None:
    """Columns stand as far apart as their names need, and no other part of the page is left."""
    cell = Cell("long", "", parse_table(LONG))
    weights = LstmWeights(cell, random_arrays(cell, {"I": 2, "H": 3, "P": 3}, seed=2))
    tab = opened(trace_of(weights))
    assert tab.evaluate(OVERPRINTED) == []
    for width in (400, 1280):
        tab.set_viewport_size({"width": width, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


# The strips are drawn anew for the width that the window has.
PAINTED = """() => {
  const { width, clientWidth } = document.querySelector(".strip canvas") ?? {};
  return document.body.dataset.painted && width === clientWidth;
}"""


def pulse(steps: int, at: int) -> Trace:
    """Return a run whose input is 0, but for a single 1."""
    weights = random_weights(spec_cell("lstm"), inputs=1, seed=5)
    x = np.zeros((steps, 1))
    x[at - 1] = 1
    return run(Model.single(weights), x)


@pytest.mark.parametrize("at", [1001, 1002, 1003, 1004])
def test_a_single_step_of_thousands_is_seen(opened: Open, at: int) -> None:
    """A 1 among two thousand zeros is a pixel of the strip, at any width, and a click finds it."""
    tab = opened(pulse(2000, at))
    for width in (1280, 400):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.wait_for_function(PAINTED)
        canvas = tab.locator(".strip[data-symbol=x] canvas")
        wide, shown, found = canvas.evaluate("""(canvas) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, 1);
          const reds = Array.from({ length: canvas.width }, (_, i) => data.slice(4 * i, 4 * i + 3).join());
          const odd = reds.findIndex((each) => each !== reds[0]);
          return [canvas.width, canvas.clientWidth, odd];
        }""")
        assert wide <= shown  # each column of numbers has a pixel of its own
        assert found == (at - 1) * wide // 2000
        canvas.click(position={"x": (found + 0.5) * shown / wide, "y": 5})
        assert tab.locator("#t-text").inner_text() == f"{at} of 2000"
        assert tab.evaluate("lstmStep.now().x") == [1]


def test_a_single_unit_of_hundreds_is_seen(opened: Open) -> None:
    """Where units share a pixel, the one that stands out is shown, and a click finds it."""
    weights = random_weights(spec_cell("lstm"), inputs=400, seed=5)
    x = np.zeros((3, 400))
    x[1, 201] = 1
    tab = opened(run(Model.single(weights), x))
    canvas = tab.locator(".strip[data-symbol=x] canvas")
    rows, high, found = canvas.evaluate("""(canvas) => {
      const { data } = canvas.getContext("2d").getImageData(1, 0, 1, canvas.height);
      const reds = Array.from({ length: canvas.height }, (_, i) => data.slice(4 * i, 4 * i + 3).join());
      return [canvas.height, canvas.clientHeight, reds.findIndex((each) => each !== reds[0])];
    }""")
    assert rows <= high
    assert found == 201 * rows // 400
    canvas.hover(
        position={"x": canvas.bounding_box()["width"] / 2, "y": (found + 0.5) * high / rows}
    )
    assert tab.locator("#reading").inner_text() == "x[201] at step 2: 1"


def test_on_paper_there_are_no_knobs(opened: Open) -> None:
    """Printed, the page has the step, the strips and the equations, black on white."""
    tab = opened(question(), scheme="dark")
    tab.emulate_media(media="print", color_scheme="dark")
    for knob in ("#play", "#theme", "#sliders", "#t"):
        assert not tab.locator(knob).is_visible()
    for kept in (".circuit:visible", "#rows", "#strips", "#equations"):
        assert tab.locator(kept).first.is_visible()
    assert tab.evaluate("getComputedStyle(document.querySelector('.back, body')).color") == (
        "rgb(27, 27, 31)"
    )


def test_strips_have_the_colours_of_every_other_picture(opened: Open) -> None:
    """A strip's pixels are those of `colours`, which the terminal and the figures use."""
    from lstm_cli.show.colours import scale_of

    trace = trace_of(random_weights(spec_cell("lstm"), seed=5))
    tab = opened(trace)
    each = trace.layers[0]
    pixels = tab.evaluate("""() => {
      const canvas = document.querySelector(".strip[data-symbol=c] canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return [canvas.width, canvas.height, Array.from(data)];
    }""")
    steps, units, data = pixels
    assert (steps, units) == each.values["c"].shape
    scale = scale_of(each.values["c"], "c")
    for t in range(steps):
        for unit in range(units):
            colour = data[(unit * steps + t) * 4 :][:3]
            wanted = scale.colour(float(each.values["c"][t, unit]))
            expected = [int(wanted[at : at + 2], 16) for at in (1, 3, 5)]
            assert np.abs(np.subtract(colour, expected)).max() <= 1


def test_hostile_names_stay_text(opened: Open) -> None:
    """Labels, names and sources that look like markup or script are shown, and do nothing."""
    evil = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
    table = OWN.replace("k = tanh", "k = tanh").replace(
        "c = q * c_prev + (1 - q) * m", f"c = q * c_prev + (1 - q) * m  # {evil}"
    )
    cell = Cell(f'"><svg onload=alert(3)>{evil}', "", parse_table(table))
    weights = LstmWeights(cell, own_weights().arrays)
    model = Model.single(weights, source=f"{evil}.npz", convention=evil, assumptions=(evil,))
    trace = run(model, *random_inputs(weights, 2))
    tab = opened(trace)
    tab.locator("#rows tr[data-symbol=c]").hover()
    assert evil in tab.locator("#worked h2").inner_text()
    assert evil in tab.locator(".facts").inner_text()
    assert evil in tab.locator(".assumed").first.inner_text()
    assert tab.locator("img, svg svg, iframe, object, a").count() == 0
    assert tab.locator("script").count() == 2
