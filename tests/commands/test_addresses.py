"""One way to name a place in a run: options, --only, expected numbers, and the API agree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lstm_cli import read_weights, run
from tests.tools import assert_refused, call

X = "0.3,-1;0.5,0.25;-0.75,1"
H = 3


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Two layers of two directions, biases and weights distinct and non-zero."""
    rng, arrays = np.random.default_rng(7), {}
    for layer, wide in ((0, 2), (1, 2 * H)):
        for back in ("", "_reverse"):
            for name, shape in (("weight_ih", (4 * H, wide)), ("weight_hh", (4 * H, H)),
                                ("bias_ih", (4 * H,)), ("bias_hh", (4 * H,))):  # fmt: skip
                arrays[f"{name}_l{layer}{back}"] = rng.normal(size=shape)
    np.savez(tmp_path / "stack.npz", **arrays)
    return tmp_path / "stack.npz"


def lines(*arguments: object) -> list[str]:
    answer = call(*arguments)
    assert answer.code == 0, answer.err
    return answer.out.splitlines()


def test_options_and_address_say_the_same(stack: Path) -> None:
    """Each part as an option, or all in one address: the same number of the whole run."""
    common = ["--x", X, "-w", stack, "-f", "csv"]
    parts = ["--layer", "1", "--direction", "backward", "--only", "f", "--unit", "2", "--at", "3"]
    by_options, by_address = (
        lines(*common, *parts),
        lines(*common, "--only", "layer1.backward.f[2]@3"),
    )
    trace = run(read_weights(stack), json.loads(f"[[{X.replace(';', '],[')}]]"))
    value = trace["layer1.backward.f[2]@3"]
    assert by_options == by_address
    assert by_options[1:] == [f"1,backward,3,f,2,{float(value)!r}"]
    assert float(value) == trace.layers[3].values["f"][2, 2]
    np.testing.assert_array_equal(trace["layer0.forward.h[0:2]@2:3"], trace.layers[0]["h"][1:, :2])


@pytest.mark.parametrize("form", ["table", "plain", "json", "jsonl", "csv", "markdown", "latex"])
def test_every_format_of_run_keeps_to_the_choice(stack: Path, form: str) -> None:
    """Layer 0's forward h at step 2 is there in each format; no other step's numbers are."""
    address = "layer0.forward.h@2"
    text = "\n".join(lines("--x", X, "-w", stack, "-f", form, "--only", address, "-d", "12"))
    trace = run(read_weights(stack), json.loads(f"[[{X.replace(';', '],[')}]]"))
    wanted, other = trace.layers[0]["h"][1, 0], trace.layers[1]["h"][1, 0]
    assert f"{wanted:.9f}"[:-1] in text
    if form == "json":
        text = text[text.index('"steps"') : text.index('"output"')]
    assert f"{other:.9f}"[:-1] not in text


@pytest.mark.parametrize("command", ["grad -f table", "explain -f text"])
def test_other_commands_know_the_same_options(stack: Path, command: str) -> None:
    """grad and explain show the layer and direction chosen, and nothing else."""
    address = "layer1.backward.f[1]@2"
    text = "\n".join(lines(*command.split(), "--x", X, "-w", stack, "--only", address))
    assert "layer 1 backward" in text
    assert "layer 0" not in text.replace("2 layers", "")
    assert "layer 1 forward" not in text


def test_expected_numbers_have_addresses(stack: Path, tmp_path: Path) -> None:
    """--expect and a sample's `expected` take an address: right numbers match, one wrong is told."""
    trace = run(read_weights(stack), json.loads(f"[[{X.replace(';', '],[')}]]"))
    value = float(trace["layer0.backward.f[1]@2"])
    given = ["--x", X, "-w", stack, "--expect"]
    assert call("diagnose", *given, f"layer0.backward.f[1]@2={value:.8f}").code == 0
    answer = call("diagnose", *given, f"layer0.backward.f[1]@2={value + 0.25:.8f}", "--json")
    first = answer.json["first_difference"]
    assert (first["layer"], first["direction"], first["unit"], first["t"]) == (0, "backward", 1, 2)
    sample = {"x": trace.layers[0]["x"].tolist(),
              "expected": {"layer0.backward.f[1]@2": [value], "forward.h@1:2":
                           (trace["layer1.forward.h@1:2"] + [[0, 0, 0], [0, 0.5, 0]]).tolist()}}  # fmt: skip
    path = tmp_path / "sample.json"
    path.write_text(json.dumps(sample))
    worst = call("batch", path, "-w", stack, "--check").json["check"]["worst"]
    assert (worst["symbol"], worst["t"], worst["unit"]) == ("forward.h@1:2", 2, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--layer", "encoder"], ["--layer is a number", "--lstm encoder"]),
        (["--layer", "2"], ["--layer 2 is outside 0 to 1", "--lstm 2"]),
        (["--only", "q"], ["does not compute 'q'"]),
        (["--only", "f[3]"], ["'3' is outside 0 to 2"]),
        (["--only", "layer1.x[6]"], ["'6' is outside 0 to 5"]),
        (["--only", "output@2"], ["does not compute 'output'"]),
        (["--only", "d_f"], ["does not compute 'd_f'"]),
        (["--only", "W_f"], ["does not compute 'W_f'"]),
        (["--only", "f@4"], ["'4' is outside 1 to 3"]),
        (["--only", "layer1.f", "--layer", "0"], ["--layer and --only both set it"]),
        (["--only", "layer1.f,layer0.c"], ["are different places"]),
        (["--only", "f", "-f", "c"], ["--only has no effect with -f c"]),
        (["--layer", "1", "--fixed", "Q3.12"], ["--layer has no effect with --fixed"]),
    ],
    ids=" ".join,
)
def test_a_place_that_is_not_there_is_refused(
    stack: Path, arguments: list[str], words: list[str]
) -> None:
    """Outside the run, said twice, or without effect: exit 2, with what there is."""
    assert_refused(call("--x", X, "-w", stack, *arguments), 2, *words)


@pytest.mark.parametrize("form", ["table", "csv"])
def test_the_last_unit_is_that_of_what_is_shown(stack: Path, form: str) -> None:
    """`f[-1]` and `f[last]` are f's own last unit, though x of the second layer has more."""
    common = ["--x", X, "-w", stack, "-f", form, "--only"]
    plain = lines(*common, "layer1.f[2]")
    assert plain[1:] == lines(*common, "layer1.f[-1]")[1:] == lines(*common, "layer1.f[last]")[1:]
    assert len(plain) > 3
    assert lines(*common, "layer1.f", "--layer", "1") == lines(*common, "f", "--layer", "1")


@pytest.mark.parametrize("symbols", ["d_output", "W_f,b_f", "d_U_f", "d_h_next,f", "x"])
def test_grad_shows_what_its_table_names(stack: Path, symbols: str) -> None:
    """Every name that grad shows can be chosen, that of a parameter or of what comes from outside."""
    text = "\n".join(lines("grad", "--x", X, "-w", stack, "--notation", "split", "--only", symbols))
    assert symbols.split(",")[0] in text


@pytest.mark.parametrize(
    ("name", "words"),
    [("layer9.f", "has no layer9"), ("f[9]", "'9' is outside 0 to 5"), ("f@9", "outside 1 to 3"),
     ("q", "does not compute 'q'")],
)  # fmt: skip
def test_an_expected_place_that_is_not_there(
    stack: Path, tmp_path: Path, name: str, words: str
) -> None:
    """`batch` and `diagnose` say in the same words what the run lacks, with choices that are some."""
    path = tmp_path / "sample.json"
    path.write_text(
        json.dumps({"x": [[0.3, -1], [0.5, 0.25], [-0.75, 1]], "expected": {name: 0.5}})
    )
    one = call("batch", path, "-w", stack, "--check", "-q").json["error"]
    two = call("diagnose", "--x", X, "-w", stack, "--expect", f"{name}=0.5")
    assert words in one["message"]
    assert words in two.err
    assert f"try:   {one['try']}" in two.err
    assert f"{name} " not in one["try"]


def test_no_trace_has_what_is_no_name(stack: Path) -> None:
    """A number is no symbol of a trace, which is a mapping: not in it, and a KeyError."""
    trace = run(read_weights(stack), [[0.5, 1.0]])
    assert 3 not in trace
    with pytest.raises(KeyError):
        trace[3]  # type: ignore[index]


def test_a_run_of_one_direction_has_no_other() -> None:
    """--direction backward of a forward run is refused with what there is."""
    assert_refused(call("--x", "1,2", "--direction", "backward"), 2, "no backward direction")
