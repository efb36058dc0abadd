"""From one step to sequences, stacks, directions and batches."""

from __future__ import annotations

from lstm_cli.commands.explain.glossary.word import Example, Word

GROUP = "over time"
SIX = ((0.3,),) * 6

ROWS = (
    Word(
        "step", "step", "all ten rows, once", GROUP,
        (
            "A step takes an input, a hidden state and a cell state, and gives a new hidden state "
            "and a new cell state. These ten rows, in this order, are all of it: four sums, three "
            "gates and a candidate, then the two states.",
            "The four sums need only what comes in, so they can be computed at once, as one matrix "
            "product of four times the height. That is why frameworks stack the four matrices in "
            "one tensor.",
            "To check a program, take one step from states that are distinct and not zero and "
            "compare every row, from the top. The first row that departs is where the mistake is; "
            "all rows below it depend on it.",
        ),
        """
               keep            write
 C_{t−1} ──────▶(×)─────────────▶(+)────────┬────────▶ C_t
                 ▲                ▲         │
                 │               (×)        ▼
                 │              ▲   ▲      tanh    show
                 │              │   │       └─────▶(×)─▶ h_t
                f_t           i_t   C̃_t             ▲
                 │             │     │             o_t
               ┌─┴─┐         ┌─┴─┐┌──┴─┐          ┌─┴─┐
               │ σ │         │ σ ││tanh│          │ σ │
               └─┬─┘         └─┬─┘└──┬─┘          └─┬─┘
                z_f           z_i   z_g            z_o
                 ▲             ▲     ▲              ▲
 h_{t−1}, x_t ───┴─────────────┴─────┴──────────────┘
""",
        "Gers, Schmidhuber & Cummins 2000, doi 10.1162/089976600300015015",
        symbols=("z_f", "z_i", "z_g", "z_o", "f", "i", "g", "o", "c", "h"),
        example=Example(
            ("z_f", "z_i", "z_g", "z_o", "f", "i", "g", "o", "c", "h"),
            "With the preset identity all four sums are the same. This is unit 1 of the example in "
            "the README, here with an old cell state of {c_prev}.",
        ),
        aliases=("cell-step", "lstm", "time-step", "timestep", "lstm-cell", "t"),
        mistakes=("h-from-old-c", "u-ignored", "x-ignored", "c-for-h", "states-exchanged"),
        see=("forget-gate", "input-gate", "candidate", "output-gate", "cell-state",
             "hidden-state", "sequence"),
        try_=(
            "lstm-step --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1",
            "lstm-step list cells",
        ),
    ),
    Word(
        "sequence", "sequence", "steps that hand on their states", GROUP,
        (
            "A sequence is one step after another with the same weights: the states that a step "
            "puts out go into the next one, beside the next input. T is the number of steps.",
            "Both states have to be handed on. If a program is right at the first step and wrong "
            "at all others, look at what it hands on, at the recurrent weights and at the forget "
            "gate: from zero states none of these act in the first step.",
            "In an array, time may come first (PyTorch, ONNX) or after the batch (Keras, "
            "TensorFlow Lite). Here a row of `--x` is a step, rows are separated by semicolons, "
            "and `--steps` repeats a single row.",
        ),
        """
         x_1            x_2            x_3
          │              │              │
          ▼              ▼              ▼
  C_0 ┌──────┐   C_1 ┌──────┐   C_2 ┌──────┐  C_3
 ────▶│ step │──────▶│ step │──────▶│ step │─────▶
 ────▶│      │──────▶│      │──────▶│      │─────▶
  h_0 └──┬───┘   h_1 └──┬───┘   h_2 └──┬───┘  h_3
         ▼              ▼              ▼
        h_1            h_2            h_3
""",
        "Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
        symbols=("c", "h"),
        example=Example(
            ("i", "c", "h"),
            "The preset count opens the input gate where x is 1 and keeps all else: after four "
            "steps the cell state has counted {c} ones.",
            x=((1.0,), (0.0,), (1.0,), (1.0,)), h=(), c=(), preset="count",
        ),
        aliases=("sequences", "time", "steps", "x", "input", "unrolling", "recurrence", "unrolled"),
        mistakes=(
            "states-zeroed", "states-restarted", "h-not-carried", "c-not-carried",
            "states-exchanged-each-step", "time-reversed", "first-input-skipped",
            "previous-input", "time-feature-axes", "u-ignored",
        ),
        see=("step", "initial-state", "padding", "directions", "vanishing-gradient"),
        try_=(
            'lstm-step --x "1;0;1;1" --preset count --at all',
            "lstm-step --x 0.3 --h 0.5 --c 0.2 --steps 6",
        ),
    ),
    Word(
        "layers", "layers (a stack)", "a stack: each reads the hidden states below", GROUP,
        (
            "In a stack the first layer reads the inputs, and each further layer reads the hidden "
            "states of the layer below, step by step. Every layer has weights and two states of "
            "its own; the cell states are never passed upwards.",
            "The input size of a further layer is the output size of the one below, twice that if "
            "the one below runs in both directions. The output of the stack is that of its last "
            "layer.",
            "The final states of all layers come in one array in PyTorch: layer 0 "
            "forward, layer 0 backward, layer 1 forward, and so on. Read with directions first "
            "and layers second it has the same shape and other contents.",
        ),
        """
                h_1        h_2        h_3
                 ▲          ▲          ▲
  layer 1     ┌──┴───┐   ┌──┴───┐   ┌──┴───┐
         ────▶│ step │──▶│ step │──▶│ step │──▶
              └──▲───┘   └──▲───┘   └──▲───┘
                 │ h        │ h        │ h
  layer 0     ┌──┴───┐   ┌──┴───┐   ┌──┴───┐
         ────▶│ step │──▶│ step │──▶│ step │──▶
              └──▲───┘   └──▲───┘   └──▲───┘
                 │          │          │
                x_1        x_2        x_3
""",
        "Graves, Mohamed & Hinton 2013, arXiv 1303.5778",
        aliases=("layer", "stack", "stacked", "num-layers", "depth", "deep"),
        mistakes=("states-by-direction", "directions-exchanged"),
        see=("directions", "hidden-state", "initial-state"),
        try_=("lstm-step list mistakes states-by-direction", "lstm-step inspect --help"),
    ),
    Word(
        "directions", "directions (bidirectional)",
        "two LSTMs, one of them back through time", GROUP,
        (
            "A bidirectional layer is two LSTMs over the same inputs. One reads them from the "
            "first to the last, the other from the last to the first; at each step their two "
            "hidden states are put one behind the other.",
            "The final state of the backward direction is the one it has after reading the first "
            "input. In the array of outputs it stands at the first row, not at the last: PyTorch's "
            "`output[-1]` has the backward direction's very first step.",
            "Keras's `go_backwards=True` leaves the outputs in the order in which they were "
            "computed, `Bidirectional` turns them back into the order of the inputs. This program "
            "counts t in the order of the inputs in both directions.",
        ),
        """
                 x_1        x_2        x_3
                  │          │          │
  forward   ────▶ ● ───────▶ ● ───────▶ ● ───▶ final h
                  │          │          │
  final h   ◀──── ● ◀─────── ● ◀─────── ● ◀──── backward
                  │          │          │
                  ▼          ▼          ▼
               [→, ←]     [→, ←]     [→, ←]
""",
        "Graves & Schmidhuber 2005, doi 10.1016/j.neunet.2005.06.042",
        aliases=("direction", "bidirectional", "backward-direction", "reverse", "go-backwards",
                 "bilstm"),
        mistakes=("directions-exchanged", "backward-not-reversed-back", "time-reversed",
                  "states-by-direction"),
        see=("layers", "sequence", "padding"),
        try_=("lstm-step list mistakes backward-not-reversed-back",),
    ),
    Word(
        "batch", "batch", "many samples side by side", GROUP,
        (
            "A batch is many samples run side by side with the same weights. It saves time and "
            "changes no number: a sample comes out as if it were run alone, to within rounding. "
            "Each has states of its own.",
            "If a result depends on what else is in the batch, something is mixed up: the axes of "
            "batch and time (PyTorch has time first unless `batch_first=True`), padding that is "
            "run as if it were input, or states left over from the batch before (Keras's "
            "`stateful=True`). PyTorch's final states have the batch as their second axis even "
            "with `batch_first=True`.",
            "`lstm-step batch` runs files of samples, one record each, in their order.",
        ),
        """
               t = 1    t = 2    t = 3
  sample 0   [  x_1      x_2      x_3  ]──▶ h, C
  sample 1   [  x_1      x_2      x_3  ]──▶ h, C
  sample 2   [  x_1      x_2      x_3  ]──▶ h, C

  (N, T, I)  batch first       (T, N, I)  time first
""",
        "PyTorch, torch.nn.LSTM, and Keras, keras.layers.LSTM: their reference pages",
        aliases=("batches", "sample", "samples", "n", "batch-first", "minibatch", "stateful"),
        mistakes=("time-feature-axes", "states-zeroed", "states-restarted"),
        see=("sequence", "padding", "unit"),
        try_=("lstm-step batch samples/hand.json", "lstm-step batch --help"),
    ),
    Word(
        "padding", "padding and masking", "steps that are none, and how to pass over them", GROUP,
        (
            "Sequences of a batch are made equally long by filling up the short ones, mostly with "
            "zeros. A zero is an input like any other: the gates still have their biases and "
            "$h_prev$, so a step on padding changes both states.",
            "So padding has to be passed over. Keras with a mask repeats the output and the states "
            "of the step before; PyTorch's packed sequences leave the padding out and put zeros "
            "in the output there; ONNX's `sequence_lens` does so too. In all three the final "
            "state is that of the last true step.",
            "It matters most in the backward direction: without a mask it reads the padding "
            "first, and carries what it made of it into everything. Here there is no padding to "
            "mask: give a sample the rows that it has.",
        ),
        """
              t = 1    t = 2    t = 3    t = 4
  inputs       x_1      x_2      0        0
  mask          1        1       0        0
  masked       h_1      h_2     h_2      h_2    final: h_2
  unmasked     h_1      h_2     h_3      h_4    wrong: h_4
""",
        "Keras guide 'Masking and padding'; PyTorch, torch.nn.utils.rnn.pack_padded_sequence; "
        "ONNX operator LSTM, input sequence_lens",
        symbols=("c",),
        example=Example(
            ("f", "i", "c", "h"),
            "Two true inputs, then two zeros: the states go on changing.",
            x=((0.3,), (0.8,), (0.0,), (0.0,)),
        ),
        aliases=("mask", "masking", "pad", "packed", "pack-padded-sequence", "sequence-lens"),
        mistakes=("time-reversed", "backward-not-reversed-back", "time-feature-axes"),
        see=("batch", "directions", "sequence"),
        try_=('lstm-step --x "0.3;0.8;0;0" --h 0.5 --c 0.2 --at all',),
    ),
)  # fmt: skip
