"""Unpack and pack the weights of any framework's layout, by one rule for all conventions.

`unpack(row, pack(row, parameters)) == parameters` for every row, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, ShapeError, safe, suggest
from lstm_cli.formats.contents import Place
from lstm_cli.formats.conventions import GATE_LETTERS, Convention, Tensor

FIRST: Place = (0, "forward")
# gate letter -> kind ("x", "b", …) -> the blocks found, in order
Blocks = dict[str, dict[str, list[Array]]]


def unpack(
    row: Convention, tensors: Mapping[str, Array], place: str, at: Place = FIRST
) -> dict[str, Array]:
    """Convert the tensors of one layer and direction to our `W_k`, `b_k`, `p_k`, `W_hr`.

    The gates that a coupled cell lacks may be missing; several biases are added up.

    Args:
        tensors: by the row's keys (`{layer}` and `{reverse}` unchanged).
        place: the file and what of it, for messages.
        at: the layer and direction, for the names in messages.

    Raises:
        InputError: a tensor is missing or not part of the layout.
        ShapeError: a stack of gates cannot be cut into equal blocks.
    """
    return dict(_parameters(_blocks(row, tensors, place, at), place))


def recurrent_biases(row: Convention, tensors: Mapping[str, Array], place: str) -> dict[str, Array]:
    """Gate letter -> the part of `b_k` that belongs to `h_prev`, in layouts with two biases.

    `unpack` adds the two; a bias that a port leaves out shows only while they are separate.
    """
    return {
        letter: held["b"][1]
        for letter, held in _blocks(row, tensors, place, FIRST).items()
        if len(held.get("b", ())) == 2
    }


def _blocks(row: Convention, tensors: Mapping[str, Array], place: str, at: Place) -> Blocks:
    """Cut the tensors of one layer and direction into the blocks of its gates."""
    blocks: Blocks = {}
    used = set[str]()
    for tensor in row.tensors:
        keys = {gate: key for gate, key in _keys(tensor).items() if key in tensors}
        if not keys and not tensor.optional:
            lacking, there = shown_key(tensor.key, at), [shown_key(key, at) for key in tensors]
            raise InputError(
                f"{lacking} is missing for convention {row.name}",
                where=f"{place}, which has {', '.join(map(safe, there[:20]))}",
                hint=suggest(lacking, there) + "; or another --convention",
            )
        for gate, key in keys.items():
            used.add(key)
            # In float64 before biases are added, because a sum in float16 would lose digits; a
            # signalling NaN is refused later, with all others.
            with np.errstate(invalid="ignore"):
                array = np.asarray(tensors[key], dtype=np.float64)
            for letter, block in _cut(tensor, gate, array, safe(shown_key(key, at)), place):
                blocks.setdefault(letter, {}).setdefault(tensor.holds, []).append(block)
    unused = [key for key in tensors if key not in used]
    if unused:
        what = f"convention {row.name} has no '{safe(unused[0])}'"
        raise InputError(what, where=place, hint="remove it, or name another --convention")
    return blocks


def shown_key(key: str, at: Place = FIRST) -> str:
    """A key as it is written in a file, for a layer and direction and the first gate."""
    level, direction = at
    reverse = "_reverse" if direction == "backward" else ""
    return key.replace("{gate}", "f").replace("{layer}", str(level)).replace("{reverse}", reverse)


def _keys(tensor: Tensor) -> dict[str, str]:
    """Gate letter (or "" for a stack) -> key."""
    letters = GATE_LETTERS if "{gate}" in tensor.key else [""]
    return {k: tensor.key.replace("{gate}", k) for k in letters}


def _cut(
    tensor: Tensor, gate: str, array: Array, key: str, place: str
) -> Iterator[tuple[str, Array]]:
    """Yield (gate, block (H, in) or (H,)), with the letter "" for the projection."""
    vector = tensor.holds in ("b", "p", "b_hr")
    if vector and array.ndim == 2 and 1 in array.shape:
        array = array.ravel()  # MATLAB's (4H, 1)
    letters = tensor.gates or gate
    count = max(1, len(letters))
    if array.size == count == 1:
        array = array.reshape((1,) if vector else (1, 1))  # a number, where H = I = 1
    along = 1 if tensor.stacking in ("columns", "reread", "upright") and not vector else 0
    axes = 1 if vector else 2
    if array.ndim != axes or array.shape[along] % count:
        wanted = "(n·H,)" if vector else ("(n·H, in)", "(in, n·H)")[along]
        why = f": {array.shape[along]} does not divide into {count}" if array.ndim == axes else ""
        what = f"{key} has shape {array.shape}, needs {wanted} for n = {count} gates{why}"
        hint = "a transposed or joined array needs another --convention"
        if array.ndim == axes == 2 and count == 4 and array.shape[along] % 3 == 0:
            hint += "; a GRU, of three gates, is not read"
        raise ShapeError(what, where=place, hint=hint)
    if tensor.stacking == "interleaved":
        parts = [array[k::count] for k in range(count)]
    else:
        parts = np.split(array, count, axis=along)
    yield from zip(letters or [""], (_turned(tensor, part) for part in parts), strict=True)


def _turned(tensor: Tensor, block: Array) -> Array:
    """Turn one gate's block to (H, in), or back from there."""
    if block.ndim == 1 or tensor.stacking in ("rows", "interleaved", "upright"):
        return block
    return block.reshape(block.shape[::-1]) if tensor.stacking == "reread" else block.T


def _parameters(blocks: Blocks, place: str) -> Iterator[tuple[str, Array]]:
    projection = blocks.get("", {}).get("W_hr")
    output = projection[0].shape[0] if projection else 0
    for letter in GATE_LETTERS:
        held = blocks.get(letter, {})
        if held:
            yield f"W_{letter}", _joined(letter, held, output, place)
        if "b" in held:
            yield f"b_{letter}", _sum(held["b"], letter, place)
        if "p" in held:
            yield f"p_{letter}", held["p"][0]
    yield from ((name, held[0]) for name, held in blocks.get("", {}).items())


def _sum(biases: list[Array], letter: str, place: str) -> Array:
    if len({bias.shape for bias in biases}) > 1:
        what = f"the biases of gate {letter} have shapes {', '.join(str(b.shape) for b in biases)}"
        raise ShapeError(what, where=place, hint="both biases need (H,)")
    with np.errstate(all="ignore"):  # what is not finite is refused later, with all others
        return biases[0] if len(biases) == 1 else np.asarray(np.sum(biases, axis=0))


def _joined(letter: str, held: Mapping[str, list[Array]], output: int, place: str) -> Array:
    """Build `W_k` on [h_prev, x] from the blocks of one gate."""
    if "hx" in held:
        return held["hx"][0]
    if "xh" in held:
        return _exchange(letter, held["xh"][0], output, place)
    missing = [name for name, kind in (("W", "x"), ("U", "h")) if kind not in held]
    if missing:
        there = next(iter(held))
        name = {"x": "W", "h": "U"}.get(there, there)
        what = f"{missing[0]}_{letter} is missing, {name}_{letter} is there"
        raise InputError(what, where=place, hint="each gate needs its matrices and its bias")
    inputs, recurrent = held["x"][0], held["h"][0]
    if inputs.shape[0] != recurrent.shape[0]:
        what = f"gate {letter}: the block for x is {inputs.shape}, for h_prev {recurrent.shape}"
        hint = "both need H rows; a transposed array needs another --convention"
        raise ShapeError(what, where=place, hint=hint)
    wide = output or recurrent.shape[0]
    if recurrent.shape[1] != wide:
        of_three_gates = 4 * recurrent.shape[0] == 3 * recurrent.shape[1]
        swapped = inputs.shape[1] == wide and not of_three_gates
        raise ShapeError(
            f"gate {letter}: the block for h_prev is {recurrent.shape}, needs "
            f"({recurrent.shape[0]}, {wide})",
            where=place,
            hint="W is for x and U for h_prev: they look swapped"
            if swapped
            else "is it a GRU or another layer? Or transposed: name a --convention",
        )
    return np.concatenate([recurrent, inputs], axis=1)


def _exchange(letter: str, block: Array, output: int, place: str) -> Array:
    """Reorder [x, h] columns to [h, x]; without a projection, h is as wide as there are rows."""
    inputs = block.shape[1] - (output or block.shape[0])
    if inputs < 1:
        what = f"W_{letter} is {block.shape}, needs (H, I + {'P' if output else 'H'})"
        hint = "the joined layouts hold columns for x and for h_prev"
        raise ShapeError(what, where=place, hint=hint)
    return np.concatenate([block[:, inputs:], block[:, :inputs]], axis=1)


def pack(row: Convention, parameters: Mapping[str, Array]) -> dict[str, Array]:
    """Convert our parameters to the tensors of a layout: the inverse of `unpack`.

    In a layout with several biases the first takes the sum and the others are zero.

    Raises:
        InputError: the layout has no place for a parameter (a projection, peepholes, a gate).
    """
    kinds = {"p": "peepholes", "W_hr": "a projection", "b_hr": "a projection's bias"}
    for name in parameters:
        kind = name if name in kinds else name[0]
        if kind in kinds and kind not in row.holds:
            raise InputError(
                f"convention {row.name} has no place for {kinds[kind]} ({name})",
                hint="choose a convention that holds it: joined, split, "
                + ("pytorch, tf1" if kind == "W_hr" else "onnx, tf1"),
            )
    packed: dict[str, Array] = {}
    first_bias: dict[str, str] = {}
    for tensor in row.tensors:
        for gate, key in _keys(tensor).items():
            letters = tensor.gates or gate
            blocks = [
                _block(tensor, key, place, letter, parameters, first_bias)
                for place, letter in enumerate(letters or [""])
            ]
            present = [block for block in blocks if block is not None]
            if len(present) == len(blocks):
                packed[key] = _stacked(tensor, present)
            elif present:
                lacking = next(k for k, b in zip(letters, blocks, strict=True) if b is None)
                what = f"convention {row.name} stacks gates {letters}; gate {lacking} is not there"
                raise InputError(what, hint="a coupled cell fits joined, split and tflite")
    return packed


def named_tensors(row: Convention, packed: Mapping[Place, Mapping[str, Array]]) -> dict[str, Array]:
    """Map the tensors of each layer and direction, as packed, to their names in one file."""
    leveled = any("{layer}" in tensor.key for tensor in row.tensors)
    named = {}
    for (level, direction), tensors in packed.items():
        alone = len(packed) == 1 and direction == "forward"
        prefix = "" if leveled or alone else f"layer{level}_{direction}_"
        for key, array in tensors.items():
            named[prefix + shown_key(key, (level, direction))] = array
    return named


def _block(
    tensor: Tensor,
    key: str,
    place: int,
    letter: str,
    parameters: Mapping[str, Array],
    first_bias: dict[str, str],
) -> Array | None:
    """One gate's block of a tensor as (H, in), or None where the parameter is not there."""
    if tensor.holds in ("W_hr", "b_hr"):
        return parameters.get(tensor.holds)
    if tensor.holds == "p":
        return parameters.get(f"p_{letter}")
    if tensor.holds == "b":
        bias = parameters.get(f"b_{letter}")
        mine = first_bias.setdefault(letter, f"{key}:{place}") == f"{key}:{place}"
        return bias if bias is None or mine else np.zeros_like(bias)
    joined = parameters.get(f"W_{letter}")
    if joined is None:
        return None
    wide = parameters["W_hr"].shape[0] if "W_hr" in parameters else joined.shape[0]
    recurrent, inputs = joined[:, :wide], joined[:, wide:]
    return {
        "x": inputs, "h": recurrent, "hx": joined,
        "xh": np.concatenate([inputs, recurrent], axis=1),
    }[tensor.holds]  # fmt: skip


def _stacked(tensor: Tensor, blocks: list[Array]) -> Array:
    if tensor.stacking == "interleaved":
        return np.stack(blocks, axis=1).reshape(-1, *blocks[0].shape[1:])
    along = 0 if tensor.stacking == "rows" or blocks[0].ndim == 1 else 1
    return np.concatenate([_turned(tensor, block) for block in blocks], axis=along)
