"""Two readings possible: the file is refused with what each gives, and the user chooses by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, ShapeError, UsageError
from lstm_cli.cell.cells import Settings
from lstm_cli.cell.traits import traits_of
from lstm_cli.cell.weights import Model
from lstm_cli.commands.inspect.inspection import inspect
from lstm_cli.engine.run import run
from lstm_cli.formats.conventions import CONVENTIONS, convention_named
from lstm_cli.formats.read import model_from_arrays, read_weights
from tests.tools import call

H, I = 2, 3  # the sizes' own names


def filled(shape: tuple[int, ...], step: float, start: float) -> Array:
    """Numbers between -0.8 and 0.8 that are all different."""
    return np.asarray(np.sin(np.arange(np.prod(shape)) * step + start) * 0.8).reshape(shape)


# Stacked by columns in the order i g f o, as haste does.
HASTE = {
    "kernel": filled((I, 4 * H), 0.7, 0.1),
    "recurrent_kernel": filled((H, 4 * H), 1.3, 0.5),
    "bias": filled((4 * H,), 0.9, 2.0),
}
X, H0, C0 = filled((3, I), 0.5, 1.0), np.array([0.3, -0.2]), np.array([-0.4, 0.6])
# torch 2.13.0's nn.LSTM of these numbers in the order i f g o, as haste's to_native_weights does.
EXPECTED = [
    [-0.014917766472811152, 0.16947845824855728],
    [0.009138628902220017, 0.004654944074397079],
    [-0.5034689730380038, -0.418120389040277],
]


def each_gate(matrix: str = "W_{}", *, turned: bool = False) -> dict[str, Array]:
    """The same weights as an array a gate: W_k on [h_prev, x], b_k."""
    stacks = np.concatenate([HASTE["recurrent_kernel"], HASTE["kernel"]])
    blocks = dict(zip("igfo", np.split(stacks, 4, axis=1), strict=True))
    biases = dict(zip("igfo", np.split(HASTE["bias"], 4), strict=True))
    return {
        matrix.format(k): blocks[k] if turned else blocks[k].T for k in "figo"
    } | {f"b_{k}": biases[k] for k in "figo"}  # fmt: skip


def split(on_x: str, on_h: str, *, turned: bool = False) -> dict[str, Array]:
    """The same weights, two matrices a gate."""
    joined = each_gate()
    named = {}
    for k in "figo":
        for name, block in ((on_x, joined[f"W_{k}"][:, H:]), (on_h, joined[f"W_{k}"][:, :H])):
            named[name.format(k)] = block.T if turned else block
    return named | {name: array for name, array in joined.items() if name.startswith("b_")}


def h_of(model: Model) -> Array:
    """Every h of a run from the states above."""
    return run(model, X, H0, C0).output


def read(arrays: dict[str, Any], convention: str = "") -> Model:
    return model_from_arrays(arrays, source="test", convention=convention or None)


def asked(arrays: dict[str, Any], convention: str = "") -> str:
    """What is proposed where the arrays are refused."""
    with pytest.raises(InputError) as caught:
        read(arrays, convention)
    return caught.value.lines.hint


def test_keras_names_alone_are_asked_about() -> None:
    """Three programs write kernel, recurrent_kernel, bias: each is shown with what it gives."""
    lines = asked(HASTE).splitlines()
    assert "two steps of x = 0.5" in lines[0]
    for name in ("keras", "keras-2.2", "haste"):
        (line,) = [each for each in lines if f"--convention {name}: " in each]
        h = run(read(HASTE, name), np.full((2, I), 0.5)).h
        assert f"h = {h[0]:.6g}, {h[1]:.6g} " in line
    np.testing.assert_allclose(h_of(read(HASTE, "haste")), EXPECTED, rtol=0, atol=1e-15)


def test_an_answered_question_is_not_asked() -> None:
    """Once options make two readings the same, that one is read."""
    sigmoid = Settings(activations="sigmoid,tanh,tanh").edit
    with pytest.raises(InputError) as caught:
        model_from_arrays(HASTE, edit=sigmoid)
    assert "--convention keras: " in caught.value.lines.hint
    assert "--convention keras-2.2: " not in caught.value.lines.hint
    two = {name: array for name, array in HASTE.items() if name != "bias"}  # haste has one
    assert "--convention keras-2.2: " in asked(two)
    model = model_from_arrays(two, edit=sigmoid)
    assert np.array_equal(h_of(model), h_of(read(two, "keras")))
    assert not any("2.3" in each for each in model.assumptions)


def test_keras_own_path_and_list_are_not_asked_about() -> None:
    """`lstm_cell` before the names, or a Keras layer's own list, leaves the default to be told."""
    own = {f"model/lstm/lstm_cell/{name}": array for name, array in HASTE.items()}
    for model in (read(own), model_from_arrays(list(HASTE.values()))):
        assert model.convention == "keras"
        assert any("read as sigmoid" in each for each in model.assumptions)


def test_inspect_names_the_readings_and_none_as_fact(tmp_path: Path) -> None:
    """`inspect` shows no gate's range by a layout that is not known."""
    np.savez(tmp_path / "w.npz", **HASTE)  # type: ignore[arg-type] # arrays by name
    (lstm,) = inspect(tmp_path / "w.npz")["lstms"]
    assert lstm["convention"] == "keras or haste or keras-2.2"
    assert lstm["gate_order"] == ""
    assert "ranges" not in lstm
    assert "convention='haste'" in lstm["error"]["try"]


def test_generic_names_list_each_order_once() -> None:
    """W, U, b: conventions that give the same numbers share a line."""
    arrays = {"W": HASTE["kernel"].T, "U": HASTE["recurrent_kernel"].T, "b": HASTE["bias"]}
    lines = asked(arrays).splitlines()
    numbers = [line.split("h = ")[1].split(" (")[0] for line in lines if "h = " in line]
    assert len(set(numbers)) == len(numbers) >= 5
    assert "--gates ORDER" in lines[-1]


def test_the_layout_of_cs231n_gives_its_own_numbers() -> None:
    """Assignment 3's check of lstm_step_forward: linspaced numbers and what must come out."""
    d, h = 4, 5
    weights = {
        "Wx": np.linspace(-2.1, 1.3, num=4 * d * h).reshape(d, 4 * h),
        "Wh": np.linspace(-0.7, 2.2, num=4 * h * h).reshape(h, 4 * h),
        "b": np.linspace(0.3, 0.7, num=4 * h),
    }
    assert "--convention cs231n: " in asked(weights).splitlines()[1]
    model = read(weights, "cs231n")
    x = np.linspace(-0.4, 1.2, num=3 * d).reshape(3, 1, d)
    states = (np.linspace(a, b, num=3 * h).reshape(3, h) for a, b in ((-0.3, 0.7), (-0.4, 0.9)))
    trace = [run(model, *each) for each in zip(x, *states, strict=True)]
    expected_h = [
        [0.24635157, 0.28610883, 0.32240467, 0.35525807, 0.38474904],
        [0.49223563, 0.55611431, 0.61507696, 0.66844003, 0.7159181],
        [0.56735664, 0.66310127, 0.74419266, 0.80889665, 0.858299],
    ]
    np.testing.assert_allclose([each.h for each in trace], expected_h, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("arrays", "convention"),
    [
        (HASTE, "gates=igfo"),
        ({k: v.T for k, v in HASTE.items()}, "gates=igfo,transpose"),
        ({f"deep.net.{k}": v for k, v in HASTE.items()}, "gates=igfo"),
        ({f"x{n}": v for n, v in enumerate(HASTE.values())}, "gates=igfo"),
        ({f"x{n}": v.T for n, v in enumerate(HASTE.values())}, "gates=igfo"),
        ({"one": np.vstack([HASTE["kernel"], HASTE["recurrent_kernel"]]), "two": HASTE["bias"]},
         "gates=igfo,joined=xh"),
        ({"one": np.vstack([HASTE["recurrent_kernel"], HASTE["kernel"]]).T, "two": HASTE["bias"],
          "fc.weight": np.ones((7, H))}, "gates=igfo,joined=hx"),
        ({"a_ih": HASTE["kernel"], "a_hh": HASTE["recurrent_kernel"],
          "both": np.concatenate([HASTE["bias"] - 1, np.ones(4 * H)])}, "gates=igfo"),
        (each_gate(), "joined"),
        (each_gate("w_{}"), "joined"),
        (each_gate("W{}"), ""),
        (each_gate(turned=True), "transpose"),
        (split("W{}", "Wh{}"), ""),
        (split("W_x{}", "W_h{}", turned=True), ""),
        (split("w{}", "u{}"), "split"),
        (split("W_{}", "U_{}", turned=True), "transpose"),
    ],
)  # fmt: skip
def test_any_layout_can_be_read(arrays: dict[str, Array], convention: str) -> None:
    """By an order of gates, turned or joined by hand, and by names that people use."""
    np.testing.assert_allclose(h_of(read(arrays, convention)), EXPECTED, rtol=0, atol=1e-15)


def test_a_bias_by_another_name_is_not_left_out() -> None:
    """Wx, Wh of MLX with a `b` in place of its `bias` are another program's."""
    arrays = {"Wx": HASTE["kernel"].T, "Wh": HASTE["recurrent_kernel"].T, "b": HASTE["bias"]}
    assert "MLX nn.LSTM" in asked(arrays)
    assert read({n: a for n, a in arrays.items() if n != "b"}).convention == "mlx"


def test_names_of_one_program_are_not_asked_about() -> None:
    """A cell of PyTorch without biases is PyTorch's, though Core ML has two of its names."""
    arrays = {"weight_ih": HASTE["kernel"].T, "weight_hh": HASTE["recurrent_kernel"].T}
    assert read(arrays).convention == "pytorch-cell"


def test_what_is_read_by_hand_is_told() -> None:
    """No habit of a framework is taken over unsaid, and each array's role by shape is named."""
    told = read(HASTE, "gates=igfo").assumptions[0]
    assert "no forget bias" in told
    told = read({f"x{n}": v for n, v in enumerate(HASTE.values())}, "gates=igfo").assumptions[0]
    assert "x: x0, h: x1, b: x2" in told


def test_a_named_convention_keeps_its_habits_by_hand() -> None:
    """`--convention keras-2.2 --gates igfo` is the hard sigmoid in that order."""
    traits = traits_of(read(HASTE, "keras-2.2,gates=igfo").cell)
    assert traits is not None
    assert traits.activations[0] == "hard_sigmoid"


def test_several_stacks_are_found_by_what_their_names_share() -> None:
    """A checkpoint's numbered variables, beside an optimizer's copies and a head."""
    numbered = dict(zip("012", HASTE.values(), strict=True))
    arrays = {
        f"{part}/{n}/VALUE": array for part in ("one", "two") for n, array in numbered.items()
    }
    arrays |= {"head/0": np.ones((H, 1)), "head/1": np.ones(1)}
    with pytest.raises(InputError, match="the file has 2 LSTMs"):
        read(arrays, "gates=igfo")
    model = model_from_arrays(arrays, lstm="two", convention="gates=igfo")
    np.testing.assert_allclose(h_of(model), EXPECTED, rtol=0, atol=1e-15)


def test_a_described_layer_takes_another_order(tmp_path: Path) -> None:
    """What an HDF5 file leaves open of the gates' activation is still asked with an order given."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for name, array in HASTE.items():
            file[name] = array
    with pytest.raises(InputError) as caught:
        read_weights(tmp_path / "w.h5", convention="gates=igfo")
    assert "--convention keras-2.2,gates=igfo: " in caught.value.lines.hint
    model = read_weights(tmp_path / "w.h5", convention="keras,gates=igfo")
    np.testing.assert_allclose(h_of(model), EXPECTED, rtol=0, atol=1e-15)


def test_equal_shapes_are_told_by_names_or_refused() -> None:
    """Where I = H, two matrices of one shape are not told apart by a guess."""
    square = {"kernel": filled((H, 4 * H), 0.7, 0.1), "rec": HASTE["recurrent_kernel"]}
    arrays = {"in": square["kernel"], "rec": square["rec"], "bias": HASTE["bias"]}
    model = read(arrays, "gates=igfo")
    assert np.array_equal(model.first.arrays["W_i"][:, :H], square["rec"][:, :H].T)
    hint = asked({"p": arrays["in"], "q": arrays["rec"], "r": arrays["bias"]}, "gates=igfo")
    assert "name them W and U" in hint


def test_an_unsaid_order_of_a_joined_matrix_is_asked() -> None:
    """[h, x] or [x, h]: no shape tells, so both are shown."""
    joined = {"one": np.vstack([HASTE["kernel"], HASTE["recurrent_kernel"]]), "two": HASTE["bias"]}
    hint = asked(joined, "gates=igfo")
    assert "--gates igfo --joined hx: h = " in hint
    assert "--gates igfo --joined xh: h = " in hint
    with pytest.raises(InputError) as caught:
        read(joined, "gates=igfo")
    assert "convention='gates=igfo,joined=xh'" in caught.value.hint


def test_foreign_names_with_equal_sizes_are_asked() -> None:
    """Wf, Whf with I = H may be W @ x or x @ W: our own W_f, U_f are by our own rule."""
    wf = {f"W{k}": filled((H, H), 0.7, n) for n, k in enumerate("figo")}
    wh = {f"Wh{k}": filled((H, H), 1.1, n) for n, k in enumerate("figo")}
    hint = asked(wf | wh)
    assert "--convention split: " in hint
    assert "--convention d2l: " in hint
    ours = {f"W_{k}": wf[f"W{k}"] for k in "figo"} | {f"U_{k}": wh[f"Wh{k}"] for k in "figo"}
    assert read(ours).convention == "split"


@pytest.mark.parametrize("names", [("W_{}", "U_{}", "b_{}"), ("W{}", "Wh{}", "b{}")])
def test_plain_numbers_stand_for_one_by_one(names: tuple[str, str, str]) -> None:
    """With H = I = 1 a number is a 1 × 1 matrix or a vector of one."""
    numbers = {
        name.format(k): round(0.1 * (n + 1) + 0.3 * m, 3)
        for m, name in enumerate(names) for n, k in enumerate("fico")
    }  # fmt: skip
    arrays = {
        name: [value] if name.startswith("b") else [[value]] for name, value in numbers.items()
    }
    one, other = read(numbers), read(arrays)
    assert one.input_size == one.first.hidden_size == 1
    x = np.array([[1.0], [-2.0], [3.0]])
    assert np.array_equal(run(one, x, [0.2], [-0.3]).output, run(other, x, [0.2], [-0.3]).output)


@pytest.mark.parametrize(
    "head", [{"Wy": (4, H), "by": (4, 1)}, {"W_hq": (H, 4), "b_q": (4,)}, {"fc.weight": (4, H)}]
)
def test_a_head_is_named_and_not_run(head: dict[str, tuple[int, ...]]) -> None:
    """What stands after the LSTM by its name and shape is told; another stranger is refused."""
    extra = {name: np.ones(shape) for name, shape in head.items()}
    model = read(each_gate() | extra)
    np.testing.assert_allclose(h_of(model), EXPECTED, rtol=0, atol=1e-15)
    assert f"{', '.join(head)}: a head, not part of the LSTM, is not run" in model.assumptions
    with pytest.raises(InputError, match="has no 'Wz'"):
        read(each_gate() | {"Wz": np.ones((4, H))})


def test_what_the_run_time_adds_is_heeded_in_a_file() -> None:
    """forget_bias, clip and cell_clip beside the weights change the numbers and are told."""
    added = {"forget_bias": 1.5, "cell_clip": 0.25, "clip": 0.9}
    model = read(each_gate() | added)
    traits = traits_of(model.cell)
    assert traits is not None
    assert (traits.forget_bias, traits.cell_clip, traits.clip) == (1.5, 0.25, 0.9)
    assert sum("of the file" in each for each in model.assumptions) == 3
    plain = model_from_arrays(each_gate(), edit=Settings(1.5, 0.9, 0.25).edit)
    np.testing.assert_allclose(h_of(model), h_of(plain), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("key", "value"), [("clip", -1.0), ("cell_clip", np.inf), ("forget_bias", np.nan)]
)
def test_what_cannot_be_added_is_refused(key: str, value: float) -> None:
    """A clip below zero, or a number that is not finite, is not taken for none."""
    with pytest.raises(InputError, match=f"{key} is"):
        read(each_gate() | {key: value})


def test_lower_case_is_read_once_confirmed() -> None:
    """w_f … could be joined either way: both are shown with the option that reads them."""
    hint = asked(each_gate("w_{}"))
    assert "--convention joined: h = " in hint
    assert "--convention joined-xh: h = " in hint
    assert "--convention split: h = " in asked(split("w_{}", "u_{}"))


@pytest.mark.parametrize("arrays", [each_gate(turned=True), split("W_{}", "U_{}", turned=True)])
def test_turned_matrices_say_transpose(arrays: dict[str, Array]) -> None:
    """Shapes that fit once turned name the option, and shapes turned too often say so."""
    with pytest.raises(ShapeError) as caught:
        read(arrays)
    assert caught.value.lines.hint == "the matrices look transposed: --transpose"
    with pytest.raises(ShapeError) as caught:
        read(HASTE, "haste,transpose")
    assert caught.value.lines.hint == "they fit without --transpose"


@pytest.mark.parametrize(
    ("convention", "what"),
    [
        ("gates=ifg", "gates are i, f, g and o in some order, not 'ifg'"),
        ("joined=hh", "joined is hx or xh, not 'hh'"),
        ("joined,gates=ifgo", "convention joined has no place for gates=ifgo"),
        ("kears,transpose", "unknown convention 'kears'"),
        ("keras,twist", "unknown part 'twist' of a layout"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(convention: str, what: str) -> None:
    """Each wrong part of a layout by hand is named."""
    with pytest.raises(UsageError) as caught:
        convention_named(convention)
    assert caught.value.what == what


def test_gates_without_a_stack_are_refused_with_what_is_needed() -> None:
    """An order of gates needs a stack of four; without an order, names are needed."""
    with pytest.raises(InputError, match="no stack of four gates"):
        read({"p": np.ones((6, 2)), "q": np.ones((6, 3))}, "gates=ifgo")
    assert "--gates ifgo" in asked({"p": np.ones((8, 2)), "q": np.ones((8, 3))}, "transpose")


@pytest.mark.parametrize("row", CONVENTIONS.values(), ids=lambda row: row.name)
def test_every_stacked_layout_takes_another_order(row: Any) -> None:
    """A row changed by hand keeps its tensors and has the order that is said."""
    if row.order:
        assert convention_named(f"{row.name},gates=ogfi").order == "ogfi"
    else:
        with pytest.raises(LstmStepError):
            convention_named(f"{row.name},gates=ogfi")


def test_commands_take_a_layout_by_hand(tmp_path: Path) -> None:
    """run, batch, diagnose, inspect and convert read a file by the same options."""
    file, out = str(tmp_path / "w.npz"), str(tmp_path / "out.npz")
    np.savez(file, **{f"x{n}": v for n, v in enumerate(HASTE.values())})  # type: ignore[arg-type] # arrays by name
    by_hand = ("--gates", "igfo")
    given = ["--x", ";".join(",".join(map(repr, row)) for row in X.tolist()),
             "--h", "0.3,-0.2", "--c", "-0.4,0.6", "-w", file, *by_hand]  # fmt: skip
    result = call("run", *given, "--json").json
    np.testing.assert_allclose(result["output"], EXPECTED, rtol=0, atol=1e-15)
    assert result["weights"]["convention"] == "gates=igfo"
    assert any("by shape" in each for each in result["assumptions"])
    expected = "h=" + ",".join(map(repr, EXPECTED[-1]))
    assert call("diagnose", *given, "--expect", expected, "--json").json["verdict"] == "match"
    sample = {"x": X.tolist(), "h": H0.tolist(), "c": C0.tolist()}
    record = call("batch", "-", "-w", file, *by_hand, stdin=json.dumps(sample)).json
    np.testing.assert_allclose(record["h"], EXPECTED[-1], rtol=0, atol=1e-15)
    sample |= {"weights": file, "convention": "gates=igfo"}
    assert call("batch", "-", stdin=json.dumps(sample)).json["h"] == record["h"]
    assert call("inspect", file, *by_hand, "--json").json["lstms"][0]["hidden_size"] == H
    assert call("convert", file, out, "--to", "pytorch", *by_hand).code == 0
    np.testing.assert_allclose(h_of(read_weights(out)), EXPECTED, rtol=0, atol=1e-15)


def test_a_proposed_conversion_reads_the_file_as_it_was_read(tmp_path: Path) -> None:
    """What `diagnose` proposes for weights by hand has the options that describe them."""
    np.savez(tmp_path / "w.npz", **{n: v.T for n, v in HASTE.items()})  # type: ignore[arg-type] # arrays by name
    wrong = h_of(read(HASTE, "keras,gates=ifgo"))[-1]
    answer = call(
        "diagnose", "--x", ";".join(",".join(map(repr, row)) for row in X.tolist()),
        "--h", "0.3,-0.2", "--c", "-0.4,0.6", "-w", str(tmp_path / "w.npz"),
        "--gates", "igfo", "--transpose", "--expect", "h=" + ",".join(map(repr, wrong.tolist())),
    )  # fmt: skip
    proposed = " ".join(answer.out.replace("\\\n", " ").split())
    assert "fixed.npz --to" in proposed
    assert "--gates igfo --transpose" in proposed


PYTORCH = {
    "weight_ih_l0": filled((4 * H, I), 0.7, 0.1),
    "weight_hh_l0": filled((4 * H, H), 1.3, 0.5),
}


def test_two_lstms_without_a_name_are_not_chosen_between() -> None:
    """Of an LSTM in our names and one in PyTorch's, none is run until one is named."""
    both = each_gate() | PYTORCH
    with pytest.raises(InputError, match="the file has 2 LSTMs"):
        model_from_arrays(both)
    second = run(model_from_arrays(both, lstm="1"), X, H0, C0)
    assert np.array_equal(second.h, run(model_from_arrays(PYTORCH), X, H0, C0).h)


def test_what_stands_unused_beside_the_weights_is_named() -> None:
    """A bias by another name is not passed over; the layers of another folder are not told of."""
    model = model_from_arrays(PYTORCH | {"bias_l0": filled((4 * H,), 0.9, 2.0)})
    assert "bias_l0 beside its weights: not used" in model.assumptions
    named = {f"rnn.{name}": array for name, array in PYTORCH.items()}
    beside = {"fc.weight": filled((1, H), 0.9, 2.0), "embedding.weight": filled((9, I), 0.4, 0.0)}
    assert not any("not used" in each for each in model_from_arrays(named | beside).assumptions)


def test_a_missing_tensor_is_named_in_its_layer() -> None:
    """A stack without its second recurrent matrix says which name that has, and which are there."""
    second = {f"{name[:-1]}1": each for name, each in PYTORCH.items()} | {
        "weight_ih_l1_reverse": filled((4 * H, 2 * H), 0.4, 0.3)
    }
    del second["weight_hh_l1"]
    backward = {f"{name}_reverse": each for name, each in PYTORCH.items()}
    with pytest.raises(InputError) as caught:
        model_from_arrays(PYTORCH | backward | second)
    assert "weight_hh_l1 is missing" in str(caught.value)
    assert "{" not in str(caught.value)


@pytest.mark.parametrize("order", ["IGFO", "i,g,f,o", "i c f o", "ijfo"])
def test_an_order_of_gates_is_read_as_it_is_written(order: str, tmp_path: Path) -> None:
    """Capitals, commas, blanks, and TensorFlow's j or Keras' c for the candidate."""
    np.savez(tmp_path / "w.npz", **HASTE)
    np.savetxt(tmp_path / "x.csv", X, delimiter=",", fmt="%r")
    answer = call("-w", tmp_path / "w.npz", "--x", f"@{tmp_path / 'x.csv'}", "--gates", order,
                  "--h", "0.3,-0.2", "--c=-0.4,0.6", "--json")  # fmt: skip
    np.testing.assert_allclose(answer.json["output"], EXPECTED, atol=1e-12)


def test_integers_of_few_bits_are_named() -> None:
    """Quantised weights without their scale are taken as they are, and that is said; int64 is not."""
    eight = {name: np.round(array * 100).astype(np.int8) for name, array in each_gate().items()}
    told = [each for each in model_from_arrays(eight).assumptions if "int8" in each]
    assert len(told) == 1
    assert "without a scale" in told[0]
    wide = {name: array.astype(np.int64) for name, array in eight.items()}
    assert not any("scale" in each for each in model_from_arrays(wide).assumptions)


@pytest.mark.parametrize("hidden", [2, 4, 8])
def test_a_gru_is_told_as_one(hidden: int) -> None:
    """Three gates are no swapped matrices: the hint names the GRU whatever its sizes are."""
    gru = {"weight_ih_l0": filled((3 * hidden, I), 0.7, 0.1),
           "weight_hh_l0": filled((3 * hidden, hidden), 1.3, 0.5)}  # fmt: skip
    with pytest.raises(ShapeError) as caught:
        model_from_arrays(gru)
    assert "a GRU" in caught.value.lines.hint
    assert "swapped" not in caught.value.lines.hint
