"""Columns of tables: what of a sample each holds, by its name or as the user says.

A vector is one column (`x`, `h_prev`, `expected.h`), or a column for each of its numbers: `x0`,
`x_0` or `x[0]`, from 0 or 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from lstm_cli.base.errors import InputError, UsageError, safe
from lstm_cli.samples.sample import (  # fmt: skip
    ALIASES,
    KEYS,
    check_keys,
    has_x,
    listed,
    members_of,
    no_sample,
    symbol_of,
)
from lstm_cli.samples.tables import column_members

# One number of a vector.
_NUMBERED = re.compile(
    r"(x|[hc](?:_prev)?)_?([0-9]{1,6})"
    r"|(x|[hc](?:_prev|0|x)?|expected[._]\w+?)(?:_([0-9]{1,6})|\[([0-9]{1,6})\])"
)
_ENDS_IN_NUMBER = re.compile(r".*?([0-9]{1,6})\]?")
# Where the state before is chosen, a column named h is what should come out.
_CHOSEN = {"h": "h_prev", "c": "c_prev"}
_CHOOSABLE = (*(key for key in KEYS if key != "expected"), *ALIASES)

# A member of a sample, and which of its numbers a column holds: "" for all.
Part = tuple[str, str]


@dataclass(frozen=True)
class InputForm:
    """How files of samples are read that do not say it themselves.

    Attributes:
        form: their kind, as a suffix without its dot; "" for what content and suffix say.
        columns: a member of a sample -> a pattern of the names of its columns.
    """

    form: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, form: str, columns: str) -> InputForm:
        """Read `--input-format` and `--columns`, as `x=in*,h=h_prev*`.

        Raises:
            UsageError: no pattern, or one for what a sample does not have.
        """
        chosen: dict[str, str] = {}
        for each in filter(None, map(str.strip, columns.split(","))):
            member, pattern = (text.strip() for text in f"{each}=".split("=")[:2])
            known = member in _CHOOSABLE or member.startswith("expected.")
            if not known or not pattern or member in chosen:
                what = f"'{safe(each)}' does not say which columns are what"
                hint = "--columns 'x=in*,h=h_prev*,expected.h=out*'"
                raise UsageError(what, where="--columns", hint=hint)
            chosen[member] = pattern
        return cls(form, chosen)


def sample_columns(
    names: Sequence[str], reading: InputForm, place: str, word: str = "column", wide: bool = True
) -> list[str]:
    """The names of columns as all else knows them: `x_0` for `x[0]`, `h` for `h_prev`.

    Args:
        names: as the file has them.
        reading: what the user says of them.
        place: for messages.
        word: what a column is called here.
        wide: whether a column may hold one number of a vector.

    Raises:
        InputError: none is x, two are the same, one looks like one of ours, numbers have a gap, a
            pattern fits none.
    """
    split = dict(_chosen(names, reading.columns, place))
    there = frozenset(names)
    for name in sorted(there - split.keys()):
        split[name] = _part(name, there) if wide else (name, "")
        if wide and _NUMBERED.fullmatch(name.lower()) and not _NUMBERED.fullmatch(name):
            hint = f"did you mean '{name.lower()}'?"
            raise InputError(f"unknown {word} '{safe(name)}'", where=place, hint=hint)
    bases = tuple(dict.fromkeys(split[name][0] for name in names))
    if not has_x(bases):
        raise _without_x(names, place)
    check_keys(column_members(bases), place, word)
    members = dict(zip(bases, members_of(bases), strict=True))
    parts = [(members[base], number) for base, number in map(split.__getitem__, names)]
    _check_once(names, parts, place, word)
    return [f"{member}_{number}" if number else member for member, number in parts]


def _part(name: str, names: frozenset[str]) -> Part:
    """The part that a name says; `h0` is all of h where no `h1` follows."""
    match = _NUMBERED.fullmatch(name)
    alone = name in ALIASES and names.isdisjoint(name[0] + mark for mark in ("1", "_1", "[1]"))
    if match is None or alone:
        return _dotted(name), ""
    vector, number = match[1] or match[3], match[2] or match[4] or match[5]
    return _dotted(vector), str(int(number))


def _dotted(name: str) -> str:
    """`expected.h` for `expected_h`."""
    return f"expected.{symbol_of(name)}" if symbol_of(name) else name


def _chosen(
    names: Sequence[str], columns: Mapping[str, str], place: str
) -> Iterator[tuple[str, Part]]:
    """Yield the columns that the user has chosen."""
    taken: set[str] = set()
    for member, pattern in columns.items():
        fitting = [name for name in names if fnmatchcase(name, pattern)]
        if not fitting or taken.intersection(fitting):
            what = f"no column is like '{safe(pattern)}'"
            if fitting:
                what = f"column '{safe(min(taken.intersection(fitting)))}' is chosen twice"
            raise InputError(what, where=place, hint=f"the columns are {listed(names)}")
        taken.update(fitting)
        if len(fitting) > 1 and member not in ("x", "h", "c", *ALIASES) and member in _CHOOSABLE:
            what = f"'{member}' has {len(fitting)} columns like '{safe(pattern)}'"
            raise InputError(what, where=place, hint="name the one that it is")
        for number, name in enumerate(_in_order(fitting)):
            yield name, (_CHOSEN.get(member, member), str(number) if len(fitting) > 1 else "")


def _in_order(names: Sequence[str]) -> Sequence[str]:
    """Columns by their numbers, or as they stand where some have none."""
    ends = [_ENDS_IN_NUMBER.fullmatch(name) for name in names]
    numbers = [int(end[1]) for end in ends if end]
    if len(numbers) < len(names):
        return names
    return [name for _, name in sorted(zip(numbers, names, strict=True))]


def _check_once(names: Sequence[str], parts: Sequence[Part], place: str, word: str) -> None:
    """Refuse what is there twice, also as a whole and by its numbers, and numbers with a gap."""
    seen: dict[Part, str] = {}
    numbers: dict[str, list[int]] = {}
    for name, (member, number) in zip(names, parts, strict=True):
        other = seen.get((member, number)) or seen.get((member, "" if number else "any"))
        if other is not None:
            both = f"s '{safe(other)}' and '{safe(name)}' hold the same"
            what = f"{word} '{safe(name)}' is there twice" if other == name else word + both
            raise InputError(what, where=place, hint="keep one")
        seen[member, number] = name
        if number:
            seen.setdefault((member, "any"), name)
            numbers.setdefault(member, []).append(int(number))
    for member, found in numbers.items():
        first = 0 if 0 in found else 1
        lacking = set(range(first, first + len(found))).difference(found)
        if lacking:
            what = f"{member}_{min(lacking)} has no {word}, and {member}_{max(found)} has one"
            raise InputError(what, where=place, hint="number them from 0 or 1 without gaps")


def _without_x(names: Sequence[str], place: str) -> InputError:
    """The error of a table without x: its lines may be numbers alone, or weights."""
    error = no_sample(names, place)
    what, hint = error.what, error.lines.hint
    if names and all(map(_is_number, names)):
        what = "the first line holds numbers, not the names of columns"
        hint = "name them there: x_0,x_1,…; lstm-step run --x @FILE runs the lines as steps"
    elif what.startswith("'x'"):
        hint = "name its columns x_0, x_1, …, or say which they are: --columns 'x=in*'"
    return type(error)(what, where=place, hint=hint)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def folded(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a table, those of a vector's numbers as one: `x` for `x_0`, `x_1`."""
    found: dict[str, Any] = {}
    numbered: dict[str, dict[int, Any]] = {}
    for name, values in columns.items():
        vector, number = _part(name, frozenset())
        if number:
            numbered.setdefault(vector, {})[int(number)] = values
        else:
            found[name] = values
    for vector, parts in numbered.items():
        rows = zip(*(parts[number] for number in sorted(parts)), strict=True)
        found[vector] = list(map(list, rows))
    return found
