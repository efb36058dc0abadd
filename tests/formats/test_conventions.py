"""Layouts: every row packs and unpacks to the last bit, and its golden numbers are met."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError
from lstm_cli.cell.cells import cell_named
from lstm_cli.formats.conventions import CONVENTIONS, Convention
from lstm_cli.formats.layouts import pack, unpack
from tests.cases import GOLDEN
from tests.conftest import random_arrays
from tests.tools import ROOT

ROWS = list(CONVENTIONS.values())


def parameters_for(row: Convention, inputs: int, hidden: int, seed: int) -> dict[str, Array]:
    """Return parameters with all that a row can hold."""
    variants = "+".join(
        name for name, holds in (("peephole", "p"), ("projection", "W_hr")) if holds in row.holds
    )
    sizes = {"I": inputs, "H": hidden, "P": max(1, hidden - 1)}
    return random_arrays(cell_named(variants or "lstm"), sizes, seed)


@settings(max_examples=15)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 999))
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_unpack_undoes_pack(row: Convention, inputs: int, hidden: int, seed: int) -> None:
    """`unpack(pack(w)) == w` for every row, every size, to the last bit."""
    parameters = parameters_for(row, inputs, hidden, seed)
    again = unpack(row, pack(row, parameters), "test")
    assert again.keys() == parameters.keys()
    for name, array in parameters.items():
        assert np.array_equal(again[name], array)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows_are_whole(row: Convention) -> None:
    """A row names its source; stacks have each gate once a bias, and gates are f i g o."""
    assert row.source
    for path in re.findall(r"(?:tests|samples)/[\w/.*]+", row.confirmed_by):
        assert list(ROOT.glob(path)), "what confirms the row is gone"
    for tensor in row.tensors:
        assert set(tensor.gates) <= set("figo")
        if tensor.holds in ("x", "h", "xh", "hx") and len(tensor.gates) > 1:
            assert sorted(tensor.gates) == sorted("figo")


GOLDEN_ROWS = {
    "torch_live": ["pytorch", "pytorch-cell", "paddle", "candle", "tinygrad"],
    "onnxruntime_live": ["onnx"],
    "onnxruntime_tests": ["onnx"],
    "candle": ["candle"],
}


@pytest.mark.parametrize("name", GOLDEN_ROWS)
def test_a_row_cuts_as_its_framework_stacks(name: str) -> None:
    """A row's gate order is the one in which that framework's own golden file stacks."""
    for case in json.loads((GOLDEN / f"{name}.json").read_text())["cases"]:
        order = case["layers"][0][0]["order"]
        for row in GOLDEN_ROWS[name]:
            own = CONVENTIONS[row].order
            assert order in (own, own.replace("f", ""))  # a coupled gate may be left out


def test_openvinos_golden_confirms_fico() -> None:
    """OpenVINO's row stacks f i c o as its own test with biases does."""
    cases = json.loads((GOLDEN / "openvino.json").read_text())["cases"]
    orders = {case["layers"][0][0]["order"] for case in cases if "bias-" in case["id"]}
    assert orders == {CONVENTIONS["openvino"].order} | (orders - {"figo"})
    assert "figo" in orders


def test_the_eight_orders_that_frameworks_use() -> None:
    """The stacked orders are those of the reference: no row invents one."""
    orders = {row.order for row in ROWS if row.order}
    assert orders == {"ifgo", "iofg", "igfo", "ifog", "figo", "gfoi", "gifo"}


@pytest.mark.parametrize(
    ("row", "variant"), [("keras", "projection"), ("pytorch", "peephole"), ("keras", "peephole")]
)
def test_what_has_no_place_is_refused(row: str, variant: str) -> None:
    """A projection or peepholes that a layout cannot hold are refused by name, not dropped."""
    parameters = random_arrays(cell_named(variant), {"I": 2, "H": 3, "P": 2})
    with pytest.raises(InputError, match="has no place for"):
        pack(CONVENTIONS[row], parameters)


def test_a_missing_gate_has_no_place_in_a_stack() -> None:
    """A coupled cell's three gates do not fit a stack of four."""
    parameters = random_arrays(cell_named("coupled-forget"), {"I": 2, "H": 3, "P": 3})
    with pytest.raises(LstmStepError, match="gate f is not there"):
        pack(CONVENTIONS["pytorch"], parameters)
    packed = pack(CONVENTIONS["split"], parameters)
    assert "W_f" not in packed


def test_cudnns_kernel_is_a_reread_buffer() -> None:
    """Keras' own conversion of a CuDNN kernel, done by hand, gives what the row gives."""
    generator = np.random.default_rng(0)
    kernel, recurrent = generator.normal(size=(3, 16)), generator.normal(size=(4, 16))
    bias = generator.normal(size=32)
    got = unpack(
        CONVENTIONS["keras-cudnn"],
        {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias},
        "test",
    )
    for place, k in enumerate("ifgo"):
        columns = slice(4 * place, 4 * place + 4)
        # engine/saving.py: each (in, H) block becomes block.T.reshape(shape, order="F").
        own = kernel[:, columns].T.reshape((3, 4), order="F")
        assert np.array_equal(got[f"W_{k}"][:, 4:], own.T)
        assert np.array_equal(got[f"W_{k}"][:, :4], recurrent[:, columns].T.T)
        assert np.array_equal(got[f"b_{k}"], bias[columns] + bias[16:][columns])
