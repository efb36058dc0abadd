"""Grading: what is right is right, each mistake is named, and no row of a file spoils another."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from lstm_cli import batch, vet
from lstm_cli.base.errors import LstmStepError
from lstm_cli.base.foreign import sheet_cell
from lstm_cli.commands.grade import gradebook
from lstm_cli.commands.grade.gradebook import grade
from lstm_cli.commands.grade.reading import MAX_LINE, column_of, read_answers
from lstm_cli.commands.grade.results import Grade, Summary
from lstm_cli.commands.grade.sheet import read_cell, read_number
from lstm_cli.engine.agreement import agree, room_of
from lstm_cli.engine.run import Trace
from lstm_cli.mistakes.diagnosis import diagnose
from lstm_cli.samples import read_samples
from lstm_cli.samples.models import sample_trace
from lstm_cli.samples.settings import SampleSettings
from tests.commands.test_schemas import validator
from tests.tools import SAMPLES, Answer, assert_refused, assert_tame, call
from tests.witness_mistakes import SLUGS, Made, Program, Wrong, right_gate, right_run, wrong_run

GATES = "figoch"


@dataclass(frozen=True)
class Classroom:
    """An exercise with short numbers in the witness's form, and its sample file."""

    weights: Wrong
    x: list[list[float]]
    h: list[float]
    c: list[float]
    path: Path

    @property
    def steps(self) -> list[Made]:
        return right_run(self.weights, self.x, self.h, self.c)

    @property
    def trace(self) -> Trace:
        (sample,) = read_samples(str(self.path))
        return sample_trace(sample, SampleSettings())  # type: ignore[arg-type] # it is a good one

    def mistaken(self, slug: str) -> list[Made]:
        return wrong_run(slug, self.weights, self.x, self.h, self.c)

    def header(self) -> list[str]:
        units = range(len(self.c))
        when = [f"@{t + 1}" for t in range(len(self.x))] if len(self.x) > 1 else [""]
        return ["name", *(f"{k}_{j}{t}" for t in when for k in GATES for j in units)]

    def row(self, name: str, steps: Iterable[Made], text: Callable[[float], str]) -> list[str]:
        blank = [math.nan] * len(self.c)
        numbers = [v for made in steps for k in GATES for v in made.get(k, blank)]
        return [name, *("" if math.isnan(v) else text(v) for v in numbers)]

    def grade(self, rows: Sequence[Sequence[str]], **how: Any) -> list[Grade]:
        """Grade rows under the usual header."""
        file = self.path.with_name("answers.csv")
        file.write_text(table([self.header(), *rows]))
        trace = self.trace
        return list(grade(trace, read_answers(str(file)), **how).grades)


def table(rows: Iterable[Sequence[str]], delimiter: str = ",") -> str:
    buffer = io.StringIO()
    for row in rows:  # the writer leaves a lone carriage return without quotes
        writer = csv.writer(
            buffer, delimiter=delimiter, lineterminator="\n",
            quoting=csv.QUOTE_ALL if any("\r" in cell for cell in row) else csv.QUOTE_MINIMAL,
        )  # fmt: skip
        writer.writerow(row)
    return buffer.getvalue()


def decimals(count: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{count}f}"


def cut(count: int) -> Callable[[float], str]:
    """Digits cut off, not rounded."""
    return lambda value: f"{math.trunc(value * 10**count) / 10**count:.{count}f}"


def classroom(
    folder: Path, hidden: int = 2, inputs: int = 3, steps: int = 1, seed: int = 2
) -> Classroom:
    """Return an exercise in numbers of one decimal, none of them zero."""
    rng = random.Random(seed)

    def vector(size: int) -> list[float]:
        return [rng.choice([-1, 1]) * rng.randint(1, 9) / 10 for _ in range(size)]

    W = {k: [vector(inputs) for _ in range(hidden)] for k in "figo"}
    U = {k: [vector(hidden) for _ in range(hidden)] for k in "figo"}
    b = {k: vector(hidden) for k in "figo"}
    own = Classroom(
        Wrong(W, U, b, {k: [0.0] * hidden for k in "figo"}),
        [vector(inputs) for _ in range(steps)], vector(hidden), vector(hidden),
        folder / "exercise.json",
    )  # fmt: skip
    arrays: dict[str, Any] = {
        f"W_{k}": [u + w for u, w in zip(U[k], W[k], strict=True)] for k in "figo"
    }
    arrays |= {f"b_{k}": b[k] for k in "figo"}
    document = {"x": own.x, "h": own.h, "c": own.c, "weights": arrays, "convention": "joined"}
    own.path.write_text(json.dumps(document))
    return own


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    return classroom(tmp_path)


def graded(
    room: Classroom, text: str | bytes, *options: object, name: str = "a.csv", **how: Any
) -> Answer:
    """Run the command on a file of answers."""
    file = room.path.with_name(name)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return call("grade", room.path, file, *options, **how)


def records(room: Classroom, text: str | bytes, *options: object, **how: Any) -> list[Any]:
    answer = graded(room, text, "-f", "jsonl", *options, **how)
    assert answer.code == 0, answer.err
    return answer.lines


# ---- what is right


@pytest.mark.parametrize("digits", [2, 3, 4, 6, 9, 16])
@pytest.mark.parametrize("written", [decimals, cut])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.few(6)
def test_right_answers_are_right(
    tmp_path: Path, digits: int, written: Callable[[int], Callable[[float], str]], steps: int
) -> None:
    """The truth earns all points, to any number of digits, rounded or cut."""
    for seed in range(5):
        room = classroom(tmp_path, steps=steps, seed=seed)
        (own,) = room.grade([room.row("Ann", room.steps, written(digits))])
        assert (own.result, own.points) == ("right", 100.0)
        assert own.digits == min(digits, 6)


@pytest.mark.parametrize("digits", [2, 3, 4])
def test_rounding_on_the_way_is_no_mistake(tmp_path: Path, digits: int) -> None:
    """Who rounds every number before going on has all points, over several steps too."""

    def rounds(value: float) -> float:
        return round(value, digits)

    for seed in range(12):
        room = classroom(tmp_path, steps=3, seed=seed)
        made = Program(
            gate=lambda q: rounds(right_gate(q)),
            cell=lambda f, i, g, old: rounds(f * old + i * g),
            store_h=rounds,
        ).run(room.weights, room.x, room.h, room.c)
        (own,) = room.grade([room.row("Ann", made, decimals(digits))])
        assert (own.result, own.points) == ("right", 100.0), (seed, own)


def test_more_digits_than_are_right(room: Classroom) -> None:
    """Numbers rounded to three digits and written with six are right to three, and said so."""
    rough = [{k: [round(v, 3) for v in made[k]] for k in GATES} for made in room.steps]
    (own,) = room.grade([room.row("Ann", rough, decimals(6))])
    assert (own.result, own.digits, own.points) == ("rounded", 3, 100.0)
    assert not own.wrong
    (strict,) = room.grade([room.row("Ann", rough, decimals(6))], atol=1e-4)
    assert (strict.result, strict.symbols["f"].status) == ("unexplained", "wrong")


NUMBERS = [
    # text, right number, whether it is right
    ("0.475", 0.475021, True), ("0.4750", 0.475021, True), ("0.4751", 0.475021, False),
    ("0.4751", 0.475051, True), ("0.4750", 0.475099, True), ("0.4752", 0.475021, False), ("0.47", 0.475021, True), ("0.48", 0.475021, True),
    ("0.5", 0.475021, False), (".475", 0.475021, True), ("4.75e-1", 0.475021, True),
    ("0.4749", 0.475021, False), ("-0.475", 0.475021, False), ("0", 0.475021, False),
    ("0", 0.0, True), ("1", 1.0, True), ("12", 12.4, True), ("12", 13.6, False),
    ("3", 3.4, False), ("3.4", 3.44, True), ("-3.4", -3.44, True), ("0.4750208", 0.47502081, True),
    ("0.47502081252105999", 0.475020812, True), ("0.475030812521", 0.475020812, False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "right", "fine"), NUMBERS)
def test_the_digits_written_are_compared(text: str, right: float, fine: bool) -> None:
    """Rounded or cut to the digits written, at least two, with room for float32 arithmetic."""
    number = read_number(text)
    assert number is not None
    ours, theirs, unit = np.array([[right], [number.value], [number.unit]])
    assert agree(ours, theirs, unit, room_of(ours, "float32")).all() == fine


WRITTEN: dict[str, Callable[[float], str]] = {
    "rounded": lambda value: f"{value:.4f}",
    "cut": cut(4),
    "away from zero": lambda value: (
        f"{math.copysign(math.ceil(abs(value) * 1e4) / 1e4, value):.4f}"
    ),
    "a unit off": lambda value: f"{round(value, 4) + math.copysign(1e-4, value):.4f}",
}


@pytest.mark.parametrize("how", WRITTEN)
def test_one_verdict_on_one_number(tmp_path: Path, how: str) -> None:
    """Whether a number is right is the same to `grade`, `batch --check`, `diagnose` and `vet`."""
    for seed in range(6):
        room = classroom(tmp_path, hidden=1, seed=seed)
        text = WRITTEN[how](room.trace.h.item())
        if text.endswith("0"):  # a digit that only text has
            continue
        claimed = {"h": [float(text)]}
        document = {**json.loads(room.path.read_text()), "expected": claimed}
        (own,) = grade(room.trace, {"name": "Ann", "h": [text]}).grades
        (checked,) = batch(document)
        assert (
            {own.result == "right"} == {checked["check"]["matched"]}
            == {diagnose(room.trace, claimed).verdict == "match"} == {not vet(document).mismatched}
        )  # fmt: skip
        assert how == "away from zero" or (own.result == "right") == (how != "a unit off")


READ = {
    "0,475": 0.475, "−0.5": -0.5, "–0.5": -0.5, "'0.5": 0.5, "≈ 0.5": 0.5, "0.475...": 0.475,
    "0.475…": 0.475, "０．５": 0.5, " 0.5 ": 0.5, "+0.5": 0.5, "5.": 5.0, "1e-3": 0.001,
}  # fmt: skip
UNREAD = ["", "-", "x", "1.2.3", "1,2,3", "1.234,5", "0x10", "1_000", "nan", "inf", "1e999", "=0.5",
          "=1+1", "0.5 0.6", "٠٫٥", ",5", "5,", "9" * 101, "1e99999", "\x00", "½"]  # fmt: skip


def test_numbers_as_people_write_them() -> None:
    """Commas, typographic minus signs and full-width digits are read, nonsense is not."""
    assert {text: number.value for text in READ if (number := read_number(text))} == READ
    assert [text for text in UNREAD if read_number(text) is not None] == []


def values(text: str, width: int, steps: int = 1) -> Any:
    rows = read_cell(text, width, steps)
    return rows and [[each and each.value for each in row] for row in rows]


def test_vectors_in_a_cell() -> None:
    """Spaces, commas, brackets; decimal commas wherever only they give as many as are asked."""
    assert values("0.1 0.2", 2) == values("[0.1, 0.2]", 2) == values("np.array([0.1,0.2])", 2)
    assert values("0,475; 0,69", 2) == values("0,475 0,69", 2) == [[0.475, 0.69]]
    assert values("0.1; 0.2", 2) == [[0.1, 0.2]]
    assert values("0,5", 2) == [[0, 5]]
    assert values("0,5", 1) == [[0.5]]
    assert values("0.1 0.2; 0.3 0.4", 2, 2) == [[0.1, 0.2], [0.3, 0.4]]
    assert values("0.1 x", 2) == [[0.1, None]]
    assert values("0.1 0.2 0.3", 2) is values("", 2) is values("=cmd", 2) is None


# ---- what is wrong


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.few(1)
def test_each_mistake_is_named(tmp_path: Path, seed: int) -> None:
    """Every mistake of the witness that shows in four digits is found, with its own points."""
    room = classroom(tmp_path, hidden=3, inputs=3, steps=2, seed=seed)
    slugs = [s for s, needs in SLUGS.items() if not (needs.peephole or needs.two_biases)
             and s not in ("float16", "float32")]  # fmt: skip
    right = room.row("", room.steps, decimals(4))[1:]
    shown = 0
    rows = [room.row(slug, room.mistaken(slug), decimals(4)) for slug in slugs]
    for slug, row, own in zip(slugs, rows, room.grade(rows), strict=True):
        named = {name for each in own.causes for name in (each.id, *each.also)}
        if own.result == "mistake":
            assert slug in named, (slug, named)
            assert own.points < 100
            shown += 1
        else:  # the same numbers, but for a gate that the program does not have
            assert all(a == b or not a for a, b in zip(row[1:], right, strict=True)), (slug, own)
    assert shown > 50


@pytest.mark.full
def test_two_mistakes_at_once(room: Classroom) -> None:
    """`departures=2` finds what one mistake alone does not explain."""
    w = room.weights
    both = Program(
        weights=lambda w: Wrong(w.W, w.U, {k: [0.0] * 2 for k in w.b_x}, w.b_h),
        show=lambda o, c, old: o * c,
    ).run(w, room.x, room.h, room.c)
    row = room.row("Ann", both, decimals(5))
    assert room.grade([row])[0].result == "unexplained"
    (own,) = room.grade([row], departures=2)
    assert {name for name, _ in own.causes[0].departures} == {"no-bias", "no-tanh-on-c"}
    assert Summary([own]).mistakes == {"no-bias": 1, "no-tanh-on-c": 1}


def with_wrong_f(room: Classroom) -> list[Made]:
    """The truth but for one sign in f, and all that follows from it."""
    (made,) = room.steps
    made["f"][0] *= -1
    made["c"] = [f * old + i * g for f, old, i, g
                 in zip(made["f"], room.c, made["i"], made["g"], strict=True)]  # fmt: skip
    made["h"] = [o * math.tanh(c) for o, c in zip(made["o"], made["c"], strict=True)]
    return [made]


def test_a_slip_costs_its_own_number_only(room: Classroom) -> None:
    """What follows from a wrong number counts, unless it is not to; the wrong one is named."""
    row = room.row("Ann", with_wrong_f(room), decimals(4))
    (own,) = room.grade([row])
    assert own.result == "slip"
    assert [(each.name, each.unit) for each in own.wrong] == [("f", 0)]
    assert own.wrong[0].got == pytest.approx(-own.wrong[0].right, abs=1e-4)
    status = {name: each.status for name, each in own.symbols.items()}
    assert status == {**dict.fromkeys("igo", "right"), "f": "wrong", "c": "follows", "h": "follows"}
    assert own.points == pytest.approx(100 * 5.5 / 6)
    (strict,) = room.grade([row], follow_through=False)
    assert strict.points == pytest.approx(100 * (3 + 3 * 0.5) / 6)


SLIPS: list[tuple[Callable[[str], str], str]] = [
    (lambda text: "-" + text, "the sign"),
    (lambda text: str(float(text) * 10), "the decimal point"),
    (lambda text: text[:3] + text[4] + text[3] + text[5:], "two digits swapped"),
    (lambda text: "0.9999", ""),
]


@pytest.mark.parametrize(("change", "guess"), SLIPS, ids=[name or "none" for _, name in SLIPS])
def test_how_a_slip_came_about(room: Classroom, change: Callable[[str], str], guess: str) -> None:
    """A sign, a point, two digits exchanged: said in words where it shows."""
    row = room.row("Ann", room.steps, decimals(4))
    row[1] = change(row[1])
    out = graded(room, table([room.header(), row]), env={"COLUMNS": "200"}).out
    assert f"one number is wrong: f[0] is {float(row[1]):g}, right is" in out
    assert ("(" in out.split("right is")[1].split("\n")[0]) == bool(guess)
    assert guess in out


def test_what_follows_goes_through_steps(tmp_path: Path) -> None:
    """A wrong h at the first step is wrong once: the second step follows from it."""
    room = classroom(tmp_path, steps=2)
    first, _ = room.steps
    first["h"] = [v + 0.3 for v in first["h"]]
    (second,) = right_run(room.weights, room.x[1:], first["h"], first["c"])
    (own,) = room.grade([room.row("Ann", [first, second], decimals(5))])
    assert {(each.name, each.t) for each in own.wrong} == {("h", 1)}
    assert own.points == pytest.approx(100 * 5.5 / 6)


def test_a_gate_that_is_left_blank(room: Classroom) -> None:
    """Blank numbers earn nothing, and what is there is still right."""
    (made,) = room.steps
    del made["i"]
    (own,) = room.grade([room.row("Ann", [made], decimals(4))])
    assert (own.result, own.symbols["i"].status) == ("incomplete", "blank")
    assert own.points == pytest.approx(100 * 5 / 6)
    (blank,) = room.grade([["Bea", "?", *[""] * 11]])
    assert (blank.result, blank.points) == ("blank", 0)


def test_nonsense_is_not_explained(room: Classroom) -> None:
    """A half everywhere is nobody's mistake."""
    (own,) = room.grade([["Ann", *["0.5"] * 12]])
    assert own.result == "unexplained"
    assert own.points < 20


def test_the_same_numbers_are_diagnosed_once(room: Classroom) -> None:
    """A class that copies costs one search."""
    rows = [room.row(f"s{n}", room.mistaken("no-tanh-on-c"), decimals(4)) for n in range(50)]
    with mock.patch.object(gradebook, "diagnose", wraps=diagnose) as diagnosed:
        grades = room.grade(rows)
    assert {each.causes[0].id for each in grades} == {"no-tanh-on-c"}
    assert diagnosed.call_count == 1


def test_a_class_of_two_hundred(tmp_path: Path) -> None:
    """Two hundred answers in all their ways: graded in order, and counted."""
    room = classroom(tmp_path, hidden=3, inputs=3)
    slugs = ["bias-outside", "no-tanh-on-c", "hard-sigmoid", "swapped-concatenation"]
    rows = []
    for n in range(200):
        slug = slugs[n % 5] if n % 5 < 4 else ""
        steps = room.mistaken(slug) if slug else room.steps
        rows.append(room.row(f"{slug}|{n}", steps, decimals(3 + n % 4)))
    grades = room.grade(rows)
    assert [each.name for each in grades] == [row[0] for row in rows]
    for each in grades:
        slug = each.name.split("|")[0]
        assert [cause.id for cause in each.causes][:1] == ([slug] if slug else [])
    summary = Summary(grades)
    assert summary.counts == {"right": 40, "mistake": 160}
    certain_or_not = summary.mistakes + summary.possible
    assert all(certain_or_not[slug] == 40 for slug in slugs)


# ---- files of many kinds


def test_columns_by_their_headings() -> None:
    """A symbol, a unit in two notations, a step on either side; whatever else is passed on."""
    symbols = ("f", "g", "c", "h", "z_f")
    known = {
        "h": ("h", None, None), "f_0": ("f", 0, None), "f[3]": ("f", 3, None), "z_f": ("z_f",) + 2 * (None,),
        "z_f_12": ("z_f", 12, None), "h@2": ("h", None, 2), "h_0@2": ("h", 0, 2), "h@2_0": ("h", 0, 2),
        "h[0]@2": ("h", 0, 2), "H_0": ("h", 0, None), "C_t": ("c", None, None), "C̃_t": ("g", None, None),
    }  # fmt: skip
    assert {name: column_of(name, symbols) for name in known} == known
    others = ("", "x", "name", "hh_0", "h_", "h_-1", "h@1_0@2", "group_1", "f_0_0", "_0", "@")
    for other in (*others, "f\ng", "\n_0"):
        assert column_of(other, symbols) is None, other


def every_form(room: Classroom) -> dict[str, tuple[str, str]]:
    """The same right answer in every form that is read, by the name of its file."""
    (made,) = room.steps
    four = {k: [f"{v:.4f}" for v in made[k]] for k in GATES}
    comma = {k: [v.replace(".", ",") for v in four[k]] for k in GATES}
    flat = [n for k in GATES for n in four[k]]
    row = ["Ann", *flat]
    numbered = [f"{k}_{j + 1}" for k in GATES for j in range(2)]
    brackets = [f"{k}[{j}]" for k in GATES for j in range(2)]
    vectors = {k: [float(v) for v in four[k]] for k in GATES}
    halves = ",".join(n for k in GATES for n in comma[k])
    cells = ["Ann", *(" ".join(four[k]) for k in GATES)]
    return {
        "a.csv": (table([room.header(), row]), ""),
        "brackets.csv": (table([["student", *brackets], row]), ""),
        "from-one.csv": (table([["ID", *numbered], row]), ""),
        "vectors.csv": (table([["name", *GATES], cells]), ""),
        "bom-crlf.csv": ("\ufeff" + table([room.header(), row]).replace("\n", "\r\n"), ""),
        "old-mac.csv": (table([room.header(), row]).replace("\n", "\r"), ""),
        "tabs.tsv": (table([room.header(), row], "\t"), ""),
        "semicolons.csv": (
            table([room.header(), ["Ann", *(n for k in GATES for n in comma[k])]], ";"),
            "decimal commas",
        ),
        "sep.csv": ("sep=;\n" + table([room.header(), row], ";"), ""),
        "quoted-commas.csv": (
            table([room.header(), ["Ann", *(n for k in GATES for n in comma[k])]]),
            "decimal commas",
        ),
        "bare-commas.csv": (f"{','.join(room.header())}\nAnn,{halves}\n", "decimal commas"),
        "comma-vectors.csv": (
            table([["name", *GATES], ["Ann", *("; ".join(comma[k]) for k in GATES)]]),
            "decimal commas",
        ),
        "platform.csv": (table([["E-mail", "First name", *room.header()[1:]], ["a@b", *row]]), ""),
        "blank-lines.csv": ("\n\n" + table([room.header(), row]) + "\n,,,\n\n", ""),
        "steps.csv": (table([["name", "t", *room.header()[1:]], ["Ann", "1", *flat]]), ""),
        "a.jsonl": (json.dumps({"name": "Ann", **vectors}) + "\n", ""),
        "texts.jsonl": (json.dumps({"student": "Ann", **four}) + "\n", ""),
        "commas.jsonl": (json.dumps({"id": "Ann", **comma}) + "\n", "decimal commas"),
        "inner.jsonl": (json.dumps({"name": "Ann", "answers": vectors}) + "\n", ""),
        "array.json": (json.dumps([{"name": "Ann", **vectors}], indent=1), ""),
        "answers.json": (json.dumps({"answers": [{"name": "Ann", **vectors}]}), ""),
        "flat.jsonl": (json.dumps({"name": "Ann"} | dict(zip(room.header()[1:], flat, strict=True))), ""),
    }  # fmt: skip


FORMS = (
    "a.csv", "brackets.csv", "from-one.csv", "vectors.csv", "bom-crlf.csv", "old-mac.csv", "tabs.tsv",
    "semicolons.csv", "sep.csv", "quoted-commas.csv", "bare-commas.csv", "comma-vectors.csv",
    "platform.csv",
    "blank-lines.csv", "steps.csv", "a.jsonl", "texts.jsonl", "commas.jsonl", "inner.jsonl",
    "array.json", "answers.json", "flat.jsonl",
)  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_an_answer_is_read(room: Classroom, name: str) -> None:
    """However it is written down, the right answer is Ann's, right, and worth 100 %."""
    forms = every_form(room)
    assert tuple(forms) == FORMS
    text, note = forms[name]
    (own,) = records(room, text, name=name)
    assert (own["name"], own["result"], own["points"]) == ("Ann", "right", 100)
    assert set(own["symbols"]) == set(GATES)
    assert own["notes"] == ([note] if note else [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_names_in_any_encoding(room: Classroom, encoding: str) -> None:
    """What spreadsheets write by other names is read, umlauts included."""
    text = table([room.header(), room.row("Zoë Müller", room.steps, decimals(4))])
    (own,) = records(room, text.encode(encoding))
    assert (own["name"], own["result"]) == ("Zoë Müller", "right")


def test_steps_in_rows_and_in_cells(tmp_path: Path) -> None:
    """A row a step under `t`, a vector with rows by `;`, `h@2`: the same answer."""
    room = classroom(tmp_path, steps=2)
    h = [[f"{v:.4f}" for v in made["h"]] for made in room.steps]
    rows = [["name", "t", "h"], *(["Ann", str(t), " ".join(h[t - 1])] for t in (2, 1))]
    cell = [["name", "h"], ["Ann", "; ".join(" ".join(row) for row in h)]]
    named = [["name", "h@1", "h@2"], ["Ann", *(" ".join(row) for row in h)]]
    nested = json.dumps({"name": "Ann", "h": [[float(v) for v in row] for row in h]})
    for text in (*map(table, (rows, cell, named)), nested):
        (own,) = records(room, text)
        assert (own["result"], own["symbols"]["h"]["right"]) == ("right", 4)
    last = table([["name", "h"], ["Ann", " ".join(h[1])]])
    (own,) = records(room, last)
    assert (own["result"], own["symbols"]["h"]["right"]) == ("right", 2)


def test_what_is_asked(room: Classroom) -> None:
    """Columns say what is asked; --ask takes fewer, or more than anyone has."""
    rows = table([room.header(), room.row("Ann", with_wrong_f(room), decimals(4))])
    (own,) = records(room, rows, "--ask", "i,g")
    assert (own["points"], list(own["symbols"])) == (100, ["i", "g"])
    (own,) = records(room, rows, "--ask", "i z_o")
    assert (own["symbols"]["z_o"]["status"], own["points"]) == ("blank", 50)
    part = table([["name", "h_1"], ["Ann", room.row("", room.steps, decimals(4))[-1]]])
    (own,) = records(room, part)
    assert (own["result"], own["symbols"]) == (
        "right", {"h": {"status": "right", "right": 1, "follows": 0, "wrong": 0, "blank": 0}}
    )  # fmt: skip


def test_one_odd_member_asks_nothing_of_the_others(room: Classroom) -> None:
    """In JSON what fewer than half of the answers have is not asked of all."""
    (made,) = room.steps
    lines = [{"name": n, "h": made["h"], "note": "hi"} for n in "ab"]
    lines.append({"name": "c", "h": made["h"], "z_f": [1, 2]})
    grades = records(room, "\n".join(map(json.dumps, lines)), name="a.jsonl")
    assert all(list(each["symbols"]) == ["h"] for each in grades)
    assert [each["result"] for each in grades][:2] == ["right", "right"]
    assert grades[0]["other"] == {"note": "hi"}


# ---- hostile files

EVIL_NAMES = [
    '=HYPERLINK("http://evil","x")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1+1", "\r=1+1",
    "  =1+1", "\u3000=1+1", "＝1+1", "＋1", "﹣1-1x", "＠A1", "x;=1+1", ";@1", "; ;-x", "x,=cmd", "\x1b[31mred\x1b[0m",
    "\u202egnp.exe", "\u200b=1+1", "a\x00b", "\x9b31m", "\ufeff=1", "'=1", '"', 'a"b', "\ud7ff", "\u2028=1",
    "A" * 30_000, "../../etc/passwd", "{{7*7}}", "<script>", "[bold]x[/bold]", "%s%n", "名前", "e\u0301" * 50,
]  # fmt: skip


def evil_rows(room: Classroom) -> list[str]:
    """Rows that could break a reader, each a line or several of a CSV."""
    good = room.row("x", room.steps, decimals(4))[1:]
    lines = [table([[name, *good]]) for name in EVIL_NAMES]
    lines += [f"Stray,{cell}" + "," * 11 + "\n" for cell in (
        "9" * 10**6, "1e" + "9" * 5000, "=cmd|' /C calc'!A0", "[[[[[[", "nan", "-inf", "0x1p3", "\x00", "1,2",
        "\U0010ffff", "1" + "0" * 400, "--5", "1e-99999", "0.1.2",
    )]  # fmt: skip
    lines += ["short\n", "long" + ",1" * 500 + "\n", ",,,,\n", '"never closed,1,2\n', 'half "quoted,1\n',
              '""""""""\n', "\x00\x00\x00\n", "x" * (3 * MAX_LINE) + "\n", '"a\nb",' + ",".join(good) + "\n",
              "," * 50_000 + "\n"]  # fmt: skip
    return lines


def hostile_file(room: Classroom) -> bytes:
    """Good rows with evil ones between them, and bytes that are no text."""
    good = table([room.row("Ann", room.steps, decimals(4))])
    text = table([room.header()]) + "".join(good + line for line in evil_rows(room)) + good
    return text.encode("utf-8", "replace") + b"\xff\xfe\x80,1,2\n" + good.encode()


def assert_no_formula(text: str) -> None:
    """No cell of a CSV starts a formula, however the reader splits it."""
    for delimiter in ",;\t|":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            for cell in row:
                shown = cell.lstrip(" \t\r\n\u3000\u200b\ufeff\"'" if delimiter != "," else None)
                first = cell.strip("\u3000 \t\r\n")[:1]
                if first in ("=", "+", "-", "@", "＝", "＋", "－", "＠", "﹣"):
                    float(shown)  # a plain number may start with a sign


def test_evil_rows_cost_themselves_only(room: Classroom) -> None:
    """Between rows that no reader should see, every good row is still right."""
    grades = records(room, hostile_file(room))
    ann = [each for each in grades if each["name"] == "Ann"]
    assert len(ann) == len(evil_rows(room)) + 2
    assert {(each["result"], each["points"]) for each in ann} == {("right", 100)}
    named = [each for each in grades if each["name"].strip() == '=HYPERLINK("http://evil","x")']
    assert named[0]["result"] == "right"
    assert all(len(each["name"]) <= 201 for each in grades)
    assert f"{len(ann)} answers with this name" in ann[0]["notes"]


@pytest.mark.parametrize("kind", ["table", "csv", "json", "jsonl"])
def test_evil_rows_reach_no_terminal(room: Classroom, kind: str) -> None:
    """Nothing that steers a terminal comes out, in any format."""
    answer = graded(room, hostile_file(room), "-f", kind)
    assert answer.code == 0, answer.err
    assert_tame(answer)


def test_no_cell_of_the_csv_is_a_formula(room: Classroom) -> None:
    """Names, notes and what is passed on are text to a spreadsheet; numbers stay numbers."""
    rows = [[*room.row(name, room.steps, decimals(4)), name, "-5"] for name in EVIL_NAMES]
    header = [*room.header(), "=comment", "grade,=x"]
    out = graded(room, table([header, *rows]), "-f", "csv").out
    assert_no_formula(out)
    read = list(csv.DictReader(io.StringIO(out, newline="")))
    assert len(read) == len(EVIL_NAMES)
    assert {row["points"] for row in read} == {"100"}
    assert {row["grade,'=x"] for row in read} == {"-5"}
    assert read[0]["name"] == "'" + EVIL_NAMES[0] == read[0]["'=comment"]


@settings(max_examples=200)
@given(
    st.one_of(st.text(max_size=30), st.text(alphabet="=+-@＝－﹢;,|\t\r \u3000x1'\"", max_size=12))
)
def test_no_text_becomes_a_formula(text: str) -> None:
    """Whatever stands in a cell, what goes out starts no formula and steers nothing."""
    out = sheet_cell(text)
    assert_no_formula(table([[out]]))
    assert not any(ord(c) < 32 for c in out)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(alphabet='name,fh_01@;"\n\r\t\x00=.-5{}[]: ', max_size=200).map(str.encode),
        st.lists(st.text(max_size=12), max_size=20).map(
            lambda rows: ("name,h_0,h_1\n" + "\n".join(rows)).encode("utf-8", "replace")
        ),
    ),
    st.sampled_from(["table", "csv"]),
)
@pytest.mark.full
def test_any_file_is_graded_or_refused(room: Classroom, data: bytes, kind: str) -> None:
    """Bytes of any kind: grades, or an error in three lines; never a bug."""
    answer = graded(room, data, "-f", kind)
    assert answer.code in (0, 3), answer.err
    assert_tame(answer)
    if answer.code:
        assert_refused(answer, 3)
    elif kind == "csv":
        assert_no_formula(answer.out)


def test_nonsense_in_json(room: Classroom) -> None:
    """Lines that are no answer are blank ones; the others are graded."""
    (made,) = room.steps
    good = json.dumps({"name": "Ann", "h": made["h"]})
    bad = ["[1,2]", "5", "null", '"x"', "{", "[" * 100_000, '{"h": {"a": 1}}', '{"h": [true, null]}',
           '{"h": [[[1]]]}', '{"name": ["x"], "h": [NaN, Infinity]}', '{"h": [1e999, ' + "9" * 5000 + "]}",
           '{"name": "\\ud800", "h": ["\\u0000"]}', '{"h": [1,2,3,4,5,6,7]}']  # fmt: skip
    lines = [good, *(line for each in bad for line in (each, good))]
    for kind in ("jsonl", "csv", "table"):
        answer = graded(room, "\n".join(lines), "-f", kind, name="a.jsonl")
        assert answer.code == 0, answer.err
        assert_tame(answer)
    grades = records(room, "\n".join(lines), name="a.jsonl")
    assert len(grades) == len(lines)
    assert {each["result"] for each in grades[::2]} == {"right"}
    assert {each["points"] for each in grades[1::2]} == {0}


REFUSED = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n \n", "the file is empty"),
    "no columns": (b"name,colour\nAnn,red\n", "no column holds an answer"),
    "header alone": (b"name,h_0,h_1\n", "there are no answers"),
    "an object": (b'{"colour": "red"}', "no answer holds a number"),
    "no such unit": (b"name,h_7\nAnn,1\n", "no answer holds a number"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "words"), REFUSED.values(), ids=REFUSED)
def test_files_without_answers_are_refused(room: Classroom, data: bytes, words: str) -> None:
    """A file that asks nothing is an error with the header to write."""
    assert_refused(graded(room, data), 3, words)


def test_options_that_cannot_be(room: Classroom) -> None:
    """Unknown symbols and formats, files that are not there, options of a run beside a sample."""
    text = table([room.header(), room.row("Ann", room.steps, decimals(4))])
    assert_refused(graded(room, text, "--ask", "q"), 2, "the cell does not compute 'q'")
    assert_refused(graded(room, text, "-f", "tsv"), 2, "unknown format")
    assert_refused(call("grade", room.path, room.path.parent / "no.csv"), 3, "cannot read")
    assert_refused(call("grade", room.path, room.path.parent), 3, "directory")
    assert_refused(call("grade", room.path, _file(room), "--seed", "1"), 2, "--seed has no effect")
    assert_refused(call("grade", room.path), 2, f"lstm-step grade {room.path} ANSWERS.csv")
    assert_refused(call("grade"), 2, "there is no exercise")
    assert_refused(call("grade", "--x", "1"), 2, "there are no answers to grade")
    assert_refused(call("grade", "--h", "1", _file(room)), 2, "--x is missing")
    assert_refused(call("grade", "-", "-"), 2, "- is given twice")
    two = room.path.with_name("two.jsonl")
    two.write_text(json.dumps(json.loads(room.path.read_text())) + "\n" + '{"x": [0.5, 2, 3]}\n')
    assert_refused(call("grade", two, _file(room)), 2, "2 exercises are given")


# ---- what goes out


def class_text(room: Classroom) -> str:
    slugs = ["bias-outside", "no-tanh-on-c", "no-tanh-on-c", "hard-sigmoid", "states-exchanged"]
    rows = [room.row("Ann", room.steps, decimals(4)), room.row("Bea", room.steps, decimals(2))]
    rows += [room.row(f"Student {n}", room.mistaken(s), decimals(4)) for n, s in enumerate(slugs)]
    rows.append(room.row("Carl", with_wrong_f(room), decimals(4)))
    rows += [["Dan", *["0.5"] * 12], ["Eve", "?", *[""] * 11]]
    return table([room.header(), *rows])


@pytest.mark.full
def test_json_is_as_its_schema_says(room: Classroom) -> None:
    """The document validates, and JSONL has the same grades, a line each."""
    text = class_text(room)
    answer = graded(room, text, "-f", "json", "--departures", "2")
    validator("grades").validate(answer.json)
    lines = records(room, text, "--departures", "2")
    assert [{"schema": "lstm-step/1", **each} for each in answer.json["answers"]] == lines
    check = validator("grades")
    assert not check.is_valid({"schema": "lstm-step/1"})
    assert '"additionalProperties": false' not in json.dumps(check.schema)
    summary = answer.json["summary"]
    assert summary["answers"] == 10
    assert summary["mistakes"][0]["id"] == "no-tanh-on-c"
    assert (summary["mistakes"][0]["count"], summary["results"]["right"]) == (2, 2)
    assert summary["symbols"]["h"]["wrong"] >= 3


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits(room: Classroom, width: int) -> None:
    """At any width every name, mistake and mark is there and no line is too long."""
    answer = call("grade", room.path, _file(room), env={"COLUMNS": str(width)})
    assert answer.code == 0, answer.err
    assert all(cell_len(line) <= width for line in answer.out.splitlines())
    text = " ".join(answer.out.split())
    for word in ("Ann", "Student 3", "[no-tanh-on-c]", "✗", "→", "mistakes made", "the sign"):
        assert word in text or width < 60, (word, answer.out)


def _file(room: Classroom) -> Path:
    file = room.path.with_name("class.csv")
    file.write_text(class_text(room))
    return file


def test_the_table_in_ascii(room: Classroom) -> None:
    """Where a terminal has no Unicode, marks and bars are plain."""
    answer = call("grade", room.path, _file(room), encoding="ascii")
    assert answer.code == 0
    assert answer.raw.isascii()
    assert "\\u" not in answer.out


def test_the_csv_is_for_a_spreadsheet(room: Classroom) -> None:
    """A row an answer with points, symbols and what was passed on; the counts on stderr."""
    header = [*room.header(), "group", "name"]
    rows = [[*room.row("Ann", with_wrong_f(room), decimals(4)), "A", "twice"]]
    answer = graded(room, table([header, *rows]), "-f", "csv")
    (read,) = csv.DictReader(io.StringIO(answer.out))
    assert read["points"] == "91.7"
    assert (read["result"], read["f"], read["follows"], read["group"]) == ("slip", "50", "c h", "A")
    assert read["name (given)"] == "twice"
    assert "one number is wrong: f[0] is " in read["explanation"]
    assert answer.err == "1 answer, mean 91.7 %: 1 with one number wrong\n"


def test_the_class_among_the_samples() -> None:
    """Nine answers, computed without the package: what each did is what is said."""
    folder = SAMPLES / "class"
    answer = call("grade", folder / "exercise.json", folder / "answers.csv", "--json")
    said = {
        each["name"]: (each["result"], round(each["points"]), [m["id"] for m in each["mistakes"]])
        for each in answer.json["answers"]
    }
    assert said == {
        "Ada": ("right", 100, []), "Ben": ("right", 100, []),
        "Cleo": ("mistake", 83, ["no-tanh-on-c"]), "Dan": ("mistake", 33, ["bias-outside"]),
        "Eva": ("slip", 92, []), "Finn": ("mistake", 33, ["swapped-concatenation"]),
        "Gia": ("incomplete", 67, []), "Hugo": ("unexplained", 0, []),
        "Cem": ("mistake", 83, ["no-tanh-on-c"]),
    }  # fmt: skip


def test_grading_from_options_and_stdin(room: Classroom) -> None:
    """The exercise may stand in options, the answers on stdin, the grades in a file."""
    out = room.path.with_name("grades.csv")
    answer = call("grade", "--x", "0.5,1", "--h", "0.1,0.2", "--c", "1,-1", "-",
                  "-f", "csv", "-o", out, stdin="name,h_0\nAnn,0.4337\n")  # fmt: skip
    assert answer.code == 0, answer.err
    assert answer.raw == b""
    assert out.read_text().startswith("name,points,result")


def test_answers_of_several_files(room: Classroom) -> None:
    """Files of answers are one class; each answer says which file it is from."""
    files = [room.path.with_name(name) for name in ("monday.csv", "tuesday.csv")]
    for file, name in zip(files, ("Ann", "Bea"), strict=True):
        file.write_text(table([room.header(), room.row(name, room.steps, decimals(4))]))
    lines = call("grade", room.path, *files, "-f", "jsonl").lines
    assert [(own["name"], own["result"]) for own in lines] == [("Ann", "right"), ("Bea", "right")]
    assert [own["other"] for own in lines] == [{"file": str(file)} for file in files]


MOVED = {
    "a file": (["diagnose", "my ex.json", "--grade", "a.csv", "-d", "3"],
               "lstm-step grade 'my ex.json' -d 3 a.csv"),
    "options": (["diagnose", "--grade=a.csv", "--x", "1;2", "--json"],
                "lstm-step grade --x '1;2' --json a.csv"),
    "a name like an option": (["diagnose", "ex.json", "--grade", "-a;b"],
                              "lstm-step grade ex.json './-a;b'"),
    "no value": (["diagnose", "ex.json", "--grade"], "lstm-step grade ex.json"),
    "a sheet": (["explain", "--exercise", "--seed", "7"], "lstm-step exercise --seed 7"),
    "help": (["explain", "--exercise", "-h"], "lstm-step exercise -h"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "hint"), MOVED.values(), ids=MOVED)
def test_an_option_that_became_a_command_says_so(arguments: list[str], hint: str) -> None:
    """The old command line is refused with the new one, to be pasted as it is."""
    answer = call(*arguments)
    assert answer.code == 2
    said = json.loads(answer.err)["error"]["try"] if "--json" in arguments else answer.err
    assert said.splitlines()[-1].removeprefix("try:   ") == hint


def test_the_old_command_line_in_new_words_grades(room: Classroom) -> None:
    """The command proposed for `diagnose --grade` does what it did."""
    answer = call("diagnose", "--grade", _file(room), room.path, "-f", "csv")
    proposed = shlex.split(answer.err.split("try:   lstm-step ")[1])
    assert call(*proposed).out.startswith("name,points,result")


def test_errors_of_the_library_are_ours(room: Classroom) -> None:
    """`read_answers` raises what the command says in three lines."""
    file = room.path.with_name("bad.csv")
    file.write_text("a,b\n1,2\n")
    with pytest.raises(LstmStepError, match="no column"):
        list(read_answers(str(file)))
