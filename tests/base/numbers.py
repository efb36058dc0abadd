"""The table of numbers and their texts, which Python and the page's script are held to."""

from __future__ import annotations

from pathlib import Path

# Made with exact decimals and no code of the package: value, digits, text, what it is a case of.
_LINES = Path(__file__).with_name("numbers.tsv").read_text().splitlines()[1:]
CASES = [(float(value), int(digits), text) for value, digits, text, _ in
         (line.split("\t") for line in _LINES)]  # fmt: skip
