"""Pictures over time: the numbers in the colours and lines, text as text, the same bytes again."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib
import numpy as np
import pytest
from PIL import Image

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, UsageError
from lstm_cli.cell.cells import LSTM
from lstm_cli.cell.weights import Layer, Model
from lstm_cli.commands.report.making import report
from lstm_cli.commands.report.pictures import draw_over_time
from lstm_cli.engine.run import Trace, run
from lstm_cli.files.cell_files import read_cell
from lstm_cli.show.colours import NOT_FINITE, Scale
from lstm_cli.show.over_time import binned, busiest, ticks
from lstm_cli.show.rows import View
from tests.cases import witness_case
from tests.conftest import random_inputs, random_weights

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
OKABE_ITO = ["#000000", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"]


def trace_of(hidden: int, steps: int, lead: tuple[int, ...] = ()) -> Trace:
    weights = random_weights(LSTM, hidden=hidden)
    return run(Model.single(weights), *random_inputs(weights, steps, lead))


def deep() -> Trace:
    """Two layers of both directions."""
    below = {d: random_weights(LSTM, 2, 3, seed=s) for s, d in enumerate(("forward", "backward"))}
    above = {d: random_weights(LSTM, 6, 3, seed=s) for s, d in enumerate(("forward", "backward"))}
    return run(Model((Layer(below), Layer(above))), np.random.default_rng(2).normal(size=(7, 2)))


def svg(trace: Trace, view: View | None = None, **how: Any) -> ET.Element:
    view = replace(view or View(), symbols=how.pop("symbols", ()))
    return ET.fromstring(draw_over_time(trace, view, "svg", **how))


def texts(root: ET.Element) -> list[str]:
    """Every text, those of a formula without the blanks between their parts."""
    return ["".join(part.strip() if len(each) else part for part in each.itertext())
            for each in root.iter(f"{SVG}text")]  # fmt: skip


def images(root: ET.Element) -> list[Array]:
    found = []
    for each in root.iter(f"{SVG}image"):
        raw = base64.b64decode(each.attrib[HREF].partition(",")[2])
        found.append(np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"), dtype=int))
    return found


def cells(image: Array, rows: int, columns: int) -> Array:
    """The middle pixel of every cell, and the assurance that a cell has one colour."""
    high, wide = image.shape[0] // rows, image.shape[1] // columns
    assert image.shape == (rows * high, columns * wide, 3)
    blocks = image.reshape(rows, high, columns, wide, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    return blocks[:, 0, :, 0]


def rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


# ---- strips


@pytest.mark.parametrize("name", ["lstm", "peephole", "coupled-forget", "hard-sigmoid-6", "clip"])
def test_colours_are_those_of_the_witnesss_numbers(name: str) -> None:
    """Each cell of each panel has the colour, to a level of 64, of a number made elsewhere."""
    case = witness_case(name)
    root = svg(case.run(), symbols=("f", "i", "o"))
    for image, symbol in zip(images(root), ("f", "i", "o"), strict=False):
        expected = case.expected[symbol].T
        drawn = cells(image, *expected.shape)
        for place, value in np.ndenumerate(expected):
            wanted = rgb(Scale("share", 0.0, 1.0).colour(value))
            assert np.abs(drawn[place] - wanted).max() <= 8, (symbol, place)


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
@pytest.mark.parametrize("what", ["strips", "lines"])
@pytest.mark.parametrize(
    "name", ["peephole+projection", "activations-plain", "coupled-forget+peephole"]
)
@pytest.mark.few(3)
def test_any_cell_is_drawn(name: str, what: Any, kind: Any) -> None:
    """Projections, odd activations and missing gates come out as a file of the kind asked for."""
    made = draw_over_time(witness_case(name).run(), View(), kind, what=what)
    start = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[kind]
    assert made.startswith(start)
    assert len(made) > 5000


@pytest.mark.parametrize(
    "name", ["lstm", "peephole", "coupled-input", "activations-plain", "cell-clip"]
)
@pytest.mark.few(1)
def test_a_panel_a_symbol_and_a_bar_a_scale(name: str) -> None:
    """Gates and states that the cell has, in the table's order; one bar of colours a scale."""
    trace = witness_case(name).run()
    root = svg(trace)
    rows = [row for row in trace.model.cell.equations if row.symbol in "figoch"]
    labels = [each for each in texts(root) if each in {row.label for row in rows}]
    assert labels == [row.label for row in rows]
    ends = set()
    for row in rows:
        values = trace[row.symbol]
        low, high = values.min(), values.max()
        end = max(1.0, -low, high)
        share = low >= 0 and high <= 1 and row.symbol not in "gch"
        ends.add((0.0, 1.0) if share else (-end, end))
    assert len(images(root)) == len(rows) + len(ends)


def test_what_is_no_number_has_a_colour_of_its_own() -> None:
    """nan and inf are magenta, and no neighbour is."""
    weights = random_weights(LSTM, hidden=3)
    x, h, c = random_inputs(weights, 4)
    x[2, 1] = np.nan
    drawn = cells(images(svg(run(Model.single(weights), x, h, c), symbols=("x",)))[0], 3, 4)
    wrong = (drawn == rgb(NOT_FINITE)).all(axis=-1)
    assert np.argwhere(wrong).tolist() == [[1, 2]]


def test_small_strips_say_their_numbers() -> None:
    """A step of five units has each number in its cell, to two decimals."""
    trace = trace_of(5, 1)
    written = texts(svg(trace, symbols=("f",)))
    for value in trace["f"][0]:
        assert f"{value:.2f}".rstrip("0") in written


def test_units_and_steps_of_the_view_are_kept_to() -> None:
    """--unit and --at choose rows and columns, which keep their numbers."""
    trace = trace_of(6, 9)
    root = svg(trace, View(units="1,4", at="3:5"), symbols=("o",))
    drawn = cells(images(root)[0], 2, 3)
    for place, value in np.ndenumerate(trace["o"][2:5, [1, 4]].T):
        assert np.abs(drawn[place] - rgb(Scale("share", 0.0, 1.0).colour(value))).max() <= 8
    assert {"1", "4", "3", "5"} <= set(texts(root))
    assert not {"0", "2"} & (set(texts(root)) - {"0", "0.5"})  # 0 is an end of the bar alone


def test_layers_and_directions_are_grouped() -> None:
    """Each layer and direction has its heading once and its own panels."""
    written = texts(svg(deep(), symbols=("f", "h")))
    for layer in (0, 1):
        for direction in ("forward", "backward"):
            assert written.count(f"layer {layer} {direction}") == 1
    assert written.count("forget gate") == 4
    assert not any(each.startswith("layer") for each in texts(svg(trace_of(3, 4))))


def test_long_runs_are_means_and_say_so() -> None:
    """More steps than a page shows are drawn as means of neighbours, and the picture says it."""
    trace = trace_of(2, 1500)
    root = svg(trace, symbols=("f",))
    assert "each column is the mean of 3 steps" in texts(root)
    drawn = cells(images(root)[0], 2, 500)
    wanted = rgb(Scale("share", 0.0, 1.0).colour(trace["f"][3:6, 1].mean()))
    assert np.abs(drawn[1, 1] - wanted).max() <= 8


# ---- lines


def test_lines_go_through_the_numbers() -> None:
    """Every point of a line stands where its number says, to a hundredth of a point."""
    trace = trace_of(4, 30)
    root = svg(trace, what="lines", symbols=("f",))
    paths = [(each.attrib["style"], each.attrib["d"]) for each in root.iter(f"{SVG}path")]
    lines = {re.search(r"stroke: (#\w+)", style)[1]: d for style, d in paths  # type: ignore[index] # each has one
             if d.count("L") == 29 and "stroke: #" in style}  # fmt: skip
    assert list(lines) == OKABE_ITO[:4]
    for d, values in zip(lines.values(), trace["f"].T, strict=True):
        points = np.array([float(n) for n in re.findall(r"-?[\d.]+", d)]).reshape(-1, 2)
        slope, origin = np.polyfit(values, points[:, 1], 1)
        assert slope < 0  # up is more
        assert np.abs(slope * values + origin - points[:, 1]).max() < 0.01


def test_of_many_units_those_that_move_most_are_drawn() -> None:
    """Eight lines, whose units are named, and the picture says how they were chosen."""
    trace = trace_of(20, 15)
    moved = trace["c"].max(axis=0) - trace["c"].min(axis=0)
    chosen = sorted(np.argsort(-moved)[:8].tolist())
    written = texts(svg(trace, what="lines"))
    assert "8 of 20 units, those whose C_t moves most" in written
    place = written.index("unit")
    assert written[place + 1 : place + 9] == [str(unit) for unit in chosen]


def test_chosen_units_are_drawn_however_many_can_be_told_apart() -> None:
    """--unit may name up to 32 lines; 33 are refused."""
    trace = trace_of(40, 5)
    assert "31" in texts(svg(trace, View(units="0:32"), what="lines"))
    with pytest.raises(UsageError, match="more than 32 lines"):
        svg(trace, View(units="0:33"), what="lines")


def test_numbers_as_far_apart_as_they_go_are_drawn() -> None:
    """The largest and smallest floats, nan and inf: a picture, and no warning."""
    model = trace_of(2, 1).model
    for size in (1e308, 5e-324):
        x = np.array([[-size, size, 0.5 * size], [size, np.inf, np.nan]])
        trace = run(model, x, None, np.full(2, size))
        for what in ("strips", "lines"):
            how: Any = {"what": what, "symbols": ("x", "c", "z_f")}
            assert "input" in texts(svg(trace, **how))


# ---- the file


@pytest.mark.full
def test_the_same_run_gives_the_same_bytes() -> None:
    """No date, no random name: what is drawn again is the same file, of every kind."""
    trace = trace_of(3, 6)
    for kind, what in (("svg", "strips"), ("svg", "lines"), ("pdf", "strips"), ("png", "lines")):
        how: Any = {"kind": kind, "what": what}
        first, again = (draw_over_time(trace, View(symbols=("f", "c")), **how) for _ in range(2))
        assert first == again
        assert b"<dc:date>" not in first
        assert b"CreationDate" not in first


def test_a_wide_strip_of_noise_is_small() -> None:
    """64 units over 200 steps of noise, the worst case, take less than 100 kB."""
    assert len(draw_over_time(trace_of(64, 200), View(), "svg")) < 100_000


@pytest.mark.parametrize("what", ["strips", "lines"])
def test_text_can_be_read_at_one_column(what: Any) -> None:
    """The picture is 8.5 cm wide, its text is text, and only indices are below 6.5 points."""
    root = svg(trace_of(5, 20), what=what)
    assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(8.5 / 2.54 * 72)
    sizes = [float(re.search(r"font-size: ([\d.]+)px", each.attrib["style"])[1])  # type: ignore[index] # each has one
             for each in root.iter(f"{SVG}text") if "font-size" in each.attrib.get("style", "")]  # fmt: skip
    assert len(sizes) > 10
    assert min(sizes) >= 6.5


def test_dark_is_dark_and_light_is_light() -> None:
    """The page and its ink change sides; the numbers' colours do not."""
    trace = trace_of(3, 4)
    light, dark = (svg(trace, dark=dark) for dark in (False, True))
    assert all((a == b).all() for a, b in zip(images(light), images(dark), strict=True))
    for root, back in ((light, "#ffffff"), (dark, "#16181c")):
        page = next(root.iter(f"{SVG}path"))
        assert f"fill: {back}" in page.attrib["style"]


HOSTILE = r"""$\frac{1}{0}$ <b>&amp;"</b> xlink:href="data:image/png;base64,AAAA" \undefined"""


LONG = "candidate_of_the_cell_state_that_has_a_long_name"


def test_labels_are_shown_and_never_read(tmp_path: Path) -> None:
    """A label of TeX, markup or a picture's own address comes out as it is written."""
    path = tmp_path / "own.toml"
    path.write_text(
        "equations = '''\n"
        f"keep_a__b = sigmoid(W_k @ [h_prev, x] + b_k)   # {HOSTILE}\n"
        "r = tanh(W_r @ [h_prev, x] + b_r)  # \u4e2d\n"
        f"{LONG} = 2 * r   # a long name\n"
        "c = keep_a__b * c_prev + r\n"
        "h = tanh(c)\n'''\n"
    )
    weights = random_weights(read_cell(str(path)), hidden=3)
    trace = run(Model.single(weights), *random_inputs(weights, 6))
    root = svg(trace, width_cm=30)
    assert HOSTILE in texts(root)
    assert "U+4E2D" in texts(root)  # the font has no such letter, and warns of none
    assert f"{LONG[:19]}…" in texts(root)
    assert not list(root.iter(f"{SVG}b"))
    for kind in ("png", "pdf"):
        assert draw_over_time(trace, View(), kind, what="lines")  # type: ignore[arg-type] # one of them


# ---- what is refused


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"view": View(symbols=("f", "q"))}, "does not compute 'q'"),
        ({"width_cm": 0.5}, "0.5 cm wide"),
        ({"width_cm": float("nan")}, "nan cm wide"),
        ({"view": View(units="9")}, "outside 0 to 2"),
        ({"view": View(at="9")}, "outside 1 to 4"),
    ],
)
def test_what_cannot_be_drawn_is_refused(how: dict[str, Any], words: str) -> None:
    """An error in three lines, before anything is drawn."""
    options = {"view": View(), "kind": "svg", **how}
    with pytest.raises(LstmStepError, match=words):
        draw_over_time(trace_of(3, 4), options.pop("view"), options.pop("kind"), **options)


@pytest.mark.parametrize("how", [{"kind": "gif"}, {"picture": "pie"}, {"theme": "red"}])
def test_a_picture_of_no_known_form_is_refused(how: dict[str, Any]) -> None:
    """The error names the value, before anything is drawn."""
    (value,) = how.values()
    with pytest.raises(UsageError, match=f"unknown (format|picture|theme) '{value}'"):
        report(trace_of(3, 4), **{"kind": "svg", **how})


def test_a_picture_metres_high_is_refused() -> None:
    """A hundred layers are too many for a page, and for the memory of a PNG."""
    layers = tuple(Layer({"forward": random_weights(LSTM, 3, 3, seed=s)}) for s in range(100))
    trace = run(Model(layers), np.ones((4, 3)))
    with pytest.raises(UsageError, match="600 panels would make a picture"):
        draw_over_time(trace, View(), "png")


def test_many_samples_are_refused() -> None:
    """A batch has no one course; the error says how to choose."""
    with pytest.raises(InputError, match="many samples") as caught:
        svg(trace_of(3, 4, (2,)))
    assert "--sample 0" in caught.value.lines.hint


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact line to install it with."""
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(InputError) as caught:
        svg(trace_of(3, 4))
    assert caught.value.hint == "pip install 'lstm-cli[pictures]'"


def test_nothing_of_matplotlib_is_left_changed() -> None:
    """No pyplot, no setting that outlives a call, and no reader's setting that gets in."""
    plain = draw_over_time(trace_of(3, 4), View(), "svg")
    with matplotlib.rc_context({"font.size": 30, "text.usetex": True, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert draw_over_time(trace_of(3, 4), View(), "svg") == plain
        assert dict(matplotlib.rcParams) == before
    code = (
        "import sys, numpy as np\nfrom lstm_cli import preset_model, run, read_cell\n"
        "from lstm_cli.commands.report.pictures import draw_over_time\nfrom lstm_cli.show.rows import View\n"
        "trace = run(preset_model('random', read_cell('lstm'), sizes={'I': 2, 'H': 2}), np.ones((3, 2)))\n"
        "assert draw_over_time(trace, View(), 'png')\nassert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


# ---- what both kinds of drawing share


@pytest.mark.parametrize(
    ("labels", "most", "shown"),
    [
        ([1, 2, 3], 3, [1, 2, 3]),
        (range(1, 51), 6, [1, 10, 20, 30, 40, 50]),
        (range(1, 201), 5, [1, 50, 100, 150, 200]),
        (range(128), 4, [0, 50, 100]),
        (range(7), 1, [0]),
        ([5], 4, [5]),
    ],
)
def test_ticks_are_round(labels: Any, most: int, shown: list[int]) -> None:
    """The first, and then round numbers, no closer than there is room for."""
    assert [list(labels)[place] for place in ticks(list(labels), most)] == shown


def test_means_of_neighbours() -> None:
    """The last mean is of what is left over, and a nan stays one."""
    values = np.array([[1.0], [3.0], [5.0], [9.0], [11.0]])
    means, size = binned(values, 3)
    assert (means.tolist(), size) == ([[2.0], [7.0], [11.0]], 2)
    assert binned(values, 5)[1] == 1
    values[1] = np.nan
    assert np.isnan(binned(values, 3)[0][0, 0])


def test_busiest_units() -> None:
    """By what they move in any run, in their own order; of one step, by size."""
    first = np.array([[0.0, 5.0, 1.0, 0.0], [1.0, 5.0, -1.0, 0.5]])
    second = np.array([[0.0, 0.0, 0.0, 9.0], [0.0, 0.0, 0.0, -9.0]])
    assert busiest([first], 2) == [0, 2]
    assert busiest([first, second], 2) == [2, 3]
    assert busiest([first[:1]], 2) == [1, 2]
