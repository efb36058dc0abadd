"""What makes a test vector blind, as a row: found in a sample, and given to strong numbers.

A row says how the weakness shows in a sample, and makes strong numbers weak in the same way; what
then passes is what it hides. So a cause is tried, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.roles import Deed, roles_of
from lstm_cli.commands.vet.subjects import Subject
from lstm_cli.engine.batched_variants import evaluate_members
from lstm_cli.mistakes.variant_run import GateWeights, VariantRun

Find = Callable[[Subject], str]
Impose = Callable[[VariantRun, Subject], VariantRun]
WeightsTest = Callable[[GateWeights], bool]
WeightsChange = Callable[[GateWeights], GateWeights]


@dataclass(frozen=True, eq=False)
class Weakness:
    """One way in which a vector is weak.

    Attributes:
        id: a short slug.
        find: what is weak in a sample, as a sentence; "" where it is not.
        impose: strong numbers of the same cell and sizes, made weak in this way and no other.
        change: what to do about it.
    """

    id: str
    find: Find
    impose: Impose
    change: str


def of_family(subject: Subject) -> bool:
    """Return whether all runs have gates with a W_k each."""
    return all(own.letters for own in subject.right.weights)


def values_of(subject: Subject, symbol: str) -> list[Array]:
    """Return a symbol of every layer and direction, `(T, n)` each."""
    right = subject.right
    kept = evaluate_members([right.member()], right.layout, keep=(symbol,)).values
    return [values[0] for values in kept.values()]


def letters_that(subject: Subject, *deeds: Deed) -> str:
    """Letters of the rows that have a W_k, and this part in c and h in every layer."""
    if not of_family(subject):
        return ""
    every = [roles_of(cell) for cell in subject.right.cells]
    return "".join(
        k for k in sorted(subject.right.weights[0].letters)
        if all(k in roles and roles[k].deed in deeds for roles in every)
    )  # fmt: skip


def in_all(test: WeightsTest, sentence: str) -> Find:
    """Return a test that something holds of the weights of every layer and direction."""

    def find(subject: Subject) -> str:
        return sentence if of_family(subject) and all(map(test, subject.right.weights)) else ""

    return find


def on_weights(change: WeightsChange) -> Impose:
    """Return a change of the weights of every layer and direction."""
    return lambda strong, subject: replace(strong, weights=tuple(map(change, strong.weights)))


def kernels(own: GateWeights, k: str) -> tuple[Array, Array]:
    """Return a gate's U_k (H, P) and W_k (H, I)."""
    joined = own.arrays[f"W_{k}"]
    return joined[:, : own.wide], joined[:, own.wide :]


def each_gate(test: Callable[[Array, Array], bool]) -> WeightsTest:
    """Return whether something holds of every gate's U_k and W_k."""
    return lambda own: all(test(*kernels(own, k)) for k in own.letters)


def on_kernels(change: Callable[[Array, Array], tuple[Array, Array]]) -> WeightsChange:
    """Return a change of every gate's U_k and W_k."""

    def changed(own: GateWeights) -> GateWeights:
        return own.with_arrays(
            {f"W_{k}": np.hstack(change(*kernels(own, k))) for k in own.letters}
        )  # fmt: skip

    return changed


def is_flat(array: Array) -> bool:
    """Return whether all numbers are one and the same."""
    return bool(array.size) and bool((array == array.flat[0]).all())


def filled(array: Array) -> Array:
    """Return an array of the same shape whose numbers are all its first."""
    return np.full_like(array, array.flat[0])


def listed(words: str) -> str:
    """Return letters as a list: f, i and g."""
    return " and ".join([", ".join(words[:-1]), words[-1]])
