"""The way back: gradients, and how they fade."""

from __future__ import annotations

from lstm_cli.commands.explain.glossary.over_time import SIX
from lstm_cli.commands.explain.glossary.word import Example, Word

GROUP = "learning"

ROWS = (
    Word(
        "gradient", "gradient (the backward step)", "the step backwards, row by row", GROUP,
        (
            "The gradient says how much the loss changes when a number changes a little. The "
            "backward step goes through the rows from the last to the first, and each hands its "
            "gradient on to what it was made of. $d_f$ is the gradient of the loss with respect "
            "to $f$.",
            "A product hands each factor the other factor: what reaches a gate is scaled by what "
            "the gate multiplies. A forget gate whose cell state is 0 learns nothing, and a gate "
            "close to 0 or 1 learns little, since its slope is almost 0.",
            "The cell state gets gradient from two sides: through $h$ of its own step, and "
            "straight from the next step's cell state. A weight gets some from every step; they "
            "are added up.",
            "The rows here are derived from the cell's own table, for any cell; `grad --check` "
            "compares them with differences of the numbers themselves. It is the full gradient; "
            "the papers of 1997 and 2000 cut it off at the gates.",
        ),
        """
  the loss; z_f … z_o of the next step
                     │
                    δh_t
                     │ through o_t and tanh
                     ▼
  C_{t−1} ◀─(× f_t)─ δC_t ◀──── C_{t+1}
                     │
                     ├─(× C_{t−1})──▶ δf_t ──▶ weights
                     ├─(× C̃_t)──────▶ δi_t ──▶ weights
                     └─(× i_t)──────▶ δC̃_t ──▶ weights
""",
        "Graves & Schmidhuber 2005, doi 10.1016/j.neunet.2005.06.042; Greff et al. 2017, "
        "appendix A",
        symbols=("d_h", "d_c", "d_o", "d_g", "d_i", "d_f", "d_z_f", "d_c_prev"),
        example=Example(("f", "i", "g", "o", "c", "h")),
        facts=("gradients",),
        aliases=("gradients", "backward", "backward-step", "backpropagation", "bptt", "grad",
                 "delta", "δ", "derivative"),
        mistakes=("tanh-in-stored-c", "linear-gates", "sum-for-product"),
        see=("vanishing-gradient", "cell-state", "sigmoid", "forget-gate"),
        try_=(
            "lstm-step grad --h 0.5 --c 0.2 --x 0.3",
            "lstm-step grad --h 0.5 --c 0.2 --x 0.3 --check",
        ),
    ),
    Word(
        "vanishing-gradient", "vanishing gradient", "how far back a unit can learn", GROUP,
        (
            "Over many steps a gradient is a product of many factors. If most are below 1 it "
            "fades like a power of them, and what happened long ago no longer teaches anything; "
            "if most are above 1 it explodes. A plain recurrent network multiplies by a matrix "
            "and a slope at every step (Hochreiter 1991; Bengio et al. 1994).",
            "The LSTM's cell state is the answer: on its straight way back the factor of a step "
            "is the forget gate and nothing else. With a forget gate of 1 the gradient arrives as "
            "it left. The ways through $h$ remain and may add to it.",
            "So the LSTM does not abolish the problem, it makes it a number to look at: the "
            "product of the forget gates says how far back a unit can learn. Exploding gradients "
            "stay possible; their usual cure is to cut the length of the whole gradient "
            "(Pascanu et al. 2013).",
        ),
        """
  t = 1       t = 2       t = 3       t = 4        loss
    C_1 ◀─×f_2─ C_2 ◀─×f_3─ C_3 ◀─×f_4─ C_4 ◀───────┘

  0.5 · 0.5 · 0.5        1/8 of it reaches C_1
  1 · 1 · 1              all of it does
""",
        "Hochreiter & Schmidhuber 1997, section 3; Bengio, Simard & Frasconi 1994, doi "
        "10.1109/72.279181; Pascanu, Mikolov & Bengio 2013, PMLR 28(3):1310-1318",
        symbols=("d_c_prev",),
        example=Example(("f", "c"), x=SIX),
        facts=("fading",),
        aliases=("vanishing", "vanishing-gradients", "exploding-gradient", "exploding", "fading",
                 "long-term-dependencies", "gradient-flow"),
        mistakes=("no-forget-gate", "forget-bias-omitted", "tanh-in-stored-c"),
        see=("gradient", "forget-gate", "forget-bias", "cell-state"),
        try_=(
            "lstm-step grad --x 0.3 --h 0.5 --c 0.2 --steps 6 --through-time",
            "lstm-step grad --x 0.3 --h 0.5 --c 0.2 --steps 6 --preset remember --through-time",
        ),
    ),
)  # fmt: skip
