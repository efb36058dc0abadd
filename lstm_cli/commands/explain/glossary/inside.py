"""What a gate is made of: its two inputs, weights, bias, the sum and the activation."""

from __future__ import annotations

from lstm_cli.commands.explain.glossary.word import Example, Word

GROUP = "inside a gate"

ROWS = (
    Word(
        "pre-activation", "pre-activation", "the sum that goes into σ or tanh", GROUP,
        (
            "The pre-activation is the number that goes into σ or tanh: the weighted sum of all "
            "that the gate sees, plus its bias. It is written z with the gate's letter; older "
            "papers call it net input.",
            "There is one sum and then one activation. All of $h_prev$, all of $x$ and the bias "
            "come together before σ; nothing is added after it.",
            "The sign says on which side of one half a gate stands, the size how decided it is. "
            "Near 0 the sigmoid is almost a straight line; past ±5 the gate is within 0.7 % of 0 "
            "or 1 and hardly learns any more.",
            "When two programs disagree, compare pre-activations before gates. A saturated gate "
            "hides an error in its sum, and a sum tells at once whether a bias, a transposed "
            "matrix or the order of the gates is behind it.",
        ),
        """
  h_{t−1} ──▶ W_f, columns for h ──┐
  x_t ──────▶ W_f, columns for x ──┼──▶ z_f ──▶ σ ──▶ f_t
  b_f ─────────────────────────────┘
""",
        "Gers, Schmidhuber & Cummins 2000, doi 10.1162/089976600300015015",
        symbols=("z_f", "z_i", "z_g", "z_o"),
        example=Example(
            ("z_f", "f"),
            "With the weights of the preset identity the sum is {h_prev} + {x} = {z_f}.",
        ),
        facts=("split",),
        aliases=("z", "preactivation", "net-input", "net", "logit"),
        mistakes=(
            "bias-outside", "product-of-projections", "elementwise-product", "u-ignored",
            "x-ignored", "c-for-h", "no-weights",
        ),
        see=("concatenation", "weights", "bias", "sigmoid", "tanh"),
        try_=("lstm-step --h 0.5,0.1 --x 0.3,-0.2 --preset random --notation split",),
    ),
    Word(
        "concatenation", "concatenation", "h and x, one behind the other", GROUP,
        (
            "$[h_prev, x]$ puts one vector behind the other: first the numbers of the hidden state "
            "before, then those of the input. It is no sum. Nothing is added, and the two may have "
            "different sizes.",
            "A matrix times the joined vector is the sum of two products: its first columns meet "
            "the hidden state, its last ones the input. Both ways of writing give the same number; "
            "`--notation split` prints the second one.",
            "The literature has the hidden state first, and so has this program. TensorFlow 1 and "
            "Haiku join the input first, so their matrices have the columns the other way round. "
            "With as many inputs as units no shape complains if the two are exchanged.",
            "With W_k = [I | I], two identity matrices side by side, the product comes to the sum "
            "of the two vectors. That is the preset identity, and why an example with the weights "
            "left out can look right.",
        ),
        """
              h_{t−1}          x_t
         ┌──────────────┬──────────────┐
         │  P numbers   │  I numbers   │
         └──────────────┴──────────────┘
           times            times
         ┌──────────────┬──────────────┐
         │ columns of   │ columns of   │
         │ W_f for h    │ W_f for x    │   H rows
         └──────────────┴──────────────┘
""",
        "Gers, Schmidhuber & Cummins 2000, doi 10.1162/089976600300015015",
        symbols=("z_f",),
        example=Example(
            ("[h_prev, x]", "z_f"),
            "Two numbers of the hidden state, then two of the input. With the weights of the "
            "preset identity each sum has one number of both.",
            x=((0.3, 0.1),), h=(0.5, 0.2), c=(0.2, -0.4),
        ),
        facts=("split",),
        habits=("one matrix for both inputs, x first",),
        aliases=("concat", "[h,-x]", "[h-prev,-x]", "joined", "split", "stacking-h-and-x"),
        mistakes=("no-weights", "swapped-concatenation", "product-of-projections"),
        see=("weights", "pre-activation", "convention"),
        try_=(
            "lstm-step --h 0.5,0.2 --x 0.3,0.1",
            "lstm-step --h 0.5,0.2 --x 0.3,0.1 --notation split",
        ),
    ),
    Word(
        "weights", "weights", "a matrix for each gate and the candidate", GROUP,
        (
            "Each of the three gates and the candidate has a matrix of its own: a row for each "
            "unit, a column for each number of the hidden state and of the input. The first "
            "columns are also called recurrent weights and written U; W is then the rest.",
            "Row j belongs to unit j. Its numbers say how strongly, and with what sign, each "
            "number of the two vectors moves that unit's gate. The same weights serve at every "
            "step of a sequence.",
            "Frameworks keep the four matrices stacked in one tensor: in some order of the gates, "
            "by rows or by columns, for h and x together or apart. The recurrent matrix is square, "
            "so a transposed one is not refused by any shape. `inspect` names the layout of a file "
            "and says how it is known, `convert` writes another one.",
        ),
        """
                  for h          for x       bias
             ┌────────────┬──────────────┐  ┌───┐
    forget   │            W_f            │  │b_f│   H rows
             ├────────────┼──────────────┤  ├───┤
    input    │            W_i            │  │b_i│   H rows
             ├────────────┼──────────────┤  ├───┤
  candidate  │            W_g            │  │b_g│   H rows
             ├────────────┼──────────────┤  ├───┤
    output   │            W_o            │  │b_o│   H rows
             └────────────┴──────────────┘  └───┘
               P columns     I columns
""",
        "Greff et al. 2017, doi 10.1109/TNNLS.2016.2582924",
        symbols=("z_f", "z_i", "z_g", "z_o"),
        facts=("parameters",),
        aliases=("w", "u", "w-f", "w-i", "w-g", "w-o", "u-f", "u-i", "u-g", "u-o", "kernel",
                 "recurrent-kernel", "recurrent-weights", "matrix", "parameters"),
        mistakes=(
            "no-weights", "u-transposed", "w-transposed", "both-transposed", "kernel-reshaped",
            "stack-reshaped", "elementwise-product", "u-ignored", "units-permuted",
        ),
        see=("concatenation", "bias", "gate-order", "convention", "unit"),
        try_=(
            "lstm-step --h 0.5,0.2 --x 0.3,0.1,0.4 --preset random",
            "lstm-step list presets",
        ),
    ),
    Word(
        "bias", "bias", "where a gate stands when its inputs are 0", GROUP,
        (
            "The bias is a number that each unit of each gate adds to its weighted sum, inside the "
            "activation. It says where the gate stands when both inputs are zero: at 0 half open, "
            "above 0 rather open, below 0 rather shut.",
            "Some frameworks keep two of them, one beside the weights for x and one beside those "
            "for h. Only their sum counts; who reads one of the two, or counts one twice, gets "
            "numbers that are a little off everywhere.",
            "Keras puts the forget gate's start at 1 into its stored bias; TensorFlow 1, Haiku and "
            "DyNet add 1 at run time, and it is in no file. Counted twice or not at all it shows "
            "from the second step on.",
        ),
        """
     weighted sum of h_{t−1} and x_t
                  │
                  ▼
        b_f ────▶(+)────▶ z_f ────▶ σ ────▶ f_t
""",
        "Gers, Schmidhuber & Cummins 2000, doi 10.1162/089976600300015015",
        symbols=("z_f", "z_i", "z_g", "z_o"),
        habits=("two biases for a gate",),
        aliases=("b", "b-f", "b-i", "b-g", "b-o", "biases", "bias-ih", "bias-hh"),
        mistakes=(
            "bias-outside", "recurrent-bias-forgotten", "input-bias-forgotten", "input-bias-twice",
            "recurrent-bias-twice", "bias-twice", "no-bias", "forget-bias-added",
        ),
        see=("pre-activation", "forget-bias", "weights"),
        try_=(
            "lstm-step --h 0.5,0.2 --x 0.3,0.1 --preset random",
            "lstm-step --h 0.5 --c 0.2 --x 0.3 --preset forget",
        ),
    ),
    Word(
        "sigmoid", "sigmoid (σ)", "the function that makes a share", GROUP,
        (
            "The logistic sigmoid makes a share of any number: far below 0 it is near 0, at 0 it "
            "is one half, far above it is near 1. It is symmetric: $sigmoid(-z_f)$ is "
            "$1 - sigmoid(z_f)$. The three gates have it.",
            "Its slope is the share times what is missing to 1, at most 1/4. Past ±5 the slope is "
            "below 0.007: a gate there is saturated, and learns slowly.",
            "The form of the textbooks is right on paper. In double precision its exp overflows "
            "below −709, in single precision below −88; this program computes the second form "
            "above, which stays within 2.3 units of the last place everywhere.",
            "A hard sigmoid is another function, though some files call it by the same name: see "
            "`explain hard-sigmoid`.",
        ),
        """
   1 ┤                              ╭────────────
     │                          ╭───╯
     │                        ╭─╯
 1/2 ┤                     ╭──╯
     │                   ╭─╯
     │               ╭───╯
   0 ┼───────────────╯
     └────────┬─────────────┬─────────────┬────── z
             −4             0             4
""",
        "Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
        symbols=("f", "i", "o"),
        functions=("sigmoid",),
        aliases=("σ", "sigma", "logistic", "sigm", "recurrent-activation", "gate-activation"),
        mistakes=(
            "tanh-gates", "linear-gates", "sigmoid-2x", "hard-sigmoid", "hard-sigmoid-6",
            "sigmoid-candidate", "sigmoid-on-c", "bias-outside",
        ),
        see=("tanh", "hard-sigmoid", "gate", "pre-activation"),
        try_=(
            "lstm-step --x -4,-2,-1,0,1,2,4",
            "lstm-step list activations",
        ),
    ),
    Word(
        "tanh", "tanh", "the function that makes a content", GROUP,
        (
            "The hyperbolic tangent brings any number between −1 and 1 and keeps its sign. Near 0 "
            "it changes almost nothing: tanh(0.1) is 0.0997. It is a sigmoid stretched: the same "
            "as $2 * sigmoid(2 * z_g) - 1$.",
            "The LSTM has it in two places: it makes the candidate, and it stands between the cell "
            "state and the hidden state. What is stored is the cell state itself; tanh is for "
            "showing it.",
            "Because it is nearly a straight line at first, leaving it out between c and h is a "
            "quiet mistake: with cell states around 0.1 the third digit tells, with 2 everything "
            "does. Test with large cell states.",
        ),
        """
   1 ┤                            ╭──────────────
     │                         ╭──╯
     │                       ╭─╯
   0 ┤                      ╭╯
     │                    ╭─╯
     │                 ╭──╯
  −1 ┼─────────────────╯
     └────────────┬─────────┬─────────┬────────── z
                 −2         0         2
""",
        "Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
        symbols=("g", "h"),
        functions=("tanh",),
        aliases=("hyperbolic-tangent", "activation", "output-activation", "candidate-activation"),
        mistakes=(
            "no-tanh-on-c", "tanh-in-stored-c", "sigmoid-on-c", "linear-candidate",
            "relu-candidate", "relu-output", "relu-both", "hard-tanh", "tanh-gates",
        ),
        see=("sigmoid", "candidate", "hidden-state"),
        try_=(
            "lstm-step --h 0.5 --c 3 --x 0.3",
            "lstm-step --h 0.5 --c 3 --x 0.3 --activations sigmoid,relu,relu",
        ),
    ),
    Word(
        "unit", "unit (and the sizes H, P, I, T, N)",
        "one place of the vectors; H, P, I, T and N", GROUP,
        (
            "A unit is one place of the vectors: one number of the cell state with its four "
            "numbers f, i, C̃ and o beside it. The units of a layer see each other only through "
            "$h_prev$; within a step each goes its own way.",
            "H is the number of units (hidden size), P that of the hidden state, which is H unless "
            "there is a projection, I that of the input. T counts steps, N samples of a batch. "
            "Keras's `units` and PyTorch's `hidden_size` are H.",
            "The order of units means nothing: permute them in all matrices alike and the network "
            "computes the same, with the numbers in other places. Units are counted from 0 here, "
            "steps from 1.",
        ),
        """
   unit       0       1       2     …    H − 1
           ┌───────┬───────┬───────┬───┬───────┐
    f_t    │       │       │       │   │       │
    C_t    │       │       │       │   │       │
    h_t    │       │       │       │   │       │
           └───────┴───────┴───────┴───┴───────┘
""",
        "Greff et al. 2017, doi 10.1109/TNNLS.2016.2582924",
        symbols=("c", "h"),
        example=Example(
            ("f", "c", "h"),
            "Two units: each number of a row belongs to one of them.",
            x=((0.3, 0.1),), h=(0.5, 0.2), c=(0.2, -0.4),
        ),
        aliases=("units", "hidden-size", "size", "sizes", "neuron", "input-size", "shape",
                 "shapes"),
        mistakes=("units-permuted", "gates-interleaved", "gates-deinterleaved"),
        see=("weights", "projection", "batch", "hidden-state"),
        try_=("lstm-step --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1 --unit 1",),
    ),
)  # fmt: skip
