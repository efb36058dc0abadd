"""The strip on a terminal: colours that are the numbers, characters that are, and what is said."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError
from lstm_cli.cell.cells import LSTM
from lstm_cli.cell.weights import Layer, Model
from lstm_cli.commands.run.strip import print_strip
from lstm_cli.engine.run import Trace, run
from lstm_cli.show.colours import NOT_FINITE, Scale
from lstm_cli.show.rows import View
from tests.cases import witness_case
from tests.conftest import random_inputs, random_weights
from tests.tools import ROOT, assert_refused, assert_tame, call, shell

COUNT = ["--preset", "count", "--x", "1,0;0,0;1,1;1,0"]


def drawn(trace: Trace, view: View | None = None, *, width: int = 80, colours: Any = None) -> str:
    """What is printed, with escapes where colours are asked for."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=bool(colours), color_system=colours, _environ={}
    )
    print_strip(console, trace, view or View())
    return stream.getvalue()


def trace_of(hidden: int, steps: int, lead: tuple[int, ...] = ()) -> Trace:
    weights = random_weights(LSTM, hidden=hidden)
    return run(Model.single(weights), *random_inputs(weights, steps, lead))


def blocks(text: str) -> dict[str, list[Text]]:
    """Label -> the lines of its strip, without the numbers of units."""
    found: dict[str, list[Text]] = {}
    label = ""
    for raw in text.splitlines():
        line = Text.from_ansi(raw)
        heading = re.fullmatch(r"\S+  ((?:\w+ )*\w+)", line.plain)
        units = re.match(r" *\d+(,\d+)* (?! *\S*[:.\d])", line.plain)
        if heading:
            label = heading[1]
            found[label] = []
        elif units and label and "  " not in line.plain.strip()[:3]:
            found[label].append(line[units.end() :])
    return found


def colours_of(line: Text) -> list[tuple[str, ...]]:
    """The colours of each character: the background of a blank; of a block both, upper first."""
    console, found = Console(), list[tuple[str, ...]]()
    for place, character in enumerate(line.plain):
        style = line.get_style_at_offset(console, place)
        both = [style.bgcolor] if character == " " else [style.color, style.bgcolor]
        found.append(tuple(c.triplet.hex for c in both if c is not None and c.triplet is not None))
    return found


# ---- in colour


@pytest.mark.parametrize("name", ["lstm", "peephole", "coupled-input", "hard-sigmoid"])
def test_each_colour_is_that_of_the_witnesss_number(name: str) -> None:
    """A true-colour terminal shows a step as wide as there is room, in the colour of its number."""
    case = witness_case(name)
    strips = blocks(drawn(case.run(), colours="truecolor"))
    labels = {"f": "forget gate", "i": "input gate", "o": "output gate"}
    for symbol, label in labels.items():
        expected = case.expected[symbol]
        assert len(strips[label]) == expected.shape[1]
        for line, values in zip(strips[label], expected.T, strict=True):
            wanted = [Scale("share", 0.0, 1.0).colour(v) for v in values for _ in range(6)]
            assert colours_of(line) == [(colour,) for colour in wanted]


def test_from_five_units_on_two_share_a_line() -> None:
    """The upper half of a block is one unit, the lower the next; an odd one stands alone."""
    trace = trace_of(7, 9)
    strips = blocks(drawn(trace, colours="truecolor"))
    values, scale = trace["o"], Scale("share", 0.0, 1.0)
    lines = strips["output gate"]
    assert len(lines) == 4
    for number, line in enumerate(lines):
        units = values[:, 2 * number : 2 * number + 2]
        wanted = [tuple(scale.colour(v) for v in step) for step in units for _ in range(6)]
        assert colours_of(line) == wanted


def test_what_has_a_sign_is_blue_or_orange() -> None:
    """The cell state's colours are those of its own scale, which the legend numbers."""
    trace = trace_of(3, 5)
    end = max(1.0, float(np.abs(trace["c"]).max()))
    text = drawn(trace, colours="truecolor")
    for line, values in zip(blocks(text)["cell state"], trace["c"].T, strict=True):
        wanted = [Scale("signed", -end, end).colour(v) for v in values for _ in range(6)]
        assert colours_of(line) == [(colour,) for colour in wanted]
    assert f"{end:.3g}  " in Text.from_ansi(text).plain


@pytest.mark.parametrize("colours", [None, "standard"])
def test_too_few_colours_mean_characters(colours: Any) -> None:
    """Sixteen colours would show wrong numbers, so that there are none."""
    text = drawn(trace_of(3, 5), colours=colours)
    assert "│" in text
    assert "\x1b[48" not in text


def test_a_terminal_of_256_colours_has_them() -> None:
    """Each colour is the nearest of the 256."""
    how = {"TERM": "xterm-256color", "COLORTERM": ""}
    done = shell(*COUNT, "-f", "table", "--strip", "--color", "always", env=how)
    assert b"\x1b[48;5;" in done.stdout
    assert b"48;2;" not in done.stdout


def test_what_is_no_number_is_seen() -> None:
    """nan is magenta or a mark, and the legend says what that means."""
    weights = random_weights(LSTM, hidden=2)
    x, h, c = random_inputs(weights, 4)
    x[2] = np.nan
    trace = run(Model.single(weights), x, h, c)
    plain = drawn(trace)
    assert "!" in blocks(plain)["forget gate"][0].plain
    assert plain.splitlines()[-1].split() == ["│!│", "nan", "or", "inf"]
    coloured = blocks(drawn(trace, colours="truecolor"))["forget gate"][0]
    assert [each == (NOT_FINITE,) for each in colours_of(coloured)] == [False] * 12 + [True] * 12


# ---- in characters

EXPECTED = """\
the whole run, steps 1 to 4

f_t  forget gate
0 │████████████████████████│
1 │████████████████████████│
i_t  input gate
0 │██████      ████████████│
1 │            ██████      │
C̃_t  candidate cell state
0 │████████████████████████│
1 │████████████████████████│
o_t  output gate
0 │████████████████████████│
1 │████████████████████████│
C_t  cell state
0 │▂▂▂▂▂▂▂▂▂▂▂▂▅▅▅▅▅▅██████│
1 │············▂▂▂▂▂▂▂▂▂▂▂▂│
h_t  hidden state
0 │▅▅▅▅▅▅▅▅▅▅▅▅████████████│
1 │············▅▅▅▅▅▅▅▅▅▅▅▅│
t  1     2     3     4

 0 │  ▁▂▂▂▃▄▄▄▅▆▆▆▇██│ 1  f_t, i_t, o_t
−1 │≡≡==---···▂▂▂▅▅██│ 1  C̃_t, h_t
−3 │≡≡==---···▂▂▂▅▅██│ 3  C_t
"""


def strip_part(*options: object, **how: Any) -> str:
    answer = call(*options, "-f", "table", "--strip", **how)
    assert answer.code == 0, answer.err
    assert_tame(answer)
    return answer.out[answer.out.index("the whole run") :]


def test_the_counter_counts_in_characters() -> None:
    """Ones come in at unit 0 three times and at unit 1 once; the screen is typed, not recorded."""
    assert strip_part(*COUNT) == EXPECTED


def test_where_blocks_cannot_be_written_there_is_ascii() -> None:
    """The same shape in letters: blank to @ for shares, V up to A for what has a sign."""
    text = strip_part(*COUNT, encoding="ascii")
    pairs = [
        ("i  input gate", "0 |@@@@@@      @@@@@@@@@@@@|"),
        ("c  cell state", "0 |''''''''''''^^^^^^AAAAAA|"),
    ]
    for heading, line in pairs:
        lines = text.splitlines()
        assert lines[lines.index(heading) + 1] == line
    assert "-3 |VVvv,,,...'''^^AA| 3  c" in text
    assert text.isascii()


def test_signs_are_told_apart_in_characters() -> None:
    """Below zero lines, above it blocks, a dot around it: at sevenths of the scale."""
    trace = trace_of(4, 40)
    end = max(1.0, float(np.abs(trace["c"]).max()))
    for line, values in zip(
        blocks(drawn(trace, width=60))["cell state"], trace["c"].T, strict=True
    ):
        signs = ["≡=-·▂▅█"[int(np.floor((v / end + 1) * 3 + 0.5))] for v in values]
        assert line.plain == f"│{''.join(signs)}│"


@pytest.mark.parametrize("width", [30, 60, 80, 120])
@pytest.mark.parametrize("colours", [None, "truecolor"])
def test_long_runs_are_means_and_fit(width: int, colours: Any) -> None:
    """A thousand steps fit any width; each column is the mean that the first lines promise."""
    trace = trace_of(3, 1000)
    text = drawn(trace, width=width, colours=colours)
    plain = Text.from_ansi(text).plain
    size = int(re.search(r"each column is the mean of (\d+) steps", " ".join(plain.split()))[1])  # type: ignore[index] # it is there
    assert max(cell_len(line) for line in plain.splitlines()) <= width
    means = [trace["o"][start : start + size, 1].mean() for start in range(0, 1000, size)]
    line = blocks(text)["output gate"][1]
    if colours:
        assert colours_of(line) == [(Scale("share", 0.0, 1.0).colour(v),) for v in means]
    else:
        assert line.plain == "│" + "".join(" ▁▂▃▄▅▆▇█"[round(v * 8)] for v in means) + "│"


def test_numbers_of_steps_stand_under_their_columns() -> None:
    """Step 200 is written from the column that holds it."""
    lines = drawn(trace_of(2, 1000), width=60).splitlines()
    (axis,) = [line for line in lines if line.startswith("t ")]
    size = int(re.search(r"mean of (\d+)", "".join(lines))[1])  # type: ignore[index] # it is there
    for match in re.finditer(r"\d+", axis):
        assert match.start() - len("0 │") == (int(match[0]) - 1) // size
    assert len(re.findall(r"\d+", axis)) >= 4


def test_of_many_units_eight_are_drawn_and_named() -> None:
    """Sixteen units have a line each; of seventeen, the eight that move most."""
    assert len(blocks(drawn(trace_of(16, 6)))["forget gate"]) == 16
    trace = trace_of(17, 6)
    text = drawn(trace)
    assert "8 of 17 units, those whose C_t moves most" in text
    chosen = sorted(np.argsort(-np.ptp(trace["c"], axis=0))[:8].tolist())
    numbers = re.findall(r"^ *(\d+) │", text.split("input gate")[0], re.MULTILINE)
    assert [int(each) for each in numbers] == chosen


def test_units_chosen_are_the_units_drawn() -> None:
    """--unit chooses lines; --at chooses steps of the table, and the strip has all."""
    text = strip_part(*COUNT, "--unit", "1", "--at", "2")
    assert "steps 1 to 4" in text
    assert not re.search("^0 │", text, re.MULTILINE)
    assert len(re.findall("^1 │", text, re.MULTILINE)) == 6


def test_layers_and_directions_have_headings() -> None:
    """Each layer and direction has its own strips and its own line of steps."""
    sides: Any = {
        d: random_weights(LSTM, 2, 3, seed=s) for s, d in enumerate(("forward", "backward"))
    }
    x: Array = np.random.default_rng(1).normal(size=(6, 2))
    text = drawn(run(Model((Layer(sides),)), x))
    assert [line for line in text.splitlines() if line.startswith("layer")] == [
        "layer 0 forward", "layer 0 backward",
    ]  # fmt: skip
    assert len(re.findall(r"^t +1 ", text, re.MULTILINE)) == 2


# ---- the command


def test_the_table_is_as_without_it() -> None:
    """--strip adds to the end of the table and changes none of it."""
    table = call(*COUNT, "-f", "table").out
    both = call(*COUNT, "-f", "table", "--strip").out
    assert both.startswith(table)
    assert both[len(table) :].lstrip("\n") == EXPECTED


def test_colour_is_heeded() -> None:
    """--color always colours a pipe; --color never and NO_COLOR do not."""
    colours = {"COLORTERM": "truecolor", "TERM": "xterm-256color"}
    assert (
        "\x1b[48;2;" in call(*COUNT, "-f", "table", "--strip", "--color", "always", env=colours).out
    )
    for how in (["--color", "never"], []):
        assert strip_part(*COUNT, *how, env={**colours, "NO_COLOR": "1"}) == EXPECTED


@pytest.mark.parametrize("kind", ["plain", "json", "jsonl", "csv", "markdown", "latex", "npz", "c"])
def test_other_formats_refuse_it(kind: str) -> None:
    """A strip stands under a table; elsewhere it would break what reads the answer."""
    answer = call(*COUNT, "-f", kind, "--strip")
    assert (answer.code, answer.raw) == (2, b"")
    assert f"--strip is drawn below a table, but the format is {kind}" in answer.err
    assert "-f table" in answer.err


def test_a_pipe_and_integers_refuse_it() -> None:
    """The default of a pipe is no table, and a strip is of the float run."""
    assert_refused(call(*COUNT, "--strip"), 2, "the format is plain")
    assert_refused(call(*COUNT, "--strip", "-f", "table", "--fixed", "Q3.12"), 2, "--fixed")


def test_a_file_can_hold_it(tmp_path: Path) -> None:
    """-o writes table and strip, in characters."""
    path = tmp_path / "run.txt"
    assert call(*COUNT, "-f", "table", "--strip", "-o", path).code == 0
    assert path.read_text().endswith(EXPECTED)


def test_foreign_labels_steer_no_terminal(tmp_path: Path) -> None:
    """A label with escapes, and gates of a reader's own, are shown; nothing else happens."""
    path = tmp_path / "own.toml"
    path.write_text(
        'equations = """\nr = sigmoid(W_r @ [h_prev, x] + b_r)  # [red]gate\\u001b[31m\\u202e\n'
        'c = r * c_prev + x\nh = tanh(c)  # \\u200bstate\n"""\n'
    )
    text = strip_part("--cell", path, "--x", "1,2;3,-4", "--preset", "random")
    assert r"r_t  [red]gate\x1b[31m\u202e" in text
    assert re.findall(r"^([rCh]_t)(?:$|  )", text, re.MULTILINE) == ["r_t", "C_t", "h_t"]


def test_many_samples_are_refused() -> None:
    """A batch has no one course over time."""
    with pytest.raises(InputError, match="many samples"):
        drawn(trace_of(2, 3, (2,)))


def test_real_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parity network's course fits sixty columns in a pipe."""
    monkeypatch.chdir(ROOT)
    text = strip_part("--x", "1;0;1;1", "-w", "samples/weights/parity.npz", env={"COLUMNS": "60"})
    assert max(map(cell_len, text.splitlines())) <= 60
