"""`lstm-step grad`: every format, its schema, the check that decides, what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from lstm_cli.engine.grad import Gradients
from tests.commands.test_schemas import validator
from tests.tools import ROOT, SAMPLES, assert_refused, call

FILES = ROOT / "tests" / "files"

COMMANDS = {
    "one step": ["--x", "1,2", "--h", "0.5,0.25", "--c", "1,-1"],
    "zeros": ["--x", "1"],
    "weighted": ["--x", "1;2;3", "--dh", "2", "--dc=-1", "--d-output", "1;0;0.5"],
    "weights": ["--x", "1,2,3; 4,5,6", "--weights", SAMPLES / "weights" / "hand.json", "--check"],
    "variant": ["--x", "1,2", "--cell", "peephole+projection", "--preset", "random",
                "--output-size", "1", "--forget-bias", "1", "--clip", "3"],
    "activations": ["--x", "1", "--activations", "hard_sigmoid(0.3,0.4),tanh,softsign"],
    "split": ["--x", "1,2", "--notation", "split", "--through-time"],
    "float32": ["--x", "0.1", "--dtype", "float32"],
    "not finite": ["--x", "nan,inf", "--allow-nonfinite"],
    "chosen": ["--x", "1,2;3,4", "--unit", "0", "--at", "last", "--through-time", "--check"],
    "both ways": ["--x", "1,2,3;4,5,6;1,0,1", "-w", FILES / "torch_checkpoint.pt",
                  "-l", "model.decoder.rnn", "--through-time"],
}  # fmt: skip


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_grad_as_its_schema_says(arguments: list[object]) -> None:
    """`grad --json` validates, and csv and plain hold the same numbers."""
    answer = call("grad", *arguments, "--json")
    assert answer.code == 0, answer.err
    validator("grad").validate(answer.json)
    first = answer.json["steps"][0]["d_c"][0]
    for name in ("csv", "plain", "markdown", "latex", "table"):
        text = call("grad", *arguments, "-f", name)
        assert text.code == 0, text.err
        if name in ("csv", "plain"):
            assert str(first).removesuffix(".0") in text.out


def test_split_notation_shows_the_columns() -> None:
    """Split, d_W_f and d_U_f are the columns of the joined gradient, the rest is the same."""
    given = ["grad", "--x", "1,2,3", "--h", "0.5,0.1", "--preset", "random", "--json"]
    joined, split = (call(*given, *more).json for more in ([], ["--notation", "split"]))
    whole, parts = joined["parameters"][0], split["parameters"][0]
    for k in "figo":
        rows = [u + w for u, w in zip(parts[f"d_U_{k}"], parts[f"d_W_{k}"], strict=True)]
        assert rows == whole[f"d_W_{k}"]
    assert joined["d_x"] == split["d_x"]
    texts = {row["symbol"]: row["text"] for row in split["backward"]}
    assert texts["d_W_f"] == "outer(d_z_f, x)"
    assert texts["d_h_prev"] == " + ".join(f"U_{k}.T @ d_z_{k}" for k in "figo")


def test_the_check_is_printed_and_decides_the_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--check` prints its margin and leaves with 1 when the gradient is wrong."""
    given = ["grad", "--x", "1,2", "--check", "-f", "table"]
    answer = call(*given)
    assert answer.code == 0
    assert "agrees with central differences: largest relative difference" in answer.out
    from lstm_cli.engine import grad as b

    right = b.grad

    def wrong(trace: Any, *by: Any) -> Gradients:
        found = right(trace, *by)
        other = right(trace, 1.01 * found.loss.h)
        return Gradients(found.trace, found.loss, other.layers)

    monkeypatch.setattr(b, "grad", wrong)
    answer = call(*given)
    assert answer.code == 1
    assert "DIFFERS from" in answer.out
    assert call("grad", "--x", "1,2", "--check", "--json").json["check"]["passed"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "--x is missing"),
        (["--x", "1,2", "--dh", "1,2,3"], 3, "--dh has shape (3,)"),
        (["--x", "1,2", "--dh", "1,2;3,4"], 2, "--dh has 2 rows"),
        (["--x", "1,2", "--d-output", "1,2;3,4"], 2, "has 2 rows, but the run has 1 step"),
        (["--x", "-", "--dh", "-"], 2, "both read stdin"),
        (["--x", "1,2", "--check", "--dtype", "float32"], 3, "too coarse"),
        (["--x", "1,2", "-f", "npz"], 2, "unknown format 'npz'"),
        (["--x", "1,2", "--unit", "7"], 2, "outside"),
    ],
)
def test_what_grad_refuses(arguments: list[str], code: int, words: str) -> None:
    """What cannot be is said in three lines, before anything is written."""
    assert_refused(call("grad", *arguments), code, words)


def test_the_table_in_ascii_and_narrow() -> None:
    """A terminal without Unicode gets plain rows, a narrow one all numbers none the less."""
    given = ["grad", "--x", "1,2;3,4;5,6", "--through-time", "-f", "table"]
    assert call(*given, encoding="ascii").out.isascii()
    assert "d_z_f" in call(*given, encoding="ascii").out
    narrow = call(*given, env={"COLUMNS": "30"})
    assert "…" not in narrow.out
    assert all(cell_len(line) <= 30 or " " not in line for line in narrow.out.splitlines())
    wide = call("grad", "--x", ",".join("1" * 20), "-f", "table")
    assert "20 × 40" in wide.out


def test_a_check_on_a_corner_says_so() -> None:
    """relu at 0 has two derivatives: both are told, and nothing differs."""
    line = ("grad", "--x", "0,1", "--activations", "sigmoid,relu,tanh", "--check")
    answer = call(*line, "-f", "csv")
    assert answer.code == 0
    assert "agrees with central differences" in answer.err
    said = "z_g[0] at t = 1 stands on relu's corner, where d_W_g[0, 3] of layer 0 forward is "
    assert f"{said}0 from below and 0.25 from above (shown: 0)" in answer.err
    check = call(*line, "--json").json["check"]
    assert check["passed"]
    corner = check["corner"]
    assert (corner["argument"], corner["unit"], corner["function"]) == ("z_g", 0, "relu")
    # By hand: dh/dz_g = o · i · tanh'(c) = 0.5 · 0.5 where relu passes, and 0 where it does not.
    assert corner["below"] == 0
    assert corner["above"] == pytest.approx(0.25, rel=1e-6)


def test_a_corner_that_is_not_met_is_not_told() -> None:
    """Away from its corners a relu has one derivative."""
    answer = call("grad", "--x", "0.5,1", "--activations", "sigmoid,relu,tanh", "--check")
    assert answer.code == 0
    assert "corner" not in answer.err


def test_a_limit_of_the_cell_is_a_corner() -> None:
    """c at its clip's limit stands on the corner of clip."""
    answer = call("grad", "--x", "0", "--c", "2", "--cell-clip", "1", "--check", "-f", "csv")
    assert answer.code == 0
    assert "stands on clip's corner, where" in answer.err
