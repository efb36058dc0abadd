"""How tests run the command: in this process (fast), or as a shell would."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from lstm_cli.commands._main import _guarded

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def where(self) -> str:
        """The middle part of an error, caret lines included, without the margin."""
        part = self.err.split("\nwhere: ")[1].split("\ntry:   ")[0]
        return part.replace("\n       ", "\n")


def call(
    *arguments: object,
    stdin: bytes | str = b"",
    env: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
) -> Answer:
    """Run the command in this process, with errors handled as for a shell."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    err = io.StringIO()
    with (
        mock.patch.dict(os.environ, env or {}),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(given))),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = _guarded([str(each) for each in arguments])
        out.flush()
    return Answer(int(code), out.buffer.getvalue(), err.getvalue())


def shell(
    *arguments: object, env: Mapping[str, str] | None = None, **how: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run `python -m lstm_cli` as a process of its own."""
    how = {"capture_output": True, "timeout": 60, "check": False, **how}
    return subprocess.run(
        [sys.executable, "-m", "lstm_cli", *map(str, arguments)],
        env={**os.environ, **(env or {})},
        **how,
    )


def assert_refused(answer: Answer, code: int, *words: str) -> None:
    """Assert an error in three parts on stderr, nothing on stdout, and words in it."""
    assert answer.code == code, answer.err
    assert answer.raw == b""
    assert re.fullmatch(
        r"error: .+\n(       .*\n)*where: .+\n(       .*\n)*try:   .+\n", answer.err
    )
    assert "this is a bug" not in answer.err
    for word in words:
        assert word in answer.err, answer.err


# Everything that could move a cursor, but for the newline and the tab of plain text.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)


def assert_tame(answer: Answer) -> None:
    """Assert that nothing on stdout or stderr could steer a terminal."""
    assert not UNSAFE.search(answer.out), answer.out
    assert not UNSAFE.search(answer.err), answer.err
