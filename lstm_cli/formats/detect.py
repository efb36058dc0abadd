"""Find every LSTM among named tensors: by names, then by shapes, and never by a guess.

A file may hold many layers and other things. Each convention's keys are looked for at the end of
the names; the part before them (`decoder.rnn.`) is the LSTM's name. Levels and directions, whether
in the keys (`_l1_reverse`) or before them (`layer1_backward_`), are combined into one LSTM. At the
end are warnings about layers that other software reads differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, safe
from lstm_cli.base.foreign import Foreign, raw
from lstm_cli.base.numbers import shortest
from lstm_cli.cell.traits import Traits
from lstm_cli.cell.weights import NO_MASK, Direction, Merge, OwnMask
from lstm_cli.formats.by_shape import layouts_by_shape
from lstm_cli.formats.contents import Block, Contents, Info, Part, Place, Stack, Tensors, Variant
from lstm_cli.formats.conventions import (
    CONVENTIONS,
    GATE_LETTERS,
    ByHand,
    Convention,
    Tensor,
    convention_named,
    layouts_by_hand,
)
from lstm_cli.formats.layouts import unpack


@dataclass(frozen=True, eq=False)
class Found:
    """One LSTM of a file: a stack of levels, each in one or two directions.

    Attributes:
        name: its name in the file, "" where tensor names have no prefix.
        convention: the layout of its tensors.
        parts: (level, direction) -> tensors under the convention's keys, and the variant.
        known_by, open, mask, merge: as in `Block`.
        names: the names of its tensors in the file, where it was found by names.
        question: what the file leaves open, where only the user can decide between `readings`.
        readings: the LSTM by each layout that fits; one alone is to be confirmed by the user.
        x_is: as in `Block`.
        members: of a stack of layers that the file joins, their places in the list of all.
    """

    name: Foreign
    convention: Convention
    parts: Mapping[Place, Part]
    known_by: tuple[str, ...]
    open: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    question: str = ""
    readings: tuple[Found, ...] = ()
    merge: Merge = "concat"
    x_is: str = ""
    members: tuple[int, ...] = ()
    mask: OwnMask = field(kw_only=True)


def find_lstms(contents: Contents, place: str, convention: Convention | None = None) -> list[Found]:
    """Find every LSTM of a file, in file order, then the stacks that the file joins them to.

    Args:
        convention: the layout that the user chose; None lets names and shapes decide.

    A file that describes its layers is trusted over the names of its tensors: a layer that it
    describes and that is refused is not looked for by name instead.

    Names that fit several layouts, which give different numbers, come with all their readings.

    Raises:
        InputError: two tensors have the same role.
    """
    if contents.blocks or contents.refused:
        layers = [_from_block(block, convention) for block in contents.blocks]
        return layers + [_of_stack(stack, layers) for stack in contents.stacks]
    tensors = contents.tensors
    groups = _groups_in(tensors, place, convention)
    order = {name: position for position, name in enumerate(tensors)}
    groups.sort(key=lambda group: min(order[name] for name in group.names))
    exact = convention is not None and bool(convention.tensors)
    found = [group.found(tensors, told=exact) for group in groups]
    said = (contents.by_name,) if contents.by_name else ()
    used = frozenset().union(*(each.names for each in found))
    unused = [name for name in tensors if name not in used]
    return [
        _saying(each, (*said, *_left_beside(each, unused), *_narrow_integers(each, tensors)))
        for each in found
    ]


def _left_beside(found: Found, unused: list[str]) -> Iterator[str]:
    """Yield a sentence on tensors that nothing uses, in the folders of an LSTM's own."""
    folders = set(map(_folder, found.names))
    if left := [name for name in unused if _folder(name) in folders]:
        yield f"{', '.join(_sample(left))} beside its weights: not used"


def _narrow_integers(found: Found, tensors: Tensors) -> Iterator[str]:
    """Yield a sentence on weights of few bits, which a scale that is not there would make small."""
    kinds = {name: raw(tensors.infos[name].dtype) for name in found.names}
    if narrow := [name for name, kind in kinds.items() if kind in _NARROW]:
        shown = ", ".join(_sample(narrow))
        yield f"{shown}: integers of {safe(kinds[narrow[0]])}, taken as they are, without a scale"


_NARROW = ("int8", "uint8", "int16", "uint16")


def _folder(name: str) -> str:
    """The beginning of a name, to the last `.` or `/`."""
    return name[: max(name.rfind("."), name.rfind("/")) + 1]


def _groups_in(tensors: Tensors, place: str, convention: Convention | None) -> list[_Group]:
    """The groups by names, by generic names or by shapes: the first way that finds any."""
    if convention is None:
        rows = list(CONVENTIONS.values())
        return (
            _by_names(rows, tensors, place) or _groups_by_role(rows, tensors)
            or _only_if_told(tensors, place)
        )  # fmt: skip
    if convention.tensors:
        rows = [convention]
        exactly = _by_names(rows, tensors, place, exact=True)
        return exactly or _groups_by_role(rows, tensors)
    hand = convention.hand or ByHand()
    rows = layouts_by_hand(hand)
    found = _by_names(rows, tensors, place)
    if not found and not hand.gates:  # with an order of gates, shapes tell what W, U and b are
        found = _groups_by_role(rows, tensors)
    return found or _by_shape(convention, tensors, place)


def _by_names(
    rows: list[Convention], tensors: Tensors, place: str, *, exact: bool = False
) -> list[_Group]:
    groups = [group for row in rows for group in _groups(row, tensors, place, loose=exact)]
    return list(_chosen(groups, tensors, exact=exact))


def _by_shape(convention: Convention, tensors: Tensors, place: str) -> list[_Group]:
    shapes = {name: info.shape for name, info in tensors.infos.items()}
    found = []
    for prefix, rows in layouts_by_shape(convention, shapes, place).items():
        first, *others = (
            _Group(row, prefix, {(0, "forward"): {t.key: t.key for t in row.tensors}})
            for row in rows
        )
        found.append(replace(first, others=tuple(others)))
    return found


def _saying(found: Found, said: tuple[str, ...]) -> Found:
    readings = tuple(_saying(each, said) for each in found.readings)
    return replace(found, open=(*found.open, *said), readings=readings)


def _from_block(block: Block, convention: Convention | None) -> Found:
    """A layer that the file describes, in its own layout or as the user says."""
    if convention is not None and convention.tensors:
        rows = [convention]
    else:
        names = block.undecided.conventions if block.undecided else (block.convention,)
        said = f",{convention.name}" if convention else ""
        rows = [convention_named(name + said) for name in names]
    parts: dict[Place, Part] = {(0, side): part for side, part in block.parts.items()}
    own = (f"its x is not what the model is given: it is {safe(block.x_is)}",) if block.x_is else ()
    is_open = (*block.open, *own, *block.mask.open)
    found = Found(Foreign.of(block.name), rows[0], parts, block.known_by, is_open, mask=block.mask,
                  merge=block.merge, x_is=block.x_is)  # fmt: skip
    if block.undecided is None or len(rows) == 1:
        return found
    readings = tuple(replace(found, convention=row) for row in rows)
    return replace(found, question=block.undecided.what, readings=readings)


def _of_stack(stack: Stack, layers: Sequence[Found]) -> Found:
    """The layers of a stack as one LSTM."""
    members = tuple(number for level in stack for number in level)
    first, *others = (layers[number] for number in members)
    names = ["+".join(layers[number].name.text for number in level) for level in stack]
    parts: dict[Place, Part] = {
        (level, side): part
        for level, numbers in enumerate(stack)
        for number in numbers
        for (_, side), part in layers[number].parts.items()
    }
    told = [
        f"'{safe(each.name)}': {sentence}"
        for each in others
        for sentence in each.open
        if sentence not in first.open and not (first.mask != NO_MASK and sentence in each.mask.open)
    ]
    found = replace(
        layers[members[-1]],  # whose output is the stack's
        name=Foreign.of("..".join(dict.fromkeys((names[0], names[-1])))), parts=parts,
        known_by=(f"joined directly in the file: {' → '.join(map(safe, names))}",),
        open=(*first.open, *told), mask=first.mask, x_is=first.x_is, members=members,
    )  # fmt: skip
    asked = next((each for each in (first, *others) if each.readings), first)
    readings = tuple(replace(found, convention=each.convention) for each in asked.readings)
    return replace(found, question=asked.question, readings=readings)


@dataclass(frozen=True, eq=False)
class _Group:
    """Tensors of a file whose names fit one convention, under one prefix."""

    row: Convention
    prefix: str
    keys: Mapping[Place, Mapping[str, str]]  # the convention's key -> the file's name
    by: str = "names"
    others: tuple[_Group, ...] = ()  # that fit as well and give other numbers
    question: str = ""

    @property
    def names(self) -> set[str]:
        return {name for keys in self.keys.values() for name in keys.values()}

    def found(self, tensors: Tensors, *, told: bool) -> Found:
        by = self.row.options if told or self.row.hand else self.by
        known = by if told else f"{by}: {', '.join(_sample(self.names))}"
        leaves_open = () if told or not self.row.leaves_open else (self.row.leaves_open,)
        name, parts = self.prefix.rstrip("._/"), dict(self._parts(tensors))
        beside, notes = self._beside(tensors)
        names = frozenset(self.names | set(beside))
        found = Found(Foreign.of(name), self.row, parts, (known,), (*leaves_open, *notes), names,
                      mask=NO_MASK)  # fmt: skip
        if not self.question and not self.others:
            return found
        rows = [each.row.name for each in (self, *self.others)]
        what = f"{', '.join(_sample(self.names))} fit several conventions: {', '.join(rows)}"
        alone = replace(self, others=(), question="")
        readings = tuple(each.found(tensors, told=True) for each in (alone, *self.others))
        return replace(found, open=notes, question=self.question or what, readings=readings)

    def _settings(self, tensors: Tensors) -> dict[str, tuple[str, float]]:
        """What the run time adds -> the name under which the file has it, and the number."""
        found = {}
        for key in _SETTINGS:
            name = self.prefix + key
            if name in tensors and np.prod(tensors.infos[name].shape, dtype=np.float64) == 1:
                found[key] = name, _number(name, tensors[name])
        return found

    def _beside(self, tensors: Tensors) -> tuple[list[str], tuple[str, ...]]:
        """Names that belong to it without being its weights, and a note on each kind."""
        settings = self._settings(tensors)
        told = [
            _SETTINGS[key].format(shortest(value), shortest(-value))
            for key, (_, value) in settings.items()
        ]
        sizes = {size for name in self.names for size in tensors.infos[name].shape}
        heads = [name for name, info in tensors.infos.items()
                 if self.row.base in (*_OURS, "d2l") and _HEAD.fullmatch(name)
                 and (len(info.shape) < 2 or 1 in info.shape or sizes & {*info.shape})]  # fmt: skip
        if heads:
            told.append(f"{', '.join(_sample(heads))}: a head, not part of the LSTM, is not run")
        return [*(name for name, _ in settings.values()), *heads], tuple(told)

    def _parts(self, tensors: Tensors) -> Iterator[tuple[Place, Part]]:
        sides: tuple[Direction, ...] = ("forward", "backward")
        settings: Any = {key: value for key, (_, value) in self._settings(tensors).items()}
        variant = Variant(**settings)
        for level, direction in sorted(self.keys, key=lambda at: (at[0], sides.index(at[1]))):
            keys = self.keys[level, direction]
            shape = tensors.infos[next(iter(keys.values()))].shape
            if self.row.directions_axis and len(shape) == 3:
                for index, side in zip(range(shape[0]), sides, strict=False):
                    yield (level, side), Part(_selected(tensors, keys, index), variant)
            else:
                yield (level, direction), Part(_selected(tensors, keys), variant)


# What a run time adds, where a file has it as a number beside the weights.
_SETTINGS = {
    "forget_bias": "forget_bias {0} of the file is added to z_f at run time; where b_f holds it "
    "already, give --forget-bias {1}",
    "clip": "clip {0} of the file limits pre-activations",
    "cell_clip": "cell_clip {0} of the file limits the cell state",
}


def _number(name: str, array: Array) -> float:
    value = float(np.ravel(array)[0]) if array.dtype.kind in "fiub" else np.nan
    if not np.isfinite(value) or (name.endswith("clip") and value < 0):
        raise InputError(
            f"{safe(name)} is {value}", where=safe(name),
            hint="a finite number, positive for a clip; or leave it out of the file",
        )  # fmt: skip
    return value


# What stands after an LSTM, by the usual names.
_HEAD = re.compile(
    r"(.*[._/])?([Ww]_?h?[yq]|[Vv]|[Bb]_?[yqv])|(.*[._/])?(fc|head|dense|linear|out|output)[._/].*"
)


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


_LITERATURE = re.compile(r"(?P<lead>.*[._/]|)(?P<kind>[WUbp]|W_?[xh])_?(?P<gate>[figoc])")
_IN_LOWER_CASE = re.compile(r"(?P<lead>.*[._/]|)(?P<kind>[wubp])_?(?P<gate>[figoc])")
_LEVEL = re.compile(r"(?P<lead>.*?)layer(?P<level>\d{1,3})_(?P<direction>forward|backward)_")
_OURS = ("joined", "joined-xh", "split")
# What a kind of matrix is called in a layout of an array a gate: ours, or d2l's for x and for h.
_KINDS = {"split": {"Wx": "W_", "Wh": "U_"}, "d2l": {"W": "W_x", "Wx": "W_x", "Wh": "W_h"}}


def _plain(name: str, row: Convention, *, loose: bool) -> str:
    """Normalise a name: `.` for `/`, no framework suffixes, and `Wc` as W_g in our layouts.

    Args:
        loose: whether lower case will do, since the user names the layout.
    """
    name = name.replace("/", ".").removesuffix(":0").removesuffix(".value")
    if row.base not in (*_OURS, "d2l"):
        return name
    match = _LITERATURE.fullmatch(name) or (_IN_LOWER_CASE.fullmatch(name) if loose else None)
    if match is None:
        return name
    kind, gate = match["kind"].replace("_", ""), match["gate"].replace("c", "g")
    kind = kind.upper() if kind in "wu" else kind
    kinds = _KINDS.get(row.base, {})
    if len(kind) > 1 and kind not in kinds:
        return name
    return f"{match['lead']}{kinds.get(kind, f'{kind}_')}{gate}"


@lru_cache(maxsize=512)
def _pattern(key: str) -> re.Pattern[str]:
    inner = (
        re.escape(key)
        .replace(r"\{gate\}", f"(?P<gate>[{GATE_LETTERS}])")
        .replace(r"\{layer\}", r"(?P<level>\d{1,3})")
        .replace(r"\{reverse\}", "(?P<reverse>_reverse)?")
    )
    return re.compile(rf"(?P<prefix>(?:.*[._])?){inner}")


def _groups(row: Convention, tensors: Tensors, file: str, *, loose: bool) -> Iterator[_Group]:
    """Yield a group for each prefix under which the convention is complete."""
    seen: dict[str, dict[Place, dict[str, str]]] = {}
    plain = {name: _plain(name, row, loose=loose) for name in tensors}
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


def _chosen(groups: list[_Group], tensors: Tensors, *, exact: bool) -> Iterator[_Group]:
    """Choose groups that share no tensor: the largest first, and among equals those that fit.

    Args:
        exact: whether the user names the layout, which leaves nothing to ask.
    """
    fitting = (g for g in groups if exact or (g.row.by_name and not _leaves_bias(g, tensors)))
    waiting = sorted(fitting, key=lambda g: -len(g.names))
    while waiting:
        best = waiting[0]
        rivals = [g for g in waiting if g.names & best.names and len(g.names) == len(best.names)]
        if not exact and best.row.base not in (
            *_OURS,
            "pytorch-cell",
        ):  # names that are no one else's
            rivals += [
                g for g in groups
                if not g.row.by_name and g.prefix == best.prefix and g.names == best.names
            ]  # fmt: skip
        yield _fitting(rivals, tensors)
        waiting = [group for group in waiting if not group.names & best.names]


def _leaves_bias(group: _Group, tensors: Tensors) -> bool:
    """Whether a layout without a bias stands beside one that another layout calls so."""
    own = [tensor.key for tensor in group.row.tensors if tensor.holds == "b"]
    has = any(key in keys for keys in group.keys.values() for key in own)
    return not has and any(group.prefix + name in tensors for name in _ROLES["b"])


def _fitting(rivals: list[_Group], tensors: Tensors) -> _Group:
    """Choose the first group whose shapes fit, with the others that give other numbers."""
    own = [g for g in rivals if g.row.under and re.search(f"{g.row.under}[._/]$", g.prefix)]
    rivals = own or [rivals[0], *(g for g in rivals[1:] if not _alike(g.row, rivals[0].row))]
    if len(rivals) == 1:
        return rivals[0]
    readings = [(group, reading) for group in rivals if (reading := _try(group, tensors))]
    if not readings:
        return rivals[0]  # its own error will say what does not fit
    first, arrays = readings[0]
    differ = any(
        not _same_habits(group.row, first.row) or other.keys() != arrays.keys()
        or not all(np.array_equal(other[name], arrays[name]) for name in other)
        for group, other in readings[1:]
    )  # fmt: skip
    by = first.by if len(rivals) == len(readings) else f"{first.by} and shapes"
    return replace(first, by=by, others=tuple(g for g, _ in readings[1:]) if differ else ())


def _alike(one: Convention, other: Convention) -> bool:
    return one.tensors == other.tensors and _same_habits(one, other)


def _same_habits(one: Convention, other: Convention) -> bool:
    """Whether two run times add the same."""
    habits = [(row.forget_bias, row.activations, row.clip, row.cell_clip) for row in (one, other)]
    return habits[0] == habits[1]


def _only_if_told(tensors: Tensors, place: str) -> list[_Group]:
    """A group where all of a file's names fit layouts that names alone do not choose, or none."""
    rows = [row for row in CONVENTIONS.values() if not row.by_name or row.base in _OURS]
    groups = [
        group for row in rows for group in _groups(row, tensors, place, loose=True)
        if group.names == set(tensors) and _try(group, tensors)
    ]  # fmt: skip
    what = f"{', '.join(_sample(tensors))} do not tell their layout by themselves"
    return [replace(first, others=tuple(groups[1:]), question=what) for first in groups[:1]]


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


def _groups_by_role(rows: list[Convention], tensors: Tensors) -> list[_Group]:
    """Groups with the generic names W, U, b, each with all the layouts that it fits."""
    by_prefix: dict[str, dict[str, str]] = {}
    for name in tensors:
        lead, last = re.fullmatch(r"((?:.*[./])?)(.*)", name, re.DOTALL).groups()  # type: ignore[union-attr] # fits any text
        for role, words in _ROLES.items():
            if last in words:
                by_prefix.setdefault(lead, {})[role] = name
    found = []
    for prefix, roles in by_prefix.items():
        groups = [g for row in rows if (g := _as_roles(row, prefix, roles)) and _try(g, tensors)]
        # First those whose own names these are.
        groups.sort(key=lambda g: not all(prefix + k == n for k, n in g.keys[0, "forward"].items()))
        if groups and {"x", "h"} <= roles.keys():
            found.append(_fitting(groups, tensors))
    return found


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
        source = row.source if row.forget_bias else "the file"
        yield (
            f"the run time adds {shortest(traits.forget_bias)} to the forget gate, which no tensor "
            f"holds ({source}); a port that leaves it out differs from step 2 on"
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
