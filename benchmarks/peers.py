"""One run by everybody who can do it here: our engines, PyTorch, ONNX Runtime, JAX.

Ours keep every gate of every step; the peers return h alone, but for JAX, whose scan is written
to return all gates. All have the same weights, input and states, and must agree on the last h.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from benchmarks.common import Work
from lstm_cli.base.arrays import Array
from lstm_cli.cell.cells import LSTM
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.engine.choice import numba_available
from lstm_cli.engine.run import run

OURS = ("numba", "numpy", "table")
TORCH, ONNX, JAX = "PyTorch", "ONNX Runtime", "JAX, all gates"
# What must be installed for a peer to take part.
NEEDED = {TORCH: ("torch",), ONNX: ("onnx", "onnxruntime"), JAX: ("jax",)}
# The order in which PyTorch stacks the gates; ONNX has its own.
TORCH_ORDER, ONNX_ORDER = "ifgo", "iofg"
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Row:
    """The sizes of a run: steps, samples, inputs, hidden units, type."""

    steps: int
    samples: int
    inputs: int
    hidden: int
    dtype: str

    @property
    def trace_bytes(self) -> int:
        """What ten rows of the table take over all steps and samples."""
        return 10 * self.hidden * self.samples * self.steps * np.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        sizes = (self.steps, self.samples, self.inputs, self.hidden)
        return f"{', '.join(map(str, sizes))}, {self.dtype}"


@dataclass(frozen=True, eq=False)
class Case:
    """A row with its numbers: x `(T, N, I)`, h and c `(N, H)`."""

    row: Row
    weights: LstmWeights
    x: Array
    h: Array
    c: Array

    def stacked(self, order: str) -> tuple[Array, Array, Array]:
        """Return W `(4H, I)`, U `(4H, H)` and b `(4H,)` with the gates in an order."""
        size, arrays = self.weights.hidden_size, self.weights.arrays
        joined = np.concatenate([arrays[f"W_{k}"] for k in order]).astype(self.x.dtype)
        bias = np.concatenate([arrays[f"b_{k}"] for k in order]).astype(self.x.dtype)
        return np.ascontiguousarray(joined[:, size:]), np.ascontiguousarray(joined[:, :size]), bias


def make_case(row: Row) -> Case:
    rng = np.random.default_rng(1)
    bound = row.hidden**-0.5
    sizes = {"I": row.inputs, "H": row.hidden}
    arrays = {
        name: rng.uniform(-bound, bound, [sum(sizes[atom] for atom in size) for size in shape])
        for name, shape in LSTM.parameters.items()
    }
    x = rng.standard_normal((row.steps, row.samples, row.inputs), np.float32).astype(row.dtype)
    h, c = (rng.uniform(-1, 1, (row.samples, row.hidden)).astype(row.dtype) for _ in range(2))
    return Case(row, LstmWeights(LSTM, arrays, "random"), x, h, c)


def threads() -> int:
    """Return how many threads everybody has; the command sets it before libraries are loaded."""
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


def our_engine(case: Case, engine: str) -> Work:
    model, x = Model.single(case.weights), np.ascontiguousarray(case.x.transpose(1, 0, 2))
    h, c = case.h, case.c
    if len(x) == 1:
        x, h, c = x[0], h[0], c[0]
    # One day `run` may take a number of threads.
    more = {"threads": threads()} if "threads" in inspect.signature(run).parameters else {}
    return lambda: run(model, x, h, c, dtype=case.x.dtype, engine=engine, **more)


def torch_layer(case: Case) -> Work:
    import torch

    torch.set_num_threads(threads())
    row = case.row
    layer = torch.nn.LSTM(row.inputs, row.hidden, dtype=getattr(torch, row.dtype))
    given, recurrent, bias = map(torch.tensor, case.stacked(TORCH_ORDER))
    with torch.no_grad():
        layer.weight_ih_l0[:], layer.weight_hh_l0[:] = given, recurrent
        layer.bias_ih_l0[:], layer.bias_hh_l0[:] = bias, 0
    x, h, c = torch.tensor(case.x), torch.tensor(case.h)[None], torch.tensor(case.c)[None]

    def work() -> object:
        with torch.inference_mode():
            return layer(x, (h, c))[0].numpy()

    return work


def onnx_runtime(case: Case) -> Work | None:
    import onnx
    import onnxruntime

    row = case.row
    if row.dtype != "float32":  # it has no LSTM in float64
        return None
    given, recurrent, bias = case.stacked(ONNX_ORDER)
    kept = {"W": given[None], "R": recurrent[None], "B": np.concatenate([bias, 0 * bias])[None]}
    node = onnx.helper.make_node(
        "LSTM", ["x", "W", "R", "B", "", "h", "c"], ["y"], hidden_size=row.hidden
    )
    state = [1, row.samples, row.hidden]
    shapes = {"x": [row.steps, row.samples, row.inputs], "h": state, "c": state}
    infos = [onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items()]
    out = onnx.helper.make_tensor_value_info("y", 1, [row.steps, *state])
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in kept.items()]
    graph = onnx.helper.make_graph([node], "lstm", infos, [out], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)])
    model.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads(), 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": case.x, "h": case.h[None], "c": case.c[None]}
    return lambda: session.run(None, feed)[0]


def jax_scan(case: Case) -> Work:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    given, recurrent, bias = map(jnp.asarray, case.stacked(TORCH_ORDER))

    @jax.jit
    def scan(x: object, h: object, c: object) -> object:
        prepared = x @ given.T + bias  # type: ignore[operator] # arrays of JAX

        def step(state: tuple[object, object], z: object) -> tuple[object, object]:
            h, c = state
            z_i, z_f, z_g, z_o = jnp.split(z + h @ recurrent.T, 4, axis=-1)  # type: ignore[operator]
            i, f, o = map(jax.nn.sigmoid, (z_i, z_f, z_o))
            g = jnp.tanh(z_g)
            c = f * c + i * g
            h = o * jnp.tanh(c)
            return (h, c), (z_i, z_f, z_g, z_o, i, f, g, o, c, h)

        return jax.lax.scan(step, (h, c), prepared)[1]

    inputs = tuple(map(jnp.asarray, (case.x, case.h, case.c)))
    compiled = scan.lower(*inputs).compile()
    return lambda: jax.block_until_ready(compiled(*inputs))


_MAKERS: dict[str, Callable[[Case], Work | None]] = {
    TORCH: torch_layer,
    ONNX: onnx_runtime,
    JAX: jax_scan,
}


def present() -> tuple[str, ...]:
    """Return everybody who is installed here, ours first."""
    ours = [name for name in OURS if name != "numba" or numba_available()]
    peers = [name for name, needed in NEEDED.items() if all(map(find_spec, needed))]
    return (*ours, *peers)


def absent() -> tuple[str, ...]:
    """Return who could take part and is not installed."""
    return tuple(name for name in (*OURS, *NEEDED) if name not in present())


def contender(name: str, case: Case) -> Work | None:
    """Return the work of one of `present`; None where it cannot do such a case."""
    return our_engine(case, name) if name in OURS else _MAKERS[name](case)


def contenders(case: Case, names: Iterable[str]) -> dict[str, Work]:
    """Return who can run a case, all of them warm and agreeing on the last h.

    Raises:
        AssertionError: one of them comes to another h; then its time means nothing.
    """
    works = {name: work for name in names if (work := contender(name, case)) is not None}
    wanted: Array | None = None
    for name, work in works.items():
        found = last_h(name, work()).reshape(case.h.shape)
        wanted = found if wanted is None else wanted
        apart = float(np.abs(found - wanted).max())
        assert apart < TOLERANCE, f"{name} is off by {apart:.1e} at {case.row}"
    return works


def last_h(name: str, answer: object) -> Array:
    """Return h `(N, H)` after the last step, from what a contender answered."""
    if name in OURS:
        return answer.h  # type: ignore[attr-defined,no-any-return] # a Trace
    if name == JAX:
        return np.asarray(answer[-1])[-1]  # type: ignore[index] # rows of the table, h the last
    return answer[-1]  # type: ignore[index,no-any-return] # h over time
