"""Weak weights: all equal, symmetric, or of one kind; rows that hide more come first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.commands.vet.subjects import Subject
from lstm_cli.commands.vet.weak_biases import has_no_bias, without_bias
from lstm_cli.commands.vet.weakness import (
    Weakness,
    WeightsChange,
    WeightsTest,
    each_gate,
    filled,
    in_all,
    is_flat,
    kernels,
    letters_that,
    listed,
    of_family,
    on_kernels,
    on_weights,
    values_of,
)
from lstm_cli.mistakes.variant_run import GateWeights, VariantRun

_DISTINCT = "give every weight a different number"

# ---- one number for many weights


def _stack(own: GateWeights, places: tuple[int, ...]) -> Array:
    """Concatenate U (0), W (1) or both of all gates into one vector."""
    return np.concatenate([kernels(own, k)[n].ravel() for k in own.letters for n in places])


def _one_number(*places: int) -> WeightsTest:
    """Test that all numbers in some kernels of all gates are equal."""
    return lambda own: is_flat(_stack(own, places))


def _make_one(*places: int) -> WeightsChange:
    """Return a change that fills U (0) and W (1) with one number each."""

    def changed(own: GateWeights) -> GateWeights:
        first = kernels(own, own.letters[0])

        def fill(*pair: Array) -> tuple[Array, Array]:
            made = [np.full_like(each, first[n].flat[0]) if n in places else each
                    for n, each in enumerate(pair)]  # fmt: skip
            return made[0], made[1]

        return on_kernels(fill)(own)

    return changed


def _make_all_one(own: GateWeights) -> GateWeights:
    number = own.arrays[f"W_{own.letters[0]}"].flat[0]
    return own.with_arrays(
        {f"W_{k}": np.full_like(own.arrays[f"W_{k}"], number) for k in own.letters}
    )


def _rows_flat(own: GateWeights) -> bool:
    joined = [own.arrays[f"W_{k}"] for k in own.letters]
    return all(bool((each == each[:, :1]).all()) for each in joined)


def _flatten_rows(own: GateWeights) -> GateWeights:
    def flatten(u: Array, w: Array) -> tuple[Array, Array]:
        return np.repeat(u[:, :1], u.shape[1], axis=1), np.repeat(u[:, :1], w.shape[1], axis=1)

    return on_kernels(flatten)(own)


# ---- matrices that are unchanged by transposition


def _square(array: Array) -> bool:
    return bool(len(array) == array.shape[1])


def _symmetric(array: Array) -> bool:
    return _square(array) and len(array) > 1 and bool((array == array.T).all())


def _fold(array: Array) -> Array:
    """Return the nearest symmetric matrix; a non-square matrix is unchanged."""
    return np.asarray((array + array.T) / 2) if _square(array) else array


def _diagonal(array: Array) -> bool:
    return _square(array) and len(array) > 1 and bool((array == np.diag(np.diag(array))).all())


def _on_diagonal(array: Array) -> Array:
    return np.asarray(array * np.eye(*array.shape))


def _is_eye(array: Array) -> bool:
    return _square(array) and bool((array == np.eye(len(array))).all())


def _is_identity(own: GateWeights) -> bool:
    return has_no_bias(own) and all(_is_eye(each) for k in own.letters for each in kernels(own, k))


def _as_identity(own: GateWeights) -> GateWeights:
    return without_bias(on_kernels(lambda u, w: (np.eye(*u.shape), np.eye(*w.shape)))(own))


# ---- gates, units and directions that are alike


def _same_gates(own: GateWeights, one: str, other: str) -> bool:
    pairs = [(own.arrays[f"{kind}_{one}"], own.arrays[f"{kind}_{other}"]) for kind in "Wb"]
    if own.recurrent:
        pairs.append((own.recurrent[one], own.recurrent[other]))
    return all(np.array_equal(a, b) for a, b in pairs)


def _groups(subject: Subject) -> list[str]:
    """Return groups of letters of gates with the same weights and biases."""
    groups: list[str] = []
    for k in subject.right.weights[0].letters if of_family(subject) else "":
        for place, group in enumerate(groups):
            if all(_same_gates(own, group[0], k) for own in subject.right.weights):
                groups[place] += k
                break
        else:
            groups.append(k)
    return [group for group in groups if len(group) > 1]


def _find_alike(subject: Subject) -> str:
    groups = _groups(subject)
    if groups and len(groups[0]) == len(subject.right.weights[0].letters):
        return "all gates have the same weights and biases"
    return "; ".join(f"gates {listed(each)} have the same weights and biases" for each in groups)


def _make_alike(strong: VariantRun, subject: Subject) -> VariantRun:
    source = {k: group[0] for group in _groups(subject) for k in group}

    def changed(own: GateWeights) -> GateWeights:
        arrays = {f"{kind}_{k}": own.arrays[f"{kind}_{first}"]
                  for k, first in source.items() for kind in "Wb"}  # fmt: skip
        recurrent = {k: own.recurrent[source.get(k, k)] for k in own.recurrent}
        return replace(own.with_arrays(arrays), recurrent=recurrent)

    return replace(strong, weights=tuple(map(changed, strong.weights)))


def _find_mirrored(subject: Subject) -> str:
    keeps, writes = letters_that(subject, "keep"), letters_that(subject, "write")
    if (keeps, writes) != ("f", "i") or not all(
        np.array_equal(own.arrays[f"{kind}_i"], -own.arrays[f"{kind}_f"])
        for own in subject.right.weights
        for kind in "Wb"
    ):
        return ""
    sums = map(np.add, values_of(subject, "f"), values_of(subject, "i"))
    so = ", so i = 1 - f" * all(np.allclose(each, 1) for each in sums)
    return f"the input gate's weights are the forget gate's with the sign changed{so}"


def _mirror(own: GateWeights) -> GateWeights:
    return own.with_arrays({f"{kind}_i": -own.arrays[f"{kind}_f"] for kind in "Wb"})


def _of_units(own: GateWeights) -> dict[str, Array]:
    """Return the parameters that have one row per unit."""
    return {name: array for name, array in own.arrays.items() if name != "W_hr"}


def _find_same_units(subject: Subject) -> str:
    right = subject.right
    several = of_family(subject) and all(len(c) > 1 and is_flat(c) for c in right.c)
    same = several and all(
        bool((array == array[:1]).all())
        for own in right.weights
        for array in _of_units(own).values()
    )
    return "all units have the same weights, biases and cell state" if same else ""


def _make_units_same(strong: VariantRun, subject: Subject) -> VariantRun:
    def changed(own: GateWeights) -> GateWeights:
        arrays = {name: np.repeat(array[:1], len(array), axis=0)
                  for name, array in _of_units(own).items()}  # fmt: skip
        recurrent = {k: filled(array) for k, array in own.recurrent.items()}
        return replace(own.with_arrays(arrays), recurrent=recurrent)

    weights = tuple(map(changed, strong.weights))
    return replace(strong, weights=weights, c=tuple(map(filled, strong.c)))


def _find_same_directions(subject: Subject) -> str:
    right = subject.right
    if [side for _, side in right.layout] != ["forward", "backward"] * (len(right.layout) // 2):
        return ""
    same = all(
        np.array_equal(array, back.arrays[name])
        for ahead, back in zip(right.weights[::2], right.weights[1::2], strict=True)
        for name, array in ahead.arrays.items()
    )
    return "forward and backward have the same weights" if same else ""


def _make_directions_same(strong: VariantRun, subject: Subject) -> VariantRun:
    return replace(strong, weights=tuple(own for own in strong.weights[::2] for _ in range(2)))


def _kernel_row(
    name: str,
    sentence: str,
    test: Callable[[Array, Array], bool],
    change: Callable[[Array, Array], tuple[Array, Array]],
    what_to_do: str,
) -> Weakness:
    """Define a weakness of every gate's U_k and W_k."""
    return Weakness(name, in_all(each_gate(test), sentence), on_weights(on_kernels(change)),
                    what_to_do)  # fmt: skip


WEIGHTS: tuple[Weakness, ...] = (
    Weakness(
        "one-weight", in_all(_one_number(0, 1),
                             "all weights are the same number"),
        on_weights(_make_all_one), _DISTINCT,
    ),
    Weakness(
        "one-weight-a-kernel",
        in_all(lambda own: _one_number(0)(own) and _one_number(1)(own),
               "all input weights are one number, all recurrent ones another"),
        on_weights(_make_one(0, 1)), _DISTINCT,
    ),
    Weakness(
        "one-input-weight", in_all(_one_number(1), "all input weights are the same number"),
        on_weights(_make_one(1)), _DISTINCT,
    ),
    Weakness(
        "one-recurrent-weight", in_all(_one_number(0), "all recurrent weights are the same number"),
        on_weights(_make_one(0)), _DISTINCT,
    ),
    Weakness("gates-alike", _find_alike, _make_alike, "give every gate different numbers"),
    Weakness(
        "gates-mirrored", _find_mirrored, on_weights(_mirror),
        "give every gate different numbers",
    ),
    Weakness(
        "identity", in_all(_is_identity, "every W_k is [I | I] and every bias 0"),
        on_weights(_as_identity), "use weights other than the identity",
    ),
    Weakness(
        "flat-rows", in_all(_rows_flat, "within a gate, each unit weights all of h and x equally"),
        on_weights(_flatten_rows), _DISTINCT,
    ),
    _kernel_row(
        "same-kernels", "input weights and recurrent weights are the same",
        lambda u, w: np.array_equal(u, w), lambda u, w: (u, u) if u.shape == w.shape else (u, w),
        "give W and U different numbers",
    ),
    _kernel_row(
        "flat-kernels", "within a gate, all input weights are equal, and so are all recurrent ones",
        lambda u, w: is_flat(u) and is_flat(w), lambda u, w: (filled(u), filled(w)), _DISTINCT,
    ),
    _kernel_row(
        "diagonal", "every W_k and U_k is diagonal",
        lambda u, w: _diagonal(u) and _diagonal(w),
        lambda u, w: (_on_diagonal(u), _on_diagonal(w)), "fill the matrices off their diagonals",
    ),
    _kernel_row(
        "symmetric", "every W_k and U_k is its own transpose",
        lambda u, w: _symmetric(u) and _symmetric(w), lambda u, w: (_fold(u), _fold(w)),
        "use matrices that are not symmetric",
    ),
    _kernel_row(
        "u-symmetric", "every U_k is its own transpose", lambda u, w: _symmetric(u),
        lambda u, w: (_fold(u), w), "use a U_k that is not symmetric",
    ),
    _kernel_row(
        "w-symmetric", "every W_k is its own transpose", lambda u, w: _symmetric(w),
        lambda u, w: (u, _fold(w)), "use a W_k that is not symmetric",
    ),
    _kernel_row(
        "zero-u", "all recurrent weights are 0", lambda u, w: not u.any(),
        lambda u, w: (0 * u, w), "use non-zero recurrent weights",
    ),
    _kernel_row(
        "zero-w", "all input weights are 0", lambda u, w: not w.any(),
        lambda u, w: (u, 0 * w), "use non-zero input weights",
    ),
    Weakness(
        "units-alike", _find_same_units, _make_units_same, "give every unit different numbers",
    ),
    Weakness(
        "directions-alike", _find_same_directions, _make_directions_same,
        "give the directions different weights",
    ),
)  # fmt: skip
