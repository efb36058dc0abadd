"""The sentences under a step: what each gate did, from its own numbers."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.cell.cells import LSTM, Cell, parse_table
from lstm_cli.cell.equations import evaluate
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.engine.run import run
from lstm_cli.show.sentences import percent, sentences
from tests.conftest import random_arrays, random_inputs


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.00012, "0.012 %"),
        (0.69, "69 %"),
        (0.9949, "99 %"),
        (0.998765, "99.88 %"),
        (0.99992, "99.99 %"),
        (0.99996, "nearly 100 %"),
        (np.nextafter(1.0, 0.0), "nearly 100 %"),
        (1.0, "100 %"),
        (np.nextafter(1.0, 2.0), "nearly 100 %"),
        (1.003, "100.3 %"),
        (2.5, "250 %"),
    ],
)
def test_only_one_is_called_a_hundred_per_cent(share: float, text: str) -> None:
    """A share is rounded, but never to the whole of which it falls short."""
    assert percent(share) == text


def test_a_state_that_stays_infinite_has_not_changed() -> None:
    """Units that do change are told, not the one that is inf before and after."""
    nothing = dict.fromkeys("figoh", np.full(3, np.nan))
    values = {"c_prev": np.array([np.inf, 1.0, 3.0]), "c": np.array([np.inf, 1.5, 2.75])}
    said = [("cell state", "changes most in unit 1: 1 → 1.5")]
    assert sentences(LSTM, nothing | values) == said
    still = nothing | {"c_prev": values["c_prev"], "c": values["c_prev"]}
    assert sentences(LSTM, still) == [("cell state", "does not change")]


def test_units_without_a_number_are_not_the_most_of_anything() -> None:
    """Gates and states tell of their finite units, and say nothing where there is none."""
    values = {
        "c_prev": np.array([1.0, 2.0, 3.0]),
        "f": np.array([np.nan, 0.25, 0.5]),
        "i": np.array([np.nan, np.nan, np.nan]),
        "g": np.array([np.nan, -0.5, 0.25]),
        "o": np.array([np.nan, np.nan, np.nan]),
        "c": np.array([np.nan, 1.0, 1.5]),
        "h": np.array([np.inf, 0.5, -0.75]),
    }
    assert sentences(LSTM, values) == [
        (
            "forget gate",
            "keeps the largest share of the old cell state in unit 2 (50 %), "
            "the smallest in unit 1 (25 %)",
        ),
        ("candidate", "pushes hardest on unit 1: down, by -0.5 before the input gate"),
        ("cell state", "changes most in unit 0: 1 → nan"),
        ("hidden state", "is strongest in unit 2: -0.75"),
    ]


# ---- sentences against the numbers that they speak of

# What a row can be: shares, what is none, a constant, a product, a product in a product.
ROWS = ("sigmoid(z{})", "hard_sigmoid(z{})", "tanh(z{})", "z{}", "b_q", "1 - sigmoid(z{})",
        "0.3 + 0 * z{}", "sigmoid(z{}) * sigmoid(z{})", "(z{} * z{}) * (z{} * tanh(z{}))")  # fmt: skip
CELL_STATES = (
    "{0} * c_prev + {1} * {2}", "(1 - {0}) * c_prev + {1} * {2}", "{1} * {2} + c_prev * {0}",
    "{0} * c_prev + (1 - {0}) * {2}", "c_prev + {1} * {2}", "0.9 * c_prev + {1} * {2}",
    "{0} * c_prev + {1} * {2} + {2}", "{0} * c_prev + {1} * {2} - {3} * {2}", "{0} * c_prev + {2}",
    "({0} * {1}) * c_prev + {1} * {2}", "{0} * (c_prev + {1} * {2})", "{0} * c_prev + {1} * tanh({2})",
    "{0} * c_prev + c_prev + {1} * {2}", "{0} * c_prev + {0} * {2}", "{2} - {1} * c_prev", "{2}",
)  # fmt: skip
HIDDEN_STATES = ("{} * tanh(c)", "c * {}", "(1 - {}) * tanh(c)", "c", "{} * tanh(c) + c",
                 "{} * tanh(c) + 0.1 * h_prev", "W_p @ ({} * c)", "{0} * (c * {0})")  # fmt: skip


def a_table(chance: random.Random) -> str:
    """Return a table whose four rows, by any letters, stand in any place of c and h."""
    letters = chance.sample("figoqu", 4)
    rows = [f"z{k} = W_{k} @ [h_prev, x] + b_{k}" for k in letters]
    for k in letters:
        kind = chance.choice(ROWS)
        rows.append(f"{k} = " + kind.format(*[k] * kind.count("{}")))
    rows.append("c = " + chance.choice(CELL_STATES).format(*letters))
    rows.append("h = " + chance.choice(HIDDEN_STATES).format(letters[3]))
    return "\n".join(rows)


def slope(cell: Cell, row: str, known: Mapping[str, Array], symbol: str) -> Array:
    """Return what a row gains where a name that it reads is 1 more: all are linear in it."""
    more = {**known, symbol: known[symbol] + 1.0}
    return evaluate(cell[row].expression, more) - evaluate(cell[row].expression, known)


def assert_true(said: str, share: Array) -> None:
    """Compare a sentence on a share, or on a factor that is none, with the number itself."""
    verb = re.search(r"(keeps out|holds back|drops)|(keeps|lets in|shows)|multiplies", said)
    assert verb, said
    told = 1 - share if verb[1] else share
    values = re.findall(r"in unit (\d+) \(nearly ([^%]+) %\)|in unit (\d+) \(([^%]+) %\)", said)
    numbers = [(int(a or b), float(x or y) / 100) for a, x, b, y in values]
    numbers += [(int(u), float(v)) for v, u in re.findall(r"by (\S+) in unit (\d+)", said)]
    if "in every unit" in said:
        assert np.ptp(told) < 1e-12, said
        return
    assert numbers, said
    for (unit, number), extreme in zip(numbers, (told.max(), told.min()), strict=False):
        assert number == pytest.approx(extreme, rel=0.02, abs=0.006), (said, told)
        assert told[unit] == pytest.approx(extreme, abs=1e-12), (said, told)


def check_sentences(table: str, seed: int) -> set[str]:
    """Check every sentence on a random step of a table; return what kinds there were."""
    cell = Cell("own", "", parse_table(table))
    sizes = {"I": 3, "H": 4, "P": 4, "size of b_q": 4} | {f"rows of W_{k}": 4 for k in "figoqu"}
    weights = LstmWeights(cell, random_arrays(cell, sizes, seed=seed))
    trace = run(Model.single(weights), *random_inputs(weights, 2, seed=seed))
    known = {**weights.arrays, **trace.layers[0].at(2)}
    said = dict(sentences(cell, trace.layers[0].at(2)))
    kinds = set()
    for name, text in said.items():
        symbol = name.removesuffix("_t").replace("C\u0303", "g")
        if "old cell state" in text:
            assert_true(text, slope(cell, "c", known, "c_prev"))
            kinds.add("keep")
        elif "new cell state" in text and "W_p" not in table:
            shown = known["h"] - 0.1 * known["h_prev"] * ("h_prev\n" in table + "\n")
            of = known["c"] if "tanh(c)" not in table else np.tanh(known["c"])
            assert_true(text, shown / of)
            kinds.add("show")
        elif match := re.search(r" of (?:tanh\()?(\S+?)_t\)? in |multiplies (\S+?)_t by", text):
            new = (match[1] or match[2]).replace("C\u0303", "g")
            if "tanh(" not in text:
                assert_true(text, slope(cell, "c", known, new))
                kinds.add("write")
        elif text.startswith("pushes"):
            unit = int(re.findall(r"unit (\d+)", text)[0])
            assert ("up" in text) == (known[symbol][unit] > 0)
            assert abs(known[symbol][unit]) == np.abs(known[symbol]).max()
            kinds.add("propose")
    return kinds


@pytest.mark.parametrize("seed", range(400))
@pytest.mark.few(20)
def test_every_sentence_is_true_of_the_numbers(seed: int) -> None:
    """What is kept, let in and shown is what c and h gain from a little more of it."""
    check_sentences(a_table(random.Random(seed)), seed)


def test_the_kinds_of_sentences_are_all_tried() -> None:
    """The random tables have rows of every part."""
    kinds = [check_sentences(a_table(random.Random(seed)), seed) for seed in range(40)]
    assert set.union(*kinds) == {"keep", "write", "propose", "show"}


def test_a_gate_that_drops_says_the_opposite() -> None:
    """Of 1 - f it is the unit with the least f that keeps most, and f is said to drop."""
    cell = LSTM.edit({"c": "(1 - f) * c_prev + i * g"}, name="own", title="")
    weights = LstmWeights(cell, random_arrays(cell, {"I": 3, "H": 4, "P": 4}, seed=3))
    values = run(Model.single(weights), *random_inputs(weights, 1)).layers[0].at(1)
    text = dict(sentences(cell, values))["forget gate"]
    assert (
        f"drops the largest share of the old cell state in unit {np.argmax(values['f'])} " in text
    )
    assert f"the smallest in unit {np.argmin(values['f'])} " in text
