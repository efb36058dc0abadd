"""A name stands for one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import lstm_cli

ROOT = Path(lstm_cli.__file__).parent


def test_a_class_name_stands_for_one_class() -> None:
    """No two files define classes of the same name, private ones included."""
    homes = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(path.relative_to(ROOT)))
    assert not {name: there for name, there in homes.items() if len(there) > 1}


def test_the_earlier_name_of_grad_still_works() -> None:
    """`backward`, as `grad` was called, is the same function."""
    assert lstm_cli.backward is lstm_cli.grad
