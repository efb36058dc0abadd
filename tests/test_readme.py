"""README and docs tell the truth: every command is run and compared, character by character.

`UPDATE_README=1 pytest tests/test_readme.py` writes the outputs instead.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
TABLE = re.compile(r"(<!-- made by: (.*?) -->)\n.*?(<!-- end -->)", re.DOTALL)
PYTHON = re.compile(r"```python\n(?P<code>.*?)```\n```output\n(?P<output>.*?)```", re.DOTALL)


def shell(command: str) -> str:
    """Return what a command prints, stderr after stdout, as a reader at 80 columns sees it."""
    bin_folder = str(Path(sys.executable).parent)
    environment = {
        **os.environ, "COLUMNS": "80", "PATH": bin_folder + os.pathsep + os.environ["PATH"],
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout + done.stderr


def filled(block: str) -> str:
    """Return a console block with every command's true output under it."""
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    return "".join(f"{command}\n{shell(command[2:])}" for command in commands)


def truth(text: str) -> str:
    """Return the README with every output made anew."""
    text = CONSOLE.sub(lambda match: f"```console\n{filled(match[1])}```", text)

    def run_python(match: re.Match[str]) -> str:
        done = subprocess.run(
            [sys.executable, "-c", match["code"]], cwd=ROOT, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        return f"```python\n{match['code']}```\n```output\n{done.stdout}```"

    text = TABLE.sub(lambda match: f"{match[1]}\n{shell(match[2])}{match[3]}", text)
    return PYTHON.sub(run_python, text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_readme_outputs_are_true(page: Path) -> None:
    """Every command and every line of Python in README and docs prints what stands under it."""
    text = page.read_text(encoding="utf-8")
    made = truth(text)
    if os.environ.get("UPDATE_README"):
        page.write_text(made, encoding="utf-8")
        pytest.skip(f"{page.name} written")
    assert text == made


def test_set_up_is_two_lines() -> None:
    """Two commands do all the set-up, and the continuous integration runs just these."""
    (block,) = re.findall(r"```sh setup\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    first, second = block.strip().splitlines()
    assert first.startswith("python3 -m venv .venv && .venv/bin/pip install -q . && ")
    assert second.endswith("pytest -q")
    assert "sh setup" in (ROOT / ".ci" / "run").read_text()
