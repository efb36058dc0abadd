"""Settings of an integer port: formats per kind of value, rounding, overflow, σ and tanh."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from lstm_cli.base.errors import UsageError, caret, safe, suggest
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Apply, Node
from lstm_cli.cell.notation import is_parameter
from lstm_cli.engine.fixed_point.formats import FixedFormat, OverflowMode, Rounding

# Kinds of values that can have a format of their own.
KINDS: Mapping[str, str] = {
    "weights": "W_…, U_…, p_… and W_hr",
    "bias": "b_…",
    "input": "x of the first layer (above it x is h, and in its format)",
    "sum": "pre-activations: z_…, and rows that sum up a matrix product",
    "gates": "f, i, g, o and other rows, and an activation within a row: the tanh(c) of h",
    "cell": "c",
    "state": "h",
}

MOST_ENTRIES = 2**16
_TABLE = re.compile(r"table:([0-9]{1,9})(:linear)?")


@dataclass(frozen=True)
class Activation:
    """How σ and tanh are computed.

    Attributes:
        mode: "exact" (correctly rounded), "table", or "hard" (0.2 z + 0.5 clipped to 0 … 1 for σ,
            z clipped to ±1 for tanh).
        linear: whether a table interpolates; otherwise the nearest entry is used.
    """

    mode: Literal["exact", "table", "hard"] = "exact"
    entries: int = 0
    linear: bool = False

    @classmethod
    def parse(cls, text: str, place: str = "--fixed-activation") -> Activation:
        """Parse `exact`, `hard`, `table:256` or `table:256:linear`.

        Raises:
            UsageError: none of these, or the table is too short or too long; with a caret.
        """
        if text in ("exact", "hard"):
            return cls("hard" if text == "hard" else "exact")
        match = _TABLE.fullmatch(text)
        hint = "exact, table:256, table:256:linear or hard"
        if match is None:
            where = f"{place}\n{caret(text, 0, len(text))}"
            raise UsageError(f"unknown activation '{safe(text)}'", where=where, hint=hint)
        entries = int(match[1])
        if not 2 <= entries <= MOST_ENTRIES:
            raise UsageError(
                f"a table of {entries} entries: 2 to {MOST_ENTRIES} are supported",
                where=f"{place}\n{caret(text, match.start(1), len(match[1]))}",
                hint=hint,
            )
        return cls("table", entries, match[2] is not None)

    def __str__(self) -> str:
        if self.mode != "table":
            return self.mode
        return f"table:{self.entries}" + (":linear" if self.linear else "")


@dataclass(frozen=True, eq=False)
class FixedSettings:
    """How an integer port computes.

    Attributes:
        rounding: how values, including the given numbers, are rounded when stored.
        overflow: how a value that does not fit is stored: the nearest that fits, or its lowest
            bits.

    Raises:
        UsageError: an unknown mode, or a kind without a format.
    """

    formats: Mapping[str, FixedFormat]
    rounding: Rounding = "nearest"
    overflow: OverflowMode = "saturate"
    activation: Activation = Activation()

    def __post_init__(self) -> None:
        modes = {"rounding": (self.rounding, get_args(Rounding)),
                 "overflow": (self.overflow, get_args(OverflowMode))}  # fmt: skip
        for name, (given, known) in modes.items():
            if given not in known:
                raise UsageError(
                    f"unknown {name} '{safe(given)}'", where=name, hint=suggest(given, known)
                )
        if missing := [kind for kind in KINDS if kind not in self.formats]:
            raise UsageError(
                f"no format for {', '.join(missing)}",
                where="--fixed",
                hint="start with one for all: Q3.12,weights=Q1.14",
            )

    @classmethod
    def parse(
        cls,
        text: str,
        rounding: Rounding = "nearest",
        overflow: OverflowMode = "saturate",
        activation: str = "exact",
    ) -> FixedSettings:
        """Parse settings such as `Q3.12` or `Q3.12,weights=Q1.14,sum=Q7.24`.

        Raises:
            UsageError: a syntax error, with a caret, or a kind without a format.
        """
        return cls(_parse_formats(text), rounding, overflow, Activation.parse(activation))

    def format_of(self, symbol: str, cell: Cell, level: int = 0) -> FixedFormat:
        """Return the format of a symbol or parameter of a cell in layer `level` (from 0)."""
        if symbol == "x" and level > 0:
            return self.formats["state"]
        return self.formats[kind_of(symbol, cell)]


def kind_of(symbol: str, cell: Cell) -> str:
    """Return which of `KINDS` a symbol, input or parameter of a cell is."""
    state = {"x": "input", "h": "state", "h_prev": "state", "c": "cell", "c_prev": "cell"}
    if symbol in state:
        return state[symbol]
    if is_parameter(symbol):
        return "bias" if symbol.startswith("b_") else "weights"
    if symbol.startswith("z_") or _sums_a_product(cell[symbol].expression):
        return "sum"
    return "gates"


def _sums_a_product(node: Node) -> bool:
    match node:
        case Apply("@", _):
            return True
        case Apply("+" | "-" | "neg", arguments):
            return any(_sums_a_product(each) for each in arguments)
    return False


def _parse_formats(text: str) -> dict[str, FixedFormat]:
    """Parse `Q3.12,weights=Q1.14` into the format of each kind."""
    given: dict[str, FixedFormat] = {}
    for part in re.finditer(r"[^,]+|(?<=,)(?=,|$)|^$", text):
        kind, start = _kind_in(part, text)
        if kind in given:
            name = kind or "the format for all"
            raise _bad(text, part.start(), len(part[0]), f"{name} is given twice", "keep one")
        value = text[start : part.end()]
        lead = len(value) - len(value.lstrip())
        given[kind] = FixedFormat.parse(value.strip(), "--fixed", text, start + lead)
    base = given.pop("", None)
    return dict.fromkeys(KINDS, base) | given if base is not None else given


def _kind_in(part: re.Match[str], text: str) -> tuple[str, int]:
    """Return the kind named in a part, "" for none, and where its format starts."""
    name, sign, _ = part[0].partition("=")
    if not sign:
        return "", part.start()
    kind = name.strip()
    if kind not in KINDS:
        raise _bad(
            text, part.start(), len(name), f"unknown kind of value '{safe(kind)}'",
            suggest(kind, KINDS),
        )  # fmt: skip
    return kind, part.start() + len(name) + 1


def _bad(text: str, start: int, length: int, what: str, hint: str) -> UsageError:
    return UsageError(what, where=f"--fixed\n{caret(text, start, length)}", hint=hint)
