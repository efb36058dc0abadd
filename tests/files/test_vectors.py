"""Vectors as people type, paste, pipe and store them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_cli.base.errors import InputError, LstmStepError, ShapeError
from lstm_cli.files.vectors import parse_rows, read_vector, repeat_or_cut
from tests.tools import assert_refused, call

TEXTS = {
    "commas": ("0,0.5,-1e-3", [[0, 0.5, -1e-3]]),
    "commas and spaces": (" 0 , 0.5,  -1e-3 ", [[0, 0.5, -1e-3]]),
    "spaces": ("0 0.5 -1e-3", [[0, 0.5, -1e-3]]),
    "tabs": ("0\t0.5\t-1e-3", [[0, 0.5, -1e-3]]),
    "one number": ("7", [[7]]),
    "signs and points": ("+1 .5 5. -0 1E+3", [[1, 0.5, 5, 0, 1000]]),
    "brackets": ("[0 0.5]", [[0, 0.5]]),
    "brackets and commas": ("[0, 0.5]", [[0, 0.5]]),
    "round brackets": ("(0, 0.5)", [[0, 0.5]]),
    "semicolons": ("1,2;3,4", [[1, 2], [3, 4]]),
    "semicolons and spaces": ("1 2 ; 3 4 ;", [[1, 2], [3, 4]]),
    "lines": ("1 2\n3 4\n", [[1, 2], [3, 4]]),
    "comma at the end of a line": ("1,2,\n3,4,\n5,6", [[1, 2], [3, 4], [5, 6]]),
    "nested brackets": ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
    "nested without commas": ("[[1 2]\n [3 4]]", [[1, 2], [3, 4]]),
    "comma after the last": ("[1, 2,]", [[1, 2]]),
    "a row over several lines": ("[1, 2,\n 3]", [[1, 2, 3]]),
    "np.array": ("np.array([1., 2.])", [[1, 2]]),
    "numpy.asarray": ("numpy.asarray([1., 2.])", [[1, 2]]),
    "array as numpy prints it": ("array([[1., 2.],\n       [3., 4.]])", [[1, 2], [3, 4]]),
    "array with dtype": ("array([1., 2.], dtype=float32)", [[1, 2]]),
    "tensor": ("tensor([1., 2.])", [[1, 2]]),
    "tensor with a history": ("tensor([[1., 2.]], grad_fn=<AddBackward0>)", [[1, 2]]),
    "tensor on a device": ("torch.tensor([1.], device='cuda:0', dtype=torch.float64)", [[1]]),
}


@pytest.mark.parametrize(("text", "rows"), TEXTS.values(), ids=TEXTS)
def test_each_way_to_write_rows_gives_the_same_numbers(text: str, rows: list[list[float]]) -> None:
    """Each syntax of the manual is read."""
    assert read_vector(text, "--x").tolist() == rows


REFUSALS = {
    "word": ("0,zero,1", 3, 4, "not a number", "numbers look like"),
    "underscore": ("1_0", 1, 3, "not a number", "numbers look like"),
    "hexadecimal": ("1 0x10", 3, 4, "not a number", "numbers look like"),
    "two points": ("1 2.3.4", 3, 5, "not a number", "numbers look like"),
    "nan": ("1,nan", 3, 3, "not a number", "--allow-nonfinite"),
    "infinity": ("-Infinity", 1, 9, "not a number", "--allow-nonfinite"),
    "too large": ("0,1e999", 3, 5, "too large for a double", "1.8e308"),
    "dash": ("1,–2", 3, 2, "not a number", "use a minus: -"),
    "other digits": ("1,٣", 3, 1, "not a number", "plain digits 0-9"),
    "wide digits": ("1,２", 3, 2, "not a number", "plain digits 0-9"),
    "abbreviated": ("[0.1 0.2 ... 0.9]", 10, 3, "not a number", "threshold"),
    "option without value": ("--h", 1, 3, "not a number", "forget the value of --x"),
    "file without @": ("x.npy", 1, 5, "not a number", "--x @x.npy"),
    "comma first": (",1", 1, 1, "no number before this comma", "remove"),
    "two commas": ("1,,2", 3, 1, "no number before this comma", "remove"),
    "comma last": ("1,2,", 4, 1, "nothing follows this comma", "remove"),
    "comma before semicolon": ("1,;2", 3, 1, "before this semicolon", "remove the comma"),
    "not closed": ("[1,2", 1, 1, "not closed", "add ]"),
    "not opened": ("1,2]", 4, 1, "no bracket is open", "remove"),
    "mixed brackets": ("[1,2)", 5, 1, "does not match the opening bracket", "use [ with ]"),
    "three levels": ("[[[1]], [[2]]]", 3, 1, "third level", "batch"),
    "bracket in a row": ("1 [2]", 3, 1, "in the middle of a row", "; or ,"),
}


@pytest.mark.parametrize(
    ("text", "column", "length", "what", "hint"), REFUSALS.values(), ids=REFUSALS
)
def test_refusal_points_at_the_token(
    text: str, column: int, length: int, what: str, hint: str
) -> None:
    """What cannot be read is refused with its column, and the caret stands under all of it."""
    with pytest.raises(InputError) as caught:
        read_vector(text, "--x")
    error = caught.value
    assert what in error.what
    assert hint in error.lines.hint
    place, shown, under = error.lines.where.split("\n")
    assert place == f"--x, column {column}"
    assert shown == text
    assert under == " " * (column - 1) + "^" * length


def test_refusal_in_a_file_names_the_line(tmp_path: Path) -> None:
    """In a text of several lines the error names line and column of that line."""
    path = tmp_path / "x.txt"
    path.write_text("1 2\n3 four\n")
    answer = call("--x", f"@{path}")
    assert_refused(answer, 3, "'four' is not a number")
    place, shown, under = answer.where.split("\n")
    assert place.endswith("x.txt, line 2, column 3")
    assert (shown, under) == ("3 four", "  ^^^^")


def test_caret_stays_under_the_token_of_a_long_line() -> None:
    """A long line is cut around the token, and the caret still stands under it."""
    with pytest.raises(InputError) as caught:
        read_vector("0.25," * 400 + "oops," + "0.5," * 400 + "1", "--x")
    place, shown, under = caught.value.lines.where.split("\n")
    assert place == "--x, column 2001"
    assert len(shown) < 80
    assert shown[under.index("^") : under.rindex("^") + 1] == "oops"


def test_caret_counts_escapes_and_wide_characters() -> None:
    """Characters shown as escapes or two columns wide do not move the caret off its token."""
    with pytest.raises(InputError) as caught:
        read_vector("1,\u3000\x0b2,x", "--x")
    _, shown, under = caught.value.where.split("\n")
    assert shown == "1,\u3000\\x0b2,x"
    assert under == " " * (len(shown) + 1 - 1) + "^"  # the wide blank takes two columns


@pytest.mark.parametrize("text", ["", " ", "[]", ";", "\n", "np.array([])"])
def test_nothing_is_not_a_vector(text: str) -> None:
    """A vector without numbers is refused."""
    with pytest.raises(InputError, match="no numbers"):
        parse_rows(text, "--x", "--x")


def test_ragged_rows_are_refused_with_both_lengths() -> None:
    """Rows of unequal length are refused; the message has both lengths."""
    with pytest.raises(ShapeError, match="row 2 has 1 number, row 1 has 2"):
        read_vector("1,2;3", "--x")


def test_nonfinite_numbers_only_on_request() -> None:
    """Nan and inf are numbers with --allow-nonfinite, in any case and with a sign."""
    rows = read_vector("nan,-inf,+Infinity", "--x", allow_nonfinite=True)
    assert np.isnan(rows[0, 0])
    assert rows[0, 1:].tolist() == [-np.inf, np.inf]
    answer = call("--x", "nan,1", "--allow-nonfinite", "--json")
    assert answer.code == 0
    assert answer.json["steps"][0]["x"] == ["NaN", 1.0]


# ---- files

X = np.array([[0.5, -1.0], [2.0, 0.25]])


def write_each(folder: Path) -> dict[str, str]:
    """Write X in each format; return what `--x` takes."""
    (folder / "x.txt").write_text("# the input\n0.5 -1   # first\n\n2 0.25\n")
    (folder / "x.csv").write_text("0.5,-1\r\n2,0.25\r\n")
    (folder / "x.dat").write_text("[[0.5, -1], [2, 0.25]]")
    (folder / "bom.txt").write_bytes(b"\xef\xbb\xbf0.5 -1\n2 0.25\n")
    (folder / "x.json").write_text(json.dumps(X.tolist()))
    (folder / "keys.json").write_text(json.dumps({"a": [1], "x": X.tolist()}))
    np.save(folder / "x.npy", X)
    np.save(folder / "fortran.npy", np.asfortranarray(X))
    np.save(folder / "big.npy", X.astype(">f8"))
    np.save(folder / "half.npy", X.astype("f2"))
    np.savez(folder / "one.npz", x=X)
    np.savez(folder / "two.npz", a=[1], b=X)
    np.savez_compressed(folder / "keys.npz", a=[1], x=X)
    return {name: f"@{folder}/{name}" for name in FILES}


FILES = ("x.txt", "x.csv", "x.dat", "bom.txt", "x.json", "keys.json:x", "x.npy", "fortran.npy",
         "big.npy", "half.npy", "one.npz", "one.npz:x", "keys.npz:x")  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_each_file_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    """txt, csv, json, npy and npz, with :key where there are several, hold the same rows."""
    assert read_vector(write_each(tmp_path)[name], "--x").tolist() == X.tolist()


def test_a_colon_in_a_path_is_part_of_it(tmp_path: Path) -> None:
    """Only what follows `.npz:` or `.json:` is a key; other colons belong to the path."""
    (tmp_path / "a:b.txt").write_text("1 2")
    assert read_vector(f"@{tmp_path}/a:b.txt", "--x").tolist() == [[1, 2]]
    np.savez(tmp_path / "a:b.npz", x=[3.0], y=[4.0])
    assert read_vector(f"@{tmp_path}/a:b.npz:y", "--x").tolist() == [[4]]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("two.npz", ("several keys", "@file:a, @file:b")),
        ("keys.npz:X", ("no key 'X'", "did you mean 'x'?")),
        ("keys.json:q", ("no key 'q'", "one of: a, x")),
        ("x.nyp", ("cannot read", "no such file")),
        ("xx.npy", ("no such file", "check the path")),
        ("", ("cannot read", "is a directory")),
    ],
)
def test_a_file_that_does_not_do_is_refused(
    argument: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    """A missing file or key is refused with what there is."""
    write_each(tmp_path)
    assert_refused(call("--x", f"@{tmp_path}/{argument}"), 3, *words)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[[[1.0]]]], "nested too deeply"),
        ([], "empty"),
        ([[1, 2], [3]], "ragged: [1] has 1 numbers, [0] has 2 numbers"),
        (["1"], 'x[0] is "1", not a number'),
        ([True], "x[0] is true, not a number"),
        ([None], "x[0] is null, not a number"),
    ],
)
def test_json_that_is_no_rows_is_refused(value: object, words: str, tmp_path: Path) -> None:
    """JSON is not guessed at: text, true and null are no numbers, rows have one length."""
    (tmp_path / "x.json").write_text(json.dumps({"x": value}))
    assert_refused(call("--x", f"@{tmp_path}/x.json:x"), 3, words)


def test_arrays_with_nan_need_the_option(tmp_path: Path) -> None:
    """Nan in an npy file is refused with its place, unless it is allowed."""
    np.save(tmp_path / "x.npy", [[1.0, 2.0], [3.0, np.nan]])
    answer = call("--x", f"@{tmp_path}/x.npy")
    assert_refused(answer, 3, "row 2, number 2 is nan", "--allow-nonfinite")
    assert call("--x", f"@{tmp_path}/x.npy", "--allow-nonfinite").code == 0


# ---- stdin


def test_stdin_holds_rows_once() -> None:
    """`-` reads rows from stdin, comments and all; two of them are refused."""
    answer = call("--x", "-", "--json", stdin="# two steps\n1 2\n3 4\n")
    assert [step["x"] for step in answer.json["steps"]] == [[1, 2], [3, 4]]
    refused = call("--x", "-", "--h", "-", stdin="1 2\n")
    assert_refused(refused, 2, "--x and --h both read stdin")


@pytest.mark.parametrize("data", [b"", b"\n", b"# nothing\n"])
def test_empty_stdin_is_refused(data: bytes) -> None:
    """Empty stdin is no vector."""
    assert_refused(call("--x", "-", stdin=data), 3, "--x has no numbers")


def test_stdin_that_is_not_text_is_refused() -> None:
    """Bytes that are no UTF-8 are refused with the byte."""
    assert_refused(call("--x", "-", stdin=b"1 2 \xff"), 3, "byte 4 is 0xff")


# ---- steps


def test_one_row_is_repeated_and_rows_are_cut() -> None:
    """--steps repeats a single row and cuts a sequence; more steps than rows are refused."""
    one, three = np.array([[1.0, 2.0]]), np.arange(6.0).reshape(3, 2)
    assert repeat_or_cut(one, 3, "--x").tolist() == [[1, 2]] * 3
    assert repeat_or_cut(three, 2, "--x").tolist() == three[:2].tolist()
    assert repeat_or_cut(three, 0, "--x") is three
    with pytest.raises(ShapeError, match="4 steps requested, but x has 3 rows"):
        repeat_or_cut(three, 4, "--x")


# ---- properties

# Written apart from the parser's own expression.
NUMBER = re.compile(r"[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)


@given(st.text(alphabet="0123456789+-.eE_xnaifNITY٣２−", min_size=1, max_size=12))
@example("1_0")
@example("1e5")
@example(".")
@example("1.e5")
def test_a_token_is_accepted_just_when_it_is_an_ascii_number(token: str) -> None:
    """A word is a number exactly where the ASCII grammar says so; a typographic minus is a minus."""
    plain = token.replace("−", "-")
    wanted = NUMBER.fullmatch(plain) is not None and np.isfinite(float(plain))
    try:
        rows = parse_rows(token, "--x", "--x")
    except LstmStepError:
        assert not wanted
    else:
        assert wanted
        assert rows.tolist() == [[float(plain)]]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_repr_reads_back(numbers: list[float]) -> None:
    """What Python prints reads back as the same doubles, joined in any of the usual ways."""
    for text in (",".join(map(repr, numbers)), " ".join(map(repr, numbers)), repr(numbers)):
        assert parse_rows(text, "--x", "--x").tolist() == [numbers]


@given(st.text(max_size=60))
@example("np.array(")
@example("(")
@example("\x00")
@example("1\u2028x")
@example("\r1\rx")
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text brings out anything but an error that a user can act on."""
    try:
        rows = parse_rows(text, "--x", "--x")
    except LstmStepError as error:
        assert error.hint
        assert str(error)
    else:
        assert np.isfinite(rows).all()


@given(st.text(alphabet="[]()0123456789.,; \n-e#", max_size=40))
def test_any_brackets_are_read_or_refused(text: str) -> None:
    """Every arrangement of brackets, commas and lines is read or refused with a place."""
    try:
        rows = parse_rows(text, "--x", "--x")
    except LstmStepError as error:
        assert error.lines.where.startswith("--x")
    else:
        assert rows.ndim == 2
