"""Values that depend only on x, computed by NumPy before the loop over steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.equations import function_named
from lstm_cli.engine.plan import Entry, Operation, Plan, stacked_matrix


def input_projection(
    plan: Plan,
    entries: Iterable[Entry],
    x: Array,
    arrays: Mapping[str, Array],
    constants: Mapping[int, Array],
) -> dict[int, Array]:
    """Return the values `(…, n)` of x and of all entries.

    Args:
        entries: entries in executable order, none of which needs a state.
        x: `(…, I)`.
        constants: values `(n,)` that depend only on parameters.
    """
    known = {plan.rows["x"]: x}
    for entry in entries:
        if isinstance(entry, Operation):
            parts = [
                known[value] if value in known else constants[value] for value in entry.arguments
            ]
            known[entry.out] = _operation(entry.function, parts)
            continue
        product, begin = known[entry.vector] @ stacked_matrix(entry, arrays).T, 0
        for piece in entry.pieces:
            end = begin + plan.values[piece.out].width
            known[piece.out], begin = product[..., begin:end], end
    return known


def _operation(function: str, parts: list[Array]) -> Array:
    if function == "concat":
        lead = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
        return np.concatenate([np.broadcast_to(p, (*lead, p.shape[-1])) for p in parts], axis=-1)
    compute = function_named(function).compute
    assert compute is not None
    return np.asarray(compute(*parts))
