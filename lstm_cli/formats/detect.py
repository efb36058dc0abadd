"""Find every LSTM among named tensors: by names, then by shapes, and never by a guess.

A file may hold many layers and other things. Each convention's keys are looked for at the end of
the names; the part before them (`decoder.rnn.`) is the LSTM's name. Levels and directions, whether
in the keys (`_l1_reverse`) or before them (`layer1_backward_`), are combined into one LSTM. At the
end are warnings about layers that other software reads differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.base.numbers import shortest
from lstm_cli.cell.traits import Traits
from lstm_cli.cell.weights import Direction, Merge
from lstm_cli.formats.contents import Contents, Info, Part, Place, Tensors, Undecided
from lstm_cli.formats.conventions import CONVENTIONS, GATE_LETTERS, Convention, Tensor
from lstm_cli.formats.layouts import unpack


@dataclass(frozen=True, eq=False)
class Found:
    """One LSTM of a file: a stack of levels, each in one or two directions.

    Attributes:
        name: its name in the file, "" where tensor names have no prefix.
        convention: the layout of its tensors.
        parts: (level, direction) -> tensors under the convention's keys, and the variant.
        known_by, open, undecided, merge: as in `Block`.
        names: the names of its tensors in the file, where it was found by names.
    """

    name: Foreign
    convention: Convention
    parts: Mapping[Place, Part]
    known_by: tuple[str, ...]
    open: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    undecided: Undecided | None = None
    merge: Merge = "concat"


def find_lstms(contents: Contents, place: str, convention: Convention | None = None) -> list[Found]:
    """Find every LSTM of a file, in file order.

    Args:
        convention: the layout that the user chose; None lets names and shapes decide.

    A file that describes its layers is trusted over the names of its tensors: a layer that it
    describes and that is refused is not looked for by name instead.

    Raises:
        InputError: the names fit several layouts that give different numbers; lists the choices.
    """
    if contents.blocks or contents.refused:
        return [
            Found(
                Foreign.of(block.name), convention or CONVENTIONS[block.convention],
                {(0, side): part for side, part in block.parts.items()},
                block.known_by, block.open, undecided=None if convention else block.undecided,
                merge=block.merge,
            )
            for block in contents.blocks
        ]  # fmt: skip
    rows = [convention] if convention else [r for r in CONVENTIONS.values() if r.by_name]
    groups = [group for row in rows for group in _groups(row, contents.tensors, place)]
    if not groups:
        groups = list(_groups_by_role(contents.tensors, convention, place))
    chosen = _without_overlaps(groups, contents.tensors, place)
    order = {name: position for position, name in enumerate(contents.tensors)}
    chosen.sort(key=lambda group: min(order[name] for name in group.names))
    found = [group.found(contents.tensors, told=convention is not None) for group in chosen]
    said = (contents.by_name,) if contents.by_name else ()
    return [replace(each, open=(*each.open, *said)) for each in found]


@dataclass(frozen=True, eq=False)
class _Group:
    """Tensors of a file whose names fit one convention, under one prefix."""

    row: Convention
    prefix: str
    keys: Mapping[Place, Mapping[str, str]]  # the convention's key -> the file's name
    by: str = "names"

    @property
    def names(self) -> set[str]:
        return {name for keys in self.keys.values() for name in keys.values()}

    def found(self, tensors: Tensors, *, told: bool) -> Found:
        known = "--convention" if told else f"{self.by}: {', '.join(_sample(self.names))}"
        leaves_open = () if told or not self.row.leaves_open else (self.row.leaves_open,)
        name, names = self.prefix.rstrip("._/"), frozenset(self.names)
        parts = dict(self._parts(tensors))
        return Found(Foreign.of(name), self.row, parts, (known,), leaves_open, names)

    def _parts(self, tensors: Tensors) -> Iterator[tuple[Place, Part]]:
        sides: tuple[Direction, ...] = ("forward", "backward")
        for level, direction in sorted(self.keys, key=lambda at: (at[0], sides.index(at[1]))):
            keys = self.keys[level, direction]
            shape = tensors.infos[next(iter(keys.values()))].shape
            if self.row.directions_axis and len(shape) == 3:
                for index, side in zip(range(shape[0]), sides, strict=False):
                    yield (level, side), Part(_selected(tensors, keys, index))
            else:
                yield (level, direction), Part(_selected(tensors, keys))


def _sample(names: Iterable[str]) -> list[str]:
    shown = sorted(names)
    return [safe(name) for name in shown[:3]] + (["…"] if len(shown) > 3 else [])


def _selected(tensors: Tensors, keys: Mapping[str, str], index: int | None = None) -> Tensors:
    """A file's tensors under a convention's keys; with an index, that direction of a first axis."""
    cut = 0 if index is None else 1
    found = {key: tensors.infos[name] for key, name in keys.items()}
    infos = {key: Info(info.shape[cut:], info.dtype) for key, info in found.items()}

    def load(key: str) -> Array:
        array = tensors[keys[key]]
        return array if index is None else array[index]

    return Tensors(infos, load)


_LITERATURE = re.compile(r"(?P<lead>.*[._/]|)(?P<kind>[WUbp])_?(?P<gate>[figoc])")
_LEVEL = re.compile(r"(?P<lead>.*?)layer(?P<level>\d{1,3})_(?P<direction>forward|backward)_")
_OURS = ("joined", "joined-xh", "split")


def _plain(name: str, row: Convention) -> str:
    """Normalise a name: `.` for `/`, no framework suffixes, and `Wc` as W_g in our layouts."""
    name = name.replace("/", ".").removesuffix(":0").removesuffix(".value")
    match = _LITERATURE.fullmatch(name) if row.name in _OURS else None
    if match is None:
        return name
    return f"{match['lead']}{match['kind']}_{match['gate'].replace('c', 'g')}"


@lru_cache(maxsize=512)
def _pattern(key: str) -> re.Pattern[str]:
    inner = (
        re.escape(key)
        .replace(r"\{gate\}", f"(?P<gate>[{GATE_LETTERS}])")
        .replace(r"\{layer\}", r"(?P<level>\d{1,3})")
        .replace(r"\{reverse\}", "(?P<reverse>_reverse)?")
    )
    return re.compile(rf"(?P<prefix>(?:.*[._])?){inner}")


def _groups(row: Convention, tensors: Tensors, file: str) -> Iterator[_Group]:
    """Yield a group for each prefix under which the convention is complete."""
    seen: dict[str, dict[Place, dict[str, str]]] = {}
    plain = {name: _plain(name, row) for name in tensors}
    for tensor in row.tensors:
        tail = tensor.key.rsplit("}", 1)[-1]
        head = tensor.key.split("{", 1)[0]
        for name, text in plain.items():
            if text.endswith(tail) and head in text:
                match = _pattern(tensor.key).fullmatch(text)
                if match:
                    prefix, place, key = _place(match, tensor)
                    prefix = name[: len(prefix)]  # as the file writes it
                    part = seen.setdefault(prefix, {}).setdefault(place, {})
                    if key in part:
                        raise InputError(
                            f"'{safe(name)}' and '{safe(part[key])}' both mean {safe(key)}",
                            where=f"{file}, {safe(prefix)}" if prefix else file,
                            hint="keep one of them",
                        )
                    part[key] = name
    for prefix, parts in seen.items():
        if any(_complete(row, keys) for keys in parts.values()):
            yield _Group(row, prefix, parts)


def _place(match: re.Match[str], tensor: Tensor) -> tuple[str, Place, str]:
    """Split a name that fits into prefix, (level, direction) and the convention's key."""
    named = match.groupdict()
    prefix, level = named["prefix"], int(named.get("level") or 0)
    direction: Direction = "backward" if named.get("reverse") else "forward"
    ours = _LEVEL.fullmatch(prefix)
    if ours:
        prefix, level = ours["lead"], int(ours["level"])
        direction = "backward" if ours["direction"] == "backward" else "forward"
    gate = named.get("gate")
    return prefix, (level, direction), tensor.key.replace("{gate}", gate) if gate else tensor.key


def _complete(row: Convention, keys: Mapping[str, str]) -> bool:
    """Whether each required tensor is there, for at least one gate."""
    return all(
        any(tensor.key.replace("{gate}", gate) in keys for gate in GATE_LETTERS)
        for tensor in row.tensors
        if not tensor.optional
    )


def _without_overlaps(groups: list[_Group], tensors: Tensors, place: str) -> list[_Group]:
    """Choose groups that share no tensor: the largest first, and among equals the one that fits."""
    chosen: list[_Group] = []
    waiting = sorted(groups, key=lambda group: -len(group.names))
    while waiting:
        best = waiting[0]
        rivals = [g for g in waiting if g.names & best.names and len(g.names) == len(best.names)]
        if len(rivals) > 1:
            best = _fitting(rivals, tensors, place)
        chosen.append(best)
        waiting = [group for group in waiting if not group.names & best.names]
    return chosen


def _fitting(rivals: list[_Group], tensors: Tensors, place: str) -> _Group:
    """Choose the group whose shapes fit, or the first of several that give equal parameters."""
    readings = [(group, _try(group, tensors)) for group in rivals]
    fits = [(group, reading) for group, reading in readings if reading is not None]
    if not fits:
        return rivals[0]  # its own error will say what does not fit
    first, reading = fits[0]
    for group, other in fits[1:]:
        same = other.keys() == reading.keys() and all(
            np.array_equal(other[name], reading[name]) for name in other
        )
        if not same or group.row.forget_bias != first.row.forget_bias:
            names = [each.row.name for each, _ in fits]
            raise _ambiguous(first, names, place)
    if len(rivals) == len(fits):
        return first
    return _Group(first.row, first.prefix, first.keys, by="names and shapes")


def _ambiguous(group: _Group, names: list[str], place: str) -> InputError:
    what = f"{', '.join(_sample(group.names))} fit several conventions: {', '.join(names)}"
    hint = "say which: " + " or ".join(f"--convention {name}" for name in names[:8])
    return InputError(what, where=place, hint=hint)


def _try(group: _Group, tensors: Tensors) -> dict[str, Array] | None:
    """Unpack a group's first part; None where its shapes do not fit."""
    part = next(iter(group.found(tensors, told=True).parts.values()))
    try:
        parameters = unpack(group.row, part.tensors, "")
    except LstmStepError:
        return None
    sizes = {name: array.shape for name, array in parameters.items()}
    hidden = {shape[0] for name, shape in sizes.items() if name != "W_hr"}
    output = sizes["W_hr"][0] if "W_hr" in sizes else next(iter(hidden))
    widths = {shape[1] for name, shape in sizes.items() if name.startswith("W_") and name != "W_hr"}
    fits = len(hidden) == 1 and len(widths) == 1 and next(iter(widths)) > output
    square = sizes.get("W_hr", (output, *hidden))[1] in hidden
    return parameters if fits and square and _recurrent_is(group, part, output) else None


def _recurrent_is(group: _Group, part: Part, output: int) -> bool:
    """Whether the tensor for h_prev is as wide as h, which it is not if read transposed."""
    for tensor in group.row.tensors:
        if tensor.holds == "h" and tensor.key in part.tensors and tensor.gates:
            shape = np.shape(part.tensors[tensor.key])
            wide = shape[1] if tensor.stacking in ("rows", "interleaved") else shape[0]
            return bool(wide == output)
    return True


# Names that tell what a tensor is for, but not which layout it has.
_ROLES = {
    "x": ("W", "Wx", "W_x", "W_ih", "w_ih", "weight_x"),
    "h": ("U", "Wh", "W_h", "W_hh", "w_hh", "R", "weight_h"),
    "b": ("b", "bias", "B"),
}


def _groups_by_role(
    tensors: Tensors, convention: Convention | None, place: str
) -> Iterator[_Group]:
    """Yield groups with the generic names W, U, b; refuse them where no convention is given."""
    by_prefix: dict[str, dict[str, str]] = {}
    for name in tensors:
        lead, last = re.fullmatch(r"((?:.*[./])?)(.*)", name, re.DOTALL).groups()  # type: ignore[union-attr] # fits any text
        for role, words in _ROLES.items():
            if last in words:
                by_prefix.setdefault(lead, {})[role] = name
    for prefix, roles in by_prefix.items():
        if not {"x", "h"} <= roles.keys():
            continue
        rows = [convention] if convention else list(CONVENTIONS.values())
        fitting = [g for row in rows if (g := _as_roles(row, prefix, roles)) and _try(g, tensors)]
        if convention is None and fitting:
            raise _ambiguous(fitting[0], [group.row.name for group in fitting], place)
        yield from fitting


def _as_roles(row: Convention, prefix: str, roles: Mapping[str, str]) -> _Group | None:
    """Put W, U, b under a stacked convention's keys; None where it keeps other tensors."""
    keys: dict[str, str] = {}
    for number, role in enumerate("xhb"):
        tensor = next((t for t in row.tensors if t.holds == role and len(t.gates) >= 4), None)
        if tensor is None and number < 2:
            return None
        if tensor is not None and role in roles:
            keys[tensor.key] = roles[role]
    return _Group(row, prefix, {(0, "forward"): keys}, by="roles")


# --------------------------------------------------------------------------------------------------
# Warnings about variants that other software reads differently, each with its source.


def advice(row: Convention, traits: Traits) -> Iterator[str]:
    """Warn of each setting of a layer that other software reads differently."""
    names = [text.partition("(")[0] for text in traits.activations]
    if "hard_sigmoid" in names:
        yield (
            "hard_sigmoid here is 0.2 z + 0.5 (Keras 1 and 2, ONNX); Keras 3 and PyTorch mean "
            "z / 6 + 0.5 by that name: 0.7 against 0.6667 at z = 1 (keras issue 19898)"
        )
        if row.name.startswith("keras"):
            yield "a Keras 2 file: opened in Keras 3 its gates change silently (keras issue 19898)"
    if "hard_sigmoid_6" in names:
        yield (
            "hard_sigmoid here is z / 6 + 0.5 (Keras 3, PyTorch); Keras 1 and 2 and ONNX mean "
            "0.2 z + 0.5 by that name: 0.6667 against 0.7 at z = 1 (keras issue 19898)"
        )
    if traits.forget_bias:
        yield (
            f"the run time adds {shortest(traits.forget_bias)} to the forget gate, which no tensor "
            f"holds ({row.source}); a port that leaves it out differs from step 2 on"
        )
    if row.name == "tflite" and traits.cell_clip == 10.0:
        yield (
            "cell_clip 10 is what the TensorFlow Lite converter writes; the Keras model it came "
            "from had no clip (as in every converted file examined)"
        )
    if traits.clip and row.name == "onnx":
        yield (
            "ONNX Runtime clips pre-activations but not c before the output activation "
            "(onnxruntime issue 27224)"
        )
