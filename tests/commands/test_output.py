"""`-o`, `-f` and `--json` mean the same in every command."""

from __future__ import annotations

import json
import os
import pty
from pathlib import Path

import pytest

from lstm_cli.files.output import SUFFIXES
from tests.tools import ROOT, SAMPLES, assert_refused, call, shell

SAMPLE = {
    "id": "a",
    "x": [0.5, -1],
    "h": [0.3, -0.2],
    "c": [0.6, -0.7],
    "expected": {"h": [0.1, 1]},
}
STEP = ["--x", "0.5,-1;0.25,2", "--h", "0.3,-0.2", "--c", "0.6,-0.7"]
LONG = {".md": "markdown", ".markdown": "markdown", ".tex": "latex"}
# A command -> its words, and what each suffix of its output stands for.
COMMANDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "run": (STEP, {".txt": "table", ".tsv": "plain", ".csv": "csv", ".json": "json", ".npz": "npz",
                   ".jsonl": "jsonl", ".ndjson": "jsonl", ".h": "c", **LONG}),
    "run, integers": ([*STEP, "--fixed", "Q3.12"],
                      {".txt": "table", ".tsv": "plain", ".csv": "csv", ".json": "json"}),
    "explain": (["explain", *STEP], {".txt": "text", ".json": "json", **LONG}),
    "explain, a word": (["explain", "forget-gate"], {".txt": "text", **LONG}),
    "exercise": (["exercise", *STEP], {".txt": "text", **LONG}),
    "grad": (["grad", *STEP],
             {".txt": "table", ".tsv": "plain", ".csv": "csv", ".json": "json", **LONG}),
    "diagnose": (["diagnose", "s.json"],
                 {".txt": "table", ".json": "json", ".jsonl": "jsonl", ".md": "markdown"}),
    "grade": (["grade", "s.json", "answers.csv"],
              {".txt": "table", ".json": "json", ".jsonl": "jsonl", ".csv": "csv"}),
    "vet": (["vet", "s.json", "-q", "--atol", "2"],
            {".txt": "table", ".json": "json", ".jsonl": "jsonl", ".html": "html", **LONG}),
    "inspect": (["inspect", f"{SAMPLES}/weights/hand.json"],
                {".txt": "table", ".json": "json", ".html": "html", **LONG}),
    "list": (["list", "presets"],
             {".txt": "table", ".json": "json", ".html": "html", **LONG}),
    "convert": (["convert", f"{SAMPLES}/weights/hand.json", "out.npz", "--to", "split"],
                {".txt": "table", ".json": "json", ".html": "html", **LONG}),
    "report": (["report", *STEP], {".html": "html", ".htm": "html"}),
    "report, a picture": (["report", *STEP, "--picture", "circuit"], {".svg": "svg"}),
    "batch": (["batch", "s.json", "-q"], {
        ".txt": "table", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv",
        ".tsv": "tsv", ".parquet": "parquet", ".npz": "npz", ".html": "html", **LONG,
    }),
}  # fmt: skip
CASES = [(name, suffix) for name, (_, known) in COMMANDS.items() for suffix in known]
# What a command writes where a file's name tells nothing.
ELSEWHERE = {
    "run": "plain",
    "grad": "plain",
    "batch": "jsonl",
    "explain": "text",
    "exercise": "text",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder, which is the current one, with a sample and answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "90")
    Path("s.json").write_text(json.dumps(SAMPLE))
    Path("answers.csv").write_text("name,h_0,h_1\nAda,0.1,0.2\n")
    for name in ("by-suffix", "by-option"):
        Path(name).mkdir()
    return tmp_path


def need(form: str) -> None:
    """Skip where a format's package is missing."""
    for package in {"parquet": ["pyarrow"], "html": ["jinja2"]}.get(form, []):
        pytest.importorskip(package)


@pytest.mark.parametrize(("command", "suffix"), CASES, ids=map("".join, CASES))
@pytest.mark.few(12)
def test_a_suffix_is_a_format(command: str, suffix: str) -> None:
    """A known suffix, small or great, gives what `-f` gives; beside it, `-f` may say the same."""
    words, known = COMMANDS[command]
    need(known[suffix])
    by_suffix, by_option = (
        Path(f"by-suffix/o{suffix.upper()}"),
        Path(f"by-option/o{suffix.upper()}"),
    )
    first = call(*words, "-o", by_suffix)
    again = call(*words, "-f", known[suffix], "-o", by_option)
    assert (first.raw, again.raw) == (b"", b"")
    assert first.code == again.code
    assert by_suffix.read_bytes() == by_option.read_bytes() != b""
    if known[suffix] != "c":  # whose guard is the file's name
        call(*words, "-f", known[suffix], "-o", "by-option/o.other")
        assert Path("by-option/o.other").read_bytes() == by_suffix.read_bytes()


@pytest.mark.parametrize(("command", "suffix"), CASES, ids=map("".join, CASES))
@pytest.mark.few(6)
def test_a_suffix_contradicts_another_format(command: str, suffix: str) -> None:
    """`-f` or `--json` that is not the suffix's format is refused, both are said, nothing is run."""
    words, known = COMMANDS[command]
    name = f"o{suffix}"
    text = ("table", "text", "plain")
    for other in {each for each in known.values() if each not in SUFFIXES[suffix]} - {"tsv"}:
        said = call(*words, "-o", name, "-f", other)
        message = f"-o {name} and -f {other} contradict each other: '{suffix}' means"
        assert message in said.err
        assert (said.code, said.raw) == (2, b"")
    if known[suffix] in text and "json" in known.values():
        said = call(*words, "-o", name, "--json")
        assert f"-o {name} and --json contradict each other" in said.err
        assert said.code == 2
    assert not Path(name).exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_suffix_that_is_none_of_the_command_s(command: str) -> None:
    """A suffix that tells nothing, or another command's format, is refused without `-f`."""
    words, known = COMMANDS[command]
    assert_refused(call(*words, "-o", "o.dat"), 2, "unknown suffix '.dat'", "or a name that ends")
    strange = next(each for each in (".json", ".png", ".csv", ".md") if SUFFIXES[each][0] not in
                   {*known.values(), "png" if command.startswith("report") else ""})  # fmt: skip
    assert_refused(
        call(*words, "-o", f"o{strange}"), 2, f"'{strange}' means", "but this command writes"
    )
    assert not list(Path().glob("o.*"))


@pytest.mark.parametrize("command", [each for each in COMMANDS if "report" not in each])
@pytest.mark.few(4)
def test_a_name_without_suffix_is_as_a_pipe(command: str) -> None:
    """Without a suffix a file has what a pipe gets; so has a device."""
    words, _ = COMMANDS[command]
    form = ELSEWHERE.get(command.split(",")[0], "table")
    code = call(*words, "-o", "o").code
    piped = call(*words)
    assert (piped.code, piped.out) == (code, Path("o").read_text())
    assert call(*words, "-f", form).out == piped.out
    assert call(*words, "-o", "/dev/null").raw == b""


def test_a_folder_s_name_is_no_file_s() -> None:
    """A name that ends in a slash is refused, not written without it."""
    assert_refused(call(*STEP, "-o", "new.csv/"), 5, "cannot write: it is the name of a folder")
    assert not Path("new.csv").exists()


@pytest.mark.parametrize("name", ["FORCE_COLOR", "CLICOLOR_FORCE"])
def test_a_file_has_no_colour_by_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table in a file is plain text whatever the environment says of colours; --color always is not."""
    call(*STEP, "-o", "plain.txt")
    monkeypatch.setenv(name, "1")
    call(*STEP, "-o", "o.txt")
    assert Path("o.txt").read_bytes() == Path("plain.txt").read_bytes()
    call(*STEP, "-o", "o.txt", "--color", "always")
    assert b"\x1b[" in Path("o.txt").read_bytes()
    assert b"\x1b[" in call(*STEP, "-f", "table").raw


@pytest.mark.parametrize("command", ["batch", "diagnose"])
def test_json_is_lines_or_a_document(command: str) -> None:
    """`--json` of many answers is a line each, and one document where the file is to be one."""
    Path("s.jsonl").write_text((json.dumps(SAMPLE) + "\n") * 3)
    words = [command, "s.jsonl"]
    lines = call(*words, "--json")
    assert len(lines.lines) == 3
    for option in ([], ["--json"], ["-f", "json"]):
        assert call(*words, *option, "-o", "o.json").code == lines.code
        assert json.loads(Path("o.json").read_text()) == lines.lines
        Path("o.json").unlink()
    assert call(*words, "--json", "-o", "o.jsonl").code == lines.code
    assert Path("o.jsonl").read_text() == lines.out
    assert call(*words, "-f", "json").json == lines.lines


def test_one_diagnosis_is_one_object() -> None:
    """A document of one diagnosis is that, as ever; of a batch it is an array, whatever is in it."""
    assert call("diagnose", "s.json", "-f", "json").json["id"] == "a"
    assert [each["id"] for each in call("batch", "s.json", "-f", "json").json] == ["a"]
    Path("none.jsonl").write_text("")
    assert call("batch", "none.jsonl", "-f", "json").json == []


def test_the_vector_of_vet_is_not_its_answer() -> None:
    """--stronger FILE is the vector, -o FILE the answer, each in its own format; - is alone."""
    words = ["vet", SAMPLES / "hand.json", "-q"]
    assert call(*words, "--stronger", "v.jsonl", "-o", "o.json").raw == b""
    assert json.loads(Path("o.json").read_text())["stronger"]["file"] == "v.jsonl"
    assert call("batch", "v.jsonl", "--check").code == 0
    assert call(*words, "--stronger", "-").json["id"] == "hand-strong"
    told = call(*words, "--stronger", "-", "-o", "o.txt")
    assert told.json["id"] == "hand-strong"
    assert "strength" in Path("o.txt").read_text()


@pytest.mark.parametrize(
    "words", [["--x", "1", "-f", "npz"], ["batch", "s.json", "-f", "npz"]], ids=str
)
def test_bytes_are_not_shown_on_a_terminal(words: list[str]) -> None:
    """What is no text needs a file, or a pipe."""
    ours, theirs = pty.openpty()
    done = shell(
        *words, capture_output=False, stdout=theirs, stderr=-1, env={"PYTHONPATH": str(ROOT)}
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert b"npz cannot be shown on a terminal" in done.stderr
    assert call(*words).raw.startswith(b"PK")


def test_a_name_without_suffix_is_told_its_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a file without suffix holds is said on stderr, unless -f said so."""
    monkeypatch.chdir(tmp_path)
    answer = call("--x", "1,2", "-o", "answer")
    assert answer.code == 0
    assert "answer: written as plain; -f or a suffix chooses another format\n" in answer.err
    for words in (["-f", "csv", "-o", "other"], ["-o", "answer.csv"], ["-o", "/dev/null"], []):
        assert "written as" not in call("--x", "1,2", *words).err


@pytest.mark.parametrize("command", ["run", "batch", "inspect", "diagnose", "report"])
def test_an_empty_name_is_no_name(command: str) -> None:
    """-o '' is refused for what it is."""
    words = {"run": ["--x", "1"], "batch": ["-"], "inspect": ["x.npz"], "diagnose": ["x.json"],
             "report": ["--x", "1"]}[command]  # fmt: skip
    answer = call(command, *words, "-o", "")
    assert answer.code == 2
    assert "-o has no name" in answer.err or "needs a file" in answer.err


def test_a_seed_without_effect_is_refused(tmp_path: Path) -> None:
    """--seed beside a preset that draws nothing, or none, is refused; so is a sample's."""
    for words in (
        ["--x", "1"],
        ["--x", "1", "--preset", "ones"],
        ["--x", "1", "-w", tmp_path / "w.npz"],
    ):
        assert_refused(call(*words, "--seed", "3"), 2, "has no effect")
    assert call("--x", "1", "--preset", "random", "--seed", "3").code == 0
    sample = '{"x": [1], "weights": {"preset": "ones", "seed": 3}}'
    (answer,) = call("batch", "-", stdin=sample).lines
    assert answer["error"]["message"] == "preset ones draws nothing: a seed has no effect"


def test_the_help_of_an_exercise_lists_what_it_takes() -> None:
    """exercise has no --dtype in its help, and says why where it is given."""
    assert "--dtype" not in call("exercise", "--help").out
    assert "--dtype" in call("run", "--help").out
    assert_refused(
        call("exercise", "--dtype", "float32"), 2, "computed in float64", "leave --dtype out"
    )
