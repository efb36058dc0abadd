"""The mistakes people make with LSTMs: none of them passes for the truth in our golden numbers.

The catalogue is that of the project's reference (73 mistakes seen in published code and in
questions). Each is written as an edit of the table or a change of weights, states or sequence and
run against goldens that PyTorch and ONNX Runtime made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.cell.cells import Cell, cell_named, with_cell_clip, with_clip, with_forget_bias
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.engine.run import run
from lstm_cli.mistakes.catalogue import MISTAKES
from lstm_cli.mistakes.variant_run import Cache, variant_of
from tests.cases import GOLDEN, Case, golden_cases, witness_case
from tests.conftest import random_inputs, random_weights

CASES = {case.id: case for case in golden_cases()}
PLAIN = CASES["torch_live/torch-1-layer"]
BIDIRECTIONAL = CASES["torch_live/torch-2-layers-bidirectional"]
PEEPHOLE = CASES["onnxruntime_live/ort-peephole"]
CLIP = CASES["onnxruntime_live/ort-clip"]
HARD = CASES["onnxruntime_live/ort-hardsigmoid-scaledtanh-leakyrelu"]

Arrays = dict[str, Array]


def edited(case: Case = PLAIN, **rows: str) -> float:
    """Return how far a case ends from its golden numbers when rows are edited."""
    cell = case.cell.edit(rows, name="mistake", title="")
    used = cell.parameters
    pruned = case.with_arrays(lambda arrays: {k: v for k, v in arrays.items() if k in used})
    return case.difference(pruned.run(cell))


def each_gate(text: str, gates: str = "figo") -> dict[str, str]:
    return {f"z_{k}": text.replace("{k}", k) for k in gates}


def reweighted(change: Callable[[Arrays], Arrays], case: Case = PLAIN) -> float:
    return case.difference(case.with_arrays(change).run())


def raw_arrays(case: Case) -> tuple[Array, Array, Array, Array]:
    """Return a golden file's own W, U, b_W and b_U of the one-layer PyTorch case."""
    document = json.loads((GOLDEN / "torch_live.json").read_text())
    raw = next(c for c in document["cases"] if case.id.endswith(c["id"]))["layers"][0][0]
    return tuple(np.array(raw[key]) for key in ("W", "U", "b_W", "b_U"))  # type: ignore[return-value] # four of them


def from_stacks(W: Array, U: Array, b: Array, cut: Callable[[Array], list[Array]]) -> float:
    """Return the difference when stacks are cut into gates i f g o by `cut`."""
    parts = {k: v for k, *v in zip("ifgo", cut(W), cut(U), cut(b), strict=True)}
    arrays = {}
    for k, (w, u, bias) in parts.items():
        arrays |= {f"W_{k}": np.hstack([u, w]), f"b_{k}": bias}
    return reweighted(lambda _: arrays)


def blocks(stack: Array) -> list[Array]:
    return np.split(stack, 4)


def permuted(order: tuple[str, ...]) -> Callable[[Arrays], Arrays]:
    """Return a change that reads the blocks of gates i f g o in another order."""

    def change(arrays: Arrays) -> Arrays:
        return {
            f"{kind}_{new}": arrays[f"{kind}_{old}"]
            for kind in "Wb"
            for old, new in zip("ifgo", order, strict=True)
        }

    return change


def split(array: Array) -> tuple[Array, Array]:
    """Return the blocks of a joined W_k for h_prev and for x."""
    return array[:, : len(array)], array[:, len(array) :]


def remade(change: Callable[[Array, Array], tuple[Array, Array]]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {
        name: np.hstack(change(*split(array))) if name.startswith("W") else array
        for name, array in arrays.items()
    }


def rerun(x: Array | None = None, h: Array | None = None, c: Array | None = None) -> float:
    """Return the difference when other inputs or states are run."""
    case = replace(
        PLAIN,
        x=PLAIN.x if x is None else x,
        h=PLAIN.h if h is None else h,
        c=PLAIN.c if c is None else c,
    )
    return PLAIN.difference(case.run())


def fold(restart: Callable[[Array, Array], tuple[Array, Array]]) -> float:
    """Return the difference when states pass through `restart` between the steps."""
    assert PLAIN.h is not None
    assert PLAIN.c is not None
    h, c, outputs = PLAIN.h[0], PLAIN.c[0], []
    for t in range(PLAIN.x.shape[1]):
        trace = run(PLAIN.model(), PLAIN.x[:, t : t + 1], h, c)
        outputs.append(trace.h)
        h, c = restart(trace.h, trace.c)
    return float(np.max(np.abs(np.stack(outputs, axis=1) - PLAIN.expected["output"])))


def biases(change: Callable[[Array, Array], Array]) -> float:
    W, U, b_x, b_h = raw_arrays(PLAIN)
    return from_stacks(W, U, change(b_x, b_h), blocks)


def _zeros(case: Case) -> Case:
    return replace(case, h=None, c=None)


def _peepholes_exchanged(arrays: Arrays) -> Arrays:
    return arrays | {"p_f": arrays["p_o"], "p_o": arrays["p_f"]}


def _interleaved(stack: Array) -> list[Array]:
    return [stack[k::4] for k in range(4)]


def _reshaped(W: Array) -> Array:
    return W.T.reshape(W.shape)


def _cell(edit: Callable[[Cell], Cell], case: Case) -> float:
    return case.difference(case.run(edit(case.cell)))


def _swap_directions(case: Case) -> float:
    layers = tuple(
        {"forward": each["backward"], "backward": each["forward"]} for each in case.layers
    )
    return case.difference(replace(case, layers=layers).run())


def mistakes() -> Iterator[tuple[str, Callable[[], float]]]:
    """Yield (name, how far the mistake ends from the golden numbers)."""
    outside = {k: f"sigmoid(z_{k} - b_{k}) + b_{k}" for k in "fio"}
    yield "01 bias outside the activation", lambda: edited(**outside, g="tanh(z_g - b_g) + b_g")
    # 02 needs I = H; there the whole product is replaced by h + x.
    product = "(W_{k} @ [h_prev, 0 * x]) * (W_{k} @ [0 * h_prev, x]) + b_{k}"
    yield "04 product of projections", lambda: edited(**each_gate(product))
    yield (
        "05 [x, h] for [h, x]",
        lambda: reweighted(
            lambda a: {n: np.roll(v, 3, axis=1) if n[0] == "W" else v for n, v in a.items()}
        ),
    )
    for order in permutations("ifgo"):
        if order != tuple("ifgo"):
            change = permuted(order)
            yield f"06-28 gates read as {''.join(order)}", lambda c=change: reweighted(c)  # type: ignore[misc] # the loop's own value
    yield "29 U transposed", lambda: reweighted(remade(lambda u, w: (u.T, w)))
    W, U, b_x, b_h = raw_arrays(PLAIN)
    yield "30 reshaped, not transposed", lambda: from_stacks(_reshaped(W), U, b_x + b_h, blocks)
    yield "31 interleaved gates", lambda: from_stacks(W, U, b_x + b_h, _interleaved)
    yield "32 recurrent bias forgotten", lambda: biases(lambda x, h: x)
    yield "33 bias counted twice", lambda: biases(lambda x, h: 2 * (x + h))
    yield "34 x bias for both", lambda: biases(lambda x, h: 2 * x)
    yield "35 no bias", lambda: biases(lambda x, h: 0 * x)
    yield "36 forget bias added", lambda: _cell(lambda c: with_forget_bias(c, 1), PLAIN)
    yield "37 forget bias omitted", lambda: _cell(lambda c: with_forget_bias(c, -1), PLAIN)
    yield "38 forget bias after sigmoid", lambda: edited(f="old + 1")
    hard = {k: f"hard_sigmoid(z_{k})" for k in "fio"}
    yield "39 hard sigmoid 0.2", lambda: edited(**hard)
    yield "40 hard sigmoid 1/6", lambda: edited(**{k: f"hard_sigmoid_6(z_{k})" for k in "fio"})
    yield "41 sigmoid candidate", lambda: edited(g="sigmoid(z_g)")
    yield "42 no activation on candidate", lambda: edited(g="z_g")
    yield "43 relu for candidate and output", lambda: edited(g="relu(z_g)", h="o * relu(c)")
    yield "44 tanh gates", lambda: edited(**{k: f"tanh(z_{k})" for k in "fio"})
    yield "45 no tanh on c", lambda: edited(h="o * c")
    yield "46 sigmoid on c", lambda: edited(h="o * sigmoid(c)")
    yield "47 tanh in the stored c", lambda: edited(c="tanh(old)")
    yield "48 h from the old c", lambda: edited(h="o * tanh(c_prev)")
    yield "49 h = o + tanh(c)", lambda: edited(h="o + tanh(c)")
    yield "50 input gate dropped", lambda: edited(c="f * c_prev + g")
    yield "51 no forget gate", lambda: edited(c="c_prev + i * g")
    yield "52 f = 1 - i", lambda: edited(f="1 - i")
    yield "53 i = 1 - f", lambda: edited(i="1 - f")
    yield "54 GRU-like", lambda: edited(c="(1 - f) * c_prev + i * g")
    yield "55 sum for product", lambda: edited(c="f * c_prev + i + g")
    yield "56 forget gate outside", lambda: edited(c="f * (c_prev + i * g)")
    yield "57 c in place of h", lambda: edited(**each_gate("W_{k} @ [c_prev, x] + b_{k}"))
    yield "58 U forgotten", lambda: edited(**each_gate("W_{k} @ [0 * h_prev, x] + b_{k}"))
    yield "58 h not carried", lambda: fold(lambda h, c: (0 * h, c))
    yield "59 states reset", lambda: fold(lambda h, c: (0 * h, 0 * c))
    yield "60 initial state ignored", lambda: PLAIN.difference(_zeros(PLAIN).run())
    yield "61 h0 and c0 exchanged", lambda: rerun(h=PLAIN.c, c=PLAIN.h)
    yield "62 time reversed", lambda: rerun(x=PLAIN.x[:, ::-1])
    yield "63 off by one step", lambda: rerun(x=np.roll(PLAIN.x, -1, axis=1))
    yield (
        "64 batch and time exchanged",
        lambda: rerun(x=PLAIN.x.transpose(1, 0, 2).reshape(PLAIN.x.shape)),
    )
    yield (
        "65 peephole o on old c",
        lambda: edited(PEEPHOLE, z_o="W_o @ [h_prev, x] + b_o + p_o * c_prev"),
    )
    yield (
        "65 peephole f, i on new c: in a circle, so on tanh",
        lambda: edited(PEEPHOLE, z_f="W_f @ [h_prev, x] + b_f + p_f * tanh(c_prev)"),
    )
    yield (
        "66 peephole after the sigmoid",
        lambda: edited(PEEPHOLE, o="sigmoid(z_o - p_o * c) + p_o * c"),
    )
    yield "67 peephole order", lambda: reweighted(_peepholes_exchanged, PEEPHOLE)
    yield "68 no clip", lambda: CLIP.difference(CLIP.run(PLAIN.cell))
    yield (
        "68 cell clip for clip",
        lambda: CLIP.difference(CLIP.run(with_cell_clip(PLAIN.cell, 0.4))),
    )
    yield "68 clip not asked for", lambda: _cell(lambda c: with_clip(c, 0.4), PLAIN)
    yield (
        "69 hard sigmoid of Keras 3 for 2",
        lambda: edited(HARD, **{k: f"hard_sigmoid_6(z_{k})" for k in "fio"}),
    )
    yield (
        "70 float32",
        lambda: PLAIN.difference(run(PLAIN.model(), PLAIN.x, PLAIN.h, PLAIN.c, dtype=np.float32)),
    )
    yield "71 cell saturates early", lambda: _cell(lambda c: with_cell_clip(c, 0.5), PLAIN)
    yield "72 directions exchanged", lambda: _swap_directions(BIDIRECTIONAL)
    yield (
        "73 states by (direction, layer)",
        lambda: BIDIRECTIONAL.difference(
            replace(
                BIDIRECTIONAL,
                h=np.asarray(BIDIRECTIONAL.h)[[0, 2, 1, 3]],
                c=np.asarray(BIDIRECTIONAL.c)[[0, 2, 1, 3]],
            ).run()
        ),
    )
    yield "autograd's sigmoid(2x)", lambda: edited(**{k: f"sigmoid(2 * z_{k})" for k in "fio"})


ALL = list(mistakes())


@pytest.mark.parametrize(("name", "departure"), ALL, ids=[name for name, _ in ALL])
def test_no_mistake_passes(name: str, departure: Callable[[], float]) -> None:
    """The mistake ends further from the golden numbers than their tolerance."""
    limit = {"70": 1e-12}.get(name[:2], 1e-4)
    assert departure() > limit


def test_addition_for_concatenation_is_seen() -> None:
    """02, W dropped and σ(h + x): right for the identity preset only, wrong for other weights."""
    cell = witness_case("lstm").cell
    weights = random_weights(cell, inputs=4, hidden=4)
    x, h, c = random_inputs(weights)
    right = run(Model.single(weights), x, h, c)
    mixed = cell.edit({"z_f": "h_prev + x"}, name="mistake", title="")
    kept = {name: array for name, array in weights.arrays.items() if name in mixed.parameters}
    departed = run(Model.single(LstmWeights(mixed, kept)), x, h, c)
    assert np.max(np.abs(departed.output - right.output)) > 1e-2


def test_product_for_matmul_is_seen() -> None:
    """03, an elementwise product in place of the matrix product: only W's diagonal acts."""
    change = remade(lambda u, w: (np.diag(np.diag(u)), w))
    assert reweighted(change) > 1e-2


@pytest.mark.parametrize(("rows", "passed_over", "made"), [
    ({"c": "i * c_prev + f * g"},
     ["forget-bias-added", "forget-bias-omitted", "coupled-forget", "coupled-input"],
     ["tanh-gates", "linear-candidate", "u-ignored", "no-output-gate"]),
    ({"c": "(1 - f) * c_prev + i * g"}, ["coupled-forget", "coupled-input", "gru-like"],
     ["forget-bias-added", "no-input-gate", "tanh-gates"]),
    ({"c": "f * c_prev + g * i", "i": "tanh(z_i)", "g": "sigmoid(z_g)"},
     ["linear-candidate", "relu-candidate", "tanh-gates", "no-input-gate"],
     ["forget-bias-added", "u-ignored"]),
], ids=str)  # fmt: skip
def test_a_row_is_made_only_where_it_is_true(
    rows: dict[str, str], passed_over: list[str], made: list[str]
) -> None:
    """Nobody is said to have added a forget bias where f is no forget gate."""
    cell = cell_named("lstm").edit(rows, name="own", title="")
    model = Model.single(random_weights(cell))
    x, h, c = random_inputs(model.first, 3)
    right = variant_of(model, x).with_inputs(x, (h,), (c,))
    applies = {name: MISTAKES[name].change(right, Cache()) is not None
               for name in (*passed_over, *made)}  # fmt: skip
    assert applies == dict.fromkeys(passed_over, False) | dict.fromkeys(made, True)
