"""How frameworks lay out LSTM weights: rows of data, and one reader for all of them.

Our own layout joins, for each gate k, the columns that meet `h_prev` (first) and `x` (last):
`W_k (H, P + I)`. A row says which tensors a framework keeps, what each holds and in what order
the gates are stacked in it. Nothing but data distinguishes one framework from another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lstm_cli.equations import Array
from lstm_cli.errors import InputError, ShapeError, UsageError, safe, suggest
from lstm_cli.weights import Direction

GATE_LETTERS = "figo"


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a layout.

    Attributes:
        key: its name, with `{gate}`, `{layer}` and `{reverse}` where they stand.
        holds: "x" or "h" (a matrix for that input), "hx" or "xh" (one for both, in that order),
            "b" (a bias), "p" (peepholes) or "W_hr" (the projection).
        gates: the order of the gates stacked in it; "" where each gate has a tensor of its own.
        columns: whether the gates lie along the columns, `(in, 4H)`, so that it is transposed.
        optional: whether it may be missing.
    """

    key: str
    holds: str
    gates: str = ""
    columns: bool = False
    optional: bool = False


@dataclass(frozen=True, eq=False)
class Convention:
    """One framework's layout.

    Attributes:
        name: what `--convention` takes.
        title: one line on whose it is.
        tensors: what it keeps.
        source: where that is written.
        confirmed_by: the golden numbers that prove the row; "" is a rumour.
        assumption: what a file of this layout leaves open and how it is read.
        by_name: whether the names in a file are enough to choose it.
    """

    name: str
    title: str
    tensors: tuple[Tensor, ...]
    source: str
    confirmed_by: str = ""
    assumption: str = ""
    by_name: bool = True


_PEEPHOLE = Tensor("p_{gate}", "p", optional=True)
_PROJECTION = Tensor("W_hr", "W_hr", optional=True)

CONVENTIONS: Mapping[str, Convention] = {
    row.name: row
    for row in (
        Convention(
            "joined",
            "W_f … b_o, each W_k on [h_prev, x] (also Wf, Wi, Wc, Wo)",
            (Tensor("W_{gate}", "hx"), Tensor("b_{gate}", "b", optional=True),
             _PEEPHOLE, _PROJECTION),
            "the literature; Greff et al. 2017",
            "samples/question.json",
            "W_k are read as joined on [h_prev, x]; for [x, h_prev] give --convention joined-xh",
        ),
        Convention(
            "joined-xh",
            "as joined, with the columns for x first: [x, h_prev]",
            (Tensor("W_{gate}", "xh"), Tensor("b_{gate}", "b", optional=True),
             _PEEPHOLE, _PROJECTION),
            "TensorFlow 1 joins in this order",
            "tests/golden/torch_live.json, columns exchanged",
            by_name=False,
        ),
        Convention(
            "split",
            "W_f, U_f, b_f …: W_k on x, U_k on h_prev",
            (Tensor("W_{gate}", "x"), Tensor("U_{gate}", "h"),
             Tensor("b_{gate}", "b", optional=True), _PEEPHOLE, _PROJECTION),
            "the literature; Keras' and Wikipedia's notation",
            "tests/golden/*.json, every case",
        ),
        Convention(
            "pytorch",
            "PyTorch nn.LSTM: gates i f g o in rows, two biases, layers and directions",
            (Tensor("weight_ih_l{layer}{reverse}", "x", "ifgo"),
             Tensor("weight_hh_l{layer}{reverse}", "h", "ifgo"),
             Tensor("bias_ih_l{layer}{reverse}", "b", "ifgo", optional=True),
             Tensor("bias_hh_l{layer}{reverse}", "b", "ifgo", optional=True),
             Tensor("weight_hr_l{layer}{reverse}", "W_hr", optional=True)),
            "docs.pytorch.org, torch.nn.LSTM",
            "tests/golden/torch_live.json",
        ),
        Convention(
            "pytorch-cell",
            "PyTorch nn.LSTMCell: gates i f g o in rows, two biases",
            (Tensor("weight_ih", "x", "ifgo"), Tensor("weight_hh", "h", "ifgo"),
             Tensor("bias_ih", "b", "ifgo", optional=True),
             Tensor("bias_hh", "b", "ifgo", optional=True)),
            "docs.pytorch.org, torch.nn.LSTMCell",
            "samples/hand.json",
        ),
        Convention(
            "keras",
            "Keras 2 and 3 LSTM: gates i f g o in columns, one bias",
            (Tensor("kernel", "x", "ifgo", columns=True),
             Tensor("recurrent_kernel", "h", "ifgo", columns=True),
             Tensor("bias", "b", "ifgo", columns=True, optional=True)),
            "keras/src/layers/rnn/lstm.py",
            "tests/golden/torch_live.json, transposed; Keras itself not yet run",
            "kernel does not say the gates' activation: sigmoid, as Keras since 2.3; before it was "
            "--cell hard-sigmoid",
        ),
    )
}  # fmt: skip

Part = tuple[int, Direction]


def convention_named(name: str) -> Convention:
    """Return a row by name.

    Raises:
        UsageError: there is none; proposes the nearest.
    """
    if name not in CONVENTIONS:
        raise UsageError(f"unknown convention '{name}'", hint=suggest(name, CONVENTIONS))
    return CONVENTIONS[name]


def detect(arrays: Mapping[str, Array], place: str) -> Convention:
    """Return the convention that a file's names tell.

    Raises:
        InputError: none fits (lists what is there), or several do (lists the choices).
    """
    known = [match["name"] if (match := _PREFIX.fullmatch(name)) else name for name in arrays]
    fitting = [row for row in CONVENTIONS.values() if row.by_name and _fits(row, known)]
    # W_f and U_f are also there when the layout is split, which asks for more.
    most = max((_required(row) for row in fitting), default=0)
    fitting = [row for row in fitting if _required(row) == most]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(
            "the names fit several conventions: " + ", ".join(row.name for row in fitting),
            where=place,
            hint=" or ".join(f"--convention {row.name}" for row in fitting),
        )
    raise InputError(
        f"no LSTM's weights are recognised among {', '.join(map(safe, known[:20])) or 'no keys'}",
        where=place,
        hint="use W_f … b_o, W_f U_f b_f …, or a framework's names; `lstm-step list conventions`",
    )


def _required(row: Convention) -> int:
    return sum(not tensor.optional for tensor in row.tensors)


def _fits(row: Convention, names: list[str]) -> bool:
    """Whether at least one key of each required tensor is there, gates of any kind counting."""
    return all(
        any(re.fullmatch(_pattern(tensor.key), name) for name in names)
        for tensor in row.tensors
        if not tensor.optional
    )


def _pattern(key: str) -> str:
    return (
        key.replace("{gate}", f"[{GATE_LETTERS}]")
        .replace("{layer}", r"\d+")
        .replace("{reverse}", "(_reverse)?")
    )


_PREFIX = re.compile(r"layer(?P<layer>[0-9]{1,3})_(?P<direction>forward|backward)_(?P<name>.+)")
_LITERATURE = re.compile(r"(?P<kind>[WUbp])_?(?P<gate>[figoc])")


def parts(arrays: Mapping[str, Array], row: Convention) -> Iterator[tuple[Part, dict[str, Array]]]:
    """Yield ((layer, direction), tensors) with keys as the row writes them for that part.

    A layer and direction stand in the framework's own names (`weight_ih_l1_reverse`) or in front
    of ours (`layer1_backward_W_f`).
    """
    grouped: dict[Part, dict[str, Array]] = {}
    for name, array in arrays.items():
        part, plain = _part_of(name, row)
        grouped.setdefault(part, {})[plain] = array
    forward_first = sorted(grouped.items(), key=lambda each: (each[0][0], each[0][1] != "forward"))
    yield from forward_first


def _part_of(name: str, row: Convention) -> tuple[Part, str]:
    prefixed = _PREFIX.fullmatch(name)
    if prefixed:
        direction: Direction = "backward" if prefixed["direction"] == "backward" else "forward"
        return (int(prefixed["layer"]), direction), prefixed["name"]
    for tensor in row.tensors:
        if "{layer}" in tensor.key:
            pattern = re.escape(tensor.key).replace(r"\{layer\}", r"(?P<layer>\d{1,3})")
            match = re.fullmatch(pattern.replace(r"\{reverse\}", "(?P<reverse>_reverse)?"), name)
            if match:
                direction = "backward" if match["reverse"] else "forward"
                return (int(match["layer"]), direction), tensor.key
    return (0, "forward"), name


def literature_names(arrays: Mapping[str, Array], place: str) -> dict[str, Array]:
    """Return the arrays with `Wf`, `W_c`, `bc` … named `W_f`, `W_g`, `b_g`, prefixes kept.

    Raises:
        InputError: two names mean the same parameter (`W_c` and `W_g`).
    """
    renamed: dict[str, Array] = {}
    for name, array in arrays.items():
        prefixed = _PREFIX.fullmatch(name)
        plain = prefixed["name"] if prefixed else name
        match = _LITERATURE.fullmatch(plain)
        new = f"{match['kind']}_{match['gate'].replace('c', 'g')}" if match else plain
        new = name.removesuffix(plain) + new
        if new in renamed:
            raise InputError(
                f"'{safe(name)}' and another key both mean {safe(new)}",
                where=place,
                hint="keep one of them",
            )
        renamed[new] = array
    return renamed


def unpack(row: Convention, tensors: Mapping[str, Array], place: str) -> dict[str, Array]:
    """Return our parameters `W_k`, `b_k`, `p_k`, `W_hr` from one layer and direction of a layout.

    Gates that a coupled cell does not have may be missing; two biases are added.

    Raises:
        InputError: a tensor is missing or not part of the layout.
        ShapeError: a stack of gates that cannot be cut into equal blocks.
    """
    blocks: dict[str, dict[str, list[Array]]] = {}
    used = set[str]()
    for tensor in row.tensors:
        keys = _keys(tensor, tensors)
        if not keys and not tensor.optional:
            raise InputError(
                f"{_shown(tensor.key)} is missing for convention {row.name}",
                where=f"{place}, which has {', '.join(map(safe, list(tensors)[:20]))}",
                hint=suggest(tensor.key, tensors) + "; or another --convention",
            )
        for gate, key in keys.items():
            used.add(key)
            for letter, block in _cut(tensor, gate, tensors[key], f"{place}, key {safe(key)}"):
                blocks.setdefault(letter, {}).setdefault(tensor.holds, []).append(block)
    unused = [key for key in tensors if key not in used]
    if unused:
        raise InputError(
            f"convention {row.name} has no '{safe(unused[0])}'",
            where=place,
            hint="remove it, or name another --convention",
        )
    return dict(_parameters(blocks, place))


def _keys(tensor: Tensor, tensors: Mapping[str, Array]) -> dict[str, str]:
    """Return gate letter (or "" for a whole stack) -> key, for what is there."""
    if "{gate}" not in tensor.key:
        return {"": tensor.key} if tensor.key in tensors else {}
    keys = {k: tensor.key.replace("{gate}", k) for k in GATE_LETTERS}
    return {k: key for k, key in keys.items() if key in tensors}


def _shown(key: str) -> str:
    return key.replace("{gate}", "f").replace("{layer}", "0").replace("{reverse}", "")


def _cut(tensor: Tensor, gate: str, array: Array, place: str) -> Iterator[tuple[str, Array]]:
    """Yield (gate, block); the projection goes under the letter ""."""
    if tensor.columns:
        array = array.T
    if not tensor.gates:
        yield gate, array
        return
    count = len(tensor.gates)
    if array.ndim == 0 or array.shape[0] % count:
        raise ShapeError(
            f"{array.shape[0] if array.ndim else 'one'} rows do not divide into {count} gates",
            where=place,
            hint=f"{count}·H rows are needed; a transposed array wants another --convention",
        )
    yield from zip(tensor.gates, np.split(array, count), strict=True)


def _parameters(
    blocks: Mapping[str, Mapping[str, list[Array]]], place: str
) -> Iterator[tuple[str, Array]]:
    for letter in (*GATE_LETTERS, ""):
        held = blocks.get(letter, {})
        if letter and held:
            yield f"W_{letter}", _joined(letter, held, place)
        if "b" in held:
            yield f"b_{letter}", np.sum(held["b"], axis=0)
        if "p" in held:
            yield f"p_{letter}", held["p"][0]
        if "W_hr" in held:
            yield "W_hr", held["W_hr"][0]


def _joined(letter: str, held: Mapping[str, list[Array]], place: str) -> Array:
    """Return `W_k` on [h_prev, x] from what a layout holds of one gate."""
    if "hx" in held:
        return held["hx"][0]
    if "xh" in held:
        return _exchange(letter, held["xh"][0], place)
    if "x" not in held and "h" not in held:
        raise InputError(
            f"W_{letter} is missing, b_{letter} is there",
            where=place,
            hint="each gate needs its matrix and its bias",
        )
    if "x" not in held or "h" not in held:
        lacking, there = ("W", "U") if "h" in held else ("U", "W")
        raise InputError(
            f"{lacking}_{letter} is missing, {there}_{letter} is there",
            where=place,
            hint="the split layout needs W_k, U_k and b_k for each gate",
        )
    inputs, recurrent = held["x"][0], held["h"][0]
    for name, block in ((f"W_{letter}", inputs), (f"U_{letter}", recurrent)):
        if block.ndim != 2 or block.shape[0] != inputs.shape[0]:
            raise ShapeError(
                f"gate {letter}: the block for x is {inputs.shape}, for h_prev {recurrent.shape}",
                where=f"{place}, {name}",
                hint="both need H rows; a transposed array wants another --convention",
            )
    return np.concatenate([recurrent, inputs], axis=1)


def _exchange(letter: str, block: Array, place: str) -> Array:
    """Return [x, h] columns as [h, x]; the number of units is that of the rows."""
    if block.ndim != 2 or block.shape[1] <= block.shape[0]:
        raise ShapeError(
            f"W_{letter} is {block.shape}, needs (H, I + H)",
            where=place,
            hint="joined-xh needs a square part for h_prev; with a projection use split",
        )
    inputs = block.shape[1] - block.shape[0]
    return np.concatenate([block[:, inputs:], block[:, :inputs]], axis=1)
