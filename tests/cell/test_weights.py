"""Weights, layouts and presets: shapes, names, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, ShapeError, UsageError
from lstm_cli.cell.cells import LSTM, VARIANTS, cell_named
from lstm_cli.cell.presets import PRESETS, preset_model
from lstm_cli.cell.shapes import describe
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.engine.run import run
from lstm_cli.formats.conventions import CONVENTIONS
from lstm_cli.formats.read import model_from_arrays, read_weights
from tests.cases import GOLDEN
from tests.conftest import random_arrays, random_inputs, random_weights


def torch_case(name: str) -> dict[str, object]:
    cases = json.loads((GOLDEN / "torch_live.json").read_text())["cases"]
    return dict(next(case for case in cases if case["id"] == name))


def raw_parts(case: dict[str, object]) -> list[list[dict[str, Array]]]:
    layers = case["layers"]
    assert isinstance(layers, list)
    keys = ("W", "U", "b_W", "b_U", "W_hr")
    return [
        [{k: np.array(part[k]) for k in keys if part[k] is not None} for part in layer]
        for layer in layers
    ]


def as_pytorch(case: dict[str, object]) -> dict[str, Array]:
    names = {"W": "weight_ih", "U": "weight_hh", "b_W": "bias_ih", "b_U": "bias_hh",
             "W_hr": "weight_hr"}  # fmt: skip
    return {
        f"{names[key]}_l{level}{'_reverse' * backward}": array
        for level, layer in enumerate(raw_parts(case))
        for backward, part in enumerate(layer)
        for key, array in part.items()
    }


def one_layer() -> dict[str, Array]:
    return raw_parts(torch_case("torch-1-layer"))[0][0]


def gates(stack: Array) -> dict[str, Array]:
    return dict(zip("ifgo", np.split(stack, 4), strict=True))


def layouts() -> dict[str, tuple[dict[str, Array], str | None]]:
    """Return the same golden PyTorch weights in every layout that is read."""
    raw = one_layer()
    W, U, b = gates(raw["W"]), gates(raw["U"]), gates(raw["b_W"] + raw["b_U"])
    literature = {"f": "f", "i": "i", "g": "c", "o": "o"}
    joined = {k: np.hstack([U[k], W[k]]) for k in "figo"}
    return {
        "joined": ({f"W_{k}": joined[k] for k in W} | {f"b_{k}": b[k] for k in b}, None),
        "literature": (
            {f"W{literature[k]}": joined[k] for k in W} | {f"b{literature[k]}": b[k] for k in b},
            None,
        ),
        "joined with W_c": (
            {f"W_{literature[k]}": joined[k] for k in W} | {f"b_{literature[k]}": b[k] for k in b},
            None,
        ),
        "joined-xh": (
            {f"W_{k}": np.hstack([W[k], U[k]]) for k in W} | {f"b_{k}": b[k] for k in b},
            "joined-xh",
        ),
        "split": (
            {f"W_{k}": W[k] for k in W} | {f"U_{k}": U[k] for k in U} | {f"b_{k}": b[k] for k in b},
            None,
        ),
        "prefixed": ({f"layer0_forward_W_{k}": joined[k] for k in W}
                     | {f"layer0_forward_b_{k}": b[k] for k in b}, None),
        "pytorch": (as_pytorch(torch_case("torch-1-layer")), None),
        "pytorch-cell": (
            {key.removesuffix("_l0"): array
             for key, array in as_pytorch(torch_case("torch-1-layer")).items()}, None,
        ),
        "keras": ({"kernel": raw["W"].T, "recurrent_kernel": raw["U"].T,
                   "bias": raw["b_W"] + raw["b_U"]}, "keras"),
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ["npz", "json"])
@pytest.mark.parametrize("name", layouts())
def test_every_layout_gives_pytorchs_numbers(tmp_path: Path, name: str, suffix: str) -> None:
    """The same weights in any layout and file format give the h that PyTorch computed."""
    arrays, convention = layouts()[name]
    path = tmp_path / f"weights.{suffix}"
    if suffix == "npz":
        np.savez(path, **arrays)  # type: ignore[arg-type] # names are ours
    else:
        path.write_text(json.dumps({key: array.tolist() for key, array in arrays.items()}))
    case = torch_case("torch-1-layer")
    model = read_weights(path, convention=convention)
    trace = run(model, case["x"], np.array(case["h0"])[0], np.array(case["c0"])[0])  # type: ignore[arg-type] # JSON lists
    assert np.allclose(trace.output, case["expected"]["output"], rtol=0, atol=1e-12)  # type: ignore[index] # likewise


@pytest.mark.parametrize(
    "name", ["torch-2-layers-bidirectional", "torch-2-layers-bidirectional-projection"]
)
def test_stacks_and_directions_are_assembled(name: str) -> None:
    """PyTorch's `_l1_reverse` names become layers and directions in the right order."""
    case = torch_case(name)
    model = model_from_arrays(as_pytorch(case), source="test")
    trace = run(model, case["x"], case["h0"], case["c0"])  # type: ignore[arg-type] # JSON lists
    assert model.convention == "pytorch"
    assert np.allclose(trace.output, case["expected"]["output"], rtol=0, atol=1e-12)  # type: ignore[index] # likewise


def test_what_is_assumed_is_said() -> None:
    """A layout that leaves something open says how it was read; a chosen one does not."""
    arrays, _ = layouts()["joined"]
    assert any("[h_prev, x]" in text for text in model_from_arrays(arrays, source="t").assumptions)
    chosen = model_from_arrays(arrays, source="t", convention="joined")
    assert chosen.assumptions == ()
    without = {key: array for key, array in arrays.items() if key.startswith("W")}
    assert "no biases in the weights: zeros" in model_from_arrays(without, source="t").assumptions


def broken() -> dict[str, tuple[dict[str, Array], type[LstmStepError], str]]:
    joined, _ = layouts()["joined"]
    split, _ = layouts()["split"]
    torch = as_pytorch(torch_case("torch-2-layers-bidirectional"))
    without = lambda arrays, *keys: {k: v for k, v in arrays.items() if k not in keys}  # noqa: E731 # reads as data
    return {
        "one bias missing": (without(joined, "b_f"), InputError, "b_f missing"),
        "one gate missing": (without(joined, "W_o"), InputError, "W_o is missing, b_o is there"),
        "a U missing": (without(split, "U_g"), InputError, "U_g is missing, W_g is there"),
        "nothing known": ({"foo": np.ones(3)}, InputError, "no LSTM's weights"),
        "transposed": (joined | {"W_f": joined["W_f"].T}, ShapeError, r"\(7, 4\), needs \(H, H \+ I\)"),
        "one row too many": (
            joined | {"b_o": np.ones(5)}, ShapeError, r"b_o has shape \(5,\), needs \(H,\) = \(4,\)",
        ),
        "a scalar": (joined | {"b_o": np.array(1.0)}, ShapeError, "b_o has shape"),
        "nan": (joined | {"b_o": np.array([1, np.nan, 1, 1])}, InputError, r"b_o\[1\] is nan"),
        "a stranger": (joined | {"extra": np.ones(3)}, InputError, "has no 'extra'"),
        "both names of g": (joined | {"W_c": joined["W_g"]}, InputError, "both mean W_g"),
        "layer 0 missing": (
            {k: v for k, v in torch.items() if "_l1" in k}, InputError, "layer 0 is missing",
        ),
        "one direction missing": (
            without(torch, *[k for k in torch if k.endswith("l1_reverse")]),
            InputError, "some layers have two directions",
        ),
        "not divisible": (
            torch | {"weight_ih_l0": np.ones((15, 3))}, ShapeError, r"weight_ih_l0 has shape \(15, 3\).*15 does not divide",
        ),
        "W and U exchanged": (
            {f"W_{k}": split[f"U_{k}"] for k in "figo"} | {f"U_{k}": split[f"W_{k}"] for k in "figo"}
            | {f"b_{k}": split[f"b_{k}"] for k in "figo"}, ShapeError, r"for h_prev is \(4, 3\), needs \(4, 4\)",
        ),
        "a GRU": (
            {"weight_ih_l0": np.ones((12, 3)), "weight_hh_l0": np.ones((12, 4)),
             "bias_ih_l0": np.ones(12), "bias_hh_l0": np.ones(12)}, ShapeError, r"for h_prev is \(3, 4\)",
        ),
        "a misspelt bias": (
            without(joined, "b_o") | {"bias_o": joined["b_o"]}, InputError, "has no 'bias_o'",
        ),
        "gates of unequal height": (
            split | {"U_f": np.ones((5, 5))}, ShapeError, "gate f",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", broken())
def test_bad_weights_are_refused_with_both_sides(name: str) -> None:
    """What is wrong is named with what there is and what is needed, and where."""
    arrays, kind, message = broken()[name]
    with pytest.raises(kind, match=message) as caught:
        model_from_arrays(arrays, source="file.npz")
    assert "file.npz" in caught.value.where
    assert caught.value.hint


def test_a_misspelt_name_is_told_what_is_missing() -> None:
    """A stranger beside a missing parameter is asked whether it is that one."""
    joined, _ = layouts()["joined"]
    arrays = {k: v for k, v in joined.items() if k != "b_o"} | {"bias_o": joined["b_o"]}
    with pytest.raises(InputError) as caught:
        model_from_arrays(arrays, source="file.npz")
    assert "is it b_o, which is not there?" in caught.value.hint


def test_a_missing_second_bias_is_said() -> None:
    """PyTorch weights without bias_hh are run with zeros for it, and the assumption says so."""
    arrays = as_pytorch(torch_case("torch-1-layer"))
    del arrays["bias_hh_l0"]
    assert model_from_arrays(arrays, source="t").assumptions == (
        "bias_hh_l0 not in the file: zeros",
    )


def test_an_unknown_convention_is_refused() -> None:
    """A misspelt --convention proposes the nearest."""
    with pytest.raises(UsageError, match="unknown convention") as caught:
        model_from_arrays(layouts()["joined"][0], source="t", convention="pytorhc")
    assert "pytorch" in caught.value.hint


def test_conventions_say_what_confirms_them() -> None:
    """Every row has a source; one that nothing confirms says so."""
    for row in CONVENTIONS.values():
        assert row.source
        assert row.title


def test_weights_are_frozen() -> None:
    """Neither an array nor the mapping can be changed, and the caller's arrays are copied."""
    arrays = random_arrays(LSTM, {"I": 2, "H": 3, "P": 3})
    weights = LstmWeights(LSTM, arrays)
    arrays["W_f"][0, 0] = 99
    assert weights.arrays["W_f"][0, 0] != 99
    with pytest.raises(ValueError, match="read-only"):
        weights.arrays["W_f"][0, 0] = 1
    with pytest.raises(TypeError):
        weights.arrays["W_f"] = arrays["W_f"]  # type: ignore[index] # forbidden on purpose


def test_sizes_follow_from_the_table() -> None:
    """I, H and P are read off the shapes; only a projection lets P differ from H."""
    weights = random_weights(cell_named("peephole+projection"), inputs=3, hidden=5, output=2)
    assert (weights.input_size, weights.hidden_size, weights.output_size) == (3, 5, 2)
    assert describe(weights.cell.parameters["W_f"]) == "(H, P + I)"
    assert describe(LSTM.parameters["W_f"]) == "(H, H + I)"
    assert repr(weights) == "LstmWeights(projection+peephole, I=3, H=5, P=2, from random)".replace(
        "projection+peephole", "peephole+projection"
    )


@pytest.mark.parametrize("cell", ["lstm", *VARIANTS, "peephole+projection"])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_fill_every_cell_or_say_why_not(name: str, cell: str) -> None:
    """A preset gives finite weights of the cell's shapes, or names the parameter it lacks."""
    try:
        model = preset_model(
            name, cell_named(cell), sizes={"I": 3, "H": 4, "P": 2 * ("proj" in cell)}
        )
    except UsageError as error:
        assert "does not have" in error.what
    else:
        x, h, c = random_inputs(model.first)
        assert np.isfinite(run(model, x, h, c).output).all()


def preset(name: str, sizes: dict[str, int] | None = None) -> Model:
    return preset_model(name, LSTM, sizes=sizes or {"I": 3})


def test_identity_is_addition() -> None:
    """With identity weights every pre-activation is h + x, the question's own sum."""
    trace = run(preset("identity"), [[0.1, -0.2, 0.3]], [1.0, 2.0, 3.0])
    for k in "figo":
        assert np.allclose(trace[f"z_{k}"], [[1.1, 1.8, 3.3]])


def test_identity_with_more_or_fewer_inputs() -> None:
    """For I ≠ H unit j sees x_j while there is one; inputs past the H-th are unseen."""
    few = run(preset("identity", {"I": 2, "H": 4}), [[5.0, 6.0]])
    assert few["z_f"].tolist() == [[5, 6, 0, 0]]
    many = run(preset("identity", {"I": 4, "H": 2}), [[5.0, 6.0, 7.0, 8.0]])
    assert many["z_f"].tolist() == [[5, 6]]


def test_what_each_preset_shows() -> None:
    """The lessons hold: remember holds, forget forgets, count counts, add adds, zeros halves."""
    x = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    c = np.array([0.3, -2.0, 5.0])
    assert np.array_equal(run(preset("remember"), x, c=c).c, c)
    assert np.all(run(preset("forget"), x, c=c)["f"] == 0)
    assert run(preset("count"), x).c.tolist() == x.sum(axis=0).tolist()
    assert np.allclose(100 * run(preset("add"), 3 * x).c, 3 * x.sum(axis=0), atol=3e-3)
    assert np.array_equal(run(preset("zeros"), x[:1], c=c).c, c / 2)
    assert np.all(run(preset("ones"), x[:1])["z_f"] == 2)


def test_random_follows_its_seed() -> None:
    """The same seed gives the same weights, another seed others, within ±1/√H."""
    one, same, other = (
        preset_model("random", LSTM, sizes={"I": 3, "H": 4}, seed=s).first.arrays for s in (1, 1, 2)
    )
    assert all(np.array_equal(one[k], same[k]) for k in one)
    assert not np.array_equal(one["W_f"], other["W_f"])
    assert max(np.abs(array).max() for array in one.values()) <= 0.5


def test_two_biases_stay_apart_beside_their_sum() -> None:
    """A file with bias_ih and bias_hh gives b_k as their sum and the recurrent part by itself."""
    rng = np.random.default_rng(5)
    tensors = {"weight_ih_l0": rng.normal(size=(8, 3)), "weight_hh_l0": rng.normal(size=(8, 2)),
               "bias_ih_l0": rng.normal(size=8), "bias_hh_l0": rng.normal(size=8)}  # fmt: skip
    weights = model_from_arrays(tensors, source="here").first
    np.testing.assert_array_equal(weights.recurrent_biases["f"], tensors["bias_hh_l0"][2:4])
    np.testing.assert_array_equal(
        weights.arrays["b_f"], tensors["bias_ih_l0"][2:4] + tensors["bias_hh_l0"][2:4]
    )
    assert not model_from_arrays(
        {k: v for k, v in tensors.items() if k != "bias_hh_l0"}, source="here"
    ).first.recurrent_biases


class LikeATensor:
    """Does what a tensor of PyTorch does on its way to NumPy, as far as it can be known here.

    It must leave its graph, then its device; NumPy has no bfloat16, which `float` makes float32.
    """

    def __init__(self, values: object, *, graph: bool = True, away: bool = True, half: bool = True):
        self.values = np.asarray(values, np.float32)
        self.state = (graph, away, half)

    def detach(self) -> LikeATensor:
        _, away, half = self.state
        return LikeATensor(self.values, graph=False, away=away, half=half)

    def cpu(self) -> LikeATensor:
        graph, _, half = self.state
        return LikeATensor(self.values, graph=graph, away=False, half=half)

    def float(self) -> LikeATensor:
        graph, away, _ = self.state
        return LikeATensor(self.values, graph=graph, away=away, half=False)

    def __array__(self, dtype: object = None, copy: object = None) -> object:
        graph, away, half = self.state
        if graph:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if away or half:
            raise TypeError("can't convert it")
        return self.values


def test_tensors_that_are_not_numpys_are_taken() -> None:
    """A state dict as a module gives it: other tensors, and what is no tensor; no source."""
    arrays = as_pytorch(torch_case("torch-2-layers-bidirectional"))
    exact = {key: np.asarray(array, np.float32) for key, array in arrays.items()}
    state = {f"rnn.{key}": LikeATensor(array) for key, array in exact.items()}
    others = {"rnn._extra_state": {"a": 1}, "flag": None, "phase": np.ones(2, complex)}
    model = model_from_arrays({**state, **others})
    assert model.source == "arrays, rnn"
    expected = model_from_arrays(exact, source="t")
    for (_, _, ours), (_, _, theirs) in zip(model.runs, expected.runs, strict=True):
        assert all(np.array_equal(ours.arrays[name], theirs.arrays[name]) for name in ours.arrays)
    lists = {key: array.tolist() for key, array in exact.items()}
    assert model_from_arrays(lists).first.arrays["W_f"].shape == model.first.arrays["W_f"].shape


def test_what_cannot_be_an_array_of_real_numbers_is_refused() -> None:
    """Ragged lists, and complex weights whose imaginary part would be lost."""
    with pytest.raises(InputError, match="'weight_ih_l0' is not an array"):
        model_from_arrays({"weight_ih_l0": [[1.0], [1.0, 2.0]]})
    complex_ = {key: array + 1j for key, array in as_pytorch(torch_case("torch-1-layer")).items()}
    with pytest.raises(InputError, match="holds complex128, not real numbers"):
        model_from_arrays(complex_)
