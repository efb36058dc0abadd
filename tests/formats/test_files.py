"""Files that frameworks wrote: read, recognised, and run to the numbers the framework gave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.engine.run import run
from lstm_cli.formats.read import read_weights
from lstm_cli.formats.registry import FORMATS

FILES = Path(__file__).parents[1] / "files"
NEEDS = {suffix: each.needs for each in FORMATS for suffix in each.suffixes if each.needs}
DESCRIBED = sorted(
    path for path in FILES.glob("*.json") if json.loads(path.read_text()).get("expected")
)


def test_the_files_are_there() -> None:
    """The golden files of every format are committed."""
    suffixes = {json.loads(path.read_text())["file"].split(".", 1)[1] for path in DESCRIBED}
    assert {"pt", "safetensors", "msgpack", "mat", "onnx", "tflite"} <= suffixes


@pytest.mark.parametrize("path", DESCRIBED, ids=lambda path: path.stem)
def test_a_file_gives_its_frameworks_numbers(path: Path) -> None:
    """`read_weights` finds the LSTM, its layout and its variant; h, c and output are met."""
    golden = json.loads(path.read_text())
    for suffix, package in NEEDS.items():
        if golden["file"].endswith(suffix):
            pytest.importorskip(package)
    convention = golden["convention"] if golden.get("ambiguous") else None
    model = read_weights(FILES / golden["file"], lstm=golden["layer"], convention=convention)
    h, c = (None if golden[k] is None else np.array(golden[k]) for k in ("h0", "c0"))
    trace = run(model, np.array(golden["x"]), h, c)
    for symbol, got in (("output", trace.output), ("h", trace.h), ("c", trace.c)):
        if symbol in golden["expected"]:
            expected = np.array(golden["expected"][symbol])
            assert got.shape == expected.shape
            assert np.max(np.abs(got - expected)) <= golden["atol"]
