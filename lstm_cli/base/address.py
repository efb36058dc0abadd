"""The address of a value in a run: `layer1.backward.f[3]@7`, where every part is optional.

Layer (from 0), direction, symbol, units (from 0) and input times (from 1). Options, expected
numbers and `trace["…"]` all name places this way.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from lstm_cli.base.errors import UsageError, caret
from lstm_cli.base.records import value_record

DIRECTIONS = ("forward", "backward")
# Patterns are compiled at their first use, by `re` itself: a start should not pay for them.
_PART = r"""(?x)(?: layer(?P<layer>[0-9]{1,6})
          | (?P<direction>forward|backward)
          | (?P<symbol>[^\W\d]\w*(?:\([^()]*\))?)
        ) (?= [.\[@] | $ )"""
_UNITS, _TIMES = r"\[([^\[\]]*)\]", r"@([\w:, -]+)"
EXAMPLE = "layer1.backward.f[3]@7"


@value_record
class Address:
    """A place in a run.

    Attributes:
        layer: the layer, from 0; None means any.
        direction: "forward", "backward", or "" for either.
        symbol: a row of the cell, x, h_prev, c_prev or output; "" means any.
        units: in the syntax of `choose`, from 0; "" means all.
        times: in the same syntax, from 1.
    """

    layer: int | None = None
    direction: str = ""
    symbol: str = ""
    units: str = ""
    times: str = ""

    def __str__(self) -> str:
        layer = "" if self.layer is None else f"layer{self.layer}"
        place = ".".join(part for part in (layer, self.direction, self.symbol) if part)
        units = f"[{self.units}]" if self.units else ""
        return f"{place}{units}" + (f"@{self.times}" if self.times else "")

    def joined(self, other: Address, where: str) -> Address:
        """Combine two addresses, each of which gives some of the parts.

        Raises:
            UsageError: both give the same part; `where` names the other address.
        """
        parts: dict[str, Any] = {}
        for name, option in _OPTIONS.items():
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine not in (None, "") and theirs not in (None, "", mine):
                raise UsageError(
                    f"{option} and {where} both set it: {mine} and {theirs}", where=where,
                    hint=f"leave out {option}, or that part of {where}",
                )  # fmt: skip
            parts[name] = theirs if mine in (None, "") else mine
        return Address(**parts)


# Parts of an address, and the options that set a single part.
_OPTIONS = {"layer": "--layer", "direction": "--direction", "units": "--unit", "times": "--at"}


def parse_addresses(text: str, where: str) -> tuple[Address, tuple[str, ...]]:
    """Read one address, or several symbols at the same place: `f`, `z_f,f,c`, `f[3]@7,c[3]@7`.

    Returns:
        the place, without its symbol, and the symbols; () means all.

    Raises:
        UsageError: as `parse_address`, or the places differ.
    """
    if not text.strip():
        return Address(), ()
    try:
        found = [parse_address(text.strip(), where)]  # a list of times contains commas itself
    except UsageError:
        words = re.findall(r"(?:\[[^\]]*\]|[^,\s\[])+", text)
        found = [parse_address(word, where) for word in words]
    places = dict.fromkeys(replace(each, symbol="") for each in found)
    if len(places) != 1:
        first, second, *_ = map(str, found)
        raise UsageError(
            f"{first} and {second} are different places", where=where,
            hint="use the same place for all symbols, or run a command for each",
        )  # fmt: skip
    return next(iter(places)), tuple(dict.fromkeys(each.symbol for each in found if each.symbol))


def parse_address(text: str, where: str) -> Address:
    """Read an address.

    Raises:
        UsageError: the text is not an address; with a caret under the part that cannot be read.
    """
    found: dict[str, str] = {}
    position, order = 0, ("layer", "direction", "symbol")
    allowed: tuple[str, ...] = order
    while (part := re.compile(_PART).match(text, position)) and part.lastgroup in allowed:
        found[part.lastgroup] = part[part.lastgroup]
        allowed = order[order.index(part.lastgroup) + 1 :]
        position = part.end() + (text[part.end() : part.end() + 1] == "." and bool(allowed))
        if text[position - 1 : position] != ".":
            break
    for name, pattern in (("units", _UNITS), ("times", _TIMES)):
        if match := re.compile(pattern).match(text, position):
            found[name], position = match[1].strip(), match.end()
    if position < len(text) or not text or text.endswith(".") or "" in found.values():
        raise UsageError(
            f"'{text}' is not an address", where=f"{where}\n{caret(text, position)}",
            hint=f"{EXAMPLE}: layer, direction, symbol, units, input time, all optional",
        )  # fmt: skip
    layer = found.pop("layer", None)
    return Address(None if layer is None else int(layer), **found)


def choose(text: str, count: int, option: str, *, first: int = 0) -> list[int]:
    """Return the numbers out of `count` that `3`, `0:8`, `0,2,5:7`, `all` or `last` selects.

    Args:
        text: the choice; as in Python, `a:b` excludes b if counting starts at 0, but includes it
            if counting starts at 1.
        count: how many there are.
        option: the name of the option, for messages.
        first: the number of the first one, 0 or 1.

    Raises:
        UsageError: not a choice, or out of range; with a caret under it.
    """
    chosen: list[int] = []
    for match in re.finditer(r"[^,]+", text):
        word, last = match[0].strip(), first + count - 1
        span = re.fullmatch(r"(-?[0-9]{1,9})?(:)?(-?[0-9]{1,9})?", word)
        if word in ("all", "last"):
            chosen += range(first, last + 1) if word == "all" else [last]
            continue
        if not word or span is None or (span[1] and span[3] and not span[2]):
            raise _bad_choice(text, match, option, f"'{word}' is not a choice", first, last)
        begin = _bound(span[1], first, count, first)
        end = _bound(span[3], last, count, first) if span[2] else begin
        if span[2] and span[3] and first == 0:
            end -= 1
        if not (first <= begin <= last and first <= end <= last):
            what = f"'{word}' is outside {first} to {last}"
            raise _bad_choice(text, match, option, what, first, last)
        chosen += range(begin, end + 1)
    if not chosen:
        raise UsageError(f"{option} chooses nothing", where=option, hint=f"{option} {first}")
    return list(dict.fromkeys(chosen))


def _bound(text: str | None, default: int, count: int, first: int) -> int:
    value = int(text) if text else default
    return value + count + first if value < 0 else value


def _bad_choice(
    text: str, match: re.Match[str], option: str, what: str, first: int, last: int
) -> UsageError:
    """Make an error that points at the word and suggests valid choices."""
    some, end = min(3, last), min(8, last + 1 - first)
    span = f"1:{end} (1 to {end})" if first else f"0:{end} (0 to {end - 1})"
    choices = [str(some), span, "last", "all"]
    if option.startswith("--"):
        choices = [f"{option} {each}" for each in choices]
    return UsageError(
        f"{option}: {what}",
        where=f"{option}\n{caret(text, match.start(), len(match[0]))}",
        hint=f"{', '.join(choices[:-1])} or {choices[-1]}",
    )
