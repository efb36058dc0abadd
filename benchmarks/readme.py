"""The README's section on speed, made from the stored record."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks import words
from benchmarks.common import ROOT, Record
from benchmarks.tables import TABLES

README = ROOT / "README.md"
COMMAND = "python -m benchmarks --markdown"
# `tests/test_readme.py` runs the command of such a block, too.
BLOCK = re.compile(rf"(<!-- made by: {re.escape(COMMAND)} -->\n).*?(<!-- end -->)", re.DOTALL)
TEXTS: dict[str, Callable[[Record], list[str]]] = {
    "kernel": words.kernel,
    "startup": words.startup,
    "batch": words.batch,
    "memory": words.memory,
    "growth": words.growth,
}
# What a picture shows needs no table in the README.
PICTURED = ("growth",)


def markdown(results: Record) -> str:
    """Return tables and words of all parts that are in the record, in Markdown."""
    parts, told = [], ""
    for name, text in TEXTS.items():
        if name not in results:
            continue
        record = results[name]
        table = TABLES[name](record)
        if name != "kernel":
            parts.append(f"### {table.title}")
        if name not in PICTURED:
            parts.append(table.as_markdown())
        measured = words.measured(record["about"])
        if measured != told:  # said once where all parts are of one day
            parts.append(measured)
        told = measured
        parts += text(record)
    return "\n\n".join(parts) + "\n"


def write(results: Record, path: Path = README) -> None:
    """Put the section in its place in the README.

    Raises:
        ValueError: the file has no such place.
    """
    text = path.read_text(encoding="utf-8")
    made, count = BLOCK.subn(lambda found: found[1] + markdown(results) + found[2], text)
    if not count:
        raise ValueError(f"{path.name} has no block '<!-- made by: {COMMAND} -->'")
    path.write_text(made, encoding="utf-8")
