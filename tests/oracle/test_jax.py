"""Flax, Haiku and Equinox on JAX, live: arrays under each library's own names, and gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.oracle
jax = pytest.importorskip("jax")
jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402

from lstm_cli.base.arrays import Array  # noqa: E402
from lstm_cli.engine.run import step  # noqa: E402
from lstm_cli.formats.read import model_from_arrays, read_weights  # noqa: E402
from tests.oracle.compare import (  # noqa: E402
    Case,
    H,
    I,
    T,
    Theirs,
    assert_same,
    draw,
    named,
)  # fmt: skip

FLOAT64, FLOAT32 = 1e-13, 1e-6
DTYPES = [pytest.param(np.float64, FLOAT64, id="float64"),
          pytest.param(np.float32, FLOAT32, id="float32")]  # fmt: skip
Step = Callable[[Any, Any, Any], tuple[Any, Any]]


class Recorder:
    """Wraps a cell's activations and keeps what each is given and returns, in the order it runs."""

    def __init__(self) -> None:
        self.kept: list[tuple[Array, Array]] = []

    def __call__(self, activation: Any) -> Any:
        """Return the activation, watched."""

        def activate(z: Any) -> Any:
            value = activation(z)
            self.kept.append((np.asarray(z), np.asarray(value)))
            return value

        return activate

    def gates(self) -> dict[str, Array]:
        """Return z_k and k as (N, T, H); all these libraries run i, f, g, o, then tanh(c)."""
        assert len(self.kept) == 5 * T
        return {
            symbol: np.stack([step[which] for step in self.kept[place::5]], axis=1)
            for place, gate in enumerate("ifgo")
            for which, symbol in enumerate((f"z_{gate}", gate))
        }


def filled(tree: Any, seed: int) -> Any:
    """Return the tree with distinct numbers in its leaves' own types."""
    leaves, form = jax.tree_util.tree_flatten(tree)
    made = [
        jnp.asarray(draw(seed + 10 * place, *leaf.shape), leaf.dtype)
        for place, leaf in enumerate(leaves)
    ]
    return jax.tree_util.tree_unflatten(form, made)


def flat(tree: Mapping[str, Any], separator: str, prefix: str = "") -> dict[str, Array]:
    """Return nested dicts as one, names joined."""
    return {
        name: array
        for key, value in tree.items()
        for name, array in (
            flat(value, separator, f"{prefix}{key}{separator}")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": np.asarray(value)}
        ).items()
    }


def over_time(step: Step, case: Case) -> Theirs:
    """Fold a step (x, h, c) -> (h, c) over the case."""
    h, c = jnp.asarray(case.h0[0]), jnp.asarray(case.c0[0])
    outputs = []
    for t in range(T):
        h, c = step(jnp.asarray(case.x[:, t]), h, c)
        outputs.append(np.asarray(h))
    assert outputs[0].dtype == case.x.dtype
    return Theirs(np.stack(outputs, axis=1), np.asarray(h)[None], np.asarray(c)[None])


def with_gates(theirs: Theirs, gates: Mapping[str, Array]) -> Theirs:
    """Return the same with gates."""
    return Theirs(theirs.output, theirs.h, theirs.c, gates)


def label(package: str, kind: str, dtype: Any) -> str:
    """Return what a margin is listed under."""
    return f"{named(package)} {kind}" + ", float32" * (dtype == np.float32)


@pytest.mark.parametrize(("dtype", "atol"), DTYPES)
@pytest.mark.parametrize("kind", ["LSTMCell", "OptimizedLSTMCell"])
def test_flax_linen(tmp_path: Path, kind: str, dtype: Any, atol: float) -> None:
    """linen's two cells from msgpack and from npz (both ways to flatten names), with all gates."""
    linen = pytest.importorskip("flax.linen")
    from flax import serialization

    recorder = Recorder()
    cell = getattr(linen, kind)(
        H, param_dtype=dtype, dtype=dtype,
        gate_fn=recorder(jax.nn.sigmoid), activation_fn=recorder(jnp.tanh),
    )  # fmt: skip
    case = Case.drawn(110, dtype=dtype)
    carry = (jnp.asarray(case.c0[0]), jnp.asarray(case.h0[0]))
    tree = filled(cell.init(jax.random.key(0), carry, jnp.asarray(case.x[:, 0])), 100)
    recorder.kept.clear()

    def step(x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        (c, h), _ = cell.apply(tree, (c, h), x)
        return h, c

    theirs = with_gates(over_time(step, case), recorder.gates())
    (tmp_path / "cell.msgpack").write_bytes(serialization.to_bytes(tree))
    np.savez(tmp_path / "dots.npz", **flat(tree, "."))
    np.savez(tmp_path / "slashes.npz", **flat(tree, "/"))
    for file in ("cell.msgpack", "dots.npz", "slashes.npz"):
        model = read_weights(tmp_path / file)
        assert model.convention == "flax-linen"
        assert_same(case.run(model, dtype), theirs, atol, label("flax", f"linen {kind}", dtype))


@pytest.mark.parametrize(("dtype", "atol"), DTYPES)
@pytest.mark.parametrize(
    ("kind", "row"), [("LSTMCell", "flax-nnx"), ("OptimizedLSTMCell", "flax-nnx-optimized")]
)
def test_flax_nnx(tmp_path: Path, kind: str, row: str, dtype: Any, atol: float) -> None:
    """nnx's two cells from msgpack and npz, with all gates."""
    nnx = pytest.importorskip("flax.nnx")
    from flax import serialization

    recorder = Recorder()
    cell = getattr(nnx, kind)(
        I, H, param_dtype=dtype, dtype=dtype, rngs=nnx.Rngs(0),
        gate_fn=recorder(jax.nn.sigmoid), activation_fn=recorder(jnp.tanh),
    )  # fmt: skip
    graph, params, rest = nnx.split(cell, nnx.Param, ...)
    tree = filled(nnx.to_pure_dict(params), 200)
    nnx.replace_by_pure_dict(params, tree)
    cell = nnx.merge(graph, params, rest)
    case = Case.drawn(210, dtype=dtype)

    def step(x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        (c, h), _ = cell((c, h), x)
        return h, c

    theirs = with_gates(over_time(step, case), recorder.gates())
    (tmp_path / "cell.msgpack").write_bytes(serialization.msgpack_serialize(tree))
    np.savez(tmp_path / "cell.npz", **flat(tree, "."))
    for file in ("cell.msgpack", "cell.npz"):
        model = read_weights(tmp_path / file)
        assert model.convention == row
        assert_same(case.run(model, dtype), theirs, atol, label("flax", f"nnx {kind}", dtype))


@pytest.mark.parametrize(("dtype", "atol"), DTYPES)
def test_haiku(tmp_path: Path, dtype: Any, atol: float) -> None:
    """hk.LSTM from npz, with the 1 that it adds to the forget gate, and its pre-activations."""
    hk = pytest.importorskip("haiku")
    function = hk.without_apply_rng(
        hk.transform(lambda x, h, c: hk.LSTM(H)(x, hk.LSTMState(h, c))[1])
    )
    case = Case.drawn(310, dtype=dtype)
    parts = [jnp.asarray(each) for each in (case.x[:, 0], case.h0[0], case.c0[0])]
    tree = filled(function.init(jax.random.key(0), *parts), 300)
    stacks: list[Array] = []

    def watch(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        result = call(*args, **kwargs)
        if isinstance(context.module, hk.Linear) and context.method_name == "__call__":
            stacks.append(np.asarray(result))
        return result

    def step(x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        with hk.intercept_methods(watch):
            return tuple(function.apply(tree, x, h, c))

    theirs = over_time(step, case)
    assert len(stacks) == T
    z = dict(zip("igfo", np.split(np.stack(stacks, axis=1), 4, axis=-1), strict=True))
    theirs = with_gates(theirs, {f"z_{k}": z[k] + dtype(k == "f") for k in "igfo"})
    np.savez(tmp_path / "lstm.npz", **flat(tree, "/"))
    model = read_weights(tmp_path / "lstm.npz", convention="haiku")
    assert_same(case.run(model, dtype), theirs, atol, label("dm-haiku", "hk.LSTM", dtype))


@pytest.mark.parametrize(("dtype", "atol"), DTYPES)
@pytest.mark.parametrize("bias", [True, False])
def test_equinox(tmp_path: Path, bias: bool, dtype: Any, atol: float) -> None:
    """eqx.nn.LSTMCell from npz under its field names, with and without its bias."""
    eqx = pytest.importorskip("equinox")
    cell = eqx.nn.LSTMCell(I, H, use_bias=bias, dtype=dtype, key=jax.random.key(0))
    arrays, rest = eqx.partition(cell, eqx.is_array)
    cell = eqx.combine(filled(arrays, 400), rest)
    case = Case.drawn(410, dtype=dtype)
    theirs = over_time(lambda x, h, c: jax.vmap(cell)(x, (h, c)), case)
    names = ("weight_ih", "weight_hh", "bias")[: 2 + bias]
    np.savez(tmp_path / "cell.npz", **{name: np.asarray(getattr(cell, name)) for name in names})
    # Core ML has the same three names; without a bias it is PyTorch's cell, and the same.
    model = read_weights(tmp_path / "cell.npz", convention="equinox" if bias else None)
    assert model.convention == ("equinox" if bias else "pytorch-cell")
    assert_same(case.run(model, dtype), theirs, atol, label("equinox", "LSTMCell", dtype))


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16])
def test_flax_parameters_in_memory(dtype: Any) -> None:
    """`init`'s nested mapping is taken as it is, whatever its type; so are arrays of JAX for x."""
    linen = pytest.importorskip("flax.linen")
    cell = linen.OptimizedLSTMCell(H, param_dtype=jnp.float64)
    x, h, c = jnp.asarray(draw(92, I)), jnp.asarray(draw(93, H)), jnp.asarray(draw(94, H))
    tree = jax.tree.map(lambda each: each.astype(dtype), cell.init(jax.random.key(0), (c, h), x))
    wide = jax.tree.map(lambda each: each.astype(jnp.float64), tree)
    (_, _), theirs = cell.apply(wide, (c, h), x)
    for arrays in (tree, tree["params"]):
        trace = step(model_from_arrays(arrays), x, h, c)
        assert np.max(np.abs(trace.h - np.asarray(theirs))) <= FLOAT64
