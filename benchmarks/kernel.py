"""The engines beside PyTorch, ONNX Runtime and JAX: µs a step, and ratios, in one run.

    python benchmarks/kernel.py [--rounds 7] [--cpu] [ROW …]

Ours keep every gate of every step; the peers return h alone, but for JAX, whose scan is written
to return all gates. Whatever of them is installed takes part, each on the same one CPU with one
thread. They take turns (A B C A B C …), and a peer's ratio is that of its turn to ours in the same
round: above 1 ours is faster. `floor` is the larger of the matrix products alone, of NumPy's tanh
and exp alone, and of writing the trace alone. `--cpu` counts the process's own time, for a machine
that is not one's own. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import numpy as np  # noqa: E402 - after its threads are set

from lstm_cli.cells import LSTM  # noqa: E402
from lstm_cli.engine import run  # noqa: E402
from lstm_cli.kernel.choice import numba_available  # noqa: E402
from lstm_cli.weights import LstmWeights, Model  # noqa: E402

# T, B, I, H, dtype.
ROWS = [
    (1000, 1, 5, 5, "float32"),
    (1000, 1, 5, 5, "float64"),
    (1000, 1, 64, 64, "float32"),
    (200, 1, 256, 256, "float64"),
    (100, 32, 64, 128, "float32"),
    (100, 256, 128, 256, "float32"),
    (20, 4096, 5, 5, "float32"),
    (20, 4096, 64, 64, "float64"),
]
# The order in which PyTorch stacks the gates; ONNX has its own.
TORCH, ONNX = "ifgo", "iofg"
# A turn lasts at least this long.
LEAST_SECONDS = 0.02
Work = Callable[[], object]


@dataclass(frozen=True, eq=False)
class Case:
    """A row of the grid with its numbers: x `(T, B, I)`, h and c `(B, H)`."""

    weights: LstmWeights
    x: np.ndarray
    h: np.ndarray
    c: np.ndarray

    def stacked(self, order: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return W `(4H, I)`, U `(4H, H)` and b `(4H,)` with the gates in an order."""
        size, arrays = self.weights.hidden_size, self.weights.arrays
        joined = np.concatenate([arrays[f"W_{k}"] for k in order]).astype(self.x.dtype)
        bias = np.concatenate([arrays[f"b_{k}"] for k in order]).astype(self.x.dtype)
        return np.ascontiguousarray(joined[:, size:]), np.ascontiguousarray(joined[:, :size]), bias


def make_case(steps: int, samples: int, inputs: int, hidden: int, dtype: str) -> Case:
    rng = np.random.default_rng(1)
    bound = hidden**-0.5
    sizes = {"I": inputs, "H": hidden}
    arrays = {
        name: rng.uniform(-bound, bound, [sum(sizes[atom] for atom in size) for size in shape])
        for name, shape in LSTM.parameters.items()
    }
    x = rng.normal(size=(steps, samples, inputs)).astype(dtype)
    h, c = (rng.uniform(-1, 1, (samples, hidden)).astype(dtype) for _ in range(2))
    return Case(LstmWeights(LSTM, arrays, "random"), x, h, c)


def our_engine(case: Case, engine: str) -> Work:
    model, x = Model.single(case.weights), np.ascontiguousarray(case.x.transpose(1, 0, 2))
    if x.shape[0] == 1:
        return lambda: run(model, x[0], case.h[0], case.c[0], dtype=case.x.dtype, engine=engine)
    return lambda: run(model, x, case.h, case.c, dtype=case.x.dtype, engine=engine)


def torch_layer(case: Case) -> Work:
    import torch

    torch.set_num_threads(1)
    inputs = case.x.shape[2]
    layer = torch.nn.LSTM(inputs, case.weights.hidden_size, dtype=getattr(torch, case.x.dtype.name))
    given, recurrent, bias = map(torch.tensor, case.stacked(TORCH))
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

    if case.x.dtype != np.float32:
        return None
    steps, samples, inputs = case.x.shape
    hidden = case.weights.hidden_size
    given, recurrent, bias = case.stacked(ONNX)
    kept = {"W": given[None], "R": recurrent[None], "B": np.concatenate([bias, 0 * bias])[None]}
    node = onnx.helper.make_node(
        "LSTM", ["x", "W", "R", "B", "", "h", "c"], ["y"], hidden_size=hidden
    )
    shapes = {"x": [steps, samples, inputs], "h": [1, samples, hidden], "c": [1, samples, hidden]}
    infos = [onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items()]
    out = onnx.helper.make_tensor_value_info("y", 1, [steps, 1, samples, hidden])
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in kept.items()]
    graph = onnx.helper.make_graph([node], "lstm", infos, [out], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)])
    model.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": case.x, "h": case.h[None], "c": case.c[None]}
    return lambda: session.run(None, feed)[0]


def jax_scan(case: Case) -> Work:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    given, recurrent, bias = map(jnp.asarray, case.stacked(TORCH))

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

    given_all = tuple(map(jnp.asarray, (case.x, case.h, case.c)))
    return lambda: jax.block_until_ready(scan(*given_all))


def contenders(case: Case) -> dict[str, Work]:
    """Return what can run a case here, ours first, all of them warm and agreeing on h."""
    found: dict[str, Work] = {
        "table": our_engine(case, "table"),
        "numpy": our_engine(case, "numpy"),
    }
    if numba_available():
        found["numba"] = our_engine(case, "numba")
    makers = {"torch LSTM": torch_layer, "ONNX Runtime": onnx_runtime, "JAX, all gates": jax_scan}
    for name, make in makers.items():
        try:
            work = make(case)
        except ImportError:
            continue
        if work is not None:
            found[name] = work
    wanted = found["table"]().h
    for name, work in found.items():
        answer = work()
        last = LAST.get(name, lambda trace: trace.h)(answer)
        assert np.allclose(np.asarray(last).reshape(wanted.shape), wanted, rtol=0, atol=1e-4), name
    return found


# The last h in a peer's answer.
LAST: dict[str, Callable[..., np.ndarray]] = {
    "torch LSTM": lambda output: output[-1],
    "ONNX Runtime": lambda output: output[-1, 0],
    "JAX, all gates": lambda all_gates: np.asarray(all_gates[-1])[-1],
}


def floor(case: Case) -> dict[str, float]:
    """Return the seconds of a step's matrix products, of its tanh and exp, of writing its trace."""
    _, samples, inputs = case.x.shape
    hidden, dtype = case.weights.hidden_size, case.x.dtype
    matrix = np.ones((4 * hidden, hidden + inputs), dtype)
    vectors, out = (
        np.ones((hidden + inputs, samples), dtype),
        np.empty((4 * hidden, samples), dtype),
    )
    z = np.random.default_rng(2).normal(size=(5 * hidden, samples)).astype(dtype)
    made, trace = np.empty_like(z), np.empty((10 * hidden, samples), dtype)

    def activate() -> None:
        np.exp(z[: 3 * hidden], made[: 3 * hidden])
        np.tanh(z[3 * hidden :], made[3 * hidden :])

    return {
        "product": seconds(lambda: np.matmul(matrix, vectors, out)),
        "exp and tanh": seconds(activate),
        "trace": seconds(lambda: trace.fill(1)),
    }


clock = time.perf_counter


def seconds(work: Work) -> float:
    """Return what one call takes, of as many as last `LEAST_SECONDS`."""
    count, start = 0, clock()
    while not count or clock() - start < LEAST_SECONDS:
        work()
        count += 1
    return (clock() - start) / count


def show(row: tuple[int, int, int, int, str], rounds: int) -> None:
    case = make_case(*row)
    works = contenders(case)
    turns = []
    for _ in range(rounds):
        turn = {name: seconds(work) / row[0] for name, work in works.items()}
        turn |= {f"floor: {name}": took for name, took in floor(case).items()}
        turns.append(turn)
    ours = [name for name in ("numpy", "numba") if name in works]
    print(f"\nT, B, I, H = {', '.join(map(str, row[:4]))}, {row[4]}")
    for name in turns[0]:
        middle = statistics.median(turn[name] for turn in turns) * 1e6
        ratios = []
        for own in ours:
            low, half, high = statistics.quantiles([t[name] / t[own] for t in turns], n=4)
            ratios.append(f"{half:6.2f} × {own} ({low:.2f}–{high:.2f})")
        print(f"  {name:22} {middle:10.2f} µs   {'   '.join(ratios)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="*", default=range(len(ROWS)))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cpu", action="store_true", help="CPU time, for a busy machine")
    options = parser.parse_args()
    if options.cpu:
        global clock
        clock = time.process_time
    for row in options.rows:
        show(ROWS[row], options.rounds)


if __name__ == "__main__":
    main()
