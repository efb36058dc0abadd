"""`run --fixed` as a shell sees it: what is asked, what is refused, every format of the answer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from lstm_cli.base.errors import UsageError
from lstm_cli.cell.cells import cell_named
from lstm_cli.engine.fixed_settings import KINDS, Activation, FixedFormat, FixedSettings, kind_of
from tests.commands.test_schemas import validator
from tests.engine.test_fixed_point import OWN
from tests.tools import ROOT, assert_refused, assert_tame, call

# ---- settings


def test_kinds_are_told_apart() -> None:
    """Each symbol and parameter has one kind, and every kind has something in some cell."""
    cell = cell_named("peephole+projection")
    kinds = {name: kind_of(name, cell) for name in (*cell.parameters, "x", *cell.symbols)}
    assert {kinds[name] for name in ("W_f", "p_o", "W_hr")} == {"weights"}
    assert {kinds[name] for name in "figo"} == {"gates"}
    assert (kinds["b_f"], kinds["z_o"], kinds["c"], kinds["h"], kinds["x"]) == (
        "bias", "sum", "cell", "state", "input",
    )  # fmt: skip
    assert set(kinds.values()) == set(KINDS)


def test_settings_are_read() -> None:
    """One format for all, and others by kind, in any order, with blanks."""
    made = FixedSettings.parse(
        " weights=Q1.14, Q3.12 ,sum = Q7.24", "floor", "wrap", "table:64:linear"
    )
    assert {k: str(v) for k, v in made.formats.items()} == dict.fromkeys(KINDS, "Q3.12") | {
        "weights": "Q1.14", "sum": "Q7.24",
    }  # fmt: skip
    assert made.activation == Activation("table", 64, True)
    for text in ("exact", "hard", "table:256", "table:2:linear"):
        assert str(Activation.parse(text)) == text
    every = ",".join(f"{kind}=Q3.12" for kind in KINDS)
    assert FixedSettings.parse(every).formats == FixedSettings.parse("Q3.12").formats


def test_settings_are_checked() -> None:
    """Settings made in Python are held to the same: known modes, a format for each kind."""
    every = dict.fromkeys(KINDS, FixedFormat(3, 12))
    for bad, words in (
        ({"rounding": "up"}, "unknown rounding 'up'"), ({"overflow": "no"}, "unknown overflow"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            FixedSettings(every, **bad)  # type: ignore[arg-type] # wrong on purpose
    with pytest.raises(UsageError, match="no format for bias, input"):
        FixedSettings({"weights": FixedFormat(1, 14)})


BAD_SPECS = {
    "no format": ("Q3", "Q3\n^^"),
    "a bad one": ("Q3.12,weights=Q1.4x", "Q3.12,weights=Q1.4x\n              ^^^^^"),
    "too wide": ("Q3.12,sum=Q16.16", "Q3.12,sum=Q16.16\n          ^^^^^^"),
    "unknown kind": ("Q3.12,weight=Q1.14", "Q3.12,weight=Q1.14\n      ^^^^^^"),
    "twice": ("Q3.12,sum=Q1.2,sum=Q1.3", "Q3.12,sum=Q1.2,sum=Q1.3\n               ^^^^^^^^"),
    "two for all": ("Q3.12,Q1.14", "Q3.12,Q1.14\n      ^^^^^"),
    "nothing between": ("Q3.12,,sum=Q7.24", "Q3.12,,sum=Q7.24\n      ^"),
    "nothing behind": ("Q3.12,", "Q3.12,\n      ^"),
}


@pytest.mark.parametrize(("text", "where"), BAD_SPECS.values(), ids=BAD_SPECS)
def test_a_bad_spec_has_its_caret(text: str, where: str) -> None:
    """What cannot be read of --fixed is shown under a caret, in three lines."""
    answer = call("--x", "1", "--fixed", text)
    assert_refused(answer, 2)
    assert answer.where == f"--fixed\n{where}"


REFUSED: dict[str, tuple[list[str], str]] = {
    "kinds without a format": (["--fixed", "weights=Q1.14"], "no format for bias"),
    "unknown activation": (["--fixed", "Q3.12", "--fixed-activation", "tabel:3"], "unknown activation"),
    "a short table": (["--fixed", "Q3.12", "--fixed-activation", "table:1"], "table of 1 entries"),
    "a long table": (["--fixed", "Q3.12", "--fixed-activation", "table:65537"], "65537 entries"),
    "unknown rounding": (["--fixed", "Q3.12", "--fixed-rounding", "up"], "--fixed-rounding"),
    "rounding alone": (["--fixed-rounding", "floor"], "has no effect without --fixed"),
    "overflow alone": (["--fixed-overflow", "wrap"], "has no effect without --fixed"),
    "activation alone": (["--fixed-activation", "hard"], "has no effect without --fixed"),
    "npz": (["--fixed", "Q3.12", "-f", "npz"], "npz cannot show integers"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(arguments: list[str], words: str) -> None:
    """Options that contradict each other or mean nothing are usage errors."""
    answer = call("--x", "1", *arguments)
    assert_refused(answer, 2, words)
    assert_tame(answer)


# ---- the command


CASES: dict[str, list[str]] = {
    "one step": ["--x", "0.5,-0.25", "--h", "0.1,0.2", "--fixed", "Q3.12"],
    "overflowing": ["--x", "9,2;3,4", "--fixed", "Q0.7", "--fixed-overflow", "wrap"],
    "by kind": ["--x", "1,2,3; 4,5,6", "-w", "samples/weights/hand.json", "--fixed",
                "Q3.12,sum=Q7.24,gates=Q0.15", "--fixed-activation", "table:256:linear"],
    "variant": ["--x", "1,2", "--cell", "peephole+projection", "--preset", "random",
                "--output-size", "1", "--hidden-size", "3", "--forget-bias", "1", "--clip", "3",
                "--cell-clip", "2", "--fixed", "Q4.11", "--fixed-activation", "hard"],
    "stack": ["--x", "1,2,3;0.5,0.25,-1", "-w", "tests/files/torch_checkpoint.pt",
              "--fixed", "Q3.12", "--fixed-rounding", "floor"],
    "wide": ["--x", "0.5,1", "--preset", "random", "--hidden-size", "40", "--fixed", "Q3.12"],
    "chosen": ["--x", "1,2;3,4", "--unit", "0", "--at", "1", "--fixed", "Q3.12"],
    "float32": ["--x", "0.1", "--dtype", "float32", "--fixed", "Q3.12"],
}  # fmt: skip


@pytest.fixture
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("_at_home")
@pytest.mark.parametrize("name", CASES)
def test_json_is_as_its_schema_says(name: str) -> None:
    """`--fixed --json` validates, and its steps are the integers of the run."""
    answer = call(*CASES[name], "--json")
    assert answer.err == ""
    document = answer.json
    validator("run").validate(document)
    fixed = document["fixed"]
    assert [(s["layer"], s["direction"], s["t"]) for s in fixed["steps"]] == [
        (s["layer"], s["direction"], s["t"]) for s in document["steps"]
    ]
    for step, floats in zip(fixed["steps"], document["steps"], strict=True):
        assert list(step) == list(floats)
        assert all(isinstance(v, int) for v in step["h"])
    assert (fixed["first_overflow"] is None) == (
        not any(each["overflows"] for each in fixed["symbols"] + fixed["parameters"])
    )


def test_json_tells_what_the_run_computed() -> None:
    """The worst error, its place and the formats are those of the Python API."""
    arguments = ["--x", "0.5,1;-1,3", "--preset", "random", "--hidden-size", "3", "--seed", "4"]
    document = call(*arguments, "--fixed", "Q3.12,gates=Q0.15", "--json").json
    fixed = document["fixed"]
    assert fixed["formats"]["gates"] == "Q0.15"
    assert (fixed["rounding"], fixed["overflow"], fixed["activation"]) == (
        "nearest", "saturate", "exact",
    )  # fmt: skip
    for each in fixed["symbols"]:
        bits = int(each["format"].partition(".")[2])
        reals = [[v / 2**bits for v in step[each["symbol"]]] for step in fixed["steps"]]
        floats = [step[each["symbol"]] for step in document["steps"]]
        off = np.abs(np.array(reals) - np.array(floats))
        assert each["max_error"] == off.max()
        assert each["lsb_error"] == off.max() * 2**bits
        worst = each["worst"]
        assert off[worst["t"] - 1, worst["unit"]] == off.max()
        assert each["range"] == [np.min(floats), np.max(floats)]
    assert [each["symbol"] for each in fixed["parameters"]][:2] == ["W_f", "b_f"]


@pytest.mark.parametrize(
    ("form", "begin"),
    [("latex", "\\documentclass"), ("html", "<!doctype"), ("markdown", "# "), ("text", "lstm ")],
)
def test_every_written_form_has_the_integers(form: str, begin: str) -> None:
    """A page in each form has each integer of the chosen step beside its symbol."""
    arguments = ["--x", "0.5,1;-1,3", "--preset", "random", "--hidden-size", "3", "--seed", "4",
                 "--h", "0.1,-0.2,0.3", "--c", "0.4,0.5,-0.6", "--fixed", "Q3.12"]  # fmt: skip
    (step,) = call(*arguments, "--at", "2", "--json").json["fixed"]["steps"]
    answer = call(*arguments, "--at", "2", "-f", form)
    assert answer.code == 0
    assert answer.out.startswith(begin)
    for symbol in ("c_prev", "f", "c", "h"):
        for unit, integer in enumerate(step[symbol]):
            name = symbol.replace("_", r"\_") if form in ("latex", "markdown") else symbol
            place = rf"\[{unit}\]" if form == "markdown" else f"[{unit}]"
            line = rf"(?m)(^|[^a-z_]){re.escape(name + place)}[^0-9-]+{integer}\b"
            assert re.search(line, answer.out), (symbol, unit)


@pytest.mark.usefixtures("_at_home")
@pytest.mark.parametrize("name", CASES)
def test_no_line_is_wider_than_the_terminal(name: str) -> None:
    """From 40 to 160 columns no line of the table is too wide, and no number is cut."""
    seen = set()
    for width in (40, 47, 60, 73, 80, 100, 120, 160):
        answer = call(*CASES[name], "-f", "table", env={"COLUMNS": str(width)})
        assert answer.code == 0, answer.err
        for line in answer.out.splitlines():
            assert cell_len(line) <= width, (width, line)
            assert line == line.rstrip()
        assert "in integers" in answer.out
        assert_tame(answer)
        seen.add(
            tuple(sorted(w for w in answer.out.split() if w.startswith("Q") and w[1].isdigit()))
        )
    ascii_ = call(*CASES[name], "-f", "table", encoding="ascii", env={"COLUMNS": "80"})
    assert "\\u" not in ascii_.out


def test_the_table_says_what_matters() -> None:
    """Formats, errors in bits, what is needed, the first overflow, and the last step's integers."""
    out = call("--x", "1;20", "--fixed", "Q3.12", "-f", "table", env={"COLUMNS": "120"}).out
    assert "first overflow: x[0] at t = 2 is 20; Q3.12 goes from -8 to 7.99976" in out
    assert "step 2 of 2, in integers" in out
    (row,) = [line.split() for line in out.splitlines() if line.startswith("x  ")]
    assert row == ["x", "input", "Q3.12", "12.0", "4.92e+04", "[0]", "t", "=", "2", "1", "…", "20",
                   "Q5.10", "1"]  # fmt: skip
    (row,) = [line.split() for line in out.splitlines() if line.startswith("x[0]")]
    assert row == ["x[0]", "32767", "7.999756", "20", "-49153.00"]
    fits = call("--x", "1", "--fixed", "Q3.12", "-f", "table").out
    assert "every value fits its format" in fits


@pytest.mark.usefixtures("_at_home")
@pytest.mark.parametrize("name", CASES)
def test_plain_and_csv_are_tables(name: str) -> None:
    """plain has a line a symbol and parameter, CSV a line a number, both with whole columns."""
    plain = call(*CASES[name], "-f", "plain")
    lines = plain.out.splitlines()
    assert len({line.count("\t") for line in lines}) == 1
    assert lines[0].startswith("symbol\tname\tformat\tmax_error\tlsb_error")
    document = call(*CASES[name], "--json").json
    symbols = [e["symbol"] for e in document["fixed"]["symbols"] + document["fixed"]["parameters"]]
    assert [line.split("\t")[0] for line in lines[1:]] == symbols
    csv = call(*CASES[name], "-f", "csv").out.splitlines()
    assert csv[0] == "layer,direction,t,symbol,unit,value,format,integer,fixed"
    for line in csv[1:]:
        *_, format_, integer, fixed = line.split(",")
        assert FixedFormat.parse(format_).to_real(int(integer)) == float(fixed)
    assert ("overflow: " in plain.err) == (document["fixed"]["first_overflow"] is not None)


def test_samples_are_run_one_by_one(tmp_path: Path) -> None:
    """Several samples have no place in one run of integers; one of them has."""
    np.save(tmp_path / "x.npy", np.ones((2, 3, 2)))
    arguments = ["--x", f"@{tmp_path / 'x.npy'}", "--fixed", "Q3.12", "--json"]
    assert_refused_json = call(*arguments)
    assert assert_refused_json.code == 3
    assert "--sample 0" in assert_refused_json.err
    assert call(*arguments, "--sample", "1").code == 0


def test_a_hostile_cell_stays_tame(tmp_path: Path) -> None:
    """Labels of a user's table reach the terminal as plain text only."""
    path = tmp_path / "own.toml"
    table = OWN.replace("# hidden state", "# \\u001b[31mred */ \\u202e")
    path.write_text(f'equations = """{table}"""\n')
    for form in ("table", "plain", "csv", "c"):
        answer = call("--x", "1,2", "--cell", path, "--fixed", "Q5.10", "-f", form)
        assert answer.code == 0, answer.err
        assert_tame(answer)


def test_rows_have_the_colours_of_a_run() -> None:
    """Sums are dim and gates plain in the table of `--fixed`, as in that of a run."""
    given = ("--x", "1,2", "--h", "0.5,-0.25", "--c", "0.25,1", "--color", "always", "-f", "table")
    lines = call(*given, "--fixed", "Q3.12", env={"COLUMNS": "100"}).out.splitlines()
    assert any(line.startswith("\x1b[2mz_f") for line in lines)
    assert any(line.startswith("f  ") for line in lines)
    assert any(line.startswith("\x1b[1;32mh ") for line in lines)
