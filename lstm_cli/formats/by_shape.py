"""Which arrays of a file are an LSTM's stacks, by their shapes and an order of gates given by hand.

Four gates of H units are stacked in 4·H rows (or columns), so the matrix for h_prev is the one of
4·H by H; that for x has as many rows, and a bias as many numbers. A joined matrix has H + I
columns, where H is a quarter of the bias. Names decide only between two matrices of one shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from lstm_cli.base.errors import InputError, safe
from lstm_cli.formats.conventions import BY_HAND, ByHand, Convention, Stacking, Tensor

Shapes = Mapping[str, tuple[int, ...]]
_FOR_H = re.compile(r".*(hh|h2h|hid|rec|prev|lateral|_h|Wh|[UR])(_?l?\d*|\W.*)?", re.IGNORECASE)


class Stacks(NamedTuple):
    """Names of an LSTM's arrays: one matrix for each of x and h, or one for both; the biases."""

    matrices: tuple[str, ...]
    biases: tuple[str, ...]
    stacking: Stacking


def layouts_by_shape(convention: Convention, shapes: Shapes, place: str) -> list[Convention]:
    """Find the layout of some arrays by an order of gates; their names are its keys.

    Args:
        convention: what the user says by hand.
        shapes: of all arrays that may belong to the LSTM, by name.

    Returns:
        One layout, or two where the order in a joined matrix is not said.

    Raises:
        InputError: what is missing, or what else could be said to choose.
    """
    hand = convention.hand or ByHand()
    found = list(_found(shapes, hand)) if hand.gates else []
    if len(found) > 1:
        found = [each for each in found if _names_agree(each.matrices)] or found
    if len(found) != 1:
        raise _refusal(found, shapes, hand, place)
    if len(found[0].matrices) == 2 or hand.joined:
        return [_layout(found[0], shapes, hand)]
    return [_layout(found[0], shapes, replace(hand, joined=order)) for order in ("hx", "xh")]


def _layout(stacks: Stacks, shapes: Shapes, hand: ByHand) -> Convention:
    kinds = ("x", "h") if len(stacks.matrices) == 2 else (hand.joined,)
    tensors = [
        Tensor(name, kind, hand.gates, stacks.stacking)
        for name, kind in zip(stacks.matrices, kinds, strict=True)
    ]
    rows = shapes[stacks.matrices[0]][0 if stacks.stacking == "rows" else 1]
    tensors += [Tensor(name, "b", hand.gates * (shapes[name][0] // rows)) for name in stacks.biases]
    said = ", ".join(f"{each.holds}: {safe(each.key)}" for each in tensors)
    return Convention(
        hand.named(""), said, tuple(tensors), "by hand", hand=hand,
        leaves_open=f"{BY_HAND}; by shape: {said}",
    )  # fmt: skip


def _found(shapes: Shapes, hand: ByHand) -> Iterator[Stacks]:
    vectors = {name: s[0] for name, s in shapes.items() if len(s) == 1 or s[1:] == (1,)}
    matrices = {name: s for name, s in shapes.items() if len(s) == 2 and name not in vectors}
    turns: tuple[Stacking, ...] = ("columns",) if hand.transpose else ("rows", "columns")
    for stacking in turns:
        sizes = {n: s if stacking == "rows" else s[::-1] for n, s in matrices.items()}
        for name, (rows, hidden) in sizes.items():
            others = [n for n, size in sizes.items() if n != name and size[0] == rows]
            if rows == 4 * hidden and len(others) == 1 and not hand.joined:
                yield Stacks((others[0], name), _biases(vectors, rows), stacking)
        if any(rows == 4 * hidden for rows, hidden in sizes.values()) and not hand.joined:
            continue
        for name, (rows, wide) in sizes.items():
            if (biases := _biases(vectors, rows)) and 4 * wide > rows and rows % 4 == 0:
                yield Stacks((name,), biases, stacking)


def _biases(vectors: Mapping[str, int], rows: int) -> tuple[str, ...]:
    return tuple(name for name, count in vectors.items() if count in (rows, 2 * rows))


def _names_agree(matrices: tuple[str, ...]) -> bool:
    told = [bool(_FOR_H.fullmatch(name)) for name in matrices]
    return told == [False, True]


def _refusal(found: list[Stacks], shapes: Shapes, hand: ByHand, place: str) -> InputError:
    where = f"{place}, which has " + ", ".join(
        f"{safe(name)} {list(shape)}" for name, shape in list(shapes.items())[:12]
    )
    if not hand.gates:
        what, hint = (
            "no names tell which arrays are an LSTM's",
            "give the order of gates: --gates ifgo",
        )
    elif not found:
        what = "no stack of four gates: a matrix of 4·H rows by H, or a joined one and its bias"
        hint = "a GRU has three; an array a gate needs names, W_f, U_f, b_f …, and no --gates"
    else:
        choices = (" and ".join(map(safe, each.matrices)) for each in found)
        what = f"several arrays may be an LSTM's for x and h_prev: {'; or '.join(choices)}"
        hint = "--transpose where rows are inputs; else name them W and U in a file of their own"
    return InputError(what, where=where, hint=hint)
