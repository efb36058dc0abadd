"""Fixed-point LSTM, as an integer port computes it: number formats, and a cell's table in them.

    trace = run_fixed(model, x, None, None, FixedSettings.parse("Q3.12,weights=Q1.14"))
    trace.layers[0].integers["f"], trace.layers[0].reals["f"]      # (T, n) each

Every named value is an integer of `m + n + 1` bits that represents itself times `2**-n`. A row is
computed exactly, as in an unlimited accumulator, and rounded once, when it is stored. No equation
is hard-coded here: the rows are those of the cell, evaluated over integers.
"""

from lstm_cli.engine.fixed_point.formats import FixedFormat
from lstm_cli.engine.fixed_point.machine import (
    FixedLayer,
    FixedTrace,
    Overflow,
    ValueReport,
    beside,
    compare_parameters,
    compare_symbols,
    run_fixed,
)
from lstm_cli.engine.fixed_point.settings import KINDS, Activation, FixedSettings, kind_of

__all__ = [
    "KINDS",
    "Activation",
    "FixedFormat",
    "FixedLayer",
    "FixedSettings",
    "FixedTrace",
    "Overflow",
    "ValueReport",
    "beside",
    "compare_parameters",
    "compare_symbols",
    "kind_of",
    "run_fixed",
]
