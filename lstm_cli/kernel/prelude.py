"""What x alone decides, by NumPy, before the steps: for loops that go on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from lstm_cli.equations import Array, function_named
from lstm_cli.kernel.plan import Entry, Operation, Plan, stacked_matrix

# Takes the memory of an entry's answer of that shape.
Take = Callable[[Entry, tuple[int, ...]], Array]


def given_values(
    plan: Plan,
    entries: Iterable[Entry],
    x: Array,
    arrays: Mapping[str, Array],
    constants: Mapping[int, Array],
    *,
    transposed: bool = False,
    take: Take | None = None,
) -> dict[int, Array]:
    """Return value -> `(…, n)`, or `(…, n, N)` where it is `transposed`, of x and of all entries.

    Args:
        plan: what the entries are of.
        entries: in an order in which they can be run, none of which needs a state.
        x: `(…, I)`, or `(…, I, N)`.
        arrays: parameter -> array.
        constants: value -> `(n,)` of what needs parameters alone.
        transposed: whether samples come last.
        take: for the answers of products; a new array by default.
    """
    known = {plan.rows["x"]: x}
    for entry in entries:
        if isinstance(entry, Operation):
            known[entry.out] = _operation(plan, entry, known, constants, transposed)
            continue
        matrix, vector = stacked_matrix(entry, arrays), known[entry.vector]
        axis = vector.ndim - (2 if transposed else 1)
        shape = (*vector.shape[:axis], len(matrix), *vector.shape[axis + 1 :])
        product = take(entry, shape) if take else np.empty(shape, vector.dtype)
        if transposed:
            np.matmul(matrix, vector, out=product)
        else:
            np.matmul(vector.reshape(-1, vector.shape[-1]), matrix.T,
                      out=product.reshape(-1, len(matrix)))  # fmt: skip
        begin = 0
        for piece in entry.pieces:
            cut = slice(begin, begin + plan.values[piece.out].width)
            known[piece.out] = product[..., cut, :] if transposed else product[..., cut]
            begin = cut.stop
    return known


def _operation(
    plan: Plan,
    entry: Operation,
    known: Mapping[int, Array],
    constants: Mapping[int, Array],
    transposed: bool,
) -> Array:
    def given(value: int) -> Array:
        if value in known:
            return known[value]
        array = constants[value]
        return array[:, None] if transposed and array.ndim else array

    parts: list[Any] = [given(value) for value in entry.arguments]
    if entry.function == "concat":
        lead = np.broadcast_shapes(*(part.shape[: -2 if transposed else -1] for part in parts))
        tail = (max(part.shape[-1] for part in parts),) if transposed else ()
        widths = [plan.values[value].width for value in entry.arguments]
        wide = [np.broadcast_to(p, (*lead, n, *tail)) for p, n in zip(parts, widths, strict=True)]
        return np.concatenate(wide, axis=-2 if transposed else -1)
    compute = function_named(entry.function).compute
    assert compute is not None
    return np.asarray(compute(*parts))
