"""Mistakes in the weights: blocks transposed, split or stacked wrongly, biases lost or doubled.

Those of reading one framework's weights as another's follow from the table of conventions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from itertools import permutations
from typing import NamedTuple

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import shortest, with_sign
from lstm_cli.formats.conventions import CONVENTIONS, Convention
from lstm_cli.mistakes.variant_run import (
    Cache,
    Change,
    GateWeights,
    Mistake,
    WeightsChange,
    edits,
    in_turn,
    reweighed,
)

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
        joined = {f"W_{k}": weights.arrays[f"W_{k}"] for k in weights.letters}
        height, width = next(iter(joined.values())).shape
        sides = {"U": weights.wide, "W": width - weights.wide}
        if any(sides[each] != height for each in square):
            return None
        both = partial(_both, weights.wide)
        return weights.with_arrays({k: cache.get(change, both, own) for k, own in joined.items()})

    def _both(wide: int, joined: Array) -> Array:
        u, w = joined[:, :wide], joined[:, wide:]
        return np.hstack([recurrent(u) if recurrent else u, inputs(w) if inputs else w])

    return change


def reread(block: Array) -> Array:
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
    cut: Callable[[Array], list[Array]], weights: GateWeights, cache: Cache, written: str = STACK,
    read: str = STACK,
) -> GateWeights | None:  # fmt: skip
    """Return the weights with their stacks (4H, …), in one order of gates, `cut` for another."""
    if set(weights.letters) != set(STACK):
        return None

    def again(gates: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(read, cut(np.concatenate([gates[k] for k in written])), strict=True))

    arrays = dict[str, Array]()
    for kind in "Wb":
        blocks = again({k: weights.arrays[f"{kind}_{k}"] for k in STACK})
        arrays |= {f"{kind}_{k}": block for k, block in blocks.items()}
    recurrent = again(weights.recurrent) if len(weights.recurrent) == len(STACK) else {}
    return replace(weights.with_arrays(arrays), recurrent=recurrent)


def _every_fourth(stack: Array) -> list[Array]:
    return [np.ascontiguousarray(stack[k::4]) for k in range(4)]


def _interleaved(stack: Array) -> Array:
    """Order the rows of a stack by unit instead of by gate: row 4u + k is gate k, unit u."""
    return np.stack(np.split(stack, 4), axis=1).reshape(stack.shape)


def _stacks_reread(both: bool, weights: GateWeights, cache: Cache) -> GateWeights | None:
    """Reinterpret the buffer of the transposed stack of W, or of both."""

    def cut(stack: Array) -> list[Array]:
        if stack.ndim == 1:
            return np.split(stack, 4)
        u, w = stack[:, : weights.wide], stack[:, weights.wide :]
        return np.split(np.hstack([reread(u) if both else u, reread(w)]), 4)

    return restacked(cut, weights, cache)


def _peepholes(exchange: str, weights: GateWeights, cache: Cache) -> GateWeights | None:
    one, other = (f"p_{k}" for k in exchange)
    there = weights.arrays
    if one not in there or other not in there:
        return None
    return weights.with_arrays({one: there[other], other: there[one]})


ORDERS = tuple(
    Mistake(
        f"gates-{''.join(order)}",
        f"a stack of gates in order i f g o is read as {' '.join(order)}",
        reweighed(partial(permuted, "".join(order))),
        "Every gate works, but with another's weights: the shapes still match.",
        "Frameworks stack the gates in eight different orders.",
        "read the weights in their own order, or convert them: `lstm-step convert`",
        "tensorflow issue 29622; CrispStrobe/CrispASR pull 106; and some twenty other threads",
        formula=", ".join(f"{new} uses {own}'s weights"
                          for new, own in zip(order, STACK, strict=True) if new != own),
        numbers=(number,), kind="order",
    )
    for number, order in enumerate(permutations(STACK), 5)
    if order != tuple(STACK)
)  # fmt: skip

ROWS = (
    Mistake(
        "recurrent-bias-forgotten", "only the input bias is used; the recurrent one is lost",
        reweighed(each_bias(with_two(lambda x, h: x))),
        "It shows wherever bias_hh is not 0.",
        "PyTorch, ONNX and MXNet store two biases, Keras and most others one.",
        "add the two: b = b_ih + b_hh", "PyTorch to Keras: discuss.pytorch.org 110741",
        formula="b_k = b_x", numbers=(32,), kind="bias",
    ),
    Mistake(
        "input-bias-forgotten", "only the recurrent bias is used; the input bias is lost",
        reweighed(each_bias(with_two(lambda x, h: h))),
        "It shows wherever bias_ih is not 0.", "The second bias overwrites the first.",
        "add the two: b = b_ih + b_hh", "google/flax issue 3746", formula="b_k = b_h", kind="bias",
    ),
    Mistake(
        "input-bias-twice", "the input bias is used for both",
        reweighed(each_bias(with_two(lambda x, h: 2 * x))),
        "It shows wherever the two differ.", "A variable name copied and not changed.",
        "b = b_ih + b_hh", formula="b_k = 2 b_x", numbers=(34,), kind="bias",
    ),
    Mistake(
        "recurrent-bias-twice", "the recurrent bias is used for both",
        reweighed(each_bias(with_two(lambda x, h: 2 * h))),
        "It shows wherever the two differ.", "A variable name copied and not changed.",
        "b = b_ih + b_hh", "as input-bias-twice", formula="b_k = 2 b_h", kind="bias",
    ),
    Mistake(
        "bias-twice", "the bias is counted twice",
        reweighed(each_bias(lambda whole, part: 2 * whole)),
        "It shows wherever b is not 0.",
        "The sum b_ih + b_hh is stored in both places, or code adds b with x and again with h.",
        "add it once; set the second bias to 0",
        "lisa-lab/DeepLearningTutorials issue 81; kelvinxu/arctic-captions issue 7",
        formula="b_k = 2 b_k", numbers=(33,), kind="bias",
    ),
    Mistake(
        "no-bias", "no bias is used",
        reweighed(each_bias(lambda whole, part: np.zeros_like(whole))),
        "It shows wherever b is not 0.", "use_bias=False, or a file without its biases.",
        "load the biases", formula="b_k = 0", numbers=(35,), kind="bias",
    ),
    Mistake(
        "u-transposed", "the recurrent matrix is transposed",
        reweighed(each_matrix(np.transpose, None, "U")),
        "It is square: shapes still match. From a zero state, it first shows at the second step.",
        "The layouts of cuDNN and Deeplearning4j; (in, out) versus (out, in).",
        "transpose U_k of each gate", "forums.developer.nvidia.com 110569",
        formula="z_k = W_k x + U_kᵀ h_prev + b_k", numbers=(29,), kind="weights",
    ),
    Mistake(
        "w-transposed", "the input matrix is transposed",
        reweighed(each_matrix(None, np.transpose, "W")),
        "With I = H it is square, so the shapes still match.", "(in, out) versus (out, in).",
        "transpose W_k of each gate", "Keras and PyTorch ports",
        formula="z_k = W_kᵀ x + U_k h_prev + b_k", kind="weights",
    ),
    Mistake(
        "both-transposed", "both matrices are transposed",
        reweighed(each_matrix(np.transpose, np.transpose, "UW")),
        "With I = H both are square, so the shapes still match.", "(in, out) versus (out, in).",
        "transpose W_k and U_k of each gate", "Keras and PyTorch ports",
        formula="z_k = W_kᵀ x + U_kᵀ h_prev + b_k", kind="weights",
    ),
    Mistake(
        "kernel-reshaped", "the input kernel is reshaped instead of transposed",
        reweighed(each_matrix(None, reread)),
        "The shape comes out right, but the numbers are in the wrong places.",
        "reshape used for .T; cuDNN's buffers in Keras store each gate transposed.",
        "transpose it: w.T", "keras-team/keras saving.py, _convert_rnn_weights",
        formula="W_k = reshape(W_kᵀ)", numbers=(30,), kind="weights",
    ),
    Mistake(
        "kernels-reshaped",
        "both kernels are reshaped gate by gate instead of transposed",
        reweighed(each_matrix(reread, reread)),
        "The shapes come out right, but the numbers are in the wrong places.",
        "reshape used for .T; cuDNN's buffers.", "transpose them: w.T",
        "keras-team/keras saving.py, _convert_rnn_weights",
        formula="W_k = reshape(W_kᵀ), U_k = reshape(U_kᵀ)", numbers=(30,), kind="weights",
    ),
    Mistake(
        "stack-reshaped", "the stack of input kernels is reshaped instead of transposed",
        reweighed(partial(_stacks_reread, False)),
        "The shape comes out right, but the numbers are in the wrong places.",
        "An (in, 4H) kernel is loaded as (4H, in) by reshape.", "transpose it: kernel.T",
        "Keras to PyTorch ports", formula="W = reshape(Wᵀ)", numbers=(30,), kind="weights",
    ),
    Mistake(
        "stacks-reshaped", "both stacks of kernels are reshaped instead of transposed",
        reweighed(partial(_stacks_reread, True)),
        "The shapes come out right, but the numbers are in the wrong places.",
        "(in, 4H) kernels are loaded as (4H, in) by reshape.", "transpose them: kernel.T",
        "Keras to PyTorch ports", formula="W = reshape(Wᵀ), U = reshape(Uᵀ)", numbers=(30,),
        kind="weights",
    ),
    Mistake(
        "gates-interleaved", "blocks of gates are read as if interleaved unit by unit",
        reweighed(partial(restacked, _every_fourth)),
        "Each gate gets rows of all four.", "Chainer keeps the gates of a unit side by side.",
        "split the stack into four blocks of H rows", "chainer _extract_gates",
        formula="z_k = z[k::4]", numbers=(31,), kind="order",
    ),
    Mistake(
        "gates-deinterleaved", "interleaved gates are read as if they were four blocks",
        reweighed(partial(restacked, lambda stack: np.split(_interleaved(stack), 4))),
        "Each gate gets rows of all four.", "Chainer keeps the gates of a unit side by side.",
        "take every fourth row", "chainer _extract_gates", formula="z_k = z.reshape(H, 4)[:, k]",
        numbers=(31,), kind="order",
    ),
    Mistake(
        "elementwise-product", "W and U are multiplied elementwise: only their diagonals count",
        reweighed(each_matrix(lambda u: np.diag(np.diag(u)), lambda w: np.diag(np.diag(w)), "UW")),
        "Needs I = H. Each unit sees only itself.", "np.multiply instead of np.dot.",
        "use the matrix product: W @ x", "community.deeplearning.ai thread 41544",
        formula="z_k = diag(W_k) * x + diag(U_k) * h_prev + b_k", numbers=(3,), kind="weights",
    ),
    *(
        Mistake(
            f"peepholes-{pair}-exchanged",
            f"the peepholes of {pair[0]} and {pair[1]} are swapped",
            reweighed(partial(_peepholes, pair)),
            "The shapes still match.", "ONNX stores them as i o f, Core ML as i f o.",
            "read the peepholes in their own order", "ONNX LSTM, P = [i, o, f]",
            formula=f"p_{pair[0]} = p_{pair[1]}, p_{pair[1]} = p_{pair[0]}", numbers=(67,),
            kind="order",
        )
        for pair in ("fo", "fi", "io")
    ),
)  # fmt: skip


# ---- one framework's weights read as another's, derived from `conventions` rather than listed

# Order of preference for names when several conventions share a layout.
_KNOWN_FIRST = ("pytorch", "keras", "onnx", "tf1-basic", "tflite", "keras-2.2", "openvino", "haiku",
                "mxnet", "caffe", "dl4j", "cntk", "chainer", "dynet")  # fmt: skip


class _Mix(NamedTuple):
    """Stacks written in one convention's order and split in another's.

    Attributes:
        reshaped: whether the buffer is reshaped rather than transposed, if one convention has
            (in, 4H) and the other (4H, in).
    """

    source: Convention
    reader: Convention
    reshaped: bool = False

    @property
    def order(self) -> str:
        """The order in which the canonical stack i f g o comes out when misread."""
        used = dict(zip(self.source.order, self.reader.order, strict=True))
        return "".join(used[k] for k in STACK)

    @property
    def stackings(self) -> tuple[str, str]:
        """How each of the two stacks its gates."""
        return _stacking(self.source), _stacking(self.reader)

    @property
    def woven(self) -> bool:
        """Whether blocks of gates meet gates side by side, so that no order of gates tells it."""
        return ("interleaved" in self.stackings) and self.stackings[0] != self.stackings[1]

    @property
    def bias(self) -> float:
        """What the reader adds to z_f at run time and the source does not."""
        return self.reader.forget_bias - self.source.forget_bias

    @property
    def activations(self) -> tuple[str, ...] | None:
        """The reader's activations where the source has others."""
        theirs = self.reader.activations
        return None if theirs == self.source.activations else theirs or ("sigmoid",)

    @property
    def is_plain(self) -> bool:
        """Whether the two differ only in the order of gates."""
        return not (self.reshaped or self.woven or self.bias or self.activations)

    @property
    def effect(self) -> object:
        """Key that mix-ups of the same effect share."""
        source, reader = self.source, self.reader
        whole = (source.order, reader.order, self.reshaped, _stacking(source) == "interleaved")
        moved = whole if self.reshaped or self.woven else self.order
        return moved, self.bias, (source.activations, reader.activations)

    def misread(self, weights: GateWeights, cache: Cache) -> GateWeights | None:
        """Return the weights as the reader splits the source's stacks."""
        cut = partial(self._cut, weights.wide)
        made = restacked(cut, weights, cache, self.source.order, self.reader.order)
        return None if made is None else replace(made, recurrent={})

    def _cut(self, wide: int, stack: Array) -> list[Array]:
        stacked, read = self.stackings
        if stacked == "interleaved":
            stack = _interleaved(stack)
        if self.reshaped and stack.ndim == 2:
            halves = (stack[:, :wide], stack[:, wide:])
            if stacked == "columns":
                stack = np.hstack(list(map(reread, halves)))
            else:
                stack = np.hstack([h.reshape(h.shape[::-1]).T for h in map(np.array, halves)])
        return _every_fourth(stack) if read == "interleaved" else np.split(stack, 4)


def _stacking(row: Convention) -> str:
    return next(t.stacking for t in row.tensors if len(t.gates) >= len(STACK))


def _mixes(convention: str | None) -> Iterator[_Mix]:
    rows = [row for row in CONVENTIONS.values() if row.order]
    rank = {name: place for place, name in enumerate(_KNOWN_FIRST)}
    rows.sort(key=lambda row: rank.get(row.name, len(rank)))
    for source in rows:
        if convention in (None, source.name):
            yield from (_Mix(source, reader) for reader in rows if reader is not source)


def readings_of_order(order: str, convention: str | None = None) -> list[tuple[str, str]]:
    """Return the (source, reader) pairs of conventions whose mix-up gives this gate order.

    Args:
        order: as in the id `gates-ORDER`.
        convention: the source, if known; None tries all.
    """
    return [(mix.source.name, mix.reader.name) for mix in _mixes(convention)
            if mix.is_plain and mix.order == order]  # fmt: skip


@lru_cache
def convention_mistakes(convention: str | None) -> tuple[Mistake, ...]:
    """Return a mistake for every other effect that mixing up two conventions can have.

    Args:
        convention: that of the weights, if known; otherwise every stacked one is tried.
    """
    found: dict[object, list[_Mix]] = {}
    for mix in _mixes(convention):
        turned = convention and set(mix.stackings) == {"rows", "columns"}
        for each in (mix, mix._replace(reshaped=True)) if turned else (mix,):
            if not each.is_plain:
                found.setdefault(each.effect, []).append(each)
    return tuple(_misread_row(*mixes) for mixes in found.values())


def _misread_row(mix: _Mix, *others: _Mix) -> Mistake:
    source, reader, reshaped = mix
    steps: list[Change] = []
    facts = [f"gates {' '.join(source.order)} read as {' '.join(reader.order)}"]
    if reshaped or "interleaved" in mix.stackings:
        steps.append(reweighed(mix.misread))
    elif source.order != reader.order:
        steps.append(reweighed(partial(permuted, mix.order)))
    if mix.bias:
        added = with_sign(shortest(mix.bias))
        facts.append(f"{added} on z_f")
        steps.append(edits(("z_f", "any", f"any {added[0]} {added[1:]}")))
    facts += ["the buffer reshaped, not transposed"] * reshaped
    if mix.activations:
        gate = mix.activations[0]
        facts.append(f"gates use {gate}")
        steps.append(edits(("f i o", "act(any)", f"{gate}(any)")))
    same = ", ".join(dict.fromkeys(f"{s.name} as {r.name}" for s, r, _ in others[:5]))
    return Mistake(
        f"{source.name}-as-{reader.name}" + "-reshaped" * reshaped,
        f"{source.name} weights are read as {reader.name}'s" + ", reshaped" * reshaped,
        partial(in_turn, tuple(steps)),
        "; ".join(facts) + (f". The same: {same}" if same else ""),
        f"{source.title} and {reader.title} lay weights out alike enough for shapes to fit.",
        f"read them with --convention {source.name}, or convert them: "
        f"`lstm-step convert FILE OUT --to {reader.name}`",
        f"{source.source}; {reader.source}",
        formula="; ".join(facts), kind="convention", tier=2,
    )  # fmt: skip
