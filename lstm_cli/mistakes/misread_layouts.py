"""One framework's weights read as another's, derived from `conventions` rather than listed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import shortest, with_sign
from lstm_cli.formats.conventions import CONVENTIONS, Convention
from lstm_cli.mistakes.variant_run import (
    Cache,
    Change,
    GateWeights,
    Mistake,
    Reweigh,
    edits,
    in_turn,
)
from lstm_cli.mistakes.weights import STACK, permuted

# Order of preference for names when several conventions share a layout.
_KNOWN_FIRST = ("pytorch", "keras", "onnx", "tf1-basic", "tflite", "keras-2.2", "openvino", "haiku",
                "mxnet", "caffe", "dl4j", "cntk", "chainer", "dynet")  # fmt: skip


def _stacked() -> list[Convention]:
    rows = [row for row in CONVENTIONS.values() if row.order]
    rank = {name: place for place, name in enumerate(_KNOWN_FIRST)}
    return sorted(rows, key=lambda row: rank.get(row.name, len(rank)))


def read_order(source: Convention, reader: Convention) -> str:
    """Return the order in which the canonical stack i f g o comes out when misread."""
    used = dict(zip(source.order, reader.order, strict=True))
    return "".join(used[k] for k in STACK)


def readings_of_order(order: str, convention: str | None = None) -> list[tuple[str, str]]:
    """Return the (source, reader) pairs of conventions whose mix-up gives this gate order.

    Args:
        order: as in the id `gates-ORDER`.
        convention: the source, if known; None tries all.
    """
    return [
        (source.name, reader.name)
        for source, reader in _mixed(convention)
        if _plain(source, reader) and read_order(source, reader) == order
    ]


def _mixed(convention: str | None) -> Iterator[tuple[Convention, Convention]]:
    rows = _stacked()
    for source in rows:
        if convention in (None, source.name):
            yield from ((source, reader) for reader in rows if reader is not source)


def _stacking(row: Convention) -> str:
    return next(t.stacking for t in row.tensors if len(t.gates) >= len(STACK))


def _plain(source: Convention, reader: Convention) -> bool:
    """Whether the two differ only in the order of gates."""
    return (
        source.forget_bias == reader.forget_bias
        and source.activations == reader.activations
        and (_stacking(source) == "interleaved") == (_stacking(reader) == "interleaved")
    )


@dataclass(frozen=True, eq=False)
class _ReadAs:
    """Stacks written in one convention's order and split in another's.

    Attributes:
        reshaped: whether the buffer is reshaped rather than transposed, if one convention has
            (in, 4H) and the other (4H, in).
    """

    source: Convention
    reader: Convention
    reshaped: bool = False

    def __call__(self, weights: GateWeights, cache: Cache) -> GateWeights | None:
        if set(weights.letters) != set(STACK):
            return None
        arrays: dict[str, Array] = {}
        for kind in "Wb":
            blocks = [weights.arrays[f"{kind}_{k}"] for k in self.source.order]
            cut = self._cut(blocks, weights.wide)
            arrays |= {
                f"{kind}_{k}": block for k, block in zip(self.reader.order, cut, strict=True)
            }
        return replace(weights.with_arrays(arrays), recurrent={})

    def _cut(self, blocks: list[Array], wide: int) -> list[Array]:
        if _stacking(self.source) == "interleaved":
            stack = np.stack(blocks, axis=1).reshape(-1, *blocks[0].shape[1:])
        else:
            stack = np.concatenate(blocks)
        if self.reshaped and stack.ndim == 2:
            halves = (stack[:, :wide], stack[:, wide:])
            if _stacking(self.source) == "columns":
                stack = np.hstack([np.ascontiguousarray(h.T).reshape(h.shape) for h in halves])
            else:
                stack = np.hstack([h.reshape(h.shape[::-1]).T for h in map(np.array, halves)])
        if _stacking(self.reader) == "interleaved":
            return [np.ascontiguousarray(stack[k::4]) for k in range(4)]
        return np.split(stack, 4)


@lru_cache
def convention_mistakes(convention: str | None) -> tuple[Mistake, ...]:
    """Return a mistake for every other effect that mixing up two conventions can have.

    Args:
        convention: that of the weights, if known; otherwise every stacked one is tried.
    """
    found: dict[object, list[tuple[Convention, Convention, bool]]] = {}
    for source, reader in _mixed(convention):
        turned = _stacking(source) != _stacking(reader) and {
            _stacking(source), _stacking(reader)} == {"rows", "columns"}  # fmt: skip
        for reshaped in (False, True) if turned and convention else (False,):
            effect = _effect(source, reader, reshaped)
            if effect is not None:
                found.setdefault(effect, []).append((source, reader, reshaped))
    return tuple(_row(pairs) for pairs in found.values())


def _effect(source: Convention, reader: Convention, reshaped: bool) -> object | None:
    """Key that identifies a mix-up; None if it changes nothing, or only the order of gates."""
    if not reshaped and _plain(source, reader):
        return None
    change = reader.forget_bias - source.forget_bias
    acts = (source.activations, reader.activations)
    woven = [_stacking(each) == "interleaved" for each in (source, reader)]
    if reshaped or woven[0] != woven[1]:
        return (source.order, reader.order, reshaped, *woven, change, acts)
    return read_order(source, reader), change, acts


def _row(pairs: list[tuple[Convention, Convention, bool]]) -> Mistake:
    source, reader, reshaped = pairs[0]
    change = reader.forget_bias - source.forget_bias
    steps: list[Change] = []
    if reshaped or "interleaved" in (_stacking(source), _stacking(reader)):
        steps.append(Reweigh(_ReadAs(source, reader, reshaped)))
    elif source.order != reader.order:
        steps.append(Reweigh(partial(permuted, read_order(source, reader))))
    if change:
        sign = "+" if change > 0 else "-"
        steps.append(edits(("z_f", "any", f"any {sign} {shortest(abs(change))}")))
    if source.activations != reader.activations:
        steps.append(_activations(reader))
    others = ", ".join(dict.fromkeys(f"{s.name} as {r.name}" for s, r, _ in pairs[1:6]))
    facts = [f"gates {' '.join(source.order)} read as {' '.join(reader.order)}"]
    facts += [f"{with_sign(shortest(change))} on z_f"] * bool(change)
    facts += ["the buffer reshaped, not transposed"] * reshaped
    if source.activations != reader.activations:
        facts.append(f"gates use {(reader.activations or ('sigmoid',))[0]}")
    return Mistake(
        f"{source.name}-as-{reader.name}" + "-reshaped" * reshaped,
        f"{source.name} weights are read as {reader.name}'s" + ", reshaped" * reshaped,
        partial(in_turn, tuple(steps)),
        "; ".join(facts) + (f". The same: {others}" if others else ""),
        f"{source.title} and {reader.title} lay weights out alike enough for shapes to fit.",
        f"read them with --convention {source.name}, or convert them: "
        f"`lstm-step convert FILE OUT --to {reader.name}`",
        f"{source.source}; {reader.source}",
        formula="; ".join(facts), kind="convention", tier=2,
    )  # fmt: skip


def _activations(reader: Convention) -> Change:
    gate = (reader.activations or ("sigmoid",))[0]
    return edits(("f i o", "act(any)", f"{gate}(any)"))
