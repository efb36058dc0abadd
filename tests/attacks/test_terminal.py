"""Names that try to steer a terminal: files, keys, sample ids, options."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.base.errors import safe
from tests.tools import UNSAFE, Answer, assert_refused, assert_tame, call, shell

NAMES = {
    "colour": "\x1b[31mred",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "C1": "\x9b31mred",
    "backspaces": "safe\x08\x08\x08\x08evil",
    "carriage return": "evil\rsafe",
    "newline": "a\nerror: fake",
    "form feed": "a\x0cb\x0bc",
    "delete": "a\x7fb",
    "bidi": "a\u202egpj.exe\u2066",
    "zero width": "a\u200bb\ufeffc",
    "line separator": "a\u2028b\u2029c\x85d",
    "surrogate": "a\udcffb",
}
MARKUP = ("[red]", "a[/b]", ":smiley:", "[link=http://evil]x[/link]", "W[i] b[f]")


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_hostile_file_name_is_shown_as_escapes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file's name reaches the terminal only as escapes, in errors, tables and notes."""
    name = name.replace("/", "%")
    monkeypatch.chdir(tmp_path)
    for answer in (
        call("--x", f"@{name}"),
        call("--x", f"@{name}.npy"),
        call("--x", "1", "--weights", f"{name}.npz"),
        call("--x", "1", "--cell", f"{name}.toml"),
        call("--x", "1", "-f", "csv", "-o", f"no folder/{name}"),
    ):
        assert_tame(answer)
        assert_refused(answer, 5 if "cannot write" in answer.err else 3)
    Path(f"{name}.json").write_text(json.dumps({f"W_{k}": [[1, 1]] for k in "figo"}))
    answer = call("--x", "1", "--weights", f"{name}.json", "-f", "table")
    assert answer.code == 0, answer.err
    assert safe(name)[:5] in answer.out
    assert_tame(answer)
    for form in ("plain", "json", "markdown", "latex", "csv"):
        assert_tame(call("--x", "1", "--weights", f"{name}.json", "-f", form))
    assert_tame(call("--x", "1", "--weights", f"{name}.jsn"))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_hostile_option_is_shown_as_escapes(name: str) -> None:
    """What a command line says wrongly is quoted only as escapes."""
    for arguments in (
        ("--x", name), ("--x", "1", "--preset", name), ("--x", "1", "--cell", name),
        ("--x", "1", "--convention", name, "--weights", "x.npz"), ("--x", "1", "-f", name),
        ("--x", "1", "--activations", f"{name},tanh,tanh"), ("--x", "1", "--unit", name),
        ("--x", "1", "--at", name), ("list", name), (name,), ("--" + name,), ("run", name),
        ("--x", "1", "--dtype", name), ("--x", "1", "--steps", name),
    ):  # fmt: skip
        answer = call(*arguments)
        assert answer.code in (2, 3), answer
        assert_tame(answer)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_hostile_key_is_shown_as_escapes(name: str, tmp_path: Path) -> None:
    """A key in a file reaches the terminal only as escapes."""
    path = tmp_path / "w.json"
    for document in ({name: [1]}, {name: "x"}, {name: [1], "b": [2]}, {"W_f": [[1]], name: [1]}):
        path.write_text(json.dumps(document))
        for answer in (
            call("--x", "1", "--weights", path), call("--x", f"@{path}:{name}x"),
            call("--x", f"@{path}:x"), call("--x", f"@{path}"),
        ):  # fmt: skip
            assert_tame(answer)
    path.write_text('{"x": 1, ' + f"{json.dumps(name)}: 1, {json.dumps(name)}: 2" + "}")
    answer = call("--x", f"@{path}")
    assert_refused(answer, 3, "is given twice")
    assert_tame(answer)


@pytest.mark.parametrize("name", [*NAMES.values(), *MARKUP], ids=[*NAMES, *MARKUP])
def test_a_hostile_sample_is_only_text(name: str, tmp_path: Path) -> None:
    """Ids, keys and names in samples are text: in records, in the table, in notes on stderr."""
    samples = [
        {"id": name, "x": [1]},
        {"id": name, "x": [1], "expected": {"h": [9]}},
        {"id": name, "x": [1], "expected": {name: [9]}},
        {"id": name, "x": [1], "weights": name},
        {"id": name, "x": [1], "weights": f"{name}.npz"},
        {"id": name, "x": [1], "weights": {"preset": name}},
        {"id": name, "x": [1], "weights": {"preset": "zeros", name: 1}},
        {"id": name, "x": [1], "weights": {name: [1]}},
        {"id": name, "x": [1], "weights": {"W_f": name}},
        {"id": name, "x": [1], "cell": name},
        {"id": name, "x": [1], "cell": f"{name}.toml"},
        {"id": name, "x": [1], "convention": name, "weights": {"W_f": [1]}},
        {"id": name, "x": name},
        {"id": name, "x": [name]},
        {"id": name, "x": [1], f"weights{name}": 1},
    ]
    path = tmp_path / "s.json"
    path.write_text(json.dumps(samples))
    for form in ("table", "jsonl"):
        answer = call("batch", path, "--check", "-f", form, env={"COLUMNS": "400"})
        assert answer.code == 4
        assert_tame(answer)
        if form == "jsonl":
            assert [each["id"] for each in answer.lines] == [name] * len(samples)
        elif len(name) < 12:
            assert safe(name) in answer.out  # markup is not taken for markup


@pytest.mark.parametrize("name", MARKUP)
def test_markup_is_only_text(name: str, tmp_path: Path) -> None:
    """Square brackets and colons are shown as they are."""
    path = tmp_path / f"{name.replace('/', '%')}.json"
    path.write_text(json.dumps({f"W_{k}": [[1, 1]] for k in "figo"}))
    answer = call("--x", "1", "--weights", path, "-f", "table", env={"COLUMNS": "400"})
    assert path.name in answer.out


def test_hostile_names_stay_tame_in_a_process(tmp_path: Path) -> None:
    """What the shell receives has no control byte either."""
    done = shell("--x", "@\x1b[31m\u202e.npy", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == b""
    assert not UNSAFE.search(done.stderr.decode())
    raw = shell(b"--x".decode(), b"@\xff\x9b.npy".decode("utf-8", "surrogateescape"), cwd=tmp_path)
    assert raw.returncode == 3
    assert not UNSAFE.search(raw.stderr.decode())


def refused_folder(answer: Answer) -> None:
    """Assert that a folder is refused as one."""
    assert_refused(answer, 3, "is a directory")


def test_folders_and_devices_are_refused(tmp_path: Path) -> None:
    """A folder, a FIFO or an unreadable file where a file is needed is an error, not a hang."""
    import os

    for suffix in (".npy", ".npz", ".json", ".txt", ".toml"):
        (tmp_path / f"x{suffix}").mkdir()
        if suffix != ".toml":
            refused_folder(call("--x", f"@{tmp_path}/x{suffix}"))
    refused_folder(call("--x", "1", "--cell", tmp_path / "x.toml"))
    refused_folder(call("--x", "1", "--weights", tmp_path / "x.npz"))
    assert_refused(call("batch", tmp_path / "x.npz"), 3, "no sample files here")
    os.mkfifo(tmp_path / "pipe.npz")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "s.json").write_text(
        json.dumps([{"x": [1], "weights": "pipe.npz"}, {"x": [1], "weights": "pipe.json"},
                    {"x": [1], "weights": "/dev/zero"}, {"id": "good", "x": [1]}])
    )  # fmt: skip
    answer = call("batch", tmp_path)  # the folder's own FIFOs are no samples
    assert [each["ok"] for each in answer.lines] == [False, False, False, True]
    if Path("/proc/self/mem").exists():
        assert_refused(call("--x", "@/proc/self/mem"), 3, "cannot read")


def test_names_no_system_takes_are_refused() -> None:
    """A name that is too long or has a NUL is one failed sample, or an error."""
    for name in ("a" * 5000, "a\0b", "a" * 5000 + "*"):
        answer = call("batch", name)
        assert (answer.code, len(answer.lines)) == (4, 1)
        assert not answer.lines[0]["ok"]
        assert_refused(call("--x", f"@{name}"), 3, "cannot read")
        assert_refused(call("--x", "1", "-o", name), 5, "cannot write")


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    """A file without read permission is an error (root reads it all the same)."""
    path = tmp_path / "x.npy"
    np.save(path, [1.0])
    path.chmod(0)
    answer = call("--x", f"@{path}")
    assert answer.code in (0, 3)
    if answer.code:
        assert_refused(answer, 3, "permission denied")
