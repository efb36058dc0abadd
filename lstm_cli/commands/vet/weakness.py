"""Weaknesses of test vectors: how to find one in a sample and impose it on strong numbers.

A weakness describes how it shows in a sample, and makes strong numbers weak in the same way; the
mistakes that then pass are those it hides. Causes are thus tested, never guessed.
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
    """One way in which a vector can be weak.

    Attributes:
        id: a short slug.
        find: returns a sentence on what is weak in a sample, "" if it is not.
        impose: makes strong numbers of the same cell and sizes weak in only this way.
        change: what to do about it.
    """

    id: str
    find: Find
    impose: Impose
    change: str


def of_family(subject: Subject) -> bool:
    """Whether all runs have gates with a W_k each."""
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
    """Lift a test of weights to every layer and direction."""

    def find(subject: Subject) -> str:
        return sentence if of_family(subject) and all(map(test, subject.right.weights)) else ""

    return find


def on_weights(change: WeightsChange) -> Impose:
    """Lift a change of weights to every layer and direction."""
    return lambda strong, subject: replace(strong, weights=tuple(map(change, strong.weights)))


def kernels(own: GateWeights, k: str) -> tuple[Array, Array]:
    """Return a gate's U_k (H, P) and W_k (H, I)."""
    joined = own.arrays[f"W_{k}"]
    return joined[:, : own.wide], joined[:, own.wide :]


def each_gate(test: Callable[[Array, Array], bool]) -> WeightsTest:
    """Lift a test of U_k and W_k to every gate."""
    return lambda own: all(test(*kernels(own, k)) for k in own.letters)


def on_kernels(change: Callable[[Array, Array], tuple[Array, Array]]) -> WeightsChange:
    """Lift a change of U_k and W_k to every gate."""

    def changed(own: GateWeights) -> GateWeights:
        return own.with_arrays(
            {f"W_{k}": np.hstack(change(*kernels(own, k))) for k in own.letters}
        )  # fmt: skip

    return changed


def is_flat(array: Array) -> bool:
    """Whether all numbers are equal."""
    return bool(array.size) and bool((array == array.flat[0]).all())


def filled(array: Array) -> Array:
    """Fill an array with its first number."""
    return np.full_like(array, array.flat[0])


def listed(words: str) -> str:
    """Join letters as a list: f, i and g."""
    return " and ".join([", ".join(words[:-1]), words[-1]])
