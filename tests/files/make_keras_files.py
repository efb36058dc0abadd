"""Writes the small Keras files beside it with Keras itself, five versions of it, and what they say.

Run by hand, never by CI; each part in an environment of its own, `tf` before `keras3`:

    pip install torch==2.13.0 keras h5py                  # Keras 3.15.1
    pip install tensorflow-cpu==2.15.1                    # Keras 2.15.0
    pip install "numpy<1.24" "scipy<1.11" h5py pyyaml six "setuptools<60" "wheel<0.38"
    pip install --no-build-isolation theano==1.0.5 && pip install --no-deps keras==2.2.4
        keras_applications==1.0.6 keras_preprocessing==1.0.5        # Keras 2.2.4
    … and likewise keras==1.2.2                                     # Keras 1.2.2

    python make_keras_files.py tf | keras3 | chain | keras2 | keras1

Each .json names a file and one LSTM layer in it; "output" is in input time: Keras leaves that of
go_backwards=True in reversed time, so it is turned here. Every weight and state is distinct.

How the numbers of CuDNNLSTM come about: the layer itself runs on a GPU only. Keras 2.15 writes the
file, then its own loader puts the weights into a plain LSTM (`_convert_rnn_weights`), which runs.
The part `keras3` then checks that against cuDNN's own layout, by torch: the four blocks of the
kernel are buffers that cuDNN reads as (units, inputs), in the order i f g o.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
N, T, I, H = 2, 5, 3, 4
ATOL = 2e-6


def numbers(seed, *shape):
    """Distinct numbers, none near zero, exact in four digits."""
    generator = np.random.default_rng(seed)
    count = int(np.prod(shape))
    steps = generator.permutation(3 * count)[:count] + 1
    sign = generator.choice([-1, 1], count)
    made = (sign * np.round(0.05 + 0.9 * steps / (3 * count), 4)).reshape(shape)
    return made.astype(np.float32)


def states(seed, directions=1, units=H):
    """h0 and c0, each (directions, N, units)."""
    return numbers(seed, directions, N, units), 1.5 * numbers(seed + 1, directions, N, units)


def shown(array):
    return np.asarray(array, dtype=np.float64).round(9).tolist()


def write(stem, file, made_by, layer, convention, x, h0, c0, output, h, c, note=None):
    import h5py

    datasets = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            datasets[name] = list(item.shape)

    source = HERE / file
    if file.endswith(".keras"):
        import io
        import zipfile

        source = io.BytesIO(zipfile.ZipFile(source).read("model.weights.h5"))
    with h5py.File(source, "r") as opened:
        opened.visititems(visit)
    document = {
        "file": file,
        "made_by": f"{made_by}, make_keras_files.py",
        "layer": layer,
        "convention": convention,
        "x": shown(x),
        "h0": shown(h0),
        "c0": shown(c0),
        "expected": {"output": shown(output), "h": shown(h), "c": shown(c)},
        "atol": ATOL,
        "tensors": datasets,
    }
    document.update({"note": note} if note else {})
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in document.items()]
    (HERE / f"{stem}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    assert (HERE / file).stat().st_size < 60_000, file


def fill(layer, seed, scale=1.0):
    """Give every weight of a layer distinct numbers."""
    layer.set_weights(
        [scale * numbers(seed + k, *w.shape) for k, w in enumerate(layer.get_weights())]
    )


# --- Keras 3 ---------------------------------------------------------------------------------


def keras3():
    import os

    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import torch
    from keras import layers

    torch.set_default_device("cpu")
    made_by = f"keras {keras.__version__} on torch {torch.__version__.split('+')[0]}"

    def run(layer, x, h, c):
        """Return output in input time, h and c, of a layer or a cell; all states are returned."""
        if isinstance(layer, layers.LSTM):
            layer.return_sequences = layer.return_state = True
            values = layer(x, initial_state=[h, c])
            backwards = layer.go_backwards
            layer.return_sequences, layer.return_state = layer.kept
        else:
            backwards = False
            values = layers.RNN(layer, return_sequences=True, return_state=True)(
                x, initial_state=[h, c]
            )
        output, h, c = (keras.ops.convert_to_numpy(each) for each in values)
        return output[:, ::-1] if backwards else output, h, c

    def keep(layer):
        layer.kept = (layer.return_sequences, layer.return_state)
        return layer

    def one(stem, file, name, layer, seed, x=None, note=None):
        x = numbers(seed + 50, N, T, layer_inputs(layer)) if x is None else x
        units = (layer if not hasattr(layer, "cell") else layer.cell).units
        h0, c0 = states(seed + 60, 1, units)
        output, h, c = run(layer, x, h0[0], c0[0])
        write(stem, file, made_by, name, "keras", x, h0, c0, output, h, c, note)
        return output

    def layer_inputs(layer):
        return layer.get_weights()[0].shape[0]

    def sequential(stem, seed, suffixes=(".keras",), before=(), **arguments):
        keras.utils.clear_session()
        layer = keep(layers.LSTM(H, return_sequences=True, name="the_lstm", **arguments))
        model = keras.Sequential([keras.Input((T, I)), *before, layer, layers.Dense(2)])
        fill(layer, seed)
        for suffix in suffixes:
            file = f"{stem}{suffix}"
            (model.save_weights if "weights" in suffix else model.save)(HERE / file)
            kind = {".keras": "", ".weights.h5": "_weights", ".h5": "_h5"}[suffix]
            one(f"{stem}{kind}", file, "the_lstm", layer, seed)

    sequential("keras3_sequential", 100, (".keras", ".weights.h5", ".h5"))
    sequential("keras3_hard_sigmoid", 200, recurrent_activation="hard_sigmoid")
    sequential(
        "keras3_activations",
        250,
        activation="softsign",
        recurrent_activation=layers.LeakyReLU(negative_slope=0.25),
    )
    sequential("keras3_backwards", 300, (".keras", ".h5"), go_backwards=True)
    sequential("keras3_no_bias", 400, (".keras", ".h5"), use_bias=False, unit_forget_bias=False)
    sequential("keras3_lambda", 450, before=[layers.Lambda(lambda x: 2 * x, name="code")])

    def bidirectional(stem, file, name, layer, seed):
        x = numbers(seed + 50, N, T, layer_inputs(layer.forward_layer))
        h0, c0 = states(seed + 60, 2, layer.forward_layer.units)
        ways = [
            run(keep(way), x, h0[k], c0[k])
            for k, way in enumerate((layer.forward_layer, layer.backward_layer))
        ]
        joined = [np.concatenate(both, axis=-1) for both in zip(*ways, strict=True)]
        write(stem, file, made_by, name, "keras", x, h0, c0, *joined)

    keras.utils.clear_session()
    tokens = keras.Input((T,), name="tokens")
    embedded = layers.Embedding(6, I)(tokens)
    zulu = keep(layers.LSTM(H, return_sequences=True, name="zulu"))
    middle = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="middle")
    alpha = keep(layers.LSTM(3, name="alpha"))
    model = keras.Model(tokens, layers.Dense(1)(alpha(middle(zulu(embedded)))))
    for seed, layer in ((500, zulu), (510, middle), (520, alpha)):
        fill(layer, seed)
    model.save(HERE / "keras3_functional.keras")
    model.save_weights(HERE / "keras3_functional.weights.h5")
    model.save(HERE / "keras3_functional.h5")
    for suffix, kind in ((".keras", ""), (".weights.h5", "_weights"), (".h5", "_h5")):
        file = f"keras3_functional{suffix}"
        one(f"keras3_functional{kind}_zulu", file, "zulu", zulu, 500)
        bidirectional(f"keras3_functional{kind}_middle", file, "middle", middle, 510)
        one(f"keras3_functional{kind}_alpha", file, "alpha", alpha, 520)

    keras.utils.clear_session()
    inside = keep(layers.LSTM(3, return_sequences=True, name="inside"))
    inner = keras.Sequential([keras.Input((T, I)), inside], name="inner")
    cells = [layers.LSTMCell(2, name="low"), layers.LSTMCell(3, name="high")]
    timed = keep(layers.LSTM(2, name="within"))
    start = keras.Input((T, I))
    x = layers.Bidirectional(
        layers.LSTM(2, return_sequences=True), merge_mode="sum", name="summed"
    )(inner(start))
    model = keras.Model(start, layers.GRU(2, name="other")(x))
    fill(inside, 600)
    model.save(HERE / "keras3_nested.keras")
    one("keras3_nested", "keras3_nested.keras", "inner/inside", inside, 600)

    start = keras.Input((T, I))
    x = layers.RNN(cells, return_sequences=True, name="stack")(start)
    x = layers.TimeDistributed(timed, name="timed")(layers.Reshape((1, T, 3))(x))
    model = keras.Model(start, x)
    for k, layer in enumerate([*cells, timed]):
        fill(layer, 610 + 10 * k)
    model.save(HERE / "keras3_stack.keras")
    between = one("keras3_stack_low", "keras3_stack.keras", "stack/low", cells[0], 610)
    one("keras3_stack_high", "keras3_stack.keras", "stack/high", cells[1], 620, between)
    one("keras3_stack_timed", "keras3_stack.keras", "timed", timed, 630)

    check_cudnn(torch)


def chain():
    """Layers that a model joins directly, run as that model from zero states."""
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((T, I)),
            layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="both"),
            layers.SpatialDropout1D(0.2),
            layers.RNN([layers.LSTMCell(3, name="low"), layers.LSTMCell(2, name="high")],
                       return_sequences=True, go_backwards=True, name="stack"),
            layers.LSTM(4, return_sequences=True, go_backwards=True, name="top"),
        ]
    )  # fmt: skip
    for number, layer in enumerate(model.layers):
        fill(layer, 660 + 10 * number)
    model.save(HERE / "chain_keras3.keras")
    x = numbers(690, N, T, I)
    record = {"file": "chain_keras3.keras", "made_by": f"keras {keras.__version__}",
              "x": shown(x), "output": shown(model(x).detach())}  # fmt: skip
    (HERE / "chain_keras3.json").write_text(json.dumps(record) + "\n")


def check_cudnn(torch):
    """Compare the numbers of keras_cudnn.json with torch, whose weights are cuDNN's."""
    import h5py

    told = json.loads((HERE / "keras_cudnn.json").read_text())
    with h5py.File(HERE / told["file"]) as file:
        folder = file["model_weights/fused/fused"]
        kernel, recurrent, bias = (
            folder[f"{k}:0"][()] for k in ("kernel", "recurrent_kernel", "bias")
        )
    lstm = torch.nn.LSTM(I, H, batch_first=True)
    rows = [block.reshape(-1).reshape(H, -1) for block in np.split(kernel, 4, axis=1)]
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.tensor(np.concatenate(rows)))
        lstm.weight_hh_l0.copy_(torch.tensor(np.concatenate(np.split(recurrent, 4, axis=1))))
        lstm.bias_ih_l0.copy_(torch.tensor(bias[: 4 * H]))
        lstm.bias_hh_l0.copy_(torch.tensor(bias[4 * H :]))
        x, h0, c0 = (torch.tensor(told[k], dtype=torch.float32) for k in ("x", "h0", "c0"))
        output, (h, c) = lstm(x, (h0, c0))
    for name, value in (("output", output), ("h", h[0]), ("c", c[0])):
        worst = np.abs(value.numpy() - np.array(told["expected"][name])).max()
        print(f"CuDNNLSTM, {name}: torch and Keras differ by {worst:.1e}")
        assert worst < ATOL


# --- Keras 2.15 ------------------------------------------------------------------------------


def tf():
    import tensorflow

    keras = tensorflow.keras
    layers, old_layers = keras.layers, tensorflow.compat.v1.keras.layers
    import keras as plain

    made_by = f"keras {plain.__version__} on tensorflow {tensorflow.__version__}"

    def call(layer, x, h, c):
        start = [tensorflow.constant(h), tensorflow.constant(c)]
        return [each.numpy() for each in layer(tensorflow.constant(x), initial_state=start)]

    def run(layer_class, weights, x, h, c, units=H, **arguments):
        layer = layer_class(units, return_sequences=True, return_state=True, **arguments)
        layer.build((N, T, x.shape[-1]))
        layer.set_weights(weights)
        return call(layer, x, h, c)

    keras.utils.set_random_seed(1)
    first = layers.LSTM(H, return_sequences=True, name="first")
    hard = old_layers.LSTM(3, return_sequences=True, name="hard")
    model = keras.Sequential([keras.Input((T, I)), first, hard, layers.Dense(1)])
    fill(first, 700)
    fill(hard, 710)
    for suffix, kind in ((".keras", ""), (".h5", "_h5")):
        model.save(str(HERE / f"keras215{suffix}"))
        for layer, name, seed in ((layers.LSTM, "first", 700), (old_layers.LSTM, "hard", 710)):
            own = model.get_layer(name)
            x = numbers(seed + 50, N, T, own.get_weights()[0].shape[0])
            h0, c0 = states(seed + 60, 1, own.units)
            values = run(layer, own.get_weights(), x, h0[0], c0[0], own.units)
            write(
                f"keras215{kind}_{name}",
                f"keras215{suffix}",
                made_by,
                name,
                "keras",
                x,
                h0,
                c0,
                *values,
            )

    fused = old_layers.CuDNNLSTM(H, return_sequences=True, name="fused")
    model = keras.Sequential([keras.Input((T, I)), fused])
    fill(fused, 800)
    model.save(str(HERE / "keras_cudnn.h5"))
    plain_lstm = layers.LSTM(H, return_sequences=True, name="fused")
    loaded = keras.Sequential([keras.Input((T, I)), plain_lstm])
    loaded.load_weights(str(HERE / "keras_cudnn.h5"))
    x = numbers(850, N, T, I)
    h0, c0 = states(860)
    plain_lstm.return_state = True
    values = call(plain_lstm, x, h0[0], c0[0])
    write(
        "keras_cudnn",
        "keras_cudnn.h5",
        made_by,
        "fused",
        "keras-cudnn",
        x,
        h0,
        c0,
        *values,
        note="CuDNNLSTM's file; numbers of the LSTM that Keras loaded it into, equal to torch's",
    )


# --- Keras 2.2.4 and 1.2.2, on Theano --------------------------------------------------------


def theano_keras():
    """Import Keras where Python 3.11 has lost what it leans on."""
    import collections
    import collections.abc
    import inspect
    import os

    os.environ["KERAS_BACKEND"] = "theano"
    os.environ["THEANO_FLAGS"] = "cxx=,device=cpu,floatX=float32,blas.ldflags="
    arguments = collections.namedtuple("A", "args varargs keywords defaults")
    inspect.getargspec = lambda f: arguments(*inspect.getfullargspec(f)[:4])
    for name in ("Iterable", "Mapping", "Callable", "MutableMapping", "Sequence"):
        setattr(collections, name, getattr(collections.abc, name))
    import keras
    import theano

    return keras, f"keras {keras.__version__} on theano {theano.__version__}"


def old(stem, convention, **arguments):
    keras, made_by = theano_keras()
    from keras import backend
    from keras.layers import LSTM, Bidirectional
    from keras.models import Sequential

    def run(weights, x, h, c, units, **more):
        """Run a stateful copy: its states are set before, and read after."""
        layer = LSTM(
            units,
            return_sequences=True,
            stateful=True,
            batch_input_shape=(N, T, x.shape[-1]),
            **arguments,
            **more,
        )
        copy = Sequential([layer])
        layer.set_weights(weights)
        backend.set_value(layer.states[0], h)
        backend.set_value(layer.states[1], c)
        output = copy.predict(x, batch_size=N)
        output = output[:, ::-1] if more.get("go_backwards") else output
        return output, *(backend.get_value(each) for each in layer.states)

    model = Sequential()
    model.add(LSTM(H, return_sequences=True, input_shape=(T, I), name="one", **arguments))
    model.add(Bidirectional(LSTM(2, return_sequences=True, **arguments), name="both"))
    fill(model.layers[0], 900)
    fill(model.layers[1], 920)
    files = [(f"{stem}.h5", stem, model.save)]
    if stem == "keras224":
        files.append((f"{stem}_weights.h5", f"{stem}_weights", model.save_weights))
    for file, name, save in files:
        save(str(HERE / file))
        weights = model.layers[0].get_weights()
        x, (h0, c0) = numbers(950, N, T, I), states(960)
        values = run(weights, x, h0[0], c0[0], H)
        write(f"{name}_one", file, made_by, "one", convention, x, h0, c0, *values)
        weights = model.layers[1].get_weights()
        half = len(weights) // 2
        x, (h0, c0) = numbers(970, N, T, H), states(980, 2, 2)
        ways = [
            run(weights[:half], x, h0[0], c0[0], 2),
            run(weights[half:], x, h0[1], c0[1], 2, go_backwards=True),
        ]
        joined = [np.concatenate(both, axis=-1) for both in zip(*ways)]
        write(f"{name}_both", file, made_by, "both", convention, x, h0, c0, *joined)


def keras2():
    old("keras224", "keras")


def keras1():
    old("keras122", "keras-1")
    old("keras122_fused", "keras", consume_less="gpu")


if __name__ == "__main__":
    {"keras3": keras3, "chain": chain, "tf": tf, "keras2": keras2, "keras1": keras1}[sys.argv[1]]()
