"""A C header for ports to include: one `static const` array a tensor, and sizes as macros."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lstm_cli.base.arrays import Array, array_lines, guard
from lstm_cli.base.foreign import c_comment
from lstm_cli.formats.contents import Package


def write(package: Package, path: Path) -> bytes:
    """Make the header's text, with the shortest numbers that read back unchanged."""
    own = guard(path.name)
    lines = [
        c_comment(f"LSTM weights, convention {package.convention}, by lstm-step."),
        f"#ifndef {own}",
        f"#define {own}",
    ]
    for (level, direction), (inputs, hidden, output) in package.sizes.items():
        prefix = f"LSTM_{level}_{direction.upper()}"
        lines += [
            f"#define {prefix}_INPUT_SIZE {inputs}",
            f"#define {prefix}_HIDDEN_SIZE {hidden}",
            f"#define {prefix}_OUTPUT_SIZE {output}",
        ]
    for name, array in package.named.items():
        lines += ["", *array_lines(name, array)]
    return "\n".join([*lines, "", f"#endif /* {own} */", ""]).encode()


def numbers_in(text: str) -> dict[str, Array]:
    """Parse a header's arrays as identifier -> flat numbers, to check what was written."""
    declared = re.finditer(r"static const (?:float|double) (\w+)[^=]*= \{(.*?)\};", text, re.DOTALL)
    return {
        match[1]: np.array([float(n) for n in re.findall(r"-?\d[\d.]*(?:e[+-]?\d+)?", match[2])])
        for match in declared
    }
