"""Mistakes in the weights: blocks transposed, split or stacked wrongly, biases lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import permutations

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.mistakes.variant_run import Cache, GateWeights, Mistake, Reweigh, WeightsChange

# Our canonical stacking order, that of PyTorch, Keras and most others.
STACK = "ifgo"

Block = Callable[[Array], Array]
# Of a bias and its recurrent part, if known; None if it does not apply.
BiasChange = Callable[[Array, Array | None], Array | None]


def each_matrix(recurrent: Block | None, inputs: Block | None, square: str = "") -> WeightsChange:
    """Return a change to U_k and W_k of every gate, each on its own.

    Args:
        recurrent, inputs: applied to U_k (H, P) and to W_k (H, I); None leaves it unchanged.
        square: which must be square: "U", "W" or both.
    """

    def change(weights: GateWeights, cache: Cache) -> GateWeights | None:
        made = {}
        for k in weights.letters:
            joined = weights.arrays[f"W_{k}"]
            sides = {"U": weights.wide, "W": joined.shape[1] - weights.wide}
            if any(sides[each] != len(joined) for each in square):
                return None
            made[f"W_{k}"] = cache.get(change, partial(_both, weights.wide), joined)
        return weights.with_arrays(made)

    def _both(wide: int, joined: Array) -> Array:
        u, w = joined[:, :wide], joined[:, wide:]
        return np.hstack([recurrent(u) if recurrent else u, inputs(w) if inputs else w])

    return change


def _reread(block: Array) -> Array:
    """Reinterpret the buffer of a block's transpose as a block (rows, columns)."""
    return np.ascontiguousarray(block.T).reshape(block.shape)


def each_bias(change: BiasChange) -> WeightsChange:
    """Return a change to every gate's bias: the sum and its recurrent part."""

    def changed(weights: GateWeights, cache: Cache) -> GateWeights | None:
        made = {}
        for k in weights.letters:
            whole, part = weights.arrays[f"b_{k}"], weights.recurrent.get(k)
            new = cache.get(changed, change, whole, part)
            if new is None:
                return None
            made[f"b_{k}"] = new
        return weights.with_arrays(made)

    return changed


def with_two(change: Callable[[Array, Array], Array]) -> BiasChange:
    """Return a change to b_x and b_h, for layouts that store both."""
    return lambda whole, part: None if part is None else change(whole - part, part)


def permuted(order: str, weights: GateWeights, cache: Cache) -> GateWeights | None:
    """Return the weights as if their stack i f g o had been read in another order."""
    if set(weights.letters) != set(STACK):
        return None
    moved = dict(zip(order, STACK, strict=True))
    arrays = {f"{kind}_{to}": weights.arrays[f"{kind}_{own}"]
              for to, own in moved.items() for kind in "Wb"}  # fmt: skip
    recurrent = {
        to: weights.recurrent[own] for to, own in moved.items() if own in weights.recurrent
    }
    return replace(weights.with_arrays(arrays), recurrent=recurrent)


def restacked(
    cut: Callable[[Array], list[Array]], weights: GateWeights, cache: Cache
) -> GateWeights | None:
    """Return the weights with their stacks (4H, …) of gates i f g o split by `cut`."""
    if set(weights.letters) != set(STACK):
        return None
    stacks = {kind: np.concatenate([weights.arrays[f"{kind}_{k}"] for k in STACK]) for kind in "Wb"}
    arrays = {f"{kind}_{k}": block
              for kind, stack in stacks.items()
              for k, block in zip(STACK, cut(stack), strict=True)}  # fmt: skip
    recurrent = {}
    if len(weights.recurrent) == len(STACK):
        stack = np.concatenate([weights.recurrent[k] for k in STACK])
        recurrent = dict(zip(STACK, cut(stack), strict=True))
    return replace(weights.with_arrays(arrays), recurrent=recurrent)


def _every_fourth(stack: Array) -> list[Array]:
    return [np.ascontiguousarray(stack[k::4]) for k in range(4)]


def _unit_major(stack: Array) -> list[Array]:
    """Split a stack into blocks as if its major axis were units instead of gates."""
    height = len(stack) // 4
    order = np.arange(len(stack)).reshape(4, height).T.ravel()  # row 4u + k is gate k, unit u
    return np.split(stack[order], 4)


def _whole_stack_reread(both: bool) -> WeightsChange:
    """Return a change that reinterprets the buffer of the transposed stack."""

    def change(weights: GateWeights, cache: Cache) -> GateWeights | None:
        def cut(stack: Array) -> list[Array]:
            if stack.ndim == 1:
                return np.split(stack, 4)
            u, w = stack[:, : weights.wide], stack[:, weights.wide :]
            return np.split(np.hstack([_reread(u) if both else u, _reread(w)]), 4)

        return restacked(cut, weights, cache)

    return change


def _peepholes(exchange: str) -> WeightsChange:
    one, other = (f"p_{k}" for k in exchange)

    def change(weights: GateWeights, cache: Cache) -> GateWeights | None:
        there = weights.arrays
        if one not in there or other not in there:
            return None
        return weights.with_arrays({one: there[other], other: there[one]})

    return change


def _order_row(order: str, number: int) -> Mistake:
    return Mistake(
        f"gates-{order}",
        f"a stack of gates in order i f g o is read as {' '.join(order)}",
        Reweigh(partial(permuted, order)),
        "Every gate works, but with another's weights: the shapes still match.",
        "Frameworks stack the gates in eight different orders.",
        "read the weights in their own order, or convert them: `lstm-step convert`",
        "tensorflow issue 29622; CrispStrobe/CrispASR pull 106; and some twenty other threads",
        formula=", ".join(
            f"{new} uses {own}'s weights"
            for new, own in zip(order, STACK, strict=True)
            if new != own
        ),
        numbers=(number,), kind="order",
    )  # fmt: skip


ORDERS = tuple(
    _order_row("".join(order), 5 + place)  # the first permutation is the right order itself
    for place, order in enumerate(permutations(STACK))
    if place
)

ROWS = (
    Mistake(
        "recurrent-bias-forgotten", "only the input bias is used; the recurrent one is lost",
        Reweigh(each_bias(with_two(lambda x, h: x))),
        "It shows wherever bias_hh is not 0.",
        "PyTorch, ONNX and MXNet store two biases, Keras and most others one.",
        "add the two: b = b_ih + b_hh", "PyTorch to Keras: discuss.pytorch.org 110741",
        formula="b_k = b_x", numbers=(32,), kind="bias",
    ),
    Mistake(
        "input-bias-forgotten", "only the recurrent bias is used; the input bias is lost",
        Reweigh(each_bias(with_two(lambda x, h: h))),
        "It shows wherever bias_ih is not 0.", "The second bias overwrites the first.",
        "add the two: b = b_ih + b_hh", "google/flax issue 3746", formula="b_k = b_h", kind="bias",
    ),
    Mistake(
        "input-bias-twice", "the input bias is used for both",
        Reweigh(each_bias(with_two(lambda x, h: 2 * x))),
        "It shows wherever the two differ.", "A variable name copied and not changed.",
        "b = b_ih + b_hh", "the project's catalogue", formula="b_k = 2 b_x", numbers=(34,),
        kind="bias",
    ),
    Mistake(
        "recurrent-bias-twice", "the recurrent bias is used for both",
        Reweigh(each_bias(with_two(lambda x, h: 2 * h))),
        "It shows wherever the two differ.", "A variable name copied and not changed.",
        "b = b_ih + b_hh", "as input-bias-twice", formula="b_k = 2 b_h", kind="bias",
    ),
    Mistake(
        "bias-twice", "the bias is counted twice",
        Reweigh(each_bias(lambda whole, part: 2 * whole)),
        "It shows wherever b is not 0.",
        "The sum b_ih + b_hh is stored in both places, or code adds b with x and again with h.",
        "add it once; set the second bias to 0",
        "lisa-lab/DeepLearningTutorials issue 81; kelvinxu/arctic-captions issue 7",
        formula="b_k = 2 b_k", numbers=(33,), kind="bias",
    ),
    Mistake(
        "no-bias", "no bias is used",
        Reweigh(each_bias(lambda whole, part: np.zeros_like(whole))),
        "It shows wherever b is not 0.", "use_bias=False, or a file without its biases.",
        "load the biases", "the project's catalogue", formula="b_k = 0", numbers=(35,),
        kind="bias",
    ),
    Mistake(
        "u-transposed", "the recurrent matrix is transposed",
        Reweigh(each_matrix(np.transpose, None, "U")),
        "It is square: shapes still match. From a zero state, it first shows at the second step.",
        "The layouts of cuDNN and Deeplearning4j; (in, out) versus (out, in).",
        "transpose U_k of each gate", "forums.developer.nvidia.com 110569",
        formula="z_k = W_k x + U_kᵀ h_prev + b_k", numbers=(29,), kind="weights",
    ),
    Mistake(
        "w-transposed", "the input matrix is transposed",
        Reweigh(each_matrix(None, np.transpose, "W")),
        "With I = H it is square, so the shapes still match.", "(in, out) versus (out, in).",
        "transpose W_k of each gate", "Keras and PyTorch ports",
        formula="z_k = W_kᵀ x + U_k h_prev + b_k", kind="weights",
    ),
    Mistake(
        "both-transposed", "both matrices are transposed",
        Reweigh(each_matrix(np.transpose, np.transpose, "UW")),
        "With I = H both are square, so the shapes still match.", "(in, out) versus (out, in).",
        "transpose W_k and U_k of each gate", "Keras and PyTorch ports",
        formula="z_k = W_kᵀ x + U_kᵀ h_prev + b_k", kind="weights",
    ),
    Mistake(
        "kernel-reshaped", "the input kernel is reshaped instead of transposed",
        Reweigh(each_matrix(None, _reread)),
        "The shape comes out right, but the numbers are in the wrong places.",
        "reshape used for .T; cuDNN's buffers in Keras store each gate transposed.",
        "transpose it: w.T", "keras-team/keras saving.py, _convert_rnn_weights",
        formula="W_k = reshape(W_kᵀ)", numbers=(30,), kind="weights",
    ),
    Mistake(
        "kernels-reshaped",
        "both kernels are reshaped gate by gate instead of transposed",
        Reweigh(each_matrix(_reread, _reread)),
        "The shapes come out right, but the numbers are in the wrong places.",
        "reshape used for .T; cuDNN's buffers.", "transpose them: w.T",
        "keras-team/keras saving.py, _convert_rnn_weights",
        formula="W_k = reshape(W_kᵀ), U_k = reshape(U_kᵀ)", numbers=(30,), kind="weights",
    ),
    Mistake(
        "stack-reshaped", "the stack of input kernels is reshaped instead of transposed",
        Reweigh(_whole_stack_reread(False)),
        "The shape comes out right, but the numbers are in the wrong places.",
        "An (in, 4H) kernel is loaded as (4H, in) by reshape.", "transpose it: kernel.T",
        "Keras to PyTorch ports", formula="W = reshape(Wᵀ)", numbers=(30,), kind="weights",
    ),
    Mistake(
        "stacks-reshaped", "both stacks of kernels are reshaped instead of transposed",
        Reweigh(_whole_stack_reread(True)),
        "The shapes come out right, but the numbers are in the wrong places.",
        "(in, 4H) kernels are loaded as (4H, in) by reshape.", "transpose them: kernel.T",
        "Keras to PyTorch ports", formula="W = reshape(Wᵀ), U = reshape(Uᵀ)", numbers=(30,),
        kind="weights",
    ),
    Mistake(
        "gates-interleaved", "blocks of gates are read as if interleaved unit by unit",
        Reweigh(partial(restacked, _every_fourth)),
        "Each gate gets rows of all four.", "Chainer keeps the gates of a unit side by side.",
        "split the stack into four blocks of H rows", "chainer _extract_gates",
        formula="z_k = z[k::4]", numbers=(31,), kind="order",
    ),
    Mistake(
        "gates-deinterleaved", "interleaved gates are read as if they were four blocks",
        Reweigh(partial(restacked, _unit_major)),
        "Each gate gets rows of all four.", "Chainer keeps the gates of a unit side by side.",
        "take every fourth row", "chainer _extract_gates", formula="z_k = z.reshape(H, 4)[:, k]",
        numbers=(31,), kind="order",
    ),
    Mistake(
        "elementwise-product", "W and U are multiplied elementwise: only their diagonals count",
        Reweigh(each_matrix(lambda u: np.diag(np.diag(u)), lambda w: np.diag(np.diag(w)), "UW")),
        "Needs I = H. Each unit sees only itself.", "np.multiply instead of np.dot.",
        "use the matrix product: W @ x", "community.deeplearning.ai thread 41544",
        formula="z_k = diag(W_k) * x + diag(U_k) * h_prev + b_k", numbers=(3,), kind="weights",
    ),
    *(
        Mistake(
            f"peepholes-{pair}-exchanged",
            f"the peepholes of {pair[0]} and {pair[1]} are swapped",
            Reweigh(_peepholes(pair)),
            "The shapes still match.", "ONNX stores them as i o f, Core ML as i f o.",
            "read the peepholes in their own order", "ONNX LSTM, P = [i, o, f]",
            formula=f"p_{pair[0]} = p_{pair[1]}, p_{pair[1]} = p_{pair[0]}", numbers=(67,),
            kind="order",
        )
        for pair in ("fo", "fi", "io")
    ),
)  # fmt: skip
