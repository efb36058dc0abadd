"""Weak states and sequences: zero, a single step, or the same forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.equations import names_in
from lstm_cli.cell.roles import kept_factor
from lstm_cli.commands.vet.subjects import Subject
from lstm_cli.commands.vet.weakness import Find, Impose, Weakness, filled, is_flat
from lstm_cli.mistakes.variant_run import VariantRun

_STEPS = "give x different numbers at every step"


def _holds(test: Callable[[VariantRun], bool], sentence: str, gateless: str = "") -> Find:
    """Test that a condition holds, with another sentence for a table without a forget gate."""

    def find(subject: Subject) -> str:
        if not test(subject.right):
            return ""
        kept = [kept_factor(cell) for cell in subject.right.cells]
        return sentence if all(each and names_in(each) for each in kept) else gateless or sentence

    return find


def _zero_h(variant: VariantRun) -> bool:
    return not any(h.any() for h in variant.h)


def _zero_c(variant: VariantRun) -> bool:
    return not any(c.any() for c in variant.c)


def _zero_both(variant: VariantRun) -> bool:
    return _zero_h(variant) and _zero_c(variant)


def _without_h(strong: VariantRun, subject: Subject) -> VariantRun:
    return replace(strong, h=tuple(map(np.zeros_like, strong.h)))


def _without_c(strong: VariantRun, subject: Subject) -> VariantRun:
    return replace(strong, c=tuple(map(np.zeros_like, strong.c)))


def _without_both(strong: VariantRun, subject: Subject) -> VariantRun:
    return _without_h(_without_c(strong, subject), subject)


def _one_step(variant: VariantRun) -> bool:
    return len(variant.x) == 1


def _cut(strong: VariantRun, subject: Subject) -> VariantRun:
    return replace(strong, x=strong.x[:1])


def _first_of(change: Impose) -> Impose:
    """Combine a change to the states with truncation to one step."""
    return lambda strong, subject: _cut(change(strong, subject), subject)


def _same_states(variant: VariantRun) -> bool:
    pairs = list(zip(variant.h, variant.c, strict=True))
    return not _zero_both(variant) and all(np.array_equal(h, c) for h, c in pairs)


def _make_states_same(strong: VariantRun, subject: Subject) -> VariantRun:
    pairs = zip(strong.h, strong.c, strict=True)
    return replace(strong, h=tuple(c if h.shape == c.shape else h for h, c in pairs))


def _on_x(change: Callable[[Array], Array]) -> Impose:
    return lambda strong, subject: replace(strong, x=change(strong.x))


def _still(variant: VariantRun) -> bool:
    return len(variant.x) > 1 and bool((variant.x == variant.x[:1]).all())


def _hold_still(x: Array) -> Array:
    return np.repeat(x[:1], len(x), axis=0)


def _palindrome(variant: VariantRun) -> bool:
    return len(variant.x) > 1 and np.array_equal(variant.x, variant.x[::-1])


def _mirror(x: Array) -> Array:
    return np.vstack([x[: (len(x) + 1) // 2], x[: len(x) // 2][::-1]])


INPUTS: tuple[Weakness, ...] = (
    Weakness(
        "one-step-from-zero",
        _holds(lambda variant: _one_step(variant) and _zero_both(variant),
               "one step from h = 0 and c = 0: U, the forget gate and the states have no effect",
               "one step from h = 0 and c = 0: U and the states have no effect"),
        _first_of(_without_both), "use 2 steps or more, and non-zero states",
    ),
    Weakness(
        "one-step-zero-c",
        _holds(lambda variant: _one_step(variant) and _zero_c(variant),
               "one step from c = 0: the forget gate has nothing to keep",
               "one step from c = 0: the old cell state has no effect"),
        _first_of(_without_c), "use 2 steps or more, and a non-zero c",
    ),
    Weakness(
        "one-step-zero-h",
        _holds(lambda variant: _one_step(variant) and _zero_h(variant),
               "one step from h = 0: U is multiplied by 0"),
        _first_of(_without_h), "use 2 steps or more, and a non-zero h",
    ),
    Weakness(
        "one-step", _holds(_one_step, "T = 1: no state is carried over"), _cut,
        "use 2 steps or more",
    ),
    Weakness(
        "zero-states", _holds(_zero_both, "h and c are 0 at the start"), _without_both,
        "start from a non-zero h and c",
    ),
    Weakness(
        "zero-h", _holds(_zero_h, "h is 0 at the start"), _without_h,
        "start from a non-zero h",
    ),
    Weakness(
        "zero-c", _holds(_zero_c, "c is 0 at the start"), _without_c,
        "start from a non-zero c",
    ),
    Weakness(
        "same-states", _holds(_same_states, "h and c are the same at the start"),
        _make_states_same, "start from different h and c",
    ),
    Weakness(
        "zero-x", _holds(lambda variant: not variant.x.any(), "x is 0"), _on_x(np.zeros_like),
        "use a non-zero x",
    ),
    Weakness(
        "one-number-x",
        _holds(
            lambda variant: variant.x.size > 1 and is_flat(variant.x), "all of x is one number"
        ),
        _on_x(filled), _STEPS,
    ),
    Weakness("still-x", _holds(_still, "x is the same at every step"), _on_x(_hold_still), _STEPS),
    Weakness(
        "palindrome-x", _holds(_palindrome, "x is the same when reversed"), _on_x(_mirror),
        _STEPS,
    ),
)  # fmt: skip
