"""Options of `run` for fixed-point arithmetic: `--fixed` and its companions."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from lstm_cli.base.errors import UsageError
from lstm_cli.commands._declared import differing, option, options
from lstm_cli.commands._inputs import refuse_idle

if TYPE_CHECKING:
    from lstm_cli.engine.fixed_settings import FixedSettings

HELP = """\b
Fixed point: `--fixed Q3.12` also runs the cell in integers. Qm.n is 1 sign bit, m integer bits,
n fraction bits, 2 to 32 in all: Q0.15 is int16. (ARM counts the sign in m: its Q4.12 is Q3.12.)
A kind of value may have its own format, as in `Q3.12,weights=Q1.14,sum=Q7.24`: weights (W, U,
p), bias, input (x), sum (the z), gates (f, i, g, o, tanh(c)), cell (c), state (h). A row is
computed exactly and rounded once, when it is stored.
"""


class RoundingName(StrEnum):
    """How a value is rounded when it is stored."""

    NEAREST = "nearest"
    EVEN = "even"
    FLOOR = "floor"
    ZERO = "zero"


class OverflowName(StrEnum):
    """What is stored if a value does not fit."""

    SATURATE = "saturate"
    WRAP = "wrap"


FORMATS = ("table", "plain", "json", "csv", "markdown", "latex", "text", "html", "c")


@options("Fixed point")
class FixedOptions:
    """The fixed-point options."""

    fixed: str = option(
        "--fixed",
        default="",
        metavar="FORMATS",
        help="Also run in integers: Q3.12, or Q3.12,weights=Q1.14,…; see below.",
    )
    fixed_rounding: RoundingName | None = option(
        "--fixed-rounding",
        default=None,
        help="nearest (the default: halves up), even (halves to even), floor (>>) or zero (cut).",
    )
    fixed_overflow: OverflowName | None = option(
        "--fixed-overflow",
        default=None,
        help="saturate (the default), or keep the last bits: wrap.",
    )
    fixed_activation: str = option(
        "--fixed-activation",
        default="",
        metavar="KIND",
        help="σ and tanh: exact (the default: correctly rounded), table:256 (nearest entry, σ over "
        "±8, tanh over ±4), table:256:linear (between entries), or hard (0.2 z + 0.5; cut z).",
    )

    def settings(self, form: str, command: str) -> FixedSettings | None:
        """Return the settings for an output format; None if `--fixed` is not given.

        Raises:
            UsageError: a value that cannot be read, an output format that cannot show integers,
                or options that have no effect without `--fixed`.
        """
        if not self.fixed:
            refuse_idle(differing(self), "--fixed", command)
            return None
        from lstm_cli.engine.fixed_settings import FixedSettings

        if form not in FORMATS:
            raise UsageError(
                f"{form} cannot show integers",
                where="--fixed",
                hint=f"-f {', '.join(FORMATS[:-1])} or {FORMATS[-1]}",
            )
        return FixedSettings.parse(
            self.fixed,
            (self.fixed_rounding or RoundingName.NEAREST).value,
            (self.fixed_overflow or OverflowName.SATURATE).value,
            self.fixed_activation or "exact",
        )
