"""Writes the small tensor files beside it with the frameworks themselves, and what they compute.

Run by hand, never by CI:
    pip install torch==2.13.0 safetensors flax jax jaxlib scipy numpy
    python tests/files/make_tensor_files.py
Each file has a .json of the same stem: the input, the initial states (not zero), the numbers that
the framework gave, its versions, and the name and shape of every tensor that a reader must list.
Files without "expected" are for refusals.
"""

from __future__ import annotations

import json
import platform
import struct
import warnings
from pathlib import Path

import flax
import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import safetensors  # noqa: E402
import safetensors.torch  # noqa: E402
import scipy  # noqa: E402
import scipy.io  # noqa: E402
import torch  # noqa: E402
from flax import linen, nnx, serialization  # noqa: E402

HERE = Path(__file__).parent
N, T, I, H, P = 2, 5, 3, 4, 2
TORCH = f"torch {torch.__version__.split('+')[0]}, make_tensor_files.py"
FLAX = f"flax {flax.__version__}, make_tensor_files.py"
VERSIONS = {
    "python": platform.python_version(),
    "numpy": np.__version__,
    "torch": torch.__version__,
    "flax": flax.__version__,
    "jax": jax.__version__,
    "safetensors": safetensors.__version__,
    "scipy": scipy.__version__,
}


def numbers(seed, *shape):
    """Distinct numbers, none near zero, exact in float32."""
    generator = np.random.default_rng(seed)
    count = int(np.prod(shape))
    steps = generator.permutation(3 * count)[:count] + 1
    sign = generator.choice([-1, 1], count)
    return (sign * np.round(0.05 + 0.9 * steps / (3 * count), 4)).reshape(shape)


def listed(array):
    return None if array is None else np.asarray(array, dtype=np.float64).tolist()


def write(
    name,
    *,
    made_by,
    layer="",
    convention=None,
    x=None,
    h0=None,
    c0=None,
    expected=None,
    atol=None,
    tensors=None,
    note=None,
    values=None,
):
    document = {
        "file": name,
        "made_by": made_by,
        "versions": VERSIONS,
        "layer": layer,
        "convention": convention,
        "x": listed(x),
        "h0": listed(h0),
        "c0": listed(c0),
        "expected": expected and {k: listed(v) for k, v in expected.items()},
        "atol": atol,
        "tensors": tensors,
    }
    document |= {k: v for k, v in (("note", note), ("values", values)) if v}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in document.items()]
    (HERE / f"{Path(name).stem}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def shapes(tensors, prefix=""):
    return {prefix + name: list(value.shape) for name, value in tensors.items()}


def lstm(seed, dtype=torch.float64, **options):
    """A torch LSTM with distinct weights, and its run as the .json says it."""
    layer = torch.nn.LSTM(I, H, batch_first=True, **options).double()
    for k, parameter in enumerate(layer.parameters()):
        parameter.data = torch.tensor(numbers(seed + k, *parameter.shape)).to(dtype).double()
    depth = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    width = options.get("proj_size") or H
    x, h0, c0 = (
        numbers(seed + 90, N, T, I),
        numbers(seed + 91, depth, N, width),
        1.5 * numbers(seed + 92, depth, N, H),
    )
    # The weights are those of the file (rounded to its dtype); the run is in float64.
    with torch.no_grad():
        output, (h, c) = layer(*(torch.tensor(x), (torch.tensor(h0), torch.tensor(c0))))
    dirs = 2 if options.get("bidirectional") else 1
    final = [torch.cat(list(state[-dirs:]), dim=-1).numpy() for state in (h, c)]
    run = {
        "x": x,
        "h0": h0,
        "c0": c0,
        "atol": 1e-12,
        "expected": {"output": output.numpy(), "h": final[0], "c": final[1]},
    }
    return layer.to(dtype), run


def torch_files():
    torch.manual_seed(0)
    made = {"made_by": TORCH, "convention": "pytorch"}
    layer, run = lstm(100)
    state = layer.state_dict()
    torch.save(state, HERE / "torch_lstm.pt")
    write("torch_lstm.pt", **made, **run, tensors=shapes(state))

    layer, run = lstm(200, torch.float32, num_layers=2, bidirectional=True)
    model = torch.nn.ModuleDict(
        {"decoder": torch.nn.ModuleDict({"rnn": layer}), "head": torch.nn.Linear(2 * H, 2)}
    )
    optimizer = torch.optim.Adam([*model["head"].parameters(), layer.bias_hh_l0], lr=0.01)
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    model["head"](layer(torch.ones(1, 2, I))[0]).sum().backward()
    optimizer.step()
    checkpoint = {
        "model": weights,
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "loss": 0.25,
        "classes": ["a", "b"],
        "betas": (0.9, 0.999),
        "done": False,
        "device": torch.device("cpu"),
        "seen": {1, 2},
    }
    torch.save(checkpoint, HERE / "torch_checkpoint.pt")
    moments = {
        f"optimizer.state.{k}.{name}": list(value.shape)
        for k, each in optimizer.state_dict()["state"].items()
        for name, value in each.items()
    }
    write(
        "torch_checkpoint.pt",
        **made,
        layer="model.decoder.rnn.",
        **run,
        tensors=shapes(weights, "model.") | moments,
    )

    layer, run = lstm(300, proj_size=P)
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in layer.state_dict().items()}},
        HERE / "torch_projection.pth",
    )
    write(
        "torch_projection.pth",
        **made,
        layer="state_dict.module.",
        **run,
        tensors=shapes(layer.state_dict(), "state_dict.module."),
    )

    for name, dtype in (("float16", torch.float16), ("bfloat16", torch.bfloat16)):
        layer, run = lstm(400, dtype)
        torch.save(layer.state_dict(), HERE / f"torch_{name}.bin")
        write(
            f"torch_{name}.bin",
            **made,
            **run,
            tensors=shapes(layer.state_dict()),
            note=f"the run is in float64, with the weights that {name} keeps",
        )

    cell = torch.nn.LSTMCell(I, H).double()
    for k, parameter in enumerate(cell.parameters()):
        parameter.data = torch.tensor(numbers(500 + k, *parameter.shape))
    x, h, c = numbers(590, N, T, I), numbers(591, N, H), 1.5 * numbers(592, N, H)
    states, pair = [], (torch.tensor(h), torch.tensor(c))
    with torch.no_grad():
        for t in range(T):
            pair = cell(torch.tensor(x[:, t]), pair)
            states.append(pair[0].numpy())
    torch.save(cell.state_dict(), HERE / "torch_cell.pt")
    write(
        "torch_cell.pt",
        made_by=TORCH,
        convention="pytorch-cell",
        x=x,
        h0=h[None],
        c0=c[None],
        atol=1e-12,
        tensors=shapes(cell.state_dict()),
        expected={"output": np.stack(states, 1), "h": states[-1], "c": pair[1].numpy()},
    )

    # One storage under several tensors: transposed, cut, starting late; other dtypes; tied.
    base = torch.tensor(numbers(600, 6, 8), dtype=torch.float32)
    views = {
        "whole": base,
        "transposed": base.T,
        "cut": base[1:5:2, 3:],
        "row": base[2],
        "number": base[3, 4],
        "tied": base,
        "empty": base[:0],
        "ints": torch.tensor([[1, -2], [3, 4]]),
        "short": torch.tensor([7], dtype=torch.int16),
        "new": torch.tensor([1, 65535], dtype=torch.uint16),
        "flag": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(base[:2].clone()),
    }
    torch.save(views, HERE / "torch_views.pt")
    write(
        "torch_views.pt",
        made_by=TORCH,
        tensors=shapes(views),
        note="no LSTM: views of one storage, and other dtypes",
        values={k: listed(v.detach().clone()) for k, v in views.items()},
    )

    for protocol in (3, 4, 5):
        torch.save(
            {"w": base.double()}, HERE / f"torch_protocol{protocol}.pt", pickle_protocol=protocol
        )
        write(f"torch_protocol{protocol}.pt", made_by=TORCH, tensors={"w": [6, 8]})

    small = torch.nn.LSTM(2, 2)
    torch.save(
        small.state_dict(), HERE / "torch_before_1_6.pt", _use_new_zipfile_serialization=False
    )
    torch.save(small, HERE / "torch_model.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.LSTMCell(1, 1)).save(HERE / "torch_script.pt")
    torch.save({"best": np.float64(0.5), "w": base}, HERE / "torch_numpy.pt")
    for name in ("before_1_6", "model", "script", "numpy"):
        write(f"torch_{name}.pt", made_by=TORCH, note="for the refusal that says what to do")


def safetensors_files():
    made = f"safetensors {safetensors.__version__}, {TORCH}"
    for name, dtype in (("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)):
        layer, run = lstm(700, dtype)
        state = {f"encoder.{k}": v.contiguous() for k, v in layer.state_dict().items()}
        state["encoder.mask"] = torch.tensor([True, False])
        safetensors.torch.save_file(
            state, HERE / f"safetensors_{name}.safetensors", {"format": "pt"}
        )
        (HERE / f"safetensors_{name}.safetensors").chmod(0o644)
        write(
            f"safetensors_{name}.safetensors",
            made_by=made,
            convention="pytorch",
            layer="encoder.",
            **run,
            tensors=shapes(state),
            note="the run is in float64, with the weights of the file",
        )


def dotted(tree, prefix=""):
    """Nested dicts as dotted names."""
    flat = {}
    for key, value in tree.items():
        inner = dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else None
        flat |= {f"{prefix}{key}": value} if inner is None else inner
    return flat


def filled(tree, seed):
    """The same tree with distinct numbers, in float32."""
    leaves, form = jax.tree_util.tree_flatten(tree)
    return jax.tree_util.tree_unflatten(
        form, [jnp.asarray(numbers(seed + k, *a.shape), jnp.float32) for k, a in enumerate(leaves)]
    )


def flax_run(step, seed):
    """Run a Flax cell in float64 (its carry is (c, h)) from the float32 weights of its file."""
    x, h, c = numbers(seed + 90, N, T, I), numbers(seed + 91, N, H), 1.5 * numbers(seed + 92, N, H)
    carry, outputs = (jnp.asarray(c), jnp.asarray(h)), []
    for t in range(T):
        carry, y = step(carry, jnp.asarray(x[:, t]))
        outputs.append(np.asarray(y))
    assert outputs[0].dtype == np.float64
    return {
        "x": x,
        "h0": h[None],
        "c0": c[None],
        "atol": 1e-12,
        "expected": {"output": np.stack(outputs, 1), "h": carry[1], "c": carry[0]},
        "note": "the run is in float64, with the float32 weights of the file",
    }


def flax_files():
    for k, (name, kind) in enumerate(
        (("linen_lstm", linen.LSTMCell), ("linen_optimized", linen.OptimizedLSTMCell))
    ):
        cell = kind(H, param_dtype=jnp.float32, dtype=jnp.float64)
        seed = 800 + 100 * k
        carry = (jnp.zeros((N, H)), jnp.zeros((N, H)))
        tree = filled(cell.init(jax.random.key(0), carry, jnp.zeros((N, I))), seed)
        (HERE / f"flax_{name}.msgpack").write_bytes(serialization.to_bytes(tree))
        write(
            f"flax_{name}.msgpack",
            made_by=FLAX,
            convention="flax-linen",
            layer="params.",
            **flax_run(lambda c, x, m=cell, t=tree: m.apply(t, c, x), seed),
            tensors=shapes(dotted(tree)),
        )

    for k, (name, kind, row) in enumerate(
        (
            ("nnx_lstm", nnx.LSTMCell, "flax-nnx"),
            ("nnx_optimized", nnx.OptimizedLSTMCell, "flax-nnx-optimized"),
        )
    ):
        seed = 1000 + 100 * k
        cell = kind(I, H, param_dtype=jnp.float32, dtype=jnp.float64, rngs=nnx.Rngs(0))
        graph, params, rest = nnx.split(cell, nnx.Param, ...)
        tree = filled(nnx.to_pure_dict(params), seed)
        nnx.replace_by_pure_dict(params, tree)
        cell = nnx.merge(graph, params, rest)
        flat = dotted(tree)
        np.savez(
            HERE / f"flax_{name}_arrays.npz", **{key: np.asarray(a) for key, a in flat.items()}
        )
        (HERE / f"flax_{name}.msgpack").write_bytes(serialization.msgpack_serialize(tree))
        for suffix in ("_arrays.npz", ".msgpack"):
            write(
                f"flax_{name}{suffix}",
                made_by=FLAX,
                convention=row,
                **flax_run(cell, seed),
                tensors=shapes(flat),
            )

    # Flax cuts arrays above 1 GiB into chunks; here above 40 bytes, with its own code.
    size, serialization.MAX_CHUNK_SIZE = serialization.MAX_CHUNK_SIZE, 40
    tree = {
        "a": np.arange(1.0, 25.0).reshape(4, 6),
        "b": {"c": np.float32(2.5)},
        "half": np.asarray(jnp.asarray([1.5, -2.0], jnp.bfloat16)),
        "z": 1j,
        "n": [1, None],
    }
    (HERE / "flax_chunked.msgpack").write_bytes(serialization.msgpack_serialize(tree))
    serialization.MAX_CHUNK_SIZE = size
    write(
        "flax_chunked.msgpack",
        made_by=FLAX,
        tensors={"a": [4, 6], "b.c": [], "half": [2]},
        note="no LSTM: an array in chunks, a scalar, a complex number, a list",
    )


def matlab_files():
    layer, run = lstm(1300)
    state = {k: v.numpy() for k, v in layer.state_dict().items()}
    arrays = {
        "InputWeights": state["weight_ih_l0"],
        "RecurrentWeights": state["weight_hh_l0"],
        "Bias": (state["bias_ih_l0"] + state["bias_hh_l0"])[:, None],
    }
    note = (
        "written by scipy in the shapes of MATLAB's lstmLayer (gates i f g o in rows, one "
        "bias); the numbers are those of a torch LSTM whose two biases add up to Bias"
    )
    made = {"made_by": f"scipy {scipy.__version__}, {TORCH}", "convention": "matlab", **run}

    # Without the time of writing, which would differ each time.
    def save(name, data, **options):
        path = HERE / name
        scipy.io.savemat(path, data, **options)
        raw = bytearray(path.read_bytes())
        raw[:116] = b"MATLAB 5.0 MAT-file, by scipy, make_tensor_files.py".ljust(116)
        path.write_bytes(raw)

    save("matlab_plain.mat", arrays)
    write("matlab_plain.mat", **made, tensors=shapes(arrays), note=note)
    save("matlab_packed.mat", arrays, do_compression=True)
    write("matlab_packed.mat", **made, tensors=shapes(arrays), note=note)
    nested = {
        "net": {
            "lstm": {**arrays, "name": "lstm_1"},
            "classes": np.array(["a", "bc"], dtype=object),
        },
        "layers": np.array([arrays["Bias"], None], dtype=object),
        "steps": np.arange(6, dtype=np.int16).reshape(2, 3),
        "whole": np.arange(4.0)[None],
        "complex": np.array([[1 + 2j]]),
        "flag": np.array([[True]]),
    }
    nested["layers"][1] = np.float32([[2.5]])
    save("matlab_struct.mat", nested, do_compression=True)
    write(
        "matlab_struct.mat",
        layer="net.lstm.",
        **made,
        note=note,
        tensors={
            **shapes(arrays, "net.lstm."),
            "net.lstm.name": [1, 6],
            "net.classes.1": [1, 1],
            "net.classes.2": [1, 2],
            "layers.1": [4 * H, 1],
            "layers.2": [1, 1],
            "steps": [2, 3],
            "whole": [1, 4],
            "complex": [1, 1],
            "flag": [1, 1],
        },
    )


torch_files()
safetensors_files()
flax_files()
matlab_files()
