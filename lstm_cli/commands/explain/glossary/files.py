"""How files and frameworks hold an LSTM."""

from __future__ import annotations

from lstm_cli.commands.explain.glossary.word import Word

GROUP = "files and frameworks"

ROWS = (
    Word(
        "gate-order", "gate order", "which of the four blocks is which", GROUP,
        (
            "Frameworks stack the matrices of the three gates and the candidate in one tensor of "
            "four blocks. Which block is which is a convention, and it is written nowhere in the "
            "file. There are 24 orders; below are those that are in use.",
            "All blocks have the same shape, so a wrong order is never refused. Every gate works, "
            "with another's weights, and the numbers look like an LSTM's. A test whose weights are "
            "all alike cannot see it: the six LSTM tests of ONNX's own pass all 23 wrong orders.",
            "`diagnose` tries all of them on your numbers, `vet` says whether a test vector tells "
            "them apart, and `convert` writes another order. In the names below g is the "
            "candidate.",
        ),
        """
     i f g o              i o f g              i g f o
   ┌───────────┐        ┌───────────┐        ┌───────────┐
   │ input     │        │ input     │        │ input     │
   ├───────────┤        ├───────────┤        ├───────────┤
   │ forget    │        │ output    │        │ candidate │
   ├───────────┤        ├───────────┤        ├───────────┤
   │ candidate │        │ forget    │        │ forget    │
   ├───────────┤        ├───────────┤        ├───────────┤
   │ output    │        │ candidate │        │ output    │
   └───────────┘        └───────────┘        └───────────┘
""",
        "each framework's own source: lstm-step list conventions",
        facts=("orders",),
        aliases=("order", "order-of-gates", "gates-order", "ifgo", "ifco", "iofc", "iofg", "icfo",
                 "igfo", "fico", "figo", "ifog"),
        mistakes=("gates-iofg", "gates-igfo", "gates-ifog", "gates-figo", "gates-interleaved",
                  "gates-deinterleaved", "units-permuted"),
        see=("convention", "weights", "candidate"),
        try_=("lstm-step list conventions", "lstm-step list mistakes gates-iofg"),
    ),
    Word(
        "convention", "convention", "all that it takes to read a framework's weights", GROUP,
        (
            "A convention is all that one has to know to read a framework's weights: the names of "
            "its tensors, the order of the gates, rows or columns, one bias or two, whether h or x "
            "comes first, and what its run time adds (a forget bias, a clip, another activation).",
            "A weight file holds numbers and, at best, names. `inspect` says which convention a "
            "file has and how that is known: by names, then by shapes. What neither tells is "
            "refused with the choices, and `--convention` decides it.",
            "If you have weights, an input and the right numbers of one step, `diagnose` finds the "
            "convention by trying. A step from states that are not zero is enough to tell most of "
            "them apart.",
        ),
        """
            the file                   it does not say
  ┌───────────────────────────┐
  │ kernel            (I, 4H) │   the order of the gates
  │ recurrent_kernel  (H, 4H) │   σ or a hard sigmoid
  │ bias              (4H,)   │   what is added at run time
  └───────────────────────────┘
""",
        "each framework's own source: lstm-step list conventions",
        facts=("orders",),
        habits=(
            "the pair of states as (c, h)",
            "1 added to the forget gate at run time",
            "two biases for a gate",
            "one matrix for both inputs, x first",
        ),
        aliases=("conventions", "layout", "format", "framework", "frameworks", "porting"),
        mistakes=("gates-iofg", "u-transposed", "kernel-reshaped", "swapped-concatenation",
                  "recurrent-bias-forgotten", "forget-bias-omitted", "hard-sigmoid",
                  "states-exchanged"),
        see=("gate-order", "weights", "forget-bias", "hard-sigmoid"),
        try_=("lstm-step list conventions", "lstm-step list formats"),
    ),
)  # fmt: skip
