"""Weak values: gates that are always closed or fully open, a candidate that is always 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.commands.vet.subjects import Subject
from lstm_cli.commands.vet.weakness import Weakness, letters_that, listed, values_of
from lstm_cli.mistakes.variant_run import GateWeights, VariantRun

# A gate this close to 0 or 1 passes nothing or everything.
NEAR = 1e-9


def _stuck(subject: Subject) -> str:
    """Return the letters of gates that are saturated in every unit at every step."""

    def at_an_end(values: Array) -> bool:
        return bool((np.minimum(np.abs(values), np.abs(values - 1.0)) < NEAR).all())

    gates = letters_that(subject, "keep", "write", "show")
    return "".join(k for k in gates if all(map(at_an_end, values_of(subject, k))))


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
    new = letters_that(subject, "propose")
    empty = new and not any(each.any() for k in new for each in values_of(subject, k))
    return "the candidate is 0 at every step: nothing is ever written" if empty else ""


def _without_candidate(strong: VariantRun, subject: Subject) -> VariantRun:
    new = letters_that(subject, "propose")

    def changed(own: GateWeights) -> GateWeights:
        zeros = {f"{kind}_{k}": np.zeros_like(own.arrays[f"{kind}_{k}"])
                 for k in new for kind in "Wb"}  # fmt: skip
        recurrent = {k: 0 * part if k in new else part for k, part in own.recurrent.items()}
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
