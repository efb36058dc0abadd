"""Answers of commands as documents: every form of each."""

from __future__ import annotations

import json
from pathlib import Path

from tests.tools import call

SAMPLE = {"x": [0.5, -1], "h": [0.3, -0.2], "c": [0.6, -0.7]}


def test_a_terminal_without_unicode_gets_ascii(tmp_path: Path) -> None:
    """Signs of equations and ids are written in ASCII, not as escapes."""
    path = tmp_path / "samples.json"
    path.write_text(json.dumps({"id": "2 × 3", **SAMPLE}))
    for arguments, words in ((["batch", path, "-f", "table"], "2 x 3"),
                             (["list", "conventions"], "W_f ... b_o")):  # fmt: skip
        assert words in call(*arguments, encoding="ascii").out
