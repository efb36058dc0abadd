"""The two states, and where they start."""

from __future__ import annotations

from lstm_cli.commands.explain.glossary.word import Example, Word

GROUP = "states"

ROWS = (
    Word(
        "cell-state", "cell state", "the memory: kept, and added to", GROUP,
        (
            "The cell state is the memory. Each unit holds one number, and a step changes it by "
            "one multiplication and one addition: a share of what was there, plus a share of the "
            "candidate.",
            "No matrix and no activation stands on the way from one step's cell state to the next "
            "one's. Where the forget gate is 1 and nothing is written, the state passes unchanged, "
            "and so does the gradient on its way back: the constant error carousel of 1997, and "
            "the reason for the whole design.",
            "It is not held between −1 and 1. With an open forget gate it can count, by up to 1 a "
            "step. Past 3 or so tanh hides how large it is (tanh(3) is 0.995), so compare cell "
            "states and not only hidden states; an integer port that stops at ±8 or a clip shows "
            "here first.",
            "To go on with a sequence later, keep both states. Frameworks hand out the pair in "
            "one order or the other (see `explain initial-state`).",
        ),
        """
               keep          write
  C_{t−1} ────▶(×)───────────▶(+)─────┬────────▶ C_t
                ▲              ▲      │
                │             (×)     ▼
                │            ▲   ▲   tanh
                │            │   │    │
               f_t          i_t C̃_t   ▼   show
                               o_t ─▶(×)───────▶ h_t
""",
        "Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
        symbols=("c",),
        example=Example(
            ("f", "i", "g", "c"),
            "{f * c_prev} is kept of the old {c_prev}, {i * g} is written: {c}.",
        ),
        aliases=("c", "memory", "cell", "state", "memory-cell", "constant-error-carousel", "cec"),
        mistakes=(
            "sum-for-product", "forget-outside", "tanh-in-stored-c", "gru-like", "no-forget-gate",
            "no-input-gate", "c-not-carried", "h-from-old-c",
        ),
        see=("forget-gate", "input-gate", "candidate", "hidden-state", "cell-clip",
             "vanishing-gradient"),
        try_=(
            'lstm-step --x "1;0;1;1" --preset count --at all',
            "lstm-step --x 0.3 --h 0.5 --c 0.2 --steps 6 --preset remember",
        ),
    ),
    Word(
        "hidden-state", "hidden state", "what a step puts out, and sees again", GROUP,
        (
            "The hidden state is what the LSTM puts out at a step, one number for each unit. All "
            "gates see it at the next step as $h_prev$, and it is all that the next layer or a "
            "classifier ever gets: the cell state stays inside.",
            "It is a share of a tanh, so it lies between −1 and 1. A right $h$ of the plain cell "
            "never passes 1; one that does was made without the tanh, with a sum for the product, "
            "or with another activation. (A projection may pass 1 rightly.)",
            "The outputs over time and the hidden states are the same numbers: the last row of "
            "PyTorch's `output` is `h_n` where a layer runs forward. Keras gives the last one "
            "alone unless `return_sequences=True`.",
        ),
        """
                     C_t  ───▶ next step
                      │
                     tanh
                      │
         o_t ───────▶(×)────────┬──▶ h_t : next layer
                                │
                                └──▶ next step's gates
""",
        "Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
        symbols=("h",),
        example=Example(("c", "o", "h"), "tanh of {c} is {tanh(c)}; {100 * o} % of it is {h}."),
        aliases=("h", "output", "hidden"),
        mistakes=(
            "no-tanh-on-c", "sigmoid-on-c", "relu-output", "relu-both", "h-from-old-c", "h-is-sum",
            "no-output-gate", "h-not-carried", "c-for-h",
        ),
        see=("output-gate", "cell-state", "projection", "layers", "tanh"),
        try_=(
            "lstm-step --h 0.5 --c 0.2 --x 0.3",
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --steps 20",
        ),
    ),
    Word(
        "initial-state", "initial state", "the states before the first step", GROUP,
        (
            "The states before the first step, often written with the index 0. Where nobody gives "
            "them they are zeros, and this program says so whenever it assumes it. Some models "
            "learn them, and a stream that is cut in pieces hands them on from piece to piece.",
            "From zero states the first step is blind. The forget gate multiplies a 0, and so do "
            "all recurrent weights: whether $f$ is right, whether the recurrent matrix is "
            "transposed and whether the states are used at all cannot be seen. A test that starts "
            "from states that are distinct and not zero sees all of that in one step.",
            "Both states have to be handed on, and in the right order. Most frameworks have the "
            "pair as (h, c); those listed below have (c, h). Where both have the same size no "
            "shape complains.",
        ),
        """
            C_0 ──▶┌──────┐──▶ C_1 ──▶┌──────┐──▶ C_2
                   │ step │           │ step │
            h_0 ──▶└──────┘──▶ h_1 ──▶└──────┘──▶ h_2
  given,              ▲                  ▲
  or zeros           x_1                x_2
""",
        "Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
        symbols=("c",),
        example=Example(
            ("z_f", "f", "c", "h"),
            "Started from zeros: whatever the forget gate is, it keeps {f * c_prev}.",
            h=(), c=(),
        ),
        habits=("the pair of states as (c, h)",),
        aliases=("initial-states", "h0", "c0", "h-0", "c-0", "zero-state", "h-prev", "c-prev",
                 "h-{t−1}", "c-{t−1}", "h-{t-1}", "c-{t-1}"),
        mistakes=(
            "initial-state-ignored", "initial-h-ignored", "initial-c-ignored", "states-exchanged",
            "states-exchanged-each-step", "states-exchanged-always", "states-zeroed",
            "states-restarted", "states-by-direction",
        ),
        see=("step", "sequence", "cell-state", "hidden-state", "layers"),
        try_=(
            "lstm-step --x 0.3",
            "lstm-step --x 0.3 --h 0.5 --c 0.2",
        ),
    ),
)  # fmt: skip
