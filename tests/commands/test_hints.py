"""What an error says of a command line that is nearly right."""

from __future__ import annotations

import shlex

import pytest

from tests.tools import SAMPLES, assert_refused, call

MEANT = {
    "--hidden": ("--hidden 0,0.5 --x 0.1,0.2", "lstm-step --h 0,0.5 --x 0.1,0.2"),
    "--input=": ("--input=0.1,0.2", "lstm-step --x=0.1,0.2"),
    "a vector in pieces": ("--x 0.1 0.2 --steps 2", "lstm-step --x '0.1 0.2' --steps 2"),
    "pieces with a minus": ("--x 0.1 -0.2 --h 1 2", "lstm-step --x '0.1 -0.2' --h '1 2'"),
    "pieces with commas": ("--x 0.1, 0.2", "lstm-step --x '0.1, 0.2'"),
    "two vectors alone": ("0,0.5 0.1,0.2", "lstm-step --h 0,0.5 --x 0.1,0.2"),
    "a vector alone": ("0.1,0.2", "lstm-step --x 0.1,0.2"),
    "a negative one alone": ("-0.1,0.2", "lstm-step --x -0.1,0.2"),
    "after run": ("run 0.1,0.2 --steps 2", "lstm-step run --steps 2 --x 0.1,0.2"),
}


@pytest.mark.parametrize(("typed", "meant"), MEANT.values(), ids=MEANT)
def test_a_command_line_nearly_right_is_shown_right(typed: str, meant: str) -> None:
    """The error has the command that was meant, and it runs."""
    answer = call(*typed.split())
    assert_refused(answer, 2, f"try:   {meant}\n")
    assert call(*shlex.split(meant)[1:]).code == 0


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("w.npz", "try:   lstm-step inspect w.npz, or -w and --x to run it\n"),
        ("s.jsonl", "try:   lstm-step batch s.jsonl\n"),
        ("inspekt", "Did you mean 'inspect'?"),
        ("nonsense", "one of: run, explain"),
        ("--x 0,5 0,2", "quote a vector that contains spaces, as in --x '0 0.5', or use commas\n"),
        ("--nonsense", "lstm-step run --help"),
    ],
)
def test_other_command_lines_are_told_what_there_is(typed: str, hint: str) -> None:
    """A file alone, an unknown word and commas that may be decimal get their own hints."""
    assert_refused(call(*typed.split()), 2, hint)


def test_a_file_of_any_name_is_proposed_as_it_can_be_pasted() -> None:
    """Quotes, blanks and `$(…)` in a file's name reach the shell as one word."""
    name = "we $(x) 'w.npz"
    answer = call(name)
    assert_refused(answer, 2, "inspect ")
    line = answer.err.split("try:   ")[1].split(", or -w")[0]
    assert shlex.split(line) == ["lstm-step", "inspect", name]


@pytest.mark.parametrize(
    ("word", "symbol"),
    [("forget", "f"), ("forget_gate", "f"), ("f_t", "f"), ("ft", "f"), ("i_t", "i"), ("h_t", "h"),
     ("hidden", "h"), ("Cell_State", "c"), ("candidate", "g"), ("c_tilde", "g"), ("xt", "x"),
     ("input_gate", "i"), ("output_gate", "o"), ("F", "f"), ("h_prevv", "h_prev")],
)  # fmt: skip
def test_a_row_by_another_name_is_told_by_its_own(word: str, symbol: str) -> None:
    """Names and times of rows, as people write them, are answered with the symbol."""
    answer = call("--x", "0.5,-0.25", "--only", word)
    assert_refused(answer, 2, f"try:   did you mean '{symbol}'?\n")
    expected = call("diagnose", "--x", "0.5,-0.25", "--expect", f"{word}=0.1,0.2")
    assert_refused(expected, 3, f"did you mean '{symbol}'?")


def test_an_option_of_presets_beside_a_file_is_not_sent_to_a_preset() -> None:
    """What is proposed for `-w FILE --seed 3` is a command that runs."""
    answer = call("-w", SAMPLES / "weights/parity.npz", "--x", "1", "--seed", 3)
    assert_refused(answer, 2, "try:   leave --seed out, or give --preset in place of --weights")
    assert call("-w", SAMPLES / "weights/parity.npz", "--x", "1").code == 0
