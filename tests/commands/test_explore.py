"""The step in the terminal: what follows from an edit, the moves, the screens, and a clean end."""

from __future__ import annotations

import asyncio
import os
import re
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.text import Text

from lstm_cli.base.errors import LstmStepError
from lstm_cli.cell.cells import LSTM, Cell, cell_named, parse_table
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.commands.explore import drawing
from lstm_cli.commands.explore import scene as go
from lstm_cli.commands.explore.drawing import fitted, strip, table, words, working
from lstm_cli.commands.explore.scene import (
    Cursor,
    Scene,
    edit_lines,
    meets,
    origin,
    repeated_vectors,
    rows_of,
    sentence,
)
from lstm_cli.engine.edits import EditablePlace, EditedRun
from lstm_cli.engine.run import Trace, run
from lstm_cli.files.cell_files import read_cell
from lstm_cli.formats.read import read_weights
from lstm_cli.show.colours import scale_of
from tests.cases import WITNESS_SPECS, as_witness
from tests.conftest import random_arrays, random_inputs, random_weights
from tests.engine.test_edits import same_as_witness, stacked, traced
from tests.tools import ROOT, call

pytest.importorskip("textual")  # what follows needs the extra
from textual.pilot import Pilot
from textual.widgets import Input

from lstm_cli.commands.explore.app import ExploreApp, read_number

GOLDEN = Path(__file__).parents[1] / "golden_explore"


def scene(trace: Trace, **where: object) -> Scene:
    return Scene(EditedRun(trace), Cursor(**where))  # type: ignore[arg-type]


# ---- what can be edited


def test_what_is_computed_cannot_be_edited() -> None:
    """A gate, and x of an upper layer, are refused with what can be edited instead."""
    trace = stacked()
    with pytest.raises(LstmStepError, match="f is computed") as refused:
        go.selected_place(trace, Cursor(symbol="f"))
    assert "w for the weights" in refused.value.hint
    with pytest.raises(LstmStepError, match="x of layer 1 is the output of layer 0"):
        go.selected_place(trace, Cursor(run=2, symbol="x"))
    at = Cursor(run=1, symbol="x", t=2, unit=1)
    assert go.selected_place(trace, at) == EditablePlace(0, "x", (2, 1))


@pytest.mark.parametrize("text", ["", "1,2", "nan", "inf", "1e999", "0x10", "١", "@file", "-", "a"])
def test_only_one_plain_finite_number_is_read(text: str) -> None:
    """Anything but one finite ASCII number is refused."""
    with pytest.raises(LstmStepError):
        read_number(text, "x_t[0]")


def test_a_number_is_read() -> None:
    """Spaces, a sign and an exponent are what a number may have."""
    assert read_number(" -1.5e-3 ", "x_t[0]") == -0.0015


# ---- moves


def test_moves_stop_at_the_ends() -> None:
    """Rows, units and steps go no further than there are, and a shorter row takes its last unit."""
    trace = traced(steps=3)
    cursor = go.start(trace)
    assert (cursor.symbol, cursor.unit, cursor.t) == ("z_f", 0, 1)
    last = go.by_unit(trace, cursor, 99)
    assert last.unit == 3
    top = go.by_row(trace, last, -99)
    assert (top.symbol, top.unit) == ("x", 2)
    assert go.by_row(trace, top, 99).symbol == "h"
    assert [go.to_step(trace, cursor, t).t for t in (-4, 2, 99)] == [1, 2, 3]
    assert go.by_unit(trace, cursor, -1) == cursor


def test_the_next_run_goes_around() -> None:
    """The layers and directions follow each other, and after the last comes the first."""
    trace = stacked()
    cursor = Cursor(symbol="x", unit=2)
    seen = []
    for _ in range(5):
        seen.append((trace.layers[cursor.run].layer, trace.layers[cursor.run].direction))
        cursor = go.next_run(trace, cursor)
    assert seen == [
        (0, "forward"),
        (0, "backward"),
        (1, "forward"),
        (1, "backward"),
        (0, "forward"),
    ]


@pytest.mark.parametrize(
    ("cell", "symbol", "expected"),
    [
        ("lstm", "z_f", ("W_f", "b_f")),
        ("lstm", "f", ("W_f", "b_f")),
        ("lstm", "c", ("W_f", "b_f", "W_i", "b_i", "W_g", "b_g")),
        ("peephole", "o", ("W_o", "p_o", "b_o")),
        ("projection", "h", ("W_hr",)),
        ("coupled-forget", "f", ("W_i", "b_i")),
        ("lstm", "c_prev", ()),
    ],
)  # fmt: skip
def test_the_parameters_that_enter_a_row(cell: str, symbol: str, expected: tuple[str, ...]) -> None:
    """They are the row's own, or where it has none, those of the rows that it reads."""
    assert set(go.parameters_entering(cell_named(cell), symbol)) == set(expected)


def test_the_weights_of_a_unit() -> None:
    """The parameters open at the row of the unit, and moving down goes to the next unit's."""
    trace = traced()
    cursor = go.to_weights(trace, Cursor(symbol="f", unit=2))
    assert cursor is not None
    assert go.selected(trace, cursor) == ("W_f", (2, 0))
    below = go.by_row(trace, cursor, 1)
    assert (go.selected(trace, below), below.unit) == (("W_f", (3, 0)), 3)
    bias = go.by_unit(trace, go.by_row(trace, cursor, 99), 1)
    assert (go.selected(trace, bias), bias.unit) == (("b_f", (1,)), 1)
    assert go.to_weights(trace, Cursor(symbol="x")) is None


def test_a_weight_says_what_it_meets() -> None:
    """A column of W_f is named after the number of [h_prev, x] that it is multiplied by."""
    trace = traced()
    at = scene(trace, symbol="z_f", weights=True)
    values = trace.layers[0].at(1)
    for column in range(4):
        assert meets(at, "W_f", (1, column)).startswith(f"meets h_{{t−1}}[{column}] = ")
    assert meets(at, "W_f", (1, 6)) == f"meets x_t[2] = {round(float(values['x'][2]), 6)}"
    assert meets(at, "b_f", (1,)) == "the bias of unit 1"


# ---- what is drawn


@pytest.mark.parametrize("name", [*WITNESS_SPECS])
@pytest.mark.parametrize(("width", "height"), [(40, 12), (80, 24), (120, 40)])
@pytest.mark.few(8)
def test_everything_fits_the_screen(name: str, width: int, height: int) -> None:
    """For every cell and row, no part is higher or wider than its place, nor the sum of them."""
    trace = traced(name, steps=7)
    for symbol in go.symbols_of(trace.model.cell):
        at = Scene(EditedRun(trace), Cursor(symbol=symbol, unit=1, t=3), colour=False)
        shown = [at]
        if weights := go.to_weights(trace, at.cursor):
            shown.append(Scene(at.session, weights, notation="split", colour=False))
        for each in shown:
            share = drawing.plan(each, width, height)
            gaps = share.gap * (4 if share.strip else 3)
            assert share.table + share.working + share.strip + share.words + gaps + 2 <= height
            _fits(table(each, width, share.table), width, share.table)
            _fits(working(each, width, share.working), width, share.working)
            _fits(words(each, width, share.words), width, share.words)
            if share.strip:
                _fits(strip(each, width, share.strip), width, share.strip)
            _fits(drawing.head(each, width), width, 1)
            _fits(drawing.keys(width), width, 1)


OWN = """
q = sigmoid(b_q)                                                # no vector enters it
n = W_n @ [tanh(U_x @ x), h_prev / (1 + abs(c_prev)), x]
m = max(n, q) * exp(-n) + p_m * min(c_prev, n)
c = q * c_prev + (1 - q) * m
k = tanh(W_k @ (0.5 + 0 * c))
h = tanh(W_c @ [c, [m, c]]) * k - 0.5 * softsign(c)
"""


@pytest.mark.parametrize("table_", [OWN, "c = W_c @ x\nh = c"])
def test_a_table_of_ones_own_is_explored(table_: str) -> None:
    """Joins in joins, functions of inputs, a row of a bias alone: all have their place."""
    cell = Cell("own", "", parse_table(table_))
    sizes = {"I": 2, "H": 3, "P": 3, "rows of U_x": 2}
    weights = LstmWeights(cell, random_arrays(cell, sizes, seed=9))
    trace = run(Model.single(weights), *random_inputs(weights, 4))
    for symbol in go.symbols_of(cell):
        cursor = Cursor(symbol=symbol, unit=1, t=2)
        inner = go.to_weights(trace, cursor)
        assert (inner is None) == (symbol in ("x", "h_prev", "c_prev"))
        lines = go.lines_of(weights, symbol) if inner else ()
        for at in [cursor, *(go.by_row(trace, inner, by) for by in range(len(lines)) if inner)]:
            for column in range(9):
                each = Scene(EditedRun(trace), go.by_unit(trace, at, column), colour=False)
                _fits(table(each, 80, 12), 80, 12)
                _fits(working(each, 80, 9), 80, 9)
                _fits(words(each, 80, 3), 80, 3)
                _fits(strip(each, 80, 4), 80, 4)


def test_a_weight_of_a_join_in_a_join_is_told_by_its_place() -> None:
    """Where no name stands alone, the number is told by its place in the whole vector."""
    cell = Cell("own", "", parse_table(OWN))
    weights = LstmWeights(cell, random_arrays(cell, {"I": 2, "H": 3, "P": 3, "rows of U_x": 2}))
    trace = run(Model.single(weights), *random_inputs(weights, 4))
    at = scene(trace, symbol="h", weights=True)
    assert meets(at, "W_c", (0, 2)).startswith("meets C_t[2] = ")
    assert meets(at, "W_c", (0, 4)) == "meets number 4 of [C_t, [m_t, C_t]]"
    assert meets(at, "W_n", (0, 1)).startswith("meets number 1 of [tanh(")


def _fits(text: Text, width: int, height: int) -> None:
    lines = text.plain.split("\n") if text.plain else []
    assert len(lines) <= height, text.plain
    assert max(map(cell_len, lines), default=0) <= width, text.plain


def test_the_selected_number_is_always_in_sight() -> None:
    """In a layer of 200 units, the window of units follows the selection."""
    trace = traced(steps=2, hidden=200)
    for unit in (0, 1, 97, 199):
        at = Scene(EditedRun(trace), Cursor(symbol="c", unit=unit), colour=False)
        value = float(trace.layers[0].at(1)["c"][unit])
        text = table(at, 80, 14).plain
        assert re.search(rf"▸ *{re.escape(f'{value:.6f}'.rstrip('0'))} ", text)
        assert "of 200" in text.split("\n")[0]


@pytest.mark.parametrize(
    ("value", "digits", "room", "expected"),
    [
        (0.5, 6, 10, "0.5"), (-0.1234567, 6, 10, "-0.123457"), (12345.678912, 6, 10, "12345.6789"),
        (1.5e300, 6, 10, "1.5e+300"), (-1.23456789e-300, 6, 10, "-1.23e-300"),
        (float("nan"), 6, 10, "nan"), (float("-inf"), 6, 10, "-inf"), (123456789.0, 2, 6, "1e+08"),
    ],
)  # fmt: skip
def test_a_number_takes_no_more_than_its_room(
    value: float, digits: int, room: int, expected: str
) -> None:
    """A number without room loses digits, never its first ones."""
    assert fitted(value, digits, room) == expected


def test_the_strip_of_a_long_run_is_binned() -> None:
    """A thousand steps share the columns of a screen, and the mark stands under the step's own."""
    trace = traced(steps=1000)
    for t in (1, 15, 16, 990, 1000):
        text = strip(Scene(EditedRun(trace), Cursor(t=t), colour=False), 80, 2)
        line, under = text.plain.split("\n")
        assert f"t = {t} · a column is the mean of 15 steps" in under
        assert under.index("▲") == line.index("] ") + 2 + (t - 1) // 15


def test_the_strip_has_the_colours_of_every_picture() -> None:
    """What has a sign keeps the ramp with a sign also where a run shows no negative number."""
    weights = LstmWeights(
        LSTM,
        {f"W_{k}": np.full((1, 2), 0.5) for k in "fiog"}
        | {f"b_{k}": np.full(1, 0.1) for k in "fiog"},
    )
    trace = run(Model.single(weights), [[0.5], [0.25]], [0.3], [0.2])
    shown = Scene(EditedRun(trace), Cursor(symbol="c"))
    expected = [scale_of(trace["c"], "c").colour(value) for value in trace["c"][:, 0]]
    line = strip(shown, 40, 2).plain.split("\n")[0]
    spans = [str(span.style) for span in strip(shown, 40, 2).spans if "on #" in str(span.style)]
    assert line.startswith("▸ C_t[0] ")
    assert spans == [f"on {colour}" for colour in expected]
    scales = {row.symbol: row.scale for row in rows_of(shown)}
    assert all(scales[s] == scale_of(trace[s], s) for s in ("c", "h", "g", "f", "x"))
    assert scales["c"].ramp == "signed"


def test_the_strip_without_colour_is_bars() -> None:
    """Without colour, 0 is the lowest bar of a gate and 1 the highest."""
    weights = LstmWeights(
        LSTM,
        {"W_f": np.array([[0.0, 800.0]]), "b_f": np.array([0.0])}
        | {f"W_{k}": np.zeros((1, 2)) for k in "igo"}
        | {f"b_{k}": np.zeros(1) for k in "igo"},
    )
    trace = run(Model.single(weights), [[-1.0], [1.0], [0.0]], [0.3], [0.2])
    text = strip(Scene(EditedRun(trace), Cursor(symbol="f"), colour=False), 40, 2).plain
    assert text.split("\n")[0] == "▸ f_t[0] " + "▁" * 8 + "█" * 8 + "▅" * 8


def test_marks_tell_what_enters_and_what_follows() -> None:
    """Seen from c, its gates and the state before enter it, and h is made from it."""
    flow = {row.symbol: row.flow for row in rows_of(scene(traced(), symbol="c"))}
    assert [s for s, mark in flow.items() if mark == "in"] == ["c_prev", "f", "i", "g"]
    assert [s for s, mark in flow.items() if mark == "out"] == ["h"]


@pytest.mark.parametrize("height", range(1, 8))
def test_every_row_that_an_input_enters_is_named(height: int) -> None:
    """Where there is no room for all equations, the line above them names their rows."""
    shown = working(scene(traced(), symbol="h_prev"), 80, height).plain.split("\n")
    assert len(shown) <= height
    rows = ["z_f", "z_i", "z_g", "z_o"]
    if height > len(rows):
        assert shown[0] == " h_{t−1} enters"
        assert [line.split(" = ")[0].strip() for line in shown[1:]] == rows
    else:
        assert shown[0] == " h_{t−1} enters z_f, z_i, z_g, z_o"


def test_a_number_says_where_it_is_from() -> None:
    """A state is the initial one, that of the step before, or put there by the reader."""
    trace = traced()
    assert origin(scene(trace, symbol="c_prev")).endswith("the initial state")
    assert origin(scene(trace, symbol="h_prev", t=3)).endswith("h_t of step 2")
    session = EditedRun(trace).edited(EditablePlace(0, "c_prev", (3, 0)), 2.0)
    said = origin(Scene(session, Cursor(symbol="c_prev", t=3)))
    assert said.startswith("C_{t−1}[0] = 2 · set by you · was ")
    upper = scene(stacked(), run=2, symbol="x")
    assert origin(upper).endswith("what layer 0 puts out")


def test_the_sentence_is_of_the_selected_gate() -> None:
    """A gate and its pre-activation say what the gate does to the unit; an input says nothing."""
    trace = traced()
    values = trace.layers[0].at(2)
    said = sentence(scene(trace, symbol="f", unit=3, t=2))
    share, old = float(values["f"][3]), float(values["c_prev"][3])
    assert said.startswith(f"forget gate: keeps {100 * share:.0f} % of the old ")
    assert said.endswith(f"that is {share * old:.4f}".rstrip("0").replace("-", "−"))
    assert sentence(scene(trace, symbol="z_f", unit=3, t=2)) == said
    assert sentence(scene(trace, symbol="x")) == ""


# ---- the app


async def _screen(app: ExploreApp, keys: Sequence[str], size: tuple[int, int]) -> str:
    async with app.run_test(size=size) as pilot:
        await _press(pilot, *keys)
        return _text(app)


async def _press(pilot: Pilot[EditedRun], *keys: str) -> None:
    """Press keys; a word that starts with `=` is typed letter by letter."""
    for key in keys:
        await pilot.press(*(key[1:] if key.startswith("=") else [key]))
    await pilot.pause()


def _text(app: ExploreApp) -> str:
    strips = app.screen._compositor.render_strips()
    return "".join(strip.text.rstrip() + "\n" for strip in strips)


def _hand(steps: int = 2) -> Trace:
    """Return a run whose numbers do not depend on a random generator."""
    model = read_weights(ROOT / "samples/weights/hand.json")
    x = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [-0.5, 0.25, 1.0]][:steps]
    return run(
        replace(model, source="hand.json"),
        x,
        [0.1, -0.2, 0.3, -0.4, 0.5],
        [0.5, -0.4, 0.3, -0.2, 0.1],
    )


SCREENS: dict[str, tuple[tuple[int, int], list[str]]] = {
    "start-80": ((80, 24), []),
    "start-120": ((120, 40), []),
    "start-60": ((60, 20), []),
    "cell-state": ((80, 24), ["down"] * 8 + ["full_stop"]),
    "input": ((80, 24), ["up"] * 9),
    "weights": ((80, 24), ["right", "w", "right", "right"]),
    "split": ((100, 30), ["n"]),
    "typing": ((80, 24), ["up", "e", "=-1.5"]),
    "refused": ((80, 24), ["up", "e", "=1;2", "enter"]),
    "edited": ((80, 24), ["up", "e", "=-1.5", "enter", *["down"] * 9]),
    "differences": ((100, 30), ["up", "e", "=-1.5", "enter", *["down"] * 9, "d"]),
    "help": ((80, 24), ["question_mark"]),
}


@pytest.mark.parametrize("name", SCREENS)
def test_screens(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on the screen is what is kept in tests/golden_explore/, without colour."""
    monkeypatch.setenv("NO_COLOR", "1")
    size, keys = SCREENS[name]
    shown = asyncio.run(_screen(ExploreApp(_hand(3)), keys, size))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(shown)
    assert shown == path.read_text()


def test_no_screen_is_kept_for_nothing() -> None:
    """Each kept screen has its case."""
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(SCREENS)


def test_keys_move() -> None:
    """Arrows move over rows and units; comma, stop, page keys, home and end over steps."""

    async def moves() -> list[tuple[str, int, int]]:
        app, seen = ExploreApp(traced()), []
        async with app.run_test() as pilot:
            for keys in (
                ["down"], ["right", "right"], ["full_stop"], ["pagedown"], ["comma"], ["end"],
                ["pageup"], ["home"], ["left"], ["up", "up"],
            ):  # fmt: skip
                await _press(pilot, *keys)
                seen.append((app.scene.cursor.symbol, app.scene.cursor.unit, app.scene.cursor.t))
        return seen

    assert asyncio.run(moves()) == [
        ("z_i", 0, 1), ("z_i", 2, 1), ("z_i", 2, 2), ("z_i", 2, 3), ("z_i", 2, 2), ("z_i", 2, 5),
        ("z_i", 2, 4), ("z_i", 2, 1), ("z_i", 1, 1), ("c_prev", 1, 1),
    ]  # fmt: skip


def test_shift_goes_ten_at_a_time() -> None:
    """In a large layer, Shift with an arrow moves by ten."""

    async def moves() -> tuple[str, int]:
        app = ExploreApp(traced(hidden=64))
        async with app.run_test() as pilot:
            await _press(pilot, *["shift+right"] * 4, "shift+left", "right", "shift+down")
            return app.scene.cursor.symbol, app.scene.cursor.unit

    assert asyncio.run(moves()) == ("h", 31)


def test_an_edit_is_followed_on_the_screen_and_taken_back() -> None:
    """A typed number changes the run as the witness says; u takes it back, r all, u the reset, U redoes."""
    trace = traced()
    each = trace.layers[0]
    x, first = each.values["x"].tolist(), each.at(1)
    x[0][2] = -2.25
    made = as_witness(trace.model.first).run(x, first["h_prev"].tolist(), first["c_prev"].tolist())

    async def edits() -> None:
        app = ExploreApp(trace)
        async with app.run_test() as pilot:
            await _press(pilot, *["up"] * 9, "right", "right", "e", "=-2.25", "enter")
            same_as_witness(app.trace, made)
            assert re.search(r"▸-2\.25 +◆", _text(app))
            await _press(pilot, "e", "=3", "enter", "u")
            same_as_witness(app.trace, made)
            await _press(pilot, "r")
            assert app.trace is trace
            await _press(pilot, "u")
            same_as_witness(app.trace, made)
            await _press(pilot, "u")
            assert app.trace is trace
            await _press(pilot, "e", "enter")
            assert "the number is the same" in _text(app)
            await _press(pilot, "u")
            assert "nothing to undo" in _text(app)
            await _press(pilot, "U")
            same_as_witness(app.trace, made)
            await _press(pilot, "U", "U")
            assert "nothing to redo" in _text(app)

    asyncio.run(edits())


def test_a_weight_is_edited_among_the_weights() -> None:
    """w, the arrows and e edit the weight that is selected, and the row follows."""
    trace = traced()

    async def edits() -> tuple[EditedRun, str]:
        app = ExploreApp(trace)
        async with app.run_test() as pilot:
            await _press(pilot, "down", "right", "w", "down", "right", "e", "=0.125", "enter", "w")
            return app.scene.session, _text(app)

    session, _ = asyncio.run(edits())
    assert [(e.place, e.value) for e in session.edits] == [(EditablePlace(0, "W_i", (2, 1)), 0.125)]
    witness = as_witness(trace.model.first)
    witness.U["i"][2][1] = 0.125
    each = trace.layers[0]
    first = each.at(1)
    steps = witness.run(
        each.values["x"].tolist(), first["h_prev"].tolist(), first["c_prev"].tolist()
    )
    same_as_witness(session.trace, steps)


def test_what_is_no_number_is_said_and_can_be_mended() -> None:
    """A bad number leaves the line open with the reason on the screen; no key moves meanwhile."""
    trace = traced()

    async def edits() -> None:
        app = ExploreApp(trace)
        async with app.run_test() as pilot:
            await _press(pilot, "up", "e", "=[red]", "enter")
            assert "'red' is not a number" in _text(app)
            assert app.editing
            cursor = app.scene.cursor
            await _press(pilot, "up", "down", "pagedown", "tab")
            assert app.scene.cursor == cursor
            await _press(pilot, *["backspace"] * 5, "=1.5", "enter")
            assert not app.editing
            assert app.scene.session.now(EditablePlace(0, "c_prev", (1, 0))) == 1.5

    asyncio.run(edits())


def test_escape_leaves_the_line_first() -> None:
    """Escape in the line to type in changes nothing and closes it; in help it goes back."""

    async def leaves() -> None:
        app = ExploreApp(traced())
        async with app.run_test() as pilot:
            await _press(pilot, "up", "e", "=9", "escape")
            assert not app.editing
            assert app.scene.session.edits == ()
            await _press(pilot, "question_mark")
            assert len(app.screen_stack) == 2
            await _press(pilot, "escape")
            assert len(app.screen_stack) == 1
            assert app.is_running

    asyncio.run(leaves())


def test_what_cannot_be_edited_says_so() -> None:
    """e on a gate opens nothing and says what can be edited."""

    async def edits() -> str:
        app = ExploreApp(traced())
        async with app.run_test(size=(120, 30)) as pilot:
            await _press(pilot, "e")
            assert not app.editing
            assert not app.query_one(Input).has_focus
            return _text(app)

    assert "z_f is computed: edit x, h_prev or c_prev, or press w" in asyncio.run(edits())


def test_play_steps_to_the_end_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tick is a step; at the last one the clock stops, and play starts again from the first."""
    monkeypatch.setattr("lstm_cli.commands.explore.app.SECONDS_A_STEP", 3600.0)  # only by hand

    async def plays() -> None:
        app = ExploreApp(traced(steps=3))
        async with app.run_test() as pilot:
            await _press(pilot, "end", "space")
            assert app.clock is not None
            assert app.scene.cursor.t == 1
            app.tick()
            assert app.scene.cursor.t == 2
            app.tick()
            assert (app.scene.cursor.t, app.clock) == (3, None)

    asyncio.run(plays())


@pytest.mark.parametrize("key", ["q", "escape", "ctrl+c", "ctrl+q"])
def test_every_way_out_is_clean(key: str) -> None:
    """q, Escape and Ctrl-C end the app with code 0 and give the session back."""

    async def ends() -> ExploreApp:
        app = ExploreApp(traced())
        async with app.run_test() as pilot:
            await _press(pilot, key)
        return app

    app = asyncio.run(ends())
    assert app.return_code == 0
    assert isinstance(app.return_value, EditedRun)


def test_stop_ends_the_app_in_the_middle_of_an_edit() -> None:
    """Ctrl-C ends it also while a number is typed or help is shown."""
    for keys in (["up", "e", "=1"], ["question_mark"]):
        app = ExploreApp(traced())
        asyncio.run(_screen(app, [*keys, "ctrl+c"], (80, 24)))
        assert app.return_code == 0


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (20, 6), (40, 12), (300, 90)])
@pytest.mark.few(1)
def test_any_size_of_screen_is_lived_with(size: tuple[int, int]) -> None:
    """Screens too small to be of use, or very large, are no error, with the weights shown too."""
    for keys in ([], ["w"], ["down"] * 9, ["up", "e"], ["question_mark"]):
        app = ExploreApp(stacked())
        asyncio.run(_screen(app, [*keys, "l"], size))
        assert app.return_code in (None, 0)


HOSTILE = """
name = "[bold red]evil[/]\\u001b[2J"
title = "[link=http://a.b]x[/link]"
equations = '''
z_f = W_f @ [h_prev, x] + b_f   # [blink]forget[/] [@click=app.bell]gate
z_g = W_g @ x + b_g             # a label \\u001b[31m with an escape
f = sigmoid(z_f)                # [/]
c = f * c_prev + tanh(z_g)      # c
h = tanh(c)                     # h
'''
"""


def test_foreign_text_is_only_text(tmp_path: Path) -> None:
    """Markup and escapes in a reader's own cell are shown as they are, and steer nothing."""
    path = tmp_path / "evil.toml"
    path.write_text(HOSTILE)
    cell = read_cell(str(path))
    weights = random_weights(cell)
    trace = run(Model.single(weights, source="[b]file[/b]\x1b[2J"), *random_inputs(weights))
    shown = asyncio.run(_screen(ExploreApp(trace), [], (150, 40)))
    assert "[blink]forget[/] [@click" in shown
    assert "[b]file[/b]\\x1b[2J" in shown
    assert "\x1b" not in shown


def test_not_finite_numbers_are_shown() -> None:
    """A run that has overflown is looked at like any other."""
    weights = random_weights(LSTM)
    x, h, c = random_inputs(weights, 3)
    c[1] = np.inf
    c[2] = np.nan
    trace = run(Model.single(weights), x, h, c)
    for keys in (["down"] * 4, ["down"] * 8, ["up"] * 2, ["down"] * 9 + ["right", "full_stop"]):
        shown = asyncio.run(_screen(ExploreApp(trace), keys, (120, 40)))
        assert "inf" in shown
        assert "nan" in shown


# ---- the command


def test_a_terminal_is_needed() -> None:
    """Without a terminal the error says so and names `run`."""
    done = call("explore", "--x", "1")
    assert done.code == 2
    assert "explore needs a terminal" in done.err
    assert "try:   lstm-step run" in done.err


def test_help_loads_nothing_heavy() -> None:
    """`explore --help` imports neither Textual nor NumPy."""
    code = (
        "import sys; from lstm_cli.commands._main import _guarded; code = _guarded(['explore', '--help']);"
        "print(code, sorted({'textual', 'numpy', 'rich.table'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_the_examples_of_its_help_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example of `explore --help` reads its run and starts the app on it."""
    from lstm_cli.commands.explore import command as explore

    started: list[Trace] = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(explore, "_need_terminal", lambda: None)
    monkeypatch.setattr(ExploreApp, "run", lambda app: started.append(app.trace))
    examples = re.findall(r"^ +(lstm-step .*)$", call("explore", "--help").out, re.MULTILINE)
    for example in examples:
        done = call(*shlex.split(example)[1:])
        assert (done.code, done.out, done.err) == (0, "", "")
    assert len(started) == len(examples) >= 3
    assert [trace.steps for trace in started] == [1, 2, 4, 20]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--x", "1,2", "--h", "0.5,0.25"], ["--x", "1,2;3,4", "--steps", "1", "--dtype", "float32"],
        ["--x", "1,2", "--steps", "3", "--cell", "peephole", "--preset", "random", "--seed", "7"],
        ["--x", "0.5,1", "--cell-clip", "0.5", "--forget-bias", "0", "--hidden-size", "2"],
        ["--x", "1,nan", "--allow-nonfinite", "--activations", "sigmoid,softsign,tanh"],
    ],
)  # fmt: skip
def test_what_is_printed_runs_again(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With any options, the command that is printed gives the edited run."""
    from lstm_cli.commands.explore import command as explore

    kept: list[EditedRun] = []

    def edit(app: ExploreApp) -> EditedRun:
        session = app.scene.session.edited(EditablePlace(0, "x", (1, 0)), -0.7)
        kept.append(session.edited(EditablePlace(0, "c_prev", (1, 1)), 0.3))
        return kept[-1]

    monkeypatch.setattr(explore, "_need_terminal", lambda: None)
    monkeypatch.setattr(ExploreApp, "run", edit)
    done = call("explore", *arguments)
    assert done.code == 0
    again = done.out.splitlines()[-1].removeprefix("again: lstm-step ")
    steps = call(*shlex.split(again), "--json").json["steps"]
    trace = kept[0].trace
    assert len(steps) == trace.steps
    for step in steps:
        for symbol, values in trace.layers[0].at(step["t"]).items():
            got = np.array(step[symbol], dtype=trace.dtype)
            assert np.array_equal(got, values, equal_nan=True), symbol


def test_a_missing_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Textual the error has the line that installs it."""
    from lstm_cli.commands.explore import command as explore

    monkeypatch.setattr(explore, "_need_terminal", lambda: None)
    monkeypatch.setitem(sys.modules, "textual", None)
    done = call("explore", "--x", "1")
    assert done.code == 3
    assert "try:   pip install 'lstm-cli[explore]'" in done.err


def test_edits_are_told() -> None:
    """Each edit is a line with the number before and after it."""
    session = EditedRun(_hand()).edited(EditablePlace(0, "x", (2, 1)), 0.5)
    session = session.edited(EditablePlace(0, "b_o", (1,)), -2.0)
    lines = list(edit_lines(session))
    assert lines[0] == "edited: x_t[1] of step 2: 5 → 0.5"
    assert lines[1].startswith("edited: b_o[1]: ")
    assert lines[1].endswith(" → -2")
    assert repeated_vectors(session) is None
    stack = EditedRun(stacked()).edited(EditablePlace(3, "c_prev", (4, 2)), 0.25)
    assert "(layer 1 backward)" in next(iter(edit_lines(stack)))


def test_a_state_in_the_middle_is_no_option() -> None:
    """Only x and initial states can be said by options; those of a stack are its rows."""
    middle = EditedRun(_hand()).edited(EditablePlace(0, "c_prev", (2, 0)), 0.5)
    assert repeated_vectors(middle) is None
    first = EditedRun(_hand()).edited(EditablePlace(0, "c_prev", (1, 0)), 0.25)
    assert repeated_vectors(first) == {"--c": "0.25,-0.4,0.3,-0.2,0.1"}
    trace = stacked()
    rows = repeated_vectors(EditedRun(trace).edited(EditablePlace(3, "c_prev", (4, 2)), 0.25))
    assert rows is not None
    assert rows["--c"].count(";") == 3
    assert rows["--c"].split(";")[3].split(",")[2] == "0.25"


# ---- a real terminal


def _drive(
    arguments: Sequence[str], keys: Sequence[bytes], **environment: str
) -> tuple[int, bytes]:
    """Run the command on a terminal of its own, each key once the screen stands still."""
    import pty

    ours, theirs = pty.openpty()
    size = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    command = subprocess.Popen(
        [sys.executable, "-m", "lstm_cli", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | size | environment,
        start_new_session=True, cwd=ROOT,
    )  # fmt: skip
    os.close(theirs)
    out, waiting = b"", list(keys)
    deadline = time.monotonic() + 60
    with command:
        while time.monotonic() < deadline:
            ready, _, _ = select.select([ours], [], [], 0.5)
            if not ready and waiting and b"\x1b[?1049h" in out and b"quit" in out:
                os.write(ours, waiting.pop(0))
            if not ready:
                continue
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # so a terminal ends on Linux
                break
            if not chunk:
                break
            out += chunk
        else:
            command.kill()
    os.close(ours)
    return command.returncode, out


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
@pytest.mark.parametrize("last", [b"q", b"\x03"])
def test_a_terminal_is_left_as_it_was(last: bytes) -> None:
    """On a real terminal an edit is followed; the end restores the screen and says how to repeat."""
    arguments = ["--x", "0.5,1;2,3", "--h", "0.1,0.2", "--preset", "random", "--seed", "4"]
    code, out = _drive(["explore", *arguments], [b"\x1b[A", b"e", b"-1.5\r", last])
    assert code == 0
    assert out.count(b"\x1b[?1049h") == 1
    assert out.count(b"\x1b[?1049l") == 1
    assert b"\x1b[?25h" in out.split(b"\x1b[?1049l")[1] + out.split(b"\x1b[?1049h")[1]
    said = out.split(b"\x1b[?1049l")[1].decode()
    assert "edited: C_{t−1}[0] of step 1: 0 → -1.5" in said
    again = shlex.split(next(w for w in said.splitlines() if w.startswith("again: "))[7:])
    assert again[:2] == ["lstm-step", "run"]
    repeated = call(*again[1:], "--json").json
    assert repeated["steps"][0]["c_prev"] == [-1.5, 0]
    assert repeated == call("run", *arguments, "--c", "-1.5,0", "--json").json


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
def test_no_color_is_heeded() -> None:
    """With NO_COLOR no escape of a colour reaches the terminal."""
    code, out = _drive(["explore", "--x", "0.5,1;2,3"], [b"q"], NO_COLOR="1", COLORTERM="truecolor")
    assert code == 0
    codes = {c for run_ in re.findall(rb"\x1b\[([0-9;]*)m", out) for c in run_.split(b";")}
    assert codes <= {b"", b"0", b"1", b"2", b"4", b"7", b"39", b"49"}
