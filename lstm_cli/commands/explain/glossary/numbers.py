"""How numbers are held: rounding, float32, fixed point."""

from __future__ import annotations

from lstm_cli.commands.explain.glossary.over_time import SIX
from lstm_cli.commands.explain.glossary.word import Example, Word

GROUP = "numbers"

ROWS = (
    Word(
        "precision", "precision and rounding",
        "float32, float64, and when two programs agree", GROUP,
        (
            "A float32 keeps about 7 decimal digits, a float64 about 16, a float16 about 3, a "
            "bfloat16 between 2 and 3. Frameworks compute in float32 unless told otherwise; this "
            "program in float64.",
            "A step does not make rounding worse by itself: gates and tanh are bounded and have "
            "slopes of at most 1. With weights of the usual size the error stays near 1e-7 in "
            "float32 over a thousand steps. With very large weights a network may be chaotic, and "
            "two right programs drift apart.",
            "So two right programs agree to a tolerance, not to the bit: sums are added in another "
            "order, exp differs in its last digit. A difference of 1e-7 is rounding, one of 1e-3 "
            "hardly ever; a hard sigmoid or a missing tanh can hide below 0.1.",
            "Numbers written on paper have their own precision. Round them, do not cut them: "
            "`diagnose` takes the tolerance from the digits that were given.",
        ),
        """
            sign   exponent    fraction
  float64   ┌─┬─────────────┬───────────────────────────┐
            │1│ 11          │ 52                        │
            └─┴─────────────┴───────────────────────────┘
  float32   ┌─┬──────────┬─────────────┐
            │1│ 8        │ 23          │
            └─┴──────────┴─────────────┘
  bfloat16  ┌─┬──────────┬─────┐
            │1│ 8        │ 7   │
            └─┴──────────┴─────┘
  float16   ┌─┬───────┬────────┐
            │1│ 5     │ 10     │
            └─┴───────┴────────┘
""",
        "IEEE 754-2019; Goldberg 1991, doi 10.1145/103162.103163",
        example=Example(("f", "c", "h"), x=SIX),
        facts=("rounding",),
        aliases=("rounding", "float32", "float64", "float16", "bfloat16", "digits", "tolerance",
                 "dtype", "accuracy", "floating-point"),
        mistakes=("float32", "float16", "bfloat16", "digits-cut", "hard-sigmoid", "no-tanh-on-c"),
        see=("fixed-point", "hard-sigmoid", "sigmoid"),
        try_=(
            "lstm-step --x 0.3 --h 0.5 --c 0.2 --steps 6 --dtype float32 --digits 9",
            "lstm-step --x 0.3 --h 0.5 --c 0.2 --steps 6 --digits 9",
        ),
    ),
    Word(
        "fixed-point", "fixed point", "integers that stand for numbers", GROUP,
        (
            "A fixed-point number is an integer that stands for itself times a power of two. Q3.12 "
            "has a sign, 3 bits before the point and 12 behind it: 16 bits, from −8 to just below "
            "8, in steps of 1/4096. (ARM counts the sign bit too and calls it Q4.12.)",
            "Small machines compute LSTMs so, without a floating-point unit. A product has twice "
            "the fraction bits and has to be shifted back, and how it is rounded there shows in "
            "the last bit; a sum that leaves the range is cut (saturates) or, by mistake, wraps "
            "around; σ and tanh come from tables or straight lines.",
            "Weights, sums, gates and states may have formats of their own. Gates and hidden "
            "states never pass 1; the cell state needs room. To check a port, compare integers "
            "with integers: `run --fixed` and `diagnose --fixed` compute the cell's own table in "
            "them.",
        ),
        """
  bit    15   14 13 12   11 10 9 8 7 6 5 4 3 2 1 0
        ┌───┬──────────┬───────────────────────────┐
        │ s │  0 … 7   │  4096ths                  │
        └───┴──────────┴───────────────────────────┘
                       ▲
                       └── the point of Q3.12
""",
        "Texas Instruments, TMS320C64x DSP Library Programmer's Reference, appendix A.2 (Q "
        "formats); TensorFlow Lite, kernels/lstm_eval.cc",
        symbols=("f", "c", "h"),
        example=Example(("f", "g", "c", "h")),
        facts=("fixed",),
        aliases=("fixed", "q3.12", "q-format", "integer", "integers", "int8", "int16",
                 "quantisation", "quantization"),
        mistakes=("hard-tanh", "hard-sigmoid", "cell-clip-8", "digits-cut"),
        see=("precision", "cell-clip", "hard-sigmoid"),
        try_=(
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --fixed Q3.12",
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --fixed Q3.4",
        ),
    ),
)  # fmt: skip
