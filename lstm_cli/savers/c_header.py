"""A C header: one `static const` array a tensor, sizes as macros, so that a port can include it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lstm_cli.equations import Array
from lstm_cli.savers import Package


def write(package: Package, path: Path) -> bytes:
    """Return the header's text; numbers are the shortest that read back as the same."""
    guard = re.sub(r"[^A-Z0-9]", "_", path.name.upper())
    lines = [
        f"/* LSTM weights, convention {package.convention}, by lstm-step. */",
        f"#ifndef {guard}",
        f"#define {guard}",
    ]
    for (level, direction), (inputs, hidden, output) in package.sizes.items():
        prefix = f"LSTM_{level}_{direction.upper()}"
        lines += [
            f"#define {prefix}_INPUT_SIZE {inputs}",
            f"#define {prefix}_HIDDEN_SIZE {hidden}",
            f"#define {prefix}_OUTPUT_SIZE {output}",
        ]
    for name, array in package.named.items():
        lines += ["", *_array(name, array)]
    return "\n".join([*lines, "", f"#endif /* {guard} */", ""]).encode()


def _array(name: str, array: Array) -> list[str]:
    kind, mark = ("float", "f") if array.dtype == np.float32 else ("double", "")
    sizes = "".join(f"[{size}]" for size in array.shape)
    rows = np.atleast_2d(array)
    texts = [", ".join(_literal(value) + mark for value in row) for row in rows.tolist()]
    if array.dtype == np.float32:
        texts = [", ".join(_literal(v) + mark for v in row) for row in rows.astype(str)]
    inner = [f"  {{{text}}}," for text in texts] if array.ndim > 1 else [f"  {texts[0]}"]
    return [f"static const {kind} {identifier(name)}{sizes} = {{", *inner, "};"]


def _literal(value: object) -> str:
    text = str(value)
    return text if any(mark in text for mark in ".e") else f"{text}.0"


def numbers_in(text: str) -> dict[str, Array]:
    """Return identifier -> flat numbers of the arrays in a header, to check what was written."""
    declared = re.finditer(r"static const (?:float|double) (\w+)[^=]*= \{(.*?)\};", text, re.DOTALL)
    return {
        match[1]: np.array([float(n) for n in re.findall(r"-?\d[\d.]*(?:e[+-]?\d+)?", match[2])])
        for match in declared
    }


def identifier(name: str) -> str:
    """Return a tensor's name as C writes it."""
    return re.sub(r"\W", "_", name)
