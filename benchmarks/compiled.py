"""The compiled engine beside whatever peers are installed, one thread each, ratios in one run.

    python benchmarks/compiled.py [--turns 9] [--rows 1000,1,5,5 …]

Peers return h alone; here every gate is recorded. They take turns (ours, A, B, ours, A, B, …), and
medians of the ratios of processor time within each turn are printed: above 1 the peer is slower.
Processor time, as the machine may have other work to do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import numpy as np  # noqa: E402 - after the number of its threads is set

from lstm_cli import LstmWeights, read_cell  # noqa: E402
from lstm_cli.kernel.compiled import form_for, run_compiled  # noqa: E402
from lstm_cli.kernel.plan import plan_of  # noqa: E402

# T, B, I, H
ROWS = ((1000, 1, 5, 5), (1000, 1, 64, 64), (200, 1, 256, 256), (100, 32, 64, 128),
        (100, 256, 128, 256), (20, 4096, 5, 5), (20, 4096, 64, 64))  # fmt: skip
Work = Callable[[], object]


def ours(T: int, B: int, I: int, H: int, dtype: str) -> Work:
    rng = np.random.default_rng(1)
    cell = read_cell("lstm")
    arrays = {f"W_{k}": rng.uniform(-1, 1, (H, H + I)) * H**-0.5 for k in "figo"}
    arrays |= {f"b_{k}": rng.uniform(-1, 1, H) * H**-0.5 for k in "figo"}
    weights = LstmWeights(cell, arrays)
    plan = plan_of(weights)
    x, h, c = (rng.uniform(-1, 1, shape).astype(dtype) for shape in ((B, T, I), (B, H), (B, H)))
    return lambda: run_compiled(plan, weights.arrays, x, h, c, np.dtype(dtype))


def torch_(T: int, B: int, I: int, H: int, dtype: str) -> Work:
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    layer = torch.nn.LSTM(I, H).to(getattr(torch, dtype))
    x = torch.rand(T, B, I, dtype=getattr(torch, dtype))
    return lambda: layer(x)


def onnxruntime_(T: int, B: int, I: int, H: int, dtype: str) -> Work:
    import onnxruntime
    from onnx import TensorProto, helper

    if dtype == "float64":
        raise ImportError("has no LSTM in float64")
    rng = np.random.default_rng(1)
    shapes = {"W": (1, 4 * H, I), "R": (1, 4 * H, H), "B": (1, 8 * H)}
    held = [
        helper.make_tensor(name, 1, shape, rng.uniform(-(H**-0.5), H**-0.5, shape).ravel())
        for name, shape in shapes.items()
    ]
    node = helper.make_node("LSTM", ["X", *shapes], ["Y"], hidden_size=H)
    x_info = helper.make_tensor_value_info("X", TensorProto.FLOAT, [T, B, I])
    y_info = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [T, 1, B, H])
    graph = helper.make_graph([node], "lstm", [x_info], [y_info], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    x = rng.uniform(-1, 1, (T, B, I)).astype(np.float32)
    return lambda: session.run(None, {"X": x})


def jax_(T: int, B: int, I: int, H: int, dtype: str) -> Work:
    import jax

    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(1)
    W, U, b, x = (
        jax.numpy.asarray(rng.uniform(-1, 1, shape) * H**-0.5, dtype)
        for shape in ((4 * H, I), (4 * H, H), (4 * H,), (T, B, I))
    )

    def step(state: Any, x_t: Any) -> Any:
        h, c = state
        z_f, z_i, z_g, z_o = jax.numpy.split(x_t + h @ U.T, 4, axis=-1)
        f, i, o = (jax.nn.sigmoid(each) for each in (z_f, z_i, z_o))
        g = jax.numpy.tanh(z_g)
        c = f * c + i * g
        h = o * jax.numpy.tanh(c)
        return (h, c), (h, c, f, i, g, o)

    zero = jax.numpy.zeros((B, H), dtype)
    whole = jax.jit(lambda x: jax.lax.scan(step, (zero, zero), x @ W.T + b))
    return lambda: jax.block_until_ready(whole(x))


PEERS = {"torch": torch_, "ONNX Runtime": onnxruntime_, "JAX, all gates": jax_}


def seconds(work: Work, repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats


def measure(row: tuple[int, int, int, int], dtype: str, turns: int) -> None:
    works = {"ours": ours(*row, dtype)}
    for peer, make in PEERS.items():
        try:
            works[peer] = make(*row, dtype)
        except ImportError:
            continue
    once = {}
    for who, work in works.items():
        work()
        once[who] = max(1, int(0.03 / max(1e-6, seconds(work, 2))))
    taken = [{who: seconds(work, once[who]) for who, work in works.items()} for _ in range(turns)]
    own = statistics.median(turn["ours"] for turn in taken)
    line = f"{','.join(map(str, row)):>16} {dtype} {own / row[0] * 1e6:9.2f} µs a step "
    for who in list(works)[1:]:
        ratios = sorted(turn[who] / turn["ours"] for turn in taken)
        low, middle, high = (ratios[len(ratios) * k // 4] for k in (1, 2, 3))
        line += f" | {who} {middle:5.2f} ({low:.2f}–{high:.2f})"
    print(line, f"| {form_for(plan_of_size(row), row[1])}", flush=True)


def plan_of_size(row: tuple[int, int, int, int]) -> Any:
    _, _, I, H = row
    cell = read_cell("lstm")
    arrays = {f"W_{k}": np.ones((H, H + I)) for k in "figo"} | {
        f"b_{k}": np.ones(H) for k in "figo"
    }
    return plan_of(LstmWeights(cell, arrays))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--rows", nargs="*", default=[",".join(map(str, row)) for row in ROWS])
    given = parser.parse_args()
    for text in given.rows:
        T, B, I, H = (int(each) for each in text.split(","))
        for dtype in ("float32", "float64"):
            measure((T, B, I, H), dtype, given.turns)


if __name__ == "__main__":
    main()
