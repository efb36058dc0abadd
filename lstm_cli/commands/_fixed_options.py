"""Options of `run` that ask for the same in integers: `--fixed` and what goes with it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from lstm_cli.base.errors import UsageError
from lstm_cli.base.records import record
from lstm_cli.commands._declared import option

if TYPE_CHECKING:
    from lstm_cli.engine.fixed_point import FixedSettings

HELP = """\b
Fixed point: `--fixed Q3.12` runs the cell in integers too. Qm.n is 1 sign bit, m integer bits,
n fraction bits, 2 to 32 in all: Q0.15 is int16. (ARM counts the sign in m: its Q4.12 is Q3.12.)
A kind of value may have its own, `Q3.12,weights=Q1.14,sum=Q7.24`: weights (W, U, p), bias,
input (x), sum (the z), gates (f, i, g, o, tanh(c)), cell (c), state (h). A row is computed
exactly and rounded once, when it is stored.
"""


class RoundingName(StrEnum):
    """How a value is rounded when it is stored."""

    NEAREST = "nearest"
    EVEN = "even"
    FLOOR = "floor"
    ZERO = "zero"


class OverflowName(StrEnum):
    """What is stored of a value that does not fit."""

    SATURATE = "saturate"
    WRAP = "wrap"


Spec = Annotated[
    str,
    option(
        "--fixed", metavar="FORMATS",
        help="Run in integers too: Q3.12, or Q3.12,weights=Q1.14,…; see below.",
    ),
]  # fmt: skip
Rounding = Annotated[
    RoundingName | None,
    option(
        "--fixed-rounding",
        help="nearest (the default: halves up), even (halves to even), floor (>>) or zero (cut).",
    ),
]
Overflow = Annotated[
    OverflowName | None,
    option("--fixed-overflow", help="saturate (the default), or keep the last bits: wrap."),
]
Activation = Annotated[
    str,
    option(
        "--fixed-activation",
        metavar="KIND",
        help="σ and tanh: exact (the default: correctly rounded), table:256 (nearest entry, σ over "
        "±8, tanh over ±4), table:256:linear (between entries), or hard (0.2 z + 0.5; cut z).",
    ),
]

FORMATS = ("table", "plain", "json", "csv", "c")


@record
class FixedOptions:
    """What the command line says of integers."""

    formats: str
    rounding: RoundingName | None
    overflow: OverflowName | None
    activation: str

    def named(self) -> dict[str, object]:
        """Return the options that mean nothing without `--fixed`."""
        return {
            "--fixed-rounding": self.rounding,
            "--fixed-overflow": self.overflow,
            "--fixed-activation": self.activation,
        }

    def settings(self, form: str) -> FixedSettings | None:
        """Return the settings for an output format; None where no integers are asked for.

        Raises:
            UsageError: what cannot be read, or an output format that has no place for integers.
        """
        if not self.formats:
            return None
        from lstm_cli.engine.fixed_point import FixedSettings

        if form not in FORMATS:
            raise UsageError(
                f"{form} cannot show integers",
                where="--fixed",
                hint=f"-f {', '.join(FORMATS[:-1])} or {FORMATS[-1]}",
            )
        return FixedSettings.parse(
            self.formats,
            (self.rounding or RoundingName.NEAREST).value,
            (self.overflow or OverflowName.SATURATE).value,
            self.activation or "exact",
        )
