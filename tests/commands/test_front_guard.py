"""The start itself: closed streams, a full disk, Ctrl-C while modules are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tools import ROOT

FULL = Path("/dev/full")
# Ctrl-C arrives when a module is about to be imported.
INTERRUPTED = (
    "import runpy, sys\n"
    "name = sys.argv.pop(1)\n"
    "class Finder:\n"
    "    def find_spec(self, module, *_):\n"
    "        if module == name: raise KeyboardInterrupt\n"
    "sys.meta_path.insert(0, Finder())\n"
    "runpy.run_module('lstm_cli', run_name='__main__')\n"
)
STEP = ["--x", "0.5,-1", "--h", "0.3,-0.2", "--c", "0.6,-0.7"]


def started(
    *words: str, env: dict[str, str] | None = None, **streams: object
) -> subprocess.CompletedProcess[bytes]:
    """Start Python on these words, without its own ideas of warnings."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run([sys.executable, *words], check=False, timeout=120, cwd=ROOT,
                          env={**clean, **(env or {})}, **kept)  # type: ignore[call-overload,no-any-return]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "words"),
    [("lstm_cli.commands._main", ["--version"]), ("lstm_cli.base.errors", ["--version"]),
     ("lstm_cli.commands._front", ["--help"]), ("numpy", STEP), ("typer", ["list", "cells"])],
)  # fmt: skip
def test_ctrl_c_during_an_import_is_heard(module: str, words: list[str]) -> None:
    """Whatever is imported when Ctrl-C comes: exit 130 and one word, no traceback."""
    done = started("-c", INTERRUPTED, module, *words)
    assert (done.returncode, done.stderr) == (130, b"interrupted\n")


@pytest.mark.skipif(not FULL.exists(), reason="the system has no full device")
@pytest.mark.parametrize("words", [["--version"], ["--help"], STEP], ids=["version", "help", "run"])
def test_a_full_disk_is_said_by_the_front_too(words: list[str]) -> None:
    """What cannot be written is exit 5 in three lines, for --version as for a step."""
    with FULL.open("wb") as full:
        done = started("-m", "lstm_cli", *words, stdout=full)
    assert done.returncode == 5
    assert b"cannot write" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["--version"], ["--help"], STEP], ids=["version", "help", "run"])
@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_is_no_fault(words: list[str], closed: int) -> None:
    """A stream that the shell closed takes what is written to it."""
    script = f"import os, sys; os.close({closed}); os.execv(sys.executable, sys.argv[1:])"
    done = started("-c", script, sys.executable, "-m", "lstm_cli", *words)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_no_warning_of_a_library_reaches_a_user(tmp_path: Path) -> None:
    """Numbers that NumPy would warn of go through quietly, in the processes of a batch too."""
    np.savez(tmp_path / "w.npz", W_f=np.full((1, 2), 1e300), W_i=np.full((1, 2), 1e39),
             W_g=np.full((1, 2), -1e308), W_o=np.full((1, 2), 1e-320, np.longdouble))  # fmt: skip
    (tmp_path / "s.jsonl").write_text('{"x": [1e300], "h": [1e39], "c": [-1e308]}\n' * 4096)
    for words in (["inspect"], ["--x", "1e308", "-w"], ["convert"]):
        more = [str(tmp_path / "o.npz")] if words == ["convert"] else []
        done = started("-m", "lstm_cli", *words, str(tmp_path / "w.npz"), *more)
        assert b"Warning" not in done.stderr
    for engine in ("table", "numpy"):
        done = started("-m", "lstm_cli", "batch", str(tmp_path / "s.jsonl"), "-j", "2", "--dtype",
                       "float32", "--engine", engine, "-w", str(tmp_path / "w.npz"))  # fmt: skip
        assert done.returncode == 0
        assert b"Warning" not in done.stderr


def test_processes_of_a_batch_ignore_warnings_too() -> None:
    """A process that a batch starts has the filter of the command."""
    code = (
        "import pickle, warnings\n"
        "from multiprocessing import get_context\n"
        "from lstm_cli.commands.batch import runners\n"
        "ends = get_context('spawn').Pipe(duplex=False)\n"
        "runners._start(pickle.dumps(len), ends[0])\n"
        "warnings.warn('not for users')\n"
    )
    done = started("-c", code)
    assert (done.returncode, done.stderr) == (0, b"")
