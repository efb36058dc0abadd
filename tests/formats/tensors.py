"""What the tests of tensor files share: golden files, and a second opinion on their numbers.

The tensors that a reader returns are cut into gates here, in plain slices, and run by the scalar
witness of `tests/witness.py`; the package's own layouts and engine have no part in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError
from lstm_cli.formats.contents import Tensors
from tests.witness import Witness

FILES = Path(__file__).parents[1] / "files"


def golden(name: str) -> dict[str, Any]:
    """Return what a framework computed from a file, and the tensors the file holds."""
    record: dict[str, Any] = json.loads((FILES / f"{name}.json").read_text())
    return record


def goldens(suffix: str) -> list[str]:
    """Return the names of the golden files of a format that hold an LSTM."""
    names = [path.stem for path in sorted(FILES.glob(f"*{suffix}"))]
    return [name for name in names if golden(name)["expected"]]


def assert_listed(record: Mapping[str, Any], tensors: Tensors) -> None:
    """Check that every tensor is listed with its shape, and that the shape is kept when read."""
    infos = {name: list(info.shape) for name, info in tensors.infos.items()}
    assert infos == record["tensors"]
    for name, info in tensors.infos.items():
        if info.dtype.text.startswith(("float", "bfloat", "int", "uint")):
            assert tensors[name].shape == info.shape


def assert_runs(record: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
    """Check that the witness, given the tensors, computes what the framework computed."""
    made = _run(record, tensors)
    for symbol, value in record["expected"].items():
        assert made[symbol].shape == np.shape(value)
        assert np.max(np.abs(made[symbol] - np.array(value))) <= record["atol"]


def _run(record: Mapping[str, Any], tensors: Mapping[str, Array]) -> dict[str, Array]:
    own = {n.removeprefix(record["layer"]): n for n in tensors if n.startswith(record["layer"])}
    arrays = {short: np.asarray(tensors[name], dtype=float) for short, name in own.items()
              if short in _KEYS or short.split("_l")[0] in _KEYS}  # fmt: skip
    levels = len({name for name in arrays if name.startswith("weight_ih") and "_rev" not in name})
    sides = 2 if "weight_ih_l0_reverse" in arrays else 1
    x, finals = np.array(record["x"]), []
    for level in range(max(1, levels)):
        made = []
        for side in range(sides):
            witness = WITNESSES[record["convention"]](arrays, level, side)
            start = (np.array(record[key])[level * sides + side] for key in ("h0", "c0"))
            made.append(_batch(witness, x[:, ::-1] if side else x, *start))
            if side:
                made[side]["output"] = made[side]["output"][:, ::-1]
        x = np.concatenate([each["output"] for each in made], axis=-1)
        finals = [np.concatenate([each[k] for each in made], axis=-1) for k in "hc"]
    return {"output": x, "h": finals[0], "c": finals[1]}


def _batch(witness: Witness, x: Array, h: Array, c: Array) -> dict[str, Array]:
    runs = [witness.run(x[n].tolist(), h[n].tolist(), c[n].tolist()) for n in range(len(x))]
    return {
        "output": np.array([[step["h"] for step in run] for run in runs]),
        "h": np.array([run[-1]["h"] for run in runs]),
        "c": np.array([run[-1]["c"] for run in runs]),
    }


def _pytorch(t: Mapping[str, Array], level: int, side: int) -> Witness:
    end = f"_l{level}{'_reverse' if side else ''}" if "weight_ih_l0" in t else ""
    bias = t[f"bias_ih{end}"] + t[f"bias_hh{end}"]
    projection = t.get(f"weight_hr{end}")
    return _stacked(t[f"weight_ih{end}"], t[f"weight_hh{end}"], bias, projection)


def _stacked(W: Array, U: Array, b: Array, W_hr: Array | None = None) -> Witness:
    """Return the witness of stacks of rows in the order i f g o."""
    size = len(b) // 4
    rows = {k: slice(n * size, (n + 1) * size) for n, k in enumerate("ifgo")}
    return Witness(
        W={k: W[rows[k]].tolist() for k in rows},
        U={k: U[rows[k]].tolist() for k in rows},
        b={k: b[rows[k]].tolist() for k in rows},
        W_hr=None if W_hr is None else W_hr.tolist(),
    )


def _matlab(t: Mapping[str, Array], *_: int) -> Witness:
    return _stacked(t["InputWeights"], t["RecurrentWeights"], t["Bias"][:, 0])


def _flax(t: Mapping[str, Array], *_: int) -> Witness:
    x_side = {k: "if_" if k == "f" and "if_.kernel" in t else f"i{k}" for k in "ifgo"}
    return Witness(
        W={k: t[f"{x_side[k]}.kernel"].T.tolist() for k in "ifgo"},
        U={k: t[f"h{k}.kernel"].T.tolist() for k in "ifgo"},
        b={k: t[f"h{k}.bias"].tolist() for k in "ifgo"},
    )


def _flax_optimized(t: Mapping[str, Array], *_: int) -> Witness:
    return _stacked(t["dense_i.kernel"].T, t["dense_h.kernel"].T, t["dense_h.bias"])


WITNESSES = {
    "pytorch": _pytorch, "pytorch-cell": _pytorch, "matlab": _matlab, "flax-linen": _flax,
    "flax-nnx": _flax, "flax-nnx-optimized": _flax_optimized,
}  # fmt: skip
_KEYS = {
    "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "InputWeights",
    "RecurrentWeights", "Bias", "dense_i.kernel", "dense_h.kernel", "dense_h.bias",
    *(f"{a}{b}.{c}" for a in "ih" for b in "ifgo" for c in ("kernel", "bias")), "if_.kernel",
}  # fmt: skip


def refusal(read: Any, path: Path) -> InputError:
    """Return the error with which a reader refuses a file."""
    with pytest.raises(InputError) as caught:
        read(path)
    error = caught.value
    assert error.where, "an error names the file"
    assert error.hint, "an error says what to do"
    return error
