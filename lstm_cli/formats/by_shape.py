"""Which arrays of a file are an LSTM's stacks, by their shapes and an order of gates given by hand.

Four gates of H units are stacked in 4·H rows (or columns), so the matrix for h_prev is the one of
4·H by H; that for x has as many rows, and a bias as many numbers. A joined matrix has H + I
columns, where H is a quarter of the bias. Names decide only between two matrices of one shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import NamedTuple

from lstm_cli.base.errors import InputError, safe
from lstm_cli.formats.conventions import BY_HAND, ByHand, Convention, Stacking, Tensor

Shapes = Mapping[str, tuple[int, ...]]
# In what the names of two matrices differ by, the one for h_prev has one of these.
_FOR_H = re.compile("rec|hid|prev|lateral|h|R|U")


class Stacks(NamedTuple):
    """Names of an LSTM's arrays: one matrix for each of x and h, or one for both; the biases."""

    matrices: tuple[str, ...]
    biases: tuple[str, ...]
    stacking: Stacking


def layouts_by_shape(
    convention: Convention, shapes: Shapes, place: str
) -> dict[str, list[Convention]]:
    """Find the layouts of a file's LSTMs by an order of gates; names of arrays are their keys.

    Args:
        convention: what the user says by hand.
        shapes: of all arrays, by name.

    Returns:
        The part that its names share -> its layout, or two where the order in a joined matrix is
        not said.

    Raises:
        InputError: what is missing, or what else could be said to choose.
    """
    hand = convention.hand or ByHand()
    found: dict[str, list[Convention]] = {}
    used = set[str]()
    unclear: list[Stacks] = []
    for prefix, names in _folders(shapes) if hand.gates else ():
        inside = list(_found({n: shapes[n] for n in names if n not in used}, hand))
        inside = [each for each in inside if len(each.matrices) == 2] or inside
        inside = [each for each in inside if _names_agree(*each.matrices)] or inside
        if len(inside) == 1:
            orders = [hand.joined] if len(inside[0].matrices) == 2 or hand.joined else ["hx", "xh"]
            found[prefix] = [_layout(inside[0], shapes, replace(hand, joined=o)) for o in orders]
            used |= {*inside[0].matrices, *inside[0].biases}
        unclear = inside if len(inside) > 1 else unclear
    if not found or any(used.isdisjoint(each.matrices) for each in unclear):
        raise _refusal(unclear, shapes, hand, place)
    return found


def _folders(shapes: Shapes) -> Iterator[tuple[str, list[str]]]:
    """Yield each beginning that names share, up to a `.` or `/`, the longest first."""
    folders: dict[str, list[str]] = {"": list(shapes)}
    for name in shapes:
        for match in re.finditer("[./]", name):
            folders.setdefault(name[: match.end()], []).append(name)
    yield from sorted(folders.items(), key=lambda each: -len(each[0]))


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
    turns: tuple[Stacking, ...] = ("columns",) if hand.transpose else ("rows", "columns")
    for stacking in turns:
        sizes = {
            name: shape if stacking == "rows" else shape[::-1]
            for name, shape in shapes.items() if len(shape) == 2 and name not in vectors
        }  # fmt: skip
        stacked: dict[int, list[str]] = {}
        for name, (rows, _) in sizes.items():
            if rows and rows % 4 == 0:
                stacked.setdefault(rows, []).append(name)
        for rows, names in stacked.items():
            recurrent = [name for name in names if 4 * sizes[name][1] == rows]
            biases = _biases(vectors, rows)
            if recurrent and len(names) == 2 and not hand.joined:
                yield from (
                    Stacks((next(n for n in names if n != name), name), biases, stacking)
                    for name in recurrent
                )
            elif biases and (hand.joined or not recurrent):
                joined = (name for name in names if 4 * sizes[name][1] > rows)
                yield from (Stacks((name,), biases, stacking) for name in joined)


def _biases(vectors: Mapping[str, int], rows: int) -> tuple[str, ...]:
    return tuple(name for name, count in vectors.items() if count in (rows, 2 * rows))


def _names_agree(for_x: str, for_h: str = "") -> bool:
    """Whether what two names differ by tells which matrix is for h_prev."""
    start = _alike(for_x, for_h)
    end = _alike(for_x[:start:-1], for_h[:start:-1])
    own, other = for_h[start : len(for_h) - end], for_x[start : len(for_x) - end]
    return _FOR_H.search(own) is not None and _FOR_H.search(other) is None


def _alike(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


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
