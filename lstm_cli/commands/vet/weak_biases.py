"""Weak biases and peepholes: zero, or indistinguishable from each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.commands.vet.weakness import Weakness, WeightsChange, WeightsTest, in_all, on_weights
from lstm_cli.mistakes.variant_run import GateWeights

_BOTH = "give both biases numbers that differ"
_PEEPHOLES = "give every peephole a number of its own"


def has_no_bias(own: GateWeights) -> bool:
    """Whether every bias is 0, and both parts if there are two."""
    parts = [own.arrays[f"b_{k}"] for k in own.letters] + list(own.recurrent.values())
    return not any(part.any() for part in parts)


def without_bias(own: GateWeights) -> GateWeights:
    """Set every bias to 0."""
    zeros = {f"b_{k}": np.zeros_like(own.arrays[f"b_{k}"]) for k in own.letters}
    recurrent = {k: np.zeros_like(array) for k, array in own.recurrent.items()}
    return replace(own.with_arrays(zeros), recurrent=recurrent)


def _recurrent_has(share: float) -> WeightsTest:
    """Test that the recurrent bias is this share of the sum of both, which is not all 0."""

    def test(own: GateWeights) -> bool:
        return bool(own.recurrent) and not has_no_bias(own) and all(
            np.allclose(part, share * own.arrays[f"b_{k}"], rtol=1e-12, atol=0)
            for k, part in own.recurrent.items()
        )  # fmt: skip

    return test


def _share_out(share: float) -> WeightsChange:
    return lambda own: replace(
        own, recurrent={k: share * own.arrays[f"b_{k}"] for k in own.recurrent}
    )


def _peepholes(own: GateWeights) -> dict[str, Array]:
    return {name: array for name, array in own.arrays.items() if name.startswith("p_")}


def _no_peepholes(own: GateWeights) -> bool:
    arrays = list(_peepholes(own).values())
    return bool(arrays) and not any(each.any() for each in arrays)


def _same_peepholes(own: GateWeights) -> bool:
    arrays = list(_peepholes(own).values())
    return len(arrays) > 1 and all(np.array_equal(arrays[0], each) for each in arrays)


def _make_peepholes_same(own: GateWeights) -> GateWeights:
    arrays = _peepholes(own)
    return own.with_arrays(dict.fromkeys(arrays, next(iter(arrays.values()))))


BIASES: tuple[Weakness, ...] = (
    Weakness(
        "zero-biases", in_all(has_no_bias, "all biases are 0"), on_weights(without_bias),
        "give every gate a bias, and a second one where the layout has two",
    ),
    Weakness(
        "zero-second-bias", in_all(_recurrent_has(0.0), "the recurrent bias is 0"),
        on_weights(_share_out(0.0)), _BOTH,
    ),
    Weakness(
        "zero-first-bias", in_all(_recurrent_has(1.0), "the input bias is 0"),
        on_weights(_share_out(1.0)), _BOTH,
    ),
    Weakness(
        "same-biases", in_all(_recurrent_has(0.5), "the two biases are the same"),
        on_weights(_share_out(0.5)), _BOTH,
    ),
    Weakness(
        "zero-peepholes", in_all(_no_peepholes, "all peepholes are 0"),
        on_weights(lambda own: own.with_arrays({k: 0 * v for k, v in _peepholes(own).items()})),
        _PEEPHOLES,
    ),
    Weakness(
        "same-peepholes", in_all(_same_peepholes, "the peepholes of all gates are the same"),
        on_weights(_make_peepholes_same), _PEEPHOLES,
    ),
)  # fmt: skip
