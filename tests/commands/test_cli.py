"""The command as a shell sees it: streams, exit codes, formats, colours, pipes, completion."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from lstm_cli import __version__
from lstm_cli.cell.presets import preset_model
from lstm_cli.commands._app import COMMANDS
from tests.tools import ROOT, assert_refused, assert_tame, call, shell

GOLDEN = Path(__file__).parents[1] / "golden_cli"
ONE_STEP = ["--h", "0,0.5,0.1,0.2,0.6", "--x", "-0.1,0.3,0.1,-0.25,0.1"]
HAND = ["--x", "1,2,3; 4,5,6", "--weights", "samples/weights/hand.json"]


# ---- what is asked


def test_options_alone_mean_run() -> None:
    """`lstm-step --x …` is `lstm-step run --x …`, in either form of an option."""
    for arguments in (ONE_STEP, ["--x=1"], ["-x", "1"], ["--json", "--x", "1"]):
        alone, named = call(*arguments), call("run", *arguments)
        assert alone == named
        assert alone.code == 0


def test_help_is_help_and_h_is_the_hidden_state() -> None:
    """-h and --help show help; --h is the hidden state."""
    assert call("-h").out == call("--help").out
    assert call("run", "-h").out == call("run", "--help").out
    assert call("--x", "1", "--h", "0.5", "--json").json["steps"][0]["h_prev"] == [0.5]


def test_no_arguments_show_help() -> None:
    """`lstm-step` alone shows help on stdout and is no error."""
    done = shell()
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == call("--help").out


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str) -> None:
    """--version says the version, and nothing else."""
    done = shell(option)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"lstm-step {__version__}\n".encode(),
        b"",
    )
    assert call(option).out == f"lstm-step {__version__}\n"


def examples(text: str) -> list[str]:
    return re.findall(r"^ +(lstm-step .*|cat .*)$", text.split("Examples:")[1], re.MULTILINE)


# `explore` needs a terminal: tests/test_explore.py starts its examples.
@pytest.mark.parametrize("command", ["", *(name for name in COMMANDS if name != "explore")])
def test_help_ends_with_examples_that_run(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every help ends with examples; each that needs no file of the reader's own runs."""
    monkeypatch.chdir(ROOT)
    text = call(*command.split(), "--help").out
    assert "Examples:" in text.splitlines()[-10:] or "Examples:" in "\n".join(
        text.splitlines()[-10:]
    )
    assert all(len(line) <= 100 for line in text.splitlines())
    ran = 0
    for example in examples(text):
        words = shlex.split(example.split(" | jq")[0].split(" >")[0])
        stdin = b""
        if words[0] == "cat":
            stdin, words = Path(words[1]).read_bytes(), words[3:]
        outputs = [place + 1 for place, word in enumerate(words) if word == "-o"]
        outputs += [place for place, word in enumerate(words) if word.startswith("/tmp/")]
        needs = [w.lstrip("@").partition(":")[0] for place, w in enumerate(words)
                 if re.search(r"\.\w+$", w) and place not in outputs]  # fmt: skip
        if "*" in example or not all(Path(name).exists() for name in needs if "/" in name or ("." in name
                                     and not re.fullmatch(r"[-\d., ;]+", name))):  # fmt: skip
            continue
        for place in outputs:
            words[place] = str(tmp_path / Path(words[place]).name)
        answer = call(*words[1:], stdin=stdin)
        # These two say no to what they are made to show: numbers that differ, a weak vector.
        assert answer.code == 0 or (answer.code == 1 and command in ("diagnose", "vet")), example
        assert answer.out or all(Path(words[place]).exists() for place in outputs)
        ran += 1
    assert ran


# ---- errors

ERRORS: dict[str, tuple[list[str], int, str]] = {
    "no input": (["--h", "1"], 2, "--x is missing"),
    "unknown command": (["rum"], 2, "No such command 'rum'"),
    "unknown option": (["--hidden", "1"], 2, "No such option"),
    "option without value": (["run", "--x"], 2, "requires an argument"),
    "extra argument": (["run", "1"], 2, "unexpected extra argument"),
    "unknown format": (["--x", "1", "-f", "jsn"], 2, "did you mean 'json'?"),
    "unknown preset": (["--x", "1", "--preset", "identitty"], 2, "did you mean 'identity'?"),
    "preset without its gate": (
        ["--x", "1", "--preset", "count", "--cell", "coupled-forget"], 2, "does not have",
    ),
    "unknown cell": (["--x", "1", "--cell", "peephol"], 2, "did you mean 'peephole'?"),
    "unknown activation": (["--x", "1", "--activations", "tan,tanh,tanh"], 2, "'tan'"),
    "two activations": (["--x", "1", "--activations", "tanh,tanh"], 2, "has 2 parts, needs 3"),
    "weights and preset": (["--x", "1", "--weights", "a", "--preset", "b"], 2, "both given"),
    "negative clip": (["--x", "1", "--clip", "-1"], 2, "--clip is -1"),
    "infinite bias": (["--x", "1", "--forget-bias", "inf"], 2, "--forget-bias is inf"),
    "bad unit": (["--x", "1,2", "--unit", "0,7"], 2, "outside 0 to 1"),
    "bad step": (["--x", "1", "--at", "2"], 2, "outside 1 to 1"),
    "bad number": (["--x", "1", "--steps", "two"], 2, "--steps"),
    "negative number": (["--x", "1", "--steps", "-1"], 2, "--steps"),
    "digits": (["--x", "1", "--digits", "18"], 2, "--digits"),
    "dtype": (["--x", "1", "--dtype", "float16"], 2, "--dtype"),
    "nothing to list": (["list", "cell"], 2, "did you mean 'cells'?"),
    "missing file": (["--x", "1", "--weights", "no.npz"], 3, "no such file"),
    "unknown file": (["--x", "1", "--weights", "w.xyz"], 3, "no reader for '.xyz'"),
    "x too short": (["--x", "1,2", "--weights", "samples/weights/hand.json"], 3,
                    "--x has 2 numbers"),
    "h too short": (["--x", "1,2,3", "--h", "1,2", "--weights", "samples/weights/hand.json"], 3,
                    "the model needs 5 numbers"),
    "not a number": (["--x", "1,b"], 3, "'b' is not a number"),
    "too many steps": (["--x", "1", "--steps", str(10**20)], 3, "too many"),
    "too large": (["--x", "1", "--steps", str(10**9), "-f", "latex"], 3, "the limit is 8 GiB"),
    "too wide": (["--x", "1", "--hidden-size", str(10**30)], 3, "would take"),
    "missing folder": (["--x", "1", "-o", "no/folder/x.json"], 5, "cannot write"),
    "a folder": (["--x", "1", "-o", "samples"], 5, "cannot write"),
    "full disk": (["--x", "1", "-o", "/dev/full"], 5, "no space left"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "words"), ERRORS.values(), ids=ERRORS)
def test_each_error_has_its_exit_code_and_three_parts(
    arguments: list[str], code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error says what, where and what to try, on stderr only; the exit code tells its kind."""
    monkeypatch.chdir(ROOT)
    answer = call(*arguments)
    assert_refused(answer, code, words)
    assert_tame(answer)


def test_a_bug_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw exits with 70 in three parts, and with a traceback on demand."""

    def broken(*arguments: object, **how: object) -> None:
        raise ZeroDivisionError("oh\x1b[31m")

    monkeypatch.setattr("lstm_cli.files.vectors.read_vector", broken)
    answer = call("--x", "1")
    assert answer.code == 70
    assert "this is a bug: ZeroDivisionError" in answer.err
    assert_tame(answer)
    with pytest.raises(ZeroDivisionError):
        call("--x", "1", env={"LSTM_STEP_DEBUG": "1"})


def test_running_out_of_memory_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """MemoryError never reaches the user as a traceback."""

    def hungry(*arguments: object, **how: object) -> None:
        raise MemoryError

    monkeypatch.setattr("lstm_cli.files.vectors.read_vector", hungry)
    assert_refused(call("--x", "1"), 3, "not enough memory")


# ---- streams


@contextmanager
def closed_pipe() -> Iterator[int]:
    """Give the writing end of a pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    "arguments",
    [["--x", "1"], ["--x", "1", "-f", "table"], ["list", "cells"], ["list", "cells", "--json"],
     ["batch", "samples", "--trace"], ["batch", "samples", "-f", "table"], ["--help"],
     ["--version"], ["-V"], ["-h"], [], ["run", "--help"], ["list", "-h"], ["explain", "words"],
     ["--show-completion", "bash"]],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.few(4)
def test_a_reader_that_leaves_is_no_error(arguments: list[str]) -> None:
    """`| head` closes the pipe: exit 0 and nothing about it on stderr."""
    with closed_pipe() as writing:
        done = shell(
            *arguments, capture_output=False, stdout=writing, stderr=subprocess.PIPE, cwd=ROOT
        )
    assert done.returncode == 0
    said = done.stderr.decode()
    assert all(line.startswith("assumed: ") or "samples" in line for line in said.splitlines()), (
        said
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [["--x", "1"], ["--x", "1", "-f", "table"], ["list", "cells"], ["list", "cells", "--json"],
     ["batch", "samples", "-q"], ["--help"], ["--version"], ["run", "--help"]],
    ids=" ".join,
)  # fmt: skip
def test_a_full_disk_is_exit_5(arguments: list[str]) -> None:
    """What cannot be written to stdout is an error in three parts, said once."""
    with open("/dev/full", "wb") as full:
        done = shell(
            *arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE, cwd=ROOT
        )
    said = done.stderr.decode()
    assert done.returncode == 5, said
    assert "cannot write: no space left on device" in said
    if "--json" in arguments:
        assert json.loads(said)["error"]["code"] == "cannot_write"
    else:
        assert re.fullmatch(r"error: .*\nwhere: stdout\ntry:   .*\n", said)


def test_closed_streams_do_no_harm() -> None:
    """With stdout or stderr closed by the shell the command still ends with its own code."""
    command = f"{shlex.quote(sys.executable)} -m lstm_cli"
    for tail, code in (
        ("--x 1 >&-", 0),
        ("--x 1 2>&-", 0),
        ("--x a 2>&-", 3),
        ("list cells >&-", 0),
        ("--version >&-", 0),
        ("--help >&-", 0),
        ("--version >&- 2>&-", 0),
    ):
        done = subprocess.run(["sh", "-c", f"{command} {tail}"], capture_output=True, timeout=60)
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr


def test_ctrl_c_is_130() -> None:
    """SIGINT ends the command at once with 130, and without a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_cli", "batch", "-"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        # A shell that starts the tests in the background has them ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    # The first chunk's answers show that it is past its imports and waits for more.
    process.stdin.write(b'{"x": [1]}\n' * 600)
    assert process.stdout.read(1) == b"{"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert b"interrupted" in said


# ---- files


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-o replaces a file in one move; a failure leaves the old one and no litter."""
    path = tmp_path / "out.json"
    path.write_text("old")
    path.chmod(0o640)
    assert call("--x", "1", "--json", "-o", path).raw == b""
    assert json.loads(path.read_text())["h"]
    assert path.stat().st_mode & 0o777 == 0o640
    path.write_text("old")
    for name in ("os.replace", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(name, _no_space)
            assert_refused(call("--x", "1", "-o", path), 5, "no space left")
    assert_refused(call("--x", "1,2", "--unit", "7", "-f", "csv", "-o", path), 2)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["out.json"]


def _no_space(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_link_stays_and_a_device_is_not_replaced(tmp_path: Path) -> None:
    """-o through a link writes the file it leads to; a FIFO or device is written into."""
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    call("--x", "1", "--json", "-o", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "real").read_text())
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert call("--x", "1", "--json", "-o", tmp_path / "pipe").code == 0
    assert json.loads(os.read(reader, 65536))
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "loop").symlink_to("loop")
    assert_refused(call("--x", "1", "-o", tmp_path / "loop"), 5)


def test_a_long_file_name_is_taken(tmp_path: Path) -> None:
    """A name of 250 letters is as good as any."""
    path = tmp_path / ("a" * 250)
    assert call("--x", "1", "-o", path).code == 0
    assert path.exists()


@pytest.mark.parametrize("form", ["plain", "json", "jsonl", "csv", "markdown", "latex", "table"])
def test_a_file_holds_what_stdout_would(form: str, tmp_path: Path) -> None:
    """-o FILE has the same bytes as stdout."""
    path = tmp_path / "out"
    answer = call(*ONE_STEP, "-f", form, env={"COLUMNS": "80"})
    assert call(*ONE_STEP, "-f", form, "-o", path, env={"COLUMNS": "80"}).raw == b""
    assert path.read_bytes() == answer.raw


def test_npz_holds_every_symbol_over_time(tmp_path: Path) -> None:
    """-f npz has each symbol as (T, n), to a file or down a pipe."""
    path = tmp_path / "trace.npz"
    arguments = ["--x", "1,2;3,4;5,6", "-f", "npz"]
    assert call(*arguments, "-o", path).raw == b""
    document = call(*arguments[:2], "--json").json
    with np.load(path) as trace:
        for symbol in ("x", "h_prev", "c_prev", "z_f", "f", "i", "g", "o", "c", "h"):
            assert trace[symbol].tolist() == [step[symbol] for step in document["steps"]]
    assert call(*arguments).raw[:2] == b"PK"


# ---- colour


@pytest.mark.parametrize(
    ("option", "env", "coloured"),
    [
        ([], {}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"CLICOLOR_FORCE": "1"}, True),
        ([], {"CLICOLOR_FORCE": "0"}, False),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "always"], {"TERM": "dumb"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_those_who_ask(
    option: list[str], env: dict[str, str], coloured: bool
) -> None:
    """--color counts before NO_COLOR, that before FORCE_COLOR; a pipe has none by itself."""
    env = {"TERM": "xterm-256color"} | env
    for arguments in ([*ONE_STEP, "-f", "table"], ["list", "cells"]):
        out = call(*arguments, *option, env=env).out
        assert ("\x1b[3" in out) == coloured or (
            arguments[0] == "list" and "\x1b[" in out
        ) == coloured
        if not coloured and "NO_COLOR" not in env and option != ["--color", "never"]:
            assert "\x1b" not in out


def test_data_formats_are_never_coloured() -> None:
    """FORCE_COLOR and --color reach tables only."""
    for form in ("plain", "json", "jsonl", "csv", "markdown", "latex"):
        answer = call(*ONE_STEP, "-f", form, "--color", "always", env={"FORCE_COLOR": "1"})
        assert "\x1b" not in answer.out


# ---- formats, width


def test_a_pipe_gets_tab_separated_lines() -> None:
    """In a pipe the format is plain: a header and as many tabs in each line."""
    answer = call(*ONE_STEP)
    assert answer == call(*ONE_STEP, "-f", "plain")
    lines = answer.out.splitlines()
    assert lines[0].split("\t")[:6] == ["layer", "direction", "t", "symbol", "name", "equation"]
    assert len({line.count("\t") for line in lines}) == 1
    assert "assumed: c0 not given: zeros\n" in answer.err


@pytest.mark.parametrize("form", ["table", "plain", "csv", "markdown", "latex", "json", "jsonl"])
def test_chosen_units_may_be_more_than_x_has(form: str) -> None:
    """--unit chooses out of the longest vector; shorter ones show what they have, in place."""
    arguments = ["--x", "7", "--preset", "zeros", "--hidden-size", "3", "--c", "1,2,4"]
    answer = call(*arguments, "--unit", "2,0", "-f", form)
    assert answer.code == 0, answer.err
    if form == "plain":
        rows = {line.split("\t")[3]: line.split("\t")[6:] for line in answer.out.splitlines()}
        assert rows["symbol"] == ["2", "0"]
        assert rows["x"] == ["", "7"]
        assert rows["c"] == ["2", "0.5"]
    if form == "json":
        assert answer.json["steps"][0]["c"] == [2, 0.5]
        assert answer.json["steps"][0]["x"] == [7]
    refused = call(*arguments, "--unit", "3", "-f", form)
    assert (refused.code, refused.raw) == (2, b"")


def test_rows_of_unequal_length_keep_their_columns() -> None:
    """Where x is longer than h, every line of plain still has all columns."""
    lines = call("--x", "1,2,3", "--preset", "ones", "--hidden-size", "1").out.splitlines()
    assert len({line.count("\t") for line in lines}) == 1


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "plain"])
def test_numbers_in_data_formats_read_back(form: str) -> None:
    """Data formats carry the shortest numbers that read back; --digits does not touch them."""
    answer = call(*ONE_STEP, "-f", form, "--digits", "2")
    assert answer == call(*ONE_STEP, "-f", form)
    z = np.array([-0.1, 0.8, 0.2, -0.05, 0.7])
    for value in (np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))).tolist():
        assert repr(value) in answer.out


GOLDENS: dict[str, tuple[list[str], dict[str, str]]] = {
    f"{name}_{form}": ([*arguments, "-f", form.split("_")[0]], {"COLUMNS": form.partition("_")[2] or "80"})
    for name, arguments in {"one_step": ONE_STEP, "hand": HAND}.items()
    for form in ("table_60", "table_80", "table_120", "plain", "csv", "markdown", "latex", "json",
                 "jsonl")
} | {
    "wide_table_80": (["--x", "0.5,-1", "--preset", "random", "--hidden-size", "128", "-f", "table"],
                      {"COLUMNS": "80"}),
    "course_table_80": (["--x", "1,0", "--preset", "count", "--steps", "6", "-f", "table"],
                        {"COLUMNS": "80"}),
    "variant_table_120": (["--x", "0.5,1", "--cell", "peephole+projection", "--preset", "random",
                           "--output-size", "1", "--notation", "split", "-f", "table"],
                          {"COLUMNS": "120"}),
    "ascii_table_80": ([*ONE_STEP, "-f", "table"], {"COLUMNS": "80", "ENCODING": "ascii"}),
    "list_presets": (["list", "presets"], {"COLUMNS": "80"}),
    "list_cells": (["list", "cells"], {"COLUMNS": "80"}),
    "list_page_60": (["list", "mistakes", "forget-bias-omitted"], {"COLUMNS": "60"}),
    "vet_60": (["vet", "samples/hand.json"], {"COLUMNS": "60"}),
    "vet_color_120": (["vet", "samples/hand.json", "--color", "always"], {"COLUMNS": "120"}),
    "vet_files_80": (["vet", "samples/hand.json", "samples/parity.json"], {"COLUMNS": "80"}),
    "inspect_80": (["inspect", "samples/weights/parity.npz"], {"COLUMNS": "80"}),
    "batch_check_80": (["batch", "samples/question.json", "samples/hand.json", "--check", "-f", "table"],
                       {"COLUMNS": "80"}),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDENS)
def test_output_is_as_on_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output is what tests/golden_cli says, to the byte; UPDATE_GOLDEN=1 writes it anew."""
    monkeypatch.chdir(ROOT)
    arguments, env = GOLDENS[name]
    answer = call(*arguments, env=env, encoding=env.get("ENCODING", "utf-8"))
    assert answer.code == 0, answer.err
    text = answer.out.replace(f'"version": "{__version__}"', '"version": "…"')
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert _rounded(text) == _rounded(path.read_text())


def _rounded(text: str) -> str:
    """Return text with numbers of 14 digits or more rounded: exp differs between processors."""
    return re.sub(r"-?\d+\.\d{14,}", lambda match: f"{float(match[0]):.13g}", text)


def test_every_golden_file_has_its_test() -> None:
    """No golden file is left without a test that reads it."""
    assert {path.stem for path in GOLDEN.iterdir()} == set(GOLDENS)


PICTURES = {
    "one step": ONE_STEP,
    "one unit": ["--x", "1"],
    "long numbers": ["--x", "1e300,-1.23456789e-300,123456789.123456", "--digits", "17"],
    "sequence": [*HAND, "--at", "all"],
    "course": ["--x", "1,2,3,4,5,6,7,8,9", "--steps", "5"],
    "wide": ["--x", "0.5,-1", "--preset", "random", "--hidden-size", "128"],
    "wide, chosen": ["--x", "0.5", "--preset", "random", "--hidden-size", "128", "--unit", "0:20"],
    "wide course": ["--x", "0.5", "--preset", "random", "--hidden-size", "128", "--steps", "5"],
    "split peephole": ["--x", "0.5,1", "--cell", "peephole+projection", "--preset", "random",
                       "--notation", "split"],
    "activations": ["--x", "1,2", "--activations", "hard_sigmoid(0.2,0.5),scaled_tanh(1.7,0.6),elu"],
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.few(4)
def test_no_line_is_wider_than_the_terminal(name: str) -> None:
    """From 40 to 160 columns no line of a table is too wide, and no number is cut by `…`."""
    digits = ["--digits", "17"] if "--digits" in PICTURES[name] else []
    for width in (40, 43, 47, 52, 58, 60, 66, 73, 80, 91, 100, 120, 160):
        answer = call(*PICTURES[name], *digits, "-f", "table", env={"COLUMNS": str(width)})
        assert answer.code == 0, answer.err
        for line in answer.out.splitlines():
            assert cell_len(line) <= width, (width, line)
            assert not re.search(r"\d…|…\d", line)
            assert line == line.rstrip()


def test_numbers_of_a_table_are_whole_at_every_width() -> None:
    """The same numbers stand in the table whatever its width."""
    seen = set()
    for width in (40, 60, 80, 120, 160):
        out = call(*ONE_STEP, "-f", "table", env={"COLUMNS": str(width)}).out
        body = out.split("of the old cell state")[0]
        seen.add(tuple(sorted(re.findall(r"0\.\d{6}", body))))
    assert len(seen) == 1


# ---- encodings, imports, completion


def test_ascii_output_is_ascii() -> None:
    """Where stdout takes ASCII only, tables and lists are spelt out in it, without escapes."""
    env = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = shell(*ONE_STEP, "-f", "table", env=env)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode("ascii")
    assert "sigmoid(z_f)" in text
    assert "\\u" not in text
    for arguments in (["list", "cells"], ["list", "presets"], [*ONE_STEP, "-f", "markdown"],
                      ["--x", "−1"]):  # fmt: skip
        done = shell(*arguments, env=env)
        assert done.returncode in (0, 3), done.stderr
        assert (done.stdout + done.stderr).isascii()
        assert b"Traceback" not in done.stderr


def test_help_loads_neither_numpy_nor_rich() -> None:
    """--help is quick because it imports nothing heavy."""
    for arguments in (["--help"], ["run", "--help"]):
        done = subprocess.run([sys.executable, "-X", "importtime", "-m", "lstm_cli", *arguments],
                              capture_output=True, timeout=60, check=True)  # fmt: skip
        loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.decode().splitlines()}
        assert "lstm_cli.commands._main" in loaded
        heavy = {name for name in loaded if name.split(".")[0] in ("numpy", "rich", "pydantic")}
        assert not heavy, sorted(heavy)[:5]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("lstm-step --", {"--x", "--h", "--weights", "--json", "--version"}),
        ("lstm-step run --no", {"--notation"}),
        ("lstm-step b", {"batch"}),
        ("lstm-step list ", {"cells", "presets", "conventions"}),
        ("lstm-step run --cell ", {"lstm", "peephole"}),
        ("lstm-step --preset ", {"identity", "random"}),
    ],
)
def test_the_shell_completes(words: str, offered: set[str]) -> None:
    """TAB offers commands, the options of run with or without its name, and names."""
    count = len(words.split(" ")) - 1
    env = {"_LSTM_STEP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    done = shell(env=env)
    assert done.returncode == 0, done.stderr
    assert offered <= set(done.stdout.decode().split())


def test_a_preset_is_what_the_engine_makes() -> None:
    """The command and the Python API give the same numbers."""
    from lstm_cli import run
    from lstm_cli.cell.cells import LSTM

    x = np.array([[0.5, -1.0], [0.25, 2.0]])
    model = preset_model("random", LSTM, sizes={"I": 2, "H": 3}, seed=7)
    document = call("--x", "0.5,-1;0.25,2", "--preset", "random", "--seed", "7",
                    "--hidden-size", "3", "--json").json  # fmt: skip
    assert document["h"] == run(model, x).h.tolist()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_lists_are_never_cut(width: int) -> None:
    """A list holds every word at every width: what does not fit a line is on the next."""
    for kind in ("presets", "cells", "conventions", "formats", "activations"):
        rows = json.loads(call("list", kind, "--json").out)
        shown = "".join(call("list", kind, env={"COLUMNS": str(width)}).out.split())
        for row in rows:
            for value in row.values():
                for text in value if isinstance(value, list) else [value]:
                    assert "".join(str(text).split()) in shown


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--x", "1,2", "--lstm", "3"], "--lstm"),
        (["--x", "1,2", "--convention", "pytorch"], "--convention"),
        (["--x", "1", "-w", "samples/weights/parity.npz", "--seed", "2"], "--seed"),
        (["--x", "1", "-w", "samples/weights/parity.npz", "--hidden-size", "2"], "--hidden-size"),
    ],
)
def test_an_option_without_effect_is_refused(arguments: list[str], name: str) -> None:
    """An option that would be ignored is a usage error, not another answer than was asked for."""
    assert_refused(call(*arguments), 2, f"{name} has no effect without")


def test_a_check_that_compares_nothing_says_no(tmp_path: Path) -> None:
    """`batch --check` on samples that expect nothing exits 1: it has not seen anything match."""
    (tmp_path / "s.json").write_text('{"x": [1, 2]}')
    assert call("batch", str(tmp_path / "s.json"), "--check").code == 1


def test_few_digits_stay_decimals() -> None:
    """--digits 2 gives two decimals; an exponent only where nothing else would be left."""
    out = call("--h", "0,0.5", "--x", "-0.1,0.3", "--digits", "2", "-f", "table").out
    assert "0.48" in out
    assert "e-01" not in out


def test_npz_heeds_steps_and_units(tmp_path: Path) -> None:
    """--at and --unit choose in npz too, and x stays whole."""
    out = str(tmp_path / "t.npz")
    done = call("--x", "1,2,3", "-n", "5", "--at", "2:3", "--unit", "0", "-f", "npz", "-o", out)
    assert done.code == 0
    arrays = np.load(out)
    assert arrays["f"].shape == (2, 1)
    assert arrays["x"].shape == (2, 3)
