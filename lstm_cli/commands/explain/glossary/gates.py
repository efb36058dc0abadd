"""The gates and the candidate."""

from __future__ import annotations

from lstm_cli.commands.explain.glossary.word import Example, Word

GROUP = "gates"

ROWS = (
    Word(
        "gate", "gate", "a share between 0 and 1 that multiplies", GROUP,
        (
            "A gate is a vector of numbers between 0 and 1, one for each unit, that multiplies "
            "another vector element by element. Where it is 1 the other number passes whole, where "
            "it is 0 nothing passes, and between the two it is a share: 0.69 lets 69 % through. It "
            "is no switch, and has to be smooth: learning needs a slope.",
            "The LSTM has three: the forget gate $f$ for the old cell state, the input gate $i$ "
            "for what is written, the output gate $o$ for what is shown. Each has weights and a "
            "bias of its own, and all see the same two vectors: the hidden state before and the "
            "input. The candidate $g$ is computed beside them but is no gate: it is what is "
            "written, and may be negative.",
            "Read a gate over time, not at one step. One that is near 1 throughout keeps its line "
            "open, one near 0 keeps it shut; one that moves with the input decides something.",
        ),
        """
  a number ───▶(×)───▶ the gate's share of it
                ▲
                │  0 … 1
              ┌─┴─┐
              │ σ │
              └─┬─┘
                │  pre-activation
""",
        "Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
        symbols=("f", "i", "o"),
        example=Example(
            ("z_f", "f", "z_i", "i", "z_o", "o"),
            "With the weights of the preset identity all three gates see the same sum, "
            "{z_f}, so they are alike: {100 * f} %.",
        ),
        aliases=("gates", "gating"),
        mistakes=("bias-outside", "tanh-gates", "linear-gates", "sigmoid-2x", "no-weights"),
        see=("forget-gate", "input-gate", "output-gate", "candidate", "sigmoid"),
        try_=("lstm-step --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1 --notation split",),
    ),
    Word(
        "forget-gate", "forget gate", "how much of the old cell state stays", GROUP,
        (
            "The forget gate says how much of the old cell state stays. Each unit has a number of "
            "its own between 0 and 1, by which $c_prev$ is multiplied before anything is added: 1 "
            "keeps it, 0 erases it, 0.69 keeps 69 % of it. (It might have been named for keeping: "
            "1 is to forget nothing.)",
            "The LSTM of 1997 had none. Its cell state was only ever added to, and on a stream "
            "without marked ends it grew until tanh was saturated; with this gate the cell can "
            "reset itself (Gers et al. 2000). In the comparison by Greff et al. (2017) it is, with "
            "the activation at the output, the part whose removal hurts most.",
            "Its number is also a length of time. A gate that stays at 0.5 halves the state at "
            "each step; at 0.99 about 37 % is left after 100 steps. The gradient along the cell "
            "state is multiplied by the same number, which is why a new network's forget gate is "
            "usually started open: see `explain forget-bias`.",
            "Look at it when a network cannot remember (the gate is well below 1 in every unit), "
            "or when the cell state only grows (it is 1 everywhere). While the cell state is zero "
            "it cannot be seen at all, whatever its value: a test of one step from zero states "
            "does not test it.",
        ),
        """
                  keep         write
  C_{t−1} ───────▶(×)──────────▶(+)─────────▶ C_t
                   ▲             ▲
                   │ f_t         └── share of the candidate
                 ┌─┴─┐
                 │ σ │
                 └─┬─┘
                   │ z_f
             h_{t−1}, x_t
""",
        "Gers, Schmidhuber & Cummins 2000, doi 10.1162/089976600300015015",
        symbols=("z_f", "f", "c"),
        example=Example(
            ("z_f", "f", "c"),
            "Of the old {c_prev} the gate keeps {100 * f} %, that is {f * c_prev}. The rest of the "
            "new cell state, {c - f * c_prev}, is written.",
        ),
        aliases=("f", "forget", "z-f", "remember-gate", "keep-gate"),
        mistakes=(
            "no-forget-gate", "coupled-forget", "gru-like", "forget-outside",
            "forget-bias-omitted", "forget-bias-added", "forget-bias-after-sigmoid", "bias-outside",
        ),
        see=("forget-bias", "cell-state", "vanishing-gradient", "coupled-gates", "initial-state"),
        try_=(
            "lstm-step --h 0.5 --c 0.2 --x 0.3",
            "lstm-step --x 0.3 --h 0.5 --c 0.2 --steps 5 --preset forget",
            "lstm-step --x 0.3 --h 0.5 --c 0.2 --steps 5 --preset remember",
        ),
    ),
    Word(
        "input-gate", "input gate", "how much of the candidate is written", GROUP,
        (
            "The input gate says how much of the candidate is written into the cell state. The "
            "candidate proposes a value, the gate decides how much of it counts.",
            "It is there from the start (1997), to protect what the cell holds. Without it the "
            "same weights would have to let in the inputs that matter and keep out those that do "
            "not; the paper calls that the input weight conflict.",
            "Gate and candidate act only through their product $i * g$, a number between −1 and 1. "
            "So with a forget gate of at most 1 a step changes a cell state by no more than 1, "
            "beyond what is forgotten.",
            "Look at it when a unit takes in everything (it is near 1 at all steps) or nothing. "
            "An error here shows at the first step, even from zero states.",
        ),
        """
                  keep         write
  C_{t−1} ───────▶(×)──────────▶(+)─────────▶ C_t
                                 ▲
                    i_t ───────▶(×)◀─────── C̃_t
                   ┌───┐                  ┌──────┐
                   │ σ │                  │ tanh │
                   └─┬─┘                  └──┬───┘
                     │ z_i                   │ z_g
                h_{t−1}, x_t            h_{t−1}, x_t
""",
        "Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
        symbols=("z_i", "i", "c"),
        example=Example(
            ("z_i", "i", "g", "c"),
            "Of the candidate {g} the gate lets in {100 * i} %, that is {i * g}.",
        ),
        aliases=("i", "z-i", "write-gate"),
        mistakes=("no-input-gate", "coupled-input", "sum-for-product", "bias-outside"),
        see=("candidate", "cell-state", "coupled-gates", "gate"),
        try_=(
            "lstm-step --h 0.5 --c 0.2 --x 0.3",
            'lstm-step --x "1;0;1;1" --preset count --at all',
        ),
    ),
    Word(
        "candidate", "candidate cell state", "what could be written into the cell state", GROUP,
        (
            "The candidate is what could be written: for each unit a number between −1 and 1, "
            "computed from the same two vectors as the gates, with weights and a bias of its own. "
            "Its sign says whether the cell state is pushed up or down; how much of it counts is "
            "the input gate's affair.",
            "It has tanh where the gates have the sigmoid because it is a content and not a share: "
            "it has to be able to subtract. With a sigmoid the cell state could only grow, and "
            "nothing but the forget gate would bring it down again.",
            "No symbol has more names. It is C with a tilde in much of the literature, `g` in "
            "PyTorch and in this program's options and JSON, `j` in TensorFlow 1, `c` in Keras and "
            "ONNX, `z` in Core ML; in words cell gate, block input, new memory. When you port "
            "weights, find this one first: it is the one of the four that has tanh.",
        ),
        """
               i_t ───────▶(×)──────▶ into the cell state
                            ▲
                            │ C̃_t   −1 … 1
                        ┌───┴──┐
                        │ tanh │
                        └───┬──┘
                            │ z_g
                      h_{t−1}, x_t
""",
        "Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
        symbols=("z_g", "g"),
        example=Example(
            ("z_g", "g", "i", "c"),
            "It proposes {g}; the input gate writes {100 * i} % of that, {i * g}.",
        ),
        aliases=(
            "g", "z-g", "c̃", "~c", "c~", "c-tilde", "candidate-cell-state", "cell-gate",
            "block-input", "new-memory",
        ),
        mistakes=(
            "sigmoid-candidate", "linear-candidate", "relu-candidate", "relu-both",
            "hard-tanh", "sum-for-product", "no-input-gate",
        ),
        see=("input-gate", "tanh", "cell-state", "gate-order"),
        try_=(
            "lstm-step --h 0.5 --c 0.2 --x 0.3",
            "lstm-step --h 0.5 --c 0.2 --x -1.5 --json",
        ),
    ),
    Word(
        "output-gate", "output gate", "how much of the cell state is shown", GROUP,
        (
            "The output gate says how much of the new cell state is shown. tanh brings the state "
            "between −1 and 1, the gate multiplies it, and the result is the hidden state: what "
            "the next layer sees, and what all gates see at the next step.",
            "A cell may have to hold something long before it is needed. The gate hides it until "
            "then; otherwise all that is stored would disturb whatever reads the cell. The paper "
            "of 1997 calls that the output weight conflict.",
            "It does not touch the cell state: a closed output gate loses nothing. So an error in "
            "it shows in $h$ at once, and in $c$ not before the next step, through the gates that "
            "then see the wrong $h_prev$.",
        ),
        """
  ───────────────▶(+)───────┬──────────────▶ C_t
                            ▼
                         ┌──────┐
                         │ tanh │
                         └──┬───┘
                            ▼     show
                o_t ──────▶(×)─────────────▶ h_t
               ┌───┐
               │ σ │
               └─┬─┘
                 │ z_o
            h_{t−1}, x_t
""",
        "Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
        symbols=("z_o", "o", "h"),
        example=Example(
            ("z_o", "o", "c", "h"),
            "Of tanh of the cell state, {tanh(c)}, the gate shows {100 * o} %: {h}.",
        ),
        aliases=("o", "z-o", "read-gate", "show-gate"),
        mistakes=("no-output-gate", "h-is-sum", "no-tanh-on-c", "h-from-old-c", "bias-outside"),
        see=("hidden-state", "cell-state", "tanh", "peephole"),
        try_=("lstm-step --h 0.5 --c 0.2 --x 0.3", "lstm-step --h 0.5 --c 3 --x 0.3"),
    ),
)  # fmt: skip
