"""The circuit: drawn from the table, whatever the table; every key has a value, nothing overlaps."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest

from lstm_cli.base.errors import UsageError
from lstm_cli.base.numbers import decimals
from lstm_cli.cell.cells import LSTM, Cell, cell_named, parse_table
from lstm_cli.cell.equations import evaluate
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.commands.report.svg import DARK, LIGHT, picture_of_step
from lstm_cli.engine.run import run
from lstm_cli.show.circuit import BOX_HEIGHT, RADIUS, Box, Drawing, draw
from lstm_cli.show.colours import scale_of
from tests.cases import OWN_TABLE, WITNESS_SPECS, spec_cell
from tests.conftest import random_arrays, random_inputs, random_weights

SVG = "{http://www.w3.org/2000/svg}"
# The LSTM, with names for parts of its rows and without names for its pre-activations.
IN_PARTS = parse_table("""
f = sigmoid(W_f @ [h_prev, x] + b_f)
i = sigmoid(W_i @ [h_prev, x] + b_i)
g = tanh(W_g @ [h_prev, x] + b_g)
o = sigmoid(W_o @ [h_prev, x] + b_o)
kept = f * c_prev
written = i * g
c = kept + written
shown = tanh(c)
h = o * shown
""")
TABLES = {name: spec_cell(name) for name in WITNESS_SPECS} | {
    "in-parts": Cell("in-parts", "", IN_PARTS),
    "odd": Cell("odd", "", parse_table(OWN_TABLE)),
    "still": Cell("still", "", parse_table("c = W_c @ x\nh = c")),
    "no-memory": Cell("no-memory", "", parse_table("a = tanh(W_a @ [h_prev, x])\nc = a\nh = a")),
    "sums": Cell("sums", "", parse_table("c = c_prev + 0.5 * x\nh = 1 - c_prev")),
}


def faces(drawing: Drawing) -> Counter[str]:
    return Counter(box.text for box in drawing.boxes)


@pytest.mark.parametrize("name", TABLES)
def test_every_line_and_box_has_a_value(name: str) -> None:
    """What is drawn goes by a key whose expression the drawing has; every row is drawn."""
    cell = TABLES[name]
    drawing = draw(cell)
    keys = {each.key for each in (*drawing.wires, *drawing.boxes, *drawing.labels)}
    assert keys <= set(drawing.nodes)
    assert set(cell.symbols) | {"x", "h_prev", "c_prev"} <= keys
    assert {"c", "h"} <= {label.key for label in drawing.labels}


@pytest.mark.parametrize("name", TABLES)
def test_all_is_inside_the_picture(name: str) -> None:
    """No line, box or number lies outside."""
    drawing = draw(TABLES[name])
    points = [point for wire in drawing.wires for point in wire.points]
    points += [box.middle for box in drawing.boxes] + [label.place for label in drawing.labels]
    assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for x, y in points)
    # Lines run along the axes, as in every such drawing.
    for wire in drawing.wires:
        for (x0, y0), (x, y) in zip(wire.points, wire.points[1:], strict=False):
            assert x0 == x or y0 == y


@pytest.mark.parametrize("name", [*WITNESS_SPECS, "in-parts"])
def test_nothing_covers_anything(name: str) -> None:
    """Boxes keep apart, and no number of the printed size lies on a box."""
    drawing = draw(TABLES[name])
    boxes = [edges(box) for box in drawing.boxes]
    for index, box in enumerate(boxes):
        assert not any(overlap(box, other) for other in boxes[:index])
    for label in drawing.labels:
        x, y = label.place
        left = x - 88 if label.anchor == "end" else x
        text = (left, y, left + 88, y + 19)
        assert not any(overlap(text, box) for box in boxes), label.key


def edges(box: Box) -> tuple[float, float, float, float]:
    x, y = box.middle
    wide, high = (RADIUS, RADIUS) if box.kind == "operator" else (box.width / 2, BOX_HEIGHT / 2)
    return x - wide, y - high, x + wide, y + high


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_the_lstm_is_the_picture_that_everybody_knows() -> None:
    """Four layers, three σ, tanh before and behind the state, which meets × and then +."""
    drawing = draw(LSTM)
    assert faces(drawing) == Counter(
        {"σ": 3, "tanh": 2, "×": 3, "+": 1, "W_f": 1, "W_i": 1, "W_g": 1, "W_o": 1}
    )
    top = [box for box in drawing.boxes if box.middle[1] == min(b.middle[1] for b in drawing.boxes)]
    assert [box.text for box in sorted(top, key=lambda box: box.middle[0])] == ["×", "+"]
    columns = sorted(
        (box.middle[0], box.key) for box in drawing.boxes if box.key in ("f", "i", "g", "o")
    )
    assert [key for _, key in columns] == ["f", "i", "g", "o"]
    assert not [wire for wire in drawing.wires if wire.kind == "feed"]


@pytest.mark.parametrize(
    ("cell", "feeds", "boxes"),
    [
        ("peephole", ["c_prev", "c_prev", "c"], []),
        ("coupled-input", ["f"], ["1 −"]),
        ("coupled-forget", ["i"], ["1 −"]),
        ("projection", [], ["W_hr"]),
        ("hard-sigmoid", [], ["hard-σ"]),
    ],
)
def test_a_variants_picture_follows_from_its_rows(
    cell: str, feeds: list[str], boxes: list[str]
) -> None:
    """A peephole is a wire from the state, a coupled gate one from the other gate."""
    drawing = draw(cell_named(cell))
    assert [wire.key for wire in drawing.wires if wire.kind == "feed"] == feeds
    assert set(boxes) <= set(faces(drawing))


def test_a_table_that_names_parts_has_the_same_picture() -> None:
    """kept = f * c_prev is where the LSTM has it, under its name."""
    drawing, plain = draw(TABLES["in-parts"]), draw(LSTM)
    assert faces(drawing) == faces(plain)
    assert {box.middle for box in drawing.boxes} == {box.middle for box in plain.boxes}
    assert {"kept", "written", "shown"} <= {label.key for label in drawing.labels}


# ---- as SVG


def picture(cell: Cell, **how: object) -> tuple[ElementTree.Element, dict[str, np.ndarray]]:
    weights = random_weights(cell, seed=3)
    each = run(Model.single(weights), *random_inputs(weights, 3)).layers[0]
    known = {**weights.arrays, **each.at(2)}
    nodes = draw(cell).nodes
    values = {key: np.atleast_1d(evaluate(node, known)) for key, node in nodes.items()}
    return ElementTree.fromstring(picture_of_step(each, 2, 1, **how)), values


@pytest.mark.parametrize("name", ["lstm", "peephole", "coupled-input", "projection", "in-parts"])
def test_a_picture_has_the_engines_numbers(name: str) -> None:
    """Beside every line stands its value, of the unit and the step."""
    root, values = picture(TABLES[name], digits=5)
    texts = {each.get("data-number"): each.text for each in root.iter(f"{SVG}text")}
    for label in draw(TABLES[name]).labels:
        value = values[label.key]
        if label.key != "x":
            assert texts[label.key] == (decimals(float(value[1]), 5) if len(value) > 1 else "–")


def test_a_projection_to_one_number_is_unit_0s_alone() -> None:
    """Where h has one number and c has many, no other unit has an h to show."""
    cell = spec_cell("projection")
    weights = LstmWeights(cell, random_arrays(cell, {"I": 2, "H": 4, "P": 1}, seed=3))
    trace = run(Model.single(weights), *random_inputs(weights, 1))
    root = ElementTree.fromstring(picture_of_step(trace.layers[0], 1, 3))
    texts = {each.get("data-number"): "".join(each.itertext()) for each in root.iter()}
    assert texts["h"] == "–"
    assert texts["h_prev"] == "–"
    assert texts["c"] == decimals(float(trace["c"][0, 3]), 3)


def test_all_units_stand_as_colours_beside_the_chosen_one() -> None:
    """The squares of a gate are its units, in the colours of all pictures; one is marked."""
    root, values = picture(LSTM)
    group = next(each for each in root.iter(f"{SVG}g")
                 if each.get("data-key") == "g" and "label" in str(each.get("class")))  # fmt: skip
    chips = list(group.iter(f"{SVG}rect"))
    scale = scale_of(values["g"], "g")
    assert [chip.get("fill") for chip in chips] == [scale.colour(float(v)) for v in values["g"]]
    assert [chip.get("class") for chip in chips].index("chip chosen") == 1


@pytest.mark.parametrize(("theme", "has", "lacks"), [("light", LIGHT, DARK), ("dark", DARK, LIGHT)])
def test_a_picture_is_light_or_dark_or_as_its_reader(
    theme: str, has: dict[str, str], lacks: dict[str, str]
) -> None:
    """A picture brings its colours; `auto` brings both and asks the reader's system."""
    root, _ = picture(LSTM, theme=theme)
    style = root.findtext(f"{SVG}style") or ""
    assert has["paper"] in style
    assert f"--paper: {lacks['paper']}" not in style
    both = picture(LSTM, theme="auto")[0].findtext(f"{SVG}style") or ""
    assert "prefers-color-scheme: dark" in both


def test_letters_are_legible_in_one_column() -> None:
    """At 8.5 cm the letters of a picture have 6.5 points."""
    root, _ = picture(LSTM, width_cm=8.5)
    assert root.get("width") == "8.5cm"
    units = float(str(root.get("viewBox")).split()[2])
    assert 26 / units * 8.5 / 2.54 * 72 >= 6.5


@pytest.mark.parametrize("width", [0.0, 4.9, 61.0, float("nan")])
def test_a_width_that_no_page_has_is_refused(width: float) -> None:
    """Too narrow, too wide and not a number are said."""
    with pytest.raises(UsageError, match="cm wide"):
        picture(LSTM, width_cm=width)


def test_a_strangers_text_is_text() -> None:
    """A note and a label that look like markup are characters."""
    evil = '</text><script>alert(1)</script>"><image href="x"/>\x1b[31m'
    cell = Cell(evil, "", parse_table(f"c = W_c @ x\nh = c  # {evil[:-5]}"))
    root, _ = picture(cell, note=evil)
    assert {each.tag for each in root.iter()} <= {
        SVG + tag for tag in ("svg", "title", "style", "rect", "g", "polyline", "polygon", "circle",
                              "text", "tspan")
    }  # fmt: skip
    assert any("alert(1)" in (each.text or "") for each in root.iter(f"{SVG}text"))
    assert "\x1b" not in ElementTree.tostring(root, encoding="unicode")
