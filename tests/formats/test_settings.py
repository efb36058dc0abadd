"""Every setting of a file that changes h is honoured, refused or named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError
from lstm_cli.engine.run import run
from lstm_cli.formats.read import read_contents, read_weights
from tests.formats.settings import DONE, SETTINGS, Setting, onnx_file
from tests.tools import assert_refused, call

MADE = [each for each in SETTINGS if each.make is not None]
WITHOUT = {"ONNX": "onnx", "Keras": "h5py"}


def output(path: Path) -> Array:
    """What the whole of a file gives, from states other than zero."""
    contents = read_contents(path)
    lstm = str(len(contents.blocks)) if contents.stacks else "0"
    model = read_weights(path, lstm=lstm)
    h, c = ([np.full(w.size(s), 0.2 + 0.1 * n) for n, (_, _, w) in enumerate(model.runs)]
            for s in "hc")  # fmt: skip
    x = np.random.default_rng(2).normal(size=(4, model.input_size))
    x[1] = 0  # as Masking has it
    return run(model, x, h, c).output


@pytest.mark.parametrize("row", MADE, ids=lambda row: f"{row.format}: {row.setting}")
def test_a_setting_is_treated_as_the_table_says(row: Setting, tmp_path: Path) -> None:
    """A file with the setting gives other numbers, a refusal or a sentence, as the row says."""
    pytest.importorskip(WITHOUT.get(row.format, "numpy"))
    assert row.make is not None
    path = row.make(tmp_path)
    if row.done == "refused":
        with pytest.raises(InputError) as caught:
            read_weights(path)
        assert row.said in f"{caught.value.what}; {caught.value.where}"
        return
    if row.said:
        told = [each for block in read_contents(path).blocks for each in (*block.open, block.x_is)]
        told += read_weights(path, lstm="0").assumptions
        assert any(row.said in each for each in told), told
    if row.plain is not None and row.done in ("honoured", "no effect"):
        (tmp_path / "plain").mkdir()
        got, without = output(path), output(row.plain(tmp_path / "plain"))
        same = got.shape == without.shape and np.array_equal(got, without)
        assert same == (row.done == "no effect")


@pytest.mark.parametrize("words", ["run", "diagnose --expect h=1,2", "grad", "convert"])
def test_a_node_that_is_not_read_is_refused_in_every_command(words: str, tmp_path: Path) -> None:
    """No command takes by their names the weights of a node that inspect says is not read."""
    pytest.importorskip("onnx")
    file = str(onnx_file(tmp_path, over={"W": np.ones((8, 3), np.float32)}, direction="reverse"))
    if words == "convert":
        answer = call("convert", file, str(tmp_path / "new.npz"), "--to", "pytorch")
    else:
        answer = call(*words.split(), "--weights", file, "--x", "1,2,3")
    assert_refused(answer, 3, "LSTM 'l' is not read: its W is (8, 3)")


def test_every_row_says_what_is_done_with_it() -> None:
    """A row has a known word, a sentence where it is named or refused, and options that exist."""
    for row in SETTINGS:
        assert row.done in DONE
        assert row.said or row.make is None or row.done in ("honoured", "no effect"), row.setting
    text = call("run", "--help").out
    options = {each for row in SETTINGS for each in re.findall(r"`(--[a-z-]+)`", row.how)}
    assert not [each for each in options if each not in text]
