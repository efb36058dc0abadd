"""Variants of the cell, and what run times add to it."""

from __future__ import annotations

from lstm_cli.cell.cells import Settings
from lstm_cli.commands.explain.glossary.word import Example, Word

GROUP = "variants"

ROWS = (
    Word(
        "peephole", "peephole", "gates that see the cell state", GROUP,
        (
            "Peepholes let the gates see the cell state itself, through one weight for each unit: "
            "no matrix, a unit's gate sees its own cell only. Without them a gate knows the cell "
            "state only as far as the output gate shows it.",
            "They were added to learn precise timing (Gers et al. 2002). In later comparisons they "
            "seldom help (Greff et al. 2017); PyTorch and Keras do not have them, TensorFlow 1, "
            "ONNX, TensorFlow Lite, Core ML and Lasagne do.",
            "Note the time: the forget gate and the input gate see the old cell state $c_prev$, "
            "the output gate sees the new one $c$, so its sum is computed after the cell state. "
            "All three terms stand inside σ. With a clip of the cell it is the clipped state that "
            "the output gate sees.",
            "Stored in one stack they come in the order i, o, f in ONNX and WebNN, and i, f, o in "
            "Core ML's MIL. No shape tells them apart.",
        ),
        """
  C_{t−1} ──┬────────▶(×)──────▶(+)──────┬────────▶ C_t
            │                            │
            ├──▶ p_f ──▶ z_f             └──▶ p_o ──▶ z_o
            └──▶ p_i ──▶ z_i

            the old state                  the new state
""",
        "Gers, Schraudolph & Schmidhuber 2002, JMLR 3:115-143",
        symbols=("z_f", "z_i", "z_o"),
        cell="peephole",
        example=Example(
            ("z_f", "z_i", "c", "z_o"),
            "Here every peephole weight is a random number. z_f has taken in the old {c_prev}, "
            "z_o the new {c}.",
            preset="random", seed=4,
        ),
        aliases=("peepholes", "peep", "p", "p-f", "p-i", "p-o", "diag"),
        mistakes=(
            "peephole-o-old", "peephole-after-sigmoid", "peepholes-after-sigmoid",
            "peepholes-ignored", "peepholes-fo-exchanged", "peepholes-fi-exchanged",
            "peepholes-io-exchanged", "c-for-h",
        ),
        see=("cell-state", "output-gate", "pre-activation", "cell-clip"),
        try_=(
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --cell peephole --preset random",
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --cell peephole+projection --preset ones",
        ),
    ),
    Word(
        "projection", "projection", "a hidden state narrower than the cell state", GROUP,
        (
            "A projection makes the hidden state narrower than the cell state: a matrix takes the "
            "H gated numbers to P. The recurrent weights then have P columns, so a layer of many "
            "units needs far fewer weights.",
            "It was made for speech recognition (Sak et al. 2014). PyTorch has it as `proj_size`, "
            "TensorFlow 1 as `num_proj`, TensorFlow Lite and Sonnet have it too; Keras and ONNX's "
            "operator do not.",
            "Two sizes are then about: $h$ has P numbers, $c$ still has H. The numbers of a "
            "projected hidden state are sums and may pass 1.",
        ),
        """
                C_t  (H)
                 │
                tanh
                 │       H          P
     o_t ──────▶(×)───────▶ W_hr ─────┬──▶ h_t : next layer
     (H)                              └──▶ next step's gates
""",
        "Sak, Senior & Beaufays 2014, arXiv 1402.1128",
        symbols=("h",),
        cell="projection",
        example=Example(
            ("c", "h"),
            "Two units, and one number that is shown of them.",
            x=((0.3,),), h=(0.5,), c=(0.2, -0.4), preset="ones",
        ),
        aliases=("proj", "proj-size", "num-proj", "w-hr", "lstmp", "recurrent-projection"),
        mistakes=("no-output-gate", "no-tanh-on-c", "h-from-old-c"),
        see=("hidden-state", "unit", "weights"),
        try_=("lstm-step --x 0.3 --h 0.5 --c 0.2,-0.4 --cell projection --preset ones",),
    ),
    Word(
        "coupled-gates", "coupled gates (CIFG)", "what is forgotten is what is written over", GROUP,
        (
            "Coupled gates share one decision: what is forgotten is what is written over. One of "
            "the two gates loses its weights and is what the other leaves of 1, so the new cell "
            "state is an average of the old one and the candidate.",
            "It saves a quarter of the weights; in the comparison by Greff et al. (2017) it did "
            "not do significantly worse. With it the cell state stays between −1 and 1 once it is "
            "there, and cannot count.",
            "There are two ways, and they are different functions of the same weights. ONNX's "
            "`input_forget` and Core ML keep the input gate's weights; TensorFlow Lite, where the "
            "input gate's tensors are absent, keeps the forget gate's.",
        ),
        """
                  keep         write
  C_{t−1} ───────▶(×)──────────▶(+)─────────▶ C_t
                   ▲             ▲
                   │            (×)◀─── C̃_t
                   │             ▲
                 1 − i_t ◀──────i_t◀─── σ ◀─── z_i
""",
        "Greff et al. 2017, doi 10.1109/TNNLS.2016.2582924",
        symbols=("f", "c"),
        cell="coupled-forget",
        example=Example(
            ("i", "f", "g", "c"),
            "{100 * i} % is written, so {100 * f} % is kept.",
        ),
        facts=("coupled-input",),
        aliases=("coupled", "cifg", "coupled-forget", "coupled-input", "input-forget"),
        mistakes=("coupled-forget", "coupled-input", "gru-like"),
        see=("forget-gate", "input-gate", "cell-state"),
        try_=(
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --cell coupled-forget",
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --cell coupled-input",
        ),
    ),
    Word(
        "forget-bias", "forget bias", "a forget gate that starts open", GROUP,
        (
            "The forget bias keeps the forget gate open at the start of training. With small "
            "weights and no bias the gate is about 1/2, and then after ten steps a thousandth of "
            "the state and of its gradient is left. A bias of 1 makes it 0.73, and the network can "
            "learn over longer times from the start.",
            "Gers et al. (2000) already began with a positive bias; Jozefowicz et al. (2015) found "
            "that a bias of 1 closes the gap between the LSTM and the GRU, and recommend it for "
            "every LSTM.",
            "There are two places for it. Keras and Sonnet 2 put it into the stored bias when a "
            "network is made, and training changes it like any other number. Those listed below "
            "add it at run time, on top of the stored bias: it is in no weight file, and whoever "
            "ports the weights has to add it. `--forget-bias` shows it as a term of its own.",
        ),
        """
                       b_f    (in the file)
                        │
  weighted sum ───────▶(+)────▶(+)────▶ z_f ──▶ σ ──▶ f_t
                                ▲
                                1    (at run time,
                                      in no file)
""",
        "Jozefowicz, Zaremba & Sutskever 2015, PMLR 37:2342-2350",
        symbols=("z_f", "f"),
        settings=Settings(forget_bias=1.0),
        example=Example(("z_f", "f", "c"), "The gate keeps {100 * f} % of the old {c_prev}."),
        habits=("1 added to the forget gate at run time",),
        aliases=("unit-forget-bias", "forget-gate-bias"),
        mistakes=("forget-bias-added", "forget-bias-omitted", "forget-bias-after-sigmoid"),
        see=("forget-gate", "bias", "vanishing-gradient", "convention"),
        try_=(
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --forget-bias 1",
            "lstm-step --h 0.5 --c 0.2 --x 0.3",
        ),
    ),
    Word(
        "clip", "clip of pre-activations", "sums cut to a limit", GROUP,
        (
            "A clip cuts a number that passes a limit back to the limit, and leaves all others "
            "alone. This one cuts the sums before their activations.",
            "The word has three meanings. ONNX's attribute `clip` is for the inputs of "
            "activations; TensorFlow, TensorFlow Lite and burn mean the stored cell state; Core ML "
            "does both. In training, gradient clipping is a third thing, and changes no value of a "
            "step (Pascanu et al. 2013).",
            "Nothing shows until some sum passes the limit. Past ±5 a sigmoid hardly moves, so a "
            "limit of 50 as in Core ML is a guard against overflow and no more.",
        ),
        """
   limit ┤            ┌───────────
         │          ╱
       0 ┤        ╱
         │      ╱
  −limit ┼────┘
         └────┬───┬───┬─────────── z
          −limit  0  limit

  z_f ──▶ cut at a limit ──▶ σ ──▶ f_t
""",
        "ONNX operator LSTM, attribute clip",
        symbols=("f", "i", "g", "o"),
        settings=Settings(clip=0.5),
        functions=("clip",),
        example=Example(("z_f", "f", "g"), "Cut at ±0.5, the sum {z_f} counts as 0.5."),
        habits=("clipped at run time",),
        aliases=("clipping", "clip-of-pre-activations", "input-clip", "activation-clip",
                 "gradient-clipping"),
        mistakes=("clips-ignored", "cell-clip-for-clip", "clip-c-too", "clip-1", "clip-3",
                  "clip-50"),
        see=("cell-clip", "pre-activation", "fixed-point"),
        try_=(
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --clip 0.5",
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --clip 3",
        ),
    ),
    Word(
        "cell-clip", "clip of the cell state", "a cell state cut to a limit", GROUP,
        (
            "This clip cuts the new cell state to a limit on both sides, before it is stored and "
            "before it is shown. It keeps a cell from growing without end, and an integer cell "
            "within its type.",
            "TensorFlow 1 and TensorFlow Lite call it `cell_clip`. TensorFlow Lite files were seen "
            "to have 10 there though the Keras model had no clip. An int16 cell state with 12 "
            "fraction bits ends at ±8 all the same.",
            "Nothing shows until a cell state passes the limit, then it shows at once and for "
            "good. A short test with small states does not see it.",
        ),
        """
  kept ───▶(+)──▶ cut at a limit ──┬────────▶ C_t
            ▲                      ▼
  written ──┘                     tanh
                                   ▼
                          o_t ───▶(×)───────▶ h_t
""",
        "TensorFlow 1, tf.nn.rnn_cell.LSTMCell, argument cell_clip; TensorFlow Lite, "
        "kernels/lstm_eval.cc",
        symbols=("c",),
        settings=Settings(cell_clip=1.0),
        functions=("clip",),
        example=Example(
            ("c", "h"),
            "An open forget gate and a candidate near 1 push the state up; the clip holds it "
            "at {c}.",
            x=((0.8,), (0.8,), (0.8,), (0.8,)),
        ),
        habits=("clipped at run time",),
        aliases=("clip-of-the-cell", "clip-of-the-cell-state", "cell-clipping", "state-clip"),
        mistakes=("clips-ignored", "clip-for-cell-clip", "clip-c-too", "cell-clip-1",
                  "cell-clip-8", "cell-clip-10"),
        see=("clip", "cell-state", "fixed-point"),
        try_=(
            "lstm-step --h 0.5 --c 0.2 --x 0.8 --steps 4 --cell-clip 1 --at all",
            "lstm-step --h 0.5 --c 0.2 --x 0.8 --steps 4 --at all",
        ),
    ),
    Word(
        "hard-sigmoid", "hard sigmoid", "three straight lines for the sigmoid", GROUP,
        (
            "A hard sigmoid is three straight lines in place of the sigmoid: 0, a slope, 1. It "
            "needs no exp, and a gate reaches 0 and 1 exactly.",
            "Two functions have this name. Keras 1 and 2, ONNX's default and Core ML have a slope "
            "of 0.2; Keras 3 and PyTorch's `hardsigmoid` one of 1/6. At 1 they give 0.7 and "
            "0.6667, so an old file loaded into Keras 3 computes other numbers, without a word.",
            "Keras had it as the default of `recurrent_activation` before 2.3. A file "
            "`.weights.h5` does not say which activation its network had. The differences are "
            "small, some hundredths in the hidden state over 20 steps, so that they pass for "
            "rounding.",
        ),
        """
   1 ┤                     ┌───────────────
     │                   ╱
 1/2 ┤                 ╱
     │               ╱
   0 ┼─────────────┘
     └─────────────┬───┬───┬────────────── z
                 −2.5  0  2.5
""",
        "ONNX operator HardSigmoid; Keras 3, keras.ops.hard_sigmoid",
        symbols=("f", "i", "o"),
        cell="hard-sigmoid",
        functions=("sigmoid", "hard_sigmoid", "hard_sigmoid_6"),
        example=Example(("z_f", "f", "c", "h")),
        habits=("gates by a hard sigmoid",),
        aliases=("hard-sigmoid-6", "hardsigmoid", "hard-σ", "hard-σ₆", "relu6"),
        mistakes=("hard-sigmoid", "hard-sigmoid-6", "soft-for-hard-sigmoid",
                  "soft-for-hard-sigmoid-6"),
        see=("sigmoid", "convention", "precision"),
        try_=(
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --cell hard-sigmoid",
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --cell hard-sigmoid-6",
        ),
    ),
)  # fmt: skip
