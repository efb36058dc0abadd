"""Weak values: gates that are always closed or fully open, a candidate that is always 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.commands.vet.subjects import Subject
from lstm_cli.commands.vet.weakness import Weakness, listed, of_family
from lstm_cli.engine.batched_variants import evaluate_members
from lstm_cli.mistakes.variant_run import GateWeights, VariantRun

# A gate this close to 0 or 1 passes nothing or everything.
NEAR = 1e-9


def _values(subject: Subject, symbol: str) -> list[Array]:
    """Return the values of a symbol in every layer and direction, `(T, n)` each."""
    right = subject.right
    kept = evaluate_members([right.member()], right.layout, keep=(symbol,)).values
    return [values[0] for values in kept.values()]


def _stuck(subject: Subject) -> str:
    """Return the letters of gates that are saturated in every unit at every step."""

    def at_an_end(values: Array) -> bool:
        return bool((np.minimum(np.abs(values), np.abs(values - 1.0)) < NEAR).all())

    there = subject.right.weights[0].letters if of_family(subject) else ""
    return "".join(k for k in "fio" if k in there and all(map(at_an_end, _values(subject, k))))


def _find_stuck(subject: Subject) -> str:
    gates = _stuck(subject)
    if not gates:
        return ""
    named = f"gates {listed(gates)} are" if len(gates) > 1 else f"gate {gates} is"
    return f"{named} closed or fully open at every step"


def _with_gates(strong: VariantRun, subject: Subject, gates: str) -> VariantRun:
    """Copy some gates' weights and biases from a sample into strong numbers."""

    def changed(own: GateWeights, weak: GateWeights) -> GateWeights:
        arrays = {name: weak.arrays[name] for k in gates for name in (f"W_{k}", f"b_{k}")}
        recurrent = {**own.recurrent, **{k: weak.recurrent[k] for k in gates if weak.recurrent}}
        return replace(own.with_arrays(arrays), recurrent=recurrent)

    weights = map(changed, strong.weights, subject.right.weights)
    return replace(strong, weights=tuple(weights))


def _find_no_candidate(subject: Subject) -> str:
    empty = of_family(subject) and not any(each.any() for each in _values(subject, "g"))
    return "the candidate is 0 at every step: nothing is ever written" if empty else ""


def _without_candidate(strong: VariantRun, subject: Subject) -> VariantRun:
    def changed(own: GateWeights) -> GateWeights:
        zeros = {name: np.zeros_like(own.arrays[name]) for name in ("W_g", "b_g")}
        recurrent = {k: 0 * part if k == "g" else part for k, part in own.recurrent.items()}
        return replace(own.with_arrays(zeros), recurrent=recurrent)

    return replace(strong, weights=tuple(map(changed, strong.weights)))


VALUES: tuple[Weakness, ...] = (
    Weakness(
        "stuck-gates", _find_stuck,
        lambda strong, subject: _with_gates(strong, subject, _stuck(subject)),
        "use weights and biases of at most 2, so that gates are half open",
    ),
    Weakness(
        "zero-candidate", _find_no_candidate, _without_candidate,
        "use x, weights and a bias that give a non-zero candidate",
    ),
)  # fmt: skip
