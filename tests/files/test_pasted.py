"""Prints, prompts, tables and half-right commands as people paste and type them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_cli.base.errors import InputError, LstmStepError
from lstm_cli.files.vectors import parse_rows, read_vector
from tests.tools import assert_refused, call

TWO = [[0.25, -0.5]]
FOUR = [[0.25, -0.5], [1.5, 2.0]]

# As each library prints them (NumPy 2, PyTorch 2, TensorFlow 2, JAX, Paddle, MXNet, MATLAB).
PASTES = {
    "a name": ("xt = np.array([ 0.25, -0.5 ])", TWO),
    "a name with a type": ("x: np.ndarray = np.array([0.25, -0.5])", TWO),
    "an attribute": ("self.h[0] = [0.25, -0.5]", TWO),
    "IPython": ("Out[3]: array([ 0.25, -0.5 ])", TWO),
    "IPython, both lines": ("In [3]: h\nOut[3]: array([ 0.25, -0.5 ])", TWO),
    "a session": (">>> a\narray([ 0.25, -0.5 ])", TWO),
    "an indexed session": (">>> print(h[0])\n[ 0.25 -0.5 ]\n>>> ", TWO),
    "a statement": (">>> a = np.array([0.25,\n...              -0.5])", TWO),
    "a session of statements": (">>> a = np.array([9, 9])\n>>> b = np.array([0.25, -0.5])", TWO),
    "PyTorch": (
        "tensor([[ 0.2500, -0.5000],\n        [ 1.5000,  2.0000]], device='cuda:0',\n"
        "       dtype=torch.float64, grad_fn=<AddBackward0>)",
        FOUR,
    ),
    "a parameter": (
        "Parameter containing:\ntensor([ 0.2500, -0.5000], requires_grad=True)",
        TWO,
    ),
    "a batch of one": ("tensor([[[ 0.2500, -0.5000],\n         [ 1.5000,  2.0000]]])", FOUR),
    "a list of tensors": ("[tensor([0.25, -0.5]), tensor([1.5, 2.])]", FOUR),
    "TensorFlow": (
        "<tf.Tensor: shape=(2, 2), dtype=float32, numpy=\narray([[ 0.25, -0.5 ],\n"
        "       [ 1.5 ,  2.  ]], dtype=float32)>",
        FOUR,
    ),
    "a TensorFlow variable": (
        "<tf.Variable 'Variable:0' shape=(2,) dtype=float32, "
        "numpy=array([ 0.25, -0.5 ], dtype=float32)>",
        TWO,
    ),
    "TensorFlow's print": ("tf.Tensor([ 0.25 -0.5 ], shape=(2,), dtype=float32)", TWO),
    "JAX": ("Array([ 0.25, -0.5 ], dtype=float32)", TWO),
    "Paddle": (
        "Tensor(shape=[2], dtype=float32, place=Place(cpu), stop_gradient=True,\n"
        "       [ 0.25000000, -0.50000000])",
        TWO,
    ),
    "MXNet": ("\n[ 0.25 -0.5 ]\n<NDArray 2 @cpu(0)>", TWO),
    "NumPy's scalars": ("[np.float64(0.25), np.float64(-0.5)]", TWO),
    "one scalar": ("np.float32(0.25)", [[0.25]]),
    "scalar tensors": ("(tensor(0.2500), tensor(-0.5000))", TWO),
    "text": ("['0.25', '-0.5']", TWO),
    "MATLAB": ("x = [0.25 -0.5; 1.5 2];", FOUR),
    "MATLAB's print": ("x =\n\n    0.2500   -0.5000\n    1.5000    2.0000\n", FOUR),
    "a wrapped row": ("[" + " 0.5" * 18 + "\n " + " 0.5" * 2 + "]", [[0.5] * 20]),
    "our minus": ("0.25,−0.5", TWO),
    "blanks that do not break": ("0.25,\u00a0-0.5", TWO),
    "narrow blanks": ("0.25\u202f-0.5", TWO),
    "integers with a type": ("array([1, 2], dtype=int32)", [[1, 2]]),
    "decimal commas between tabs": ("0,25\t-0,5\n1,5\t2", FOUR),
}


@pytest.mark.parametrize(("text", "rows"), PASTES.values(), ids=PASTES)
def test_each_print_is_read(text: str, rows: list[list[float]]) -> None:
    """What stands around the numbers of a print is passed over."""
    assert read_vector(text, "--x", told=[]).tolist() == rows


REFUSALS = {
    "commas and blanks": ("0,5 0,2", "both commas and blanks", "with a point"),
    "commas and tabs, nobody told": ("0,5\t0,2", "both commas and blanks", "with a point"),
    "decimals after a comma": ("0,05;0,2", "'05' after a comma looks like decimals", "a point"),
    "abbreviated": ("[0.1, 0.2, ..., 0.9]", "'...' is not a number", "threshold"),
    "abbreviated rows": ("[[0.1 0.2]\n ...\n [0.8 0.9]]", "'...' is not", "threshold"),
    "abbreviated by one sign": ("[0.1, …, 0.9]", "'…' is not a number", "threshold"),
    "abbreviated by MXNet": ("<NDArray truncated>", "'<NDArray' is not", "numbers look like"),
    "blocks of columns": ("Columns 0 to 9 \n 0.1 0.2", "'Columns' is not", "wider"),
    "a scale": ("1.0e+03 *\n\n 0.0010 1.0000", "'*' is not a number", "format long g"),
    "a transposition": ("np.array([[0.1, 0.2]]).T", "'.T' is not a number", "paste what"),
    "a product": ("np.array([0.1, 0.2]) * 2", "'*' is not a number", "nothing is computed"),
    "a negation": ("-np.array([0.1, 0.2])", "'-' is not a number", "missing"),
    "zeros": ("np.zeros(3)", "'np.zeros' is not a number", "numbers look like"),
    "a type that cuts": ("np.array([0.5, 1.5], dtype=int)", "'dtype=int' is not", "look like"),
    "sparse": ("tensor(indices=tensor([[0]]), values=tensor([1.]))", "'indices=' is", "look"),
    "R": ("[1] 0.5", "a number right after a bracket", "; or ,"),
    "rows of MATLAB": ("[1 2\n 3 4]", "a row goes on in the next line, or ends there", "by ;"),
    "a fraction": ("1/3,0.2", "'1/3' is not a number", "did you mean 0.3333333333333333?"),
    "a percentage": ("10%,0.2", "'10%' is not a number", "did you mean 0.1?"),
    "a letter": ("O.1,0.2", "'O.1' is not a number", "did you mean 0.1?"),
    "a missing number": ("0.1,NA", "'NA' is not a number", "a number is missing"),
    "a dash": ("–0.5", "'–0.5' is not a number", "use a minus"),
    "divided by zero": ("1/0", "'1/0' is not a number", "numbers look like"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "what", "hint"), REFUSALS.values(), ids=REFUSALS)
def test_what_may_be_another_number_is_refused(text: str, what: str, hint: str) -> None:
    """Text that is not surely these numbers is refused with what to do."""
    with pytest.raises(LstmStepError) as caught:
        parse_rows(text, "--x", "--x")
    assert what in caught.value.what
    assert hint in (caught.value.hint or "")


def test_errors_show_the_text_as_it_was_pasted() -> None:
    """The line and the caret are those of the text that was given."""
    with pytest.raises(InputError) as caught:
        read_vector("x = np.array([0.5, oops], dtype=float)", "--x")
    place, shown, under = caught.value.lines.where.split("\n")
    assert place == "--x, column 20"
    assert shown == "x = np.array([0.5, oops], dtype=float)"
    assert under == " " * 19 + "^^^^"


FILES = {
    "semicolons": ("0.25;-0.5\n1.5;2\n", "cells are separated by semicolons"),
    "decimal commas": (
        "0,25;-0,5\n1,5;2,0\n",
        "cells are separated by semicolons, and commas are decimal",
    ),
    "a header": ("a,b\n0.25,-0.5\n1.5,2\n", "the header a, b is skipped"),
    "a quoted header": ('"x 1","x 2"\n0.25,-0.5\n1.5,2\n', "the header x 1, x 2 is skipped"),
    "a header without commas": ("a b\n0.25 -0.5\n1.5 2\n", "the header a, b is skipped"),
    "a header and decimal commas": ('a;b\n"0,25";"-0,5"\n"1,5";"2"\n', "commas are decimal"),
    "quoted cells": ('"0.25","-0.5"\n"1.5","2"\n', ""),
    "tabs": ("0.25\t-0.5\n1.5\t2\n", ""),
    "rows on a line": ("0.25,-0.5;1.5,2.0\n", ""),
    "a semicolon at each end": ("0.25,-0.5;\n1.5,2;\n", ""),
}


@pytest.mark.parametrize(("text", "told"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_are_read_and_what_was_understood_is_said(
    text: str, told: str, encoding: str, tmp_path: Path
) -> None:
    """Headers, separators and decimal commas of a file are understood, and said."""
    path = tmp_path / "x.csv"
    path.write_text(text, encoding=encoding)
    said: list[str] = []
    assert read_vector(f"@{path}", "--x", told=said).tolist() == FOUR
    assert len(said) <= 2
    assert told in "; ".join(said)
    assert bool(told) == bool(said)


def test_a_first_row_that_counts_is_named(tmp_path: Path) -> None:
    """Columns that pandas numbered are read as a step, which is said."""
    (tmp_path / "x.csv").write_text("0,1,2\n0.5,0.25,-1\n")
    said: list[str] = []
    assert len(read_vector(f"@{tmp_path / 'x.csv'}", "--x", told=said)) == 2
    assert "the first row, 0,1,2, is read as numbers" in said[0]


@pytest.mark.parametrize("text", ["nan,inf\n1,2\n", "NA,NA\n1,2\n", "a,3\n1,2\n", "0.1,,0.3\n"])
def test_a_line_that_is_no_header_is_not_skipped(text: str, tmp_path: Path) -> None:
    """Missing values, blank cells and lines with a number are no headers."""
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(InputError):
        read_vector(f"@{tmp_path / 'x.csv'}", "--x", told=[])


def test_a_line_of_semicolons_separates_rows(tmp_path: Path) -> None:
    """A single line of a file is read as it is when typed: a row a step."""
    (tmp_path / "x.csv").write_text("1;0.5;-1\n")
    assert read_vector(f"@{tmp_path / 'x.csv'}", "--x", told=[]).tolist() == [[1], [0.5], [-1]]


@pytest.mark.parametrize("text", ["0,1;0,2;0,3\n0,4;0,5;0,6\n", "0,1;0,2;0,3\n"])
def test_whole_numbers_in_a_german_table_are_decimals(text: str, tmp_path: Path) -> None:
    """A csv file of lines like 0,1;0,2;0,3 has decimal commas, and the run says so everywhere."""
    (tmp_path / "eu.csv").write_text(text)
    answer = call("--x", f"@{tmp_path / 'eu.csv'}", "--json")
    assert answer.json["steps"][0]["x"] == [0.1, 0.2, 0.3]
    assert "commas are decimal" in answer.json["assumptions"][1]
    assert "commas are decimal" in call("--x", f"@{tmp_path / 'eu.csv'}", "-f", "csv").err


def test_pairs_of_whole_numbers_are_named() -> None:
    """Rows like 0,1;0,2 are pairs, which is said, as they may be meant as decimals."""
    answer = call("--x", "0,1;0,2", "--json")
    assert [step["x"] for step in answer.json["steps"]] == [[0, 1], [0, 2]]
    assert "--x: 0,1 is two numbers, 0 and 1; a decimal is 0.1" in answer.json["assumptions"]
    for text in ("0.5,1;0,2", "0,1", "0,1,2;3,4,5"):
        assert not any(
            "decimal" in each for each in call("--x", text, "--json").json["assumptions"]
        )


def test_the_key_called_as_the_option_is_taken(tmp_path: Path) -> None:
    """Of several arrays the one named x is x, which is said; without it they are listed."""
    np.savez(tmp_path / "f.npz", x=FOUR, a=[1.0])
    (tmp_path / "f.json").write_text(json.dumps({"a": [1], "x": FOUR}))
    for name in ("f.npz", "f.json"):
        said: list[str] = []
        assert read_vector(f"@{tmp_path / name}", "--x", told=said).tolist() == FOUR
        assert said == [f"--x, {tmp_path / name}: x is taken, and a left out"]
    assert_refused(call("--x", "1", "--h", f"@{tmp_path / 'f.npz'}"), 3, "several keys", "@file:x")


def test_a_batch_of_one_is_one_sample(tmp_path: Path) -> None:
    """(1, T, I), as PyTorch has it, runs in every format like (T, I)."""
    np.save(tmp_path / "x.npy", FOUR)
    np.save(tmp_path / "batch.npy", [FOUR])
    one, batch = (
        call("--x", f"@{tmp_path / name}", "--at", "2") for name in ("x.npy", "batch.npy")
    )
    assert one.code == batch.code == 0
    assert one.out == batch.out


WEIGHTS = {"W": np.linspace(-0.9, 0.8, 40).reshape(2, 20)[:, :5], "b": np.array([0.1, -0.2])}
TOO_WIDE = {
    "one step as a column": ("0.1;0.2;0.3", "for one step transpose x, its 3 numbers"),
    "columns as rows": ("[[.1, .2, .3, .4], [.5, .6, .7, .8], [.9, .1, .2, .3]]", "x.T"),
    "an index from 0": ("0,.1,.2,.3;1,.4,.5,.6", "the first column counts from 0: leave it out"),
    "an index from 1": ("1,.1,.2,.3;2,.4,.5,.6", "the first column counts from 1: leave it out"),
    "decimal commas": ("0,1;0,2;0,3", "write decimals with a point"),
    "decimal commas in a row": ("0,1,0,2,0,3", "write decimals with a point"),
    "anything else": ("0.1,0.2", "separate numbers by commas and steps by semicolons"),
}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a file of weights with three inputs and two units."""
    arrays = {f"{name}_{gate}": array * scale for name, array in WEIGHTS.items()
              for gate, scale in zip("figo", (1.0, -0.7, 0.4, 1.3), strict=True)}  # fmt: skip
    np.savez(tmp_path / "w.npz", **arrays)
    return tmp_path / "w.npz"


@pytest.mark.parametrize(("text", "hint"), TOO_WIDE.values(), ids=TOO_WIDE)
def test_rows_of_a_wrong_width_are_explained(text: str, hint: str, weights: Path) -> None:
    """What does not fit the weights is refused with what was likely meant."""
    answer = call("-w", weights, "--x", text)
    assert_refused(answer, 3, "W_f needs 3", hint)


def test_headers_of_expected_numbers_and_gradients_are_skipped(tmp_path: Path) -> None:
    """What was understood of --expect and of a loss is among the assumptions, too."""
    (tmp_path / "y.csv").write_text("a,b\n0.25,-0.5\n")
    told = f"{tmp_path / 'y.csv'}: the header a, b is skipped"
    for command, name in (("diagnose", "--expect h"), ("grad", "--dh")):
        answer = call(command, "--x", "0.5,0.75", *name.split()[:1],
                      f"{'h=' if ' ' in name else ''}@{tmp_path / 'y.csv'}", "--json")  # fmt: skip
        assert f"{name}, {told}" in answer.json["assumptions"]


def test_samples_of_one_step_are_named(tmp_path: Path) -> None:
    """(N, 1, I) is read as N samples of one step, which is said, as it may be one of N steps."""
    np.save(tmp_path / "x.npy", np.reshape(FOUR, (2, 1, 2)))
    for options in ((), ("--sample", 1)):
        answer = call("--x", f"@{tmp_path / 'x.npy'}", "--json", *options)
        assert any("2 samples of 1 step" in each for each in answer.json["assumptions"])
    refused = call("--x", f"@{tmp_path / 'x.npy'}", "-f", "csv")
    assert "for one sample of 2 steps x[:, 0]" in refused.err


WORDS = ("array(", "tensor(", ")", "[", "]", "[[[", "]]]", ",", ";", "\n", " ", "\t", "0.5", "0,5",
         "05", "-", "−", "x =", "h: y =", ">>> ", "... ", "In [1]:", "Out[2]:", "dtype=int", "'",
         "device='cuda:0'", "<tf.Tensor: numpy=", ">", '"0.1"', "a", "nan", "…", "1/3", "10%")  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=14))
@example([">>> "])
def test_any_words_of_a_print_are_read_or_refused(words: list[str]) -> None:
    """No arrangement of what prints consist of brings out anything but numbers or an error."""
    try:
        rows = read_vector(" " + "".join(words), "--x", told=[])
    except LstmStepError as error:
        assert error.lines.where.startswith("--x")
    else:
        assert np.isfinite(rows).all()


def test_a_column_of_decimal_commas_is_not_only_an_index(tmp_path: Path) -> None:
    """1,5 and 2,5 may be decimals or a counting column: the hint says both."""
    (tmp_path / "x.csv").write_text("1,5\n2,5\n")
    np.savez(tmp_path / "w.npz", weight_ih_l0=[[0.3], [-0.2], [0.7], [0.4]],
             weight_hh_l0=[[0.1], [0.6], [-0.5], [0.2]])  # fmt: skip
    answer = call("-w", tmp_path / "w.npz", "--x", f"@{tmp_path / 'x.csv'}")
    assert answer.code == 3
    assert "write decimals with a point" in answer.err
    assert "the first column counts from 1" in answer.err
