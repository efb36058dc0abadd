"""Tables that nobody expects: rows that are a bare name, a constant, a product of products."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lstm_cli.cells import LSTM
from tests.tools import Answer, call

STATES = ("--h", "0.3,-0.5", "--c", "0.2,0.7", "--x", "0.1,0.2;-0.3,0.4")
USUAL = LSTM.symbols
# One of each kind that a row can be; `{}` is a name that stands above it.
KINDS = (
    "{}",
    "0.5 + 0 * {}",
    "b_q",
    "{} * {}",
    "({} * {}) * ({} * {})",
    "{} + {}",
    "1 - {}",
    "-{}",
    "{} / (1 + abs({}))",
    "tanh({} * {})",
    "sigmoid({} + 0.25)",
    "W_p @ tanh(W_q @ {})",
    "W_j @ [{}, {}]",
    "tanh(W_r @ [h_prev, x] + b_r) * {}",
)


def an_edit(chance: random.Random) -> str:
    """Return the LSTM with one to four rows replaced."""
    rows = []
    for place, symbol in enumerate(USUAL):
        if chance.random() < 0.25:
            own = f"z_{symbol}" if symbol in "figo" and chance.random() < 0.5 else ""
            rows.append((symbol, own or _row(chance, ["h_prev", "c_prev", *USUAL[:place]])))
    rows = rows or [("g", "z_g")]
    return 'base = "lstm"\n[edit]\n' + "".join(f'{name} = "{text}"\n' for name, text in rows)


def a_table(chance: random.Random) -> str:
    """Return a table of up to seven gates by any names, of which any may be missing."""
    rows, names = ["z_f = W_f @ [h_prev, x] + b_f"], ["h_prev", "c_prev", "z_f"]
    gates = chance.sample(["f", "i", "g", "o", "q", "z_i", "keep"], chance.randint(0, 5))
    for symbol in (*gates, *chance.sample(["c", "h"], 2)):
        rows.append(f"{symbol} = {_row(chance, names)}")
        names.append(symbol)
    return "equations = '''\n" + "\n".join(rows) + "\n'''\n"


def _row(chance: random.Random, names: list[str]) -> str:
    kind = chance.choice(KINDS)
    return kind.format(*(chance.choice(names) for _ in range(kind.count("{}"))))


def answers(cell: Path) -> dict[str, Answer]:
    """Return what each command says of a cell."""
    own = (*STATES, "--cell", cell)
    return {
        "run": call("run", *own, "-f", "table"),
        "explain": call("explain", *own),
        "exercise": call("explain", *own, "--exercise"),
        "grad": call("grad", *own, "--check"),
        "diagnose": call("diagnose", *own, "--expect", "h=0.1,0.2"),
        "picture": call("report", *own, "--at", 2, "-o", cell.with_name("cell.svg")),
        "page": call("report", *own, "-o", cell.with_suffix(".html")),
    }


def check(tmp_path: Path, seeds: range) -> None:
    cell, computed = tmp_path / "cell.toml", 0
    for seed in seeds:
        text = (a_table if seed % 2 else an_edit)(random.Random(seed))
        cell.write_text(text)
        said = answers(cell)
        for command, answer in said.items():
            assert answer.code in (0, 1, 2, 3), (command, text, answer.err)
            assert answer.code != 1 or command == "diagnose", (command, text, answer.err)
        refused = {command: answer.err for command, answer in said.items() if answer.code > 1}
        # What computes at all can be explained, differentiated, drawn and diagnosed.
        assert len(refused) in (0, len(said)), (text, refused)
        computed += not refused
    assert computed > len(seeds) / 2


def test_odd_tables_are_computed_explained_drawn_and_diagnosed(tmp_path: Path) -> None:
    """A table that computes works in every command, and one that does not is refused by all."""
    check(tmp_path, range(24))


@pytest.mark.slow
def test_many_odd_tables_are_computed_explained_drawn_and_diagnosed(tmp_path: Path) -> None:
    """Hundreds of odd tables work in every command, or are refused by all."""
    check(tmp_path, range(24, 160))
