"""Each kind of command that a message proposes is taken out of it, pasted, and does what it says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.base.paste import CommandLine, FileName, command, option_words, wrapped
from tests.tools import SAMPLES, Answer, call, shell

HAND = SAMPLES / "weights" / "hand.json"  # takes 3 numbers, has 5 units
# What stands in the folder has blanks and signs in its name: a word that is not quoted breaks.
FOLDER = "it's $(touch PWNED) here"


def run(line: str) -> Answer:
    """Run a command line as it was pasted."""
    words = shlex.split(line.replace("\\\n", ""))
    assert words[0] == "lstm-step", line
    assert not {"FILE", "…", "OUT"} & set(words), line
    return call(*words[1:])


def tried(answer: Answer) -> str:
    """Return what an error proposes."""
    return answer.err.split("\ntry:   ")[1].rstrip("\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with weights, samples and vectors, in which commands run."""
    place = tmp_path / FOLDER
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "60")
    np.savez("my weights.npz", **{
        name: np.array(rows) for name, rows in json.loads(HAND.read_text()).items()
        if isinstance(rows, list)
    })  # fmt: skip
    np.save("x y.npy", np.linspace(-1, 1, 60).reshape(20, 3))
    return place


WEIGHTS = ("--weights", "my weights.npz")
SHORT = ("--x", "0.5,-1,0.25;1,0.5,-0.5", "--h", "0.1,0.2,-0.3,0.4,0.5", "--c", "1,-1,0.5,0.2,0.3")


def theirs(*given: str) -> list[float]:
    """Return h of a run with relu on the cell state, which diagnose can name."""
    wrong = call(*given, "--activations", "sigmoid,tanh,relu", "--json")
    return list(wrong.json["h"])


def proposed(text: str, lead: str) -> str:
    """Return the command behind a word of a screen, with the lines that go on from it."""
    lines = text.split(lead, 1)[1].strip().split("\n")
    end = next(place for place, line in enumerate(lines) if not line.endswith("\\"))
    return "\n".join(line.strip() if place else line for place, line in enumerate(lines[: end + 1]))


@pytest.mark.parametrize("given", [
    (*SHORT, *WEIGHTS), ("--x", "@x y.npy", *WEIGHTS), ("--x", "0.5,1;1,2", "--preset", "ones"),
    ("--x", "0.5,1", "--h", "0.3,0.1", "--preset", "random", "--seed", "7", "--forget-bias", "1"),
    ("--x", "0.5,1,2", "--cell", "peephole", "--preset", "random", "--dtype", "float32"),
])  # fmt: skip
def test_diagnose_gives_their_numbers_again(folder: Path, given: tuple[str, ...]) -> None:
    """The line behind "gives theirs" gives them, with the options as they were typed."""
    wanted = theirs(*given)
    told = "h=" + ",".join(map(repr, wanted))
    screen = call("diagnose", *given, "--expect", told).out
    line = proposed(screen, "gives theirs")
    assert all(len(each) <= 60 for each in line.split("\n"))
    np.testing.assert_allclose(json.loads(run(line + " --json").out)["h"], wanted, atol=1e-6)
    if "@x y.npy" in given:
        assert "@x y.npy" in shlex.split(line.replace("\\\n", ""))
    assert not list(folder.rglob("PWNED"))


@pytest.mark.parametrize("weights", ["my weights.npz", "inline", {"preset": "random", "seed": 3}])
def test_a_sample_gives_their_numbers_again(folder: Path, weights: object) -> None:
    """Of a sample: by options, or by its file where its weights have no name."""
    x, h = [[0.5, -1, 0.25], [1, 0.5, -0.5]], [0.1, 0.2, -0.3]
    sample: dict[str, object] = {"x": x, "weights": weights}
    if weights == "inline":
        sample["weights"] = {f"W_{k}": [[0.1, -0.2, 0.3, 0.4]] for k in "figo"}
    elif isinstance(weights, dict):
        sample["h"] = h
    Path("s t.json").write_text(json.dumps(sample))
    wrong = call("batch", "s t.json", "-q", "--activations", "sigmoid,tanh,relu").lines[0]["h"]
    Path("s t.json").write_text(json.dumps(sample | {"expected": {"h": wrong}}))
    (record,) = call("diagnose", "s t.json", "--json").lines
    (line,) = [each["run"] for finding in record["findings"] for each in finding["commands"]
               if "sigmoid,tanh,relu" in each["run"]]  # fmt: skip
    again = run(line + (" -q" if " batch " in line else " --json"))
    np.testing.assert_allclose(json.loads(again.out)["h"], wrong, atol=1e-6)


def test_what_tells_readings_apart_runs(folder: Path) -> None:
    """The vectors that tell two readings apart stand in a command that gives the right one."""
    given = ("--x", "0.5,1", "--preset", "random")
    wrong = call(*given, "--activations", "sigmoid,relu,tanh", "--json").json["h"]
    told = "h=" + ",".join(map("{:.4f}".format, wrong))
    out = call("diagnose", *given, "--expect", told).out
    answer = run(proposed(out, "compute this and compare:") + " --json")
    right = re.search(r"the right one +h = (.*)", out)
    assert right
    assert answer.json["h"] == pytest.approx([float(n) for n in right[1].split(",")], abs=1e-6)


@pytest.mark.parametrize("options", [(), (*WEIGHTS, "--forget-bias", "1", "--atol", "1e-9")])
def test_batch_says_why_numbers_differ(folder: Path, options: tuple[str, ...]) -> None:
    """The command finds the difference, also where other samples expect nothing."""
    samples = [{"id": "a", "x": [1, 2, 3]}, {"id": "b", "x": [1, 2, 3]}]
    Path("s t.jsonl").write_text("\n".join(map(json.dumps, samples)))
    right = call("batch", "s t.jsonl", "-q", *options).lines[0]["h"]
    samples[0]["expected"] = {"h": [n + 0.25 for n in right]}
    Path("s t.jsonl").write_text("\n".join(map(json.dumps, samples)))
    said = call("batch", "s t.jsonl", "--check", *options).err
    answer = run(said.split("why they differ: ")[1].rstrip("\n") + " --json")
    assert answer.code == 1
    (record,) = answer.lines
    assert record["id"] == "a"
    assert record["max_abs_diff"] == pytest.approx(0.25)
    assert answer.err == "left out: 1 of 2 samples, which expect nothing\n"


def test_batch_proposes_nothing_that_would_fail(folder: Path) -> None:
    """Where samples cannot be run, or came through a pipe, no command is proposed."""
    good = {"x": [1, 2, 3], "expected": {"h": [9, 9, 9]}}
    Path("s.jsonl").write_text(json.dumps(good) + "\n" + json.dumps({"x": "?"}))
    assert "lstm-step" not in call("batch", "s.jsonl", "--check").err
    assert "lstm-step" not in call("batch", "-", "--check", stdin=json.dumps(good)).err


def test_vet_says_what_to_do(folder: Path) -> None:
    """A sample that does not match is explained; a vector for one of several files is written."""
    Path("s t.json").write_text(json.dumps({"x": [1, 2, 3], "expected": {"h": [1, 2, 3, 4, 5]}}))
    assert run(tried(call("vet", "s t.json", *WEIGHTS))).code == 1
    Path("u.json").write_text(Path("s t.json").read_text())
    line = tried(call("vet", "s t.json", "u.json", "--stronger", "o.json"))
    assert "one file" not in run(line).err


@pytest.mark.parametrize("given", [
    ("run", "--h", "1,2"), ("run", *WEIGHTS), ("grad", "--hidden-size", "3"), ("explore", "--c", "1"),
    ("diagnose", "--expect", "h=1"), ("diagnose", "--h", "1,2,3", "--expect", "h=1"),
    ("diagnose", "--expect", "h=1", *WEIGHTS),
])  # fmt: skip
def test_a_missing_input_is_added(folder: Path, given: tuple[str, ...]) -> None:
    """The command that was given comes back with an x that fits."""
    from lstm_cli.commands._inputs import RunOptions, VectorOptions

    if given[0] == "explore":
        # It needs a terminal before it asks for x.
        with pytest.raises(Exception, match="x is missing") as caught:
            RunOptions("lstm-step explore", VectorOptions(c="1")).trace()
        assert caught.value.hint == "lstm-step explore --x 0.5,0.5 --c 1"  # type: ignore[attr-defined]
        return
    assert run(tried(call(*given))).code in (0, 1)


@pytest.mark.parametrize("choice", ["--at 5", "--at 0", "--unit 9", "--unit 0:9", "--unit x"])
@pytest.mark.parametrize("steps", ["1", "2", "9"])
def test_a_choice_that_is_proposed_is_there(folder: Path, choice: str, steps: str) -> None:
    """Each of the choices that are shown for one outside the run is inside it."""
    given = ("--x", "1,2,3", "--steps", steps, *WEIGHTS)
    option, value = choice.split()
    said = tried(call(*given, option, "99" if steps == "9" and option == "--at" else value))
    choices = re.findall(rf"{option} ([^ ]+?)(?:,? |$)", said)
    assert len(choices) >= 3
    for each in choices:
        assert call(*given, option, each).code == 0, each


def test_a_layer_of_a_file_can_be_pasted(folder: Path) -> None:
    """A layer is one word, whatever a stranger called it."""
    sizes = {"weight_ih_l0": (4, 3), "weight_hh_l0": (4, 1), "bias_ih_l0": 4, "bias_hh_l0": 4}
    np.savez("two.npz", **{f"{name}.{key}": np.full(size, 0.1 * number)
                           for number, name in enumerate(("$(touch PWNED)", "enc; touch PWNED #"), 1)
                           for key, size in sizes.items()})  # fmt: skip
    words = shlex.split(tried(call("--x", "1,2,3", "-w", "two.npz")).split("choose one: ")[1])
    assert call("--x", "1,2,3", "-w", "two.npz", *words).code == 0
    done = shell("--x", "1,2,3", "-w", "two.npz", *words)
    assert done.returncode == 0
    assert not list(folder.rglob("PWNED"))


@pytest.mark.parametrize("name", ["k w.h5", "-k.h5"])
def test_a_suffix_that_is_proposed_can_be_written(folder: Path, name: str) -> None:
    """Keras weights are `.weights.h5`; a C header is not what `.h5` meant."""
    said = tried(call("convert", "my weights.npz", "--to", "keras", "--", name))
    (word,) = shlex.split(said)
    assert word.endswith(".weights.h5")
    pytest.importorskip("h5py")
    assert call("convert", "my weights.npz", word, "--to", "keras").code == 0


@pytest.mark.parametrize("words", [("list", "cells", "x"), ("explain", "forget-gate", "more")])
def test_a_command_for_too_many_words_runs(folder: Path, words: tuple[str, ...]) -> None:
    """What is proposed for a word too many is a command, and no advice on vectors."""
    assert run(tried(call(*words))).code == 0


@pytest.mark.parametrize("width", [30, 60, 79])
def test_a_long_command_goes_over_lines(width: int) -> None:
    """Lines end in a backslash where they go on, break between words only, and mean the same."""
    given = {"--x": "1,2;3,4", "--weights": FileName("-it's $here.npz"), "--activations": "a(1,2),b",
             "--name": "x" * 70, "--flag": True, "--none": None}  # fmt: skip
    line = command("run", *option_words(given))
    lines = wrapped(line, width)
    assert all(each.endswith(" \\") for each in lines[:-1])
    assert all(len(each) <= width or "x" * 70 in each for each in lines)
    joined = "\n".join(lines).replace("\\\n", "")
    assert shlex.split(joined) == shlex.split(line)
    assert "./-it's $here.npz" in shlex.split(line)
    assert wrapped(CommandLine("lstm-step list cells"), width) == ["lstm-step list cells"]


def test_bad_states_are_told_their_size(folder: Path) -> None:
    """A state of the wrong size is told the right one, and nothing of projections or layers."""
    for given in (("--h", "1,2,3"), ("--c", "1,2,3")):
        said = tried(call("--x", "1,2,3", *WEIGHTS, *given))
        assert "5 numbers" in said
        assert "projection" not in said
        assert "layer" not in said


def test_missing_weights_are_named(folder: Path) -> None:
    """What a file lacks is asked for; what it has is not proposed, and zeros it lacks not listed."""
    Path("w.json").write_text(json.dumps({"W_f": [[1, 1]], "W_i": [[1, 1]]}))
    error = call("--x", "1", "--weights", "w.json").err
    assert "error: W_g, W_o missing" in error
    assert "which has W_f, W_i\n" in error
    assert "add W_g, W_o" in error
    assert "did you mean" not in error


def test_a_conversion_that_mends_names_the_file(folder: Path) -> None:
    """Where the catalogue says FILE, a diagnosis of a file says which, and the command runs."""
    from types import SimpleNamespace

    from lstm_cli import diagnose, read_weights
    from lstm_cli import run as run_model
    from lstm_cli.mistakes.fixes import fix_of

    trace = run_model(read_weights("my weights.npz"), np.array([[0.5, -1.0, 0.25]]))
    found = diagnose(trace, {"h": trace.h + 0.25})
    row = SimpleNamespace(fix="read them so, or `lstm-step convert FILE OUT --to onnx`")
    line = fix_of(row, found).split("`")[1]  # type: ignore[arg-type] # a row has more than that
    assert run(line).code == 0
    assert Path("fixed.npz").exists()


@pytest.mark.parametrize("weights", [WEIGHTS, ("--preset", "remember")])
def test_a_cell_is_proposed_only_for_weights_that_fit(
    folder: Path, weights: tuple[str, ...]
) -> None:
    """Weights of an input gate are refused by a cell without one, so that none is proposed."""
    given = ("--x", "0.5,-1,0.25", "--c", "1,-1,0.5,0.2,0.3"[: 8 if "--preset" in weights else 99])
    steps = call(*given, *weights, "--json").json["steps"][0]
    told = [f"i={','.join(str(1 - n) for n in steps['f'])}"]
    (record,) = call("diagnose", *given, *weights, "--expect", *told, "--json").lines
    lines = [each["run"] for finding in record["findings"] for each in finding["commands"]]
    assert all(run(line).code == 0 for line in lines)
    assert not any("--cell" in line for line in lines) or "--preset" in weights


@pytest.mark.full
@pytest.mark.parametrize("file", sorted((SAMPLES / "threads").glob("*.json")), ids=lambda p: p.stem)
def test_what_is_proposed_for_threads_runs(file: Path) -> None:
    """Each command for a question that was asked on the web runs and ends well."""
    for record in call("diagnose", file, "--json").lines:
        for finding in record["findings"]:
            for each in finding["commands"]:
                answer = run(each["run"])
                assert answer.code == 0, (each["run"], answer.err)
