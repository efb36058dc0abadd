"""The house: a file imports only from floors below, or from its left on the same floor."""

from __future__ import annotations

import ast
from pathlib import Path

import lstm_cli

FLOORS = [
    ["version", "arrays", "errors", "records", "equations", "notation", "rewriting", "c_text", "html_text"],
    ["dimensions", "cells", "traits", "roles", "gradient"],
    ["weights", "conventions", "layouts", "kernel", "engine", "backpropagation", "fixed_point", "ensemble", "agreement"],
    ["inputs_read", "remote", "safe_files", "digests", "vectors", "presets", "cell_files", "readers", "writers", "samples", "trace_files", "savers"],
    ["batch", "runners", "journal", "cluster", "inspection", "conversion", "mistakes", "claims", "search", "diagnosis", "vetting", "grading", "exercises", "integers", "remedies", "glossary", "working", "render", "streaming", "explore"],
    ["cli"],
]  # fmt: skip
ORDER = {name: place for place, name in enumerate(each for floor in FLOORS for each in floor)}
ROOT = Path(lstm_cli.__file__).parent


def test_no_file_imports_upwards() -> None:
    """Every import inside the package goes down or to the left."""
    for path in sorted(ROOT.rglob("*.py")):
        here = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if here in ("__init__", "__main__"):
            continue  # the public names and `python -m`, above all floors
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lstm_cli."):
                there = (node.module or "").split(".")[1]
                assert ORDER[there] <= ORDER[here], f"{path}: {here} imports {there}"


def test_every_file_has_its_floor() -> None:
    """A new file must be given a place before it lands."""
    there = {p.stem if p.suffix else p.name for p in ROOT.iterdir() if not p.name.startswith("_")}
    assert there - {"py", "schemas"} == set(ORDER)
