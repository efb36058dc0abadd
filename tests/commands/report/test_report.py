"""`report`: pages and pictures by the file's name, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from lstm_cli.base.errors import InputError, UsageError
from lstm_cli.cell.cells import LSTM
from lstm_cli.cell.equations import FUNCTIONS
from lstm_cli.cell.presets import preset_model
from lstm_cli.commands.report.page import SCRIPTS, PageView, _file, page
from lstm_cli.engine.run import Trace, run
from lstm_cli.show.colours import NOT_FINITE
from tests.tools import ROOT
from tests.tools import call as cli

STEP = ["--h", "0,0.5,0.1,0.2,0.6", "--x", "-0.1,0.3,0.1,-0.25,0.1"]
PARITY = ["--x", "1;0;1;1;0", "-w", str(ROOT / "samples/weights/parity.npz")]


def random_trace(inputs: int, units: int, steps: int) -> Trace:
    model = preset_model("random", LSTM, sizes={"I": inputs, "H": units}, seed=2)
    rng = np.random.default_rng(3)
    return run(model, rng.normal(size=(steps, inputs)), rng.normal(size=units) / 3,
               rng.normal(size=units))  # fmt: skip


def data_of(html: str) -> dict:
    (text,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', html, re.S)
    return json.loads(text)


# ---- the page


def test_a_page_is_one_file_that_asks_for_nothing() -> None:
    """No address, no import, no picture from elsewhere; its policy lets in its own script alone."""
    html = page(random_trace(3, 4, 5), PageView(), "1")
    shown = html.replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?:|//\w|@import|url\(|\bsrc=|\bhref=", shown)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'")
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]


def test_sixty_four_units_over_two_hundred_steps_are_small() -> None:
    """64 inputs, 64 units, 200 steps: below 1.5 MB."""
    assert len(page(random_trace(64, 64, 200), PageView(), "1").encode()) < 1_500_000


def test_the_page_holds_no_formula() -> None:
    """The script names primitives of its language; every equation comes as data from the table."""
    script = "".join(_file(name) for name in SCRIPTS)
    computed = {name for name, function in FUNCTIONS.items()
                if function.body is not None or function.formula is not None}  # fmt: skip
    assert not [name for name in computed if re.search(rf"\b{name}\b", script)]
    rows = data_of(page(random_trace(2, 3, 1), PageView(), "1"))["cells"][0]["rows"]
    trees = {row["symbol"]: row["tree"] for row in rows}
    assert trees["c"] == ["+", ["*", "f", "c_prev"], ["*", "i", "g"]]
    assert trees["z_o"] == ["+", ["@", "W_o", ["concat", "h_prev", "x"]], "b_o"]


def test_numbers_that_are_single_take_half_the_room() -> None:
    """Weights that float32 holds exactly are stored so, and others keep every bit."""
    trace = random_trace(8, 32, 4)
    whole = page(trace, PageView(), "1")
    halves = {name: np.float32(array).astype(float)
              for name, array in trace.model.first.arrays.items()}  # fmt: skip
    from lstm_cli.cell.weights import LstmWeights, Model

    narrow = run(Model.single(LstmWeights(LSTM, halves)), trace["x"])
    stored = data_of(page(narrow, PageView(), "1"))["runs"][0]["parameters"]["W_f"]
    assert stored["single"]
    assert not data_of(whole)["runs"][0]["parameters"]["W_f"]["single"]
    raw = base64.b64decode(data_of(whole)["runs"][0]["parameters"]["W_f"]["data"])
    read = np.frombuffer(raw, "<f8").reshape(32, 40)
    assert np.array_equal(read, trace.model.first.arrays["W_f"])


def test_a_page_that_no_browser_would_open_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is known before memory is taken, and the message says what helps."""
    monkeypatch.setattr("lstm_cli.commands.report.page.MAX_BYTES", 10_000)
    with pytest.raises(UsageError, match="more than 0") as caught:
        page(random_trace(8, 16, 20), PageView(), "1")
    assert "--steps" in caught.value.lines.hint


def test_without_jinja2_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is named with its command."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(InputError) as caught:
        page(random_trace(1, 1, 1), PageView(), "1")
    assert caught.value.hint == "pip install 'lstm-cli[report]'"


def test_hostile_names_are_escaped() -> None:
    """Names and labels cannot end the script, open a tag or an attribute."""
    from dataclasses import replace

    evil = "</script><script>alert(1)</script><!--\"'"
    trace = random_trace(1, 2, 2)
    hostile = replace(trace, model=replace(trace.model, source=evil, assumptions=(evil,)))
    html = page(replace(hostile, assumptions=(evil,)), PageView(), "1")
    assert "<script>alert" not in html
    assert html.count("<script") == 2
    assert "<!--" not in html.replace("<!DOCTYPE", "")


# ---- the command


@pytest.mark.parametrize(
    ("arguments", "name", "is_circuit"),
    [
        (STEP, "cell.svg", True),
        (STEP, "anything.svg", True),
        (PARITY, "anything.svg", False),
        (PARITY, "cell-of-parity.svg", True),
        (PARITY, "gates.svg", False),
        ([*PARITY, "--picture", "circuit"], "gates.svg", True),
        ([*STEP, "--picture", "strips"], "cell.svg", False),
    ],
)
def test_the_files_name_or_the_run_says_what_a_picture_shows(
    tmp_path: Path, arguments: list[str], name: str, is_circuit: bool
) -> None:
    """cell… is the circuit, gates… are strips, else one step is a circuit; --picture overrules."""
    done = cli("report", *arguments, "-o", str(tmp_path / name))
    assert done.code == 0, done.err
    root = ElementTree.parse(tmp_path / name).getroot()
    assert (root.get("class") == "circuit") == is_circuit


def test_a_picture_says_what_it_shows(tmp_path: Path) -> None:
    """The unit with the largest |h| of the last step, unless others are chosen."""
    path = tmp_path / "cell.svg"
    assert cli("report", *STEP, "-o", str(path)).code == 0
    assert "lstm, unit 1 of 5, step 1 of 1" in path.read_text()
    assert cli("report", *PARITY, "--unit", "1", "--at", "2", "-o", str(path)).code == 0
    assert "lstm, unit 1 of 2, step 2 of 5" in path.read_text()


def test_a_stack_has_a_circuit_for_each_of_its_runs(tmp_path: Path) -> None:
    """--layer and --direction choose the run; without them it is the last layer's first."""
    arrays = {}
    rng = np.random.default_rng(0)
    for layer, wide in ((0, 2), (1, 6)):
        for back in ("", "_reverse"):
            arrays[f"weight_ih_l{layer}{back}"] = rng.normal(size=(12, wide))
            arrays[f"weight_hh_l{layer}{back}"] = rng.normal(size=(12, 3))
            arrays[f"bias_ih_l{layer}{back}"] = rng.normal(size=12)
            arrays[f"bias_hh_l{layer}{back}"] = rng.normal(size=12)
    weights = tmp_path / "w.npz"
    np.savez(weights, **arrays)
    path = tmp_path / "cell.svg"
    common = ["report", "--x", "1,2;3,4", "-w", str(weights), "-o", str(path)]
    assert cli(*common, "--layer", "0", "--direction", "backward").code == 0
    assert "layer 0 backward" in path.read_text()
    assert cli(*common).code == 0
    assert "layer 1 forward" in path.read_text()
    assert cli(*common, "--layer", "4").err.startswith("error: --layer 4 is outside 0 to 1")
    page_ = tmp_path / "page.html"
    assert cli("report", "--x", "1,2;3,4", "-w", str(weights), "-o", str(page_)).code == 0
    runs = data_of(page_.read_text())["runs"]
    assert [each["title"] for each in runs][-1] == "layer 1 backward"
    assert runs[2]["x"] == {"below": [0, 1]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs a file"),
        (["-o", "x.gif"], "unknown suffix '.gif'"),
        (["-o", "x"], "'x' has no suffix"),
        (["-o", "cell.png"], "a circuit cannot be written as png"),
        (["-o", "page.html", "--picture", "lines"], "--picture has no effect on a page"),
        (["-o", "cell.svg", "--only", "f"], "--only has no effect on a circuit"),
        (["-o", "page.html", "--layer", "0"], "--layer has no effect on a page"),
        (["-o", "gates.svg", "--theme", "auto"], "only a circuit can have both themes"),
        (["-o", "cell.svg", "--unit", "0,1"], "--unit selects 2, but a circuit shows one"),
        (["-o", "cell.svg", "--unit", "9"], "'9' is outside 0 to 4"),
        (["-o", "cell.svg", "--width", "1"], "a picture cannot be 1 cm wide\nwhere: --width"),
        (["-o", "gates.svg", "--width", "1"], "a picture cannot be 1 cm wide\nwhere: --width"),
        (["-o", "page.html", "--at", "2"], "'2' is outside 1 to 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """A wrong option ends with 2, in three lines, and leaves no file."""
    monkeypatch.chdir(tmp_path)
    done = cli("report", *STEP, *arguments)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) >= 3
    assert not list(tmp_path.iterdir())


def test_a_page_goes_to_stdout_when_asked(tmp_path: Path) -> None:
    """`-o - -f html` is for a pipe."""
    done = cli("report", *STEP, "-o", "-", "-f", "html")
    assert done.code == 0
    assert done.out.startswith("<!DOCTYPE html>")
    assert "assumed: c0 not given: zeros" in done.err
    assert data_of(done.out)["view"] == {"unit": 1, "t": 1, "digits": 6}


@pytest.mark.parametrize("name", ["page.html", "cell.svg", "gates.svg"])
def test_what_is_no_number_is_shown_where_it_is_let_in(tmp_path: Path, name: str) -> None:
    """A run that went wrong is one to look at: the hint of the refusal is an option that helps."""
    path = tmp_path / name
    lost = ["report", "--x", "1,2;nan,1", "--c", "0.5,-1", "-o", str(path)]
    refused = cli(*lost)
    assert refused.code == 3
    assert "try:   --allow-nonfinite" in refused.err
    done = cli(*lost, "--allow-nonfinite")
    assert done.code == 0, done.err
    text = path.read_text()
    assert name == "page.html" or "nan" in text or NOT_FINITE in text


def test_the_readmes_circuit_is_what_the_command_makes(tmp_path: Path) -> None:
    """The picture in docs is today's: `python docs/make_pictures.py` makes it anew."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import make_pictures
    finally:
        sys.path.pop(0)
    made = tmp_path / "cell.svg"
    assert cli("report", *make_pictures.CIRCUIT, "-o", str(made)).code == 0
    assert made.read_bytes() == (ROOT / "docs/pictures/cell.svg").read_bytes()
    readme = (ROOT / "README.md").read_text()
    assert "docs/pictures/cell.svg" in readme
    assert "docs/pictures/page.png" in readme
