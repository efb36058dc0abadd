"""Notebooks: what they show of runs and models is the engine's numbers and never anyone's markup."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.base.foreign import Html, html
from lstm_cli.base.html import element, range_text
from lstm_cli.cell.cells import LSTM, cell_named
from lstm_cli.cell.notation import UNICODE, write_equation
from lstm_cli.cell.weights import Layer, LstmWeights, Model
from lstm_cli.engine.run import Trace, run
from lstm_cli.files.cell_files import read_cell
from tests.cases import WITNESS_SPECS, witness_case
from tests.conftest import random_arrays, random_inputs, random_weights

HOSTILE = [
    '"><svg onload=alert(1)>',
    "<img src=x onerror=alert(1)>",
    "' style='x",
    "&lt;b&gt;",
    "</td><b>",
]


class Page(HTMLParser):
    """Elements, attributes, texts and the cells of tables of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()
        assert self.open == []  # each element is closed, in order

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open[-1:] in (["td"], ["th"]):
            self.tables[-1][-1][-1] += data


def deep(lead: tuple[int, ...] = ()) -> Trace:
    """Two layers of both directions, a projection below."""
    cell = cell_named("projection")
    below = {d: random_weights(cell, 2, 4, 3, s) for s, d in enumerate(("forward", "backward"))}
    above = {d: random_weights(LSTM, 6, 3, seed=s) for s, d in enumerate(("forward", "backward"))}
    model = Model((Layer(below), Layer(above)))  # type: ignore[arg-type] # the two directions
    return run(model, np.random.default_rng(4).uniform(-1, 1, (*lead, 5, 2)))


# ---- a run


@pytest.mark.parametrize("name", WITNESS_SPECS)
def test_values_are_the_witnesss_beside_the_tables_equations(name: str) -> None:
    """The first step's gates are numbers made elsewhere; each row has its own equation."""
    case = witness_case(name)
    trace = case.run()
    table = Page(trace._repr_html_()).tables[0]
    rows = {row[0]: row for row in table[1:]}
    for symbol in ("f", "i", "g", "o"):
        shown = [float(text) for text in rows[UNICODE.name(symbol)][3:]]
        assert shown == pytest.approx(case.expected[symbol][0].tolist(), rel=1e-5)
    for equation in trace.model.cell.equations:
        shown, right = write_equation(equation, UNICODE)
        assert rows[shown][1:3] == [equation.label, right]
    assert [float(text) for text in rows["x_t"][3:6]] == pytest.approx(case.x[0].tolist(), rel=1e-5)


def test_first_and_last_steps_are_shown_and_the_rest_is_counted() -> None:
    """Of twelve steps four; of twenty units twelve; the page says what is not there."""
    weights = random_weights(LSTM, hidden=20)
    trace = run(Model.single(weights), *random_inputs(weights, 12))
    page = Page(trace._repr_html_())
    said = " ".join(page.texts)
    assert len(page.tables) == 4
    assert [f"step {t}" in said for t in (1, 2, 3, 10, 11, 12)] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    assert "steps 3 to 10 are in" in said
    last = page.tables[-1]
    assert last[0][3:] == [*map(str, range(12)), "…"]
    h = next(row for row in last if row[0] == "h_t")
    assert [float(text) for text in h[3:15]] == pytest.approx(trace.h[:12].tolist(), rel=1e-5)
    assert h[15] == "+ 8 more"


def test_layers_directions_and_assumptions_are_said() -> None:
    """Each layer and direction has its tables; what was not given is said."""
    said = Page(deep()._repr_html_()).texts
    for where in ("layer 0 forward, step 1", "layer 1 backward, step 5"):
        assert where in said
    assert "assumed: h0 not given: zeros" in said


def test_of_many_samples_the_first_is_shown() -> None:
    """A batch shows its first sample and says so."""
    trace = deep((3,))
    page = Page(trace._repr_html_())
    assert "3 samples, of which the first" in " ".join(page.texts)
    x = next(row for row in page.tables[0] if row[0] == "x_t")
    given = trace.layers[0].values["x"][0, 0]
    assert [float(text) for text in x[3:5]] == pytest.approx(given.tolist(), rel=1e-5)


# ---- a model


def test_a_model_shows_shapes_and_ranges() -> None:
    """Every parameter of every layer, its shape, and its least and largest number."""
    model = deep().model
    page = Page(model._repr_html_())
    assert len(page.tables) == 4
    for table, (_, _, weights) in zip(page.tables, model.runs, strict=True):
        assert [row[0] for row in table[1:]] == list(weights.arrays)
        for name, shape, span in table[1:]:
            array = weights.arrays[name]
            assert shape == " × ".join(map(str, array.shape))
            least, largest = (float(text) for text in span.split(" … "))
            assert (least, largest) == pytest.approx((array.min(), array.max()), rel=1e-5)
    said = " ".join(page.texts)
    assert "layer 0 backward: projection, I = 2, H = 4, P = 3" in said
    assert f"{sum(a.size for *_, w in model.runs for a in w.arrays.values())} parameters" in said


def test_a_tall_stack_is_counted() -> None:
    """Eight layers are shown; of ten it says that two are more."""
    layers = tuple(Layer({"forward": random_weights(LSTM, 4, 4, seed=s)}) for s in range(10))
    page = Page(Model(layers)._repr_html_())
    assert len(page.tables) == 8
    assert "and 2 more" in page.texts


# ---- nobody's markup


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_is_shown_and_makes_no_element(text: str, tmp_path: Path) -> None:
    """Labels, cells, sources, conventions and assumptions come out letter by letter."""
    path = tmp_path / "own.toml"
    path.write_text(
        f"name = '''{text}'''\n"
        f'equations = """\nr = sigmoid(W_r @ [h_prev, x] + b_r)  # {text}\n'
        'c = r * c_prev + x\nh = tanh(c)\n"""\n'
    )
    cell = read_cell(str(path))
    weights = LstmWeights(cell, random_arrays(cell, {"I": 3, "H": 3, "P": 3}), text)
    model = Model((Layer({"forward": weights}),), text, text, (text,))
    x, h, c = random_inputs(weights, 3)
    for page in (Page(run(model, x, h, c)._repr_html_()), Page(model._repr_html_())):
        assert page.tags == {"div", "b", "table", "tbody", "tr", "th", "td"}
        assert {name for name, _ in page.attributes} <= {"style"}
        assert not any(
            bad in str(value) for _, value in page.attributes for bad in ("url", "alert", "script")
        )
        said = "".join(page.texts)
        assert said.count(text) >= 3


def test_nothing_is_fetched_and_no_colour_is_set() -> None:
    """No address, no script, no colour: it suits a light page and a dark one."""
    trace = deep()
    for text in (trace._repr_html_(), trace.model._repr_html_()):
        for word in ("http", "<script", "<style", "<a ", "src=", "url(", "background", " color"):
            assert word not in text


def test_what_steers_a_terminal_is_escaped_too() -> None:
    """Controls and marks of direction are shown as what they are."""
    assert html("a\x1b[31m\u202eb") == r"a\x1b[31m\u202eb"
    assert html(Html("<b>x</b>")) == "<b>x</b>"
    assert element("b", "1 < 2", Html("<i>3</i>")) == "<b>1 &lt; 2<i>3</i></b>"
    assert range_text(np.zeros(0)) == ""


# ---- a DataFrame


def test_a_frame_has_each_symbol_over_time() -> None:
    """`frame["f"]` is the T × H numbers of the witness, indexed by layer, direction and t."""
    case = witness_case("peephole+projection")
    frame = case.run().to_dataframe()
    assert frame.index.names == ["layer", "direction", "t"]
    assert frame.columns.names == ["symbol", "unit"]
    for symbol in ("f", "i", "g", "o"):
        assert frame[symbol].to_numpy() == pytest.approx(case.expected[symbol], abs=1e-13)
    assert frame["x"].shape == case.x.shape
    assert frame["h"].to_numpy() == pytest.approx(case.expected["output"], abs=1e-13)
    assert frame.loc[(0, "forward", 3), ("f", 1)] == pytest.approx(case.expected["f"][2, 1])


def test_layers_of_a_frame_are_found_by_name() -> None:
    """A layer, a direction, a step; what a layer lacks is nan, and pandas warns of nothing."""
    trace = deep()
    frame = trace.to_dataframe()
    assert len(frame) == 4 * 5
    for each in trace.layers:
        part = frame.loc[(each.layer, each.direction)]
        assert list(part.index) == [1, 2, 3, 4, 5]
        for symbol, values in each.values.items():
            assert np.array_equal(part[symbol].to_numpy()[:, : values.shape[-1]], values)
    assert frame.loc[(1, "forward"), ("f", 3)].isna().all()  # layer 1 has three units


def test_samples_of_a_frame_have_a_level_of_their_own() -> None:
    """(layer, direction, sample, t), each row the sample's own."""
    trace = deep((3,))
    frame = trace.to_dataframe()
    assert frame.index.names == ["layer", "direction", "sample", "t"]
    for sample in range(3):
        part = frame.loc[(1, "backward", sample)]["o"]
        assert np.array_equal(part.to_numpy()[:, :3], trace.layers[3].values["o"][sample])


def test_two_batch_axes_are_refused() -> None:
    """A row a step needs one number a sample."""
    with pytest.raises(InputError, match=r"batch axes \(2, 3\)"):
        deep((2, 3)).to_dataframe()


def test_a_frame_keeps_the_type() -> None:
    """Float32 stays float32."""
    weights = random_weights(LSTM)
    x, h, c = random_inputs(weights, 3)
    frame = run(Model.single(weights), x, h, c, dtype=np.float32).to_dataframe()
    assert set(frame.dtypes) == {np.dtype(np.float32)}


def test_without_pandas_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact line to install it with."""
    broken: Any = None
    monkeypatch.setitem(sys.modules, "pandas", broken)
    with pytest.raises(InputError) as caught:
        deep().to_dataframe()
    assert caught.value.hint == "pip install 'lstm-cli[pandas]'"
